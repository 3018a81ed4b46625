/* SPDX-License-Identifier: MIT */
#include "bench/options.h"
#include "kt_test.h"

#include "base/mem.h"

static struct kt_pt_options options;
static struct kt_error err;

/* Up to eight arguments behind the program's name. */
static enum kt_status parse(const char *const *arguments)
{
    char *argv[10] = {(char *)"pressure_test"};
    int argc = 1;
    err = (struct kt_error)KT_ERROR_INIT;
    for (; arguments[argc - 1]; argc++) {
        argv[argc] = (char *)(uintptr_t)arguments[argc - 1];
    }
    return kt_pt_options_parse(argc, argv, &options, &err);
}
#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static void defaults_are_the_four_scenarios_of_old(void)
{
    CHECK_OK(PARSE(NULL));
    CHECK_INT(options.scenario_count, 4);
    CHECK_INT(options.scenarios[3], KT_SCENARIO_AT_DATE);
    CHECK_INT(options.requests, 5000);
    CHECK_INT(options.concurrent, 100);
    CHECK_STR(options.targets[0].text, "http://localhost:9000/data");
    CHECK_STR(options.targets[0].prefix, "/data");
    CHECK_INT(options.targets[0].port, 9000);
}

static void one_dash_two_dashes_and_an_equals_sign_are_alike(void)
{
    CHECK_OK(PARSE("-requests", "7", "--concurrent", "3", "-zipf=0.99", "--scenario=topic,2"));
    CHECK_INT(options.requests, 7);
    CHECK_INT(options.concurrent, 3);
    CHECK(options.zipf == 0.99);
    CHECK_INT(options.scenario_count, 2);
    CHECK_INT(options.scenarios[0], KT_SCENARIO_TOPIC);
    CHECK_INT(options.scenarios[1], KT_SCENARIO_NEWEST);
}

static void several_targets_take_turns(void)
{
    CHECK_OK(PARSE("-target", "http://a:1/data/, http://[::1]:2"));
    CHECK_INT(options.target_count, 2);
    CHECK_STR(options.targets[0].text, "http://a:1/data");
    CHECK_STR(options.targets[1].host, "::1");
    CHECK_STR(options.targets[1].addr, "[::1]:2");
    CHECK_STR(options.targets[1].prefix, "");
}

static void a_bad_value_is_refused_by_its_flags_name(void)
{
    static const struct {
        const char *flag, *value;
    } bad[] = {
        {"-requests", "0"},
        {"-requests", "-1"},
        {"-requests", "1.5"},
        {"-requests", "5k"},
        {"-requests", ""},
        {"-duration", "0"},
        {"-duration", "nan"},
        {"-duration", "1e9"},
        {"-concurrent", "20001"},
        {"-warmup", "-1"},
        {"-rate", "0"},
        {"-rate", "1e7"},
        {"-rate", "x"},
        {"-scenario", "0"},
        {"-scenario", "10"},
        {"-scenario", "multy"},
        {"-scenario", "1,multi"},
        {"-scenario", ""},
        {"-scenario", "1,,2"},
        {"-repeat", "0"},
        {"-seed", "-1"},
        {"-zipf", "-0.1"},
        {"-zipf", "6"},
        {"-timeout", "0"},
        {"-threads", "0"},
        {"-target", "localhost"},
        {"-target", "https://a"},
        {"-target", "http://"},
        {"-target", "http://a:0"},
        {"-target", "http://a:1/x?y"},
        {"-target", "http://a,,"},
        {"-verify", "ftp://a"},
        {"-json", ""},
        {"-token", ""},
        {"-token", "a b"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        enum kt_status status = PARSE(bad[i].flag, bad[i].value);
        if (status != KT_BAD_VALUE || !strstr(err.message, bad[i].flag)) {
            kt_test_fail(__FILE__, __LINE__, "%s %s: %s", bad[i].flag, bad[i].value, err.message);
        }
    }
}

static void what_does_not_go_together_is_refused(void)
{
    CHECK_FAILS(PARSE("-requests", "1", "-duration", "1"), KT_BAD_VALUE);
    CHECK_FAILS(PARSE("-requests", "1", "-requests", "1"), KT_BAD_VALUE);
    CHECK_FAILS(PARSE("-scenario", "file"), KT_BAD_VALUE);
    CHECK_FAILS(PARSE("-scenario", "1", "-requests-file", "x"), KT_BAD_VALUE);
    CHECK_FAILS(PARSE("-requests"), KT_BAD_VALUE);
    CHECK_FAILS(PARSE("-quiet=yes"), KT_BAD_VALUE);
    CHECK_FAILS(PARSE("-nothing"), KT_BAD_VALUE);
    CHECK_FAILS(PARSE("requests"), KT_BAD_VALUE);
    CHECK_FAILS(PARSE("-"), KT_BAD_VALUE);
    CHECK_OK(PARSE("-requests-file", "x"));
    CHECK_INT(options.scenarios[0], KT_SCENARIO_FILE);
}

static void there_are_never_more_loops_than_connections(void)
{
    CHECK_OK(PARSE("-threads", "8", "-concurrent", "3"));
    CHECK_INT(options.threads, 3);
}

static const struct kt_test tests[] = {
    TEST(defaults_are_the_four_scenarios_of_old),
    TEST(one_dash_two_dashes_and_an_equals_sign_are_alike),
    TEST(several_targets_take_turns),
    TEST(a_bad_value_is_refused_by_its_flags_name),
    TEST(what_does_not_go_together_is_refused),
    TEST(there_are_never_more_loops_than_connections),
};
KT_TEST_MAIN(tests)

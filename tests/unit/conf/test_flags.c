/* SPDX-License-Identifier: MIT */
/* test_flags.c - the command line. */
#include "conf/conf.h"
#include "kt_test.h"

#include "base/mem.h"

static struct kt_error err;
static struct kt_flags flags;

/* The words of `line`, split at single spaces. */
static enum kt_status parse(const char *line, bool has_db)
{
    static char text[300];
    static char program[] = "server";
    char *argv[20] = {program};
    int argc = 1;
    kt_str_copy(text, sizeof(text), kt_str(line));
    for (char *word = text; *word && argc < 20;) {
        argv[argc++] = word;
        word += strcspn(word, " ");
        if (*word) {
            *word++ = '\0';
        }
    }
    return kt_flags_parse(argc, argv, has_db, &flags, &err);
}

static void no_flags_are_no_flags(void)
{
    memset(&flags, 0xFF, sizeof(flags));
    CHECK_OK(parse("", true));
    CHECK(!flags.config && !flags.port && !flags.db && !flags.log_level);
    CHECK(!flags.check_config && !flags.version && !flags.help && !flags.print_md &&
          !flags.print_ini);
}

static void one_or_two_dashes_with_a_space_or_an_equals_sign(void)
{
    static const char *const lines[] = {
        "-config a.ini -port 1 -db /d -log-level warn",
        "--config a.ini --port 1 --db /d --log-level warn",
        "-config=a.ini -port=1 -db=/d -log-level=warn",
        "--log-level=warn --db=/d -port 1 --config=a.ini",
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(lines); i++) {
        CHECK_OK(parse(lines[i], true));
        CHECK_STR(flags.config, "a.ini");
        CHECK_STR(flags.port, "1");
        CHECK_STR(flags.db, "/d");
        CHECK_STR(flags.log_level, "warn");
    }
    CHECK_OK(parse("-config=a=b", true));
    CHECK_STR(flags.config, "a=b");
    CHECK_OK(parse("-port=", true));
    CHECK_STR(flags.port, "");
}

static void switches_take_no_value(void)
{
    CHECK_OK(parse("-check-config --version -help -print-config-md -print-config-ini", false));
    CHECK(flags.check_config && flags.version && flags.help && flags.print_md && flags.print_ini);
    CHECK_FAILS(parse("-version=1", false), KT_BAD_VALUE);
    CHECK_STR(err.message, "-version takes no value");
}

static void what_is_wrong_is_named_and_nothing_is_set(void)
{
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"-prot 1", "-prot: no such flag"},
        {"--nope=3", "--nope=3: no such flag"},
        {"-revive", "-revive: no such flag"},
        {"---port 1", "---port: no such flag"},
        {"-", "-: no such flag"},
        {"--", "--: no such flag"},
        {"-=1", "-=1: no such flag"},
        {"port 1", "port: not a flag"},
        {"-port", "-port needs a value"},
        {"-check-config -config", "-config needs a value"},
        {"-port 1 -port=2", "-port is given twice"},
        {"-port 1 2", "2: not a flag"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        flags = (struct kt_flags){.port = "before"};
        CHECK_FAILS(parse(cases[i].line, true), KT_BAD_VALUE);
        CHECK_STR(err.message, cases[i].message);
        CHECK_STR(flags.port, "before");
    }
}

static void the_gateway_has_no_database(void)
{
    CHECK_FAILS(parse("-db /d", false), KT_BAD_VALUE);
    CHECK_STR(err.message, "-db: this server has no database");
    CHECK_FAILS(parse("-detach", false), KT_BAD_VALUE);
    CHECK_STR(err.message, "-detach: this server has no database");
    CHECK_FAILS(parse("-rejoin", false), KT_BAD_VALUE);
    CHECK_OK(parse("-rejoin -detach", true));
    CHECK(flags.rejoin && flags.detach);
    CHECK_FAILS(parse("--db=/d", false), KT_BAD_VALUE);
    CHECK(strstr(kt_flags_help(true), "-db FILE") != NULL);
    CHECK(strstr(kt_flags_help(false), "-db FILE") == NULL);
}

static void the_help_names_every_flag_that_is_not_hidden(void)
{
    static const char *const names[] = {"-config FILE",  "-port N",  "-log-level L",
                                        "-check-config", "-version", "-help"};
    for (size_t i = 0; i < KT_ARRAY_LEN(names); i++) {
        CHECK(strstr(kt_flags_help(false), names[i]) != NULL);
    }
    CHECK(strstr(kt_flags_help(true), "print-config") == NULL);
}

static const struct kt_test tests[] = {
    TEST(no_flags_are_no_flags),       TEST(one_or_two_dashes_with_a_space_or_an_equals_sign),
    TEST(switches_take_no_value),      TEST(what_is_wrong_is_named_and_nothing_is_set),
    TEST(the_gateway_has_no_database), TEST(the_help_names_every_flag_that_is_not_hidden),
};
KT_TEST_MAIN(tests)

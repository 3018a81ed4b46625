/* SPDX-License-Identifier: MIT */
/* fill and max_age: from which record a value comes, and which records are too old. */
#include "kt_test.h"

#include "world.h"

#include "base/mem.h"

static struct world world;

/*         2024-01-31 Q1   2024-02-29 H1   2024-03-31 Q1      2024-04-30 Q1
 *  A      eps=1 rev=10    eps=2           rev=null cash=7    (nothing)
 *  B      eps=5           eps=null        -                  -
 *  C      -               -               -                  eps=3 */
static void open_quarters(const char *name)
{
    world_open(&world, name, world_date("2024-01-01") * 1000);
    world_record(&world, "A", "2024-01-31", "Q1", NULL, "eps=1 rev=10");
    world_record(&world, "A", "2024-02-29", "H1", NULL, "eps=2");
    world_record(&world, "A", "2024-03-31", "Q1", "2024-05-02", "rev=null cash=7");
    world_record(&world, "A", "2024-04-30", "Q1", NULL, NULL);
    world_record(&world, "B", "2024-01-31", "Q1", NULL, "eps=5");
    world_record(&world, "B", "2024-02-29", "H1", NULL, "eps=null");
    world_record(&world, "C", "2024-04-30", "Q1", NULL, "eps=3");
    world_commit_on(&world, "2024-05-01");
}

static void check_has(const char *body, const char *part)
{
    const char *text = world_snapshot(&world, body);
    if (!strstr(text, part)) {
        kt_test_fail(__FILE__, __LINE__, "%s gave %s without %s", body, text, part);
    }
}

static void a_value_comes_from_the_newest_record_that_has_one(void)
{
    open_quarters("previous.db");
    check_has("{\"subjects\":\"A\"}", "\"data\":{},\"report_date\":1714435200");
    /* The row stays the newest record's; what March cleared comes from January. */
    check_has("{\"subjects\":\"A\",\"fill\":\"previous\"}",
              "\"data\":{\"cash\":7,\"eps\":2,\"rev\":10},\"report_date\":1714435200,"
              "\"end_date\":\"2024-04-30\",\"period\":\"Q1\",\"declare_date\":\"\"}");
    check_has("{\"subjects\":\"A\",\"fill\":\"previous\",\"ids\":\"rev,nothing,eps\"}",
              "\"data\":{\"rev\":10,\"eps\":2}");
    check_has("{\"subjects\":\"A\",\"fill\":\"none\"}", "\"data\":{}");
    world_close(&world);
}

static void filling_stays_within_every_bound(void)
{
    open_quarters("bounds.db");
    check_has("{\"subjects\":\"A\",\"fill\":\"previous\",\"timestamp\":\"2024-02-28\"}",
              "\"data\":{\"eps\":1,\"rev\":10},\"report_date\":1706659200");
    check_has("{\"subjects\":\"A\",\"fill\":\"previous\",\"periods\":\"Q1\"}",
              "\"data\":{\"cash\":7,\"eps\":1,\"rev\":10}");
    check_has("{\"subjects\":\"A\",\"fill\":\"previous\",\"periods\":\"Q1,a,b,c,d,e,f,g,h\"}",
              "\"data\":{\"cash\":7,\"eps\":1,\"rev\":10}");
    /* March was declared in May only. */
    check_has("{\"subjects\":\"A\",\"fill\":\"previous\",\"as_of\":\"2024-05-01\"}",
              "\"data\":{\"eps\":2,\"rev\":10}");
    world_record(&world, "A", "2024-04-30", "Q1", NULL, "eps=9");
    world_commit_on(&world, "2024-05-03");
    check_has("{\"subjects\":\"A\",\"fill\":\"previous\"}", "\"eps\":9");
    check_has("{\"subjects\":\"A\",\"fill\":\"previous\",\"recorded_by\":2}", "\"eps\":2");
    world_close(&world);
}

static void rows_are_sorted_by_what_they_show(void)
{
    open_quarters("sort.db");
    CHECK_STR(world_rows(&world, "{\"field\":\"eps\"}"), "C A B/3");
    CHECK_STR(world_rows(&world, "{\"field\":\"eps\",\"fill\":\"previous\"}"), "B C A/3");
    CHECK_STR(world_rows(&world, "{\"field\":\"eps\",\"fill\":\"previous\",\"order\":1}"),
              "A C B/3");
    CHECK_STR(world_rows(&world, "{\"field\":\"rev\",\"fill\":\"previous\",\"ids\":\"eps\"}"),
              "A B C/3");
    CHECK_STR(world_rows(&world, "{\"field\":\"report_date\",\"fill\":\"previous\",\"order\":1}"),
              "B A C/3");
    world_close(&world);
}

static void a_record_older_than_max_age_is_left_out(void)
{
    open_quarters("age.db");
    /* 2024-04-30 means its last second: the record of the day is 86399 s old. */
    CHECK_STR(world_rows(&world, "{\"order\":1,\"timestamp\":\"2024-04-30\",\"max_age\":86399}"),
              "A C/2");
    CHECK_STR(world_rows(&world, "{\"order\":1,\"timestamp\":\"2024-04-30\",\"max_age\":86398}"),
              "/0");
    CHECK_STR(world_rows(&world, "{\"order\":1,\"timestamp\":1714435200,\"max_age\":0}"), "A C/2");
    CHECK_STR(world_rows(&world, "{\"order\":1,\"max_age\":9007199254740991}"), "A B C/3");
    world.env.now_wall_ms = world_date("2024-05-10") * 1000 + 999;
    CHECK_STR(world_rows(&world, "{\"order\":1,\"max_age\":864000}"), "A C/2");
    CHECK_STR(world_rows(&world, "{\"order\":1,\"max_age\":863999}"), "/0");
    world.env.now_wall_ms = world_date("2024-04-01") * 1000; /* a record may be of the future */
    CHECK_STR(world_rows(&world, "{\"order\":1,\"max_age\":0}"), "A C/2");
    /* The newest of the wanted ones is too old: no row, whatever stands beside it. */
    CHECK_STR(world_rows(&world, "{\"order\":1,\"timestamp\":\"2024-04-30\",\"max_age\":172800,"
                                 "\"periods\":\"H1\",\"fill\":\"previous\"}"),
              "/0");
    world_close(&world);
}

static void under_fill_each_value_has_its_own_age(void)
{
    open_quarters("ages.db");
    static const char question[] =
        "{\"subjects\":\"A\",\"fill\":\"previous\",\"timestamp\":1714435200,\"max_age\":%lld}";
    static const struct {
        const char *oldest, *data;
    } cases[] = {
        {"2024-04-30", "\"data\":{}"},
        {"2024-03-31", "\"data\":{\"cash\":7}"},
        {"2024-02-29", "\"data\":{\"cash\":7,\"eps\":2}"},
        {"2024-02-01", "\"data\":{\"cash\":7,\"eps\":2}"},
        {"2024-01-31", "\"data\":{\"cash\":7,\"eps\":2,\"rev\":10}"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        char body[160];
        int64_t age_s = world_date("2024-04-30") - world_date(cases[i].oldest);
        snprintf(body, sizeof body, question, (long long)age_s);
        check_has(body, cases[i].data);
    }
    world_close(&world);
}

static void parameters_carry_them_too(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf body;
    kt_buf_init(&body, 0);
    struct kt_http_request request = {.query = KT_STR("fill=previous&max_age=60&cursor=12")};
    world_open(&world, "params.db", 1000);
    request.arena = world.arena;
    CHECK_INT(kt_query_body_of_params(&request, &body, &err), KT_OK);
    CHECK_STR(body.data, "{\"fill\":\"previous\",\"max_age\":60,\"cursor\":\"12\"}");
    kt_buf_done(&body);
    world_close(&world);
}

static const struct kt_test tests[] = {
    TEST(a_value_comes_from_the_newest_record_that_has_one),
    TEST(filling_stays_within_every_bound),
    TEST(rows_are_sorted_by_what_they_show),
    TEST(a_record_older_than_max_age_is_left_out),
    TEST(under_fill_each_value_has_its_own_age),
    TEST(parameters_carry_them_too),
};
KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
#include "kt_test.h"

#include "world.h"

#include "base/mem.h"

static struct world world;

static void open_history(const char *name)
{
    world_open(&world, name, world_date("2024-01-01") * 1000);
    world_subject(&world, "A", "Anna", NULL);
    world_subject(&world, "N", NULL, NULL); /* no record */
    world_record(&world, "A", "2020-03-31", "Q1", "2020-04-30", "eps=1 rev=10");
    world_record(&world, "A", "2020-06-30", "Q2", NULL, "eps=2");
    world_record(&world, "A", "2020-12-31", "FY", "2021-03-30", "eps=5");
    world_record(&world, "A", "2020-12-31", "Q4", NULL, "rev=40");
    world_record(&world, "A", "2021-03-31", "Q1", NULL, "");
    world_record_texts(&world, "B", "1751-01-01", "", "1751-12-31", NULL, "eps=9");
    world_record_texts(&world, "B", "2020-06-30", "Q2", NULL, "2020/21", "eps=8");
    world_stay(&world, "A", "T", world_date("2020-05-01"), world_date("2020-08-31"));
    world_stay(&world, "B", "T", KT_TIME_MIN, KT_TIME_MAX);
    world_stay(&world, "N", "U", KT_TIME_MIN, KT_TIME_MAX);
    world_commit_on(&world, "2024-07-01");
}

/* "A: 2020_Q1 2020_Q2 | B:": each subject and what stands in its rows' combine behind the key. */
static const char *periods_of(const char *body)
{
    static char text[2048];
    struct kt_json *json = NULL;
    size_t len = 0;
    if (world_ask(&world, true, body) != KT_OK) {
        return kt_status_code(world.err.status);
    }
    KT_ASSERT(kt_json_parse(kt_buf_str(&world.response.body), 16, &json, &world.err) == KT_OK);
    const struct kt_json_value *data = kt_json_member(kt_json_root(json), "data"), *one = NULL;
    text[0] = '\0';
    while ((one = kt_json_next(data, one)) != NULL) {
        struct kt_str key =
            kt_json_string(kt_json_member(kt_json_member(one, "subject"), "subject"));
        const struct kt_json_value *rows = kt_json_member(one, "data"), *row = NULL;
        len += (size_t)snprintf(text + len, sizeof text - len, "%s" KT_STR_FMT ":",
                                len ? " | " : "", KT_STR_ARG(key));
        while ((row = kt_json_next(rows, row)) != NULL) {
            struct kt_str combine = kt_json_string(kt_json_member(row, "combine"));
            KT_ASSERT(kt_str_starts(combine, key));
            len +=
                (size_t)snprintf(text + len, sizeof text - len, " %s", combine.data + key.len + 1);
        }
    }
    kt_json_free(&json);
    return text;
}

struct ask {
    const char *body, *rows;
};

static void check_periods(const struct ask *asks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *rows = periods_of(asks[i].body);
        if (strcmp(rows, asks[i].rows) != 0) {
            kt_test_fail(__FILE__, __LINE__, "%s gave \"%s\", expected \"%s\"", asks[i].body, rows,
                         asks[i].rows);
        }
    }
}
#define CHECK_PERIODS(asks) check_periods(asks, KT_ARRAY_LEN(asks))

static void records_come_newest_first_by_time_then_period(void)
{
    static const struct ask asks[] = {
        {"{\"subjects\":[\"A\"]}", "A: 2021_Q1 2020_Q4 2020_FY 2020_Q2 2020_Q1"},
        {"{\"subjects\":[\"A\"],\"order\":-1}", "A: 2021_Q1 2020_Q4 2020_FY 2020_Q2 2020_Q1"},
        {"{\"subjects\":[\"A\"],\"order\":1}", "A: 2020_Q1 2020_Q2 2020_FY 2020_Q4 2021_Q1"},
        {"{\"subjects\":\"B\",\"order\":\"asc\"}", "B: 1751_ 2020/21_Q2"},
    };
    open_history("order.db");
    CHECK_PERIODS(asks);
    world_close(&world);
}

static void from_and_to_are_inclusive(void)
{
    static const struct ask asks[] = {
        {"{\"subjects\":\"A\",\"from\":\"2020-06-30\",\"to\":\"2020-12-31\"}",
         "A: 2020_Q4 2020_FY 2020_Q2"},
        {"{\"subjects\":\"A\",\"from\":\"2020-07-01\",\"to\":\"2020-12-30\"}", "A:"},
        {"{\"subjects\":\"A\",\"from\":1593475200,\"to\":1593475200}", "A: 2020_Q2"},
        {"{\"subjects\":\"A\",\"from\":1593475201,\"to\":1593475201}", "A:"},
        {"{\"subjects\":\"A\",\"from\":0,\"to\":0}", "A: 2021_Q1 2020_Q4 2020_FY 2020_Q2 2020_Q1"},
        {"{\"subjects\":\"A\",\"from\":\"2021-01-01\"}", "A: 2021_Q1"},
        {"{\"subjects\":\"A\",\"to\":\"2020-04-01\"}", "A: 2020_Q1"},
        {"{\"subjects\":\"B\",\"to\":\"1970-01-01\"}", "B: 1751_"},
        {"{\"subjects\":\"B\",\"from\":\"1970-01-01\"}", "B: 2020/21_Q2"},
        {"{\"subjects\":\"A\",\"from\":\"2024-01-01\",\"to\":\"2024-01-01\"}", "A:"},
    };
    open_history("bounds.db");
    CHECK_PERIODS(asks);
    world_close(&world);
}

static void paging_counts_within_each_subject(void)
{
    static const struct ask asks[] = {
        {"{\"subjects\":\"A,B\",\"limit\":1}", "A: 2021_Q1 | B: 2020/21_Q2"},
        {"{\"subjects\":\"A,B\",\"limit\":1,\"offset\":1}", "A: 2020_Q4 | B: 1751_"},
        {"{\"subjects\":\"A,B\",\"limit\":2,\"offset\":3}", "A: 2020_Q2 2020_Q1 | B:"},
        {"{\"subjects\":\"A,B\",\"offset\":4,\"order\":1}", "A: 2021_Q1 | B:"},
        {"{\"subjects\":\"A\",\"limit\":0}", "A: 2021_Q1 2020_Q4 2020_FY 2020_Q2 2020_Q1"},
        {"{\"subjects\":\"A\",\"limit\":10000}", "A: 2021_Q1 2020_Q4 2020_FY 2020_Q2 2020_Q1"},
        {"{\"subjects\":\"A\",\"offset\":9007199254740992}", "A:"},
        {"{\"subjects\":\"A\",\"periods\":\"Q1\",\"offset\":1}", "A: 2020_Q1"},
    };
    open_history("page.db");
    CHECK_PERIODS(asks);
    world_close(&world);
}

static void subjects_stand_in_the_order_asked_and_topics_by_key(void)
{
    static const struct ask asks[] = {
        {"{\"subjects\":[\"N\",\"B\",\"nobody\",\"A\",\"B\"],\"limit\":1}",
         "N: | B: 2020/21_Q2 | A: 2021_Q1"},
        {"{\"subjects\":\"nobody\"}", ""},
        {"{\"topic\":\"*\",\"limit\":1}", "A: 2021_Q1 | B: 2020/21_Q2 | N:"},
        {"{\"topic\":\"U\"}", "N:"},
        {"{\"topic\":\"nowhere\"}", ""},
        /* A stays from 2020-05-01 to 2020-08-31: at any moment of from..to */
        {"{\"topic\":\"T\",\"limit\":1}", "A: 2021_Q1 | B: 2020/21_Q2"},
        {"{\"topic\":\"T\",\"from\":\"2020-08-31\",\"limit\":1}", "A: 2021_Q1 | B:"},
        {"{\"topic\":\"T\",\"from\":\"2020-09-01\",\"limit\":1}", "B:"},
        {"{\"topic\":\"T\",\"to\":\"2020-05-01\",\"limit\":1}", "A: 2020_Q1 | B: 1751_"},
        {"{\"topic\":\"T\",\"to\":\"2020-04-30\",\"limit\":1}", "B: 1751_"},
    };
    open_history("pick.db");
    CHECK_PERIODS(asks);
    world_close(&world);
}

static void periods_filter_records(void)
{
    static const struct ask asks[] = {
        {"{\"subjects\":\"A\",\"periods\":\"Q1\"}", "A: 2021_Q1 2020_Q1"},
        {"{\"subjects\":\"A\",\"periods\":[\"Q4\",\"Q2\",\"Q4\"]}", "A: 2020_Q4 2020_Q2"},
        {"{\"subjects\":\"B\",\"periods\":[\"\"]}", "B: 1751_"},
        {"{\"subjects\":\"A\",\"periods\":\"H1\"}", "A:"},
        {"{\"subjects\":\"A\",\"periods\":\"a,b,c,d,e,f,g,h,i,FY\"}", "A: 2020_FY"},
    };
    open_history("filter.db");
    CHECK_PERIODS(asks);
    world_close(&world);
}

#define BEGIN "{\"status_code\":0,\"status_msg\":\"success\",\"data\":["

static void a_row_has_all_its_members_in_order(void)
{
    open_history("row.db");
    CHECK_STR(world_period(&world, "{\"subjects\":[\"A\",\"N\"],\"to\":\"2020-06-30\"}"),
              BEGIN "{\"subject\":{\"subject\":\"A\",\"name\":\"Anna\",\"status\":\"\","
                    "\"listing_date\":\"\",\"category\":\"\"},\"data\":["
                    "{\"end_date\":\"2020-06-30\",\"period\":\"Q2\",\"declare_date\":\"\","
                    "\"year\":\"2020\",\"eps\":2,\"combine\":\"A:2020_Q2\"},"
                    "{\"end_date\":\"2020-03-31\",\"period\":\"Q1\","
                    "\"declare_date\":\"2020-04-30\",\"year\":\"2020\",\"eps\":1,\"rev\":10,"
                    "\"combine\":\"A:2020_Q1\"}]},"
                    "{\"subject\":{\"subject\":\"N\",\"name\":\"N\",\"status\":\"\","
                    "\"listing_date\":\"\",\"category\":\"\"},\"data\":[]}]}");
    CHECK_STR(world_period(&world, "{\"subjects\":[\"B\"],\"ids\":[\"rev\",\"eps\"]}"),
              BEGIN "{\"subject\":{\"subject\":\"B\",\"name\":\"B\",\"status\":\"\","
                    "\"listing_date\":\"\",\"category\":\"\"},\"data\":["
                    "{\"end_date\":\"2020-06-30\",\"period\":\"Q2\",\"declare_date\":\"\","
                    "\"year\":\"2020/21\",\"eps\":8,\"combine\":\"B:2020/21_Q2\"},"
                    "{\"end_date\":\"1751-12-31\",\"period\":\"\",\"declare_date\":\"\","
                    "\"year\":\"1751\",\"eps\":9,\"combine\":\"B:1751_\"}]}]}");
    world_close(&world);
}

static void ids_keep_their_order_in_each_row(void)
{
    open_history("ids.db");
    const char *answer =
        world_period(&world, "{\"subjects\":[\"A\"],\"ids\":\"rev,nothing,eps\",\"order\":1}");
    CHECK(strstr(answer, "\"year\":\"2020\",\"rev\":10,\"eps\":1,\"combine\"") != NULL);
    CHECK(strstr(answer, "\"year\":\"2021\",\"combine\":\"A:2021_Q1\"") != NULL);
    answer = world_period(&world, "{\"subjects\":[\"A\"],\"ids\":\"nothing\"}");
    CHECK(strstr(answer, "\"eps\"") == NULL && strstr(answer, "\"year\":\"2020\",\"combine\""));
    world_close(&world);
}

static const struct kt_test tests[] = {
    TEST(records_come_newest_first_by_time_then_period),
    TEST(from_and_to_are_inclusive),
    TEST(paging_counts_within_each_subject),
    TEST(subjects_stand_in_the_order_asked_and_topics_by_key),
    TEST(periods_filter_records),
    TEST(a_row_has_all_its_members_in_order),
    TEST(ids_keep_their_order_in_each_row),
};
KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
/* Buckets of the calendar, and what agg makes of their records. */
#include "kt_test.h"

#include "world.h"

#include "base/mem.h"
#include "query/query_impl.h"

static struct world world;

/* interval, a day, the first and last day of its bucket */
static const struct {
    enum interval interval;
    const char *day, *first, *last;
} bucket_rows[] = {
    {INTERVAL_DAY, "2024-02-29", "2024-02-29", "2024-02-29"},
    {INTERVAL_DAY, "0001-01-01", "0001-01-01", "0001-01-01"},
    {INTERVAL_DAY, "9999-12-31", "9999-12-31", "9999-12-31"},
    {INTERVAL_WEEK, "1970-01-01", "1969-12-29", "1970-01-04"}, /* a Thursday */
    {INTERVAL_WEEK, "1970-01-04", "1969-12-29", "1970-01-04"},
    {INTERVAL_WEEK, "1970-01-05", "1970-01-05", "1970-01-11"},
    {INTERVAL_WEEK, "1969-12-28", "1969-12-22", "1969-12-28"},
    {INTERVAL_WEEK, "2024-02-29", "2024-02-26", "2024-03-03"},
    {INTERVAL_WEEK, "2024-12-31", "2024-12-30", "2025-01-05"},
    {INTERVAL_WEEK, "0001-01-01", "0001-01-01", "0001-01-07"}, /* a Monday */
    {INTERVAL_WEEK, "0001-01-07", "0001-01-01", "0001-01-07"},
    {INTERVAL_WEEK, "9999-12-26", "9999-12-20", "9999-12-26"},
    {INTERVAL_WEEK, "9999-12-27", "9999-12-27", "9999-12-31"}, /* would end in 10000 */
    {INTERVAL_MONTH, "2024-02-01", "2024-02-01", "2024-02-29"},
    {INTERVAL_MONTH, "2023-02-28", "2023-02-01", "2023-02-28"},
    {INTERVAL_MONTH, "1900-02-11", "1900-02-01", "1900-02-28"},
    {INTERVAL_MONTH, "1969-12-31", "1969-12-01", "1969-12-31"},
    {INTERVAL_MONTH, "0001-01-31", "0001-01-01", "0001-01-31"},
    {INTERVAL_MONTH, "9999-12-01", "9999-12-01", "9999-12-31"},
    {INTERVAL_QUARTER, "2024-01-01", "2024-01-01", "2024-03-31"},
    {INTERVAL_QUARTER, "2024-06-30", "2024-04-01", "2024-06-30"},
    {INTERVAL_QUARTER, "2024-08-15", "2024-07-01", "2024-09-30"},
    {INTERVAL_QUARTER, "1969-10-01", "1969-10-01", "1969-12-31"},
    {INTERVAL_QUARTER, "9999-11-30", "9999-10-01", "9999-12-31"},
    {INTERVAL_YEAR, "2024-07-01", "2024-01-01", "2024-12-31"},
    {INTERVAL_YEAR, "0001-12-31", "0001-01-01", "0001-12-31"},
    {INTERVAL_YEAR, "9999-01-01", "9999-01-01", "9999-12-31"},
};

static void a_bucket_is_a_stretch_of_the_calendar(void)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(bucket_rows); i++) {
        int64_t day_s = world_date(bucket_rows[i].day);
        const int64_t moments[] = {day_s, day_s + 1, day_s + KT_DAY_S - 1};
        for (size_t j = 0; j < KT_ARRAY_LEN(moments); j++) {
            char first[11], last[11];
            int64_t first_s, last_s;
            query_bucket_of(bucket_rows[i].interval, moments[j], &first_s, &last_s);
            kt_format_date(first_s, first);
            kt_format_date(last_s, last);
            CHECK_STR(first, bucket_rows[i].first);
            CHECK_STR(last, bucket_rows[i].last);
            CHECK_INT(first_s, world_date(bucket_rows[i].first));
            CHECK_INT(last_s, world_date(bucket_rows[i].last) + KT_DAY_S - 1);
        }
    }
}

static void open_history(const char *name)
{
    world_open(&world, name, world_date("2024-01-01") * 1000);
    world_record(&world, "A", "2020-01-15", "M1", "2020-02-01", "eps=1 rev=10");
    world_record(&world, "A", "2020-02-15", "M2", "2020-05-01", "eps=4");
    world_record(&world, "A", "2020-03-31", "M3", NULL, "eps=2.5 rev=null");
    world_record(&world, "A", "2020-12-31", "FY", NULL, "rev=7");
    world_record(&world, "A", "2020-12-31", "M9", NULL, "");
    world_record(&world, "A", "1969-12-31", "M12", NULL, "eps=-3");
    world_subject(&world, "N", NULL, NULL);
    world_commit_on(&world, "2024-07-01");
}

/* The rows of A, each `end_date declare_date year combine eps rev`, "-" for what is missing. */
static const char *rows_of(const char *fields)
{
    static const char *const texts[] = {"end_date", "declare_date", "combine"};
    static const char *const numbers[] = {"eps", "rev"};
    static char text[2048];
    char body[512];
    struct kt_json *json = NULL;
    size_t len = 0;
    snprintf(body, sizeof body, "{\"subjects\":\"A\",%s}", fields);
    if (world_ask(&world, true, body) != KT_OK) {
        return kt_status_code(world.err.status);
    }
    KT_ASSERT(kt_json_parse(kt_buf_str(&world.response.body), 16, &json, &world.err) == KT_OK);
    const struct kt_json_value *data = kt_json_member(kt_json_root(json), "data");
    const struct kt_json_value *rows = kt_json_member(kt_json_next(data, NULL), "data");
    const struct kt_json_value *row = NULL;
    text[0] = '\0';
    while ((row = kt_json_next(rows, row)) != NULL) {
        len += (size_t)snprintf(text + len, sizeof text - len, "%s", len ? " | " : "");
        for (size_t i = 0; i < KT_ARRAY_LEN(texts); i++) {
            struct kt_str value = kt_json_string(kt_json_member(row, texts[i]));
            len += (size_t)snprintf(text + len, sizeof text - len, KT_STR_FMT " ",
                                    KT_STR_ARG(value.len ? value : KT_STR("-")));
        }
        for (size_t i = 0; i < KT_ARRAY_LEN(numbers); i++) {
            const struct kt_json_value *value = kt_json_member(row, numbers[i]);
            char number[KT_F64_TEXT_MAX] = "-";
            if (value) {
                kt_format_f64(kt_json_number(value), number);
            }
            len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", number, i ? "" : " ");
        }
    }
    kt_json_free(&json);
    return text;
}

static const struct {
    const char *fields, *rows;
} asks[] = {
    {"\"interval\":\"1Y\"", "2020-12-31 2020-05-01 A:2020-12-31_1Y 2.5 7 | "
                            "1969-12-31 - A:1969-12-31_1Y -3 -"},
    {"\"interval\":\"1Y\",\"agg\":\"last\",\"order\":1",
     "1969-12-31 - A:1969-12-31_1Y -3 - | 2020-12-31 2020-05-01 A:2020-12-31_1Y 2.5 7"},
    {"\"interval\":\"1Y\",\"agg\":\"first\",\"limit\":1",
     "2020-12-31 2020-05-01 A:2020-12-31_1Y 1 10"},
    {"\"interval\":\"1Y\",\"agg\":\"min\",\"limit\":1",
     "2020-12-31 2020-05-01 A:2020-12-31_1Y 1 7"},
    {"\"interval\":\"1Y\",\"agg\":\"max\",\"limit\":1",
     "2020-12-31 2020-05-01 A:2020-12-31_1Y 4 10"},
    {"\"interval\":\"1Y\",\"agg\":\"avg\",\"limit\":1",
     "2020-12-31 2020-05-01 A:2020-12-31_1Y 2.5 8.5"},
    {"\"interval\":\"1Y\",\"agg\":\"sum\",\"limit\":1",
     "2020-12-31 2020-05-01 A:2020-12-31_1Y 7.5 17"},
    {"\"interval\":\"1Y\",\"agg\":\"count\",\"limit\":1",
     "2020-12-31 2020-05-01 A:2020-12-31_1Y 3 2"},
    /* buckets without a record are left out, those without a value are not */
    {"\"interval\":\"1Q\",\"agg\":\"count\",\"order\":1,\"offset\":1",
     "2020-03-31 2020-05-01 A:2020-03-31_1Q 3 1 | 2020-12-31 - A:2020-12-31_1Q - 1"},
    {"\"interval\":\"1d\",\"periods\":\"M9\"", "2020-12-31 - A:2020-12-31_1d - -"},
    {"\"interval\":\"1M\",\"limit\":1,\"offset\":2", "2020-02-29 2020-05-01 A:2020-02-29_1M 4 -"},
    {"\"interval\":\"1M\",\"offset\":5", ""},
    {"\"interval\":\"1w\",\"to\":\"2020-01-31\",\"order\":1",
     "1970-01-04 - A:1970-01-04_1w -3 - | 2020-01-19 2020-02-01 A:2020-01-19_1w 1 10"},
    /* what bounds records bounds them before they meet */
    {"\"interval\":\"1Y\",\"agg\":\"sum\",\"from\":\"2020-02-01\",\"to\":\"2020-03-30\"",
     "2020-12-31 2020-05-01 A:2020-12-31_1Y 4 -"},
    {"\"interval\":\"1Y\",\"agg\":\"sum\",\"periods\":\"M1,M3,FY\"",
     "2020-12-31 2020-02-01 A:2020-12-31_1Y 3.5 17"},
    {"\"interval\":\"1Y\",\"agg\":\"sum\",\"as_of\":\"2020-04-30\",\"from\":\"2020-01-01\"",
     "2020-12-31 2020-02-01 A:2020-12-31_1Y 3.5 10"},
    {"\"interval\":\"1Y\",\"agg\":\"sum\",\"recorded_by\":1", ""},
    {"\"interval\":\"1Y\",\"agg\":\"sum\",\"recorded_by\":2,\"limit\":1",
     "2020-12-31 2020-05-01 A:2020-12-31_1Y 7.5 17"},
};

static void buckets_answer_for_their_records(void)
{
    open_history("buckets.db");
    for (size_t i = 0; i < KT_ARRAY_LEN(asks); i++) {
        const char *rows = rows_of(asks[i].fields);
        if (strcmp(rows, asks[i].rows) != 0) {
            kt_test_fail(__FILE__, __LINE__, "%s gave \"%s\", expected \"%s\"", asks[i].fields,
                         rows, asks[i].rows);
        }
    }
    world_close(&world);
}

static void a_bucket_has_all_members_of_a_row(void)
{
    open_history("row.db");
    CHECK_STR(world_period(&world, "{\"subjects\":[\"A\",\"N\"],\"ids\":\"rev,eps\","
                                   "\"interval\":\"1Q\",\"to\":\"2020-06-30\",\"limit\":1}"),
              "{\"status_code\":0,\"status_msg\":\"success\",\"data\":["
              "{\"subject\":{\"subject\":\"A\",\"name\":\"A\",\"status\":\"\","
              "\"listing_date\":\"\",\"category\":\"\"},\"data\":["
              "{\"end_date\":\"2020-03-31\",\"period\":\"1Q\",\"declare_date\":\"2020-05-01\","
              "\"year\":\"2020\",\"rev\":10,\"eps\":2.5,\"combine\":\"A:2020-03-31_1Q\"}]},"
              "{\"subject\":{\"subject\":\"N\",\"name\":\"N\",\"status\":\"\","
              "\"listing_date\":\"\",\"category\":\"\"},\"data\":[]}]}");
    world_close(&world);
}

static void the_ends_of_time_fall_into_buckets(void)
{
    world_open(&world, "ends.db", world_date("2024-01-01") * 1000);
    world_record(&world, "A", "0001-01-01", "", NULL, "eps=1");
    world_record(&world, "A", "9999-12-31", "", NULL, "eps=2");
    world_commit_on(&world, "2024-07-01");
    CHECK_STR(rows_of("\"interval\":\"1w\""),
              "9999-12-31 - A:9999-12-31_1w 2 - | 0001-01-07 - A:0001-01-07_1w 1 -");
    CHECK_STR(rows_of("\"interval\":\"1Y\",\"order\":1"),
              "0001-12-31 - A:0001-12-31_1Y 1 - | 9999-12-31 - A:9999-12-31_1Y 2 -");
    world_close(&world);
}

static void a_sum_beyond_the_doubles_is_refused_and_no_mean_is(void)
{
    world_open(&world, "huge.db", world_date("2024-01-01") * 1000);
    world_record(&world, "A", "2020-01-01", "", NULL, "eps=1.7e308 rev=-1.7e308");
    world_record(&world, "A", "2020-01-02", "", NULL, "eps=1.7e308 rev=-1.7e308");
    world_record(&world, "A", "2020-01-03", "", NULL, "eps=-1.7e308 rev=1.7e308");
    world_record(&world, "A", "2021-01-01", "", NULL, "eps=1.7e308");
    world_record(&world, "A", "2021-01-02", "", NULL, "eps=1.7e308");
    world_commit_on(&world, "2024-07-01");
    /* large on the way, not at the end */
    CHECK_STR(rows_of("\"interval\":\"1Y\",\"agg\":\"sum\",\"to\":\"2020-12-31\""),
              "2020-12-31 - A:2020-12-31_1Y 1.7e+308 -1.7e+308");
    CHECK_STR(rows_of("\"interval\":\"1Y\",\"agg\":\"avg\",\"limit\":1"),
              "2021-12-31 - A:2021-12-31_1Y 1.7e+308 -");
    CHECK_INT(world_ask(&world, true, "{\"subjects\":\"A\",\"interval\":\"1Y\",\"agg\":\"sum\"}"),
              KT_BAD_VALUE);
    CHECK_STR(world.err.field, "agg");
    CHECK(strstr(world.err.message, "eps") && strstr(world.err.message, "2021-12-31"));
    CHECK_INT(world.response.body.len_bytes, 0);
    world_close(&world);
}

static void without_memory_or_time_a_bucket_fails_cleanly(void)
{
    static const char body[] = "{\"subjects\":\"A\",\"interval\":\"1Y\",\"agg\":\"avg\"}";
    open_history("memory.db");
    world_check_memory(&world, kt_query_period, body);
    world_check_deadline(&world, kt_query_period, body);
    world_close(&world);
}

static const struct kt_test tests[] = {
    TEST(a_bucket_is_a_stretch_of_the_calendar),
    TEST(buckets_answer_for_their_records),
    TEST(a_bucket_has_all_members_of_a_row),
    TEST(the_ends_of_time_fall_into_buckets),
    TEST(a_sum_beyond_the_doubles_is_refused_and_no_mean_is),
    TEST(without_memory_or_time_a_bucket_fails_cleanly),
};
KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
/* Subjects by topic and tag. */
#include "kt_test.h"

#include "world.h"

#include "base/budget.h"
#include "base/mem.h"

static struct world world;

static void tag(const char *key, const char *name, const char *values)
{
    world_tag(&world, key, name, values);
}

/* 互联网金融 = internet finance, 金融 = finance, 银行 = bank. */
static void open_market(const char *name)
{
    world_open(&world, name, world_date("2024-01-01") * 1000);
    world_subject(&world, "A", "Anna", NULL);
    world_stay(&world, "A", "pool", KT_TIME_MIN, KT_TIME_MAX);
    world_stay(&world, "B", "pool", world_date("2020-01-01"), world_date("2021-01-01") - 1);
    world_stay(&world, "C", "other", KT_TIME_MIN, KT_TIME_MAX);
    tag("A", "concept", "互联网金融,5G");
    tag("B", "concept", "银行");
    tag("B", "region", "金融街");
    tag("C", "concept", "金融");
    world_record(&world, "A", "2020-03-31", "Q1", NULL, "eps=1 rev=10");
    world_record(&world, "A", "2020-06-30", "Q2", NULL, "eps=2");
    world_record(&world, "B", "2020-03-31", "Q1", NULL, "eps=3");
    world_record(&world, "B", "2020-06-30", "Q2", NULL, "eps=1 rev=5");
    world_record(&world, "C", "2020-06-30", "Q2", "2020-08-01", "eps=9");
    world_record(&world, "D", "2020-06-30", "Q2", NULL, "eps=7");
    world_commit_on(&world, "2024-07-01");
}

struct ask {
    const char *body, *rows;
};

static void check_rows(const struct ask *asks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *rows = world_rows_of(&world, kt_query_selection_snapshot, asks[i].body);
        if (strcmp(rows, asks[i].rows) != 0) {
            kt_test_fail(__FILE__, __LINE__, "%s gave \"%s\", expected \"%s\"", asks[i].body, rows,
                         asks[i].rows);
        }
    }
}
#define CHECK_ROWS(asks) check_rows(asks, KT_ARRAY_LEN(asks))

static void a_selection_picks_by_subject_topic_tag_and_keyword(void)
{
    static const struct ask asks[] = {
        {"{\"selection\":{\"subject\":\"A\"}}", "A/1"},
        {"{\"selection\":{\"subject\":\"nobody\"}}", "/0"},
        {"{\"selection\":{\"topic\":\"*\"},\"order\":1}", "A B C D/4"},
        {"{\"selection\":{\"topic\":\"nowhere\"}}", "/0"},
        {"{\"selection\":{\"topic\":\"pool\",\"id\":null,\"keyword\":null}}", "A/1"},
        {"{\"selection\":{\"topic\":\"pool\"},\"timestamp\":\"2020-12-31\",\"order\":1}", "A B/2"},
        {"{\"selection\":{\"topic\":\"pool\"},\"timestamp\":\"2020-12-31\",\"field\":\"eps\","
         "\"limit\":1,\"offset\":1}",
         "B/2"},
        {"{\"selection\":{\"id\":\"concept\",\"keyword\":\"金融\"},\"order\":1}", "A C/2"},
        {"{\"selection\":{\"id\":\"concept\",\"keyword\":\"互联网金融\"}}", "A/1"},
        {"{\"selection\":{\"id\":\"concept\",\"keyword\":\"互联网金融x\"}}", "/0"},
        {"{\"selection\":{\"id\":\"concept\",\"keyword\":\"5\"}}", "A/1"},
        {"{\"selection\":{\"id\":\"concept\"},\"order\":1}", "A B C/3"},
        {"{\"selection\":{\"id\":\"region\"}}", "B/1"},
        {"{\"selection\":{\"id\":\"regio\"}}", "/0"},
        {"{\"selection\":{\"keyword\":\"金融\"},\"order\":1}", "A B C/3"},
        {"{\"selection\":{\"topic\":\"pool\",\"id\":\"concept\",\"keyword\":\"金融\"}}", "A/1"},
        {"{\"selection\":{\"topic\":\"other\",\"keyword\":\"金融\"}}", "C/1"},
        {"{\"selection\":{\"topic\":\"other\",\"keyword\":\"5G\"}}", "/0"},
        {"{\"subjects\":[],\"topic\":null,\"selection\":{\"id\":\"region\"}}", "B/1"},
        {"{\"selection\":{\"topic\":\"*\"},\"ids\":\"rev\",\"field\":\"eps\",\"order\":1}",
         "B A D C/4"},
    };
    open_market("pick.db");
    CHECK_ROWS(asks);
    world_close(&world);
}

static void a_replaced_tag_is_found_no_more_even_as_of_then(void)
{
    static const struct ask asks[] = {
        {"{\"selection\":{\"id\":\"concept\",\"keyword\":\"金融\"}}", "C/1"},
        {"{\"selection\":{\"id\":\"concept\",\"keyword\":\"金融\"},\"recorded_by\":2}", "C/1"},
        {"{\"selection\":{\"id\":\"concept\",\"keyword\":\"银\"},\"order\":1}", "A B/2"},
    };
    open_market("replace.db");
    tag("A", "concept", "银行业");
    world_commit_on(&world, "2024-07-02");
    CHECK_ROWS(asks);
    world_close(&world);
}

struct refusal {
    const char *body, *code, *field;
};

static const struct refusal refusals[] = {
    {"", "bad_value", "selection"},
    {"{}", "bad_value", "selection"},
    {"{\"selection\":null}", "bad_value", "selection"},
    {"{\"selection\":{}}", "bad_value", "selection"},
    {"{\"selection\":{\"topic\":null}}", "bad_value", "selection"},
    {"{\"selection\":[]}", "bad_value", "selection"},
    {"{\"selection\":\"concept\"}", "bad_value", "selection"},
    {"{\"selection\":5}", "bad_value", "selection"},
    {"{\"selection\":{\"subject\":\"A\",\"topic\":\"pool\"}}", "bad_value", "selection.topic"},
    {"{\"selection\":{\"subject\":\"A\",\"id\":\"concept\"}}", "bad_value", "selection.id"},
    {"{\"selection\":{\"subject\":\"A\",\"keyword\":\"x\"}}", "bad_value", "selection.keyword"},
    {"{\"selection\":{\"subject\":\"\"}}", "bad_value", "selection.subject"},
    {"{\"selection\":{\"subject\":[\"A\"]}}", "bad_value", "selection.subject"},
    {"{\"selection\":{\"id\":5}}", "bad_value", "selection.id"},
    {"{\"selection\":{\"id\":\"a\\u0001\"}}", "bad_value", "selection.id"},
    {"{\"selection\":{\"topic\":true}}", "bad_value", "selection.topic"},
    {"{\"selection\":{\"keyword\":\"\"}}", "bad_value", "selection.keyword"},
    {"{\"selection\":{\"keyword\":{\"a\":1}}}", "bad_value", "selection.keyword"},
    {"{\"selection\":{\"topic\":\"pool\",\"tag\":\"x\"}}", "unknown_field", "selection.tag"},
    {"{\"selection\":{\"topic\":\"pool\"},\"subjects\":\"A\"}", "bad_value", "subjects"},
    {"{\"selection\":{\"topic\":\"pool\"},\"topic\":\"pool\"}", "bad_value", "topic"},
    {"{\"selection\":{\"topic\":\"pool\"},\"field\":\"nothing\"}", "bad_value", "field"},
    {"{\"selection\":{\"topic\":\"pool\"},\"limit\":-1}", "bad_value", "limit"},
    {"{\"selection\":{\"topic\":\"pool\"},\"colour\":1}", "unknown_field", "colour"},
};

static void bad_selections_are_refused_by_name(void)
{
    open_market("refuse.db");
    for (size_t i = 0; i < KT_ARRAY_LEN(refusals); i++) {
        const struct refusal *want = &refusals[i];
        world_check_refused(&world, kt_query_selection_snapshot, want->body, want->code,
                            want->field);
    }
    CHECK_INT(world_ask(&world, false, "{\"selection\":{\"topic\":\"pool\"}}"), KT_UNKNOWN_FIELD);
    CHECK_STR(world.err.field, "selection");
    world_close(&world);
}

/* `date: SUBJECT SUBJECT | date: …`, or the error's code and field. */
static const char *dates_of(const char *fields)
{
    static char text[2048];
    char body[512];
    struct kt_json *json = NULL;
    size_t len = 0;
    snprintf(body, sizeof body, "{\"selection\":{\"topic\":\"*\"}%s}", fields);
    if (world_ask_of(&world, kt_query_selection_period, body) != KT_OK) {
        snprintf(text, sizeof text, "%s %s", kt_status_code(world.err.status), world.err.field);
        return text;
    }
    KT_ASSERT(kt_json_parse(kt_buf_str(&world.response.body), 16, &json, &world.err) == KT_OK);
    const struct kt_json_value *data = kt_json_member(kt_json_root(json), "data"), *date = NULL;
    text[0] = '\0';
    while ((date = kt_json_next(data, date)) != NULL) {
        const struct kt_json_value *row = NULL;
        len += (size_t)snprintf(text + len, sizeof text - len, "%s" KT_STR_FMT ":",
                                len ? " | " : "", KT_STR_ARG(kt_json_name(date)));
        while ((row = kt_json_next(date, row)) != NULL) {
            struct kt_str key =
                kt_json_string(kt_json_member(kt_json_member(row, "subject"), "subject"));
            len += (size_t)snprintf(text + len, sizeof text - len, " " KT_STR_FMT, KT_STR_ARG(key));
        }
    }
    kt_json_free(&json);
    return text;
}

static const struct {
    const char *fields, *dates;
} dated_rows[] = {
    {"", "2020-03-31: B A | 2020-06-30: D C B A"},
    {",\"order\":1", "2020-03-31: A B | 2020-06-30: A B C D"},
    {",\"field\":\"eps\"", "2020-03-31: B A | 2020-06-30: C D A B"},
    {",\"ids\":\"rev,eps\"", "2020-03-31: A B | 2020-06-30: B A C D"},
    {",\"ids\":\"rev\",\"order\":1", "2020-03-31: A B | 2020-06-30: B A C D"},
    {",\"field\":\"name\",\"order\":1", "2020-03-31: A B | 2020-06-30: A B C D"},
    {",\"field\":\"report_date\"", "2020-03-31: A B | 2020-06-30: A B C D"},
    {",\"limit\":1", "2020-03-31: B | 2020-06-30: D"},
    {",\"limit\":2,\"offset\":1", "2020-03-31: A | 2020-06-30: C B"},
    {",\"limit\":1,\"offset\":2", "2020-06-30: B"},
    {",\"offset\":4", ""},
    {",\"limit\":0", "2020-03-31: B A | 2020-06-30: D C B A"},
    {",\"from\":\"2020-04-01\"", "2020-06-30: D C B A"},
    {",\"to\":\"2020-04-01\"", "2020-03-31: B A"},
    {",\"periods\":\"Q1\"", "2020-03-31: B A"},
    {",\"as_of\":\"2020-07-31\",\"periods\":\"Q2\"", "2020-06-30: D B A"},
    {",\"recorded_by\":1", ""},
    {",\"interval\":\"1Y\"", "2020-12-31: D C B A"},
    {",\"interval\":\"1Y\",\"agg\":\"sum\",\"field\":\"eps\"", "2020-12-31: C D B A"},
    {",\"interval\":\"1Y\",\"agg\":\"count\",\"field\":\"eps\"", "2020-12-31: A B C D"},
    {",\"interval\":\"1M\",\"limit\":1,\"order\":1", "2020-03-31: A | 2020-06-30: A"},
    {",\"field\":\"nothing\"", "bad_value field"},
    {",\"timestamp\":5", "unknown_field timestamp"},
    {",\"from\":2,\"to\":1", "bad_value from"},
    {",\"limit\":10001", "bad_value limit"},
    {",\"agg\":\"sum\"", "bad_value agg"},
};

static void a_period_by_date_is_sorted_and_paged_on_each(void)
{
    open_market("dates.db");
    for (size_t i = 0; i < KT_ARRAY_LEN(dated_rows); i++) {
        const char *dates = dates_of(dated_rows[i].fields);
        if (strcmp(dates, dated_rows[i].dates) != 0) {
            kt_test_fail(__FILE__, __LINE__, "%s gave \"%s\", expected \"%s\"",
                         dated_rows[i].fields, dates, dated_rows[i].dates);
        }
    }
    world_close(&world);
}

/* A's own end_date puts it on a date that no calendar has; two records of it end on one day. */
static void the_date_is_the_records_own_end_date(void)
{
    static const char begin[] = "{\"status_code\":0,\"status_msg\":\"success\",\"data\":{";
    char text[2048];
    world_open(&world, "own.db", world_date("2024-01-01") * 1000);
    world_record_texts(&world, "A", "2020-03-31", "Q1", "FY\"20", "2019/20", "eps=1");
    world_record(&world, "A", "2020-12-31", "FY", NULL, "eps=4");
    world_record(&world, "A", "2020-12-31", "Q4", "2021-02-01", "rev=2");
    world_commit_on(&world, "2024-07-01");
#define ROW                                                                                        \
    "{\"subject\":{\"subject\":\"A\",\"name\":\"A\",\"status\":\"\",\"listing_date\":\"\","        \
    "\"category\":\"\"},\"data\":"
    snprintf(text, sizeof text, "%s%s", begin,
             "\"2020-12-31\":[" ROW
             "{\"end_date\":\"2020-12-31\",\"period\":\"Q4\",\"declare_date\":\"2021-02-01\","
             "\"year\":\"2020\",\"rev\":2,\"combine\":\"A:2020_Q4\"}}," ROW
             "{\"end_date\":\"2020-12-31\",\"period\":\"FY\",\"declare_date\":\"\","
             "\"year\":\"2020\",\"eps\":4,\"combine\":\"A:2020_FY\"}}],"
             "\"FY\\\"20\":[" ROW
             "{\"end_date\":\"FY\\\"20\",\"period\":\"Q1\",\"declare_date\":\"\","
             "\"year\":\"2019/20\",\"eps\":1,\"combine\":\"A:2019/20_Q1\"}}]}}");
    CHECK_STR(
        world_answer_of(&world, kt_query_selection_period, "{\"selection\":{\"subject\":\"A\"}}"),
        text);
    snprintf(text, sizeof text, "%s}}", begin);
    CHECK_STR(world_answer_of(&world, kt_query_selection_period,
                              "{\"selection\":{\"subject\":\"nobody\"}}"),
              text);
    world_close(&world);
}

static void a_period_by_date_is_bounded(void)
{
    static const char body[] = "{\"selection\":{\"topic\":\"*\"},\"field\":\"name\",\"limit\":1}";
    open_market("bounded.db");
    world_check_memory(&world, kt_query_selection_period, body);
    world_check_deadline(&world, kt_query_selection_period, body);
    world.env.limits.max_rows = 5;
    CHECK_STR(dates_of(""), "too_large selection");
    world.env.limits.max_rows = 6;
    CHECK_STR(dates_of(""), "2020-03-31: B A | 2020-06-30: D C B A");
    world.env.limits.max_values = 2;
    CHECK_STR(dates_of(""), "too_large ");
    CHECK_STR(dates_of(",\"limit\":1,\"ids\":\"eps\",\"field\":\"subject\""),
              "2020-03-31: B | 2020-06-30: D");
    world_close(&world);
}

/* A million rows take 40 MB before the first of them is written. */
static void the_rows_of_a_period_by_date_count_with_all_large_answers(void)
{
    static const char body[] = "{\"selection\":{\"subject\":\"Z\"},\"limit\":1}";
    struct kt_budget *budget = kt_budget_new(1000);
    struct kt_budget_share share = {budget, 0};
    char period[16];
    open_market("shared");
    for (int i = 0; i < 20000; i++) {
        snprintf(period, sizeof period, "p%d", i);
        world_record(&world, "Z", "2020-03-31", period, NULL, "eps=1");
    }
    world_commit_on(&world, "2024-08-01");
    world.response.body.share = &share;
    CHECK(kt_budget_take(budget, 0, 1000, 0));
    CHECK_INT(world_ask_of(&world, kt_query_selection_period, body), KT_BUSY);
    kt_budget_give(budget, 1000);
    CHECK_INT(world_ask_of(&world, kt_query_selection_period, body), KT_OK);
    CHECK_INT(kt_budget_used(budget), share.held_bytes);
    /* Alone it gets what it needs, for its rows and for its answer at once. */
    kt_budget_share_give(&share);
    CHECK_INT(world_ask_of(&world, kt_query_selection_period,
                           "{\"selection\":{\"subject\":\"Z\"},\"limit\":10000}"),
              KT_OK);
    CHECK_INT(share.held_bytes, world.response.body.cap_bytes);
    CHECK(share.held_bytes > KT_BUF_UNSHARED_BYTES);
    CHECK_INT(kt_budget_used(budget), share.held_bytes);
    world.response.body.share = NULL;
    kt_budget_share_give(&share);
    kt_budget_free(&budget);
    world_close(&world);
}

static void bad_periods_by_date_are_refused_by_name(void)
{
    open_market("refuse_dates.db");
    for (size_t i = 0; i < KT_ARRAY_LEN(refusals); i++) {
        world_check_refused(&world, kt_query_selection_period, refusals[i].body, refusals[i].code,
                            refusals[i].field);
    }
    CHECK_INT(world_ask(&world, true, "{\"selection\":{\"topic\":\"pool\"},\"topic\":\"*\"}"),
              KT_UNKNOWN_FIELD);
    CHECK_STR(world.err.field, "selection");
    world_close(&world);
}

static const struct kt_test tests[] = {
    TEST(a_selection_picks_by_subject_topic_tag_and_keyword),
    TEST(a_replaced_tag_is_found_no_more_even_as_of_then),
    TEST(bad_selections_are_refused_by_name),
    TEST(a_period_by_date_is_sorted_and_paged_on_each),
    TEST(the_date_is_the_records_own_end_date),
    TEST(a_period_by_date_is_bounded),
    TEST(the_rows_of_a_period_by_date_count_with_all_large_answers),
    TEST(bad_periods_by_date_are_refused_by_name),
};
KT_TEST_MAIN(tests)

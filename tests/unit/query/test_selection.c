/* SPDX-License-Identifier: MIT */
/* Subjects by topic and tag. */
#include "kt_test.h"

#include "world.h"

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

static const struct kt_test tests[] = {
    TEST(a_selection_picks_by_subject_topic_tag_and_keyword),
    TEST(a_replaced_tag_is_found_no_more_even_as_of_then),
    TEST(bad_selections_are_refused_by_name),
};
KT_TEST_MAIN(tests)

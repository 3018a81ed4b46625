/* SPDX-License-Identifier: MIT */
/* What there is to ask for, in pages. */
#include "kt_test.h"

#include "world.h"

#include "base/mem.h"

static struct world world;

static void open_market(const char *name)
{
    world_open(&world, name, world_date("2024-01-01") * 1000);
    world_subject(&world, "33:2", "Anna", "stock");
    world_stay(&world, "33:2", "pool", world_date("2012-01-01"), world_date("2013-01-01"));
    world_stay(&world, "33:1", "pool", KT_TIME_MIN, KT_TIME_MAX);
    world_stay(&world, "x", "other", KT_TIME_MIN, KT_TIME_MAX);
    world_subject(&world, "33:10", "贵州茅台", NULL); /* no record */
    world_record(&world, "33:1", "1969-12-31", "Q4", NULL, "eps=1 rev=null");
    world_record(&world, "33:1", "2020-03-31", "Q1", "2020-04-30", "rev=10");
    world_record(&world, "33:1", "2020-03-31", "Q1", "2020-05-30", "rev=null");
    world_record(&world, "33:2", "2020-06-30", "Q2", NULL, "eps=2");
    world_record(&world, "x", "2021-06-30", "Q2", NULL, "roe=3 eps=5");
    world_record(&world, "x", "2021-06-30", "H1", NULL, "eps=4");
    world_commit_on(&world, "2024-07-01");
}

static const char *answer(world_query_fn query, const char *body)
{
    return world_answer_of(&world, query, body);
}

#define BEGIN "{\"status_code\":0,\"status_msg\":\"success\",\"data\":["
#define S1                                                                                         \
    "{\"subject\":\"33:1\",\"name\":\"33:1\",\"status\":\"\",\"listing_date\":\"\","               \
    "\"category\":\"\",\"records\":2,\"first\":-86400,\"last\":1585612800}"
#define S10                                                                                        \
    "{\"subject\":\"33:10\",\"name\":\"贵州茅台\",\"status\":\"\",\"listing_date\":\"\","      \
    "\"category\":\"\",\"records\":0}"
#define S2                                                                                         \
    "{\"subject\":\"33:2\",\"name\":\"Anna\",\"status\":\"\",\"listing_date\":\"\","               \
    "\"category\":\"stock\",\"records\":1,\"first\":1593475200,\"last\":1593475200}"
#define SX                                                                                         \
    "{\"subject\":\"x\",\"name\":\"x\",\"status\":\"\",\"listing_date\":\"\","                     \
    "\"category\":\"\",\"records\":2,\"first\":1625011200,\"last\":1625011200}"

struct ask {
    const char *body, *answer;
};

static void check_answers(world_query_fn query, const struct ask *asks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CHECK_STR(answer(query, asks[i].body), asks[i].answer);
    }
}

static void subjects_are_listed_by_key_with_their_records(void)
{
    static const struct ask asks[] = {
        {"", BEGIN S1 "," S10 "," S2 "," SX "],\"total\":4}"},
        {"{\"topic\":\"*\",\"limit\":0}", BEGIN S1 "," S10 "," S2 "," SX "],\"total\":4}"},
        {"{\"prefix\":\"33:1\"}", BEGIN S1 "," S10 "],\"total\":2}"},
        {"{\"prefix\":\"\",\"q\":\"\",\"topic\":\"other\"}", BEGIN SX "],\"total\":1}"},
        {"{\"topic\":\"pool\"}", BEGIN S1 "," S2 "],\"total\":2}"}, /* at any time */
        {"{\"topic\":\"nowhere\"}", BEGIN "],\"total\":0}"},
        {"{\"q\":\"nn\"}", BEGIN S2 "],\"total\":1}"},
        {"{\"q\":\"州茅\"}", BEGIN S10 "],\"total\":1}"},
        {"{\"q\":\"3:1\"}", BEGIN S1 "," S10 "],\"total\":2}"},
        {"{\"q\":\"NN\"}", BEGIN "],\"total\":0}"},
        {"{\"prefix\":\"33:\",\"q\":\"2\",\"topic\":\"pool\"}", BEGIN S2 "],\"total\":1}"},
    };
    open_market("subjects.db");
    check_answers(kt_query_subjects, asks, KT_ARRAY_LEN(asks));
    world_close(&world);
}

static void topics_are_listed_with_their_members(void)
{
    static const struct ask asks[] = {
        {"", BEGIN "{\"topic\":\"other\",\"subjects\":1},{\"topic\":\"pool\",\"subjects\":2}],"
                   "\"total\":2}"},
        {"{\"topic\":\"pool\"}", BEGIN "{\"topic\":\"pool\",\"subjects\":2}],\"total\":1}"},
        {"{\"q\":\"the\"}", BEGIN "{\"topic\":\"other\",\"subjects\":1}],\"total\":1}"},
        {"{\"prefix\":\"p\"}", BEGIN "{\"topic\":\"pool\",\"subjects\":2}],\"total\":1}"},
        {"{\"topic\":\"nowhere\"}", BEGIN "],\"total\":0}"},
    };
    open_market("topics.db");
    check_answers(kt_query_topics, asks, KT_ARRAY_LEN(asks));
    world_stay(&world, "x", "third", KT_TIME_MIN, KT_TIME_MAX); /* replaces its only stay */
    world_commit_on(&world, "2024-07-02");
    CHECK_STR(answer(kt_query_topics, "{\"q\":\"th\"}"),
              BEGIN "{\"topic\":\"third\",\"subjects\":1}],\"total\":1}");
    world_close(&world);
}

static void indicators_are_listed_and_counted_when_a_topic_is_named(void)
{
    static const struct ask asks[] = {
        {"", BEGIN "{\"indicator\":\"eps\"},{\"indicator\":\"rev\"},{\"indicator\":\"roe\"}],"
                   "\"total\":3}"},
        {"{\"prefix\":\"r\",\"q\":\"o\"}", BEGIN "{\"indicator\":\"roe\"}],\"total\":1}"},
        {"{\"topic\":\"*\"}",
         BEGIN "{\"indicator\":\"eps\",\"subjects\":3,\"records\":4,\"first\":-86400,"
               "\"last\":1625011200},"
               "{\"indicator\":\"roe\",\"subjects\":1,\"records\":1,\"first\":1625011200,"
               "\"last\":1625011200}],\"total\":2}"}, /* rev was cleared */
        {"{\"topic\":\"pool\"}",
         BEGIN "{\"indicator\":\"eps\",\"subjects\":2,\"records\":2,\"first\":-86400,"
               "\"last\":1593475200}],\"total\":1}"},
        {"{\"topic\":\"pool\",\"q\":\"roe\"}", BEGIN "],\"total\":0}"},
        {"{\"topic\":\"nowhere\"}", BEGIN "],\"total\":0}"},
    };
    open_market("indicators.db");
    check_answers(kt_query_indicators, asks, KT_ARRAY_LEN(asks));
    world_close(&world);
}

/* Every page by its cursor; the keys, joined. */
static const char *walk(world_query_fn query, const char *key, int limit)
{
    static char text[4096];
    char body[1200];
    size_t len = 0;
    text[0] = '\0';
    snprintf(body, sizeof body, "{\"limit\":%d}", limit);
    for (int page = 0; page < 100; page++) {
        struct kt_json *json = NULL;
        answer(query, body);
        KT_ASSERT(kt_json_parse(kt_buf_str(&world.response.body), 16, &json, &world.err) == KT_OK);
        const struct kt_json_value *data = kt_json_member(kt_json_root(json), "data"), *row = NULL;
        while ((row = kt_json_next(data, row)) != NULL) {
            struct kt_str value = kt_json_string(kt_json_member(row, key));
            len += (size_t)snprintf(text + len, sizeof text - len, "%s" KT_STR_FMT, len ? " " : "",
                                    KT_STR_ARG(value));
        }
        kt_json_free(&json);
        const char *next = world_next(&world);
        if (!next[0]) {
            break;
        }
        snprintf(body, sizeof body, "{\"limit\":%d,\"cursor\":\"%s\"}", limit, next);
    }
    return text;
}

static void pages_hold_every_key_once(void)
{
    char key[16], all[1024] = "";
    open_market("pages.db");
    for (int limit = 1; limit <= 5; limit++) {
        CHECK_STR(walk(kt_query_subjects, "subject", limit), "33:1 33:10 33:2 x");
        CHECK_STR(walk(kt_query_topics, "topic", limit), "other pool");
        CHECK_STR(walk(kt_query_indicators, "indicator", limit), "eps rev roe");
    }
    for (int i = 0; i < 60; i++) { /* made in another order than that of the keys */
        snprintf(key, sizeof key, "y%02d", i * 37 % 60);
        world_subject(&world, key, NULL, NULL);
        snprintf(all + strlen(all), sizeof all - strlen(all), " y%02d", i);
    }
    world_commit_on(&world, "2024-07-02");
    const char *keys = walk(kt_query_subjects, "subject", 7);
    CHECK(strncmp(keys, "33:1 33:10 33:2 x", 17) == 0);
    CHECK_STR(keys + 17, all);
    world_close(&world);
}

static void a_cursor_of_another_list_or_a_made_up_one_is_refused(void)
{
    char body[1200];
    open_market("cursor.db");
    answer(kt_query_subjects, "{\"limit\":1}");
    snprintf(body, sizeof body, "{\"cursor\":\"%s\"}", world_next(&world));
    CHECK_INT(world_ask_of(&world, kt_query_subjects, body), KT_OK);
    world_check_refused(&world, kt_query_topics, body, "bad_value", "cursor");
    body[20] = body[20] == 'A' ? 'B' : 'A';
    world_check_refused(&world, kt_query_subjects, body, "bad_value", "cursor");
    world_close(&world);
}

static const struct {
    const char *body, *code, *field;
} refusals[] = {
    {"[]", "bad_value", ""},
    {"{\"topic\":\"\"}", "bad_value", "topic"},
    {"{\"topic\":5}", "bad_value", "topic"},
    {"{\"topic\":[\"pool\"]}", "bad_value", "topic"},
    {"{\"prefix\":5}", "bad_value", "prefix"},
    {"{\"prefix\":\"\\n\"}", "bad_value", "prefix"},
    {"{\"q\":{}}", "bad_value", "q"},
    {"{\"q\":\"\\u0007\"}", "bad_value", "q"},
    {"{\"limit\":-1}", "bad_value", "limit"},
    {"{\"limit\":1001}", "bad_value", "limit"},
    {"{\"limit\":\"5\"}", "bad_value", "limit"},
    {"{\"limit\":1.5}", "bad_value", "limit"},
    {"{\"cursor\":5}", "bad_value", "cursor"},
    {"{\"cursor\":\"\"}", "bad_value", "cursor"},
    {"{\"cursor\":\"MzM6MQ\"}", "bad_value", "cursor"},
    {"{\"cursor\":\"*\"}", "bad_value", "cursor"},
    {"{\"offset\":1}", "unknown_field", "offset"},
    {"{\"subjects\":\"A\"}", "unknown_field", "subjects"},
};

static void bad_listings_are_refused_by_name(void)
{
    static const world_query_fn queries[] = {kt_query_subjects, kt_query_topics,
                                             kt_query_indicators};
    char body[256], name[130];
    open_market("refuse.db");
    for (size_t i = 0; i < KT_ARRAY_LEN(refusals); i++) {
        for (size_t j = 0; j < KT_ARRAY_LEN(queries); j++) {
            world_check_refused(&world, queries[j], refusals[i].body, refusals[i].code,
                                refusals[i].field);
        }
    }
    memset(name, 'a', sizeof name);
    snprintf(body, sizeof body, "{\"q\":\"%.129s\"}", name);
    world_check_refused(&world, kt_query_subjects, body, "bad_value", "q");
    snprintf(body, sizeof body, "{\"q\":\"%.128s\"}", name);
    CHECK_INT(world_ask_of(&world, kt_query_subjects, body), KT_OK);
    world_close(&world);
}

static void a_listing_is_bounded_in_memory_and_time(void)
{
    open_market("bounded.db");
    world_check_memory(&world, kt_query_subjects, "{\"limit\":2}");
    world_check_memory(&world, kt_query_topics, "{\"limit\":1}");
    world_check_memory(&world, kt_query_indicators, "{\"topic\":\"*\"}");
    world_check_deadline(&world, kt_query_subjects, "");
    world_check_deadline(&world, kt_query_topics, "");
    world_check_deadline(&world, kt_query_indicators, "{\"topic\":\"*\"}");
    world_close(&world);
}

static const struct kt_test tests[] = {
    TEST(subjects_are_listed_by_key_with_their_records),
    TEST(topics_are_listed_with_their_members),
    TEST(indicators_are_listed_and_counted_when_a_topic_is_named),
    TEST(pages_hold_every_key_once),
    TEST(a_cursor_of_another_list_or_a_made_up_one_is_refused),
    TEST(bad_listings_are_refused_by_name),
    TEST(a_listing_is_bounded_in_memory_and_time),
};
KT_TEST_MAIN(tests)

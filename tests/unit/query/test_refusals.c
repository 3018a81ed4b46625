/* SPDX-License-Identifier: MIT */
/* Each row is a request that must be refused: status, code and field are part of the contract. */
#include "kt_test.h"

#include "world.h"

#include "base/mem.h"

static struct world world;

static void open_world(const char *name)
{
    world_open(&world, name, world_date("2024-01-01") * 1000);
    world_record(&world, "A", "2024-03-31", "Q1", NULL, "eps=1 rev=10");
    world_record(&world, "A", "2024-06-30", "Q2", NULL, "eps=2 rev=20");
    world_record(&world, "B", "2024-03-31", "Q1", NULL, "eps=3");
    world_commit_on(&world, "2024-07-01");
}

struct refusal {
    const char *body, *code, *field;
};

static const struct refusal of_both[] = {
    /* JSON that is none */
    {"{", "bad_value", ""},
    {"[]", "bad_value", ""},
    {"5", "bad_value", ""},
    {"null", "bad_value", ""},
    {"{\"ids\":[\"eps\"],}", "bad_value", ""},
    {"{} {}", "bad_value", ""},
    {"\xef\xbb\xbf{}", "bad_value", ""},
    {"{\"topic\":\"\xff\"}", "bad_value", ""},
    {"{\"limit\":NaN}", "bad_value", ""},
    {"{\"limit\":Infinity}", "bad_value", ""},
    {"{\"limit\":1e999}", "bad_value", ""},
    {"{\"limit\":01}", "bad_value", ""},
    {"{'limit':1}", "bad_value", ""},
    /* members that nobody knows */
    {"{\"subjects\":[\"A\"],\"limitt\":1}", "unknown_field", "limitt"},
    {"{\"subjects\":[\"A\"],\"\":1}", "unknown_field", ""},
    {"{\"subjects\":[\"A\"],\"Limit\":null}", "unknown_field", "Limit"},
    /* lists */
    {"{\"ids\":5}", "bad_value", "ids"},
    {"{\"ids\":{}}", "bad_value", "ids"},
    {"{\"ids\":[5]}", "bad_value", "ids"},
    {"{\"ids\":[\"\"]}", "bad_value", "ids"},
    {"{\"ids\":\"a,,b\"}", "bad_value", "ids"},
    {"{\"subjects\":true}", "bad_value", "subjects"},
    {"{\"subjects\":[null]}", "bad_value", "subjects"},
    {"{\"subjects\":[\"a\\u0001\"]}", "bad_value", "subjects"},
    {"{\"subjects\":[\"a\",\"b\",\"c\",\"d\",\"e\"]}", "too_large", "subjects"},
    {"{\"subjects\":\"a,b,c,d,e\"}", "too_large", "subjects"},
    {"{\"subjects\":[\"A\"],\"periods\":1}", "bad_value", "periods"},
    {"{\"subjects\":[\"A\"],\"periods\":[1]}", "bad_value", "periods"},
    {"{\"subjects\":[\"A\"],\"periods\":\"Q1,,Q2\"}", "bad_value", "periods"},
    /* topic */
    {"{\"topic\":5}", "bad_value", "topic"},
    {"{\"topic\":\"\"}", "bad_value", "topic"},
    {"{\"topic\":[\"*\"]}", "bad_value", "topic"},
    {"{\"topic\":\"*\",\"subjects\":[\"A\"]}", "bad_value", "topic"},
    /* order */
    {"{\"subjects\":[\"A\"],\"order\":0}", "bad_value", "order"},
    {"{\"subjects\":[\"A\"],\"order\":2}", "bad_value", "order"},
    {"{\"subjects\":[\"A\"],\"order\":-1.5}", "bad_value", "order"},
    {"{\"subjects\":[\"A\"],\"order\":\"DESC\"}", "bad_value", "order"},
    {"{\"subjects\":[\"A\"],\"order\":\"\"}", "bad_value", "order"},
    {"{\"subjects\":[\"A\"],\"order\":true}", "bad_value", "order"},
    {"{\"subjects\":[\"A\"],\"order\":[1]}", "bad_value", "order"},
    /* paging */
    {"{\"subjects\":[\"A\"],\"limit\":-1}", "bad_value", "limit"},
    {"{\"subjects\":[\"A\"],\"limit\":10001}", "bad_value", "limit"},
    {"{\"subjects\":[\"A\"],\"limit\":1e300}", "bad_value", "limit"},
    {"{\"subjects\":[\"A\"],\"limit\":1.5}", "bad_value", "limit"},
    {"{\"subjects\":[\"A\"],\"limit\":\"5\"}", "bad_value", "limit"},
    {"{\"subjects\":[\"A\"],\"limit\":false}", "bad_value", "limit"},
    {"{\"subjects\":[\"A\"],\"offset\":-1}", "bad_value", "offset"},
    {"{\"subjects\":[\"A\"],\"offset\":0.5}", "bad_value", "offset"},
    {"{\"subjects\":[\"A\"],\"offset\":1e19}", "bad_value", "offset"},
    {"{\"subjects\":[\"A\"],\"offset\":\"x\"}", "bad_value", "offset"},
    {"{\"subjects\":[\"A\"],\"offset\":{}}", "bad_value", "offset"},
    /* times */
    {"{\"subjects\":[\"A\"],\"as_of\":\"yesterday\"}", "bad_value", "as_of"},
    {"{\"subjects\":[\"A\"],\"as_of\":1.5}", "bad_value", "as_of"},
    {"{\"subjects\":[\"A\"],\"as_of\":true}", "bad_value", "as_of"},
    {"{\"subjects\":[\"A\"],\"as_of\":1e18}", "bad_value", "as_of"},
    {"{\"subjects\":[\"A\"],\"as_of\":\"2023-02-29\"}", "bad_value", "as_of"},
    {"{\"subjects\":[\"A\"],\"recorded_by\":-1}", "bad_value", "recorded_by"},
    {"{\"subjects\":[\"A\"],\"recorded_by\":1.5}", "bad_value", "recorded_by"},
    {"{\"subjects\":[\"A\"],\"recorded_by\":1e300}", "bad_value", "recorded_by"},
    {"{\"subjects\":[\"A\"],\"recorded_by\":3}", "bad_value", "recorded_by"},
    {"{\"subjects\":[\"A\"],\"recorded_by\":\"3\"}", "bad_value", "recorded_by"},
    {"{\"subjects\":[\"A\"],\"recorded_by\":\"18446744073709551615\"}", "bad_value", "recorded_by"},
    {"{\"subjects\":[\"A\"],\"recorded_by\":\"99999999999999999999\"}", "bad_value", "recorded_by"},
    {"{\"subjects\":[\"A\"],\"recorded_by\":\"-2\"}", "bad_value", "recorded_by"},
    {"{\"subjects\":[\"A\"],\"recorded_by\":\"\"}", "bad_value", "recorded_by"},
    {"{\"subjects\":[\"A\"],\"recorded_by\":\"@\"}", "bad_value", "recorded_by"},
    {"{\"subjects\":[\"A\"],\"recorded_by\":\"@1.5\"}", "bad_value", "recorded_by"},
    {"{\"subjects\":[\"A\"],\"recorded_by\":\"@999999999999999\"}", "bad_value", "recorded_by"},
    {"{\"subjects\":[\"A\"],\"recorded_by\":\"2024-13-01\"}", "bad_value", "recorded_by"},
    {"{\"subjects\":[\"A\"],\"recorded_by\":[2]}", "bad_value", "recorded_by"},
    {"{\"subjects\":[\"A\"],\"method\":5}", "bad_value", "method"},
};

static const struct refusal of_snapshot[] = {
    {"{\"field\":\"x; DROP TABLE\"}", "bad_value", "field"},
    {"{\"field\":\"nothing\"}", "bad_value", "field"},
    {"{\"field\":\"\"}", "bad_value", "field"},
    {"{\"field\":\"end_date\"}", "bad_value", "field"},
    {"{\"field\":5}", "bad_value", "field"},
    {"{\"field\":[\"eps\"]}", "bad_value", "field"},
    {"{\"timestamp\":\"now\"}", "bad_value", "timestamp"},
    {"{\"timestamp\":1.25}", "bad_value", "timestamp"},
    {"{\"timestamp\":1e30}", "bad_value", "timestamp"},
    {"{\"timestamp\":{}}", "bad_value", "timestamp"},
    {"{\"timestamp\":\"10000-01-01\"}", "bad_value", "timestamp"},
    {"{\"from\":\"2024-01-01\"}", "unknown_field", "from"},
    {"{\"to\":0}", "unknown_field", "to"},
    {"{\"interval\":\"1d\"}", "unknown_field", "interval"},
    {"{\"fill\":\"x\"}", "bad_value", "fill"},
    {"{\"fill\":\"\"}", "bad_value", "fill"},
    {"{\"fill\":\"Previous\"}", "bad_value", "fill"},
    {"{\"fill\":0}", "bad_value", "fill"},
    {"{\"fill\":[\"previous\"]}", "bad_value", "fill"},
    {"{\"max_age\":-1}", "bad_value", "max_age"},
    {"{\"max_age\":1.5}", "bad_value", "max_age"},
    {"{\"max_age\":1e30}", "bad_value", "max_age"},
    {"{\"max_age\":\"5\"}", "bad_value", "max_age"},
    {"{\"max_age\":\"1d\"}", "bad_value", "max_age"},
    {"{\"max_age\":true}", "bad_value", "max_age"},
    {"{\"cursor\":\"abc\"}", "bad_value", "cursor"},
    {"{\"cursor\":\"\"}", "bad_value", "cursor"},
    {"{\"cursor\":7}", "bad_value", "cursor"},
    {"{\"cursor\":\"AAAA\",\"offset\":0}", "bad_value", "cursor"},
};

static const struct refusal of_period[] = {
    {"", "bad_value", "subjects"},
    {"{}", "bad_value", "subjects"},
    {"{\"subjects\":[]}", "bad_value", "subjects"},
    {"{\"subjects\":\"\"}", "bad_value", "subjects"},
    {"{\"subjects\":[\"A\"],\"from\":\"2024-02-01\",\"to\":\"2024-01-31\"}", "bad_value", "from"},
    {"{\"subjects\":[\"A\"],\"from\":100,\"to\":99}", "bad_value", "from"},
    {"{\"subjects\":[\"A\"],\"from\":\"then\"}", "bad_value", "from"},
    {"{\"subjects\":[\"A\"],\"to\":\"then\"}", "bad_value", "to"},
    {"{\"subjects\":[\"A\"],\"to\":true}", "bad_value", "to"},
    {"{\"subjects\":[\"A\"],\"interval\":\"1h\"}", "bad_value", "interval"},
    {"{\"subjects\":[\"A\"],\"interval\":\"1m\"}", "bad_value", "interval"},
    {"{\"subjects\":[\"A\"],\"interval\":\"1D\"}", "bad_value", "interval"},
    {"{\"subjects\":[\"A\"],\"interval\":\"2d\"}", "bad_value", "interval"},
    {"{\"subjects\":[\"A\"],\"interval\":\"\"}", "bad_value", "interval"},
    {"{\"subjects\":[\"A\"],\"interval\":5}", "bad_value", "interval"},
    {"{\"subjects\":[\"A\"],\"interval\":[\"1d\"]}", "bad_value", "interval"},
    {"{\"subjects\":[\"A\"],\"interval\":{\"1d\":{\"1d\":1}}}", "bad_value", "interval"},
    {"{\"subjects\":[\"A\"],\"agg\":\"sum\"}", "bad_value", "agg"},
    {"{\"subjects\":[\"A\"],\"agg\":\"last\",\"interval\":null}", "bad_value", "agg"},
    {"{\"subjects\":[\"A\"],\"interval\":\"1d\",\"agg\":\"median\"}", "bad_value", "agg"},
    {"{\"subjects\":[\"A\"],\"interval\":\"1d\",\"agg\":\"SUM\"}", "bad_value", "agg"},
    {"{\"subjects\":[\"A\"],\"interval\":\"1d\",\"agg\":\"\"}", "bad_value", "agg"},
    {"{\"subjects\":[\"A\"],\"interval\":\"1d\",\"agg\":1}", "bad_value", "agg"},
    {"{\"subjects\":[\"A\"],\"field\":\"eps\"}", "unknown_field", "field"},
    {"{\"subjects\":[\"A\"],\"timestamp\":0}", "unknown_field", "timestamp"},
    {"{\"subjects\":[\"A\"],\"fill\":\"none\"}", "unknown_field", "fill"},
    {"{\"subjects\":[\"A\"],\"max_age\":5}", "unknown_field", "max_age"},
    {"{\"subjects\":[\"A\"],\"cursor\":\"abc\"}", "unknown_field", "cursor"},
};

static void check_refusals(bool period, const struct refusal *rows, size_t count)
{
    world.env.limits.max_subjects = 4;
    for (size_t i = 0; i < count; i++) {
        enum kt_status status = world_ask(&world, period, rows[i].body);
        int http = strcmp(rows[i].code, "too_large") == 0 ? 413 : 400;
        const struct kt_error *err = &world.err;
        if (kt_status_http(status) != http || status != err->status ||
            strcmp(kt_status_code(status), rows[i].code) != 0 ||
            strcmp(err->field, rows[i].field) != 0 || !strstr(err->message, rows[i].field) ||
            !err->message[0] || world.response.body.len_bytes != 0) {
            kt_test_fail(__FILE__, __LINE__, "%s %s: %d %s \"%s\": %s",
                         period ? "period" : "snapshot", rows[i].body, kt_status_http(status),
                         kt_status_code(status), err->field, err->message);
        }
    }
}

static void bad_snapshots_are_refused_by_name(void)
{
    open_world("snapshot.db");
    check_refusals(false, of_both, KT_ARRAY_LEN(of_both));
    check_refusals(false, of_snapshot, KT_ARRAY_LEN(of_snapshot));
    world_close(&world);
}

static void bad_periods_are_refused_by_name(void)
{
    open_world("period.db");
    check_refusals(true, of_both, KT_ARRAY_LEN(of_both));
    check_refusals(true, of_period, KT_ARRAY_LEN(of_period));
    world_close(&world);
}

static void deep_huge_and_doubled_json_is_refused(void)
{
    struct kt_buf body;
    open_world("deep.db");
    kt_buf_init(&body, 0);
    kt_buf_append_text(&body, "{\"ids\":");
    for (int i = 0; i < 100000; i++) {
        kt_buf_append_byte(&body, '[');
    }
    CHECK_INT(kt_status_http(world_ask(&world, false, body.data)), 400);
    kt_buf_clear(&body);
    kt_buf_append_text(&body, "{\"limit\":1,\"limit\":2}");
    CHECK_INT(world_ask(&world, false, body.data), KT_BAD_VALUE);
    kt_buf_clear(&body);
    kt_buf_append_text(&body, "{\"topic\":\"");
    for (int i = 0; i < 1 << 20; i++) {
        kt_buf_append_byte(&body, 'a');
    }
    kt_buf_append_text(&body, "\"}");
    CHECK_INT(world_ask(&world, false, body.data), KT_BAD_VALUE);
    CHECK_STR(world.err.field, "topic");
    kt_buf_done(&body);
    world_close(&world);
}

/* null is the same as absent, also for what is not built; "none" is fill's default. */
static void null_is_absent_everywhere(void)
{
    open_world("null.db");
    CHECK_STR(world_rows(&world, "{\"ids\":null,\"subjects\":null,\"topic\":null,\"periods\":null,"
                                 "\"field\":null,\"order\":null,\"offset\":null,\"limit\":null,"
                                 "\"timestamp\":null,\"as_of\":null,\"recorded_by\":null,"
                                 "\"fill\":null,\"max_age\":null,\"cursor\":null,\"method\":null}"),
              "B A/2");
    CHECK_STR(world_rows(&world, "{\"fill\":\"none\",\"method\":\"market:code\"}"), "B A/2");
    CHECK_INT(world_ask(&world, true,
                        "{\"subjects\":\"A\",\"from\":null,\"to\":null,\"interval\":null,"
                        "\"agg\":null,\"order\":null,\"limit\":null}"),
              KT_OK);
    world_close(&world);
}

static void an_answer_beyond_its_values_is_refused(void)
{
    open_world("values.db");
    world.env.limits.max_values = 3;
    CHECK_STR(world_rows(&world, "{}"), "B A/2");
    CHECK_INT(world_ask(&world, true, "{\"topic\":\"*\",\"ids\":\"eps\"}"), KT_OK);
    CHECK_INT(world_ask(&world, true, "{\"topic\":\"*\"}"), KT_TOO_LARGE);
    CHECK_INT(world.response.body.len_bytes, 0);
    world.env.limits.max_values = 2;
    CHECK_INT(world_ask(&world, false, "{}"), KT_TOO_LARGE);
    CHECK_INT(world_ask(&world, false, "{\"limit\":1}"), KT_OK);
    world_close(&world);
}

static void a_body_beyond_its_bound_is_refused_and_taken_back(void)
{
    open_world("bound.db");
    CHECK_INT(world_ask(&world, false, "{}"), KT_OK);
    size_t full = world.response.body.len_bytes;
    kt_http_response_done(&world.response);
    kt_http_response_init(&world.response, world.arena, full - 1);
    for (int period = 0; period < 2; period++) {
        CHECK_INT(world_ask(&world, period, "{\"subjects\":\"A,B\",\"order\":1}"), KT_TOO_LARGE);
        CHECK_INT(world.response.body.len_bytes, 0);
        CHECK_INT(kt_buf_status(&world.response.body), KT_OK);
    }
    world_close(&world);
}

/* Wherever in a row the bound is reached; at the answer's own length it is not. */
static void each_bound_below_the_answer_is_refused(void)
{
    open_world("bounds.db");
    for (int period = 0; period < 2; period++) {
        const char *body = "{\"subjects\":\"A,B\",\"order\":1}";
        CHECK_INT(world_ask(&world, period, body), KT_OK);
        size_t full = world.response.body.len_bytes;
        for (size_t bound = 1; bound <= full; bound++) {
            kt_http_response_done(&world.response);
            kt_http_response_init(&world.response, world.arena, bound);
            CHECK_INT(world_ask(&world, period, body), bound < full ? KT_TOO_LARGE : KT_OK);
            CHECK_INT(world.response.body.len_bytes, bound < full ? 0 : full);
        }
        kt_http_response_done(&world.response);
        kt_http_response_init(&world.response, world.arena, 0);
    }
    world_close(&world);
}

static void a_query_out_of_time_says_so(void)
{
    open_world("late.db");
    world.env.deadline_mono_ms = kt_now_mono_ms() - 1;
    CHECK_INT(world_ask(&world, false, "{}"), KT_TIMEOUT);
    CHECK_INT(world_ask(&world, true, "{\"subjects\":\"A\"}"), KT_TIMEOUT);
    CHECK_INT(world.response.body.len_bytes, 0);
    world_close(&world);
}

static void without_memory_nothing_leaks_and_the_answer_is_untouched(void)
{
    static const char *const bodies[] = {"{\"subjects\":\"A,B\",\"ids\":\"rev,eps\"}",
                                         "{\"topic\":\"*\",\"recorded_by\":\"2024-07-01\"}",
                                         "{\"topic\":\"*\",\"limit\":1}"};
    open_world("memory.db");
    for (size_t n = 0; n < 2 * KT_ARRAY_LEN(bodies); n++) {
        enum kt_status status = KT_NO_MEMORY;
        for (uint64_t nth = 1; nth < 500 && status != KT_OK; nth++) {
            kt_series_cache_clear(world.cache);
            kt_http_response_done(&world.response);
            kt_http_response_init(&world.response, world.arena, 1 << 20);
            kt_fault_set(KT_FAULT_ALLOC, nth, 0);
            status = world_ask(&world, n & 1, bodies[n / 2]);
            kt_fault_set(KT_FAULT_ALLOC, 0, 0);
            CHECK(status == KT_OK || status == KT_NO_MEMORY);
            CHECK(status == KT_OK || world.response.body.len_bytes == 0);
        }
        CHECK_INT(status, KT_OK);
    }
    world_close(&world);
}

/* What the hold callback was asked, and what it answers. */
static struct {
    int calls;
    uint64_t seq;
    int64_t wall_ms, deadline_mono_ms;
    enum kt_status answer;
    bool commits; /* the node catches up while it waits */
} held;

static enum kt_status on_hold(void *ctx, uint64_t seq, int64_t wall_ms, int64_t deadline_mono_ms,
                              struct kt_error *err)
{
    struct world *w = ctx;
    held.calls++;
    held.seq = seq;
    held.wall_ms = wall_ms;
    held.deadline_mono_ms = deadline_mono_ms;
    if (held.commits) {
        world_record(w, "C", "2024-03-31", "Q1", NULL, "eps=9");
        world_commit_on(w, "2024-07-02");
    }
    return held.answer == KT_OK ? KT_OK : kt_fail(err, held.answer, "said the node");
}

static void open_held(const char *name)
{
    open_world(name);
    memset(&held, 0, sizeof held);
    world.env.hold = on_hold;
    world.env.hold_ctx = &world;
}

static void recorded_by_waits_for_a_revision_not_yet_held(void)
{
    open_held("hold.db");
    CHECK_STR(world_rows(&world, "{\"recorded_by\":2}"), "B A/2");
    CHECK_INT(held.calls, 0);
    held.commits = true;
    CHECK_STR(world_rows(&world, "{\"recorded_by\":3}"), "C B A/3");
    CHECK_INT(held.calls, 1);
    CHECK_INT(held.seq, 3);
    CHECK_INT(held.wall_ms, 0);
    CHECK_INT(held.deadline_mono_ms, world.env.deadline_mono_ms);
    held.commits = false;
    CHECK_STR(world_rows(&world, "{\"recorded_by\":4}"), "unavailable ");
    held.answer = KT_BAD_VALUE;
    CHECK_STR(world_rows(&world, "{\"recorded_by\":\"4\"}"), "bad_value recorded_by");
    held.answer = KT_UNAVAILABLE;
    CHECK_STR(world_rows(&world, "{\"recorded_by\":4}"), "unavailable ");
    world_close(&world);
}

static void recorded_by_waits_for_a_time_not_yet_held(void)
{
    open_held("hold_time.db");
    CHECK_STR(world_rows(&world, "{\"recorded_by\":\"2024-06-30\"}"), "/0");
    CHECK_INT(held.calls, 0); /* the node holds something stamped later */
    held.commits = true;
    CHECK_STR(world_rows(&world, "{\"recorded_by\":\"2024-07-01\"}"), "B A/2");
    CHECK_INT(held.calls, 1);
    CHECK_INT(held.seq, 0);
    CHECK_INT(held.wall_ms, (world_date("2024-07-01") + KT_DAY_S) * 1000 - 1);
    held.commits = false;
    CHECK_STR(world_rows(&world, "{\"recorded_by\":\"2024-07-02\"}"), "C B A/3");
    CHECK_INT(held.calls, 2);
    held.answer = KT_UNAVAILABLE;
    CHECK_STR(world_rows(&world, "{\"recorded_by\":\"@1720000000\"}"), "unavailable ");
    CHECK_STR(world_rows(&world, "{\"recorded_by\":0}"), "C B A/3");
    CHECK_INT(held.calls, 3);
    world_close(&world);
}

static const struct kt_test tests[] = {
    TEST(bad_snapshots_are_refused_by_name),
    TEST(bad_periods_are_refused_by_name),
    TEST(deep_huge_and_doubled_json_is_refused),
    TEST(null_is_absent_everywhere),
    TEST(an_answer_beyond_its_values_is_refused),
    TEST(a_body_beyond_its_bound_is_refused_and_taken_back),
    TEST(each_bound_below_the_answer_is_refused),
    TEST(a_query_out_of_time_says_so),
    TEST(without_memory_nothing_leaks_and_the_answer_is_untouched),
    TEST(recorded_by_waits_for_a_revision_not_yet_held),
    TEST(recorded_by_waits_for_a_time_not_yet_held),
};
KT_TEST_MAIN(tests)

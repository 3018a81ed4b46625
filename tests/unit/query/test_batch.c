/* SPDX-License-Identifier: MIT */
/* Several questions at one view, and what they share. */
#include "kt_test.h"

#include "world.h"

#include "base/mem.h"

static struct world world;

static void open_market(const char *name)
{
    world_open(&world, name, world_date("2024-01-01") * 1000);
    world_record(&world, "A", "2020-03-31", "Q1", NULL, "eps=1 rev=10");
    world_record(&world, "A", "2020-06-30", "Q2", NULL, "eps=2");
    world_record(&world, "B", "2020-06-30", "Q2", NULL, "eps=3 rev=30");
    world_tag(&world, "B", "concept", "bank");
    world_commit_on(&world, "2024-07-01");
}

/* `id status` of each entry, joined by commas, or the batch's error. */
static const char *statuses_of(const char *body)
{
    static char text[4096];
    struct kt_json *json = NULL;
    size_t len = 0;
    if (world_ask_of(&world, kt_query_batch, body) != KT_OK) {
        snprintf(text, sizeof text, "%s %s", kt_status_code(world.err.status), world.err.field);
        return text;
    }
    KT_ASSERT(kt_json_parse(kt_buf_str(&world.response.body), 16, &json, &world.err) == KT_OK);
    const struct kt_json_value *data = kt_json_member(kt_json_root(json), "data"), *one = NULL;
    text[0] = '\0';
    while ((one = kt_json_next(data, one)) != NULL) {
        struct kt_str id = kt_json_string(kt_json_member(one, "id"));
        const struct kt_json_value *error = kt_json_member(one, "error");
        len +=
            (size_t)snprintf(text + len, sizeof text - len, "%s" KT_STR_FMT " %.0f", len ? "," : "",
                             KT_STR_ARG(id), kt_json_number(kt_json_member(one, "status_code")));
        if (error) {
            struct kt_str field = kt_json_string(kt_json_member(error, "field"));
            len +=
                (size_t)snprintf(text + len, sizeof text - len, " " KT_STR_FMT, KT_STR_ARG(field));
        }
    }
    kt_json_free(&json);
    return text;
}

/* The answer that the question gets alone, behind an id. */
static void append_alone(struct kt_buf *text, const char *id, world_query_fn query,
                         const char *body)
{
    kt_buf_printf(text, "{\"id\":\"%s\",%s", id, world_answer_of(&world, query, body) + 1);
}

static void each_entry_has_the_answer_that_it_gets_alone(void)
{
    struct kt_buf want;
    open_market("alone.db");
    kt_buf_init(&want, 0);
    kt_buf_append_text(&want, "{\"status_code\":0,\"status_msg\":\"success\",\"data\":[");
    append_alone(&want, "a", kt_query_snapshot, "{\"ids\":\"eps\",\"limit\":1}");
    kt_buf_append_byte(&want, ',');
    append_alone(&want, "b", kt_query_period,
                 "{\"subjects\":\"A\",\"interval\":\"1Y\",\"agg\":\"sum\"}");
    kt_buf_append_byte(&want, ',');
    append_alone(&want, "c\\\"", kt_query_selection_snapshot,
                 "{\"selection\":{\"keyword\":\"ban\"}}");
    kt_buf_append_byte(&want, ',');
    append_alone(&want, "d", kt_query_selection_period, "{\"selection\":{\"topic\":\"*\"}}");
    kt_buf_append_byte(&want, ',');
    append_alone(&want, "e", kt_query_snapshot, "");
    kt_buf_append_text(&want, "]}");
    CHECK_STR(
        world_answer_of(&world, kt_query_batch,
                        "{\"queries\":["
                        "{\"id\":\"a\",\"op\":\"snapshot\",\"body\":{\"ids\":\"eps\",\"limit\":1}},"
                        "{\"id\":\"b\",\"op\":\"period\",\"body\":"
                        "{\"subjects\":\"A\",\"interval\":\"1Y\",\"agg\":\"sum\"}},"
                        "{\"id\":\"c\\\"\",\"op\":\"selection_snapshot\",\"body\":"
                        "{\"selection\":{\"keyword\":\"ban\"}}},"
                        "{\"id\":\"d\",\"op\":\"selection_period\",\"body\":"
                        "{\"selection\":{\"topic\":\"*\"}}},"
                        "{\"id\":\"e\",\"op\":\"snapshot\"}]}"),
        want.data);
    kt_buf_done(&want);
    world_close(&world);
}

static void an_entry_that_fails_has_its_error_in_its_place(void)
{
    open_market("error.db");
    CHECK_STR(statuses_of(
                  "{\"queries\":["
                  "{\"id\":\"1\",\"op\":\"snapshot\",\"body\":{\"limit\":-1}},"
                  "{\"id\":\"2\",\"op\":\"snapshot\",\"body\":null},"
                  "{\"id\":\"3\",\"op\":\"period\"},"
                  "{\"id\":\"4\",\"op\":\"snapshot\",\"body\":{\"field\":\"nothing\"}},"
                  "{\"id\":\"5\",\"op\":\"snapshot\",\"body\":{\"recorded_by\":99}},"
                  "{\"id\":\"6\",\"op\":\"selection_period\",\"body\":{\"selection\":{\"x\":1}}},"
                  "{\"id\":\"7\",\"op\":\"period\",\"body\":{\"topic\":\"*\",\"timestamp\":1}}]}"),
              "1 400 limit,2 0,3 400 subjects,4 400 field,5 400 recorded_by,6 400 selection.x,"
              "7 400 timestamp");
    CHECK(strstr(world.response.body.data,
                 "{\"id\":\"1\",\"status_code\":400,\"status_msg\":\"limit must") != NULL);
    CHECK(strstr(world.response.body.data,
                 "\"data\":null,\"error\":{\"code\":\"bad_value\",\"field\":\"limit\","
                 "\"retry\":\"no\"}},{\"id\":\"2\",\"status_code\":0") != NULL);
    world_close(&world);
}

/* A cursor goes on inside a batch as it does alone, also one of a selection. */
static void a_cursor_goes_on_inside_a_batch(void)
{
    char body[4096], cursor[1024];
    open_market("cursor.db");
    CHECK_STR(world_rows_of(&world, kt_query_selection_snapshot,
                            "{\"selection\":{\"topic\":\"*\"},\"limit\":1,\"order\":1}"),
              "A/2");
    snprintf(cursor, sizeof cursor, "%s", world_next(&world));
    snprintf(body, sizeof body,
             "{\"queries\":[{\"id\":\"a\",\"op\":\"selection_snapshot\",\"body\":{\"selection\":"
             "{\"topic\":\"*\"},\"limit\":1,\"order\":1,\"cursor\":\"%s\"}},"
             "{\"id\":\"b\",\"op\":\"selection_snapshot\",\"body\":{\"selection\":"
             "{\"keyword\":\"b\"},\"limit\":1,\"order\":1,\"cursor\":\"%s\"}}]}",
             cursor, cursor);
    CHECK_STR(statuses_of(body), "a 0,b 400 cursor");
    CHECK(strstr(world.response.body.data, "\"subject\":{\"subject\":\"B\"") != NULL);
    CHECK(strstr(world.response.body.data, "\"subject\":{\"subject\":\"A\"") == NULL);
    world_close(&world);
}

static const struct {
    const char *body, *code, *field;
} refusals[] = {
    {"", "bad_value", "queries"},
    {"{}", "bad_value", "queries"},
    {"[]", "bad_value", ""},
    {"{\"queries\":[]}", "bad_value", "queries"},
    {"{\"queries\":{}}", "bad_value", "queries"},
    {"{\"queries\":\"snapshot\"}", "bad_value", "queries"},
    {"{\"queries\":[5]}", "bad_value", "queries[0]"},
    {"{\"queries\":[[]]}", "bad_value", "queries[0]"},
    {"{\"queries\":[null]}", "bad_value", "queries[0]"},
    {"{\"queries\":[{\"op\":\"snapshot\"}]}", "bad_value", "queries[0].id"},
    {"{\"queries\":[{\"id\":\"\",\"op\":\"snapshot\"}]}", "bad_value", "queries[0].id"},
    {"{\"queries\":[{\"id\":5,\"op\":\"snapshot\"}]}", "bad_value", "queries[0].id"},
    {"{\"queries\":[{\"id\":\"\\u0001\",\"op\":\"snapshot\"}]}", "bad_value", "queries[0].id"},
    {"{\"queries\":[{\"id\":\"a\"}]}", "bad_value", "queries[0].op"},
    {"{\"queries\":[{\"id\":\"a\",\"op\":\"save\"}]}", "bad_value", "queries[0].op"},
    {"{\"queries\":[{\"id\":\"a\",\"op\":\"batch\"}]}", "bad_value", "queries[0].op"},
    {"{\"queries\":[{\"id\":\"a\",\"op\":1}]}", "bad_value", "queries[0].op"},
    {"{\"queries\":[{\"id\":\"a\",\"op\":\"period\",\"body\":[]}]}", "bad_value",
     "queries[0].body"},
    {"{\"queries\":[{\"id\":\"a\",\"op\":\"period\",\"body\":\"{}\"}]}", "bad_value",
     "queries[0].body"},
    {"{\"queries\":[{\"id\":\"a\",\"op\":\"period\",\"limit\":1}]}", "unknown_field",
     "queries[0].limit"},
    {"{\"queries\":[{\"id\":\"a\",\"op\":\"snapshot\"},{\"id\":\"a\",\"op\":\"period\"}]}",
     "bad_value", "queries[1].id"},
    {"{\"queries\":[{\"id\":\"a\",\"op\":\"snapshot\"}],\"limit\":5}", "unknown_field", "limit"},
};

static void a_bad_form_refuses_the_whole_batch_by_name(void)
{
    open_market("form.db");
    for (size_t i = 0; i < KT_ARRAY_LEN(refusals); i++) {
        world_check_refused(&world, kt_query_batch, refusals[i].body, refusals[i].code,
                            refusals[i].field);
    }
    world_close(&world);
}

/* `{"queries":[…]}` of that many questions for each subject. */
static void make_many(struct kt_buf *body, int count, const char *fields)
{
    kt_buf_clear(body);
    kt_buf_append_text(body, "{\"queries\":[");
    for (int i = 0; i < count; i++) {
        kt_buf_printf(body, "%s{\"id\":\"%d\",\"op\":\"snapshot\",\"body\":{%s}}", i ? "," : "", i,
                      fields);
    }
    kt_buf_append_text(body, "]}");
}

static void a_hundred_questions_are_the_most(void)
{
    struct kt_buf body;
    open_market("many.db");
    kt_buf_init(&body, 0);
    make_many(&body, KT_QUERY_BATCH_MAX, "\"limit\":1");
    CHECK_INT(world_ask_of(&world, kt_query_batch, body.data), KT_OK);
    make_many(&body, KT_QUERY_BATCH_MAX + 1, "\"limit\":1");
    world_check_refused(&world, kt_query_batch, body.data, "too_large", "queries");
    kt_buf_clear(&body);
    kt_buf_append_text(&body, "{\"queries\":[{\"id\":\"a\",\"op\":\"snapshot\",\"body\":");
    for (int i = 0; i < 14; i++) {
        kt_buf_append_text(&body, "{\"ids\":");
    }
    CHECK_INT(kt_status_http(world_ask_of(&world, kt_query_batch, body.data)), 400);
    kt_buf_done(&body);
    world_close(&world);
}

static void limits_hold_for_the_batch_as_a_whole(void)
{
    struct kt_buf body;
    open_market("limits.db");
    kt_buf_init(&body, 0);
    make_many(&body, 3, "\"subjects\":\"A,B\"");
    world.env.limits.max_subjects = 5;
    world_check_refused(&world, kt_query_batch, body.data, "too_large", "queries");
    world.env.limits.max_subjects = 6;
    CHECK_STR(statuses_of(body.data), "0 0,1 0,2 0");
    /* A and B show three values */
    world.env.limits.max_values = 7;
    CHECK_STR(statuses_of(body.data), "0 0,1 0,2 413 ");
    world.env.limits.max_values = 9;
    CHECK_STR(statuses_of(body.data), "0 0,1 0,2 0");
    world_check_memory(&world, kt_query_snapshot, "{}");
    kt_buf_done(&body);
    world_close(&world);
}

static void an_answer_without_room_is_refused_entry_by_entry(void)
{
    struct kt_buf body;
    open_market("room.db");
    kt_buf_init(&body, 0);
    make_many(&body, 40, "\"subjects\":\"A,B\"");
    CHECK_INT(world_ask_of(&world, kt_query_batch, body.data), KT_OK);
    size_t full = world.response.body.len_bytes;
    /* room for all errors and half of the answers */
    kt_http_response_done(&world.response);
    kt_http_response_init(&world.response, world.arena, 40 * 4608 + full / 2);
    const char *statuses = statuses_of(body.data);
    CHECK(strstr(statuses, "0 0,1 0,") == statuses);
    CHECK_INT(kt_buf_status(&world.response.body), KT_OK);
    /* no room for anything */
    kt_http_response_done(&world.response);
    kt_http_response_init(&world.response, world.arena, 300);
    CHECK_STR(statuses_of(body.data), "too_large ");
    CHECK_INT(world.response.body.len_bytes, 0);
    kt_buf_done(&body);
    world_close(&world);
}

static void a_batch_out_of_time_says_so_in_each_entry(void)
{
    open_market("late.db");
    world.env.deadline_mono_ms = kt_now_mono_ms() - 1;
    CHECK_STR(statuses_of("{\"queries\":[{\"id\":\"a\",\"op\":\"snapshot\"},"
                          "{\"id\":\"b\",\"op\":\"snapshot\",\"body\":{\"limit\":-1}}]}"),
              "a 504 ,b 400 limit");
    world_close(&world);
}

static int holds;
static bool waits_less; /* than the whole time */

/* The node catches up while the second question waits. */
static enum kt_status on_hold(void *ctx, uint64_t seq, int64_t wall_ms, int64_t deadline_mono_ms,
                              struct kt_error *err)
{
    struct world *w = ctx;
    holds++;
    waits_less = deadline_mono_ms < w->env.deadline_mono_ms;
    if (seq > 3 || wall_ms) {
        return kt_fail(err, KT_UNAVAILABLE, "not yet");
    }
    world_record(w, "C", "2024-03-31", "Q1", NULL, "eps=9");
    world_commit_on(w, "2024-07-02");
    return KT_OK;
}

static void all_are_answered_at_one_revision_after_the_last_wait(void)
{
    open_market("revision.db");
    world.env.hold = on_hold;
    world.env.hold_ctx = &world;
    CHECK_STR(statuses_of("{\"queries\":[{\"id\":\"a\",\"op\":\"snapshot\"},"
                          "{\"id\":\"b\",\"op\":\"snapshot\",\"body\":{\"recorded_by\":3}},"
                          "{\"id\":\"c\",\"op\":\"snapshot\",\"body\":{\"recorded_by\":4}},"
                          "{\"id\":\"d\",\"op\":\"snapshot\",\"body\":{\"recorded_by\":2}}]}"),
              "a 0,b 0,c 503 ,d 0");
    CHECK_INT(holds, 2);
    CHECK(waits_less);
    const char *first = strstr(world.response.body.data, "\"total\":");
    CHECK(first && strncmp(first, "\"total\":3}", 10) == 0); /* a sees what b waited for */
    CHECK(strstr(world.response.body.data, "\"total\":2}]}") != NULL);
    bool said = false;
    for (size_t i = 0; i < world.response.header_count; i++) {
        said |= kt_str_eq_text(world.response.headers[i].name, "X-Kamaitachi-Revision") &&
                kt_str_eq_text(world.response.headers[i].value, "3");
    }
    CHECK(said);
    world_close(&world);
}

static void without_memory_entries_or_the_batch_say_so(void)
{
    static const char body[] =
        "{\"queries\":[{\"id\":\"a\",\"op\":\"snapshot\"},{\"id\":\"b\",\"op\":"
        "\"selection_period\",\"body\":{\"selection\":{\"topic\":\"*\"}}}]}";
    char text[64] = "";
    open_market("memory.db");
    for (uint64_t nth = 1; nth < 1000 && strcmp(text, "a 0,b 0") != 0; nth++) {
        kt_series_cache_clear(world.cache);
        kt_http_response_done(&world.response);
        kt_http_response_init(&world.response, world.arena, 1 << 20);
        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        enum kt_status status = world_ask_of(&world, kt_query_batch, body);
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        CHECK(status == KT_OK || status == KT_NO_MEMORY);
        CHECK(status == KT_OK || world.response.body.len_bytes == 0);
        bool whole = status == KT_OK && !strstr(world.response.body.data, "no_memory");
        kt_str_copy(text, sizeof text, whole ? kt_str("a 0,b 0") : KT_STR(""));
    }
    CHECK_STR(text, "a 0,b 0");
    CHECK_STR(statuses_of(body), text);
    world_close(&world);
}

static const struct kt_test tests[] = {
    TEST(each_entry_has_the_answer_that_it_gets_alone),
    TEST(an_entry_that_fails_has_its_error_in_its_place),
    TEST(a_cursor_goes_on_inside_a_batch),
    TEST(a_bad_form_refuses_the_whole_batch_by_name),
    TEST(a_hundred_questions_are_the_most),
    TEST(limits_hold_for_the_batch_as_a_whole),
    TEST(an_answer_without_room_is_refused_entry_by_entry),
    TEST(a_batch_out_of_time_says_so_in_each_entry),
    TEST(all_are_answered_at_one_revision_after_the_last_wait),
    TEST(without_memory_entries_or_the_batch_say_so),
};
KT_TEST_MAIN(tests)

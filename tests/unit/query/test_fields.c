/* SPDX-License-Identifier: MIT */
#include "kt_test.h"

#include "base/clock.h"
#include "base/mem.h"
#include "query/query.h"

static struct kt_error err;

/* One document {"x": …} and the arena behind it. */
struct doc {
    struct kt_json *json;
    struct kt_json_fields fields;
    struct kt_arena *arena;
};

static void doc_open(struct doc *doc, const char *text)
{
    struct kt_error why = KT_ERROR_INIT;
    doc->arena = kt_arena_new(1024, 1 << 20);
    KT_ASSERT(doc->arena);
    KT_ASSERT(kt_json_parse(kt_str(text), 16, &doc->json, &why) == KT_OK);
    KT_ASSERT(kt_json_fields_init(&doc->fields, kt_json_root(doc->json), "", &why) == KT_OK);
}

static void doc_close(struct doc *doc)
{
    kt_json_free(&doc->json);
    kt_arena_free(&doc->arena);
}

/* The items joined by '|'; the status in *ret_status. */
static const char *list_of(const char *text, enum kt_status *ret_status, bool *ret_present)
{
    static char joined[4096];
    struct doc doc;
    struct kt_str *items = NULL;
    size_t count = 0, len = 0;
    doc_open(&doc, text);
    *ret_status = kt_field_list(&doc.fields, "x", 4, doc.arena, &items, &count, ret_present, &err);
    joined[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        len += (size_t)snprintf(joined + len, sizeof joined - len, "%s" KT_STR_FMT, i ? "|" : "",
                                KT_STR_ARG(items[i]));
    }
    doc_close(&doc);
    return joined;
}

static void a_list_is_an_array_or_a_trimmed_csv(void)
{
    static const struct {
        const char *text, *joined;
        bool present;
    } rows[] = {
        {"{\"x\":[\"a\",\"b\"]}", "a|b", true},
        {"{\"x\":\"a,b\"}", "a|b", true},
        {"{\"x\":\" a ,\\tb c \"}", "a|b c", true},
        {"{\"x\":[\"a,b\",\" c\"]}", "a,b| c", true},
        {"{\"x\":\"a,a\"}", "a|a", true},
        {"{\"x\":\"\"}", "", true},
        {"{\"x\":\"  \"}", "", true},
        {"{\"x\":[]}", "", true},
        {"{\"x\":null}", "", false},
        {"{}", "", false},
        {"{\"x\":\"\xe4\xb8\xad,b\"}", "\xe4\xb8\xad|b", true},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(rows); i++) {
        enum kt_status status;
        bool present = !rows[i].present;
        const char *joined = list_of(rows[i].text, &status, &present);
        CHECK_INT(status, KT_OK);
        CHECK_STR(joined, rows[i].joined);
        CHECK_INT(present, rows[i].present);
    }
}

static void a_bad_list_names_the_field(void)
{
    static const struct {
        const char *text;
        enum kt_status status;
    } rows[] = {
        {"{\"x\":5}", KT_BAD_VALUE},
        {"{\"x\":true}", KT_BAD_VALUE},
        {"{\"x\":{}}", KT_BAD_VALUE},
        {"{\"x\":[1]}", KT_BAD_VALUE},
        {"{\"x\":[\"a\",null]}", KT_BAD_VALUE},
        {"{\"x\":[[\"a\"]]}", KT_BAD_VALUE},
        {"{\"x\":[\"\"]}", KT_BAD_VALUE},
        {"{\"x\":\"a,,b\"}", KT_BAD_VALUE},
        {"{\"x\":\"a,\"}", KT_BAD_VALUE},
        {"{\"x\":[\"a\\n\"]}", KT_BAD_VALUE},
        {"{\"x\":\"a,b,c,d,e\"}", KT_TOO_LARGE},
        {"{\"x\":[\"a\",\"b\",\"c\",\"d\",\"e\"]}", KT_TOO_LARGE},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(rows); i++) {
        enum kt_status status;
        bool present = false;
        list_of(rows[i].text, &status, &present);
        CHECK_INT(status, rows[i].status);
        CHECK_STR(err.field, "x");
        CHECK(!present);
    }
}

static void a_list_without_memory_fails_cleanly(void)
{
    struct doc doc;
    struct kt_str *items = NULL;
    size_t count = 77;
    doc_open(&doc, "{\"x\":[\"a\",\"b\"]}");
    kt_arena_free(&doc.arena);
    doc.arena = kt_arena_new(16, 16);
    enum kt_status status =
        kt_field_list(&doc.fields, "x", 4, doc.arena, &items, &count, NULL, &err);
    doc_close(&doc);
    CHECK_INT(status, KT_NO_MEMORY);
    CHECK_INT(count, 77);
}

static void a_time_means_what_its_side_of_the_bound_says(void)
{
    enum { S = KT_TIME_STORED, L = KT_TIME_LOWER, U = KT_TIME_UPPER };
    static const struct {
        const char *text;
        int rule;
        bool present;
        long long time_s;
    } rows[] = {
        {"{\"x\":\"2024-04-30\"}", S, true, 1714435200},
        {"{\"x\":\"2024-04-30\"}", L, true, 1714435200},
        {"{\"x\":\"2024-04-30\"}", U, true, 1714521599},
        {"{\"x\":1714435200}", U, true, 1714435200},
        {"{\"x\":\"1714435200\"}", U, true, 1714435200},
        {"{\"x\":-86400}", L, true, -86400},
        {"{\"x\":\"-86400\"}", S, true, -86400},
        {"{\"x\":0}", S, true, 0},
        {"{\"x\":0}", L, false, 99},
        {"{\"x\":0}", U, false, 99},
        {"{\"x\":-0.0}", U, false, 99},
        {"{\"x\":\"0\"}", U, false, 99},
        {"{\"x\":\"0\"}", S, true, 0},
        {"{\"x\":\"1970-01-01\"}", S, true, 0},
        {"{\"x\":\"1970-01-01\"}", L, true, 0},
        {"{\"x\":\"1970-01-01\"}", U, true, 86399},
        {"{\"x\":null}", U, false, 99},
        {"{}", S, false, 99},
        {"{\"x\":\"0001-01-01\"}", L, true, -62135596800LL},
        {"{\"x\":\"9999-12-31\"}", U, true, 253402300799LL},
        {"{\"x\":253402300799}", S, true, 253402300799LL},
        {"{\"x\":\"1751-01-01\"}", S, true, -6910963200LL},
        {"{\"x\":1e3}", S, true, 1000},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(rows); i++) {
        struct doc doc;
        int64_t time_s = 99;
        bool present = !rows[i].present;
        doc_open(&doc, rows[i].text);
        enum kt_status status = kt_field_time(&doc.fields, "x", (enum kt_time_rule)rows[i].rule,
                                              &time_s, &present, &err);
        doc_close(&doc);
        CHECK_INT(status, KT_OK);
        CHECK_INT(present, rows[i].present);
        CHECK_INT(time_s, rows[i].time_s);
    }
}

static void a_bad_time_names_the_field(void)
{
    static const char *const rows[] = {
        "{\"x\":1.5}",
        "{\"x\":true}",
        "{\"x\":[]}",
        "{\"x\":\"\"}",
        "{\"x\":\"today\"}",
        "{\"x\":\"2024-02-30\"}",
        "{\"x\":\"2024-4-1\"}",
        "{\"x\":\"2024/04/01\"}",
        "{\"x\":\" 5\"}",
        "{\"x\":\"5.0\"}",
        "{\"x\":253402300800}",
        "{\"x\":-62135596801}",
        "{\"x\":1e300}",
        "{\"x\":\"99999999999999999999\"}",
        "{\"x\":\"0000-01-01\"}",
        "{\"x\":\"2024-04-30T00:00:00\"}",
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(rows); i++) {
        struct doc doc;
        int64_t time_s = 99;
        doc_open(&doc, rows[i]);
        enum kt_status status = kt_field_time(&doc.fields, "x", KT_TIME_UPPER, &time_s, NULL, &err);
        doc_close(&doc);
        CHECK_INT(status, KT_BAD_VALUE);
        CHECK_STR(err.field, "x");
        CHECK_INT(time_s, 99);
    }
}

static void a_text_that_stands_alone_is_read_like_a_field(void)
{
    int64_t time_s = 0;
    bool is_zero = true;
    CHECK_OK(
        kt_time_parse_text(KT_STR("2024-04-30"), KT_TIME_UPPER, "to", &time_s, &is_zero, &err));
    CHECK_INT(time_s, 1714521599);
    CHECK(!is_zero);
    CHECK_OK(kt_time_parse_text(KT_STR("0"), KT_TIME_UPPER, "to", &time_s, &is_zero, &err));
    CHECK(is_zero);
    CHECK_OK(
        kt_time_parse_text(KT_STR("1970-01-01"), KT_TIME_LOWER, "to", &time_s, &is_zero, &err));
    CHECK(!is_zero);
    CHECK_INT(time_s, 0);
    CHECK_OK(kt_time_parse_text(KT_STR("7"), KT_TIME_STORED, "to", &time_s, NULL, &err));
    CHECK_INT(time_s, 7);
    CHECK_FAILS(kt_time_parse_text(KT_STR("x"), KT_TIME_STORED, "to", &time_s, NULL, &err),
                KT_BAD_VALUE);
    CHECK_STR(err.field, "to");
    CHECK_INT(time_s, 7);
}

static void reserved_and_broken_indicator_names_are_refused(void)
{
    static const char *const bad[] = {"subject",  "name", "time",   "report_date",
                                      "end_date", "year", "period", "declare_date",
                                      "combine",  "",     "a\tb",   "\xff"};
    char longest[130];
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        CHECK(!kt_indicator_name_ok(kt_str(bad[i])));
    }
    CHECK(kt_indicator_name_ok(KT_STR("operating_income")));
    CHECK(kt_indicator_name_ok(KT_STR("\xe5\x87\x80\xe5\x88\xa9 1")));
    CHECK(kt_indicator_name_ok(KT_STR("Subject")));
    memset(longest, 'a', sizeof longest);
    CHECK(kt_indicator_name_ok(kt_str_n(longest, 128)));
    CHECK(!kt_indicator_name_ok(kt_str_n(longest, 129)));
}

static const struct {
    const char *query, *body;
} param_rows[] = {
    {"", "{}"},
    {"limit=5&offset=-1", "{\"limit\":5,\"offset\":-1}"},
    {"limit=abc", "{\"limit\":\"abc\"}"},
    {"ids=a%2Cb&timestamp=5&order=1", "{\"ids\":\"a,b\",\"timestamp\":\"5\",\"order\":\"1\"}"},
    {"topic=a+b%22", "{\"topic\":\"a b\\\"\"}"},
    {"selection.topic=p&limit=1&selection.limit=1",
     "{\"limit\":1,\"selection\":{\"topic\":\"p\",\"limit\":\"1\"}}"},
    {"selection.=&selection=x", "{\"selection\":\"x\",\"selection\":{\"\":\"\"}}"},
};

static enum kt_status params_of(const char *query, struct kt_buf *ret_body)
{
    struct kt_arena *arena = kt_arena_new(1024, 1 << 20);
    KT_ASSERT(arena);
    struct kt_http_request request = {.query = kt_str(query), .arena = arena};
    enum kt_status status = kt_query_body_of_params(&request, ret_body, &err);
    kt_arena_free(&arena);
    return status;
}

static void a_query_string_becomes_the_body_that_says_the_same(void)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(param_rows); i++) {
        char text[256];
        struct kt_buf body;
        kt_buf_init(&body, 0);
        enum kt_status status = params_of(param_rows[i].query, &body);
        kt_str_copy(text, sizeof text, kt_buf_str(&body));
        kt_buf_done(&body);
        CHECK_INT(status, KT_OK);
        CHECK_STR(text, param_rows[i].body);
    }
}

static void a_query_string_that_is_no_text_is_refused(void)
{
    struct kt_buf body;
    kt_buf_init(&body, 0);
    enum kt_status bad_utf8 = params_of("topic=%ff", &body);
    bool named = strcmp(err.field, "topic") == 0;
    enum kt_status bad_escape = params_of("topic=%f", &body);
    size_t len_bytes = body.len_bytes;
    kt_buf_done(&body);
    CHECK_INT(bad_utf8, KT_BAD_VALUE);
    CHECK(named);
    CHECK_INT(kt_status_http(bad_escape), 400);
    CHECK_INT(len_bytes, 0);
}

static const struct kt_test tests[] = {
    TEST(a_list_is_an_array_or_a_trimmed_csv),
    TEST(a_bad_list_names_the_field),
    TEST(a_list_without_memory_fails_cleanly),
    TEST(a_time_means_what_its_side_of_the_bound_says),
    TEST(a_bad_time_names_the_field),
    TEST(a_text_that_stands_alone_is_read_like_a_field),
    TEST(reserved_and_broken_indicator_names_are_refused),
    TEST(a_query_string_becomes_the_body_that_says_the_same),
    TEST(a_query_string_that_is_no_text_is_refused),
};
KT_TEST_MAIN(tests)

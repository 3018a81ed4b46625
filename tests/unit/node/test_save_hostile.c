/* SPDX-License-Identifier: MIT */
/* test_save_hostile.c - bodies of a save that are large, deep or damaged, and memory that ends. */
#include "save_help.h"

/* --- much --- */

static void repeat(struct kt_buf *body, const char *head, const char *item, size_t count,
                   const char *tail)
{
    kt_buf_clear(body);
    kt_buf_append_text(body, head);
    for (size_t i = 0; i < count; i++) {
        kt_buf_printf(body, "%s%s", i ? "," : "", item);
    }
    kt_buf_append_text(body, tail);
}

static void more_subjects_or_records_than_allowed_are_too_large(void)
{
    static const struct kt_save_limits few = {3, 5, KT_JSON_DEPTH_DEFAULT};
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf body;
    kt_buf_init(&body, 0);
    repeat(&body, "{\"subjects\":[", "{\"subject\":\"a\"}", 3, "]}");
    CHECK_OK(parse(kt_buf_str(&body), &few, builder, &err));
    CHECK_INT(kt_change_subject_count(builder), 3);
    repeat(&body, "{\"subjects\":[", "{\"subject\":\"a\"}", 4, "]}");
    CHECK_FAILS(parse(kt_buf_str(&body), &few, builder, &err), KT_TOO_LARGE);
    CHECK_STR(err.field, "subjects");
    CHECK_STR(err.message, "subjects: 4 items, at most 3 are taken");
    repeat(&body, "{\"records\":[", "{\"subject\":\"a\",\"time\":1}", 5, "]}");
    CHECK_OK(parse(kt_buf_str(&body), &few, builder, &err));
    CHECK_INT(kt_change_record_count(builder), 5);
    CHECK_INT(kt_change_subject_count(builder), 0);
    repeat(&body, "{\"records\":[", "{\"subject\":\"a\",\"time\":1}", 6, "]}");
    CHECK_FAILS(parse(kt_buf_str(&body), &few, builder, &err), KT_TOO_LARGE);
    CHECK_STR(err.field, "records");
    kt_buf_done(&body);
    kt_change_builder_free(&builder);
}

static void stays_and_tags_of_one_subject_are_bounded(void)
{
    static const struct {
        const char *head, *item, *tail, *field;
    } cases[] = {
        {"{\"subjects\":[{\"subject\":\"a\",\"topics\":[", "\"p\"", "]}]}", "subjects[0].topics"},
        {"{\"subjects\":[{\"subject\":\"a\",\"tags\":{\"t\":[", "\"p\"", "]}}]}",
         "subjects[0].tags.t"},
    };
    struct kt_buf body, text;
    kt_buf_init(&body, 0);
    kt_buf_init(&text, 0);
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_error err = KT_ERROR_INIT;
        repeat(&body, cases[i].head, cases[i].item, 1000, cases[i].tail);
        CHECK_OK(change_of(kt_buf_str(&body), &text, &err));
        repeat(&body, cases[i].head, cases[i].item, 1001, cases[i].tail);
        CHECK_FAILS(change_of(kt_buf_str(&body), &text, &err), KT_BAD_VALUE);
        CHECK_STR(err.field, cases[i].field);
        CHECK(strstr(err.message, "1000"));
    }
    kt_buf_clear(&body);
    kt_buf_append_text(&body, "{\"subjects\":[{\"subject\":\"a\",\"tags\":{");
    for (int i = 0; i < 1001; i++) {
        kt_buf_printf(&body, "%s\"t%d\":[]", i ? "," : "", i);
    }
    kt_buf_append_text(&body, "}}]}");
    struct kt_error err = KT_ERROR_INIT;
    CHECK_FAILS(change_of(kt_buf_str(&body), &text, &err), KT_BAD_VALUE);
    CHECK_STR(err.field, "subjects[0].tags");
    kt_buf_done(&body);
    kt_buf_done(&text);
}

static void a_record_may_have_all_the_indicators_of_a_cluster(void)
{
    struct kt_buf body, text, expected;
    struct kt_error err = KT_ERROR_INIT;
    kt_buf_init(&body, 0);
    kt_buf_init(&text, 0);
    kt_buf_init(&expected, 0);
    kt_buf_append_text(&body, "{\"records\":[{\"subject\":\"a\",\"time\":1,\"data\":{");
    kt_buf_append_text(&expected, "record a 1");
    for (int i = 0; i < 4096; i++) {
        kt_buf_printf(&body, "%s\"i%d\":%d.5", i ? "," : "", i, i);
        kt_buf_printf(&expected, " i%d=%d.5", i, i);
    }
    kt_buf_append_text(&body, "}}]}");
    kt_buf_append_text(&expected, "\n");
    CHECK_OK(change_of(kt_buf_str(&body), &text, &err));
    CHECK(kt_str_eq(kt_buf_str(&text), kt_buf_str(&expected)));
    kt_buf_done(&body);
    kt_buf_done(&text);
    kt_buf_done(&expected);
}

static void deep_nesting_is_refused_at_the_depth_asked_for(void)
{
    struct kt_buf body;
    kt_buf_init(&body, 0);
    for (int depth = 15; depth <= 100000; depth = depth < 20 ? depth + 1 : depth * 50) {
        static const struct bad deep = {"deep", KT_BAD_VALUE, "", "JSON at byte"};
        static const struct bad unknown = {"unknown", KT_UNKNOWN_FIELD, "x", "unknown"};
        kt_buf_clear(&body);
        kt_buf_append_text(&body, "{\"x\":");
        for (int i = 0; i < depth; i++) {
            kt_buf_append_byte(&body, '[');
        }
        for (int i = 0; i < depth; i++) {
            kt_buf_append_byte(&body, ']');
        }
        kt_buf_append_byte(&body, '}');
        CHECK(refused(kt_buf_str(&body), depth + 1 > KT_JSON_DEPTH_DEFAULT ? &deep : &unknown));
    }
    kt_buf_done(&body);
}

static void huge_bodies_are_refused_without_harm(void)
{
    struct kt_buf body;
    size_t big = kt_test_is_slow() ? (size_t)1 << 20 : (size_t)8 << 20;
    kt_buf_init(&body, 0);
    static const struct {
        const char *head;
        char fill;
        const char *tail;
        struct bad bad;
    } cases[] = {
        {"{\"subjects\":[{\"subject\":\"",
         'k',
         "\"}]}",
         {"long key", KT_BAD_VALUE, "subjects[0].subject", "128"}},
        {"{\"records\":[{\"subject\":\"a\",\"time\":",
         '9',
         "}]}",
         {"long number", KT_BAD_VALUE, "", "JSON at byte"}},
        {"{\"records\":[{\"subject\":\"a\",\"time\":\"",
         '9',
         "\"}]}",
         {"long digits", KT_BAD_VALUE, "records[0].time", "YYYY"}},
        {"{\"records\":[{\"subject\":\"a\",\"time\":1,\"data\":{\"",
         'i',
         "\":1}}]}",
         {"long indicator", KT_BAD_VALUE, "records[0].data", "can't be"}},
        {"{\"", 'u', "\":1}", {"long unknown", KT_UNKNOWN_FIELD, NULL, "unknown"}},
        {"", '[', "", {"brackets", KT_BAD_VALUE, "", "JSON at byte"}},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_buf text;
        kt_buf_init(&text, 0);
        kt_buf_clear(&body);
        kt_buf_append_text(&body, cases[i].head);
        kt_buf_reserve(&body, big);
        memset(body.data + body.len_bytes, cases[i].fill, big);
        body.len_bytes += big;
        kt_buf_append_text(&body, cases[i].tail);
        if (cases[i].bad.field) {
            CHECK(refused(kt_buf_str(&body), &cases[i].bad));
        } else {
            CHECK_FAILS(change_of(kt_buf_str(&body), &text, &err), cases[i].bad.status);
        }
        kt_buf_done(&text);
    }
    kt_buf_done(&body);
}

static void a_change_beyond_the_builders_bound_is_too_large(void)
{
    struct kt_change_builder *builder = kt_change_builder_new(2000);
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf body;
    kt_buf_init(&body, 0);
    repeat(&body, "{\"records\":[", "{\"subject\":\"a\",\"time\":1,\"data\":{\"x\":1}}", 500, "]}");
    CHECK_FAILS(parse(kt_buf_str(&body), &limits, builder, &err), KT_TOO_LARGE);
    CHECK_INT(err.status, KT_TOO_LARGE);
    kt_buf_done(&body);
    kt_change_builder_free(&builder);
}

static void a_builder_used_before_is_reset_first(void)
{
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf json, bytes, text;
    kt_buf_init(&json, 0);
    kt_buf_init(&bytes, 0);
    kt_buf_init(&text, 0);
    quoted("{'subjects':[{'subject':'old'}],'records':[{'subject':'old','time':1}]}", &json);
    CHECK_OK(parse(kt_buf_str(&json), &limits, builder, &err));
    quoted("{'subjects':[{'subject':'half'}],'records':[{'subject':'half','time':'x'}]}", &json);
    CHECK_FAILS(parse(kt_buf_str(&json), &limits, builder, &err), KT_BAD_VALUE);
    quoted("{'records':[{'subject':'new','time':2}]}", &json);
    CHECK_OK(parse(kt_buf_str(&json), &limits, builder, &err));
    CHECK_OK(kt_change_encode(builder, &bytes, &err));
    CHECK(change_text(kt_buf_str(&bytes), &text));
    CHECK_SLICE(kt_buf_str(&text), "record new 2\n");
    kt_buf_done(&json);
    kt_buf_done(&bytes);
    kt_buf_done(&text);
    kt_change_builder_free(&builder);
}

/* --- faults and chance --- */

static const char whole[] =
    "{'subjects':[{'subject':'33:000001','name':'\xE5\xB9\xB3\xE5\xAE\x89','status':'L',"
    "'listing_date':'1991-04-03','category':'stock','topics':['pool',{'topic':'q','from':"
    "'2020-01-01','to':1700000000}],'tags':{'concept':['x','\\u4e2d'],'gone':null}},"
    "{'subject':'b','topics':[]}],'records':[{'subject':'33:000001','time':'2023-12-31',"
    "'period':'Q4','declare_date':'2024-03-30','end_date':'2023-12-31','year':null,'data':"
    "{'operating_income':1.5e9,'x':null,'y':-0.25}},{'subject':'b','time':-5,'data':{}}]}";

static void lack_of_memory_is_said_and_nothing_leaks(void)
{
    enum kt_status status = KT_NO_MEMORY;
    struct kt_buf json;
    uint64_t nth = 0;
    kt_buf_init(&json, 0);
    quoted(whole, &json);
    while (status != KT_OK) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
        kt_fault_set(KT_FAULT_ALLOC, ++nth, 0);
        status = kt_save_parse(kt_buf_str(&json), &limits, builder, &err);
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        if (status != KT_OK) {
            CHECK_INT(status, KT_NO_MEMORY);
            CHECK_INT(err.status, KT_NO_MEMORY);
            CHECK(err.message[0]);
        } else {
            CHECK_INT(kt_change_record_count(builder), 2);
            CHECK_INT(kt_change_subject_count(builder), 2);
        }
        kt_change_builder_free(&builder);
        CHECK(nth < 1000);
    }
    CHECK(nth > 5);
    kt_buf_done(&json);
}

static void every_beginning_of_a_body_is_refused(void)
{
    struct kt_buf json, text;
    kt_buf_init(&json, 0);
    kt_buf_init(&text, 0);
    quoted(whole, &json);
    for (size_t len = 0; len < json.len_bytes; len++) {
        struct kt_error err = KT_ERROR_INIT;
        CHECK_FAILS(change_of(kt_str_n(json.data, len), &text, &err), KT_BAD_VALUE);
        CHECK(strstr(err.message, len ? "JSON at byte" : "JSON text is empty"));
    }
    kt_buf_done(&json);
    kt_buf_done(&text);
}

static uint64_t random_state;

static uint32_t random_below(uint32_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 16) % bound);
}

static void mutate(struct kt_buf *body)
{
    static const char *const parts[] = {
        "\"",  "{",  "}",  "[",       "]",    ",",    ":",         "null",        "1e999",
        "-1",  "0",  "\\", "\\u0000", "\xFF", "*",    "\"time\"",  "\"subject\"", "\"data\":{}",
        "1.5", "[]", "{}", "\"\"",    " ",    "true", "9999-12-31"};
    for (uint32_t n = 1 + random_below(3); n > 0 && body->len_bytes > 0; n--) {
        size_t at = random_below((uint32_t)body->len_bytes);
        size_t end = at + random_below(12);
        struct kt_buf mutated;
        end = end < body->len_bytes ? end : body->len_bytes;
        kt_buf_init(&mutated, 0);
        kt_buf_append(&mutated, body->data, at);
        switch (random_below(4)) {
        case 0: /* cut a piece out */
            break;
        case 1: /* double it */
            kt_buf_append(&mutated, body->data + at, end - at);
            kt_buf_append(&mutated, body->data + at, end - at);
            break;
        case 2: /* replace it */
            kt_buf_append_text(&mutated, parts[random_below(KT_ARRAY_LEN(parts))]);
            break;
        default: /* put something before it */
            kt_buf_append_text(&mutated, parts[random_below(KT_ARRAY_LEN(parts))]);
            kt_buf_append(&mutated, body->data + at, end - at);
        }
        kt_buf_append(&mutated, body->data + end, body->len_bytes - end);
        kt_buf_done(body);
        *body = mutated;
    }
}

/* Whatever the body: it is refused with a reason, or becomes a change that can be decoded. */
static void damaged_bodies_are_refused_or_right(void)
{
    const char *given = getenv("KT_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : 1;
    int rounds = kt_test_is_slow() ? 2000 : 40000, accepted = 0;
    struct kt_buf body, text;
    kt_buf_init(&body, 0);
    kt_buf_init(&text, 0);
    random_state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    for (int round = 0; round < rounds; round++) {
        struct kt_error err = KT_ERROR_INIT;
        quoted(whole, &body);
        mutate(&body);
        kt_buf_clear(&text);
        enum kt_status status = change_of(kt_buf_str(&body), &text, &err);
        accepted += status == KT_OK;
        bool good = status == KT_OK ||
                    (kt_status_http(status) == 400 && err.status == status && err.message[0] &&
                     kt_utf8_valid(kt_str(err.message)) && kt_utf8_valid(kt_str(err.field)));
        if (!good) {
            kt_test_fail(__FILE__, __LINE__, "KT_TEST_SEED=%llu, round %d: %s %s\n    " KT_STR_FMT,
                         (unsigned long long)seed, round, kt_status_name(status), err.message,
                         KT_STR_ARG(kt_buf_str(&body)));
            break;
        }
    }
    CHECK(accepted > rounds / 100); /* else the mutations test the JSON parser only */
    kt_buf_done(&body);
    kt_buf_done(&text);
}

static const struct kt_test tests[] = {
    TEST(more_subjects_or_records_than_allowed_are_too_large),
    TEST(stays_and_tags_of_one_subject_are_bounded),
    TEST(a_record_may_have_all_the_indicators_of_a_cluster),
    TEST(deep_nesting_is_refused_at_the_depth_asked_for),
    TEST(huge_bodies_are_refused_without_harm),
    TEST(a_change_beyond_the_builders_bound_is_too_large),
    TEST(a_builder_used_before_is_reset_first),
    TEST(lack_of_memory_is_said_and_nothing_leaks),
    TEST(every_beginning_of_a_body_is_refused),
    TEST(damaged_bodies_are_refused_or_right),
};
KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
#include "../kt_test.h"

#include "base/arena.h"
#include "base/mem.h"
#include "http/envelope.h"
#include "http/message.h"

static struct kt_arena *arena;

static void fresh_arena(void)
{
    kt_arena_free(&arena);
    arena = kt_arena_new(4096, 65536);
}

static struct kt_http_request request_with(const char *query)
{
    struct kt_http_request request = {.query = kt_str(query), .arena = arena};

    return request;
}

static void headers_are_found_whatever_their_case(void)
{
    static const struct kt_http_header headers[] = {
        {KT_STR("Host"), KT_STR("a")},
        {KT_STR("X-THING"), KT_STR("one")},
        {KT_STR("x-thing"), KT_STR("two")},
    };
    struct kt_http_request request = {.headers = headers, .header_count = 3};

    CHECK_SLICE(kt_http_header(&request, "host"), "a");
    CHECK_SLICE(kt_http_header(&request, "X-Thing"), "one");
    CHECK_INT(kt_http_header_count(&request, "X-Thing"), 2);
    CHECK(kt_http_header(&request, "X-Thin").data == NULL);
    CHECK_INT(kt_http_header_count(&request, "X-Thin"), 0);
}

static void query_parameters_are_decoded(void)
{
    struct kt_http_request request;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_str value;
    bool present = false;

    fresh_arena();
    request = request_with("ids=a%2Cb&&topic=%E8%82%A1+x&empty=&flag");
    CHECK_OK(kt_http_query_get(&request, "ids", &value, &present, &err));
    CHECK(present);
    CHECK_SLICE(value, "a,b");
    CHECK_OK(kt_http_query_get(&request, "topic", &value, &present, &err));
    CHECK_SLICE(value, "股 x");
    CHECK_OK(kt_http_query_get(&request, "empty", &value, &present, &err));
    CHECK(present);
    CHECK_SLICE(value, "");
    CHECK_OK(kt_http_query_get(&request, "flag", &value, &present, &err));
    CHECK(present);
    CHECK_SLICE(value, "");
    CHECK_OK(kt_http_query_get(&request, "absent", &value, &present, &err));
    CHECK(!present);
}

static void a_parameter_given_twice_is_refused_by_name(void)
{
    struct kt_http_request request;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_str value = KT_STR("untouched");
    bool present = false;

    fresh_arena();
    request = request_with("a=1&b=2&a=3");
    CHECK_FAILS(kt_http_query_get(&request, "a", &value, &present, &err), KT_BAD_VALUE);
    CHECK_STR(err.field, "a");
    CHECK_SLICE(value, "untouched");
    CHECK_OK(kt_http_query_get(&request, "b", &value, &present, &err));
}

static void broken_escapes_are_refused_by_name(void)
{
    static const char *const broken[] = {"lim%zz=1", "limit=%4", "limit=%", "limit=%ff",
                                         "a=1&b=%g0"};

    for (size_t i = 0; i < KT_ARRAY_LEN(broken); i++) {
        struct kt_http_request request;
        struct kt_error err = KT_ERROR_INIT;
        struct kt_str value;
        bool present;

        fresh_arena();
        request = request_with(broken[i]);
        CHECK_FAILS(kt_http_query_get(&request, "other", &value, &present, &err), KT_BAD_VALUE);
        CHECK(err.field[0] != '\0');
    }
}

static void parameters_are_walked_in_order(void)
{
    static const char *const names[] = {"a", "b", "c"};
    struct kt_http_request request;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_str name, value;
    enum kt_status status;
    size_t pos = 0, count = 0;

    fresh_arena();
    request = request_with("a=1&b=2=3&&c");
    while (kt_http_query_next(&request, &pos, &name, &value, &status, &err)) {
        CHECK(count < 3);
        CHECK_SLICE(name, names[count]);
        if (count == 1) {
            CHECK_SLICE(value, "2=3");
        }
        count++;
    }
    CHECK_INT(status, KT_OK);
    CHECK_INT(count, 3);
}

static void the_arena_being_full_is_no_memory(void)
{
    struct kt_http_request request;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_str value;
    bool present;

    fresh_arena();
    request = request_with("a=%41");
    while (kt_arena_alloc(arena, 1024)) {
    }
    while (kt_arena_alloc(arena, 16)) {
    }
    CHECK_FAILS(kt_http_query_get(&request, "a", &value, &present, &err), KT_NO_MEMORY);
}

static void a_header_replaces_one_of_the_same_name(void)
{
    struct kt_http_response response;

    fresh_arena();
    kt_http_response_init(&response, arena, 0);
    kt_http_response_header(&response, "X-A", KT_STR("1"));
    kt_http_response_header(&response, "X-B", KT_STR("2"));
    kt_http_response_header_fmt(&response, "x-a", "%d", 3);
    CHECK_INT(response.header_count, 2);
    CHECK_SLICE(response.headers[0].value, "3");
    CHECK(!response.failed);
    kt_http_response_done(&response);
}

static void a_value_that_would_split_the_head_fails_the_response(void)
{
    static const struct kt_str bad[] = {KT_STR("a\r\nX: y"), KT_STR("a\n"), KT_STR("\r"),
                                        KT_STR("a\0b")};

    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        struct kt_http_response response;

        fresh_arena();
        kt_http_response_init(&response, arena, 0);
        kt_http_response_header(&response, "X-A", bad[i]);
        CHECK(response.failed);
        CHECK_INT(response.header_count, 0);
        kt_http_response_done(&response);
    }
}

static void a_full_header_table_fails_the_response(void)
{
    static char names[KT_HTTP_RESPONSE_HEADERS_MAX + 1][16];
    struct kt_http_response response;

    fresh_arena();
    kt_http_response_init(&response, arena, 0);
    for (int i = 0; i <= KT_HTTP_RESPONSE_HEADERS_MAX; i++) {
        CHECK(!response.failed);
        snprintf(names[i], sizeof(names[i]), "X-%d", i);
        kt_http_response_header(&response, names[i], KT_STR("v"));
    }
    CHECK(response.failed);
    kt_http_response_done(&response);
}

static void methods_have_names(void)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"};

    for (size_t i = 0; i < KT_ARRAY_LEN(names); i++) {
        CHECK_STR(kt_http_method_name(kt_http_method_parse(kt_str(names[i]))), names[i]);
    }
    CHECK_INT(kt_http_method_parse(KT_STR("get")), KT_HTTP_OTHER);
    CHECK_INT(kt_http_method_parse(KT_STR("")), KT_HTTP_OTHER);
}

static void every_status_of_ours_has_a_reason(void)
{
    for (int status = 0; status < KT_STATUS_COUNT; status++) {
        const char *reason = kt_http_reason(kt_status_http((enum kt_status)status));

        CHECK(strcmp(reason, "Unknown") != 0);
    }
}

static void an_envelope_holds_the_data_and_what_follows(void)
{
    struct kt_http_response response;
    struct kt_jw jw;

    fresh_arena();
    kt_http_response_init(&response, arena, 0);
    kt_envelope_begin(&response, &jw);
    kt_jw_array(&jw);
    kt_jw_array_end(&jw);
    kt_jw_kv_u64(&jw, "total", 7);
    kt_envelope_end(&jw);
    CHECK_SLICE(kt_buf_str(&response.body),
                "{\"status_code\":0,\"status_msg\":\"success\",\"data\":[],\"total\":7}");
    kt_http_response_done(&response);
}

static int streams_done;

static void count_done(void *ctx)
{
    (void)ctx;
    streams_done++;
}

static enum kt_status no_stream(void *ctx, struct kt_buf *chunk, struct kt_error *err)
{
    (void)ctx, (void)chunk, (void)err;
    return KT_OK;
}

static void an_error_replaces_what_the_response_holds(void)
{
    struct kt_http_response response;
    struct kt_error err = KT_ERROR_INIT;

    fresh_arena();
    streams_done = 0;
    kt_http_response_init(&response, arena, 0);
    kt_buf_append_text(&response.body, "half an answer");
    kt_http_response_header(&response, "ETag", KT_STR("\"1\""));
    kt_http_response_header(&response, "X-Kamaitachi-Leader", KT_STR("a:1"));
    response.stream_next = no_stream;
    response.stream_done = count_done;
    (void)kt_fail_field(&err, KT_BAD_VALUE, "limit", "limit: expected \"0-10000\"");
    kt_envelope_error(&response, &err);
    CHECK_INT(response.status, 400);
    CHECK_INT(streams_done, 1);
    CHECK_INT(response.header_count, 1);
    CHECK_SLICE(kt_buf_str(&response.body),
                "{\"status_code\":400,\"status_msg\":\"limit: expected \\\"0-10000\\\"\","
                "\"data\":null,\"error\":{\"code\":\"bad_value\",\"field\":\"limit\",\"retry\":"
                "\"no\"}}");
    kt_http_response_done(&response);
    CHECK_INT(streams_done, 1);
}

static void errors_to_be_repeated_later_say_when(void)
{
    struct kt_http_response response;
    struct kt_error err = KT_ERROR_INIT;

    fresh_arena();
    kt_http_response_init(&response, arena, 0);
    (void)kt_fail(&err, KT_UNAVAILABLE, "no leader");
    kt_envelope_error(&response, &err);
    CHECK_INT(response.status, 503);
    CHECK_SLICE(response.headers[0].name, "Retry-After");
    CHECK_SLICE(response.headers[0].value, "1");
    kt_http_response_done(&response);

    kt_http_response_init(&response, arena, 0);
    kt_http_response_header(&response, "retry-after", KT_STR("9"));
    kt_envelope_error(&response, &err);
    CHECK_INT(response.header_count, 1);
    CHECK_SLICE(response.headers[0].value, "9");
    kt_http_response_done(&response);
}

static void an_error_fits_where_answers_are_bounded_tightly(void)
{
    struct kt_http_response response;
    struct kt_error err = KT_ERROR_INIT;

    fresh_arena();
    kt_http_response_init(&response, arena, 10);
    kt_buf_append_text(&response.body, "more than ten bytes");
    (void)kt_fail(&err, KT_TOO_LARGE, "too much");
    kt_envelope_error(&response, &err);
    CHECK_INT(kt_buf_status(&response.body), KT_OK);
    CHECK(response.body.len_bytes > 40);
    kt_http_response_done(&response);
}

static void an_unfinished_stream_is_released_once(void)
{
    struct kt_http_response response;

    fresh_arena();
    streams_done = 0;
    kt_http_response_init(&response, arena, 0);
    response.stream_next = no_stream;
    response.stream_done = count_done;
    kt_http_response_done(&response);
    kt_http_response_done(&response);
    CHECK_INT(streams_done, 1);
    kt_arena_free(&arena);
}

static const struct kt_test tests[] = {
    TEST(headers_are_found_whatever_their_case),
    TEST(query_parameters_are_decoded),
    TEST(a_parameter_given_twice_is_refused_by_name),
    TEST(broken_escapes_are_refused_by_name),
    TEST(parameters_are_walked_in_order),
    TEST(the_arena_being_full_is_no_memory),
    TEST(a_header_replaces_one_of_the_same_name),
    TEST(a_value_that_would_split_the_head_fails_the_response),
    TEST(a_full_header_table_fails_the_response),
    TEST(methods_have_names),
    TEST(every_status_of_ours_has_a_reason),
    TEST(an_envelope_holds_the_data_and_what_follows),
    TEST(an_error_replaces_what_the_response_holds),
    TEST(errors_to_be_repeated_later_say_when),
    TEST(an_error_fits_where_answers_are_bounded_tightly),
    TEST(an_unfinished_stream_is_released_once),
};

KT_TEST_MAIN(tests)

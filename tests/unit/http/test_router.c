/* SPDX-License-Identifier: MIT */
#include "../kt_test.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"
#include "http/access.h"
#include "http/router.h"

static struct kt_arena *arena;

static void fresh_arena(void)
{
    kt_arena_free(&arena);
    arena = kt_arena_new(4096, 65536);
}

/* ---- paths ---- */

static void paths_have_one_spelling(void)
{
    static const struct {
        const char *raw, *normal;
    } table[] = {
        {"/", "/"},
        {"/a", "/a"},
        {"/a/", "/a"},
        {"/a/b/", "/a/b"},
        {"/%61%70i/x", "/api/x"},
        {"/a%20b", "/a b"},
        {"/a+b", "/a+b"},
        {"/%E8%82%A1", "/股"},
        {"/a%3fb", "/a?b"},
        {"/a%2Eb", "/a.b"},
        {"/a..b", "/a..b"},
        {"/...", "/..."},
        {"/%2561", "/%61"},
    };

    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_str path;

        fresh_arena();
        CHECK_OK(kt_path_normalise(kt_str(table[i].raw), arena, &path, &err));
        CHECK_SLICE(path, table[i].normal);
    }
}

static void ambiguous_paths_are_refused(void)
{
    static const struct kt_str table[] = {
        KT_STR(""),       KT_STR("a"),          KT_STR("//"),         KT_STR("//a"),
        KT_STR("/a//b"),  KT_STR("/a//"),       KT_STR("/."),         KT_STR("/./a"),
        KT_STR("/a/."),   KT_STR("/a/./"),      KT_STR("/.."),        KT_STR("/a/../b"),
        KT_STR("/a/.."),  KT_STR("/%2e%2e/a"),  KT_STR("/a/%2E/"),    KT_STR("/a%2fb"),
        KT_STR("/a%2Fb"), KT_STR("/a%00"),      KT_STR("/%"),         KT_STR("/%4"),
        KT_STR("/a%zz"),  KT_STR("/%ff"),       KT_STR("/%C0%AF"),    KT_STR("/a%0d%0a"),
        KT_STR("/a%7f"),  KT_STR("/a\0b"),      KT_STR("/a%C2%85"),   KT_STR("*"),
        KT_STR("/\x01"),  KT_STR("http://x/a"), KT_STR("/%ED%A0%80"),
    };

    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_str path = KT_STR("untouched");

        fresh_arena();
        if (kt_path_normalise(table[i], arena, &path, &err) != KT_BAD_REQUEST) {
            kt_test_fail(__FILE__, __LINE__, "accepted: " KT_STR_FMT, KT_STR_ARG(table[i]));
            return;
        }
        CHECK_SLICE(path, "untouched");
    }
}

static void a_path_longer_than_1024_bytes_is_refused(void)
{
    char text[1026];
    struct kt_error err = KT_ERROR_INIT;
    struct kt_str path;

    fresh_arena();
    memset(text, 'a', sizeof(text));
    text[0] = '/';
    CHECK_OK(kt_path_normalise(kt_str_n(text, 1024), arena, &path, &err));
    CHECK_INT(path.len, 1024);
    CHECK_FAILS(kt_path_normalise(kt_str_n(text, 1025), arena, &path, &err), KT_BAD_REQUEST);
}

static void operators_paths_are_known_by_name(void)
{
    static const char *const admin[] = {
        "/api",
        "/api/admin/reload",
        "/api/nothing",
        "/kamaitachi/api/data/v1/cache",
        "/kamaitachi/api/data/v1/cache/reset",
        "/cluster/failover",
        "/cluster/recover",
        "/cluster/forget",
        "/cluster/register",
        "/cluster/deregister",
        "/cluster/heartbeat",
        "/cluster/failover/x",
    };
    static const char *const open[] = {
        "/",
        "/apis",
        "/health",
        "/cluster/info",
        "/cluster/leader",
        "/cluster/failovers",
        "/kamaitachi/api/data/v1/snapshot",
        "/kamaitachi/api/data/v1/caches",
        "/data/api/x",
        "/replication/v1/fetch",
    };

    for (size_t i = 0; i < KT_ARRAY_LEN(admin); i++) {
        CHECK(kt_path_is_admin(kt_str(admin[i])));
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(open); i++) {
        CHECK(!kt_path_is_admin(kt_str(open[i])));
    }
    CHECK(kt_path_is_cluster(KT_STR("/replication/v1/fetch")));
    CHECK(kt_path_is_cluster(KT_STR("/replication")));
    CHECK(!kt_path_is_cluster(KT_STR("/replications")));
}

/* ---- routes ---- */

static int handled;

static void answer_ok(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    (void)ctx, (void)request;
    handled++;
    kt_buf_append_text(&response->body, "ok");
}

static void answer_too_much(void *ctx, struct kt_http_request *request,
                            struct kt_http_response *response)
{
    (void)ctx, (void)request;
    for (int i = 0; i < 100; i++) {
        kt_buf_append_text(&response->body, "0123456789");
    }
}

static void answer_bad_header(void *ctx, struct kt_http_request *request,
                              struct kt_http_response *response)
{
    (void)ctx, (void)request;
    kt_http_response_header(response, "X-A", KT_STR("a\nb"));
}

static const struct kt_http_route routes[] = {
    {KT_HTTP_GET, "/read", KT_ACCESS_PUBLIC, false, answer_ok, true},
    {KT_HTTP_GET | KT_HTTP_POST, "/both", KT_ACCESS_PUBLIC, false, answer_ok, true},
    {KT_HTTP_POST, "/write", KT_ACCESS_WRITE, false, answer_ok, true},
    {KT_HTTP_POST, "/cluster/failover", KT_ACCESS_ADMIN, false, answer_ok, true},
    {KT_HTTP_GET, "/too/much", KT_ACCESS_PUBLIC, false, answer_too_much, true},
    {KT_HTTP_GET, "/bad/header", KT_ACCESS_PUBLIC, false, answer_bad_header, true},
    {KT_HTTP_POST, "/split", KT_ACCESS_PUBLIC, false, answer_ok, true},
    {KT_HTTP_DELETE, "/split", KT_ACCESS_PUBLIC, false, answer_ok, true},
    {KT_HTTP_GET, "/item/{id}", KT_ACCESS_PUBLIC, false, answer_ok, true},
    {KT_HTTP_DELETE, "/item/{id}", KT_ACCESS_PUBLIC, false, answer_ok, true},
    {KT_HTTP_GET, "/data/v1/get/{id}", KT_ACCESS_PUBLIC, false, answer_too_much, true},
};
static int route_ctx;
static struct kt_http_router router = {routes, KT_ARRAY_LEN(routes), &route_ctx, NULL};

static struct kt_http_request request_for(enum kt_http_method method, const char *path)
{
    struct kt_http_request request = {
        .method = method, .path = kt_str(path), .query = KT_STR(""), .arena = arena};

    kt_http_make_request_id(request.request_id);
    return request;
}

static void routes_are_found_by_method_and_path(void)
{
    static const struct {
        enum kt_http_method method;
        const char *path;
        enum kt_status status;
        unsigned allowed;
    } table[] = {
        {KT_HTTP_GET, "/read", KT_OK, KT_HTTP_GET | KT_HTTP_HEAD},
        {KT_HTTP_HEAD, "/read", KT_OK, KT_HTTP_GET | KT_HTTP_HEAD},
        {KT_HTTP_POST, "/read", KT_METHOD, KT_HTTP_GET | KT_HTTP_HEAD},
        {KT_HTTP_POST, "/both", KT_OK, KT_HTTP_GET | KT_HTTP_HEAD | KT_HTTP_POST},
        {KT_HTTP_OTHER, "/both", KT_METHOD, KT_HTTP_GET | KT_HTTP_HEAD | KT_HTTP_POST},
        {KT_HTTP_GET, "/write", KT_METHOD, KT_HTTP_POST},
        {KT_HTTP_DELETE, "/split", KT_OK, KT_HTTP_POST | KT_HTTP_DELETE},
        {KT_HTTP_PUT, "/split", KT_METHOD, KT_HTTP_POST | KT_HTTP_DELETE},
        {KT_HTTP_GET, "/rea", KT_NOT_FOUND, 0},
        {KT_HTTP_GET, "/read/", KT_NOT_FOUND, 0},
        {KT_HTTP_GET, "/reader", KT_NOT_FOUND, 0},
        {KT_HTTP_GET, "/", KT_NOT_FOUND, 0},
        {KT_HTTP_GET, "/item/7", KT_OK, KT_HTTP_GET | KT_HTTP_HEAD | KT_HTTP_DELETE},
        {KT_HTTP_HEAD, "/item/7", KT_OK, KT_HTTP_GET | KT_HTTP_HEAD | KT_HTTP_DELETE},
        {KT_HTTP_POST, "/item/7", KT_METHOD, KT_HTTP_GET | KT_HTTP_HEAD | KT_HTTP_DELETE},
        {KT_HTTP_GET, "/item", KT_NOT_FOUND, 0},
        {KT_HTTP_GET, "/item/", KT_NOT_FOUND, 0},
        {KT_HTTP_GET, "/item/7/8", KT_NOT_FOUND, 0},
        {KT_HTTP_GET, "/items/7", KT_NOT_FOUND, 0},
    };

    fresh_arena();
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        struct kt_http_request request = request_for(table[i].method, table[i].path);
        const struct kt_http_route *route = NULL;
        struct kt_error err = KT_ERROR_INIT;
        unsigned allowed = 0;

        CHECK_FAILS(kt_router_find(&router, &request, &route, &allowed, &err), table[i].status);
        CHECK_INT(allowed, table[i].allowed);
        if (table[i].status == KT_OK) {
            CHECK(route != NULL);
            CHECK(request.route_ctx == &route_ctx);
        }
    }
}

/* The path was decoded once before it is matched, so a name may hold what would end it else. */
static void what_stands_for_a_path_parameter_is_handed_on(void)
{
    static const char *const names[] = {"7", "{id}", "a?b", "%41", "股票", ".x"};
    const struct kt_http_route *route = NULL;
    struct kt_error err = KT_ERROR_INIT;
    unsigned allowed = 0;
    char path[160];

    for (size_t i = 0; i < KT_ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "/item/%s", names[i]);
        struct kt_http_request request = request_for(KT_HTTP_DELETE, path);
        CHECK_OK(kt_router_find(&router, &request, &route, &allowed, &err));
        CHECK_SLICE(request.path_param, names[i]);
    }
    struct kt_http_request plain = request_for(KT_HTTP_GET, "/read");
    CHECK_OK(kt_router_find(&router, &plain, &route, &allowed, &err));
    CHECK_INT(plain.path_param.len, 0);
}

static void a_path_parameter_is_a_name_of_at_most_128_bytes(void)
{
    const struct kt_http_route *route = NULL;
    struct kt_error err = KT_ERROR_INIT;
    unsigned allowed = 0;
    char path[160] = "/item/";

    memset(path + 6, 'x', 128);
    struct kt_http_request longest = request_for(KT_HTTP_GET, path);
    CHECK_OK(kt_router_find(&router, &longest, &route, &allowed, &err));
    CHECK_INT(longest.path_param.len, 128);
    path[6 + 128] = 'x';
    struct kt_http_request too_long = request_for(KT_HTTP_GET, path);
    CHECK_FAILS(kt_router_find(&router, &too_long, &route, &allowed, &err), KT_BAD_VALUE);
    CHECK_STR(err.field, "id");
}

static void the_judge_comes_before_404_and_405(void)
{
    struct kt_access_options options = {.admin_token = "secret"};
    struct kt_http_request request;
    const struct kt_http_route *route = NULL;
    struct kt_error err = KT_ERROR_INIT;
    unsigned allowed = 0;

    fresh_arena();
    router.access = kt_access_new(&options);
    request = request_for(KT_HTTP_GET, "/api/not/built");
    CHECK_FAILS(kt_router_find(&router, &request, &route, &allowed, &err), KT_UNAUTHORIZED);
    request = request_for(KT_HTTP_GET, "/cluster/failover");
    CHECK_FAILS(kt_router_find(&router, &request, &route, &allowed, &err), KT_UNAUTHORIZED);
    request = request_for(KT_HTTP_GET, "/nothing");
    CHECK_FAILS(kt_router_find(&router, &request, &route, &allowed, &err), KT_NOT_FOUND);
    kt_access_free(&router.access);
}

static struct kt_str header_of(const struct kt_http_response *response, const char *name)
{
    for (size_t i = 0; i < response->header_count; i++) {
        if (kt_str_eq_nocase(response->headers[i].name, kt_str(name))) {
            return response->headers[i].value;
        }
    }
    return (struct kt_str){NULL, 0};
}

static void serve(enum kt_http_method method, const char *path, size_t max_bytes,
                  struct kt_http_response *response)
{
    struct kt_http_request request = request_for(method, path);
    const struct kt_http_route *route = NULL;
    struct kt_error err = KT_ERROR_INIT;
    unsigned allowed = 0;
    enum kt_status status = kt_router_find(&router, &request, &route, &allowed, &err);

    kt_http_response_init(response, arena, max_bytes);
    kt_router_serve(&router, &request, route, status, allowed, &err, response);
}

static void every_answer_has_a_request_id(void)
{
    struct kt_http_response response;

    fresh_arena();
    handled = 0;
    serve(KT_HTTP_GET, "/read", 0, &response);
    CHECK_INT(response.status, 200);
    CHECK_INT(handled, 1);
    CHECK_INT(header_of(&response, "X-Request-Id").len, 16);
    kt_http_response_done(&response);
    serve(KT_HTTP_GET, "/nothing", 0, &response);
    CHECK_INT(response.status, 404);
    CHECK_INT(header_of(&response, "X-Request-Id").len, 16);
    kt_http_response_done(&response);
}

static void a_wrong_method_is_told_the_right_ones(void)
{
    struct kt_http_response response;

    fresh_arena();
    serve(KT_HTTP_PUT, "/both", 0, &response);
    CHECK_INT(response.status, 405);
    CHECK_SLICE(header_of(&response, "Allow"), "GET, HEAD, POST");
    kt_http_response_done(&response);
}

static void an_answer_beyond_its_bound_is_413(void)
{
    struct kt_http_response response;

    fresh_arena();
    serve(KT_HTTP_GET, "/too/much", 100, &response);
    CHECK_INT(response.status, 413);
    CHECK(kt_str_find(kt_buf_str(&response.body), KT_STR("too_large")) > 0);
    kt_http_response_done(&response);
}

static void errors_of_the_old_paths_have_the_old_members_too(void)
{
    struct kt_http_response response;

    fresh_arena();
    serve(KT_HTTP_GET, "/data/v1/nothing", 0, &response);
    CHECK_SLICE(
        kt_buf_str(&response.body),
        "{\"status_code\":404,\"status_msg\":\"no such path: /data/v1/nothing\",\"code\":404,"
        "\"message\":\"no such path: /data/v1/nothing\",\"data\":null,\"error\":{\"code\":"
        "\"not_found\",\"field\":\"\",\"retry\":\"no\"}}");
    kt_http_response_done(&response);
    serve(KT_HTTP_GET, "/data/v1/get/7", 100, &response);
    CHECK_INT(response.status, 413);
    CHECK(kt_str_find(kt_buf_str(&response.body), KT_STR("\"code\":413,\"message\"")) > 0);
    kt_http_response_done(&response);
    serve(KT_HTTP_GET, "/data/v10/get", 0, &response);
    CHECK(kt_str_find(kt_buf_str(&response.body), KT_STR("\"message\"")) < 0);
    kt_http_response_done(&response);
}

static void a_broken_header_is_500(void)
{
    struct kt_http_response response;

    fresh_arena();
    serve(KT_HTTP_GET, "/bad/header", 0, &response);
    CHECK_INT(response.status, 500);
    CHECK(!response.failed);
    CHECK_INT(header_of(&response, "X-Request-Id").len, 16);
    kt_http_response_done(&response);
}

static void a_request_id_is_kept_when_it_is_one(void)
{
    static const struct {
        const char *given;
        enum kt_status status;
    } table[] = {{"abc-1", KT_OK}, {"a b", KT_BAD_VALUE}, {"", KT_BAD_VALUE}, {"é", KT_BAD_VALUE}};

    fresh_arena();
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        struct kt_http_header header = {KT_STR("x-request-id"), kt_str(table[i].given)};
        struct kt_http_request request = {.headers = &header, .header_count = 1};
        struct kt_error err = KT_ERROR_INIT;

        CHECK_FAILS(kt_http_common_headers(&request, &err), table[i].status);
        if (table[i].status == KT_OK) {
            CHECK_STR(request.request_id, table[i].given);
        } else {
            CHECK_INT(strlen(request.request_id), 16);
            CHECK_STR(err.field, "X-Request-Id");
        }
    }
}

static void request_ids_of_128_characters_are_the_longest(void)
{
    char text[130];
    struct kt_http_header header = {KT_STR("X-Request-Id"), {text, 128}};
    struct kt_http_request request = {.headers = &header, .header_count = 1};
    struct kt_error err = KT_ERROR_INIT;

    memset(text, 'x', sizeof(text));
    CHECK_OK(kt_http_common_headers(&request, &err));
    CHECK_INT(strlen(request.request_id), 128);
    header.value.len = 129;
    CHECK_FAILS(kt_http_common_headers(&request, &err), KT_BAD_VALUE);
}

static void made_request_ids_differ(void)
{
    char first[129], second[129];

    kt_http_make_request_id(first);
    kt_http_make_request_id(second);
    CHECK(strcmp(first, second) != 0);
    CHECK_INT(strlen(first), 16);
}

static void a_timeout_header_sets_the_deadline(void)
{
    struct kt_http_header header = {KT_STR("X-Kamaitachi-Timeout-Ms"), KT_STR("100")};
    struct kt_http_request request = {.headers = &header, .header_count = 1};
    struct kt_error err = KT_ERROR_INIT;
    int64_t before_ms = kt_now_mono_ms();

    CHECK_OK(kt_http_common_headers(&request, &err));
    CHECK(request.deadline_given);
    CHECK(request.deadline_mono_ms >= before_ms + 100);
    CHECK(request.deadline_mono_ms <= kt_now_mono_ms() + 100);
    header.value = KT_STR("60001");
    CHECK_FAILS(kt_http_common_headers(&request, &err), KT_BAD_VALUE);
    CHECK_STR(err.field, "X-Kamaitachi-Timeout-Ms");
    kt_arena_free(&arena);
}

static enum kt_status find_with(const char *path, const char *query, const char *encoding,
                                struct kt_error *err)
{
    static const struct kt_http_route table[] = {
        {KT_HTTP_GET | KT_HTTP_POST, "/whole", KT_ACCESS_PUBLIC, false, answer_ok, false},
        {KT_HTTP_POST, "/pulled", KT_ACCESS_PUBLIC, true, answer_ok, true},
    };
    struct kt_http_router own = {table, KT_ARRAY_LEN(table), &route_ctx, NULL};
    struct kt_http_header header = {KT_STR("Content-Encoding"), kt_str(encoding)};
    struct kt_http_request request = request_for(KT_HTTP_POST, path);
    const struct kt_http_route *route = NULL;
    unsigned allowed = 0;

    request.query = kt_str(query);
    request.headers = &header;
    request.header_count = encoding[0] ? 1 : 0;
    memset(err, 0, sizeof(*err));
    return kt_router_find(&own, &request, &route, &allowed, err);
}

static void query_parameters_that_no_path_takes_are_refused(void)
{
    struct kt_error err;

    fresh_arena();
    CHECK_OK(find_with("/whole", "", "", &err));
    CHECK_FAILS(find_with("/whole", "a=1", "", &err), KT_UNKNOWN_FIELD);
    CHECK_STR(err.field, "a");
    CHECK_OK(find_with("/pulled", "a=1", "", &err));
}

/* A gzip body would else be called broken JSON. */
static void an_encoded_body_is_for_those_who_pull_it(void)
{
    struct kt_error err;

    fresh_arena();
    CHECK_FAILS(find_with("/whole", "", "gzip", &err), KT_MEDIA_TYPE);
    CHECK_STR(err.field, "Content-Encoding");
    CHECK_FAILS(find_with("/whole", "", "br", &err), KT_MEDIA_TYPE);
    CHECK_OK(find_with("/whole", "", "Identity", &err));
    CHECK_OK(find_with("/pulled", "", "gzip", &err));
}

/* A client that forgot its body would else be told that its JSON is broken. */
static void a_write_without_a_length_is_411(void)
{
    static const struct kt_http_route table[] = {
        {KT_HTTP_POST, "/write", KT_ACCESS_WRITE, false, answer_ok, false},
        {KT_HTTP_POST, "/ask", KT_ACCESS_PUBLIC, false, answer_ok, false},
        {KT_HTTP_DELETE, "/write", KT_ACCESS_WRITE, false, answer_ok, false},
    };
    struct kt_http_router own = {table, KT_ARRAY_LEN(table), &route_ctx, NULL};
    struct kt_http_header header = {KT_STR("Transfer-Encoding"), KT_STR("chunked")};
    struct kt_http_request request = request_for(KT_HTTP_POST, "/write");
    struct kt_error err = KT_ERROR_INIT;
    const struct kt_http_route *route = NULL;
    unsigned allowed = 0;

    fresh_arena();
    request.content_length = -1;
    CHECK_FAILS(kt_router_find(&own, &request, &route, &allowed, &err), KT_LENGTH_REQUIRED);
    CHECK_STR(err.field, "Content-Length");
    request.path = KT_STR("/ask");
    CHECK_OK(kt_router_find(&own, &request, &route, &allowed, &err));
    request = request_for(KT_HTTP_DELETE, "/write");
    request.content_length = -1;
    CHECK_OK(kt_router_find(&own, &request, &route, &allowed, &err));
    request = request_for(KT_HTTP_POST, "/write");
    request.content_length = -1;
    request.headers = &header;
    request.header_count = 1;
    CHECK_OK(kt_router_find(&own, &request, &route, &allowed, &err));
    kt_arena_free(&arena);
}

static const struct kt_test tests[] = {
    TEST(paths_have_one_spelling),
    TEST(ambiguous_paths_are_refused),
    TEST(a_path_longer_than_1024_bytes_is_refused),
    TEST(operators_paths_are_known_by_name),
    TEST(routes_are_found_by_method_and_path),
    TEST(what_stands_for_a_path_parameter_is_handed_on),
    TEST(a_path_parameter_is_a_name_of_at_most_128_bytes),
    TEST(errors_of_the_old_paths_have_the_old_members_too),
    TEST(the_judge_comes_before_404_and_405),
    TEST(every_answer_has_a_request_id),
    TEST(a_wrong_method_is_told_the_right_ones),
    TEST(a_write_without_a_length_is_411),
    TEST(an_answer_beyond_its_bound_is_413),
    TEST(a_broken_header_is_500),
    TEST(a_request_id_is_kept_when_it_is_one),
    TEST(request_ids_of_128_characters_are_the_longest),
    TEST(made_request_ids_differ),
    TEST(a_timeout_header_sets_the_deadline),
    TEST(query_parameters_that_no_path_takes_are_refused),
    TEST(an_encoded_body_is_for_those_who_pull_it),
};

KT_TEST_MAIN(tests)

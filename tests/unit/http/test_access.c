/* SPDX-License-Identifier: MIT */
#include "../kt_test.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "http/access.h"
#include "http/nonces.h"

static struct kt_arena *arena;
static struct kt_http_header headers[8];

static void fresh_arena(void)
{
    kt_arena_free(&arena);
    arena = kt_arena_new(4096, 65536);
}

static struct kt_http_request request_from(const char *peer, enum kt_http_method method,
                                           const char *path)
{
    struct kt_http_request request = {.method = method,
                                      .path = kt_str(path),
                                      .query = KT_STR(""),
                                      .body = KT_STR(""),
                                      .headers = headers,
                                      .arena = arena};

    kt_str_copy(request.remote_host, sizeof(request.remote_host), kt_str(peer));
    request.remote_is_loopback = strncmp(peer, "127.", 4) == 0;
    return request;
}

static void add(struct kt_http_request *request, const char *name, struct kt_str value)
{
    headers[request->header_count++] = (struct kt_http_header){kt_str(name), value};
}

static enum kt_status judge(struct kt_access *access, struct kt_http_request *request,
                            enum kt_http_access level)
{
    struct kt_error err = KT_ERROR_INIT;

    return kt_access_judge(access, request, level, &err);
}

static void queries_are_public(void)
{
    struct kt_access *access = kt_access_new(
        &(struct kt_access_options){.admin_token = "a", .write_token = "w", .cluster_secret = "s"});
    struct kt_http_request request;

    fresh_arena();
    request = request_from("10.0.0.1", KT_HTTP_POST, "/kamaitachi/api/data/v1/snapshot");
    CHECK_INT(judge(access, &request, KT_ACCESS_PUBLIC), KT_OK);
    CHECK(!request.may_admin);
    kt_access_free(&access);
    CHECK(access == NULL);
}

static void writes_need_the_write_token_when_there_is_one(void)
{
    static const struct {
        const char *value;
        enum kt_status status;
    } table[] = {
        {NULL, KT_UNAUTHORIZED},      {"Bearer w", KT_OK},           {"bearer w", KT_OK},
        {"Bearer  w", KT_OK},         {"Bearer a", KT_OK},           {"Bearer", KT_UNAUTHORIZED},
        {"Bearer ", KT_UNAUTHORIZED}, {"Bearer x", KT_UNAUTHORIZED}, {"Bearer ww", KT_UNAUTHORIZED},
        {"Basic w", KT_UNAUTHORIZED}, {"w", KT_UNAUTHORIZED},
    };
    struct kt_access *closed =
        kt_access_new(&(struct kt_access_options){.admin_token = "a", .write_token = "w"});
    struct kt_access *open = kt_access_new(&(struct kt_access_options){.admin_token = "a"});

    fresh_arena();
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        struct kt_http_request request = request_from("10.0.0.1", KT_HTTP_POST, "/save");

        if (table[i].value) {
            add(&request, "Authorization", kt_str(table[i].value));
        }
        if (judge(closed, &request, KT_ACCESS_WRITE) != table[i].status) {
            kt_test_fail(__FILE__, __LINE__, "wrong for %s", table[i].value);
            return;
        }
        CHECK_INT(judge(open, &request, KT_ACCESS_WRITE), KT_OK);
    }
    kt_access_free(&closed);
    kt_access_free(&open);
}

static void without_a_token_operators_come_from_loopback_unforwarded(void)
{
    static const struct {
        const char *peer, *header;
        enum kt_status status;
    } table[] = {
        {"127.0.0.1", NULL, KT_OK},
        {"127.0.0.1", "Via", KT_FORBIDDEN},
        {"127.0.0.1", "forwarded", KT_FORBIDDEN},
        {"127.0.0.1", "X-Forwarded-For", KT_FORBIDDEN},
        {"10.0.0.1", NULL, KT_FORBIDDEN},
    };
    struct kt_access *access = kt_access_new(&(struct kt_access_options){0});

    fresh_arena();
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        struct kt_http_request request = request_from(table[i].peer, KT_HTTP_GET, "/monitor/own");

        if (table[i].header) {
            add(&request, table[i].header, KT_STR("1.1 somebody"));
        }
        CHECK_INT(judge(access, &request, KT_ACCESS_ADMIN), table[i].status);
        CHECK_INT(request.may_admin, table[i].status == KT_OK);
    }
    kt_access_free(&access);
}

static void with_a_token_loopback_is_not_enough(void)
{
    struct kt_access *access = kt_access_new(&(struct kt_access_options){.admin_token = "a"});
    struct kt_http_request request;

    fresh_arena();
    request = request_from("127.0.0.1", KT_HTTP_GET, "/api/x");
    CHECK_INT(judge(access, &request, KT_ACCESS_PUBLIC), KT_UNAUTHORIZED);
    request = request_from("10.0.0.1", KT_HTTP_GET, "/api/x");
    add(&request, "Authorization", KT_STR("Bearer a"));
    add(&request, "Via", KT_STR("1.1 gateway"));
    CHECK_INT(judge(access, &request, KT_ACCESS_PUBLIC), KT_OK);
    CHECK(request.may_admin);
    /* Two of them: which one counts? */
    add(&request, "Authorization", KT_STR("Bearer b"));
    CHECK_INT(judge(access, &request, KT_ACCESS_PUBLIC), KT_UNAUTHORIZED);
    kt_access_free(&access);
}

static void operators_posts_are_json_from_no_other_site(void)
{
    static const struct {
        const char *type, *origin;
        enum kt_status status;
    } table[] = {
        {"application/json", NULL, KT_OK},
        {"Application/JSON; charset=utf-8", NULL, KT_OK},
        {"text/plain", NULL, KT_MEDIA_TYPE},
        {NULL, NULL, KT_MEDIA_TYPE},
        {"application/json", "http://node:8080", KT_OK},
        {"application/json", "https://NODE:8080", KT_OK},
        {"application/json", "http://evil", KT_FORBIDDEN},
        {"application/json", "http://node:80801", KT_FORBIDDEN},
        {"application/json", "null", KT_FORBIDDEN},
        {"application/json", "", KT_FORBIDDEN},
    };
    struct kt_access *access = kt_access_new(&(struct kt_access_options){0});

    fresh_arena();
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        struct kt_http_request request =
            request_from("127.0.0.1", KT_HTTP_POST, "/cluster/failover");

        add(&request, "Host", KT_STR("node:8080"));
        if (table[i].type) {
            add(&request, "Content-Type", kt_str(table[i].type));
        }
        if (table[i].origin) {
            add(&request, "Origin", kt_str(table[i].origin));
        }
        if (judge(access, &request, KT_ACCESS_ADMIN) != table[i].status) {
            kt_test_fail(__FILE__, __LINE__, "row %zu", i);
            return;
        }
    }
    kt_access_free(&access);
}

static void registered_hosts_may_use_cluster_paths(void)
{
    static const char *const first[] = {"10.0.0.1", "::ffff:10.0.0.2"};
    static const char *const second[] = {"10.0.0.3"};
    struct kt_access *access = kt_access_new(&(struct kt_access_options){0});
    struct kt_http_request request;

    fresh_arena();
    request = request_from("10.0.0.1", KT_HTTP_POST, "/replication/v1/fetch");
    CHECK_INT(judge(access, &request, KT_ACCESS_PUBLIC), KT_FORBIDDEN);
    CHECK_INT(kt_access_set_hosts(access, first, 2), KT_OK);
    CHECK_INT(judge(access, &request, KT_ACCESS_PUBLIC), KT_OK);
    add(&request, "Via", KT_STR("1.1 x"));
    CHECK_INT(judge(access, &request, KT_ACCESS_PUBLIC), KT_FORBIDDEN);
    request = request_from("10.0.0.2", KT_HTTP_POST, "/replication/v1/fetch");
    CHECK_INT(judge(access, &request, KT_ACCESS_PUBLIC), KT_OK);
    request = request_from("::ffff:10.0.0.1", KT_HTTP_GET, "/api/x");
    CHECK_INT(judge(access, &request, KT_ACCESS_PUBLIC), KT_OK);
    CHECK_INT(kt_access_set_hosts(access, second, 1), KT_OK);
    CHECK_INT(judge(access, &request, KT_ACCESS_PUBLIC), KT_FORBIDDEN);
    request = request_from("127.0.0.1", KT_HTTP_POST, "/replication/v1/fetch");
    CHECK_INT(judge(access, &request, KT_ACCESS_CLUSTER), KT_OK);
    CHECK_INT(kt_access_set_hosts(access, NULL, 0), KT_OK);
    kt_access_free(&access);
}

static void allowed_networks_may_register_and_no_more(void)
{
    struct kt_access *access = kt_access_new(
        &(struct kt_access_options){.admin_token = "a", .cluster_allow = "10.1.0.0/16"});
    struct kt_http_request request;

    fresh_arena();
    request = request_from("10.1.2.3", KT_HTTP_POST, "/cluster/register");
    add(&request, "Content-Type", KT_STR("application/json"));
    CHECK_INT(judge(access, &request, KT_ACCESS_ADMIN), KT_OK);
    request.path = KT_STR("/cluster/failover");
    CHECK_INT(judge(access, &request, KT_ACCESS_ADMIN), KT_UNAUTHORIZED);
    request = request_from("10.2.2.3", KT_HTTP_POST, "/cluster/register");
    CHECK_INT(judge(access, &request, KT_ACCESS_ADMIN), KT_UNAUTHORIZED);
    kt_access_free(&access);
}

static struct kt_http_request signed_request(struct kt_access *signer, const char *body)
{
    struct kt_http_request request =
        request_from("10.0.0.9", KT_HTTP_POST, "/replication/v1/fetch");
    struct kt_str value;

    request.query = KT_STR("a=1");
    request.body = kt_str(body);
    value = kt_access_sign(signer, "POST", request.path, request.query, request.body, arena);
    add(&request, "X-Kamaitachi-Auth", value);
    return request;
}

static void a_signed_request_is_accepted_once(void)
{
    struct kt_access_options options = {.cluster_secret = "shared"};
    struct kt_access *ours = kt_access_new(&options), *theirs = kt_access_new(&options);
    struct kt_http_request request;

    fresh_arena();
    request = signed_request(theirs, "{}");
    CHECK_INT(judge(ours, &request, KT_ACCESS_CLUSTER), KT_OK);
    CHECK_INT(judge(ours, &request, KT_ACCESS_CLUSTER), KT_FORBIDDEN);
    request = signed_request(theirs, "{}");
    CHECK_INT(judge(ours, &request, KT_ACCESS_CLUSTER), KT_OK);
    kt_access_free(&ours);
    kt_access_free(&theirs);
}

static void a_signature_covers_all_of_the_request(void)
{
    struct kt_access_options options = {.cluster_secret = "shared"};
    struct kt_access *access = kt_access_new(&options);
    struct kt_http_request request;

    fresh_arena();
    request = signed_request(access, "{}");
    request.body = KT_STR("{ }");
    CHECK_INT(judge(access, &request, KT_ACCESS_CLUSTER), KT_UNAUTHORIZED);
    request = signed_request(access, "{}");
    request.query = KT_STR("a=2");
    CHECK_INT(judge(access, &request, KT_ACCESS_CLUSTER), KT_UNAUTHORIZED);
    request = signed_request(access, "{}");
    request.path = KT_STR("/replication/v1/other");
    CHECK_INT(judge(access, &request, KT_ACCESS_CLUSTER), KT_UNAUTHORIZED);
    request = signed_request(access, "{}");
    request.method = KT_HTTP_PUT;
    CHECK_INT(judge(access, &request, KT_ACCESS_CLUSTER), KT_UNAUTHORIZED);
    kt_access_free(&access);
}

static void another_secret_does_not_sign(void)
{
    struct kt_access *ours = kt_access_new(&(struct kt_access_options){.cluster_secret = "one"});
    struct kt_access *theirs = kt_access_new(&(struct kt_access_options){.cluster_secret = "two"});
    struct kt_access *none = kt_access_new(&(struct kt_access_options){0});
    struct kt_http_request request;

    fresh_arena();
    request = signed_request(theirs, "");
    CHECK_INT(judge(ours, &request, KT_ACCESS_CLUSTER), KT_UNAUTHORIZED);
    CHECK_INT(kt_access_sign(none, "GET", KT_STR("/"), KT_STR(""), KT_STR(""), arena).len, 0);
    /* With a secret, being on loopback is not enough. */
    request = request_from("127.0.0.1", KT_HTTP_POST, "/replication/v1/fetch");
    CHECK_INT(judge(ours, &request, KT_ACCESS_CLUSTER), KT_UNAUTHORIZED);
    kt_access_free(&ours);
    kt_access_free(&theirs);
    kt_access_free(&none);
}

static void broken_signatures_are_refused(void)
{
    static const char *const broken[] = {
        "",
        "v1",
        "v2 time=1 nonce=0123456789abcdef mac=00",
        "v1 time=x nonce=0123456789abcdef "
        "mac=0000000000000000000000000000000000000000000000000000000000000000",
        "v1 time=1 nonce=0123456789abcde "
        "mac=0000000000000000000000000000000000000000000000000000000000000000",
        "v1 time=1 nonce=0123456789abcdef mac=00",
        "v1 time=1 nonce=0123456789abcdef "
        "mac=0000000000000000000000000000000000000000000000000000000000000000 more",
    };
    struct kt_access *access = kt_access_new(&(struct kt_access_options){.cluster_secret = "s"});

    fresh_arena();
    for (size_t i = 0; i < KT_ARRAY_LEN(broken); i++) {
        struct kt_http_request request =
            request_from("10.0.0.9", KT_HTTP_POST, "/replication/v1/fetch");

        add(&request, "X-Kamaitachi-Auth", kt_str(broken[i]));
        CHECK_INT(judge(access, &request, KT_ACCESS_CLUSTER), KT_UNAUTHORIZED);
    }
    kt_access_free(&access);
}

static void an_old_signature_is_refused(void)
{
    struct kt_access *access = kt_access_new(&(struct kt_access_options){.cluster_secret = "s"});
    static const int64_t offsets_s[] = {-3600, -70, 70, 3600};

    fresh_arena();
    for (size_t i = 0; i < KT_ARRAY_LEN(offsets_s); i++) {
        struct kt_http_request request = request_from("10.0.0.9", KT_HTTP_GET, "/replication/v1/x");
        long long time_s = (long long)(kt_now_wall_ms() / 1000 + offsets_s[i]);
        static const char hex[] = "0123456789abcdef";
        unsigned char digest[32], mac[32];
        char text[512], value[256], mac_hex[65], body_hex[65];

        kt_sha256("", 0, digest);
        for (int b = 0; b < 32; b++) {
            body_hex[2 * b] = hex[digest[b] >> 4];
            body_hex[2 * b + 1] = hex[digest[b] & 15];
        }
        body_hex[64] = '\0';
        snprintf(text, sizeof(text), "v1\nGET\n/replication/v1/x\n\n%lld\n0123456789abcde%zu\n%s",
                 time_s, i, body_hex);
        kt_hmac_sha256(KT_STR("s"), kt_str(text), mac);
        for (int b = 0; b < 32; b++) {
            mac_hex[2 * b] = hex[mac[b] >> 4];
            mac_hex[2 * b + 1] = hex[mac[b] & 15];
        }
        mac_hex[64] = '\0';
        snprintf(value, sizeof(value), "v1 time=%lld nonce=0123456789abcde%zu mac=%s", time_s, i,
                 mac_hex);
        add(&request, "X-Kamaitachi-Auth", kt_str(value));
        CHECK_INT(judge(access, &request, KT_ACCESS_CLUSTER), KT_UNAUTHORIZED);
    }
    kt_access_free(&access);
}

static void a_signed_request_may_administrate(void)
{
    struct kt_access *access =
        kt_access_new(&(struct kt_access_options){.cluster_secret = "s", .admin_token = "a"});
    struct kt_http_request request;
    struct kt_str value;

    fresh_arena();
    request = request_from("10.0.0.9", KT_HTTP_POST, "/cluster/failover");
    value = kt_access_sign(access, "POST", request.path, request.query, request.body, arena);
    add(&request, "Content-Type", KT_STR("application/json"));
    add(&request, "X-Kamaitachi-Auth", value);
    CHECK_INT(judge(access, &request, KT_ACCESS_ADMIN), KT_OK);
    CHECK(request.may_admin);
    kt_access_free(&access);
}

static void a_streamed_body_cannot_be_signed(void)
{
    struct kt_access *access = kt_access_new(&(struct kt_access_options){.cluster_secret = "s"});
    struct kt_http_body pull = {0};
    struct kt_http_request request;

    fresh_arena();
    request = signed_request(access, "");
    request.pull = &pull;
    CHECK_INT(judge(access, &request, KT_ACCESS_CLUSTER), KT_FORBIDDEN);
    kt_access_free(&access);
}

static void a_full_table_refuses_rather_than_forgets(void)
{
    struct kt_nonces nonces;
    struct kt_error err = KT_ERROR_INIT;

    kt_nonces_init(&nonces, 1000);
    for (uint64_t i = 0; i < 1000; i++) {
        CHECK_OK(kt_nonces_add(&nonces, i + 7, 600000, &err));
    }
    CHECK_FAILS(kt_nonces_add(&nonces, 5, 600000, &err), KT_BUSY);
    /* Within the window the minute before is still remembered, and counts. */
    CHECK_FAILS(kt_nonces_add(&nonces, 5, 600060, &err), KT_BUSY);
    /* Four minutes on its bucket has come round. */
    CHECK_OK(kt_nonces_add(&nonces, 5, 600000 + 240, &err));
    kt_nonces_done(&nonces);
}

static void nonces_are_known_for_the_whole_window(void)
{
    struct kt_nonces nonces;
    struct kt_error err = KT_ERROR_INIT;

    kt_nonces_init(&nonces, 1000);
    CHECK_OK(kt_nonces_add(&nonces, 0, 1000, &err));
    CHECK_FAILS(kt_nonces_add(&nonces, 0, 1000, &err), KT_FORBIDDEN);
    CHECK_OK(kt_nonces_add(&nonces, 9, 1000 + 120, &err));
    CHECK_FAILS(kt_nonces_add(&nonces, 0, 1000, &err), KT_FORBIDDEN);
    CHECK_FAILS(kt_nonces_add(&nonces, 9, 1000 + 120, &err), KT_FORBIDDEN);
    kt_nonces_done(&nonces);
}

static void running_out_of_memory_is_survived(void)
{
    struct kt_access_options options = {.admin_token = "a", .cluster_secret = "s"};
    static const char *const hosts[] = {"10.0.0.1"};

    for (uint64_t nth = 1; nth < 20; nth++) {
        struct kt_access *access;

        fresh_arena();
        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        access = kt_access_new(&options);
        if (access) {
            struct kt_http_request request = signed_request(access, "x");
            enum kt_status status = kt_access_set_hosts(access, hosts, 1);

            CHECK(status == KT_OK || status == KT_NO_MEMORY);
            status = judge(access, &request, KT_ACCESS_CLUSTER);
            CHECK(status == KT_OK || status == KT_NO_MEMORY || status == KT_UNAUTHORIZED);
        }
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        kt_access_free(&access);
    }
    kt_arena_free(&arena);
}

static const struct kt_test tests[] = {
    TEST(queries_are_public),
    TEST(writes_need_the_write_token_when_there_is_one),
    TEST(without_a_token_operators_come_from_loopback_unforwarded),
    TEST(with_a_token_loopback_is_not_enough),
    TEST(operators_posts_are_json_from_no_other_site),
    TEST(registered_hosts_may_use_cluster_paths),
    TEST(allowed_networks_may_register_and_no_more),
    TEST(a_signed_request_is_accepted_once),
    TEST(a_signature_covers_all_of_the_request),
    TEST(another_secret_does_not_sign),
    TEST(broken_signatures_are_refused),
    TEST(an_old_signature_is_refused),
    TEST(a_signed_request_may_administrate),
    TEST(a_streamed_body_cannot_be_signed),
    TEST(a_full_table_refuses_rather_than_forgets),
    TEST(nonces_are_known_for_the_whole_window),
    TEST(running_out_of_memory_is_survived),
};

KT_TEST_MAIN(tests)

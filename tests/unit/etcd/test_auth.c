/* SPDX-License-Identifier: MIT */
/* Users and tokens, against an etcd that is installed here and has its authentication switched on.
 */
#include "etcd/real_etcd.h"
#include "kt_test.h"

#include "base/hash.h"
#include "http/client.h"

#define PASSWORD "s3cr\"et-\\of-kt"

static struct kt_error err;
static struct real_etcd server;
static char answer[4096];

static bool post_to(const struct real_etcd *etcd, const char *path, const char *body)
{
    if (!real_etcd_post(etcd, path, body, answer, sizeof(answer))) {
        kt_test_fail(__FILE__, __LINE__, "%s gave %s", path, answer);
        return false;
    }
    return true;
}

static bool grant(const struct real_etcd *etcd, const char *role, const char *from, const char *to)
{
    char key[64], end[64], body[300];

    key[kt_base64_encode(from, strlen(from), key)] = '\0';
    end[kt_base64_encode(to, strlen(to), end)] = '\0';
    snprintf(body, sizeof(body),
             "{\"name\":\"%s\",\"perm\":{\"permType\":\"READWRITE\",\"key\":\"%s\","
             "\"range_end\":\"%s\"}}",
             role, key, end);
    return post_to(etcd, "/v3/auth/role/grant", body);
}

static bool add_user(const struct real_etcd *etcd, const char *name, const char *password,
                     const char *role)
{
    char body[200];

    snprintf(body, sizeof(body), "{\"name\":\"%s\",\"password\":\"%s\"}", name, password);
    if (!post_to(etcd, "/v3/auth/user/add", body)) {
        return false;
    }
    snprintf(body, sizeof(body), "{\"user\":\"%s\",\"role\":\"%s\"}", name, role);
    return post_to(etcd, "/v3/auth/user/grant", body);
}

/* `kt` may do all below /kt/, `other` below /other/. */
static bool set_users(const struct real_etcd *etcd)
{
    return post_to(etcd, "/v3/auth/role/add", "{\"name\":\"kt\"}") &&
           post_to(etcd, "/v3/auth/role/add", "{\"name\":\"other\"}") &&
           grant(etcd, "kt", "/kt/", "/kt0") && grant(etcd, "other", "/other/", "/other0") &&
           post_to(etcd, "/v3/auth/role/add", "{\"name\":\"root\"}") &&
           add_user(etcd, "root", "root", "root") &&
           add_user(etcd, "kt", "s3cr\\\"et-\\\\of-kt", "kt") &&
           add_user(etcd, "other", "other", "other") && post_to(etcd, "/v3/auth/enable", "{}");
}

static bool begin(struct kt_etcd **ret_client, const char *user, const char *password)
{
    struct kt_etcd_security security = {.user = user, .password = password};
    struct kt_etcd_options options = {.call_timeout_ms = 5000, .security = &security};

    if (server.pid == 0 && (!real_etcd_start(&server, "auth") || !set_users(&server))) {
        return false;
    }
    options.endpoints = server.endpoint;
    if (kt_etcd_new(&options, ret_client, &err) != KT_OK) {
        kt_test_fail(__FILE__, __LINE__, "%s", err.message);
        return false;
    }
    return true;
}

static enum kt_status read_key(struct kt_etcd *client)
{
    struct kt_etcd_list list;
    enum kt_status status;

    kt_etcd_list_init(&list);
    status = kt_etcd_range(client, KT_STR("/kt/"), true, &list, &err);
    kt_etcd_list_done(&list);
    return status;
}

static enum kt_status run_txn(struct kt_etcd *client)
{
    struct kt_etcd_op op = {KT_ETCD_OP_PUT, KT_STR("/kt/txn"), KT_STR("v"), 0};
    bool succeeded = false;
    int64_t revision = 0;

    return kt_etcd_txn(client, NULL, 0, &op, 1, &succeeded, &revision, &err);
}

static bool on_events(void *ctx, const struct kt_etcd_event *events, size_t count, int64_t revision)
{
    (void)events;
    (void)count;
    (void)revision;
    *(bool *)ctx = true;
    return false;
}

/* Of what is already there: events come at once. */
static enum kt_status watch(struct kt_etcd *client, bool *ret_seen)
{
    struct kt_etcd_watch watch = {.prefix = KT_STR("/kt/"),
                                  .start_revision = 1,
                                  .silence_ms = 5000,
                                  .on_events = on_events,
                                  .ctx = ret_seen};

    return kt_etcd_watch(client, &watch, &err);
}

static void a_user_with_a_password_does_all_that_a_client_does(void)
{
    struct kt_etcd *client = NULL;
    int64_t lease = 0, ttl_s = 0;
    bool seen = false;

    if (!begin(&client, "kt", PASSWORD)) {
        return;
    }
    CHECK_OK(kt_etcd_put(client, KT_STR("/kt/a"), KT_STR("1"), 0, NULL, &err));
    CHECK_OK(read_key(client));
    CHECK_OK(run_txn(client));
    CHECK_OK(watch(client, &seen));
    CHECK(seen);
    CHECK_OK(kt_etcd_lease_grant(client, 30, &lease, &ttl_s, &err));
    CHECK_OK(kt_etcd_put(client, KT_STR("/kt/leased"), KT_STR("1"), lease, NULL, &err));
    CHECK_OK(kt_etcd_lease_keepalive(client, lease, &ttl_s, &err));
    CHECK_OK(kt_etcd_lease_revoke(client, lease, &err));
    kt_etcd_free(&client);
}

/* A watch may be the first call of a client; a transaction too. */
static void any_call_may_be_the_first(void)
{
    struct kt_etcd *client = NULL;
    bool seen = false;

    if (!begin(&client, "kt", PASSWORD)) {
        return;
    }
    CHECK_OK(run_txn(client));
    kt_etcd_free(&client);
    CHECK(begin(&client, "kt", PASSWORD));
    CHECK_OK(watch(client, &seen));
    CHECK(seen);
    kt_etcd_free(&client);
}

static void an_etcd_that_was_restarted_is_asked_for_a_new_token(void)
{
    struct kt_etcd *client = NULL;

    if (!begin(&client, "kt", PASSWORD)) {
        return;
    }
    CHECK_OK(run_txn(client));
    real_etcd_kill(&server);
    CHECK(real_etcd_restart(&server));
    CHECK_OK(run_txn(client)); /* refused and made again: it can't have been done before */
    CHECK_OK(read_key(client));
    kt_etcd_free(&client);
}

static bool post_as_root(const char *path, const char *body)
{
    struct kt_http_client *http = kt_http_client_new();
    struct kt_http_answer got;
    struct kt_buf token;
    char url[200], line[300];
    struct kt_http_call call = {.method = "POST",
                                .url = url,
                                .body = kt_str(body),
                                .headers = {line},
                                .timeout_ms = 5000,
                                .max_answer_bytes = 65536};
    bool ok;

    kt_buf_init(&token, 0);
    kt_http_answer_init(&got);
    ok = http &&
         post_to(&server, "/v3/auth/authenticate", "{\"name\":\"root\",\"password\":\"root\"}") &&
         kt_etcd_decode_token(kt_str(answer), &token, &err) == KT_OK;
    if (ok) {
        snprintf(url, sizeof(url), "http://%s%s", server.endpoint, path);
        snprintf(line, sizeof(line), "Authorization: " KT_STR_FMT, KT_STR_ARG(kt_buf_str(&token)));
        ok = kt_http_client_call(http, &call, &got, &err) == KT_OK && got.status == 200;
    }
    kt_buf_done(&token);
    kt_http_answer_done(&got);
    kt_http_client_free(&http);
    return ok;
}

/* Any change of users or roles makes older tokens void: "revision of auth store is old". */
static void a_change_of_etcds_users_costs_no_call(void)
{
    struct kt_etcd *client = NULL;

    if (!begin(&client, "kt", PASSWORD)) {
        return;
    }
    CHECK_OK(read_key(client));
    CHECK(post_as_root("/v3/auth/user/add", "{\"name\":\"new\",\"password\":\"x\"}"));
    CHECK_OK(read_key(client));
    CHECK(post_as_root("/v3/auth/user/delete", "{\"name\":\"new\"}"));
    CHECK_OK(run_txn(client));
    kt_etcd_free(&client);
}

static void a_wrong_password_is_told_with_what_to_do_and_without_the_password(void)
{
    struct kt_etcd *client = NULL;
    bool seen = false;

    if (!begin(&client, "kt", "wr0ng-password")) {
        return;
    }
    CHECK_FAILS(read_key(client), KT_UNAUTHORIZED);
    CHECK(strstr(err.message, "refuses user \"kt\""));
    CHECK(strstr(err.message, "check [etcd] user and password"));
    CHECK(!strstr(err.message, "wr0ng"));
    CHECK_FAILS(run_txn(client), KT_UNAUTHORIZED); /* known not to be done */
    CHECK_FAILS(watch(client, &seen), KT_UNAUTHORIZED);
    kt_etcd_free(&client);
    CHECK(begin(&client, "nobody", "x"));
    CHECK_FAILS(read_key(client), KT_UNAUTHORIZED);
    CHECK(strstr(err.message, "\"nobody\""));
    kt_etcd_free(&client);
}

static void without_a_user_it_is_told_to_set_one(void)
{
    struct kt_etcd *client = NULL;

    if (!begin(&client, NULL, NULL)) {
        return;
    }
    CHECK_FAILS(read_key(client), KT_UNAUTHORIZED);
    CHECK(strstr(err.message, "set [etcd] user and password"));
    CHECK_FAILS(run_txn(client), KT_UNAUTHORIZED);
    kt_etcd_free(&client);
}

static void a_user_without_the_right_is_told_which_it_needs(void)
{
    struct kt_etcd *client = NULL;
    bool seen = false;

    if (!begin(&client, "other", "other")) {
        return;
    }
    CHECK_FAILS(read_key(client), KT_FORBIDDEN);
    CHECK(strstr(err.message, "readwrite on the keys below [etcd] prefix"));
    CHECK_FAILS(run_txn(client), KT_FORBIDDEN);
    CHECK_FAILS(watch(client, &seen), KT_FORBIDDEN); /* cancelled in a stream that is well */
    CHECK(!seen);
    kt_etcd_free(&client);
}

static void authentication_may_be_switched_off_and_on_under_a_client(void)
{
    struct kt_etcd *client = NULL;
    struct real_etcd open;
    struct kt_etcd_security security = {.user = "kt", .password = PASSWORD};
    struct kt_etcd_options options = {.call_timeout_ms = 5000, .security = &security};

    if (!real_etcd_start(&open, "open")) {
        return;
    }
    options.endpoints = open.endpoint;
    CHECK_OK(kt_etcd_new(&options, &client, &err));
    CHECK_OK(run_txn(client)); /* it asks for no token */
    CHECK(set_users(&open));
    CHECK_OK(run_txn(client)); /* refused for want of one, and made again with one */
    CHECK_OK(read_key(client));
    kt_etcd_free(&client);
    real_etcd_stop(&open);
}

static const struct kt_test tests[] = {
    TEST(a_user_with_a_password_does_all_that_a_client_does),
    TEST(any_call_may_be_the_first),
    TEST(an_etcd_that_was_restarted_is_asked_for_a_new_token),
    TEST(a_change_of_etcds_users_costs_no_call),
    TEST(a_wrong_password_is_told_with_what_to_do_and_without_the_password),
    TEST(without_a_user_it_is_told_to_set_one),
    TEST(a_user_without_the_right_is_told_which_it_needs),
    TEST(authentication_may_be_switched_off_and_on_under_a_client),
};

int main(int argc, char **argv)
{
    int status = kt_test_main(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);

    real_etcd_stop(&server);
    return status;
}

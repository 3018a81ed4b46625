/* SPDX-License-Identifier: MIT */
/* Tokens that are refused, logins that fail, and endpoints that swallow packets: against a server
 * that counts what it is asked. */
#include "etcd/etcd.h"
#include "etcd/mock.h"
#include "kt_test.h"

#include "base/clock.h"
#include "base/mem.h"
#include "http/client.h"

#define HEADER "\"header\":{\"cluster_id\":\"1\",\"revision\":\"41\"}"

static struct kt_error err;
static struct mock mock_a, mock_b;

/* How this etcd behaves, and what it was asked; all atomic. */
static struct {
    int logins, calls, refusals; /* asked for a token; anything else; of these refused */
    int refuse;                  /* so many of the calls, by their token; -1 = all */
    int odd_tokens;              /* calls that carried no token, or not the newest */
} etcd;

static int get(int *counter)
{
    return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

static int bump(int *counter)
{
    return __atomic_add_fetch(counter, 1, __ATOMIC_ACQ_REL);
}

static bool answer(struct mock_conn *conn, const struct mock_request *request, void *ctx)
{
    char text[200], newest[32];

    (void)ctx;
    if (strcmp(request->path, "/v3/auth/authenticate") == 0) {
        snprintf(text, sizeof(text), "{" HEADER ",\"token\":\"token.%d\"}", bump(&etcd.logins));
        if (request->authorization[0]) {
            bump(&etcd.odd_tokens);
        }
        mock_json(conn, 200, text);
        return true;
    }
    bump(&etcd.calls);
    snprintf(newest, sizeof(newest), "token.%d", get(&etcd.logins));
    if (strcmp(request->authorization, newest) != 0) {
        bump(&etcd.odd_tokens);
    }
    if (get(&etcd.refuse) < 0 || get(&etcd.refuse) > get(&etcd.refusals)) {
        bump(&etcd.refusals);
        mock_json(conn, 401,
                  "{\"error\":\"etcdserver: invalid auth token\","
                  "\"message\":\"etcdserver: invalid auth token\",\"code\":16}");
    } else if (strcmp(request->path, "/v3/watch") == 0) {
        mock_stream(conn);
        mock_chunk(conn, KT_STR("{\"result\":{" HEADER ",\"created\":true}}\n"));
        mock_hold(conn, 60000);
        return false;
    } else {
        mock_json(conn, 200, "{" HEADER ",\"succeeded\":true}");
    }
    return true;
}

static bool closes(struct mock_conn *conn, const struct mock_request *request, void *ctx)
{
    (void)conn;
    (void)request;
    (void)ctx;
    return false;
}

static bool begin_at(struct kt_etcd **ret_client, const char *endpoints, int64_t timeout_ms)
{
    struct kt_etcd_security security = {.user = "kt", .password = "secret"};
    struct kt_etcd_options options = {
        .endpoints = endpoints, .call_timeout_ms = timeout_ms, .security = &security};

    if (kt_etcd_new(&options, ret_client, &err) != KT_OK) {
        kt_test_fail(__FILE__, __LINE__, "%s", err.message);
        return false;
    }
    return true;
}

static bool begin(struct kt_etcd **ret_client)
{
    memset(&etcd, 0, sizeof(etcd));
    return mock_start(&mock_a, answer, NULL) && begin_at(ret_client, mock_a.endpoint, 5000);
}

static enum kt_status run_txn(struct kt_etcd *client)
{
    struct kt_etcd_op op = {KT_ETCD_OP_PUT, KT_STR("k"), KT_STR("v"), 0};
    bool succeeded = false;
    int64_t revision = 0;

    return kt_etcd_txn(client, NULL, 0, &op, 1, &succeeded, &revision, &err);
}

static enum kt_status run_range(struct kt_etcd *client)
{
    struct kt_etcd_list list;
    enum kt_status status;

    kt_etcd_list_init(&list);
    status = kt_etcd_range(client, KT_STR("k"), true, &list, &err);
    kt_etcd_list_done(&list);
    return status;
}

static enum kt_status run_watch(struct kt_etcd *client)
{
    struct kt_etcd_watch watch = {
        .prefix = KT_STR("k"), .start_revision = 42, .silence_ms = 100, .on_events = NULL};

    return kt_etcd_watch(client, &watch, &err);
}

static void one_token_is_asked_for_and_carried_by_every_call(void)
{
    struct kt_etcd *client = NULL;
    int64_t ttl_s = 0;

    CHECK(begin(&client));
    CHECK_OK(run_range(client));
    CHECK_OK(run_txn(client));
    CHECK_FAILS(run_watch(client), KT_TIMEOUT);
    CHECK_FAILS(kt_etcd_lease_keepalive(client, 7, &ttl_s, &err), KT_CORRUPT);
    CHECK_INT(get(&etcd.logins), 1);
    CHECK_INT(get(&etcd.calls), 4);
    CHECK_INT(get(&etcd.odd_tokens), 0);
    kt_etcd_free(&client);
    mock_stop(&mock_a);
}

static void a_refused_token_is_replaced_and_the_call_made_again_a_txn_too(void)
{
    struct kt_etcd *client = NULL;

    CHECK(begin(&client));
    CHECK_OK(run_range(client));
    __atomic_store_n(&etcd.refuse, 1, __ATOMIC_RELEASE);
    CHECK_OK(run_txn(client));
    CHECK_INT(get(&etcd.refusals), 1);
    CHECK_INT(get(&etcd.logins), 2);
    CHECK_INT(get(&etcd.calls), 3);
    CHECK_INT(get(&etcd.odd_tokens), 0);
    kt_etcd_free(&client);
    mock_stop(&mock_a);
}

static void a_token_that_is_always_refused_costs_two_sendings_a_call(void)
{
    struct kt_etcd *client = NULL;

    CHECK(begin(&client));
    etcd.refuse = -1;
    CHECK_FAILS(run_txn(client), KT_UNAUTHORIZED);
    CHECK_INT(get(&etcd.calls), 2);
    CHECK_FAILS(run_range(client), KT_UNAUTHORIZED);
    CHECK_INT(get(&etcd.calls), 4);
    CHECK_INT(get(&etcd.logins), 4);
    CHECK(!strstr(err.message, "secret"));
    CHECK(!strstr(err.message, "token."));
    kt_etcd_free(&client);
    mock_stop(&mock_a);
}

/* The caller of a watch lists before it watches again: that brings the new token. */
static void a_watch_that_is_refused_leaves_a_new_token_to_the_next_list(void)
{
    struct kt_etcd *client = NULL;

    CHECK(begin(&client));
    CHECK_OK(run_range(client));
    __atomic_store_n(&etcd.refuse, 1, __ATOMIC_RELEASE);
    CHECK_FAILS(run_watch(client), KT_UNAUTHORIZED);
    CHECK_OK(run_range(client));
    CHECK_FAILS(run_watch(client), KT_TIMEOUT);
    CHECK_INT(get(&etcd.logins), 2);
    CHECK_INT(get(&etcd.odd_tokens), 0);
    kt_etcd_free(&client);
    mock_stop(&mock_a);
}

static void a_login_that_breaks_means_the_next_endpoint_a_txn_was_not_sent_yet(void)
{
    struct kt_etcd *client = NULL;
    char endpoints[140];

    memset(&etcd, 0, sizeof(etcd));
    CHECK(mock_start(&mock_b, closes, NULL));
    CHECK(mock_start(&mock_a, answer, NULL));
    snprintf(endpoints, sizeof(endpoints), "%s,%s", mock_b.endpoint, mock_a.endpoint);
    CHECK(begin_at(&client, endpoints, 5000));
    CHECK_OK(run_txn(client));
    CHECK_INT(get(&mock_b.requests), 1);
    CHECK_INT(get(&etcd.logins), 1);
    CHECK_OK(run_txn(client)); /* the good one is remembered, and so is the token */
    CHECK_INT(get(&mock_b.requests), 1);
    CHECK_INT(get(&etcd.logins), 1);
    kt_etcd_free(&client);
    mock_stop(&mock_a);
    mock_stop(&mock_b);
}

static void logins_survive_every_failed_allocation(void)
{
    bool done = false;

    memset(&etcd, 0, sizeof(etcd));
    CHECK(mock_start(&mock_a, answer, NULL));
    for (uint64_t nth = 1; !done && nth < 300; nth++) {
        struct kt_etcd_security security = {.user = "kt", .password = "secret"};
        struct kt_etcd_options options = {
            .endpoints = mock_a.endpoint, .call_timeout_ms = 5000, .security = &security};
        struct kt_etcd *client = NULL;
        enum kt_status a, b = KT_NO_MEMORY, c = KT_NO_MEMORY;

        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        a = kt_etcd_new(&options, &client, &err);
        if (a == KT_OK) {
            b = run_range(client);
            c = run_txn(client);
            kt_etcd_free(&client);
        }
        done = a == KT_OK && b == KT_OK && c == KT_OK;
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
    }
    CHECK(done);
    CHECK_INT(get(&etcd.odd_tokens), 0);
    mock_stop(&mock_a);
}

/* A listener whose queue is full: the system drops what else wants to connect, as a firewall would.
 * Who connected and went away stays in the queue. */
static bool start_swallower(kt_socket *ret_socket, uint16_t *ret_port)
{
    struct kt_http_client *http = kt_http_client_new();
    enum kt_status status = KT_TIMEOUT;
    struct kt_http_answer got;
    char url[64];
    struct kt_http_call call = {
        .method = "GET", .url = url, .timeout_ms = 200, .max_answer_bytes = 1000, .fresh = true};

    if (!http || kt_net_listen("127.0.0.1", 0, 1, ret_socket, ret_port, NULL) != KT_OK) {
        return false;
    }
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", (unsigned)*ret_port);
    kt_http_answer_init(&got);
    for (int i = 0; i < 20 && status != KT_UNAVAILABLE; i++) {
        status = kt_http_client_call(http, &call, &got, NULL);
    }
    kt_http_answer_done(&got);
    kt_http_client_free(&http);
    return status == KT_UNAVAILABLE;
}

static void an_endpoint_that_swallows_packets_costs_half_a_call_and_is_then_left(void)
{
    struct kt_etcd *client = NULL;
    kt_socket swallower = KT_NO_SOCKET;
    uint16_t port = 0;
    char endpoints[140];
    int64_t started_ms;

    memset(&etcd, 0, sizeof(etcd));
    CHECK(mock_start(&mock_a, answer, NULL));
    CHECK(start_swallower(&swallower, &port));
    snprintf(endpoints, sizeof(endpoints), "127.0.0.1:%u,%s", (unsigned)port, mock_a.endpoint);
    CHECK(begin_at(&client, endpoints, 6000));
    CHECK_OK(run_txn(client)); /* nothing was sent to the first */
    started_ms = kt_now_mono_ms();
    CHECK_OK(run_txn(client));
    CHECK_OK(run_range(client));
    CHECK(kt_now_mono_ms() - started_ms < 2900); /* half a call has 3000 */
    kt_etcd_free(&client);
    kt_net_close(&swallower);
    mock_stop(&mock_a);
}

static const struct kt_test tests[] = {
    TEST(one_token_is_asked_for_and_carried_by_every_call),
    TEST(a_refused_token_is_replaced_and_the_call_made_again_a_txn_too),
    TEST(a_token_that_is_always_refused_costs_two_sendings_a_call),
    TEST(a_watch_that_is_refused_leaves_a_new_token_to_the_next_list),
    TEST(a_login_that_breaks_means_the_next_endpoint_a_txn_was_not_sent_yet),
    TEST(logins_survive_every_failed_allocation),
    TEST(an_endpoint_that_swallows_packets_costs_half_a_call_and_is_then_left),
};

KT_TEST_MAIN(tests)

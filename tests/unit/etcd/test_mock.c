/* SPDX-License-Identifier: MIT */
/* The traps of the JSON gateway, each against a server that springs it. */
#include "etcd/etcd.h"
#include "etcd/mock.h"
#include "kt_test.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdio.h>

static struct kt_error err;

#define HEADER "\"header\":{\"cluster_id\":\"1\",\"revision\":\"41\"}"
#define CREATED "{\"result\":{" HEADER ",\"created\":true}}\n"
#define TXN_DONE "{" HEADER ",\"succeeded\":true}"
#define EVENT(key, revision)                                                                       \
    "{\"kv\":{\"key\":\"" key "\",\"mod_revision\":\"" revision "\",\"value\":\"MQ==\"}}"

static struct mock mock_a, mock_b;

static bool begin_at(struct kt_etcd **ret_etcd, const char *endpoints, int64_t timeout_ms)
{
    struct kt_etcd_options options = {.endpoints = endpoints, .call_timeout_ms = timeout_ms};

    if (kt_etcd_new(&options, ret_etcd, &err) != KT_OK) {
        kt_test_fail(__FILE__, __LINE__, "%s", err.message);
        return false;
    }
    return true;
}

static bool begin(struct kt_etcd **ret_etcd, mock_fn fn, void *ctx)
{
    return mock_start(&mock_a, fn, ctx) && begin_at(ret_etcd, mock_a.endpoint, 1000);
}

static bool begin_two(struct kt_etcd **ret_etcd, mock_fn first, mock_fn second, int64_t timeout_ms)
{
    char endpoints[140];

    if (!mock_start(&mock_a, first, NULL) || !mock_start(&mock_b, second, NULL)) {
        return false;
    }
    snprintf(endpoints, sizeof(endpoints), "%s,%s", mock_a.endpoint, mock_b.endpoint);
    return begin_at(ret_etcd, endpoints, timeout_ms);
}

static int count(const int *counter)
{
    return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

static enum kt_status run_txn(struct kt_etcd *etcd, bool *ret_succeeded)
{
    struct kt_etcd_compare compare = {KT_STR("k"), KT_ETCD_MOD_REVISION, 0, {NULL, 0}};
    struct kt_etcd_op op = {KT_ETCD_OP_PUT, KT_STR("k"), KT_STR("v"), 0};
    int64_t revision = 0;

    return kt_etcd_txn(etcd, &compare, 1, &op, 1, ret_succeeded, &revision, &err);
}

/* Answers whatever is asked as a healthy etcd would. */
static bool healthy(struct mock_conn *conn, const struct mock_request *request, void *ctx)
{
    (void)ctx;
    if (strcmp(request->path, "/v3/kv/txn") == 0) {
        mock_json(conn, 200, TXN_DONE);
    } else if (strncmp(request->path, "/v3/lease/", 10) == 0) {
        mock_json(conn, 200, "{\"result\":{" HEADER ",\"ID\":\"7\",\"TTL\":\"5\"}}");
    } else if (strcmp(request->path, "/version") == 0) {
        mock_json(conn, 200, "{\"etcdserver\":\"3.6.0\",\"etcdcluster\":\"3.6.0\"}");
    } else {
        mock_json(conn, 200, "{" HEADER "}");
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

static bool hangs(struct mock_conn *conn, const struct mock_request *request, void *ctx)
{
    (void)request;
    (void)ctx;
    mock_hold(conn, 30000);
    return false;
}

static bool unavailable(struct mock_conn *conn, const struct mock_request *request, void *ctx)
{
    (void)request;
    (void)ctx;
    mock_json(conn, 503,
              "{\"error\":\"etcdserver: no leader\",\"message\":\"etcdserver: no leader\","
              "\"code\":14}");
    return true;
}

static bool deadline_exceeded(struct mock_conn *conn, const struct mock_request *request, void *ctx)
{
    (void)request;
    (void)ctx;
    mock_json(conn, 504, "{\"code\":4,\"message\":\"context deadline exceeded\"}");
    return true;
}

static bool not_etcd(struct mock_conn *conn, const struct mock_request *request, void *ctx)
{
    (void)request;
    (void)ctx;
    mock_json(conn, 200, "<html>It works!</html>");
    return true;
}

static void a_txn_takes_a_fresh_connection_each_time(void)
{
    struct kt_etcd *etcd = NULL;
    char version[32];
    bool succeeded = false;

    CHECK(begin(&etcd, healthy, NULL));
    CHECK_OK(kt_etcd_version(etcd, version, &err));
    CHECK_OK(kt_etcd_version(etcd, version, &err));
    CHECK_INT(count(&mock_a.connections), 1);
    CHECK_OK(run_txn(etcd, &succeeded));
    CHECK_INT(count(&mock_a.connections), 2);
    CHECK_OK(run_txn(etcd, &succeeded));
    CHECK_INT(count(&mock_a.connections), 3);
    CHECK_OK(kt_etcd_put(etcd, KT_STR("k"), KT_STR("v"), 0, NULL, &err));
    CHECK_INT(count(&mock_a.connections), 4);
    CHECK_OK(kt_etcd_delete(etcd, KT_STR("k"), false, NULL, &err));
    CHECK_INT(count(&mock_a.connections), 5);
    /* A leased key may be put twice: the kept connection serves. */
    CHECK_OK(kt_etcd_put(etcd, KT_STR("k"), KT_STR("v"), 7, NULL, &err));
    CHECK_INT(count(&mock_a.connections), 5);
    kt_etcd_free(&etcd);
    mock_stop(&mock_a);
}

static void a_txn_whose_answer_does_not_come_is_unknown_and_sent_once(void)
{
    struct kt_etcd *etcd = NULL;
    bool succeeded = true;

    CHECK(begin_two(&etcd, closes, healthy, 1000));
    CHECK_FAILS(run_txn(etcd, &succeeded), KT_OUTCOME_UNKNOWN);
    CHECK_INT(count(&mock_a.requests), 1);
    CHECK_INT(count(&mock_b.requests), 0);
    CHECK_INT(err.status, KT_OUTCOME_UNKNOWN);
    CHECK(err.message[0]);
    /* The next call begins at the other endpoint. */
    CHECK_OK(run_txn(etcd, &succeeded));
    CHECK_INT(count(&mock_a.requests), 1);
    CHECK_INT(count(&mock_b.requests), 1);
    kt_etcd_free(&etcd);
    mock_stop(&mock_a);
    mock_stop(&mock_b);
}

static void a_txn_that_times_out_is_unknown(void)
{
    struct kt_etcd *etcd = NULL;
    bool succeeded = true;
    int64_t deleted = 0;
    int64_t started_ms = kt_now_mono_ms();

    CHECK(mock_start(&mock_a, hangs, NULL));
    CHECK(begin_at(&etcd, mock_a.endpoint, 200));
    CHECK_FAILS(run_txn(etcd, &succeeded), KT_OUTCOME_UNKNOWN);
    CHECK(kt_now_mono_ms() - started_ms < 2000);
    CHECK_FAILS(kt_etcd_put(etcd, KT_STR("k"), KT_STR("v"), 0, NULL, &err), KT_OUTCOME_UNKNOWN);
    CHECK_FAILS(kt_etcd_delete(etcd, KT_STR("k"), false, &deleted, &err), KT_OUTCOME_UNKNOWN);
    CHECK_INT(count(&mock_a.requests), 3);
    kt_etcd_free(&etcd);
    mock_stop(&mock_a);
}

static void a_txn_answered_unavailable_or_by_a_stranger_is_unknown(void)
{
    static const mock_fn fns[] = {unavailable, deadline_exceeded, not_etcd};
    bool succeeded = true;

    for (size_t i = 0; i < KT_ARRAY_LEN(fns); i++) {
        struct kt_etcd *etcd = NULL;

        CHECK(begin(&etcd, fns[i], NULL));
        CHECK_FAILS(run_txn(etcd, &succeeded), KT_OUTCOME_UNKNOWN);
        CHECK_INT(count(&mock_a.requests), 1);
        CHECK_FAILS(kt_etcd_put(etcd, KT_STR("k"), KT_STR("v"), 0, NULL, &err), KT_OUTCOME_UNKNOWN);
        CHECK_INT(count(&mock_a.requests), 2);
        kt_etcd_free(&etcd);
        mock_stop(&mock_a);
    }
}

static void a_refused_connection_means_the_next_endpoint_even_for_a_txn(void)
{
    struct kt_etcd *etcd = NULL;
    char endpoints[100];
    bool succeeded = false;

    CHECK(mock_start(&mock_a, healthy, NULL));
    snprintf(endpoints, sizeof(endpoints), "127.0.0.1:1,%s", mock_a.endpoint);
    CHECK(begin_at(&etcd, endpoints, 1000));
    CHECK_OK(run_txn(etcd, &succeeded));
    CHECK_INT(count(&mock_a.requests), 1);
    kt_etcd_free(&etcd);
    mock_stop(&mock_a);
    CHECK(begin_at(&etcd, "127.0.0.1:1", 1000));
    CHECK_FAILS(run_txn(etcd, &succeeded), KT_UNAVAILABLE);
    kt_etcd_free(&etcd);
}

static void unavailable_and_deadline_exceeded_mean_the_next_endpoint(void)
{
    static const mock_fn fns[] = {unavailable, deadline_exceeded, closes};
    struct kt_etcd_list list;

    kt_etcd_list_init(&list);
    for (size_t i = 0; i < KT_ARRAY_LEN(fns); i++) {
        struct kt_etcd *etcd = NULL;
        int64_t ttl_s = 0;

        CHECK(begin_two(&etcd, fns[i], healthy, 1000));
        CHECK_OK(kt_etcd_range(etcd, KT_STR("k"), false, &list, &err));
        CHECK(count(&mock_a.requests) >= 1);
        CHECK_INT(count(&mock_b.requests), 1);
        /* From the last good one from now on. */
        CHECK_OK(kt_etcd_lease_keepalive(etcd, 7, &ttl_s, &err));
        CHECK_INT(count(&mock_b.requests), 2);
        kt_etcd_free(&etcd);
        mock_stop(&mock_a);
        mock_stop(&mock_b);
    }
    kt_etcd_list_done(&list);
}

static void a_hung_endpoint_costs_one_call_and_is_then_left(void)
{
    struct kt_etcd *etcd = NULL;
    char version[32];

    CHECK(begin_two(&etcd, hangs, healthy, 200));
    CHECK_FAILS(kt_etcd_version(etcd, version, &err), KT_UNAVAILABLE);
    CHECK_OK(kt_etcd_version(etcd, version, &err));
    CHECK_STR(version, "3.6.0");
    kt_etcd_free(&etcd);
    mock_stop(&mock_a);
    mock_stop(&mock_b);
}

static bool definite(struct mock_conn *conn, const struct mock_request *request, void *ctx)
{
    (void)request;
    mock_json(conn, 404, ctx);
    return true;
}

static void a_definite_error_is_no_reason_for_another_endpoint(void)
{
    struct kt_etcd *etcd = NULL;
    bool succeeded = false;
    char text[] = "{\"error\":\"etcdserver: requested lease not found\",\"code\":5}";

    CHECK(begin(&etcd, definite, text));
    CHECK_FAILS(run_txn(etcd, &succeeded), KT_NOT_FOUND);
    CHECK_FAILS(kt_etcd_lease_revoke(etcd, 7, &err), KT_NOT_FOUND);
    CHECK_INT(count(&mock_a.requests), 2);
    kt_etcd_free(&etcd);
    mock_stop(&mock_a);
}

static void what_is_not_etcd_is_said_to_be_so(void)
{
    struct kt_etcd *etcd = NULL;
    struct kt_etcd_list list;
    int64_t lease = 0, ttl_s = 0;
    char version[32];

    kt_etcd_list_init(&list);
    CHECK(begin(&etcd, not_etcd, NULL));
    CHECK_FAILS(kt_etcd_range(etcd, KT_STR("k"), true, &list, &err), KT_CORRUPT);
    CHECK_FAILS(kt_etcd_lease_grant(etcd, 5, &lease, &ttl_s, &err), KT_CORRUPT);
    CHECK_FAILS(kt_etcd_version(etcd, version, &err), KT_CORRUPT);
    kt_etcd_list_done(&list);
    kt_etcd_free(&etcd);
    mock_stop(&mock_a);
}

static bool other_lease(struct mock_conn *conn, const struct mock_request *request, void *ctx)
{
    (void)ctx;
    mock_json(conn, 200,
              strcmp(request->path, "/v3/lease/grant") == 0 ? "{" HEADER ",\"ID\":\"9\"}"
                                                            : "{\"result\":{" HEADER
                                                              ",\"ID\":\"8\",\"TTL\":\"5\"}}");
    return true;
}

static void leases_without_ttl_or_of_another_id_are_not_believed(void)
{
    struct kt_etcd *etcd = NULL;
    int64_t lease = 1, ttl_s = 1;

    CHECK(begin(&etcd, other_lease, NULL));
    CHECK_FAILS(kt_etcd_lease_grant(etcd, 5, &lease, &ttl_s, &err), KT_CORRUPT);
    CHECK_FAILS(kt_etcd_lease_keepalive(etcd, 7, &ttl_s, &err), KT_CORRUPT);
    CHECK_INT(lease, 1);
    CHECK_INT(ttl_s, 1);
    kt_etcd_free(&etcd);
    mock_stop(&mock_a);
}

struct bodies { /* of requests, behind a lock of its own */
    struct kt_mutex mutex;
    char text[2048];
};

static bool keeps_body(struct mock_conn *conn, const struct mock_request *request, void *ctx)
{
    struct bodies *bodies = ctx;

    kt_mutex_lock(&bodies->mutex);
    kt_str_copy(bodies->text, sizeof(bodies->text), request->body);
    kt_mutex_unlock(&bodies->mutex);
    return healthy(conn, request, NULL);
}

static void requests_carry_base64_and_numbers_in_strings(void)
{
    struct bodies bodies = {.text = ""};
    struct kt_etcd *etcd = NULL;
    struct kt_etcd_list list;
    struct kt_etcd_compare compares[] = {
        {KT_STR("foo"), KT_ETCD_CREATE_REVISION, 0, {NULL, 0}},
        {KT_STR("foo"), KT_ETCD_MOD_REVISION, INT64_C(9007199254740993), {NULL, 0}},
        {KT_STR("foo"), KT_ETCD_LEASE, 7, {NULL, 0}},
        {KT_STR("foo"), KT_ETCD_VALUE, 0, KT_STR("bar")}};
    struct kt_etcd_op ops[] = {{KT_ETCD_OP_PUT, KT_STR("foo"), KT_STR("bar"), 7},
                               {KT_ETCD_OP_DELETE, KT_STR("a"), {NULL, 0}, 0}};
    bool succeeded = false;
    int64_t revision = 0;

    kt_etcd_list_init(&list);
    kt_mutex_init(&bodies.mutex, "bodies", KT_RANK_STATS);
    CHECK(begin(&etcd, keeps_body, &bodies));
    CHECK_OK(kt_etcd_range(etcd, KT_STR("/kt/"), true, &list, &err));
    CHECK_STR(bodies.text, "{\"key\":\"L2t0Lw==\",\"range_end\":\"L2t0MA==\"}");
    CHECK_OK(kt_etcd_put(etcd, KT_STR("foo"), KT_STR("bar"), 7, &revision, &err));
    CHECK_STR(bodies.text, "{\"key\":\"Zm9v\",\"value\":\"YmFy\",\"lease\":\"7\"}");
    CHECK_INT(revision, 41);
    CHECK_OK(kt_etcd_txn(etcd, compares, 4, ops, 2, &succeeded, &revision, &err));
    CHECK_STR(bodies.text,
              "{\"compare\":["
              "{\"key\":\"Zm9v\",\"result\":\"EQUAL\",\"target\":\"CREATE\",\"create_revision\":"
              "\"0\"},"
              "{\"key\":\"Zm9v\",\"result\":\"EQUAL\",\"target\":\"MOD\",\"mod_revision\":"
              "\"9007199254740993\"},"
              "{\"key\":\"Zm9v\",\"result\":\"EQUAL\",\"target\":\"LEASE\",\"lease\":\"7\"},"
              "{\"key\":\"Zm9v\",\"result\":\"EQUAL\",\"target\":\"VALUE\",\"value\":\"YmFy\"}],"
              "\"success\":["
              "{\"request_put\":{\"key\":\"Zm9v\",\"value\":\"YmFy\",\"lease\":\"7\"}},"
              "{\"request_delete_range\":{\"key\":\"YQ==\"}}]}");
    kt_etcd_list_done(&list);
    kt_etcd_free(&etcd);
    mock_stop(&mock_a);
    kt_mutex_done(&bodies.mutex);
}

/* What a watch saw: keys, calls apart by "|". */
struct seen {
    char text[256];
    int created, stop_after, events;
};

static bool on_events(void *ctx, const struct kt_etcd_event *events, size_t event_count,
                      int64_t revision)
{
    struct seen *seen = ctx;
    size_t len;

    for (size_t i = 0; i < event_count; i++) {
        len = strlen(seen->text);
        snprintf(seen->text + len, sizeof(seen->text) - len, "%s" KT_STR_FMT,
                 events[i].is_delete ? "-" : "+", KT_STR_ARG(events[i].kv.key));
        seen->events++;
    }
    len = strlen(seen->text);
    snprintf(seen->text + len, sizeof(seen->text) - len, "@%lld|", (long long)revision);
    return seen->stop_after == 0 || seen->events < seen->stop_after;
}

static void on_created(void *ctx, int64_t revision)
{
    (void)revision;
    ((struct seen *)ctx)->created++;
}

static enum kt_status watch(struct kt_etcd *etcd, struct seen *seen, int64_t start_revision)
{
    struct kt_etcd_watch options = {.prefix = KT_STR("/"),
                                    .start_revision = start_revision,
                                    .silence_ms = 300,
                                    .on_events = on_events,
                                    .on_created = on_created,
                                    .ctx = seen};

    return kt_etcd_watch(etcd, &options, &err);
}

/* The stream in one text, sent in chunks of so many bytes. */
struct script {
    const char *text;
    size_t chunk;
    bool hold; /* keeps the stream open, silent */
};

static bool plays(struct mock_conn *conn, const struct mock_request *request, void *ctx)
{
    const struct script *script = ctx;
    size_t len = strlen(script->text);

    (void)request;
    mock_stream(conn);
    for (size_t at = 0; at < len; at += script->chunk) {
        size_t part = len - at < script->chunk ? len - at : script->chunk;

        mock_chunk(conn, kt_str_n(script->text + at, part));
    }
    if (script->hold) {
        mock_hold(conn, 30000);
    } else {
        mock_send(conn, "0\r\n\r\n");
    }
    return false;
}

static void objects_split_over_reads_and_several_per_read_are_put_together(void)
{
    static const char text[] = CREATED "{\"result\":{" HEADER ",\"events\":[" EVENT(
        "YQ==", "41") "]}}\n"
                      "\n {\"result\":{" HEADER ",\"events\":[" EVENT(
                          "Yg==", "42") "]}}"
                                        "{\"result\":{\"header\":{\"revision\":\"44\",\"odd\":\"}"
                                        "\\\"{\\\\\"},\"events\":[" EVENT("Yw==", "43") "," EVENT(
                                            "ZA==", "43") "," EVENT("ZQ==", "44") "]}}\n";
    static const size_t chunks[] = {1, 2, 3, 7, 64, 4096};

    for (size_t i = 0; i < KT_ARRAY_LEN(chunks); i++) {
        struct script script = {text, chunks[i], false};
        struct kt_etcd *etcd = NULL;
        struct seen seen = {.stop_after = 5};

        CHECK(begin(&etcd, plays, &script));
        CHECK_OK(watch(etcd, &seen, 41));
        CHECK_STR(seen.text, "+a@41|+b@42|+c+d@43|+e@44|");
        CHECK_INT(seen.created, 1);
        kt_etcd_free(&etcd);
        mock_stop(&mock_a);
    }
}

static void the_end_of_the_stream_is_no_silent_end(void)
{
    struct script script = {CREATED, 4096, false};
    struct kt_etcd *etcd = NULL;
    struct seen seen = {.stop_after = 0};

    CHECK(begin(&etcd, plays, &script));
    CHECK_FAILS(watch(etcd, &seen, 41), KT_BAD_GATEWAY);
    CHECK_INT(seen.created, 1);
    kt_etcd_free(&etcd);
    mock_stop(&mock_a);
}

static void a_cancelled_watch_leaves_the_connection_open_and_silent(void)
{
    struct script script = {CREATED "{\"result\":{" HEADER ",\"canceled\":true,"
                                    "\"compact_revision\":\"40\"}}\n",
                            4096, true};
    struct kt_etcd *etcd = NULL;
    struct seen seen = {.stop_after = 0};
    int64_t started_ms = kt_now_mono_ms();

    CHECK(begin(&etcd, plays, &script));
    CHECK_FAILS(watch(etcd, &seen, 1), KT_GONE);
    CHECK(kt_now_mono_ms() - started_ms < 280); /* not by its silence */
    kt_etcd_free(&etcd);
    mock_stop(&mock_a);
}

static void a_silent_watch_times_out(void)
{
    struct script script = {CREATED, 4096, true};
    struct kt_etcd *etcd = NULL;
    struct seen seen = {.stop_after = 0};

    CHECK(begin(&etcd, plays, &script));
    CHECK_FAILS(watch(etcd, &seen, 41), KT_TIMEOUT);
    kt_etcd_free(&etcd);
    mock_stop(&mock_a);
}

static void a_watch_that_never_begins_is_unavailable(void)
{
    struct kt_etcd *etcd = NULL;
    struct seen seen = {.stop_after = 0};
    struct script script = {
        CREATED "{\"result\":{" HEADER ",\"events\":[" EVENT("YQ==", "41") "]}}", 4096, true};

    CHECK(mock_start(&mock_b, plays, &script));
    CHECK(mock_start(&mock_a, hangs, NULL));
    CHECK(begin_at(&etcd, mock_a.endpoint, 200));
    CHECK_FAILS(watch(etcd, &seen, 41), KT_UNAVAILABLE);
    kt_etcd_free(&etcd);
    {
        char endpoints[140];

        snprintf(endpoints, sizeof(endpoints), "127.0.0.1:1,%s,%s", mock_a.endpoint,
                 mock_b.endpoint);
        CHECK(begin_at(&etcd, endpoints, 200));
        seen.stop_after = 1;
        CHECK_OK(watch(etcd, &seen, 41));
        CHECK_STR(seen.text, "+a@41|");
    }
    kt_etcd_free(&etcd);
    mock_stop(&mock_a);
    mock_stop(&mock_b);
}

static void a_store_behind_the_watchs_start_is_gone(void)
{
    struct script script = {CREATED, 4096, true};
    struct kt_etcd *etcd = NULL;
    struct seen seen = {.stop_after = 0};

    CHECK(begin(&etcd, plays, &script));
    CHECK_FAILS(watch(etcd, &seen, 43), KT_GONE);
    CHECK_INT(seen.created, 0);
    CHECK_FAILS(watch(etcd, &seen, 42), KT_TIMEOUT); /* the next revision to come */
    kt_etcd_free(&etcd);
    mock_stop(&mock_a);
}

static void errors_instead_of_a_watch_are_told(void)
{
    static const struct {
        const char *text;
        enum kt_status status;
    } cases[] = {
        {"{\"error\":{\"grpc_code\":14,\"http_code\":503,\"message\":\"no leader\"}}\n",
         KT_UNAVAILABLE},
        {"{\"error\":{\"code\":16,\"message\":\"invalid auth token\",\"details\":[]}}\n",
         KT_UNAUTHORIZED},
        {"hello\n", KT_CORRUPT},
        {"{\"result\":\n[}", KT_CORRUPT},
        {"{\"result\":{}}", KT_CORRUPT},
    };
    char gone[] = "{\"code\":5,\"message\":\"no such thing\"}";
    struct kt_etcd *etcd = NULL;
    struct seen seen = {.stop_after = 0};

    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct script script = {cases[i].text, 4096, true};

        CHECK(begin(&etcd, plays, &script));
        CHECK_FAILS(watch(etcd, &seen, 1), cases[i].status);
        CHECK(err.message[0]);
        kt_etcd_free(&etcd);
        mock_stop(&mock_a);
    }
    CHECK(begin(&etcd, definite, gone));
    CHECK_FAILS(watch(etcd, &seen, 1), KT_NOT_FOUND);
    kt_etcd_free(&etcd);
    mock_stop(&mock_a);
}

static void cancel_later(void *arg)
{
    struct kt_etcd *etcd = arg;
    int64_t deadline_ms = kt_now_mono_ms() + 5000;

    while (count(&mock_a.requests) == 0 && kt_now_mono_ms() < deadline_ms) {
    }
    kt_etcd_cancel(etcd);
}

static void cancel_ends_a_call_under_way(void)
{
    struct kt_etcd *etcd = NULL;
    struct kt_thread thread = {0};
    char version[32];
    bool succeeded = false;
    int64_t started_ms;

    CHECK(mock_start(&mock_a, hangs, NULL));
    CHECK(begin_at(&etcd, mock_a.endpoint, 20000));
    started_ms = kt_now_mono_ms();
    CHECK_OK(kt_thread_start(&thread, "canceller", cancel_later, etcd, &err));
    CHECK_FAILS(kt_etcd_version(etcd, version, &err), KT_BUSY);
    kt_thread_join(&thread);
    CHECK(kt_now_mono_ms() - started_ms < 5000);
    CHECK_FAILS(run_txn(etcd, &succeeded), KT_BUSY); /* it was never sent */
    CHECK_INT(count(&mock_a.requests), 1);
    kt_etcd_free(&etcd);
    mock_stop(&mock_a);
}

static void calls_survive_every_failed_allocation(void)
{
    struct kt_etcd *etcd = NULL;
    struct script script = {
        CREATED "{\"result\":{" HEADER ",\"events\":[" EVENT("YQ==", "41") "]}}", 4096, true};
    bool done = false;

    CHECK(mock_start(&mock_a, healthy, NULL));
    CHECK(mock_start(&mock_b, plays, &script));
    for (uint64_t nth = 1; !done && nth < 300; nth++) {
        struct kt_etcd_list list;
        struct kt_etcd *watcher = NULL;
        struct seen seen = {.stop_after = 1};
        enum kt_status a, b = KT_NO_MEMORY, c = KT_NO_MEMORY, d = KT_NO_MEMORY;
        struct kt_etcd_options options = {.endpoints = mock_a.endpoint, .call_timeout_ms = 5000};
        struct kt_etcd_options watch_options = {.endpoints = mock_b.endpoint,
                                                .call_timeout_ms = 5000};
        bool succeeded = false;

        kt_etcd_list_init(&list);
        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        a = kt_etcd_new(&options, &etcd, &err);
        if (a == KT_OK) {
            b = kt_etcd_range(etcd, KT_STR("k"), true, &list, &err);
            c = run_txn(etcd, &succeeded);
            kt_etcd_free(&etcd);
        }
        if (kt_etcd_new(&watch_options, &watcher, &err) == KT_OK) {
            d = watch(watcher, &seen, 41);
            kt_etcd_free(&watcher);
        }
        done = a == KT_OK && b == KT_OK && c == KT_OK && d == KT_OK;
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        kt_etcd_list_done(&list);
    }
    CHECK(done);
    mock_stop(&mock_a);
    mock_stop(&mock_b);
}

static const struct kt_test tests[] = {
    TEST(a_txn_takes_a_fresh_connection_each_time),
    TEST(a_txn_whose_answer_does_not_come_is_unknown_and_sent_once),
    TEST(a_txn_that_times_out_is_unknown),
    TEST(a_txn_answered_unavailable_or_by_a_stranger_is_unknown),
    TEST(a_refused_connection_means_the_next_endpoint_even_for_a_txn),
    TEST(unavailable_and_deadline_exceeded_mean_the_next_endpoint),
    TEST(a_hung_endpoint_costs_one_call_and_is_then_left),
    TEST(a_definite_error_is_no_reason_for_another_endpoint),
    TEST(what_is_not_etcd_is_said_to_be_so),
    TEST(leases_without_ttl_or_of_another_id_are_not_believed),
    TEST(requests_carry_base64_and_numbers_in_strings),
    TEST(objects_split_over_reads_and_several_per_read_are_put_together),
    TEST(the_end_of_the_stream_is_no_silent_end),
    TEST(a_cancelled_watch_leaves_the_connection_open_and_silent),
    TEST(a_silent_watch_times_out),
    TEST(a_watch_that_never_begins_is_unavailable),
    TEST(a_store_behind_the_watchs_start_is_gone),
    TEST(errors_instead_of_a_watch_are_told),
    TEST(cancel_ends_a_call_under_way),
    TEST(calls_survive_every_failed_allocation),
};

KT_TEST_MAIN(tests)

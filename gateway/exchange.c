/* SPDX-License-Identifier: MIT */
/* exchange.c - the life of one request: made, moved on by events, failed, finished, recycled. */
#include <uv.h>

#include "gateway/exchange.h"

#include "base/log.h"
#include "base/mem.h"
#include "gateway/conn.h"
#include "gateway/own.h"
#include "gateway/upstream.h"
#include "http/envelope.h"
#include "http/router.h"

#include <string.h>

#define FREE_EXCHANGES_MAX 1024
#define KEPT_BODY_BYTES 65536
#define HANG_MS 500

struct kt_exchange *kt_exchange_new(struct kt_conn *conn)
{
    struct kt_loop *loop = conn->loop;
    struct kt_exchange *exchange = loop->free_exchanges;
    struct kt_buf body;

    if (exchange) {
        loop->free_exchanges = exchange->next_free;
        loop->free_exchange_count--;
    } else {
        exchange = kt_calloc(1, sizeof(*exchange));
        if (!exchange) {
            return NULL;
        }
        kt_buf_init(&exchange->body, 0);
        kt_buf_init(&exchange->answer_body, 0);
    }
    /* What lies before is large and set as it is needed. */
    exchange->last_error.status = KT_OK;
    exchange->last_error.message[0] = '\0';
    body = exchange->body;
    memset(&exchange->mode, 0, sizeof(*exchange) - offsetof(struct kt_exchange, mode));
    exchange->body = body;
    exchange->next_free = NULL;
    exchange->loop = loop;
    exchange->conn = conn;
    conn->exchange = exchange;
    exchange->started_ms = exchange->progress_ms = kt_loop_now(loop);
    exchange->deadline_ms = exchange->started_ms + loop->config->timeout_ms;
    return exchange;
}

static void recycle(struct kt_exchange *exchange)
{
    struct kt_loop *loop = exchange->loop;

    kt_waiting_leave(exchange);
    if (exchange->job) {
        exchange->job->exchange = NULL; /* its answer comes too late */
        exchange->job = NULL;
    }
    if (exchange->conn) {
        exchange->conn->exchange = NULL;
        exchange->conn = NULL;
    }
    for (unsigned i = 0; i < exchange->attempts; i++) {
        kt_gw_node_unref(&exchange->tried[i]);
    }
    exchange->attempts = 0;
    loop->kept_bytes -= exchange->kept_bytes;
    exchange->kept_bytes = 0;
    kt_answer_reset(exchange);
    if (exchange->body.cap_bytes > KEPT_BODY_BYTES) {
        kt_buf_done(&exchange->body);
        kt_buf_init(&exchange->body, 0);
    } else {
        kt_buf_clear(&exchange->body);
    }
    if (loop->free_exchange_count >= FREE_EXCHANGES_MAX) {
        kt_buf_done(&exchange->body);
        kt_free(exchange);
        return;
    }
    exchange->next_free = loop->free_exchanges;
    loop->free_exchanges = exchange;
    loop->free_exchange_count++;
}

void kt_exchange_free_all(struct kt_loop *loop)
{
    while (loop->free_exchanges) {
        struct kt_exchange *exchange = loop->free_exchanges;

        loop->free_exchanges = exchange->next_free;
        kt_buf_done(&exchange->body);
        kt_free(exchange);
    }
    loop->free_exchange_count = 0;
}

void kt_exchange_drop(struct kt_exchange *exchange)
{
    kt_upstream_release(exchange, false);
    recycle(exchange);
}

void kt_exchange_on_client_data(struct kt_exchange *exchange)
{
    if (exchange->body_done) {
        return; /* the next request: it waits in the buffer */
    }
    exchange->progress_ms = kt_loop_now(exchange->loop);
    if (exchange->mode == KT_BODY_STREAM) {
        kt_request_pump(exchange);
    } else {
        kt_request_collect(exchange);
    }
}

void kt_exchange_on_client_drained(struct kt_exchange *exchange)
{
    exchange->progress_ms = kt_loop_now(exchange->loop);
    kt_answer_on_drained(exchange);
}

void kt_exchange_on_client_end(struct kt_exchange *exchange, bool broken)
{
    struct kt_conn *conn = exchange->conn;

    /* A client that only ended its own side still wants its answer. */
    if (!broken && exchange->body_done) {
        return;
    }
    KT_COUNT(exchange->loop, aborted);
    if (exchange->parked) {
        KT_COUNT(exchange->loop, waits_left);
    }
    kt_exchange_drop(exchange);
    kt_io_close(&conn->io, true);
}

bool kt_exchange_link_is_good(const struct kt_exchange *exchange)
{
    bool all_sent = exchange->mode != KT_BODY_STREAM || exchange->stream_ended;

    return all_sent && !exchange->send_broken && exchange->answer.head.keep_alive &&
           !exchange->answer.until_close;
}

bool kt_exchange_may_repeat(const struct kt_exchange *exchange)
{
    return exchange->mode != KT_BODY_STREAM || !exchange->stream_began;
}

/* How long it was held up for want of a leader, to its end. */
static int64_t note_wait(struct kt_exchange *exchange)
{
    struct kt_loop_counters *counters = &exchange->loop->counters;
    int64_t waited_ms = kt_loop_now(exchange->loop) - exchange->waits_since_ms;

    if (!exchange->waits_since_ms) {
        return 0;
    }
    if (exchange->answer_done && exchange->status < 500) {
        KT_COUNT(exchange->loop, waits_served);
    } else {
        KT_COUNT(exchange->loop, waits_failed);
    }
    /* Relaxed: written by this loop alone. */
    if ((uint64_t)waited_ms >
        atomic_load_explicit(&counters->wait_longest_ms, memory_order_relaxed)) {
        atomic_store_explicit(&counters->wait_longest_ms, (uint64_t)waited_ms,
                              memory_order_relaxed);
    }
    return waited_ms;
}

static void note(struct kt_exchange *exchange)
{
    struct kt_loop *loop = exchange->loop;
    int64_t waited_ms = note_wait(exchange);
    struct kt_str path = exchange->request.path;
    const char *node = exchange->attempts > 0 ? exchange->tried[exchange->attempts - 1]->addr : "-";

    if (exchange->status >= 500) {
        KT_COUNT(loop, errors_5xx);
    } else if (exchange->status >= 400) {
        KT_COUNT(loop, errors_4xx);
    }
    if (loop->config->log_access) {
        /* The id as the event: log lines that repeat are counted, and these must not be. */
        kt_log(INFO, "access", exchange->request_id,
               "client=%s method=%.*s path=\"%.*s\" status=%d bytes=%llu ms=%lld node=%s "
               "attempts=%u waited_ms=%lld",
               exchange->conn->host, (int)exchange->request.method_text.len,
               exchange->request.method_text.data ? exchange->request.method_text.data : "",
               (int)(path.len < 512 ? path.len : 512), path.data ? path.data : "", exchange->status,
               (unsigned long long)exchange->answer_bytes,
               (long long)(kt_loop_now(loop) - exchange->started_ms), node, exchange->attempts,
               (long long)waited_ms);
    }
}

void kt_exchange_finish(struct kt_exchange *exchange)
{
    struct kt_conn *conn = exchange->conn;
    bool keep = exchange->keep && !conn->io.broken, linger = !exchange->body_done;

    note(exchange);
    kt_upstream_release(exchange, exchange->answer_done && kt_exchange_link_is_good(exchange));
    if (keep) {
        conn->io.start = exchange->body_off;
    }
    recycle(exchange);
    if (keep) {
        kt_conn_next(conn);
    } else {
        kt_conn_finish(conn, linger);
    }
}

void kt_exchange_abort(struct kt_exchange *exchange)
{
    struct kt_conn *conn = exchange->conn;

    KT_COUNT(exchange->loop, aborted);
    note(exchange);
    kt_exchange_drop(exchange);
    kt_io_close(&conn->io, true);
}

static bool writes(const struct kt_exchange *exchange)
{
    return exchange->route.kind == KT_CLASS_WRITE || exchange->route.kind == KT_CLASS_ADMIN;
}

static void error_headers(struct kt_exchange *exchange, const struct kt_error *err)
{
    struct kt_buf *out = &exchange->loop->out;
    bool unknown = err->status == KT_OUTCOME_UNKNOWN || exchange->maybe_done;
    int status = kt_status_http(err->status);

    kt_buf_append_str(out, KT_STR("Content-Type: application/json\r\n"));
    if (writes(exchange)) {
        kt_buf_append_str(out, unknown ? KT_STR("X-Kamaitachi-Outcome: unknown\r\n")
                                       : KT_STR("X-Kamaitachi-Outcome: none\r\n"));
    }
    if (unknown) {
        kt_answer_added_key(exchange);
    }
    if (status == 429 || status == 503) {
        kt_buf_append_str(out, KT_STR("Retry-After: 1\r\n"));
    } else if (status == 401) {
        kt_buf_append_str(out, KT_STR("WWW-Authenticate: Bearer\r\n"));
    } else if (status == 405) {
        kt_buf_append_str(out, KT_STR("Allow: GET, HEAD, POST, PUT, DELETE\r\n"));
    }
    kt_buf_append_str(out, KT_STR("Content-Length: "));
    kt_buf_append_u64(out, exchange->loop->out_body.len_bytes);
    kt_buf_append_str(out, KT_STR("\r\n\r\n"));
}

/* What an attempt may have done is not undone by the next one's failure: a status that says
 * "certainly not done", or nothing at all about it, becomes `unknown`. */
static void keep_doubt(struct kt_error *err)
{
    if (err->status == KT_UNAVAILABLE || err->status == KT_BUSY || err->status == KT_TIMEOUT ||
        err->status == KT_BAD_GATEWAY || err->status == KT_NO_MEMORY) {
        err->status = KT_OUTCOME_UNKNOWN;
        (void)kt_wrap(err, "an earlier attempt may be done or not; the last one");
    }
}

void kt_exchange_fail(struct kt_exchange *exchange, const struct kt_error *err)
{
    struct kt_loop *loop = exchange->loop;
    struct kt_error last = *err; /* a copy: it may be the exchange's own, which is recycled */
    uv_buf_t pieces[2];

    if (exchange->maybe_done) {
        keep_doubt(&last);
    }
    if (exchange->answer_started) {
        kt_exchange_abort(exchange);
        return;
    }
    kt_upstream_release(exchange, false);
    exchange->answer_done = false;
    kt_buf_clear(&loop->out_body);
    if (kt_path_is_old(exchange->route.path.data ? exchange->route.path : exchange->request.path)) {
        kt_envelope_error_body_old(&loop->out_body, &last);
    } else {
        kt_envelope_error_body(&loop->out_body, &last);
    }
    kt_answer_begin_head(exchange, kt_status_http(last.status));
    error_headers(exchange, &last);
    if (kt_buf_status(&loop->out) != KT_OK || kt_buf_status(&loop->out_body) != KT_OK) {
        kt_exchange_abort(exchange);
        return;
    }
    pieces[0] = uv_buf_init(loop->out.data, (unsigned)loop->out.len_bytes);
    pieces[1] = uv_buf_init(loop->out_body.data, (unsigned)loop->out_body.len_bytes);
    exchange->answer_bytes = loop->out_body.len_bytes;
    (void)kt_io_write(&exchange->conn->io, pieces,
                      exchange->request.method == KT_HTTP_HEAD ? 1 : 2);
    kt_exchange_finish(exchange);
}

static void on_deadline(struct kt_exchange *exchange)
{
    struct kt_error err = KT_ERROR_INIT;
    bool body_late = !exchange->body_done;

    if (writes(exchange) && exchange->sent) {
        (void)kt_fail(&err, KT_OUTCOME_UNKNOWN, "%s in time: the write may be done or not",
                      body_late ? "the request's body did not come" : "the node did not answer");
    } else if (writes(exchange)) {
        (void)kt_fail(&err, KT_UNAVAILABLE, "%s in time: nothing is done",
                      body_late ? "the request's body did not come"
                                : "no connection to the leader");
    } else if (body_late) {
        (void)kt_fail(&err, KT_TIMEOUT, "the request's body did not come in time");
    } else {
        (void)kt_fail(&err, KT_TIMEOUT, "no answer in time%s%s",
                      exchange->last_error.message[0] ? "; before that: " : "",
                      exchange->last_error.message);
    }
    kt_exchange_fail(exchange, &err);
}

/* A node that hangs keeps its connections: what it did not answer goes to another once it took too
 * long, or as soon as its probe, or etcd, or another read says that it is down. What it
 * was given is not given up for nothing: only while there are a node and a repetition left. A feed
 * or an export may rightly say nothing for long, and a node that waits for a revision too. */
static void leave_if_silent(struct kt_exchange *exchange, int64_t waited_ms)
{
    struct kt_peer *peer = exchange->peer;
    struct kt_gw_node *node = peer->node;
    bool silent = waited_ms >= exchange->loop->config->first_byte_ms &&
                  !exchange->route.idle_bound && kt_dispatch_knows(peer, exchange->min_revision);
    bool down = waited_ms >= HANG_MS && (!kt_gw_node_is_up(node) || kt_gw_node_is_refused(node) ||
                                         atomic_load(&node->gone));

    if ((silent || down) && kt_dispatch_has_other(exchange)) {
        if (silent) {
            kt_upstream_doubt(exchange->loop, peer);
        }
        kt_exchange_on_failed(exchange, KT_FAIL_SILENT, "it does not answer");
    }
}

/* How long nothing may move. */
static int64_t idle_limit_ms(const struct kt_exchange *exchange)
{
    const struct kt_gateway_config *config = exchange->loop->config;
    bool all_sent = exchange->sent && exchange->body_done &&
                    (exchange->mode != KT_BODY_STREAM || exchange->stream_ended);

    return writes(exchange) && all_sent && !exchange->got_byte ? config->import_wait_ms
                                                               : config->stream_idle_ms;
}

void kt_exchange_tick(struct kt_exchange *exchange, int64_t now_ms)
{
    if (exchange->parked) {
        return; /* its time is looked at more often */
    }
    if ((exchange->deadline_ms > 0 && now_ms >= exchange->deadline_ms) ||
        (exchange->route.idle_bound && now_ms - exchange->progress_ms >= idle_limit_ms(exchange))) {
        on_deadline(exchange);
    } else if (exchange->peer && kt_leader_waited_for(exchange)) {
        kt_leader_tick(exchange, now_ms);
    } else if (exchange->peer && !exchange->answer_started && exchange->body_done &&
               exchange->route.kind == KT_CLASS_READ) {
        leave_if_silent(
            exchange, now_ms - (exchange->got_byte ? exchange->progress_ms : exchange->attempt_ms));
    } else {
        kt_request_pass_on_if_slow(exchange);
    }
}

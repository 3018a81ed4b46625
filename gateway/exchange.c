/* SPDX-License-Identifier: MIT */
/* exchange.c - the life of one request: from its head to the end of its answer. */
#include <uv.h>

#include "gateway/exchange.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway/conn.h"
#include "gateway/own.h"
#include "gateway/upstream.h"
#include "http/access.h"
#include "http/envelope.h"

#include <string.h>

#define FREE_EXCHANGES_MAX 1024
#define KEPT_BODY_BYTES 65536
#define HANG_MS 500

static struct kt_exchange *exchange_new(struct kt_conn *conn)
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
    }
    /* What lies before is large and set as it is needed. */
    exchange->last_error.status = KT_OK;
    exchange->last_error.message[0] = '\0';
    exchange->leader_hint[0] = '\0';
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

    if (exchange->conn) {
        exchange->conn->exchange = NULL;
        exchange->conn = NULL;
    }
    for (unsigned i = 0; i < exchange->attempts; i++) {
        kt_gw_node_unref(&exchange->tried[i]);
    }
    exchange->attempts = 0;
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
    if (exchange->job) {
        exchange->job->exchange = NULL;
        exchange->job = NULL;
    }
    recycle(exchange);
}

/* A request id tells requests apart in logs and guards nothing: a fast generator will do. */
static void make_request_id(struct kt_exchange *exchange)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t bits = kt_prng_next(&exchange->loop->balancer.random);

    for (int i = 0; i < KT_ID_LEN; i++) {
        exchange->request_id[i] = digits[(bits >> (60 - 4 * i)) & 15];
    }
    exchange->request_id[KT_ID_LEN] = '\0';
    exchange->request_id_len = KT_ID_LEN;
}

static enum kt_status check_headers(struct kt_exchange *exchange, struct kt_error *err)
{
    const struct kt_h1_head *head = &exchange->request.head;
    struct kt_str id = head->known[KT_H1_REQUEST_ID];

    if (!id.data) {
        make_request_id(exchange);
    } else if (kt_is_visible_ascii(id, sizeof(exchange->request_id) - 1)) {
        kt_str_copy(exchange->request_id, sizeof(exchange->request_id), id);
        exchange->request_id_len = (uint8_t)id.len;
    } else {
        make_request_id(exchange);
        return kt_fail_field(err, KT_BAD_VALUE, "X-Request-Id",
                             "X-Request-Id: expected 1-128 visible ASCII characters");
    }
    if (head->known[KT_H1_TIMEOUT_MS].data) {
        return kt_fail_field(err, KT_NOT_SUPPORTED, "X-Kamaitachi-Timeout-Ms",
                             "X-Kamaitachi-Timeout-Ms is not supported by this version");
    }
    if (exchange->request.path.data[0] == '*') {
        return kt_fail(err, KT_METHOD, "OPTIONS * is not answered here");
    }
    return KT_OK;
}

static enum kt_status judge(struct kt_exchange *exchange, enum kt_http_access level,
                            struct kt_error *err)
{
    struct kt_conn *conn = exchange->conn;
    struct kt_http_request request = {
        .method = exchange->request.method,
        .raw_target = exchange->request.target,
        .path = exchange->route.path,
        .query = exchange->request.query,
        .headers = exchange->request.head.headers,
        .header_count = exchange->request.head.header_count,
        .body = kt_request_body(exchange),
        .content_length = exchange->request.head.content_length,
        .remote_port = conn->port,
        .remote_is_loopback = kt_host_is_loopback(conn->host),
        .arena = exchange->loop->arena,
    };

    kt_str_copy(request.remote_host, sizeof(request.remote_host), kt_str(conn->host));
    return kt_access_judge(exchange->loop->shared->access, &request, level, err);
}

/* A decoded path lies in scratch memory: it is kept with the exchange. */
static void keep_path(struct kt_exchange *exchange)
{
    struct kt_str *path = &exchange->route.path;

    KT_ASSERT(path->len < sizeof(exchange->path_text));
    if (path->data < exchange->request.target.data ||
        path->data >= exchange->request.target.data + exchange->request.target.len) {
        memcpy(exchange->path_text, path->data, path->len);
        path->data = exchange->path_text;
    }
}

static enum kt_status classify(struct kt_exchange *exchange, struct kt_error *err)
{
    struct kt_h1_request *request = &exchange->request;
    struct kt_loop *loop = exchange->loop;
    enum kt_status status;

    kt_arena_reset(loop->arena);
    status = kt_classify(request->method, request->path, request->target, loop->arena,
                         &exchange->route, err);
    if (status != KT_OK) {
        return status;
    }
    keep_path(exchange);
    switch (exchange->route.kind) {
    case KT_CLASS_OWN:
        KT_COUNT(loop, own);
        break;
    case KT_CLASS_READ:
        KT_COUNT(loop, reads);
        break;
    case KT_CLASS_WRITE:
        KT_COUNT(loop, writes);
        return loop->config->write_token[0] ? judge(exchange, KT_ACCESS_WRITE, err) : KT_OK;
    case KT_CLASS_ADMIN:
        KT_COUNT(loop, admin);
        break;
    case KT_CLASS_CLUSTER:
        return kt_fail(err, KT_FORBIDDEN, "this path is for processes of the cluster only");
    }
    return KT_OK;
}

/* How the body is taken, and whether it is too large. */
static enum kt_status choose_mode(struct kt_exchange *exchange, struct kt_error *err)
{
    const struct kt_h1_head *head = &exchange->request.head;
    const struct kt_gateway_config *config = exchange->loop->config;
    enum kt_class kind = exchange->route.kind;

    exchange->body_left = head->content_length > 0 ? head->content_length : 0;
    if (!exchange->route.idle_bound && exchange->body_left > config->body_bytes) {
        return kt_fail(err, KT_TOO_LARGE, "a body of more than %lld bytes ([limits] body_bytes)",
                       (long long)config->body_bytes);
    }
    if (exchange->route.idle_bound) {
        exchange->deadline_ms = 0;
    }
    if (!head->chunked && exchange->body_left == 0) {
        exchange->mode = KT_BODY_NONE;
        exchange->body_done = true;
    } else if (head->chunked) {
        exchange->mode = KT_BODY_COLLECT;
        kt_h1_chunks_init(&exchange->body_chunks);
    } else if (exchange->body_left > config->retry_body_bytes && kind != KT_CLASS_OWN &&
               kind != KT_CLASS_ADMIN) {
        exchange->mode = KT_BODY_STREAM;
    } else if (exchange->body_off + (uint64_t)exchange->body_left <= KT_IO_BUFFER_BYTES) {
        exchange->mode = KT_BODY_IN_PLACE;
    } else {
        exchange->mode = KT_BODY_COLLECT;
        if (!kt_buf_reserve(&exchange->body, (size_t)exchange->body_left)) {
            return kt_fail(err, KT_NO_MEMORY, "no memory for the body");
        }
    }
    return KT_OK;
}

static bool send_continue(struct kt_exchange *exchange)
{
    static char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    uv_buf_t piece = uv_buf_init(text, sizeof(text) - 1);

    return exchange->conn->io.end > exchange->body_off ||
           kt_io_write(&exchange->conn->io, &piece, 1);
}

static enum kt_status parse_head(struct kt_exchange *exchange, struct kt_error *err)
{
    struct kt_io *io = &exchange->conn->io;
    enum kt_h1_verdict verdict =
        kt_h1_parse_request(kt_str_n(io->in + io->start, exchange->head_len), &exchange->request);

    if (verdict == KT_H1_OK) {
        return KT_OK;
    }
    make_request_id(exchange);
    return kt_fail(err, verdict == KT_H1_TOO_LARGE ? KT_HEAD_TOO_LARGE : KT_BAD_REQUEST,
                   "the request cannot be read: %s", exchange->request.head.why);
}

void kt_exchange_begin(struct kt_conn *conn, size_t head_len)
{
    struct kt_exchange *exchange = exchange_new(conn);
    struct kt_error err = KT_ERROR_INIT;

    if (!exchange) {
        kt_conn_abort(conn);
        return;
    }
    KT_COUNT(conn->loop, requests);
    kt_budget_earn(&conn->loop->budget);
    exchange->head_len = head_len;
    exchange->body_off = conn->io.start + head_len;
    exchange->route = (struct kt_route){.kind = KT_CLASS_OWN};
    if (parse_head(exchange, &err) != KT_OK || check_headers(exchange, &err) != KT_OK ||
        classify(exchange, &err) != KT_OK || choose_mode(exchange, &err) != KT_OK) {
        kt_exchange_fail(exchange, &err);
        return;
    }
    if (exchange->request.expect_continue && !send_continue(exchange)) {
        kt_conn_abort(conn);
        return;
    }
    if (exchange->mode == KT_BODY_STREAM) {
        kt_dispatch(exchange);
    } else {
        kt_request_collect(exchange);
    }
}

void kt_exchange_begin_refused(struct kt_conn *conn, const struct kt_error *err)
{
    struct kt_exchange *exchange = exchange_new(conn);

    if (!exchange) {
        kt_conn_abort(conn);
        return;
    }
    KT_COUNT(conn->loop, requests);
    memset(&exchange->request, 0, sizeof(exchange->request));
    exchange->request.head.minor = 1;
    exchange->route = (struct kt_route){.kind = KT_CLASS_OWN};
    make_request_id(exchange);
    kt_exchange_fail(exchange, err);
}

static void submit_own(struct kt_exchange *exchange)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_own_job *job = kt_own_job_new(exchange);

    if (!job || !kt_own_submit(exchange->loop->shared->own, job)) {
        kt_own_job_free(&job);
        (void)kt_fail(&err, KT_BUSY, "too many requests for the gateway itself");
        kt_exchange_fail(exchange, &err);
        return;
    }
    exchange->job = job;
}

void kt_exchange_on_body(struct kt_exchange *exchange)
{
    struct kt_error err = KT_ERROR_INIT;

    if (exchange->route.kind == KT_CLASS_OWN) {
        submit_own(exchange);
        return;
    }
    /* Judged with its body, which a signature covers. */
    if (exchange->route.kind == KT_CLASS_ADMIN) {
        kt_arena_reset(exchange->loop->arena);
        if (judge(exchange, KT_ACCESS_ADMIN, &err) != KT_OK) {
            kt_exchange_fail(exchange, &err);
            return;
        }
    }
    kt_dispatch(exchange);
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
    if (exchange->answer_parsed && !exchange->answer_held) {
        kt_answer_pump(exchange);
    }
}

void kt_exchange_on_client_end(struct kt_exchange *exchange, bool broken)
{
    struct kt_conn *conn = exchange->conn;

    /* A client that only ended its own side still wants its answer. */
    if (!broken && exchange->body_done) {
        return;
    }
    KT_COUNT(exchange->loop, aborted);
    kt_exchange_drop(exchange);
    kt_io_close(&conn->io, true);
}

bool kt_exchange_may_repeat(const struct kt_exchange *exchange)
{
    return exchange->mode != KT_BODY_STREAM || !exchange->stream_began;
}

static void note(struct kt_exchange *exchange)
{
    struct kt_loop *loop = exchange->loop;
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
               "attempts=%u",
               exchange->conn->host, (int)exchange->request.method_text.len,
               exchange->request.method_text.data ? exchange->request.method_text.data : "",
               (int)(path.len < 512 ? path.len : 512), path.data ? path.data : "", exchange->status,
               (unsigned long long)exchange->answer_bytes,
               (long long)(kt_loop_now(loop) - exchange->started_ms), node, exchange->attempts);
    }
}

void kt_exchange_finish(struct kt_exchange *exchange)
{
    struct kt_conn *conn = exchange->conn;
    bool keep = exchange->keep && !conn->io.broken, linger = !exchange->body_done;
    bool all_sent = exchange->mode != KT_BODY_STREAM || exchange->stream_ended;

    note(exchange);
    kt_upstream_release(exchange, exchange->answer_done && all_sent && !exchange->send_broken &&
                                      exchange->answer.head.keep_alive &&
                                      !exchange->answer.until_close);
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

static void error_headers(struct kt_exchange *exchange, const struct kt_error *err)
{
    struct kt_buf *out = &exchange->loop->out;
    bool writes = exchange->route.kind == KT_CLASS_WRITE || exchange->route.kind == KT_CLASS_ADMIN;
    int status = kt_status_http(err->status);

    kt_buf_append_str(out, KT_STR("Content-Type: application/json\r\n"));
    if (writes) {
        kt_buf_append_str(out, err->status == KT_OUTCOME_UNKNOWN
                                   ? KT_STR("X-Kamaitachi-Outcome: unknown\r\n")
                                   : KT_STR("X-Kamaitachi-Outcome: none\r\n"));
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

void kt_exchange_fail(struct kt_exchange *exchange, const struct kt_error *err)
{
    struct kt_loop *loop = exchange->loop;
    uv_buf_t pieces[2];

    if (exchange->answer_started) {
        kt_exchange_abort(exchange);
        return;
    }
    kt_upstream_release(exchange, false);
    exchange->answer_done = false;
    kt_buf_clear(&loop->out_body);
    kt_envelope_error_body(&loop->out_body, err);
    kt_answer_begin_head(exchange, kt_status_http(err->status));
    error_headers(exchange, err);
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
    bool writes = exchange->route.kind == KT_CLASS_WRITE || exchange->route.kind == KT_CLASS_ADMIN;

    if (!exchange->body_done && !exchange->sent) {
        (void)kt_fail(&err, KT_TIMEOUT, "the request's body did not come in time");
    } else if (writes && exchange->sent) {
        (void)kt_fail(&err, KT_OUTCOME_UNKNOWN,
                      "the node did not answer in time: the write may be done or not");
    } else if (writes) {
        (void)kt_fail(&err, KT_UNAVAILABLE, "no connection to the leader in time: nothing is done");
    } else {
        (void)kt_fail(&err, KT_TIMEOUT, "no answer in time%s%s",
                      exchange->last_error.message[0] ? "; before that: " : "",
                      exchange->last_error.message);
    }
    kt_exchange_fail(exchange, &err);
}

void kt_exchange_tick(struct kt_exchange *exchange, int64_t now_ms)
{
    const struct kt_gateway_config *config = exchange->loop->config;
    int64_t waited_ms = now_ms - exchange->attempt_ms;

    if (exchange->deadline_ms > 0 ? now_ms >= exchange->deadline_ms
                                  : now_ms - exchange->progress_ms >= config->stream_idle_ms) {
        on_deadline(exchange);
    } else if (exchange->peer && !exchange->got_byte && exchange->body_done &&
               waited_ms >= HANG_MS && exchange->route.kind == KT_CLASS_READ) {
        struct kt_gw_node *node = exchange->peer->node;

        /* A node that hangs keeps its connections: what it did not begin to answer goes to another
         * as soon as its probe, or etcd, says that it is down. */
        if ((waited_ms >= config->first_byte_ms || !kt_gw_node_is_up(node) ||
             atomic_load(&node->gone)) &&
            kt_dispatch_has_other(exchange)) {
            kt_exchange_on_failed(exchange, KT_FAIL_SILENT, "it does not answer");
        }
    }
}

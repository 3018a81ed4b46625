/* SPDX-License-Identifier: MIT */
/* begin.c - a request's head is understood: what it is, who may, how its body is taken. */
#include <uv.h>

#include "gateway/exchange.h"

#include "base/hash.h"
#include "gateway/conn.h"
#include "gateway/own.h"
#include "http/access.h"

#include <string.h>

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

static uint32_t count_named(const struct kt_h1_head *head, enum kt_h1_name name)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < head->header_count; i++) {
        count += head->names[i] == name;
    }
    return count;
}

static enum kt_status take_timeout(struct kt_exchange *exchange, struct kt_error *err)
{
    const struct kt_h1_head *head = &exchange->request.head;
    int64_t given_ms;
    enum kt_status status;

    if (count_named(head, KT_H1_TIMEOUT_MS) > 1) {
        return kt_fail_field(err, KT_BAD_VALUE, "X-Kamaitachi-Timeout-Ms",
                             "X-Kamaitachi-Timeout-Ms: expected once");
    }
    status = kt_http_timeout_parse(head->known[KT_H1_TIMEOUT_MS], &given_ms, err);
    if (status == KT_OK) {
        exchange->timeout_given = true;
        exchange->deadline_ms = exchange->started_ms + given_ms;
    }
    return status;
}

/* How fresh an answer must be decides where it is asked for. A value that is none is for a node to
 * refuse. */
static void take_level(struct kt_exchange *exchange)
{
    const struct kt_str *known = exchange->request.head.known;

    exchange->by_leader = kt_str_eq(known[KT_H1_CONSISTENCY], KT_STR("leader")) ||
                          kt_str_eq(known[KT_H1_CONSISTENCY], KT_STR("linearizable"));
    if (!kt_parse_u64(known[KT_H1_MIN_REVISION], &exchange->min_revision)) {
        exchange->min_revision = 0;
    }
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
    if (head->known[KT_H1_CONSISTENCY].data || head->known[KT_H1_MIN_REVISION].data) {
        take_level(exchange);
    }
    if (head->known[KT_H1_TIMEOUT_MS].data && take_timeout(exchange, err) != KT_OK) {
        return err->status;
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

static bool is_all_here(const struct kt_exchange *exchange)
{
    return exchange->conn->io.end - exchange->body_off >= (uint64_t)exchange->body_left;
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
    if (exchange->route.idle_bound && !exchange->timeout_given) {
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
    } else if (exchange->body_off + (uint64_t)exchange->body_left <= KT_IO_BUFFER_BYTES &&
               !(exchange->route.idle_bound && !is_all_here(exchange))) {
        exchange->mode = KT_BODY_IN_PLACE;
    } else if (!kt_request_keep(exchange, exchange->body_left)) {
        exchange->mode = KT_BODY_STREAM;
        if (kind == KT_CLASS_OWN || kind == KT_CLASS_ADMIN) {
            return kt_fail(err, KT_BUSY, "too many request bodies are kept ([proxy] buffer_bytes)");
        }
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
    struct kt_exchange *exchange = kt_exchange_new(conn);
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
    struct kt_exchange *exchange = kt_exchange_new(conn);

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

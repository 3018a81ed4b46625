/* SPDX-License-Identifier: MIT */
/* request.c - what goes to the node: the body as it is taken from the client, the head as it is
 * written for the node.
 *
 * The client's buffer holds the head for as long as the exchange lives (headers are slices of it),
 * and behind it a window through which the body passes.
 */
#include <uv.h>

#include "gateway/exchange.h"

#include "base/log.h"
#include "gateway/conn.h"
#include "http/access.h"

#include <string.h>

/* What a node takes for the time of a request that names none (API, section 1), and how much less
 * is worth telling. */
#define NODE_TIMEOUT_MS 30000
#define NODE_TIMEOUT_SLACK_MS 1000
#define RETURN_MS 50
/* An import that has not come whole by then is passed on as it comes, and not repeated. */
#define SLOW_IMPORT_MS 500
/* Host, X-Request-Id, Via, X-Forwarded-For, -Proto, -Host, the time and the framing. */
#define ADDED_HEADERS_MAX 8

#define BODY_AT(exchange) ((exchange)->conn->io.start + (exchange)->head_len)

struct kt_str kt_request_body(const struct kt_exchange *exchange)
{
    if (exchange->mode == KT_BODY_IN_PLACE) {
        return kt_str_n(exchange->conn->io.in + BODY_AT(exchange),
                        (size_t)exchange->request.head.content_length);
    }
    return kt_buf_str(&exchange->body);
}

bool kt_request_keep(struct kt_exchange *exchange, int64_t bytes)
{
    struct kt_loop *loop = exchange->loop;

    if (loop->kept_bytes + bytes > loop->kept_bytes_max) {
        return false;
    }
    loop->kept_bytes += bytes;
    exchange->kept_bytes += bytes;
    return true;
}

bool kt_request_take(struct kt_exchange *exchange, struct kt_str *ret_piece)
{
    struct kt_io *io = &exchange->conn->io;
    char *fresh = io->in + exchange->body_off;
    size_t avail = io->end - exchange->body_off, used, payload;

    *ret_piece = kt_str_n(fresh, 0);
    if (exchange->body_done || avail == 0) {
        return true;
    }
    if (exchange->request.head.chunked) {
        enum kt_h1_verdict verdict =
            kt_h1_chunks_decode(&exchange->body_chunks, fresh, avail, &used, &payload);

        if (verdict == KT_H1_BAD) {
            return false;
        }
        exchange->body_done = verdict == KT_H1_OK;
    } else {
        used = payload =
            (uint64_t)exchange->body_left < avail ? (size_t)exchange->body_left : avail;
        exchange->body_left -= (int64_t)used;
        exchange->body_done = exchange->body_left == 0;
    }
    exchange->body_off += used;
    exchange->body_bytes += (int64_t)payload;
    ret_piece->len = payload;
    return true;
}

/* A piece was used: the window begins anew behind the head. */
static void settle(struct kt_exchange *exchange)
{
    struct kt_io *io = &exchange->conn->io;

    if (exchange->body_off == io->end) {
        exchange->body_off = io->end = BODY_AT(exchange);
    }
    kt_io_read(io, false);
}

static void fail_framing(struct kt_exchange *exchange)
{
    struct kt_error err = KT_ERROR_INIT;

    exchange->maybe_done = exchange->sent;
    (void)kt_fail(&err, KT_BAD_REQUEST, "the body's chunks are broken");
    kt_exchange_fail(exchange, &err);
}

static void fail_size(struct kt_exchange *exchange)
{
    struct kt_error err = KT_ERROR_INIT;

    exchange->maybe_done = exchange->sent;
    (void)kt_fail(&err, KT_TOO_LARGE, "a body of more than %lld bytes ([limits] body_bytes)",
                  (long long)exchange->loop->config->body_bytes);
    kt_exchange_fail(exchange, &err);
}

static bool is_over_limit(const struct kt_exchange *exchange)
{
    return !exchange->route.idle_bound && exchange->body_bytes > exchange->loop->config->body_bytes;
}

/* Judged with its body, or answered here: it must be whole first. */
static bool must_be_whole(const struct kt_exchange *exchange)
{
    return exchange->route.kind == KT_CLASS_OWN || exchange->route.kind == KT_CLASS_ADMIN;
}

/* An import may take as long as its client likes. Who sends one slowly is to be heard by the leader
 * meanwhile: a leader that stops waits for the imports that it knows of. */
static bool is_slow_import(const struct kt_exchange *exchange)
{
    return exchange->route.idle_bound &&
           kt_loop_now(exchange->loop) - exchange->started_ms >= SLOW_IMPORT_MS;
}

/* From here on the body goes to the node as it comes. */
static void pass_on(struct kt_exchange *exchange)
{
    exchange->mode = KT_BODY_STREAM;
    kt_dispatch(exchange);
}

void kt_request_pass_on_if_slow(struct kt_exchange *exchange)
{
    if (exchange->mode == KT_BODY_COLLECT && !exchange->body_done && !must_be_whole(exchange) &&
        is_slow_import(exchange)) {
        pass_on(exchange);
    }
}

static void fail_keeping(struct kt_exchange *exchange, enum kt_status status, const char *why)
{
    struct kt_error err = KT_ERROR_INIT;

    (void)kt_fail(&err, status, "%s", why);
    kt_exchange_fail(exchange, &err);
}

static void collect_piece(struct kt_exchange *exchange)
{
    struct kt_str piece;
    bool kept;

    if (!kt_request_take(exchange, &piece)) {
        fail_framing(exchange);
        return;
    }
    /* A body with a length was counted when its head came. */
    kept = !exchange->request.head.chunked || kt_request_keep(exchange, (int64_t)piece.len);
    kt_buf_append_str(&exchange->body, piece);
    settle(exchange);
    if (is_over_limit(exchange)) {
        fail_size(exchange);
    } else if (kt_buf_status(&exchange->body) != KT_OK) {
        fail_keeping(exchange, KT_NO_MEMORY, "no memory for the body");
    } else if (!kept && must_be_whole(exchange)) {
        fail_keeping(exchange, KT_BUSY, "too many request bodies are kept ([proxy] buffer_bytes)");
    } else if (exchange->body_done) {
        kt_exchange_on_body(exchange);
    } else if (!must_be_whole(exchange) &&
               (!kept || is_slow_import(exchange) ||
                exchange->body_bytes > exchange->loop->config->retry_body_bytes)) {
        pass_on(exchange); /* too long to be kept */
    }
}

void kt_request_collect(struct kt_exchange *exchange)
{
    struct kt_io *io = &exchange->conn->io;

    if (exchange->mode == KT_BODY_COLLECT) {
        collect_piece(exchange);
    } else if (exchange->mode == KT_BODY_NONE) {
        kt_exchange_on_body(exchange);
    } else if (io->end - exchange->body_off >= (uint64_t)exchange->body_left) {
        exchange->body_off += (size_t)exchange->body_left;
        exchange->body_left = 0;
        exchange->body_done = true;
        kt_exchange_on_body(exchange);
    } else {
        kt_io_read(io, false);
    }
}

/* Headers that this hop writes itself, or that end here. */
static bool is_replaced(const struct kt_exchange *exchange, enum kt_h1_name name)
{
    switch (name) {
    case KT_H1_HOP:
    case KT_H1_CONNECTION:
    case KT_H1_HOST:
    case KT_H1_CONTENT_LENGTH:
    case KT_H1_TRANSFER_ENCODING:
    case KT_H1_EXPECT:
    case KT_H1_CLUSTER_AUTH:
    case KT_H1_REQUEST_ID:
    case KT_H1_TIMEOUT_MS:
    case KT_H1_FORWARDED_FOR:
    case KT_H1_FORWARDED_HOST:
    case KT_H1_FORWARDED_PROTO:
        return true;
    case KT_H1_VIA:
    case KT_H1_FORWARDED:
    case KT_H1_ORIGIN:
        /* What was judged here is asked in the gateway's own name. */
        return exchange->route.kind == KT_CLASS_ADMIN;
    default:
        return false;
    }
}

/* Connection may take a header away, but none that the gateway acted on for the node's sake: it
 * repeats a write for its key, and the node must know the key. */
static bool ends_here(const struct kt_h1_head *head, uint32_t index)
{
    switch ((enum kt_h1_name)head->names[index]) {
    case KT_H1_IDEMPOTENCY_KEY:
    case KT_H1_CONSISTENCY:
    case KT_H1_MIN_REVISION:
        return false;
    default:
        return head->nominates && kt_h1_is_nominated(head, head->headers[index].name);
    }
}

static void put_line(struct kt_buf *out, struct kt_str name, struct kt_str value)
{
    kt_buf_append_str(out, name);
    kt_buf_append(out, ": ", 2);
    kt_buf_append_str(out, value);
    kt_buf_append(out, "\r\n", 2);
}

static uint32_t put_client_headers(struct kt_exchange *exchange, struct kt_buf *out)
{
    const struct kt_h1_head *head = &exchange->request.head;
    uint32_t count = 0;

    for (uint32_t i = 0; i < head->header_count; i++) {
        const struct kt_http_header *header = &head->headers[i];

        if (is_replaced(exchange, head->names[i]) || ends_here(head, i)) {
            continue;
        }
        put_line(out, header->name, header->value);
        count++;
    }
    return count;
}

static void put_forwarded(struct kt_exchange *exchange, struct kt_buf *out)
{
    const struct kt_str *known = exchange->request.head.known;

    kt_buf_append_str(out, KT_STR("Via: 1.1 kamaitachi-gateway\r\nX-Forwarded-For: "));
    for (uint32_t i = 0; i < exchange->request.head.header_count; i++) {
        if (exchange->request.head.names[i] == KT_H1_FORWARDED_FOR) {
            kt_buf_append_str(out, exchange->request.head.headers[i].value);
            kt_buf_append(out, ", ", 2);
        }
    }
    kt_buf_append_text(out, exchange->conn->host);
    kt_buf_append_str(out, KT_STR("\r\nX-Forwarded-Proto: "));
    kt_buf_append_str(out, known[KT_H1_FORWARDED_PROTO].data ? known[KT_H1_FORWARDED_PROTO]
                                                             : KT_STR("http"));
    kt_buf_append_str(out, KT_STR("\r\n"));
    if (known[KT_H1_FORWARDED_HOST].data) {
        put_line(out, KT_STR("X-Forwarded-Host"), known[KT_H1_FORWARDED_HOST]);
    } else if (known[KT_H1_HOST].data) {
        put_line(out, KT_STR("X-Forwarded-Host"), known[KT_H1_HOST]);
    }
}

/* What is left of the time, less a little for the answer's way back, so that the node's own word on
 * a request that ran out of time comes first. Left out where the node's default says the same. */
static void put_timeout(struct kt_exchange *exchange, struct kt_buf *out)
{
    int64_t left_ms = exchange->deadline_ms - kt_loop_now(exchange->loop);

    if (exchange->deadline_ms == 0 ||
        (!exchange->timeout_given && left_ms >= NODE_TIMEOUT_MS - NODE_TIMEOUT_SLACK_MS)) {
        return;
    }
    left_ms -= left_ms / 16 < RETURN_MS ? left_ms / 16 : RETURN_MS;
    kt_buf_append_str(out, KT_STR("X-Kamaitachi-Timeout-Ms: "));
    kt_buf_append_i64(out, left_ms > 0 ? left_ms : 1);
    kt_buf_append(out, "\r\n", 2);
}

static void put_signature(struct kt_exchange *exchange, struct kt_buf *out)
{
    struct kt_loop *loop = exchange->loop;
    struct kt_str value;

    kt_arena_reset(loop->arena);
    value = kt_access_sign(loop->shared->access, kt_http_method_name(exchange->request.method),
                           exchange->route.path, exchange->request.query, kt_request_body(exchange),
                           loop->arena);
    if (value.len > 0) {
        put_line(out, KT_STR("X-Kamaitachi-Auth"), value);
    }
}

static void put_framing(struct kt_exchange *exchange, struct kt_buf *out)
{
    const struct kt_h1_head *head = &exchange->request.head;

    if (exchange->mode == KT_BODY_STREAM && head->chunked) {
        kt_buf_append_str(out, KT_STR("Transfer-Encoding: chunked\r\n"));
    } else if (head->chunked || head->content_length >= 0) {
        kt_buf_append_str(out, KT_STR("Content-Length: "));
        kt_buf_append_i64(out, exchange->mode == KT_BODY_STREAM
                                   ? head->content_length
                                   : (int64_t)kt_request_body(exchange).len);
        kt_buf_append(out, "\r\n", 2);
    }
}

/* False: more headers than a node reads. */
static bool put_head(struct kt_exchange *exchange, struct kt_buf *out)
{
    uint32_t count;

    kt_buf_clear(out);
    kt_buf_append_str(out, exchange->request.method_text);
    kt_buf_append_byte(out, ' ');
    kt_buf_append_str(out, exchange->route.target);
    kt_buf_append_str(out, KT_STR(" HTTP/1.1\r\nHost: "));
    kt_buf_append_text(out, exchange->peer->node->addr);
    kt_buf_append(out, "\r\n", 2);
    count = put_client_headers(exchange, out);
    put_line(out, KT_STR("X-Request-Id"), kt_str_n(exchange->request_id, exchange->request_id_len));
    if (exchange->route.kind == KT_CLASS_ADMIN) {
        put_signature(exchange, out);
    } else {
        put_forwarded(exchange, out);
    }
    put_timeout(exchange, out);
    put_framing(exchange, out);
    kt_buf_append(out, "\r\n", 2);
    return count + ADDED_HEADERS_MAX <= KT_HTTP_HEADERS_MAX &&
           out->len_bytes <= KT_HTTP_HEAD_BYTES_MAX;
}

/* Writes a piece of a streamed body, framed as its head said, and its end when it is the last. */
static bool send_piece(struct kt_exchange *exchange, uv_buf_t *pieces, unsigned count,
                       struct kt_str piece)
{
    static char end[] = "\r\n0\r\n\r\n";
    char size[24];
    bool chunked = exchange->request.head.chunked;

    if (chunked && piece.len > 0) {
        int len = snprintf(size, sizeof(size), "%zx\r\n", piece.len);

        pieces[count++] = uv_buf_init(size, (unsigned)len);
    }
    if (piece.len > 0) {
        pieces[count++] = uv_buf_init((char *)piece.data, (unsigned)piece.len);
    }
    if (chunked && piece.len > 0) {
        pieces[count++] = uv_buf_init(end, exchange->body_done ? 7 : 2);
    } else if (chunked && exchange->body_done) {
        pieces[count++] = uv_buf_init(end + 2, 5);
    }
    if (exchange->body_done) {
        exchange->stream_ended = true;
    }
    return kt_io_write(&exchange->upstream->io, pieces, count);
}

static void after_write(struct kt_exchange *exchange, bool written)
{
    struct kt_upstream *upstream = exchange->upstream;

    exchange->sent = upstream->io.taken_bytes != exchange->taken_before;
    exchange->progress_ms = kt_loop_now(exchange->loop);
    if (!written && !exchange->sent) {
        kt_exchange_on_failed(exchange, KT_FAIL_CLOSED, "the connection was closed");
    } else if (!written) {
        /* The node may have answered before it closed: reading tells. */
        exchange->send_broken = true;
    }
}

void kt_exchange_on_ready(struct kt_exchange *exchange)
{
    struct kt_buf *out = &exchange->loop->out;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_str body = kt_request_body(exchange);
    uv_buf_t pieces[5];
    bool written;

    exchange->attempt_ms = kt_loop_now(exchange->loop);
    if (!put_head(exchange, out) || kt_buf_status(out) != KT_OK) {
        (void)kt_fail(&err, KT_HEAD_TOO_LARGE, "too many headers to be passed on");
        kt_exchange_fail(exchange, &err);
        return;
    }
    pieces[0] = uv_buf_init(out->data, (unsigned)out->len_bytes);
    if (exchange->mode == KT_BODY_STREAM) {
        written = send_piece(exchange, pieces, 1, body);
    } else {
        pieces[1] = uv_buf_init((char *)body.data, (unsigned)body.len);
        written = kt_io_write(&exchange->upstream->io, pieces, body.len > 0 ? 2 : 1);
    }
    after_write(exchange, written);
    if (written && exchange->mode == KT_BODY_STREAM) {
        kt_request_pump(exchange);
    }
}

void kt_request_pump(struct kt_exchange *exchange)
{
    uv_buf_t pieces[4];
    struct kt_str piece;

    if (exchange->mode != KT_BODY_STREAM || !exchange->sent || exchange->stream_ended ||
        exchange->send_broken || exchange->upstream->io.queued_bytes > 0) {
        return;
    }
    if (exchange->upstream->io.broken) {
        exchange->send_broken = true;
        return;
    }
    if (!kt_request_take(exchange, &piece)) {
        fail_framing(exchange);
        return;
    }
    if (is_over_limit(exchange)) {
        fail_size(exchange);
        return;
    }
    if (piece.len > 0 || exchange->body_done) {
        exchange->stream_began = true;
        after_write(exchange, send_piece(exchange, pieces, 0, piece));
    }
    settle(exchange);
}

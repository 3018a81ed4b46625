/* SPDX-License-Identifier: MIT */
/* request.c - what goes to the node: the body as it is taken from the client.
 *
 * The client's buffer holds the head for as long as the exchange lives (headers are slices of it),
 * and behind it a window through which the body passes.
 */
#include <uv.h>

#include "gateway/exchange.h"

#include <stdio.h>

/* An import that has not come whole by then is passed on as it comes, and not repeated. */
#define SLOW_IMPORT_MS 500

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
    if (exchange->maybe_done) {
        KT_COUNT(exchange->loop, repeats);
    }
    if (!kt_request_head(exchange, out) || kt_buf_status(out) != KT_OK) {
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

    /* Without a node: its answer is whole, and came before the end of the body. */
    if (exchange->mode != KT_BODY_STREAM || !exchange->sent || exchange->stream_ended ||
        exchange->send_broken || !exchange->upstream || exchange->upstream->io.queued_bytes > 0) {
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

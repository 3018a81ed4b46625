/* SPDX-License-Identifier: MIT */
/* server_body.c - bodies, whole or pulled.
 *
 * mg_read() waits until it has all that it was asked for, and a byte every few seconds keeps it
 * waiting. A whole body is bounded by the request's deadline, kept by the watch. A pulled one is
 * bounded by silence, and in total only when the client gave a time, so there it is asked for no
 * more than what has already arrived, or for one byte.
 *
 * Whole bodies are bounded in their sum too. A body of two bytes a value takes forty times its
 * length when it is parsed, so what counts is an estimate: the buffer as it grows, then, before the
 * handler sees it, the values that it can hold at most. Beyond [limits] body_memory_bytes a request
 * waits a second, then gets 503. Bodies of 16 KB and less are not counted: num_threads bounds them.
 * Answers count in the same sum, as their buffers grow.
 *
 * civetweb reads chunk sizes with strtoul, which takes signs, prefixes and spaces. So chunks are
 * read from the socket itself, by the decoder that the gateway uses, behind what civetweb has in
 * its buffer already. Where that can't be told, civetweb reads them. Either way the connection ends
 * with the answer.
 */
#include "http/server_impl.h"

#include <civetweb.h>

#include "base/clock.h"
#include "json/read.h"

#include <string.h>

#define STEP_BYTES 65536
#define READ_BYTES_MAX (1u << 30)
#define SKIP_BYTES_MAX 65536
#define SKIP_WAIT_MS 2000
#define FIRST_CAP_BYTES 16384
#define SMALL_BYTES ((size_t)16384)  /* a body that is not counted … */
#define FREE_BYTES (SMALL_BYTES * 4) /* … nor is its buffer */
#define HOLD_WAIT_MS 1000

static bool send_continue(struct kt_http_worker *worker)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

    if (!worker->expects_continue) {
        return true;
    }
    worker->expects_continue = false;
    worker->now_ms = kt_now_mono_ms();
    return kt_http_write(worker, text, sizeof(text) - 1);
}

/* Can the chunks be read past civetweb? Then what it has read of them already is known by the bytes
 * that it has taken from the socket, and where it lies by the head that it lies behind. */
static void begin_chunks(struct kt_http_worker *worker)
{
    int64_t ahead, room = worker->head_base + KT_HTTP_HEAD_BYTES_MAX - worker->head_end;

    if (!worker->chunked || worker->raw_tried) {
        return;
    }
    worker->raw_tried = true;
    ahead = kt_http_socket_taken(worker->sock) - worker->bytes_before - worker->bytes_here;
    worker->raw = ahead >= 0 && ahead <= room;
    worker->ahead = worker->head_end;
    worker->ahead_len = worker->raw ? (size_t)ahead : 0;
    kt_h1_chunks_init(&worker->chunks);
}

/* As mg_read of a chunked body, but strict. */
static int read_chunks(struct kt_http_worker *worker, void *dest, size_t want, int64_t deadline_ms)
{
    for (;;) {
        size_t got = worker->ahead_len < want ? worker->ahead_len : want, used, payload;
        enum kt_h1_verdict verdict;

        if (got > 0) {
            memcpy(dest, worker->ahead, got);
            worker->ahead += got;
            worker->ahead_len -= got;
        } else {
            int64_t len = kt_http_socket_receive(worker->sock, dest, want, deadline_ms);

            if (len <= 0) {
                return -1;
            }
            got = (size_t)len;
        }
        verdict = kt_h1_chunks_decode(&worker->chunks, dest, got, &used, &payload);
        worker->chunks_bad = verdict == KT_H1_BAD;
        worker->body_done = verdict == KT_H1_OK;
        if (worker->chunks_bad) {
            return -1;
        }
        if (payload > 0 || worker->body_done) {
            return (int)payload;
        }
    }
}

/* As mg_read, until the deadline; keeps the count of what is left. */
static int read_until(struct kt_http_worker *worker, void *dest, size_t want, int64_t deadline_ms)
{
    int len;

    if (kt_http_is_hopeless(worker)) {
        atomic_store_explicit(&worker->slow, true, memory_order_relaxed);
        return -1;
    }
    kt_http_state(worker, KT_CONN_READING, deadline_ms);
    len = worker->raw ? read_chunks(worker, dest, want < READ_BYTES_MAX ? want : READ_BYTES_MAX,
                                    deadline_ms)
                      : mg_read(worker->conn, dest, want);
    kt_http_state(worker, KT_CONN_BUSY, INT64_MAX);
    if (len > 0 && !worker->chunked) {
        worker->body_left -= len;
        worker->body_done = worker->body_left == 0;
    }
    if (len == 0 && worker->chunked) {
        worker->body_done = true;
    }
    return len;
}

static bool was_cut(const struct kt_http_worker *worker, int64_t deadline_ms)
{
    return atomic_load_explicit(&worker->cut, memory_order_relaxed) ||
           kt_now_mono_ms() >= deadline_ms;
}

static enum kt_status fail_whole(struct kt_http_worker *worker, int64_t deadline_ms,
                                 struct kt_error *err)
{
    worker->body_broken = true;
    if (atomic_load_explicit(&worker->slow, memory_order_relaxed)) {
        return kt_fail(err, KT_BUSY, "others wait, and the body arrives too slowly");
    }
    if (was_cut(worker, deadline_ms)) {
        return kt_fail(err, KT_BAD_REQUEST, "the body did not arrive within the request's time");
    }
    if (worker->raw ? worker->chunks_bad
                    : worker->chunked && !kt_http_socket_at_end(worker->sock)) {
        return kt_fail(err, KT_BAD_REQUEST, "the chunked body is malformed");
    }
    return kt_fail(err, KT_BAD_REQUEST, "the body ended before it was complete");
}

static enum kt_status fail_too_large(struct kt_http_worker *worker, struct kt_error *err)
{
    worker->body_broken = true;
    return kt_fail(err, KT_TOO_LARGE, "the body is larger than %lld bytes",
                   (long long)worker->server->options.body_max_bytes);
}

/* Waits for others, but not for long: they may be slow. */
static enum kt_status take_share(struct kt_http_worker *worker, struct kt_budget_share *share,
                                 size_t more, struct kt_error *err)
{
    int64_t deadline_ms = worker->request.deadline_mono_ms, now_ms;

    if (kt_budget_share_take(share, (int64_t)more, 0)) {
        return KT_OK;
    }
    now_ms = kt_now_mono_ms();
    atomic_store_explicit(&worker->server->starved_ms, now_ms, memory_order_relaxed);
    deadline_ms = deadline_ms < now_ms + HOLD_WAIT_MS ? deadline_ms : now_ms + HOLD_WAIT_MS;
    if (kt_budget_share_take(share, (int64_t)more, deadline_ms)) {
        return KT_OK;
    }
    return kt_fail(err, KT_BUSY, "too many large bodies are under way at once");
}

/* Makes the share of the body's buffer at least `total`. */
static enum kt_status hold(struct kt_http_worker *worker, size_t total, struct kt_error *err)
{
    size_t held = (size_t)worker->share.held_bytes;

    if (total <= held || total <= FREE_BYTES) {
        return KT_OK;
    }
    return take_share(worker, &worker->share, total - held, err);
}

/* Before it is parsed. Whoever waits here holds nothing of what it waits for, so that bodies that
 * fill the budget each are parsed one after the other. */
static enum kt_status hold_parsed(struct kt_http_worker *worker, struct kt_error *err)
{
    struct kt_str body = kt_buf_str(&worker->body);

    if (body.len <= SMALL_BYTES) {
        return KT_OK;
    }
    return take_share(worker, &worker->parse, kt_json_parse_bytes(body), err);
}

/* Room for the next piece: doubles, so that a length that was only claimed costs nothing. */
static size_t make_room(struct kt_http_worker *worker, int64_t max)
{
    struct kt_buf *body = &worker->body;
    size_t want = body->len_bytes < FIRST_CAP_BYTES ? FIRST_CAP_BYTES : body->len_bytes;

    if (!worker->chunked && (int64_t)want > worker->body_left) {
        want = (size_t)worker->body_left;
    } else if (worker->chunked && (int64_t)(body->len_bytes + want) > max + 1) {
        want = (size_t)max + 1 - body->len_bytes; /* one byte too many is enough to know */
    }
    return kt_buf_reserve(body, want) ? want : 0;
}

static enum kt_status read_all(struct kt_http_worker *worker, int64_t deadline_ms, int64_t max,
                               struct kt_error *err)
{
    struct kt_buf *body = &worker->body;

    begin_chunks(worker);
    while (!worker->body_done) {
        size_t want;
        int len;

        /* The buffer doubles when it is full: four times what it holds bounds what it will take. */
        if (hold(worker, body->len_bytes * 4, err) != KT_OK) {
            worker->body_broken = true;
            return err->status;
        }
        want = make_room(worker, max);
        if (want == 0) {
            worker->body_broken = true;
            return kt_fail(err, KT_NO_MEMORY, "no memory for the body");
        }
        len = read_until(worker, body->data + body->len_bytes, want, deadline_ms);
        if (len < 0 || (!worker->chunked && (size_t)len < want)) {
            return fail_whole(worker, deadline_ms, err);
        }
        body->len_bytes += (size_t)len;
        body->data[body->len_bytes] = '\0';
        if ((int64_t)body->len_bytes > max) {
            return fail_too_large(worker, err);
        }
    }
    return KT_OK;
}

enum kt_status kt_http_body_read_whole(struct kt_http_worker *worker, struct kt_error *err)
{
    int64_t max = worker->server->options.body_max_bytes;
    enum kt_status status;

    if (!worker->chunked && worker->body_left > max) {
        return fail_too_large(worker, err);
    }
    kt_buf_clear(&worker->body);
    if (worker->body_done) {
        return KT_OK;
    }
    if (!send_continue(worker)) {
        worker->body_broken = true;
        return kt_fail(err, KT_BAD_REQUEST, "the peer has left");
    }
    status = read_all(worker, worker->request.deadline_mono_ms, max, err);
    if (status == KT_OK) {
        status = hold_parsed(worker, err);
    }
    if (status == KT_OK) {
        worker->request.body = kt_buf_str(&worker->body);
    }
    return status;
}

void kt_http_body_skip(struct kt_http_worker *worker)
{
    struct kt_error ignored;

    if (worker->body_done || worker->body_broken) {
        return;
    }
    if (worker->chunked || worker->expects_continue || worker->body_left > SKIP_BYTES_MAX) {
        worker->body_broken = true;
        return;
    }
    kt_buf_clear(&worker->body);
    (void)!read_all(worker, kt_now_mono_ms() + SKIP_WAIT_MS, SKIP_BYTES_MAX, &ignored);
}

/* How much can be asked for without waiting for more than one further byte? Framing takes part of
 * what has arrived: at worst, in chunks of one byte each, five bytes of six. */
static size_t pull_step(const struct kt_http_worker *worker, size_t size)
{
    size_t arrived;

    if (worker->raw) {
        return size;
    }
    arrived = kt_http_socket_available(worker->sock);
    if (worker->sock == KT_NO_SOCKET) {
        arrived = STEP_BYTES;
    } else if (worker->chunked) {
        arrived /= 8; /* where they can't be read past civetweb */
    }
    if (arrived == 0) {
        arrived = 1;
    }
    if (!worker->chunked && (int64_t)arrived > worker->body_left) {
        arrived = (size_t)worker->body_left;
    }
    return arrived < size ? arrived : size;
}

static enum kt_status fail_pull(struct kt_http_worker *worker, int64_t deadline_ms,
                                struct kt_error *err)
{
    worker->body_broken = true;
    if (atomic_load_explicit(&worker->slow, memory_order_relaxed)) {
        return kt_fail(err, KT_TIMEOUT, "others wait, and the body arrives too slowly");
    }
    if (worker->request.deadline_given && kt_now_mono_ms() >= worker->request.deadline_mono_ms) {
        return kt_fail(err, KT_TIMEOUT, "the body did not arrive within the request's time");
    }
    if (was_cut(worker, deadline_ms)) {
        return kt_fail(err, KT_TIMEOUT, "nothing of the body arrived for %lld ms",
                       (long long)worker->server->options.idle_timeout_ms);
    }
    if (worker->raw ? worker->chunks_bad
                    : worker->chunked && !kt_http_socket_at_end(worker->sock)) {
        return kt_fail(err, KT_BAD_REQUEST, "the chunked body is malformed");
    }
    return kt_fail(err, KT_IO, "the peer left before the body was complete");
}

static enum kt_status pull_read(void *ctx, void *dest, size_t size, size_t *ret_len,
                                struct kt_error *err)
{
    struct kt_http_worker *worker = ctx;
    int64_t now_ms, deadline_ms;
    int len;

    KT_ASSERT(size > 0);
    if (worker->body_broken) {
        return kt_fail(err, KT_IO, "the body is broken");
    }
    if (worker->body_done) {
        *ret_len = 0;
        return KT_OK;
    }
    now_ms = kt_now_mono_ms();
    deadline_ms = now_ms + worker->server->options.idle_timeout_ms;
    if (worker->request.deadline_given && worker->request.deadline_mono_ms < deadline_ms) {
        deadline_ms = worker->request.deadline_mono_ms;
    }
    if (now_ms >= deadline_ms) {
        return fail_pull(worker, deadline_ms, err);
    }
    if (!send_continue(worker)) {
        return fail_pull(worker, deadline_ms, err);
    }
    begin_chunks(worker);
    len = read_until(worker, dest, pull_step(worker, size), deadline_ms);
    if (len < 0 || (len == 0 && !worker->chunked)) {
        return fail_pull(worker, deadline_ms, err);
    }
    *ret_len = (size_t)len;
    return KT_OK;
}

void kt_http_body_pull_init(struct kt_http_worker *worker)
{
    worker->pull.read = pull_read;
    worker->pull.ctx = worker;
    worker->request.pull = &worker->pull;
    worker->request.held = worker->server->held;
    worker->request.parsed = worker->server->parsed;
}

/* SPDX-License-Identifier: MIT */
/* server_answer.c - one write per answer.
 *
 * Head and body leave together: a second small write would cost a system call and a packet. The
 * copy of a body behind its head is cheaper than either; only large bodies follow in a write of
 * their own.
 */
#include "http/server_impl.h"

#include <civetweb.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/envelope.h"

#include <string.h>

#define JOIN_BYTES_MAX 65536 /* larger bodies are not copied behind their head */
#define SLOWEST_BYTES_PER_MS 16
#define WRITE_BYTES_MAX (1 << 30)

bool kt_http_write(struct kt_http_worker *worker, const void *data, size_t len)
{
    const char *pos = data;
    bool sent = true;

    /* Who takes less than 16 KB a second would hold a worker for ever. */
    kt_http_state(worker, KT_CONN_WRITING,
                  worker->now_ms + worker->server->options.idle_timeout_ms +
                      (int64_t)(len / SLOWEST_BYTES_PER_MS));
    while (sent && len > 0) {
        size_t part = len < WRITE_BYTES_MAX ? len : WRITE_BYTES_MAX;

        sent = mg_write(worker->conn, pos, part) == (int)part;
        pos += part;
        len -= part;
    }
    kt_http_state(worker, KT_CONN_BUSY, INT64_MAX);
    return sent;
}

/* Formatted once a second. */
static void append_date(struct kt_http_worker *worker)
{
    if (worker->now_ms >= worker->date_until_ms) {
        int64_t wall_ms = kt_now_wall_ms();

        kt_format_http_date(wall_ms / 1000, worker->date);
        worker->date_until_ms = worker->now_ms + 1000 - wall_ms % 1000;
    }
    kt_buf_append(&worker->out, "\r\nDate: ", 8);
    kt_buf_append(&worker->out, worker->date, 29);
}

enum framing { FRAMED_LENGTH, FRAMED_CHUNKS, FRAMED_CLOSE };

static void append_head(struct kt_http_worker *worker, enum framing framing)
{
    struct kt_http_response *response = &worker->response;
    struct kt_buf *out = &worker->out;

    if (response->status >= 500) {
        atomic_fetch_add_explicit(&worker->errors, 1, memory_order_relaxed);
    }
    kt_buf_clear(out);
    if (response->status == 200) {
        kt_buf_append(out, "HTTP/1.1 200 OK", 15);
    } else {
        kt_buf_printf(out, "HTTP/1.1 %d %s", response->status, kt_http_reason(response->status));
    }
    append_date(worker);
    if (response->content_type && response->status != 204 && response->status != 304) {
        kt_buf_append(out, "\r\nContent-Type: ", 16);
        kt_buf_append_text(out, response->content_type);
    }
    if (framing == FRAMED_CHUNKS) {
        kt_buf_append_text(out, "\r\nTransfer-Encoding: chunked");
    } else if (framing == FRAMED_LENGTH && response->status != 204 && response->status != 304) {
        kt_buf_append(out, "\r\nContent-Length: ", 18);
        kt_buf_append_u64(out, response->body.len_bytes);
    }
    if (!worker->keep_alive) {
        kt_buf_append_text(out, "\r\nConnection: close");
    } else if (worker->http_10) {
        kt_buf_append_text(out, "\r\nConnection: keep-alive");
    }
    for (size_t i = 0; i < response->header_count; i++) {
        kt_buf_append(out, "\r\n", 2);
        kt_buf_append_str(out, response->headers[i].name);
        kt_buf_append(out, ": ", 2);
        kt_buf_append_str(out, response->headers[i].value);
    }
    kt_buf_append(out, "\r\n\r\n", 4);
}

static bool has_body(const struct kt_http_worker *worker)
{
    return worker->request.method != KT_HTTP_HEAD && worker->response.status != 204 &&
           worker->response.status != 304;
}

void kt_http_answer_no_memory(struct mg_connection *conn)
{
    static const char text[] =
        "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n"
        "Content-Length: 126\r\nConnection: close\r\n\r\n"
        "{\"status_code\":500,\"status_msg\":\"no memory for a request\",\"data\":null,"
        "\"error\":{\"code\":\"no_memory\",\"field\":\"\",\"retry\":\"later\"}}";

    mg_disable_connection_keep_alive(conn);
    (void)mg_write(conn, text, sizeof(text) - 1);
}

static bool send_whole(struct kt_http_worker *worker)
{
    struct kt_buf *out = &worker->out;
    struct kt_str body = kt_buf_str(&worker->response.body);

    append_head(worker, FRAMED_LENGTH);
    if (!has_body(worker)) {
        body.len = 0;
    }
    if (body.len <= JOIN_BYTES_MAX) {
        kt_buf_append_str(out, body);
        body.len = 0;
    }
    if (kt_buf_status(out) != KT_OK) {
        kt_http_answer_no_memory(worker->conn);
        worker->response.status = 500;
        return false;
    }
    return kt_http_write(worker, out->data, out->len_bytes) &&
           (body.len == 0 || kt_http_write(worker, body.data, body.len));
}

static enum kt_status next_chunk(struct kt_http_worker *worker, struct kt_error *err)
{
    struct kt_http_response *response = &worker->response;
    enum kt_status status;

    kt_buf_clear(&worker->chunk);
    /* A stream may take as long as it goes on, unless the client gave it a time. */
    if (worker->request.deadline_given && kt_now_mono_ms() >= worker->request.deadline_mono_ms) {
        return kt_fail(err, KT_TIMEOUT, "the answer is not whole within the request's time");
    }
    status = response->stream_next(response->stream_ctx, &worker->chunk, err);
    if (status == KT_OK && kt_buf_status(&worker->chunk) != KT_OK) {
        status = kt_fail(err, KT_NO_MEMORY, "no memory for a part of the answer");
    }
    return status;
}

static void append_chunk(struct kt_http_worker *worker, enum framing framing)
{
    struct kt_buf *out = &worker->out;

    if (framing == FRAMED_CHUNKS) {
        kt_buf_printf(out, "%zx\r\n", worker->chunk.len_bytes);
    }
    kt_buf_append_str(out, kt_buf_str(&worker->chunk));
    if (framing == FRAMED_CHUNKS) {
        kt_buf_append(out, "\r\n", 2);
    }
}

/* The rest of a stream whose head and first chunk are in `out`. False: the answer is not whole. */
static bool send_chunks(struct kt_http_worker *worker, enum framing framing)
{
    struct kt_buf *out = &worker->out;
    struct kt_error err = KT_ERROR_INIT;
    enum kt_status status;

    for (;;) {
        worker->now_ms = kt_now_mono_ms();
        if (kt_buf_status(out) != KT_OK || !kt_http_write(worker, out->data, out->len_bytes)) {
            return false;
        }
        kt_buf_clear(out);
        status = next_chunk(worker, &err);
        if (status != KT_OK) {
            kt_log(WARN, "http", "stream_broken", "request=%s path=\"" KT_STR_FMT "\" why=\"%s\"",
                   worker->request.request_id, KT_STR_ARG(worker->request.path), err.message);
            if (framing == FRAMED_CLOSE) {
                kt_http_socket_reset(worker->sock);
            }
            return false;
        }
        if (worker->chunk.len_bytes == 0) {
            return framing != FRAMED_CHUNKS || kt_http_write(worker, "0\r\n\r\n", 5);
        }
        append_chunk(worker, framing);
    }
}

static bool send_stream(struct kt_http_worker *worker)
{
    struct kt_http_response *response = &worker->response;
    enum framing framing = worker->http_10 ? FRAMED_CLOSE : FRAMED_CHUNKS;
    struct kt_error err = KT_ERROR_INIT;

    if (!has_body(worker)) {
        append_head(worker, framing);
        return kt_buf_status(&worker->out) == KT_OK &&
               kt_http_write(worker, worker->out.data, worker->out.len_bytes);
    }
    if (!kt_http_long_begin(worker)) {
        (void)kt_fail(&err, KT_BUSY, "half of the workers are busy with imports and streams");
    }
    if (err.status != KT_OK || next_chunk(worker, &err) != KT_OK) {
        /* Nothing has been sent: this can still become a proper error. */
        kt_envelope_error(response, &err);
        return send_whole(worker);
    }
    if (worker->chunk.len_bytes == 0) {
        kt_buf_clear(&response->body);
        return send_whole(worker);
    }
    if (framing == FRAMED_CLOSE) {
        worker->keep_alive = false;
    }
    append_head(worker, framing);
    append_chunk(worker, framing);
    return send_chunks(worker, framing);
}

static void trim(struct kt_buf *buf)
{
    if (buf->cap_bytes > KT_HTTP_KEEP_BYTES_MAX) {
        size_t max_bytes = buf->max_bytes;

        kt_buf_done(buf);
        kt_buf_init(buf, max_bytes);
    }
}

static bool has_had_its_turn(const struct kt_http_worker *worker)
{
    return atomic_load_explicit(&worker->server->pressed, memory_order_relaxed) &&
           worker->now_ms - worker->accepted_ms >= KT_HTTP_TURN_MS;
}

void kt_http_answer_send(struct kt_http_worker *worker)
{
    struct kt_http_response *response = &worker->response;
    const struct kt_http_server_options *options = &worker->server->options;
    bool sent;

    worker->now_ms = kt_now_mono_ms();
    if (options->decorate) {
        options->decorate(options->decorate_ctx, response);
    }
    if (response->close || !worker->body_done || worker->body_broken || has_had_its_turn(worker) ||
        atomic_load_explicit(&worker->server->draining, memory_order_relaxed)) {
        worker->keep_alive = false;
    }
    worker->answered = true;
    sent = response->stream_next ? send_stream(worker) : send_whole(worker);
    if (!sent) {
        worker->keep_alive = false;
    }
    if (!worker->keep_alive) {
        mg_disable_connection_keep_alive(worker->conn);
    }
    if (sent && (!worker->body_done || worker->body_broken)) {
        kt_http_state(worker, KT_CONN_BUSY, INT64_MAX);
        kt_http_socket_linger(worker->sock, KT_HTTP_LINGER_MS, &worker->server->pressed);
    }
    if (worker->raw) {
        /* civetweb believes that the body is still to come. */
        kt_http_socket_shut_read(worker->sock);
    }
    trim(&worker->out);
    trim(&worker->chunk);
    trim(&worker->body);
}

void kt_http_answer_refusal(struct kt_http_worker *worker, struct mg_connection *conn,
                            const struct kt_error *err)
{
    struct kt_http_response *response = &worker->response;

    kt_arena_reset(worker->arena);
    worker->conn = conn;
    worker->request.method = KT_HTTP_OTHER;
    worker->http_10 = worker->keep_alive = false;
    worker->body_done = false; /* whatever follows is not read as a request */
    worker->body_broken = true;
    kt_http_make_request_id(worker->request.request_id);
    kt_http_response_init(response, worker->arena, 0);
    kt_http_response_header(response, "X-Request-Id", kt_str(worker->request.request_id));
    kt_envelope_error(response, err);
    kt_http_answer_send(worker);
    kt_http_response_done(response);
}

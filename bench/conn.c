/* SPDX-License-Identifier: MIT */
/* conn.c - one connection with one request under way. */
#include <uv.h>

#include "bench/load_impl.h"

#include "base/clock.h"
#include "base/mem.h"

#include <string.h>

#define BACKOFF_FIRST_US 10000
#define BACKOFF_LAST_US 1000000
#define BUFFER_FIRST 4096
#define ROOM_LEAST 2048

static void close_now(struct kt_conn *conn, int64_t retry_us);

static int64_t timeout_us(const struct kt_conn *conn)
{
    return (int64_t)(conn->loop->load->options->timeout_s * 1e6);
}

static void back_off(struct kt_conn *conn, int64_t now_us)
{
    close_now(conn, now_us + conn->backoff_us);
    conn->backoff_us *= 2;
    if (conn->backoff_us > BACKOFF_LAST_US) {
        conn->backoff_us = BACKOFF_LAST_US;
    }
}

/* The request under way ends without a whole answer. */
static void fail(struct kt_conn *conn, enum kt_wrong wrong, const char *why, int64_t now_us)
{
    conn->loop->busy--;
    kt_record_failure(conn, wrong, why, now_us);
    back_off(conn, now_us);
    kt_loop_check_end(conn->loop);
}

/* No connection: that is the outcome of the next request that is due. */
static void fail_connect(struct kt_conn *conn, enum kt_wrong wrong, const char *why, int64_t now_us)
{
    if (kt_loop_take(conn, now_us)) {
        kt_record_failure(conn, wrong, why, now_us);
    }
    back_off(conn, now_us);
    kt_loop_check_end(conn->loop);
}

static void on_closed(uv_handle_t *handle)
{
    struct kt_conn *conn = handle->data;
    int64_t now_us = kt_now_mono_us();
    if (conn->loop->closing) {
        conn->state = KT_CONN_GONE;
        conn->loop->gone++;
        return;
    }
    conn->state = KT_CONN_WAITING;
    if (conn->retry_us <= now_us) {
        kt_conn_start(conn, now_us);
    }
}

static void close_now(struct kt_conn *conn, int64_t retry_us)
{
    if (conn->state == KT_CONN_READY) {
        kt_loop_not_ready(conn);
    }
    conn->retry_us = retry_us;
    conn->state = KT_CONN_CLOSING;
    uv_close((uv_handle_t *)&conn->tcp, on_closed);
}

void kt_conn_close(struct kt_conn *conn)
{
    if (conn->state == KT_CONN_WAITING) {
        conn->state = KT_CONN_GONE;
        conn->loop->gone++;
    } else if (conn->state != KT_CONN_CLOSING && conn->state != KT_CONN_GONE) {
        conn->loop->busy -= conn->state == KT_CONN_BUSY;
        close_now(conn, 0);
    }
}

static void complete(struct kt_conn *conn, int64_t now_us)
{
    conn->loop->busy--;
    kt_record_answer(conn, now_us);
    conn->backoff_us = BACKOFF_FIRST_US;
    /* An answer that came before the request was sent off: the rest of it would be the next's. */
    if (conn->reply.keep_alive && !conn->writing) {
        conn->state = KT_CONN_READY;
        kt_loop_ready(conn, now_us);
    } else {
        close_now(conn, now_us);
    }
    kt_loop_check_end(conn->loop);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct kt_conn *conn = handle->data;
    (void)suggested;
    if (conn->cap - conn->len < ROOM_LEAST && conn->cap < KT_PT_ANSWER_MAX) {
        size_t cap = conn->cap ? conn->cap * 2 : BUFFER_FIRST;
        char *grown = kt_realloc(conn->in, cap);
        if (grown) {
            conn->in = grown;
            conn->cap = cap;
        }
    }
    buf->base = conn->in + conn->len;
    buf->len = conn->cap - conn->len; /* 0 tells on_read: UV_ENOBUFS */
}

static void on_end(struct kt_conn *conn, ssize_t code, int64_t now_us)
{
    if (conn->state == KT_CONN_READY) {
        close_now(conn, now_us); /* between two answers: its right */
        return;
    }
    if (code == UV_EOF && kt_reply_end(&conn->reply) == KT_REPLY_DONE) {
        conn->reply.keep_alive = false;
        complete(conn, now_us);
    } else if (code == UV_ENOBUFS) {
        fail(conn, KT_WRONG_HTTP,
             conn->cap < KT_PT_ANSWER_MAX ? "no memory for it here"
                                          : "an answer of more than 64 MB",
             now_us);
    } else if (conn->len == 0) {
        fail(conn, KT_WRONG_RESET, code == UV_EOF ? "closed" : uv_strerror((int)code), now_us);
    } else {
        fail(conn, KT_WRONG_HALF, code == UV_EOF ? "closed" : uv_strerror((int)code), now_us);
    }
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct kt_conn *conn = stream->data;
    (void)buf;
    if (count == 0 || (conn->state != KT_CONN_BUSY && conn->state != KT_CONN_READY)) {
        return;
    }
    int64_t now_us = kt_now_mono_us();
    if (count < 0) {
        on_end(conn, count, now_us);
        return;
    }
    conn->loop->result.bytes_in += (uint64_t)count;
    if (conn->state == KT_CONN_READY) {
        conn->loop->result.strays++; /* nobody asked: what follows can't be believed */
        close_now(conn, now_us);
        return;
    }
    conn->len += (size_t)count;
    switch (kt_reply_read(&conn->reply, conn->in, &conn->len)) {
    case KT_REPLY_MORE:
        break;
    case KT_REPLY_DONE:
        complete(conn, now_us);
        break;
    case KT_REPLY_BAD:
        fail(conn, KT_WRONG_HTTP, conn->reply.why, now_us);
        break;
    }
}

static void on_connect(uv_connect_t *request, int status)
{
    struct kt_conn *conn = request->data;
    if (conn->state != KT_CONN_CONNECTING) {
        return; /* closed meanwhile */
    }
    int64_t now_us = kt_now_mono_us();
    if (status == 0) {
        uv_tcp_nodelay(&conn->tcp, 1);
        status = uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read);
    }
    if (status < 0) {
        fail_connect(conn, KT_WRONG_REFUSED, uv_strerror(status), now_us);
        return;
    }
    conn->loop->result.connects++;
    conn->state = KT_CONN_READY;
    kt_loop_ready(conn, now_us);
}

void kt_conn_start(struct kt_conn *conn, int64_t now_us)
{
    struct kt_load_loop *loop = conn->loop;
    if (loop->exhausted || loop->closing) {
        return;
    }
    if (conn->backoff_us == 0) {
        conn->backoff_us = BACKOFF_FIRST_US;
    }
    conn->state = KT_CONN_CONNECTING;
    conn->deadline_us = now_us + timeout_us(conn);
    KT_ASSERT(uv_tcp_init(&loop->uv, &conn->tcp) == 0);
    conn->tcp.data = conn->connect.data = conn->write.data = conn;
    int status = uv_tcp_connect(&conn->connect, &conn->tcp, &loop->load->addrs[conn->target].base,
                                on_connect);
    if (status < 0) {
        fail_connect(conn, KT_WRONG_REFUSED, uv_strerror(status), now_us);
    }
}

static void on_written(uv_write_t *request, int status)
{
    struct kt_conn *conn = request->data;
    conn->writing = false;
    if (status < 0 && conn->state == KT_CONN_BUSY) {
        on_end(conn, status, kt_now_mono_us());
    }
}

/* The bytes, with a key of its own if the request has one. */
static struct kt_str bytes_of(struct kt_conn *conn, const struct kt_planned *planned)
{
    struct kt_load_loop *loop = conn->loop;
    struct kt_str bytes = planned->bytes[conn->target];
    if (planned->key_from_end == 0) {
        return bytes;
    }
    uint64_t key = loop->key++ << 8 | loop->number;
    kt_buf_clear(&conn->keyed);
    kt_buf_append_str(&conn->keyed, bytes);
    if (kt_buf_status(&conn->keyed) != KT_OK) {
        return bytes;
    }
    char *digits = conn->keyed.data + bytes.len - planned->key_from_end;
    for (int i = KT_PLAN_KEY_DIGITS; i-- > 0; key >>= 4) {
        digits[i] = "0123456789abcdef"[key & 15];
    }
    return kt_buf_str(&conn->keyed);
}

void kt_conn_send(struct kt_conn *conn, int64_t now_us)
{
    const struct kt_planned *planned = &conn->loop->load->plan->requests[conn->request];
    struct kt_str bytes = bytes_of(conn, planned);
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)bytes.data, (unsigned)bytes.len);
    conn->state = KT_CONN_BUSY;
    conn->loop->busy++;
    conn->len = 0;
    conn->deadline_us = now_us + timeout_us(conn);
    kt_reply_begin(&conn->reply, planned->to_head);
    int sent = uv_try_write((uv_stream_t *)&conn->tcp, &buf, 1);
    if (sent == UV_EAGAIN) {
        sent = 0;
    }
    if (sent >= 0 && (size_t)sent < bytes.len) {
        buf.base += sent;
        buf.len -= (size_t)sent;
        sent = uv_write(&conn->write, (uv_stream_t *)&conn->tcp, &buf, 1, on_written);
        conn->writing = sent == 0;
    }
    if (sent < 0) {
        /* An answer that came before the reset (503 and close) is in the socket: read it. */
        if (sent != UV_EPIPE && sent != UV_ECONNRESET) {
            fail(conn, KT_WRONG_RESET, uv_strerror(sent), now_us);
        }
    }
}

void kt_conn_tick(struct kt_conn *conn, int64_t now_us)
{
    if (conn->state == KT_CONN_WAITING && now_us >= conn->retry_us) {
        kt_conn_start(conn, now_us);
    } else if (conn->state == KT_CONN_BUSY && now_us >= conn->deadline_us) {
        fail(conn, KT_WRONG_TIMEOUT,
             conn->len == 0 ? "no byte of an answer" : "the answer did not end", now_us);
    } else if (conn->state == KT_CONN_CONNECTING && now_us >= conn->deadline_us) {
        fail_connect(conn, KT_WRONG_TIMEOUT, "no connection in time", now_us);
    }
}

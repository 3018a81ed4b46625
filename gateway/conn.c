/* SPDX-License-Identifier: MIT */
/* conn.c - a client's connection. */
#include <uv.h>

#include "gateway/conn.h"

#include "base/mem.h"
#include "gateway/exchange.h"

#define LINGER_MS 2000
#define DRAIN_GRACE_MS 200
#define CLOSED_AT_ONCE 64

static void link_conn(struct kt_loop *loop, struct kt_conn *conn)
{
    conn->next = loop->conns;
    conn->link = &loop->conns;
    if (conn->next) {
        conn->next->link = &conn->next;
    }
    loop->conns = conn;
}

static void on_closed(struct kt_io *io)
{
    struct kt_conn *conn = (struct kt_conn *)io;
    struct kt_loop *loop = conn->loop;

    *conn->link = conn->next;
    if (conn->next) {
        conn->next->link = conn->link;
    }
    atomic_fetch_sub_explicit(&loop->shared->connections, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&loop->counters.open_now, 1, memory_order_relaxed);
    kt_free(conn);
}

void kt_conn_abort(struct kt_conn *conn)
{
    if (conn->exchange) {
        kt_exchange_drop(conn->exchange);
    }
    kt_io_close(&conn->io, true);
}

static void close_quietly(struct kt_conn *conn)
{
    KT_ASSERT(!conn->exchange);
    kt_io_close(&conn->io, false);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    struct kt_conn *conn = request->data;

    if (status < 0 && !conn->io.closing) {
        close_quietly(conn);
    }
}

void kt_conn_finish(struct kt_conn *conn, bool linger)
{
    conn->close_after = true;
    conn->deadline_ms = kt_loop_now(conn->loop) + LINGER_MS;
    if (conn->io.ended || conn->io.broken) {
        linger = false;
    }
    if (linger) {
        /* The answer and an end are sent; what the client still sends is thrown away until it has
         * seen them (RFC 9112, 9.6). */
        conn->lingering = true;
        conn->io.start = conn->io.end;
        kt_io_rest(&conn->io);
        conn->shutdown.data = conn;
        if (uv_shutdown(&conn->shutdown, (uv_stream_t *)&conn->io.tcp, on_shutdown) < 0) {
            close_quietly(conn);
            return;
        }
        kt_io_read(&conn->io, true);
    } else if (conn->io.queued_bytes == 0) {
        close_quietly(conn);
    } else {
        conn->deadline_ms = kt_loop_now(conn->loop) + conn->loop->config->stream_idle_ms;
    }
}

static void refuse_head(struct kt_conn *conn, enum kt_h1_verdict verdict, const char *why)
{
    struct kt_error err = KT_ERROR_INIT;

    (void)kt_fail(&err, verdict == KT_H1_TOO_LARGE ? KT_HEAD_TOO_LARGE : KT_BAD_REQUEST,
                  "the request cannot be read: %s", why);
    kt_exchange_begin_refused(conn, &err);
}

/* A head stays where it lies for as long as its request lives, and its body comes through the room
 * behind it: a pipelined one may have filled the buffer to the last byte. */
static void make_window(struct kt_io *io, size_t head_len)
{
    if (io->start + head_len > KT_IO_BUFFER_BYTES / 2) {
        kt_io_pause(io);
        kt_io_move(io);
        kt_io_read(io, false);
    }
}

/* Begins the next request if its head is there. False when more input is needed. */
static bool begin_next(struct kt_conn *conn)
{
    struct kt_io *io = &conn->io;
    size_t head_len;
    enum kt_h1_verdict verdict;

    if (kt_io_len(io) == 0) {
        kt_io_rest(io);
        return false;
    }
    verdict = kt_h1_scan_request(&conn->scan, io->in + io->start, kt_io_len(io), &head_len);
    if (verdict == KT_H1_MORE) {
        /* Room for the rest of the head: it is at most half of the buffer. */
        if (io->end == KT_IO_BUFFER_BYTES) {
            kt_io_read(io, true);
        }
        return false;
    }
    if (verdict != KT_H1_OK) {
        refuse_head(conn, verdict, conn->scan.why);
        return true;
    }
    io->start += conn->scan.skip;
    head_len -= conn->scan.skip;
    conn->scan = (struct kt_h1_scan){0};
    make_window(io, head_len);
    kt_exchange_begin(conn, head_len);
    return true;
}

static void process(struct kt_conn *conn)
{
    if (conn->processing) {
        return;
    }
    conn->processing = true;
    /* An answer that the client does not read holds back what it asks next. */
    while (!conn->exchange && !conn->io.closing && !conn->close_after &&
           conn->io.queued_bytes == 0 && begin_next(conn)) {
    }
    conn->processing = false;
    if (!conn->io.closing && !conn->exchange && !conn->close_after) {
        if (conn->io.ended) {
            if (conn->io.queued_bytes == 0) {
                close_quietly(conn);
            }
            return;
        }
        kt_io_read(&conn->io, true);
    }
}

void kt_conn_next(struct kt_conn *conn)
{
    struct kt_loop *loop = conn->loop;

    conn->deadline_ms = kt_loop_now(loop) + loop->config->idle_timeout_ms;
    process(conn);
}

static void on_data(struct kt_io *io)
{
    struct kt_conn *conn = (struct kt_conn *)io;

    if (conn->lingering || conn->close_after) {
        io->start = io->end = 0;
        kt_io_read(io, true);
    } else if (conn->exchange) {
        kt_exchange_on_client_data(conn->exchange);
    } else {
        if (conn->scan.pos == 0) {
            conn->deadline_ms = kt_loop_now(conn->loop) + conn->loop->config->head_timeout_ms;
        }
        process(conn);
    }
}

static void on_end(struct kt_io *io, int why)
{
    struct kt_conn *conn = (struct kt_conn *)io;

    if (conn->exchange) {
        kt_exchange_on_client_end(conn->exchange, why != UV_EOF);
    } else if (conn->io.queued_bytes == 0 || why != UV_EOF || conn->lingering) {
        close_quietly(conn);
    }
}

static void on_drained(struct kt_io *io)
{
    struct kt_conn *conn = (struct kt_conn *)io;

    if (conn->io.broken) {
        if (conn->exchange) {
            kt_exchange_on_client_end(conn->exchange, true);
        } else {
            close_quietly(conn);
        }
    } else if (conn->exchange) {
        kt_exchange_on_client_drained(conn->exchange);
    } else if (conn->lingering) {
        return;
    } else if (conn->close_after) {
        close_quietly(conn);
    } else {
        process(conn);
    }
}

/* May be closed for another's sake: it has no request and everything it was told was sent, or it is
 * kept only for its client to read a last answer. */
static bool is_idle(const struct kt_conn *conn, const struct kt_conn *but)
{
    return conn != but && !conn->exchange && !conn->io.closing &&
           (conn->lingering || (!conn->close_after && conn->io.queued_bytes == 0));
}

/* Closes connections without a request, those first whose time ends first: silent ones before those
 * that were of use. A few at a time, so that a flood of new ones does not cost a walk each. */
size_t kt_conn_close_idlest(struct kt_loop *loop, const struct kt_conn *but)
{
    int64_t first_ms = INT64_MAX, last_ms = INT64_MIN;
    size_t closed = 0;

    for (struct kt_conn *conn = loop->conns; conn; conn = conn->next) {
        if (is_idle(conn, but)) {
            first_ms = conn->deadline_ms < first_ms ? conn->deadline_ms : first_ms;
            last_ms = conn->deadline_ms > last_ms ? conn->deadline_ms : last_ms;
        }
    }
    for (struct kt_conn *conn = loop->conns; conn && closed < CLOSED_AT_ONCE; conn = conn->next) {
        /* What waits in the socket is a request that this turn of the loop has not come to. */
        if (is_idle(conn, but) && conn->deadline_ms <= first_ms + (last_ms - first_ms) / 32 &&
            (conn->lingering || !kt_io_has_input(&conn->io))) {
            close_quietly(conn);
            KT_COUNT(loop, evicted);
            closed++;
        }
    }
    return closed;
}

/* One that is closing is gone when this turn of the loop ends. */
static bool is_one_closing(const struct kt_loop *loop)
{
    const struct kt_conn *conn = loop->conns;

    while (conn && !conn->io.closing) {
        conn = conn->next;
    }
    return conn != NULL;
}

static bool make_room(struct kt_loop *loop, const struct kt_conn *newcomer)
{
    const struct kt_loop_shared *shared = loop->shared;

    if (atomic_load_explicit(&shared->connections, memory_order_relaxed) <=
        shared->connections_max) {
        return true; /* somebody has gone since it was counted */
    }
    if (loop->room_made == 0) {
        loop->room_made = kt_conn_close_idlest(loop, newcomer);
    }
    if (loop->room_made == 0) {
        return is_one_closing(loop);
    }
    loop->room_made--;
    return true;
}

static const struct kt_io_events events = {
    .on_data = on_data,
    .on_end = on_end,
    .on_drained = on_drained,
    .on_closed = on_closed,
};

void kt_conn_open(struct kt_loop *loop, const struct kt_loop_inbox *client)
{
    struct kt_conn *conn = kt_calloc(1, sizeof(*conn));
    kt_socket socket = client->socket;
    struct kt_error err = KT_ERROR_INIT;

    if (!conn || kt_io_init(&conn->io, &loop->uv, &loop->pool, &events) != 0) {
        kt_free(conn);
        kt_net_close(&socket);
        atomic_fetch_sub_explicit(&loop->shared->connections, 1, memory_order_relaxed);
        return;
    }
    conn->loop = loop;
    link_conn(loop, conn);
    KT_COUNT(loop, connections);
    KT_COUNT(loop, open_now);
    kt_str_copy(conn->host, sizeof(conn->host), kt_str(client->host));
    conn->port = client->port;
    conn->deadline_ms = kt_loop_now(loop) + loop->config->head_timeout_ms;
    if (uv_tcp_open(&conn->io.tcp, (uv_os_sock_t)client->socket) != 0) {
        kt_net_close(&socket);
        close_quietly(conn);
        return;
    }
    if (client->beyond && !make_room(loop, conn)) {
        KT_COUNT(loop, refused);
        (void)kt_fail(&err, KT_BUSY, "too many connections ([server] max_connections)");
        kt_exchange_begin_refused(conn, &err);
        return;
    }
    kt_io_read(&conn->io, true);
}

void kt_conn_tick(struct kt_conn *conn, int64_t now_ms)
{
    if (conn->io.closing) {
        return;
    }
    if (conn->exchange) {
        kt_exchange_tick(conn->exchange, now_ms);
    } else if (now_ms >= conn->deadline_ms) {
        kt_io_close(&conn->io, conn->io.queued_bytes > 0);
    }
}

void kt_conn_drain(struct kt_conn *conn, int64_t now_ms)
{
    /* A request may just be on its way: it is answered, and then the connection closes. */
    if (!conn->exchange && !conn->close_after && kt_io_len(&conn->io) == 0 &&
        conn->deadline_ms > now_ms + DRAIN_GRACE_MS) {
        conn->deadline_ms = now_ms + DRAIN_GRACE_MS;
    }
}

/* SPDX-License-Identifier: MIT */
/* server_shed.c - who makes way when every worker is taken and somebody waits for one.
 *
 * A connection holds a worker, so whoever opens many and says little could keep everybody else out.
 * While somebody waits, these go, so that a request reaches a worker within first_byte_ms:
 * - who has not brought a whole head within a third of that time (in the library's queue or with a
 *   worker; one in the queue whose head is there just waits for its turn),
 * - who has been idle for as long between two requests, the longest idle first,
 * - who sends a body or takes an answer more slowly than 16 KB a second; the more wait, the sooner
 *   that is judged, and what came while the connection waited itself counts,
 * - after its next answer, who was accepted half a second ago; it is told `close`,
 * - who lingers after its last answer (server_socket.c).
 * And at no time may imports and streams, which last as long as they like, have more than half of
 * the workers.
 *
 * kt_http_shed runs on the watch, under server->lock; the rest on the workers.
 */
#include "http/server_impl.h"

#include "base/clock.h"

#define SLOWEST_BYTES_PER_MS 16
#define STARVED_MS 2000   /* so long after a body found no memory, slow ones are looked for */
#define WINDOW_MS_MIN 250 /* a peer far away needs so long for a round trip or two */

static int64_t patience_ms(const struct kt_http_server *server)
{
    return server->options.first_byte_ms / KT_HTTP_PRESSED_PART;
}

static struct kt_http_worker *longest_idle(struct kt_http_server *server, int64_t shed_ms)
{
    struct kt_http_worker *found = NULL;
    int64_t first_ms = shed_ms;

    for (struct kt_http_worker *worker = server->workers; worker; worker = worker->next) {
        int64_t deadline_ms = atomic_load_explicit(&worker->deadline_mono_ms, memory_order_relaxed);

        if (atomic_load_explicit(&worker->state, memory_order_acquire) == KT_CONN_IDLE &&
            worker->sock != KT_NO_SOCKET && !worker->shed && deadline_ms < first_ms) {
            first_ms = deadline_ms;
            found = worker;
        }
    }
    return found;
}

/* A connection that is used every now and then is spared: its next request may be on its way. */
static void shed_idle(struct kt_http_server *server, size_t waiting, int64_t now_ms)
{
    int64_t shed_ms = now_ms + server->options.idle_timeout_ms - patience_ms(server);

    for (size_t i = 0; i < waiting; i++) {
        struct kt_http_worker *worker = longest_idle(server, shed_ms);

        if (!worker) {
            return;
        }
        worker->shed = true;
        kt_http_socket_shut_read(worker->sock);
    }
}

static void shed_if_slow(struct kt_http_worker *worker, int64_t now_ms, int64_t window_ms)
{
    int state = atomic_load_explicit(&worker->state, memory_order_acquire);
    int64_t moved;

    if ((state != KT_CONN_READING && state != KT_CONN_WRITING) || worker->shed) {
        worker->seen_ms = 0;
        return;
    }
    if (worker->seen_ms != 0 && now_ms - worker->seen_ms < window_ms) {
        return;
    }
    moved = kt_http_socket_moved(worker->sock);
    if (moved < 0) {
        return; /* the system does not tell: its deadline ends it */
    }
    if (worker->seen_ms != 0 &&
        moved - worker->seen_bytes < (now_ms - worker->seen_ms) * SLOWEST_BYTES_PER_MS) {
        worker->shed = true;
        atomic_store_explicit(&worker->slow, true, memory_order_relaxed);
        atomic_store_explicit(&worker->cut, true, memory_order_relaxed);
        if (state == KT_CONN_READING) {
            kt_http_socket_shut_read(worker->sock);
        } else {
            kt_http_socket_shut_both(worker->sock);
        }
    }
    worker->seen_ms = now_ms;
    worker->seen_bytes = moved;
}

void kt_http_shed(struct kt_http_server *server, size_t waiting, int64_t now_ms)
{
    int64_t starved_ms = atomic_load_explicit(&server->starved_ms, memory_order_relaxed);
    bool hurry;
    int64_t window_ms = patience_ms(server) / (1 + (int64_t)waiting / server->options.num_threads);

    window_ms = window_ms < WINDOW_MS_MIN ? WINDOW_MS_MIN : window_ms;
    atomic_store_explicit(&server->pressed, waiting > 0, memory_order_relaxed);
    if (waiting > 0) {
        shed_idle(server, waiting, now_ms);
    }
    hurry = waiting > 0 || (starved_ms > 0 && now_ms - starved_ms < STARVED_MS);
    for (struct kt_http_worker *worker = server->workers; worker; worker = worker->next) {
        if (hurry) {
            shed_if_slow(worker, now_ms, window_ms);
        } else {
            worker->seen_ms = 0;
        }
    }
}

bool kt_http_is_hopeless(const struct kt_http_worker *worker)
{
    int64_t age_ms, moved;

    if (!atomic_load_explicit(&worker->server->pressed, memory_order_relaxed) ||
        worker->bytes_before > 0) {
        return false;
    }
    age_ms = kt_now_mono_ms() - worker->accepted_ms;
    moved = kt_http_socket_moved(worker->sock);
    if (age_ms < patience_ms(worker->server) || moved < 0 ||
        moved >= age_ms * SLOWEST_BYTES_PER_MS) {
        return false;
    }
    /* What is there already is read. */
    return worker->chunked ? worker->ahead_len == 0 && kt_http_socket_available(worker->sock) == 0
                           : moved < worker->bytes_here;
}

bool kt_http_long_begin(struct kt_http_worker *worker)
{
    struct kt_http_server *server = worker->server;
    int most = server->options.num_threads > 1 ? server->options.num_threads / 2 : 1;

    if (worker->is_long) {
        return true;
    }
    if (atomic_fetch_add(&server->long_running, 1) >= most) {
        atomic_fetch_sub(&server->long_running, 1);
        return false;
    }
    worker->is_long = true;
    return true;
}

void kt_http_long_end(struct kt_http_worker *worker)
{
    if (worker->is_long) {
        worker->is_long = false;
        atomic_fetch_sub(&worker->server->long_running, 1);
    }
}

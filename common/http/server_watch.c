/* SPDX-License-Identifier: MIT */
/* server_watch.c - the thread that ends waits which have lasted too long.
 *
 * It looks at every worker some ten times a second: two atomic loads each. Shutting a socket makes
 * civetweb's read or write in the worker return at once; the worker itself closes it. The lock is
 * held from the look to the shut, and a worker gives its socket up under the same lock, so the
 * number can't belong to somebody else by then.
 */
#include "http/server_impl.h"

#include "base/clock.h"

#define LOOK_MS_MIN 10
#define LOOK_MS_MAX 200
#define LOOKS_PER_FIRST_BYTE 20
#define WAKE_EVERY_MS 5
#define STRANGERS_EVERY_MS 1000

void kt_http_state(struct kt_http_worker *worker, enum kt_http_conn_state state,
                   int64_t deadline_mono_ms)
{
    /* Deadline first: whoever sees the new state (acquire) sees a deadline at least as new. */
    atomic_store_explicit(&worker->deadline_mono_ms, deadline_mono_ms, memory_order_relaxed);
    atomic_store_explicit(&worker->state, (int)state, memory_order_release);
}

static void look_at(struct kt_http_worker *worker, int64_t now_ms, bool stopping, bool closing)
{
    int state = atomic_load_explicit(&worker->state, memory_order_acquire);
    int64_t deadline_ms = atomic_load_explicit(&worker->deadline_mono_ms, memory_order_relaxed);
    bool late = now_ms > deadline_ms;

    switch (state) {
    case KT_CONN_IDLE:
        if (late || stopping) {
            kt_http_socket_shut_read(worker->sock);
        }
        break;
    case KT_CONN_READING:
        if (late || closing) {
            atomic_store_explicit(&worker->cut, true, memory_order_relaxed);
            kt_http_socket_shut_read(worker->sock);
        }
        break;
    case KT_CONN_WRITING:
        if (late || closing) {
            atomic_store_explicit(&worker->cut, true, memory_order_relaxed);
            kt_http_socket_shut_both(worker->sock);
        }
        break;
    default:
        break;
    }
}

/* What the last look saw. */
struct census {
    size_t free, fresh; /* workers without a connection; with one that has brought nothing yet */
};

static struct census look_at_all(struct kt_http_server *server)
{
    int64_t now_ms = kt_now_mono_ms();
    bool stopping = atomic_load_explicit(&server->stopping, memory_order_relaxed);
    struct census census = {0, 0};

    for (struct kt_http_worker *worker = server->workers; worker; worker = worker->next) {
        int state = atomic_load_explicit(&worker->state, memory_order_relaxed);

        census.free += state == KT_CONN_NONE;
        census.fresh += state == KT_CONN_NEW;
        look_at(worker, now_ms, stopping, server->closing);
    }
    return census;
}

void kt_http_wake_idle(struct kt_http_server *server)
{
    kt_mutex_lock(&server->lock);
    (void)look_at_all(server);
    kt_mutex_unlock(&server->lock);
}

/* Connections that have not brought a request yet: their sockets are known to nobody. Who has just
 * come while we stop gets a 503 rather than an end without a word, so those are shut only when
 * civetweb ends. Returns how many wait for a worker. */
static size_t look_at_strangers(struct kt_http_server *server, struct census census,
                                int64_t *next_ms)
{
    int64_t now_ms = kt_now_mono_ms(), allowed_ms = server->options.first_byte_ms;
    struct kt_http_look look = {.owned = server->owned,
                                .seen = server->strangers,
                                .local_port = server->port,
                                .now_ms = now_ms,
                                .until_ms = now_ms};
    size_t count;

    if (server->port == 0 || (!server->closing && census.free > 0 && now_ms < *next_ms)) {
        return 0;
    }
    *next_ms = now_ms + STRANGERS_EVERY_MS;
    if (!server->closing) {
        look.scratch = server->scratch;
        look.until_ms -= census.free == 0 ? allowed_ms / KT_HTTP_PRESSED_PART : allowed_ms;
    }
    count = kt_http_socket_shut_strangers(&look);
    return census.free == 0 && count > census.fresh ? count - census.fresh : 0;
}

void kt_http_watch_run(void *arg)
{
    struct kt_http_server *server = arg;
    int64_t strangers_ms = 0, every_ms = server->options.first_byte_ms / LOOKS_PER_FIRST_BYTE;

    every_ms = every_ms < LOOK_MS_MIN ? LOOK_MS_MIN : every_ms;
    every_ms = every_ms > LOOK_MS_MAX ? LOOK_MS_MAX : every_ms;
    kt_mutex_lock(&server->lock);
    while (!server->watch_ends) {
        bool closing = server->closing;
        struct census census = look_at_all(server);

        kt_http_shed(server, look_at_strangers(server, census, &strangers_ms), kt_now_mono_ms());
        if (closing) {
            /* civetweb's accept loop sleeps up to 2 s; a connection wakes it. */
            kt_mutex_unlock(&server->lock);
            kt_http_socket_poke(server->listen, server->port);
            kt_mutex_lock(&server->lock);
        }
        if (!server->watch_ends) {
            (void)kt_cond_wait(&server->wake, &server->lock,
                               kt_now_mono_ms() + (closing ? WAKE_EVERY_MS : every_ms));
        }
    }
    kt_mutex_unlock(&server->lock);
}

/* SPDX-License-Identifier: MIT */
/* front.c - accept and hand over. */
#include <uv.h>

#include "gateway/front.h"

#include "base/log.h"
#include "base/mem.h"

#define BACKLOG 1024
#define ACCEPT_WAIT_MS 100
#define BEYOND_MAX 64 /* connections beyond the limit that are being made room for, or refused */

struct kt_front {
    kt_socket socket;
    uint16_t port;
    struct kt_thread thread;
    struct kt_loop_shared *shared;
    struct kt_loop *const *loops;
    _Atomic bool stopping;
};

enum kt_status kt_front_open(const char *listen, uint16_t port, struct kt_front **ret_front,
                             struct kt_error *err)
{
    struct kt_front *front = kt_calloc(1, sizeof(*front));
    enum kt_status status;

    if (!front) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for the front");
    }
    status = kt_net_listen(listen, port, BACKLOG, &front->socket, &front->port, err);
    if (status != KT_OK) {
        kt_free(front);
        return status;
    }
    *ret_front = front;
    return KT_OK;
}

uint16_t kt_front_port(const struct kt_front *front)
{
    return front->port;
}

static void hand_over(struct kt_front *front, struct kt_loop_inbox *client, size_t turn)
{
    struct kt_loop_shared *shared = front->shared;
    int64_t open = atomic_fetch_add_explicit(&shared->connections, 1, memory_order_relaxed) + 1;

    client->beyond = open > shared->connections_max;
    if (!kt_loop_give(front->loops[turn % shared->loop_count], client)) {
        kt_net_close(&client->socket);
        atomic_fetch_sub_explicit(&shared->connections, 1, memory_order_relaxed);
    }
}

static void pause_on_busy(struct kt_front *front, const struct kt_error *err)
{
    kt_log(WARN, "front", "accept_failed", "why=\"%s\"", err->message);
    for (int i = 0; i < 10 && !atomic_load(&front->stopping); i++) {
        uv_sleep(10);
    }
}

/* Newcomers beyond the limit wait in the kernel until the loops have made room for those before
 * them, or refused them: taken all at once they would use up the descriptors. */
static bool must_wait(const struct kt_front *front)
{
    return atomic_load_explicit(&front->shared->connections, memory_order_relaxed) >=
           front->shared->connections_max + BEYOND_MAX;
}

static void run(void *arg)
{
    struct kt_front *front = arg;
    size_t turn = 0;

    while (!atomic_load(&front->stopping)) {
        struct kt_loop_inbox client = {.socket = KT_NO_SOCKET};
        struct kt_error err = KT_ERROR_INIT;
        enum kt_status status;

        if (must_wait(front)) {
            uv_sleep(1);
            continue;
        }
        status = kt_net_accept(front->socket, ACCEPT_WAIT_MS, &client.socket, client.host,
                               &client.port, &err);
        if (status == KT_OK) {
            hand_over(front, &client, turn++);
        } else if (status != KT_TIMEOUT) {
            pause_on_busy(front, &err);
        }
    }
}

enum kt_status kt_front_start(struct kt_front *front, struct kt_loop_shared *shared,
                              struct kt_loop *const *loops, struct kt_error *err)
{
    front->shared = shared;
    front->loops = loops;
    return kt_thread_start(&front->thread, "accept", run, front, err);
}

void kt_front_close(struct kt_front **front)
{
    struct kt_front *self = *front;

    if (!self) {
        return;
    }
    atomic_store(&self->stopping, true);
    kt_thread_join(&self->thread);
    kt_net_close(&self->socket);
    kt_free(self);
    *front = NULL;
}

/* SPDX-License-Identifier: MIT */
/* loop.c - an event loop's thread: start, what reaches it from outside, tick, end. */
#include <uv.h>

#include "gateway/loop.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway/conn.h"
#include "gateway/exchange.h"
#include "gateway/own.h"
#include "gateway/upstream.h"

#include <string.h>

#define OUT_BYTES_MAX 131072
#define ARENA_BYTES ((size_t)65536)
/* Before everything is closed: time for who waits to be told. */
#define LAST_WORD_MS 250

int64_t kt_loop_now(struct kt_loop *loop)
{
    return (int64_t)uv_now(&loop->uv);
}

static void set_date(struct kt_loop *loop)
{
    int64_t now_s = kt_now_wall_ms() / 1000;

    if (now_s != loop->date_s) {
        loop->date_s = now_s;
        kt_format_http_date(now_s, loop->date);
    }
}

/* Everything goes: clients that were not done, then the nodes' connections, then the loop's own
 * handles; uv_run returns when the last has closed. */
static void close_all(struct kt_loop *loop)
{
    for (struct kt_conn *conn = loop->conns; conn; conn = conn->next) {
        if (!conn->io.closing) {
            kt_conn_abort(conn);
        }
    }
    kt_upstream_close_idle(loop, true);
    kt_upstream_set_table(loop, NULL);
    uv_close((uv_handle_t *)&loop->tick, NULL);
    uv_close((uv_handle_t *)&loop->waiting.timer, NULL);
    uv_close((uv_handle_t *)&loop->wake, NULL);
    loop->running = false;
}

static void check_drained(struct kt_loop *loop, int64_t now_ms)
{
    if (loop->draining && loop->running && (!loop->conns || now_ms >= loop->drain_deadline_ms)) {
        close_all(loop);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct kt_loop *loop = timer->data;
    int64_t now_ms = kt_loop_now(loop);
    struct kt_conn *conn = loop->conns;

    set_date(loop);
    loop->room_made = 0;
    while (conn) {
        struct kt_conn *next = conn->next;

        kt_conn_tick(conn, now_ms);
        conn = next;
    }
    if (atomic_load_explicit(&loop->shared->connections, memory_order_relaxed) >
        loop->shared->connections_max) {
        (void)kt_conn_close_idlest(loop, NULL); /* nobody comes in before some are gone */
    }
    kt_upstream_tick(loop, now_ms);
    if (loop->draining && now_ms >= loop->drain_deadline_ms - LAST_WORD_MS) {
        kt_waiting_fail_all(loop);
    }
    check_drained(loop, now_ms);
}

static void take_clients(struct kt_loop *loop)
{
    struct kt_loop_inbox clients[16];
    size_t count;

    do {
        kt_mutex_lock(&loop->lock);
        count = loop->inbox_count < 16 ? loop->inbox_count : 16;
        memcpy(clients, loop->inbox, count * sizeof(clients[0]));
        loop->inbox_count -= count;
        memmove(loop->inbox, loop->inbox + count, loop->inbox_count * sizeof(clients[0]));
        kt_mutex_unlock(&loop->lock);
        for (size_t i = 0; i < count; i++) {
            kt_conn_open(loop, &clients[i]);
        }
    } while (count > 0);
}

static void take_answers(struct kt_loop *loop)
{
    struct kt_own_job *job;

    kt_mutex_lock(&loop->lock);
    job = loop->outbox;
    loop->outbox = NULL;
    kt_mutex_unlock(&loop->lock);
    while (job) {
        struct kt_own_job *next = job->next;

        if (job->exchange) {
            kt_answer_own(job->exchange, job);
        }
        kt_own_job_free(&job);
        job = next;
    }
}

static void begin_drain(struct kt_loop *loop, int64_t deadline_ms)
{
    int64_t now_ms = kt_loop_now(loop);

    loop->draining = true;
    loop->drain_deadline_ms = now_ms + (deadline_ms - kt_now_mono_ms());
    for (struct kt_conn *conn = loop->conns; conn; conn = conn->next) {
        kt_conn_drain(conn, now_ms);
    }
    kt_upstream_close_idle(loop, false);
}

static void on_wake(uv_async_t *async)
{
    struct kt_loop *loop = async->data;
    struct kt_gw_table *table;
    int64_t stop_deadline_ms;
    bool stopping;

    if (!loop->running) {
        return;
    }
    table = kt_nodes_take(loop->shared->nodes, loop->index);
    if (table) {
        kt_upstream_set_table(loop, table);
        kt_waiting_on_table(loop);
    }
    take_clients(loop);
    take_answers(loop);
    kt_mutex_lock(&loop->lock);
    stopping = loop->stopping;
    stop_deadline_ms = loop->stop_deadline_ms;
    kt_mutex_unlock(&loop->lock);
    if (stopping && !loop->draining) {
        begin_drain(loop, stop_deadline_ms);
    }
    check_drained(loop, kt_loop_now(loop));
}

static void run(void *arg)
{
    struct kt_loop *loop = arg;

    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

static void discard(struct kt_loop **loop)
{
    struct kt_loop *self = *loop;

    KT_ASSERT(!self->conns && !self->upstreams && !self->left_peers);
    take_answers(self);
    for (size_t i = 0; i < self->inbox_count; i++) {
        kt_net_close(&self->inbox[i].socket);
    }
    kt_exchange_free_all(self);
    kt_io_pool_done(&self->pool);
    kt_buf_done(&self->out);
    kt_buf_done(&self->out_body);
    kt_arena_free(&self->arena);
    kt_free(self->inbox);
    kt_mutex_done(&self->lock);
    kt_free(self);
    *loop = NULL;
}

static struct kt_loop *loop_new(struct kt_loop_shared *shared, size_t index)
{
    struct kt_loop *loop = kt_calloc(1, sizeof(*loop));
    const struct kt_gateway_config *config = shared->config;
    uint32_t share;

    if (!loop) {
        return NULL;
    }
    kt_mutex_init(&loop->lock, "loop inbox", KT_RANK_GATEWAY);
    loop->shared = shared;
    loop->config = config;
    loop->index = index;
    kt_buf_init(&loop->out, OUT_BYTES_MAX);
    kt_buf_init(&loop->out_body, OUT_BYTES_MAX);
    loop->balancer = (struct kt_balancer){
        .policy = config->policy, .random = kt_random_u64() | 1, .turn = index};
    kt_budget_init(&loop->budget, config->retry_budget, config->retry_percent);
    share = (uint32_t)config->pool_per_node / (uint32_t)shared->loop_count;
    loop->upstream_cap = share > 0 ? share : 1;
    loop->kept_bytes_max = config->buffer_bytes / (int64_t)shared->loop_count;
    loop->answer_bytes_max = loop->kept_bytes_max / 4;
    loop->arena = kt_arena_new(ARENA_BYTES, 4 * ARENA_BYTES);
    loop->inbox = kt_calloc(KT_INBOX_MAX, sizeof(loop->inbox[0]));
    if (!loop->arena || !loop->inbox) {
        discard(&loop);
    }
    return loop;
}

enum kt_status kt_loop_start(struct kt_loop_shared *shared, size_t index, struct kt_loop **ret_loop,
                             struct kt_error *err)
{
    struct kt_loop *loop = loop_new(shared, index);
    enum kt_status status;
    char name[16];

    if (!loop) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for a loop");
    }
    if (uv_loop_init(&loop->uv) != 0) {
        discard(&loop);
        return kt_fail(err, KT_IO, "no event loop (descriptors?)");
    }
    uv_async_init(&loop->uv, &loop->wake, on_wake);
    uv_timer_init(&loop->uv, &loop->tick);
    kt_waiting_init(loop);
    loop->wake.data = loop->tick.data = loop;
    uv_timer_start(&loop->tick, on_tick, KT_TICK_MS, KT_TICK_MS);
    set_date(loop);
    loop->running = true;
    snprintf(name, sizeof(name), "loop-%zu", index);
    status = kt_thread_start(&loop->thread, name, run, loop, err);
    if (status != KT_OK) {
        close_all(loop);
        uv_run(&loop->uv, UV_RUN_DEFAULT);
        uv_loop_close(&loop->uv);
        discard(&loop);
        return status;
    }
    *ret_loop = loop;
    return KT_OK;
}

bool kt_loop_give(struct kt_loop *loop, const struct kt_loop_inbox *client)
{
    bool given = false;

    kt_mutex_lock(&loop->lock);
    if (loop->inbox_count < KT_INBOX_MAX && !loop->stopping) {
        loop->inbox[loop->inbox_count++] = *client;
        given = true;
    }
    kt_mutex_unlock(&loop->lock);
    if (given) {
        uv_async_send(&loop->wake);
    }
    return given;
}

void kt_loop_deliver(struct kt_loop *loop, struct kt_own_job *job)
{
    kt_mutex_lock(&loop->lock);
    job->next = loop->outbox;
    loop->outbox = job;
    kt_mutex_unlock(&loop->lock);
    uv_async_send(&loop->wake);
}

void kt_loop_wake(struct kt_loop *loop)
{
    uv_async_send(&loop->wake);
}

void kt_loop_drain(struct kt_loop *loop, int64_t deadline_mono_ms)
{
    kt_mutex_lock(&loop->lock);
    loop->stopping = true;
    loop->stop_deadline_ms = deadline_mono_ms;
    kt_mutex_unlock(&loop->lock);
    uv_async_send(&loop->wake);
}

void kt_loop_join(struct kt_loop *loop)
{
    kt_thread_join(&loop->thread);
}

void kt_loop_free(struct kt_loop **loop)
{
    struct kt_loop *self = *loop;

    if (!self) {
        return;
    }
    KT_ASSERT(!self->thread.running);
    KT_ASSERT(uv_loop_close(&self->uv) == 0);
    discard(loop);
}

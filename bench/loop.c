/* SPDX-License-Identifier: MIT */
/* loop.c - one loop: which request is next, and when everything is over. */
#include <uv.h>

#include "bench/load_impl.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"

#define TICK_MS 20

/* When request k of the plan is due. */
static int64_t due_us(const struct kt_load *load, uint64_t k)
{
    return load->start_us + (int64_t)((double)k * 1e6 / load->options->rate);
}

static bool take_by_plan(struct kt_conn *conn, int64_t now_us)
{
    struct kt_load_loop *loop = conn->loop;
    struct kt_load *load = loop->load;
    uint64_t requests = load->options->requests;
    /* What the warm-up could not send in its time must not be paid by what is counted. */
    while (loop->next_due < load->warmup_due && now_us >= load->measure_us) {
        loop->next_due += load->loop_count;
    }
    uint64_t k = loop->next_due;
    int64_t due = due_us(load, k);
    if ((requests && k >= load->warmup_due + requests) || due >= load->end_us) {
        loop->exhausted = true;
        return false;
    }
    if (due > now_us) {
        return false;
    }
    loop->next_due += load->loop_count;
    conn->measured = k >= load->warmup_due;
    conn->request = (uint32_t)(k % load->plan->count);
    conn->from_us = due;
    return true;
}

static bool take_next(struct kt_conn *conn, int64_t now_us)
{
    struct kt_load *load = conn->loop->load;
    uint64_t number;
    if (now_us < load->measure_us) {
        number = atomic_fetch_add_explicit(&load->next_warm, 1, memory_order_relaxed);
        conn->measured = false;
    } else {
        number = atomic_fetch_add_explicit(&load->next_number, 1, memory_order_relaxed);
        conn->measured = true;
        if ((load->options->requests && number >= load->options->requests) ||
            now_us >= load->end_us) {
            conn->loop->exhausted = true;
            return false;
        }
    }
    conn->request = (uint32_t)(number % load->plan->count);
    conn->from_us = now_us;
    return true;
}

bool kt_loop_take(struct kt_conn *conn, int64_t now_us)
{
    struct kt_load_loop *loop = conn->loop;
    if (loop->exhausted || loop->closing) {
        return false;
    }
    return loop->load->options->rate > 0 ? take_by_plan(conn, now_us) : take_next(conn, now_us);
}

void kt_loop_ready(struct kt_conn *conn, int64_t now_us)
{
    struct kt_load_loop *loop = conn->loop;
    conn->idle_at = loop->idle_count;
    loop->idle[loop->idle_count++] = conn;
    if (kt_loop_take(conn, now_us)) {
        kt_loop_not_ready(conn);
        kt_conn_send(conn, now_us);
    }
}

void kt_loop_not_ready(struct kt_conn *conn)
{
    struct kt_load_loop *loop = conn->loop;
    struct kt_conn *last = loop->idle[--loop->idle_count];
    loop->idle[conn->idle_at] = last;
    last->idle_at = conn->idle_at;
}

/* Requests that have become due go to connections that have nothing to do. */
static void send_due(struct kt_load_loop *loop)
{
    int64_t now_us = kt_now_mono_us();
    while (loop->idle_count > 0) {
        struct kt_conn *conn = loop->idle[loop->idle_count - 1];
        if (!kt_loop_take(conn, now_us)) {
            break;
        }
        kt_loop_not_ready(conn);
        kt_conn_send(conn, now_us);
    }
}

/* What the plan had for the time that is over and never went out. */
static void count_unsent(struct kt_load_loop *loop, int64_t now_us)
{
    const struct kt_load *load = loop->load;
    uint64_t requests = load->options->requests;
    if (load->options->rate <= 0) {
        return;
    }
    int64_t until = now_us < load->end_us ? now_us : load->end_us;
    for (uint64_t k = loop->next_due; due_us(load, k) < until; k += load->loop_count) {
        if (requests && k >= load->warmup_due + requests) {
            break;
        }
        loop->result.unsent += k >= load->warmup_due;
    }
}

static void close_all(struct kt_load_loop *loop)
{
    count_unsent(loop, kt_now_mono_us());
    loop->closing = true;
    for (size_t i = 0; i < loop->conn_count; i++) {
        struct kt_conn *conn = &loop->conns[i];
        loop->result.abandoned += conn->state == KT_CONN_BUSY && conn->measured;
        kt_conn_close(conn);
    }
}

static void close_handles(struct kt_load_loop *loop)
{
    if (loop->gone == loop->conn_count && !uv_is_closing((uv_handle_t *)&loop->tick)) {
        uv_close((uv_handle_t *)&loop->tick, NULL);
        uv_close((uv_handle_t *)&loop->wake, NULL);
    }
}

void kt_loop_check_end(struct kt_load_loop *loop)
{
    if (loop->exhausted && !loop->closing && loop->busy == 0) {
        close_all(loop);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct kt_load_loop *loop = timer->data;
    int64_t now_us = kt_now_mono_us();
    if (!loop->closing && atomic_load_explicit(&loop->load->stopping, memory_order_relaxed)) {
        close_all(loop);
    }
    if (!loop->closing) {
        /* Time is over for connections that are not there too. */
        loop->exhausted =
            loop->exhausted || (now_us >= loop->load->end_us && loop->idle_count == 0);
        for (size_t i = 0; i < loop->conn_count && !loop->closing; i++) {
            kt_conn_tick(&loop->conns[i], now_us);
        }
        send_due(loop);
        kt_loop_check_end(loop);
    }
    if (loop->closing) {
        close_handles(loop);
    }
}

static void on_wake(uv_async_t *wake)
{
    send_due(wake->data);
}

void kt_loop_main(void *arg)
{
    struct kt_load_loop *loop = arg;
    int64_t now_us = kt_now_mono_us();
    for (size_t i = 0; i < loop->conn_count; i++) {
        kt_conn_start(&loop->conns[i], now_us);
    }
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    atomic_fetch_sub_explicit(&loop->load->running, 1, memory_order_release);
}

static bool allocate(struct kt_load_loop *loop)
{
    loop->conns = kt_calloc(loop->conn_count, sizeof(*loop->conns));
    loop->idle = kt_calloc(loop->conn_count, sizeof(struct kt_conn *));
    loop->seen = kt_calloc(loop->load->plan->count, sizeof(*loop->seen));
    loop->second_hist = kt_calloc(1, sizeof(struct kt_hist));
    loop->result.latency = kt_calloc(1, sizeof(struct kt_hist));
    return loop->conns && loop->idle && loop->seen && loop->second_hist && loop->result.latency;
}

enum kt_status kt_loop_init(struct kt_load_loop *loop, struct kt_load *load, size_t number,
                            struct kt_error *err)
{
    size_t conns = load->options->concurrent, loops = load->loop_count;
    loop->load = load;
    loop->number = number;
    loop->next_due = number;
    loop->conn_count = conns / loops + (number < conns % loops);
    kt_mutex_init(&loop->mutex, "load loop", KT_RANK_STATS);
    if (!allocate(loop)) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for %zu connections", loop->conn_count);
    }
    for (size_t i = 0; i < loop->conn_count; i++) {
        loop->conns[i].loop = loop;
        loop->conns[i].target = (i * loops + number) % load->options->target_count;
        kt_buf_init(&loop->conns[i].keyed, 0);
    }
    int code = uv_loop_init(&loop->uv);
    if (code < 0) {
        return kt_fail(err, KT_IO, "event loop: %s", uv_strerror(code));
    }
    KT_ASSERT(uv_timer_init(&loop->uv, &loop->tick) == 0);
    loop->tick.data = loop->wake.data = loop;
    KT_ASSERT(uv_timer_start(&loop->tick, on_tick, TICK_MS, TICK_MS) == 0);
    code = uv_async_init(&loop->uv, &loop->wake, on_wake);
    if (code < 0) {
        return kt_fail(err, KT_IO, "event loop: %s", uv_strerror(code));
    }
    loop->wake.data = loop;
    return KT_OK;
}

void kt_loop_done(struct kt_load_loop *loop)
{
    if (loop->tick.data) {
        /* Never run, or run to its end: then nothing is open any more. */
        if (!uv_is_closing((uv_handle_t *)&loop->tick)) {
            uv_close((uv_handle_t *)&loop->tick, NULL);
            if (loop->wake.data && loop->wake.type == UV_ASYNC) {
                uv_close((uv_handle_t *)&loop->wake, NULL);
            }
            uv_run(&loop->uv, UV_RUN_DEFAULT);
        }
        KT_ASSERT(uv_loop_close(&loop->uv) == 0);
    }
    for (size_t i = 0; loop->conns && i < loop->conn_count; i++) {
        kt_free(loop->conns[i].in);
        kt_buf_done(&loop->conns[i].keyed);
    }
    for (size_t i = 0; loop->seen && i < loop->load->plan->count; i++) {
        kt_free(loop->seen[i].body);
    }
    kt_free(loop->conns);
    kt_free(loop->idle);
    kt_free(loop->seen);
    kt_free(loop->second_hist);
    kt_load_result_done(&loop->result);
    kt_mutex_done(&loop->mutex);
}

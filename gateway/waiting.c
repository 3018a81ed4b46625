/* SPDX-License-Identifier: MIT */
/* waiting.c - a list, a gate and a timer. */
#include <uv.h>

#include "gateway/exchange.h"

#include "base/hash.h"
#include "base/log.h"

#include <string.h>

/* How often the list is looked at. */
#define LOOK_MS 10
/* A node that does not lead says so at once. */
#define SCOUT_MS 25
/* Between two scouts; doubled from the one to the other. */
#define PAUSE_MIN_MS 10
#define PAUSE_MAX_MS 50
/* A leader that was not well is looked at so often, while somebody waits for it. */
#define PROBE_MS 100
/* What a leader refuses in its first moments it refuses because they are. */
#define YOUNG_MS 1500
/* An election may last a ttl, and some seconds more when it goes wrong once. */
#define BEYOND_TTL_MS 5000

static int64_t with_jitter(struct kt_loop *loop, int64_t ms)
{
    return ms / 2 + (int64_t)(kt_prng_next(&loop->balancer.random) % (uint64_t)(ms + 1));
}

static int64_t most_ms(const struct kt_loop *loop)
{
    const struct kt_gw_table *table = loop->table;
    int64_t ttl_s = loop->config->etcd_ttl_s;

    if (loop->config->failover_wait_ms > 0) {
        return loop->config->failover_wait_ms;
    }
    if (table && table->view->config.present && table->view->config.valid &&
        table->view->config.value.ttl_s > 0) {
        ttl_s = table->view->config.value.ttl_s;
    }
    return ttl_s * 1000 + BEYOND_TTL_MS;
}

int64_t kt_waiting_left_ms(const struct kt_exchange *exchange)
{
    int64_t now_ms = kt_loop_now(exchange->loop);
    int64_t since_ms = exchange->waits_since_ms ? exchange->waits_since_ms : now_ms;
    int64_t left_ms = since_ms + most_ms(exchange->loop) - now_ms;

    if (exchange->deadline_ms > 0 && exchange->deadline_ms - now_ms < left_ms) {
        left_ms = exchange->deadline_ms - now_ms;
    }
    return left_ms;
}

/* --- the list --- */

static void link_in(struct kt_waiting *waiting, struct kt_exchange *exchange)
{
    struct kt_exchange *before = waiting->last;

    /* Who was under way when the leader died came before those that found it dead. */
    while (before && before->started_ms > exchange->started_ms) {
        before = before->prev_parked;
    }
    exchange->prev_parked = before;
    exchange->next_parked = before ? before->next_parked : waiting->first;
    *(before ? &before->next_parked : &waiting->first) = exchange;
    *(exchange->next_parked ? &exchange->next_parked->prev_parked : &waiting->last) = exchange;
    exchange->parked = true;
    waiting->count++;
}

static void unlink_it(struct kt_waiting *waiting, struct kt_exchange *exchange)
{
    *(exchange->prev_parked ? &exchange->prev_parked->next_parked : &waiting->first) =
        exchange->next_parked;
    *(exchange->next_parked ? &exchange->next_parked->prev_parked : &waiting->last) =
        exchange->prev_parked;
    exchange->next_parked = exchange->prev_parked = NULL;
    exchange->parked = false;
    waiting->count--;
}

/* --- moving on --- */

static void expire(struct kt_loop *loop)
{
    struct kt_exchange *exchange = loop->waiting.first;

    while (exchange) {
        struct kt_exchange *next = exchange->next_parked;

        if (kt_waiting_left_ms(exchange) <= 0) {
            kt_leader_give_up(exchange);
        }
        exchange = next;
    }
}

static void send_one(struct kt_waiting *waiting, struct kt_exchange *exchange)
{
    unlink_it(waiting, exchange);
    atomic_fetch_sub_explicit(&exchange->loop->counters.waiting, 1, memory_order_relaxed);
    exchange->progress_ms = kt_loop_now(exchange->loop);
    kt_dispatch(exchange);
}

/* One whose body can be sent again, if there is one: what a scout has sent may be refused. */
static struct kt_exchange *choose_scout(const struct kt_waiting *waiting)
{
    struct kt_exchange *exchange = waiting->first;

    while (exchange && exchange->mode == KT_BODY_STREAM) {
        exchange = exchange->next_parked;
    }
    return exchange ? exchange : waiting->first;
}

/* Its next probe may be half a second away. */
static void probe_leader(struct kt_loop *loop)
{
    struct kt_waiting *waiting = &loop->waiting;
    struct kt_peer *leader = kt_leader_peer(loop);
    int64_t now_ms = kt_loop_now(loop);

    if (leader && now_ms >= waiting->probe_ms) {
        waiting->probe_ms = now_ms + PROBE_MS;
        atomic_store(&leader->node->probe_now, true);
        kt_control_hurry(loop->shared->control);
    }
}

static void send_scout(struct kt_loop *loop)
{
    struct kt_waiting *waiting = &loop->waiting;

    if (waiting->count == 0 || waiting->scout || kt_loop_now(loop) < waiting->next_ms) {
        return;
    }
    if (!kt_leader_up(loop)) {
        probe_leader(loop);
        return;
    }
    waiting->scout = choose_scout(waiting);
    waiting->scout->not_before_ms = 0;
    send_one(waiting, waiting->scout);
}

static void send_all(struct kt_loop *loop)
{
    struct kt_waiting *waiting = &loop->waiting;
    struct kt_exchange *exchange = waiting->first;

    while (exchange && !waiting->closed) {
        struct kt_exchange *next = exchange->next_parked;

        if (exchange->not_before_ms <= kt_loop_now(loop)) {
            send_one(waiting, exchange);
        }
        exchange = next;
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct kt_loop *loop = timer->data;
    struct kt_waiting *waiting = &loop->waiting;
    struct kt_exchange *scout = waiting->scout;

    expire(loop);
    if (scout && scout == waiting->scout && scout->sent &&
        kt_loop_now(loop) - scout->attempt_ms >= SCOUT_MS) {
        kt_waiting_taken(loop);
    }
    if (waiting->closed) {
        send_scout(loop);
    } else {
        send_all(loop);
    }
    if (waiting->count == 0 && !waiting->scout) {
        uv_timer_stop(timer);
    }
}

/* Never at once: who calls is in the middle of another exchange. */
static void look_in(struct kt_loop *loop, int64_t ms)
{
    if (loop->running) {
        uv_timer_start(&loop->waiting.timer, on_timer, (uint64_t)ms, LOOK_MS);
    }
}

void kt_waiting_init(struct kt_loop *loop)
{
    size_t share = (size_t)loop->shared->connections_max / 2 / loop->shared->loop_count;

    loop->waiting.max = share > 0 ? share : 1;
    uv_timer_init(&loop->uv, &loop->waiting.timer);
    loop->waiting.timer.data = loop;
}

/* --- the gate --- */

bool kt_waiting_may_go(struct kt_exchange *exchange)
{
    struct kt_loop *loop = exchange->loop;
    struct kt_waiting *waiting = &loop->waiting;

    if (!waiting->closed || waiting->scout == exchange) {
        return true;
    }
    if (!waiting->scout && waiting->count == 0 && kt_loop_now(loop) >= waiting->next_ms) {
        waiting->scout = exchange;
        look_in(loop, LOOK_MS);
        return true;
    }
    return false;
}

static void tell(struct kt_loop *loop, const struct kt_exchange *exchange)
{
    struct kt_waiting *waiting = &loop->waiting;
    struct kt_error err = KT_ERROR_INIT;

    if (waiting->told) {
        return;
    }
    waiting->told = true;
    err = exchange->last_error;
    if (!err.message[0]) {
        kt_leader_explain(loop, &err);
    }
    kt_log(INFO, "proxy", "leader_awaited", "loop=%zu why=\"%s\"", loop->index, err.message);
}

static void close_gate(struct kt_exchange *exchange, bool was_scout)
{
    struct kt_loop *loop = exchange->loop;
    struct kt_waiting *waiting = &loop->waiting;
    int64_t now_ms = kt_loop_now(loop);

    if (!waiting->closed) {
        waiting->closed = true;
        waiting->closed_ms = now_ms;
        waiting->pause_ms = PAUSE_MIN_MS;
        waiting->next_ms = now_ms + with_jitter(loop, PAUSE_MIN_MS);
    } else if (was_scout) {
        waiting->pause_ms =
            waiting->pause_ms < PAUSE_MAX_MS / 2 ? 2 * waiting->pause_ms : PAUSE_MAX_MS;
        waiting->next_ms = now_ms + with_jitter(loop, waiting->pause_ms);
    }
    tell(loop, exchange);
}

void kt_waiting_taken(struct kt_loop *loop)
{
    struct kt_waiting *waiting = &loop->waiting;

    if (!waiting->closed) {
        return;
    }
    waiting->closed = false;
    waiting->scout = NULL;
    if (waiting->told) {
        waiting->told = false;
        kt_log(INFO, "proxy", "leader_found", "loop=%zu waiting=%zu ms=%lld", loop->index,
               waiting->count, (long long)(kt_loop_now(loop) - waiting->closed_ms));
    }
    if (waiting->count > 0) {
        look_in(loop, 0);
    }
}

/* The connection of one that waits holds a buffer: counted once, with the bodies that are kept. */
static bool has_room(struct kt_exchange *exchange)
{
    if (exchange->loop->waiting.count >= exchange->loop->waiting.max) {
        return false;
    }
    if (!exchange->buffer_kept && !kt_request_keep(exchange, KT_IO_BUFFER_BYTES)) {
        return false;
    }
    exchange->buffer_kept = true;
    return true;
}

static void refuse(struct kt_exchange *exchange)
{
    struct kt_error err = KT_ERROR_INIT;

    KT_COUNT(exchange->loop, waits_refused);
    (void)kt_fail(&err, KT_BUSY, "too many requests wait for a leader (%zu on this loop)",
                  exchange->loop->waiting.count);
    kt_exchange_fail(exchange, &err);
}

void kt_waiting_enter(struct kt_exchange *exchange, int64_t delay_ms)
{
    struct kt_loop *loop = exchange->loop;
    struct kt_waiting *waiting = &loop->waiting;
    int64_t now_ms = kt_loop_now(loop);
    bool was_scout = waiting->scout == exchange;

    KT_ASSERT(!exchange->parked && !exchange->peer);
    if (was_scout) {
        waiting->scout = NULL;
    }
    if (delay_ms == 0) {
        close_gate(exchange, was_scout);
    }
    /* The attempt is over: what it may have done stands in maybe_done. */
    exchange->sent = exchange->got_byte = false;
    kt_answer_reset(exchange);
    exchange->again = false;
    exchange->reroutes = 0;
    if (exchange->waits_since_ms && kt_waiting_left_ms(exchange) <= 0) {
        kt_leader_give_up(exchange);
        return;
    }
    if (!has_room(exchange)) {
        refuse(exchange);
        return;
    }
    if (!exchange->waits_since_ms) {
        exchange->waits_since_ms = now_ms;
    }
    /* Those that were refused together do not come back together. */
    exchange->not_before_ms =
        delay_ms > 0 ? now_ms + delay_ms + with_jitter(loop, delay_ms / 4) : 0;
    link_in(waiting, exchange);
    KT_COUNT(loop, waiting);
    if (!uv_is_active((uv_handle_t *)&waiting->timer)) {
        look_in(loop, LOOK_MS);
    }
}

void kt_waiting_leave(struct kt_exchange *exchange)
{
    struct kt_waiting *waiting = &exchange->loop->waiting;

    if (exchange->parked) {
        unlink_it(waiting, exchange);
        atomic_fetch_sub_explicit(&exchange->loop->counters.waiting, 1, memory_order_relaxed);
    }
    if (waiting->scout == exchange) {
        waiting->scout = NULL;
    }
}

static bool is_new(struct kt_loop *loop)
{
    struct kt_waiting *waiting = &loop->waiting;
    const struct kt_gw_table *table = loop->table;
    bool leads = table && table->leader >= 0;
    const char *id = leads ? table->nodes[table->leader]->id : "";
    uint64_t epoch = leads ? table->view->leader.epoch : 0;

    if (strcmp(waiting->leader_id, id) == 0 && waiting->epoch == epoch) {
        return false;
    }
    kt_str_copy(waiting->leader_id, sizeof(waiting->leader_id), kt_str(id));
    waiting->epoch = epoch;
    waiting->term_ms = kt_loop_now(loop);
    return true;
}

bool kt_waiting_is_young(struct kt_loop *loop)
{
    return kt_loop_now(loop) - loop->waiting.term_ms < YOUNG_MS;
}

/* Who newly leads may not take anything yet: a scout goes ahead. */
void kt_waiting_on_table(struct kt_loop *loop)
{
    struct kt_waiting *waiting = &loop->waiting;

    if (!is_new(loop)) {
        return;
    }
    waiting->terms++;
    loop->leader_hint[0] = '\0';
    if (!waiting->leader_id[0]) {
        return;
    }
    if (!waiting->closed) {
        waiting->closed = true;
        waiting->closed_ms = kt_loop_now(loop);
    }
    waiting->scout = NULL;
    waiting->pause_ms = PAUSE_MIN_MS;
    waiting->next_ms = kt_loop_now(loop);
    for (struct kt_exchange *one = waiting->first; one; one = one->next_parked) {
        one->not_before_ms = 0;
    }
    if (waiting->count > 0) {
        look_in(loop, 0);
    }
}

void kt_waiting_fail_all(struct kt_loop *loop)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_exchange *exchange = loop->waiting.first;

    (void)kt_fail(&err, KT_UNAVAILABLE, "the gateway stops, and no node leads yet");
    while (exchange) {
        struct kt_exchange *next = exchange->next_parked;

        kt_exchange_fail(exchange, &err);
        exchange = next;
    }
}

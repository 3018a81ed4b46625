/* SPDX-License-Identifier: MIT */
/* control.c - the thread that knows the nodes. */
#include <uv.h>

#include "gateway/control.h"

#include "base/clock.h"
#include "base/mem.h"
#include "gateway/fetch.h"

#include <string.h>

#define ASK_BYTES_MAX ((size_t)1024 * 1024)
#define DAY_MS 86400000
#define AGAIN_MS 200

/* One kt_control_ask_all: lives on the asker's stack until `left` is 0. */
struct question {
    struct question *next;
    struct kt_control *control;
    struct kt_ask *asks;
    size_t count;
    const char *path;
    int64_t timeout_ms;
    size_t left; /* answers that are still to come; under the lock */
};

/* One node's part of it, while the fetch is under way. */
struct asking {
    struct question *question;
    struct kt_ask *ask;
    struct kt_fetch *fetch;
    struct asking *next, **link;
};

struct kt_control {
    struct kt_thread thread;
    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t again; /* a view to be taken once more */
    struct kt_nodes *nodes;
    struct kt_health *health;
    struct asking *under_way;
    /* Set once the coord runs, and it outlives this thread. No lock: asking it takes its own. */
    _Atomic(struct kt_coord *) coord;
    _Atomic bool view_changed, hurry;
    struct kt_mutex lock; /* around what follows */
    struct kt_cond answered;
    struct question *questions;
    bool stopping;
};

static void on_again(uv_timer_t *timer)
{
    kt_control_on_change(timer->data);
}

static void take_view(struct kt_control *control)
{
    struct kt_coord *coord = atomic_load(&control->coord);
    struct kt_coord_view *view;
    struct kt_gw_table *table;

    if (!coord) {
        return;
    }
    view = kt_coord_view(coord);
    if (view->config.present && view->config.valid && view->config.value.ttl_s > 0) {
        kt_coord_set_ttl(coord, view->config.value.ttl_s);
    }
    if (!kt_nodes_update(control->nodes, view)) {
        uv_timer_start(&control->again, on_again, AGAIN_MS, 0);
        return;
    }
    table = kt_nodes_current(control->nodes);
    kt_health_follow(control->health, table);
    if (table && table->kept > 0) {
        uv_timer_start(&control->again, on_again, AGAIN_MS, 0);
    }
    kt_gw_table_unref(&table);
}

static void answer(struct question *question, size_t answers)
{
    struct kt_control *control = question->control;

    kt_mutex_lock(&control->lock);
    question->left -= answers;
    if (question->left == 0) {
        kt_cond_broadcast(&control->answered);
    }
    kt_mutex_unlock(&control->lock);
}

static void on_fetched(void *ctx, const struct kt_fetch_result *result)
{
    struct asking *asking = ctx;
    struct kt_ask *ask = asking->ask;

    ask->status = result->status;
    ask->latency_ms = result->took_ms;
    if (result->status != KT_OK) {
        kt_str_copy(ask->why, sizeof(ask->why), kt_str(result->why));
    } else if (result->response->status != 200) {
        ask->status = KT_BAD_GATEWAY;
        snprintf(ask->why, sizeof(ask->why), "it answers %d", result->response->status);
    } else {
        kt_buf_append_str(&ask->body, result->body);
    }
    *asking->link = asking->next;
    if (asking->next) {
        asking->next->link = asking->link;
    }
    answer(asking->question, 1);
    kt_free(asking);
}

static bool ask_one(struct kt_control *control, struct question *question, struct kt_ask *ask)
{
    struct kt_fetch_call call = {
        .sockaddr = kt_gw_node_sockaddr(ask->node),
        .host = ask->node->addr,
        .path = question->path,
        .timeout_ms = question->timeout_ms,
        .max_bytes = ASK_BYTES_MAX,
        .done = on_fetched,
    };
    struct asking *asking = kt_calloc(1, sizeof(*asking));

    if (!asking) {
        return false;
    }
    call.ctx = asking;
    asking->question = question;
    asking->ask = ask;
    asking->fetch = kt_fetch_start(&control->loop, &call);
    if (!asking->fetch) {
        kt_free(asking);
        return false;
    }
    asking->next = control->under_way;
    asking->link = &control->under_way;
    if (asking->next) {
        asking->next->link = &asking->next;
    }
    control->under_way = asking;
    return true;
}

static void begin_question(struct kt_control *control, struct question *question)
{
    size_t refused = 0;

    for (size_t i = 0; i < question->count; i++) {
        struct kt_ask *ask = &question->asks[i];

        if (ask->node->sockaddrs[atomic_load(&ask->node->sockaddr_index)].ss_family == 0) {
            ask->status = KT_UNAVAILABLE;
            kt_str_copy(ask->why, sizeof(ask->why), KT_STR("its name is not yet resolved"));
            refused++;
        } else if (!ask_one(control, question, ask)) {
            ask->status = KT_NO_MEMORY;
            kt_str_copy(ask->why, sizeof(ask->why), KT_STR("no memory to ask it"));
            refused++;
        }
    }
    if (refused > 0) {
        answer(question, refused);
    }
}

static void begin_questions(struct kt_control *control)
{
    struct question *question;

    kt_mutex_lock(&control->lock);
    question = control->questions;
    control->questions = NULL;
    kt_mutex_unlock(&control->lock);
    while (question) {
        struct question *next = question->next;

        begin_question(control, question);
        question = next;
    }
}

static void on_wake(uv_async_t *async)
{
    struct kt_control *control = async->data;
    bool stopping;

    kt_mutex_lock(&control->lock);
    stopping = control->stopping;
    kt_mutex_unlock(&control->lock);
    if (atomic_exchange(&control->view_changed, false) && !stopping) {
        take_view(control);
    }
    if (atomic_exchange(&control->hurry, false)) {
        kt_health_hurry(control->health);
    }
    begin_questions(control);
    if (stopping) {
        while (control->under_way) {
            kt_fetch_cancel(control->under_way->fetch);
        }
        kt_health_stop(control->health);
        uv_close((uv_handle_t *)&control->again, NULL);
        uv_close((uv_handle_t *)async, NULL);
    }
}

static void run(void *arg)
{
    struct kt_control *control = arg;

    uv_run(&control->loop, UV_RUN_DEFAULT);
}

static void discard(struct kt_control **control)
{
    struct kt_control *self = *control;

    kt_health_free(&self->health);
    kt_cond_done(&self->answered);
    kt_mutex_done(&self->lock);
    kt_free(self);
    *control = NULL;
}

enum kt_status kt_control_start(struct kt_nodes *nodes, const struct kt_health_options *health,
                                struct kt_control **ret_control, struct kt_error *err)
{
    struct kt_control *control = kt_calloc(1, sizeof(*control));
    enum kt_status status;

    if (!control) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for the control thread");
    }
    kt_mutex_init(&control->lock, "control", KT_RANK_GATEWAY);
    kt_cond_init(&control->answered);
    control->nodes = nodes;
    if (uv_loop_init(&control->loop) != 0) {
        discard(&control);
        return kt_fail(err, KT_IO, "no event loop for the control thread");
    }
    control->health = kt_health_new(&control->loop, health);
    uv_async_init(&control->loop, &control->wake, on_wake);
    uv_timer_init(&control->loop, &control->again);
    control->wake.data = control->again.data = control;
    status = control->health ? kt_thread_start(&control->thread, "control", run, control, err)
                             : kt_fail(err, KT_NO_MEMORY, "no memory for the probes");
    if (status != KT_OK) {
        uv_close((uv_handle_t *)&control->again, NULL);
        uv_close((uv_handle_t *)&control->wake, NULL);
        uv_run(&control->loop, UV_RUN_DEFAULT);
        uv_loop_close(&control->loop);
        discard(&control);
        return status;
    }
    *ret_control = control;
    return KT_OK;
}

void kt_control_stop(struct kt_control **control)
{
    struct kt_control *self = *control;

    if (!self) {
        return;
    }
    kt_mutex_lock(&self->lock);
    self->stopping = true;
    kt_mutex_unlock(&self->lock);
    uv_async_send(&self->wake);
    kt_thread_join(&self->thread);
    KT_ASSERT(uv_loop_close(&self->loop) == 0);
    discard(control);
}

void kt_control_set_coord(struct kt_control *control, struct kt_coord *coord)
{
    atomic_store(&control->coord, coord);
    kt_control_on_change(control);
}

void kt_control_on_change(void *control)
{
    struct kt_control *self = control;

    atomic_store(&self->view_changed, true);
    uv_async_send(&self->wake);
}

void kt_control_hurry(struct kt_control *control)
{
    atomic_store(&control->hurry, true);
    uv_async_send(&control->wake);
}

void kt_control_ask_all(struct kt_control *control, struct kt_ask *asks, size_t count,
                        const char *path, int64_t timeout_ms)
{
    struct question question = {.control = control,
                                .asks = asks,
                                .count = count,
                                .path = path,
                                .timeout_ms = timeout_ms,
                                .left = count};
    bool stopping;

    kt_mutex_lock(&control->lock);
    stopping = control->stopping;
    if (!stopping && count > 0) {
        question.next = control->questions;
        control->questions = &question;
    }
    kt_mutex_unlock(&control->lock);
    if (stopping || count == 0) {
        for (size_t i = 0; i < count; i++) {
            asks[i].status = KT_BUSY;
            kt_str_copy(asks[i].why, sizeof(asks[i].why), KT_STR("the gateway stops"));
        }
        return;
    }
    uv_async_send(&control->wake);
    kt_mutex_lock(&control->lock);
    while (question.left > 0) {
        /* Every fetch ends by its own timer, and the question lives here: no other way out. */
        (void)kt_cond_wait(&control->answered, &control->lock, kt_now_mono_ms() + DAY_MS);
    }
    kt_mutex_unlock(&control->lock);
}

/* SPDX-License-Identifier: MIT */
/* Queue, chance, network, trace. */
#include "sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world *w;

/* splitmix64 (Steele et al., OOPSLA '14) */
uint64_t chance(void)
{
    uint64_t z = (w->chance += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

int64_t between(int64_t from, int64_t to)
{
    return from + (int64_t)(chance() % (uint64_t)(to - from + 1));
}

bool one_in(int64_t n)
{
    return chance() % (uint64_t)n == 0;
}

void random_id(void *ctx, char dest[KT_ID_LEN + 1])
{
    (void)ctx;
    snprintf(dest, KT_ID_LEN + 1, "%016" PRIx64, chance());
}

/* --- the queue: a binary heap by time, then by order --- */

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

struct event *post(int64_t delay_ms, enum event_kind kind, int slot, void *data)
{
    if (w->queue_count == w->queue_cap) {
        w->queue_cap = w->queue_cap ? 2 * w->queue_cap : 1024;
        w->queue = realloc(w->queue, w->queue_cap * sizeof(*w->queue));
        KT_ASSERT(w->queue);
    }
    struct event event = {.at_ms = w->now_ms + delay_ms,
                          .order = ++w->orders,
                          .kind = kind,
                          .slot = slot,
                          .data = data};
    if (slot >= 0 && slot < SLOTS) {
        event.incarnation = w->nodes[slot].incarnation;
    }
    size_t i = w->queue_count++;
    while (i > 0 && is_before(&event, &w->queue[(i - 1) / 2])) {
        w->queue[i] = w->queue[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->queue[i] = event;
    return &w->queue[i];
}

bool next_event(struct event *ret_event)
{
    if (w->queue_count == 0) {
        return false;
    }
    *ret_event = w->queue[0];
    struct event last = w->queue[--w->queue_count];
    size_t i = 0;
    while (2 * i + 1 < w->queue_count) {
        size_t child = 2 * i + 1;
        if (child + 1 < w->queue_count && is_before(&w->queue[child + 1], &w->queue[child])) {
            child++;
        }
        if (!is_before(&w->queue[child], &last)) {
            break;
        }
        w->queue[i] = w->queue[child];
        i = child;
    }
    w->queue[i] = last;
    return true;
}

/* --- messages --- */

struct message *new_message(enum message_kind kind, int from, int to)
{
    struct message *message = calloc(1, sizeof(*message));
    KT_ASSERT(message);
    message->kind = kind;
    message->from = from;
    message->to = to;
    return message;
}

void free_message(struct message *message)
{
    if (message) {
        free(message->entries);
        free(message->vector);
        free(message);
    }
}

bool is_cut(int from, int to)
{
    return w->now_ms < w->cut_until_ms[from][to];
}

static struct message *copy_message(const struct message *message)
{
    struct message *copy = new_message(message->kind, message->from, message->to);
    *copy = *message;
    if (message->entries) {
        copy->entries = malloc((message->entry_count + 1) * sizeof(*copy->entries));
        KT_ASSERT(copy->entries);
        memcpy(copy->entries, message->entries, message->entry_count * sizeof(*copy->entries));
    }
    if (message->vector) {
        size_t bytes = message->answer.vector_count * sizeof(*copy->vector);
        copy->vector = malloc(bytes + 1);
        KT_ASSERT(copy->vector);
        memcpy(copy->vector, message->vector, bytes);
        copy->answer.vector = copy->vector;
    }
    return copy;
}

static int64_t delay_ms(int from, int to)
{
    int64_t delay = between(0, 3);
    if (from == w->slow_slot || to == w->slow_slot) {
        delay += between(4, 12);
    }
    if (w->now_ms < w->lossy_until_ms && one_in(5)) {
        delay += between(1, one_in(4) ? 6000 : 600);
    } else if (one_in(200)) {
        delay += between(1, 100);
    }
    return delay;
}

void send_message(struct message *message)
{
    send_slowly(message, 0);
}

/* Clients are never cut off: they are many, and elsewhere. */
void send_slowly(struct message *message, int64_t extra_ms)
{
    bool client = message->kind == MSG_OP || message->kind == MSG_REPLY;
    bool lossy = w->now_ms < w->lossy_until_ms;
    if (!client && (is_cut(message->from, message->to) || (lossy && one_in(5)))) {
        free_message(message);
        return;
    }
    if (!client && lossy && one_in(6)) {
        post(delay_ms(message->from, message->to), EV_MESSAGE, message->to, copy_message(message));
    }
    int64_t delay = client ? delay_ms(-1, -1) : delay_ms(message->from, message->to);
    post(delay + extra_ms, EV_MESSAGE, message->kind == MSG_REPLY ? -1 : message->to, message);
}

/* --- trace --- */

void trace(const char *fmt, ...)
{
    if (!w->tracing) {
        return;
    }
    char line[600];
    int head = snprintf(line, sizeof(line), "%7" PRId64 " ", w->now_ms);
    va_list args;
    va_start(args, fmt);
    vsnprintf(line + head, sizeof(line) - (size_t)head, fmt, args);
    va_end(args);
    if (w->tracing) {
        puts(line);
    }
}

void fail(const char *fmt, ...)
{
    if (w->failed) {
        return;
    }
    va_list args;
    va_start(args, fmt);
    vsnprintf(w->why, sizeof(w->why), fmt, args);
    va_end(args);
    w->failed = true;
    trace("FAILED %s", w->why);
}

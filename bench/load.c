/* SPDX-License-Identifier: MIT */
/* load.c - starts the loops, watches them, puts what they counted together. */
#include <uv.h>

#include "bench/load_impl.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_MAX 100000
#define SEEN_BYTES_MAX ((size_t)512 << 20)
#define PACE_LEAST_US 100
#define WATCH_US 20000
#define LAST_SECOND_US 300000
#define TENTH_US 100000
#define MOMENT_S 0.05
#define SECOND_US 1000000

static double cpu_seconds(void)
{
    uv_rusage_t usage;
    if (uv_getrusage(&usage) < 0) {
        return 0;
    }
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
           (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
}

static enum kt_status fill_addrs(struct kt_load *load, struct kt_error *err)
{
    for (size_t i = 0; i < load->options->target_count; i++) {
        const struct kt_target *target = &load->options->targets[i];
        int code = strchr(target->literal, ':')
                       ? uv_ip6_addr(target->literal, target->port, &load->addrs[i].v6)
                       : uv_ip4_addr(target->literal, target->port, &load->addrs[i].v4);
        if (code < 0) {
            return kt_fail(err, KT_IO, "address %s: %s", target->literal, uv_strerror(code));
        }
    }
    return KT_OK;
}

/* Wakes the loops when by plan something is due; libuv's own timers know whole milliseconds only,
 * which is more than many an answer takes. */
static void pace(void *arg)
{
    struct kt_load *load = arg;
    double gap_us = 1e6 / load->options->rate;
    while (!atomic_load_explicit(&load->stopping, memory_order_relaxed) &&
           atomic_load_explicit(&load->running, memory_order_relaxed) > 0) {
        int64_t now_us = kt_now_mono_us();
        double past = (double)(now_us - load->start_us);
        int64_t next_us = load->start_us + (int64_t)((floor(past / gap_us) + 1) * gap_us) + 1;
        if (next_us < now_us + PACE_LEAST_US) {
            next_us = now_us + PACE_LEAST_US;
        }
        /* A slow plan must not hold up the end. */
        kt_sleep_until_us(next_us < now_us + WATCH_US ? next_us : now_us + WATCH_US);
        for (size_t i = 0; i < load->loop_count && kt_now_mono_us() >= next_us; i++) {
            uv_async_send(&load->loops[i].wake);
        }
    }
}

struct watch {
    struct kt_load *load;
    struct kt_load_result *result;
    struct kt_hist *merged, *spare; /* spare goes to a loop in exchange for its own */
    size_t capacity;
    int64_t taken_us;             /* when the last tenth was taken */
    struct kt_load_second second; /* the present one, so far */
    kt_load_progress_fn progress;
    void *ctx;
};

static bool add_second(struct watch *watch)
{
    struct kt_load_result *result = watch->result;
    if (result->second_count == SECONDS_MAX) {
        return false;
    }
    if (result->second_count == watch->capacity) {
        size_t capacity = watch->capacity ? watch->capacity * 2 : 64;
        void *grown = kt_reallocarray(result->seconds, capacity, sizeof(*result->seconds));
        if (!grown) {
            return false;
        }
        result->seconds = grown;
        watch->capacity = capacity;
    }
    result->seconds[result->second_count++] = watch->second;
    return true;
}

/* Not of the warm-up, and not of the wait for the last answers when the time is over. */
static bool is_counted(const struct kt_load *load, int64_t from_us, int64_t to_us)
{
    return to_us > load->measure_us + WATCH_US && from_us < load->end_us - WATCH_US;
}

/* Takes from the loops what they counted since the last time. */
static void take_tenth(struct watch *watch, int64_t now_us)
{
    struct kt_load *load = watch->load;
    struct kt_load_tenth tenth = {.span_s = (double)(now_us - watch->taken_us) / 1e6};
    bool counted = is_counted(load, watch->taken_us, now_us);
    for (size_t i = 0; i < load->loop_count; i++) {
        struct kt_load_loop *loop = &load->loops[i];
        kt_hist_clear(watch->spare);
        kt_mutex_lock(&loop->mutex);
        struct kt_hist *taken = loop->second_hist;
        loop->second_hist = watch->spare;
        tenth.right += loop->second.right;
        tenth.wrong += loop->second.wrong;
        loop->second = (struct kt_load_second){0};
        kt_mutex_unlock(&loop->mutex);
        watch->spare = taken;
        kt_hist_merge(watch->merged, taken);
    }
    watch->taken_us = now_us;
    watch->second.span_s += tenth.span_s;
    watch->second.right += tenth.right;
    watch->second.wrong += tenth.wrong;
    if (counted && watch->result->tenth_count < KT_LOAD_TENTHS_MAX) {
        watch->result->tenths[watch->result->tenth_count++] = tenth;
    }
}

static void end_second(struct watch *watch, int64_t now_us)
{
    struct kt_load *load = watch->load;
    struct kt_load_progress progress = {.elapsed_s = (double)(now_us - load->measure_us) / 1e6,
                                        .warming = now_us < load->measure_us};
    for (size_t i = 0; i < load->loop_count; i++) {
        struct kt_load_loop *loop = &load->loops[i];
        kt_mutex_lock(&loop->mutex);
        progress.requests += loop->counted;
        progress.wrong += loop->all_wrong;
        kt_mutex_unlock(&loop->mutex);
    }
    watch->second.p50_us = kt_hist_percentile(watch->merged, 50);
    watch->second.p99_us = kt_hist_percentile(watch->merged, 99);
    watch->second.max_us = watch->merged->max_us;
    progress.last = watch->second;
    if (is_counted(load, now_us - (int64_t)(watch->second.span_s * 1e6), now_us)) {
        add_second(watch);
    }
    watch->second = (struct kt_load_second){0};
    kt_hist_clear(watch->merged);
    if (watch->progress) {
        watch->progress(watch->ctx, &progress);
    }
}

/* Should the run end before its time? */
static bool is_over(struct watch *watch, atomic_bool *stop, int64_t now_us)
{
    struct kt_load *load = watch->load;
    int64_t last_us = atomic_load_explicit(&load->last_right_us, memory_order_relaxed);
    uint64_t failures = atomic_load_explicit(&load->failures_since_right, memory_order_relaxed);
    if (atomic_load(stop)) {
        watch->result->stopped = true;
    }
    if (failures > 0 && (double)(now_us - last_us) > load->options->give_up_s * 1e6) {
        watch->result->gave_up = true;
    }
    return watch->result->stopped || watch->result->gave_up;
}

/* The next border of a second or of a tenth; the first counted one begins when the warm-up ends. */
static int64_t next_border(const struct kt_load *load, int64_t now_us, int64_t step_us)
{
    int64_t from_us = now_us < load->measure_us ? load->start_us : load->measure_us;
    int64_t next_us = from_us + ((now_us - from_us) / step_us + 1) * step_us;
    return now_us < load->measure_us && next_us > load->measure_us ? load->measure_us : next_us;
}

/* What is left, up to the last answer; the loops have ended. */
static void end_course(struct watch *watch)
{
    struct kt_load *load = watch->load;
    struct kt_load_result *result = watch->result;
    int64_t last_us = watch->taken_us;
    size_t tenths = result->tenth_count;
    for (size_t i = 0; i < load->loop_count; i++) {
        last_us = load->loops[i].last_done_us > last_us ? load->loops[i].last_done_us : last_us;
    }
    take_tenth(watch, last_us);
    /* A moment tells no rate: it belongs to the tenth before it. */
    if (result->tenth_count > tenths && tenths > 0 && result->tenths[tenths].span_s < MOMENT_S) {
        result->tenths[tenths - 1].span_s += result->tenths[tenths].span_s;
        result->tenths[tenths - 1].right += result->tenths[tenths].right;
        result->tenths[tenths - 1].wrong += result->tenths[tenths].wrong;
        result->tenth_count--;
    }
    if (watch->second.span_s * 1e6 > LAST_SECOND_US) {
        end_second(watch, last_us);
    }
}

/* Until every loop has ended. */
static void watch_loops(struct watch *watch, atomic_bool *stop)
{
    struct kt_load *load = watch->load;
    int64_t now_us = load->start_us, tenth_us, second_us;
    watch->taken_us = now_us;
    tenth_us = next_border(load, now_us, TENTH_US);
    second_us = next_border(load, now_us, SECOND_US);
    while (atomic_load_explicit(&load->running, memory_order_acquire) > 0) {
        now_us = kt_now_mono_us();
        kt_sleep_until_us(now_us + WATCH_US < tenth_us ? now_us + WATCH_US : tenth_us);
        now_us = kt_now_mono_us();
        if (is_over(watch, stop, now_us)) {
            atomic_store_explicit(&load->stopping, true, memory_order_relaxed);
        }
        if (now_us >= tenth_us) {
            take_tenth(watch, now_us);
            tenth_us = next_border(load, now_us, TENTH_US);
        }
        if (now_us >= second_us) {
            end_second(watch, now_us);
            second_us = next_border(load, now_us, SECOND_US);
        }
    }
    end_course(watch);
}

static void merge_nodes(struct kt_load_result *into, struct kt_load_result *from)
{
    for (size_t i = 0; i < from->node_count; i++) {
        struct kt_load_node *node = &from->nodes[i], *same = NULL;
        for (size_t j = 0; j < into->node_count && !same; j++) {
            same = strcmp(into->nodes[j].node, node->node) == 0 ? &into->nodes[j] : NULL;
        }
        if (same) {
            same->right += node->right;
            same->wrong += node->wrong;
            kt_hist_merge(same->latency, node->latency);
        } else if (into->node_count < KT_LOAD_NODES_MAX) {
            into->nodes[into->node_count++] = *node;
            node->latency = NULL;
        }
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct kt_load_node *)a)->node, ((const struct kt_load_node *)b)->node);
}

static void merge_bodies(struct kt_load_loop *loop, struct kt_load_result *into, bool keep)
{
    struct kt_load_body *body;
    for (size_t i = 0; keep && i < loop->load->plan->count; i++) {
        body = loop->seen[i].body;
        if (body) {
            body->next = loop->result.bodies;
            loop->result.bodies = body;
            loop->seen[i].body = NULL;
        }
    }
    while ((body = loop->result.bodies)) {
        loop->result.bodies = body->next;
        body->next = into->bodies;
        into->bodies = body;
    }
}

static void merge(struct kt_load *load, struct kt_load_result *into)
{
    int64_t last_us = load->measure_us;
    bool keep = load->options->verify.text[0] || load->plan->writes > 0;
    for (size_t i = 0; i < load->loop_count; i++) {
        struct kt_load_result *from = &load->loops[i].result;
        into->requests += from->requests;
        into->right += from->right;
        into->warmup_requests += from->warmup_requests;
        into->warmup_wrong += from->warmup_wrong;
        into->bytes_in += from->bytes_in;
        into->connects += from->connects;
        into->strays += from->strays;
        into->late += from->late;
        into->unsent += from->unsent;
        into->abandoned += from->abandoned;
        into->unverified += from->unverified;
        for (size_t w = 0; w < KT_WRONG_COUNT; w++) {
            const struct kt_load_example *example = &from->examples[w];
            into->wrong[w] += from->wrong[w];
            if (example->set &&
                (!into->examples[w].set || example->wall_ms < into->examples[w].wall_ms)) {
                into->examples[w] = *example;
            }
        }
        kt_hist_merge(into->latency, from->latency);
        merge_nodes(into, from);
        merge_bodies(&load->loops[i], into, keep);
        if (load->loops[i].last_done_us > last_us) {
            last_us = load->loops[i].last_done_us;
        }
    }
    /* In one order, whoever happened to answer first. */
    qsort(into->nodes, into->node_count, sizeof(into->nodes[0]), by_name);
    int64_t now_us = kt_now_mono_us();
    if (into->stopped || into->gave_up) {
        last_us = now_us > last_us ? now_us : last_us;
    } else if (load->end_us != INT64_MAX) {
        last_us = load->end_us;
    }
    into->elapsed_s = (double)(last_us - load->measure_us) / 1e6;
    if (into->elapsed_s < 0) {
        into->elapsed_s = 0; /* stopped within the warm-up */
    }
}

static void set_times(struct kt_load *load)
{
    const struct kt_pt_options *options = load->options;
    load->start_us = kt_now_mono_us();
    load->measure_us = load->start_us + (int64_t)(options->warmup_s * 1e6);
    load->end_us =
        options->requests ? INT64_MAX : load->measure_us + (int64_t)(options->duration_s * 1e6);
    load->warmup_due = (uint64_t)ceil(options->warmup_s * options->rate);
    atomic_store(&load->last_right_us, load->start_us);
}

static enum kt_status start_loops(struct kt_load *load, struct kt_error *err)
{
    enum kt_status status = KT_OK;
    load->loops = kt_calloc(load->options->threads, sizeof(*load->loops));
    if (!load->loops) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for the loops");
    }
    load->loop_count = load->options->threads;
    load->seen_bytes_max = SEEN_BYTES_MAX / load->loop_count;
    for (size_t i = 0; i < load->loop_count && status == KT_OK; i++) {
        status = kt_loop_init(&load->loops[i], load, i, err);
        if (status != KT_OK) {
            load->loop_count = i + 1;
        }
    }
    set_times(load);
    for (size_t i = 0; i < load->loop_count && status == KT_OK; i++) {
        atomic_fetch_add(&load->running, 1);
        status =
            kt_thread_start(&load->loops[i].thread, "load", kt_loop_main, &load->loops[i], err);
        if (status != KT_OK) {
            atomic_fetch_sub(&load->running, 1);
        }
    }
    return status;
}

enum kt_status kt_load_run(const struct kt_pt_options *options, const struct kt_plan *plan,
                           atomic_bool *stop, kt_load_progress_fn progress, void *progress_ctx,
                           struct kt_load_result *ret_result, struct kt_error *err)
{
    struct kt_load load = {.options = options, .plan = plan};
    struct kt_load_result result = {.started_wall_ms = kt_now_wall_ms()};
    struct watch watch = {
        .load = &load, .result = &result, .progress = progress, .ctx = progress_ctx};
    struct kt_thread pacer = {.running = false};
    double cpu = cpu_seconds();
    enum kt_status status = fill_addrs(&load, err);
    result.latency = kt_calloc(1, sizeof(struct kt_hist));
    watch.merged = kt_calloc(1, sizeof(struct kt_hist));
    watch.spare = kt_calloc(1, sizeof(struct kt_hist));
    if (status == KT_OK && (!result.latency || !watch.merged || !watch.spare)) {
        status = kt_fail(err, KT_NO_MEMORY, "no memory for a histogram");
    }
    (void)kt_process_raise_files(options->concurrent + 64);
    if (status == KT_OK) {
        status = start_loops(&load, err);
    }
    if (status == KT_OK && options->rate > 0) {
        status = kt_thread_start(&pacer, "pacer", pace, &load, err);
    }
    if (status == KT_OK) {
        watch_loops(&watch, stop);
    }
    atomic_store(&load.stopping, true); /* of a start that failed half-way: ends what runs */
    kt_thread_join(&pacer);
    for (size_t i = 0; i < load.loop_count; i++) {
        kt_thread_join(&load.loops[i].thread);
    }
    if (status == KT_OK) {
        result.cpu_s = cpu_seconds() - cpu;
        merge(&load, &result);
        *ret_result = result;
    } else {
        kt_load_result_done(&result);
    }
    for (size_t i = 0; i < load.loop_count; i++) {
        kt_loop_done(&load.loops[i]);
    }
    kt_free(load.loops);
    kt_free(watch.merged);
    kt_free(watch.spare);
    return status;
}

void kt_load_result_done(struct kt_load_result *result)
{
    for (size_t i = 0; i < result->node_count; i++) {
        kt_free(result->nodes[i].latency);
    }
    while (result->bodies) {
        struct kt_load_body *body = result->bodies;
        result->bodies = body->next;
        kt_free(body);
    }
    kt_free(result->latency);
    kt_free(result->seconds);
    memset(result, 0, sizeof(*result));
}

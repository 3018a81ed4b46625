/* SPDX-License-Identifier: MIT */
/* sim - runs the simulator.
 *
 *   sim [--runs N] [--seed N] [--trace] [--plant NAME] [--plants] [--search]
 *       [--scenarios [--only N]]
 *
 * --seed N        the first seed (default 1); with --runs 1 (the default then) it is replayed
 * --runs N        that many seeds from there
 * --trace         prints what happens
 * --verbose       names the seeds in which writes are taken late or never
 * --plant NAME    with a known bug; status 0 if it was found
 * --plants        replays each plant's recorded seed, and the same seed without the plant
 * --search        hunts every plant in up to 200,000 runs and prints recorded.inc; then runs as
 *                 many seeds without a plant
 * --scenarios     how long writes are not taken, for each scenario
 *
 * Every kind fails when writes are taken later than ttl + 1.5 s after the last fault in more than
 * one run of a hundred.
 */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCENARIO_RUNS 200
#define SEARCH_RUNS 200000
#define LATE_MS 1500 /* beyond a ttl */
#define VERBOSE_MS 5500
/* Seeds of faults by chance and of the scenarios do not meet. */
#define SCENARIO_SEEDS UINT64_C(1000000000)

enum kt_plant kt_plant = KT_PLANT_none;

#define PLANT_NAME(name) #name,
static const char *const plant_names[] = {"none", KT_PLANTS(PLANT_NAME)};

/* Where each plant was found; a plant that is not here has not been found yet. */
static const struct recorded {
    enum kt_plant plant;
    uint64_t seed;
} recorded[] = {
#include "recorded.inc"
};

static void drop_event(struct event *event)
{
    switch (event->kind) {
    case EV_MESSAGE:
        free_message(event->data);
        break;
    case EV_KEYS:
        keys_unref(event->data);
        break;
    case EV_CALL:
    case EV_CALL_ANSWER:
        free(event->data);
        break;
    default:
        break;
    }
}

static void take(const struct event *event)
{
    switch (event->kind) {
    case EV_TICK:
    case EV_CALL_ANSWER:
    case EV_KEYS:
    case EV_SYNC:
    case EV_COPIED:
        node_take(event);
        break;
    case EV_MESSAGE: {
        struct message *message = event->data;
        if (message->kind == MSG_REPLY) {
            client_reply(message);
            free_message(message);
        } else if (message->kind != MSG_OP && is_cut(message->from, message->to)) {
            free_message(message);
        } else {
            node_take(event);
        }
        break;
    }
    case EV_CALL:
        etcd_take(event->data);
        break;
    case EV_LEASE:
        etcd_lease_ends((int64_t)event->number);
        break;
    case EV_CLIENT:
        client_next(event->slot, event->number);
        break;
    case EV_CLIENT_TIMEOUT:
        client_timeout(event->slot, event->number);
        break;
    case EV_FAULT:
        take_fault(event);
        break;
    }
}

struct outcome {
    bool failed;
    char why[300];
    int64_t waited_ms; /* from the last fault until a write was taken; -1 = never */
    bool late;         /* that is more than a ttl and LATE_MS */
    int64_t gap_ms;    /* the longest time without an acknowledgement from the fault on */
    bool operated, all_lost, other;
    uint64_t steps, acks, reads, copies, cuts, epochs, recoveries;
};

/* Sums over many runs. */
struct totals {
    uint64_t failed, late, operated, all_lost, others;
    uint64_t steps, acks, reads, copies, cuts, epochs, recoveries;
};

static void add(struct totals *totals, const struct outcome *outcome)
{
    totals->failed += outcome->failed;
    totals->late += outcome->late;
    totals->operated += outcome->operated;
    totals->all_lost += outcome->all_lost;
    totals->others += outcome->other;
    totals->steps += outcome->steps;
    totals->acks += outcome->acks;
    totals->reads += outcome->reads;
    totals->copies += outcome->copies;
    totals->cuts += outcome->cuts;
    totals->epochs += outcome->epochs;
    totals->recoveries += outcome->recoveries;
}

static void run(uint64_t seed, int scenario, int min_in_sync, bool tracing,
                struct outcome *ret_outcome)
{
    struct event *queue = w->queue;
    size_t queue_cap = w->queue_cap;
    memset(w, 0, sizeof(*w));
    w->queue = queue;
    w->queue_cap = queue_cap;
    w->seed = w->chance = seed;
    w->tracing = tracing;
    w->slow_slot = w->story_slot = -1;
    w->options.scenario = scenario;
    w->options.min_in_sync = min_in_sync;
    etcd_init();
    plan_run();
    clients_start();
    struct event event;
    while (!w->failed && !w->over && next_event(&event)) {
        if (event.at_ms > w->end_ms) {
            drop_event(&event);
            break;
        }
        w->now_ms = event.at_ms;
        take(&event);
        if (w->short_end && w->first_ack_ms && w->now_ms > w->first_ack_ms + 2500 &&
            all_caught_up()) {
            break;
        }
    }
    check_end();
    while (next_event(&event)) {
        drop_event(&event);
    }
    for (int slot = 0; slot < SLOTS; slot++) {
        node_free(slot);
    }
    etcd_done();
    *ret_outcome =
        (struct outcome){.failed = w->failed,
                         .waited_ms = w->first_ack_ms ? w->first_ack_ms - w->healed_ms : -1,
                         .gap_ms = w->longest_gap_ms,
                         .operated = w->operated,
                         .all_lost = w->all_lost > 0,
                         .other = w->others > 0,
                         .recoveries = w->recoveries,
                         .steps = w->steps,
                         .acks = w->acks,
                         .reads = w->reads,
                         .copies = w->copies,
                         .cuts = w->cuts,
                         .epochs = w->epochs};
    ret_outcome->late = ret_outcome->waited_ms > (int64_t)w->options.ttl_s * 1000 + LATE_MS;
    memcpy(ret_outcome->why, w->why, sizeof(ret_outcome->why));
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void print_waits(const char *name, int64_t *waits, size_t count)
{
    size_t never = 0;
    qsort(waits, count, sizeof(*waits), compare);
    while (never < count && waits[never] < 0) {
        never++;
    }
    size_t taken = count - never;
    if (taken == 0) {
        printf("%-34s never\n", name);
        return;
    }
    printf("%-34s p50 %6" PRId64 "  p99 %6" PRId64 "  max %6" PRId64 " ms  (%zu runs, %zu never)\n",
           name, waits[never + taken / 2], waits[never + taken * 99 / 100], waits[count - 1], count,
           never);
}

/* p99 of the time until writes are taken again. */
static bool is_too_late(const char *name, uint64_t late, uint64_t count)
{
    if (late * 100 <= count) {
        return false;
    }
    printf("%s: writes are taken later than ttl + %d ms in %" PRIu64 " of %" PRIu64 " runs\n", name,
           LATE_MS, late, count);
    return true;
}

static int run_seeds(uint64_t first, uint64_t count, bool tracing, bool verbose)
{
    struct totals sum = {0};
    int64_t *waits = calloc(count + 1, sizeof(*waits));
    KT_ASSERT(waits);
    for (uint64_t i = 0; i < count && sum.failed < 20; i++) {
        struct outcome outcome;
        run(first + i, 0, 0, tracing, &outcome);
        waits[i] = outcome.waited_ms;
        if (verbose && (outcome.waited_ms < 0 || outcome.waited_ms > VERBOSE_MS)) {
            printf("seed %" PRIu64 " waits %" PRId64 " ms\n", first + i, outcome.waited_ms);
        }
        add(&sum, &outcome);
        if (outcome.failed) {
            printf("seed %" PRIu64 ": %s\n", first + i, outcome.why);
            if (sum.failed == 1 && count > 1) {
                run(first + i, 0, 0, true, &outcome);
            }
        }
    }
    print_waits("faults by chance", waits, count);
    printf("seeds %" PRIu64 " to %" PRIu64 ": %" PRIu64 " steps, %" PRIu64 " epochs, %" PRIu64
           " writes and %" PRIu64 " reads acknowledged, %" PRIu64 " copies, %" PRIu64 " cuts\n",
           first, first + count - 1, sum.steps, sum.epochs, sum.acks, sum.reads, sum.copies,
           sum.cuts);
    printf("%" PRIu64 " losses accepted; in %" PRIu64 " runs the set that must be there had to be "
           "given up; ended early: %" PRIu64 " with nobody's data left, %" PRIu64
           " with another cluster founded over a lost etcd\n",
           sum.recoveries, sum.operated, sum.all_lost, sum.others);
    bool late = is_too_late("faults by chance", sum.late, count) && count >= 100;
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", count - sum.failed, sum.failed + late);
    free(waits);
    return sum.failed > 0 || late;
}

/* One scenario with one min_in_sync; returns how many runs failed. */
static uint64_t run_scenario(int scenario, int min_in_sync, uint64_t seed, uint64_t count,
                             bool tracing)
{
    struct totals sum = {0};
    char name[80];
    int64_t *waits = calloc(count + 1, sizeof(*waits));
    int64_t *gaps = calloc(count + 1, sizeof(*gaps));
    KT_ASSERT(waits && gaps);
    for (uint64_t i = 0; i < count; i++) {
        struct outcome outcome;
        run(SCENARIO_SEEDS + seed + i, scenario, min_in_sync, tracing, &outcome);
        waits[i] = outcome.waited_ms;
        gaps[i] = outcome.gap_ms;
        add(&sum, &outcome);
        if (outcome.failed) {
            printf("scenario %d seed %" PRIu64 ": %s\n", scenario, seed + i, outcome.why);
        }
    }
    snprintf(name, sizeof(name), "%s, min %d", scenario_name(scenario), min_in_sync);
    print_waits(name, waits, count);
    print_waits("    longest gap", gaps, count);
    sum.failed += is_too_late(name, sum.late, count);
    free(waits);
    free(gaps);
    return sum.failed;
}

static int run_scenarios(uint64_t count, int only, bool tracing, uint64_t seed)
{
    uint64_t failed = 0, passed = 0;
    for (int min_in_sync = 1; min_in_sync <= 2; min_in_sync++) {
        for (int scenario = 1; scenario < SCENARIOS; scenario++) {
            if (!only || scenario == only) {
                bool ok = run_scenario(scenario, min_in_sync, seed, count, tracing) == 0;
                passed += ok;
                failed += !ok;
            }
        }
    }
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
    return failed > 0;
}

static int hunt(uint64_t first, uint64_t count, bool tracing)
{
    for (uint64_t i = 0; i < count; i++) {
        struct outcome outcome;
        run(first + i, 0, 0, tracing, &outcome);
        if (outcome.failed) {
            printf("plant %s: seed %" PRIu64 ": %s\n", plant_names[kt_plant], first + i,
                   outcome.why);
            return 0;
        }
    }
    printf("plant %s: not found in %" PRIu64 " runs\n", plant_names[kt_plant], count);
    return 1;
}

static int search(uint64_t first)
{
    size_t missed = 0;
    for (int plant = 1; plant < KT_PLANT_COUNT; plant++) {
        struct outcome outcome = {.failed = false};
        uint64_t seed = 0;
        kt_plant = (enum kt_plant)plant;
        while (!outcome.failed && seed < SEARCH_RUNS) {
            run(++seed, 0, 0, false, &outcome);
        }
        missed += !outcome.failed;
        if (outcome.failed) {
            printf("{KT_PLANT_%s, %" PRIu64 "}, /* %s */\n", plant_names[plant], seed, outcome.why);
        } else {
            printf("/* %s is not found */\n", plant_names[plant]);
        }
        fflush(stdout);
    }
    kt_plant = KT_PLANT_none;
    return run_seeds(first, SEARCH_RUNS, false, false) || missed > 0;
}

static int replay_plants(void)
{
    size_t failed = 0, count = KT_ARRAY_LEN(recorded);
    for (size_t i = 0; i < count; i++) {
        struct outcome with, without;
        kt_plant = recorded[i].plant;
        run(recorded[i].seed, 0, 0, false, &with);
        kt_plant = KT_PLANT_none;
        run(recorded[i].seed, 0, 0, false, &without);
        bool ok = with.failed && !without.failed;
        failed += !ok;
        printf("%s - plant %s, seed %" PRIu64 ": %s\n", ok ? "ok" : "not ok",
               plant_names[recorded[i].plant], recorded[i].seed,
               without.failed ? without.why
               : with.failed  ? with.why
                              : "not found");
    }
    printf("%zu passed, %zu failed\n", count - failed, failed);
    return failed > 0;
}

static int usage(void)
{
    fputs("usage: sim [--seed N] [--runs N] [--search] [--trace] [--verbose] [--plant NAME] "
          "[--plants]\n"
          "           [--scenarios [--only N]]\nplants:",
          stderr);
    for (size_t i = 1; i < KT_ARRAY_LEN(plant_names); i++) {
        fprintf(stderr, " %s", plant_names[i]);
    }
    fputs("\n", stderr);
    return 2;
}

static bool choose_plant(const char *name)
{
    for (size_t i = 1; i < KT_ARRAY_LEN(plant_names); i++) {
        if (strcmp(plant_names[i], name) == 0) {
            kt_plant = (enum kt_plant)i;
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, runs = 1;
    bool tracing = false, verbose = false, scenarios = false, plants = false;
    bool searching = false;
    int only = 0;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--seed") == 0) {
            seed = strtoull(value, NULL, 10);
            i++;
        } else if (strcmp(argv[i], "--runs") == 0) {
            runs = strtoull(value, NULL, 10);
            i++;
        } else if (strcmp(argv[i], "--only") == 0) {
            only = (int)strtol(value, NULL, 10);
            i++;
        } else if (strcmp(argv[i], "--plant") == 0 && choose_plant(value)) {
            i++;
        } else if (strcmp(argv[i], "--search") == 0) {
            searching = true;
        } else if (strcmp(argv[i], "--trace") == 0) {
            tracing = true;
        } else if (strcmp(argv[i], "--verbose") == 0) {
            verbose = true;
        } else if (strcmp(argv[i], "--scenarios") == 0) {
            scenarios = true;
        } else if (strcmp(argv[i], "--plants") == 0) {
            plants = true;
        } else {
            return usage();
        }
    }
    w = calloc(1, sizeof(*w));
    KT_ASSERT(w);
    setvbuf(stdout, NULL, _IOLBF, 1 << 16);
    int status = plants      ? replay_plants()
                 : searching ? search(seed)
                 : scenarios ? run_scenarios(runs > 1 ? runs : SCENARIO_RUNS, only, tracing, seed)
                 : kt_plant  ? hunt(seed, runs, tracing)
                             : run_seeds(seed, runs, tracing, verbose);
    free(w->queue);
    free(w);
    return status;
}

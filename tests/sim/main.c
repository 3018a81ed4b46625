/* SPDX-License-Identifier: MIT */
/* sim - runs the simulator.
 *
 *   sim [--runs N] [--seed N] [--trace] [--plant NAME] [--plants] [--scenarios [--only N]]
 *
 * --seed N        the first seed (default 1); with --runs 1 (the default then) it is replayed
 * --runs N        that many seeds from there
 * --search        a hundred times as many
 * --trace         prints what happens
 * --verbose       names the seeds in which writes are taken late or never
 * --plant NAME    with a known bug; status 0 if it was found
 * --plants        replays each plant's recorded seed, and the same seed without the plant
 * --scenarios     how long writes are not taken, for each scenario
 */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCENARIO_RUNS 200
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
        client_next(event->slot);
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
    int64_t gap_ms;    /* the longest time without an acknowledgement from the fault on */
    uint64_t steps, acks, reads, copies, cuts, epochs;
};

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
                         .steps = w->steps,
                         .acks = w->acks,
                         .reads = w->reads,
                         .copies = w->copies,
                         .cuts = w->cuts,
                         .epochs = w->epochs};
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

static int run_seeds(uint64_t first, uint64_t count, bool tracing, bool verbose)
{
    uint64_t failed = 0, acks = 0, steps = 0, reads = 0, copies = 0, cuts = 0, epochs = 0;
    int64_t *waits = calloc(count + 1, sizeof(*waits));
    KT_ASSERT(waits);
    for (uint64_t i = 0; i < count; i++) {
        struct outcome outcome;
        run(first + i, 0, 0, tracing, &outcome);
        waits[i] = outcome.waited_ms;
        if (verbose && (outcome.waited_ms < 0 || outcome.waited_ms > VERBOSE_MS)) {
            printf("seed %" PRIu64 " waits %" PRId64 " ms\n", first + i, outcome.waited_ms);
        }
        acks += outcome.acks;
        steps += outcome.steps;
        reads += outcome.reads;
        copies += outcome.copies;
        cuts += outcome.cuts;
        epochs += outcome.epochs;
        if (outcome.failed) {
            printf("seed %" PRIu64 ": %s\n", first + i, outcome.why);
            if (failed++ == 0 && count > 1) {
                run(first + i, 0, 0, true, &outcome);
            }
            if (failed == 20) {
                break;
            }
        }
    }
    print_waits("faults by chance", waits, count);
    printf("seeds %" PRIu64 " to %" PRIu64 ": %" PRIu64 " steps, %" PRIu64 " epochs, %" PRIu64
           " writes and %" PRIu64 " reads acknowledged, %" PRIu64 " copies, %" PRIu64 " cuts\n",
           first, first + count - 1, steps, epochs, acks, reads, copies, cuts);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", count - failed, failed);
    free(waits);
    return failed > 0;
}

static int run_scenarios(uint64_t count, int only, bool tracing, uint64_t seed)
{
    uint64_t failed = 0;
    int64_t *waits = calloc(count + 1, sizeof(*waits));
    int64_t *gaps = calloc(count + 1, sizeof(*gaps));
    KT_ASSERT(waits && gaps);
    for (int min_in_sync = 1; min_in_sync <= 2; min_in_sync++) {
        for (int scenario = 1; scenario < SCENARIOS; scenario++) {
            char name[80];
            if (only && scenario != only) {
                continue;
            }
            for (uint64_t i = 0; i < count; i++) {
                struct outcome outcome;
                run(SCENARIO_SEEDS + seed + i, scenario, min_in_sync, tracing, &outcome);
                waits[i] = outcome.waited_ms;
                gaps[i] = outcome.gap_ms;
                if (outcome.failed) {
                    failed++;
                    printf("scenario %d seed %" PRIu64 ": %s\n", scenario, seed + i, outcome.why);
                }
            }
            snprintf(name, sizeof(name), "%s, min %d", scenario_name(scenario), min_in_sync);
            print_waits(name, waits, count);
            print_waits("    longest gap", gaps, count);
        }
    }
    free(gaps);
    printf("%d passed, %" PRIu64 " failed\n", failed == 0, failed);
    free(waits);
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
            runs *= 100;
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
    int status = plants      ? replay_plants()
                 : scenarios ? run_scenarios(runs > 1 ? runs : SCENARIO_RUNS, only, tracing, seed)
                 : kt_plant  ? hunt(seed, runs, tracing)
                             : run_seeds(seed, runs, tracing, verbose);
    free(w->queue);
    free(w);
    return status;
}

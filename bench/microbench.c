/* SPDX-License-Identifier: MIT */
/* microbench - single operations: nanoseconds, bytes, allocations.
 *
 * Each operation is run so often that a repetition takes a while, then repeated; the median counts.
 * With -callgrind every operation runs a fixed number of times within micro_measured(), for
 * bench/instructions.sh: instructions do not depend on what else the machine does.
 */
#include "bench/latency.h"
#include "bench/micro.h"

#include "base/clock.h"
#include "base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMES_MAX UINT64_C(100000000)

struct options {
    const char *dir, *op;
    int64_t subjects;
    bool quick, json, callgrind, list;
};

struct figures {
    double ns, allocations;
    uint64_t times;
    size_t bytes; /* 0 = none worth naming */
    bool wanted;
};

/* Not inlined: callgrind collects while this runs, and writes its counts when it is left. */
void micro_measured(const struct micro_op *op, struct micro_world *world, uint64_t times);
__attribute__((noinline)) void micro_measured(const struct micro_op *op, struct micro_world *world,
                                              uint64_t times)
{
    op->run(world, times);
}

static int64_t took_us(const struct micro_op *op, struct micro_world *world, uint64_t times)
{
    int64_t start_us = kt_now_mono_us();

    micro_measured(op, world, times);
    return kt_now_mono_us() - start_us;
}

/* How often an operation has to run to take about `wanted_us`. */
static uint64_t calibrate(const struct micro_op *op, struct micro_world *world, int64_t wanted_us)
{
    uint64_t times = 1;

    for (;;) {
        int64_t us = took_us(op, world, times);
        if (us >= wanted_us) { /* or this thread had to wait for a processor */
            int64_t again_us = took_us(op, world, times);
            us = again_us < us ? again_us : us;
        }
        if (us >= wanted_us || times >= TIMES_MAX) {
            return times;
        }
        /* Towards the goal, but not blindly: a first run is cold. */
        uint64_t more = us > 0 ? (uint64_t)(wanted_us / us) + 1 : 100;
        times *= more < 2 ? 2 : more > 100 ? 100 : more;
    }
}

static void measure(const struct micro_op *op, struct micro_world *world, bool quick,
                    struct figures *figures)
{
    struct kt_times ns = {0};
    int repetitions = quick ? 5 : 15;

    figures->times = calibrate(op, world, quick ? 4000 : 40000);
    for (int i = 0; i < repetitions; i++) {
        kt_times_add(&ns,
                     (double)took_us(op, world, figures->times) * 1000 / (double)figures->times);
    }
    figures->ns = kt_times_median(&ns);
    kt_times_done(&ns);
}

/* What else is to be known, after all times were taken: counting makes every allocation a little
 * slower from then on. */
static void count(const struct micro_op *op, struct micro_world *world, struct figures *figures)
{
    uint64_t times = figures->times < 100 ? figures->times : 100;

    kt_fault_set(KT_FAULT_ALLOC, 0, 0);
    op->run(world, times);
    figures->allocations = (double)kt_fault_calls(KT_FAULT_ALLOC) / (double)times;
    figures->bytes = op->bytes ? op->bytes(world) : 0;
}

static double rounded(double value)
{
    return round(value * 100) / 100;
}

static void print_json(const struct micro_world *world, const struct figures *figures)
{
    struct kt_buf out;
    struct kt_jw jw;

    kt_buf_init(&out, 0);
    kt_jw_init(&jw, &out);
    kt_jw_object(&jw);
    kt_jw_kv_u64(&jw, "subjects", world->subjects);
    kt_jw_key_text(&jw, "operations");
    kt_jw_array(&jw);
    for (size_t i = 0; i < micro_op_count; i++) {
        if (!figures[i].wanted) {
            continue;
        }
        kt_jw_object(&jw);
        kt_jw_kv_text(&jw, "name", micro_ops[i].name);
        kt_jw_kv_text(&jw, "what", micro_ops[i].what);
        kt_jw_kv_f64(&jw, "ns", rounded(figures[i].ns));
        if (figures[i].bytes) {
            kt_jw_kv_u64(&jw, "bytes", figures[i].bytes);
        }
        kt_jw_kv_f64(&jw, "allocations", rounded(figures[i].allocations));
        kt_jw_kv_u64(&jw, "iterations", figures[i].times);
        kt_jw_object_end(&jw);
    }
    kt_jw_array_end(&jw);
    kt_jw_object_end(&jw);
    puts(out.data);
    kt_buf_done(&out);
}

static void print_table(const struct figures *figures)
{
    printf("%-16s %14s %12s %10s %8s  %s\n", "operation", "ns", "bytes", "MB/s", "allocs", "what");
    for (size_t i = 0; i < micro_op_count; i++) {
        const struct micro_op *op = &micro_ops[i];
        if (!figures[i].wanted) {
            continue;
        }
        printf("%-16s %14.1f ", op->name, figures[i].ns);
        if (figures[i].bytes) {
            printf("%12zu %10.0f", figures[i].bytes,
                   (double)figures[i].bytes * 1000 / figures[i].ns);
        } else {
            printf("%12s %10s", "-", "-");
        }
        printf(" %8.1f  %s\n", figures[i].allocations, op->what);
    }
}

static void run_all(struct micro_world *world, const struct options *options,
                    struct figures *figures)
{
    for (size_t i = 0; i < micro_op_count; i++) {
        if (figures[i].wanted) {
            measure(&micro_ops[i], world, options->quick, &figures[i]);
        }
    }
    for (size_t i = 0; i < micro_op_count; i++) {
        if (figures[i].wanted) {
            count(&micro_ops[i], world, &figures[i]);
        }
    }
}

/* One line per operation, in the order in which callgrind writes its counts. */
static void run_counted(struct micro_world *world, const struct options *options,
                        const struct figures *figures)
{
    for (size_t i = 0; i < micro_op_count; i++) {
        const struct micro_op *op = &micro_ops[i];
        uint64_t times = options->quick ? (op->counted + 9) / 10 : op->counted;
        if (!figures[i].wanted || times == 0) {
            continue;
        }
        op->run(world, 1); /* what only the first one does: buffers that grow */
        micro_measured(op, world, times);
        printf("%s %" PRIu64 " %zu %s\n", op->name, times, op->bytes ? op->bytes(world) : 0,
               op->what);
    }
}

static int usage(FILE *stream)
{
    fputs("usage: microbench [-dir DIR] [-op NAME] [-subjects N] [-quick] [-json]\n"
          "       microbench -callgrind [-dir DIR] [-op NAME] [-subjects N] [-quick]\n"
          "       microbench -list\n"
          "Measures single operations on a market of N subjects (5000; 500 with -callgrind or\n"
          "-quick) in databases in DIR (.), which are removed at the end. -callgrind is for\n"
          "bench/instructions.sh.\n",
          stream);
    return stream == stderr ? 2 : 0;
}

/* -1: go on; else the exit status. */
static int parse_flags(struct options *options, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *flag = argv[i][0] == '-' && argv[i][1] == '-' ? argv[i] + 1 : argv[i];
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        bool *on = strcmp(flag, "-quick") == 0       ? &options->quick
                   : strcmp(flag, "-json") == 0      ? &options->json
                   : strcmp(flag, "-callgrind") == 0 ? &options->callgrind
                   : strcmp(flag, "-list") == 0      ? &options->list
                                                     : NULL;
        if (on) {
            *on = true;
            continue;
        }
        if (strcmp(flag, "-help") == 0 || strcmp(flag, "-h") == 0) {
            return usage(stdout);
        }
        bool right = value[0] != '\0';
        if (strcmp(flag, "-dir") == 0) {
            options->dir = value;
        } else if (strcmp(flag, "-op") == 0) {
            options->op = value;
        } else {
            right = strcmp(flag, "-subjects") == 0 &&
                    kt_parse_i64(kt_str(value), &options->subjects) && options->subjects >= 100 &&
                    options->subjects <= 100000;
        }
        if (!right) {
            fprintf(stderr, "microbench: bad flag or value: %s %s\n", flag, value);
            return usage(stderr);
        }
        i++;
    }
    if (options->subjects == 0) {
        options->subjects = options->quick || options->callgrind ? 500 : 5000;
    }
    return -1;
}

static bool choose(const struct options *options, struct figures *figures)
{
    bool any = false;

    for (size_t i = 0; i < micro_op_count; i++) {
        figures[i].wanted = !options->op || strcmp(options->op, micro_ops[i].name) == 0;
        any = any || figures[i].wanted;
    }
    return any;
}

int main(int argc, char **argv)
{
    static struct micro_world world;
    static struct figures figures[64];
    struct options options = {.dir = "."};
    int status = parse_flags(&options, argc, argv);

    if (status >= 0) {
        return status;
    }
    KT_ASSERT(micro_op_count <= KT_ARRAY_LEN(figures));
    if (options.list) {
        for (size_t i = 0; i < micro_op_count; i++) {
            printf("%-16s %s\n", micro_ops[i].name, micro_ops[i].what);
        }
        return 0;
    }
    if (!choose(&options, figures)) {
        fprintf(stderr, "microbench: no operation is called %s\n", options.op);
        return usage(stderr);
    }
    micro_world_open(&world, options.dir, (size_t)options.subjects);
    if (options.callgrind) {
        run_counted(&world, &options, figures);
    } else {
        run_all(&world, &options, figures);
        if (options.json) {
            print_json(&world, figures);
        } else {
            print_table(figures);
        }
    }
    micro_world_close(&world, options.dir);
    return 0;
}

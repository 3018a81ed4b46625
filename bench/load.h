/* load.h - puts the load of a plan on its targets, and counts.
 *
 * A few loops (libuv), each with its share of the connections; a connection has one request under
 * way. Closed loop: the next request goes out when the answer is there. Open loop (-rate): request
 * k is due at start + k / rate whatever the answers do; when no connection is free it waits, and
 * its latency counts from when it was due, so that a stall is paid by everything that it held up
 * (G. Tene's "coordinated omission").
 *
 * Each request has exactly one outcome. Latencies are those of whole answers, right or wrong, and
 * of requests that ran into their timeout, with the time they waited; a refused or broken
 * connection has none.
 *
 * A connection that was refused or broke is made again with back-off (10 ms, doubled up to 1 s);
 * one that the server closed between two answers, at once. A connection attempt that fails is the
 * outcome of the next request that is due. When there was nothing but failures for -give-up
 * seconds, the run ends.
 *
 * Threads: kt_load_run on one; it starts the loops and the pacer and joins them.
 * Owns:    the result, until kt_load_result_done.
 * Fails:   KT_NO_MEMORY, KT_IO before the load begins; later failures are outcomes.
 */
#ifndef KT_BENCH_LOAD_H
#define KT_BENCH_LOAD_H

#include "bench/check.h"
#include "bench/hist.h"

#include <stdatomic.h>

#define KT_LOAD_NODES_MAX 32

struct kt_load_node {
    char node[64];
    uint64_t right, wrong;
    struct kt_hist *latency;
};

struct kt_load_second {
    double span_s; /* 1, or what was left at the end */
    uint64_t right, wrong;
    uint64_t p50_us, p99_us, max_us;
};

/* The first seconds in tenths: a short run has a course too. */
#define KT_LOAD_TENTHS_MAX 100
struct kt_load_tenth {
    double span_s;
    uint64_t right, wrong;
};

/* A body that was found right, for -verify: all answers to one request that were alike. */
struct kt_load_body {
    struct kt_load_body *next;
    uint32_t request;
    uint64_t answers, revision;
    struct kt_hole hole;
    size_t len;
    char data[];
};

struct kt_load_example {
    bool set;
    int64_t wall_ms;
    char text[1200];
};

struct kt_load_result {
    uint64_t requests, right;
    uint64_t wrong[KT_WRONG_COUNT]; /* [NONE] stays 0 */
    struct kt_load_example examples[KT_WRONG_COUNT];
    uint64_t warmup_requests, warmup_wrong;
    uint64_t bytes_in, connects, strays;
    uint64_t late;       /* right, but after the time was over: not in the rate */
    uint64_t unsent;     /* due by -rate when the time was over, and not sent */
    uint64_t abandoned;  /* under way when the run was stopped */
    uint64_t unverified; /* answers whose body was not kept */
    double elapsed_s;    /* to the last whole answer, or what -duration said */
    double cpu_s;        /* processor time of this process */
    bool stopped, gave_up;
    struct kt_hist *latency;
    struct kt_load_node nodes[KT_LOAD_NODES_MAX];
    size_t node_count;
    struct kt_load_second *seconds;
    size_t second_count;
    struct kt_load_tenth tenths[KT_LOAD_TENTHS_MAX];
    size_t tenth_count;
    struct kt_load_body *bodies; /* with -verify, and of writes */
    int64_t started_wall_ms;
};

static inline uint64_t kt_load_wrong(const struct kt_load_result *result)
{
    return result->requests - result->right;
}

/* What is known while it runs, once a second. */
struct kt_load_progress {
    double elapsed_s;
    uint64_t requests, wrong; /* so far; wrong ones of the warm-up too */
    struct kt_load_second last;
    bool warming;
};
typedef void (*kt_load_progress_fn)(void *ctx, const struct kt_load_progress *progress);

/* *stop set by any thread ends the load within a moment. */
enum kt_status kt_load_run(const struct kt_pt_options *options, const struct kt_plan *plan,
                           atomic_bool *stop, kt_load_progress_fn progress, void *progress_ctx,
                           struct kt_load_result *ret_result, struct kt_error *err) KT_MUST_CHECK;
void kt_load_result_done(struct kt_load_result *result);

#endif

/* report.h - what a run has measured, and its forms: text, JSON, CSV, HTML, and beside an old one.
 *
 * Threads: one.
 * Owns:    the report owns its runs.
 * Fails:   KT_IO for a file that can't be written; KT_BAD_VALUE for an old report that is none.
 *
 * Format of the JSON ("version": 1): {"tool","version","format","started","seconds","command":[…],
 * "machine":{…},"settings":{…},"runs":[{"scenario","requests","right","rate",
 * "latency_us":{"min","mean","p50",…},"curve":[[percent, µs],…],"wrong":{kind:count},
 * "examples":{kind:text},"seconds":[[right, wrong, p50, p99, max,
 * span],…],"nodes":[…],"cache":{…}}]} Times are microseconds, rates per second. Members are added,
 * never changed.
 */
#ifndef KT_BENCH_REPORT_H
#define KT_BENCH_REPORT_H

#include "bench/load.h"

struct kt_verified {
    uint64_t bodies, answers; /* compared, and alike */
    uint64_t writes;          /* acknowledged, and read back */
    uint64_t skipped;         /* answers that could not be compared */
    char why[300];            /* the first reason of a skip */
};

struct kt_pt_run {
    enum kt_scenario scenario;
    size_t distinct;
    double target; /* right answers a second; 0 = none, or the planned rate is not above it */
    struct kt_load_result result;
    struct kt_stats before, after;
    bool verify;
    struct kt_verified verified;
    char note[400]; /* what else must be said; "" = nothing */
};

struct kt_pt_report {
    const struct kt_pt_options *options;
    int argc;
    char **argv;
    int64_t started_wall_ms;
    char cpu[128], system[128];
    unsigned cpus;
    struct kt_pt_run runs[KT_SCENARIO_COUNT];
    size_t run_count;
};

/* The percentiles that every form shows. */
struct kt_percentile {
    const char *name;
    double percent;
};
#define KT_PERCENTILES 6
extern const struct kt_percentile kt_percentiles[KT_PERCENTILES]; /* p50 … p99.9, max */

double kt_run_rate(const struct kt_pt_run *run);
bool kt_run_passed(const struct kt_pt_run *run); /* its target, every answer right */
/* Hits of the nodes' caches in percent, during the run; false when nothing was looked up. */
bool kt_run_hit_rate(const struct kt_pt_run *run, bool responses, double *ret_percent,
                     uint64_t *ret_lookups);
/* "12.3 ms", "950 µs", "2.00 s" */
const char *kt_time_text(double us, char dest[32]);

void kt_report_text(const struct kt_pt_report *report, FILE *stream);
void kt_report_json(const struct kt_pt_report *report, struct kt_buf *dest);
void kt_report_csv(const struct kt_pt_report *report, struct kt_buf *dest);
void kt_report_html(const struct kt_pt_report *report, struct kt_buf *dest);
enum kt_status kt_report_compare(const struct kt_pt_report *report, const char *path, FILE *stream,
                                 struct kt_error *err) KT_MUST_CHECK;

#endif

/* options.h - the flags of pressure_test.
 *
 * One table gives the parser, the bounds and -help. A value that is not understood is refused by
 * its flag's name: a measurement with a mistyped flag would be believed.
 *
 * Threads: one.
 * Owns:    nothing: texts are argv's.
 * Fails:   KT_BAD_VALUE naming the flag; exit status 2.
 */
#ifndef KT_BENCH_OPTIONS_H
#define KT_BENCH_OPTIONS_H

#include "bench/target.h"

#include <stdio.h>

/* The number is what users type too. */
enum kt_scenario {
    KT_SCENARIO_MULTI = 1,
    KT_SCENARIO_NEWEST,
    KT_SCENARIO_PAGED,
    KT_SCENARIO_AT_DATE,
    KT_SCENARIO_PERIOD,
    KT_SCENARIO_TOPIC,
    KT_SCENARIO_WRITES,
    KT_SCENARIO_MIXED,
    KT_SCENARIO_FILE,
    KT_SCENARIO_COUNT = KT_SCENARIO_FILE
};

struct kt_scenario_about {
    const char *name, *about;
    double target_qps; /* 0 = none is promised */
};
const struct kt_scenario_about *kt_scenario_about(enum kt_scenario scenario);

struct kt_pt_options {
    struct kt_target targets[KT_TARGETS_MAX];
    size_t target_count;
    struct kt_target verify; /* text "" = none */
    enum kt_scenario scenarios[KT_SCENARIO_COUNT];
    size_t scenario_count;

    uint64_t requests; /* 0 = by time */
    double duration_s, warmup_s, timeout_s, give_up_s;
    double rate; /* 0 = closed loop */
    uint64_t concurrent, threads, seed;
    uint64_t repeat; /* 0 = as many as is usual */
    double zipf;

    const char *subjects, *ids, *topic; /* csv; NULL = learnt */
    const char *requests_file, *token;
    const char *json, *csv, *html, *compare;
    bool quiet, keep, idempotent, help, version;
};

/* Defaults, then argv. */
enum kt_status kt_pt_options_parse(int argc, char **argv, struct kt_pt_options *ret_options,
                                   struct kt_error *err) KT_MUST_CHECK;
void kt_pt_options_usage(FILE *stream);

#endif

/* latency.h - percentiles of a list of times, as the tools in bench/ print them.
 *
 * Threads: one at a time per list.
 * Owns:    kt_times its array, until kt_times_done.
 * Fails:   add gives up the program when memory is exhausted: these are tools, not servers.
 */
#ifndef KT_BENCH_LATENCY_H
#define KT_BENCH_LATENCY_H

#include "json/write.h"

struct kt_times {
    double *items;
    size_t count, cap;
    bool sorted;
};

void kt_times_add(struct kt_times *times, double value);
/* The smallest item that at least `percent` of all are not above (nearest rank); 0 of none. */
double kt_times_percentile(struct kt_times *times, double percent);
/* The middle item, or the mean of the two in the middle; 0 of none. */
double kt_times_median(struct kt_times *times);
/* "name":{"count":…,"min":…,"p50":…,"p90":…,"p95":…,"p99":…,"max":…} */
void kt_times_write(struct kt_times *times, const char *name, struct kt_jw *jw);
void kt_times_done(struct kt_times *times);

#endif

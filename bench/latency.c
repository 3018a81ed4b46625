/* SPDX-License-Identifier: MIT */
#include "bench/latency.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void kt_times_add(struct kt_times *times, double value)
{
    if (times->count == times->cap) {
        size_t cap = times->cap ? times->cap * 2 : 256;
        double *items = kt_reallocarray(times->items, cap, sizeof(*items));
        if (!items) {
            fputs("no memory for the times that were measured\n", stderr);
            exit(1);
        }
        times->items = items;
        times->cap = cap;
    }
    times->items[times->count++] = value;
    times->sorted = false;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void sort(struct kt_times *times)
{
    if (!times->sorted && times->count > 0) {
        qsort(times->items, times->count, sizeof(*times->items), by_value);
    }
    times->sorted = true;
}

double kt_times_percentile(struct kt_times *times, double percent)
{
    if (times->count == 0) {
        return 0;
    }
    sort(times);
    double rank = ceil(percent / 100 * (double)times->count - 1e-9);
    size_t at = rank < 1 ? 0 : (size_t)rank - 1;
    return times->items[at < times->count ? at : times->count - 1];
}

double kt_times_median(struct kt_times *times)
{
    size_t middle = times->count / 2;

    if (times->count == 0) {
        return 0;
    }
    sort(times);
    return times->count % 2 ? times->items[middle]
                            : (times->items[middle - 1] + times->items[middle]) / 2;
}

/* Three decimals are enough, and keep the text readable. */
static void write_rounded(struct kt_jw *jw, const char *name, double value)
{
    kt_jw_kv_f64(jw, name, round(value * 1000) / 1000);
}

void kt_times_write(struct kt_times *times, const char *name, struct kt_jw *jw)
{
    kt_jw_key_text(jw, name);
    kt_jw_object(jw);
    kt_jw_kv_u64(jw, "count", times->count);
    write_rounded(jw, "min", kt_times_percentile(times, 0));
    write_rounded(jw, "p50", kt_times_percentile(times, 50));
    write_rounded(jw, "p90", kt_times_percentile(times, 90));
    write_rounded(jw, "p95", kt_times_percentile(times, 95));
    write_rounded(jw, "p99", kt_times_percentile(times, 99));
    write_rounded(jw, "max", kt_times_percentile(times, 100));
    kt_jw_object_end(jw);
}

void kt_times_done(struct kt_times *times)
{
    kt_free(times->items);
    *times = (struct kt_times){0};
}

/* SPDX-License-Identifier: MIT */
/* hist.c - log-linear buckets. */
#include "bench/hist.h"

#include <math.h>
#include <string.h>

/* Values of [2^(10+shift), 2^(11+shift)) lie 2^shift to a bucket; shift 0 is the linear part. */
static size_t bucket_of(uint64_t value)
{
    if (value < KT_HIST_LINEAR) {
        return (size_t)value;
    }
    unsigned shift = 63 - (unsigned)__builtin_clzll(value) - 10;
    return ((size_t)shift << 10) + (size_t)(value >> shift);
}

static uint64_t top_of(size_t bucket)
{
    if (bucket < KT_HIST_LINEAR) {
        return bucket;
    }
    unsigned shift = (unsigned)(bucket >> 10) - 1;
    return ((uint64_t)((bucket & 1023) + 1024 + 1) << shift) - 1;
}

void kt_hist_clear(struct kt_hist *hist)
{
    memset(hist, 0, sizeof(*hist));
}

void kt_hist_add(struct kt_hist *hist, uint64_t value_us)
{
    if (value_us > KT_HIST_MAX_US) {
        value_us = KT_HIST_MAX_US;
    }
    hist->buckets[bucket_of(value_us)]++;
    if (hist->count == 0 || value_us < hist->min_us) {
        hist->min_us = value_us;
    }
    if (value_us > hist->max_us) {
        hist->max_us = value_us;
    }
    hist->count++;
    hist->sum_us += value_us;
}

void kt_hist_merge(struct kt_hist *into, const struct kt_hist *from)
{
    if (from->count == 0) {
        return;
    }
    for (size_t i = 0; i < KT_HIST_BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
    if (into->count == 0 || from->min_us < into->min_us) {
        into->min_us = from->min_us;
    }
    if (from->max_us > into->max_us) {
        into->max_us = from->max_us;
    }
    into->count += from->count;
    into->sum_us += from->sum_us;
}

uint64_t kt_hist_percentile(const struct kt_hist *hist, double percent)
{
    if (hist->count == 0) {
        return 0;
    }
    if (percent <= 0) {
        return hist->min_us;
    }
    /* 99.9 % of 1000 is 999 and not 1000, though 0.999 has no exact double. */
    double exact = percent / 100.0 * (double)hist->count;
    uint64_t rank = (uint64_t)ceil(exact - 1e-9 * exact), seen = 0;
    if (rank < 1) {
        rank = 1;
    }
    for (size_t i = 0; i < KT_HIST_BUCKETS; i++) {
        seen += hist->buckets[i];
        if (seen >= rank) {
            uint64_t top = top_of(i);
            return top < hist->max_us ? top : hist->max_us;
        }
    }
    return hist->max_us;
}

double kt_hist_mean(const struct kt_hist *hist)
{
    return hist->count == 0 ? 0 : (double)hist->sum_us / (double)hist->count;
}

uint64_t kt_hist_count_to(const struct kt_hist *hist, uint64_t value_us)
{
    size_t last = bucket_of(value_us > KT_HIST_MAX_US ? KT_HIST_MAX_US : value_us);
    uint64_t seen = 0;
    for (size_t i = 0; i <= last; i++) {
        seen += hist->buckets[i];
    }
    return seen;
}

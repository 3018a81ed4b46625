/* hist.h - a histogram of times in microseconds, to three significant digits.
 *
 * Log-linear buckets after G. Tene's HdrHistogram: below 2048 µs each microsecond has its own
 * bucket, above it each power of two is cut into 1024, so that a value is known to better than a
 * thousandth whatever its size. Sorting every latency of a long run would need its memory; a
 * reservoir would lose the very tail that one looks for. Percentiles are the upper border of their
 * bucket: never flattering.
 *
 * Threads: one at a time per histogram.
 * Owns:    nothing; it is a plain value of 200 KB: heap or static, never a stack.
 * Fails:   never; times beyond KT_HIST_MAX_US count as that (`max_us` too).
 */
#ifndef KT_BENCH_HIST_H
#define KT_BENCH_HIST_H

#include <stddef.h>
#include <stdint.h>

#define KT_HIST_MAX_US ((UINT64_C(1) << 34) - 1) /* 4.7 hours */
#define KT_HIST_LINEAR 2048
#define KT_HIST_BUCKETS (KT_HIST_LINEAR + 1024 * 23)

struct kt_hist {
    uint64_t count, sum_us;
    uint64_t min_us, max_us; /* of an empty one: 0 */
    uint64_t buckets[KT_HIST_BUCKETS];
};

void kt_hist_clear(struct kt_hist *hist);
void kt_hist_add(struct kt_hist *hist, uint64_t value_us);
void kt_hist_merge(struct kt_hist *into, const struct kt_hist *from);
/* The least value that at least `percent` of all are not above; 0 when empty. Of 0: the least. */
uint64_t kt_hist_percentile(const struct kt_hist *hist, double percent);
double kt_hist_mean(const struct kt_hist *hist);
/* How many are at most value_us, to the bucket. */
uint64_t kt_hist_count_to(const struct kt_hist *hist, uint64_t value_us);

#endif

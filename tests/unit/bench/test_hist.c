/* SPDX-License-Identifier: MIT */
#include "bench/hist.h"
#include "bench/zipf.h"
#include "kt_test.h"

#include "base/hash.h"

#include <stdlib.h>

static struct kt_hist hist, other;

#define VALUES 200000
static uint64_t values[VALUES];

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* From 1 µs to an hour, as many of each size. */
static uint64_t any_size(uint64_t *prng)
{
    return (kt_prng_next(prng) >> 32) >> (kt_prng_next(prng) % 32);
}

static void percentiles_are_within_a_thousandth_of_the_sorted_values(void)
{
    static const double percents[] = {1, 10, 50, 75, 90, 95, 99, 99.9, 99.99, 100};
    uint64_t prng = 7;
    size_t count = kt_test_is_slow() ? VALUES / 20 : VALUES;
    kt_hist_clear(&hist);
    for (size_t i = 0; i < count; i++) {
        values[i] = any_size(&prng);
        kt_hist_add(&hist, values[i]);
    }
    qsort(values, count, sizeof(values[0]), by_size);
    for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
        double exact_rank = percents[i] / 100 * (double)count;
        size_t rank = (size_t)exact_rank;
        rank += (double)rank < exact_rank - 1e-6;
        uint64_t exact = values[rank - 1], got = kt_hist_percentile(&hist, percents[i]);
        CHECK(got >= exact);
        CHECK((double)(got - exact) <= (double)exact / 1000);
    }
    CHECK_INT(hist.min_us, values[0]);
    CHECK_INT(hist.max_us, values[count - 1]);
    CHECK_INT(kt_hist_percentile(&hist, 0), values[0]);
}

static void small_values_are_exact(void)
{
    kt_hist_clear(&hist);
    for (uint64_t i = 1; i <= 1000; i++) {
        kt_hist_add(&hist, i);
    }
    CHECK_INT(kt_hist_percentile(&hist, 50), 500);
    CHECK_INT(kt_hist_percentile(&hist, 99), 990);
    CHECK_INT(kt_hist_percentile(&hist, 99.9), 999);
    CHECK_INT(kt_hist_percentile(&hist, 100), 1000);
    CHECK_INT(kt_hist_count_to(&hist, 250), 250);
    CHECK(kt_hist_mean(&hist) == 500.5);
}

static void an_empty_histogram_says_zero(void)
{
    kt_hist_clear(&hist);
    CHECK_INT(kt_hist_percentile(&hist, 99), 0);
    CHECK(kt_hist_mean(&hist) == 0);
}

static void merged_histograms_are_one_of_all_values(void)
{
    uint64_t prng = 3;
    kt_hist_clear(&hist);
    kt_hist_clear(&other);
    static struct kt_hist both;
    kt_hist_clear(&both);
    for (int i = 0; i < 5000; i++) {
        uint64_t value = any_size(&prng);
        kt_hist_add(i % 3 ? &hist : &other, value);
        kt_hist_add(&both, value);
    }
    kt_hist_merge(&hist, &other);
    CHECK(memcmp(&hist, &both, sizeof(both)) == 0);
    kt_hist_clear(&other);
    kt_hist_merge(&hist, &other); /* an empty one has no least value */
    CHECK(memcmp(&hist, &both, sizeof(both)) == 0);
}

static void what_is_beyond_the_greatest_counts_as_the_greatest(void)
{
    kt_hist_clear(&hist);
    kt_hist_add(&hist, UINT64_MAX);
    kt_hist_add(&hist, KT_HIST_MAX_US);
    CHECK_INT(hist.max_us, KT_HIST_MAX_US);
    CHECK_INT(hist.buckets[KT_HIST_BUCKETS - 1], 2);
}

static void zipf_draws_as_its_weights_say(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_zipf zipf;
    uint64_t prng = 5;
    static uint32_t drawn[100];
    int draws = kt_test_is_slow() ? 50000 : 1000000;
    CHECK_OK(kt_zipf_init(&zipf, 100, 1.0, &err));
    memset(drawn, 0, sizeof(drawn));
    for (int i = 0; i < draws; i++) {
        size_t pick = kt_zipf_draw(&zipf, &prng);
        CHECK(pick < 100);
        drawn[pick]++;
    }
    kt_zipf_done(&zipf);
    double sum = 0; /* of 1/k */
    for (int k = 1; k <= 100; k++) {
        sum += 1.0 / k;
    }
    for (int k = 1; k <= 10; k++) {
        double expected = draws / sum / k, off = drawn[k - 1] - expected;
        CHECK(off * off < 30 * expected); /* five and a half standard deviations */
    }
}

static void without_a_law_all_are_alike(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_zipf zipf;
    uint64_t prng = 5;
    int drawn[10] = {0};
    CHECK_OK(kt_zipf_init(&zipf, 10, 0, &err));
    for (int i = 0; i < 10000; i++) {
        drawn[kt_zipf_draw(&zipf, &prng)]++;
    }
    kt_zipf_done(&zipf);
    for (int i = 0; i < 10; i++) {
        CHECK(drawn[i] > 800 && drawn[i] < 1200);
    }
}

static const struct kt_test tests[] = {
    TEST(percentiles_are_within_a_thousandth_of_the_sorted_values),
    TEST(small_values_are_exact),
    TEST(an_empty_histogram_says_zero),
    TEST(merged_histograms_are_one_of_all_values),
    TEST(what_is_beyond_the_greatest_counts_as_the_greatest),
    TEST(zipf_draws_as_its_weights_say),
    TEST(without_a_law_all_are_alike),
};
KT_TEST_MAIN(tests)

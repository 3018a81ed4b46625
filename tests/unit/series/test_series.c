/* SPDX-License-Identifier: MIT */
/* The series against its contract, and against a model that walks all versions for every question.
 */
#include "base/hash.h"
#include "base/mem.h"
#include "series/series.h"
#include "tests/unit/kt_test.h"

#include <stdlib.h>

#define INDICATORS 6
#define PERIODS 4

static const char *const period_names[PERIODS] = {"", "FY", "Q4", "\xe5\xb9\xb4"};
static const struct kt_bounds everything = {KT_TIME_MAX, KT_REVISION_MAX};

struct model_version {
    struct kt_version version;
    struct kt_value values[INDICATORS];
};

static int model_order(const void *a, const void *b)
{
    const struct kt_version *x = &((const struct model_version *)a)->version;
    const struct kt_version *y = &((const struct model_version *)b)->version;
    if (x->time_s != y->time_s) {
        return x->time_s < y->time_s ? -1 : 1;
    }
    int order = kt_str_cmp(x->period, y->period);
    if (order != 0) {
        return order;
    }
    if (x->declare_s != y->declare_s) {
        return x->declare_s < y->declare_s ? -1 : 1;
    }
    if (x->revision != y->revision) {
        return x->revision < y->revision ? -1 : 1;
    }
    return x->line < y->line ? -1 : x->line > y->line;
}

static struct kt_opt_text random_text(uint64_t r)
{
    static const char *const texts[] = {"2020-12-31", "2021-12-31", ""};
    struct kt_opt_text text = {(enum kt_named)(r % 3), {NULL, 0}};
    if (text.named == KT_NAMED) {
        text.text = kt_str(texts[r / 3 % 3]);
    }
    return text;
}

/* `count` versions over few records, in order; the values point into the elements. Some models are
 * declared at all or at no records, some centuries after them. */
static void make_model(struct model_version *model, size_t count, uint64_t *seed)
{
    uint64_t shape = kt_prng_next(seed);
    int64_t far_s = shape % 8 == 0 ? INT64_C(1) << 36 : 0;
    for (size_t i = 0; i < count; i++) {
        struct model_version *m = &model[i];
        memset(m, 0, sizeof(*m));
        m->version.time_s = (int64_t)(kt_prng_next(seed) % 9) * 100 - 400;
        m->version.period = kt_str(period_names[kt_prng_next(seed) % PERIODS]);
        m->version.declare_given = kt_prng_next(seed) % 2 ? shape / 8 % 4 != 0 : shape / 8 % 4 == 1;
        int64_t declare_s = (int64_t)(kt_prng_next(seed) % 9) * 50;
        m->version.declare_s = !m->version.declare_given ? m->version.time_s
                               : declare_s == 400        ? declare_s + far_s
                                                         : declare_s;
        m->version.revision = 1 + kt_prng_next(seed) % 5;
        m->version.line = (uint32_t)i;
        m->version.end_date = random_text(kt_prng_next(seed));
        m->version.year = random_text(kt_prng_next(seed));
        for (uint32_t j = 0; j < INDICATORS; j++) {
            uint64_t r = kt_prng_next(seed);
            if (r % 3 == 0) {
                m->values[m->version.value_count++] =
                    (struct kt_value){j * 7, r % 4 == 0, r % 4 == 0 ? 0 : (double)(r % 1000)};
            }
        }
    }
    qsort(model, count, sizeof(*model), model_order);
    for (size_t i = 0; i < count; i++) {
        model[i].version.values = model[i].values;
    }
}

static struct kt_series *build(struct kt_series_builder *builder, const struct model_version *model,
                               size_t count)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_series *series = NULL;
    for (size_t i = 0; i < count; i++) {
        if (kt_series_builder_add(builder, &model[i].version, &err) != KT_OK) {
            return NULL;
        }
    }
    return kt_series_builder_finish(builder, 9, &series, &err) == KT_OK ? series : NULL;
}

static bool within(const struct kt_version *version, const struct kt_bounds *bounds)
{
    return version->declare_s <= bounds->as_of_s && version->revision <= bounds->revision;
}

static void model_text(struct kt_opt_text named, struct kt_opt_text *text)
{
    if (named.named == KT_NAMED) {
        *text = named;
    } else if (named.named == KT_NAMED_NULL) {
        text->named = KT_NOT_NAMED;
    }
}

static bool same_text(struct kt_opt_text a, struct kt_opt_text b)
{
    return a.named == b.named && (a.named != KT_NAMED || kt_str_eq(a.text, b.text));
}

/* Compares one record, model versions [begin, end), with what the series says of it. */
static void check_record(const struct kt_series *series, size_t index,
                         const struct model_version *begin, const struct model_version *end,
                         const struct kt_bounds *bounds)
{
    bool exists = false, given = false;
    int64_t declare_s = 0;
    struct kt_opt_text end_date = {KT_NOT_NAMED, {NULL, 0}}, year = end_date;
    bool has[INDICATORS] = {false};
    double numbers[INDICATORS] = {0};
    for (const struct model_version *m = begin; m < end; m++) {
        if (!within(&m->version, bounds)) {
            continue;
        }
        exists = true;
        if (m->version.declare_given) {
            given = true;
            declare_s = m->version.declare_s;
        }
        model_text(m->version.end_date, &end_date);
        model_text(m->version.year, &year);
        for (size_t j = 0; j < m->version.value_count; j++) {
            has[m->values[j].indicator / 7] = !m->values[j].is_null;
            numbers[m->values[j].indicator / 7] = m->values[j].number;
        }
    }
    struct kt_record record;
    kt_series_record(series, index, bounds, &record);
    CHECK_INT(kt_series_exists(series, index, bounds), exists);
    CHECK_INT(record.time_s, begin->version.time_s);
    CHECK(kt_str_eq(record.period, begin->version.period));
    CHECK_INT(record.declare_given, given);
    CHECK(!given || record.declare_s == declare_s);
    CHECK(same_text(record.end_date, end_date));
    CHECK(same_text(record.year, year));
    for (uint32_t j = 0; j < INDICATORS; j++) {
        double value = -1;
        CHECK_INT(kt_series_value(series, index, j * 7, bounds, &value), has[j]);
        CHECK(!has[j] || value == numbers[j]);
        CHECK(!kt_series_value(series, index, j * 7 + 1, bounds, &value));
    }
}

/* The newest record by the contract's words, looked for among all. */
static ptrdiff_t naive_newest(const struct kt_series *series, int64_t until_s,
                              const struct kt_period_filter *filter, const struct kt_bounds *bounds)
{
    ptrdiff_t newest = -1;
    for (size_t i = 0; i < kt_series_record_count(series); i++) {
        struct kt_record record;
        kt_series_record(series, i, bounds, &record);
        bool wanted = filter->count == 0;
        for (size_t j = 0; j < filter->count; j++) {
            wanted |= kt_str_eq(record.period, filter->periods[j]);
        }
        if (wanted && record.time_s <= until_s && kt_series_exists(series, i, bounds)) {
            newest = (ptrdiff_t)i;
        }
    }
    return newest;
}

static void check_walks(const struct kt_series *series, const struct kt_bounds *bounds,
                        uint64_t *seed)
{
    struct kt_str periods[2] = {kt_str(period_names[kt_prng_next(seed) % PERIODS]),
                                kt_str(period_names[kt_prng_next(seed) % PERIODS])};
    struct kt_period_filter filter = {periods, kt_prng_next(seed) % 3};
    int64_t until_s = (int64_t)(kt_prng_next(seed) % 12) * 100 - 550;
    ptrdiff_t at = kt_series_newest(series, until_s, &filter, bounds);
    CHECK_INT(at, naive_newest(series, until_s, &filter, bounds));
    while (at >= 0) {
        struct kt_record record;
        kt_series_record(series, (size_t)at, bounds, &record);
        CHECK(record.time_s <= until_s);
        CHECK(kt_series_exists(series, (size_t)at, bounds));
        ptrdiff_t older = kt_series_older(series, at, &filter, bounds);
        CHECK(older < at);
        at = older;
    }
    int64_t from_s = (int64_t)(kt_prng_next(seed) % 12) * 100 - 550;
    size_t begin, end;
    kt_series_range(series, from_s, until_s, &begin, &end);
    CHECK(begin <= end && end <= kt_series_record_count(series));
    for (size_t i = 0; i < kt_series_record_count(series); i++) {
        struct kt_record record;
        kt_series_record(series, i, &everything, &record);
        CHECK_INT(i >= begin && i < end, record.time_s >= from_s && record.time_s <= until_s);
    }
}

/* Going back from value to value finds what asking every record finds. */
static void check_back(const struct kt_series *series, const struct kt_bounds *bounds,
                       uint64_t *seed)
{
    size_t count = kt_series_record_count(series);
    size_t before = kt_prng_next(seed) % (count + 1), low = kt_prng_next(seed) % (count + 1);
    for (uint32_t indicator = 0; indicator <= INDICATORS; indicator++) {
        double value = -1, expected = -1;
        ptrdiff_t at = -1;
        for (size_t i = low; i < before; i++) {
            if (kt_series_value(series, i, indicator, bounds, &expected)) {
                at = (ptrdiff_t)i;
            }
        }
        CHECK_INT(kt_series_value_back(series, low, before, indicator, bounds, &value), at);
        CHECK(value == expected);
    }
}

static void a_series_agrees_with_a_walk_over_all_versions(void)
{
    static struct model_version model[64];
    uint64_t seed = 42;
    struct kt_series_builder *builder = kt_series_builder_new();
    int rounds = kt_test_is_slow() ? 100 : 2000;
    for (int round = 0; round < rounds; round++) {
        size_t count = kt_prng_next(&seed) % 64;
        make_model(model, count, &seed);
        struct kt_series *series = build(builder, model, count);
        CHECK(series);
        for (int q = 0; q < 6; q++) {
            struct kt_bounds bounds = everything;
            if (q > 0) {
                bounds.as_of_s =
                    q % 2 ? (int64_t)(kt_prng_next(&seed) % 20) * 50 - 400 : KT_TIME_MAX;
                bounds.revision = q / 2 % 2 ? KT_REVISION_MAX : kt_prng_next(&seed) % 6;
            }
            size_t index = 0;
            for (size_t begin = 0, end; begin < count; begin = end, index++) {
                end = begin + 1;
                while (end < count && model[end].version.time_s == model[begin].version.time_s &&
                       kt_str_eq(model[end].version.period, model[begin].version.period)) {
                    end++;
                }
                check_record(series, index, model + begin, model + end, &bounds);
            }
            CHECK_INT(kt_series_record_count(series), index);
            check_walks(series, &bounds, &seed);
            check_back(series, &bounds, &seed);
        }
        CHECK_INT(kt_series_loaded_revision(series), 9);
        kt_series_unref(&series);
    }
    kt_series_builder_free(&builder);
}

/* Ids of texts are a byte as long as all of them fit. */
static void many_texts_are_told_apart(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_series_builder *builder = kt_series_builder_new();
    for (int count = 250; count <= 260; count++) {
        struct kt_series *series = NULL;
        struct kt_record record;
        char text[16];
        for (int i = 0; i < count; i++) {
            snprintf(text, sizeof(text), "T%d", i);
            struct kt_version version = {.time_s = i,
                                         .period = kt_str(i % 2 ? "p" : ""),
                                         .declare_s = i,
                                         .revision = 1,
                                         .end_date = {KT_NAMED, kt_str(text)},
                                         .year = {KT_NAMED_NULL, {NULL, 0}}};
            CHECK_OK(kt_series_builder_add(builder, &version, &err));
        }
        CHECK_OK(kt_series_builder_finish(builder, 1, &series, &err));
        for (int i = 0; i < count; i++) {
            snprintf(text, sizeof(text), "T%d", i);
            kt_series_record(series, (size_t)i, &everything, &record);
            CHECK_SLICE(record.period, i % 2 ? "p" : "");
            CHECK_SLICE(record.end_date.text, text);
            CHECK_INT(record.year.named, KT_NOT_NAMED);
        }
        kt_series_unref(&series);
    }
    kt_series_builder_free(&builder);
}

static void an_empty_series_has_no_newest_record(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_series_builder *builder = kt_series_builder_new();
    struct kt_series *series = NULL;
    CHECK_OK(kt_series_builder_finish(builder, 3, &series, &err));
    size_t begin = 7, end = 7, count = 7;
    kt_series_range(series, KT_TIME_MIN, KT_TIME_MAX, &begin, &end);
    CHECK_INT(begin, 0);
    CHECK_INT(end, 0);
    CHECK_INT(kt_series_newest(series, KT_TIME_MAX, NULL, &everything), -1);
    CHECK(kt_series_indicators(series, &count) || count == 0);
    CHECK_INT(count, 0);
    CHECK(kt_series_bytes(series) > 0);
    kt_series_unref(&series);
    CHECK(!series);
    kt_series_builder_free(&builder);
}

static void versions_out_of_order_are_refused_as_corrupt(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_series_builder *builder = kt_series_builder_new();
    struct kt_version v = {
        .time_s = 10, .period = KT_STR("b"), .declare_s = 20, .revision = 3, .line = 4};
    CHECK_OK(kt_series_builder_add(builder, &v, &err));
    CHECK_FAILS(kt_series_builder_add(builder, &v, &err), KT_CORRUPT);
    struct kt_version worse[] = {v, v, v, v, v};
    worse[0].time_s = 9;
    worse[1].period = KT_STR("a");
    worse[2].declare_s = 19;
    worse[3].revision = 2;
    worse[4].line = 3;
    for (size_t i = 0; i < KT_ARRAY_LEN(worse); i++) {
        CHECK_FAILS(kt_series_builder_add(builder, &worse[i], &err), KT_CORRUPT);
    }
    v.line = 5;
    CHECK_OK(kt_series_builder_add(builder, &v, &err));
    struct kt_value far = {UINT32_MAX, false, 1};
    v.line = 6;
    v.values = &far;
    v.value_count = 1;
    CHECK_FAILS(kt_series_builder_add(builder, &v, &err), KT_CORRUPT);
    kt_series_builder_free(&builder);
}

/* 60 quarters of 11 values, one in ten missing: the shape of the S&P 500 data. */
static struct kt_series *quarters(struct kt_series_builder *builder, struct kt_error *err)
{
    struct kt_series *series = NULL;
    for (int i = 0; i < 60; i++) {
        struct kt_value values[11];
        size_t count = 0;
        for (uint32_t j = 0; j < 11; j++) {
            if ((i * 7 + (int)j) % 10 != 0) {
                values[count++] = (struct kt_value){j, false, i * 100.5 + j};
            }
        }
        struct kt_version version = {.time_s = i * 90 * KT_DAY_S,
                                     .period = KT_STR(""),
                                     .declare_s = i * 90 * KT_DAY_S,
                                     .revision = (uint64_t)i / 3 + 1,
                                     .values = values,
                                     .value_count = count};
        if (kt_series_builder_add(builder, &version, err) != KT_OK) {
            return NULL;
        }
    }
    return kt_series_builder_finish(builder, 99, &series, err) == KT_OK ? series : NULL;
}

/* 15 quarters of 6 values, declared weeks later: a small subject, with the cache's own share. */
static void small_subjects_take_at_most_fifteen_bytes_a_value(void)
{
    static const char *const names[] = {"Q1", "Q2", "Q3", "Q4"};
    struct kt_error err = KT_ERROR_INIT;
    struct kt_series_builder *builder = kt_series_builder_new();
    struct kt_series *series = NULL;
    for (int i = 0; i < 15; i++) {
        struct kt_value values[6];
        for (uint32_t j = 0; j < 6; j++) {
            values[j] = (struct kt_value){j, false, i * 100.5 + j};
        }
        struct kt_version version = {.time_s = i * 90 * KT_DAY_S,
                                     .period = kt_str(names[i % 4]),
                                     .declare_given = true,
                                     .declare_s = (i * 90 + 30) * KT_DAY_S,
                                     .revision = 7,
                                     .values = values,
                                     .value_count = 6};
        CHECK_OK(kt_series_builder_add(builder, &version, &err));
    }
    CHECK_OK(kt_series_builder_finish(builder, 99, &series, &err));
    CHECK(kt_series_bytes(series) + 48 <= 15 * kt_series_value_count(series));
    kt_series_unref(&series);
    kt_series_builder_free(&builder);
}

static void quarterly_figures_take_at_most_sixteen_bytes_a_value(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_series_builder *builder = kt_series_builder_new();
    struct kt_series *series = quarters(builder, &err);
    CHECK(series);
    CHECK_INT(kt_series_value_count(series), 594);
    CHECK(kt_series_bytes(series) <= 16 * kt_series_value_count(series));
    kt_series_unref(&series);
    kt_series_builder_free(&builder);
}

static void rare_indicators_do_not_take_a_cell_in_every_record(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_series_builder *builder = kt_series_builder_new();
    struct kt_series *series = NULL;
    for (uint32_t i = 0; i < 1000;
         i++) { /* each record has an indicator of its own, and one at the ends */
        struct kt_value values[2] = {{i, false, i}, {2000, false, 1}};
        struct kt_version version = {.time_s = i,
                                     .period = KT_STR("p"),
                                     .declare_s = i,
                                     .revision = 1,
                                     .values = values,
                                     .value_count = i == 0 || i == 999 ? 2 : 1};
        CHECK_OK(kt_series_builder_add(builder, &version, &err));
    }
    CHECK_OK(kt_series_builder_finish(builder, 1, &series, &err));
    CHECK(kt_series_bytes(series) < 1000 * 64);
    double value = 0;
    CHECK(kt_series_value(series, 777, 777, &everything, &value));
    CHECK_INT(value, 777);
    CHECK(!kt_series_value(series, 777, 778, &everything, &value));
    CHECK(kt_series_value(series, 999, 2000, &everything, &value));
    CHECK(kt_series_value(series, 0, 2000, &everything, &value));
    CHECK(!kt_series_value(series, 500, 2000, &everything, &value));
    size_t count;
    const uint32_t *numbers = kt_series_indicators(series, &count);
    CHECK_INT(count, 1001);
    CHECK_INT(numbers[0], 0);
    CHECK_INT(numbers[1000], 2000);
    kt_series_unref(&series);
    kt_series_builder_free(&builder);
}

static void memory_that_runs_out_anywhere_leaves_the_builder_usable(void)
{
    struct kt_error err = KT_ERROR_INIT;
    static struct model_version model[40];
    uint64_t seed = 7;
    make_model(model, 40, &seed);
    for (uint64_t nth = 1;; nth++) {
        struct kt_series_builder *builder = kt_series_builder_new();
        CHECK(builder);
        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        struct kt_series *series = build(builder, model, 40);
        bool reached = kt_fault_calls(KT_FAULT_ALLOC) >= nth;
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        if (series) {
            CHECK(!reached);
            kt_series_unref(&series);
            kt_series_builder_free(&builder);
            return;
        }
        kt_series_builder_clear(builder);
        series = quarters(builder, &err);
        CHECK(series);
        CHECK_INT(kt_series_value_count(series), 594);
        kt_series_unref(&series);
        kt_series_builder_free(&builder);
    }
}

static void a_series_lives_as_long_as_its_last_reference(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_series_builder *builder = kt_series_builder_new();
    struct kt_series *one = quarters(builder, &err);
    CHECK(one);
    struct kt_series *two = kt_series_ref(one);
    kt_series_builder_free(&builder);
    kt_series_unref(&one);
    CHECK_INT(kt_series_record_count(two), 60);
    kt_series_unref(&two);
    kt_series_unref(&two);
    kt_series_unref(NULL);
}

static const struct kt_test tests[] = {
    TEST(a_series_agrees_with_a_walk_over_all_versions),
    TEST(many_texts_are_told_apart),
    TEST(an_empty_series_has_no_newest_record),
    TEST(versions_out_of_order_are_refused_as_corrupt),
    TEST(small_subjects_take_at_most_fifteen_bytes_a_value),
    TEST(quarterly_figures_take_at_most_sixteen_bytes_a_value),
    TEST(rare_indicators_do_not_take_a_cell_in_every_record),
    TEST(memory_that_runs_out_anywhere_leaves_the_builder_usable),
    TEST(a_series_lives_as_long_as_its_last_reference),
};
KT_TEST_MAIN(tests)

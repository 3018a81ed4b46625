/* SPDX-License-Identifier: MIT */
/* downsample.c - many records into one row for each day, week, month, quarter or year.
 *
 * A bucket is a stretch of the UTC calendar; its records are those that the question would have
 * shown without `interval`. Values are taken from the oldest record to the newest, whatever the
 * order of the answer, so that a sum is the same number in both.
 */
#include "query/query_impl.h"

#include "base/mem.h"

#include <math.h>

/* The bucket with a second in it, by days since 1970-01-01; 1970-01-01 was a Thursday. */
static void bucket_days(enum interval interval, int64_t day, int64_t *ret_first, int64_t *ret_last)
{
    int year, month, ignored;
    kt_civil_from_days(day, &year, &month, &ignored);
    int first = 1, last = 12; /* months */
    switch (interval) {
    case INTERVAL_NONE:
    case INTERVAL_DAY:
        *ret_first = *ret_last = day;
        return;
    case INTERVAL_WEEK:
        *ret_first = day - ((day + 3) % 7 + 7) % 7;
        *ret_last = *ret_first + 6;
        return;
    case INTERVAL_MONTH:
        first = last = month;
        break;
    case INTERVAL_QUARTER:
        first = (month - 1) / 3 * 3 + 1;
        last = first + 2;
        break;
    case INTERVAL_YEAR:
        break;
    }
    *ret_first = kt_days_from_civil(year, first, 1);
    *ret_last =
        last == 12 ? kt_days_from_civil(year, 12, 31) : kt_days_from_civil(year, last + 1, 1) - 1;
}

void query_bucket_of(enum interval interval, int64_t time_s, int64_t *ret_first_s,
                     int64_t *ret_last_s)
{
    int64_t first = 0, last = 0;
    int64_t day = time_s / KT_DAY_S - (time_s % KT_DAY_S < 0);
    bucket_days(interval, day, &first, &last);
    *ret_first_s = first * KT_DAY_S;
    *ret_last_s = (last + 1) * KT_DAY_S - 1;
    if (*ret_last_s > KT_TIME_MAX) { /* the last week of 9999 */
        *ret_last_s = KT_TIME_MAX;
    }
}

/* --- parsing --- */

struct word {
    const char *text;
    int value;
};
static const struct word intervals[] = {{"1d", INTERVAL_DAY},
                                        {"1w", INTERVAL_WEEK},
                                        {"1M", INTERVAL_MONTH},
                                        {"1Q", INTERVAL_QUARTER},
                                        {"1Y", INTERVAL_YEAR}};
static const struct word aggs[] = {{"last", AGG_LAST},  {"first", AGG_FIRST}, {"min", AGG_MIN},
                                   {"max", AGG_MAX},    {"avg", AGG_AVG},     {"sum", AGG_SUM},
                                   {"count", AGG_COUNT}};

static enum kt_status parse_word(struct kt_json_fields *fields, const char *name,
                                 const struct word *words, size_t count, const char *list,
                                 int *ret_value, bool *ret_present, struct kt_error *err)
{
    struct kt_str text;
    enum kt_status status = kt_json_get_string(fields, name, &text, ret_present, err);
    if (status != KT_OK || !*ret_present) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        if (kt_str_eq_text(text, words[i].text)) {
            *ret_value = words[i].value;
            return KT_OK;
        }
    }
    return kt_fail_field(err, KT_BAD_VALUE, name, "%s must be one of %s", name, list);
}

enum kt_status query_parse_interval(struct kt_json_fields *fields, struct question *q,
                                    struct kt_error *err)
{
    bool has_interval = false, has_agg = false;
    int interval = INTERVAL_NONE, agg = AGG_LAST;
    enum kt_status status = parse_word(fields, "interval", intervals, KT_ARRAY_LEN(intervals),
                                       "1d 1w 1M 1Q 1Y", &interval, &has_interval, err);
    if (status == KT_OK) {
        status = parse_word(fields, "agg", aggs, KT_ARRAY_LEN(aggs),
                            "first last min max avg sum count", &agg, &has_agg, err);
    }
    if (status == KT_OK && has_agg && !has_interval) {
        status = kt_fail_field(err, KT_BAD_VALUE, "agg", "agg needs an interval");
    }
    if (status == KT_OK) {
        q->interval = (enum interval)interval;
        q->agg = (enum agg)agg;
    }
    return status;
}

const char *query_interval_text(enum interval interval)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(intervals); i++) {
        if (intervals[i].value == (int)interval) {
            return intervals[i].text;
        }
    }
    return "";
}

/* --- values --- */

/* What all of agg can be made of. `scaled` is the sum of the values' 2^-64ths: it can't overflow,
 * and is what tells a sum that is too large from one that only was so on the way. */
struct tally {
    size_t count;
    double first, last, min, max, sum, scaled;
};

static void count_in(struct tally *t, double value)
{
    if (t->count++ == 0) {
        t->first = t->min = t->max = value;
    }
    t->last = value;
    t->min = value < t->min ? value : t->min;
    t->max = value > t->max ? value : t->max;
    t->sum += value;
    t->scaled += value * 0x1p-64;
}

/* Not finite when it is beyond the doubles. */
static double sum_of(const struct tally *t)
{
    return isfinite(t->sum) ? t->sum : t->scaled * 0x1p64;
}

static double mean_of(const struct tally *t)
{
    if (isfinite(t->sum)) {
        return t->sum / (double)t->count;
    }
    double mean = t->scaled / (double)t->count * 0x1p64;
    return mean < t->min ? t->min : mean > t->max ? t->max : mean;
}

static double result_of(const struct tally *t, enum agg agg)
{
    switch (agg) {
    case AGG_LAST:
        return t->last;
    case AGG_FIRST:
        return t->first;
    case AGG_MIN:
        return t->min;
    case AGG_MAX:
        return t->max;
    case AGG_AVG:
        return mean_of(t);
    case AGG_SUM:
        return sum_of(t);
    case AGG_COUNT:
        break;
    }
    return (double)t->count;
}

static enum kt_status fail_sum(const struct plan *plan, const struct bucket *bucket,
                               uint32_t indicator, struct kt_error *err)
{
    char date[11];
    struct kt_str key = kt_catalogue_indicator(plan->view, indicator);
    kt_format_date(bucket->last_s, date);
    return kt_fail_field(err, KT_BAD_VALUE, "agg",
                         "agg: the sum of " KT_STR_FMT " up to %s is larger than a number can be",
                         KT_STR_ARG(key), date);
}

enum kt_status query_bucket_value(struct plan *plan, const struct kt_series *series,
                                  const struct bucket *bucket, uint32_t indicator,
                                  double *ret_value, bool *ret_has, struct kt_error *err)
{
    struct tally tally = {0};
    double value;
    for (size_t i = 0; i < bucket->count; i++) {
        enum kt_status status = query_tick(plan, err);
        if (status != KT_OK) {
            return status;
        }
        if (kt_series_value(series, bucket->records[i], indicator, &plan->bounds, &value)) {
            count_in(&tally, value);
        }
    }
    *ret_has = tally.count > 0;
    if (tally.count > 0) {
        value = result_of(&tally, plan->q.agg);
        if (!isfinite(value)) {
            return fail_sum(plan, bucket, indicator, err);
        }
        *ret_value = value;
    }
    return KT_OK;
}

enum kt_status query_write_bucket_values(struct plan *plan, const struct kt_series *series,
                                         const struct bucket *bucket, struct kt_buf *body,
                                         struct kt_error *err)
{
    for (size_t i = 0; i < plan->picked_count; i++) {
        struct column *column = &plan->columns[plan->picked[i]];
        double value;
        bool has = false;
        enum kt_status status =
            query_bucket_value(plan, series, bucket, column->number, &value, &has, err);
        if (status == KT_OK && has) {
            status = query_write_value(plan, column, value, false, body, err);
        }
        if (status != KT_OK) {
            return status;
        }
    }
    return query_values_status(plan, body, err);
}

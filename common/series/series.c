/* SPDX-License-Identifier: MIT */
/* Reading a series.
 *
 * Most questions are not bounded below what the series holds; these read the columns and nothing
 * else. A bounded one decides record by record: a record with one version is seen whole or not at
 * all, one with several is walked from its newest version back.
 */
#include "series/series_internal.h"

#include "base/mem.h"

#include <math.h>

struct kt_series *kt_series_ref(struct kt_series *series)
{
    /* Relaxed: whoever refs holds a reference already, so the object cannot go away meanwhile. */
    atomic_fetch_add_explicit(&series->refs, 1, memory_order_relaxed);
    return series;
}

void kt_series_unref(struct kt_series **series)
{
    if (!series || !*series) {
        return;
    }
    /* Release orders our reads before the last unref elsewhere, acquire orders them before free. */
    if (atomic_fetch_sub_explicit(&(*series)->refs, 1, memory_order_acq_rel) == 1) {
        kt_free(*series);
    }
    *series = NULL;
}

size_t kt_series_bytes(const struct kt_series *series)
{
    return series->bytes;
}

uint64_t kt_series_loaded_revision(const struct kt_series *series)
{
    return series->loaded_revision;
}

size_t kt_series_record_count(const struct kt_series *series)
{
    return series->record_count;
}

size_t kt_series_value_count(const struct kt_series *series)
{
    return series->value_count;
}

const uint32_t *kt_series_indicators(const struct kt_series *series, size_t *ret_count)
{
    *ret_count = series->column_count;
    return series->indicators;
}

static struct kt_str text_of(const struct kt_series *series, uint32_t id)
{
    if (id < SERIES_TEXT_FIRST) {
        return kt_str_n(NULL, 0);
    }
    struct series_text text = series->texts[id - SERIES_TEXT_FIRST];
    return kt_str_n(series->text_bytes + text.offset, text.len);
}

static uint32_t id_at(const struct kt_series *series, const void *ids, size_t index)
{
    return series->wide_ids ? ((const uint32_t *)ids)[index] : ((const uint8_t *)ids)[index];
}

static struct kt_str period_of(const struct kt_series *series, size_t index)
{
    return text_of(series,
                   series->periods ? id_at(series, series->periods, index) : series->common_period);
}

int64_t kt_series_time(const struct kt_series *series, size_t index)
{
    KT_ASSERT(index < series->record_count);
    return series->times[index];
}

struct kt_str kt_series_period(const struct kt_series *series, size_t index)
{
    KT_ASSERT(index < series->record_count);
    return period_of(series, index);
}

static int64_t declare_of(const struct kt_series *series, size_t index)
{
    if (!series->declares) {
        return series->times[index];
    }
    return series->wide_declares
               ? ((const int64_t *)series->declares)[index]
               : series->times[index] + ((const int32_t *)series->declares)[index];
}

static uint64_t revision_of(const struct kt_series *series, size_t index)
{
    return series->revisions ? series->revisions[index] : series->max_revision;
}

/* Nothing that the series holds lies outside the bounds. */
static bool covers_all(const struct kt_series *series, const struct kt_bounds *bounds)
{
    return bounds->as_of_s >= series->max_declare_s && bounds->revision >= series->max_revision;
}

/* How many records before this one have several versions. */
static size_t multis_before(const struct kt_series *series, size_t index)
{
    size_t low = 0, high = series->multi_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (series->multis[mid].record < index) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static const struct series_multi *multi_of(const struct kt_series *series, size_t index)
{
    size_t low = multis_before(series, index);
    if (low < series->multi_count && series->multis[low].record == index) {
        return &series->multis[low];
    }
    return NULL;
}

static bool version_within(const struct series_version *version, const struct kt_bounds *bounds)
{
    return version->declare_s <= bounds->as_of_s && version->revision <= bounds->revision;
}

bool kt_series_exists(const struct kt_series *series, size_t index, const struct kt_bounds *bounds)
{
    KT_ASSERT(index < series->record_count);
    if (covers_all(series, bounds)) {
        return true;
    }
    const struct series_multi *multi = multi_of(series, index);
    if (!multi) {
        return declare_of(series, index) <= bounds->as_of_s &&
               revision_of(series, index) <= bounds->revision;
    }
    for (uint32_t i = 0; i < multi->count; i++) {
        if (version_within(&series->versions[multi->begin + i], bounds)) {
            return true;
        }
    }
    return false;
}

/* First index whose time is > time_s. */
static size_t after_time(const struct kt_series *series, int64_t time_s)
{
    size_t low = 0, high = series->record_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (series->times[mid] <= time_s) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static bool period_wanted(const struct kt_period_filter *filter, struct kt_str period)
{
    if (!filter || filter->count == 0) {
        return true;
    }
    for (size_t i = 0; i < filter->count; i++) {
        if (kt_str_eq(filter->periods[i], period)) {
            return true;
        }
    }
    return false;
}

ptrdiff_t kt_series_older(const struct kt_series *series, ptrdiff_t before,
                          const struct kt_period_filter *periods, const struct kt_bounds *bounds)
{
    KT_ASSERT(before >= 0 && (size_t)before <= series->record_count);
    for (ptrdiff_t i = before - 1; i >= 0; i--) {
        if (period_wanted(periods, period_of(series, (size_t)i)) &&
            kt_series_exists(series, (size_t)i, bounds)) {
            return i;
        }
    }
    return -1;
}

ptrdiff_t kt_series_newest(const struct kt_series *series, int64_t until_s,
                           const struct kt_period_filter *periods, const struct kt_bounds *bounds)
{
    return kt_series_older(series, (ptrdiff_t)after_time(series, until_s), periods, bounds);
}

void kt_series_range(const struct kt_series *series, int64_t from_s, int64_t to_s,
                     size_t *ret_begin, size_t *ret_end)
{
    size_t begin = from_s == INT64_MIN ? 0 : after_time(series, from_s - 1);
    size_t end = after_time(series, to_s);
    *ret_begin = begin;
    *ret_end = end < begin ? begin : end;
}

static struct kt_opt_text opt_text(const struct kt_series *series, uint32_t id)
{
    struct kt_opt_text text = {KT_NOT_NAMED, {NULL, 0}};
    if (id >= SERIES_TEXT_FIRST) {
        text.named = KT_NAMED;
        text.text = text_of(series, id);
    }
    return text;
}

static void multi_record(const struct kt_series *series, const struct series_multi *multi,
                         const struct kt_bounds *bounds, struct kt_record *ret_record)
{
    uint32_t end_date = SERIES_TEXT_NONE, year = SERIES_TEXT_NONE;
    for (uint32_t i = 0; i < multi->count; i++) {
        const struct series_version *version = &series->versions[multi->begin + i];
        if (!version_within(version, bounds)) {
            continue;
        }
        if (version->declare_given) { /* versions ascend by declare time: the last is greatest */
            ret_record->declare_given = true;
            ret_record->declare_s = version->declare_s;
        }
        end_date = version->end_date != SERIES_TEXT_NONE ? version->end_date : end_date;
        year = version->year != SERIES_TEXT_NONE ? version->year : year;
    }
    ret_record->end_date = opt_text(series, end_date);
    ret_record->year = opt_text(series, year);
}

void kt_series_record(const struct kt_series *series, size_t index, const struct kt_bounds *bounds,
                      struct kt_record *ret_record)
{
    KT_ASSERT(index < series->record_count);
    *ret_record =
        (struct kt_record){.time_s = series->times[index], .period = period_of(series, index)};
    const struct series_multi *multi = multi_of(series, index);
    if (multi) {
        multi_record(series, multi, bounds, ret_record);
        return;
    }
    if (!kt_series_exists(series, index, bounds)) {
        return;
    }
    if (series->declare_given ? series->declare_given[index] : series->all_given) {
        ret_record->declare_given = true;
        ret_record->declare_s = declare_of(series, index);
    }
    if (series->end_dates) {
        ret_record->end_date = opt_text(series, id_at(series, series->end_dates, index));
    }
    if (series->years) {
        ret_record->year = opt_text(series, id_at(series, series->years, index));
    }
}

/* Position of the least element ≥ wanted in an ascending array. */
static size_t lower_bound(const uint32_t *array, size_t count, uint32_t wanted)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (array[mid] < wanted) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static bool column_value(const struct kt_series *series, const struct series_column *column,
                         size_t index, double *ret_value)
{
    double number;
    if (column->rows != SERIES_DENSE) {
        const uint32_t *rows = series->rows + column->rows;
        size_t at = lower_bound(rows, column->count, (uint32_t)index);
        if (at == column->count || rows[at] != index) {
            return false;
        }
        number = series->numbers[column->numbers + at];
    } else {
        if (index < column->first || index - column->first >= column->count) {
            return false;
        }
        number = series->numbers[column->numbers + (index - column->first)];
        if (isnan(number)) {
            return false;
        }
    }
    *ret_value = number;
    return true;
}

static bool walked_value(const struct kt_series *series, const struct series_multi *multi,
                         uint32_t indicator, const struct kt_bounds *bounds, double *ret_value)
{
    for (uint32_t i = multi->count; i-- > 0;) {
        const struct series_version *version = &series->versions[multi->begin + i];
        if (!version_within(version, bounds)) {
            continue;
        }
        const struct kt_value *values = series->version_values + version->value_begin;
        for (uint32_t j = version->value_count; j-- > 0;) {
            if (values[j].indicator != indicator) {
                continue;
            }
            if (values[j].is_null) {
                return false;
            }
            *ret_value = values[j].number;
            return true;
        }
    }
    return false;
}

static const struct series_column *column_of(const struct kt_series *series, uint32_t indicator)
{
    /* Where all indicators occur, each stands at its own number. */
    if (indicator < series->column_count && series->indicators[indicator] == indicator) {
        return &series->columns[indicator];
    }
    size_t at = lower_bound(series->indicators, series->column_count, indicator);
    bool known = at < series->column_count && series->indicators[at] == indicator;
    return known ? &series->columns[at] : NULL;
}

bool kt_series_value(const struct kt_series *series, size_t index, uint32_t indicator,
                     const struct kt_bounds *bounds, double *ret_value)
{
    KT_ASSERT(index < series->record_count);
    const struct series_column *column = column_of(series, indicator);
    if (!column) {
        return false;
    }
    if (!covers_all(series, bounds)) {
        const struct series_multi *multi = multi_of(series, index);
        if (multi) {
            return walked_value(series, multi, indicator, bounds, ret_value);
        }
        if (!kt_series_exists(series, index, bounds)) {
            return false;
        }
    }
    return column_value(series, column, index, ret_value);
}

/* The greatest index < before with a number in the column, or -1. */
static ptrdiff_t column_back(const struct kt_series *series, const struct series_column *column,
                             size_t before, double *ret_value)
{
    const double *numbers = series->numbers + column->numbers;
    if (column->rows != SERIES_DENSE) {
        const uint32_t *rows = series->rows + column->rows;
        size_t at = lower_bound(rows, column->count, (uint32_t)before);
        if (at == 0) {
            return -1;
        }
        *ret_value = numbers[at - 1];
        return (ptrdiff_t)rows[at - 1];
    }
    size_t end = before < column->first ? 0 : before - column->first;
    for (size_t i = end < column->count ? end : column->count; i > 0; i--) {
        if (!isnan(numbers[i - 1])) {
            *ret_value = numbers[i - 1];
            return (ptrdiff_t)(column->first + i - 1);
        }
    }
    return -1;
}

/* Records with one version have its values in the column; of those with several each is asked. */
static ptrdiff_t bounded_back(const struct kt_series *series, const struct series_column *column,
                              size_t low, size_t before, uint32_t indicator,
                              const struct kt_bounds *bounds, double *ret_value)
{
    size_t multis = multis_before(series, before);
    double number = 0;
    ptrdiff_t single = column_back(series, column, before, &number);
    for (;;) {
        ptrdiff_t multi = multis ? (ptrdiff_t)series->multis[multis - 1].record : -1;
        ptrdiff_t next = single > multi ? single : multi;
        if (next < (ptrdiff_t)low) {
            return -1;
        }
        if (next == multi) {
            multis--;
            if (walked_value(series, &series->multis[multis], indicator, bounds, ret_value)) {
                return next;
            }
        } else if (declare_of(series, (size_t)next) <= bounds->as_of_s &&
                   revision_of(series, (size_t)next) <= bounds->revision) {
            *ret_value = number;
            return next;
        }
        if (single == next) {
            single = column_back(series, column, (size_t)next, &number);
        }
    }
}

ptrdiff_t kt_series_value_back(const struct kt_series *series, size_t low, size_t before,
                               uint32_t indicator, const struct kt_bounds *bounds,
                               double *ret_value)
{
    KT_ASSERT(before <= series->record_count);
    const struct series_column *column = column_of(series, indicator);
    if (!column) {
        return -1;
    }
    if (!covers_all(series, bounds)) {
        return bounded_back(series, column, low, before, indicator, bounds, ret_value);
    }
    double number;
    ptrdiff_t index = column_back(series, column, before, &number);
    if (index < (ptrdiff_t)low) {
        return -1;
    }
    *ret_value = number;
    return index;
}

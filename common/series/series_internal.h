/* series_internal.h - how a series lies in memory; for common/series only.
 *
 * One block holds everything. Arrays that would say the same for every record are left out (NULL):
 * declare times that are the records' own or were given for all or none, one revision, one period,
 * no end_date or year. What nearly always is small takes few bytes: ids of texts one, the time from
 * a record to its declaration four; a series that needs more has all of that kind wide.
 *
 *   column  dense: numbers[numbers + (i - first)] for first ≤ i < first + count, NaN = no value
 *           sparse: rows[rows .. rows + count) ascending record indices, numbers beside them
 *   text id 0 = not named, 1 = cleared by null, n ≥ 2 = texts[n - 2]
 *
 * The per-record arrays and the columns say what an unbounded question sees. Records with several
 * versions have them in `versions` as well, and only a bounded question walks those.
 *
 * Threads: as series.h.
 * Owns:    as series.h.
 * Fails:   never.
 */
#ifndef KT_SERIES_INTERNAL_H
#define KT_SERIES_INTERNAL_H

#include "series/series.h"

#include <stdatomic.h>

#define SERIES_TEXT_NONE 0u
#define SERIES_TEXT_NULL 1u
#define SERIES_TEXT_FIRST 2u

#define SERIES_DENSE UINT32_MAX

struct series_text {
    uint32_t offset, len;
};

struct series_column {
    uint32_t first;   /* dense: the first record covered */
    uint32_t count;   /* dense: records covered; sparse: values */
    uint32_t numbers; /* index of the first number */
    uint32_t rows;    /* sparse: index of the first row; dense: SERIES_DENSE */
};

struct series_version {
    int64_t declare_s;
    uint64_t revision;
    uint32_t end_date, year; /* text ids */
    uint32_t value_begin, value_count;
    bool declare_given;
};

struct series_multi { /* a record with several versions */
    uint32_t record, begin, count;
};

struct kt_series {
    atomic_uint refs;
    uint32_t common_period; /* when periods is NULL */
    uint32_t record_count, value_count, column_count, multi_count;
    bool wide_ids, wide_declares, all_given;
    size_t bytes;
    uint64_t loaded_revision;
    uint64_t max_revision;
    int64_t max_declare_s;
    const int64_t *times;
    const void *declares;      /* NULL: D is the record's time; int32_t: seconds behind that, or
                                  (wide) int64_t: D */
    const uint64_t *revisions; /* NULL: max_revision everywhere */
    const double *numbers;
    const struct series_version *versions;
    const struct kt_value *version_values;
    const struct series_column *columns;
    const struct series_multi *multis;
    const struct series_text *texts;
    const uint32_t *indicators; /* parallel to columns, ascending */
    const uint32_t *rows;
    const void *periods;                /* text ids, uint8_t or (wide) uint32_t */
    const void *end_dates, *years;      /* the same; NULL: none */
    const unsigned char *declare_given; /* one byte a record; NULL: all_given says it */
    const char *text_bytes;
};

#endif

/* series.h - one subject's records in memory: columns, immutable once built.
 *
 * A record is (time, period); records ascend by time, then by period as bytes. Nearly every record
 * has one version, whose values stand in one dense array per indicator; only records with several
 * versions keep these beside, in order (declare time, revision, line). A question bounded by
 * declare time or revision walks the versions of such a record, any other reads the columns.
 *
 * The value rule (three times): the value of an indicator is that of the greatest (D, W, line)
 * within the bounds that names it; an explicit null clears it from there on. A record exists when
 * it has a version within both bounds. end_date and year follow the same rule.
 *
 * Threads: a finished series is read-only and shared by counted references.
 * Owns:    all of its memory in one block or a few; strings borrow from it.
 * Fails:   building with KT_NO_MEMORY, or KT_CORRUPT when versions come out of order.
 */
#ifndef KT_SERIES_SERIES_H
#define KT_SERIES_SERIES_H

#include "base/clock.h"
#include "base/status.h"
#include "base/str.h"

struct kt_series;         /* opaque, counted */
struct kt_series_builder; /* opaque */

#define KT_REVISION_MAX INT64_MAX /* SQLite's integers are signed */

/* A text of a version: not named, cleared by null, or given. */
enum kt_named { KT_NOT_NAMED, KT_NAMED_NULL, KT_NAMED };
struct kt_opt_text {
    enum kt_named named;
    struct kt_str text;
};
struct kt_value {
    uint32_t indicator; /* the catalogue's number */
    bool is_null;
    double number;
};

struct kt_version {
    int64_t time_s;
    struct kt_str period;
    int64_t declare_s;
    bool declare_given;
    uint64_t revision;
    uint32_t line; /* order within the revision */
    struct kt_opt_text end_date, year;
    const struct kt_value *values; /* each indicator at most once */
    size_t value_count;
};

/* Versions are added in ascending (time, period, declare, revision, line). */
struct kt_series_builder *kt_series_builder_new(void);
void kt_series_builder_free(struct kt_series_builder **builder);
/* Forgets what was added so far. */
void kt_series_builder_clear(struct kt_series_builder *builder);
enum kt_status kt_series_builder_add(struct kt_series_builder *builder,
                                     const struct kt_version *version,
                                     struct kt_error *err) KT_MUST_CHECK;
/* Ends the builder's content (it may be used again). `loaded_revision`: every change up to it is
 * in. */
enum kt_status kt_series_builder_finish(struct kt_series_builder *builder, uint64_t loaded_revision,
                                        struct kt_series **ret_series,
                                        struct kt_error *err) KT_MUST_CHECK;

struct kt_series *kt_series_ref(struct kt_series *series);
void kt_series_unref(struct kt_series **series);
size_t kt_series_bytes(const struct kt_series *series); /* exact heap use */
uint64_t kt_series_loaded_revision(const struct kt_series *series);
size_t kt_series_record_count(const struct kt_series *series);
/* Values that stand when nothing bounds the question. */
size_t kt_series_value_count(const struct kt_series *series);

/* What a question may see. */
struct kt_bounds {
    int64_t as_of_s;   /* D ≤ as_of_s; KT_TIME_MAX = all */
    uint64_t revision; /* W ≤ revision */
};

struct kt_period_filter { /* only these periods; count 0 = all */
    const struct kt_str *periods;
    size_t count;
};

/* Index of the newest record that exists within the bounds with time ≤ until_s and a wanted period;
 * -1 when there is none. Greatest time, then greatest period as bytes. */
ptrdiff_t kt_series_newest(const struct kt_series *series, int64_t until_s,
                           const struct kt_period_filter *periods, const struct kt_bounds *bounds);
/* The next older such record than `before` (an index). */
ptrdiff_t kt_series_older(const struct kt_series *series, ptrdiff_t before,
                          const struct kt_period_filter *periods, const struct kt_bounds *bounds);
/* First index with time ≥ from_s, and first with time > to_s: the half-open range of a period. */
void kt_series_range(const struct kt_series *series, int64_t from_s, int64_t to_s,
                     size_t *ret_begin, size_t *ret_end);
bool kt_series_exists(const struct kt_series *series, size_t index, const struct kt_bounds *bounds);
int64_t kt_series_time(const struct kt_series *series, size_t index);
struct kt_str kt_series_period(const struct kt_series *series, size_t index); /* borrowed */

struct kt_record { /* strings borrow from the series */
    int64_t time_s;
    struct kt_str period;
    bool declare_given;                /* some version within the bounds was given a declare date */
    int64_t declare_s;                 /* the greatest given one */
    struct kt_opt_text end_date, year; /* KT_NAMED or KT_NOT_NAMED (then derived from time) */
};
void kt_series_record(const struct kt_series *series, size_t index, const struct kt_bounds *bounds,
                      struct kt_record *ret_record);
/* False when the record has no value of that indicator within the bounds. */
bool kt_series_value(const struct kt_series *series, size_t index, uint32_t indicator,
                     const struct kt_bounds *bounds, double *ret_value);
/* The greatest index in [low, before) whose record has a value of that indicator within the bounds;
 * -1 when there is none. Goes from value to value, not from record to record. */
ptrdiff_t kt_series_value_back(const struct kt_series *series, size_t low, size_t before,
                               uint32_t indicator, const struct kt_bounds *bounds,
                               double *ret_value);
/* All indicators that occur in the series, ascending by number. */
const uint32_t *kt_series_indicators(const struct kt_series *series, size_t *ret_count);

#endif

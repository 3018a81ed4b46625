/* SPDX-License-Identifier: MIT */
/* period_rows.c - the rows of one subject between two times: its records, or (with an interval)
 * buckets of them.
 *
 * Both stand in order in the series already: rows are found one by one from either end, and nothing
 * is collected but the records of the bucket at hand.
 */
#include "query/query_impl.h"

void query_walk_init(const struct plan *plan, const struct kt_series *series, bool ascending,
                     struct row_walk *walk)
{
    walk->series = series;
    walk->ascending = ascending;
    kt_series_range(series, plan->q.from_s, plan->q.to_s, &walk->begin, &walk->end);
}

/* Does the question see this record? */
static enum kt_status look_at(struct plan *plan, const struct kt_series *series, size_t index,
                              struct kt_record *ret_record, bool *ret_seen, struct kt_error *err)
{
    enum kt_status status = query_tick(plan, err);
    *ret_seen = false;
    if (status == KT_OK && kt_series_exists(series, index, &plan->bounds)) {
        kt_series_record(series, index, &plan->bounds, ret_record);
        *ret_seen = query_wants_period(&plan->q, ret_record->period);
    }
    return status;
}

static enum kt_status next_record(struct plan *plan, struct row_walk *walk, struct period_row *row,
                                  bool *ret_found, struct kt_error *err)
{
    *ret_found = false;
    while (!*ret_found && walk->begin < walk->end) {
        row->index = walk->ascending ? walk->begin++ : --walk->end;
        enum kt_status status =
            look_at(plan, walk->series, row->index, &row->record, ret_found, err);
        if (status != KT_OK) {
            return status;
        }
    }
    row->time_s = row->record.time_s;
    return KT_OK;
}

/* Records begin..end, those that are seen, into the bucket. */
static enum kt_status fill_bucket(struct plan *plan, const struct kt_series *series, size_t begin,
                                  size_t end, struct bucket *bucket, struct kt_error *err)
{
    kt_buf_clear(&plan->members);
    bucket->count = 0;
    bucket->declare_given = false;
    for (size_t index = begin; index < end; index++) {
        struct kt_record record;
        bool seen = false;
        enum kt_status status = look_at(plan, series, index, &record, &seen, err);
        if (status != KT_OK) {
            return status;
        }
        if (!seen) {
            continue;
        }
        kt_buf_append(&plan->members, &index, sizeof index);
        bucket->count++;
        if (record.declare_given &&
            (!bucket->declare_given || record.declare_s > bucket->declare_s)) {
            bucket->declare_given = true;
            bucket->declare_s = record.declare_s;
        }
    }
    bucket->records = (const void *)plan->members.data;
    return kt_buf_status(&plan->members) == KT_OK
               ? KT_OK
               : kt_fail(err, KT_NO_MEMORY, "no memory for the query");
}

static enum kt_status next_bucket(struct plan *plan, struct row_walk *walk, struct period_row *row,
                                  bool *ret_found, struct kt_error *err)
{
    struct bucket *bucket = &row->bucket;
    *ret_found = false;
    while (!*ret_found && walk->begin < walk->end) {
        struct kt_record record;
        size_t begin, end;
        kt_series_record(walk->series, walk->ascending ? walk->begin : walk->end - 1, &plan->bounds,
                         &record);
        query_bucket_of(plan->q.interval, record.time_s, &bucket->first_s, &bucket->last_s);
        kt_series_range(walk->series, bucket->first_s, bucket->last_s, &begin, &end);
        begin = begin > walk->begin ? begin : walk->begin;
        end = end < walk->end ? end : walk->end;
        enum kt_status status = fill_bucket(plan, walk->series, begin, end, bucket, err);
        if (status != KT_OK) {
            return status;
        }
        if (walk->ascending) {
            walk->begin = end;
        } else {
            walk->end = begin;
        }
        *ret_found = bucket->count > 0;
    }
    row->time_s = bucket->last_s;
    return KT_OK;
}

enum kt_status query_walk_next(struct plan *plan, struct row_walk *walk, struct period_row *row,
                               bool *ret_found, struct kt_error *err)
{
    return plan->q.interval == INTERVAL_NONE ? next_record(plan, walk, row, ret_found, err)
                                             : next_bucket(plan, walk, row, ret_found, err);
}

struct kt_str query_row_date(const struct plan *plan, const struct period_row *row, char dest[11])
{
    if (plan->q.interval == INTERVAL_NONE) {
        return query_end_date(&row->record, dest);
    }
    kt_format_date(row->bucket.last_s, dest);
    return kt_str_n(dest, 10);
}

enum kt_status query_row_value(struct plan *plan, const struct kt_series *series,
                               const struct period_row *row, uint32_t indicator, double *ret_value,
                               bool *ret_has, struct kt_error *err)
{
    if (plan->q.interval != INTERVAL_NONE) {
        return query_bucket_value(plan, series, &row->bucket, indicator, ret_value, ret_has, err);
    }
    *ret_has = kt_series_value(series, row->index, indicator, &plan->bounds, ret_value);
    return KT_OK;
}

/* subject:middle_period */
static enum kt_status write_combine(struct plan *plan, struct kt_buf *body, struct kt_str key,
                                    struct kt_str middle, struct kt_str period,
                                    struct kt_error *err)
{
    kt_buf_clear(&plan->scratch);
    kt_buf_append_str(&plan->scratch, key);
    kt_buf_append_byte(&plan->scratch, ':');
    kt_buf_append_str(&plan->scratch, middle);
    kt_buf_append_byte(&plan->scratch, '_');
    kt_buf_append_str(&plan->scratch, period);
    if (kt_buf_status(&plan->scratch) != KT_OK) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for the answer");
    }
    query_append_member(body, KT_STR(",\"combine\":"), kt_buf_str(&plan->scratch));
    kt_buf_append_byte(body, '}');
    return KT_OK;
}

static void write_head(struct kt_buf *body, struct kt_str end_date, struct kt_str period,
                       struct kt_str declare_date, struct kt_str year)
{
    query_append_member(body, KT_STR("{\"end_date\":"), end_date);
    query_append_member(body, KT_STR(",\"period\":"), period);
    query_append_member(body, KT_STR(",\"declare_date\":"), declare_date);
    query_append_member(body, KT_STR(",\"year\":"), year);
}

/* A bucket has no period of its own: it says its interval. Several of a year would have the same
 * subject:year_period, so the date stands there. */
static enum kt_status write_bucket(struct plan *plan, const struct kt_subject *subject,
                                   const struct kt_series *series, const struct bucket *bucket,
                                   struct kt_buf *body, struct kt_error *err)
{
    char date[11], declared[11] = "";
    struct kt_str period = kt_str(query_interval_text(plan->q.interval));
    kt_format_date(bucket->last_s, date);
    if (bucket->declare_given) {
        kt_format_date(bucket->declare_s, declared);
    }
    write_head(body, kt_str_n(date, 10), period, kt_str(declared), kt_str_n(date, 4));
    enum kt_status status = query_write_bucket_values(plan, series, bucket, body, err);
    return status == KT_OK
               ? write_combine(plan, body, subject->key, kt_str_n(date, 10), period, err)
               : status;
}

static enum kt_status write_record(struct plan *plan, const struct kt_subject *subject,
                                   const struct kt_series *series, size_t index,
                                   const struct kt_record *record, struct kt_buf *body,
                                   struct kt_error *err)
{
    char date[11], year[11], declared[11];
    struct kt_str shown_year = query_year(record, year);
    write_head(body, query_end_date(record, date), record->period,
               query_declare_date(record, declared), shown_year);
    enum kt_status status = query_write_values(plan, series, index, false, body, err);
    return status == KT_OK
               ? write_combine(plan, body, subject->key, shown_year, record->period, err)
               : status;
}

enum kt_status query_write_row(struct plan *plan, const struct kt_subject *subject,
                               const struct kt_series *series, const struct period_row *row,
                               struct kt_buf *body, struct kt_error *err)
{
    return plan->q.interval == INTERVAL_NONE
               ? write_record(plan, subject, series, row->index, &row->record, body, err)
               : write_bucket(plan, subject, series, &row->bucket, body, err);
}

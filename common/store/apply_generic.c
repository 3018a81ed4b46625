/* SPDX-License-Identifier: MIT */
/* A generic change into its two tables: generic_series has a row for each series, with what it
 * holds in numbers, generic_point a row for each time, its numbers as JSON text that a person
 * reads.
 */
#include "store/apply_internal.h"

#include <stdio.h>

struct stored { /* a row of generic_series */
    int64_t number, create_s, update_s, points, values;
};

static enum kt_status find_series(struct applier *a, const struct kt_generic_change *change,
                                  struct stored *ret_stored, struct kt_error *err)
{
    struct sqlite3_stmt *stmt = a->store->data_stmts[DATA_GENERIC_FIND];
    db_bind_i64(stmt, 1, change->table);
    db_bind_text(stmt, 2, change->id);
    enum kt_status status = db_step(stmt, err);
    if (status == KT_OK) {
        *ret_stored = (struct stored){db_i64(stmt, 0), db_i64(stmt, 1), db_i64(stmt, 2),
                                      db_i64(stmt, 3), db_i64(stmt, 4)};
        db_reset(stmt);
    }
    return status;
}

/* How many points and numbers the series will hold: *totals is as it was before. */
static enum kt_status count_after(struct applier *a, const struct kt_generic_change *change,
                                  struct stored *totals, struct kt_error *err)
{
    double numbers[KT_GENERIC_NUMBERS_MAX];
    struct sqlite3_stmt *stmt = a->store->data_stmts[DATA_GENERIC_COUNT];
    enum kt_status status = KT_OK;
    struct kt_rd rd;
    kt_rd_init(&rd, change->points.data, change->points.len);
    bool is_new = totals->number < 0;
    for (size_t i = 0; i < change->point_count && status == KT_OK; i++) {
        struct kt_generic_point point;
        kt_generic_points_next(&rd, numbers, &point);
        if (!is_new) {
            db_bind_i64(stmt, 1, totals->number);
            db_bind_i64(stmt, 2, point.time_s);
            status = db_step(stmt, err);
            if (status == KT_OK) {
                totals->points--;
                totals->values -= db_i64(stmt, 0);
                db_reset(stmt);
            } else if (status == KT_NOT_FOUND) {
                status = KT_OK;
            }
        }
        totals->points += point.count > 0;
        totals->values += (int64_t)point.count;
    }
    return status;
}

static void numbers_text(struct kt_buf *json, const struct kt_generic_point *point)
{
    kt_buf_clear(json);
    for (size_t i = 0; i < point->count; i++) {
        char text[KT_F64_TEXT_MAX];
        kt_buf_append_byte(json, i == 0 ? '[' : ',');
        kt_buf_append(json, text, kt_format_f64(point->numbers[i], text));
    }
    kt_buf_append_byte(json, ']');
}

static enum kt_status write_point(struct applier *a, int64_t series,
                                  const struct kt_generic_point *point, struct kt_error *err)
{
    bool gone = point->count == 0;
    struct sqlite3_stmt *stmt =
        a->store->data_stmts[gone ? DATA_GENERIC_DROP_POINT : DATA_GENERIC_PUT_POINT];
    db_bind_i64(stmt, 1, series);
    db_bind_i64(stmt, 2, point->time_s);
    if (!gone) {
        numbers_text(&a->json, point);
        if (kt_buf_status(&a->json) != KT_OK) {
            return apply_no_memory(err);
        }
        db_bind_u64(stmt, 3, point->count);
        db_bind_text(stmt, 4, kt_buf_str(&a->json));
    }
    return db_run(stmt, err);
}

static enum kt_status write_points(struct applier *a, const struct kt_generic_change *change,
                                   int64_t series, struct kt_apply_result *result,
                                   struct kt_error *err)
{
    double numbers[KT_GENERIC_NUMBERS_MAX];
    enum kt_status status = KT_OK;
    struct kt_rd rd;
    kt_rd_init(&rd, change->points.data, change->points.len);
    for (size_t i = 0; i < change->point_count && status == KT_OK; i++) {
        struct kt_generic_point point;
        kt_generic_points_next(&rd, numbers, &point);
        status = write_point(a, series, &point, err);
        result->records++;
        result->values += (uint32_t)point.count;
    }
    return status;
}

/* A new series gets its row first, for the number that its points carry. */
static enum kt_status write_series(struct applier *a, const struct kt_generic_change *change,
                                   struct stored *stored, struct kt_error *err)
{
    bool is_new = stored->number < 0;
    struct sqlite3_stmt *stmt =
        a->store->data_stmts[is_new ? DATA_GENERIC_INSERT : DATA_GENERIC_UPDATE];
    db_bind_i64(stmt, 1, stored->create_s);
    db_bind_i64(stmt, 2, stored->update_s);
    db_bind_i64(stmt, 3, stored->points);
    db_bind_i64(stmt, 4, stored->values);
    if (is_new) {
        db_bind_i64(stmt, 5, change->table);
        db_bind_text(stmt, 6, change->id);
    } else {
        db_bind_i64(stmt, 5, stored->number);
    }
    enum kt_status status = db_run(stmt, err);
    return status == KT_OK && is_new ? find_series(a, change, stored, err) : status;
}

static int64_t seconds_of(int64_t wall_ms)
{
    return wall_ms >= 0 ? wall_ms / 1000 : -((999 - wall_ms) / 1000);
}

static enum kt_status save_series(struct applier *a, const struct kt_generic_change *change,
                                  int64_t wall_ms, struct kt_apply_result *result,
                                  struct kt_error *err)
{
    struct stored stored = {.number = -1, .create_s = seconds_of(wall_ms)};
    enum kt_status status = find_series(a, change, &stored, err);
    if (status == KT_OK || status == KT_NOT_FOUND) {
        status = count_after(a, change, &stored, err);
    }
    if (status != KT_OK) {
        return status;
    }
    if (stored.points > KT_GENERIC_POINTS_MAX || stored.values > KT_GENERIC_VALUES_MAX) {
        char message[160];
        snprintf(message, sizeof(message),
                 "data: the series would hold %lld times and %lld numbers, allowed are %d and %d",
                 (long long)stored.points, (long long)stored.values, KT_GENERIC_POINTS_MAX,
                 KT_GENERIC_VALUES_MAX);
        apply_refuse(result, KT_TOO_LARGE, "data", message);
        return KT_OK;
    }
    stored.create_s = change->create_given ? change->create_s : stored.create_s;
    stored.update_s = change->update_given ? change->update_s : seconds_of(wall_ms);
    status = write_series(a, change, &stored, err);
    return status == KT_OK ? write_points(a, change, stored.number, result, err) : status;
}

static enum kt_status delete_series(struct applier *a, const struct kt_generic_change *change,
                                    struct kt_apply_result *result, struct kt_error *err)
{
    struct stored stored;
    enum kt_status status = find_series(a, change, &stored, err);
    if (status == KT_NOT_FOUND) {
        char message[200];
        snprintf(message, sizeof(message), "id: " KT_STR_FMT " is not in table %d (%s)",
                 KT_STR_ARG(change->id), change->table, kt_generic_table_name(change->table));
        apply_refuse(result, KT_NOT_FOUND, "id", message);
        return KT_OK;
    }
    static const enum data_stmt both[] = {DATA_GENERIC_DROP_POINTS, DATA_GENERIC_DROP};
    for (size_t i = 0; i < 2 && status == KT_OK; i++) {
        struct sqlite3_stmt *stmt = a->store->data_stmts[both[i]];
        db_bind_i64(stmt, 1, stored.number);
        status = db_run(stmt, err);
    }
    if (status == KT_OK) {
        result->records = (uint32_t)stored.points;
        result->values = (uint32_t)stored.values;
    }
    return status;
}

enum kt_status apply_generic(struct applier *a, const struct kt_generic_change *change,
                             int64_t wall_ms, struct kt_apply_result *result, struct kt_error *err)
{
    return change->is_delete ? delete_series(a, change, result, err)
                             : save_series(a, change, wall_ms, result, err);
}

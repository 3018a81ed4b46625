/* SPDX-License-Identifier: MIT */
/* Records into the version table, in the table's order. The lines of one record stand together,
 * those of an earlier revision first, so the greatest declare time so far is known after at most
 * one seek. That seek is spared for a record newer than all of its subject's: nearly every one of a
 * bulk import.
 */
#include "store/apply_internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static int cmp_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int by_place(const void *a, const void *b)
{
    const struct apply_row *x = a, *y = b;
    if (x->subject != y->subject) {
        return x->subject < y->subject ? -1 : 1;
    }
    if (x->record->time_s != y->record->time_s) {
        return x->record->time_s < y->record->time_s ? -1 : 1;
    }
    int order = kt_str_cmp(x->record->period, y->record->period);
    if (order == 0) {
        order = cmp_u64(x->revision, y->revision);
    }
    return order != 0 ? order : cmp_u64(x->line, y->line);
}

static bool same_record(const struct apply_row *a, const struct apply_row *b)
{
    return a->subject == b->subject && a->record->time_s == b->record->time_s &&
           kt_str_eq(a->record->period, b->record->period);
}

static enum kt_status know_last_time(struct applier *a, uint32_t subject,
                                     struct subject_facts *facts, struct kt_error *err)
{
    if (facts->known) {
        return KT_OK;
    }
    struct sqlite3_stmt *stmt = a->store->data_stmts[DATA_LAST_TIME];
    db_bind_i64(stmt, 1, subject);
    enum kt_status status = db_step(stmt, err);
    if (status != KT_OK && status != KT_NOT_FOUND) {
        return status;
    }
    facts->last_time_s = status == KT_OK ? db_i64(stmt, 0) : INT64_MIN;
    facts->known = true;
    facts->declare_known = false;
    db_reset(stmt);
    return KT_OK;
}

/* What the table has of a record: KT_NOT_FOUND when nothing. */
static enum kt_status greatest_declare(struct applier *a, const struct apply_row *row,
                                       struct subject_facts *facts, int64_t *ret_declare_s,
                                       struct kt_error *err)
{
    enum kt_status status = know_last_time(a, row->subject, facts, err);
    if (status != KT_OK) {
        return status;
    }
    if (row->record->time_s > facts->last_time_s) {
        facts->last_time_s = row->record->time_s;
        facts->declare_known = false;
        return KT_NOT_FOUND;
    }
    if (row->record->time_s == facts->last_time_s && facts->declare_known &&
        kt_str_eq(row->record->period, kt_str_n(facts->period, facts->period_len))) {
        *ret_declare_s = facts->declare_s;
        return KT_OK;
    }
    struct sqlite3_stmt *stmt = a->store->data_stmts[DATA_GREATEST_DECLARE];
    db_bind_i64(stmt, 1, row->subject);
    db_bind_i64(stmt, 2, row->record->time_s);
    db_bind_text(stmt, 3, row->record->period);
    status = db_step(stmt, err);
    if (status == KT_OK) {
        *ret_declare_s = db_i64(stmt, 0);
        db_reset(stmt);
    }
    return status;
}

/* The newest record of a subject is the one that is written again. */
static void note_declare(struct subject_facts *facts, const struct kt_change_record *record,
                         int64_t declare_s)
{
    if (record->time_s == facts->last_time_s && record->period.len <= sizeof(facts->period)) {
        facts->period_len = (uint8_t)record->period.len;
        memcpy(facts->period, record->period.data, record->period.len);
        facts->declare_s = declare_s;
        facts->declare_known = true;
    }
}

static enum kt_status write_row(struct applier *a, const struct apply_row *row,
                                const struct kt_change_record *record, struct kt_error *err)
{
    kt_buf_clear(&a->json);
    rowdata_write(&a->json, record);
    if (kt_buf_status(&a->json) != KT_OK) {
        return apply_no_memory(err);
    }
    struct sqlite3_stmt *stmt = a->store->data_stmts[DATA_INSERT_VERSION];
    db_bind_i64(stmt, 1, row->subject);
    db_bind_i64(stmt, 2, record->time_s);
    db_bind_text(stmt, 3, record->period);
    db_bind_i64(stmt, 4, row->declare_s);
    db_bind_u64(stmt, 5, row->revision);
    db_bind_i64(stmt, 6, row->line);
    db_bind_i64(stmt, 7, record->declare_given);
    db_bind_text(stmt, 8, kt_buf_str(&a->json));
    return db_run(stmt, err);
}

static int by_version(const void *a, const void *b)
{
    const struct apply_row *x = a, *y = b;
    int order = cmp_u64(x->revision, y->revision);
    if (order == 0 && x->declare_s != y->declare_s) {
        order = x->declare_s < y->declare_s ? -1 : 1;
    }
    return order != 0 ? order : cmp_u64(x->line, y->line);
}

/* One row for each (revision, declare time). */
static enum kt_status write_versions(struct applier *a, struct apply_row *rows, size_t count,
                                     struct kt_error *err)
{
    enum kt_status status = KT_OK;
    if (count == 1) {
        return write_row(a, rows, rows[0].record, err);
    }
    qsort(rows, count, sizeof(*rows), by_version);
    for (size_t begin = 0, end; begin < count && status == KT_OK; begin = end) {
        struct kt_change_record folded;
        end = begin + 1;
        while (end < count && rows[end].revision == rows[begin].revision &&
               rows[end].declare_s == rows[begin].declare_s) {
            end++;
        }
        if (!apply_fold(a, rows + begin, end - begin, &folded)) {
            return apply_no_memory(err);
        }
        status = write_row(a, &rows[end - 1], &folded, err);
    }
    return status;
}

/* All lines of one record. */
static enum kt_status write_record(struct applier *a, struct apply_row *rows, size_t count,
                                   struct kt_error *err)
{
    int64_t greatest = 0;
    struct subject_facts *facts = apply_facts(a, rows[0].subject);
    enum kt_status status =
        facts ? greatest_declare(a, &rows[0], facts, &greatest, err) : apply_no_memory(err);
    bool exists = status == KT_OK;
    if (status == KT_NOT_FOUND) {
        a->edit->record_count++;
        status = KT_OK;
    }
    for (size_t i = 0; i < count; i++) {
        const struct kt_change_record *record = rows[i].record;
        rows[i].declare_s = record->declare_given ? record->declare_s
                            : exists              ? greatest
                                                  : record->time_s;
        greatest = !exists || rows[i].declare_s > greatest ? rows[i].declare_s : greatest;
        exists = true;
    }
    if (status == KT_OK) {
        note_declare(facts, rows[0].record, greatest);
    }
    return status == KT_OK ? write_versions(a, rows, count, err) : status;
}

enum kt_status apply_rows(struct applier *a, struct kt_error *err)
{
    struct apply_row *rows = a->rows;
    size_t count = a->row_count;
    if (count > 1) {
        qsort(rows, count, sizeof(*rows), by_place);
    }
    enum kt_status status = KT_OK;
    uint64_t newest = 0;
    for (size_t begin = 0, end; begin < count && status == KT_OK; begin = end) {
        end = begin + 1;
        while (end < count && same_record(&rows[begin], &rows[end])) {
            end++;
        }
        status = write_record(a, rows + begin, end - begin, err);
        newest = rows[end - 1].revision > newest ? rows[end - 1].revision : newest;
        if (status == KT_OK && (end == count || rows[end].subject != rows[begin].subject)) {
            status = apply_stamp(a, rows[begin].subject, newest, true, err);
            newest = 0;
        }
    }
    return status;
}

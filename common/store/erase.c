/* SPDX-License-Identifier: MIT */
/* Deleting records, and what that means for who still reads an older view.
 *
 * The records are found and deleted in pieces, so that a subject of any size takes the same memory.
 * A view is a matter of memory, while series come from the table: a question that is under way
 * finds less there than its view promises. It is told by kt_store_erased_since: a subject remembers
 * the revision that took records from it, and the file loses them only once the view that says so
 * is shown (behind.c).
 */
#include "store/apply_internal.h"

#include "base/clock.h"
#include "base/mem.h"

#include <string.h>

#define PIECE_RECORDS 256

/* From a place on, which itself may be among them. */
const char *const store_find_records_sql =
    "SELECT DISTINCT time,period FROM version WHERE subject=?1 AND (time,period)>=(?2,?3)"
    " AND time<=?4 ORDER BY time,period LIMIT ?5";

struct piece { /* records of one subject, in order */
    struct {
        int64_t time_s;
        size_t offset, len; /* the period, in texts */
    } items[PIECE_RECORDS];
    size_t count;
    struct kt_buf texts;
};

static struct kt_str period_at(const struct piece *piece, size_t i)
{
    return kt_str_n(piece->texts.data + piece->items[i].offset, piece->items[i].len);
}

static bool wants(const struct kt_change_delete *erase, struct kt_str period)
{
    size_t low = 0, high = erase->period_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = kt_str_cmp(erase->periods[mid], period);
        if (order == 0) {
            return true;
        }
        low = order < 0 ? mid + 1 : low;
        high = order < 0 ? high : mid;
    }
    return erase->period_count == 0;
}

/* The records after the last one of `piece` (its count 0 = from the start) take their place. */
static enum kt_status next_piece(struct sqlite3_stmt *stmt, uint32_t subject,
                                 const struct kt_change_delete *erase, struct piece *piece,
                                 struct kt_error *err)
{
    struct kt_buf after;
    bool begins = piece->count == 0;
    int64_t time_s = begins ? erase->from_s : piece->items[piece->count - 1].time_s;
    kt_buf_init(&after, 0);
    if (!begins) {
        kt_buf_append_str(&after, period_at(piece, piece->count - 1));
    }
    kt_buf_clear(&piece->texts);
    piece->count = 0;
    db_bind_i64(stmt, 1, subject);
    db_bind_i64(stmt, 2, time_s);
    db_bind_text(stmt, 3, kt_buf_str(&after));
    db_bind_i64(stmt, 4, erase->to_s);
    db_bind_i64(stmt, 5, PIECE_RECORDS);
    enum kt_status status = kt_buf_status(&after);
    while (status == KT_OK && (status = db_step(stmt, err)) == KT_OK) {
        struct kt_str period = db_text(stmt, 1);
        int64_t time = db_i64(stmt, 0);
        if (!begins && time == time_s && kt_str_eq(period, kt_buf_str(&after))) {
            continue;
        }
        piece->items[piece->count].time_s = time;
        piece->items[piece->count].offset = piece->texts.len_bytes;
        piece->items[piece->count++].len = period.len;
        kt_buf_append_str(&piece->texts, period);
        status = db_check_columns(stmt, err);
        if (status == KT_OK) {
            status = kt_buf_status(&piece->texts);
        }
    }
    db_reset(stmt);
    kt_buf_done(&after);
    return status == KT_NOT_FOUND ? KT_OK
           : status == KT_NO_MEMORY
               ? kt_fail(err, KT_NO_MEMORY, "no memory to look for records to delete")
               : status;
}

/* --- in apply --- */

static enum kt_status delete_record(struct applier *a, uint32_t subject, int64_t time_s,
                                    struct kt_str period, struct kt_error *err)
{
    struct sqlite3_stmt *stmt = a->store->data_stmts[DATA_DELETE_RECORD];
    db_bind_i64(stmt, 1, subject);
    db_bind_i64(stmt, 2, time_s);
    db_bind_text(stmt, 3, period);
    return db_run(stmt, err);
}

static enum kt_status delete_records(struct applier *a, struct piece *piece, uint32_t subject,
                                     const struct kt_change_delete *erase, uint64_t *ret_count,
                                     struct kt_error *err)
{
    uint64_t deleted = 0;
    enum kt_status status;
    piece->count = 0;
    do {
        status = next_piece(a->store->data_stmts[DATA_FIND_RECORDS], subject, erase, piece, err);
        for (size_t i = 0; i < piece->count && status == KT_OK; i++) {
            if (wants(erase, period_at(piece, i))) {
                status =
                    delete_record(a, subject, piece->items[i].time_s, period_at(piece, i), err);
                deleted++;
            }
        }
    } while (status == KT_OK && piece->count > 0);
    *ret_count = deleted;
    return status;
}

static enum kt_status drop_subject(struct applier *a, uint32_t number, struct kt_error *err)
{
    const struct kt_subject *subject = kt_catalogue_subject(a->edit, number);
    enum kt_status status = apply_leave_all(a, subject, err);
    static const enum data_stmt rows[] = {DATA_DELETE_STAYS, DATA_DELETE_TAGS, DATA_DELETE_SUBJECT};
    for (size_t i = 0; i < KT_ARRAY_LEN(rows) && status == KT_OK; i++) {
        db_bind_i64(a->store->data_stmts[rows[i]], 1, number);
        status = db_run(a->store->data_stmts[rows[i]], err);
    }
    if (status == KT_OK && !catalogue_subject_remove(a->edit, number)) {
        status = apply_no_memory(err);
    }
    return status;
}

/* A subject that lost records: its series in caches are out of date, and the applier's knowledge.
 */
static enum kt_status note_loss(struct applier *a, uint32_t number, uint64_t seq,
                                struct kt_error *err)
{
    struct subject_facts *facts = apply_facts(a, number);
    if (!facts) {
        return apply_no_memory(err);
    }
    facts->known = false;
    enum kt_status status = apply_stamp(a, number, seq, true, err);
    if (status == KT_OK) {
        struct kt_str key = kt_catalogue_subject(a->edit, number)->key;
        struct kt_subject *subject = catalogue_subject_edit(a->edit, number, key);
        if (!subject) {
            return apply_no_memory(err);
        }
        subject->erased_revision = seq;
    }
    return status;
}

static enum kt_status delete_of_subject(struct applier *a, struct piece *piece,
                                        const struct kt_subject *subject,
                                        const struct kt_change_delete *erase, uint64_t seq,
                                        struct kt_apply_result *result, struct kt_error *err)
{
    uint32_t number = subject->number; /* `subject` moves with the first change */
    uint64_t deleted = 0;
    enum kt_status status = delete_records(a, piece, number, erase, &deleted, err);
    if (status != KT_OK) {
        return status;
    }
    a->edit->record_count -= deleted;
    result->records += (uint32_t)deleted;
    if (deleted == 0 && !erase->all) {
        return KT_OK;
    }
    result->subjects++;
    a->erased = seq;
    status = touched_subject(a, number, err);
    if (status != KT_OK) {
        return status;
    }
    return erase->all ? drop_subject(a, number, err) : note_loss(a, number, seq, err);
}

/* `all` takes whatever is there. */
static struct kt_change_delete reach_of(const struct kt_change_delete *erase)
{
    struct kt_change_delete reach = *erase;
    if (erase->all) {
        reach.from_s = KT_TIME_MIN;
        reach.to_s = KT_TIME_MAX;
        reach.period_count = 0;
    }
    return reach;
}

enum kt_status apply_delete(struct applier *a, const struct kt_change_delete *erase, uint64_t seq,
                            struct kt_apply_result *result, struct kt_error *err)
{
    struct kt_change_delete reach = reach_of(erase);
    struct piece *piece = kt_malloc(sizeof(*piece));
    if (!piece) {
        return apply_no_memory(err);
    }
    kt_buf_init(&piece->texts, 0);
    enum kt_status status = apply_flush(a, err);
    for (size_t i = 0; i < erase->subject_count && status == KT_OK; i++) {
        const struct kt_subject *subject = kt_catalogue_find_subject(a->edit, erase->subjects[i]);
        if (subject) {
            status = delete_of_subject(a, piece, subject, &reach, seq, result, err);
        }
    }
    kt_buf_done(&piece->texts);
    kt_free(piece);
    return status;
}

/* --- counting --- */

static enum kt_status count_pieces(struct reader *reader, struct piece *piece, uint32_t subject,
                                   const struct kt_change_delete *erase, int64_t deadline_mono_ms,
                                   uint64_t *ret_count, struct kt_error *err)
{
    uint64_t count = 0;
    piece->count = 0;
    enum kt_status status = db_exec(reader->db, "BEGIN", err); /* all pieces of one moment */
    while (status == KT_OK) {
        status = kt_now_mono_ms() > deadline_mono_ms
                     ? kt_fail(err, KT_TIMEOUT, "counting took longer than the request allows")
                     : next_piece(reader->stmts[READER_RECORDS], subject, erase, piece, err);
        for (size_t i = 0; i < piece->count && status == KT_OK; i++) {
            count += wants(erase, period_at(piece, i));
        }
        if (piece->count == 0) {
            break;
        }
    }
    db_rollback(reader->db); /* nothing was written: it only ends the transaction */
    *ret_count = count;
    return status;
}

/* With a connection of its own: who counts many subjects must not keep one from questions for long.
 */
static enum kt_status count_of_subject(struct kt_store *store, struct piece *piece,
                                       uint32_t subject, const struct kt_change_delete *erase,
                                       int64_t deadline_mono_ms, uint64_t *ret_count,
                                       struct kt_error *err)
{
    struct reader *reader = NULL;
    enum kt_status status = data_take_until(store, deadline_mono_ms, &reader, err);
    if (status == KT_OK) {
        status = count_pieces(reader, piece, subject, erase, deadline_mono_ms, ret_count, err);
        pool_give(&store->data_readers, reader);
    }
    return status;
}

enum kt_status kt_store_count_records(struct kt_store *store, const struct kt_change_delete *erase,
                                      int64_t deadline_mono_ms, uint64_t *ret_records,
                                      uint64_t *ret_subjects, struct kt_error *err)
{
    struct kt_change_delete reach = reach_of(erase);
    struct piece *piece = kt_malloc(sizeof(*piece));
    uint64_t records = 0, subjects = 0;
    if (!piece) {
        return kt_fail(err, KT_NO_MEMORY, "no memory to count records");
    }
    kt_buf_init(&piece->texts, 0);
    enum kt_status status = KT_OK;
    struct kt_catalogue *view = kt_store_view(store);
    for (size_t i = 0; i < erase->subject_count && status == KT_OK; i++) {
        uint64_t count = 0;
        const struct kt_subject *subject = kt_catalogue_find_subject(view, erase->subjects[i]);
        if (subject) {
            status = count_of_subject(store, piece, subject->number, &reach, deadline_mono_ms,
                                      &count, err);
            records += count;
            subjects += count > 0 || erase->all;
        }
    }
    kt_catalogue_unref(&view);
    kt_buf_done(&piece->texts);
    kt_free(piece);
    if (status == KT_OK) {
        *ret_records = records;
        *ret_subjects = subjects;
    }
    return status;
}

/* --- what older views still show --- */

bool kt_store_erased_since(struct kt_store *store, const struct kt_catalogue *view,
                           const struct kt_subject *subject)
{
    uint64_t revision = kt_catalogue_revision(view);
    if (atomic_load(&store->erased) <= revision) {
        return false;
    }
    struct kt_catalogue *newest = kt_store_view(store);
    const struct kt_subject *now = kt_catalogue_subject(newest, subject->number);
    bool erased = !now || now->erased_revision > revision;
    kt_catalogue_unref(&newest);
    return erased;
}

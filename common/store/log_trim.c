/* SPDX-License-Identifier: MIT */
/* Cutting the beginning of the log: entries that the data file has for good.
 *
 * "For good" is more than applied. The data file's commits are not fsynced one by one: after a
 * power cut it may be as it was at its last checkpoint, and is redone from the log. So nothing is
 * cut that a checkpoint has not brought into the file (which syncs the WAL before and the file
 * behind it); what was applied when the last complete one began is remembered, and a new one is
 * made only when that does not reach far enough.
 *
 * How much there is to cut is told by the pages in use: the file itself does not shrink, freed
 * pages are used again.
 */
#include "store/copy.h"

#include "base/clock.h"
#include "store/store_internal.h"

#define SLICE_ENTRIES 2000
#define SLICE_BYTES (4u << 20)
#define TOUCHED_ROWS 1000 /* of up to 64 KB */

/* --- how far --- */

static enum kt_status used_bytes(struct sqlite3 *db, int64_t *ret_bytes, struct kt_error *err)
{
    int64_t pages = 0, unused = 0, page_size = 0;
    enum kt_status status = db_number(db, "PRAGMA page_count", &pages, err);
    if (status == KT_OK) {
        status = db_number(db, "PRAGMA freelist_count", &unused, err);
    }
    if (status == KT_OK) {
        status = db_number(db, "PRAGMA page_size", &page_size, err);
    }
    *ret_bytes = (pages - unused) * page_size;
    return status;
}

static enum kt_status make_durable(struct kt_store *store, struct kt_error *err)
{
    uint64_t applied = kt_store_applied(store); /* what the flush brings into the file at least */
    bool complete = false;
    enum kt_status status = kt_store_flush(store, err);
    if (status == KT_OK) {
        status = checkpoint_data(store, &complete, err);
    }
    if (status == KT_OK && complete) {
        store->durable_applied = applied;
    }
    return status;
}

/* Who takes a copy comes back for what the log has behind it. */
static uint64_t copies_need(struct kt_store *store)
{
    uint64_t need = UINT64_MAX;
    int64_t now_ms = kt_now_mono_ms();
    kt_mutex_lock(&store->state_mutex);
    for (int i = 0; i < KT_COPIES_OUT_MAX; i++) {
        const struct copy_hold *hold = &store->copies_out[i];
        if ((hold->open || now_ms < hold->until_mono_ms) && hold->seq < need) {
            need = hold->seq;
        }
    }
    kt_mutex_unlock(&store->state_mutex);
    return need;
}

/* --- the log --- */

/* The last entry of a slice whose bytes are within the bound; 0 = not even the first. */
static enum kt_status find_slice(struct kt_store *store, uint64_t until, int64_t max_bytes,
                                 uint64_t *ret_last, struct kt_error *err)
{
    struct sqlite3_stmt *stmt = NULL;
    int64_t bytes = 0;
    uint64_t last = 0;
    enum kt_status status = db_prepare(store->log.db,
                                       "SELECT seq,length(key)+length(body)+64 FROM entry"
                                       " WHERE seq<=? ORDER BY seq LIMIT ?",
                                       &stmt, err);
    if (status == KT_OK) {
        db_bind_u64(stmt, 1, until);
        db_bind_i64(stmt, 2, SLICE_ENTRIES);
    }
    while (status == KT_OK && (status = db_step(stmt, err)) == KT_OK) {
        bytes += db_i64(stmt, 1);
        if (bytes > max_bytes) {
            break;
        }
        last = db_u64(stmt, 0);
    }
    db_finalize(&stmt);
    *ret_last = last;
    return status == KT_NOT_FOUND ? KT_OK : status;
}

static void set_first(struct kt_store *store, uint64_t first)
{
    kt_mutex_lock(&store->state_mutex);
    store->log_first_seq = first;
    kt_mutex_unlock(&store->state_mutex);
}

/* Said before it is so: who finds entries gone must find that they are known to be. */
static enum kt_status delete_slice(struct kt_store *store, uint64_t last, struct kt_error *err)
{
    uint64_t first = kt_store_log_first(store);
    struct sqlite3_stmt *stmt = NULL;
    enum kt_status status = db_prepare(store->log.db, "DELETE FROM entry WHERE seq<=?", &stmt, err);
    if (status == KT_OK) {
        db_bind_u64(stmt, 1, last);
        set_first(store, last + 1);
        status = db_run(stmt, err);
    }
    if (status != KT_OK) {
        set_first(store, first);
    }
    db_finalize(&stmt);
    return status;
}

/* log_mutex is held. */
static enum kt_status trim_slice(struct kt_store *store, int64_t keep_bytes, bool *ret_more,
                                 struct kt_error *err)
{
    uint64_t end_seq, end_epoch, last = 0;
    int64_t used = 0;
    *ret_more = false;
    enum kt_status status = used_bytes(store->log.db, &used, err);
    if (status != KT_OK || used <= keep_bytes) {
        return status;
    }
    /* The entry at durable_applied stays: the log must say of which epoch it is; and so does the
     * newest, which says where the log ends. */
    kt_store_log_end(store, &end_seq, &end_epoch);
    uint64_t until = store->durable_applied, need = copies_need(store);
    until = until < need ? until : need;
    until = until < end_seq ? until : end_seq;
    if (until <= 1 || until <= kt_store_log_first(store)) {
        return KT_OK;
    }
    int64_t spare = used - keep_bytes;
    status = find_slice(store, until - 1, spare < SLICE_BYTES ? spare : SLICE_BYTES, &last, err);
    if (status == KT_OK && last > 0) {
        status = delete_slice(store, last, err);
        *ret_more = status == KT_OK;
    }
    return status;
}

/* --- what the revisions touched --- */

static enum kt_status trim_touched(struct kt_store *store, bool *ret_more, struct kt_error *err)
{
    uint64_t first = kt_store_log_first(store);
    int64_t oldest = 0;
    struct sqlite3_stmt *stmt = NULL;
    kt_mutex_lock(&store->apply_mutex);
    enum kt_status status = db_number(store->data, "SELECT min(seq) FROM touched", &oldest, err);
    uint64_t until = (uint64_t)oldest + TOUCHED_ROWS;
    until = until < first ? until : first;
    if (status == KT_OK && oldest > 0 && (uint64_t)oldest < first) {
        status = db_prepare(store->data, "DELETE FROM touched WHERE seq<?", &stmt, err);
        if (status == KT_OK) {
            db_bind_u64(stmt, 1, until);
            status = db_run(stmt, err);
        }
        db_finalize(&stmt);
        *ret_more |= status == KT_OK && until < first;
    }
    kt_mutex_unlock(&store->apply_mutex);
    return status;
}

enum kt_status kt_store_log_trim(struct kt_store *store, int64_t keep_bytes, bool *ret_more,
                                 struct kt_error *err)
{
    bool more = false;
    int64_t used = 0;
    kt_mutex_lock(&store->log_mutex);
    enum kt_status status = used_bytes(store->log.db, &used, err);
    bool short_of = used > keep_bytes &&
                    store->durable_applied <= kt_store_log_first(store) + SLICE_ENTRIES &&
                    store->durable_applied < kt_store_applied(store);
    kt_mutex_unlock(&store->log_mutex);
    if (status == KT_OK && short_of) {
        status = make_durable(store, err);
    }
    if (status == KT_OK) {
        kt_mutex_lock(&store->log_mutex);
        status = trim_slice(store, keep_bytes, &more, err);
        kt_mutex_unlock(&store->log_mutex);
    }
    if (status == KT_OK) {
        status = trim_touched(store, &more, err);
    }
    if (status == KT_OK) {
        *ret_more = more;
    }
    return status;
}

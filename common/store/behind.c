/* SPDX-License-Identifier: MIT */
/* behind.c - the data is written behind: what was applied is shown at once, and stays in one open
 * transaction of the data file until there is enough of it (FLUSH_ENTRIES, or FLUSH_MS after the
 * first), or somebody reads the file. Pages that many small changes touch are so written once, and
 * what is committed was always shown before: the file is never ahead of the newest view.
 *
 * The log has it all: a crash loses the open transaction, and the next open applies those entries
 * again. So does this process when a commit fails and SQLite has rolled back what is shown already:
 * the file is then `behind`, who reads it is refused, and the next apply or flush brings it up to
 * what is shown, from the view that was shown at the last commit.
 */
#include "store/apply_internal.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"

#include <string.h>

#define FLUSH_ENTRIES 20000
#define FLUSH_MS 1000
/* A call with more than this has a transaction of its own: a reader that finds something shown and
 * not committed would have to wait for all of it. */
#define LARGE_ENTRIES 512
#define LARGE_BYTES (256U << 10)
#define REDO_READ_BYTES (4U << 20)

#define KEY_PROBES 16

_Static_assert(BEHIND_KEYS >= 3 * FLUSH_ENTRIES && (BEHIND_KEYS & (BEHIND_KEYS - 1)) == 0,
               "the keys of one transaction find their places");

static uint64_t key_hash(struct kt_str key)
{
    return kt_hash64(key.data, key.len) | 1; /* 0 is an empty place */
}

/* Relaxed: who asks while it is applied may miss it, and then apply tells. */
void behind_note_key(struct kt_store *store, struct kt_str key)
{
    struct behind *behind = &store->behind;
    uint64_t hash = key_hash(key);
    behind->has_keys = true;
    for (uint64_t i = 0; i < KEY_PROBES; i++) {
        _Atomic uint64_t *place = &behind->keys[(hash / 2 + i) % BEHIND_KEYS];
        if (atomic_load_explicit(place, memory_order_relaxed) == 0) {
            atomic_store_explicit(place, hash, memory_order_relaxed);
            return;
        }
    }
    atomic_store_explicit(&behind->too_many_keys, true, memory_order_relaxed);
}

bool behind_has_key(struct kt_store *store, struct kt_str key)
{
    struct behind *behind = &store->behind;
    uint64_t hash = key_hash(key), found = 1;
    if (!kt_store_is_behind(store)) {
        return false;
    }
    if (atomic_load_explicit(&behind->too_many_keys, memory_order_relaxed)) {
        return true;
    }
    for (uint64_t i = 0; i < KEY_PROBES && found != 0; i++) {
        found =
            atomic_load_explicit(&behind->keys[(hash / 2 + i) % BEHIND_KEYS], memory_order_relaxed);
        if (found == hash) {
            return true;
        }
    }
    return false;
}

static void forget_keys(struct behind *behind)
{
    if (behind->has_keys) {
        behind->has_keys = false;
        for (size_t i = 0; i < BEHIND_KEYS; i++) {
            atomic_store_explicit(&behind->keys[i], 0, memory_order_relaxed);
        }
        atomic_store_explicit(&behind->too_many_keys, false, memory_order_relaxed);
    }
}

/* The file has all that is shown: remembered as what to begin from if a commit fails. */
static void note_committed(struct kt_store *store)
{
    struct behind *behind = &store->behind;
    kt_catalogue_unref(&behind->view);
    behind->view = kt_store_view(store);
    behind->settings = store->settings;
    behind->open = behind->lost = false;
    behind->entries = 0;
    atomic_store_explicit(&behind->unread, false, memory_order_release);
    forget_keys(behind);
}

static void roll_back(struct kt_store *store)
{
    struct behind *behind = &store->behind;
    db_rollback(store->data);
    apply_forget_facts(store->applier);
    behind->open = false;
    behind->lost = behind->entries > 0;
}

/* SQLite rolls a whole transaction back where its disk or memory is short; also for a statement
 * that has nothing to do with what is applied. */
static void look_for_rollback(struct kt_store *store)
{
    if (store->behind.open && !db_in_transaction(store->data)) {
        roll_back(store);
    }
}

/* With all that is written once for many calls, and how far the file then is. */
static enum kt_status commit_as(struct kt_store *store, const struct kt_catalogue *view,
                                struct kt_error *err)
{
    enum kt_status status = apply_write_stamps(store, view, err);
    if (status == KT_OK) {
        status = apply_set_meta(store, "applied_seq", (int64_t)kt_catalogue_revision(view), err);
    }
    if (status == KT_OK) {
        status =
            apply_set_meta(store, "record_count", (int64_t)kt_catalogue_record_count(view), err);
    }
    return status == KT_OK ? db_run(store->data_stmts[DATA_COMMIT], err) : status;
}

static enum kt_status commit(struct kt_store *store, struct kt_error *err)
{
    struct kt_catalogue *view = kt_store_view(store);
    enum kt_status status = commit_as(store, view, err);
    kt_catalogue_unref(&view);
    if (status == KT_OK) {
        note_committed(store);
    } else {
        roll_back(store);
    }
    return status;
}

/* The view that was shown when the file was committed last, and the settings of then, are what the
 * entries since are applied to once more; what they came to is known and shown. */
static enum kt_status redo(struct kt_store *store, struct kt_error *err)
{
    struct behind *behind = &store->behind;
    uint64_t shown = kt_store_applied(store), at = kt_catalogue_revision(behind->view);
    struct store_settings settings = store->settings;
    struct kt_catalogue *view = kt_catalogue_ref(behind->view);
    enum kt_status status = db_run(store->data_stmts[DATA_BEGIN], err);
    store->settings = behind->settings;
    while (status == KT_OK && at < shown) {
        struct kt_entries read;
        memset(&read, 0, sizeof(read));
        status = kt_store_log_read(store, at, shown, REDO_READ_BYTES, &read, err);
        if (status == KT_OK && read.count == 0) {
            status = kt_fail(err, KT_CORRUPT, "the log ends before entry %llu",
                             (unsigned long long)shown);
        }
        if (status == KT_OK) {
            status = apply_again(store, read.items, read.count, &view, err);
        }
        at = kt_catalogue_revision(view);
        kt_entries_done(&read);
    }
    if (status == KT_OK) {
        status = commit_as(store, view, err);
    }
    kt_catalogue_unref(&view);
    if (status == KT_OK) {
        note_committed(store);
        kt_log(INFO, "store", "written_again", "applied=%llu", (unsigned long long)shown);
    } else {
        db_rollback(store->data);
        apply_forget_facts(store->applier);
        store->settings = settings;
        kt_wrap(err, "what is shown already could not be written to the data again");
    }
    return status;
}

static bool is_large(const struct kt_entry *entries, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count && bytes <= LARGE_BYTES; i++) {
        bytes += entries[i].body.len;
    }
    return count > LARGE_ENTRIES || bytes > LARGE_BYTES;
}

enum kt_status behind_begin(struct kt_store *store, const struct kt_entry *entries, size_t count,
                            struct kt_error *err)
{
    struct behind *behind = &store->behind;
    enum kt_status status = KT_OK;
    behind->is_large = is_large(entries, count);
    look_for_rollback(store);
    if (behind->lost || (behind->is_large && behind->entries > 0)) {
        status = behind_flush(store, err);
    }
    if (status == KT_OK && !behind->open) {
        if (!behind->view) {
            note_committed(store);
        }
        status = db_run(store->data_stmts[DATA_BEGIN], err);
        behind->open = status == KT_OK;
        behind->since_mono_ms = kt_now_mono_ms();
    }
    return status;
}

/* No savepoint: SQLite would keep a copy of every page that a call changes, for what hardly ever
 * happens. What was shown is applied again, from the log. */
void behind_undo(struct kt_store *store)
{
    roll_back(store);
}

void behind_show(struct kt_store *store, size_t count)
{
    store->behind.entries += count;
    atomic_store_explicit(&store->behind.unread, true, memory_order_release);
}

void behind_after(struct kt_store *store)
{
    struct behind *behind = &store->behind;
    struct kt_error err = KT_ERROR_INIT;
    bool is_due = behind->is_large || behind->entries >= FLUSH_ENTRIES ||
                  checkpoint_wants_commit(store) ||
                  kt_now_mono_ms() - behind->since_mono_ms >= FLUSH_MS;
    if (is_due && commit(store, &err) != KT_OK) {
        kt_log(ERROR, "store", "not_written", "applied=%llu why=\"%s\"",
               (unsigned long long)kt_store_applied(store), err.message);
    }
}

enum kt_status behind_flush(struct kt_store *store, struct kt_error *err)
{
    look_for_rollback(store);
    if (store->behind.lost) {
        return redo(store, err);
    }
    return store->behind.open ? commit(store, err) : KT_OK;
}

void behind_done(struct kt_store *store)
{
    kt_catalogue_unref(&store->behind.view);
}

bool kt_store_is_behind(struct kt_store *store)
{
    return atomic_load_explicit(&store->behind.unread, memory_order_acquire);
}

enum kt_status kt_store_flush(struct kt_store *store, struct kt_error *err)
{
    if (!kt_store_is_behind(store)) {
        return KT_OK;
    }
    kt_mutex_lock(&store->apply_mutex);
    /* Another may have done it while this one waited. */
    enum kt_status status = kt_store_is_behind(store) ? behind_flush(store, err) : KT_OK;
    kt_mutex_unlock(&store->apply_mutex);
    return status;
}

/* A disk that is full fails no reader for good: 503, and another node has the answer. */
static enum kt_status flush_to_read(struct kt_store *store, struct kt_error *err)
{
    enum kt_status status = kt_store_flush(store, err);
    if (status == KT_IO) {
        struct kt_error cause = *err;
        return kt_fail(err, KT_UNAVAILABLE, "what was applied can't be read here yet: %s",
                       cause.message);
    }
    return status;
}

enum kt_status data_take_until(struct kt_store *store, int64_t deadline_mono_ms,
                               struct reader **ret_reader, struct kt_error *err)
{
    enum kt_status status = flush_to_read(store, err);
    return status == KT_OK
               ? pool_take_until(&store->data_readers, deadline_mono_ms, ret_reader, err)
               : status;
}

enum kt_status data_take(struct kt_store *store, struct reader **ret_reader, struct kt_error *err)
{
    enum kt_status status = flush_to_read(store, err);
    return status == KT_OK ? pool_take(&store->data_readers, ret_reader, err) : status;
}

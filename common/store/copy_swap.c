/* SPDX-License-Identifier: MIT */
/* What a start finds of a copy, and brings to an end.
 *
 * The side file "X.copy" holds one line:
 *
 *     loading          the files beside it are half: they go, the mark of a copy in the log stays
 *     swap             both are whole. What the node keeps is put into the new log, without the
 *                      mark (it goes with the very rename that makes the copy this node's), and it
 *                      is decided whether the old files hold anything that the copy lacks; then
 *     swap replace     … they do not: the new ones take their place
 *     swap keep MS     … they do: they become X.db.diverged-MS and X.log.db.diverged-MS first
 *
 * Each step can be done again: the log's renames, then the data's, the directory fsynced, the side
 * file removed. A WAL of an old file must never meet the new one: SQLite would play it into it.
 */
#include "store/copy.h"

#include "base/clock.h"
#include "base/mem.h"
#include "store/store_internal.h"

#include <stdio.h>
#include <string.h>

#define SIDE_BYTES_MAX 256
#define SAYS_REPLACE "swap replace\n"
#define SAYS_KEEP "swap keep "

/* --- names --- */

enum kt_status copy_paths_make(const struct kt_store *store, struct copy_paths *paths,
                               struct kt_error *err)
{
    paths->side = store_beside(store, ".copy");
    paths->data = store_beside(store, ".db.copy");
    paths->log = store_beside(store, ".log.db.copy");
    return paths->side && paths->data && paths->log
               ? KT_OK
               : kt_fail(err, KT_NO_MEMORY, "no memory for the names of a copy");
}

void copy_paths_done(struct copy_paths *paths)
{
    kt_free(paths->side);
    kt_free(paths->data);
    kt_free(paths->log);
    *paths = (struct copy_paths){0};
}

enum kt_status copy_remove_files(const struct copy_paths *paths, struct kt_error *err)
{
    enum kt_status status = db_remove(paths->data, err);
    return status == KT_OK ? db_remove(paths->log, err) : status;
}

/* --- what is kept, and what the copy lacks --- */

struct old_log {
    struct kt_store_kept kept;
    bool was_in_cluster, was_standalone;
    char node_id[KT_ID_LEN + 1];
    struct kt_buf memory;
    struct kt_epoch *epochs;
    size_t epoch_count;
    uint64_t end_seq;
};

/* The old log is opened as ever: this plays its WAL in, and so what was kept last is there. */
static enum kt_status read_old(const struct kt_store *store, struct old_log *old,
                               struct kt_error *err)
{
    struct kt_store *scratch = kt_calloc(1, sizeof(*scratch));
    if (!scratch) {
        return kt_fail(err, KT_NO_MEMORY, "no memory to open %s", store->log_path);
    }
    kt_buf_init(&scratch->kept, 0);
    kt_buf_init(&scratch->kept_growth, 0);
    kt_mutex_init(&scratch->state_mutex, "store state", KT_RANK_STORE_POOL);
    scratch->log_path = store->log_path;
    enum kt_status status = log_open(scratch, err);
    if (status == KT_OK) {
        status = kt_store_read_kept(scratch, &old->kept, &old->memory, err);
    }
    if (status == KT_OK) {
        status = kt_store_epochs(scratch, &old->epochs, &old->epoch_count, err);
    }
    if (status == KT_OK) {
        const struct kt_store_identity *id = &scratch->identity;
        memcpy(old->node_id, id->node_id, sizeof(old->node_id));
        old->was_in_cluster = id->was_in_cluster;
        old->was_standalone = id->was_standalone;
        old->end_seq = id->end_seq;
    }
    log_close(scratch);
    kt_buf_done(&scratch->kept);
    kt_buf_done(&scratch->kept_growth);
    kt_mutex_done(&scratch->state_mutex);
    kt_free(scratch);
    return status;
}

static enum kt_status put_kept(struct sqlite3 *db, const struct old_log *old, uint64_t base_epoch,
                               bool half_copy, struct kt_error *err)
{
    struct kt_store_kept kept = old->kept;
    kept.half_copy = half_copy;
    kept.epoch = kept.epoch > base_epoch ? kept.epoch : base_epoch;
    enum kt_status status = kept_write(db, &kept, err);
    if (status == KT_OK) {
        status = db_meta_set_text(db, "node_id", kt_str(old->node_id), err);
    }
    if (status == KT_OK && old->was_in_cluster) {
        status = db_meta_set_i64(db, "was_in_cluster", 1, err);
    }
    if (status == KT_OK && old->was_standalone) {
        status = db_meta_set_i64(db, "was_standalone", 1, err);
    }
    return status;
}

static enum kt_status change_new(struct sqlite3 *db, const struct old_log *old, uint64_t epoch,
                                 bool half_copy, struct kt_error *err)
{
    enum kt_status status = db_exec(db, "BEGIN IMMEDIATE", err);
    if (status == KT_OK) {
        status = put_kept(db, old, epoch, half_copy, err);
    }
    return db_end(db, status, err);
}

/* Puts what the node keeps into the new log, and says whether the old one has more than it. */
static enum kt_status join_logs(const struct copy_paths *paths, const struct old_log *old,
                                uint64_t *ret_applied, bool *ret_lacks, struct kt_error *err)
{
    struct kt_store *scratch = kt_calloc(1, sizeof(*scratch));
    if (!scratch) {
        return kt_fail(err, KT_NO_MEMORY, "no memory to open %s", paths->log);
    }
    enum kt_status status = db_open(paths->log, DB_WHOLE, &scratch->log.db, err);
    if (status == KT_OK) {
        status = log_read_positions(scratch, err);
    }
    if (status == KT_OK) {
        status = change_new(scratch->log.db, old, scratch->identity.end_epoch, false, err);
    }
    if (status == KT_OK) {
        uint64_t common =
            kt_epochs_common(old->epochs, old->epoch_count, old->end_seq, scratch->epochs,
                             scratch->epoch_count, scratch->identity.end_seq);
        *ret_lacks = old->end_seq > common;
        *ret_applied = scratch->identity.end_seq;
    }
    log_close(scratch);
    kt_free(scratch);
    return status;
}

/* --- the renames --- */

/* ms = 0: the old file is replaced. */
static enum kt_status put_in_place(const char *path, const char *copy, int64_t ms,
                                   struct kt_error *err)
{
    size_t size = strlen(path) + 48;
    KT_AUTOFREE char *wal = kt_malloc(size), *shm = kt_malloc(size), *aside = kt_malloc(size),
                     *aside_wal = kt_malloc(size);
    if (!wal || !shm || !aside || !aside_wal) {
        return kt_fail(err, KT_NO_MEMORY, "no memory to put a copy in place");
    }
    snprintf(wal, size, "%s-wal", path);
    snprintf(shm, size, "%s-shm", path);
    snprintf(aside, size, "%s.diverged-%lld", path, (long long)ms);
    snprintf(aside_wal, size, "%s.diverged-%lld-wal", path, (long long)ms);
    if (!kt_fs_exists(copy)) {
        return KT_OK; /* an earlier start came past this */
    }
    enum kt_status status = KT_OK;
    if (ms != 0 && kt_fs_exists(path)) {
        status = kt_fs_rename(path, aside, err);
    }
    if (status == KT_OK && ms != 0 && kt_fs_exists(wal)) {
        status = kt_fs_rename(wal, aside_wal, err);
    }
    if (status == KT_OK) {
        status = kt_fs_remove(wal, err);
    }
    if (status == KT_OK) {
        status = kt_fs_remove(shm, err);
    }
    if (status == KT_OK) {
        status = kt_fs_sync_parent(path, err); /* no WAL is left when the new file has the name */
    }
    return status == KT_OK ? kt_fs_rename(copy, path, err) : status;
}

static enum kt_status end_copy(const struct copy_paths *paths, struct kt_error *err)
{
    enum kt_status status = kt_fs_sync_parent(paths->side, err);
    if (status == KT_OK) {
        status = copy_remove_files(paths, err);
    }
    if (status == KT_OK) {
        status = kt_fs_remove(paths->side, err);
    }
    return status == KT_OK ? kt_fs_sync_parent(paths->side, err) : status;
}

static void notice(const struct kt_store_options *options, const char *fmt, ...) KT_PRINTF(2, 3);
static void notice(const struct kt_store_options *options, const char *fmt, ...)
{
    struct kt_buf text;
    va_list args;
    if (!options->on_notice) {
        return;
    }
    kt_buf_init(&text, 0);
    va_start(args, fmt);
    kt_buf_vprintf(&text, fmt, args);
    va_end(args);
    if (kt_buf_status(&text) == KT_OK) {
        options->on_notice(options->on_progress_ctx, text.data);
    }
    kt_buf_done(&text);
}

/* What is put aside is a whole database of its own: without the mark a person can open it. */
static enum kt_status unmark_old(const struct kt_store *store, const struct copy_paths *paths,
                                 struct kt_error *err)
{
    struct sqlite3 *db = NULL;
    if (!kt_fs_exists(paths->log) || !kt_fs_exists(store->log_path)) {
        return KT_OK; /* an earlier start came past this */
    }
    enum kt_status status = db_open(store->log_path, DB_LOG, &db, err);
    if (status == KT_OK) {
        status = db_meta_set_i64(db, "half_copy", 0, err);
    }
    db_close(&db);
    return status;
}

static enum kt_status rename_both(struct kt_store *store, const struct copy_paths *paths,
                                  const struct kt_store_options *options, int64_t ms,
                                  struct kt_error *err)
{
    enum kt_status status = ms != 0 ? unmark_old(store, paths, err) : KT_OK;
    if (status == KT_OK) {
        status = put_in_place(store->log_path, paths->log, ms, err);
    }
    if (status == KT_OK) {
        status = put_in_place(store->path, paths->data, ms, err);
    }
    if (status == KT_OK) {
        status = end_copy(paths, err);
    }
    if (status == KT_OK && ms != 0) {
        notice(options,
               "a full copy took the place of %s; what this node had and the copy lacks is kept in "
               "%s.diverged-%lld and %s.diverged-%lld",
               store->path, store->path, (long long)ms, store->log_path, (long long)ms);
    } else if (status == KT_OK) {
        notice(options, "a full copy took the place of %s; it has all that this node had",
               store->path);
    }
    return status;
}

/* --- states --- */

static enum kt_status drop_half(struct kt_store *store, const struct copy_paths *paths,
                                const struct kt_store_options *options, struct kt_error *err)
{
    enum kt_status status = copy_remove_files(paths, err);
    if (status == KT_OK) {
        status = end_copy(paths, err);
    }
    if (status == KT_OK) {
        notice(options, "half of a full copy of %s was removed; it will be asked for again",
               store->path);
    }
    return status;
}

static enum kt_status decide(struct kt_store *store, const struct copy_paths *paths,
                             const struct kt_store_options *options, struct kt_error *err)
{
    struct old_log old = {.end_seq = 0};
    char says[64] = SAYS_REPLACE;
    uint64_t applied = 0;
    int64_t ms = 0;
    bool lacks = false;
    if (!kt_fs_exists(paths->log) || !kt_fs_exists(paths->data)) {
        return drop_half(store, paths, options, err); /* given up at its very end */
    }
    kt_buf_init(&old.memory, 0);
    enum kt_status status = read_old(store, &old, err);
    if (status == KT_OK) {
        status = join_logs(paths, &old, &applied, &lacks, err);
    }
    if (status == KT_OK && lacks) {
        ms = kt_now_wall_ms();
        snprintf(says, sizeof(says), SAYS_KEEP "%lld\n", (long long)ms);
    }
    if (status == KT_OK) {
        status = kt_fs_write_durably(paths->side, kt_str(says), err);
    }
    kt_buf_done(&old.memory);
    kt_free(old.epochs);
    return status == KT_OK ? rename_both(store, paths, options, ms, err) : status;
}

static enum kt_status settle(struct kt_store *store, const struct copy_paths *paths,
                             struct kt_str says, const struct kt_store_options *options,
                             struct kt_error *err)
{
    if (kt_str_eq_text(says, COPY_SAYS_LOADING)) {
        return drop_half(store, paths, options, err);
    }
    if (kt_str_eq_text(says, COPY_SAYS_SWAP)) {
        return decide(store, paths, options, err);
    }
    if (kt_str_eq_text(says, SAYS_REPLACE)) {
        return rename_both(store, paths, options, 0, err);
    }
    int64_t ms = 0;
    size_t prefix = sizeof(SAYS_KEEP) - 1;
    if (kt_str_starts(says, KT_STR(SAYS_KEEP)) && kt_str_ends(says, KT_STR("\n")) &&
        kt_parse_i64(kt_str_n(says.data + prefix, says.len - prefix - 1), &ms) && ms > 0) {
        return rename_both(store, paths, options, ms, err);
    }
    return kt_fail(err, KT_CORRUPT,
                   "%s does not say how far a full copy came; move it away to start without the "
                   "copy, with the files that are there",
                   paths->side);
}

enum kt_status copy_settle(struct kt_store *store, const struct kt_store_options *options,
                           struct kt_error *err)
{
    struct copy_paths paths = {0};
    struct kt_buf says;
    kt_buf_init(&says, 0);
    enum kt_status status = copy_paths_make(store, &paths, err);
    if (status == KT_OK) {
        status = kt_fs_read(paths.side, SIDE_BYTES_MAX, &says, err);
        if (status == KT_OK) {
            status = settle(store, &paths, kt_buf_str(&says), options, err);
        } else if (status == KT_NOT_FOUND) {
            status = copy_remove_files(&paths, err);
        }
    }
    kt_buf_done(&says);
    copy_paths_done(&paths);
    return status;
}

/* --- starting anew --- */

static enum kt_status make_empty(const struct copy_paths *paths, const struct old_log *old,
                                 struct kt_error *err)
{
    struct sqlite3 *log = NULL, *data = NULL;
    enum kt_status status = db_open(paths->log, DB_WHOLE, &log, err);
    if (status == KT_OK) {
        status = db_migrate(log, paths->log, store_log_migrations, store_log_migration_count, err);
    }
    if (status == KT_OK) {
        status = change_new(log, old, 0, true, err);
    }
    if (status == KT_OK) {
        status = db_open(paths->data, DB_WHOLE, &data, err);
    }
    if (status == KT_OK) {
        status =
            db_migrate(data, paths->data, store_data_migrations, store_data_migration_count, err);
    }
    db_close(&log);
    db_close(&data);
    return status;
}

/* The swap of a copy that holds nothing. */
static enum kt_status swap_empty(struct kt_store *store, const struct copy_paths *paths,
                                 const struct kt_store_options *options, const struct old_log *old,
                                 const char *why, struct kt_error *err)
{
    struct kt_store_options quiet = {.path = options->path};
    int64_t ms = kt_now_wall_ms();
    char says[64];
    snprintf(says, sizeof(says), SAYS_KEEP "%lld\n", (long long)ms);
    enum kt_status status = kt_fs_write_durably(paths->side, KT_STR(COPY_SAYS_LOADING), err);
    if (status == KT_OK) {
        status = make_empty(paths, old, err);
    }
    if (status == KT_OK) {
        status = kt_fs_write_durably(paths->side, kt_str(says), err);
    }
    if (status == KT_OK) {
        status = rename_both(store, paths, &quiet, ms, err);
    }
    if (status == KT_OK) {
        notice(options,
               "%s; as -rejoin asks for, both files are kept as %s.diverged-%lld and "
               "%s.diverged-%lld, and a full copy will be asked for",
               why, store->path, (long long)ms, store->log_path, (long long)ms);
    }
    return status;
}

enum kt_status copy_start_anew(struct kt_store *store, const struct kt_store_options *options,
                               const char *why, struct kt_error *err)
{
    struct copy_paths paths = {0};
    struct old_log old = {.end_seq = 0};
    kt_buf_init(&old.memory, 0);
    enum kt_status status = copy_paths_make(store, &paths, err);
    if (status == KT_OK && !kt_fs_exists(store->log_path)) {
        status = kt_fail(err, KT_CORRUPT,
                         "%s; without its log the node does not know who it is: start it with an "
                         "empty database",
                         why);
    }
    if (status == KT_OK) {
        status = read_old(store, &old, err);
    }
    if (status == KT_OK && !old.was_in_cluster) {
        status =
            kt_fail(err, KT_CORRUPT, "%s; -rejoin needs a cluster, and this node was in none", why);
    }
    if (status == KT_OK) {
        status = swap_empty(store, &paths, options, &old, why, err);
    }
    kt_buf_done(&old.memory);
    kt_free(old.epochs);
    copy_paths_done(&paths);
    return status;
}

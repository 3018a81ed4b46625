/* SPDX-License-Identifier: MIT */
/* Cutting the end of the log: what the leader's log does not have, and nobody was told was done.
 *
 * It is put aside first, as lines that a person can read and send again. The file has its name only
 * when it is whole and synced; a crash behind that leaves the file and the log as they are, and the
 * same cut writes one more file.
 */
#include "store/store_internal.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "json/write.h"

#include <stdio.h>
#include <string.h>

#define READ_BYTES (1u << 20)
#define TEXT_BYTES (4u << 20) /* of one line, without the body in base64 */
#define TEXT_ITEMS 1000
#define BASE64_PIECE 49152 /* a multiple of 3 */

/* --- the file --- */

struct aside {
    struct kt_file *file;
    char *part_path, *path;
    struct kt_buf line;
    char *base64;
};

static size_t directory_len(const char *path)
{
    size_t len = strlen(path);
    while (len > 0 && path[len - 1] != '/' && path[len - 1] != '\\') {
        len--;
    }
    return len;
}

static enum kt_status aside_open(struct aside *aside, const char *db_path, uint64_t first,
                                 uint64_t last, struct kt_error *err)
{
    size_t dir = directory_len(db_path);
    struct kt_str name = kt_str(db_path + dir);
    if (kt_str_ends(name, KT_STR(".db"))) {
        name.len -= 3;
    }
    struct kt_buf path, part;
    kt_buf_init(&path, 0);
    kt_buf_init(&part, 0);
    kt_buf_printf(&path, "%.*srollback/" KT_STR_FMT "-%lld-%llu-%llu.ndjson", (int)dir, db_path,
                  KT_STR_ARG(name), (long long)kt_now_wall_ms(), (unsigned long long)first,
                  (unsigned long long)last);
    kt_buf_printf(&part, "%.*srollback/" KT_STR_FMT ".part", (int)dir, db_path, KT_STR_ARG(name));
    aside->path = kt_buf_take(&path, NULL);
    aside->part_path = kt_buf_take(&part, NULL);
    kt_buf_done(&path);
    kt_buf_done(&part);
    kt_buf_init(&aside->line, TEXT_BYTES);
    aside->base64 = kt_malloc(BASE64_PIECE / 3 * 4 + 1);
    if (!aside->path || !aside->part_path || !aside->base64) {
        return kt_fail(err, KT_NO_MEMORY, "no memory to put aside the end of the log");
    }
    enum kt_status status = kt_fs_mkdirs_for(aside->part_path, err);
    if (status == KT_OK) {
        status = kt_fs_remove(aside->part_path, err); /* of a cut that was killed */
    }
    if (status == KT_OK) {
        status = kt_file_create(aside->part_path, &aside->file, err);
    }
    return status;
}

static void aside_done(struct aside *aside)
{
    if (aside->file) {
        (void)!kt_file_close(&aside->file, NULL);
        (void)!kt_fs_remove(aside->part_path, NULL);
    }
    kt_free(aside->path);
    kt_free(aside->part_path);
    kt_free(aside->base64);
    kt_buf_done(&aside->line);
}

static void begin_line(struct kt_buf *line, const struct kt_entry *entry, size_t max_items)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change change;
    struct kt_jw jw;
    char when[25];
    kt_buf_clear(line);
    kt_jw_init(&jw, line);
    kt_jw_object(&jw);
    kt_jw_kv_u64(&jw, "seq", entry->seq);
    kt_jw_kv_u64(&jw, "epoch", entry->epoch);
    kt_jw_kv_i64(&jw, "wall_ms", entry->wall_ms);
    kt_format_wall_ms(entry->wall_ms, when);
    kt_jw_kv_text(&jw, "time", when);
    kt_jw_kv_str(&jw, "key", entry->key);
    if (kt_change_decode(entry->body, &change, &err) == KT_OK) {
        kt_change_write_text(&change, max_items, &jw);
        kt_change_done(&change);
    } else {
        kt_jw_kv_text(&jw, "unreadable", err.message);
    }
    kt_jw_key_text(&jw, "body");
}

static enum kt_status put_body(struct aside *aside, struct kt_str body, struct kt_error *err)
{
    enum kt_status status = kt_file_write(aside->file, "\"", 1, err);
    while (status == KT_OK && body.len > 0) {
        size_t piece = body.len < BASE64_PIECE ? body.len : BASE64_PIECE;
        size_t len = kt_base64_encode(body.data, piece, aside->base64);
        status = kt_file_write(aside->file, aside->base64, len, err);
        body.data += piece;
        body.len -= piece;
    }
    return status == KT_OK ? kt_file_write(aside->file, "\"}\n", 3, err) : status;
}

static enum kt_status put_line(struct aside *aside, const struct kt_entry *entry,
                               struct kt_error *err)
{
    begin_line(&aside->line, entry, TEXT_ITEMS);
    if (kt_buf_status(&aside->line) == KT_TOO_LARGE) {
        begin_line(&aside->line, entry, 0); /* the body has it all */
    }
    enum kt_status status = kt_buf_status(&aside->line);
    if (status != KT_OK) {
        return kt_fail(err, status, "no memory to put aside entry %llu",
                       (unsigned long long)entry->seq);
    }
    status = kt_file_write(aside->file, aside->line.data, aside->line.len_bytes, err);
    return status == KT_OK ? put_body(aside, entry->body, err) : status;
}

static enum kt_status put_entries(struct aside *aside, struct kt_store *store, uint64_t after,
                                  uint64_t end, struct kt_error *err)
{
    enum kt_status status = KT_OK;
    while (status == KT_OK && after < end) {
        struct kt_entries entries = {0};
        status = kt_store_log_read(store, after, end, READ_BYTES, &entries, err);
        if (status == KT_OK && entries.count == 0) {
            status = kt_fail(err, KT_CORRUPT, "%s: entry %llu is missing", store->log_path,
                             (unsigned long long)after + 1);
        }
        for (size_t i = 0; i < entries.count && status == KT_OK; i++) {
            status = put_line(aside, &entries.items[i], err);
        }
        after += entries.count;
        kt_entries_done(&entries);
    }
    return status;
}

/* The directory above is synced too: rollback/ itself may be new. */
static enum kt_status aside_finish(struct aside *aside, const char *db_path, struct kt_error *err)
{
    enum kt_status status = kt_file_sync(aside->file, err);
    if (status == KT_OK) {
        status = kt_file_close(&aside->file, err);
    }
    if (status == KT_OK) {
        status = kt_fs_rename(aside->part_path, aside->path, err);
    }
    if (status == KT_OK) {
        status = kt_fs_sync_parent(aside->path, err);
    }
    return status == KT_OK ? kt_fs_sync_parent(db_path, err) : status;
}

static enum kt_status put_aside(struct kt_store *store, uint64_t after, uint64_t end,
                                struct kt_error *err)
{
    struct aside aside = {0};
    enum kt_status status = aside_open(&aside, store->path, after + 1, end, err);
    if (status == KT_OK) {
        status = put_entries(&aside, store, after, end, err);
    }
    if (status == KT_OK) {
        status = aside_finish(&aside, store->path, err);
    }
    if (status == KT_OK) {
        kt_free(store->rollback_path);
        store->rollback_path = aside.path;
        aside.path = NULL;
    }
    aside_done(&aside);
    return status;
}

/* --- the cut --- */

struct cut {
    uint64_t after, end, epoch; /* epoch: of the entry at `after` */
    uint64_t kept_epoch;
    int64_t wall_ms;    /* its stamp */
    size_t epoch_count; /* of the vector that stays */
};

/* Under log_mutex nothing of this moves but what was applied, and that only up to the commit
 * position. */
static enum kt_status plan_cut(struct kt_store *store, struct cut *cut, struct kt_error *err)
{
    uint64_t applied = kt_store_applied(store), commit = atomic_load(&store->noted_commit);
    uint64_t floor = applied > commit ? applied : commit;
    if (cut->after < floor) {
        return kt_fail(err, KT_CONFLICT,
                       "entry %llu is committed, the log cannot be cut after %llu",
                       (unsigned long long)floor, (unsigned long long)cut->after);
    }
    kt_mutex_lock(&store->state_mutex);
    const struct kt_epoch *at = kt_epochs_at(store->epochs, store->epoch_count, cut->after);
    if (at) {
        cut->epoch = at->epoch;
        cut->epoch_count = (size_t)(at - store->epochs) + 1;
    }
    kt_mutex_unlock(&store->state_mutex);
    return log_stamp_of(store, cut->after, &cut->wall_ms, err);
}

/* The greatest epoch seen must not fall with the entry that showed it. */
static enum kt_status delete_tail(struct kt_store *store, const struct cut *cut,
                                  struct kt_error *err)
{
    struct sqlite3 *db = store->log.db;
    char sql[160];
    snprintf(sql, sizeof(sql),
             "DELETE FROM entry WHERE seq>%llu;DELETE FROM epoch WHERE first_seq>%llu",
             (unsigned long long)cut->after, (unsigned long long)cut->after);
    enum kt_status status = db_exec(db, "BEGIN IMMEDIATE", err);
    if (status == KT_OK) {
        status = db_exec(db, sql, err);
    }
    if (status == KT_OK) {
        status = db_meta_set_i64(db, "kept_epoch", (int64_t)cut->kept_epoch, err);
    }
    return db_end(db, status, err);
}

static void note_cut(struct kt_store *store, const struct cut *cut)
{
    kt_mutex_lock(&store->state_mutex);
    store->identity.end_seq = cut->after;
    store->identity.end_epoch = cut->epoch;
    store->kept_epoch = cut->kept_epoch;
    store->epoch_count = cut->epoch_count;
    store->log_last_wall_ms = cut->wall_ms;
    kt_mutex_unlock(&store->state_mutex);
}

enum kt_status kt_store_log_cut(struct kt_store *store, uint64_t after_seq, struct kt_error *err)
{
    struct cut cut = {.after = after_seq};
    kt_mutex_lock(&store->log_mutex);
    kt_store_log_end(store, &cut.end, &cut.kept_epoch);
    if (cut.kept_epoch < store->kept_epoch) {
        cut.kept_epoch = store->kept_epoch;
    }
    enum kt_status status = KT_OK;
    if (after_seq < cut.end) {
        status = plan_cut(store, &cut, err);
        if (status == KT_OK) {
            status = put_aside(store, after_seq, cut.end, err);
        }
        if (status == KT_OK) {
            status = delete_tail(store, &cut, err);
        }
        if (status == KT_OK) {
            note_cut(store, &cut);
        }
    }
    kt_mutex_unlock(&store->log_mutex);
    return status;
}

void kt_store_rollback_path(struct kt_store *store, struct kt_buf *ret_path)
{
    kt_mutex_lock(&store->log_mutex);
    kt_buf_append_text(ret_path, store->rollback_path ? store->rollback_path : "");
    kt_mutex_unlock(&store->log_mutex);
}

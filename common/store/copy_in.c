/* SPDX-License-Identifier: MIT */
/* A copy comes from a member of the cluster, and is looked at like a stranger's nevertheless: it
 * will be all that this node knows.
 */
#include "store/copy.h"

#include "base/mem.h"
#include "store/store_internal.h"

#include <stdio.h>
#include <string.h>

/* The oldest data schema that a migration brings up without the whole log. */
#define OLDEST_SCHEMA 3
#define SPARE_BYTES (8u << 20) /* for the log, and what else is written meanwhile */

struct kt_copy_in {
    struct kt_store *store;
    struct copy_paths paths;
    struct kt_file *file; /* NULL when all is written */
    bool checked;
};

static void set_taking(struct kt_store *store, enum copy_taking taking)
{
    kt_mutex_lock(&store->state_mutex);
    store->taking = taking;
    kt_mutex_unlock(&store->state_mutex);
}

static enum kt_status start_taking(struct kt_store *store, struct kt_error *err)
{
    enum kt_status status = KT_OK;
    kt_mutex_lock(&store->state_mutex);
    if (store->taking == COPY_LOADING) {
        status = kt_fail(err, KT_BUSY, "a copy is being taken already");
    } else if (store->taking == COPY_WAITS) {
        status = kt_fail(err, KT_CONFLICT, "a whole copy waits for this node to start again");
    } else if (!store->half_copy) {
        status = kt_fail(err, KT_CONFLICT, "a copy is begun only behind the durable mark of one");
    } else {
        store->taking = COPY_LOADING;
    }
    kt_mutex_unlock(&store->state_mutex);
    return status;
}

int64_t kt_store_copy_schema(void)
{
    return store_data_migration_count;
}

static enum kt_status check_schema_number(int64_t schema, struct kt_error *err)
{
    if (schema < OLDEST_SCHEMA) {
        return kt_fail(
            err, KT_CORRUPT,
            "the copy's schema %lld is older than this program can take; update the node "
            "that gives it first",
            (long long)schema);
    }
    return schema > store_data_migration_count
               ? kt_fail(err, KT_CORRUPT,
                         "the copy's schema %lld is newer than this program's %d; use a newer "
                         "program",
                         (long long)schema, store_data_migration_count)
               : KT_OK;
}

static enum kt_status check_room(const struct kt_store *store, uint64_t size_bytes,
                                 struct kt_error *err)
{
    int64_t unused = kt_fs_free_beside(store->path);
    if (unused < 0 || (uint64_t)unused > size_bytes + SPARE_BYTES) {
        return KT_OK;
    }
    return kt_fail(err, KT_IO,
                   "a copy beside %s needs %llu bytes, and %lld are free; free space on its file "
                   "system",
                   store->path, (unsigned long long)(size_bytes + SPARE_BYTES), (long long)unused);
}

enum kt_status kt_store_copy_in_begin(struct kt_store *store, uint64_t size_bytes, int64_t schema,
                                      struct kt_copy_in **ret_in, struct kt_error *err)
{
    struct kt_copy_in *in = kt_calloc(1, sizeof(*in));
    if (!in) {
        return kt_fail(err, KT_NO_MEMORY, "no memory to take a copy");
    }
    in->store = store;
    enum kt_status status = check_schema_number(schema, err);
    if (status == KT_OK) {
        status = check_room(store, size_bytes, err);
    }
    if (status == KT_OK) {
        status = start_taking(store, err);
    }
    if (status != KT_OK) {
        kt_free(in);
        return status;
    }
    status = copy_paths_make(store, &in->paths, err);
    if (status == KT_OK) {
        /* Before the first byte, so that a start knows that what it finds is half. */
        status = kt_fs_write_durably(in->paths.side, KT_STR(COPY_SAYS_LOADING), err);
    }
    if (status == KT_OK) {
        status = copy_remove_files(&in->paths, err);
    }
    if (status == KT_OK) {
        status = kt_file_create(in->paths.data, &in->file, err);
    }
    if (status != KT_OK) {
        kt_store_copy_in_abort(&in);
        return status;
    }
    *ret_in = in;
    return KT_OK;
}

enum kt_status kt_store_copy_in_write(struct kt_copy_in *in, const void *data, size_t len_bytes,
                                      struct kt_error *err)
{
    return kt_file_write(in->file, data, len_bytes, err);
}

static void free_in(struct kt_copy_in **in)
{
    (void)!kt_file_close(&(*in)->file, NULL);
    copy_paths_done(&(*in)->paths);
    kt_free(*in);
    *in = NULL;
}

void kt_store_copy_in_abort(struct kt_copy_in **in)
{
    struct kt_copy_in *i = *in;
    if (!i) {
        return;
    }
    (void)!kt_file_close(&i->file, NULL);
    if (i->paths.side) {
        /* What cannot be removed now, the next start removes: the side file goes last. */
        if (copy_remove_files(&i->paths, NULL) == KT_OK) {
            (void)!kt_fs_remove(i->paths.side, NULL);
        }
    }
    set_taking(i->store, COPY_NONE);
    free_in(in);
}

/* --- checking --- */

/* Every table and index, in words; a trigger or a view would differ. */
static enum kt_status read_schema(struct sqlite3 *db, struct kt_buf *ret_text, struct kt_error *err)
{
    struct sqlite3_stmt *stmt = NULL;
    enum kt_status status = db_prepare(db,
                                       "SELECT type||' '||name||' '||coalesce(sql,'') FROM"
                                       " sqlite_schema WHERE name NOT LIKE 'sqlite_stat%'"
                                       " ORDER BY type,name",
                                       &stmt, err);
    while (status == KT_OK && (status = db_step(stmt, err)) == KT_OK) {
        kt_buf_append_str(ret_text, db_text(stmt, 0));
        kt_buf_append_byte(ret_text, '\n');
    }
    db_finalize(&stmt);
    if (status != KT_NOT_FOUND) {
        return status;
    }
    status = kt_buf_status(ret_text);
    return status == KT_OK ? KT_OK : kt_fail(err, status, "no memory for a schema");
}

static enum kt_status check_schema(struct kt_store *store, struct sqlite3 *copy,
                                   struct kt_error *err)
{
    struct kt_buf ours, theirs;
    struct sqlite3 *own = NULL;
    kt_buf_init(&ours, 1 << 20);
    kt_buf_init(&theirs, 1 << 20);
    enum kt_status status = db_open(store->path, DB_READER, &own, err);
    if (status == KT_OK) {
        status = read_schema(own, &ours, err);
    }
    if (status == KT_OK) {
        status = read_schema(copy, &theirs, err);
    }
    if (status == KT_OK && !kt_str_eq(kt_buf_str(&ours), kt_buf_str(&theirs))) {
        status = kt_fail(err, KT_CORRUPT, "the copy's tables are not those of this program");
    }
    db_close(&own);
    kt_buf_done(&ours);
    kt_buf_done(&theirs);
    return status;
}

/* An older schema is brought up before it is compared. */
static enum kt_status check_version(const struct copy_paths *paths, struct sqlite3 *copy,
                                    struct kt_error *err)
{
    int version = 0;
    enum kt_status status = db_user_version(copy, &version, err);
    if (status == KT_OK) {
        status = check_schema_number(version, err);
    }
    if (status == KT_OK) {
        status =
            db_migrate(copy, paths->data, store_data_migrations, store_data_migration_count, err);
    }
    return status;
}

static enum kt_status check_content(const struct kt_store_identity *id, struct sqlite3 *copy,
                                    uint64_t applied_seq, struct kt_error *err)
{
    struct kt_buf cluster;
    int64_t applied = 0;
    kt_buf_init(&cluster, 256);
    enum kt_status status = db_meta_get_text(copy, "cluster_id", &cluster, err);
    if (status == KT_OK) {
        status = db_meta_get_i64(copy, "applied_seq", 0, &applied, err);
    }
    /* Empty: the giver joined its cluster a moment ago, and its data file does not say so yet. */
    if (status == KT_OK && cluster.len_bytes > 0 &&
        !kt_str_eq_text(kt_buf_str(&cluster), id->cluster_id)) {
        status = kt_fail(err, KT_CORRUPT, "the copy is of cluster " KT_STR_FMT ", this node of %s",
                         KT_STR_ARG(kt_buf_str(&cluster)), id->cluster_id);
    }
    if (status == KT_OK && (applied < 0 || (uint64_t)applied != applied_seq)) {
        status = kt_fail(err, KT_CORRUPT, "the copy has applied %lld, not %llu", (long long)applied,
                         (unsigned long long)applied_seq);
    }
    kt_buf_done(&cluster);
    return status;
}

static enum kt_status check_vector(const struct kt_epoch *epochs, size_t count,
                                   uint64_t applied_seq, uint64_t commit_seq, struct kt_error *err)
{
    bool ok = applied_seq <= commit_seq && commit_seq <= KT_REVISION_MAX &&
              (count > 0) == (applied_seq > 0);
    for (size_t i = 0; i < count && ok; i++) {
        ok = epochs[i].first_seq <= applied_seq && epochs[i].epoch <= KT_REVISION_MAX &&
             strlen(epochs[i].epoch_id) == KT_ID_LEN &&
             (i == 0 ? epochs[0].first_seq == 1 && epochs[0].epoch > 0
                     : epochs[i].first_seq > epochs[i - 1].first_seq &&
                           epochs[i].epoch > epochs[i - 1].epoch);
    }
    return ok ? KT_OK
              : kt_fail(err, KT_CORRUPT,
                        "the epochs of the copy are not those of a log up to %llu, committed to "
                        "%llu",
                        (unsigned long long)applied_seq, (unsigned long long)commit_seq);
}

/* --- finishing --- */

static enum kt_status put_ids(struct sqlite3 *db, const struct kt_store_identity *id,
                              struct kt_error *err)
{
    enum kt_status status = db_meta_set_text(db, "node_id", kt_str(id->node_id), err);
    if (status == KT_OK) {
        status = db_meta_set_text(db, "cluster_id", kt_str(id->cluster_id), err);
    }
    return status;
}

static enum kt_status check_data(struct kt_copy_in *in, uint64_t applied_seq, int64_t *ret_wall_ms,
                                 struct kt_error *err)
{
    struct sqlite3 *copy = NULL;
    struct kt_store_identity id;
    kt_store_identity(in->store, &id);
    enum kt_status status = db_open(in->paths.data, DB_WHOLE, &copy, err);
    if (status == KT_OK) {
        status = db_quick_check(copy, err);
    }
    if (status == KT_OK) {
        status = check_version(&in->paths, copy, err);
    }
    if (status == KT_OK) {
        status = check_schema(in->store, copy, err);
    }
    if (status == KT_OK) {
        status = check_content(&id, copy, applied_seq, err);
    }
    if (status == KT_OK) {
        status = db_number(copy, "SELECT coalesce(max(wall_ms),0) FROM revision", ret_wall_ms, err);
    }
    if (status == KT_OK) {
        status = put_ids(copy, &id, err);
    }
    db_close(&copy);
    return status;
}

static enum kt_status fill_log(struct sqlite3 *db, const struct kt_epoch *epochs, size_t count,
                               uint64_t applied_seq, int64_t wall_ms, struct kt_error *err)
{
    struct sqlite3_stmt *base = NULL, *epoch = NULL;
    enum kt_status status =
        db_prepare(db, "INSERT INTO base(seq,epoch,wall_ms) VALUES(?,?,?)", &base, err);
    if (status == KT_OK) {
        status = db_prepare(db, "INSERT INTO epoch(epoch,epoch_id,first_seq) VALUES(?,?,?)", &epoch,
                            err);
    }
    if (status == KT_OK) {
        db_bind_u64(base, 1, applied_seq);
        db_bind_u64(base, 2, count > 0 ? epochs[count - 1].epoch : 0);
        db_bind_i64(base, 3, wall_ms);
        status = db_run(base, err);
    }
    for (size_t i = 0; i < count && status == KT_OK; i++) {
        db_bind_u64(epoch, 1, epochs[i].epoch);
        db_bind_text(epoch, 2, kt_str(epochs[i].epoch_id));
        db_bind_u64(epoch, 3, epochs[i].first_seq);
        status = db_run(epoch, err);
    }
    if (status == KT_OK) {
        status = db_meta_set_i64(db, "commit_seq", (int64_t)applied_seq, err);
    }
    db_finalize(&base);
    db_finalize(&epoch);
    return status;
}

/* What the node keeps beside the log is put in at the swap: it may still change until then. */
static enum kt_status make_log(struct kt_copy_in *in, const struct kt_epoch *epochs, size_t count,
                               uint64_t applied_seq, int64_t wall_ms, struct kt_error *err)
{
    struct sqlite3 *db = NULL;
    enum kt_status status = db_open(in->paths.log, DB_WHOLE, &db, err);
    if (status == KT_OK) {
        status =
            db_migrate(db, in->paths.log, store_log_migrations, store_log_migration_count, err);
    }
    if (status == KT_OK) {
        status = db_exec(db, "BEGIN IMMEDIATE", err);
    }
    if (status == KT_OK) {
        status = db_end(db, fill_log(db, epochs, count, applied_seq, wall_ms, err), err);
    }
    db_close(&db);
    return status;
}

enum kt_status kt_store_copy_in_check(struct kt_copy_in *in, const struct kt_epoch *epochs,
                                      size_t count, uint64_t applied_seq, uint64_t commit_seq,
                                      struct kt_error *err)
{
    int64_t wall_ms = 0;
    enum kt_status status = check_vector(epochs, count, applied_seq, commit_seq, err);
    if (status == KT_OK) {
        status = kt_file_sync(in->file, err);
    }
    if (status == KT_OK) {
        status = kt_file_close(&in->file, err);
    }
    if (status == KT_OK) {
        status = check_data(in, applied_seq, &wall_ms, err);
    }
    if (status == KT_OK) {
        status = make_log(in, epochs, count, applied_seq, wall_ms, err);
    }
    if (status == KT_OK) {
        status = kt_fs_sync_parent(in->paths.side, err);
    }
    in->checked = status == KT_OK;
    return status;
}

enum kt_status kt_store_copy_in_finish(struct kt_copy_in **in, struct kt_error *err)
{
    struct kt_copy_in *i = *in;
    KT_ASSERT(i->checked);
    enum kt_status status = kt_fs_write_durably(i->paths.side, KT_STR(COPY_SAYS_SWAP), err);
    if (status != KT_OK) {
        kt_store_copy_in_abort(in);
        return status;
    }
    set_taking(i->store, COPY_WAITS);
    free_in(in);
    return KT_OK;
}

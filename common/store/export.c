/* SPDX-License-Identifier: MIT */
#include "store/export.h"

#include "base/mem.h"
#include "store/store_internal.h"

struct kt_export {
    struct kt_store *store;
    struct sqlite3 *db;
    struct sqlite3_stmt *versions, *stamp;
    struct rowdata_reader *rows;
    struct kt_catalogue *view;
    uint32_t subject;
    uint64_t stamped; /* the revision asked for last: neighbours are often of one revision */
    int64_t stamped_wall_ms;
};

static const char *const versions_sql =
    "SELECT time,period,declare_time,revision,line,declare_given,data FROM version"
    " WHERE subject=? AND time>=? AND time<=?"
    " ORDER BY time,period,declare_time,revision,line";

/* A read transaction begins with its first read. Who applies holds the mutex from before the commit
 * until the view is published, so under it the two are of one revision. */
static enum kt_status begin(struct kt_export *export, struct kt_error *err)
{
    int64_t applied = 0;
    kt_mutex_lock(&export->store->apply_mutex);
    enum kt_status status = behind_flush(export->store, err);
    if (status == KT_OK) {
        status = db_exec(export->db, "BEGIN", err);
    }
    if (status == KT_OK) {
        status = db_meta_get_i64(export->db, "applied_seq", 0, &applied, err);
    }
    if (status == KT_OK) {
        export->view = kt_store_view(export->store);
    }
    kt_mutex_unlock(&export->store->apply_mutex);
    if (status == KT_OK && (uint64_t)applied != kt_catalogue_revision(export->view)) {
        status = kt_fail(err, KT_INTERNAL, "%s: an export began between two revisions",
                         export->store->path);
    }
    return status;
}

enum kt_status kt_export_open(struct kt_store *store, struct kt_export **ret_export,
                              struct kt_error *err)
{
    struct kt_export *export = kt_calloc(1, sizeof(*export));
    if (!export) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for an export");
    }
    export->store = store;
    export->rows = rowdata_reader_new();
    enum kt_status status = export->rows ? db_open(store->path, DB_READER, &export->db, err)
                                         : kt_fail(err, KT_NO_MEMORY, "no memory for an export");
    if (status == KT_OK) {
        status = db_prepare(export->db, versions_sql, &export->versions, err);
    }
    if (status == KT_OK) {
        status =
            db_prepare(export->db, "SELECT wall_ms FROM revision WHERE seq=?", &export->stamp, err);
    }
    if (status == KT_OK) {
        status = begin(export, err);
    }
    if (status != KT_OK) {
        kt_export_close(&export);
        return status;
    }
    rowdata_reader_start(export->rows, export->view->indicators);
    *ret_export = export;
    return KT_OK;
}

void kt_export_close(struct kt_export **export_ptr)
{
    struct kt_export *export = *export_ptr;
    if (!export) {
        return;
    }
    db_finalize(&export->versions);
    db_finalize(&export->stamp);
    if (export->db) {
        db_rollback(export->db);
    }
    db_close(&export->db);
    rowdata_reader_free(&export->rows);
    kt_catalogue_unref(&export->view);
    kt_free(export);
    *export_ptr = NULL;
}

const struct kt_catalogue *kt_export_view(const struct kt_export *export)
{
    return export->view;
}

void kt_export_seek(struct kt_export *export, uint32_t subject, int64_t from_s, int64_t to_s)
{
    db_reset(export->versions);
    db_bind_i64(export->versions, 1, subject);
    db_bind_i64(export->versions, 2, from_s);
    db_bind_i64(export->versions, 3, to_s);
    export->subject = subject;
}

enum kt_status kt_export_next(struct kt_export *export, struct kt_version *ret_version,
                              struct kt_error *err)
{
    struct sqlite3_stmt *stmt = export->versions;
    enum kt_status status = db_step(stmt, err);
    if (status != KT_OK) {
        return status;
    }
    struct kt_version version = {.time_s = db_i64(stmt, 0),
                                 .period = db_text(stmt, 1),
                                 .declare_s = db_i64(stmt, 2),
                                 .revision = db_u64(stmt, 3),
                                 .line = (uint32_t)db_u64(stmt, 4),
                                 .declare_given = db_i64(stmt, 5) != 0};
    struct kt_str data = db_text(stmt, 6);
    status = db_check_columns(stmt, err);
    if (status == KT_OK) {
        status = rowdata_read(export->rows, data, &version, err);
    }
    if (status == KT_CORRUPT && err) {
        const struct kt_subject *subject = kt_catalogue_subject(export->view, export->subject);
        return kt_wrap(err, "%s: subject " KT_STR_FMT " (%u), time %lld", export->store->path,
                       KT_STR_ARG(subject ? subject->key : kt_str("?")), export->subject,
                       (long long)version.time_s);
    }
    if (status == KT_OK) {
        *ret_version = version;
    }
    return status;
}

enum kt_status kt_export_wall_ms(struct kt_export *export, uint64_t revision, int64_t *ret_wall_ms,
                                 struct kt_error *err)
{
    if (revision != export->stamped) {
        db_bind_u64(export->stamp, 1, revision);
        enum kt_status status = db_step(export->stamp, err);
        if (status != KT_OK && status != KT_NOT_FOUND) {
            return status;
        }
        export->stamped_wall_ms = status == KT_OK ? db_i64(export->stamp, 0) : 0;
        export->stamped = revision;
        db_reset(export->stamp);
    }
    *ret_wall_ms = export->stamped_wall_ms;
    return KT_OK;
}

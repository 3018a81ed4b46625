/* SPDX-License-Identifier: MIT */
/* SQLite behind our own statuses. Connections are opened without SQLite's mutexes: each belongs to
 * one thread at a time, and store.h says which.
 */
#include "store/db.h"

#include "base/buf.h"
#include "base/fs.h"
#include "base/mem.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define BUSY_TIMEOUT_MS 10000

static enum kt_status status_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
        return KT_CORRUPT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return KT_BUSY;
    case SQLITE_NOMEM:
        return KT_NO_MEMORY;
    default:
        return KT_IO;
    }
}

static enum kt_status fail(struct sqlite3 *db, int rc, const char *what, struct kt_error *err)
{
    const char *path = db ? sqlite3_db_filename(db, "main") : NULL;
    /* After an injected failure the connection itself knows of none. */
    const char *why = db && sqlite3_errcode(db) == rc ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
    /* A running node goes on by itself as soon as somebody makes room. */
    const char *hint = rc == SQLITE_FULL ? "; free space on its file system" : "";
    return kt_fail(err, status_of(rc), "%s: %s: %s (%d)%s", path ? path : "database", what, why, rc,
                   hint);
}

/* WAL in both. The log must survive a power cut when it says so (FULL); the data may lose its end,
 * which the log redoes (NORMAL). A WAL that grew behind a long reader shrinks again. secure_delete
 * is on in some distributions and would write freed bytes again for nothing. */
static const char *pragmas_of(enum db_mode mode)
{
    switch (mode) {
    case DB_LOG:
        return "PRAGMA synchronous=FULL; PRAGMA foreign_keys=OFF;"
               "PRAGMA secure_delete=OFF; PRAGMA cache_size=-4000;"
               "PRAGMA journal_size_limit=67108864";
    case DB_DATA:
        return "PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=OFF;"
               "PRAGMA secure_delete=OFF; PRAGMA cache_size=-65536; PRAGMA temp_store=MEMORY;"
               "PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=67108864";
    case DB_SCRATCH: /* after a failure it is thrown away */
        return "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA locking_mode=EXCLUSIVE;"
               "PRAGMA cache_size=-32000; PRAGMA secure_delete=OFF";
    case DB_WHOLE:
        return "PRAGMA journal_mode=DELETE; PRAGMA synchronous=EXTRA; PRAGMA foreign_keys=OFF;"
               "PRAGMA secure_delete=OFF; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;"
               "PRAGMA cache_size=-8000";
    default:
        return "PRAGMA query_only=ON; PRAGMA cache_size=-8000";
    }
}

/* On a file system without shared memory SQLite quietly stays in another mode. */
static enum kt_status set_wal(struct sqlite3 *db, const char *path, struct kt_error *err)
{
    struct sqlite3_stmt *stmt = NULL;
    enum kt_status status = db_prepare(db, "PRAGMA journal_mode=WAL", &stmt, err);
    if (status == KT_OK) {
        status = db_step(stmt, err);
    }
    if (status == KT_OK && !kt_str_eq_text(db_text(stmt, 0), "wal")) {
        status = kt_fail(err, KT_IO, "%s: the file system cannot hold a WAL database", path);
    }
    db_finalize(&stmt);
    return status;
}

enum kt_status db_open(const char *path, enum db_mode mode, struct sqlite3 **ret_db,
                       struct kt_error *err)
{
    struct sqlite3 *db = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    flags |= mode == DB_READER ? 0 : SQLITE_OPEN_CREATE;
    int rc = kt_fault_hit(KT_FAULT_IO) ? SQLITE_IOERR : sqlite3_open_v2(path, &db, flags, NULL);
    if (rc != SQLITE_OK) {
        enum kt_status status = kt_fail(err, status_of(rc), "open %s: %s", path,
                                        db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
        sqlite3_close(db);
        return status;
    }
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
    enum kt_status status = mode == DB_LOG || mode == DB_DATA ? set_wal(db, path, err) : KT_OK;
    if (status == KT_OK) {
        status = db_exec(db, pragmas_of(mode), err);
    }
    if (status != KT_OK) {
        sqlite3_close(db);
        return status;
    }
    *ret_db = db;
    return KT_OK;
}

void db_close(struct sqlite3 **db)
{
    if (*db) {
        int rc = sqlite3_close(*db);
        KT_ASSERT(rc == SQLITE_OK); /* else a statement was not finalized */
    }
    *db = NULL;
}

enum kt_status db_remove(const char *path, struct kt_error *err)
{
    static const char *const suffixes[] = {"-journal", "-wal", "-shm", ""};
    size_t size = strlen(path) + 16;
    KT_AUTOFREE char *name = kt_malloc(size);
    enum kt_status status =
        name ? KT_OK : kt_fail(err, KT_NO_MEMORY, "no memory to remove %s", path);
    for (size_t i = 0; i < KT_ARRAY_LEN(suffixes) && status == KT_OK; i++) {
        snprintf(name, size, "%s%s", path, suffixes[i]);
        status = kt_fs_remove(name, err);
    }
    return status;
}

enum kt_status db_prepare(struct sqlite3 *db, const char *sql, struct sqlite3_stmt **ret_stmt,
                          struct kt_error *err)
{
    int rc = kt_fault_hit(KT_FAULT_IO)
                 ? SQLITE_IOERR
                 : sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_stmt, NULL);
    return rc == SQLITE_OK ? KT_OK : fail(db, rc, sql, err);
}

void db_finalize(struct sqlite3_stmt **stmt)
{
    sqlite3_finalize(*stmt);
    *stmt = NULL;
}

enum kt_status db_exec(struct sqlite3 *db, const char *sql, struct kt_error *err)
{
    int rc = kt_fault_hit(KT_FAULT_IO) ? SQLITE_IOERR : sqlite3_exec(db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? KT_OK : fail(db, rc, sql, err);
}

enum kt_status db_number(struct sqlite3 *db, const char *sql, int64_t *ret_number,
                         struct kt_error *err)
{
    struct sqlite3_stmt *stmt = NULL;
    enum kt_status status = db_prepare(db, sql, &stmt, err);
    if (status == KT_OK) {
        status = db_step(stmt, err);
    }
    if (status == KT_OK) {
        *ret_number = db_i64(stmt, 0);
    } else if (status == KT_NOT_FOUND) {
        status =
            kt_fail(err, KT_CORRUPT, "%s: no answer to %s", sqlite3_db_filename(db, "main"), sql);
    }
    db_finalize(&stmt);
    return status;
}

void db_rollback(struct sqlite3 *db)
{
    if (!sqlite3_get_autocommit(db)) {
        /* SQLite rolls back by itself where this fails; there is nothing more to be done. */
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    }
}

enum kt_status db_end(struct sqlite3 *db, enum kt_status status, struct kt_error *err)
{
    if (status == KT_OK) {
        status = db_exec(db, "COMMIT", err);
    }
    if (status != KT_OK) {
        db_rollback(db);
    }
    return status;
}

bool db_in_transaction(struct sqlite3 *db)
{
    return !sqlite3_get_autocommit(db);
}

void db_checkpoint(struct sqlite3 *db)
{
    (void)sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}

enum kt_status db_checkpoint_whole(struct sqlite3 *db, int *ret_pages, int *ret_done,
                                   struct kt_error *err)
{
    *ret_pages = *ret_done = 0;
    int rc =
        kt_fault_hit(KT_FAULT_IO)
            ? SQLITE_IOERR
            : sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, ret_pages, ret_done);
    if (rc == SQLITE_OK) {
        return KT_OK;
    }
    if ((rc & 0xff) != SQLITE_BUSY) {
        return fail(db, rc, "checkpoint", err);
    }
    *ret_pages = 1; /* another checkpoint is under way */
    *ret_done = 0;
    return KT_OK;
}

enum kt_status db_quick_check(struct sqlite3 *db, struct kt_error *err)
{
    struct sqlite3_stmt *stmt = NULL;
    enum kt_status status = db_prepare(db, "PRAGMA quick_check(1)", &stmt, err);
    if (status == KT_OK) {
        status = db_step(stmt, err);
    }
    if (status == KT_OK && !kt_str_eq_text(db_text(stmt, 0), "ok")) {
        status = kt_fail(err, KT_CORRUPT, "%s: " KT_STR_FMT, sqlite3_db_filename(db, "main"),
                         KT_STR_ARG(db_text(stmt, 0)));
    }
    db_finalize(&stmt);
    return status;
}

enum kt_status db_backup_start(struct sqlite3 *from, struct sqlite3 *to,
                               struct sqlite3_backup **ret_backup, struct kt_error *err)
{
    struct sqlite3_backup *backup = NULL;
    if (!kt_fault_hit(KT_FAULT_IO)) {
        backup = sqlite3_backup_init(to, "main", from, "main");
    }
    if (!backup) {
        int rc = sqlite3_errcode(to);
        return fail(to, rc == SQLITE_OK ? SQLITE_IOERR : rc, "copy a database", err);
    }
    *ret_backup = backup;
    return KT_OK;
}

enum kt_status db_backup_step(struct sqlite3_backup *backup, int pages, struct sqlite3 *to,
                              bool *ret_done, struct kt_error *err)
{
    int rc = kt_fault_hit(KT_FAULT_IO) ? SQLITE_IOERR : sqlite3_backup_step(backup, pages);
    if (rc != SQLITE_OK && rc != SQLITE_DONE) {
        return fail(to, rc, "copy a database", err);
    }
    *ret_done = rc == SQLITE_DONE;
    return KT_OK;
}

void db_backup_end(struct sqlite3_backup **backup)
{
    (void)sqlite3_backup_finish(*backup);
    *backup = NULL;
}

enum kt_status db_step(struct sqlite3_stmt *stmt, struct kt_error *err)
{
    int rc = kt_fault_hit(KT_FAULT_IO) ? SQLITE_IOERR : sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        return KT_OK;
    }
    enum kt_status status = KT_NOT_FOUND;
    if (rc != SQLITE_DONE) {
        status = fail(sqlite3_db_handle(stmt), rc, sqlite3_sql(stmt), err);
    }
    sqlite3_reset(stmt);
    return status;
}

enum kt_status db_run(struct sqlite3_stmt *stmt, struct kt_error *err)
{
    enum kt_status status = db_step(stmt, err);
    if (status == KT_OK) {
        sqlite3_reset(stmt);
        return kt_fail(err, KT_INTERNAL, "a statement gave rows: %s", sqlite3_sql(stmt));
    }
    return status == KT_NOT_FOUND ? KT_OK : status;
}

int64_t db_changes(struct sqlite3 *db)
{
    return sqlite3_changes(db);
}

void db_reset(struct sqlite3_stmt *stmt)
{
    sqlite3_reset(stmt);
}

/* Binding fails only for an index out of range, a statement in use (our own bugs) or a text beyond
 * SQLite's limit of 10^9 bytes, which no entry reaches. */
static void bound(int rc)
{
    KT_ASSERT(rc == SQLITE_OK);
}

void db_bind_i64(struct sqlite3_stmt *stmt, int at, int64_t value)
{
    bound(sqlite3_bind_int64(stmt, at, value));
}

void db_bind_u64(struct sqlite3_stmt *stmt, int at, uint64_t value)
{
    KT_ASSERT(value <= INT64_MAX);
    bound(sqlite3_bind_int64(stmt, at, (int64_t)value));
}

void db_bind_text(struct sqlite3_stmt *stmt, int at, struct kt_str text)
{
    bound(sqlite3_bind_text64(stmt, at, text.data ? text.data : "", text.len, SQLITE_STATIC,
                              SQLITE_UTF8));
}

void db_bind_blob(struct sqlite3_stmt *stmt, int at, struct kt_str bytes)
{
    bound(sqlite3_bind_blob64(stmt, at, bytes.data ? bytes.data : "", bytes.len, SQLITE_STATIC));
}

int64_t db_i64(struct sqlite3_stmt *stmt, int column)
{
    return sqlite3_column_int64(stmt, column);
}

uint64_t db_u64(struct sqlite3_stmt *stmt, int column)
{
    int64_t value = sqlite3_column_int64(stmt, column);
    return value < 0 ? 0 : (uint64_t)value;
}

struct kt_str db_text(struct sqlite3_stmt *stmt, int column)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    return kt_str_n(text, text ? (size_t)sqlite3_column_bytes(stmt, column) : 0);
}

struct kt_str db_blob(struct sqlite3_stmt *stmt, int column)
{
    const char *bytes = sqlite3_column_blob(stmt, column);
    return kt_str_n(bytes, bytes ? (size_t)sqlite3_column_bytes(stmt, column) : 0);
}

enum kt_status db_check_columns(struct sqlite3_stmt *stmt, struct kt_error *err)
{
    struct sqlite3 *db = sqlite3_db_handle(stmt);
    if (sqlite3_errcode(db) == SQLITE_NOMEM) {
        return fail(db, SQLITE_NOMEM, sqlite3_sql(stmt), err);
    }
    return KT_OK;
}

enum kt_status db_user_version(struct sqlite3 *db, int *ret_version, struct kt_error *err)
{
    int64_t version = 0;
    enum kt_status status = db_number(db, "PRAGMA user_version", &version, err);
    if (status == KT_OK) {
        *ret_version = (int)version;
    }
    return status;
}

enum kt_status db_migrate(struct sqlite3 *db, const char *path, const char *const *migrations,
                          int count, struct kt_error *err)
{
    int version = 0;
    enum kt_status status = db_user_version(db, &version, err);
    if (status == KT_OK && version > count) {
        return kt_fail(err, KT_CORRUPT,
                       "%s: its schema %d is newer than this program's %d; use a newer program",
                       path, version, count);
    }
    while (status == KT_OK && version < count) {
        char stamp[64];
        snprintf(stamp, sizeof(stamp), "PRAGMA user_version=%d; COMMIT", version + 1);
        status = db_exec(db, "BEGIN IMMEDIATE", err);
        if (status == KT_OK) {
            status = db_exec(db, migrations[version], err);
        }
        if (status == KT_OK) {
            status = db_exec(db, stamp, err);
        }
        if (status != KT_OK) {
            db_rollback(db);
        }
        version++;
    }
    return status;
}

static enum kt_status meta_find(struct sqlite3 *db, const char *name, struct sqlite3_stmt **stmt,
                                struct kt_error *err)
{
    enum kt_status status = db_prepare(db, "SELECT value FROM meta WHERE name=?", stmt, err);
    if (status != KT_OK) {
        return status;
    }
    db_bind_text(*stmt, 1, kt_str(name));
    return db_step(*stmt, err);
}

enum kt_status db_meta_get_i64(struct sqlite3 *db, const char *name, int64_t fallback,
                               int64_t *ret_value, struct kt_error *err)
{
    struct sqlite3_stmt *stmt = NULL;
    enum kt_status status = meta_find(db, name, &stmt, err);
    if (status == KT_OK) {
        *ret_value = db_i64(stmt, 0);
    } else if (status == KT_NOT_FOUND) {
        *ret_value = fallback;
        status = KT_OK;
    }
    db_finalize(&stmt);
    return status;
}

enum kt_status db_meta_get_text(struct sqlite3 *db, const char *name, struct kt_buf *ret_text,
                                struct kt_error *err)
{
    struct sqlite3_stmt *stmt = NULL;
    enum kt_status status = meta_find(db, name, &stmt, err);
    if (status == KT_OK) {
        kt_buf_append_str(ret_text, db_text(stmt, 0));
        status = db_check_columns(stmt, err);
        if (status == KT_OK && kt_buf_status(ret_text) != KT_OK) {
            status = kt_fail(err, kt_buf_status(ret_text), "no memory for %s", name);
        }
    } else if (status == KT_NOT_FOUND) {
        status = KT_OK;
    }
    db_finalize(&stmt);
    return status;
}

static enum kt_status meta_put(struct sqlite3 *db, const char *name, struct sqlite3_stmt **stmt,
                               struct kt_error *err)
{
    enum kt_status status =
        db_prepare(db, "INSERT OR REPLACE INTO meta(name,value) VALUES(?,?)", stmt, err);
    if (status == KT_OK) {
        db_bind_text(*stmt, 1, kt_str(name));
    }
    return status;
}

enum kt_status db_meta_set_i64(struct sqlite3 *db, const char *name, int64_t value,
                               struct kt_error *err)
{
    struct sqlite3_stmt *stmt = NULL;
    enum kt_status status = meta_put(db, name, &stmt, err);
    if (status == KT_OK) {
        db_bind_i64(stmt, 2, value);
        status = db_run(stmt, err);
    }
    db_finalize(&stmt);
    return status;
}

enum kt_status db_meta_set_text(struct sqlite3 *db, const char *name, struct kt_str value,
                                struct kt_error *err)
{
    struct sqlite3_stmt *stmt = NULL;
    enum kt_status status = meta_put(db, name, &stmt, err);
    if (status == KT_OK) {
        db_bind_text(stmt, 2, value);
        status = db_run(stmt, err);
    }
    db_finalize(&stmt);
    return status;
}

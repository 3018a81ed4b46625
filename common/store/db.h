/* db.h - the few calls to SQLite that all of common/store is made of.
 *
 * Each step passes kt_fault_hit(KT_FAULT_IO), so that a test can fail any of them.
 *
 * Threads: a connection and its statements by one thread at a time.
 * Owns:    open and prepare hand over; close and finalize take T ** and accept NULL.
 * Fails:   KT_CORRUPT (damaged, no database), KT_BUSY, KT_NO_MEMORY, else KT_IO; the message has
 *          the file and SQLite's own words.
 */
#ifndef KT_STORE_DB_H
#define KT_STORE_DB_H

#include "base/status.h"
#include "base/str.h"

struct sqlite3;
struct sqlite3_stmt;

enum db_mode {
    DB_LOG,
    DB_DATA,
    DB_READER,
    DB_SCRATCH, /* a temporary file: no journal */
    DB_WHOLE    /* in one file without a WAL, durable with each commit: it is to be renamed */
};
enum kt_status db_open(const char *path, enum db_mode mode, struct sqlite3 **ret_db,
                       struct kt_error *err) KT_MUST_CHECK;
void db_close(struct sqlite3 **db);
/* The file and its journals, which go first; absent is OK. */
enum kt_status db_remove(const char *path, struct kt_error *err) KT_MUST_CHECK;
enum kt_status db_prepare(struct sqlite3 *db, const char *sql, struct sqlite3_stmt **ret_stmt,
                          struct kt_error *err) KT_MUST_CHECK;
void db_finalize(struct sqlite3_stmt **stmt);
enum kt_status db_exec(struct sqlite3 *db, const char *sql, struct kt_error *err) KT_MUST_CHECK;
/* The one number that a query gives. */
enum kt_status db_number(struct sqlite3 *db, const char *sql, int64_t *ret_number,
                         struct kt_error *err) KT_MUST_CHECK;
/* Without result: for a rollback on the way out. */
void db_rollback(struct sqlite3 *db);
/* Ends a transaction that came to `status` so far: commits it, or takes it back. */
enum kt_status db_end(struct sqlite3 *db, enum kt_status status,
                      struct kt_error *err) KT_MUST_CHECK;
bool db_in_transaction(struct sqlite3 *db); /* begun, and not rolled back since */

/* Moves the WAL into the file and empties it, as far as that succeeds. */
void db_checkpoint(struct sqlite3 *db);

/* Moves what the WAL has now into the file, both synced, without waiting for readers or writers:
 * how many pages there were when it began, and how many of them, the first, are in the file now.
 * None are while another checkpoint is under way. */
enum kt_status db_checkpoint_whole(struct sqlite3 *db, int *ret_pages, int *ret_done,
                                   struct kt_error *err) KT_MUST_CHECK;

/* KT_CORRUPT with what SQLite found, unless the whole file is sound. */
enum kt_status db_quick_check(struct sqlite3 *db, struct kt_error *err) KT_MUST_CHECK;

/* Copies all pages of one database over another, some at a time. The source is as it was when its
 * transaction began, so there must be one. */
struct sqlite3_backup;
enum kt_status db_backup_start(struct sqlite3 *from, struct sqlite3 *to,
                               struct sqlite3_backup **ret_backup,
                               struct kt_error *err) KT_MUST_CHECK;
enum kt_status db_backup_step(struct sqlite3_backup *backup, int pages, struct sqlite3 *to,
                              bool *ret_done, struct kt_error *err) KT_MUST_CHECK;
void db_backup_end(struct sqlite3_backup **backup); /* also before it is done */

/* KT_OK with a row, KT_NOT_FOUND without one more, or a failure; then the statement is reset. */
enum kt_status db_step(struct sqlite3_stmt *stmt, struct kt_error *err) KT_MUST_CHECK;
/* Runs a statement that gives no rows, and resets it. */
enum kt_status db_run(struct sqlite3_stmt *stmt, struct kt_error *err) KT_MUST_CHECK;
void db_reset(struct sqlite3_stmt *stmt);
int64_t db_changes(struct sqlite3 *db); /* rows that the last statement changed */

/* Binding; texts and bytes must stay until the statement was run. */
void db_bind_i64(struct sqlite3_stmt *stmt, int at, int64_t value);
void db_bind_u64(struct sqlite3_stmt *stmt, int at, uint64_t value); /* ≤ INT64_MAX */
void db_bind_text(struct sqlite3_stmt *stmt, int at, struct kt_str text);
void db_bind_blob(struct sqlite3_stmt *stmt, int at, struct kt_str bytes);
int64_t db_i64(struct sqlite3_stmt *stmt, int column);
uint64_t db_u64(struct sqlite3_stmt *stmt, int column);
struct kt_str db_text(struct sqlite3_stmt *stmt, int column); /* until the next step */
struct kt_str db_blob(struct sqlite3_stmt *stmt, int column);
/* SQLite gives NULL for a text or blob when its memory is exhausted: says whether that happened. */
enum kt_status db_check_columns(struct sqlite3_stmt *stmt, struct kt_error *err) KT_MUST_CHECK;

/* Brings the schema up to `count` migrations, each in a transaction of its own; a file that is
 * already further is refused with KT_CORRUPT. */
enum kt_status db_migrate(struct sqlite3 *db, const char *path, const char *const *migrations,
                          int count, struct kt_error *err) KT_MUST_CHECK;

enum kt_status db_user_version(struct sqlite3 *db, int *ret_version,
                               struct kt_error *err) KT_MUST_CHECK;

/* meta(name, value) of either file; absent gives the fallback. */
enum kt_status db_meta_get_i64(struct sqlite3 *db, const char *name, int64_t fallback,
                               int64_t *ret_value, struct kt_error *err) KT_MUST_CHECK;
struct kt_buf;
enum kt_status db_meta_get_text(struct sqlite3 *db, const char *name, struct kt_buf *ret_text,
                                struct kt_error *err) KT_MUST_CHECK; /* appends; "" when absent */
enum kt_status db_meta_set_i64(struct sqlite3 *db, const char *name, int64_t value,
                               struct kt_error *err) KT_MUST_CHECK;
enum kt_status db_meta_set_text(struct sqlite3 *db, const char *name, struct kt_str value,
                                struct kt_error *err) KT_MUST_CHECK;

#endif

/* SPDX-License-Identifier: MIT */
#include "store/finance.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"

#include <sqlite3.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#define TABLE "finance_data"
#define OPS_PER_CALL 1000  /* virtual machine steps between two calls of the progress handler */
#define OPEN_CALLS_MAX 300 /* of them before the first row: some 40,000 tables, views, indexes */
#define OPEN_BYTES_MAX (INT64_C(64) << 20) /* of SQLite's memory, meanwhile */
#define CELL_BYTES_MAX 1000000

const char *const kt_finance_column_names[KT_FINANCE_COLUMNS] = {
    "stock_code", "market_code", "subject_key", "stock_name",       "report_date",
    "end_date",   "year",        "period",      "operating_income", "parent_holder_net_profit",
    "category",   "topic"};

struct kt_finance {
    sqlite3 *db;
    sqlite3_stmt *rows;
    int64_t step_ms, deadline_mono_ms;
    uint64_t calls_left; /* of the progress handler, while the file is being opened */
    int64_t memory_before;
    uint64_t number;
    int64_t last_rowid;
    char numbers[KT_FINANCE_COLUMNS][KT_F64_TEXT_MAX];
};

static int on_progress(void *ctx)
{
    struct kt_finance *finance = ctx;
    if (finance->calls_left == 0) {
        return 1;
    }
    if (!finance->rows) {
        finance->calls_left--;
        /* Of all connections; but the others do not grow by so much in so short a time. */
        if (sqlite3_memory_used() - finance->memory_before > OPEN_BYTES_MAX) {
            finance->calls_left = 0;
        }
    }
    return kt_now_mono_ms() > finance->deadline_mono_ms;
}

static enum kt_status fail(struct kt_finance *finance, int rc, const char *what,
                           struct kt_error *err)
{
    const char *why = finance->db ? sqlite3_errmsg(finance->db) : sqlite3_errstr(rc);
    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        return kt_fail(err, KT_NO_MEMORY, "no memory to read the body's database");
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_FULL:
        return kt_fail(err, KT_IO, "%s: %s", what, why);
    case SQLITE_INTERRUPT:
        if (finance->calls_left > 0) {
            return kt_fail(err, KT_TIMEOUT, "%s: the body's database took too long", what);
        }
        why = "its schema is too large";
        break;
    default:
        break;
    }
    return kt_fail_field(err, KT_BAD_VALUE, "body", "the body must be a SQLite database: %s: %s",
                         what, why);
}

/* --- opening --- */

static void limit(sqlite3 *db)
{
    static const struct {
        int what, value;
    } limits[] = {{SQLITE_LIMIT_LENGTH, CELL_BYTES_MAX},
                  {SQLITE_LIMIT_SQL_LENGTH, 100000},
                  {SQLITE_LIMIT_COLUMN, 2000},
                  {SQLITE_LIMIT_EXPR_DEPTH, 100},
                  {SQLITE_LIMIT_COMPOUND_SELECT, 3},
                  {SQLITE_LIMIT_ATTACHED, 0},
                  {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100},
                  {SQLITE_LIMIT_VARIABLE_NUMBER, 10},
                  {SQLITE_LIMIT_TRIGGER_DEPTH, 1},
                  {SQLITE_LIMIT_WORKER_THREADS, 0}};
    static const struct {
        int what, value;
    } switches[] = {{SQLITE_DBCONFIG_DEFENSIVE, 1},
                    {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
                    {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
                    {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
                    {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
                    {SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0},
                    {SQLITE_DBCONFIG_ENABLE_FKEY, 0}};
    for (size_t i = 0; i < KT_ARRAY_LEN(limits); i++) {
        sqlite3_limit(db, limits[i].what, limits[i].value);
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(switches); i++) {
        sqlite3_db_config(db, switches[i].what, switches[i].value, NULL);
    }
}

/* file:PATH?mode=ro&immutable=1, every byte of the path but plain ones escaped. */
static enum kt_status make_uri(const char *path, struct kt_buf *uri, struct kt_error *err)
{
    kt_buf_append_text(uri, "file:");
    for (const char *p = path; *p; p++) {
        unsigned char c = (unsigned char)*p;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '/' || c == '.' || c == '-' || c == '_';
        if (plain) {
            kt_buf_append_byte(uri, (char)c);
        } else {
            kt_buf_append_byte(uri, '%');
            kt_buf_append_hex(uri, &c, 1);
        }
    }
    kt_buf_append_text(uri, "?mode=ro&immutable=1");
    kt_buf_append_byte(uri, '\0');
    return kt_buf_status(uri) == KT_OK ? KT_OK : kt_fail(err, KT_NO_MEMORY, "no memory for a path");
}

static enum kt_status open_file(struct kt_finance *finance, const char *path, struct kt_error *err)
{
    struct kt_buf uri;
    kt_buf_init(&uri, 0);
    enum kt_status status = make_uri(path, &uri, err);
    if (status == KT_OK) {
        int rc = sqlite3_open_v2(uri.data, &finance->db,
                                 SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX |
                                     SQLITE_OPEN_PRIVATECACHE,
                                 NULL);
        status = rc == SQLITE_OK ? KT_OK : fail(finance, rc, "open", err);
    }
    kt_buf_done(&uri);
    if (status != KT_OK) {
        return status;
    }
    limit(finance->db);
    sqlite3_progress_handler(finance->db, OPS_PER_CALL, on_progress, finance);
    int rc = sqlite3_exec(finance->db,
                          "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA query_only=ON;"
                          "PRAGMA cache_size=-4000; PRAGMA temp_store=MEMORY",
                          NULL, NULL, NULL);
    return rc == SQLITE_OK ? KT_OK : fail(finance, rc, "open", err);
}

static enum kt_status prepare(struct kt_finance *finance, const char *sql, sqlite3_stmt **ret_stmt,
                              struct kt_error *err)
{
    int rc = sqlite3_prepare_v2(finance->db, sql, -1, ret_stmt, NULL);
    return rc == SQLITE_OK ? KT_OK : fail(finance, rc, "table " TABLE, err);
}

static enum kt_status pragma_number(struct kt_finance *finance, const char *sql, int64_t *ret_value,
                                    struct kt_error *err)
{
    sqlite3_stmt *stmt = NULL;
    enum kt_status status = prepare(finance, sql, &stmt, err);
    if (status == KT_OK) {
        int rc = sqlite3_step(stmt);
        status = rc == SQLITE_ROW ? KT_OK : fail(finance, rc, sql, err);
        *ret_value = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    }
    sqlite3_finalize(stmt);
    return status;
}

/* SQLite reads what a file lacks at its end as zeros. */
static enum kt_status check_size(struct kt_finance *finance, const char *path, struct kt_error *err)
{
    int64_t page_bytes = 0, pages = 0, size = kt_fs_size(path);
    enum kt_status status = pragma_number(finance, "PRAGMA page_count", &pages, err);
    if (status == KT_OK) {
        status = pragma_number(finance, "PRAGMA page_size", &page_bytes, err);
    }
    if (status == KT_OK &&
        (page_bytes <= 0 || size % page_bytes != 0 || pages > size / page_bytes)) {
        status = kt_fail_field(err, KT_BAD_VALUE, "body",
                               "the body must be a SQLite database: its %lld bytes are cut short",
                               (long long)size);
    }
    return status;
}

static bool text_is(sqlite3_stmt *stmt, int column, const char *text)
{
    const char *value = (const char *)sqlite3_column_text(stmt, column);
    return value && kt_str_eq_nocase(kt_str(value), kt_str(text));
}

/* A view or a virtual table would run what the file says; without a rowid nothing shows a loop. */
static enum kt_status check_table(struct kt_finance *finance, struct kt_error *err)
{
    sqlite3_stmt *stmt = NULL;
    enum kt_status status = prepare(finance, "PRAGMA main.table_list(" TABLE ")", &stmt, err);
    int rc = SQLITE_DONE;
    bool good = false;
    while (status == KT_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        /* schema, name, type, ncol, wr, strict */
        good = good || (text_is(stmt, 0, "main") && text_is(stmt, 2, "table") &&
                        sqlite3_column_int(stmt, 4) == 0);
    }
    if (status == KT_OK && rc != SQLITE_DONE) {
        status = fail(finance, rc, "table " TABLE, err);
    }
    sqlite3_finalize(stmt);
    if (status == KT_OK && !good) {
        status = kt_fail_field(err, KT_BAD_VALUE, "body",
                               "the body's database must have " TABLE " as an ordinary table");
    }
    return status;
}

struct found { /* of the table's columns */
    bool columns[KT_FINANCE_COLUMNS];
    bool rowid_names[3];
};
static const char *const rowid_names[3] = {"rowid", "_rowid_", "oid"};

/* Hidden ones are generated: their text would run. */
static enum kt_status find_columns(struct kt_finance *finance, struct found *found,
                                   struct kt_error *err)
{
    sqlite3_stmt *stmt = NULL;
    enum kt_status status = prepare(finance, "PRAGMA main.table_xinfo(" TABLE ")", &stmt, err);
    int rc = SQLITE_DONE;
    while (status == KT_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        /* cid, name, type, notnull, dflt_value, pk, hidden */
        bool plain = sqlite3_column_int(stmt, 6) == 0;
        for (int i = 0; i < KT_FINANCE_COLUMNS; i++) {
            found->columns[i] |= plain && text_is(stmt, 1, kt_finance_column_names[i]);
        }
        for (int i = 0; i < 3; i++) {
            found->rowid_names[i] |= text_is(stmt, 1, rowid_names[i]);
        }
    }
    if (status == KT_OK && rc != SQLITE_DONE) {
        status = fail(finance, rc, "table " TABLE, err);
    }
    sqlite3_finalize(stmt);
    for (int i = 0; i < KT_FINANCE_COLUMNS && status == KT_OK; i++) {
        if (!found->columns[i]) {
            status = kt_fail_field(err, KT_BAD_VALUE, "body",
                                   "the body's table " TABLE " has no ordinary column %s",
                                   kt_finance_column_names[i]);
        }
    }
    return status;
}

static enum kt_status prepare_rows(struct kt_finance *finance, const struct found *found,
                                   struct kt_error *err)
{
    int rowid = 0;
    while (rowid < 3 && found->rowid_names[rowid]) {
        rowid++;
    }
    if (rowid == 3) {
        return kt_fail_field(err, KT_BAD_VALUE, "body",
                             "the body's table " TABLE " hides its rowid behind columns");
    }
    struct kt_buf sql;
    kt_buf_init(&sql, 0);
    kt_buf_printf(&sql, "SELECT %s", rowid_names[rowid]);
    for (int i = 0; i < KT_FINANCE_COLUMNS; i++) {
        kt_buf_printf(&sql, ",\"%s\"", kt_finance_column_names[i]);
    }
    kt_buf_append_text(&sql, " FROM main." TABLE " NOT INDEXED");
    kt_buf_append_byte(&sql, '\0');
    enum kt_status status = kt_buf_status(&sql) == KT_OK
                                ? KT_OK
                                : kt_fail(err, KT_NO_MEMORY, "no memory for a statement");
    sqlite3_stmt *stmt = NULL;
    if (status == KT_OK) {
        status = prepare(finance, sql.data, &stmt, err);
    }
    kt_buf_done(&sql);
    finance->rows = stmt;
    return status;
}

enum kt_status kt_finance_open(const char *path, int64_t step_ms, struct kt_finance **ret_finance,
                               struct kt_error *err)
{
    struct found found;
    struct kt_finance *finance = kt_calloc(1, sizeof(*finance));
    if (!finance) {
        return kt_fail(err, KT_NO_MEMORY, "no memory to read the body's database");
    }
    memset(&found, 0, sizeof(found));
    finance->step_ms = step_ms;
    finance->deadline_mono_ms = kt_now_mono_ms() + step_ms;
    finance->calls_left = OPEN_CALLS_MAX;
    finance->memory_before = sqlite3_memory_used();
    finance->last_rowid = INT64_MIN;
    enum kt_status status = open_file(finance, path, err);
    if (status == KT_OK) {
        status = check_size(finance, path, err);
    }
    if (status == KT_OK) {
        status = check_table(finance, err);
    }
    if (status == KT_OK) {
        status = find_columns(finance, &found, err);
    }
    if (status == KT_OK) {
        status = prepare_rows(finance, &found, err);
    }
    if (status != KT_OK) {
        kt_finance_close(&finance);
        return status;
    }
    *ret_finance = finance;
    return KT_OK;
}

void kt_finance_close(struct kt_finance **finance)
{
    if (!*finance) {
        return;
    }
    sqlite3_finalize((*finance)->rows);
    sqlite3_close((*finance)->db);
    kt_free(*finance);
    *finance = NULL;
}

/* --- rows --- */

/* A real as our own shortest text: SQLite's has fifteen digits. An infinity stays SQLite's "Inf",
 * which is no number to who reads it. */
static struct kt_str cell(struct kt_finance *finance, int index)
{
    sqlite3_stmt *stmt = finance->rows;
    int column = index + 1;
    if (sqlite3_column_type(stmt, column) == SQLITE_FLOAT &&
        isfinite(sqlite3_column_double(stmt, column))) {
        char *dest = finance->numbers[index];
        return kt_str_n(dest, kt_format_f64(sqlite3_column_double(stmt, column), dest));
    }
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    return kt_str_n(text ? text : "", text ? (size_t)sqlite3_column_bytes(stmt, column) : 0);
}

enum kt_status kt_finance_next(struct kt_finance *finance, struct kt_finance_row *ret_row,
                               struct kt_error *err)
{
    finance->deadline_mono_ms = kt_now_mono_ms() + finance->step_ms;
    int rc = sqlite3_step(finance->rows);
    if (rc == SQLITE_DONE) {
        return KT_NOT_FOUND;
    }
    if (rc != SQLITE_ROW) {
        return fail(finance, rc, "table " TABLE, err);
    }
    int64_t rowid = sqlite3_column_int64(finance->rows, 0);
    if (finance->number > 0 && rowid <= finance->last_rowid) {
        return kt_fail_field(err, KT_BAD_VALUE, "body",
                             "the body's database is damaged: its rows do not rise");
    }
    finance->last_rowid = rowid;
    ret_row->number = ++finance->number;
    for (int i = 0; i < KT_FINANCE_COLUMNS; i++) {
        ret_row->cells[i] = cell(finance, i);
    }
    return sqlite3_errcode(finance->db) == SQLITE_NOMEM
               ? kt_fail(err, KT_NO_MEMORY, "no memory to read the body's database")
               : KT_OK;
}

/* SPDX-License-Identifier: MIT */
/* raw_sqlite - the bar of bulk import: the same values, already parsed, into our own data tables.
 *
 * One connection, one transaction, one prepared statement per table, the settings of a data node's
 * own connection; neither log nor import. The file is read and parsed by the import's own code into
 * changes, which are decoded before the clock starts; what is timed is making the text of each row,
 * the inserts and the commit. Rows go in the order in which they came.
 */
#include "base/clock.h"
#include "base/fs.h"
#include "base/map.h"
#include "base/mem.h"
#include "node/import.h"
#include "store/rowdata.h"
#include "store/store.h"
#include "json/write.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INPUT_MAX ((size_t)1 << 30)
#define QUERY                                                                                      \
    "subject=subject&name=name&status=status&category=category&time=date&period=period"            \
    "&declare_date=declare_date&topic==literal:stock_a_listing_pool"

/* Everything that the file says, decoded; changes borrow from their bytes. */
struct parsed {
    struct kt_change *changes;
    char **bytes;
    size_t count, cap;
    uint64_t records, values;
};

struct source {
    const char *data;
    size_t left;
};

enum { INSERT_SUBJECT, INSERT_TOPIC, INSERT_STAY, INSERT_INDICATOR, INSERT_VERSION, INSERTS };
static const char *const inserts[INSERTS] = {
    [INSERT_SUBJECT] = "INSERT INTO subject(number,key,name,status,listing_date,category,"
                       "changed_revision) VALUES(?,?,?,?,?,?,1)",
    [INSERT_TOPIC] = "INSERT INTO topic(number,key) VALUES(?,?)",
    [INSERT_STAY] = "INSERT INTO stay(subject,topic,from_time,to_time) VALUES(?,?,?,?)",
    [INSERT_INDICATOR] = "INSERT INTO indicator(number,key) VALUES(?,?)",
    [INSERT_VERSION] = "INSERT INTO version(subject,time,period,declare_time,revision,line,"
                       "declare_given,data) VALUES(?,?,?,?,1,?,?,?)",
};

struct target {
    sqlite3 *db;
    sqlite3_stmt *stmts[INSERTS];
    struct kt_map *numbers[INSERTS]; /* key -> its number, as a pointer */
    struct kt_buf json;
};

_Noreturn static void give_up(const char *what, const char *why)
{
    fprintf(stderr, "raw_sqlite: %s: %s\n", what, why);
    exit(1);
}

static enum kt_status read_source(void *ctx, void *dest, size_t size, size_t *ret_len,
                                  struct kt_error *err)
{
    struct source *source = ctx;

    (void)err;
    *ret_len = size < source->left ? size : source->left;
    memcpy(dest, source->data, *ret_len);
    source->data += *ret_len;
    source->left -= *ret_len;
    return KT_OK;
}

static enum kt_status keep_batch(void *ctx, uint64_t batch, struct kt_str body,
                                 uint64_t *ret_revision, struct kt_error *err)
{
    struct parsed *parsed = ctx;

    if (parsed->count == parsed->cap) {
        parsed->cap = parsed->cap ? parsed->cap * 2 : 64;
        parsed->changes = kt_reallocarray(parsed->changes, parsed->cap, sizeof(*parsed->changes));
        parsed->bytes = kt_reallocarray(parsed->bytes, parsed->cap, sizeof(*parsed->bytes));
        if (!parsed->changes || !parsed->bytes) {
            return kt_fail(err, KT_NO_MEMORY, "no memory");
        }
    }
    char *bytes = kt_strndup(body.data, body.len);
    if (!bytes) {
        return kt_fail(err, KT_NO_MEMORY, "no memory");
    }
    struct kt_change *change = &parsed->changes[parsed->count];
    enum kt_status status = kt_change_decode((struct kt_str){bytes, body.len}, change, err);
    if (status != KT_OK) {
        kt_free(bytes);
        return status;
    }
    parsed->bytes[parsed->count++] = bytes;
    for (size_t i = 0; i < change->record_count; i++) {
        parsed->values += change->records[i].value_count;
    }
    parsed->records += change->record_count;
    *ret_revision = batch;
    return KT_OK;
}

static void parse(const char *path, struct parsed *parsed)
{
    static const struct kt_import_limits limits = {.line_max_bytes = 4 << 20,
                                                   .batch_records = 2000,
                                                   .batch_bytes = 1 << 20,
                                                   .atomic_bytes = 1 << 20,
                                                   .json_depth = 16};
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf input;
    struct kt_import_report *report = kt_calloc(1, sizeof(*report));
    struct kt_http_request request = {.query = kt_str(QUERY),
                                      .arena = kt_arena_new(65536, 1 << 20)};
    struct kt_import_options *options = NULL;

    kt_buf_init(&input, INPUT_MAX);
    if (!report || !request.arena) {
        give_up(path, "no memory");
    }
    if (kt_fs_read(path, INPUT_MAX, &input, &err) != KT_OK) {
        give_up("read", err.message);
    }
    struct source source = {input.data, input.len_bytes};
    struct kt_http_body body = {.read = read_source, .ctx = &source};
    if (kt_import_options_parse(&request, &options, &err) != KT_OK ||
        kt_import_run(options, &limits, &body, keep_batch, parsed, report, &err) != KT_OK) {
        give_up(path, err.message);
    }
    if (report->rejected > 0 || parsed->values == 0) {
        give_up(path, report->rejected > 0 ? report->errors[0].reason : "no values");
    }
    kt_arena_free(&request.arena);
    kt_free(report);
    kt_buf_done(&input);
}

static void must(const struct target *target, int rc, const char *what)
{
    if (rc != SQLITE_OK && rc != SQLITE_DONE) {
        give_up(what, sqlite3_errmsg(target->db));
    }
}

static void exec(const struct target *target, const char *sql)
{
    must(target, sqlite3_exec(target->db, sql, NULL, NULL, NULL), sql);
}

/* A store makes the tables, so that they are our own; then it is closed and its file opened bare.
 */
static void open_target(struct target *target, const char *path)
{
    struct kt_store_options options = {.path = path, .read_connections = 1, .max_indicators = 4096};
    struct kt_store *store = NULL;
    struct kt_error err = KT_ERROR_INIT;
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    char name[1024];

    for (size_t i = 0; i < 2 * KT_ARRAY_LEN(suffixes); i++) {
        bool log = i >= KT_ARRAY_LEN(suffixes);
        size_t stem = strlen(path) - (log && strlen(path) > 3 ? 3 : 0);
        (void)snprintf(name, sizeof(name), "%.*s%s%s", (int)stem, path, log ? ".log.db" : "",
                       suffixes[i % KT_ARRAY_LEN(suffixes)]);
        (void)remove(name);
    }
    if (kt_store_open(&options, &store, &err) != KT_OK) {
        give_up(path, err.message);
    }
    kt_store_close(&store);
    int rc = sqlite3_open_v2(path, &target->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    must(target, rc, "open");
    exec(target, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=OFF;"
                 "PRAGMA secure_delete=OFF; PRAGMA cache_size=-65536; PRAGMA temp_store=MEMORY;"
                 "PRAGMA wal_autocheckpoint=4000");
    for (int i = 0; i < INSERTS; i++) {
        rc = sqlite3_prepare_v3(target->db, inserts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                &target->stmts[i], NULL);
        must(target, rc, inserts[i]);
        target->numbers[i] = kt_map_new();
    }
    kt_buf_init(&target->json, 0);
}

static void bind_text(sqlite3_stmt *stmt, int at, struct kt_str text)
{
    (void)sqlite3_bind_text(stmt, at, text.data ? text.data : "", (int)text.len, SQLITE_STATIC);
}

static void run(const struct target *target, int which)
{
    int rc = sqlite3_step(target->stmts[which]);

    must(target, rc, inserts[which]);
    must(target, sqlite3_reset(target->stmts[which]), inserts[which]);
}

/* The key's number; *ret_new when it got one just now. */
static int64_t number_of(const struct target *target, int which, struct kt_str key, bool *ret_new)
{
    struct kt_map *map = target->numbers[which];
    uintptr_t known = (uintptr_t)kt_map_get(map, key);

    *ret_new = known == 0;
    if (known == 0) {
        known = kt_map_count(map) + 1;
        if (kt_map_put(map, key, (void *)known, NULL) != KT_OK) {
            give_up("insert", "no memory");
        }
    }
    return (int64_t)known;
}

static int64_t named(const struct target *target, int which, struct kt_str key)
{
    bool is_new;
    int64_t number = number_of(target, which, key, &is_new);

    if (is_new) {
        (void)sqlite3_bind_int64(target->stmts[which], 1, number);
        bind_text(target->stmts[which], 2, key);
        run(target, which);
    }
    return number;
}

static void insert_subject(const struct target *target, const struct kt_change_subject *subject)
{
    sqlite3_stmt *stmt = target->stmts[INSERT_SUBJECT];
    bool is_new;
    int64_t number = number_of(target, INSERT_SUBJECT, subject->key, &is_new);

    if (!is_new) {
        return;
    }
    (void)sqlite3_bind_int64(stmt, 1, number);
    bind_text(stmt, 2, subject->key);
    bind_text(stmt, 3, subject->name.text);
    bind_text(stmt, 4, subject->status.text);
    bind_text(stmt, 5, subject->listing_date.text);
    bind_text(stmt, 6, subject->category.text);
    run(target, INSERT_SUBJECT);
    stmt = target->stmts[INSERT_STAY];
    for (size_t i = 0; i < subject->stay_count; i++) {
        const struct kt_change_stay *stay = &subject->stays[i];
        (void)sqlite3_bind_int64(stmt, 1, number);
        (void)sqlite3_bind_int64(stmt, 2, named(target, INSERT_TOPIC, stay->topic));
        (void)sqlite3_bind_int64(stmt, 3, stay->from_s);
        (void)sqlite3_bind_int64(stmt, 4, stay->to_s);
        run(target, INSERT_STAY);
    }
}

static void insert_record(struct target *target, const struct kt_change_record *record,
                          int64_t line)
{
    sqlite3_stmt *stmt = target->stmts[INSERT_VERSION];
    bool is_new;
    int64_t subject = number_of(target, INSERT_SUBJECT, record->subject, &is_new);

    if (is_new) {
        give_up("insert", "a record of a subject that no line names");
    }
    for (size_t i = 0; i < record->value_count; i++) {
        (void)named(target, INSERT_INDICATOR, record->values[i].indicator);
    }
    kt_buf_clear(&target->json);
    rowdata_write(&target->json, record);
    (void)sqlite3_bind_int64(stmt, 1, subject);
    (void)sqlite3_bind_int64(stmt, 2, record->time_s);
    bind_text(stmt, 3, record->period);
    (void)sqlite3_bind_int64(stmt, 4, record->declare_given ? record->declare_s : record->time_s);
    (void)sqlite3_bind_int64(stmt, 5, line);
    (void)sqlite3_bind_int64(stmt, 6, record->declare_given);
    bind_text(stmt, 7, kt_buf_str(&target->json));
    run(target, INSERT_VERSION);
}

static void insert_all(struct target *target, const struct parsed *parsed)
{
    int64_t line = 0;

    exec(target, "BEGIN IMMEDIATE");
    for (size_t i = 0; i < parsed->count; i++) {
        const struct kt_change *change = &parsed->changes[i];
        for (size_t k = 0; k < change->subject_count; k++) {
            insert_subject(target, &change->subjects[k]);
        }
        for (size_t k = 0; k < change->record_count; k++) {
            insert_record(target, &change->records[k], line++);
        }
    }
    exec(target, "COMMIT");
}

static void done(struct target *target, struct parsed *parsed)
{
    for (int i = 0; i < INSERTS; i++) {
        (void)sqlite3_finalize(target->stmts[i]);
        kt_map_free(&target->numbers[i]);
    }
    (void)sqlite3_close(target->db);
    kt_buf_done(&target->json);
    for (size_t i = 0; i < parsed->count; i++) {
        kt_change_done(&parsed->changes[i]);
        kt_free(parsed->bytes[i]);
    }
    kt_free(parsed->changes);
    kt_free(parsed->bytes);
}

static int usage(FILE *stream)
{
    fputs("usage: raw_sqlite -csv FILE -db FILE\n"
          "Reads a table as sample_data prints it, then times its inserts into the tables of a\n"
          "data node: one connection, one transaction, neither log nor import. Prints JSON. What\n"
          "-db names is made anew.\n",
          stream);
    return stream == stderr ? 2 : 0;
}

int main(int argc, char **argv)
{
    struct parsed parsed = {0};
    struct target target = {0};
    const char *csv = NULL, *db = NULL;

    for (int i = 1; i < argc; i++) {
        const char *flag = argv[i][0] == '-' && argv[i][1] == '-' ? argv[i] + 1 : argv[i];
        if (strcmp(flag, "-help") == 0 || strcmp(flag, "-h") == 0) {
            return usage(stdout);
        }
        const char **place = strcmp(flag, "-csv") == 0  ? &csv
                             : strcmp(flag, "-db") == 0 ? &db
                                                        : NULL;
        if (!place || i + 1 == argc) {
            fprintf(stderr, "raw_sqlite: bad flag, or no value: %s\n", flag);
            return usage(stderr);
        }
        *place = argv[++i];
    }
    if (!csv || !db || strlen(db) > 900) {
        return usage(stderr);
    }
    parse(csv, &parsed);
    open_target(&target, db);
    clock_t cpu = clock();
    int64_t start_us = kt_now_mono_us();
    insert_all(&target, &parsed);
    int64_t took_us = kt_now_mono_us() - start_us;
    cpu = clock() - cpu;
    printf("{\"records\":%" PRIu64 ",\"values\":%" PRIu64 ",\"seconds\":%.6f,\"cpu_us\":%.0f,"
           "\"values_per_s\":%.0f}\n",
           parsed.records, parsed.values, (double)took_us / 1e6,
           (double)cpu * (1e6 / (double)CLOCKS_PER_SEC),
           (double)parsed.values * 1e6 / (double)(took_us > 0 ? took_us : 1));
    done(&target, &parsed);
    return 0;
}

/* import_impl.h - what the import's files share.
 *
 *   import_options.c  the query string
 *   import_columns.c  csv: the header line
 *   import_rows.c     csv: lines into subjects and records
 *   import_ndjson.c   ndjson: the same
 *   import_restore.c  ndjson with `recorded`: the same, by revision
 *   import_finance.c  rows of a SQLite file: the same
 *   import_batch.c    subjects and records into batches
 *   import_memory.c   what many imports may hold together
 *   import.c          the stream, csv, the report
 *
 * Threads, Owns, Fails: see import.h.
 */
#ifndef KT_NODE_IMPORT_IMPL_H
#define KT_NODE_IMPORT_IMPL_H

#include "base/budget.h"
#include "base/map.h"
#include "node/csv.h"
#include "node/import.h"
#include "json/read.h"

enum import_role {
    ROLE_SUBJECT,
    ROLE_TIME,
    ROLE_NAME,
    ROLE_STATUS,
    ROLE_CATEGORY,
    ROLE_PERIOD,
    ROLE_DECLARE_DATE,
    ROLE_TOPIC,
    ROLE_COUNT
};
extern const char *const kt_import_role_names[ROLE_COUNT];

enum import_format { IMPORT_CSV, IMPORT_NDJSON, IMPORT_FINANCE };
enum time_format { TIME_AUTO, TIME_YEAR, TIME_SECONDS, TIME_DATE };

struct kt_import_options {
    struct {
        struct kt_str column; /* "" = the role's own name, if the header has it */
        struct kt_str literal;
        bool given, is_literal;
    } roles[ROLE_COUNT];
    enum import_format format;
    enum time_format time_format;
    bool abort_on_error, atomic;
    bool gzip;
    struct kt_str *skip;
    size_t skip_count;
};

#define NO_COLUMN ((size_t)-1)

/* What the header line means. */
struct import_columns {
    size_t count;
    size_t roles[ROLE_COUNT]; /* index of the column, NO_COLUMN = none */
    struct kt_buf names;      /* the indicators' names, one after the other */
    struct {
        bool is_indicator;
        size_t name_begin, name_len;
    } * columns;
};
void kt_import_columns_done(struct import_columns *columns);
enum kt_status kt_import_columns_read(const struct kt_import_options *options,
                                      const struct kt_csv *header,
                                      struct import_columns *ret_columns,
                                      struct kt_error *err) KT_MUST_CHECK;

struct kt_str kt_import_column_name(const struct import_columns *columns, size_t index);
/* Would a csv column of this name become the indicator of this very name? */
bool kt_import_is_column_name(struct kt_str key);
/* A cell as messages show it: its beginning, if it is text at all. */
#define KT_IMPORT_SHOWN_BYTES 48
void kt_import_show_cell(struct kt_str cell, char dest[KT_IMPORT_SHOWN_BYTES]);

/* One line's meaning; strings borrow from the csv and the options. */
struct import_row {
    struct kt_change_record record;
    struct kt_change_subject subject; /* only what the line names */
    struct kt_change_stay stay;
    struct kt_change_value *values; /* room for every column */
};
/* False: rejected, with the reason. A *format of TIME_AUTO is settled by the first line whose time
 * can be read. */
bool kt_import_row_read(const struct kt_import_options *options,
                        const struct import_columns *columns, const struct kt_csv *line,
                        enum time_format *format, struct import_row *row, char reason[160]);

/* False when no line could be read with these literals for times, with the reason and the role. */
bool kt_import_literals_ok(const struct kt_import_options *options, enum import_role *ret_role,
                           char reason[160]);

/* --- batches --- */

/* Subjects are counted by the 64-bit hash of their key: eight bytes each, whatever their number. */
struct key_set {
    uint64_t *slots; /* 0 = free */
    size_t cap, count;
};

/* What a batch's lines say of one subject. */
struct pending_subject {
    struct kt_change_subject subject; /* strings stand in `text` */
    struct kt_change_stay *stays;     /* in `text`; grown by doubling */
    size_t stay_cap;
    struct kt_str key;
    struct pending_subject *next;
};

struct import {
    const struct kt_import_options *options;
    const struct kt_import_limits *limits;
    kt_import_submit_fn submit;
    void *submit_ctx;
    struct kt_import_report *report;
    struct import_row row; /* of a table: csv, SQLite */
    struct kt_change_builder *builder;
    struct kt_arena *text;  /* strings of the batch's subjects */
    struct kt_map *pending; /* key -> struct pending_subject, in `text` */
    struct pending_subject *pending_first, *pending_last;
    struct key_set subjects;
    uint64_t batch_items, batch_values, batch_records; /* items: subjects and records */
    size_t pending_bytes; /* what the batch's subjects will add to it, roughly */
    struct kt_buf encoded;
    bool whole;                 /* a batch is not cut: atomic, or a recorded revision */
    uint64_t recorded_revision; /* of the batch at hand; 0 = none */
    int64_t recorded_wall_ms;
    struct kt_budget_share held;   /* for the batch, until the end, as its buffers are */
    struct kt_budget_share parsed; /* for the line at hand */
};

/* import_memory.c. KT_BUSY when others hold too much for too long. The batch is so large now; a
 * line is about to be parsed, and is given back when what it says is in the batch. */
enum kt_status import_hold_batch(struct import *import, size_t bytes,
                                 struct kt_error *err) KT_MUST_CHECK;
enum kt_status import_hold_line(struct import *import, struct kt_str text,
                                struct kt_error *err) KT_MUST_CHECK;
void import_give_line(struct import *import);
void import_give_all(struct import *import);

enum kt_status import_init(struct import *import, struct kt_error *err) KT_MUST_CHECK;
void import_done(struct import *import);
/* Each submits the batch that it fills. A row is import->row; its attributes of the subject are
 * merged with those of other rows. */
enum kt_status import_add_row(struct import *import, struct kt_error *err) KT_MUST_CHECK;
enum kt_status import_add_subject(struct import *import, const struct kt_change_subject *subject,
                                  struct kt_error *err) KT_MUST_CHECK;
enum kt_status import_add_record(struct import *import, const struct kt_change_record *record,
                                 struct kt_error *err) KT_MUST_CHECK;
enum kt_status import_flush(struct import *import, struct kt_error *err) KT_MUST_CHECK;
/* Counts a line that could not be read; KT_BAD_VALUE when that ends the import. */
enum kt_status import_reject(struct import *import, uint64_t line, const char *reason,
                             struct kt_error *err) KT_MUST_CHECK;

/* A plain stream of the body; as kt_http_body.read. */
typedef kt_csv_source_fn kt_import_source_fn;
/* import_ndjson.c */
enum kt_status import_ndjson(struct import *import, kt_import_source_fn source, void *source_ctx,
                             struct kt_error *err) KT_MUST_CHECK;
/* A line of ndjson; its strings stand in the document, its arrays in the arena. */
struct import_line {
    bool is_record;
    struct kt_change_subject subject;
    struct kt_change_record record;
    bool recorded; /* with these: */
    uint64_t revision;
    int64_t wall_ms;
};
enum kt_status import_line_parse(struct kt_str text, int json_depth, struct kt_arena *arena,
                                 struct kt_json **ret_json, struct import_line *ret_line,
                                 struct kt_error *err) KT_MUST_CHECK;
enum kt_status import_line_add(struct import *import, const struct import_line *line,
                               struct kt_error *err) KT_MUST_CHECK;
/* import_restore.c: lines with `recorded` are kept, then written by run in order of revision. */
struct import_restore; /* opaque */
enum kt_status import_restore_new(struct import *import, struct import_restore **ret_restore,
                                  struct kt_error *err) KT_MUST_CHECK;
void import_restore_free(struct import_restore **restore);
enum kt_status import_restore_add(struct import_restore *restore, const struct import_line *line,
                                  struct kt_str text, struct kt_error *err) KT_MUST_CHECK;
enum kt_status import_restore_run(struct import_restore *restore, struct kt_arena *arena,
                                  struct kt_error *err) KT_MUST_CHECK;
/* import_finance.c */
enum kt_status import_finance(struct import *import, kt_import_source_fn source, void *source_ctx,
                              struct kt_error *err) KT_MUST_CHECK;

#endif

/* import_impl.h - what the import's files share.
 *
 *   import_options.c  the query string
 *   import_columns.c  the header line
 *   import_rows.c     lines into subjects and records
 *   import.c          the stream, the batches, the report
 *
 * Threads, Owns, Fails: see import.h.
 */
#ifndef KT_NODE_IMPORT_IMPL_H
#define KT_NODE_IMPORT_IMPL_H

#include "base/map.h"
#include "node/csv.h"
#include "node/import.h"

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

enum time_format { TIME_AUTO, TIME_YEAR, TIME_SECONDS, TIME_DATE };

struct kt_import_options {
    struct {
        struct kt_str column; /* "" = the role's own name, if the header has it */
        struct kt_str literal;
        bool given, is_literal;
    } roles[ROLE_COUNT];
    enum time_format time_format;
    bool abort_on_error;
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

#endif

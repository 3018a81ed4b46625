/* SPDX-License-Identifier: MIT */
/* From cells to a record: the header once, then each line on its own. */
#include "base/clock.h"
#include "base/mem.h"
#include "node/import_impl.h"
#include "query/query.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 128

void kt_import_columns_done(struct import_columns *columns)
{
    kt_buf_done(&columns->names);
    kt_free(columns->columns);
    columns->columns = NULL;
}

/* --- the header --- */

static enum kt_status find_column(const struct kt_csv *header, struct kt_str name, const char *role,
                                  bool required, size_t *ret_index, struct kt_error *err)
{
    size_t found = NO_COLUMN;
    for (size_t i = 0; i < header->cell_count; i++) {
        if (!kt_str_eq(kt_csv_cell(header, i), name)) {
            continue;
        }
        if (found != NO_COLUMN) {
            return kt_fail_field(err, KT_BAD_VALUE, role,
                                 "%s: the column '" KT_STR_FMT "' is there twice", role,
                                 KT_STR_ARG(name));
        }
        found = i;
    }
    if (found == NO_COLUMN && required) {
        return kt_fail_field(err, KT_BAD_VALUE, role,
                             "%s: the header line has no column '" KT_STR_FMT "'", role,
                             KT_STR_ARG(name));
    }
    *ret_index = found;
    return KT_OK;
}

static bool is_skipped(const struct kt_import_options *options, struct kt_str cell)
{
    struct kt_str name = kt_str_trim(cell); /* as the items of the list are */
    for (size_t i = 0; i < options->skip_count; i++) {
        if (kt_str_eq(options->skip[i], name)) {
            return true;
        }
    }
    return false;
}

/* A misspelt name would let the column in as an indicator. "" may be missing: a trailing comma. */
static enum kt_status check_skip(const struct kt_import_options *options,
                                 const struct kt_csv *header, struct kt_error *err)
{
    for (size_t i = 0; i < options->skip_count; i++) {
        bool found = options->skip[i].len == 0;
        for (size_t j = 0; j < header->cell_count && !found; j++) {
            found = kt_str_eq(options->skip[i], kt_str_trim(kt_csv_cell(header, j)));
        }
        if (!found) {
            return kt_fail_field(err, KT_BAD_VALUE, "skip",
                                 "skip: the header line has no column '" KT_STR_FMT "'",
                                 KT_STR_ARG(options->skip[i]));
        }
    }
    return KT_OK;
}

static enum kt_status find_roles(const struct kt_import_options *options,
                                 const struct kt_csv *header, struct import_columns *columns,
                                 struct kt_error *err)
{
    enum kt_status status = KT_OK;
    for (size_t role = 0; role < ROLE_COUNT && status == KT_OK; role++) {
        const char *name = kt_import_role_names[role];
        bool given = options->roles[role].given;
        columns->roles[role] = NO_COLUMN;
        if (options->roles[role].is_literal) {
            continue;
        }
        bool required = given || role == ROLE_SUBJECT || role == ROLE_TIME;
        if (!required && is_skipped(options, kt_str(name))) {
            continue;
        }
        status = find_column(header, given ? options->roles[role].column : kt_str(name), name,
                             required, &columns->roles[role], err);
    }
    return status;
}

/* ASCII lower case; runs of ASCII characters that are no letter or digit become one '_', ends are
 * trimmed; everything else stays. */
static void indicator_name(struct kt_str cell, struct kt_buf *names)
{
    size_t begin = names->len_bytes;
    bool gap = false;
    for (size_t i = 0; i < cell.len; i++) {
        unsigned char c = (unsigned char)cell.data[i];
        bool upper = c >= 'A' && c <= 'Z';
        if (upper || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c >= 0x80) {
            if (gap && names->len_bytes > begin) {
                kt_buf_append_byte(names, '_');
            }
            gap = false;
            kt_buf_append_byte(names, (char)(upper ? c + ('a' - 'A') : c));
        } else {
            gap = true;
        }
    }
}

static bool is_role(const struct import_columns *columns, size_t index)
{
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        if (columns->roles[role] == index) {
            return true;
        }
    }
    return false;
}

static struct kt_str column_name(const struct import_columns *columns, size_t index)
{
    return kt_str_n(columns->names.data + columns->columns[index].name_begin,
                    columns->columns[index].name_len);
}

/* A cell as messages show it: its beginning, if it is text at all. */
#define SHOWN_BYTES 48
static void show_cell(struct kt_str cell, char dest[SHOWN_BYTES])
{
    kt_str_copy(dest, SHOWN_BYTES, kt_utf8_valid(cell) ? cell : KT_STR("(not UTF-8)"));
}

static enum kt_status name_indicators(const struct kt_import_options *options,
                                      const struct kt_csv *header, struct import_columns *columns,
                                      struct kt_error *err)
{
    for (size_t i = 0; i < header->cell_count; i++) {
        struct kt_str cell = kt_csv_cell(header, i);
        if (is_role(columns, i) || is_skipped(options, cell)) {
            continue;
        }
        columns->columns[i].name_begin = columns->names.len_bytes;
        indicator_name(cell, &columns->names);
        columns->columns[i].name_len = columns->names.len_bytes - columns->columns[i].name_begin;
        if (kt_buf_status(&columns->names) != KT_OK) {
            return kt_fail(err, KT_NO_MEMORY, "the columns of an import");
        }
        struct kt_str name = column_name(columns, i);
        if (!kt_indicator_name_ok(name)) {
            char text[SHOWN_BYTES];
            show_cell(cell, text);
            return kt_fail_field(err, KT_BAD_VALUE, "skip",
                                 "column %zu, '%s', can't be an indicator: map it to a role or put "
                                 "it into skip",
                                 i + 1, text);
        }
        for (size_t j = 0; j < i; j++) {
            if (columns->columns[j].is_indicator && kt_str_eq(column_name(columns, j), name)) {
                return kt_fail_field(err, KT_BAD_VALUE, "skip",
                                     "columns %zu and %zu are both the indicator '" KT_STR_FMT "'",
                                     j + 1, i + 1, KT_STR_ARG(name));
            }
        }
        columns->columns[i].is_indicator = true;
    }
    return KT_OK;
}

enum kt_status kt_import_columns_read(const struct kt_import_options *options,
                                      const struct kt_csv *header,
                                      struct import_columns *ret_columns, struct kt_error *err)
{
    struct import_columns columns;
    memset(&columns, 0, sizeof(columns));
    kt_buf_init(&columns.names, 0);
    if (header->bad) {
        return kt_fail_field(err, KT_BAD_VALUE, "header", "the header line: %s", header->bad);
    }
    if (header->cell_count > KT_IMPORT_COLUMNS_MAX) {
        return kt_fail_field(err, KT_BAD_VALUE, "header", "%zu columns, at most %d are taken",
                             header->cell_count, KT_IMPORT_COLUMNS_MAX);
    }
    columns.count = header->cell_count;
    columns.columns = kt_calloc(header->cell_count, sizeof(*columns.columns));
    enum kt_status status = columns.columns ? find_roles(options, header, &columns, err)
                                            : kt_fail(err, KT_NO_MEMORY, "the columns");
    if (status == KT_OK) {
        status = check_skip(options, header, err);
    }
    if (status == KT_OK) {
        status = name_indicators(options, header, &columns, err);
    }
    if (status != KT_OK) {
        kt_import_columns_done(&columns);
        return status;
    }
    *ret_columns = columns;
    return KT_OK;
}

/* --- a line --- */

struct row_reader {
    const struct kt_import_options *options;
    const struct import_columns *columns;
    const struct kt_csv *line;
    char *reason; /* 160 bytes */
};

static bool reject(struct row_reader *reader, const char *role, const char *why)
{
    snprintf(reader->reason, 160, "%s %s", role, why);
    return false;
}

static struct kt_str role_cell(const struct row_reader *reader, size_t role)
{
    if (reader->options->roles[role].is_literal) {
        return reader->options->roles[role].literal;
    }
    size_t index = reader->columns->roles[role];
    return index == NO_COLUMN ? KT_STR("") : kt_csv_cell(reader->line, index);
}

static bool read_text(struct row_reader *reader, size_t role, struct kt_opt_text *ret_text)
{
    struct kt_str cell = role_cell(reader, role);
    if (!kt_utf8_is_name(cell, 0, NAME_MAX_BYTES)) {
        return reject(reader, kt_import_role_names[role],
                      "must be UTF-8 of at most 128 bytes without control characters");
    }
    ret_text->named = cell.len > 0 ? KT_NAMED : KT_NOT_NAMED;
    ret_text->text = cell;
    return true;
}

static bool all_digits(struct kt_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
    }
    return text.len > 0;
}

static enum time_format decide_format(struct kt_str cell)
{
    struct kt_str digits =
        cell.len > 0 && cell.data[0] == '-' ? kt_str_n(cell.data + 1, cell.len - 1) : cell;
    if (all_digits(cell) && cell.len <= 4) {
        return TIME_YEAR;
    }
    return all_digits(digits) ? TIME_SECONDS : TIME_DATE;
}

static bool read_time_as(struct row_reader *reader, enum time_format format, int64_t *ret_time_s)
{
    struct kt_str cell = kt_str_trim(role_cell(reader, ROLE_TIME));
    int64_t number = 0;
    switch (format) {
    case TIME_YEAR:
        if (!all_digits(cell) || cell.len > 4 || !kt_parse_i64(cell, &number) || number < 1) {
            return reject(reader, "time", "must be a year from 1 to 9999");
        }
        *ret_time_s = kt_days_from_civil((int)number, 1, 1) * KT_DAY_S;
        return true;
    case TIME_SECONDS:
        if (!kt_parse_i64(cell, &number) || number < KT_TIME_MIN || number > KT_TIME_MAX) {
            return reject(reader, "time", "must be seconds since 1970 in the years 1 to 9999");
        }
        *ret_time_s = number;
        return true;
    case TIME_AUTO:
    case TIME_DATE:
        break;
    }
    return kt_parse_date(cell, ret_time_s) || reject(reader, "time", "must be YYYY-MM-DD");
}

/* The first line whose time can be read settles the form: a line of units or notes between the
 * header and the data must not get all of the data rejected. */
static bool read_time(struct row_reader *reader, enum time_format *format, int64_t *ret_time_s)
{
    enum time_format own = *format;
    if (own == TIME_AUTO) {
        own = decide_format(kt_str_trim(role_cell(reader, ROLE_TIME)));
    }
    if (!read_time_as(reader, own, ret_time_s)) {
        return false;
    }
    *format = own;
    return true;
}

static bool read_declare_date(struct row_reader *reader, struct kt_change_record *record)
{
    struct kt_str cell = kt_str_trim(role_cell(reader, ROLE_DECLARE_DATE));
    bool is_zero = false;
    record->declare_given = cell.len > 0;
    if (cell.len == 0) {
        return true;
    }
    return kt_time_parse_text(cell, KT_TIME_STORED, "declare_date", &record->declare_s, &is_zero,
                              NULL) == KT_OK ||
           reject(reader, "declare_date", "must be YYYY-MM-DD or seconds since 1970");
}

/* Both texts may be long, and neither may be cut within a character. */
static bool reject_number(struct row_reader *reader, struct kt_str indicator, struct kt_str cell)
{
    char name[72], text[SHOWN_BYTES];
    kt_str_copy(name, sizeof(name), indicator);
    show_cell(cell, text);
    snprintf(reader->reason, 160, "%s: '%s' is not a finite number", name, text);
    return false;
}

static bool read_values(struct row_reader *reader, struct import_row *row)
{
    row->record.value_count = 0;
    for (size_t i = 0; i < reader->columns->count; i++) {
        if (!reader->columns->columns[i].is_indicator) {
            continue;
        }
        struct kt_str cell = kt_str_trim(kt_csv_cell(reader->line, i));
        if (cell.len == 0) {
            continue;
        }
        struct kt_change_value *value = &row->values[row->record.value_count];
        if (!kt_parse_f64(cell, &value->number)) {
            return reject_number(reader, column_name(reader->columns, i), cell);
        }
        value->indicator = column_name(reader->columns, i);
        value->is_null = false;
        row->record.value_count++;
    }
    row->record.values = row->values;
    return true;
}

static bool read_subject(struct row_reader *reader, struct import_row *row)
{
    struct kt_change_subject *subject = &row->subject;
    struct kt_opt_text topic;
    memset(subject, 0, sizeof(*subject));
    subject->key = role_cell(reader, ROLE_SUBJECT);
    if (!kt_utf8_is_name(subject->key, 1, NAME_MAX_BYTES)) {
        return reject(reader, "subject",
                      "must be UTF-8 of 1 to 128 bytes without control characters");
    }
    if (!read_text(reader, ROLE_NAME, &subject->name) ||
        !read_text(reader, ROLE_STATUS, &subject->status) ||
        !read_text(reader, ROLE_CATEGORY, &subject->category) ||
        !read_text(reader, ROLE_TOPIC, &topic)) {
        return false;
    }
    if (topic.named == KT_NAMED) {
        if (kt_str_eq_text(topic.text, "*")) {
            return reject(reader, "topic", "can't be *");
        }
        row->stay.topic = topic.text;
        row->stay.from_s = KT_TIME_MIN;
        row->stay.to_s = KT_TIME_MAX;
        subject->topics_mode = KT_TOPICS_ADD_IF_NONE;
        subject->stays = &row->stay;
        subject->stay_count = 1;
    }
    return true;
}

bool kt_import_row_read(const struct kt_import_options *options,
                        const struct import_columns *columns, const struct kt_csv *line,
                        enum time_format *format, struct import_row *row, char reason[160])
{
    struct row_reader reader = {options, columns, line, reason};
    struct kt_change_record *record = &row->record;
    struct kt_opt_text period;
    if (line->bad) {
        snprintf(reason, 160, "%s", line->bad);
        return false;
    }
    if (line->cell_count != columns->count) {
        snprintf(reason, 160, "%zu columns, the header has %zu", line->cell_count, columns->count);
        return false;
    }
    memset(record, 0, sizeof(*record));
    if (!read_subject(&reader, row) || !read_time(&reader, format, &record->time_s) ||
        !read_text(&reader, ROLE_PERIOD, &period) || !read_declare_date(&reader, record) ||
        !read_values(&reader, row)) {
        return false;
    }
    record->subject = row->subject.key;
    record->period = period.text;
    return true;
}

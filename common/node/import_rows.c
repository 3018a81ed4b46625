/* SPDX-License-Identifier: MIT */
/* From the cells of a line to a record, each line on its own. */
#include "base/clock.h"
#include "node/import_impl.h"
#include "query/query.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 128

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

bool kt_import_literals_ok(const struct kt_import_options *options, enum import_role *ret_role,
                           char reason[160])
{
    struct row_reader reader = {options, NULL, NULL, reason};
    enum time_format format = options->time_format;
    struct kt_change_record record;
    int64_t time_s;
    *ret_role = ROLE_TIME;
    if (options->roles[ROLE_TIME].is_literal && !read_time(&reader, &format, &time_s)) {
        return false;
    }
    *ret_role = ROLE_DECLARE_DATE;
    return !options->roles[ROLE_DECLARE_DATE].is_literal || read_declare_date(&reader, &record);
}

/* Both texts may be long, and neither may be cut within a character. */
static bool reject_number(struct row_reader *reader, struct kt_str indicator, struct kt_str cell)
{
    char name[72], text[KT_IMPORT_SHOWN_BYTES];
    kt_str_copy(name, sizeof(name), indicator);
    kt_import_show_cell(cell, text);
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
            return reject_number(reader, kt_import_column_name(reader->columns, i), cell);
        }
        value->indicator = kt_import_column_name(reader->columns, i);
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

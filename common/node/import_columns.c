/* SPDX-License-Identifier: MIT */
/* The header line: which column has which role, and which indicator each of the others is. */
#include "base/mem.h"
#include "node/import_impl.h"
#include "query/query.h"

#include <string.h>

void kt_import_columns_done(struct import_columns *columns)
{
    kt_buf_done(&columns->names);
    kt_free(columns->columns);
    columns->columns = NULL;
}

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

bool kt_import_is_column_name(struct kt_str key)
{
    struct kt_buf name;
    kt_buf_init(&name, 0);
    indicator_name(key, &name);
    bool same = kt_buf_status(&name) == KT_OK && kt_str_eq(kt_buf_str(&name), key);
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        same = same && !kt_str_eq_text(key, kt_import_role_names[role]);
    }
    kt_buf_done(&name);
    return same && kt_indicator_name_ok(key);
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

struct kt_str kt_import_column_name(const struct import_columns *columns, size_t index)
{
    const char *names = columns->names.data ? columns->names.data : "";
    return kt_str_n(names + columns->columns[index].name_begin, columns->columns[index].name_len);
}

void kt_import_show_cell(struct kt_str cell, char dest[KT_IMPORT_SHOWN_BYTES])
{
    kt_str_copy(dest, KT_IMPORT_SHOWN_BYTES, kt_utf8_valid(cell) ? cell : KT_STR("(not UTF-8)"));
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
        struct kt_str name = kt_import_column_name(columns, i);
        if (!kt_indicator_name_ok(name)) {
            char text[KT_IMPORT_SHOWN_BYTES];
            kt_import_show_cell(cell, text);
            return kt_fail_field(err, KT_BAD_VALUE, "skip",
                                 "column %zu, '%s', can't be an indicator: map it to a role or put "
                                 "it into skip",
                                 i + 1, text);
        }
        for (size_t j = 0; j < i; j++) {
            if (columns->columns[j].is_indicator &&
                kt_str_eq(kt_import_column_name(columns, j), name)) {
                return kt_fail_field(err, KT_BAD_VALUE, "skip",
                                     "columns %zu and %zu are both the indicator '" KT_STR_FMT
                                     "': put one into skip",
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
    if (!columns.columns) {
        return kt_fail(err, KT_NO_MEMORY, "the columns of an import");
    }
    enum kt_status status = find_roles(options, header, &columns, err);
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

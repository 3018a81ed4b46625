/* SPDX-License-Identifier: MIT */
#include "base/mem.h"
#include "node/import_impl.h"

#include <string.h>

const char *const kt_import_role_names[ROLE_COUNT] = {
    "subject", "time", "name", "status", "category", "period", "declare_date", "topic"};

static enum kt_status set_role(struct kt_import_options *options, size_t role, struct kt_str value,
                               struct kt_error *err)
{
    const char *name = kt_import_role_names[role];
    struct kt_str literal = KT_STR("=literal:");
    if (value.len == 0) {
        return kt_fail_field(err, KT_BAD_VALUE, name, "%s must name a column or be =literal:VALUE",
                             name);
    }
    options->roles[role].given = true;
    if (!kt_str_starts(value, literal)) {
        options->roles[role].column = value;
        return KT_OK;
    }
    options->roles[role].is_literal = true;
    options->roles[role].literal = kt_str_n(value.data + literal.len, value.len - literal.len);
    if (!kt_utf8_is_name(options->roles[role].literal, 0, 128)) {
        return kt_fail_field(err, KT_BAD_VALUE, name,
                             "%s: the literal must be a text of at most 128 bytes", name);
    }
    return KT_OK;
}

static enum kt_status set_choice(const char *name, struct kt_str value, const char *const *choices,
                                 size_t count, int *ret_index, struct kt_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (kt_str_eq_text(value, choices[i])) {
            *ret_index = (int)i;
            return KT_OK;
        }
    }
    return kt_fail_field(err, KT_BAD_VALUE, name, "%s: '" KT_STR_FMT "' is not one of its values",
                         name, KT_STR_ARG(value));
}

static enum kt_status set_skip(struct kt_import_options *options, struct kt_str list,
                               struct kt_arena *arena, struct kt_error *err)
{
    size_t room = 1;
    for (size_t i = 0; i < list.len; i++) {
        room += list.data[i] == ',';
    }
    options->skip = kt_arena_zalloc(arena, room, sizeof(*options->skip));
    if (!options->skip) {
        return kt_fail_field(err, KT_TOO_LARGE, "skip", "skip is too long");
    }
    while (list.data) {
        struct kt_str item = kt_str_trim(kt_str_cut(&list, ','));
        if (item.len > 0) {
            options->skip[options->skip_count++] = item;
        }
    }
    return KT_OK;
}

static enum kt_status set_format(struct kt_str value, struct kt_error *err)
{
    if (kt_str_eq_text(value, "csv")) {
        return KT_OK;
    }
    if (kt_str_eq_text(value, "ndjson") || kt_str_eq_text(value, "finance_sqlite")) {
        return kt_fail_field(err, KT_NOT_SUPPORTED, "format",
                             "format: " KT_STR_FMT " is not supported yet, use csv",
                             KT_STR_ARG(value));
    }
    return kt_fail_field(err, KT_BAD_VALUE, "format", "format must be csv");
}

static enum kt_status set_param(struct kt_import_options *options, struct kt_str name,
                                struct kt_str value, struct kt_arena *arena, struct kt_error *err)
{
    static const char *const on_error[] = {"skip", "abort"};
    static const char *const formats[] = {"auto", "year", "seconds", "date"};
    enum kt_status status = KT_OK;
    int choice = 0;
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        if (kt_str_eq_text(name, kt_import_role_names[role])) {
            return set_role(options, role, value, err);
        }
    }
    if (kt_str_eq_text(name, "format")) {
        return set_format(value, err);
    }
    if (kt_str_eq_text(name, "skip")) {
        return set_skip(options, value, arena, err);
    }
    if (kt_str_eq_text(name, "on_error")) {
        status = set_choice("on_error", value, on_error, 2, &choice, err);
        options->abort_on_error = choice == 1;
        return status;
    }
    if (kt_str_eq_text(name, "time_format")) {
        status = set_choice("time_format", value, formats, 4, &choice, err);
        options->time_format = (enum time_format)choice;
        return status;
    }
    if (kt_str_eq_text(name, "atomic")) {
        return kt_fail_field(err, KT_NOT_SUPPORTED, "atomic", "atomic is not supported yet");
    }
    char field[64];
    kt_str_copy(field, sizeof(field), name);
    return kt_fail_field(err, KT_UNKNOWN_FIELD, field, "unknown query parameter '%s'", field);
}

static enum kt_status read_encoding(const struct kt_http_request *request,
                                    struct kt_import_options *options, struct kt_error *err)
{
    struct kt_str encoding = kt_http_header(request, "Content-Encoding");
    if (!encoding.data || kt_str_eq_nocase(encoding, KT_STR("identity"))) {
        return KT_OK;
    }
    if (kt_str_eq_nocase(encoding, KT_STR("gzip"))) {
        options->gzip = true;
        return KT_OK;
    }
    return kt_fail_field(err, KT_MEDIA_TYPE, "Content-Encoding",
                         "Content-Encoding must be gzip or absent");
}

enum kt_status kt_import_options_parse(const struct kt_http_request *request,
                                       struct kt_import_options **ret_options, struct kt_error *err)
{
    struct kt_import_options *options = kt_arena_zalloc(request->arena, 1, sizeof(*options));
    if (!options) {
        return kt_fail(err, KT_NO_MEMORY, "the options of an import");
    }
    size_t pos = 0;
    struct kt_str name, value;
    enum kt_status status = read_encoding(request, options, err), walked = KT_OK;
    uint32_t seen[ROLE_COUNT] = {0};
    while (status == KT_OK && kt_http_query_next(request, &pos, &name, &value, &walked, err)) {
        for (size_t role = 0; role < ROLE_COUNT; role++) {
            if (kt_str_eq_text(name, kt_import_role_names[role]) && seen[role]++ > 0) {
                return kt_fail_field(err, KT_BAD_VALUE, kt_import_role_names[role],
                                     "%s is given twice", kt_import_role_names[role]);
            }
        }
        status = set_param(options, name, value, request->arena, err);
    }
    if (status == KT_OK) {
        status = walked;
    }
    if (status == KT_OK) {
        *ret_options = options;
    }
    return status;
}

/* SPDX-License-Identifier: MIT */
#include "base/mem.h"
#include "node/import_impl.h"

#include <string.h>

#define NAME_MAX_BYTES 128

const char *const kt_import_role_names[ROLE_COUNT] = {
    "subject", "time", "name", "status", "category", "period", "declare_date", "topic"};

/* What no line could hold must not wait for a line to be refused. */
static enum kt_status check_literal(size_t role, struct kt_str literal, struct kt_error *err)
{
    const char *name = kt_import_role_names[role];
    bool required = role == ROLE_SUBJECT || role == ROLE_TIME;
    if (!kt_utf8_is_name(literal, required ? 1 : 0, NAME_MAX_BYTES)) {
        return kt_fail_field(err, KT_BAD_VALUE, name,
                             "%s: the literal must be a text of %d to %d bytes without control "
                             "characters",
                             name, required ? 1 : 0, NAME_MAX_BYTES);
    }
    if (role == ROLE_TOPIC && kt_str_eq_text(literal, "*")) {
        return kt_fail_field(err, KT_BAD_VALUE, name, "topic can't be *");
    }
    return KT_OK;
}

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
    return check_literal(role, options->roles[role].literal, err);
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
        options->skip[options->skip_count++] = kt_str_trim(kt_str_cut(&list, ','));
    }
    return KT_OK;
}

/* The parameters that are no role, numbered behind the roles. */
enum param {
    PARAM_FORMAT = ROLE_COUNT,
    PARAM_SKIP,
    PARAM_ON_ERROR,
    PARAM_TIME_FORMAT,
    PARAM_ATOMIC
};

static const char *param_name(size_t param)
{
    static const char *const others[] = {"format", "skip", "on_error", "time_format", "atomic"};
    return param < ROLE_COUNT ? kt_import_role_names[param] : others[param - ROLE_COUNT];
}

static bool find_param(struct kt_str name, size_t *ret_param)
{
    for (size_t i = 0; i <= PARAM_ATOMIC; i++) {
        if (kt_str_eq_text(name, param_name(i))) {
            *ret_param = i;
            return true;
        }
    }
    return false;
}

static enum kt_status set_param(struct kt_import_options *options, size_t param,
                                struct kt_str value, struct kt_arena *arena, struct kt_error *err)
{
    static const char *const on_error[] = {"skip", "abort"};
    static const char *const flags[] = {"0", "1"};
    static const char *const formats[] = {"csv", "ndjson", "finance_sqlite"};
    static const char *const time_formats[] = {"auto", "year", "seconds", "date"};
    enum kt_status status = KT_OK;
    int choice = 0;
    switch (param) {
    case PARAM_FORMAT:
        status = set_choice("format", value, formats, 3, &choice, err);
        options->format = (enum import_format)choice;
        return status;
    case PARAM_SKIP:
        return set_skip(options, value, arena, err);
    case PARAM_ON_ERROR:
        status = set_choice("on_error", value, on_error, 2, &choice, err);
        options->abort_on_error = choice == 1;
        return status;
    case PARAM_TIME_FORMAT:
        status = set_choice("time_format", value, time_formats, 4, &choice, err);
        options->time_format = (enum time_format)choice;
        return status;
    case PARAM_ATOMIC:
        status = set_choice("atomic", value, flags, 2, &choice, err);
        options->atomic = choice == 1;
        return status;
    default:
        return set_role(options, param, value, err);
    }
}

/* One parameter of the query string; *seen has a bit for each that was there. */
static enum kt_status take_param(struct kt_import_options *options, struct kt_str name,
                                 struct kt_str value, uint32_t *seen, struct kt_arena *arena,
                                 struct kt_error *err)
{
    char field[64];
    size_t param = 0;
    kt_str_copy(field, sizeof(field), name);
    if (!find_param(name, &param)) {
        return kt_fail_field(err, KT_UNKNOWN_FIELD, field, "unknown query parameter '%s'", field);
    }
    if (*seen >> param & 1) {
        return kt_fail_field(err, KT_BAD_VALUE, field, "%s is given twice", field);
    }
    *seen |= UINT32_C(1) << param;
    return set_param(options, param, value, arena, err);
}

static enum kt_status check_times(const struct kt_import_options *options, struct kt_error *err)
{
    enum import_role role;
    char reason[160];
    if (kt_import_literals_ok(options, &role, reason)) {
        return KT_OK;
    }
    return kt_fail_field(err, KT_BAD_VALUE, kt_import_role_names[role], "the literal of %s",
                         reason);
}

/* Only csv has columns to be named. */
static enum kt_status check_format(const struct kt_import_options *options, uint32_t seen,
                                   struct kt_error *err)
{
    if (options->format == IMPORT_CSV) {
        return check_times(options, err);
    }
    for (size_t param = 0; param <= PARAM_TIME_FORMAT; param++) {
        bool general = param == PARAM_FORMAT || param == PARAM_ON_ERROR;
        if (!general && (seen >> param & 1)) {
            const char *name = param_name(param);
            return kt_fail_field(err, KT_BAD_VALUE, name, "%s goes with format=csv only", name);
        }
    }
    return KT_OK;
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
    uint32_t seen = 0;
    while (status == KT_OK && kt_http_query_next(request, &pos, &name, &value, &walked, err)) {
        status = take_param(options, name, value, &seen, request->arena, err);
    }
    if (status == KT_OK) {
        status = walked;
    }
    if (status == KT_OK) {
        status = check_format(options, seen, err);
    }
    if (status == KT_OK) {
        *ret_options = options;
    }
    return status;
}

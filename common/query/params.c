/* SPDX-License-Identifier: MIT */
/* params.c - a query string in the words of a body. */
#include "query/query_impl.h"

#include <string.h>

/* A parameter of this beginning is a member of the object `selection`. */
static const struct kt_str selection = {"selection.", 10};

/* Parameters are text; these fields are numbers in a body. All others take text as it is: lists as
 * csv, times and revisions as digits, order as "1". */
static bool is_number_field(struct kt_str name)
{
    return kt_str_eq_text(name, "offset") || kt_str_eq_text(name, "limit") ||
           kt_str_eq_text(name, "max_age");
}

/* No JSON text may hold a NUL, so that the fault would be found where nobody wrote one. */
static bool text_ok(struct kt_str text)
{
    return text.len == 0 || (kt_utf8_valid(text) && !memchr(text.data, '\0', text.len));
}

static enum kt_status check_text(struct kt_str name, struct kt_str value, struct kt_error *err)
{
    char field[72];
    if (text_ok(name) && text_ok(value)) {
        return KT_OK;
    }
    kt_str_copy(field, sizeof field, text_ok(name) ? name : KT_STR(""));
    return kt_fail_field(err, KT_BAD_VALUE, field,
                         "the query parameter %s must be UTF-8 without %%00", field);
}

static void write_param(struct kt_jw *jw, struct kt_str name, struct kt_str value)
{
    int64_t number;
    kt_jw_key(jw, name);
    if (is_number_field(name) && kt_parse_i64(value, &number)) {
        kt_jw_i64(jw, number);
    } else {
        kt_jw_str(jw, value);
    }
}

/* All but the selection's. */
static enum kt_status write_params(const struct kt_http_request *request, struct kt_jw *jw,
                                   bool *ret_selects, struct kt_error *err)
{
    struct kt_str name, value;
    size_t pos = 0;
    enum kt_status status = KT_OK;
    while (kt_http_query_next(request, &pos, &name, &value, &status, err)) {
        status = check_text(name, value, err);
        if (status != KT_OK) {
            return status;
        }
        if (kt_str_starts(name, selection)) {
            *ret_selects = true;
        } else {
            write_param(jw, name, value);
        }
    }
    return status;
}

static enum kt_status write_selection(const struct kt_http_request *request, struct kt_jw *jw,
                                      struct kt_error *err)
{
    struct kt_str name, value;
    size_t pos = 0;
    enum kt_status status = KT_OK;
    kt_jw_key_text(jw, "selection");
    kt_jw_object(jw);
    while (kt_http_query_next(request, &pos, &name, &value, &status, err)) {
        if (kt_str_starts(name, selection)) {
            kt_jw_key(jw, kt_str_n(name.data + selection.len, name.len - selection.len));
            kt_jw_str(jw, value);
        }
    }
    kt_jw_object_end(jw);
    return status;
}

enum kt_status kt_query_body_of_params(const struct kt_http_request *request,
                                       struct kt_buf *ret_body, struct kt_error *err)
{
    struct kt_jw jw;
    size_t len_bytes = ret_body->len_bytes;
    bool selects = false;
    kt_jw_init(&jw, ret_body);
    kt_jw_object(&jw);
    enum kt_status status = write_params(request, &jw, &selects, err);
    if (status == KT_OK && selects) {
        status = write_selection(request, &jw, err);
    }
    if (status == KT_OK) {
        kt_jw_object_end(&jw);
        status = query_body_status(ret_body, err);
    }
    if (status != KT_OK) {
        query_body_restore(ret_body, len_bytes);
    }
    return status;
}

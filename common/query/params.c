/* SPDX-License-Identifier: MIT */
/* params.c - a query string in the words of a body. */
#include "query/query_impl.h"

/* Parameters are text; these fields are numbers in a body. All others take text as it is: lists as
 * csv, times and revisions as digits, order as "1". */
static bool is_number_field(struct kt_str name)
{
    return kt_str_eq_text(name, "offset") || kt_str_eq_text(name, "limit");
}

static enum kt_status write_param(struct kt_jw *jw, struct kt_str name, struct kt_str value,
                                  struct kt_error *err)
{
    char field[72];
    int64_t number;
    kt_str_copy(field, sizeof field, name);
    if (!kt_utf8_valid(name) || !kt_utf8_valid(value)) {
        return kt_fail_field(err, KT_BAD_VALUE, kt_utf8_valid(name) ? field : "",
                             "a query parameter is not valid UTF-8");
    }
    kt_jw_key(jw, name);
    if (is_number_field(name) && kt_parse_i64(value, &number)) {
        kt_jw_i64(jw, number);
    } else {
        kt_jw_str(jw, value);
    }
    return KT_OK;
}

enum kt_status kt_query_body_of_params(const struct kt_http_request *request,
                                       struct kt_buf *ret_body, struct kt_error *err)
{
    struct kt_jw jw;
    struct kt_str name, value;
    size_t pos = 0, len_bytes = ret_body->len_bytes;
    enum kt_status status = KT_OK;
    kt_jw_init(&jw, ret_body);
    kt_jw_object(&jw);
    while (status == KT_OK && kt_http_query_next(request, &pos, &name, &value, &status, err)) {
        status = write_param(&jw, name, value, err);
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

/* SPDX-License-Identifier: MIT */
/* envelope.c - the frame around every answer, and every error. */
#include "http/envelope.h"

/* An error fits even where answers are bounded more tightly: a message of 440 bytes (twice in
 * the old manner), each escaped to at most six, and the frame. */
#define ERROR_BYTES_MAX 8192

void kt_envelope_begin(struct kt_http_response *response, struct kt_jw *jw)
{
    kt_jw_init(jw, &response->body);
    kt_jw_object(jw);
    kt_jw_raw_key(jw, KT_STR("\"status_code\":0,\"status_msg\":\"success\",\"data\":"));
}

void kt_envelope_begin_old(struct kt_http_response *response, struct kt_jw *jw)
{
    kt_jw_init(jw, &response->body);
    kt_jw_object(jw);
    kt_jw_raw_key(jw, KT_STR("\"code\":200,\"message\":\"success\",\"data\":"));
}

void kt_envelope_end(struct kt_jw *jw)
{
    kt_jw_object_end(jw);
}

/* What describes a body that is no longer sent. */
static bool describes_body(struct kt_str name)
{
    return kt_str_eq_nocase(name, KT_STR("ETag")) ||
           kt_str_eq_nocase(name, KT_STR("Content-Encoding")) ||
           kt_str_eq_nocase(name, KT_STR("Content-Disposition")) ||
           kt_str_eq_nocase(name, KT_STR("Last-Modified")) ||
           kt_str_eq_nocase(name, KT_STR("Cache-Control"));
}

static void drop_body_headers(struct kt_http_response *response)
{
    size_t kept = 0;

    for (size_t i = 0; i < response->header_count; i++) {
        if (!describes_body(response->headers[i].name)) {
            response->headers[kept++] = response->headers[i];
        }
    }
    response->header_count = kept;
}

static bool has_header(const struct kt_http_response *response, struct kt_str name)
{
    for (size_t i = 0; i < response->header_count; i++) {
        if (kt_str_eq_nocase(response->headers[i].name, name)) {
            return true;
        }
    }
    return false;
}

static void write_error(struct kt_buf *ret_body, const struct kt_error *err, bool old_manner)
{
    struct kt_jw jw;

    kt_jw_init(&jw, ret_body);
    kt_jw_object(&jw);
    kt_jw_kv_i64(&jw, "status_code", kt_status_http(err->status));
    kt_jw_kv_text(&jw, "status_msg", err->message);
    if (old_manner) {
        kt_jw_kv_i64(&jw, "code", kt_status_http(err->status));
        kt_jw_kv_text(&jw, "message", err->message);
    }
    kt_jw_key_text(&jw, "data");
    kt_jw_null(&jw);
    kt_jw_key_text(&jw, "error");
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "code", kt_status_code(err->status));
    kt_jw_kv_text(&jw, "field", err->field);
    kt_jw_kv_text(&jw, "retry", kt_status_retry(err->status));
    kt_jw_object_end(&jw);
    kt_jw_object_end(&jw);
}

void kt_envelope_error(struct kt_http_response *response, const struct kt_error *err)
{
    if (response->stream_next && response->stream_done) {
        response->stream_done(response->stream_ctx);
    }
    response->stream_next = NULL;
    response->stream_done = NULL;
    response->failed = false;
    response->status = kt_status_http(err->status);
    response->content_type = "application/json";
    drop_body_headers(response);
    kt_buf_clear(&response->body);
    if (response->body.max_bytes > 0 && response->body.max_bytes < ERROR_BYTES_MAX) {
        response->body.max_bytes = ERROR_BYTES_MAX;
    }
    write_error(&response->body, err, response->old_manner);
    if ((response->status == 429 || response->status == 503) &&
        !has_header(response, KT_STR("Retry-After"))) {
        kt_http_response_header(response, "Retry-After", KT_STR("1"));
    }
}

void kt_envelope_error_body(struct kt_buf *ret_body, const struct kt_error *err)
{
    write_error(ret_body, err, false);
}

void kt_envelope_error_body_old(struct kt_buf *ret_body, const struct kt_error *err)
{
    write_error(ret_body, err, true);
}

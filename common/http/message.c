/* SPDX-License-Identifier: MIT */
/* message.c - headers, query parameters and the answer under construction.
 *
 * Look-ups are linear: a request has a dozen headers, and a table would cost more than it saves.
 * Most of what is asked for is absent, though, and that the lengths of the names tell.
 */
#include "http/message.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* RFC 9110 section 5.6.2; one bit for each character below 128. */
bool kt_http_is_token(struct kt_str text)
{
    static const uint64_t allowed[2] = {UINT64_C(0x03ff6cfa00000000), UINT64_C(0x57ffffffc7fffffe)};

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];

        if (c >= 128 || !(allowed[c / 64] >> (c % 64) & 1)) {
            return false;
        }
    }
    return text.len > 0;
}

static bool is_absent(const struct kt_http_request *request, struct kt_str name)
{
    return request->name_lengths && !(request->name_lengths >> (name.len & 63) & 1);
}

struct kt_str kt_http_header(const struct kt_http_request *request, const char *name)
{
    struct kt_str wanted = kt_str(name);

    if (is_absent(request, wanted)) {
        return (struct kt_str){NULL, 0};
    }
    for (size_t i = 0; i < request->header_count; i++) {
        if (request->headers[i].name.len == wanted.len &&
            kt_str_eq_nocase(request->headers[i].name, wanted)) {
            return request->headers[i].value;
        }
    }
    return (struct kt_str){NULL, 0};
}

size_t kt_http_header_count(const struct kt_http_request *request, const char *name)
{
    struct kt_str wanted = kt_str(name);
    size_t count = 0;

    for (size_t i = 0; i < request->header_count && !is_absent(request, wanted); i++) {
        if (kt_str_eq_nocase(request->headers[i].name, wanted)) {
            count++;
        }
    }
    return count;
}

/* One component of the query into the arena; a plain one is borrowed as it is. */
static bool decode_component(const struct kt_http_request *request, struct kt_str raw,
                             struct kt_str *ret_text, enum kt_status *ret_status)
{
    char *dest;
    size_t len = 0;

    if (raw.len == 0 || (!memchr(raw.data, '%', raw.len) && !memchr(raw.data, '+', raw.len))) {
        *ret_text = raw.len ? raw : KT_STR("");
    } else {
        dest = kt_arena_alloc(request->arena, raw.len);
        if (!dest) {
            *ret_status = KT_NO_MEMORY;
            return false;
        }
        if (!kt_percent_decode(raw, true, dest, &len)) {
            *ret_status = KT_BAD_VALUE;
            return false;
        }
        *ret_text = kt_str_n(dest, len);
    }
    if (!kt_utf8_valid(*ret_text)) {
        *ret_status = KT_BAD_VALUE;
        return false;
    }
    return true;
}

static enum kt_status fail_component(struct kt_error *err, enum kt_status status, struct kt_str raw)
{
    char field[sizeof(((struct kt_error *)0)->field)];

    if (status == KT_NO_MEMORY) {
        return kt_fail(err, status, "no memory for the query parameters");
    }
    kt_str_copy(field, sizeof(field), kt_utf8_valid(raw) ? raw : KT_STR("query"));
    return kt_fail_field(err, status, field,
                         "query parameter %s: expected UTF-8 with whole %%XX escapes", field);
}

bool kt_http_query_next(const struct kt_http_request *request, size_t *pos, struct kt_str *ret_name,
                        struct kt_str *ret_value, enum kt_status *ret_status, struct kt_error *err)
{
    *ret_status = KT_OK;
    while (*pos < request->query.len) {
        struct kt_str rest = {request->query.data + *pos, request->query.len - *pos};
        struct kt_str value = kt_str_cut(&rest, '&');
        struct kt_str name, name_text, value_text;

        *pos += value.len + 1;
        if (value.len == 0) {
            continue;
        }
        name = kt_str_cut(&value, '=');
        if (!value.data) {
            value = KT_STR("");
        }
        if (!decode_component(request, name, &name_text, ret_status) ||
            !decode_component(request, value, &value_text, ret_status)) {
            *ret_status = fail_component(err, *ret_status, name);
            return false;
        }
        *ret_name = name_text;
        *ret_value = value_text;
        return true;
    }
    return false;
}

enum kt_status kt_http_query_none(const struct kt_http_request *request, struct kt_error *err)
{
    size_t pos = 0;
    struct kt_str name, value;
    enum kt_status status = KT_OK;
    char field[64];

    if (kt_http_query_next(request, &pos, &name, &value, &status, err)) {
        kt_str_copy(field, sizeof(field), name);
        return kt_fail_field(err, KT_UNKNOWN_FIELD, field, "unknown query parameter '%s'", field);
    }
    return status;
}

enum kt_status kt_http_query_get(const struct kt_http_request *request, const char *name,
                                 struct kt_str *ret_value, bool *ret_present, struct kt_error *err)
{
    struct kt_str found = {NULL, 0}, key, value;
    enum kt_status status;
    bool present = false;
    size_t pos = 0;

    while (kt_http_query_next(request, &pos, &key, &value, &status, err)) {
        if (!kt_str_eq_text(key, name)) {
            continue;
        }
        if (present) {
            return kt_fail_field(err, KT_BAD_VALUE, name,
                                 "query parameter %s is given twice, expected once", name);
        }
        present = true;
        found = value;
    }
    if (status != KT_OK) {
        return status;
    }
    *ret_present = present;
    if (present) {
        *ret_value = found;
    }
    return KT_OK;
}

void kt_http_response_init(struct kt_http_response *response, struct kt_arena *arena,
                           size_t max_body_bytes)
{
    response->status = 200;
    response->header_count = 0;
    kt_buf_init(&response->body, max_body_bytes);
    response->content_type = "application/json";
    response->close = false;
    response->failed = false;
    response->old_manner = false;
    response->untagged = false;
    response->stream_next = NULL;
    response->stream_done = NULL;
    response->stream_ctx = NULL;
    response->arena = arena;
}

void kt_http_response_done(struct kt_http_response *response)
{
    if (response->stream_next && response->stream_done) {
        response->stream_done(response->stream_ctx);
    }
    response->stream_next = NULL;
    response->stream_done = NULL;
    kt_buf_done(&response->body);
}

static bool value_is_clean(struct kt_str value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] == '\r' || value.data[i] == '\n' || value.data[i] == '\0') {
            return false;
        }
    }
    return true;
}

void kt_http_response_header(struct kt_http_response *response, const char *name,
                             struct kt_str value)
{
    struct kt_str key = kt_str(name);
    struct kt_str copy;
    size_t slot = 0;

    while (slot < response->header_count && !kt_str_eq_nocase(response->headers[slot].name, key)) {
        slot++;
    }
    if (slot == KT_HTTP_RESPONSE_HEADERS_MAX || !value_is_clean(value)) {
        response->failed = true;
        return;
    }
    copy = value.len ? kt_arena_dup(response->arena, value) : KT_STR("");
    if (!copy.data) {
        response->failed = true;
        return;
    }
    response->headers[slot].name = key;
    response->headers[slot].value = copy;
    if (slot == response->header_count) {
        response->header_count++;
    }
}

void kt_http_response_header_fmt(struct kt_http_response *response, const char *name,
                                 const char *fmt, ...)
{
    char text[1024];
    va_list args;
    int len;

    va_start(args, fmt);
    len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof(text)) {
        response->failed = true;
        return;
    }
    kt_http_response_header(response, name, kt_str_n(text, (size_t)len));
}

const char *kt_http_reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } table[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        if (table[i].status == status) {
            return table[i].text;
        }
    }
    return "Unknown";
}

static const struct {
    enum kt_http_method method;
    const char *name;
} method_names[] = {
    {KT_HTTP_GET, "GET"}, {KT_HTTP_HEAD, "HEAD"},     {KT_HTTP_POST, "POST"},
    {KT_HTTP_PUT, "PUT"}, {KT_HTTP_DELETE, "DELETE"}, {KT_HTTP_OPTIONS, "OPTIONS"},
};

const char *kt_http_method_name(enum kt_http_method method)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(method_names); i++) {
        if (method_names[i].method == method) {
            return method_names[i].name;
        }
    }
    return "OTHER";
}

enum kt_http_method kt_http_method_parse(struct kt_str text)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(method_names); i++) {
        if (kt_str_eq_text(text, method_names[i].name)) {
            return method_names[i].method;
        }
    }
    return KT_HTTP_OTHER;
}

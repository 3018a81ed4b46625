/* SPDX-License-Identifier: MIT */
/* content.c - conditional requests, and which coding an answer leaves in; gzip itself is in gzip.c.
 */
#include "http/content.h"

#include "base/hash.h"
#include "base/mem.h"
#include "http/envelope.h"
#include "http/gzip.h"

#include <stdio.h>
#include <string.h>

struct kt_content {
    struct kt_gzip_pool *pool;
};

struct kt_content *kt_content_new(void)
{
    struct kt_content *content = kt_calloc(1, sizeof(*content));

    if (content) {
        content->pool = kt_gzip_pool_new();
        if (!content->pool) {
            kt_content_free(&content);
        }
    }
    return content;
}

void kt_content_free(struct kt_content **content)
{
    if (*content) {
        kt_gzip_pool_free(&(*content)->pool);
        kt_free(*content);
    }
    *content = NULL;
}

/* ---- Accept-Encoding ---- */

#define WEIGHT_ONE 1000

/* RFC 9110 section 12.4.2, in thousandths; -1 when it is none. */
static int parse_weight(struct kt_str text)
{
    int weight, unit = 100;

    if (text.len < 1 || text.len > 5 || (text.data[0] != '0' && text.data[0] != '1') ||
        (text.len > 1 && text.data[1] != '.')) {
        return -1;
    }
    weight = (text.data[0] - '0') * WEIGHT_ONE;
    for (size_t i = 2; i < text.len; i++, unit /= 10) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return -1;
        }
        weight += (text.data[i] - '0') * unit;
    }
    return weight <= WEIGHT_ONE ? weight : -1;
}

/* What of a list concerns us; -1 = not named. */
struct wishes {
    int gzip, identity, any;
};

static void take_wish(struct wishes *wishes, struct kt_str element)
{
    struct kt_str rest = element, coding = kt_str_trim(kt_str_cut(&rest, ';'));
    int weight = WEIGHT_ONE;

    if (rest.data) {
        struct kt_str parameter = kt_str_trim(rest);

        if (parameter.len < 2 || (parameter.data[0] | 0x20) != 'q' || parameter.data[1] != '=') {
            return;
        }
        weight = parse_weight(kt_str_n(parameter.data + 2, parameter.len - 2));
        if (weight < 0) {
            return;
        }
    }
    if (kt_str_eq_nocase(coding, KT_STR("gzip")) || kt_str_eq_nocase(coding, KT_STR("x-gzip"))) {
        wishes->gzip = weight;
    } else if (kt_str_eq_nocase(coding, KT_STR("identity"))) {
        wishes->identity = weight;
    } else if (kt_str_eq_text(coding, "*")) {
        wishes->any = weight;
    }
}

bool kt_content_accepts_gzip(const struct kt_http_request *request)
{
    struct wishes wishes = {-1, -1, -1};
    int gzip;

    if (!kt_http_header(request, "Accept-Encoding").data) {
        return false;
    }
    for (size_t i = 0; i < request->header_count; i++) {
        struct kt_str list = request->headers[i].value;

        if (kt_str_eq_nocase(request->headers[i].name, KT_STR("Accept-Encoding"))) {
            while (list.data) {
                take_wish(&wishes, kt_str_cut(&list, ','));
            }
        }
    }
    gzip = wishes.gzip >= 0 ? wishes.gzip : wishes.any;
    return gzip > 0 && gzip >= wishes.identity;
}

/* ---- entity tags ---- */

/* The next tag of a list without its W/ and quotes; false at the end, or where it is no list of
 * tags. A tag may hold commas (RFC 9110 section 8.8.3). */
static bool next_tag(struct kt_str *rest, struct kt_str *ret_opaque)
{
    const char *pos = rest->data, *end = rest->data + rest->len, *close;

    while (pos < end && (*pos == ' ' || *pos == '\t' || *pos == ',')) {
        pos++;
    }
    if (end - pos >= 2 && pos[0] == 'W' && pos[1] == '/') {
        pos += 2;
    }
    if (end - pos < 2 || *pos != '"' || !(close = memchr(pos + 1, '"', (size_t)(end - pos - 1)))) {
        return false;
    }
    *ret_opaque = kt_str_n(pos + 1, (size_t)(close - pos - 1));
    *rest = kt_str_n(close + 1, (size_t)(end - close - 1));
    return rest->len == 0 || rest->data[0] == ',' || rest->data[0] == ' ' || rest->data[0] == '\t';
}

static bool list_has_tag(struct kt_str list, struct kt_str opaque)
{
    struct kt_str tag;

    if (kt_str_eq_text(list, "*")) {
        return true;
    }
    while (next_tag(&list, &tag)) {
        if (kt_str_eq(tag, opaque)) {
            return true;
        }
    }
    return false;
}

static bool client_has(const struct kt_http_request *request, struct kt_str tag)
{
    struct kt_str opaque = {NULL, 0};

    if (!kt_http_header(request, "If-None-Match").data || !next_tag(&tag, &opaque)) {
        return false;
    }
    for (size_t i = 0; i < request->header_count; i++) {
        if (kt_str_eq_nocase(request->headers[i].name, KT_STR("If-None-Match")) &&
            list_has_tag(request->headers[i].value, opaque)) {
            return true;
        }
    }
    return false;
}

/* ---- the whole ---- */

static struct kt_str header_of(const struct kt_http_response *response, const char *name)
{
    for (size_t i = 0; i < response->header_count; i++) {
        if (kt_str_eq_nocase(response->headers[i].name, kt_str(name))) {
            return response->headers[i].value;
        }
    }
    return (struct kt_str){NULL, 0};
}

/* Adds the tag; true when the client has the body. */
static bool tag(const struct kt_http_request *request, struct kt_http_response *response, bool weak)
{
    struct kt_str own = header_of(response, "ETag");
    char text[24];
    int len;

    if (!own.data) {
        len =
            snprintf(text, sizeof(text), "%s\"%016llx\"", weak ? "W/" : "",
                     (unsigned long long)kt_hash64(response->body.data, response->body.len_bytes));
        own = kt_str_n(text, (size_t)len);
        kt_http_response_header(response, "ETag", own);
    }
    if (!header_of(response, "Cache-Control").data) {
        kt_http_response_header(response, "Cache-Control", KT_STR("no-cache"));
    }
    return client_has(request, own);
}

void kt_content_finish(struct kt_content *content, const struct kt_http_request *request,
                       struct kt_http_response *response)
{
    bool is_get = request->method == KT_HTTP_GET || request->method == KT_HTTP_HEAD;
    bool streamed = response->stream_next != NULL, gzip = false;

    if (response->status != 200 || header_of(response, "Content-Encoding").data) {
        return;
    }
    if (streamed || response->body.len_bytes > KT_CONTENT_PLAIN_MAX) {
        gzip = kt_content_accepts_gzip(request);
        kt_http_response_header(response, "Vary", KT_STR("Accept-Encoding"));
    }
    if (is_get && !streamed && !response->untagged && tag(request, response, gzip)) {
        response->status = 304;
        kt_buf_clear(&response->body);
    } else if (gzip && streamed) {
        kt_gzip_stream(content->pool, response);
    } else if (gzip) {
        /* Without memory it stays plain; a weak tag is right for that too. */
        (void)!kt_gzip_whole(content->pool, response);
    }
    if (response->failed) {
        /* What was done to the body and what its headers say of it may differ. */
        struct kt_error err = KT_ERROR_INIT;

        (void)kt_fail(&err, KT_NO_MEMORY, "no memory for the answer's headers");
        kt_envelope_error(response, &err);
    }
}

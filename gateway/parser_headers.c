/* SPDX-License-Identifier: MIT */
/* parser_headers.c - header lines: names, values, framing.
 *
 * Values are checked byte by byte against one table; a name that the gateway acts on is recognised
 * here once, so that nobody behind compares names again.
 */
#include "gateway/parser_internal.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define T KT_H1_TOKEN
#define V KT_H1_VALUE
#define G KT_H1_TARGET
#define H KT_H1_HOST_CHAR
#define SYMBOL (T | V | G)    /* !$&'*+^`|~ */
#define ALNUM (T | V | G | H) /* also - . _ */
#define HIGH (V | G)
#define HIGH8 HIGH, HIGH, HIGH, HIGH, HIGH, HIGH, HIGH, HIGH
#define HIGH64 HIGH8, HIGH8, HIGH8, HIGH8, HIGH8, HIGH8, HIGH8, HIGH8
#define ALNUM8 ALNUM, ALNUM, ALNUM, ALNUM, ALNUM, ALNUM, ALNUM, ALNUM
/* clang-format off */
const uint8_t kt_h1_classes[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, V, 0, 0, 0, 0, 0, 0, /* 0x09 tab */
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /* space ! " # $ % & ' */
    V, SYMBOL, V | G, T | V, SYMBOL, T | V | G, SYMBOL, SYMBOL,
    /* ( ) * + , - . / */
    V | G, V | G, SYMBOL, SYMBOL, V | G, ALNUM, ALNUM, V | G,
    ALNUM8, ALNUM, ALNUM, /* 0-9 */
    /* : ; < = > ? */
    V | G | H, V | G, V | G, V | G, V | G, V | G,
    V | G, /* @ */
    ALNUM8, ALNUM8, ALNUM8, ALNUM, ALNUM, /* A-Z */
    /* [ \ ] ^ _ */
    V | G | H, V | G, V | G | H, SYMBOL, ALNUM,
    SYMBOL, /* ` */
    ALNUM8, ALNUM8, ALNUM8, ALNUM, ALNUM, /* a-z */
    /* { | } ~ DEL */
    V | G, SYMBOL, V | G, SYMBOL, 0,
    HIGH64, HIGH64,
};
/* clang-format on */

struct known_name {
    const char *text;
    enum kt_h1_name name;
};

#define NAME_BYTES_MAX 25
#define SAME_LENGTH_MAX 4
/* By length: one comparison at most for nearly every header. */
static const struct known_name known_names[NAME_BYTES_MAX + 1][SAME_LENGTH_MAX] = {
    [2] = {{"te", KT_H1_HOP}},
    [3] = {{"via", KT_H1_VIA}},
    [4] = {{"host", KT_H1_HOST}, {"date", KT_H1_DATE}},
    [6] = {{"expect", KT_H1_EXPECT}, {"origin", KT_H1_ORIGIN}},
    [7] = {{"upgrade", KT_H1_HOP}, {"trailer", KT_H1_HOP}},
    [9] = {{"forwarded", KT_H1_FORWARDED}},
    [10] = {{"connection", KT_H1_CONNECTION}, {"keep-alive", KT_H1_HOP}},
    [11] = {{"retry-after", KT_H1_RETRY_AFTER}},
    [12] = {{"x-request-id", KT_H1_REQUEST_ID}},
    [14] = {{"content-length", KT_H1_CONTENT_LENGTH}},
    [15] = {{"x-forwarded-for", KT_H1_FORWARDED_FOR}, {"idempotency-key", KT_H1_IDEMPOTENCY_KEY}},
    [16] = {{"x-forwarded-host", KT_H1_FORWARDED_HOST}, {"proxy-connection", KT_H1_HOP}},
    [17] = {{"transfer-encoding", KT_H1_TRANSFER_ENCODING},
            {"x-forwarded-proto", KT_H1_FORWARDED_PROTO},
            {"x-kamaitachi-auth", KT_H1_CLUSTER_AUTH},
            {"x-kamaitachi-role", KT_H1_ROLE}},
    [18] = {{"proxy-authenticate", KT_H1_HOP}},
    [19] = {{"x-kamaitachi-leader", KT_H1_LEADER}, {"proxy-authorization", KT_H1_HOP}},
    [20] = {{"x-kamaitachi-outcome", KT_H1_OUTCOME}},
    [21] = {{"x-kamaitachi-revision", KT_H1_REVISION}},
    [23] = {{"x-kamaitachi-timeout-ms", KT_H1_TIMEOUT_MS}},
    [24] = {{"x-kamaitachi-consistency", KT_H1_CONSISTENCY}},
    [25] = {{"x-kamaitachi-min-revision", KT_H1_MIN_REVISION}},
};

static enum kt_h1_name name_of(struct kt_str name)
{
    const struct known_name *known;

    if (name.len > NAME_BYTES_MAX) {
        return KT_H1_OTHER;
    }
    known = known_names[name.len];
    for (int i = 0; i < SAME_LENGTH_MAX && known[i].text; i++) {
        if (strncasecmp(known[i].text, name.data, name.len) == 0) {
            return known[i].name;
        }
    }
    return KT_H1_OTHER;
}

static enum kt_h1_verdict refuse(struct kt_h1_head *head, const char *why)
{
    head->why = why;
    return KT_H1_BAD;
}

/* The name ends where the token ends, and that must be the colon. */
static enum kt_h1_verdict split_line(struct kt_str line, struct kt_h1_head *head,
                                     struct kt_http_header *ret_header)
{
    size_t colon = 0, start, end;

    if (line.data[0] == ' ' || line.data[0] == '\t') {
        return refuse(head, "a folded header line");
    }
    while (colon < line.len && kt_h1_is(KT_H1_TOKEN, line.data[colon])) {
        colon++;
    }
    if (colon == 0 || colon == line.len || line.data[colon] != ':') {
        return refuse(head, "a header's name that is no token followed by a colon");
    }
    for (size_t i = colon + 1; i < line.len; i++) {
        if (!kt_h1_is(KT_H1_VALUE, line.data[i])) {
            return refuse(head, "a control character in a header");
        }
    }
    start = colon + 1;
    end = line.len;
    while (start < end && (line.data[start] == ' ' || line.data[start] == '\t')) {
        start++;
    }
    while (end > start && (line.data[end - 1] == ' ' || line.data[end - 1] == '\t')) {
        end--;
    }
    ret_header->name = kt_str_n(line.data, colon);
    ret_header->value = kt_str_n(line.data + start, end - start);
    return KT_H1_OK;
}

static enum kt_h1_verdict take_length(struct kt_h1_head *head, struct kt_str value)
{
    int64_t length = 0;

    if (head->content_length >= 0) {
        return refuse(head, "Content-Length twice");
    }
    if (value.len == 0 || value.len > 18) {
        return refuse(head, "a Content-Length that is no number");
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            return refuse(head, "a Content-Length that is no number");
        }
        length = length * 10 + (value.data[i] - '0');
    }
    head->content_length = length;
    return KT_H1_OK;
}

static enum kt_h1_verdict take_encoding(struct kt_h1_head *head, struct kt_str value)
{
    if (head->chunked || !kt_str_eq_nocase(value, KT_STR("chunked"))) {
        return refuse(head, "a Transfer-Encoding other than chunked");
    }
    head->chunked = true;
    return KT_H1_OK;
}

/* Connection is a list: close and keep-alive are ours, the rest names headers of this hop. */
static void take_connection(struct kt_h1_head *head, struct kt_str value, bool *close, bool *keep)
{
    struct kt_str rest = value;

    while (rest.data) {
        struct kt_str token = kt_str_trim(kt_str_cut(&rest, ','));

        if (kt_str_eq_nocase(token, KT_STR("close"))) {
            *close = true;
        } else if (kt_str_eq_nocase(token, KT_STR("keep-alive"))) {
            *keep = true;
        } else if (token.len > 0) {
            head->nominates = true;
        }
    }
}

static enum kt_h1_verdict take_header(struct kt_h1_head *head, enum kt_h1_name name,
                                      struct kt_str value, bool *close, bool *keep)
{
    switch (name) {
    case KT_H1_CONTENT_LENGTH:
        return take_length(head, value);
    case KT_H1_TRANSFER_ENCODING:
        return take_encoding(head, value);
    case KT_H1_CONNECTION:
        take_connection(head, value, close, keep);
        break;
    case KT_H1_HOST:
        if (head->known[KT_H1_HOST].data) {
            return refuse(head, "Host twice");
        }
        break;
    default:
        break;
    }
    if (!head->known[name].data) {
        head->known[name] = value;
    }
    return KT_H1_OK;
}

enum kt_h1_verdict kt_h1_parse_headers(struct kt_str *rest, struct kt_h1_head *head)
{
    bool close = false, keep = false;
    enum kt_h1_verdict verdict;

    for (;;) {
        struct kt_str line = kt_str_cut(rest, '\n');
        struct kt_http_header *header = &head->headers[head->header_count];

        line.len--;
        if (line.len == 0) {
            break;
        }
        if (head->header_count == KT_HTTP_HEADERS_MAX) {
            head->why = "more than 64 headers";
            return KT_H1_TOO_LARGE;
        }
        verdict = split_line(line, head, header);
        if (verdict != KT_H1_OK) {
            return verdict;
        }
        head->names[head->header_count] = (uint8_t)name_of(header->name);
        verdict = take_header(head, head->names[head->header_count], header->value, &close, &keep);
        if (verdict != KT_H1_OK) {
            return verdict;
        }
        head->header_count++;
    }
    if (head->chunked && head->content_length >= 0) {
        return refuse(head, "both Content-Length and Transfer-Encoding");
    }
    head->keep_alive = !close && (head->minor == 1 || keep);
    return KT_H1_OK;
}

/* Up to the bracket: what an IPv6 literal is written with. */
static size_t literal_len(struct kt_str text)
{
    size_t len = 1;

    while (len < text.len && text.data[len] != ']') {
        if (!isxdigit((unsigned char)text.data[len]) && text.data[len] != ':' &&
            text.data[len] != '.') {
            return 0;
        }
        len++;
    }
    return len > 1 && len < text.len ? len + 1 : 0;
}

static size_t name_len(struct kt_str text)
{
    size_t len = 0;

    while (len < text.len && text.data[len] != ':' && kt_h1_is(KT_H1_HOST_CHAR, text.data[len]) &&
           text.data[len] != '[' && text.data[len] != ']') {
        len++;
    }
    return len;
}

bool kt_h1_is_host(struct kt_str text)
{
    size_t len = text.len > 0 && text.data[0] == '[' ? literal_len(text) : name_len(text);

    if (len == 0 || (len < text.len && text.data[len] != ':') || text.len - len > 6) {
        return false;
    }
    for (size_t i = len + 1; i < text.len; i++) {
        if (!isdigit((unsigned char)text.data[i])) {
            return false;
        }
    }
    return true;
}

enum kt_h1_verdict kt_h1_check_request(struct kt_h1_head *head)
{
    struct kt_str host = head->known[KT_H1_HOST];

    if (head->minor == 1 && !host.data) {
        return refuse(head, "no Host");
    }
    if (host.data && host.len == 0) {
        return refuse(head, "an empty Host");
    }
    if (host.data && !kt_h1_is_host(host)) {
        return refuse(head, "a Host that is no host");
    }
    if (head->chunked && head->minor == 0) {
        return refuse(head, "Transfer-Encoding with HTTP/1.0");
    }
    return KT_H1_OK;
}

bool kt_h1_is_nominated(const struct kt_h1_head *head, struct kt_str name)
{
    for (uint32_t i = 0; i < head->header_count; i++) {
        struct kt_str rest = head->headers[i].value;

        while (head->names[i] == KT_H1_CONNECTION && rest.data) {
            if (kt_str_eq_nocase(kt_str_trim(kt_str_cut(&rest, ',')), name)) {
                return true;
            }
        }
    }
    return false;
}

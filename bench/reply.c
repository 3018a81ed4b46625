/* SPDX-License-Identifier: MIT */
/* reply.c - the strict reader of answers. */
#include "bench/reply.h"

#include "http/message.h"

#include <string.h>

void kt_reply_begin(struct kt_reply *reply, bool to_head)
{
    *reply = (struct kt_reply){.to_head = to_head, .content_length = -1};
}

static enum kt_reply_verdict bad(struct kt_reply *reply, const char *why)
{
    reply->why = why;
    return KT_REPLY_BAD;
}

/* "HTTP/1.1 200 OK" */
static bool read_status_line(struct kt_reply *reply, struct kt_str line)
{
    if (line.len < 12 || memcmp(line.data, "HTTP/1.", 7) != 0 ||
        (line.data[7] != '0' && line.data[7] != '1') || line.data[8] != ' ' ||
        (line.len > 12 && line.data[12] != ' ')) {
        return false;
    }
    reply->keep_alive = line.data[7] == '1';
    reply->status = 0;
    for (int i = 9; i < 12; i++) {
        if (line.data[i] < '0' || line.data[i] > '9') {
            return false;
        }
        reply->status = reply->status * 10 + (line.data[i] - '0');
    }
    return reply->status >= 100 && reply->status <= 599;
}

static void read_connection(struct kt_reply *reply, struct kt_str value)
{
    struct kt_str rest = value;
    while (rest.data) {
        struct kt_str option = kt_str_trim(kt_str_cut(&rest, ','));
        if (kt_str_eq_nocase(option, KT_STR("close"))) {
            reply->keep_alive = false;
        } else if (kt_str_eq_nocase(option, KT_STR("keep-alive"))) {
            reply->keep_alive = true;
        }
    }
}

static const char *read_length(struct kt_reply *reply, struct kt_str value)
{
    uint64_t length;
    if (!kt_parse_u64(value, &length) || length > INT64_MAX / 2) {
        return "a Content-Length that is no number";
    }
    if (reply->content_length >= 0) {
        return "two Content-Lengths";
    }
    reply->content_length = (int64_t)length;
    return NULL;
}

static const char *read_encoding(struct kt_reply *reply, struct kt_str value)
{
    if (reply->chunked || !kt_str_eq_nocase(value, KT_STR("chunked"))) {
        return "a Transfer-Encoding other than chunked";
    }
    reply->chunked = true;
    return NULL;
}

/* One header; NULL, or what is wrong with it. `base` is the buffer. */
static const char *read_header(struct kt_reply *reply, const char *base, struct kt_str line)
{
    const char *colon = memchr(line.data, ':', line.len);
    if (!colon || !kt_http_is_token(kt_str_n(line.data, (size_t)(colon - line.data)))) {
        return "a header line that is none";
    }
    struct kt_str name = kt_str_n(line.data, (size_t)(colon - line.data));
    struct kt_str value =
        kt_str_trim(kt_str_n(colon + 1, (size_t)(line.data + line.len - colon - 1)));
    switch (name.len) { /* told apart by length first: most are none of these */
    case 10:
        if (kt_str_eq_nocase(name, KT_STR("Connection"))) {
            read_connection(reply, value);
        }
        break;
    case 12:
        if (kt_str_eq_nocase(name, KT_STR("Content-Type"))) {
            struct kt_str type = kt_str_trim(kt_str_cut(&value, ';'));
            reply->is_json = kt_str_eq_nocase(type, KT_STR("application/json"));
        }
        break;
    case 14:
        if (kt_str_eq_nocase(name, KT_STR("Content-Length"))) {
            return read_length(reply, value);
        }
        break;
    case 17:
        if (kt_str_eq_nocase(name, KT_STR("Transfer-Encoding"))) {
            return read_encoding(reply, value);
        }
        if (kt_str_eq_nocase(name, KT_STR("X-Kamaitachi-Node"))) {
            reply->node_at = (size_t)(value.data - base);
            reply->node_len = value.len;
        }
        break;
    case 21:
        if (kt_str_eq_nocase(name, KT_STR("X-Kamaitachi-Revision")) &&
            !kt_parse_u64(value, &reply->revision)) {
            return "an X-Kamaitachi-Revision that is no number";
        }
        break;
    default:
        break;
    }
    return NULL;
}

/* The head is base[start..end), its empty line included. */
static enum kt_reply_verdict read_head(struct kt_reply *reply, const char *base, size_t start,
                                       size_t end)
{
    const char *at = base + start, *stop = base + end;
    bool first = true;
    size_t count = 0;
    while (at < stop) {
        const char *lf = memchr(at, '\n', (size_t)(stop - at));
        if (lf == at || lf[-1] != '\r') {
            return bad(reply, "a line of the head ends with a bare LF");
        }
        struct kt_str line = kt_str_n(at, (size_t)(lf - 1 - at));
        at = lf + 1;
        if (line.len > 0 && (memchr(line.data, '\r', line.len) || memchr(line.data, 0, line.len))) {
            return bad(reply, "CR or NUL in a line of the head");
        }
        if (first) {
            if (!read_status_line(reply, line)) {
                return bad(reply, "a status line that is none");
            }
            first = false;
        } else if (line.len > 0) {
            const char *why = ++count > KT_HTTP_HEADERS_MAX ? "more than 64 headers"
                                                            : read_header(reply, base, line);
            if (why) {
                return bad(reply, why);
            }
        }
    }
    return KT_REPLY_DONE;
}

/* Looks for the head's end. MORE, or DONE with head_len set and the framing settled. */
static enum kt_reply_verdict scan_head(struct kt_reply *reply, const char *buffer, size_t len)
{
    while (reply->seen < len) {
        const char *lf = memchr(buffer + reply->seen, '\n', len - reply->seen);
        if (!lf) {
            reply->seen = len;
            break;
        }
        size_t at = (size_t)(lf - buffer), start = reply->skipped;
        reply->seen = at + 1;
        bool empty = at - start >= 3 && buffer[at - 1] == '\r' && buffer[at - 2] == '\n';
        if (!empty) {
            if (at - start < 3) {
                return bad(reply, "a status line that is none");
            }
            continue;
        }
        enum kt_reply_verdict verdict = read_head(reply, buffer, start, at + 1);
        if (verdict == KT_REPLY_BAD) {
            return verdict;
        }
        if (reply->status < 200) {
            if (reply->status == 101) {
                return bad(reply, "a switch of protocols that nobody asked for");
            }
            size_t skipped = at + 1;
            kt_reply_begin(reply, reply->to_head);
            reply->skipped = reply->seen = skipped;
            continue;
        }
        reply->head_len = at + 1;
        break;
    }
    if ((reply->head_len ? reply->head_len : len) > KT_REPLY_HEAD_MAX) {
        return bad(reply, "a head of more than 32 KB");
    }
    return reply->head_len ? KT_REPLY_DONE : KT_REPLY_MORE;
}

static enum kt_reply_verdict settle_framing(struct kt_reply *reply)
{
    if (reply->chunked && reply->content_length >= 0) {
        return bad(reply, "both Content-Length and Transfer-Encoding");
    }
    reply->no_body = reply->to_head || reply->status == 204 || reply->status == 304;
    reply->until_close = !reply->no_body && !reply->chunked && reply->content_length < 0;
    if (reply->until_close) {
        reply->keep_alive = false;
    }
    kt_h1_chunks_init(&reply->chunks);
    return KT_REPLY_DONE;
}

static enum kt_reply_verdict read_chunks(struct kt_reply *reply, char *buffer, size_t *len)
{
    size_t used, payload, at = reply->head_len + reply->body_len;
    enum kt_h1_verdict verdict =
        kt_h1_chunks_decode(&reply->chunks, buffer + at, *len - at, &used, &payload);
    if (verdict == KT_H1_BAD) {
        return bad(reply, "a chunk that is none");
    }
    reply->body_len += payload;
    if (verdict == KT_H1_OK) {
        return used == *len - at ? KT_REPLY_DONE : bad(reply, "bytes behind the answer");
    }
    *len = reply->head_len + reply->body_len;
    return KT_REPLY_MORE;
}

enum kt_reply_verdict kt_reply_read(struct kt_reply *reply, char *buffer, size_t *len)
{
    if (reply->head_len == 0) {
        enum kt_reply_verdict verdict = scan_head(reply, buffer, *len);
        if (verdict == KT_REPLY_DONE) {
            verdict = settle_framing(reply);
        }
        if (verdict != KT_REPLY_DONE) {
            return verdict;
        }
    }
    size_t body = *len - reply->head_len;
    if (reply->no_body) {
        return body == 0 ? KT_REPLY_DONE : bad(reply, "bytes behind the answer");
    }
    if (reply->chunked) {
        return read_chunks(reply, buffer, len);
    }
    reply->body_len = body;
    if (reply->until_close || (int64_t)body < reply->content_length) {
        return KT_REPLY_MORE;
    }
    return (int64_t)body == reply->content_length ? KT_REPLY_DONE
                                                  : bad(reply, "bytes behind the answer");
}

enum kt_reply_verdict kt_reply_end(struct kt_reply *reply)
{
    if (reply->head_len > 0 && reply->until_close) {
        return KT_REPLY_DONE;
    }
    return bad(reply, "the connection ended within the answer");
}

struct kt_str kt_reply_body(const struct kt_reply *reply, const char *buffer)
{
    return kt_str_n(buffer + reply->head_len, reply->body_len);
}

struct kt_str kt_reply_node(const struct kt_reply *reply, const char *buffer)
{
    return kt_str_n(buffer + reply->node_at, reply->node_len);
}

/* SPDX-License-Identifier: MIT */
/* request_head.c - the head of a request as it is written for the node. */
#include <uv.h>

#include "gateway/exchange.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "http/access.h"

#include <stdio.h>

/* What a node takes for the time of a request that names none (API, section 1), and how much less
 * is worth telling. */
#define NODE_TIMEOUT_MS 30000
#define NODE_TIMEOUT_SLACK_MS 1000
#define RETURN_MS 50
/* Host, X-Request-Id, Via, X-Forwarded-For, -Proto, -Host, the time and the framing. */
#define ADDED_HEADERS_MAX 8

/* Headers that this hop writes itself, or that end here. */
static bool is_replaced(const struct kt_exchange *exchange, enum kt_h1_name name)
{
    switch (name) {
    case KT_H1_HOP:
    case KT_H1_CONNECTION:
    case KT_H1_HOST:
    case KT_H1_CONTENT_LENGTH:
    case KT_H1_TRANSFER_ENCODING:
    case KT_H1_EXPECT:
    case KT_H1_CLUSTER_AUTH:
    case KT_H1_REQUEST_ID:
    case KT_H1_TIMEOUT_MS:
    case KT_H1_FORWARDED_FOR:
    case KT_H1_FORWARDED_HOST:
    case KT_H1_FORWARDED_PROTO:
        return true;
    case KT_H1_VIA:
    case KT_H1_FORWARDED:
    case KT_H1_ORIGIN:
        /* What was judged here is asked in the gateway's own name. */
        return exchange->route.kind == KT_CLASS_ADMIN;
    default:
        return false;
    }
}

/* Connection may take a header away, but none that the gateway acted on for the node's sake: it
 * repeats a write for its key, and the node must know the key. */
static bool ends_here(const struct kt_h1_head *head, uint32_t index)
{
    switch ((enum kt_h1_name)head->names[index]) {
    case KT_H1_IDEMPOTENCY_KEY:
    case KT_H1_CONSISTENCY:
    case KT_H1_MIN_REVISION:
        return false;
    default:
        return head->nominates && kt_h1_is_nominated(head, head->headers[index].name);
    }
}

static void put_line(struct kt_buf *out, struct kt_str name, struct kt_str value)
{
    kt_buf_append_str(out, name);
    kt_buf_append(out, ": ", 2);
    kt_buf_append_str(out, value);
    kt_buf_append(out, "\r\n", 2);
}

static uint32_t put_client_headers(struct kt_exchange *exchange, struct kt_buf *out)
{
    const struct kt_h1_head *head = &exchange->request.head;
    uint32_t count = 0;

    for (uint32_t i = 0; i < head->header_count; i++) {
        const struct kt_http_header *header = &head->headers[i];

        if (is_replaced(exchange, head->names[i]) || ends_here(head, i)) {
            continue;
        }
        put_line(out, header->name, header->value);
        count++;
    }
    return count;
}

static void put_forwarded(struct kt_exchange *exchange, struct kt_buf *out)
{
    const struct kt_str *known = exchange->request.head.known;

    kt_buf_append_str(out, KT_STR("Via: 1.1 kamaitachi-gateway\r\nX-Forwarded-For: "));
    for (uint32_t i = 0; i < exchange->request.head.header_count; i++) {
        if (exchange->request.head.names[i] == KT_H1_FORWARDED_FOR) {
            kt_buf_append_str(out, exchange->request.head.headers[i].value);
            kt_buf_append(out, ", ", 2);
        }
    }
    kt_buf_append_text(out, exchange->conn->host);
    kt_buf_append_str(out, KT_STR("\r\nX-Forwarded-Proto: "));
    kt_buf_append_str(out, known[KT_H1_FORWARDED_PROTO].data ? known[KT_H1_FORWARDED_PROTO]
                                                             : KT_STR("http"));
    kt_buf_append_str(out, KT_STR("\r\n"));
    if (known[KT_H1_FORWARDED_HOST].data) {
        put_line(out, KT_STR("X-Forwarded-Host"), known[KT_H1_FORWARDED_HOST]);
    } else if (known[KT_H1_HOST].data) {
        put_line(out, KT_STR("X-Forwarded-Host"), known[KT_H1_HOST]);
    }
}

/* What is left of the time, less a little for the answer's way back, so that the node's own word on
 * a request that ran out of time comes first. Left out where the node's default says the same. */
static void put_timeout(struct kt_exchange *exchange, struct kt_buf *out)
{
    int64_t left_ms = exchange->deadline_ms - kt_loop_now(exchange->loop);

    if (exchange->deadline_ms == 0 ||
        (!exchange->timeout_given && left_ms >= NODE_TIMEOUT_MS - NODE_TIMEOUT_SLACK_MS)) {
        return;
    }
    left_ms -= left_ms / 16 < RETURN_MS ? left_ms / 16 : RETURN_MS;
    kt_buf_append_str(out, KT_STR("X-Kamaitachi-Timeout-Ms: "));
    kt_buf_append_i64(out, left_ms > 0 ? left_ms : 1);
    kt_buf_append(out, "\r\n", 2);
}

static void put_signature(struct kt_exchange *exchange, struct kt_buf *out)
{
    struct kt_loop *loop = exchange->loop;
    struct kt_str value;

    kt_arena_reset(loop->arena);
    value = kt_access_sign(loop->shared->access, kt_http_method_name(exchange->request.method),
                           exchange->route.path, exchange->request.query, kt_request_body(exchange),
                           loop->arena);
    if (value.len > 0) {
        put_line(out, KT_STR("X-Kamaitachi-Auth"), value);
    }
}

static void put_framing(struct kt_exchange *exchange, struct kt_buf *out)
{
    const struct kt_h1_head *head = &exchange->request.head;

    if (exchange->mode == KT_BODY_STREAM && head->chunked) {
        kt_buf_append_str(out, KT_STR("Transfer-Encoding: chunked\r\n"));
    } else if (head->chunked || head->content_length >= 0) {
        kt_buf_append_str(out, KT_STR("Content-Length: "));
        kt_buf_append_i64(out, exchange->mode == KT_BODY_STREAM
                                   ? head->content_length
                                   : (int64_t)kt_request_body(exchange).len);
        kt_buf_append(out, "\r\n", 2);
    }
}

/* A write without a key gets one: whoever leads when it is sent again knows it by that. Its time is
 * when the request came, so that a node can tell one that it may have forgotten. Not guessable, or
 * a stranger could have it refused by using its key first. */
static void make_key(struct kt_exchange *exchange)
{
    struct kt_loop *loop = exchange->loop;
    int64_t came_ms = kt_now_wall_ms() - (kt_loop_now(loop) - exchange->started_ms);
    int len;

    if (loop->key_bits_left < 2) {
        kt_random_bytes(loop->key_bits, sizeof(loop->key_bits));
        loop->key_bits_left = KT_ARRAY_LEN(loop->key_bits);
    }
    loop->key_bits_left -= 2;
    len = snprintf(exchange->key, sizeof(exchange->key), "g-%lld-%016llx%016llx",
                   (long long)came_ms, (unsigned long long)loop->key_bits[loop->key_bits_left],
                   (unsigned long long)loop->key_bits[loop->key_bits_left + 1]);
    exchange->key_len = (uint8_t)len;
    KT_COUNT(loop, keys_added);
}

static uint32_t put_key(struct kt_exchange *exchange, struct kt_buf *out)
{
    struct kt_loop *loop = exchange->loop;

    if (exchange->route.kind != KT_CLASS_WRITE || exchange->keyless ||
        exchange->request.head.known[KT_H1_IDEMPOTENCY_KEY].data) {
        return 0;
    }
    if (exchange->key_len == 0 && kt_loop_now(loop) < loop->keyless_until_ms) {
        exchange->keyless = true; /* for good: an attempt that had none can't be told by one */
        return 0;
    }
    if (exchange->key_len == 0) {
        make_key(exchange);
    }
    put_line(out, KT_STR("Idempotency-Key"), kt_str_n(exchange->key, exchange->key_len));
    return 1;
}

bool kt_request_head(struct kt_exchange *exchange, struct kt_buf *out)
{
    uint32_t count;

    kt_buf_clear(out);
    kt_buf_append_str(out, exchange->request.method_text);
    kt_buf_append_byte(out, ' ');
    kt_buf_append_str(out, exchange->route.target);
    kt_buf_append_str(out, KT_STR(" HTTP/1.1\r\nHost: "));
    kt_buf_append_text(out, exchange->peer->node->addr);
    kt_buf_append(out, "\r\n", 2);
    count = put_client_headers(exchange, out);
    count += put_key(exchange, out);
    put_line(out, KT_STR("X-Request-Id"), kt_str_n(exchange->request_id, exchange->request_id_len));
    if (exchange->route.kind == KT_CLASS_ADMIN) {
        put_signature(exchange, out);
    } else {
        put_forwarded(exchange, out);
    }
    put_timeout(exchange, out);
    put_framing(exchange, out);
    kt_buf_append(out, "\r\n", 2);
    return count + ADDED_HEADERS_MAX <= KT_HTTP_HEADERS_MAX &&
           out->len_bytes <= KT_HTTP_HEAD_BYTES_MAX;
}

/* SPDX-License-Identifier: MIT */
#include "wire.h"

#include "../kt_test.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- raw bytes ---- */

bool wire_open(struct wire *wire, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1;

    memset(wire, 0, sizeof(*wire));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    wire->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (wire->fd < 0 || connect(wire->fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        wire_close(wire);
        return false;
    }
    (void)setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return true;
}

void wire_close(struct wire *wire)
{
    if (wire->fd >= 0) {
        close(wire->fd);
    }
    wire->fd = -1;
    free(wire->data);
    wire->data = NULL;
    wire->len = wire->cap = 0;
}

bool wire_send(struct wire *wire, const void *data, size_t len)
{
    const char *pos = data;

    while (len > 0) {
        ssize_t sent = send(wire->fd, pos, len, MSG_NOSIGNAL);

        if (sent <= 0) {
            return false;
        }
        pos += sent;
        len -= (size_t)sent;
    }
    return true;
}

bool wire_text(struct wire *wire, const char *text)
{
    return wire_send(wire, text, strlen(text));
}

bool wire_finish(struct wire *wire)
{
    return shutdown(wire->fd, SHUT_WR) == 0;
}

/* Receives something, until the deadline; false at the end. */
static bool receive(struct wire *wire, int64_t deadline_ms)
{
    struct pollfd waiting = {wire->fd, POLLIN, 0};
    int64_t left_ms = deadline_ms - kt_now_mono_ms();
    ssize_t got;

    if (wire->ended || left_ms <= 0 || poll(&waiting, 1, (int)left_ms) <= 0) {
        return false;
    }
    if (wire->cap - wire->len < 65536) {
        wire->cap = wire->cap * 2 + 131072;
        wire->data = realloc(wire->data, wire->cap);
    }
    got = recv(wire->fd, wire->data + wire->len, wire->cap - wire->len - 1, 0);
    if (got <= 0) {
        wire->ended = true;
        wire->reset = got < 0 && errno == ECONNRESET;
        return false;
    }
    wire->len += (size_t)got;
    wire->data[wire->len] = '\0';
    return true;
}

static void take(struct wire *wire, size_t len)
{
    memmove(wire->data, wire->data + len, wire->len - len + 1);
    wire->len -= len;
}

const char *wire_header(const struct wire_answer *answer, const char *name)
{
    static _Thread_local char value[1024];
    const char *line = strchr(answer->head, '\n');
    size_t name_len = strlen(name);

    value[0] = '\0';
    for (; line && line[1]; line = strchr(line + 1, '\n')) {
        if (strncasecmp(line + 1, name, name_len) == 0 && line[1 + name_len] == ':') {
            const char *from = line + 1 + name_len + 1;

            while (*from == ' ') {
                from++;
            }
            snprintf(value, sizeof(value), "%.*s", (int)strcspn(from, "\r\n"), from);
            break;
        }
    }
    return value;
}

static bool need(struct wire *wire, size_t len, int64_t deadline_ms)
{
    while (wire->len < len) {
        if (!receive(wire, deadline_ms)) {
            return false;
        }
    }
    return true;
}

static void add_body(struct wire_answer *answer, const char *data, size_t len)
{
    answer->body = realloc(answer->body, answer->body_len + len + 1);
    memcpy(answer->body + answer->body_len, data, len);
    answer->body_len += len;
    answer->body[answer->body_len] = '\0';
}

static bool read_chunks(struct wire *wire, struct wire_answer *answer, int64_t deadline_ms)
{
    for (;;) {
        char *end;
        size_t size, line;

        while (wire->len == 0 || !(end = strstr(wire->data, "\r\n"))) {
            if (!receive(wire, deadline_ms)) {
                return false;
            }
        }
        size = strtoul(wire->data, NULL, 16);
        line = (size_t)(end - wire->data) + 2;
        if (!need(wire, line + size + 2, deadline_ms)) {
            return false;
        }
        add_body(answer, wire->data + line, size);
        take(wire, line + size + 2);
        if (size == 0) {
            return true;
        }
    }
}

bool wire_answer(struct wire *wire, struct wire_answer *answer, bool to_head)
{
    int64_t deadline_ms = kt_now_mono_ms() + WIRE_WAIT_MS;
    const char *length;
    char *end;

    memset(answer, 0, sizeof(*answer));
    while (wire->len == 0 || !(end = strstr(wire->data, "\r\n\r\n"))) {
        if (!receive(wire, deadline_ms)) {
            return false;
        }
    }
    snprintf(answer->head, sizeof(answer->head), "%.*s", (int)(end - wire->data) + 2, wire->data);
    take(wire, (size_t)(end - wire->data) + 4);
    answer->status = atoi(answer->head + 9);
    add_body(answer, "", 0);
    if (to_head || answer->status < 200 || answer->status == 204 || answer->status == 304) {
        answer->whole = true;
        return true;
    }
    length = wire_header(answer, "Content-Length");
    if (length[0]) {
        size_t size = strtoul(length, NULL, 10);

        answer->whole = need(wire, size, deadline_ms);
        size = answer->whole ? size : wire->len;
        add_body(answer, wire->data, size);
        take(wire, size);
    } else if (strcmp(wire_header(answer, "Transfer-Encoding"), "chunked") == 0) {
        answer->whole = read_chunks(wire, answer, deadline_ms);
    } else {
        while (receive(wire, deadline_ms)) {
        }
        add_body(answer, wire->data, wire->len);
        answer->whole = wire->ended && !wire->reset;
        take(wire, wire->len);
    }
    return true;
}

void wire_answer_free(struct wire_answer *answer)
{
    free(answer->body);
    answer->body = NULL;
}

bool wire_ends(struct wire *wire, int64_t wait_ms)
{
    int64_t deadline_ms = kt_now_mono_ms() + wait_ms;

    while (receive(wire, deadline_ms)) {
    }
    return wire->ended;
}

int wire_once(uint16_t port, const char *text, struct wire_answer *answer)
{
    struct wire wire;
    bool got;

    memset(answer, 0, sizeof(*answer));
    if (!wire_open(&wire, port)) {
        return -1;
    }
    got = wire_text(&wire, text) && wire_answer(&wire, answer, false);
    wire_close(&wire);
    return got ? answer->status : 0;
}

/* ---- the world ---- */

struct kt_http_server_options world_options;
struct kt_http_server *world;
atomic_int world_gated, world_done, world_handled, world_pulled;
atomic_bool world_gate;

static void answer_echo(void *ctx, struct kt_http_request *request,
                        struct kt_http_response *response)
{
    (void)ctx;
    atomic_fetch_add(&world_handled, 1);
    kt_buf_append_str(&response->body, request->body);
}

static void answer_what(void *ctx, struct kt_http_request *request,
                        struct kt_http_response *response)
{
    (void)ctx;
    atomic_fetch_add(&world_handled, 1);
    kt_buf_printf(&response->body, "%s %.*s|%.*s|%.*s|%lld|%s|%d|%.*s",
                  kt_http_method_name(request->method), KT_STR_ARG(request->raw_target),
                  KT_STR_ARG(request->path), KT_STR_ARG(request->query),
                  (long long)request->content_length, request->remote_host,
                  request->remote_is_loopback, KT_STR_ARG(kt_http_header(request, "X-Test")));
}

static void answer_pull(void *ctx, struct kt_http_request *request,
                        struct kt_http_response *response)
{
    struct kt_error err = KT_ERROR_INIT;
    char piece[1000];
    size_t len = 0, total = 0;
    enum kt_status status;

    (void)ctx;
    atomic_fetch_add(&world_handled, 1);
    do {
        status = request->pull->read(request->pull->ctx, piece, sizeof(piece), &len, &err);
        total += status == KT_OK ? len : 0;
    } while (status == KT_OK && len > 0);
    atomic_store(&world_pulled, (int)status);
    kt_buf_printf(&response->body, "pulled=%zu status=%s", total, kt_status_name(status));
}

/* Looks at the body no sooner than the gate is open; answers with it. */
static void answer_late(void *ctx, struct kt_http_request *request,
                        struct kt_http_response *response)
{
    int64_t deadline_ms = kt_now_mono_ms() + WIRE_WAIT_MS;
    struct kt_error err = KT_ERROR_INIT;
    char piece[1000];
    size_t len = 0;
    enum kt_status status;

    (void)ctx;
    atomic_fetch_add(&world_gated, 1);
    while (!atomic_load(&world_gate) && kt_now_mono_ms() < deadline_ms) {
        kt_test_pause();
    }
    atomic_fetch_sub(&world_gated, 1);
    do {
        status = request->pull->read(request->pull->ctx, piece, sizeof(piece), &len, &err);
        kt_buf_append(&response->body, piece, status == KT_OK ? len : 0);
    } while (status == KT_OK && len > 0);
    kt_buf_append_text(&response->body, kt_status_name(status));
}

static void answer_half(void *ctx, struct kt_http_request *request,
                        struct kt_http_response *response)
{
    struct kt_error err = KT_ERROR_INIT;
    char piece[4];
    size_t len = 0;

    (void)ctx;
    (void)!request->pull->read(request->pull->ctx, piece, sizeof(piece), &len, &err);
    kt_buf_append_text(&response->body, "half");
}

static void answer_big(void *ctx, struct kt_http_request *request,
                       struct kt_http_response *response)
{
    (void)ctx, (void)request;
    for (int i = 0; i < 100000; i++) {
        kt_buf_append_text(&response->body, "0123456789");
    }
}

/* More than any socket's buffers hold. */
static void answer_huge(void *ctx, struct kt_http_request *request,
                        struct kt_http_response *response)
{
    for (int i = 0; i < 7; i++) {
        answer_big(ctx, request, response);
    }
}

static void answer_close(void *ctx, struct kt_http_request *request,
                         struct kt_http_response *response)
{
    (void)ctx, (void)request;
    response->close = true;
    kt_buf_append_text(&response->body, "bye");
}

static void answer_gate(void *ctx, struct kt_http_request *request,
                        struct kt_http_response *response)
{
    int64_t deadline_ms = kt_now_mono_ms() + WIRE_WAIT_MS;

    (void)ctx, (void)request;
    atomic_fetch_add(&world_gated, 1);
    while (!atomic_load(&world_gate) && kt_now_mono_ms() < deadline_ms) {
        kt_test_pause();
    }
    atomic_fetch_sub(&world_gated, 1);
    kt_buf_append_text(&response->body, "through");
}

static void answer_error(void *ctx, struct kt_http_request *request,
                         struct kt_http_response *response)
{
    (void)ctx, (void)request;
    response->status = 500;
    kt_http_response_header(response, "X-Bad", KT_STR("a\r\nb: c"));
}

static void answer_state(void *ctx, struct kt_http_request *request,
                         struct kt_http_response *response)
{
    (void)ctx, (void)request;
    response->untagged = true;
    kt_buf_append_text(&response->body, "well");
}

static void answer_time(void *ctx, struct kt_http_request *request,
                        struct kt_http_response *response)
{
    (void)ctx;
    kt_buf_printf(&response->body, "%lld %s",
                  (long long)(request->deadline_mono_ms - kt_now_mono_ms()),
                  request->deadline_given ? "given" : "default");
}

/* ---- streams ---- */

struct stream {
    int next, parts, fail_at; /* fails before this part; -1 = never */
};

static enum kt_status stream_next(void *ctx, struct kt_buf *chunk, struct kt_error *err)
{
    struct stream *stream = ctx;

    if (stream->next == stream->fail_at) {
        return kt_fail(err, KT_IO, "the disk is gone");
    }
    if (stream->next < stream->parts) {
        kt_buf_printf(chunk, "part-%d\n", stream->next++);
    }
    return KT_OK;
}

static enum kt_status stream_endless(void *ctx, struct kt_buf *chunk, struct kt_error *err)
{
    (void)ctx, (void)err;
    for (int i = 0; i < 6000; i++) {
        kt_buf_append_text(chunk, "0123456789");
    }
    return KT_OK;
}

static enum kt_status stream_forever(void *ctx, struct kt_buf *chunk, struct kt_error *err)
{
    (void)ctx, (void)err;
    kt_test_pause();
    kt_buf_append_text(chunk, "tick\n");
    return KT_OK;
}

static void stream_done(void *ctx)
{
    free(ctx);
    atomic_fetch_add(&world_done, 1);
}

static void start_stream(struct kt_http_response *response, int parts, int fail_at)
{
    struct stream *stream = malloc(sizeof(*stream));

    *stream = (struct stream){0, parts, fail_at};
    response->content_type = "application/x-ndjson";
    response->stream_next = stream_next;
    response->stream_done = stream_done;
    response->stream_ctx = stream;
}

static void answer_stream(void *ctx, struct kt_http_request *request,
                          struct kt_http_response *response)
{
    (void)ctx, (void)request;
    start_stream(response, 5, -1);
}

static void answer_empty_stream(void *ctx, struct kt_http_request *request,
                                struct kt_http_response *response)
{
    (void)ctx, (void)request;
    start_stream(response, 0, -1);
}

static void answer_broken_stream(void *ctx, struct kt_http_request *request,
                                 struct kt_http_response *response)
{
    (void)ctx, (void)request;
    start_stream(response, 5, 3);
}

static void answer_failed_stream(void *ctx, struct kt_http_request *request,
                                 struct kt_http_response *response)
{
    (void)ctx, (void)request;
    start_stream(response, 5, 0);
}

static void answer_endless(void *ctx, struct kt_http_request *request,
                           struct kt_http_response *response)
{
    (void)ctx, (void)request;
    start_stream(response, 1, -1);
    response->stream_next = stream_endless;
}

static void answer_forever(void *ctx, struct kt_http_request *request,
                           struct kt_http_response *response)
{
    (void)ctx, (void)request;
    start_stream(response, 1, -1);
    response->stream_next = stream_forever;
}

#define GET_POST (KT_HTTP_GET | KT_HTTP_POST)

static const struct kt_http_route routes[] = {
    {GET_POST, "/echo", KT_ACCESS_PUBLIC, false, answer_echo, true},
    {GET_POST, "/what", KT_ACCESS_PUBLIC, false, answer_what, true},
    {KT_HTTP_POST, "/pull", KT_ACCESS_PUBLIC, true, answer_pull, true},
    {KT_HTTP_POST, "/late", KT_ACCESS_PUBLIC, true, answer_late, true},
    {KT_HTTP_POST, "/half", KT_ACCESS_PUBLIC, true, answer_half, true},
    {KT_HTTP_GET, "/big", KT_ACCESS_PUBLIC, false, answer_big, true},
    {KT_HTTP_GET, "/huge", KT_ACCESS_PUBLIC, false, answer_huge, true},
    {KT_HTTP_GET, "/close", KT_ACCESS_PUBLIC, false, answer_close, true},
    {GET_POST, "/gate", KT_ACCESS_PUBLIC, false, answer_gate, true},
    {KT_HTTP_GET, "/error", KT_ACCESS_PUBLIC, false, answer_error, true},
    {KT_HTTP_GET, "/state", KT_ACCESS_PUBLIC, false, answer_state, true},
    {KT_HTTP_GET, "/time", KT_ACCESS_PUBLIC, false, answer_time, true},
    {KT_HTTP_GET, "/stream/forever", KT_ACCESS_PUBLIC, false, answer_forever, true},
    {KT_HTTP_GET, "/stream", KT_ACCESS_PUBLIC, false, answer_stream, true},
    {KT_HTTP_GET, "/stream/empty", KT_ACCESS_PUBLIC, false, answer_empty_stream, true},
    {KT_HTTP_GET, "/stream/broken", KT_ACCESS_PUBLIC, false, answer_broken_stream, true},
    {KT_HTTP_GET, "/stream/failed", KT_ACCESS_PUBLIC, false, answer_failed_stream, true},
    {KT_HTTP_GET, "/stream/endless", KT_ACCESS_PUBLIC, false, answer_endless, true},
};

static void decorate(void *ctx, struct kt_http_response *response)
{
    (void)ctx;
    kt_http_response_header(response, "X-Kamaitachi-Node", KT_STR("test"));
}

void world_defaults(void)
{
    static struct kt_http_router router = {routes, sizeof(routes) / sizeof(routes[0]), NULL, NULL};

    world_options = (struct kt_http_server_options){
        .listen = "127.0.0.1",
        .port = 0,
        .num_threads = 16,
        .body_max_bytes = 100000,
        .body_memory_bytes = 64 << 20,
        .response_max_bytes = 8 << 20,
        .request_timeout_ms = 5000,
        .idle_timeout_ms = 5000,
        .first_byte_ms = 5000,
        .router = &router,
        .decorate = decorate,
    };
}

bool world_start(void)
{
    struct kt_error err = KT_ERROR_INIT;

    world_stop(); /* what a failed test has left */
    atomic_store(&world_gate, false);
    atomic_store(&world_gated, 0);
    atomic_store(&world_done, 0);
    atomic_store(&world_handled, 0);
    if (kt_http_server_start(&world_options, &world, &err) != KT_OK) {
        kt_test_fail(__FILE__, __LINE__, "server: %s", err.message);
        return false;
    }
    return true;
}

void world_stop(void)
{
    atomic_store(&world_gate, true);
    kt_http_server_stop(&world, kt_now_mono_ms() + 3000);
}

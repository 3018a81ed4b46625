/* SPDX-License-Identifier: MIT */
/* fetch.c - one GET on an event loop. */
#include <uv.h>

#include "gateway/fetch.h"

#include "base/mem.h"

#include <string.h>

struct kt_fetch {
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_connect_t connecting;
    uv_write_t writing;
    struct kt_fetch_call call;
    struct kt_buf request, answer;
    uint64_t started_ms;
    struct kt_h1_scan scan;
    struct kt_h1_chunks chunks;
    struct kt_h1_response response;
    size_t head_len;
    size_t decoded; /* bytes of body so far, chunks taken apart */
    bool has_head, finished;
    int open_handles;
};

static void on_closed(uv_handle_t *handle)
{
    struct kt_fetch *fetch = handle->data;

    if (--fetch->open_handles == 0) {
        kt_buf_done(&fetch->request);
        kt_buf_done(&fetch->answer);
        kt_free(fetch);
    }
}

static void finish(struct kt_fetch *fetch, enum kt_status status, const char *why)
{
    struct kt_fetch_result result = {.status = status, .why = why};

    if (fetch->finished) {
        return;
    }
    fetch->finished = true;
    result.took_ms = (int64_t)(uv_now(fetch->timer.loop) - fetch->started_ms);
    if (status == KT_OK) {
        /* Once more: the buffer may have moved since the head was understood. */
        (void)kt_h1_parse_response(kt_str_n(fetch->answer.data, fetch->head_len), false,
                                   &fetch->response);
        result.response = &fetch->response;
        result.body = kt_str_n(fetch->answer.data + fetch->head_len, fetch->decoded);
    }
    uv_close((uv_handle_t *)&fetch->tcp, on_closed);
    uv_close((uv_handle_t *)&fetch->timer, on_closed);
    fetch->call.done(fetch->call.ctx, &result);
}

static void on_timeout(uv_timer_t *timer)
{
    finish(timer->data, KT_TIMEOUT, "no answer in time");
}

/* The head is whole: understand it once, and keep its bytes where they are. */
static bool take_head(struct kt_fetch *fetch)
{
    enum kt_h1_verdict verdict = kt_h1_scan_response(&fetch->scan, fetch->answer.data,
                                                     fetch->answer.len_bytes, &fetch->head_len);

    if (verdict == KT_H1_OK) {
        verdict = kt_h1_parse_response(kt_str_n(fetch->answer.data, fetch->head_len), false,
                                       &fetch->response);
        fetch->has_head = verdict == KT_H1_OK;
    }
    if (verdict != KT_H1_OK && verdict != KT_H1_MORE) {
        finish(fetch, KT_BAD_GATEWAY, "the answer is not HTTP");
    }
    return fetch->has_head;
}

static void take_body(struct kt_fetch *fetch)
{
    struct kt_h1_response *response = &fetch->response;
    size_t behind = fetch->answer.len_bytes - fetch->head_len;

    if (!response->has_body) {
        finish(fetch, KT_OK, "");
    } else if (response->head.chunked) {
        size_t used, payload;
        char *fresh = fetch->answer.data + fetch->head_len + fetch->decoded;
        enum kt_h1_verdict verdict =
            kt_h1_chunks_decode(&fetch->chunks, fresh, behind - fetch->decoded, &used, &payload);

        fetch->decoded += payload;
        fetch->answer.len_bytes = fetch->head_len + fetch->decoded;
        if (verdict == KT_H1_OK) {
            finish(fetch, KT_OK, "");
        } else if (verdict != KT_H1_MORE) {
            finish(fetch, KT_BAD_GATEWAY, "the answer's chunks are broken");
        }
    } else {
        fetch->decoded = behind;
        if (!response->until_close && behind >= (uint64_t)response->head.content_length) {
            fetch->decoded = (size_t)response->head.content_length;
            finish(fetch, KT_OK, "");
        }
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct kt_fetch *fetch = handle->data;
    struct kt_buf *answer = &fetch->answer;

    (void)suggested;
    if (!kt_buf_reserve(answer, 4096)) {
        *ret_buf = uv_buf_init(NULL, 0);
        return;
    }
    *ret_buf = uv_buf_init(answer->data + answer->len_bytes, 4096);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct kt_fetch *fetch = stream->data;

    (void)buf;
    if (fetch->finished || count == 0) {
        return;
    }
    if (count == UV_ENOBUFS) {
        finish(fetch, KT_TOO_LARGE, "the answer is too large");
    } else if (count == UV_EOF && fetch->has_head && fetch->response.until_close) {
        finish(fetch, KT_OK, "");
    } else if (count < 0) {
        finish(fetch, KT_BAD_GATEWAY, "the connection broke");
    } else {
        fetch->answer.len_bytes += (size_t)count;
        if (fetch->has_head || take_head(fetch)) {
            take_body(fetch);
        }
    }
}

static void on_written(uv_write_t *request, int status)
{
    struct kt_fetch *fetch = request->data;

    if (status < 0 && status != UV_ECANCELED) {
        finish(fetch, KT_BAD_GATEWAY, "the connection broke");
    }
}

static void on_connected(uv_connect_t *request, int status)
{
    struct kt_fetch *fetch = request->data;
    uv_buf_t buf;

    if (fetch->finished) {
        return;
    }
    if (status < 0) {
        finish(fetch, KT_UNAVAILABLE, uv_strerror(status));
        return;
    }
    buf = uv_buf_init(fetch->request.data, (unsigned)fetch->request.len_bytes);
    fetch->writing.data = fetch;
    if (uv_write(&fetch->writing, (uv_stream_t *)&fetch->tcp, &buf, 1, on_written) < 0 ||
        uv_read_start((uv_stream_t *)&fetch->tcp, on_alloc, on_read) < 0) {
        finish(fetch, KT_BAD_GATEWAY, "the connection broke");
    }
}

/* A failure to even begin is told from the loop, like any other. */
static void on_stillborn(uv_timer_t *timer)
{
    finish(timer->data, KT_UNAVAILABLE, "cannot connect");
}

struct kt_fetch *kt_fetch_start(uv_loop_t *loop, const struct kt_fetch_call *call)
{
    struct kt_fetch *fetch = kt_calloc(1, sizeof(*fetch));

    if (!fetch) {
        return NULL;
    }
    fetch->call = *call;
    kt_buf_init(&fetch->request, 0);
    kt_buf_init(&fetch->answer, call->max_bytes);
    kt_h1_chunks_init(&fetch->chunks);
    kt_buf_printf(&fetch->request,
                  "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: kamaitachi-gateway\r\n"
                  "Accept: application/json\r\nConnection: close\r\n\r\n",
                  call->path, call->host);
    if (kt_buf_status(&fetch->request) != KT_OK || uv_tcp_init(loop, &fetch->tcp) != 0) {
        kt_buf_done(&fetch->request);
        kt_free(fetch);
        return NULL;
    }
    uv_timer_init(loop, &fetch->timer);
    fetch->open_handles = 2;
    fetch->tcp.data = fetch->timer.data = fetch->connecting.data = fetch;
    fetch->started_ms = uv_now(loop);
    if (uv_tcp_connect(&fetch->connecting, &fetch->tcp, call->sockaddr, on_connected) < 0) {
        uv_timer_start(&fetch->timer, on_stillborn, 0, 0);
    } else {
        uv_timer_start(&fetch->timer, on_timeout, (uint64_t)call->timeout_ms, 0);
    }
    return fetch;
}

void kt_fetch_cancel(struct kt_fetch *fetch)
{
    finish(fetch, KT_BUSY, "cancelled");
}

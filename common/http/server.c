/* SPDX-License-Identifier: MIT */
/* server.c - civetweb's callbacks, and the life of a request.
 *
 * For each request: check the head, find the route and judge the caller, read the body (unless the
 * route pulls it), run the handler, send the answer. Callers are judged before their body is read,
 * so that a stranger can't make us hold one; only a signature covers the body, so there it comes
 * first.
 */
#include "http/server.h"

#include "http/server_impl.h"

#include <civetweb.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/envelope.h"

#include <string.h>

#define ARENA_FIRST_BYTES 16384
#define ARENA_MAX_BYTES (64u << 20)
#define TRIM_BYTES (32 << 20)

static void *on_thread_start(const struct mg_context *context, int type)
{
    struct kt_http_server *server = mg_get_user_data(context);
    struct kt_http_worker *worker;

    if (type != 1) {
        return NULL; /* civetweb's own threads */
    }
    worker = kt_calloc(1, sizeof(*worker));
    if (!worker) {
        return NULL;
    }
    worker->server = server;
    worker->sock = KT_NO_SOCKET;
    worker->share.budget = server->held;
    worker->parse.budget = server->parsed;
    kt_buf_init(&worker->out, 0);
    kt_buf_init(&worker->chunk, 0);
    kt_buf_init(&worker->body, 0);
    kt_buf_init(&worker->answer, 0);
    kt_mutex_lock(&server->lock);
    worker->next = server->workers;
    if (worker->next) {
        worker->next->prev = worker;
    }
    server->workers = worker;
    kt_mutex_unlock(&server->lock);
    return worker;
}

static void on_thread_end(const struct mg_context *context, int type, void *thread_pointer)
{
    struct kt_http_server *server = mg_get_user_data(context);
    struct kt_http_worker *worker = thread_pointer;

    if (type != 1 || !worker) {
        return;
    }
    kt_mutex_lock(&server->lock);
    if (worker->prev) {
        worker->prev->next = worker->next;
    } else {
        server->workers = worker->next;
    }
    if (worker->next) {
        worker->next->prev = worker->prev;
    }
    server->gone_requests += atomic_load(&worker->requests);
    server->gone_errors += atomic_load(&worker->errors);
    server->gone_connections += atomic_load(&worker->connections);
    kt_mutex_unlock(&server->lock);
    kt_arena_free(&worker->arena);
    kt_buf_done(&worker->out);
    kt_buf_done(&worker->chunk);
    kt_buf_done(&worker->body);
    kt_buf_done(&worker->answer);
    kt_free(worker);
}

/* Workers that never serve hold no arena: threads are many, connections often few. */
static bool has_arena(struct kt_http_worker *worker)
{
    if (!worker->arena) {
        worker->arena = kt_arena_new(ARENA_FIRST_BYTES, ARENA_MAX_BYTES);
    }
    return worker->arena != NULL;
}

static int on_connection(const struct mg_connection *conn, void **conn_data)
{
    struct kt_http_worker *worker = mg_get_thread_pointer(conn);

    *conn_data = NULL;
    if (worker) {
        worker->answered = worker->met = false;
        kt_http_state(worker, KT_CONN_NEW, INT64_MAX);
        atomic_fetch_add_explicit(&worker->connections, 1, memory_order_relaxed);
    }
    return 0;
}

/* Once per connection, with its first request: before, civetweb does not tell who it is. */
static void meet_peer(struct kt_http_worker *worker, const struct mg_connection *conn)
{
    const struct mg_request_info *info = mg_get_request_info(conn);
    struct kt_http_request *request = &worker->request;
    struct kt_http_server *server = worker->server;

    if (worker->met || !info) {
        return;
    }
    worker->met = true;
    worker->accepted_ms = kt_now_mono_ms();
    worker->bytes_before = worker->bytes_here = 0;
    kt_str_copy(request->remote_host, sizeof(request->remote_host), kt_str(info->remote_addr));
    request->remote_port = (uint16_t)info->remote_port;
    request->remote_is_loopback = kt_host_is_loopback(request->remote_host);
    kt_mutex_lock(&server->lock);
    worker->sock =
        kt_http_socket_find(server->owned, info->remote_addr, request->remote_port, server->port);
    if (worker->sock != KT_NO_SOCKET) {
        const struct kt_http_stranger *entry = &server->strangers[worker->sock];

        server->owned[worker->sock / 64] |= UINT64_C(1) << (worker->sock % 64);
        if (entry->peer_port == request->remote_port) {
            worker->accepted_ms = entry->since_ms;
        }
    }
    kt_mutex_unlock(&server->lock);
}

/* civetweb closes without a word when the target is "*" or names another server: it takes us for
 * no proxy, and calls nobody. The connection is still whole here, so the answer is sent from here
 * (mg_write needs no lock that is held). */
static void answer_unheard(struct kt_http_worker *worker, const struct mg_connection *conn)
{
    const struct mg_request_info *info = mg_get_request_info(conn);
    struct kt_error err = KT_ERROR_INIT;

    if (worker->answered || !info->request_method || !info->http_version || info->local_uri_raw ||
        !has_arena(worker)) {
        return;
    }
    (void)kt_fail(&err, KT_BAD_REQUEST,
                  "malformed request: the target is not a path of this server");
    kt_http_answer_refusal(worker, (struct mg_connection *)conn, &err);
}

static void on_connection_close(const struct mg_connection *conn)
{
    struct kt_http_worker *worker = mg_get_thread_pointer(conn);
    struct kt_http_server *server;

    if (!worker) {
        return;
    }
    server = worker->server;
    answer_unheard(worker, conn);
    kt_mutex_lock(&server->lock);
    if (worker->sock != KT_NO_SOCKET) {
        server->owned[worker->sock / 64] &= ~(UINT64_C(1) << (worker->sock % 64));
        worker->sock = KT_NO_SOCKET;
    }
    worker->shed = false;
    worker->seen_ms = 0;
    kt_http_state(worker, KT_CONN_NONE, INT64_MAX);
    kt_mutex_unlock(&server->lock);
}

static int on_log(const struct mg_connection *conn, const char *message)
{
    struct kt_http_server *server = mg_get_user_data(mg_get_context(conn));

    if (server && !atomic_load(&server->started) && server->start_error[0] == '\0') {
        kt_str_copy(server->start_error, sizeof(server->start_error), kt_str(message));
    }
    kt_log(WARN, "http", "library", "message=\"%s\"", message);
    return 1;
}

/* civetweb says "malformed" of a head that fills its buffer without an end. Where heads lie is
 * known from an earlier request of this worker: then it is too long if it holds nothing malformed.
 * For the first request the count of bytes that civetweb has taken must do. */
static bool head_fills_buffer(const struct kt_http_worker *worker)
{
    const char *head = worker->head_base;

    if (!head) {
        return kt_http_socket_taken(worker->sock) == KT_HTTP_HEAD_BYTES_MAX;
    }
    for (size_t i = 0; i < KT_HTTP_HEAD_BYTES_MAX; i++) {
        unsigned char c = (unsigned char)head[i];

        if ((c < 0x20 && c != '\r' && c != '\n') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

static int on_library_error(struct mg_connection *conn, int status, const char *message)
{
    struct kt_http_worker *worker = mg_get_thread_pointer(conn);
    struct kt_error err = KT_ERROR_INIT;

    if (!worker || !has_arena(worker)) {
        return 1;
    }
    meet_peer(worker, conn);
    if (status == 413 || (status == 400 && head_fills_buffer(worker))) {
        (void)kt_fail(&err, KT_HEAD_TOO_LARGE, "the request's head is larger than %d bytes",
                      KT_HTTP_HEAD_BYTES_MAX);
    } else if (status == 411) {
        (void)kt_fail_field(&err, KT_BAD_REQUEST, "Content-Length",
                            "Content-Length: expected digits only");
    } else if (status == 505) {
        (void)kt_fail(&err, KT_BAD_REQUEST, "malformed request: expected HTTP/1.0 or HTTP/1.1");
    } else if (status >= 500) {
        (void)kt_fail(&err, KT_INTERNAL, "%s", message);
    } else {
        (void)kt_fail(&err, KT_BAD_REQUEST, "malformed request: the head could not be parsed");
    }
    atomic_fetch_add_explicit(&worker->requests, 1, memory_order_relaxed);
    kt_http_answer_refusal(worker, conn, &err);
    return 0;
}

static bool is_signed(const struct kt_http_request *request)
{
    return kt_http_header(request, "X-Kamaitachi-Auth").data != NULL;
}

/* Everything before the handler. On success *ret_route is set and the body is there. */
static enum kt_status prepare(struct kt_http_worker *worker, const struct kt_http_route **ret_route,
                              unsigned *ret_allowed, struct kt_error *err)
{
    const struct kt_http_router *router = worker->server->options.router;
    struct kt_http_request *request = &worker->request;
    const struct kt_http_route *route, *other;
    bool signed_body = is_signed(request);
    enum kt_status status;

    if (atomic_load_explicit(&worker->server->stopping, memory_order_relaxed)) {
        return kt_fail(err, KT_UNAVAILABLE, "this node is stopping");
    }
    route = kt_router_peek(router, request->method, request->path, &other, ret_allowed);
    /* A signature covers the body, of a path that is not built too. */
    if (route && route->pull_body) {
        kt_http_body_pull_init(worker);
    } else if (signed_body) {
        status = kt_http_body_read_whole(worker, err);
        if (status != KT_OK) {
            return status;
        }
    }
    status = kt_router_find(router, request, ret_route, ret_allowed, err);
    if (status == KT_OK && request->pull && !kt_http_long_begin(worker)) {
        return kt_fail(err, KT_BUSY, "half of the workers are busy with imports and streams");
    }
    if (status == KT_OK && !request->pull && !signed_body) {
        status = kt_http_body_read_whole(worker, err);
    }
    return status;
}

static void log_request(const struct kt_http_worker *worker, int64_t began_us)
{
    const struct kt_http_request *request = &worker->request;

    /* The event is the request's id: the log counts repeats of one event instead of writing them,
     * which an access log must not. */
    kt_log(INFO, "access", request->request_id,
           "peer=%s method=%s target=\"" KT_STR_FMT "\" status=%d us=%lld", request->remote_host,
           kt_http_method_name(request->method), KT_STR_ARG(request->raw_target),
           worker->response.status, (long long)(kt_now_mono_us() - began_us));
}

/* The response's buffer is the worker's own, lent for one request, so that a warm worker allocates
 * nothing. */
static void begin_response(struct kt_http_worker *worker)
{
    kt_http_response_init(&worker->response, worker->arena,
                          (size_t)worker->server->options.response_max_bytes);
    worker->answer.max_bytes = worker->response.body.max_bytes;
    kt_buf_clear(&worker->answer);
    worker->response.body = worker->answer;
    worker->response.body.share = &worker->share;
    kt_buf_init(&worker->answer, 0);
}

static void end_response(struct kt_http_worker *worker)
{
    struct kt_buf *body = &worker->response.body;

    if (body->cap_bytes <= KT_HTTP_KEEP_BYTES_MAX) {
        worker->answer = *body;
        kt_buf_init(body, 0);
    }
    kt_http_response_done(&worker->response);
}

static void serve(struct kt_http_worker *worker, const struct mg_request_info *info)
{
    const struct kt_http_route *route = NULL;
    struct kt_error err = KT_ERROR_INIT;
    unsigned allowed = 0;
    bool fatal = false;
    enum kt_status status;

    begin_response(worker);
    status = kt_http_read_head(worker, info, &fatal, &err);
    if (fatal) {
        worker->body_done = false;
        worker->body_broken = true;
    }
    if (status == KT_OK) {
        status = prepare(worker, &route, &allowed, &err);
    }
    if (status != KT_OK) {
        kt_http_body_skip(worker);
    }
    kt_router_serve(worker->server->options.router, &worker->request, route, status, allowed, &err,
                    &worker->response);
    if (status == KT_OK) {
        kt_content_finish(worker->server->content, &worker->request, &worker->response);
    }
    kt_http_answer_send(worker);
}

/* The heap keeps a large body's freed nodes for this thread, and the next such body may come to
 * another one: what is given back must be free for that too. */
static void give_shares_back(struct kt_http_worker *worker)
{
    if (worker->parse.held_bytes >= TRIM_BYTES) {
        kt_mem_trim();
    }
    kt_budget_share_give(&worker->parse);
    kt_budget_share_give(&worker->share);
}

static int on_request(struct mg_connection *conn)
{
    struct kt_http_worker *worker = mg_get_thread_pointer(conn);
    int64_t began_us = 0;
    int status;

    if (!worker || !has_arena(worker)) {
        kt_http_answer_no_memory(conn);
        if (worker) {
            meet_peer(worker, conn);
            worker->answered = true;
            kt_http_socket_linger(worker->sock, KT_HTTP_LINGER_MS, &worker->server->pressed);
        }
        return 500;
    }
    if (worker->server->options.access_log) {
        began_us = kt_now_mono_us();
    }
    kt_http_state(worker, KT_CONN_BUSY, INT64_MAX);
    atomic_fetch_add_explicit(&worker->requests, 1, memory_order_relaxed);
    worker->conn = conn;
    meet_peer(worker, conn);
    kt_arena_reset(worker->arena);
    serve(worker, mg_get_request_info(conn));
    status = worker->response.status;
    if (worker->server->options.access_log) {
        log_request(worker, began_us);
    }
    end_response(worker);
    give_shares_back(worker);
    kt_http_long_end(worker);
    return status;
}

static void on_request_end(const struct mg_connection *conn, int status)
{
    struct kt_http_worker *worker = mg_get_thread_pointer(conn);

    (void)status;
    if (worker) {
        worker->answered = false;
        kt_http_state(worker, KT_CONN_IDLE,
                      worker->now_ms + worker->server->options.idle_timeout_ms);
    }
}

const struct mg_callbacks *kt_http_callbacks(void)
{
    static const struct mg_callbacks callbacks = {
        .begin_request = on_request,
        .end_request = on_request_end,
        .log_message = on_log,
        .http_error = on_library_error,
        .init_thread = on_thread_start,
        .exit_thread = on_thread_end,
        .init_connection = on_connection,
        .connection_close = on_connection_close,
    };

    return &callbacks;
}

/* SPDX-License-Identifier: MIT */
/* server_life.c - start and stop.
 *
 * Stopping is quick in spite of civetweb, which looks at its stop flag every two seconds: first
 * answers say "close" and idle connections are shut, then, when what runs is done, the watch wakes
 * whatever still sleeps, the accept loop too.
 */
#include "http/server_impl.h"

#include <civetweb.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define DRAIN_LOOK_MS 5
#define FILES_OF_OTHERS 256
#define QUEUE_MIN 64

/* civetweb counts its users itself, but not safely between threads. */
static pthread_mutex_t library_lock = PTHREAD_MUTEX_INITIALIZER;

static void library_use(bool use)
{
    (void)pthread_mutex_lock(&library_lock);
    if (use) {
        (void)mg_init_library(MG_FEATURES_DEFAULT);
    } else {
        (void)mg_exit_library();
    }
    (void)pthread_mutex_unlock(&library_lock);
}

/* Refuses a port that somebody holds: civetweb would only log it. */
static enum kt_status check_port(const struct kt_http_server_options *options, struct kt_error *err)
{
    kt_socket probe = KT_NO_SOCKET;
    uint16_t port;
    enum kt_status status;

    if (options->port == 0) {
        return KT_OK;
    }
    status = kt_net_listen(options->listen, options->port, 1, &probe, &port, err);
    if (status == KT_OK) {
        kt_net_close(&probe);
    }
    return status;
}

/* Bounded by the files that this process may open, or databases could not be opened in a flood. */
static int queue_length(const struct kt_http_server_options *options)
{
    uint64_t other = (uint64_t)options->num_threads + FILES_OF_OTHERS;
    uint64_t files = kt_process_raise_files(other + KT_HTTP_QUEUE_MAX);

    if (files >= other + KT_HTTP_QUEUE_MAX) {
        return KT_HTTP_QUEUE_MAX;
    }
    return files > other + QUEUE_MIN ? (int)(files - other) : QUEUE_MIN;
}

static enum kt_status start_civetweb(struct kt_http_server *server, struct kt_error *err)
{
    const struct kt_http_server_options *options = &server->options;
    char address[KT_ADDR_MAX], threads[16], queue[16], idle[24], request[24], head[16];
    struct mg_server_port ports[2];
    int64_t longest_ms = options->idle_timeout_ms;
    const char *settings[] = {
        "listening_ports",
        address,
        "num_threads",
        threads,
        /* Accepted and waiting for a worker; the rest waits in the system's backlog, where nobody
         * sees who is silent. */
        "connection_queue",
        queue,
        "listen_backlog",
        "1024",
        "tcp_nodelay",
        "1",
        "enable_keep_alive",
        "yes",
        "keep_alive_timeout_ms",
        idle,
        "request_timeout_ms",
        request,
        "max_request_size",
        head,
        "decode_url",
        "no",
        "decode_query_string",
        "no",
        "enable_auth_domain_check",
        "no",
        NULL,
    };

    kt_addr_format(options->listen, options->port, address);
    (void)snprintf(threads, sizeof(threads), "%d", options->num_threads);
    (void)snprintf(queue, sizeof(queue), "%d", queue_length(options));
    (void)snprintf(idle, sizeof(idle), "%lld", (long long)options->idle_timeout_ms);
    /* The watch ends waits in time; civetweb's own bound must not come before it. */
    if (longest_ms < options->first_byte_ms) {
        longest_ms = options->first_byte_ms;
    }
    if (longest_ms < options->request_timeout_ms) {
        longest_ms = options->request_timeout_ms;
    }
    (void)snprintf(request, sizeof(request), "%lld", (long long)longest_ms + 1000);
    (void)snprintf(head, sizeof(head), "%d", KT_HTTP_HEAD_BYTES_MAX);
    server->context = mg_start(kt_http_callbacks(), server, settings);
    if (!server->context) {
        return kt_fail(err, KT_IO, "listen on %s: %s", address,
                       server->start_error[0] ? server->start_error : "civetweb did not start");
    }
    memset(ports, 0, sizeof(ports));
    if (mg_get_server_ports(server->context, 2, ports) < 1) {
        return kt_fail(err, KT_IO, "listen on %s: no port is bound", address);
    }
    kt_mutex_lock(&server->lock);
    server->port = (uint16_t)ports[0].port;
    kt_mutex_unlock(&server->lock);
    atomic_store(&server->started, true);
    return KT_OK;
}

static void end_watch(struct kt_http_server *server)
{
    kt_mutex_lock(&server->lock);
    server->watch_ends = true;
    kt_cond_broadcast(&server->wake);
    kt_mutex_unlock(&server->lock);
    kt_thread_join(&server->watch);
}

static void stop_civetweb(struct kt_http_server *server)
{
    if (!server->context) {
        return;
    }
    kt_mutex_lock(&server->lock);
    server->closing = true;
    kt_cond_broadcast(&server->wake);
    kt_mutex_unlock(&server->lock);
    mg_stop(server->context);
    server->context = NULL;
    kt_http_socket_close_strangers(server->port);
}

enum kt_status kt_http_server_start(const struct kt_http_server_options *options,
                                    struct kt_http_server **ret_server, struct kt_error *err)
{
    struct kt_http_server *server;
    enum kt_status status = check_port(options, err);

    if (status != KT_OK) {
        return status;
    }
    server = kt_calloc(1, sizeof(*server));
    if (server) {
        server->strangers = kt_calloc(KT_HTTP_FDS_MAX, sizeof(*server->strangers));
        server->scratch = kt_calloc(1, KT_HTTP_HEAD_BYTES_MAX);
        server->content = kt_content_new();
        server->held = kt_budget_new(options->body_memory_bytes / 2);
        server->parsed = kt_budget_new(options->body_memory_bytes / 2);
    }
    if (!server || !server->strangers || !server->scratch || !server->content || !server->held ||
        !server->parsed) {
        if (server) {
            kt_budget_free(&server->held);
            kt_budget_free(&server->parsed);
            kt_content_free(&server->content);
            kt_free(server->scratch);
            kt_free(server->strangers);
        }
        kt_free(server);
        return kt_fail(err, KT_NO_MEMORY, "no memory for the server");
    }
    server->options = *options;
    kt_str_copy(server->listen, sizeof(server->listen), kt_str(options->listen));
    server->options.listen = server->listen;
    kt_mutex_init(&server->lock, "http_server", KT_RANK_HTTP);
    kt_cond_init(&server->wake);
    library_use(true);
    status = kt_thread_start(&server->watch, "http_watch", kt_http_watch_run, server, err);
    if (status == KT_OK) {
        status = start_civetweb(server, err);
    }
    if (status != KT_OK) {
        kt_http_server_stop(&server, 0);
        return status;
    }
    *ret_server = server;
    return KT_OK;
}

uint16_t kt_http_server_port(const struct kt_http_server *server)
{
    return server->port;
}

void kt_http_server_stats(const struct kt_http_server *server, struct kt_http_server_stats *ret)
{
    struct kt_http_server *self = (struct kt_http_server *)server; /* only its lock changes */

    kt_mutex_lock(&self->lock);
    ret->requests = self->gone_requests;
    ret->errors = self->gone_errors;
    ret->connections = self->gone_connections;
    ret->active = 0;
    for (struct kt_http_worker *worker = self->workers; worker; worker = worker->next) {
        int state = atomic_load_explicit(&worker->state, memory_order_relaxed);

        ret->requests += atomic_load_explicit(&worker->requests, memory_order_relaxed);
        ret->errors += atomic_load_explicit(&worker->errors, memory_order_relaxed);
        ret->connections += atomic_load_explicit(&worker->connections, memory_order_relaxed);
        ret->active +=
            state == KT_CONN_BUSY || state == KT_CONN_READING || state == KT_CONN_WRITING;
    }
    kt_mutex_unlock(&self->lock);
}

void kt_http_server_drain(struct kt_http_server *server)
{
    atomic_store(&server->draining, true);
}

/* Until nothing runs, or the deadline. */
static void finish_requests(struct kt_http_server *server, int64_t deadline_mono_ms)
{
    struct kt_http_server_stats stats;
    int64_t now_ms;

    for (;;) {
        kt_http_wake_idle(server);
        kt_http_server_stats(server, &stats);
        now_ms = kt_now_mono_ms();
        if (stats.active == 0 || now_ms >= deadline_mono_ms) {
            return;
        }
        kt_mutex_lock(&server->lock);
        (void)kt_cond_wait(&server->wake, &server->lock, now_ms + DRAIN_LOOK_MS);
        kt_mutex_unlock(&server->lock);
    }
}

void kt_http_server_stop(struct kt_http_server **server, int64_t deadline_mono_ms)
{
    struct kt_http_server *self = *server;

    if (!self) {
        return;
    }
    atomic_store(&self->draining, true);
    atomic_store(&self->stopping, true);
    if (self->context) {
        finish_requests(self, deadline_mono_ms);
    }
    stop_civetweb(self);
    end_watch(self);
    library_use(false);
    kt_cond_done(&self->wake);
    kt_mutex_done(&self->lock);
    kt_budget_free(&self->held);
    kt_budget_free(&self->parsed);
    kt_content_free(&self->content);
    kt_free(self->scratch);
    kt_free(self->strangers);
    kt_free(self);
    *server = NULL;
}

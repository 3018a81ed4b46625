/* SPDX-License-Identifier: MIT */
/* bare_civetweb - the ceiling of a data node: civetweb with the options that our server gives it, a
 * handler that reads the request's body and sends a fixed answer in one write. Nothing is parsed,
 * looked up or made.
 */
#include "bench/peers/answer.h"

#include "base/str.h"
#include "base/thread.h"

#include <civetweb.h>
#include <stdlib.h>

struct bare {
    struct bare_options options;
    struct kt_mutex lock;
    struct kt_cond wake;
    bool stopping;
};

static int begin_request(struct mg_connection *conn)
{
    const struct mg_request_info *info = mg_get_request_info(conn);
    const struct bare *bare = info->user_data;
    char piece[4096];

    for (long long left = info->content_length; left > 0;) {
        int got =
            mg_read(conn, piece, left < (long long)sizeof(piece) ? (size_t)left : sizeof(piece));
        if (got <= 0) {
            mg_disable_connection_keep_alive(conn);
            return 500;
        }
        left -= got;
    }
    if (mg_write(conn, bare->options.answer.data, bare->options.answer.len_bytes) < 0) {
        mg_disable_connection_keep_alive(conn);
    }
    return 200;
}

static void stop(void *arg, enum kt_signal signal)
{
    struct bare *bare = arg;

    if (signal == KT_SIGNAL_STOP) {
        kt_mutex_lock(&bare->lock);
        bare->stopping = true;
        kt_cond_broadcast(&bare->wake);
        kt_mutex_unlock(&bare->lock);
    }
}

static void wait_for_stop(struct bare *bare)
{
    kt_mutex_lock(&bare->lock);
    while (!bare->stopping) {
        (void)kt_cond_wait(&bare->wake, &bare->lock, INT64_MAX);
    }
    kt_mutex_unlock(&bare->lock);
}

int main(int argc, char **argv)
{
    struct bare bare = {.options = {.threads = 512, .bytes = 300}};
    struct kt_error err = KT_ERROR_INIT;
    char port[32], threads[16];
    const char *settings[] = {"listening_ports",
                              port,
                              "num_threads",
                              threads,
                              "tcp_nodelay",
                              "1",
                              "connection_queue",
                              "1024",
                              "listen_backlog",
                              "1024",
                              "enable_keep_alive",
                              "yes",
                              "keep_alive_timeout_ms",
                              "30000",
                              "request_timeout_ms",
                              "30000",
                              "decode_url",
                              "no",
                              "decode_query_string",
                              "no",
                              "enable_auth_domain_check",
                              "no",
                              NULL};
    struct mg_callbacks callbacks = {.begin_request = begin_request};
    struct mg_server_port ports[2] = {{0}};
    struct mg_context *context;
    int status = bare_options_parse(&bare.options, argc, argv);

    if (status >= 0) {
        return status;
    }
    kt_mutex_init(&bare.lock, "bare", KT_RANK_STATS);
    kt_cond_init(&bare.wake);
    if (kt_signals_start(stop, &bare, &err) != KT_OK) {
        fprintf(stderr, "%s: %s\n", argv[0], err.message);
        return 1;
    }
    (void)snprintf(port, sizeof(port), "127.0.0.1:%d", (int)bare.options.port);
    (void)snprintf(threads, sizeof(threads), "%d", (int)bare.options.threads);
    (void)mg_init_library(MG_FEATURES_DEFAULT);
    context = mg_start(&callbacks, &bare, settings);
    if (!context || mg_get_server_ports(context, 2, ports) < 1) {
        fprintf(stderr, "%s: can't listen on %s\n", argv[0], port);
        return 1;
    }
    printf("listening on 127.0.0.1:%d\n", ports[0].port);
    (void)fflush(stdout);
    wait_for_stop(&bare);
    /* mg_stop() waits up to two seconds for each worker; nothing here needs to be saved. */
    exit(0);
}

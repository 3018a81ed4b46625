/* server.h - the data nodes' HTTP server: civetweb behind a seam.
 *
 * civetweb gives each connection a worker thread for as long as it lives, so num_threads bounds the
 * connections. Requests are taken in begin_request (a registered handler costs a failing stat() and
 * a lock per request); an answer leaves as one mg_write of head and body together. The library's
 * own errors get our body too. What the library lets through and HTTP forbids is refused here
 * before any handler runs (RFC 9112): Content-Length that is not digits or is there twice, both
 * framings, Transfer-Encoding other than chunked, more than 64 headers, no or two Host headers on
 * HTTP/1.1; the connection is then closed, so that no second request can hide in a first. Chunked
 * bodies are read past the library (server_body.c) and end their connection.
 *
 * Threads: num_threads workers run handlers; start and stop from one thread.
 * Owns:    its workers' arenas and the listening sockets.
 * Fails:   KT_BUSY when the port is taken (address named), KT_IO, KT_NO_MEMORY.
 */
#ifndef KT_HTTP_SERVER_H
#define KT_HTTP_SERVER_H

#include "http/message.h"
#include "http/router.h"

struct kt_http_server; /* opaque */

struct kt_http_server_options {
    const char *listen; /* literal address to bind, "127.0.0.1", "0.0.0.0" … */
    uint16_t port;      /* 0 = any free one */
    int num_threads;
    int64_t body_max_bytes; /* whole-body routes: 413 beyond */
    int64_t
        body_memory_bytes; /* all bodies held and parsed at once, and answers; see server_body.c */
    int64_t response_max_bytes; /* an answer held in memory */
    int64_t request_timeout_ms; /* default deadline of a request */
    int64_t idle_timeout_ms;    /* keep-alive, and between two pieces of a pulled body */
    int64_t first_byte_ms;      /* from accept to the first byte of a head */
    struct kt_http_router *router;
    /* Adds the node's headers (X-Kamaitachi-…) to every answer, errors included; may be NULL. */
    void (*decorate)(void *ctx, struct kt_http_response *response);
    void *decorate_ctx;
    bool access_log;
};

struct kt_http_server_stats {
    uint64_t requests; /* understood or not */
    uint64_t errors;   /* answers of status 500 and above */
    uint64_t connections;
    uint64_t active; /* requests under way now */
};

enum kt_status kt_http_server_start(const struct kt_http_server_options *options,
                                    struct kt_http_server **ret_server,
                                    struct kt_error *err) KT_MUST_CHECK;
uint16_t kt_http_server_port(const struct kt_http_server *server);
void kt_http_server_stats(const struct kt_http_server *server, struct kt_http_server_stats *ret);
/* From now on answers carry Connection: close. */
void kt_http_server_drain(struct kt_http_server *server);
/* Finishes requests that run (at most until the deadline), then closes. */
void kt_http_server_stop(struct kt_http_server **server, int64_t deadline_mono_ms);

#endif

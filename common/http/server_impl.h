/* server_impl.h - what the server's own files share; nobody outside common/http includes it.
 *
 * A worker is a civetweb thread and, while it serves one, its connection. civetweb bounds the time
 * between two bytes but not the time of a whole body or answer, and waits in slices of two seconds.
 * So each connection's socket is looked up with its first request (civetweb does not tell it), its
 * worker says what it waits for and until when, and a watch thread shuts the socket when that time
 * has passed. The same makes stopping quick: idle connections are shut at once instead of at the
 * next slice.
 *
 * Threads: a worker's fields belong to its thread, but `state`, `deadline_mono_ms`, `cut` and the
 *          counters (atomic, read by anyone) and `sock`, `next`, `prev` (under server->lock).
 * Owns:    the server its workers, from init_thread to exit_thread.
 * Fails:   as server.h says.
 */
#ifndef KT_HTTP_SERVER_IMPL_H
#define KT_HTTP_SERVER_IMPL_H

#include "base/budget.h"
#include "base/net.h"
#include "base/thread.h"
#include "http/chunks.h"
#include "http/content.h"
#include "http/server.h"

#include <stdatomic.h>

struct mg_connection;
struct mg_context;
struct mg_request_info;

#define KT_HTTP_FDS_MAX 65536
#define KT_HTTP_LINGER_MS 1000
/* While others wait, who brings nothing has this part of first_byte_ms: the rest is for the queue.
 */
#define KT_HTTP_PRESSED_PART 3
#define KT_HTTP_QUEUE_MAX 1024        /* accepted connections that wait for a worker */
#define KT_HTTP_TURN_MS 500           /* while others wait, a connection keeps its worker so long */
#define KT_HTTP_KEEP_BYTES_MAX 262144 /* a worker's larger buffers go after the request */

enum kt_http_conn_state {
    KT_CONN_NONE,    /* no connection */
    KT_CONN_NEW,     /* waits for its first request's head */
    KT_CONN_IDLE,    /* waits for a further request's head */
    KT_CONN_BUSY,    /* a handler runs; it has deadlines of its own */
    KT_CONN_READING, /* waits for body bytes */
    KT_CONN_WRITING  /* waits for the peer to take the answer */
};

struct kt_http_worker {
    struct kt_http_server *server;
    struct kt_http_worker *next, *prev;
    struct mg_connection *conn; /* of the request under way */
    kt_socket sock;             /* KT_NO_SOCKET when it could not be found */
    atomic_int state;
    atomic_llong deadline_mono_ms; /* of the state, but BUSY has none */
    atomic_bool cut;               /* the watch has shut this connection for being late */
    bool shed;                     /* shut to make room; under server->lock */
    atomic_bool slow;              /* … for sending or taking too slowly */
    int64_t seen_ms, seen_bytes;   /* what had moved when; the watch's own */
    int64_t accepted_ms;           /* when the connection was first seen, in the queue or here */
    bool is_long;                  /* an import or a stream, which last as long as they like */
    bool met;                      /* the peer and its socket were looked up */
    bool answered;                 /* something was sent for the present head */
    const char *head_base;         /* where civetweb puts heads; lowest address seen */
    struct kt_arena *arena;
    struct kt_buf out;            /* head and body of an answer, as sent */
    struct kt_buf chunk;          /* of a stream */
    struct kt_buf body;           /* of a request */
    struct kt_budget_share share; /* of server->held, for it and for the answer */
    struct kt_budget_share parse; /* of server->parsed */
    struct kt_buf answer;         /* memory lent to response.body */
    struct kt_http_header headers[KT_HTTP_HEADERS_MAX];
    struct kt_http_request request;
    struct kt_http_response response;
    struct kt_http_body pull;
    bool http_10, keep_alive, chunked, expects_continue;
    bool body_done;       /* read to its end */
    bool body_broken;     /* the connection cannot be used further */
    int64_t body_left;    /* bytes not yet read, when not chunked */
    int64_t bytes_before; /* of the connection's earlier requests, heads and bodies */
    int64_t bytes_here;   /* of this request: its head, and its body when that has a length */
    const char *head_end; /* in civetweb's buffer; what it has read of a body follows */
    bool raw, raw_tried;  /* the chunked body is read past civetweb */
    const char *ahead;    /* of it, in civetweb's buffer */
    size_t ahead_len;
    struct kt_h1_chunks chunks;
    bool chunks_bad;
    int64_t now_ms;        /* monotonic; when the present write began, near enough */
    int64_t date_until_ms; /* when `date` is out of date */
    char date[30];
    atomic_ullong requests, errors, connections;
};

struct kt_http_server {
    struct kt_http_server_options options;
    char listen[64];
    uint16_t port;
    struct mg_context *context;
    struct kt_content *content;
    struct kt_budget *held, *parsed; /* bodies and answers; what parsing makes of bodies */
    struct kt_mutex lock;
    struct kt_cond wake; /* of the watch */
    struct kt_http_worker *workers;
    uint64_t gone_requests, gone_errors, gone_connections; /* of workers that ended */
    uint64_t owned[KT_HTTP_FDS_MAX / 64];                  /* sockets known to belong to a worker */
    struct kt_http_stranger *strangers;                    /* by socket; the watch's own */
    char *scratch;                                         /* room for a head; the watch's own */
    atomic_bool pressed;     /* every worker is taken and somebody waits */
    atomic_int long_running; /* imports and streams */
    atomic_llong starved_ms; /* when a body last found no memory left for it */
    struct kt_thread watch;
    atomic_bool draining, stopping, started;
    bool closing; /* civetweb was told to stop: wake everything, again and again */
    bool watch_ends;
    char start_error[256]; /* what civetweb said while it failed to start */
};

/* server.c */
struct mg_callbacks;
const struct mg_callbacks *kt_http_callbacks(void);

/* server_request.c: the head, checked; fills worker->request. *ret_fatal: the connection can't be
 * used further, because where the next request begins is uncertain. */
enum kt_status kt_http_read_head(struct kt_http_worker *worker, const struct mg_request_info *info,
                                 bool *ret_fatal, struct kt_error *err);

/* server_body.c */
enum kt_status kt_http_body_read_whole(struct kt_http_worker *worker, struct kt_error *err);
void kt_http_body_pull_init(struct kt_http_worker *worker);
/* Reads away what a refused request brought, when that is little; else the connection is closed. */
void kt_http_body_skip(struct kt_http_worker *worker);

/* server_answer.c: sends worker->response. */
void kt_http_answer_send(struct kt_http_worker *worker);
/* An error of the library's own, for a request that was not understood. */
void kt_http_answer_refusal(struct kt_http_worker *worker, struct mg_connection *conn,
                            const struct kt_error *err);
/* Needs none; the connection closes. */
void kt_http_answer_no_memory(struct mg_connection *conn);
/* One write with a deadline that counts from worker->now_ms; false when the peer is gone or too
 * slow. */
bool kt_http_write(struct kt_http_worker *worker, const void *data, size_t len);

/* server_watch.c */
void kt_http_state(struct kt_http_worker *worker, enum kt_http_conn_state state,
                   int64_t deadline_mono_ms);
void kt_http_watch_run(void *arg);                     /* the server */
void kt_http_wake_idle(struct kt_http_server *server); /* takes the lock */

/* server_shed.c: `waiting` connections have no worker; under server->lock */
void kt_http_shed(struct kt_http_server *server, size_t waiting, int64_t now_ms);
/* Others wait, and so little of the connection's first request has come since it was accepted that
 * waiting for the rest of its body is not worth a worker. */
bool kt_http_is_hopeless(const struct kt_http_worker *worker);
/* A request that may last: false when half of the workers have one. Again for the same: true. */
bool kt_http_long_begin(struct kt_http_worker *worker);
void kt_http_long_end(struct kt_http_worker *worker);

/* server_socket.c and server_port.c: the operating system's part. Each does nothing on
 * KT_NO_SOCKET. */
kt_socket kt_http_socket_find(const uint64_t *owned, const char *peer, uint16_t peer_port,
                              uint16_t local_port);
size_t kt_http_socket_available(kt_socket sock); /* bytes to read without waiting */
/* When civetweb has ended: it drops the sockets that still waited for a worker without closing. */
void kt_http_socket_close_strangers(uint16_t local_port);
/* Bytes that were received and read so far, -1 where the system does not tell. */
int64_t kt_http_socket_taken(kt_socket sock);
/* At least one byte, until the deadline; 0 = the end, -1 = too late or broken. */
int64_t kt_http_socket_receive(kt_socket sock, void *dest, size_t size, int64_t deadline_mono_ms);
bool kt_http_socket_at_end(kt_socket sock); /* the peer has closed its side */
void kt_http_socket_shut_read(kt_socket sock);
void kt_http_socket_shut_both(kt_socket sock);
/* Ends our side and reads the rest away, so that closing does not reset the connection before the
 * peer has read our answer (RFC 9112 section 9.6). Not for long when `hurry` becomes true. */
void kt_http_socket_linger(kt_socket sock, int64_t wait_ms, const atomic_bool *hurry);
/* Bytes that came in and that the peer has confirmed so far; -1 where the system does not tell. */
int64_t kt_http_socket_moved(kt_socket sock);
void kt_http_socket_reset(kt_socket sock); /* an answer without framing breaks visibly */
/* Shuts the sockets on the local port that belong to no worker: accepted, but no request has come
 * through yet. Those that it has seen since before `until_ms` only; `seen` remembers. With
 * `scratch`, KT_HTTP_HEAD_BYTES_MAX bytes, those are spared of which a whole head waits to be read,
 * and shut are who has none at two looks. Returns how many there are. */
struct kt_http_stranger {
    int64_t since_ms; /* 0 = free */
    uint16_t peer_port;
    bool lacks; /* at the last look it had no whole head */
};
struct kt_http_look {
    const uint64_t *owned;
    struct kt_http_stranger *seen;
    char *scratch;
    uint16_t local_port;
    int64_t now_ms, until_ms;
};
size_t kt_http_socket_shut_strangers(const struct kt_http_look *look);
void kt_http_socket_poke(const char *host, uint16_t port); /* connects and closes */

#endif

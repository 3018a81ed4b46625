/* loop.h - one event loop and all that lives on it: clients, exchanges, connections to nodes.
 * Include <uv.h> first.
 *
 * Each loop is a world of its own: its clients stay on it, it has its own connections to every
 * node, its own table, budget and counters, so nothing on the way of a request takes a lock. New
 * clients come through an inbox, answers of the gateway's own paths through an outbox, new tables
 * through a slot (nodes.h); each followed by a wake-up.
 *
 * A tick every 100 ms looks at every connection's deadline: a walk over some thousand structs costs
 * less than a timer started and stopped per request.
 *
 * Threads: one per loop; start, stop, give and deliver from any.
 * Owns:    everything in it.
 * Fails:   start with KT_NO_MEMORY or KT_IO.
 */
#ifndef KT_GATEWAY_LOOP_H
#define KT_GATEWAY_LOOP_H

#include "base/net.h"
#include "gateway/balance.h"
#include "gateway/classify.h"
#include "gateway/config.h"
#include "gateway/control.h"
#include "gateway/io.h"
#include "gateway/parser.h"
#include "gateway/waiting.h"

#define KT_TICK_MS 100
#define KT_ATTEMPTS_MAX 5
/* "g-", milliseconds, "-", 32 hex digits */
#define KT_ADDED_KEY_MAX 64
#define KT_KEY_BITS 32 /* random numbers fetched at a time */

struct kt_loop;
struct kt_conn;
struct kt_upstream;
struct kt_exchange;
struct kt_own;
struct kt_own_job;
struct kt_access;

/* A node as one loop sees it. */
struct kt_peer {
    struct kt_peer *next; /* of those that left the table and still have connections */
    struct kt_gw_node *node;
    struct kt_upstream *idle; /* last used first */
    uint32_t open_count;      /* connecting, busy, idle */
    uint32_t in_flight;       /* exchanges that wait for it, connect to it or talk to it */
    /* What the newest answer that passed by here said it had applied; newest, not greatest, so that
     * a node that was set back is known for that. */
    uint64_t revision;
    struct kt_exchange *waiting, **waiting_end; /* for a connection to become free */
    bool listed;
};

/* A connection to a node. */
struct kt_upstream {
    struct kt_io io; /* first: events get it */
    uv_connect_t connecting;
    struct kt_loop *loop;
    struct kt_peer *peer;
    struct kt_exchange *exchange; /* NULL = idle */
    struct kt_upstream *next_idle;
    struct kt_upstream *next, **link; /* all of the loop */
    int64_t since_ms;                 /* idle or connecting since */
    bool connected, reused;
};

/* A client's connection. */
struct kt_conn {
    struct kt_io io; /* first */
    struct kt_loop *loop;
    struct kt_exchange *exchange; /* the request that is being answered */
    struct kt_conn *next, **link;
    struct kt_h1_scan scan;
    uv_shutdown_t shutdown;
    int64_t deadline_ms; /* while there is no exchange */
    uint16_t port;
    bool processing; /* in the loop over pipelined requests */
    bool close_after, lingering, refused;
    char host[64];
};

enum kt_body_mode {
    KT_BODY_NONE,
    KT_BODY_IN_PLACE, /* whole behind its head in the client's buffer */
    KT_BODY_COLLECT,  /* gathered in exchange->body before anything is sent */
    KT_BODY_STREAM,   /* passed on as it comes; what was sent is forgotten */
};

/* A request on its way, from its head to the last byte of its answer. */
struct kt_exchange {
    struct kt_exchange *next_free;
    struct kt_loop *loop;
    struct kt_conn *conn;
    struct kt_h1_request request; /* slices into the client's buffer */
    size_t head_len;
    struct kt_route route;
    char path_text[1032]; /* what route.path points to when it had to be decoded */
    char request_id[129];
    uint8_t request_id_len;
    int64_t started_ms, deadline_ms, progress_ms; /* deadline 0: bounded by progress alone */

    struct kt_h1_response answer; /* slices into the node's buffer */
    struct kt_error last_error;   /* of the attempts so far; message "" = none */
    char key[KT_ADDED_KEY_MAX];   /* the Idempotency-Key that the gateway adds */
    struct kt_buf answer_body;    /* of one that is kept; counted in the loop's answer_bytes */

    /* From here on a recycled exchange is zeroed.
     * The body: body_off is where its next byte lies in the client's buffer. */
    enum kt_body_mode mode;
    size_t body_off;
    int64_t body_left;  /* of Content-Length */
    int64_t body_bytes; /* so far */
    struct kt_h1_chunks body_chunks;
    struct kt_buf body;
    int64_t kept_bytes;    /* of the loop's, for the body */
    bool timeout_given;    /* X-Kamaitachi-Timeout-Ms */
    bool by_leader;        /* the levels leader and linearizable */
    uint64_t min_revision; /* X-Kamaitachi-Min-Revision; 0 = none */
    bool body_done;
    bool stream_began; /* a piece was passed on that is not kept */
    bool stream_ended; /* the whole body was handed to the node's stream */

    /* The present attempt. */
    struct kt_peer *peer;
    struct kt_upstream *upstream;
    struct kt_exchange *next_waiting, **waiting_link;
    uint64_t taken_before; /* upstream's taken_bytes when the attempt began */
    int64_t attempt_ms;
    bool sent, got_byte, send_broken;
    /* What was tried. */
    struct kt_gw_node *tried[KT_ATTEMPTS_MAX];
    unsigned attempts;
    bool needs_fresh;
    bool maybe_done; /* a write: an earlier attempt, or a part of the body, may have its effect */
    /* What is the leader's (to_leader.c, waiting.c). */
    struct kt_exchange *next_parked, *prev_parked;
    int64_t waits_since_ms; /* the first time; 0 = never did */
    int64_t not_before_ms;
    uint64_t term;      /* of loop->waiting, when the present attempt began */
    uint64_t lost_term; /* in which it was lost under way */
    unsigned leaders_lost, reroutes;
    uint8_t key_len;
    bool parked, again, buffer_kept;
    bool keyless; /* it was sent without a key: none may be added any more */

    /* The answer. */
    struct kt_h1_scan answer_scan;
    size_t answer_head_len;
    int64_t answer_left;
    struct kt_h1_chunks answer_chunks;
    uint64_t answer_bytes;
    bool answer_parsed, answer_started, answer_done;
    bool answer_held;   /* it fits into the node's buffer, and is sent when it is whole */
    bool answer_kept;   /* the same for one that is longer, in answer_body */
    size_t answer_sent; /* of answer_body */
    bool keep;          /* the client's connection lives on */
    int status;

    struct kt_own_job *job; /* on a worker; its answer comes through the outbox */
};

struct kt_loop_counters { /* written by the loop, read by anyone: relaxed */
    _Atomic uint64_t connections, refused, requests, own, reads, writes, admin;
    _Atomic uint64_t errors_4xx, errors_5xx, retries, budget_empty, stale, rerouted, aborted;
    _Atomic uint64_t upstream_opened, upstream_failed, open_now, evicted;
    /* For a leader: now, by what came of it, and the longest (ms). */
    _Atomic uint64_t waiting, waits_served, waits_failed, waits_refused, waits_left,
        wait_longest_ms;
    _Atomic uint64_t keys_added, keys_refused, repeats;
};

struct kt_loop_inbox {
    kt_socket socket;
    uint16_t port;
    bool beyond; /* the limit: another must go, or it is refused */
    char host[64];
};

#define KT_INBOX_MAX 1024

struct kt_loop_shared { /* the same for all loops; read-only while they run */
    const struct kt_gateway_config *config;
    struct kt_nodes *nodes;
    struct kt_control *control;
    struct kt_access *access;
    struct kt_own *own;
    size_t loop_count;
    int64_t connections_max;
    _Atomic int64_t connections; /* of all loops */
    _Atomic bool draining;
};

struct kt_loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_timer_t tick;
    struct kt_thread thread;
    struct kt_loop_shared *shared;
    const struct kt_gateway_config *config;
    size_t index;
    struct kt_conn *conns;
    struct kt_upstream *upstreams;
    struct kt_gw_table *table;
    struct kt_peer *peers[KT_MEMBERS_MAX]; /* alongside table->nodes */
    struct kt_peer *left_peers;
    struct kt_exchange *free_exchanges;
    size_t free_exchange_count;
    struct kt_io_pool pool;
    struct kt_arena *arena; /* scratch of one step */
    struct kt_buf out;      /* a head or an error's body being written */
    struct kt_buf out_body;
    struct kt_balancer balancer;
    struct kt_budget budget;
    struct kt_waiting waiting;
    /* Whom a 421 named since the table's leader changed; "" = none. */
    char leader_hint[KT_ADDR_MAX];
    uint64_t key_bits[KT_KEY_BITS]; /* random, not used yet: the first key_bits_left */
    size_t key_bits_left;
    int64_t keyless_until_ms;
    int64_t drain_deadline_ms;
    uint32_t upstream_cap;                  /* connections per node on this loop */
    int64_t kept_bytes, kept_bytes_max;     /* request bodies */
    int64_t answer_bytes, answer_bytes_max; /* answers */
    size_t room_made; /* connections closed for new ones and not yet made up for */
    int64_t date_s;
    char date[30];
    struct kt_loop_counters counters;
    bool running, draining;

    struct kt_mutex lock; /* around what follows */
    struct kt_loop_inbox *inbox;
    size_t inbox_count;
    struct kt_own_job *outbox;
    bool stopping;
    int64_t stop_deadline_ms;
};

#define KT_COUNT(loop, name)                                                                       \
    atomic_fetch_add_explicit(&(loop)->counters.name, 1, memory_order_relaxed)

enum kt_status kt_loop_start(struct kt_loop_shared *shared, size_t index, struct kt_loop **ret_loop,
                             struct kt_error *err) KT_MUST_CHECK;
/* Hands an accepted socket over; false when the inbox is full (the socket stays the caller's). */
bool kt_loop_give(struct kt_loop *loop, const struct kt_loop_inbox *client);
/* An answer of the gateway's own, from a worker. */
void kt_loop_deliver(struct kt_loop *loop, struct kt_own_job *job);
/* A new table waits in the loop's slot. */
void kt_loop_wake(struct kt_loop *loop);
/* Finishes what runs until the deadline, closes idle connections; returns at once. */
void kt_loop_drain(struct kt_loop *loop, int64_t deadline_mono_ms);
void kt_loop_join(struct kt_loop *loop); /* after drain */
/* After join, and when nobody can wake or deliver any more. */
void kt_loop_free(struct kt_loop **loop);

/* Now, as the loop knows it (mono ms). */
int64_t kt_loop_now(struct kt_loop *loop);

#endif

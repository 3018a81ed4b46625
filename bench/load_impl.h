/* load_impl.h - a load's loops and connections; private to load.c, loop.c, conn.c and record.c.
 * Include <uv.h> first.
 *
 * Threads: a loop and its connections belong to the loop's thread; what others see of it (`second`)
 *          lies behind its mutex (rank 90), held for the time of an addition.
 * Owns:    the load owns its loops, a loop its connections and its result.
 * Fails:   as load.h.
 */
#ifndef KT_BENCH_LOAD_IMPL_H
#define KT_BENCH_LOAD_IMPL_H

#include "base/thread.h"
#include "bench/load.h"

enum kt_conn_state {
    KT_CONN_WAITING, /* not connected; connects when its time has come */
    KT_CONN_CONNECTING,
    KT_CONN_READY,
    KT_CONN_BUSY,
    KT_CONN_CLOSING,
    KT_CONN_GONE,
};

struct kt_load_loop;

struct kt_conn {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    struct kt_load_loop *loop;
    enum kt_conn_state state;
    size_t target, idle_at; /* idle_at: place among the idle ones */
    int64_t retry_us, deadline_us, backoff_us;
    /* The request under way. */
    uint32_t request;
    bool measured, writing;
    int64_t from_us;
    struct kt_reply reply;
    struct kt_buf keyed; /* the request with its own Idempotency-Key */
    char *in;
    size_t len, cap;
};

/* One answer known to be right, of one distinct request. */
struct kt_seen {
    struct kt_load_body *body;
};

struct kt_load;

struct kt_load_loop {
    struct kt_load *load;
    size_t number;
    uv_loop_t uv;
    uv_timer_t tick;
    uv_async_t wake;
    struct kt_thread thread;
    struct kt_conn *conns;
    size_t conn_count, gone;
    struct kt_conn **idle;
    size_t idle_count, busy;
    uint64_t next_due; /* open loop: number of its next request by plan */
    uint64_t key;      /* of idempotency keys */
    bool exhausted, closing;
    struct kt_load_result result;
    struct kt_seen *seen;
    size_t seen_bytes;
    int64_t last_done_us;
    struct kt_load_node *last_node;

    struct kt_mutex mutex;
    struct kt_hist *second_hist; /* swapped by the monitor */
    struct kt_load_second second;
    uint64_t counted, all_wrong; /* measured requests; wrong answers, the warm-up's too */
};

union kt_load_addr {
    struct sockaddr base;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct kt_load {
    const struct kt_pt_options *options;
    const struct kt_plan *plan;
    union kt_load_addr addrs[KT_TARGETS_MAX];
    struct kt_load_loop *loops;
    size_t loop_count;
    int64_t start_us, measure_us, end_us; /* end_us: INT64_MAX = by number */
    uint64_t warmup_due;                  /* open loop: how many of the plan are warm-up */
    size_t seen_bytes_max;                /* of each loop */
    /* Relaxed: counters that only have to end up right, flags that are looked at often. */
    _Atomic uint64_t next_number, next_warm, failures_since_right;
    _Atomic int64_t last_right_us;
    atomic_bool stopping; /* nothing new, and what is under way is abandoned */
    atomic_size_t running;
};

/* conn.c */
void kt_conn_start(struct kt_conn *conn, int64_t now_us);
void kt_conn_send(struct kt_conn *conn, int64_t now_us);
void kt_conn_tick(struct kt_conn *conn, int64_t now_us);
void kt_conn_close(struct kt_conn *conn); /* for good, at the loop's end */

/* loop.c */
enum kt_status kt_loop_init(struct kt_load_loop *loop, struct kt_load *load, size_t number,
                            struct kt_error *err) KT_MUST_CHECK;
void kt_loop_done(struct kt_load_loop *loop);
void kt_loop_main(void *arg);
/* The connection's next request is settled (request, measured, from_us); false: none is due. */
bool kt_loop_take(struct kt_conn *conn, int64_t now_us);
void kt_loop_ready(struct kt_conn *conn, int64_t now_us); /* it has nothing to do */
void kt_loop_not_ready(struct kt_conn *conn);
void kt_loop_check_end(struct kt_load_loop *loop);

/* record.c: the outcome of the connection's request. */
void kt_record_answer(struct kt_conn *conn, int64_t now_us);
void kt_record_failure(struct kt_conn *conn, enum kt_wrong wrong, const char *why, int64_t now_us);

#endif

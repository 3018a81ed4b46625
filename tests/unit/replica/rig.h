/* rig.h - up to three data nodes in one process: real stores, real HTTP between them, a fake etcd.
 *
 * Each node has a server on loopback that serves fetches for as long as the rig stands; its replica
 * can be stopped and started over the same files. rig_stall holds a lock of a node's store, so that
 * a test can look at what happens while a write is under way.
 *
 * Threads: the test's; submit and wait may be called on threads of rig_spawn.
 * Owns:    everything, until rig_close.
 * Fails:   by aborting; a test of failures calls the replica itself.
 */
#ifndef KT_TEST_REPLICA_RIG_H
#define KT_TEST_REPLICA_RIG_H

#include "base/thread.h"
#include "http/server.h"
#include "replica/replica.h"

#include <stdatomic.h>

#define RIG_NODES 3
#define RIG_WAIT_MS 20000

struct rig_node {
    char path[320], addr[64], name[16];
    struct kt_http_server *server;
    struct kt_http_router router;
    struct kt_http_route routes[3];
    struct kt_mutex guard;
    struct kt_cond idle;
    int busy;                       /* requests under way */
    atomic_bool cut_off;            /* its own server refuses all of them */
    atomic_bool refuses[RIG_NODES]; /* … those of these nodes (rig_refuse) */
    atomic_int busy_of[RIG_NODES];  /* requests of these under way */
    atomic_int slow_ms;             /* it takes so long over a fetch, beside the wait */
    char id[KT_ID_LEN + 1];
    struct kt_store *store;
    struct kt_replica *replica; /* NULL while it is stopped */
    struct kt_thread staller;
    atomic_bool stall, stalled;
    bool stall_apply;
};

struct rig {
    struct kt_coord_fake *fake;
    struct rig_node nodes[RIG_NODES];
    struct kt_replica_options options; /* for the nodes started next */
    bool all_electable;                /* else node 0 alone */
};
extern struct rig rig;

void rig_open(void);
void rig_close(void);
/* Node 0 is the master unless `standalone` or options say otherwise. */
void rig_start(size_t n);
void rig_start_standalone(size_t n);
enum kt_status rig_try_start(size_t n, bool standalone, struct kt_error *err);
enum kt_status rig_make_fake(void *fake, const struct kt_coord_options *options,
                             struct kt_coord **ret_coord, struct kt_error *err);
void rig_stop(size_t n); /* the replica ends, then the store is closed */
/* Node `n` answers nothing that `from` asks; what it is answering is awaited. */
void rig_refuse(size_t n, size_t from);
void rig_allow(size_t n, size_t from);
/* The lease of `n` is gone while an append of its own is under way: until rig_go_on it can neither
 * lead nor campaign. Some write must come meanwhile. */
void rig_lose_leader(size_t n);
/* Node 0 leads and nodes 1..count-1 have all it has. */
void rig_start_cluster(size_t count);

struct kt_replica *rig_replica(size_t n);
const struct kt_replica_status *rig_status(size_t n); /* static storage, a node each */
bool rig_leads(size_t n);
uint64_t rig_applied(size_t n);

/* Polls until it holds; false (and a line) after RIG_WAIT_MS. */
bool rig_until_leads(size_t n);
bool rig_until_applied(size_t n, uint64_t seq);
bool rig_until(bool (*holds)(void *ctx), void *ctx, const char *what);

/* One record of `subject` at `time_s` with indicator v = value; pad makes the change larger. */
void rig_change(const char *subject, int64_t time_s, double value, size_t pad, struct kt_buf *body);
enum kt_status rig_write(size_t n, const char *subject, int64_t time_s, double value,
                         int64_t timeout_ms, struct kt_submit_result *ret_result,
                         struct kt_error *err);
/* The newest value of a subject; -1 = none. */
double rig_value(size_t n, const char *subject);

/* Log appends (or applies) of this node wait until rig_go_on. */
void rig_stall(size_t n, bool apply);
void rig_go_on(size_t n);

/* A submit on a thread of its own. */
struct rig_job {
    struct kt_thread thread;
    size_t node;
    char subject[32];
    double value;
    int64_t timeout_ms;
    size_t pad;
    const char *key; /* set before rig_submit, as is pad; NULL = none */
    atomic_bool done;
    enum kt_status status;
    struct kt_submit_result result;
    struct kt_error err;
};
void rig_submit(struct rig_job *job, size_t n, const char *subject, double value,
                int64_t timeout_ms);
void rig_join(struct rig_job *job);

#endif

/* replica.h - a node's part in the cluster, driven: the core's decisions carried out.
 *
 * Two threads: `replica` sleeps until the coord's view changes, steps the core and carries out what
 * it asks for (transactions with etcd block it for at most one call); `log` is the only one that
 * writes to the log and the data: as leader it takes what waits in the queue as one batch (one log
 * transaction, one fsync, one data transaction), as follower it fetches by long poll, appends and
 * applies. Handlers submit changes, and serve fetches of other nodes, on their own threads.
 *
 * Threads: everything from any thread; start and stop from one. One mutex (KT_RANK_REPLICA), never
 * held across network, SQLite or fsync. Owns:    its threads and the queue; store and coord stay
 * the caller's and must outlive it. Fails:   start with KT_CONFLICT when the database may not be
 * used this way (the message says what to do), KT_NO_MEMORY.
 */
#ifndef KT_REPLICA_REPLICA_H
#define KT_REPLICA_REPLICA_H

#include "coord/coord.h"
#include "http/message.h"
#include "replica/core.h"
#include "store/store.h"

struct kt_replica; /* opaque */
struct kt_access;

struct kt_replica_options {
    struct kt_store *store;
    struct kt_access *access; /* signs fetches; NULL = unsigned */
    const char *addr;         /* the own service address, host:port */
    const char *service_name;
    bool may_lead; /* [server] mode = master */
    bool standalone;
    int32_t priority;
    uint32_t expect, min_in_sync;
    int64_t ttl_s;
    int64_t lag_timeout_ms;  /* [replication] lag_timeout */
    int64_t fetch_max_bytes; /* asked for in one fetch */
    int64_t queue_max_bytes; /* bodies waiting to be written; beyond: KT_BUSY */
    int64_t batch_max_bytes; /* of one log transaction */
    int64_t max_indicators;  /* what a founder writes into the first epoch-start */
    int64_t max_keys;        /* the same, of idempotency keys; 0 = a million */
    /* Makes the coord. Called by new with options whose `self` and callbacks are filled in. */
    enum kt_status (*make_coord)(void *ctx, const struct kt_coord_options *options,
                                 struct kt_coord **ret_coord, struct kt_error *err);
    void *make_coord_ctx;
    const char *endpoints, *prefix; /* handed to make_coord */
    /* Membership or leader changed; called on the replica thread without locks. May be NULL. */
    void (*on_view)(void *ctx, const struct kt_coord_view *view);
    void *on_view_ctx;
};

/* Makes everything but the threads: etcd is watched, nothing is registered, questions can be
 * answered. */
enum kt_status kt_replica_new(const struct kt_replica_options *options,
                              struct kt_replica **ret_replica, struct kt_error *err) KT_MUST_CHECK;
/* Registers, then leads or follows. */
enum kt_status kt_replica_start(struct kt_replica *replica, struct kt_error *err) KT_MUST_CHECK;
/* Takes this node's entry out of etcd at once and for good; lease and leader key stay until
 * kt_replica_stop, so that what a leader has begun can be finished. Does not block. */
void kt_replica_withdraw(struct kt_replica *replica);
/* Finishes the batch under way, refuses the rest (503, none), resigns, deregisters from etcd; then
 * threads end. Reads and fetches may still come until kt_replica_free. */
void kt_replica_stop(struct kt_replica *replica);
void kt_replica_free(struct kt_replica **replica);

/* A change is one entry of the log, and an entry comes in one answer to a fetch, which a follower
 * holds in memory. */
#define KT_REPLICA_ENTRY_BYTES_MAX (INT64_C(96) << 20)

struct kt_submit_result {
    uint64_t revision; /* of the change; repeated under its key: of the first */
    struct kt_apply_result apply;
};
/* Makes one change durable and applied, or says why not. Blocks until then or the deadline.
 * KT_OK: committed and applied (look at apply.status: apply itself may have refused it).
 * With a key (store.h, idempotency) the same change is carried out once: what it came to is told
 * again, from the data without a new entry if it is there already, else by apply. KT_OK with
 * apply.status KT_IDEMPOTENCY_MISMATCH: another change had this key.
 * KT_NOT_LEADER: somebody else leads (kt_replica_leader_addr). KT_UNAVAILABLE, KT_BUSY: certainly
 * not done; nor is it with KT_TOO_LARGE, beyond the bound above. KT_OUTCOME_UNKNOWN: it has a
 * number but was not committed in time. */
enum kt_status kt_replica_submit(struct kt_replica *replica, struct kt_str key, struct kt_str body,
                                 int64_t deadline_mono_ms, struct kt_submit_result *ret_result,
                                 struct kt_error *err) KT_MUST_CHECK;

/* POST /replication/v1/fetch; body as in fetch.h. Long poll. */
void kt_replica_serve_fetch(struct kt_replica *replica, struct kt_http_request *request,
                            struct kt_http_response *response);

/* For recorded_by: see kt_query_env.hold. */
enum kt_status kt_replica_hold(struct kt_replica *replica, uint64_t seq, int64_t wall_ms,
                               int64_t deadline_mono_ms, struct kt_error *err) KT_MUST_CHECK;

/* Cheap, for the headers of every answer: atomics only. */
struct kt_replica_brief {
    uint64_t revision, epoch;
    bool is_leader; /* leads and takes writes */
    int64_t lag_ms; /* since it last held all that the leader had committed; 0 on the leader */
};
void kt_replica_brief(struct kt_replica *replica, struct kt_replica_brief *ret_brief);

#define KT_PEERS_MAX KT_MEMBERS_MAX
struct kt_replica_status {
    struct kt_replica_brief brief;
    char node_id[KT_ID_LEN + 1], cluster_id[KT_ID_LEN + 1];
    enum kt_core_role role;
    bool ready; /* led, or was level with its leader, at least once; not what has stopped */
    char leader_id[KT_ID_LEN + 1], leader_addr[KT_ADDR_MAX]; /* "" = none known */
    char waiting_for[200], stopped_why[400];
    uint64_t end_seq, commit_seq;
    uint64_t fetches, fetched_bytes, fetched_entries; /* as follower */
    uint64_t served_fetches, served_bytes;            /* as leader */
    uint64_t batches, batched_entries;                /* group commit */
    uint64_t queue_entries, queue_bytes;
    struct { /* followers as their leader sees them */
        char id[KT_ID_LEN + 1];
        uint64_t after;
        int64_t seen_ago_ms;
    } peers[KT_PEERS_MAX];
    size_t peer_count;
};
void kt_replica_status(struct kt_replica *replica, struct kt_replica_status *ret_status);
struct kt_coord_view *kt_replica_view(struct kt_replica *replica); /* counted */

#endif

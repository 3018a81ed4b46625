/* replica.h - a node's part in the cluster, driven: what the protocol's machine asks for, done.
 *
 * Four threads: `replica` feeds the machine with views of etcd and the time; `etcd` carries out
 * transactions and messages, which may take a second each; `log` is the only one that writes to the
 * log: as leader it makes what waits in the queue durable as one batch, as follower it fetches by
 * long poll and appends; `apply` brings what is committed into the data and answers the writers.
 * Handlers submit changes, and serve fetches of other nodes, on their own threads.
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
#include "replica/machine.h"
#include "store/store.h"

struct kt_replica; /* opaque */
struct kt_access;

struct kt_replica_options {
    struct kt_store *store;
    struct kt_access *access; /* signs what is asked of other nodes; NULL = unsigned */
    const char *addr;         /* the own service address, host:port */
    const char *service_name;
    bool electable;
    bool standalone;
    bool rejoin; /* diverged: take a full copy instead of stopping */
    int32_t priority;
    uint32_t expect, min_in_sync, max_in_sync;
    int64_t ttl_s;
    int64_t lag_timeout_ms;  /* [replication] lag_timeout */
    int64_t fetch_max_bytes; /* asked for in one fetch */
    int64_t queue_max_bytes; /* bodies that wait for a number, or for commit; beyond: KT_BUSY */
    int64_t batch_max_bytes; /* of one log transaction */
    int64_t log_keep_bytes;  /* of applied entries; older ones are cut */
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
    /* A full copy of the leader's data waits on disk: stop this node and start it again, which
     * takes it over. Called once, on the log thread without locks; must not block. May be NULL. */
    void (*on_restart)(void *ctx);
    void *on_restart_ctx;
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
/* Finishes what was taken, refuses the rest (503, none), hands over, deregisters from etcd; then
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
/* Makes one change durable on every member in sync and applied, or says why not. Blocks until then
 * or the deadline. KT_OK: committed and applied (look at apply.status: apply itself may have
 * refused it). With a key (store.h, idempotency) the same change is carried out once: what it came
 * to is told again, from the data without a new entry if it is there already, else by apply. KT_OK
 * with apply.status KT_IDEMPOTENCY_MISMATCH: another change had this key.
 * KT_NOT_LEADER: somebody else leads (kt_replica_status says who). KT_UNAVAILABLE, KT_BUSY:
 * certainly not done; nor is it with KT_TOO_LARGE, beyond the bound above. KT_OUTCOME_UNKNOWN: it
 * has a number but was not committed in time. */
enum kt_status kt_replica_submit(struct kt_replica *replica, struct kt_str key, struct kt_str body,
                                 int64_t deadline_mono_ms, struct kt_submit_result *ret_result,
                                 struct kt_error *err) KT_MUST_CHECK;

/* What other nodes ask; bodies as in fetch.h and copy.h. POST /replication/v1/…
 * fetch: long poll. copy: the whole data. campaign: the leader hands over to this node. */
void kt_replica_serve_fetch(struct kt_replica *replica, struct kt_http_request *request,
                            struct kt_http_response *response);
void kt_replica_serve_copy(struct kt_replica *replica, struct kt_http_request *request,
                           struct kt_http_response *response);
void kt_replica_serve_campaign(struct kt_replica *replica, struct kt_http_request *request,
                               struct kt_http_response *response);

/* May this node answer at level leader (or linearizable)? Asked after the question came. KT_OK,
 * KT_NOT_LEADER, KT_UNAVAILABLE: it leads, but its epoch has not begun, its lease may have ended,
 * or (linearizable) a promise of the union is not there. */
enum kt_status kt_replica_serves(struct kt_replica *replica, bool linearizable,
                                 struct kt_error *err) KT_MUST_CHECK;
/* For recorded_by: see kt_query_env.hold. */
enum kt_status kt_replica_hold(struct kt_replica *replica, uint64_t seq, int64_t wall_ms,
                               int64_t deadline_mono_ms, struct kt_error *err) KT_MUST_CHECK;

/* --- for operators --- */
/* Hands the lead over to `to` (a node's id or address; "" = the most advanced in sync) and waits
 * until etcd shows another leader. KT_NOT_LEADER; KT_BAD_VALUE: `to` is not another, electable
 * member in sync; KT_CONFLICT: nobody is; KT_TIMEOUT: nobody took over. */
enum kt_status kt_replica_handover(struct kt_replica *replica, const char *to,
                                   int64_t deadline_mono_ms, char ret_to[KT_ADDR_MAX],
                                   struct kt_error *err) KT_MUST_CHECK;
/* Rule E8: the most advanced registered node leads, though of those in sync some are missing (as
 * text in ret_missing). Only asks for it: see who leads afterwards. KT_CONFLICT: there is a leader.
 * KT_UNAVAILABLE: another node is the more advanced one; ret_best is its address. */
enum kt_status kt_replica_recover(struct kt_replica *replica, char *ret_missing, size_t size,
                                  char ret_best[KT_ADDR_MAX], struct kt_error *err) KT_MUST_CHECK;
/* Drops a member that will not return. KT_NOT_LEADER, KT_NOT_FOUND, KT_CONFLICT (it is registered),
 * KT_TIMEOUT. */
enum kt_status kt_replica_forget(struct kt_replica *replica, const char *id,
                                 int64_t deadline_mono_ms, struct kt_error *err) KT_MUST_CHECK;

#define KT_REPLICA_EVENTS_MAX 1000
struct kt_replica_event { /* a change of state as this node saw it */
    int64_t wall_ms;
    char node[KT_ADDR_MAX]; /* whom it is about */
    char what[32];
    char why[200];
};
/* Oldest first; returns how many. */
size_t kt_replica_events(struct kt_replica *replica, struct kt_replica_event *dest, size_t max);

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
    enum kt_machine_role role;
    bool ready; /* led, or was level with its leader, at least once; not what has stopped */
    char leader_id[KT_ID_LEN + 1], leader_addr[KT_ADDR_MAX]; /* "" = none known */
    char waiting_for[200], stopped_why[300];
    uint64_t end_seq, commit_seq, log_first_seq;
    bool in_sync; /* of the newest configuration known, with the two below */
    uint32_t min_in_sync;
    size_t in_sync_count;
    bool short_of_members;                                /* leads, and may take no writes for it */
    uint64_t fetches, fetched_bytes, fetched_entries;     /* as follower */
    uint64_t served_fetches, served_bytes, served_copies; /* as leader */
    uint64_t batches, batched_entries;                    /* group commit */
    uint64_t elections_won, step_downs;
    uint64_t queue_entries, queue_bytes;
    struct { /* followers as their leader sees them */
        char id[KT_ID_LEN + 1];
        uint64_t after;
        int64_t seen_ago_ms;
        int64_t lag_ms; /* since it last had everything; 0 = it has */
        bool in_sync, candidate;
        bool has_clock;
        int64_t clock_skew_ms; /* its clock less the own one, to within the way of a message */
    } peers[KT_PEERS_MAX];
    size_t peer_count;
};
void kt_replica_status(struct kt_replica *replica, struct kt_replica_status *ret_status);
struct kt_coord_view *kt_replica_view(struct kt_replica *replica); /* counted */

#endif

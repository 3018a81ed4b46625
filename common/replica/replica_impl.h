/* replica_impl.h - what the driver's files share: the state, and who touches it.
 *
 * replica.c  start, stop, the `replica` thread: view -> core -> actions; status
 * log.c      the `log` thread: batches as leader (write.c) or fetches as follower (follow.c)
 * serve.c    fetches of other nodes, on HTTP workers
 *
 * Threads: `mutex` protects everything below it; the fields above are set before the threads start.
 *          `log_cond` wakes the log thread; `view_cond` the replica thread; `fetch_cond` the long
 *          polls of followers; `wall_cond` readers that wait in hold().
 * Owns:    see replica.h.
 * Fails:   see each function.
 */
#ifndef KT_REPLICA_IMPL_H
#define KT_REPLICA_IMPL_H

#include "base/thread.h"
#include "http/client.h"
#include "replica/clocks.h"
#include "replica/fetch.h"
#include "replica/replica.h"

#include <stdatomic.h>

#define KT_STEP_DEPTH_MAX 2

enum proposal_state { PROPOSAL_QUEUED, PROPOSAL_NUMBERED, PROPOSAL_DONE };

/* A change on its way. Two references: the submitter's and the queue's. */
struct proposal {
    struct proposal *next;
    int refs; /* under the mutex */
    enum proposal_state state;
    struct kt_cond done;
    struct kt_buf key, body;
    enum kt_status status;
    struct kt_error error;
    struct kt_submit_result result;
};

struct kt_replica {
    struct kt_replica_options options;
    struct kt_store *store;
    struct kt_coord *coord;
    char session[KT_ID_LEN + 1];
    char addr[KT_ADDR_MAX];
    char service_name[64];
    struct kt_http_client *client; /* the log thread's */
    struct kt_thread replica_thread, log_thread;
    int64_t started_at_ms, started_mono_ms;

    struct kt_mutex mutex;
    struct kt_cond view_cond, log_cond, fetch_cond, wall_cond;
    struct kt_core core;
    struct kt_coord_view *view; /* newest seen by the replica thread */
    bool view_changed, stopping, log_stop;
    bool closing;     /* takes no new changes; what it took is finished first */
    bool keep_failed; /* a KT_ACT_KEEP did not reach the disk: nothing may rest on it */
    int64_t keep_again_mono_ms;
    /* Made beforehand, large as they are: an event must not be lost for want of memory. */
    struct kt_actions *actions;
    unsigned step_depth;
    struct kt_service *told; /* what the coord was told last; the replica thread's */

    /* What the log thread should do; it says what it is doing in log_busy_epoch. */
    struct {
        bool lead, follow;
        uint64_t epoch; /* to lead, or of the leader it follows */
        char epoch_id[KT_ID_LEN + 1];
        char leader_addr[KT_ADDR_MAX];
        bool first_epoch;  /* the cluster's first entry is still to be written */
        bool start_needed; /* the epoch-start is not yet appended */
        uint64_t number;   /* rises with every change of orders */
    } orders;
    bool fault; /* the log could not be written: to be told to the core */
    char fault_why[200];
    bool diverged;
    char diverged_why[300];
    bool start_done; /* the epoch-start was applied: to be told to the core */

    struct proposal *queue_head, *queue_tail;
    size_t queue_entries;
    int64_t queue_bytes;

    struct kt_clock_watch leader_clock, own_clock;
    int64_t stamp_floor_ms;        /* stamps never go below */
    int64_t in_flight_wall_ms;     /* stamp of the batch under way; 0 = none */
    int64_t held_wall_ms;          /* follower: holds everything the leader stamped up to here */
    int64_t leader_wall_ms;        /* follower: the leader's clock … */
    int64_t leader_wall_mono_ms;   /* … at this moment or later */
    uint64_t leader_commit;        /* newest commit position told */
    uint64_t answers_taken;        /* rises with every answer taken */
    uint64_t fetch_number;         /* newest request number sent */
    uint64_t fetch_taken;          /* request of the newest answer taken */
    unsigned fetch_timeouts;       /* in a row */
    int64_t failing_since_mono_ms; /* follower: fetches fail since then; 0 = they work */
    bool failing_said;
    bool was_up;    /* follower: held all once of what this leader had */
    bool was_ready; /* led, or was level with its leader, since it started: it may be read from */
    struct kt_replica_status counters; /* only the counting fields */
    struct {
        char id[KT_ID_LEN + 1];
        uint64_t after;
        int64_t seen_mono_ms;
    } peers[KT_PEERS_MAX];
    size_t peer_count;

    /* For kt_replica_brief; written under the mutex, read without: each is a value of its own, a
     * reader needs no order between them. */
    _Atomic uint64_t epoch;
    _Atomic bool is_leader;
    _Atomic int64_t whole_mono_ms; /* when it last held all the leader had committed; 0 = never */
};

/* --- log.c: the log thread --- */
void kt_replica_log_main(void *arg);
/* Appends and applies; both know where the store stands. Called by the log thread only. */
enum kt_status kt_replica_apply_to(struct kt_replica *replica, uint64_t commit_seq,
                                   const struct kt_entry *entries, size_t count,
                                   struct kt_apply_result *results,
                                   struct kt_error *err) KT_MUST_CHECK;
/* Takes and releases under the mutex. */
void kt_proposal_unref(struct proposal *proposal);
void kt_replica_finish(struct proposal *proposal, enum kt_status status,
                       const struct kt_error *err);
/* Answers everything that waits without a number: certainly not done. Mutex held. */
void kt_replica_refuse_queue(struct kt_replica *replica, enum kt_status status, const char *why);

/* --- write.c: a leader's batch; follow.c: a follower's fetch. One round each; the mutex is held on
 * entry and on return. --- */
void kt_replica_write_round(struct kt_replica *replica);
void kt_replica_follow_round(struct kt_replica *replica);

/* A fault of the disk: this epoch writes no more, and the core is told. Mutex held. */
void kt_replica_report_fault(struct kt_replica *replica, const char *what,
                             const struct kt_error *err);
/* Sets the atomics from the core. Mutex held. */
void kt_replica_publish(struct kt_replica *replica);
/* Wakes the replica thread. Mutex held. */
void kt_replica_wake(struct kt_replica *replica);

#endif

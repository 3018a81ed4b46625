/* replica_impl.h - what the driver's files share: the state, and who touches it.
 *
 * replica.c  make, start, stop; the `replica` thread: views and time
 * step.c     the machine's steps and what they ask for
 * calls.c    the `etcd` thread: transactions, messages
 * log.c      the `log` thread; write.c its work as leader, follow.c as follower
 * tail.c     the newest entries in memory: what is sent, applied and answered from
 * apply.c    the `apply` thread; trim.c the `trim` thread
 * serve.c    what other nodes ask, on HTTP workers
 * api.c      what handlers ask; operate.c what operators ask
 *
 * Threads: `mutex` protects everything below it; the fields above are set before the threads start.
 *          A step may give the mutex up while it keeps something on disk; `stepping` holds off
 *          other steps meanwhile. Each condition names who waits on it.
 * Owns:    see replica.h.
 * Fails:   see each function.
 */
#ifndef KT_REPLICA_IMPL_H
#define KT_REPLICA_IMPL_H

#include "base/thread.h"
#include "http/client.h"
#include "replica/clocks.h"
#include "replica/copy.h"
#include "replica/fetch.h"
#include "replica/replica.h"

#include <stdatomic.h>

/* The lease clock, silence and resends are looked at so often when nothing else happens. */
#define KT_REPLICA_TICK_MS 100

/* A change on its way. References: the submitter's, the queue's or the batch's. Its submitter waits
 * on a lock of its own, so that the news of a batch wakes each one past the replica's mutex. */
struct proposal {
    struct proposal *next;
    atomic_int refs;
    bool numbered, answered; /* under the replica's mutex; answered: by whoever came first */
    struct kt_buf key, body; /* until a batch has them */

    struct kt_mutex mutex; /* of what follows */
    struct kt_cond cond;
    bool done;
    enum kt_status status;
    struct kt_error error;
    struct kt_submit_result result;
};

/* Entries that came into the log together. Immutable once it is in the tail, but for its place
 * there, `refs` and `proposals`. */
struct batch {
    struct batch *next, *previous;
    int refs; /* under the mutex */
    uint64_t first_seq;
    size_t count, bytes;
    bool counted;    /* its bytes are in numbered_bytes */
    int64_t wall_ms; /* of its first entry */
    struct kt_entry *entries;
    struct proposal **proposals; /* NULL, or one each; answered ones are NULL */
    struct kt_buf memory;        /* what the entries borrow from, unless the proposals */
    struct kt_str frames;        /* of all of them, as they are sent; empty: read the log */
};

/* A fetch that waits for its answer, on its worker's stack. */
struct held_fetch {
    struct held_fetch *next;
    const struct kt_fetch_request *request;
    struct kt_cond answered;
    bool done;
    struct kt_m_answer answer;
    struct kt_epoch *vector; /* heap; with KT_M_ANSWER_DIFFERS */
    int64_t now_wall_ms, clock_wall_ms;
    bool gives_copy; /* KT_M_GIVE_COPY came instead */
};

/* What a follower's log thread is asked for; the newest order counts. */
enum follow_order { FOLLOW_NOTHING, FOLLOW_FETCH, FOLLOW_ASK_COPY };

/* A moment at which the leader told how far it has committed. */
struct level {
    bool set;
    uint64_t commit;
    int64_t mono_ms, wall_ms;
};

struct kt_replica {
    struct kt_replica_options options;
    struct kt_store *store;
    struct kt_coord *coord;
    char session[KT_ID_LEN + 1];
    char addr[KT_ADDR_MAX];
    char service_name[64];
    struct kt_http_client *client, *message_client; /* the log thread's, the etcd thread's */
    struct kt_thread replica_thread, etcd_thread, log_thread, apply_thread, trim_thread;
    int64_t started_at_ms, started_mono_ms;

    struct kt_mutex mutex;
    struct kt_cond replica_cond, etcd_cond, log_cond, apply_cond, trim_cond; /* the threads */
    struct kt_cond step_cond;    /* who wants to step, or to change `log` */
    struct kt_cond synced_cond;  /* fetches that wait for a large entry's fsync */
    struct kt_cond wall_cond;    /* readers in hold() */
    struct kt_cond changed_cond; /* operators' calls */
    struct kt_machine machine;
    struct kt_machine_log log;
    struct kt_epoch *vector; /* log.vector */
    uint64_t commit_seq;     /* the machine's, once what comes before it is on disk */
    struct kt_coord_view *view;
    bool view_changed, stopping, log_stop, apply_stop, trim_stop, etcd_stop;
    bool closing;             /* takes no new changes; what it took is finished first */
    bool stepping, log_waits; /* log_waits: the log thread has nothing to do */
    bool trim_waits;          /* its thread is to be woken when a checkpoint is due */
    unsigned step_waiters;
    bool keep_failed; /* a KT_M_KEEP did not reach the disk: nothing may rest on it */
    int64_t keep_again_mono_ms;
    bool fault; /* to be told to the machine */
    char fault_why[200];
    struct kt_service *told; /* what the coord was told last; the replica thread's */
    bool started_said;       /* of this epoch */
    char waiting_said[200];
    char fault_last[200];

    /* For the etcd thread. */
    struct {
        bool txn, is_campaign, remove_leader, renew, withdraw, campaign_now, deregister;
        struct kt_cluster_config config;
        struct kt_coord_view *txn_view, *remove_view; /* what they compare with; counted */
        char txn_nonce[KT_ID_LEN + 1];
        char to[KT_ID_LEN + 1], to_addr[KT_ADDR_MAX];
        uint64_t to_epoch;
    } calls;
    bool deregistered; /* the machine has nothing more to do with etcd */

    /* For the log thread. */
    struct {
        bool lead; /* the epoch-start of `lead_epoch` is to be appended */
        uint64_t lead_epoch;
        char epoch_id[KT_ID_LEN + 1];
        enum follow_order follow;
        struct kt_m_action fetch;
        struct kt_epoch *vector; /* heap, as the fetch had it */
        bool append, cut, swap;  /* asked for in the log thread's own step */
        bool changing;           /* one of them is under way: a fault is told behind it */
        uint64_t append_commit, cut_seq;
        uint64_t number; /* rises with every change of the order to follow */
    } orders;
    _Atomic bool receiving; /* an answer's bytes are coming in */

    struct batch *tail_head, *tail_tail; /* no gap; begins at any entry, ends with the log */
    size_t tail_bytes;

    struct proposal *queue_head, *queue_tail;
    size_t queue_entries;
    int64_t queue_bytes;
    int64_t numbered_bytes; /* in the tail and not yet applied */

    struct held_fetch *held;
    struct kt_id_set released; /* who heard that this node's newest epoch is over */
    struct {
        char id[KT_ID_LEN + 1];
        int64_t clock_skew_ms;
    } clocks[KT_MEMBERS_MAX];
    size_t clock_count;

    struct kt_clock_watch leader_clock, own_clock;
    int64_t stamp_floor_ms;      /* stamps never go below */
    int64_t in_flight_wall_ms;   /* stamp of the batch that is being made; 0 = none */
    int64_t held_wall_ms;        /* follower: holds everything the leader stamped up to here */
    int64_t leader_wall_ms;      /* follower: the leader's clock … */
    int64_t leader_wall_mono_ms; /* … at this moment or later */
    uint64_t leader_commit;      /* newest commit position told */
    uint64_t answers_taken;      /* rises with every answer taken */
    struct level level, next_level;
    unsigned fetch_timeouts;       /* in a row: the next one is given more time */
    int64_t patient_until_mono_ms; /* the fetch under way may be silent until then; 0 = as usual */
    int64_t failing_since_mono_ms; /* follower: fetches fail since then; 0 = they work */
    bool failing_said;
    char followed[KT_ADDR_MAX]; /* whom it follows, as it was said last */
    uint64_t followed_epoch;
    bool was_up;    /* follower: held all once of what this leader had */
    bool was_ready; /* led, or was level with its leader, since it started: it may be read from */
    struct kt_replica_status counters; /* only the counting fields */
    struct kt_replica_event *events;   /* a ring of KT_REPLICA_EVENTS_MAX */
    uint64_t event_count;

    /* For kt_replica_brief; written under the mutex, read without: each is a value of its own, a
     * reader needs no order between them. */
    _Atomic uint64_t epoch;
    _Atomic bool is_leader;
    _Atomic int64_t whole_mono_ms; /* when it last held all the leader had committed; 0 = never */
};

/* The mutex is held on entry and return of everything below, unless it says otherwise. */

/* --- step.c --- */
/* One step of the machine with what it asks for. May give the mutex up meanwhile. */
void kt_replica_step(struct kt_replica *replica, const struct kt_m_event *event);
void kt_replica_step_facts(struct kt_replica *replica);
/* For the machine's questions. */
struct kt_machine_facts kt_replica_facts(struct kt_replica *replica);
/* The log could not be written (or the data applied): told to the machine. */
void kt_replica_fault(struct kt_replica *replica, const char *what, const struct kt_error *err);
/* This member was told that the epoch which this node led is over. */
void kt_replica_note_released(struct kt_replica *replica, const char *node);
/* Sets the atomics from the machine. */
void kt_replica_publish(struct kt_replica *replica);
/* `log` and what it points to may be changed only after this: a step that keeps something rests on
 * them. */
void kt_replica_await_step(struct kt_replica *replica);
/* The same with an end, for what others ask: a disk that hangs must not take every worker. */
bool kt_replica_await_step_until(struct kt_replica *replica, int64_t deadline_mono_ms);
/* Takes over an epoch vector (heap). */
void kt_replica_put_vector(struct kt_replica *replica, struct kt_epoch *vector, size_t count);
/* Forgets epochs that begin behind the end of the log. */
void kt_replica_cut_vector(struct kt_replica *replica, uint64_t end_seq);
void kt_replica_note(struct kt_replica *replica, const char *node, const char *what,
                     const char *fmt, ...) KT_PRINTF(4, 5);

/* --- calls.c --- */
void kt_replica_calls_main(void *arg);
/* Signs `body` for a POST to `path`; the header goes to dest, "" when there is no secret. */
void kt_replica_sign(struct kt_replica *replica, const char *path, struct kt_str body, char *dest,
                     size_t size);

/* --- log.c --- */
void kt_replica_log_main(void *arg);
void kt_replica_lead_epoch(struct kt_replica *replica);  /* write.c */
void kt_replica_write_batch(struct kt_replica *replica); /* write.c */
/* Is what waits to be numbered now? Mutex held. write.c */
bool kt_replica_batch_is_due(const struct kt_replica *replica);
void kt_replica_follow(struct kt_replica *replica); /* follow.c */

/* --- proposals (log.c) --- */
void kt_proposal_unref(struct proposal *proposal); /* any thread */
/* Tells its submitter, and drops a reference. The replica's mutex may be held or not. */
void kt_replica_finish(struct proposal *proposal, enum kt_status status,
                       const struct kt_apply_result *result, const struct kt_error *err);
/* Answers everything that waits without a number: certainly not done. */
void kt_replica_refuse_queue(struct kt_replica *replica, enum kt_status status, const char *why);

/* --- tail.c --- */
struct batch *kt_batch_new(size_t count, bool with_proposals); /* NULL = no memory; no mutex */
void kt_batch_unref(struct batch *batch);
/* Takes the reference; the log ends with it now. */
void kt_tail_push(struct kt_replica *replica, struct batch *batch);
/* It is applied, or gone from the tail: numbered_bytes is without it. */
void kt_tail_uncount(struct kt_replica *replica, struct batch *batch);
/* Forgets what lies behind seq; its proposals are unknown. */
void kt_tail_cut(struct kt_replica *replica, uint64_t seq);
/* Forgets applied entries beyond the tail's bound. */
void kt_tail_trim(struct kt_replica *replica);
/* The batch that holds seq, not counted; NULL = not in memory. */
struct batch *kt_tail_find(struct kt_replica *replica, uint64_t seq);
/* Stamp of the first entry behind seq; 0 = none in memory. */
int64_t kt_tail_wall_ms(struct kt_replica *replica, uint64_t seq);
/* Answers proposals behind the commit position: unknown. */
void kt_tail_unknown(struct kt_replica *replica, const char *why);
/* The frames of what follows `after`, at least one entry, then up to max_bytes, appended to dest;
 * false: not in memory. Gives the mutex up while it copies. */
bool kt_tail_frames(struct kt_replica *replica, uint64_t after, size_t max_bytes,
                    struct kt_buf *dest);

/* --- trim.c: the log's beginning is cut now and then --- */
void kt_replica_trim_main(void *arg);

/* --- apply.c --- */
void kt_replica_apply_main(void *arg);
/* Something was applied: who waits for it is woken. */
void kt_replica_applied(struct kt_replica *replica);

#endif

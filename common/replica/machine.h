/* machine.h - the whole replication protocol as a state machine: events and facts in, actions out;
 * no sockets, threads, clocks, files.
 *
 * Primary-backup with its configuration in a consensus store (PacificA: Lin et al.,
 * MSR-TR-2008-25). docs/REPLICATION.md is its page: roles, what is on disk, the rules by number.
 * Driven by replica.h in the nodes, and by tests/sim.
 *
 * The driver carries out the actions of a step in their order, KEEP durably before the next one,
 * and owns log and data: it describes them in the facts. What an action points to is valid until
 * the next step.
 *
 * Threads: none of its own; the driver's mutex protects it.
 * Owns:    plain values only.
 * Fails:   never; what cannot go on becomes KT_M_STOPPED with the reason and the way out.
 */
#ifndef KT_REPLICA_MACHINE_H
#define KT_REPLICA_MACHINE_H

#include "coord/coord.h"
#include "store/store.h"

enum kt_machine_role {
    KT_M_FOLLOWS,
    KT_M_CAMPAIGNS, /* a txn was sent and is not settled: fetches nothing, drops answers */
    KT_M_LEADS,
    KT_M_ENDED /* refused to go on (ended_why), or stopped cleanly */
};

struct kt_machine_options {
    char id[KT_ID_LEN + 1];
    char addr[KT_ADDR_MAX];
    char session[KT_ID_LEN + 1]; /* random, this process's own */
    bool electable;
    bool rejoin;     /* diverged: take a full copy instead of ending */
    bool standalone; /* no etcd: a leader of itself, at once (rule E9) */
    int32_t priority;
    uint32_t expect, min_in_sync, ttl_s; /* for who founds a cluster */
    uint32_t max_in_sync;
    int64_t lag_timeout_ms;
    int64_t tick_ms; /* a step with KT_M_FACTS comes at least so often */
    void (*random_id)(void *ctx, char dest[KT_ID_LEN + 1]);
    void *random_ctx;
};

struct kt_id_set {
    char ids[KT_MEMBERS_MAX][KT_ID_LEN + 1];
    size_t count;
};

/* What the node has on disk beside the log. */
struct kt_machine_disk {
    char cluster[KT_ID_LEN + 1];   /* "" = empty node */
    bool standalone;               /* with a cluster: it was never one with etcd */
    struct kt_cluster_config kept; /* version 0 = none */
    struct kt_id_set growth;       /* in the union beyond kept.in_sync (rule C4) */
    uint64_t epoch;                /* greatest seen or ended */
    bool half_copy;
    bool bound_by_nothing; /* stopped cleanly, and no promise ran (rule P4) */
};

/* The log as the driver has it. `end` may be ahead of `synced` on a leader. */
struct kt_machine_log {
    uint64_t first_seq; /* of the oldest entry still there; end_seq + 1 = none */
    uint64_t end_seq, synced_seq;
    uint64_t applied_seq;
    const struct kt_epoch *vector; /* up to end_seq */
    size_t vector_count;
};

struct kt_machine_facts {
    int64_t now_ms;                   /* monotonic */
    const struct kt_coord_view *view; /* the newest */
    int64_t lease_end_ms;             /* of the view's own_lease; 0 = none */
    const struct kt_machine_log *log;
    /* The answer or copy that was asked for last is coming in, however slowly: it is not asked for
     * again. The driver gives up a connection that stands still. */
    bool receiving;
    /* As leader: writes wait, and are numbered when what is in the log is committed. An answer that
     * would only say that it is goes with them. */
    bool batch_comes;
};

struct kt_m_fetch {
    char cluster[KT_ID_LEN + 1], node[KT_ID_LEN + 1], session[KT_ID_LEN + 1];
    uint64_t request, took, epoch, after;
    struct kt_epoch after_id; /* epoch 0 at after = 0 */
    uint64_t commit;
    int64_t wait_ms;
    const struct kt_epoch *vector;
    size_t vector_count;
};

enum kt_m_answer_kind {
    KT_M_ANSWER_ENTRIES,  /* what lies behind `after` (the driver fills it in) and the commit */
    KT_M_ANSWER_DIFFERS,  /* the entry at `after` is not the leader's */
    KT_M_ANSWER_COPY,     /* the log no longer goes back so far */
    KT_M_ANSWER_RELEASED, /* that epoch is over for the answering node */
    /* Not a member, another cluster, not the leader: try again later. Also made by the driver when
     * the call for a fetch or a copy failed, with the fetch's session, request and epoch. */
    KT_M_ANSWER_REFUSED
};
struct kt_m_answer {
    enum kt_m_answer_kind kind;
    char session[KT_ID_LEN + 1]; /* of the fetch that it answers; a connection's in real life */
    uint64_t epoch, request, commit;
    uint64_t first_seq, last_seq; /* ENTRIES, as sent; last < first = none */
    uint64_t last_epoch;
    uint64_t end_seq; /* DIFFERS: of the leader's log */
    const struct kt_epoch *vector;
    size_t vector_count;
};

enum kt_m_event_kind {
    KT_M_FACTS,
    KT_M_TXN_OUTCOME,    /* of the txn that was asked for last */
    KT_M_FETCH_CAME,     /* fetch */
    KT_M_ANSWER_CAME,    /* answer; its entries wait at the driver until KT_M_APPEND */
    KT_M_COPY_ASKED,     /* fetch: cluster, node, session, request, epoch */
    KT_M_COPY_CAME,      /* request, epoch; the copy waits at the driver until KT_M_SWAP_COPY */
    KT_M_COPIED,         /* the swap is done, fsynced; the facts show the new log. Instead the
                            process may begin again, with kt_machine_init over the new log */
    KT_M_RELEASE_CAME,   /* epoch: its leader stepped down. Its answers say so as well */
    KT_M_CAMPAIGN_CAME,  /* epoch: its leader hands over to this node */
    KT_M_LOG_FAULT,      /* why */
    KT_M_STOP_ASKED,     /* to = target's id or NULL */
    KT_M_HANDOVER_ASKED, /* to = target's id */
    KT_M_RECOVER_ASKED,  /* of the node that kt_machine_recovery names */
    KT_M_FORGET_ASKED    /* to = the member to drop */
};
struct kt_m_event {
    enum kt_m_event_kind kind;
    enum kt_txn_outcome outcome;
    const struct kt_m_fetch *fetch;
    const struct kt_m_answer *answer;
    uint64_t request, epoch;
    const char *to, *why;
};

enum kt_m_action_kind {
    KT_M_KEEP,          /* write the machine's `disk` durably */
    KT_M_TXN,           /* send `txn`; answer with KT_M_TXN_OUTCOME */
    KT_M_DELETE_LEADER, /* compare the create_revision as seen in the view */
    KT_M_RENEW_LEASE,   /* a keepalive now */
    KT_M_LEAD,          /* append and fsync the epoch-start (epoch, epoch_id of disk.kept) */
    KT_M_COMMIT,        /* apply up to seq; answer the writes up to there */
    KT_M_STEP_DOWN,     /* writes with a number and above commit: unknown; without: refused */
    KT_M_FETCH,         /* send `fetch` to addr; any fetch before it is over */
    KT_M_ANSWER,        /* send `answer` to node `to`; KT_M_ANSWER_ENTRIES: from first_seq on */
    KT_M_APPEND,        /* the entries of this event's answer, with commit position seq; fsync */
    KT_M_CUT,           /* put what lies after seq aside, fsynced, then cut it */
    KT_M_ASK_COPY,      /* send `fetch` (request, epoch) to addr; forget older copies */
    KT_M_GIVE_COPY,     /* to the process fetch.session: data at one applied_seq, log to the end, to
                           `to` under `request` */
    KT_M_SWAP_COPY,     /* take the copy of this event; then KT_M_COPIED */
    KT_M_RELEASE,       /* tell all members that `epoch` is over: held and later fetches are
                           answered so in any case */
    KT_M_CAMPAIGN_NOW,  /* tell node `to`, with `epoch` */
    KT_M_WITHDRAW,      /* take the own entry out for good; the lease stays */
    KT_M_DEREGISTER,    /* stopped cleanly: give up the lease, end */
    KT_M_STOPPED        /* log ended_why as an error; the node serves no longer */
};
struct kt_m_action {
    enum kt_m_action_kind kind;
    uint64_t seq, epoch, request;
    char to[KT_ID_LEN + 1];
    char addr[KT_ADDR_MAX];
    struct kt_m_fetch fetch;
    struct kt_m_answer answer;
    const char *why;
};

/* A transaction under way. */
struct kt_machine_txn {
    bool active, is_campaign;
    struct kt_cluster_config config; /* its nonce says whose it is */
    struct {                         /* the config key that it compares with */
        bool present;
        int64_t mod_revision;
        char nonce[KT_ID_LEN + 1]; /* stands for the value: no two have the same */
        uint64_t version, epoch;
    } compared;
    int64_t resend_ms;
};

#define KT_M_SENT_MAX 4
/* A follower as its leader sees it, in this epoch. */
struct kt_machine_peer {
    char id[KT_ID_LEN + 1];
    char session[KT_ID_LEN + 1], older_session[KT_ID_LEN + 1];
    uint64_t request; /* newest seen */
    bool has_acked;
    uint64_t acked;
    int64_t heard_ms, level_ms;
    /* Where log and commit position were at the newest answer, and when that was. */
    uint64_t sent_end, sent_commit;
    int64_t sent_ms;
    struct {
        uint64_t request;
        int64_t ms;
    } sent[KT_M_SENT_MAX]; /* answers that a later fetch may name */
    size_t sent_next;
    int64_t promised_ms; /* when the newest answer that it took was sent; 0 = none */
    bool waits;          /* a fetch is held */
    int64_t waits_until_ms;
    struct kt_m_fetch fetch; /* the held one, without its vector */
    bool forgot;             /* an acknowledgement went back (rule S4) */
    int64_t near_ms;         /* it has what was committed then; 0 = never */
    bool candidate;
    int64_t candidate_since_ms, candidate_after_ms;
};

#define KT_M_ACTIONS_MAX (2 * KT_MEMBERS_MAX + 16)
struct kt_machine {
    struct kt_machine_options options;
    struct kt_machine_disk disk;
    uint64_t commit_seq;
    enum kt_machine_role role;
    uint64_t over_epoch; /* epochs up to here are over for this node (rule E4) */
    struct kt_machine_txn txn;
    char waiting_for[200], ended_why[300];

    /* leads */
    uint64_t epoch_start_seq; /* 0 = not appended yet */
    bool win_seen;
    int64_t won_ms;
    int64_t lead_lease;
    struct kt_machine_peer peers[KT_MEMBERS_MAX];
    size_t peer_count;
    int64_t stepped_ms; /* of the newest step */
    char forget[KT_ID_LEN + 1];
    bool short_of_members; /* someone is silent and can't be removed (rule S1) */

    /* follows */
    char leader_id[KT_ID_LEN + 1], leader_addr[KT_ADDR_MAX];
    uint64_t leader_epoch;
    uint64_t request, took;
    bool fetching; /* a fetch is out, until fetch_until_ms */
    int64_t fetch_until_ms, fetch_after_ms;
    uint64_t appending_to; /* an append, cut or swap is under way until the log ends there; 0 */
    uint64_t appending_commit;
    bool cutting, swapping;
    uint64_t copy_request; /* asked for; 0 = none */
    int64_t newer_since_ms;

    /* promises and campaigns */
    int64_t promise_until_ms;
    uint64_t promise_epoch, released_epoch;
    int64_t eligible_since_ms, campaign_after_ms, quiet_since_ms, twin_since_ms;
    int64_t recover_until_ms;
    bool hurry; /* told to campaign */
    int64_t delete_after_ms, renew_after_ms;
    bool reset_bound; /* the note of a clean stop is on disk until the first step */
    bool stepped;     /* at least once */

    /* stop and handover */
    bool stopping, draining;
    char target[KT_ID_LEN + 1];
    int64_t drain_until_ms;
    int64_t handed_until_ms; /* handed over to `target`: nobody else is released before */

    struct kt_m_action actions[KT_M_ACTIONS_MAX];
    size_t action_count;
    struct kt_machine_facts facts; /* of the step under way */
};

/* `now_ms` binds the node for a ttl, unless it is bound by nothing (rule P1). */
void kt_machine_init(struct kt_machine *machine, const struct kt_machine_options *options,
                     const struct kt_machine_disk *disk, uint64_t commit_seq, int64_t now_ms);
/* Leaves what is to be done in machine->actions. */
void kt_machine_step(struct kt_machine *machine, const struct kt_m_event *event,
                     const struct kt_machine_facts *facts);

/* A follower as this leader sees it; NULL = it has not been heard of in this epoch. */
const struct kt_machine_peer *kt_machine_peer(const struct kt_machine *machine, const char *id);
/* May a new write be given the next number? KT_OK, KT_NOT_LEADER, KT_UNAVAILABLE. */
enum kt_status kt_machine_may_write(const struct kt_machine *machine,
                                    const struct kt_machine_facts *facts);
/* Leads, started, within its lease clock. */
bool kt_machine_serves_leader(const struct kt_machine *machine,
                              const struct kt_machine_facts *facts);
/* Rule P3; to be asked after the request came. */
bool kt_machine_serves_linearizable(const struct kt_machine *machine,
                                    const struct kt_machine_facts *facts);
/* Where no usable configuration stands or RECOVER is asked: who of the newest kept union is not
 * registered, for people ("" = nobody), and the address of the node that would lead ("" = none).
 * RECOVER is that node's to carry out. */
void kt_machine_recovery(const struct kt_machine *machine, const struct kt_coord_view *view,
                         char *ret_missing, size_t size, char ret_best[KT_ADDR_MAX]);
/* What this node's own entry in etcd says. */
void kt_machine_service(const struct kt_machine *machine, const struct kt_machine_log *log,
                        struct kt_service *service);

#endif

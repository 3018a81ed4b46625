/* core.h - the replication state machine: facts in, actions out; no sockets, threads, clocks,
 * files.
 *
 * Primary-backup with its configuration in a consensus store (PacificA: Lin et al.,
 * MSR-TR-2008-25). A driver (replica.h) feeds it views of etcd, outcomes of its transactions, what
 * was persisted and the time, and carries out what it asks for, in order. So the protocol can be
 * run by a test, or by a simulator, without any of the outside.
 *
 * What this version decides: who founds a cluster, who leads (only a node whose mode is master, and
 * only over its own in-sync set), under which epoch, who is added as a member, whom a follower
 * fetches from, and whether a fetch continues the leader's log.
 *
 * Rules that must not be weakened:
 *  - an epoch is never resumed: each win is epoch + 1 with a new random epoch_id;
 *  - the newest configuration and the epoch are kept on disk before they are acted on;
 *  - a transaction whose answer did not come counts as both outcomes until a view shows the config
 *    key with another value than the compared one; the nonce then says whose it is;
 *  - two logs are compared by (epoch, epoch_id), never by a number alone.
 *
 * Threads: none of its own; the driver's mutex protects it.
 * Owns:    plain values only.
 * Fails:   never; what cannot go on becomes KT_ACT_STOP with the reason and the way out.
 */
#ifndef KT_REPLICA_CORE_H
#define KT_REPLICA_CORE_H

#include "coord/coord.h"

enum kt_core_role {
    KT_CORE_FOLLOWER,
    KT_CORE_CAMPAIGNING, /* a txn was sent and is not settled: fetches nothing, drops answers */
    KT_CORE_LEADING,
    KT_CORE_STOPPED /* refused to go on; see `stopped_why` */
};

struct kt_core_options {
    char id[KT_ID_LEN + 1];
    char addr[KT_ADDR_MAX];
    bool may_lead; /* [server] mode = master */
    int32_t priority;
    uint32_t expect; /* registered data nodes that found a cluster together, ≥ 1 */
    uint32_t min_in_sync;
    uint32_t ttl_s; /* what a founder writes into the configuration */
    bool standalone;
};

/* A transaction under way. */
struct kt_core_txn {
    bool active, is_campaign;
    struct kt_cluster_config config; /* what was sent; its nonce identifies it */
    bool compared_present;
    char compared_nonce[KT_ID_LEN + 1]; /* of the config it compared with */
    uint64_t compared_version;
    uint32_t unknown_sends; /* sendings whose answer did not come */
    int64_t resend_mono_ms; /* not before */
};

struct kt_core {
    struct kt_core_options options;
    /* Durable; the driver has these on disk. */
    char cluster[KT_ID_LEN + 1];   /* "" = empty node */
    struct kt_cluster_config kept; /* version 0 = none */
    uint64_t epoch;                /* greatest seen or ended */
    uint64_t end_seq, end_epoch;   /* last entry of the own log, persisted */
    uint64_t commit_seq;
    /* Volatile. */
    enum kt_core_role role;
    bool started;             /* leading, and this epoch's epoch-start is committed and applied */
    uint64_t epoch_start_seq; /* of the epoch that this node leads; 0 = not yet appended */
    bool win_seen;            /* leading, and a view has shown the own leader key */
    int64_t won_mono_ms;
    uint64_t fenced_epoch;         /* epochs up to here are over for this node */
    char leader_id[KT_ID_LEN + 1]; /* whom it follows; "" = nobody */
    char leader_addr[KT_ADDR_MAX];
    uint64_t leader_epoch;
    struct kt_core_txn txn;
    int64_t campaign_after_mono_ms; /* not before: a fault of the disk was seen */
    bool resigned;                  /* asked to stop: neither campaigns nor leads again */
    int64_t twin_since_mono_ms;     /* since when a second node with this id is seen; 0 = not */
    char waiting_for[200];          /* what keeps it from leading or following, for people */
    char stopped_why[400];
};

enum kt_event_kind {
    KT_EV_VIEW,    /* a view of etcd (also for a tick: the newest one again) */
    KT_EV_TXN,     /* the outcome of the txn that was asked for last */
    KT_EV_STARTED, /* this epoch's epoch-start is committed and applied */
    KT_EV_FAULT,   /* the log could not be persisted: a leader steps down */
    KT_EV_RESIGN,  /* the process was told to stop */
    KT_EV_DIVERGED /* the leader says that this log is not a prefix of its own */
};
struct kt_event {
    enum kt_event_kind kind;
    const struct kt_coord_view *view; /* VIEW and TXN */
    int64_t lease_end_mono_ms;        /* VIEW and TXN: of the own lease; 0 = none */
    enum kt_txn_outcome outcome;      /* TXN */
    const char *why;                  /* FAULT, DIVERGED */
    uint64_t epoch_start_seq;         /* STARTED */
};

enum kt_action_kind {
    KT_ACT_KEEP,          /* write `config`, its cluster and `epoch` durably, before what follows */
    KT_ACT_CAMPAIGN,      /* send the election txn with `config`; answer with KT_EV_TXN */
    KT_ACT_UPDATE_CONFIG, /* send the txn with `config`; answer with KT_EV_TXN */
    KT_ACT_DELETE_LEADER, /* delete the leader key as seen in the view */
    KT_ACT_LEAD,          /* append the epoch-start of `config`, then KT_EV_STARTED */
    KT_ACT_STEP_DOWN,     /* take no writes, answer the waiting ones */
    KT_ACT_FOLLOW,        /* fetch from leader_addr in leader_epoch (also when they changed) */
    KT_ACT_UNFOLLOW,      /* stop fetching */
    KT_ACT_STOP           /* log stopped_why as an error; the node serves no longer */
};
struct kt_action {
    enum kt_action_kind kind;
    struct kt_cluster_config config;
    uint64_t epoch;
    char why[200];
};

#define KT_ACTIONS_MAX 6
struct kt_actions {
    struct kt_action items[KT_ACTIONS_MAX];
    size_t count;
};

void kt_core_init(struct kt_core *core, const struct kt_core_options *options);
/* `random_id` is called for epoch ids and nonces, so that a simulator can choose them. */
void kt_core_step(struct kt_core *core, const struct kt_event *event, int64_t now_mono_ms,
                  void (*random_id)(char dest[KT_ID_LEN + 1]), struct kt_actions *ret_actions);

/* The own log now ends at seq, persisted. As leader of an in-sync set of one, that commits it once
 * the epoch-start is included. Returns the commit position. */
uint64_t kt_core_persisted(struct kt_core *core, uint64_t seq, uint64_t epoch);
/* What this node's own entry in etcd says. */
void kt_core_service(const struct kt_core *core, uint64_t applied, struct kt_service *service);

#endif

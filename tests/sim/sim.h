/* sim.h - the simulator's world: nodes that run the real state machine (replica/machine.h) over a
 * modelled etcd, network, disks and clocks, clients that keep a history, and faults from a seed.
 *
 * One event queue orders everything; all chance comes from one generator. So a seed gives the same
 * run each time, and a run is some ten thousand steps without a thread, a socket or a wait.
 *
 * world.c    queue, chance, network, trace
 * etcd.c     keys, leases, transactions, views
 * node.c     the driver around the machine: its actions; node_take.c  what comes to a node
 * node_disk.c  log, syncs and copies; node_etcd.c  lease clock, entry and views
 * node_life.c  start, crash, wipe
 * clients.c  writes and reads, what they may see
 * check.c    the invariants
 * plan.h     which faults come when: faults.c, stories.c, plan.c
 * main.c     runs, seeds, plants
 *
 * Threads: one.
 * Owns:    the world; messages are owned by the queue until delivered.
 * Fails:   a broken invariant sets `failed` and its sentence; the run ends there.
 */
#ifndef KT_SIM_H
#define KT_SIM_H

#include "base/mem.h"
#include "replica/machine.h"
#include "replica/machine_plants.h"

#include <stdbool.h>
#include <stdint.h>

#define SLOTS 6    /* data nodes at most */
#define ETCD SLOTS /* as an end of a link */
#define CLIENTS 4
#define LOG_MAX 4096 /* entries in one run */
#define EPOCHS_MAX 512
#define LEASES_MAX 512
#define OPS_MAX 4096
#define KEYS 4            /* registers; a write sets the one of its number */
#define HISTORY_MAX 12000 /* operations of clients that were done */
#define TICK_MS 50

struct entry {
    uint64_t epoch;
    uint32_t op; /* 0 = an epoch-start */
    char epoch_id[KT_ID_LEN + 1];
};

/* --- etcd --- */
struct keys { /* counted; one for each revision */
    int refs;
    uint64_t number; /* rises also when etcd is wiped */
    int64_t revision;
    struct kt_service services[SLOTS];
    size_t service_count;
    struct {
        bool present;
        char id[KT_ID_LEN + 1], addr[KT_ADDR_MAX];
        uint64_t epoch;
        int64_t lease, create_revision;
    } leader;
    struct {
        bool present;
        int64_t mod_revision;
        struct kt_cluster_config value;
    } config;
};
enum call_kind {
    CALL_GRANT,
    CALL_KEEPALIVE,
    CALL_PUT,
    CALL_CAMPAIGN,
    CALL_UPDATE,
    CALL_DELETE,
    CALL_WITHDRAW,
    CALL_REVOKE,
    CALL_PUT_LEADER
};
struct call { /* to etcd and back */
    enum call_kind kind;
    int slot;
    uint64_t incarnation, number;
    int64_t lease, create_revision;
    struct kt_service service;
    struct kt_cluster_config config;
    bool compared_present;
    int64_t compared_revision;
    char compared_nonce[KT_ID_LEN + 1];
    bool done; /* the answer */
};
struct lease {
    bool alive;
    int64_t until_ms;
    int slot;
};
struct etcd {
    struct keys *keys;
    struct keys *backup;
    uint64_t numbers;
    bool down;
    struct lease leases[LEASES_MAX];
    int64_t lease_count;
};

/* --- messages --- */
enum message_kind {
    MSG_FETCH,
    MSG_ANSWER,
    MSG_COPY_ASK,
    MSG_COPY,
    MSG_RELEASE,
    MSG_CAMPAIGN,
    MSG_OP,
    MSG_REPLY
};
enum op_kind { OP_WRITE, OP_LINEARIZABLE, OP_SESSION };
enum reply_kind { REPLY_OK, REPLY_NONE, REPLY_UNKNOWN };
struct message {
    enum message_kind kind;
    int from, to;
    struct kt_m_fetch fetch;
    struct kt_m_answer answer;
    uint64_t request, epoch;
    struct entry *entries; /* ANSWER, COPY */
    size_t entry_count;
    uint64_t first_seq, applied; /* COPY */
    char giver[KT_ID_LEN + 1];
    uint64_t giver_incarnation;
    struct kt_epoch *vector; /* DIFFERS */
    enum op_kind op_kind;
    int client;
    uint64_t attempt;
    uint32_t op;
    uint64_t revision;   /* asked for, or answered */
    uint32_t key, value; /* of a read: which register, and the write that it saw there */
    enum reply_kind reply;
};

enum event_kind {
    EV_TICK,
    EV_MESSAGE,
    EV_CALL,
    EV_CALL_ANSWER,
    EV_KEYS,
    EV_SYNC,
    EV_COPIED,
    EV_LEASE,
    EV_CLIENT,
    EV_CLIENT_TIMEOUT,
    EV_FAULT
};
struct event {
    int64_t at_ms;
    uint64_t order;
    enum event_kind kind;
    int slot;
    uint64_t incarnation, number;
    void *data;
};

/* --- a data node --- */
struct waiting_op {
    int client;
    uint64_t attempt, seq;
    uint32_t op, key, value;
};
struct node {
    int slot;
    bool there; /* exists in this run */
    bool alive;
    uint64_t incarnation;
    char id[KT_ID_LEN + 1], addr[KT_ADDR_MAX];
    bool electable;
    int32_t priority;
    int64_t clock_offset_ms, clock_permille;
    bool withdrawn;         /* its entry is taken out of etcd for good */
    int64_t blind_until_ms; /* its watch of etcd is silent */
    int64_t paused_from_ms, paused_until_ms, slow_disk_until_ms, late_views_until_ms;
    int64_t pause_at_call_ms; /* it falls asleep for so long at its next call for its lease */
    int crash_in;             /* persist steps until it crashes; 0 = not */
    bool fail_sync;
    bool rejoin;
    int copy_of;                /* a copied disk of that node's; -1 = not one */
    bool of_lost_past;          /* it holds what was given up when a loss was accepted */
    uint64_t receiving_request; /* an answer or a copy comes in slowly */
    int64_t receiving_until_ms;

    /* On disk. */
    struct kt_machine_disk disk;
    struct entry log[LOG_MAX + 1]; /* by seq */
    uint64_t first_seq, end_seq, synced_seq, disk_commit;
    struct kt_epoch vector[EPOCHS_MAX];
    size_t vector_count;

    /* In memory. */
    struct kt_machine machine;
    uint64_t applied;
    uint64_t sync_number; /* of the newest sync under way */
    bool syncing;
    uint64_t append_commit;
    struct message *in_hand; /* of the event being taken */
    struct message *copy;
    uint64_t copy_asked; /* the newest request for one */
    struct kt_coord_view view;
    struct keys *keys;
    bool reachable;
    struct {
        int64_t id, end_ms;       /* local clock */
        int64_t sent_ms, next_ms; /* local clock */
        uint64_t call;            /* under way; 0 = none */
        int64_t call_until_ms;
        bool granting;
    } lease;
    struct {
        struct kt_service told;
        int64_t told_lease;
        uint64_t call;
        int64_t call_until_ms, next_ms;
        struct kt_service sending;
    } service;
    struct {
        uint64_t call;
        int64_t call_until_ms;
        char nonce[KT_ID_LEN + 1], seen[KT_ID_LEN + 1];
    } txn;
    struct waiting_op ops[64];
    size_t op_count;
};

struct client {
    bool busy;
    enum op_kind kind;
    uint32_t op;
    uint64_t attempt;
    int target;
    bool maybe;    /* an attempt may have been done */
    uint64_t turn; /* its next one; others have been overtaken */
    uint64_t began;
    uint64_t need; /* a revision that must be seen: acknowledged before it began */
    uint64_t session;
    int64_t invoked_ms;
};

struct options {
    int nodes, expect, min_in_sync, ttl_s;
    int64_t lag_timeout_ms;
    uint64_t log_keep;
    bool outsider;   /* the last node is cut off at first */
    bool standalone; /* the first node's database was written without etcd */
    bool releases;   /* a step-down is said to all, too */
    int scenario;    /* 0 = faults by chance */
    int story;       /* -1 = none */
    bool exact_clocks;
};

struct world {
    uint64_t seed, chance;
    int64_t now_ms;
    struct event *queue;
    size_t queue_count, queue_cap;
    uint64_t orders, calls;
    struct options options;
    struct etcd etcd;
    struct node nodes[SLOTS];
    struct client clients[CLIENTS];
    /* links */
    int64_t cut_until_ms[SLOTS + 1][SLOTS + 1];
    int64_t lossy_until_ms, flaky_until_ms; /* network; calls to etcd */
    /* history */
    struct entry committed[LOG_MAX + 1];
    uint64_t committed_end;
    char cluster[KT_ID_LEN + 1]; /* whose history it is */
    uint64_t acked_max, read_max;
    uint32_t ops;
    uint64_t op_seq[OPS_MAX];
    bool op_refused[OPS_MAX];
    uint64_t op_need[OPS_MAX]; /* its place comes behind that one */
    struct {
        uint64_t epoch;
        char id[KT_ID_LEN + 1];
    } epoch_leaders[EPOCHS_MAX];
    size_t epoch_leader_count;
    /* Linearizable operations that were done; moments are numbers of events. */
    struct {
        uint64_t began, ended, revision;
        uint32_t key, value; /* of a read; a write's own number is its value */
        bool is_write;
    } history[HISTORY_MAX];
    size_t history_count;
    /* plan */
    int64_t first_fault_ms, healed_ms, end_ms;
    bool short_end;                           /* ends soon after writes are taken again */
    int64_t late_growth_ms, late_campaign_ms; /* such a call is so late; a story's */
    int64_t kill_at_growth_ms; /* the leader dies for so long as its growth comes to pass */
    int64_t kill_at_win_ms;    /* who wins, and all but story_slot, die for so long */
    bool lonely_win;           /* nobody else hears of the next win */
    bool wipe_at_campaign;     /* the next campaign is lost, and etcd's disk with it */
    int64_t align_revision;    /* the first configuration after that stands at this revision */
    int64_t copy_delay_ms;     /* of every copy */
    int64_t copy_rest_ms;      /* so long a slow one still comes in after the last fault */
    int64_t away_ms;           /* of whom DO_KILL_LEADER of plan.c kills */
    int64_t steady_until_ms;   /* clients write without a pause, */
    int slow_slot;             /* and this node's links are slow; -1 = none */
    int story_slot;
    bool etcd_set_back, node_wiped;
    int64_t last_ack_ms, longest_gap_ms; /* from a scenario's fault on */
    int64_t first_ack_ms;                /* of a write begun after the last fault; 0 = none */
    uint64_t acks, reads, steps, commits, copies, cuts, epochs, ended;
    bool recovering; /* a loss is accepted */
    bool lost_past;  /* it was; up to here all is left */
    uint64_t lost_common;
    bool operated;  /* an operator had to help, */
    bool asked;     /* and his leave to lose something was heard */
    int asked_slot; /* by this one */
    int64_t recover_again_ms;
    uint64_t recoveries, others, rejoins, all_lost;
    char forgotten[KT_ID_LEN + 1], dropped[KT_ID_LEN + 1];
    bool over; /* nothing can be said any more */
    bool failed, tracing;
    char why[300];
};
extern struct world *w;

/* world.c */
uint64_t chance(void);
int64_t between(int64_t from, int64_t to); /* both inclusive */
bool one_in(int64_t n);
void random_id(void *ctx, char dest[KT_ID_LEN + 1]);
struct event *post(int64_t delay_ms, enum event_kind kind, int slot, void *data);
bool next_event(struct event *ret_event);
void send_message(struct message *message); /* takes it */
void send_slowly(struct message *message, int64_t extra_ms);
struct message *new_message(enum message_kind kind, int from, int to);
void free_message(struct message *message);
bool is_cut(int from, int to);
void trace(const char *fmt, ...) KT_PRINTF(1, 2);
void fail(const char *fmt, ...) KT_PRINTF(1, 2);

/* etcd.c */
void etcd_init(void);
void etcd_done(void);
void etcd_call(struct call *call); /* takes it; from a node */
void etcd_take(struct call *call);
void etcd_lease_ends(int64_t lease);
void etcd_revoke_of(int slot);
void etcd_wipe(void);
void etcd_restore(void); /* an older backup */
void etcd_back_up(void);
void etcd_set_down(bool down);
void keys_unref(struct keys *keys);
void etcd_show(int slot); /* the newest keys to one node */

/* node.c */
void node_look(struct node *node, struct kt_machine_facts *facts, struct kt_machine_log *log);
void node_step(struct node *node, const struct kt_m_event *event);
void node_step_facts(struct node *node);
void node_reply(const struct waiting_op *op, int from, enum reply_kind kind, uint64_t revision);
struct call *new_call(struct node *node, enum call_kind kind);
int slot_of_addr(const char *addr);
int slot_of_id(const char *id);
int slot_of_session(const char *session);
int leader_slot(void); /* -1 = nobody leads */
int64_t local_ms(const struct node *node);
/* node_take.c */
void node_take(const struct event *event);
/* node_disk.c */
void node_add_entry(struct node *node, const struct entry *entry);
void node_start_sync(struct node *node);
void node_lose_unsynced(struct node *node);
void node_drop_vector(struct node *node); /* of entries that are gone */
void node_cut_head(struct node *node);
bool node_crashes(struct node *node); /* at each persist step; true: it has crashed */
void node_take_sync(struct node *node, uint64_t number);
void node_take_copied(struct node *node);
void node_finish_swap(int slot);
/* node_etcd.c */
void node_keep_lease(struct node *node);
void node_keep_entry(struct node *node);
void node_take_txn_answer(struct node *node, enum kt_txn_outcome outcome);
void node_take_call_answer(struct node *node, const struct call *call);
void node_take_keys(struct node *node, struct keys *keys);
/* node_life.c */
void node_init(int slot);
void node_write_alone(int slot, uint64_t entries);
void node_start(int slot);
void node_crash(int slot);
void node_wipe(int slot);
void node_stop(int slot, const char *target);
void node_hand_over(int slot, const char *target);
void node_recover(int slot);
void node_forget(int slot, const char *id);
void node_copy_disk(int slot, int of);
void node_drop_copies(int of);
void node_free(int slot);

/* clients.c */
void clients_start(void);
void clients_forget(void);
void client_next(int client, uint64_t turn);
void client_reply(const struct message *message);
void client_timeout(int client, uint64_t attempt);

/* check.c */
void check_lead(const struct node *node);
void check_stopped(const struct node *node, const char *why);
void check_commit(const struct node *node, uint64_t from, uint64_t to);
void check_ack(uint32_t op, uint64_t seq, uint64_t need);
bool all_caught_up(void);
bool is_set_there(void);
void check_gets_in_sync(int slot);
void check_past(struct node *node);
void check_cut(const struct node *node, uint64_t seq);
void check_txn(const struct node *node);
void check_growth(const struct node *leader, const struct kt_cluster_config *config);
void check_lease(int slot, int64_t lease);
void check_end(void);
void note_done(const struct client *client, uint64_t revision, uint32_t key, uint32_t value);

/* plan.c, stories.c */
#define SCENARIOS 21
const char *scenario_name(int scenario);
void plan_run(void);
void growth_is_late(void);
void growth_came_to_pass(int leader);
void win_came_to_pass(int winner);
void campaign_was_lost(int slot, int64_t compared_revision);
void take_fault(const struct event *event);

#endif

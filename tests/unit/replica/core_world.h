/* core_world.h - a small etcd and some cores, for tests: no threads, no clocks, no chance.
 *
 * The etcd holds a leader key, a configuration and service entries, with leases and revisions. A
 * node is a core, what it has on disk, and the view of etcd it saw last. `world_look` shows a node
 * the present view and carries out what the core asks for, as the driver does: a KEEP reaches the
 * disk, a transaction is run (or not, or its answer is lost: `fate`) and its outcome told at once.
 * Each action is noted in `trace`: "UNFOLLOW CAMPAIGN KEEP LEAD".
 *
 * Threads: one.
 * Owns:    everything, until world_free.
 * Fails:   by aborting.
 */
#ifndef KT_TEST_CORE_WORLD_H
#define KT_TEST_CORE_WORLD_H

#include "base/mem.h"
#include "replica/core.h"

#define WORLD_NODES 4
#define WORLD_SERVICES 80
#define WORLD_TTL_S 5

/* What becomes of the next transaction. */
enum world_fate {
    FATE_RUN,     /* run, and its outcome told */
    FATE_REFUSED, /* refused without having been run */
    FATE_LOST,    /* UNKNOWN, never run */
    FATE_HIDDEN,  /* UNKNOWN, but run */
    FATE_LATE     /* UNKNOWN, run when world_land is called */
};

struct world_txn { /* as it goes to etcd */
    bool is_campaign, compared_present;
    int64_t compared_revision, lease;
    char compared_nonce[KT_ID_LEN + 1];
    size_t node;
    struct kt_cluster_config config;
};

struct world_node {
    struct kt_core core;
    struct kt_core_options options;
    /* on disk */
    char cluster[KT_ID_LEN + 1];
    struct kt_cluster_config kept;
    uint64_t epoch, end_seq, end_epoch, commit_seq;
    /* in the process */
    bool running, registered;
    int64_t lease, lease_end_ms, etcd_lease_end_ms;
    struct kt_coord_view *view; /* what it saw last */
    struct kt_service *view_services;
    struct kt_actions *actions[3]; /* one for each depth of a step */
    enum kt_core_role role_before;
};

struct world {
    int64_t now_ms;
    int64_t revision, last_lease;
    struct {
        bool present;
        char id[KT_ID_LEN + 1];
        char addr[KT_ADDR_MAX];
        uint64_t epoch;
        int64_t lease, create_revision;
    } leader;
    struct {
        bool present, valid;
        struct kt_cluster_config value;
        int64_t mod_revision;
    } config;
    struct kt_service services[WORLD_SERVICES];
    size_t service_count;
    bool reachable;
    enum world_fate fate; /* of the next txn; then FATE_RUN again */
    struct world_txn late;
    bool has_late;
    struct world_node nodes[WORLD_NODES];
    char run[64][KT_ID_LEN + 1]; /* nonces of the newest transactions that etcd ran */
    size_t run_count;
    char trace[512];
    /* Called for each action, before it is carried out; false = the node dies instead. */
    bool (*on_action)(struct world *world, size_t node, const struct kt_action *action);
    void *ctx;
};

struct world *world_new(void);
void world_free(struct world **world);

/* Node n: id "a00000000000000n", address "nodeN:80", ttl 5, expect 1. */
struct world_node *world_add(struct world *world, size_t n, bool may_lead, int32_t priority);
/* Starts (again) from what is on disk; a lease and a registration come with it. */
void world_boot(struct world *world, size_t n);
/* As kill -9: the keys stay until world_end_lease. */
void world_kill(struct world *world, size_t n);
void world_end_lease(struct world *world, size_t n);
void world_new_lease(struct world *world, size_t n); /* registers too */
/* Puts the node's own entry as its core describes it. */
void world_register(struct world *world, size_t n);
/* A registered process that is none of the nodes. */
struct kt_service *world_put_service(struct world *world, const char *id, const char *addr);
void world_drop_service(struct world *world, const char *addr);
void world_wipe(struct world *world); /* etcd lost its disk */

/* Takes a new view of etcd, renews the lease clock. */
void world_refresh(struct world *world, size_t n);
/* One step with the view that it has. */
void world_tell(struct world *world, size_t n, enum kt_event_kind kind, const char *why);
/* refresh + a VIEW step + registration; `trace` then holds this step's actions alone. */
const char *world_look(struct world *world, size_t n);
/* Appends the epoch-start (as leader) and tells that it was applied. */
void world_start(struct world *world, size_t n);
void world_write(struct world *world, size_t n); /* one more entry */
void world_land(struct world *world);            /* a FATE_LATE txn reaches etcd */

bool world_was_run(const struct world *world, const char *nonce);
const char *world_id(size_t n); /* static storage */
void world_random_id(char dest[KT_ID_LEN + 1]);

#endif

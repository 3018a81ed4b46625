/* coord.h - who is there, who leads, and what the cluster is configured to: seen through one
 * interface with four makers (etcd, another node that has one, standalone, and a fake for tests).
 *
 * A coord registers its process under a lease, keeps the lease alive, watches everything below the
 * prefix and publishes immutable views. A key of ours that vanishes while we live is put again (a
 * living lease can be lost); the leader key never is: it is won by a campaign or not held.
 *
 * Lease clock: starts before the keepalive is sent, moves only by a grant or keepalive of the
 * current lease, and ends after 0.9 × min(requested, granted) TTL. It counts time in suspend.
 *
 * Views: built from a list and a watch from its revision + 1; on cancel, compaction or the end of
 * the stream listed again and compared (keys that are gone are gone); a full list every 60 s; a
 * watch that was silent for ttl is checked by a read. All events of one etcd revision enter one
 * view together.
 *
 * Threads: of its own: two with etcd (lease, watch), one through another node. on_change runs on
 *          them with no lock held and must not block: wake somebody. Everything else from any
 *          thread; campaign, update and resign block for at most one etcd call and are called by
 *          one thread at a time.
 * Owns:    its threads, its lease. Views are counted references.
 * Fails:   start with KT_BAD_VALUE, KT_NO_MEMORY; an etcd that does not answer is no failure of
 * start: it is tried again for ever (0.2 s … 1 s) and logged once per change.
 */
#ifndef KT_COORD_COORD_H
#define KT_COORD_COORD_H

#include "coord/config.h"
#include "etcd/etcd.h"

struct kt_coord; /* opaque */
struct kt_access;
struct kt_jw;

struct kt_coord_view {
    int refs;                    /* atomic; use ref/unref */
    bool complete;               /* a full list was read at least once */
    bool reachable;              /* etcd answered the newest call (watch, list or keepalive) */
    int64_t revision;            /* etcd's; 0 when unknown */
    uint64_t number;             /* rises with every view published */
    struct kt_service *services; /* data nodes and gateways, by key */
    size_t service_count;
    struct {
        bool present, mine; /* mine: under my current lease */
        char id[KT_ID_LEN + 1];
        char addr[KT_ADDR_MAX];
        uint64_t epoch;
        int64_t create_revision, lease;
    } leader;
    struct {
        bool present, valid; /* valid: it could be parsed */
        struct kt_cluster_config value;
        char *text; /* as it stands in etcd, for comparing */
        int64_t mod_revision;
        char why_invalid[160];
    } config;
    bool own_key_present; /* my service key is in etcd, under my current lease */
    int64_t own_lease;    /* 0 = none */
};

struct kt_coord_options {
    const char *endpoints;                   /* etcd */
    const char *register_with;               /* nodes instead of it: "host:port,host:port" */
    struct kt_access *access;                /* signs what is asked of them; NULL = unsigned */
    const struct kt_etcd_security *security; /* NULL = none; its strings are borrowed */
    const char *prefix;                      /* "/kamaitachi" */
    int64_t ttl_s;                           /* 3..60 */
    const char *service_name, *addr;
    const struct kt_service *self; /* first value; registered at once. NULL = watch only */
    void (*on_change)(void *ctx);
    void *on_change_ctx;
    /* false: do not register until kt_coord_set_service is called */
    bool register_now;
};

enum kt_status kt_coord_start_etcd(const struct kt_coord_options *options,
                                   struct kt_coord **ret_coord, struct kt_error *err) KT_MUST_CHECK;
/* Registers with a node that reaches etcd and sees what that one sees, by heartbeats: at least
 * every third of the ttl, and at once when the own entry changes. When a node fails the next is
 * asked. Campaigns are refused, there is no lease clock. */
enum kt_status kt_coord_start_remote(const struct kt_coord_options *options,
                                     struct kt_coord **ret_coord,
                                     struct kt_error *err) KT_MUST_CHECK;
/* A list of addresses of nodes, for the configuration. */
enum kt_status kt_coord_nodes_check(const char *list, struct kt_error *err) KT_MUST_CHECK;
/* Leader of itself: campaigns win at once, nothing leaves the process. */
enum kt_status kt_coord_start_standalone(const struct kt_coord_options *options,
                                         struct kt_coord **ret_coord,
                                         struct kt_error *err) KT_MUST_CHECK;

struct kt_coord_view *kt_coord_view(struct kt_coord *coord); /* counted; never NULL */
struct kt_coord_view *kt_coord_view_ref(struct kt_coord_view *view);
void kt_coord_view_unref(struct kt_coord_view **view);
/* A data node's entry; NULL = none. Of two with one id the one that was registered first: it is the
 * node, the other a copy of its disk. */
const struct kt_service *kt_coord_view_node(const struct kt_coord_view *view, const char *id);
/* What a view shows of etcd, for a node that cannot reach it: "revision":n,"complete":b,
 * "reachable":b,"keys":[{"key","value","create_revision","mod_revision","lease":"digits"}], keys
 * without the prefix. Writes members of the object that is open; KT_NO_MEMORY: it is half. */
enum kt_status kt_coord_view_format(const struct kt_coord_view *view,
                                    struct kt_jw *jw) KT_MUST_CHECK;
/* Monotonic ms until which `lease` certainly lives; 0 = it is not the current lease. With the
 * view's own_lease the answer is about the very lease under which the view's keys are "mine":
 * another may have taken its place since. */
#define KT_COORD_CURRENT_LEASE INT64_C(-1) /* whichever it is */
int64_t kt_coord_lease_end_mono_ms(struct kt_coord *coord, int64_t lease);

/* Changes my entry: put at once when role, state or kept changed, else at most every ttl/3. */
void kt_coord_set_service(struct kt_coord *coord, const struct kt_service *self);
/* Uses another ttl from the next lease on (the cluster's). */
void kt_coord_set_ttl(struct kt_coord *coord, int64_t ttl_s);

enum kt_txn_outcome { KT_TXN_DONE, KT_TXN_REFUSED, KT_TXN_UNKNOWN };
/* One txn: if the leader key is absent or under my lease, and the config key is still as in `view`
 * (mod_revision and value, or absent), put the leader key with my lease and the new config.
 * REFUSED: a compare did not hold. UNKNOWN: no answer, or no lease. The new config's nonce tells
 * whose it is. */
enum kt_txn_outcome kt_coord_campaign(struct kt_coord *coord, const struct kt_coord_view *view,
                                      const struct kt_cluster_config *config, struct kt_error *err);
/* One txn: if the leader key is under my lease and config is as in `view`, put the new config. */
enum kt_txn_outcome kt_coord_update_config(struct kt_coord *coord, const struct kt_coord_view *view,
                                           const struct kt_cluster_config *config,
                                           struct kt_error *err);
/* Deletes the leader key if its create_revision is still the view's: my own when I resign, or one
 * that names my id under an earlier lease. */
enum kt_txn_outcome kt_coord_delete_leader(struct kt_coord *coord, const struct kt_coord_view *view,
                                           struct kt_error *err);
/* Renews the lease now, on a thread of the coord's; the lease clock shows when it is done. */
void kt_coord_renew(struct kt_coord *coord);
/* Takes my entry out for good: it is deleted at once, on a thread of the coord's, and not put
 * again. Lease and leader key stay, so that a leader can finish what it has begun where nobody
 * sends it anything new. kt_coord_deregister is still due. */
void kt_coord_withdraw(struct kt_coord *coord);
/* Removes my entry (revoking the lease) within timeout_ms, then stops the threads. The coord can
 * still be asked for its last view. */
void kt_coord_deregister(struct kt_coord *coord, int64_t timeout_ms);
void kt_coord_free(
    struct kt_coord **coord); /* stops without deregistering if that was not called */

/* The fake maker: many coords of one process share a kt_coord_fake instead of an etcd; tests set
 * leader and config, drop leases and choose outcomes. It has no threads: when a call that changes
 * something returns, every view shows it, and on_change was called on the caller's thread, with no
 * lock held, for each coord whose view changed, in the order of their start. Standalone works the
 * same way. */
struct kt_coord_fake;
struct kt_coord_fake *kt_coord_fake_new(void);
void kt_coord_fake_free(struct kt_coord_fake **fake);
enum kt_status kt_coord_start_fake(struct kt_coord_fake *fake,
                                   const struct kt_coord_options *options,
                                   struct kt_coord **ret_coord, struct kt_error *err) KT_MUST_CHECK;
/* Its keys vanish (service and leader), also those of a coord that was freed without deregistering.
 * A living coord stays without a lease until its kt_coord_set_service or kt_coord_fake_renew. */
void kt_coord_fake_drop_lease(struct kt_coord_fake *fake, const char *addr);
void kt_coord_fake_renew(struct kt_coord_fake *fake, const char *addr);
/* Of the next txn alone. REFUSED: it is not run. UNKNOWN: it is run, and its answer is lost. */
void kt_coord_fake_next_outcome(struct kt_coord_fake *fake, enum kt_txn_outcome outcome);
/* The next txn is UNKNOWN and was not run. */
void kt_coord_fake_lose_next(struct kt_coord_fake *fake);
void kt_coord_fake_set_config(struct kt_coord_fake *fake, const char *text); /* NULL = absent */
/* id NULL = absent. Under the lease of the coord with this id and address, else a foreign one. */
void kt_coord_fake_set_leader(struct kt_coord_fake *fake, const char *id, const char *addr,
                              uint64_t epoch);
/* false: views show no more than that they are cut off, txns are UNKNOWN and not run, lease clocks
 * run out (leases themselves live on). */
void kt_coord_fake_set_reachable(struct kt_coord_fake *fake, bool reachable);

#endif

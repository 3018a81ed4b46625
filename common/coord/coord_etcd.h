/* coord_etcd.h - the etcd maker's object, shared by its three files.
 *
 * The lease thread grants, puts the service key and renews; the watch thread lists and watches.
 * Each reads and writes what is below `mutex` and drops it across calls. Both sleep on `cond`,
 * which everything that could concern them broadcasts.
 *
 * Threads: see coord.h; mutex KT_RANK_COORD.
 * Owns:    the client, the threads, the lease.
 * Fails:   as coord.h says.
 */
#ifndef KT_COORD_COORD_ETCD_H
#define KT_COORD_COORD_ETCD_H

#include "coord/coord_internal.h"
#include "etcd/etcd.h"

#define COORD_CALL_MS 1000
#define COORD_SAY_MS 2000 /* between two lines that only differ in why etcd is not reached */
#define COORD_LIST_EVERY_MS (60 * 1000)

enum coord_reach { COORD_REACH_UNKNOWN, COORD_REACH_NO, COORD_REACH_YES };

struct coord_etcd {
    struct kt_coord base; /* first: the interface's pointer is this one */
    struct kt_etcd *etcd;
    char *endpoints;
    struct kt_etcd_security security;
    char prefix[KT_COORD_PREFIX_MAX];
    char service_name[64];
    char addr[KT_ADDR_MAX];
    struct kt_thread lease_thread, watch_thread;

    struct kt_mutex mutex; /* all that follows */
    struct kt_cond cond;
    bool stopping;
    struct coord_facts facts;
    bool complete;
    enum coord_reach reach;
    enum kt_status unreached_why; /* as it was told last */
    int64_t unreached_said_mono_ms;

    int64_t ttl_s;                     /* to ask for */
    int64_t lease, asked_s, granted_s; /* the current lease; 0 = none */
    int64_t lease_end_mono_ms;         /* when it may be gone at the earliest */
    int64_t granted_mono_ms;           /* when it was asked for */
    int64_t renew_mono_ms;             /* when the next keepalive is due */
    int64_t retry_mono_ms;             /* no call of the lease thread before */
    unsigned failures;                 /* of the lease thread, in a row */

    bool refused;                   /* etcd does not let us write our key; told once */
    bool has_self, urgent, changed; /* my entry: given; put it now; put it within ttl/3 */
    struct kt_service self;
    int64_t put_revision;     /* of my key under this lease; 0 = not put yet */
    int64_t put_mono_ms;      /* when it was put last */
    bool withdrawn;           /* my entry goes and does not come back; the lease stays */
    int64_t gone_revision;    /* when I deleted it, then; 0 = not yet */
    int64_t restored_mono_ms; /* when it was last put because it was missing */
};

/* Builds a view and, if it differs, publishes it, logs the difference and calls on_change. */
void kt_coord_etcd_publish(struct coord_etcd *coord);
/* What a call says about etcd; logs the first one that differs, also in why it is not reached. */
void kt_coord_etcd_reached(struct coord_etcd *coord, bool reached, const struct kt_error *why);
/* A call that etcd answers to anybody says that it lives, not that it lets us in: who was refused
 * for its user stays unreached. */
void kt_coord_etcd_answered(struct coord_etcd *coord);
void kt_coord_etcd_lease_run(void *coord);
void kt_coord_etcd_watch_run(void *coord);
enum kt_txn_outcome kt_coord_etcd_campaign(struct kt_coord *base, const struct kt_coord_view *view,
                                           const struct kt_cluster_config *config,
                                           struct kt_error *err);
enum kt_txn_outcome kt_coord_etcd_update_config(struct kt_coord *base,
                                                const struct kt_coord_view *view,
                                                const struct kt_cluster_config *config,
                                                struct kt_error *err);
enum kt_txn_outcome kt_coord_etcd_delete_leader(struct kt_coord *base,
                                                const struct kt_coord_view *view,
                                                struct kt_error *err);

#endif

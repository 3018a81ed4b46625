/* nodes.h - the data nodes as the gateway knows them. Include <uv.h> first.
 *
 * A node is one object for as long as one process (id and address) is registered; what changes
 * often (its probe's verdict, ejection, counters) are atomics in it. Who is there and who leads is
 * an immutable table, made anew whenever the coord's view changes and handed to each loop through a
 * slot of its own: a loop looks at its table without a lock.
 *
 * Threads: update on the control thread; take on the loop that owns the slot; the rest anywhere.
 * Owns:    tables and nodes are counted: loops, workers and pools hold references.
 * Fails:   update keeps the former table when memory is out.
 */
#ifndef KT_GATEWAY_NODES_H
#define KT_GATEWAY_NODES_H

#include "base/thread.h"
#include "coord/coord.h"

#include <stdatomic.h>

/* What the newest good probe told. */
struct kt_node_facts {
    uint64_t revision, epoch;
    int64_t lag_ms;
    int64_t latency_ms;
    bool leads;
    char why_down[96]; /* "" while the probe is good */
};

struct kt_gw_node {
    _Atomic int refs;
    char id[KT_ID_LEN + 1];
    char addr[KT_ADDR_MAX];
    char host[256];
    uint16_t port;
    bool is_guest; /* registered by another node, since it cannot reach etcd */
    /* The resolved address: a new one goes to the other slot before the index moves (release), and
     * a slot is written again a probe's interval later at the earliest. */
    struct sockaddr_storage sockaddrs[2];
    _Atomic int sockaddr_index;
    _Atomic bool up; /* its own probe said so; release: the address is there */
    /* A connection was refused or a read stayed without an answer then, and no probe was good
     * since; 0 = no. */
    _Atomic int64_t refused_ms;
    _Atomic uint64_t revision; /* what the newest good probe said; relaxed: a hint */
    _Atomic bool gone;         /* in no table any more */
    _Atomic bool probe_now;
    _Atomic uint64_t requests, failures; /* relaxed: only ever shown */
    struct kt_mutex facts_lock;
    struct kt_node_facts facts;
};

void kt_gw_node_ref(struct kt_gw_node *node);
void kt_gw_node_unref(struct kt_gw_node **node);
/* May it be given traffic? */
static inline bool kt_gw_node_is_up(struct kt_gw_node *node)
{
    return atomic_load_explicit(&node->up, memory_order_acquire);
}
static inline bool kt_gw_node_is_refused(struct kt_gw_node *node)
{
    return atomic_load_explicit(&node->refused_ms, memory_order_relaxed) != 0;
}
const struct sockaddr *kt_gw_node_sockaddr(struct kt_gw_node *node);
void kt_gw_node_facts(struct kt_gw_node *node, struct kt_node_facts *ret_facts);

struct kt_gw_table {
    _Atomic int refs;
    struct kt_coord_view *view; /* what it was made from */
    struct kt_gw_node *nodes[KT_MEMBERS_MAX];
    size_t count;
    size_t kept; /* of them, the last: not registered any more, and better than nobody */
    int leader;  /* index into nodes; -1 = nobody leads or it is not registered */
};
void kt_gw_table_unref(struct kt_gw_table **table);

struct kt_nodes; /* opaque */
/* wake(ctx, slot) tells the owner of a slot that a table waits there; any thread, may not block. */
struct kt_nodes *kt_nodes_new(size_t slots, void (*wake)(void *ctx, size_t slot), void *ctx);
void kt_nodes_free(struct kt_nodes **nodes);
/* Makes and publishes a table of the view's data nodes; takes the view. While none of them is
 * up, those of the former table that are stay: to be called again then, with the newest view.
 * False: out of memory, nothing changed. */
bool kt_nodes_update(struct kt_nodes *nodes, struct kt_coord_view *view);
/* The newest table; counted. NULL before the first update. */
struct kt_gw_table *kt_nodes_current(struct kt_nodes *nodes);
/* The table that waits in the slot, or NULL; counted. */
struct kt_gw_table *kt_nodes_take(struct kt_nodes *nodes, size_t slot);

#endif

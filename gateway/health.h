/* health.h - which nodes answer: a probe of each node's /health. Include <uv.h> first.
 *
 * A node takes traffic only when its own probe says so; what others say of it (etcd, a leader) only
 * puts it on the list. A node that is down is probed four times as often, and at once when a
 * connection was refused; an answer other than 200 is the node's own word and counts immediately.
 *
 * Threads: the control loop's; verdicts are atomics in the nodes.
 * Owns:    one probe per node, with its timer and the question under way.
 * Fails:   a node that can't be probed stays down, and says why.
 */
#ifndef KT_GATEWAY_HEALTH_H
#define KT_GATEWAY_HEALTH_H

#include "gateway/nodes.h"

struct kt_health_options {
    int64_t interval_ms, timeout_ms, down, up;
};

struct kt_health; /* opaque */

struct kt_health *kt_health_new(uv_loop_t *loop, const struct kt_health_options *options);
/* Begins probing nodes that are new in the table, stops with those that are gone. */
void kt_health_follow(struct kt_health *health, const struct kt_gw_table *table);
/* Probes at once the nodes that a loop marked (probe_now). */
void kt_health_hurry(struct kt_health *health);
/* Stops all probes; the handles close on the loop, after which free may be called. */
void kt_health_stop(struct kt_health *health);
void kt_health_free(struct kt_health **health);

#endif

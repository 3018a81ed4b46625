/* own_counters.h - what the loops count, by name, for whoever shows it. Include <uv.h> first.
 *
 * Threads: any; each number is read by itself, so that sums may be a moment apart.
 * Owns:    nothing.
 * Fails:   never.
 */
#ifndef KT_GATEWAY_OWN_COUNTERS_H
#define KT_GATEWAY_OWN_COUNTERS_H

#include "gateway/own_impl.h"

/* X(name, sinks, help): `sinks` is true of what may fall again. */
#define KT_OWN_COUNTERS(X)                                                                         \
    X(connections, false, "Client connections accepted.")                                          \
    X(refused, false, "Connections refused at [server] max_connections.")                          \
    X(evicted, false, "Idle connections closed to make room.")                                     \
    X(requests, false, "Requests.")                                                                \
    X(own, false, "Requests for the gateway itself.")                                              \
    X(reads, false, "Reads for the nodes.")                                                        \
    X(writes, false, "Writes for the leader.")                                                     \
    X(admin, false, "Requests of operators for the nodes.")                                        \
    X(errors_4xx, false, "Answers with a status from 400 to 499.")                                 \
    X(errors_5xx, false, "Answers with a status of 500 and more.")                                 \
    X(retries, false, "Reads sent to another node, out of the retry budget.")                      \
    X(budget_empty, false, "Reads not repeated for want of budget.")                               \
    X(stale, false, "Requests sent again because a used connection had been closed.")              \
    X(rerouted, false, "Requests sent on to the leader that a node named.")                        \
    X(aborted, false, "Requests whose client left or whose answer broke.")                         \
    X(upstream_opened, false, "Connections opened to nodes.")                                      \
    X(upstream_failed, false, "Connections to nodes that failed to open.")                         \
    X(open_now, true, "Client connections that are open.")                                         \
    X(waiting, true, "Requests that wait for a leader.")                                           \
    X(waits_served, false, "Requests that waited for a leader and were answered.")                 \
    X(waits_failed, false, "Requests that waited for a leader and failed.")                        \
    X(waits_refused, false, "Requests that could not wait because too many did.")                  \
    X(waits_left, false, "Requests whose client left while they waited for a leader.")             \
    X(keys_added, false, "Writes that were given an Idempotency-Key.")                             \
    X(keys_refused, false, "Added keys that the leader refused: the write was sent without.")      \
    X(repeats, false, "Writes sent again under their key because an attempt may have done them.")

struct kt_own_sums {
#define KT_OWN_DECLARE(name, sinks, help) uint64_t name;
    KT_OWN_COUNTERS(KT_OWN_DECLARE)
#undef KT_OWN_DECLARE
    uint64_t wait_longest_ms; /* of all loops */
};

void kt_own_sum(const struct kt_own *own, struct kt_own_sums *ret_sums);

#endif

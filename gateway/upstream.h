/* upstream.h - a loop's connections to the nodes: kept alive, bounded, trimmed. Include <uv.h>
 * first.
 *
 * Each connection occupies a thread of its node, so there is a bound per node and exchanges beyond
 * it wait in line. The last used is used first: what is not needed grows old and is closed.
 *
 * Threads: the loop's.
 * Owns:    connections and peers; a peer outlives its place in the table until the last of its
 *          connections is gone.
 * Fails:   through kt_exchange_on_failed.
 */
#ifndef KT_GATEWAY_UPSTREAM_H
#define KT_GATEWAY_UPSTREAM_H

#include "gateway/loop.h"

/* Gives the exchange a connection to the peer: at once, when one is made, or when one is free;
 * `fresh` never takes a used one. Ends in kt_exchange_on_ready or _on_failed. */
void kt_upstream_acquire(struct kt_exchange *exchange, struct kt_peer *peer, bool fresh);
/* The node refused a connection or stays silent: it gets no reads until a probe is good, and is
 * probed at once; the last one gets them nevertheless. */
void kt_upstream_doubt(struct kt_loop *loop, struct kt_peer *peer);
/* Takes the exchange off its peer, wherever it stands. The connection goes back to the pool when
 * `reusable`, else it closes. */
void kt_upstream_release(struct kt_exchange *exchange, bool reusable);
/* The loop's table was replaced by `table` (taken). */
void kt_upstream_set_table(struct kt_loop *loop, struct kt_gw_table *table);
/* Connect timeouts, idle connections that grew old. */
void kt_upstream_tick(struct kt_loop *loop, int64_t now_ms);
/* Closes the idle ones, and all when `all`. */
void kt_upstream_close_idle(struct kt_loop *loop, bool all);

#endif

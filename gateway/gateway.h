/* gateway.h - a gateway put together: start, stop.
 *
 * It starts without etcd and without nodes and says so (/health 503, reads and writes 503 with what
 * is missing); when etcd goes away later it keeps its last list and trusts its own probes.
 *
 * Threads: accept, loops, workers, control, and the coord's two; start and stop from one thread.
 * Owns:    all of them.
 * Fails:   start with KT_BAD_VALUE, KT_BUSY (the port is taken), KT_IO, KT_NO_MEMORY.
 */
#ifndef KT_GATEWAY_GATEWAY_H
#define KT_GATEWAY_GATEWAY_H

#include "coord/coord.h"
#include "gateway/config.h"

struct kt_gateway; /* opaque */

struct kt_gateway_options {
    const struct kt_gateway_config *config; /* outlives the gateway */
    bool port_wins; /* -port was given: it overrides a port in service_addr */
    /* How the coord is made: kt_coord_start_etcd, or a test's own. */
    enum kt_status (*start_coord)(void *ctx, const struct kt_coord_options *options,
                                  struct kt_coord **ret_coord, struct kt_error *err);
    void *start_coord_ctx;
};

enum kt_status kt_gateway_start(const struct kt_gateway_options *options,
                                struct kt_gateway **ret_gateway,
                                struct kt_error *err) KT_MUST_CHECK;
uint16_t kt_gateway_port(const struct kt_gateway *gateway);
const char *kt_gateway_id(const struct kt_gateway *gateway);
/* Deregisters, accepts no more, finishes requests within [server] drain_ms, ends all threads. */
void kt_gateway_stop(struct kt_gateway **gateway);

#endif

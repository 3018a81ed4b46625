/* fetch.h - one GET on an event loop: probes, and questions to all nodes at once. Include <uv.h>
 * first.
 *
 * A connection of its own, closed afterwards: what is asked is whether the node takes connections
 * now, and a probe must not wait for a pool.
 *
 * Threads: the loop's.
 * Owns:    itself: it is gone once `done` has run.
 * Fails:   through `done`, which runs exactly once and never from within start: KT_UNAVAILABLE
 *          (refused, unreachable), KT_TIMEOUT, KT_BAD_GATEWAY (broken or not HTTP), KT_TOO_LARGE,
 *          KT_BUSY (cancelled), KT_NO_MEMORY. Any HTTP status is KT_OK.
 */
#ifndef KT_GATEWAY_FETCH_H
#define KT_GATEWAY_FETCH_H

#include "base/buf.h"
#include "gateway/parser.h"

struct kt_fetch; /* opaque */

struct kt_fetch_result {
    enum kt_status status;
    const char *why; /* of a failure */
    const struct kt_h1_response *response;
    struct kt_str body;
    int64_t took_ms;
};
typedef void (*kt_fetch_fn)(void *ctx, const struct kt_fetch_result *result);

struct kt_fetch_call {
    const struct sockaddr *sockaddr;
    const char *host; /* for the Host header */
    const char *path;
    int64_t timeout_ms;
    size_t max_bytes; /* of the whole answer */
    kt_fetch_fn done;
    void *ctx;
};

/* NULL when out of memory: `done` is then not called. */
struct kt_fetch *kt_fetch_start(uv_loop_t *loop, const struct kt_fetch_call *call);
/* Ends it with KT_BUSY; `done` runs from within. */
void kt_fetch_cancel(struct kt_fetch *fetch);

#endif

/* control.h - the thread that knows the nodes: it turns the coord's views into tables, probes the
 * nodes, and asks all of them at once for whoever wants to know. Include <uv.h> first.
 *
 * It runs an event loop of its own, apart from those that serve clients, so that a slow name lookup
 * or a hanging probe costs no request anything.
 *
 * Threads: one of its own; the functions here from any thread.
 * Owns:    the node list, the probes.
 * Fails:   start with KT_NO_MEMORY or KT_IO.
 */
#ifndef KT_GATEWAY_CONTROL_H
#define KT_GATEWAY_CONTROL_H

#include "gateway/health.h"

struct kt_control; /* opaque */

enum kt_status kt_control_start(struct kt_nodes *nodes, const struct kt_health_options *health,
                                struct kt_control **ret_control,
                                struct kt_error *err) KT_MUST_CHECK;
void kt_control_stop(struct kt_control **control);
/* Whose views are followed from now on. Its threads must have ended (kt_coord_deregister) before
 * the control stops, and it must outlive it. */
void kt_control_set_coord(struct kt_control *control, struct kt_coord *coord);
/* There is a new view (kt_coord_options.on_change, ctx = the control). */
void kt_control_on_change(void *control);
/* Probe the nodes marked probe_now. */
void kt_control_hurry(struct kt_control *control);

struct kt_ask {
    struct kt_gw_node *node;
    int64_t latency_ms;
    enum kt_status status; /* KT_OK: body is a 200's */
    char why[96];
    struct kt_buf body;
};
/* GETs `path` of all nodes in the asks at once and waits for all answers, at most timeout_ms each.
 * Bodies are initialised by the caller. */
void kt_control_ask_all(struct kt_control *control, struct kt_ask *asks, size_t count,
                        const char *path, int64_t timeout_ms);

#endif

/* node.h - a data node put together: store, cache, coord, replica, HTTP.
 *
 * Start: lock and open the database (redo what the log has and the data lacks), listen, register,
 * lead or follow. Stop: take no new writes, let running requests end (at most stop_grace_ms),
 * resign, deregister, close. docs/ARCHITECTURE.md tells it as a story.
 *
 * Threads: start and stop from one thread. Besides the replica's and the server's there is
 * `keeper`: it probes the own service_addr after each registration and resolves members' hosts.
 * Owns:    everything that it made.
 * Fails:   start with whatever its parts say; nothing is left running then.
 */
#ifndef KT_NODE_NODE_H
#define KT_NODE_NODE_H

#include "base/status.h"
#include "node/config.h"

struct kt_node; /* opaque */

struct kt_node_options {
    const struct kt_node_config *config; /* borrowed until stop has returned */
    bool port_wins; /* -port was given and overrides the port in service_addr too */
    bool rejoin;    /* -rejoin: a full copy when this node has diverged */
    /* The node is to be stopped and started again; from a thread of its own, must not block. */
    void (*on_restart)(void *ctx);
    void *on_restart_ctx;
};

enum kt_status kt_node_start(const struct kt_node_options *options, struct kt_node **ret_node,
                             struct kt_error *err) KT_MUST_CHECK;
void kt_node_stop(struct kt_node **node);

/* The whole program: flags, configuration, start, wait for a signal, stop. Returns the exit status:
 * 0, 1 (could not start), 2 (flags or configuration). */
int kt_node_main(int argc, char **argv, const struct kt_node_program *program);

#endif

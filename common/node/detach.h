/* detach.h - the flag -detach: a database that was in a cluster may go on alone.
 *
 * Threads: before the node is started.
 * Owns:    nothing.
 * Fails:   KT_BAD_VALUE (not a standalone start), else as store/detach.h.
 */
#ifndef KT_NODE_DETACH_H
#define KT_NODE_DETACH_H

#include "node/config.h"

enum kt_status kt_node_detach(const struct kt_node_config *config,
                              struct kt_error *err) KT_MUST_CHECK;

#endif

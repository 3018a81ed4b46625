/* detach.h - new ids for a database that was in a cluster, so that it may go on alone.
 *
 * A database that was in a cluster never starts standalone: two that go on by themselves would both
 * be that cluster. Under new ids it is another one, which the old one refuses and which can't come
 * back to it. Data, log and revisions stay as they are; cursors of pages are refused from then on.
 *
 * Both files name the node and the cluster. The data file forgets both first, durably: a crash
 * before the log has the new ones leaves the old, one after it the new, for open fills in what the
 * data file lacks.
 *
 * Threads: one, with nothing else using the store.
 * Owns:    nothing.
 * Fails:   KT_CONFLICT (half of a copy: there is nothing whole to go on with), else as store.h.
 */
#ifndef KT_STORE_DETACH_H
#define KT_STORE_DETACH_H

#include "store/store.h"

struct kt_store_detached {
    const char *node_id, *cluster_id;
    struct kt_str config_json; /* the configuration to keep: this node alone */
};

/* Closes the store too, whatever comes of it: what it knows in memory is of before. */
enum kt_status kt_store_detach(struct kt_store **store, const struct kt_store_detached *as,
                               struct kt_error *err) KT_MUST_CHECK;

#endif

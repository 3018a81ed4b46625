/* classify.h - whose a request is, and what may be done with it.
 *
 * The gateway knows the API: /data/X is X on a node, everything else is its own, but for what of
 * /cluster/ only a node can do. Reads may be sent again and to any node, writes go to the leader
 * and are sent again only when they were certainly not done or have a key, operators' requests are
 * judged here. A path that nobody knows is a write if its method
 * is not GET or HEAD: the careful side.
 *
 * Threads: any; pure.
 * Owns:    nothing; slices borrow from the request or the arena.
 * Fails:   KT_BAD_REQUEST on a path that can be read in two ways.
 */
#ifndef KT_GATEWAY_CLASSIFY_H
#define KT_GATEWAY_CLASSIFY_H

#include "http/message.h"

enum kt_class {
    KT_CLASS_OWN,     /* answered by the gateway */
    KT_CLASS_READ,    /* any node; repeatable */
    KT_CLASS_WRITE,   /* the leader; repeated when certainly not done, or under its key */
    KT_CLASS_ADMIN,   /* a node's operator path; asked once, in the gateway's own name */
    KT_CLASS_CLUSTER, /* between processes only: never passed on */
};

/* Where it is sent. */
enum kt_place {
    KT_PLACE_ANY,    /* wherever it is best; reads at the leader's levels to it all the same */
    KT_PLACE_LEADER, /* writes and most operators' requests */
    KT_PLACE_LEADER_OR_ANY, /* what each node can tell, but the leader best */
    KT_PLACE_FIRST, /* always the same node, as long as it lives: it holds what it is told */
};

struct kt_route {
    enum kt_class kind;
    enum kt_place place;
    struct kt_str path;   /* normalised, without /data */
    struct kt_str target; /* to send to the node: raw path without /data, and the query */
    /* Bodies and answers of any size, bounded by idle time: import, export, changes. */
    bool idle_bound;
};

/* `raw_path` and `raw_target` are the request's, target beginning with the path. */
enum kt_status kt_classify(enum kt_http_method method, struct kt_str raw_path,
                           struct kt_str raw_target, struct kt_arena *arena,
                           struct kt_route *ret_route, struct kt_error *err) KT_MUST_CHECK;

#endif

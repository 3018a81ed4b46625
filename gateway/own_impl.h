/* own_impl.h - what own.c (workers) and own_routes.c (handlers) share. Include <uv.h> first.
 *
 * Threads: handlers run on any worker at the same time.
 * Owns:    see own.h.
 * Fails:   handlers answer with an error.
 */
#ifndef KT_GATEWAY_OWN_IMPL_H
#define KT_GATEWAY_OWN_IMPL_H

#include "gateway/own.h"

#include "etcd/etcd.h"
#include "http/content.h"
#include "http/router.h"

/* Jobs in the order they came. */
struct kt_own_queue {
    struct kt_own_job *first, **end;
    size_t count;
};

struct kt_own_worker {
    struct kt_own *own;
    struct kt_thread thread;
    struct kt_arena *arena;
};

struct kt_own {
    struct kt_own_options options;
    struct kt_http_router router;
    struct kt_content *content;
    struct kt_etcd *etcd; /* for its version alone; NULL without endpoints */
    int64_t started_ms;
    struct kt_own_worker *workers;
    size_t worker_count;  /* started */
    struct kt_mutex lock; /* around what follows */
    struct kt_cond cond;
    struct kt_own_queue quick, slow;
    size_t slow_running; /* never all workers, if there are two */
    bool stopping;
    char etcd_version[32];
};

/* Does its handler ask nodes or etcd? */
bool kt_own_path_is_slow(struct kt_str path);
extern const struct kt_http_route kt_own_routes[];
extern const size_t kt_own_route_count;

#endif

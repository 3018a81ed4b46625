/* node_impl.h - what the node's files share.
 *
 * node.c      start and stop          main.c     the program around it
 * routes.c    path -> handler         answers.c  headers and small helpers of all handlers
 * data.c      questions, import, stats           writes.c    save, delete
 * export.c    export                  level.c    how fresh an answer must be
 * changes.c   the feed of changes
 * generic.c   the first Kamaitachi's generic series
 * ops.c       health, version         metrics.c  what is counted
 * cluster.c   who is there, failover, recover, forget
 * register.c  entries for nodes without etcd      keeper.c   self-probe, members' hosts
 *
 * Threads: fields are set before the server starts, but for `server` itself: a request may come
 *          before its start has returned. `draining` is an atomic flag.
 * Owns:    see node.h.
 * Fails:   see each function.
 */
#ifndef KT_NODE_IMPL_H
#define KT_NODE_IMPL_H

#include "base/thread.h"
#include "cache/series_cache.h"
#include "coord/guests.h"
#include "http/access.h"
#include "http/server.h"
#include "node/node.h"
#include "replica/replica.h"
#include "store/store.h"
#include "json/read.h"

#include <stdatomic.h>

struct kt_node {
    struct kt_node_options options;
    const struct kt_node_config *config;
    bool standalone;
    char host[256], addr[KT_ADDR_MAX]; /* the service address */
    uint16_t addr_port;
    char listen[64];
    char id[KT_ID_LEN + 1];
    struct kt_access *access;
    struct kt_store *store;
    struct kt_series_cache *cache;
    struct kt_replica *replica;
    struct kt_guests *guests; /* NULL without an etcd of its own */
    struct kt_http_router router;
    _Atomic(struct kt_http_server *) server; /* NULL to the first requests */
    _Atomic bool draining;                   /* no new writes; /health says 503 */
    _Atomic int imports_running;             /* relaxed: only waited down to zero */
    _Atomic int feeds_waiting;               /* workers that wait for a change */
    _Atomic int revision_waits;              /* workers that wait for X-Kamaitachi-Min-Revision */
    _Atomic int exports_running;             /* relaxed: a bound, not an order */
    _Atomic int events_running;

    struct kt_thread keeper;
    struct kt_mutex keeper_mutex;
    struct kt_cond keeper_cond;
    bool keeper_stop, hosts_changed, probe_wanted; /* under keeper_mutex */
    int64_t probed_lease;                          /* the registration that was probed */
    char etcd_version[32];
    struct kt_cond import_cond; /* an import ended */
    struct kt_cond view_cond;   /* membership or leader changed */
};

/* routes.c */
extern const struct kt_http_route kt_node_routes[];
extern const size_t kt_node_route_count;

/* answers.c */
void kt_node_decorate(void *ctx, struct kt_http_response *response);
/* Writes the error; for writes adds X-Kamaitachi-Outcome, for 421 the leader's address. */
void kt_node_fail(struct kt_node *node, struct kt_http_response *response, bool is_write,
                  struct kt_error *err);
/* ops.c. Too large for a worker's stack; freed by the caller. NULL: the response holds the refusal.
 */
struct kt_replica_status *kt_node_read_status(struct kt_node *node,
                                              struct kt_http_response *response);
/* cluster.c. Parses a strict object; `read` takes its fields to `ret`. */
typedef enum kt_status (*kt_node_read_fn)(struct kt_json_fields *fields, void *ret,
                                          struct kt_error *err);
enum kt_status kt_node_read_body(struct kt_str body, kt_node_read_fn read, void *ret,
                                 struct kt_error *err) KT_MUST_CHECK;
/* KT_BAD_VALUE naming the field, also when it is not there. */
enum kt_status kt_node_get_id(struct kt_json_fields *fields, const char *name,
                              char dest[KT_ID_LEN + 1], struct kt_error *err) KT_MUST_CHECK;
/* level.c: X-Kamaitachi-Consistency and -Min-Revision: KT_OK when this node may answer, with a view
 * taken from now on. Waits up to the request's deadline. KT_BAD_VALUE, KT_NOT_LEADER;
 * KT_UNAVAILABLE at the deadline, when the node stops, or while a leader is not sure to be the only
 * one; KT_BUSY when too many wait. */
enum kt_status kt_node_check_consistency(struct kt_node *node,
                                         const struct kt_http_request *request,
                                         struct kt_error *err) KT_MUST_CHECK;
/* writes.c. Before anything of a body is read: may this node take the write, and is its
 * Idempotency-Key one? */
enum kt_status kt_node_admit_write(struct kt_node *node, const struct kt_http_request *request,
                                   struct kt_error *err) KT_MUST_CHECK;
/* The request's Idempotency-Key; "" when there is none. */
struct kt_str kt_node_request_key(const struct kt_http_request *request);
/* Submits one encoded change; what apply refused comes back as the error. With a key (not "") it is
 * carried out once: repeated with the same key and body it comes to the first one's result, with
 * another body to KT_IDEMPOTENCY_MISMATCH; see store.h. A batch of an import has the key that
 * kt_request_batch_key makes of the import's and the batch's number. */
enum kt_status kt_node_submit(struct kt_node *node, struct kt_str key, struct kt_str body,
                              int64_t deadline_mono_ms, struct kt_submit_result *ret_result,
                              struct kt_error *err) KT_MUST_CHECK;

/* Handlers; ctx is the node. */
void kt_node_snapshot(void *ctx, struct kt_http_request *request,
                      struct kt_http_response *response);
void kt_node_period(void *ctx, struct kt_http_request *request, struct kt_http_response *response);
void kt_node_selection_snapshot(void *ctx, struct kt_http_request *request,
                                struct kt_http_response *response);
void kt_node_selection_period(void *ctx, struct kt_http_request *request,
                              struct kt_http_response *response);
void kt_node_batch(void *ctx, struct kt_http_request *request, struct kt_http_response *response);
void kt_node_subjects(void *ctx, struct kt_http_request *request,
                      struct kt_http_response *response);
void kt_node_topics(void *ctx, struct kt_http_request *request, struct kt_http_response *response);
void kt_node_indicators(void *ctx, struct kt_http_request *request,
                        struct kt_http_response *response);
void kt_node_save(void *ctx, struct kt_http_request *request, struct kt_http_response *response);
void kt_node_delete(void *ctx, struct kt_http_request *request, struct kt_http_response *response);
void kt_node_import(void *ctx, struct kt_http_request *request, struct kt_http_response *response);
void kt_node_export(void *ctx, struct kt_http_request *request, struct kt_http_response *response);
void kt_node_changes(void *ctx, struct kt_http_request *request, struct kt_http_response *response);
void kt_node_generic_save(void *ctx, struct kt_http_request *request,
                          struct kt_http_response *response);
void kt_node_generic_get(void *ctx, struct kt_http_request *request,
                         struct kt_http_response *response);
void kt_node_generic_delete(void *ctx, struct kt_http_request *request,
                            struct kt_http_response *response);
void kt_node_generic_search(void *ctx, struct kt_http_request *request,
                            struct kt_http_response *response);
void kt_node_stats(void *ctx, struct kt_http_request *request, struct kt_http_response *response);
void kt_node_health(void *ctx, struct kt_http_request *request, struct kt_http_response *response);
void kt_node_live(void *ctx, struct kt_http_request *request, struct kt_http_response *response);
void kt_node_ready(void *ctx, struct kt_http_request *request, struct kt_http_response *response);
void kt_node_version(void *ctx, struct kt_http_request *request, struct kt_http_response *response);
void kt_node_metrics(void *ctx, struct kt_http_request *request, struct kt_http_response *response);
void kt_node_cluster_info(void *ctx, struct kt_http_request *request,
                          struct kt_http_response *response);
void kt_node_cluster_leader(void *ctx, struct kt_http_request *request,
                            struct kt_http_response *response);
void kt_node_cluster_events(void *ctx, struct kt_http_request *request,
                            struct kt_http_response *response);
void kt_node_failover(void *ctx, struct kt_http_request *request,
                      struct kt_http_response *response);
void kt_node_recover(void *ctx, struct kt_http_request *request, struct kt_http_response *response);
void kt_node_forget(void *ctx, struct kt_http_request *request, struct kt_http_response *response);
void kt_node_register(void *ctx, struct kt_http_request *request,
                      struct kt_http_response *response);
void kt_node_heartbeat(void *ctx, struct kt_http_request *request,
                       struct kt_http_response *response);
void kt_node_deregister(void *ctx, struct kt_http_request *request,
                        struct kt_http_response *response);
void kt_node_fetch(void *ctx, struct kt_http_request *request, struct kt_http_response *response);
void kt_node_copy(void *ctx, struct kt_http_request *request, struct kt_http_response *response);
void kt_node_campaign(void *ctx, struct kt_http_request *request,
                      struct kt_http_response *response);

/* keeper.c */
enum kt_status kt_keeper_start(struct kt_node *node, struct kt_error *err) KT_MUST_CHECK;
void kt_keeper_stop(struct kt_node *node);
void kt_keeper_on_view(void *ctx, const struct kt_coord_view *view);

#endif

/* router.h - which path is whose: normalising, matching, and judging who may.
 *
 * Order for every request: normalise the path (ambiguous = 400), judge who may by the normalised
 * path alone (401, 403, 415 come before 404), find the route (404), its methods (405 with Allow),
 * whether it takes query parameters (400) and an encoded body (415; only who pulls it may). What
 * stands for a last segment "{name}" is a name of 1-128 bytes (else 400 naming it), decoded once
 * with the path and handed on as request->path_param.
 *
 * Admin: cache and cluster operations and everything under /api/ or in front of a route marked
 * ADMIN; without an admin token only from loopback and only without Via, Forwarded or
 * X-Forwarded-For. Admin POSTs need Content-Type application/json; a foreign Origin is refused.
 * Cluster: /replication/ and what a gateway asks in its own name: from loopback or the host of a
 * registered process, or with the cluster secret an HMAC over the request (see access.h).
 *
 * Threads: the table is read-only after start.
 * Owns:    nothing; the table is the caller's.
 * Fails:   statuses as above, filled into err.
 */
#ifndef KT_HTTP_ROUTER_H
#define KT_HTTP_ROUTER_H

#include "http/message.h"

enum kt_http_access { KT_ACCESS_PUBLIC, KT_ACCESS_WRITE, KT_ACCESS_ADMIN, KT_ACCESS_CLUSTER };

struct kt_http_route {
    unsigned methods; /* mask of kt_http_method; HEAD is implied by GET */
    const char *path; /* exact, or with a last segment "{name}" that stands for any one */
    enum kt_http_access access;
    bool pull_body; /* the handler reads the body itself; bounded by idle time */
    kt_http_handler_fn handler;
    bool takes_query; /* else any query parameter is refused as unknown_field */
};

struct kt_http_router {
    const struct kt_http_route *routes;
    size_t count;
    void *ctx; /* given to every handler */
    struct kt_access *access;
};

/* Percent-decodes once, drops one trailing '/'. "//", "." and ".." segments, %2f, %00, a broken
 * escape, invalid UTF-8 or control characters, more than 1024 bytes: KT_BAD_REQUEST. Absolute-form
 * targets are reduced to their path by the carrier before. The result is in the arena. */
enum kt_status kt_path_normalise(struct kt_str raw_path, struct kt_arena *arena,
                                 struct kt_str *ret_path, struct kt_error *err) KT_MUST_CHECK;
/* Does the normalised path (without /data) belong to operators, built or not? */
bool kt_path_is_admin(struct kt_str path);
bool kt_path_is_cluster(struct kt_str path); /* /replication/… */
/* /data/v1/…, of the first Kamaitachi: answers have its shape (envelope.h). */
bool kt_path_is_old(struct kt_str path);

/* The route for method and path, judging nobody: NULL when there is none, then *ret_other is a
 * route of that path for other methods (NULL when the path is unknown). For carriers that must know
 * whether the body is pulled before they read it. */
const struct kt_http_route *kt_router_peek(const struct kt_http_router *router,
                                           enum kt_http_method method, struct kt_str path,
                                           const struct kt_http_route **ret_other,
                                           unsigned *ret_allowed);
/* Everything up to and including the route's methods. On success request->route_ctx is set. */
enum kt_status kt_router_find(const struct kt_http_router *router, struct kt_http_request *request,
                              const struct kt_http_route **ret_route, unsigned *ret_allowed,
                              struct kt_error *err) KT_MUST_CHECK;
/* Runs the request on a found route, or writes the error; adds X-Request-Id. Never fails: the
 * response always holds an answer. */
void kt_router_serve(const struct kt_http_router *router, struct kt_http_request *request,
                     const struct kt_http_route *route, enum kt_status found, unsigned allowed,
                     const struct kt_error *err, struct kt_http_response *response);

/* Common request headers: X-Request-Id (kept or made); X-Kamaitachi-Timeout-Ms, which sets the
 * request's deadline. Call once after the head was parsed, the default deadline being set. */
enum kt_status kt_http_common_headers(struct kt_http_request *request,
                                      struct kt_error *err) KT_MUST_CHECK;
/* A value of X-Kamaitachi-Timeout-Ms: 1 to KT_HTTP_TIMEOUT_MS_MAX, else KT_BAD_VALUE naming it. */
#define KT_HTTP_TIMEOUT_MS_MAX 60000
enum kt_status kt_http_timeout_parse(struct kt_str text, int64_t *ret_timeout_ms,
                                     struct kt_error *err) KT_MUST_CHECK;

/* Sixteen hex digits for a request that came without an id (or could not be parsed). */
void kt_http_make_request_id(char dest[129]);

#endif

/* access.h - tokens, loopback, the cluster secret: who may ask what.
 *
 * A request signed with the cluster secret carries
 *   X-Kamaitachi-Auth: v1 time=<unix seconds> nonce=<16 hex> mac=<64 hex>
 * with mac = HMAC-SHA256(secret, "v1\n" METHOD "\n" PATH "\n" QUERY "\n" TIME "\n" NONCE "\n"
 * HEX(SHA256(body))). It is refused more than 60 s off the wall clock or when its nonce was seen
 * before (RFC 2104; replay window kept in memory, bounded: KT_BUSY when it is full).
 *
 * Admin paths are open to: a valid signature; the admin token; the cluster's allowed networks for
 * the three paths of registration; and, when there is no admin token, loopback and (when there is
 * no secret either) the hosts of registered processes, if no Via, Forwarded or X-Forwarded-For
 * says that somebody else asks. The admin token opens writes too.
 *
 * Threads: any; one mutex around the seen nonces and the registered hosts.
 * Owns:    copies of tokens and secret, wiped when freed.
 * Fails:   KT_UNAUTHORIZED (no or wrong token), KT_FORBIDDEN, KT_MEDIA_TYPE.
 */
#ifndef KT_HTTP_ACCESS_H
#define KT_HTTP_ACCESS_H

#include "http/message.h"
#include "http/router.h"

struct kt_access; /* opaque */

struct kt_access_options {
    const char *admin_token;    /* "" = loopback only */
    const char *write_token;    /* "" = public */
    const char *cluster_secret; /* "" = by address */
    const char *cluster_allow; /* CIDRs that may register, deregister, heartbeat; NULL, "" = none */
};

struct kt_access *kt_access_new(const struct kt_access_options *options);
void kt_access_free(struct kt_access **access);
/* The literal addresses of registered processes, replaced as a whole whenever membership changes.
 */
enum kt_status kt_access_set_hosts(struct kt_access *access, const char *const *literals,
                                   size_t count) KT_MUST_CHECK;

/* Judges by the normalised path and headers; `route_access` is the found route's or
 * KT_ACCESS_PUBLIC when there is none (admin and cluster paths are known by their names too). The
 * body is needed for the HMAC of cluster requests; signature checks on routes that pull are
 * refused. */
enum kt_status kt_access_judge(struct kt_access *access, struct kt_http_request *request,
                               enum kt_http_access route_access,
                               struct kt_error *err) KT_MUST_CHECK;
/* The value of X-Kamaitachi-Auth for a request of ours; empty when there is no secret. */
struct kt_str kt_access_sign(struct kt_access *access, const char *method, struct kt_str path,
                             struct kt_str query, struct kt_str body, struct kt_arena *arena);

#endif

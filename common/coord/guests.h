/* guests.h - entries in etcd that this process holds for nodes which cannot reach it themselves.
 *
 * A guest has a lease of its own, which lives by the guest's heartbeats alone: each one renews it,
 * and when they stop it runs out with the entry. So nothing is to be cleaned up, and a guest whose
 * host dies moves to another one by registering there: the newer lease takes the key over.
 *
 * A guest never leads and is never waited for: it has no lease clock of its own.
 *
 * Threads: any; one mutex (KT_RANK_COORD), not held across calls of etcd: a second request about
 *          the same guest meanwhile is KT_BUSY.
 * Owns:    a client of etcd; leases stay when it is freed, and run out.
 * Fails:   KT_CONFLICT (id or address are somebody else's), KT_NOT_FOUND (not held here),
 *          KT_BUSY (too many, or one request at a time), KT_UNAVAILABLE (etcd).
 */
#ifndef KT_COORD_GUESTS_H
#define KT_COORD_GUESTS_H

#include "coord/coord.h"

struct kt_guests; /* opaque */

#define KT_GUESTS_MAX KT_MEMBERS_MAX

struct kt_guests_options {
    const char *endpoints;
    const struct kt_etcd_security *security; /* its strings are borrowed */
    const char *prefix, *service_name;
    const char *via; /* the own node id: it stands in the entries */
};

struct kt_guest {
    const char *id, *addr;          /* checked by the caller */
    const struct kt_service *entry; /* what it says of itself; NULL = no more than that */
    int64_t ttl_s;
};

enum kt_status kt_guests_new(const struct kt_guests_options *options, struct kt_guests **ret_guests,
                             struct kt_error *err) KT_MUST_CHECK;
/* Ends calls under way; later ones are KT_UNAVAILABLE. */
void kt_guests_cancel(struct kt_guests *guests);
void kt_guests_free(struct kt_guests **guests);

/* Puts the entry, and renews it when it is held already. `view` is the newest: an id that is
 * registered at another address is refused. */
enum kt_status kt_guests_register(struct kt_guests *guests, const struct kt_guest *guest,
                                  const struct kt_coord_view *view, int64_t *ret_lease,
                                  struct kt_error *err) KT_MUST_CHECK;
/* Renews the lease, and puts the entry when it says something new or is missing in `view`. */
enum kt_status kt_guests_heartbeat(struct kt_guests *guests, const struct kt_guest *guest,
                                   const struct kt_coord_view *view, int64_t *ret_lease,
                                   struct kt_error *err) KT_MUST_CHECK;
/* Ends the lease, and with it the entry. */
enum kt_status kt_guests_deregister(struct kt_guests *guests, const char *id,
                                    struct kt_error *err) KT_MUST_CHECK;

#endif

/* coord_fake.h - the fake maker's objects, shared by its two files.
 *
 * Threads: one mutex (KT_RANK_COORD) in the kt_coord_fake guards it and its coords.
 * Owns:    the fake its facts; a standalone coord its fake.
 * Fails:   as coord.h says; a write that finds no memory is lost, as if etcd had not got it.
 */
#ifndef KT_COORD_COORD_FAKE_H
#define KT_COORD_COORD_FAKE_H

#include "coord/coord_internal.h"

#define FAKE_PREFIX "/fake"
#define FAKE_LEADER_KEY FAKE_PREFIX "/cluster/leader"
#define FAKE_CONFIG_KEY FAKE_PREFIX "/cluster/config"

struct coord_fake {
    struct kt_coord base;
    struct kt_coord_fake *fake;
    struct coord_fake *next;
    bool standalone; /* owns its fake */
    char service_name[64];
    char addr[KT_ADDR_MAX];
    int64_t ttl_s, lease;
    bool has_self, stopped;
    bool withdrawn;     /* its entry is not put again */
    bool told_later;    /* its view changed, on_change is still to be called */
    unsigned notifying; /* calls of on_change under way */
    struct kt_service self;
};

struct kt_coord_fake {
    struct kt_mutex mutex; /* everything, coords included */
    struct kt_cond cond;   /* a call of on_change came back */
    struct coord_facts facts;
    struct coord_fake *coords; /* in order of their start */
    int64_t last_lease;
    bool reachable;
    int64_t unreachable_since_ms;
    enum kt_txn_outcome next_outcome;
    bool lose_next;
};

extern const struct coord_ops kt_fake_ops;

/* All with the mutex held. */
struct kt_coord_view *kt_fake_view(const struct coord_fake *coord); /* NULL: no memory */
void kt_fake_take_self(struct coord_fake *coord, const struct kt_service *self);
/* The coord's entry at a new revision, under its lease or a new one. */
void kt_fake_put_service(struct coord_fake *coord);
/* Puts one key at the present revision. */
void kt_fake_put_key(struct kt_coord_fake *fake, const char *key, struct kt_str value,
                     int64_t create_revision, int64_t lease);
void kt_fake_put_leader(struct kt_coord_fake *fake, const char *id, const char *addr,
                        uint64_t epoch, int64_t lease);
/* All keys under one lease vanish at one new revision. */
void kt_fake_end_lease(struct kt_coord_fake *fake, int64_t lease);
/* Who is cut off sees nothing new but that. `all`: the cut itself, or its end. */
void kt_fake_update_views(struct kt_coord_fake *fake, bool all);
/* These two drop the mutex. */
void kt_fake_tell_and_unlock(struct kt_coord_fake *fake);
void kt_fake_publish_and_unlock(struct kt_coord_fake *fake);

#endif

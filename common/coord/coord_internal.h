/* coord_internal.h - what the four makers share: facts, views and the table of calls.
 *
 * Facts are what stands below the prefix, parsed; a view is an immutable copy of them with what
 * this process knows of itself. The etcd maker feeds its facts by list and watch, the remote one by
 * what another node tells it; the fake (and standalone, which is a fake of one) writes them
 * directly.
 *
 * Threads: facts are guarded by their maker's mutex (KT_RANK_COORD); the view pointer by its own,
 *          one rank above, since it is swapped while the maker's is held.
 * Owns:    facts own their services and the config's text; a view owns copies.
 * Fails:   KT_NO_MEMORY, facts are then to be read again; values that cannot be parsed are no
 *          failure: a service is left out, a config is present and not valid.
 */
#ifndef KT_COORD_COORD_INTERNAL_H
#define KT_COORD_COORD_INTERNAL_H

#include "base/mem.h"
#include "base/thread.h"
#include "coord/coord.h"
#include "json/read.h"
#include "json/write.h"

#define KT_COORD_NUMBER_MAX INT64_C(9007199254740992) /* 2^53: whole in JSON everywhere */
#define KT_COORD_PREFIX_MAX 128
#define KT_COORD_KEY_MAX (KT_COORD_PREFIX_MAX + 80 + KT_ADDR_MAX)

/* config.c and service.c */
enum kt_status kt_coord_get_id(struct kt_json_fields *fields, const char *name, bool may_be_empty,
                               char dest[KT_ID_LEN + 1], struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_coord_get_number(struct kt_json_fields *fields, const char *name, int64_t min,
                                   int64_t max, int64_t *ret_value,
                                   struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_coord_get_ids(struct kt_json_fields *fields, const char *name,
                                char dest[KT_MEMBERS_MAX][KT_ID_LEN + 1], size_t *ret_count,
                                struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_coord_get_addr(struct kt_json_fields *fields, const char *name,
                                 char dest[KT_ADDR_MAX], struct kt_error *err) KT_MUST_CHECK;
/* Turns what JSON reading says into KT_CORRUPT with the same field. */
enum kt_status kt_coord_refuse(const struct kt_error *why, const char *what, struct kt_error *err);
void kt_coord_index_path(char *dest, size_t size, const char *name, size_t index);
void kt_coord_write_ids(struct kt_jw *jw, const char *name,
                        const char ids[KT_MEMBERS_MAX][KT_ID_LEN + 1], size_t count);

/* facts.c */
struct coord_leader {
    bool present;
    char id[KT_ID_LEN + 1];
    char addr[KT_ADDR_MAX];
    uint64_t epoch;
    int64_t create_revision, lease;
};
struct coord_config {
    struct kt_cluster_config value;
    char why_invalid[160];
    bool valid;
    int64_t mod_revision;
    size_t text_len;
    char *text;
};
struct coord_facts {
    struct kt_service *services; /* by service_name, then addr */
    size_t count, capacity;
    struct coord_leader leader;
    struct coord_config *config; /* NULL = absent */
    int64_t revision;
};
/* A key below the prefix, and its revisions. */
struct coord_kv {
    struct kt_str key, value;
    int64_t create_revision, mod_revision, lease;
};
void kt_facts_init(struct coord_facts *facts);
void kt_facts_done(struct coord_facts *facts);
enum kt_status kt_facts_put(struct coord_facts *facts, const char *prefix,
                            const struct coord_kv *kv, struct kt_error *err) KT_MUST_CHECK;
void kt_facts_delete(struct coord_facts *facts, const char *prefix, struct kt_str key);
const struct kt_service *kt_facts_service(const struct coord_facts *facts, const char *service_name,
                                          const char *addr); /* NULL = none */
void kt_coord_service_key(const char *prefix, const char *service_name, const char *addr,
                          char dest[KT_COORD_KEY_MAX]);
void kt_coord_format_leader(const char *id, const char *addr, uint64_t epoch, struct kt_buf *ret);

/* keys.c: facts from the members that kt_coord_view_format wrote, under a prefix of one's own. */
enum kt_status kt_facts_read(struct kt_json_fields *fields, const char *prefix,
                             struct coord_facts *ret_facts, bool *ret_complete, bool *ret_reachable,
                             struct kt_error *err) KT_MUST_CHECK;
/* Digits in a string: "lease" has 63 bits. */
enum kt_status kt_coord_get_lease(struct kt_json_fields *fields, int64_t min, int64_t *ret_lease,
                                  struct kt_error *err) KT_MUST_CHECK;

/* view.c */
struct coord_own { /* what a process knows of itself */
    const char *service_name, *addr;
    int64_t lease;
    bool complete, reachable;
};
struct kt_coord_view *kt_coord_view_build(const struct coord_facts *facts,
                                          const struct coord_own *own); /* NULL: no memory */
bool kt_coord_view_same(const struct kt_coord_view *a, const struct kt_coord_view *b);
/* Logs who joined and left, a change of leader and of config. */
void kt_coord_view_log(const struct kt_coord_view *before, const struct kt_coord_view *after);

/* coord.c: the part of every maker's object */
struct coord_ops {
    int64_t (*lease_end_mono_ms)(struct kt_coord *coord, int64_t lease);
    void (*set_service)(struct kt_coord *coord, const struct kt_service *self);
    void (*set_ttl)(struct kt_coord *coord, int64_t ttl_s);
    enum kt_txn_outcome (*campaign)(struct kt_coord *coord, const struct kt_coord_view *view,
                                    const struct kt_cluster_config *config, struct kt_error *err);
    enum kt_txn_outcome (*update_config)(struct kt_coord *coord, const struct kt_coord_view *view,
                                         const struct kt_cluster_config *config,
                                         struct kt_error *err);
    enum kt_txn_outcome (*delete_leader)(struct kt_coord *coord, const struct kt_coord_view *view,
                                         struct kt_error *err);
    void (*renew)(struct kt_coord *coord); /* NULL: its lease clock needs none, or there is none */
    void (*withdraw)(struct kt_coord *coord);
    void (*deregister)(struct kt_coord *coord, int64_t timeout_ms);
    void (*free)(struct kt_coord *coord);
};
struct kt_coord {
    const struct coord_ops *ops;
    struct kt_mutex view_mutex; /* the pointer alone */
    struct kt_coord_view *view;
    uint64_t number; /* of the newest view; under view_mutex */
    void (*on_change)(void *ctx);
    void *on_change_ctx;
};
void kt_coord_base_init(struct kt_coord *coord, const struct coord_ops *ops,
                        const struct kt_coord_options *options, struct kt_coord_view *first);
void kt_coord_base_done(struct kt_coord *coord);
/* Takes `view` (numbered here) and returns the one before, counted for the caller; NULL and `view`
 * freed when nothing changed. Call it under the maker's mutex so that views keep their order. */
struct kt_coord_view *kt_coord_swap_view(struct kt_coord *coord, struct kt_coord_view *view);
/* The same, with the maker's mutex held, which is dropped: what differs is logged, and on_change
 * called. NULL, for want of memory: the next one publishes it. */
void kt_coord_publish_and_unlock(struct kt_coord *coord, struct kt_coord_view *view,
                                 struct kt_mutex *mutex);
/* Checks prefix, ttl, and, if a service is to be registered, its name and address. */
enum kt_status kt_coord_check_options(const struct kt_coord_options *options,
                                      struct kt_error *err) KT_MUST_CHECK;
/* Must a changed entry be put at once? `no_leader`: its log's end is then exact too. */
bool kt_coord_is_urgent(const struct kt_service *before, const struct kt_service *after,
                        bool no_leader);

#define COORD_RETRY_MIN_MS 200
#define COORD_RETRY_MAX_MS 1000
int64_t kt_coord_backoff_ms(unsigned failures); /* in a row: the first doubling to the second */

#endif

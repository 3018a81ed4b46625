/* config.h - the cluster's configuration and a service's value: the JSON kept in etcd.
 *
 * The configuration (PacificA's, Lin et al., MSR-TR-2008-25) says who leads which epoch and whose
 * acknowledgement a write needs. It changes only by a txn that compares mod_revision and value.
 * Each node keeps the newest it knows on disk.
 *
 * Format: {"cluster":"<16 hex>","version":3,"epoch":2,"epoch_id":"<16 hex>","leader":"<id>",
 *          "in_sync":["<id>"],"min_in_sync":1,"ttl":5,
 *          "members":[{"id":"…","addr":"h:p","electable":true,"priority":0}],"nonce":"<16 hex>"}
 *
 * Threads: any; plain values.
 * Owns:    nothing on the heap: bounded arrays (KT_MEMBERS_MAX).
 * Fails:   parse with KT_CORRUPT naming the field; unknown members are ignored (a newer version).
 */
#ifndef KT_COORD_CONFIG_H
#define KT_COORD_CONFIG_H

#include "base/buf.h"
#include "base/hash.h"
#include "base/net.h"
#include "base/status.h"

#define KT_MEMBERS_MAX 64

struct kt_member {
    char id[KT_ID_LEN + 1];
    char addr[KT_ADDR_MAX];
    bool electable;
    int32_t priority; /* -1000..1000, higher is preferred */
};

struct kt_cluster_config {
    char cluster[KT_ID_LEN + 1];
    uint64_t version;
    uint64_t epoch;
    char epoch_id[KT_ID_LEN + 1];
    char leader[KT_ID_LEN + 1];
    char in_sync[KT_MEMBERS_MAX][KT_ID_LEN + 1];
    size_t in_sync_count;
    uint32_t min_in_sync;
    uint32_t ttl_s;
    struct kt_member members[KT_MEMBERS_MAX];
    size_t member_count;
    char nonce[KT_ID_LEN + 1];
};

enum kt_status kt_cluster_config_parse(struct kt_str json, struct kt_cluster_config *ret_config,
                                       struct kt_error *err) KT_MUST_CHECK;
void kt_cluster_config_format(const struct kt_cluster_config *config, struct kt_buf *ret_json);
const struct kt_member *kt_cluster_config_member(const struct kt_cluster_config *config,
                                                 const char *id); /* NULL = none */
bool kt_cluster_config_in_sync(const struct kt_cluster_config *config, const char *id);

bool kt_coord_is_id(
    struct kt_str text); /* of a node, a cluster, an epoch: 16 hex digits, lower case */

enum kt_node_role { KT_ROLE_FOLLOWER, KT_ROLE_LEADER, KT_ROLE_GATEWAY };
const char *kt_node_role_name(enum kt_node_role role); /* "follower" … */
enum kt_node_state { KT_STATE_EMPTY, KT_STATE_WHOLE, KT_STATE_COPYING, KT_STATE_DIVERGED };
const char *kt_node_state_name(enum kt_node_state state);

/* A process's own entry: <prefix>/services/<service_name>/<addr>. */
struct kt_service {
    char service_name[64];
    char addr[KT_ADDR_MAX];
    char id[KT_ID_LEN + 1];
    char cluster[KT_ID_LEN + 1]; /* "" = none yet */
    enum kt_node_role role;
    char software[32];
    bool electable;
    int32_t priority;
    enum kt_node_state state;
    struct { /* the newest configuration it keeps on disk; version 0 = none */
        uint64_t version, epoch;
        char epoch_id[KT_ID_LEN + 1];
        char in_sync[KT_MEMBERS_MAX][KT_ID_LEN + 1];
        size_t in_sync_count;
        /* Of the union beyond in_sync: members of a growth that may have come to pass. */
        char growth[KT_MEMBERS_MAX][KT_ID_LEN + 1];
        size_t growth_count;
    } kept;
    uint64_t end_epoch, end_seq; /* its log's last entry */
    uint64_t revision;           /* applied */
    int64_t started_at_ms;       /* wall clock */
    char via[KT_ID_LEN + 1];     /* the node that holds the entry for it; "" = it does so itself */
    /* Of the key in etcd; not part of the value. */
    int64_t create_revision, mod_revision, lease;
};

/* service_name and addr come from the key and are not parsed from the value. */
enum kt_status kt_service_parse(struct kt_str json, struct kt_service *ret_service,
                                struct kt_error *err) KT_MUST_CHECK;
/* The same from a document that is parsed already. */
struct kt_json_value;
enum kt_status kt_service_read(const struct kt_json_value *object, struct kt_service *ret_service,
                               struct kt_error *err) KT_MUST_CHECK;
void kt_service_format(const struct kt_service *service, struct kt_buf *ret_json);
/* The same as one value of a larger text. */
struct kt_jw;
void kt_service_write(struct kt_jw *jw, const struct kt_service *service);

#endif

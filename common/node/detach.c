/* SPDX-License-Identifier: MIT */
/* -detach: a node that was in a cluster goes on alone, under a new id and in a cluster of its own.
 *
 * Done once: under its new ids the database was never in a cluster, so that the flag may stay.
 */
#include "node/detach.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "coord/config.h"
#include "store/detach.h"

#include <string.h>

/* What the node keeps afterwards: of the newest configuration it knew, this node alone. */
static enum kt_status make_config(struct kt_store *store, const char *node_id,
                                  const char *cluster_id, int64_t ttl_s, struct kt_buf *ret_json,
                                  struct kt_error *err)
{
    struct kt_store_identity identity;
    struct kt_cluster_config *config = kt_calloc(1, sizeof(*config));
    struct kt_store_kept kept;
    struct kt_buf memory;
    kt_store_identity(store, &identity);
    kt_buf_init(&memory, 0);
    enum kt_status status = config ? kt_store_read_kept(store, &kept, &memory, err)
                                   : kt_fail(err, KT_NO_MEMORY, "no memory to detach");
    if (status == KT_OK && kept.config_json.len > 0) {
        status = kt_cluster_config_parse(kept.config_json, config, err);
    }
    if (status == KT_OK) {
        kt_str_copy(config->cluster, sizeof(config->cluster), kt_str(cluster_id));
        kt_str_copy(config->leader, sizeof(config->leader), kt_str(node_id));
        kt_str_copy(config->in_sync[0], sizeof(config->in_sync[0]), kt_str(node_id));
        config->in_sync_count = 1;
        config->version++;
        config->epoch = config->epoch > identity.epoch ? config->epoch : identity.epoch;
        config->ttl_s = config->ttl_s ? config->ttl_s : (uint32_t)ttl_s;
        config->min_in_sync = 1;
        config->member_count = 0; /* whoever leads puts itself in */
        kt_random_id(config->nonce);
        if (!config->epoch_id[0]) {
            kt_random_id(config->epoch_id);
        }
        kt_cluster_config_format(config, ret_json);
        status = kt_buf_status(ret_json);
        status = status == KT_OK ? KT_OK : kt_fail(err, status, "no memory to detach");
    }
    kt_buf_done(&memory);
    kt_free(config);
    return status;
}

static enum kt_status detach(struct kt_store **store, const struct kt_node_config *config,
                             const struct kt_store_identity *before, struct kt_error *err)
{
    char node_id[KT_ID_LEN + 1], cluster_id[KT_ID_LEN + 1];
    struct kt_buf json;
    kt_random_id(node_id);
    kt_random_id(cluster_id);
    kt_buf_init(&json, 0);
    enum kt_status status = make_config(*store, node_id, cluster_id, config->etcd.ttl, &json, err);
    if (status == KT_OK) {
        struct kt_store_detached as = {node_id, cluster_id, kt_buf_str(&json)};
        status = kt_store_detach(store, &as, err);
    }
    kt_buf_done(&json);
    if (status == KT_OK) {
        kt_log(
            WARN, "node", "detached",
            "db=%s node_was=%s cluster_was=%s node=%s cluster=%s why=\"-detach: from here on this "
            "is a cluster of its own and can't come back to the old one\"",
            config->store.db, before->node_id, before->cluster_id, node_id, cluster_id);
    }
    return status;
}

enum kt_status kt_node_detach(const struct kt_node_config *config, struct kt_error *err)
{
    struct kt_store_options options = {.path = config->store.db,
                                       .read_connections = 1,
                                       .max_indicators = config->limits.indicators};
    struct kt_store_identity identity;
    struct kt_store *store = NULL;
    if (!kt_node_is_standalone(config)) {
        return kt_fail(err, KT_BAD_VALUE, "-detach is for a node that goes on alone, but %s is set",
                       config->etcd.endpoints[0] ? "[etcd] endpoints" : "[cluster] register_with");
    }
    enum kt_status status = kt_store_open(&options, &store, err);
    if (status != KT_OK) {
        return status;
    }
    kt_store_identity(store, &identity);
    if (identity.was_in_cluster) {
        status = detach(&store, config, &identity, err);
    } else {
        kt_log(INFO, "node", "not_detached", "db=%s node=%s why=\"it was never in a cluster\"",
               config->store.db, identity.node_id);
    }
    kt_store_close(&store);
    return status;
}

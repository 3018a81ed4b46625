/* SPDX-License-Identifier: MIT */
/* What a node keeps of its cluster beside the log: all of it in one transaction, for a crash
 * between two parts (the epoch without the growth, say) would leave a promise that nobody made.
 */
#include "store/store_internal.h"

#include <string.h>

enum kt_status kept_load(struct kt_store *store, struct kt_error *err)
{
    struct sqlite3 *db = store->log.db;
    int64_t half = 0, bound = 0;
    enum kt_status status = db_meta_get_text(db, "kept_config", &store->kept, err);
    if (status == KT_OK) {
        status = db_meta_get_text(db, "kept_growth", &store->kept_growth, err);
    }
    if (status == KT_OK) {
        status = db_meta_get_i64(db, "half_copy", 0, &half, err);
    }
    if (status == KT_OK) {
        status = db_meta_get_i64(db, "bound_by_nothing", 0, &bound, err);
    }
    store->half_copy = half != 0;
    store->bound_by_nothing = bound != 0;
    return status;
}

enum kt_status kept_write(struct sqlite3 *db, const struct kt_store_kept *kept,
                          struct kt_error *err)
{
    const char *mark = kept->standalone ? "was_standalone" : "was_in_cluster";
    enum kt_status status = db_meta_set_text(db, "kept_config", kept->config_json, err);
    if (status == KT_OK) {
        status = db_meta_set_text(db, "kept_growth", kept->growth, err);
    }
    if (status == KT_OK) {
        status = db_meta_set_i64(db, "kept_epoch", (int64_t)kept->epoch, err);
    }
    if (status == KT_OK) {
        status = db_meta_set_i64(db, "half_copy", kept->half_copy, err);
    }
    if (status == KT_OK) {
        status = db_meta_set_i64(db, "bound_by_nothing", kept->bound_by_nothing, err);
    }
    if (status == KT_OK && kept->cluster_id[0]) {
        status = db_meta_set_text(db, "cluster_id", kt_str(kept->cluster_id), err);
    }
    if (status == KT_OK && kept->cluster_id[0]) {
        status = db_meta_set_i64(db, mark, 1, err);
    }
    return status;
}

static enum kt_status check_kept(const struct kt_store *store, const struct kt_store_kept *kept,
                                 struct kt_error *err)
{
    size_t id_len = strlen(kept->cluster_id);
    if (id_len != 0 && id_len != KT_ID_LEN) {
        return kt_fail(err, KT_BAD_VALUE, "a cluster id has %d characters, this one %d", KT_ID_LEN,
                       (int)id_len);
    }
    if (id_len == 0 && store->identity.cluster_id[0]) {
        return kt_fail(err, KT_CONFLICT, "this node belongs to cluster %s and cannot forget it",
                       store->identity.cluster_id);
    }
    /* Who has the mark of a copy put its history aside, with its epoch: it acknowledges nothing. */
    bool falls = kept->epoch < store->kept_epoch && !kept->half_copy;
    if (falls || kept->epoch > KT_REVISION_MAX) {
        return kt_fail(err, KT_CONFLICT, "epoch %llu is kept, epoch %llu does not follow it",
                       (unsigned long long)store->kept_epoch, (unsigned long long)kept->epoch);
    }
    return KT_OK;
}

/* After the commit nothing may fail: the copies were made before. */
static void note_kept(struct kt_store *store, const struct kt_store_kept *kept,
                      struct kt_buf *config, struct kt_buf *growth)
{
    struct kt_store_identity *id = &store->identity;
    kt_mutex_lock(&store->state_mutex);
    struct kt_buf old_config = store->kept, old_growth = store->kept_growth;
    store->kept = *config;
    store->kept_growth = *growth;
    *config = old_config;
    *growth = old_growth;
    store->kept_epoch = kept->epoch;
    store->half_copy = kept->half_copy;
    store->bound_by_nothing = kept->bound_by_nothing;
    id->epoch = kept->epoch > id->epoch ? kept->epoch : id->epoch;
    if (kept->cluster_id[0]) {
        memcpy(id->cluster_id, kept->cluster_id, sizeof(id->cluster_id));
        id->was_standalone |= kept->standalone;
        id->was_in_cluster |= !kept->standalone;
    }
    kt_mutex_unlock(&store->state_mutex);
}

enum kt_status kt_store_keep(struct kt_store *store, const struct kt_store_kept *kept,
                             struct kt_error *err)
{
    struct kt_buf config, growth;
    kt_buf_init(&config, 0);
    kt_buf_init(&growth, 0);
    kt_buf_append_str(&config, kept->config_json);
    kt_buf_append_str(&growth, kept->growth);
    enum kt_status status = kt_buf_status(&config);
    status = status == KT_OK ? kt_buf_status(&growth) : status;
    if (status != KT_OK) {
        kt_buf_done(&config);
        kt_buf_done(&growth);
        return kt_fail(err, status, "no memory for what is kept of the cluster");
    }
    kt_mutex_lock(&store->log_mutex);
    bool new_cluster = strcmp(kept->cluster_id, store->identity.cluster_id) != 0;
    status = check_kept(store, kept, err);
    if (status == KT_OK) {
        status = db_exec(store->log.db, "BEGIN IMMEDIATE", err);
    }
    if (status == KT_OK) {
        status = db_end(store->log.db, kept_write(store->log.db, kept, err), err);
    }
    if (status == KT_OK) {
        note_kept(store, kept, &config, &growth);
    }
    kt_mutex_unlock(&store->log_mutex);
    kt_buf_done(&config);
    kt_buf_done(&growth);
    if (status == KT_OK && new_cluster) {
        /* Second; if a crash or a failure loses it, the next open takes it from the log. */
        kt_mutex_lock(&store->apply_mutex);
        (void)!db_meta_set_text(store->data, "cluster_id", kt_str(kept->cluster_id), NULL);
        kt_mutex_unlock(&store->apply_mutex);
    }
    return status;
}

enum kt_status kt_store_read_kept(struct kt_store *store, struct kt_store_kept *ret_kept,
                                  struct kt_buf *memory, struct kt_error *err)
{
    struct kt_store_kept kept = {0};
    size_t start = memory->len_bytes;
    kt_mutex_lock(&store->state_mutex);
    const struct kt_store_identity *id = &store->identity;
    memcpy(kept.cluster_id, id->cluster_id, sizeof(kept.cluster_id));
    kept.standalone = id->was_standalone && !id->was_in_cluster;
    kept.epoch = store->kept_epoch;
    kept.half_copy = store->half_copy;
    kept.bound_by_nothing = store->bound_by_nothing;
    kept.config_json.len = store->kept.len_bytes;
    kept.growth.len = store->kept_growth.len_bytes;
    kt_buf_append_str(memory, kt_buf_str(&store->kept));
    kt_buf_append_str(memory, kt_buf_str(&store->kept_growth));
    kt_mutex_unlock(&store->state_mutex);
    enum kt_status status = kt_buf_status(memory);
    if (status != KT_OK) {
        return kt_fail(err, status, "no room for what is kept of the cluster");
    }
    /* An empty buffer has no bytes to point to. */
    const char *text = memory->len_bytes ? memory->data + start : "";
    kept.config_json.data = text;
    kept.growth.data = text + kept.config_json.len;
    *ret_kept = kept;
    return KT_OK;
}

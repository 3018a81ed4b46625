/* SPDX-License-Identifier: MIT */
/* config.c - the cluster's configuration as JSON.
 *
 * What stands in etcd decides who may acknowledge a write, so a text that is not understood to the
 * last field is refused as a whole: whoever reads it then waits, which is safe. Members that are
 * not known are ignored, so that a newer version may add some.
 */
#include "coord/coord_internal.h"

#include "json/write.h"

#include <string.h>

bool kt_coord_is_id(struct kt_str text)
{
    if (text.len != KT_ID_LEN) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
    }
    return true;
}

enum kt_status kt_coord_get_id(struct kt_json_fields *fields, const char *name, bool may_be_empty,
                               char dest[KT_ID_LEN + 1], struct kt_error *err)
{
    struct kt_str value = {NULL, 0};
    char path[160];
    enum kt_status status = kt_json_get_string(fields, name, &value, NULL, err);

    if (status != KT_OK) {
        return status;
    }
    if (!kt_coord_is_id(value) && !(may_be_empty && value.len == 0)) {
        kt_json_field_path(fields, name, path);
        return kt_fail_field(err, KT_CORRUPT, path, "%s is no id of 16 hex digits", path);
    }
    kt_str_copy(dest, KT_ID_LEN + 1, value);
    return KT_OK;
}

enum kt_status kt_coord_get_number(struct kt_json_fields *fields, const char *name, int64_t min,
                                   int64_t max, int64_t *ret_value, struct kt_error *err)
{
    bool present = false;
    char path[160];
    enum kt_status status = kt_json_get_int(fields, name, min, max, ret_value, &present, err);

    if (status == KT_OK && !present) {
        kt_json_field_path(fields, name, path);
        return kt_fail_field(err, KT_CORRUPT, path, "%s is missing", path);
    }
    return status;
}

enum kt_status kt_coord_get_ids(struct kt_json_fields *fields, const char *name,
                                char dest[KT_MEMBERS_MAX][KT_ID_LEN + 1], size_t *ret_count,
                                struct kt_error *err)
{
    const struct kt_json_value *array = NULL, *item = NULL;
    size_t count = 0;
    char path[160];
    enum kt_status status = kt_json_get_array(fields, name, &array, NULL, err);

    if (status != KT_OK) {
        return status;
    }
    kt_json_field_path(fields, name, path);
    if (array && kt_json_count(array) > KT_MEMBERS_MAX) {
        return kt_fail_field(err, KT_CORRUPT, path, "%s has more than %d items", path,
                             KT_MEMBERS_MAX);
    }
    while (array && (item = kt_json_next(array, item)) != NULL) {
        if (kt_json_type(item) != KT_JSON_STRING || !kt_coord_is_id(kt_json_string(item))) {
            return kt_fail_field(err, KT_CORRUPT, path, "%s[%zu] is no id of 16 hex digits", path,
                                 count);
        }
        kt_str_copy(dest[count], KT_ID_LEN + 1, kt_json_string(item));
        count++;
    }
    *ret_count = count;
    return KT_OK;
}

enum kt_status kt_coord_get_addr(struct kt_json_fields *fields, const char *name,
                                 char dest[KT_ADDR_MAX], struct kt_error *err)
{
    struct kt_str value = {NULL, 0};
    char path[160];
    enum kt_status status = kt_json_get_string(fields, name, &value, NULL, err);

    if (status == KT_OK && (value.len == 0 || value.len >= KT_ADDR_MAX)) {
        kt_json_field_path(fields, name, path);
        status = kt_fail_field(err, KT_CORRUPT, path, "%s is no address", path);
    }
    if (status == KT_OK) {
        kt_str_copy(dest, KT_ADDR_MAX, value);
    }
    return status;
}

static enum kt_status read_member(const struct kt_json_value *value, size_t index,
                                  struct kt_member *member, struct kt_error *err)
{
    struct kt_json_fields fields;
    char path[32];
    int64_t priority = 0;
    enum kt_status status;

    kt_coord_index_path(path, sizeof(path), "members", index);
    status = kt_json_fields_init(&fields, value, path, err);
    if (status == KT_OK) {
        status = kt_coord_get_id(&fields, "id", false, member->id, err);
    }
    if (status == KT_OK) {
        status = kt_coord_get_addr(&fields, "addr", member->addr, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_bool(&fields, "electable", &member->electable, NULL, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_int(&fields, "priority", -1000, 1000, &priority, NULL, err);
        member->priority = (int32_t)priority;
    }
    return status;
}

static enum kt_status read_members(struct kt_json_fields *fields, struct kt_cluster_config *config,
                                   struct kt_error *err)
{
    const struct kt_json_value *array = NULL, *item = NULL;
    enum kt_status status = kt_json_get_array(fields, "members", &array, NULL, err);

    if (status == KT_OK && array && kt_json_count(array) > KT_MEMBERS_MAX) {
        return kt_fail_field(err, KT_CORRUPT, "members", "members has more than %d items",
                             KT_MEMBERS_MAX);
    }
    while (status == KT_OK && array && (item = kt_json_next(array, item)) != NULL) {
        status =
            read_member(item, config->member_count, &config->members[config->member_count], err);
        config->member_count++;
    }
    return status;
}

/* Who must acknowledge: an empty set would commit everything at once. */
static enum kt_status read_in_sync(struct kt_json_fields *fields, struct kt_cluster_config *config,
                                   struct kt_error *err)
{
    enum kt_status status =
        kt_coord_get_ids(fields, "in_sync", config->in_sync, &config->in_sync_count, err);

    if (status == KT_OK && config->in_sync_count == 0) {
        status = kt_fail_field(err, KT_CORRUPT, "in_sync", "in_sync is empty");
    }
    return status;
}

static enum kt_status read_numbers(struct kt_json_fields *fields, struct kt_cluster_config *config,
                                   struct kt_error *err)
{
    int64_t version = 0, epoch = 0, min_in_sync = 0, ttl_s = 0;
    enum kt_status status =
        kt_coord_get_number(fields, "version", 1, KT_COORD_NUMBER_MAX, &version, err);

    if (status == KT_OK) {
        status = kt_coord_get_number(fields, "epoch", 1, KT_COORD_NUMBER_MAX, &epoch, err);
    }
    if (status == KT_OK) {
        status = kt_coord_get_number(fields, "min_in_sync", 1, KT_MEMBERS_MAX, &min_in_sync, err);
    }
    if (status == KT_OK) {
        status = kt_coord_get_number(fields, "ttl", 3, 60, &ttl_s, err);
    }
    config->version = (uint64_t)version;
    config->epoch = (uint64_t)epoch;
    config->min_in_sync = (uint32_t)min_in_sync;
    config->ttl_s = (uint32_t)ttl_s;
    return status;
}

static enum kt_status read_config(const struct kt_json_value *root,
                                  struct kt_cluster_config *config, struct kt_error *err)
{
    struct kt_json_fields fields;
    enum kt_status status = kt_json_fields_init(&fields, root, "", err);

    if (status == KT_OK) {
        status = kt_coord_get_id(&fields, "cluster", false, config->cluster, err);
    }
    if (status == KT_OK) {
        status = read_numbers(&fields, config, err);
    }
    if (status == KT_OK) {
        status = kt_coord_get_id(&fields, "epoch_id", false, config->epoch_id, err);
    }
    if (status == KT_OK) {
        status = kt_coord_get_id(&fields, "leader", false, config->leader, err);
    }
    if (status == KT_OK) {
        status = read_in_sync(&fields, config, err);
    }
    if (status == KT_OK) {
        status = read_members(&fields, config, err);
    }
    if (status == KT_OK) {
        status = kt_coord_get_id(&fields, "nonce", false, config->nonce, err);
    }
    return status;
}

enum kt_status kt_cluster_config_parse(struct kt_str json, struct kt_cluster_config *ret_config,
                                       struct kt_error *err)
{
    struct kt_cluster_config *config = kt_calloc(1, sizeof(*config)); /* 22 KB: not on the stack */
    struct kt_json *doc = NULL;
    struct kt_error why = KT_ERROR_INIT;
    enum kt_status status;

    if (!config) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for the cluster's configuration");
    }
    status = kt_json_parse(json, KT_JSON_DEPTH_DEFAULT, &doc, &why);
    if (status == KT_OK) {
        status = read_config(kt_json_root(doc), config, &why);
    }
    if (status == KT_OK) {
        *ret_config = *config;
    } else {
        status = kt_coord_refuse(&why, "the cluster's configuration", err);
    }
    kt_json_free(&doc);
    kt_free(config);
    return status;
}

enum kt_status kt_coord_refuse(const struct kt_error *why, const char *what, struct kt_error *err)
{
    enum kt_status status = why->status == KT_NO_MEMORY ? KT_NO_MEMORY : KT_CORRUPT;

    if (why->field[0]) {
        return kt_fail_field(err, status, why->field, "%s: %s", what, why->message);
    }
    return kt_fail(err, status, "%s: %s", what, why->message);
}

void kt_coord_write_ids(struct kt_jw *jw, const char *name,
                        const char ids[KT_MEMBERS_MAX][KT_ID_LEN + 1], size_t count)
{
    kt_jw_key_text(jw, name);
    kt_jw_array(jw);
    for (size_t i = 0; i < count; i++) {
        kt_jw_text(jw, ids[i]);
    }
    kt_jw_array_end(jw);
}

void kt_cluster_config_format(const struct kt_cluster_config *config, struct kt_buf *ret_json)
{
    struct kt_jw jw;

    kt_jw_init(&jw, ret_json);
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "cluster", config->cluster);
    kt_jw_kv_u64(&jw, "version", config->version);
    kt_jw_kv_u64(&jw, "epoch", config->epoch);
    kt_jw_kv_text(&jw, "epoch_id", config->epoch_id);
    kt_jw_kv_text(&jw, "leader", config->leader);
    kt_coord_write_ids(&jw, "in_sync", config->in_sync, config->in_sync_count);
    kt_jw_kv_u64(&jw, "min_in_sync", config->min_in_sync);
    kt_jw_kv_u64(&jw, "ttl", config->ttl_s);
    kt_jw_key_text(&jw, "members");
    kt_jw_array(&jw);
    for (size_t i = 0; i < config->member_count; i++) {
        const struct kt_member *member = &config->members[i];

        kt_jw_object(&jw);
        kt_jw_kv_text(&jw, "id", member->id);
        kt_jw_kv_text(&jw, "addr", member->addr);
        kt_jw_kv_bool(&jw, "electable", member->electable);
        kt_jw_kv_i64(&jw, "priority", member->priority);
        kt_jw_object_end(&jw);
    }
    kt_jw_array_end(&jw);
    kt_jw_kv_text(&jw, "nonce", config->nonce);
    kt_jw_object_end(&jw);
}

const struct kt_member *kt_cluster_config_member(const struct kt_cluster_config *config,
                                                 const char *id)
{
    for (size_t i = 0; i < config->member_count; i++) {
        if (strcmp(config->members[i].id, id) == 0) {
            return &config->members[i];
        }
    }
    return NULL;
}

bool kt_cluster_config_in_sync(const struct kt_cluster_config *config, const char *id)
{
    for (size_t i = 0; i < config->in_sync_count; i++) {
        if (strcmp(config->in_sync[i], id) == 0) {
            return true;
        }
    }
    return false;
}

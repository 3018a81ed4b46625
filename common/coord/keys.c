/* SPDX-License-Identifier: MIT */
/* keys.c - what stands in etcd as JSON, and back: a node that cannot reach etcd sees through one
 * that can.
 *
 * Keys and values go as they stand there, with their revisions and leases, so that both ends make
 * facts of them in the same way. Leases are digits in a string: they have 63 bits.
 */
#include "coord/coord_internal.h"

#include <inttypes.h>
#include <stdio.h>

struct key_head {
    int64_t create_revision, mod_revision, lease;
};

static enum kt_status write_key(struct kt_jw *jw, const char *key, const struct kt_buf *value,
                                const struct key_head *head)
{
    char lease[24];
    snprintf(lease, sizeof(lease), "%" PRId64, head->lease);
    kt_jw_object(jw);
    kt_jw_kv_text(jw, "key", key);
    kt_jw_kv_str(jw, "value", kt_buf_str(value));
    kt_jw_kv_i64(jw, "create_revision", head->create_revision);
    kt_jw_kv_i64(jw, "mod_revision", head->mod_revision);
    kt_jw_kv_text(jw, "lease", lease);
    kt_jw_object_end(jw);
    return kt_buf_status(value);
}

static enum kt_status write_service(struct kt_jw *jw, const struct kt_service *service,
                                    struct kt_buf *value)
{
    struct key_head head = {service->create_revision, service->mod_revision, service->lease};
    char key[KT_COORD_KEY_MAX];
    kt_coord_service_key("", service->service_name, service->addr, key);
    kt_buf_clear(value);
    kt_service_format(service, value);
    return write_key(jw, key, value, &head);
}

/* A view does not keep when the leader key was written; nobody asks. */
static enum kt_status write_leader(struct kt_jw *jw, const struct kt_coord_view *view,
                                   struct kt_buf *value)
{
    struct key_head head = {view->leader.create_revision, view->leader.create_revision,
                            view->leader.lease};
    kt_buf_clear(value);
    kt_coord_format_leader(view->leader.id, view->leader.addr, view->leader.epoch, value);
    return write_key(jw, "/cluster/leader", value, &head);
}

static enum kt_status write_config(struct kt_jw *jw, const struct kt_coord_view *view,
                                   struct kt_buf *value)
{
    struct key_head head = {view->config.mod_revision, view->config.mod_revision, 0};
    kt_buf_clear(value);
    kt_buf_append_text(value, view->config.text);
    return write_key(jw, "/cluster/config", value, &head);
}

enum kt_status kt_coord_view_format(const struct kt_coord_view *view, struct kt_jw *jw)
{
    struct kt_buf value;
    enum kt_status status = KT_OK;
    kt_buf_init(&value, 0);
    kt_jw_kv_i64(jw, "revision", view->revision);
    kt_jw_kv_bool(jw, "complete", view->complete);
    kt_jw_kv_bool(jw, "reachable", view->reachable);
    kt_jw_key_text(jw, "keys");
    kt_jw_array(jw);
    for (size_t i = 0; status == KT_OK && i < view->service_count; i++) {
        status = write_service(jw, &view->services[i], &value);
    }
    if (status == KT_OK && view->leader.present) {
        status = write_leader(jw, view, &value);
    }
    if (status == KT_OK && view->config.present) {
        status = write_config(jw, view, &value);
    }
    kt_jw_array_end(jw);
    kt_buf_done(&value);
    return status;
}

enum kt_status kt_coord_get_lease(struct kt_json_fields *fields, int64_t min, int64_t *ret_lease,
                                  struct kt_error *err)
{
    struct kt_str text = {NULL, 0};
    char path[160];
    enum kt_status status = kt_json_get_string(fields, "lease", &text, NULL, err);
    if (status == KT_OK && (!kt_parse_i64(text, ret_lease) || *ret_lease < min)) {
        kt_json_field_path(fields, "lease", path);
        status = kt_fail_field(err, KT_CORRUPT, path, "%s is no number", path);
    }
    return status;
}

static enum kt_status read_key(const struct kt_json_value *item, const char *path,
                               const char *prefix, struct coord_facts *facts, struct kt_error *err)
{
    struct kt_json_fields fields;
    struct coord_kv kv = {0};
    struct kt_str name = {NULL, 0};
    char key[KT_COORD_KEY_MAX];
    enum kt_status status = kt_json_fields_init(&fields, item, path, err);
    if (status == KT_OK) {
        status = kt_json_get_string(&fields, "key", &name, NULL, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_string(&fields, "value", &kv.value, NULL, err);
    }
    if (status == KT_OK) {
        status = kt_coord_get_number(&fields, "create_revision", 0, KT_COORD_NUMBER_MAX,
                                     &kv.create_revision, err);
    }
    if (status == KT_OK) {
        status = kt_coord_get_number(&fields, "mod_revision", 0, KT_COORD_NUMBER_MAX,
                                     &kv.mod_revision, err);
    }
    if (status == KT_OK) {
        status = kt_coord_get_lease(&fields, 0, &kv.lease, err);
    }
    if (status == KT_OK) {
        int len = snprintf(key, sizeof(key), "%s" KT_STR_FMT, prefix, KT_STR_ARG(name));
        kv.key = kt_str(key);
        /* One that does not fit is none that this version knows. */
        status =
            len > 0 && (size_t)len < sizeof(key) ? kt_facts_put(facts, prefix, &kv, err) : KT_OK;
    }
    return status;
}

static enum kt_status read_keys(const struct kt_json_value *keys, const char *prefix,
                                struct coord_facts *facts, struct kt_error *err)
{
    const struct kt_json_value *item = NULL;
    enum kt_status status = KT_OK;
    for (size_t i = 0; status == KT_OK && (item = kt_json_next(keys, item)) != NULL; i++) {
        char path[40];
        kt_coord_index_path(path, sizeof(path), "keys", i);
        status = read_key(item, path, prefix, facts, err);
    }
    return status;
}

enum kt_status kt_facts_read(struct kt_json_fields *fields, const char *prefix,
                             struct coord_facts *ret_facts, bool *ret_complete, bool *ret_reachable,
                             struct kt_error *err)
{
    const struct kt_json_value *keys = NULL;
    struct coord_facts facts;
    bool complete = false, reachable = false, present = false;
    kt_facts_init(&facts);
    enum kt_status status =
        kt_coord_get_number(fields, "revision", 0, KT_COORD_NUMBER_MAX, &facts.revision, err);
    if (status == KT_OK) {
        status = kt_json_get_bool(fields, "complete", &complete, NULL, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_bool(fields, "reachable", &reachable, NULL, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_array(fields, "keys", &keys, &present, err);
    }
    if (status == KT_OK && !present) {
        status = kt_fail_field(err, KT_CORRUPT, "keys", "keys is missing");
    }
    if (status == KT_OK) {
        status = read_keys(keys, prefix, &facts, err);
    }
    if (status != KT_OK) {
        kt_facts_done(&facts);
        return status;
    }
    *ret_facts = facts;
    *ret_complete = complete;
    *ret_reachable = reachable;
    return KT_OK;
}

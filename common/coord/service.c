/* SPDX-License-Identifier: MIT */
/* service.c - a process's own entry as JSON.
 *
 * Entries of other versions of the software are read too: only id and role are asked for, what is
 * missing stays zero.
 */
#include "coord/coord_internal.h"

#include "json/write.h"

#include <stdio.h>
#include <string.h>

static const char *const role_names[] = {
    [KT_ROLE_FOLLOWER] = "follower", [KT_ROLE_LEADER] = "leader", [KT_ROLE_GATEWAY] = "gateway"};
static const char *const state_names[] = {[KT_STATE_EMPTY] = "empty",
                                          [KT_STATE_WHOLE] = "whole",
                                          [KT_STATE_COPYING] = "copying",
                                          [KT_STATE_DIVERGED] = "diverged"};

const char *kt_node_role_name(enum kt_node_role role)
{
    KT_ASSERT((size_t)role < KT_ARRAY_LEN(role_names));
    return role_names[role];
}

const char *kt_node_state_name(enum kt_node_state state)
{
    KT_ASSERT((size_t)state < KT_ARRAY_LEN(state_names));
    return state_names[state];
}

void kt_coord_index_path(char *dest, size_t size, const char *name, size_t index)
{
    snprintf(dest, size, "%s[%zu]", name, index);
}

/* One of a few words; absent leaves *ret_index alone unless it is required. */
static enum kt_status read_word(struct kt_json_fields *fields, const char *name,
                                const char *const *words, size_t count, bool required,
                                size_t *ret_index, struct kt_error *err)
{
    struct kt_str text = {NULL, 0};
    bool present = false;
    enum kt_status status = kt_json_get_string(fields, name, &text, &present, err);

    if (status != KT_OK || (!present && !required)) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        if (kt_str_eq_text(text, words[i])) {
            *ret_index = i;
            return KT_OK;
        }
    }
    return kt_fail_field(err, KT_CORRUPT, name, "%s is \"" KT_STR_FMT "\", no %s known here", name,
                         KT_STR_ARG(kt_str_n(text.data, text.len > 32 ? 32 : text.len)), name);
}

static enum kt_status read_u64(struct kt_json_fields *fields, const char *name, uint64_t *ret_value,
                               struct kt_error *err)
{
    int64_t value = 0;
    enum kt_status status =
        kt_json_get_int(fields, name, 0, KT_COORD_NUMBER_MAX, &value, NULL, err);

    if (status == KT_OK) {
        *ret_value = (uint64_t)value;
    }
    return status;
}

/* "union" holds in_sync too; an older version does not write it. */
static enum kt_status read_growth(struct kt_json_fields *fields, struct kt_service *service,
                                  struct kt_error *err)
{
    size_t count = 0, kept = 0;
    enum kt_status status = kt_coord_get_ids(fields, "union", service->kept.growth, &count, err);
    for (size_t i = 0; status == KT_OK && i < count; i++) {
        bool in_sync = false;
        for (size_t j = 0; j < service->kept.in_sync_count && !in_sync; j++) {
            in_sync = strcmp(service->kept.growth[i], service->kept.in_sync[j]) == 0;
        }
        if (!in_sync) {
            memmove(service->kept.growth[kept++], service->kept.growth[i], KT_ID_LEN + 1);
        }
    }
    service->kept.growth_count = kept;
    return status;
}

static enum kt_status read_kept(struct kt_json_fields *parent, struct kt_service *service,
                                struct kt_error *err)
{
    const struct kt_json_value *kept = NULL;
    struct kt_json_fields fields;
    enum kt_status status = kt_json_get_object(parent, "kept", &kept, NULL, err);

    if (status != KT_OK || !kept) {
        return status;
    }
    status = kt_json_fields_init(&fields, kept, "kept", err);
    if (status == KT_OK) {
        status = read_u64(&fields, "version", &service->kept.version, err);
    }
    if (status == KT_OK) {
        status = read_u64(&fields, "epoch", &service->kept.epoch, err);
    }
    if (status == KT_OK) {
        status = kt_coord_get_id(&fields, "epoch_id", true, service->kept.epoch_id, err);
    }
    if (status == KT_OK) {
        status = kt_coord_get_ids(&fields, "in_sync", service->kept.in_sync,
                                  &service->kept.in_sync_count, err);
    }
    if (status == KT_OK) {
        status = read_growth(&fields, service, err);
    }
    return status;
}

static enum kt_status read_end(struct kt_json_fields *parent, struct kt_service *service,
                               struct kt_error *err)
{
    const struct kt_json_value *end = NULL;
    struct kt_json_fields fields;
    enum kt_status status = kt_json_get_object(parent, "end", &end, NULL, err);

    if (status != KT_OK || !end) {
        return status;
    }
    status = kt_json_fields_init(&fields, end, "end", err);
    if (status == KT_OK) {
        status = read_u64(&fields, "epoch", &service->end_epoch, err);
    }
    if (status == KT_OK) {
        status = read_u64(&fields, "seq", &service->end_seq, err);
    }
    return status;
}

static enum kt_status read_words(struct kt_json_fields *fields, struct kt_service *service,
                                 struct kt_error *err)
{
    size_t role = KT_ROLE_FOLLOWER, state = KT_STATE_EMPTY;
    struct kt_str software = {NULL, 0};
    enum kt_status status =
        read_word(fields, "role", role_names, KT_ARRAY_LEN(role_names), true, &role, err);

    if (status == KT_OK) {
        status =
            read_word(fields, "state", state_names, KT_ARRAY_LEN(state_names), false, &state, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_string(fields, "software", &software, NULL, err);
    }
    service->role = (enum kt_node_role)role;
    service->state = (enum kt_node_state)state;
    kt_str_copy(service->software, sizeof(service->software), software);
    return status;
}

static enum kt_status read_service(const struct kt_json_value *root, struct kt_service *service,
                                   struct kt_error *err)
{
    struct kt_json_fields fields;
    int64_t priority = 0;
    enum kt_status status = kt_json_fields_init(&fields, root, "", err);

    if (status == KT_OK) {
        status = read_words(&fields, service, err);
    }
    if (status == KT_OK) {
        status = kt_coord_get_id(&fields, "id", service->role == KT_ROLE_GATEWAY, service->id, err);
    }
    if (status == KT_OK) {
        status = kt_coord_get_id(&fields, "cluster", true, service->cluster, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_bool(&fields, "electable", &service->electable, NULL, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_int(&fields, "priority", -1000, 1000, &priority, NULL, err);
        service->priority = (int32_t)priority;
    }
    if (status == KT_OK) {
        status = read_kept(&fields, service, err);
    }
    if (status == KT_OK) {
        status = read_end(&fields, service, err);
    }
    if (status == KT_OK) {
        status = read_u64(&fields, "revision", &service->revision, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_int(&fields, "started_at", -KT_COORD_NUMBER_MAX, KT_COORD_NUMBER_MAX,
                                 &service->started_at_ms, NULL, err);
    }
    if (status == KT_OK) {
        status = kt_coord_get_id(&fields, "via", true, service->via, err);
    }
    return status;
}

enum kt_status kt_service_read(const struct kt_json_value *object, struct kt_service *ret_service,
                               struct kt_error *err)
{
    struct kt_service service;
    struct kt_error why = KT_ERROR_INIT;
    memset(&service, 0, sizeof(service));
    if (read_service(object, &service, &why) != KT_OK) {
        return kt_coord_refuse(&why, "a service's entry", err);
    }
    memcpy(service.service_name, ret_service->service_name, sizeof(service.service_name));
    memcpy(service.addr, ret_service->addr, sizeof(service.addr));
    service.create_revision = ret_service->create_revision;
    service.mod_revision = ret_service->mod_revision;
    service.lease = ret_service->lease;
    *ret_service = service;
    return KT_OK;
}

enum kt_status kt_service_parse(struct kt_str json, struct kt_service *ret_service,
                                struct kt_error *err)
{
    struct kt_json *doc = NULL;
    struct kt_error why = KT_ERROR_INIT;
    enum kt_status status = kt_json_parse(json, KT_JSON_DEPTH_DEFAULT, &doc, &why);
    status = status == KT_OK ? kt_service_read(kt_json_root(doc), ret_service, err)
                             : kt_coord_refuse(&why, "a service's entry", err);
    kt_json_free(&doc);
    return status;
}

static void write_union(struct kt_jw *jw, const struct kt_service *service)
{
    kt_jw_key_text(jw, "union");
    kt_jw_array(jw);
    for (size_t i = 0; i < service->kept.in_sync_count; i++) {
        kt_jw_text(jw, service->kept.in_sync[i]);
    }
    for (size_t i = 0; i < service->kept.growth_count; i++) {
        kt_jw_text(jw, service->kept.growth[i]);
    }
    kt_jw_array_end(jw);
}

void kt_service_write(struct kt_jw *jw, const struct kt_service *service)
{
    kt_jw_object(jw);
    kt_jw_kv_text(jw, "id", service->id);
    kt_jw_kv_text(jw, "cluster", service->cluster);
    kt_jw_kv_text(jw, "addr", service->addr);
    kt_jw_kv_text(jw, "role", kt_node_role_name(service->role));
    kt_jw_kv_text(jw, "software", service->software);
    kt_jw_kv_bool(jw, "electable", service->electable);
    kt_jw_kv_i64(jw, "priority", service->priority);
    kt_jw_kv_text(jw, "state", kt_node_state_name(service->state));
    kt_jw_key_text(jw, "kept");
    kt_jw_object(jw);
    kt_jw_kv_u64(jw, "version", service->kept.version);
    kt_jw_kv_u64(jw, "epoch", service->kept.epoch);
    kt_jw_kv_text(jw, "epoch_id", service->kept.epoch_id);
    kt_coord_write_ids(jw, "in_sync", service->kept.in_sync, service->kept.in_sync_count);
    write_union(jw, service);
    kt_jw_object_end(jw);
    kt_jw_key_text(jw, "end");
    kt_jw_object(jw);
    kt_jw_kv_u64(jw, "epoch", service->end_epoch);
    kt_jw_kv_u64(jw, "seq", service->end_seq);
    kt_jw_object_end(jw);
    kt_jw_kv_u64(jw, "revision", service->revision);
    kt_jw_kv_i64(jw, "started_at", service->started_at_ms);
    if (service->via[0]) {
        kt_jw_kv_text(jw, "via", service->via);
    }
    kt_jw_object_end(jw);
}

void kt_service_format(const struct kt_service *service, struct kt_buf *ret_json)
{
    struct kt_jw jw;
    kt_jw_init(&jw, ret_json);
    kt_service_write(&jw, service);
}

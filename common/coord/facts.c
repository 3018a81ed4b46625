/* SPDX-License-Identifier: MIT */
/* facts.c - what stands below the prefix, key by key.
 *
 * A DELETE carries no value, so everything is found by its key: the address of a service that left
 * is in the key alone.
 */
#include "coord/coord_internal.h"

#include <stdio.h>
#include <string.h>

enum key_kind { KEY_OTHER, KEY_SERVICE, KEY_LEADER, KEY_CONFIG };

struct key_parts {
    enum key_kind kind;
    char service_name[64];
    char addr[KT_ADDR_MAX];
};

static struct key_parts split_key(const char *prefix, struct kt_str key)
{
    struct key_parts parts = {KEY_OTHER, "", ""};
    struct kt_str head = kt_str(prefix), services = KT_STR("/services/"), name;

    if (!kt_str_starts(key, head)) {
        return parts;
    }
    key = kt_str_n(key.data + head.len, key.len - head.len);
    if (kt_str_eq_text(key, "/cluster/leader")) {
        parts.kind = KEY_LEADER;
    } else if (kt_str_eq_text(key, "/cluster/config")) {
        parts.kind = KEY_CONFIG;
    } else if (kt_str_starts(key, services)) {
        key = kt_str_n(key.data + services.len, key.len - services.len);
        name = kt_str_cut(&key, '/');
        if (key.data && kt_utf8_is_name(name, 1, sizeof(parts.service_name) - 1) &&
            kt_utf8_is_name(key, 1, sizeof(parts.addr) - 1) && kt_str_find(key, KT_STR("/")) < 0) {
            parts.kind = KEY_SERVICE;
            kt_str_copy(parts.service_name, sizeof(parts.service_name), name);
            kt_str_copy(parts.addr, sizeof(parts.addr), key);
        }
    }
    return parts;
}

void kt_facts_init(struct coord_facts *facts)
{
    memset(facts, 0, sizeof(*facts));
}

static void free_config(struct coord_config **config)
{
    if (*config) {
        kt_free((*config)->text);
        kt_free(*config);
        *config = NULL;
    }
}

void kt_facts_done(struct coord_facts *facts)
{
    kt_free(facts->services);
    free_config(&facts->config);
    memset(facts, 0, sizeof(*facts));
}

/* The index where the service is (true) or belongs (false). */
static bool find_service(const struct coord_facts *facts, const char *service_name,
                         const char *addr, size_t *ret_index)
{
    size_t low = 0, high = facts->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(facts->services[middle].service_name, service_name);

        if (order == 0) {
            order = strcmp(facts->services[middle].addr, addr);
        }
        if (order == 0) {
            *ret_index = middle;
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret_index = low;
    return false;
}

const struct kt_service *kt_facts_service(const struct coord_facts *facts, const char *service_name,
                                          const char *addr)
{
    size_t index = 0;

    return find_service(facts, service_name, addr, &index) ? &facts->services[index] : NULL;
}

static void remove_service(struct coord_facts *facts, const struct key_parts *parts)
{
    size_t index = 0;

    if (find_service(facts, parts->service_name, parts->addr, &index)) {
        facts->count--;
        memmove(&facts->services[index], &facts->services[index + 1],
                (facts->count - index) * sizeof(*facts->services));
    }
}

static enum kt_status insert_service(struct coord_facts *facts, const struct kt_service *service,
                                     struct kt_error *err)
{
    size_t index = 0;

    if (!find_service(facts, service->service_name, service->addr, &index)) {
        if (facts->count == facts->capacity) {
            size_t capacity = facts->capacity ? facts->capacity * 2 : 8;
            struct kt_service *grown =
                kt_reallocarray(facts->services, capacity, sizeof(*facts->services));

            if (!grown) {
                return kt_fail(err, KT_NO_MEMORY, "no memory for the list of services");
            }
            facts->services = grown;
            facts->capacity = capacity;
        }
        memmove(&facts->services[index + 1], &facts->services[index],
                (facts->count - index) * sizeof(*facts->services));
        facts->count++;
    }
    facts->services[index] = *service;
    return KT_OK;
}

static enum kt_status put_service(struct coord_facts *facts, const struct key_parts *parts,
                                  const struct coord_kv *kv, struct kt_error *err)
{
    struct kt_service service;
    enum kt_status status;

    memset(&service, 0, sizeof(service));
    memcpy(service.service_name, parts->service_name, sizeof(service.service_name));
    memcpy(service.addr, parts->addr, sizeof(service.addr));
    service.create_revision = kv->create_revision;
    service.mod_revision = kv->mod_revision;
    service.lease = kv->lease;
    status = kt_service_parse(kv->value, &service, err);
    if (status == KT_CORRUPT) { /* nobody can use it: as good as absent */
        remove_service(facts, parts);
        return KT_OK;
    }
    return status == KT_OK ? insert_service(facts, &service, err) : status;
}

static void read_leader(struct kt_str text, struct coord_leader *leader)
{
    struct kt_json *doc = NULL;
    struct kt_json_fields fields;
    int64_t epoch = 0;

    /* A value that cannot be read leaves id and addr empty: somebody leads, nobody knows who. */
    if (kt_json_parse(text, KT_JSON_DEPTH_DEFAULT, &doc, NULL) == KT_OK &&
        kt_json_fields_init(&fields, kt_json_root(doc), "", NULL) == KT_OK &&
        kt_coord_get_number(&fields, "epoch", 0, KT_COORD_NUMBER_MAX, &epoch, NULL) == KT_OK &&
        kt_coord_get_addr(&fields, "addr", leader->addr, NULL) == KT_OK &&
        kt_coord_get_id(&fields, "id", false, leader->id, NULL) == KT_OK) {
        leader->epoch = (uint64_t)epoch;
    } else {
        leader->id[0] = leader->addr[0] = '\0';
    }
    kt_json_free(&doc);
}

static enum kt_status put_config(struct coord_facts *facts, const struct coord_kv *kv,
                                 struct kt_error *err)
{
    struct coord_config *config = kt_calloc(1, sizeof(*config));
    struct kt_error why = KT_ERROR_INIT;
    enum kt_status status;

    if (config) {
        config->text = kt_strndup(kv->value.data ? kv->value.data : "", kv->value.len);
    }
    if (!config || !config->text) {
        free_config(&config);
        return kt_fail(err, KT_NO_MEMORY, "no memory for the cluster's configuration");
    }
    config->text_len = kv->value.len;
    config->mod_revision = kv->mod_revision;
    status = kt_cluster_config_parse(kv->value, &config->value, &why);
    if (status == KT_NO_MEMORY) {
        free_config(&config);
        return kt_fail(err, KT_NO_MEMORY, "%s", why.message);
    }
    config->valid = status == KT_OK;
    if (!config->valid) {
        kt_str_copy(config->why_invalid, sizeof(config->why_invalid), kt_str(why.message));
    }
    free_config(&facts->config);
    facts->config = config;
    return KT_OK;
}

enum kt_status kt_facts_put(struct coord_facts *facts, const char *prefix,
                            const struct coord_kv *kv, struct kt_error *err)
{
    struct key_parts parts = split_key(prefix, kv->key);

    switch (parts.kind) {
    case KEY_SERVICE:
        return put_service(facts, &parts, kv, err);
    case KEY_LEADER:
        memset(&facts->leader, 0, sizeof(facts->leader));
        facts->leader.present = true;
        facts->leader.create_revision = kv->create_revision;
        facts->leader.lease = kv->lease;
        read_leader(kv->value, &facts->leader);
        return KT_OK;
    case KEY_CONFIG:
        return put_config(facts, kv, err);
    case KEY_OTHER:
        break;
    }
    return KT_OK;
}

void kt_facts_delete(struct coord_facts *facts, const char *prefix, struct kt_str key)
{
    struct key_parts parts = split_key(prefix, key);

    switch (parts.kind) {
    case KEY_SERVICE:
        remove_service(facts, &parts);
        break;
    case KEY_LEADER:
        memset(&facts->leader, 0, sizeof(facts->leader));
        break;
    case KEY_CONFIG:
        free_config(&facts->config);
        break;
    case KEY_OTHER:
        break;
    }
}

void kt_coord_service_key(const char *prefix, const char *service_name, const char *addr,
                          char dest[KT_COORD_KEY_MAX])
{
    snprintf(dest, KT_COORD_KEY_MAX, "%s/services/%s/%s", prefix, service_name, addr);
}

void kt_coord_format_leader(const char *id, const char *addr, uint64_t epoch, struct kt_buf *ret)
{
    struct kt_jw jw;

    kt_jw_init(&jw, ret);
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "id", id);
    kt_jw_kv_text(&jw, "addr", addr);
    kt_jw_kv_u64(&jw, "epoch", epoch);
    kt_jw_object_end(&jw);
}

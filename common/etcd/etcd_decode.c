/* SPDX-License-Identifier: MIT */
/* etcd_decode.c - etcd's JSON, as its gateway really writes it.
 *
 * The gateway is a mechanical translation of protobuf: a field that has its zero value is not
 * written at all, 64-bit numbers are strings, bytes are base64. So absence is an answer here:
 * `succeeded` that is missing means false, `TTL` that is missing means that the lease is gone.
 * Unknown members are ignored, since each version of etcd adds some.
 */
#include "etcd/etcd_internal.h"

#include "base/hash.h"

#include <string.h>

/* {"error":{"details":[{…}]}} is the deepest that any version writes; txn answers nest ranges. */
#define ETCD_DEPTH 12

enum kt_status kt_etcd_open(struct kt_str text, struct kt_json **ret_json,
                            const struct kt_json_value **ret_root, struct kt_error *err)
{
    struct kt_json *json = NULL;
    struct kt_error why = KT_ERROR_INIT;
    enum kt_status status = kt_json_parse(kt_str_trim(text), ETCD_DEPTH, &json, &why);

    if (status == KT_NO_MEMORY) {
        return kt_fail(err, KT_NO_MEMORY, "%s", why.message);
    }
    if (status != KT_OK) {
        return kt_fail(err, KT_CORRUPT, "an answer that is not etcd's: %s", why.message);
    }
    if (kt_json_type(kt_json_root(json)) != KT_JSON_OBJECT) {
        kt_json_free(&json);
        return kt_fail(err, KT_CORRUPT, "an answer that is not etcd's: no object");
    }
    *ret_json = json;
    *ret_root = kt_json_root(json);
    return KT_OK;
}

static const struct kt_json_value *member_of_type(const struct kt_json_value *object,
                                                  const char *name, enum kt_json_type type,
                                                  enum kt_status *ret_status, struct kt_error *err)
{
    const struct kt_json_value *value = kt_json_member(object, name);

    *ret_status = KT_OK;
    if (!value || kt_json_type(value) == KT_JSON_NULL) {
        return NULL;
    }
    if (kt_json_type(value) != type) {
        *ret_status = kt_fail(err, KT_CORRUPT, "etcd's \"%s\" is %s", name,
                              kt_json_type_name(kt_json_type(value)));
        return NULL;
    }
    return value;
}

static bool i64_from_json(const struct kt_json_value *value, int64_t *ret_value)
{
    if (kt_json_type(value) == KT_JSON_STRING) {
        uint64_t unsigned_value = 0;

        if (kt_parse_i64(kt_json_string(value), ret_value)) {
            return true;
        }
        /* cluster ids are unsigned and use all 64 bits */
        if (kt_parse_u64(kt_json_string(value), &unsigned_value)) {
            *ret_value = (int64_t)unsigned_value;
            return true;
        }
        return false;
    }
    if (kt_json_type(value) == KT_JSON_NUMBER) {
        double number = kt_json_number(value);

        if (number >= -9007199254740992.0 && number <= 9007199254740992.0 &&
            (double)(int64_t)number == number) {
            *ret_value = (int64_t)number;
            return true;
        }
    }
    return false;
}

enum kt_status kt_etcd_i64(const struct kt_json_value *object, const char *name, int64_t *ret_value,
                           struct kt_error *err)
{
    const struct kt_json_value *value = kt_json_member(object, name);

    if (!value || kt_json_type(value) == KT_JSON_NULL) {
        *ret_value = 0;
        return KT_OK;
    }
    if (!i64_from_json(value, ret_value)) {
        return kt_fail(err, KT_CORRUPT, "etcd's \"%s\" is no whole number", name);
    }
    return KT_OK;
}

enum kt_status kt_etcd_bool(const struct kt_json_value *object, const char *name, bool *ret_value,
                            struct kt_error *err)
{
    enum kt_status status = KT_OK;
    const struct kt_json_value *value = member_of_type(object, name, KT_JSON_BOOL, &status, err);

    if (status == KT_OK) {
        *ret_value = value && kt_json_bool(value);
    }
    return status;
}

enum kt_status kt_etcd_revision(const struct kt_json_value *answer, int64_t *ret_revision,
                                struct kt_error *err)
{
    enum kt_status status = KT_OK;
    const struct kt_json_value *header =
        member_of_type(answer, "header", KT_JSON_OBJECT, &status, err);

    if (status != KT_OK) {
        return status;
    }
    if (!header) {
        return kt_fail(err, KT_CORRUPT, "an answer that is not etcd's: no header");
    }
    return kt_etcd_i64(header, "revision", ret_revision, err);
}

enum kt_status kt_etcd_reserve(struct kt_buf *memory, size_t count, size_t item_bytes,
                               size_t text_bytes, void **ret_items, struct kt_error *err)
{
    kt_buf_init(memory, 0);
    if (count > (SIZE_MAX / 2 - text_bytes) / item_bytes ||
        !kt_buf_reserve(memory, count * item_bytes + text_bytes + 1)) {
        kt_buf_done(memory);
        return kt_fail(err, KT_NO_MEMORY, "no memory for an answer of etcd");
    }
    memset(memory->data, 0, count * item_bytes + 1);
    memory->len_bytes = count * item_bytes;
    *ret_items = memory->data;
    return KT_OK;
}

/* Decodes one base64 member behind what `memory` holds; the room was reserved. */
static enum kt_status read_bytes(const struct kt_json_value *object, const char *name,
                                 struct kt_buf *memory, struct kt_str *ret_bytes,
                                 struct kt_error *err)
{
    enum kt_status status = KT_OK;
    const struct kt_json_value *value = member_of_type(object, name, KT_JSON_STRING, &status, err);
    char *dest = memory->data + memory->len_bytes;
    size_t len = 0;

    if (status != KT_OK) {
        return status;
    }
    if (!value || kt_json_string(value).len == 0) {
        *ret_bytes = kt_str_n(dest, 0);
        return KT_OK;
    }
    KT_ASSERT(kt_json_string(value).len <= memory->cap_bytes - memory->len_bytes);
    if (!kt_base64_decode(kt_json_string(value), dest, &len)) {
        return kt_fail(err, KT_CORRUPT, "etcd's \"%s\" is no base64", name);
    }
    memory->len_bytes += len;
    *ret_bytes = kt_str_n(dest, len);
    return KT_OK;
}

enum kt_status kt_etcd_read_kv(const struct kt_json_value *value, struct kt_buf *memory,
                               struct kt_etcd_kv *ret_kv, struct kt_error *err)
{
    enum kt_status status;

    if (kt_json_type(value) != KT_JSON_OBJECT) {
        return kt_fail(err, KT_CORRUPT, "etcd's \"kv\" is no object");
    }
    status = read_bytes(value, "key", memory, &ret_kv->key, err);
    if (status == KT_OK) {
        status = read_bytes(value, "value", memory, &ret_kv->value, err);
    }
    if (status == KT_OK) {
        status = kt_etcd_i64(value, "create_revision", &ret_kv->create_revision, err);
    }
    if (status == KT_OK) {
        status = kt_etcd_i64(value, "mod_revision", &ret_kv->mod_revision, err);
    }
    if (status == KT_OK) {
        status = kt_etcd_i64(value, "lease", &ret_kv->lease, err);
    }
    if (status == KT_OK && ret_kv->key.len == 0) {
        status = kt_fail(err, KT_CORRUPT, "etcd's \"kv\" has no key");
    }
    return status;
}

void kt_etcd_list_init(struct kt_etcd_list *list)
{
    memset(list, 0, sizeof(*list));
    kt_buf_init(&list->memory, 0);
}

void kt_etcd_list_done(struct kt_etcd_list *list)
{
    kt_buf_done(&list->memory);
    memset(list, 0, sizeof(*list));
}

static enum kt_status read_list(const struct kt_json_value *root, size_t text_bytes,
                                struct kt_etcd_list *list, struct kt_error *err)
{
    enum kt_status status = KT_OK;
    const struct kt_json_value *kvs = member_of_type(root, "kvs", KT_JSON_ARRAY, &status, err);
    const struct kt_json_value *item = NULL;
    int64_t cluster = 0;
    void *items = NULL;

    if (status == KT_OK) {
        status = kt_etcd_revision(root, &list->revision, err);
    }
    if (status == KT_OK) {
        status = kt_etcd_i64(kt_json_member(root, "header"), "cluster_id", &cluster, err);
        list->cluster_id = (uint64_t)cluster;
    }
    if (status != KT_OK || !kvs) {
        return status;
    }
    status = kt_etcd_reserve(&list->memory, kt_json_count(kvs), sizeof(*list->kvs), text_bytes,
                             &items, err);
    list->kvs = items;
    while (status == KT_OK && (item = kt_json_next(kvs, item)) != NULL) {
        status = kt_etcd_read_kv(item, &list->memory, &list->kvs[list->count], err);
        list->count++;
    }
    return status;
}

enum kt_status kt_etcd_decode_range(struct kt_str json, struct kt_etcd_list *ret_list,
                                    struct kt_error *err)
{
    struct kt_json *doc = NULL;
    const struct kt_json_value *root = NULL;
    struct kt_etcd_list list;
    enum kt_status status = kt_etcd_open(json, &doc, &root, err);

    if (status != KT_OK) {
        return status;
    }
    kt_etcd_list_init(&list);
    status = read_list(root, json.len, &list, err);
    kt_json_free(&doc);
    if (status != KT_OK) {
        kt_etcd_list_done(&list);
        return status;
    }
    kt_etcd_list_done(ret_list);
    *ret_list = list;
    return KT_OK;
}

enum kt_status kt_etcd_decode_txn(struct kt_str json, bool *ret_succeeded, int64_t *ret_revision,
                                  struct kt_error *err)
{
    struct kt_json *doc = NULL;
    const struct kt_json_value *root = NULL;
    bool succeeded = false;
    int64_t revision = 0;
    enum kt_status status = kt_etcd_open(json, &doc, &root, err);

    if (status != KT_OK) {
        return status;
    }
    status = kt_etcd_revision(root, &revision, err);
    if (status == KT_OK) {
        status = kt_etcd_bool(root, "succeeded", &succeeded, err);
    }
    kt_json_free(&doc);
    if (status == KT_OK) {
        *ret_succeeded = succeeded;
        *ret_revision = revision;
    }
    return status;
}

enum kt_status kt_etcd_decode_lease(struct kt_str json, int64_t *ret_lease, int64_t *ret_ttl_s,
                                    struct kt_error *err)
{
    struct kt_json *doc = NULL;
    const struct kt_json_value *root = NULL, *result;
    int64_t lease = 0, ttl_s = 0, revision = 0;
    enum kt_status status = kt_etcd_open(json, &doc, &root, err);

    if (status != KT_OK) {
        return status;
    }
    /* A keepalive is a stream, so its answer is wrapped; one that failed carries "error". */
    result = member_of_type(root, "result", KT_JSON_OBJECT, &status, err);
    if (status == KT_OK && !result && kt_json_member(root, "header") == NULL) {
        status = kt_json_member(root, "error")
                     ? kt_etcd_decode_error(0, json, err)
                     : kt_fail(err, KT_CORRUPT, "an answer that is not etcd's: no header");
    }
    result = result ? result : root;
    if (status == KT_OK) {
        status = kt_etcd_revision(result, &revision, err);
    }
    if (status == KT_OK) {
        status = kt_etcd_i64(result, "ID", &lease, err);
    }
    if (status == KT_OK) {
        status = kt_etcd_i64(result, "TTL", &ttl_s, err);
    }
    kt_json_free(&doc);
    if (status == KT_OK) {
        *ret_lease = lease;
        *ret_ttl_s = ttl_s;
    }
    return status;
}

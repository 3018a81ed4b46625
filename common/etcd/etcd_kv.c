/* SPDX-License-Identifier: MIT */
/* etcd_kv.c - ranges, puts, deletes, transactions and leases.
 *
 * Which calls may be repeated: reads, lease calls, and the put of a leased key (the service key:
 * the same value twice is the same). A put without a lease, a delete and a txn are sent once, on a
 * fresh connection, and an answer that does not come is KT_OUTCOME_UNKNOWN.
 */
#include "etcd/etcd_internal.h"

#include <string.h>

void kt_etcd_range_end(struct kt_str prefix, struct kt_buf *ret_end)
{
    size_t len = prefix.len;

    while (len > 0 && (unsigned char)prefix.data[len - 1] == 0xff) {
        len--;
    }
    if (len == 0) {
        kt_buf_append_byte(ret_end, '\0'); /* "\0" asks for every key behind the first */
        return;
    }
    kt_buf_append(ret_end, prefix.data, len - 1);
    kt_buf_append_byte(ret_end, (char)((unsigned char)prefix.data[len - 1] + 1));
}

/* "key":…, and with a prefix "range_end":… */
static void put_range(struct kt_buf *buf, struct kt_str key, bool prefix)
{
    struct kt_buf end;

    /* An empty key cannot be sent; one zero byte is the smallest. */
    kt_etcd_put_bytes(buf, "key", prefix && key.len == 0 ? kt_str_n("", 1) : key);
    if (!prefix) {
        return;
    }
    kt_buf_init(&end, 0);
    kt_etcd_range_end(key, &end);
    kt_buf_append_byte(buf, ',');
    kt_etcd_put_bytes(buf, "range_end", kt_buf_str(&end));
    if (kt_buf_status(&end) != KT_OK) {
        buf->failed = kt_buf_status(&end);
    }
    kt_buf_done(&end);
}

/* Sends what `body` holds and frees it; on KT_OK *ret_answer holds the answer's text. */
static enum kt_status send_body(struct kt_etcd *etcd, const char *path, struct kt_buf *body,
                                bool once, struct kt_buf *ret_answer, struct kt_error *err)
{
    struct etcd_request request = {"POST", path, kt_buf_str(body), once};
    enum kt_status status = kt_buf_status(body);

    if (status != KT_OK) {
        status = kt_fail(err, status, "no memory for a request to etcd");
    } else {
        status = kt_etcd_call(etcd, &request, ret_answer, err);
    }
    kt_buf_done(body);
    return status;
}

enum kt_status kt_etcd_range(struct kt_etcd *etcd, struct kt_str key, bool prefix,
                             struct kt_etcd_list *ret_list, struct kt_error *err)
{
    struct kt_buf body, answer;
    enum kt_status status;

    kt_buf_init(&body, 0);
    kt_buf_init(&answer, 0);
    kt_buf_append_byte(&body, '{');
    put_range(&body, key, prefix);
    kt_buf_append_byte(&body, '}');
    status = send_body(etcd, "/v3/kv/range", &body, false, &answer, err);
    if (status == KT_OK) {
        status = kt_etcd_decode_range(kt_buf_str(&answer), ret_list, err);
    }
    kt_buf_done(&answer);
    return status;
}

/* header.revision and one number of an answer to a write. Bytes that are not etcd's behind a write
 * that is sent once leave its outcome open. */
static enum kt_status read_write_answer(struct kt_str text, const char *name, bool once,
                                        int64_t *ret_revision, int64_t *ret_number,
                                        struct kt_error *err)
{
    struct kt_json *doc = NULL;
    const struct kt_json_value *root = NULL;
    enum kt_status status = kt_etcd_open(text, &doc, &root, err);

    if (status == KT_OK) {
        status = kt_etcd_revision(root, ret_revision, err);
    }
    if (status == KT_OK && name) {
        status = kt_etcd_i64(root, name, ret_number, err);
    }
    kt_json_free(&doc);
    if (status != KT_OK && once) {
        status = KT_OUTCOME_UNKNOWN;
        if (err) {
            err->status = status;
        }
    }
    return status;
}

enum kt_status kt_etcd_put(struct kt_etcd *etcd, struct kt_str key, struct kt_str value,
                           int64_t lease, int64_t *ret_revision, struct kt_error *err)
{
    struct kt_buf body, answer;
    int64_t revision = 0;
    bool once = lease == 0;
    enum kt_status status;

    kt_buf_init(&body, 0);
    kt_buf_init(&answer, 0);
    kt_buf_append_byte(&body, '{');
    kt_etcd_put_bytes(&body, "key", key);
    kt_buf_append_byte(&body, ',');
    kt_etcd_put_bytes(&body, "value", value);
    if (lease != 0) {
        kt_buf_append_byte(&body, ',');
        kt_etcd_put_number(&body, "lease", lease);
    }
    kt_buf_append_byte(&body, '}');
    status = send_body(etcd, "/v3/kv/put", &body, once, &answer, err);
    if (status == KT_OK) {
        status = read_write_answer(kt_buf_str(&answer), NULL, once, &revision, NULL, err);
    }
    kt_buf_done(&answer);
    if (status == KT_OK && ret_revision) {
        *ret_revision = revision;
    }
    return status;
}

enum kt_status kt_etcd_delete(struct kt_etcd *etcd, struct kt_str key, bool prefix,
                              int64_t *ret_deleted, struct kt_error *err)
{
    struct kt_buf body, answer;
    int64_t revision = 0, deleted = 0;
    enum kt_status status;

    kt_buf_init(&body, 0);
    kt_buf_init(&answer, 0);
    kt_buf_append_byte(&body, '{');
    put_range(&body, key, prefix);
    kt_buf_append_byte(&body, '}');
    status = send_body(etcd, "/v3/kv/deleterange", &body, true, &answer, err);
    if (status == KT_OK) {
        status = read_write_answer(kt_buf_str(&answer), "deleted", true, &revision, &deleted, err);
    }
    kt_buf_done(&answer);
    if (status == KT_OK && ret_deleted) {
        *ret_deleted = deleted;
    }
    return status;
}

static void put_compare(struct kt_buf *body, const struct kt_etcd_compare *compare)
{
    static const struct {
        const char *target, *field;
    } names[] = {
        [KT_ETCD_CREATE_REVISION] = {"CREATE", "create_revision"},
        [KT_ETCD_MOD_REVISION] = {"MOD", "mod_revision"},
        [KT_ETCD_LEASE] = {"LEASE", "lease"},
        [KT_ETCD_VALUE] = {"VALUE", "value"},
    };

    kt_buf_append_byte(body, '{');
    kt_etcd_put_bytes(body, "key", compare->key);
    kt_buf_printf(body, ",\"result\":\"EQUAL\",\"target\":\"%s\",", names[compare->target].target);
    if (compare->target == KT_ETCD_VALUE) {
        kt_etcd_put_bytes(body, "value", compare->value);
    } else {
        kt_etcd_put_number(body, names[compare->target].field, compare->number);
    }
    kt_buf_append_byte(body, '}');
}

static void put_op(struct kt_buf *body, const struct kt_etcd_op *op)
{
    kt_buf_append_text(body, op->kind == KT_ETCD_OP_PUT ? "{\"request_put\":{"
                                                        : "{\"request_delete_range\":{");
    kt_etcd_put_bytes(body, "key", op->key);
    if (op->kind == KT_ETCD_OP_PUT) {
        kt_buf_append_byte(body, ',');
        kt_etcd_put_bytes(body, "value", op->value);
        if (op->lease != 0) {
            kt_buf_append_byte(body, ',');
            kt_etcd_put_number(body, "lease", op->lease);
        }
    }
    kt_buf_append_text(body, "}}");
}

enum kt_status kt_etcd_txn(struct kt_etcd *etcd, const struct kt_etcd_compare *compares,
                           size_t compare_count, const struct kt_etcd_op *ops, size_t op_count,
                           bool *ret_succeeded, int64_t *ret_revision, struct kt_error *err)
{
    struct kt_buf body, answer;
    enum kt_status status;

    kt_buf_init(&body, 0);
    kt_buf_init(&answer, 0);
    kt_buf_append_text(&body, "{\"compare\":[");
    for (size_t i = 0; i < compare_count; i++) {
        kt_buf_append_text(&body, i ? "," : "");
        put_compare(&body, &compares[i]);
    }
    kt_buf_append_text(&body, "],\"success\":[");
    for (size_t i = 0; i < op_count; i++) {
        kt_buf_append_text(&body, i ? "," : "");
        put_op(&body, &ops[i]);
    }
    kt_buf_append_text(&body, "]}");
    status = send_body(etcd, "/v3/kv/txn", &body, true, &answer, err);
    if (status == KT_OK) {
        status = kt_etcd_decode_txn(kt_buf_str(&answer), ret_succeeded, ret_revision, err);
        if (status != KT_OK) { /* it was answered by something: what was done is not known */
            status = KT_OUTCOME_UNKNOWN;
            if (err) {
                err->status = status;
            }
        }
    }
    kt_buf_done(&answer);
    return status;
}

static enum kt_status lease_call(struct kt_etcd *etcd, const char *path, const char *name,
                                 int64_t number, int64_t *ret_lease, int64_t *ret_ttl_s,
                                 struct kt_error *err)
{
    struct kt_buf body, answer;
    enum kt_status status;

    kt_buf_init(&body, 0);
    kt_buf_init(&answer, 0);
    kt_buf_append_byte(&body, '{');
    kt_etcd_put_number(&body, name, number);
    kt_buf_append_byte(&body, '}');
    status = send_body(etcd, path, &body, false, &answer, err);
    if (status == KT_OK) {
        status = kt_etcd_decode_lease(kt_buf_str(&answer), ret_lease, ret_ttl_s, err);
    }
    kt_buf_done(&answer);
    return status;
}

enum kt_status kt_etcd_lease_grant(struct kt_etcd *etcd, int64_t ttl_s, int64_t *ret_lease,
                                   int64_t *ret_ttl_s, struct kt_error *err)
{
    int64_t lease = 0, granted_s = 0;
    enum kt_status status =
        lease_call(etcd, "/v3/lease/grant", "TTL", ttl_s, &lease, &granted_s, err);

    if (status == KT_OK && (lease == 0 || granted_s <= 0)) {
        status = kt_fail(err, KT_CORRUPT, "etcd granted a lease without id or ttl");
    }
    if (status == KT_OK) {
        *ret_lease = lease;
        *ret_ttl_s = granted_s;
    }
    return status;
}

enum kt_status kt_etcd_lease_keepalive(struct kt_etcd *etcd, int64_t lease, int64_t *ret_ttl_s,
                                       struct kt_error *err)
{
    int64_t answered = 0, ttl_s = 0;
    enum kt_status status =
        lease_call(etcd, "/v3/lease/keepalive", "ID", lease, &answered, &ttl_s, err);

    if (status == KT_OK && answered != lease) {
        status = kt_fail(err, KT_CORRUPT, "etcd answered for lease %llx, not for %llx",
                         (unsigned long long)answered, (unsigned long long)lease);
    }
    if (status == KT_OK && ttl_s <= 0) {
        status = kt_fail(err, KT_NOT_FOUND, "lease %llx is gone", (unsigned long long)lease);
    }
    if (status == KT_OK) {
        *ret_ttl_s = ttl_s;
    }
    return status;
}

enum kt_status kt_etcd_lease_revoke(struct kt_etcd *etcd, int64_t lease, struct kt_error *err)
{
    int64_t ignored_lease = 0, ignored_ttl_s = 0;

    return lease_call(etcd, "/v3/lease/revoke", "ID", lease, &ignored_lease, &ignored_ttl_s, err);
}

enum kt_status kt_etcd_version(struct kt_etcd *etcd, char ret_version[32], struct kt_error *err)
{
    struct etcd_request request = {"GET", "/version", {NULL, 0}, false};
    struct kt_json *doc = NULL;
    const struct kt_json_value *root = NULL, *value;
    struct kt_buf answer;
    enum kt_status status;

    kt_buf_init(&answer, 0);
    status = kt_etcd_call(etcd, &request, &answer, err);
    if (status == KT_OK) {
        status = kt_etcd_open(kt_buf_str(&answer), &doc, &root, err);
    }
    if (status == KT_OK) {
        value = kt_json_member(root, "etcdserver");
        if (value && kt_json_type(value) == KT_JSON_STRING) {
            kt_str_copy(ret_version, 32, kt_json_string(value));
        } else {
            status = kt_fail(err, KT_CORRUPT, "an answer that is not etcd's: no etcdserver");
        }
    }
    kt_json_free(&doc);
    kt_buf_done(&answer);
    return status;
}

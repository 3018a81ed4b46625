/* SPDX-License-Identifier: MIT */
/* What requests with a key came to; store.h says what that is for. A row goes by the log's time
 * alone: it is looked at and removed only while an entry is applied, so that the table is a
 * function of the log.
 */
#include "store/apply_internal.h"

#include "base/hash.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* A gateway repeats a request for seconds at most; its key may be forgotten long before a client's.
 */
#define GATEWAY_PREFIX "g-"
#define GATEWAY_WINDOW_MS 600000
#define EXPIRE_AT_ONCE 1000 /* rows an entry: a cluster that was idle for a day must not stall */
#define DIGEST_BYTES 32

enum row_column {
    ROW_DIGEST,
    ROW_EXPIRES,
    ROW_REVISION,
    ROW_STATUS,
    ROW_FIELD,
    ROW_MESSAGE,
    ROW_SUBJECTS,
    ROW_RECORDS,
    ROW_VALUES
};

const char *const store_find_request_sql =
    "SELECT digest,expires_ms,revision,status,field,message,subjects,records,value_count"
    " FROM request WHERE key=?";

struct kt_str kt_request_batch_key(struct kt_str key, uint64_t batch, char *dest)
{
    KT_ASSERT(key.len <= KT_REQUEST_KEY_MAX);
    memcpy(dest, key.data, key.len);
    dest[key.len] = ' ';
    size_t digits = kt_format_u64(batch, dest + key.len + 1);
    return kt_str_n(dest, key.len + 1 + digits);
}

static bool is_gateways(struct kt_str key)
{
    return kt_str_starts(key, KT_STR(GATEWAY_PREFIX));
}

/* The time that a gateway wrote into its key: digits up to a '-' or the end. An import goes on for
 * longer than a key is good for, and its later batches rest on the first, which is judged. */
static bool gateway_time(struct kt_str key, int64_t *ret_ms)
{
    size_t prefix = sizeof(GATEWAY_PREFIX) - 1, end = prefix;
    while (end < key.len && key.data[end] >= '0' && key.data[end] <= '9') {
        end++;
    }
    for (size_t i = end; i < key.len; i++) {
        if (key.data[i] == ' ' && !kt_str_eq_text(kt_str_n(key.data + i, key.len - i), " 1")) {
            return false;
        }
    }
    bool whole = end == key.len || key.data[end] == '-' || key.data[end] == ' ';
    return whole && end - prefix <= 15 &&
           kt_parse_i64(kt_str_n(key.data + prefix, end - prefix), ret_ms);
}

/* --- rows --- */

static enum kt_status read_row(struct sqlite3_stmt *stmt, struct kt_apply_result *ret_result,
                               struct kt_error *err)
{
    struct kt_apply_result result = {.revision = db_u64(stmt, ROW_REVISION)};
    char code[40];
    kt_str_copy(code, sizeof(code), db_text(stmt, ROW_STATUS));
    result.status = kt_status_of_code(code);
    kt_str_copy(result.field, sizeof(result.field), db_text(stmt, ROW_FIELD));
    kt_str_copy(result.message, sizeof(result.message), db_text(stmt, ROW_MESSAGE));
    result.subjects = (uint32_t)db_u64(stmt, ROW_SUBJECTS);
    result.records = (uint32_t)db_u64(stmt, ROW_RECORDS);
    result.values = (uint32_t)db_u64(stmt, ROW_VALUES);
    *ret_result = result;
    return db_check_columns(stmt, err);
}

static bool same_digest(struct sqlite3_stmt *stmt, struct kt_str body)
{
    unsigned char digest[DIGEST_BYTES];
    kt_sha256(body.data, body.len, digest);
    return kt_str_eq(db_blob(stmt, ROW_DIGEST), kt_str_n((const char *)digest, sizeof(digest)));
}

static const char *const mismatch = "Idempotency-Key: another request had this key";

enum kt_status kt_store_find_request(struct kt_store *store, struct kt_str key, struct kt_str body,
                                     int64_t now_wall_ms, struct kt_apply_result *ret_result,
                                     struct kt_error *err)
{
    struct reader *reader = NULL;
    enum kt_status status = KT_OK;
    /* Of most keys nothing is known; for those the data need not be brought up to date. */
    if (behind_has_key(store, key)) {
        status = kt_store_flush(store, err);
    }
    /* A write does not wait behind questions for what only spares work. */
    if (status == KT_OK) {
        status = pool_take_within(&store->data_readers, 0, &reader, err);
    }
    if (status != KT_OK) {
        return status;
    }
    struct sqlite3_stmt *stmt = reader->stmts[READER_REQUEST];
    db_bind_text(stmt, 1, key);
    status = db_step(stmt, err);
    if (status == KT_OK) {
        bool live = db_i64(stmt, ROW_EXPIRES) > now_wall_ms;
        if (!live) {
            status = KT_NOT_FOUND; /* apply knows what the log's time is */
        } else if (same_digest(stmt, body)) {
            status = read_row(stmt, ret_result, err);
        } else {
            status = kt_fail_field(err, KT_IDEMPOTENCY_MISMATCH, "Idempotency-Key", "%s", mismatch);
        }
        db_reset(stmt);
    }
    pool_give(&store->data_readers, reader);
    return status;
}

/* --- in apply --- */

/* How many there are, and when the first of them goes. */
static enum kt_status know_requests(struct applier *a, struct kt_error *err)
{
    struct sqlite3_stmt *stmt = a->store->data_stmts[DATA_COUNT_REQUESTS];
    if (a->requests_known) {
        return KT_OK;
    }
    enum kt_status status = db_step(stmt, err);
    if (status != KT_OK) {
        return status;
    }
    a->request_count = db_i64(stmt, 0);
    db_reset(stmt);
    stmt = a->store->data_stmts[DATA_NEXT_EXPIRY];
    status = db_step(stmt, err);
    if (status == KT_OK) {
        a->next_expiry_ms = db_i64(stmt, 0);
        db_reset(stmt);
        a->requests_known = true;
    }
    return status;
}

enum kt_status requests_expire(struct applier *a, int64_t wall_ms, struct kt_error *err)
{
    enum kt_status status = know_requests(a, err);
    if (status != KT_OK || a->request_count == 0 || a->next_expiry_ms > wall_ms) {
        return status;
    }
    struct sqlite3_stmt *stmt = a->store->data_stmts[DATA_EXPIRE_REQUESTS];
    db_bind_i64(stmt, 1, wall_ms);
    db_bind_i64(stmt, 2, EXPIRE_AT_ONCE);
    status = db_run(stmt, err);
    a->request_count -= db_changes(a->store->data);
    stmt = a->store->data_stmts[DATA_NEXT_EXPIRY];
    if (status == KT_OK) {
        status = db_step(stmt, err);
    }
    if (status == KT_OK) {
        a->next_expiry_ms = db_i64(stmt, 0);
        db_reset(stmt);
    }
    return status;
}

/* A key that nobody remembers: may it be carried out? */
static bool judge_new(struct applier *a, const struct kt_entry *entry,
                      struct kt_apply_result *result)
{
    char message[160];
    int64_t made_ms, most = a->settings.max_keys;
    bool added = is_gateways(entry->key) && gateway_time(entry->key, &made_ms);
    if (added && (made_ms <= entry->wall_ms - GATEWAY_WINDOW_MS ||
                  made_ms >= entry->wall_ms + GATEWAY_WINDOW_MS)) {
        snprintf(message, sizeof(message),
                 "Idempotency-Key: its time is %lld s off the cluster's; see to the clocks",
                 (long long)((made_ms - entry->wall_ms) / 1000));
        apply_refuse(result, KT_UNAVAILABLE, "Idempotency-Key", message);
        return false;
    }
    if (added) {
        most -= most / 2; /* keys that gateways add never crowd out those that clients chose */
    }
    if (a->request_count >= most) {
        snprintf(message, sizeof(message), "Idempotency-Key: %lld keys are remembered already",
                 (long long)a->request_count);
        apply_refuse(result, KT_UNAVAILABLE, "Idempotency-Key", message);
        return false;
    }
    return true;
}

enum kt_status requests_judge(struct applier *a, const struct kt_entry *entry,
                              struct kt_apply_result *result, bool *ret_go_on, struct kt_error *err)
{
    struct sqlite3_stmt *stmt = a->store->data_stmts[DATA_FIND_REQUEST];
    db_bind_text(stmt, 1, entry->key);
    enum kt_status status = db_step(stmt, err);
    if (status != KT_OK) {
        *ret_go_on = status == KT_NOT_FOUND && judge_new(a, entry, result);
        return status == KT_NOT_FOUND ? KT_OK : status;
    }
    if (db_i64(stmt, ROW_EXPIRES) <= entry->wall_ms) {
        /* Over, and only not removed yet: it makes room for itself. */
        db_reset(stmt);
        stmt = a->store->data_stmts[DATA_FORGET_REQUEST];
        db_bind_text(stmt, 1, entry->key);
        a->request_count--;
        status = db_run(stmt, err);
        *ret_go_on = status == KT_OK && judge_new(a, entry, result);
        return status;
    }
    *ret_go_on = false;
    if (same_digest(stmt, entry->body)) {
        status = read_row(stmt, result, err);
        result->seq = entry->seq;
    } else {
        status = KT_OK;
        apply_refuse(result, KT_IDEMPOTENCY_MISMATCH, "Idempotency-Key", mismatch);
    }
    db_reset(stmt);
    return status;
}

static int64_t expiry_of(const struct applier *a, const struct kt_entry *entry)
{
    int64_t made_ms;
    if (!is_gateways(entry->key)) {
        return entry->wall_ms + a->settings.key_window_ms;
    }
    /* By the later of both clocks: it is refused for its age from there on. */
    bool ahead = gateway_time(entry->key, &made_ms) && made_ms > entry->wall_ms;
    return (ahead ? made_ms : entry->wall_ms) + GATEWAY_WINDOW_MS;
}

enum kt_status requests_remember(struct applier *a, const struct kt_entry *entry,
                                 const struct kt_apply_result *result, struct kt_error *err)
{
    unsigned char digest[DIGEST_BYTES];
    int64_t expires_ms = expiry_of(a, entry);
    kt_sha256(entry->body.data, entry->body.len, digest);
    struct sqlite3_stmt *stmt = a->store->data_stmts[DATA_PUT_REQUEST];
    behind_note_key(a->store, entry->key);
    db_bind_text(stmt, 1, entry->key);
    db_bind_blob(stmt, 2, kt_str_n((const char *)digest, sizeof(digest)));
    db_bind_i64(stmt, 3, expires_ms);
    db_bind_u64(stmt, 4, result->revision);
    db_bind_text(stmt, 5, kt_str(kt_status_code(result->status)));
    db_bind_text(stmt, 6, kt_str(result->field));
    db_bind_text(stmt, 7, kt_str(result->message));
    db_bind_u64(stmt, 8, result->subjects);
    db_bind_u64(stmt, 9, result->records);
    db_bind_u64(stmt, 10, result->values);
    enum kt_status status = db_run(stmt, err);
    if (status == KT_OK) {
        if (a->request_count == 0 || expires_ms < a->next_expiry_ms) {
            a->next_expiry_ms = expires_ms;
        }
        a->request_count++;
    }
    return status;
}

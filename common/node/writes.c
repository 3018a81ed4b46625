/* SPDX-License-Identifier: MIT */
/* The handlers of save and delete, and what all writes share. */
#include "base/mem.h"
#include "http/envelope.h"
#include "node/delete.h"
#include "node/node_impl.h"
#include "node/save.h"
#include "json/read.h"

#include <string.h>

enum kt_status kt_node_admit_write(struct kt_node *node, const struct kt_http_request *request,
                                   struct kt_error *err)
{
    struct kt_str key = kt_http_header(request, "Idempotency-Key");
    if (key.data && kt_http_header_count(request, "Idempotency-Key") > 1) {
        return kt_fail_field(err, KT_BAD_VALUE, "Idempotency-Key",
                             "Idempotency-Key is given more than once");
    }
    if (key.data && !kt_is_visible_ascii(key, KT_REQUEST_KEY_MAX)) {
        return kt_fail_field(err, KT_BAD_VALUE, "Idempotency-Key",
                             "Idempotency-Key must be 1 to 128 visible ASCII characters");
    }
    if (atomic_load(&node->draining)) {
        return kt_fail(err, KT_UNAVAILABLE, "this node is stopping");
    }
    struct kt_replica_brief brief;
    kt_replica_brief(node->replica, &brief);
    if (brief.is_leader) {
        return KT_OK;
    }
    struct kt_replica_status *status = kt_malloc(sizeof(*status));
    if (!status) {
        return kt_fail(err, KT_UNAVAILABLE, "out of memory");
    }
    kt_replica_status(node->replica, status);
    enum kt_status verdict =
        strcmp(status->leader_id, node->id) == 0
            ? kt_fail(err, KT_UNAVAILABLE, "this node begins to lead and takes no writes yet")
        : status->leader_addr[0]
            ? kt_fail(err, KT_NOT_LEADER, "this node follows; the leader is %s",
                      status->leader_addr)
            : kt_fail(err, KT_UNAVAILABLE, "there is no leader: waiting for %s",
                      status->stopped_why[0] ? status->stopped_why : status->waiting_for);
    kt_free(status);
    return verdict;
}

struct kt_str kt_node_request_key(const struct kt_http_request *request)
{
    struct kt_str key = kt_http_header(request, "Idempotency-Key");
    return key.data ? key : KT_STR("");
}

enum kt_status kt_node_submit(struct kt_node *node, struct kt_str key, struct kt_str body,
                              int64_t deadline_mono_ms, struct kt_submit_result *ret_result,
                              struct kt_error *err)
{
    struct kt_submit_result result;
    memset(&result, 0, sizeof(result));
    enum kt_status status =
        kt_replica_submit(node->replica, key, body, deadline_mono_ms, &result, err);
    if (status == KT_OK && result.apply.status != KT_OK) {
        status =
            kt_fail_field(err, result.apply.status, result.apply.field, "%s", result.apply.message);
    }
    if (status == KT_OK) {
        *ret_result = result;
    }
    return status;
}

/* --- save --- */

static enum kt_status save(struct kt_node *node, struct kt_http_request *request,
                           struct kt_change_builder *builder, struct kt_submit_result *ret_result,
                           struct kt_error *err)
{
    struct kt_save_limits limits = {node->config->limits.subjects, node->config->limits.records,
                                    KT_JSON_DEPTH_DEFAULT};
    struct kt_buf change;
    kt_buf_init(&change, 0);
    enum kt_status status = kt_save_parse(request->body, &limits, builder, err);
    if (status == KT_OK) {
        status = kt_change_encode(builder, &change, err);
    }
    if (status == KT_OK) {
        status = kt_node_submit(node, kt_node_request_key(request), kt_buf_str(&change),
                                request->deadline_mono_ms, ret_result, err);
    }
    kt_buf_done(&change);
    return status;
}

static void write_save_answer(struct kt_http_response *response,
                              const struct kt_submit_result *result)
{
    struct kt_jw jw;
    kt_envelope_begin(response, &jw);
    kt_jw_object(&jw);
    kt_jw_kv_u64(&jw, "revision", result->revision);
    kt_jw_kv_u64(&jw, "records", result->apply.records);
    kt_jw_object_end(&jw);
    kt_envelope_end(&jw);
}

void kt_node_save(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_submit_result result;
    struct kt_change_builder *builder = NULL;
    enum kt_status status = kt_node_admit_write(node, request, &err);
    if (status == KT_OK) {
        builder = kt_change_builder_new((size_t)node->config->limits.body_bytes * 2);
        status = builder ? save(node, request, builder, &result, &err)
                         : kt_fail(&err, KT_UNAVAILABLE, "out of memory");
    }
    kt_change_builder_free(&builder);
    if (status != KT_OK) {
        kt_node_fail(node, response, true, &err);
    } else {
        write_save_answer(response, &result);
    }
}

/* --- delete --- */

/* Nothing is written, so a key means nothing here: a gateway gives one to every write. */
static enum kt_status count_only(struct kt_node *node, const struct kt_http_request *request,
                                 const struct kt_change_delete *erase,
                                 struct kt_http_response *response, struct kt_error *err)
{
    uint64_t records = 0, subjects = 0;
    struct kt_jw jw;
    enum kt_status status = kt_store_count_records(node->store, erase, request->deadline_mono_ms,
                                                   &records, &subjects, err);
    if (status == KT_OK) {
        kt_envelope_begin(response, &jw);
        kt_jw_object(&jw);
        kt_jw_kv_u64(&jw, "revision", kt_store_applied(node->store));
        kt_jw_kv_u64(&jw, "records", records);
        kt_jw_kv_u64(&jw, "subjects", subjects);
        kt_jw_kv_bool(&jw, "dry_run", true);
        kt_jw_object_end(&jw);
        kt_envelope_end(&jw);
    }
    return status;
}

static enum kt_status carry_out(struct kt_node *node, const struct kt_http_request *request,
                                const struct kt_change_delete *erase,
                                struct kt_http_response *response, struct kt_error *err)
{
    struct kt_submit_result result;
    struct kt_buf change;
    struct kt_jw jw;
    kt_buf_init(&change, 0);
    enum kt_status status = kt_change_encode_delete(erase, &change, err);
    if (status == KT_OK) {
        status = kt_node_submit(node, kt_node_request_key(request), kt_buf_str(&change),
                                request->deadline_mono_ms, &result, err);
    }
    kt_buf_done(&change);
    if (status == KT_OK) {
        kt_envelope_begin(response, &jw);
        kt_jw_object(&jw);
        kt_jw_kv_u64(&jw, "revision", result.revision);
        kt_jw_kv_u64(&jw, "records", result.apply.records);
        kt_jw_kv_u64(&jw, "subjects", result.apply.subjects);
        kt_jw_object_end(&jw);
        kt_envelope_end(&jw);
    }
    return status;
}

void kt_node_delete(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_delete delete;
    enum kt_status status = kt_node_admit_write(node, request, &err);
    if (status == KT_OK) {
        status = kt_delete_parse(request->body, node->config->limits.subjects,
                                 KT_JSON_DEPTH_DEFAULT, &delete, &err);
        if (status == KT_OK) {
            status = delete.dry_run ? count_only(node, request, &delete.erase, response, &err)
                                    : carry_out(node, request, &delete.erase, response, &err);
        }
        kt_delete_done(&delete);
    }
    if (status != KT_OK) {
        kt_node_fail(node, response, true, &err);
    }
}

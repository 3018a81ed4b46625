/* SPDX-License-Identifier: MIT */
/* The handlers for operators and for other processes: is it up, what is it. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/software.h"
#include "http/envelope.h"
#include "kt_version.h"
#include "node/node_impl.h"

#include <stdio.h>
#include <string.h>

struct kt_replica_status *kt_node_read_status(struct kt_node *node,
                                              struct kt_http_response *response)
{
    struct kt_replica_status *status = kt_malloc(sizeof(*status));
    if (status) {
        kt_replica_status(node->replica, status);
    } else {
        struct kt_error err = KT_ERROR_INIT;
        (void)kt_fail(&err, KT_NO_MEMORY, "out of memory");
        kt_envelope_error(response, &err);
    }
    return status;
}

/* --- health --- */

static const char *health_word(struct kt_node *node, const struct kt_replica_status *status)
{
    if (atomic_load_explicit(&node->draining, memory_order_relaxed)) {
        return "draining";
    }
    if (status->role == KT_M_ENDED) {
        return "stopped";
    }
    return status->ready ? "ok" : "starting";
}

static void write_health(struct kt_node *node, const struct kt_replica_status *status,
                         struct kt_http_response *response)
{
    const char *word = health_word(node, status);
    struct kt_jw jw;
    response->status = strcmp(word, "ok") == 0 ? 200 : 503;
    kt_jw_init(&jw, &response->body);
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "status", word);
    kt_jw_kv_text(&jw, "role", status->brief.is_leader ? "leader" : "follower");
    kt_jw_kv_text(&jw, "node", node->id);
    kt_jw_kv_text(&jw, "address", node->addr);
    kt_jw_kv_text(&jw, "cluster", status->cluster_id);
    kt_jw_kv_u64(&jw, "epoch", status->brief.epoch);
    kt_jw_kv_u64(&jw, "revision", status->brief.revision);
    kt_jw_kv_i64(&jw, "lag_ms", status->brief.lag_ms);
    if (status->stopped_why[0]) {
        kt_jw_kv_text(&jw, "why", status->stopped_why);
    } else if (status->waiting_for[0]) {
        kt_jw_kv_text(&jw, "waiting_for", status->waiting_for);
    }
    kt_jw_object_end(&jw);
    if (response->status == 503) {
        kt_http_response_header(response, "Retry-After", KT_STR("1"));
    }
}

void kt_node_health(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    (void)request;
    response->untagged = true;
    struct kt_replica_status *status = kt_node_read_status(node, response);
    if (!status) {
        return;
    }
    write_health(node, status, response);
    kt_free(status);
}

void kt_node_live(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    (void)ctx;
    (void)request;
    response->untagged = true;
    kt_buf_append_text(&response->body, "{\"status\":\"ok\"}");
}

void kt_node_ready(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    kt_node_health(ctx, request, response);
}

/* --- version --- */

void kt_node_version(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    struct kt_jw jw;
    (void)request;
    char etcd[32];
    kt_mutex_lock(&node->keeper_mutex);
    memcpy(etcd, node->etcd_version, sizeof(etcd));
    kt_mutex_unlock(&node->keeper_mutex);
    kt_envelope_begin(response, &jw);
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "version", KT_VERSION);
    kt_jw_kv_text(&jw, "commit", KT_BUILD_COMMIT);
    kt_jw_kv_text(&jw, "build", __VERSION__);
    kt_jw_kv_text(&jw, "node", node->id);
    kt_jw_kv_text(&jw, "etcd", etcd);
    kt_jw_object_end(&jw);
    kt_envelope_end(&jw);
}

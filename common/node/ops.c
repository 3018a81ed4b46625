/* SPDX-License-Identifier: MIT */
/* The handlers for operators and for other processes: is it up, what is it, who is there. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/software.h"
#include "http/envelope.h"
#include "kt_version.h"
#include "node/node_impl.h"

#include <stdio.h>
#include <string.h>

/* Too large for a worker's stack; freed by the caller. NULL: the response holds the refusal. */
static struct kt_replica_status *read_status(struct kt_node *node,
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
    struct kt_replica_status *status = read_status(node, response);
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

/* --- cluster --- */

struct info {
    const struct kt_replica_status *status;
    const struct kt_coord_view *view;
};

static const struct kt_service *find_service(const struct kt_coord_view *view, const char *id)
{
    for (size_t i = 0; i < view->service_count; i++) {
        if (strcmp(view->services[i].id, id) == 0) {
            return &view->services[i];
        }
    }
    return NULL;
}

/* A member as the leader sees it if this is the leader, else as it registered. */
static void write_member(const struct info *info, const struct kt_member *member, struct kt_jw *jw)
{
    const struct kt_replica_status *status = info->status;
    const struct kt_service *service = find_service(info->view, member->id);
    bool is_leader = strcmp(member->id, status->leader_id) == 0;
    uint64_t revision = service ? service->revision : 0;
    int64_t lag_ms = -1;
    if (strcmp(member->id, status->node_id) == 0) {
        revision = status->brief.revision;
        lag_ms = status->brief.lag_ms;
    }
    for (size_t i = 0; i < status->peer_count; i++) {
        if (strcmp(status->peers[i].id, member->id) == 0) {
            revision = status->peers[i].after;
            lag_ms = status->peers[i].after >= status->commit_seq ? status->peers[i].seen_ago_ms
                                                                  : lag_ms;
        }
    }
    kt_jw_object(jw);
    kt_jw_kv_text(jw, "node_id", member->id);
    kt_jw_kv_text(jw, "address", service ? service->addr : member->addr);
    kt_jw_kv_text(jw, "role", is_leader ? "leader" : "follower");
    kt_jw_kv_text(jw, "status", service ? kt_node_state_name(service->state) : "gone");
    kt_jw_kv_u64(jw, "revision", revision);
    kt_jw_key_text(jw, "lag_ms");
    if (lag_ms >= 0) {
        kt_jw_i64(jw, lag_ms);
    } else {
        kt_jw_null(jw);
    }
    kt_jw_kv_bool(jw, "in_sync",
                  info->view->config.valid &&
                      kt_cluster_config_in_sync(&info->view->config.value, member->id));
    kt_jw_kv_bool(jw, "electable", member->electable);
    kt_jw_kv_i64(jw, "priority", member->priority);
    kt_jw_object_end(jw);
}

static void write_info(struct kt_node *node, const struct info *info, struct kt_jw *jw)
{
    const struct kt_replica_status *status = info->status;
    kt_jw_object(jw);
    kt_jw_kv_text(jw, "node_id", node->id);
    kt_jw_kv_text(jw, "address", node->addr);
    kt_jw_kv_text(jw, "cluster", status->cluster_id);
    kt_jw_kv_text(jw, "leader", status->leader_addr);
    kt_jw_kv_bool(jw, "is_leader", status->brief.is_leader);
    kt_jw_kv_u64(jw, "epoch", status->brief.epoch);
    kt_jw_kv_u64(jw, "revision", status->brief.revision);
    kt_jw_kv_bool(jw, "standalone", node->standalone);
    kt_jw_kv_bool(jw, "etcd_reachable", info->view->reachable);
    kt_jw_kv_text(jw, "waiting_for",
                  status->stopped_why[0] ? status->stopped_why : status->waiting_for);
    kt_jw_key_text(jw, "nodes");
    kt_jw_array(jw);
    if (info->view->config.present && info->view->config.valid) {
        const struct kt_cluster_config *config = &info->view->config.value;
        for (size_t i = 0; i < config->member_count; i++) {
            write_member(info, &config->members[i], jw);
        }
    }
    kt_jw_array_end(jw);
    kt_jw_object_end(jw);
}

void kt_node_cluster_info(void *ctx, struct kt_http_request *request,
                          struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    (void)request;
    struct kt_replica_status *status = read_status(node, response);
    if (!status) {
        return;
    }
    struct kt_coord_view *view = kt_replica_view(node->replica);
    struct info info = {status, view};
    struct kt_jw jw;
    kt_envelope_begin(response, &jw);
    write_info(node, &info, &jw);
    kt_envelope_end(&jw);
    kt_coord_view_unref(&view);
    kt_free(status);
}

void kt_node_cluster_leader(void *ctx, struct kt_http_request *request,
                            struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    (void)request;
    struct kt_replica_status *status = read_status(node, response);
    if (!status) {
        return;
    }
    if (!status->leader_addr[0]) {
        struct kt_error err = KT_ERROR_INIT;
        (void)kt_fail(&err, KT_UNAVAILABLE, "there is no leader: waiting for %s",
                      status->waiting_for);
        kt_envelope_error(response, &err);
    } else {
        struct kt_jw jw;
        kt_envelope_begin(response, &jw);
        kt_jw_object(&jw);
        kt_jw_kv_text(&jw, "node_id", status->leader_id);
        kt_jw_kv_text(&jw, "address", status->leader_addr);
        kt_jw_kv_u64(&jw, "epoch", status->brief.epoch);
        kt_jw_object_end(&jw);
        kt_envelope_end(&jw);
    }
    kt_free(status);
}

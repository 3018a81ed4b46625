/* SPDX-License-Identifier: MIT */
/* The handlers below /cluster/: who is there, who leads, what has happened, and what an operator
 * may ask of the whole.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/envelope.h"
#include "node/node_impl.h"

#include <string.h>

#define LEADS_WITHIN_MS 10000 /* after recover: a settling time of more than a ttl, and some */
#define LOOK_INTERVAL_MS 50
#define RESERVE_MS 100 /* for the answer to arrive while its client still waits */
#define MISSING_BYTES 1200
#define EVENTS_AT_ONCE 8 /* half a MB each, for anybody who asks */

/* --- info --- */

struct info {
    const struct kt_replica_status *status;
    const struct kt_coord_view *view;
};

/* What is known of a member beyond its registration: the leader knows all, others themselves. */
struct known {
    uint64_t revision;
    int64_t lag_ms; /* -1 = not known */
    bool has_clock, candidate;
    int64_t clock_skew_ms;
};

static struct known know(const struct info *info, const char *id, const struct kt_service *service)
{
    const struct kt_replica_status *status = info->status;
    struct known known = {.revision = service ? service->revision : 0, .lag_ms = -1};
    if (strcmp(id, status->node_id) == 0) {
        known.revision = status->brief.revision;
        known.lag_ms = status->brief.lag_ms;
        known.has_clock = status->brief.is_leader;
        return known;
    }
    for (size_t i = 0; i < status->peer_count; i++) {
        if (strcmp(status->peers[i].id, id) == 0) {
            known.revision = status->peers[i].after;
            known.lag_ms = status->peers[i].lag_ms;
            known.has_clock = status->peers[i].has_clock;
            known.clock_skew_ms = status->peers[i].clock_skew_ms;
            known.candidate = status->peers[i].candidate;
        }
    }
    return known;
}

static void write_known_ms(struct kt_jw *jw, const char *name, bool is_known, int64_t ms)
{
    kt_jw_key_text(jw, name);
    if (is_known) {
        kt_jw_i64(jw, ms);
    } else {
        kt_jw_null(jw);
    }
}

static void write_member(const struct info *info, const struct kt_member *member, struct kt_jw *jw)
{
    const struct kt_service *service = kt_coord_view_node(info->view, member->id);
    struct known known = know(info, member->id, service);
    bool is_leader = strcmp(member->id, info->status->leader_id) == 0;
    kt_jw_object(jw);
    kt_jw_kv_text(jw, "node_id", member->id);
    kt_jw_kv_text(jw, "address", service ? service->addr : member->addr);
    kt_jw_kv_text(jw, "role", is_leader ? "leader" : "follower");
    kt_jw_kv_text(jw, "status", service ? kt_node_state_name(service->state) : "gone");
    kt_jw_kv_u64(jw, "revision", known.revision);
    write_known_ms(jw, "lag_ms", known.lag_ms >= 0, known.lag_ms);
    kt_jw_kv_bool(jw, "in_sync", kt_cluster_config_in_sync(&info->view->config.value, member->id));
    kt_jw_kv_bool(jw, "candidate", known.candidate);
    write_known_ms(jw, "clock_skew_ms", known.has_clock, known.clock_skew_ms);
    kt_jw_kv_bool(jw, "electable", member->electable);
    kt_jw_kv_i64(jw, "priority", member->priority);
    kt_jw_kv_text(jw, "via", service ? service->via : "");
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
    kt_jw_kv_u64(jw, "log_end", status->end_seq);
    kt_jw_kv_u64(jw, "commit", status->commit_seq);
    kt_jw_kv_bool(jw, "in_sync", status->in_sync);
    kt_jw_kv_u64(jw, "in_sync_count", status->in_sync_count);
    kt_jw_kv_u64(jw, "min_in_sync", status->min_in_sync);
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
    struct kt_replica_status *status = kt_node_read_status(node, response);
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

/* --- leader --- */

static void write_leader(const struct kt_replica_status *status, const char *missing,
                         struct kt_http_response *response)
{
    struct kt_jw jw;
    kt_envelope_begin(response, &jw);
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "node_id", status->leader_id);
    kt_jw_kv_text(&jw, "address", status->leader_addr);
    kt_jw_kv_u64(&jw, "epoch", status->brief.epoch);
    if (missing) {
        kt_jw_kv_text(&jw, "missing", missing);
    }
    kt_jw_object_end(&jw);
    kt_envelope_end(&jw);
}

void kt_node_cluster_leader(void *ctx, struct kt_http_request *request,
                            struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    (void)request;
    struct kt_replica_status *status = kt_node_read_status(node, response);
    if (!status) {
        return;
    }
    if (!status->leader_addr[0]) {
        struct kt_error err = KT_ERROR_INIT;
        (void)kt_fail(&err, KT_UNAVAILABLE, "there is no leader: waiting for %s",
                      status->waiting_for);
        kt_envelope_error(response, &err);
    } else {
        write_leader(status, NULL, response);
    }
    kt_free(status);
}

/* --- events --- */

static void write_events(struct kt_node *node, struct kt_replica_event *events,
                         struct kt_http_response *response)
{
    struct kt_jw jw;
    size_t count = kt_replica_events(node->replica, events, KT_REPLICA_EVENTS_MAX);
    response->untagged = true;
    kt_envelope_begin(response, &jw);
    kt_jw_object(&jw);
    kt_jw_key_text(&jw, "events");
    kt_jw_array(&jw);
    for (size_t i = 0; i < count; i++) {
        char time[25];
        kt_format_wall_ms(events[i].wall_ms, time);
        kt_jw_object(&jw);
        kt_jw_kv_text(&jw, "time", time);
        kt_jw_kv_text(&jw, "node", events[i].node);
        kt_jw_kv_text(&jw, "what", events[i].what);
        kt_jw_kv_text(&jw, "why", events[i].why);
        kt_jw_object_end(&jw);
    }
    kt_jw_array_end(&jw);
    kt_jw_object_end(&jw);
    kt_envelope_end(&jw);
}

void kt_node_cluster_events(void *ctx, struct kt_http_request *request,
                            struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    struct kt_replica_event *events = NULL;
    struct kt_error err = KT_ERROR_INIT;
    enum kt_status status = KT_OK;
    (void)request;
    if (atomic_fetch_add(&node->events_running, 1) >= EVENTS_AT_ONCE) {
        status = kt_fail(&err, KT_BUSY, "%d others ask for events", EVENTS_AT_ONCE);
    } else if (!(events = kt_calloc(KT_REPLICA_EVENTS_MAX, sizeof(*events)))) {
        status = kt_fail(&err, KT_UNAVAILABLE, "out of memory");
    }
    if (status == KT_OK) {
        write_events(node, events, response);
    } else {
        kt_envelope_error(response, &err);
    }
    kt_free(events);
    atomic_fetch_sub(&node->events_running, 1);
}

/* --- what an operator asks --- */

enum kt_status kt_node_read_body(struct kt_str body, kt_node_read_fn read, void *ret,
                                 struct kt_error *err)
{
    struct kt_json *doc = NULL;
    struct kt_json_fields fields;
    enum kt_status status = kt_json_parse(body, KT_JSON_DEPTH_DEFAULT, &doc, err);
    if (status == KT_OK) {
        status = kt_json_fields_init(&fields, kt_json_root(doc), "", err);
    }
    if (status == KT_OK) {
        status = read(&fields, ret, err);
    }
    if (status == KT_OK) {
        status = kt_json_fields_finish(&fields, err);
    }
    kt_json_free(&doc);
    return status;
}

enum kt_status kt_node_get_id(struct kt_json_fields *fields, const char *name,
                              char dest[KT_ID_LEN + 1], struct kt_error *err)
{
    struct kt_str text = {NULL, 0};
    enum kt_status status = kt_json_get_string(fields, name, &text, NULL, err);
    if (status == KT_OK && !kt_coord_is_id(text)) {
        return kt_fail_field(err, KT_BAD_VALUE, name,
                             "%s must be the id of a node: 16 hex digits in lower case", name);
    }
    kt_str_copy(dest, KT_ID_LEN + 1, text);
    return status;
}

/* No body at all is an empty object. */
static enum kt_status read_order(const struct kt_http_request *request, kt_node_read_fn read,
                                 void *ret, struct kt_error *err)
{
    struct kt_str body = request->body.len > 0 ? request->body : KT_STR("{}");
    return kt_node_read_body(body, read, ret, err);
}

static int64_t answer_by(const struct kt_http_request *request)
{
    return request->deadline_mono_ms - RESERVE_MS;
}

/* Names the request's field when the replica, which knows of no requests, has not. */
static void name_field(struct kt_error *err, const char *field)
{
    bool is_about = err->status == KT_BAD_VALUE || err->status == KT_NOT_FOUND;
    if (is_about && !err->field[0]) {
        kt_str_copy(err->field, sizeof(err->field), kt_str(field));
    }
}

static enum kt_status read_failover(struct kt_json_fields *fields, void *ret, struct kt_error *err)
{
    struct kt_str text = {NULL, 0};
    bool present = false;
    enum kt_status status = kt_json_get_string(fields, "to", &text, &present, err);
    if (status == KT_OK && present && !kt_is_visible_ascii(text, KT_ADDR_MAX - 1)) {
        status =
            kt_fail_field(err, KT_BAD_VALUE, "to", "to must be the id or the host:port of a node");
    }
    if (status == KT_OK) {
        kt_str_copy(ret, KT_ADDR_MAX, text);
    }
    return status;
}

void kt_node_failover(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    struct kt_error err = KT_ERROR_INIT;
    char to[KT_ADDR_MAX] = "", became[KT_ADDR_MAX] = "";
    int64_t began_ms = kt_now_mono_ms();
    enum kt_status status = read_order(request, read_failover, to, &err);
    if (status == KT_OK) {
        status = kt_replica_handover(node->replica, to, answer_by(request), became, &err);
        kt_log(INFO, "node", "failover", "to=\"%s\" leader=%s took_ms=%lld why=\"%s\"", to, became,
               (long long)(kt_now_mono_ms() - began_ms), err.message);
    }
    if (status != KT_OK) {
        name_field(&err, "to");
        kt_node_fail(node, response, false, &err);
        return;
    }
    struct kt_jw jw;
    kt_envelope_begin(response, &jw);
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "leader", became);
    kt_jw_kv_i64(&jw, "took_ms", kt_now_mono_ms() - began_ms);
    kt_jw_object_end(&jw);
    kt_envelope_end(&jw);
}

static enum kt_status read_recover(struct kt_json_fields *fields, void *ret, struct kt_error *err)
{
    bool *accepted = ret;
    enum kt_status status = kt_json_get_bool(fields, "accept_loss", accepted, NULL, err);
    if (status == KT_OK && !*accepted) {
        status = kt_fail_field(err, KT_BAD_VALUE, "accept_loss",
                               "accept_loss must be true: what only missing nodes have is lost");
    }
    return status;
}

/* Until somebody leads, as this node sees it: a change of the view comes first, the replica draws
 * its conclusion a moment later. */
static enum kt_status wait_for_leader(struct kt_node *node, int64_t deadline_mono_ms,
                                      struct kt_replica_status *status, struct kt_error *err)
{
    int64_t now_ms = kt_now_mono_ms();
    kt_replica_status(node->replica, status);
    while (!status->leader_addr[0] && now_ms < deadline_mono_ms && !atomic_load(&node->draining)) {
        int64_t look_ms = now_ms + LOOK_INTERVAL_MS;
        kt_mutex_lock(&node->keeper_mutex);
        (void)kt_cond_wait(&node->view_cond, &node->keeper_mutex,
                           look_ms < deadline_mono_ms ? look_ms : deadline_mono_ms);
        kt_mutex_unlock(&node->keeper_mutex);
        kt_replica_status(node->replica, status);
        now_ms = kt_now_mono_ms();
    }
    return status->leader_addr[0]
               ? KT_OK
               : kt_fail(err, KT_UNAVAILABLE,
                         "it was asked for, but nobody leads yet: waiting for %s",
                         status->waiting_for);
}

void kt_node_recover(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    struct kt_error err = KT_ERROR_INIT;
    bool accepted = false;
    char best[KT_ADDR_MAX] = "";
    char *missing = kt_calloc(1, MISSING_BYTES);
    struct kt_replica_status *now = kt_malloc(sizeof(*now));
    enum kt_status status = missing && now ? read_order(request, read_recover, &accepted, &err)
                                           : kt_fail(&err, KT_NO_MEMORY, "out of memory");
    if (status == KT_OK) {
        status = kt_replica_recover(node->replica, missing, MISSING_BYTES, best, &err);
        kt_log(WARN, "node", "recover", "from=%s missing=\"%s\" best=%s why=\"%s\"",
               request->remote_host, missing, best, err.message);
    }
    if (status == KT_OK) {
        int64_t until_ms = kt_now_mono_ms() + LEADS_WITHIN_MS;
        status = wait_for_leader(
            node, until_ms < answer_by(request) ? until_ms : answer_by(request), now, &err);
    }
    if (status == KT_OK) {
        write_leader(now, missing, response);
    } else if (best[0] && err.status == KT_UNAVAILABLE) {
        err.status = KT_NOT_LEADER; /* that one is to be asked */
        kt_envelope_error(response, &err);
        kt_http_response_header(response, "X-Kamaitachi-Leader", kt_str(best));
    } else {
        kt_node_fail(node, response, false, &err);
    }
    kt_free(missing);
    kt_free(now);
}

static enum kt_status read_forget(struct kt_json_fields *fields, void *ret, struct kt_error *err)
{
    return kt_node_get_id(fields, "id", ret, err);
}

void kt_node_forget(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    struct kt_error err = KT_ERROR_INIT;
    char id[KT_ID_LEN + 1] = "";
    enum kt_status status = read_order(request, read_forget, id, &err);
    if (status == KT_OK) {
        status = kt_replica_forget(node->replica, id, answer_by(request), &err);
        kt_log(INFO, "node", "forget", "id=%s from=%s why=\"%s\"", id, request->remote_host,
               err.message);
    }
    if (status != KT_OK) {
        name_field(&err, "id");
        kt_node_fail(node, response, false, &err);
        return;
    }
    struct kt_jw jw;
    kt_envelope_begin(response, &jw);
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "id", id);
    kt_jw_object_end(&jw);
    kt_envelope_end(&jw);
}

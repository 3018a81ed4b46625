/* SPDX-License-Identifier: MIT */
/* own_routes.c - what the gateway says of itself: health, version, who is there, who leads. */
#include <uv.h>

#include "gateway/own_impl.h"

#include "base/clock.h"
#include "base/software.h"
#include "gateway/own_monitor.h"
#include "gateway/own_stats.h"
#include "http/envelope.h"
#include "kt_version.h"

#include <string.h>

static size_t count_up(const struct kt_gw_table *table)
{
    size_t count = 0;

    for (size_t i = 0; table && i < table->count; i++) {
        count += kt_gw_node_is_up(table->nodes[i]);
    }
    return count;
}

static const char *health_word(struct kt_own *own, const struct kt_gw_table *table)
{
    if (atomic_load(&own->options.shared->draining)) {
        return "draining";
    }
    if (count_up(table) > 0) {
        return "ok";
    }
    return table && table->view->complete ? "no nodes" : "starting";
}

/* No member here is called "status": that is the gateway's own. */
static void write_node_health(struct kt_jw *jw, const struct kt_gw_table *table, size_t index)
{
    struct kt_gw_node *node = table->nodes[index];
    struct kt_node_facts facts;

    kt_gw_node_facts(node, &facts);
    kt_jw_object(jw);
    kt_jw_kv_text(jw, "node", node->id);
    kt_jw_kv_text(jw, "address", node->addr);
    kt_jw_kv_text(jw, "role", table->leader == (int)index ? "leader" : "follower");
    kt_jw_kv_bool(jw, "up", kt_gw_node_is_up(node) && !kt_gw_node_is_refused(node));
    if (facts.why_down[0]) {
        kt_jw_kv_text(jw, "why", facts.why_down);
    }
    kt_jw_object_end(jw);
}

static void on_health(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    struct kt_own *own = ctx;
    struct kt_gw_table *table = kt_nodes_current(own->options.shared->nodes);
    const char *word = health_word(own, table);
    struct kt_jw jw;

    (void)request;
    response->untagged = true;
    kt_jw_init(&jw, &response->body);
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "status", word);
    kt_jw_kv_text(&jw, "role", "gateway");
    kt_jw_kv_text(&jw, "node", own->options.node_id);
    kt_jw_kv_text(&jw, "address", own->options.addr);
    kt_jw_kv_bool(&jw, "etcd_reachable", table && table->view->reachable);
    kt_jw_kv_u64(&jw, "count", count_up(table));
    kt_jw_key_text(&jw, "nodes");
    kt_jw_array(&jw);
    for (size_t i = 0; table && i < table->count; i++) {
        write_node_health(&jw, table, i);
    }
    kt_jw_array_end(&jw);
    kt_jw_object_end(&jw);
    if (strcmp(word, "ok") != 0) {
        response->status = 503;
        kt_http_response_header(response, "Retry-After", KT_STR("1"));
    }
    kt_gw_table_unref(&table);
}

static void on_live(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    (void)ctx;
    (void)request;
    response->untagged = true;
    kt_buf_append_str(&response->body, KT_STR("{\"status\":\"ok\"}"));
}

/* etcd's version does not change while anyone looks: asked once, outside the lock. */
static void learn_etcd_version(struct kt_own *own, char ret_version[32])
{
    bool known;

    kt_mutex_lock(&own->lock);
    memcpy(ret_version, own->etcd_version, sizeof(own->etcd_version));
    kt_mutex_unlock(&own->lock);
    known = ret_version[0] != '\0' || !own->etcd;
    if (!known && kt_etcd_version(own->etcd, ret_version, NULL) == KT_OK) {
        kt_mutex_lock(&own->lock);
        memcpy(own->etcd_version, ret_version, sizeof(own->etcd_version));
        kt_mutex_unlock(&own->lock);
    }
}

static void on_version(void *ctx, struct kt_http_request *request,
                       struct kt_http_response *response)
{
    struct kt_own *own = ctx;
    char etcd[32];
    struct kt_jw jw;

    (void)request;
    learn_etcd_version(own, etcd);
    kt_envelope_begin(response, &jw);
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "version", KT_VERSION);
    kt_jw_kv_text(&jw, "commit", KT_BUILD_COMMIT);
    kt_jw_kv_text(&jw, "build", __VERSION__);
    kt_jw_kv_text(&jw, "node", own->options.node_id);
    kt_jw_kv_text(&jw, "etcd", etcd);
    kt_jw_object_end(&jw);
    kt_envelope_end(&jw);
}

static void write_info_node(struct kt_jw *jw, const struct kt_gw_table *table, size_t index)
{
    struct kt_gw_node *node = table->nodes[index];
    const struct kt_coord_view *view = table->view;
    struct kt_node_facts facts;

    kt_gw_node_facts(node, &facts);
    kt_jw_object(jw);
    kt_jw_kv_text(jw, "node_id", node->id);
    kt_jw_kv_text(jw, "address", node->addr);
    kt_jw_kv_text(jw, "role", table->leader == (int)index ? "leader" : "follower");
    kt_jw_kv_text(jw, "status", kt_gw_node_is_up(node) ? "up" : "down");
    if (facts.why_down[0]) {
        kt_jw_kv_text(jw, "why", facts.why_down);
    }
    kt_jw_kv_u64(jw, "revision", facts.revision);
    kt_jw_kv_i64(jw, "lag_ms", facts.lag_ms);
    kt_jw_kv_bool(jw, "in_sync",
                  view->config.present && view->config.valid &&
                      kt_cluster_config_in_sync(&view->config.value, node->id));
    kt_jw_kv_i64(jw, "latency_ms", facts.latency_ms);
    kt_jw_object_end(jw);
}

static void on_info(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    struct kt_own *own = ctx;
    struct kt_gw_table *table = kt_nodes_current(own->options.shared->nodes);
    const struct kt_coord_view *view = table ? table->view : NULL;
    struct kt_jw jw;

    (void)request;
    kt_envelope_begin(response, &jw);
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "node_id", own->options.node_id);
    kt_jw_kv_text(&jw, "address", own->options.addr);
    kt_jw_kv_text(&jw, "leader", view && view->leader.present ? view->leader.addr : "");
    kt_jw_kv_bool(&jw, "is_leader", false);
    kt_jw_kv_u64(&jw, "epoch", view && view->leader.present ? view->leader.epoch : 0);
    kt_jw_kv_text(&jw, "cluster",
                  view && view->config.present && view->config.valid ? view->config.value.cluster
                                                                     : "");
    kt_jw_kv_bool(&jw, "etcd_reachable", view && view->reachable);
    kt_jw_key_text(&jw, "nodes");
    kt_jw_array(&jw);
    for (size_t i = 0; view && i < table->count; i++) {
        write_info_node(&jw, table, i);
    }
    kt_jw_array_end(&jw);
    kt_jw_object_end(&jw);
    kt_envelope_end(&jw);
    kt_gw_table_unref(&table);
}

static void on_leader(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    struct kt_own *own = ctx;
    struct kt_gw_table *table = kt_nodes_current(own->options.shared->nodes);
    struct kt_error err = KT_ERROR_INIT;
    struct kt_jw jw;

    (void)request;
    if (!table || !table->view->leader.present) {
        (void)kt_fail(&err, KT_UNAVAILABLE, "%s",
                      table && table->view->complete
                          ? "no node leads at the moment: try again after an election"
                          : "no leader is known yet: etcd has not answered");
        kt_envelope_error(response, &err);
    } else {
        kt_envelope_begin(response, &jw);
        kt_jw_object(&jw);
        kt_jw_kv_text(&jw, "node_id", table->view->leader.id);
        kt_jw_kv_text(&jw, "address", table->view->leader.addr);
        kt_jw_kv_u64(&jw, "epoch", table->view->leader.epoch);
        kt_jw_object_end(&jw);
        kt_envelope_end(&jw);
    }
    kt_gw_table_unref(&table);
}

#define STATS_PATH "/kamaitachi/api/data/v1/stats"

bool kt_own_path_is_slow(struct kt_str path)
{
    return kt_str_eq_text(path, STATS_PATH) || kt_str_eq_text(path, "/version");
}

const struct kt_http_route kt_own_routes[] = {
    {KT_HTTP_GET, "/health", KT_ACCESS_PUBLIC, false, on_health, false},
    {KT_HTTP_GET, "/health/live", KT_ACCESS_PUBLIC, false, on_live, false},
    {KT_HTTP_GET, "/health/ready", KT_ACCESS_PUBLIC, false, on_health, false},
    {KT_HTTP_GET, "/version", KT_ACCESS_PUBLIC, false, on_version, false},
    {KT_HTTP_GET, "/cluster/info", KT_ACCESS_PUBLIC, false, on_info, false},
    {KT_HTTP_GET, "/cluster/leader", KT_ACCESS_PUBLIC, false, on_leader, false},
    {KT_HTTP_GET, "/monitor/status", KT_ACCESS_PUBLIC, false, kt_own_monitor, false},
    {KT_HTTP_GET, "/metrics", KT_ACCESS_PUBLIC, false, kt_own_metrics, false},
    {KT_HTTP_GET, STATS_PATH, KT_ACCESS_PUBLIC, false, kt_own_stats, false},
};
const size_t kt_own_route_count = sizeof(kt_own_routes) / sizeof(kt_own_routes[0]);

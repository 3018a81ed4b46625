/* SPDX-License-Identifier: MIT */
/* Start and stop, in an order in which each part finds what it needs: the database before the port
 * (a node that cannot read its data must not be reachable), the port before the registration (who
 * is registered answers).
 */
#include "node/node.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/net.h"
#include "node/node_impl.h"

#include <stdio.h>
#include <string.h>

static void on_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    (void)ctx;
    kt_log(INFO, "store", "progress", "what=\"%s\" done=%llu total=%llu", what,
           (unsigned long long)done, (unsigned long long)total);
}

/* What a start found of a full copy; rare, and an operator should see it. */
static void on_notice(void *ctx, const char *text)
{
    (void)ctx;
    kt_log(WARN, "store", "copy", "what=\"%s\"", text);
}

/* --- addresses --- */

static enum kt_status settle_addresses(struct kt_node *node, struct kt_error *err)
{
    const struct kt_node_config *config = node->config;
    uint16_t port = (uint16_t)config->server.port;
    enum kt_status status =
        kt_addr_parse(kt_str(config->server.service_addr), port, node->host, &node->addr_port, err);
    if (status != KT_OK) {
        return kt_wrap(err, "[server] service_addr");
    }
    if (node->options.port_wins) {
        node->addr_port = port;
    }
    kt_addr_format(node->host, node->addr_port, node->addr);
    char name[64];
    snprintf(name, sizeof(name), "%s@%.50s",
             config->server.mode == KT_MODE_MASTER ? "master" : "slave", node->addr);
    kt_log_set_node(name); /* so that the logs of several nodes can be read as one */
    bool loopback = kt_host_is_loopback(node->host);
    const char *listen = config->server.listen[0] ? config->server.listen
                         : loopback               ? "127.0.0.1"
                                                  : "0.0.0.0";
    kt_str_copy(node->listen, sizeof(node->listen), kt_str(listen));
    if (!kt_host_is_loopback(node->listen) && !config->auth.admin_token[0] &&
        !config->auth.write_token[0] && !config->cluster.secret[0]) {
        kt_log(WARN, "node", "open_to_all",
               "listen=%s do=\"set [auth] write_token and admin_token and [cluster] secret, or let "
               "only trusted hosts reach this port\"",
               node->listen);
    }
    return KT_OK;
}

/* --- parts --- */

static enum kt_status make_coord(void *ctx, const struct kt_coord_options *options,
                                 struct kt_coord **ret_coord, struct kt_error *err)
{
    struct kt_node *node = ctx;
    struct kt_etcd_security security = kt_node_etcd_security(node->config);
    struct kt_coord_options secured = *options;
    secured.security = &security;
    secured.register_with = node->config->cluster.register_with;
    secured.access = node->access;
    return node->standalone                ? kt_coord_start_standalone(&secured, ret_coord, err)
           : secured.register_with[0] != 0 ? kt_coord_start_remote(&secured, ret_coord, err)
                                           : kt_coord_start_etcd(&secured, ret_coord, err);
}

static enum kt_status open_store(struct kt_node *node, struct kt_error *err)
{
    struct kt_store_options options;
    struct kt_store_identity identity;
    memset(&options, 0, sizeof(options));
    options.path = node->config->store.db;
    options.read_connections = (int)node->config->store.read_connections;
    options.max_indicators = node->config->limits.indicators;
    options.rejoin = node->options.rejoin;
    options.on_progress = on_progress;
    options.on_notice = on_notice;
    enum kt_status status = kt_store_open(&options, &node->store, err);
    if (status != KT_OK) {
        return status;
    }
    kt_store_identity(node->store, &identity);
    memcpy(node->id, identity.node_id, sizeof(node->id));
    kt_log(INFO, "store", "opened", "db=%s node=%s cluster=%s log_end=%llu applied=%llu",
           node->config->store.db, node->id, identity.cluster_id[0] ? identity.cluster_id : "none",
           (unsigned long long)identity.end_seq, (unsigned long long)kt_store_applied(node->store));
    node->cache = kt_series_cache_new(node->store, (uint64_t)node->config->cache.max_bytes);
    return node->cache ? KT_OK : kt_fail(err, KT_NO_MEMORY, "the series cache");
}

static enum kt_status make_replica(struct kt_node *node, struct kt_error *err)
{
    const struct kt_node_config *config = node->config;
    struct kt_replica_options options;
    memset(&options, 0, sizeof(options));
    options.store = node->store;
    options.access = node->access;
    options.addr = node->addr;
    options.service_name = config->server.service_name;
    options.electable = config->cluster.electable && !config->cluster.register_with[0];
    options.rejoin = node->options.rejoin;
    options.standalone = node->standalone;
    options.priority = (int32_t)config->cluster.priority;
    options.expect = (uint32_t)config->cluster.expect;
    options.min_in_sync = (uint32_t)config->replication.min_in_sync;
    options.max_in_sync = (uint32_t)config->replication.max_in_sync;
    options.log_keep_bytes = config->replication.log_keep_bytes;
    options.ttl_s = config->etcd.ttl;
    options.lag_timeout_ms = config->replication.lag_timeout;
    options.fetch_max_bytes = config->replication.fetch_max_bytes;
    options.queue_max_bytes = config->replication.queue_max_bytes;
    options.batch_max_bytes = config->replication.batch_max_bytes;
    options.max_indicators = config->limits.indicators;
    options.max_keys = config->limits.idempotency_keys;
    options.make_coord = make_coord;
    options.make_coord_ctx = node;
    options.endpoints = config->etcd.endpoints;
    options.prefix = config->etcd.prefix;
    options.on_view = kt_keeper_on_view;
    options.on_view_ctx = node;
    options.on_restart = node->options.on_restart;
    options.on_restart_ctx = node->options.on_restart_ctx;
    return kt_replica_new(&options, &node->replica, err);
}

static enum kt_status make_guests(struct kt_node *node, struct kt_error *err)
{
    const struct kt_node_config *config = node->config;
    struct kt_etcd_security security = kt_node_etcd_security(config);
    struct kt_guests_options options = {.endpoints = config->etcd.endpoints,
                                        .security = &security,
                                        .prefix = config->etcd.prefix,
                                        .service_name = config->server.service_name,
                                        .via = node->id};
    return !config->etcd.endpoints[0] ? KT_OK : kt_guests_new(&options, &node->guests, err);
}

static enum kt_status start_server(struct kt_node *node, struct kt_error *err)
{
    const struct kt_node_config *config = node->config;
    struct kt_http_server_options options;
    struct kt_http_server *server = NULL;
    memset(&options, 0, sizeof(options));
    node->router.routes = kt_node_routes;
    node->router.count = kt_node_route_count;
    node->router.ctx = node;
    node->router.access = node->access;
    options.listen = node->listen;
    options.port = (uint16_t)config->server.port;
    options.num_threads = (int)config->server.num_threads;
    options.body_max_bytes = config->limits.body_bytes;
    options.body_memory_bytes = config->limits.body_memory_bytes;
    options.response_max_bytes = config->limits.response_bytes;
    options.request_timeout_ms = config->server.request_timeout_ms;
    options.idle_timeout_ms = config->server.keep_alive_ms;
    options.first_byte_ms = config->server.first_byte_ms;
    options.router = &node->router;
    options.decorate = kt_node_decorate;
    options.decorate_ctx = node;
    options.access_log = config->log.access;
    enum kt_status status = kt_http_server_start(&options, &server, err);
    atomic_store(&node->server, server);
    return status;
}

static enum kt_status start_parts(struct kt_node *node, struct kt_error *err)
{
    struct kt_access_options access = {.admin_token = node->config->auth.admin_token,
                                       .write_token = node->config->auth.write_token,
                                       .cluster_secret = node->config->cluster.secret,
                                       .cluster_allow = node->config->cluster.allow};
    enum kt_status status = settle_addresses(node, err);
    if (status == KT_OK) {
        node->access = kt_access_new(&access);
        status = node->access ? open_store(node, err) : kt_fail(err, KT_NO_MEMORY, "access rules");
    }
    if (status == KT_OK) {
        status = make_replica(node, err);
    }
    if (status == KT_OK) {
        status = make_guests(node, err);
    }
    if (status == KT_OK) {
        status = start_server(node, err);
    }
    if (status == KT_OK) {
        status = kt_keeper_start(node, err);
    }
    if (status == KT_OK) {
        status = kt_replica_start(node->replica, err);
    }
    if (status == KT_OK) {
        kt_log(INFO, "node", "started", "addr=%s listen=%s mode=%s etcd=%s", node->addr,
               node->listen, node->config->server.mode == KT_MODE_MASTER ? "master" : "slave",
               node->config->etcd.endpoints[0] ? node->config->etcd.endpoints : "none");
    }
    return status;
}

/* --- stop --- */

/* Imports under way go on to their end while this node still leads. */
static void wait_for_imports(struct kt_node *node, int64_t deadline_mono_ms)
{
    kt_mutex_lock(&node->keeper_mutex);
    while (atomic_load(&node->imports_running) > 0 && kt_now_mono_ms() < deadline_mono_ms) {
        (void)kt_cond_wait(&node->import_cond, &node->keeper_mutex, deadline_mono_ms);
    }
    kt_mutex_unlock(&node->keeper_mutex);
}

void kt_node_stop(struct kt_node **node_ptr)
{
    struct kt_node *node = *node_ptr;
    if (!node) {
        return;
    }
    *node_ptr = NULL;
    int64_t deadline = kt_now_mono_ms() + node->config->server.stop_grace_ms;
    atomic_store(&node->draining, true);
    struct kt_http_server *server = atomic_load(&node->server);
    if (server) {
        kt_http_server_drain(server);
    }
    if (node->replica) {
        /* At once, so that nobody sends anything new; the imports below need lease and leader key.
         */
        kt_replica_withdraw(node->replica);
    }
    if (server) {
        wait_for_imports(node, deadline);
    }
    if (node->replica) {
        kt_replica_stop(node->replica);
    }
    if (node->guests) {
        kt_guests_cancel(node->guests);
    }
    kt_http_server_stop(&server, deadline);
    kt_keeper_stop(node);
    kt_guests_free(&node->guests);
    kt_replica_free(&node->replica);
    kt_series_cache_free(&node->cache);
    kt_store_close(&node->store);
    kt_access_free(&node->access);
    kt_cond_done(&node->view_cond);
    kt_cond_done(&node->import_cond);
    kt_cond_done(&node->keeper_cond);
    kt_mutex_done(&node->keeper_mutex);
    kt_free(node);
}

enum kt_status kt_node_start(const struct kt_node_options *options, struct kt_node **ret_node,
                             struct kt_error *err)
{
    struct kt_node *node = kt_calloc(1, sizeof(*node));
    if (!node) {
        return kt_fail(err, KT_NO_MEMORY, "the node");
    }
    node->options = *options;
    node->config = options->config;
    node->standalone = kt_node_is_standalone(node->config);
    kt_mutex_init(&node->keeper_mutex, "keeper", KT_RANK_NODE);
    kt_cond_init(&node->keeper_cond);
    kt_cond_init(&node->import_cond);
    kt_cond_init(&node->view_cond);
    enum kt_status status = start_parts(node, err);
    if (status != KT_OK) {
        kt_node_stop(&node);
        return status;
    }
    *ret_node = node;
    return KT_OK;
}

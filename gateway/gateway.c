/* SPDX-License-Identifier: MIT */
/* gateway.c - the parts of a gateway and the order in which they come and go.
 *
 * The coord wakes the control thread, which wakes the loops; loops give work to the workers, which
 * give answers back. So on the way down: the coord first, then the loops, and their memory last.
 */
#include <uv.h>

#include "gateway/gateway.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/software.h"
#include "gateway/front.h"
#include "gateway/own.h"
#include "http/access.h"

#include <string.h>

#define DEREGISTER_MS 1000
#define OTHER_FILES 128
#define NODES_EXPECTED 4

struct kt_gateway {
    const struct kt_gateway_config *config;
    struct kt_loop_shared shared;
    struct kt_service self;
    char host[256];
    struct kt_front *front;
    struct kt_coord *coord;
    struct kt_loop **loops;
    size_t started_loops;
};

static void wake_loop(void *ctx, size_t slot)
{
    struct kt_gateway *gateway = ctx;

    if (slot < gateway->started_loops) {
        kt_loop_wake(gateway->loops[slot]);
    }
}

static const char *listen_address(const struct kt_gateway *gateway)
{
    if (gateway->config->listen[0]) {
        return gateway->config->listen;
    }
    return kt_host_is_loopback(gateway->host) ? "127.0.0.1" : "0.0.0.0";
}

static void warn_if_open(const struct kt_gateway *gateway, const char *listen)
{
    const struct kt_gateway_config *config = gateway->config;

    if (!kt_host_is_loopback(listen) && !config->admin_token[0] && !config->write_token[0] &&
        !config->secret[0]) {
        kt_log(WARN, "gateway", "open_to_all",
               "listen=%s why=\"neither [auth] tokens nor [cluster] secret are set\"", listen);
    }
}

static enum kt_status open_front(struct kt_gateway *gateway, bool port_wins, struct kt_error *err)
{
    const struct kt_gateway_config *config = gateway->config;
    uint16_t port = (uint16_t)config->port;
    const char *listen;
    enum kt_status status =
        kt_gateway_addr(config, port ? port : 1, port_wins, gateway->self.addr, gateway->host, err);

    if (status != KT_OK) {
        return status;
    }
    listen = listen_address(gateway);
    status = kt_front_open(listen, port, &gateway->front, err);
    if (status != KT_OK) {
        return status;
    }
    warn_if_open(gateway, listen);
    /* Port 0: only now is it known. */
    port = kt_front_port(gateway->front);
    return kt_gateway_addr(config, port, port_wins, gateway->self.addr, gateway->host, err);
}

static void describe_self(struct kt_gateway *gateway)
{
    struct kt_service *self = &gateway->self;

    kt_str_copy(self->service_name, sizeof(self->service_name),
                kt_str(gateway->config->service_name));
    kt_random_id(self->id);
    self->role = KT_ROLE_GATEWAY;
    kt_str_copy(self->software, sizeof(self->software), kt_str(KT_SOFTWARE));
    self->state = KT_STATE_WHOLE;
    self->started_at_ms = kt_now_wall_ms();
}

/* A connection that can't be accepted for want of a descriptor would hold up all others: so many
 * are taken that there are always some left for nodes, etcd and files. */
static int64_t max_connections(const struct kt_gateway_config *config)
{
    int64_t others = OTHER_FILES + NODES_EXPECTED * config->pool_per_node;
    uint64_t files = kt_process_raise_files((uint64_t)(config->max_connections + others));
    int64_t room;

    if (files >= (uint64_t)(config->max_connections + others)) {
        return config->max_connections;
    }
    room = (int64_t)files > 2 * others ? (int64_t)files - others : (int64_t)files / 2;
    room = room < config->max_connections ? room : config->max_connections;
    kt_log(WARN, "gateway", "few_files",
           "max_connections=%lld used=%lld open_files=%llu why=\"the limit of open files is low "
           "(ulimit -n)\"",
           (long long)config->max_connections, (long long)room, (unsigned long long)files);
    return room;
}

static enum kt_status start_parts(struct kt_gateway *gateway, struct kt_error *err)
{
    const struct kt_gateway_config *config = gateway->config;
    struct kt_loop_shared *shared = &gateway->shared;
    struct kt_access_options access = {.admin_token = config->admin_token,
                                       .write_token = config->write_token,
                                       .cluster_secret = config->secret,
                                       .cluster_allow = config->allow};
    struct kt_health_options health = {.interval_ms = config->health_interval_ms,
                                       .timeout_ms = config->health_timeout_ms,
                                       .down = config->health_down,
                                       .up = config->health_up};

    shared->config = config;
    shared->connections_max = max_connections(config);
    shared->loop_count = config->loops > 0 ? (size_t)config->loops : kt_cpu_count();
    gateway->loops = kt_calloc(shared->loop_count, sizeof(void *));
    shared->access = kt_access_new(&access);
    shared->nodes = kt_nodes_new(shared->loop_count, wake_loop, gateway);
    if (!gateway->loops || !shared->access || !shared->nodes) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for the gateway");
    }
    return kt_control_start(shared->nodes, &health, &shared->control, err);
}

static enum kt_status start_loops(struct kt_gateway *gateway, struct kt_error *err)
{
    struct kt_loop_shared *shared = &gateway->shared;
    struct kt_own_options own = {.shared = shared,
                                 .loops = gateway->loops,
                                 .loop_count = shared->loop_count,
                                 .workers = (size_t)gateway->config->workers};
    enum kt_status status;

    memcpy(own.node_id, gateway->self.id, sizeof(own.node_id));
    memcpy(own.addr, gateway->self.addr, sizeof(own.addr));
    status = kt_own_start(&own, &shared->own, err);
    for (size_t i = 0; status == KT_OK && i < shared->loop_count; i++) {
        status = kt_loop_start(shared, i, &gateway->loops[i], err);
        if (status == KT_OK) {
            gateway->started_loops++;
        }
    }
    return status;
}

static enum kt_status start_coord(struct kt_gateway *gateway,
                                  const struct kt_gateway_options *options, struct kt_error *err)
{
    const struct kt_gateway_config *config = gateway->config;
    struct kt_etcd_security security = kt_gateway_etcd_security(config);
    struct kt_coord_options coord = {.endpoints = config->etcd_endpoints,
                                     .security = &security,
                                     .prefix = config->etcd_prefix,
                                     .ttl_s = config->etcd_ttl_s,
                                     .service_name = gateway->self.service_name,
                                     .addr = gateway->self.addr,
                                     .self = &gateway->self,
                                     .on_change = kt_control_on_change,
                                     .on_change_ctx = gateway->shared.control,
                                     .register_now = true};
    enum kt_status status =
        options->start_coord(options->start_coord_ctx, &coord, &gateway->coord, err);

    if (status == KT_OK) {
        kt_control_set_coord(gateway->shared.control, gateway->coord);
    }
    return status;
}

enum kt_status kt_gateway_start(const struct kt_gateway_options *options,
                                struct kt_gateway **ret_gateway, struct kt_error *err)
{
    struct kt_gateway *gateway = kt_calloc(1, sizeof(*gateway));
    enum kt_status status;

    if (!gateway) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for the gateway");
    }
    gateway->config = options->config;
    describe_self(gateway);
    status = open_front(gateway, options->port_wins, err);
    if (status == KT_OK) {
        status = start_parts(gateway, err);
    }
    if (status == KT_OK) {
        status = start_loops(gateway, err);
    }
    /* Answering before registering: who reads the key may come at once. */
    if (status == KT_OK) {
        status = kt_front_start(gateway->front, &gateway->shared, gateway->loops, err);
    }
    if (status == KT_OK) {
        status = start_coord(gateway, options, err);
    }
    if (status != KT_OK) {
        kt_gateway_stop(&gateway);
        return status;
    }
    kt_log(INFO, "gateway", "started", "addr=%s id=%s loops=%zu", gateway->self.addr,
           gateway->self.id, gateway->shared.loop_count);
    *ret_gateway = gateway;
    return KT_OK;
}

uint16_t kt_gateway_port(const struct kt_gateway *gateway)
{
    return kt_front_port(gateway->front);
}

const char *kt_gateway_id(const struct kt_gateway *gateway)
{
    return gateway->self.id;
}

static void stop_loops(struct kt_gateway *gateway, int64_t deadline_ms)
{
    for (size_t i = 0; i < gateway->started_loops; i++) {
        kt_loop_drain(gateway->loops[i], deadline_ms);
    }
    for (size_t i = 0; i < gateway->started_loops; i++) {
        kt_loop_join(gateway->loops[i]);
    }
}

void kt_gateway_stop(struct kt_gateway **gateway)
{
    struct kt_gateway *self = *gateway;

    if (!self) {
        return;
    }
    atomic_store(&self->shared.draining, true);
    if (self->coord) {
        kt_coord_deregister(self->coord, DEREGISTER_MS);
    }
    kt_front_close(&self->front);
    stop_loops(self, kt_now_mono_ms() + self->config->drain_ms);
    kt_own_stop(&self->shared.own);
    kt_control_stop(&self->shared.control);
    if (self->coord) {
        kt_coord_free(&self->coord);
    }
    for (size_t i = 0; i < self->started_loops; i++) {
        kt_loop_free(&self->loops[i]);
    }
    kt_nodes_free(&self->shared.nodes);
    kt_access_free(&self->shared.access);
    kt_free(self->loops);
    kt_free(self);
    *gateway = NULL;
}

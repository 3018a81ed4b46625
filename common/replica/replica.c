/* SPDX-License-Identifier: MIT */
/* The replica thread: it alone steps the core, in this order: what the log thread reports, then the
 * newest view. An action that blocks (a transaction with etcd, a durable write) is carried out with
 * the mutex released; nobody else steps the core meanwhile.
 */
#include "replica/replica.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/software.h"
#include "replica/replica_impl.h"

#include <stdio.h>
#include <string.h>

/* The lease clock and resends are looked at so often when nothing else happens. */
#define TICK_MS 100
#define DEREGISTER_MS 2000
#define DRAIN_MS 5000
/* A configuration that the disk did not take is tried again so often. */
#define KEEP_AGAIN_MS 500

void kt_replica_publish(struct kt_replica *replica)
{
    const struct kt_core *core = &replica->core;
    uint64_t epoch = core->role == KT_CORE_LEADING ? core->epoch
                     : core->leader_id[0]          ? core->leader_epoch
                                                   : core->epoch;
    /* Relaxed: each of these is a value of its own; readers combine them for headers only. */
    atomic_store_explicit(&replica->epoch, epoch, memory_order_relaxed);
    atomic_store_explicit(&replica->is_leader, core->role == KT_CORE_LEADING && core->started,
                          memory_order_relaxed);
}

void kt_replica_wake(struct kt_replica *replica)
{
    kt_cond_signal(&replica->view_cond);
}

static void on_coord_change(void *ctx)
{
    struct kt_replica *replica = ctx;
    kt_mutex_lock(&replica->mutex);
    replica->view_changed = true;
    kt_replica_wake(replica);
    kt_mutex_unlock(&replica->mutex);
}

/* --- carrying out actions; the mutex is held on entry and return --- */

static enum kt_status keep_durably(struct kt_replica *replica, const struct kt_action *action,
                                   struct kt_error *err)
{
    struct kt_buf json;
    struct kt_store_identity identity;
    enum kt_status status = KT_OK;
    kt_buf_init(&json, 0);
    kt_cluster_config_format(&action->config, &json);
    kt_store_identity(replica->store, &identity);
    bool standalone = replica->options.standalone;
    if (strcmp(identity.cluster_id, action->config.cluster) != 0 ||
        (standalone ? !identity.was_standalone : !identity.was_in_cluster)) {
        status = kt_store_set_cluster(replica->store, action->config.cluster, standalone, err);
    }
    if (status == KT_OK) {
        status = kt_store_set_kept(replica->store, kt_buf_str(&json), action->epoch, err);
    }
    kt_buf_done(&json);
    return status;
}

static void order_changed(struct kt_replica *replica)
{
    replica->orders.number++;
    if (replica->client) {
        kt_http_client_cancel(replica->client);
    }
    kt_cond_signal(&replica->log_cond);
    kt_cond_broadcast(&replica->fetch_cond);
}

static void order_lead(struct kt_replica *replica, const struct kt_action *action)
{
    replica->orders.lead = true;
    replica->orders.follow = false;
    replica->orders.start_needed = true;
    replica->orders.epoch = action->epoch;
    memcpy(replica->orders.epoch_id, action->config.epoch_id, sizeof(replica->orders.epoch_id));
    replica->start_done = false;
    replica->peer_count = 0;
    order_changed(replica);
    kt_log(INFO, "replica", "won", "epoch=%llu epoch_id=%s cluster=%s log_end=%llu",
           (unsigned long long)action->epoch, action->config.epoch_id, action->config.cluster,
           (unsigned long long)replica->core.end_seq);
}

static void order_step_down(struct kt_replica *replica, const struct kt_action *action)
{
    replica->orders.lead = replica->orders.start_needed = false;
    replica->start_done = false;
    order_changed(replica);
    kt_replica_refuse_queue(replica, KT_UNAVAILABLE, "this node stepped down: nothing was done");
    /* On purpose is news; anything else has to be looked at. */
    if (replica->stopping) {
        kt_log(INFO, "replica", "stepped_down", "epoch=%llu why=\"%s\"",
               (unsigned long long)replica->core.epoch, action->why);
    } else {
        kt_log(WARN, "replica", "stepped_down", "epoch=%llu why=\"%s\"",
               (unsigned long long)replica->core.epoch, action->why);
    }
}

static void order_follow(struct kt_replica *replica)
{
    replica->orders.follow = true;
    replica->orders.lead = false;
    replica->orders.epoch = replica->core.leader_epoch;
    memcpy(replica->orders.leader_addr, replica->core.leader_addr,
           sizeof(replica->orders.leader_addr));
    replica->was_up = false;
    replica->failing_since_mono_ms = 0;
    replica->failing_said = false;
    order_changed(replica);
    kt_log(INFO, "replica", "following", "leader=%s id=%s epoch=%llu after=%llu",
           replica->core.leader_addr, replica->core.leader_id,
           (unsigned long long)replica->core.leader_epoch,
           (unsigned long long)replica->core.end_seq);
}

static void order_unfollow(struct kt_replica *replica)
{
    replica->orders.follow = false;
    order_changed(replica);
    kt_log(INFO, "replica", "unfollowed", "commit=%llu",
           (unsigned long long)replica->core.commit_seq);
}

/* The cluster's ttl counts, not the node's own. */
static void note_ttl(struct kt_replica *replica, uint32_t ttl_s)
{
    if (replica->core.options.ttl_s != ttl_s) {
        kt_log(WARN, "replica", "ttl_of_cluster", "own=%u cluster=%u used=%u",
               replica->core.options.ttl_s, ttl_s, ttl_s);
        replica->core.options.ttl_s = ttl_s;
    }
}

static void keep(struct kt_replica *replica, const struct kt_action *action)
{
    struct kt_error err = KT_ERROR_INIT;
    kt_mutex_unlock(&replica->mutex);
    enum kt_status status = keep_durably(replica, action, &err);
    if (status == KT_OK && !replica->options.standalone && action->config.ttl_s != 0) {
        kt_coord_set_ttl(replica->coord, action->config.ttl_s);
    }
    kt_mutex_lock(&replica->mutex);
    if (status != KT_OK) {
        kt_replica_report_fault(replica, "the cluster configuration could not be kept on disk",
                                &err);
        replica->keep_again_mono_ms = kt_now_mono_ms() + KEEP_AGAIN_MS;
        snprintf(replica->core.waiting_for, sizeof(replica->core.waiting_for), "its disk: %.180s",
                 replica->fault_why);
    } else if (action->config.ttl_s != 0) {
        note_ttl(replica, action->config.ttl_s);
    }
    replica->keep_failed = status != KT_OK;
}

static enum kt_txn_outcome transact(struct kt_replica *replica, const struct kt_action *action)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_coord_view *view = replica->view;
    kt_mutex_unlock(&replica->mutex);
    enum kt_txn_outcome outcome = KT_TXN_UNKNOWN;
    const char *what = "campaign";
    if (action->kind == KT_ACT_CAMPAIGN) {
        outcome = kt_coord_campaign(replica->coord, view, &action->config, &err);
    } else if (action->kind == KT_ACT_UPDATE_CONFIG) {
        what = "update_config";
        outcome = kt_coord_update_config(replica->coord, view, &action->config, &err);
    } else {
        what = "delete_leader";
        outcome = kt_coord_delete_leader(replica->coord, view, &err);
    }
    kt_mutex_lock(&replica->mutex);
    static const char *const names[] = {"done", "refused", "unknown"};
    kt_log(INFO, "replica", what, "outcome=%s epoch=%llu version=%llu members=%zu why=\"%s\"",
           names[outcome], (unsigned long long)action->config.epoch,
           (unsigned long long)action->config.version, action->config.member_count, err.message);
    return outcome;
}

static void step(struct kt_replica *replica, struct kt_event *event);

/* What rests on a configuration that is not on disk must not be done. */
static bool needs_kept(enum kt_action_kind kind)
{
    return kind == KT_ACT_CAMPAIGN || kind == KT_ACT_UPDATE_CONFIG || kind == KT_ACT_LEAD ||
           kind == KT_ACT_FOLLOW;
}

static void carry_out(struct kt_replica *replica, const struct kt_action *action)
{
    struct kt_event event;
    memset(&event, 0, sizeof(event));
    if (replica->keep_failed && needs_kept(action->kind)) {
        return;
    }
    switch (action->kind) {
    case KT_ACT_KEEP:
        keep(replica, action);
        break;
    case KT_ACT_CAMPAIGN:
    case KT_ACT_UPDATE_CONFIG:
        event.kind = KT_EV_TXN;
        event.outcome = transact(replica, action);
        step(replica, &event);
        break;
    case KT_ACT_DELETE_LEADER:
        (void)transact(replica, action);
        break;
    case KT_ACT_LEAD:
        order_lead(replica, action);
        break;
    case KT_ACT_STEP_DOWN:
        order_step_down(replica, action);
        break;
    case KT_ACT_FOLLOW:
        order_follow(replica);
        break;
    case KT_ACT_UNFOLLOW:
        order_unfollow(replica);
        break;
    case KT_ACT_STOP:
        replica->orders.lead = replica->orders.follow = false;
        order_changed(replica);
        kt_log(ERROR, "replica", "stopped", "why=\"%s\"", replica->core.stopped_why);
        break;
    }
}

static void step(struct kt_replica *replica, struct kt_event *event)
{
    /* A view's step contains that of its transaction's outcome, which asks for no other. */
    KT_ASSERT(replica->step_depth < KT_STEP_DEPTH_MAX);
    struct kt_actions *actions = &replica->actions[replica->step_depth++];
    event->view = replica->view;
    /* Of the lease under which the view's keys are mine, and no later one. */
    event->lease_end_mono_ms =
        kt_coord_lease_end_mono_ms(replica->coord, replica->view ? replica->view->own_lease : 0);
    kt_core_step(&replica->core, event, kt_now_mono_ms(), kt_random_id, actions);
    kt_replica_publish(replica);
    for (size_t i = 0; i < actions->count; i++) {
        carry_out(replica, &actions->items[i]);
    }
    kt_replica_publish(replica);
    replica->step_depth--;
}

/* --- the thread --- */

static void take_reports(struct kt_replica *replica)
{
    struct kt_event event;
    memset(&event, 0, sizeof(event));
    if (replica->diverged) {
        event.kind = KT_EV_DIVERGED;
        event.why = replica->diverged_why;
        step(replica, &event);
        replica->diverged = false;
    }
    if (replica->fault) {
        replica->fault = false;
        event.kind = KT_EV_FAULT;
        event.why = replica->fault_why;
        kt_log(ERROR, "replica", "fault", "why=\"%s\"", replica->fault_why);
        step(replica, &event);
    }
    if (replica->start_done) {
        replica->start_done = false;
        event.kind = KT_EV_STARTED;
        event.epoch_start_seq = replica->core.epoch_start_seq;
        step(replica, &event);
        if (replica->core.started) {
            replica->was_ready = true;
            kt_cond_broadcast(&replica->fetch_cond);
            kt_cond_broadcast(&replica->wall_cond);
            kt_log(INFO, "replica", "leading", "epoch=%llu revision=%llu",
                   (unsigned long long)replica->core.epoch,
                   (unsigned long long)replica->core.commit_seq);
        }
    }
}

static void take_view(struct kt_replica *replica)
{
    kt_mutex_unlock(&replica->mutex);
    struct kt_coord_view *newest = kt_coord_view(replica->coord);
    kt_mutex_lock(&replica->mutex);
    bool is_new = !replica->view || replica->view->number != newest->number;
    kt_coord_view_unref(&replica->view);
    replica->view = newest;
    if (is_new && replica->options.on_view) {
        kt_mutex_unlock(&replica->mutex);
        replica->options.on_view(replica->options.on_view_ctx, newest);
        kt_mutex_lock(&replica->mutex);
    }
}

static void tell_service(struct kt_replica *replica)
{
    struct kt_service *service = kt_calloc(1, sizeof(*service));
    if (!service) {
        return;
    }
    kt_str_copy(service->service_name, sizeof(service->service_name),
                kt_str(replica->service_name));
    kt_str_copy(service->software, sizeof(service->software), kt_str(KT_SOFTWARE));
    service->started_at_ms = replica->started_at_ms;
    kt_core_service(&replica->core, kt_store_applied(replica->store), service);
    if (replica->told && memcmp(replica->told, service, sizeof(*service)) == 0) {
        kt_free(service);
        return;
    }
    kt_free(replica->told);
    replica->told = service;
    kt_mutex_unlock(&replica->mutex);
    kt_coord_set_service(replica->coord, service);
    kt_mutex_lock(&replica->mutex);
}

/* The core stays as it is until the disk has what it took over: no view reaches it meanwhile, and
 * what it had led by it has been ended by the fault. False: not yet. */
static bool keep_again(struct kt_replica *replica)
{
    struct kt_action action;
    if (kt_now_mono_ms() < replica->keep_again_mono_ms) {
        return false;
    }
    memset(&action, 0, sizeof(action));
    action.kind = KT_ACT_KEEP;
    action.config = replica->core.kept;
    action.epoch = replica->core.epoch;
    keep(replica, &action);
    if (replica->keep_failed) {
        return false;
    }
    kt_log(INFO, "replica", "kept_again", "epoch=%llu version=%llu",
           (unsigned long long)action.config.epoch, (unsigned long long)action.config.version);
    if (replica->core.leader_id[0]) {
        order_follow(replica); /* the order for it was dropped */
    }
    return true;
}

static void replica_main(void *arg)
{
    struct kt_replica *replica = arg;
    struct kt_event event;
    kt_mutex_lock(&replica->mutex);
    while (!replica->stopping) {
        replica->view_changed = false;
        take_view(replica);
        take_reports(replica);
        memset(&event, 0, sizeof(event));
        event.kind = KT_EV_VIEW;
        if (!replica->keep_failed || keep_again(replica)) {
            step(replica, &event);
            tell_service(replica);
        }
        if (!replica->view_changed && !replica->fault && !replica->diverged &&
            !replica->start_done && !replica->stopping) {
            (void)kt_cond_wait(&replica->view_cond, &replica->mutex, kt_now_mono_ms() + TICK_MS);
        }
    }
    memset(&event, 0, sizeof(event));
    event.kind = KT_EV_RESIGN;
    step(replica, &event);
    take_view(replica);
    if (!replica->options.standalone && replica->view->leader.mine) {
        struct kt_action resign;
        memset(&resign, 0, sizeof(resign));
        resign.kind = KT_ACT_DELETE_LEADER;
        (void)transact(replica, &resign);
    }
    kt_mutex_unlock(&replica->mutex);
}

/* --- start and stop --- */

static enum kt_status check_identity(const struct kt_replica_options *options,
                                     const struct kt_store_identity *identity, struct kt_error *err)
{
    if (options->standalone && identity->was_in_cluster) {
        return kt_fail(
            err, KT_CONFLICT,
            "this database belongs to cluster %s: set [etcd] endpoints to join it again, "
            "or give the standalone node an empty database",
            identity->cluster_id);
    }
    return KT_OK;
}

static enum kt_status init_core(struct kt_replica *replica,
                                const struct kt_store_identity *identity, struct kt_error *err)
{
    struct kt_core_options *core = kt_calloc(1, sizeof(*core));
    struct kt_buf kept;
    if (!core) {
        return kt_fail(err, KT_NO_MEMORY, "the replication state");
    }
    memcpy(core->id, identity->node_id, sizeof(core->id));
    kt_str_copy(core->addr, sizeof(core->addr), kt_str(replica->addr));
    core->may_lead = replica->options.may_lead || replica->options.standalone;
    core->priority = replica->options.priority;
    core->expect = replica->options.expect;
    core->min_in_sync = replica->options.min_in_sync;
    core->ttl_s = (uint32_t)replica->options.ttl_s;
    core->standalone = replica->options.standalone;
    kt_core_init(&replica->core, core);
    kt_free(core);
    memcpy(replica->core.cluster, identity->cluster_id, sizeof(replica->core.cluster));
    replica->core.epoch = identity->epoch;
    /* Whatever this node led or followed before, its process ended it. */
    replica->core.fenced_epoch = identity->epoch;
    replica->core.end_seq = identity->end_seq;
    replica->core.end_epoch = identity->end_epoch;
    replica->core.commit_seq = identity->commit_seq;
    replica->stamp_floor_ms = kt_store_log_last_wall_ms(replica->store);
    kt_buf_init(&kept, 0);
    enum kt_status status = kt_store_kept(replica->store, &kept, err);
    if (status == KT_OK && kept.len_bytes > 0) {
        status = kt_cluster_config_parse(kt_buf_str(&kept), &replica->core.kept, err);
    }
    kt_buf_done(&kept);
    if (status == KT_OK && replica->core.kept.ttl_s != 0 && !replica->options.standalone) {
        note_ttl(replica, replica->core.kept.ttl_s);
    }
    return status;
}

static enum kt_status start_coord(struct kt_replica *replica, struct kt_error *err)
{
    struct kt_service *self = kt_calloc(1, sizeof(*self));
    struct kt_coord_options coord;
    if (!self) {
        return kt_fail(err, KT_NO_MEMORY, "the service entry");
    }
    memset(&coord, 0, sizeof(coord));
    kt_str_copy(self->service_name, sizeof(self->service_name), kt_str(replica->service_name));
    kt_str_copy(self->software, sizeof(self->software), kt_str(KT_SOFTWARE));
    self->started_at_ms = replica->started_at_ms;
    kt_core_service(&replica->core, kt_store_applied(replica->store), self);
    coord.endpoints = replica->options.endpoints;
    coord.prefix = replica->options.prefix;
    coord.ttl_s = replica->core.kept.ttl_s ? replica->core.kept.ttl_s : replica->options.ttl_s;
    coord.service_name = replica->service_name;
    coord.addr = replica->addr;
    coord.self = self;
    coord.register_now = false; /* the replica thread's first round does it */
    coord.on_change = on_coord_change;
    coord.on_change_ctx = replica;
    enum kt_status status =
        replica->options.make_coord(replica->options.make_coord_ctx, &coord, &replica->coord, err);
    kt_free(self);
    return status;
}

static void init_sync(struct kt_replica *replica)
{
    kt_mutex_init(&replica->mutex, "replica", KT_RANK_REPLICA);
    kt_cond_init(&replica->view_cond);
    kt_cond_init(&replica->log_cond);
    kt_cond_init(&replica->fetch_cond);
    kt_cond_init(&replica->wall_cond);
}

enum kt_status kt_replica_new(const struct kt_replica_options *options,
                              struct kt_replica **ret_replica, struct kt_error *err)
{
    struct kt_store_identity identity;
    kt_store_identity(options->store, &identity);
    enum kt_status status = check_identity(options, &identity, err);
    if (status != KT_OK) {
        return status;
    }
    struct kt_replica *replica = kt_calloc(1, sizeof(*replica));
    if (!replica) {
        return kt_fail(err, KT_NO_MEMORY, "the replica");
    }
    replica->options = *options;
    replica->store = options->store;
    replica->started_at_ms = kt_now_wall_ms();
    replica->started_mono_ms = kt_now_mono_ms();
    kt_str_copy(replica->addr, sizeof(replica->addr), kt_str(options->addr));
    kt_str_copy(replica->service_name, sizeof(replica->service_name),
                kt_str(options->service_name));
    kt_random_id(replica->session);
    init_sync(replica);
    replica->client = kt_http_client_new();
    replica->actions = kt_calloc(KT_STEP_DEPTH_MAX, sizeof(*replica->actions));
    status = replica->client && replica->actions ? init_core(replica, &identity, err)
                                                 : kt_fail(err, KT_NO_MEMORY, "the replica");
    if (status == KT_OK) {
        kt_replica_publish(replica);
        status = start_coord(replica, err);
    }
    if (status != KT_OK) {
        kt_replica_free(&replica);
        return status;
    }
    replica->view = kt_coord_view(replica->coord);
    *ret_replica = replica;
    return KT_OK;
}

enum kt_status kt_replica_start(struct kt_replica *replica, struct kt_error *err)
{
    enum kt_status status =
        kt_thread_start(&replica->log_thread, "log", kt_replica_log_main, replica, err);
    if (status == KT_OK) {
        status = kt_thread_start(&replica->replica_thread, "replica", replica_main, replica, err);
    }
    return status;
}

void kt_replica_withdraw(struct kt_replica *replica)
{
    kt_coord_withdraw(replica->coord);
}

void kt_replica_stop(struct kt_replica *replica)
{
    int64_t deadline = kt_now_mono_ms() + DRAIN_MS;
    kt_mutex_lock(&replica->mutex);
    /* What was already taken is finished while this node still leads. */
    replica->closing = true;
    while (replica->log_thread.running && replica->orders.lead &&
           (replica->queue_head || replica->in_flight_wall_ms) && kt_now_mono_ms() < deadline) {
        (void)kt_cond_wait(&replica->fetch_cond, &replica->mutex, kt_now_mono_ms() + 20);
    }
    replica->stopping = true;
    kt_replica_wake(replica);
    kt_mutex_unlock(&replica->mutex);
    kt_thread_join(&replica->replica_thread);
    kt_mutex_lock(&replica->mutex);
    replica->log_stop = true;
    order_changed(replica);
    kt_cond_broadcast(&replica->wall_cond);
    kt_mutex_unlock(&replica->mutex);
    if (replica->coord) {
        kt_coord_deregister(replica->coord, DEREGISTER_MS);
    }
    kt_thread_join(&replica->log_thread);
}

void kt_replica_free(struct kt_replica **replica)
{
    struct kt_replica *r = *replica;
    if (!r) {
        return;
    }
    *replica = NULL;
    KT_ASSERT(!r->queue_head);
    kt_coord_free(&r->coord);
    kt_coord_view_unref(&r->view);
    kt_http_client_free(&r->client);
    kt_free(r->told);
    kt_free(r->actions);
    kt_cond_done(&r->wall_cond);
    kt_cond_done(&r->fetch_cond);
    kt_cond_done(&r->log_cond);
    kt_cond_done(&r->view_cond);
    kt_mutex_done(&r->mutex);
    kt_free(r);
}

/* SPDX-License-Identifier: MIT */
/* Start and stop, and the replica thread: views of etcd and the passing of time go to the machine,
 * what the machine has become goes to etcd as this node's entry.
 */
#include "replica/replica.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/software.h"
#include "replica/replica_impl.h"

#include <stdio.h>
#include <string.h>

#define DEREGISTER_MS 2000
#define DRAIN_MS 5000
#define RELEASE_MS 300

static void on_coord_change(void *ctx)
{
    struct kt_replica *replica = ctx;
    kt_mutex_lock(&replica->mutex);
    replica->view_changed = true;
    kt_cond_signal(&replica->replica_cond);
    kt_mutex_unlock(&replica->mutex);
}

/* --- what changed, for people --- */

static const struct kt_service *find_service(const struct kt_coord_view *view, const char *addr)
{
    for (size_t i = 0; i < view->service_count; i++) {
        if (strcmp(view->services[i].addr, addr) == 0) {
            return &view->services[i];
        }
    }
    return NULL;
}

static const char *addr_of(const struct kt_cluster_config *config, const char *id)
{
    const struct kt_member *member = kt_cluster_config_member(config, id);
    return member ? member->addr : id;
}

static void note_in_sync(struct kt_replica *replica, const struct kt_cluster_config *before,
                         const struct kt_cluster_config *after)
{
    for (size_t i = 0; i < after->in_sync_count; i++) {
        if (!kt_cluster_config_in_sync(before, after->in_sync[i])) {
            kt_replica_note(replica, addr_of(after, after->in_sync[i]), "in_sync",
                            "configuration %llu", (unsigned long long)after->version);
        }
    }
    for (size_t i = 0; i < before->in_sync_count; i++) {
        if (!kt_cluster_config_in_sync(after, before->in_sync[i])) {
            kt_replica_note(replica, addr_of(before, before->in_sync[i]), "out_of_sync",
                            "configuration %llu", (unsigned long long)after->version);
        }
    }
}

static void note_view(struct kt_replica *replica, const struct kt_coord_view *before,
                      const struct kt_coord_view *after)
{
    for (size_t i = 0; i < after->service_count; i++) {
        if (!find_service(before, after->services[i].addr)) {
            kt_replica_note(replica, after->services[i].addr, "joined", "registered in etcd");
        }
    }
    for (size_t i = 0; i < before->service_count; i++) {
        if (!find_service(after, before->services[i].addr)) {
            kt_replica_note(replica, before->services[i].addr, "left", "no longer in etcd");
        }
    }
    if (after->leader.present &&
        (!before->leader.present || before->leader.epoch != after->leader.epoch)) {
        kt_replica_note(replica, after->leader.addr, "leader", "epoch %llu",
                        (unsigned long long)after->leader.epoch);
    } else if (before->leader.present && !after->leader.present) {
        kt_replica_note(replica, before->leader.addr, "leader_gone", "epoch %llu",
                        (unsigned long long)before->leader.epoch);
    }
    if (before->reachable != after->reachable) {
        kt_replica_note(replica, replica->addr,
                        after->reachable ? "etcd_reachable" : "etcd_unreachable",
                        "as seen by this node");
    }
    if (after->config.present && after->config.valid &&
        (!before->config.valid || before->config.value.version != after->config.value.version)) {
        note_in_sync(replica, &before->config.value, &after->config.value);
    }
}

/* Said when it is another than before and keeps the node from leading or following. */
static void note_waiting(struct kt_replica *replica)
{
    const struct kt_machine *machine = &replica->machine;
    bool waits = machine->role == KT_M_FOLLOWS && !machine->leader_id[0];
    const char *what = waits ? machine->waiting_for : "";
    if (strcmp(replica->waiting_said, what) == 0) {
        return;
    }
    kt_str_copy(replica->waiting_said, sizeof(replica->waiting_said), kt_str(what));
    if (what[0]) {
        kt_log(INFO, "replica", "waiting", "for=\"%s\"", what);
    }
}

/* --- the thread --- */

static void take_view(struct kt_replica *replica)
{
    kt_mutex_unlock(&replica->mutex);
    struct kt_coord_view *newest = kt_coord_view(replica->coord);
    kt_mutex_lock(&replica->mutex);
    kt_replica_await_step(replica);
    bool is_new = replica->view->number != newest->number;
    if (is_new) {
        note_view(replica, replica->view, newest);
        kt_cond_broadcast(&replica->changed_cond);
    }
    kt_coord_view_unref(&replica->view);
    replica->view = newest;
    if (is_new && replica->options.on_view) {
        struct kt_coord_view *view = kt_coord_view_ref(newest);
        kt_mutex_unlock(&replica->mutex);
        replica->options.on_view(replica->options.on_view_ctx, view);
        kt_coord_view_unref(&view);
        kt_mutex_lock(&replica->mutex);
    }
}

static struct kt_service *make_service(struct kt_replica *replica)
{
    struct kt_service *service = kt_calloc(1, sizeof(*service));
    if (service) {
        kt_str_copy(service->service_name, sizeof(service->service_name),
                    kt_str(replica->service_name));
        kt_str_copy(service->software, sizeof(service->software), kt_str(KT_SOFTWARE));
        service->started_at_ms = replica->started_at_ms;
        replica->log.applied_seq = kt_store_applied(replica->store);
        kt_machine_service(&replica->machine, &replica->log, service);
    }
    return service;
}

static void tell_service(struct kt_replica *replica)
{
    struct kt_service *service = make_service(replica);
    if (!service) {
        return;
    }
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

static void replica_main(void *arg)
{
    struct kt_replica *replica = arg;
    kt_mutex_lock(&replica->mutex);
    while (!replica->stopping) {
        replica->view_changed = false;
        take_view(replica);
        kt_replica_step_facts(replica);
        note_waiting(replica);
        if (!replica->keep_failed) {
            tell_service(replica);
        }
        bool fault = replica->fault && !replica->orders.changing;
        if (!replica->view_changed && !fault && !replica->stopping) {
            (void)kt_cond_wait(&replica->replica_cond, &replica->mutex,
                               kt_now_mono_ms() + KT_REPLICA_TICK_MS);
        }
    }
    kt_mutex_unlock(&replica->mutex);
}

/* --- making --- */

static enum kt_status check_identity(const struct kt_replica_options *options,
                                     const struct kt_store_identity *identity, struct kt_error *err)
{
    if (options->standalone && identity->was_in_cluster) {
        return kt_fail(
            err, KT_CONFLICT,
            "this database belongs to cluster %s: set [etcd] endpoints to join it again, "
            "start it once with -detach to make it a database of its own, "
            "or give the standalone node an empty one",
            identity->cluster_id);
    }
    return KT_OK;
}

static void read_growth(struct kt_str text, struct kt_id_set *set)
{
    while (text.len >= KT_ID_LEN && set->count < KT_MEMBERS_MAX) {
        kt_str_copy(set->ids[set->count++], KT_ID_LEN + 1, kt_str_n(text.data, KT_ID_LEN));
        size_t skip = text.len > KT_ID_LEN ? KT_ID_LEN + 1 : KT_ID_LEN;
        text = kt_str_n(text.data + skip, text.len - skip);
    }
}

static enum kt_status read_disk(struct kt_replica *replica,
                                const struct kt_store_identity *identity,
                                struct kt_machine_disk *disk, struct kt_error *err)
{
    struct kt_store_kept kept;
    struct kt_buf memory;
    kt_buf_init(&memory, 0);
    enum kt_status status = kt_store_read_kept(replica->store, &kept, &memory, err);
    if (status == KT_OK && kept.config_json.len > 0) {
        status = kt_cluster_config_parse(kept.config_json, &disk->kept, err);
        if (status != KT_OK) {
            kt_wrap(err, "the kept configuration");
        }
    }
    if (status == KT_OK) {
        memcpy(disk->cluster, identity->cluster_id, sizeof(disk->cluster));
        disk->standalone = !identity->was_in_cluster;
        disk->epoch = kept.epoch; /* the machine looks at the log's itself: it may be put aside */
        disk->half_copy = kept.half_copy;
        disk->bound_by_nothing = kept.bound_by_nothing;
        read_growth(kept.growth, &disk->growth);
    }
    kt_buf_done(&memory);
    return status;
}

static void random_id(void *ctx, char dest[KT_ID_LEN + 1])
{
    (void)ctx;
    kt_random_id(dest);
}

static void fill_machine_options(const struct kt_replica *replica,
                                 const struct kt_store_identity *identity,
                                 struct kt_machine_options *options)
{
    const struct kt_replica_options *from = &replica->options;
    memcpy(options->id, identity->node_id, sizeof(options->id));
    memcpy(options->session, replica->session, sizeof(options->session));
    kt_str_copy(options->addr, sizeof(options->addr), kt_str(replica->addr));
    options->electable = from->electable || from->standalone;
    options->rejoin = from->rejoin;
    options->standalone = from->standalone;
    options->priority = from->priority;
    options->expect = from->expect;
    options->min_in_sync = from->min_in_sync;
    options->ttl_s = (uint32_t)from->ttl_s;
    options->max_in_sync = from->max_in_sync;
    options->lag_timeout_ms = from->lag_timeout_ms;
    options->tick_ms = KT_REPLICA_TICK_MS;
    options->random_id = random_id;
}

static enum kt_status init_machine(struct kt_replica *replica,
                                   const struct kt_store_identity *identity, struct kt_error *err)
{
    struct kt_machine_options *options = kt_calloc(1, sizeof(*options));
    struct kt_machine_disk *disk = kt_calloc(1, sizeof(*disk));
    enum kt_status status = options && disk ? read_disk(replica, identity, disk, err)
                                            : kt_fail(err, KT_NO_MEMORY, "the machine");
    if (status == KT_OK) {
        fill_machine_options(replica, identity, options);
        kt_machine_init(&replica->machine, options, disk, identity->commit_seq, kt_now_mono_ms());
        replica->commit_seq = identity->commit_seq;
        replica->log.first_seq = kt_store_log_first(replica->store);
        replica->log.end_seq = replica->log.synced_seq = identity->end_seq;
        replica->stamp_floor_ms = kt_store_log_last_wall_ms(replica->store);
        if (disk->kept.ttl_s != 0 && !replica->options.standalone) {
            replica->options.ttl_s = disk->kept.ttl_s;
        }
        struct kt_epoch *vector = NULL;
        size_t count = 0;
        status = kt_store_epochs(replica->store, &vector, &count, err);
        if (status == KT_OK) {
            kt_replica_put_vector(replica, vector, count);
        }
    }
    kt_free(disk);
    kt_free(options);
    return status;
}

static enum kt_status start_coord(struct kt_replica *replica, struct kt_error *err)
{
    struct kt_coord_options coord;
    struct kt_service *self = make_service(replica);
    if (!self) {
        return kt_fail(err, KT_NO_MEMORY, "the service entry");
    }
    memset(&coord, 0, sizeof(coord));
    coord.endpoints = replica->options.endpoints;
    coord.prefix = replica->options.prefix;
    coord.ttl_s = replica->options.ttl_s;
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

#define CONDS 9

static void all_conds(struct kt_replica *replica, struct kt_cond *dest[CONDS])
{
    struct kt_cond *conds[CONDS] = {
        &replica->replica_cond, &replica->step_cond,  &replica->etcd_cond,
        &replica->log_cond,     &replica->apply_cond, &replica->trim_cond,
        &replica->synced_cond,  &replica->wall_cond,  &replica->changed_cond};
    memcpy(dest, conds, sizeof(conds));
}

static void init_sync(struct kt_replica *replica)
{
    struct kt_cond *conds[CONDS];
    kt_mutex_init(&replica->mutex, "replica", KT_RANK_REPLICA);
    all_conds(replica, conds);
    for (size_t i = 0; i < CONDS; i++) {
        kt_cond_init(conds[i]);
    }
}

static void done_sync(struct kt_replica *replica)
{
    struct kt_cond *conds[CONDS];
    all_conds(replica, conds);
    for (size_t i = 0; i < CONDS; i++) {
        kt_cond_done(conds[i]);
    }
    kt_mutex_done(&replica->mutex);
}

static bool make_parts(struct kt_replica *replica)
{
    replica->client = kt_http_client_new();
    replica->message_client = kt_http_client_new();
    replica->events = kt_calloc(KT_REPLICA_EVENTS_MAX, sizeof(*replica->events));
    return replica->client && replica->message_client && replica->events;
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
    status = make_parts(replica) ? init_machine(replica, &identity, err)
                                 : kt_fail(err, KT_NO_MEMORY, "the replica");
    if (status == KT_OK) {
        status = start_coord(replica, err);
    }
    if (status != KT_OK) {
        kt_replica_free(&replica);
        return status;
    }
    kt_mutex_lock(&replica->mutex);
    replica->view = kt_coord_view(replica->coord);
    kt_replica_publish(replica);
    kt_mutex_unlock(&replica->mutex);
    *ret_replica = replica;
    return KT_OK;
}

/* --- start and stop --- */

enum kt_status kt_replica_start(struct kt_replica *replica, struct kt_error *err)
{
    struct {
        struct kt_thread *thread;
        const char *name;
        kt_thread_fn main;
    } threads[] = {{&replica->log_thread, "log", kt_replica_log_main},
                   {&replica->apply_thread, "apply", kt_replica_apply_main},
                   {&replica->trim_thread, "trim", kt_replica_trim_main},
                   {&replica->etcd_thread, "etcd", kt_replica_calls_main},
                   {&replica->replica_thread, "replica", replica_main}};
    enum kt_status status = KT_OK;
    for (size_t i = 0; i < KT_ARRAY_LEN(threads) && status == KT_OK; i++) {
        status = kt_thread_start(threads[i].thread, threads[i].name, threads[i].main, replica, err);
    }
    return status;
}

void kt_replica_withdraw(struct kt_replica *replica)
{
    kt_coord_withdraw(replica->coord);
}

/* What was already taken is finished while this node still leads. Mutex held. */
static void finish_writes(struct kt_replica *replica, int64_t deadline_ms)
{
    replica->closing = true;
    while (replica->log_thread.running && !replica->log_stop &&
           replica->machine.role == KT_M_LEADS &&
           (replica->queue_head || replica->in_flight_wall_ms ||
            kt_store_applied(replica->store) < replica->log.end_seq) &&
           kt_now_mono_ms() < deadline_ms) {
        (void)kt_cond_wait(&replica->wall_cond, &replica->mutex, kt_now_mono_ms() + 20);
    }
}

/* Has everyone in sync who lives heard that the epoch is over? Or does one lead the next already?
 */
static bool all_released(const struct kt_replica *replica)
{
    const struct kt_machine *machine = &replica->machine;
    int64_t now_ms = kt_now_mono_ms();
    size_t missing = 0;
    for (size_t i = 0; i < machine->peer_count; i++) {
        const struct kt_machine_peer *peer = &machine->peers[i];
        bool matters = kt_cluster_config_in_sync(&machine->disk.kept, peer->id) &&
                       now_ms - peer->heard_ms < machine->options.lag_timeout_ms;
        for (size_t j = 0; j < replica->released.count && matters; j++) {
            matters = strcmp(replica->released.ids[j], peer->id) != 0;
        }
        missing += matters;
    }
    return missing == 0 ||
           (replica->view->leader.present && replica->view->leader.epoch > machine->over_epoch);
}

/* Who was between two fetches asks in a moment. Told now it may campaign; else it is bound by its
 * promise for a ttl, with nobody there any more to release it. Mutex held. */
static void await_released(struct kt_replica *replica)
{
    int64_t deadline_ms = kt_now_mono_ms() + RELEASE_MS;
    while (replica->machine.role != KT_M_LEADS && !all_released(replica) &&
           kt_now_mono_ms() < deadline_ms) {
        (void)kt_cond_wait(&replica->changed_cond, &replica->mutex, kt_now_mono_ms() + 20);
    }
}

/* Mutex held. */
static void resign(struct kt_replica *replica, int64_t deadline_ms)
{
    struct kt_m_event event;
    memset(&event, 0, sizeof(event));
    event.kind = KT_M_STOP_ASKED;
    bool led = replica->machine.role == KT_M_LEADS;
    kt_replica_step(replica, &event);
    /* The replica thread goes on: the machine waits for views and acknowledgements. */
    while (replica->etcd_thread.running && replica->replica_thread.running &&
           !replica->deregistered && replica->machine.role != KT_M_ENDED &&
           kt_now_mono_ms() < deadline_ms) {
        if (!replica->machine.stopping) {
            kt_replica_step(replica, &event); /* the disk had not taken what was kept */
        }
        (void)kt_cond_wait(&replica->changed_cond, &replica->mutex, kt_now_mono_ms() + 20);
    }
    while (replica->etcd_thread.running && !replica->deregistered &&
           (replica->calls.deregister || replica->calls.remove_leader ||
            replica->calls.campaign_now) &&
           kt_now_mono_ms() < deadline_ms) {
        (void)kt_cond_wait(&replica->changed_cond, &replica->mutex, kt_now_mono_ms() + 20);
    }
    if (led) {
        await_released(replica);
    }
}

static void join(struct kt_replica *replica, struct kt_thread *thread, bool *flag,
                 struct kt_cond *cond)
{
    kt_mutex_lock(&replica->mutex);
    *flag = true;
    kt_cond_broadcast(cond);
    kt_mutex_unlock(&replica->mutex);
    kt_thread_join(thread);
}

static void release_waiters(struct kt_replica *replica)
{
    for (struct held_fetch *held = replica->held; held; held = held->next) {
        kt_cond_signal(&held->answered);
    }
    kt_cond_broadcast(&replica->synced_cond);
    kt_cond_broadcast(&replica->wall_cond);
    kt_cond_broadcast(&replica->changed_cond);
}

void kt_replica_stop(struct kt_replica *replica)
{
    int64_t now_ms = kt_now_mono_ms();
    kt_mutex_lock(&replica->mutex);
    finish_writes(replica, now_ms + DRAIN_MS);
    resign(replica, now_ms + DRAIN_MS + replica->options.lag_timeout_ms + DEREGISTER_MS);
    kt_mutex_unlock(&replica->mutex);
    join(replica, &replica->replica_thread, &replica->stopping, &replica->replica_cond);
    join(replica, &replica->etcd_thread, &replica->etcd_stop, &replica->etcd_cond);
    kt_mutex_lock(&replica->mutex);
    replica->log_stop = true; /* first: a call that begins now sees it */
    kt_http_client_cancel(replica->client);
    kt_mutex_unlock(&replica->mutex);
    join(replica, &replica->log_thread, &replica->log_stop, &replica->log_cond);
    join(replica, &replica->apply_thread, &replica->apply_stop, &replica->apply_cond);
    join(replica, &replica->trim_thread, &replica->trim_stop, &replica->trim_cond);
    kt_mutex_lock(&replica->mutex);
    release_waiters(replica);
    kt_mutex_unlock(&replica->mutex);
    if (replica->coord) {
        kt_coord_deregister(replica->coord, DEREGISTER_MS);
    }
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
    while (r->tail_head) {
        struct batch *batch = r->tail_head;
        r->tail_head = batch->next;
        kt_batch_unref(batch);
    }
    kt_coord_view_unref(&r->calls.txn_view);
    kt_coord_view_unref(&r->calls.remove_view);
    kt_coord_view_unref(&r->view);
    kt_http_client_free(&r->client);
    kt_http_client_free(&r->message_client);
    kt_free(r->orders.vector);
    kt_free(r->vector);
    kt_free(r->events);
    kt_free(r->told);
    done_sync(r);
    kt_free(r);
}

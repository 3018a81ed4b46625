/* SPDX-License-Identifier: MIT */
/* The small etcd, and a driver without threads. */
#include "core_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t ids_given;

void world_random_id(char dest[KT_ID_LEN + 1])
{
    snprintf(dest, KT_ID_LEN + 1, "%016llx",
             (unsigned long long)(0xf000000000000000U + ++ids_given));
}

const char *world_id(size_t n)
{
    static char ids[WORLD_NODES + 1][KT_ID_LEN + 1];
    snprintf(ids[n], sizeof(ids[n]), "a00000000000000%u", (unsigned)(n % 10));
    return ids[n];
}

static void *need(void *memory)
{
    if (!memory) {
        abort();
    }
    return memory;
}

struct world *world_new(void)
{
    struct world *world = need(kt_calloc(1, sizeof(*world)));
    world->now_ms = 100000;
    world->revision = 1;
    world->reachable = true;
    ids_given = 0;
    return world;
}

void world_free(struct world **world)
{
    for (size_t n = 0; n < WORLD_NODES; n++) {
        struct world_node *node = &(*world)->nodes[n];
        kt_free(node->view);
        kt_free(node->view_services);
        for (size_t i = 0; i < KT_ARRAY_LEN(node->actions); i++) {
            kt_free(node->actions[i]);
        }
    }
    kt_free(*world);
    *world = NULL;
}

static const char *addr_of(size_t n)
{
    static char addrs[WORLD_NODES][16];
    snprintf(addrs[n], sizeof(addrs[n]), "node%u:80", (unsigned)(n % 10));
    return addrs[n];
}

struct world_node *world_add(struct world *world, size_t n, bool may_lead, int32_t priority)
{
    struct world_node *node = &world->nodes[n];
    memcpy(node->options.id, world_id(n), KT_ID_LEN + 1);
    snprintf(node->options.addr, sizeof(node->options.addr), "%s", addr_of(n));
    node->options.may_lead = may_lead;
    node->options.priority = priority;
    node->options.expect = 1;
    node->options.min_in_sync = 1;
    node->options.ttl_s = WORLD_TTL_S;
    node->view = need(kt_calloc(1, sizeof(*node->view)));
    node->view_services = need(kt_calloc(WORLD_SERVICES, sizeof(*node->view_services)));
    for (size_t i = 0; i < KT_ARRAY_LEN(node->actions); i++) {
        node->actions[i] = need(kt_calloc(1, sizeof(*node->actions[i])));
    }
    world_boot(world, n);
    return node;
}

void world_boot(struct world *world, size_t n)
{
    struct world_node *node = &world->nodes[n];
    struct kt_core *core = &node->core;
    kt_core_init(core, &node->options);
    memcpy(core->cluster, node->cluster, sizeof(core->cluster));
    core->kept = node->kept;
    core->epoch = core->fenced_epoch =
        node->epoch > node->end_epoch ? node->epoch : node->end_epoch;
    core->end_seq = node->end_seq;
    core->end_epoch = node->end_epoch;
    core->commit_seq = node->commit_seq;
    node->running = true;
    memset(node->view, 0, sizeof(*node->view));
    world_new_lease(world, n);
}

void world_kill(struct world *world, size_t n)
{
    world->nodes[n].running = false;
}

static struct kt_service *find_service(struct world *world, const char *addr)
{
    for (size_t i = 0; i < world->service_count; i++) {
        if (strcmp(world->services[i].addr, addr) == 0) {
            return &world->services[i];
        }
    }
    return NULL;
}

void world_drop_service(struct world *world, const char *addr)
{
    struct kt_service *service = find_service(world, addr);
    if (service) {
        *service = world->services[--world->service_count];
        world->revision++;
    }
}

struct kt_service *world_put_service(struct world *world, const char *id, const char *addr)
{
    struct kt_service *service = find_service(world, addr);
    world->revision++;
    if (!service) {
        KT_ASSERT(world->service_count < WORLD_SERVICES);
        service = &world->services[world->service_count++];
        memset(service, 0, sizeof(*service));
        service->create_revision = world->revision;
    }
    snprintf(service->addr, sizeof(service->addr), "%s", addr);
    snprintf(service->id, sizeof(service->id), "%s", id);
    service->mod_revision = world->revision;
    return service;
}

void world_register(struct world *world, size_t n)
{
    struct world_node *node = &world->nodes[n];
    if (node->lease != 0) {
        struct kt_service *service = world_put_service(world, node->options.id, node->options.addr);
        kt_core_service(&node->core, node->core.commit_seq, service);
        service->lease = node->lease;
        node->registered = true;
    }
}

void world_end_lease(struct world *world, size_t n)
{
    struct world_node *node = &world->nodes[n];
    struct kt_service *service = find_service(world, node->options.addr);
    if (service && service->lease == node->lease) {
        world_drop_service(world, node->options.addr);
    }
    world->revision++;
    if (world->leader.present && world->leader.lease == node->lease) {
        world->leader.present = false;
    }
    node->lease = node->lease_end_ms = 0;
    node->registered = false;
}

void world_new_lease(struct world *world, size_t n)
{
    struct world_node *node = &world->nodes[n];
    node->lease = ++world->last_lease;
    node->etcd_lease_end_ms = world->now_ms + WORLD_TTL_S * 1000;
    world_register(world, n);
    node->lease_end_ms = world->now_ms + WORLD_TTL_S * 900;
}

void world_wipe(struct world *world)
{
    world->leader.present = world->config.present = false;
    world->service_count = 0;
    world->revision = 1;
    world->has_late = false;
    for (size_t n = 0; n < WORLD_NODES; n++) {
        world->nodes[n].lease = world->nodes[n].lease_end_ms = 0;
        world->nodes[n].registered = false;
    }
}

void world_refresh(struct world *world, size_t n)
{
    struct world_node *node = &world->nodes[n];
    struct kt_coord_view *view = node->view;
    uint64_t number = view->number;
    if (!world->reachable) {
        view->reachable = false;
        return;
    }
    if (node->lease != 0) {
        node->lease_end_ms = world->now_ms + WORLD_TTL_S * 900;
        node->etcd_lease_end_ms = world->now_ms + WORLD_TTL_S * 1000;
    }
    memset(view, 0, sizeof(*view));
    view->refs = 1;
    view->complete = view->reachable = true;
    view->revision = world->revision;
    view->number = number + 1;
    memcpy(node->view_services, world->services, world->service_count * sizeof(*world->services));
    view->services = node->view_services;
    view->service_count = world->service_count;
    view->leader.present = world->leader.present;
    view->leader.mine =
        world->leader.present && node->lease != 0 && world->leader.lease == node->lease;
    if (world->leader.present) {
        memcpy(view->leader.id, world->leader.id, sizeof(view->leader.id));
        memcpy(view->leader.addr, world->leader.addr, sizeof(view->leader.addr));
        view->leader.epoch = world->leader.epoch;
        view->leader.create_revision = world->leader.create_revision;
        view->leader.lease = world->leader.lease;
    }
    view->config.present = world->config.present;
    view->config.valid = world->config.present && world->config.valid;
    if (view->config.valid) {
        view->config.value = world->config.value;
    }
    view->config.mod_revision = world->config.mod_revision;
    const struct kt_service *own = find_service(world, node->options.addr);
    view->own_key_present = own && node->lease != 0 && own->lease == node->lease;
    view->own_lease = node->lease;
}

/* --- etcd's side of a transaction --- */

static bool run_txn(struct world *world, const struct world_txn *txn)
{
    bool key_mine = world->leader.present && world->leader.lease == txn->lease;
    bool lease_lives = world->nodes[txn->node].lease == txn->lease && txn->lease != 0;
    bool config_same =
        world->config.present == txn->compared_present &&
        (!txn->compared_present || (world->config.mod_revision == txn->compared_revision &&
                                    strcmp(world->config.value.nonce, txn->compared_nonce) == 0));
    if (!lease_lives || !config_same ||
        !(key_mine || (txn->is_campaign && !world->leader.present))) {
        return false;
    }
    world->revision++;
    if (txn->is_campaign) {
        if (!world->leader.present) {
            world->leader.create_revision = world->revision;
        }
        world->leader.present = true;
        memcpy(world->leader.id, txn->config.leader, sizeof(world->leader.id));
        snprintf(world->leader.addr, sizeof(world->leader.addr), "%s", addr_of(txn->node));
        world->leader.epoch = txn->config.epoch;
        world->leader.lease = txn->lease;
    }
    world->config.present = world->config.valid = true;
    world->config.value = txn->config;
    world->config.mod_revision = world->revision;
    memcpy(world->run[world->run_count++ % KT_ARRAY_LEN(world->run)], txn->config.nonce,
           sizeof(world->run[0]));
    return true;
}

bool world_was_run(const struct world *world, const char *nonce)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(world->run); i++) {
        if (strcmp(world->run[i], nonce) == 0) {
            return true;
        }
    }
    return false;
}

void world_land(struct world *world)
{
    if (world->has_late) {
        world->has_late = false;
        (void)run_txn(world, &world->late);
    }
}

static enum kt_txn_outcome transact(struct world *world, size_t n, const struct kt_action *action)
{
    struct world_node *node = &world->nodes[n];
    enum world_fate fate = world->fate;
    world->fate = FATE_RUN;
    if (!world->reachable || node->lease == 0) {
        return KT_TXN_UNKNOWN;
    }
    struct world_txn *txn = fate == FATE_LATE ? &world->late : need(kt_calloc(1, sizeof(*txn)));
    txn->is_campaign = action->kind == KT_ACT_CAMPAIGN;
    txn->compared_present = node->view->config.present;
    txn->compared_revision = node->view->config.mod_revision;
    memcpy(txn->compared_nonce, node->view->config.value.nonce, sizeof(txn->compared_nonce));
    txn->lease = node->lease;
    txn->node = n;
    txn->config = action->config;
    if (fate == FATE_LATE) {
        world->has_late = true;
        return KT_TXN_UNKNOWN;
    }
    bool held = (fate == FATE_RUN || fate == FATE_HIDDEN) && run_txn(world, txn);
    kt_free(txn);
    return fate == FATE_LOST || fate == FATE_HIDDEN ? KT_TXN_UNKNOWN
           : held                                   ? KT_TXN_DONE
                                                    : KT_TXN_REFUSED;
}

/* --- the driver's side --- */

static void run_step(struct world *world, size_t n, struct kt_event *event, size_t depth);

static const char *const names[] = {"KEEP",      "CAMPAIGN", "UPDATE",   "DELETE", "LEAD",
                                    "STEP_DOWN", "FOLLOW",   "UNFOLLOW", "STOP"};

static void carry_out(struct world *world, size_t n, const struct kt_action *action, size_t depth)
{
    struct world_node *node = &world->nodes[n];
    struct kt_event event;
    memset(&event, 0, sizeof(event));
    size_t len = strlen(world->trace);
    snprintf(world->trace + len, sizeof(world->trace) - len, "%s%s", len ? " " : "",
             names[action->kind]);
    switch (action->kind) {
    case KT_ACT_KEEP:
        node->kept = action->config;
        node->epoch = action->epoch;
        memcpy(node->cluster, action->config.cluster, sizeof(node->cluster));
        break;
    case KT_ACT_CAMPAIGN:
    case KT_ACT_UPDATE_CONFIG:
        event.kind = KT_EV_TXN;
        event.outcome = transact(world, n, action);
        run_step(world, n, &event, depth + 1);
        break;
    case KT_ACT_DELETE_LEADER:
        if (world->reachable && world->leader.present &&
            world->leader.create_revision == node->view->leader.create_revision) {
            world->revision++;
            world->leader.present = false;
        }
        break;
    default:
        break;
    }
}

static void run_step(struct world *world, size_t n, struct kt_event *event, size_t depth)
{
    struct world_node *node = &world->nodes[n];
    KT_ASSERT(depth < KT_ARRAY_LEN(node->actions));
    struct kt_actions *actions = node->actions[depth];
    event->view = node->view;
    event->lease_end_mono_ms = node->lease_end_ms;
    kt_core_step(&node->core, event, world->now_ms, world_random_id, actions);
    for (size_t i = 0; i < actions->count && node->running; i++) {
        if (world->on_action && !world->on_action(world, n, &actions->items[i])) {
            world_kill(world, n);
            return;
        }
        carry_out(world, n, &actions->items[i], depth);
    }
}

void world_tell(struct world *world, size_t n, enum kt_event_kind kind, const char *why)
{
    struct kt_event event;
    memset(&event, 0, sizeof(event));
    event.kind = kind;
    event.why = why;
    event.epoch_start_seq = world->nodes[n].core.epoch_start_seq;
    world->trace[0] = '\0';
    run_step(world, n, &event, 0);
}

const char *world_look(struct world *world, size_t n)
{
    world_refresh(world, n);
    world_tell(world, n, KT_EV_VIEW, NULL);
    if (world->reachable && world->nodes[n].running) {
        world_register(world, n);
    }
    return world->trace;
}

static void append(struct world_node *node)
{
    node->end_seq = node->core.end_seq + 1;
    node->end_epoch = node->core.epoch;
    node->commit_seq = node->core.commit_seq; /* rides along: what was known before */
    (void)kt_core_persisted(&node->core, node->end_seq, node->end_epoch);
}

void world_start(struct world *world, size_t n)
{
    struct world_node *node = &world->nodes[n];
    node->core.epoch_start_seq = node->core.end_seq + 1;
    append(node);
    world_tell(world, n, KT_EV_STARTED, NULL);
}

void world_write(struct world *world, size_t n)
{
    append(&world->nodes[n]);
}

/* SPDX-License-Identifier: MIT */
/* nodes.c - tables of nodes, made on one thread and read on many. */
#include <uv.h>

#include "gateway/nodes.h"

#include "base/log.h"
#include "base/mem.h"

#include <string.h>

struct kt_nodes {
    struct kt_mutex lock; /* around current; loops never take it */
    struct kt_gw_table *current;
    void (*wake)(void *ctx, size_t slot);
    void *wake_ctx;
    size_t slot_count;
    _Atomic(struct kt_gw_table *) slots[]; /* one per loop */
};

void kt_gw_node_ref(struct kt_gw_node *node)
{
    /* Relaxed: who adds a reference holds one already. */
    atomic_fetch_add_explicit(&node->refs, 1, memory_order_relaxed);
}

void kt_gw_node_unref(struct kt_gw_node **node)
{
    struct kt_gw_node *self = *node;

    *node = NULL;
    /* acq_rel: whoever frees must see what the others wrote before they let go. */
    if (self && atomic_fetch_sub_explicit(&self->refs, 1, memory_order_acq_rel) == 1) {
        kt_mutex_done(&self->facts_lock);
        kt_free(self);
    }
}

const struct sockaddr *kt_gw_node_sockaddr(struct kt_gw_node *node)
{
    int index = atomic_load_explicit(&node->sockaddr_index, memory_order_acquire);

    return (const struct sockaddr *)&node->sockaddrs[index];
}

void kt_gw_node_facts(struct kt_gw_node *node, struct kt_node_facts *ret_facts)
{
    kt_mutex_lock(&node->facts_lock);
    *ret_facts = node->facts;
    kt_mutex_unlock(&node->facts_lock);
}

static struct kt_gw_node *node_new(const struct kt_service *service, const char *host,
                                   uint16_t port)
{
    struct kt_gw_node *node = kt_calloc(1, sizeof(*node));

    if (!node) {
        return NULL;
    }
    kt_str_copy(node->host, sizeof(node->host), kt_str(host));
    node->port = port;
    node->is_guest = service->via[0] != '\0';
    atomic_init(&node->refs, 1);
    kt_str_copy(node->id, sizeof(node->id), kt_str(service->id));
    kt_str_copy(node->addr, sizeof(node->addr), kt_str(service->addr));
    kt_mutex_init(&node->facts_lock, "node facts", KT_RANK_STATS);
    kt_str_copy(node->facts.why_down, sizeof(node->facts.why_down), KT_STR("not yet probed"));
    return node;
}

void kt_gw_table_unref(struct kt_gw_table **table)
{
    struct kt_gw_table *self = *table;

    *table = NULL;
    if (!self || atomic_fetch_sub_explicit(&self->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < self->count; i++) {
        kt_gw_node_unref(&self->nodes[i]);
    }
    if (self->view) {
        kt_coord_view_unref(&self->view);
    }
    kt_free(self);
}

struct kt_nodes *kt_nodes_new(size_t slots, void (*wake)(void *ctx, size_t slot), void *ctx)
{
    struct kt_nodes *nodes = kt_calloc(1, sizeof(*nodes) + slots * sizeof(nodes->slots[0]));

    if (!nodes) {
        return NULL;
    }
    kt_mutex_init(&nodes->lock, "nodes", KT_RANK_GATEWAY);
    nodes->wake = wake;
    nodes->wake_ctx = ctx;
    nodes->slot_count = slots;
    for (size_t i = 0; i < slots; i++) {
        atomic_init(&nodes->slots[i], NULL);
    }
    return nodes;
}

void kt_nodes_free(struct kt_nodes **nodes)
{
    struct kt_nodes *self = *nodes;

    *nodes = NULL;
    if (!self) {
        return;
    }
    for (size_t i = 0; i < self->slot_count; i++) {
        struct kt_gw_table *table = atomic_load(&self->slots[i]);

        kt_gw_table_unref(&table);
    }
    kt_gw_table_unref(&self->current);
    kt_mutex_done(&self->lock);
    kt_free(self);
}

/* The node that was known under this address, if it is still the same process. */
static struct kt_gw_node *find_known(const struct kt_gw_table *table,
                                     const struct kt_service *service)
{
    for (size_t i = 0; table && i < table->count; i++) {
        if (strcmp(table->nodes[i]->addr, service->addr) == 0 &&
            strcmp(table->nodes[i]->id, service->id) == 0 &&
            table->nodes[i]->is_guest == (service->via[0] != '\0')) {
            return table->nodes[i];
        }
    }
    return NULL;
}

static bool holds(const struct kt_gw_table *table, const struct kt_gw_node *node)
{
    for (size_t i = 0; i < table->count; i++) {
        if (table->nodes[i] == node) {
            return true;
        }
    }
    return false;
}

static bool fill(struct kt_gw_table *table, const struct kt_gw_table *former,
                 const struct kt_coord_view *view)
{
    for (size_t i = 0; i < view->service_count && table->count < KT_MEMBERS_MAX; i++) {
        const struct kt_service *service = &view->services[i];
        struct kt_gw_node *node;
        char host[256];
        uint16_t port;

        /* An address that is none can't be asked: as good as not registered. */
        if (service->role == KT_ROLE_GATEWAY ||
            kt_addr_parse(kt_str(service->addr), 0, host, &port, NULL) != KT_OK || port == 0) {
            continue;
        }
        node = find_known(former, service);
        if (node) {
            kt_gw_node_ref(node);
        } else {
            node = node_new(service, host, port);
        }
        if (!node) {
            return false;
        }
        if (view->leader.present && strcmp(view->leader.id, node->id) == 0) {
            table->leader = (int)table->count;
        }
        table->nodes[table->count++] = node;
    }
    return true;
}

static bool any_is_up(const struct kt_gw_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        if (kt_gw_node_is_up(table->nodes[i])) {
            return true;
        }
    }
    return false;
}

/* Leases that ended all at once say little about the nodes: whose probe is good stays, until that
 * of somebody who is registered is. */
static void keep_the_living(struct kt_gw_table *table, const struct kt_gw_table *former)
{
    for (size_t i = 0; i < former->count && table->count < KT_MEMBERS_MAX; i++) {
        struct kt_gw_node *node = former->nodes[i];
        if (kt_gw_node_is_up(node) && !holds(table, node)) {
            kt_gw_node_ref(node);
            table->nodes[table->count++] = node;
            table->kept++;
        }
    }
    if (table->kept > 0 && former->kept == 0) {
        kt_log(WARN, "gateway", "unregistered_kept",
               "nodes=%zu why=\"nobody who is registered answers, and these do\"", table->kept);
    }
}

static void publish(struct kt_nodes *nodes, struct kt_gw_table *table)
{
    atomic_init(&table->refs, 1 + (int)nodes->slot_count);
    kt_mutex_lock(&nodes->lock);
    nodes->current = table;
    kt_mutex_unlock(&nodes->lock);
    for (size_t i = 0; i < nodes->slot_count; i++) {
        struct kt_gw_table *missed =
            atomic_exchange_explicit(&nodes->slots[i], table, memory_order_acq_rel);

        kt_gw_table_unref(&missed);
        nodes->wake(nodes->wake_ctx, i);
    }
}

bool kt_nodes_update(struct kt_nodes *nodes, struct kt_coord_view *view)
{
    struct kt_gw_table *former = nodes->current; /* only this thread replaces it */
    struct kt_gw_table *table = kt_calloc(1, sizeof(*table));

    if (!table) {
        kt_coord_view_unref(&view);
        return false;
    }
    atomic_init(&table->refs, 1);
    table->leader = -1;
    if (!fill(table, former, view)) {
        kt_gw_table_unref(&table);
        kt_coord_view_unref(&view);
        return false;
    }
    if (former && !any_is_up(table)) {
        keep_the_living(table, former);
    }
    table->view = view;
    for (size_t i = 0; former && i < former->count; i++) {
        if (!holds(table, former->nodes[i])) {
            atomic_store(&former->nodes[i]->gone, true);
        }
    }
    publish(nodes, table);
    kt_gw_table_unref(&former);
    return true;
}

struct kt_gw_table *kt_nodes_current(struct kt_nodes *nodes)
{
    struct kt_gw_table *table;

    kt_mutex_lock(&nodes->lock);
    table = nodes->current;
    if (table) {
        atomic_fetch_add_explicit(&table->refs, 1, memory_order_relaxed);
    }
    kt_mutex_unlock(&nodes->lock);
    return table;
}

struct kt_gw_table *kt_nodes_take(struct kt_nodes *nodes, size_t slot)
{
    return atomic_exchange_explicit(&nodes->slots[slot], NULL, memory_order_acq_rel);
}

/* SPDX-License-Identifier: MIT */
/* A node's lease, its clock, its entry in etcd, and the views that it takes. */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_TIMEOUT_MS 1000
#define CALL_AGAIN_MS 200

static int64_t lease_ms(void)
{
    return (int64_t)w->options.ttl_s * 900;
}

void node_keep_lease(struct node *node)
{
    int64_t now_ms = local_ms(node);
    if (node->lease.call && w->now_ms >= node->lease.call_until_ms) {
        node->lease.call = 0;
        node->lease.next_ms = now_ms + CALL_AGAIN_MS;
        node->reachable = false;
    }
    if (node->lease.call || now_ms < node->lease.next_ms) {
        return;
    }
    node->lease.granting = node->lease.id == 0;
    struct call *call = new_call(node, node->lease.granting ? CALL_GRANT : CALL_KEEPALIVE);
    node->lease.call = call->number;
    node->lease.call_until_ms = w->now_ms + CALL_TIMEOUT_MS;
    node->lease.sent_ms = now_ms;
    etcd_call(call);
    if (node->pause_at_call_ms) {
        trace("node %d is paused for %" PRId64 " ms at a call", node->slot, node->pause_at_call_ms);
        node->paused_until_ms = w->now_ms + node->pause_at_call_ms;
        node->pause_at_call_ms = 0;
    }
}

/* An earlier put may have come to pass behind a later one. */
static bool is_entry_stale(const struct node *node)
{
    const struct kt_coord_view *view = &node->view;
    const struct kt_service *told = &node->service.told;
    for (size_t i = 0; i < view->service_count; i++) {
        const struct kt_service *own = &view->services[i];
        if (own->lease == node->lease.id && node->lease.id) {
            return own->state != told->state || own->end_seq != told->end_seq ||
                   own->kept.version != told->kept.version;
        }
    }
    return false;
}

static bool is_entry_urgent(const struct node *node, const struct kt_service *service)
{
    const struct kt_service *told = &node->service.told;
    return node->service.told_lease != node->lease.id || !node->view.own_key_present ||
           told->role != service->role || told->state != service->state ||
           memcmp(&told->kept, &service->kept, sizeof(told->kept)) != 0 ||
           strcmp(told->cluster, service->cluster) != 0 ||
           (!node->view.leader.present &&
            (told->end_seq != service->end_seq || told->end_epoch != service->end_epoch));
}

void node_keep_entry(struct node *node)
{
    struct kt_machine_facts facts;
    struct kt_machine_log log;
    struct kt_service *service = &node->service.sending;
    if (node->service.call && w->now_ms < node->service.call_until_ms) {
        return;
    }
    node->service.call = 0;
    if (!node->lease.id || node->withdrawn) {
        return;
    }
    node_look(node, &facts, &log);
    memset(service, 0, sizeof(*service));
    kt_machine_service(&node->machine, &log, service);
    bool changed =
        memcmp(service, &node->service.told, sizeof(*service)) != 0 || is_entry_stale(node);
    if (!is_entry_urgent(node, service) && (!changed || w->now_ms < node->service.next_ms)) {
        return;
    }
    struct call *call = new_call(node, CALL_PUT);
    call->service = *service;
    node->service.call = call->number;
    node->service.call_until_ms = w->now_ms + CALL_TIMEOUT_MS;
    node->service.next_ms = w->now_ms + (int64_t)w->options.ttl_s * 1000 / 3;
    etcd_call(call);
}

static void take_lease_answer(struct node *node, const struct call *call)
{
    node->lease.call = 0;
    node->reachable = true;
    if (!call->done) {
        trace("node %d has lost its lease", node->slot);
        node->lease.id = 0;
        node->lease.next_ms = 0;
    } else {
        int64_t from_ms = KT_PLANTED(clock_from_reply) ? local_ms(node) : node->lease.sent_ms;
        node->lease.id = call->lease;
        node->lease.end_ms = from_ms + lease_ms();
        node->lease.next_ms = node->lease.sent_ms + (int64_t)w->options.ttl_s * 1000 / 3;
        if (KT_PLANTED(leader_key_put_again) && call->kind == CALL_GRANT &&
            node->machine.role == KT_M_LEADS) {
            struct call *put = new_call(node, CALL_PUT_LEADER);
            put->config.epoch = node->machine.disk.epoch;
            node->machine.lead_lease = node->lease.id;
            etcd_call(put);
        }
    }
    etcd_show(node->slot); /* a silent watch is checked by a read */
    node_step_facts(node);
}

void node_take_txn_answer(struct node *node, enum kt_txn_outcome outcome)
{
    struct kt_m_event event = {.kind = KT_M_TXN_OUTCOME, .outcome = outcome};
    node->txn.call = 0;
    if (node->machine.txn.active && strcmp(node->machine.txn.config.nonce, node->txn.nonce) == 0) {
        if (KT_PLANTED(clock_from_win) && outcome == KT_TXN_DONE && node->machine.txn.is_campaign) {
            node->lease.end_ms = local_ms(node) + lease_ms();
        }
        node_step(node, &event);
    }
}

void node_take_call_answer(struct node *node, const struct call *call)
{
    if (call->number == node->lease.call) {
        take_lease_answer(node, call);
    } else if (call->number == node->service.call) {
        node->service.call = 0;
        node->reachable = true;
        if (call->done) {
            node->service.told = node->service.sending;
            node->service.told_lease = call->lease;
        }
    } else if (call->number == node->txn.call) {
        node->reachable = true;
        node_take_txn_answer(node, call->done ? KT_TXN_DONE : KT_TXN_REFUSED);
    }
}

void node_take_keys(struct node *node, struct keys *keys)
{
    struct kt_coord_view *view = &node->view;
    if (node->keys && keys->number <= node->keys->number && view->complete) {
        return;
    }
    keys_unref(node->keys);
    keys->refs++;
    node->keys = keys;
    view->complete = true;
    view->revision = keys->revision;
    view->number = keys->number;
    view->services = keys->services;
    view->service_count = keys->service_count;
    view->leader.present = keys->leader.present;
    memcpy(view->leader.id, keys->leader.id, sizeof(view->leader.id));
    memcpy(view->leader.addr, keys->leader.addr, sizeof(view->leader.addr));
    view->leader.epoch = keys->leader.epoch;
    view->leader.create_revision = keys->leader.create_revision;
    view->leader.lease = keys->leader.lease;
    view->config.present = view->config.valid = keys->config.present;
    view->config.value = keys->config.value;
    view->config.mod_revision = keys->config.mod_revision;
    node_step_facts(node);
    if (node->alive && !node->view.own_key_present && !node->withdrawn) {
        node->lease.next_ms = 0; /* does the lease still live? */
    }
}

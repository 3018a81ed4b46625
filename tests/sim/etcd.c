/* SPDX-License-Identifier: MIT */
/* A model of etcd: every change makes a new immutable set of keys, shown to each node as one view.
 */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct keys *keys_copy(const struct keys *keys)
{
    struct keys *copy = malloc(sizeof(*copy));
    KT_ASSERT(copy);
    *copy = *keys;
    copy->refs = 1;
    return copy;
}

void keys_unref(struct keys *keys)
{
    if (keys && --keys->refs == 0) {
        free(keys);
    }
}

void etcd_init(void)
{
    w->etcd.keys = calloc(1, sizeof(struct keys));
    KT_ASSERT(w->etcd.keys);
    w->etcd.keys->refs = 1;
    w->etcd.keys->revision = 1;
}

void etcd_done(void)
{
    keys_unref(w->etcd.keys);
    keys_unref(w->etcd.backup);
}

/* --- who sees what --- */

void etcd_show(int slot)
{
    struct node *node = &w->nodes[slot];
    if (w->etcd.down || !node->alive || is_cut(ETCD, slot) || w->now_ms < node->blind_until_ms) {
        return;
    }
    int64_t delay = between(0, 4);
    if (w->now_ms < node->late_views_until_ms) {
        delay += between(0, 2000);
    }
    w->etcd.keys->refs++;
    post(delay, EV_KEYS, slot, w->etcd.keys);
}

static struct keys *change(void)
{
    struct keys *next = keys_copy(w->etcd.keys);
    next->revision++;
    next->number = ++w->etcd.numbers;
    return next;
}

static void publish(struct keys *next)
{
    if (next->leader.present && next->config.present &&
        next->leader.epoch != next->config.value.epoch) {
        fail("the leader key is of epoch %" PRIu64 ", the configuration of %" PRIu64,
             next->leader.epoch, next->config.value.epoch);
    }
    keys_unref(w->etcd.keys);
    w->etcd.keys = next;
    for (int slot = 0; slot < SLOTS; slot++) {
        etcd_show(slot);
    }
}

/* --- leases --- */

static struct lease *lease_of(int64_t id)
{
    return id > 0 && id <= w->etcd.lease_count && w->etcd.leases[id - 1].alive
               ? &w->etcd.leases[id - 1]
               : NULL;
}

static void drop_lease(int64_t id)
{
    struct lease *lease = lease_of(id);
    if (!lease) {
        return;
    }
    lease->alive = false;
    node_drop_copies(lease->slot);
    struct keys *next = change();
    bool changed = false;
    for (size_t i = 0; i < next->service_count;) {
        if (next->services[i].lease == id) {
            next->services[i] = next->services[--next->service_count];
            changed = true;
        } else {
            i++;
        }
    }
    if (next->leader.present && next->leader.lease == id) {
        next->leader.present = false;
        changed = true;
    }
    trace("etcd   lease %" PRId64 " of node %d is gone", id, lease->slot);
    if (changed) {
        publish(next);
    } else {
        keys_unref(next);
    }
}

static void prolong(int64_t id, int64_t extra_ms)
{
    struct lease *lease = lease_of(id);
    int64_t ttl_ms = (int64_t)w->options.ttl_s * 1000 + extra_ms;
    lease->until_ms = w->now_ms + ttl_ms;
    post(ttl_ms, EV_LEASE, -1, NULL)->number = (uint64_t)id;
}

void etcd_lease_ends(int64_t id)
{
    struct lease *lease = lease_of(id);
    if (lease && w->now_ms >= lease->until_ms && !w->etcd.down) {
        check_lease(lease->slot, id);
        drop_lease(id);
    }
}

void etcd_revoke_of(int slot)
{
    for (int64_t id = w->etcd.lease_count; id > 0; id--) {
        if (w->etcd.leases[id - 1].alive && w->etcd.leases[id - 1].slot == slot) {
            drop_lease(id);
            return;
        }
    }
}

/* --- faults --- */

void etcd_set_down(bool down)
{
    trace("etcd   is %s", down ? "down" : "up");
    w->etcd.down = down;
    /* After a restart every lease has its whole ttl again. */
    for (int64_t id = 1; !down && id <= w->etcd.lease_count; id++) {
        if (lease_of(id)) {
            prolong(id, between(0, 300));
        }
    }
    for (int slot = 0; !down && slot < SLOTS; slot++) {
        etcd_show(slot);
    }
}

static void kill_leases(void)
{
    for (int64_t id = 1; id <= w->etcd.lease_count; id++) {
        w->etcd.leases[id - 1].alive = false;
        node_drop_copies(w->etcd.leases[id - 1].slot);
    }
}

void etcd_wipe(void)
{
    trace("etcd   lost its disk");
    w->etcd_set_back = true;
    kill_leases();
    struct keys *next = calloc(1, sizeof(*next));
    KT_ASSERT(next);
    next->refs = 1;
    next->revision = 1;
    next->number = ++w->etcd.numbers;
    publish(next);
}

void etcd_back_up(void)
{
    keys_unref(w->etcd.backup);
    w->etcd.backup = keys_copy(w->etcd.keys);
}

void etcd_restore(void)
{
    if (!w->etcd.backup) {
        return;
    }
    trace("etcd   is restored from a backup");
    w->etcd_set_back = true;
    kill_leases();
    struct keys *next = keys_copy(w->etcd.backup);
    next->number = ++w->etcd.numbers;
    next->service_count = 0;
    next->leader.present = false;
    publish(next);
}

/* --- calls --- */

static bool compares(const struct keys *keys, const struct call *call)
{
    if (keys->config.present != call->compared_present) {
        return false;
    }
    if (!keys->config.present) {
        return true;
    }
    bool same_value = strcmp(keys->config.value.nonce, call->compared_nonce) == 0;
    return keys->config.mod_revision == call->compared_revision &&
           (same_value || KT_PLANTED(compare_without_value));
}

static bool take_txn(struct keys *next, const struct call *call)
{
    bool mine = next->leader.present && next->leader.lease == call->lease;
    bool compared = compares(next, call) ||
                    (call->kind == CALL_CAMPAIGN && KT_PLANTED(campaign_without_config_compare));
    if (!compared || !lease_of(call->lease) ||
        (call->kind == CALL_UPDATE ? !mine : next->leader.present && !mine)) {
        return false;
    }
    if (call->kind == CALL_CAMPAIGN) {
        if (!next->leader.present) {
            next->leader.create_revision = next->revision;
        }
        next->leader.present = true;
        next->leader.lease = call->lease;
        next->leader.epoch = call->config.epoch;
        kt_str_copy(next->leader.id, sizeof(next->leader.id), kt_str(call->service.id));
        kt_str_copy(next->leader.addr, sizeof(next->leader.addr), kt_str(call->service.addr));
    }
    if (!next->config.present && next->revision < w->align_revision) {
        trace("etcd   goes on at revision %" PRId64, w->align_revision);
        next->revision = w->align_revision; /* others write to this etcd, too */
        w->align_revision = 0;
    }
    bool grown =
        call->kind == CALL_UPDATE && call->config.in_sync_count > next->config.value.in_sync_count;
    next->config.present = true;
    next->config.mod_revision = next->revision;
    next->config.value = call->config;
    trace("etcd   config v%" PRIu64 " epoch %" PRIu64 " leader %d in_sync %zu",
          call->config.version, call->config.epoch, slot_of_id(call->config.leader),
          call->config.in_sync_count);
    if (call->kind == CALL_CAMPAIGN) {
        win_came_to_pass(call->slot);
    }
    if (grown) {
        check_growth(&w->nodes[call->slot], &call->config);
        growth_came_to_pass(call->slot);
    }
    return true;
}

static bool put_leader_again(struct keys *next, const struct call *call)
{
    if (!lease_of(call->lease)) {
        return false;
    }
    next->leader.present = true;
    next->leader.lease = call->lease;
    next->leader.epoch = call->config.epoch;
    next->leader.create_revision = next->revision;
    kt_str_copy(next->leader.id, sizeof(next->leader.id), kt_str(call->service.id));
    kt_str_copy(next->leader.addr, sizeof(next->leader.addr), kt_str(call->service.addr));
    return true;
}

static bool put_service(struct keys *next, const struct call *call)
{
    size_t at = 0;
    if (!lease_of(call->lease)) {
        return false;
    }
    while (at < next->service_count && strcmp(next->services[at].addr, call->service.addr) != 0) {
        at++;
    }
    if (at == next->service_count) {
        KT_ASSERT(at < SLOTS);
        next->service_count++;
        next->services[at].create_revision = next->revision;
    }
    int64_t created = next->services[at].create_revision;
    next->services[at] = call->service;
    next->services[at].create_revision = created;
    next->services[at].lease = call->lease;
    next->services[at].mod_revision = next->revision;
    return true;
}

/* Only under the lease of who asks: it may come late, and the entry be a successor's. */
static bool withdraw(struct keys *next, const struct call *call)
{
    for (size_t i = 0; i < next->service_count; i++) {
        if (strcmp(next->services[i].addr, call->service.addr) == 0 &&
            next->services[i].lease == call->lease) {
            next->services[i] = next->services[--next->service_count];
            return true;
        }
    }
    return false;
}

static bool delete_leader(struct keys *next, const struct call *call)
{
    bool same = next->leader.create_revision == call->create_revision || KT_PLANTED(plain_delete);
    if (!next->leader.present || !same) {
        return false;
    }
    if (slot_of_addr(next->leader.addr) != call->slot) {
        fail("node %d deletes the leader key of node %d", call->slot,
             slot_of_addr(next->leader.addr));
    }
    trace("etcd   node %d deletes the leader key of epoch %" PRIu64, call->slot,
          next->leader.epoch);
    next->leader.present = false;
    return true;
}

static void take_lease_call(struct call *call)
{
    if (call->kind == CALL_GRANT) {
        KT_ASSERT(w->etcd.lease_count < LEASES_MAX);
        w->etcd.leases[w->etcd.lease_count++] = (struct lease){.alive = true, .slot = call->slot};
        call->lease = w->etcd.lease_count;
        call->done = true;
        prolong(call->lease, between(0, 300));
    } else if (call->kind == CALL_KEEPALIVE) {
        call->done = lease_of(call->lease) != NULL;
        if (call->done) {
            prolong(call->lease, between(0, 300));
        }
    } else {
        drop_lease(call->lease);
        call->done = true;
    }
}

static void answer(struct call *call)
{
    bool flaky = w->now_ms < w->flaky_until_ms;
    if (is_cut(ETCD, call->slot) || (flaky && one_in(3))) {
        free(call);
        return;
    }
    post(between(0, 3) + (flaky && one_in(4) ? between(0, 1500) : 0), EV_CALL_ANSWER, call->slot,
         call);
}

void etcd_take(struct call *call)
{
    if (w->etcd.down) {
        free(call);
        return;
    }
    if (call->kind == CALL_GRANT || call->kind == CALL_KEEPALIVE || call->kind == CALL_REVOKE) {
        take_lease_call(call);
        answer(call);
        return;
    }
    if (call->kind == CALL_WITHDRAW) {
        node_drop_copies(call->slot);
    }
    struct keys *next = change();
    call->done = call->kind == CALL_PUT          ? put_service(next, call)
                 : call->kind == CALL_DELETE     ? delete_leader(next, call)
                 : call->kind == CALL_WITHDRAW   ? withdraw(next, call)
                 : call->kind == CALL_PUT_LEADER ? put_leader_again(next, call)
                                                 : take_txn(next, call);
    if (call->done) {
        publish(next);
    } else {
        keys_unref(next);
    }
    answer(call);
}

void etcd_call(struct call *call)
{
    bool flaky = w->now_ms < w->flaky_until_ms;
    int64_t delay = between(0, 4);
    if (is_cut(call->slot, ETCD) || (flaky && one_in(4))) {
        free(call);
        return;
    }
    if (w->late_growth_ms && call->kind == CALL_UPDATE &&
        call->config.in_sync_count > w->etcd.keys->config.value.in_sync_count) {
        delay += w->late_growth_ms;
        w->late_growth_ms = 0;
        growth_is_late();
    }
    if (call->kind == CALL_CAMPAIGN && w->wipe_at_campaign) {
        w->wipe_at_campaign = false;
        campaign_was_lost(call->slot, call->compared_revision);
        free(call);
        return;
    }
    if (call->kind == CALL_CAMPAIGN) {
        delay += w->late_campaign_ms;
    }
    if (flaky && one_in(4)) {
        delay += between(0, one_in(3) ? 7000 : 1200);
    }
    if (flaky && one_in(4)) { /* a client library that sends again by itself */
        struct call *twice = malloc(sizeof(*twice));
        KT_ASSERT(twice);
        *twice = *call;
        post(delay + between(0, 1500), EV_CALL, -1, twice);
    }
    post(delay, EV_CALL, -1, call);
}

/* SPDX-License-Identifier: MIT */
/* A node's lives: start, crash, wipe, and what an operator tells it. */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void new_identity(struct node *node)
{
    random_id(NULL, node->id);
    memset(&node->disk, 0, sizeof(node->disk));
    free_message(node->copy);
    node->copy = NULL;
    node->of_lost_past = false;
    node->first_seq = 1;
    node->end_seq = node->synced_seq = node->disk_commit = node->applied = 0;
    node->vector_count = 0;
}

void node_init(int slot)
{
    struct node *node = &w->nodes[slot];
    node->slot = slot;
    node->there = true;
    node->copy_of = -1;
    node->rejoin = one_in(3);
    snprintf(node->addr, sizeof(node->addr), "n%d:1", slot);
    node->electable = true;
    if (!w->options.exact_clocks) {
        node->clock_offset_ms = between(1, 100000);
        node->clock_permille = between(-10, 10);
    }
    new_identity(node);
}

/* A database as a node without etcd leaves it: what it has was acknowledged. */
void node_write_alone(int slot, uint64_t entries)
{
    struct node *node = &w->nodes[slot];
    struct kt_cluster_config *kept = &node->disk.kept;
    random_id(NULL, node->disk.cluster);
    node->disk.standalone = true;
    node->disk.epoch = kept->epoch = kept->version = 1;
    memcpy(kept->cluster, node->disk.cluster, sizeof(kept->cluster));
    memcpy(w->cluster, node->disk.cluster, sizeof(w->cluster));
    random_id(NULL, kept->epoch_id);
    random_id(NULL, kept->nonce);
    memcpy(kept->leader, node->id, sizeof(kept->leader));
    memcpy(kept->in_sync[0], node->id, sizeof(kept->in_sync[0]));
    memcpy(kept->members[0].id, node->id, sizeof(kept->members[0].id));
    memcpy(kept->members[0].addr, node->addr, sizeof(kept->members[0].addr));
    kept->in_sync_count = kept->member_count = 1;
    kept->min_in_sync = 1;
    kept->ttl_s = (uint32_t)w->options.ttl_s;
    for (uint64_t i = 0; i < entries; i++) {
        struct entry entry = {.epoch = 1, .op = i ? ++w->ops : 0};
        memcpy(entry.epoch_id, kept->epoch_id, sizeof(entry.epoch_id));
        node_add_entry(node, &entry);
    }
    node->synced_seq = node->disk_commit = node->end_seq;
    check_commit(node, 1, node->end_seq);
    w->acked_max = node->end_seq;
}

void node_start(int slot)
{
    struct node *node = &w->nodes[slot];
    struct kt_machine_options options;
    if (node->alive || !node->there) {
        return;
    }
    memset(&options, 0, sizeof(options));
    memcpy(options.id, node->id, sizeof(options.id));
    memcpy(options.addr, node->addr, sizeof(options.addr));
    random_id(NULL, options.session);
    options.electable = node->electable;
    options.rejoin = node->rejoin;
    options.priority = node->priority;
    options.expect = (uint32_t)w->options.expect;
    options.min_in_sync = (uint32_t)w->options.min_in_sync;
    options.max_in_sync = 3;
    options.ttl_s = (uint32_t)w->options.ttl_s;
    options.lag_timeout_ms = w->options.lag_timeout_ms;
    options.tick_ms = TICK_MS + 5;
    options.random_id = random_id;
    node->alive = true;
    node->incarnation++;
    memset(&node->lease, 0, sizeof(node->lease));
    memset(&node->service, 0, sizeof(node->service));
    memset(&node->txn, 0, sizeof(node->txn));
    memset(&node->view, 0, sizeof(node->view));
    keys_unref(node->keys);
    node->keys = NULL;
    node->reachable = node->withdrawn = false;
    node->syncing = false;
    node->op_count = 0;
    node->applied = node->disk_commit < node->end_seq ? node->disk_commit : node->end_seq;
    check_past(node);
    kt_machine_init(&node->machine, &options, &node->disk, node->applied, local_ms(node));
    trace("node %d starts, log ends at %" PRIu64 ", commit %" PRIu64 ", epoch %" PRIu64, slot,
          node->end_seq, node->applied, node->disk.epoch);
    post(0, EV_TICK, slot, NULL);
}

/* The disk of a living node is copied, and a second node started on it. */
void node_copy_disk(int slot, int of)
{
    struct node *node = &w->nodes[slot];
    const struct node *from = &w->nodes[of];
    node_init(slot);
    trace("node %d starts on a copy of node %d's disk", slot, of);
    node->copy_of = of;
    node->electable = from->electable;
    node->priority = from->priority;
    memcpy(node->id, from->id, sizeof(node->id));
    node->disk = from->disk;
    memcpy(node->log, from->log, (from->synced_seq + 1) * sizeof(node->log[0]));
    memcpy(node->vector, from->vector, from->vector_count * sizeof(node->vector[0]));
    node->vector_count = from->vector_count;
    node->first_seq = from->first_seq;
    node->end_seq = node->synced_seq = from->synced_seq;
    node->disk_commit = from->disk_commit;
    node->of_lost_past = from->of_lost_past;
    node_lose_unsynced(node);
    node_start(slot);
}

/* What nobody can tell from the original once that is gone. */
void node_drop_copies(int of)
{
    for (int slot = 0; slot < SLOTS; slot++) {
        if (w->nodes[slot].there && w->nodes[slot].copy_of == of) {
            node_crash(slot);
            w->nodes[slot].there = false;
            etcd_revoke_of(slot);
        }
    }
}

void node_crash(int slot)
{
    struct node *node = &w->nodes[slot];
    if (!node->alive) {
        return;
    }
    trace("node %d is killed", slot);
    node_drop_copies(slot);
    node->alive = false;
    node->incarnation++;
    node->crash_in = 0;
    node->paused_until_ms = 0;
    node->op_count = 0;
    free_message(node->copy);
    node->copy = NULL;
    node_lose_unsynced(node);
}

void node_wipe(int slot)
{
    node_crash(slot);
    trace("node %d is wiped", slot);
    w->node_wiped = true;
    new_identity(&w->nodes[slot]);
}

static void ask(int slot, enum kt_m_event_kind kind, const char *to)
{
    struct kt_m_event event = {.kind = kind, .to = to};
    if (w->nodes[slot].alive && w->now_ms >= w->nodes[slot].paused_until_ms) {
        node_step(&w->nodes[slot], &event);
    }
}

void node_stop(int slot, const char *target)
{
    trace("node %d is told to stop", slot);
    ask(slot, KT_M_STOP_ASKED, target);
}

void node_hand_over(int slot, const char *target)
{
    trace("node %d is told to hand over to node %d", slot, slot_of_id(target));
    ask(slot, KT_M_HANDOVER_ASKED, target);
}

void node_recover(int slot)
{
    trace("node %d is told to recover", slot);
    ask(slot, KT_M_RECOVER_ASKED, NULL);
}

void node_forget(int slot, const char *id)
{
    trace("node %d is told to forget %s", slot, id);
    ask(slot, KT_M_FORGET_ASKED, id);
}

void node_free(int slot)
{
    keys_unref(w->nodes[slot].keys);
    free_message(w->nodes[slot].copy);
}

/* SPDX-License-Identifier: MIT */
/* A node's disk: its log, syncs that take their time, copies, and what a crash leaves of them. */
#include "plan.h"

#include <string.h>

void node_drop_vector(struct node *node)
{
    while (node->vector_count > 0 &&
           node->vector[node->vector_count - 1].first_seq > node->end_seq) {
        node->vector_count--;
    }
}

void node_add_entry(struct node *node, const struct entry *entry)
{
    KT_ASSERT(node->end_seq < LOG_MAX);
    node->log[++node->end_seq] = *entry;
    if (entry->op == 0) {
        KT_ASSERT(node->vector_count < EPOCHS_MAX);
        struct kt_epoch *epoch = &node->vector[node->vector_count++];
        epoch->epoch = entry->epoch;
        epoch->first_seq = node->end_seq;
        memcpy(epoch->epoch_id, entry->epoch_id, sizeof(epoch->epoch_id));
    }
}

void node_start_sync(struct node *node)
{
    int64_t delay = between(0, 3);
    if (w->now_ms < node->slow_disk_until_ms) {
        delay += between(50, 700);
    }
    node->syncing = true;
    post(delay, EV_SYNC, node->slot, NULL)->number = ++node->sync_number;
}

void node_lose_unsynced(struct node *node)
{
    /* What was on its way may have reached the disk or not. */
    node->end_seq = (uint64_t)between((int64_t)node->synced_seq, (int64_t)node->end_seq);
    node->synced_seq = node->end_seq;
    node_drop_vector(node);
}

void node_cut_head(struct node *node)
{
    uint64_t keep = w->options.log_keep;
    keep += keep && w->healed_ms ? 200 : 0;
    if (keep && node->applied > keep && node->first_seq < node->applied - keep) {
        node->first_seq = node->applied - keep;
    }
}

bool node_crashes(struct node *node)
{
    if (node->crash_in > 0 && --node->crash_in == 0) {
        trace("node %d crashes at a persist step", node->slot);
        node_crash(node->slot);
        at(between(20, 3000), DO_START + (uint64_t)node->slot);
        return true;
    }
    return false;
}

void node_take_sync(struct node *node, uint64_t number)
{
    if (number != node->sync_number) {
        return; /* a newer one covers it */
    }
    node->syncing = false;
    if (node->fail_sync) {
        struct kt_m_event event = {.kind = KT_M_LOG_FAULT, .why = "the disk failed"};
        node->fail_sync = false;
        trace("node %d: the disk fails", node->slot);
        node->end_seq = node->synced_seq; /* the transaction is rolled back */
        node_drop_vector(node);
        node_step(node, &event);
        return;
    }
    if (node->append_commit > node->disk_commit) {
        node->disk_commit = node->append_commit;
    }
    node->synced_seq = node->end_seq;
    node_step_facts(node);
}

static void put_copy(struct node *node)
{
    struct message *copy = node->copy;
    node->copy = NULL;
    node->end_seq = 0;
    node->vector_count = 0;
    node->of_lost_past = false;
    for (size_t i = 0; i < copy->entry_count; i++) {
        node_add_entry(node, &copy->entries[i]);
    }
    node->synced_seq = node->end_seq;
    node->first_seq = copy->first_seq;
    node->disk_commit = copy->applied;
    if (KT_PLANTED(copy_keeps_giver_id)) {
        memcpy(node->id, copy->giver, sizeof(node->id));
        memcpy(node->machine.options.id, copy->giver, sizeof(node->id));
    }
    free_message(copy);
    check_commit(node, 1, node->disk_commit);
    node->applied = node->disk_commit;
}

void node_take_copied(struct node *node)
{
    struct kt_m_event event = {.kind = KT_M_COPIED};
    if (!node->copy || node_crashes(node)) {
        return;
    }
    put_copy(node);
    if (!node_crashes(node)) {
        node_step(node, &event);
    }
}

void node_finish_swap(int slot)
{
    struct node *node = &w->nodes[slot];
    if (!node->alive && node->copy) {
        put_copy(node);
        node->disk.half_copy = false;
        node_start(slot);
    }
}

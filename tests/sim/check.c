/* SPDX-License-Identifier: MIT */
/* The invariants. The committed log is the witness: writes take their places in it, a read sees a
 * prefix of it. So the history is linearizable if every acknowledgement and every read comes at or
 * behind all that was there before it began (clients.c), and no entry below ever changes (here).
 */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool same_entry(const struct entry *a, const struct entry *b)
{
    return a->epoch == b->epoch && a->op == b->op && strcmp(a->epoch_id, b->epoch_id) == 0;
}

/* Another cluster than the one whose history is kept here, founded by empty nodes to whom etcd
 * showed nothing else: with its disk lost and everybody else away they can't know better; nor
 * before a node that was standalone has founded one. Their run ends here, whoever of it leads
 * first: its founder may lose the epoch in which it did so. */
static bool is_another_cluster(const char *cluster)
{
    return (w->etcd_set_back || w->options.standalone) && w->committed_end > 0 &&
           strcmp(cluster, w->cluster) != 0;
}

/* Has it applied what is no more? */
void check_past(struct node *node)
{
    bool same = node->applied <= w->committed_end;
    for (uint64_t seq = node->first_seq; seq <= node->applied && same; seq++) {
        same = same_entry(&node->log[seq], &w->committed[seq]);
    }
    node->of_lost_past = w->lost_past && !same;
}

/* After `recover` the history is what the new leader has. */
static void accept_loss(const struct node *node)
{
    uint64_t common = 0;
    while (common < w->committed_end && common < node->end_seq &&
           same_entry(&node->log[common + 1], &w->committed[common + 1])) {
        common++;
    }
    trace("recovered: %" PRIu64 " of %" PRIu64 " are left", common, w->committed_end);
    for (uint64_t seq = common + 1; seq <= w->committed_end; seq++) {
        w->op_seq[w->committed[seq].op] = 0;
    }
    w->lost_past = true;
    w->lost_common = common;
    w->committed_end = common;
    w->acked_max = w->acked_max < common ? w->acked_max : common;
    w->read_max = w->read_max < common ? w->read_max : common;
    for (int slot = 0; slot < SLOTS; slot++) {
        check_past(&w->nodes[slot]);
    }
    clients_forget();
    w->history_count = 0;
}

/* Acknowledged is present on every later leader. */
void check_lead(const struct node *node)
{
    if (is_another_cluster(node->machine.disk.cluster)) {
        uint64_t first = node->first_seq;
        if (node->end_seq >= first && same_entry(&node->log[first], &w->committed[first])) {
            fail("node %d leads another cluster, with entries of this one", node->slot);
        }
        w->over = true;
        w->others++;
        return;
    }
    if (w->committed_end == 0) {
        memcpy(w->cluster, node->machine.disk.cluster, sizeof(w->cluster));
    }
    if (node->copy_of >= 0) {
        fail("node %d, a copied disk, leads", node->slot);
    }
    /* A loss was accepted without this one, then etcd lost that, too: nobody can have told it. */
    if (w->lost_past && w->etcd_set_back && node->end_seq < w->acked_max &&
        (node->of_lost_past || node->applied <= w->lost_common)) {
        w->over = true;
        w->others++;
        return;
    }
    if (node->machine.disk.half_copy) {
        fail("node %d leads with half a copy", node->slot);
    }
    if (w->recovering) {
        accept_loss(node);
        w->recovering = false;
    }
    if (node->end_seq < w->acked_max) {
        fail("node %d leads with a log up to %" PRIu64 "; acknowledged is %" PRIu64, node->slot,
             node->end_seq, w->acked_max);
        return;
    }
    for (uint64_t seq = 1; seq <= w->acked_max; seq++) {
        if (!same_entry(&node->log[seq], &w->committed[seq])) {
            fail("node %d leads without entry %" PRIu64 ", which was acknowledged", node->slot,
                 seq);
            return;
        }
    }
}

/* Nobody has to end, unless etcd was set back or a loss accepted, or empty nodes have founded
 * another cluster before its own was in etcd. */
void check_stopped(const struct node *node, const char *why)
{
    const struct keys *keys = w->etcd.keys;
    w->ended += node->copy_of < 0;
    if (w->etcd_set_back || w->lost_past || node->copy_of >= 0) {
        return;
    }
    if (keys->config.present && is_another_cluster(keys->config.value.cluster)) {
        w->over = true;
        w->others++;
        return;
    }
    fail("node %d ends: %s", node->slot, why);
}

/* Nobody is removed below min_in_sync, nor for a silence that was the leader's own pause. */
static void check_shrink(const struct node *node, const struct kt_cluster_config *config)
{
    size_t before = node->machine.disk.kept.in_sync_count;
    int64_t awake_ms = w->now_ms - node->paused_until_ms;
    int64_t slept_ms = node->paused_until_ms - node->paused_from_ms;
    if (config->in_sync_count >= before) {
        return;
    }
    if (config->in_sync_count < config->min_in_sync) {
        fail("node %d leaves %zu in sync", node->slot, config->in_sync_count);
    }
    if (slept_ms > w->options.lag_timeout_ms && awake_ms < w->options.lag_timeout_ms / 2 &&
        node->machine.won_ms < local_ms(node) - slept_ms) {
        fail("node %d removes a member %" PRId64 " ms after it woke", node->slot, awake_ms);
    }
}

/* Who founds a cluster has seen nobody with data. */
static void check_founding(const struct node *node)
{
    for (size_t i = 0; i < node->view.service_count; i++) {
        if (node->view.services[i].state != KT_STATE_EMPTY) {
            fail("node %d founds a cluster, and sees that %s has data", node->slot,
                 node->view.services[i].addr);
        }
    }
}

/* What a node is about to send. */
void check_txn(const struct node *node)
{
    const struct kt_machine_txn *txn = &node->machine.txn;
    if (!txn->is_campaign) {
        check_shrink(node, &txn->config);
    } else if (!node->machine.disk.cluster[0]) {
        check_founding(node);
    }
}

/* Who comes in has everything up to this epoch's epoch-start. */
void check_growth(const struct node *leader, const struct kt_cluster_config *config)
{
    uint64_t start = leader->machine.epoch_start_seq;
    if (!leader->alive || leader->machine.role != KT_M_LEADS ||
        leader->machine.disk.epoch != config->epoch) {
        return;
    }
    for (size_t i = 0; i < config->in_sync_count; i++) {
        int slot = slot_of_id(config->in_sync[i]);
        if (slot >= 0 &&
            !kt_cluster_config_in_sync(&leader->machine.disk.kept, config->in_sync[i]) &&
            (w->nodes[slot].synced_seq < start ||
             !same_entry(&w->nodes[slot].log[start], &leader->log[start]))) {
            fail("node %d comes in sync without the epoch-start %" PRIu64, slot, start);
        }
    }
}

/* What a lease clock says is certain: the lease has run out, and its node must know. */
void check_lease(int slot, int64_t lease)
{
    const struct node *node = &w->nodes[slot];
    if (node->alive && node->machine.role == KT_M_LEADS && node->lease.id == lease &&
        local_ms(node) < node->lease.end_ms) {
        fail("node %d leads by a lease that has run out", slot);
    }
}

/* One leader commits in an epoch. After etcd was set back a number may come again, with another
 * epoch_id. */
static void check_epoch(const struct node *node)
{
    uint64_t epoch = node->machine.disk.epoch;
    for (size_t i = 0; i < w->epoch_leader_count; i++) {
        if (w->epoch_leaders[i].epoch == epoch) {
            if (strcmp(w->epoch_leaders[i].id, node->id) != 0 && !w->etcd_set_back) {
                fail("two leaders commit in epoch %" PRIu64 ": nodes %d and %d", epoch,
                     slot_of_id(w->epoch_leaders[i].id), node->slot);
            }
            return;
        }
    }
    if (w->epoch_leader_count < EPOCHS_MAX) {
        w->epoch_leaders[w->epoch_leader_count].epoch = epoch;
        memcpy(w->epoch_leaders[w->epoch_leader_count++].id, node->id, sizeof(node->id));
    }
}

static void take_committed(const struct node *node, uint64_t seq)
{
    const struct entry *entry = &node->log[seq];
    w->committed[seq] = *entry;
    w->committed_end = seq;
    w->commits++;
    if (!entry->op) {
        return;
    }
    if (w->op_seq[entry->op]) {
        fail("write %u is done twice: %" PRIu64 " and %" PRIu64, entry->op, w->op_seq[entry->op],
             seq);
    }
    if (seq <= w->op_need[entry->op]) {
        fail("write %u is committed as %" PRIu64 ", and began when %" PRIu64 " was there",
             entry->op, seq, w->op_need[entry->op]);
    }
    if (w->op_refused[entry->op]) {
        fail("write %u was refused, and is committed as %" PRIu64, entry->op, seq);
    }
    w->op_seq[entry->op] = seq;
}

/* No committed entry changes, whoever says that it is committed. */
void check_commit(const struct node *node, uint64_t from, uint64_t to)
{
    if (node->machine.role == KT_M_LEADS && to >= from) {
        check_epoch(node);
        size_t kept = node->machine.disk.kept.in_sync_count;
        if (to < node->machine.epoch_start_seq) {
            fail("node %d commits %" PRIu64 " before its epoch-start %" PRIu64, node->slot, to,
                 node->machine.epoch_start_seq);
        }
        if (kept < node->machine.disk.kept.min_in_sync) {
            fail("node %d commits %" PRIu64 " with %zu in sync", node->slot, to, kept);
        }
    }
    for (uint64_t seq = from; seq <= to && !w->failed && !node->of_lost_past; seq++) {
        if (seq > w->committed_end) {
            take_committed(node, seq);
        } else if (!same_entry(&node->log[seq], &w->committed[seq])) {
            fail("node %d commits entry %" PRIu64 " as write %u of epoch %" PRIu64
                 "; it was write %u of epoch %" PRIu64,
                 node->slot, seq, node->log[seq].op, node->log[seq].epoch, w->committed[seq].op,
                 w->committed[seq].epoch);
        }
    }
}

void check_ack(uint32_t op, uint64_t seq, uint64_t need)
{
    if (seq > w->committed_end || w->committed[seq].op != op) {
        fail("write %u is acknowledged as %" PRIu64 ", where it is not", op, seq);
    } else if (seq <= need && seq != 0) {
        fail("write %u began when %" PRIu64 " was acknowledged, and is %" PRIu64, op, need, seq);
    }
}

/* Never below what it has committed itself: such a node has diverged, and must say so. */
void check_cut(const struct node *node, uint64_t seq)
{
    if (seq < node->applied) {
        fail("node %d cuts behind %" PRIu64 ", and has committed up to %" PRIu64, node->slot, seq,
             node->applied);
    }
}

/* --- liveness --- */

static bool can_lead(const struct node *node)
{
    return node->there && node->copy_of < 0 && node->alive && !node->machine.ended_why[0] &&
           node->electable && !node->machine.disk.half_copy;
}

static bool is_newer(const struct kt_cluster_config *a, const struct kt_cluster_config *b)
{
    return a->epoch > b->epoch || (a->epoch == b->epoch && a->version > b->version);
}

static const struct kt_machine_disk *newest_kept(void)
{
    const struct kt_machine_disk *newest = NULL;
    for (int slot = 0; slot < SLOTS; slot++) {
        const struct node *node = &w->nodes[slot];
        if (node->there && node->copy_of < 0 && !node->machine.ended_why[0] &&
            node->disk.kept.version && (!newest || is_newer(&node->disk.kept, &newest->kept))) {
            newest = &node->disk;
        }
    }
    return newest;
}

/* Is the set that must be there: one of in_sync where a configuration stands, else the whole union
 * of the newest kept one and somebody of it to lead; and min_in_sync that can be in sync? */
bool is_set_there(void)
{
    const struct keys *keys = w->etcd.keys;
    const struct kt_machine_disk *newest = newest_kept();
    size_t leaders = 0, gone = 0, able = 0;
    bool usable = keys->config.present && !(newest && is_newer(&newest->kept, &keys->config.value));
    if (!usable && !newest) {
        return true; /* all are empty: they found a cluster */
    }
    const struct kt_cluster_config *config = usable ? &keys->config.value : &newest->kept;
    for (size_t i = 0; i < config->in_sync_count; i++) {
        int slot = slot_of_id(config->in_sync[i]);
        leaders += slot >= 0 && can_lead(&w->nodes[slot]);
        gone += slot < 0 || w->nodes[slot].machine.ended_why[0];
    }
    for (int keeper = 0; !usable && keeper < SLOTS; keeper++) {
        const struct kt_machine_disk *disk = &w->nodes[keeper].disk;
        bool same = w->nodes[keeper].there && disk->kept.epoch == newest->kept.epoch &&
                    disk->kept.version == newest->kept.version;
        for (size_t i = 0; same && i < disk->growth.count; i++) {
            int slot = slot_of_id(disk->growth.ids[i]);
            leaders += slot >= 0 && can_lead(&w->nodes[slot]);
            gone += slot < 0 || w->nodes[slot].machine.ended_why[0];
        }
    }
    for (int slot = 0; slot < SLOTS; slot++) {
        const struct node *node = &w->nodes[slot];
        able += node->there && node->copy_of < 0 && node->electable && !node->machine.ended_why[0];
    }
    return leaders > 0 && able >= config->min_in_sync && (usable || gone == 0);
}

/* Who may be in sync is, when there was time enough. */
void check_gets_in_sync(int slot)
{
    const struct node *node = &w->nodes[slot];
    const struct kt_cluster_config *config = &w->etcd.keys->config.value;
    if (can_lead(node) && config->in_sync_count < 3 &&
        !kt_cluster_config_in_sync(config, node->id)) {
        fail("node %d does not get in sync", slot);
    }
}

bool all_caught_up(void)
{
    int leader = leader_slot();
    for (int slot = 0; slot < SLOTS && leader >= 0; slot++) {
        const struct node *node = &w->nodes[slot];
        if (node->there && node->copy_of < 0 && !node->machine.ended_why[0] &&
            (!node->alive || node->applied + 50 < w->nodes[leader].applied)) {
            return false;
        }
    }
    return leader >= 0;
}

void note_done(const struct client *client, uint64_t revision, uint32_t key, uint32_t value)
{
    if (w->history_count < HISTORY_MAX) {
        w->history[w->history_count].began = client->began;
        w->history[w->history_count].ended = ++w->orders;
        w->history[w->history_count].revision = revision;
        w->history[w->history_count].key = key;
        w->history[w->history_count].value = value;
        w->history[w->history_count++].is_write = client->kind == OP_WRITE;
    }
}

static int by_moment(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The history of the clients is linearizable: the log gives an order, and it is one that fits. Each
 * operation comes behind all that were done before it began, and each read sees in its register
 * the newest write before its place. */
static void check_history(void)
{
    struct moment {
        uint64_t at;
        size_t which;
        bool ends;
    } *moments = malloc((2 * w->history_count + 1) * sizeof(*moments));
    uint64_t done = 0;
    KT_ASSERT(moments);
    for (size_t i = 0; i < w->history_count; i++) {
        moments[2 * i] = (struct moment){.at = w->history[i].began, .which = i};
        moments[2 * i + 1] = (struct moment){.at = w->history[i].ended, .which = i, .ends = true};
    }
    qsort(moments, 2 * w->history_count, sizeof(*moments), by_moment);
    uint64_t *floors = calloc(w->history_count + 1, sizeof(*floors));
    KT_ASSERT(floors);
    for (size_t i = 0; i < 2 * w->history_count && !w->failed; i++) {
        size_t which = moments[i].which;
        uint64_t revision = w->history[which].revision;
        if (!moments[i].ends) {
            floors[which] = done;
            continue;
        }
        if (revision < floors[which] + w->history[which].is_write) {
            fail("an operation at revision %" PRIu64 " began when %" PRIu64 " was done", revision,
                 floors[which]);
        }
        done = revision > done ? revision : done;
    }
    free(floors);
    free(moments);
}

static void check_registers(void)
{
    for (size_t i = 0; i < w->history_count && !w->failed; i++) {
        uint32_t value = 0;
        uint64_t seq = w->history[i].revision;
        if (w->history[i].is_write) {
            continue;
        }
        while (seq > 0 && !value) {
            uint32_t op = w->committed[seq--].op;
            value = op && op % KEYS == w->history[i].key ? op : 0;
        }
        if (value != w->history[i].value) {
            fail("a read at revision %" PRIu64 " sees write %u in register %u, where %u is",
                 w->history[i].revision, w->history[i].value, w->history[i].key, value);
        }
    }
}

static void check_data(const struct node *node)
{
    if (node->of_lost_past || node->machine.disk.half_copy) {
        return;
    }
    for (uint64_t seq = node->first_seq; seq <= node->applied; seq++) {
        if (!same_entry(&node->log[seq], &w->committed[seq])) {
            fail("node %d has another entry %" PRIu64 " than was committed", node->slot, seq);
            return;
        }
    }
}

static void check_node_at_end(const struct node *node, const struct node *leader)
{
    if (!node->alive || node->machine.ended_why[0]) {
        return;
    }
    if (node->applied + 200 < leader->applied) {
        fail("node %d does not catch up: %" PRIu64 " of %" PRIu64 " (%s)", node->slot,
             node->applied, leader->applied, node->machine.waiting_for);
    }
    if (w->now_ms > w->healed_ms + 8000 && !w->short_end && !w->options.scenario) {
        check_gets_in_sync(node->slot);
    }
    check_data(node);
}

/* After the last fault: writes are taken again, and who is there has the same data. */
void check_end(void)
{
    if (w->failed || w->over) {
        return;
    }
    check_history();
    check_registers();
    int leader = leader_slot();
    if (!w->first_ack_ms) {
        const char *why = "";
        for (int slot = 0; slot < SLOTS; slot++) {
            if (w->nodes[slot].alive && w->nodes[slot].machine.waiting_for[0]) {
                trace("node %d waits for %s", slot, w->nodes[slot].machine.waiting_for);
                why = w->nodes[slot].machine.waiting_for;
            }
        }
        fail("no write is taken after the last fault (waiting for %s)", why);
        return;
    }
    /* ttl + 1.5 s is the mark for the 99th percentile; a run by itself may be unlucky: who
     * is needed may have to take a copy first, and that may have begun on a slow wire. */
    int64_t waited_ms = w->first_ack_ms - w->healed_ms;
    if (waited_ms > (int64_t)w->options.ttl_s * 1000 + 4000 + w->copy_rest_ms) {
        fail("writes are taken only %" PRId64 " ms after the last fault", waited_ms);
    }
    if (w->forgotten[0] && kt_cluster_config_member(&w->etcd.keys->config.value, w->forgotten)) {
        fail("a forgotten node is still a member");
    }
    for (int slot = 0; slot < SLOTS && leader >= 0; slot++) {
        if (w->nodes[slot].there && w->nodes[slot].copy_of < 0) {
            check_node_at_end(&w->nodes[slot], &w->nodes[leader]);
        }
    }
}

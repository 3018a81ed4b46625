/* SPDX-License-Identifier: MIT */
/* Single faults, of nodes, links and etcd. */
#include "plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void at(int64_t delay_ms, uint64_t what)
{
    post(delay_ms, EV_FAULT, -1, NULL)->number = what;
}

static int some_node(void)
{
    int leader = leader_slot();
    if (leader >= 0 && one_in(2)) {
        return leader;
    }
    for (;;) {
        int slot = (int)between(0, SLOTS - 1);
        if (w->nodes[slot].there) {
            return slot;
        }
    }
}

void cut_link(int from, int to, int64_t for_ms)
{
    trace("link   %d -> %d is cut for %" PRId64 " ms", from, to, for_ms);
    w->cut_until_ms[from][to] = w->now_ms + for_ms;
}

static void cut_both(int a, int b, int64_t for_ms)
{
    int64_t way = between(0, 3);
    if (way != 1) {
        cut_link(a, b, for_ms);
    }
    if (way != 2) {
        cut_link(b, a, for_ms);
    }
}

void isolate(int slot, int64_t for_ms)
{
    for (int other = 0; other < SLOTS; other++) {
        if (other != slot && w->nodes[other].there) {
            cut_link(slot, other, for_ms);
            cut_link(other, slot, for_ms);
        }
    }
}

void kill_node(int slot, int64_t for_ms)
{
    node_crash(slot);
    at(for_ms, DO_START + (uint64_t)slot);
}

void kill_all_but(int slot_left, int64_t for_ms)
{
    for (int slot = 0; slot < SLOTS; slot++) {
        if (w->nodes[slot].there && slot != slot_left) {
            kill_node(slot, for_ms);
        }
    }
}

void pause_node(int slot, int64_t for_ms)
{
    trace("node %d is paused for %" PRId64 " ms", slot, for_ms);
    if (w->now_ms >= w->nodes[slot].paused_until_ms) {
        w->nodes[slot].paused_from_ms = w->now_ms;
    }
    if (w->nodes[slot].paused_until_ms < w->now_ms + for_ms) {
        w->nodes[slot].paused_until_ms = w->now_ms + for_ms;
    }
}

static void hand_over(int slot)
{
    int target = (int)between(0, SLOTS - 1);
    if (w->nodes[target].there && target != slot) {
        node_hand_over(slot, w->nodes[target].id);
    }
}

void stop_node(int slot, int64_t for_ms)
{
    int target = (int)between(0, SLOTS - 1);
    bool handed = w->nodes[target].there && target != slot && one_in(2);
    node_stop(slot, handed ? w->nodes[target].id : NULL);
    at(for_ms, DO_START + (uint64_t)slot);
}

/* Only where everybody keeps a configuration newer than the backup: a node that was away and keeps
 * none cannot know what the backup lacks. */
static bool may_restore(void)
{
    for (int slot = 0; slot < SLOTS; slot++) {
        const struct node *node = &w->nodes[slot];
        if (node->there && (!node->alive || !w->etcd.backup || w->now_ms < node->paused_until_ms ||
                            !w->etcd.keys->config.present ||
                            node->disk.kept.version != w->etcd.keys->config.value.version ||
                            node->disk.kept.version <= w->etcd.backup->config.value.version)) {
            return false;
        }
    }
    return true;
}

static void wipe_node(int slot)
{
    if (!w->node_wiped && w->options.nodes >= 3 && w->nodes[slot].copy_of < 0) {
        node_wipe(slot);
        at(between(50, 4000), DO_START + (uint64_t)slot);
    }
}

static void join(void)
{
    int slot = w->options.nodes;
    if (slot < SLOTS - 1 && !w->nodes[slot].there) {
        trace("node %d joins", slot);
        node_init(slot);
        node_start(slot);
    }
}

/* A follower falls out and comes back while calls to etcd go wrong; then something happens to the
 * leader, to etcd, or to both: what was sent may have come to pass. */
static void around_growth(void)
{
    int leader = leader_slot();
    if (leader < 0) {
        return;
    }
    int follower = (leader + (int)between(1, w->options.nodes)) % w->options.nodes;
    int64_t out_ms = w->options.lag_timeout_ms + between(200, 1500);
    if (follower != leader) {
        isolate(follower, out_ms);
    }
    at(out_ms + between(-300, 50), DO_FAULT + FAULT_FLAKY);
    static const enum fault then[] = {FAULT_KILL,     FAULT_ETCD_WIPE, FAULT_PAUSE,
                                      FAULT_REVOKE,   FAULT_CUT_ETCD,  FAULT_WIPED_AND_AWAY,
                                      FAULT_HAND_OVER};
    at(out_ms + between(0, 1200), DO_FAULT + then[between(0, KT_ARRAY_LEN(then) - 1)]);
    if (one_in(2)) {
        at(out_ms + between(0, 2500), DO_FAULT + then[between(0, KT_ARRAY_LEN(then) - 1)]);
    }
}

/* The leader goes on among clients while others may go on without it. */
static void cut_off_leader(void)
{
    int leader = leader_slot();
    int64_t for_ms = (int64_t)w->options.ttl_s * 1000 + between(-800, 2500);
    if (leader < 0) {
        return;
    }
    if (one_in(4)) {
        /* Asleep with a call under way, and cut off when it wakes. */
        w->nodes[leader].pause_at_call_ms = between(300, 3000);
        at(1700, DO_FAULT + FAULT_CUT_ETCD);
        return;
    }
    if (one_in(4)) {
        /* Nobody hears it for so long that no promise holds; then its lease is dropped. */
        isolate(leader, for_ms + 3000);
        w->nodes[leader].late_views_until_ms = w->now_ms + for_ms + 3000;
        at((int64_t)w->options.ttl_s * 1000 + between(0, 800), DO_FAULT + FAULT_REVOKE);
        return;
    }
    if (one_in(2)) {
        cut_both(leader, ETCD, for_ms);
    } else {
        w->nodes[leader].late_views_until_ms = w->now_ms + for_ms;
        etcd_revoke_of(leader);
    }
    if (one_in(2)) {
        isolate(leader, for_ms + between(-500, 500));
    } else if (one_in(2)) {
        kill_node((leader + 1) % w->options.nodes, between(20, 1000));
    }
    if (one_in(3)) {
        w->flaky_until_ms = w->now_ms + for_ms;
    }
}

/* The disk of etcd is lost, and some nodes are not there to say what they keep. */
static void wiped_and_away(void)
{
    int64_t for_ms = 2 * (int64_t)w->options.ttl_s * 1000 + between(0, 3000);
    int first = some_node(), second = some_node();
    kill_node(first, for_ms);
    if (one_in(3) && second != first) {
        kill_node(second, between(50, for_ms));
    }
    etcd_wipe();
}

/* A second node with the identity of a living one. */
static void copy_disk(int of)
{
    const struct node *node = &w->nodes[of];
    if (w->nodes[SLOTS - 1].there || !node->alive || node->copy_of >= 0 || node->withdrawn ||
        w->now_ms < node->paused_until_ms || node->machine.ended_why[0] || !node->disk.cluster[0]) {
        return;
    }
    for (size_t i = 0; i < w->etcd.keys->service_count; i++) {
        if (w->etcd.keys->services[i].lease == node->lease.id && node->lease.id) {
            node_copy_disk(SLOTS - 1, of);
            return;
        }
    }
}

/* The only one in sync goes away, and the loss of what it alone has is accepted. */
void lose_last(int leader, int64_t for_ms)
{
    for (int slot = 0; slot < w->options.nodes; slot++) {
        if (slot != leader) {
            isolate(slot, w->options.lag_timeout_ms + 600);
        }
    }
    at(w->options.lag_timeout_ms + between(500, 900), DO_KILL_LEADER);
    at(w->options.lag_timeout_ms + 1000 + (int64_t)w->options.ttl_s * 1000, DO_RECOVER);
    w->away_ms = for_ms + 2 * (int64_t)w->options.ttl_s * 1000;
}

/* Of one node, or of its links. False: another kind. */
static bool do_node_fault(enum fault fault, int slot, int64_t for_ms)
{
    struct node *node = &w->nodes[slot];
    switch (fault) {
    case FAULT_KILL:
        kill_node(slot, for_ms);
        return true;
    case FAULT_PAUSE:
        pause_node(slot, for_ms);
        return true;
    case FAULT_CUT_PAIR:
        cut_both(slot, some_node(), for_ms);
        return true;
    case FAULT_ISOLATE:
        isolate(slot, for_ms);
        return true;
    case FAULT_CUT_ETCD:
        cut_both(slot, ETCD, for_ms);
        return true;
    case FAULT_REVOKE:
        etcd_revoke_of(slot);
        return true;
    case FAULT_STOP:
        stop_node(slot, for_ms);
        return true;
    case FAULT_HAND_OVER:
        hand_over(slot);
        return true;
    case FAULT_WIPE_NODE:
        wipe_node(slot);
        return true;
    case FAULT_CRASH_AT_PERSIST:
        node->crash_in = (int)between(1, 5);
        return true;
    case FAULT_SLOW_DISK:
        trace("node %d has a slow disk for %" PRId64 " ms", slot, for_ms);
        node->slow_disk_until_ms = w->now_ms + for_ms;
        return true;
    case FAULT_LATE_VIEWS:
        trace("node %d sees etcd late for %" PRId64 " ms", slot, for_ms);
        node->late_views_until_ms = w->now_ms + for_ms;
        return true;
    case FAULT_FAIL_SYNC:
        node->fail_sync = true;
        return true;
    default:
        return false;
    }
}

static void kill_all(void)
{
    for (int slot = 0; slot < SLOTS; slot++) {
        if (w->nodes[slot].there) {
            kill_node(slot, between(50, 3000));
        }
    }
}

void do_fault(enum fault fault)
{
    int slot = some_node();
    int64_t for_ms = one_in(3) ? between(3000, 9000) : between(50, 3000);
    if (do_node_fault(fault, slot, for_ms)) {
        return;
    }
    switch (fault) {
    case FAULT_ETCD_DOWN:
        if (!w->etcd.down) {
            etcd_set_down(true);
            at(for_ms, DO_ETCD_UP);
        }
        break;
    case FAULT_ETCD_WIPE:
        if (one_in(2)) {
            kill_node(slot, for_ms);
        }
        etcd_wipe();
        break;
    case FAULT_LOSSY:
        trace("network is bad for %" PRId64 " ms", for_ms);
        w->lossy_until_ms = w->now_ms + for_ms;
        break;
    case FAULT_FLAKY:
        trace("calls to etcd go bad for %" PRId64 " ms", for_ms);
        w->flaky_until_ms = w->now_ms + for_ms;
        break;
    case FAULT_RESTORE:
        if (may_restore()) {
            etcd_restore();
        }
        break;
    case FAULT_JOIN:
        join();
        break;
    case FAULT_KILL_ALL:
        kill_all();
        break;
    case FAULT_AROUND_GROWTH:
        around_growth();
        break;
    case FAULT_CUT_OFF_LEADER:
        cut_off_leader();
        break;
    case FAULT_COPY_DISK:
        copy_disk(slot);
        break;
    case FAULT_RECOVER:
        if (leader_slot() >= 0) {
            lose_last(leader_slot(), for_ms);
        }
        break;
    case FAULT_FORGET:
        if (leader_slot() >= 0 && leader_slot() != slot) {
            kill_node(slot, 2000 + for_ms);
            memcpy(w->dropped, w->nodes[slot].id, sizeof(w->dropped));
            at(between(50, 2500), DO_FORGET);
        }
        break;
    default:
        wiped_and_away();
        break;
    }
}

void plan_faults(int64_t from_ms)
{
    int64_t count = between(1, 7), span_ms = between(1000, 16000);
    /* Swarm (Groce et al., ISSTA '12): each run draws from a few kinds only. */
    int kinds[3];
    for (int i = 0; i < 3; i++) {
        kinds[i] = (int)between(0, FAULT_COUNT - 1);
    }
    for (int64_t i = 0; i < count; i++) {
        int kind = one_in(4) ? (int)between(0, FAULT_COUNT - 1) : kinds[between(0, 2)];
        at(from_ms + between(0, span_ms), DO_FAULT + (uint64_t)kind);
    }
    at(from_ms + between(0, span_ms), DO_BACK_UP);
    int64_t heal_ms = from_ms + span_ms + between(0, 4000);
    at(heal_ms, DO_HEAL);
    /* Pauses go on behind it; a ttl to notice, one to settle. */
    w->end_ms = heal_ms + 9000 + 4 * (int64_t)w->options.ttl_s * 1000;
}

/* SPDX-License-Identifier: MIT */
/* Which faults come when: by chance, or one scenario after a quiet beginning. */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum fault {
    FAULT_KILL,
    FAULT_PAUSE,
    FAULT_CUT_PAIR,
    FAULT_ISOLATE,
    FAULT_CUT_ETCD,
    FAULT_ETCD_DOWN,
    FAULT_ETCD_WIPE,
    FAULT_REVOKE,
    FAULT_LOSSY,
    FAULT_FLAKY,
    FAULT_STOP,
    FAULT_HAND_OVER,
    FAULT_WIPE_NODE,
    FAULT_CRASH_AT_PERSIST,
    FAULT_SLOW_DISK,
    FAULT_LATE_VIEWS,
    FAULT_FAIL_SYNC,
    FAULT_RESTORE,
    FAULT_JOIN,
    FAULT_KILL_ALL,
    FAULT_AROUND_GROWTH,
    FAULT_CUT_OFF_LEADER,
    FAULT_WIPED_AND_AWAY,
    FAULT_COUNT
};
#define DO_START 1000 /* + slot */
#define DO_ETCD_UP 2000
#define DO_HEAL 3000
#define DO_BACK_UP 3001
#define DO_RECOVER 3002
#define DO_FORGET 3003
#define DO_WIPE 3100  /* + slot */
#define DO_FAULT 4000 /* + fault; chance picks the rest */
#define DO_SCENARIO 5000
#define DO_STORY 6000 /* + story + 100 * part */

static const char *const scenario_names[SCENARIOS] = {"faults by chance",
                                                      "leader killed",
                                                      "leader killed, restarted at once",
                                                      "leader paused 3 s",
                                                      "leader paused 8 s",
                                                      "leader paused 20 s",
                                                      "leader cut from etcd",
                                                      "leader cut from followers",
                                                      "etcd down 3 s",
                                                      "etcd down 20 s",
                                                      "etcd wiped",
                                                      "all killed",
                                                      "all stopped cleanly",
                                                      "rolling restart",
                                                      "two killed",
                                                      "leader stopped",
                                                      "handover",
                                                      "first start, expect 1",
                                                      "first start, expect 3",
                                                      "follower wiped",
                                                      "last in sync wiped, recovered"};

const char *scenario_name(int scenario)
{
    return scenario_names[scenario];
}

static void at(int64_t delay_ms, uint64_t what)
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

static void cut_link(int from, int to, int64_t for_ms)
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

static void isolate(int slot, int64_t for_ms)
{
    for (int other = 0; other < SLOTS; other++) {
        if (other != slot && w->nodes[other].there) {
            cut_link(slot, other, for_ms);
            cut_link(other, slot, for_ms);
        }
    }
}

static void kill_node(int slot, int64_t for_ms)
{
    node_crash(slot);
    at(for_ms, DO_START + (uint64_t)slot);
}

static void pause_node(int slot, int64_t for_ms)
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

static void stop_node(int slot, int64_t for_ms)
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
    if (!w->node_wiped && w->options.nodes >= 3) {
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

static void do_fault(enum fault fault)
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
    default:
        wiped_and_away();
        break;
    }
}

/* --- scenarios --- */

static void all(bool cleanly, int64_t for_ms)
{
    for (int slot = 0; slot < SLOTS; slot++) {
        if (w->nodes[slot].there && cleanly) {
            node_stop(slot, NULL);
            at(for_ms, DO_START + (uint64_t)slot);
        } else if (w->nodes[slot].there) {
            kill_node(slot, for_ms);
        }
    }
}

static void roll(uint64_t slot)
{
    if (slot < (uint64_t)w->options.nodes) {
        stop_node((int)slot, 300);
        at(1500, DO_SCENARIO + 100 + slot + 1);
    }
}

/* An operator tells every node; the highest registered acts on it. */
static void recover(void)
{
    w->recovering = true;
    for (int slot = 0; slot < SLOTS; slot++) {
        if (w->nodes[slot].there) {
            node_recover(slot);
        }
    }
}

/* Returns how long until the last fault is over. */
static int64_t do_scenario(int scenario)
{
    int leader = leader_slot();
    int other = (leader + 1) % w->options.nodes;
    if (leader < 0) {
        return 0;
    }
    switch (scenario) {
    case 1:
        kill_node(leader, 12000);
        return 0;
    case 2:
        kill_node(leader, 20);
        return 20;
    case 3:
    case 4:
    case 5:
        pause_node(leader, scenario == 3 ? 3000 : scenario == 4 ? 8000 : 20000);
        return 0;
    case 6:
        cut_link(leader, ETCD, 12000);
        cut_link(ETCD, leader, 12000);
        return 0;
    case 7:
        isolate(leader, 5000);
        /* It keeps its lease: with two to be in sync nobody takes writes until it is back. */
        return w->options.min_in_sync > 1 ? 5000 : 0;
    case 8:
    case 9:
        etcd_set_down(true);
        at(scenario == 8 ? 3000 : 20000, DO_ETCD_UP);
        return scenario == 8 ? 3000 : 20000;
    case 10:
        etcd_wipe();
        return 0;
    case 11:
        all(false, 100);
        return 100;
    case 12:
        all(true, 2000);
        return 2000;
    case 13:
        roll(0);
        return 1500 * (w->options.nodes - 1) + 300;
    case 14:
        kill_node(other, 3000);
        kill_node(leader, 3000);
        return 3000;
    case 15:
        node_stop(leader, NULL);
        return 0;
    case 16:
        node_hand_over(leader, w->nodes[other].id);
        return 0;
    case 19:
        memcpy(w->forgotten, w->nodes[other].id, sizeof(w->forgotten));
        node_wipe(other);
        at(100, DO_START + (uint64_t)other);
        at(4000, DO_FORGET);
        return 100;
    case 20:
        /* The others fall out of sync, then the one that is left loses its disk. */
        for (int slot = 0; slot < w->options.nodes; slot++) {
            if (slot != leader) {
                kill_node(slot, 2500);
            }
        }
        at(2300, DO_WIPE + (uint64_t)leader);
        at(12000, DO_RECOVER);
        return 12000;
    default:
        return 0;
    }
}

static void start_or_wait(int slot)
{
    if (w->nodes[slot].alive && w->nodes[slot].machine.stopping) {
        at(50, DO_START + (uint64_t)slot); /* not gone yet */
    }
    node_start(slot);
}

static void heal(void)
{
    trace("everything is healed");
    memset(w->cut_until_ms, 0, sizeof(w->cut_until_ms));
    w->lossy_until_ms = w->flaky_until_ms = w->kill_at_growth_ms = 0;
    w->late_growth_ms = w->late_campaign_ms = 0;
    if (w->etcd.down) {
        etcd_set_down(false);
    }
    for (int slot = 0; slot < SLOTS; slot++) {
        struct node *node = &w->nodes[slot];
        if (node->there) {
            node->slow_disk_until_ms = node->late_views_until_ms = 0;
            node->crash_in = 0;
            node->blind_until_ms = 0;
            node->pause_at_call_ms = 0;
            node->fail_sync = false;
            start_or_wait(slot);
        }
    }
    w->healed_ms = w->now_ms;
    for (int slot = 0; slot < SLOTS; slot++) {
        if (w->nodes[slot].paused_until_ms > w->healed_ms) {
            w->healed_ms = w->nodes[slot].paused_until_ms;
        }
    }
}

void growth_came_to_pass(int leader)
{
    if (w->kill_at_growth_ms) {
        kill_node(leader, w->kill_at_growth_ms);
        w->kill_at_growth_ms = 0;
    }
}

/* Who was to come in is cut off, but for etcd, as soon as it is under way. */
void growth_is_late(void)
{
    for (int slot = 0; slot < SLOTS; slot++) {
        if (w->nodes[slot].there && slot != leader_slot() &&
            !kt_cluster_config_in_sync(&w->etcd.keys->config.value, w->nodes[slot].id)) {
            isolate(slot, 3 * (int64_t)w->options.ttl_s * 1000);
        }
    }
}

/* --- stories: what chance brings together too seldom --- */

enum story {
    /* A growth comes to pass as its leader dies; the member that it added leads; then etcd loses
     * its disk and that one is away: the first leader must know that it may not begin alone. */
    STORY_GROWN_AND_WIPED,
    /* A new leader dies as its first growth comes to pass. */
    STORY_GROWN_TOO_SOON,
    /* The lease of a living leader is dropped and it does not see it; a follower restarts. */
    STORY_DROPPED_AND_RESTARTED,
    /* The same, and the followers' campaigns are late. */
    STORY_DROPPED_AND_LATE,
    /* A growth is under way for longer than its call, its member is cut off meanwhile, and the
     * leader dies as it comes to pass. */
    STORY_LATE_GROWTH,
    /* The leader is unheard for longer than a promise, then its lease is dropped. */
    STORY_UNHEARD,
    STORY_COUNT
};

static void drop_leader_unseen(int leader, int64_t unseen_ms)
{
    w->nodes[leader].blind_until_ms = w->now_ms + unseen_ms;
    etcd_revoke_of(leader);
}

/* Unheard, and unable to remove anybody; then dropped. */
static void tell_unheard(enum story story, int part, int leader, uint64_t next)
{
    int ttl_ms = w->options.ttl_s * 1000;
    if (part > 0) {
        drop_leader_unseen(leader, 3000);
        return;
    }
    isolate(leader, ttl_ms + between(0, 600));
    at(ttl_ms - between(0, 400), next);
    w->nodes[leader].late_views_until_ms = w->now_ms + 2 * ttl_ms;
    w->late_campaign_ms = story == STORY_UNHEARD ? 0 : between(200, 900);
}

static void tell_story(enum story story, int part)
{
    int leader = leader_slot(), ttl_ms = w->options.ttl_s * 1000;
    if (leader < 0 || w->healed_ms) {
        return;
    }
    int other = (leader + (int)between(1, w->options.nodes)) % w->options.nodes;
    uint64_t next = DO_STORY + (uint64_t)story + 100 * ((uint64_t)part + 1);
    switch (story) {
    case STORY_GROWN_AND_WIPED:
        if (part == 0 && w->options.nodes > 1) {
            isolate(other, w->options.lag_timeout_ms + 700);
            w->kill_at_growth_ms = ttl_ms * 2 + between(0, 1500);
            at(ttl_ms * 2 - between(0, 500), next);
        } else if (part == 1) {
            kill_node(leader, 3 * ttl_ms);
            etcd_wipe();
        }
        break;
    case STORY_GROWN_TOO_SOON:
        kill_node(leader, 3 * ttl_ms);
        w->kill_at_growth_ms = 3 * ttl_ms;
        for (int slot = 0; slot < w->options.nodes; slot++) {
            w->nodes[slot].slow_disk_until_ms = one_in(2) ? w->now_ms + 2 * ttl_ms : 0;
        }
        break;
    case STORY_LATE_GROWTH:
        isolate(other, w->options.lag_timeout_ms + 700);
        w->late_growth_ms = between(1100, 3500);
        w->kill_at_growth_ms = 3 * ttl_ms;
        break;
    case STORY_DROPPED_AND_RESTARTED:
        drop_leader_unseen(leader, 3000);
        if (other != leader) {
            kill_node(other, between(10, 60));
        }
        break;
    case STORY_DROPPED_AND_LATE:
    case STORY_UNHEARD:
        tell_unheard(story, part, leader, next);
        break;
    case STORY_COUNT:
        break;
    }
}

void take_fault(const struct event *event)
{
    uint64_t what = event->number;
    if (what >= DO_STORY) {
        tell_story((enum story)((what - DO_STORY) % 100), (int)((what - DO_STORY) / 100));
    } else if (what >= DO_SCENARIO + 100) {
        roll(what - DO_SCENARIO - 100);
    } else if (what >= DO_SCENARIO) {
        int64_t over_ms = do_scenario((int)(what - DO_SCENARIO));
        w->healed_ms = w->now_ms + over_ms;
        w->last_ack_ms = w->now_ms;
    } else if (what >= DO_FAULT) {
        if (!w->healed_ms) {
            do_fault((enum fault)(what - DO_FAULT));
        }
    } else if (what >= DO_WIPE) {
        node_wipe((int)(what - DO_WIPE));
        at(100, DO_START + what - DO_WIPE);
    } else if (what == DO_RECOVER) {
        recover();
    } else if (what == DO_FORGET) {
        if (leader_slot() >= 0) {
            node_forget(leader_slot(), w->forgotten);
        }
    } else if (what == DO_BACK_UP) {
        etcd_back_up();
    } else if (what == DO_HEAL) {
        heal();
    } else if (what == DO_ETCD_UP) {
        if (w->etcd.down) {
            etcd_set_down(false);
        }
    } else if (what >= DO_START && what < DO_START + SLOTS) {
        start_or_wait((int)(what - DO_START));
    }
}

static void choose_options(void)
{
    struct options *options = &w->options;
    static const int counts[] = {3, 3, 3, 3, 2, 4, 5, 1};
    options->ttl_s = 5;
    options->story = -1;
    options->lag_timeout_ms = 1000;
    if (options->scenario) {
        options->nodes = 3;
        options->min_in_sync = options->min_in_sync ? options->min_in_sync : 1;
        options->expect = options->scenario == 17 ? 1 : 3;
        return;
    }
    options->nodes = counts[between(0, 7)];
    options->ttl_s = (int)between(3, 5);
    options->min_in_sync = options->nodes > 1 && one_in(3) ? 2 : 1;
    options->expect = one_in(3) ? 1 : options->nodes;
    options->log_keep = one_in(2) ? (uint64_t)between(5, 60) : 0;
    options->outsider = options->nodes >= 3 && one_in(4);
    if (one_in(4)) {
        options->story = (int)between(0, STORY_COUNT - 1);
        options->outsider = false;
    }
    if (options->story == STORY_UNHEARD || options->story == STORY_DROPPED_AND_LATE) {
        options->nodes = options->expect = 3; /* nobody can be removed */
        options->min_in_sync = 2;
    }
}

static void plan_faults(int64_t from_ms)
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

void plan_run(void)
{
    struct options *options = &w->options;
    choose_options();
    for (int slot = 0; slot < options->nodes; slot++) {
        node_init(slot);
        struct node *node = &w->nodes[slot];
        node->priority = options->scenario || one_in(2) ? 0 : (int32_t)between(0, 2);
        node->electable = options->scenario || slot < options->min_in_sync || !one_in(6);
        at(options->scenario ? 0 : between(0, one_in(3) ? 2000 : 100), DO_START + (uint64_t)slot);
    }
    int64_t from_ms = options->expect == 1 || options->expect != options->nodes
                          ? (int64_t)options->ttl_s * 1000 * 12 / 10 + 3500
                          : 3500;
    if (options->outsider) {
        isolate(options->nodes - 1, from_ms + between(0, 8000));
    }
    if (options->scenario == 17 || options->scenario == 18) {
        w->healed_ms = 1;
        w->end_ms = 20000;
        return;
    }
    w->first_fault_ms = from_ms;
    if (options->scenario) {
        at(from_ms + between(0, 3000), DO_SCENARIO + (uint64_t)options->scenario);
        w->end_ms =
            from_ms + 3000 + (options->scenario == 9 || options->scenario == 20 ? 35000 : 22000);
        return;
    }
    w->short_end = !one_in(5);
    if (options->story >= 0) {
        trace("story  %d", options->story);
        at(from_ms + between(0, 1000), DO_STORY + (uint64_t)options->story);
        at(from_ms + 22000, DO_HEAL);
        w->end_ms = from_ms + 31000 + 4 * (int64_t)options->ttl_s * 1000;
        return;
    }
    plan_faults(from_ms);
}

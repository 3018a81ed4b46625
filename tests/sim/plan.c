/* SPDX-License-Identifier: MIT */
/* Which faults come when: by chance, or one scenario after a quiet beginning. */
#include "plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

/* --- scenarios --- */

static void stop_all(int64_t for_ms)
{
    for (int slot = 0; slot < SLOTS; slot++) {
        if (w->nodes[slot].there) {
            node_stop(slot, NULL);
            at(for_ms, DO_START + (uint64_t)slot);
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

/* An operator asks some node, which passes it on to the one that would lead; again, until one does,
 * for views differ and nodes fall. */
static void recover(void)
{
    char missing[300], best[KT_ADDR_MAX] = "";
    if ((leader_slot() >= 0 && w->etcd.keys->leader.present) || w->now_ms < w->recover_again_ms) {
        return;
    }
    for (int slot = 0; slot < SLOTS && !best[0]; slot++) {
        const struct node *node = &w->nodes[slot];
        if (node->there && node->alive && node->copy_of < 0) {
            kt_machine_recovery(&node->machine, &node->view, missing, sizeof(missing), best);
        }
    }
    w->recover_again_ms = w->now_ms + (int64_t)w->options.ttl_s * 1000;
    at((int64_t)w->options.ttl_s * 1000, DO_RECOVER);
    if (best[0] && (missing[0] || w->operated)) {
        trace("operator accepts a loss, missing is %s", missing);
        bool refused = w->etcd.keys->leader.present; /* of one that is dead, but not for etcd */
        /* Who has come since may be the one that would lead, and has not been asked. */
        bool heard = w->asked && w->asked_slot == slot_of_addr(best);
        if (w->healed_ms && !w->first_ack_ms && !refused && !heard && !is_set_there()) {
            w->asked = true;
            w->asked_slot = slot_of_addr(best);
            w->operated = true; /* from here on it must go */
            w->healed_ms = w->now_ms;
        }
        w->recovering = true;
        w->recoveries++;
        node_recover(slot_of_addr(best));
    }
}

static void start_again(struct node *node)
{
    node_crash(node->slot);
    node_start(node->slot);
}

/* Where all that may lead have lost what they had, another may. False: nobody has anything. */
static bool let_all_lead(void)
{
    bool any = false;
    for (int slot = 0; slot < SLOTS; slot++) {
        const struct node *node = &w->nodes[slot];
        if (node->there && node->copy_of < 0 && node->disk.kept.version > 0 &&
            !node->disk.half_copy) {
            any = true;
            if (node->electable) {
                return true;
            }
        }
    }
    for (int slot = 0; slot < SLOTS; slot++) {
        struct node *node = &w->nodes[slot];
        if (node->there && node->copy_of < 0 && !node->electable) {
            node->electable = true;
            start_again(node);
        }
    }
    return any;
}

/* Long after everything was healed: who has ended is started again to take a copy, and what cannot
 * come back is given up. What can go on without this must have done so. */
static void operate(void)
{
    bool rejoins = false;
    if (w->first_ack_ms || w->over) {
        return;
    }
    if (is_set_there()) {
        fail("no write is taken, though all is there that must be");
        return;
    }
    for (int slot = 0; slot < SLOTS; slot++) {
        struct node *node = &w->nodes[slot];
        if (node->there && node->copy_of < 0 && node->machine.ended_why[0]) {
            rejoins = node->rejoin = true;
            start_again(node);
        }
    }
    if (!let_all_lead()) {
        w->over = true;
        w->all_lost++;
        return;
    }
    w->rejoins += rejoins;
    w->operated = true;
    w->healed_ms = w->now_ms;
    w->end_ms = w->now_ms + 9000 + 4 * (int64_t)w->options.ttl_s * 1000;
    recover();
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
        kill_all_but(-1, 100);
        return 100;
    case 12:
        stop_all(2000);
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
    if (w->nodes[slot].copy || (w->nodes[slot].alive && w->nodes[slot].machine.stopping)) {
        at(50, DO_START + (uint64_t)slot); /* not gone yet */
    }
    node_start(slot);
}

static void heal(void)
{
    trace("everything is healed");
    memset(w->cut_until_ms, 0, sizeof(w->cut_until_ms));
    w->lossy_until_ms = w->flaky_until_ms = w->kill_at_growth_ms = 0;
    w->late_growth_ms = w->late_campaign_ms = w->copy_delay_ms = w->kill_at_win_ms = 0;
    w->lonely_win = w->wipe_at_campaign = false;
    w->slow_slot = -1;
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
            int64_t rest_ms = node->receiving_until_ms - w->now_ms;
            if (node->alive && node->machine.copy_request && rest_ms > w->copy_rest_ms) {
                w->copy_rest_ms = rest_ms;
            }
            start_or_wait(slot);
        }
    }
    w->healed_ms = w->now_ms;
    for (int slot = 0; slot < SLOTS; slot++) {
        if (w->nodes[slot].paused_until_ms > w->healed_ms) {
            w->healed_ms = w->nodes[slot].paused_until_ms;
        }
    }
    at(w->healed_ms - w->now_ms + 2 * (int64_t)w->options.ttl_s * 1000 + 3000, DO_OPERATE);
}

void take_fault(const struct event *event)
{
    uint64_t what = event->number;
    if (what >= DO_SWAP) {
        node_finish_swap((int)(what - DO_SWAP));
    } else if (what >= DO_STORY) {
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
    } else if (what == DO_OPERATE) {
        operate();
    } else if (what == DO_WIPE_ETCD) {
        etcd_wipe();
    } else if (what == DO_KILL_LEADER) {
        if (leader_slot() >= 0 && !w->healed_ms) {
            kill_node(leader_slot(), w->away_ms);
        }
    } else if (what == DO_FORGET) {
        if (leader_slot() >= 0) {
            node_forget(leader_slot(), w->forgotten[0] ? w->forgotten : w->dropped);
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
    options->releases = one_in(4);
    options->standalone = one_in(25);
    if (one_in(4)) {
        options->story = (int)between(0, STORY_COUNT - 1);
        options->outsider = false;
    }
    if (options->story == STORY_UNHEARD || options->story == STORY_DROPPED_AND_LATE) {
        options->nodes = options->expect = 3; /* nobody can be removed */
        options->min_in_sync = 2;
    }
    if (options->story >= STORY_HALF_COPY && options->story != STORY_STEADY) {
        options->nodes = options->nodes < 3 ? 3 : options->nodes;
        options->expect = options->nodes;
        options->min_in_sync = 1;
    }
    options->log_keep = options->story == STORY_HALF_COPY ? 10
                        : options->story == STORY_STEADY  ? 0
                                                          : options->log_keep;
}

void plan_run(void)
{
    struct options *options = &w->options;
    choose_options();
    w->etcd.keys->revision = between(1, 3000); /* it is not only ours, and not new */
    for (int slot = 0; slot < options->nodes; slot++) {
        node_init(slot);
        struct node *node = &w->nodes[slot];
        node->priority = options->scenario || one_in(2) ? 0 : (int32_t)between(0, 2);
        node->electable = options->scenario || slot < options->min_in_sync || !one_in(6);
        at(options->scenario ? 0 : between(0, one_in(3) ? 2000 : 100), DO_START + (uint64_t)slot);
    }
    if (options->standalone) {
        node_write_alone(0, (uint64_t)between(1, 40));
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

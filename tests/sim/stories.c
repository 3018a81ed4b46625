/* SPDX-License-Identifier: MIT */
/* Stories: what chance brings together too seldom. */
#include "plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void growth_came_to_pass(int leader)
{
    if (w->kill_at_growth_ms) {
        /* In every second such run who was in sync before does not hear of it. */
        for (int slot = 0; slot < SLOTS && w->seed % 2; slot++) {
            if (w->options.story == STORY_GROWN_AND_WIPED && slot != leader &&
                kt_cluster_config_in_sync(&w->etcd.keys->config.value, w->nodes[slot].id)) {
                w->nodes[slot].blind_until_ms = w->now_ms + w->kill_at_growth_ms + 1000;
            }
        }
        kill_node(leader, w->kill_at_growth_ms);
        w->kill_at_growth_ms = 0;
    }
}

void win_came_to_pass(int winner)
{
    int64_t unseen_ms = 3 * (int64_t)w->options.ttl_s * 1000;
    if (w->healed_ms) {
        return;
    }
    if (w->kill_at_win_ms) {
        kill_all_but(w->story_slot, w->kill_at_win_ms);
        w->kill_at_win_ms = 0;
    }
    if (w->lonely_win) {
        w->lonely_win = false;
        isolate(winner, unseen_ms);
        for (int slot = 0; slot < SLOTS; slot++) {
            if (slot != winner) {
                w->nodes[slot].blind_until_ms = w->now_ms + unseen_ms;
            }
        }
        w->story_slot = winner;
        at(between(200, 700), DO_STORY + STORY_REUSED_EPOCH + 100);
    }
    if (w->options.story == STORY_CAMPAIGN_OVER_WIPE && w->story_slot >= 0 &&
        winner != w->story_slot) {
        isolate(winner, unseen_ms); /* so that its configuration stays as it is */
        w->away_ms = unseen_ms;
        at(between(800, 2000), DO_KILL_LEADER);
    }
}

/* From here its node is blind, and goes on sending the same. */
void campaign_was_lost(int slot, int64_t compared_revision)
{
    int64_t unseen_ms = 4 * (int64_t)w->options.ttl_s * 1000;
    trace("node %d has lost a campaign on its way, which compared revision %" PRId64, slot,
          compared_revision);
    w->story_slot = slot;
    w->align_revision = one_in(2) ? compared_revision : 0;
    w->nodes[slot].blind_until_ms = w->now_ms + unseen_ms;
    isolate(slot, unseen_ms);
    at(1, DO_WIPE_ETCD);
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

static void tell_steady(int part, int leader, uint64_t next)
{
    if (part == 0 && w->options.nodes > 1) {
        w->story_slot = (leader + 1) % w->options.nodes;
        isolate(w->story_slot, w->options.lag_timeout_ms + 700);
        at(w->options.lag_timeout_ms + 700, next);
    } else if (part == 1) {
        w->slow_slot = w->story_slot;
        w->steady_until_ms = w->now_ms + 5000;
        at(5000, next);
    } else if (part == 2) {
        check_gets_in_sync(w->story_slot);
    }
}

static void tell_reused_epoch(int part, int leader, uint64_t next)
{
    int64_t ttl_ms = (int64_t)w->options.ttl_s * 1000;
    if (part == 0) {
        w->lonely_win = true;
        kill_node(leader, between(50, 400));
    } else if (part == 1) {
        kill_node(w->story_slot, 3 * ttl_ms + 2000);
        at(20, next);
    } else {
        etcd_wipe();
        for (int slot = 0; slot < SLOTS; slot++) {
            w->nodes[slot].blind_until_ms = 0;
            etcd_show(slot);
        }
        at(between(1000, 2000), DO_RECOVER);
    }
}

static void tell_more(enum story story, int part, int leader, uint64_t next)
{
    int64_t ttl_ms = (int64_t)w->options.ttl_s * 1000;
    switch (story) {
    case STORY_STEADY:
        tell_steady(part, leader, next);
        break;
    case STORY_HALF_COPY:
        if (part == 0 && w->options.nodes > 1) {
            w->story_slot = (leader + 1) % w->options.nodes;
            w->copy_delay_ms = 9000;
            isolate(w->story_slot, 3000);
            at(between(3200, 4200), next);
        } else if (part == 1) {
            kill_all_but(w->story_slot, 3 * ttl_ms);
            at(ttl_ms + between(500, 1500), DO_RECOVER);
        }
        break;
    case STORY_WIPED_AND_BEHIND:
        if (part == 0 && w->options.nodes > 1) {
            w->story_slot = (leader + 1) % w->options.nodes;
            isolate(w->story_slot, 3 * ttl_ms);
            at(w->options.lag_timeout_ms + between(500, 1500), next);
        } else if (part == 1) {
            etcd_wipe();
            w->kill_at_win_ms = 3 * ttl_ms;
        }
        break;
    case STORY_CAMPAIGN_OVER_WIPE:
        w->wipe_at_campaign = true;
        kill_node(leader, ttl_ms + between(500, 2500));
        break;
    case STORY_REUSED_EPOCH:
        tell_reused_epoch(part, leader, next);
        break;
    default:
        lose_last(leader, between(0, 4000));
        break;
    }
}

void tell_story(enum story story, int part)
{
    int leader = leader_slot(), ttl_ms = w->options.ttl_s * 1000;
    if ((leader < 0 && part == 0) || w->healed_ms) {
        return;
    }
    leader = leader < 0 ? 0 : leader;
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
        if (w->seed % 4 == 3) { /* in some such runs it resigns, and does not see that it has */
            w->nodes[leader].blind_until_ms = w->now_ms + 3000;
            node_hand_over(leader, "");
            break;
        }
        drop_leader_unseen(leader, 3000);
        if (other != leader) {
            kill_node(other, between(10, 60));
        }
        break;
    case STORY_DROPPED_AND_LATE:
    case STORY_UNHEARD:
        tell_unheard(story, part, leader, next);
        break;
    default:
        tell_more(story, part, leader, next);
        break;
    }
}

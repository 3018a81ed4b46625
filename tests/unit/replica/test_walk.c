/* SPDX-License-Identifier: MIT */
/* Tens of thousands of random steps over four nodes and an etcd that loses leases, answers and, in
 * one of the walks, its disk. After every action what must never happen is looked for; a seed that
 * fails prints itself and its last steps, and runs the same way again.
 */
#include "core_world.h"
#include "kt_test.h"

#include <stdlib.h>

#define LED_MAX 20000

struct walk {
    struct world *world;
    uint64_t seed, state;
    unsigned step;
    bool wipes; /* etcd may lose its disk, or go back to an older configuration */
    const char *broken;
    char last[24][96];
    size_t last_at;
    struct {
        char cluster[KT_ID_LEN + 1];
        uint64_t epoch;
    } * led;
    size_t led_count;
    struct kt_cluster_config *older;
    bool has_older;
    uint64_t commit_before[WORLD_NODES];
    uint64_t config_version;
    char config_cluster[KT_ID_LEN + 1];
};

static struct walk *walk;

static uint64_t roll(uint64_t below)
{
    /* splitmix64 (Steele, Lea, Flood, OOPSLA '14) */
    walk->state += 0x9e3779b97f4a7c15U;
    uint64_t z = walk->state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return (z ^ (z >> 31)) % below;
}

static void note(const char *what, size_t n)
{
    snprintf(walk->last[walk->last_at++ % KT_ARRAY_LEN(walk->last)], sizeof(walk->last[0]),
             "%u t=%lld node%u %s: %.40s", walk->step, (long long)walk->world->now_ms, (unsigned)n,
             what, walk->world->trace);
}

static void must(bool holds, const char *what)
{
    if (!holds && !walk->broken) {
        walk->broken = what;
    }
}

/* --- looked at before each action --- */

static void check_lead(const struct world_node *node, const struct kt_action *action)
{
    must(strcmp(node->kept.nonce, action->config.nonce) == 0, "KEEP comes before LEAD");
    must(node->epoch >= action->epoch, "the epoch is on disk before it is led");
    must(strcmp(action->config.leader, node->options.id) == 0, "only the own win is led by");
    must(node->options.may_lead, "only a master leads");
    must(world_was_run(walk->world, action->config.nonce), "a win is what etcd has run");
    for (size_t i = walk->led_count; i-- > 0;) {
        if (strcmp(walk->led[i].cluster, action->config.cluster) == 0) {
            must(walk->led[i].epoch < action->epoch, "epochs that are led rise strictly");
            break;
        }
    }
    KT_ASSERT(walk->led_count < LED_MAX);
    memcpy(walk->led[walk->led_count].cluster, action->config.cluster, KT_ID_LEN + 1);
    walk->led[walk->led_count++].epoch = action->epoch;
}

static void check_config(const struct kt_action *action, bool is_campaign,
                         const struct world_node *node)
{
    const struct kt_cluster_config *config = &action->config;
    must(config->in_sync_count == 1, "in_sync is one node");
    must(strcmp(config->in_sync[0], config->leader) == 0, "in_sync is the leader alone");
    must(!is_campaign || node->core.leader_id[0] == '\0', "who campaigns follows nobody");
    must(is_campaign || config->epoch == node->core.epoch, "an update stays in its epoch");
    for (size_t i = 0; i < config->member_count; i++) {
        must(config->members[i].id[0] && config->members[i].addr[0], "members have id and address");
        for (size_t k = 0; k < i; k++) {
            must(strcmp(config->members[i].id, config->members[k].id) != 0, "members are unique");
        }
    }
}

static bool on_action(struct world *world, size_t n, const struct kt_action *action)
{
    struct world_node *node = &world->nodes[n];
    switch (action->kind) {
    case KT_ACT_LEAD:
        check_lead(node, action);
        break;
    case KT_ACT_CAMPAIGN:
    case KT_ACT_UPDATE_CONFIG:
        check_config(action, action->kind == KT_ACT_CAMPAIGN, node);
        break;
    case KT_ACT_KEEP:
        must(action->epoch >= node->epoch, "the epoch on disk never falls");
        must(action->config.epoch > node->kept.epoch ||
                 (action->config.epoch == node->kept.epoch &&
                  action->config.version > node->kept.version),
             "only a newer configuration is kept");
        must(!node->cluster[0] || strcmp(node->cluster, action->config.cluster) == 0,
             "a node never changes its cluster");
        break;
    case KT_ACT_FOLLOW:
        must(strcmp(node->core.leader_id, node->options.id) != 0, "nobody follows itself");
        must(node->core.leader_epoch >= node->epoch, "no ended epoch is followed");
        break;
    case KT_ACT_DELETE_LEADER:
        must(strcmp(node->view->leader.id, node->options.id) == 0, "only the own key is deleted");
        break;
    default:
        break;
    }
    return roll(400) != 0; /* now and then the process dies right here */
}

static void check_nodes(void)
{
    struct world *world = walk->world;
    for (size_t n = 0; n < WORLD_NODES; n++) {
        struct world_node *node = &world->nodes[n];
        if (!node->running) {
            continue;
        }
        must(node->core.commit_seq >= walk->commit_before[n], "the commit position never falls");
        must(node->core.commit_seq <= node->core.end_seq, "nothing beyond the end is committed");
        must(node->core.role != KT_CORE_LEADING || node->core.epoch > node->core.fenced_epoch,
             "an ended epoch is not led");
        walk->commit_before[n] = node->core.commit_seq;
    }
    if (world->config.present && !walk->wipes) {
        bool same = strcmp(walk->config_cluster, world->config.value.cluster) == 0;
        must(!walk->config_cluster[0] || same, "there is one cluster");
        must(world->config.value.version >= walk->config_version, "versions never fall");
        walk->config_version = world->config.value.version;
        memcpy(walk->config_cluster, world->config.value.cluster, KT_ID_LEN + 1);
    }
}

/* --- what happens --- */

static void act_on_process(size_t n)
{
    struct world *world = walk->world;
    struct world_node *node = &world->nodes[n];
    if (node->running && roll(3) == 0) {
        world_kill(world, n);
        note("killed", n);
    } else if (!node->running) {
        world_boot(world, n); /* its keys of before hang on the old lease */
        walk->commit_before[n] = 0;
        note("booted", n);
    } else if (roll(20) == 0) {
        world_tell(world, n, KT_EV_RESIGN, NULL);
        note("resigned", n);
        world_kill(world, n);
    } else {
        world_tell(world, n, KT_EV_FAULT, "disk");
        note("fault", n);
    }
}

static void act_on_etcd(size_t n)
{
    struct world *world = walk->world;
    switch (roll(8)) {
    case 0:
        world_end_lease(world, n); /* a living lease may be lost (etcd#15247) */
        break;
    case 1:
        world->leader.present = false;
        world->revision++;
        break;
    case 2:
        world->reachable = !world->reachable || roll(4) != 0;
        break;
    case 3:
        world_land(world);
        break;
    case 4:
        if (walk->wipes && roll(6) == 0) {
            if (world->config.present && roll(2) == 0) {
                *walk->older = world->config.value;
                walk->has_older = true;
            } else if (walk->has_older && roll(2) == 0) {
                world_wipe(world);
                world->config.present = world->config.valid = true;
                world->config.value = *walk->older;
                world->config.mod_revision = ++world->revision;
            } else {
                world_wipe(world);
            }
        }
        break;
    case 5:
        if (world->config.present) {
            world->config.valid = !world->config.valid || roll(8) != 0;
            world->config.mod_revision = ++world->revision;
        }
        break;
    default:
        break;
    }
    world->trace[0] = '\0';
    note("etcd", n);
}

/* As the coord does: a living process without a lease gets a new one. */
static void renew(void)
{
    for (size_t n = 0; n < WORLD_NODES; n++) {
        struct world_node *node = &walk->world->nodes[n];
        if (node->lease == 0 && node->running && walk->world->reachable && roll(5) == 0) {
            world_new_lease(walk->world, n);
        }
    }
}

/* Old leases whose holder died end by themselves. */
static void end_leases(void)
{
    struct world *world = walk->world;
    for (size_t n = 0; n < WORLD_NODES; n++) {
        struct world_node *node = &world->nodes[n];
        if (node->lease != 0 && world->now_ms >= node->etcd_lease_end_ms) {
            world_end_lease(world, n);
        }
    }
    bool owned = false;
    for (size_t n = 0; n < WORLD_NODES; n++) {
        owned = owned || world->nodes[n].lease == world->leader.lease;
    }
    if (world->leader.present && !owned && roll(20) == 0) {
        world->leader.present = false;
        world->revision++;
    }
}

static void tell_view(size_t n)
{
    struct world *world = walk->world;
    struct world_node *node = &world->nodes[n];
    world->fate = roll(3) ? FATE_RUN : (enum world_fate)roll(5);
    if (world->has_late && world->fate == FATE_LATE) {
        world->fate = FATE_LOST;
    }
    if (roll(3)) {
        (void)world_look(world, n);
    } else {
        world_tell(world, n, KT_EV_VIEW, NULL); /* an old view */
    }
    note("view", n);
    if (node->running && node->core.role == KT_CORE_LEADING) {
        must(world->now_ms < node->lease_end_ms, "no leader beyond its lease clock");
        if (!node->core.started && node->core.epoch_start_seq == 0 && roll(2)) {
            world_start(world, n);
            must(node->core.started && node->core.commit_seq == node->core.end_seq,
                 "a leader leads with its whole log");
        } else if (node->core.started && roll(2)) {
            world_write(world, n);
        }
    }
}

static void random_step(void)
{
    struct world *world = walk->world;
    size_t n = roll(WORLD_NODES);
    world->now_ms += (int64_t)(roll(40) ? roll(120) : roll(6000));
    end_leases();
    renew();
    if (roll(60) == 0) {
        act_on_process(n);
    } else if (roll(12) == 0) {
        act_on_etcd(n);
    } else if (world->nodes[n].running) {
        tell_view(n);
    }
    check_nodes();
}

/* All faults end: within a few ttl somebody must lead, and the rest follow it. */
static void must_heal(void)
{
    struct world *world = walk->world;
    world->reachable = true;
    world->on_action = NULL;
    if (world->config.present && !world->config.valid) {
        world->config.valid = true;
        world->config.mod_revision = ++world->revision;
    }
    for (int round = 0; round < 300; round++) {
        world->now_ms += 100;
        for (size_t n = 0; n < WORLD_NODES; n++) {
            struct world_node *node = &world->nodes[n];
            if (!node->running || node->core.resigned) {
                world_boot(world, n);
            } else if (node->lease == 0) {
                world_new_lease(world, n);
            }
            (void)world_look(world, n);
        }
        end_leases();
    }
    unsigned leaders = 0, followers = 0;
    for (size_t n = 0; n < WORLD_NODES; n++) {
        const struct kt_core *core = &world->nodes[n].core;
        leaders += core->role == KT_CORE_LEADING;
        followers += core->role == KT_CORE_FOLLOWER && core->leader_id[0] != '\0' &&
                     strcmp(core->leader_addr, world->leader.addr) == 0;
    }
    must(leaders == 1 && followers == WORLD_NODES - 1, "healed, one leads and all others follow");
    must(world->config.value.member_count == WORLD_NODES, "healed, all are members");
}

static void run_walk(uint64_t seed, unsigned steps, bool wipes)
{
    walk->world = world_new();
    walk->seed = walk->state = seed;
    walk->wipes = wipes;
    for (size_t n = 0; n < WORLD_NODES; n++) {
        world_add(walk->world, n, n < 2, (int32_t)roll(2));
    }
    walk->world->on_action = on_action;
    for (walk->step = 0; walk->step < steps && !walk->broken; walk->step++) {
        random_step();
    }
    if (!walk->broken && !wipes) {
        must_heal();
    }
    if (walk->broken) {
        size_t count = KT_ARRAY_LEN(walk->last);
        for (size_t i = 0; i < count; i++) {
            printf("    %s\n", walk->last[(walk->last_at + i) % count]);
        }
        kt_test_fail(__FILE__, __LINE__, "seed %llu, step %u: not so: %s", (unsigned long long)seed,
                     walk->step, walk->broken);
    }
    world_free(&walk->world);
}

static void walk_all(bool wipes)
{
    unsigned seeds = kt_test_is_slow() ? 2 : 40, steps = 10000;
    const char *only = getenv("KT_TEST_SEED");
    for (uint64_t i = 0; i < seeds; i++) {
        walk = kt_calloc(1, sizeof(*walk));
        KT_ASSERT(walk != NULL);
        walk->led = kt_calloc(LED_MAX, sizeof(*walk->led));
        walk->older = kt_calloc(1, sizeof(*walk->older));
        KT_ASSERT(walk->led && walk->older);
        run_walk(only ? strtoull(only, NULL, 10) : i + 1, steps, wipes);
        bool broken = walk->broken != NULL;
        kt_free(walk->led);
        kt_free(walk->older);
        kt_free(walk);
        if (broken || only) {
            break;
        }
    }
}

static void nothing_forbidden_happens_when_leases_answers_and_processes_are_lost(void)
{
    walk_all(false);
}

static void nothing_forbidden_happens_when_etcd_loses_its_disk_too(void)
{
    walk_all(true);
}

static const struct kt_test tests[] = {
    TEST(nothing_forbidden_happens_when_leases_answers_and_processes_are_lost),
    TEST(nothing_forbidden_happens_when_etcd_loses_its_disk_too),
};

KT_TEST_MAIN(tests)

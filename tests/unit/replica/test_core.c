/* SPDX-License-Identifier: MIT */
/* What the core decides, told as stories of a small world. */
#include "core_world.h"
#include "kt_test.h"

#define STRANGER "b000000000000001"

static struct world *world;

static struct kt_core *core_of(size_t n)
{
    return &world->nodes[n].core;
}

/* Node 0 is a master that founded and leads; nodes 1.. are slaves that were not started yet. */
static void open_led(void)
{
    world = world_new();
    world_add(world, 0, true, 0);
    (void)world_look(world, 0);
    world_start(world, 0);
    (void)world_look(world, 0);
}

static void close_world(void)
{
    world_free(&world);
}

#define CHECK_LOOK(n, expected) CHECK_STR(world_look(world, n), expected)

/* --- founding --- */

static void an_empty_master_founds_at_once_and_leads_epoch_one(void)
{
    world = world_new();
    world_add(world, 0, true, 0);
    CHECK_LOOK(0, "CAMPAIGN KEEP LEAD");
    CHECK_INT(core_of(0)->role, KT_CORE_LEADING);
    CHECK(!core_of(0)->started);
    CHECK_INT(world->config.value.epoch, 1);
    CHECK_INT(world->config.value.version, 1);
    CHECK_INT(world->config.value.ttl_s, WORLD_TTL_S);
    CHECK_INT(world->config.value.in_sync_count, 1);
    CHECK_STR(world->config.value.in_sync[0], world_id(0));
    CHECK_STR(world->config.value.leader, world_id(0));
    CHECK_INT(world->config.value.member_count, 1);
    CHECK_STR(world->nodes[0].cluster, world->config.value.cluster);
    world_start(world, 0);
    CHECK(core_of(0)->started);
    CHECK_INT(core_of(0)->commit_seq, 1);
    CHECK_LOOK(0, "");
    close_world();
}

static void founding_waits_for_as_many_as_are_expected(void)
{
    world = world_new();
    for (size_t n = 0; n < 3; n++) {
        world_add(world, n, n == 0, 0)->options.expect = 3;
        core_of(n)->options.expect = 3;
    }
    world_end_lease(world, 2);
    CHECK_LOOK(0, "");
    CHECK(strstr(core_of(0)->waiting_for, "3 data nodes to register") != NULL);
    /* A gateway is no data node. */
    world_put_service(world, STRANGER, "gw:9000")->role = KT_ROLE_GATEWAY;
    CHECK_LOOK(0, "");
    world_new_lease(world, 2);
    CHECK_LOOK(0, "CAMPAIGN KEEP LEAD");
    close_world();
}

static void the_highest_priority_founds_then_the_smallest_id(void)
{
    static const struct {
        int32_t priority[3];
        size_t best;
    } cases[] = {{{0, 0, 0}, 0}, {{0, 5, 0}, 1}, {{-1, 5, 7}, 2}, {{0, 7, 7}, 1}};
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        world = world_new();
        for (size_t n = 0; n < 3; n++) {
            world_add(world, n, true, cases[i].priority[n]);
        }
        for (size_t n = 0; n < 3; n++) {
            if (n != cases[i].best) {
                CHECK_LOOK(n, "");
                CHECK(strstr(core_of(n)->waiting_for, "to found the cluster") != NULL);
            }
        }
        CHECK_LOOK(cases[i].best, "CAMPAIGN KEEP LEAD");
        close_world();
    }
}

static void a_slave_never_campaigns(void)
{
    world = world_new();
    world_add(world, 0, false, 100);
    for (int i = 0; i < 50; i++) {
        CHECK_LOOK(0, "");
        world->now_ms += 1000;
    }
    /* Not even when it stands as the leader in what it keeps. */
    struct kt_cluster_config *kept = &core_of(0)->kept;
    kept->version = kept->epoch = 1;
    kept->in_sync_count = 1;
    memcpy(kept->leader, world_id(0), KT_ID_LEN + 1);
    memcpy(kept->in_sync[0], world_id(0), KT_ID_LEN + 1);
    CHECK_LOOK(0, "");
    close_world();
}

static void an_empty_node_does_not_found_beside_one_with_data(void)
{
    world = world_new();
    world_add(world, 0, true, 0);
    struct kt_service *other = world_put_service(world, STRANGER, "other:80");
    other->state = KT_STATE_WHOLE;
    memcpy(other->cluster, "c000000000000001", KT_ID_LEN + 1);
    CHECK_LOOK(0, "");
    CHECK(strstr(core_of(0)->waiting_for, "c000000000000001") != NULL);
    world_drop_service(world, "other:80");
    CHECK_LOOK(0, "CAMPAIGN KEEP LEAD");
    close_world();
}

static void nothing_is_decided_before_the_first_list_and_the_own_key(void)
{
    world = world_new();
    world_add(world, 0, true, 0);
    world_tell(world, 0, KT_EV_VIEW, NULL); /* an empty view, not complete */
    CHECK_STR(world->trace, "");
    world_end_lease(world, 0);
    CHECK_LOOK(0, "");
    CHECK_STR(core_of(0)->waiting_for, "this node's own registration in etcd");
    close_world();
}

static void a_campaign_needs_a_fifth_of_the_ttl_on_the_lease(void)
{
    world = world_new();
    world_add(world, 0, true, 0);
    world_refresh(world, 0);
    world->now_ms = world->nodes[0].lease_end_ms - WORLD_TTL_S * 200 + 1;
    world_tell(world, 0, KT_EV_VIEW, NULL);
    CHECK_STR(world->trace, "");
    world->now_ms--;
    world_tell(world, 0, KT_EV_VIEW, NULL);
    CHECK_STR(world->trace, "CAMPAIGN KEEP LEAD");
    close_world();
}

static void entries_without_a_configuration_found_nothing(void)
{
    world = world_new();
    struct world_node *node = world_add(world, 0, true, 0);
    node->end_seq = node->end_epoch = 1;
    world_boot(world, 0);
    CHECK_LOOK(0, "");
    CHECK(strstr(core_of(0)->waiting_for, "keeps none") != NULL);
    close_world();
}

/* --- leading again --- */

static void a_restart_leads_again_under_a_new_epoch_and_the_stale_key_goes_first(void)
{
    open_led();
    world_write(world, 0);
    char first[KT_ID_LEN + 1];
    memcpy(first, world->config.value.epoch_id, sizeof(first));
    world_kill(world, 0);
    world_boot(world, 0);
    /* Its predecessor's key still stands, under the old lease. */
    CHECK_LOOK(0, "DELETE");
    CHECK_LOOK(0, "CAMPAIGN KEEP LEAD");
    CHECK_INT(world->config.value.epoch, 2);
    CHECK_INT(world->config.value.version, 2);
    CHECK(strcmp(first, world->config.value.epoch_id) != 0);
    CHECK_INT(core_of(0)->commit_seq, 1); /* what it knew; the epoch-start commits the rest */
    world_start(world, 0);
    CHECK_INT(core_of(0)->commit_seq, 3);
    close_world();
}

static void a_kept_configuration_leads_again_when_the_key_is_gone(void)
{
    open_led();
    char cluster[KT_ID_LEN + 1];
    memcpy(cluster, world->config.value.cluster, sizeof(cluster));
    world_kill(world, 0);
    world_wipe(world);
    world_boot(world, 0);
    CHECK_LOOK(0, "CAMPAIGN KEEP LEAD");
    CHECK_STR(world->config.value.cluster, cluster);
    CHECK_INT(world->config.value.epoch, 2);
    close_world();
}

static void a_wiped_etcd_under_a_leader_costs_an_epoch_and_no_more(void)
{
    open_led();
    world_wipe(world);
    CHECK_LOOK(0, "STEP_DOWN");
    CHECK_LOOK(0, "");
    CHECK_STR(core_of(0)->waiting_for, "this node's own registration in etcd");
    world_new_lease(world, 0);
    CHECK_LOOK(0, "CAMPAIGN KEEP LEAD");
    CHECK_INT(world->config.value.epoch, 2);
    close_world();
}

static void an_etcd_older_than_the_kept_configuration_is_overruled(void)
{
    open_led();
    struct kt_cluster_config *old = kt_malloc(sizeof(*old));
    CHECK(old != NULL);
    *old = world->config.value;
    world_kill(world, 0);
    world_end_lease(world, 0);
    world_boot(world, 0);
    CHECK_LOOK(0, "CAMPAIGN KEEP LEAD"); /* epoch 2 */
    world_kill(world, 0);
    world_end_lease(world, 0);
    world->config.value = *old; /* restored from a backup: epoch 1 */
    world->config.mod_revision = ++world->revision;
    world_boot(world, 0);
    CHECK_LOOK(0, "CAMPAIGN KEEP LEAD");
    CHECK_INT(world->config.value.epoch, 3);
    kt_free(old);
    close_world();
}

static void who_keeps_an_older_configuration_than_another_does_not_lead(void)
{
    open_led();
    world_kill(world, 0);
    world_wipe(world);
    world_boot(world, 0);
    struct kt_service *other = world_put_service(world, STRANGER, "other:80");
    other->state = KT_STATE_WHOLE;
    other->kept.epoch = 7;
    other->kept.version = 9;
    CHECK_LOOK(0, "");
    CHECK(strstr(core_of(0)->waiting_for, "other:80 keeps a newer configuration") != NULL);
    close_world();
}

static void another_master_waits_for_the_leader_that_stands_in_the_configuration(void)
{
    open_led();
    world_kill(world, 0);
    world_end_lease(world, 0);
    world_add(world, 1, true, 1000);
    CHECK_LOOK(1, "KEEP");
    CHECK(strstr(core_of(1)->waiting_for, world_id(0)) != NULL);
    for (int i = 0; i < 20; i++) {
        world->now_ms += 1000;
        CHECK_LOOK(1, "");
    }
    world_wipe(world); /* nor when the key is gone */
    world_new_lease(world, 1);
    CHECK_LOOK(1, "");
    close_world();
}

static void another_clusters_database_stops_with_a_way_out(void)
{
    open_led();
    struct world_node *node = world_add(world, 1, true, 0);
    memcpy(node->cluster, "c000000000000009", KT_ID_LEN + 1);
    world_boot(world, 1);
    CHECK_LOOK(1, "STOP");
    CHECK_INT(core_of(1)->role, KT_CORE_STOPPED);
    CHECK(strstr(core_of(1)->stopped_why, "c000000000000009") != NULL);
    CHECK(strstr(core_of(1)->stopped_why, world->config.value.cluster) != NULL);
    CHECK(strstr(core_of(1)->stopped_why, "empty database") != NULL);
    CHECK_LOOK(1, "");
    close_world();
}

/* --- losing the lead --- */

static void a_lost_leader_key_costs_the_epoch_and_the_next_is_campaigned_for(void)
{
    open_led();
    world->leader.present = false;
    world->revision++;
    CHECK_LOOK(0, "STEP_DOWN");
    CHECK(!core_of(0)->started);
    CHECK_INT(core_of(0)->fenced_epoch, 1);
    CHECK_LOOK(0, "CAMPAIGN KEEP LEAD");
    CHECK_INT(core_of(0)->epoch, 2);
    close_world();
}

static void a_leader_steps_down_when_its_lease_clock_ends(void)
{
    open_led();
    world->reachable = false;
    world->now_ms = world->nodes[0].lease_end_ms - 1;
    CHECK_LOOK(0, "");
    world->now_ms++;
    CHECK_LOOK(0, "STEP_DOWN");
    CHECK_LOOK(0, "");
    CHECK_STR(core_of(0)->waiting_for, "a renewed lease in etcd");
    /* Its key survived: it is elected over it. */
    world->reachable = true;
    CHECK_LOOK(0, "CAMPAIGN KEEP LEAD");
    CHECK_INT(core_of(0)->epoch, 2);
    close_world();
}

static void the_lease_clock_is_looked_at_even_when_the_configuration_is_damaged(void)
{
    open_led();
    world->config.valid = false;
    CHECK_LOOK(0, "");
    CHECK_INT(core_of(0)->role, KT_CORE_LEADING);
    world->reachable = false;
    world->now_ms = world->nodes[0].lease_end_ms;
    CHECK_LOOK(0, "STEP_DOWN");
    world->reachable = true;
    CHECK_LOOK(0, ""); /* nor does it campaign over what it can't read */
    CHECK(strstr(core_of(0)->waiting_for, "damaged") != NULL);
    world->config.valid = true;
    world->config.mod_revision = ++world->revision;
    CHECK_LOOK(0, "CAMPAIGN KEEP LEAD");
    close_world();
}

static void views_from_before_the_win_do_not_end_it(void)
{
    world = world_new();
    world_add(world, 0, true, 0);
    CHECK_LOOK(0, "CAMPAIGN KEEP LEAD");
    /* The same view again: no leader key in it. */
    world_tell(world, 0, KT_EV_VIEW, NULL);
    CHECK_STR(world->trace, "");
    CHECK_INT(core_of(0)->role, KT_CORE_LEADING);
    world->leader.present = false;
    world->now_ms += WORLD_TTL_S * 1000; /* but not for ever */
    CHECK_LOOK(0, "");
    world->now_ms++;
    CHECK_LOOK(0, "STEP_DOWN");
    close_world();
}

static void a_leader_that_sees_a_later_epoch_steps_down_before_it_keeps_it(void)
{
    open_led();
    world->config.value.epoch = 9;
    world->config.value.version = 9;
    memcpy(world->config.value.leader, STRANGER, KT_ID_LEN + 1);
    world_random_id(world->config.value.nonce);
    world->config.mod_revision = ++world->revision;
    memcpy(world->leader.id, STRANGER, KT_ID_LEN + 1);
    snprintf(world->leader.addr, sizeof(world->leader.addr), "other:80");
    world->leader.epoch = 9;
    world->leader.lease = 999;
    CHECK_LOOK(0, "STEP_DOWN KEEP FOLLOW");
    CHECK_INT(core_of(0)->fenced_epoch, 1); /* its own, not the other's */
    CHECK_INT(core_of(0)->epoch, 9);
    close_world();
}

static void a_fault_of_the_log_costs_the_epoch_and_gives_the_key_away_for_a_moment(void)
{
    open_led();
    world_tell(world, 0, KT_EV_FAULT, "disk on fire");
    CHECK_STR(world->trace, "STEP_DOWN");
    CHECK_LOOK(0, "DELETE");
    for (int i = 0; i < 4; i++) { /* and does not burn an epoch per tick */
        world->now_ms += 100;
        CHECK_LOOK(0, "");
    }
    world->now_ms += 100;
    CHECK_LOOK(0, "CAMPAIGN KEEP LEAD");
    CHECK_INT(core_of(0)->epoch, 2);
    close_world();
}

static void a_resigned_node_steps_down_and_never_campaigns(void)
{
    open_led();
    world_tell(world, 0, KT_EV_RESIGN, NULL);
    CHECK_STR(world->trace, "STEP_DOWN");
    CHECK_LOOK(0, "DELETE");
    for (int i = 0; i < 20; i++) {
        world->now_ms += 500;
        CHECK_LOOK(0, "");
    }
    close_world();
}

static void what_is_won_after_a_resignation_is_given_back(void)
{
    world = world_new();
    world_add(world, 0, true, 0);
    world->fate = FATE_HIDDEN;
    CHECK_LOOK(0, "CAMPAIGN");
    world_tell(world, 0, KT_EV_RESIGN, NULL);
    CHECK_LOOK(0, "KEEP"); /* settled: won, and not led by */
    CHECK_INT(core_of(0)->role, KT_CORE_FOLLOWER);
    CHECK_LOOK(0, "DELETE");
    CHECK(!world->leader.present);
    close_world();
}

static void a_stopped_leader_gives_its_key_back(void)
{
    open_led();
    world_tell(world, 0, KT_EV_DIVERGED, "the disk is full");
    CHECK_STR(world->trace, "STEP_DOWN STOP");
    CHECK_STR(core_of(0)->stopped_why, "the disk is full");
    CHECK_LOOK(0, "DELETE");
    CHECK_LOOK(0, "");
    CHECK_INT(core_of(0)->role, KT_CORE_STOPPED);
    close_world();
}

/* --- following --- */

static void a_slave_takes_the_clusters_id_and_follows_its_leader(void)
{
    open_led();
    world_add(world, 1, false, 0);
    CHECK_LOOK(1, "KEEP FOLLOW");
    CHECK_STR(world->nodes[1].cluster, world->config.value.cluster);
    CHECK_STR(core_of(1)->leader_addr, "node0:80");
    CHECK_INT(core_of(1)->leader_epoch, 1);
    CHECK_LOOK(1, "");
    close_world();
}

static void a_follower_stays_with_its_leader_until_there_is_another(void)
{
    open_led();
    world_add(world, 1, false, 0);
    CHECK_LOOK(1, "KEEP FOLLOW");
    world_kill(world, 0);
    world_end_lease(world, 0);
    CHECK_LOOK(1, "");
    CHECK_STR(core_of(1)->leader_addr, "node0:80"); /* the key vanished: it goes on fetching */
    world_boot(world, 0);
    CHECK_LOOK(0, "CAMPAIGN KEEP LEAD");
    CHECK_LOOK(1, "KEEP FOLLOW");
    CHECK_INT(core_of(1)->leader_epoch, 2);
    close_world();
}

static void a_leader_key_that_the_configuration_does_not_confirm_is_not_followed(void)
{
    open_led();
    world_add(world, 1, false, 0);
    world->leader.epoch = 5;
    CHECK_LOOK(1, "KEEP");
    CHECK(strstr(core_of(1)->waiting_for, "agrees") != NULL);
    world->leader.epoch = 1;
    CHECK_LOOK(1, "FOLLOW");
    close_world();
}

static void a_diverged_follower_stops_and_says_so_in_its_entry(void)
{
    open_led();
    world_add(world, 1, false, 0);
    CHECK_LOOK(1, "KEEP FOLLOW");
    world_tell(world, 1, KT_EV_DIVERGED, "your log is not mine");
    CHECK_STR(world->trace, "UNFOLLOW STOP");
    CHECK_LOOK(1, "");
    struct kt_service service;
    memset(&service, 0, sizeof(service));
    kt_core_service(core_of(1), 0, &service);
    CHECK_INT(service.state, KT_STATE_DIVERGED);
    close_world();
}

/* --- a copied disk --- */

static void a_second_node_with_this_id_is_waited_out_and_then_refused(void)
{
    open_led();
    world_add(world, 1, false, 0);
    world_put_service(world, world_id(1), "copy:80");
    CHECK_LOOK(1, "KEEP");
    CHECK(strstr(core_of(1)->waiting_for, "copy:80") != NULL);
    world->now_ms += 2 * WORLD_TTL_S * 1000;
    CHECK_LOOK(1, "");
    world->now_ms++;
    CHECK_LOOK(1, "STOP");
    CHECK(strstr(core_of(1)->stopped_why, "was its database copied?") != NULL);
    CHECK(strstr(core_of(1)->stopped_why, "empty database") != NULL);
    close_world();
}

static void the_entry_of_a_dead_predecessor_elsewhere_is_only_waited_out(void)
{
    open_led();
    world_add(world, 1, false, 0);
    world_put_service(world, world_id(1), "before:80");
    CHECK_LOOK(1, "KEEP");
    world->now_ms += WORLD_TTL_S * 1000;
    world_drop_service(world, "before:80");
    CHECK_LOOK(1, "FOLLOW");
    world_put_service(world, world_id(1), "later:80"); /* the clock starts anew */
    world->now_ms += 3 * WORLD_TTL_S * 1000;
    CHECK_LOOK(1, "");
    close_world();
}

static void a_copy_of_the_living_leader_does_not_take_its_key(void)
{
    open_led();
    struct world_node *copy = world_add(world, 1, true, 0);
    memcpy(copy->options.id, world_id(0), KT_ID_LEN + 1);
    memcpy(copy->cluster, world->nodes[0].cluster, sizeof(copy->cluster));
    copy->kept = world->nodes[0].kept;
    copy->epoch = world->nodes[0].epoch;
    world_boot(world, 1);
    for (int i = 0; i < 11; i++) {
        CHECK_LOOK(1, "");
        CHECK_LOOK(0, "");
        world->now_ms += 1000;
    }
    CHECK_LOOK(1, "STOP");
    CHECK_INT(core_of(0)->role, KT_CORE_LEADING);
    close_world();
}

/* --- the log --- */

static void nothing_is_committed_before_the_epochs_own_start(void)
{
    open_led();
    world_kill(world, 0);
    world_end_lease(world, 0);
    world_boot(world, 0);
    CHECK_LOOK(0, "CAMPAIGN KEEP LEAD");
    CHECK_INT(core_of(0)->commit_seq, 0);
    /* A batch of the epoch before reaches the disk only now. */
    CHECK_INT(kt_core_persisted(core_of(0), 4, 1), 0);
    core_of(0)->epoch_start_seq = 5;
    CHECK_INT(kt_core_persisted(core_of(0), 5, 2), 5);
    close_world();
}

static void standalone_leads_without_any_lease(void)
{
    world = world_new();
    world_add(world, 0, true, 0);
    core_of(0)->options.standalone = true;
    CHECK_LOOK(0, "CAMPAIGN KEEP LEAD");
    world_start(world, 0);
    world->now_ms += 1000000;
    world_tell(world, 0, KT_EV_VIEW, NULL);
    CHECK_STR(world->trace, "");
    CHECK(core_of(0)->started);
    close_world();
}

static void an_entry_in_etcd_says_how_the_node_stands(void)
{
    open_led();
    struct kt_service service;
    memset(&service, 0, sizeof(service));
    kt_core_service(core_of(0), 42, &service);
    CHECK_STR(service.id, world_id(0));
    CHECK_STR(service.cluster, world->config.value.cluster);
    CHECK_INT(service.role, KT_ROLE_LEADER);
    CHECK_INT(service.state, KT_STATE_WHOLE);
    CHECK_INT(service.kept.epoch, 1);
    CHECK_INT(service.kept.in_sync_count, 1);
    CHECK_INT(service.end_seq, 1);
    CHECK_INT(service.end_epoch, 1);
    CHECK_INT(service.revision, 42);
    struct kt_core *empty = kt_malloc(sizeof(*empty));
    CHECK(empty != NULL);
    kt_core_init(empty, &world->nodes[0].options);
    kt_core_service(empty, 0, &service);
    CHECK_INT(service.state, KT_STATE_EMPTY);
    kt_free(empty);
    close_world();
}

static const struct kt_test tests[] = {
    TEST(an_empty_master_founds_at_once_and_leads_epoch_one),
    TEST(founding_waits_for_as_many_as_are_expected),
    TEST(the_highest_priority_founds_then_the_smallest_id),
    TEST(a_slave_never_campaigns),
    TEST(an_empty_node_does_not_found_beside_one_with_data),
    TEST(nothing_is_decided_before_the_first_list_and_the_own_key),
    TEST(a_campaign_needs_a_fifth_of_the_ttl_on_the_lease),
    TEST(entries_without_a_configuration_found_nothing),
    TEST(a_restart_leads_again_under_a_new_epoch_and_the_stale_key_goes_first),
    TEST(a_kept_configuration_leads_again_when_the_key_is_gone),
    TEST(a_wiped_etcd_under_a_leader_costs_an_epoch_and_no_more),
    TEST(an_etcd_older_than_the_kept_configuration_is_overruled),
    TEST(who_keeps_an_older_configuration_than_another_does_not_lead),
    TEST(another_master_waits_for_the_leader_that_stands_in_the_configuration),
    TEST(another_clusters_database_stops_with_a_way_out),
    TEST(a_lost_leader_key_costs_the_epoch_and_the_next_is_campaigned_for),
    TEST(a_leader_steps_down_when_its_lease_clock_ends),
    TEST(the_lease_clock_is_looked_at_even_when_the_configuration_is_damaged),
    TEST(views_from_before_the_win_do_not_end_it),
    TEST(a_leader_that_sees_a_later_epoch_steps_down_before_it_keeps_it),
    TEST(a_fault_of_the_log_costs_the_epoch_and_gives_the_key_away_for_a_moment),
    TEST(a_resigned_node_steps_down_and_never_campaigns),
    TEST(what_is_won_after_a_resignation_is_given_back),
    TEST(a_stopped_leader_gives_its_key_back),
    TEST(a_slave_takes_the_clusters_id_and_follows_its_leader),
    TEST(a_follower_stays_with_its_leader_until_there_is_another),
    TEST(a_leader_key_that_the_configuration_does_not_confirm_is_not_followed),
    TEST(a_diverged_follower_stops_and_says_so_in_its_entry),
    TEST(a_second_node_with_this_id_is_waited_out_and_then_refused),
    TEST(the_entry_of_a_dead_predecessor_elsewhere_is_only_waited_out),
    TEST(a_copy_of_the_living_leader_does_not_take_its_key),
    TEST(nothing_is_committed_before_the_epochs_own_start),
    TEST(standalone_leads_without_any_lease),
    TEST(an_entry_in_etcd_says_how_the_node_stands),
};

KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
/* What becomes of transactions whose answer does not come, and how members enter the
 * configuration: stories of the same small world. */
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

/* --- unknown transactions --- */

static void a_lost_campaign_is_sent_again_after_a_fifth_of_a_second(void)
{
    world = world_new();
    world_add(world, 0, true, 0);
    world->fate = FATE_LOST;
    CHECK_LOOK(0, "CAMPAIGN");
    CHECK_INT(core_of(0)->role, KT_CORE_CAMPAIGNING);
    char nonce[KT_ID_LEN + 1];
    memcpy(nonce, core_of(0)->txn.config.nonce, sizeof(nonce));
    world->now_ms += 199;
    CHECK_LOOK(0, ""); /* a view with the old value settles nothing */
    world->now_ms++;
    world->fate = FATE_LOST;
    CHECK_LOOK(0, "CAMPAIGN");
    world->now_ms += 200;
    CHECK_LOOK(0, "CAMPAIGN KEEP LEAD");
    CHECK_STR(world->config.value.nonce, nonce); /* the same one all the time */
    CHECK_INT(world->config.value.epoch, 1);
    close_world();
}

/* Found by the walk. */
static void a_campaign_is_not_sent_again_and_not_led_by_when_the_lease_clock_has_ended(void)
{
    world = world_new();
    world_add(world, 0, true, 0);
    world->fate = FATE_HIDDEN;
    CHECK_LOOK(0, "CAMPAIGN");
    struct world_node *node = &world->nodes[0];
    world->now_ms = node->lease_end_ms;
    world_tell(world, 0, KT_EV_VIEW, NULL);
    CHECK_STR(world->trace, "");
    world_refresh(world, 0);
    node->lease_end_ms = world->now_ms; /* the view came, the renewal not */
    world_tell(world, 0, KT_EV_VIEW, NULL);
    CHECK_STR(world->trace, "KEEP");
    CHECK_LOOK(0, "CAMPAIGN KEEP LEAD");
    CHECK_INT(core_of(0)->epoch, 2);
    close_world();
}

static void a_win_without_an_answer_is_known_by_its_nonce(void)
{
    world = world_new();
    world_add(world, 0, true, 0);
    world->fate = FATE_HIDDEN;
    CHECK_LOOK(0, "CAMPAIGN");
    CHECK_LOOK(0, "KEEP LEAD");
    CHECK_INT(core_of(0)->epoch, 1);
    close_world();
}

static void a_refusal_is_not_final_while_an_earlier_sending_is_unknown(void)
{
    world = world_new();
    world_add(world, 0, true, 0);
    world->fate = FATE_LATE;
    CHECK_LOOK(0, "CAMPAIGN");
    world->now_ms += 200;
    world->fate = FATE_REFUSED;
    CHECK_LOOK(0, "CAMPAIGN");
    CHECK_INT(core_of(0)->role, KT_CORE_CAMPAIGNING);
    world_land(world); /* the first one reaches etcd only now */
    CHECK_LOOK(0, "KEEP LEAD");
    close_world();
}

static void a_plain_refusal_is_final_and_the_next_view_decides(void)
{
    world = world_new();
    world_add(world, 0, true, 0);
    world->fate = FATE_REFUSED;
    CHECK_LOOK(0, "CAMPAIGN");
    CHECK_INT(core_of(0)->role, KT_CORE_FOLLOWER);
    CHECK_LOOK(0, "CAMPAIGN KEEP LEAD");
    close_world();
}

static void an_unknown_campaign_that_another_won_is_over(void)
{
    world = world_new();
    world_add(world, 0, true, 1);
    world_add(world, 1, true, 0);
    world->fate = FATE_LOST;
    CHECK_LOOK(0, "CAMPAIGN");
    world_end_lease(world, 0); /* node 1 no longer sees it and founds */
    CHECK_LOOK(1, "CAMPAIGN KEEP LEAD");
    world_new_lease(world, 0);
    CHECK_LOOK(0, "KEEP");
    CHECK_INT(core_of(0)->role, KT_CORE_FOLLOWER);
    CHECK_LOOK(0, "FOLLOW");
    close_world();
}

static void a_win_whose_leader_key_is_gone_already_is_not_led_by(void)
{
    world = world_new();
    world_add(world, 0, true, 0);
    world->fate = FATE_HIDDEN;
    CHECK_LOOK(0, "CAMPAIGN");
    world->leader.present = false;
    CHECK_LOOK(0, "KEEP");
    CHECK_LOOK(0, "CAMPAIGN KEEP LEAD");
    CHECK_INT(core_of(0)->epoch, 2);
    close_world();
}

static void a_campaigning_node_fetches_nothing(void)
{
    open_led();
    /* Another process leads for a while (by hand), and this node follows it. */
    world->leader.present = false;
    CHECK_LOOK(0, "STEP_DOWN");
    world->leader.present = true;
    memcpy(world->leader.id, STRANGER, KT_ID_LEN + 1);
    world->leader.epoch = world->config.value.epoch;
    world->leader.lease = 999;
    CHECK_LOOK(0, "FOLLOW");
    world->leader.present = false;
    world->fate = FATE_LOST;
    CHECK_LOOK(0, "UNFOLLOW CAMPAIGN"); /* in this order */
    CHECK_STR(core_of(0)->leader_id, "");
    close_world();
}

/* --- members --- */

static void all_registered_nodes_become_members_in_one_update(void)
{
    open_led();
    world_add(world, 1, false, -3);
    world_add(world, 2, false, 0);
    CHECK_LOOK(0, "UPDATE KEEP");
    CHECK_INT(world->config.value.version, 2);
    CHECK_INT(world->config.value.epoch, 1);
    CHECK_INT(world->config.value.member_count, 3);
    const struct kt_member *member = kt_cluster_config_member(&world->config.value, world_id(1));
    CHECK(member != NULL);
    CHECK_STR(member->addr, "node1:80");
    CHECK_INT(member->priority, -3);
    CHECK(!member->electable);
    CHECK_INT(world->config.value.in_sync_count, 1); /* in_sync stays {leader} */
    CHECK_LOOK(0, "");
    world_end_lease(world, 1); /* who leaves etcd stays a member */
    CHECK_LOOK(0, "");
    close_world();
}

static void gateways_foreign_and_diverged_nodes_are_no_members(void)
{
    open_led();
    world_put_service(world, "b000000000000001", "gw:9000")->role = KT_ROLE_GATEWAY;
    world_put_service(world, "b000000000000002", "d:80")->state = KT_STATE_DIVERGED;
    memcpy(world_put_service(world, "b000000000000003", "f:80")->cluster, "c000000000000009",
           KT_ID_LEN + 1);
    CHECK_LOOK(0, "");
    CHECK_INT(world->config.value.member_count, 1);
    close_world();
}

static void a_member_that_moved_is_shown_where_it_is(void)
{
    open_led();
    struct kt_service *service = world_put_service(world, STRANGER, "x:80");
    CHECK_LOOK(0, "UPDATE KEEP");
    world_drop_service(world, "x:80");
    service = world_put_service(world, STRANGER, "y:80");
    service->priority = 9;
    CHECK_LOOK(0, "UPDATE KEEP");
    CHECK_STR(kt_cluster_config_member(&world->config.value, STRANGER)->addr, "y:80");
    CHECK_INT(world->config.value.member_count, 2);
    close_world();
}

static void two_entries_with_one_id_do_not_change_the_configuration_in_turn(void)
{
    open_led();
    world_put_service(world, STRANGER, "x:80");
    world_put_service(world, STRANGER, "y:80");
    CHECK_LOOK(0, "");
    world_drop_service(world, "x:80");
    CHECK_LOOK(0, "UPDATE KEEP");
    /* A copy of the leader's own disk does not take its place either. */
    world_put_service(world, world_id(0), "copy:80");
    CHECK_LOOK(0, "");
    CHECK_STR(kt_cluster_config_member(&world->config.value, world_id(0))->addr, "node0:80");
    close_world();
}

static void more_members_than_fit_are_left_out(void)
{
    open_led();
    for (unsigned i = 0; i < KT_MEMBERS_MAX + 5; i++) {
        char id[KT_ID_LEN + 1], addr[32];
        snprintf(id, sizeof(id), "b0000000000%05u", i);
        snprintf(addr, sizeof(addr), "x%u:80", i);
        world_put_service(world, id, addr);
    }
    CHECK_LOOK(0, "UPDATE KEEP");
    CHECK_INT(world->config.value.member_count, KT_MEMBERS_MAX);
    CHECK_LOOK(0, "");
    close_world();
}

static void an_unknown_update_is_sent_again_until_a_view_settles_it(void)
{
    open_led();
    world_add(world, 1, false, 0);
    world->fate = FATE_LOST;
    CHECK_LOOK(0, "UPDATE");
    CHECK_LOOK(0, "");
    world->now_ms += 200;
    world->fate = FATE_HIDDEN;
    CHECK_LOOK(0, "UPDATE");
    CHECK_LOOK(0, "KEEP");
    CHECK(!core_of(0)->txn.active);
    CHECK_INT(core_of(0)->kept.version, 2);
    CHECK_LOOK(0, "");
    close_world();
}

static void an_update_that_lands_after_the_step_down_does_no_harm(void)
{
    open_led();
    world_add(world, 1, false, 0);
    world->fate = FATE_LATE;
    CHECK_LOOK(0, "UPDATE");
    world_tell(world, 0, KT_EV_FAULT, "disk");
    CHECK(!core_of(0)->txn.active);
    world_land(world);
    CHECK_LOOK(0, "KEEP DELETE");
    world->now_ms += 1000;
    CHECK_LOOK(0, "CAMPAIGN KEEP LEAD");
    CHECK_INT(world->config.value.version, 3);
    CHECK_INT(world->config.value.member_count, 2);
    close_world();
}

static const struct kt_test tests[] = {
    TEST(a_lost_campaign_is_sent_again_after_a_fifth_of_a_second),
    TEST(a_campaign_is_not_sent_again_and_not_led_by_when_the_lease_clock_has_ended),
    TEST(a_win_without_an_answer_is_known_by_its_nonce),
    TEST(a_refusal_is_not_final_while_an_earlier_sending_is_unknown),
    TEST(a_plain_refusal_is_final_and_the_next_view_decides),
    TEST(an_unknown_campaign_that_another_won_is_over),
    TEST(a_win_whose_leader_key_is_gone_already_is_not_led_by),
    TEST(a_campaigning_node_fetches_nothing),
    TEST(all_registered_nodes_become_members_in_one_update),
    TEST(gateways_foreign_and_diverged_nodes_are_no_members),
    TEST(a_member_that_moved_is_shown_where_it_is),
    TEST(two_entries_with_one_id_do_not_change_the_configuration_in_turn),
    TEST(more_members_than_fit_are_left_out),
    TEST(an_unknown_update_is_sent_again_until_a_view_settles_it),
    TEST(an_update_that_lands_after_the_step_down_does_no_harm),
};

KT_TEST_MAIN(tests)

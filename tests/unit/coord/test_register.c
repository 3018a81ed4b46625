/* SPDX-License-Identifier: MIT */
/* A process's own entry and its lease, against an etcd that is installed here. */
#include "coord/rig.h"

#include "base/clock.h"
#include "base/mem.h"

static struct kt_error err;

static void a_process_registers_and_its_value_can_be_read(void)
{
    struct node node;
    struct kt_coord_view *view;
    struct kt_etcd_list list;
    size_t two = 2, one = 1;
    struct node other;

    if (!begin()) {
        return;
    }
    CHECK(start(&node, "/reg", 1));
    view = wait_view(&node, is_registered, NULL, 5000);
    CHECK(view);
    CHECK_INT(view->service_count, 1);
    CHECK_STR(view->services[0].addr, "127.0.0.1:8001");
    CHECK_STR(view->services[0].service_name, "data");
    CHECK_STR(view->services[0].id, node.self.id);
    CHECK_INT(view->services[0].lease, view->own_lease);
    CHECK(view->number > 0 && view->revision > 0);
    CHECK(!view->leader.present && !view->config.present);
    kt_coord_view_unref(&view);
    CHECK(__atomic_load_n(&node.changes, __ATOMIC_ACQUIRE) > 0);
    kt_etcd_list_init(&list);
    CHECK_OK(kt_etcd_range(etcd, kt_str(node.key), false, &list, &err));
    CHECK_INT(list.count, 1);
    kt_etcd_list_done(&list);
    CHECK(kt_coord_lease_end_mono_ms(node.coord, KT_COORD_CURRENT_LEASE) > kt_now_mono_ms());
    CHECK(kt_coord_lease_end_mono_ms(node.coord, KT_COORD_CURRENT_LEASE) <=
          kt_now_mono_ms() + 2700);
    CHECK(start(&other, "/reg", 2));
    CHECK(holds_within(&node, has_services, &two, 5000));
    kt_coord_deregister(other.coord, 1000);
    CHECK(holds_within(&node, has_services, &one, 1000));
    kt_coord_free(&other.coord);
    kt_coord_free(&node.coord);
    end();
}

static void who_starts_without_registering_only_watches(void)
{
    struct node node;
    bool yes = true;
    struct kt_coord_view *view;

    if (!begin()) {
        return;
    }
    fill_self(&node, "/lazy", 1);
    CHECK(start_at(&node, server.endpoint, false));
    view = wait_view(&node, is_reachable, &yes, 5000);
    CHECK(view);
    CHECK_INT(view->own_lease, 0);
    kt_coord_view_unref(&view);
    CHECK_INT(kt_coord_lease_end_mono_ms(node.coord, KT_COORD_CURRENT_LEASE), 0);
    CHECK_INT(keys_of(node.key), 0);
    kt_coord_set_service(node.coord, &node.self);
    CHECK(holds_within(&node, is_registered, NULL, 5000));
    kt_coord_deregister(node.coord, 1000);
    kt_coord_free(&node.coord);
    end();
}

static void the_lease_is_kept_beyond_its_ttl(void)
{
    struct node node;
    struct kt_coord_view *view;
    int64_t lease, deadline_ms;
    if (!begin()) {
        return;
    }
    CHECK(start(&node, "/keep", 1));
    view = wait_view(&node, is_registered, NULL, 5000);
    CHECK(view);
    lease = view->own_lease;
    kt_coord_view_unref(&view);
    deadline_ms = kt_now_mono_ms() + 4500;
    while (kt_now_mono_ms() < deadline_ms) {
        CHECK(kt_coord_lease_end_mono_ms(node.coord, KT_COORD_CURRENT_LEASE) > kt_now_mono_ms());
        kt_test_pause();
    }
    view = kt_coord_view(node.coord);
    CHECK_INT(view->own_lease, lease);
    CHECK(view->own_key_present);
    kt_coord_view_unref(&view);
    CHECK_INT(keys_of(node.key), 1);
    kt_coord_deregister(node.coord, 1000);
    kt_coord_free(&node.coord);
    end();
}

static void a_deleted_key_is_put_again_within_ttl(void)
{
    struct node node;
    struct kt_coord_view *view;
    int64_t lease, revision, deleted = 0;

    if (!begin()) {
        return;
    }
    CHECK(start(&node, "/del", 1));
    view = wait_view(&node, is_registered, NULL, 5000);
    CHECK(view);
    lease = view->own_lease;
    revision = view->services[0].mod_revision;
    kt_coord_view_unref(&view);
    CHECK_OK(kt_etcd_delete(etcd, kt_str(node.key), false, &deleted, &err));
    CHECK_INT(deleted, 1);
    view = wait_view(&node, is_registered_later, &revision, 3000);
    CHECK(view);
    CHECK_INT(view->own_lease, lease);
    revision = view->services[0].mod_revision;
    kt_coord_view_unref(&view);
    /* Who writes my key over is written over too. */
    CHECK_OK(kt_etcd_put(etcd, kt_str(node.key), KT_STR("{}"), 0, NULL, &err));
    view = wait_view(&node, is_registered_later, &revision, 3000);
    CHECK(view);
    kt_coord_view_unref(&view);
    /* And an old value of mine that comes late. */
    CHECK_OK(kt_etcd_put(etcd, kt_str(node.key),
                         KT_STR("{\"id\":\"0000000000000001\",\"role\":\"leader\"}"), lease,
                         &revision, &err));
    view = wait_view(&node, is_registered_later, &revision, 3000);
    CHECK(view);
    CHECK_INT(view->services[0].role, KT_ROLE_FOLLOWER);
    kt_coord_view_unref(&view);
    kt_coord_deregister(node.coord, 1000);
    kt_coord_free(&node.coord);
    end();
}

static void a_revoked_lease_is_replaced_and_the_leader_key_is_not_put_again(void)
{
    struct node node;
    struct kt_coord_view *view;
    int64_t lease;

    if (!begin()) {
        return;
    }
    CHECK(start(&node, "/rev", 1));
    view = wait_view(&node, is_registered, NULL, 5000);
    CHECK(view);
    lease = view->own_lease;
    CHECK_INT(campaign(&node, view, 1), KT_TXN_DONE);
    kt_coord_view_unref(&view);
    CHECK(holds_within(&node, leads, NULL, 3000));
    CHECK_OK(kt_etcd_lease_revoke(etcd, lease, &err));
    view = wait_view(&node, is_registered_elsewhere, &lease, 3500);
    CHECK(view);
    CHECK(!view->leader.present);
    CHECK(view->config.valid);
    CHECK(kt_coord_lease_end_mono_ms(node.coord, KT_COORD_CURRENT_LEASE) > kt_now_mono_ms());
    kt_coord_view_unref(&view);
    CHECK_INT(keys_of("/rev/cluster/leader"), 0);
    kt_coord_deregister(node.coord, 1000);
    kt_coord_free(&node.coord);
    end();
}

static void deregistering_takes_the_key_out_at_once(void)
{
    struct node node;
    int64_t started_ms;
    struct kt_coord_view *view;

    if (!begin()) {
        return;
    }
    CHECK(start(&node, "/dereg", 1));
    CHECK(holds_within(&node, is_registered, NULL, 5000));
    started_ms = kt_now_mono_ms();
    kt_coord_deregister(node.coord, 1000);
    CHECK(kt_now_mono_ms() - started_ms < (kt_test_is_slow() ? 1000 : 300));
    CHECK_INT(keys_of(node.key), 0);
    CHECK_INT(kt_coord_lease_end_mono_ms(node.coord, KT_COORD_CURRENT_LEASE), 0);
    view = kt_coord_view(node.coord);
    CHECK(view->complete);
    CHECK(!view->own_key_present);
    CHECK_INT(view->own_lease, 0);
    kt_coord_view_unref(&view);
    kt_coord_free(&node.coord);
    end();
}

static void free_without_deregistering_leaves_the_key_to_its_ttl(void)
{
    struct node node, next;

    if (!begin()) {
        return;
    }
    CHECK(start(&node, "/kill", 1));
    CHECK(holds_within(&node, is_registered, NULL, 5000));
    kt_coord_free(&node.coord);
    CHECK_INT(keys_of(node.key), 1);
    /* The next process with this address writes over it. */
    CHECK(start(&next, "/kill", 1));
    CHECK(holds_within(&next, is_registered, NULL, 3000));
    kt_coord_deregister(next.coord, 1000);
    CHECK_INT(keys_of(next.key), 0);
    kt_coord_free(&next.coord);
    end();
}

static void urgent_changes_are_put_at_once_and_others_within_a_third_of_ttl(void)
{
    struct node node;
    struct kt_coord_view *view;
    int64_t revision, started_ms;

    if (!begin()) {
        return;
    }
    CHECK(start(&node, "/chg", 1));
    view = wait_view(&node, is_registered, NULL, 5000);
    CHECK(view);
    revision = view->services[0].mod_revision;
    kt_coord_view_unref(&view);
    started_ms = kt_now_mono_ms();
    node.self.role = KT_ROLE_LEADER;
    kt_coord_set_service(node.coord, &node.self);
    view = wait_view(&node, is_registered_later, &revision, 3000);
    CHECK(view);
    CHECK(kt_now_mono_ms() - started_ms < (kt_test_is_slow() ? 900 : 500));
    CHECK_INT(view->services[0].role, KT_ROLE_LEADER);
    revision = view->services[0].mod_revision;
    kt_coord_view_unref(&view);
    started_ms = kt_now_mono_ms();
    for (uint64_t i = 1; i <= 200; i++) {
        node.self.revision = i;
        kt_coord_set_service(node.coord, &node.self);
    }
    view = wait_view(&node, is_registered_later, &revision, 3000);
    CHECK(view);
    CHECK_INT(view->services[0].revision, 200);
    CHECK(kt_now_mono_ms() - started_ms > 400);
    kt_coord_view_unref(&view);
    kt_coord_deregister(node.coord, 1000);
    kt_coord_free(&node.coord);
    end();
}

static void bad_options_are_refused(void)
{
    struct kt_coord *coord = NULL;
    struct kt_service self = {.id = "00000000000000aa"};
    const struct kt_coord_options good = {.endpoints = "127.0.0.1:1",
                                          .prefix = "/kamaitachi",
                                          .ttl_s = 5,
                                          .service_name = "data",
                                          .addr = "127.0.0.1:8080",
                                          .self = &self};
    struct kt_coord_options bad[10];
    size_t count = KT_ARRAY_LEN(bad);

    for (size_t i = 0; i < count; i++) {
        bad[i] = good;
    }
    bad[0].endpoints = "";
    bad[1].prefix = "kamaitachi";
    bad[2].prefix = "/kamaitachi/";
    bad[3].prefix = "";
    bad[4].ttl_s = 2;
    bad[5].ttl_s = 61;
    bad[6].service_name = "a/b";
    bad[7].addr = "";
    bad[8].service_name = NULL;
    bad[9].addr = NULL;
    for (size_t i = 0; i < count; i++) {
        CHECK_FAILS(kt_coord_start_etcd(&bad[i], &coord, &err), KT_BAD_VALUE);
        CHECK(coord == NULL);
    }
    CHECK_OK(kt_coord_start_etcd(&good, &coord, &err));
    kt_coord_free(&coord);
}

static void a_withdrawn_entry_is_gone_at_once_and_the_leader_key_stays_beyond_ttl(void)
{
    struct node node;
    struct kt_coord_view *view;
    char leader[100];
    int64_t lease, until_ms;
    size_t none = 0;

    if (!begin()) {
        return;
    }
    CHECK(start(&node, "/draw", 1));
    view = wait_view(&node, is_registered, NULL, 5000);
    CHECK(view);
    lease = view->own_lease;
    CHECK_INT(campaign(&node, view, 1), KT_TXN_DONE);
    kt_coord_view_unref(&view);
    CHECK(holds_within(&node, leads, NULL, 3000));
    kt_coord_withdraw(node.coord);
    CHECK(holds_within(&node, has_services, &none, 2000));
    CHECK_INT(keys_of(node.key), 0);
    node.self.revision++;
    node.self.state = KT_STATE_COPYING; /* urgent otherwise */
    kt_coord_set_service(node.coord, &node.self);
    snprintf(leader, sizeof(leader), "%s/cluster/leader", node.prefix);
    until_ms = kt_now_mono_ms() + 3500; /* beyond ttl: the lease is still renewed */
    while (kt_now_mono_ms() < until_ms) {
        CHECK_INT(keys_of(node.key), 0);
        CHECK_INT(keys_of(leader), 1);
        kt_test_pause();
    }
    CHECK(kt_coord_lease_end_mono_ms(node.coord, lease) > kt_now_mono_ms());
    CHECK(holds_within(&node, leads, NULL, 0));
    kt_coord_deregister(node.coord, 1000);
    CHECK_INT(keys_of(leader), 0);
    kt_coord_free(&node.coord);
    end();
}

/* An earlier put whose answer was lost may reach etcd after the delete. */
static void a_put_that_comes_late_does_not_bring_a_withdrawn_entry_back(void)
{
    struct node node;
    struct kt_coord_view *view;
    int64_t deadline_ms = kt_now_mono_ms() + 5000;
    size_t none = 0;

    if (!begin()) {
        return;
    }
    CHECK(start(&node, "/late", 1));
    view = wait_view(&node, is_registered, NULL, 5000);
    CHECK(view);
    kt_coord_withdraw(node.coord);
    CHECK(holds_within(&node, has_services, &none, 2000));
    CHECK_OK(kt_etcd_put(etcd, kt_str(node.key),
                         KT_STR("{\"id\":\"0000000000000001\",\"role\":\"follower\"}"),
                         view->own_lease, NULL, &err));
    while (keys_of(node.key) != 0) {
        CHECK(kt_now_mono_ms() < deadline_ms);
        kt_test_pause();
    }
    /* A successor's, under a lease of its own, is left alone. */
    CHECK_OK(kt_etcd_put(etcd, kt_str(node.key),
                         KT_STR("{\"id\":\"0000000000000002\",\"role\":\"follower\"}"), 0, NULL,
                         &err));
    kt_coord_view_unref(&view);
    kt_coord_deregister(node.coord, 1000);
    CHECK_INT(keys_of(node.key), 1);
    CHECK_OK(kt_etcd_delete(etcd, kt_str(node.key), false, NULL, &err));
    kt_coord_free(&node.coord);
    end();
}

/* The leader key hangs on the lease under which it was won; a later lease says nothing of it. */
static void the_lease_clock_of_a_lost_lease_has_ended_although_a_new_one_runs(void)
{
    struct node node;
    struct kt_coord_view *view;
    int64_t lease;

    if (!begin()) {
        return;
    }
    CHECK(start(&node, "/clock", 1));
    view = wait_view(&node, is_registered, NULL, 5000);
    CHECK(view);
    lease = view->own_lease;
    kt_coord_view_unref(&view);
    CHECK(kt_coord_lease_end_mono_ms(node.coord, lease) > kt_now_mono_ms());
    CHECK_OK(kt_etcd_lease_revoke(etcd, lease, &err));
    CHECK(holds_within(&node, is_registered_elsewhere, &lease, 5000));
    CHECK_INT(kt_coord_lease_end_mono_ms(node.coord, lease), 0);
    CHECK(kt_coord_lease_end_mono_ms(node.coord, KT_COORD_CURRENT_LEASE) > kt_now_mono_ms());
    CHECK_INT(kt_coord_lease_end_mono_ms(node.coord, 0), 0);
    kt_coord_deregister(node.coord, 1000);
    kt_coord_free(&node.coord);
    end();
}

static const struct kt_test tests[] = {
    TEST(a_process_registers_and_its_value_can_be_read),
    TEST(who_starts_without_registering_only_watches),
    TEST(the_lease_is_kept_beyond_its_ttl),
    TEST(a_deleted_key_is_put_again_within_ttl),
    TEST(a_revoked_lease_is_replaced_and_the_leader_key_is_not_put_again),
    TEST(deregistering_takes_the_key_out_at_once),
    TEST(free_without_deregistering_leaves_the_key_to_its_ttl),
    TEST(urgent_changes_are_put_at_once_and_others_within_a_third_of_ttl),
    TEST(a_withdrawn_entry_is_gone_at_once_and_the_leader_key_stays_beyond_ttl),
    TEST(a_put_that_comes_late_does_not_bring_a_withdrawn_entry_back),
    TEST(the_lease_clock_of_a_lost_lease_has_ended_although_a_new_one_runs),
    TEST(bad_options_are_refused),
};

int main(int argc, char **argv)
{
    return run_tests(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}

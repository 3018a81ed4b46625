/* SPDX-License-Identifier: MIT */
/* Campaigns, changes of the configuration and the leader key, against a real etcd. */
#include "coord/rig.h"

#include "base/clock.h"
#include "base/mem.h"

static struct kt_error err;

static void a_campaign_is_won_once_and_again_under_ones_own_lease(void)
{
    struct node a, b;
    struct kt_coord_view *before, *view;

    if (!begin()) {
        return;
    }
    CHECK(start(&a, "/camp", 1));
    CHECK(start(&b, "/camp", 2));
    before = wait_view(&b, is_registered, NULL, 5000);
    view = wait_view(&a, is_registered, NULL, 5000);
    CHECK(before && view);
    CHECK_INT(campaign(&a, view, 1), KT_TXN_DONE);
    /* Neither the same view again nor another's old one can win. */
    CHECK_INT(campaign(&a, view, 2), KT_TXN_REFUSED);
    CHECK_INT(campaign(&b, before, 2), KT_TXN_REFUSED);
    kt_coord_view_unref(&before);
    kt_coord_view_unref(&view);
    view = wait_view(&a, leads, NULL, 3000);
    CHECK(view);
    CHECK_STR(view->leader.id, a.self.id);
    CHECK_STR(view->leader.addr, a.self.addr);
    CHECK_INT(view->leader.epoch, 1);
    /* Leader key and config came by one txn and are in one view. */
    CHECK(view->config.valid && view->config.value.version == 1);
    CHECK_INT(campaign(&a, view, 2), KT_TXN_DONE);
    kt_coord_view_unref(&view);
    /* A foreign leader key, config as in the view: refused. */
    view = wait_view(&b, has_config_version, &(uint64_t){2}, 3000);
    CHECK(view);
    CHECK(view->leader.present && !view->leader.mine);
    CHECK_INT(campaign(&b, view, 3), KT_TXN_REFUSED);
    kt_coord_view_unref(&view);
    kt_coord_deregister(a.coord, 1000);
    kt_coord_free(&a.coord);
    view = wait_view(&b, has_leader, &(bool){false}, 3000);
    CHECK(view);
    CHECK_INT(campaign(&b, view, 3), KT_TXN_DONE);
    kt_coord_view_unref(&view);
    kt_coord_deregister(b.coord, 1000);
    kt_coord_free(&b.coord);
    end();
}

static void a_campaign_compares_the_configs_value_beside_its_revision(void)
{
    struct node node;
    struct kt_coord_view *view, *forged;

    if (!begin()) {
        return;
    }
    CHECK(start(&node, "/val", 1));
    view = wait_view(&node, is_registered, NULL, 5000);
    CHECK(view);
    CHECK_INT(campaign(&node, view, 1), KT_TXN_DONE);
    kt_coord_view_unref(&view);
    view = wait_view(&node, leads, NULL, 3000);
    CHECK(view);
    /* The number as it is, another text: a store that counted from 1 again. */
    forged = kt_calloc(1, sizeof(*forged));
    forged->leader = view->leader; /* not the count of references, which others change */
    forged->config = view->config;
    forged->config.text = (char *)(uintptr_t) "{\"version\":1}";
    CHECK_INT(campaign(&node, forged, 2), KT_TXN_REFUSED);
    forged->config.text = view->config.text;
    forged->config.mod_revision++;
    CHECK_INT(campaign(&node, forged, 2), KT_TXN_REFUSED);
    forged->config.present = false;
    CHECK_INT(campaign(&node, forged, 2), KT_TXN_REFUSED);
    kt_free(forged);
    CHECK_INT(campaign(&node, view, 2), KT_TXN_DONE);
    kt_coord_view_unref(&view);
    kt_coord_deregister(node.coord, 1000);
    kt_coord_free(&node.coord);
    end();
}

/* Looks at each change: a service that is gone while its leader key stands, or the reverse? */
struct watcher {
    struct kt_coord *coord; /* atomic: set when the start is over */
    int halves;             /* atomic */
};

static void look_for_halves(void *ctx)
{
    struct watcher *watcher = ctx;
    struct kt_coord *coord = __atomic_load_n(&watcher->coord, __ATOMIC_ACQUIRE);
    struct kt_coord_view *view;

    if (!coord) {
        return;
    }
    view = kt_coord_view(coord);
    if (view->config.present && view->leader.present != (view->service_count == 1)) {
        __atomic_add_fetch(&watcher->halves, 1, __ATOMIC_ACQ_REL);
    }
    kt_coord_view_unref(&view);
}

static void all_events_of_one_revision_enter_one_view(void)
{
    struct watcher watcher = {NULL, 0};
    struct node node;
    struct kt_coord_options options = {.endpoints = server.endpoint,
                                       .prefix = "/one",
                                       .ttl_s = 3,
                                       .on_change = look_for_halves,
                                       .on_change_ctx = &watcher};
    struct kt_coord *coord = NULL;
    struct kt_coord_view *view;

    if (!begin()) {
        return;
    }
    CHECK_OK(kt_coord_start_etcd(&options, &coord, &err));
    __atomic_store_n(&watcher.coord, coord, __ATOMIC_RELEASE);
    for (int i = 0; i < 5; i++) {
        CHECK(start(&node, "/one", 1));
        view = wait_view(&node, is_registered, NULL, 5000);
        CHECK(view);
        CHECK_INT(campaign(&node, view, (uint64_t)i + 1), KT_TXN_DONE);
        kt_coord_view_unref(&view);
        CHECK(holds_within(&node, leads, NULL, 3000));
        kt_coord_deregister(node.coord, 1000); /* leader and service key hang on one lease */
        kt_coord_free(&node.coord);
        CHECK_INT(keys_of("/one/cluster/leader"), 0);
        CHECK_OK(kt_etcd_delete(etcd, KT_STR("/one/cluster/config"), false, NULL, &err));
    }
    CHECK_INT(__atomic_load_n(&watcher.halves, __ATOMIC_ACQUIRE), 0);
    kt_coord_free(&coord);
    end();
}

static void only_the_leader_updates_the_config(void)
{
    struct node a, b;
    struct kt_coord_view *view;
    struct kt_cluster_config *config = kt_calloc(1, sizeof(*config));

    if (!begin()) {
        kt_free(config);
        return;
    }
    CHECK(start(&a, "/upd", 1));
    CHECK(start(&b, "/upd", 2));
    CHECK(holds_within(&b, is_registered, NULL, 5000));
    view = wait_view(&a, is_registered, NULL, 5000);
    CHECK(view);
    fill_config(config, &a, 2);
    CHECK_INT(kt_coord_update_config(a.coord, view, config, &err), KT_TXN_REFUSED);
    CHECK_INT(campaign(&a, view, 1), KT_TXN_DONE);
    kt_coord_view_unref(&view);
    view = wait_view(&b, has_config_version, &(uint64_t){1}, 3000);
    CHECK(view);
    CHECK_INT(kt_coord_update_config(b.coord, view, config, &err), KT_TXN_REFUSED);
    kt_coord_view_unref(&view);
    view = wait_view(&a, leads, NULL, 3000);
    CHECK(view);
    CHECK_INT(kt_coord_update_config(a.coord, view, config, &err), KT_TXN_DONE);
    CHECK_INT(kt_coord_update_config(a.coord, view, config, &err), KT_TXN_REFUSED);
    kt_coord_view_unref(&view);
    CHECK(holds_within(&b, has_config_version, &(uint64_t){2}, 3000));
    kt_free(config);
    kt_coord_deregister(a.coord, 1000);
    kt_coord_deregister(b.coord, 1000);
    kt_coord_free(&a.coord);
    kt_coord_free(&b.coord);
    end();
}

static void a_leader_key_is_deleted_only_as_it_was_created(void)
{
    struct node node;
    struct kt_coord_view *first, *second;

    if (!begin()) {
        return;
    }
    CHECK(start(&node, "/dl", 1));
    first = wait_view(&node, is_registered, NULL, 5000);
    CHECK(first);
    CHECK_INT(kt_coord_delete_leader(node.coord, first, &err), KT_TXN_REFUSED);
    CHECK_INT(campaign(&node, first, 1), KT_TXN_DONE);
    kt_coord_view_unref(&first);
    first = wait_view(&node, leads, NULL, 3000);
    CHECK(first);
    CHECK_INT(kt_coord_delete_leader(node.coord, first, &err), KT_TXN_DONE);
    second = wait_view(&node, has_leader, &(bool){false}, 3000);
    CHECK(second);
    CHECK_INT(campaign(&node, second, 2), KT_TXN_DONE);
    kt_coord_view_unref(&second);
    /* By the view of the first reign the second one stands. */
    CHECK_INT(kt_coord_delete_leader(node.coord, first, &err), KT_TXN_REFUSED);
    CHECK(holds_within(&node, leads, NULL, 3000));
    CHECK_INT(keys_of("/dl/cluster/leader"), 1);
    kt_coord_view_unref(&first);
    kt_coord_deregister(node.coord, 1000);
    kt_coord_free(&node.coord);
    end();
}

static void a_config_that_cannot_be_read_is_shown_as_invalid(void)
{
    struct node node;
    struct kt_coord_view *view;

    if (!begin()) {
        return;
    }
    CHECK_OK(kt_etcd_put(etcd, KT_STR("/inv/cluster/config"), KT_STR("{\"version\":\"x\"}"), 0,
                         NULL, &err));
    CHECK_OK(
        kt_etcd_put(etcd, KT_STR("/inv/services/data/10.0.0.1:1"), KT_STR("junk"), 0, NULL, &err));
    CHECK_OK(kt_etcd_put(etcd, KT_STR("/inv/services/odd"), KT_STR("junk"), 0, NULL, &err));
    CHECK_OK(kt_etcd_put(etcd, KT_STR("/inv/config/gateway/rate"), KT_STR("5"), 0, NULL, &err));
    CHECK_OK(kt_etcd_put(etcd, KT_STR("/inv2/cluster/leader"), KT_STR("{}"), 0, NULL, &err));
    CHECK(start(&node, "/inv", 1));
    CHECK(holds_within(&node, is_registered, NULL, 5000));
    view = wait_view(&node, is_config_invalid, NULL, 3000);
    CHECK(view);
    CHECK(view->config.why_invalid[0]);
    CHECK_STR(view->config.text, "{\"version\":\"x\"}");
    CHECK_INT(view->service_count, 1);
    CHECK(!view->leader.present);
    kt_coord_view_unref(&view);
    kt_coord_deregister(node.coord, 1000);
    kt_coord_free(&node.coord);
    end();
}

static const struct kt_test tests[] = {
    TEST(a_campaign_is_won_once_and_again_under_ones_own_lease),
    TEST(a_campaign_compares_the_configs_value_beside_its_revision),
    TEST(all_events_of_one_revision_enter_one_view),
    TEST(only_the_leader_updates_the_config),
    TEST(a_leader_key_is_deleted_only_as_it_was_created),
    TEST(a_config_that_cannot_be_read_is_shown_as_invalid),
};

int main(int argc, char **argv)
{
    return run_tests(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}

/* SPDX-License-Identifier: MIT */
/* What etcd does to its clients: compaction, loss of its disk, hanging, being away. */
#include "coord/rig.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

static struct kt_error err;

static void compaction_under_a_watch_loses_nothing(void)
{
    struct node node;
    char body[64], answer[256];
    int64_t revision = 0;
    size_t one = 1, two = 2;

    if (!begin()) {
        return;
    }
    CHECK(start(&node, "/cpt", 1));
    CHECK(holds_within(&node, is_registered, NULL, 5000));
    for (int i = 0; i < 20; i++) {
        CHECK_OK(kt_etcd_put(etcd, KT_STR("/elsewhere"), KT_STR("x"), 0, &revision, &err));
    }
    snprintf(body, sizeof(body), "{\"revision\":\"%lld\"}", (long long)revision);
    CHECK(real_etcd_post(&server, "/v3/kv/compaction", body, answer, sizeof(answer)));
    CHECK_OK(kt_etcd_put(etcd, KT_STR("/cpt/services/data/10.0.0.1:1"),
                         KT_STR("{\"id\":\"00000000000000aa\",\"role\":\"follower\"}"), 0, NULL,
                         &err));
    CHECK(holds_within(&node, has_services, &two, 3000));
    CHECK_OK(kt_etcd_delete(etcd, KT_STR("/cpt/services/data/10.0.0.1:1"), false, NULL, &err));
    CHECK(holds_within(&node, has_services, &one, 3000));
    kt_coord_deregister(node.coord, 1000);
    kt_coord_free(&node.coord);
    end();
}

static void etcd_killed_and_restarted_finds_everyone_back(void)
{
    struct real_etcd own;
    struct node node;
    bool no = false, yes = true;
    struct kt_etcd_options options = {.endpoints = own.endpoint, .call_timeout_ms = 2000};
    struct kt_etcd *mine = NULL;

    kt_log_setup(stderr, KT_LOG_OFF, false);
    if (!real_etcd_start(&own, "killed")) {
        return;
    }
    fill_self(&node, "/back", 1);
    CHECK(start_at(&node, own.endpoint, true));
    CHECK(holds_within(&node, is_registered, NULL, 5000));
    real_etcd_kill(&own);
    CHECK(holds_within(&node, is_reachable, &no, 5000));
    CHECK(real_etcd_restart(&own));
    CHECK(holds_within(&node, is_reachable, &yes, 10000));
    CHECK(holds_within(&node, is_registered, NULL, 10000));
    CHECK_OK(kt_etcd_new(&options, &mine, &err));
    /* And the watch lives: what happens now is seen. */
    CHECK_OK(kt_etcd_put(mine, KT_STR("/back/services/data/10.0.0.1:1"),
                         KT_STR("{\"id\":\"00000000000000aa\",\"role\":\"follower\"}"), 0, NULL,
                         &err));
    CHECK(holds_within(&node, has_services, &(size_t){2}, 5000));
    kt_etcd_free(&mine);
    kt_coord_deregister(node.coord, 1000);
    kt_coord_free(&node.coord);
    real_etcd_stop(&own);
}

static void etcd_that_lost_its_disk_is_registered_in_again(void)
{
    struct real_etcd own, fresh;
    struct node node;
    struct kt_etcd_options options = {.endpoints = own.endpoint, .call_timeout_ms = 2000};
    struct kt_etcd *mine = NULL;
    struct kt_coord_view *view;

    kt_log_setup(stderr, KT_LOG_OFF, false);
    if (!real_etcd_start(&own, "disk")) {
        return;
    }
    CHECK_OK(kt_etcd_new(&options, &mine, &err));
    for (int i = 0; i < 50; i++) { /* so that its revisions are far ahead of the next one's */
        CHECK_OK(kt_etcd_put(mine, KT_STR("/elsewhere"), KT_STR("x"), 0, NULL, &err));
    }
    fill_self(&node, "/disk", 1);
    CHECK(start_at(&node, own.endpoint, true));
    view = wait_view(&node, is_registered, NULL, 5000);
    CHECK(view);
    CHECK(view->revision > 50);
    CHECK_INT(campaign(&node, view, 1), KT_TXN_DONE);
    kt_coord_view_unref(&view);
    CHECK(holds_within(&node, leads, NULL, 3000));
    real_etcd_kill(&own);
    fresh = own;
    snprintf(fresh.dir, sizeof(fresh.dir), "%s", kt_test_dir());
    CHECK(real_etcd_restart(&fresh));
    view = wait_view(&node, has_leader, &(bool){false}, 10000);
    CHECK(view);
    kt_coord_view_unref(&view);
    view = wait_view(&node, is_registered, NULL, 10000);
    CHECK(view);
    CHECK(view->revision < 50);
    CHECK(!view->config.present);
    kt_coord_view_unref(&view);
    kt_etcd_free(&mine);
    kt_coord_deregister(node.coord, 1000);
    kt_coord_free(&node.coord);
    real_etcd_stop(&fresh);
}

static void a_hung_etcd_lets_the_lease_clock_run_out_and_comes_back(void)
{
    struct real_etcd own;
    struct node node;
    bool no = false;
    int64_t deadline_ms;
    kt_log_setup(stderr, KT_LOG_OFF, false);
    if (!real_etcd_start(&own, "hung")) {
        return;
    }
    fill_self(&node, "/hung", 1);
    CHECK(start_at(&node, own.endpoint, true));
    CHECK(holds_within(&node, is_registered, NULL, 5000));
    real_etcd_pause(&own);
    deadline_ms = kt_now_mono_ms() + 5000;
    while (kt_coord_lease_end_mono_ms(node.coord, KT_COORD_CURRENT_LEASE) > kt_now_mono_ms()) {
        CHECK(kt_now_mono_ms() < deadline_ms);
        kt_test_pause();
    }
    CHECK(holds_within(&node, is_reachable, &no, 5000));
    real_etcd_resume(&own);
    CHECK(holds_within(&node, is_registered, NULL, 10000));
    deadline_ms = kt_now_mono_ms() + 5000;
    while (kt_coord_lease_end_mono_ms(node.coord, KT_COORD_CURRENT_LEASE) <= kt_now_mono_ms()) {
        CHECK(kt_now_mono_ms() < deadline_ms);
        kt_test_pause();
    }
    kt_coord_deregister(node.coord, 1000);
    kt_coord_free(&node.coord);
    real_etcd_stop(&own);
}

static void started_before_etcd_it_registers_when_etcd_comes(void)
{
    struct real_etcd own;
    struct node node;
    struct kt_coord_view *view;

    kt_log_setup(stderr, KT_LOG_OFF, false);
    if (!real_etcd_start(&own, "late")) {
        return;
    }
    real_etcd_kill(&own);
    fill_self(&node, "/late", 1);
    CHECK(start_at(&node, own.endpoint, true));
    view = kt_coord_view(node.coord);
    CHECK(!view->complete && !view->reachable);
    CHECK_INT(view->revision, 0);
    CHECK_INT(campaign(&node, view, 1), KT_TXN_UNKNOWN);
    kt_coord_view_unref(&view);
    CHECK(real_etcd_restart(&own));
    CHECK(holds_within(&node, is_registered, NULL, 5000));
    kt_coord_free(&node.coord);
    real_etcd_stop(&own);
}

static void deregistering_from_an_etcd_that_is_gone_ends_in_time(void)
{
    struct real_etcd own;
    struct node node;
    int64_t started_ms;

    kt_log_setup(stderr, KT_LOG_OFF, false);
    if (!real_etcd_start(&own, "gone")) {
        return;
    }
    fill_self(&node, "/gone", 1);
    CHECK(start_at(&node, own.endpoint, true));
    CHECK(holds_within(&node, is_registered, NULL, 5000));
    real_etcd_pause(&own);
    started_ms = kt_now_mono_ms();
    kt_coord_deregister(node.coord, 300);
    CHECK(kt_now_mono_ms() - started_ms < 1500);
    kt_coord_free(&node.coord);
    real_etcd_resume(&own);
    real_etcd_stop(&own);
}

static const struct kt_test tests[] = {
    TEST(compaction_under_a_watch_loses_nothing),
    TEST(etcd_killed_and_restarted_finds_everyone_back),
    TEST(etcd_that_lost_its_disk_is_registered_in_again),
    TEST(a_hung_etcd_lets_the_lease_clock_run_out_and_comes_back),
    TEST(started_before_etcd_it_registers_when_etcd_comes),
    TEST(deregistering_from_an_etcd_that_is_gone_ends_in_time),
};

int main(int argc, char **argv)
{
    return run_tests(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}

/* SPDX-License-Identifier: MIT */
/* The etcd maker against an etcd that is installed here. Each test has a prefix of its own. */
#include "coord/coord.h"
#include "etcd/real_etcd.h"
#include "kt_test.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"

#include <stdio.h>

static struct kt_error err;
static struct real_etcd server;
static struct kt_etcd *etcd; /* the test's own look at it */

struct node {
    struct kt_coord *coord;
    struct kt_service self;
    char prefix[64], key[400];
    int changes; /* atomic: calls of on_change */
};

static void on_change(void *ctx)
{
    __atomic_add_fetch(&((struct node *)ctx)->changes, 1, __ATOMIC_ACQ_REL);
}

static bool begin(void)
{
    struct kt_etcd_options options = {server.endpoint, 2000};

    kt_log_setup(stderr, KT_LOG_OFF, false);
    if (server.pid == 0 && !real_etcd_start(&server, "shared")) {
        return false;
    }
    if (kt_etcd_new(&options, &etcd, &err) != KT_OK) {
        kt_test_fail(__FILE__, __LINE__, "%s", err.message);
        return false;
    }
    return true;
}

static void end(void)
{
    kt_etcd_free(&etcd);
}

static void fill_self(struct node *node, const char *prefix, int number)
{
    memset(node, 0, sizeof(*node));
    snprintf(node->self.addr, sizeof(node->self.addr), "127.0.0.1:%d", 8000 + number);
    snprintf(node->self.id, sizeof(node->self.id), "%016x", (unsigned)number);
    snprintf(node->self.software, sizeof(node->self.software), "0.1.0");
    node->self.role = KT_ROLE_FOLLOWER;
    node->self.state = KT_STATE_WHOLE;
    node->self.electable = true;
    snprintf(node->prefix, sizeof(node->prefix), "%s", prefix);
    snprintf(node->key, sizeof(node->key), "%s/services/data/%s", prefix, node->self.addr);
}

static bool start_at(struct node *node, const char *endpoints, bool register_now)
{
    struct kt_coord_options options = {
        .endpoints = endpoints,
        .prefix = node->prefix,
        .ttl_s = 3,
        .service_name = "data",
        .addr = node->self.addr,
        .self = &node->self,
        .on_change = on_change,
        .on_change_ctx = node,
        .register_now = register_now,
    };

    if (kt_coord_start_etcd(&options, &node->coord, &err) != KT_OK) {
        kt_test_fail(__FILE__, __LINE__, "start: %s", err.message);
        return false;
    }
    return true;
}

static bool start(struct node *node, const char *prefix, int number)
{
    fill_self(node, prefix, number);
    return start_at(node, server.endpoint, true);
}

/* Waits for a view that `holds`; the last one looked at is handed back, counted. */
typedef bool (*view_fn)(const struct kt_coord_view *view, const void *arg);

static struct kt_coord_view *wait_view(struct node *node, view_fn holds, const void *arg,
                                       int64_t timeout_ms)
{
    int64_t deadline_ms = kt_now_mono_ms() + timeout_ms;
    for (;;) {
        struct kt_coord_view *view = kt_coord_view(node->coord);

        if (holds(view, arg)) {
            return view;
        }
        kt_coord_view_unref(&view);
        if (kt_now_mono_ms() >= deadline_ms) {
            return NULL;
        }
        kt_test_pause();
    }
}

static bool is_registered(const struct kt_coord_view *view, const void *arg)
{
    (void)arg;
    return view->complete && view->reachable && view->own_key_present;
}

static bool is_registered_elsewhere(const struct kt_coord_view *view, const void *lease)
{
    return view->own_key_present && view->own_lease != *(const int64_t *)lease;
}

static bool is_registered_later(const struct kt_coord_view *view, const void *revision)
{
    return view->own_key_present && view->services[0].mod_revision > *(const int64_t *)revision;
}

static bool has_services(const struct kt_coord_view *view, const void *count)
{
    return view->complete && view->service_count == *(const size_t *)count;
}

static bool leads(const struct kt_coord_view *view, const void *arg)
{
    (void)arg;
    return view->leader.mine;
}

static bool has_leader(const struct kt_coord_view *view, const void *wanted)
{
    return view->leader.present == *(const bool *)wanted;
}

static bool is_reachable(const struct kt_coord_view *view, const void *wanted)
{
    return view->reachable == *(const bool *)wanted;
}

static bool has_config_version(const struct kt_coord_view *view, const void *version)
{
    return view->config.valid && view->config.value.version == *(const uint64_t *)version;
}

static bool is_config_invalid(const struct kt_coord_view *view, const void *arg)
{
    (void)arg;
    return view->config.present && !view->config.valid;
}

static bool holds_within(struct node *node, view_fn holds, const void *arg, int64_t timeout_ms)
{
    struct kt_coord_view *view = wait_view(node, holds, arg, timeout_ms);
    bool held = view != NULL;

    kt_coord_view_unref(&view);
    return held;
}

static size_t keys_of(const char *key)
{
    struct kt_etcd_list list;
    size_t count = 99;

    kt_etcd_list_init(&list);
    if (kt_etcd_range(etcd, kt_str(key), false, &list, &err) == KT_OK) {
        count = list.count;
    }
    kt_etcd_list_done(&list);
    return count;
}

static void fill_config(struct kt_cluster_config *config, const struct node *node, uint64_t version)
{
    memset(config, 0, sizeof(*config));
    snprintf(config->cluster, sizeof(config->cluster), "00000000000000cc");
    snprintf(config->epoch_id, sizeof(config->epoch_id), "%016llx", (unsigned long long)version);
    snprintf(config->leader, sizeof(config->leader), "%s", node->self.id);
    snprintf(config->in_sync[0], sizeof(config->in_sync[0]), "%s", node->self.id);
    snprintf(config->nonce, sizeof(config->nonce), "%016llx", (unsigned long long)version + 77);
    config->in_sync_count = 1;
    config->version = config->epoch = version;
    config->min_in_sync = 1;
    config->ttl_s = 3;
}

static enum kt_txn_outcome campaign(struct node *node, const struct kt_coord_view *view,
                                    uint64_t version)
{
    struct kt_cluster_config *config = kt_calloc(1, sizeof(*config));
    enum kt_txn_outcome outcome;

    fill_config(config, node, version);
    outcome = kt_coord_campaign(node->coord, view, config, &err);
    kt_free(config);
    return outcome;
}

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
    CHECK(kt_coord_lease_end_mono_ms(node.coord) > kt_now_mono_ms());
    CHECK(kt_coord_lease_end_mono_ms(node.coord) <= kt_now_mono_ms() + 2700);
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
    CHECK_INT(kt_coord_lease_end_mono_ms(node.coord), 0);
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
        CHECK(kt_coord_lease_end_mono_ms(node.coord) > kt_now_mono_ms());
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
    CHECK(kt_coord_lease_end_mono_ms(node.coord) > kt_now_mono_ms());
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
    CHECK_INT(kt_coord_lease_end_mono_ms(node.coord), 0);
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
    struct kt_etcd_options options = {own.endpoint, 2000};
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
    struct kt_etcd_options options = {own.endpoint, 2000};
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
    while (kt_coord_lease_end_mono_ms(node.coord) > kt_now_mono_ms()) {
        CHECK(kt_now_mono_ms() < deadline_ms);
        kt_test_pause();
    }
    CHECK(holds_within(&node, is_reachable, &no, 5000));
    real_etcd_resume(&own);
    CHECK(holds_within(&node, is_registered, NULL, 10000));
    deadline_ms = kt_now_mono_ms() + 5000;
    while (kt_coord_lease_end_mono_ms(node.coord) <= kt_now_mono_ms()) {
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

static const struct kt_test tests[] = {
    TEST(a_process_registers_and_its_value_can_be_read),
    TEST(who_starts_without_registering_only_watches),
    TEST(the_lease_is_kept_beyond_its_ttl),
    TEST(a_deleted_key_is_put_again_within_ttl),
    TEST(a_revoked_lease_is_replaced_and_the_leader_key_is_not_put_again),
    TEST(deregistering_takes_the_key_out_at_once),
    TEST(free_without_deregistering_leaves_the_key_to_its_ttl),
    TEST(urgent_changes_are_put_at_once_and_others_within_a_third_of_ttl),
    TEST(a_campaign_is_won_once_and_again_under_ones_own_lease),
    TEST(a_campaign_compares_the_configs_value_beside_its_revision),
    TEST(all_events_of_one_revision_enter_one_view),
    TEST(only_the_leader_updates_the_config),
    TEST(a_leader_key_is_deleted_only_as_it_was_created),
    TEST(a_config_that_cannot_be_read_is_shown_as_invalid),
    TEST(compaction_under_a_watch_loses_nothing),
    TEST(etcd_killed_and_restarted_finds_everyone_back),
    TEST(etcd_that_lost_its_disk_is_registered_in_again),
    TEST(a_hung_etcd_lets_the_lease_clock_run_out_and_comes_back),
    TEST(started_before_etcd_it_registers_when_etcd_comes),
    TEST(deregistering_from_an_etcd_that_is_gone_ends_in_time),
    TEST(bad_options_are_refused),
};

int main(int argc, char **argv)
{
    int status = kt_test_main(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);

    real_etcd_stop(&server);
    return status;
}

/* SPDX-License-Identifier: MIT */
#include "coord/rig.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

static struct kt_error err;
struct real_etcd server;
struct kt_etcd *etcd;

static void on_change(void *ctx)
{
    __atomic_add_fetch(&((struct node *)ctx)->changes, 1, __ATOMIC_ACQ_REL);
}

bool begin(void)
{
    struct kt_etcd_options options = {.endpoints = server.endpoint, .call_timeout_ms = 2000};

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

void end(void)
{
    kt_etcd_free(&etcd);
}

void fill_self(struct node *node, const char *prefix, int number)
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

bool start_at(struct node *node, const char *endpoints, bool register_now)
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

bool start(struct node *node, const char *prefix, int number)
{
    fill_self(node, prefix, number);
    return start_at(node, server.endpoint, true);
}

struct kt_coord_view *wait_view(struct node *node, view_fn holds, const void *arg,
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

bool is_registered(const struct kt_coord_view *view, const void *arg)
{
    (void)arg;
    return view->complete && view->reachable && view->own_key_present;
}

bool is_registered_elsewhere(const struct kt_coord_view *view, const void *lease)
{
    return view->own_key_present && view->own_lease != *(const int64_t *)lease;
}

bool is_registered_later(const struct kt_coord_view *view, const void *revision)
{
    return view->own_key_present && view->services[0].mod_revision > *(const int64_t *)revision;
}

bool has_services(const struct kt_coord_view *view, const void *count)
{
    return view->complete && view->service_count == *(const size_t *)count;
}

bool leads(const struct kt_coord_view *view, const void *arg)
{
    (void)arg;
    return view->leader.mine;
}

bool has_leader(const struct kt_coord_view *view, const void *wanted)
{
    return view->leader.present == *(const bool *)wanted;
}

bool is_reachable(const struct kt_coord_view *view, const void *wanted)
{
    return view->reachable == *(const bool *)wanted;
}

bool has_config_version(const struct kt_coord_view *view, const void *version)
{
    return view->config.valid && view->config.value.version == *(const uint64_t *)version;
}

bool is_config_invalid(const struct kt_coord_view *view, const void *arg)
{
    (void)arg;
    return view->config.present && !view->config.valid;
}

bool holds_within(struct node *node, view_fn holds, const void *arg, int64_t timeout_ms)
{
    struct kt_coord_view *view = wait_view(node, holds, arg, timeout_ms);
    bool held = view != NULL;

    kt_coord_view_unref(&view);
    return held;
}

size_t keys_of(const char *key)
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

void fill_config(struct kt_cluster_config *config, const struct node *node, uint64_t version)
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

enum kt_txn_outcome campaign(struct node *node, const struct kt_coord_view *view, uint64_t version)
{
    struct kt_cluster_config *config = kt_calloc(1, sizeof(*config));
    enum kt_txn_outcome outcome;

    fill_config(config, node, version);
    outcome = kt_coord_campaign(node->coord, view, config, &err);
    kt_free(config);
    return outcome;
}

int run_tests(const struct kt_test *tests, size_t count, int argc, char **argv)
{
    int status = kt_test_main(tests, count, argc, argv);

    real_etcd_stop(&server);
    return status;
}

/* SPDX-License-Identifier: MIT */
/* The client against an etcd that is installed here. */
#include "etcd/real_etcd.h"
#include "kt_test.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"

#include <stdio.h>

static struct kt_error err;
static struct real_etcd server; /* one for all tests but those that break it */
static struct kt_etcd *client;

static bool begin(void)
{
    struct kt_etcd_options options = {.endpoints = server.endpoint, .call_timeout_ms = 2000};

    if (server.pid == 0 && !real_etcd_start(&server, "shared")) {
        return false;
    }
    if (kt_etcd_new(&options, &client, &err) != KT_OK) {
        kt_test_fail(__FILE__, __LINE__, "%s", err.message);
        return false;
    }
    return true;
}

static void end(void)
{
    kt_etcd_free(&client);
}

static void values_come_back_as_they_were_put(void)
{
    struct kt_etcd_list list;
    int64_t revision = 0, deleted = 0;
    struct kt_str odd = KT_STR("\x00\xff\"\\\n\xe4\xb8\xad");

    if (!begin()) {
        return;
    }
    kt_etcd_list_init(&list);
    CHECK_OK(kt_etcd_put(client, KT_STR("/v/a"), odd, 0, &revision, &err));
    CHECK_OK(kt_etcd_put(client, KT_STR("/v/b"), KT_STR(""), 0, NULL, &err));
    CHECK_OK(kt_etcd_put(client, KT_STR("/v0"), KT_STR("x"), 0, NULL, &err));
    CHECK_OK(kt_etcd_range(client, KT_STR("/v/"), true, &list, &err));
    CHECK_INT(list.count, 2);
    CHECK_SLICE(list.kvs[0].key, "/v/a");
    CHECK(kt_str_eq(list.kvs[0].value, odd));
    CHECK_INT(list.kvs[0].mod_revision, revision);
    CHECK_INT(list.kvs[0].create_revision, revision);
    CHECK_INT(list.revision, revision + 2);
    CHECK(list.cluster_id != 0);
    CHECK_INT(list.kvs[1].value.len, 0);
    CHECK_OK(kt_etcd_range(client, KT_STR("/v/b"), false, &list, &err));
    CHECK_INT(list.count, 1);
    CHECK_OK(kt_etcd_range(client, KT_STR("/v"), false, &list, &err));
    CHECK_INT(list.count, 0);
    CHECK_OK(kt_etcd_range(client, KT_STR(""), true, &list, &err));
    CHECK(list.count >= 3);
    CHECK_OK(kt_etcd_delete(client, KT_STR("/v/"), true, &deleted, &err));
    CHECK_INT(deleted, 2);
    CHECK_OK(kt_etcd_delete(client, KT_STR("/v/a"), false, &deleted, &err));
    CHECK_INT(deleted, 0);
    kt_etcd_list_done(&list);
    end();
}

static void a_txn_runs_only_when_every_compare_holds(void)
{
    struct kt_str key = KT_STR("/t/key");
    struct kt_etcd_compare absent = {key, KT_ETCD_CREATE_REVISION, 0, {NULL, 0}};
    struct kt_etcd_compare both[2];
    struct kt_etcd_op put = {KT_ETCD_OP_PUT, key, KT_STR("1"), 0};
    struct kt_etcd_op del = {KT_ETCD_OP_DELETE, key, {NULL, 0}, 0};
    bool succeeded = false;
    int64_t revision = 0, later = 0;
    struct kt_etcd_list list;

    if (!begin()) {
        return;
    }
    kt_etcd_list_init(&list);
    CHECK_OK(kt_etcd_txn(client, &absent, 1, &put, 1, &succeeded, &revision, &err));
    CHECK(succeeded);
    CHECK_OK(kt_etcd_txn(client, &absent, 1, &put, 1, &succeeded, &later, &err));
    CHECK(!succeeded);
    CHECK_INT(later, revision);
    both[0] = (struct kt_etcd_compare){key, KT_ETCD_MOD_REVISION, revision, {NULL, 0}};
    both[1] = (struct kt_etcd_compare){key, KT_ETCD_VALUE, 0, KT_STR("2")};
    CHECK_OK(kt_etcd_txn(client, both, 2, &del, 1, &succeeded, &later, &err));
    CHECK(!succeeded);
    both[1].value = KT_STR("1");
    CHECK_OK(kt_etcd_txn(client, both, 2, &del, 1, &succeeded, &later, &err));
    CHECK(succeeded);
    CHECK_INT(later, revision + 1);
    CHECK_OK(kt_etcd_range(client, key, false, &list, &err));
    CHECK_INT(list.count, 0);
    kt_etcd_list_done(&list);
    end();
}

static void a_txn_compares_the_lease_of_a_key(void)
{
    struct kt_str key = KT_STR("/l/key");
    int64_t lease = 0, ttl_s = 0, revision = 0;
    struct kt_etcd_op put = {KT_ETCD_OP_PUT, key, KT_STR("2"), 0};
    struct kt_etcd_compare mine = {key, KT_ETCD_LEASE, 0, {NULL, 0}};
    bool succeeded = false;

    if (!begin()) {
        return;
    }
    CHECK_OK(kt_etcd_lease_grant(client, 60, &lease, &ttl_s, &err));
    CHECK_INT(ttl_s, 60);
    CHECK_OK(kt_etcd_put(client, key, KT_STR("1"), lease, &revision, &err));
    mine.number = lease + 1;
    CHECK_OK(kt_etcd_txn(client, &mine, 1, &put, 1, &succeeded, &revision, &err));
    CHECK(!succeeded);
    mine.number = lease;
    put.lease = lease;
    CHECK_OK(kt_etcd_txn(client, &mine, 1, &put, 1, &succeeded, &revision, &err));
    CHECK(succeeded);
    /* A put under a lease that is gone changes nothing, and says so. */
    put.lease = 12345;
    CHECK_FAILS(kt_etcd_txn(client, &mine, 1, &put, 1, &succeeded, &revision, &err), KT_NOT_FOUND);
    CHECK_OK(kt_etcd_lease_revoke(client, lease, &err));
    end();
}

static void a_lease_takes_its_keys_along(void)
{
    int64_t lease = 0, ttl_s = 0;
    struct kt_etcd_list list;

    if (!begin()) {
        return;
    }
    kt_etcd_list_init(&list);
    CHECK_OK(kt_etcd_lease_grant(client, 60, &lease, &ttl_s, &err));
    CHECK_OK(kt_etcd_put(client, KT_STR("/x/1"), KT_STR("1"), lease, NULL, &err));
    CHECK_OK(kt_etcd_lease_keepalive(client, lease, &ttl_s, &err));
    CHECK_INT(ttl_s, 60);
    CHECK_OK(kt_etcd_range(client, KT_STR("/x/1"), false, &list, &err));
    CHECK_INT(list.kvs[0].lease, lease);
    CHECK_OK(kt_etcd_lease_revoke(client, lease, &err));
    CHECK_OK(kt_etcd_range(client, KT_STR("/x/1"), false, &list, &err));
    CHECK_INT(list.count, 0);
    CHECK_FAILS(kt_etcd_lease_keepalive(client, lease, &ttl_s, &err), KT_NOT_FOUND);
    CHECK_FAILS(kt_etcd_lease_revoke(client, lease, &err), KT_NOT_FOUND);
    CHECK_FAILS(kt_etcd_put(client, KT_STR("/x/1"), KT_STR("1"), lease, NULL, &err), KT_NOT_FOUND);
    kt_etcd_list_done(&list);
    end();
}

static void the_version_is_told(void)
{
    char version[32];

    if (!begin()) {
        return;
    }
    CHECK_OK(kt_etcd_version(client, version, &err));
    CHECK(version[0] == '3' && version[1] == '.');
    end();
}

/* What a watch saw, as text: "+key=value@revision " and "-key@revision ", calls apart by "|". */
struct seen {
    char text[512];
    int created;
    int stop_after; /* events */
    int events;
};

static bool on_events(void *ctx, const struct kt_etcd_event *events, size_t count, int64_t revision)
{
    struct seen *seen = ctx;
    size_t len;

    for (size_t i = 0; i < count; i++) {
        len = strlen(seen->text);
        if (events[i].kv.mod_revision != revision) {
            snprintf(seen->text + len, sizeof(seen->text) - len, "?");
        }
        snprintf(seen->text + len, sizeof(seen->text) - len, "%s" KT_STR_FMT " ",
                 events[i].is_delete ? "-" : "+", KT_STR_ARG(events[i].kv.key));
        seen->events++;
    }
    len = strlen(seen->text);
    snprintf(seen->text + len, sizeof(seen->text) - len, "|");
    return seen->events < seen->stop_after;
}

static void on_created(void *ctx, int64_t revision)
{
    (void)revision;
    ((struct seen *)ctx)->created++;
}

static void a_watch_groups_events_by_revision(void)
{
    struct seen seen = {.stop_after = 5};
    struct kt_etcd_op ops[2] = {{KT_ETCD_OP_PUT, KT_STR("/w/b"), KT_STR("1"), 0},
                                {KT_ETCD_OP_DELETE, KT_STR("/w/a"), {NULL, 0}, 0}};
    struct kt_etcd_watch watch = {.prefix = KT_STR("/w/"),
                                  .silence_ms = 5000,
                                  .on_events = on_events,
                                  .on_created = on_created,
                                  .ctx = &seen};
    bool succeeded = false;
    int64_t revision = 0;

    if (!begin()) {
        return;
    }
    CHECK_OK(kt_etcd_put(client, KT_STR("/w/a"), KT_STR("1"), 0, &watch.start_revision, &err));
    CHECK_OK(kt_etcd_put(client, KT_STR("/w0"), KT_STR("1"), 0, NULL, &err));
    CHECK_OK(kt_etcd_txn(client, NULL, 0, ops, 2, &succeeded, &revision, &err));
    CHECK_OK(kt_etcd_put(client, KT_STR("/w/c"), KT_STR("1"), 0, NULL, &err));
    CHECK_OK(kt_etcd_put(client, KT_STR("/w/c"), KT_STR("2"), 0, NULL, &err));
    CHECK_OK(kt_etcd_watch(client, &watch, &err));
    CHECK_STR(seen.text, "+/w/a |+/w/b -/w/a |+/w/c |+/w/c |");
    CHECK_INT(seen.created, 1);
    end();
}

static void a_compacted_watch_is_gone(void)
{
    struct seen seen = {.stop_after = 1};
    struct kt_etcd_watch watch = {.prefix = KT_STR("/c/"),
                                  .start_revision = 1,
                                  .silence_ms = 5000,
                                  .on_events = on_events,
                                  .ctx = &seen};
    char body[64], answer[256];
    int64_t revision = 0;

    if (!begin()) {
        return;
    }
    CHECK_OK(kt_etcd_put(client, KT_STR("/c/a"), KT_STR("1"), 0, &revision, &err));
    snprintf(body, sizeof(body), "{\"revision\":\"%lld\"}", (long long)revision);
    CHECK(real_etcd_post(&server, "/v3/kv/compaction", body, answer, sizeof(answer)));
    CHECK_FAILS(kt_etcd_watch(client, &watch, &err), KT_GONE);
    CHECK_STR(seen.text, "");
    end();
}

static void a_silent_watch_times_out_and_one_with_an_end_ends(void)
{
    struct seen seen = {.stop_after = 1};
    struct kt_etcd_watch watch = {.prefix = KT_STR("/s/"),
                                  .silence_ms = 150,
                                  .on_events = on_events,
                                  .on_created = on_created,
                                  .ctx = &seen};

    if (!begin()) {
        return;
    }
    CHECK_FAILS(kt_etcd_watch(client, &watch, &err), KT_TIMEOUT);
    watch.total_ms = 100;
    CHECK_OK(kt_etcd_watch(client, &watch, &err));
    CHECK_INT(seen.created, 2);
    end();
}

static void a_watch_that_starts_in_the_stores_future_is_gone(void)
{
    struct seen seen = {.stop_after = 1};
    struct kt_etcd_watch watch = {.prefix = KT_STR("/f/"),
                                  .start_revision = 1000000,
                                  .silence_ms = 5000,
                                  .on_events = on_events,
                                  .ctx = &seen};

    if (!begin()) {
        return;
    }
    CHECK_FAILS(kt_etcd_watch(client, &watch, &err), KT_GONE);
    end();
}

static void cancel_in(void *arg)
{
    struct seen *seen = arg;
    int64_t deadline_ms = kt_now_mono_ms() + 5000;

    while (!__atomic_load_n(&seen->created, __ATOMIC_ACQUIRE) && kt_now_mono_ms() < deadline_ms) {
    }
    kt_etcd_cancel(client);
}

static void on_created_atomically(void *ctx, int64_t revision)
{
    (void)revision;
    __atomic_store_n(&((struct seen *)ctx)->created, 1, __ATOMIC_RELEASE);
}

static void cancel_ends_a_watch_and_later_calls(void)
{
    struct seen seen = {.stop_after = 1};
    struct kt_etcd_watch watch = {.prefix = KT_STR("/k/"),
                                  .silence_ms = 30000,
                                  .on_events = on_events,
                                  .on_created = on_created_atomically,
                                  .ctx = &seen};
    struct kt_thread thread = {0};
    char version[32];
    int64_t started_ms = kt_now_mono_ms();

    if (!begin()) {
        return;
    }
    CHECK_OK(kt_thread_start(&thread, "canceller", cancel_in, &seen, &err));
    CHECK_FAILS(kt_etcd_watch(client, &watch, &err), KT_BUSY);
    kt_thread_join(&thread);
    CHECK(kt_now_mono_ms() - started_ms < 5000);
    CHECK_FAILS(kt_etcd_version(client, version, &err), KT_BUSY);
    end();
}

static void a_dead_endpoint_is_skipped(void)
{
    char endpoints[128];
    struct kt_etcd_options options = {.endpoints = endpoints, .call_timeout_ms = 2000};
    struct kt_etcd *both = NULL;
    struct kt_etcd_op op = {KT_ETCD_OP_PUT, KT_STR("/d/a"), KT_STR("1"), 0};
    struct kt_etcd_list list;
    bool succeeded = false;
    int64_t revision = 0;

    if (!begin()) {
        return;
    }
    kt_etcd_list_init(&list);
    snprintf(endpoints, sizeof(endpoints), "127.0.0.1:1,http://%s/", server.endpoint);
    CHECK_OK(kt_etcd_new(&options, &both, &err));
    /* Nothing was sent to the first: even a txn may go on. */
    CHECK_OK(kt_etcd_txn(both, NULL, 0, &op, 1, &succeeded, &revision, &err));
    CHECK(succeeded);
    CHECK_OK(kt_etcd_range(both, KT_STR("/d/a"), false, &list, &err));
    CHECK_INT(list.count, 1);
    kt_etcd_list_done(&list);
    kt_etcd_free(&both);
    end();
}

static void the_watch_ends_when_etcd_dies(void)
{
    struct real_etcd own;
    struct kt_etcd_options options = {.endpoints = own.endpoint, .call_timeout_ms = 1000};
    struct kt_etcd *mine = NULL;
    struct seen seen = {.stop_after = 1};
    struct kt_etcd_watch watch = {
        .prefix = KT_STR("/k/"), .silence_ms = 20000, .on_events = on_events, .ctx = &seen};
    enum kt_status status;
    char version[32];

    if (!real_etcd_start(&own, "dies")) {
        return;
    }
    CHECK_OK(kt_etcd_new(&options, &mine, &err));
    CHECK_OK(kt_etcd_put(mine, KT_STR("/k/a"), KT_STR("1"), 0, &watch.start_revision, &err));
    CHECK_OK(kt_etcd_watch(mine, &watch, &err));
    CHECK_STR(seen.text, "+/k/a |");
    real_etcd_kill(&own);
    status = kt_etcd_watch(mine, &watch, &err);
    CHECK(status == KT_UNAVAILABLE || status == KT_BAD_GATEWAY);
    CHECK_FAILS(kt_etcd_version(mine, version, &err), KT_UNAVAILABLE);
    CHECK(real_etcd_restart(&own));
    CHECK_OK(kt_etcd_watch(mine, &watch, &err));
    real_etcd_stop(&own);
    kt_etcd_free(&mine);
}

static void stop_the_shared_one(void)
{
    real_etcd_stop(&server);
}

static const struct kt_test tests[] = {
    TEST(values_come_back_as_they_were_put),
    TEST(a_txn_runs_only_when_every_compare_holds),
    TEST(a_txn_compares_the_lease_of_a_key),
    TEST(a_lease_takes_its_keys_along),
    TEST(the_version_is_told),
    TEST(a_watch_groups_events_by_revision),
    TEST(a_compacted_watch_is_gone),
    TEST(a_silent_watch_times_out_and_one_with_an_end_ends),
    TEST(a_watch_that_starts_in_the_stores_future_is_gone),
    TEST(cancel_ends_a_watch_and_later_calls),
    TEST(a_dead_endpoint_is_skipped),
    TEST(the_watch_ends_when_etcd_dies),
};

int main(int argc, char **argv)
{
    int status = kt_test_main(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);

    stop_the_shared_one();
    return status;
}

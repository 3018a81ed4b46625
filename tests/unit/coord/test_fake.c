/* SPDX-License-Identifier: MIT */
/* The fake maker and standalone. */
#include "coord/coord.h"
#include "kt_test.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"

#include <stdio.h>

static struct kt_error err;
static struct kt_cluster_config config;
static struct kt_coord_fake *fake;

struct node {
    struct kt_coord *coord;
    struct kt_service self;
    int changes; /* atomic */
};
static struct node a, b;

static void on_change(void *ctx)
{
    __atomic_add_fetch(&((struct node *)ctx)->changes, 1, __ATOMIC_ACQ_REL);
}

static struct kt_coord_options options_of(struct node *node, int number)
{
    memset(node, 0, sizeof(*node));
    snprintf(node->self.id, sizeof(node->self.id), "%016x", (unsigned)number);
    snprintf(node->self.addr, sizeof(node->self.addr), "127.0.0.1:%d", 8000 + number);
    node->self.role = KT_ROLE_FOLLOWER;
    return (struct kt_coord_options){.ttl_s = 3,
                                     .service_name = "data",
                                     .addr = node->self.addr,
                                     .self = &node->self,
                                     .on_change = on_change,
                                     .on_change_ctx = node,
                                     .register_now = true};
}

static bool begin(void)
{
    struct kt_coord_options options;

    kt_log_setup(stderr, KT_LOG_OFF, false);
    fake = kt_coord_fake_new();
    options = options_of(&a, 1);
    if (!fake || kt_coord_start_fake(fake, &options, &a.coord, &err) != KT_OK) {
        return false;
    }
    options = options_of(&b, 2);
    return kt_coord_start_fake(fake, &options, &b.coord, &err) == KT_OK;
}

static void end(void)
{
    kt_coord_free(&a.coord);
    kt_coord_free(&b.coord);
    kt_coord_fake_free(&fake);
}

static const struct kt_cluster_config *config_of(const struct node *node, uint64_t version)
{
    memset(&config, 0, sizeof(config));
    snprintf(config.cluster, sizeof(config.cluster), "00000000000000cc");
    snprintf(config.epoch_id, sizeof(config.epoch_id), "%016llx", (unsigned long long)version);
    snprintf(config.leader, sizeof(config.leader), "%s", node->self.id);
    snprintf(config.in_sync[0], sizeof(config.in_sync[0]), "%s", node->self.id);
    snprintf(config.nonce, sizeof(config.nonce), "%016llx", (unsigned long long)version + 77);
    config.in_sync_count = 1;
    config.version = config.epoch = version;
    config.min_in_sync = 1;
    config.ttl_s = 3;
    return &config;
}

/* With the view of now. */
static enum kt_txn_outcome campaign(struct node *node, uint64_t version)
{
    struct kt_coord_view *view = kt_coord_view(node->coord);
    enum kt_txn_outcome outcome =
        kt_coord_campaign(node->coord, view, config_of(node, version), &err);

    kt_coord_view_unref(&view);
    return outcome;
}

static enum kt_txn_outcome update(struct node *node, uint64_t version)
{
    struct kt_coord_view *view = kt_coord_view(node->coord);
    enum kt_txn_outcome outcome =
        kt_coord_update_config(node->coord, view, config_of(node, version), &err);

    kt_coord_view_unref(&view);
    return outcome;
}

static enum kt_txn_outcome delete_leader(struct node *node)
{
    struct kt_coord_view *view = kt_coord_view(node->coord);
    enum kt_txn_outcome outcome = kt_coord_delete_leader(node->coord, view, &err);

    kt_coord_view_unref(&view);
    return outcome;
}

/* One look: "services leader(mine) config own_key reachable" as text, so that a check is a line. */
static const char *look(struct node *node)
{
    static char text[160];
    struct kt_coord_view *view = kt_coord_view(node->coord);

    snprintf(text, sizeof(text), "%zu services, leader %s%s, config %llu%s, key %s%s",
             view->service_count, view->leader.present ? view->leader.id + 15 : "-",
             view->leader.mine ? " mine" : "",
             (unsigned long long)(view->config.present ? view->config.value.version : 0),
             view->config.present && !view->config.valid ? " invalid" : "",
             view->own_key_present ? "there" : "missing", view->reachable ? "" : ", cut off");
    kt_coord_view_unref(&view);
    return text;
}

static void coords_of_one_fake_see_each_other_at_once(void)
{
    CHECK(begin());
    CHECK_STR(look(&a), "2 services, leader -, config 0, key there");
    CHECK_STR(look(&b), "2 services, leader -, config 0, key there");
    CHECK_INT(a.changes, 1); /* b came */
    CHECK_INT(b.changes, 0); /* the first view is nobody's change */
    a.self.revision = 7;
    kt_coord_set_service(a.coord, &a.self);
    CHECK_INT(b.changes, 1);
    kt_coord_deregister(a.coord, 100);
    CHECK_STR(look(&b), "1 services, leader -, config 0, key there");
    CHECK_STR(look(&a), "1 services, leader -, config 0, key missing");
    CHECK_INT(kt_coord_lease_end_mono_ms(a.coord, KT_COORD_CURRENT_LEASE), 0);
    end();
}

static void views_are_immutable_counted_and_numbered(void)
{
    struct kt_coord_view *before, *after;

    CHECK(begin());
    before = kt_coord_view(a.coord);
    CHECK_INT(campaign(&a, 1), KT_TXN_DONE);
    after = kt_coord_view(a.coord);
    CHECK(after != before);
    CHECK(after->number > before->number);
    CHECK(after->revision > before->revision);
    CHECK(!before->leader.present && after->leader.present);
    end();
    CHECK_STR(after->leader.addr, "127.0.0.1:8001"); /* outlives the coord */
    kt_coord_view_unref(&before);
    kt_coord_view_unref(&after);
    CHECK(before == NULL && after == NULL);
    kt_coord_view_unref(&before);
}

static void the_first_campaign_wins_and_others_are_refused(void)
{
    CHECK(begin());
    CHECK_INT(campaign(&a, 1), KT_TXN_DONE);
    CHECK_STR(look(&a), "2 services, leader 1 mine, config 1, key there");
    CHECK_STR(look(&b), "2 services, leader 1, config 1, key there");
    CHECK_INT(campaign(&b, 2), KT_TXN_REFUSED);
    CHECK_INT(update(&b, 2), KT_TXN_REFUSED);
    CHECK_INT(update(&a, 2), KT_TXN_DONE);
    CHECK_INT(campaign(&a, 3), KT_TXN_DONE); /* over my own key */
    CHECK_STR(look(&b), "2 services, leader 1, config 3, key there");
    CHECK_INT(delete_leader(&a), KT_TXN_DONE);
    CHECK_STR(look(&a), "2 services, leader -, config 3, key there");
    CHECK_INT(delete_leader(&a), KT_TXN_REFUSED);
    CHECK_INT(update(&a, 4), KT_TXN_REFUSED);
    CHECK_INT(campaign(&b, 4), KT_TXN_DONE);
    end();
}

static void txns_compare_the_config_of_the_view_and_the_leaders_creation(void)
{
    struct kt_coord_view *old, *reign;

    CHECK(begin());
    old = kt_coord_view(a.coord);
    CHECK_INT(campaign(&a, 1), KT_TXN_DONE);
    reign = kt_coord_view(a.coord);
    CHECK_INT(kt_coord_campaign(a.coord, old, config_of(&a, 2), &err), KT_TXN_REFUSED);
    CHECK_INT(kt_coord_update_config(a.coord, old, config_of(&a, 2), &err), KT_TXN_REFUSED);
    CHECK_INT(delete_leader(&a), KT_TXN_DONE);
    CHECK_INT(campaign(&a, 2), KT_TXN_DONE);
    CHECK_INT(kt_coord_delete_leader(a.coord, reign, &err), KT_TXN_REFUSED);
    kt_coord_view_unref(&old);
    kt_coord_view_unref(&reign);
    end();
}

static void a_dropped_lease_takes_service_and_leader_key_in_one_view(void)
{
    int changes;

    CHECK(begin());
    CHECK_INT(campaign(&a, 1), KT_TXN_DONE);
    changes = b.changes;
    kt_coord_fake_drop_lease(fake, a.self.addr);
    CHECK_INT(b.changes, changes + 1);
    CHECK_STR(look(&b), "1 services, leader -, config 1, key there");
    CHECK_STR(look(&a), "1 services, leader -, config 1, key missing");
    CHECK_INT(kt_coord_lease_end_mono_ms(a.coord, KT_COORD_CURRENT_LEASE), 0);
    CHECK_INT(campaign(&a, 2), KT_TXN_UNKNOWN); /* no lease to lead under */
    kt_coord_fake_renew(fake, a.self.addr);
    CHECK_STR(look(&a), "2 services, leader -, config 1, key there");
    kt_coord_fake_drop_lease(fake, a.self.addr);
    kt_coord_set_service(a.coord, &a.self);
    CHECK_STR(look(&b), "2 services, leader -, config 1, key there");
    end();
}

static void a_withdrawn_entry_goes_and_the_leader_key_stays(void)
{
    struct kt_coord_view *view;

    CHECK(begin());
    CHECK_INT(campaign(&a, 1), KT_TXN_DONE);
    view = kt_coord_view(a.coord);
    kt_coord_withdraw(a.coord);
    CHECK_STR(look(&b), "1 services, leader 1, config 1, key there");
    CHECK_STR(look(&a), "1 services, leader 1 mine, config 1, key missing");
    kt_coord_set_service(a.coord, &a.self);
    kt_coord_fake_renew(fake, a.self.addr);
    CHECK_STR(look(&b), "1 services, leader 1, config 1, key there");
    CHECK(kt_coord_lease_end_mono_ms(a.coord, view->own_lease) > 0);
    CHECK_INT(kt_coord_lease_end_mono_ms(a.coord, view->own_lease + 1), 0);
    kt_coord_view_unref(&view);
    kt_coord_deregister(a.coord, 100);
    CHECK_STR(look(&b), "1 services, leader -, config 1, key there");
    end();
}

static void keys_of_a_killed_process_stay_until_their_lease_is_dropped(void)
{
    CHECK(begin());
    CHECK_INT(campaign(&a, 1), KT_TXN_DONE);
    kt_coord_free(&a.coord);
    CHECK_STR(look(&b), "2 services, leader 1, config 1, key there");
    kt_coord_fake_drop_lease(fake, a.self.addr);
    CHECK_STR(look(&b), "1 services, leader -, config 1, key there");
    kt_coord_fake_drop_lease(fake, "nobody:1");
    end();
}

static void outcomes_can_be_ordered(void)
{
    CHECK(begin());
    kt_coord_fake_next_outcome(fake, KT_TXN_REFUSED);
    CHECK_INT(campaign(&a, 1), KT_TXN_REFUSED);
    CHECK_STR(look(&a), "2 services, leader -, config 0, key there");
    kt_coord_fake_lose_next(fake);
    CHECK_INT(campaign(&a, 1), KT_TXN_UNKNOWN);
    CHECK_STR(look(&a), "2 services, leader -, config 0, key there");
    kt_coord_fake_next_outcome(fake, KT_TXN_UNKNOWN);
    CHECK_INT(campaign(&a, 1), KT_TXN_UNKNOWN);
    CHECK_STR(look(&a), "2 services, leader 1 mine, config 1, key there");
    kt_coord_fake_next_outcome(fake, KT_TXN_UNKNOWN);
    CHECK_INT(campaign(&b, 2), KT_TXN_UNKNOWN); /* its compares did not hold; nobody knows */
    CHECK_STR(look(&b), "2 services, leader 1, config 1, key there");
    CHECK_INT(update(&a, 2), KT_TXN_DONE); /* ordered for one txn alone */
    end();
}

static void leader_and_config_can_be_set(void)
{
    CHECK(begin());
    kt_coord_fake_set_config(fake, "{}");
    CHECK_STR(look(&a), "2 services, leader -, config 0 invalid, key there");
    kt_coord_fake_set_config(fake, NULL);
    CHECK_STR(look(&a), "2 services, leader -, config 0, key there");
    kt_coord_fake_set_leader(fake, "00000000000000f9", "elsewhere:1", 5);
    CHECK_STR(look(&a), "2 services, leader 9, config 0, key there");
    CHECK_INT(campaign(&a, 1), KT_TXN_REFUSED);
    kt_coord_fake_set_leader(fake, a.self.id, "elsewhere:1", 5); /* my id, a foreign lease */
    CHECK_STR(look(&a), "2 services, leader 1, config 0, key there");
    kt_coord_fake_set_leader(fake, a.self.id, a.self.addr, 5);
    CHECK_STR(look(&a), "2 services, leader 1 mine, config 0, key there");
    CHECK_STR(look(&b), "2 services, leader 1, config 0, key there");
    kt_coord_fake_set_leader(fake, NULL, NULL, 0);
    CHECK_STR(look(&b), "2 services, leader -, config 0, key there");
    end();
}

static void who_is_cut_off_sees_nothing_new_and_its_lease_clock_stands(void)
{
    int64_t end_ms, changes;

    CHECK(begin());
    kt_coord_fake_set_reachable(fake, false);
    CHECK_STR(look(&a), "2 services, leader -, config 0, key there, cut off");
    changes = a.changes;
    end_ms = kt_coord_lease_end_mono_ms(a.coord, KT_COORD_CURRENT_LEASE);
    CHECK(end_ms > kt_now_mono_ms() && end_ms <= kt_now_mono_ms() + 2700);
    kt_coord_fake_set_leader(fake, b.self.id, b.self.addr, 1);
    a.self.role = KT_ROLE_LEADER;
    kt_coord_set_service(a.coord, &a.self);
    CHECK_INT(a.changes, changes);
    CHECK_STR(look(&a), "2 services, leader -, config 0, key there, cut off");
    CHECK_INT(campaign(&a, 1), KT_TXN_UNKNOWN);
    CHECK_INT(kt_coord_lease_end_mono_ms(a.coord, KT_COORD_CURRENT_LEASE), end_ms);
    kt_coord_fake_set_reachable(fake, true);
    CHECK_STR(look(&a), "2 services, leader 2, config 0, key there");
    CHECK(kt_coord_lease_end_mono_ms(a.coord, KT_COORD_CURRENT_LEASE) >= end_ms);
    {
        struct kt_coord_view *view = kt_coord_view(b.coord);

        CHECK_INT(view->services[0].role, KT_ROLE_LEADER); /* put when etcd was back */
        kt_coord_view_unref(&view);
    }
    end();
}

static void standalone_leads_itself_and_its_lease_never_ends(void)
{
    struct kt_coord_options options = options_of(&a, 1);

    CHECK_OK(kt_coord_start_standalone(&options, &a.coord, &err));
    CHECK_STR(look(&a), "1 services, leader -, config 0, key there");
    CHECK_INT(campaign(&a, 1), KT_TXN_DONE);
    CHECK_INT(a.changes, 1);
    CHECK_STR(look(&a), "1 services, leader 1 mine, config 1, key there");
    CHECK(kt_coord_lease_end_mono_ms(a.coord, KT_COORD_CURRENT_LEASE) == INT64_MAX);
    CHECK_INT(update(&a, 2), KT_TXN_DONE);
    CHECK_INT(delete_leader(&a), KT_TXN_DONE);
    kt_coord_set_ttl(a.coord, 10);
    kt_coord_deregister(a.coord, 100);
    CHECK_INT(kt_coord_lease_end_mono_ms(a.coord, KT_COORD_CURRENT_LEASE), 0);
    kt_coord_free(&a.coord);
    CHECK(a.coord == NULL);
    kt_coord_free(&a.coord);
}

static void bad_options_are_refused(void)
{
    struct kt_coord_options options = options_of(&a, 1);

    options.addr = "a/b";
    CHECK_FAILS(kt_coord_start_standalone(&options, &a.coord, &err), KT_BAD_VALUE);
    options.addr = a.self.addr;
    options.ttl_s = 100;
    CHECK_FAILS(kt_coord_start_standalone(&options, &a.coord, &err), KT_BAD_VALUE);
    options.ttl_s = 0; /* the default */
    snprintf(a.self.id, sizeof(a.self.id), "n1");
    CHECK_FAILS(kt_coord_start_standalone(&options, &a.coord, &err), KT_BAD_VALUE);
    CHECK(a.coord == NULL);
}

static void starting_survives_every_failed_allocation(void)
{
    bool done = false;

    kt_log_setup(stderr, KT_LOG_OFF, false);
    for (uint64_t nth = 1; !done && nth < 500; nth++) {
        struct kt_coord_options options = options_of(&a, 1);
        enum kt_status status;

        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        status = kt_coord_start_standalone(&options, &a.coord, &err);
        if (status == KT_OK) {
            (void)campaign(&a, 1);
            kt_coord_deregister(a.coord, 100);
            kt_coord_free(&a.coord);
        }
        done = kt_fault_calls(KT_FAULT_ALLOC) < nth;
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        CHECK(status == KT_OK || status == KT_NO_MEMORY);
    }
    CHECK(done);
}

static void campaign_often(void *arg)
{
    struct node *node = arg;
    int rounds = kt_test_is_slow() ? 50 : 1000;

    for (int i = 0; i < rounds; i++) {
        struct kt_coord_view *view = kt_coord_view(node->coord);
        struct kt_cluster_config *mine = kt_calloc(1, sizeof(*mine));

        if (view->config.present) {
            *mine = view->config.value;
            mine->version++;
        } else {
            snprintf(mine->cluster, sizeof(mine->cluster), "00000000000000cc");
            snprintf(mine->epoch_id, sizeof(mine->epoch_id), "00000000000000ee");
            snprintf(mine->nonce, sizeof(mine->nonce), "00000000000000ff");
            snprintf(mine->in_sync[0], sizeof(mine->in_sync[0]), "%s", node->self.id);
            mine->in_sync_count = mine->min_in_sync = 1;
            mine->version = mine->epoch = 1;
            mine->ttl_s = 3;
        }
        snprintf(mine->leader, sizeof(mine->leader), "%s", node->self.id);
        if (kt_coord_campaign(node->coord, view, mine, NULL) == KT_TXN_DONE) {
            node->self.revision++;
            kt_coord_set_service(node->coord, &node->self);
            struct kt_coord_view *won = kt_coord_view(node->coord);
            (void)kt_coord_delete_leader(node->coord, won, NULL);
            kt_coord_view_unref(&won);
        }
        kt_coord_view_unref(&view);
        kt_free(mine);
    }
}

static void threads_that_campaign_at_once_win_one_at_a_time(void)
{
    struct kt_thread one = {0}, two = {0};
    struct kt_coord_view *view;

    CHECK(begin());
    CHECK_OK(kt_thread_start(&one, "one", campaign_often, &a, &err));
    CHECK_OK(kt_thread_start(&two, "two", campaign_often, &b, &err));
    kt_thread_join(&one);
    kt_thread_join(&two);
    view = kt_coord_view(a.coord);
    /* Each won campaign raised the version by one: none was overwritten unseen. */
    CHECK_INT(view->config.value.version, a.self.revision + b.self.revision);
    CHECK(view->config.value.version > 0);
    kt_coord_view_unref(&view);
    end();
}

static const struct kt_test tests[] = {
    TEST(coords_of_one_fake_see_each_other_at_once),
    TEST(views_are_immutable_counted_and_numbered),
    TEST(the_first_campaign_wins_and_others_are_refused),
    TEST(txns_compare_the_config_of_the_view_and_the_leaders_creation),
    TEST(a_dropped_lease_takes_service_and_leader_key_in_one_view),
    TEST(a_withdrawn_entry_goes_and_the_leader_key_stays),
    TEST(keys_of_a_killed_process_stay_until_their_lease_is_dropped),
    TEST(outcomes_can_be_ordered),
    TEST(leader_and_config_can_be_set),
    TEST(who_is_cut_off_sees_nothing_new_and_its_lease_clock_stands),
    TEST(standalone_leads_itself_and_its_lease_never_ends),
    TEST(bad_options_are_refused),
    TEST(starting_survives_every_failed_allocation),
    TEST(threads_that_campaign_at_once_win_one_at_a_time),
};

KT_TEST_MAIN(tests)

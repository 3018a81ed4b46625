/* SPDX-License-Identifier: MIT */
/* Nodes that lead and follow in one process: writes, catching up, leases, stops, what differs. */
#include "kt_test.h"
#include "rig.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdlib.h>

static struct kt_error err;

#define WRITE(n, subject, value) CHECK_OK(rig_write(n, subject, 0, value, RIG_WAIT_MS, NULL, &err))

static void begin(void)
{
    memset(&err, 0, sizeof(err));
    rig_open();
}

static void begin_cluster(size_t count)
{
    begin();
    rig_start_cluster(count);
}

/* --- writing and following --- */

static void a_write_at_the_leader_is_applied_on_every_follower(void)
{
    struct kt_submit_result result;
    begin_cluster(3);
    CHECK_OK(rig_write(0, "33:000001", 0, 4.5, RIG_WAIT_MS, &result, &err));
    CHECK_INT(result.revision, 2); /* after the epoch-start */
    CHECK_INT(result.apply.status, KT_OK);
    CHECK_INT(result.apply.records, 1);
    for (size_t n = 0; n < 3; n++) {
        CHECK(rig_until_applied(n, 2));
        CHECK(rig_value(n, "33:000001") == 4.5);
    }
    const struct kt_replica_status *status = rig_status(0);
    CHECK_INT(status->role, KT_M_LEADS);
    CHECK(status->ready);
    CHECK_INT(status->commit_seq, 2);
    CHECK_INT(status->peer_count, 2);
    CHECK_STR(rig_status(1)->leader_addr, rig.nodes[0].addr);
    CHECK_STR(rig_status(2)->cluster_id, status->cluster_id);
    CHECK_INT(rig_status(2)->brief.epoch, 1);
    rig_close();
}

static bool follower_told_commit(void *ctx)
{
    (void)ctx;
    return rig_status(1)->commit_seq == rig_status(0)->commit_seq;
}

static void an_idle_cluster_shows_a_write_everywhere_at_once(void)
{
    begin_cluster(2);
    for (int i = 0; i < 20; i++) {
        WRITE(0, "s", i);
        uint64_t seq = rig_applied(0);
        CHECK(kt_store_wait_applied(rig.nodes[1].store, seq, kt_now_mono_ms() + 5000));
        CHECK(rig_until(follower_told_commit, NULL, "the commit position"));
    }
    CHECK(rig_value(1, "s") == 19);
    rig_close();
}

static void a_follower_that_was_down_catches_up(void)
{
    begin_cluster(3);
    WRITE(0, "before", 1);
    CHECK(rig_until_applied(2, rig_applied(0)));
    rig_stop(2);
    for (int i = 0; i < 60; i++) {
        WRITE(0, "while", i);
    }
    rig_start(2);
    CHECK(rig_until_applied(2, rig_applied(0)));
    CHECK(rig_value(2, "before") == 1);
    CHECK(rig_value(2, "while") == 59);
    rig_close();
}

static void ten_single_saves_after_a_large_batch_are_fetched_in_few_bytes(void)
{
    begin_cluster(2);
    struct kt_buf body;
    struct kt_submit_result result;
    kt_buf_init(&body, 0);
    for (int i = 0; i < 8; i++) {
        kt_buf_clear(&body);
        rig_change("large", 0, i, 400000, &body);
        CHECK_OK(kt_replica_submit(rig_replica(0), KT_STR(""), kt_buf_str(&body),
                                   kt_now_mono_ms() + RIG_WAIT_MS, &result, &err));
    }
    CHECK(rig_until_applied(1, rig_applied(0)));
    CHECK(rig_status(1)->fetched_bytes > 8 * body.len_bytes);
    rig_stop(1);
    for (int i = 0; i < 10; i++) {
        WRITE(0, "small", i);
    }
    rig_start(1);
    CHECK(rig_until_applied(1, rig_applied(0)));
    CHECK_INT(rig_status(1)->fetched_entries, 10);
    CHECK(rig_status(1)->fetched_bytes < 8192);
    kt_buf_done(&body);
    rig_close();
}

static void an_entry_larger_than_a_fetch_may_be_gets_through(void)
{
    begin();
    rig.options.fetch_max_bytes = 1000;
    rig_start_cluster(2);
    struct kt_submit_result result;
    struct kt_buf body;
    kt_buf_init(&body, 0);
    rig_change("large", 0, 7, 300000, &body);
    CHECK_OK(kt_replica_submit(rig_replica(0), KT_STR(""), kt_buf_str(&body),
                               kt_now_mono_ms() + RIG_WAIT_MS, &result, &err));
    WRITE(0, "after", 8);
    CHECK(rig_until_applied(1, rig_applied(0)));
    CHECK(rig_value(1, "large") == 7);
    CHECK(rig_value(1, "after") == 8);
    kt_buf_done(&body);
    rig_close();
}

static void a_follower_refuses_a_write_and_names_the_leader(void)
{
    begin_cluster(2);
    CHECK_FAILS(rig_write(1, "s", 0, 1, 1000, NULL, &err), KT_NOT_LEADER);
    CHECK(strstr(err.message, rig.nodes[0].addr) != NULL);
    rig_close();
}

static void a_node_without_a_leader_refuses_a_write_as_certainly_not_done(void)
{
    begin();
    rig_start(1); /* a slave alone */
    CHECK_FAILS(rig_write(1, "s", 0, 1, 1000, NULL, &err), KT_UNAVAILABLE);
    CHECK(!rig_status(1)->ready);
    rig_close();
}

static void what_apply_refuses_has_a_revision_and_says_why(void)
{
    begin();
    rig.options.max_indicators = 1;
    rig_start_cluster(2);
    WRITE(0, "s", 1);
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    struct kt_change_value value = {KT_STR("another"), false, 1};
    struct kt_change_record record;
    struct kt_submit_result result;
    struct kt_buf body;
    memset(&record, 0, sizeof(record));
    record.subject = KT_STR("s");
    record.values = &value;
    record.value_count = 1;
    kt_buf_init(&body, 0);
    CHECK_OK(kt_change_add_record(builder, &record, &err));
    CHECK_OK(kt_change_encode(builder, &body, &err));
    CHECK_OK(kt_replica_submit(rig_replica(0), KT_STR(""), kt_buf_str(&body),
                               kt_now_mono_ms() + RIG_WAIT_MS, &result, &err));
    CHECK_INT(result.revision, 3);
    CHECK(result.apply.status != KT_OK);
    CHECK(result.apply.message[0] != '\0');
    CHECK(rig_until_applied(1, 3));
    kt_buf_done(&body);
    kt_change_builder_free(&builder);
    rig_close();
}

static void many_writers_share_batches(void)
{
    enum { JOBS = 40 };
    begin_cluster(2);
    struct rig_job *jobs = kt_calloc(JOBS, sizeof(*jobs));
    CHECK(jobs != NULL);
    rig_stall(0, false);
    for (int i = 0; i < JOBS; i++) {
        rig_submit(&jobs[i], 0, "many", i, RIG_WAIT_MS);
    }
    rig_go_on(0);
    for (int i = 0; i < JOBS; i++) {
        rig_join(&jobs[i]);
        CHECK_INT(jobs[i].status, KT_OK);
        for (int k = 0; k < i; k++) {
            CHECK(jobs[k].result.revision != jobs[i].result.revision);
        }
    }
    CHECK_INT(rig_applied(0), JOBS + 1);
    CHECK_INT(rig_status(0)->batched_entries, JOBS);
    CHECK(rig_status(0)->batches < JOBS);
    CHECK(rig_until_applied(1, JOBS + 1));
    kt_free(jobs);
    rig_close();
}

/* --- leading again --- */

static bool knows_no_leader(void *ctx)
{
    (void)ctx;
    return rig_write(1, "s", 0, 2, 500, NULL, &err) == KT_UNAVAILABLE;
}

static void a_restarted_leader_leads_the_next_epoch_with_all_it_had(void)
{
    begin_cluster(2);
    WRITE(0, "s", 1);
    rig_stop(0);
    CHECK(rig_until(knows_no_leader, NULL, "the word that nobody leads"));
    rig_start(0);
    CHECK(rig_until_leads(0));
    CHECK_INT(rig_status(0)->brief.epoch, 2);
    WRITE(0, "s", 3);
    CHECK(rig_until_applied(1, rig_applied(0)));
    CHECK(rig_value(1, "s") == 3);
    CHECK_INT(rig_status(1)->brief.epoch, 2);
    rig_close();
}

static void a_lost_lease_costs_an_epoch_and_no_write(void)
{
    begin_cluster(2);
    WRITE(0, "s", 1);
    kt_coord_fake_drop_lease(rig.fake, rig.nodes[0].addr);
    kt_coord_fake_renew(rig.fake, rig.nodes[0].addr);
    CHECK(rig_until_applied(1, 3)); /* the epoch-start of epoch 2 */
    CHECK(rig_until_leads(0));
    CHECK_INT(rig_status(0)->brief.epoch, 2);
    WRITE(0, "s", 2);
    CHECK(rig_until_applied(1, rig_applied(0)));
    CHECK(rig_value(1, "s") == 2);
    rig_close();
}

static bool does_not_lead(void *ctx)
{
    return !rig_leads(*(size_t *)ctx);
}

static void a_leader_cut_off_from_etcd_steps_down_and_leads_again_later(void)
{
    begin();
    rig.options.ttl_s = 3;
    rig_start_cluster(1);
    WRITE(0, "s", 1);
    kt_coord_fake_set_reachable(rig.fake, false);
    WRITE(0, "s", 2); /* its lease lives on for a while */
    size_t n = 0;
    CHECK(rig_until(does_not_lead, &n, "the step-down"));
    CHECK_FAILS(rig_write(0, "s", 0, 3, 500, NULL, &err), KT_UNAVAILABLE);
    kt_coord_fake_set_reachable(rig.fake, true);
    CHECK(rig_until_leads(0));
    CHECK_INT(rig_status(0)->brief.epoch, 2);
    WRITE(0, "s", 4);
    CHECK(rig_value(0, "s") == 4);
    rig_close();
}

static void an_unknown_election_is_settled_and_led_by(void)
{
    begin();
    kt_coord_fake_next_outcome(rig.fake, KT_TXN_UNKNOWN);
    rig_start(0);
    CHECK(rig_until_leads(0));
    CHECK_INT(rig_status(0)->brief.epoch, 1);
    rig_stop(0);
    kt_coord_fake_lose_next(rig.fake);
    rig_start(0);
    CHECK(rig_until_leads(0));
    CHECK_INT(rig_status(0)->brief.epoch, 2);
    rig_close();
}

static bool waits_for_disk(void *ctx)
{
    return strstr(rig_status(*(size_t *)ctx)->waiting_for, "could not be kept on disk") != NULL;
}

static void a_leader_does_not_lead_until_its_configuration_is_kept(void)
{
    begin_cluster(1);
    WRITE(0, "s", 1);
    kt_fault_set(KT_FAULT_IO, 1, 1);
    kt_coord_fake_drop_lease(rig.fake, rig.nodes[0].addr);
    kt_coord_fake_renew(rig.fake, rig.nodes[0].addr);
    size_t n = 0;
    CHECK(rig_until(waits_for_disk, &n, "the word of the disk"));
    CHECK(!rig_leads(0));
    CHECK(rig_status(0)->ready); /* to be read from */
    CHECK_FAILS(rig_write(0, "s", 0, 2, 500, NULL, &err), KT_UNAVAILABLE);
    CHECK(strstr(err.message, "disk") != NULL); /* not kept, or the moment before the next try */
    CHECK_INT(rig_applied(0), 2);               /* no epoch-start was written on it */
    kt_fault_set(KT_FAULT_IO, 0, 0);            /* the disk is well again */
    CHECK(rig_until_leads(0));
    CHECK(rig_status(0)->brief.epoch > 2); /* what was won meanwhile is not led */
    WRITE(0, "s", 3);
    rig_stop(0);
    rig_start(0);
    CHECK(rig_until_leads(0));
    CHECK(rig_value(0, "s") == 3);
    rig_close();
}

/* --- what differs --- */

static bool node_stopped(void *ctx)
{
    return rig_status(*(size_t *)ctx)->role == KT_M_ENDED;
}

static bool is_diverged_in_etcd(void *ctx)
{
    struct kt_coord_view *view = kt_replica_view(rig_replica(0));
    bool found = false;
    for (size_t i = 0; i < view->service_count; i++) {
        found = found || (strcmp(view->services[i].addr, (const char *)ctx) == 0 &&
                          view->services[i].state == KT_STATE_DIVERGED);
    }
    kt_coord_view_unref(&view);
    return found;
}

/* Entry 3 of node 1 is one that the leader never had, as left behind by another history; the
 * leader's own is its epoch-start of epoch 2. */
static void leave_a_ghost(uint64_t commit)
{
    begin_cluster(2);
    WRITE(0, "s", 1);
    CHECK(rig_until_applied(1, rig_applied(0)));
    rig_stop(1);
    struct kt_store_options options;
    struct kt_store *store = NULL;
    struct kt_buf body;
    memset(&options, 0, sizeof(options));
    options.path = rig.nodes[1].path;
    options.read_connections = 1;
    options.max_indicators = 4096;
    CHECK_OK(kt_store_open(&options, &store, &err));
    kt_buf_init(&body, 0);
    rig_change("ghost", 0, 1, 0, &body);
    struct kt_entry ghost = {3, 1, 1, KT_STR(""), kt_buf_str(&body)};
    CHECK_OK(kt_store_log_append(store, &ghost, 1, commit, &err));
    kt_buf_done(&body);
    kt_store_close(&store);
    rig_stop(0);
    rig_start(0);
    CHECK(rig_until_leads(0));
    rig_start(1);
}

static void what_the_leader_never_had_is_put_aside_and_cut(void)
{
    struct kt_buf path;
    leave_a_ghost(2);
    CHECK(rig_until_applied(1, rig_applied(0)));
    CHECK(rig_value(1, "ghost") == -1);
    kt_buf_init(&path, 0);
    kt_store_rollback_path(rig.nodes[1].store, &path);
    CHECK(kt_str_find(kt_buf_str(&path), KT_STR("rollback/")) > 0);
    kt_buf_done(&path);
    WRITE(0, "s", 2);
    CHECK(rig_until_applied(1, rig_applied(0)));
    CHECK(rig_value(1, "s") == 2);
    rig_close();
}

static void what_was_committed_elsewhere_is_not_cut_but_ends_the_node(void)
{
    leave_a_ghost(3);
    size_t n = 1;
    CHECK(rig_until(node_stopped, &n, "the refusal"));
    CHECK(strstr(rig_status(1)->stopped_why, "-rejoin") != NULL);
    CHECK(!rig_status(1)->ready);
    CHECK(rig_until(is_diverged_in_etcd, rig.nodes[1].addr, "its word in etcd"));
    CHECK(rig_value(1, "ghost") == 1);
    CHECK_FAILS(rig_write(1, "s", 0, 2, 500, NULL, &err), KT_UNAVAILABLE);
    WRITE(0, "s", 2); /* the leader does not mind */
    rig_close();
}

static void another_clusters_database_is_refused(void)
{
    begin_cluster(1);
    rig_start_standalone(1);
    CHECK(rig_until_leads(1)); /* a cluster of its own */
    rig_stop(1);
    rig_start(1);
    size_t n = 1;
    CHECK(rig_until(node_stopped, &n, "the refusal"));
    CHECK(strstr(rig_status(1)->stopped_why, rig_status(0)->cluster_id) != NULL);
    rig_close();
}

/* --- standalone --- */

static void standalone_leads_itself_and_may_found_a_cluster_but_not_go_back(void)
{
    begin();
    rig_start_standalone(0);
    CHECK(rig_until_leads(0));
    WRITE(0, "s", 1);
    rig_stop(0);
    rig_start_standalone(0);
    CHECK(rig_until_leads(0));
    CHECK_INT(rig_status(0)->brief.epoch, 2);
    CHECK(rig_value(0, "s") == 1);
    char cluster[KT_ID_LEN + 1];
    memcpy(cluster, rig_status(0)->cluster_id, sizeof(cluster));
    rig_stop(0);
    rig_start(0);
    rig_start(1);
    CHECK(rig_until_leads(0));
    CHECK_INT(rig_status(0)->brief.epoch, 3);
    CHECK_STR(rig_status(0)->cluster_id, cluster);
    CHECK(rig_until_applied(1, rig_applied(0)));
    CHECK(rig_value(1, "s") == 1);
    rig_stop(0);
    CHECK_FAILS(rig_try_start(0, true, &err), KT_CONFLICT);
    CHECK(strstr(err.message, cluster) != NULL);
    CHECK(strstr(err.message, "[etcd] endpoints") != NULL);
    rig_close();
}

/* --- lag --- */

static bool lag_is_small(void *ctx)
{
    struct kt_replica_brief brief;
    kt_replica_brief(rig_replica(*(size_t *)ctx), &brief);
    return brief.lag_ms < 100;
}

static bool lag_is_large(void *ctx)
{
    struct kt_replica_brief brief;
    kt_replica_brief(rig_replica(*(size_t *)ctx), &brief);
    return brief.lag_ms > 2000;
}

static void lag_stays_below_a_polls_length_and_grows_without_a_leader(void)
{
    begin_cluster(2);
    struct kt_replica_brief brief;
    size_t n = 1;
    CHECK(rig_until(lag_is_small, &n, "a small lag"));
    int64_t end = kt_now_mono_ms() + 1500;
    while (kt_now_mono_ms() < end) { /* idle: a poll waits at most half of lag_timeout */
        kt_replica_brief(rig_replica(1), &brief);
        CHECK(brief.lag_ms >= 0 && brief.lag_ms < (kt_test_is_slow() ? 3000 : 900));
        kt_replica_brief(rig_replica(0), &brief);
        CHECK_INT(brief.lag_ms, 0);
    }
    rig.nodes[0].cut_off = true;
    CHECK(rig_until(lag_is_large, &n, "a growing lag"));
    rig.nodes[0].cut_off = false;
    CHECK(rig_until(lag_is_small, &n, "a small lag again"));
    rig_close();
}

static const struct kt_test tests[] = {
    TEST(a_write_at_the_leader_is_applied_on_every_follower),
    TEST(an_idle_cluster_shows_a_write_everywhere_at_once),
    TEST(a_follower_that_was_down_catches_up),
    TEST(ten_single_saves_after_a_large_batch_are_fetched_in_few_bytes),
    TEST(an_entry_larger_than_a_fetch_may_be_gets_through),
    TEST(a_follower_refuses_a_write_and_names_the_leader),
    TEST(a_node_without_a_leader_refuses_a_write_as_certainly_not_done),
    TEST(what_apply_refuses_has_a_revision_and_says_why),
    TEST(many_writers_share_batches),
    TEST(a_restarted_leader_leads_the_next_epoch_with_all_it_had),
    TEST(a_lost_lease_costs_an_epoch_and_no_write),
    TEST(a_leader_cut_off_from_etcd_steps_down_and_leads_again_later),
    TEST(an_unknown_election_is_settled_and_led_by),
    TEST(a_leader_does_not_lead_until_its_configuration_is_kept),
    TEST(what_the_leader_never_had_is_put_aside_and_cut),
    TEST(what_was_committed_elsewhere_is_not_cut_but_ends_the_node),
    TEST(another_clusters_database_is_refused),
    TEST(standalone_leads_itself_and_may_found_a_cluster_but_not_go_back),
    TEST(lag_stays_below_a_polls_length_and_grows_without_a_leader),
};

KT_TEST_MAIN(tests)

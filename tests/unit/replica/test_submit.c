/* SPDX-License-Identifier: MIT */
/* A write's possible ends, recorded_by, stopping under load, faults of the disk at every step, and
 * what a fetch is refused for.
 */
#include "kt_test.h"
#include "rig.h"

#include "base/budget.h"
#include "base/clock.h"
#include "base/mem.h"
#include "replica/replica_impl.h"

#include <stdlib.h>

static struct kt_error err;

#define WRITE(n, subject, value) CHECK_OK(rig_write(n, subject, 0, value, RIG_WAIT_MS, NULL, &err))

static void begin_cluster(size_t count)
{
    memset(&err, 0, sizeof(err));
    rig_open();
    rig_start_cluster(count);
}

/* --- a write's ends --- */

static bool is_queued(void *ctx)
{
    return rig_status(0)->queue_entries == *(size_t *)ctx;
}

static bool has_number(void *ctx)
{
    (void)ctx;
    kt_mutex_lock(&rig_replica(0)->mutex);
    bool taken = rig_replica(0)->log.end_seq > rig_applied(0);
    kt_mutex_unlock(&rig_replica(0)->mutex);
    return taken;
}

/* The log thread has taken this write, and waits for what is stalled. */
static bool put_in_flight(struct rig_job *job, const char *subject, int64_t timeout_ms)
{
    rig_submit(job, 0, subject, 1, timeout_ms);
    return rig_until(has_number, NULL, "the write to be taken");
}

static void beyond_the_queues_bound_a_write_is_busy(void)
{
    struct rig_job first, second;
    memset(&first, 0, sizeof(first));
    memset(&second, 0, sizeof(second));
    memset(&err, 0, sizeof(err));
    rig_open();
    rig.options.queue_max_bytes = 3000;
    rig_start_cluster(1);
    rig_stall(0, false);
    CHECK(put_in_flight(&first, "first", RIG_WAIT_MS));
    second.pad = 3000;
    rig_submit(&second, 0, "second", 2, RIG_WAIT_MS);
    size_t one = 1;
    CHECK(rig_until(is_queued, &one, "the queue"));
    CHECK(rig_status(0)->queue_bytes > 0);
    struct kt_buf body;
    struct kt_submit_result result;
    kt_buf_init(&body, 0);
    rig_change("third", 0, 3, 3000, &body);
    CHECK_FAILS(kt_replica_submit(rig_replica(0), KT_STR(""), kt_buf_str(&body),
                                  kt_now_mono_ms() + 1000, &result, &err),
                KT_BUSY);
    kt_buf_done(&body);
    rig_go_on(0);
    rig_join(&first);
    rig_join(&second);
    CHECK_INT(first.status, KT_OK);
    CHECK_INT(second.status, KT_OK);
    CHECK(rig_value(0, "third") == -1);
    CHECK_INT(rig_status(0)->queue_bytes, 0);
    rig_close();
}

/* A follower takes no larger answer: behind such an entry it would stand for ever. */
static void a_change_that_no_fetch_could_carry_is_refused(void)
{
    struct kt_submit_result result;
    size_t len = (size_t)KT_REPLICA_ENTRY_BYTES_MAX + 1;
    char *bytes = kt_calloc(1, len);
    CHECK(bytes != NULL);
    begin_cluster(2);
    CHECK_FAILS(kt_replica_submit(rig_replica(0), KT_STR(""), kt_str_n(bytes, len),
                                  kt_now_mono_ms() + RIG_WAIT_MS, &result, &err),
                KT_TOO_LARGE);
    WRITE(0, "after", 1);
    CHECK(rig_until_applied(1, 2));
    kt_free(bytes);
    rig_close();
}

static void a_deadline_in_the_queue_means_certainly_not_done(void)
{
    struct rig_job first;
    memset(&first, 0, sizeof(first));
    begin_cluster(1);
    rig_stall(0, false);
    CHECK(put_in_flight(&first, "first", RIG_WAIT_MS));
    CHECK_FAILS(rig_write(0, "second", 0, 2, 60, NULL, &err), KT_UNAVAILABLE);
    CHECK_INT(rig_status(0)->queue_entries, 0);
    rig_go_on(0);
    rig_join(&first);
    CHECK_INT(first.status, KT_OK);
    WRITE(0, "third", 3); /* the queue's ends are whole */
    CHECK(rig_value(0, "second") == -1);
    CHECK_INT(rig_applied(0), 3);
    rig_close();
}

static void a_deadline_after_the_number_was_given_means_unknown(void)
{
    struct rig_job first;
    memset(&first, 0, sizeof(first));
    begin_cluster(1);
    rig_stall(0, false);
    CHECK(put_in_flight(&first, "first", 200));
    rig_join(&first);
    CHECK_INT(first.status, KT_OUTCOME_UNKNOWN);
    rig_go_on(0);
    CHECK(rig_until_applied(0, 2)); /* and it was done after all */
    CHECK(rig_value(0, "first") == 1);
    rig_close();
}

static void withdrawing_from_the_middle_and_the_end_of_the_queue_keeps_the_rest(void)
{
    enum { JOBS = 6 };
    struct rig_job first, *jobs = kt_calloc(JOBS, sizeof(*jobs));
    CHECK(jobs != NULL);
    memset(&first, 0, sizeof(first));
    begin_cluster(1);
    rig_stall(0, false);
    CHECK(put_in_flight(&first, "first", RIG_WAIT_MS));
    for (size_t i = 0; i < JOBS; i++) {
        char subject[16];
        snprintf(subject, sizeof(subject), "q%zu", i);
        /* 1, 3 and 5 (the last) give up. */
        rig_submit(&jobs[i], 0, subject, (double)i, i % 2 ? 300 : RIG_WAIT_MS);
        size_t queued = i + 1;
        CHECK(rig_until(is_queued, &queued, "the queue"));
    }
    for (size_t i = 1; i < JOBS; i += 2) {
        rig_join(&jobs[i]);
        CHECK_INT(jobs[i].status, KT_UNAVAILABLE);
    }
    rig_go_on(0);
    rig_join(&first);
    for (size_t i = 0; i < JOBS; i += 2) {
        rig_join(&jobs[i]);
        CHECK_INT(jobs[i].status, KT_OK);
    }
    CHECK_INT(rig_applied(0), 1 + 1 + JOBS / 2);
    CHECK(rig_value(0, "q4") == 4);
    CHECK(rig_value(0, "q5") == -1);
    kt_free(jobs);
    rig_close();
}

static enum kt_status write_keyed(const char *key, double value,
                                  struct kt_submit_result *ret_result)
{
    struct kt_buf body;
    kt_buf_init(&body, 0);
    rig_change("keyed", 0, value, 0, &body);
    enum kt_status status = kt_replica_submit(rig_replica(0), kt_str(key), kt_buf_str(&body),
                                              kt_now_mono_ms() + RIG_WAIT_MS, ret_result, &err);
    kt_buf_done(&body);
    return status;
}

static void a_repeated_request_that_is_done_makes_no_new_entry(void)
{
    struct kt_submit_result first, again, other;
    begin_cluster(2);
    CHECK_OK(write_keyed("k", 1, &first));
    CHECK_INT(first.revision, 2);
    CHECK_OK(write_keyed("k", 1, &again));
    CHECK_INT(again.revision, 2);
    CHECK_INT(again.apply.records, 1);
    CHECK_OK(write_keyed("k", 2, &other));
    CHECK_INT(other.apply.status, KT_IDEMPOTENCY_MISMATCH);
    CHECK_STR(other.apply.field, "Idempotency-Key");
    CHECK_INT(rig_status(0)->end_seq, 2);
    rig_stop(0);
    rig_start(0);
    CHECK(rig_until_leads(0));
    CHECK_OK(write_keyed("k", 1, &again));
    CHECK_INT(again.revision, 2);
    CHECK(rig_value(0, "keyed") == 1);
    rig_close();
}

static void a_repetition_that_comes_while_the_first_is_under_way_has_its_result(void)
{
    struct rig_job first, second, other;
    memset(&first, 0, sizeof(first));
    memset(&second, 0, sizeof(second));
    memset(&other, 0, sizeof(other));
    begin_cluster(1);
    rig_stall(0, false);
    first.key = second.key = other.key = "k";
    CHECK(put_in_flight(&first, "s", RIG_WAIT_MS));
    rig_submit(&second, 0, "s", 1, RIG_WAIT_MS);
    rig_submit(&other, 0, "s", 2, RIG_WAIT_MS);
    size_t two = 2;
    CHECK(rig_until(is_queued, &two, "the queue"));
    rig_go_on(0);
    rig_join(&first);
    rig_join(&second);
    rig_join(&other);
    CHECK_INT(first.status, KT_OK);
    CHECK_INT(second.status, KT_OK);
    CHECK_INT(second.result.apply.status, KT_OK);
    CHECK_INT(second.result.revision, first.result.revision);
    CHECK_INT(other.result.apply.status, KT_IDEMPOTENCY_MISMATCH);
    CHECK_INT(rig_applied(0), 4);
    CHECK(rig_value(0, "s") == 1);
    rig_close();
}

static bool has_stepped_down(void *ctx)
{
    (void)ctx;
    return !rig_leads(0);
}

static void a_step_down_leaves_the_numbered_unknown_and_the_queued_not_done(void)
{
    struct rig_job first, second;
    memset(&first, 0, sizeof(first));
    memset(&second, 0, sizeof(second));
    begin_cluster(1);
    rig_stall(0, false);
    CHECK(put_in_flight(&first, "first", RIG_WAIT_MS));
    rig_submit(&second, 0, "second", 2, RIG_WAIT_MS);
    size_t one = 1;
    CHECK(rig_until(is_queued, &one, "the queue"));
    kt_coord_fake_drop_lease(rig.fake, rig.nodes[0].addr);
    CHECK(rig_until(has_stepped_down, NULL, "the step-down"));
    rig_join(&second);
    CHECK_INT(second.status, KT_UNAVAILABLE);
    rig_join(&first); /* it need not wait for the disk to know that nobody can say */
    CHECK_INT(first.status, KT_OUTCOME_UNKNOWN);
    rig_go_on(0);
    kt_coord_fake_renew(rig.fake, rig.nodes[0].addr);
    CHECK(rig_until_leads(0));
    CHECK_INT(rig_status(0)->brief.epoch, 2); /* one more, not two: no fault was there */
    CHECK(rig_value(0, "first") == 1);        /* it leads with its whole log */
    CHECK(rig_value(0, "second") == -1);
    rig_close();
}

/* --- faults of the disk --- */

static bool leads_later(void *ctx)
{
    return rig_leads(0) && rig_status(0)->brief.epoch > *(uint64_t *)ctx;
}

static void a_fault_at_any_step_of_a_write_loses_nothing_that_was_acknowledged(void)
{
    begin_cluster(1);
    WRITE(0, "s", 1);
    enum kt_status status = KT_INTERNAL;
    unsigned unknown = 0;
    for (uint64_t nth = 1; nth < 60 && status != KT_OK; nth += kt_test_is_slow() ? 4 : 1) {
        uint64_t epoch = rig_status(0)->brief.epoch;
        kt_fault_set(KT_FAULT_IO, nth, 0);
        status = rig_write(0, "s", 0, 100 + (double)nth, RIG_WAIT_MS, NULL, &err);
        kt_fault_set(KT_FAULT_IO, 0, 0);
        CHECK(status == KT_OK || status == KT_OUTCOME_UNKNOWN);
        unknown += status == KT_OUTCOME_UNKNOWN;
        if (status != KT_OK) {
            CHECK_STR(kt_status_code(err.status), "outcome_unknown");
            CHECK(rig_until(leads_later, &epoch, "the next epoch"));
        }
        WRITE(0, "s", (double)nth);
        CHECK(rig_value(0, "s") == (double)nth);
    }
    CHECK_INT(status, KT_OK); /* the fault came too late to hit: every step was walked */
    CHECK(unknown >= (kt_test_is_slow() ? 1 : 4));
    uint64_t applied = rig_applied(0);
    double value = rig_value(0, "s");
    rig_stop(0);
    rig_start(0);
    CHECK(rig_until_leads(0));
    CHECK_INT(rig_applied(0), applied + 1);
    CHECK(rig_value(0, "s") == value);
    rig_close();
}

static bool write_works(void *ctx)
{
    return rig_write(0, "s", 0, *(double *)ctx, RIG_WAIT_MS, NULL, &err) == KT_OK;
}

static void a_shortage_of_memory_at_any_step_of_a_write_is_survived(void)
{
    begin_cluster(1);
    struct kt_submit_result result;
    struct kt_buf body;
    unsigned hits = 0;
    for (uint64_t nth = 1; nth < 60; nth += kt_test_is_slow() ? 5 : 1) {
        kt_buf_init(&body, 0);
        rig_change("s", 0, 1000, 0, &body);
        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        enum kt_status status = kt_replica_submit(rig_replica(0), KT_STR(""), kt_buf_str(&body),
                                                  kt_now_mono_ms() + RIG_WAIT_MS, &result, &err);
        bool hit = kt_fault_calls(KT_FAULT_ALLOC) >= nth;
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        kt_buf_done(&body);
        hits += hit;
        CHECK(status == KT_OK || status == KT_UNAVAILABLE || status == KT_OUTCOME_UNKNOWN);
        double value = (double)nth;
        CHECK(rig_until(write_works, &value, "a write that works again"));
        CHECK(rig_value(0, "s") == value);
        if (!hit) {
            break;
        }
    }
    CHECK(hits >= (kt_test_is_slow() ? 1 : 4));
    rig_close();
}

/* --- stopping --- */

struct stopper {
    struct kt_thread thread;
    atomic_bool done;
};

static void stop_main(void *arg)
{
    struct stopper *stopper = arg;
    kt_replica_stop(rig_replica(0));
    atomic_store(&stopper->done, true);
}

static bool refuses(void *ctx)
{
    (void)ctx;
    enum kt_status status = rig_write(0, "late", 0, 9, 20, NULL, &err);
    return status == KT_UNAVAILABLE && strstr(err.message, "stopping") != NULL;
}

static void stopping_finishes_what_was_taken_and_refuses_the_rest(void)
{
    struct rig_job first, second;
    struct stopper stopper;
    memset(&first, 0, sizeof(first));
    memset(&second, 0, sizeof(second));
    memset(&stopper, 0, sizeof(stopper));
    begin_cluster(1);
    rig_stall(0, false);
    CHECK(put_in_flight(&first, "first", RIG_WAIT_MS));
    rig_submit(&second, 0, "second", 2, RIG_WAIT_MS);
    size_t one = 1;
    CHECK(rig_until(is_queued, &one, "the queue"));
    CHECK_OK(kt_thread_start(&stopper.thread, "stopper", stop_main, &stopper, &err));
    CHECK(rig_until(refuses, NULL, "the refusal"));
    CHECK(!atomic_load(&stopper.done));
    rig_go_on(0);
    rig_join(&first);
    rig_join(&second);
    kt_thread_join(&stopper.thread);
    CHECK_INT(first.status, KT_OK);
    CHECK_INT(second.status, KT_OK);
    CHECK_INT(rig_applied(0), 3);
    rig_close();
}

enum { WRITERS = 50 };

struct writer {
    struct kt_thread thread;
    unsigned number, acknowledged, unknown, other;
};

static atomic_uint acknowledged_so_far;

static void writer_main(void *arg)
{
    struct writer *writer = arg;
    struct kt_error why = KT_ERROR_INIT;
    char subject[32];
    snprintf(subject, sizeof(subject), "w%u", writer->number);
    for (unsigned i = 1; i < 100000; i++) {
        enum kt_status status = rig_write(0, subject, 0, i, RIG_WAIT_MS, NULL, &why);
        if (status == KT_OK) {
            writer->acknowledged = i;
            atomic_fetch_add(&acknowledged_so_far, 1);
        } else {
            writer->unknown += status == KT_OUTCOME_UNKNOWN;
            writer->other += status != KT_OUTCOME_UNKNOWN && status != KT_UNAVAILABLE;
            break;
        }
    }
}

static bool enough_written(void *ctx)
{
    (void)ctx;
    return atomic_load(&acknowledged_so_far) >= 10 * WRITERS;
}

static void stopping_under_fifty_writers_loses_nothing(void)
{
    begin_cluster(2);
    struct writer *writers = kt_calloc(WRITERS, sizeof(*writers));
    CHECK(writers != NULL);
    atomic_store(&acknowledged_so_far, 0);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i].number = i;
        CHECK_OK(kt_thread_start(&writers[i].thread, "writer", writer_main, &writers[i], &err));
    }
    CHECK(rig_until(enough_written, NULL, "some writes"));
    int64_t before = kt_now_mono_ms();
    kt_replica_stop(rig_replica(0));
    CHECK(kt_now_mono_ms() - before < 4000); /* no drain to its deadline */
    unsigned sum = 0;
    for (unsigned i = 0; i < WRITERS; i++) {
        kt_thread_join(&writers[i].thread);
        CHECK_INT(writers[i].other, 0);
        CHECK_INT(writers[i].unknown, 0);
        sum += writers[i].acknowledged;
    }
    CHECK_INT(rig_applied(0), sum + 1);
    rig_stop(0);
    rig_start(0);
    CHECK(rig_until_leads(0));
    CHECK_INT(rig_applied(0), sum + 2);
    CHECK(rig_until_applied(1, sum + 2));
    for (unsigned i = 0; i < WRITERS; i++) {
        char subject[32];
        snprintf(subject, sizeof(subject), "w%u", i);
        CHECK(rig_value(0, subject) == writers[i].acknowledged);
        CHECK(rig_value(1, subject) == writers[i].acknowledged);
    }
    kt_free(writers);
    rig_close();
}

static void a_node_that_was_never_started_can_be_freed(void)
{
    struct kt_replica *replica = NULL;
    struct kt_replica_options options;
    struct kt_store_options store_options;
    struct kt_store *store = NULL;
    memset(&err, 0, sizeof(err));
    rig_open();
    options = rig.options;
    memset(&store_options, 0, sizeof(store_options));
    store_options.path = rig.nodes[0].path;
    store_options.read_connections = 1;
    CHECK_OK(kt_store_open(&store_options, &store, &err));
    options.store = store;
    options.addr = rig.nodes[0].addr;
    options.make_coord = rig_make_fake;
    options.make_coord_ctx = rig.fake;
    enum kt_status status = KT_NO_MEMORY;
    for (uint64_t nth = 1; status != KT_OK && nth < 2000; nth++) {
        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        status = kt_replica_new(&options, &replica, &err);
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        CHECK(status == KT_OK || status == KT_NO_MEMORY);
    }
    CHECK_INT(status, KT_OK);
    struct kt_coord_view *view = kt_replica_view(replica);
    CHECK_INT(view->service_count, 0); /* nothing is registered before the start */
    kt_coord_view_unref(&view);
    kt_replica_stop(replica);
    kt_replica_free(&replica);
    kt_store_close(&store);
    rig_close();
}

/* --- recorded_by --- */

static int64_t in(int64_t ms)
{
    return kt_now_mono_ms() + ms;
}

static void a_leader_holds_the_past_and_never_stamps_into_it_again(void)
{
    begin_cluster(1);
    int rounds = kt_test_is_slow() ? 30 : 300;
    for (int i = 0; i < rounds; i++) {
        int64_t now_ms = kt_now_wall_ms();
        CHECK_OK(kt_replica_hold(rig_replica(0), 0, now_ms, in(RIG_WAIT_MS), &err));
        WRITE(0, "s", i);
        CHECK(kt_store_log_last_wall_ms(rig.nodes[0].store) > now_ms);
    }
    uint64_t newest = rig_applied(0);
    CHECK_OK(kt_replica_hold(rig_replica(0), newest, 0, in(1000), &err));
    CHECK_FAILS(kt_replica_hold(rig_replica(0), newest + 1, 0, in(1000), &err), KT_BAD_VALUE);
    CHECK_STR(err.field, "recorded_by");
    /* A moment that has not come yet holds the present. */
    CHECK_OK(kt_replica_hold(rig_replica(0), 0, kt_now_wall_ms() + 100000, in(1000), &err));
    rig_close();
}

static void a_leader_waits_for_the_batch_that_is_within_the_bound(void)
{
    struct rig_job first;
    memset(&first, 0, sizeof(first));
    begin_cluster(1);
    int64_t before_ms = kt_now_wall_ms() - 10;
    rig_stall(0, true); /* it is in the log and committed, and not applied */
    CHECK(put_in_flight(&first, "first", RIG_WAIT_MS));
    int64_t after_ms = kt_now_wall_ms() + 1;
    CHECK_FAILS(kt_replica_hold(rig_replica(0), 0, after_ms, in(100), &err), KT_UNAVAILABLE);
    CHECK_OK(kt_replica_hold(rig_replica(0), 0, before_ms, in(100), &err));
    /* A follower may have applied revision 2 already, and who saw it there asks for it here. */
    CHECK_FAILS(kt_replica_hold(rig_replica(0), 2, 0, in(100), &err), KT_UNAVAILABLE);
    CHECK_FAILS(kt_replica_hold(rig_replica(0), 3, 0, in(100), &err), KT_BAD_VALUE);
    rig_go_on(0);
    CHECK_OK(kt_replica_hold(rig_replica(0), 2, 0, in(RIG_WAIT_MS), &err));
    CHECK_OK(kt_replica_hold(rig_replica(0), 0, after_ms, in(RIG_WAIT_MS), &err));
    CHECK_INT(rig_applied(0), 2);
    rig_join(&first);
    rig_close();
}

static void a_follower_holds_what_the_leaders_answers_have_shown(void)
{
    begin_cluster(2);
    for (int i = 0; i < 20; i++) {
        WRITE(0, "s", i);
        uint64_t revision = rig_applied(0); /* before the moment: an election adds an entry */
        int64_t written_ms = kt_now_wall_ms();
        CHECK_OK(kt_replica_hold(rig_replica(1), 0, written_ms, in(RIG_WAIT_MS), &err));
        CHECK(rig_applied(1) >= revision);
    }
    uint64_t newest = rig_applied(0);
    CHECK_OK(kt_replica_hold(rig_replica(1), newest, 0, in(RIG_WAIT_MS), &err));
    CHECK_FAILS(kt_replica_hold(rig_replica(1), newest + 5, 0, in(RIG_WAIT_MS), &err),
                KT_BAD_VALUE);
    CHECK_OK(kt_replica_hold(rig_replica(1), 0, kt_now_wall_ms() + 60000, in(RIG_WAIT_MS), &err));
    CHECK_OK(kt_replica_hold(rig_replica(1), 0, kt_now_wall_ms() - 60000, in(0), &err));
    rig.nodes[0].cut_off = true;
    CHECK_FAILS(kt_replica_hold(rig_replica(1), newest + 1, 0, in(200), &err), KT_UNAVAILABLE);
    CHECK_FAILS(kt_replica_hold(rig_replica(1), 0, kt_now_wall_ms() + 60000, in(200), &err),
                KT_UNAVAILABLE);
    CHECK_OK(kt_replica_hold(rig_replica(1), newest, 0, in(0), &err)); /* it has that */
    rig_close();
}

/* Its estimate of the leader's clock is made of readings that are cut to milliseconds. */
static void a_moment_that_has_just_come_is_not_taken_for_the_future(void)
{
    begin_cluster(2);
    WRITE(0, "s", 1);
    struct kt_replica *follower = rig_replica(1);
    rig.nodes[0].cut_off = true;
    kt_mutex_lock(&follower->mutex);
    int64_t now_ms = kt_now_wall_ms();
    follower->leader_wall_ms = now_ms - 1;
    follower->leader_wall_mono_ms = kt_now_mono_ms();
    follower->held_wall_ms = now_ms - 1;
    kt_mutex_unlock(&follower->mutex);
    CHECK_FAILS(kt_replica_hold(follower, 0, now_ms, in(0), &err), KT_UNAVAILABLE);
    rig_close();
}

/* --- what a fetch is refused for --- */

static char answer_text[4096];
static size_t answer_bytes;
static struct kt_budget_share *answer_share; /* as the server gives to answers */

static int fetch_at(size_t n, const char *json)
{
    struct kt_http_request request;
    struct kt_http_response response;
    struct kt_arena *arena = kt_arena_new(4096, 1 << 20);
    memset(&request, 0, sizeof(request));
    request.method = KT_HTTP_POST;
    request.body = kt_str(json);
    request.arena = arena;
    kt_http_response_init(&response, arena, 1 << 20);
    response.body.share = answer_share;
    kt_replica_serve_fetch(rig_replica(n), &request, &response);
    int status = response.status;
    answer_bytes = response.body.len_bytes;
    size_t len = 0;
    for (; len < response.body.len_bytes && len + 1 < sizeof(answer_text); len++) {
        answer_text[len] = response.body.data[len] ? response.body.data[len] : '.';
    }
    answer_text[len] = '\0';
    kt_http_response_done(&response);
    kt_arena_free(&arena);
    return status;
}

static const char *fetch_json(size_t leader, const char *cluster, const char *node, uint64_t epoch,
                              uint64_t after, const char *epoch_id)
{
    static char json[600];
    static int session; /* each is a process of its own: its number is not late */
    char id[80] = "null";
    if (after > 0) {
        snprintf(id, sizeof(id), "{\"epoch\":1,\"epoch_id\":\"%s\"}", epoch_id);
    }
    snprintf(json, sizeof(json),
             "{\"cluster\":\"%s\",\"node\":\"%s\",\"leader\":\"%s\","
             "\"session\":\"0123456789ab%04x\",\"request\":1,\"took\":0,\"epoch\":%llu,\"after\":%"
             "llu,\"after_id\":%s,\"vector\":[],\"commit\":0,"
             "\"wait_ms\":0,\"max_bytes\":1000}",
             cluster, node, rig.nodes[leader].id, (unsigned)session++ & 0xffff,
             (unsigned long long)epoch, (unsigned long long)after, id);
    return json;
}

static void a_fetch_is_served_to_members_of_this_cluster_in_this_epoch_only(void)
{
    begin_cluster(2);
    WRITE(0, "s", 1);
    const char *stranger = "ffffffffffffffff";
    char cluster[KT_ID_LEN + 1], member[KT_ID_LEN + 1];
    memcpy(cluster, rig_status(0)->cluster_id, sizeof(cluster));
    memcpy(member, rig_status(1)->node_id, sizeof(member));
    CHECK_INT(fetch_at(0, "{"), 400);
    CHECK_INT(fetch_at(0, fetch_json(0, cluster, member, 1, 0, "")), 200);
    CHECK_INT(fetch_at(0, fetch_json(0, stranger, member, 1, 0, "")), 409);
    CHECK(strstr(answer_text, "\"code\":\"conflict\"") != NULL);
    CHECK(strstr(answer_text, cluster) != NULL);
    CHECK_INT(fetch_at(0, fetch_json(0, cluster, stranger, 1, 0, "")), 409);
    CHECK(strstr(answer_text, "\"code\":\"not_member\"") != NULL);
    CHECK_INT(fetch_at(1, fetch_json(1, cluster, member, 2, 0, "")), 503);
    /* An id that the log does not have: told where both agree. */
    CHECK_INT(fetch_at(0, fetch_json(0, cluster, member, 1, 1, stranger)), 200);
    CHECK(strstr(answer_text, "\"differs\":true") != NULL);
    CHECK_INT(fetch_at(0, fetch_json(0, cluster, member, 1, 900, stranger)), 200);
    CHECK(strstr(answer_text, "\"differs\":true") != NULL);
    rig_stop(0);
    rig_start(0);
    CHECK(rig_until_leads(0));
    CHECK_INT(fetch_at(0, fetch_json(0, cluster, member, 1, 0, "")), 409);
    CHECK(strstr(answer_text, "\"released\":1") != NULL);
    CHECK_INT(fetch_at(0, fetch_json(0, cluster, member, 2, 0, "")), 200);
    /* Who knows a later epoch ends this one. */
    uint64_t epoch = 2;
    CHECK_INT(fetch_at(0, fetch_json(0, cluster, member, 3, 0, "")), 503);
    CHECK(rig_until(leads_later, &epoch, "an epoch of its own"));
    rig_close();
}

/* A follower that is refused for what clients have asked is behind, and the cluster with it. */
static void what_clients_hold_and_may_have_does_not_bound_a_fetch(void)
{
    char cluster[17], member[17];
    struct kt_budget *budget = kt_budget_new(1000);
    struct kt_budget_share share = {budget, 0};
    struct kt_epoch start;
    struct kt_submit_result result;
    struct kt_buf body;
    begin_cluster(2);
    kt_buf_init(&body, 0);
    rig_change("large", 0, 7, 3 << 20, &body);
    CHECK_OK(kt_replica_submit(rig_replica(0), KT_STR(""), kt_buf_str(&body),
                               kt_now_mono_ms() + RIG_WAIT_MS, &result, &err));
    memcpy(cluster, rig_status(0)->cluster_id, sizeof(cluster));
    memcpy(member, rig_status(1)->node_id, sizeof(member));
    CHECK_OK(kt_store_log_entry_id(rig.nodes[0].store, 1, &start, &err));
    CHECK(kt_budget_take(budget, 0, 1000, 0));
    answer_share = &share;
    CHECK_INT(fetch_at(0, fetch_json(0, cluster, member, 1, 1, start.epoch_id)), 200);
    CHECK(answer_bytes > body.len_bytes && body.len_bytes > 1 << 20);
    answer_share = NULL;
    kt_budget_give(budget, 1000);
    kt_budget_free(&budget);
    kt_buf_done(&body);
    rig_close();
}

static const struct kt_test tests[] = {
    TEST(beyond_the_queues_bound_a_write_is_busy),
    TEST(a_change_that_no_fetch_could_carry_is_refused),
    TEST(a_deadline_in_the_queue_means_certainly_not_done),
    TEST(a_deadline_after_the_number_was_given_means_unknown),
    TEST(withdrawing_from_the_middle_and_the_end_of_the_queue_keeps_the_rest),
    TEST(a_repeated_request_that_is_done_makes_no_new_entry),
    TEST(a_repetition_that_comes_while_the_first_is_under_way_has_its_result),
    TEST(a_step_down_leaves_the_numbered_unknown_and_the_queued_not_done),
    TEST(a_fault_at_any_step_of_a_write_loses_nothing_that_was_acknowledged),
    TEST(a_shortage_of_memory_at_any_step_of_a_write_is_survived),
    TEST(stopping_finishes_what_was_taken_and_refuses_the_rest),
    TEST(stopping_under_fifty_writers_loses_nothing),
    TEST(a_node_that_was_never_started_can_be_freed),
    TEST(a_leader_holds_the_past_and_never_stamps_into_it_again),
    TEST(a_leader_waits_for_the_batch_that_is_within_the_bound),
    TEST(a_follower_holds_what_the_leaders_answers_have_shown),
    TEST(a_moment_that_has_just_come_is_not_taken_for_the_future),
    TEST(a_fetch_is_served_to_members_of_this_cluster_in_this_epoch_only),
    TEST(what_clients_hold_and_may_have_does_not_bound_a_fetch),
};

KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
/* Three nodes of which each may lead: leaders that are lost, hand over and come back, under writers
 * whose history is checked.
 */
#include "kt_test.h"
#include "rig.h"

#include "base/clock.h"
#include "base/mem.h"
#include "replica/replica_impl.h"

#include <stdlib.h>

static struct kt_error err;

#define WRITE(n, subject, value) CHECK_OK(rig_write(n, subject, 0, value, RIG_WAIT_MS, NULL, &err))

static void begin(void)
{
    memset(&err, 0, sizeof(err));
    rig_open();
    rig.all_electable = true;
}

/* What no question shows. */
struct inner {
    int64_t numbered_bytes, tail_bytes;
    uint64_t epochs;
};

static struct inner inner(size_t n)
{
    struct kt_replica *replica = rig_replica(n);
    kt_mutex_lock(&replica->mutex);
    struct inner inner = {replica->numbered_bytes, (int64_t)replica->tail_bytes,
                          replica->log.vector_count};
    kt_mutex_unlock(&replica->mutex);
    return inner;
}

/* It is told a moment after it is applied. */
static bool counts_nothing(void *ctx)
{
    return inner(*(size_t *)ctx).numbered_bytes == 0;
}

/* --- conditions --- */

struct wanted {
    size_t node, count;
    uint64_t seq;
};

static bool are_in_sync(void *ctx)
{
    const struct wanted *wanted = ctx;
    return rig_status(wanted->node)->in_sync_count == wanted->count;
}

static bool until_in_sync(size_t node, size_t count)
{
    struct wanted wanted = {.node = node, .count = count};
    return rig_until(are_in_sync, &wanted, "the number of those in sync");
}

/* Node 0 founds and leads first, and of the others the earlier one is preferred. */
static bool start_in_sync(size_t count)
{
    rig.options.expect = (uint32_t)count;
    for (size_t n = 0; n < count; n++) {
        rig.options.priority = 30 - 10 * (int32_t)n;
        rig_start(n);
    }
    KT_ASSERT(rig_until_leads(0));
    for (size_t n = 1; n < count; n++) {
        KT_ASSERT(rig_until_applied(n, rig_applied(0)));
    }
    return until_in_sync(0, count);
}

static bool has_log_to(void *ctx)
{
    const struct wanted *wanted = ctx;
    return rig_status(wanted->node)->end_seq >= wanted->seq;
}

static bool until_log(size_t node, uint64_t seq)
{
    struct wanted wanted = {.node = node, .seq = seq};
    return rig_until(has_log_to, &wanted, "an entry in the log");
}

static size_t leader_now(void)
{
    for (size_t n = 0; n < RIG_NODES; n++) {
        if (rig_replica(n) && rig_leads(n)) {
            return n;
        }
    }
    return RIG_NODES;
}

static bool another_leads(void *ctx)
{
    size_t n = leader_now();
    return n < RIG_NODES && n != *(size_t *)ctx;
}

/* All have the same, and all of it is applied. */
static bool are_level(void *ctx)
{
    size_t leader = leader_now();
    (void)ctx;
    if (leader == RIG_NODES) {
        return false;
    }
    uint64_t end = rig_status(leader)->end_seq;
    for (size_t n = 0; n < RIG_NODES; n++) {
        if (rig_replica(n) && (rig_status(n)->end_seq != end || rig_applied(n) != end)) {
            return false;
        }
    }
    return true;
}

static bool until_level(void)
{
    return rig_until(are_level, NULL, "the same log everywhere");
}

/* --- writers --- */

enum { WRITERS = 12 };

/* Writes 1, 2, 3 … to a subject of its own, at whoever leads. */
struct writer {
    struct kt_thread thread;
    unsigned number;
    unsigned tried, acknowledged, acknowledged_count, unknown, other;
    uint64_t revision; /* of the newest acknowledged one */
    bool goes_back;
};

static struct writer writers[WRITERS];
static atomic_bool enough;
static atomic_uint acknowledged_so_far;

static void take_outcome(struct writer *writer, enum kt_status status,
                         const struct kt_submit_result *result)
{
    switch (status) {
    case KT_OK:
        writer->goes_back = writer->goes_back || result->revision <= writer->revision;
        writer->revision = result->revision;
        writer->acknowledged = writer->tried;
        writer->acknowledged_count++;
        atomic_fetch_add(&acknowledged_so_far, 1);
        break;
    case KT_OUTCOME_UNKNOWN:
        writer->unknown++;
        break;
    case KT_UNAVAILABLE:
    case KT_NOT_LEADER:
        writer->tried--; /* certainly not done: the same again */
        kt_test_pause();
        break;
    default:
        writer->other++;
        break;
    }
}

static void writer_main(void *arg)
{
    struct writer *writer = arg;
    struct kt_submit_result result;
    struct kt_error why = KT_ERROR_INIT;
    char subject[32];
    snprintf(subject, sizeof(subject), "w%u", writer->number);
    while (!atomic_load(&enough)) {
        size_t leader = leader_now();
        if (leader == RIG_NODES) {
            kt_test_pause();
            continue;
        }
        writer->tried++;
        take_outcome(writer,
                     rig_write(leader, subject, 0, writer->tried, RIG_WAIT_MS, &result, &why),
                     &result);
    }
}

static void start_writers(void)
{
    atomic_store(&enough, false);
    atomic_store(&acknowledged_so_far, 0);
    memset(writers, 0, sizeof(writers));
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i].number = i;
        KT_ASSERT(kt_thread_start(&writers[i].thread, "writer", writer_main, &writers[i], &err) ==
                  KT_OK);
    }
}

static void end_writers(void)
{
    atomic_store(&enough, true);
    for (unsigned i = 0; i < WRITERS; i++) {
        kt_thread_join(&writers[i].thread);
    }
}

static bool written(void *ctx)
{
    return atomic_load(&acknowledged_so_far) >= *(unsigned *)ctx;
}

static bool until_written(unsigned more)
{
    unsigned count = atomic_load(&acknowledged_so_far) + more;
    return rig_until(written, &count, "some writes");
}

/* What was acknowledged is there, what was refused is not, everywhere alike; and the log has no
 * entry that nobody wrote, or two of one. */
static void check_history(void)
{
    uint64_t least = 0, most = 0;
    end_writers();
    CHECK(until_level());
    size_t leader = leader_now();
    CHECK(leader < RIG_NODES);
    for (unsigned i = 0; i < WRITERS; i++) {
        const struct writer *writer = &writers[i];
        char subject[32];
        snprintf(subject, sizeof(subject), "w%u", i);
        double value = rig_value(leader, subject);
        CHECK_INT(writer->other, 0);
        CHECK(!writer->goes_back);
        CHECK(value >= writer->acknowledged && value <= writer->tried);
        for (size_t n = 0; n < RIG_NODES; n++) {
            CHECK(!rig_replica(n) || rig_value(n, subject) == value);
        }
        least += writer->acknowledged_count;
        most += writer->acknowledged_count + writer->unknown;
    }
    uint64_t starts = inner(leader).epochs;
    CHECK(rig_applied(leader) >= least + starts);
    CHECK(rig_applied(leader) <= most + starts);
    for (size_t n = 0; n < RIG_NODES; n++) {
        CHECK(!rig_replica(n) || rig_until(counts_nothing, &n, "the end of what is counted"));
    }
}

/* --- leaders that are lost --- */

static void leaders_lost_under_writers_lose_and_double_nothing(void)
{
    begin();
    CHECK(start_in_sync(3));
    start_writers();
    for (int round = 0; round < 3; round++) {
        CHECK(until_written(5 * WRITERS));
        size_t lost = leader_now();
        CHECK(lost < RIG_NODES);
        rig_lose_leader(lost);
        CHECK(rig_until(another_leads, &lost, "another leader"));
        CHECK(until_written(2 * WRITERS));
        rig_go_on(lost);
    }
    check_history();
    rig_close();
}

static void handovers_under_writers_lose_nothing(void)
{
    begin();
    CHECK(start_in_sync(3));
    start_writers();
    for (int round = 0; round < 3; round++) {
        char to[KT_ADDR_MAX];
        CHECK(until_written(5 * WRITERS));
        size_t leader = leader_now();
        CHECK(leader < RIG_NODES && until_in_sync(leader, 3));
        CHECK_OK(
            kt_replica_handover(rig_replica(leader), "", kt_now_mono_ms() + RIG_WAIT_MS, to, &err));
        CHECK(rig_until(another_leads, &leader, "the new leader"));
        CHECK_STR(to, rig.nodes[leader_now()].addr);
    }
    check_history();
    rig_close();
}

static void leaders_that_stop_under_writers_are_followed_at_once(void)
{
    begin();
    rig.options.ttl_s = 20; /* nobody waits for a promise to run out */
    CHECK(start_in_sync(3));
    start_writers();
    CHECK(until_written(5 * WRITERS));
    kt_replica_stop(rig_replica(0));
    size_t stopped = 0;
    int64_t before = kt_now_mono_ms();
    CHECK(rig_until(another_leads, &stopped, "the next leader"));
    CHECK(kt_now_mono_ms() - before < 10000);
    CHECK(until_written(5 * WRITERS));
    end_writers();
    rig_stop(0);
    rig_start(0);
    check_history();
    rig_close();
}

/* --- what was not committed --- */

/* Entry 3 stands in the log of node 1 alone: node 0 is still writing it, node 2 is kept from
 * fetching. */
static void who_is_ahead_by_uncommitted_entries_wins_and_keeps_them(void)
{
    struct rig_job job = {.pad = 0};
    begin();
    rig.options.lag_timeout_ms = 6000;
    CHECK(start_in_sync(3));
    WRITE(0, "s", 1);
    uint64_t end = rig_status(0)->end_seq;
    rig_refuse(0, 2);
    rig_stall(0, false);
    rig_submit(&job, 0, "ahead", 7, RIG_WAIT_MS);
    CHECK(until_log(1, end + 1));
    CHECK_INT(rig_applied(1), end); /* it is not committed */
    kt_coord_fake_drop_lease(rig.fake, rig.nodes[0].addr);
    CHECK(rig_until_leads(1));
    CHECK(rig_value(1, "ahead") == 7); /* it leads with its whole log */
    rig_go_on(0);
    rig_join(&job);
    CHECK_INT(job.status, KT_OUTCOME_UNKNOWN);
    CHECK(until_level());
    CHECK(rig_value(0, "ahead") == 7);
    CHECK(rig_value(2, "ahead") == 7);
    WRITE(1, "s", 2);
    rig_close();
}

/* The leader's disk does not take what its followers have. */
static void an_append_that_fails_after_it_was_sent_is_kept_by_the_followers(void)
{
    struct rig_job job = {.pad = 0};
    begin();
    rig.options.lag_timeout_ms = 10000;
    CHECK(start_in_sync(2));
    WRITE(0, "s", 1);
    uint64_t end = rig_status(0)->end_seq;
    rig_stall(0, false);
    rig_submit(&job, 0, "sent", 5, RIG_WAIT_MS);
    CHECK(until_log(1, end + 1));
    kt_fault_set(KT_FAULT_IO, 1, 1);
    rig_go_on(0);
    rig_join(&job);
    kt_fault_set(KT_FAULT_IO, 0, 0);
    CHECK_INT(job.status, KT_OUTCOME_UNKNOWN);
    CHECK(until_level());
    CHECK(rig_value(0, "sent") == rig_value(1, "sent")); /* either leads, and both agree */
    size_t leader = leader_now();
    WRITE(leader, "s", 2);
    CHECK(until_level());
    CHECK(rig_value(1 - leader, "s") == 2);
    rig_close();
}

/* Node 2 took entries 3 to 5 in one answer; node 1, which leads next, has only 3. */
static void a_cut_in_the_middle_of_what_came_together_leaves_a_log_that_goes_on(void)
{
    struct rig_job jobs[2] = {{.pad = 0}};
    begin();
    rig.options.lag_timeout_ms = 6000;
    rig.options.max_in_sync = 2;
    rig.options.batch_max_bytes = 1; /* the next batch does not wait for the one before */
    CHECK(start_in_sync(2));
    rig.options.priority = 0;
    rig_start(2);
    WRITE(0, "s", 1);
    uint64_t end = rig_status(0)->end_seq;
    CHECK(rig_until_applied(2, end));
    rig_refuse(0, 2);
    WRITE(0, "s", 2);
    CHECK(rig_until_applied(1, end + 1));
    rig_refuse(0, 1);
    rig_submit(&jobs[0], 0, "gone", 1, RIG_WAIT_MS);
    CHECK(until_log(0, end + 2));
    rig_stall(0, false);
    rig_submit(&jobs[1], 0, "gone too", 1, RIG_WAIT_MS);
    CHECK(until_log(0, end + 3));
    rig_allow(0, 2);
    CHECK(until_log(2, end + 3));
    CHECK_INT(rig_status(1)->end_seq, end + 1);
    kt_coord_fake_drop_lease(rig.fake, rig.nodes[0].addr);
    CHECK(rig_until_leads(1));
    CHECK(rig_until_applied(2, rig_applied(1)));
    CHECK(rig_value(2, "gone") == -1);
    WRITE(1, "s", 3);
    rig_allow(0, 1);
    rig_go_on(0);
    rig_join(&jobs[0]);
    rig_join(&jobs[1]);
    CHECK(until_level());
    CHECK(rig_value(0, "gone too") == -1);
    for (size_t n = 0; n < 3; n++) {
        CHECK(rig_value(n, "s") == 3);
    }
    rig_close();
}

static bool three_wait(void *ctx)
{
    (void)ctx;
    return rig_status(0)->queue_entries == 3;
}

static void what_comes_while_a_batch_is_on_its_way_goes_together(void)
{
    struct rig_job jobs[4] = {{.pad = 0}};
    static const char *const subjects[4] = {"a", "b", "c", "d"};
    begin();
    rig.options.lag_timeout_ms = 10000;
    CHECK(start_in_sync(2));
    WRITE(0, "s", 1);
    uint64_t end = rig_status(0)->end_seq, batches = rig_status(0)->batches;
    rig_stall(1, false);
    rig_submit(&jobs[0], 0, subjects[0], 1, RIG_WAIT_MS);
    CHECK(until_log(0, end + 1));
    for (int i = 1; i < 4; i++) {
        rig_submit(&jobs[i], 0, subjects[i], i + 1, RIG_WAIT_MS);
    }
    CHECK(rig_until(three_wait, NULL, "three writes that wait"));
    CHECK_INT(rig_status(0)->end_seq, end + 1);
    rig_go_on(1);
    for (int i = 0; i < 4; i++) {
        rig_join(&jobs[i]);
        CHECK_INT(jobs[i].status, KT_OK);
        CHECK(rig_value(0, subjects[i]) == i + 1);
    }
    CHECK_INT(rig_status(0)->end_seq, end + 4);
    CHECK_INT(rig_status(0)->batches, batches + 2);
    CHECK(until_level());
    rig_close();
}

static bool is_changing(void *ctx)
{
    struct kt_replica *replica = ctx;
    kt_mutex_lock(&replica->mutex);
    bool changing = replica->orders.changing;
    kt_mutex_unlock(&replica->mutex);
    return changing;
}

/* Told at once, the machine would forget what it waits for, and fetch from where the log ended. */
static void a_fault_during_an_append_is_told_when_that_is_over(void)
{
    struct rig_job job = {.pad = 0};
    begin();
    rig.options.lag_timeout_ms = 10000;
    CHECK(start_in_sync(2));
    struct kt_replica *follower = rig_replica(1);
    rig_stall(1, false);
    rig_submit(&job, 0, "s", 1, RIG_WAIT_MS);
    CHECK(rig_until(is_changing, follower, "the append"));
    (void)kt_fail(&err, KT_IO, "a fault of the data");
    kt_mutex_lock(&follower->mutex);
    kt_replica_await_step(follower);
    kt_replica_fault(follower, "a test", &err);
    kt_replica_step_facts(follower);
    bool waits = follower->machine.appending_to > 0 && follower->fault;
    kt_mutex_unlock(&follower->mutex);
    rig_go_on(1);
    rig_join(&job);
    CHECK(waits);
    CHECK_INT(job.status, KT_OK);
    CHECK(until_level());
    kt_mutex_lock(&follower->mutex);
    bool told = !follower->fault && !follower->orders.changing;
    kt_mutex_unlock(&follower->mutex);
    CHECK(told);
    rig_close();
}

/* --- in sync --- */

static bool is_short(void *ctx)
{
    (void)ctx;
    return rig_status(0)->short_of_members;
}

static void with_too_few_in_sync_writes_are_refused_until_they_are_back(void)
{
    struct rig_job job = {.pad = 0};
    begin();
    rig.options.min_in_sync = 2;
    CHECK(start_in_sync(2));
    WRITE(0, "s", 1);
    uint64_t applied = rig_applied(0);
    rig_refuse(0, 1);
    rig_submit(&job, 0, "waits", 3, RIG_WAIT_MS);
    CHECK(rig_until(is_short, NULL, "the word of who is missing"));
    CHECK_INT(rig_status(0)->in_sync_count, 2); /* nobody is removed */
    CHECK_FAILS(rig_write(0, "refused", 0, 1, 2000, NULL, &err), KT_UNAVAILABLE);
    CHECK(strstr(err.message, "min_in_sync") != NULL);
    CHECK(rig_applied(0) <= applied + 1);
    rig_allow(0, 1);
    rig_join(&job);
    CHECK_INT(job.status, KT_OK);
    WRITE(0, "s", 2);
    CHECK(until_level());
    CHECK(rig_value(1, "waits") == 3);
    CHECK(rig_value(1, "refused") == -1);
    rig_close();
}

static bool serves_linearizable(void *ctx)
{
    return (kt_replica_serves(rig_replica(0), true, &err) == KT_OK) == *(bool *)ctx;
}

static void linearizable_is_served_only_while_all_in_sync_have_promised(void)
{
    bool yes = true, no = false;
    begin();
    rig.options.lag_timeout_ms = 15000;
    CHECK(start_in_sync(2));
    CHECK(rig_until(serves_linearizable, &yes, "a promise"));
    rig_refuse(0, 1);
    CHECK(rig_until(serves_linearizable, &no, "the end of the promise"));
    CHECK_INT(err.status, KT_UNAVAILABLE);
    CHECK_OK(kt_replica_serves(rig_replica(0), false, &err)); /* it leads all the same */
    rig_allow(0, 1);
    CHECK(rig_until(serves_linearizable, &yes, "a new promise"));
    CHECK_FAILS(kt_replica_serves(rig_replica(1), true, &err), KT_NOT_LEADER);
    rig_close();
}

#define RELEASED 0

/* A fetch as another process of node 1 would send it; the answer's status, or RELEASED. */
static int raw_fetch_of(size_t to, const char *leader, const char *session, uint64_t epoch,
                        uint64_t after)
{
    struct kt_fetch_request fetch;
    struct kt_http_request request;
    struct kt_http_response response;
    struct kt_arena *arena = kt_arena_new(4096, 1 << 20);
    struct kt_buf json;
    struct kt_replica *replica = rig_replica(to);
    memset(&fetch, 0, sizeof(fetch));
    memset(&request, 0, sizeof(request));
    kt_mutex_lock(&replica->mutex);
    memcpy(fetch.cluster, replica->machine.disk.cluster, sizeof(fetch.cluster));
    memcpy(fetch.node, rig.nodes[1].id, sizeof(fetch.node));
    memcpy(fetch.leader, leader, sizeof(fetch.leader));
    memcpy(fetch.session, session, sizeof(fetch.session));
    fetch.request = 1;
    fetch.epoch = epoch;
    fetch.after = after;
    if (after > 0) {
        fetch.after_id = *kt_epochs_at(replica->log.vector, replica->log.vector_count, after);
    }
    kt_mutex_unlock(&replica->mutex);
    fetch.max_bytes = 1000;
    kt_buf_init(&json, 0);
    kt_fetch_request_format(&fetch, &json);
    request.method = KT_HTTP_POST;
    request.body = kt_buf_str(&json);
    request.arena = arena;
    kt_http_response_init(&response, arena, 1 << 20);
    kt_replica_serve_fetch(rig_replica(to), &request, &response);
    bool released = kt_str_find(kt_buf_str(&response.body), KT_STR("\"released\":")) >= 0;
    int status = released ? RELEASED : response.status;
    kt_http_response_done(&response);
    kt_buf_done(&json);
    kt_arena_free(&arena);
    return status;
}

static int raw_fetch(size_t to, const char *session, uint64_t epoch, uint64_t after)
{
    return raw_fetch_of(to, rig.nodes[to].id, session, epoch, after);
}

static bool has_event(size_t n, const char *what)
{
    bool found = false;
    struct kt_replica_event *events = kt_calloc(KT_REPLICA_EVENTS_MAX, sizeof(*events));
    KT_ASSERT(events != NULL);
    size_t count = kt_replica_events(rig_replica(n), events, KT_REPLICA_EVENTS_MAX);
    for (size_t i = 0; i < count; i++) {
        found = found || strcmp(events[i].what, what) == 0;
    }
    kt_free(events);
    return found;
}

static void an_acknowledgement_that_goes_back_takes_the_node_out_of_sync(void)
{
    begin();
    rig.options.lag_timeout_ms = 10000; /* not for being silent */
    CHECK(start_in_sync(2));
    WRITE(0, "s", 1);
    CHECK_INT(raw_fetch(0, "00000000000000aa", 1, 1), 200);
    CHECK(until_in_sync(0, 1));
    CHECK(has_event(0, "forgot"));
    WRITE(0, "s", 2); /* it goes on without */
    rig_close();
}

/* --- stamps, and fetches of who has ended --- */

/* Entry 3 of node 0 has a stamp from the future, as of a clock that was wrong. */
static void leave_a_late_stamp(int64_t wall_ms)
{
    struct kt_store_options options;
    struct kt_store *store = NULL;
    struct kt_buf body;
    rig_start(0);
    KT_ASSERT(rig_until_leads(0));
    WRITE(0, "s", 1);
    rig_stop(0);
    memset(&options, 0, sizeof(options));
    options.path = rig.nodes[0].path;
    options.read_connections = 1;
    options.max_indicators = 4096;
    CHECK_OK(kt_store_open(&options, &store, &err));
    kt_buf_init(&body, 0);
    rig_change("late", 0, 1, 0, &body);
    struct kt_entry entry = {3, 1, wall_ms, KT_STR(""), kt_buf_str(&body)};
    CHECK_OK(kt_store_log_append(store, &entry, 1, 3, &err));
    kt_buf_done(&body);
    kt_store_close(&store);
}

static void a_follower_that_comes_to_lead_stamps_beyond_what_it_has_taken(void)
{
    char to[KT_ADDR_MAX];
    int64_t future_ms = kt_now_wall_ms() + 3600000;
    begin();
    rig.options.priority = 10;
    leave_a_late_stamp(future_ms);
    rig.options.priority = 0;
    rig_start(1); /* it is empty, and has never seen the stamp when it starts */
    rig.options.priority = 10;
    rig_start(0);
    CHECK(rig_until_leads(0));
    CHECK(until_in_sync(0, 2));
    CHECK_OK(kt_replica_handover(rig_replica(0), "", kt_now_mono_ms() + RIG_WAIT_MS, to, &err));
    CHECK(rig_until_leads(1));
    WRITE(1, "s", 2);
    CHECK(kt_store_log_last_wall_ms(rig.nodes[1].store) >= future_ms);
    rig_close();
}

static void who_has_stopped_still_says_that_its_epoch_is_over(void)
{
    begin();
    CHECK(start_in_sync(2));
    kt_replica_stop(rig_replica(0));
    CHECK_INT(raw_fetch(0, "00000000000000aa", 1, 0), RELEASED);
    rig_close();
}

/* It may have the address of the one that does, and knows nothing of its promises. */
static void who_never_led_an_epoch_does_not_say_that_it_is_over(void)
{
    begin();
    CHECK(start_in_sync(2));
    for (int i = 0; i < 2; i++) {
        CHECK_INT(raw_fetch_of(1, rig.nodes[0].id, "00000000000000aa", 1, 0), 409);
        CHECK_INT(raw_fetch_of(1, rig.nodes[0].id, "00000000000000aa", 0, 0), 409);
        kt_replica_stop(rig_replica(1));
    }
    rig_close();
}

/* More than the tail keeps, so that it is trimmed while it is applied. */
static void what_was_applied_is_counted_no_more(void)
{
    const int count = 10;
    begin();
    rig.options.queue_max_bytes = 256 << 20;
    CHECK(start_in_sync(2));
    struct rig_job *jobs = kt_calloc((size_t)count, sizeof(*jobs));
    CHECK(jobs != NULL);
    for (int i = 0; i < count; i++) {
        jobs[i].pad = 400000;
        rig_submit(&jobs[i], 0, "large", i, 5 * RIG_WAIT_MS);
    }
    for (int i = 0; i < count; i++) {
        rig_join(&jobs[i]);
        CHECK_STR(jobs[i].err.message, "");
        CHECK_INT(jobs[i].status, KT_OK);
    }
    CHECK(until_level());
    for (size_t n = 0; n < 2; n++) {
        CHECK(rig_until(counts_nothing, &n, "the end of what is counted"));
        CHECK(inner(n).tail_bytes <= 16 << 20);
    }
    kt_free(jobs);
    rig_close();
}

/* Node 1 has put aside a log that ends in epoch 5, and was killed before the copy came. */
static void leave_a_history_put_aside(void)
{
    struct kt_store_options options;
    struct kt_store *store = NULL;
    struct kt_store_kept kept;
    struct kt_change_epoch_start start;
    struct kt_buf body, memory;
    uint64_t end = 0, epoch = 0;
    memset(&options, 0, sizeof(options));
    memset(&start, 0, sizeof(start));
    options.path = rig.nodes[1].path;
    options.read_connections = 1;
    options.max_indicators = 4096;
    CHECK_OK(kt_store_open(&options, &store, &err));
    kt_buf_init(&body, 0);
    kt_buf_init(&memory, 0);
    start.epoch_id = KT_STR("00000000000000ee");
    kt_change_encode_epoch_start(&start, &body);
    kt_store_log_end(store, &end, &epoch);
    struct kt_entry entry = {end + 1, 5, kt_now_wall_ms(), KT_STR(""), kt_buf_str(&body)};
    CHECK_OK(kt_store_log_append(store, &entry, 1, end, &err));
    CHECK_OK(kt_store_read_kept(store, &kept, &memory, &err));
    kept.half_copy = true;
    CHECK_OK(kt_store_keep(store, &kept, &err));
    kt_buf_done(&memory);
    kt_buf_done(&body);
    kt_store_close(&store);
}

static void note_restart(void *ctx)
{
    atomic_store((atomic_int *)ctx, 1);
}

static bool is_set(void *ctx)
{
    return atomic_load((atomic_int *)ctx) != 0;
}

static void a_history_put_aside_is_still_so_after_a_restart(void)
{
    atomic_int copied = 0;
    begin();
    CHECK(start_in_sync(2));
    WRITE(0, "s", 1);
    CHECK(until_level());
    rig_stop(1);
    leave_a_history_put_aside();
    WRITE(0, "s", 2);
    rig.options.on_restart = note_restart;
    rig.options.on_restart_ctx = &copied;
    rig_start(1);
    CHECK(rig_until(is_set, &copied, "a full copy"));
    rig_stop(1);
    rig.options.on_restart = NULL;
    rig_start(1);
    CHECK(until_level());
    CHECK(rig_value(1, "s") == 2);
    CHECK(until_in_sync(0, 2));
    rig_close();
}

/* As of one entry that is large, or a disk that is busy. */
static void a_leader_that_is_slow_to_answer_is_followed_all_the_same(void)
{
    begin();
    CHECK(start_in_sync(2));
    atomic_store(&rig.nodes[0].slow_ms, 1500);
    WRITE(0, "s", 1); /* once the slow one is out */
    CHECK(rig_until_applied(1, rig_applied(0)));
    CHECK(rig_value(1, "s") == 1);
    atomic_store(&rig.nodes[0].slow_ms, 0);
    CHECK(until_in_sync(0, 2));
    rig_close();
}

static const struct kt_test tests[] = {
    TEST(leaders_lost_under_writers_lose_and_double_nothing),
    TEST(handovers_under_writers_lose_nothing),
    TEST(leaders_that_stop_under_writers_are_followed_at_once),
    TEST(who_is_ahead_by_uncommitted_entries_wins_and_keeps_them),
    TEST(an_append_that_fails_after_it_was_sent_is_kept_by_the_followers),
    TEST(a_cut_in_the_middle_of_what_came_together_leaves_a_log_that_goes_on),
    TEST(what_comes_while_a_batch_is_on_its_way_goes_together),
    TEST(a_fault_during_an_append_is_told_when_that_is_over),
    TEST(with_too_few_in_sync_writes_are_refused_until_they_are_back),
    TEST(linearizable_is_served_only_while_all_in_sync_have_promised),
    TEST(an_acknowledgement_that_goes_back_takes_the_node_out_of_sync),
    TEST(a_follower_that_comes_to_lead_stamps_beyond_what_it_has_taken),
    TEST(who_has_stopped_still_says_that_its_epoch_is_over),
    TEST(who_never_led_an_epoch_does_not_say_that_it_is_over),
    TEST(what_was_applied_is_counted_no_more),
    TEST(a_history_put_aside_is_still_so_after_a_restart),
    TEST(a_leader_that_is_slow_to_answer_is_followed_all_the_same),
};

KT_TEST_MAIN(tests)

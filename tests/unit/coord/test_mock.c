/* SPDX-License-Identifier: MIT */
/* The etcd maker against an etcd that misbehaves on purpose. */
#include "coord/coord.h"
#include "etcd/mock.h"
#include "kt_test.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>

#define HEADER "\"header\":{\"cluster_id\":\"1\",\"revision\":\"41\"}"

static struct kt_error err;
static struct mock mock;

enum { CANCEL_COMPACTED = 1, CANCEL_SILENTLY, CANCEL_WITHIN, CANCEL_BY_END };

/* How this etcd behaves, and what it was asked; all atomic. */
struct behaviour {
    int granted_s;
    int keepalive_gone;     /* so many keepalives find the lease gone */
    int keepalive_delay_ms; /* before the answer; 0 = none */
    int txn_closes;
    int cancel; /* how the first watch ends: 0 = it does not, else one of CANCEL_… */
    int grants, keepalives, puts, ranges, watches, revokes;
    int64_t keepalive_came_ms;
    char first_watch[400], second_watch[400]; /* requests; the second once second_came is set */
    int second_came;
};
static struct behaviour etcd;

static int get(int *counter)
{
    return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

static int bump(int *counter)
{
    return __atomic_add_fetch(counter, 1, __ATOMIC_ACQ_REL);
}

static void answer_keepalive(struct mock_conn *conn)
{
    __atomic_store_n(&etcd.keepalive_came_ms, kt_now_mono_ms(), __ATOMIC_RELEASE);
    bump(&etcd.keepalives);
    if (get(&etcd.keepalive_delay_ms) > 0) {
        mock_hold(conn, get(&etcd.keepalive_delay_ms));
    }
    if (__atomic_fetch_sub(&etcd.keepalive_gone, 1, __ATOMIC_ACQ_REL) > 0) {
        mock_json(conn, 200, "{\"result\":{" HEADER ",\"ID\":\"7\"}}");
    } else {
        mock_json(conn, 200, "{\"result\":{" HEADER ",\"ID\":\"7\",\"TTL\":\"3\"}}");
    }
}

/* The first list has a node that the later ones do not have. */
static void answer_range(struct mock_conn *conn)
{
    static const char key[] = "/kt/services/data/10.0.0.1:1";
    static const char value[] = "{\"id\":\"00000000000000b2\",\"role\":\"follower\"}";
    char text[400], coded_key[80], coded_value[120];

    if (bump(&etcd.ranges) > 1) {
        mock_json(conn, 200, "{\"header\":{\"cluster_id\":\"1\",\"revision\":\"60\"}}");
        return;
    }
    coded_key[kt_base64_encode(key, sizeof(key) - 1, coded_key)] = '\0';
    coded_value[kt_base64_encode(value, sizeof(value) - 1, coded_value)] = '\0';
    snprintf(text, sizeof(text),
             "{" HEADER ",\"kvs\":[{\"key\":\"%s\",\"value\":\"%s\",\"create_revision\":\"2\","
             "\"mod_revision\":\"2\"}],\"count\":\"1\"}",
             coded_key, coded_value);
    mock_json(conn, 200, text);
}

/* False: the stream has ended. */
static bool answer_watch(struct mock_conn *conn, const struct mock_request *request)
{
    bool first = bump(&etcd.watches) == 1;

    if (first) {
        kt_str_copy(etcd.first_watch, sizeof(etcd.first_watch), request->body);
    } else if (get(&etcd.watches) == 2) {
        kt_str_copy(etcd.second_watch, sizeof(etcd.second_watch), request->body);
        __atomic_store_n(&etcd.second_came, 1, __ATOMIC_RELEASE);
    }
    mock_stream(conn);
    mock_chunk(conn, KT_STR("{\"result\":{" HEADER ",\"created\":true}}\n"));
    if (first && get(&etcd.cancel) == CANCEL_COMPACTED) {
        mock_chunk(conn, KT_STR("{\"result\":{\"header\":{\"cluster_id\":\"1\"},\"canceled\":true,"
                                "\"compact_revision\":\"50\"}}\n"));
    } else if (first && get(&etcd.cancel) == CANCEL_SILENTLY) {
        mock_chunk(conn, KT_STR("{\"result\":{" HEADER ",\"canceled\":true}}\n"));
    } else if (first && get(&etcd.cancel) == CANCEL_WITHIN) {
        mock_chunk(conn, KT_STR("{\"error\":{\"code\":11,\"message\":\"compacted\"}}\n"));
    } else if (first && get(&etcd.cancel) == CANCEL_BY_END) {
        mock_send(conn, "0\r\n\r\n");
        return false;
    }
    mock_hold(conn, 60000); /* open and silent */
    return false;
}

static bool answer(struct mock_conn *conn, const struct mock_request *request, void *ctx)
{
    char text[160];

    (void)ctx;
    if (strcmp(request->path, "/v3/lease/grant") == 0) {
        bump(&etcd.grants);
        snprintf(text, sizeof(text), "{" HEADER ",\"ID\":\"7\",\"TTL\":\"%d\"}",
                 get(&etcd.granted_s));
        mock_json(conn, 200, text);
    } else if (strcmp(request->path, "/v3/lease/keepalive") == 0) {
        answer_keepalive(conn);
    } else if (strcmp(request->path, "/v3/lease/revoke") == 0) {
        bump(&etcd.revokes);
        mock_json(conn, 200, "{" HEADER "}");
    } else if (strcmp(request->path, "/v3/kv/put") == 0) {
        bump(&etcd.puts);
        mock_json(conn, 200, "{\"header\":{\"revision\":\"99\"}}"); /* the watch is not there yet */
    } else if (strcmp(request->path, "/v3/kv/txn") == 0) {
        if (get(&etcd.txn_closes)) {
            return false;
        }
        mock_json(conn, 200, "{" HEADER "}");
    } else if (strcmp(request->path, "/v3/kv/range") == 0) {
        answer_range(conn);
    } else if (strcmp(request->path, "/v3/watch") == 0) {
        return answer_watch(conn, request);
    }
    return true;
}

static struct kt_coord *begin_with(int granted_s, int cancel)
{
    struct kt_service self = {.id = "00000000000000a1", .role = KT_ROLE_FOLLOWER};
    struct kt_coord_options options = {.prefix = "/kt",
                                       .ttl_s = 3,
                                       .service_name = "data",
                                       .addr = "127.0.0.1:8080",
                                       .self = &self,
                                       .register_now = true};
    struct kt_coord *coord = NULL;

    kt_log_setup(stderr, KT_LOG_OFF, false);
    memset(&etcd, 0, sizeof(etcd));
    etcd.granted_s = granted_s;
    etcd.cancel = cancel;
    if (!mock_start(&mock, answer, NULL)) {
        return NULL;
    }
    options.endpoints = mock.endpoint;
    if (kt_coord_start_etcd(&options, &coord, &err) != KT_OK) {
        return NULL;
    }
    return coord;
}

static struct kt_coord *begin_granting(int granted_s)
{
    return begin_with(granted_s, 0);
}

static struct kt_coord *begin(void)
{
    return begin_granting(3);
}

static bool reaches(int *counter, int wanted, int64_t timeout_ms)
{
    int64_t deadline_ms = kt_now_mono_ms() + timeout_ms;
    while (get(counter) < wanted) {
        if (kt_now_mono_ms() > deadline_ms) {
            return false;
        }
        kt_test_pause();
    }
    return true;
}

/* The lease's end once it is granted. */
static int64_t wait_lease_end(struct kt_coord *coord)
{
    int64_t deadline_ms = kt_now_mono_ms() + 5000, end_ms;
    while ((end_ms = kt_coord_lease_end_mono_ms(coord, KT_COORD_CURRENT_LEASE)) == 0 &&
           kt_now_mono_ms() < deadline_ms) {
        kt_test_pause();
    }
    return end_ms;
}

static void the_lease_clock_ends_after_nine_tenths_of_the_smaller_ttl(void)
{
    static const struct {
        int granted_s;
        int64_t clock_ms;
    } cases[] = {{2, 1800}, {60, 2700}, {3, 2700}};

    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        int64_t started_ms = kt_now_mono_ms(), end_ms;
        struct kt_coord *coord = begin_granting(cases[i].granted_s);

        CHECK(coord);
        end_ms = wait_lease_end(coord);
        CHECK(end_ms >= started_ms + cases[i].clock_ms);
        CHECK(end_ms <= kt_now_mono_ms() + cases[i].clock_ms);
        kt_coord_free(&coord);
        mock_stop(&mock);
    }
}

static void the_lease_clock_starts_before_the_keepalive_is_sent(void)
{
    struct kt_coord *coord = begin();
    int64_t before_ms, came_ms, deadline_ms = kt_now_mono_ms() + 10000;

    CHECK(coord);
    before_ms = wait_lease_end(coord);
    __atomic_store_n(&etcd.keepalive_delay_ms, 400, __ATOMIC_RELEASE);
    while (kt_coord_lease_end_mono_ms(coord, KT_COORD_CURRENT_LEASE) == before_ms) {
        CHECK(kt_now_mono_ms() < deadline_ms);
    }
    came_ms = __atomic_load_n(&etcd.keepalive_came_ms, __ATOMIC_ACQUIRE);
    CHECK(kt_coord_lease_end_mono_ms(coord, KT_COORD_CURRENT_LEASE) <= came_ms + 2700);
    CHECK(kt_coord_lease_end_mono_ms(coord, KT_COORD_CURRENT_LEASE) > before_ms);
    kt_coord_free(&coord);
    mock_stop(&mock);
}

static void a_keepalive_without_ttl_means_a_new_lease_and_a_new_put(void)
{
    struct kt_coord *coord = begin();

    CHECK(coord);
    CHECK(reaches(&etcd.puts, 1, 5000));
    CHECK_INT(get(&etcd.grants), 1);
    __atomic_store_n(&etcd.keepalive_gone, 1, __ATOMIC_RELEASE);
    CHECK(reaches(&etcd.grants, 2, 5000));
    CHECK(reaches(&etcd.puts, 2, 5000));
    kt_coord_free(&coord);
    mock_stop(&mock);
}

static void a_key_is_not_missed_before_the_watch_has_come_to_its_put(void)
{
    struct kt_coord *coord = begin();

    CHECK(coord);
    /* The lists of this etcd are of revisions 41 and 60, the put was of 99. */
    CHECK(reaches(&etcd.keepalives, 2, 8000));
    CHECK_INT(get(&etcd.puts), 1);
    kt_coord_free(&coord);
    mock_stop(&mock);
}

static void a_txn_whose_connection_breaks_is_unknown(void)
{
    struct kt_coord *coord = begin();
    struct kt_cluster_config *config = kt_calloc(1, sizeof(*config));
    struct kt_coord_view *view;

    CHECK(coord && config);
    CHECK(reaches(&etcd.puts, 1, 5000));
    CHECK(wait_lease_end(coord) > 0);
    view = kt_coord_view(coord);
    __atomic_store_n(&etcd.txn_closes, 1, __ATOMIC_RELEASE);
    CHECK_INT(kt_coord_campaign(coord, view, config, &err), KT_TXN_UNKNOWN);
    CHECK_INT(err.status, KT_OUTCOME_UNKNOWN);
    CHECK_INT(kt_coord_update_config(coord, view, config, &err), KT_TXN_UNKNOWN);
    CHECK_INT(kt_coord_delete_leader(coord, view, &err), KT_TXN_REFUSED); /* none in the view */
    __atomic_store_n(&etcd.txn_closes, 0, __ATOMIC_RELEASE);
    CHECK_INT(kt_coord_campaign(coord, view, config, &err), KT_TXN_REFUSED);
    kt_coord_view_unref(&view);
    kt_free(config);
    kt_coord_free(&coord);
    mock_stop(&mock);
}

static void a_watch_that_is_silent_for_ttl_is_checked_by_a_read(void)
{
    struct kt_coord *coord = begin();
    int64_t started_ms = kt_now_mono_ms();

    CHECK(coord);
    CHECK(reaches(&etcd.watches, 1, 2000));
    CHECK_INT(get(&etcd.ranges), 1);
    CHECK(reaches(&etcd.ranges, 2, 8000));
    CHECK(kt_now_mono_ms() - started_ms >= 2900);
    CHECK(reaches(&etcd.watches, 2, 2000));
    kt_coord_free(&coord);
    mock_stop(&mock);
}

static size_t services_of(struct kt_coord *coord)
{
    struct kt_coord_view *view = kt_coord_view(coord);
    size_t count = view->complete ? view->service_count : 99;

    kt_coord_view_unref(&view);
    return count;
}

/* However it ends: list at once, keys that are gone are gone, watch from the new list on. */
static void a_watch_that_is_cancelled_or_ends_is_followed_by_a_list_and_the_difference(void)
{
    static const int ends[] = {CANCEL_COMPACTED, CANCEL_SILENTLY, CANCEL_WITHIN, CANCEL_BY_END};

    for (size_t i = 0; i < KT_ARRAY_LEN(ends); i++) {
        struct kt_coord *coord = begin_with(3, ends[i]);
        int64_t started_ms = kt_now_mono_ms();

        CHECK(coord);
        CHECK(reaches(&etcd.second_came, 1, 8000));
        CHECK(kt_now_mono_ms() - started_ms < 2900); /* by the word, not by ttl's silence */
        CHECK(strstr(etcd.first_watch, "\"start_revision\":\"42\""));
        CHECK(strstr(etcd.second_watch, "\"start_revision\":\"61\""));
        CHECK_INT(services_of(coord), 0);
        kt_coord_free(&coord);
        mock_stop(&mock);
    }
}

/* A timeout moves no start revision by itself: what comes next is a list, and its revision counts.
 */
static void a_silent_watch_goes_on_from_the_lists_revision_and_drops_what_is_gone(void)
{
    struct kt_coord *coord = begin();

    CHECK(coord);
    CHECK(reaches(&etcd.watches, 1, 5000));
    CHECK_INT(services_of(coord), 1);
    CHECK(reaches(&etcd.second_came, 1, 9000));
    CHECK(strstr(etcd.second_watch, "\"start_revision\":\"61\""));
    CHECK_INT(services_of(coord), 0);
    kt_coord_free(&coord);
    mock_stop(&mock);
}

static void deregistering_does_not_wait_for_calls_under_way(void)
{
    struct kt_coord *coord = begin();
    int64_t started_ms;

    CHECK(coord);
    __atomic_store_n(&etcd.keepalive_delay_ms, 900, __ATOMIC_RELEASE);
    CHECK(reaches(&etcd.keepalives, 1, 5000));
    started_ms = kt_now_mono_ms();
    kt_coord_deregister(coord, 1000);
    CHECK(kt_now_mono_ms() - started_ms < (kt_test_is_slow() ? 600 : 200));
    CHECK_INT(get(&etcd.revokes), 1);
    kt_coord_deregister(coord, 1000); /* again: nothing */
    CHECK_INT(get(&etcd.revokes), 1);
    kt_coord_free(&coord);
    mock_stop(&mock);
}

static void starting_survives_every_failed_allocation(void)
{
    struct kt_service self = {.id = "00000000000000a1", .role = KT_ROLE_FOLLOWER};
    struct kt_coord_options options = {.endpoints = "127.0.0.1:1",
                                       .prefix = "/kt",
                                       .ttl_s = 3,
                                       .service_name = "data",
                                       .addr = "127.0.0.1:8080",
                                       .self = &self,
                                       .register_now = true};
    int started = 0;

    kt_log_setup(stderr, KT_LOG_OFF, false);
    for (uint64_t nth = 1; nth <= 40; nth++) {
        struct kt_coord *coord = NULL;
        enum kt_status status;

        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        status = kt_coord_start_etcd(&options, &coord, &err);
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        CHECK(status == KT_OK || (status == KT_NO_MEMORY && coord == NULL));
        started += status == KT_OK;
        kt_coord_free(&coord);
    }
    CHECK(started > 0);
}

static const struct kt_test tests[] = {
    TEST(the_lease_clock_ends_after_nine_tenths_of_the_smaller_ttl),
    TEST(the_lease_clock_starts_before_the_keepalive_is_sent),
    TEST(a_keepalive_without_ttl_means_a_new_lease_and_a_new_put),
    TEST(a_key_is_not_missed_before_the_watch_has_come_to_its_put),
    TEST(a_txn_whose_connection_breaks_is_unknown),
    TEST(a_watch_that_is_silent_for_ttl_is_checked_by_a_read),
    TEST(a_watch_that_is_cancelled_or_ends_is_followed_by_a_list_and_the_difference),
    TEST(a_silent_watch_goes_on_from_the_lists_revision_and_drops_what_is_gone),
    TEST(deregistering_does_not_wait_for_calls_under_way),
    TEST(starting_survives_every_failed_allocation),
};

KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
/* What happens to writes, and to reads at the leader's levels, while no node leads. */
#include <uv.h>

#include "rig.h"

#include "kt_test.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"

#include <stdatomic.h>
#include <stdlib.h>

#define API "/kamaitachi/api/data/v1"
#define READ_AT(level)                                                                             \
    "GET /data" API "/snapshot HTTP/1.1\r\nHost: h\r\nX-Kamaitachi-Consistency: " level "\r\n\r\n"
#define WRITE_WITH(headers)                                                                        \
    "POST /data" API "/save HTTP/1.1\r\nHost: h\r\n" headers "Content-Length: 2\r\n\r\n{}"
#define WRITE WRITE_WITH("")
#define TIMEOUT(ms) "X-Kamaitachi-Timeout-Ms: " ms "\r\n"
#define OK_ANSWER "HTTP/1.1 200 OK\r\nX-Kamaitachi-Role: leader\r\nContent-Length: 4\r\n\r\ndone"
#define CLIENTS 40
#define KEYS_MAX 256

static struct rig rig;
static struct rig_answer answer;
static struct rig_node *a, *b, *c;
static struct rig_client clients[CLIENTS];

/* Keys and bodies that nodes saw, in order. */
static struct {
    struct rig_node *node;
    char key[130];
    char body[16];
} seen[KEYS_MAX];
static size_t seen_count;

#define BODY_HAS(text) CHECK(kt_str_find(kt_buf_str(&answer.body), kt_str(text)) >= 0)
#define OUTCOME(text) CHECK_SLICE(rig_answer_header(&answer, "X-Kamaitachi-Outcome"), text)

static void note(struct rig_node *node, const struct rig_request *request)
{
    if (seen_count == KEYS_MAX) {
        return;
    }
    seen[seen_count].node = node;
    kt_str_copy(seen[seen_count].key, sizeof(seen[0].key),
                request->parsed.head.known[KT_H1_IDEMPOTENCY_KEY]);
    kt_str_copy(seen[seen_count].body, sizeof(seen[0].body), request->body);
    seen_count++;
}

static void take(struct rig_node *node, const struct rig_request *request)
{
    note(node, request);
    rig_reply(request, OK_ANSWER);
}

static bool start(const char *const *settings)
{
    rig_answer_init(&answer);
    seen_count = 0;
    if (!rig_start(&rig, settings) || !(a = rig_node_add(&rig, "a")) ||
        !(b = rig_node_add(&rig, "b")) || !(c = rig_node_add(&rig, "c")) || !rig_wait_up(&rig, 3)) {
        return false;
    }
    a->handler = b->handler = c->handler = take;
    return true;
}

static void stop(void)
{
    rig_stop(&rig);
    rig_answer_done(&answer);
}

static void lead(const struct rig_node *node)
{
    static uint64_t epoch = 1;

    kt_coord_fake_set_leader(rig.fake, node ? node->id : NULL, node ? node->addr : NULL, ++epoch);
}

/* A number of /monitor/status. */
static int64_t monitored(const char *name)
{
    char wanted[64];
    ptrdiff_t at;

    snprintf(wanted, sizeof(wanted), "\"%s\":", name);
    at = rig_call(&rig, "GET /monitor/status HTTP/1.1\r\nHost: h\r\n\r\n", &answer)
             ? kt_str_find(kt_buf_str(&answer.body), kt_str(wanted))
             : -1;
    return at < 0 ? -1 : strtoll(answer.body.data + at + strlen(wanted), NULL, 10);
}

struct monitored {
    const char *name;
    int64_t value;
};

static bool shows(void *ctx)
{
    const struct monitored *wanted = ctx;

    return monitored(wanted->name) == wanted->value;
}

/* A request is counted a moment after its answer was sent. */
static void wait_shown(const char *name, int64_t value)
{
    struct monitored wanted = {name, value};

    CHECK(rig_wait(&rig, shows, &wanted, name));
}

static void wait_parked(int64_t count)
{
    wait_shown("now", count);
}

/* Until the gateway's one loop knows it. */
static void lead_nobody(void)
{
    lead(NULL);
    do {
        CHECK(rig_call(&rig, WRITE_WITH(TIMEOUT("50")), &answer));
    } while (answer.status != 503);
}

static void send_all(size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++) {
        CHECK(rig_client_open(&rig, &clients[i]));
        rig_client_send(&clients[i], text);
    }
}

static void take_all(size_t count, int status)
{
    for (size_t i = 0; i < count; i++) {
        CHECK(rig_client_take(&clients[i], &answer, false));
        CHECK_INT(answer.status, status);
        rig_client_close(&clients[i]);
    }
}

static const char *const patient[] = {"proxy.failover_wait=30000", NULL};
static const char *const patient_one[] = {"proxy.failover_wait=30000", "server.loops=1", NULL};

/* --- an election --- */

static void writes_wait_for_a_leader_and_are_then_done_once(void)
{
    CHECK(start(patient));
    send_all(CLIENTS, WRITE);
    wait_parked(CLIENTS);
    CHECK_INT(a->requests + b->requests + c->requests, 0);
    lead(b);
    take_all(CLIENTS, 200);
    CHECK_INT(b->requests, CLIENTS);
    CHECK_INT(a->requests + c->requests, 0);
    wait_shown("now", 0);
    wait_shown("served", CLIENTS);
    wait_shown("failed", 0);
    wait_shown("keys_added", CLIENTS);
    CHECK(monitored("longest_ms") >= 0);
    stop();
}

static void reads_at_the_leaders_levels_wait_too_and_go_nowhere_else(void)
{
    CHECK(start(patient));
    send_all(4, READ_AT("leader"));
    for (size_t i = 4; i < 8; i++) {
        CHECK(rig_client_open(&rig, &clients[i]));
        rig_client_send(&clients[i], READ_AT("linearizable"));
    }
    wait_parked(8);
    /* Others do not wait. */
    CHECK(rig_call(&rig, READ_AT("any"), &answer));
    CHECK_INT(answer.status, 200);
    a->requests = b->requests = c->requests = 0;
    lead(c);
    take_all(8, 200);
    CHECK_INT(c->requests, 8);
    CHECK_INT(a->requests + b->requests, 0);
    CHECK_STR(seen[seen_count - 1].key, ""); /* reads get no key */
    stop();
}

static void who_came_first_is_served_first(void)
{
    static const char *const settings[] = {"proxy.failover_wait=30000", "server.loops=1",
                                           "proxy.pool_per_node=1", NULL};
    char text[200], wanted[32];

    CHECK(start(settings));
    for (int i = 0; i < 20; i++) {
        snprintf(text, sizeof(text),
                 "POST /data" API "/save HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n%02d", i);
        CHECK(rig_client_open(&rig, &clients[i]));
        rig_client_send(&clients[i], text);
        wait_parked(i + 1);
    }
    lead(a);
    take_all(20, 200);
    CHECK_INT(seen_count, 20);
    for (size_t i = 0; i < seen_count; i++) {
        snprintf(wanted, sizeof(wanted), "%02zu", i);
        CHECK_STR(seen[i].body, wanted);
    }
    stop();
}

static bool may_take;

static void not_yet(struct rig_node *node, const struct rig_request *request)
{
    if (may_take) {
        take(node, request);
        return;
    }
    rig_reply(request,
              "HTTP/1.1 503 Service Unavailable\r\nX-Kamaitachi-Outcome: none\r\n"
              "X-Kamaitachi-Role: follower\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n");
}

/* However many wait, a node that does not lead yet is asked by one at a time, after pauses. */
static void a_node_that_begins_to_lead_is_not_stormed(void)
{
    unsigned refused;

    CHECK(start(patient_one));
    may_take = false;
    a->handler = not_yet;
    send_all(CLIENTS, WRITE);
    wait_parked(CLIENTS);
    lead(a);
    rig_turn(&rig, 500);
    refused = a->requests;
    /* At least 25 ms lie between two once they have grown. */
    CHECK(refused >= 2 && refused <= 30);
    wait_parked(CLIENTS);
    may_take = true;
    take_all(CLIENTS, 200);
    CHECK_INT(seen_count, CLIENTS);
    stop();
}

static void hang(struct rig_node *node, const struct rig_request *request)
{
    note(node, request);
}

static bool saw(void *ctx)
{
    return seen_count >= *(size_t *)ctx;
}

static void wait_seen(size_t count)
{
    CHECK(rig_wait(&rig, saw, &count, "requests at nodes"));
}

/* kill -9 of the leader: its connections end, it refuses new ones, another leads later. */
static void what_was_under_way_when_the_leader_died_is_repeated_under_its_keys(void)
{
    size_t after;

    CHECK(start(patient));
    lead(a);
    a->handler = hang;
    send_all(CLIENTS, WRITE);
    wait_seen(CLIENTS);
    rig_node_unlisten(a);
    wait_parked(CLIENTS);
    after = seen_count;
    CHECK_INT(after, CLIENTS);
    lead(b);
    take_all(CLIENTS, 200);
    CHECK_INT(b->requests, CLIENTS);
    CHECK_INT(seen_count, 2 * CLIENTS);
    /* Every one with the key that it had, and no key twice. */
    for (size_t i = 0; i < CLIENTS; i++) {
        size_t found = 0;

        CHECK(strncmp(seen[i].key, "g-", 2) == 0);
        for (size_t j = 0; j < seen_count; j++) {
            found += strcmp(seen[i].key, seen[j].key) == 0 && seen[j].node == (j < after ? a : b);
        }
        CHECK_INT(found, 2);
    }
    wait_shown("writes", CLIENTS);
    stop();
}

/* SIGSTOP: nothing ends. The watch says that another leads. */
static void a_leader_that_hangs_is_left_when_another_leads(void)
{
    CHECK(start(patient));
    lead(a);
    a->handler = hang;
    send_all(3, WRITE);
    for (size_t i = 3; i < 6; i++) {
        CHECK(rig_client_open(&rig, &clients[i]));
        rig_client_send(&clients[i], READ_AT("linearizable"));
    }
    wait_seen(6);
    lead(b);
    take_all(6, 200);
    CHECK_INT(a->requests, 6);
    CHECK_INT(b->requests, 6);
    stop();
}

/* Those that never got a connection to it are not tied to it either. */
static void who_stands_in_line_at_a_leader_that_hangs_goes_to_the_next(void)
{
    static const char *const settings[] = {"proxy.failover_wait=30000", "server.loops=1",
                                           "proxy.pool_per_node=2", NULL};

    CHECK(start(settings));
    lead(a);
    a->handler = hang;
    send_all(10, WRITE);
    wait_seen(2);
    lead(b);
    take_all(10, 200);
    CHECK_INT(a->requests, 2);
    CHECK_INT(b->requests, 10);
    stop();
}

/* Probes are far apart here: it is the one that waits who has the leader looked at. */
static void a_leader_that_gets_well_is_noticed_at_once(void)
{
    static const char *const settings[] = {"proxy.failover_wait=30000", "health.interval_ms=60000",
                                           "proxy.first_byte_ms=600", NULL};

    CHECK(start(settings));
    a->health = 503;
    a->handler = hang;
    while (a->requests == 0) {
        CHECK(rig_call(&rig, READ_AT("any"), &answer));
        CHECK_INT(answer.status, 200);
    }
    CHECK(rig_wait_up(&rig, 2)); /* who is silent is looked at */
    lead(a);
    send_all(2, WRITE);
    wait_parked(2);
    a->handler = take;
    a->health = 200;
    take_all(2, 200);
    stop();
}

static void step_down(struct rig_node *node, const struct rig_request *request)
{
    note(node, request);
    rig_reply(request, "HTTP/1.1 504 Gateway Timeout\r\nX-Kamaitachi-Outcome: unknown\r\n"
                       "Content-Length: 4\r\n\r\nhmm.");
}

static void what_a_leader_left_unknown_is_asked_again_of_the_next(void)
{
    CHECK(start(patient));
    lead(a);
    a->handler = step_down;
    send_all(1, WRITE);
    wait_seen(2);
    lead(b);
    take_all(1, 200);
    CHECK(seen_count >= 3);
    for (size_t i = 1; i < seen_count; i++) {
        CHECK_STR(seen[i].key, seen[0].key);
    }
    CHECK_INT(b->requests, 1);
    stop();
}

/* --- who leads --- */

static const char *hint;

static void not_me(struct rig_node *node, const struct rig_request *request)
{
    char text[300];

    note(node, request);
    snprintf(text, sizeof(text),
             "HTTP/1.1 421 Misdirected\r\nX-Kamaitachi-Outcome: none\r\n"
             "X-Kamaitachi-Leader: %s\r\nContent-Length: 0\r\n\r\n",
             hint);
    rig_reply(request, text);
}

static void whom_a_node_names_is_believed_until_the_watch_says_more(void)
{
    CHECK(start(patient_one));
    CHECK(rig_lead(&rig, a));
    a->handler = not_me;
    hint = b->addr;
    for (int i = 0; i < 5; i++) {
        CHECK(rig_call(&rig, WRITE, &answer));
        CHECK_INT(answer.status, 200);
    }
    /* Only the first went to a. */
    CHECK_INT(a->requests, 1);
    CHECK_INT(b->requests, 5);
    lead(c);
    while (c->requests == 0) {
        CHECK(rig_call(&rig, WRITE, &answer));
        CHECK_INT(answer.status, 200);
    }
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK_INT(c->requests, 2);
    stop();
}

static void a_hint_that_leads_nowhere_is_forgotten(void)
{
    CHECK(start(patient_one));
    CHECK(rig_lead(&rig, a));
    a->handler = not_me;
    hint = b->addr;
    rig_node_unlisten(b);
    send_all(1, WRITE);
    wait_seen(1);
    a->handler = take;
    take_all(1, 200);
    stop();
}

/* Two nodes that name each other cost a few questions, not a storm. */
static void nodes_that_name_each_other_are_not_stormed(void)
{
    unsigned asked;

    CHECK(start(patient_one));
    CHECK(rig_lead(&rig, a));
    a->handler = b->handler = not_me;
    hint = a->addr;
    send_all(20, WRITE);
    rig_turn(&rig, 500);
    asked = a->requests + b->requests;
    CHECK(asked <= 120); /* twenty at first, then one at a time */
    lead(c);
    take_all(20, 200);
    CHECK_INT(c->requests, 20);
    stop();
}

/* --- refusals of a leader --- */

static void busy_at_first(struct rig_node *node, const struct rig_request *request)
{
    note(node, request);
    rig_reply(request, request->number == 1
                           ? "HTTP/1.1 503 Service Unavailable\r\nX-Kamaitachi-Outcome: none\r\n"
                             "X-Kamaitachi-Role: leader\r\nRetry-After: 1\r\n"
                             "Content-Length: 4\r\n\r\nfull"
                           : OK_ANSWER);
}

static void a_leader_that_says_later_is_asked_later(void)
{
    int64_t began_ms;

    CHECK(start(patient_one));
    CHECK(rig_lead(&rig, a));
    rig_turn(&rig, 1600); /* what is refused before then is asked again at once */
    a->handler = busy_at_first;
    began_ms = kt_now_mono_ms();
    send_all(1, WRITE);
    wait_parked(1);
    /* It alone: the leader takes others. */
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK_INT(answer.status, 200);
    CHECK_INT(a->requests, 2);
    take_all(1, 200);
    CHECK(kt_now_mono_ms() - began_ms >= 1000);
    CHECK_INT(a->requests, 3);
    stop();
}

/* It began to lead while it refused: its header says so, its answer does not. */
static void a_refusal_in_the_first_moments_of_a_leader_is_not_for_later(void)
{
    int64_t began_ms;

    CHECK(start(patient_one));
    a->handler = busy_at_first;
    send_all(1, WRITE);
    wait_parked(1);
    began_ms = kt_now_mono_ms();
    lead(a);
    take_all(1, 200);
    CHECK(kt_now_mono_ms() - began_ms < 900);
    CHECK_INT(a->requests, 2);
    stop();
}

static void a_new_leader_is_asked_at_once_whatever_the_old_one_said(void)
{
    int64_t began_ms;

    CHECK(start(patient_one));
    CHECK(rig_lead(&rig, a));
    rig_turn(&rig, 1600);
    a->handler = busy_at_first;
    send_all(1, WRITE);
    wait_parked(1);
    began_ms = kt_now_mono_ms();
    lead(b);
    take_all(1, 200);
    CHECK(kt_now_mono_ms() - began_ms < 900);
    CHECK_INT(b->requests, 1);
    stop();
}

/* --- bounds --- */

static void nobody_waits_longer_than_its_time(void)
{
    static const char *const settings[] = {"proxy.failover_wait=600", NULL};
    int64_t began_ms;

    CHECK(start(settings));
    began_ms = kt_now_mono_ms();
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK_INT(answer.status, 503);
    OUTCOME("none");
    BODY_HAS("no node leads at the moment");
    CHECK_SLICE(rig_answer_header(&answer, "Retry-After"), "1");
    CHECK(kt_now_mono_ms() - began_ms >= 600);
    began_ms = kt_now_mono_ms();
    CHECK(rig_call(&rig, WRITE_WITH(TIMEOUT("100")), &answer));
    CHECK_INT(answer.status, 503);
    OUTCOME("none");
    CHECK(rig_call(&rig, READ_AT("leader"), &answer));
    CHECK_INT(answer.status, 503);
    CHECK(!rig_answer_header(&answer, "X-Kamaitachi-Outcome").data);
    wait_shown("failed", 3);
    CHECK_INT(a->requests + b->requests + c->requests, 0);
    stop();
}

static void those_that_wait_are_bounded_in_bytes(void)
{
    static const char *const settings[] = {"proxy.failover_wait=30000", "server.loops=1",
                                           "proxy.buffer_bytes=1m", NULL};

    CHECK(start(settings));
    send_all(16, WRITE);
    wait_parked(16);
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK_INT(answer.status, 503);
    OUTCOME("none");
    BODY_HAS("\"code\":\"busy\"");
    CHECK_SLICE(rig_answer_header(&answer, "Retry-After"), "1");
    wait_shown("refused", 1);
    lead(a);
    take_all(16, 200);
    /* What they held is free again. */
    lead_nobody();
    send_all(16, WRITE);
    wait_parked(16);
    lead(b);
    take_all(16, 200);
    CHECK_INT(b->requests, 16);
    stop();
}

static void those_that_wait_leave_half_of_the_connections(void)
{
    static const char *const settings[] = {"proxy.failover_wait=30000", "server.loops=1",
                                           "server.max_connections=8", NULL};

    CHECK(start(settings));
    send_all(4, WRITE);
    wait_parked(4);
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK_INT(answer.status, 503);
    BODY_HAS("too many requests wait for a leader");
    CHECK(rig_call(&rig, READ_AT("any"), &answer));
    CHECK_INT(answer.status, 200);
    lead(a);
    take_all(4, 200);
    stop();
}

static void a_client_that_leaves_is_not_waited_for(void)
{
    CHECK(start(patient));
    send_all(6, WRITE);
    wait_parked(6);
    for (size_t i = 0; i < 3; i++) {
        rig_client_reset(&clients[i]);
    }
    wait_parked(3);
    wait_shown("left", 3);
    lead(a);
    for (size_t i = 3; i < 6; i++) {
        CHECK(rig_client_take(&clients[i], &answer, false));
        CHECK_INT(answer.status, 200);
        rig_client_close(&clients[i]);
    }
    CHECK_INT(a->requests, 3);
    stop();
}

static void stop_gateway(void *arg)
{
    kt_gateway_stop(arg);
}

static void a_gateway_that_stops_tells_those_that_wait(void)
{
    static const char *const settings[] = {"proxy.failover_wait=30000", "server.drain_ms=600",
                                           NULL};
    struct kt_error err = KT_ERROR_INIT;
    struct kt_thread thread = {0};

    CHECK(start(settings));
    send_all(5, WRITE);
    wait_parked(5);
    CHECK_OK(kt_thread_start(&thread, "stop", stop_gateway, &rig.gateway, &err));
    for (size_t i = 0; i < 5; i++) {
        CHECK(rig_client_take(&clients[i], &answer, false));
        CHECK_INT(answer.status, 503);
        OUTCOME("none");
        BODY_HAS("the gateway stops");
    }
    for (size_t i = 0; i < 5; i++) {
        rig_client_close(&clients[i]);
    }
    kt_thread_join(&thread);
    CHECK_INT(a->requests + b->requests + c->requests, 0);
    stop();
}

/* --- memory --- */

static bool answered_or_ended(void *ctx)
{
    struct rig_client *client = ctx;

    return client->ended || kt_str_find(kt_buf_str(&client->in), KT_STR("\r\n\r\n")) > 0;
}

static void waiting_survives_allocations_that_fail(void)
{
    static const char *const settings[] = {"proxy.failover_wait=30000", "server.loops=1", NULL};

    CHECK(start(settings));
    for (uint64_t nth = 1; nth <= (kt_test_is_slow() ? 6u : 20u); nth++) {
        struct rig_client client;

        lead_nobody();
        CHECK(rig_client_open(&rig, &client));
        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        rig_client_send(&client, WRITE);
        rig_turn(&rig, 20);
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        lead(nth % 2 ? a : b);
        CHECK(rig_wait(&rig, answered_or_ended, &client, "an answer or an end"));
        rig_client_close(&client);
    }
    wait_parked(0);
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK_INT(answer.status, 200);
    stop();
}

static void the_numbers_are_there_for_prometheus(void)
{
    CHECK(start(patient));
    send_all(2, WRITE);
    wait_parked(2);
    CHECK(rig_call(&rig, "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n", &answer));
    CHECK_INT(answer.status, 200);
    CHECK_SLICE(rig_answer_header(&answer, "Content-Type"),
                "text/plain; version=0.0.4; charset=utf-8");
    BODY_HAS("# TYPE kamaitachi_gateway_waiting gauge\nkamaitachi_gateway_waiting 2\n");
    BODY_HAS("kamaitachi_gateway_has_leader 0\n");
    BODY_HAS("# TYPE kamaitachi_gateway_writes_total counter\nkamaitachi_gateway_writes_total 2\n");
    BODY_HAS("kamaitachi_gateway_node_up{node=\"");
    lead(a);
    take_all(2, 200);
    wait_shown("served", 2);
    CHECK(rig_call(&rig, "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n", &answer));
    BODY_HAS("kamaitachi_gateway_waits_served_total 2\n");
    BODY_HAS("kamaitachi_gateway_keys_added_total 2\n");
    BODY_HAS("kamaitachi_gateway_has_leader 1\n");
    stop();
}

static const struct kt_test tests[] = {
    TEST(writes_wait_for_a_leader_and_are_then_done_once),
    TEST(reads_at_the_leaders_levels_wait_too_and_go_nowhere_else),
    TEST(who_came_first_is_served_first),
    TEST(a_node_that_begins_to_lead_is_not_stormed),
    TEST(what_was_under_way_when_the_leader_died_is_repeated_under_its_keys),
    TEST(a_leader_that_hangs_is_left_when_another_leads),
    TEST(who_stands_in_line_at_a_leader_that_hangs_goes_to_the_next),
    TEST(a_leader_that_gets_well_is_noticed_at_once),
    TEST(what_a_leader_left_unknown_is_asked_again_of_the_next),
    TEST(whom_a_node_names_is_believed_until_the_watch_says_more),
    TEST(a_hint_that_leads_nowhere_is_forgotten),
    TEST(nodes_that_name_each_other_are_not_stormed),
    TEST(a_leader_that_says_later_is_asked_later),
    TEST(a_refusal_in_the_first_moments_of_a_leader_is_not_for_later),
    TEST(a_new_leader_is_asked_at_once_whatever_the_old_one_said),
    TEST(nobody_waits_longer_than_its_time),
    TEST(those_that_wait_are_bounded_in_bytes),
    TEST(those_that_wait_leave_half_of_the_connections),
    TEST(a_client_that_leaves_is_not_waited_for),
    TEST(a_gateway_that_stops_tells_those_that_wait),
    TEST(waiting_survives_allocations_that_fail),
    TEST(the_numbers_are_there_for_prometheus),
};
KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
/* Which node is asked, how often, and what a client is told when that fails. */
#include <uv.h>

#include "rig.h"

#include "kt_test.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"

#include <stdatomic.h>

#define API "/kamaitachi/api/data/v1"
#define READ "GET /data" API "/snapshot HTTP/1.1\r\nHost: h\r\n\r\n"
#define READ_AT(level)                                                                             \
    "GET /data" API "/snapshot HTTP/1.1\r\nHost: h\r\nX-Kamaitachi-Consistency: " level "\r\n\r\n"
#define WRITE "POST /data" API "/save HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"

static struct rig rig;
static struct kt_error err;
static struct rig_answer answer;
static struct rig_node *a, *b, *c;

#define BODY_HAS(text) CHECK(kt_str_find(kt_buf_str(&answer.body), kt_str(text)) >= 0)

static bool start(const char *const *settings)
{
    rig_answer_init(&answer);
    return rig_start(&rig, settings) && (a = rig_node_add(&rig, "a")) &&
           (b = rig_node_add(&rig, "b")) && (c = rig_node_add(&rig, "c")) && rig_wait_up(&rig, 3);
}

static void stop(void)
{
    rig_stop(&rig);
    rig_answer_done(&answer);
}

/* How many of `count` reads got a 200. */
static int read_many(int count)
{
    struct rig_client client;
    int good = 0;

    if (!rig_client_open(&rig, &client)) {
        return -1;
    }
    for (int i = 0; i < count; i++) {
        rig_client_send(&client, READ);
        if (!rig_client_take(&client, &answer, false)) {
            break;
        }
        good += answer.status == 200;
    }
    rig_client_close(&client);
    return good;
}

static void reads_are_spread_over_all_nodes(void)
{
    static const char *const settings[] = {"balance.policy=round_robin", NULL};

    CHECK(start(settings));
    CHECK_INT(read_many(30), 30);
    CHECK_INT(a->requests, 10);
    CHECK_INT(b->requests, 10);
    CHECK_INT(c->requests, 10);
    stop();
    CHECK(start(NULL));
    CHECK_INT(read_many(60), 60);
    CHECK(a->requests > 5 && b->requests > 5 && c->requests > 5);
    stop();
}

static void a_node_that_died_costs_no_read(void)
{
    CHECK(start(NULL));
    CHECK_INT(read_many(30), 30);
    rig_node_unlisten(a);
    CHECK_INT(read_many(100), 100);
    rig_node_unlisten(b);
    CHECK_INT(read_many(100), 100);
    stop();
}

static void the_last_node_is_never_given_up(void)
{
    static const char *const settings[] = {"health.interval_ms=60000", NULL};

    CHECK(start(settings));
    rig_node_unlisten(a);
    rig_node_unlisten(b);
    rig_node_unlisten(c);
    /* All refuse, and are tried again nevertheless: the error is of a connection, not of a list. */
    for (int i = 0; i < 3; i++) {
        CHECK(rig_call(&rig, READ, &answer));
        CHECK_INT(answer.status, 503);
        BODY_HAS("connection refused");
    }
    stop();
}

static void close_used_links(struct rig_node *node, const struct rig_request *request)
{
    (void)node;
    if (request->number == 2) {
        rig_link_close(request->link);
    } else {
        rig_reply(request, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
}

static void a_used_connection_that_closed_is_replaced_for_a_read(void)
{
    rig_answer_init(&answer);
    CHECK(rig_start(&rig, NULL));
    CHECK((a = rig_node_add(&rig, "a")));
    CHECK(rig_wait_up(&rig, 1));
    a->handler = close_used_links;
    CHECK_INT(read_many(3), 3);
    CHECK_INT(a->requests, 4);
    stop();
}

static void cut_off(struct rig_node *node, const struct rig_request *request)
{
    (void)node;
    rig_reply(request, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    rig_link_shutdown(request->link);
}

static void talk_nonsense(struct rig_node *node, const struct rig_request *request)
{
    (void)node;
    rig_reply(request, "HTTP/1.1 200 OK\nContent-Length: 0\n\n");
}

static void drain(struct rig_node *node, const struct rig_request *request)
{
    (void)node;
    rig_reply(request, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 8\r\n\r\ndraining");
}

static void reads_are_repeated_on_another_node(void)
{
    static void (*const handlers[])(struct rig_node *, const struct rig_request *) = {
        rig_hang_up, cut_off, talk_nonsense, drain};

    for (size_t i = 0; i < KT_ARRAY_LEN(handlers); i++) {
        CHECK(start(NULL));
        a->handler = b->handler = handlers[i];
        CHECK_INT(read_many(20), 20);
        CHECK_INT(c->requests, 20);
        CHECK(a->requests + b->requests > 0);
        stop();
    }
}

static void when_every_node_fails_the_last_failure_is_told(void)
{
    CHECK(start(NULL));
    a->handler = b->handler = c->handler = rig_hang_up;
    CHECK(rig_call(&rig, READ, &answer));
    CHECK_INT(answer.status, 502);
    BODY_HAS("bad_gateway");
    a->handler = b->handler = c->handler = drain;
    CHECK(rig_call(&rig, READ, &answer));
    CHECK_INT(answer.status, 503);
    CHECK_SLICE(kt_buf_str(&answer.body), "draining");
    stop();
}

static void the_budget_bounds_repetitions(void)
{
    static const char *const settings[] = {"proxy.retry_budget=3", "proxy.retry_percent=0",
                                           "server.loops=1", NULL};
    int good;

    CHECK(start(settings));
    a->handler = b->handler = rig_hang_up;
    good = read_many(60);
    CHECK(good < 60);
    CHECK_INT(a->requests + b->requests + c->requests, 63);
    stop();
}

static void a_node_that_does_not_answer_is_left_for_another(void)
{
    static const char *const settings[] = {"proxy.first_byte_ms=600", NULL};

    CHECK(start(settings));
    a->handler = b->handler = rig_stay_silent;
    CHECK_INT(read_many(3), 3);
    CHECK_INT(c->requests, 3);
    stop();
}

static void a_read_that_nobody_answers_ends_at_its_deadline(void)
{
    static const char *const settings[] = {"proxy.timeout_ms=400", NULL};
    int64_t began_ms;

    CHECK(start(settings));
    a->handler = b->handler = c->handler = rig_stay_silent;
    began_ms = kt_now_mono_ms();
    CHECK(rig_call(&rig, READ, &answer));
    CHECK_INT(answer.status, 504);
    BODY_HAS("\"code\":\"timeout\"");
    CHECK(kt_now_mono_ms() - began_ms < 3000);
    stop();
}

static void writes_go_to_the_leader_alone(void)
{
    CHECK(start(NULL));
    CHECK(rig_lead(&rig, b));
    for (int i = 0; i < 10; i++) {
        CHECK(rig_call(&rig, WRITE, &answer));
        CHECK_INT(answer.status, 200);
        CHECK_SLICE(kt_buf_str(&answer.body), "b");
    }
    CHECK_INT(a->requests + c->requests, 0);
    stop();
}

static void reads_of_level_leader_go_to_the_leader(void)
{
    CHECK(start(NULL));
    CHECK(rig_call(&rig, READ_AT("leader"), &answer));
    CHECK_INT(answer.status, 503);
    BODY_HAS("no node leads");
    CHECK(rig_lead(&rig, b));
    for (int i = 0; i < 10; i++) {
        CHECK(rig_call(&rig, READ_AT("leader"), &answer));
        CHECK_SLICE(kt_buf_str(&answer.body), "b");
    }
    CHECK(rig_call(&rig, READ_AT("any"), &answer));
    CHECK_INT(answer.status, 200);
    stop();
}

static void without_a_leader_writes_are_certainly_not_done(void)
{
    CHECK(start(NULL));
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK_INT(answer.status, 503);
    BODY_HAS("no node leads at the moment");
    BODY_HAS("\"retry\":\"later\"");
    CHECK_SLICE(rig_answer_header(&answer, "X-Kamaitachi-Outcome"), "none");
    CHECK_SLICE(rig_answer_header(&answer, "Retry-After"), "1");
    CHECK_INT(a->requests + b->requests + c->requests, 0);
    stop();
}

static void a_leader_that_refuses_connections_means_not_done(void)
{
    CHECK(start(NULL));
    CHECK(rig_lead(&rig, a));
    rig_node_unlisten(a);
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK_INT(answer.status, 503);
    CHECK_SLICE(rig_answer_header(&answer, "X-Kamaitachi-Outcome"), "none");
    CHECK_INT(b->requests + c->requests, 0);
    stop();
}

/* Nobody waits here: it is repeated once, at once. */
static void a_write_whose_connection_broke_is_repeated_and_then_unknown(void)
{
    CHECK(start(NULL));
    CHECK(rig_lead(&rig, a));
    a->handler = rig_hang_up;
    for (unsigned i = 1; i <= 3; i++) {
        CHECK(rig_call(&rig, WRITE, &answer));
        CHECK_INT(answer.status, 504);
        BODY_HAS("\"code\":\"outcome_unknown\"");
        CHECK_SLICE(rig_answer_header(&answer, "X-Kamaitachi-Outcome"), "unknown");
        CHECK_INT(a->requests, 2 * i);
        rig_turn(&rig, 100); /* the next one is let through again */
    }
    a->handler = cut_off;
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK_INT(answer.status, 504);
    CHECK_INT(a->requests, 8);
    rig_turn(&rig, 100);
    /* What is not HTTP comes from no leader that died. */
    a->handler = talk_nonsense;
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK_INT(answer.status, 504);
    CHECK_INT(a->requests, 9);
    CHECK_INT(b->requests + c->requests, 0);
    stop();
}

static void a_write_without_an_answer_is_unknown_at_its_deadline(void)
{
    static const char *const settings[] = {"proxy.timeout_ms=400", NULL};

    CHECK(start(settings));
    CHECK(rig_lead(&rig, a));
    a->handler = rig_stay_silent;
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK_INT(answer.status, 504);
    BODY_HAS("\"code\":\"outcome_unknown\"");
    CHECK_SLICE(rig_answer_header(&answer, "X-Kamaitachi-Outcome"), "unknown");
    stop();
}

static void a_write_follows_the_leader_once(void)
{
    CHECK(start(NULL));
    CHECK(rig_lead(&rig, a));
    a->handler = rig_not_me;
    rig.hint = b->addr;
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK_INT(answer.status, 200);
    CHECK_SLICE(kt_buf_str(&answer.body), "b");
    CHECK_SLICE(kt_buf_str(&b->last_body), "{}");
    /* Not in a circle, and not to an address that is no registered node. */
    b->handler = rig_not_me;
    rig.hint = a->addr;
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK_INT(answer.status, 503);
    CHECK_SLICE(rig_answer_header(&answer, "X-Kamaitachi-Outcome"), "none");
    rig.hint = "192.0.2.1:80";
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK_INT(answer.status, 503);
    BODY_HAS("the leader is changing");
    stop();
}

static void refuse_write(struct rig_node *node, const struct rig_request *request)
{
    (void)node;
    rig_reply(request, "HTTP/1.1 503 Unavailable\r\nX-Kamaitachi-Outcome: none\r\n"
                       "Retry-After: 2\r\nContent-Length: 4\r\n\r\nwait");
}

static void a_leaders_refusal_is_passed_on(void)
{
    CHECK(start(NULL));
    CHECK(rig_lead(&rig, a));
    a->handler = refuse_write;
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK_INT(answer.status, 503);
    CHECK_SLICE(kt_buf_str(&answer.body), "wait");
    CHECK_SLICE(rig_answer_header(&answer, "X-Kamaitachi-Outcome"), "none");
    CHECK_SLICE(rig_answer_header(&answer, "Retry-After"), "2");
    CHECK_INT(a->requests, 1);
    stop();
}

static bool reads_avoid_a(void *ctx)
{
    unsigned before = a->requests;

    (void)ctx;
    return read_many(48) == 48 && a->requests == before;
}

static bool reads_reach_a(void *ctx)
{
    unsigned before = a->requests;

    (void)ctx;
    return read_many(48) == 48 && a->requests > before;
}

static enum kt_status register_as(struct rig_node *node, const char *addr)
{
    struct kt_service self = {.role = KT_ROLE_FOLLOWER, .state = KT_STATE_WHOLE};
    struct kt_coord_options options = {.prefix = "/kamaitachi",
                                       .ttl_s = 5,
                                       .service_name = "data",
                                       .addr = addr,
                                       .self = &self,
                                       .register_now = true};
    memcpy(self.id, node->id, sizeof(self.id));
    kt_str_copy(self.addr, sizeof(self.addr), kt_str(addr));
    return kt_coord_start_fake(rig.fake, &options, &node->coord, &err);
}

static void a_node_that_left_etcd_leaves_the_list_at_once_and_may_return(void)
{
    int64_t began_ms;

    CHECK(start(NULL));
    began_ms = kt_now_mono_ms();
    rig_node_unregister(a);
    CHECK(rig_wait(&rig, reads_avoid_a, NULL, "a node that is off the list"));
    CHECK(kt_now_mono_ms() - began_ms < 1000);
    CHECK(rig_call(&rig, "GET /health HTTP/1.1\r\nHost: h\r\n\r\n", &answer));
    BODY_HAS("\"count\":2");
    CHECK_OK(register_as(a, a->addr));
    CHECK(rig_wait(&rig, reads_reach_a, NULL, "a node that came back"));
    stop();
}

static bool only_a_is_known(void *ctx)
{
    (void)ctx;
    return rig_call(&rig, "GET /cluster/info HTTP/1.1\r\nHost: h\r\n\r\n", &answer) &&
           kt_str_find(kt_buf_str(&answer.body), kt_str(a->addr)) >= 0 &&
           kt_str_find(kt_buf_str(&answer.body), kt_str(b->addr)) < 0;
}

static void when_all_leave_etcd_at_once_who_is_well_stays(void)
{
    CHECK(start(NULL));
    c->health = 503;
    CHECK(rig_wait_up(&rig, 2));
    rig_node_unregister(a);
    rig_node_unregister(c);
    rig_node_unregister(b); /* seen as one or one by one: b stays in any case */
    CHECK_INT(read_many(20), 20);
    CHECK(rig_call(&rig, "GET /health HTTP/1.1\r\nHost: h\r\n\r\n", &answer));
    CHECK_INT(answer.status, 200);
    /* Who registers is asked once it has been probed, and the others no more. */
    CHECK_OK(register_as(a, a->addr));
    CHECK_INT(read_many(20), 20);
    CHECK(rig_wait(&rig, only_a_is_known, NULL, "one node that is registered"));
    CHECK_INT(read_many(20), 20);
    rig_node_unregister(a);
    CHECK_INT(read_many(20), 20);
    a->health = 503; /* its own probe decides, as before */
    CHECK(rig_wait_up(&rig, 0));
    CHECK(rig_call(&rig, READ, &answer));
    CHECK_INT(answer.status, 503);
    BODY_HAS("no data node is ");
    stop();
}

static void a_node_that_says_it_is_not_well_gets_nothing(void)
{
    CHECK(start(NULL));
    a->health = 503;
    CHECK(rig_wait(&rig, reads_avoid_a, NULL, "no traffic for a node that is not well"));
    CHECK(rig_call(&rig, "GET /health HTTP/1.1\r\nHost: h\r\n\r\n", &answer));
    CHECK_INT(answer.status, 200);
    BODY_HAS("its /health answers 503");
    a->health = 200;
    CHECK(rig_wait(&rig, reads_reach_a, NULL, "traffic for a node that is well again"));
    stop();
}

static void a_node_that_does_not_answer_probes_gets_nothing(void)
{
    static const char *const settings[] = {"health.timeout_ms=50", NULL};

    CHECK(start(settings));
    a->health = 0;
    CHECK(rig_wait(&rig, reads_avoid_a, NULL, "no traffic for a node that is silent"));
    a->health = b->health = c->health = 503;
    CHECK(rig_wait_up(&rig, 0));
    CHECK(rig_call(&rig, READ, &answer));
    CHECK_INT(answer.status, 503);
    BODY_HAS("no data node is healthy");
    BODY_HAS(b->addr);
    stop();
}

static void when_etcd_goes_the_list_stays(void)
{
    CHECK(start(NULL));
    CHECK(rig_lead(&rig, a));
    kt_coord_fake_set_reachable(rig.fake, false);
    CHECK_INT(read_many(20), 20);
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK_INT(answer.status, 200);
    /* And its own probes still decide. */
    a->health = 503;
    CHECK(rig_wait(&rig, reads_avoid_a, NULL, "no traffic for a node that is not well"));
    CHECK(rig_call(&rig, "GET /health HTTP/1.1\r\nHost: h\r\n\r\n", &answer));
    CHECK_INT(answer.status, 200);
    BODY_HAS("\"etcd_reachable\":false");
    stop();
}

static void connections_to_a_node_are_bounded(void)
{
    static const char *const settings[] = {"proxy.pool_per_node=2", "server.loops=1", NULL};
    struct rig_client clients[8];

    rig_answer_init(&answer);
    CHECK(rig_start(&rig, settings));
    CHECK((a = rig_node_add(&rig, "a")));
    CHECK(rig_wait_up(&rig, 1));
    for (int i = 0; i < 8; i++) {
        CHECK(rig_client_open(&rig, &clients[i]));
    }
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 8; i++) {
            rig_client_send(&clients[i], READ);
        }
        for (int i = 0; i < 8; i++) {
            CHECK(rig_client_take(&clients[i], &answer, false));
            CHECK_INT(answer.status, 200);
        }
    }
    CHECK_INT(a->requests, 40);
    CHECK(a->links_made - a->probes <= 2);
    for (int i = 0; i < 8; i++) {
        rig_client_close(&clients[i]);
    }
    stop();
}

static _Atomic bool stopped;

static void stop_gateway(void *arg)
{
    kt_gateway_stop(arg);
    atomic_store(&stopped, true);
}

static bool is_stopped(void *ctx)
{
    (void)ctx;
    return atomic_load(&stopped);
}

static const struct rig_request *held;
static struct rig_request held_copy;

static void hold(struct rig_node *node, const struct rig_request *request)
{
    (void)node;
    held_copy = *request;
    held = &held_copy;
}

static bool is_held(void *ctx)
{
    (void)ctx;
    return held;
}

static bool is_deregistered(void *ctx)
{
    struct kt_coord_view *view = kt_coord_view(b->coord);
    bool found = false;

    (void)ctx;
    for (size_t i = 0; i < view->service_count; i++) {
        found = found || view->services[i].role == KT_ROLE_GATEWAY;
    }
    kt_coord_view_unref(&view);
    return !found;
}

static void a_stop_finishes_what_runs(void)
{
    struct kt_thread thread = {0};
    struct rig_client busy, idle;

    CHECK(start(NULL));
    atomic_store(&stopped, false);
    held = NULL;
    CHECK(rig_client_open(&rig, &busy));
    CHECK(rig_client_open(&rig, &idle));
    a->handler = b->handler = c->handler = hold;
    rig_client_send(&busy, READ);
    CHECK(rig_wait(&rig, is_held, NULL, "a request at a node"));
    CHECK_OK(kt_thread_start(&thread, "stop", stop_gateway, &rig.gateway, &err));
    CHECK(rig_wait(&rig, is_deregistered, NULL, "the gateway's key is gone"));
    /* Idle connections close, the request goes on. */
    CHECK(rig_client_wait_end(&idle));
    CHECK(!atomic_load(&stopped));
    rig_reply(held, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
    CHECK(rig_client_take(&busy, &answer, false));
    CHECK_SLICE(kt_buf_str(&answer.body), "done");
    CHECK_SLICE(rig_answer_header(&answer, "Connection"), "close");
    CHECK(rig_wait(&rig, is_stopped, NULL, "the gateway stops"));
    kt_thread_join(&thread);
    rig_client_close(&busy);
    rig_client_close(&idle);
    stop();
}

static void a_stop_waits_no_longer_than_its_deadline(void)
{
    static const char *const settings[] = {"server.drain_ms=300", NULL};
    struct rig_client busy;
    int64_t began_ms;

    CHECK(start(settings));
    held = NULL;
    CHECK(rig_client_open(&rig, &busy));
    a->handler = b->handler = c->handler = hold;
    rig_client_send(&busy, READ);
    CHECK(rig_wait(&rig, is_held, NULL, "a request at a node"));
    began_ms = kt_now_mono_ms();
    kt_gateway_stop(&rig.gateway);
    CHECK(kt_now_mono_ms() - began_ms < 3000);
    CHECK(rig_client_wait_end(&busy));
    rig_client_close(&busy);
    stop();
}

static bool answered_or_ended(void *ctx)
{
    struct rig_client *client = ctx;

    return client->ended || kt_str_find(kt_buf_str(&client->in), KT_STR("\r\n\r\n")) > 0;
}

/* The nth allocation fails while a request is under way: whatever becomes of it, the next one is
 * answered as ever. */
static void requests_survive_allocations_that_fail(void)
{
    static const char *const requests[] = {READ, WRITE, "GET /health HTTP/1.1\r\nHost: h\r\n\r\n",
                                           "GET " API "/stats HTTP/1.1\r\nHost: h\r\n\r\n"};
    uint64_t count = kt_test_is_slow() ? 12 : 40;

    CHECK(start(NULL));
    CHECK(rig_lead(&rig, a));
    for (size_t i = 0; i < KT_ARRAY_LEN(requests) * count; i++) {
        struct rig_client client;

        kt_fault_set(KT_FAULT_ALLOC, 1 + i % count, 0);
        CHECK(rig_client_open(&rig, &client));
        rig_client_send(&client, requests[i / count]);
        CHECK(rig_wait(&rig, answered_or_ended, &client, "an answer or an end"));
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        rig_client_close(&client);
    }
    CHECK(rig_wait_up(&rig, 3));
    CHECK_INT(read_many(30), 30);
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK_INT(answer.status, 200);
    stop();
}

static enum kt_status start_coord(void *ctx, const struct kt_coord_options *options,
                                  struct kt_coord **ret_coord, struct kt_error *ret_err)
{
    return kt_coord_start_fake(ctx, options, ret_coord, ret_err);
}

static void a_start_without_memory_fails_and_leaves_nothing(void)
{
    struct kt_coord_fake *fake = kt_coord_fake_new();
    struct kt_gateway_config config;
    struct kt_gateway_options options = {
        .config = &config, .start_coord = start_coord, .start_coord_ctx = fake};
    struct kt_conf conf;
    bool good = false;

    CHECK_OK(kt_conf_init(&conf, &kt_gateway_table, &config, NULL, 0, &err));
    config.port = 0;
    config.loops = 1;
    for (uint64_t nth = 1; !good; nth++) {
        struct kt_gateway *gateway = NULL;
        enum kt_status status;

        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        status = kt_gateway_start(&options, &gateway, &err);
        good = kt_fault_calls(KT_FAULT_ALLOC) < nth;
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        CHECK_INT(status == KT_OK, gateway != NULL);
        CHECK(status == KT_OK || status == KT_NO_MEMORY);
        CHECK(!good || status == KT_OK);
        kt_gateway_stop(&gateway);
    }
    kt_conf_done(&conf);
    kt_coord_fake_free(&fake);
}

static void a_port_that_is_taken_is_named(void)
{
    struct kt_gateway_config config;
    struct kt_gateway_options options = {.config = &config, .start_coord = start_coord};
    struct kt_gateway *gateway = NULL;
    struct kt_conf conf;

    CHECK(start(NULL));
    CHECK_OK(kt_conf_init(&conf, &kt_gateway_table, &config, NULL, 0, &err));
    config.port = kt_gateway_port(rig.gateway);
    CHECK_FAILS(kt_gateway_start(&options, &gateway, &err), KT_BUSY);
    CHECK(strstr(err.message, "127.0.0.1"));
    kt_conf_done(&conf);
    stop();
}

static void a_node_may_be_registered_by_name(void)
{
    char addr[KT_ADDR_MAX];

    rig_answer_init(&answer);
    CHECK(rig_start(&rig, NULL));
    CHECK((a = rig_node_add(&rig, "a")));
    rig_node_unregister(a);
    snprintf(addr, sizeof(addr), "localhost:%u", a->port);
    CHECK_OK(register_as(a, addr));
    CHECK(rig_wait_up(&rig, 1));
    CHECK_INT(read_many(5), 5);
    stop();
}

static const struct kt_test tests[] = {
    TEST(reads_are_spread_over_all_nodes),
    TEST(a_node_that_died_costs_no_read),
    TEST(the_last_node_is_never_given_up),
    TEST(a_used_connection_that_closed_is_replaced_for_a_read),
    TEST(reads_are_repeated_on_another_node),
    TEST(when_every_node_fails_the_last_failure_is_told),
    TEST(the_budget_bounds_repetitions),
    TEST(a_node_that_does_not_answer_is_left_for_another),
    TEST(a_read_that_nobody_answers_ends_at_its_deadline),
    TEST(writes_go_to_the_leader_alone),
    TEST(reads_of_level_leader_go_to_the_leader),
    TEST(without_a_leader_writes_are_certainly_not_done),
    TEST(a_leader_that_refuses_connections_means_not_done),
    TEST(a_write_whose_connection_broke_is_repeated_and_then_unknown),
    TEST(a_write_without_an_answer_is_unknown_at_its_deadline),
    TEST(a_write_follows_the_leader_once),
    TEST(a_leaders_refusal_is_passed_on),
    TEST(a_node_that_left_etcd_leaves_the_list_at_once_and_may_return),
    TEST(when_all_leave_etcd_at_once_who_is_well_stays),
    TEST(a_node_that_says_it_is_not_well_gets_nothing),
    TEST(a_node_that_does_not_answer_probes_gets_nothing),
    TEST(when_etcd_goes_the_list_stays),
    TEST(connections_to_a_node_are_bounded),
    TEST(a_stop_finishes_what_runs),
    TEST(a_stop_waits_no_longer_than_its_deadline),
    TEST(a_node_may_be_registered_by_name),
    TEST(a_port_that_is_taken_is_named),
    TEST(a_start_without_memory_fails_and_leaves_nothing),
    TEST(requests_survive_allocations_that_fail),
};
KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
/* Operators' requests: who may, which node they go to, how often. */
#include <uv.h>

#include "rig.h"

#include "kt_test.h"

#include "base/mem.h"

#define OPERATE_WITH(path, headers)                                                                \
    "POST " path " HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n" headers              \
    "Content-Length: 2\r\n\r\n{}"
#define OPERATE(path) OPERATE_WITH(path, "")

static struct rig rig;
static struct rig_answer answer;
static struct rig_node *a, *b, *c;

#define BODY_HAS(text) CHECK(kt_str_find(kt_buf_str(&answer.body), kt_str(text)) >= 0)
#define HEAD_HAS(node, text) CHECK(kt_str_find(kt_buf_str(&(node)->last_head), kt_str(text)) >= 0)
#define HEAD_LACKS(node, text) CHECK(kt_str_find(kt_buf_str(&(node)->last_head), kt_str(text)) < 0)

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

static void failover_and_forget_go_to_the_leader_in_the_gateways_name(void)
{
    static const char *const requests[] = {
        OPERATE("/cluster/failover"), OPERATE("/data/cluster/failover"), OPERATE("/cluster/forget"),
        OPERATE("/data/cluster/forget")};

    CHECK(start(NULL));
    CHECK(rig_lead(&rig, b));
    for (size_t i = 0; i < KT_ARRAY_LEN(requests); i++) {
        CHECK(rig_call(&rig, requests[i], &answer));
        CHECK_INT(answer.status, 200);
        CHECK_SLICE(kt_buf_str(&answer.body), "b");
        HEAD_HAS(b, i < 2 ? "POST /cluster/failover HTTP/1.1\r\n"
                          : "POST /cluster/forget HTTP/1.1\r\n");
        HEAD_LACKS(b, "Via:");
        HEAD_LACKS(b, "X-Forwarded-For:");
        HEAD_LACKS(b, "Idempotency-Key:");
        CHECK_SLICE(kt_buf_str(&b->last_body), "{}");
    }
    CHECK_INT(a->requests + c->requests, 0);
    stop();
}

/* They have no key, and what they do is not to be done twice. */
static void what_an_operator_asked_is_never_asked_twice(void)
{
    CHECK(start(NULL));
    CHECK(rig_lead(&rig, b));
    b->handler = rig_hang_up;
    CHECK(rig_call(&rig, OPERATE("/cluster/failover"), &answer));
    CHECK_INT(answer.status, 504);
    BODY_HAS("\"code\":\"outcome_unknown\"");
    CHECK_SLICE(rig_answer_header(&answer, "X-Kamaitachi-Outcome"), "unknown");
    CHECK(!rig_answer_header(&answer, "Idempotency-Key").data);
    CHECK_INT(a->requests + b->requests + c->requests, 1);
    stop();
}

static void a_node_that_does_not_lead_names_the_one_that_does(void)
{
    CHECK(start(NULL));
    CHECK(rig_lead(&rig, a));
    a->handler = rig_not_me;
    rig.hint = c->addr;
    CHECK(rig_call(&rig, OPERATE("/cluster/failover"), &answer));
    CHECK_INT(answer.status, 200);
    CHECK_SLICE(kt_buf_str(&answer.body), "c");
    /* Who names itself is not asked again. */
    rig.hint = a->addr;
    CHECK(rig_call(&rig, OPERATE("/cluster/failover"), &answer));
    CHECK_INT(answer.status, 503);
    BODY_HAS("the leader is changing");
    CHECK_INT(a->requests, 2);
    CHECK_INT(c->requests, 1);
    stop();
}

/* It is for when no node leads. */
static void recover_goes_to_any_node_that_lives(void)
{
    CHECK(start(NULL));
    rig_node_unlisten(a);
    rig_node_unlisten(c);
    for (int i = 0; i < 4; i++) {
        CHECK(rig_call(&rig, OPERATE("/cluster/recover"), &answer));
        CHECK_INT(answer.status, 200);
        CHECK_SLICE(kt_buf_str(&answer.body), "b");
    }
    CHECK_INT(b->requests, 4);
    stop();
}

static void registrations_go_to_one_node_for_as_long_as_it_lives(void)
{
    static const char *const requests[] = {
        OPERATE("/cluster/register"), OPERATE("/cluster/heartbeat"),
        OPERATE("/data/cluster/heartbeat"), OPERATE("/cluster/deregister")};
    struct rig_node *holder, *nodes[3];

    CHECK(start(NULL));
    CHECK(rig_lead(&rig, b));
    for (size_t i = 0; i < 12; i++) {
        CHECK(rig_call(&rig, requests[i % 4], &answer));
        CHECK_INT(answer.status, 200);
    }
    holder = a->requests ? a : b->requests ? b : c;
    CHECK_INT(holder->requests, 12);
    CHECK_INT(a->requests + b->requests + c->requests, 12);
    rig_node_unlisten(holder);
    for (size_t i = 0; i < 8; i++) {
        CHECK(rig_call(&rig, requests[i % 4], &answer));
        CHECK_INT(answer.status, 200);
    }
    nodes[0] = a;
    nodes[1] = b;
    nodes[2] = c;
    for (size_t i = 0; i < 3; i++) {
        CHECK(nodes[i]->requests == 0 || nodes[i]->requests == 8 || nodes[i] == holder);
    }
    stop();
}

static void events_are_the_leaders_when_there_is_one(void)
{
    CHECK(start(NULL));
    CHECK(rig_call(&rig, "GET /cluster/events HTTP/1.1\r\nHost: h\r\n\r\n", &answer));
    CHECK_INT(answer.status, 200);
    CHECK(rig_lead(&rig, b));
    for (int i = 0; i < 6; i++) {
        CHECK(rig_call(&rig, "GET /cluster/events HTTP/1.1\r\nHost: h\r\n\r\n", &answer));
        CHECK_INT(answer.status, 200);
        CHECK_SLICE(kt_buf_str(&answer.body), "b");
    }
    rig_node_unlisten(b);
    CHECK(rig_call(&rig, "GET /cluster/events HTTP/1.1\r\nHost: h\r\n\r\n", &answer));
    CHECK_INT(answer.status, 200);
    stop();
}

static void strangers_are_refused_here(void)
{
    static const char *const settings[] = {"auth.admin_token=sesame", NULL};
    static const char *const paths[] = {
        OPERATE("/cluster/failover"), OPERATE("/cluster/recover"),   OPERATE("/cluster/forget"),
        OPERATE("/cluster/register"), OPERATE("/cluster/heartbeat"),
    };

    CHECK(start(settings));
    CHECK(rig_lead(&rig, a));
    for (size_t i = 0; i < KT_ARRAY_LEN(paths); i++) {
        CHECK(rig_call(&rig, paths[i], &answer));
        CHECK_INT(answer.status, 401);
    }
    CHECK(rig_call(&rig, OPERATE_WITH("/cluster/failover", "Authorization: Bearer sesame\r\n"),
                   &answer));
    CHECK_INT(answer.status, 200);
    CHECK_INT(a->requests, 1);
    stop();
    CHECK(start(NULL));
    CHECK(rig_lead(&rig, a));
    CHECK(rig_call(&rig, OPERATE_WITH("/cluster/failover", "Via: 1.1 proxy\r\n"), &answer));
    CHECK_INT(answer.status, 403);
    CHECK(rig_call(&rig,
                   "POST /cluster/failover HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}",
                   &answer));
    CHECK_INT(answer.status, 415);
    CHECK_INT(a->requests, 0);
    stop();
}

static void networks_that_may_register_need_no_token(void)
{
    static const char *const settings[] = {"auth.admin_token=sesame", "cluster.allow=127.0.0.0/8",
                                           NULL};

    CHECK(start(settings));
    CHECK(rig_lead(&rig, a));
    CHECK(rig_call(&rig, OPERATE("/cluster/heartbeat"), &answer));
    CHECK_INT(answer.status, 200);
    CHECK(rig_call(&rig, OPERATE("/cluster/failover"), &answer));
    CHECK_INT(answer.status, 401);
    CHECK_INT(a->requests + b->requests + c->requests, 1);
    stop();
}

/* A handover may take as long as an operator's request may: nobody else is asked meanwhile. */
static void a_handover_is_waited_for(void)
{
    static const char *const settings[] = {"proxy.first_byte_ms=100", NULL};
    static const char done[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";
    struct rig_client client;

    CHECK(start(settings));
    CHECK(rig_lead(&rig, a));
    a->handler = rig_keep_link;
    CHECK(rig_client_open(&rig, &client));
    rig_client_send(&client, OPERATE("/cluster/failover"));
    CHECK(rig_wait_kept(&rig));
    kt_coord_fake_set_leader(rig.fake, b->id, b->addr, 2);
    rig_turn(&rig, 1000);
    rig_link_write(rig.kept, done, sizeof(done) - 1);
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 200);
    CHECK_SLICE(kt_buf_str(&answer.body), "done");
    CHECK_INT(a->requests + b->requests + c->requests, 1);
    rig_client_close(&client);
    stop();
}

static const struct kt_test tests[] = {
    TEST(failover_and_forget_go_to_the_leader_in_the_gateways_name),
    TEST(what_an_operator_asked_is_never_asked_twice),
    TEST(a_node_that_does_not_lead_names_the_one_that_does),
    TEST(recover_goes_to_any_node_that_lives),
    TEST(registrations_go_to_one_node_for_as_long_as_it_lives),
    TEST(events_are_the_leaders_when_there_is_one),
    TEST(strangers_are_refused_here),
    TEST(networks_that_may_register_need_no_token),
    TEST(a_handover_is_waited_for),
};
KT_TEST_MAIN(tests)

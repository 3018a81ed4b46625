/* SPDX-License-Identifier: MIT */
/* The keys that the gateway adds to writes, and what it does for want of one. */
#include <uv.h>

#include "rig.h"

#include "kt_test.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdlib.h>

#define API "/kamaitachi/api/data/v1"
#define READ_AT(level)                                                                             \
    "GET /data" API "/snapshot HTTP/1.1\r\nHost: h\r\nX-Kamaitachi-Consistency: " level "\r\n\r\n"
#define WRITE_WITH(headers)                                                                        \
    "POST /data" API "/save HTTP/1.1\r\nHost: h\r\n" headers "Content-Length: 2\r\n\r\n{}"
#define WRITE WRITE_WITH("")
#define OK_ANSWER "HTTP/1.1 200 OK\r\nX-Kamaitachi-Role: leader\r\nContent-Length: 4\r\n\r\ndone"

static struct rig rig;
static struct rig_answer answer;
static struct rig_node *a;
static struct rig_client client;

/* Keys and bodies that the node saw, in order. */
static struct {
    char key[130];
    char body[16];
} seen[16];
static size_t seen_count;

#define BODY_HAS(text) CHECK(kt_str_find(kt_buf_str(&answer.body), kt_str(text)) >= 0)
#define OUTCOME(text) CHECK_SLICE(rig_answer_header(&answer, "X-Kamaitachi-Outcome"), text)

static void note(const struct rig_request *request)
{
    if (seen_count < KT_ARRAY_LEN(seen)) {
        kt_str_copy(seen[seen_count].key, sizeof(seen[0].key),
                    request->parsed.head.known[KT_H1_IDEMPOTENCY_KEY]);
        kt_str_copy(seen[seen_count].body, sizeof(seen[0].body), request->body);
        seen_count++;
    }
}

static void take(struct rig_node *node, const struct rig_request *request)
{
    (void)node;
    note(request);
    rig_reply(request, OK_ANSWER);
}

static void hang(struct rig_node *node, const struct rig_request *request)
{
    (void)node;
    note(request);
}

static void close_all(struct rig_node *node, const struct rig_request *request)
{
    (void)node;
    note(request);
    rig_link_close(request->link);
}

static bool start(const char *const *settings)
{
    rig_answer_init(&answer);
    seen_count = 0;
    if (!rig_start(&rig, settings) || !(a = rig_node_add(&rig, "a")) || !rig_wait_up(&rig, 1)) {
        return false;
    }
    a->handler = take;
    return true;
}

static void stop(void)
{
    rig_stop(&rig);
    rig_answer_done(&answer);
}

static void lead(const struct rig_node *node)
{
    kt_coord_fake_set_leader(rig.fake, node->id, node->addr, 2);
}

static bool saw_one(void *ctx)
{
    (void)ctx;
    return seen_count > 0;
}

static bool somebody_waits(void *ctx)
{
    (void)ctx;
    return rig_call(&rig, "GET /monitor/status HTTP/1.1\r\nHost: h\r\n\r\n", &answer) &&
           kt_str_find(kt_buf_str(&answer.body), KT_STR("{\"now\":1,")) >= 0;
}

static const char *const patient[] = {"proxy.failover_wait=30000", NULL};

static void every_write_without_a_key_gets_one_that_begins_with_its_time(void)
{
    int64_t before_ms = kt_now_wall_ms(), made_ms;
    struct kt_str key;
    char *end;

    CHECK(start(patient));
    CHECK(rig_lead(&rig, a));
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK(rig_call(&rig, WRITE_WITH("Idempotency-Key: mine\r\n"), &answer));
    CHECK_INT(seen_count, 3);
    CHECK(strcmp(seen[0].key, seen[1].key) != 0);
    CHECK_STR(seen[2].key, "mine");
    key = kt_str(seen[0].key);
    CHECK(kt_str_starts(key, KT_STR("g-")));
    made_ms = strtoll(seen[0].key + 2, &end, 10);
    CHECK(made_ms >= before_ms && made_ms <= kt_now_wall_ms());
    CHECK_INT(*end, '-');
    CHECK_INT(strspn(end + 1, "0123456789abcdef"), 32);
    CHECK_INT(end[33], '\0');
    /* One key in a head, and none where it means nothing. */
    CHECK(kt_str_find(kt_buf_str(&a->last_head), KT_STR("Idempotency-Key: g-")) < 0);
    CHECK(rig_call(&rig, READ_AT("leader"), &answer));
    CHECK(kt_str_find(kt_buf_str(&a->last_head), KT_STR("Idempotency-Key")) < 0);
    /* A client is not told a key that it needs not. */
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK(!rig_answer_header(&answer, "Idempotency-Key").data);
    stop();
}

static void the_time_in_a_key_is_when_the_write_came(void)
{
    int64_t sent_ms;

    CHECK(start(patient));
    sent_ms = kt_now_wall_ms();
    CHECK(rig_client_open(&rig, &client));
    rig_client_send(&client, WRITE);
    CHECK(rig_wait(&rig, somebody_waits, NULL, "a write that waits"));
    rig_turn(&rig, 700);
    lead(a);
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 200);
    rig_client_close(&client);
    CHECK(strtoll(seen[0].key + 2, NULL, 10) < kt_now_wall_ms() - 650);
    CHECK(strtoll(seen[0].key + 2, NULL, 10) >= sent_ms - 5);
    stop();
}

#define LARGE                                                                                      \
    "POST /data" API "/import HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\n\r\nsubject,x\n1,"

static void a_body_that_is_not_kept_waits_unsent_and_is_sent_once(void)
{
    static const char *const settings[] = {"proxy.failover_wait=30000", "proxy.retry_body_bytes=4",
                                           NULL};

    CHECK(start(settings));
    CHECK(rig_client_open(&rig, &client));
    rig_client_send(&client, LARGE);
    CHECK(rig_wait(&rig, somebody_waits, NULL, "an import that waits"));
    lead(a);
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 200);
    rig_client_close(&client);
    CHECK_INT(a->requests, 1);
    CHECK_STR(seen[0].body, "subject,x\n1,");
    a->handler = close_all;
    CHECK(rig_call(&rig, LARGE, &answer));
    CHECK_INT(answer.status, 504);
    OUTCOME("unknown");
    CHECK_INT(a->requests, 2);
    CHECK_SLICE(rig_answer_header(&answer, "Idempotency-Key"), seen[1].key);
    stop();
}

static void what_may_be_done_is_unknown_when_no_leader_comes(void)
{
    static const char *const settings[] = {"proxy.failover_wait=400", NULL};

    CHECK(start(settings));
    lead(a);
    a->handler = hang;
    CHECK(rig_client_open(&rig, &client));
    rig_client_send(&client, WRITE);
    CHECK(rig_wait(&rig, saw_one, NULL, "a request at the node"));
    rig_node_unlisten(a);
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 504);
    OUTCOME("unknown");
    BODY_HAS("\"code\":\"outcome_unknown\"");
    /* The key that it was sent under: with it the client can go on where the gateway gave up. */
    CHECK_SLICE(rig_answer_header(&answer, "Idempotency-Key"), seen[0].key);
    rig_client_close(&client);
    stop();
}

static void leave_unknown(struct rig_node *node, const struct rig_request *request)
{
    (void)node;
    note(request);
    rig_reply(request, "HTTP/1.1 504 Gateway Timeout\r\nX-Kamaitachi-Outcome: unknown\r\n"
                       "Content-Length: 12\r\n\r\n7 committed.");
}

/* An import that the leader could not finish: its client goes on under the key. */
static void the_leaders_own_word_on_what_is_unknown_names_the_key(void)
{
    static const char *const settings[] = {"proxy.failover_wait=30000", "proxy.retry_body_bytes=4",
                                           NULL};

    CHECK(start(settings));
    CHECK(rig_lead(&rig, a));
    a->handler = leave_unknown;
    CHECK(rig_call(&rig, LARGE, &answer));
    CHECK_INT(answer.status, 504);
    CHECK_SLICE(kt_buf_str(&answer.body), "7 committed.");
    OUTCOME("unknown");
    CHECK_SLICE(rig_answer_header(&answer, "Idempotency-Key"), seen[0].key);
    CHECK_INT(seen_count, 1);
    stop();
}

#define KEY_REFUSED                                                                                \
    "{\"status_code\":503,\"status_msg\":\"Idempotency-Key: 5 keys are remembered already\","      \
    "\"data\":null,\"error\":{\"code\":\"unavailable\",\"field\":\"Idempotency-Key\","             \
    "\"retry\":\"later\"}}"

static void refuse_keys(struct rig_node *node, const struct rig_request *request)
{
    char text[400];

    (void)node;
    note(request);
    snprintf(text, sizeof(text),
             "HTTP/1.1 503 Service Unavailable\r\nX-Kamaitachi-Outcome: none\r\n"
             "X-Kamaitachi-Role: leader\r\nRetry-After: 1\r\nContent-Length: %zu\r\n\r\n%s",
             sizeof(KEY_REFUSED) - 1, KEY_REFUSED);
    rig_reply(request, request->parsed.head.known[KT_H1_IDEMPOTENCY_KEY].data ? text : OK_ANSWER);
}

/* The cluster remembers as many as it can, or the clocks differ: the write is done all the same,
 * only that it can't be repeated. */
static void a_key_that_is_refused_is_done_without(void)
{
    static const char *const settings[] = {"server.loops=1", "proxy.failover_wait=1", NULL};

    CHECK(start(settings));
    CHECK(rig_lead(&rig, a));
    a->handler = refuse_keys;
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK_INT(answer.status, 200);
    CHECK_INT(seen_count, 2);
    CHECK(strncmp(seen[0].key, "g-", 2) == 0);
    CHECK_STR(seen[1].key, "");
    /* No further ones are tried for a moment. */
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK_INT(answer.status, 200);
    CHECK_INT(seen_count, 3);
    CHECK_STR(seen[2].key, "");
    a->handler = close_all;
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK_INT(answer.status, 504);
    OUTCOME("unknown");
    CHECK(!rig_answer_header(&answer, "Idempotency-Key").data);
    CHECK_INT(seen_count, 4);
    /* A client's own key is its own business. */
    a->handler = refuse_keys;
    CHECK(rig_call(&rig, WRITE_WITH("Idempotency-Key: mine\r\n"), &answer));
    CHECK_INT(answer.status, 503);
    BODY_HAS("5 keys are remembered already");
    OUTCOME("none");
    rig_turn(&rig, 1100);
    a->handler = take;
    CHECK(rig_call(&rig, WRITE, &answer));
    CHECK(strncmp(seen[seen_count - 1].key, "g-", 2) == 0);
    stop();
}

static const struct kt_test tests[] = {
    TEST(a_key_that_is_refused_is_done_without),
    TEST(the_leaders_own_word_on_what_is_unknown_names_the_key),
    TEST(every_write_without_a_key_gets_one_that_begins_with_its_time),
    TEST(the_time_in_a_key_is_when_the_write_came),
    TEST(a_body_that_is_not_kept_waits_unsent_and_is_sent_once),
    TEST(what_may_be_done_is_unknown_when_no_leader_comes),
};
KT_TEST_MAIN(tests)

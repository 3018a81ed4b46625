/* SPDX-License-Identifier: MIT */
/* The headers of the contract that a gateway acts on: levels, time, keys, outcomes. */
#include <uv.h>

#include "rig.h"

#include "kt_test.h"

#include "base/clock.h"
#include "base/mem.h"

#define API "/kamaitachi/api/data/v1"
#define READ_WITH(headers) "GET /data" API "/snapshot HTTP/1.1\r\nHost: h\r\n" headers "\r\n"
#define WRITE_WITH(headers)                                                                        \
    "POST /data" API "/save HTTP/1.1\r\nHost: h\r\n" headers "Content-Length: 2\r\n\r\n{}"
#define SESSION(revision)                                                                          \
    READ_WITH("X-Kamaitachi-Consistency: session\r\nX-Kamaitachi-Min-Revision: " revision "\r\n")
#define TIMEOUT(ms) "X-Kamaitachi-Timeout-Ms: " ms "\r\n"

static struct rig rig;
static struct rig_answer answer;
static struct rig_node *a, *b, *c;

#define BODY_HAS(text) CHECK(kt_str_find(kt_buf_str(&answer.body), kt_str(text)) >= 0)
#define HEAD_HAS(node, text) CHECK(kt_str_find(kt_buf_str(&(node)->last_head), kt_str(text)) >= 0)
#define HEAD_LACKS(node, text) CHECK(kt_str_find(kt_buf_str(&(node)->last_head), kt_str(text)) < 0)
#define OUTCOME(text) CHECK_SLICE(rig_answer_header(&answer, "X-Kamaitachi-Outcome"), text)

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

/* --- levels --- */

static void at_nine(struct rig_node *node, const struct rig_request *request)
{
    char text[200];

    snprintf(text, sizeof(text),
             "HTTP/1.1 200 OK\r\nX-Kamaitachi-Revision: 9\r\nContent-Length: 1\r\n\r\n%s",
             node->text);
    rig_reply(request, text);
}

static void a_session_goes_to_nodes_that_are_known_to_have_its_revision(void)
{
    static const char *const settings[] = {"server.loops=1", NULL};

    CHECK(start(settings));
    CHECK(rig_lead(&rig, b));
    /* All probes said 7: anyone will do. */
    for (int i = 0; i < 30; i++) {
        CHECK(rig_call(&rig, SESSION("7"), &answer));
        CHECK_INT(answer.status, 200);
    }
    CHECK(a->requests > 0 && b->requests > 0 && c->requests > 0);
    /* Nobody is known to have 9: the leader has it if anyone does. */
    a->requests = b->requests = c->requests = 0;
    for (int i = 0; i < 10; i++) {
        CHECK(rig_call(&rig, SESSION("9"), &answer));
        CHECK_SLICE(kt_buf_str(&answer.body), "b");
    }
    CHECK_INT(a->requests + c->requests, 0);
    /* An answer that passes by tells of c, and c is asked from then on. */
    c->handler = at_nine;
    while (c->requests == 0) {
        CHECK(rig_call(&rig, READ_WITH(""), &answer));
    }
    a->requests = b->requests = c->requests = 0;
    for (int i = 0; i < 10; i++) {
        CHECK(rig_call(&rig, SESSION("9"), &answer));
        CHECK_SLICE(kt_buf_str(&answer.body), "c");
    }
    CHECK_INT(a->requests + b->requests, 0);
    /* The bound holds at every level. */
    CHECK(rig_call(&rig, READ_WITH("X-Kamaitachi-Min-Revision: 9\r\n"), &answer));
    CHECK_SLICE(kt_buf_str(&answer.body), "c");
    stop();
}

static void a_node_that_waits_for_a_revision_is_not_taken_for_hung(void)
{
    static const char *const settings[] = {"proxy.first_byte_ms=200", NULL};

    CHECK(start(settings));
    CHECK(rig_lead(&rig, b));
    a->handler = b->handler = c->handler = rig_stay_silent;
    CHECK(rig_call(&rig, READ_WITH("X-Kamaitachi-Min-Revision: 100\r\n" TIMEOUT("1500")), &answer));
    CHECK_INT(answer.status, 504);
    CHECK_INT(b->requests, 1);
    CHECK_INT(a->requests + c->requests, 0);
    stop();
}

static bool knows_nine(void *ctx)
{
    unsigned before = a->requests;

    (void)ctx;
    return rig_call(&rig, SESSION("9"), &answer) && a->requests > before;
}

static void probes_tell_of_revisions_too(void)
{
    CHECK(start(NULL));
    CHECK(rig_lead(&rig, b));
    a->revision = 9;
    CHECK(rig_wait(&rig, knows_nine, NULL, "a session at the node whose probe told"));
    stop();
}

static void too_old(struct rig_node *node, const struct rig_request *request)
{
    (void)node;
    rig_reply(request, "HTTP/1.1 503 Unavailable\r\nContent-Length: 5\r\n\r\nolder");
}

static void a_session_that_a_node_cannot_serve_goes_to_the_leader(void)
{
    static const char *const settings[] = {"server.loops=1", NULL};

    CHECK(start(settings));
    CHECK(rig_lead(&rig, b));
    a->handler = c->handler = too_old;
    for (int i = 0; i < 10; i++) {
        CHECK(rig_call(&rig, SESSION("7"), &answer));
        CHECK_INT(answer.status, 200);
        CHECK_SLICE(kt_buf_str(&answer.body), "b");
    }
    /* Without a leader somebody may have it by now: asked, and the node says. */
    CHECK(rig_lead(&rig, NULL));
    CHECK(rig_call(&rig, SESSION("100"), &answer));
    CHECK(answer.status == 200 || answer.status == 503);
    stop();
}

static void a_refusal_at_the_end_of_the_time_is_passed_on(void)
{
    static const char refusal[] = "HTTP/1.1 503 Unavailable\r\nContent-Length: 5\r\n\r\nolder";
    struct rig_client client;

    CHECK(start(NULL));
    a->handler = b->handler = c->handler = rig_keep_link;
    CHECK(rig_client_open(&rig, &client));
    rig_client_send(&client, READ_WITH(TIMEOUT("1000")));
    CHECK(rig_wait_kept(&rig));
    rig_turn(&rig, 850);
    rig_link_write(rig.kept, refusal, sizeof(refusal) - 1);
    CHECK(rig_client_take(&client, &answer, false));
    /* On a machine that stood still meanwhile the time itself may have run out. */
    CHECK(answer.status == 503 || answer.status == 504);
    CHECK_INT(a->requests + b->requests + c->requests, 1);
    rig_client_close(&client);
    stop();
}

static void levels_of_the_leader_never_go_elsewhere(void)
{
    static const char *const levels[] = {
        READ_WITH("X-Kamaitachi-Consistency: leader\r\n"),
        READ_WITH("X-Kamaitachi-Consistency: linearizable\r\n"),
    };

    CHECK(start(NULL));
    for (size_t i = 0; i < KT_ARRAY_LEN(levels); i++) {
        CHECK(rig_lead(&rig, a));
        a->handler = too_old;
        CHECK(rig_call(&rig, levels[i], &answer));
        CHECK_INT(answer.status, 503);
        CHECK_SLICE(kt_buf_str(&answer.body), "older");
    }
    rig_node_unlisten(a);
    CHECK(rig_call(&rig, levels[0], &answer));
    CHECK_INT(answer.status, 503);
    CHECK_INT(b->requests + c->requests, 0);
    stop();
}

static void a_level_that_is_none_is_for_a_node_to_refuse(void)
{
    CHECK(start(NULL));
    CHECK(rig_call(&rig, READ_WITH("X-Kamaitachi-Consistency: Leader\r\n"), &answer));
    CHECK_INT(answer.status, 200);
    CHECK(rig_call(&rig, SESSION("many"), &answer));
    CHECK_INT(answer.status, 200);
    CHECK(rig_call(&rig, SESSION("-1"), &answer));
    CHECK_INT(answer.status, 200);
    CHECK_INT(a->requests + b->requests + c->requests, 3);
    stop();
}

/* --- time --- */

static void a_time_out_of_range_is_refused(void)
{
    static const char *const bad[] = {
        READ_WITH(TIMEOUT("0")),      READ_WITH(TIMEOUT("60001")),
        READ_WITH(TIMEOUT("-1")),     READ_WITH(TIMEOUT("+5")),
        READ_WITH(TIMEOUT("5s")),     READ_WITH(TIMEOUT("1.5")),
        READ_WITH(TIMEOUT("")),       READ_WITH(TIMEOUT("99999999999999999999999")),
        READ_WITH(TIMEOUT("5, 5")),   READ_WITH(TIMEOUT("5") TIMEOUT("5")),
        WRITE_WITH(TIMEOUT("never")), "GET /health HTTP/1.1\r\nHost: h\r\n" TIMEOUT("0") "\r\n",
    };

    CHECK(start(NULL));
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        CHECK(rig_call(&rig, bad[i], &answer));
        CHECK_INT(answer.status, 400);
        BODY_HAS("\"code\":\"bad_value\",\"field\":\"X-Kamaitachi-Timeout-Ms\"");
    }
    CHECK_INT(a->requests + b->requests + c->requests, 0);
    stop();
}

/* The time that the newest request to `node` was given; -1 = it was given none. */
static int64_t forwarded_ms(const struct rig_node *node)
{
    struct kt_str head = kt_buf_str(&node->last_head), name = KT_STR("X-Kamaitachi-Timeout-Ms: ");
    int64_t at = kt_str_find(head, name), value;
    struct kt_str rest;

    if (at < 0) {
        return -1;
    }
    rest = kt_str_n(head.data + at + (int64_t)name.len, head.len - (size_t)at - name.len);
    return kt_parse_i64(kt_str_cut(&rest, '\r'), &value) ? value : -2;
}

static void what_is_left_of_the_time_is_forwarded(void)
{
    static const char *const settings[] = {"proxy.first_byte_ms=1500", NULL};

    CHECK(start(settings));
    CHECK(rig_lead(&rig, a));
    /* The default is the nodes' default too. */
    CHECK(rig_call(&rig, WRITE_WITH(""), &answer));
    CHECK_INT(forwarded_ms(a), -1);
    CHECK(rig_call(&rig, WRITE_WITH(TIMEOUT("60000")), &answer));
    CHECK(forwarded_ms(a) > 50000 && forwarded_ms(a) < 60000);
    CHECK(rig_call(&rig, WRITE_WITH(TIMEOUT("8000")), &answer));
    CHECK(forwarded_ms(a) > 1000 && forwarded_ms(a) < 8000);
    /* A second node gets less, whoever chose the time. */
    a->handler = b->handler = rig_stay_silent;
    CHECK(rig_call(&rig, READ_WITH(""), &answer));
    while (a->requests < 4 && b->requests < 1) {
        CHECK(rig_call(&rig, READ_WITH(""), &answer));
    }
    CHECK(forwarded_ms(c) > 20000 && forwarded_ms(c) <= 28500);
    stop();
}

static void a_requests_time_bounds_it_in_total(void)
{
    int64_t began_ms;

    CHECK(start(NULL));
    CHECK(rig_lead(&rig, a));
    a->handler = b->handler = c->handler = rig_stay_silent;
    began_ms = kt_now_mono_ms();
    CHECK(rig_call(&rig, READ_WITH(TIMEOUT("300")), &answer));
    CHECK_INT(answer.status, 504);
    BODY_HAS("\"code\":\"timeout\"");
    CHECK(kt_now_mono_ms() - began_ms >= 300);
    CHECK(rig_call(&rig, WRITE_WITH(TIMEOUT("300")), &answer));
    CHECK_INT(answer.status, 504);
    BODY_HAS("\"code\":\"outcome_unknown\"");
    OUTCOME("unknown");
    /* Import, export and changes are bounded by idle time, and in total when a time is given. */
    CHECK(rig_call(&rig, "GET /data" API "/export HTTP/1.1\r\nHost: h\r\n" TIMEOUT("300") "\r\n",
                   &answer));
    CHECK_INT(answer.status, 504);
    CHECK(kt_now_mono_ms() - began_ms < 9000);
    stop();
}

static void an_own_path_that_runs_out_of_time_is_answered_once(void)
{
    static const char *const settings[] = {"health.timeout_ms=1000", NULL};
    struct rig_client client;

    CHECK(start(settings));
    a->handler = rig_stay_silent;
    /* All nodes are asked, and one does not answer in the time that the client has. */
    CHECK(rig_client_open(&rig, &client));
    rig_client_send(&client, "GET " API "/stats HTTP/1.1\r\nHost: h\r\n" TIMEOUT("1") "\r\n");
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 504);
    rig_client_send(&client, "GET /health/live HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 200);
    BODY_HAS("{\"status\":\"ok\"}");
    rig_turn(&rig, 1500);
    CHECK_INT(client.in.len_bytes, 0);
    rig_client_close(&client);
    stop();
}

static bool was_asked(void *ctx)
{
    return ((struct rig_node *)ctx)->requests > 0;
}

static void health_does_not_wait_behind_stats(void)
{
    static const char *const settings[] = {"server.workers=2", "health.interval_ms=60000", NULL};
    struct rig_client clients[12];

    CHECK(start(settings));
    a->handler = rig_stay_silent;
    for (size_t i = 0; i < KT_ARRAY_LEN(clients); i++) {
        CHECK(rig_client_open(&rig, &clients[i]));
        rig_client_send(&clients[i], "GET " API "/stats HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    CHECK(rig_wait(&rig, was_asked, a, "stats under way"));
    /* One after the other they take a second each. */
    for (int i = 0; i < 5; i++) {
        CHECK(
            rig_call(&rig, "GET /health HTTP/1.1\r\nHost: h\r\n" TIMEOUT("4000") "\r\n", &answer));
        CHECK_INT(answer.status, 200);
    }
    CHECK(a->requests < KT_ARRAY_LEN(clients) - 2);
    for (size_t i = 0; i < KT_ARRAY_LEN(clients); i++) {
        rig_client_close(&clients[i]);
    }
    stop();
}

static void a_feed_may_say_nothing_for_longer_than_a_request_may_last(void)
{
    static const char *const settings[] = {"proxy.timeout_ms=300", "proxy.first_byte_ms=200",
                                           "proxy.stream_idle_ms=2000", NULL};
    int64_t began_ms;

    CHECK(start(settings));
    a->handler = b->handler = c->handler = rig_stay_silent;
    began_ms = kt_now_mono_ms();
    CHECK(rig_call(&rig, "GET /data" API "/changes?after=1 HTTP/1.1\r\nHost: h\r\n\r\n", &answer));
    CHECK_INT(answer.status, 504);
    CHECK(kt_now_mono_ms() - began_ms >= 2000);
    CHECK_INT(a->requests + b->requests + c->requests, 1);
    stop();
}

static void an_import_that_has_been_sent_may_be_worked_on_for_long(void)
{
    static const char *const settings[] = {"proxy.stream_idle_ms=300", "proxy.import_wait_ms=2500",
                                           NULL};
    struct rig_client client;
    int64_t began_ms;

    CHECK(start(settings));
    CHECK(rig_lead(&rig, a));
    a->handler = rig_stay_silent;
    began_ms = kt_now_mono_ms();
    CHECK(rig_call(&rig,
                   "POST /data" API "/import HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab",
                   &answer));
    CHECK_INT(answer.status, 504);
    OUTCOME("unknown");
    CHECK(kt_now_mono_ms() - began_ms >= 2500);
    /* A body of which the rest does not come is given up as ever. */
    began_ms = kt_now_mono_ms();
    CHECK(rig_client_open(&rig, &client));
    rig_client_send(&client,
                    "POST /data" API "/import HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na");
    CHECK(rig_client_take(&client, &answer, false));
    CHECK(answer.status == 503 || answer.status == 504);
    CHECK(kt_now_mono_ms() - began_ms < 2500);
    rig_client_close(&client);
    stop();
}

static void a_write_whose_body_does_not_come_is_certainly_not_done(void)
{
    struct rig_client client;

    CHECK(start(NULL));
    CHECK(rig_lead(&rig, a));
    CHECK(rig_client_open(&rig, &client));
    rig_client_send(&client, "POST /data" API "/save HTTP/1.1\r\nHost: h\r\n" TIMEOUT(
                                 "300") "Content-Length: 2\r\n\r\n{");
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 503);
    OUTCOME("none");
    CHECK(rig_client_wait_end(&client));
    rig_client_close(&client);
    CHECK_INT(a->requests, 0);
    stop();
}

/* --- keys --- */

static void close_first(struct rig_node *node, const struct rig_request *request)
{
    (void)node;
    if (request->number == 1) {
        rig_link_close(request->link);
    } else {
        rig_reply(request, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ntwice");
    }
}

static void refuse_second(struct rig_node *node, const struct rig_request *request)
{
    (void)node;
    if (request->number == 1) {
        rig_link_close(request->link);
    } else {
        rig_reply(request, "HTTP/1.1 503 Unavailable\r\nX-Kamaitachi-Outcome: none\r\n"
                           "Content-Length: 0\r\n\r\n");
    }
}

#define KEYED WRITE_WITH("Idempotency-Key: k1\r\n")

static void a_write_with_a_key_is_repeated_once_when_its_connection_broke(void)
{
    CHECK(start(NULL));
    CHECK(rig_lead(&rig, a));
    a->handler = close_first;
    CHECK(rig_call(&rig, KEYED, &answer));
    CHECK_INT(answer.status, 200);
    CHECK_SLICE(kt_buf_str(&answer.body), "twice");
    CHECK_SLICE(kt_buf_str(&a->last_body), "{}");
    HEAD_HAS(a, "Idempotency-Key: k1\r\n");
    CHECK_INT(a->requests, 2);
    /* Once, when nobody may wait for another leader. The client's own key is not told it. */
    a->requests = 0;
    a->handler = rig_hang_up;
    CHECK(rig_call(&rig, KEYED, &answer));
    CHECK_INT(answer.status, 504);
    OUTCOME("unknown");
    CHECK(!rig_answer_header(&answer, "Idempotency-Key").data);
    CHECK_INT(a->requests, 2);
    CHECK_INT(b->requests + c->requests, 0);
    stop();
}

/* Connection may name a header as one of this hop. What the gateway itself acted on must reach the
 * node all the same: a key that ended here would let a write be done twice. */
static void a_key_that_connection_names_reaches_the_node(void)
{
    CHECK(start(NULL));
    CHECK(rig_lead(&rig, a));
    a->handler = close_first;
    CHECK(rig_call(&rig,
                   WRITE_WITH("Connection: Idempotency-Key, X-Kamaitachi-Consistency, "
                              "X-Kamaitachi-Min-Revision, X-Other\r\n"
                              "Idempotency-Key: k1\r\nX-Kamaitachi-Consistency: leader\r\n"
                              "X-Kamaitachi-Min-Revision: 0\r\nX-Other: 1\r\n"),
                   &answer));
    CHECK_INT(answer.status, 200);
    CHECK_INT(a->requests, 2);
    HEAD_HAS(a, "Idempotency-Key: k1\r\n");
    HEAD_HAS(a, "X-Kamaitachi-Consistency: leader\r\n");
    HEAD_HAS(a, "X-Kamaitachi-Min-Revision: 0\r\n");
    CHECK(kt_str_find(kt_buf_str(&a->last_head), KT_STR("X-Other")) < 0);
    stop();
}

static void a_refusal_of_the_second_attempt_says_nothing_of_the_first(void)
{
    CHECK(start(NULL));
    CHECK(rig_lead(&rig, a));
    a->handler = refuse_second;
    CHECK(rig_call(&rig, KEYED, &answer));
    CHECK_INT(answer.status, 504);
    BODY_HAS("\"code\":\"outcome_unknown\"");
    OUTCOME("unknown");
    stop();
}

static void fail_second(struct rig_node *node, const struct rig_request *request)
{
    (void)node;
    if (request->number == 1) {
        rig_link_close(request->link);
    } else {
        rig_reply(request, "HTTP/1.1 500 Internal Server Error\r\nX-Kamaitachi-Outcome: none\r\n"
                           "Content-Length: 9\r\n\r\nno memory");
    }
}

/* The node speaks of the attempt that it saw. */
static void an_error_of_the_second_attempt_keeps_the_doubt(void)
{
    CHECK(start(NULL));
    CHECK(rig_lead(&rig, a));
    a->handler = fail_second;
    CHECK(rig_call(&rig, KEYED, &answer));
    CHECK_INT(answer.status, 500);
    CHECK_SLICE(kt_buf_str(&answer.body), "no memory");
    OUTCOME("unknown");
    CHECK_INT(a->requests, 2);
    stop();
}

static void go_away(struct rig_node *node, const struct rig_request *request)
{
    rig_node_unlisten(node); /* first: the next attempt comes at once */
    rig_link_close(request->link);
}

static void a_leader_that_died_meanwhile_may_have_done_it(void)
{
    CHECK(start(NULL));
    CHECK(rig_lead(&rig, a));
    a->handler = go_away;
    CHECK(rig_call(&rig, KEYED, &answer));
    CHECK_INT(answer.status, 504);
    BODY_HAS("an earlier attempt may be done or not");
    OUTCOME("unknown");
    CHECK_INT(b->requests + c->requests, 0);
    stop();
}

static void a_body_too_large_to_keep_is_not_repeated_under_its_key(void)
{
    static const char *const settings[] = {"proxy.retry_body_bytes=1", NULL};

    CHECK(start(settings));
    CHECK(rig_lead(&rig, a));
    a->handler = close_first;
    CHECK(rig_call(&rig, KEYED, &answer));
    CHECK_INT(answer.status, 504);
    OUTCOME("unknown");
    CHECK_INT(a->requests, 1);
    stop();
}

static void an_import_whose_chunks_break_may_have_stored_a_part(void)
{
    static const char *const settings[] = {"proxy.retry_body_bytes=4", NULL};
    struct rig_client client;

    CHECK(start(settings));
    CHECK(rig_lead(&rig, a));
    a->early = true;
    a->handler = rig_stay_silent;
    CHECK(rig_client_open(&rig, &client));
    rig_client_send(&client, "POST /data" API "/import?subject=s HTTP/1.1\r\nHost: h\r\n"
                             "Transfer-Encoding: chunked\r\n\r\n9\r\nsubject,a\r\n");
    CHECK(rig_wait(&rig, was_asked, a, "the import's begin at the node"));
    rig_client_send(&client, "9x\r\n");
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 400);
    OUTCOME("unknown");
    CHECK(rig_client_wait_end(&client));
    rig_client_close(&client);
    stop();
}

/* --- validators and encodings --- */

static void not_modified(struct rig_node *node, const struct rig_request *request)
{
    (void)node;
    rig_reply(request, "HTTP/1.1 304 Not Modified\r\nETag: \"e1\"\r\nContent-Length: 1000\r\n"
                       "Vary: Accept-Encoding\r\nCache-Control: no-cache\r\n\r\n");
}

static void no_content(struct rig_node *node, const struct rig_request *request)
{
    (void)node;
    rig_reply(request, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                       "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n");
}

static void zipped(struct rig_node *node, const struct rig_request *request)
{
    (void)node;
    rig_reply(request, "HTTP/1.1 200 OK\r\nETag: \"e1-gzip\"\r\nContent-Encoding: gzip\r\n"
                       "Vary: Accept-Encoding\r\nContent-Length: 4\r\n\r\n\x1f\x8b..");
}

static void validators_and_encodings_pass_as_they_are(void)
{
    struct rig_client client;

    CHECK(start(NULL));
    rig_node_unlisten(b);
    rig_node_unlisten(c);
    a->handler = not_modified;
    CHECK(rig_client_open(&rig, &client));
    rig_client_send(&client, READ_WITH("If-None-Match: \"e1\"\r\nAccept-Encoding: gzip\r\n"));
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 304);
    CHECK_SLICE(rig_answer_header(&answer, "ETag"), "\"e1\"");
    CHECK_SLICE(rig_answer_header(&answer, "Vary"), "Accept-Encoding");
    CHECK_SLICE(rig_answer_header(&answer, "Cache-Control"), "no-cache");
    HEAD_HAS(a, "If-None-Match: \"e1\"\r\n");
    HEAD_HAS(a, "Accept-Encoding: gzip\r\n");
    /* It had no body, whatever its length said: the next answer on both connections is whole. */
    a->handler = zipped;
    rig_client_send(&client, READ_WITH("Accept-Encoding: gzip\r\n"));
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 200);
    CHECK_SLICE(kt_buf_str(&answer.body), "\x1f\x8b..");
    CHECK_SLICE(rig_answer_header(&answer, "Content-Encoding"), "gzip");
    CHECK_SLICE(rig_answer_header(&answer, "ETag"), "\"e1-gzip\"");
    a->handler = no_content;
    rig_client_send(&client, READ_WITH(""));
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 204);
    CHECK(!rig_answer_header(&answer, "Content-Length").data);
    a->handler = zipped;
    rig_client_send(&client, READ_WITH(""));
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 200);
    HEAD_LACKS(a, "If-None-Match");
    CHECK_INT(client.in.len_bytes, 0);
    rig_client_close(&client);
    stop();
}

static const struct kt_test tests[] = {
    TEST(a_session_goes_to_nodes_that_are_known_to_have_its_revision),
    TEST(a_node_that_waits_for_a_revision_is_not_taken_for_hung),
    TEST(probes_tell_of_revisions_too),
    TEST(a_session_that_a_node_cannot_serve_goes_to_the_leader),
    TEST(a_refusal_at_the_end_of_the_time_is_passed_on),
    TEST(levels_of_the_leader_never_go_elsewhere),
    TEST(a_level_that_is_none_is_for_a_node_to_refuse),
    TEST(a_time_out_of_range_is_refused),
    TEST(what_is_left_of_the_time_is_forwarded),
    TEST(a_requests_time_bounds_it_in_total),
    TEST(an_own_path_that_runs_out_of_time_is_answered_once),
    TEST(health_does_not_wait_behind_stats),
    TEST(a_feed_may_say_nothing_for_longer_than_a_request_may_last),
    TEST(an_import_that_has_been_sent_may_be_worked_on_for_long),
    TEST(a_write_whose_body_does_not_come_is_certainly_not_done),
    TEST(a_write_with_a_key_is_repeated_once_when_its_connection_broke),
    TEST(a_key_that_connection_names_reaches_the_node),
    TEST(a_refusal_of_the_second_attempt_says_nothing_of_the_first),
    TEST(an_error_of_the_second_attempt_keeps_the_doubt),
    TEST(a_leader_that_died_meanwhile_may_have_done_it),
    TEST(a_body_too_large_to_keep_is_not_repeated_under_its_key),
    TEST(an_import_whose_chunks_break_may_have_stored_a_part),
    TEST(validators_and_encodings_pass_as_they_are),
};
KT_TEST_MAIN(tests)

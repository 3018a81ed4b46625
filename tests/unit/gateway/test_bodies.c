/* SPDX-License-Identifier: MIT */
/* Bodies and answers of all framings and sizes, slow clients, slow nodes, pipelines. */
#include <uv.h>

#include "rig.h"

#include "kt_test.h"

#include "base/mem.h"

#define API "/kamaitachi/api/data/v1"
#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define MB (1024 * 1024)

static struct rig rig;
static struct rig_answer answer;
static struct rig_node *node;
static struct rig_client client;

#define BODY_HAS(text) CHECK(kt_str_find(kt_buf_str(&answer.body), kt_str(text)) >= 0)

static bool start(const char *const *settings)
{
    rig_answer_init(&answer);
    if (!rig_start(&rig, settings) || !(node = rig_node_add(&rig, "{\"n\":1}")) ||
        !rig_wait_up(&rig, 1) || !rig_lead(&rig, node)) {
        return false;
    }
    return rig_client_open(&rig, &client);
}

static void stop(void)
{
    rig_client_close(&client);
    rig_stop(&rig);
    rig_answer_done(&answer);
}

static void fill(struct kt_buf *buf, size_t size)
{
    kt_buf_init(buf, 0);
    for (size_t i = 0; buf->len_bytes < size; i++) {
        kt_buf_printf(buf, "%zu,", i * 2654435761u % 1000003);
    }
    buf->len_bytes = size;
}

static void send_with_length(const char *path, struct kt_str body)
{
    struct kt_buf text;

    kt_buf_init(&text, 0);
    kt_buf_printf(&text, "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", path,
                  body.len);
    kt_buf_append_str(&text, body);
    rig_client_send_n(&client, text.data, text.len_bytes);
    kt_buf_done(&text);
}

static void send_chunked(const char *path, struct kt_str body, size_t chunk)
{
    struct kt_buf text;

    kt_buf_init(&text, 0);
    kt_buf_printf(&text, "POST %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", path);
    for (size_t at = 0; at < body.len; at += chunk) {
        size_t len = body.len - at < chunk ? body.len - at : chunk;

        kt_buf_printf(&text, "%zx;ext\r\n", len);
        kt_buf_append(&text, body.data + at, len);
        kt_buf_append_text(&text, "\r\n");
    }
    kt_buf_append_text(&text, "0\r\nTrailer: x\r\n\r\n");
    rig_client_send_n(&client, text.data, text.len_bytes);
    kt_buf_done(&text);
}

static void pipelined_requests_are_answered_in_order(void)
{
    unsigned links;

    CHECK(start(NULL));
    links = node->links_made - node->probes;
    rig_client_send(&client, GET("/data/one") GET("/health/live") GET("/data/two")
                                 GET("/no") "POST /data" API "/snapshot HTTP/1.1\r\nHost: h\r\n"
                                            "Content-Length: 3\r\n\r\nabc" GET("/data/three"));
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_SLICE(kt_buf_str(&answer.body), "{\"n\":1}");
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_SLICE(kt_buf_str(&answer.body), "{\"status\":\"ok\"}");
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 200);
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 404);
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 200);
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 200);
    CHECK_INT(node->requests, 4);
    CHECK(node->links_made - node->probes - links <= 1); /* one connection served them all */
    stop();
}

static struct rig_link *held;

static void hold_first(struct rig_node *self, const struct rig_request *request)
{
    (void)self;
    if (request->number == 1) {
        held = request->link;
    } else {
        rig_reply(request, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext");
    }
}

static bool is_held(void *ctx)
{
    (void)ctx;
    return held != NULL;
}

/* While the first waits for its answer the buffer fills up behind it. */
static void a_pipelined_head_at_the_end_of_the_buffer_gets_its_body(void)
{
    static const char reply[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst";
    static const char head[] = "POST /data" API "/save HTTP/1.1\r\nHost: h\r\n"
                               "Content-Length: 3000\r\n\r\n";
    struct kt_buf text, body;

    for (size_t left = 0; left <= 2; left++) {
        CHECK(start(NULL));
        node->handler = hold_first;
        held = NULL;
        fill(&body, 60000);
        kt_buf_init(&text, 0);
        kt_buf_printf(&text,
                      "POST /data" API "/save HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n");
        kt_buf_append_text(&text, "X-Pad: ");
        while (text.len_bytes + 4 + body.len_bytes + sizeof(head) - 1 < 65536 - left) {
            kt_buf_append_byte(&text, 'p');
        }
        kt_buf_append_text(&text, "\r\n\r\n");
        kt_buf_append_str(&text, kt_buf_str(&body));
        kt_buf_append_text(&text, head);
        CHECK_INT(text.len_bytes, 65536 - left);
        kt_buf_append_str(&text, kt_str_n(body.data, 3000));
        rig_client_send_n(&client, text.data, text.len_bytes);
        CHECK(rig_wait(&rig, is_held, NULL, "the first request"));
        rig_turn(&rig, 50);
        rig_link_write(held, reply, sizeof(reply) - 1);
        CHECK(rig_client_take(&client, &answer, false));
        CHECK_SLICE(kt_buf_str(&answer.body), "first");
        CHECK(rig_client_take(&client, &answer, false));
        CHECK_SLICE(kt_buf_str(&answer.body), "next");
        CHECK_INT(node->last_body.len_bytes, 3000);
        kt_buf_done(&text);
        kt_buf_done(&body);
        stop();
    }
}

static void a_request_may_come_byte_by_byte(void)
{
    const char *text = "POST /data" API "/snapshot HTTP/1.1\r\nHost: h\r\nContent-Length: "
                       "5\r\n\r\nhello";

    CHECK(start(NULL));
    for (size_t i = 0; text[i]; i++) {
        rig_client_send_n(&client, text + i, 1);
        rig_turn(&rig, 1);
    }
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 200);
    CHECK_SLICE(kt_buf_str(&node->last_body), "hello");
    stop();
}

static void small_chunked_bodies_are_sent_with_a_length(void)
{
    CHECK(start(NULL));
    send_chunked("/data" API "/snapshot", KT_STR("{\"topic\":\"*\"}"), 3);
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 200);
    CHECK_SLICE(kt_buf_str(&node->last_body), "{\"topic\":\"*\"}");
    CHECK(kt_str_find(kt_buf_str(&node->last_head), KT_STR("Content-Length: 13\r\n")) > 0);
    stop();
}

/* Every size around the window and the limit up to which bodies are kept, both framings. */
static void bodies_of_all_sizes_arrive_whole(void)
{
    static const size_t sizes[] = {0,     1,     65000,  65400,  65536,  65537,
                                   70000, 99999, 100000, 100001, 300000, 2 * MB};
    static const char *const settings[] = {"proxy.retry_body_bytes=100000", NULL};
    struct kt_buf body;

    CHECK(start(settings));
    for (size_t i = 0; i < KT_ARRAY_LEN(sizes) * 2; i++) {
        size_t size = sizes[i / 2];

        fill(&body, size);
        if (i % 2) {
            send_chunked("/data" API "/import", kt_buf_str(&body), 7000);
        } else {
            send_with_length("/data" API "/import", kt_buf_str(&body));
        }
        CHECK(rig_client_take(&client, &answer, false));
        CHECK_INT(answer.status, 200);
        CHECK(kt_str_eq(kt_buf_str(&node->last_body), kt_buf_str(&body)));
        kt_buf_done(&body);
    }
    stop();
}

static bool is_stuck(void *ctx)
{
    static uint64_t before;
    static int same;
    uint64_t now = *(uint64_t *)ctx;

    same = now == before ? same + 1 : 0;
    before = now;
    return same > 100;
}

static bool was_asked(void *ctx)
{
    (void)ctx;
    return node->requests > 0;
}

static bool took_all(void *ctx)
{
    (void)ctx;
    return node->raw_bytes == 24 * MB;
}

static void a_body_streams_in_bounded_memory(void)
{
    struct kt_buf body;
    struct rig_link *link = NULL;

    CHECK(start(NULL));
    node->early = node->deaf = true;
    node->handler = rig_stay_silent;
    fill(&body, 24 * MB);
    send_with_length("/data" API "/import", kt_buf_str(&body));
    /* What the node does not read stays at the client, kernel buffers apart. */
    CHECK(rig_wait(&rig, was_asked, NULL, "the request"));
    CHECK(rig_wait(&rig, is_stuck, &client.queued_bytes, "back-pressure"));
    CHECK(node->requests == 1);
    for (link = node->links; link && !link->reading_body; link = link->next) {
    }
    CHECK(link);
    CHECK(client.queued_bytes > 0);
    node->deaf = false;
    rig_link_resume(link);
    CHECK(rig_wait(&rig, took_all, NULL, "the rest of the body"));
    rig_link_write(link, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 38);
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 200);
    kt_buf_done(&body);
    stop();
}

static void refuse_early(struct rig_node *self, const struct rig_request *request)
{
    static const char text[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nno!";

    (void)self;
    rig_link_write(request->link, text, sizeof(text) - 1);
}

static void an_answer_before_the_end_of_a_body_reaches_the_client(void)
{
    struct kt_buf body;

    CHECK(start(NULL));
    node->early = node->deaf = true;
    node->handler = refuse_early;
    fill(&body, 16 * MB);
    send_with_length("/data" API "/import", kt_buf_str(&body));
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 400);
    CHECK_SLICE(kt_buf_str(&answer.body), "no!");
    CHECK_SLICE(rig_answer_header(&answer, "Connection"), "close");
    CHECK(rig_client_wait_end(&client));
    kt_buf_done(&body);
    stop();
}

static void expect_is_answered_by_the_gateway(void)
{
    struct rig_answer interim;

    CHECK(start(NULL));
    rig_answer_init(&interim);
    rig_client_send(&client, "POST /data" API "/snapshot HTTP/1.1\r\nHost: h\r\n"
                             "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    CHECK(rig_client_take(&client, &interim, false));
    CHECK_INT(interim.status, 100);
    rig_client_send(&client, "hello");
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 200);
    CHECK(kt_str_find(kt_buf_str(&node->last_head), KT_STR("Expect")) < 0);
    rig_answer_done(&interim);
    stop();
}

static void bodies_beyond_the_limit_are_413(void)
{
    static const char *const settings[] = {"limits.body_bytes=2000", "proxy.retry_body_bytes=500",
                                           NULL};
    struct kt_buf body;

    CHECK(start(settings));
    fill(&body, 5000);
    send_with_length("/data" API "/save", kt_buf_str(&body));
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 413);
    BODY_HAS("too_large");
    CHECK_SLICE(rig_answer_header(&answer, "X-Kamaitachi-Outcome"), "none");
    CHECK(rig_client_wait_end(&client));
    CHECK_INT(node->requests, 0);
    rig_client_close(&client);
    CHECK(rig_client_open(&rig, &client));
    send_chunked("/health", kt_buf_str(&body), 100);
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 413);
    rig_client_close(&client);
    /* An import has no limit. */
    CHECK(rig_client_open(&rig, &client));
    send_with_length("/data" API "/import", kt_buf_str(&body));
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 200);
    kt_buf_done(&body);
    stop();
}

static void broken_chunks_are_400_and_never_reach_a_node(void)
{
    CHECK(start(NULL));
    rig_client_send(&client, "POST /data" API "/save HTTP/1.1\r\nHost: h\r\n"
                             "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n");
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 400);
    BODY_HAS("chunks are broken");
    CHECK(rig_client_wait_end(&client));
    CHECK_INT(node->requests, 0);
    stop();
}

static size_t large_size;

static void answer_with_length(struct rig_node *self, const struct rig_request *request)
{
    struct kt_buf body;
    char head[100];

    (void)self;
    fill(&body, large_size);
    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", large_size);
    rig_reply(request, head);
    rig_link_write(request->link, body.data ? body.data : "", body.len_bytes);
    kt_buf_done(&body);
}

static void answer_chunked(struct rig_node *self, const struct rig_request *request)
{
    struct kt_buf body, text;

    (void)self;
    fill(&body, large_size);
    kt_buf_init(&text, 0);
    kt_buf_append_text(&text, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0; at < body.len_bytes; at += 5000) {
        size_t len = body.len_bytes - at < 5000 ? body.len_bytes - at : 5000;

        kt_buf_printf(&text, "%zx\r\n", len);
        kt_buf_append(&text, body.data + at, len);
        kt_buf_append_text(&text, "\r\n");
    }
    kt_buf_append_text(&text, "0\r\n\r\n");
    rig_link_write(request->link, text.data, text.len_bytes);
    kt_buf_done(&body);
    kt_buf_done(&text);
}

static void answer_until_close(struct rig_node *self, const struct rig_request *request)
{
    struct kt_buf body;

    (void)self;
    fill(&body, large_size);
    rig_reply(request, "HTTP/1.1 200 OK\r\n\r\n");
    rig_link_write(request->link, body.data ? body.data : "", body.len_bytes);
    kt_buf_done(&body);
    rig_link_shutdown(request->link);
}

static bool check_large(const char *request)
{
    static const size_t sizes[] = {0, 1, 60000, 65300, 65536, 65600, 70000, MB};
    struct kt_buf body;
    bool same = true;

    for (size_t i = 0; same && i < KT_ARRAY_LEN(sizes); i++) {
        large_size = sizes[i];
        fill(&body, large_size);
        same = rig_call(&rig, request, &answer) && answer.status == 200 &&
               kt_str_eq(kt_buf_str(&answer.body), kt_buf_str(&body));
        kt_buf_done(&body);
    }
    return same;
}

static void answers_of_all_sizes_and_framings_arrive_whole(void)
{
    CHECK(start(NULL));
    node->handler = answer_with_length;
    CHECK(check_large(GET("/data/x")));
    CHECK(check_large("GET /data/x HTTP/1.0\r\n\r\n"));
    node->handler = answer_chunked;
    CHECK(check_large(GET("/data/x")));
    CHECK(answer.parsed.head.chunked);
    CHECK(check_large("GET /data/x HTTP/1.0\r\n\r\n"));
    CHECK(!answer.parsed.head.chunked);
    node->handler = answer_until_close;
    CHECK(check_large(GET("/data/x")));
    CHECK(answer.parsed.head.chunked);
    CHECK(check_large("GET /data/x HTTP/1.0\r\n\r\n"));
    stop();
}

static void a_client_that_does_not_read_holds_the_node_back(void)
{
    struct kt_buf body;

    CHECK(start(NULL));
    node->handler = answer_chunked;
    large_size = 24 * MB;
    rig_client_pause(&client, true);
    rig_client_send(&client, GET("/data/x"));
    rig_turn(&rig, 300);
    rig_client_pause(&client, false);
    CHECK(rig_client_take(&client, &answer, false));
    fill(&body, large_size);
    CHECK(kt_str_eq(kt_buf_str(&answer.body), kt_buf_str(&body)));
    kt_buf_done(&body);
    stop();
}

#define LONGER 500000

static int to_break; /* so many answers are not whole */

/* The first part of an answer, and nothing more if there are answers to break. */
static bool begins_to_break(const struct rig_request *request)
{
    struct kt_buf body;

    if (to_break-- <= 0) {
        return false;
    }
    fill(&body, 200000);
    rig_reply(request, "HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n");
    rig_link_write(request->link, body.data, body.len_bytes);
    kt_buf_done(&body);
    return true;
}

static void cut_off(struct rig_node *self, const struct rig_request *request)
{
    if (begins_to_break(request)) {
        rig_link_shutdown(request->link);
    } else {
        answer_with_length(self, request);
    }
}

static void fall_silent(struct rig_node *self, const struct rig_request *request)
{
    if (!begins_to_break(request)) {
        answer_with_length(self, request);
    }
}

static void an_answer_that_broke_off_is_never_taken_for_whole(void)
{
    /* Not kept at all; not kept for want of room. */
    static const char *const settings[][2] = {{"proxy.retry_answer_bytes=0", NULL},
                                              {"proxy.buffer_bytes=1m", NULL}};
    for (size_t i = 0; i < KT_ARRAY_LEN(settings); i++) {
        CHECK(start(settings[i]));
        node->handler = cut_off;
        to_break = 1;
        rig_client_send(&client, GET("/data/x"));
        CHECK(rig_client_wait_end(&client));
        CHECK(client.in.len_bytes > 100000 && client.in.len_bytes < LONGER);
        stop();
    }
}

static bool is_whole(void)
{
    struct kt_buf body;
    bool same;

    fill(&body, large_size);
    same = answer.status == 200 && kt_str_eq(kt_buf_str(&answer.body), kt_buf_str(&body));
    kt_buf_done(&body);
    return same;
}

static void a_longer_answer_that_ends_in_the_middle_is_asked_of_another(void)
{
    static const char *const settings[] = {"proxy.first_byte_ms=200", NULL};
    static void (*const handlers[])(struct rig_node *, const struct rig_request *) = {cut_off,
                                                                                      fall_silent};
    struct rig_node *other;

    CHECK(start(settings));
    CHECK((other = rig_node_add(&rig, "other")) != NULL);
    CHECK(rig_wait_up(&rig, 2));
    large_size = LONGER;
    for (size_t i = 0; i < KT_ARRAY_LEN(handlers); i++) {
        node->handler = other->handler = handlers[i];
        to_break = 1;
        rig_client_send(&client, GET("/data/x"));
        CHECK(rig_client_take(&client, &answer, false));
        CHECK(is_whole());
        CHECK_INT(to_break, -1);
    }
    /* Until there is nobody left to ask. */
    node->handler = other->handler = cut_off;
    to_break = 9;
    rig_client_send(&client, GET("/data/x"));
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 502);
    BODY_HAS("the answer was cut off");
    /* What was kept of it is not: the next has all the room. */
    to_break = 0;
    rig_client_send(&client, GET("/data/x"));
    CHECK(rig_client_take(&client, &answer, false));
    CHECK(is_whole());
    stop();
}

static void a_client_that_does_not_read_a_kept_answer_holds_no_node(void)
{
    static const char *const settings[] = {"proxy.retry_answer_bytes=64m", "proxy.buffer_bytes=1g",
                                           "proxy.pool_per_node=1", "server.loops=1", NULL};
    CHECK(start(settings));
    node->handler = answer_with_length;
    large_size = 24 * MB;
    rig_client_pause(&client, true);
    rig_client_send(&client, GET("/data/x"));
    CHECK(rig_call(&rig, GET("/data/x"), &answer));
    CHECK(is_whole());
    rig_client_pause(&client, false);
    CHECK(rig_client_take(&client, &answer, false));
    CHECK(is_whole());
    stop();
}

static bool is_let_go(void *ctx)
{
    (void)ctx;
    for (const struct rig_link *link = node->links; link; link = link->next) {
        if (link->reading_body && !link->closed) {
            return false;
        }
    }
    return true;
}

static bool has_sent_all(void *ctx)
{
    (void)ctx;
    return client.queued_bytes == 0;
}

/* The node is let go of while its client has neither sent all nor read all. */
static void a_kept_answer_may_come_before_the_end_of_the_body(void)
{
    static const char *const settings[] = {"proxy.retry_answer_bytes=64m", "proxy.buffer_bytes=1g",
                                           "proxy.retry_body_bytes=1000", NULL};
    struct kt_buf body;

    CHECK(start(settings));
    node->early = true;
    node->handler = answer_with_length;
    large_size = 24 * MB;
    fill(&body, 500000);
    rig_client_pause(&client, true);
    rig_client_send(&client, "POST /data/kamaitachi/api/data/v1/snapshot HTTP/1.1\r\nHost: h\r\n"
                             "Content-Length: 900000\r\n\r\n");
    rig_client_send_n(&client, body.data, 5000);
    CHECK(rig_wait(&rig, was_asked, NULL, "the request at the node"));
    CHECK(rig_wait(&rig, is_let_go, NULL, "the end of the node's connection"));
    rig_client_send_n(&client, body.data, body.len_bytes);
    CHECK(rig_wait(&rig, has_sent_all, NULL, "the rest of the body"));
    rig_client_pause(&client, false);
    CHECK(rig_client_take(&client, &answer, false));
    CHECK(is_whole());
    kt_buf_done(&body);
    stop();
}

static void a_leader_that_stands_still_in_an_answer_is_left_for_the_next(void)
{
    static const char *const settings[] = {"proxy.failover_wait=30000", NULL};
    struct rig_node *other;

    CHECK(start(settings));
    CHECK((other = rig_node_add(&rig, "other")) != NULL);
    CHECK(rig_wait_up(&rig, 2));
    node->handler = other->handler = fall_silent;
    to_break = 1;
    large_size = LONGER;
    rig_client_send(&client, "GET /data/x HTTP/1.1\r\nHost: h\r\n"
                             "X-Kamaitachi-Consistency: leader\r\n\r\n");
    CHECK(rig_wait(&rig, was_asked, NULL, "the request at the leader"));
    CHECK(rig_lead(&rig, other));
    CHECK(rig_client_take(&client, &answer, false));
    CHECK(is_whole());
    CHECK_INT(other->requests, 1);
    stop();
}

static void head_answers_have_a_length_and_no_body(void)
{
    CHECK(start(NULL));
    rig_client_send(&client, "HEAD /data/x HTTP/1.1\r\nHost: h\r\n\r\n" GET("/data/y"));
    CHECK(rig_client_take(&client, &answer, true));
    CHECK_INT(answer.parsed.head.content_length, 7);
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_SLICE(kt_buf_str(&answer.body), "{\"n\":1}");
    stop();
}

static void http_1_0_is_kept_alive_only_when_asked(void)
{
    CHECK(start(NULL));
    rig_client_send(&client, "GET /data/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_SLICE(rig_answer_header(&answer, "Connection"), "keep-alive");
    rig_client_send(&client, "GET /data/x HTTP/1.0\r\n\r\n");
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_SLICE(rig_answer_header(&answer, "Connection"), "close");
    CHECK(rig_client_wait_end(&client));
    stop();
}

static void a_client_that_ended_its_side_still_gets_its_answer(void)
{
    CHECK(start(NULL));
    rig_client_send(&client, GET("/data/x"));
    rig_client_shutdown(&client);
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 200);
    CHECK(rig_client_wait_end(&client));
    stop();
}

static void slow_heads_and_idle_connections_are_closed(void)
{
    static const char *const settings[] = {"server.head_timeout_ms=200",
                                           "server.idle_timeout_ms=300", NULL};

    CHECK(start(settings));
    rig_client_send(&client, "GET /data/x HTT");
    CHECK(rig_client_wait_end(&client));
    rig_client_close(&client);
    CHECK(rig_client_open(&rig, &client));
    rig_client_send(&client, GET("/data/x"));
    CHECK(rig_client_take(&client, &answer, false));
    CHECK(rig_client_wait_end(&client));
    stop();
}

static void a_body_that_stops_coming_is_given_up(void)
{
    static const char *const settings[] = {"proxy.timeout_ms=300", "proxy.stream_idle_ms=300",
                                           NULL};

    CHECK(start(settings));
    rig_client_send(&client, "POST /data" API "/save HTTP/1.1\r\nHost: h\r\n"
                             "Content-Length: 5\r\n\r\nhel");
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 503);
    CHECK_SLICE(rig_answer_header(&answer, "X-Kamaitachi-Outcome"), "none");
    CHECK(rig_client_wait_end(&client));
    CHECK_INT(node->requests, 0);
    stop();
}

static const struct kt_test tests[] = {
    TEST(pipelined_requests_are_answered_in_order),
    TEST(a_pipelined_head_at_the_end_of_the_buffer_gets_its_body),
    TEST(a_request_may_come_byte_by_byte),
    TEST(small_chunked_bodies_are_sent_with_a_length),
    TEST(bodies_of_all_sizes_arrive_whole),
    TEST(a_body_streams_in_bounded_memory),
    TEST(an_answer_before_the_end_of_a_body_reaches_the_client),
    TEST(expect_is_answered_by_the_gateway),
    TEST(bodies_beyond_the_limit_are_413),
    TEST(broken_chunks_are_400_and_never_reach_a_node),
    TEST(answers_of_all_sizes_and_framings_arrive_whole),
    TEST(a_client_that_does_not_read_holds_the_node_back),
    TEST(an_answer_that_broke_off_is_never_taken_for_whole),
    TEST(a_longer_answer_that_ends_in_the_middle_is_asked_of_another),
    TEST(a_client_that_does_not_read_a_kept_answer_holds_no_node),
    TEST(a_kept_answer_may_come_before_the_end_of_the_body),
    TEST(a_leader_that_stands_still_in_an_answer_is_left_for_the_next),
    TEST(head_answers_have_a_length_and_no_body),
    TEST(http_1_0_is_kept_alive_only_when_asked),
    TEST(a_client_that_ended_its_side_still_gets_its_answer),
    TEST(slow_heads_and_idle_connections_are_closed),
    TEST(a_body_that_stops_coming_is_given_up),
};
KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
/* Nodes that answer what is no answer, and clients that want to be a burden. */
#include <uv.h>

#include "rig.h"

#include "kt_test.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdlib.h>

#define API "/kamaitachi/api/data/v1"
#define READ "GET /data" API "/snapshot HTTP/1.1\r\nHost: h\r\n\r\n"
#define WRITE "POST /data" API "/save HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
#define LIVE "GET /health/live HTTP/1.1\r\nHost: h\r\n\r\n"

static struct rig rig;
static struct rig_answer answer;
static struct rig_node *node;

#define BODY_HAS(text) CHECK(kt_str_find(kt_buf_str(&answer.body), kt_str(text)) >= 0)

static bool start(const char *const *settings)
{
    rig_answer_init(&answer);
    return rig_start(&rig, settings) && (node = rig_node_add(&rig, "fine")) &&
           rig_wait_up(&rig, 1) && rig_lead(&rig, node);
}

static void stop(void)
{
    rig_stop(&rig);
    rig_answer_done(&answer);
}

/* --- nodes --- */

#define OK_LINE "HTTP/1.1 200 OK\r\n"

static const char *const no_answers[] = {
    OK_LINE "Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody",
    OK_LINE "Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody!",
    OK_LINE "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    OK_LINE "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    OK_LINE "Transfer-Encoding: gzip, chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    OK_LINE "Transfer-Encoding: identity\r\n\r\nbody",
    OK_LINE "Content-Length: +4\r\n\r\nbody",
    OK_LINE "Content-Length: 4,4\r\n\r\nbody",
    OK_LINE "Content-Length: 0x4\r\n\r\nbody",
    OK_LINE "Content-Length:\r\n\r\nbody",
    OK_LINE "Content-Length: 99999999999999999999\r\n\r\nbody",
    OK_LINE "Content-Length : 4\r\n\r\nbody",
    OK_LINE "X: a\r\n folded\r\nContent-Length: 4\r\n\r\nbody",
    OK_LINE "no colon\r\nContent-Length: 4\r\n\r\nbody",
    OK_LINE "X: a\rb\r\nContent-Length: 4\r\n\r\nbody",
    "HTTP/1.1 200 OK\nContent-Length: 4\n\nbody",
    "\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
    "HTTP/2 200 OK\r\nContent-Length: 4\r\n\r\nbody",
    "HTTP/1.1 99 Low\r\nContent-Length: 4\r\n\r\nbody",
    "HTTP/1.1 600 High\r\nContent-Length: 4\r\n\r\nbody",
    "HTTP/1.1 2000 Long\r\nContent-Length: 4\r\n\r\nbody",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "HTTP/1.1\r\n\r\n",
    "SSH-2.0-OpenSSH\r\n",
    "\x15\x03\x01\x00\x02\x02\x16\x00\x00\x00\x00\x00\x00",
    OK_LINE "Transfer-Encoding: chunked\r\n\r\nzz\r\nbody\r\n0\r\n\r\n",
    OK_LINE "Transfer-Encoding: chunked\r\n\r\n-4\r\nbody\r\n0\r\n\r\n",
    OK_LINE "Transfer-Encoding: chunked\r\n\r\n4\nbody\r\n0\r\n\r\n",
    OK_LINE "Transfer-Encoding: chunked\r\n\r\n4\r\nbodyX\r\n0\r\n\r\n",
};

static const char *raw;
static size_t raw_len;

static void say(struct rig_node *self, const struct rig_request *request)
{
    (void)self;
    rig_link_write(request->link, raw, raw_len ? raw_len : strlen(raw));
}

static void what_is_no_answer_is_502_to_a_read_and_unknown_to_a_write(void)
{
    void (*fine)(struct rig_node *, const struct rig_request *);

    CHECK(start(NULL));
    fine = node->handler;
    for (size_t i = 0; i < KT_ARRAY_LEN(no_answers); i++) {
        raw = no_answers[i];
        raw_len = 0;
        node->handler = say;
        CHECK(rig_call(&rig, READ, &answer));
        if (answer.status != 502) {
            kt_test_fail(__FILE__, __LINE__, "answer %zu gives %d", i, answer.status);
            return;
        }
        BODY_HAS("\"code\":\"bad_gateway\"");
        CHECK(rig_call(&rig, WRITE, &answer));
        CHECK_INT(answer.status, 504);
        CHECK_SLICE(rig_answer_header(&answer, "X-Kamaitachi-Outcome"), "unknown");
        /* Nothing of it is left on a connection that the next one gets. */
        node->handler = fine;
        CHECK(rig_call(&rig, READ, &answer));
        CHECK_INT(answer.status, 200);
        CHECK_SLICE(kt_buf_str(&answer.body), "fine");
    }
    stop();
}

static void a_head_without_end_is_given_up(void)
{
    struct kt_buf text;

    CHECK(start(NULL));
    kt_buf_init(&text, 0);
    kt_buf_append_text(&text, OK_LINE);
    while (text.len_bytes < 100000) {
        kt_buf_append_text(&text, "X-Long: 0123456789012345678901234567890123456789\r\n");
    }
    raw = text.data;
    raw_len = text.len_bytes;
    node->handler = say;
    CHECK(rig_call(&rig, READ, &answer));
    CHECK_INT(answer.status, 502);
    kt_buf_done(&text);
    stop();
}

static void bytes_behind_an_answer_never_reach_the_next_client(void)
{
    static const char *const behind[] = {
        OK_LINE "Content-Length: 4\r\n\r\nbody" OK_LINE "Content-Length: 4\r\n\r\nevil",
        OK_LINE "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\nbody",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nbody",
    };
    void (*fine)(struct rig_node *, const struct rig_request *);

    CHECK(start(NULL));
    fine = node->handler;
    for (size_t i = 0; i < KT_ARRAY_LEN(behind); i++) {
        struct rig_client client;

        raw = behind[i];
        raw_len = 0;
        node->handler = say;
        CHECK(rig_client_open(&rig, &client));
        rig_client_send(&client, READ);
        CHECK(rig_client_take(&client, &answer, false));
        CHECK(answer.status == 200 || answer.status == 204 || answer.status == 304);
        node->handler = fine;
        rig_client_send(&client, READ);
        CHECK(rig_client_take(&client, &answer, false));
        CHECK_SLICE(kt_buf_str(&answer.body), "fine");
        CHECK_INT(client.in.len_bytes, 0);
        rig_client_close(&client);
    }
    stop();
}

static void chunks_that_break_later_break_the_clients_connection(void)
{
    struct rig_client client;
    struct kt_buf text;

    CHECK(start(NULL));
    kt_buf_init(&text, 0);
    kt_buf_append_text(&text, OK_LINE "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 40; i++) {
        kt_buf_append_text(&text, "1000\r\n");
        for (int k = 0; k < 4096; k++) {
            kt_buf_append_byte(&text, 'x');
        }
        kt_buf_append_text(&text, "\r\n");
    }
    kt_buf_append_text(&text, "0x4\r\nevil\r\n0\r\n\r\n");
    raw = text.data;
    raw_len = text.len_bytes;
    node->handler = say;
    CHECK(rig_client_open(&rig, &client));
    rig_client_send(&client, READ);
    CHECK(rig_client_wait_end(&client));
    CHECK(client.in.len_bytes > 0);
    CHECK(kt_str_find(kt_buf_str(&client.in), KT_STR("evil")) < 0);
    CHECK(kt_str_find(kt_buf_str(&client.in), KT_STR("\r\n0\r\n\r\n")) < 0);
    rig_client_close(&client);
    kt_buf_done(&text);
    stop();
}

/* --- clients --- */

static bool asked_at_least(void *ctx)
{
    return node->requests >= *(unsigned *)ctx;
}

static void bodies_beyond_the_budget_are_streamed(void)
{
    static const char *const settings[] = {"server.loops=1", "proxy.buffer_bytes=1m", NULL};
    static const char *const heads[] = {"Content-Length: 400000\r\n\r\n0123456789",
                                        "Transfer-Encoding: chunked\r\n\r\n40000\r\n"};
    struct rig_client clients[4];
    unsigned wanted = 1;
    char *zeros = calloc(1, 0x40000);

    CHECK(start(settings));
    node->early = true;
    node->handler = rig_stay_silent;
    for (size_t i = 0; i < 3; i++) {
        CHECK(rig_client_open(&rig, &clients[i]));
        rig_client_send(&clients[i], "POST /data" API "/snapshot HTTP/1.1\r\nHost: h\r\n");
        rig_client_send(&clients[i], heads[0]);
    }
    /* Two are kept until they are whole; there is no room for the third. */
    CHECK(rig_wait(&rig, asked_at_least, &wanted, "a body that is passed on at once"));
    rig_turn(&rig, 50);
    CHECK_INT(node->requests, 1);
    /* Without a length it is kept until the room ends. */
    CHECK(rig_client_open(&rig, &clients[3]));
    rig_client_send(&clients[3], "POST /data" API "/snapshot HTTP/1.1\r\nHost: h\r\n");
    rig_client_send(&clients[3], heads[1]);
    rig_client_send_n(&clients[3], zeros, 0x40000);
    wanted = 2;
    CHECK(rig_wait(&rig, asked_at_least, &wanted, "chunks that are passed on"));
    /* Operators are judged with their body: for them there is no other way. */
    CHECK(rig_call(&rig,
                   "POST /data/cluster/failover HTTP/1.1\r\nHost: h\r\nContent-Type: "
                   "application/json\r\nContent-Length: 400000\r\n\r\n",
                   &answer));
    CHECK_INT(answer.status, 503);
    BODY_HAS("buffer_bytes");
    for (size_t i = 0; i < 4; i++) {
        rig_client_close(&clients[i]);
    }
    /* What is over counts no more. */
    node->early = false;
    CHECK(rig_client_open(&rig, &clients[0]));
    rig_client_send(&clients[0], "POST /data" API "/snapshot HTTP/1.1\r\nHost: h\r\n");
    rig_client_send(&clients[0], heads[0]);
    rig_turn(&rig, 50);
    CHECK_INT(node->requests, 2);
    rig_client_close(&clients[0]);
    free(zeros);
    stop();
}

static void silent_connections_make_room_for_new_ones(void)
{
    static const char *const settings[] = {"server.max_connections=8", "server.loops=1", NULL};
    struct rig_client silent[8], real;

    CHECK(start(settings));
    for (size_t i = 0; i < KT_ARRAY_LEN(silent); i++) {
        CHECK(rig_client_open(&rig, &silent[i]));
    }
    for (int i = 0; i < 20; i++) {
        CHECK(rig_call(&rig, READ, &answer));
        CHECK_INT(answer.status, 200);
    }
    /* Who asked something goes after those who never did. */
    CHECK(rig_client_open(&rig, &real));
    rig_client_send(&real, READ);
    CHECK(rig_client_take(&real, &answer, false));
    for (size_t i = 0; i < KT_ARRAY_LEN(silent); i++) {
        rig_client_close(&silent[i]);
        CHECK(rig_client_open(&rig, &silent[i]));
    }
    rig_client_send(&real, READ);
    CHECK(rig_client_take(&real, &answer, false));
    CHECK_INT(answer.status, 200);
    for (size_t i = 0; i < KT_ARRAY_LEN(silent); i++) {
        rig_client_close(&silent[i]);
    }
    rig_client_close(&real);
    /* Those that were refused and don't go neither. */
    for (size_t i = 0; i < KT_ARRAY_LEN(silent); i++) {
        CHECK(rig_client_open(&rig, &silent[i]));
        rig_client_send(&silent[i], "nonsense\r\n\r\n");
        CHECK(rig_client_take(&silent[i], &answer, false));
        CHECK_INT(answer.status, 400);
    }
    for (int i = 0; i < 20; i++) {
        CHECK(rig_call(&rig, READ, &answer));
        CHECK_INT(answer.status, 200);
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(silent); i++) {
        rig_client_close(&silent[i]);
    }
    stop();
}

static void drips_and_noise_hold_nobody_up(void)
{
    struct rig_client drips[60];
    uint64_t seed = 1;

    CHECK(start(NULL));
    for (size_t i = 0; i < KT_ARRAY_LEN(drips); i++) {
        CHECK(rig_client_open(&rig, &drips[i]));
        rig_client_send(&drips[i], "GET /data" API "/snapshot HTTP/1.1\r\nHost: h\r\nX-");
    }
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < KT_ARRAY_LEN(drips); i++) {
            rig_client_send(&drips[i], "a");
        }
        CHECK(rig_call(&rig, READ, &answer));
        CHECK_INT(answer.status, 200);
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(drips); i++) {
        rig_client_send(&drips[i], ": b\r\n\r\n");
        CHECK(rig_client_take(&drips[i], &answer, false));
        CHECK_INT(answer.status, 200);
        rig_client_close(&drips[i]);
    }
    for (int i = 0; i < 40; i++) {
        struct rig_client client;
        char noise[512];

        for (size_t k = 0; k < sizeof(noise); k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            noise[k] = (char)(seed >> 56);
        }
        CHECK(rig_client_open(&rig, &client));
        rig_client_send_n(&client, noise, sizeof(noise));
        rig_client_shutdown(&client);
        CHECK(rig_client_wait_end(&client));
        rig_client_close(&client);
    }
    CHECK(rig_call(&rig, LIVE, &answer));
    CHECK_INT(answer.status, 200);
    stop();
}

static bool no_idle_links(void *ctx)
{
    unsigned open = 0;

    (void)ctx;
    for (struct rig_link *link = node->links; link; link = link->next) {
        open += !link->closed;
    }
    return open == 0;
}

static void connections_that_nobody_needs_are_closed(void)
{
    static const char *const settings[] = {"proxy.pool_idle_ms=300", "health.interval_ms=60000",
                                           NULL};
    struct rig_client clients[10];

    CHECK(start(settings));
    for (size_t i = 0; i < KT_ARRAY_LEN(clients); i++) {
        CHECK(rig_client_open(&rig, &clients[i]));
        rig_client_send(&clients[i], READ);
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(clients); i++) {
        CHECK(rig_client_take(&clients[i], &answer, false));
        CHECK_INT(answer.status, 200);
    }
    /* Each would occupy a thread of the node. The clients are still there. */
    CHECK(rig_wait(&rig, no_idle_links, NULL, "a node without connections"));
    for (size_t i = 0; i < KT_ARRAY_LEN(clients); i++) {
        rig_client_send(&clients[i], READ);
        CHECK(rig_client_take(&clients[i], &answer, false));
        CHECK_INT(answer.status, 200);
        rig_client_close(&clients[i]);
    }
    stop();
}

static void own_answers_are_tagged_and_not_sent_again(void)
{
    char etag[64], text[256];

    CHECK(start(NULL));
    CHECK(rig_call(&rig, "GET /version HTTP/1.1\r\nHost: h\r\n\r\n", &answer));
    CHECK_INT(answer.status, 200);
    CHECK_SLICE(rig_answer_header(&answer, "Cache-Control"), "no-cache");
    kt_str_copy(etag, sizeof(etag), rig_answer_header(&answer, "ETag"));
    CHECK(etag[0] == '"');
    snprintf(text, sizeof(text), "GET /version HTTP/1.1\r\nHost: h\r\nIf-None-Match: %s\r\n\r\n",
             etag);
    CHECK(rig_call(&rig, text, &answer));
    CHECK_INT(answer.status, 304);
    CHECK_INT(answer.body.len_bytes, 0);
    CHECK(rig_call(&rig, "HEAD /version HTTP/1.1\r\nHost: h\r\n\r\n", &answer));
    CHECK_INT(answer.status, 200);
    CHECK(rig_answer_header(&answer, "Content-Length").len > 1);
    CHECK(rig_call(&rig, LIVE, &answer));
    CHECK(!rig_answer_header(&answer, "ETag").data);
    stop();
}

static const struct kt_test tests[] = {
    TEST(what_is_no_answer_is_502_to_a_read_and_unknown_to_a_write),
    TEST(a_head_without_end_is_given_up),
    TEST(bytes_behind_an_answer_never_reach_the_next_client),
    TEST(chunks_that_break_later_break_the_clients_connection),
    TEST(bodies_beyond_the_budget_are_streamed),
    TEST(silent_connections_make_room_for_new_ones),
    TEST(drips_and_noise_hold_nobody_up),
    TEST(connections_that_nobody_needs_are_closed),
    TEST(own_answers_are_tagged_and_not_sent_again),
};
KT_TEST_MAIN(tests)

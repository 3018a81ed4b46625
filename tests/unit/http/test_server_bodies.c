/* SPDX-License-Identifier: MIT */
#include "wire.h"

#include "../kt_test.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"
#include "http/access.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct wire wire;
static struct wire_answer answer;
static uint16_t port;

static bool start(void)
{
    if (!world_start()) {
        return false;
    }
    port = kt_http_server_port(world);
    return wire_open(&wire, port);
}

static bool begin(void)
{
    world_defaults();
    return start();
}

static void end(void)
{
    wire_close(&wire);
    wire_answer_free(&answer);
    world_stop();
}

static bool still_serves(void)
{
    bool serves;

    wire_answer_free(&answer);
    serves = wire_text(&wire, "GET /what HTTP/1.1\r\nHost: x\r\n\r\n") &&
             wire_answer(&wire, &answer, false) && answer.status == 200;
    return serves;
}

/* After chunks the connection ends: where they end is not for the library to say. */
static bool ends(void)
{
    return strcmp(wire_header(&answer, "Connection"), "close") == 0 && wire_ends(&wire, 5000) &&
           wire.len == 0;
}

static void a_body_in_many_pieces_arrives_whole(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2600\r\n\r\n"));
    for (int i = 0; i < 100; i++) {
        CHECK(wire_text(&wire, "abcdefghijklmnopqrstuvwxyz"));
    }
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.body_len, 2600);
    CHECK(strncmp(answer.body + 2574, "abcdefghijklmnopqrstuvwxyz", 26) == 0);
    CHECK(still_serves());
    end();
}

static void a_body_of_exactly_the_bound_is_accepted(void)
{
    static char body[100000];

    CHECK(begin());
    memset(body, 'b', sizeof(body));
    CHECK(wire_text(&wire, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"));
    CHECK(wire_send(&wire, body, sizeof(body)));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 200);
    CHECK_INT(answer.body_len, 100000);
    CHECK(still_serves());
    end();
}

static void a_larger_body_is_413_and_unread(void)
{
    static char body[300000];

    CHECK(begin());
    memset(body, 'b', sizeof(body));
    CHECK(wire_text(&wire, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n"));
    CHECK(wire_send(&wire, body, sizeof(body)));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 413);
    CHECK_STR(wire_header(&answer, "Connection"), "close");
    CHECK(strstr(answer.body, "too_large") != NULL);
    CHECK(wire_ends(&wire, 5000));
    CHECK(!wire.reset);
    end();
}

static void chunks_are_put_together(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                           "5\r\nhello\r\n"));
    CHECK(wire_text(&wire, "1\r\n \r\n00A\r\n0123"));
    CHECK(wire_text(&wire, "456789\r\n0\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 200);
    CHECK_STR(answer.body, "hello 0123456789");
    CHECK(ends());
    end();
}

/* Chunks are read past the library, behind what it has taken already of the connection. */
static void chunks_are_found_behind_earlier_requests(void)
{
    static const char *const before[] = {
        "",
        "\r\nGET /what HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde",
        "POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde",
        "POST /pull HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde",
    };
    static const char head[] =
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    static const char body[] = "5\r\nhello\r\nc\r\n and more...\r\n0\r\nTrailer: x\r\n\r\n";

    CHECK(begin());
    for (size_t i = 0; i < KT_ARRAY_LEN(before); i++) {
        for (size_t cut = 0; cut < sizeof(body) - 1; cut += 7) {
            wire_close(&wire);
            CHECK(wire_open(&wire, port));
            /* Several of them, all in one with the head and the first part of the chunks. */
            for (int n = 0; n < 3 && before[i][0]; n++) {
                CHECK(wire_text(&wire, before[i]));
            }
            CHECK(wire_text(&wire, head));
            CHECK(wire_send(&wire, body, cut));
            for (int n = 0; n < 3 && before[i][0]; n++) {
                wire_answer_free(&answer);
                CHECK(wire_answer(&wire, &answer, false));
            }
            CHECK(wire_send(&wire, body + cut, sizeof(body) - 1 - cut));
            wire_answer_free(&answer);
            CHECK(wire_answer(&wire, &answer, false));
            CHECK_STR(answer.body, "hello and more...");
            CHECK(ends());
        }
    }
    end();
}

static void a_large_chunked_body_arrives_whole(void)
{
    static char body[90000];

    CHECK(begin());
    for (size_t i = 0; i < sizeof(body); i++) {
        body[i] = (char)('a' + i % 26);
    }
    CHECK(wire_text(&wire, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"));
    for (int i = 0; i < 9; i++) {
        CHECK(wire_text(&wire, "2710\r\n"));
        CHECK(wire_send(&wire, body + i * 10000, 10000));
        CHECK(wire_text(&wire, "\r\n"));
    }
    CHECK(wire_text(&wire, "0\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.body_len, sizeof(body));
    CHECK(memcmp(answer.body, body, sizeof(body)) == 0);
    CHECK(ends());
    end();
}

#define LARGE 90000

/* A POST of LARGE bytes of this character. */
static bool send_large(struct wire *to, const char *path, char what)
{
    static char body[LARGE];
    char head[200];

    memset(body, what, sizeof(body));
    snprintf(head, sizeof(head), "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", path,
             LARGE);
    return wire_open(to, port) && wire_text(to, head) && wire_send(to, body, sizeof(body));
}

static bool begin_with_memory(int64_t bytes)
{
    world_defaults();
    world_options.body_memory_bytes = bytes;
    if (!world_start()) {
        return false;
    }
    port = kt_http_server_port(world);
    return true;
}

static void pause_ms(int ms)
{
    int64_t deadline_ms = kt_now_mono_ms() + ms;

    while (kt_now_mono_ms() < deadline_ms) {
        (void)wire_ends(&wire, 5);
        if (wire.ended || wire.len > 0) {
            return;
        }
    }
}

static void wait_for_gate(void)
{
    int64_t deadline_ms = kt_now_mono_ms() + WIRE_WAIT_MS;

    while (atomic_load(&world_gated) == 0 && kt_now_mono_ms() < deadline_ms) {
        kt_test_pause();
    }
}

/* The end of a stream counts like a byte where the system tells what has come in, and not where it
 * tells what waits to be read. */
static void chunks_are_whole_when_the_client_ended_its_side(void)
{
    static const char body[] = "5\r\nhello\r\nc\r\n and more...\r\n0\r\n\r\n";

    CHECK(begin());
    for (size_t cut = 0; cut < sizeof(body); cut++) {
        atomic_store(&world_gate, false);
        wire_close(&wire);
        CHECK(wire_open(&wire, port));
        CHECK(wire_text(&wire, "POST /late HTTP/1.1\r\nHost: x\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n"));
        CHECK(wire_send(&wire, body, cut));
        wait_for_gate();
        CHECK(wire_send(&wire, body + cut, sizeof(body) - 1 - cut));
        CHECK(wire_finish(&wire));
        pause_ms(5);
        atomic_store(&world_gate, true);
        wire_answer_free(&answer);
        CHECK(wire_answer(&wire, &answer, false));
        CHECK_STR(answer.body, "hello and more...OK");
    }
    end();
}

static void large_bodies_share_a_bounded_memory(void)
{
    struct wire second;

    CHECK(begin_with_memory(600000));
    CHECK(send_large(&wire, "/gate", 'x'));
    wait_for_gate();
    CHECK(send_large(&second, "/echo", 'x'));
    CHECK(wire_answer(&second, &answer, false));
    CHECK_INT(answer.status, 503);
    CHECK_STR(wire_header(&answer, "Retry-After"), "1");
    CHECK_STR(wire_header(&answer, "Connection"), "close");
    CHECK(strstr(answer.body, "\"code\":\"busy\"") != NULL);
    wire_close(&second);
    wire_answer_free(&answer);
    /* Small ones are not concerned. */
    CHECK_INT(
        wire_once(port, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi", &answer),
        200);
    wire_answer_free(&answer);
    atomic_store(&world_gate, true);
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 200);
    wire_answer_free(&answer);
    wire_close(&wire);
    CHECK(send_large(&wire, "/echo", 'x'));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.body_len, LARGE);
    end();
}

static void a_large_body_waits_for_memory_that_is_given_back_soon(void)
{
    struct wire second;
    int64_t until_ms;

    CHECK(begin_with_memory(600000));
    CHECK(send_large(&wire, "/gate", 'x'));
    wait_for_gate();
    CHECK(send_large(&second, "/echo", 'x'));
    until_ms = kt_now_mono_ms() + 100;
    while (kt_now_mono_ms() < until_ms) {
        kt_test_pause();
    }
    atomic_store(&world_gate, true);
    CHECK(wire_answer(&second, &answer, false));
    CHECK_INT(answer.status, 200);
    CHECK_INT(answer.body_len, LARGE);
    wire_close(&second);
    end();
}

static void large_answers_share_it_too(void)
{
    int64_t deadline_ms = kt_now_mono_ms() + WIRE_WAIT_MS;
    struct wire second;

    CHECK(begin_with_memory(600000));
    CHECK(send_large(&wire, "/gate", 'x'));
    wait_for_gate();
    CHECK(wire_open(&second, port));
    CHECK(wire_text(&second, "GET /big HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"));
    CHECK(wire_answer(&second, &answer, false));
    CHECK_INT(answer.status, 503);
    CHECK(strstr(answer.body, "too many large answers") != NULL);
    wire_answer_free(&answer);
    atomic_store(&world_gate, true);
    CHECK(wire_answer(&wire, &answer, false));
    wire_answer_free(&answer);
    /* The first gives its share back a moment after its answer. */
    do {
        wire_answer_free(&answer);
        CHECK(wire_text(&second, "GET /big HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"));
        CHECK(wire_answer(&second, &answer, false));
        kt_test_pause();
    } while (answer.status == 503 && kt_now_mono_ms() < deadline_ms);
    CHECK_INT(answer.status, 200);
    wire_close(&second);
    end();
}

/* What counts is what a body becomes: the same length in many values takes forty times as much. */
static void a_body_of_many_values_counts_for_what_it_becomes(void)
{
    struct wire second;

    CHECK(begin_with_memory(8 << 20));
    CHECK(send_large(&wire, "/gate", ','));
    wait_for_gate();
    CHECK(send_large(&second, "/echo", 'x'));
    CHECK(wire_answer(&second, &answer, false));
    CHECK_INT(answer.status, 503);
    CHECK_STR(wire_header(&answer, "Connection"), ""); /* it was read to its end */
    wire_close(&second);
    wire_answer_free(&answer);
    atomic_store(&world_gate, true);
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 200); /* more than there is, but alone */
    end();
}

static void chunks_beyond_the_bound_are_413(void)
{
    static char chunk[10000];

    CHECK(begin());
    memset(chunk, 'c', sizeof(chunk));
    CHECK(wire_text(&wire, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"));
    for (int i = 0; i < 12; i++) {
        (void)wire_text(&wire, "2710\r\n");
        (void)wire_send(&wire, chunk, sizeof(chunk));
        (void)wire_text(&wire, "\r\n");
    }
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 413);
    CHECK(wire_ends(&wire, 5000));
    end();
}

static void broken_chunks_are_400_and_end_the_connection(void)
{
    static const char *const table[] = {
        "5\r\nhelloX\r\n0\r\n\r\n",
        "x\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    };

    CHECK(begin());
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        wire_close(&wire);
        CHECK(wire_open(&wire, port));
        CHECK(wire_text(&wire,
                        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"));
        CHECK(wire_text(&wire, table[i]));
        (void)wire_text(&wire, "GET /what HTTP/1.1\r\nHost: x\r\n\r\n");
        CHECK(wire_answer(&wire, &answer, false));
        if (answer.status != 400) {
            kt_test_fail(__FILE__, __LINE__, "%d to %s", answer.status, table[i]);
            return;
        }
        CHECK(strstr(answer.body, "\"bad_request\"") != NULL);
        CHECK_STR(wire_header(&answer, "Connection"), "close");
        wire_answer_free(&answer);
        CHECK(wire_ends(&wire, 5000));
        CHECK_INT(wire.len, 0);
    }
    CHECK_INT(atomic_load(&world_handled), 0);
    end();
}

/* The library takes a body to be whole at its last chunk and does not look at what follows; then
 * the connection must end, for nobody knows where the next request begins. */
static void a_trailer_ends_the_connection(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                           "5\r\nhello\r\n0\r\nX-Trailer: y\r\n\r\n"
                           "GET /what HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_STR(answer.body, "hello");
    CHECK(wire_ends(&wire, 5000));
    CHECK_INT(wire.len, 0);
    end();
}

static void a_body_that_ends_early_is_400(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"));
    CHECK(wire_finish(&wire));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 400);
    CHECK(strstr(answer.body, "ended before") != NULL);
    CHECK_INT(atomic_load(&world_handled), 0);
    end();
}

static void a_client_that_waits_for_100_is_told_to_go_on(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\n"
                           "Content-Length: 4\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 100);
    wire_answer_free(&answer);
    CHECK(wire_text(&wire, "body"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 200);
    CHECK_STR(answer.body, "body");
    CHECK(still_serves());
    end();
}

static void a_client_that_waits_for_100_learns_of_a_refusal_first(void)
{
    static const struct {
        const char *path, *length;
        int status;
    } table[] = {{"/nothing", "4", 404}, {"/echo", "200000", 413}, {"/stream", "4", 405}};

    CHECK(begin());
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        char text[200];

        wire_close(&wire);
        CHECK(wire_open(&wire, port));
        snprintf(
            text, sizeof(text),
            "POST %s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %s\r\n\r\n",
            table[i].path, table[i].length);
        CHECK(wire_text(&wire, text));
        CHECK(wire_answer(&wire, &answer, false));
        CHECK_INT(answer.status, table[i].status);
        CHECK_STR(wire_header(&answer, "Connection"), "close");
        wire_answer_free(&answer);
    }
    end();
}

static void a_pulled_body_waits_with_100_until_it_is_asked_for(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "POST /pull HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                           "Transfer-Encoding: chunked\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 100);
    wire_answer_free(&answer);
    CHECK(wire_text(&wire, "4\r\nbody\r\n0\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_STR(answer.body, "pulled=4 status=OK");
    CHECK(ends());
    end();
}

static void a_pulled_body_has_no_bound(void)
{
    static char piece[50000];

    CHECK(begin());
    memset(piece, 'p', sizeof(piece));
    CHECK(wire_text(&wire, "POST /pull HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"));
    for (int i = 0; i < 20; i++) {
        CHECK(wire_send(&wire, piece, sizeof(piece)));
    }
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_STR(answer.body, "pulled=1000000 status=OK");
    CHECK(still_serves());
    wire_answer_free(&answer);
    CHECK(wire_text(&wire, "POST /pull HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"));
    for (int i = 0; i < 20; i++) {
        CHECK(wire_text(&wire, "c350\r\n"));
        CHECK(wire_send(&wire, piece, sizeof(piece)));
        CHECK(wire_text(&wire, "\r\n"));
    }
    CHECK(wire_text(&wire, "0\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_STR(answer.body, "pulled=1000000 status=OK");
    CHECK(ends());
    end();
}

static void an_empty_pulled_body_ends_at_once(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "POST /pull HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_STR(answer.body, "pulled=0 status=OK");
    CHECK(still_serves());
    end();
}

static void a_pulled_body_tells_why_it_broke(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "POST /pull HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                           "5\r\nhelloX\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK(strstr(answer.body, "status=BAD_REQUEST") != NULL);
    CHECK(wire_ends(&wire, 5000));
    wire_answer_free(&answer);
    wire_close(&wire);
    CHECK(wire_open(&wire, port));
    CHECK(wire_text(&wire, "POST /pull HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"));
    CHECK(wire_finish(&wire));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_STR(answer.body, "pulled=4 status=IO");
    wire_answer_free(&answer);
    wire_close(&wire);
    CHECK(wire_open(&wire, port));
    CHECK(wire_text(&wire, "POST /pull HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                           "5\r\nhe"));
    CHECK(wire_finish(&wire));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK(strstr(answer.body, "status=IO") != NULL);
    end();
}

static void a_body_that_is_not_read_to_its_end_closes(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "POST /half HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\n"
                           "GET /what HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_STR(answer.body, "half");
    CHECK_STR(wire_header(&answer, "Connection"), "close");
    CHECK(wire_ends(&wire, 5000));
    CHECK_INT(wire.len, 0);
    end();
}

/* A byte now and then must not hold a worker beyond the request's deadline. */
static void a_slow_body_is_cut_at_the_deadline(void)
{
    int64_t began_ms;

    world_defaults();
    world_options.request_timeout_ms = 600;
    CHECK(start());
    began_ms = kt_now_mono_ms();
    CHECK(wire_text(&wire, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"));
    for (int i = 0; i < 100 && !wire.ended && wire.len == 0; i++) {
        (void)wire_text(&wire, "x");
        pause_ms(50);
    }
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 400);
    CHECK(strstr(answer.body, "did not arrive within the request's time") != NULL);
    CHECK(kt_now_mono_ms() - began_ms < 3000);
    end();
}

static void a_slow_but_living_pulled_body_is_not_cut(void)
{
    world_defaults();
    world_options.request_timeout_ms = 300;
    world_options.idle_timeout_ms = 600;
    CHECK(start());
    CHECK(wire_text(&wire, "POST /pull HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n"));
    for (int i = 0; i < 12; i++) {
        CHECK(wire_text(&wire, "x"));
        pause_ms(100);
    }
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_STR(answer.body, "pulled=12 status=OK");
    end();
}

static void a_silent_pulled_body_times_out(void)
{
    int64_t began_ms;

    world_defaults();
    world_options.idle_timeout_ms = 300;
    CHECK(start());
    began_ms = kt_now_mono_ms();
    CHECK(wire_text(&wire, "POST /pull HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\nsix"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_STR(answer.body, "pulled=3 status=TIMEOUT");
    CHECK(kt_now_mono_ms() - began_ms < 2000);
    CHECK(wire_ends(&wire, 3000));
    end();
}

static void a_reader_that_does_not_read_is_cut(void)
{
    int64_t deadline_ms;

    world_defaults();
    world_options.idle_timeout_ms = 300;
    CHECK(start());
    CHECK(wire_text(&wire, "GET /stream/endless HTTP/1.1\r\nHost: x\r\n\r\n"));
    deadline_ms = kt_now_mono_ms() + 15000;
    while (atomic_load(&world_done) == 0 && kt_now_mono_ms() < deadline_ms) {
        struct wire idle = {.fd = -1};

        (void)wire_ends(&idle, 10);
    }
    CHECK_INT(atomic_load(&world_done), 1);
    end();
}

/* What the gateway asks in its own name: 404, not a signature that does not match. */
static void a_signed_body_to_an_unknown_path_is_404(void)
{
    struct kt_access *access = kt_access_new(&(struct kt_access_options){.cluster_secret = "s"});
    struct kt_arena *arena = kt_arena_new(1024, 65536);
    struct kt_http_router router;
    struct kt_str value;
    char text[1024];

    world_defaults();
    router = *world_options.router;
    router.access = access;
    world_options.router = &router;
    CHECK(start());
    value = kt_access_sign(access, "POST", KT_STR("/cluster/failover"), KT_STR(""), KT_STR("{}"),
                           arena);
    snprintf(text, sizeof(text),
             "POST /cluster/failover HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
             "X-Kamaitachi-Auth: " KT_STR_FMT "\r\nContent-Length: 2\r\n\r\n{}",
             KT_STR_ARG(value));
    CHECK(wire_text(&wire, text));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 404);
    CHECK(still_serves());
    end();
    kt_arena_free(&arena);
    kt_access_free(&access);
}

static void running_out_of_memory_is_500_and_survived(void)
{
    static char body[60000];

    CHECK(begin());
    memset(body, 'b', sizeof(body));
    for (uint64_t nth = 1; nth < 12; nth++) {
        wire_close(&wire);
        CHECK(wire_open(&wire, port));
        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        (void)wire_text(&wire, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n");
        (void)wire_send(&wire, body, sizeof(body));
        CHECK(wire_answer(&wire, &answer, false));
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        CHECK(answer.status == 200 || answer.status == 500);
        CHECK(answer.whole);
        wire_answer_free(&answer);
    }
    end();
}

static const struct kt_test tests[] = {
    TEST(a_body_in_many_pieces_arrives_whole),
    TEST(a_body_of_exactly_the_bound_is_accepted),
    TEST(a_larger_body_is_413_and_unread),
    TEST(chunks_are_put_together),
    TEST(chunks_are_found_behind_earlier_requests),
    TEST(a_large_chunked_body_arrives_whole),
    TEST(chunks_are_whole_when_the_client_ended_its_side),
    TEST(large_bodies_share_a_bounded_memory),
    TEST(a_large_body_waits_for_memory_that_is_given_back_soon),
    TEST(large_answers_share_it_too),
    TEST(a_body_of_many_values_counts_for_what_it_becomes),
    TEST(chunks_beyond_the_bound_are_413),
    TEST(broken_chunks_are_400_and_end_the_connection),
    TEST(a_trailer_ends_the_connection),
    TEST(a_body_that_ends_early_is_400),
    TEST(a_client_that_waits_for_100_is_told_to_go_on),
    TEST(a_client_that_waits_for_100_learns_of_a_refusal_first),
    TEST(a_pulled_body_waits_with_100_until_it_is_asked_for),
    TEST(a_pulled_body_has_no_bound),
    TEST(an_empty_pulled_body_ends_at_once),
    TEST(a_pulled_body_tells_why_it_broke),
    TEST(a_body_that_is_not_read_to_its_end_closes),
    TEST(a_slow_body_is_cut_at_the_deadline),
    TEST(a_slow_but_living_pulled_body_is_not_cut),
    TEST(a_silent_pulled_body_times_out),
    TEST(a_reader_that_does_not_read_is_cut),
    TEST(a_signed_body_to_an_unknown_path_is_404),
    TEST(running_out_of_memory_is_500_and_survived),
};

KT_TEST_MAIN(tests)

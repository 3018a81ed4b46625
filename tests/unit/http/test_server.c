/* SPDX-License-Identifier: MIT */
#include "wire.h"

#include "../kt_test.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

static struct wire wire;
static struct wire_answer answer;
static uint16_t port;

static bool begin(void)
{
    world_defaults();
    if (!world_start()) {
        return false;
    }
    port = kt_http_server_port(world);
    return wire_open(&wire, port);
}

static void end(void)
{
    wire_close(&wire);
    wire_answer_free(&answer);
    world_stop();
}

static void a_handler_sees_the_request_as_it_is(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "GET /wh%61t/?a=1&b=%20 HTTP/1.1\r\nHost: x\r\nX-Test:  y z \r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 200);
    CHECK_STR(answer.body, "GET /wh%61t/?a=1&b=%20|/what|a=1&b=%20|-1|127.0.0.1|1|y z");
    wire_answer_free(&answer);
    CHECK(wire_text(&wire, "POST /what HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_STR(answer.body, "POST /what|/what||2|127.0.0.1|1|");
    end();
}

static void an_answer_has_its_headers(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "GET /echo HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_STR(wire_header(&answer, "X-Request-Id"), "mine");
    CHECK_STR(wire_header(&answer, "X-Kamaitachi-Node"), "test");
    CHECK_STR(wire_header(&answer, "Content-Type"), "application/json");
    CHECK_STR(wire_header(&answer, "Content-Length"), "0");
    CHECK_STR(wire_header(&answer, "Connection"), "");
    CHECK_INT(strlen(wire_header(&answer, "Date")), 29);
    CHECK(strstr(wire_header(&answer, "Date"), " GMT") != NULL);
    end();
}

static void a_connection_serves_many_requests(void)
{
    CHECK(begin());
    for (int i = 0; i < 200; i++) {
        char text[128];

        snprintf(text, sizeof(text),
                 "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n%03d", i);
        CHECK(wire_text(&wire, text));
        CHECK(wire_answer(&wire, &answer, false));
        CHECK_INT(answer.status, 200);
        CHECK_INT(atoi(answer.body), i);
        wire_answer_free(&answer);
    }
    end();
}

static void pipelined_requests_are_answered_in_order(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\none"
                           "GET /what HTTP/1.1\r\nHost: x\r\n\r\n"
                           "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\ntwo"
                           "POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nskip"
                           "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nthree"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_STR(answer.body, "one");
    wire_answer_free(&answer);
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 200);
    wire_answer_free(&answer);
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_STR(answer.body, "two");
    wire_answer_free(&answer);
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 404);
    wire_answer_free(&answer);
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_STR(answer.body, "three");
    end();
}

static void a_client_that_asks_for_it_is_closed(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_STR(wire_header(&answer, "Connection"), "close");
    CHECK(wire_ends(&wire, 1000));
    end();
}

static void a_handler_can_close(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "GET /close HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_STR(answer.body, "bye");
    CHECK_STR(wire_header(&answer, "Connection"), "close");
    CHECK(wire_ends(&wire, 1000));
    end();
}

static void http_1_0_closes_unless_asked_to_stay(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_STR(wire_header(&answer, "Connection"), "keep-alive");
    wire_answer_free(&answer);
    CHECK(wire_text(&wire, "GET /echo HTTP/1.0\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 200);
    CHECK_STR(wire_header(&answer, "Connection"), "close");
    CHECK(wire_ends(&wire, 1000));
    end();
}

static void what_is_announced_about_the_connection_is_kept(void)
{
    static const struct {
        const char *headers;
        bool stays;
    } table[] = {
        {"", true},
        {"Connection: keep-alive\r\n", true},
        {"Connection: Keep-Alive\r\n", true},
        {"Connection: close\r\n", false},
        {"Connection: keep-alive, close\r\n", false},
        {"Connection: foo\r\n", false},
        {"Connection: keep-alive\r\nConnection: close\r\n", false},
        {"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n", false},
        {"Connection: keep-alive, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n", false},
    };

    CHECK(begin());
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char text[256];

        wire_close(&wire);
        CHECK(wire_open(&wire, port));
        snprintf(text, sizeof(text), "GET /echo HTTP/1.1\r\nHost: x\r\n%s\r\n", table[i].headers);
        CHECK(wire_text(&wire, text));
        CHECK(wire_answer(&wire, &answer, false));
        CHECK_INT(answer.status, 200);
        CHECK_STR(wire_header(&answer, "Connection"), table[i].stays ? "" : "close");
        wire_answer_free(&answer);
        if (table[i].stays) {
            CHECK(wire_text(&wire, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"));
            CHECK(wire_answer(&wire, &answer, false));
            CHECK_INT(answer.status, 200);
            wire_answer_free(&answer);
        } else {
            CHECK(wire_ends(&wire, 1000));
        }
    }
    end();
}

static void head_has_the_length_and_no_body(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "HEAD /big HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, true));
    CHECK_INT(answer.status, 200);
    CHECK_STR(wire_header(&answer, "Content-Length"), "1000000");
    wire_answer_free(&answer);
    CHECK(wire_text(&wire, "HEAD /nothing HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, true));
    CHECK_INT(answer.status, 404);
    wire_answer_free(&answer);
    CHECK(wire_text(&wire, "GET /what HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 200);
    end();
}

static void a_large_answer_arrives_whole(void)
{
    CHECK(begin());
    for (int i = 0; i < 3; i++) {
        CHECK(wire_text(&wire, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n"));
        CHECK(wire_answer(&wire, &answer, false));
        CHECK(answer.whole);
        CHECK_INT(answer.body_len, 1000000);
        CHECK(strncmp(answer.body + 999980, "01234567890123456789", 20) == 0);
        wire_answer_free(&answer);
    }
    end();
}

static void errors_have_the_envelope_and_the_node_s_headers(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 404);
    CHECK_STR(answer.body, "{\"status_code\":404,\"status_msg\":\"no such path: /nothing\","
                           "\"data\":null,\"error\":{\"code\":\"not_found\",\"field\":\"\","
                           "\"retry\":\"no\"}}");
    CHECK_STR(wire_header(&answer, "X-Kamaitachi-Node"), "test");
    wire_answer_free(&answer);
    CHECK(wire_text(&wire, "DELETE /what HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 405);
    CHECK_STR(wire_header(&answer, "Allow"), "GET, HEAD, POST");
    wire_answer_free(&answer);
    CHECK(wire_text(&wire, "GET /error HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 500);
    CHECK_STR(wire_header(&answer, "b"), "");
    wire_answer_free(&answer);
    CHECK(wire_text(&wire, "GET /a%2fb HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 400);
    wire_answer_free(&answer);
    CHECK(wire_text(&wire, "GET /what HTTP/1.1\r\nHost: x\r\nX-Request-Id: a b\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 400);
    CHECK(strstr(answer.body, "\"bad_value\"") != NULL);
    CHECK_INT(strlen(wire_header(&answer, "X-Request-Id")), 16);
    end();
}

/* ---- streams ---- */

static const char five_parts[] = "part-0\npart-1\npart-2\npart-3\npart-4\n";

static void a_stream_is_chunked_and_the_connection_stays(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 200);
    CHECK_STR(wire_header(&answer, "Transfer-Encoding"), "chunked");
    CHECK_STR(wire_header(&answer, "Content-Length"), "");
    CHECK_STR(wire_header(&answer, "Content-Type"), "application/x-ndjson");
    CHECK(answer.whole);
    CHECK_STR(answer.body, five_parts);
    wire_answer_free(&answer);
    CHECK(wire_text(&wire, "GET /what HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 200);
    CHECK_INT(atomic_load(&world_done), 1);
    end();
}

static void an_empty_stream_is_an_empty_body(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "GET /stream/empty HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 200);
    CHECK(answer.whole);
    CHECK_INT(answer.body_len, 0);
    end();
    CHECK_INT(atomic_load(&world_done), 1);
}

static void a_stream_to_http_1_0_ends_with_the_connection(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_STR(wire_header(&answer, "Transfer-Encoding"), "");
    CHECK_STR(wire_header(&answer, "Connection"), "close");
    CHECK(answer.whole);
    CHECK_STR(answer.body, five_parts);
    end();
}

static void head_of_a_stream_runs_none(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "HEAD /stream/failed HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, true));
    CHECK_INT(answer.status, 200);
    wire_answer_free(&answer);
    CHECK(wire_text(&wire, "GET /what HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 200);
    CHECK_INT(atomic_load(&world_done), 1);
    end();
}

static void a_stream_that_breaks_breaks_the_connection(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "GET /stream/broken HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 200);
    CHECK(!answer.whole);
    CHECK_STR(answer.body, "part-0\npart-1\npart-2\n");
    CHECK(wire.ended);
    end();
    CHECK_INT(atomic_load(&world_done), 1);
}

static void a_broken_stream_to_http_1_0_is_reset(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "GET /stream/broken HTTP/1.0\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK(!answer.whole);
    CHECK(wire.reset);
    end();
}

static void a_stream_that_fails_at_once_is_an_error(void)
{
    CHECK(begin());
    CHECK(wire_text(&wire, "GET /stream/failed HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 500);
    CHECK(strstr(answer.body, "the disk is gone") != NULL);
    CHECK_STR(wire_header(&answer, "Content-Type"), "application/json");
    CHECK_INT(atomic_load(&world_done), 1);
    wire_answer_free(&answer);
    CHECK(wire_text(&wire, "GET /what HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 200);
    end();
}

static void a_reader_that_leaves_ends_the_stream(void)
{
    int64_t deadline_ms;

    CHECK(begin());
    CHECK(wire_text(&wire, "GET /stream/endless HTTP/1.1\r\nHost: x\r\n\r\n"));
    wire_close(&wire);
    deadline_ms = kt_now_mono_ms() + 5000;
    while (atomic_load(&world_done) == 0 && kt_now_mono_ms() < deadline_ms) {
        kt_test_pause();
    }
    CHECK_INT(atomic_load(&world_done), 1);
    end();
}

static void statistics_count(void)
{
    struct kt_http_server_stats stats;

    CHECK(begin());
    for (int i = 0; i < 3; i++) {
        CHECK(wire_text(&wire, "GET /what HTTP/1.1\r\nHost: x\r\n\r\n"));
        CHECK(wire_answer(&wire, &answer, false));
        wire_answer_free(&answer);
    }
    CHECK(wire_text(&wire, "GET /error HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    kt_http_server_stats(world, &stats);
    CHECK_INT(stats.requests, 4);
    CHECK_INT(stats.errors, 1);
    CHECK_INT(stats.connections, 1);
    end();
}

static void the_access_log_has_a_line_for_every_request(void)
{
    FILE *log = tmpfile();
    char line[1024];
    int lines = 0;

    CHECK(log != NULL);
    world_defaults();
    world_options.access_log = true;
    kt_log_setup(log, KT_LOG_INFO, false);
    CHECK(world_start());
    port = kt_http_server_port(world);
    CHECK(wire_open(&wire, port));
    for (int i = 0; i < 30; i++) {
        CHECK(wire_text(&wire, "GET /what?\"q HTTP/1.1\r\nHost: x\r\n\r\n"));
        CHECK(wire_answer(&wire, &answer, false));
        wire_answer_free(&answer);
    }
    end();
    kt_log_setup(stderr, KT_LOG_INFO, false);
    rewind(log);
    while (fgets(line, sizeof(line), log)) {
        lines += strstr(line, " access ") && strstr(line, "status=200") &&
                 strstr(line, "method=GET") && strstr(line, "target=");
    }
    (void)fclose(log);
    CHECK_INT(lines, 30);
}

static const struct kt_test tests[] = {
    TEST(a_handler_sees_the_request_as_it_is),
    TEST(an_answer_has_its_headers),
    TEST(a_connection_serves_many_requests),
    TEST(pipelined_requests_are_answered_in_order),
    TEST(a_client_that_asks_for_it_is_closed),
    TEST(a_handler_can_close),
    TEST(http_1_0_closes_unless_asked_to_stay),
    TEST(what_is_announced_about_the_connection_is_kept),
    TEST(head_has_the_length_and_no_body),
    TEST(a_large_answer_arrives_whole),
    TEST(errors_have_the_envelope_and_the_node_s_headers),
    TEST(a_stream_is_chunked_and_the_connection_stays),
    TEST(an_empty_stream_is_an_empty_body),
    TEST(a_stream_to_http_1_0_ends_with_the_connection),
    TEST(head_of_a_stream_runs_none),
    TEST(a_stream_that_breaks_breaks_the_connection),
    TEST(a_broken_stream_to_http_1_0_is_reset),
    TEST(a_stream_that_fails_at_once_is_an_error),
    TEST(a_reader_that_leaves_ends_the_stream),
    TEST(statistics_count),
    TEST(the_access_log_has_a_line_for_every_request),
};

KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
/* What HTTP forbids gets 400 (413, 431), our body, and an end: nothing that follows is read. */
#include "wire.h"

#include "../kt_test.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

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
    return true;
}

static void end(void)
{
    wire_close(&wire);
    wire_answer_free(&answer);
    world_stop();
}

/* The request, followed by one that would be answered if it were read as one. */
static bool is_refused(const char *request, int status)
{
    bool refused;

    if (!wire_open(&wire, port) || !wire_text(&wire, request)) {
        return false;
    }
    (void)wire_text(&wire, "GET /what HTTP/1.1\r\nHost: x\r\n\r\n");
    refused = wire_answer(&wire, &answer, false) && answer.status == status &&
              strcmp(wire_header(&answer, "Connection"), "close") == 0 &&
              strcmp(wire_header(&answer, "X-Kamaitachi-Node"), "test") == 0 &&
              strcmp(wire_header(&answer, "Content-Type"), "application/json") == 0 &&
              strlen(wire_header(&answer, "X-Request-Id")) == 16 &&
              strstr(answer.body, "\"error\":{\"code\":") && wire_ends(&wire, 5000) &&
              wire.len == 0;
    if (!refused) {
        kt_test_fail(__FILE__, __LINE__, "status %d (not %d) to %.60s\n%s%s\nthen %zu bytes",
                     answer.status, status, request, answer.head, answer.body ? answer.body : "",
                     wire.len);
    }
    wire_answer_free(&answer);
    wire_close(&wire);
    return refused;
}

static void ambiguous_requests_are_refused_and_end_the_connection(void)
{
    static const char *const table[] = {
        /* lengths */
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nabcde",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\nabcde",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5x\r\n\r\nabcde",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nabcde",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nabcde",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5 5\r\n\r\nabcde",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\nabcde",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\nabcde",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\ncontent-length: 6\r\n\r\nabcde",
        /* both framings, and codings that are not chunked */
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        "0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
        "0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\nContent-Length: "
        "5\r\n\r\nabcde",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
        "chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        /* chunks */
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "+5\r\nabcde\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "-5\r\nabcde\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "0x5\r\nabcde\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        " 5\r\nabcde\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5 \r\nabcde\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "0_5\r\nabcde\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5;\r\nabcde\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\nabcde\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nabcde0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nabcdef\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nabcde\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nabcde\r\n0\r\n folded\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "\r\n5\r\nabcde\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "g\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "ffffffffffffffffff\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nabcde\r\n0\n\n",
        /* hosts */
        "GET /what HTTP/1.1\r\n\r\n",
        "GET /what HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        "GET /what HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n",
        "GET /what HTTP/1.1\r\nHost: x/y\r\n\r\n",
        "GET /what HTTP/1.1\r\nHost: a@b\r\n\r\n",
        "GET /what HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET /what HTTP/1.1\r\nHost: x:http\r\n\r\n",
        "GET /what HTTP/1.1\r\nHost: x:80:80\r\n\r\n",
        "GET /what HTTP/1.1\r\nHost: x:123456\r\n\r\n",
        "GET /what HTTP/1.1\r\nHost: [::1\r\n\r\n",
        "GET /what HTTP/1.1\r\nHost: [::1]80\r\n\r\n",
        "GET /what HTTP/1.1\r\nHost: ::1]\r\n\r\n",
        /* lines */
        "GET /what HTTP/1.1\r\nHost : x\r\n\r\n",
        "GET /what HTTP/1.1\r\nHost: x\r\n X-Folded: y\r\n\r\n",
        "GET /what HTTP/1.1\r\n Host: x\r\n\r\n",
        "GET /what HTTP/1.1\r\nHost: x\r\n: nameless\r\n\r\n",
        "GET /what HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        "GET /what HTTP/1.1\r\nHost: x\r\nX(y): z\r\n\r\n",
        "GET /what HTTP/1.1\r\nHost: x\r\nX-\xc3\xa9: z\r\n\r\n",
        "GET /what HTTP/1.1\nHost: x\n\n",
        "GET /what HTTP/1.1\r\nHost: x\nX-A: y\r\n\r\n",
        "GET /what HTTP/1.1\r\nX-A: y\nHost: x\r\n\r\n",
        "GET /what HTTP/1.1\r\nHost: x\rX-A: y\r\n\r\n",
        "GET /what HTTP/1.1\r\nHost: x\r\nX-A: \x01\r\n\r\n",
        "GET  /what HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /what  HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /what HTTP/1.1 \r\nHost: x\r\n\r\n",
        "GET /what\r\nHost: x\r\n\r\n",
        "GET /what#part HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /wh\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\n\r\nGET /what HTTP/1.1\r\nHost: x\r\n\r\n",
        "                GET /what HTTP/1.1\r\nHost: x\r\n\r\n",
        /* versions, targets */
        "GET /what HTTP/2.0\r\nHost: x\r\n\r\n",
        "GET /what HTTP/0.9\r\nHost: x\r\n\r\n",
        "GET /what HTTP/1.2\r\nHost: x\r\n\r\n",
        "GET /what http/1.1\r\nHost: x\r\n\r\n",
        "GET what HTTP/1.1\r\nHost: x\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        "CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET http://elsewhere/what HTTP/1.1\r\nHost: elsewhere\r\n\r\n",
        "GET ftp://x/what HTTP/1.1\r\nHost: x\r\n\r\n",
        "FROBNICATE /what HTTP/1.1\r\nHost: x\r\n\r\n",
        "\x16\x03\x01\x02\x01\r\n\r\n",
    };

    CHECK(begin());
    /* A worker learns from its first request where heads begin. */
    CHECK_INT(wire_once(port, "GET /what HTTP/1.0\r\n\r\n", &answer), 200);
    wire_answer_free(&answer);
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        if (!is_refused(table[i], 400)) {
            break;
        }
    }
    CHECK_INT(atomic_load(&world_handled), 1);
    end();
}

static void harmless_liberties_are_taken(void)
{
    static const char *const table[] = {
        "\r\nGET /what HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /what HTTP/1.1\r\nHost:x\r\n\r\n",
        "GET /what HTTP/1.1\r\nHost:   x   \r\n\r\n",
        "GET /what HTTP/1.1\r\nHost:\r\n\r\n",
        "GET /what HTTP/1.1\r\nhOsT: x\r\nX-Empty:\r\nX-Other:  \r\n\r\n",
        "GET /what HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        "GET /what HTTP/1.1\r\nHost: [::1]\r\n\r\n",
        "GET /what HTTP/1.1\r\nHost: x:8080\r\n\r\n",
        "GET /what HTTP/1.1\r\nHost: x:\r\n\r\n",
        "GET /what HTTP/1.1\r\nHost: x\r\nX-Latin: \xe9\r\n\r\n",
        "GET /what HTTP/1.0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 005\r\n\r\nabcde",
        "POST /echo HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n",
        "GET /what? HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /what?a=/../b//c HTTP/1.1\r\nHost: x\r\n\r\n",
    };

    CHECK(begin());
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        int status = wire_once(port, table[i], &answer);

        if (status != 200) {
            kt_test_fail(__FILE__, __LINE__, "%d to %s", status, table[i]);
        }
        wire_answer_free(&answer);
    }
    end();
}

static void the_absolute_form_of_our_own_address_is_a_path(void)
{
    char text[200];

    CHECK(begin());
    snprintf(text, sizeof(text), "GET http://localhost:%u/what?q=1 HTTP/1.1\r\nHost: x\r\n\r\n",
             port);
    CHECK_INT(wire_once(port, text, &answer), 200);
    CHECK(strstr(answer.body, "|/what|q=1|") != NULL);
    end();
}

static void add_headers(char *text, size_t size, int count)
{
    size_t len = strlen(text);

    for (int i = 0; i < count; i++) {
        len += (size_t)snprintf(text + len, size - len, "X-%d: y\r\n", i);
    }
    snprintf(text + len, size - len, "\r\n");
}

static void sixty_four_headers_are_the_most(void)
{
    static char text[4096];

    CHECK(begin());
    snprintf(text, sizeof(text), "GET /what HTTP/1.1\r\nHost: x\r\n");
    add_headers(text, sizeof(text), 63);
    CHECK_INT(wire_once(port, text, &answer), 200);
    wire_answer_free(&answer);
    snprintf(text, sizeof(text), "GET /what HTTP/1.1\r\nHost: x\r\n");
    add_headers(text, sizeof(text), 64);
    CHECK(is_refused(text, 431));
    /* What the library drops must not be what matters. */
    snprintf(text, sizeof(text), "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n");
    add_headers(text, sizeof(text), 62);
    text[strlen(text) - 2] = '\0';
    strcat(text, "Transfer-Encoding: chunked\r\n\r\n");
    CHECK(is_refused(text, 431));
    end();
}

static void a_head_beyond_32_kilobytes_is_431(void)
{
    static char text[40000];
    size_t len;

    CHECK(begin());
    len = (size_t)snprintf(text, sizeof(text), "GET /what HTTP/1.1\r\nHost: x\r\nX-Long: ");
    memset(text + len, 'y', 33000);
    strcpy(text + len + 33000, "\r\n\r\n");
    CHECK(is_refused(text, 431));
    strcpy(text + len + 32000, "\r\n\r\n");
    CHECK_INT(wire_once(port, text, &answer), 200);
    end();
}

static void a_length_beyond_all_bounds_is_413(void)
{
    CHECK(begin());
    CHECK(is_refused(
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 413));
    CHECK(is_refused("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\n\r\n", 413));
    end();
}

static void what_an_expectation_asks_is_known(void)
{
    CHECK(begin());
    CHECK_INT(wire_once(port, "GET /what HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\n\r\n", &answer),
              400);
    CHECK(strstr(answer.body, "Expect") != NULL);
    end();
}

/* Every prefix of a request, then silence from our side: an answer or an end, never a crash. */
static void cut_requests_do_no_harm(void)
{
    static const char text[] = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde";

    CHECK(begin());
    for (size_t len = 0; len < sizeof(text) - 1; len += 3) {
        CHECK(wire_open(&wire, port));
        CHECK(wire_send(&wire, text, len));
        wire_close(&wire);
    }
    CHECK_INT(wire_once(port, text, &answer), 200);
    end();
}

static void random_bytes_do_no_harm(void)
{
    uint64_t seed = 42;
    int rounds = kt_test_is_slow() ? 20 : 300;

    CHECK(begin());
    for (int i = 0; i < rounds; i++) {
        char text[300] =
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX-A: b\r\n\r\nabcde";
        size_t len = strlen(text);

        for (int j = 0; j < 3; j++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
            text[(seed >> 33) % len] = (char)(seed >> 56);
        }
        CHECK(wire_open(&wire, port));
        CHECK(wire_send(&wire, text, len));
        wire_close(&wire);
    }
    CHECK_INT(wire_once(port, "GET /what HTTP/1.1\r\nHost: x\r\n\r\n", &answer), 200);
    end();
}

static const struct kt_test tests[] = {
    TEST(ambiguous_requests_are_refused_and_end_the_connection),
    TEST(harmless_liberties_are_taken),
    TEST(the_absolute_form_of_our_own_address_is_a_path),
    TEST(sixty_four_headers_are_the_most),
    TEST(a_head_beyond_32_kilobytes_is_431),
    TEST(a_length_beyond_all_bounds_is_413),
    TEST(what_an_expectation_asks_is_known),
    TEST(cut_requests_do_no_harm),
    TEST(random_bytes_do_no_harm),
};

KT_TEST_MAIN(tests)

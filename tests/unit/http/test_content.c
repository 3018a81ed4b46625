/* SPDX-License-Identifier: MIT */
/* What an answer becomes for who asked: gzip, ETag, 304; and how long a request may take. */
#include "wire.h"

#include "../kt_test.h"

#include "base/clock.h"
#include "base/mem.h"
#include "http/content.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static struct wire wire;
static struct wire_answer answer;
static uint16_t port;

static bool start(void)
{
    if (!world_start()) {
        return false;
    }
    port = kt_http_server_port(world);
    return true;
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

/* One request on a connection of its own; what it gives is in `answer` until the next. */
static int ask(const char *method, const char *target, const char *headers)
{
    char text[1000];
    bool got;

    wire_answer_free(&answer);
    snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: x\r\n%s\r\n", method, target, headers);
    if (!wire_open(&wire, port)) {
        return -1;
    }
    got = wire_text(&wire, text) && wire_answer(&wire, &answer, strcmp(method, "HEAD") == 0);
    wire_close(&wire);
    return got ? answer.status : 0;
}

/* A stream is released after its last byte was sent. */
static bool released(int count)
{
    int64_t deadline_ms = kt_now_mono_ms() + WIRE_WAIT_MS;

    while (atomic_load(&world_done) < count && kt_now_mono_ms() < deadline_ms) {
        kt_test_pause();
    }
    return atomic_load(&world_done) == count;
}

/* The answer's body, unpacked; NULL when it is no whole gzip stream. The caller frees it. */
static char *gunzip(size_t *ret_len)
{
    size_t cap = 4 << 20;
    char *plain = malloc(cap);
    z_stream zlib = {.next_in = (Bytef *)answer.body, .avail_in = (uInt)answer.body_len};

    zlib.next_out = (Bytef *)plain;
    zlib.avail_out = (uInt)cap - 1;
    if (inflateInit2(&zlib, MAX_WBITS + 16) != Z_OK || inflate(&zlib, Z_FINISH) != Z_STREAM_END ||
        zlib.avail_in != 0) {
        free(plain);
        plain = NULL;
    } else {
        *ret_len = zlib.total_out;
        plain[*ret_len] = '\0';
    }
    (void)inflateEnd(&zlib);
    return plain;
}

static bool accepts(const char *value)
{
    struct kt_http_header header = {KT_STR("accept-encoding"), kt_str(value)};
    struct kt_http_request request = {.headers = &header, .header_count = 1};

    return kt_content_accepts_gzip(&request);
}

static void accept_encoding_is_read_as_rfc_9110_says(void)
{
    static const char *const yes[] = {
        "gzip",
        "GZip",
        "x-gzip",
        "deflate, gzip;q=1.0, *;q=0.5",
        "*",
        "gzip;q=0.001",
        " gzip ; q=0.5 ",
        "br , gzip",
        "*;q=0.1",
        "gzip;Q=1",
        "gzip, identity",
        "gzip;q=0.5, identity;q=0.5",
        "gzip;q=1.",
        ",,gzip,,",
        "gzip;q=0.9,br",
        "identity;q=0, *",
        "gzip;q=1.000",
        "*;q=0, gzip",
    };
    static const char *const no[] = {
        "",
        "identity",
        "br",
        "gzip;q=0",
        "gzip;q=0.0",
        "gzip;q=0.000",
        "*;q=0",
        "gzip;q=0, *",
        "gzip;q=2",
        "gzip;q=",
        "gzip;q=0.1234",
        "gzip;q=-1",
        "gzip;q=x",
        "gzip;level=1",
        "gzipped",
        "identity, gzip;q=0.5",
        "gzip;q=1.1",
        "deflate;q=0.5",
        "gzip;q=0,x-zip",
        "gzip;q=1;q=0",
    };

    for (size_t i = 0; i < KT_ARRAY_LEN(yes); i++) {
        if (!accepts(yes[i])) {
            kt_test_fail(__FILE__, __LINE__, "refuses '%s'", yes[i]);
        }
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(no); i++) {
        if (accepts(no[i])) {
            kt_test_fail(__FILE__, __LINE__, "accepts '%s'", no[i]);
        }
    }
}

static void several_accept_encoding_headers_are_one_list(void)
{
    struct kt_http_header headers[] = {{KT_STR("Accept-Encoding"), KT_STR("br")},
                                       {KT_STR("Host"), KT_STR("x")},
                                       {KT_STR("Accept-Encoding"), KT_STR("gzip")}};
    struct kt_http_request request = {.headers = headers, .header_count = 3};

    CHECK(kt_content_accepts_gzip(&request));
    headers[2].value = KT_STR("deflate");
    CHECK(!kt_content_accepts_gzip(&request));
}

static void a_large_answer_is_compressed_for_who_accepts_it(void)
{
    size_t len = 0;
    char *plain;

    CHECK(begin());
    CHECK_INT(ask("GET", "/big", "Accept-Encoding: gzip, br\r\n"), 200);
    CHECK_STR(wire_header(&answer, "Content-Encoding"), "gzip");
    CHECK_STR(wire_header(&answer, "Vary"), "Accept-Encoding");
    CHECK(answer.whole);
    CHECK(answer.body_len < 20000);
    CHECK((plain = gunzip(&len)) != NULL);
    CHECK_INT(len, 1000000);
    CHECK(memcmp(plain + 999990, "0123456789", 10) == 0);
    free(plain);
    /* A HEAD tells the length that GET's answer has. */
    len = answer.body_len;
    CHECK_INT(ask("HEAD", "/big", "Accept-Encoding: gzip\r\n"), 200);
    CHECK_INT(atoll(wire_header(&answer, "Content-Length")), len);
    CHECK_STR(wire_header(&answer, "Content-Encoding"), "gzip");
    end();
}

static void who_accepts_nothing_gets_it_plain_but_learns_that_it_varies(void)
{
    CHECK(begin());
    CHECK_INT(ask("GET", "/big", ""), 200);
    CHECK_STR(wire_header(&answer, "Content-Encoding"), "");
    CHECK_STR(wire_header(&answer, "Vary"), "Accept-Encoding");
    CHECK_INT(answer.body_len, 1000000);
    CHECK_INT(ask("GET", "/big", "Accept-Encoding: gzip;q=0\r\n"), 200);
    CHECK_STR(wire_header(&answer, "Content-Encoding"), "");
    end();
}

static void small_answers_and_errors_stay_plain(void)
{
    CHECK(begin());
    CHECK_INT(ask("GET", "/what", "Accept-Encoding: gzip\r\n"), 200);
    CHECK_STR(wire_header(&answer, "Content-Encoding"), "");
    CHECK_STR(wire_header(&answer, "Vary"), "");
    CHECK_INT(ask("GET", "/error", "Accept-Encoding: gzip\r\n"), 500);
    CHECK_STR(wire_header(&answer, "Content-Encoding"), "");
    CHECK_STR(wire_header(&answer, "ETag"), "");
    CHECK_STR(wire_header(&answer, "Vary"), "");
    end();
}

static void one_worker_compresses_many_answers_alike(void)
{
    size_t first = 0, len;

    world_defaults();
    world_options.num_threads = 1;
    CHECK(start());
    for (int i = 0; i < 40; i++) {
        char *plain;

        CHECK_INT(ask("GET", "/big", "Accept-Encoding: gzip\r\n"), 200);
        CHECK((plain = gunzip(&len)) != NULL);
        free(plain);
        CHECK_INT(len, 1000000);
        first = first ? first : answer.body_len;
        CHECK_INT(answer.body_len, first);
    }
    end();
}

static void streams_are_compressed_piece_by_piece(void)
{
    static const char *const targets[] = {"/stream", "/stream/empty"};
    static const char *const bodies[] = {"part-0\npart-1\npart-2\npart-3\npart-4\n", ""};

    CHECK(begin());
    for (int i = 0; i < 2; i++) {
        size_t len = 0;
        char *plain;

        CHECK_INT(ask("GET", targets[i], "Accept-Encoding: gzip\r\n"), 200);
        CHECK_STR(wire_header(&answer, "Content-Encoding"), "gzip");
        CHECK_STR(wire_header(&answer, "Vary"), "Accept-Encoding");
        CHECK_STR(wire_header(&answer, "ETag"), "");
        CHECK(answer.whole);
        CHECK((plain = gunzip(&len)) != NULL);
        CHECK_STR(plain, bodies[i]);
        free(plain);
    }
    CHECK(released(2));
    end();
}

static void a_broken_stream_breaks_compressed_too(void)
{
    CHECK(begin());
    CHECK_INT(ask("GET", "/stream/broken", "Accept-Encoding: gzip\r\n"), 200);
    CHECK(!answer.whole);
    CHECK_INT(ask("GET", "/stream/failed", "Accept-Encoding: gzip\r\n"), 500);
    CHECK_STR(wire_header(&answer, "Content-Encoding"), "");
    CHECK(strstr(answer.body, "the disk is gone") != NULL);
    CHECK_INT(ask("HEAD", "/stream", "Accept-Encoding: gzip\r\n"), 200);
    CHECK(released(3));
    end();
}

static void without_memory_an_answer_leaves_plain(void)
{
    for (uint64_t nth = 1; nth < 12; nth++) {
        struct kt_content *content = kt_content_new();
        struct kt_arena *arena = kt_arena_new(4096, 65536);
        struct kt_http_header header = {KT_STR("Accept-Encoding"), KT_STR("gzip")};
        struct kt_http_request request = {
            .method = KT_HTTP_GET, .headers = &header, .header_count = 1, .arena = arena};
        struct kt_http_response response;
        bool gzip;

        CHECK(content && arena);
        kt_http_response_init(&response, arena, 0);
        for (int i = 0; i < 5000; i++) {
            kt_buf_append_text(&response.body, "0123456789");
        }
        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        kt_content_finish(content, &request, &response);
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        gzip = (unsigned char)response.body.data[0] == 0x1f;
        CHECK(gzip || response.body.len_bytes == 50000);
        CHECK(!gzip || response.body.len_bytes < 5000);
        kt_http_response_done(&response);
        kt_content_free(&content);
        kt_arena_free(&arena);
    }
}

/* ---- ETag ---- */

/* A compressed body that nothing calls compressed is no answer. */
static void without_memory_for_its_headers_an_answer_is_500(void)
{
    struct kt_content *content = kt_content_new();
    struct kt_http_header header = {KT_STR("Accept-Encoding"), KT_STR("gzip")};

    CHECK(content);
    for (int room = 0; room < 8; room++) {
        struct kt_arena *arena = kt_arena_new(256, 256);
        struct kt_http_request request = {
            .method = KT_HTTP_GET, .headers = &header, .header_count = 1, .arena = arena};
        struct kt_http_response response;
        bool named = false;

        CHECK(arena);
        while (kt_arena_alloc(arena, 16)) {
        }
        kt_arena_reset(arena);
        for (int i = 0; i < 8 - room; i++) {
            (void)!kt_arena_alloc(arena, 32);
        }
        kt_http_response_init(&response, arena, 0);
        for (int i = 0; i < 300; i++) {
            kt_buf_append_text(&response.body, "0123456789");
        }
        kt_content_finish(content, &request, &response);
        for (size_t i = 0; i < response.header_count; i++) {
            named = named || kt_str_eq_nocase(response.headers[i].name, KT_STR("Content-Encoding"));
        }
        CHECK(response.status == 500 ? !named && response.body.data[0] == '{'
                                     : named && response.body.len_bytes < 3000);
        CHECK(!response.failed);
        kt_http_response_done(&response);
        kt_arena_free(&arena);
    }
    kt_content_free(&content);
}

static void a_get_carries_a_tag_and_gives_304_to_who_has_it(void)
{
    char tag[64], headers[200];

    CHECK(begin());
    CHECK_INT(ask("GET", "/what", "X-Test: a\r\n"), 200);
    snprintf(tag, sizeof(tag), "%s", wire_header(&answer, "ETag"));
    CHECK_INT(strlen(tag), 18);
    CHECK(tag[0] == '"' && tag[17] == '"');
    CHECK_STR(wire_header(&answer, "Cache-Control"), "no-cache");
    snprintf(headers, sizeof(headers), "X-Test: a\r\nIf-None-Match: %s\r\n", tag);
    CHECK_INT(ask("GET", "/what", headers), 304);
    CHECK_STR(wire_header(&answer, "ETag"), tag);
    CHECK_STR(wire_header(&answer, "Cache-Control"), "no-cache");
    CHECK_INT(strlen(wire_header(&answer, "Date")), 29);
    CHECK_STR(wire_header(&answer, "X-Kamaitachi-Node"), "test");
    CHECK_STR(wire_header(&answer, "Content-Type"), "");
    CHECK_STR(wire_header(&answer, "Content-Length"), "");
    /* Another body, another tag. */
    snprintf(headers, sizeof(headers), "X-Test: b\r\nIf-None-Match: %s\r\n", tag);
    CHECK_INT(ask("GET", "/what", headers), 200);
    CHECK(strcmp(wire_header(&answer, "ETag"), tag) != 0);
    end();
}

static void if_none_match_takes_lists_weak_tags_and_a_star(void)
{
    static const struct {
        const char *format; /* %s is the tag with its quotes */
        int status;
    } table[] = {
        {"If-None-Match: W/%s\r\n", 304},
        {"If-None-Match: *\r\n", 304},
        {"If-None-Match: \"a\", %s\r\n", 304},
        {"If-None-Match: \"a,b\",W/%s , \"c\"\r\n", 304},
        {"If-None-Match: \"a\"\r\nIf-None-Match: %s\r\n", 304},
        {"If-None-Match: \"a\", \"b\"\r\n", 200},
        {"If-None-Match: \"*\"\r\n", 200},
        {"If-None-Match: \"a, %s\r\n", 200},
        {"If-None-Match: \r\n", 200},
        {"If-None-Match: W/\r\n", 200},
    };
    char tag[64], headers[300];

    CHECK(begin());
    CHECK_INT(ask("GET", "/echo", ""), 200);
    snprintf(tag, sizeof(tag), "%s", wire_header(&answer, "ETag"));
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        const char *hole = strstr(table[i].format, "%s");

        snprintf(headers, sizeof(headers), "%.*s%s%s",
                 (int)(hole ? hole - table[i].format : (long)strlen(table[i].format)),
                 table[i].format, hole ? tag : "", hole ? hole + 2 : "");
        if (ask("GET", "/echo", headers) != table[i].status) {
            kt_test_fail(__FILE__, __LINE__, "%d to %s", answer.status, headers);
        }
    }
    /* A bare tag without quotes is none. */
    tag[17] = '\0';
    snprintf(headers, sizeof(headers), "If-None-Match: %s\r\n", tag + 1);
    CHECK_INT(ask("GET", "/echo", headers), 200);
    end();
}

static void a_compressed_answer_has_the_weak_form_of_the_tag(void)
{
    char plain[64], packed[64], headers[200];

    CHECK(begin());
    CHECK_INT(ask("GET", "/big", ""), 200);
    snprintf(plain, sizeof(plain), "%s", wire_header(&answer, "ETag"));
    CHECK_INT(ask("GET", "/big", "Accept-Encoding: gzip\r\n"), 200);
    snprintf(packed, sizeof(packed), "%s", wire_header(&answer, "ETag"));
    CHECK(strncmp(packed, "W/", 2) == 0);
    CHECK_STR(packed + 2, plain);
    snprintf(headers, sizeof(headers), "If-None-Match: %s\r\n", packed);
    CHECK_INT(ask("GET", "/big", headers), 304);
    CHECK_STR(wire_header(&answer, "ETag"), plain);
    CHECK_STR(wire_header(&answer, "Vary"), "Accept-Encoding");
    snprintf(headers, sizeof(headers), "Accept-Encoding: gzip\r\nIf-None-Match: %s\r\n", plain);
    CHECK_INT(ask("GET", "/big", headers), 304);
    CHECK_STR(wire_header(&answer, "ETag"), packed);
    CHECK_STR(wire_header(&answer, "Content-Encoding"), "");
    CHECK_INT(ask("HEAD", "/big", headers), 304);
    CHECK_STR(wire_header(&answer, "ETag"), packed);
    end();
}

static void posts_and_streams_have_no_tag(void)
{
    CHECK(begin());
    CHECK_INT(ask("POST", "/echo", "If-None-Match: *\r\nContent-Length: 0\r\n"), 200);
    CHECK_STR(wire_header(&answer, "ETag"), "");
    CHECK_STR(wire_header(&answer, "Cache-Control"), "");
    CHECK_INT(ask("GET", "/stream", "If-None-Match: *\r\n"), 200);
    CHECK_STR(wire_header(&answer, "ETag"), "");
    CHECK_INT(ask("GET", "/state", "If-None-Match: *\r\n"), 200);
    CHECK_STR(wire_header(&answer, "ETag"), "");
    end();
}

static void a_304_keeps_the_connection(void)
{
    CHECK(begin());
    CHECK(wire_open(&wire, port));
    for (int i = 0; i < 3; i++) {
        CHECK(wire_text(&wire, "GET /what HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\n"));
        wire_answer_free(&answer);
        CHECK(wire_answer(&wire, &answer, false));
        CHECK_INT(answer.status, 304);
        CHECK_INT(wire.len, 0);
    }
    end();
}

/* ---- time ---- */

static void a_request_has_the_time_that_it_asks_for(void)
{
    CHECK(begin());
    CHECK_INT(ask("GET", "/time", ""), 200);
    CHECK(atoi(answer.body) > 4000 && atoi(answer.body) <= 5000);
    CHECK(strstr(answer.body, " default") != NULL);
    CHECK_INT(ask("GET", "/time", "X-Kamaitachi-Timeout-Ms: 60000\r\n"), 200);
    CHECK(atoi(answer.body) > 50000 && atoi(answer.body) <= 60000);
    CHECK(strstr(answer.body, " given") != NULL);
    end();
}

static void a_time_beyond_the_bounds_is_refused(void)
{
    static const char *const table[] = {"0",   "60001", "-1", "+5",   "1.5",
                                        "1e3", "x",     "",   "5, 5", "99999999999999999999"};
    char header[100];

    CHECK(begin());
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        snprintf(header, sizeof(header), "X-Kamaitachi-Timeout-Ms: %s\r\n", table[i]);
        CHECK_INT(ask("GET", "/time", header), 400);
        CHECK(strstr(answer.body, "\"code\":\"bad_value\",\"field\":\"X-Kamaitachi-Timeout-Ms\""));
    }
    CHECK_INT(ask("GET", "/time", "X-Kamaitachi-Timeout-Ms: 5\r\nX-Kamaitachi-Timeout-Ms: 6\r\n"),
              400);
    end();
}

static void a_body_that_comes_too_late_for_the_given_time_is_refused(void)
{
    int64_t began_ms;

    world_defaults();
    world_options.idle_timeout_ms = 60000;
    CHECK(start());
    began_ms = kt_now_mono_ms();
    CHECK_INT(ask("POST", "/echo", "X-Kamaitachi-Timeout-Ms: 300\r\nContent-Length: 5\r\n"), 400);
    CHECK(strstr(answer.body, "did not arrive") != NULL);
    CHECK_INT(ask("POST", "/pull", "X-Kamaitachi-Timeout-Ms: 300\r\nContent-Length: 5\r\n"), 200);
    CHECK(strstr(answer.body, "status=TIMEOUT") != NULL);
    CHECK(kt_now_mono_ms() - began_ms >= 550);
    CHECK(kt_now_mono_ms() - began_ms < 5000);
    end();
}

static void a_stream_ends_with_the_given_time(void)
{
    CHECK(begin());
    CHECK_INT(ask("GET", "/stream/forever", "X-Kamaitachi-Timeout-Ms: 300\r\n"), 200);
    CHECK(!answer.whole);
    CHECK(answer.body_len > 0);
    CHECK(released(1));
    end();
}

static const struct kt_test tests[] = {
    TEST(accept_encoding_is_read_as_rfc_9110_says),
    TEST(several_accept_encoding_headers_are_one_list),
    TEST(a_large_answer_is_compressed_for_who_accepts_it),
    TEST(who_accepts_nothing_gets_it_plain_but_learns_that_it_varies),
    TEST(small_answers_and_errors_stay_plain),
    TEST(one_worker_compresses_many_answers_alike),
    TEST(streams_are_compressed_piece_by_piece),
    TEST(a_broken_stream_breaks_compressed_too),
    TEST(without_memory_an_answer_leaves_plain),
    TEST(without_memory_for_its_headers_an_answer_is_500),
    TEST(a_get_carries_a_tag_and_gives_304_to_who_has_it),
    TEST(if_none_match_takes_lists_weak_tags_and_a_star),
    TEST(a_compressed_answer_has_the_weak_form_of_the_tag),
    TEST(posts_and_streams_have_no_tag),
    TEST(a_304_keeps_the_connection),
    TEST(a_request_has_the_time_that_it_asks_for),
    TEST(a_time_beyond_the_bounds_is_refused),
    TEST(a_body_that_comes_too_late_for_the_given_time_is_refused),
    TEST(a_stream_ends_with_the_given_time),
};

KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
#include "bench/reply.h"
#include "kt_test.h"

#include "base/mem.h"

#include <stdlib.h>

/* Everything is read at once, byte for byte, and cut in two at every place: alike. */
struct outcome {
    enum kt_reply_verdict verdict;
    int status;
    bool keep_alive;
    char body[512], node[80];
    uint64_t revision;
};

static char buffer[70000];

static struct outcome read_cut(const char *text, size_t len, size_t step, size_t first,
                               bool to_head, bool ends)
{
    struct kt_reply reply;
    struct outcome out = {.verdict = KT_REPLY_MORE};
    size_t have = 0, taken = 0;
    kt_reply_begin(&reply, to_head);
    while (taken < len && out.verdict == KT_REPLY_MORE) {
        size_t part = taken == 0 && first ? first : step;
        part = part < len - taken ? part : len - taken;
        memcpy(buffer + have, text + taken, part);
        have += part;
        taken += part;
        out.verdict = kt_reply_read(&reply, buffer, &have);
    }
    if (out.verdict == KT_REPLY_DONE && taken < len) {
        out.verdict = KT_REPLY_BAD; /* the rest would be found behind it */
    }
    if (ends && out.verdict == KT_REPLY_MORE) {
        out.verdict = kt_reply_end(&reply);
    }
    if (out.verdict == KT_REPLY_DONE) {
        out.status = reply.status;
        out.keep_alive = reply.keep_alive;
        out.revision = reply.revision;
        kt_str_copy(out.body, sizeof(out.body), kt_reply_body(&reply, buffer));
        kt_str_copy(out.node, sizeof(out.node), kt_reply_node(&reply, buffer));
    }
    return out;
}

static bool same(const struct outcome *a, const struct outcome *b)
{
    return a->verdict == b->verdict && a->status == b->status && a->keep_alive == b->keep_alive &&
           a->revision == b->revision && strcmp(a->body, b->body) == 0 &&
           strcmp(a->node, b->node) == 0;
}

static struct outcome read_all(const char *text, bool to_head, bool ends)
{
    size_t len = strlen(text);
    struct outcome whole = read_cut(text, len, len, 0, to_head, ends);
    for (size_t cut = 1; cut < len; cut++) {
        struct outcome parts = read_cut(text, len, len, cut, to_head, ends);
        if (!same(&whole, &parts)) {
            kt_test_fail(__FILE__, __LINE__, "another outcome when cut at %zu: %s", cut, text);
        }
    }
    struct outcome bytes = read_cut(text, len, 1, 0, to_head, ends);
    if (!same(&whole, &bytes)) {
        kt_test_fail(__FILE__, __LINE__, "another outcome byte by byte: %s", text);
    }
    return whole;
}

#define HEAD "HTTP/1.1 200 OK\r\n"

static void an_answer_with_a_length_is_read(void)
{
    struct outcome out = read_all(HEAD "Content-Length: 5\r\nX-Kamaitachi-Node: abc\r\n"
                                       "x-kamaitachi-revision: 812\r\n\r\nhello",
                                  false, false);
    CHECK_INT(out.verdict, KT_REPLY_DONE);
    CHECK_INT(out.status, 200);
    CHECK(out.keep_alive);
    CHECK_STR(out.body, "hello");
    CHECK_STR(out.node, "abc");
    CHECK_INT(out.revision, 812);
}

static void a_chunked_answer_is_put_together(void)
{
    struct outcome out = read_all(HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
                                       "7;a=b\r\n, world\r\n0\r\nTrailer: x\r\n\r\n",
                                  false, false);
    CHECK_INT(out.verdict, KT_REPLY_DONE);
    CHECK_STR(out.body, "hello, world");
}

static void some_answers_have_no_body(void)
{
    CHECK_INT(read_all("HTTP/1.1 204 No Content\r\n\r\n", false, false).verdict, KT_REPLY_DONE);
    CHECK_INT(
        read_all("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", false, false).verdict,
        KT_REPLY_DONE);
    CHECK_INT(read_all(HEAD "Content-Length: 5\r\n\r\n", true, false).verdict, KT_REPLY_DONE);
    CHECK_INT(read_all(HEAD "Content-Length: 0\r\n\r\n", false, false).verdict, KT_REPLY_DONE);
    CHECK_INT(read_all("HTTP/1.1 204 No Content\r\n\r\nx", false, false).verdict, KT_REPLY_BAD);
}

static void an_answer_may_end_with_its_connection(void)
{
    struct outcome out = read_all("HTTP/1.0 200 OK\r\n\r\nhello", false, true);
    CHECK_INT(out.verdict, KT_REPLY_DONE);
    CHECK_STR(out.body, "hello");
    CHECK(!out.keep_alive);
    CHECK_INT(read_all("HTTP/1.0 200 OK\r\n\r\nhello", false, false).verdict, KT_REPLY_MORE);
}

static void an_interim_answer_is_passed_over(void)
{
    struct outcome out = read_all("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nA: b\r\n"
                                  "\r\n" HEAD "Content-Length: 2\r\n\r\nok",
                                  false, false);
    CHECK_INT(out.verdict, KT_REPLY_DONE);
    CHECK_INT(out.status, 200);
    CHECK_STR(out.body, "ok");
    CHECK_INT(read_all("HTTP/1.1 101 Switching\r\n\r\n", false, false).verdict, KT_REPLY_BAD);
}

static void keep_alive_is_what_version_and_connection_say(void)
{
    CHECK(
        !read_all(HEAD "Connection: close\r\nContent-Length: 0\r\n\r\n", false, false).keep_alive);
    CHECK(!read_all(HEAD "Connection: x, Close\r\nContent-Length: 0\r\n\r\n", false, false)
               .keep_alive);
    CHECK(read_all("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", false,
                   false)
              .keep_alive);
    CHECK(!read_all("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false, false).keep_alive);
}

static void half_an_answer_is_never_a_whole_one(void)
{
    static const char *const halves[] = {
        HEAD "Content-Length: 5\r\n\r\nhell",
        HEAD "Content-Length: 5\r\n",
        HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "HTTP/1.1 2",
        "HTTP/1.1 100 Continue\r\n\r\n",
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(halves); i++) {
        CHECK_INT(read_all(halves[i], false, false).verdict, KT_REPLY_MORE);
        CHECK_INT(read_all(halves[i], false, true).verdict, KT_REPLY_BAD);
    }
}

static void what_could_be_read_in_two_ways_is_refused(void)
{
    static const char *const bad[] = {
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 700 OK\r\n\r\n",
        "\r\n\r\n",
        "\n\n\n",
        "garbage garbage\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\r\n\r\n",
        HEAD "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        HEAD "Content-Length: +5\r\n\r\nhello",
        HEAD "Content-Length: 5, 5\r\n\r\nhello",
        HEAD "Content-Length: 99999999999999999999\r\n\r\n",
        HEAD "Content-Length: 9223372036854775807\r\n\r\n",
        HEAD "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloo\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\n",
        HEAD "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        HEAD "Content-Length: 5\r\n\r\nhello, world",
        HEAD "Name : x\r\n\r\n",
        HEAD " folded\r\n\r\n",
        HEAD "A: b\r\n folded\r\n\r\n",
        HEAD ": x\r\n\r\n",
        HEAD "no colon\r\n\r\n",
        HEAD "A: b\rc\r\n\r\n",
        HEAD "X-Kamaitachi-Revision: -1\r\n\r\n",
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        struct outcome out = read_all(bad[i], false, false);
        if (out.verdict != KT_REPLY_BAD) {
            kt_test_fail(__FILE__, __LINE__, "not refused: %s", bad[i]);
        }
    }
}

static void heads_are_bounded(void)
{
    static char text[80000];
    struct kt_reply reply;
    size_t len = (size_t)snprintf(text, sizeof(text), HEAD);
    for (int i = 0; i < 65; i++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "A: b\r\n");
    }
    len += (size_t)snprintf(text + len, sizeof(text) - len, "\r\n");
    kt_reply_begin(&reply, false);
    CHECK_INT(kt_reply_read(&reply, text, &len), KT_REPLY_BAD);

    memset(text, 'a', 40000);
    memcpy(text, HEAD, strlen(HEAD));
    len = 40000;
    kt_reply_begin(&reply, false);
    CHECK_INT(kt_reply_read(&reply, text, &len), KT_REPLY_BAD);
}

static void noise_is_never_taken_for_an_answer(void)
{
    static const char alphabet[] = "HTTP/1. 20\r\n\r\n:\t,;aContent-Length0\xff";
    uint64_t prng = 11;
    int rounds = kt_test_is_slow() ? 2000 : 40000;
    for (int i = 0; i < rounds; i++) {
        struct kt_reply reply;
        size_t len = 0, have;
        for (; len < 200; len++) {
            prng = prng * 6364136223846793005u + 1442695040888963407u;
            buffer[len] = alphabet[(prng >> 33) % (sizeof(alphabet) - 1)];
        }
        kt_reply_begin(&reply, i % 2);
        have = len;
        /* It may be half of something, but nothing whole: no status line begins so by chance. */
        CHECK(kt_reply_read(&reply, buffer, &have) != KT_REPLY_DONE);
        CHECK(have <= len);
    }
}

static const struct kt_test tests[] = {
    TEST(an_answer_with_a_length_is_read),
    TEST(a_chunked_answer_is_put_together),
    TEST(some_answers_have_no_body),
    TEST(an_answer_may_end_with_its_connection),
    TEST(an_interim_answer_is_passed_over),
    TEST(keep_alive_is_what_version_and_connection_say),
    TEST(half_an_answer_is_never_a_whole_one),
    TEST(what_could_be_read_in_two_ways_is_refused),
    TEST(heads_are_bounded),
    TEST(noise_is_never_taken_for_an_answer),
};
KT_TEST_MAIN(tests)

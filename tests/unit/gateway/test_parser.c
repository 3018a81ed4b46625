/* SPDX-License-Identifier: MIT */
/* Raw heads and what must become of them, whole and cut at every byte. */
#include "gateway/parser.h"

#include "kt_test.h"

#include "base/mem.h"

struct head_case {
    const char *text;
    enum kt_h1_verdict verdict;
};

#define LINE "GET /a HTTP/1.1\r\n"
#define HOST "Host: h\r\n"
#define CL(value) "POST /a HTTP/1.1\r\n" HOST "Content-Length:" value "\r\n\r\n"
#define TE(value) "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding:" value "\r\n\r\n"

static const struct head_case request_cases[] = {
    /* What must be read. */
    {LINE HOST "\r\n", KT_H1_OK},
    {"GET / HTTP/1.1\r\nhost: h\r\n\r\n", KT_H1_OK},
    {"GET /a?b=c&d HTTP/1.1\r\nHOST:h\r\n\r\n", KT_H1_OK},
    {"GET /a HTTP/1.0\r\n\r\n", KT_H1_OK},
    {"\r\n" LINE HOST "\r\n", KT_H1_OK},
    {"POST /a HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", KT_H1_OK},
    {"POST /a HTTP/1.1\r\n" HOST "Content-Length:  123\t\r\n\r\n", KT_H1_OK},
    {CL(" 999999999999999999"), KT_H1_OK},
    {CL(" 007"), KT_H1_OK},
    {TE(" chunked"), KT_H1_OK},
    {TE(" Chunked"), KT_H1_OK},
    {LINE HOST "X-Empty:\r\n\r\n", KT_H1_OK},
    {LINE HOST "X-High: \xe4\xb8\xad\r\n\r\n", KT_H1_OK},
    {LINE HOST "X-Tab: a\tb\r\n\r\n", KT_H1_OK},
    {LINE HOST "A!#$%&'*+-.^_`|~9: x\r\n\r\n", KT_H1_OK},
    {LINE "Host: [::1]:9000\r\n\r\n", KT_H1_OK},
    {LINE "Host: a-b.example_1:80\r\n\r\n", KT_H1_OK},
    {"GET http://h/a?b HTTP/1.1\r\n" HOST "\r\n", KT_H1_OK},
    {"GET HTTP://h:80/a HTTP/1.1\r\nHost: H:80\r\n\r\n", KT_H1_OK},
    {"GET http://h/a HTTP/1.0\r\n\r\n", KT_H1_OK},
    {"GET http://h:80/a HTTP/1.1\r\n" HOST "\r\n", KT_H1_BAD},
    {"GET http://other/a HTTP/1.1\r\n" HOST "\r\n", KT_H1_BAD},
    {"GET http://h HTTP/1.1\r\n" HOST "\r\n", KT_H1_OK},
    {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", KT_H1_OK},
    {"BREW /pot HTTP/1.1\r\n" HOST "\r\n", KT_H1_OK},
    {"GET /\xe4\xb8\xad?q=\xe5\x9b\xbd HTTP/1.1\r\n" HOST "\r\n", KT_H1_OK},
    {"GET /a%20b HTTP/1.1\r\n" HOST "\r\n", KT_H1_OK},
    {"GET //a HTTP/1.1\r\n" HOST "\r\n", KT_H1_OK}, /* the path's own judge refuses it */
    {"POST /a HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", KT_H1_OK},
    {LINE HOST "Connection: keep-alive, Upgrade\r\nUpgrade: h2c\r\n\r\n", KT_H1_OK},
    /* Line ends. */
    {"GET /a HTTP/1.1\nHost: h\n\n", KT_H1_BAD},
    {LINE "Host: h\n\r\n", KT_H1_BAD},
    {LINE HOST "\n", KT_H1_BAD},
    {"\n" LINE HOST "\r\n", KT_H1_BAD},
    {"\r\n\r\n" LINE HOST "\r\n", KT_H1_BAD},
    {"GET /a\rHTTP/1.1\r\n" HOST "\r\n", KT_H1_BAD},
    {LINE HOST "X: a\rb\r\n\r\n", KT_H1_BAD},
    {LINE HOST "X: a\r\r\n\r\n", KT_H1_BAD},
    {LINE "Host: h\r\n X: folded\r\n\r\n", KT_H1_BAD},
    {LINE "Host: h\r\n\tX: folded\r\n\r\n", KT_H1_BAD},
    {LINE " Host: h\r\n\r\n", KT_H1_BAD},
    /* Host. */
    {LINE "\r\n", KT_H1_BAD},
    {LINE HOST HOST "\r\n", KT_H1_BAD},
    {LINE HOST "host: other\r\n\r\n", KT_H1_BAD},
    {"GET /a HTTP/1.0\r\n" HOST HOST "\r\n", KT_H1_BAD},
    {LINE "Host:\r\n\r\n", KT_H1_BAD},
    {LINE "Host: a b\r\n\r\n", KT_H1_BAD},
    {LINE "Host: a/b\r\n\r\n", KT_H1_BAD},
    {LINE "Host: user@h\r\n\r\n", KT_H1_BAD},
    {LINE "Host: h:\r\n\r\n", KT_H1_OK},
    {LINE "Host: [::ffff:127.0.0.1]\r\n\r\n", KT_H1_OK},
    {LINE "Host: a, b\r\n\r\n", KT_H1_BAD},
    {LINE "Host: a,b\r\n\r\n", KT_H1_BAD},
    {LINE "Host: a?b\r\n\r\n", KT_H1_BAD},
    {LINE "Host: a#b\r\n\r\n", KT_H1_BAD},
    {LINE "Host: http://a\r\n\r\n", KT_H1_BAD},
    {LINE "Host: a%00b\r\n\r\n", KT_H1_BAD},
    {LINE "Host: h:port\r\n\r\n", KT_H1_BAD},
    {LINE "Host: h:80:80\r\n\r\n", KT_H1_BAD},
    {LINE "Host: h:-1\r\n\r\n", KT_H1_BAD},
    {LINE "Host: h:123456\r\n\r\n", KT_H1_BAD},
    {LINE "Host: :80\r\n\r\n", KT_H1_BAD},
    {LINE "Host: [::1\r\n\r\n", KT_H1_BAD},
    {LINE "Host: ::1]\r\n\r\n", KT_H1_BAD},
    {LINE "Host: []\r\n\r\n", KT_H1_BAD},
    {LINE "Host: [::1]x\r\n\r\n", KT_H1_BAD},
    {LINE "Host: [g::1]\r\n\r\n", KT_H1_BAD},
    {LINE "Host: \xe4\xb8\xad\r\n\r\n", KT_H1_BAD},
    /* Names and values. */
    {LINE "Host : h\r\n\r\n", KT_H1_BAD},
    {LINE HOST "Content-Length : 5\r\n\r\n", KT_H1_BAD},
    {LINE HOST "Transfer-Encoding\t: chunked\r\n\r\n", KT_H1_BAD},
    {LINE HOST ": value\r\n\r\n", KT_H1_BAD},
    {LINE HOST "no colon\r\n\r\n", KT_H1_BAD},
    {LINE HOST "X\x01Y: a\r\n\r\n", KT_H1_BAD},
    {LINE HOST "X(Y): a\r\n\r\n", KT_H1_BAD},
    {LINE HOST "X: a\x01\r\n\r\n", KT_H1_BAD},
    {LINE HOST "X: a\x7f\r\n\r\n", KT_H1_BAD},
    {LINE HOST "\xc3\xa4: a\r\n\r\n", KT_H1_BAD},
    /* Content-Length. */
    {CL(""), KT_H1_BAD},
    {CL(" "), KT_H1_BAD},
    {CL(" +5"), KT_H1_BAD},
    {CL(" -5"), KT_H1_BAD},
    {CL(" 5 5"), KT_H1_BAD},
    {CL(" 5,5"), KT_H1_BAD},
    {CL(" 0x5"), KT_H1_BAD},
    {CL(" 5\r\nContent-Length: 5"), KT_H1_BAD},
    {CL(" 5\r\ncontent-length: 6"), KT_H1_BAD},
    {CL(" 9999999999999999999"), KT_H1_BAD},
    {CL(" 5.0"), KT_H1_BAD},
    {CL(" 5_000"), KT_H1_BAD},
    {CL(" 5a"), KT_H1_BAD},
    {CL(" 0x22"), KT_H1_BAD},
    {CL(" 22h"), KT_H1_BAD},
    {CL(" 1e3"), KT_H1_BAD},
    {CL(" 5, 6"), KT_H1_BAD},
    {CL(" 5;"), KT_H1_BAD},
    {CL(" \"5\""), KT_H1_BAD},
    {CL(" \xd9\xa5"), KT_H1_BAD}, /* a digit, but not ASCII's */
    {CL(" 5\r\nX: y\r\nContent-Length: 5"), KT_H1_BAD},
    {CL(" 5\r\nContent-Length:"), KT_H1_BAD},
    {"GET /a HTTP/1.0\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", KT_H1_BAD},
    /* Transfer-Encoding. */
    {TE(" chunked\r\nContent-Length: 5"), KT_H1_BAD},
    {"POST /a HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
     KT_H1_BAD},
    {TE(" gzip, chunked"), KT_H1_BAD},
    {TE(" chunked, chunked"), KT_H1_BAD},
    {TE(" chunked\r\nTransfer-Encoding: chunked"), KT_H1_BAD},
    {TE(" identity"), KT_H1_BAD},
    {TE(" xchunked"), KT_H1_BAD},
    {TE(" chunked;q=1"), KT_H1_BAD},
    {TE(" \x0b"
        "chunked"),
     KT_H1_BAD},
    {TE(""), KT_H1_BAD},
    {TE(" chunked,"), KT_H1_BAD},
    {TE(" ,chunked"), KT_H1_BAD},
    {TE(" chunked, identity"), KT_H1_BAD},
    {TE(" identity, chunked"), KT_H1_BAD},
    {TE(" \"chunked\""), KT_H1_BAD},
    {TE(" chunked\r\nTransfer-Encoding: identity"), KT_H1_BAD},
    {TE(" identity\r\nTransfer-Encoding: chunked"), KT_H1_BAD},
    {TE(" chunked\r\ntransfer-encoding:"), KT_H1_BAD},
    {TE(" chunked\r\nContent-Length: 0"), KT_H1_BAD},
    {TE("\r\n chunked"), KT_H1_BAD},
    {"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", KT_H1_BAD},
    /* Request lines. */
    {"GET  /a HTTP/1.1\r\n" HOST "\r\n", KT_H1_BAD},
    {"GET /a  HTTP/1.1\r\n" HOST "\r\n", KT_H1_BAD},
    {"GET /a HTTP/1.1 \r\n" HOST "\r\n", KT_H1_BAD},
    {" GET /a HTTP/1.1\r\n" HOST "\r\n", KT_H1_BAD},
    {"GET /a b HTTP/1.1\r\n" HOST "\r\n", KT_H1_BAD},
    {"GET /a\tHTTP/1.1\r\n" HOST "\r\n", KT_H1_BAD},
    {"GET /a\r\n" HOST "\r\n", KT_H1_BAD},
    {"GET\r\n" HOST "\r\n", KT_H1_BAD},
    {"GET /a HTTP/2.0\r\n" HOST "\r\n", KT_H1_BAD},
    {"GET /a HTTP/1.2\r\n" HOST "\r\n", KT_H1_BAD},
    {"GET /a http/1.1\r\n" HOST "\r\n", KT_H1_BAD},
    {"GET /a HTTP/1.10\r\n" HOST "\r\n", KT_H1_BAD},
    {"GET /a#f HTTP/1.1\r\n" HOST "\r\n", KT_H1_BAD},
    {"GET a HTTP/1.1\r\n" HOST "\r\n", KT_H1_BAD},
    {"GET h:443 HTTP/1.1\r\n" HOST "\r\n", KT_H1_BAD},
    {"CONNECT h:443 HTTP/1.1\r\n" HOST "\r\n", KT_H1_BAD},
    {"GET https://h/a HTTP/1.1\r\n" HOST "\r\n", KT_H1_BAD},
    {"GET http:///a HTTP/1.1\r\n" HOST "\r\n", KT_H1_BAD},
    {"GET http://u@h/a HTTP/1.1\r\n" HOST "\r\n", KT_H1_BAD},
    {"GET * HTTP/1.1\r\n" HOST "\r\n", KT_H1_BAD},
    {"G@T /a HTTP/1.1\r\n" HOST "\r\n", KT_H1_BAD},
    {"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", KT_H1_BAD},
    {"POST /a HTTP/1.1\r\n" HOST "Expect: 200-ok\r\n\r\n", KT_H1_BAD},
};

/* Feeds the text in two parts cut at `cut`, as two reads would bring it. */
static enum kt_h1_verdict read_request(struct kt_str text, size_t cut,
                                       struct kt_h1_request *request)
{
    struct kt_h1_scan scan = {0};
    size_t head_len = 0;
    enum kt_h1_verdict verdict = kt_h1_scan_request(&scan, text.data, cut, &head_len);

    if (verdict == KT_H1_MORE) {
        verdict = kt_h1_scan_request(&scan, text.data, text.len, &head_len);
    }
    if (verdict != KT_H1_OK) {
        return verdict;
    }
    return kt_h1_parse_request(kt_str_n(text.data + scan.skip, head_len - scan.skip), request);
}

static void every_head_gets_its_verdict_however_it_is_cut(void)
{
    struct kt_h1_request request;

    for (size_t i = 0; i < KT_ARRAY_LEN(request_cases); i++) {
        const struct head_case *c = &request_cases[i];
        struct kt_str text = kt_str(c->text);

        for (size_t cut = 0; cut <= text.len; cut++) {
            enum kt_h1_verdict verdict = read_request(text, cut, &request);

            if (verdict != c->verdict) {
                kt_test_fail(__FILE__, __LINE__, "case %zu cut at %zu: verdict %d, expected %d: %s",
                             i, cut, verdict, c->verdict, c->text);
                return;
            }
        }
    }
    CHECK(KT_ARRAY_LEN(request_cases) >= 60);
}

static void a_head_without_its_end_is_waited_for(void)
{
    const char *text = LINE HOST "Content-Length: 5\r\n\r\n";
    struct kt_h1_scan scan = {0};
    size_t head_len = 0;

    for (size_t len = 0; len < strlen(text); len++) {
        CHECK_INT(kt_h1_scan_request(&scan, text, len, &head_len), KT_H1_MORE);
    }
    CHECK_INT(kt_h1_scan_request(&scan, text, strlen(text), &head_len), KT_H1_OK);
    CHECK_INT(head_len, strlen(text));
}

static void a_request_is_taken_apart(void)
{
    const char *text = "POST /data/x?y=1 HTTP/1.1\r\nHost: h:1\r\nContent-Length: 12\r\n"
                       "Connection: X-Mine, close\r\nX-Mine: 1\r\nVia: 1.1 a\r\n\r\n";
    struct kt_h1_request request;

    CHECK_INT(kt_h1_parse_request(kt_str(text), &request), KT_H1_OK);
    CHECK_INT(request.method, KT_HTTP_POST);
    CHECK_SLICE(request.path, "/data/x");
    CHECK_SLICE(request.query, "y=1");
    CHECK_SLICE(request.target, "/data/x?y=1");
    CHECK_INT(request.head.content_length, 12);
    CHECK(!request.head.keep_alive);
    CHECK(request.head.nominates);
    CHECK(kt_h1_is_nominated(&request.head, KT_STR("x-mine")));
    CHECK(!kt_h1_is_nominated(&request.head, KT_STR("Via")));
    CHECK_SLICE(request.head.known[KT_H1_VIA], "1.1 a");
    CHECK_SLICE(request.head.known[KT_H1_HOST], "h:1");
}

static void absolute_targets_are_reduced_to_their_path(void)
{
    struct kt_h1_request request;

    CHECK_INT(
        kt_h1_parse_request(kt_str("GET http://h:80/a?b HTTP/1.1\r\nHost: h:80\r\n\r\n"), &request),
        KT_H1_OK);
    CHECK_SLICE(request.target, "/a?b");
    CHECK_SLICE(request.path, "/a");
    CHECK_INT(kt_h1_parse_request(kt_str("GET http://h HTTP/1.1\r\n" HOST "\r\n"), &request),
              KT_H1_OK);
    CHECK_SLICE(request.target, "/");
    CHECK_SLICE(request.path, "/");
}

static void keep_alive_follows_version_and_connection(void)
{
    static const struct {
        const char *text;
        bool keep;
    } cases[] = {
        {LINE HOST "\r\n", true},
        {LINE HOST "Connection: close\r\n\r\n", false},
        {LINE HOST "Connection: Close , x\r\n\r\n", false},
        {LINE HOST "Connection: keep-alive\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
    };
    struct kt_h1_request request;

    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        CHECK_INT(kt_h1_parse_request(kt_str(cases[i].text), &request), KT_H1_OK);
        CHECK_INT(request.head.keep_alive, cases[i].keep);
    }
}

static void sixty_four_headers_pass_and_one_more_does_not(void)
{
    for (int count = 64; count <= 65; count++) {
        struct kt_h1_request request;
        struct kt_buf text;

        kt_buf_init(&text, 0);
        kt_buf_append_text(&text, LINE HOST);
        for (int i = 1; i < count; i++) {
            kt_buf_printf(&text, "X-%d: y\r\n", i);
        }
        kt_buf_append_text(&text, "\r\n");
        CHECK_INT(read_request(kt_buf_str(&text), text.len_bytes, &request),
                  count == 64 ? KT_H1_OK : KT_H1_TOO_LARGE);
        kt_buf_done(&text);
    }
}

static void a_head_of_32_kb_passes_and_a_larger_one_does_not(void)
{
    for (size_t size = KT_HTTP_HEAD_BYTES_MAX; size <= KT_HTTP_HEAD_BYTES_MAX + 1; size++) {
        struct kt_h1_request request;
        struct kt_buf text;

        kt_buf_init(&text, 0);
        kt_buf_append_text(&text, LINE HOST "X: ");
        while (text.len_bytes < size - 4) {
            kt_buf_append_byte(&text, 'a');
        }
        kt_buf_append_text(&text, "\r\n\r\n");
        CHECK_INT(text.len_bytes, size);
        CHECK_INT(read_request(kt_buf_str(&text), 1000, &request),
                  size == KT_HTTP_HEAD_BYTES_MAX ? KT_H1_OK : KT_H1_TOO_LARGE);
        kt_buf_done(&text);
    }
}

static void a_head_that_never_ends_is_given_up_at_32_kb(void)
{
    struct kt_h1_scan scan = {0};
    struct kt_buf text;
    size_t head_len = 0, len = 1;
    enum kt_h1_verdict verdict = KT_H1_MORE;

    kt_buf_init(&text, 0);
    for (int i = 0; i < 40000; i++) {
        kt_buf_append_byte(&text, 'a');
    }
    while (verdict == KT_H1_MORE && len < 40000) {
        verdict = kt_h1_scan_request(&scan, text.data, len++, &head_len);
    }
    CHECK_INT(verdict, KT_H1_TOO_LARGE);
    CHECK(len <= KT_HTTP_HEAD_BYTES_MAX + 2);
    kt_buf_done(&text);
}

static const struct {
    const char *text;
    enum kt_h1_verdict verdict;
    bool to_head, has_body, until_close;
} response_cases[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", KT_H1_OK, false, true, false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", KT_H1_OK, true, false, false},
    {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", KT_H1_OK, false, false, false},
    {"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n", KT_H1_OK, false, true, false},
    {"HTTP/1.0 200 OK\r\n\r\n", KT_H1_OK, false, true, true},
    {"HTTP/1.1 204 No Content\r\n\r\n", KT_H1_OK, false, false, false},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", KT_H1_OK, false, false, false},
    {"HTTP/1.1 100 Continue\r\n\r\n", KT_H1_OK, false, false, false},
    {"HTTP/1.1 99 X\r\n\r\n", KT_H1_BAD, false, false, false},
    {"HTTP/1.1 600 X\r\n\r\n", KT_H1_BAD, false, false, false},
    {"HTTP/1.1 20a X\r\n\r\n", KT_H1_BAD, false, false, false},
    {"HTTP/1.1 2000 X\r\n\r\n", KT_H1_BAD, false, false, false},
    {"HTTP/1.1  200 X\r\n\r\n", KT_H1_BAD, false, false, false},
    {"HTTP/2 200 X\r\n\r\n", KT_H1_BAD, false, false, false},
    {"200 OK\r\n\r\n", KT_H1_BAD, false, false, false},
    {"\r\nHTTP/1.1 200 OK\r\n\r\n", KT_H1_BAD, false, false, false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", KT_H1_BAD, false,
     false, false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", KT_H1_BAD, false, false,
     false},
    {"HTTP/1.1 200 OK\nContent-Length: 5\n\n", KT_H1_BAD, false, false, false},
    {"HTTP/1.1 200 O\x01K\r\n\r\n", KT_H1_BAD, false, false, false},
};

static void every_answer_gets_its_verdict_however_it_is_cut(void)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(response_cases); i++) {
        struct kt_str text = kt_str(response_cases[i].text);

        for (size_t cut = 0; cut <= text.len; cut++) {
            struct kt_h1_scan scan = {0};
            struct kt_h1_response response;
            size_t head_len = 0;
            enum kt_h1_verdict verdict = kt_h1_scan_response(&scan, text.data, cut, &head_len);

            if (verdict == KT_H1_MORE) {
                verdict = kt_h1_scan_response(&scan, text.data, text.len, &head_len);
            }
            if (verdict == KT_H1_OK) {
                verdict = kt_h1_parse_response(kt_str_n(text.data, head_len),
                                               response_cases[i].to_head, &response);
            }
            CHECK_INT(verdict, response_cases[i].verdict);
            if (verdict == KT_H1_OK) {
                CHECK_INT(response.has_body, response_cases[i].has_body);
                CHECK_INT(response.until_close, response_cases[i].until_close);
            }
        }
    }
}

/* Bytes in any order must never be read outside of their buffer (the sanitizers watch). */
static void noise_is_refused_without_harm(void)
{
    static const char alphabet[] =
        "GET /:HTTP/1.1\r\n\r\n\r\nHost: hContent-Length5,chunked\x80\x01";
    uint32_t state = 12345;
    int rounds = kt_test_is_slow() ? 2000 : 40000;

    for (int round = 0; round < rounds; round++) {
        struct kt_h1_request request;
        size_t len = (size_t)(round % 200);
        char *text = kt_malloc(len + 1);

        for (size_t i = 0; i < len; i++) {
            state = state * 1664525 + 1013904223;
            text[i] = alphabet[(state >> 16) % (sizeof(alphabet) - 1)];
        }
        (void)read_request(kt_str_n(text, len), len / 2, &request);
        kt_free(text);
    }
}

static const struct kt_test tests[] = {
    TEST(every_head_gets_its_verdict_however_it_is_cut),
    TEST(a_head_without_its_end_is_waited_for),
    TEST(a_request_is_taken_apart),
    TEST(absolute_targets_are_reduced_to_their_path),
    TEST(keep_alive_follows_version_and_connection),
    TEST(sixty_four_headers_pass_and_one_more_does_not),
    TEST(a_head_of_32_kb_passes_and_a_larger_one_does_not),
    TEST(a_head_that_never_ends_is_given_up_at_32_kb),
    TEST(every_answer_gets_its_verdict_however_it_is_cut),
    TEST(noise_is_refused_without_harm),
};
KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
#include "http/chunks.h"

#include "../kt_test.h"

#include "base/buf.h"
#include "base/mem.h"

static const struct {
    const char *text, *payload;
    enum kt_h1_verdict verdict;
    size_t behind; /* bytes that belong to the next message */
} cases[] = {
    {"0\r\n\r\n", "", KT_H1_OK, 0},
    {"5\r\nhello\r\n0\r\n\r\n", "hello", KT_H1_OK, 0},
    {"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world", KT_H1_OK, 0},
    {"A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n", "01234567890123456789", KT_H1_OK, 0},
    {"5;x=y\r\nhello\r\n0;z\r\n\r\n", "hello", KT_H1_OK, 0},
    {"2\r\n\r\n\r\n0\r\n\r\n", "\r\n", KT_H1_OK, 0},
    {"1\r\na\r\n0\r\nTrailer: x\r\nOther: y\r\n\r\n", "a", KT_H1_OK, 0},
    {"1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n", "a", KT_H1_OK, 16},
    {"5\r\nhel", "hel", KT_H1_MORE, 0},
    {"5\r\nhello\r\n", "hello", KT_H1_MORE, 0},
    {"0\r\n", "", KT_H1_MORE, 0},
    {"\r\n", "", KT_H1_BAD, 0},
    {"x\r\n", "", KT_H1_BAD, 0},
    {"-1\r\n", "", KT_H1_BAD, 0},
    {"0x5\r\nhello\r\n", "", KT_H1_BAD, 0},
    {" 5\r\nhello\r\n", "", KT_H1_BAD, 0},
    {"5 \r\nhello\r\n", "", KT_H1_BAD, 0},
    {"5;\r\nhello\r\n", "", KT_H1_BAD, 0},
    {"5; x\r\nhello\r\n", "", KT_H1_BAD, 0},
    {"+5\r\nhello\r\n", "", KT_H1_BAD, 0},
    {"1_0\r\n", "", KT_H1_BAD, 0},
    {"5\nhello\r\n0\r\n\r\n", "", KT_H1_BAD, 0},
    {"5\r\nhello\n0\r\n\r\n", "", KT_H1_BAD, 0},
    {"5\r\nhelloX\r\n0\r\n\r\n", "", KT_H1_BAD, 0},
    {"5;a\nb\r\nhello\r\n0\r\n\r\n", "", KT_H1_BAD, 0},
    {"5\rhello\r\n", "", KT_H1_BAD, 0},
    {"fffffffffffffffff\r\n", "", KT_H1_BAD, 0},
    {"0\r\n: no name\r\n\r\n", "", KT_H1_BAD, 0},
    {"0\r\n folded\r\n\r\n", "", KT_H1_BAD, 0},
    {"0\r\nX: a\n\r\n", "", KT_H1_BAD, 0},
    {"0\r\n\rX", "", KT_H1_BAD, 0},
};

/* Decodes in two reads; the payload is gathered, *ret_used counts the input taken. */
static enum kt_h1_verdict decode(const char *text, size_t cut, struct kt_buf *ret_payload,
                                 size_t *ret_used)
{
    struct kt_h1_chunks chunks;
    size_t len = strlen(text), from[3] = {0, cut, len};
    enum kt_h1_verdict verdict = KT_H1_MORE;

    kt_h1_chunks_init(&chunks);
    *ret_used = 0;
    for (int part = 0; part < 2 && verdict == KT_H1_MORE; part++) {
        size_t size = from[part + 1] - from[part], used = 0, payload = 0;
        char *copy = kt_strndup(text + from[part], size);

        verdict = kt_h1_chunks_decode(&chunks, copy, size, &used, &payload);
        if (verdict != KT_H1_BAD) {
            kt_buf_append(ret_payload, copy, payload);
            *ret_used += used;
        }
        kt_free(copy);
    }
    /* The end was reached in the first part: the second is the next message's. */
    return verdict;
}

static void every_body_is_decoded_however_it_is_cut(void)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        for (size_t cut = 0; cut <= strlen(cases[i].text); cut++) {
            struct kt_buf payload;
            size_t used;
            enum kt_h1_verdict verdict;

            kt_buf_init(&payload, 0);
            kt_buf_append_text(&payload, "");
            verdict = decode(cases[i].text, cut, &payload, &used);
            if (verdict != cases[i].verdict) {
                kt_test_fail(__FILE__, __LINE__, "case %zu cut at %zu: %d, expected %d", i, cut,
                             verdict, cases[i].verdict);
                return;
            }
            if (verdict != KT_H1_BAD) {
                CHECK_SLICE(kt_buf_str(&payload), cases[i].payload);
            }
            if (verdict == KT_H1_OK) {
                CHECK_INT(strlen(cases[i].text) - used, cases[i].behind);
            }
            kt_buf_done(&payload);
        }
    }
}

static void endless_extensions_and_trailers_are_refused(void)
{
    struct kt_h1_chunks chunks;
    size_t used, payload;
    char line[10000];

    memset(line, 'a', sizeof(line));
    memcpy(line, "5;", 2);
    kt_h1_chunks_init(&chunks);
    CHECK_INT(kt_h1_chunks_decode(&chunks, line, sizeof(line), &used, &payload), KT_H1_BAD);
    memset(line, 'a', sizeof(line));
    memcpy(line, "0\r\n", 3);
    kt_h1_chunks_init(&chunks);
    CHECK_INT(kt_h1_chunks_decode(&chunks, line, sizeof(line), &used, &payload), KT_H1_BAD);
}

static const struct kt_test tests[] = {
    TEST(every_body_is_decoded_however_it_is_cut),
    TEST(endless_extensions_and_trailers_are_refused),
};
KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
/* pressure_test's reading of answers: at once, cut in two and byte by byte come to the same, and a
 * body that was found right is found right again. The first byte says where it is cut and whether
 * the request was HEAD.
 */
#include "fuzz.h"

#include "bench/check.h"

#include <string.h>

#define INPUT_MAX 66000

static char buffer[INPUT_MAX], other[INPUT_MAX];

struct outcome {
    enum kt_reply_verdict verdict;
    size_t taken; /* of the input, when DONE */
    struct kt_reply reply;
    size_t len; /* of the buffer */
};

static struct outcome read_in(char *dest, struct kt_str text, size_t first, size_t step, bool head)
{
    struct outcome out = {.verdict = KT_REPLY_MORE};
    kt_reply_begin(&out.reply, head);
    while (out.taken < text.len && out.verdict == KT_REPLY_MORE) {
        size_t part = out.taken == 0 && first ? first : step;
        part = part < text.len - out.taken ? part : text.len - out.taken;
        memcpy(dest + out.len, text.data + out.taken, part);
        out.len += part;
        out.taken += part;
        out.verdict = kt_reply_read(&out.reply, dest, &out.len);
        FUZZ_CHECK(out.len <= out.taken);
    }
    if (out.verdict == KT_REPLY_DONE) {
        FUZZ_CHECK(out.reply.head_len > 0 && out.reply.status >= 200 && out.reply.status <= 599);
        FUZZ_CHECK(out.reply.head_len + out.reply.body_len <= out.len);
        FUZZ_CHECK(out.reply.node_at + out.reply.node_len <= out.reply.head_len);
        FUZZ_CHECK(!(out.reply.chunked && out.reply.content_length >= 0));
    }
    return out;
}

static void judge(const struct kt_reply *reply, struct kt_str body)
{
    static struct kt_str subjects[] = {{"s:1", 3}, {"s:2", 3}}, ids[] = {{"a", 1}, {"b", 1}};
    struct kt_planned planned = {.status = 200,
                                 .subjects = subjects,
                                 .subject_count = 2,
                                 .ids = ids,
                                 .id_count = 2,
                                 .limit = 2,
                                 .at = KT_NO_TIME,
                                 .sorted = true};
    for (int kind = KT_EXPECT_SNAPSHOT; kind <= KT_EXPECT_RAW; kind++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_hole hole;
        planned.kind = (enum kt_expect_kind)kind;
        if (kt_check(&planned, reply, body, &hole, &err) == KT_WRONG_NONE) {
            FUZZ_CHECK(hole.start <= hole.end && hole.end <= body.len);
            FUZZ_CHECK(kt_check_same(body, &hole, body) || hole.end - hole.start > 15);
        } else {
            FUZZ_CHECK(err.message[0]);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > INPUT_MAX) {
        return 0;
    }
    bool head = data[0] & 1;
    struct kt_str text = fuzz_str(data + 1, size - 1);
    struct outcome whole = read_in(buffer, text, 0, text.len, head);
    struct outcome cut = read_in(other, text, 1 + data[0] / 2u, text.len, head);
    for (int i = 0; i < 2; i++) {
        /* What is behind an answer is found when it comes with it, else left for the caller. */
        bool rest = cut.verdict == KT_REPLY_DONE && cut.taken < text.len;
        FUZZ_CHECK(rest ? whole.verdict == KT_REPLY_BAD : cut.verdict == whole.verdict);
        if (cut.verdict == KT_REPLY_DONE && !rest) {
            struct kt_str a = kt_reply_body(&whole.reply, buffer);
            struct kt_str b = kt_reply_body(&cut.reply, other);
            FUZZ_CHECK(kt_str_eq(a, b) && whole.reply.status == cut.reply.status);
        }
        cut = read_in(other, text, 0, 1, head);
    }
    if (whole.verdict == KT_REPLY_DONE) {
        judge(&whole.reply, kt_reply_body(&whole.reply, buffer));
    }
    return 0;
}

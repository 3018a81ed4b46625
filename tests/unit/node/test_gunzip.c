/* SPDX-License-Identifier: MIT */
#include "drip.h"
#include "gzip.h"
#include "kt_test.h"
#include "node/gunzip.h"

#include "base/mem.h"

#include <stdlib.h>

static const size_t pieces[] = {1, 7, 1000, 0};
static const size_t sizes[] = {1, 13, 65536}; /* that the reader asks for */

static enum kt_status unpack_from(struct drip *drip, size_t size, struct kt_buf *ret_text,
                                  struct kt_error *err)
{
    struct kt_http_body body = {drip_read, drip};
    struct kt_gunzip *gunzip = NULL;
    char *dest = malloc(size);
    size_t len = 1;
    enum kt_status status = kt_gunzip_new(&body, &gunzip, err);
    while (status == KT_OK && len > 0) {
        status = kt_gunzip_read(gunzip, dest, size, &len, err);
        if (status == KT_OK) {
            kt_buf_append(ret_text, dest, len);
        }
    }
    kt_gunzip_free(&gunzip);
    if (gunzip) {
        abort();
    }
    free(dest);
    return status;
}

static enum kt_status unpack(struct kt_str packed, struct kt_buf *ret_text, struct kt_error *err)
{
    struct drip drip = {.text = packed, .piece = 7};
    kt_buf_clear(ret_text);
    return unpack_from(&drip, 100, ret_text, err);
}

static bool unpacks_to(struct kt_str packed, struct kt_str expected)
{
    struct kt_buf got;
    bool good = true;
    kt_buf_init(&got, 0);
    for (size_t i = 0; i < KT_ARRAY_LEN(pieces) * KT_ARRAY_LEN(sizes) && good; i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct drip drip = {.text = packed, .piece = pieces[i % KT_ARRAY_LEN(pieces)]};
        size_t size = sizes[i / KT_ARRAY_LEN(pieces)];
        kt_buf_clear(&got);
        enum kt_status status = unpack_from(&drip, size, &got, &err);
        good = status == KT_OK && kt_str_eq(kt_buf_str(&got), expected);
        if (!good) {
            kt_test_fail(__FILE__, __LINE__, "pieces of %zu, reads of %zu: %s, %zu of %zu bytes",
                         drip.piece, size, status == KT_OK ? "ok" : err.message, got.len_bytes,
                         expected.len);
        }
    }
    kt_buf_done(&got);
    return good;
}

static void fill_text(struct kt_buf *text, int lines)
{
    kt_buf_clear(text);
    for (int i = 0; i < lines; i++) {
        kt_buf_printf(text, "subject %d,%d,%d\n", i % 17, i * 7919 % 1000, i);
    }
}

static void a_stream_unpacks_alike_in_any_pieces(void)
{
    struct kt_buf text, packed;
    kt_buf_init(&text, 0);
    kt_buf_init(&packed, 0);
    for (int lines = 0; lines <= 4000; lines = lines * 20 + 10) {
        fill_text(&text, lines);
        kt_buf_clear(&packed);
        gzip_append(kt_buf_str(&text), GZIP_MEMBER, &packed);
        CHECK(unpacks_to(kt_buf_str(&packed), kt_buf_str(&text)));
    }
    kt_buf_done(&text);
    kt_buf_done(&packed);
}

static void members_follow_one_another_empty_ones_too(void)
{
    struct kt_buf packed;
    kt_buf_init(&packed, 0);
    gzip_append(KT_STR(""), GZIP_MEMBER, &packed);
    CHECK(unpacks_to(kt_buf_str(&packed), KT_STR("")));
    gzip_append(KT_STR("a,b\n"), GZIP_MEMBER, &packed);
    gzip_append(KT_STR(""), GZIP_MEMBER, &packed);
    gzip_append(KT_STR(""), GZIP_MEMBER, &packed);
    gzip_append(KT_STR("c,d\n"), GZIP_MEMBER, &packed);
    CHECK(unpacks_to(kt_buf_str(&packed), KT_STR("a,b\nc,d\n")));
    gzip_append(KT_STR(""), GZIP_MEMBER, &packed);
    CHECK(unpacks_to(kt_buf_str(&packed), KT_STR("a,b\nc,d\n")));
    kt_buf_done(&packed);
}

static void a_stream_that_is_cut_short_is_refused_wherever_it_is_cut(void)
{
    struct kt_buf text, packed, got;
    kt_buf_init(&text, 0);
    kt_buf_init(&packed, 0);
    kt_buf_init(&got, 0);
    fill_text(&text, 50);
    gzip_append(kt_buf_str(&text), GZIP_MEMBER, &packed);
    size_t first = packed.len_bytes;
    gzip_append(KT_STR("second\n"), GZIP_MEMBER, &packed);
    for (size_t len = 0; len < packed.len_bytes; len++) {
        struct kt_error err = KT_ERROR_INIT;
        if (len == first) {
            continue; /* a whole member */
        }
        CHECK_FAILS(unpack(kt_str_n(packed.data, len), &got, &err), KT_BAD_REQUEST);
        CHECK_STR(err.message, "the gzip body is cut short");
        /* What came before the cut was handed over, and is a beginning of the text. */
        CHECK(got.len_bytes <= text.len_bytes + 7);
        CHECK(memcmp(got.data ? got.data : "", text.data,
                     got.len_bytes < text.len_bytes ? got.len_bytes : text.len_bytes) == 0);
    }
    kt_buf_done(&text);
    kt_buf_done(&packed);
    kt_buf_done(&got);
}

static void something_else_behind_a_member_is_refused(void)
{
    static const struct kt_str tails[] = {
        {"x", 1},    {"\n", 1},           {"\0", 1},        {"\0\0\0\0\0\0\0\0\0\0", 10},
        {"\x1f", 1}, {"\x1f\x8b\x08", 3}, {"a,b\n1,2\n", 8}};
    struct kt_buf packed, got;
    kt_buf_init(&packed, 0);
    kt_buf_init(&got, 0);
    for (size_t i = 0; i < KT_ARRAY_LEN(tails); i++) {
        struct kt_error err = KT_ERROR_INIT;
        kt_buf_clear(&packed);
        gzip_append(KT_STR("a,b\n"), GZIP_MEMBER, &packed);
        kt_buf_append_str(&packed, tails[i]);
        CHECK_FAILS(unpack(kt_buf_str(&packed), &got, &err), KT_BAD_REQUEST);
        CHECK(strstr(err.message, "gzip"));
    }
    kt_buf_done(&packed);
    kt_buf_done(&got);
}

static void what_is_not_gzip_is_refused(void)
{
    struct kt_buf packed, got;
    struct kt_error err = KT_ERROR_INIT;
    kt_buf_init(&packed, 0);
    kt_buf_init(&got, 0);
    CHECK_FAILS(unpack(KT_STR("subject,time,x\na,2020,1\n"), &got, &err), KT_BAD_REQUEST);
    CHECK(strstr(err.message, "not valid gzip"));
    CHECK_FAILS(unpack(KT_STR(""), &got, &err), KT_BAD_REQUEST);
    CHECK_FAILS(unpack(KT_STR("PK\x03\x04 a zip file, not gzip"), &got, &err), KT_BAD_REQUEST);
    gzip_append(KT_STR("a,b\n"), GZIP_ZLIB, &packed);
    CHECK_FAILS(unpack(kt_buf_str(&packed), &got, &err), KT_BAD_REQUEST);
    kt_buf_clear(&packed);
    gzip_append(KT_STR("a,b\n"), GZIP_RAW, &packed);
    CHECK_FAILS(unpack(kt_buf_str(&packed), &got, &err), KT_BAD_REQUEST);
    CHECK_INT(got.len_bytes, 0);
    kt_buf_done(&packed);
    kt_buf_done(&got);
}

/* The checksum sees every flipped bit; only what says nothing of the text (the header's time, its
 * system) may change without being noticed. */
static void a_damaged_stream_never_unpacks_to_another_text(void)
{
    struct kt_buf text, packed, got;
    size_t refused = 0;
    kt_buf_init(&text, 0);
    kt_buf_init(&packed, 0);
    kt_buf_init(&got, 0);
    fill_text(&text, 60);
    gzip_append(kt_buf_str(&text), GZIP_MEMBER, &packed);
    for (size_t at = 0; at < packed.len_bytes; at++) {
        for (int bit = 0; bit < 8; bit++) {
            struct kt_error err = KT_ERROR_INIT;
            packed.data[at] = (char)(packed.data[at] ^ (1 << bit));
            enum kt_status status = unpack(kt_buf_str(&packed), &got, &err);
            packed.data[at] = (char)(packed.data[at] ^ (1 << bit));
            if (status != KT_OK) {
                CHECK_INT(status, KT_BAD_REQUEST);
                CHECK_INT(err.status, KT_BAD_REQUEST);
                refused++;
            } else {
                CHECK(kt_str_eq(kt_buf_str(&got), kt_buf_str(&text)));
            }
        }
    }
    CHECK(refused >= (packed.len_bytes - 10) * 8);
    kt_buf_done(&text);
    kt_buf_done(&packed);
    kt_buf_done(&got);
}

static void a_bomb_is_unpacked_without_further_memory(void)
{
    size_t bytes = (size_t)(kt_test_is_slow() ? 16 : 256) << 20, total = 0, len = 1;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf packed;
    struct kt_gunzip *gunzip = NULL;
    char *dest = malloc(65536);
    kt_buf_init(&packed, 0);
    gzip_append_run('0', bytes, &packed);
    CHECK(packed.len_bytes < bytes / 500);
    struct drip drip = {.text = kt_buf_str(&packed)};
    struct kt_http_body body = {drip_read, &drip};
    CHECK_OK(kt_gunzip_new(&body, &gunzip, &err));
    CHECK_OK(kt_gunzip_read(gunzip, dest, 65536, &len, &err));
    total = len;
    kt_fault_set(KT_FAULT_ALLOC, 0, 0);
    while (len > 0) {
        CHECK_OK(kt_gunzip_read(gunzip, dest, 65536, &len, &err));
        CHECK(len <= 65536);
        total += len;
    }
    CHECK_INT(total, bytes);
    CHECK_INT(kt_fault_calls(KT_FAULT_ALLOC), 0);
    kt_gunzip_free(&gunzip);
    kt_buf_done(&packed);
    free(dest);
}

static void a_bomb_is_refused_where_its_ratio_is_bounded(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf packed;
    char *dest = malloc(65536);
    kt_buf_init(&packed, 0);
    gzip_append_run('0', (size_t)KT_GUNZIP_FREE_BYTES * 2, &packed);
    for (int64_t ratio = 200; ratio <= 1100; ratio += 900) {
        struct drip drip = {.text = kt_buf_str(&packed)};
        struct kt_http_body body = {drip_read, &drip};
        struct kt_gunzip *gunzip = NULL;
        enum kt_status status = kt_gunzip_new(&body, &gunzip, &err);
        size_t total = 0, len = 1;
        kt_gunzip_bound(gunzip, ratio);
        while (status == KT_OK && len > 0) {
            status = kt_gunzip_read(gunzip, dest, 65536, &len, &err);
            total += status == KT_OK ? len : 0;
        }
        kt_gunzip_free(&gunzip);
        CHECK_INT(status, ratio < 1000 ? KT_TOO_LARGE : KT_OK);
        CHECK(status == KT_OK || strstr(err.message, "gzip_ratio") != NULL);
        CHECK(status == KT_OK || total <= KT_GUNZIP_FREE_BYTES);
    }
    kt_buf_done(&packed);
    free(dest);
}

/* A slow client's lines are taken as they come, not when the buffer is full. */
static void what_is_there_is_handed_over_before_more_is_waited_for(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf packed;
    struct kt_gunzip *gunzip = NULL;
    char dest[1000];
    size_t len = 0;
    kt_buf_init(&packed, 0);
    size_t flushed = gzip_append_flushed(KT_STR("first\n"), KT_STR("second\n"), &packed);
    struct drip drip = {.text = kt_buf_str(&packed), .piece = flushed};
    struct kt_http_body body = {drip_read, &drip};
    CHECK_OK(kt_gunzip_new(&body, &gunzip, &err));
    CHECK_OK(kt_gunzip_read(gunzip, dest, sizeof(dest), &len, &err));
    CHECK(kt_str_eq(kt_str_n(dest, len), KT_STR("first\n")));
    CHECK_INT(drip.pos, flushed);
    CHECK_OK(kt_gunzip_read(gunzip, dest, sizeof(dest), &len, &err));
    CHECK(kt_str_eq(kt_str_n(dest, len), KT_STR("second\n")));
    CHECK_OK(kt_gunzip_read(gunzip, dest, sizeof(dest), &len, &err));
    CHECK_INT(len, 0);
    CHECK_OK(kt_gunzip_read(gunzip, dest, sizeof(dest), &len, &err));
    CHECK_INT(len, 0);
    CHECK_INT(drip.asked_beyond, 0);
    kt_gunzip_free(&gunzip);
    kt_buf_done(&packed);
}

static void a_failing_source_fails_the_read_with_its_status(void)
{
    struct kt_buf packed, got;
    kt_buf_init(&packed, 0);
    kt_buf_init(&got, 0);
    gzip_append(KT_STR("a,b\n1,2\n"), GZIP_MEMBER, &packed);
    for (size_t at = 0; at < packed.len_bytes; at++) {
        struct kt_error err = KT_ERROR_INIT;
        struct drip drip = {
            .text = kt_buf_str(&packed), .piece = 3, .fail_at = at, .fail_with = KT_TIMEOUT};
        CHECK_FAILS(unpack_from(&drip, 100, &got, &err), KT_TIMEOUT);
        CHECK_STR(err.message, "the source failed");
    }
    kt_buf_done(&packed);
    kt_buf_done(&got);
}

static void lack_of_memory_is_said_and_nothing_leaks(void)
{
    struct kt_buf packed, got;
    enum kt_status status = KT_NO_MEMORY;
    uint64_t nth = 0;
    kt_buf_init(&packed, 0);
    kt_buf_init(&got, 0);
    gzip_append(KT_STR("a,b\n1,2\n"), GZIP_MEMBER, &packed);
    kt_buf_reserve(&got, 1000);
    while (status != KT_OK) {
        struct kt_error err = KT_ERROR_INIT;
        struct drip drip = {.text = kt_buf_str(&packed), .piece = 3};
        kt_buf_clear(&got);
        kt_fault_set(KT_FAULT_ALLOC, ++nth, 0);
        status = unpack_from(&drip, 100, &got, &err);
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        if (status != KT_OK) {
            CHECK_INT(status, KT_NO_MEMORY);
            CHECK_INT(err.status, KT_NO_MEMORY);
        }
        CHECK(nth < 20);
    }
    CHECK(nth > 2);
    CHECK_SLICE(kt_buf_str(&got), "a,b\n1,2\n");
    kt_buf_done(&packed);
    kt_buf_done(&got);
}

static const struct kt_test tests[] = {
    TEST(a_stream_unpacks_alike_in_any_pieces),
    TEST(members_follow_one_another_empty_ones_too),
    TEST(a_stream_that_is_cut_short_is_refused_wherever_it_is_cut),
    TEST(something_else_behind_a_member_is_refused),
    TEST(what_is_not_gzip_is_refused),
    TEST(a_damaged_stream_never_unpacks_to_another_text),
    TEST(a_bomb_is_unpacked_without_further_memory),
    TEST(a_bomb_is_refused_where_its_ratio_is_bounded),
    TEST(what_is_there_is_handed_over_before_more_is_waited_for),
    TEST(a_failing_source_fails_the_read_with_its_status),
    TEST(lack_of_memory_is_said_and_nothing_leaks),
};
KT_TEST_MAIN(tests)

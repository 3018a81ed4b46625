/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "kt_test.h"

#include <math.h>

static void appends_grow_and_stay_terminated(void)
{
    struct kt_buf buf;
    kt_buf_init(&buf, 0);
    CHECK_INT(kt_buf_str(&buf).len, 0);
    for (int i = 0; i < 1000; i++) {
        kt_buf_append_byte(&buf, (char)('a' + i % 26));
        CHECK_INT(buf.data[buf.len_bytes], 0);
    }
    kt_buf_clear(&buf);
    CHECK_STR(buf.data, "");
    kt_buf_append(&buf, "ab", 2);
    kt_buf_append_str(&buf, KT_STR("cd"));
    kt_buf_append_str(&buf, (struct kt_str){NULL, 0});
    kt_buf_append_text(&buf, "ef");
    kt_buf_append_hex(&buf, "\x00\x7F\xFF", 3);
    kt_buf_append_byte(&buf, ' ');
    kt_buf_append_i64(&buf, -12);
    kt_buf_append_u64(&buf, UINT64_MAX);
    kt_buf_printf(&buf, " %s=%d", "x", 7);
    CHECK_STR(buf.data, "abcdef007fff -1218446744073709551615 x=7");
    CHECK_INT(kt_buf_status(&buf), KT_OK);
    kt_buf_done(&buf);
    CHECK(!buf.data);
    kt_buf_done(&buf);
}

static void done_is_right_on_zeroed_memory(void)
{
    struct kt_buf buf = {0};
    kt_buf_append_text(&buf, "x");
    CHECK_STR(buf.data, "x");
    kt_buf_done(&buf);
    struct kt_buf other = {0};
    kt_buf_done(&other);
}

static void an_empty_append_terminates_too(void)
{
    struct kt_buf buf;
    kt_buf_init(&buf, 0);
    kt_buf_append(&buf, NULL, 0);
    CHECK_STR(buf.data, "");
    kt_buf_done(&buf);
}

static void the_bound_sticks_and_content_stays(void)
{
    struct kt_buf buf;
    kt_buf_init(&buf, 5);
    kt_buf_append_text(&buf, "abc");
    kt_buf_append_text(&buf, "def");
    CHECK_INT(kt_buf_status(&buf), KT_TOO_LARGE);
    kt_buf_append_byte(&buf, 'x');
    kt_buf_printf(&buf, "%d", 1);
    kt_buf_append_hex(&buf, "x", 1);
    CHECK(!kt_buf_reserve(&buf, 0));
    CHECK_STR(buf.data, "abc");
    CHECK(!kt_buf_take(&buf, NULL));
    kt_buf_clear(&buf);
    kt_buf_append_text(&buf, "12345");
    CHECK_INT(kt_buf_status(&buf), KT_OK);
    CHECK_STR(buf.data, "12345");
    kt_buf_append_byte(&buf, 'x');
    CHECK_INT(kt_buf_status(&buf), KT_TOO_LARGE);
    kt_buf_done(&buf);
}

static void a_printf_that_does_not_fit_leaves_no_trace(void)
{
    struct kt_buf buf;
    kt_buf_init(&buf, 8);
    kt_buf_append_text(&buf, "abc");
    kt_buf_printf(&buf, "%s", "123456");
    CHECK_INT(kt_buf_status(&buf), KT_TOO_LARGE);
    CHECK_STR(buf.data, "abc");
    kt_buf_done(&buf);
    kt_buf_init(&buf, 0);
    char text[300];
    memset(text, 'y', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    kt_buf_printf(&buf, "%s", text);
    CHECK_STR(buf.data, text);
    kt_buf_done(&buf);
}

/* A bound is met by what is written, not by the most that a number could take. */
static void numbers_fill_a_bound_to_its_last_byte(void)
{
    static const double values[] = {0, 7, -1.5, 0.000001, 1.2345678901234567e-300, 1e20};
    for (size_t i = 0; i < KT_ARRAY_LEN(values); i++) {
        char text[KT_F64_TEXT_MAX];
        size_t len = kt_format_f64(values[i], text);
        for (size_t before = 0; before < 60; before++) {
            for (size_t bound = before + len - 1; bound <= before + len + 45; bound++) {
                struct kt_buf buf;
                kt_buf_init(&buf, bound);
                for (size_t j = 0; j < before; j++) {
                    kt_buf_append_byte(&buf, 'x');
                }
                kt_buf_append_f64(&buf, values[i]);
                bool fits = before + len <= bound || bound == 0; /* 0 = unbounded */
                CHECK_INT(kt_buf_status(&buf), fits ? KT_OK : KT_TOO_LARGE);
                CHECK_INT(buf.len_bytes, fits ? before + len : before);
                CHECK(!fits || strcmp(buf.data + before, text) == 0);
                CHECK(buf.cap_bytes <= bound + 1 || bound == 0);
                kt_buf_done(&buf);
            }
        }
    }
}

static void whole_numbers_fill_a_bound_to_its_last_byte(void)
{
    static const int64_t values[] = {0, -1, 99, 1703980800, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < KT_ARRAY_LEN(values); i++) {
        char text[24];
        size_t len = (size_t)snprintf(text, sizeof text, "%lld", (long long)values[i]);
        for (size_t bound = len + 2; bound < 60; bound++) {
            struct kt_buf buf;
            kt_buf_init(&buf, bound);
            for (size_t left = bound; left >= len; left -= len) {
                kt_buf_append_i64(&buf, values[i]);
                CHECK_SLICE(kt_str_n(buf.data + buf.len_bytes - len, len), text);
            }
            CHECK_INT(kt_buf_status(&buf), KT_OK);
            CHECK_INT(buf.len_bytes, bound / len * len);
            kt_buf_append_i64(&buf, values[i]);
            CHECK_INT(kt_buf_status(&buf), KT_TOO_LARGE);
            CHECK_INT(buf.len_bytes, bound / len * len);
            CHECK(buf.cap_bytes <= bound + 1);
            kt_buf_done(&buf);
        }
    }
}

static void sums_that_overflow_are_too_large(void)
{
    struct kt_buf buf;
    kt_buf_init(&buf, 0);
    kt_buf_append_text(&buf, "x");
    CHECK(!kt_buf_reserve(&buf, SIZE_MAX));
    CHECK_INT(kt_buf_status(&buf), KT_TOO_LARGE);
    kt_buf_done(&buf);
}

static void exhausted_memory_sticks_and_content_stays(void)
{
    struct kt_buf buf;
    kt_buf_init(&buf, 0);
    kt_buf_append_text(&buf, "abc");
    kt_fault_set(KT_FAULT_ALLOC, 1, 0);
    char text[200] = {0};
    kt_buf_append(&buf, text, sizeof text);
    kt_fault_set(KT_FAULT_ALLOC, 0, 0);
    kt_buf_append_text(&buf, "d");
    CHECK_INT(kt_buf_status(&buf), KT_NO_MEMORY);
    CHECK_STR(buf.data, "abc");
    kt_buf_done(&buf);
    kt_fault_set(KT_FAULT_ALLOC, 1, 0);
    kt_buf_append_text(&buf, "x");
    kt_fault_set(KT_FAULT_ALLOC, 0, 0);
    CHECK_INT(kt_buf_status(&buf), KT_NO_MEMORY);
    kt_buf_done(&buf);
    CHECK_INT(kt_buf_status(&buf), KT_OK);
}

static void consume_drops_the_first_bytes(void)
{
    struct kt_buf buf;
    kt_buf_init(&buf, 0);
    kt_buf_consume(&buf, 0);
    kt_buf_append_text(&buf, "abcdef");
    kt_buf_consume(&buf, 2);
    CHECK_STR(buf.data, "cdef");
    kt_buf_consume(&buf, 4);
    CHECK_STR(buf.data, "");
    kt_buf_done(&buf);
}

static void take_hands_over_a_terminated_block(void)
{
    struct kt_buf buf;
    size_t len = 9;
    kt_buf_init(&buf, 0);
    KT_AUTOFREE char *empty = kt_buf_take(&buf, &len);
    CHECK_STR(empty, "");
    CHECK_INT(len, 0);
    kt_buf_append_text(&buf, "abc");
    KT_AUTOFREE char *text = kt_buf_take(&buf, &len);
    CHECK_STR(text, "abc");
    CHECK_INT(len, 3);
    CHECK(!buf.data && buf.len_bytes == 0);
    kt_buf_append_text(&buf, "again");
    CHECK_STR(buf.data, "again");
    kt_buf_done(&buf);
}

static void numbers_are_little_endian(void)
{
    struct kt_buf buf;
    kt_buf_init(&buf, 0);
    kt_buf_put_u16(&buf, 0x0102);
    kt_buf_put_u32(&buf, 0x01020304);
    kt_buf_put_u64(&buf, UINT64_C(0x0102030405060708));
    kt_buf_put_f64(&buf, 1.0);
    kt_buf_put_varint(&buf, 300);
    kt_buf_put_svarint(&buf, -1);
    kt_buf_put_bytes(&buf, KT_STR("hi"));
    static const unsigned char expected[] = {2, 1, 4, 3, 2, 1, 8,    7,    6,    5, 4, 3, 2,   1,
                                             0, 0, 0, 0, 0, 0, 0xF0, 0x3F, 0xAC, 2, 1, 2, 'h', 'i'};
    CHECK_INT(buf.len_bytes, sizeof expected);
    CHECK(memcmp(buf.data, expected, sizeof expected) == 0);
    kt_buf_set_u32(&buf, 2, 0xF5060708);
    CHECK(memcmp(buf.data, "\2\1\10\7\6\xF5\10", 7) == 0);
    kt_buf_done(&buf);
}

static void what_is_put_is_got(void)
{
    uint64_t state = 1;
    for (int i = 0; i < 20000; i++) {
        uint64_t u = kt_prng_next(&state) >> (kt_prng_next(&state) % 64);
        int64_t s = (int64_t)kt_prng_next(&state) >> (kt_prng_next(&state) % 64);
        struct kt_buf buf;
        kt_buf_init(&buf, 0);
        kt_buf_put_u16(&buf, (uint16_t)u);
        kt_buf_put_u32(&buf, (uint32_t)u);
        kt_buf_put_u64(&buf, u);
        kt_buf_put_f64(&buf, (double)s);
        kt_buf_put_varint(&buf, u);
        kt_buf_put_svarint(&buf, s);
        kt_buf_put_bytes(&buf, KT_STR("bytes"));
        kt_buf_append_byte(&buf, '\x80');
        kt_buf_append_text(&buf, "raw");
        struct kt_rd rd;
        kt_rd_init(&rd, buf.data, buf.len_bytes);
        CHECK(kt_rd_u16(&rd) == (uint16_t)u);
        CHECK(kt_rd_u32(&rd) == (uint32_t)u);
        CHECK(kt_rd_u64(&rd) == u);
        CHECK(kt_rd_f64(&rd) == (double)s);
        CHECK(kt_rd_varint(&rd) == u);
        CHECK(kt_rd_svarint(&rd) == s);
        CHECK_SLICE(kt_rd_bytes(&rd), "bytes");
        CHECK_INT(kt_rd_u8(&rd), 0x80);
        CHECK_SLICE(kt_rd_raw(&rd, 3), "raw");
        CHECK(kt_rd_left(&rd) == 0 && !rd.bad);
        kt_buf_done(&buf);
    }
}

static void extremes_survive(void)
{
    struct kt_buf buf;
    kt_buf_init(&buf, 0);
    kt_buf_put_varint(&buf, UINT64_MAX);
    kt_buf_put_svarint(&buf, INT64_MIN);
    kt_buf_put_svarint(&buf, INT64_MAX);
    kt_buf_put_f64(&buf, NAN);
    struct kt_rd rd;
    kt_rd_init(&rd, buf.data, buf.len_bytes);
    CHECK(kt_rd_varint(&rd) == UINT64_MAX);
    CHECK(kt_rd_svarint(&rd) == INT64_MIN);
    CHECK(kt_rd_svarint(&rd) == INT64_MAX);
    CHECK(isnan(kt_rd_f64(&rd)));
    kt_buf_done(&buf);
}

static void hostile_varints_are_refused(void)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {"", 0},
        {"\x80", 1},
        {"\x80\x00", 2},                                      /* needless byte */
        {"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02", 10},     /* 65 bits */
        {"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 11}, /* eleven bytes */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct kt_rd rd;
        kt_rd_init(&rd, rows[i].bytes, rows[i].len);
        CHECK_INT(kt_rd_varint(&rd), 0);
        CHECK(rd.bad);
        CHECK_INT(kt_rd_left(&rd), 0);
    }
}

static void bad_sticks(void)
{
    struct kt_rd rd;
    kt_rd_init(&rd, "\x01\x02\x03", 3);
    CHECK_INT(kt_rd_u32(&rd), 0);
    CHECK(rd.bad);
    CHECK_INT(kt_rd_u8(&rd), 0);
    CHECK_INT(kt_rd_u16(&rd), 0);
    CHECK_INT(kt_rd_u64(&rd), 0);
    CHECK_INT(kt_rd_svarint(&rd), 0);
    CHECK(kt_rd_f64(&rd) == 0);
    CHECK(!kt_rd_raw(&rd, 0).data && !kt_rd_raw(&rd, 1).data && !kt_rd_bytes(&rd).data);
    kt_rd_init(&rd, "\x05zzz", 4);
    CHECK_INT(kt_rd_bytes(&rd).len, 0);
    CHECK(rd.bad);
    kt_rd_init(&rd, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01zz", 12);
    CHECK_INT(kt_rd_bytes(&rd).len, 0);
    CHECK(rd.bad);
    kt_rd_init(&rd, NULL, 0);
    CHECK(kt_rd_left(&rd) == 0 && !rd.bad);
}

static const struct kt_test tests[] = {
    TEST(appends_grow_and_stay_terminated),
    TEST(done_is_right_on_zeroed_memory),
    TEST(an_empty_append_terminates_too),
    TEST(the_bound_sticks_and_content_stays),
    TEST(a_printf_that_does_not_fit_leaves_no_trace),
    TEST(numbers_fill_a_bound_to_its_last_byte),
    TEST(whole_numbers_fill_a_bound_to_its_last_byte),
    TEST(sums_that_overflow_are_too_large),
    TEST(exhausted_memory_sticks_and_content_stays),
    TEST(consume_drops_the_first_bytes),
    TEST(take_hands_over_a_terminated_block),
    TEST(numbers_are_little_endian),
    TEST(what_is_put_is_got),
    TEST(extremes_survive),
    TEST(hostile_varints_are_refused),
    TEST(bad_sticks),
};
KT_TEST_MAIN(tests)

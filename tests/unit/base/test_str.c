/* SPDX-License-Identifier: MIT */
#include "base/str.h"
#include "kt_test.h"

static const struct kt_str none = {NULL, 0};

static void slices_compare_as_bytes(void)
{
    CHECK(kt_str_eq(none, KT_STR("")));
    CHECK(kt_str_eq(kt_str(NULL), none));
    CHECK(!kt_str_eq(KT_STR("a"), KT_STR("ab")));
    CHECK(kt_str_eq_text(KT_STR("ab"), "ab"));
    CHECK(kt_str_eq_nocase(KT_STR("Content-Type"), KT_STR("content-tYPE")));
    CHECK(!kt_str_eq_nocase(KT_STR("@["), KT_STR("`{")));
    CHECK(!kt_str_eq_nocase(KT_STR("\xC3\x84"), KT_STR("\xC3\xA4")));
    CHECK(kt_str_cmp(KT_STR("a"), KT_STR("b")) < 0);
    CHECK(kt_str_cmp(KT_STR("a"), KT_STR("ab")) < 0);
    CHECK(kt_str_cmp(KT_STR("\xFF"), KT_STR("a")) > 0);
    CHECK_INT(kt_str_cmp(none, KT_STR("")), 0);
}

static void starts_and_ends(void)
{
    CHECK(kt_str_starts(KT_STR("/api/v1"), KT_STR("/api")));
    CHECK(kt_str_starts(none, none));
    CHECK(!kt_str_starts(KT_STR("/ap"), KT_STR("/api")));
    CHECK(kt_str_ends(KT_STR("x.db"), KT_STR(".db")));
    CHECK(kt_str_ends(none, none));
    CHECK(!kt_str_ends(KT_STR("db"), KT_STR(".db")));
}

static void trim_takes_white_space_at_both_ends_only(void)
{
    CHECK_SLICE(kt_str_trim(KT_STR(" \t\r\n a b \v\f")), "a b");
    CHECK_INT(kt_str_trim(KT_STR("   ")).len, 0);
    CHECK_INT(kt_str_trim(none).len, 0);
}

static void find_gives_the_first_place(void)
{
    CHECK_INT(kt_str_find(KT_STR("aab"), KT_STR("ab")), 1);
    CHECK_INT(kt_str_find(KT_STR("aaab"), KT_STR("aab")), 1);
    CHECK_INT(kt_str_find(KT_STR("abc"), KT_STR("")), 0);
    CHECK_INT(kt_str_find(none, KT_STR("a")), -1);
    CHECK_INT(kt_str_find(KT_STR("ab"), KT_STR("abc")), -1);
    CHECK_INT(kt_str_find(KT_STR("abcabd"), KT_STR("abd")), 3);
    CHECK_INT(kt_str_find(KT_STR("aaaa"), KT_STR("b")), -1);
}

static void cut_walks_through_a_list(void)
{
    struct kt_str rest = KT_STR("a,,b");
    CHECK_SLICE(kt_str_cut(&rest, ','), "a");
    CHECK_SLICE(kt_str_cut(&rest, ','), "");
    CHECK(rest.data != NULL);
    CHECK_SLICE(kt_str_cut(&rest, ','), "b");
    CHECK(rest.data == NULL);
    rest = KT_STR("a,");
    CHECK_SLICE(kt_str_cut(&rest, ','), "a");
    CHECK(rest.data != NULL && rest.len == 0);
    CHECK_SLICE(kt_str_cut(&rest, ','), "");
    CHECK(rest.data == NULL);
}

static void copy_cuts_between_characters_and_terminates(void)
{
    char dest[5];
    kt_str_copy(dest, sizeof dest, KT_STR("abcd"));
    CHECK_STR(dest, "abcd");
    kt_str_copy(dest, sizeof dest, KT_STR("abcdef"));
    CHECK_STR(dest, "abcd");
    kt_str_copy(dest, sizeof dest, KT_STR("abc\xC3\xA9"));
    CHECK_STR(dest, "abc");
    kt_str_copy(dest, sizeof dest, KT_STR("a\xF0\x9F\x8C\x8A"));
    CHECK_STR(dest, "a");
    kt_str_copy(dest, sizeof dest, KT_STR("ab\xC3\xA9x"));
    CHECK_STR(dest, "ab\xC3\xA9");
    kt_str_copy(dest, 1, KT_STR("\xC3\xA9"));
    CHECK_STR(dest, "");
    kt_str_copy(dest, sizeof dest, none);
    CHECK_STR(dest, "");
}

static void utf8_follows_table_3_7(void)
{
    const char *good[] = {"",
                          "abc",
                          "\x7F",
                          "\xC2\x80",
                          "\xDF\xBF",
                          "\xE0\xA0\x80",
                          "\xED\x9F\xBF",
                          "\xEE\x80\x80",
                          "\xEF\xBF\xBF",
                          "\xF0\x90\x80\x80",
                          "\xF4\x8F\xBF\xBF",
                          "0123456789abcdef\xE2\x82\xAC 0123456789"};
    const char *bad[] = {"\x80",
                         "\xC0\x80",
                         "\xC1\xBF",
                         "\xC2",
                         "\xC2\x41",
                         "\xE0\x9F\xBF",
                         "\xE2\x82",
                         "\xE2\x41\x80",
                         "\xE2\x82\x41",
                         "\xED\xA0\x80",
                         "\xED\xBF\xBF",
                         "\xF0\x8F\xBF\xBF",
                         "\xF0\x9F\x8C",
                         "\xF0\x9F\x8C\x41",
                         "\xF4\x90\x80\x80",
                         "\xF5\x80\x80\x80",
                         "\xFE",
                         "\xFF",
                         "0123456789abcdef\x80",
                         "01234567\xE2\x82"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        CHECK(kt_utf8_valid(kt_str(good[i])));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(!kt_utf8_valid(kt_str(bad[i])));
        CHECK(!kt_utf8_is_name(kt_str(bad[i]), 0, 100));
    }
    CHECK(kt_utf8_valid(none));
    CHECK(kt_utf8_valid(kt_str_n("a\0b", 3)));
}

/* The simplest decoder that can be right, as an oracle. */
static bool utf8_slowly(const unsigned char *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        unsigned c = s[i], n = c < 0x80       ? 1
                               : c >> 5 == 6  ? 2
                               : c >> 4 == 14 ? 3
                               : c >> 3 == 30 ? 4
                                              : 0;
        static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (n == 0 || i + n > len) {
            return false;
        }
        unsigned value = n == 1 ? c : c & (0xFFu >> (n + 1));
        for (unsigned j = 1; j < n; j++) {
            if (s[i + j] >> 6 != 2) {
                return false;
            }
            value = value << 6 | (s[i + j] & 63);
        }
        if (value < least[n] || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) {
            return false;
        }
        i += n;
    }
    return true;
}

static void utf8_agrees_with_a_slow_decoder(void)
{
    static const unsigned char heads[] = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF,
                                          0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE,
                                          0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};
    enum { N = sizeof heads };
    for (unsigned i = 0; i < N * N * N * N; i++) {
        char s[4] = {(char)heads[i % N], (char)heads[i / N % N], (char)heads[i / N / N % N],
                     (char)heads[i / N / N / N]};
        CHECK(kt_utf8_valid(kt_str_n(s, 4)) == utf8_slowly((unsigned char *)s, 4));
    }
}

static void names_have_no_control_characters_and_a_length(void)
{
    CHECK(kt_utf8_is_name(KT_STR("Krone \xE2\x82\xAC"), 1, 10));
    CHECK(kt_utf8_is_name(KT_STR("\xC2\xA0"), 1, 10));
    CHECK(!kt_utf8_is_name(KT_STR(""), 1, 10));
    CHECK(kt_utf8_is_name(KT_STR(""), 0, 10));
    CHECK(!kt_utf8_is_name(KT_STR("12345678901"), 1, 10));
    CHECK(!kt_utf8_is_name(KT_STR("a\nb"), 1, 10));
    CHECK(!kt_utf8_is_name(kt_str_n("\0", 1), 1, 10));
    CHECK(!kt_utf8_is_name(KT_STR("\x7F"), 1, 10));
    CHECK(!kt_utf8_is_name(KT_STR("\xC2\x80"), 1, 10));
    CHECK(!kt_utf8_is_name(KT_STR("\xC2\x9F"), 1, 10));
}

static void visible_ascii_only(void)
{
    CHECK(kt_is_visible_ascii(KT_STR("!~"), 2));
    CHECK(!kt_is_visible_ascii(KT_STR("!~x"), 2));
    CHECK(!kt_is_visible_ascii(KT_STR(""), 2));
    CHECK(!kt_is_visible_ascii(KT_STR("a b"), 9));
    CHECK(!kt_is_visible_ascii(KT_STR("\x7F"), 9));
    CHECK(!kt_is_visible_ascii(KT_STR("\xC3\xA9"), 9));
}

static void whole_numbers_are_read_strictly(void)
{
    int64_t i = 7;
    uint64_t u = 7;
    CHECK(kt_parse_i64(KT_STR("-9223372036854775808"), &i) && i == INT64_MIN);
    CHECK(kt_parse_i64(KT_STR("9223372036854775807"), &i) && i == INT64_MAX);
    CHECK(kt_parse_u64(KT_STR("18446744073709551615"), &u) && u == UINT64_MAX);
    CHECK(kt_parse_i64(KT_STR("-0"), &i) && i == 0);
    CHECK(kt_parse_i64(KT_STR("007"), &i) && i == 7);
    const char *bad[] = {"",
                         "-",
                         "+1",
                         " 1",
                         "1 ",
                         "1.0",
                         "1e3",
                         "0x1",
                         "--1",
                         "9223372036854775808",
                         "99999999999999999999",
                         "-9223372036854775809",
                         "1a"};
    for (size_t n = 0; n < sizeof bad / sizeof bad[0]; n++) {
        CHECK(!kt_parse_i64(kt_str(bad[n]), &i) && i == 7);
    }
    u = 7;
    CHECK(!kt_parse_u64(KT_STR("-1"), &u) && u == 7);
    CHECK(!kt_parse_u64(KT_STR("18446744073709551616"), &u) && u == 7);
    CHECK(!kt_parse_u64(none, &u) && u == 7);
}

static void hexadecimal_has_1_to_16_digits(void)
{
    uint64_t u = 7;
    CHECK(kt_parse_hex_u64(KT_STR("0123456789abCDEF"), &u));
    CHECK_INT(u, INT64_C(0x0123456789abcdef));
    u = 7;
    CHECK(!kt_parse_hex_u64(KT_STR(""), &u));
    CHECK(!kt_parse_hex_u64(KT_STR("00000000000000000"), &u));
    CHECK(!kt_parse_hex_u64(KT_STR("0x1"), &u));
    CHECK(!kt_parse_hex_u64(KT_STR("g"), &u));
    CHECK_INT(u, 7);
}

static void whole_numbers_are_written_in_decimal(void)
{
    int64_t values[] = {0,  1,         9,         10,        99,       100,      101,
                        -1, INT64_MIN, INT64_MAX, 999999999, -1000000, 123456789};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char expected[32], text[21];
        int len = snprintf(expected, sizeof expected, "%lld", (long long)values[i]);
        CHECK(kt_str_eq(kt_str_n(text, kt_format_i64(values[i], text)),
                        kt_str_n(expected, (size_t)len)));
        len = snprintf(expected, sizeof expected, "%llu", (unsigned long long)values[i]);
        CHECK(kt_str_eq(kt_str_n(text, kt_format_u64((uint64_t)values[i], text)),
                        kt_str_n(expected, (size_t)len)));
    }
}

/* Where the count of digits or of bits changes. */
static void each_length_of_a_whole_number_is_written(void)
{
    uint64_t ten = 1;
    for (int i = 0; i < 64; i++) {
        uint64_t base[] = {UINT64_C(1) << i, ten};
        for (size_t j = 0; j < 6; j++) {
            char expected[32], text[21];
            uint64_t value = base[j / 3] + j % 3 - 1;
            int len = snprintf(expected, sizeof expected, "%llu", (unsigned long long)value);
            CHECK(kt_str_eq(kt_str_n(text, kt_format_u64(value, text)),
                            kt_str_n(expected, (size_t)len)));
        }
        ten = i < 19 ? ten * 10 : UINT64_MAX;
    }
}

static void percent_decoding_is_strict_and_works_in_place(void)
{
    char dest[64];
    size_t len = 99;
    CHECK(kt_percent_decode(KT_STR("a%20b%C3%a9+%2B"), false, dest, &len));
    CHECK_SLICE(kt_str_n(dest, len), "a b\xC3\xA9++");
    CHECK(kt_percent_decode(KT_STR("a+b"), true, dest, &len));
    CHECK_SLICE(kt_str_n(dest, len), "a b");
    CHECK(kt_percent_decode(none, true, dest, &len));
    CHECK_INT(len, 0);
    len = 99;
    const char *bad[] = {"%", "%2", "%zz", "abc%", "%2g", "%%20"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(!kt_percent_decode(kt_str(bad[i]), true, dest, &len));
        CHECK_INT(len, 99);
    }
    char place[] = "x%41%00y";
    CHECK(kt_percent_decode(kt_str(place), false, place, &len));
    CHECK(len == 4 && memcmp(place, "xA\0y", 4) == 0);
}

static const struct kt_test tests[] = {
    TEST(slices_compare_as_bytes),
    TEST(starts_and_ends),
    TEST(trim_takes_white_space_at_both_ends_only),
    TEST(find_gives_the_first_place),
    TEST(cut_walks_through_a_list),
    TEST(copy_cuts_between_characters_and_terminates),
    TEST(utf8_follows_table_3_7),
    TEST(utf8_agrees_with_a_slow_decoder),
    TEST(names_have_no_control_characters_and_a_length),
    TEST(visible_ascii_only),
    TEST(whole_numbers_are_read_strictly),
    TEST(hexadecimal_has_1_to_16_digits),
    TEST(whole_numbers_are_written_in_decimal),
    TEST(each_length_of_a_whole_number_is_written),
    TEST(percent_decoding_is_strict_and_works_in_place),
};
KT_TEST_MAIN(tests)

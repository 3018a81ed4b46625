/* SPDX-License-Identifier: MIT */
/* test_f64.c - doubles to text and back, against the C library as the oracle. */
#include "base/buf.h"
#include "base/hash.h"
#include "base/str.h"
#include "kt_test.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>

static long scaled(long count)
{
    return kt_test_is_slow() ? count / 20 : count;
}

static double from_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Significant digits without zeros at either end, and the place of the point from the first. */
struct shape {
    char digits[40];
    int count, point;
};

static struct shape shape_of(const char *text)
{
    struct shape shape = {.count = 0};
    int before = 0, seen_point = 0, zeros_after_point = 0;
    const char *pos = text + (*text == '-');
    for (; *pos && *pos != 'e'; pos++) {
        if (*pos == '.') {
            seen_point = 1;
            continue;
        }
        if (shape.count == 0 && *pos == '0') {
            zeros_after_point += seen_point;
            continue;
        }
        before += !seen_point;
        if (shape.count < 39) {
            shape.digits[shape.count++] = *pos;
        }
    }
    shape.point = before ? before : -zeros_after_point;
    shape.point += *pos == 'e' ? atoi(pos + 1) : 0;
    while (shape.count > 0 && shape.digits[shape.count - 1] == '0') {
        shape.count--;
    }
    shape.digits[shape.count] = '\0';
    return shape;
}

static const char *format(double value)
{
    static char text[KT_F64_TEXT_MAX];
    memset(text, 'x', sizeof text);
    size_t len = kt_format_f64(value, text);
    return memchr(text, '\0', sizeof text) == text + len ? text : "no NUL behind the text";
}

/* True when `value` is written as it should be: reads back, no shorter text does, and of the texts
 * of this length it is the nearest. */
static bool is_shortest(double value)
{
    const char *text = format(value);
    if (strlen(text) >= KT_F64_TEXT_MAX || strtod(text, NULL) != value) {
        return false;
    }
    char best[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(best, sizeof best, "%.*e", digits - 1, value);
        if (strtod(best, NULL) == value) {
            break;
        }
    }
    struct shape ours = shape_of(text), theirs = shape_of(best);
    /* Beside a power of two a text may read back though a nearer one of its length does not. */
    return ours.count < theirs.count ||
           (strcmp(ours.digits, theirs.digits) == 0 && ours.point == theirs.point);
}

static bool survives(double value)
{
    const char *text = format(value);
    double ours = 0;
    return kt_parse_f64(kt_str(text), &ours) && ours == value && strtod(text, NULL) == value;
}

static void numbers_are_written_as_ecmascript_writes_them(void)
{
    static const struct {
        double value;
        const char *text;
    } rows[] = {
        {0.0, "0"},
        {-0.0, "0"},
        {1, "1"},
        {-1.5, "-1.5"},
        {0.1, "0.1"},
        {0.1 + 0.2, "0.30000000000000004"},
        {100, "100"},
        {1e15, "1000000000000000"},
        {123456789012345680.0, "123456789012345680"},
        {1e20, "100000000000000000000"},
        {123456789012345680000.0, "123456789012345680000"},
        {999999999999999868928.0, "999999999999999900000"},
        {1e21, "1e+21"},
        {1.5e21, "1.5e+21"},
        {-1.2345e30, "-1.2345e+30"},
        {1e-6, "0.000001"},
        {1.25e-6, "0.00000125"},
        {-9.999999e-6, "-0.000009999999"},
        {1e-7, "1e-7"},
        {9.999e-7, "9.999e-7"},
        {-1.2345e-7, "-1.2345e-7"},
        {5e-324, "5e-324"},
        {-1.7976931348623157e308, "-1.7976931348623157e+308"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {2.225073858507201e-308, "2.225073858507201e-308"},
        {9007199254740991.0, "9007199254740991"},
        {9007199254740993.0, "9007199254740992"},
        {1e23, "1e+23"},
        {4.35, "4.35"},
        {0.000035689, "0.000035689"},
        {18446744073709551616.0, "18446744073709552000"},
        {5.684341886080802e-14, "5.684341886080802e-14"},
        {999999999999.9999, "999999999999.9999"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CHECK_STR(format(rows[i].value), rows[i].text);
    }
}

static void random_bit_patterns_read_back(void)
{
    uint64_t state = 1;
    for (long i = 0; i < scaled(3000000); i++) {
        double value = from_bits(kt_prng_next(&state));
        CHECK(!isfinite(value) || survives(value));
    }
}

static void random_bit_patterns_are_shortest(void)
{
    uint64_t state = 2;
    for (long i = 0; i < scaled(150000); i++) {
        double value = from_bits(kt_prng_next(&state));
        CHECK(!isfinite(value) || is_shortest(value));
    }
}

static void values_of_daily_life_are_shortest(void)
{
    uint64_t state = 3;
    for (long i = 0; i < scaled(200000); i++) {
        double value = (double)(kt_prng_next(&state) % 1000000000);
        unsigned how = (unsigned)(kt_prng_next(&state) % 12);
        value = how < 10 ? value / pow(10, how) : value / (double)(1 + kt_prng_next(&state) % 1000);
        CHECK(is_shortest(value));
        CHECK(survives(-value));
    }
}

static void powers_of_two_and_ten_and_their_neighbours_are_shortest(void)
{
    for (int e = -1074; e <= 1023; e++) {
        double value = ldexp(1, e);
        CHECK(is_shortest(value));
        CHECK(is_shortest(nextafter(value, INFINITY)));
        CHECK(value == 5e-324 || is_shortest(nextafter(value, 0)));
    }
    for (int e = -323; e <= 308; e++) {
        char text[16];
        snprintf(text, sizeof text, "1e%d", e);
        double value = strtod(text, NULL);
        CHECK(is_shortest(value));
        CHECK(is_shortest(nextafter(value, INFINITY)));
        CHECK(value == 5e-324 || is_shortest(nextafter(value, 0)));
    }
}

static void subnormals_and_large_integers_are_shortest(void)
{
    uint64_t state = 4;
    for (long i = 0; i < scaled(50000); i++) {
        double small = from_bits(kt_prng_next(&state) >> (12 + kt_prng_next(&state) % 52));
        CHECK(small == 0 || is_shortest(small));
        CHECK(is_shortest((double)(kt_prng_next(&state) >> kt_prng_next(&state) % 60)));
    }
}

static void the_grammar_is_json(void)
{
    static const char *good[] = {"0",      "-0",  "1",      "-1.5",
                                 "10",     "0.5", "1e5",    "1E+5",
                                 "1e-5",   "0e0", "0.0e-0", "123456789012345678901234567890",
                                 "1e00005"};
    static const char *bad[] = {"",    "-",    "+1",   "01",    "-01",   "1.",       ".5",  "1.e5",
                                "1e",  "1e+",  "0x10", "inf",   "nan",   "NaN",      " 1",  "1 ",
                                "1,5", "1.5.", "--1",  "1e5.5", "1e1e1", "Infinity", "1_0", "1f"};
    double value;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        value = 77;
        CHECK(kt_parse_f64(kt_str(good[i]), &value));
        CHECK(value == strtod(good[i], NULL));
    }
    value = 77;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(!kt_parse_f64(kt_str(bad[i]), &value));
        CHECK(value == 77);
    }
    CHECK(!kt_parse_f64(kt_str_n("1\0", 2), &value));
    CHECK(!kt_parse_f64((struct kt_str){NULL, 0}, &value));
}

static void minus_zero_reads_as_zero(void)
{
    double value = 1;
    CHECK(kt_parse_f64(KT_STR("-0.0"), &value) && value == 0 && !signbit(value));
    CHECK(kt_parse_f64(KT_STR("-1e-400"), &value) && value == 0 && !signbit(value));
    CHECK(kt_parse_f64(KT_STR("-0e999999999999999999999"), &value) && !signbit(value));
}

static void overflow_is_refused_and_underflow_is_not(void)
{
    double value = 77;
    CHECK(!kt_parse_f64(KT_STR("1e309"), &value));
    CHECK(!kt_parse_f64(KT_STR("-1.7976931348623159e308"), &value));
    CHECK(!kt_parse_f64(KT_STR("1e99999999999999999999"), &value));
    CHECK(value == 77);
    CHECK(kt_parse_f64(KT_STR("1.7976931348623158e308"), &value) &&
          value == 1.7976931348623157e308);
    CHECK(kt_parse_f64(KT_STR("1e-99999999999999999999"), &value) && value == 0);
    CHECK(kt_parse_f64(KT_STR("4e-324"), &value) && value == 5e-324);
    CHECK(kt_parse_f64(KT_STR("2.4703282292062327e-324"), &value) && value == 0);
    CHECK(kt_parse_f64(KT_STR("2.4703282292062329e-324"), &value) && value == 5e-324);
}

static void the_slice_ends_where_it_says(void)
{
    double value;
    CHECK(kt_parse_f64(kt_str_n("12345", 2), &value) && value == 12);
    CHECK(kt_parse_f64(kt_str_n("0.12345678901234567890123", 21), &value));
    CHECK(value == strtod("0.1234567890123456789", NULL));
}

static void random_texts_read_as_the_library_reads_them(void)
{
    uint64_t state = 5;
    for (long i = 0; i < scaled(1000000); i++) {
        char text[64];
        int exponent = (int)(kt_prng_next(&state) % 660) - 340;
        int shift = (int)(kt_prng_next(&state) % 63);
        unsigned long long digits = (unsigned long long)kt_prng_next(&state) >> shift;
        int kind = (int)(kt_prng_next(&state) % 4);
        if (kind == 0) {
            snprintf(text, sizeof text, "%llue%d", digits, exponent);
        } else if (kind == 1) {
            snprintf(text, sizeof text, "%llu.%06llu", digits, digits % 1000000);
        } else if (kind == 2) {
            snprintf(text, sizeof text, "0.%llue%d", digits, exponent / 10);
        } else {
            snprintf(text, sizeof text, "%llu%llue%d", digits, digits, exponent);
        }
        text[0] = text[0] == '0' && text[1] >= '0' && text[1] <= '9' ? '1' : text[0];
        double ours = INFINITY, theirs = strtod(text, NULL);
        bool read = kt_parse_f64(kt_str(text), &ours);
        CHECK(read == (isfinite(theirs) != 0));
        CHECK(ours == theirs);
    }
}

/* The exact midpoint of a double and its successor, and what lies a hair beside it. */
static void midpoints_go_to_the_even_neighbour(void)
{
    if (sizeof(long double) <= sizeof(double)) {
        return;
    }
    uint64_t state = 6;
    static char text[2600];
    for (long i = 0; i < scaled(20000); i++) {
        uint64_t bits = kt_prng_next(&state) >> 1;
        bits = i % 3 ? bits % (UINT64_C(64) << 52) + (UINT64_C(1000) << 52) : bits;
        if (bits >> 52 >= 0x7FE) {
            continue;
        }
        double low = from_bits(bits), high = from_bits(bits + 1);
        int len = snprintf(text, sizeof text, "%.1100Lf", ((long double)low + high) / 2);
        double value = 0;
        CHECK(kt_parse_f64(kt_str_n(text, (size_t)len), &value));
        CHECK(value == (bits & 1 ? high : low));
        /* Far behind any digit that could be kept. */
        memset(text + len, '0', 1000);
        text[len + 999] = '1';
        CHECK(kt_parse_f64(kt_str_n(text, (size_t)len + 1000), &value) && value == high);
        CHECK(kt_parse_f64(kt_str_n(text, (size_t)len + 999), &value));
        CHECK(value == (bits & 1 ? high : low));
    }
}

/* `count` times one digit (zeros behind "0."), then the rest. */
static bool read_long(char digit, int count, const char *rest, double *ret)
{
    struct kt_buf text = {0};
    for (int i = 0; i < count; i++) {
        kt_buf_append_byte(&text, digit);
        if (i == 0 && digit == '0') {
            kt_buf_append_byte(&text, '.');
        }
    }
    kt_buf_append_text(&text, rest);
    bool read = kt_parse_f64(kt_buf_str(&text), ret);
    kt_buf_done(&text);
    return read;
}

static void texts_of_any_length_are_read(void)
{
    enum { LONG = 100000 };
    double value = 7;
    CHECK(read_long('0', LONG, "0", &value) && value == 0);
    CHECK(read_long('0', LONG, "1e100000", &value) && value == 1);
    CHECK(read_long('9', LONG, "e-100000", &value) && value == 1);
    CHECK(read_long('9', LONG, "e-100400", &value) && value == 0);
    value = 7;
    CHECK(!read_long('9', LONG, "", &value) && value == 7);
    CHECK(!read_long('9', LONG, ".5e", &value) && value == 7);
}

static void no_locale_changes_numbers(void)
{
    static const char *names[] = {"de_DE.UTF-8", "de_DE", "fr_FR.UTF-8", "da_DK.UTF-8"};
    const char *set = NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !set; i++) {
        set = setlocale(LC_ALL, names[i]);
    }
    double price = 0, hard = 0;
    bool read = kt_parse_f64(KT_STR("1234.5"), &price) &&
                kt_parse_f64(KT_STR("1.2345678901234567890123456789e-5"), &hard);
    char text[KT_F64_TEXT_MAX];
    size_t len = kt_format_f64(1234.5, text);
    setlocale(LC_ALL, "C");
    CHECK(read && price == 1234.5 && hard == 1.2345678901234567890123456789e-5);
    CHECK_SLICE(kt_str_n(text, len), "1234.5");
    if (!set) {
        kt_test_skip("locale", "no locale with a decimal comma is installed");
    }
}

static const struct kt_test tests[] = {
    TEST(numbers_are_written_as_ecmascript_writes_them),
    TEST(random_bit_patterns_read_back),
    TEST(random_bit_patterns_are_shortest),
    TEST(values_of_daily_life_are_shortest),
    TEST(powers_of_two_and_ten_and_their_neighbours_are_shortest),
    TEST(subnormals_and_large_integers_are_shortest),
    TEST(the_grammar_is_json),
    TEST(minus_zero_reads_as_zero),
    TEST(overflow_is_refused_and_underflow_is_not),
    TEST(the_slice_ends_where_it_says),
    TEST(random_texts_read_as_the_library_reads_them),
    TEST(midpoints_go_to_the_even_neighbour),
    TEST(texts_of_any_length_are_read),
    TEST(no_locale_changes_numbers),
};
KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
/* test_check.c - what the strict pass admits and refuses, and that cJSON then agrees. */
#include "kt_test.h"
#include "json/read.h"

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

static enum kt_status parse_n(const char *data, size_t len, struct kt_error *err)
{
    struct kt_json *json = NULL;
    enum kt_status status = kt_json_parse(kt_str_n(data, len), KT_JSON_DEPTH_DEFAULT, &json, err);
    if ((status == KT_OK) != (json != NULL)) {
        abort(); /* the output is set on success only */
    }
    kt_json_free(&json);
    return status;
}

static enum kt_status parse(const char *text, struct kt_error *err)
{
    /* A block of its own size: a read behind the end shows under the address sanitizer. */
    size_t len = strlen(text);
    char *exact = malloc(len ? len : 1);
    memcpy(exact, text, len);
    enum kt_status status = parse_n(exact, len, err);
    free(exact);
    return status;
}

static void the_grammar_of_rfc_8259_is_admitted(void)
{
    static const char *const good[] = {
        "null",
        " true ",
        "\t\r\n false\n",
        "0",
        "-0",
        "-0.0",
        "10",
        "1.5",
        "1e5",
        "1E+5",
        "1e-5",
        "0e0",
        "0E99999999999999999999",
        "-12.250e+1",
        "1.7976931348623157e308",
        "4.9e-324",
        "1e-99999",
        "\"\"",
        "\"a\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u4e2d\\u6587\"",
        "\"\\uD83D\\uDE00\"",
        "\"\\ud83d\\ude00\"",
        "\"\\u0001\\uFFFF\"",
        "\"\x7F\"",
        "\"\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80\"",
        "[]",
        "[ ]",
        "{}",
        "{ }",
        "[1,2,3]",
        "[ 1 , 2 ]",
        "[[],{},[{}]]",
        "{\"a\":1,\"b\":[{\"a\":2}]}",
        "{\"\":1}",
        " { \"a\" : null } ",
        "[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]",
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(good); i++) {
        struct kt_error err = KT_ERROR_INIT;
        enum kt_status status = parse(good[i], &err);
        if (status != KT_OK) {
            kt_test_fail(__FILE__, __LINE__, "refused: %s: %s", good[i], err.message);
        }
    }
}

static const struct {
    const char *text, *message;
} bad[] = {
    {"", "the JSON text is empty"},
    {" \n\t", "the JSON text is empty"},
    {"\xEF\xBB\xBF{}", "JSON at byte 0: a byte order mark is not allowed"},
    {"nul", "JSON at byte 0: expected a value"},
    {"True", "JSON at byte 0: expected a value"},
    {"NaN", "JSON at byte 0: expected a value"},
    {"Infinity", "JSON at byte 0: expected a value"},
    {"-Infinity", "JSON at byte 0: a number needs a digit behind '-'"},
    {"[NaN]", "JSON at byte 1: expected a value"},
    {"nulll", "JSON at byte 4: text behind the value"},
    {"{}{}", "JSON at byte 2: text behind the value"},
    {"1 2", "JSON at byte 2: text behind the value"},
    {"// c\n1", "JSON at byte 0: expected a value"},
    {"\v1", "JSON at byte 0: expected a value"},
    {"\xC2\xA0"
     "1",
     "JSON at byte 0: expected a value"},
    {"01", "JSON at byte 0: a number must not begin with 0"},
    {"-01", "JSON at byte 0: a number must not begin with 0"},
    {"+1", "JSON at byte 0: expected a value"},
    {"-", "JSON at byte 0: a number needs a digit behind '-'"},
    {".5", "JSON at byte 0: expected a value"},
    {"1.", "JSON at byte 0: a number needs a digit behind the point"},
    {"1.e5", "JSON at byte 0: a number needs a digit behind the point"},
    {"1e", "JSON at byte 0: a number needs a digit in its exponent"},
    {"1e+", "JSON at byte 0: a number needs a digit in its exponent"},
    {"0x10", "JSON at byte 1: text behind the value"},
    {"1e999", "JSON at byte 0: the number is too large for a double"},
    {"[-1e309]", "JSON at byte 1: the number is too large for a double"},
    {"1.7976931348623159e308", "JSON at byte 0: the number is too large for a double"},
    {"1e99999999999999999999", "JSON at byte 0: the number is too large for a double"},
    {"\"a", "JSON at byte 0: the string does not end"},
    {"\"", "JSON at byte 0: the string does not end"},
    {"\"\\", "JSON at byte 1: the string does not end"},
    {"\"\\\"", "JSON at byte 0: the string does not end"},
    {"'a'", "JSON at byte 0: expected a value"},
    {"\"\\x41\"", "JSON at byte 1: no such escape in a string"},
    {"\"\\'\"", "JSON at byte 1: no such escape in a string"},
    {"\"\\U0041\"", "JSON at byte 1: no such escape in a string"},
    {"\"\\u12\"", "JSON at byte 1: \\u must be followed by four hex digits"},
    {"\"\\u12g4\"", "JSON at byte 1: \\u must be followed by four hex digits"},
    {"\"\\u", "JSON at byte 1: \\u must be followed by four hex digits"},
    {"\"a\\u0000\"", "JSON at byte 2: \\u0000 is not allowed"},
    {"{\"a\\u0000b\":1}", "JSON at byte 3: \\u0000 is not allowed"},
    {"\"\\uD800\"", "JSON at byte 1: a surrogate without its other half"},
    {"\"\\uDC00\"", "JSON at byte 1: a surrogate without its other half"},
    {"\"\\uD83D\\u0041\"", "JSON at byte 1: a surrogate without its other half"},
    {"\"\\uD83D\\uD83D\"", "JSON at byte 1: a surrogate without its other half"},
    {"\"\\uD83Dx\"", "JSON at byte 1: a surrogate without its other half"},
    {"\"\\uDE00\\uD83D\"", "JSON at byte 1: a surrogate without its other half"},
    {"\"\n\"", "JSON at byte 1: a control character in a string must be escaped"},
    {"\"a\tb\"", "JSON at byte 2: a control character in a string must be escaped"},
    {"\"\x80\"", "JSON at byte 0: the string is not valid UTF-8"},
    {"\"\xC0\xAF\"", "JSON at byte 0: the string is not valid UTF-8"},
    {"\"\xED\xA0\x80\"", "JSON at byte 0: the string is not valid UTF-8"},
    {"\"\xF5\x80\x80\x80\"", "JSON at byte 0: the string is not valid UTF-8"},
    {"\"\xE4\xB8\"", "JSON at byte 0: the string is not valid UTF-8"},
    {"{\"\xFF\":1}", "JSON at byte 1: the string is not valid UTF-8"},
    {"[", "JSON at byte 1: expected a value, but the text ends"},
    {"[1", "JSON at byte 2: the array does not end"},
    {"[1,", "JSON at byte 3: expected a value, but the text ends"},
    {"[1,]", "JSON at byte 3: expected a value"},
    {"[,1]", "JSON at byte 1: expected a value"},
    {"[1 2]", "JSON at byte 3: expected ',' or ']'"},
    {"[1}", "JSON at byte 2: expected ',' or ']'"},
    {"]", "JSON at byte 0: expected a value"},
    {"{", "JSON at byte 1: expected a member's name in double quotes"},
    {"{a:1}", "JSON at byte 1: expected a member's name in double quotes"},
    {"{\"a\"}", "JSON at byte 4: expected ':'"},
    {"{\"a\"", "JSON at byte 4: expected ':'"},
    {"{\"a\":", "JSON at byte 5: expected a value, but the text ends"},
    {"{\"a\":}", "JSON at byte 5: expected a value"},
    {"{\"a\":1", "JSON at byte 6: the object does not end"},
    {"{\"a\":1,}", "JSON at byte 7: expected a member's name in double quotes"},
    {"{\"a\":1]", "JSON at byte 6: expected ',' or '}'"},
    {"{\"a\":1 \"b\":2}", "JSON at byte 7: expected ',' or '}'"},
    {"[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", "JSON at byte 16: nested deeper than 16"},
    {"{\"a\":1,\"a\":2}", "JSON: the member \"a\" is given twice"},
    {"{\"a\":1,\"\\u0061\":2}", "JSON: the member \"a\" is given twice"},
    {"[{\"b\":{\"x\":1,\"y\":2,\"x\":3}}]", "JSON: the member \"x\" is given twice"},
    {"{\"\":1,\"\":2}", "JSON: the member \"\" is given twice"},
};

static void what_is_not_json_is_refused_with_its_place(void)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        struct kt_error err = KT_ERROR_INIT;
        enum kt_status status = parse(bad[i].text, &err);
        if (status != KT_BAD_VALUE || strcmp(err.message, bad[i].message) != 0) {
            kt_test_fail(__FILE__, __LINE__, "%s gave %s: \"%s\", expected \"%s\"", bad[i].text,
                         kt_status_name(status), err.message, bad[i].message);
        }
    }
}

static void a_nul_byte_in_the_text_is_refused(void)
{
    struct kt_error err = KT_ERROR_INIT;
    CHECK_FAILS(parse_n("1\0", 2, &err), KT_BAD_VALUE);
    CHECK_FAILS(parse_n("\0", 1, &err), KT_BAD_VALUE);
    CHECK_FAILS(parse_n("\"a\0b\"", 5, &err), KT_BAD_VALUE);
    CHECK_FAILS(parse_n("\"\\\0\"", 4, &err), KT_BAD_VALUE);
    CHECK_FAILS(parse_n(NULL, 0, &err), KT_BAD_VALUE);
}

static void the_slice_need_not_end_with_a_nul(void)
{
    struct kt_error err = KT_ERROR_INIT;
    CHECK_OK(parse_n("12345", 2, &err));
    CHECK_OK(parse_n("{}garbage", 2, &err));
    CHECK_FAILS(parse_n("[1]", 2, &err), KT_BAD_VALUE);
}

static void every_prefix_of_a_document_is_refused(void)
{
    static const char text[] = "{\"a\":[1.5e3,\"\\u00e9\\uD83D\\uDE00\",true,null,{\"b\":-0}]}";
    for (size_t len = 0; len < sizeof(text) - 1; len++) {
        struct kt_error err = KT_ERROR_INIT;
        char *exact = malloc(len + 1);
        memcpy(exact, text, len);
        enum kt_status status = parse_n(exact, len, &err);
        free(exact);
        CHECK_FAILS(status, KT_BAD_VALUE);
    }
}

static void depth_is_the_callers_bound(void)
{
    struct kt_error err = KT_ERROR_INIT;
    char text[2 * KT_JSON_DEPTH_MAX + 4];
    for (int depth = 1; depth <= KT_JSON_DEPTH_MAX; depth++) {
        struct kt_json *json = NULL;
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        struct kt_str slice = kt_str_n(text, (size_t)depth * 2);
        CHECK_OK(kt_json_parse(slice, depth, &json, &err));
        kt_json_free(&json);
        CHECK_FAILS(kt_json_parse(slice, depth - 1, &json, &err), KT_BAD_VALUE);
        CHECK(json == NULL);
    }
}

static void a_million_open_brackets_are_refused_at_the_bound(void)
{
    struct kt_error err = KT_ERROR_INIT;
    size_t len = 1000000;
    char *text = malloc(len);
    memset(text, '[', len);
    enum kt_status status = parse_n(text, len, &err);
    free(text);
    CHECK_FAILS(status, KT_BAD_VALUE);
    CHECK_STR(err.message, "JSON at byte 16: nested deeper than 16");
}

static void too_many_values_are_too_large(void)
{
    struct kt_error err = KT_ERROR_INIT;
    size_t count = KT_JSON_VALUES_MAX, len = 2 * count + 1;
    char *text = malloc(len);
    for (size_t i = 0; i < len; i++) {
        text[i] = i % 2 ? '1' : ',';
    }
    text[0] = '[';
    text[len - 1] = ']';
    enum kt_status status = parse_n(text, len, &err);
    free(text);
    CHECK_FAILS(status, KT_TOO_LARGE); /* the array itself is a value too */
}

/* ----------------------------------------------------------------- numbers */

static bool number_of(const char *text, double *ret_value)
{
    struct kt_json *json = NULL;
    if (kt_json_parse(kt_str(text), 4, &json, NULL) != KT_OK) {
        return false;
    }
    *ret_value = kt_json_number(kt_json_root(json));
    kt_json_free(&json);
    return true;
}

static void numbers_are_rounded_correctly(void)
{
    static const struct {
        const char *text;
        double value;
    } cases[] = {
        {"0.1", 0.1},
        {"4722368446464", 4722368446464.0},
        {"9007199254740993", 9007199254740992.0},
        {"9007199254740993.0000000000000000000000000001", 9007199254740994.0},
        {"2.2250738585072011e-308", 0x0.fffffffffffffp-1022},
        {"1e-400", 0},
        {"1.7976931348623157e308", 0x1.fffffffffffffp1023},
        {"8.5", 8.5},
        {"-77.71", -77.71},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        double value = -1;
        CHECK(number_of(cases[i].text, &value));
        CHECK(value == cases[i].value);
    }
}

static void minus_zero_is_read_as_zero(void)
{
    static const char *const zeros[] = {"-0", "-0.0", "-0e5", "-1e-999"};
    for (size_t i = 0; i < KT_ARRAY_LEN(zeros); i++) {
        double value = -1;
        CHECK(number_of(zeros[i], &value));
        CHECK(value == 0 && !signbit(value));
    }
}

/* cJSON alone would cut the digits after the 63rd. */
static void numbers_of_any_length_are_read_whole(void)
{
    for (size_t len = 55; len < 400; len++) {
        char text[512];
        memset(text, '0', sizeof(text));
        text[0] = '1';
        text[len] = '\0';
        double value = 0, expected = 0;
        bool fits = kt_parse_f64(kt_str(text), &expected);
        CHECK_INT(number_of(text, &value), fits);
        CHECK(!fits || value == expected);
        text[1] = '.';
        text[len - 1] = '7';
        CHECK(number_of(text, &value));
        CHECK(kt_parse_f64(kt_str(text), &expected) && value == expected);
    }
}

static void long_numbers_leave_their_neighbours_alone(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_json *json = NULL;
    static const char text[] =
        "{\"a\":1.00000000000000000000000000000000000000000000000000000000000000000000000,"
        "\"b\":\"1.00000000000000000000000000000000000000000000000000000000000000000000000\","
        "\"c\":[-0.000000000000000000000000000000000000000000000000000000000000000000012e-5,"
        "123456789012345678901234567890123456789012345678901234567890123456789012345],\"d\":2}";
    CHECK_OK(kt_json_parse(KT_STR(text), 4, &json, &err));
    const struct kt_json_value *root = kt_json_root(json);
    CHECK(kt_json_number(kt_json_member(root, "a")) == 1);
    CHECK_INT(kt_json_string(kt_json_member(root, "b")).len, 73);
    const struct kt_json_value *list = kt_json_member(root, "c");
    const struct kt_json_value *first = kt_json_next(list, NULL);
    CHECK(kt_json_number(first) == -1.2e-73);
    CHECK(kt_json_number(kt_json_next(list, first)) ==
          123456789012345678901234567890123456789012345678901234567890123456789012345.0);
    CHECK(kt_json_number(kt_json_member(root, "d")) == 2);
    kt_json_free(&json);
}

static void random_doubles_come_back_as_they_were(void)
{
    uint64_t seed = 42;
    int count = kt_test_is_slow() ? 5000 : 100000;
    for (int i = 0; i < count; i++) {
        uint64_t bits = kt_prng_next(&seed);
        double value, got = 0;
        memcpy(&value, &bits, sizeof(value));
        if (!isfinite(value)) {
            continue;
        }
        char text[KT_F64_TEXT_MAX + 1] = "";
        kt_format_f64(value, text);
        CHECK(number_of(text, &got));
        CHECK(got == value);
    }
}

/* ----------------------------------------------------------------- doubled members */

/* {"k0":0,…} with `count` members, the last named like the one at `doubled` (or not). */
static void make_object(struct kt_buf *buf, int count, int doubled)
{
    kt_buf_append_byte(buf, '{');
    for (int i = 0; i < count; i++) {
        bool last = i == count - 1;
        kt_buf_printf(buf, "%s\"k%d\":%d", i ? "," : "", last && doubled >= 0 ? doubled : i, i);
    }
    kt_buf_append_byte(buf, '}');
}

static void a_doubled_member_is_found_at_any_size_and_place(void)
{
    struct kt_buf buf;
    kt_buf_init(&buf, 0);
    for (int count = 2; count < 70; count++) {
        for (int doubled = -1; doubled < count - 1; doubled++) {
            struct kt_error err = KT_ERROR_INIT;
            kt_buf_clear(&buf);
            make_object(&buf, count, doubled);
            enum kt_status status = parse_n(buf.data, buf.len_bytes, &err);
            CHECK_INT(status, doubled < 0 ? KT_OK : KT_BAD_VALUE);
        }
    }
    kt_buf_done(&buf);
}

static void a_large_object_is_checked_in_good_time(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf buf;
    kt_buf_init(&buf, 0);
    make_object(&buf, 200000, -1);
    CHECK_OK(parse_n(buf.data, buf.len_bytes, &err));
    kt_buf_clear(&buf);
    make_object(&buf, 200000, 77777);
    CHECK_FAILS(parse_n(buf.data, buf.len_bytes, &err), KT_BAD_VALUE);
    CHECK_STR(err.message, "JSON: the member \"k77777\" is given twice");
    kt_buf_done(&buf);
}

static void names_that_differ_in_case_or_bytes_are_not_doubled(void)
{
    struct kt_error err = KT_ERROR_INIT;
    CHECK_OK(parse("{\"a\":1,\"A\":2,\"a \":3,\"\\u00e9\":4,\"e\\u0301\":5}", &err));
}

/* Whatever the check admits cJSON must read; a refusal there would show as KT_NO_MEMORY. */
static void what_is_admitted_can_be_built(void)
{
    static const char alphabet[] = "[]{},:\"\\u0dD8c123.eE+-ntrfalsu \n\xC3\xA9";
    uint64_t seed = 7;
    int count = kt_test_is_slow() ? 20000 : 400000;
    for (int i = 0; i < count; i++) {
        char text[24];
        size_t len = kt_prng_next(&seed) % sizeof(text);
        for (size_t j = 0; j < len; j++) {
            text[j] = alphabet[kt_prng_next(&seed) % (sizeof(alphabet) - 1)];
        }
        CHECK(parse_n(text, len, NULL) != KT_NO_MEMORY);
    }
}

/* Changes one byte at a time: mostly refused, never more than that. */
static void a_document_with_a_changed_byte_does_no_harm(void)
{
    static const char text[] =
        "{\"a\":[1.5e3,\"\\u00e9\\uD83D\\uDE00\",true,null],\"b\":{\"c\":-0}}";
    for (size_t at = 0; at < sizeof(text) - 1; at++) {
        for (int byte = 0; byte < 256; byte++) {
            char changed[sizeof(text)];
            memcpy(changed, text, sizeof(text));
            changed[at] = (char)byte;
            CHECK(parse_n(changed, sizeof(text) - 1, NULL) != KT_NO_MEMORY);
        }
    }
}

static const struct kt_test tests[] = {
    TEST(the_grammar_of_rfc_8259_is_admitted),
    TEST(what_is_not_json_is_refused_with_its_place),
    TEST(a_nul_byte_in_the_text_is_refused),
    TEST(the_slice_need_not_end_with_a_nul),
    TEST(every_prefix_of_a_document_is_refused),
    TEST(depth_is_the_callers_bound),
    TEST(a_million_open_brackets_are_refused_at_the_bound),
    TEST(too_many_values_are_too_large),
    TEST(numbers_are_rounded_correctly),
    TEST(minus_zero_is_read_as_zero),
    TEST(numbers_of_any_length_are_read_whole),
    TEST(long_numbers_leave_their_neighbours_alone),
    TEST(random_doubles_come_back_as_they_were),
    TEST(a_doubled_member_is_found_at_any_size_and_place),
    TEST(a_large_object_is_checked_in_good_time),
    TEST(names_that_differ_in_case_or_bytes_are_not_doubled),
    TEST(what_is_admitted_can_be_built),
    TEST(a_document_with_a_changed_byte_does_no_harm),
};
KT_TEST_MAIN(tests)

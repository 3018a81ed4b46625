/* SPDX-License-Identifier: MIT */
/* test_write.c - what the writer writes, and that the strict reader reads it back. */
#include "kt_test.h"
#include "json/read.h"
#include "json/write.h"

#include "base/hash.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

static struct kt_buf buf;
static struct kt_jw jw;

static void begin(void)
{
    kt_buf_done(&buf);
    kt_buf_init(&buf, 0);
    kt_jw_init(&jw, &buf);
}

static void commas_and_colons_are_put_by_the_writer(void)
{
    begin();
    kt_jw_object(&jw);
    kt_jw_key_text(&jw, "list");
    kt_jw_array(&jw);
    kt_jw_i64(&jw, -1);
    kt_jw_u64(&jw, UINT64_MAX);
    kt_jw_array(&jw);
    kt_jw_array_end(&jw);
    kt_jw_object(&jw);
    kt_jw_object_end(&jw);
    kt_jw_null(&jw);
    kt_jw_array_end(&jw);
    kt_jw_kv_str(&jw, "s", KT_STR("x"));
    kt_jw_kv_text(&jw, "t", "y");
    kt_jw_kv_f64(&jw, "f", 1.5);
    kt_jw_kv_i64(&jw, "i", INT64_MIN);
    kt_jw_kv_u64(&jw, "u", 7);
    kt_jw_kv_bool(&jw, "yes", true);
    kt_jw_kv_bool(&jw, "no", false);
    kt_jw_key(&jw, KT_STR("raw"));
    kt_jw_raw(&jw, KT_STR("{\"a\":[1]}"));
    kt_jw_key_text(&jw, "o");
    kt_jw_object(&jw);
    kt_jw_kv_i64(&jw, "z", 0);
    kt_jw_object_end(&jw);
    kt_jw_object_end(&jw);
    CHECK_STR(buf.data, "{\"list\":[-1,18446744073709551615,[],{},null],\"s\":\"x\",\"t\":\"y\","
                        "\"f\":1.5,\"i\":-9223372036854775808,\"u\":7,\"yes\":true,\"no\":false,"
                        "\"raw\":{\"a\":[1]},\"o\":{\"z\":0}}");
    CHECK_INT(jw.depth, 0);
}

static void ready_members_take_their_place_among_others(void)
{
    begin();
    kt_jw_object(&jw);
    kt_jw_raw_key(&jw, KT_STR("\"a\":1,\"b\":"));
    kt_jw_array(&jw);
    kt_jw_array_end(&jw);
    kt_jw_kv_i64(&jw, "c", 2);
    kt_jw_raw_key(&jw, KT_STR("\"d\":"));
    kt_jw_null(&jw);
    kt_jw_object_end(&jw);
    CHECK_STR(buf.data, "{\"a\":1,\"b\":[],\"c\":2,\"d\":null}");
}

static void a_single_value_stands_alone(void)
{
    begin();
    kt_jw_text(&jw, "a");
    CHECK_STR(buf.data, "\"a\"");
}

static void strings_are_escaped_where_json_asks_for_it(void)
{
    begin();
    kt_jw_str(&jw, KT_STR("q\" b\\ /\b\f\n\r\t\x01\x1F\x7F \xE4\xB8\xAD\xF0\x9F\x98\x80"));
    CHECK_STR(buf.data, "\"q\\\" b\\\\ /\\b\\f\\n\\r\\t\\u0001\\u001f\x7F "
                        "\xE4\xB8\xAD\xF0\x9F\x98\x80\"");
    begin();
    kt_jw_str(&jw, kt_str_n("a\0b", 3));
    CHECK_STR(buf.data, "\"a\\u0000b\"");
    begin();
    kt_jw_str(&jw, (struct kt_str){NULL, 0});
    CHECK_STR(buf.data, "\"\"");
    begin();
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "a\"\n", "");
    kt_jw_object_end(&jw);
    CHECK_STR(buf.data, "{\"a\\\"\\n\":\"\"}");
}

/* Each byte at each place of texts of each length: what is read eight at a time has borders. */
static void no_place_of_a_byte_hides_it(void)
{
    for (size_t len = 1; len <= 20; len++) {
        for (size_t at = 0; at < len; at++) {
            for (int byte = 0; byte < 0x80; byte++) {
                char text[20], json[40], escape[8] = {(char)byte};
                memset(text, 'a', sizeof(text));
                text[at] = (char)byte;
                if (byte < 0x20) {
                    static const char *const named[0x20] = {['\b'] = "\\b",
                                                            ['\f'] = "\\f",
                                                            ['\n'] = "\\n",
                                                            ['\r'] = "\\r",
                                                            ['\t'] = "\\t"};
                    snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)byte);
                    kt_str_copy(escape, sizeof(escape), kt_str(named[byte] ? named[byte] : escape));
                } else if (byte == '"' || byte == '\\') {
                    snprintf(escape, sizeof(escape), "\\%c", byte);
                }
                snprintf(json, sizeof(json), "\"%.*s%s%.*s\"", (int)at, text, escape,
                         (int)(len - at - 1), text + at + 1);
                begin();
                kt_json_append_string(&buf, kt_str_n(text, len));
                CHECK_STR(buf.data, json);
            }
        }
    }
}

#define REPLACED "\xEF\xBF\xBD"

static void bytes_that_are_not_utf8_are_replaced(void)
{
    static const struct {
        const char *text, *json;
    } cases[] = {
        {"a\x80z", "\"a" REPLACED "z\""},
        {"\xC0\xAF", "\"" REPLACED REPLACED "\""},
        {"\xE0\x9F\xBF", "\"" REPLACED REPLACED REPLACED "\""},
        {"\xED\xA0\x80", "\"" REPLACED REPLACED REPLACED "\""},
        {"\xF0\x8F\xBF\xBF", "\"" REPLACED REPLACED REPLACED REPLACED "\""},
        {"\xF4\x90\x80\x80", "\"" REPLACED REPLACED REPLACED REPLACED "\""},
        {"\xF5z", "\"" REPLACED "z\""},
        {"\xE4\xB8", "\"" REPLACED REPLACED "\""},
        {"\xC3", "\"" REPLACED "\""},
        {"\xC3\"", "\"" REPLACED "\\\"\""},
        {"\xF4\x8F\xBF\xBF\xED\x9F\xBF", "\"\xF4\x8F\xBF\xBF\xED\x9F\xBF\""},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        begin();
        kt_jw_text(&jw, cases[i].text);
        CHECK_STR(buf.data, cases[i].json);
    }
}

static void numbers_are_written_shortest_and_without_nan(void)
{
    static const struct {
        double value;
        const char *json;
    } cases[] = {
        {0, "0"},
        {-0.0, "0"},
        {0.1, "0.1"},
        {1e20, "100000000000000000000"},
        {1e21, "1e+21"},
        {1e-6, "0.000001"},
        {NAN, "null"},
        {INFINITY, "null"},
        {-INFINITY, "null"},
        {-77.71, "-77.71"},
        {4722368446464, "4722368446464"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        begin();
        kt_jw_f64(&jw, cases[i].value);
        CHECK_STR(buf.data, cases[i].json);
    }
    begin();
    kt_jw_object(&jw);
    kt_jw_kv_f64(&jw, "n", NAN);
    kt_jw_kv_f64(&jw, "m", 1);
    kt_jw_object_end(&jw);
    CHECK_STR(buf.data, "{\"n\":null,\"m\":1}");
}

static void nesting_goes_60_deep(void)
{
    begin();
    for (int i = 0; i < 60; i++) {
        if (i % 2) {
            kt_jw_key_text(&jw, "k");
            kt_jw_array(&jw);
        } else {
            kt_jw_object(&jw);
        }
    }
    kt_jw_bool(&jw, true);
    kt_jw_bool(&jw, false);
    for (int i = 59; i >= 0; i--) {
        if (i % 2) {
            kt_jw_array_end(&jw);
        } else {
            kt_jw_object_end(&jw);
        }
    }
    struct kt_json *json = NULL;
    struct kt_error err = KT_ERROR_INIT;
    CHECK_OK(kt_json_parse(kt_buf_str(&buf), 60, &json, &err));
    kt_json_free(&json);
}

/* Random bytes, all of them: what the writer makes of them the strict reader must take. */
static void whatever_is_written_can_be_read(void)
{
    uint64_t seed = 1;
    int count = kt_test_is_slow() ? 2000 : 40000;
    for (int i = 0; i < count; i++) {
        char text[40];
        size_t len = kt_prng_next(&seed) % sizeof(text);
        for (size_t j = 0; j < len; j++) {
            text[j] = (char)kt_prng_next(&seed);
        }
        begin();
        kt_jw_array(&jw);
        kt_jw_str(&jw, kt_str_n(text, len));
        kt_jw_array_end(&jw);
        bool as_it_is = buf.len_bytes == len + 4 && memcmp(buf.data + 2, text, len) == 0;
        CHECK_INT(kt_json_is_plain(kt_str_n(text, len)), as_it_is);
        struct kt_json *json = NULL;
        struct kt_error err = KT_ERROR_INIT;
        bool has_nul = memchr(text, 0, len) != NULL; /* the reader refuses \u0000 */
        CHECK_INT(kt_json_parse(kt_buf_str(&buf), 4, &json, &err), has_nul ? KT_BAD_VALUE : KT_OK);
        if (json && kt_utf8_valid(kt_str_n(text, len))) {
            struct kt_str got = kt_json_string(kt_json_next(kt_json_root(json), NULL));
            CHECK(kt_str_eq(got, kt_str_n(text, len)));
        }
        kt_json_free(&json);
    }
}

static void a_failed_buffer_ends_the_writing_quietly(void)
{
    kt_buf_done(&buf);
    kt_buf_init(&buf, 10);
    kt_jw_init(&jw, &buf);
    kt_jw_array(&jw);
    for (int i = 0; i < 100; i++) {
        kt_jw_text(&jw, "twelve bytes");
    }
    kt_jw_array_end(&jw);
    CHECK_INT(kt_buf_status(&buf), KT_TOO_LARGE);
    CHECK(buf.len_bytes <= 10);

    kt_buf_done(&buf);
    kt_buf_init(&buf, 0);
    kt_jw_init(&jw, &buf);
    kt_fault_set(KT_FAULT_ALLOC, 1, 1);
    kt_jw_object(&jw);
    kt_jw_kv_f64(&jw, "a", 1);
    kt_jw_object_end(&jw);
    kt_fault_set(KT_FAULT_ALLOC, 0, 0);
    CHECK_INT(kt_buf_status(&buf), KT_NO_MEMORY);
    kt_buf_done(&buf);
}

static const struct kt_test tests[] = {
    TEST(commas_and_colons_are_put_by_the_writer),
    TEST(ready_members_take_their_place_among_others),
    TEST(a_single_value_stands_alone),
    TEST(strings_are_escaped_where_json_asks_for_it),
    TEST(no_place_of_a_byte_hides_it),
    TEST(bytes_that_are_not_utf8_are_replaced),
    TEST(numbers_are_written_shortest_and_without_nan),
    TEST(nesting_goes_60_deep),
    TEST(whatever_is_written_can_be_read),
    TEST(a_failed_buffer_ends_the_writing_quietly),
};
KT_TEST_MAIN(tests)

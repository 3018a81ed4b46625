/* SPDX-License-Identifier: MIT */
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "kt_test.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

static FILE *stream;
static struct kt_buf text;

/* A fresh stream; each setup also forgets the repeats. */
static void start_log(enum kt_log_level level, bool json)
{
    char path[400];
    kt_test_path(path, sizeof path, "log");
    if (stream) {
        fclose(stream);
    }
    stream = fopen(path, "wb");
    if (!stream) {
        abort();
    }
    kt_log_setup(stream, level, json);
}

static const char *log_text(void)
{
    char path[400];
    kt_test_path(path, sizeof path, "log");
    kt_buf_done(&text);
    if (kt_fs_read(path, SIZE_MAX, &text, NULL) != KT_OK) {
        abort();
    }
    return text.data ? text.data : "";
}

/* The last line from behind the stamp on, without the newline. */
static const char *last_line(void)
{
    (void)log_text();
    if (text.len_bytes < 2) {
        return "";
    }
    text.data[text.len_bytes - 1] = '\0';
    char *from = strrchr(text.data, '\n');
    from = from ? from + 1 : text.data;
    return from[0] == '{' ? from + sizeof("{\"time\":\"2000-01-01T00:00:00.000Z\"") : from + 25;
}

static int lines_of(const char *lines)
{
    int count = 0;
    for (; *lines; lines++) {
        count += *lines == '\n';
    }
    return count;
}

static void a_line_has_stamp_level_node_area_event_and_pairs(void)
{
    start_log(KT_LOG_INFO, false);
    kt_log(INFO, "lease", "renewed", "ttl_ms=%u", 5000u);
    CHECK_STR(last_line(), "info  - lease renewed ttl_ms=5000");
    CHECK(text.data[4] == '-' && text.data[10] == 'T' && text.data[23] == 'Z');
    kt_log_set_node("node-1");
    kt_log(ERROR, "store", "failed", "path=%s code=%d", "/x", -3);
    CHECK_STR(last_line(), "error node-1 store failed path=/x code=-3");
    kt_log(WARN, "a", "b", "fixed=yes");
    CHECK_STR(last_line(), "warn  node-1 a b fixed=yes");
    kt_log(INFO, "a", "b", " ");
    CHECK_STR(last_line(), "info  node-1 a b");
    kt_log_set_node("");
}

static void every_conversion_of_printf_is_understood(void)
{
    start_log(KT_LOG_INFO, false);
    kt_log(INFO, "a", "1", "a=%d b=%ld c=%lld d=%hhd e=%zu f=%jd g=%td", 1, 2L, 3LL, 4, (size_t)5,
           (intmax_t)6, (ptrdiff_t)7);
    CHECK_STR(last_line(), "info  - a 1 a=1 b=2 c=3 d=4 e=5 f=6 g=7");
    kt_log(INFO, "a", "2", "a=%u b=%lu c=%llu d=%x e=%#X f=%o g=%hu h=%zd", 1u, 2ul, 3ull, 255u,
           255u, 8u, 9, (ptrdiff_t)-1);
    CHECK_STR(last_line(), "info  - a 2 a=1 b=2 c=3 d=ff e=0XFF f=10 g=9 h=-1");
    kt_log(INFO, "a", "3", "a=%" PRId64 " b=%" PRIu64 " c=%016" PRIx64, INT64_MIN, UINT64_MAX,
           UINT64_C(0xabc));
    CHECK_STR(last_line(),
              "info  - a 3 a=-9223372036854775808 b=18446744073709551615 c=0000000000000abc");
    kt_log(INFO, "a", "4", "a=%f b=%.2f c=%g d=%e f=%5.1f|", 1.5, 2.345, 0.1, 1.0, 2.0);
    CHECK_STR(last_line(), "info  - a 4 a=1.500000 b=2.35 c=0.1 d=1.000000e+00 f=\"  2.0|\"");
    kt_log(INFO, "a", "5", "a=%s b=%.*s c=%.2s d=%c e=%d%% f=%s", "x", 3, "abcdef", "abc", 'q', 50,
           "%d");
    CHECK_STR(last_line(), "info  - a 5 a=x b=abc c=ab d=q e=50% f=%d");
    kt_log(INFO, "a", "6", "a=%*d b=%-4d| c=%.*f d=%+d", 4, 7, 7, 1, 0.25, 7);
    CHECK_STR(last_line(), "info  - a 6 a=\"   7\" b=\"7   |\" c=0.2 d=+7");
    kt_log(INFO, "a", "7", "a=%s:%d/%s", "host", 80, "path");
    CHECK_STR(last_line(), "info  - a 7 a=host:80/path");
    kt_log(INFO, "a", "8", "a=%p", (void *)NULL);
    CHECK(strstr(last_line(), "a=") != NULL);
    const char *nothing = getenv("KT_THIS_IS_NOT_SET");
    kt_log(INFO, "a", "9", "a=%s b=%.3s c=1", nothing, nothing);
    CHECK_STR(last_line(), "info  - a 9 a=(null) b=(nu c=1");
    char not_terminated[3] = {'a', 'b', 'c'};
    kt_log(INFO, "a", "10", "a=%.*s", 3, not_terminated);
    CHECK_STR(last_line(), "info  - a 10 a=abc");
    kt_log(INFO, "a", "11", "some words %d k=%d", 1, 2);
    CHECK_STR(last_line(), "info  - a 11 text=some text=words text=1 k=2");
}

static void text_replaces_what_would_break_a_line(void)
{
    start_log(KT_LOG_INFO, false);
    kt_log(INFO, "a", "b", "why=\"%s\" n=%d", "say \"hi\"\\\n\x01\x7F", 1);
    CHECK_STR(last_line(), "info  - a b why=\"say 'hi'/   \" n=1");
    kt_log(INFO, "a", "b", "path=%s empty=%s eq=%s", "a b", "", "x=y");
    CHECK_STR(last_line(), "info  - a b path=\"a b\" empty=\"\" eq=\"x=y\"");
    kt_log(INFO, "a", "b", "why=\"%s\"", "broken \xFF\xC3");
    CHECK_STR(last_line(), "info  - a b why=\"broken ??\"");
    kt_log(INFO, "a", "b", "why=\"%s\"", "gr\xC3\xBC\xC3\x9F");
    CHECK_STR(last_line(), "info  - a b why=\"gr\xC3\xBC\xC3\x9F\"");
}

static void no_argument_forges_a_pair_or_a_line(void)
{
    const char *evil = "x\" admin=\"yes\nlevel=error";
    start_log(KT_LOG_INFO, false);
    kt_log(INFO, "a", "b", "user=\"%s\" end=1", evil);
    CHECK_STR(last_line(), "info  - a b user=\"x' admin='yes level=error\" end=1");
    kt_log(INFO, "a", "b", "user=%s end=1", evil);
    CHECK_STR(last_line(), "info  - a b user=\"x' admin='yes level=error\" end=1");
    CHECK_INT(lines_of(log_text()), 2);
    start_log(KT_LOG_INFO, true);
    kt_log(INFO, "a", "b", "user=\"%s\" end=1", evil);
    CHECK_STR(last_line(), "\"level\":\"info\",\"node\":\"-\",\"area\":\"a\",\"event\":\"b\","
                           "\"user\":\"x\\\" admin=\\\"yes\\u000alevel=error\",\"end\":\"1\"}");
}

static void json_lines_are_objects_with_numbers_as_numbers(void)
{
    start_log(KT_LOG_INFO, true);
    kt_log(INFO, "a", "b", "n=%d s=%s f=%.1f q=\"%d\" hex=%x", 5, "12", 0.5, 7, 16u);
    CHECK_STR(last_line(),
              "\"level\":\"info\",\"node\":\"-\",\"area\":\"a\",\"event\":\"b\",\"n\":5,"
              "\"s\":\"12\",\"f\":0.5,\"q\":\"7\",\"hex\":\"10\"}");
    kt_log(INFO, "a", "b", "t=%02d plus=%+d nan=%f mixed=%d/%d", 5, 5, (double)NAN, 1, 2);
    CHECK_STR(last_line(), "\"level\":\"info\",\"node\":\"-\",\"area\":\"a\",\"event\":\"b\","
                           "\"t\":\"05\",\"plus\":\"+5\",\"nan\":\"nan\",\"mixed\":\"1/2\"}");
    kt_log(INFO, "a", "b", "why=\"%s\"", "\\ \t \xFF");
    CHECK_STR(last_line(), "\"level\":\"info\",\"node\":\"-\",\"area\":\"a\",\"event\":\"b\","
                           "\"why\":\"\\\\ \\u0009 ?\"}");
}

static void lines_too_long_are_cut_and_say_so(void)
{
    enum { LONG = 20000 };
    KT_AUTOFREE char *value = kt_malloc(LONG + 1);
    CHECK(value);
    memset(value, '"', LONG);
    value[LONG] = '\0';
    for (int json = 0; json < 2; json++) {
        start_log(KT_LOG_INFO, json);
        kt_log(INFO, "a", "b", "a=%s b=%s c=%s d=%s e=%s f=%d", value, value, value, value, value,
               1);
        const char *line = last_line();
        size_t len = strlen(line);
        const char *end = json ? ",\"cut\":1}" : " cut=1";
        CHECK(len < 8192 && len > 2000);
        CHECK_STR(line + len - strlen(end), end);
        CHECK_INT(lines_of(log_text()), 1);
    }
}

static void a_long_value_is_cut_between_characters(void)
{
    for (size_t shift = 0; shift < 4; shift++) {
        char value[4001] = "xxxx";
        size_t len = shift;
        for (; len + 4 < sizeof value; len += 4) {
            memcpy(value + len, "\xF0\x9F\x8C\x8A", 4);
        }
        value[len] = '\0';
        start_log(KT_LOG_INFO, false);
        kt_log(INFO, "a", "b", "v=%s", value);
        CHECK(kt_utf8_valid(kt_str(log_text())));
        CHECK(!strchr(text.data, '?'));
        CHECK(strstr(text.data, " cut=1\n"));
    }
}

static void levels_below_the_set_one_are_silent(void)
{
    start_log(KT_LOG_WARN, false);
    kt_log(DEBUG, "a", "b", "x=1");
    kt_log(INFO, "a", "b", "x=1");
    kt_log_write(KT_LOG_INFO, "a", "b", "x=%d", 1);
    CHECK_STR(log_text(), "");
    CHECK(!kt_log_enabled(KT_LOG_INFO) && kt_log_enabled(KT_LOG_WARN));
    kt_log(WARN, "a", "b", "x=1");
    kt_log(ERROR, "a", "b", "x=1");
    CHECK_INT(lines_of(log_text()), 2);
    kt_log_set_level(KT_LOG_OFF);
    kt_log(ERROR, "a", "b", "x=1");
    CHECK(!kt_log_enabled(KT_LOG_ERROR) && !kt_log_enabled(KT_LOG_OFF));
    CHECK_INT(lines_of(log_text()), 2);
    kt_log_set_level(KT_LOG_DEBUG);
    kt_log(DEBUG, "a", "b", "x=1");
    CHECK_INT(lines_of(log_text()), 3);
}

static void levels_have_names(void)
{
    enum kt_log_level level = KT_LOG_OFF;
    CHECK(kt_log_level_parse("debug", &level) && level == KT_LOG_DEBUG);
    CHECK(kt_log_level_parse("info", &level) && level == KT_LOG_INFO);
    CHECK(kt_log_level_parse("warn", &level) && level == KT_LOG_WARN);
    CHECK(kt_log_level_parse("error", &level) && level == KT_LOG_ERROR);
    CHECK(kt_log_level_parse("off", &level) && level == KT_LOG_OFF);
    level = KT_LOG_WARN;
    CHECK(!kt_log_level_parse("INFO", &level) && !kt_log_level_parse("", &level));
    CHECK(level == KT_LOG_WARN);
}

static void repeats_are_counted_and_summed_up(void)
{
    start_log(KT_LOG_INFO, false);
    for (int i = 0; i < 25; i++) {
        kt_log(INFO, "a", "again", "i=%d", i);
        kt_log(WARN, "a", "again", "i=%d", i % 10);
    }
    CHECK_INT(lines_of(log_text()), 20);
    kt_log(INFO, "a", "other", "x=1");
    CHECK_INT(lines_of(log_text()), 21);
    kt_log_flush();
    CHECK_INT(lines_of(log_text()), 23);
    CHECK(strstr(text.data, "info  - a again repeated=15\n"));
    CHECK(strstr(text.data, "warn  - a again repeated=15\n"));
    kt_log_flush();
    CHECK_INT(lines_of(log_text()), 23);
    kt_log(INFO, "a", "again", "i=%d", 99);
    CHECK_STR(last_line(), "info  - a again i=99");
}

static void many_events_push_old_sums_out(void)
{
    start_log(KT_LOG_INFO, false);
    for (int i = 0; i < 12; i++) {
        kt_log(INFO, "a", "first", "i=%d", i);
    }
    for (int i = 0; i < 100; i++) {
        char event[16];
        snprintf(event, sizeof event, "e%d", i);
        kt_log(INFO, "a", event, "i=%d", i);
    }
    CHECK(strstr(log_text(), "info  - a first repeated=2\n"));
    CHECK_INT(lines_of(text.data), 10 + 1 + 100);
}

static void write_lines(void *arg)
{
    for (int i = 0; i < 200; i++) {
        char event[16];
        snprintf(event, sizeof event, "e%d-%d", *(int *)arg, i);
        kt_log(INFO, "a", event, "who=\"%s\"", kt_thread_name());
    }
}

static void lines_of_threads_do_not_mix(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_thread threads[3] = {{0}};
    int numbers[3] = {0, 1, 2};
    start_log(KT_LOG_INFO, false);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(kt_thread_start(&threads[i], "writer", write_lines, &numbers[i], &err));
    }
    for (int i = 0; i < 3; i++) {
        kt_thread_join(&threads[i]);
    }
    (void)log_text();
    struct kt_str rest = kt_buf_str(&text);
    int count = 0;
    while (rest.len > 0) {
        struct kt_str line = kt_str_cut(&rest, '\n');
        CHECK(kt_str_ends(line, KT_STR(" who=\"writer\"")));
        count++;
    }
    CHECK_INT(count, 600);
}

static void logging_allocates_nothing(void)
{
    start_log(KT_LOG_INFO, true);
    kt_fault_set(KT_FAULT_ALLOC, 0, 0);
    kt_log(INFO, "a", "b", "x=\"%s\"", "y");
    CHECK_INT(kt_fault_calls(KT_FAULT_ALLOC), 0);
    /* The last test: nothing must write to this stream when it is gone. */
    kt_log_setup(NULL, KT_LOG_OFF, false);
    fclose(stream);
    stream = NULL;
    kt_buf_done(&text);
}

static const struct kt_test tests[] = {
    TEST(a_line_has_stamp_level_node_area_event_and_pairs),
    TEST(every_conversion_of_printf_is_understood),
    TEST(text_replaces_what_would_break_a_line),
    TEST(no_argument_forges_a_pair_or_a_line),
    TEST(json_lines_are_objects_with_numbers_as_numbers),
    TEST(lines_too_long_are_cut_and_say_so),
    TEST(a_long_value_is_cut_between_characters),
    TEST(levels_below_the_set_one_are_silent),
    TEST(levels_have_names),
    TEST(repeats_are_counted_and_summed_up),
    TEST(many_events_push_old_sums_out),
    TEST(lines_of_threads_do_not_mix),
    TEST(logging_allocates_nothing),
};
KT_TEST_MAIN(tests)

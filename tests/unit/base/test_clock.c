/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "kt_test.h"

#include <time.h>

static void the_monotonic_clock_never_steps_back(void)
{
    int64_t last_us = kt_now_mono_us();
    for (int i = 0; i < 100000; i++) {
        int64_t now_us = kt_now_mono_us();
        CHECK(now_us >= last_us);
        last_us = now_us;
    }
    int64_t ms = kt_now_mono_ms();
    CHECK(ms >= last_us / 1000 && ms <= kt_now_mono_us() / 1000);
}

static void the_wall_clock_agrees_with_time(void)
{
    int64_t before = (int64_t)time(NULL);
    int64_t wall_ms = kt_now_wall_ms();
    CHECK(wall_ms / 1000 >= before - 1 && wall_ms / 1000 <= (int64_t)time(NULL) + 1);
}

/* Every day of the supported range, counted up with the rules of the calendar alone. */
static void every_day_of_the_range_converts_both_ways(void)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t days = KT_TIME_MIN / KT_DAY_S;
    for (int year = 1; year <= 9999; year++) {
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        for (int month = 1; month <= 12; month++) {
            int length = lengths[month - 1] + (month == 2 && leap);
            for (int day = 1; day <= length; day++, days++) {
                int y, m, d;
                kt_civil_from_days(days, &y, &m, &d);
                CHECK(y == year && m == month && d == day);
                CHECK(kt_days_from_civil(year, month, day) == days);
            }
        }
    }
    CHECK_INT(days, (KT_TIME_MAX + 1) / KT_DAY_S);
}

static void dates_are_read_strictly(void)
{
    static const struct {
        const char *text;
        int64_t time_s;
    } good[] = {{"1970-01-01", 0},
                {"0001-01-01", KT_TIME_MIN},
                {"9999-12-31", KT_TIME_MAX - (KT_DAY_S - 1)},
                {"2000-02-29", 951782400},
                {"1969-12-31", -KT_DAY_S}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t time_s = 1;
        CHECK(kt_parse_date(kt_str(good[i].text), &time_s));
        CHECK_INT(time_s, good[i].time_s);
        char text[11];
        kt_format_date(time_s + KT_DAY_S - 1, text);
        CHECK_STR(text, good[i].text);
    }
    static const char *bad[] = {
        "",           "2000-1-01",  "2000-01-1",   "2000-00-01",          "2000-13-01",
        "2000-01-00", "2000-01-32", "1900-02-29",  "2001-02-29",          "2000-04-31",
        "0000-01-01", "2000/01/01", "2000-01-01 ", " 2000-01-1",          "20000-01-01",
        "-001-01-01", "2000-0a-01", "+200-01-01",  "2000-01-01T00:00:00Z"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t time_s = 77;
        CHECK(!kt_parse_date(kt_str(bad[i]), &time_s));
        CHECK_INT(time_s, 77);
    }
}

static void years_are_floored_before_1970(void)
{
    CHECK_INT(kt_year_of(0), 1970);
    CHECK_INT(kt_year_of(-1), 1969);
    CHECK_INT(kt_year_of(KT_TIME_MIN), 1);
    CHECK_INT(kt_year_of(KT_TIME_MAX), 9999);
    CHECK_INT(kt_year_of(951782400), 2000);
}

static void stamps_have_milliseconds(void)
{
    char text[25];
    kt_format_wall_ms(INT64_C(951782400123), text);
    CHECK_STR(text, "2000-02-29T00:00:00.123Z");
    kt_format_wall_ms(-1, text);
    CHECK_STR(text, "1969-12-31T23:59:59.999Z");
    kt_format_wall_ms(KT_TIME_MAX * 1000 + 999, text);
    CHECK_STR(text, "9999-12-31T23:59:59.999Z");
    kt_format_wall_ms(KT_TIME_MIN * 1000, text);
    CHECK_STR(text, "0001-01-01T00:00:00.000Z");
}

static void http_dates_are_imf_fixdate(void)
{
    char text[30];
    kt_format_http_date(784111777, text); /* the example of RFC 9110, 5.6.7 */
    CHECK_STR(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    kt_format_http_date(0, text);
    CHECK_STR(text, "Thu, 01 Jan 1970 00:00:00 GMT");
    kt_format_http_date(-1, text);
    CHECK_STR(text, "Wed, 31 Dec 1969 23:59:59 GMT");
    kt_format_http_date(KT_TIME_MIN, text);
    CHECK_STR(text, "Mon, 01 Jan 0001 00:00:00 GMT");
    kt_format_http_date(KT_TIME_MAX, text);
    CHECK_STR(text, "Fri, 31 Dec 9999 23:59:59 GMT");
}

static const struct kt_test tests[] = {
    TEST(the_monotonic_clock_never_steps_back),
    TEST(the_wall_clock_agrees_with_time),
    TEST(every_day_of_the_range_converts_both_ways),
    TEST(dates_are_read_strictly),
    TEST(years_are_floored_before_1970),
    TEST(stamps_have_milliseconds),
    TEST(http_dates_are_imf_fixdate),
};
KT_TEST_MAIN(tests)

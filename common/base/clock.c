/* SPDX-License-Identifier: MIT */
/* clock.c - clocks of the system, and the Gregorian calendar without the C library's help: gmtime,
 * timegm and strptime differ from system to system and know locales. */
#include "base/clock.h"

#include "base/status.h"

#include <string.h>
#include <time.h>

#ifdef CLOCK_BOOTTIME
#define MONO_CLOCK CLOCK_BOOTTIME
#else
#define MONO_CLOCK CLOCK_MONOTONIC
#endif

static int64_t read_us(clockid_t id)
{
    struct timespec now;
    KT_ASSERT(clock_gettime(id, &now) == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t kt_now_mono_us(void)
{
    return read_us(MONO_CLOCK);
}

int64_t kt_now_mono_ms(void)
{
    return read_us(MONO_CLOCK) / 1000;
}

int64_t kt_now_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

void kt_sleep_until_us(int64_t mono_us)
{
    for (;;) {
        int64_t left_us = mono_us - kt_now_mono_us();
        if (left_us <= 0) {
            return;
        }
        struct timespec pause = {.tv_sec = (time_t)(left_us / 1000000),
                                 .tv_nsec = (long)(left_us % 1000000 * 1000)};
        (void)nanosleep(&pause, NULL); /* ends early on a signal */
    }
}

enum {
    DAYS_PER_ERA = 146097,  /* 400 years */
    DAYS_TO_EPOCH = 719468, /* from 0000-03-01 to 1970-01-01 */
    DAY_S = 86400
};

/* Years are counted from March, which puts the leap day at the end; day of the year from a month
 * is then the line (153 m + 2) / 5. */
int64_t kt_days_from_civil(int year, int month, int day)
{
    int y = month <= 2 ? year - 1 : year;
    int era = (y >= 0 ? y : y - 399) / 400;
    int year_of_era = y - era * 400;
    int month_from_march = month > 2 ? month - 3 : month + 9;
    int day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return (int64_t)era * DAYS_PER_ERA + day_of_era - DAYS_TO_EPOCH;
}

/* Neri and Schneider: quotients by 1461 / 4 days and 153 / 5 days as products with a power of two
 * below, whose lower half then holds the remainder. */
void kt_civil_from_days(int64_t days, int *ret_year, int *ret_month, int *ret_day)
{
    uint32_t quarters = (uint32_t)(days + DAYS_TO_EPOCH) * 4 + 3;
    uint32_t century = quarters / DAYS_PER_ERA;
    uint64_t years = UINT64_C(2939745) * (quarters % DAYS_PER_ERA | 3);
    uint32_t day_of_year = (uint32_t)years / 2939745 / 4;
    uint32_t months = 2141 * day_of_year + 197913; /* from March, which is 3 */
    uint32_t month = months >> 16;
    *ret_year = (int)(100 * century + (uint32_t)(years >> 32) + (month > 12));
    *ret_month = (int)(month > 12 ? month - 12 : month);
    *ret_day = (int)((months & 0xFFFF) / 2141 + 1);
}

static bool is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_in_month(int year, int month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* `count` digits at `pos` as a number, -1 when one of them is none. */
static int digits_at(const char *pos, int count)
{
    int value = 0;
    for (int i = 0; i < count; i++) {
        unsigned digit = (unsigned)pos[i] - '0';
        if (digit > 9) {
            return -1;
        }
        value = value * 10 + (int)digit;
    }
    return value;
}

bool kt_parse_date(struct kt_str text, int64_t *ret_time_s)
{
    if (text.len != 10 || text.data[4] != '-' || text.data[7] != '-') {
        return false;
    }
    int year = digits_at(text.data, 4);
    int month = digits_at(text.data + 5, 2);
    int day = digits_at(text.data + 8, 2);
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month)) {
        return false;
    }
    *ret_time_s = kt_days_from_civil(year, month, day) * DAY_S;
    return true;
}

static char *put_digits(char *dest, int value, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        dest[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return dest + count;
}

static char *put_two_digits(char *dest, int value)
{
    memcpy(dest, kt_digit_pairs + 2 * value, 2);
    return dest + 2;
}

static int64_t floor_div(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

/* "YYYY-MM-DD" without NUL. */
static char *put_date(char *dest, int64_t time_s)
{
    KT_ASSERT(time_s >= KT_TIME_MIN && time_s <= KT_TIME_MAX);
    int year, month, day;
    kt_civil_from_days(floor_div(time_s, DAY_S), &year, &month, &day);
    dest = put_two_digits(put_two_digits(dest, year / 100), year % 100);
    *dest++ = '-';
    dest = put_two_digits(dest, month);
    *dest++ = '-';
    return put_two_digits(dest, day);
}

/* "HH:MM:SS" without NUL. */
static char *put_time_of_day(char *dest, int64_t time_s)
{
    int second = (int)(time_s - floor_div(time_s, DAY_S) * DAY_S);
    dest = put_digits(dest, second / 3600, 2);
    *dest++ = ':';
    dest = put_digits(dest, second / 60 % 60, 2);
    *dest++ = ':';
    return put_digits(dest, second % 60, 2);
}

void kt_format_date(int64_t time_s, char dest[11])
{
    *put_date(dest, time_s) = '\0';
}

int kt_year_of(int64_t time_s)
{
    int year, month, day;
    kt_civil_from_days(floor_div(time_s, DAY_S), &year, &month, &day);
    return year;
}

void kt_format_wall_ms(int64_t wall_ms, char dest[25])
{
    int64_t time_s = floor_div(wall_ms, 1000);
    char *pos = put_date(dest, time_s);
    *pos++ = 'T';
    pos = put_time_of_day(pos, time_s);
    *pos++ = '.';
    pos = put_digits(pos, (int)(wall_ms - time_s * 1000), 3);
    *pos++ = 'Z';
    *pos = '\0';
}

static char *put_text(char *dest, const char *text, size_t len)
{
    memcpy(dest, text, len);
    return dest + len;
}

void kt_format_http_date(int64_t time_s, char dest[30])
{
    static const char weekdays[] = "ThuFriSatSunMonTueWed"; /* 1970-01-01 was a Thursday */
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    KT_ASSERT(time_s >= KT_TIME_MIN && time_s <= KT_TIME_MAX);
    int64_t days = floor_div(time_s, DAY_S);
    int year, month, day;
    kt_civil_from_days(days, &year, &month, &day);
    char *pos = put_text(dest, weekdays + 3 * (days - floor_div(days, 7) * 7), 3);
    pos = put_digits(put_text(pos, ", ", 2), day, 2);
    *pos++ = ' ';
    pos = put_text(pos, months + 3 * (size_t)(month - 1), 3);
    *pos++ = ' ';
    pos = put_digits(pos, year, 4);
    *pos++ = ' ';
    pos = put_time_of_day(pos, time_s);
    *put_text(pos, " GMT", 4) = '\0';
}

/* clock.h - the two clocks, and the calendar.
 *
 * Deadlines and leases go by the monotonic clock, which counts time in suspend (a lease runs out
 * while a laptop sleeps); stamps that people read go by the wall clock. Times of data are UTC whole
 * seconds from 0001-01-01 to 9999-12-31 in the proleptic Gregorian calendar, without leap seconds.
 *
 * Threads: any.
 * Owns:    nothing.
 * Fails:   parsers return false and leave their output untouched.
 */
#ifndef KT_BASE_CLOCK_H
#define KT_BASE_CLOCK_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

int64_t kt_now_mono_ms(void);
int64_t kt_now_mono_us(void);
int64_t kt_now_wall_ms(void);
/* Until kt_now_mono_us() is at least that; some 50 µs late. For pacing, not for waiting on others:
 * those wait on a condition. */
void kt_sleep_until_us(int64_t mono_us);

#define KT_TIME_MIN INT64_C(-62135596800) /* 0001-01-01T00:00:00Z */
#define KT_TIME_MAX INT64_C(253402300799) /* 9999-12-31T23:59:59Z */
#define KT_DAY_S INT64_C(86400)

/* Days since 1970-01-01 <-> civil date; algorithms: H. Hinnant, "chrono-compatible low-level date
 * algorithms" (days_from_civil), and C. Neri, L. Schneider, "Euclidean affine functions and their
 * application to calendar algorithms" (2022). Valid for years 1..9999. */
int64_t kt_days_from_civil(int year, int month, int day);
void kt_civil_from_days(int64_t days, int *ret_year, int *ret_month, int *ret_day);

/* "YYYY-MM-DD" exactly, a date that exists, year 0001-9999: seconds at 00:00:00 of that day. */
bool kt_parse_date(struct kt_str text, int64_t *ret_time_s);
/* Writes "YYYY-MM-DD" and NUL (11 bytes) for a time in KT_TIME_MIN..KT_TIME_MAX. */
void kt_format_date(int64_t time_s, char dest[11]);
int kt_year_of(int64_t time_s);
/* "YYYY-MM-DDTHH:MM:SS.mmmZ" and NUL (25 bytes). */
void kt_format_wall_ms(int64_t wall_ms, char dest[25]);
/* RFC 9110 IMF-fixdate "Sun, 06 Nov 1994 08:49:37 GMT" and NUL (30 bytes). */
void kt_format_http_date(int64_t time_s, char dest[30]);

#endif

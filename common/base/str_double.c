/* SPDX-License-Identifier: MIT */
/* str_double.c - a double as the shortest decimal that reads back the same.
 *
 * Prices and ratios have few digits: if m / 10^p is the value for an m below 10^15, then the digits
 * of m are the answer, because a division of two exact doubles is rounded correctly and no two
 * decimals of 15 digits share a double. Everything else goes through Schubfach (R. Giulietti, "The
 * Schubfach way to render doubles", 2020): of the multiples of 10^k and 10^(k+1) inside the
 * rounding interval take the shorter, then the nearer. Our own code after the paper. */
#include "base/str.h"

#include "base/status.h"
#include "base/str_pow10.h"

#include <math.h>
#include <string.h>

enum {
    DIGITS_MAX = 17,       /* a double needs no more */
    PIECE = DIGITS_MAX - 1 /* on one side of the point */
};

/* value = digits * 10^exponent */
struct decimal {
    uint64_t digits;
    int exponent;
};

/* floor(log2(10^e)), floor(log10(2^e)) and floor(log10(3/4 * 2^e)) as fixed-point products; valid
 * far beyond a double's exponents (section 9 of the paper; walked through in the unit test). */
static int floor_log2_pow10(int e)
{
    return e * 1741647 >> 19;
}

static int floor_log10_pow2(int e)
{
    return e * 1262611 >> 22;
}

static int floor_log10_three_quarters_pow2(int e)
{
    return (e * 1262611 - 524031) >> 22;
}

/* floor(g * cp / 2^128) whose lowest bit is set when anything was cut off ("round to odd"): enough
 * to compare exactly with multiples of 4. A remainder below 2 in the next word is the error of g,
 * not of the value. */
static uint64_t round_to_odd(unsigned __int128 g, uint64_t cp)
{
    uint64_t g_low = (uint64_t)g, g_high = (uint64_t)(g >> 64);
    unsigned __int128 low = (unsigned __int128)g_low * cp;
    unsigned __int128 sum = (unsigned __int128)g_high * cp + (uint64_t)(low >> 64);
    return (uint64_t)(sum >> 64) | ((uint64_t)sum > 1);
}

/* Takes off trailing zeros, half of what may be left at a time. */
static struct decimal strip_zeros(struct decimal d)
{
    if (d.digits % 100000000 == 0) {
        d.digits /= 100000000;
        d.exponent += 8;
    }
    if (d.digits % 10000 == 0) {
        d.digits /= 10000;
        d.exponent += 4;
    }
    while (d.digits % 10 == 0) {
        d.digits /= 10;
        d.exponent++;
    }
    return d;
}

static struct decimal schubfach(uint64_t bits)
{
    const uint64_t hidden = UINT64_C(1) << 52;
    uint64_t fraction = bits & (hidden - 1);
    int biased = (int)(bits >> 52 & 0x7FF);
    uint64_t c = biased ? fraction | hidden : fraction;
    int q = (biased ? biased : 1) - 1075;
    /* Below a power of two the doubles lie twice as close. */
    bool closer_below = fraction == 0 && biased > 1;
    int k = closer_below ? floor_log10_three_quarters_pow2(q) : floor_log10_pow2(q);
    int h = q + floor_log2_pow10(-k) + 1;

    const struct pow10 *row = &pow10_table[-k - POW10_FIRST];
    unsigned __int128 g = ((unsigned __int128)row->high << 64 | row->low) + 1;
    /* Four times the value and the borders of its rounding interval, in units of 10^k. */
    uint64_t value = round_to_odd(g, 4 * c << h);
    uint64_t lower = round_to_odd(g, (4 * c - 2 + closer_below) << h);
    uint64_t upper = round_to_odd(g, (4 * c + 2) << h);
    /* Round-half-even reading includes the borders of an even significand only. */
    lower += c & 1;
    upper -= c & 1;

    uint64_t s = value / 4;
    if (s >= 10) {
        uint64_t tens = s / 10;
        bool down_inside = lower <= 40 * tens, up_inside = 40 * tens + 40 <= upper;
        if (down_inside != up_inside) {
            return strip_zeros((struct decimal){tens + up_inside, k + 1});
        }
    }
    bool down_inside = lower <= 4 * s, up_inside = 4 * s + 4 <= upper;
    if (down_inside != up_inside) {
        return (struct decimal){s + up_inside, k};
    }
    uint64_t middle = 4 * s + 2;
    bool up = value > middle || (value == middle && (s & 1));
    return (struct decimal){s + up, k};
}

/* One attempt at m / power == value; the product is rounded, the check by division is exact. */
static bool is_multiple(double value, double power, uint64_t *ret_m)
{
    double scaled = value * power;
    if (scaled >= 1e15) {
        return false;
    }
    int64_t m = (int64_t)(scaled + 0.5); /* signed converts in one instruction */
    if (m == 0 || m >= INT64_C(1000000000000000) || (double)m / power != value) {
        return false;
    }
    *ret_m = (uint64_t)m;
    return true;
}

/* A number that has cents: the usual prices and amounts. */
static char *put_cents(char *dest, uint64_t cents)
{
    unsigned rest = (unsigned)(cents % 100);
    dest += kt_format_u64(cents / 100, dest);
    dest[0] = '.';
    memcpy(dest + 1, kt_digit_pairs + 2 * rest, 2);
    return dest + (rest % 10 ? 3 : 2);
}

static char *put_zeros(char *dest, int count)
{
    memset(dest, '0', (size_t)count);
    return dest + count;
}

static char *put_exponent(char *dest, int exponent)
{
    *dest++ = 'e';
    *dest++ = exponent < 0 ? '-' : '+';
    return dest + kt_format_u64((uint64_t)(exponent < 0 ? -exponent : exponent), dest);
}

/* ECMA-262, Number::toString: `point` is the place of the decimal point from the first digit. */
static char *put_decimal(char *dest, struct decimal d)
{
    char digits[DIGITS_MAX + PIECE] = {0}; /* copied in pieces of one size: no calls */
    int count = (int)kt_format_u64(d.digits, digits);
    int point = count + d.exponent;
    if (point > 21 || point <= -6) {
        *dest++ = digits[0];
        if (count > 1) {
            *dest++ = '.';
            memcpy(dest, digits + 1, (size_t)count - 1);
            dest += count - 1;
        }
        return put_exponent(dest, point - 1);
    }
    if (point <= 0) {
        dest = put_zeros(dest, 2 - point);
        dest[point - 1] = '.';
        memcpy(dest, digits, (size_t)count);
        return dest + count;
    }
    if (point >= count) {
        memcpy(dest, digits, (size_t)count);
        return put_zeros(dest + count, point - count);
    }
    memcpy(dest, digits, PIECE);
    memcpy(dest + point + 1, digits + point, PIECE);
    dest[point] = '.';
    return dest + count + 1;
}

size_t kt_format_f64(double value, char *dest)
{
    KT_ASSERT(isfinite(value));
    char *pos = dest;
    if (value < 0) {
        *pos++ = '-';
        value = -value;
    }
    if (value < 9007199254740992.0 && value == (double)(int64_t)value) {
        pos += kt_format_u64((uint64_t)value, pos);
        *pos = '\0';
        return (size_t)(pos - dest);
    }
    uint64_t m, bits;
    if (is_multiple(value, 1e2, &m)) {
        pos = put_cents(pos, m);
    } else if (is_multiple(value, 1e6, &m)) { /* takes in most ratios */
        pos = put_decimal(pos, strip_zeros((struct decimal){m, -6}));
    } else {
        memcpy(&bits, &value, sizeof bits);
        pos = put_decimal(pos, schubfach(bits));
    }
    *pos = '\0';
    return (size_t)(pos - dest);
}

/* SPDX-License-Identifier: MIT */
/* str_parse.c - JSON numbers to the nearest double, without a locale.
 *
 * Three ways, each correctly rounded: a product or quotient of two exact doubles (W. Clinger, "How
 * to read floating point numbers accurately", 1990); 64 x 128 bits with a proof that what was cut
 * off cannot matter (after D. Lemire, "Number parsing at a gigabyte per second", 2021); and the C
 * library, given digits and an exponent only, in which no locale finds a decimal point. */
#include "base/str.h"

#include "base/str_pow10.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A double's shortest exact decimal has at most 767 significant digits, and so has the midpoint of
 * two doubles but for one; what lies behind only matters as "more than nothing". */
enum { MAX_DIGITS = 770, EXACT_DIGITS = 19, EXPONENT_CLAMP = 100000 };

struct scan {
    struct kt_str whole, part; /* digits before and behind the point */
    int64_t exponent;
    bool negative;
};

static struct kt_str take_digits(const char **pos, const char *end)
{
    const char *from = *pos;
    while (*pos < end && (unsigned)**pos - '0' <= 9) {
        (*pos)++;
    }
    return kt_str_n(from, (size_t)(*pos - from));
}

/* number = [ "-" ] int [ "." 1*DIGIT ] [ ("e" / "E") [ "-" / "+" ] 1*DIGIT ]; RFC 8259 */
static bool scan_number(struct kt_str text, struct scan *s)
{
    const char *pos = text.data, *end = text.len ? pos + text.len : pos;
    *s = (struct scan){0};
    if (pos < end && *pos == '-') {
        s->negative = true;
        pos++;
    }
    s->whole = take_digits(&pos, end);
    if (s->whole.len == 0 || (s->whole.len > 1 && s->whole.data[0] == '0')) {
        return false;
    }
    if (pos < end && *pos == '.') {
        pos++;
        s->part = take_digits(&pos, end);
        if (s->part.len == 0) {
            return false;
        }
    }
    if (pos < end && (*pos == 'e' || *pos == 'E')) {
        pos++;
        bool below = pos < end && *pos == '-';
        if (pos < end && (*pos == '-' || *pos == '+')) {
            pos++;
        }
        struct kt_str digits = take_digits(&pos, end);
        if (digits.len == 0) {
            return false;
        }
        /* Saturates where no text that fits into memory could make up for it. */
        for (size_t i = 0; i < digits.len && s->exponent < INT64_C(1000000000000000); i++) {
            s->exponent = s->exponent * 10 + (digits.data[i] - '0');
        }
        s->exponent = below ? -s->exponent : s->exponent;
    }
    return pos == end;
}

static uint64_t add_digits(uint64_t value, struct kt_str digits)
{
    for (size_t i = 0; i < digits.len; i++) {
        value = value * 10 + (unsigned)(digits.data[i] - '0');
    }
    return value;
}

/* w * 10^q for w < 2^53 and small q: one rounding, hence the right one. */
static bool by_exact_doubles(uint64_t w, int64_t q, double *ret)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (w > UINT64_C(9007199254740992) || q < -22 || q > 22) {
        return false;
    }
    *ret = q < 0 ? (double)w / powers[-q] : (double)w * powers[q];
    return true;
}

/* w * 10^q, w > 0, from the upper 128 bits of the product of w and the 128-bit power: too small by
 * less than 2 (one for the bits cut off here, one for those cut off the power), 4 after the shift.
 * If the bits behind the rounding bit are not zero (a tie might be none) and adding 4 does not
 * carry out of them, they decide. */
static bool by_long_product(uint64_t w, int64_t q, double *ret)
{
    if (q == 0) {
        *ret = (double)w;
        return true;
    }
    if (q < POW10_FIRST || q > 308) {
        return false;
    }
    const struct pow10 *row = &pow10_table[q - POW10_FIRST];
    int zeros = __builtin_clzll(w);
    w <<= zeros;
    unsigned __int128 low = (unsigned __int128)w * row->low;
    unsigned __int128 high = (unsigned __int128)w * row->high + (uint64_t)(low >> 64);
    int top = (int)(high >> 127);
    if (!top) {
        high <<= 1;
    }
    const int rest_bits = 128 - 54;
    unsigned __int128 mask = ((unsigned __int128)1 << rest_bits) - 1, rest = high & mask;
    if (rest == 0 || rest > mask - 3) {
        return false;
    }
    uint64_t mantissa = (uint64_t)(high >> rest_bits);
    mantissa = (mantissa + 1) >> 1; /* rest > 0: no tie, so a set rounding bit means up */
    int exponent = (int)(q * 1741647 >> 19) + 63 - zeros + top;
    if (exponent < -1022 || exponent > 1022) {
        return false; /* subnormal, or near overflow: left to the slow way */
    }
    uint64_t bits = (mantissa & ((UINT64_C(1) << 52) - 1)) | (uint64_t)(exponent + 1023) << 52;
    if (mantissa >> 53) {
        bits = (uint64_t)(exponent + 1024) << 52;
    }
    memcpy(ret, &bits, sizeof bits);
    return true;
}

/* Copies significant digits up to the bound; a digit of 1 stands for any non-zero rest. Returns how
 * many digits were left out. */
static size_t copy_digits(char *dest, size_t *len, bool *sticky, struct kt_str digits)
{
    size_t left_out = 0;
    for (size_t i = 0; i < digits.len; i++) {
        char c = digits.data[i];
        if (*len == 0 && c == '0') {
            continue;
        }
        if (*len < MAX_DIGITS) {
            dest[(*len)++] = c;
        } else {
            left_out++;
            *sticky = *sticky || c != '0';
        }
    }
    return left_out;
}

static double by_library(const struct scan *s)
{
    char text[MAX_DIGITS + 16];
    size_t len = 0;
    bool sticky = false;
    size_t left_out = copy_digits(text, &len, &sticky, s->whole);
    left_out += copy_digits(text, &len, &sticky, s->part);
    if (len == 0) {
        return 0;
    }
    int64_t exponent = s->exponent - (int64_t)s->part.len + (int64_t)left_out;
    if (sticky) {
        text[len++] = '1';
        exponent--;
    }
    exponent = exponent > EXPONENT_CLAMP    ? EXPONENT_CLAMP
               : exponent < -EXPONENT_CLAMP ? -EXPONENT_CLAMP
                                            : exponent;
    text[len++] = 'e';
    len += kt_format_i64(exponent, text + len);
    text[len] = '\0';
    return strtod(text, NULL);
}

bool kt_parse_f64(struct kt_str text, double *ret_value)
{
    struct scan s;
    if (!scan_number(text, &s)) {
        return false;
    }
    double value = 0;
    bool exact = false;
    if (s.whole.len + s.part.len <= EXACT_DIGITS) {
        uint64_t w = add_digits(add_digits(0, s.whole), s.part);
        int64_t q = s.exponent - (int64_t)s.part.len;
        exact = w == 0 || by_exact_doubles(w, q, &value) || by_long_product(w, q, &value);
    }
    if (!exact) {
        value = by_library(&s);
    }
    if (!isfinite(value)) {
        return false;
    }
    *ret_value = s.negative && value != 0 ? -value : value;
    return true;
}

/* SPDX-License-Identifier: MIT */
/* str_int.c - whole numbers to text and back, two digits at a time. */
#include "base/str.h"

#include <string.h>

bool kt_parse_u64(struct kt_str text, uint64_t *ret_value)
{
    if (text.len == 0) {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            return false;
        }
    }
    *ret_value = value;
    return true;
}

bool kt_parse_i64(struct kt_str text, int64_t *ret_value)
{
    bool negative = text.len > 0 && text.data[0] == '-';
    uint64_t value = 0;
    if (!kt_parse_u64(negative ? kt_str_n(text.data + 1, text.len - 1) : text, &value)) {
        return false;
    }
    if (value > (uint64_t)INT64_MAX + negative) {
        return false;
    }
    *ret_value = (int64_t)(negative ? 0 - value : value);
    return true;
}

const char kt_digit_pairs[201] = "00010203040506070809101112131415161718192021222324"
                                 "25262728293031323334353637383940414243444546474849"
                                 "50515253545556575859606162636465666768697071727374"
                                 "75767778798081828384858687888990919293949596979899";

/* 1233 / 4096 is log10(2): the guess is right, or one too few. */
static size_t count_digits(uint64_t value)
{
    static const uint64_t least[] = {
        0,
        UINT64_C(10),
        UINT64_C(100),
        UINT64_C(1000),
        UINT64_C(10000),
        UINT64_C(100000),
        UINT64_C(1000000),
        UINT64_C(10000000),
        UINT64_C(100000000),
        UINT64_C(1000000000),
        UINT64_C(10000000000),
        UINT64_C(100000000000),
        UINT64_C(1000000000000),
        UINT64_C(10000000000000),
        UINT64_C(100000000000000),
        UINT64_C(1000000000000000),
        UINT64_C(10000000000000000),
        UINT64_C(100000000000000000),
        UINT64_C(1000000000000000000),
        UINT64_C(10000000000000000000),
    };
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
    unsigned guess = bits * 1233 >> 12;
    return guess + (value >= least[guess]);
}

/* Two digits at a time, into the bytes before `end`; in 32 bits, where that is quicker. */
static void put_small(uint32_t value, char *end)
{
    while (value >= 100) {
        end -= 2;
        memcpy(end, kt_digit_pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        memcpy(end - 2, kt_digit_pairs + value * 2, 2);
    } else {
        end[-1] = (char)('0' + value);
    }
}

size_t kt_format_u64(uint64_t value, char *dest)
{
    size_t len = count_digits(value), at = len;
    while (value > UINT32_MAX) {
        at -= 2;
        memcpy(dest + at, kt_digit_pairs + value % 100 * 2, 2);
        value /= 100;
    }
    put_small((uint32_t)value, dest + at);
    return len;
}

size_t kt_format_i64(int64_t value, char *dest)
{
    if (value >= 0) {
        return kt_format_u64((uint64_t)value, dest);
    }
    dest[0] = '-';
    return 1 + kt_format_u64(0 - (uint64_t)value, dest + 1);
}

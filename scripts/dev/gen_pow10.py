#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints common/base/str_pow10.h: 10^k for k = -342..324, rounded down to 128 significant bits.

    scripts/dev/gen_pow10.py > common/base/str_pow10.h
"""

FIRST, LAST = -342, 324


def significand(k):
    """floor(10^k / 2^e) with the e that puts it into [2^127, 2^128)."""
    if k >= 0:
        value = 10**k
        shift = value.bit_length() - 128
        return value >> shift if shift > 0 else value << -shift
    divisor = 10**-k
    shift = divisor.bit_length() + 127
    if (1 << shift) // divisor >= 1 << 128:
        shift -= 1
    value = (1 << shift) // divisor
    assert 1 << 127 <= value < 1 << 128
    return value


def main():
    print("/* str_pow10.h - 10^k rounded down to 128 bits, made by scripts/dev/gen_pow10.py.")
    print(" * Only str_double.c and str_parse.c include this. */")
    print("#ifndef KT_BASE_STR_POW10_H")
    print("#define KT_BASE_STR_POW10_H")
    print()
    print("#include <stdint.h>")
    print()
    print("/* clang-format off */")
    print(f"enum {{ POW10_FIRST = {FIRST}, POW10_LAST = {LAST} }};")
    print("struct pow10 { uint64_t high, low; };")
    print("static const struct pow10 pow10_table[POW10_LAST - POW10_FIRST + 1] = {")
    cells = []
    for k in range(FIRST, LAST + 1):
        value = significand(k)
        cells.append("{0x%016x, 0x%016x}," % (value >> 64, value & (1 << 64) - 1))
    for i in range(0, len(cells), 2):
        print("    " + " ".join(cells[i:i + 2]))
    print("};")
    print("/* clang-format on */")
    print()
    print("#endif")


if __name__ == "__main__":
    main()

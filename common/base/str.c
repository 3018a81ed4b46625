/* SPDX-License-Identifier: MIT */
/* str.c - slices: comparing, cutting, copying, percent-decoding. */
#include "base/str.h"

#include "base/status.h"

#include <string.h>

/* memcmp and friends may not be given NULL, not even for no bytes. */
static int bytes_cmp(const char *a, const char *b, size_t len)
{
    return len ? memcmp(a, b, len) : 0;
}

static unsigned char lower(char c)
{
    unsigned char byte = (unsigned char)c;
    return byte >= 'A' && byte <= 'Z' ? (unsigned char)(byte | 0x20) : byte;
}

bool kt_bytes_eq_nocase(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (a[i] != b[i] && lower(a[i]) != lower(b[i])) {
            return false;
        }
    }
    return true;
}

bool kt_str_starts(struct kt_str text, struct kt_str prefix)
{
    return text.len >= prefix.len && bytes_cmp(text.data, prefix.data, prefix.len) == 0;
}

bool kt_str_ends(struct kt_str text, struct kt_str suffix)
{
    return text.len >= suffix.len && (suffix.len == 0 || memcmp(text.data + text.len - suffix.len,
                                                                suffix.data, suffix.len) == 0);
}

int kt_str_cmp(struct kt_str a, struct kt_str b)
{
    int order = bytes_cmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct kt_str kt_str_trim(struct kt_str text)
{
    while (text.len && is_space(text.data[0])) {
        text.data++;
        text.len--;
    }
    while (text.len && is_space(text.data[text.len - 1])) {
        text.len--;
    }
    return text;
}

ptrdiff_t kt_str_find(struct kt_str text, struct kt_str part)
{
    if (part.len == 0) {
        return 0;
    }
    for (size_t from = 0; text.len - from >= part.len && from <= text.len;) {
        const char *hit = memchr(text.data + from, part.data[0], text.len - from - (part.len - 1));
        if (!hit) {
            return -1;
        }
        if (memcmp(hit, part.data, part.len) == 0) {
            return hit - text.data;
        }
        from = (size_t)(hit - text.data) + 1;
    }
    return -1;
}

struct kt_str kt_str_cut(struct kt_str *rest, char sep)
{
    struct kt_str part = *rest;
    const char *hit = part.len ? memchr(part.data, sep, part.len) : NULL;
    if (!hit) {
        *rest = (struct kt_str){NULL, 0};
        return part;
    }
    part.len = (size_t)(hit - part.data);
    rest->data = hit + 1;
    rest->len -= part.len + 1;
    return part;
}

void kt_str_copy(char *dest, size_t size, struct kt_str text)
{
    KT_ASSERT(size > 0);
    size_t len = text.len;
    if (len >= size) {
        len = size - 1;
        /* Back to the border of a character; after three steps it was not UTF-8 anyway. */
        for (int i = 0; i < 3 && len > 0 && ((unsigned char)text.data[len] & 0xC0) == 0x80; i++) {
            len--;
        }
    }
    if (len) {
        memcpy(dest, text.data, len);
    }
    dest[len] = '\0';
}

bool kt_is_visible_ascii(struct kt_str text, size_t max_bytes)
{
    if (text.len == 0 || text.len > max_bytes) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < 0x21 || text.data[i] > 0x7E) {
            return false;
        }
    }
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    unsigned char low = lower(c);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

bool kt_parse_hex_u64(struct kt_str text, uint64_t *ret_value)
{
    if (text.len < 1 || text.len > 16) {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        int digit = hex_value(text.data[i]);
        if (digit < 0) {
            return false;
        }
        value = value << 4 | (unsigned)digit;
    }
    *ret_value = value;
    return true;
}

bool kt_percent_decode(struct kt_str text, bool plus_is_space, char *dest, size_t *ret_len)
{
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '%') {
            if (text.len - i < 3) {
                return false;
            }
            int high = hex_value(text.data[i + 1]), low = hex_value(text.data[i + 2]);
            if (high < 0 || low < 0) {
                return false;
            }
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        dest[len++] = c;
    }
    *ret_len = len;
    return true;
}

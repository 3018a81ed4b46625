/* SPDX-License-Identifier: MIT */
/* str_utf8.c - well-formed UTF-8 as in table 3-7 of the Unicode standard: no overlong forms, no
 * surrogates, nothing above U+10FFFF. */
#include "base/str.h"

#include "base/words.h"

#include <string.h>

static bool is_tail(unsigned char byte)
{
    return (byte & 0xC0) == 0x80;
}

/* Bytes of the character at `pos` (len >= 1 are there), 0 when malformed. */
static size_t char_len(const unsigned char *pos, size_t len)
{
    unsigned char lead = pos[0];
    if (lead < 0x80) {
        return 1;
    }
    if (lead >= 0xC2 && lead <= 0xDF) {
        return len >= 2 && is_tail(pos[1]) ? 2 : 0;
    }
    if (lead >= 0xE0 && lead <= 0xEF) {
        if (len < 3 || !is_tail(pos[1]) || !is_tail(pos[2]) || (lead == 0xE0 && pos[1] < 0xA0) ||
            (lead == 0xED && pos[1] > 0x9F)) {
            return 0;
        }
        return 3;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        if (len < 4 || !is_tail(pos[1]) || !is_tail(pos[2]) || !is_tail(pos[3]) ||
            (lead == 0xF0 && pos[1] < 0x90) || (lead == 0xF4 && pos[1] > 0x8F)) {
            return 0;
        }
        return 4;
    }
    return 0;
}

bool kt_utf8_valid(struct kt_str text)
{
    const unsigned char *pos = (const unsigned char *)text.data;
    size_t left = text.len;
    while (left > 0) {
        while (left >= 8 && !(kt_word_load(pos) & KT_EACH_BYTE(0x80))) {
            pos += 8;
            left -= 8;
        }
        if (left == 0) {
            break;
        }
        size_t len = char_len(pos, left);
        if (len == 0) {
            return false;
        }
        pos += len;
        left -= len;
    }
    return true;
}

bool kt_utf8_is_name(struct kt_str text, size_t min_bytes, size_t max_bytes)
{
    if (text.len < min_bytes || text.len > max_bytes) {
        return false;
    }
    const unsigned char *pos = (const unsigned char *)text.data;
    for (size_t at = 0; at < text.len;) {
        if (text.len - at >= 8 && kt_word_is_free_of(kt_word_load(pos + at), 0x7F, 0x7F)) {
            at += 8;
            continue;
        }
        size_t len = char_len(pos + at, text.len - at);
        bool control = pos[at] < 0x20 || pos[at] == 0x7F ||
                       (len == 2 && pos[at] == 0xC2 && pos[at + 1] < 0xA0);
        if (len == 0 || control) {
            return false;
        }
        at += len;
    }
    return true;
}

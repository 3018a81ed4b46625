/* SPDX-License-Identifier: MIT */
/* write.c - commas, colons and escapes; runs of plain bytes are copied as a whole. */
#include "json/write.h"

#include "base/words.h"

#include <math.h>
#include <string.h>

enum { DEPTH_MAX = 60 };

void kt_jw_init(struct kt_jw *jw, struct kt_buf *buf)
{
    *jw = (struct kt_jw){.buf = buf};
}

static uint64_t level_bit(const struct kt_jw *jw)
{
    return UINT64_C(1) << jw->depth;
}

/* Before each value and each key: the comma, and that a value may stand here. */
static void begin_item(struct kt_jw *jw)
{
    uint64_t bit = level_bit(jw);
    if (jw->has_items & bit) {
        KT_ASSERT(jw->depth > 0); /* one value at the top */
        kt_buf_append_byte(jw->buf, ',');
    }
    jw->has_items |= bit;
}

static void begin_value(struct kt_jw *jw)
{
    if (jw->after_key) {
        jw->after_key = false;
        return;
    }
    KT_ASSERT(!(jw->is_object & level_bit(jw)));
    begin_item(jw);
}

static void open_container(struct kt_jw *jw, bool is_object)
{
    begin_value(jw);
    KT_ASSERT(jw->depth < DEPTH_MAX);
    jw->depth++;
    uint64_t bit = level_bit(jw);
    jw->has_items &= ~bit;
    jw->is_object = is_object ? jw->is_object | bit : jw->is_object & ~bit;
    kt_buf_append_byte(jw->buf, is_object ? '{' : '[');
}

static void close_container(struct kt_jw *jw, bool is_object)
{
    KT_ASSERT(jw->depth > 0 && !jw->after_key);
    KT_ASSERT(((jw->is_object & level_bit(jw)) != 0) == is_object);
    jw->depth--;
    kt_buf_append_byte(jw->buf, is_object ? '}' : ']');
}

void kt_jw_object(struct kt_jw *jw)
{
    open_container(jw, true);
}

void kt_jw_object_end(struct kt_jw *jw)
{
    close_container(jw, true);
}

void kt_jw_array(struct kt_jw *jw)
{
    open_container(jw, false);
}

void kt_jw_array_end(struct kt_jw *jw)
{
    close_container(jw, false);
}

/* The usual ones of three bytes, Chinese among them: any of the leads that have no range of their
 * own. */
static bool is_three(const unsigned char *at, size_t left)
{
    return left >= 3 && (at[0] & 0xF0) == 0xE0 && at[0] != 0xE0 && at[0] != 0xED &&
           (at[1] & 0xC0) == 0x80 && (at[2] & 0xC0) == 0x80;
}

/* The length of the UTF-8 character at `at` (a byte ≥ 0x80), 0 when it is none: the ranges are
 * those of the Unicode standard's table of well-formed sequences. */
static size_t utf8_char(const unsigned char *at, size_t left)
{
    unsigned char first = at[0];
    size_t len = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || left < len) {
        return 0;
    }
    unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (at[1] < low || at[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < len; i++) {
        if ((at[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return len;
}

static void append_escape(struct kt_buf *buf, unsigned char byte)
{
    static const char short_from[] = "\"\\\b\f\n\r\t", short_to[] = "\"\\bfnrt";
    static const char hex[] = "0123456789abcdef";
    const char *found = byte ? strchr(short_from, byte) : NULL;
    if (found) {
        char text[2] = {'\\', short_to[found - short_from]};
        kt_buf_append(buf, text, sizeof(text));
    } else {
        char text[6] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
        kt_buf_append(buf, text, sizeof(text));
    }
}

/* Are these eight bytes ASCII, and none of them to be escaped? */
static bool word_is_plain(uint64_t word)
{
    return kt_word_is_free_of(word, '"', '\\');
}

/* The same of a whole text; most are. */
static bool is_ascii_plain(struct kt_str text)
{
    size_t at = 0;
    for (; at + 8 <= text.len; at += 8) {
        if (!word_is_plain(kt_word_load(text.data + at))) {
            return false;
        }
    }
    if (at == text.len) {
        return true;
    }
    if (text.len >= 8) { /* the last eight, some of them once more */
        return word_is_plain(kt_word_load(text.data + text.len - 8));
    }
    return word_is_plain(kt_word_load_short(text.data, text.len));
}

/* Behind the bytes from `pos` that a string holds as they are. */
static const unsigned char *skip_plain(const unsigned char *pos, const unsigned char *end)
{
    while (pos < end) {
        size_t len = 1;
        if (*pos >= 0x80) {
            size_t left = (size_t)(end - pos);
            len = is_three(pos, left) ? 3 : utf8_char(pos, left);
        } else if (*pos < 0x20 || *pos == '"' || *pos == '\\') {
            len = 0;
        }
        if (len == 0) {
            break;
        }
        pos += len;
    }
    return pos;
}

static void append_any(struct kt_buf *buf, struct kt_str text)
{
    const unsigned char *pos = (const unsigned char *)text.data, *end = pos + text.len;
    kt_buf_append_byte(buf, '"');
    for (;;) {
        const unsigned char *plain = pos;
        pos = skip_plain(plain, end);
        kt_buf_append(buf, plain, (size_t)(pos - plain));
        if (pos == end) {
            break;
        }
        if (*pos >= 0x80) {
            kt_buf_append(buf, "\xEF\xBF\xBD", 3); /* U+FFFD */
        } else {
            append_escape(buf, *pos);
        }
        pos++;
    }
    kt_buf_append_byte(buf, '"');
}

static void append_plain(struct kt_buf *buf, struct kt_str text)
{
    size_t len = text.len + 2;
    if (kt_buf_reserve(buf, len)) {
        char *dest = buf->data + buf->len_bytes;
        dest[0] = '"';
        if (text.len) {
            memcpy(dest + 1, text.data, text.len);
        }
        dest[1 + text.len] = '"';
        kt_buf_advance(buf, len);
    }
}

bool kt_json_is_plain(struct kt_str text)
{
    const unsigned char *begin = (const unsigned char *)text.data, *end = begin + text.len;
    return skip_plain(begin, end) == end;
}

void kt_json_append_string(struct kt_buf *buf, struct kt_str text)
{
    if (is_ascii_plain(text)) {
        append_plain(buf, text);
    } else {
        append_any(buf, text);
    }
}

void kt_jw_key(struct kt_jw *jw, struct kt_str name)
{
    KT_ASSERT(jw->is_object & level_bit(jw) && !jw->after_key);
    begin_item(jw);
    kt_json_append_string(jw->buf, name);
    kt_buf_append_byte(jw->buf, ':');
    jw->after_key = true;
}

void kt_jw_raw_key(struct kt_jw *jw, struct kt_str json)
{
    KT_ASSERT(jw->is_object & level_bit(jw) && !jw->after_key);
    KT_ASSERT(json.len > 0 && json.data[json.len - 1] == ':');
    begin_item(jw);
    kt_buf_append_str(jw->buf, json);
    jw->after_key = true;
}

void kt_jw_str(struct kt_jw *jw, struct kt_str value)
{
    begin_value(jw);
    kt_json_append_string(jw->buf, value);
}

void kt_jw_f64(struct kt_jw *jw, double value)
{
    if (!isfinite(value)) {
        kt_jw_null(jw);
        return;
    }
    begin_value(jw);
    kt_buf_append_f64(jw->buf, value);
}

void kt_jw_i64(struct kt_jw *jw, int64_t value)
{
    begin_value(jw);
    kt_buf_append_i64(jw->buf, value);
}

void kt_jw_u64(struct kt_jw *jw, uint64_t value)
{
    begin_value(jw);
    kt_buf_append_u64(jw->buf, value);
}

void kt_jw_bool(struct kt_jw *jw, bool value)
{
    kt_jw_raw(jw, value ? KT_STR("true") : KT_STR("false"));
}

void kt_jw_null(struct kt_jw *jw)
{
    kt_jw_raw(jw, KT_STR("null"));
}

void kt_jw_raw(struct kt_jw *jw, struct kt_str json)
{
    KT_ASSERT(json.len > 0);
    begin_value(jw);
    kt_buf_append_str(jw->buf, json);
}

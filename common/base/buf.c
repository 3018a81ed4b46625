/* SPDX-License-Identifier: MIT */
/* buf.c - appending; one byte of capacity is always kept for the NUL. */
#include "base/buf.h"

#include "base/budget.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

void kt_buf_init(struct kt_buf *buf, size_t max_bytes)
{
    *buf = (struct kt_buf){.max_bytes = max_bytes};
}

void kt_buf_done(struct kt_buf *buf)
{
    kt_free(buf->data);
    *buf = (struct kt_buf){.max_bytes = buf->max_bytes};
}

static size_t paid(const struct kt_buf *buf)
{
    return buf->cap_bytes > KT_BUF_UNSHARED_BYTES ? buf->cap_bytes : 0;
}

void kt_buf_done_paid(struct kt_buf *buf)
{
    struct kt_budget_share *share = buf->share;
    size_t back = share ? paid(buf) : 0;
    kt_buf_done(buf);
    if (back) {
        kt_budget_share_give_part(share, (int64_t)back);
    }
}

void kt_buf_clear(struct kt_buf *buf)
{
    buf->len_bytes = 0;
    buf->failed = KT_OK;
    if (buf->data) {
        buf->data[0] = '\0';
    }
}

enum kt_status kt_buf_status(const struct kt_buf *buf)
{
    return buf->failed;
}

static bool pay(struct kt_buf *buf, size_t cap)
{
    return cap <= KT_BUF_UNSHARED_BYTES ||
           kt_budget_share_take(buf->share, (int64_t)(cap - paid(buf)), 0);
}

/* Doubles, so that many small appends stay linear on the whole. */
bool kt_buf_grow(struct kt_buf *buf, size_t more_bytes)
{
    size_t need;
    if (buf->failed) {
        return false;
    }
    if (__builtin_add_overflow(buf->len_bytes, more_bytes, &need) || need >= SIZE_MAX / 2 ||
        (buf->max_bytes && need > buf->max_bytes)) {
        buf->failed = KT_TOO_LARGE;
        return false;
    }
    size_t cap = buf->cap_bytes ? buf->cap_bytes * 2 : 64;
    if (buf->max_bytes && cap > buf->max_bytes + 1) {
        cap = buf->max_bytes + 1;
    }
    if (cap < need + 1) {
        cap = need + 1;
    }
    if (buf->share && !pay(buf, cap)) {
        buf->failed = KT_BUSY;
        return false;
    }
    char *data = kt_realloc(buf->data, cap);
    if (!data) {
        buf->failed = KT_NO_MEMORY;
        return false;
    }
    if (!buf->data) {
        data[0] = '\0';
    }
    buf->data = data;
    buf->cap_bytes = cap;
    return true;
}

void kt_buf_printf(struct kt_buf *buf, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    kt_buf_vprintf(buf, fmt, args);
    va_end(args);
}

void kt_buf_vprintf(struct kt_buf *buf, const char *fmt, va_list args)
{
    if (buf->failed) {
        return;
    }
    va_list again;
    va_copy(again, args);
    size_t room = buf->cap_bytes - buf->len_bytes;
    int len = vsnprintf(buf->data ? buf->data + buf->len_bytes : NULL, room, fmt, args);
    if (len < 0) {
        buf->failed = KT_NO_MEMORY;
    } else if ((size_t)len < room) {
        buf->len_bytes += (size_t)len;
    } else if (kt_buf_reserve(buf, (size_t)len)) {
        vsnprintf(buf->data + buf->len_bytes, (size_t)len + 1, fmt, again);
        buf->len_bytes += (size_t)len;
    } else if (buf->data) {
        buf->data[buf->len_bytes] = '\0'; /* the first attempt wrote behind the content */
    }
    va_end(again);
}

/* Where there is plenty of room a number is written into its place. */
void kt_buf_append_i64(struct kt_buf *buf, int64_t value)
{
    char text[21];
    if (buf->failed == KT_OK && buf->cap_bytes - buf->len_bytes > sizeof text) {
        kt_buf_advance(buf, kt_format_i64(value, buf->data + buf->len_bytes));
    } else {
        kt_buf_append(buf, text, kt_format_i64(value, text));
    }
}

void kt_buf_append_u64(struct kt_buf *buf, uint64_t value)
{
    char text[21];
    kt_buf_append(buf, text, kt_format_u64(value, text));
}

void kt_buf_append_f64(struct kt_buf *buf, double value)
{
    char text[KT_F64_TEXT_MAX];
    if (buf->failed == KT_OK && buf->cap_bytes - buf->len_bytes >= sizeof text) {
        buf->len_bytes += kt_format_f64(value, buf->data + buf->len_bytes);
    } else {
        kt_buf_append(buf, text, kt_format_f64(value, text));
    }
}

void kt_buf_append_hex(struct kt_buf *buf, const void *data, size_t len_bytes)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = data;
    if (len_bytes > SIZE_MAX / 4 || !kt_buf_reserve(buf, len_bytes * 2)) {
        return;
    }
    char *dest = buf->data + buf->len_bytes;
    for (size_t i = 0; i < len_bytes; i++) {
        *dest++ = digits[bytes[i] >> 4];
        *dest++ = digits[bytes[i] & 15];
    }
    *dest = '\0';
    buf->len_bytes += len_bytes * 2;
}

void kt_buf_consume(struct kt_buf *buf, size_t len_bytes)
{
    KT_ASSERT(len_bytes <= buf->len_bytes);
    if (len_bytes) {
        memmove(buf->data, buf->data + len_bytes, buf->len_bytes - len_bytes + 1);
        buf->len_bytes -= len_bytes;
    }
}

struct kt_str kt_buf_str(const struct kt_buf *buf)
{
    return (struct kt_str){buf->data, buf->len_bytes};
}

char *kt_buf_take(struct kt_buf *buf, size_t *ret_len_bytes)
{
    kt_buf_reserve(buf, 0); /* an empty text is a block too */
    if (buf->failed) {
        return NULL;
    }
    char *data = buf->data;
    if (ret_len_bytes) {
        *ret_len_bytes = buf->len_bytes;
    }
    kt_buf_init(buf, buf->max_bytes);
    return data;
}

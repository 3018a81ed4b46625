/* SPDX-License-Identifier: MIT */
/* status.c - the table of outcomes and the messages that travel with them. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct status_row {
    const char *name, *code, *retry;
    int http;
};

static const struct status_row rows[KT_STATUS_COUNT] = {
#define STATUS_ROW(name, code, http, retry) [KT_##name] = {#name, code, retry, http},
    KT_STATUS_TABLE(STATUS_ROW)
#undef STATUS_ROW
};

/* A number from a stranger (a message of a newer version) must not index beyond the table. */
static const struct status_row *row_of(enum kt_status status)
{
    unsigned index = (unsigned)status;
    return &rows[index < KT_STATUS_COUNT ? index : KT_INTERNAL];
}

const char *kt_status_name(enum kt_status status)
{
    return row_of(status)->name;
}

const char *kt_status_code(enum kt_status status)
{
    return row_of(status)->code;
}

enum kt_status kt_status_of_code(const char *code)
{
    for (int i = 0; i < KT_STATUS_COUNT; i++) {
        if (strcmp(rows[i].code, code) == 0) {
            return (enum kt_status)i;
        }
    }
    return KT_INTERNAL;
}

int kt_status_http(enum kt_status status)
{
    return row_of(status)->http;
}

const char *kt_status_retry(enum kt_status status)
{
    return row_of(status)->retry;
}

/* Takes an incomplete character off the end of a text that was cut there. */
static void trim_partial_char(char *text)
{
    size_t len = strlen(text);
    size_t start = len;
    while (start > 0 && len - start < 4 && ((unsigned char)text[start - 1] & 0xC0) == 0x80) {
        start--;
    }
    if (start == 0) {
        return;
    }
    unsigned char lead = (unsigned char)text[start - 1];
    size_t want = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
    if (want > len - start) {
        text[start - 1] = '\0';
    }
}

static void format_message(char *dest, size_t size, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));
static void format_message(char *dest, size_t size, const char *fmt, va_list args)
{
    int len = vsnprintf(dest, size, fmt, args);
    if (len < 0) {
        dest[0] = '\0';
    } else if ((size_t)len >= size) {
        trim_partial_char(dest);
    }
}

enum kt_status kt_fail(struct kt_error *err, enum kt_status status, const char *fmt, ...)
{
    if (!err) {
        return status;
    }
    /* Formatted aside: an argument may be the old message. */
    char message[sizeof err->message];
    va_list args;
    va_start(args, fmt);
    format_message(message, sizeof message, fmt, args);
    va_end(args);
    err->status = status;
    err->field[0] = '\0';
    memcpy(err->message, message, sizeof message);
    return status;
}

enum kt_status kt_fail_field(struct kt_error *err, enum kt_status status, const char *field,
                             const char *fmt, ...)
{
    if (!err) {
        return status;
    }
    char message[sizeof err->message];
    va_list args;
    va_start(args, fmt);
    format_message(message, sizeof message, fmt, args);
    va_end(args);
    err->status = status;
    if (field != err->field && snprintf(err->field, sizeof err->field, "%s", field ? field : "") >=
                                   (int)sizeof err->field) {
        trim_partial_char(err->field);
    }
    memcpy(err->message, message, sizeof message);
    return status;
}

enum kt_status kt_wrap(struct kt_error *err, const char *fmt, ...)
{
    if (!err) {
        return KT_INTERNAL;
    }
    char message[sizeof err->message];
    va_list args;
    va_start(args, fmt);
    format_message(message, sizeof message, fmt, args);
    va_end(args);
    size_t len = strlen(message);
    if (snprintf(message + len, sizeof message - len, ": %s", err->message) >=
        (int)(sizeof message - len)) {
        trim_partial_char(message);
    }
    memcpy(err->message, message, sizeof message);
    return err->status;
}

_Noreturn void kt_assert_failed(const char *text, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, text);
    fflush(stderr);
    abort();
}

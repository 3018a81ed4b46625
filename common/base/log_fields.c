/* SPDX-License-Identifier: MIT */
/* log_fields.c - a small printf that knows which bytes came from the format and which from outside.
 */
#include "base/log_fields.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>
#include <wchar.h>

/* Room that every line keeps for the mark of a cut and its end. */
enum { TAIL = 32, SPEC_MAX = 32 };

void kt_log_line_begin(struct kt_log_line *line, bool json)
{
    line->json = json;
    line->cut = false;
    line->len = 0;
    line->value_len = 0;
}

static bool put(struct kt_log_line *line, const char *data, size_t len)
{
    if (len > sizeof line->data - TAIL - line->len) {
        return false;
    }
    memcpy(line->data + line->len, data, len);
    line->len += len;
    return true;
}

static bool put_text(struct kt_log_line *line, const char *text)
{
    return put(line, text, strlen(text));
}

/* A byte of a quoted value. Text shows no escapes, so that grep finds what it looks for. */
static bool put_byte(struct kt_log_line *line, unsigned char byte)
{
    if (!line->json) {
        char shown = byte == '"'                   ? '\''
                     : byte == '\\'                ? '/'
                     : byte < 0x20 || byte == 0x7F ? ' '
                                                   : (char)byte;
        return put(line, &shown, 1);
    }
    char escape[8];
    if (byte == '"' || byte == '\\') {
        escape[0] = '\\';
        escape[1] = (char)byte;
        return put(line, escape, 2);
    }
    if (byte < 0x20 || byte == 0x7F) {
        snprintf(escape, sizeof escape, "\\u%04x", byte);
        return put(line, escape, 6);
    }
    escape[0] = (char)byte;
    return put(line, escape, 1);
}

static bool put_bytes(struct kt_log_line *line, const char *data, size_t len)
{
    /* Outside bytes need not be UTF-8, but the line has to be. */
    bool valid = kt_utf8_valid(kt_str_n(data, len));
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)data[i];
        if (!put_byte(line, valid || byte < 0x80 ? byte : '?')) {
            return false;
        }
    }
    return true;
}

static bool put_quoted(struct kt_log_line *line, const char *data, size_t len)
{
    return put_text(line, "\"") && put_bytes(line, data, len) && put_text(line, "\"");
}

static bool needs_quotes(struct kt_str value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char byte = (unsigned char)value.data[i];
        if (byte <= ' ' || byte == '"' || byte == '=' || byte == 0x7F) {
            return true;
        }
    }
    return value.len == 0;
}

void kt_log_line_head(struct kt_log_line *line, const char *name, const char *value, size_t width)
{
    size_t len = strlen(value);
    if (line->json) {
        bool fits = put_text(line, line->len ? ",\"" : "{\"") && put_text(line, name) &&
                    put_text(line, "\":") && put_quoted(line, value, len);
        line->cut = line->cut || !fits;
        return;
    }
    bool fits = (line->len == 0 || put_text(line, " ")) && put_bytes(line, value, len);
    for (; fits && len < width; len++) {
        fits = put_text(line, " ");
    }
    line->cut = line->cut || !fits;
}

/* JSON knows no 007, no hexadecimal and no nan, so what printf made of a number is looked at. */
static bool is_json_number(struct kt_str value)
{
    double ignored;
    return kt_parse_f64(value, &ignored);
}

/* Writes `key` with the value gathered so far; all of it or nothing. */
static void end_pair(struct kt_log_line *line, struct kt_str key, bool quoted)
{
    struct kt_str value = {line->value, line->value_len};
    size_t before = line->len;
    bool fits;
    if (line->json) {
        fits = put_text(line, ",") && put_quoted(line, key.data, key.len) && put_text(line, ":");
        bool bare = line->is_number && !quoted && is_json_number(value);
        fits = fits &&
               (bare ? put(line, value.data, value.len) : put_quoted(line, value.data, value.len));
    } else {
        fits = put_text(line, " ") && put_bytes(line, key.data, key.len) && put_text(line, "=");
        fits = fits && (quoted || needs_quotes(value) ? put_quoted(line, value.data, value.len)
                                                      : put_bytes(line, value.data, value.len));
    }
    if (!fits) {
        line->len = before;
        line->cut = true;
    }
    line->value_len = 0;
}

void kt_log_line_number(struct kt_log_line *line, const char *key, uint64_t value)
{
    line->value_len = kt_format_u64(value, line->value);
    line->is_number = true;
    end_pair(line, kt_str(key), false);
}

static void gather(struct kt_log_line *line, const char *data, size_t len)
{
    size_t room = sizeof line->value - 1 - line->value_len;
    char *dest = line->value + line->value_len;
    kt_str_copy(dest, room + 1, kt_str_n(data, len));
    size_t copied = len;
    if (len > room) {
        /* kt_str_copy may have gone back to a character's border. */
        copied = room;
        while (copied > 0 && dest[copied - 1] == '\0') {
            copied--;
        }
        line->cut = true;
    }
    line->value_len += copied;
}

/* One conversion of the format: "%-*.3lld" and the like. */
struct spec {
    char text[SPEC_MAX]; /* with '*' replaced by the number */
    size_t len;
    char length; /* 0 h H(hh) l L(ll) z j t */
    char conv;
    int precision; /* -1: none */
};

static void spec_add(struct spec *spec, const char *data, size_t len)
{
    if (spec->len + len < sizeof spec->text) {
        memcpy(spec->text + spec->len, data, len);
        spec->len += len;
        spec->text[spec->len] = '\0';
    }
}

/* Digits or '*': appended to the spec, value returned (0 when there is nothing). */
static int64_t spec_number(struct spec *spec, const char **pos, va_list *args)
{
    int64_t value = 0;
    if (**pos == '*') {
        (*pos)++;
        value = va_arg(*args, int);
        char text[21];
        spec_add(spec, text, kt_format_i64(value, text));
        return value;
    }
    while (**pos >= '0' && **pos <= '9') {
        value = value < 100000 ? value * 10 + (**pos - '0') : value;
        spec_add(spec, (*pos)++, 1);
    }
    return value;
}

/* `*pos` is behind the '%'; moves it behind the conversion. */
static void read_spec(struct spec *spec, const char **pos, va_list *args)
{
    *spec = (struct spec){.text = "%", .len = 1, .precision = -1};
    while (**pos && strchr("-+ #0", **pos)) {
        spec_add(spec, (*pos)++, 1);
    }
    (void)spec_number(spec, pos, args);
    if (**pos == '.') {
        struct spec before = *spec;
        spec_add(spec, (*pos)++, 1);
        int64_t precision = spec_number(spec, pos, args);
        if (precision < 0) {
            *spec = before; /* as if there were none */
        }
        spec->precision = precision < 0 ? -1 : (int)precision;
    }
    while (**pos && strchr("hlzjtL", **pos)) {
        char c = *(*pos)++;
        spec->length = c == spec->length && c == 'h'   ? 'H'
                       : c == spec->length && c == 'l' ? 'L'
                                                       : c;
        spec_add(spec, &c, 1);
    }
    spec->conv = **pos;
    if (**pos) {
        spec_add(spec, (*pos)++, 1);
    }
}

/* The specs are pieces of formats that the compiler has checked where they were written. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"

static int print_signed(char *dest, size_t size, const struct spec *spec, va_list *args)
{
    switch (spec->length) {
    case 'l':
        return snprintf(dest, size, spec->text, va_arg(*args, long));
    case 'L':
        return snprintf(dest, size, spec->text, va_arg(*args, long long));
    case 'z':
    case 't':
        return snprintf(dest, size, spec->text, va_arg(*args, ptrdiff_t));
    case 'j':
        return snprintf(dest, size, spec->text, va_arg(*args, intmax_t));
    default:
        return snprintf(dest, size, spec->text, va_arg(*args, int));
    }
}

static int print_unsigned(char *dest, size_t size, const struct spec *spec, va_list *args)
{
    switch (spec->length) {
    case 'l':
        return snprintf(dest, size, spec->text, va_arg(*args, unsigned long));
    case 'L':
        return snprintf(dest, size, spec->text, va_arg(*args, unsigned long long));
    case 'z':
    case 't':
        return snprintf(dest, size, spec->text, va_arg(*args, size_t));
    case 'j':
        return snprintf(dest, size, spec->text, va_arg(*args, uintmax_t));
    default:
        return snprintf(dest, size, spec->text, va_arg(*args, unsigned));
    }
}

static int print_other(char *dest, size_t size, const struct spec *spec, va_list *args)
{
    if (spec->conv == 'p') {
        return snprintf(dest, size, spec->text, va_arg(*args, void *));
    }
    if (spec->conv == 'c') {
        return snprintf(dest, size, spec->text, va_arg(*args, int));
    }
    return snprintf(dest, size, spec->text, va_arg(*args, double));
}
#pragma GCC diagnostic pop

static void gather_string(struct kt_log_line *line, const struct spec *spec, va_list *args)
{
    const char *text = va_arg(*args, const char *);
    text = text ? text : "(null)";
    size_t max = spec->precision >= 0 ? (size_t)spec->precision : SIZE_MAX;
    const char *end = memchr(text, '\0', max < PTRDIFF_MAX ? max : strlen(text) + 1);
    gather(line, text, end ? (size_t)(end - text) : max);
}

/* Adds the argument of one conversion to the value; false when it is none that we know. */
static bool gather_arg(struct kt_log_line *line, const struct spec *spec, va_list *args)
{
    char text[400]; /* "%f" of 1e308 has 316 characters */
    int len;
    bool alone = line->value_len == 0;
    if (spec->conv == 's' && spec->length == 0) {
        line->is_number = false;
        gather_string(line, spec, args);
        return true;
    }
    if (spec->conv == 'd' || spec->conv == 'i') {
        len = print_signed(text, sizeof text, spec, args);
    } else if (spec->conv && strchr("uxXo", spec->conv)) {
        len = print_unsigned(text, sizeof text, spec, args);
    } else if (spec->conv && strchr("cpfFeEgG", spec->conv) && spec->length != 'L') {
        len = print_other(text, sizeof text, spec, args);
    } else {
        return false;
    }
    line->is_number = alone && strchr("diufFeEgG", spec->conv);
    gather(line, text, len < 0 ? 0 : (size_t)len < sizeof text ? (size_t)len : sizeof text - 1);
    return true;
}

/* Gathers a value up to the space or quote of the format that ends it. */
static bool gather_value(struct kt_log_line *line, const char **pos, bool quoted, va_list *args)
{
    line->value_len = 0;
    line->is_number = false;
    while (**pos && **pos != (quoted ? '"' : ' ')) {
        if (**pos != '%') {
            line->is_number = false;
            gather(line, (*pos)++, 1);
            continue;
        }
        (*pos)++;
        if (**pos == '%') {
            gather(line, (*pos)++, 1);
            line->is_number = false;
            continue;
        }
        struct spec spec;
        read_spec(&spec, pos, args);
        if (!gather_arg(line, &spec, args)) {
            return false;
        }
    }
    if (quoted && **pos == '"') {
        (*pos)++;
    }
    return true;
}

void kt_log_line_fields(struct kt_log_line *line, const char *fmt, va_list *args)
{
    const char *pos = fmt;
    for (;;) {
        while (*pos == ' ') {
            pos++;
        }
        if (!*pos) {
            return;
        }
        struct kt_str key = {pos, strcspn(pos, "= %\"")};
        bool quoted = false;
        pos += key.len;
        if (*pos == '=') {
            pos++;
            quoted = *pos == '"';
            pos += quoted;
        } else {
            /* Words without a key still have to be seen; their arguments too. */
            pos -= key.len;
            key = KT_STR("text");
        }
        if (!gather_value(line, &pos, quoted, args)) {
            line->cut = true;
            return;
        }
        end_pair(line, key, quoted);
    }
}

void kt_log_line_end(struct kt_log_line *line)
{
    const char *tail = line->json  ? line->cut ? ",\"cut\":1}\n" : "}\n"
                       : line->cut ? " cut=1\n"
                                   : "\n";
    size_t len = strlen(tail); /* fits: put() keeps TAIL bytes free */
    memcpy(line->data + line->len, tail, len);
    line->len += len;
}

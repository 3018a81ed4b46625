/* SPDX-License-Identifier: MIT */
/* check.c - one pass over the text that admits exactly RFC 8259, with our bounds.
 *
 * No recursion: the open containers are a small array, so that hostile depth costs no stack. Only
 * strings may hold bytes beyond ASCII; their UTF-8 is checked when they end. Numbers are converted
 * only when their digits and exponent say that they could overflow. cJSON copies a number into 64
 * bytes and would cut a longer one: such a number is replaced in a copy of the text by its shortest
 * form, padded with white space, so that offsets stay the same. */
#include "json/json_internal.h"
#include "json/read.h"

#include "base/mem.h"
#include "base/words.h"

#include <string.h>

enum {
    CJSON_NUMBER_MAX = 63,
    SURELY_FINITE = 300 /* digits before the point plus exponent; 1e308 is the last that fits */
};

struct check {
    const unsigned char *start, *pos, *end;
    char *copy; /* NULL until a number is too long for cJSON */
    size_t values;
    int max_depth, depth;
    bool is_object[KT_JSON_DEPTH_MAX]; /* [d]: the container at depth d + 1 */
    struct kt_error *err;
};

static enum kt_status fail_at(struct check *c, const unsigned char *at, const char *what)
{
    return kt_fail(c->err, KT_BAD_VALUE, "JSON at byte %zu: %s", (size_t)(at - c->start), what);
}

static void skip_space(struct check *c)
{
    while (c->pos < c->end &&
           (*c->pos == ' ' || *c->pos == '\n' || *c->pos == '\r' || *c->pos == '\t')) {
        c->pos++;
    }
}

/* Four hex digits at `at`, or -1. */
static int hex4(const struct check *c, const unsigned char *at)
{
    int code = 0;
    if (c->end - at < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        int digit = at[i];
        if (digit >= '0' && digit <= '9') {
            digit -= '0';
        } else if ((digit | 32) >= 'a' && (digit | 32) <= 'f') {
            digit = (digit | 32) - 'a' + 10;
        } else {
            return -1;
        }
        code = code * 16 + digit;
    }
    return code;
}

/* pos is at the backslash. */
static enum kt_status check_escape(struct check *c)
{
    const unsigned char *at = c->pos;
    if (c->end - at < 2) {
        return fail_at(c, at, "the string does not end");
    }
    if (at[1] != 'u') {
        if (!at[1] || !strchr("\"\\/bfnrt", at[1])) {
            return fail_at(c, at, "no such escape in a string");
        }
        c->pos += 2;
        return KT_OK;
    }
    int code = hex4(c, at + 2);
    if (code < 0) {
        return fail_at(c, at, "\\u must be followed by four hex digits");
    }
    if (code == 0) {
        return fail_at(c, at, "\\u0000 is not allowed");
    }
    c->pos += 6;
    if (code < 0xD800 || code > 0xDFFF) {
        return KT_OK;
    }
    int low = code < 0xDC00 && c->end - c->pos >= 6 && c->pos[0] == '\\' && c->pos[1] == 'u'
                  ? hex4(c, c->pos + 2)
                  : -1;
    if (low < 0xDC00 || low > 0xDFFF) {
        return fail_at(c, at, "a surrogate without its other half");
    }
    c->pos += 6;
    return KT_OK;
}

/* pos is behind the opening quote. */
static enum kt_status check_string(struct check *c)
{
    const unsigned char *first = c->pos;
    unsigned char seen = 0;
    for (;;) {
        while (c->end - c->pos >= 8 && kt_word_is_free_of(kt_word_load(c->pos), '"', '\\')) {
            c->pos += 8;
        }
        if (c->pos == c->end) {
            return fail_at(c, first - 1, "the string does not end");
        }
        unsigned char byte = *c->pos;
        if (byte == '"') {
            break;
        }
        if (byte == '\\') {
            enum kt_status status = check_escape(c);
            if (status != KT_OK) {
                return status;
            }
            continue;
        }
        if (byte < 0x20) {
            return fail_at(c, c->pos, "a control character in a string must be escaped");
        }
        seen |= byte;
        c->pos++;
    }
    if (seen & 0x80 && !kt_utf8_valid(kt_str_n((const char *)first, (size_t)(c->pos - first)))) {
        return fail_at(c, first - 1, "the string is not valid UTF-8");
    }
    c->pos++;
    return KT_OK;
}

static size_t skip_digits(struct check *c)
{
    const unsigned char *first = c->pos;
    while (c->pos < c->end && *c->pos >= '0' && *c->pos <= '9') {
        c->pos++;
    }
    return (size_t)(c->pos - first);
}

/* Puts the number's shortest form into the copy; never longer than what it replaces. */
static enum kt_status shorten(struct check *c, const unsigned char *first, double value)
{
    size_t len = (size_t)(c->pos - first);
    if (!c->copy) {
        c->copy = kt_strndup((const char *)c->start, (size_t)(c->end - c->start));
        if (!c->copy) {
            return kt_fail(c->err, KT_NO_MEMORY, "no memory for a JSON text");
        }
    }
    char text[KT_F64_TEXT_MAX];
    size_t text_len = kt_format_f64(value, text);
    KT_ASSERT(text_len <= len);
    char *dest = c->copy + (first - c->start);
    memset(dest, ' ', len);
    memcpy(dest, text, text_len);
    return KT_OK;
}

/* The exponent behind 'e', at most 99999 so that it cannot overflow; false when malformed. */
static bool check_exponent(struct check *c, int *ret_exponent)
{
    bool negative = false;
    if (c->pos < c->end && (*c->pos == '+' || *c->pos == '-')) {
        negative = *c->pos++ == '-';
    }
    const unsigned char *digits = c->pos;
    if (skip_digits(c) == 0) {
        return false;
    }
    int exponent = 0;
    for (; digits < c->pos && exponent < 10000; digits++) {
        exponent = exponent * 10 + (*digits - '0');
    }
    *ret_exponent = negative ? -exponent : exponent;
    return true;
}

static enum kt_status check_number(struct check *c)
{
    const unsigned char *first = c->pos;
    int exponent = 0;
    if (*c->pos == '-') {
        c->pos++;
    }
    const unsigned char *digits = c->pos;
    size_t whole = skip_digits(c);
    if (whole == 0) {
        return fail_at(c, first, "a number needs a digit behind '-'");
    }
    if (whole > 1 && *digits == '0') {
        return fail_at(c, first, "a number must not begin with 0");
    }
    if (c->pos < c->end && *c->pos == '.') {
        c->pos++;
        if (skip_digits(c) == 0) {
            return fail_at(c, first, "a number needs a digit behind the point");
        }
    }
    if (c->pos < c->end && (*c->pos | 32) == 'e') {
        c->pos++;
        if (!check_exponent(c, &exponent)) {
            return fail_at(c, first, "a number needs a digit in its exponent");
        }
    }
    size_t len = (size_t)(c->pos - first);
    if (len <= CJSON_NUMBER_MAX && (int)whole + exponent < SURELY_FINITE) {
        return KT_OK;
    }
    double value;
    if (!kt_parse_f64(kt_str_n((const char *)first, len), &value)) {
        return fail_at(c, first, "the number is too large for a double");
    }
    return len > CJSON_NUMBER_MAX ? shorten(c, first, value) : KT_OK;
}

static enum kt_status check_word(struct check *c)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < KT_ARRAY_LEN(words); i++) {
        size_t len = strlen(words[i]);
        if ((size_t)(c->end - c->pos) >= len && memcmp(c->pos, words[i], len) == 0) {
            c->pos += len;
            return KT_OK;
        }
    }
    return fail_at(c, c->pos, "expected a value");
}

/* A member's name and its colon; pos is at what should be the quote. */
static enum kt_status check_name(struct check *c)
{
    if (c->pos == c->end || *c->pos != '"') {
        return fail_at(c, c->pos, "expected a member's name in double quotes");
    }
    c->pos++;
    enum kt_status status = check_string(c);
    if (status != KT_OK) {
        return status;
    }
    skip_space(c);
    if (c->pos == c->end || *c->pos != ':') {
        return fail_at(c, c->pos, "expected ':'");
    }
    c->pos++;
    return KT_OK;
}

/* pos is at the bracket. *ret_ended: the container was empty, so that a value has ended. */
static enum kt_status open_container(struct check *c, bool *ret_ended)
{
    bool is_object = *c->pos == '{';
    if (c->depth == c->max_depth) {
        return kt_fail(c->err, KT_BAD_VALUE, "JSON at byte %zu: nested deeper than %d",
                       (size_t)(c->pos - c->start), c->max_depth);
    }
    c->pos++;
    skip_space(c);
    if (c->pos < c->end && *c->pos == (is_object ? '}' : ']')) {
        c->pos++;
        *ret_ended = true;
        return KT_OK;
    }
    c->is_object[c->depth++] = is_object;
    *ret_ended = false;
    return is_object ? check_name(c) : KT_OK;
}

/* One value, or the beginning of a container (*ret_ended false: its first value comes next). */
static enum kt_status check_value(struct check *c, bool *ret_ended)
{
    skip_space(c);
    if (c->pos == c->end) {
        return fail_at(c, c->pos, "expected a value, but the text ends");
    }
    if (++c->values > KT_JSON_VALUES_MAX) {
        return kt_fail(c->err, KT_TOO_LARGE, "the JSON holds more than %d values",
                       KT_JSON_VALUES_MAX);
    }
    *ret_ended = true;
    switch (*c->pos) {
    case '{':
    case '[':
        return open_container(c, ret_ended);
    case '"':
        c->pos++;
        return check_string(c);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return check_number(c);
    default:
        return check_word(c);
    }
}

/* Behind a value: closes what ends here, or leads to the next value. */
static enum kt_status check_after(struct check *c)
{
    while (c->depth > 0) {
        bool is_object = c->is_object[c->depth - 1];
        skip_space(c);
        if (c->pos == c->end) {
            return fail_at(c, c->pos,
                           is_object ? "the object does not end" : "the array does not end");
        }
        if (*c->pos == ',') {
            c->pos++;
            skip_space(c);
            return is_object ? check_name(c) : KT_OK;
        }
        if (*c->pos != (is_object ? '}' : ']')) {
            return fail_at(c, c->pos, is_object ? "expected ',' or '}'" : "expected ',' or ']'");
        }
        c->pos++;
        c->depth--;
    }
    return KT_OK;
}

static enum kt_status check_document(struct check *c)
{
    if (c->end - c->pos >= 3 && memcmp(c->pos, "\xEF\xBB\xBF", 3) == 0) {
        return fail_at(c, c->pos, "a byte order mark is not allowed");
    }
    skip_space(c);
    if (c->pos == c->end) {
        return kt_fail(c->err, KT_BAD_VALUE, "the JSON text is empty");
    }
    do {
        bool ended = false;
        enum kt_status status = check_value(c, &ended);
        if (status == KT_OK && ended) {
            status = check_after(c);
        }
        if (status != KT_OK) {
            return status;
        }
    } while (c->depth > 0);
    skip_space(c);
    return c->pos == c->end ? KT_OK : fail_at(c, c->pos, "text behind the value");
}

enum kt_status kt_json_check(struct kt_str text, int max_depth, char **ret_copy, size_t *ret_values,
                             struct kt_error *err)
{
    const unsigned char *start = (const unsigned char *)(text.data ? text.data : "");
    struct check c = {
        .start = start, .pos = start, .end = start + text.len, .max_depth = max_depth, .err = err};
    KT_ASSERT(max_depth >= 0 && max_depth <= KT_JSON_DEPTH_MAX);
    enum kt_status status = check_document(&c);
    if (status != KT_OK) {
        kt_free(c.copy);
        return status;
    }
    if (c.copy) {
        *ret_copy = c.copy;
    }
    *ret_values = c.values;
    return KT_OK;
}

/* str.h - borrowed slices of text, UTF-8 and strict numbers.
 *
 * Threads: any; nothing is shared.
 * Owns:    nothing; a kt_str borrows.
 * Fails:   parsers return false and leave their output untouched.
 */
#ifndef KT_BASE_STR_H
#define KT_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct kt_str {
    const char *data; /* may be NULL when len is 0 */
    size_t len;       /* bytes */
};

#define KT_STR(literal) ((struct kt_str){(literal), sizeof(literal) - 1})
#define KT_STR_FMT "%.*s"
#define KT_STR_ARG(s) (int)(s).len, (s).data ? (s).data : ""

/* Inline, so that the length of a literal is a constant. */
static inline struct kt_str kt_str(const char *text) /* NULL gives an empty slice */
{
    return (struct kt_str){text, text ? strlen(text) : 0};
}

static inline struct kt_str kt_str_n(const char *data, size_t len)
{
    return (struct kt_str){data, len};
}

static inline bool kt_str_eq(struct kt_str a, struct kt_str b)
{
    /* memcmp may not be given NULL, not even for no bytes. */
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool kt_str_eq_text(struct kt_str a, const char *text)
{
    return kt_str_eq(a, kt_str(text));
}

bool kt_bytes_eq_nocase(const char *a, const char *b, size_t len); /* ASCII */
static inline bool kt_str_eq_nocase(struct kt_str a, struct kt_str b)
{
    return a.len == b.len && kt_bytes_eq_nocase(a.data, b.data, a.len);
}

bool kt_str_starts(struct kt_str text, struct kt_str prefix);
bool kt_str_ends(struct kt_str text, struct kt_str suffix);
int kt_str_cmp(struct kt_str a, struct kt_str b);              /* as bytes, shorter first */
struct kt_str kt_str_trim(struct kt_str text);                 /* ASCII white space at both ends */
ptrdiff_t kt_str_find(struct kt_str text, struct kt_str part); /* byte offset or -1 */
/* Cuts `*rest` at the first `sep`: returns the part before it and moves *rest behind it. When there
 * is none, returns everything and sets rest->data to NULL. */
struct kt_str kt_str_cut(struct kt_str *rest, char sep);
/* Copies into a C string of `size` bytes, cutting at a UTF-8 character's border; always terminates.
 */
void kt_str_copy(char *dest, size_t size, struct kt_str text);

bool kt_utf8_valid(struct kt_str text);
/* Valid UTF-8, min..max bytes, no control characters (U+0000-001F, U+007F-009F). */
bool kt_utf8_is_name(struct kt_str text, size_t min_bytes, size_t max_bytes);
/* 1..max visible ASCII characters (0x21-0x7E): request ids, idempotency keys. */
bool kt_is_visible_ascii(struct kt_str text, size_t max_bytes);

/* The whole slice must be the number: no spaces, no '+', no overflow. */
bool kt_parse_i64(struct kt_str text, int64_t *ret_value);
bool kt_parse_u64(struct kt_str text, uint64_t *ret_value);
bool kt_parse_hex_u64(struct kt_str text, uint64_t *ret_value); /* 1..16 digits */
/* JSON's number grammar (leading digits required, no hex, no inf/nan); overflow is refused,
 * underflow gives 0 or a subnormal. Independent of the locale. -0 is read as 0. */
bool kt_parse_f64(struct kt_str text, double *ret_value);
/* Shortest text that reads back the same; "0" for -0; no exponent between 1e-6 and 1e21 (as
 * ECMAScript's Number::toString). `value` is finite. Returns the length, at most 31; a NUL follows;
 * all KT_F64_TEXT_MAX bytes may be written to. Source of the shortest digits: see str_double.c. */
#define KT_F64_TEXT_MAX 40
size_t kt_format_f64(double value, char *dest);
size_t kt_format_i64(int64_t value, char *dest); /* needs 21 bytes; no NUL is written */
size_t kt_format_u64(uint64_t value, char *dest);
extern const char kt_digit_pairs[201]; /* "00" to "99" */

/* Percent-decoding of one path or query component into dest (never longer than the source).
 * plus_is_space for queries. False on a broken escape. */
bool kt_percent_decode(struct kt_str text, bool plus_is_space, char *dest, size_t *ret_len);

#endif

/* write.h - an append-only writer of JSON into a kt_buf.
 *
 * Commas and colons are put by the writer; nesting is checked by assertion. Answers never contain
 * exponents between 1e-6 and 1e21 and no NaN (a NaN is written as null).
 *
 * Threads: one at a time.
 * Owns:    nothing; the buffer is the caller's.
 * Fails:   the buffer's sticky failure.
 */
#ifndef KT_JSON_WRITE_H
#define KT_JSON_WRITE_H

#include "base/buf.h"

struct kt_jw {
    struct kt_buf *buf;
    uint64_t has_items; /* bit d: the container at depth d holds something */
    uint64_t is_object; /* bit d: the container at depth d is an object */
    int depth;          /* ≤ 60 */
    bool after_key;
};

void kt_jw_init(struct kt_jw *jw, struct kt_buf *buf);
void kt_jw_object(struct kt_jw *jw);
void kt_jw_object_end(struct kt_jw *jw);
void kt_jw_array(struct kt_jw *jw);
void kt_jw_array_end(struct kt_jw *jw);
void kt_jw_key(struct kt_jw *jw, struct kt_str name); /* escaped */
/* Strings are valid UTF-8 (bytes that are not become U+FFFD); '/' and non-ASCII stay as they are.
 */
void kt_jw_str(struct kt_jw *jw, struct kt_str value);
void kt_jw_f64(struct kt_jw *jw, double value);
void kt_jw_i64(struct kt_jw *jw, int64_t value);
void kt_jw_u64(struct kt_jw *jw, uint64_t value);
void kt_jw_bool(struct kt_jw *jw, bool value);
void kt_jw_null(struct kt_jw *jw);
void kt_jw_raw(struct kt_jw *jw, struct kt_str json); /* one value that is JSON already */
/* Members that are JSON already, and behind them the key of one whose value comes next:
 * `"a":1,"b":`. */
void kt_jw_raw_key(struct kt_jw *jw, struct kt_str json);
/* Is a string of this text the text between quotes? Otherwise something has to be escaped, or is
 * not valid UTF-8. */
bool kt_json_is_plain(struct kt_str text);
/* A string as kt_jw_str writes it, for who writes the rest of a text by hand. */
void kt_json_append_string(struct kt_buf *buf, struct kt_str text);

/* Inline, so that the length of a literal is a constant. */
static inline void kt_jw_key_text(struct kt_jw *jw, const char *name)
{
    kt_jw_key(jw, kt_str_n(name, strlen(name)));
}

static inline void kt_jw_text(struct kt_jw *jw, const char *value)
{
    kt_jw_str(jw, kt_str(value));
}

/* key and value in one call */
static inline void kt_jw_kv_str(struct kt_jw *jw, const char *name, struct kt_str value)
{
    kt_jw_key_text(jw, name);
    kt_jw_str(jw, value);
}

static inline void kt_jw_kv_text(struct kt_jw *jw, const char *name, const char *value)
{
    kt_jw_key_text(jw, name);
    kt_jw_text(jw, value);
}

static inline void kt_jw_kv_f64(struct kt_jw *jw, const char *name, double value)
{
    kt_jw_key_text(jw, name);
    kt_jw_f64(jw, value);
}

static inline void kt_jw_kv_i64(struct kt_jw *jw, const char *name, int64_t value)
{
    kt_jw_key_text(jw, name);
    kt_jw_i64(jw, value);
}

static inline void kt_jw_kv_u64(struct kt_jw *jw, const char *name, uint64_t value)
{
    kt_jw_key_text(jw, name);
    kt_jw_u64(jw, value);
}

static inline void kt_jw_kv_bool(struct kt_jw *jw, const char *name, bool value)
{
    kt_jw_key_text(jw, name);
    kt_jw_bool(jw, value);
}

#endif

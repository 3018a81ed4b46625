/* read.h - strict, typed reading of JSON that came from outside.
 *
 * cJSON is lenient (leading zeros, raw control characters, doubled members, text behind the value,
 * bad UTF-8, silent overflow), so one pass of our own checks the grammar of RFC 8259, UTF-8, depth
 * and numbers first; cJSON then builds the tree of what is known to be right. Doubled members of
 * one object are refused. Every getter names the field when the type is wrong, and kt_json_finish
 * refuses the members that nobody asked for.
 *
 * Threads: one at a time per document.
 * Owns:    kt_json owns the tree; values and strings borrowed from it live as long as it does.
 * Fails:   KT_BAD_VALUE with the byte offset or the field's path ("records[3].time"),
 *          KT_UNKNOWN_FIELD, KT_TOO_LARGE, KT_NO_MEMORY.
 */
#ifndef KT_JSON_READ_H
#define KT_JSON_READ_H

#include "base/status.h"
#include "base/str.h"

struct kt_json;       /* a parsed document */
struct kt_json_value; /* a node in it; opaque */

enum kt_json_type {
    KT_JSON_NULL,
    KT_JSON_BOOL,
    KT_JSON_NUMBER,
    KT_JSON_STRING,
    KT_JSON_ARRAY,
    KT_JSON_OBJECT
};

#define KT_JSON_DEPTH_DEFAULT 16
#define KT_JSON_DEPTH_MAX 128      /* the most that max_depth may be: cJSON recurses */
#define KT_JSON_VALUES_MAX 4000000 /* a value takes some 80 bytes; more are KT_TOO_LARGE */

/* What a text can hold and what parsing it can take at most, as estimated before it is parsed: the
 * reader's copy of the text, and a node for each value. */
size_t kt_json_values_at_most(struct kt_str text);
size_t kt_json_parse_bytes(struct kt_str text);

/* Refuses: empty text, a BOM, depth > max_depth, doubled members, numbers that overflow a double,
 * \u0000 in strings, lone surrogates. */
enum kt_status kt_json_parse(struct kt_str text, int max_depth, struct kt_json **ret_json,
                             struct kt_error *err) KT_MUST_CHECK;
void kt_json_free(struct kt_json **json);
const struct kt_json_value *kt_json_root(const struct kt_json *json);

enum kt_json_type kt_json_type(const struct kt_json_value *value);
const char *kt_json_type_name(enum kt_json_type type);           /* "an array" … for messages */
struct kt_str kt_json_string(const struct kt_json_value *value); /* of a string; asserts */
double kt_json_number(const struct kt_json_value *value);        /* of a number; asserts */
bool kt_json_bool(const struct kt_json_value *value);            /* of a bool; asserts */
size_t kt_json_count(const struct kt_json_value *value);         /* of an array or object */

/* Walks an array or object: start with NULL; NULL at the end. O(1) a step. */
const struct kt_json_value *kt_json_next(const struct kt_json_value *container,
                                         const struct kt_json_value *previous);
struct kt_str kt_json_name(const struct kt_json_value *member); /* a member's name */
/* NULL when there is no such member. */
const struct kt_json_value *kt_json_member(const struct kt_json_value *object, const char *name);
/* The same of what another may have written in any shape: NULL also when the member has another
 * type, or `object` is none or NULL. */
const struct kt_json_value *kt_json_member_as(const struct kt_json_value *object, const char *name,
                                              enum kt_json_type type);

/* Reading one object field by field. `path` prefixes field names in errors ("" or "records[3]").
 * Absent and JSON null are the same to the kt_json_get_x: false in *ret_present (if given) and the
 * output untouched. Each field asked for counts as known; kt_json_fields_finish refuses the rest.
 */
#define KT_JSON_FIELDS_MAX 48
struct kt_json_fields {
    const struct kt_json_value *object;
    char path[96];
    uint64_t seen[4]; /* bit i: the i-th member was asked for (members beyond 256 are unknown) */
};
enum kt_status kt_json_fields_init(struct kt_json_fields *fields, const struct kt_json_value *value,
                                   const char *path, struct kt_error *err) KT_MUST_CHECK;
/* Any type; NULL when absent (also NULL for JSON null if null_is_absent). */
const struct kt_json_value *kt_json_get(struct kt_json_fields *fields, const char *name,
                                        bool null_is_absent);
enum kt_status kt_json_get_string(struct kt_json_fields *fields, const char *name,
                                  struct kt_str *ret_value, bool *ret_present,
                                  struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_json_get_bool(struct kt_json_fields *fields, const char *name, bool *ret_value,
                                bool *ret_present, struct kt_error *err) KT_MUST_CHECK;
/* A whole number within min..max (JSON number without fraction, |v| ≤ 2^53). */
enum kt_status kt_json_get_int(struct kt_json_fields *fields, const char *name, int64_t min,
                               int64_t max, int64_t *ret_value, bool *ret_present,
                               struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_json_get_array(struct kt_json_fields *fields, const char *name,
                                 const struct kt_json_value **ret_value, bool *ret_present,
                                 struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_json_get_object(struct kt_json_fields *fields, const char *name,
                                  const struct kt_json_value **ret_value, bool *ret_present,
                                  struct kt_error *err) KT_MUST_CHECK;
/* The full path of a field for messages: "records[3].time". */
void kt_json_field_path(const struct kt_json_fields *fields, const char *name, char dest[160]);
/* KT_UNKNOWN_FIELD naming the first member that nobody asked for. */
enum kt_status kt_json_fields_finish(const struct kt_json_fields *fields,
                                     struct kt_error *err) KT_MUST_CHECK;

#endif

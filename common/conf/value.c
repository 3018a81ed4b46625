/* SPDX-License-Identifier: MIT */
/* value.c - text to value and back, type by type. */
#include "conf/conf_internal.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

enum { STR_MAX_DEFAULT = 1024, SHOWN_MAX = 64 };

static void *slot_of(const struct kt_conf_key *key, void *target)
{
    return (char *)target + key->offset;
}

static const void *const_slot_of(const struct kt_conf_key *key, const void *target)
{
    return (const char *)target + key->offset;
}

static int64_t text_max(const struct kt_conf_key *key)
{
    return key->max ? key->max : STR_MAX_DEFAULT;
}

bool kt_conf_takes_empty(const struct kt_conf_key *key)
{
    return (key->type == KT_CONF_STR || key->type == KT_CONF_SECRET) && key->min <= 0;
}

static const char *type_text(enum kt_conf_type type)
{
    switch (type) {
    case KT_CONF_BYTES:
        return "a number of bytes such as 4096, 64k, 512m or 2g";
    case KT_CONF_BOOL:
        return "true or false";
    case KT_CONF_ENUM:
        return "one of the choices";
    case KT_CONF_STR:
    case KT_CONF_SECRET:
        return "a text of allowed length";
    default:
        return "a whole number";
    }
}

/* "WHERE: [section] key: 'value' is not WHAT"; secrets are not shown. */
static enum kt_status fail_text(const struct kt_conf_key *key, const char *text, const char *where,
                                const char *what, struct kt_error *err)
{
    char shown[SHOWN_MAX] = "***", field[64];
    if (key->type != KT_CONF_SECRET) {
        kt_str_copy(shown, sizeof(shown), kt_str(text));
    }
    snprintf(field, sizeof(field), "%.30s.%.30s", key->section, key->key);
    return kt_fail_field(err, KT_BAD_VALUE, field, "%s: [%s] %s: '%s' is not %s", where,
                         key->section, key->key, shown, what);
}

/* The same with the allowed range behind it. */
static enum kt_status fail_value(const struct kt_conf_key *key, const char *text, const char *where,
                                 const char *what, struct kt_error *err)
{
    char full[300];
    struct kt_buf range;
    kt_buf_init(&range, 200);
    kt_conf_format_range(key, &range);
    snprintf(full, sizeof(full), range.len_bytes ? "%s (allowed %s)" : "%s", what,
             range.data ? range.data : "");
    kt_buf_done(&range);
    return fail_text(key, text, where, full, err);
}

/* "64k", "512M", "2g": powers of 1024. */
static bool parse_bytes(struct kt_str text, int64_t *ret_value)
{
    static const char suffixes[] = "kmgt";
    int shift = 0;
    if (text.len > 1) {
        const char *found = strchr(suffixes, text.data[text.len - 1] | 32);
        if (found && *found) {
            shift = 10 * (int)(found - suffixes + 1);
            text.len--;
        }
    }
    int64_t value;
    if (!kt_parse_i64(text, &value) || __builtin_mul_overflow(value, INT64_C(1) << shift, &value)) {
        return false;
    }
    *ret_value = value;
    return true;
}

static bool parse_bool(struct kt_str text, bool *ret_value)
{
    static const char *const words[] = {"true", "yes", "on", "1", "false", "no", "off", "0"};
    for (size_t i = 0; i < KT_ARRAY_LEN(words); i++) {
        if (kt_str_eq_nocase(text, kt_str(words[i]))) {
            *ret_value = i < KT_ARRAY_LEN(words) / 2;
            return true;
        }
    }
    return false;
}

static bool parse_choice(const struct kt_conf_key *key, struct kt_str text, int *ret_index)
{
    struct kt_str rest = kt_str(key->choices);
    for (int i = 0; rest.data; i++) {
        if (kt_str_eq(kt_str_cut(&rest, '|'), text)) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

static enum kt_status assign_number(const struct kt_conf_key *key, void *target, const char *text,
                                    const char *where, struct kt_error *err)
{
    int64_t value;
    bool good = key->type == KT_CONF_BYTES ? parse_bytes(kt_str(text), &value)
                                           : kt_parse_i64(kt_str(text), &value);
    if (!good) {
        return fail_value(key, text, where, type_text(key->type), err);
    }
    if (value < key->min || value > key->max) {
        return fail_value(key, text, where, "within the range", err);
    }
    memcpy(slot_of(key, target), &value, sizeof(value));
    return KT_OK;
}

static enum kt_status assign_text(const struct kt_conf_key *key, void *target, const char *text,
                                  const char *where, struct kt_error *err)
{
    struct kt_str value = kt_str(text);
    if ((int64_t)value.len < key->min || (int64_t)value.len > text_max(key)) {
        return fail_value(key, text, where, type_text(key->type), err);
    }
    if (!kt_utf8_is_name(value, 0, value.len)) {
        return fail_text(key, "…", where, "valid UTF-8 without control characters", err);
    }
    char *copy = kt_strdup(text);
    if (!copy) {
        return kt_fail(err, KT_NO_MEMORY, "%s: no memory for [%s] %s", where, key->section,
                       key->key);
    }
    char **slot = slot_of(key, target);
    kt_free(*slot);
    *slot = copy;
    return KT_OK;
}

/* The key's own check; an empty text that the key takes means "not set" and is not asked about. */
static enum kt_status run_check(const struct kt_conf_key *key, const char *text, const char *where,
                                struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    if (!key->check || (!text[0] && kt_conf_takes_empty(key)) || key->check(text, &why) == KT_OK) {
        return KT_OK;
    }
    char what[sizeof(why.message) + 16] = "usable";
    if (why.message[0]) {
        kt_str_copy(what + 6, sizeof(what) - 6, kt_str(": "));
        kt_str_copy(what + 8, sizeof(what) - 8, kt_str(why.message));
    }
    return fail_text(key, text, where, what, err);
}

enum kt_status kt_conf_assign(const struct kt_conf_key *key, void *target, const char *text,
                              const char *where, struct kt_error *err)
{
    bool truth;
    int choice;
    enum kt_status status = run_check(key, text, where, err);
    if (status != KT_OK) {
        return status;
    }
    switch (key->type) {
    case KT_CONF_BOOL:
        if (!parse_bool(kt_str(text), &truth)) {
            return fail_value(key, text, where, type_text(key->type), err);
        }
        memcpy(slot_of(key, target), &truth, sizeof(truth));
        return KT_OK;
    case KT_CONF_ENUM:
        if (!parse_choice(key, kt_str(text), &choice)) {
            return fail_value(key, text, where, type_text(key->type), err);
        }
        memcpy(slot_of(key, target), &choice, sizeof(choice));
        return KT_OK;
    case KT_CONF_STR:
    case KT_CONF_SECRET:
        return assign_text(key, target, text, where, err);
    default:
        return assign_number(key, target, text, where, err);
    }
}

static void append_bytes(int64_t value, struct kt_buf *ret_text)
{
    static const char suffixes[] = " kmgt";
    int at = 0;
    while (value != 0 && value % 1024 == 0 && at < 4) {
        value /= 1024;
        at++;
    }
    kt_buf_append_i64(ret_text, value);
    if (at > 0) {
        kt_buf_append_byte(ret_text, suffixes[at]);
    }
}

static struct kt_str choice_at(const struct kt_conf_key *key, int index)
{
    struct kt_str rest = kt_str(key->choices), choice = {NULL, 0};
    for (int i = 0; i <= index; i++) {
        choice = kt_str_cut(&rest, '|');
    }
    return choice;
}

void kt_conf_format_value(const struct kt_conf_key *key, const void *target,
                          struct kt_buf *ret_text)
{
    const void *slot = const_slot_of(key, target);
    const char *text;
    int64_t number;
    switch (key->type) {
    case KT_CONF_BOOL:
        kt_buf_append_text(ret_text, *(const bool *)slot ? "true" : "false");
        break;
    case KT_CONF_ENUM:
        kt_buf_append_str(ret_text, choice_at(key, *(const int *)slot));
        break;
    case KT_CONF_STR:
    case KT_CONF_SECRET:
        memcpy(&text, slot, sizeof(text));
        kt_buf_append_text(ret_text, text[0] && key->type == KT_CONF_SECRET ? "***" : text);
        break;
    default:
        memcpy(&number, slot, sizeof(number));
        if (key->type == KT_CONF_BYTES) {
            append_bytes(number, ret_text);
        } else {
            kt_buf_append_i64(ret_text, number);
        }
    }
}

void kt_conf_format_range(const struct kt_conf_key *key, struct kt_buf *ret_text)
{
    struct kt_str rest;
    switch (key->type) {
    case KT_CONF_BOOL:
        break;
    case KT_CONF_ENUM:
        rest = kt_str(key->choices);
        while (rest.data) {
            kt_buf_append_str(ret_text, kt_str_cut(&rest, '|'));
            if (rest.data) {
                kt_buf_append_text(ret_text, ", ");
            }
        }
        break;
    case KT_CONF_BYTES:
        append_bytes(key->min, ret_text);
        kt_buf_append_text(ret_text, "..");
        append_bytes(key->max, ret_text);
        break;
    case KT_CONF_STR:
    case KT_CONF_SECRET:
        kt_buf_printf(ret_text, "%lld..%lld bytes", (long long)key->min, (long long)text_max(key));
        break;
    default:
        kt_buf_printf(ret_text, "%lld..%lld", (long long)key->min, (long long)key->max);
    }
}

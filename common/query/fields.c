/* SPDX-License-Identifier: MIT */
/* fields.c - the values that queries and writes have in common: lists, times, indicator names.
 *
 * A date says a day where a number says a second, so what it means depends on the side of the bound
 * it stands on: the rule is the caller's.
 */
#include "query/query_impl.h"

#include "base/mem.h"

#include <math.h>

#define WHOLE_MAX 9007199254740992.0 /* 2^53 */

static enum kt_status fail_item(const char *path, size_t index, const char *what,
                                struct kt_error *err)
{
    return kt_fail_field(err, KT_BAD_VALUE, path, "%s[%zu] must be %s", path, index, what);
}

static enum kt_status check_name(struct kt_str item, size_t min_bytes, const char *path,
                                 size_t index, struct kt_error *err)
{
    if (kt_utf8_is_name(item, min_bytes, KT_QUERY_NAME_MAX)) {
        return KT_OK;
    }
    return fail_item(path, index,
                     min_bytes ? "1 to 128 bytes of UTF-8 without control characters"
                               : "at most 128 bytes of UTF-8 without control characters",
                     err);
}

/* NULL when there are too many or no memory. */
static struct kt_str *alloc_items(struct kt_arena *arena, size_t count, size_t max_items,
                                  const char *path, struct kt_error *err)
{
    if (count > max_items) {
        kt_fail_field(err, KT_TOO_LARGE, path, "%s has %zu items, at most %zu are allowed", path,
                      count, max_items);
        return NULL;
    }
    struct kt_str *items = kt_arena_zalloc(arena, count, sizeof *items);
    if (!items) {
        kt_fail(err, KT_NO_MEMORY, "no memory for %s", path);
    }
    return items;
}

static enum kt_status list_of_array(const struct kt_json_value *array, const char *path,
                                    size_t min_bytes, struct kt_str *items, struct kt_error *err)
{
    size_t i = 0;
    for (const struct kt_json_value *item = kt_json_next(array, NULL); item;
         item = kt_json_next(array, item), i++) {
        if (kt_json_type(item) != KT_JSON_STRING) {
            return fail_item(path, i, "a string", err);
        }
        items[i] = kt_json_string(item);
        enum kt_status status = check_name(items[i], min_bytes, path, i, err);
        if (status != KT_OK) {
            return status;
        }
    }
    return KT_OK;
}

static size_t csv_count(struct kt_str text)
{
    size_t count = 1;
    if (kt_str_trim(text).len == 0) {
        return 0;
    }
    for (size_t i = 0; i < text.len; i++) {
        count += text.data[i] == ',';
    }
    return count;
}

static enum kt_status list_of_csv(struct kt_str text, const char *path, size_t count,
                                  struct kt_str *items, struct kt_error *err)
{
    for (size_t i = 0; i < count; i++) {
        items[i] = kt_str_trim(kt_str_cut(&text, ','));
        enum kt_status status = check_name(items[i], 1, path, i, err);
        if (status != KT_OK) {
            return status;
        }
    }
    return KT_OK;
}

enum kt_status query_list(struct kt_json_fields *fields, const char *name, size_t min_bytes,
                          size_t max_items, struct kt_arena *arena, struct kt_str **ret_items,
                          size_t *ret_count, bool *ret_present, struct kt_error *err)
{
    char path[160];
    const struct kt_json_value *value = kt_json_get(fields, name, true);
    if (!value) {
        if (ret_present) {
            *ret_present = false;
        }
        return KT_OK;
    }
    kt_json_field_path(fields, name, path);
    bool is_array = kt_json_type(value) == KT_JSON_ARRAY;
    if (!is_array && kt_json_type(value) != KT_JSON_STRING) {
        return kt_fail_field(err, KT_BAD_VALUE, path,
                             "%s must be an array of strings or a csv string, not %s", path,
                             kt_json_type_name(kt_json_type(value)));
    }
    size_t count = is_array ? kt_json_count(value) : csv_count(kt_json_string(value));
    struct kt_str *items = alloc_items(arena, count, max_items, path, err);
    if (!items) {
        return count > max_items ? KT_TOO_LARGE : KT_NO_MEMORY;
    }
    enum kt_status status = is_array ? list_of_array(value, path, min_bytes, items, err)
                                     : list_of_csv(kt_json_string(value), path, count, items, err);
    if (status == KT_OK) {
        *ret_items = items;
        *ret_count = count;
        if (ret_present) {
            *ret_present = true;
        }
    }
    return status;
}

enum kt_status kt_field_list(struct kt_json_fields *fields, const char *name, size_t max_items,
                             struct kt_arena *arena, struct kt_str **ret_items, size_t *ret_count,
                             bool *ret_present, struct kt_error *err)
{
    return query_list(fields, name, 1, max_items, arena, ret_items, ret_count, ret_present, err);
}

enum kt_status kt_field_texts(struct kt_json_fields *fields, const char *name, size_t max_items,
                              struct kt_arena *arena, struct kt_str **ret_items, size_t *ret_count,
                              bool *ret_present, struct kt_error *err)
{
    return query_list(fields, name, 0, max_items, arena, ret_items, ret_count, ret_present, err);
}

static enum kt_status fail_time(const char *field, struct kt_error *err)
{
    return kt_fail_field(err, KT_BAD_VALUE, field,
                         "%s must be whole seconds since 1970 or \"YYYY-MM-DD\", "
                         "from 0001-01-01 to 9999-12-31",
                         field);
}

enum kt_status kt_time_parse_text(struct kt_str text, enum kt_time_rule rule, const char *field,
                                  int64_t *ret_time_s, bool *ret_is_zero_number,
                                  struct kt_error *err)
{
    int64_t time_s;
    bool is_number = kt_parse_i64(text, &time_s);
    if (!is_number && !kt_parse_date(text, &time_s)) {
        return fail_time(field, err);
    }
    if (!is_number && rule == KT_TIME_UPPER) {
        time_s += KT_DAY_S - 1;
    }
    if (time_s < KT_TIME_MIN || time_s > KT_TIME_MAX) {
        return fail_time(field, err);
    }
    *ret_time_s = time_s;
    if (ret_is_zero_number) {
        *ret_is_zero_number = is_number && time_s == 0;
    }
    return KT_OK;
}

enum kt_status kt_field_time(struct kt_json_fields *fields, const char *name,
                             enum kt_time_rule rule, int64_t *ret_time_s, bool *ret_present,
                             struct kt_error *err)
{
    char path[160];
    int64_t time_s = 0;
    bool is_zero = false, present = false;
    const struct kt_json_value *value = kt_json_get(fields, name, true);
    if (value) {
        kt_json_field_path(fields, name, path);
        if (kt_json_type(value) == KT_JSON_STRING) {
            enum kt_status status =
                kt_time_parse_text(kt_json_string(value), rule, path, &time_s, &is_zero, err);
            if (status != KT_OK) {
                return status;
            }
        } else {
            double number = kt_json_type(value) == KT_JSON_NUMBER ? kt_json_number(value) : NAN;
            if (!(fabs(number) <= WHOLE_MAX) || number != floor(number) ||
                number < (double)KT_TIME_MIN || number > (double)KT_TIME_MAX) {
                return fail_time(path, err);
            }
            time_s = (int64_t)number;
            is_zero = time_s == 0;
        }
        present = !(is_zero && rule != KT_TIME_STORED);
    }
    if (present) {
        *ret_time_s = time_s;
    }
    if (ret_present) {
        *ret_present = present;
    }
    return KT_OK;
}

bool kt_indicator_name_ok(struct kt_str key)
{
    static const char *const reserved[] = {"subject",     "name",         "time",
                                           "report_date", "end_date",     "year",
                                           "period",      "declare_date", "combine"};
    for (size_t i = 0; i < KT_ARRAY_LEN(reserved); i++) {
        if (kt_str_eq_text(key, reserved[i])) {
            return false;
        }
    }
    return kt_utf8_is_name(key, 1, KT_QUERY_NAME_MAX);
}

/* SPDX-License-Identifier: MIT */
/* fields.c - one object, field by field; the bits remember what was asked for. */
#include "json/json_internal.h"
#include "json/read.h"

#include <math.h>
#include <string.h>

#define WHOLE_MAX 9007199254740992.0 /* 2^53: beyond it a double cannot tell neighbours apart */

enum kt_status kt_json_fields_init(struct kt_json_fields *fields, const struct kt_json_value *value,
                                   const char *path, struct kt_error *err)
{
    if (kt_json_type(value) != KT_JSON_OBJECT) {
        return kt_fail_field(err, KT_BAD_VALUE, path, "%s must be an object, not %s",
                             path[0] ? path : "the JSON text",
                             kt_json_type_name(kt_json_type(value)));
    }
    memset(fields, 0, sizeof(*fields));
    fields->object = value;
    kt_str_copy(fields->path, sizeof(fields->path), kt_str(path));
    return KT_OK;
}

void kt_json_field_path(const struct kt_json_fields *fields, const char *name, char dest[160])
{
    size_t len = strlen(fields->path);
    memcpy(dest, fields->path, len);
    if (len > 0) {
        dest[len++] = '.';
    }
    kt_str_copy(dest + len, 160 - len, kt_str(name));
}

const struct kt_json_value *kt_json_get(struct kt_json_fields *fields, const char *name,
                                        bool null_is_absent)
{
    const size_t known_max = sizeof(fields->seen) * 8;
    size_t index = 0;
    const struct kt_json_value *member = kt_json_member_at(fields->object, name, &index);
    if (!member) {
        return NULL;
    }
    if (index < known_max) {
        fields->seen[index / 64] |= UINT64_C(1) << (index % 64);
    }
    return null_is_absent && kt_json_type(member) == KT_JSON_NULL ? NULL : member;
}

/* The member if it is there and of this type; *ret_member NULL when absent. */
static enum kt_status get_typed(struct kt_json_fields *fields, const char *name,
                                enum kt_json_type type, const struct kt_json_value **ret_member,
                                bool *ret_present, struct kt_error *err)
{
    const struct kt_json_value *member = kt_json_get(fields, name, true);
    if (member && kt_json_type(member) != type) {
        char path[160];
        kt_json_field_path(fields, name, path);
        return kt_fail_field(err, KT_BAD_VALUE, path, "%s must be %s, not %s", path,
                             kt_json_type_name(type), kt_json_type_name(kt_json_type(member)));
    }
    *ret_member = member;
    if (ret_present) {
        *ret_present = member != NULL;
    }
    return KT_OK;
}

enum kt_status kt_json_get_string(struct kt_json_fields *fields, const char *name,
                                  struct kt_str *ret_value, bool *ret_present, struct kt_error *err)
{
    const struct kt_json_value *member = NULL;
    enum kt_status status = get_typed(fields, name, KT_JSON_STRING, &member, ret_present, err);
    if (member) {
        *ret_value = kt_json_string(member);
    }
    return status;
}

enum kt_status kt_json_get_bool(struct kt_json_fields *fields, const char *name, bool *ret_value,
                                bool *ret_present, struct kt_error *err)
{
    const struct kt_json_value *member = NULL;
    enum kt_status status = get_typed(fields, name, KT_JSON_BOOL, &member, ret_present, err);
    if (member) {
        *ret_value = kt_json_bool(member);
    }
    return status;
}

static enum kt_status fail_int(const struct kt_json_fields *fields, const char *name, int64_t min,
                               int64_t max, double number, struct kt_error *err)
{
    char path[160], text[KT_F64_TEXT_MAX + 1] = "";
    kt_json_field_path(fields, name, path);
    kt_format_f64(number, text);
    return kt_fail_field(err, KT_BAD_VALUE, path,
                         "%s must be a whole number from %lld to %lld, not %s", path,
                         (long long)min, (long long)max, text);
}

enum kt_status kt_json_get_int(struct kt_json_fields *fields, const char *name, int64_t min,
                               int64_t max, int64_t *ret_value, bool *ret_present,
                               struct kt_error *err)
{
    const struct kt_json_value *member = NULL;
    bool present = false;
    enum kt_status status = get_typed(fields, name, KT_JSON_NUMBER, &member, &present, err);
    if (status != KT_OK) {
        return status;
    }
    if (member) {
        double number = kt_json_number(member);
        if (fabs(number) > WHOLE_MAX || number != floor(number) || (int64_t)number < min ||
            (int64_t)number > max) {
            return fail_int(fields, name, min, max, number, err);
        }
        *ret_value = (int64_t)number;
    }
    if (ret_present) {
        *ret_present = present;
    }
    return KT_OK;
}

enum kt_status kt_json_get_array(struct kt_json_fields *fields, const char *name,
                                 const struct kt_json_value **ret_value, bool *ret_present,
                                 struct kt_error *err)
{
    const struct kt_json_value *member = NULL;
    enum kt_status status = get_typed(fields, name, KT_JSON_ARRAY, &member, ret_present, err);
    if (member) {
        *ret_value = member;
    }
    return status;
}

enum kt_status kt_json_get_object(struct kt_json_fields *fields, const char *name,
                                  const struct kt_json_value **ret_value, bool *ret_present,
                                  struct kt_error *err)
{
    const struct kt_json_value *member = NULL;
    enum kt_status status = get_typed(fields, name, KT_JSON_OBJECT, &member, ret_present, err);
    if (member) {
        *ret_value = member;
    }
    return status;
}

enum kt_status kt_json_fields_finish(const struct kt_json_fields *fields, struct kt_error *err)
{
    const size_t known_max = sizeof(fields->seen) * 8;
    const struct kt_json_value *member = NULL;
    for (size_t i = 0; (member = kt_json_next(fields->object, member)) != NULL; i++) {
        if (i >= known_max || !(fields->seen[i / 64] >> (i % 64) & 1)) {
            char path[160];
            kt_json_field_path(fields, kt_json_name(member).data, path);
            return kt_fail_field(err, KT_UNKNOWN_FIELD, path, "unknown field %s", path);
        }
    }
    return KT_OK;
}

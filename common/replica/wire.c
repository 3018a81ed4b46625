/* SPDX-License-Identifier: MIT */
#include "replica/wire.h"

#include "base/mem.h"

#include <string.h>

enum kt_status kt_wire_u64(struct kt_json_fields *fields, const char *name, uint64_t *ret_number,
                           struct kt_error *err)
{
    int64_t value = 0;
    bool present = false;
    enum kt_status status =
        kt_json_get_int(fields, name, 0, KT_WIRE_WHOLE_MAX, &value, &present, err);
    if (status == KT_OK && !present) {
        status = kt_fail_field(err, KT_BAD_VALUE, name, "%s is missing", name);
    }
    if (status == KT_OK) {
        *ret_number = (uint64_t)value;
    }
    return status;
}

static bool copy_id(struct kt_str text, char dest[KT_ID_LEN + 1])
{
    uint64_t ignored;
    if (text.len != KT_ID_LEN || !kt_parse_hex_u64(text, &ignored)) {
        return false;
    }
    memcpy(dest, text.data, KT_ID_LEN);
    dest[KT_ID_LEN] = '\0';
    return true;
}

enum kt_status kt_wire_id(struct kt_json_fields *fields, const char *name, char dest[KT_ID_LEN + 1],
                          struct kt_error *err)
{
    struct kt_str text = {NULL, 0};
    bool present = false;
    enum kt_status status = kt_json_get_string(fields, name, &text, &present, err);
    if (status == KT_OK && (!present || !copy_id(text, dest))) {
        status = kt_fail_field(err, KT_BAD_VALUE, name, "%s must be 16 hexadecimal digits", name);
    }
    return status;
}

/* --- epoch vectors --- */

void kt_wire_put_vector(struct kt_jw *jw, const struct kt_epoch *vector, size_t count)
{
    kt_jw_key_text(jw, "vector");
    kt_jw_array(jw);
    for (size_t i = 0; i < count; i++) {
        kt_jw_array(jw);
        kt_jw_u64(jw, vector[i].epoch);
        kt_jw_text(jw, vector[i].epoch_id);
        kt_jw_u64(jw, vector[i].first_seq);
        kt_jw_array_end(jw);
    }
    kt_jw_array_end(jw);
}

static bool get_whole(const struct kt_json_value *value, uint64_t *ret)
{
    double number = kt_json_type(value) == KT_JSON_NUMBER ? kt_json_number(value) : -1;
    if (!(number >= 1 && number <= (double)KT_WIRE_WHOLE_MAX) ||
        number != (double)(uint64_t)number) {
        return false;
    }
    *ret = (uint64_t)number;
    return true;
}

static bool get_epoch(const struct kt_json_value *item, struct kt_epoch *ret)
{
    if (kt_json_type(item) != KT_JSON_ARRAY || kt_json_count(item) != 3) {
        return false;
    }
    const struct kt_json_value *epoch = kt_json_next(item, NULL);
    const struct kt_json_value *id = kt_json_next(item, epoch);
    return kt_json_type(id) == KT_JSON_STRING && copy_id(kt_json_string(id), ret->epoch_id) &&
           get_whole(epoch, &ret->epoch) && get_whole(kt_json_next(item, id), &ret->first_seq);
}

static enum kt_status fill_vector(const struct kt_json_value *array, struct kt_epoch *vector,
                                  struct kt_error *err)
{
    struct kt_epoch *now = vector;
    for (const struct kt_json_value *item = kt_json_next(array, NULL); item;
         item = kt_json_next(array, item), now++) {
        if (!get_epoch(item, now)) {
            return kt_fail_field(err, KT_BAD_VALUE, "vector",
                                 "vector must hold [epoch, \"epoch_id\", first_seq], with whole "
                                 "numbers from 1 to 2^53");
        }
        if (now > vector && (now[-1].epoch >= now->epoch || now[-1].first_seq >= now->first_seq)) {
            return kt_fail_field(err, KT_BAD_VALUE, "vector", "vector must ascend");
        }
    }
    return KT_OK;
}

enum kt_status kt_wire_vector(struct kt_json_fields *fields, size_t count_max,
                              struct kt_epoch **ret_vector, size_t *ret_count, bool *ret_present,
                              struct kt_error *err)
{
    const struct kt_json_value *array = NULL;
    bool present = false;
    enum kt_status status = kt_json_get_array(fields, "vector", &array, &present, err);
    if (status == KT_OK && ret_present) {
        *ret_present = present;
    }
    if (status != KT_OK || !present || kt_json_count(array) == 0) {
        return status;
    }
    size_t count = kt_json_count(array);
    if (count > count_max) {
        return kt_fail_field(err, KT_BAD_VALUE, "vector", "vector must have at most %zu epochs",
                             count_max);
    }
    struct kt_epoch *vector = kt_calloc(count, sizeof(*vector));
    if (!vector) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for an epoch vector");
    }
    status = fill_vector(array, vector, err);
    if (status != KT_OK) {
        kt_free(vector);
        return status;
    }
    *ret_vector = vector;
    *ret_count = count;
    return KT_OK;
}

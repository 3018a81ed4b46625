/* SPDX-License-Identifier: MIT */
/* Bodies of generic series: everything is judged before the change gets a number. */
#include "node/generic.h"

#include "base/mem.h"
#include "query/query.h"

#include <stdio.h>
#include <stdlib.h>

#define TIME_SHOWN 40 /* bytes of a wrong time in a message */

/* --- save --- */

struct points {
    struct kt_generic_point *items;
    size_t count;
    double *numbers;
    size_t number_count;
};

static void points_done(struct points *points)
{
    kt_free(points->items);
    kt_free(points->numbers);
}

static enum kt_status bad_id(struct kt_error *err)
{
    return kt_fail_field(err, KT_BAD_VALUE, "id", "id must be " KT_GENERIC_ID_RULE);
}

static enum kt_status bad_point(const struct kt_json_value *member, struct kt_error *err)
{
    char shown[TIME_SHOWN], field[TIME_SHOWN + 8];
    kt_str_copy(shown, sizeof(shown), kt_json_name(member));
    snprintf(field, sizeof(field), "data.%s", shown);
    return kt_fail_field(err, KT_BAD_VALUE, field,
                         "%s must be an array of 1 to %d numbers, or null to take the time away",
                         field, KT_GENERIC_NUMBERS_MAX);
}

/* Counts the numbers, so that they can be placed in one block. */
static enum kt_status size_points(const struct kt_json_value *data, struct points *points,
                                  struct kt_error *err)
{
    size_t count = kt_json_count(data), numbers = 0;
    if (count > KT_GENERIC_POINTS_MAX) {
        return kt_fail_field(err, KT_TOO_LARGE, "data", "data has %zu times, allowed are %d", count,
                             KT_GENERIC_POINTS_MAX);
    }
    for (const struct kt_json_value *member = kt_json_next(data, NULL); member;
         member = kt_json_next(data, member)) {
        enum kt_json_type type = kt_json_type(member);
        size_t length = type == KT_JSON_ARRAY ? kt_json_count(member) : 0;
        if (type != KT_JSON_NULL && (length < 1 || length > KT_GENERIC_NUMBERS_MAX)) {
            return bad_point(member, err);
        }
        numbers += length;
    }
    if (numbers > KT_GENERIC_VALUES_MAX) {
        return kt_fail_field(err, KT_TOO_LARGE, "data", "data has %zu numbers, allowed are %d",
                             numbers, KT_GENERIC_VALUES_MAX);
    }
    points->items = kt_calloc(count + 1, sizeof(*points->items));
    points->numbers = kt_calloc(numbers + 1, sizeof(*points->numbers));
    return points->items && points->numbers
               ? KT_OK
               : kt_fail(err, KT_NO_MEMORY, "out of memory for a save");
}

static enum kt_status take_point(const struct kt_json_value *member, struct points *points,
                                 struct kt_error *err)
{
    struct kt_generic_point *point = &points->items[points->count++];
    struct kt_str name = kt_json_name(member);
    char field[TIME_SHOWN + 8], shown[TIME_SHOWN];
    kt_str_copy(shown, sizeof(shown), name);
    snprintf(field, sizeof(field), "data.%s", shown);
    enum kt_status status =
        kt_time_parse_text(name, KT_TIME_STORED, field, &point->time_s, NULL, err);
    if (status != KT_OK || kt_json_type(member) == KT_JSON_NULL) {
        return status;
    }
    point->numbers = points->numbers + points->number_count;
    for (const struct kt_json_value *item = kt_json_next(member, NULL); item;
         item = kt_json_next(member, item)) {
        if (kt_json_type(item) != KT_JSON_NUMBER) {
            return bad_point(member, err);
        }
        points->numbers[points->number_count++] = kt_json_number(item);
        point->count++;
    }
    return KT_OK;
}

static int by_time(const void *a, const void *b)
{
    const struct kt_generic_point *x = a, *y = b;
    return x->time_s < y->time_s ? -1 : x->time_s > y->time_s;
}

static enum kt_status parse_points(const struct kt_json_value *data, struct points *points,
                                   struct kt_error *err)
{
    enum kt_status status = size_points(data, points, err);
    for (const struct kt_json_value *member = kt_json_next(data, NULL); member && status == KT_OK;
         member = kt_json_next(data, member)) {
        status = take_point(member, points, err);
    }
    if (status != KT_OK) {
        return status;
    }
    if (points->count > 1) {
        qsort(points->items, points->count, sizeof(*points->items), by_time);
    }
    /* Doubled members are refused by the reader, but one time has several spellings. */
    for (size_t i = 1; i < points->count; i++) {
        if (points->items[i].time_s == points->items[i - 1].time_s) {
            return kt_fail_field(err, KT_BAD_VALUE, "data", "data has the time %lld twice",
                                 (long long)points->items[i].time_s);
        }
    }
    return KT_OK;
}

static enum kt_status parse_save(struct kt_json_fields *fields, struct kt_generic_change *change,
                                 struct points *points, struct kt_error *err)
{
    const struct kt_json_value *data = NULL;
    bool present = false;
    enum kt_status status = kt_json_get_string(fields, "id", &change->id, &present, err);
    if (status == KT_OK && (!present || !kt_generic_id_ok(change->id))) {
        status = bad_id(err);
    }
    if (status == KT_OK) {
        status = kt_field_time(fields, "createTime", KT_TIME_STORED, &change->create_s,
                               &change->create_given, err);
    }
    if (status == KT_OK) {
        status = kt_field_time(fields, "updateTime", KT_TIME_STORED, &change->update_s,
                               &change->update_given, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_object(fields, "data", &data, &present, err);
    }
    if (status == KT_OK && !present) {
        status = kt_fail_field(err, KT_BAD_VALUE, "data",
                               "data must be an object of arrays of numbers by time");
    }
    if (status == KT_OK) {
        status = kt_json_fields_finish(fields, err);
    }
    return status == KT_OK ? parse_points(data, points, err) : status;
}

enum kt_status kt_generic_save_parse(struct kt_str body, int table, int json_depth,
                                     char ret_id[KT_GENERIC_ID_MAX + 1], struct kt_buf *ret_change,
                                     struct kt_error *err)
{
    struct kt_json *json = NULL;
    struct kt_json_fields fields;
    struct kt_generic_change change = {.table = table};
    struct points points = {NULL, 0, NULL, 0};
    enum kt_status status = kt_json_parse(body, json_depth, &json, err);
    if (status == KT_OK) {
        status = kt_json_fields_init(&fields, kt_json_root(json), "", err);
    }
    if (status == KT_OK) {
        status = parse_save(&fields, &change, &points, err);
    }
    if (status == KT_OK) {
        change.point_count = points.count;
        kt_generic_encode(&change, points.items, ret_change);
        kt_str_copy(ret_id, KT_GENERIC_ID_MAX + 1, change.id);
        status = kt_buf_status(ret_change);
        if (status != KT_OK) {
            status = kt_fail(err, status, "no room for a save");
        }
    }
    points_done(&points);
    kt_json_free(&json);
    return status;
}

/* --- search --- */

static enum kt_status parse_table(struct kt_json_fields *fields, int *ret_table,
                                  struct kt_error *err)
{
    const struct kt_json_value *value = kt_json_get(fields, "tableId", true);
    bool good = !value;
    if (value && kt_json_type(value) == KT_JSON_STRING) {
        good = kt_generic_table_parse(kt_json_string(value), ret_table);
    } else if (value && kt_json_type(value) == KT_JSON_NUMBER) {
        double number = kt_json_number(value);
        good = number == 1 || number == 2 || number == 3;
        *ret_table = good ? (int)number : 0;
    }
    return good ? KT_OK
                : kt_fail_field(err, KT_BAD_VALUE, "tableId",
                                "tableId must be 1 (stock_data), 2 (financial_data) or 3 "
                                "(indicator_data)");
}

/* id, ids or prefix: at most one of them. */
static enum kt_status parse_which(struct kt_json_fields *fields, int64_t max_ids,
                                  struct kt_arena *arena, struct kt_generic_query *query,
                                  struct kt_error *err)
{
    bool has_id = false, has_ids = false, has_prefix = false;
    struct kt_str *ids = NULL, id = {NULL, 0};
    enum kt_status status = kt_json_get_string(fields, "id", &id, &has_id, err);
    if (status == KT_OK && has_id && !kt_generic_id_ok(id)) {
        status = bad_id(err);
    }
    if (status == KT_OK) {
        status = kt_field_list(fields, "ids", (size_t)max_ids, arena, &ids, &query->id_count,
                               &has_ids, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_string(fields, "prefix", &query->prefix, &has_prefix, err);
    }
    if (status != KT_OK) {
        return status;
    }
    has_ids = has_ids && query->id_count > 0; /* an empty list counts as absent */
    has_prefix = has_prefix && query->prefix.len > 0;
    if (has_prefix && !kt_utf8_is_name(query->prefix, 1, 128)) {
        return kt_fail_field(err, KT_BAD_VALUE, "prefix",
                             "prefix must be 1 to 128 bytes without control characters");
    }
    if (has_id + has_ids + has_prefix > 1) {
        return kt_fail_field(err, KT_BAD_VALUE, has_prefix ? "prefix" : "ids",
                             "only one of id, ids and prefix can be given");
    }
    if (has_id) {
        ids = kt_arena_zalloc(arena, 1, sizeof(*ids));
        if (!ids) {
            return kt_fail(err, KT_NO_MEMORY, "out of memory for a search");
        }
        *ids = id;
        query->id_count = 1;
    }
    query->ids = has_id || has_ids ? ids : NULL;
    return KT_OK;
}

static enum kt_status parse_search(struct kt_json_fields *fields, int64_t max_ids,
                                   struct kt_arena *arena, struct kt_generic_query *query,
                                   struct kt_error *err)
{
    bool has_from = false, has_to = false;
    int64_t offset = 0, limit = 0;
    enum kt_status status = parse_table(fields, &query->table, err);
    if (status == KT_OK) {
        status = parse_which(fields, max_ids, arena, query, err);
    }
    if (status == KT_OK) {
        status = kt_field_time(fields, "from", KT_TIME_LOWER, &query->from_s, &has_from, err);
    }
    if (status == KT_OK) {
        status = kt_field_time(fields, "to", KT_TIME_UPPER, &query->to_s, &has_to, err);
    }
    if (status == KT_OK && query->from_s > query->to_s) {
        status = kt_fail_field(err, KT_BAD_VALUE, "from", "from must not be after to");
    }
    if (status == KT_OK) {
        status = kt_json_get_int(fields, "offset", 0, KT_GENERIC_OFFSET_MAX, &offset, NULL, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_int(fields, "limit", 0, KT_GENERIC_LIMIT_MAX, &limit, NULL, err);
    }
    query->bounded = has_from || has_to;
    query->offset = (uint64_t)offset;
    query->limit = limit ? (uint64_t)limit : KT_GENERIC_LIMIT_DEFAULT;
    return status == KT_OK ? kt_json_fields_finish(fields, err) : status;
}

enum kt_status kt_generic_search_parse(struct kt_str body, int json_depth, int64_t max_ids,
                                       struct kt_arena *arena, struct kt_json **ret_json,
                                       struct kt_generic_query *ret_query, struct kt_error *err)
{
    struct kt_json *json = NULL;
    struct kt_json_fields fields;
    struct kt_generic_query query = {
        .from_s = KT_TIME_MIN, .to_s = KT_TIME_MAX, .prefix = KT_STR("")};
    if (kt_str_trim(body).len == 0) {
        body = KT_STR("{}");
    }
    enum kt_status status = kt_json_parse(body, json_depth, &json, err);
    if (status == KT_OK) {
        status = kt_json_fields_init(&fields, kt_json_root(json), "", err);
    }
    if (status == KT_OK) {
        status = parse_search(&fields, max_ids, arena, &query, err);
    }
    if (status != KT_OK) {
        kt_json_free(&json);
        return status;
    }
    *ret_json = json;
    *ret_query = query;
    return KT_OK;
}

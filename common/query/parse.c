/* SPDX-License-Identifier: MIT */
/* parse.c - a body into a question. Every member that the contract names is looked at, so that
 * what remains is unknown.
 */
#include "query/query_impl.h"

#include <stdlib.h>

#define OFFSET_MAX (INT64_C(1) << 53) /* whole numbers a double can tell apart */

static enum kt_status parse_list(struct kt_json_fields *fields, const char *name, size_t min_bytes,
                                 const struct kt_query_limits *limits, struct kt_arena *arena,
                                 struct kt_str **ret_items, size_t *ret_count, struct kt_error *err)
{
    return query_list(fields, name, min_bytes, (size_t)limits->max_subjects, arena, ret_items,
                      ret_count, NULL, err);
}

static int compare_str(const void *a, const void *b)
{
    return kt_str_cmp(*(const struct kt_str *)a, *(const struct kt_str *)b);
}

static enum kt_status parse_lists(struct kt_json_fields *fields,
                                  const struct kt_query_limits *limits, struct kt_arena *arena,
                                  struct question *q, struct kt_error *err)
{
    enum kt_status status = parse_list(fields, "ids", 1, limits, arena, &q->ids, &q->id_count, err);
    if (status == KT_OK) {
        status =
            parse_list(fields, "subjects", 1, limits, arena, &q->subjects, &q->subject_count, err);
    }
    if (status == KT_OK) {
        status =
            parse_list(fields, "periods", 0, limits, arena, &q->periods, &q->period_count, err);
    }
    if (status == KT_OK && q->period_count) {
        qsort(q->periods, q->period_count, sizeof *q->periods, compare_str);
    }
    return status;
}

/* A string that must be a name when it is there. */
static enum kt_status parse_name(struct kt_json_fields *fields, const char *name,
                                 struct kt_str *ret_value, struct kt_error *err)
{
    struct kt_str value;
    bool present = false;
    enum kt_status status = kt_json_get_string(fields, name, &value, &present, err);
    if (status != KT_OK || !present) {
        return status;
    }
    if (!kt_utf8_is_name(value, 1, KT_QUERY_NAME_MAX)) {
        return kt_fail_field(err, KT_BAD_VALUE, name,
                             "%s must be 1 to 128 bytes of UTF-8 without control characters", name);
    }
    *ret_value = value;
    return KT_OK;
}

static enum kt_status parse_order(struct kt_json_fields *fields, bool *ret_ascending,
                                  struct kt_error *err)
{
    const struct kt_json_value *value = kt_json_get(fields, "order", true);
    if (!value) {
        return KT_OK;
    }
    if (kt_json_type(value) == KT_JSON_NUMBER) {
        double number = kt_json_number(value);
        if (number == 1.0 || number == -1.0) {
            *ret_ascending = number > 0;
            return KT_OK;
        }
    } else if (kt_json_type(value) == KT_JSON_STRING) {
        struct kt_str text = kt_json_string(value);
        if (kt_str_eq_text(text, "1") || kt_str_eq_text(text, "asc")) {
            *ret_ascending = true;
            return KT_OK;
        }
        if (kt_str_eq_text(text, "-1") || kt_str_eq_text(text, "desc")) {
            *ret_ascending = false;
            return KT_OK;
        }
    }
    return kt_fail_field(err, KT_BAD_VALUE, "order",
                         "order must be -1, 1, \"-1\", \"1\", \"desc\" or \"asc\"");
}

static enum kt_status parse_paging(struct kt_json_fields *fields, struct question *q,
                                   struct kt_error *err)
{
    enum kt_status status = parse_order(fields, &q->ascending, err);
    if (status == KT_OK) {
        status =
            kt_json_get_int(fields, "offset", 0, OFFSET_MAX, &q->offset, &q->offset_given, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_int(fields, "limit", 0, KT_QUERY_LIMIT_MAX, &q->limit, NULL, err);
    }
    if (status == KT_OK && q->limit == 0 && q->op == QUERY_SNAPSHOT) {
        q->limit = 10;
    }
    return status;
}

static enum kt_status fail_recorded(struct kt_error *err)
{
    return kt_fail_field(err, KT_BAD_VALUE, "recorded_by",
                         "recorded_by must be a revision, \"YYYY-MM-DD\" or \"@SECONDS\"");
}

static enum kt_status recorded_of_text(struct kt_str text, struct question *q, struct kt_error *err)
{
    int64_t time_s;
    uint64_t revision;
    if (kt_parse_u64(text, &revision)) {
        q->recorded = revision ? RECORDED_REVISION : RECORDED_NEWEST;
        q->recorded_revision = revision;
        return KT_OK;
    }
    if (text.len > 1 && text.data[0] == '@') {
        if (!kt_parse_i64(kt_str_n(text.data + 1, text.len - 1), &time_s) || time_s < KT_TIME_MIN ||
            time_s > KT_TIME_MAX) {
            return fail_recorded(err);
        }
    } else if (kt_parse_date(text, &time_s)) {
        time_s += KT_DAY_S - 1;
    } else {
        return fail_recorded(err);
    }
    q->recorded = RECORDED_TIME;
    q->recorded_wall_ms = time_s * 1000 + 999;
    return KT_OK;
}

static enum kt_status parse_recorded(struct kt_json_fields *fields, struct question *q,
                                     struct kt_error *err)
{
    const struct kt_json_value *value = kt_json_get(fields, "recorded_by", true);
    if (!value) {
        return KT_OK;
    }
    if (kt_json_type(value) == KT_JSON_STRING) {
        return recorded_of_text(kt_json_string(value), q, err);
    }
    if (kt_json_type(value) != KT_JSON_NUMBER) {
        return fail_recorded(err);
    }
    int64_t revision = 0;
    enum kt_status status =
        kt_json_get_int(fields, "recorded_by", 0, OFFSET_MAX, &revision, NULL, err);
    if (status == KT_OK) {
        q->recorded = revision ? RECORDED_REVISION : RECORDED_NEWEST;
        q->recorded_revision = (uint64_t)revision;
    }
    return status;
}

static enum kt_status parse_times(struct kt_json_fields *fields, struct question *q,
                                  struct kt_error *err)
{
    enum kt_status status = KT_OK;
    if (q->op == QUERY_SNAPSHOT) {
        status =
            kt_field_time(fields, "timestamp", KT_TIME_UPPER, &q->to_s, &q->timestamp_given, err);
    } else {
        status = kt_field_time(fields, "from", KT_TIME_LOWER, &q->from_s, NULL, err);
        if (status == KT_OK) {
            status = kt_field_time(fields, "to", KT_TIME_UPPER, &q->to_s, NULL, err);
        }
        if (status == KT_OK && q->from_s > q->to_s) {
            status = kt_fail_field(err, KT_BAD_VALUE, "from", "from must not be after to");
        }
    }
    if (status == KT_OK) {
        status = kt_field_time(fields, "as_of", KT_TIME_UPPER, &q->as_of_s, NULL, err);
    }
    return status == KT_OK ? parse_recorded(fields, q, err) : status;
}

static enum kt_status check_subjects(const struct question *q, struct kt_error *err)
{
    if (q->selects) {
        return KT_OK;
    }
    if (q->subject_count && q->topic.len) {
        return kt_fail_field(err, KT_BAD_VALUE, "topic", "topic can't be given with subjects");
    }
    if (q->op == QUERY_PERIOD && !q->subject_count && !q->topic.len) {
        return kt_fail_field(err, KT_BAD_VALUE, "subjects", "subjects or topic must be given");
    }
    return KT_OK;
}

static enum kt_status parse_fields(struct kt_json_fields *fields,
                                   const struct kt_query_limits *limits, struct kt_arena *arena,
                                   struct question *q, struct kt_error *err)
{
    struct kt_str method; /* accepted, unused */
    enum kt_status status = parse_lists(fields, limits, arena, q, err);
    if (status == KT_OK) {
        status = parse_name(fields, "topic", &q->topic, err);
    }
    if (status == KT_OK && q->selects) {
        status = query_parse_selection(fields, arena, q, err);
    }
    if (status == KT_OK && (q->op == QUERY_SNAPSHOT || q->selects)) {
        status = parse_name(fields, "field", &q->field, err);
    }
    if (status == KT_OK) {
        status = parse_paging(fields, q, err);
    }
    if (status == KT_OK) {
        status = parse_times(fields, q, err);
    }
    if (status == KT_OK && q->op == QUERY_SNAPSHOT) {
        status = query_parse_fill(fields, q, err);
    }
    if (status == KT_OK && q->op == QUERY_SNAPSHOT) {
        status = query_parse_cursor(fields, q, err);
    }
    if (status == KT_OK && q->op == QUERY_PERIOD) {
        status = query_parse_interval(fields, q, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_string(fields, "method", &method, NULL, err);
    }
    if (status == KT_OK) {
        status = kt_json_fields_finish(fields, err);
    }
    return status == KT_OK ? check_subjects(q, err) : status;
}

enum kt_status query_parse_value(enum query_op op, const struct kt_json_value *value,
                                 const struct kt_query_limits *limits, struct kt_arena *arena,
                                 struct question *ret_question, struct kt_error *err)
{
    struct kt_json_fields fields;
    bool selects = op == QUERY_SELECTION_SNAPSHOT || op == QUERY_SELECTION_PERIOD;
    struct question q = {.op = op == QUERY_SELECTION_SNAPSHOT ? QUERY_SNAPSHOT
                               : op == QUERY_SELECTION_PERIOD ? QUERY_PERIOD
                                                              : op,
                         .selects = selects,
                         .from_s = KT_TIME_MIN,
                         .to_s = KT_TIME_MAX,
                         .as_of_s = KT_TIME_MAX};
    enum kt_status status = kt_json_fields_init(&fields, value, "", err);
    if (status == KT_OK) {
        status = parse_fields(&fields, limits, arena, &q, err);
    }
    if (status == KT_OK) {
        *ret_question = q;
    }
    return status;
}

enum kt_status query_parse(enum query_op op, struct kt_str body,
                           const struct kt_query_limits *limits, struct kt_arena *arena,
                           struct kt_json **ret_json, struct question *ret_question,
                           struct kt_error *err)
{
    struct kt_json *json = NULL;
    if (kt_str_trim(body).len == 0) {
        body = KT_STR("{}");
    }
    enum kt_status status = kt_json_parse(body, limits->json_depth, &json, err);
    if (status == KT_OK) {
        status = query_parse_value(op, kt_json_root(json), limits, arena, ret_question, err);
    }
    if (status != KT_OK) {
        kt_json_free(&json);
        return status;
    }
    *ret_json = json;
    return KT_OK;
}

/* SPDX-License-Identifier: MIT */
/* rows.c - what both answers have in common: the subject's object, the values, the dates.
 *
 * Rows are most of an answer. They go straight into the body: names of members as they stand in
 * the text, with their punctuation, and the keys of indicators escaped once a request.
 */
#include "query/query_impl.h"

#include <stdlib.h>
#include <string.h>

static int compare_u32(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

void query_pick_columns(struct plan *plan, const struct kt_series *series)
{
    if (!plan->all_ids) {
        if (plan->picked_count < plan->column_count) {
            for (size_t i = 0; i < plan->column_count; i++) {
                plan->picked[i] = (uint32_t)i;
            }
            plan->picked_count = plan->column_count;
        }
        return;
    }
    size_t count = 0;
    const uint32_t *numbers = kt_series_indicators(series, &count);
    plan->picked_count = 0;
    for (size_t i = 0; i < count; i++) {
        /* The series may have been loaded after the view: indicators that came since are not in
         * it. */
        uint32_t rank = numbers[i] < plan->rank_limit ? plan->rank[numbers[i]] : UINT32_MAX;
        if (rank != UINT32_MAX) {
            plan->picked[plan->picked_count++] = rank;
        }
    }
    if (plan->picked_count > 1) {
        qsort(plan->picked, plan->picked_count, sizeof(*plan->picked), compare_u32);
    }
}

static enum kt_status make_prefix(struct plan *plan, struct column *column, struct kt_error *err)
{
    struct kt_jw jw;
    kt_buf_clear(&plan->scratch);
    kt_jw_init(&jw, &plan->scratch);
    kt_jw_object(&jw);
    kt_jw_key(&jw, kt_catalogue_indicator(plan->view, column->number));
    if (kt_buf_status(&plan->scratch) == KT_OK) {
        plan->scratch.data[0] = ','; /* was the brace */
        column->prefix = kt_arena_dup(plan->arena, kt_buf_str(&plan->scratch));
    }
    return column->prefix.data ? KT_OK : kt_fail(err, KT_NO_MEMORY, "no memory for the answer");
}

bool query_value(const struct plan *plan, const struct kt_series *series, size_t index,
                 uint32_t indicator, double *ret_value)
{
    return plan->q.fill ? query_filled_value(plan, series, index, indicator, ret_value)
                        : kt_series_value(series, index, indicator, &plan->bounds, ret_value);
}

enum kt_status query_write_value(struct plan *plan, struct column *column, double value, bool first,
                                 struct kt_buf *body, struct kt_error *err)
{
    if (!column->prefix.data) {
        enum kt_status status = make_prefix(plan, column, err);
        if (status != KT_OK) {
            return status;
        }
    }
    kt_buf_append(body, column->prefix.data + first, column->prefix.len - first);
    kt_buf_append_f64(body, value);
    plan->values++;
    return KT_OK;
}

enum kt_status query_values_status(const struct plan *plan, const struct kt_buf *body,
                                   struct kt_error *err)
{
    if (plan->values > plan->env->limits.max_values) {
        return kt_fail(err, KT_TOO_LARGE, "the answer has more than %lld values; ask for less",
                       (long long)plan->env->limits.max_values);
    }
    return query_body_status(body, err);
}

enum kt_status query_write_values(struct plan *plan, const struct kt_series *series, size_t index,
                                  bool first, struct kt_buf *body, struct kt_error *err)
{
    for (size_t i = 0; i < plan->picked_count; i++) {
        struct column *column = &plan->columns[plan->picked[i]];
        double value;
        if (!query_value(plan, series, index, column->number, &value)) {
            continue;
        }
        enum kt_status status = query_write_value(plan, column, value, first, body, err);
        if (status != KT_OK) {
            return status;
        }
        first = false;
    }
    return query_values_status(plan, body, err);
}

struct kt_str query_shown_name(const struct kt_subject *subject)
{
    return subject->name.len ? subject->name : subject->key;
}

void query_append_member(struct kt_buf *body, struct kt_str before, struct kt_str text)
{
    kt_buf_append_str(body, before);
    kt_json_append_string(body, text);
}

void query_append_date(struct kt_buf *body, struct kt_str before, int64_t time_s)
{
    size_t len = before.len + 12;
    if (kt_buf_reserve(body, len)) {
        char *dest = body->data + body->len_bytes;
        memcpy(dest, before.data, before.len);
        dest[before.len] = '"';
        kt_format_date(time_s, dest + before.len + 1);
        dest[len - 1] = '"';
        kt_buf_advance(body, len);
    }
}

/* Inline, so that what has a constant length is copied without a call. */
static inline char *put(char *dest, struct kt_str text)
{
    if (text.len) {
        memcpy(dest, text.data, text.len);
    }
    return dest + text.len;
}

/* As below, of texts known to stand as they are: one look for room. */
static void append_plain_subject(struct kt_buf *body, const struct kt_subject *subject)
{
    static const char frame[] = "{\"subject\":\"\",\"name\":\"\",\"status\":\"\","
                                "\"listing_date\":\"\",\"category\":\"\"}";
    struct kt_str name = query_shown_name(subject);
    size_t len = sizeof(frame) - 1 + subject->key.len + name.len + subject->status.len +
                 subject->listing_date.len + subject->category.len;
    if (kt_buf_reserve(body, len)) {
        char *begin = body->data + body->len_bytes;
        char *dest = put(put(begin, KT_STR("{\"subject\":\"")), subject->key);
        dest = put(put(dest, KT_STR("\",\"name\":\"")), name);
        dest = put(put(dest, KT_STR("\",\"status\":\"")), subject->status);
        dest = put(put(dest, KT_STR("\",\"listing_date\":\"")), subject->listing_date);
        dest = put(put(dest, KT_STR("\",\"category\":\"")), subject->category);
        dest = put(dest, KT_STR("\"}"));
        KT_ASSERT(dest == begin + len);
        kt_buf_advance(body, len);
    }
}

void query_append_subject(struct kt_buf *body, const struct kt_subject *subject)
{
    if (subject->plain) {
        append_plain_subject(body, subject);
        return;
    }
    query_append_member(body, KT_STR("{\"subject\":"), subject->key);
    query_append_member(body, KT_STR(",\"name\":"), query_shown_name(subject));
    query_append_member(body, KT_STR(",\"status\":"), subject->status);
    query_append_member(body, KT_STR(",\"listing_date\":"), subject->listing_date);
    query_append_member(body, KT_STR(",\"category\":"), subject->category);
    kt_buf_append_byte(body, '}');
}

struct kt_str query_end_date(const struct kt_record *record, char dest[11])
{
    if (record->end_date.named == KT_NAMED) {
        return record->end_date.text;
    }
    kt_format_date(record->time_s, dest);
    return kt_str_n(dest, 10);
}

struct kt_str query_year(const struct kt_record *record, char dest[11])
{
    if (record->year.named == KT_NAMED) {
        return record->year.text;
    }
    kt_format_date(record->time_s, dest);
    return kt_str_n(dest, 4);
}

struct kt_str query_declare_date(const struct kt_record *record, char dest[11])
{
    if (!record->declare_given) {
        return kt_str("");
    }
    kt_format_date(record->declare_s, dest);
    return kt_str_n(dest, 10);
}

enum kt_status query_body_status(const struct kt_buf *body, struct kt_error *err)
{
    enum kt_status status = kt_buf_status(body);
    if (status == KT_TOO_LARGE) {
        return kt_fail(err, status, "the answer is larger than %zu bytes; ask for less",
                       body->max_bytes);
    }
    if (status == KT_BUSY) {
        return kt_fail(err, status, "too many large answers are under way at once");
    }
    return status == KT_OK ? KT_OK : kt_fail(err, status, "no memory for the answer");
}

void query_body_restore(struct kt_buf *body, size_t len_bytes)
{
    body->len_bytes = len_bytes;
    body->failed = KT_OK;
    if (body->data) {
        body->data[len_bytes] = '\0';
    }
}

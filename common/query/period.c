/* SPDX-License-Identifier: MIT */
/* period.c - the records of each subject between two times, newest or oldest first.
 *
 * Records stand in order in the series already, so a page is a walk from one end; nothing is
 * collected before it is written.
 */
#include "http/envelope.h"
#include "query/query_impl.h"

static enum kt_status write_row(struct plan *plan, const struct kt_subject *subject,
                                const struct kt_series *series, size_t index,
                                const struct kt_record *record, struct kt_buf *body,
                                struct kt_error *err)
{
    char date[11], year[11];
    struct kt_jw jw;
    struct kt_str shown_year = query_year(record, year);
    kt_jw_init(&jw, body);
    kt_jw_object(&jw);
    kt_jw_kv_str(&jw, "end_date", query_end_date(record, date));
    kt_jw_kv_str(&jw, "period", record->period);
    kt_jw_kv_str(&jw, "declare_date", query_declare_date(record, date));
    kt_jw_kv_str(&jw, "year", shown_year);
    enum kt_status status = query_write_values(plan, series, index, false, body, err);
    if (status != KT_OK) {
        return status;
    }
    kt_buf_clear(&plan->scratch);
    kt_buf_append_str(&plan->scratch, subject->key);
    kt_buf_append_byte(&plan->scratch, ':');
    kt_buf_append_str(&plan->scratch, shown_year);
    kt_buf_append_byte(&plan->scratch, '_');
    kt_buf_append_str(&plan->scratch, record->period);
    if (kt_buf_status(&plan->scratch) != KT_OK) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for the answer");
    }
    kt_jw_kv_str(&jw, "combine", kt_buf_str(&plan->scratch));
    kt_jw_object_end(&jw);
    return KT_OK;
}

static enum kt_status write_rows(struct plan *plan, const struct kt_subject *subject,
                                 const struct kt_series *series, struct kt_buf *body,
                                 struct kt_error *err)
{
    const struct question *q = &plan->q;
    size_t begin, end;
    int64_t seen = 0, written = 0;
    query_pick_columns(plan, series);
    kt_series_range(series, q->from_s, q->to_s, &begin, &end);
    for (size_t n = begin; n < end && (q->limit == 0 || written < q->limit); n++) {
        size_t index = q->ascending ? n : end - 1 - (n - begin);
        struct kt_record record;
        enum kt_status status = query_tick(plan, err);
        if (status != KT_OK) {
            return status;
        }
        if (!kt_series_exists(series, index, &plan->bounds)) {
            continue;
        }
        kt_series_record(series, index, &plan->bounds, &record);
        if (!query_wants_period(q, record.period) || seen++ < q->offset) {
            continue;
        }
        if (written++ > 0) {
            kt_buf_append_byte(body, ',');
        }
        status = write_row(plan, subject, series, index, &record, body, err);
        if (status != KT_OK) {
            return status;
        }
    }
    return KT_OK;
}

static enum kt_status write_one(struct plan *plan, const struct kt_subject *subject,
                                struct kt_buf *body, struct kt_error *err)
{
    struct kt_jw jw;
    struct kt_series *series = NULL;
    enum kt_status status = query_tick(plan, err);
    if (status == KT_OK) {
        status = kt_series_cache_get(plan->env->cache, subject, &series, err);
    }
    if (status != KT_OK) {
        return status;
    }
    kt_jw_init(&jw, body);
    kt_jw_object(&jw);
    kt_jw_key_text(&jw, "subject");
    query_write_subject(&jw, subject);
    kt_jw_key_text(&jw, "data");
    kt_jw_array(&jw);
    status = write_rows(plan, subject, series, body, err);
    kt_series_unref(&series);
    if (status == KT_OK) {
        kt_jw_array_end(&jw);
        kt_jw_object_end(&jw);
        status = query_body_status(body, err);
    }
    return status;
}

enum kt_status query_run_period(struct plan *plan, struct kt_http_response *response,
                                struct kt_error *err)
{
    struct kt_jw jw;
    struct kt_buf *body = &response->body;
    kt_envelope_begin(response, &jw);
    kt_jw_array(&jw);
    for (size_t i = 0; i < plan->subject_count; i++) {
        if (i > 0) {
            kt_buf_append_byte(body, ',');
        }
        enum kt_status status = write_one(plan, plan->subjects[i], body, err);
        if (status != KT_OK) {
            return status;
        }
    }
    kt_jw_array_end(&jw);
    kt_envelope_end(&jw);
    return query_body_status(body, err);
}

enum kt_status kt_query_period(const struct kt_query_env *env, struct kt_str body,
                               struct kt_http_response *response, struct kt_error *err)
{
    return query_answer(env, QUERY_PERIOD, body, query_run_period, response, err);
}

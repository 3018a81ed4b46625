/* SPDX-License-Identifier: MIT */
/* period.c - the rows of each subject between two times, newest or oldest first.
 *
 * A page is a walk from one end; nothing is collected before it is written.
 */
#include "http/envelope.h"
#include "query/query_impl.h"

static enum kt_status write_rows(struct plan *plan, const struct kt_subject *subject,
                                 const struct kt_series *series, struct kt_buf *body,
                                 struct kt_error *err)
{
    const struct question *q = &plan->q;
    int64_t seen = 0, written = 0;
    struct row_walk walk;
    struct period_row row;
    query_pick_columns(plan, series);
    query_walk_init(plan, series, q->ascending, &walk);
    while (q->limit == 0 || written < q->limit) {
        bool found = false;
        enum kt_status status = query_walk_next(plan, &walk, &row, &found, err);
        if (status != KT_OK || !found) {
            return status;
        }
        if (seen++ < q->offset) {
            continue;
        }
        if (written++ > 0) {
            kt_buf_append_byte(body, ',');
        }
        status = query_write_row(plan, subject, series, &row, body, err);
        if (status != KT_OK) {
            return status;
        }
    }
    return KT_OK;
}

static enum kt_status write_one(struct plan *plan, const struct kt_subject *subject,
                                struct kt_buf *body, struct kt_error *err)
{
    struct kt_series *series = NULL;
    enum kt_status status = query_series(plan, subject, &series, err);
    if (status != KT_OK) {
        return status;
    }
    kt_buf_append_str(body, KT_STR("{\"subject\":"));
    query_append_subject(body, subject);
    kt_buf_append_str(body, KT_STR(",\"data\":["));
    status = write_rows(plan, subject, series, body, err);
    kt_series_unref(&series);
    if (status == KT_OK) {
        kt_buf_append_str(body, KT_STR("]}"));
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

/* SPDX-License-Identifier: MIT */
/* fill.c - values from older records, and how old a record may be.
 *
 * Both are about the records of one subject up to the question's moment. Under fill = previous the
 * row still is the newest record's; each value comes from the newest of the wanted records that has
 * one. max_age is a bound from below on the time of every record, so that a subject whose newest
 * record is too old has no row at all, filled or not.
 */
#include "query/query_impl.h"

#define MAX_AGE_MAX (INT64_C(1) << 53) /* beyond all of time, and far from an overflow */

enum kt_status query_parse_fill(struct kt_json_fields *fields, struct question *q,
                                struct kt_error *err)
{
    const struct kt_json_value *value = kt_json_get(fields, "fill", true);
    bool is_text = value && kt_json_type(value) == KT_JSON_STRING;
    q->fill = is_text && kt_str_eq_text(kt_json_string(value), "previous");
    if (value && !q->fill && !(is_text && kt_str_eq_text(kt_json_string(value), "none"))) {
        return kt_fail_field(err, KT_BAD_VALUE, "fill", "fill must be \"none\" or \"previous\"");
    }
    q->max_age_s = -1;
    return kt_json_get_int(fields, "max_age", 0, MAX_AGE_MAX, &q->max_age_s, NULL, err);
}

void query_bind_age(struct plan *plan)
{
    const struct question *q = &plan->q;
    plan->oldest_s = KT_TIME_MIN;
    if (q->op == QUERY_SNAPSHOT && q->max_age_s >= 0) {
        plan->oldest_s = (q->timestamp_given ? q->to_s : plan->now_s) - q->max_age_s;
    }
}

bool query_filled_value(const struct plan *plan, const struct kt_series *series, size_t newest,
                        uint32_t indicator, double *ret_value)
{
    size_t low = 0, end;
    double value;
    if (plan->oldest_s > KT_TIME_MIN) {
        kt_series_range(series, plan->oldest_s, KT_TIME_MAX, &low, &end);
    }
    ptrdiff_t index = (ptrdiff_t)newest + 1;
    do {
        index = kt_series_value_back(series, low, (size_t)index, indicator, &plan->bounds, &value);
    } while (index >= 0 && plan->q.period_count &&
             !query_wants_period(&plan->q, kt_series_period(series, (size_t)index)));
    if (index < 0) {
        return false;
    }
    *ret_value = value;
    return true;
}

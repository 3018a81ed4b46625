/* SPDX-License-Identifier: MIT */
/* plan.c - a question bound to one view: which revision, which subjects, which indicators.
 *
 * recorded_by comes first: the node must hold everything the bound speaks of before the view is
 * taken, so that the same question gets the same answer from then on.
 */
#include "query/query_impl.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* Scratch of one request: lists of its body, and some 50 bytes for each subject. */
#define ARENA_FIRST_BYTES 8192
#define ARENA_MAX_BYTES ((size_t)256 << 20)
#define TICKS_PER_LOOK 256
#define PERIODS_BY_SERIES 8 /* up to so many a linear search in the series is quickest */

static enum kt_status fail_memory(struct kt_error *err)
{
    return kt_fail(err, KT_NO_MEMORY, "no memory for the query");
}

static enum kt_status fail_beyond(uint64_t revision, uint64_t newest, struct kt_error *err)
{
    return kt_fail_field(err, KT_BAD_VALUE, "recorded_by",
                         "recorded_by %llu is beyond the newest revision %llu",
                         (unsigned long long)revision, (unsigned long long)newest);
}

/* Does this view certainly have all that the bound speaks of? Stamps never run backwards, but
 * neighbours may share one; and while a history is brought in from elsewhere, the next revision may
 * be of long ago. */
static bool view_holds(const struct kt_catalogue *view, const struct question *q)
{
    if (q->recorded == RECORDED_REVISION) {
        return q->recorded_revision <= kt_catalogue_revision(view);
    }
    return kt_catalogue_stamps_certain(view) && kt_catalogue_wall_ms(view) > q->recorded_wall_ms;
}

/* The moment up to which the node must hold everything. */
static int64_t held_wall_ms(const struct plan *plan)
{
    int64_t wall_ms = plan->q.recorded_wall_ms, now_ms = plan->env->now_wall_ms;
    return kt_catalogue_stamps_certain(plan->view) || wall_ms > now_ms ? wall_ms : now_ms;
}

/* Waits until the node holds the bound; the plan's view is then a newer one. */
static enum kt_status hold(struct plan *plan, struct kt_error *err)
{
    const struct kt_query_env *env = plan->env;
    const struct question *q = &plan->q;
    bool by_revision = q->recorded == RECORDED_REVISION;
    if (q->recorded == RECORDED_NEWEST || view_holds(plan->view, q)) {
        return KT_OK;
    }
    if (by_revision && (!env->hold || q->recorded_revision > KT_REVISION_MAX)) {
        return fail_beyond(q->recorded_revision, kt_catalogue_revision(plan->view), err);
    }
    if (!env->hold) {
        return KT_OK;
    }
    enum kt_status status =
        env->hold(env->hold_ctx, by_revision ? q->recorded_revision : 0,
                  by_revision ? 0 : held_wall_ms(plan), env->deadline_mono_ms, err);
    if (status == KT_BAD_VALUE && err) {
        return kt_fail_field(err, status, "recorded_by", "%s", err->message);
    }
    if (status != KT_OK) {
        return status;
    }
    kt_catalogue_unref(&plan->view);
    plan->view = kt_store_view(env->store);
    if (by_revision && !view_holds(plan->view, q)) {
        return kt_fail(err, KT_UNAVAILABLE, "revision %llu is not applied here yet",
                       (unsigned long long)q->recorded_revision);
    }
    return KT_OK;
}

enum kt_status query_plan_wait(struct plan *plan, struct kt_error *err)
{
    plan->view = kt_store_view(plan->env->store);
    enum kt_status status = hold(plan, err);
    return status == KT_OK ? query_hold_place(plan, err) : status;
}

static enum kt_status bind_revision(struct plan *plan, struct kt_error *err)
{
    const struct question *q = &plan->q;
    enum kt_status status = KT_OK;
    uint64_t revision = kt_catalogue_revision(plan->view), resolved = revision;
    if (q->recorded == RECORDED_REVISION) {
        resolved = q->recorded_revision;
    } else if (q->recorded == RECORDED_TIME) {
        status = kt_store_revision_at(plan->env->store, q->recorded_wall_ms, &resolved, err);
        if (status != KT_OK) {
            return status;
        }
    }
    plan->bounds.revision = resolved < revision ? resolved : revision;
    plan->bounds.as_of_s = q->as_of_s;
    return KT_OK;
}

static enum kt_status alloc_subjects(struct plan *plan, size_t count, struct kt_error *err)
{
    plan->subjects = kt_arena_zalloc(plan->arena, count, sizeof(void *));
    return plan->subjects ? KT_OK : fail_memory(err);
}

/* The subjects named, each once, in the order asked. */
static enum kt_status bind_named(struct plan *plan, struct kt_error *err)
{
    const struct question *q = &plan->q;
    unsigned char *seen = kt_arena_zalloc(plan->arena, kt_catalogue_subject_limit(plan->view), 1);
    if (!seen || alloc_subjects(plan, q->subject_count, err) != KT_OK) {
        return fail_memory(err);
    }
    for (size_t i = 0; i < q->subject_count; i++) {
        const struct kt_subject *subject = kt_catalogue_find_subject(plan->view, q->subjects[i]);
        if (subject && !seen[subject->number]) {
            seen[subject->number] = 1;
            plan->subjects[plan->subject_count++] = subject;
        }
    }
    return KT_OK;
}

/* Floor, so that it is also right before 1970. */
static int64_t seconds_of_ms(int64_t ms)
{
    return ms / 1000 - (ms % 1000 < 0);
}

static enum kt_status bind_topic(struct plan *plan, struct kt_error *err)
{
    const struct question *q = &plan->q;
    const struct kt_topic *topic = kt_catalogue_find_topic(plan->view, q->topic);
    int64_t from_s = q->from_s, to_s = q->to_s;
    if (q->op == QUERY_SNAPSHOT) {
        from_s = to_s = q->timestamp_given ? q->to_s : plan->now_s;
    }
    if (!topic) {
        return KT_OK;
    }
    if (alloc_subjects(plan, topic->member_count, err) != KT_OK) {
        return KT_NO_MEMORY;
    }
    for (size_t i = 0; i < topic->member_count; i++) {
        const struct kt_subject *subject = kt_catalogue_subject(plan->view, topic->members[i]);
        if (subject && kt_subject_in_topic(subject, topic->number, from_s, to_s)) {
            plan->subjects[plan->subject_count++] = subject;
        }
    }
    return KT_OK;
}

static enum kt_status bind_all_subjects(struct plan *plan, struct kt_error *err)
{
    uint32_t limit = kt_catalogue_subject_limit(plan->view);
    if (alloc_subjects(plan, limit, err) != KT_OK) {
        return KT_NO_MEMORY;
    }
    for (uint32_t i = 0; i < limit; i++) {
        const struct kt_subject *subject = kt_catalogue_subject(plan->view, i);
        if (subject) {
            plan->subjects[plan->subject_count++] = subject;
        }
    }
    return KT_OK;
}

static int compare_subjects(const void *a, const void *b)
{
    const struct kt_subject *left = *(const struct kt_subject *const *)a;
    const struct kt_subject *right = *(const struct kt_subject *const *)b;
    return kt_str_cmp(left->key, right->key);
}

static void keep_tagged(struct plan *plan)
{
    size_t kept = 0;
    for (size_t i = 0; i < plan->subject_count; i++) {
        if (query_has_tag(&plan->q, plan->subjects[i])) {
            plan->subjects[kept++] = plan->subjects[i];
        }
    }
    plan->subject_count = kept;
}

static enum kt_status bind_subjects(struct plan *plan, struct kt_error *err)
{
    const struct question *q = &plan->q;
    if (q->subject_count) {
        return bind_named(plan, err);
    }
    enum kt_status status = q->topic.len && !kt_str_eq_text(q->topic, "*")
                                ? bind_topic(plan, err)
                                : bind_all_subjects(plan, err);
    if (q->tag.len || q->keyword.len) {
        keep_tagged(plan);
    }
    /* A snapshot orders its rows itself. */
    if (status == KT_OK && q->op == QUERY_PERIOD && plan->subject_count) {
        qsort(plan->subjects, plan->subject_count, sizeof(void *), compare_subjects);
    }
    return status;
}

/* One past the greatest number of an indicator. */
static uint32_t indicator_limit(const uint32_t *numbers, size_t count)
{
    uint32_t limit = 0;
    for (size_t i = 0; i < count; i++) {
        limit = numbers[i] >= limit ? numbers[i] + 1 : limit;
    }
    return limit;
}

static enum kt_status bind_columns(struct plan *plan, struct kt_error *err)
{
    const struct question *q = &plan->q;
    size_t known = 0;
    const uint32_t *sorted = kt_catalogue_indicators_sorted(plan->view, &known);
    plan->all_ids = q->id_count == 0;
    plan->rank_limit = indicator_limit(sorted, known);
    plan->rank = kt_arena_alloc(plan->arena, plan->rank_limit * sizeof(*plan->rank));
    plan->columns = kt_arena_zalloc(plan->arena, known, sizeof(*plan->columns));
    plan->picked = kt_arena_zalloc(plan->arena, known, sizeof(*plan->picked));
    if (!plan->rank || !plan->columns || !plan->picked) {
        return fail_memory(err);
    }
    memset(plan->rank, 0xFF, plan->rank_limit * sizeof(*plan->rank));
    size_t wanted = plan->all_ids ? known : q->id_count;
    for (size_t i = 0; i < wanted; i++) {
        uint32_t number = 0;
        if (plan->all_ids) {
            number = sorted[i];
        } else if (!kt_catalogue_find_indicator(plan->view, q->ids[i], &number)) {
            continue;
        }
        if (plan->rank[number] == UINT32_MAX) {
            plan->rank[number] = (uint32_t)plan->column_count;
            plan->columns[plan->column_count++].number = number;
        }
    }
    return KT_OK;
}

static enum kt_status bind_sort(struct plan *plan, struct kt_error *err)
{
    struct kt_str field = plan->after ? plan->after->field : plan->q.field;
    if (field.len == 0) {
        bool by_id = !plan->all_ids && plan->column_count > 0;
        plan->sort = by_id ? SORT_INDICATOR : SORT_SUBJECT;
        plan->sort_indicator = by_id ? plan->columns[0].number : 0;
    } else if (kt_str_eq_text(field, "report_date")) {
        plan->sort = SORT_REPORT_DATE;
    } else if (kt_str_eq_text(field, "subject")) {
        plan->sort = SORT_SUBJECT;
    } else if (kt_str_eq_text(field, "name")) {
        plan->sort = SORT_NAME;
    } else if (kt_catalogue_find_indicator(plan->view, field, &plan->sort_indicator)) {
        plan->sort = SORT_INDICATOR;
    } else {
        return kt_fail_field(err, KT_BAD_VALUE, "field",
                             "field must be a known indicator, report_date, subject or name, "
                             "not \"" KT_STR_FMT "\"",
                             KT_STR_ARG(field));
    }
    return KT_OK;
}

enum kt_status query_plan_question(const struct kt_query_env *env, enum query_op op,
                                   struct kt_str body, const struct kt_json_value *value,
                                   struct plan *plan, struct kt_error *err)
{
    memset(plan, 0, sizeof *plan);
    plan->env = env;
    plan->arena = kt_arena_new(ARENA_FIRST_BYTES, ARENA_MAX_BYTES);
    if (!plan->arena) {
        return fail_memory(err);
    }
    enum kt_status status =
        value ? query_parse_value(op, value, &env->limits, plan->arena, &plan->q, err)
              : query_parse(op, body, &env->limits, plan->arena, &plan->json, &plan->q, err);
    plan->now_s = seconds_of_ms(env->now_wall_ms);
    return status == KT_OK ? query_bind_place(plan, err) : status;
}

enum kt_status query_plan_bind(struct plan *plan, struct kt_error *err)
{
    query_bind_age(plan);
    enum kt_status status = bind_revision(plan, err);
    if (status == KT_OK) {
        status = bind_columns(plan, err);
    }
    if (status == KT_OK) {
        status = bind_sort(plan, err);
    }
    return status == KT_OK ? bind_subjects(plan, err) : status;
}

enum kt_status query_plan_listing(struct plan *plan, struct kt_error *err)
{
    plan->arena = kt_arena_new(ARENA_FIRST_BYTES, ARENA_MAX_BYTES);
    if (!plan->arena) {
        return fail_memory(err);
    }
    plan->view = kt_store_view(plan->env->store);
    plan->bounds.revision = kt_catalogue_revision(plan->view);
    plan->bounds.as_of_s = KT_TIME_MAX;
    return KT_OK;
}

void query_plan_share(struct plan *plan, struct kt_catalogue *view)
{
    kt_catalogue_unref(&plan->view);
    plan->view = kt_catalogue_ref(view);
}

void query_plan_done(struct plan *plan)
{
    kt_buf_done(&plan->scratch);
    kt_buf_done(&plan->members);
    if (plan->view) {
        kt_catalogue_unref(&plan->view);
    }
    kt_json_free(&plan->json);
    kt_arena_free(&plan->arena);
}

enum kt_status query_tick(struct plan *plan, struct kt_error *err)
{
    if (plan->ticks++ % TICKS_PER_LOOK == 0 && kt_now_mono_ms() > plan->env->deadline_mono_ms) {
        return kt_fail(err, KT_TIMEOUT, "the query took longer than the request allows");
    }
    return KT_OK;
}

bool query_wants_period(const struct question *question, struct kt_str period)
{
    size_t low = 0, high = question->period_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = kt_str_cmp(question->periods[middle], period);
        if (order == 0) {
            return true;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return question->period_count == 0;
}

static ptrdiff_t newest_wanted(const struct plan *plan, const struct kt_series *series)
{
    const struct question *q = &plan->q;
    struct kt_period_filter filter = {q->periods, q->period_count};
    if (q->period_count <= PERIODS_BY_SERIES) {
        return kt_series_newest(series, q->to_s, &filter, &plan->bounds);
    }
    filter.count = 0;
    ptrdiff_t index = kt_series_newest(series, q->to_s, &filter, &plan->bounds);
    while (index >= 0) {
        struct kt_record record;
        kt_series_record(series, (size_t)index, &plan->bounds, &record);
        if (query_wants_period(q, record.period)) {
            break;
        }
        index = kt_series_older(series, index, &filter, &plan->bounds);
    }
    return index;
}

ptrdiff_t query_newest(const struct plan *plan, const struct kt_series *series)
{
    ptrdiff_t index = newest_wanted(plan, series);
    bool too_old = index >= 0 && plan->oldest_s > KT_TIME_MIN &&
                   kt_series_time(series, (size_t)index) < plan->oldest_s;
    return too_old ? -1 : index;
}

/* At which revision the answer was made, which may be older than what the node has applied by the
 * time it is sent. */
void query_say_revision(const struct kt_catalogue *view, struct kt_http_response *response)
{
    char text[24];
    size_t len = kt_format_u64(kt_catalogue_revision(view), text);
    kt_http_response_header(response, "X-Kamaitachi-Revision", kt_str_n(text, len));
}

enum kt_status query_answer(const struct kt_query_env *env, enum query_op op, struct kt_str body,
                            query_run_fn run, struct kt_http_response *response,
                            struct kt_error *err)
{
    struct plan plan;
    size_t len_bytes = response->body.len_bytes;
    enum kt_status status = query_plan_question(env, op, body, NULL, &plan, err);
    if (status == KT_OK) {
        status = query_plan_wait(&plan, err);
    }
    if (status == KT_OK) {
        status = query_plan_bind(&plan, err);
    }
    if (status == KT_OK) {
        status = run(&plan, response, err);
    }
    if (status == KT_OK) {
        query_say_revision(plan.view, response);
    } else {
        query_body_restore(&response->body, len_bytes);
    }
    query_plan_done(&plan);
    return status;
}

/* SPDX-License-Identifier: MIT */
/* snapshot.c - the newest record of each subject, sorted and paged.
 *
 * One pass over the subjects keeps the best offset + limit of them in a heap whose root is the
 * worst kept, so that the rest is never sorted. The heap holds sort values, not series: a page is
 * small, and what it shows is asked of the cache again when it is written.
 */
#include "http/envelope.h"
#include "query/query_impl.h"

struct candidate {
    const struct kt_subject *subject;
    struct kt_str text; /* sort value when it is a text */
    double number;      /* sort value when it is a number */
    bool has_value;
};

struct selection {
    const struct plan *plan;
    struct candidate *heap; /* heap[0] comes last of those kept */
    size_t count, cap;
    const struct candidate *after; /* the page begins behind it; NULL = at the first row */
    uint64_t total, left;          /* rows, and those that stand behind `after` */
};

/* < 0 when a stands before b. Rows without a value come last and ties go by key in either order. */
static int compare(const struct plan *plan, const struct candidate *a, const struct candidate *b)
{
    if (a->has_value != b->has_value) {
        return a->has_value ? -1 : 1;
    }
    int order = 0;
    if (a->has_value) {
        bool by_text = plan->sort == SORT_SUBJECT || plan->sort == SORT_NAME;
        order = by_text ? kt_str_cmp(a->text, b->text)
                        : (a->number > b->number) - (a->number < b->number);
    }
    if (order != 0) {
        return plan->q.ascending ? order : -order;
    }
    return kt_str_cmp(a->subject->key, b->subject->key);
}

static void swap(struct candidate *a, struct candidate *b)
{
    struct candidate old = *a;
    *a = *b;
    *b = old;
}

static void sift_up(struct selection *s, size_t i)
{
    while (i > 0 && compare(s->plan, &s->heap[i], &s->heap[(i - 1) / 2]) > 0) {
        swap(&s->heap[i], &s->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
}

static void sift_down(struct selection *s, size_t i)
{
    for (;;) {
        size_t last = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < s->count; child++) {
            if (compare(s->plan, &s->heap[child], &s->heap[last]) > 0) {
                last = child;
            }
        }
        if (last == i) {
            return;
        }
        swap(&s->heap[i], &s->heap[last]);
        i = last;
    }
}

static void keep(struct selection *s, const struct candidate *candidate)
{
    if (s->count < s->cap) {
        s->heap[s->count] = *candidate;
        sift_up(s, s->count++);
    } else if (compare(s->plan, candidate, &s->heap[0]) < 0) {
        s->heap[0] = *candidate;
        sift_down(s, 0);
    }
}

/* Takes the kept ones from the end until heap[offset..] stands in order. */
static void sort_page(struct selection *s, size_t offset)
{
    while (s->count > offset && s->count > 0) {
        s->count--;
        swap(&s->heap[0], &s->heap[s->count]);
        sift_down(s, 0);
    }
}

static struct candidate candidate_of(const struct plan *plan, const struct kt_subject *subject,
                                     const struct kt_series *series, size_t index)
{
    struct candidate candidate = {.subject = subject, .has_value = true};
    struct kt_record record;
    switch (plan->sort) {
    case SORT_INDICATOR:
        candidate.has_value =
            query_value(plan, series, index, plan->sort_indicator, &candidate.number);
        break;
    case SORT_REPORT_DATE:
        kt_series_record(series, index, &plan->bounds, &record);
        candidate.number = (double)record.time_s; /* below 2^53 */
        break;
    case SORT_SUBJECT:
        candidate.text = subject->key;
        break;
    case SORT_NAME:
        candidate.text = query_shown_name(subject);
        break;
    }
    return candidate;
}

/* Looks at every subject; those with a record are rows. */
static enum kt_status select_rows(struct plan *plan, struct selection *s, struct kt_error *err)
{
    for (size_t i = 0; i < plan->subject_count; i++) {
        struct kt_series *series = NULL;
        enum kt_status status = query_series(plan, plan->subjects[i], &series, err);
        if (status != KT_OK) {
            return status;
        }
        ptrdiff_t index = query_newest(plan, series);
        if (index >= 0) {
            struct candidate candidate =
                candidate_of(plan, plan->subjects[i], series, (size_t)index);
            s->total++;
            if (!s->after || compare(plan, &candidate, s->after) > 0) {
                s->left++;
                keep(s, &candidate);
            }
        }
        kt_series_unref(&series);
    }
    return KT_OK;
}

static struct candidate candidate_of_place(const struct place *place, struct kt_subject *subject)
{
    subject->key = place->subject;
    return (struct candidate){.subject = subject,
                              .text = place->text,
                              .number = place->number,
                              .has_value = place->kind != PLACE_NONE};
}

static enum kt_status write_next(struct plan *plan, const struct candidate *last, struct kt_jw *jw,
                                 struct kt_error *err)
{
    bool by_text = plan->sort == SORT_SUBJECT || plan->sort == SORT_NAME;
    struct place place = {.kind = !last->has_value ? PLACE_NONE
                                  : by_text        ? PLACE_TEXT
                                                   : PLACE_NUMBER,
                          .number = last->number,
                          .text = last->text,
                          .subject = last->subject->key};
    return query_write_next(plan, &place, jw, err);
}

static enum kt_status write_row(struct plan *plan, const struct kt_subject *subject,
                                const struct kt_series *series, size_t index, struct kt_buf *body,
                                struct kt_error *err)
{
    char date[11];
    struct kt_jw jw;
    struct kt_record record;
    kt_series_record(series, index, &plan->bounds, &record);
    query_pick_columns(plan, series);
    kt_jw_init(&jw, body);
    kt_jw_object(&jw);
    kt_jw_key_text(&jw, "subject");
    query_write_subject(&jw, subject);
    kt_jw_key_text(&jw, "data");
    kt_jw_object(&jw);
    enum kt_status status = query_write_values(plan, series, index, true, body, err);
    if (status != KT_OK) {
        return status;
    }
    kt_jw_object_end(&jw);
    kt_jw_kv_i64(&jw, "report_date", record.time_s);
    kt_jw_kv_str(&jw, "end_date", query_end_date(&record, date));
    kt_jw_kv_str(&jw, "period", record.period);
    kt_jw_kv_str(&jw, "declare_date", query_declare_date(&record, date));
    kt_jw_object_end(&jw);
    return KT_OK;
}

static enum kt_status write_page(struct plan *plan, const struct candidate *page, size_t count,
                                 struct kt_buf *body, struct kt_error *err)
{
    for (size_t i = 0; i < count; i++) {
        struct kt_series *series = NULL;
        enum kt_status status = query_series(plan, page[i].subject, &series, err);
        if (status != KT_OK) {
            return status;
        }
        ptrdiff_t index = query_newest(plan, series);
        if (index < 0) { /* only what erases history can do this */
            status = kt_fail(err, KT_UNAVAILABLE, "a record was erased meanwhile");
        } else {
            if (i > 0) {
                kt_buf_append_byte(body, ',');
            }
            status = write_row(plan, page[i].subject, series, (size_t)index, body, err);
        }
        kt_series_unref(&series);
        if (status != KT_OK) {
            return status;
        }
    }
    return KT_OK;
}

enum kt_status query_run_snapshot(struct plan *plan, struct kt_http_response *response,
                                  struct kt_error *err)
{
    struct kt_jw jw;
    size_t offset = (size_t)plan->q.offset, wanted = offset + (size_t)plan->q.limit;
    struct selection s = {.plan = plan};
    struct kt_subject place = {0};
    struct candidate after;
    if (plan->after) {
        after = candidate_of_place(plan->after, &place);
        s.after = &after;
    }
    s.cap = wanted < plan->subject_count ? wanted : plan->subject_count;
    s.heap = kt_arena_alloc(plan->arena, s.cap * sizeof(*s.heap));
    if (!s.heap) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for the query");
    }
    enum kt_status status = select_rows(plan, &s, err);
    if (status != KT_OK) {
        return status;
    }
    size_t kept = s.count;
    sort_page(&s, offset);
    kt_envelope_begin(response, &jw);
    kt_jw_array(&jw);
    if (kept > offset) {
        status = write_page(plan, s.heap + offset, kept - offset, &response->body, err);
    }
    if (status == KT_OK) {
        kt_jw_array_end(&jw);
        kt_jw_kv_u64(&jw, "total", s.total);
        if (s.left > wanted) {
            status = write_next(plan, &s.heap[kept - 1], &jw, err);
        }
    }
    if (status == KT_OK) {
        kt_envelope_end(&jw);
        status = query_body_status(&response->body, err);
    }
    return status;
}

enum kt_status kt_query_snapshot(const struct kt_query_env *env, struct kt_str body,
                                 struct kt_http_response *response, struct kt_error *err)
{
    return query_answer(env, QUERY_SNAPSHOT, body, query_run_snapshot, response, err);
}

/* SPDX-License-Identifier: MIT */
/* snapshot.c - the newest record of each subject, sorted and paged.
 *
 * One pass over the subjects keeps the best offset + limit of them; once there are more, in a heap
 * whose root is the worst kept, so that the rest is never sorted. What is sorted by is turned into
 * a number whose natural order is that of the rows. A small page keeps the series that it was found
 * in; a large one would hold them all in memory, and asks the cache again when it is written.
 */
#include "http/envelope.h"
#include "query/query_impl.h"

#include <string.h>

#define HELD_ROWS_MAX 128
#define INSERT_ROWS_MAX 128       /* so few are moved sooner than sifted */
#define ORDER_NO_VALUE UINT64_MAX /* rows without a value come last */

struct candidate {
    uint64_t order; /* as uint64_t, ascending; 0 for all where texts are compared */
    const struct kt_subject *subject;
    struct kt_series *series; /* a counted reference; NULL = not held */
    size_t index;             /* of the record, while its series is held */
};

struct selection {
    const struct plan *plan;
    struct candidate *rows;
    size_t count, cap;
    bool is_heap;                  /* rows[0] comes last of those kept */
    const struct candidate *after; /* the page begins behind it; NULL = at the first row */
    uint64_t total, left;          /* rows, and those that stand behind `after` */
};

static bool by_text(const struct plan *plan)
{
    return plan->sort == SORT_SUBJECT || plan->sort == SORT_NAME;
}

static struct kt_str text_of(const struct plan *plan, const struct kt_subject *subject)
{
    return plan->sort == SORT_NAME ? query_shown_name(subject) : subject->key;
}

/* A double's bits are ordered as it is, once the negative ones are turned over. No number gives
 * ORDER_NO_VALUE: in either direction that would be a NaN. */
static uint64_t order_of(const struct plan *plan, double number)
{
    uint64_t bits;
    number += 0.0; /* -0 is 0 */
    memcpy(&bits, &number, sizeof(bits));
    bits ^= bits >> 63 ? UINT64_MAX : UINT64_C(1) << 63;
    return plan->q.ascending ? bits : ~bits;
}

static double number_of(const struct plan *plan, uint64_t order)
{
    double number;
    uint64_t bits = plan->q.ascending ? order : ~order;
    bits ^= bits >> 63 ? UINT64_C(1) << 63 : UINT64_MAX;
    memcpy(&number, &bits, sizeof(number));
    return number;
}

/* < 0 when a stands before b. Ties go by key in either order. */
static int compare(const struct plan *plan, const struct candidate *a, const struct candidate *b)
{
    if (a->order != b->order) {
        return a->order < b->order ? -1 : 1;
    }
    if (by_text(plan)) {
        int order = kt_str_cmp(text_of(plan, a->subject), text_of(plan, b->subject));
        if (order != 0) {
            return plan->q.ascending ? order : -order;
        }
    }
    return kt_str_cmp(a->subject->key, b->subject->key);
}

static void swap(struct candidate *a, struct candidate *b)
{
    struct candidate old = *a;
    *a = *b;
    *b = old;
}

static void sift_down(struct selection *s, size_t i)
{
    for (;;) {
        size_t last = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < s->count; child++) {
            if (compare(s->plan, &s->rows[child], &s->rows[last]) > 0) {
                last = child;
            }
        }
        if (last == i) {
            return;
        }
        swap(&s->rows[i], &s->rows[last]);
        i = last;
    }
}

static void make_heap(struct selection *s)
{
    for (size_t i = s->is_heap ? 0 : s->count / 2; i-- > 0;) {
        sift_down(s, i);
    }
    s->is_heap = true;
}

/* Leaves in *candidate what is not kept: itself, the worst so far, or nothing. */
static void keep(struct selection *s, struct candidate *candidate)
{
    if (s->count < s->cap) {
        s->rows[s->count++] = *candidate;
        candidate->series = NULL;
        return;
    }
    make_heap(s);
    if (compare(s->plan, candidate, &s->rows[0]) < 0) {
        swap(candidate, &s->rows[0]);
        sift_down(s, 0);
    }
}

/* Each row into its place among those before it. */
static void insert_sort(struct selection *s)
{
    for (size_t i = 1; i < s->count; i++) {
        size_t low = 0, high = i;
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            bool behind = compare(s->plan, &s->rows[i], &s->rows[middle]) > 0;
            low = behind ? middle + 1 : low;
            high = behind ? high : middle;
        }
        struct candidate row = s->rows[i];
        memmove(&s->rows[low + 1], &s->rows[low], (i - low) * sizeof(row));
        s->rows[low] = row;
    }
}

/* Takes the kept ones from the end until rows[offset..] stands in order. */
static void sort_page(struct selection *s, size_t offset)
{
    if (s->count <= INSERT_ROWS_MAX) {
        insert_sort(s);
        return;
    }
    make_heap(s);
    while (s->count > offset && s->count > 0) {
        s->count--;
        swap(&s->rows[0], &s->rows[s->count]);
        sift_down(s, 0);
    }
}

static uint64_t order_of_record(const struct plan *plan, const struct kt_series *series,
                                size_t index)
{
    double number = 0;
    switch (plan->sort) {
    case SORT_INDICATOR:
        return query_value(plan, series, index, plan->sort_indicator, &number)
                   ? order_of(plan, number)
                   : ORDER_NO_VALUE;
    case SORT_REPORT_DATE: /* below 2^53 */
        return order_of(plan, (double)kt_series_time(series, index));
    case SORT_SUBJECT:
    case SORT_NAME:
        break;
    }
    return 0;
}

/* Looks at every subject; those with a record are rows. */
static enum kt_status select_rows(struct plan *plan, struct selection *s, struct kt_error *err)
{
    for (size_t i = 0; i < plan->subject_count; i++) {
        struct candidate candidate = {.subject = plan->subjects[i]};
        enum kt_status status = query_series(plan, candidate.subject, &candidate.series, err);
        if (status != KT_OK) {
            return status;
        }
        ptrdiff_t index = query_newest(plan, candidate.series);
        if (index >= 0) {
            candidate.index = (size_t)index;
            candidate.order = order_of_record(plan, candidate.series, candidate.index);
            if (s->cap > HELD_ROWS_MAX) {
                kt_series_unref(&candidate.series);
            }
            s->total++;
            if (!s->after || compare(plan, &candidate, s->after) > 0) {
                s->left++;
                keep(s, &candidate);
            }
        }
        kt_series_unref(&candidate.series);
    }
    return KT_OK;
}

/* `subject` is room for what the place says of its row's. */
static struct candidate candidate_of_place(const struct plan *plan, struct kt_subject *subject)
{
    const struct place *place = plan->after;
    *subject = (struct kt_subject){.key = place->subject, .name = place->text};
    return (struct candidate){.order = place->kind == PLACE_NONE     ? ORDER_NO_VALUE
                                       : place->kind == PLACE_NUMBER ? order_of(plan, place->number)
                                                                     : 0,
                              .subject = subject};
}

static enum kt_status write_next(struct plan *plan, const struct candidate *last, struct kt_jw *jw,
                                 struct kt_error *err)
{
    struct place place = {.kind = last->order == ORDER_NO_VALUE ? PLACE_NONE
                                  : by_text(plan)               ? PLACE_TEXT
                                                                : PLACE_NUMBER,
                          .subject = last->subject->key};
    if (place.kind == PLACE_TEXT) {
        place.text = text_of(plan, last->subject);
    } else if (place.kind == PLACE_NUMBER) {
        place.number = number_of(plan, last->order);
    }
    return query_write_next(plan, &place, jw, err);
}

static enum kt_status write_row(struct plan *plan, const struct candidate *row, struct kt_buf *body,
                                struct kt_error *err)
{
    struct kt_record record;
    kt_series_record(row->series, row->index, &plan->bounds, &record);
    query_pick_columns(plan, row->series);
    kt_buf_append_str(body, KT_STR("{\"subject\":"));
    query_append_subject(body, row->subject);
    kt_buf_append_str(body, KT_STR(",\"data\":{"));
    enum kt_status status = query_write_values(plan, row->series, row->index, true, body, err);
    if (status != KT_OK) {
        return status;
    }
    kt_buf_append_str(body, KT_STR("},\"report_date\":"));
    kt_buf_append_i64(body, record.time_s);
    if (record.end_date.named == KT_NAMED) {
        query_append_member(body, KT_STR(",\"end_date\":"), record.end_date.text);
    } else {
        query_append_date(body, KT_STR(",\"end_date\":"), record.time_s);
    }
    query_append_member(body, KT_STR(",\"period\":"), record.period);
    if (record.declare_given) {
        query_append_date(body, KT_STR(",\"declare_date\":"), record.declare_s);
    } else {
        kt_buf_append_str(body, KT_STR(",\"declare_date\":\"\""));
    }
    kt_buf_append_byte(body, '}');
    return KT_OK;
}

static enum kt_status find_again(struct plan *plan, struct candidate *row, struct kt_error *err)
{
    enum kt_status status = query_series(plan, row->subject, &row->series, err);
    ptrdiff_t index = status == KT_OK ? query_newest(plan, row->series) : 0;
    if (index < 0) { /* only what erases history can do this */
        return kt_fail(err, KT_UNAVAILABLE, "a record was erased meanwhile");
    }
    row->index = (size_t)index;
    return status;
}

static enum kt_status write_page(struct plan *plan, struct candidate *page, size_t count,
                                 struct kt_buf *body, struct kt_error *err)
{
    for (size_t i = 0; i < count; i++) {
        enum kt_status status = page[i].series ? KT_OK : find_again(plan, &page[i], err);
        if (i > 0) {
            kt_buf_append_byte(body, ',');
        }
        if (status == KT_OK) {
            status = write_row(plan, &page[i], body, err);
        }
        kt_series_unref(&page[i].series);
        if (status != KT_OK) {
            return status;
        }
    }
    return KT_OK;
}

static enum kt_status write_answer(struct plan *plan, struct selection *s,
                                   struct kt_http_response *response, struct kt_error *err)
{
    struct kt_jw jw;
    enum kt_status status = KT_OK;
    size_t offset = (size_t)plan->q.offset, kept = s->count;
    sort_page(s, offset);
    kt_envelope_begin(response, &jw);
    kt_jw_array(&jw);
    if (kept > offset) {
        status = write_page(plan, s->rows + offset, kept - offset, &response->body, err);
    }
    if (status == KT_OK) {
        kt_jw_array_end(&jw);
        kt_jw_kv_u64(&jw, "total", s->total);
        if (s->left > offset + (size_t)plan->q.limit) {
            status = write_next(plan, &s->rows[kept - 1], &jw, err);
        }
    }
    if (status == KT_OK) {
        kt_envelope_end(&jw);
        status = query_body_status(&response->body, err);
    }
    return status;
}

enum kt_status query_run_snapshot(struct plan *plan, struct kt_http_response *response,
                                  struct kt_error *err)
{
    size_t wanted = (size_t)plan->q.offset + (size_t)plan->q.limit;
    struct selection s = {.plan = plan};
    struct kt_subject subject;
    struct candidate after;
    if (plan->after) {
        after = candidate_of_place(plan, &subject);
        s.after = &after;
    }
    s.cap = wanted < plan->subject_count ? wanted : plan->subject_count;
    s.rows = kt_arena_zalloc(plan->arena, s.cap, sizeof(*s.rows));
    if (!s.rows) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for the query");
    }
    enum kt_status status = select_rows(plan, &s, err);
    if (status == KT_OK) {
        status = write_answer(plan, &s, response, err);
    }
    for (size_t i = 0; i < s.cap; i++) {
        kt_series_unref(&s.rows[i].series);
    }
    return status;
}

enum kt_status kt_query_snapshot(const struct kt_query_env *env, struct kt_str body,
                                 struct kt_http_response *response, struct kt_error *err)
{
    return query_answer(env, QUERY_SNAPSHOT, body, query_run_snapshot, response, err);
}

/* SPDX-License-Identifier: MIT */
/* selection_period.c - the rows of many subjects by date: an object of dates, each with the rows
 * that end on it, sorted and paged for itself.
 *
 * What stands on a date is known only when every subject was looked at. So the first walk over the
 * subjects keeps of each row a date and a sort value, as numbers; then the pages are cut; the
 * second walk writes the rows on them, subject by subject, and the answer puts these in their
 * order. A row is found again as the nth that the question sees of its subject, which stays true
 * when others are recorded meanwhile.
 */
#include "http/envelope.h"
#include "query/query_impl.h"

#include "base/map.h"
#include "base/mem.h"

#include <stdlib.h>

struct dated {
    double number; /* sort value, such that the smaller comes first */
    uint32_t date; /* number of the text, then its rank */
    uint32_t subject;
    uint32_t nth;  /* of the subject's rows, from the oldest */
    int32_t place; /* nth as it sorts */
    bool has_value;
};
struct placed { /* a row of a page */
    uint32_t subject, nth;
    size_t at; /* among the rows kept */
};
struct span {
    size_t begin, len;
};
struct date {
    struct kt_str text;
    uint32_t number;
};

struct by_date {
    struct plan *plan;
    struct kt_map *numbers; /* of dates, + 1 */
    struct kt_buf dates;    /* struct date, by number; then by text */
    struct kt_buf rows;     /* struct dated */
    uint32_t *counts;       /* rows of each subject */
    uint32_t *ranks;        /* of each subject's name, when sorting by it */
    struct kt_buf text;     /* the rows of the pages */
    struct span *spans;     /* in it, by place */
};

static enum kt_status fail_memory(struct kt_error *err)
{
    return kt_fail(err, KT_NO_MEMORY, "no memory for the query");
}

static struct dated *rows_of(const struct by_date *b, size_t *ret_count)
{
    *ret_count = b->rows.len_bytes / sizeof(struct dated);
    return (void *)b->rows.data;
}

static struct date *dates_of(const struct by_date *b, size_t *ret_count)
{
    *ret_count = b->dates.len_bytes / sizeof(struct date);
    return (void *)b->dates.data;
}

/* --- the first walk --- */

static enum kt_status number_date(struct by_date *b, struct kt_str text, uint32_t *ret_number,
                                  struct kt_error *err)
{
    void *known = kt_map_get(b->numbers, text);
    if (known) {
        *ret_number = (uint32_t)(uintptr_t)known - 1;
        return KT_OK;
    }
    uint32_t number = (uint32_t)(b->dates.len_bytes / sizeof(struct date));
    struct date date = {kt_arena_dup(b->plan->arena, text), number};
    kt_buf_append(&b->dates, &date, sizeof date);
    if (!date.text.data || kt_buf_status(&b->dates) != KT_OK ||
        kt_map_put(b->numbers, text, (void *)((uintptr_t)number + 1), NULL) != KT_OK) {
        return fail_memory(err);
    }
    *ret_number = number;
    return KT_OK;
}

static enum kt_status sort_value(struct by_date *b, uint32_t subject,
                                 const struct kt_series *series, const struct period_row *row,
                                 struct dated *dated, struct kt_error *err)
{
    struct plan *plan = b->plan;
    enum kt_status status = KT_OK;
    dated->has_value = true;
    switch (plan->sort) {
    case SORT_INDICATOR:
        status = query_row_value(plan, series, row, plan->sort_indicator, &dated->number,
                                 &dated->has_value, err);
        break;
    case SORT_REPORT_DATE:
        dated->number = (double)row->time_s;
        break;
    case SORT_SUBJECT: /* subjects stand in the order of their keys */
        dated->number = subject;
        break;
    case SORT_NAME:
        dated->number = b->ranks[subject];
        break;
    }
    if (!plan->q.ascending) {
        dated->number = -dated->number;
    }
    return status;
}

static enum kt_status add_row(struct by_date *b, uint32_t subject, const struct kt_series *series,
                              const struct period_row *row, struct kt_error *err)
{
    char date[11];
    uint32_t nth = b->counts[subject]++;
    struct dated dated = {.subject = subject, .nth = nth};
    dated.place = b->plan->q.ascending ? (int32_t)nth : -(int32_t)nth;
    if (b->rows.len_bytes / sizeof dated >= (size_t)b->plan->env->limits.max_rows) {
        return kt_fail_field(err, KT_TOO_LARGE, "selection",
                             "selection: more than %lld records meet; ask for less",
                             (long long)b->plan->env->limits.max_rows);
    }
    enum kt_status status = number_date(b, query_row_date(b->plan, row, date), &dated.date, err);
    if (status == KT_OK) {
        status = sort_value(b, subject, series, row, &dated, err);
    }
    if (status != KT_OK) {
        return status;
    }
    kt_buf_append(&b->rows, &dated, sizeof dated);
    return query_body_status(&b->rows, err);
}

static enum kt_status get_series(struct plan *plan, uint32_t subject, struct kt_series **ret_series,
                                 struct kt_error *err)
{
    return query_series(plan, plan->subjects[subject], ret_series, err);
}

static enum kt_status add_subject(struct by_date *b, uint32_t subject, struct kt_error *err)
{
    struct kt_series *series = NULL;
    struct row_walk walk;
    struct period_row row;
    bool found = true;
    enum kt_status status = get_series(b->plan, subject, &series, err);
    if (status != KT_OK) {
        return status;
    }
    query_walk_init(b->plan, series, true, &walk);
    while (status == KT_OK && found) {
        status = query_walk_next(b->plan, &walk, &row, &found, err);
        if (status == KT_OK && found) {
            status = add_row(b, subject, series, &row, err);
        }
    }
    kt_series_unref(&series);
    return status;
}

/* --- pages --- */

struct named {
    struct kt_str name;
    uint32_t subject;
};

static int compare_named(const void *a, const void *b)
{
    return kt_str_cmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

/* Equal names have equal ranks, so that their keys decide. */
static enum kt_status rank_names(struct by_date *b, struct kt_error *err)
{
    size_t count = b->plan->subject_count;
    struct named *named = kt_arena_zalloc(b->plan->arena, count, sizeof(*named));
    b->ranks = kt_arena_zalloc(b->plan->arena, count, sizeof(*b->ranks));
    if (!named || !b->ranks) {
        return fail_memory(err);
    }
    for (size_t i = 0; i < count; i++) {
        named[i] = (struct named){query_shown_name(b->plan->subjects[i]), (uint32_t)i};
    }
    qsort(named, count, sizeof(*named), compare_named);
    for (size_t i = 0; i < count; i++) {
        bool same = i > 0 && kt_str_eq(named[i].name, named[i - 1].name);
        b->ranks[named[i].subject] = same ? b->ranks[named[i - 1].subject] : (uint32_t)i;
    }
    return KT_OK;
}

static int compare_dates(const void *a, const void *b)
{
    return kt_str_cmp(((const struct date *)a)->text, ((const struct date *)b)->text);
}

/* Dates become their ranks among the texts. */
static enum kt_status rank_dates(struct by_date *b, struct kt_error *err)
{
    size_t date_count, row_count;
    struct date *dates = dates_of(b, &date_count);
    struct dated *rows = rows_of(b, &row_count);
    uint32_t *ranks = kt_arena_zalloc(b->plan->arena, date_count, sizeof(*ranks));
    if (!ranks) {
        return fail_memory(err);
    }
    if (date_count == 0) {
        return KT_OK;
    }
    qsort(dates, date_count, sizeof(*dates), compare_dates);
    for (size_t i = 0; i < date_count; i++) {
        ranks[dates[i].number] = (uint32_t)i;
    }
    for (size_t i = 0; i < row_count; i++) {
        rows[i].date = ranks[rows[i].date];
    }
    return KT_OK;
}

static int compare_rows(const void *left, const void *right)
{
    const struct dated *a = left, *b = right;
    if (a->date != b->date) {
        return a->date < b->date ? -1 : 1;
    }
    if (a->has_value != b->has_value) {
        return a->has_value ? -1 : 1;
    }
    if (a->has_value && a->number != b->number) {
        return a->number < b->number ? -1 : 1;
    }
    if (a->subject != b->subject) {
        return a->subject < b->subject ? -1 : 1;
    }
    return (a->place > b->place) - (a->place < b->place);
}

/* Keeps the rows of each date's page. */
static void cut_pages(struct by_date *b)
{
    const struct question *q = &b->plan->q;
    size_t count, kept = 0;
    struct dated *rows = rows_of(b, &count);
    int64_t on_date = 0;
    for (size_t i = 0; i < count; i++) {
        on_date = i > 0 && rows[i].date == rows[i - 1].date ? on_date + 1 : 0;
        struct dated row = rows[i];
        if (on_date >= q->offset && (q->limit == 0 || on_date < q->offset + q->limit)) {
            rows[kept++] = row;
        }
    }
    b->rows.len_bytes = kept * sizeof(*rows);
}

/* --- the second walk --- */

static int compare_placed(const void *left, const void *right)
{
    const struct placed *a = left, *b = right;
    if (a->subject != b->subject) {
        return a->subject < b->subject ? -1 : 1;
    }
    return (a->nth > b->nth) - (a->nth < b->nth);
}

static enum kt_status place_rows(struct by_date *b, struct placed **ret_placed, size_t *ret_count,
                                 struct kt_error *err)
{
    const struct dated *rows = rows_of(b, ret_count);
    struct placed *placed = kt_arena_zalloc(b->plan->arena, *ret_count, sizeof(*placed));
    b->spans = kt_arena_zalloc(b->plan->arena, *ret_count, sizeof(*b->spans));
    if (!placed || !b->spans) {
        return fail_memory(err);
    }
    for (size_t i = 0; i < *ret_count; i++) {
        placed[i] = (struct placed){rows[i].subject, rows[i].nth, i};
    }
    qsort(placed, *ret_count, sizeof(*placed), compare_placed);
    *ret_placed = placed;
    return KT_OK;
}

static enum kt_status write_row(struct by_date *b, uint32_t subject, const struct kt_series *series,
                                const struct period_row *row, struct span *span,
                                struct kt_error *err)
{
    span->begin = b->text.len_bytes;
    kt_buf_append_str(&b->text, KT_STR("{\"subject\":"));
    query_append_subject(&b->text, b->plan->subjects[subject]);
    kt_buf_append_str(&b->text, KT_STR(",\"data\":"));
    enum kt_status status =
        query_write_row(b->plan, b->plan->subjects[subject], series, row, &b->text, err);
    kt_buf_append_byte(&b->text, '}');
    span->len = b->text.len_bytes - span->begin;
    return status == KT_OK ? query_body_status(&b->text, err) : status;
}

/* Writes the rows of one subject: the first of *placed, which is moved behind them. */
static enum kt_status write_subject(struct by_date *b, const struct placed **placed,
                                    const struct placed *end, struct kt_error *err)
{
    uint32_t subject = (*placed)->subject, nth = 0;
    struct kt_series *series = NULL;
    struct row_walk walk;
    struct period_row row;
    bool found = true;
    enum kt_status status = get_series(b->plan, subject, &series, err);
    if (status != KT_OK) {
        return status;
    }
    query_pick_columns(b->plan, series);
    query_walk_init(b->plan, series, true, &walk);
    while (status == KT_OK && found) {
        status = query_walk_next(b->plan, &walk, &row, &found, err);
        if (status == KT_OK && found) {
            if (*placed < end && (*placed)->subject == subject && (*placed)->nth == nth) {
                status = write_row(b, subject, series, &row, &b->spans[(*placed)->at], err);
                ++*placed;
            }
            nth++;
        }
    }
    kt_series_unref(&series);
    if (status == KT_OK && nth != b->counts[subject]) { /* only what erases history can do this */
        status = kt_fail(err, KT_UNAVAILABLE, "a record was erased meanwhile");
    }
    return status;
}

static void write_dates(const struct by_date *b, struct kt_jw *jw)
{
    size_t count, date_count;
    const struct dated *rows = rows_of(b, &count);
    const struct date *dates = dates_of(b, &date_count);
    kt_jw_object(jw);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || rows[i].date != rows[i - 1].date) {
            kt_jw_key(jw, dates[rows[i].date].text);
            kt_jw_array(jw);
        }
        kt_jw_raw(jw, kt_str_n(b->text.data + b->spans[i].begin, b->spans[i].len));
        if (i + 1 == count || rows[i].date != rows[i + 1].date) {
            kt_jw_array_end(jw);
        }
    }
    kt_jw_object_end(jw);
}

/* --- together --- */

static enum kt_status collect(struct by_date *b, struct kt_error *err)
{
    b->numbers = kt_map_new();
    b->counts = kt_arena_zalloc(b->plan->arena, b->plan->subject_count, sizeof(*b->counts));
    if (!b->numbers || !b->counts) {
        return fail_memory(err);
    }
    enum kt_status status = b->plan->sort == SORT_NAME ? rank_names(b, err) : KT_OK;
    for (size_t i = 0; status == KT_OK && i < b->plan->subject_count; i++) {
        status = add_subject(b, (uint32_t)i, err);
    }
    return status == KT_OK ? rank_dates(b, err) : status;
}

static enum kt_status write_rows(struct by_date *b, struct kt_error *err)
{
    struct placed *placed = NULL;
    size_t count = 0;
    enum kt_status status = place_rows(b, &placed, &count, err);
    const struct placed *next = placed, *end = placed + count;
    while (status == KT_OK && next < end) {
        status = write_subject(b, &next, end, err);
    }
    return status;
}

static enum kt_status answer(struct by_date *b, struct kt_http_response *response,
                             struct kt_error *err)
{
    size_t count;
    enum kt_status status = collect(b, err);
    if (status != KT_OK) {
        return status;
    }
    struct dated *rows = rows_of(b, &count);
    if (count > 0) {
        qsort(rows, count, sizeof(*rows), compare_rows);
        cut_pages(b);
        status = write_rows(b, err);
    }
    if (status != KT_OK) {
        return status;
    }
    struct kt_jw jw;
    kt_envelope_begin(response, &jw);
    write_dates(b, &jw);
    kt_envelope_end(&jw);
    return query_body_status(&response->body, err);
}

enum kt_status query_run_selection_period(struct plan *plan, struct kt_http_response *response,
                                          struct kt_error *err)
{
    struct by_date b = {.plan = plan};
    kt_buf_init(&b.text, response->body.max_bytes);
    /* What pays for the answer pays for these too, until they are gone. */
    b.rows.share = b.text.share = response->body.share;
    enum kt_status status = answer(&b, response, err);
    kt_map_free(&b.numbers);
    kt_buf_done(&b.dates);
    kt_buf_done_paid(&b.rows);
    kt_buf_done_paid(&b.text);
    return status;
}

enum kt_status kt_query_selection_period(const struct kt_query_env *env, struct kt_str body,
                                         struct kt_http_response *response, struct kt_error *err)
{
    return query_answer(env, QUERY_SELECTION_PERIOD, body, query_run_selection_period, response,
                        err);
}

/* query_impl.h - what the files of query/ share: the parsed question, the plan, the row writer.
 *
 * parse.c turns a body into a question (no store needed), plan.c binds it to one catalogue view,
 * snapshot.c and period.c walk the subjects and rows.c writes what they picked. selection.c picks
 * subjects by their tags, period_rows.c walks the rows of a period and downsample.c makes buckets.
 * fill.c finds older values; cursor.c seals a cursor and place.c says what is in a snapshot's.
 *
 * Threads: one request's worker.
 * Owns:    a plan its view, document and arena, until query_plan_done.
 * Fails:   as query.h.
 */
#ifndef KT_QUERY_QUERY_IMPL_H
#define KT_QUERY_QUERY_IMPL_H

#include "query/query.h"
#include "json/write.h"

#define KT_QUERY_NAME_MAX 128
#define KT_QUERY_LIMIT_MAX 10000

/* A question's op is one of the first two; the other two say that `selection` picks subjects. */
enum query_op { QUERY_SNAPSHOT, QUERY_PERIOD, QUERY_SELECTION_SNAPSHOT, QUERY_SELECTION_PERIOD };
enum interval {
    INTERVAL_NONE,
    INTERVAL_DAY,
    INTERVAL_WEEK,
    INTERVAL_MONTH,
    INTERVAL_QUARTER,
    INTERVAL_YEAR
};
enum agg { AGG_LAST, AGG_FIRST, AGG_MIN, AGG_MAX, AGG_AVG, AGG_SUM, AGG_COUNT };
enum recorded_kind { RECORDED_NEWEST, RECORDED_REVISION, RECORDED_TIME };

struct question {
    enum query_op op;
    struct kt_str *ids, *subjects, *periods; /* periods ascend by bytes */
    size_t id_count, subject_count, period_count;
    struct kt_str topic, field; /* len 0 = not given */
    bool selects;               /* by `selection`, whose subject and topic stand in the above */
    struct kt_str tag, keyword; /* of `selection`; len 0 = not given */
    bool ascending;
    bool offset_given;
    struct kt_str cursor;  /* len 0 = page one */
    int64_t offset, limit; /* limit 0 = all (period only) */
    int64_t from_s, to_s;  /* snapshot: to_s is the timestamp */
    bool timestamp_given;
    bool fill;              /* snapshot: previous */
    int64_t max_age_s;      /* snapshot: -1 = any age */
    enum interval interval; /* period only */
    enum agg agg;
    int64_t as_of_s;
    enum recorded_kind recorded;
    uint64_t recorded_revision;
    int64_t recorded_wall_ms;
};

/* As kt_field_list; with min_bytes 0 the items of an array may be "". */
enum kt_status query_list(struct kt_json_fields *fields, const char *name, size_t min_bytes,
                          size_t max_items, struct kt_arena *arena, struct kt_str **ret_items,
                          size_t *ret_count, bool *ret_present, struct kt_error *err) KT_MUST_CHECK;
/* The question's strings live in the value's document or the arena. */
enum kt_status query_parse_value(enum query_op op, const struct kt_json_value *value,
                                 const struct kt_query_limits *limits, struct kt_arena *arena,
                                 struct question *ret_question, struct kt_error *err) KT_MUST_CHECK;
/* The question's strings live in *ret_json or the arena. */
enum kt_status query_parse(enum query_op op, struct kt_str body,
                           const struct kt_query_limits *limits, struct kt_arena *arena,
                           struct kt_json **ret_json, struct question *ret_question,
                           struct kt_error *err) KT_MUST_CHECK;

/* selection.c */
/* The member `selection` into the question; nothing else may pick subjects. */
enum kt_status query_parse_selection(struct kt_json_fields *fields, struct kt_arena *arena,
                                     struct question *q, struct kt_error *err) KT_MUST_CHECK;
/* Has it a tag of that name (any when not given) whose value contains the keyword? */
bool query_has_tag(const struct question *question, const struct kt_subject *subject);

struct column {
    uint32_t number;      /* the indicator's */
    struct kt_str prefix; /* `,"key":`, made when first written */
};
enum sort_by { SORT_INDICATOR, SORT_REPORT_DATE, SORT_SUBJECT, SORT_NAME };

/* Where a page of a snapshot ends, as its cursor says it. */
enum place_value { PLACE_NONE, PLACE_NUMBER, PLACE_TEXT };
struct place {
    enum place_value kind; /* the last row's sort value */
    double number;
    struct kt_str text, subject; /* subject: its key */
    /* Of page one. */
    struct kt_str field; /* what is sorted by */
    uint64_t revision;
    bool depends_on_now;
    int64_t now_s;
};

struct plan {
    const struct kt_query_env *env;
    struct kt_arena *arena;
    struct kt_json *json;
    struct question q;
    struct kt_catalogue *view;
    struct kt_bounds bounds;
    int64_t now_s;             /* of the question, also on its later pages */
    int64_t oldest_s;          /* snapshot: records before it are left out */
    const struct place *after; /* snapshot: the page begins behind it; NULL = at the first row */

    /* The subjects to look at, in the order of the question. */
    const struct kt_subject **subjects;
    size_t subject_count;

    /* The indicators to write: all columns in order, or (all_ids) those that the series has. */
    bool all_ids;
    struct column *columns;
    size_t column_count;
    uint32_t *rank; /* all_ids: column of an indicator number; UINT32_MAX = not in the view */
    uint32_t rank_limit;
    uint32_t *picked; /* columns of the series at hand */
    size_t picked_count;

    enum sort_by sort;
    uint32_t sort_indicator;

    struct kt_buf scratch;
    struct kt_buf members; /* of the bucket at hand */
    uint64_t ticks;
    int64_t values; /* written so far */
};

/* In three steps: read the question (the value where there is one, else the body), take a view that
 * holds what recorded_by asks for, look everything up in it. Between the last two the view may be
 * exchanged for a newer one. The plan is right for query_plan_done after any of them, worked or
 * not.
 */
enum kt_status query_plan_question(const struct kt_query_env *env, enum query_op op,
                                   struct kt_str body, const struct kt_json_value *value,
                                   struct plan *plan, struct kt_error *err) KT_MUST_CHECK;
enum kt_status query_plan_wait(struct plan *plan, struct kt_error *err) KT_MUST_CHECK;
void query_plan_share(struct plan *plan, struct kt_catalogue *view); /* takes its own reference */
enum kt_status query_plan_bind(struct plan *plan, struct kt_error *err) KT_MUST_CHECK;
/* For a listing, which has no question: env is set, all else zero; gets arena, view and bounds. */
enum kt_status query_plan_listing(struct plan *plan, struct kt_error *err) KT_MUST_CHECK;
void query_plan_done(struct plan *plan);
/* Called for each subject and record; looks at the clock now and then. */
enum kt_status query_tick(struct plan *plan, struct kt_error *err) KT_MUST_CHECK;
/* A tick, then the series of a subject of the plan's view (a counted reference); all of query/ asks
 * for them here. KT_BUSY, and env->erased says so, when a delete took away what the view still has:
 * the question is to be asked again, of a newer view. */
enum kt_status query_series(struct plan *plan, const struct kt_subject *subject,
                            struct kt_series **ret_series, struct kt_error *err) KT_MUST_CHECK;
/* Is it one of the periods asked for? */
bool query_wants_period(const struct question *question, struct kt_str period);
/* The record that a snapshot shows of this series, or -1. */
ptrdiff_t query_newest(const struct plan *plan, const struct kt_series *series);

/* fill.c: `fill` and `max_age`. */
enum kt_status query_parse_fill(struct kt_json_fields *fields, struct question *q,
                                struct kt_error *err) KT_MUST_CHECK;
/* Sets oldest_s; now_s is known. */
void query_bind_age(struct plan *plan);
/* The value of the newest wanted record, from `newest` (an index) back, that has one. */
bool query_filled_value(const struct plan *plan, const struct kt_series *series, size_t newest,
                        uint32_t indicator, double *ret_value);

/* place.c: `cursor`. */
enum kt_status query_parse_cursor(struct kt_json_fields *fields, struct question *q,
                                  struct kt_error *err) KT_MUST_CHECK;
/* Opens the question's cursor, if it has one: sets after, and now_s to page one's. */
enum kt_status query_bind_place(struct plan *plan, struct kt_error *err) KT_MUST_CHECK;
/* Waits until the view is not older than page one's. */
enum kt_status query_hold_place(struct plan *plan, struct kt_error *err) KT_MUST_CHECK;
/* The member next_cursor; `last` holds the last row's sort value and key. */
enum kt_status query_write_next(struct plan *plan, struct place *last, struct kt_jw *jw,
                                struct kt_error *err) KT_MUST_CHECK;

/* Sets the columns to write for the records of this series. */
void query_pick_columns(struct plan *plan, const struct kt_series *series);
/* What the row of that record shows of an indicator; false when nothing. */
bool query_value(const struct plan *plan, const struct kt_series *series, size_t index,
                 uint32_t indicator, double *ret_value);
/* `,"key":value`; the first comma is left out when `first`. */
enum kt_status query_write_value(struct plan *plan, struct column *column, double value, bool first,
                                 struct kt_buf *body, struct kt_error *err) KT_MUST_CHECK;
/* KT_TOO_LARGE beyond limits.max_values or the body's bound. */
enum kt_status query_values_status(const struct plan *plan, const struct kt_buf *body,
                                   struct kt_error *err) KT_MUST_CHECK;
/* `,"key":value` for each picked column that has one; the first comma is left out when `first`.
 * KT_TOO_LARGE beyond limits.max_values or the body's bound. */
enum kt_status query_write_values(struct plan *plan, const struct kt_series *series, size_t index,
                                  bool first, struct kt_buf *body,
                                  struct kt_error *err) KT_MUST_CHECK;
/* `before` is JSON up to a string, which follows. */
void query_append_member(struct kt_buf *body, struct kt_str before, struct kt_str text);
void query_append_date(struct kt_buf *body, struct kt_str before, int64_t time_s);
void query_append_subject(struct kt_buf *body, const struct kt_subject *subject);
struct kt_str query_shown_name(const struct kt_subject *subject);
/* `dest` is room for a derived text; own texts are borrowed. */
struct kt_str query_end_date(const struct kt_record *record, char dest[11]);
struct kt_str query_year(const struct kt_record *record, char dest[11]);
struct kt_str query_declare_date(const struct kt_record *record, char dest[11]); /* or "" */

/* downsample.c: values of many records as one. */
struct bucket {
    int64_t first_s, last_s; /* its ends in the calendar */
    const size_t *records;   /* those that the question sees, ascending; plan->members */
    size_t count;
    bool declare_given; /* as in kt_record, over all of them */
    int64_t declare_s;
};
/* `interval` and `agg`. */
enum kt_status query_parse_interval(struct kt_json_fields *fields, struct question *q,
                                    struct kt_error *err) KT_MUST_CHECK;
const char *query_interval_text(enum interval interval);
/* The first and last second of the bucket with time_s in it. */
void query_bucket_of(enum interval interval, int64_t time_s, int64_t *ret_first_s,
                     int64_t *ret_last_s);
/* What agg makes of the indicator's values; none when no record has one. KT_BAD_VALUE for a sum
 * beyond the doubles. */
enum kt_status query_bucket_value(struct plan *plan, const struct kt_series *series,
                                  const struct bucket *bucket, uint32_t indicator,
                                  double *ret_value, bool *ret_has,
                                  struct kt_error *err) KT_MUST_CHECK;
/* As query_write_values, each with its comma. */
enum kt_status query_write_bucket_values(struct plan *plan, const struct kt_series *series,
                                         const struct bucket *bucket, struct kt_buf *body,
                                         struct kt_error *err) KT_MUST_CHECK;

/* period_rows.c: the rows of a subject, one by one. */
struct row_walk {
    const struct kt_series *series;
    size_t begin, end; /* records not walked yet */
    bool ascending;
};
struct period_row {
    int64_t time_s;          /* the record's, or the bucket's last second */
    size_t index;            /* without interval */
    struct kt_record record; /* without interval */
    struct bucket bucket;    /* with interval; good until the next step */
};
void query_walk_init(const struct plan *plan, const struct kt_series *series, bool ascending,
                     struct row_walk *walk);
enum kt_status query_walk_next(struct plan *plan, struct row_walk *walk, struct period_row *row,
                               bool *ret_found, struct kt_error *err) KT_MUST_CHECK;
struct kt_str query_row_date(const struct plan *plan, const struct period_row *row, char dest[11]);
enum kt_status query_row_value(struct plan *plan, const struct kt_series *series,
                               const struct period_row *row, uint32_t indicator, double *ret_value,
                               bool *ret_has, struct kt_error *err) KT_MUST_CHECK;
/* The row's object, with the columns picked. */
enum kt_status query_write_row(struct plan *plan, const struct kt_subject *subject,
                               const struct kt_series *series, const struct period_row *row,
                               struct kt_buf *body, struct kt_error *err) KT_MUST_CHECK;

/* The sticky failure of a body as an error. */
enum kt_status query_body_status(const struct kt_buf *body, struct kt_error *err) KT_MUST_CHECK;
/* X-Kamaitachi-Revision: the view's. */
void query_say_revision(const struct kt_catalogue *view, struct kt_http_response *response);
/* Takes back what a failed answer has written. */
void query_body_restore(struct kt_buf *body, size_t len_bytes);
/* What the ops run: a whole envelope. A selection's snapshot runs as any other. */
enum kt_status query_run_snapshot(struct plan *plan, struct kt_http_response *response,
                                  struct kt_error *err) KT_MUST_CHECK;
enum kt_status query_run_period(struct plan *plan, struct kt_http_response *response,
                                struct kt_error *err) KT_MUST_CHECK;
enum kt_status query_run_selection_period(struct plan *plan, struct kt_http_response *response,
                                          struct kt_error *err) KT_MUST_CHECK;
/* Plans, runs and says at which revision; a failure leaves the response as it was. */
typedef enum kt_status (*query_run_fn)(struct plan *plan, struct kt_http_response *response,
                                       struct kt_error *err);
enum kt_status query_answer(const struct kt_query_env *env, enum query_op op, struct kt_str body,
                            query_run_fn run, struct kt_http_response *response,
                            struct kt_error *err) KT_MUST_CHECK;

#endif

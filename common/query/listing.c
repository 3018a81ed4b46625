/* SPDX-License-Identifier: MIT */
/* listing.c - what there is to ask for: subjects, topics and indicators by key, in pages.
 *
 * A page is the smallest keys behind the cursor that match. Finding them looks at every key in the
 * view (they stand by number there), which costs no load; only what stands on the page is loaded,
 * to count its records. The exception is asked for by name: the indicators of a topic are those of
 * its subjects' series, so all of these are looked through, as a snapshot of the topic does.
 */
#include "http/envelope.h"
#include "query/cursor.h"
#include "query/query_impl.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 1000 /* series loaded for a page */

struct found { /* what the records of a subject, or the values of an indicator, say together */
    uint64_t subjects, records;
    int64_t first_s, last_s;
};
struct item {
    struct kt_str key;
    const struct kt_subject *subject; /* of subjects */
    uint64_t members;                 /* of topics */
    const struct found *found;        /* of a topic's indicators */
};

struct listing {
    const char *name; /* of the row's key, and the cursor's purpose */
    struct plan plan;
    struct kt_str topic, prefix, part, after;
    int64_t limit;
    struct item *items; /* while collecting a heap: items[0] has the greatest key */
    size_t count;
    uint64_t total, behind; /* that match; those of them behind the cursor */
};

static enum kt_status fail_memory(struct kt_error *err)
{
    return kt_fail(err, KT_NO_MEMORY, "no memory for the listing");
}

/* --- the question --- */

static enum kt_status parse_text(struct kt_json_fields *fields, const char *name, size_t min_bytes,
                                 struct kt_str *ret_value, struct kt_error *err)
{
    bool present = false;
    struct kt_str value;
    enum kt_status status = kt_json_get_string(fields, name, &value, &present, err);
    if (status != KT_OK || !present) {
        return status;
    }
    if (!kt_utf8_is_name(value, min_bytes, KT_QUERY_NAME_MAX)) {
        return kt_fail_field(err, KT_BAD_VALUE, name,
                             "%s must be %s128 bytes of UTF-8 without control characters", name,
                             min_bytes ? "1 to " : "at most ");
    }
    *ret_value = value;
    return KT_OK;
}

static enum kt_status parse_cursor(struct kt_json_fields *fields, struct listing *l,
                                   struct kt_error *err)
{
    bool present = false;
    struct kt_str text;
    enum kt_status status = kt_json_get_string(fields, "cursor", &text, &present, err);
    if (status != KT_OK || !present) {
        return status;
    }
    return query_cursor_open(l->plan.env->store, l->name, text, l->plan.arena, &l->after, err);
}

static enum kt_status parse_fields(struct kt_json_fields *fields, struct listing *l,
                                   struct kt_error *err)
{
    enum kt_status status = parse_text(fields, "topic", 1, &l->topic, err);
    if (status == KT_OK) {
        status = parse_text(fields, "prefix", 0, &l->prefix, err);
    }
    if (status == KT_OK) {
        status = parse_text(fields, "q", 0, &l->part, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_int(fields, "limit", 0, LIMIT_MAX, &l->limit, NULL, err);
    }
    if (status == KT_OK) {
        status = parse_cursor(fields, l, err);
    }
    l->limit = l->limit ? l->limit : LIMIT_DEFAULT;
    return status == KT_OK ? kt_json_fields_finish(fields, err) : status;
}

static enum kt_status parse(struct kt_str body, struct listing *l, struct kt_error *err)
{
    struct kt_json_fields fields;
    enum kt_status status = kt_json_parse(kt_str_trim(body).len ? body : KT_STR("{}"),
                                          l->plan.env->limits.json_depth, &l->plan.json, err);
    if (status == KT_OK) {
        status = kt_json_fields_init(&fields, kt_json_root(l->plan.json), "", err);
    }
    return status == KT_OK ? parse_fields(&fields, l, err) : status;
}

/* --- the page --- */

static void swap(struct item *a, struct item *b)
{
    struct item old = *a;
    *a = *b;
    *b = old;
}

static bool is_greater(const struct item *a, const struct item *b)
{
    return kt_str_cmp(a->key, b->key) > 0;
}

static void sift_down(struct listing *l, size_t i)
{
    for (;;) {
        size_t top = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < l->count; child++) {
            top = is_greater(&l->items[child], &l->items[top]) ? child : top;
        }
        if (top == i) {
            return;
        }
        swap(&l->items[i], &l->items[top]);
        i = top;
    }
}

static void keep(struct listing *l, const struct item *item)
{
    if (l->count == (size_t)l->limit) {
        if (is_greater(&l->items[0], item)) {
            l->items[0] = *item;
            sift_down(l, 0);
        }
        return;
    }
    size_t i = l->count++;
    l->items[i] = *item;
    for (; i > 0 && is_greater(&l->items[i], &l->items[(i - 1) / 2]); i = (i - 1) / 2) {
        swap(&l->items[i], &l->items[(i - 1) / 2]);
    }
}

/* Takes the greatest to the end until all ascend. */
static void sort_page(struct listing *l)
{
    size_t count = l->count;
    while (l->count > 1) {
        l->count--;
        swap(&l->items[0], &l->items[l->count]);
        sift_down(l, 0);
    }
    l->count = count;
}

static bool matches(const struct listing *l, struct kt_str key, struct kt_str name)
{
    return kt_str_starts(key, l->prefix) &&
           (!l->part.len || kt_str_find(key, l->part) >= 0 || kt_str_find(name, l->part) >= 0);
}

static void offer(struct listing *l, const struct item *item, struct kt_str name)
{
    if (!matches(l, item->key, name)) {
        return;
    }
    l->total++;
    if (!l->after.len || kt_str_cmp(item->key, l->after) > 0) {
        l->behind++;
        keep(l, item);
    }
}

/* The next subject of the topic ("*" and none: of all), from *pos; NULL at the end. Who is in it at
 * any time counts. */
static const struct kt_subject *next_subject(const struct listing *l, const struct kt_topic *topic,
                                             size_t *pos)
{
    const struct kt_subject *subject = NULL;
    bool all = !l->topic.len || kt_str_eq_text(l->topic, "*");
    size_t end = all ? kt_catalogue_subject_limit(l->plan.view) : topic ? topic->member_count : 0;
    while (!subject && *pos < end) {
        size_t at = (*pos)++;
        subject = kt_catalogue_subject(l->plan.view, all ? (uint32_t)at : topic->members[at]);
    }
    return subject;
}

static enum kt_status find_subjects(struct listing *l, struct kt_error *err)
{
    const struct kt_topic *topic = kt_catalogue_find_topic(l->plan.view, l->topic);
    const struct kt_subject *subject;
    size_t pos = 0;
    while ((subject = next_subject(l, topic, &pos)) != NULL) {
        struct item item = {.key = subject->key, .subject = subject};
        enum kt_status status = query_tick(&l->plan, err);
        if (status != KT_OK) {
            return status;
        }
        offer(l, &item, subject->name);
    }
    return KT_OK;
}

/* Topics without members are left out: nothing can be asked of them. */
static enum kt_status find_topics(struct listing *l, struct kt_error *err)
{
    uint32_t limit = kt_catalogue_topic_limit(l->plan.view);
    bool all = !l->topic.len || kt_str_eq_text(l->topic, "*");
    for (uint32_t i = 0; i < limit; i++) {
        const struct kt_topic *topic = kt_catalogue_topic(l->plan.view, i);
        enum kt_status status = query_tick(&l->plan, err);
        if (status != KT_OK) {
            return status;
        }
        if (topic && topic->member_count > 0 && (all || kt_str_eq(topic->key, l->topic))) {
            struct item item = {.key = topic->key, .members = topic->member_count};
            offer(l, &item, KT_STR(""));
        }
    }
    return KT_OK;
}

/* --- what is loaded --- */

static void note(struct found *found, int64_t time_s)
{
    if (found->records++ == 0) {
        found->first_s = found->last_s = time_s;
    }
    found->first_s = time_s < found->first_s ? time_s : found->first_s;
    found->last_s = time_s > found->last_s ? time_s : found->last_s;
}

/* The records that the view has of a subject. */
static enum kt_status count_records(struct listing *l, const struct kt_subject *subject,
                                    struct found *found, struct kt_error *err)
{
    struct kt_series *series = NULL;
    enum kt_status status = query_series(&l->plan, subject, &series, err);
    if (status != KT_OK) {
        return status;
    }
    size_t count = kt_series_record_count(series);
    for (size_t i = 0; i < count && status == KT_OK; i++) {
        status = query_tick(&l->plan, err);
        if (kt_series_exists(series, i, &l->plan.bounds)) {
            note(found, kt_series_time(series, i));
        }
    }
    kt_series_unref(&series);
    return status;
}

/* The values that the view has in one series, for each wanted indicator. */
static enum kt_status count_values(struct listing *l, const struct kt_series *series,
                                   const bool *wanted, uint32_t limit, struct found *founds,
                                   struct kt_error *err)
{
    double value;
    size_t count, records = kt_series_record_count(series);
    const uint32_t *numbers = kt_series_indicators(series, &count);
    for (size_t i = 0; i < count; i++) {
        if (numbers[i] >= limit || !wanted[numbers[i]]) {
            continue;
        }
        struct found *found = &founds[numbers[i]];
        uint64_t before = found->records;
        for (size_t r = 0; r < records; r++) {
            enum kt_status status = query_tick(&l->plan, err);
            if (status != KT_OK) {
                return status;
            }
            if (kt_series_value(series, r, numbers[i], &l->plan.bounds, &value)) {
                note(found, kt_series_time(series, r));
            }
        }
        found->subjects += found->records > before;
    }
    return KT_OK;
}

static enum kt_status count_topic(struct listing *l, const bool *wanted, uint32_t limit,
                                  struct found *founds, struct kt_error *err)
{
    const struct kt_topic *topic = kt_catalogue_find_topic(l->plan.view, l->topic);
    const struct kt_subject *subject;
    size_t pos = 0;
    while ((subject = next_subject(l, topic, &pos)) != NULL) {
        struct kt_series *series = NULL;
        enum kt_status status = query_series(&l->plan, subject, &series, err);
        if (status == KT_OK) {
            status = count_values(l, series, wanted, limit, founds, err);
        }
        kt_series_unref(&series);
        if (status != KT_OK) {
            return status;
        }
    }
    return KT_OK;
}

static enum kt_status find_indicators(struct listing *l, struct kt_error *err)
{
    size_t known = kt_catalogue_indicator_count(l->plan.view);
    struct found *founds = kt_arena_zalloc(l->plan.arena, known, sizeof(*founds));
    bool *wanted = kt_arena_zalloc(l->plan.arena, known, sizeof(*wanted));
    if (!founds || !wanted) {
        return fail_memory(err);
    }
    for (uint32_t i = 0; i < known; i++) {
        wanted[i] = matches(l, kt_catalogue_indicator(l->plan.view, i), KT_STR(""));
    }
    if (l->topic.len) {
        enum kt_status status = count_topic(l, wanted, (uint32_t)known, founds, err);
        if (status != KT_OK) {
            return status;
        }
    }
    for (uint32_t i = 0; i < known; i++) {
        struct item item = {.key = kt_catalogue_indicator(l->plan.view, i)};
        if (l->topic.len) {
            item.found = &founds[i];
        }
        if (!item.found || item.found->records > 0) {
            offer(l, &item, KT_STR(""));
        }
    }
    return KT_OK;
}

/* --- the answer --- */

static void write_found(struct kt_jw *jw, const struct found *found)
{
    kt_jw_kv_u64(jw, "records", found->records);
    if (found->records > 0) {
        kt_jw_kv_i64(jw, "first", found->first_s);
        kt_jw_kv_i64(jw, "last", found->last_s);
    }
}

static enum kt_status write_subject(struct listing *l, const struct kt_subject *subject,
                                    struct kt_jw *jw, struct kt_error *err)
{
    struct found found = {0};
    kt_jw_kv_str(jw, "name", query_shown_name(subject));
    kt_jw_kv_str(jw, "status", subject->status);
    kt_jw_kv_str(jw, "listing_date", subject->listing_date);
    kt_jw_kv_str(jw, "category", subject->category);
    enum kt_status status = count_records(l, subject, &found, err);
    write_found(jw, &found);
    return status;
}

static enum kt_status write_page(struct listing *l, struct kt_jw *jw, struct kt_error *err)
{
    kt_jw_array(jw);
    for (size_t i = 0; i < l->count; i++) {
        const struct item *item = &l->items[i];
        kt_jw_object(jw);
        kt_jw_kv_str(jw, l->name, item->key);
        if (item->subject) {
            enum kt_status status = write_subject(l, item->subject, jw, err);
            if (status != KT_OK) {
                return status;
            }
        } else if (item->members > 0) {
            kt_jw_kv_u64(jw, "subjects", item->members);
        } else if (item->found) {
            kt_jw_kv_u64(jw, "subjects", item->found->subjects);
            write_found(jw, item->found);
        }
        kt_jw_object_end(jw);
    }
    kt_jw_array_end(jw);
    return KT_OK;
}

static enum kt_status write_answer(struct listing *l, struct kt_http_response *response,
                                   struct kt_error *err)
{
    struct kt_jw jw;
    struct kt_str cursor;
    kt_envelope_begin(response, &jw);
    enum kt_status status = write_page(l, &jw, err);
    if (status != KT_OK) {
        return status;
    }
    kt_jw_kv_u64(&jw, "total", l->total);
    if (l->behind > l->count) {
        status = query_cursor_seal(l->plan.env->store, l->name, l->items[l->count - 1].key,
                                   l->plan.arena, &cursor, err);
        if (status != KT_OK) {
            return status;
        }
        kt_jw_kv_str(&jw, "next_cursor", cursor);
    }
    kt_envelope_end(&jw);
    return query_body_status(&response->body, err);
}

typedef enum kt_status (*find_fn)(struct listing *l, struct kt_error *err);

static enum kt_status run(struct listing *l, struct kt_str body, find_fn find,
                          struct kt_http_response *response, struct kt_error *err)
{
    enum kt_status status = query_plan_listing(&l->plan, err);
    if (status == KT_OK) {
        status = parse(body, l, err);
    }
    if (status != KT_OK) {
        return status;
    }
    l->items = kt_arena_zalloc(l->plan.arena, (size_t)l->limit, sizeof(*l->items));
    if (!l->items) {
        return fail_memory(err);
    }
    status = find(l, err);
    if (status != KT_OK) {
        return status;
    }
    sort_page(l);
    return write_answer(l, response, err);
}

static enum kt_status answer(const struct kt_query_env *env, const char *name, find_fn find,
                             struct kt_str body, struct kt_http_response *response,
                             struct kt_error *err)
{
    struct listing l = {.name = name, .plan = {.env = env}};
    size_t len_bytes = response->body.len_bytes;
    enum kt_status status = run(&l, body, find, response, err);
    if (status == KT_OK) {
        query_say_revision(l.plan.view, response);
    } else {
        query_body_restore(&response->body, len_bytes);
    }
    query_plan_done(&l.plan);
    return status;
}

enum kt_status kt_query_subjects(const struct kt_query_env *env, struct kt_str body,
                                 struct kt_http_response *response, struct kt_error *err)
{
    return answer(env, "subject", find_subjects, body, response, err);
}

enum kt_status kt_query_topics(const struct kt_query_env *env, struct kt_str body,
                               struct kt_http_response *response, struct kt_error *err)
{
    return answer(env, "topic", find_topics, body, response, err);
}

enum kt_status kt_query_indicators(const struct kt_query_env *env, struct kt_str body,
                                   struct kt_http_response *response, struct kt_error *err)
{
    return answer(env, "indicator", find_indicators, body, response, err);
}

/* SPDX-License-Identifier: MIT */
/* batch.c - several questions in one request, answered from one view.
 *
 * All questions are read first, then each waits for what its recorded_by asks for, then one view is
 * taken for all. From there on they run one after the other, and share what one request may have:
 * subjects named, values, bytes of the answer, time.
 */
#include "http/envelope.h"
#include "query/query_impl.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* An entry that fails has room for its error: id and message with each byte escaped to six. */
#define ERROR_BYTES ((size_t)4608)

struct op {
    const char *name;
    enum query_op op;
    query_run_fn run;
};
static const struct op ops[] = {
    {"snapshot", QUERY_SNAPSHOT, query_run_snapshot},
    {"period", QUERY_PERIOD, query_run_period},
    {"selection_snapshot", QUERY_SELECTION_SNAPSHOT, query_run_snapshot},
    {"selection_period", QUERY_SELECTION_PERIOD, query_run_selection_period},
};

struct entry {
    struct kt_str id;
    const struct op *op;
    const struct kt_json_value *body; /* NULL = {} */
    struct plan plan;
    struct kt_error err; /* status KT_OK = may be asked */
};

struct batch {
    struct kt_query_env env; /* what the plans see; its bounds move */
    struct kt_arena *arena;
    struct kt_json *json;
    struct entry *entries;
    size_t count;
};

/* --- the form --- */

static enum kt_status parse_id(struct kt_json_fields *fields, struct batch *b, struct entry *entry,
                               struct kt_error *err)
{
    char path[160];
    bool present = false;
    enum kt_status status = kt_json_get_string(fields, "id", &entry->id, &present, err);
    if (status != KT_OK) {
        return status;
    }
    kt_json_field_path(fields, "id", path);
    if (!present || !kt_utf8_is_name(entry->id, 1, KT_QUERY_NAME_MAX)) {
        return kt_fail_field(err, KT_BAD_VALUE, path,
                             "%s must be 1 to 128 bytes of UTF-8 without control characters", path);
    }
    for (const struct entry *other = b->entries; other < entry; other++) {
        if (kt_str_eq(other->id, entry->id)) {
            return kt_fail_field(err, KT_BAD_VALUE, path, "%s is that of queries[%zu] too", path,
                                 (size_t)(other - b->entries));
        }
    }
    return KT_OK;
}

static enum kt_status parse_op(struct kt_json_fields *fields, struct entry *entry,
                               struct kt_error *err)
{
    char path[160];
    bool present = false;
    struct kt_str name = {NULL, 0};
    enum kt_status status = kt_json_get_string(fields, "op", &name, &present, err);
    if (status != KT_OK) {
        return status;
    }
    for (size_t i = 0; present && i < KT_ARRAY_LEN(ops); i++) {
        if (kt_str_eq_text(name, ops[i].name)) {
            entry->op = &ops[i];
            return KT_OK;
        }
    }
    kt_json_field_path(fields, "op", path);
    return kt_fail_field(err, KT_BAD_VALUE, path,
                         "%s must be snapshot, period, selection_snapshot or selection_period",
                         path);
}

static enum kt_status parse_entry(const struct kt_json_value *value, struct batch *b,
                                  struct entry *entry, struct kt_error *err)
{
    char path[32];
    struct kt_json_fields fields;
    snprintf(path, sizeof path, "queries[%zu]", (size_t)(entry - b->entries));
    enum kt_status status = kt_json_fields_init(&fields, value, path, err);
    if (status == KT_OK) {
        status = parse_id(&fields, b, entry, err);
    }
    if (status == KT_OK) {
        status = parse_op(&fields, entry, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_object(&fields, "body", &entry->body, NULL, err);
    }
    return status == KT_OK ? kt_json_fields_finish(&fields, err) : status;
}

static enum kt_status parse_entries(const struct kt_json_value *array, struct batch *b,
                                    struct kt_error *err)
{
    size_t count = kt_json_count(array), at = 0;
    if (count == 0 || count > KT_QUERY_BATCH_MAX) {
        return kt_fail_field(err, count ? KT_TOO_LARGE : KT_BAD_VALUE, "queries",
                             "queries must hold 1 to %d questions, not %zu", KT_QUERY_BATCH_MAX,
                             count);
    }
    b->entries = kt_arena_zalloc(b->arena, count, sizeof(*b->entries));
    if (!b->entries) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for the query");
    }
    for (const struct kt_json_value *item = kt_json_next(array, NULL); item;
         item = kt_json_next(array, item)) {
        enum kt_status status = parse_entry(item, b, &b->entries[at++], err);
        if (status != KT_OK) {
            return status;
        }
    }
    b->count = count;
    return KT_OK;
}

static enum kt_status parse_form(struct kt_str body, struct batch *b, struct kt_error *err)
{
    bool present = false;
    struct kt_json_fields fields;
    const struct kt_json_value *array = NULL;
    enum kt_status status = kt_json_parse(kt_str_trim(body).len ? body : KT_STR("{}"),
                                          b->env.limits.json_depth, &b->json, err);
    if (status == KT_OK) {
        status = kt_json_fields_init(&fields, kt_json_root(b->json), "", err);
    }
    if (status == KT_OK) {
        status = kt_json_get_array(&fields, "queries", &array, &present, err);
    }
    if (status == KT_OK && !present) {
        status = kt_fail_field(err, KT_BAD_VALUE, "queries", "queries must be given");
    }
    if (status == KT_OK) {
        status = kt_json_fields_finish(&fields, err);
    }
    return status == KT_OK ? parse_entries(array, b, err) : status;
}

/* --- the questions --- */

/* What is wrong with one is its own affair, but together they may not name too much. */
static enum kt_status read_questions(struct batch *b, struct kt_error *err)
{
    size_t subjects = 0;
    for (size_t i = 0; i < b->count; i++) {
        struct entry *entry = &b->entries[i];
        entry->err.status = query_plan_question(&b->env, entry->op->op, KT_STR(""), entry->body,
                                                &entry->plan, &entry->err);
        subjects += entry->err.status == KT_OK ? entry->plan.q.subject_count : 0;
    }
    if (subjects > (size_t)b->env.limits.max_subjects) {
        return kt_fail_field(err, KT_TOO_LARGE, "queries",
                             "queries name %zu subjects, at most %lld are allowed", subjects,
                             (long long)b->env.limits.max_subjects);
    }
    return KT_OK;
}

/* Half of the time that is left is for waiting: one question whose revision does not come must not
 * take the others' time. */
static void wait_for_all(struct batch *b)
{
    int64_t deadline_mono_ms = b->env.deadline_mono_ms, now_mono_ms = kt_now_mono_ms();
    if (deadline_mono_ms > now_mono_ms) {
        b->env.deadline_mono_ms = now_mono_ms + (deadline_mono_ms - now_mono_ms) / 2;
    }
    for (size_t i = 0; i < b->count; i++) {
        struct entry *entry = &b->entries[i];
        if (entry->err.status == KT_OK) {
            entry->err.status = query_plan_wait(&entry->plan, &entry->err);
        }
    }
    b->env.deadline_mono_ms = deadline_mono_ms;
}

/* Binds and runs, leaving so many bytes for errors; *used_values grows by what the answer holds. */
static enum kt_status run_entry(struct entry *entry, struct kt_catalogue *view, size_t reserve,
                                int64_t *used_values, struct kt_http_response *response)
{
    struct plan *plan = &entry->plan;
    size_t len_bytes = response->body.len_bytes, max_bytes = response->body.max_bytes;
    if (entry->err.status != KT_OK) {
        return entry->err.status;
    }
    response->body.max_bytes = max_bytes > reserve ? max_bytes - reserve : max_bytes;
    query_plan_share(plan, view);
    enum kt_status status = query_plan_bind(plan, &entry->err);
    if (status == KT_OK) {
        plan->values = *used_values;
        status = entry->op->run(plan, response, &entry->err);
    }
    if (status == KT_OK) {
        *used_values = plan->values;
    } else {
        query_body_restore(&response->body, len_bytes);
        entry->err.status = status;
    }
    response->body.max_bytes = max_bytes;
    return status;
}

/* {"id":…, and then the envelope's own members. */
static void write_entry(struct entry *entry, struct kt_catalogue *view, size_t reserve,
                        int64_t *used_values, struct kt_http_response *response)
{
    struct kt_jw jw;
    struct kt_buf *body = &response->body;
    kt_jw_init(&jw, body);
    kt_jw_object(&jw);
    kt_jw_kv_str(&jw, "id", entry->id);
    size_t brace = body->len_bytes;
    if (run_entry(entry, view, reserve, used_values, response) != KT_OK) {
        kt_envelope_error_body(body, &entry->err);
    }
    if (kt_buf_status(body) == KT_OK) {
        body->data[brace] = ',';
    }
}

static enum kt_status write_entries(struct batch *b, struct kt_catalogue *view,
                                    struct kt_http_response *response, struct kt_error *err)
{
    struct kt_jw jw;
    struct kt_buf *body = &response->body;
    int64_t used_values = 0;
    kt_envelope_begin(response, &jw);
    kt_jw_array(&jw);
    for (size_t i = 0; i < b->count; i++) {
        if (i > 0) {
            kt_buf_append_byte(body, ',');
        }
        write_entry(&b->entries[i], view, (b->count - i) * ERROR_BYTES, &used_values, response);
        query_plan_done(&b->entries[i].plan);
    }
    kt_jw_array_end(&jw);
    kt_envelope_end(&jw);
    return query_body_status(body, err);
}

enum kt_status kt_query_batch(const struct kt_query_env *env, struct kt_str body,
                              struct kt_http_response *response, struct kt_error *err)
{
    struct batch b = {.env = *env};
    struct kt_catalogue *view = NULL;
    size_t len_bytes = response->body.len_bytes;
    b.arena = kt_arena_new(4096, (size_t)1 << 20);
    enum kt_status status =
        b.arena ? parse_form(body, &b, err) : kt_fail(err, KT_NO_MEMORY, "no memory for the query");
    if (status == KT_OK) {
        status = read_questions(&b, err);
    }
    if (status == KT_OK) {
        wait_for_all(&b);
        view = kt_store_view(env->store);
        status = write_entries(&b, view, response, err);
    }
    if (status == KT_OK) {
        query_say_revision(view, response);
    } else {
        query_body_restore(&response->body, len_bytes);
    }
    kt_catalogue_unref(&view);
    for (size_t i = 0; i < b.count; i++) {
        query_plan_done(&b.entries[i].plan);
    }
    kt_json_free(&b.json);
    kt_arena_free(&b.arena);
    return status;
}

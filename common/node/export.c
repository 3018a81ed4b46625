/* SPDX-License-Identifier: MIT */
/* GET …/data/v1/export: the state of one revision as a stream. Memory is bounded by one piece of
 * the answer, one record, and eight bytes a subject.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/export_impl.h"
#include "node/import_impl.h"
#include "query/query.h"
#include "json/read.h"
#include "json/write.h"

#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES 65536 /* a piece ends with the line that reaches it */

/* --- the query string --- */

struct export_question {
    bool csv, versions;
    struct kt_str topic;
    struct kt_str *subjects, *ids;
    size_t subject_count, id_count;
    int64_t from_s, to_s;
};

static enum kt_status bad(const char *field, const char *expected, struct kt_error *err)
{
    return kt_fail_field(err, KT_BAD_VALUE, field, "%s must be %s", field, expected);
}

static enum kt_status parse_choices(struct kt_json_fields *fields, struct export_question *q,
                                    struct kt_error *err)
{
    struct kt_str text = KT_STR("");
    bool present = false;
    enum kt_status status = kt_json_get_string(fields, "format", &text, &present, err);
    if (status == KT_OK && present) {
        q->csv = kt_str_eq_text(text, "csv");
        if (!q->csv && !kt_str_eq_text(text, "ndjson")) {
            status = bad("format", "ndjson or csv", err);
        }
    }
    if (status == KT_OK) {
        status = kt_json_get_string(fields, "versions", &text, &present, err);
    }
    if (status == KT_OK && present) {
        q->versions = kt_str_eq_text(text, "1");
        if (!q->versions && !kt_str_eq_text(text, "0")) {
            status = bad("versions", "0 or 1", err);
        }
    }
    if (status == KT_OK && q->versions && q->csv) {
        status = kt_fail_field(err, KT_BAD_VALUE, "versions",
                               "versions: csv has no versions, use format=ndjson");
    }
    return status;
}

static enum kt_status parse_topic(struct kt_json_fields *fields, struct export_question *q,
                                  struct kt_error *err)
{
    bool present = false;
    enum kt_status status = kt_json_get_string(fields, "topic", &q->topic, &present, err);
    if (status == KT_OK && present && !kt_utf8_is_name(q->topic, 1, 128)) {
        status = bad("topic", "a topic's name of 1 to 128 bytes", err);
    }
    if (status == KT_OK && kt_str_eq_text(q->topic, "*")) {
        q->topic = KT_STR(""); /* every subject */
    }
    if (status == KT_OK && present && q->subject_count > 0) {
        status = kt_fail_field(err, KT_BAD_VALUE, "topic", "topic can't be given with subjects");
    }
    return status;
}

static enum kt_status parse_fields(struct kt_json_fields *fields, const struct kt_node *node,
                                   struct kt_arena *arena, struct export_question *q,
                                   struct kt_error *err)
{
    size_t max_ids = (size_t)node->config->limits.indicators;
    size_t max_subjects = (size_t)node->config->limits.subjects;
    enum kt_status status = parse_choices(fields, q, err);
    if (status == KT_OK) {
        status = kt_field_list(fields, "ids", max_ids, arena, &q->ids, &q->id_count, NULL, err);
    }
    if (status == KT_OK) {
        status = kt_field_list(fields, "subjects", max_subjects, arena, &q->subjects,
                               &q->subject_count, NULL, err);
    }
    if (status == KT_OK) {
        status = parse_topic(fields, q, err);
    }
    if (status == KT_OK) {
        status = kt_field_time(fields, "from", KT_TIME_LOWER, &q->from_s, NULL, err);
    }
    if (status == KT_OK) {
        status = kt_field_time(fields, "to", KT_TIME_UPPER, &q->to_s, NULL, err);
    }
    if (status == KT_OK) {
        status = kt_json_fields_finish(fields, err);
    }
    if (status == KT_OK && q->from_s > q->to_s) {
        status = bad("from", "at or before to", err);
    }
    return status;
}

/* --- what is exported --- */

static enum kt_status no_memory(struct kt_error *err)
{
    return kt_fail(err, KT_NO_MEMORY, "no memory for an export");
}

static int by_key(const void *a, const void *b)
{
    const struct kt_subject *x = *(const struct kt_subject *const *)a;
    const struct kt_subject *y = *(const struct kt_subject *const *)b;
    return kt_str_cmp(x->key, y->key);
}

static void add_subject(struct export *export, const struct kt_subject *subject)
{
    if (subject) {
        export->subjects[export->subject_count++] = subject;
    }
}

static void add_members(struct export *export, const struct kt_topic *topic)
{
    const struct kt_catalogue *view = kt_export_view(export->source);
    for (size_t i = 0; topic && i < topic->member_count; i++) {
        const struct kt_subject *subject = kt_catalogue_subject(view, topic->members[i]);
        if (subject && kt_subject_in_topic(subject, topic->number, export->from_s, export->to_s)) {
            add_subject(export, subject);
        }
    }
}

/* Sorted, and each once: a list may name a subject twice. */
static void settle_subjects(struct export *export)
{
    size_t used = 0;
    if (export->subject_count > 1) {
        qsort(export->subjects, export->subject_count, sizeof(*export->subjects), by_key);
    }
    for (size_t i = 0; i < export->subject_count; i++) {
        if (used == 0 || export->subjects[used - 1] != export->subjects[i]) {
            export->subjects[used++] = export->subjects[i];
        }
    }
    export->subject_count = used;
}

static enum kt_status pick_subjects(struct export *export, const struct export_question *q,
                                    struct kt_error *err)
{
    const struct kt_catalogue *view = kt_export_view(export->source);
    const struct kt_topic *topic =
        q->topic.len > 0 ? kt_catalogue_find_topic(view, q->topic) : NULL;
    size_t room = q->subject_count > 0 ? q->subject_count
                  : q->topic.len > 0   ? (topic ? topic->member_count : 0)
                                       : kt_catalogue_subject_count(view);
    export->topic = topic ? topic->key : KT_STR(""); /* of the view: the request ends before */
    export->subjects = kt_calloc(room + 1, sizeof(*export->subjects));
    if (!export->subjects) {
        return no_memory(err);
    }
    for (size_t i = 0; i < q->subject_count; i++) {
        add_subject(export, kt_catalogue_find_subject(view, q->subjects[i]));
    }
    if (q->topic.len > 0) {
        add_members(export, topic);
    } else if (q->subject_count == 0) {
        for (uint32_t i = 0; i < kt_catalogue_subject_limit(view); i++) {
            add_subject(export, kt_catalogue_subject(view, i));
        }
    }
    settle_subjects(export);
    return KT_OK;
}

static enum kt_status pick_indicators(struct export *export, const struct export_question *q,
                                      struct kt_error *err)
{
    const struct kt_catalogue *view = kt_export_view(export->source);
    size_t count = 0;
    const uint32_t *sorted = kt_catalogue_indicators_sorted(view, &count);
    export->rank_of = kt_calloc(count + 1, sizeof(*export->rank_of));
    export->numbers = kt_calloc(count + 1, sizeof(*export->numbers));
    export->cells = kt_calloc(count + 1, sizeof(*export->cells));
    export->states = kt_calloc(count + 1, sizeof(*export->states));
    export->touched = kt_calloc(count + 1, sizeof(*export->touched));
    if (!export->rank_of || !export->numbers || !export->cells || !export->states ||
        !export->touched) {
        return no_memory(err);
    }
    for (size_t i = 0; i < q->id_count; i++) {
        uint32_t number;
        if (kt_catalogue_find_indicator(view, q->ids[i], &number)) {
            export->rank_of[number] = 1; /* wanted; its rank comes below */
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (q->id_count == 0 || export->rank_of[sorted[i]]) {
            export->numbers[export->rank_count++] = sorted[i];
            export->rank_of[sorted[i]] = (uint32_t) export->rank_count;
        }
    }
    return KT_OK;
}

/* Import would read such a column as something else. */
static enum kt_status check_csv_columns(const struct export *export, struct kt_error *err)
{
    const struct kt_catalogue *view = kt_export_view(export->source);
    for (size_t rank = 0; rank < export->rank_count; rank++) {
        struct kt_str key = kt_catalogue_indicator(view, export->numbers[rank]);
        if (!kt_import_is_column_name(key)) {
            char shown[72];
            kt_str_copy(shown, sizeof(shown), key);
            return kt_fail_field(err, KT_BAD_VALUE, "ids",
                                 "ids: an import of csv would not read the indicator '%s' back "
                                 "under its name, leave it out or use format=ndjson",
                                 shown);
        }
    }
    return KT_OK;
}

/* --- the stream --- */

static void export_done(void *ctx)
{
    struct export *export = ctx;
    if (export->source) {
        kt_log(INFO, "export", "ended",
               "request=%s whole=%s revision=%llu subjects=%llu records=%llu bytes=%llu ms=%lld",
               export->request_id, export->phase == EXPORT_END ? "yes" : "no",
               (unsigned long long)kt_catalogue_revision(kt_export_view(export->source)),
               (unsigned long long)export->subject_lines, (unsigned long long)export->record_lines,
               (unsigned long long)export->bytes,
               (long long)(kt_now_mono_ms() - export->begun_mono_ms));
    }
    kt_export_close(&export->source);
    kt_free(export->subjects);
    kt_free(export->rank_of);
    kt_free(export->numbers);
    kt_free(export->cells);
    kt_free(export->states);
    kt_free(export->touched);
    atomic_fetch_sub(&export->node->exports_running, 1);
    kt_free(export);
}

static const struct kt_subject *subject_at_hand(const struct export *export)
{
    return export->subjects[export->at - 1];
}

static void begin_subject(struct export *export)
{
    if (export->at == export->subject_count) {
        export->phase = EXPORT_END;
        return;
    }
    const struct kt_subject *subject = export->subjects[export->at++];
    kt_export_seek(export->source, subject->number, export->from_s, export->to_s);
    export->in_subject = true;
}

/* One version further; a record is written when the next one begins. */
static enum kt_status step_record(struct export *export, struct kt_buf *chunk, struct kt_error *err)
{
    struct kt_version version;
    if (!export->in_subject) {
        begin_subject(export);
        return KT_OK;
    }
    enum kt_status status = kt_export_next(export->source, &version, err);
    bool more = status == KT_OK;
    if (status == KT_NOT_FOUND) {
        export->in_subject = false;
        status = KT_OK;
    }
    bool ends =
        export->record.any && (!more || export->versions || !export_same_record(export, &version));
    if (status == KT_OK && ends) {
        status = export_record_line(export, subject_at_hand(export), chunk, err);
    }
    if (status == KT_OK && more) {
        status = export_take_version(export, &version, err);
    }
    return status;
}

static enum kt_status step(struct export *export, struct kt_buf *chunk, struct kt_error *err)
{
    switch (export->phase) {
    case EXPORT_HEADER:
        if (export->csv) {
            export_header_line(export, chunk);
        }
        export->phase = export->csv ? EXPORT_RECORDS : EXPORT_SUBJECTS;
        return KT_OK;
    case EXPORT_SUBJECTS:
        if (export->at < export->subject_count) {
            return export_subject_line(export, export->subjects[export->at++], chunk, err);
        }
        export->at = 0;
        export->phase = EXPORT_RECORDS;
        return KT_OK;
    case EXPORT_RECORDS:
        return step_record(export, chunk, err);
    case EXPORT_END:
        break;
    }
    return KT_OK;
}

static enum kt_status export_next(void *ctx, struct kt_buf *chunk, struct kt_error *err)
{
    struct export *export = ctx;
    enum kt_status status = KT_OK;
    if (kt_now_mono_ms() > export->deadline_mono_ms) {
        return kt_fail(err, KT_TIMEOUT, "the export took longer than it may");
    }
    while (status == KT_OK && export->phase != EXPORT_END && chunk->len_bytes < PIECE_BYTES) {
        status = step(export, chunk, err);
        if (status == KT_OK && kt_buf_status(chunk) != KT_OK) {
            status = no_memory(err);
        }
    }
    export->bytes += chunk->len_bytes;
    return status;
}

/* --- the handler --- */

static enum kt_status take_place(struct kt_node *node, struct kt_error *err)
{
    int limit = (int)node->config->limits.exports;
    if (atomic_fetch_add(&node->exports_running, 1) >= limit) {
        atomic_fetch_sub(&node->exports_running, 1);
        return kt_fail(err, KT_BUSY, "%d exports are under way already ([limits] exports)", limit);
    }
    return KT_OK;
}

static enum kt_status begin(struct export *export, const struct export_question *q,
                            struct kt_error *err)
{
    export->csv = q->csv;
    export->versions = q->versions;
    export->from_s = q->from_s;
    export->to_s = q->to_s;
    enum kt_status status = kt_export_open(export->node->store, &export->source, err);
    if (status == KT_OK) {
        status = pick_subjects(export, q, err);
    }
    if (status == KT_OK) {
        status = pick_indicators(export, q, err);
    }
    if (status == KT_OK && export->csv) {
        status = check_csv_columns(export, err);
    }
    return status;
}

static enum kt_status start(struct kt_node *node, const struct kt_http_request *request,
                            const struct export_question *q, struct kt_http_response *response,
                            struct kt_error *err)
{
    enum kt_status status = take_place(node, err);
    if (status != KT_OK) {
        return status;
    }
    struct export *export = kt_calloc(1, sizeof(*export));
    if (!export) {
        atomic_fetch_sub(&node->exports_running, 1);
        return no_memory(err);
    }
    export->node = node;
    export->begun_mono_ms = kt_now_mono_ms();
    export->deadline_mono_ms = export->begun_mono_ms + node->config->limits.export_s * 1000;
    if (request->deadline_given && request->deadline_mono_ms < export->deadline_mono_ms) {
        export->deadline_mono_ms = request->deadline_mono_ms;
    }
    memcpy(export->request_id, request->request_id, sizeof(export->request_id));
    status = begin(export, q, err);
    if (status != KT_OK) {
        export_done(export);
        return status;
    }
    uint64_t revision = kt_catalogue_revision(kt_export_view(export->source));
    kt_log(INFO, "export", "begun", "request=%s revision=%llu format=%s versions=%d subjects=%zu",
           export->request_id, (unsigned long long)revision, export->csv ? "csv" : "ndjson",
           export->versions, export->subject_count);
    kt_http_response_header_fmt(response, "X-Kamaitachi-Revision", "%llu",
                                (unsigned long long)revision);
    kt_http_response_header(response, "Cache-Control", KT_STR("no-cache"));
    response->content_type = export->csv ? "text/csv; charset=utf-8" : "application/x-ndjson";
    response->stream_next = export_next;
    response->stream_done = export_done;
    response->stream_ctx = export;
    return KT_OK;
}

void kt_node_export(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    struct kt_error err = KT_ERROR_INIT;
    struct export_question q = {.topic = KT_STR(""), .from_s = KT_TIME_MIN, .to_s = KT_TIME_MAX};
    struct kt_json_fields fields;
    struct kt_json *json = NULL;
    struct kt_buf params;
    kt_buf_init(&params, 0);
    enum kt_status status = kt_node_check_consistency(node, request, &err);
    if (status == KT_OK) {
        status = kt_query_body_of_params(request, &params, &err);
    }
    if (status == KT_OK) {
        status = kt_json_parse(kt_buf_str(&params), KT_JSON_DEPTH_DEFAULT, &json, &err);
    }
    if (status == KT_OK) {
        status = kt_json_fields_init(&fields, kt_json_root(json), "", &err);
    }
    if (status == KT_OK) {
        status = parse_fields(&fields, node, request->arena, &q, &err);
    }
    if (status == KT_OK) {
        status = start(node, request, &q, response, &err);
    }
    if (status != KT_OK) {
        kt_node_fail(node, response, false, &err);
    }
    kt_json_free(&json);
    kt_buf_done(&params);
}

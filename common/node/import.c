/* SPDX-License-Identifier: MIT */
/* The stream: lines become a batch, a full batch is submitted, the report counts what is committed.
 * Within a batch a subject's attributes are merged, the later line winning, so that the change
 * names each subject once.
 */
#include "node/import.h"

#include "base/hash.h"
#include "base/mem.h"
#include "node/gunzip.h"
#include "node/import_impl.h"

#include <string.h>

/* What a text, a subject and a stay take besides their characters, at most: in an encoded change
 * (change_build.c counts ten bytes a number) and in the arena until then. */
#define TEXT_BYTES 16
#define SUBJECT_BYTES 160
#define STAY_BYTES 64

/* Subjects are counted by the 64-bit hash of their key: eight bytes each, whatever their number. */
struct key_set {
    uint64_t *slots; /* 0 = free */
    size_t cap, count;
};

/* What a batch's lines say of one subject. */
struct pending_subject {
    struct kt_change_subject subject; /* strings stand in `text` */
    struct kt_change_stay *stays;     /* in `text`; grown by doubling */
    size_t stay_cap;
    struct kt_str key;
    struct pending_subject *next;
};

struct import {
    const struct kt_import_options *options;
    const struct kt_import_limits *limits;
    kt_import_submit_fn submit;
    void *submit_ctx;
    struct kt_import_report *report;
    struct kt_csv csv;
    struct import_columns columns;
    struct import_row row;
    enum time_format time_format;
    struct kt_change_builder *builder;
    struct kt_arena *text;  /* strings of the batch's subjects */
    struct kt_map *pending; /* key -> struct pending_subject, in `text` */
    struct pending_subject *pending_first, *pending_last;
    struct key_set subjects;
    uint64_t batch_values, batch_records;
    size_t pending_bytes; /* what the batch's subjects will add to it, roughly */
    struct kt_buf encoded;
};

/* --- counting subjects --- */

static bool key_set_add(struct key_set *set, struct kt_str key)
{
    if ((set->count + 1) * 4 > set->cap * 3) {
        struct key_set grown = {NULL, set->cap ? set->cap * 2 : 1024, 0};
        grown.slots = kt_calloc(grown.cap, sizeof(*grown.slots));
        if (!grown.slots) {
            return false;
        }
        for (size_t i = 0; i < set->cap; i++) {
            uint64_t hash = set->slots[i];
            size_t at = (size_t)hash & (grown.cap - 1);
            while (hash && grown.slots[at]) {
                at = (at + 1) & (grown.cap - 1);
            }
            if (hash) {
                grown.slots[at] = hash;
            }
        }
        grown.count = set->count;
        kt_free(set->slots);
        *set = grown;
    }
    uint64_t hash = kt_hash64(key.data, key.len);
    hash = hash ? hash : 1;
    size_t at = (size_t)hash & (set->cap - 1);
    while (set->slots[at] && set->slots[at] != hash) {
        at = (at + 1) & (set->cap - 1);
    }
    set->count += set->slots[at] == 0;
    set->slots[at] = hash;
    return true;
}

/* --- a batch --- */

static enum kt_status no_memory(struct kt_error *err)
{
    return kt_fail(err, KT_NO_MEMORY, "out of memory for an import's batch");
}

/* A text for the batch's end. Subjects are put into the builder when the batch is cut, but their
 * bytes count as they come, or a batch of long names would outgrow its bound. */
static struct kt_str keep_text(struct import *import, struct kt_str text)
{
    import->pending_bytes += text.len + TEXT_BYTES;
    return kt_arena_dup(import->text, text);
}

static bool merge_text(struct import *import, struct kt_opt_text *into,
                       const struct kt_opt_text *from)
{
    if (from->named != KT_NAMED || (into->named == KT_NAMED && kt_str_eq(into->text, from->text))) {
        return true;
    }
    into->named = KT_NAMED;
    into->text = keep_text(import, from->text);
    return into->text.data != NULL;
}

static bool merge_stay(struct import *import, struct pending_subject *pending,
                       const struct kt_change_stay *stay)
{
    size_t count = pending->subject.stay_count;
    for (size_t i = 0; i < count; i++) {
        if (kt_str_eq(pending->stays[i].topic, stay->topic)) {
            return true;
        }
    }
    if (count == pending->stay_cap) {
        size_t cap = count ? count * 2 : 1;
        struct kt_change_stay *stays = kt_arena_zalloc(import->text, cap, sizeof(*stays));
        if (!stays) {
            return false;
        }
        if (count > 0) {
            memcpy(stays, pending->stays, count * sizeof(*stays));
        }
        pending->stays = stays;
        pending->stay_cap = cap;
    }
    pending->stays[count] = *stay;
    pending->stays[count].topic = keep_text(import, stay->topic);
    pending->subject.topics_mode = KT_TOPICS_ADD_IF_NONE;
    pending->subject.stays = pending->stays;
    pending->subject.stay_count = count + 1;
    import->pending_bytes += STAY_BYTES;
    return pending->stays[count].topic.data != NULL;
}

static bool names_something(const struct kt_change_subject *subject)
{
    return subject->name.named == KT_NAMED || subject->status.named == KT_NAMED ||
           subject->category.named == KT_NAMED || subject->stay_count > 0;
}

static struct pending_subject *add_pending(struct import *import, struct kt_str key)
{
    struct pending_subject *pending = kt_arena_zalloc(import->text, 1, sizeof(*pending));
    if (!pending) {
        return NULL;
    }
    pending->key = keep_text(import, key);
    import->pending_bytes += SUBJECT_BYTES;
    if (!pending->key.data || kt_map_put(import->pending, key, pending, NULL) != KT_OK) {
        return NULL;
    }
    pending->subject.key = pending->key;
    if (import->pending_last) {
        import->pending_last->next = pending;
    } else {
        import->pending_first = pending;
    }
    import->pending_last = pending;
    return pending;
}

static enum kt_status merge_subject(struct import *import, struct kt_error *err)
{
    const struct kt_change_subject *line = &import->row.subject;
    if (!names_something(line)) {
        return KT_OK;
    }
    struct pending_subject *pending = kt_map_get(import->pending, line->key);
    if (!pending) {
        pending = add_pending(import, line->key);
    }
    if (!pending || !merge_text(import, &pending->subject.name, &line->name) ||
        !merge_text(import, &pending->subject.status, &line->status) ||
        !merge_text(import, &pending->subject.category, &line->category)) {
        return no_memory(err);
    }
    bool merged = line->stay_count == 0 || merge_stay(import, pending, &line->stays[0]);
    return merged ? KT_OK : no_memory(err);
}

static void clear_batch(struct import *import)
{
    kt_change_builder_reset(import->builder);
    kt_map_clear(import->pending);
    kt_arena_reset(import->text);
    import->pending_first = import->pending_last = NULL;
    import->batch_records = import->batch_values = 0;
    import->pending_bytes = 0;
}

static enum kt_status flush(struct import *import, struct kt_error *err)
{
    struct kt_import_report *report = import->report;
    uint64_t revision = 0;
    enum kt_status status = KT_OK;
    if (import->batch_records == 0) {
        return KT_OK;
    }
    for (const struct pending_subject *pending = import->pending_first; pending && status == KT_OK;
         pending = pending->next) {
        status = kt_change_add_subject(import->builder, &pending->subject, err);
    }
    kt_buf_clear(&import->encoded);
    if (status == KT_OK) {
        status = kt_change_encode(import->builder, &import->encoded, err);
    }
    if (status == KT_OK) {
        status = import->submit(import->submit_ctx, report->batches + 1,
                                kt_buf_str(&import->encoded), &revision, err);
    }
    if (status == KT_OK) {
        report->batches++;
        report->revision = revision;
        report->records += import->batch_records;
        report->values += import->batch_values;
        report->subjects = import->subjects.count;
        clear_batch(import);
    }
    return status;
}

static enum kt_status take_row(struct import *import, struct kt_error *err)
{
    enum kt_status status = merge_subject(import, err);
    if (status == KT_OK) {
        status = kt_change_add_record(import->builder, &import->row.record, err);
    }
    if (status == KT_OK && !key_set_add(&import->subjects, import->row.subject.key)) {
        status = no_memory(err);
    }
    if (status != KT_OK) {
        return status;
    }
    import->batch_records++;
    import->batch_values += import->row.record.value_count;
    size_t bytes = kt_change_bytes(import->builder) + import->pending_bytes;
    bool full = (int64_t)import->batch_records >= import->limits->batch_records ||
                (int64_t)bytes >= import->limits->batch_bytes;
    return full ? flush(import, err) : KT_OK;
}

/* --- lines --- */

static void note_rejected(struct kt_import_report *report, uint64_t line, const char *reason)
{
    report->rejected++;
    if (report->error_count < KT_IMPORT_ERRORS_MAX) {
        report->errors[report->error_count].line = line;
        kt_str_copy(report->errors[report->error_count].reason, sizeof(report->errors[0].reason),
                    kt_str(reason));
        report->error_count++;
    }
}

static enum kt_status read_header(struct import *import, struct kt_error *err)
{
    bool more = false;
    enum kt_status status = kt_csv_next(&import->csv, &more, err);
    if (status == KT_OK && !more) {
        status = kt_fail_field(err, KT_BAD_VALUE, "header",
                               "the body is empty: a header line is needed");
    }
    if (status == KT_OK) {
        status = kt_import_columns_read(import->options, &import->csv, &import->columns, err);
    }
    if (status == KT_OK) {
        import->row.values = kt_calloc(import->columns.count, sizeof(*import->row.values));
        status = import->row.values ? KT_OK : no_memory(err);
    }
    return status;
}

static enum kt_status read_lines(struct import *import, struct kt_error *err)
{
    char reason[160];
    bool more = true;
    enum kt_status status = KT_OK;
    for (;;) {
        status = kt_csv_next(&import->csv, &more, err);
        if (status != KT_OK || !more) {
            return status;
        }
        if (kt_import_row_read(import->options, &import->columns, &import->csv,
                               &import->time_format, &import->row, reason)) {
            status = take_row(import, err);
        } else {
            note_rejected(import->report, import->csv.line, reason);
            if (import->options->abort_on_error) {
                import->report->aborted = true;
                status = kt_fail_field(err, KT_BAD_VALUE, "body", "line %llu: %s",
                                       (unsigned long long)import->csv.line, reason);
            }
        }
        if (status != KT_OK) {
            return status;
        }
    }
}

/* --- the whole --- */

static enum kt_status read_plain(void *ctx, void *dest, size_t size, size_t *ret_len,
                                 struct kt_error *err)
{
    struct kt_http_body *body = ctx;
    return body->read(body->ctx, dest, size, ret_len, err);
}

static enum kt_status read_gzip(void *ctx, void *dest, size_t size, size_t *ret_len,
                                struct kt_error *err)
{
    return kt_gunzip_read(ctx, dest, size, ret_len, err);
}

#define TEXT_FIRST_BYTES 65536
#define BUILDER_SLACK 4 /* a batch's bound may be passed by one line */

static enum kt_status init(struct import *import, kt_csv_source_fn source, void *source_ctx,
                           struct kt_error *err)
{
    size_t max =
        (size_t)(import->limits->batch_bytes + import->limits->line_max_bytes) * BUILDER_SLACK;
    import->builder = kt_change_builder_new(max);
    import->text = kt_arena_new(TEXT_FIRST_BYTES, max);
    import->pending = kt_map_new();
    kt_buf_init(&import->encoded, 0);
    if (!import->builder || !import->text || !import->pending) {
        return no_memory(err);
    }
    return kt_csv_init(&import->csv, source, source_ctx, (size_t)import->limits->line_max_bytes,
                       err);
}

static void done(struct import *import)
{
    kt_csv_done(&import->csv);
    kt_import_columns_done(&import->columns);
    kt_change_builder_free(&import->builder);
    kt_map_free(&import->pending);
    kt_arena_free(&import->text);
    kt_buf_done(&import->encoded);
    kt_free(import->subjects.slots);
    kt_free(import->row.values);
}

enum kt_status kt_import_run(const struct kt_import_options *options,
                             const struct kt_import_limits *limits, struct kt_http_body *body,
                             kt_import_submit_fn submit, void *submit_ctx,
                             struct kt_import_report *ret_report, struct kt_error *err)
{
    struct import import;
    struct kt_gunzip *gunzip = NULL;
    memset(&import, 0, sizeof(import));
    memset(ret_report, 0, sizeof(*ret_report));
    import.options = options;
    import.limits = limits;
    import.submit = submit;
    import.submit_ctx = submit_ctx;
    import.report = ret_report;
    import.time_format = options->time_format;
    enum kt_status status = options->gzip ? kt_gunzip_new(body, &gunzip, err) : KT_OK;
    if (status == KT_OK) {
        status =
            gunzip ? init(&import, read_gzip, gunzip, err) : init(&import, read_plain, body, err);
    }
    if (status == KT_OK) {
        status = read_header(&import, err);
    }
    if (status == KT_OK) {
        status = read_lines(&import, err);
    }
    if (status == KT_OK) {
        status = flush(&import, err);
    }
    done(&import);
    kt_gunzip_free(&gunzip);
    return status;
}

void kt_import_report_write(const struct kt_import_report *report, struct kt_jw *jw)
{
    kt_jw_object(jw);
    kt_jw_kv_u64(jw, "revision", report->revision);
    kt_jw_kv_u64(jw, "records", report->records);
    kt_jw_kv_u64(jw, "subjects", report->subjects);
    kt_jw_kv_u64(jw, "values", report->values);
    kt_jw_kv_u64(jw, "rejected", report->rejected);
    kt_jw_key_text(jw, "errors");
    kt_jw_array(jw);
    for (size_t i = 0; i < report->error_count; i++) {
        kt_jw_object(jw);
        kt_jw_kv_u64(jw, "line", report->errors[i].line);
        kt_jw_kv_text(jw, "reason", report->errors[i].reason);
        kt_jw_object_end(jw);
    }
    kt_jw_array_end(jw);
    kt_jw_object_end(jw);
}

/* SPDX-License-Identifier: MIT */
/* What lines say becomes a batch, a full batch is submitted, the report counts what is committed.
 * Within a batch the attributes that rows of a table repeat are merged, the later line winning, so
 * that the change names each subject once.
 */
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "node/import_impl.h"

#include <string.h>

/* What a text, a subject and a stay take besides their characters, at most: in an encoded change
 * (change_build.c counts ten bytes a number) and in the arena until then. */
#define TEXT_BYTES 16
#define SUBJECT_BYTES 160
#define STAY_BYTES 64

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
    import->batch_items = import->batch_records = import->batch_values = 0;
    import->pending_bytes = 0;
}

enum kt_status import_flush(struct import *import, struct kt_error *err)
{
    struct kt_import_report *report = import->report;
    uint64_t revision = 0;
    enum kt_status status = KT_OK;
    if (import->batch_items == 0) {
        return KT_OK;
    }
    for (const struct pending_subject *pending = import->pending_first; pending && status == KT_OK;
         pending = pending->next) {
        status = kt_change_add_subject(import->builder, &pending->subject, err);
    }
    kt_buf_clear(&import->encoded);
    if (import->recorded_revision != 0) {
        kt_change_set_recorded(import->builder, import->recorded_revision,
                               import->recorded_wall_ms);
    }
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

static enum kt_status too_large(const struct import *import, struct kt_error *err)
{
    const char *field = import->options->atomic ? "atomic" : "recorded";
    return kt_fail_field(err, KT_TOO_LARGE, field,
                         "%s: more than the %lld bytes that are taken at once "
                         "([limits] import_atomic_bytes)",
                         field, (long long)import->limits->atomic_bytes);
}

/* One more item is in: is the batch full? */
static enum kt_status count_item(struct import *import, struct kt_str subject, struct kt_error *err)
{
    if (!key_set_add(&import->subjects, subject)) {
        return no_memory(err);
    }
    import->batch_items++;
    size_t bytes = kt_change_bytes(import->builder) + import->pending_bytes;
    if (import->whole && (int64_t)bytes > import->limits->atomic_bytes) {
        return too_large(import, err);
    }
    enum kt_status status = import_hold_batch(import, bytes, err);
    if (status != KT_OK || import->whole) {
        return status;
    }
    bool full = (int64_t)import->batch_items >= import->limits->batch_records ||
                (int64_t)bytes >= import->limits->batch_bytes;
    return full ? import_flush(import, err) : KT_OK;
}

enum kt_status import_add_subject(struct import *import, const struct kt_change_subject *subject,
                                  struct kt_error *err)
{
    enum kt_status status = kt_change_add_subject(import->builder, subject, err);
    return status == KT_OK ? count_item(import, subject->key, err) : status;
}

enum kt_status import_add_record(struct import *import, const struct kt_change_record *record,
                                 struct kt_error *err)
{
    enum kt_status status = kt_change_add_record(import->builder, record, err);
    if (status != KT_OK) {
        return status;
    }
    import->batch_records++;
    for (size_t i = 0; i < record->value_count; i++) {
        import->batch_values += !record->values[i].is_null;
    }
    return count_item(import, record->subject, err);
}

enum kt_status import_add_row(struct import *import, struct kt_error *err)
{
    enum kt_status status = merge_subject(import, err);
    return status == KT_OK ? import_add_record(import, &import->row.record, err) : status;
}

enum kt_status import_reject(struct import *import, uint64_t line, const char *reason,
                             struct kt_error *err)
{
    struct kt_import_report *report = import->report;
    report->rejected++;
    if (report->error_count < KT_IMPORT_ERRORS_MAX) {
        report->errors[report->error_count].line = line;
        kt_str_copy(report->errors[report->error_count].reason, sizeof(report->errors[0].reason),
                    kt_str(reason));
        report->error_count++;
    }
    int64_t deadline_mono_ms = import->limits->deadline_mono_ms;
    if (deadline_mono_ms != 0 && kt_now_mono_ms() >= deadline_mono_ms) {
        return kt_fail(err, KT_TIMEOUT, "the import took longer than X-Kamaitachi-Timeout-Ms");
    }
    if (!import->options->abort_on_error) {
        return KT_OK;
    }
    report->aborted = true;
    return kt_fail_field(err, KT_BAD_VALUE, "body", "line %llu: %s", (unsigned long long)line,
                         reason);
}

#define TEXT_FIRST_BYTES 65536
#define BUILDER_SLACK 4 /* a batch's bound may be passed by one line */

enum kt_status import_init(struct import *import, struct kt_error *err)
{
    const struct kt_import_limits *limits = import->limits;
    int64_t batch =
        limits->atomic_bytes > limits->batch_bytes ? limits->atomic_bytes : limits->batch_bytes;
    import->whole = import->options->atomic;
    size_t max = (size_t)(batch + limits->line_max_bytes) * BUILDER_SLACK;
    import->builder = kt_change_builder_new(max);
    import->text = kt_arena_new(TEXT_FIRST_BYTES, max);
    import->pending = kt_map_new();
    kt_buf_init(&import->encoded, 0);
    return import->builder && import->text && import->pending ? KT_OK : no_memory(err);
}

void import_done(struct import *import)
{
    kt_change_builder_free(&import->builder);
    kt_map_free(&import->pending);
    kt_arena_free(&import->text);
    kt_buf_done(&import->encoded);
    kt_free(import->subjects.slots);
    kt_free(import->row.values);
    import_give_all(import);
}

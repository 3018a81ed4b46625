/* SPDX-License-Identifier: MIT */
/* Subjects and records as lines: everything in byte order and nothing that is unset, so that one
 * state has one text.
 */
#include "base/mem.h"
#include "node/export_impl.h"
#include "json/write.h"

#include <stdlib.h>
#include <string.h>

/* --- the record at hand --- */

static enum kt_status copy_text(struct export_text *into, struct kt_str text, struct kt_error *err)
{
    if (text.len > EXPORT_TEXT_MAX) {
        return kt_fail(err, KT_CORRUPT, "a text of %zu bytes in a version", text.len);
    }
    into->named = KT_NAMED;
    into->len = text.len;
    if (text.len > 0) {
        memcpy(into->bytes, text.data, text.len);
    }
    return KT_OK;
}

static enum kt_status take_text(struct export_text *into, struct kt_opt_text text,
                                struct kt_error *err)
{
    if (text.named == KT_NAMED) {
        return copy_text(into, text.text, err);
    }
    if (text.named == KT_NAMED_NULL) {
        into->named = KT_NAMED_NULL;
    }
    return KT_OK;
}

static struct kt_str text_of(const struct export_text *text)
{
    return kt_str_n(text->bytes, text->len);
}

bool export_same_record(const struct export *export, const struct kt_version *version)
{
    return export->record.any && export->record.time_s == version->time_s &&
           kt_str_eq(text_of(&export->record.period), version->period);
}

static void take_values(struct export *export, const struct kt_version *version)
{
    for (size_t i = 0; i < version->value_count; i++) {
        const struct kt_value *value = &version->values[i];
        uint32_t rank = export->rank_of[value->indicator];
        if (rank == 0) {
            continue;
        }
        rank--;
        if (export->states[rank] == CELL_NONE) {
            export->touched[export->touched_count++] = rank;
        }
        export->states[rank] = value->is_null ? CELL_NULL : CELL_NUMBER;
        export->cells[rank] = value->number;
    }
}

/* Versions come in rising (D, W, line), so the later one wins. */
enum kt_status export_take_version(struct export *export, const struct kt_version *version,
                                   struct kt_error *err)
{
    struct export_record *record = &export->record;
    enum kt_status status = KT_OK;
    if (!record->any) {
        record->any = true;
        record->time_s = version->time_s;
        record->declare_given = false;
        record->end_date.named = record->year.named = KT_NOT_NAMED;
        status = copy_text(&record->period, version->period, err);
    }
    record->revision = version->revision;
    if (version->declare_given) {
        record->declare_given = true;
        record->declare_s = version->declare_s;
    }
    if (status == KT_OK) {
        status = take_text(&record->end_date, version->end_date, err);
    }
    if (status == KT_OK) {
        status = take_text(&record->year, version->year, err);
    }
    take_values(export, version);
    return status;
}

static int by_rank(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void sort_touched(struct export *export)
{
    for (size_t i = 1; i < export->touched_count; i++) {
        if (export->touched[i] < export->touched[i - 1]) {
            qsort(export->touched, export->touched_count, sizeof(*export->touched), by_rank);
            return;
        }
    }
}

static void forget_record(struct export *export)
{
    for (size_t i = 0; i < export->touched_count; i++) {
        export->states[export->touched[i]] = CELL_NONE;
    }
    export->touched_count = 0;
    export->record.any = false;
}

static struct kt_str indicator_key(const struct export *export, size_t rank)
{
    return kt_catalogue_indicator(kt_export_view(export->source), export->numbers[rank]);
}

/* --- ndjson --- */

static void end_line(struct kt_buf *chunk)
{
    kt_buf_append_byte(chunk, '\n');
}

static enum kt_status write_recorded(struct export *export, uint64_t revision, struct kt_jw *jw,
                                     struct kt_error *err)
{
    int64_t wall_ms = 0;
    if (!export->versions) {
        return KT_OK;
    }
    enum kt_status status = kt_export_wall_ms(export->source, revision, &wall_ms, err);
    kt_jw_key_text(jw, "recorded");
    kt_jw_object(jw);
    kt_jw_kv_u64(jw, "revision", revision);
    kt_jw_kv_i64(jw, "wall_ms", wall_ms);
    kt_jw_object_end(jw);
    return status;
}

static void write_text(struct kt_jw *jw, const char *name, struct kt_str text)
{
    if (text.len > 0) {
        kt_jw_kv_str(jw, name, text);
    }
}

struct named_stay {
    struct kt_str topic;
    int64_t from_s, to_s;
};

static int by_topic_from(const void *a, const void *b)
{
    const struct named_stay *x = a, *y = b;
    int order = kt_str_cmp(x->topic, y->topic);
    return order != 0 ? order : (x->from_s > y->from_s) - (x->from_s < y->from_s);
}

/* A subject's stays by topic's key, for kt_free; NULL when memory is short. */
static struct named_stay *sorted_stays(const struct export *export,
                                       const struct kt_subject *subject)
{
    const struct kt_catalogue *view = kt_export_view(export->source);
    struct named_stay *stays = kt_calloc(subject->stay_count + 1, sizeof(*stays));
    for (size_t i = 0; stays && i < subject->stay_count; i++) {
        const struct kt_stay *stay = &subject->stays[i];
        stays[i] = (struct named_stay){kt_catalogue_topic_key(view, stay->topic), stay->from_s,
                                       stay->to_s};
    }
    if (stays && subject->stay_count > 1) {
        qsort(stays, subject->stay_count, sizeof(*stays), by_topic_from);
    }
    return stays;
}

/* In a bound the number 0 is none at all, but the text is 1970; no bound `to` is ever 0. */
static void write_from(struct kt_jw *jw, int64_t from_s)
{
    if (from_s == 0) {
        kt_jw_kv_text(jw, "from", "1970-01-01");
    } else if (from_s != KT_TIME_MIN) {
        kt_jw_kv_i64(jw, "from", from_s);
    }
}

static enum kt_status write_topics(const struct export *export, const struct kt_subject *subject,
                                   struct kt_jw *jw, struct kt_error *err)
{
    if (subject->stay_count == 0) {
        return KT_OK;
    }
    struct named_stay *stays = sorted_stays(export, subject);
    if (!stays) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for the topics of a subject");
    }
    kt_jw_key_text(jw, "topics");
    kt_jw_array(jw);
    for (size_t i = 0; i < subject->stay_count; i++) {
        if (stays[i].from_s == KT_TIME_MIN && stays[i].to_s == KT_TIME_MAX) {
            kt_jw_str(jw, stays[i].topic);
            continue;
        }
        kt_jw_object(jw);
        kt_jw_kv_str(jw, "topic", stays[i].topic);
        write_from(jw, stays[i].from_s);
        if (stays[i].to_s != KT_TIME_MAX) {
            kt_jw_kv_i64(jw, "to", stays[i].to_s);
        }
        kt_jw_object_end(jw);
    }
    kt_jw_array_end(jw);
    kt_free(stays);
    return KT_OK;
}

static void write_tags(const struct kt_subject *subject, struct kt_jw *jw)
{
    if (subject->tag_count == 0) {
        return;
    }
    kt_jw_key_text(jw, "tags");
    kt_jw_object(jw);
    for (size_t i = 0; i < subject->tag_count; i++) {
        bool first = i == 0 || !kt_str_eq(subject->tags[i].name, subject->tags[i - 1].name);
        if (first && i > 0) {
            kt_jw_array_end(jw);
        }
        if (first) {
            kt_jw_key(jw, subject->tags[i].name);
            kt_jw_array(jw);
        }
        kt_jw_str(jw, subject->tags[i].value);
    }
    kt_jw_array_end(jw);
    kt_jw_object_end(jw);
}

enum kt_status export_subject_line(struct export *export, const struct kt_subject *subject,
                                   struct kt_buf *chunk, struct kt_error *err)
{
    struct kt_jw jw;
    kt_jw_init(&jw, chunk);
    kt_jw_object(&jw);
    kt_jw_key_text(&jw, "subject");
    kt_jw_object(&jw);
    kt_jw_kv_str(&jw, "subject", subject->key);
    write_text(&jw, "name", subject->name);
    write_text(&jw, "status", subject->status);
    write_text(&jw, "listing_date", subject->listing_date);
    write_text(&jw, "category", subject->category);
    enum kt_status status = write_topics(export, subject, &jw, err);
    if (status != KT_OK) {
        return status;
    }
    write_tags(subject, &jw);
    kt_jw_object_end(&jw);
    status = write_recorded(export, subject->touched_revision, &jw, err);
    kt_jw_object_end(&jw);
    end_line(chunk);
    export->subject_lines++;
    return status;
}

static void write_record_text(struct kt_jw *jw, const char *name, const struct export_text *text,
                              bool versions)
{
    if (text->named == KT_NAMED) {
        kt_jw_kv_str(jw, name, text_of(text));
    } else if (text->named == KT_NAMED_NULL && versions) {
        kt_jw_key_text(jw, name);
        kt_jw_null(jw);
    }
}

static void write_data(const struct export *export, struct kt_jw *jw)
{
    kt_jw_key_text(jw, "data");
    kt_jw_object(jw);
    for (size_t i = 0; i < export->touched_count; i++) {
        uint32_t rank = export->touched[i];
        if (export->states[rank] == CELL_NUMBER) {
            kt_jw_key(jw, indicator_key(export, rank));
            kt_jw_f64(jw, export->cells[rank]);
        } else if (export->versions) { /* a clearing is part of a version, not of what stands */
            kt_jw_key(jw, indicator_key(export, rank));
            kt_jw_null(jw);
        }
    }
    kt_jw_object_end(jw);
}

static enum kt_status record_json(struct export *export, const struct kt_subject *subject,
                                  struct kt_buf *chunk, struct kt_error *err)
{
    const struct export_record *record = &export->record;
    struct kt_jw jw;
    kt_jw_init(&jw, chunk);
    kt_jw_object(&jw);
    kt_jw_key_text(&jw, "record");
    kt_jw_object(&jw);
    kt_jw_kv_str(&jw, "subject", subject->key);
    kt_jw_kv_i64(&jw, "time", record->time_s);
    write_text(&jw, "period", text_of(&record->period));
    if (record->declare_given) {
        kt_jw_kv_i64(&jw, "declare_date", record->declare_s);
    }
    write_record_text(&jw, "end_date", &record->end_date, export->versions);
    write_record_text(&jw, "year", &record->year, export->versions);
    write_data(export, &jw);
    kt_jw_object_end(&jw);
    enum kt_status status = write_recorded(export, record->revision, &jw, err);
    kt_jw_object_end(&jw);
    end_line(chunk);
    return status;
}

/* --- csv --- */

static void put_cell(struct kt_buf *chunk, struct kt_str text)
{
    bool quote = false;
    for (size_t i = 0; i < text.len && !quote; i++) {
        char c = text.data[i];
        quote = c == ',' || c == '"' || c == '\n' || c == '\r';
    }
    if (!quote) {
        kt_buf_append_str(chunk, text);
        return;
    }
    kt_buf_append_byte(chunk, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '"') {
            kt_buf_append_byte(chunk, '"');
        }
        kt_buf_append_byte(chunk, text.data[i]);
    }
    kt_buf_append_byte(chunk, '"');
}

void export_header_line(struct export *export, struct kt_buf *chunk)
{
    kt_buf_append_text(chunk, "subject,time,name,status,category,period,declare_date,topic");
    for (size_t rank = 0; rank < export->rank_count; rank++) {
        kt_buf_append_byte(chunk, ',');
        put_cell(chunk, indicator_key(export, rank));
    }
    end_line(chunk);
}

/* A cell can say one open stay: the topic asked for, else the first by key. */
static struct kt_str open_topic(const struct export *export, const struct kt_subject *subject)
{
    const struct kt_catalogue *view = kt_export_view(export->source);
    struct kt_str found = KT_STR("");
    for (size_t i = 0; i < subject->stay_count; i++) {
        const struct kt_stay *stay = &subject->stays[i];
        struct kt_str key = kt_catalogue_topic_key(view, stay->topic);
        if (stay->from_s != KT_TIME_MIN || stay->to_s != KT_TIME_MAX) {
            continue;
        }
        if (kt_str_eq(key, export->topic)) {
            return key;
        }
        if (found.len == 0 || kt_str_cmp(key, found) < 0) {
            found = key;
        }
    }
    return found;
}

/* The first line settles import's form of times: up to four digits would make it years. */
#define SECONDS_DIGITS 5

static void put_time(const struct export *export, struct kt_buf *chunk)
{
    int64_t time_s = export->record.time_s;
    if (export->record_lines == 0 && time_s >= 0 && time_s < 10000) {
        kt_buf_printf(chunk, "%0*d", SECONDS_DIGITS, (int)time_s);
    } else {
        kt_buf_append_i64(chunk, time_s);
    }
}

static void record_csv(struct export *export, const struct kt_subject *subject,
                       struct kt_buf *chunk)
{
    const struct export_record *record = &export->record;
    put_cell(chunk, subject->key);
    kt_buf_append_byte(chunk, ',');
    put_time(export, chunk);
    struct kt_str texts[] = {subject->name, subject->status, subject->category,
                             text_of(&record->period)};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        kt_buf_append_byte(chunk, ',');
        put_cell(chunk, texts[i]);
    }
    kt_buf_append_byte(chunk, ',');
    if (record->declare_given) {
        kt_buf_append_i64(chunk, record->declare_s);
    }
    kt_buf_append_byte(chunk, ',');
    put_cell(chunk, open_topic(export, subject));
    size_t next = 0;
    for (size_t rank = 0; rank < export->rank_count; rank++) {
        kt_buf_append_byte(chunk, ',');
        if (next < export->touched_count && export->touched[next] == rank) {
            next++;
            if (export->states[rank] == CELL_NUMBER) {
                kt_buf_append_f64(chunk, export->cells[rank]);
            }
        }
    }
    end_line(chunk);
}

enum kt_status export_record_line(struct export *export, const struct kt_subject *subject,
                                  struct kt_buf *chunk, struct kt_error *err)
{
    enum kt_status status = KT_OK;
    sort_touched(export);
    if (export->csv) {
        record_csv(export, subject, chunk);
    } else {
        status = record_json(export, subject, chunk, err);
    }
    export->record_lines++;
    forget_record(export);
    return status;
}

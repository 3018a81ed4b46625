/* SPDX-License-Identifier: MIT */
/* A change as a person reads it: in the shapes of the requests that make such changes, so that what
 * was put aside can be sent again.
 */
#include "store/change.h"

#include "json/write.h"

static void write_opt(struct kt_jw *jw, const char *name, const struct kt_opt_text *text)
{
    if (text->named == KT_NAMED) {
        kt_jw_kv_str(jw, name, text->text);
    } else if (text->named == KT_NAMED_NULL) {
        kt_jw_key_text(jw, name);
        kt_jw_null(jw);
    }
}

static void write_texts(struct kt_jw *jw, const struct kt_str *texts, size_t count)
{
    kt_jw_array(jw);
    for (size_t i = 0; i < count; i++) {
        kt_jw_str(jw, texts[i]);
    }
    kt_jw_array_end(jw);
}

static void write_stays(struct kt_jw *jw, const struct kt_change_subject *subject)
{
    if (subject->topics_mode == KT_TOPICS_KEEP) {
        return;
    }
    if (subject->topics_mode == KT_TOPICS_EDIT && subject->leave_count > 0) {
        kt_jw_key_text(jw, "topics_remove");
        write_texts(jw, subject->leaves, subject->leave_count);
    }
    kt_jw_key_text(jw, subject->topics_mode == KT_TOPICS_REPLACE ? "topics" : "topics_add");
    kt_jw_array(jw);
    for (size_t i = 0; i < subject->stay_count; i++) {
        const struct kt_change_stay *stay = &subject->stays[i];
        kt_jw_object(jw);
        kt_jw_kv_str(jw, "topic", stay->topic);
        if (stay->from_s != KT_TIME_MIN) {
            kt_jw_kv_i64(jw, "from", stay->from_s);
        }
        if (stay->to_s != KT_TIME_MAX) {
            kt_jw_kv_i64(jw, "to", stay->to_s);
        }
        kt_jw_object_end(jw);
    }
    kt_jw_array_end(jw);
}

static void write_subject(struct kt_jw *jw, const struct kt_change_subject *subject)
{
    kt_jw_object(jw);
    kt_jw_kv_str(jw, "subject", subject->key);
    write_opt(jw, "name", &subject->name);
    write_opt(jw, "status", &subject->status);
    write_opt(jw, "listing_date", &subject->listing_date);
    write_opt(jw, "category", &subject->category);
    write_stays(jw, subject);
    if (subject->tag_count > 0) {
        kt_jw_key_text(jw, "tags");
        kt_jw_object(jw);
        for (size_t i = 0; i < subject->tag_count; i++) {
            kt_jw_key(jw, subject->tags[i].name);
            write_texts(jw, subject->tags[i].values, subject->tags[i].count);
        }
        kt_jw_object_end(jw);
    }
    kt_jw_object_end(jw);
}

static void write_record(struct kt_jw *jw, const struct kt_change_record *record)
{
    kt_jw_object(jw);
    kt_jw_kv_str(jw, "subject", record->subject);
    kt_jw_kv_i64(jw, "time", record->time_s);
    if (record->period.len > 0) {
        kt_jw_kv_str(jw, "period", record->period);
    }
    if (record->declare_given) {
        kt_jw_kv_i64(jw, "declare_date", record->declare_s);
    }
    write_opt(jw, "end_date", &record->end_date);
    write_opt(jw, "year", &record->year);
    kt_jw_key_text(jw, "data");
    kt_jw_object(jw);
    for (size_t i = 0; i < record->value_count; i++) {
        kt_jw_key(jw, record->values[i].indicator);
        if (record->values[i].is_null) {
            kt_jw_null(jw);
        } else {
            kt_jw_f64(jw, record->values[i].number);
        }
    }
    kt_jw_object_end(jw);
    kt_jw_object_end(jw);
}

static void write_save(struct kt_jw *jw, const struct kt_change *change, size_t max_items)
{
    size_t subjects = change->subject_count < max_items ? change->subject_count : max_items;
    size_t left = max_items - subjects;
    size_t records = change->record_count < left ? change->record_count : left;
    kt_jw_key_text(jw, "save");
    kt_jw_object(jw);
    kt_jw_key_text(jw, "subjects");
    kt_jw_array(jw);
    for (size_t i = 0; i < subjects; i++) {
        write_subject(jw, &change->subjects[i]);
    }
    kt_jw_array_end(jw);
    kt_jw_key_text(jw, "records");
    kt_jw_array(jw);
    for (size_t i = 0; i < records; i++) {
        write_record(jw, &change->records[i]);
    }
    kt_jw_array_end(jw);
    if (change->has_if_revision) {
        kt_jw_kv_u64(jw, "if_revision", change->if_revision);
    }
    kt_jw_object_end(jw);
    size_t shown = subjects + records;
    if (change->subject_count + change->record_count > shown) {
        kt_jw_kv_u64(jw, "left_out", change->subject_count + change->record_count - shown);
    }
}

static void write_delete(struct kt_jw *jw, const struct kt_change *change, size_t max_items)
{
    const struct kt_change_delete *erase = &change->erase;
    size_t subjects = erase->subject_count < max_items ? erase->subject_count : max_items;
    kt_jw_key_text(jw, "delete");
    kt_jw_object(jw);
    kt_jw_key_text(jw, "subjects");
    write_texts(jw, erase->subjects, subjects);
    if (erase->all) {
        kt_jw_kv_bool(jw, "all", true);
    } else {
        kt_jw_kv_i64(jw, "from", erase->from_s);
        kt_jw_kv_i64(jw, "to", erase->to_s);
        if (erase->period_count > 0) {
            kt_jw_key_text(jw, "periods");
            write_texts(jw, erase->periods, erase->period_count);
        }
    }
    if (erase->has_if_revision) {
        kt_jw_kv_u64(jw, "if_revision", erase->if_revision);
    }
    kt_jw_object_end(jw);
    if (erase->subject_count > subjects) {
        kt_jw_kv_u64(jw, "left_out", erase->subject_count - subjects);
    }
}

static void write_generic(struct kt_jw *jw, const struct kt_generic_change *generic)
{
    kt_jw_key_text(jw, generic->is_delete ? "generic_delete" : "generic_save");
    kt_jw_object(jw);
    kt_jw_kv_text(jw, "table", kt_generic_table_name(generic->table));
    kt_jw_kv_str(jw, "id", generic->id);
    kt_jw_kv_u64(jw, "points", generic->point_count);
    kt_jw_object_end(jw);
}

void kt_change_write_text(const struct kt_change *change, size_t max_items, struct kt_jw *jw)
{
    switch (change->kind) {
    case KT_CHANGE_EPOCH_START:
        kt_jw_key_text(jw, "epoch_start");
        kt_jw_object(jw);
        kt_jw_kv_str(jw, "epoch_id", change->epoch_start.epoch_id);
        kt_jw_object_end(jw);
        break;
    case KT_CHANGE_SAVE:
        write_save(jw, change, max_items);
        break;
    case KT_CHANGE_DELETE:
        write_delete(jw, change, max_items);
        break;
    case KT_CHANGE_GENERIC:
        write_generic(jw, &change->generic);
        break;
    }
}

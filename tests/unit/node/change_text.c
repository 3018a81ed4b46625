/* SPDX-License-Identifier: MIT */
#include "change_text.h"

#include "store/change.h"

static void put_opt(struct kt_buf *out, const char *name, const struct kt_opt_text *text)
{
    if (text->named == KT_NAMED_NULL) {
        kt_buf_printf(out, " %s=null", name);
    } else if (text->named == KT_NAMED) {
        kt_buf_printf(out, " %s=\"" KT_STR_FMT "\"", name, KT_STR_ARG(text->text));
    }
}

static void put_bound(struct kt_buf *out, int64_t time_s, int64_t open)
{
    if (time_s == open) {
        kt_buf_append_text(out, "open");
    } else {
        kt_buf_append_i64(out, time_s);
    }
}

static void put_subject(struct kt_buf *out, const struct kt_change_subject *subject)
{
    static const char *const modes[] = {"keep", "replace", "add", "edit"};
    kt_buf_printf(out, "subject " KT_STR_FMT, KT_STR_ARG(subject->key));
    put_opt(out, "name", &subject->name);
    put_opt(out, "status", &subject->status);
    put_opt(out, "listing_date", &subject->listing_date);
    put_opt(out, "category", &subject->category);
    if (subject->topics_mode != KT_TOPICS_KEEP) {
        kt_buf_printf(out, " topics=%s[", modes[subject->topics_mode]);
        for (size_t i = 0; i < subject->stay_count; i++) {
            const struct kt_change_stay *stay = &subject->stays[i];
            kt_buf_printf(out, "%s" KT_STR_FMT "@", i ? "," : "", KT_STR_ARG(stay->topic));
            put_bound(out, stay->from_s, KT_TIME_MIN);
            kt_buf_append_text(out, "..");
            put_bound(out, stay->to_s, KT_TIME_MAX);
        }
        kt_buf_append_byte(out, ']');
    }
    for (size_t i = 0; i < subject->leave_count; i++) {
        kt_buf_printf(out, "%s" KT_STR_FMT, i ? "," : " leaves=", KT_STR_ARG(subject->leaves[i]));
    }
    for (size_t i = 0; i < subject->tag_count; i++) {
        const struct kt_change_tag *tag = &subject->tags[i];
        kt_buf_printf(out, "%s" KT_STR_FMT "=[", i ? "," : " tags{", KT_STR_ARG(tag->name));
        for (size_t j = 0; j < tag->count; j++) {
            kt_buf_printf(out, "%s" KT_STR_FMT, j ? "," : "", KT_STR_ARG(tag->values[j]));
        }
        kt_buf_append_byte(out, ']');
    }
    kt_buf_append_text(out, subject->tag_count ? "}\n" : "\n");
}

static void put_record(struct kt_buf *out, const struct kt_change_record *record)
{
    char number[KT_F64_TEXT_MAX];
    kt_buf_printf(out, "record " KT_STR_FMT " %lld", KT_STR_ARG(record->subject),
                  (long long)record->time_s);
    if (record->period.len) {
        kt_buf_printf(out, " period=\"" KT_STR_FMT "\"", KT_STR_ARG(record->period));
    }
    if (record->declare_given) {
        kt_buf_printf(out, " declared=%lld", (long long)record->declare_s);
    }
    put_opt(out, "end", &record->end_date);
    put_opt(out, "year", &record->year);
    for (size_t i = 0; i < record->value_count; i++) {
        const struct kt_change_value *value = &record->values[i];
        if (!value->is_null) {
            kt_format_f64(value->number, number);
        }
        kt_buf_printf(out, " " KT_STR_FMT "=%s", KT_STR_ARG(value->indicator),
                      value->is_null ? "null" : number);
    }
    kt_buf_append_byte(out, '\n');
}

bool change_text(struct kt_str change, struct kt_buf *ret_text)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change decoded;
    if (kt_change_decode(change, &decoded, &err) != KT_OK) {
        kt_buf_printf(ret_text, "undecodable: %s\n", err.message);
        return false;
    }
    if (decoded.recorded_revision) {
        kt_buf_printf(ret_text, "recorded %llu at %lld\n",
                      (unsigned long long)decoded.recorded_revision,
                      (long long)decoded.recorded_wall_ms);
    }
    if (decoded.has_if_revision) {
        kt_buf_printf(ret_text, "if_revision %llu\n", (unsigned long long)decoded.if_revision);
    }
    for (size_t i = 0; i < decoded.subject_count; i++) {
        put_subject(ret_text, &decoded.subjects[i]);
    }
    for (size_t i = 0; i < decoded.record_count; i++) {
        put_record(ret_text, &decoded.records[i]);
    }
    kt_change_done(&decoded);
    return true;
}

/* SPDX-License-Identifier: MIT */
/* One object after the other, each field judged where it is read; the builder gets only what is
 * right, and is thrown away with the first fault.
 */
#include "node/save.h"

#include "base/arena.h"
#include "base/mem.h"
#include "query/query.h"
#include "json/read.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 128
#define STAYS_MAX 1000
#define TAGS_MAX 1000
#define INDICATOR_SHOWN 72        /* bytes of a wrong name in a message */
#define SCRATCH_FIRST_BYTES 16384 /* of one subject or record */
#define SCRATCH_MAX_BYTES (256U << 20)

struct save {
    const struct kt_save_limits *limits;
    struct kt_arena *arena;
    struct kt_change_builder *builder;
    struct kt_error *err;
};

static enum kt_status no_memory(struct save *save)
{
    return kt_fail(save->err, KT_NO_MEMORY, "out of memory for a save");
}

static enum kt_status bad(struct save *save, const struct kt_json_fields *fields, const char *name,
                          const char *expected)
{
    char path[160];
    kt_json_field_path(fields, name, path);
    return kt_fail_field(save->err, KT_BAD_VALUE, path, "%s must be %s", path, expected);
}

/* --- texts --- */

static enum kt_status get_key(struct save *save, struct kt_json_fields *fields, const char *name,
                              struct kt_str *ret_key)
{
    struct kt_str key = {NULL, 0};
    bool present = false;
    enum kt_status status = kt_json_get_string(fields, name, &key, &present, save->err);
    if (status != KT_OK) {
        return status;
    }
    if (!present || !kt_utf8_is_name(key, 1, NAME_MAX_BYTES)) {
        return bad(save, fields, name, "a name of 1 to 128 bytes without control characters");
    }
    *ret_key = key;
    return KT_OK;
}

/* Absent: not named. null: as `null_means`. */
static enum kt_status get_text(struct save *save, struct kt_json_fields *fields, const char *name,
                               enum kt_named null_means, struct kt_opt_text *ret_text)
{
    const struct kt_json_value *value = kt_json_get(fields, name, false);
    ret_text->named = KT_NOT_NAMED;
    ret_text->text = KT_STR("");
    if (!value) {
        return KT_OK;
    }
    if (kt_json_type(value) == KT_JSON_NULL) {
        ret_text->named = null_means;
        return KT_OK;
    }
    if (kt_json_type(value) != KT_JSON_STRING ||
        !kt_utf8_is_name(kt_json_string(value), 0, NAME_MAX_BYTES)) {
        return bad(save, fields, name, "a text of at most 128 bytes without control characters");
    }
    ret_text->named = KT_NAMED;
    ret_text->text = kt_json_string(value);
    return KT_OK;
}

/* --- topics --- */

/* In questions "*" is every subject: nobody could ask for a topic of that name. */
static bool topic_ok(struct kt_str topic)
{
    return kt_utf8_is_name(topic, 1, NAME_MAX_BYTES) && !kt_str_eq_text(topic, "*");
}

static enum kt_status parse_stay_object(struct save *save, const struct kt_json_value *value,
                                        const char *path, struct kt_change_stay *stay)
{
    struct kt_json_fields fields;
    enum kt_status status = kt_json_fields_init(&fields, value, path, save->err);
    if (status == KT_OK) {
        status = get_key(save, &fields, "topic", &stay->topic);
    }
    if (status == KT_OK && !topic_ok(stay->topic)) {
        status = bad(save, &fields, "topic", "a topic's name (not *)");
    }
    if (status == KT_OK) {
        status = kt_field_time(&fields, "from", KT_TIME_LOWER, &stay->from_s, NULL, save->err);
    }
    if (status == KT_OK) {
        status = kt_field_time(&fields, "to", KT_TIME_UPPER, &stay->to_s, NULL, save->err);
    }
    if (status == KT_OK && stay->from_s > stay->to_s) {
        status = bad(save, &fields, "from", "at or before to");
    }
    return status == KT_OK ? kt_json_fields_finish(&fields, save->err) : status;
}

static enum kt_status parse_stay(struct save *save, const struct kt_json_value *value,
                                 const char *path, struct kt_change_stay *stay)
{
    stay->from_s = KT_TIME_MIN;
    stay->to_s = KT_TIME_MAX;
    if (kt_json_type(value) != KT_JSON_STRING) {
        return parse_stay_object(save, value, path, stay);
    }
    stay->topic = kt_json_string(value);
    if (!topic_ok(stay->topic)) {
        return kt_fail_field(save->err, KT_BAD_VALUE, path,
                             "%s must be a topic's name of 1 to 128 bytes (not *)", path);
    }
    return KT_OK;
}

static enum kt_status parse_topics(struct save *save, struct kt_json_fields *fields,
                                   struct kt_change_subject *subject)
{
    const struct kt_json_value *array = NULL;
    bool present = false;
    enum kt_status status = kt_json_get_array(fields, "topics", &array, &present, save->err);
    if (status != KT_OK || !present) {
        return status;
    }
    size_t count = kt_json_count(array);
    if (count > STAYS_MAX) {
        return bad(save, fields, "topics", "at most 1000 topics");
    }
    struct kt_change_stay *stays = kt_arena_zalloc(save->arena, count + 1, sizeof(*stays));
    if (!stays) {
        return no_memory(save);
    }
    size_t i = 0;
    for (const struct kt_json_value *item = kt_json_next(array, NULL); item && status == KT_OK;
         item = kt_json_next(array, item)) {
        char path[160], item_path[200];
        kt_json_field_path(fields, "topics", path);
        snprintf(item_path, sizeof(item_path), "%s[%zu]", path, i);
        status = parse_stay(save, item, item_path, &stays[i++]);
    }
    subject->topics_mode = KT_TOPICS_REPLACE;
    subject->stays = stays;
    subject->stay_count = count;
    return status;
}

/* --- tags --- */

static enum kt_status bad_tag(struct save *save, const struct kt_json_fields *fields,
                              const struct kt_change_tag *tag, const char *expected)
{
    char path[160], field[320];
    kt_json_field_path(fields, "tags", path);
    snprintf(field, sizeof(field), "%s." KT_STR_FMT, path, KT_STR_ARG(tag->name));
    return kt_fail_field(save->err, KT_BAD_VALUE, field, "%s must be %s", field, expected);
}

static enum kt_status parse_tag(struct save *save, struct kt_json_fields *fields,
                                const struct kt_json_value *member, struct kt_change_tag *tag)
{
    tag->name = kt_json_name(member);
    if (!kt_utf8_is_name(tag->name, 1, NAME_MAX_BYTES)) {
        return bad(save, fields, "tags", "an object whose names have 1 to 128 bytes");
    }
    if (kt_json_type(member) == KT_JSON_NULL) {
        return KT_OK;
    }
    size_t count = kt_json_type(member) == KT_JSON_ARRAY ? kt_json_count(member) : TAGS_MAX + 1;
    if (count > TAGS_MAX) {
        return bad_tag(save, fields, tag, "an array of at most 1000 texts, or null");
    }
    struct kt_str *values = kt_arena_zalloc(save->arena, count + 1, sizeof(*values));
    if (!values) {
        return no_memory(save);
    }
    for (const struct kt_json_value *item = kt_json_next(member, NULL); item;
         item = kt_json_next(member, item)) {
        if (kt_json_type(item) != KT_JSON_STRING ||
            !kt_utf8_is_name(kt_json_string(item), 1, NAME_MAX_BYTES)) {
            return bad_tag(save, fields, tag,
                           "an array of texts of 1 to 128 bytes without control characters");
        }
        values[tag->count++] = kt_json_string(item);
    }
    tag->values = values;
    return KT_OK;
}

static enum kt_status parse_tags(struct save *save, struct kt_json_fields *fields,
                                 struct kt_change_subject *subject)
{
    const struct kt_json_value *object = NULL;
    bool present = false;
    enum kt_status status = kt_json_get_object(fields, "tags", &object, &present, save->err);
    if (status != KT_OK || !present) {
        return status;
    }
    if (kt_json_count(object) > TAGS_MAX) {
        return bad(save, fields, "tags", "at most 1000 tags");
    }
    struct kt_change_tag *tags =
        kt_arena_zalloc(save->arena, kt_json_count(object) + 1, sizeof(*tags));
    if (!tags) {
        return no_memory(save);
    }
    for (const struct kt_json_value *member = kt_json_next(object, NULL); member && status == KT_OK;
         member = kt_json_next(object, member)) {
        status = parse_tag(save, fields, member, &tags[subject->tag_count++]);
    }
    subject->tags = tags;
    return status;
}

/* --- subjects --- */

static enum kt_status refuse_unbuilt(struct save *save, struct kt_json_fields *fields,
                                     const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (kt_json_get(fields, names[i], true)) {
            char path[160];
            kt_json_field_path(fields, names[i], path);
            return kt_fail_field(save->err, KT_NOT_SUPPORTED, path, "%s is not supported yet",
                                 path);
        }
    }
    return KT_OK;
}

static enum kt_status parse_subject(struct save *save, const struct kt_json_value *value,
                                    size_t index)
{
    static const char *const unbuilt[] = {"topics_add", "topics_remove"};
    struct kt_json_fields fields;
    struct kt_change_subject subject;
    char path[40];
    memset(&subject, 0, sizeof(subject));
    snprintf(path, sizeof(path), "subjects[%zu]", index);
    enum kt_status status = kt_json_fields_init(&fields, value, path, save->err);
    if (status == KT_OK) {
        status = get_key(save, &fields, "subject", &subject.key);
    }
    struct {
        const char *name;
        struct kt_opt_text *text;
    } texts[] = {{"name", &subject.name},
                 {"status", &subject.status},
                 {"listing_date", &subject.listing_date},
                 {"category", &subject.category}};
    for (size_t i = 0; i < KT_ARRAY_LEN(texts) && status == KT_OK; i++) {
        status = get_text(save, &fields, texts[i].name, KT_NOT_NAMED, texts[i].text);
    }
    if (status == KT_OK) {
        status = parse_topics(save, &fields, &subject);
    }
    if (status == KT_OK) {
        status = parse_tags(save, &fields, &subject);
    }
    if (status == KT_OK) {
        status = refuse_unbuilt(save, &fields, unbuilt, KT_ARRAY_LEN(unbuilt));
    }
    if (status == KT_OK) {
        status = kt_json_fields_finish(&fields, save->err);
    }
    return status == KT_OK ? kt_change_add_subject(save->builder, &subject, save->err) : status;
}

/* --- records --- */

static enum kt_status parse_value(struct save *save, struct kt_json_fields *fields,
                                  const struct kt_json_value *member, struct kt_change_value *value)
{
    char path[160], field[300];
    value->indicator = kt_json_name(member);
    kt_json_field_path(fields, "data", path);
    if (!kt_indicator_name_ok(value->indicator)) {
        kt_str_copy(field, INDICATOR_SHOWN, value->indicator);
        return kt_fail_field(save->err, KT_BAD_VALUE, path,
                             "%s: '%s' can't be an indicator: its name is reserved, or is not 1 to "
                             "128 bytes without control characters",
                             path, field);
    }
    if (kt_json_type(member) == KT_JSON_NULL) {
        value->is_null = true;
        return KT_OK;
    }
    if (kt_json_type(member) != KT_JSON_NUMBER) {
        snprintf(field, sizeof(field), "%s." KT_STR_FMT, path, KT_STR_ARG(value->indicator));
        return kt_fail_field(save->err, KT_BAD_VALUE, field, "%s must be a number or null, not %s",
                             field, kt_json_type_name(kt_json_type(member)));
    }
    value->number = kt_json_number(member);
    return KT_OK;
}

static enum kt_status parse_values(struct save *save, struct kt_json_fields *fields,
                                   struct kt_change_record *record)
{
    const struct kt_json_value *object = NULL;
    bool present = false;
    enum kt_status status = kt_json_get_object(fields, "data", &object, &present, save->err);
    if (status != KT_OK || !present) {
        return status;
    }
    struct kt_change_value *values =
        kt_arena_zalloc(save->arena, kt_json_count(object) + 1, sizeof(*values));
    if (!values) {
        return no_memory(save);
    }
    for (const struct kt_json_value *member = kt_json_next(object, NULL); member && status == KT_OK;
         member = kt_json_next(object, member)) {
        status = parse_value(save, fields, member, &values[record->value_count++]);
    }
    record->values = values;
    return status;
}

static enum kt_status parse_record_times(struct save *save, struct kt_json_fields *fields,
                                         struct kt_change_record *record)
{
    bool present = false;
    enum kt_status status =
        kt_field_time(fields, "time", KT_TIME_STORED, &record->time_s, &present, save->err);
    if (status == KT_OK && !present) {
        return bad(save, fields, "time", "given: seconds since 1970 or \"YYYY-MM-DD\"");
    }
    if (status == KT_OK) {
        status = kt_field_time(fields, "declare_date", KT_TIME_STORED, &record->declare_s,
                               &record->declare_given, save->err);
    }
    return status;
}

static enum kt_status parse_record(struct save *save, const struct kt_json_value *value,
                                   size_t index)
{
    struct kt_json_fields fields;
    struct kt_change_record record;
    struct kt_opt_text period = {KT_NOT_NAMED, {NULL, 0}};
    char path[40];
    memset(&record, 0, sizeof(record));
    snprintf(path, sizeof(path), "records[%zu]", index);
    enum kt_status status = kt_json_fields_init(&fields, value, path, save->err);
    if (status == KT_OK) {
        status = get_key(save, &fields, "subject", &record.subject);
    }
    if (status == KT_OK) {
        status = parse_record_times(save, &fields, &record);
    }
    if (status == KT_OK) {
        status = get_text(save, &fields, "period", KT_NOT_NAMED, &period);
        record.period = period.text;
    }
    if (status == KT_OK) {
        status = get_text(save, &fields, "end_date", KT_NAMED_NULL, &record.end_date);
    }
    if (status == KT_OK) {
        status = get_text(save, &fields, "year", KT_NAMED_NULL, &record.year);
    }
    if (status == KT_OK) {
        status = parse_values(save, &fields, &record);
    }
    if (status == KT_OK) {
        status = kt_json_fields_finish(&fields, save->err);
    }
    return status == KT_OK ? kt_change_add_record(save->builder, &record, save->err) : status;
}

/* --- the body --- */

typedef enum kt_status (*item_fn)(struct save *save, const struct kt_json_value *value,
                                  size_t index);

static enum kt_status parse_items(struct save *save, struct kt_json_fields *fields,
                                  const char *name, int64_t max, item_fn parse, size_t *ret_count)
{
    const struct kt_json_value *array = NULL;
    bool present = false;
    enum kt_status status = kt_json_get_array(fields, name, &array, &present, save->err);
    if (status != KT_OK || !present) {
        return status;
    }
    if ((int64_t)kt_json_count(array) > max) {
        return kt_fail_field(save->err, KT_TOO_LARGE, name, "%s: %zu items, at most %lld are taken",
                             name, kt_json_count(array), (long long)max);
    }
    size_t index = 0;
    for (const struct kt_json_value *item = kt_json_next(array, NULL); item && status == KT_OK;
         item = kt_json_next(array, item)) {
        status = parse(save, item, index++);
        kt_arena_reset(save->arena); /* the builder has copies */
    }
    *ret_count = index;
    return status;
}

static enum kt_status parse_body(struct save *save, const struct kt_json_value *root)
{
    static const char *const unbuilt[] = {"if_revision"};
    struct kt_json_fields fields;
    size_t subjects = 0, records = 0;
    enum kt_status status = kt_json_fields_init(&fields, root, "", save->err);
    if (status == KT_OK) {
        status = refuse_unbuilt(save, &fields, unbuilt, KT_ARRAY_LEN(unbuilt));
    }
    if (status == KT_OK) {
        status = parse_items(save, &fields, "subjects", save->limits->max_subjects, parse_subject,
                             &subjects);
    }
    if (status == KT_OK) {
        status = parse_items(save, &fields, "records", save->limits->max_records, parse_record,
                             &records);
    }
    if (status == KT_OK) {
        status = kt_json_fields_finish(&fields, save->err);
    }
    if (status == KT_OK && subjects + records == 0) {
        status = kt_fail_field(save->err, KT_BAD_VALUE, "records",
                               "a save must name at least one of subjects or records");
    }
    return status;
}

enum kt_status kt_save_parse(struct kt_str body, const struct kt_save_limits *limits,
                             struct kt_change_builder *builder, struct kt_error *err)
{
    struct kt_json *doc = NULL;
    struct kt_arena *arena = kt_arena_new(SCRATCH_FIRST_BYTES, SCRATCH_MAX_BYTES);
    struct save save = {limits, arena, builder, err};
    kt_change_builder_reset(builder);
    if (!arena) {
        return no_memory(&save);
    }
    enum kt_status status = kt_json_parse(body, limits->json_depth, &doc, err);
    if (status == KT_OK) {
        status = parse_body(&save, kt_json_root(doc));
    }
    kt_json_free(&doc);
    kt_arena_free(&arena);
    return status;
}

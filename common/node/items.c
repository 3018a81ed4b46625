/* SPDX-License-Identifier: MIT */
#include "node/items.h"

#include "base/mem.h"
#include "query/query.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 128
#define STAYS_MAX 1000
#define TAGS_MAX 1000
#define INDICATOR_SHOWN 72 /* bytes of a wrong name in a message */

struct items {
    struct kt_arena *arena;
    struct kt_error *err;
};

static enum kt_status no_memory(struct items *ctx)
{
    return kt_fail(ctx->err, KT_NO_MEMORY, "out of memory for a subject or record");
}

static enum kt_status bad(struct items *ctx, const struct kt_json_fields *fields, const char *name,
                          const char *expected)
{
    char path[160];
    kt_json_field_path(fields, name, path);
    return kt_fail_field(ctx->err, KT_BAD_VALUE, path, "%s must be %s", path, expected);
}

/* --- texts --- */

static enum kt_status get_key(struct items *ctx, struct kt_json_fields *fields, const char *name,
                              struct kt_str *ret_key)
{
    struct kt_str key = {NULL, 0};
    bool present = false;
    enum kt_status status = kt_json_get_string(fields, name, &key, &present, ctx->err);
    if (status != KT_OK) {
        return status;
    }
    if (!present || !kt_utf8_is_name(key, 1, NAME_MAX_BYTES)) {
        return bad(ctx, fields, name, "a name of 1 to 128 bytes without control characters");
    }
    *ret_key = key;
    return KT_OK;
}

/* Absent: not named. null: as `null_means`. */
static enum kt_status get_text(struct items *ctx, struct kt_json_fields *fields, const char *name,
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
        return bad(ctx, fields, name, "a text of at most 128 bytes without control characters");
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

static enum kt_status parse_stay_object(struct items *ctx, const struct kt_json_value *value,
                                        const char *path, struct kt_change_stay *stay)
{
    struct kt_json_fields fields;
    enum kt_status status = kt_json_fields_init(&fields, value, path, ctx->err);
    if (status == KT_OK) {
        status = get_key(ctx, &fields, "topic", &stay->topic);
    }
    if (status == KT_OK && !topic_ok(stay->topic)) {
        status = bad(ctx, &fields, "topic", "a topic's name (not *)");
    }
    if (status == KT_OK) {
        status = kt_field_time(&fields, "from", KT_TIME_LOWER, &stay->from_s, NULL, ctx->err);
    }
    if (status == KT_OK) {
        status = kt_field_time(&fields, "to", KT_TIME_UPPER, &stay->to_s, NULL, ctx->err);
    }
    if (status == KT_OK && stay->from_s > stay->to_s) {
        status = bad(ctx, &fields, "from", "at or before to");
    }
    return status == KT_OK ? kt_json_fields_finish(&fields, ctx->err) : status;
}

static enum kt_status parse_stay(struct items *ctx, const struct kt_json_value *value,
                                 const char *path, struct kt_change_stay *stay)
{
    stay->from_s = KT_TIME_MIN;
    stay->to_s = KT_TIME_MAX;
    if (kt_json_type(value) != KT_JSON_STRING) {
        return parse_stay_object(ctx, value, path, stay);
    }
    stay->topic = kt_json_string(value);
    if (!topic_ok(stay->topic)) {
        return kt_fail_field(ctx->err, KT_BAD_VALUE, path,
                             "%s must be a topic's name of 1 to 128 bytes (not *)", path);
    }
    return KT_OK;
}

/* The array of that name, NULL when it is absent. */
static enum kt_status get_topics(struct items *ctx, struct kt_json_fields *fields, const char *name,
                                 const struct kt_json_value **ret_array)
{
    bool present = false;
    *ret_array = NULL;
    enum kt_status status = kt_json_get_array(fields, name, ret_array, &present, ctx->err);
    if (status == KT_OK && present && kt_json_count(*ret_array) > STAYS_MAX) {
        return bad(ctx, fields, name, "at most 1000 topics");
    }
    return status;
}

static enum kt_status parse_stays(struct items *ctx, struct kt_json_fields *fields,
                                  const char *name, const struct kt_json_value *array,
                                  struct kt_change_subject *subject)
{
    size_t count = kt_json_count(array);
    struct kt_change_stay *stays = kt_arena_zalloc(ctx->arena, count + 1, sizeof(*stays));
    if (!stays) {
        return no_memory(ctx);
    }
    size_t i = 0;
    enum kt_status status = KT_OK;
    for (const struct kt_json_value *item = kt_json_next(array, NULL); item && status == KT_OK;
         item = kt_json_next(array, item)) {
        char path[160], item_path[200];
        kt_json_field_path(fields, name, path);
        snprintf(item_path, sizeof(item_path), "%s[%zu]", path, i);
        status = parse_stay(ctx, item, item_path, &stays[i++]);
    }
    subject->stays = stays;
    subject->stay_count = count;
    return status;
}

static enum kt_status parse_leaves(struct items *ctx, struct kt_json_fields *fields,
                                   const struct kt_json_value *array,
                                   struct kt_change_subject *subject)
{
    struct kt_str *leaves = kt_arena_zalloc(ctx->arena, kt_json_count(array) + 1, sizeof(*leaves));
    if (!leaves) {
        return no_memory(ctx);
    }
    for (const struct kt_json_value *item = kt_json_next(array, NULL); item;
         item = kt_json_next(array, item)) {
        if (kt_json_type(item) != KT_JSON_STRING || !topic_ok(kt_json_string(item))) {
            return bad(ctx, fields, "topics_remove",
                       "an array of topics' names of 1 to 128 bytes (not *)");
        }
        leaves[subject->leave_count++] = kt_json_string(item);
    }
    subject->leaves = leaves;
    return KT_OK;
}

/* topics_remove comes before topics_add, whatever their order: so both together can replace the
 * stays of one topic and leave those of others. */
static enum kt_status parse_topics(struct items *ctx, struct kt_json_fields *fields,
                                   struct kt_change_subject *subject)
{
    const struct kt_json_value *topics, *add, *leave;
    enum kt_status status = get_topics(ctx, fields, "topics", &topics);
    if (status == KT_OK) {
        status = get_topics(ctx, fields, "topics_add", &add);
    }
    if (status == KT_OK) {
        status = get_topics(ctx, fields, "topics_remove", &leave);
    }
    if (status == KT_OK && topics && (add || leave)) {
        return bad(ctx, fields, add ? "topics_add" : "topics_remove",
                   "absent beside topics, which replaces them all");
    }
    if (status == KT_OK && topics) {
        subject->topics_mode = KT_TOPICS_REPLACE;
        return parse_stays(ctx, fields, "topics", topics, subject);
    }
    if (status == KT_OK && (add || leave)) {
        subject->topics_mode = KT_TOPICS_EDIT;
    }
    if (status == KT_OK && add) {
        status = parse_stays(ctx, fields, "topics_add", add, subject);
    }
    return status == KT_OK && leave ? parse_leaves(ctx, fields, leave, subject) : status;
}

/* --- tags --- */

static enum kt_status bad_tag(struct items *ctx, const struct kt_json_fields *fields,
                              const struct kt_change_tag *tag, const char *expected)
{
    char path[160], field[320];
    kt_json_field_path(fields, "tags", path);
    snprintf(field, sizeof(field), "%s." KT_STR_FMT, path, KT_STR_ARG(tag->name));
    return kt_fail_field(ctx->err, KT_BAD_VALUE, field, "%s must be %s", field, expected);
}

static enum kt_status parse_tag(struct items *ctx, struct kt_json_fields *fields,
                                const struct kt_json_value *member, struct kt_change_tag *tag)
{
    tag->name = kt_json_name(member);
    if (!kt_utf8_is_name(tag->name, 1, NAME_MAX_BYTES)) {
        return bad(ctx, fields, "tags", "an object whose names have 1 to 128 bytes");
    }
    if (kt_json_type(member) == KT_JSON_NULL) {
        return KT_OK;
    }
    size_t count = kt_json_type(member) == KT_JSON_ARRAY ? kt_json_count(member) : TAGS_MAX + 1;
    if (count > TAGS_MAX) {
        return bad_tag(ctx, fields, tag, "an array of at most 1000 texts, or null");
    }
    struct kt_str *values = kt_arena_zalloc(ctx->arena, count + 1, sizeof(*values));
    if (!values) {
        return no_memory(ctx);
    }
    for (const struct kt_json_value *item = kt_json_next(member, NULL); item;
         item = kt_json_next(member, item)) {
        if (kt_json_type(item) != KT_JSON_STRING ||
            !kt_utf8_is_name(kt_json_string(item), 1, NAME_MAX_BYTES)) {
            return bad_tag(ctx, fields, tag,
                           "an array of texts of 1 to 128 bytes without control characters");
        }
        values[tag->count++] = kt_json_string(item);
    }
    tag->values = values;
    return KT_OK;
}

static enum kt_status parse_tags(struct items *ctx, struct kt_json_fields *fields,
                                 struct kt_change_subject *subject)
{
    const struct kt_json_value *object = NULL;
    bool present = false;
    enum kt_status status = kt_json_get_object(fields, "tags", &object, &present, ctx->err);
    if (status != KT_OK || !present) {
        return status;
    }
    if (kt_json_count(object) > TAGS_MAX) {
        return bad(ctx, fields, "tags", "at most 1000 tags");
    }
    struct kt_change_tag *tags =
        kt_arena_zalloc(ctx->arena, kt_json_count(object) + 1, sizeof(*tags));
    if (!tags) {
        return no_memory(ctx);
    }
    for (const struct kt_json_value *member = kt_json_next(object, NULL); member && status == KT_OK;
         member = kt_json_next(object, member)) {
        status = parse_tag(ctx, fields, member, &tags[subject->tag_count++]);
    }
    subject->tags = tags;
    return status;
}

/* --- subjects --- */

enum kt_status kt_item_subject(const struct kt_json_value *value, const char *path,
                               struct kt_arena *arena, struct kt_change_subject *ret_subject,
                               struct kt_error *err)
{
    struct items items = {arena, err}, *ctx = &items;
    struct kt_json_fields fields;
    struct kt_change_subject subject;
    memset(&subject, 0, sizeof(subject));
    enum kt_status status = kt_json_fields_init(&fields, value, path, err);
    if (status == KT_OK) {
        status = get_key(ctx, &fields, "subject", &subject.key);
    }
    struct {
        const char *name;
        struct kt_opt_text *text;
    } texts[] = {{"name", &subject.name},
                 {"status", &subject.status},
                 {"listing_date", &subject.listing_date},
                 {"category", &subject.category}};
    for (size_t i = 0; i < KT_ARRAY_LEN(texts) && status == KT_OK; i++) {
        status = get_text(ctx, &fields, texts[i].name, KT_NOT_NAMED, texts[i].text);
    }
    if (status == KT_OK) {
        status = parse_topics(ctx, &fields, &subject);
    }
    if (status == KT_OK) {
        status = parse_tags(ctx, &fields, &subject);
    }
    if (status == KT_OK) {
        status = kt_json_fields_finish(&fields, err);
    }
    if (status == KT_OK) {
        *ret_subject = subject;
    }
    return status;
}

/* --- records --- */

static enum kt_status parse_value(struct items *ctx, struct kt_json_fields *fields,
                                  const struct kt_json_value *member, struct kt_change_value *value)
{
    char path[160], field[300];
    value->indicator = kt_json_name(member);
    kt_json_field_path(fields, "data", path);
    if (!kt_indicator_name_ok(value->indicator)) {
        kt_str_copy(field, INDICATOR_SHOWN, value->indicator);
        return kt_fail_field(ctx->err, KT_BAD_VALUE, path,
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
        return kt_fail_field(ctx->err, KT_BAD_VALUE, field, "%s must be a number or null, not %s",
                             field, kt_json_type_name(kt_json_type(member)));
    }
    value->number = kt_json_number(member);
    return KT_OK;
}

static enum kt_status parse_values(struct items *ctx, struct kt_json_fields *fields,
                                   struct kt_change_record *record)
{
    const struct kt_json_value *object = NULL;
    bool present = false;
    enum kt_status status = kt_json_get_object(fields, "data", &object, &present, ctx->err);
    if (status != KT_OK || !present) {
        return status;
    }
    struct kt_change_value *values =
        kt_arena_zalloc(ctx->arena, kt_json_count(object) + 1, sizeof(*values));
    if (!values) {
        return no_memory(ctx);
    }
    for (const struct kt_json_value *member = kt_json_next(object, NULL); member && status == KT_OK;
         member = kt_json_next(object, member)) {
        status = parse_value(ctx, fields, member, &values[record->value_count++]);
    }
    record->values = values;
    return status;
}

static enum kt_status parse_record_times(struct items *ctx, struct kt_json_fields *fields,
                                         struct kt_change_record *record)
{
    bool present = false;
    enum kt_status status =
        kt_field_time(fields, "time", KT_TIME_STORED, &record->time_s, &present, ctx->err);
    if (status == KT_OK && !present) {
        return bad(ctx, fields, "time", "given: seconds since 1970 or \"YYYY-MM-DD\"");
    }
    if (status == KT_OK) {
        status = kt_field_time(fields, "declare_date", KT_TIME_STORED, &record->declare_s,
                               &record->declare_given, ctx->err);
    }
    return status;
}

enum kt_status kt_item_record(const struct kt_json_value *value, const char *path,
                              struct kt_arena *arena, struct kt_change_record *ret_record,
                              struct kt_error *err)
{
    struct items items = {arena, err}, *ctx = &items;
    struct kt_json_fields fields;
    struct kt_change_record record;
    struct kt_opt_text period = {KT_NOT_NAMED, {NULL, 0}};
    memset(&record, 0, sizeof(record));
    enum kt_status status = kt_json_fields_init(&fields, value, path, err);
    if (status == KT_OK) {
        status = get_key(ctx, &fields, "subject", &record.subject);
    }
    if (status == KT_OK) {
        status = parse_record_times(ctx, &fields, &record);
    }
    if (status == KT_OK) {
        status = get_text(ctx, &fields, "period", KT_NOT_NAMED, &period);
        record.period = period.text;
    }
    if (status == KT_OK) {
        status = get_text(ctx, &fields, "end_date", KT_NAMED_NULL, &record.end_date);
    }
    if (status == KT_OK) {
        status = get_text(ctx, &fields, "year", KT_NAMED_NULL, &record.year);
    }
    if (status == KT_OK) {
        status = parse_values(ctx, &fields, &record);
    }
    if (status == KT_OK) {
        status = kt_json_fields_finish(&fields, err);
    }
    if (status == KT_OK) {
        *ret_record = record;
    }
    return status;
}

/* SPDX-License-Identifier: MIT */
/* selection.c - subjects by topic and tag instead of by name.
 *
 * `selection` names either one subject, or what subjects must have in common: a topic they are in,
 * a tag (`id`), a word in the tag's value (`keyword`; without `id` in that of any tag). Given
 * together these all must hold. Like a subject's name its tags are always the newest.
 */
#include "query/query_impl.h"

static enum kt_status fail_name(const char *path, struct kt_error *err)
{
    return kt_fail_field(err, KT_BAD_VALUE, path,
                         "%s must be 1 to 128 bytes of UTF-8 without control characters", path);
}

static enum kt_status parse_member(struct kt_json_fields *fields, const char *name,
                                   struct kt_str *ret_value, struct kt_error *err)
{
    char path[160];
    bool present = false;
    struct kt_str value;
    enum kt_status status = kt_json_get_string(fields, name, &value, &present, err);
    if (status != KT_OK || !present) {
        return status;
    }
    if (!kt_utf8_is_name(value, 1, KT_QUERY_NAME_MAX)) {
        kt_json_field_path(fields, name, path);
        return fail_name(path, err);
    }
    *ret_value = value;
    return KT_OK;
}

struct selection {
    struct kt_str id, topic, subject, keyword;
};

static enum kt_status parse_members(const struct kt_json_value *object, struct selection *s,
                                    struct kt_error *err)
{
    struct kt_json_fields fields;
    enum kt_status status = kt_json_fields_init(&fields, object, "selection", err);
    struct {
        const char *name;
        struct kt_str *value;
    } members[] = {
        {"id", &s->id}, {"topic", &s->topic}, {"subject", &s->subject}, {"keyword", &s->keyword}};
    for (size_t i = 0; status == KT_OK && i < sizeof members / sizeof members[0]; i++) {
        status = parse_member(&fields, members[i].name, members[i].value, err);
    }
    return status == KT_OK ? kt_json_fields_finish(&fields, err) : status;
}

static enum kt_status check_members(const struct selection *s, struct kt_error *err)
{
    if (!s->subject.len) {
        return s->topic.len || s->id.len || s->keyword.len
                   ? KT_OK
                   : kt_fail_field(err, KT_BAD_VALUE, "selection",
                                   "selection must have a subject, topic, id or keyword");
    }
    const char *other = s->topic.len     ? "selection.topic"
                        : s->id.len      ? "selection.id"
                        : s->keyword.len ? "selection.keyword"
                                         : NULL;
    return other ? kt_fail_field(err, KT_BAD_VALUE, other,
                                 "%s can't be given with selection.subject", other)
                 : KT_OK;
}

/* What picks subjects in a plain question must not be there beside a selection. */
static enum kt_status check_alone(const struct question *q, struct kt_error *err)
{
    const char *other = q->subject_count ? "subjects" : q->topic.len ? "topic" : NULL;
    return other
               ? kt_fail_field(err, KT_BAD_VALUE, other, "%s can't be given with selection", other)
               : KT_OK;
}

enum kt_status query_parse_selection(struct kt_json_fields *fields, struct kt_arena *arena,
                                     struct question *q, struct kt_error *err)
{
    bool present = false;
    struct selection s = {0};
    const struct kt_json_value *object = NULL;
    enum kt_status status = kt_json_get_object(fields, "selection", &object, &present, err);
    if (status == KT_OK && !present) {
        status = kt_fail_field(err, KT_BAD_VALUE, "selection", "selection must be given");
    }
    if (status == KT_OK) {
        status = parse_members(object, &s, err);
    }
    if (status == KT_OK) {
        status = check_members(&s, err);
    }
    if (status == KT_OK) {
        status = check_alone(q, err);
    }
    if (status != KT_OK) {
        return status;
    }
    if (s.subject.len) {
        q->subjects = kt_arena_zalloc(arena, 1, sizeof(*q->subjects));
        if (!q->subjects) {
            return kt_fail(err, KT_NO_MEMORY, "no memory for the query");
        }
        q->subjects[0] = s.subject;
        q->subject_count = 1;
    }
    q->topic = s.topic;
    q->tag = s.id;
    q->keyword = s.keyword;
    return KT_OK;
}

bool query_has_tag(const struct question *question, const struct kt_subject *subject)
{
    for (size_t i = 0; i < subject->tag_count; i++) {
        const struct kt_tag *tag = &subject->tags[i];
        if ((!question->tag.len || kt_str_eq(tag->name, question->tag)) &&
            (!question->keyword.len || kt_str_find(tag->value, question->keyword) >= 0)) {
            return true;
        }
    }
    return false;
}

enum kt_status kt_query_selection_snapshot(const struct kt_query_env *env, struct kt_str body,
                                           struct kt_http_response *response, struct kt_error *err)
{
    return query_answer(env, QUERY_SELECTION_SNAPSHOT, body, query_run_snapshot, response, err);
}

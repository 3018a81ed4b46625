/* SPDX-License-Identifier: MIT */
/* Making the next view. Whether a part may be changed in place is told by its count: in an edit, a
 * part with one reference is the edit's own, for views that share it hold one too and none can be
 * added behind our back (views take references to views, never to parts).
 */
#include "store/catalogue_edit.h"

#include "base/mem.h"
#include "json/write.h"

#include <stdlib.h>
#include <string.h>

/* Acquire: if others gave their references back, their reading is over before we write. */
static bool is_own(atomic_uint *refs)
{
    return atomic_load_explicit(refs, memory_order_acquire) == 1;
}

static void count_up(atomic_uint *refs)
{
    atomic_fetch_add_explicit(refs, 1, memory_order_relaxed);
}

static bool count_down(atomic_uint *refs)
{
    return atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

static struct topic_table *topic_table_new(size_t cap)
{
    struct topic_table *table = kt_calloc(1, sizeof(*table) + cap * sizeof(struct topic *));
    if (table) {
        atomic_init(&table->refs, 1);
        table->cap = cap;
    }
    return table;
}

/* Room for `count` keys of `text_bytes` together, in one block; the texts start at *ret_texts. */
static struct indicator_table *indicator_table_new(size_t count, size_t text_bytes,
                                                   char **ret_texts)
{
    size_t bytes = count * (sizeof(struct kt_str) + sizeof(uint32_t)) + text_bytes;
    struct indicator_table *table = kt_calloc(1, sizeof(*table) + bytes);
    if (table) {
        atomic_init(&table->refs, 1);
        table->count = count;
        table->keys = (struct kt_str *)(table + 1);
        table->sorted = (uint32_t *)(table->keys + count);
        *ret_texts = (char *)(table->sorted + count);
    }
    return table;
}

struct kt_catalogue *catalogue_new(struct names *names, struct names *topic_names)
{
    struct kt_catalogue *view = kt_calloc(1, sizeof(*view));
    if (!view) {
        return NULL;
    }
    char *texts;
    atomic_init(&view->refs, 1);
    view->names = names_ref(names);
    view->topic_names = names_ref(topic_names);
    view->topics = topic_table_new(0);
    view->indicators = indicator_table_new(0, 0, &texts);
    if (!view->topics || !view->indicators) {
        kt_catalogue_unref(&view);
    }
    return view;
}

struct kt_catalogue *catalogue_edit(const struct kt_catalogue *view)
{
    struct kt_catalogue *edit = kt_malloc(sizeof(*edit));
    if (!edit) {
        return NULL;
    }
    struct group **groups = NULL;
    if (view->group_count > 0) {
        groups = kt_malloc(view->group_count * sizeof(struct group *));
        if (!groups) {
            kt_free(edit);
            return NULL;
        }
        memcpy(groups, view->groups, view->group_count * sizeof(struct group *));
    }
    *edit = (struct kt_catalogue){.subject_limit = view->subject_limit,
                                  .revision = view->revision,
                                  .wall_ms = view->wall_ms,
                                  .record_count = view->record_count,
                                  .restored = view->restored,
                                  .subject_count = view->subject_count,
                                  .names = names_ref(view->names),
                                  .topic_names = names_ref(view->topic_names),
                                  .indicators = indicators_ref(view->indicators),
                                  .topics = view->topics,
                                  .groups = groups,
                                  .group_count = view->group_count};
    atomic_init(&edit->refs, 1);
    count_up(&edit->topics->refs);
    for (size_t i = 0; groups && i < edit->group_count; i++) {
        if (groups[i]) {
            count_up(&groups[i]->refs);
        }
    }
    return edit;
}

/* --- subjects --- */

static bool groups_reach(struct kt_catalogue *edit, size_t at)
{
    if (at < edit->group_count) {
        return true;
    }
    struct group **groups = kt_reallocarray(edit->groups, at + 1, sizeof(struct group *));
    if (!groups) {
        return false;
    }
    memset(groups + edit->group_count, 0, (at + 1 - edit->group_count) * sizeof(struct group *));
    edit->groups = groups;
    edit->group_count = at + 1;
    return true;
}

static struct group *group_copy(const struct group *from)
{
    struct group *group = from ? kt_malloc(sizeof(*group)) : kt_calloc(1, sizeof(*group));
    if (!group) {
        return NULL;
    }
    if (from) {
        memcpy(group->chunks, from->chunks, sizeof(group->chunks));
        for (size_t i = 0; i < GROUP_CHUNKS; i++) {
            if (group->chunks[i]) {
                count_up(&group->chunks[i]->refs);
            }
        }
    }
    atomic_init(&group->refs, 1);
    return group;
}

/* The group of a number, the edit's own. */
static struct group *own_group(struct kt_catalogue *edit, uint32_t number)
{
    size_t at = number / GROUP_SUBJECTS;
    if (!groups_reach(edit, at)) {
        return NULL;
    }
    struct group *group = edit->groups[at];
    if (!group || !is_own(&group->refs)) {
        struct group *copy = group_copy(group);
        if (!copy) {
            return NULL;
        }
        group_unref(group);
        edit->groups[at] = group = copy;
    }
    return group;
}

static struct chunk *chunk_copy(const struct chunk *from)
{
    struct chunk *chunk = from ? kt_malloc(sizeof(*chunk)) : kt_calloc(1, sizeof(*chunk));
    if (!chunk) {
        return NULL;
    }
    if (from) {
        memcpy(chunk->subjects, from->subjects, sizeof(chunk->subjects));
        memcpy(chunk->bodies, from->bodies, sizeof(chunk->bodies));
        for (size_t i = 0; i < CHUNK_SUBJECTS; i++) {
            if (chunk->bodies[i]) {
                count_up(&chunk->bodies[i]->refs);
            }
        }
    }
    atomic_init(&chunk->refs, 1);
    return chunk;
}

static struct chunk **chunk_place(struct group *group, uint32_t number)
{
    return &group->chunks[number % GROUP_SUBJECTS / CHUNK_SUBJECTS];
}

/* The chunk of a number, the edit's own. */
static struct chunk *own_chunk(struct kt_catalogue *edit, uint32_t number)
{
    struct group *group = own_group(edit, number);
    if (!group) {
        return NULL;
    }
    struct chunk **chunk = chunk_place(group, number);
    if (!*chunk || !is_own(&(*chunk)->refs)) {
        struct chunk *copy = chunk_copy(*chunk);
        if (!copy) {
            return NULL;
        }
        chunk_unref(*chunk);
        *chunk = copy;
    }
    return *chunk;
}

struct kt_subject *catalogue_subject_edit(struct kt_catalogue *edit, uint32_t number,
                                          struct kt_str key)
{
    struct chunk *chunk = own_chunk(edit, number);
    if (!chunk) {
        return NULL;
    }
    struct kt_subject *subject = &chunk->subjects[number % CHUNK_SUBJECTS];
    if (!subject->key.data) {
        struct kt_str none = kt_str("");
        *subject = (struct kt_subject){.number = number,
                                       .plain = kt_json_is_plain(key),
                                       .key = key,
                                       .name = none,
                                       .status = none,
                                       .listing_date = none,
                                       .category = none};
        edit->subject_count++;
        if (number >= edit->subject_limit) {
            edit->subject_limit = number + 1;
        }
    }
    return subject;
}

static bool is_empty(const struct chunk *chunk)
{
    for (size_t i = 0; i < CHUNK_SUBJECTS; i++) {
        if (chunk->subjects[i].key.data) {
            return false;
        }
    }
    return true;
}

bool catalogue_subject_remove(struct kt_catalogue *edit, uint32_t number)
{
    KT_ASSERT(kt_catalogue_subject(edit, number));
    struct chunk *chunk = own_chunk(edit, number);
    if (!chunk) {
        return false;
    }
    struct body **body = &chunk->bodies[number % CHUNK_SUBJECTS];
    if (*body && count_down(&(*body)->refs)) {
        kt_free(*body);
    }
    *body = NULL;
    chunk->subjects[number % CHUNK_SUBJECTS] = (struct kt_subject){.number = 0};
    edit->subject_count--;
    if (is_empty(chunk)) { /* subjects that come and go must not leave a trail of chunks */
        chunk_unref(chunk);
        *chunk_place(edit->groups[number / GROUP_SUBJECTS], number) = NULL;
    }
    return true;
}

struct body_fill {
    char *texts;
};

static struct kt_str put_text(struct body_fill *fill, struct kt_str text)
{
    struct kt_str copy = kt_str_n(fill->texts, text.len);
    if (text.len > 0) {
        memcpy(fill->texts, text.data, text.len);
    }
    fill->texts[text.len] = '\0';
    fill->texts += text.len + 1;
    return copy;
}

static struct body *body_new(const struct kt_subject *from)
{
    size_t bytes =
        from->name.len + from->status.len + from->listing_date.len + from->category.len + 4;
    for (size_t i = 0; i < from->tag_count; i++) {
        bytes += from->tags[i].name.len + from->tags[i].value.len + 2;
    }
    size_t arrays =
        from->stay_count * sizeof(struct kt_stay) + from->tag_count * sizeof(struct kt_tag);
    struct body *body = kt_malloc(sizeof(*body) + arrays + bytes);
    if (!body) {
        return NULL;
    }
    atomic_init(&body->refs, 1);
    body->stays = (struct kt_stay *)(body + 1);
    body->stay_count = from->stay_count;
    body->tags = (struct kt_tag *)(body->stays + from->stay_count);
    body->tag_count = from->tag_count;
    struct body_fill fill = {(char *)(body->tags + from->tag_count)};
    body->name = put_text(&fill, from->name);
    body->status = put_text(&fill, from->status);
    body->listing_date = put_text(&fill, from->listing_date);
    body->category = put_text(&fill, from->category);
    if (from->stay_count > 0) {
        memcpy(body->stays, from->stays, from->stay_count * sizeof(struct kt_stay));
    }
    for (size_t i = 0; i < from->tag_count; i++) {
        body->tags[i].name = put_text(&fill, from->tags[i].name);
        body->tags[i].value = put_text(&fill, from->tags[i].value);
    }
    return body;
}

bool catalogue_set_body(struct kt_catalogue *edit, uint32_t number, const struct kt_subject *from)
{
    struct kt_subject *subject = catalogue_subject_edit(edit, number, from->key);
    struct body *body = subject ? body_new(from) : NULL;
    if (!body) {
        return false;
    }
    struct chunk *chunk = *chunk_place(edit->groups[number / GROUP_SUBJECTS], number);
    struct body **place = &chunk->bodies[number % CHUNK_SUBJECTS];
    if (*place && count_down(&(*place)->refs)) {
        kt_free(*place);
    }
    *place = body;
    subject->name = body->name;
    subject->status = body->status;
    subject->listing_date = body->listing_date;
    subject->category = body->category;
    subject->stays = body->stays;
    subject->stay_count = body->stay_count;
    subject->tags = body->tags;
    subject->tag_count = body->tag_count;
    subject->plain = kt_json_is_plain(subject->key) && kt_json_is_plain(body->name) &&
                     kt_json_is_plain(body->status) && kt_json_is_plain(body->listing_date) &&
                     kt_json_is_plain(body->category);
    return true;
}

/* --- indicators --- */

struct keyed {
    struct kt_str key;
    uint32_t number;
};

static int by_key(const void *a, const void *b)
{
    return kt_str_cmp(((const struct keyed *)a)->key, ((const struct keyed *)b)->key);
}

struct indicator_table *indicators_with(const struct indicator_table *table,
                                        const struct kt_str *keys, size_t count)
{
    size_t text_bytes = 0, total = table->count + count;
    for (size_t i = 0; i < total; i++) {
        text_bytes += (i < table->count ? table->keys[i] : keys[i - table->count]).len + 1;
    }
    char *texts;
    struct indicator_table *grown = indicator_table_new(total, text_bytes, &texts);
    struct keyed *order = kt_reallocarray(NULL, total, sizeof(*order));
    if (!grown || !order) {
        kt_free(grown);
        kt_free(order);
        return NULL;
    }
    struct body_fill fill = {texts};
    for (size_t i = 0; i < total; i++) {
        grown->keys[i] =
            put_text(&fill, i < table->count ? table->keys[i] : keys[i - table->count]);
        order[i] = (struct keyed){grown->keys[i], (uint32_t)i};
    }
    qsort(order, total, sizeof(*order), by_key);
    for (size_t i = 0; i < total; i++) {
        grown->sorted[i] = order[i].number;
    }
    kt_free(order);
    return grown;
}

/* --- topics --- */

/* The edit's own table of topics, with room for numbers below `limit`. */
static bool own_topics(struct kt_catalogue *edit, size_t limit)
{
    struct topic_table *old = edit->topics;
    if (is_own(&old->refs) && limit <= old->cap) {
        return true;
    }
    struct topic_table *table = topic_table_new(limit <= old->cap ? old->cap : limit * 2);
    if (!table) {
        return false;
    }
    table->count = old->count;
    table->limit = old->limit;
    for (size_t i = 0; i < old->limit; i++) {
        table->by_number[i] = old->by_number[i];
        if (table->by_number[i]) {
            count_up(&table->by_number[i]->refs);
        }
    }
    edit->topics = table;
    topics_unref(old);
    return true;
}

static struct topic *topic_new(uint32_t number, struct kt_str key, uint32_t *members, size_t count)
{
    struct topic *topic = kt_calloc(1, sizeof(*topic) + key.len + 1);
    if (!topic) {
        return NULL;
    }
    atomic_init(&topic->refs, 1);
    memcpy(topic->key, key.data, key.len);
    topic->members = members;
    topic->pub = (struct kt_topic){.number = number,
                                   .key = kt_str_n(topic->key, key.len),
                                   .members = members,
                                   .member_count = count};
    return topic;
}

static bool put_topic(struct kt_catalogue *edit, uint32_t number, struct kt_str key)
{
    struct topic *topic = topic_new(number, key, NULL, 0);
    if (!topic || !own_topics(edit, (size_t)number + 1)) {
        kt_free(topic);
        return false;
    }
    struct topic_table *table = edit->topics;
    table->by_number[number] = topic;
    table->count++;
    table->limit = number < table->limit ? table->limit : (size_t)number + 1;
    return true;
}

bool catalogue_topic_number(struct kt_catalogue *edit, struct kt_str key, uint32_t *ret_number,
                            bool *ret_new)
{
    struct kt_str own_key;
    if (!names_number(edit->topic_names, key, ret_number, &own_key)) {
        return false;
    }
    *ret_new = !catalogue_topic(edit, *ret_number);
    return !*ret_new || put_topic(edit, *ret_number, own_key);
}

bool catalogue_topic_restore(struct kt_catalogue *edit, struct kt_str key, uint32_t number)
{
    struct kt_str own_key;
    return names_restore(edit->topic_names, key, number, &own_key) &&
           put_topic(edit, number, own_key);
}

static int by_topic_subject_order(const void *a, const void *b)
{
    const struct member_change *x = a, *y = b;
    if (x->topic != y->topic) {
        return x->topic < y->topic ? -1 : 1;
    }
    if (x->subject != y->subject) {
        return x->subject < y->subject ? -1 : 1;
    }
    return x->order < y->order ? -1 : x->order > y->order;
}

/* Merges the changes of one topic into its members. */
static bool merge_members(struct topic_table *table, const struct member_change *changes,
                          size_t count)
{
    struct topic *old = table->by_number[changes[0].topic];
    size_t old_count = old->pub.member_count, used = 0, i = 0, j = 0;
    uint32_t *members = kt_reallocarray(NULL, old_count + count, sizeof(*members));
    struct topic *topic = members ? topic_new(old->pub.number, old->pub.key, members, 0) : NULL;
    if (!topic) {
        kt_free(members);
        return false;
    }
    while (i < old_count || j < count) {
        while (j + 1 < count && changes[j].subject == changes[j + 1].subject) {
            j++;
        }
        if (j == count || (i < old_count && old->members[i] < changes[j].subject)) {
            members[used++] = old->members[i++];
            continue;
        }
        if (i < old_count && old->members[i] == changes[j].subject) {
            i++;
        }
        if (changes[j].is_member) {
            members[used++] = changes[j].subject;
        }
        j++;
    }
    topic->pub.member_count = used;
    table->by_number[topic->pub.number] = topic;
    if (count_down(&old->refs)) {
        kt_free(old->members);
        kt_free(old);
    }
    return true;
}

bool catalogue_change_members(struct kt_catalogue *edit, struct member_change *changes,
                              size_t count)
{
    if (count == 0) {
        return true;
    }
    if (!own_topics(edit, edit->topics->limit)) {
        return false;
    }
    qsort(changes, count, sizeof(*changes), by_topic_subject_order);
    for (size_t begin = 0, end; begin < count; begin = end) {
        end = begin + 1;
        while (end < count && changes[end].topic == changes[begin].topic) {
            end++;
        }
        if (!merge_members(edit->topics, changes + begin, end - begin)) {
            return false;
        }
    }
    return true;
}

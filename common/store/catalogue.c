/* SPDX-License-Identifier: MIT */
/* Reading a view, and the counted references that hold it together. Each part is freed by whoever
 * drops its last reference; parts are immutable while shared, so no lock is needed anywhere.
 */
#include "store/catalogue_edit.h"

#include "base/mem.h"

/* All counters of this file: taking one more needs no ordering (the taker holds one already);
 * giving the last one back must see all that others did with theirs (acq_rel). */
static void count_up(atomic_uint *refs)
{
    atomic_fetch_add_explicit(refs, 1, memory_order_relaxed);
}

static bool count_down(atomic_uint *refs)
{
    return atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

struct kt_catalogue *kt_catalogue_ref(struct kt_catalogue *view)
{
    count_up(&view->refs);
    return view;
}

void chunk_unref(struct chunk *chunk)
{
    if (!chunk || !count_down(&chunk->refs)) {
        return;
    }
    for (size_t i = 0; i < CHUNK_SUBJECTS; i++) {
        if (chunk->bodies[i] && count_down(&chunk->bodies[i]->refs)) {
            kt_free(chunk->bodies[i]);
        }
    }
    kt_free(chunk);
}

void group_unref(struct group *group)
{
    if (!group || !count_down(&group->refs)) {
        return;
    }
    for (size_t i = 0; i < GROUP_CHUNKS; i++) {
        chunk_unref(group->chunks[i]);
    }
    kt_free(group);
}

void topics_unref(struct topic_table *table)
{
    if (!table || !count_down(&table->refs)) {
        return;
    }
    for (size_t i = 0; i < table->limit; i++) {
        struct topic *topic = table->by_number[i];
        if (topic && count_down(&topic->refs)) {
            kt_free(topic->members);
            kt_free(topic);
        }
    }
    kt_free(table);
}

struct indicator_table *indicators_ref(struct indicator_table *table)
{
    count_up(&table->refs);
    return table;
}

void indicators_unref(struct indicator_table **table)
{
    if (*table && count_down(&(*table)->refs)) {
        kt_free(*table);
    }
    *table = NULL;
}

void kt_catalogue_unref(struct kt_catalogue **view)
{
    if (!view || !*view) {
        return;
    }
    struct kt_catalogue *v = *view;
    *view = NULL;
    if (!count_down(&v->refs)) {
        return;
    }
    for (size_t i = 0; i < v->group_count; i++) {
        group_unref(v->groups[i]);
    }
    kt_free(v->groups);
    topics_unref(v->topics);
    indicators_unref(&v->indicators);
    names_unref(&v->names);
    names_unref(&v->topic_names);
    kt_free(v);
}

uint64_t kt_catalogue_revision(const struct kt_catalogue *view)
{
    return view->revision;
}

int64_t kt_catalogue_wall_ms(const struct kt_catalogue *view)
{
    return view->wall_ms;
}

bool kt_catalogue_stamps_certain(const struct kt_catalogue *view)
{
    return view->subject_count > 0 && !view->restored;
}

size_t kt_catalogue_subject_count(const struct kt_catalogue *view)
{
    return view->subject_count;
}

uint64_t kt_catalogue_record_count(const struct kt_catalogue *view)
{
    return view->record_count;
}

uint32_t kt_catalogue_subject_limit(const struct kt_catalogue *view)
{
    return view->subject_limit;
}

const struct kt_subject *kt_catalogue_subject(const struct kt_catalogue *view, uint32_t number)
{
    if (number >= view->subject_limit) {
        return NULL;
    }
    const struct group *group = view->groups[number / GROUP_SUBJECTS];
    const struct chunk *chunk =
        group ? group->chunks[number % GROUP_SUBJECTS / CHUNK_SUBJECTS] : NULL;
    if (!chunk) {
        return NULL;
    }
    const struct kt_subject *subject = &chunk->subjects[number % CHUNK_SUBJECTS];
    return subject->key.data ? subject : NULL;
}

const struct kt_subject *kt_catalogue_find_subject(const struct kt_catalogue *view,
                                                   struct kt_str key)
{
    uint32_t number;
    return names_find(view->names, key, &number) ? kt_catalogue_subject(view, number) : NULL;
}

size_t kt_catalogue_topic_count(const struct kt_catalogue *view)
{
    return view->topics->count;
}

const struct topic *catalogue_topic(const struct kt_catalogue *view, uint32_t number)
{
    return number < view->topics->limit ? view->topics->by_number[number] : NULL;
}

struct kt_str kt_catalogue_topic_key(const struct kt_catalogue *view, uint32_t number)
{
    const struct topic *topic = catalogue_topic(view, number);
    return topic ? topic->pub.key : KT_STR("");
}

uint32_t kt_catalogue_topic_limit(const struct kt_catalogue *view)
{
    return (uint32_t)view->topics->limit;
}

const struct kt_topic *kt_catalogue_topic(const struct kt_catalogue *view, uint32_t number)
{
    const struct topic *topic = catalogue_topic(view, number);
    return topic ? &topic->pub : NULL;
}

const struct kt_topic *kt_catalogue_find_topic(const struct kt_catalogue *view, struct kt_str key)
{
    uint32_t number;
    const struct topic *topic =
        names_find(view->topic_names, key, &number) ? catalogue_topic(view, number) : NULL;
    return topic ? &topic->pub : NULL;
}

bool indicators_find(const struct indicator_table *table, struct kt_str key, uint32_t *ret_number)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = kt_str_cmp(table->keys[table->sorted[mid]], key);
        if (order == 0) {
            *ret_number = table->sorted[mid];
            return true;
        }
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return false;
}

size_t kt_catalogue_indicator_count(const struct kt_catalogue *view)
{
    return view->indicators->count;
}

struct kt_str kt_catalogue_indicator(const struct kt_catalogue *view, uint32_t number)
{
    KT_ASSERT(number < view->indicators->count);
    return view->indicators->keys[number];
}

bool kt_catalogue_find_indicator(const struct kt_catalogue *view, struct kt_str key,
                                 uint32_t *ret_number)
{
    return indicators_find(view->indicators, key, ret_number);
}

const uint32_t *kt_catalogue_indicators_sorted(const struct kt_catalogue *view, size_t *ret_count)
{
    *ret_count = view->indicators->count;
    return view->indicators->sorted;
}

bool kt_subject_in_topic(const struct kt_subject *subject, uint32_t topic, int64_t from_s,
                         int64_t to_s)
{
    for (size_t i = 0; i < subject->stay_count; i++) {
        const struct kt_stay *stay = &subject->stays[i];
        if (stay->topic == topic && stay->from_s <= to_s && stay->to_s >= from_s) {
            return true;
        }
    }
    return false;
}

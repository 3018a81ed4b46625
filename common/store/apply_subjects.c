/* SPDX-License-Identifier: MIT */
/* What a change says of subjects themselves. An import repeats the same name and category with each
 * batch, so everything is compared first and written only when it differs.
 */
#include "store/apply_internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static struct kt_str merged(struct kt_opt_text named, struct kt_str old)
{
    if (named.named == KT_NOT_NAMED) {
        return old;
    }
    return named.named == KT_NAMED ? named.text : kt_str("");
}

static bool same_texts(const struct kt_subject *a, const struct kt_subject *b)
{
    return kt_str_eq(a->name, b->name) && kt_str_eq(a->status, b->status) &&
           kt_str_eq(a->listing_date, b->listing_date) && kt_str_eq(a->category, b->category);
}

static enum kt_status write_texts(struct applier *a, const struct kt_subject *subject,
                                  struct kt_error *err)
{
    struct sqlite3_stmt *stmt = a->store->data_stmts[DATA_UPDATE_SUBJECT];
    db_bind_i64(stmt, 1, subject->number);
    db_bind_text(stmt, 2, subject->name);
    db_bind_text(stmt, 3, subject->status);
    db_bind_text(stmt, 4, subject->listing_date);
    db_bind_text(stmt, 5, subject->category);
    return db_run(stmt, err);
}

/* --- stays --- */

/* Stays of a view are sorted by topic and from. */
static bool has_topic(const struct kt_stay *stays, size_t count, uint32_t topic)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (stays[mid].topic < topic) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < count && stays[low].topic == topic;
}

static int by_topic_from(const struct kt_stay *x, const struct kt_stay *y)
{
    if (x->topic != y->topic) {
        return x->topic < y->topic ? -1 : 1;
    }
    return x->from_s < y->from_s ? -1 : x->from_s > y->from_s;
}

static int by_topic_from_order(const void *a, const void *b)
{
    const struct ordered_stay *x = a, *y = b;
    int order = by_topic_from(&x->stay, &y->stay);
    return order != 0 ? order : x->order < y->order ? -1 : x->order > y->order;
}

static enum kt_status put_stay(struct applier *a, size_t *count, struct kt_stay stay,
                               struct kt_error *err)
{
    if (!apply_grow(&a->ordered_stays, &a->ordered_stay_cap, *count, sizeof(*a->ordered_stays))) {
        return apply_no_memory(err);
    }
    a->ordered_stays[*count] = (struct ordered_stay){stay, *count};
    (*count)++;
    return KT_OK;
}

/* Sorts into a->stays. A stay is (topic, from): of two the later naming counts. */
static enum kt_status settle_stays(struct applier *a, size_t count, size_t *ret_count,
                                   struct kt_error *err)
{
    if (count > 1) {
        qsort(a->ordered_stays, count, sizeof(*a->ordered_stays), by_topic_from_order);
    }
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        const struct kt_stay *stay = &a->ordered_stays[i].stay;
        if (used > 0 && by_topic_from(&a->stays[used - 1], stay) == 0) {
            used--;
        }
        if (!apply_grow(&a->stays, &a->stay_cap, used, sizeof(*a->stays))) {
            return apply_no_memory(err);
        }
        a->stays[used++] = *stay;
    }
    *ret_count = used;
    return KT_OK;
}

static enum kt_status topic_number(struct applier *a, struct kt_str key, uint32_t *ret_number,
                                   struct kt_error *err)
{
    bool is_new;
    if (!catalogue_topic_number(a->edit, key, ret_number, &is_new)) {
        return apply_no_memory(err);
    }
    if (!is_new) {
        return KT_OK;
    }
    struct sqlite3_stmt *stmt = a->store->data_stmts[DATA_INSERT_TOPIC];
    db_bind_i64(stmt, 1, *ret_number);
    db_bind_text(stmt, 2, key);
    return db_run(stmt, err);
}

static int by_number(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* The topics that the subject leaves; those that nobody knows have no stay to end. */
static enum kt_status find_leaves(struct applier *a, const struct kt_change_subject *change,
                                  struct kt_error *err)
{
    a->leave_count = 0;
    for (size_t i = 0; i < change->leave_count; i++) {
        const struct kt_topic *topic = kt_catalogue_find_topic(a->edit, change->leaves[i]);
        if (!topic) {
            continue;
        }
        if (!apply_grow(&a->leaves, &a->leave_cap, a->leave_count, sizeof(*a->leaves))) {
            return apply_no_memory(err);
        }
        a->leaves[a->leave_count++] = topic->number;
    }
    if (a->leave_count > 1) {
        qsort(a->leaves, a->leave_count, sizeof(*a->leaves), by_number);
    }
    return KT_OK;
}

static bool is_left(const struct applier *a, uint32_t topic)
{
    return a->leave_count > 0 &&
           bsearch(&topic, a->leaves, a->leave_count, sizeof(*a->leaves), by_number);
}

/* The subject's stays after this change, in a->stays. */
static enum kt_status plan_stays(struct applier *a, const struct kt_subject *old,
                                 const struct kt_change_subject *change, size_t *ret_count,
                                 struct kt_error *err)
{
    enum kt_status status = find_leaves(a, change, err);
    size_t count = 0;
    if (change->topics_mode != KT_TOPICS_REPLACE) {
        for (size_t i = 0; i < old->stay_count && status == KT_OK; i++) {
            if (!is_left(a, old->stays[i].topic)) {
                status = put_stay(a, &count, old->stays[i], err);
            }
        }
    }
    size_t named = change->topics_mode == KT_TOPICS_KEEP ? 0 : change->stay_count;
    for (size_t i = 0; i < named && status == KT_OK; i++) {
        struct kt_stay stay = {0, change->stays[i].from_s, change->stays[i].to_s};
        status = topic_number(a, change->stays[i].topic, &stay.topic, err);
        bool there = status == KT_OK && change->topics_mode == KT_TOPICS_ADD_IF_NONE &&
                     has_topic(old->stays, old->stay_count, stay.topic);
        if (status == KT_OK && !there) {
            status = put_stay(a, &count, stay, err);
        }
    }
    return status == KT_OK ? settle_stays(a, count, ret_count, err) : status;
}

static bool same_stays(const struct kt_subject *a, const struct kt_subject *b)
{
    if (a->stay_count != b->stay_count) {
        return false;
    }
    for (size_t i = 0; i < a->stay_count; i++) {
        if (by_topic_from(&a->stays[i], &b->stays[i]) != 0 ||
            a->stays[i].to_s != b->stays[i].to_s) {
            return false;
        }
    }
    return true;
}

static enum kt_status note_member(struct applier *a, uint32_t topic, uint32_t subject,
                                  bool is_member, struct kt_error *err)
{
    if (!apply_grow(&a->members, &a->member_cap, a->member_count, sizeof(*a->members))) {
        return apply_no_memory(err);
    }
    a->members[a->member_count] =
        (struct member_change){topic, subject, (uint32_t)a->member_count, is_member};
    a->member_count++;
    return touched_topic(a, topic, err);
}

static enum kt_status write_stays(struct applier *a, const struct kt_subject *old,
                                  const struct kt_subject *fresh, struct kt_error *err)
{
    struct sqlite3_stmt *stmt = a->store->data_stmts[DATA_DELETE_STAYS];
    db_bind_i64(stmt, 1, fresh->number);
    enum kt_status status = db_run(stmt, err);
    stmt = a->store->data_stmts[DATA_INSERT_STAY];
    for (size_t i = 0; i < fresh->stay_count && status == KT_OK; i++) {
        const struct kt_stay *stay = &fresh->stays[i];
        db_bind_i64(stmt, 1, fresh->number);
        db_bind_i64(stmt, 2, stay->topic);
        db_bind_i64(stmt, 3, stay->from_s);
        db_bind_i64(stmt, 4, stay->to_s);
        status = db_run(stmt, err);
        if (status == KT_OK && !has_topic(old->stays, old->stay_count, stay->topic)) {
            status = note_member(a, stay->topic, fresh->number, true, err);
        }
    }
    for (size_t i = 0; i < old->stay_count && status == KT_OK; i++) {
        if (!has_topic(fresh->stays, fresh->stay_count, old->stays[i].topic)) {
            status = note_member(a, old->stays[i].topic, fresh->number, false, err);
        }
    }
    return status;
}

enum kt_status apply_leave_all(struct applier *a, const struct kt_subject *subject,
                               struct kt_error *err)
{
    enum kt_status status = KT_OK;
    for (size_t i = 0; i < subject->stay_count && status == KT_OK; i++) {
        status = note_member(a, subject->stays[i].topic, subject->number, false, err);
    }
    return status;
}

/* --- tags --- */

static int by_name_index(const void *a, const void *b)
{
    const struct named_tag *x = a, *y = b;
    int order = kt_str_cmp(x->name, y->name);
    return order != 0 ? order : x->index < y->index ? -1 : x->index > y->index;
}

static int by_name_value(const void *a, const void *b)
{
    const struct kt_tag *x = a, *y = b;
    int order = kt_str_cmp(x->name, y->name);
    return order != 0 ? order : kt_str_cmp(x->value, y->value);
}

/* The change's tags by name; of the same name twice in one change the later naming counts. */
static enum kt_status index_tags(struct applier *a, const struct kt_change_subject *change,
                                 size_t *ret_count, struct kt_error *err)
{
    size_t used = 0;
    for (size_t i = 0; i < change->tag_count; i++) {
        if (!apply_grow(&a->named_tags, &a->named_tag_cap, i, sizeof(*a->named_tags))) {
            return apply_no_memory(err);
        }
        a->named_tags[i] = (struct named_tag){change->tags[i].name, i};
    }
    if (change->tag_count > 1) {
        qsort(a->named_tags, change->tag_count, sizeof(*a->named_tags), by_name_index);
    }
    for (size_t i = 0; i < change->tag_count; i++) {
        bool again = used > 0 && kt_str_eq(a->named_tags[used - 1].name, a->named_tags[i].name);
        a->named_tags[again ? used - 1 : used++] = a->named_tags[i];
    }
    *ret_count = used;
    return KT_OK;
}

static bool tag_is_named(const struct applier *a, size_t count, struct kt_str name)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (kt_str_cmp(a->named_tags[mid].name, name) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < count && kt_str_eq(a->named_tags[low].name, name);
}

static enum kt_status put_tag(struct applier *a, size_t *count, struct kt_tag tag,
                              struct kt_error *err)
{
    if (!apply_grow(&a->tags, &a->tag_cap, *count, sizeof(*a->tags))) {
        return apply_no_memory(err);
    }
    a->tags[(*count)++] = tag;
    return KT_OK;
}

/* Sorts a->tags; one value counts once. */
static size_t settle_tags(struct applier *a, size_t count)
{
    size_t used = 0;
    if (count > 1) {
        qsort(a->tags, count, sizeof(*a->tags), by_name_value);
    }
    for (size_t i = 0; i < count; i++) {
        if (used == 0 || by_name_value(&a->tags[i], &a->tags[used - 1]) != 0) {
            a->tags[used++] = a->tags[i];
        }
    }
    return used;
}

static enum kt_status plan_tags(struct applier *a, const struct kt_subject *old,
                                const struct kt_change_subject *change, size_t *ret_count,
                                struct kt_error *err)
{
    size_t count = 0, named = 0;
    enum kt_status status = index_tags(a, change, &named, err);
    for (size_t i = 0; i < old->tag_count && status == KT_OK; i++) {
        if (!tag_is_named(a, named, old->tags[i].name)) {
            status = put_tag(a, &count, old->tags[i], err);
        }
    }
    for (size_t i = 0; i < named && status == KT_OK; i++) {
        const struct kt_change_tag *tag = &change->tags[a->named_tags[i].index];
        for (size_t j = 0; j < tag->count && status == KT_OK; j++) {
            status = put_tag(a, &count, (struct kt_tag){tag->name, tag->values[j]}, err);
        }
    }
    if (status == KT_OK) {
        *ret_count = settle_tags(a, count);
    }
    return status;
}

static bool same_tags(const struct kt_subject *a, const struct kt_subject *b)
{
    if (a->tag_count != b->tag_count) {
        return false;
    }
    for (size_t i = 0; i < a->tag_count; i++) {
        if (by_name_value(&a->tags[i], &b->tags[i]) != 0) {
            return false;
        }
    }
    return true;
}

static enum kt_status write_tags(struct applier *a, const struct kt_subject *fresh,
                                 struct kt_error *err)
{
    struct sqlite3_stmt *stmt = a->store->data_stmts[DATA_DELETE_TAGS];
    db_bind_i64(stmt, 1, fresh->number);
    enum kt_status status = db_run(stmt, err);
    stmt = a->store->data_stmts[DATA_INSERT_TAG];
    for (size_t i = 0; i < fresh->tag_count && status == KT_OK; i++) {
        db_bind_i64(stmt, 1, fresh->number);
        db_bind_text(stmt, 2, fresh->tags[i].name);
        db_bind_text(stmt, 3, fresh->tags[i].value);
        status = db_run(stmt, err);
    }
    return status;
}

/* --- the whole --- */

enum kt_status apply_subject(struct applier *a, const struct kt_change_subject *change,
                             uint64_t seq, struct kt_error *err)
{
    const struct kt_subject *old = kt_catalogue_find_subject(a->edit, change->key);
    KT_ASSERT(old);
    struct kt_subject fresh = *old;
    fresh.name = merged(change->name, old->name);
    fresh.status = merged(change->status, old->status);
    fresh.listing_date = merged(change->listing_date, old->listing_date);
    fresh.category = merged(change->category, old->category);
    enum kt_status status = plan_stays(a, old, change, &fresh.stay_count, err);
    if (status == KT_OK) {
        status = plan_tags(a, old, change, &fresh.tag_count, err);
    }
    if (status != KT_OK) {
        return status;
    }
    fresh.stays = a->stays;
    fresh.tags = a->tags;
    bool texts = !same_texts(old, &fresh), stays = !same_stays(old, &fresh);
    bool tags = !same_tags(old, &fresh);
    if (texts) {
        status = write_texts(a, &fresh, err);
    }
    if (stays && status == KT_OK) {
        status = write_stays(a, old, &fresh, err);
    }
    if (tags && status == KT_OK) {
        status = write_tags(a, &fresh, err);
    }
    if (status != KT_OK || (!texts && !stays && !tags)) {
        return status;
    }
    if (!catalogue_set_body(a->edit, fresh.number, &fresh)) {
        return apply_no_memory(err);
    }
    return apply_stamp(a, fresh.number, seq, false, err);
}

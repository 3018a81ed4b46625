/* SPDX-License-Identifier: MIT */
/* A save: new indicators, if the cluster has room for them, then subjects, then its records, which
 * are only collected here.
 */
#include "store/apply_internal.h"

#include "base/map.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* --- indicators --- */

/* Whether a text was seen in this change; then it is. False also when memory is short: it is only
 * looked up once more. */
static bool was_seen(struct applier *a, const char *text)
{
    if (a->seen_count * 2 >= a->seen_cap) {
        size_t old_cap = a->seen_cap, cap = old_cap ? old_cap * 2 : 256;
        const char **old = a->seen;
        const char **seen = kt_calloc(cap, sizeof(*seen));
        if (!seen) {
            return false;
        }
        a->seen = seen;
        a->seen_cap = cap;
        a->seen_count = 0;
        for (size_t i = 0; i < old_cap; i++) {
            if (old[i]) {
                (void)was_seen(a, old[i]);
            }
        }
        kt_free(old);
    }
    size_t at = (size_t)((uintptr_t)text * UINT64_C(0x9E3779B97F4A7C15) >> 32);
    for (at &= a->seen_cap - 1; a->seen[at]; at = (at + 1) & (a->seen_cap - 1)) {
        if (a->seen[at] == text) {
            return true;
        }
    }
    a->seen[at] = text;
    a->seen_count++;
    return false;
}

struct new_keys {
    struct kt_str *keys;
    size_t count, cap;
    struct kt_map *among; /* the same keys; NULL while there is none */
};

static void new_keys_done(struct new_keys *list)
{
    kt_free(list->keys);
    kt_map_free(&list->among);
}

static enum kt_status note_key(struct applier *a, struct kt_str key, struct new_keys *list,
                               struct kt_error *err)
{
    uint32_t number;
    if (indicators_find(a->edit->indicators, key, &number)) {
        return KT_OK;
    }
    if (!list->among) {
        list->among = kt_map_new();
    }
    void *old = NULL;
    if (!list->among || kt_map_put(list->among, key, list, &old) != KT_OK) {
        return apply_no_memory(err);
    }
    if (old) {
        return KT_OK;
    }
    if (!apply_grow(&list->keys, &list->cap, list->count, sizeof(*list->keys))) {
        return apply_no_memory(err);
    }
    list->keys[list->count++] = key;
    return KT_OK;
}

static bool too_many(const struct applier *a, const struct new_keys *list)
{
    return (int64_t)(a->edit->indicators->count + list->count) > a->settings.max_indicators;
}

/* Collects the indicators that the view does not know, until they are too many. In a change one key
 * is one text of its table, so an address that was seen needs no second look: nearly all of them.
 */
static enum kt_status find_new_keys(struct applier *a, const struct kt_change *change,
                                    struct new_keys *list, struct kt_error *err)
{
    enum kt_status status = KT_OK;
    a->seen_count = 0;
    if (a->seen_cap > 0) {
        memset(a->seen, 0, a->seen_cap * sizeof(*a->seen));
    }
    for (size_t i = 0; i < change->record_count; i++) {
        const struct kt_change_record *record = &change->records[i];
        for (size_t j = 0; j < record->value_count; j++) {
            struct kt_str key = record->values[j].indicator;
            if (was_seen(a, key.data)) {
                continue;
            }
            status = note_key(a, key, list, err);
            if (status != KT_OK || too_many(a, list)) {
                return status;
            }
        }
    }
    return KT_OK;
}

static enum kt_status add_indicators(struct applier *a, const struct new_keys *list,
                                     struct kt_error *err)
{
    if (list->count == 0) {
        return KT_OK;
    }
    size_t before = a->edit->indicators->count;
    struct indicator_table *table = indicators_with(a->edit->indicators, list->keys, list->count);
    if (!table) {
        return apply_no_memory(err);
    }
    indicators_unref(&a->edit->indicators);
    a->edit->indicators = table;
    struct sqlite3_stmt *stmt = a->store->data_stmts[DATA_INSERT_INDICATOR];
    enum kt_status status = KT_OK;
    for (size_t i = 0; i < list->count && status == KT_OK; i++) {
        db_bind_u64(stmt, 1, before + i);
        db_bind_text(stmt, 2, list->keys[i]);
        status = db_run(stmt, err);
    }
    return status;
}

/* --- the whole --- */

static enum kt_status count_subject(struct applier *a, uint32_t subject, uint64_t seq,
                                    struct kt_apply_result *result, struct kt_error *err)
{
    struct subject_facts *facts = apply_facts(a, subject);
    if (!facts) {
        return apply_no_memory(err);
    }
    if (facts->counted_in != seq) {
        facts->counted_in = seq;
        result->subjects++;
        return touched_subject(a, subject, err);
    }
    return KT_OK;
}

static enum kt_status collect_record(struct applier *a, const struct kt_change_record *record,
                                     uint64_t seq, uint32_t line, struct kt_apply_result *result,
                                     struct kt_error *err)
{
    uint32_t number = 0;
    enum kt_status status = KT_OK;
    /* The line before stands last, and one key is one text of the change's table. */
    if (line > 0 && a->rows[a->row_count - 1].record->subject.data == record->subject.data) {
        number = a->rows[a->row_count - 1].subject;
    } else {
        status = apply_subject_number(a, record->subject, seq, &number, err);
        if (status == KT_OK) {
            status = count_subject(a, number, seq, result, err);
        }
    }
    if (status != KT_OK) {
        return status;
    }
    if (!apply_grow(&a->rows, &a->row_cap, a->row_count, sizeof(*a->rows))) {
        return apply_no_memory(err);
    }
    a->rows[a->row_count++] = (struct apply_row){record, seq, number, line, 0};
    result->records++;
    result->values += (uint32_t)record->value_count;
    return KT_OK;
}

enum kt_status apply_save(struct applier *a, const struct kt_change *change, uint64_t seq,
                          struct kt_apply_result *result, struct kt_error *err)
{
    struct new_keys list = {0};
    enum kt_status status = find_new_keys(a, change, &list, err);
    bool refused = status == KT_OK && too_many(a, &list);
    if (refused) {
        char message[120];
        snprintf(message, sizeof(message), "indicators: the cluster has %zu and its limit is %lld",
                 a->edit->indicators->count, (long long)a->settings.max_indicators);
        apply_refuse(result, KT_BAD_VALUE, "indicators", message);
    } else if (status == KT_OK) {
        status = add_indicators(a, &list, err);
    }
    new_keys_done(&list);
    if (refused) {
        return KT_OK;
    }
    for (size_t i = 0; i < change->subject_count && status == KT_OK; i++) {
        uint32_t number;
        status = apply_subject_number(a, change->subjects[i].key, seq, &number, err);
        if (status == KT_OK) {
            status = count_subject(a, number, seq, result, err);
        }
        if (status == KT_OK) {
            status = apply_subject(a, &change->subjects[i], seq, err);
        }
        if (status == KT_OK && change->recorded_revision != 0) {
            /* A delete may have been what touched it last: the line says no more than when. */
            status = apply_stamp(a, number, seq, false, err);
        }
    }
    for (size_t i = 0; i < change->record_count && status == KT_OK; i++) {
        status = collect_record(a, &change->records[i], seq, (uint32_t)i, result, err);
    }
    return status;
}

/* SPDX-License-Identifier: MIT */
/* Lines of one revision about one record with one declare time say no more than one line with the
 * last word on each value: they differ by their order alone, and that is spent here. So a request
 * that repeats a record a million times makes one row, not a million that every question would
 * read.
 */
#include "store/apply_internal.h"

#include <stdlib.h>
#include <string.h>

/* Texts of one change come from one table: the same key is the same address. */
static int by_key(const void *a, const void *b)
{
    const struct fold_item *x = a, *y = b;
    uintptr_t p = (uintptr_t)x->value->indicator.data, q = (uintptr_t)y->value->indicator.data;
    if (p != q) {
        return p < q ? -1 : 1;
    }
    return (x->order > y->order) - (x->order < y->order);
}

static int by_order(const void *a, const void *b)
{
    const struct fold_item *x = a, *y = b;
    return (x->order > y->order) - (x->order < y->order);
}

static bool collect(struct applier *a, const struct kt_change_record *record, size_t *count)
{
    for (size_t i = 0; i < record->value_count; i++) {
        if (!apply_grow(&a->fold_items, &a->fold_cap, *count, sizeof(*a->fold_items))) {
            return false;
        }
        a->fold_items[*count] = (struct fold_item){&record->values[i], *count};
        (*count)++;
    }
    return true;
}

/* The last value of each key, in the order in which the keys came first: alike on every node. */
static size_t keep_last(struct fold_item *items, size_t count)
{
    size_t kept = 0;
    qsort(items, count, sizeof(*items), by_key);
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && items[kept - 1].value->indicator.data == items[i].value->indicator.data) {
            items[kept - 1].value = items[i].value;
        } else {
            items[kept++] = items[i];
        }
    }
    qsort(items, kept, sizeof(*items), by_order);
    return kept;
}

bool apply_fold(struct applier *a, const struct apply_row *rows, size_t count,
                struct kt_change_record *ret_record)
{
    struct kt_change_record folded = *rows[count - 1].record;
    size_t items = 0;
    for (size_t i = 0; i < count; i++) {
        const struct kt_change_record *record = rows[i].record;
        folded.declare_given = folded.declare_given || record->declare_given;
        if (i == 0 || record->end_date.named != KT_NOT_NAMED) {
            folded.end_date = record->end_date;
        }
        if (i == 0 || record->year.named != KT_NOT_NAMED) {
            folded.year = record->year;
        }
        if (!collect(a, record, &items)) {
            return false;
        }
    }
    size_t kept = items > 0 ? keep_last(a->fold_items, items) : 0;
    if (!apply_grow(&a->fold_values, &a->fold_value_cap, kept, sizeof(*a->fold_values))) {
        return false;
    }
    for (size_t i = 0; i < kept; i++) {
        a->fold_values[i] = *a->fold_items[i].value;
    }
    folded.values = a->fold_values;
    folded.value_count = kept;
    *ret_record = folded;
    return true;
}

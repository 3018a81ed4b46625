/* SPDX-License-Identifier: MIT */
/* Open addressing over XXH3 with linear probing, at most half full, so that a reader's probe always
 * meets a free slot.
 */
#include "store/names.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"

#include <stdatomic.h>
#include <string.h>

struct name {
    struct name *next; /* all entries, for the end */
    uint32_t number;
    uint32_t len;
    char key[];
};

struct name_table {
    struct name_table *older;
    size_t mask;
    _Atomic(struct name *) slots[];
};

struct names {
    atomic_uint refs;
    _Atomic(struct name_table *) table;
    struct name *all;
    size_t count;
    uint32_t next_number;
};

static struct name_table *table_new(size_t cap)
{
    struct name_table *table = kt_calloc(1, sizeof(*table) + cap * sizeof(_Atomic(struct name *)));
    if (table) {
        table->mask = cap - 1;
    }
    return table;
}

struct names *names_new(void)
{
    struct names *names = kt_calloc(1, sizeof(*names));
    struct name_table *table = table_new(256);
    if (!names || !table) {
        kt_free(names);
        kt_free(table);
        return NULL;
    }
    atomic_init(&names->refs, 1);
    atomic_init(&names->table, table);
    return names;
}

struct names *names_ref(struct names *names)
{
    /* Relaxed: the caller holds a reference already. */
    atomic_fetch_add_explicit(&names->refs, 1, memory_order_relaxed);
    return names;
}

void names_unref(struct names **names)
{
    if (!names || !*names) {
        return;
    }
    /* acq_rel: all use elsewhere happens before the memory goes. */
    if (atomic_fetch_sub_explicit(&(*names)->refs, 1, memory_order_acq_rel) == 1) {
        struct name_table *table = atomic_load(&(*names)->table);
        while (table) {
            struct name_table *older = table->older;
            kt_free(table);
            table = older;
        }
        for (struct name *name = (*names)->all, *next; name; name = next) {
            next = name->next;
            kt_free(name);
        }
        kt_free(*names);
    }
    *names = NULL;
}

/* The slot that holds the key, or the free one where it would go. */
static _Atomic(struct name *) *slot_of(struct name_table *table, struct kt_str key,
                                       struct name **ret_name)
{
    size_t at = (size_t)kt_hash64(key.data, key.len) & table->mask;
    for (;;) {
        /* Acquire pairs with the release that published the entry: its bytes are there. */
        struct name *name = atomic_load_explicit(&table->slots[at], memory_order_acquire);
        if (!name || kt_str_eq(kt_str_n(name->key, name->len), key)) {
            *ret_name = name;
            return &table->slots[at];
        }
        at = (at + 1) & table->mask;
    }
}

bool names_find(const struct names *names, struct kt_str key, uint32_t *ret_number)
{
    /* Acquire: the slots of a new table were filled before it was published. */
    struct name_table *table = atomic_load_explicit(&names->table, memory_order_acquire);
    struct name *name;
    slot_of(table, key, &name);
    if (!name) {
        return false;
    }
    *ret_number = name->number;
    return true;
}

static bool make_room(struct names *names)
{
    struct name_table *old = atomic_load_explicit(&names->table, memory_order_relaxed);
    if (names->count * 2 < old->mask) {
        return true;
    }
    struct name_table *table = table_new((old->mask + 1) * 2);
    if (!table) {
        return false;
    }
    table->older = old;
    for (struct name *name = names->all; name; name = name->next) {
        struct name *found;
        atomic_init(slot_of(table, kt_str_n(name->key, name->len), &found), name);
    }
    atomic_store_explicit(&names->table, table, memory_order_release);
    return true;
}

static struct name *add(struct names *names, struct kt_str key, uint32_t number)
{
    if (!make_room(names)) {
        return NULL;
    }
    struct name *name = kt_malloc(sizeof(*name) + key.len + 1);
    if (!name) {
        return NULL;
    }
    name->number = number;
    name->len = (uint32_t)key.len;
    memcpy(name->key, key.data, key.len);
    name->key[key.len] = '\0';
    name->next = names->all;
    names->all = name;
    names->count++;
    struct name *found;
    _Atomic(struct name *) *slot =
        slot_of(atomic_load_explicit(&names->table, memory_order_relaxed), key, &found);
    KT_ASSERT(!found);
    atomic_store_explicit(slot, name, memory_order_release);
    if (number >= names->next_number) {
        names->next_number = number + 1;
    }
    return name;
}

bool names_number(struct names *names, struct kt_str key, uint32_t *ret_number,
                  struct kt_str *ret_key)
{
    struct name *name;
    slot_of(atomic_load_explicit(&names->table, memory_order_relaxed), key, &name);
    if (!name) {
        name = add(names, key, names->next_number);
        if (!name) {
            return false;
        }
    }
    *ret_number = name->number;
    *ret_key = kt_str_n(name->key, name->len);
    return true;
}

bool names_restore(struct names *names, struct kt_str key, uint32_t number, struct kt_str *ret_key)
{
    struct name *name = add(names, key, number);
    if (!name) {
        return false;
    }
    *ret_key = kt_str_n(name->key, name->len);
    return true;
}

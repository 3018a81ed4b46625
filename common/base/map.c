/* SPDX-License-Identifier: MIT */
/* map.c - linear probing; removal moves later members of the probe run back instead of leaving
 * tombstones, so that a map that churns does not slow down. */
#include "base/map.h"

#include "base/hash.h"
#include "base/mem.h"

#include <string.h>

struct slot {
    uint64_t hash;
    char *key;
    size_t key_len;
    void *value; /* NULL: free */
};

struct kt_map {
    struct slot *slots;
    size_t cap, count; /* cap is a power of two */
};

enum { FIRST_CAP = 8 };

struct kt_map *kt_map_new(void)
{
    struct kt_map *map = kt_calloc(1, sizeof *map);
    if (!map) {
        return NULL;
    }
    map->cap = FIRST_CAP;
    map->slots = kt_calloc(map->cap, sizeof *map->slots);
    if (!map->slots) {
        kt_free(map);
        return NULL;
    }
    return map;
}

void kt_map_clear(struct kt_map *map)
{
    for (size_t i = 0; i < map->cap; i++) {
        kt_free(map->slots[i].key);
    }
    memset(map->slots, 0, map->cap * sizeof *map->slots);
    map->count = 0;
}

void kt_map_free(struct kt_map **map)
{
    if (!*map) {
        return;
    }
    kt_map_clear(*map);
    kt_free((*map)->slots);
    kt_free(*map);
    *map = NULL;
}

size_t kt_map_count(const struct kt_map *map)
{
    return map->count;
}

/* The slot of `key`, or the free one where it would go: there is always one, as the table is never
 * full. */
static size_t find_slot(const struct kt_map *map, uint64_t hash, struct kt_str key)
{
    size_t at = (size_t)hash & (map->cap - 1);
    for (;;) {
        const struct slot *slot = &map->slots[at];
        if (!slot->value ||
            (slot->hash == hash && kt_str_eq(kt_str_n(slot->key, slot->key_len), key))) {
            return at;
        }
        at = (at + 1) & (map->cap - 1);
    }
}

void *kt_map_get(const struct kt_map *map, struct kt_str key)
{
    return map->slots[find_slot(map, kt_hash64(key.data, key.len), key)].value;
}

static bool grow(struct kt_map *map)
{
    size_t cap = map->cap * 2;
    struct slot *slots = cap > map->cap ? kt_calloc(cap, sizeof *slots) : NULL;
    if (!slots) {
        return false;
    }
    for (size_t i = 0; i < map->cap; i++) {
        if (map->slots[i].value) {
            size_t at = (size_t)map->slots[i].hash & (cap - 1);
            while (slots[at].value) {
                at = (at + 1) & (cap - 1);
            }
            slots[at] = map->slots[i];
        }
    }
    kt_free(map->slots);
    map->slots = slots;
    map->cap = cap;
    return true;
}

enum kt_status kt_map_put(struct kt_map *map, struct kt_str key, void *value, void **ret_old)
{
    KT_ASSERT(value);
    uint64_t hash = kt_hash64(key.data, key.len);
    size_t at = find_slot(map, hash, key);
    void *old = map->slots[at].value;
    if (!old) {
        char *copy = kt_strndup(key.data, key.len);
        if (!copy) {
            return KT_NO_MEMORY;
        }
        if (map->count + 1 > map->cap / 4 * 3) {
            if (!grow(map)) {
                kt_free(copy);
                return KT_NO_MEMORY;
            }
            at = find_slot(map, hash, key);
        }
        map->slots[at] = (struct slot){hash, copy, key.len, NULL};
        map->count++;
    }
    map->slots[at].value = value;
    if (ret_old) {
        *ret_old = old;
    }
    return KT_OK;
}

void *kt_map_remove(struct kt_map *map, struct kt_str key)
{
    size_t hole = find_slot(map, kt_hash64(key.data, key.len), key);
    void *value = map->slots[hole].value;
    if (!value) {
        return NULL;
    }
    kt_free(map->slots[hole].key);
    size_t mask = map->cap - 1;
    for (size_t at = (hole + 1) & mask; map->slots[at].value; at = (at + 1) & mask) {
        size_t home = (size_t)map->slots[at].hash & mask;
        /* It may move to the hole unless its home lies behind the hole on the way to it. */
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            map->slots[hole] = map->slots[at];
            hole = at;
        }
    }
    map->slots[hole] = (struct slot){0};
    map->count--;
    return value;
}

bool kt_map_next(const struct kt_map *map, size_t *pos, struct kt_str *ret_key, void **ret_value)
{
    for (; *pos < map->cap; (*pos)++) {
        const struct slot *slot = &map->slots[*pos];
        if (slot->value) {
            *ret_key = kt_str_n(slot->key, slot->key_len);
            *ret_value = slot->value;
            (*pos)++;
            return true;
        }
    }
    return false;
}

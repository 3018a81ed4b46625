/* SPDX-License-Identifier: MIT */
/* arena.c - a list of chunks, filled from the front; the newest chunk is the one being filled. */
#include "base/arena.h"

#include "base/mem.h"
#include "base/status.h"

#include <stdalign.h>
#include <string.h>

enum { ALIGN = 16 };

struct chunk {
    struct chunk *older;
    size_t cap, used;
    alignas(ALIGN) unsigned char data[];
};

struct kt_arena {
    struct chunk *newest;
    size_t used, max_bytes;
};

static struct chunk *chunk_new(size_t cap, struct chunk *older)
{
    struct chunk *chunk =
        cap > SIZE_MAX - sizeof(struct chunk) ? NULL : kt_malloc(sizeof(struct chunk) + cap);
    if (chunk) {
        chunk->older = older;
        chunk->cap = cap;
        chunk->used = 0;
    }
    return chunk;
}

struct kt_arena *kt_arena_new(size_t first_chunk_bytes, size_t max_bytes)
{
    struct kt_arena *arena = kt_calloc(1, sizeof *arena);
    if (!arena) {
        return NULL;
    }
    arena->max_bytes = max_bytes;
    arena->newest = chunk_new(first_chunk_bytes, NULL);
    if (!arena->newest) {
        kt_free(arena);
        return NULL;
    }
    return arena;
}

void kt_arena_reset(struct kt_arena *arena)
{
    while (arena->newest->older) {
        struct chunk *older = arena->newest->older;
        kt_free(arena->newest);
        arena->newest = older;
    }
    arena->newest->used = 0;
    arena->used = 0;
}

void kt_arena_free(struct kt_arena **arena)
{
    if (!*arena) {
        return;
    }
    kt_arena_reset(*arena);
    kt_free((*arena)->newest);
    kt_free(*arena);
    *arena = NULL;
}

/* A chunk with room for `size`, at least as large as all before it together (within the bound), so
 * that their number stays logarithmic. */
static bool add_chunk(struct kt_arena *arena, size_t size)
{
    size_t cap = arena->used;
    if (cap > arena->max_bytes - arena->used) {
        cap = arena->max_bytes - arena->used;
    }
    if (cap < size) {
        cap = size;
    }
    struct chunk *chunk = chunk_new(cap, arena->newest);
    if (!chunk) {
        return false;
    }
    arena->newest = chunk;
    return true;
}

void *kt_arena_alloc(struct kt_arena *arena, size_t size)
{
    if (size > SIZE_MAX - ALIGN) {
        return NULL;
    }
    /* Blocks without bytes are blocks too: their addresses differ. */
    size_t padded = size ? (size + ALIGN - 1) / ALIGN * ALIGN : ALIGN;
    if (padded > arena->max_bytes - arena->used) {
        return NULL;
    }
    if (padded > arena->newest->cap - arena->newest->used && !add_chunk(arena, padded)) {
        return NULL;
    }
    struct chunk *chunk = arena->newest;
    void *block = chunk->data + chunk->used;
    chunk->used += padded;
    arena->used += padded;
    return block;
}

void *kt_arena_zalloc(struct kt_arena *arena, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        return NULL;
    }
    void *block = kt_arena_alloc(arena, total);
    if (block) {
        memset(block, 0, total);
    }
    return block;
}

struct kt_str kt_arena_dup(struct kt_arena *arena, struct kt_str text)
{
    /* One more for a NUL: copies are handed to functions that want C strings. */
    char *copy = text.len == SIZE_MAX ? NULL : kt_arena_alloc(arena, text.len + 1);
    if (!copy) {
        return (struct kt_str){NULL, 0};
    }
    if (text.len) {
        memcpy(copy, text.data, text.len);
    }
    copy[text.len] = '\0';
    return (struct kt_str){copy, text.len};
}

size_t kt_arena_used(const struct kt_arena *arena)
{
    return arena->used;
}

/* arena.h - scratch memory that lives as long as one request.
 *
 * Bump allocation in chunks; reset keeps the first chunk, so that a warm worker allocates nothing.
 *
 * Threads: one at a time.
 * Owns:    all of its memory; single blocks are never freed.
 * Fails:   NULL when memory is exhausted or max_bytes would be passed.
 */
#ifndef KT_BASE_ARENA_H
#define KT_BASE_ARENA_H

#include "base/str.h"

#include <stddef.h>

struct kt_arena; /* opaque */

struct kt_arena *kt_arena_new(size_t first_chunk_bytes, size_t max_bytes);
void kt_arena_free(struct kt_arena **arena);
void kt_arena_reset(struct kt_arena *arena);
void *kt_arena_alloc(struct kt_arena *arena, size_t size); /* aligned to 16 bytes, not zeroed */
void *kt_arena_zalloc(struct kt_arena *arena, size_t count,
                      size_t size); /* checked product, zeroed */
struct kt_str kt_arena_dup(struct kt_arena *arena, struct kt_str text); /* data NULL on failure */
size_t kt_arena_used(const struct kt_arena *arena);

#endif

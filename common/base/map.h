/* map.h - a hash table from bytes to a pointer.
 *
 * Open addressing with linear probing over XXH3, at most 3/4 full. Keys are copied in.
 *
 * Threads: one writer or many readers; the caller locks.
 * Owns:    copies of the keys, never the values.
 * Fails:   put with KT_NO_MEMORY; the map is then unchanged.
 */
#ifndef KT_BASE_MAP_H
#define KT_BASE_MAP_H

#include "base/status.h"
#include "base/str.h"

struct kt_map; /* opaque */

struct kt_map *kt_map_new(void); /* NULL when out of memory */
void kt_map_free(struct kt_map **map);
size_t kt_map_count(const struct kt_map *map);
void *kt_map_get(const struct kt_map *map, struct kt_str key); /* NULL when absent */
/* Sets or replaces; `value` is not NULL. *ret_old (may be NULL) gets what was there before. */
enum kt_status kt_map_put(struct kt_map *map, struct kt_str key, void *value,
                          void **ret_old) KT_MUST_CHECK;
void *kt_map_remove(struct kt_map *map, struct kt_str key); /* the value, or NULL */
void kt_map_clear(struct kt_map *map);
/* Any order; start with *pos = 0; false at the end. The map must not change meanwhile. */
bool kt_map_next(const struct kt_map *map, size_t *pos, struct kt_str *ret_key, void **ret_value);

#endif

/* series_cache.h - recently asked subjects' series, bounded in bytes.
 *
 * Why not plain recency: one whole-market question would push out every hot subject. A subject
 * enters a small probation queue and moves to the main queue when it is read again (S3-FIFO: Yang
 * et al., "FIFO queues are all you need for cache eviction", SOSP '23).
 *
 * An entry is good for a view when it was loaded at or after the subject's newest change in that
 * view; otherwise it is loaded again. Concurrent misses of one subject load once.
 *
 * Threads: any; one mutex per shard (KT_RANK_SERIES_CACHE), never held while loading.
 * Owns:    a counted reference to each series it holds.
 * Fails:   get with the loader's status; the cache is then unchanged.
 */
#ifndef KT_CACHE_SERIES_CACHE_H
#define KT_CACHE_SERIES_CACHE_H

#include "store/store.h"

struct kt_series_cache; /* opaque */

struct kt_series_cache_stats {
    uint64_t entries, bytes, max_bytes, hits, misses, evictions, loads;
};

/* max_bytes 0 = hold nothing (every get loads). */
struct kt_series_cache *kt_series_cache_new(struct kt_store *store, uint64_t max_bytes);
void kt_series_cache_free(struct kt_series_cache **cache);
/* A counted reference. */
enum kt_status kt_series_cache_get(struct kt_series_cache *cache, const struct kt_subject *subject,
                                   struct kt_series **ret_series,
                                   struct kt_error *err) KT_MUST_CHECK;
void kt_series_cache_stats(struct kt_series_cache *cache, struct kt_series_cache_stats *ret_stats);
void kt_series_cache_reset_counters(struct kt_series_cache *cache);
void kt_series_cache_clear(struct kt_series_cache *cache);
/* Lets go of the subjects that the view, which should be the newest, no longer has: nobody asks for
 * them but who still has an older view, and such a one may bring one in once more. */
void kt_series_cache_drop_deleted(struct kt_series_cache *cache, const struct kt_catalogue *view);

#endif

/* SPDX-License-Identifier: MIT */
/* Subjects are spread over shards by number. A shard holds entries in three queues: `small` (on
 * probation), `main`, and `ghost` (only the number of one that was lately pushed out of small).
 *
 *   miss, unknown        -> small              small's end, read again since -> main
 *   miss, ghost knows it -> main               small's end, not read again   -> ghost
 *   hit                  -> reads + 1, stays   main's end, reads > 0         -> main again, reads -
 * 1 main's end, reads = 0         -> gone
 *
 * A load in flight is known to its shard; who misses the same subject meanwhile waits for it. What
 * comes of it may still be too old for a waiter whose view is newer: then that one loads again.
 */
#include "cache/series_cache.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"

#include <string.h>

#define SHARDS_MAX 16u
#define SHARD_BYTES_MIN (UINT64_C(4) << 20) /* below this one more shard only splits the room */
#define SMALL_PART 10                       /* small gets a tenth, as in the paper */
#define READS_MAX 3
#define LINE_BYTES 64u /* of a processor's cache */
#define PREFETCH_BYTES_MAX 1536u
#define GHOSTS_MIN 64u
#define FLIGHT_WAIT_MS 60000

enum place { IN_SMALL, IN_MAIN, IN_GHOST, PLACES };

struct entry {
    struct entry *chain;         /* of its bucket */
    struct entry *older, *newer; /* in its queue */
    struct kt_series *series;    /* NULL in ghost */
    uint64_t loaded_revision;    /* the series' own, without going there */
    size_t bytes;
    uint32_t subject;
    uint8_t place, reads;
};

struct queue {
    struct entry *oldest, *newest;
    uint64_t bytes;
    size_t count;
};

struct flight { /* a load under way */
    struct flight *next;
    struct kt_cond landed;
    uint32_t subject;
    unsigned users; /* the loader and those who wait */
    bool done;
    enum kt_status status;
    struct kt_error err;
    struct kt_series *series;
};

struct shard {
    struct kt_mutex mutex;
    struct entry **buckets;
    size_t bucket_count, entry_count;
    struct queue queues[PLACES];
    struct flight *flights;
    uint64_t generation; /* counts clears: what was asked for before is not put in after */
    uint64_t hits, misses, evictions, loads;
};

struct kt_series_cache {
    struct kt_store *store;
    uint64_t max_bytes, shard_bytes;
    uint32_t shard_count; /* a power of two */
    struct shard shards[SHARDS_MAX];
};

struct kt_series_cache *kt_series_cache_new(struct kt_store *store, uint64_t max_bytes)
{
    struct kt_series_cache *cache = kt_calloc(1, sizeof(*cache));
    if (!cache) {
        return NULL;
    }
    cache->store = store;
    cache->max_bytes = max_bytes;
    cache->shard_count = 1;
    while (cache->shard_count < SHARDS_MAX &&
           max_bytes / cache->shard_count / 2 >= SHARD_BYTES_MIN) {
        cache->shard_count *= 2;
    }
    cache->shard_bytes = max_bytes / cache->shard_count;
    for (uint32_t i = 0; i < cache->shard_count; i++) {
        kt_mutex_init(&cache->shards[i].mutex, "series cache", KT_RANK_SERIES_CACHE);
    }
    return cache;
}

/* --- queues and table of one shard; its mutex is held --- */

static void queue_push(struct shard *shard, struct entry *entry, enum place place)
{
    struct queue *queue = &shard->queues[place];
    entry->place = (uint8_t)place;
    entry->newer = NULL;
    entry->older = queue->newest;
    *(queue->newest ? &queue->newest->newer : &queue->oldest) = entry;
    queue->newest = entry;
    queue->bytes += entry->bytes;
    queue->count++;
}

static void queue_remove(struct shard *shard, struct entry *entry)
{
    struct queue *queue = &shard->queues[entry->place];
    *(entry->older ? &entry->older->newer : &queue->oldest) = entry->newer;
    *(entry->newer ? &entry->newer->older : &queue->newest) = entry->older;
    queue->bytes -= entry->bytes;
    queue->count--;
}

/* Numbers are dense; the shard took their low bits, the multiplication spreads the rest. */
static size_t bucket_of(const struct shard *shard, uint32_t subject)
{
    return (size_t)((subject * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (shard->bucket_count - 1);
}

static struct entry *table_find(const struct shard *shard, uint32_t subject)
{
    struct entry *entry = shard->bucket_count ? shard->buckets[bucket_of(shard, subject)] : NULL;
    while (entry && entry->subject != subject) {
        entry = entry->chain;
    }
    return entry;
}

static bool table_grow(struct shard *shard)
{
    if (shard->entry_count < shard->bucket_count) {
        return true;
    }
    size_t old_count = shard->bucket_count;
    struct entry **old = shard->buckets;
    size_t count = old_count ? old_count * 2 : 64;
    struct entry **buckets = kt_calloc(count, sizeof(struct entry *));
    if (!buckets) {
        return false;
    }
    shard->buckets = buckets;
    shard->bucket_count = count;
    for (size_t i = 0; i < old_count; i++) {
        while (old[i]) {
            struct entry *entry = old[i];
            old[i] = entry->chain;
            size_t at = bucket_of(shard, entry->subject);
            entry->chain = buckets[at];
            buckets[at] = entry;
        }
    }
    kt_free(old);
    return true;
}

static void entry_drop(struct shard *shard, struct entry *entry)
{
    struct entry **place = &shard->buckets[bucket_of(shard, entry->subject)];
    while (*place != entry) {
        place = &(*place)->chain;
    }
    *place = entry->chain;
    shard->entry_count--;
    queue_remove(shard, entry);
    kt_series_unref(&entry->series);
    kt_free(entry);
}

static void to_ghost(struct shard *shard, struct entry *entry)
{
    queue_remove(shard, entry);
    kt_series_unref(&entry->series);
    entry->bytes = 0;
    entry->reads = 0;
    queue_push(shard, entry, IN_GHOST);
    shard->evictions++;
    size_t kept = shard->queues[IN_MAIN].count + shard->queues[IN_SMALL].count;
    size_t limit = kept > GHOSTS_MIN ? kept : GHOSTS_MIN;
    while (shard->queues[IN_GHOST].count > limit) {
        entry_drop(shard, shard->queues[IN_GHOST].oldest);
    }
}

static void evict_one(struct kt_series_cache *cache, struct shard *shard)
{
    struct queue *small = &shard->queues[IN_SMALL], *main = &shard->queues[IN_MAIN];
    bool from_small =
        small->count > 0 && (small->bytes >= cache->shard_bytes / SMALL_PART || main->count == 0);
    struct entry *entry = from_small ? small->oldest : main->oldest;
    if (from_small && entry->reads == 0) {
        to_ghost(shard, entry);
    } else if (from_small || entry->reads > 0) {
        queue_remove(shard, entry);
        entry->reads = from_small ? 0 : (uint8_t)(entry->reads - 1);
        queue_push(shard, entry, IN_MAIN);
    } else {
        shard->evictions++;
        entry_drop(shard, entry);
    }
}

static uint64_t held_bytes(const struct shard *shard)
{
    return shard->queues[IN_SMALL].bytes + shard->queues[IN_MAIN].bytes;
}

/* Puts a loaded series in; nothing happens when it is too large or memory is short. */
static void put(struct kt_series_cache *cache, struct shard *shard, uint32_t subject,
                struct kt_series *series)
{
    size_t bytes = kt_series_bytes(series) + sizeof(struct entry);
    struct entry *entry = table_find(shard, subject);
    if (bytes > cache->shard_bytes) {
        if (entry) { /* what was there is out of date */
            entry_drop(shard, entry);
        }
        return;
    }
    enum place place = IN_SMALL;
    if (entry) {
        if (entry->series && entry->loaded_revision >= kt_series_loaded_revision(series)) {
            return;
        }
        place = entry->place == IN_GHOST ? IN_MAIN : (enum place)entry->place;
        queue_remove(shard, entry);
        kt_series_unref(&entry->series);
    } else {
        entry = table_grow(shard) ? kt_calloc(1, sizeof(*entry)) : NULL;
        if (!entry) {
            return;
        }
        entry->subject = subject;
        size_t at = bucket_of(shard, subject);
        entry->chain = shard->buckets[at];
        shard->buckets[at] = entry;
        shard->entry_count++;
    }
    entry->bytes = bytes;
    entry->series = NULL; /* outside the queues while room is made: it cannot be pushed out */
    while (held_bytes(shard) + bytes > cache->shard_bytes) {
        evict_one(cache, shard);
    }
    entry->series = kt_series_ref(series);
    entry->loaded_revision = kt_series_loaded_revision(series);
    queue_push(shard, entry, place);
}

/* --- loading --- */

static struct flight *flight_find(const struct shard *shard, uint32_t subject)
{
    struct flight *flight = shard->flights;
    while (flight && flight->subject != subject) {
        flight = flight->next;
    }
    return flight;
}

static struct flight *flight_new(struct shard *shard, uint32_t subject)
{
    struct flight *flight = kt_calloc(1, sizeof(*flight));
    if (flight) {
        kt_cond_init(&flight->landed);
        flight->subject = subject;
        flight->users = 1;
        flight->next = shard->flights;
        shard->flights = flight;
    }
    return flight;
}

static void flight_leave(struct flight *flight)
{
    if (--flight->users == 0) {
        kt_cond_done(&flight->landed);
        kt_series_unref(&flight->series);
        kt_free(flight);
    }
}

static void flight_land(struct shard *shard, struct flight *flight, enum kt_status status,
                        const struct kt_error *err, struct kt_series *series)
{
    struct flight **place = &shard->flights;
    while (*place != flight) {
        place = &(*place)->next;
    }
    *place = flight->next;
    flight->done = true;
    flight->status = status;
    flight->err = *err;
    flight->series = series ? kt_series_ref(series) : NULL;
    kt_cond_broadcast(&flight->landed); /* each of them has its answer now */
    flight_leave(flight);
}

/* Loads without the mutex, which is held at call and return. */
static enum kt_status load(struct kt_series_cache *cache, struct shard *shard, uint32_t subject,
                           struct kt_series **ret_series, struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    struct kt_series *series = NULL;
    struct flight *flight = flight_new(shard, subject); /* NULL: others load for themselves */
    uint64_t generation = shard->generation;
    shard->loads++;
    kt_mutex_unlock(&shard->mutex);
    enum kt_status status = kt_store_load_series(cache->store, subject, &series, &why);
    kt_mutex_lock(&shard->mutex);
    if (status == KT_OK && generation == shard->generation) {
        put(cache, shard, subject, series);
    }
    if (flight) {
        flight_land(shard, flight, status, &why, series);
    }
    if (status != KT_OK) {
        if (err) {
            *err = why;
        }
        return status;
    }
    *ret_series = series;
    return KT_OK;
}

/* Waits for another's load. *ret_series stays NULL when that turns out too old. */
static enum kt_status join(struct shard *shard, struct flight *flight, uint64_t revision,
                           int64_t deadline_mono_ms, struct kt_series **ret_series,
                           struct kt_error *err)
{
    flight->users++;
    bool in_time = true;
    while (!flight->done && in_time) {
        in_time = kt_cond_wait(&flight->landed, &shard->mutex, deadline_mono_ms);
    }
    enum kt_status status = flight->status;
    if (!flight->done) {
        status = kt_fail(err, KT_TIMEOUT, "a subject's series was not loaded in time");
    } else if (status != KT_OK) {
        if (err) {
            *err = flight->err;
        }
    } else if (kt_series_loaded_revision(flight->series) >= revision) {
        *ret_series = kt_series_ref(flight->series);
    }
    flight_leave(flight);
    return status;
}

/* A question reads here and there in a series, one read after the other, and rarely finds it in the
 * processor's caches: all of a small one is fetched at once. */
static void prefetch(const struct entry *entry)
{
    size_t bytes = entry->bytes < PREFETCH_BYTES_MAX ? entry->bytes : PREFETCH_BYTES_MAX;
    for (size_t at = 0; at < bytes; at += LINE_BYTES) {
        __builtin_prefetch((const char *)entry->series + at);
    }
}

enum kt_status kt_series_cache_get(struct kt_series_cache *cache, const struct kt_subject *subject,
                                   struct kt_series **ret_series, struct kt_error *err)
{
    uint32_t number = subject->number;
    uint64_t revision = subject->changed_revision;
    struct shard *shard = &cache->shards[number & (cache->shard_count - 1)];
    enum kt_status status = KT_OK;
    struct kt_series *series = NULL;
    kt_mutex_lock(&shard->mutex);
    struct entry *entry = table_find(shard, number);
    if (entry && entry->series && entry->loaded_revision >= revision) {
        prefetch(entry);
        entry->reads = (uint8_t)(entry->reads < READS_MAX ? entry->reads + 1 : READS_MAX);
        shard->hits++;
        series = kt_series_ref(entry->series);
    } else {
        shard->misses++;
        int64_t deadline = kt_now_mono_ms() + FLIGHT_WAIT_MS;
        while (!series && status == KT_OK) {
            struct flight *flight = flight_find(shard, number);
            status = flight ? join(shard, flight, revision, deadline, &series, err)
                            : load(cache, shard, number, &series, err);
        }
    }
    kt_mutex_unlock(&shard->mutex);
    if (status == KT_OK) {
        *ret_series = series;
    }
    return status;
}

/* --- the whole --- */

void kt_series_cache_stats(struct kt_series_cache *cache, struct kt_series_cache_stats *ret_stats)
{
    struct kt_series_cache_stats stats = {.max_bytes = cache->max_bytes};
    for (uint32_t i = 0; i < cache->shard_count; i++) {
        struct shard *shard = &cache->shards[i];
        kt_mutex_lock(&shard->mutex);
        stats.entries += shard->queues[IN_SMALL].count + shard->queues[IN_MAIN].count;
        stats.bytes += held_bytes(shard);
        stats.hits += shard->hits;
        stats.misses += shard->misses;
        stats.evictions += shard->evictions;
        stats.loads += shard->loads;
        kt_mutex_unlock(&shard->mutex);
    }
    *ret_stats = stats;
}

void kt_series_cache_reset_counters(struct kt_series_cache *cache)
{
    for (uint32_t i = 0; i < cache->shard_count; i++) {
        struct shard *shard = &cache->shards[i];
        kt_mutex_lock(&shard->mutex);
        shard->hits = shard->misses = shard->evictions = shard->loads = 0;
        kt_mutex_unlock(&shard->mutex);
    }
}

static void clear_shard(struct shard *shard)
{
    for (int place = 0; place < PLACES; place++) {
        while (shard->queues[place].oldest) {
            entry_drop(shard, shard->queues[place].oldest);
        }
    }
}

void kt_series_cache_clear(struct kt_series_cache *cache)
{
    for (uint32_t i = 0; i < cache->shard_count; i++) {
        struct shard *shard = &cache->shards[i];
        kt_mutex_lock(&shard->mutex);
        shard->generation++;
        clear_shard(shard);
        kt_mutex_unlock(&shard->mutex);
    }
}

static void drop_deleted(struct shard *shard, const struct kt_catalogue *view)
{
    uint32_t limit = kt_catalogue_subject_limit(view);
    for (int place = 0; place < PLACES; place++) {
        struct entry *entry = shard->queues[place].oldest;
        while (entry) {
            struct entry *next = entry->newer;
            /* Beyond the limit are subjects that came after this view. */
            if (entry->subject < limit && !kt_catalogue_subject(view, entry->subject)) {
                entry_drop(shard, entry);
            }
            entry = next;
        }
    }
}

void kt_series_cache_drop_deleted(struct kt_series_cache *cache, const struct kt_catalogue *view)
{
    for (uint32_t i = 0; i < cache->shard_count; i++) {
        struct shard *shard = &cache->shards[i];
        kt_mutex_lock(&shard->mutex);
        drop_deleted(shard, view);
        kt_mutex_unlock(&shard->mutex);
    }
}

void kt_series_cache_free(struct kt_series_cache **cache)
{
    if (!cache || !*cache) {
        return;
    }
    for (uint32_t i = 0; i < (*cache)->shard_count; i++) {
        struct shard *shard = &(*cache)->shards[i];
        KT_ASSERT(!shard->flights); /* nobody asks a cache that is being freed */
        clear_shard(shard);
        kt_free(shard->buckets);
        kt_mutex_done(&shard->mutex);
    }
    kt_free(*cache);
    *cache = NULL;
}

/* SPDX-License-Identifier: MIT */
/* S3-FIFO (Yang et al., SOSP '23) over subjects: a small queue for who is new, a main queue for who
 * was read again, and a memory of who left the small one lately (they go straight to the main
 * queue). Subjects have dense numbers that are never reused, so a shard finds its entries in an
 * array.
 */
#include "cache/series_cache.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"

#include <string.h>

#define SHARDS_MAX 16U
#define SHARD_WORTH_BYTES (UINT64_C(4) << 20) /* a shard below this would hold too few */
#define SMALL_DIVISOR 10                      /* the small queue's share, as in the paper */
#define READS_MAX 3                           /* reads beyond these are not counted */

struct entry {
    struct entry *newer, *older;
    struct kt_series *series; /* counted */
    uint64_t bytes;
    uint32_t number;
    uint8_t reads; /* since it was queued last */
    bool in_main;
};

struct queue {
    struct entry *newest, *oldest;
    uint64_t bytes;
};

/* What is known of one subject number. */
struct slot {
    struct entry *entry;
    uint64_t left_at; /* shard.evictions + 1 when it left the small queue; 0 = never */
};

/* One load under way: everybody who misses meanwhile waits for it. */
struct load {
    struct load *next;
    uint32_t number;
    unsigned waiting;
    bool done;
    enum kt_status status;
    struct kt_error error;
    struct kt_series *series; /* counted */
    struct kt_cond cond;
};

struct shard {
    struct kt_mutex mutex;
    struct slot *slots; /* by number / shard count */
    size_t slot_count;
    struct queue small, main;
    struct load *loads;
    uint64_t entries, hits, misses, evictions, loads_done, small_left;
};

struct kt_series_cache {
    struct kt_store *store;
    uint64_t max_bytes, shard_max_bytes;
    uint32_t shard_count;
    struct shard shards[SHARDS_MAX];
};

/* --- queues; the shard's mutex is held --- */

static void push(struct queue *queue, struct entry *entry)
{
    entry->newer = NULL;
    entry->older = queue->newest;
    if (queue->newest) {
        queue->newest->newer = entry;
    } else {
        queue->oldest = entry;
    }
    queue->newest = entry;
    queue->bytes += entry->bytes;
}

static void unlink_entry(struct queue *queue, struct entry *entry)
{
    if (entry->newer) {
        entry->newer->older = entry->older;
    } else {
        queue->newest = entry->older;
    }
    if (entry->older) {
        entry->older->newer = entry->newer;
    } else {
        queue->oldest = entry->newer;
    }
    queue->bytes -= entry->bytes;
}

static struct slot *find_slot(const struct kt_series_cache *cache, const struct shard *shard,
                              uint32_t number)
{
    size_t index = number / cache->shard_count;
    return index < shard->slot_count ? &shard->slots[index] : NULL;
}

static struct slot *make_slot(const struct kt_series_cache *cache, struct shard *shard,
                              uint32_t number)
{
    size_t index = number / cache->shard_count;
    if (index >= shard->slot_count) {
        size_t count = shard->slot_count ? shard->slot_count : 64;
        while (count <= index) {
            count *= 2;
        }
        struct slot *slots = kt_reallocarray(shard->slots, count, sizeof(*slots));
        if (!slots) {
            return NULL;
        }
        memset(slots + shard->slot_count, 0, (count - shard->slot_count) * sizeof(*slots));
        shard->slots = slots;
        shard->slot_count = count;
    }
    return &shard->slots[index];
}

/* Takes the entry out for good. */
static void drop(const struct kt_series_cache *cache, struct shard *shard, struct entry *entry)
{
    struct slot *slot = find_slot(cache, shard, entry->number);
    KT_ASSERT(slot && slot->entry == entry);
    unlink_entry(entry->in_main ? &shard->main : &shard->small, entry);
    slot->entry = NULL;
    shard->entries--;
    kt_series_unref(&entry->series);
    kt_free(entry);
}

static void evict_small(const struct kt_series_cache *cache, struct shard *shard)
{
    struct entry *entry = shard->small.oldest;
    if (entry->reads > 0) {
        unlink_entry(&shard->small, entry);
        entry->reads = 0;
        entry->in_main = true;
        push(&shard->main, entry);
        return;
    }
    struct slot *slot = find_slot(cache, shard, entry->number);
    slot->left_at = ++shard->small_left;
    shard->evictions++;
    drop(cache, shard, entry);
}

static void evict_main(const struct kt_series_cache *cache, struct shard *shard)
{
    struct entry *entry = shard->main.oldest;
    if (entry->reads > 0) {
        unlink_entry(&shard->main, entry);
        entry->reads--;
        push(&shard->main, entry);
        return;
    }
    shard->evictions++;
    drop(cache, shard, entry);
}

static void make_room(const struct kt_series_cache *cache, struct shard *shard)
{
    while (shard->small.bytes + shard->main.bytes > cache->shard_max_bytes) {
        if (shard->small.oldest &&
            (shard->small.bytes > cache->shard_max_bytes / SMALL_DIVISOR || !shard->main.oldest)) {
            evict_small(cache, shard);
        } else {
            evict_main(cache, shard);
        }
    }
}

/* Who left the small queue so lately that the main queue still holds its time's entries. */
static bool is_remembered(const struct shard *shard, const struct slot *slot)
{
    return slot->left_at != 0 && shard->small_left - slot->left_at < shard->entries;
}

/* Without memory for an entry the series is simply not held. */
static void insert(const struct kt_series_cache *cache, struct shard *shard, uint32_t number,
                   struct kt_series *series)
{
    uint64_t bytes = kt_series_bytes(series) + sizeof(struct entry);
    if (bytes > cache->shard_max_bytes) {
        return;
    }
    struct slot *slot = make_slot(cache, shard, number);
    struct entry *entry = slot ? kt_calloc(1, sizeof(*entry)) : NULL;
    if (!entry) {
        return;
    }
    if (slot->entry) {
        drop(cache, shard, slot->entry);
    }
    entry->number = number;
    entry->bytes = bytes;
    entry->series = kt_series_ref(series);
    entry->in_main = is_remembered(shard, slot);
    slot->left_at = 0;
    slot->entry = entry;
    shard->entries++;
    push(entry->in_main ? &shard->main : &shard->small, entry);
    make_room(cache, shard);
}

/* --- loading --- */

static struct load *find_load(struct shard *shard, uint32_t number)
{
    struct load *load = shard->loads;
    while (load && load->number != number) {
        load = load->next;
    }
    return load;
}

static void leave_load(struct load *load)
{
    if (--load->waiting == 0) {
        kt_series_unref(&load->series);
        kt_cond_done(&load->cond);
        kt_free(load);
    }
}

/* Waits for somebody else's load. It may have begun before the change that the caller wants to see:
 * then *ret_series stays NULL and the caller looks again. */
static enum kt_status join_load(struct shard *shard, struct load *load, uint64_t wanted,
                                struct kt_series **ret_series, struct kt_error *err)
{
    enum kt_status status = KT_OK;
    load->waiting++;
    while (!load->done) {
        (void)kt_cond_wait(&load->cond, &shard->mutex, kt_now_mono_ms() + 1000);
    }
    if (load->status != KT_OK) {
        status = load->status;
        if (err) {
            *err = load->error;
        }
    } else if (kt_series_loaded_revision(load->series) >= wanted) {
        *ret_series = kt_series_ref(load->series);
    }
    leave_load(load);
    return status;
}

static void end_load(struct kt_series_cache *cache, struct shard *shard, struct load *load)
{
    struct load **at = &shard->loads;
    while (*at != load) {
        at = &(*at)->next;
    }
    *at = load->next;
    load->done = true;
    shard->loads_done++;
    if (load->status == KT_OK) {
        insert(cache, shard, load->number, load->series);
    }
    kt_cond_broadcast(&load->cond);
}

static enum kt_status run_load(struct kt_series_cache *cache, struct shard *shard, uint32_t number,
                               struct kt_series **ret_series, struct kt_error *err)
{
    struct load *load = kt_calloc(1, sizeof(*load));
    if (!load) {
        return kt_fail(err, KT_NO_MEMORY, "a load of the series cache");
    }
    load->number = number;
    load->waiting = 1;
    kt_cond_init(&load->cond);
    load->next = shard->loads;
    shard->loads = load;
    kt_mutex_unlock(&shard->mutex);
    struct kt_series *series = NULL;
    struct kt_error error = KT_ERROR_INIT;
    enum kt_status status = kt_store_load_series(cache->store, number, &series, &error);
    kt_mutex_lock(&shard->mutex);
    load->status = status;
    load->error = error;
    load->series = series;
    end_load(cache, shard, load);
    if (status == KT_OK) {
        *ret_series = kt_series_ref(series);
    } else if (err) {
        *err = error;
    }
    leave_load(load);
    return status;
}

/* --- the interface --- */

struct kt_series_cache *kt_series_cache_new(struct kt_store *store, uint64_t max_bytes)
{
    struct kt_series_cache *cache = kt_calloc(1, sizeof(*cache));
    if (!cache) {
        return NULL;
    }
    uint64_t shards = max_bytes / SHARD_WORTH_BYTES;
    cache->store = store;
    cache->max_bytes = max_bytes;
    cache->shard_count = shards < 1 ? 1 : shards > SHARDS_MAX ? SHARDS_MAX : (uint32_t)shards;
    cache->shard_max_bytes = max_bytes / cache->shard_count;
    for (uint32_t i = 0; i < cache->shard_count; i++) {
        kt_mutex_init(&cache->shards[i].mutex, "series cache", KT_RANK_SERIES_CACHE);
    }
    return cache;
}

static void clear_shard(const struct kt_series_cache *cache, struct shard *shard)
{
    while (shard->small.oldest) {
        drop(cache, shard, shard->small.oldest);
    }
    while (shard->main.oldest) {
        drop(cache, shard, shard->main.oldest);
    }
}

void kt_series_cache_free(struct kt_series_cache **cache)
{
    struct kt_series_cache *c = *cache;
    if (!c) {
        return;
    }
    *cache = NULL;
    for (uint32_t i = 0; i < c->shard_count; i++) {
        struct shard *shard = &c->shards[i];
        KT_ASSERT(!shard->loads);
        clear_shard(c, shard);
        kt_free(shard->slots);
        kt_mutex_done(&shard->mutex);
    }
    kt_free(c);
}

enum kt_status kt_series_cache_get(struct kt_series_cache *cache, const struct kt_subject *subject,
                                   struct kt_series **ret_series, struct kt_error *err)
{
    struct shard *shard = &cache->shards[subject->number % cache->shard_count];
    struct kt_series *series = NULL;
    enum kt_status status = KT_OK;
    bool missed = false;
    kt_mutex_lock(&shard->mutex);
    while (status == KT_OK && !series) {
        struct slot *slot = find_slot(cache, shard, subject->number);
        struct entry *entry = slot ? slot->entry : NULL;
        if (entry && kt_series_loaded_revision(entry->series) >= subject->changed_revision) {
            entry->reads = entry->reads < READS_MAX && !missed ? entry->reads + 1 : entry->reads;
            series = kt_series_ref(entry->series);
            break;
        }
        missed = true;
        struct load *load = find_load(shard, subject->number);
        status = load ? join_load(shard, load, subject->changed_revision, &series, err)
                      : run_load(cache, shard, subject->number, &series, err);
    }
    shard->misses += missed;
    shard->hits += !missed;
    kt_mutex_unlock(&shard->mutex);
    if (status == KT_OK) {
        *ret_series = series;
    }
    return status;
}

void kt_series_cache_stats(struct kt_series_cache *cache, struct kt_series_cache_stats *ret_stats)
{
    struct kt_series_cache_stats stats = {0};
    stats.max_bytes = cache->max_bytes;
    for (uint32_t i = 0; i < cache->shard_count; i++) {
        struct shard *shard = &cache->shards[i];
        kt_mutex_lock(&shard->mutex);
        stats.entries += shard->entries;
        stats.bytes += shard->small.bytes + shard->main.bytes;
        stats.hits += shard->hits;
        stats.misses += shard->misses;
        stats.evictions += shard->evictions;
        stats.loads += shard->loads_done;
        kt_mutex_unlock(&shard->mutex);
    }
    *ret_stats = stats;
}

void kt_series_cache_reset_counters(struct kt_series_cache *cache)
{
    for (uint32_t i = 0; i < cache->shard_count; i++) {
        struct shard *shard = &cache->shards[i];
        kt_mutex_lock(&shard->mutex);
        shard->hits = shard->misses = shard->evictions = shard->loads_done = 0;
        kt_mutex_unlock(&shard->mutex);
    }
}

void kt_series_cache_clear(struct kt_series_cache *cache)
{
    for (uint32_t i = 0; i < cache->shard_count; i++) {
        struct shard *shard = &cache->shards[i];
        kt_mutex_lock(&shard->mutex);
        clear_shard(cache, shard);
        kt_mutex_unlock(&shard->mutex);
    }
}

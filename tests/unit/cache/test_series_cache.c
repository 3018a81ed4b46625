/* SPDX-License-Identifier: MIT */
/* The series cache over a real store: what it holds, what it lets go, and that it never answers
 * with less than the view asks for.
 */
#include "base/hash.h"
#include "base/thread.h"
#include "cache/series_cache.h"
#include "tests/unit/store/store_help.h"

#include <stdatomic.h>

enum { SUBJECTS = 200, RECORDS = 20 };

/* SUBJECTS subjects of the same size. */
static struct kt_store *filled(void)
{
    struct kt_store *store = help_new();
    struct kt_change_builder *builder = kt_change_builder_new(16 << 20);
    for (int i = 0; i < SUBJECTS; i++) {
        char key[16];
        snprintf(key, sizeof(key), "s%d", i);
        for (int j = 0; j < RECORDS; j++) {
            help_add(builder, &(struct help_record){key, j, "", HELP_NO_D, "a", i, "b", j});
        }
    }
    (void)help_commit_builder(store, builder);
    kt_change_builder_free(&builder);
    return store;
}

static size_t series_bytes(struct kt_store *store)
{
    struct kt_series *series = help_series(store, "s0");
    size_t bytes = kt_series_bytes(series);
    kt_series_unref(&series);
    return bytes;
}

/* Asks for one subject of the newest view and checks that the answer is its own. */
static void ask(struct kt_series_cache *cache, struct kt_store *store, uint32_t number)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_series *series = NULL;
    struct kt_catalogue *view = kt_store_view(store);
    const struct kt_subject *subject = kt_catalogue_subject(view, number);
    CHECK(subject);
    CHECK_OK(kt_series_cache_get(cache, subject, &series, &err));
    struct kt_bounds bounds = {KT_TIME_MAX, KT_REVISION_MAX};
    double value = -1;
    CHECK(kt_series_value(series, 0, 0, &bounds, &value));
    CHECK_INT(value, number);
    CHECK(kt_series_loaded_revision(series) >= subject->changed_revision);
    kt_series_unref(&series);
    kt_catalogue_unref(&view);
}

static struct kt_series_cache_stats stats_of(struct kt_series_cache *cache)
{
    struct kt_series_cache_stats stats;
    kt_series_cache_stats(cache, &stats);
    return stats;
}

static void the_second_question_is_a_hit(void)
{
    struct kt_store *store = filled();
    struct kt_series_cache *cache = kt_series_cache_new(store, 1 << 20);
    ask(cache, store, 7);
    ask(cache, store, 7);
    ask(cache, store, 8);
    struct kt_series_cache_stats stats = stats_of(cache);
    CHECK_INT(stats.hits, 1);
    CHECK_INT(stats.misses, 2);
    CHECK_INT(stats.loads, 2);
    CHECK_INT(stats.entries, 2);
    CHECK_INT(stats.max_bytes, 1 << 20);
    CHECK(stats.bytes >= 2 * series_bytes(store));
    CHECK_INT(stats.evictions, 0);
    kt_series_cache_reset_counters(cache);
    stats = stats_of(cache);
    CHECK_INT(stats.hits + stats.misses + stats.loads, 0);
    CHECK_INT(stats.entries, 2);
    kt_series_cache_clear(cache);
    CHECK_INT(stats_of(cache).entries, 0);
    CHECK_INT(stats_of(cache).bytes, 0);
    ask(cache, store, 7);
    CHECK_INT(stats_of(cache).misses, 1);
    kt_series_cache_free(&cache);
    kt_series_cache_free(&cache);
    kt_store_close(&store);
}

static void a_cache_of_no_bytes_holds_nothing_and_still_answers(void)
{
    struct kt_store *store = filled();
    struct kt_series_cache *cache = kt_series_cache_new(store, 0);
    ask(cache, store, 7);
    ask(cache, store, 7);
    struct kt_series_cache_stats stats = stats_of(cache);
    CHECK_INT(stats.loads, 2);
    CHECK_INT(stats.entries, 0);
    CHECK_INT(stats.bytes, 0);
    kt_series_cache_free(&cache);
    kt_store_close(&store);
}

static void a_changed_subject_is_loaded_again_and_others_are_not(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = filled();
    struct kt_series_cache *cache = kt_series_cache_new(store, 1 << 20);
    ask(cache, store, 3);
    ask(cache, store, 4);
    struct kt_catalogue *old = kt_store_view(store);
    SAVE(store, {"s3", RECORDS, "", HELP_NO_D, "a", 3});
    ask(cache, store, 3);
    ask(cache, store, 4);
    struct kt_series_cache_stats stats = stats_of(cache);
    CHECK_INT(stats.loads, 3);
    CHECK_INT(stats.hits, 1);
    CHECK_INT(stats.entries, 2);
    /* A question that still has the old view may use the newer series, within its bounds. */
    struct kt_series *series = NULL;
    CHECK_OK(kt_series_cache_get(cache, kt_catalogue_subject(old, 3), &series, &err));
    struct kt_bounds bounds = {KT_TIME_MAX, kt_catalogue_revision(old)};
    CHECK_INT(kt_series_newest(series, KT_TIME_MAX, NULL, &bounds), RECORDS - 1);
    kt_series_unref(&series);
    CHECK_INT(stats_of(cache).loads, 3);
    kt_catalogue_unref(&old);
    kt_series_cache_free(&cache);
    kt_store_close(&store);
}

static void delete_whole(struct kt_store *store, const char *key)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_str subject = kt_str(key);
    struct kt_change_delete what = {.subjects = &subject,
                                    .subject_count = 1,
                                    .from_s = KT_TIME_MIN,
                                    .to_s = KT_TIME_MAX,
                                    .all = true};
    struct kt_buf body;
    kt_buf_init(&body, 0);
    CHECK_OK(kt_change_encode_delete(&what, &body, &err));
    CHECK_INT(help_commit(store, kt_buf_str(&body), true).status, KT_OK);
    kt_buf_done(&body);
}

static void deleted_subjects_are_let_go(void)
{
    struct kt_store *store = filled();
    struct kt_series_cache *cache = kt_series_cache_new(store, 1 << 20);
    for (uint32_t i = 0; i < 10; i++) {
        ask(cache, store, i);
    }
    struct kt_catalogue *view = kt_store_view(store);
    kt_series_cache_drop_deleted(cache, view);
    CHECK_INT(stats_of(cache).entries, 10);
    kt_catalogue_unref(&view);
    delete_whole(store, "s3");
    delete_whole(store, "s5");
    view = kt_store_view(store);
    SAVE(store, {"new", 0, "", HELP_NO_D, "a", SUBJECTS});
    ask(cache, store, SUBJECTS);
    CHECK_INT(stats_of(cache).entries, 11);
    CHECK(kt_catalogue_subject_count(view) < kt_catalogue_subject_limit(view));
    kt_series_cache_drop_deleted(cache, view); /* knows nothing of the new one */
    CHECK_INT(stats_of(cache).entries, 9);
    CHECK(stats_of(cache).bytes < 10 * (series_bytes(store) + 64));
    ask(cache, store, 4);
    ask(cache, store, SUBJECTS);
    CHECK_INT(stats_of(cache).loads, 11);
    SAVE(store, {"s3", 0, "", HELP_NO_D, "a", 3}); /* comes back under its number */
    ask(cache, store, 3);
    CHECK_INT(stats_of(cache).entries, 10);
    kt_catalogue_unref(&view);
    kt_series_cache_free(&cache);
    kt_store_close(&store);
}

static void the_cache_stays_within_its_bytes(void)
{
    struct kt_store *store = filled();
    uint64_t max = series_bytes(store) * 21;
    struct kt_series_cache *cache = kt_series_cache_new(store, max);
    uint64_t seed = 5;
    for (int i = 0; i < 3000; i++) {
        ask(cache, store, (uint32_t)(kt_prng_next(&seed) % SUBJECTS));
        CHECK(stats_of(cache).bytes <= max);
    }
    struct kt_series_cache_stats stats = stats_of(cache);
    CHECK(stats.entries >= 10 && stats.entries <= 21);
    CHECK(stats.evictions > 1000);
    CHECK_INT(stats.hits + stats.misses, 3000);
    kt_series_cache_free(&cache);
    kt_store_close(&store);
}

static void a_question_over_all_subjects_does_not_push_out_the_hot_ones(void)
{
    struct kt_store *store = filled();
    struct kt_series_cache *cache = kt_series_cache_new(store, series_bytes(store) * 30);
    for (int round = 0; round < 4; round++) {
        for (uint32_t i = 0; i < 10; i++) {
            ask(cache, store, i);
        }
    }
    for (uint32_t i = 0; i < SUBJECTS; i++) {
        ask(cache, store, i);
    }
    kt_series_cache_reset_counters(cache);
    for (uint32_t i = 0; i < 10; i++) {
        ask(cache, store, i);
    }
    CHECK(stats_of(cache).hits >= 8); /* plain recency would have kept none */
    kt_series_cache_free(&cache);
    kt_store_close(&store);
}

static void a_subject_too_large_for_the_cache_is_answered_and_not_held(void)
{
    struct kt_store *store = filled();
    struct kt_series_cache *cache = kt_series_cache_new(store, series_bytes(store) + 120);
    ask(cache, store, 5);
    CHECK_INT(stats_of(cache).entries, 1);
    for (int i = 0; i < 100; i++) {
        SAVE(store, {"s5", RECORDS + i, "", HELP_NO_D, "a", 5});
    }
    ask(cache, store, 5);
    CHECK_INT(stats_of(cache).entries, 0);
    CHECK_INT(stats_of(cache).bytes, 0);
    kt_series_cache_free(&cache);
    kt_store_close(&store);
}

static void a_failing_load_leaves_the_cache_as_it_was(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = filled();
    struct kt_series_cache *cache = kt_series_cache_new(store, 1 << 20);
    ask(cache, store, 1);
    SAVE(store, {"s1", RECORDS, "", HELP_NO_D, "a", 1});
    struct kt_catalogue *view = kt_store_view(store);
    struct kt_series *series = NULL;
    const struct kt_subject *subject = kt_catalogue_subject(view, 1);
    CHECK_OK(kt_store_flush(store, &err)); /* the read is to fail, not what comes before it */
    kt_fault_set(KT_FAULT_IO, 1, 1);
    enum kt_status status = kt_series_cache_get(cache, subject, &series, &err);
    kt_fault_set(KT_FAULT_IO, 0, 0);
    CHECK_INT(status, KT_IO);
    CHECK(err.message[0]);
    CHECK(!series);
    CHECK_INT(stats_of(cache).entries, 1);
    ask(cache, store, 1);
    for (uint64_t nth = 1;; nth++) { /* short of memory it answers or says so, and goes on */
        kt_series_cache_clear(cache);
        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        status = kt_series_cache_get(cache, subject, &series, &err);
        bool reached = kt_fault_calls(KT_FAULT_ALLOC) >= nth;
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        CHECK(status == KT_OK || status == KT_NO_MEMORY);
        kt_series_unref(&series);
        ask(cache, store, 1);
        if (!reached) {
            break;
        }
    }
    kt_catalogue_unref(&view);
    kt_series_cache_free(&cache);
    kt_store_close(&store);
}

/* --- many threads --- */

struct asking {
    struct kt_store *store;
    struct kt_series_cache *cache;
    atomic_bool stop;
    atomic_int wrong, ready;
    atomic_bool go;
};

static void ask_at_once(void *arg)
{
    struct asking *a = arg;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_series *series = NULL;
    struct kt_catalogue *view = kt_store_view(a->store);
    atomic_fetch_add(&a->ready, 1);
    while (!atomic_load(&a->go)) {
    }
    if (kt_series_cache_get(a->cache, kt_catalogue_subject(view, 0), &series, &err) != KT_OK) {
        atomic_fetch_add(&a->wrong, 1);
    }
    kt_series_unref(&series);
    kt_catalogue_unref(&view);
}

static void misses_of_one_subject_at_once_load_it_once(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = help_new();
    /* So long a series that the others come while it is loaded. */
    struct kt_change_builder *builder = kt_change_builder_new(64 << 20);
    for (int i = 0; i < 30000; i++) {
        help_add(builder, &(struct help_record){"long", i, "", HELP_NO_D, "a", 0, "b", i});
    }
    (void)help_commit_builder(store, builder);
    kt_change_builder_free(&builder);
    struct asking a = {.store = store, .cache = kt_series_cache_new(store, 64 << 20)};
    struct kt_thread threads[6] = {0};
    for (int i = 0; i < 6; i++) {
        CHECK_OK(kt_thread_start(&threads[i], "asker", ask_at_once, &a, &err));
    }
    int64_t deadline = kt_now_mono_ms() + 20000;
    while (atomic_load(&a.ready) < 6 && kt_now_mono_ms() < deadline) {
    }
    atomic_store(&a.go, true);
    for (int i = 0; i < 6; i++) {
        kt_thread_join(&threads[i]);
    }
    CHECK_INT(atomic_load(&a.wrong), 0);
    CHECK_INT(stats_of(a.cache).loads, 1);
    CHECK_INT(stats_of(a.cache).hits + stats_of(a.cache).misses, 6);
    kt_series_cache_free(&a.cache);
    kt_store_close(&store);
}

/* Every save raises the newest value of its subject; whoever asks must see at least the value that
 * its view promises. */
static void ask_while_saving(void *arg)
{
    struct asking *a = arg;
    struct kt_error err = KT_ERROR_INIT;
    uint64_t seed = (uint64_t)(uintptr_t)&err | 1;
    while (!atomic_load(&a->stop)) {
        struct kt_series *series = NULL;
        struct kt_catalogue *view = kt_store_view(a->store);
        const struct kt_subject *subject =
            kt_catalogue_subject(view, (uint32_t)(kt_prng_next(&seed) % 20));
        struct kt_bounds bounds = {KT_TIME_MAX, kt_catalogue_revision(view)};
        double value = 0;
        bool right = kt_series_cache_get(a->cache, subject, &series, &err) == KT_OK;
        if (right && subject->changed_revision > 2) {
            ptrdiff_t at = kt_series_newest(series, KT_TIME_MAX, NULL, &bounds);
            right = kt_series_value(series, (size_t)at, 0, &bounds, &value) &&
                    value == (double)subject->changed_revision;
        }
        if (!right) {
            atomic_fetch_add(&a->wrong, 1);
        }
        atomic_fetch_add(&a->ready, 1);
        kt_series_unref(&series);
        kt_catalogue_unref(&view);
    }
}

static void no_answer_is_older_than_its_view_while_others_write(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = filled();
    struct asking a = {.store = store,
                       .cache = kt_series_cache_new(store, series_bytes(store) * 12)};
    struct kt_thread threads[3] = {0};
    for (int i = 0; i < 3; i++) {
        CHECK_OK(kt_thread_start(&threads[i], "asker", ask_while_saving, &a, &err));
    }
    int saves = kt_test_is_slow() ? 200 : 1000;
    for (int i = 0; i < saves || atomic_load(&a.ready) < 100; i++) {
        char key[16];
        snprintf(key, sizeof(key), "s%d", i % 20);
        double next = (double)help_end(store) + 1;
        SAVE(store, {key, RECORDS + i % 3, "", HELP_NO_D, "a", next},
             {key, RECORDS + 2, "", HELP_NO_D, "a", next});
        if (i % 100 == 0) {
            kt_series_cache_clear(a.cache);
        }
    }
    atomic_store(&a.stop, true);
    for (int i = 0; i < 3; i++) {
        kt_thread_join(&threads[i]);
    }
    CHECK_INT(atomic_load(&a.wrong), 0);
    kt_series_cache_free(&a.cache);
    kt_store_close(&store);
}

static const struct kt_test tests[] = {
    TEST(the_second_question_is_a_hit),
    TEST(a_cache_of_no_bytes_holds_nothing_and_still_answers),
    TEST(a_changed_subject_is_loaded_again_and_others_are_not),
    TEST(deleted_subjects_are_let_go),
    TEST(the_cache_stays_within_its_bytes),
    TEST(a_question_over_all_subjects_does_not_push_out_the_hot_ones),
    TEST(a_subject_too_large_for_the_cache_is_answered_and_not_held),
    TEST(a_failing_load_leaves_the_cache_as_it_was),
    TEST(misses_of_one_subject_at_once_load_it_once),
    TEST(no_answer_is_older_than_its_view_while_others_write),
};
KT_TEST_MAIN(tests)

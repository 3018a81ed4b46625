/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "kt_test.h"

#include <stdatomic.h>

#ifndef _WIN32
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

/* Runs fn in a process of its own: did it abort? */
static bool aborts(void (*fn)(void))
{
#ifdef _WIN32
    (void)fn;
    return true;
#else
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stderr)) {
            _exit(2);
        }
        fn();
        _exit(0);
    }
    int state = 0;
    return pid > 0 && waitpid(pid, &state, 0) == pid && WIFSIGNALED(state) &&
           WTERMSIG(state) == SIGABRT;
#endif
}

static bool ranks_are_checked(void)
{
#ifdef KT_DEBUG_LOCKS
    return true;
#else
    kt_test_skip("debug_locks", "this build does not check ranks");
    return false;
#endif
}

static void take_a_lower_rank(void)
{
    struct kt_mutex low, high;
    kt_mutex_init(&low, "low", KT_RANK_NODE);
    kt_mutex_init(&high, "high", KT_RANK_STATS);
    kt_mutex_lock(&high);
    kt_mutex_lock(&low);
}

static void take_an_equal_rank(void)
{
    struct kt_mutex a;
    struct kt_rwlock b;
    kt_mutex_init(&a, "a", KT_RANK_NODE);
    kt_rwlock_init(&b, "b", KT_RANK_NODE);
    kt_mutex_lock(&a);
    kt_rwlock_read(&b);
}

static void take_the_same_twice(void)
{
    struct kt_mutex a;
    kt_mutex_init(&a, "a", KT_RANK_NODE);
    kt_mutex_lock(&a);
    kt_mutex_lock(&a);
}

static void read_under_write_of_a_lower_rank(void)
{
    struct kt_rwlock a, b;
    kt_rwlock_init(&a, "a", KT_RANK_STATS);
    kt_rwlock_init(&b, "b", KT_RANK_NODE);
    kt_rwlock_write(&a);
    kt_rwlock_read(&b);
}

static void unlock_what_is_not_held(void)
{
    struct kt_mutex a;
    kt_mutex_init(&a, "a", KT_RANK_NODE);
    kt_mutex_unlock(&a);
}

static void wait_with_a_higher_lock_held(void)
{
    struct kt_mutex low, high;
    struct kt_cond cond;
    kt_mutex_init(&low, "low", KT_RANK_NODE);
    kt_mutex_init(&high, "high", KT_RANK_STATS);
    kt_cond_init(&cond);
    kt_mutex_lock(&low);
    kt_mutex_lock(&high);
    kt_cond_wait(&cond, &low, 0);
}

static void ranks_that_do_not_rise_abort(void)
{
    if (!ranks_are_checked()) {
        return;
    }
    CHECK(aborts(take_a_lower_rank));
    CHECK(aborts(take_an_equal_rank));
    CHECK(aborts(take_the_same_twice));
    CHECK(aborts(read_under_write_of_a_lower_rank));
    CHECK(aborts(unlock_what_is_not_held));
    CHECK(aborts(wait_with_a_higher_lock_held));
}

static void rising_ranks_in_any_order_of_leaving_are_fine(void)
{
    struct kt_mutex a, b;
    struct kt_rwlock c;
    kt_mutex_init(&a, "a", KT_RANK_NODE);
    kt_mutex_init(&b, "b", KT_RANK_COORD);
    kt_rwlock_init(&c, "c", KT_RANK_LOG);
    for (int i = 0; i < 3; i++) {
        kt_mutex_lock(&a);
        kt_mutex_lock(&b);
        kt_rwlock_write(&c);
        kt_mutex_unlock(&a);
        kt_rwlock_unlock(&c);
        kt_rwlock_read(&c);
        kt_mutex_unlock(&b);
        kt_rwlock_unlock(&c);
    }
    kt_mutex_done(&a);
    kt_mutex_done(&b);
    kt_rwlock_done(&c);
}

static void a_wait_ends_at_its_deadline_and_holds_the_mutex(void)
{
    struct kt_mutex mutex;
    struct kt_cond cond;
    kt_mutex_init(&mutex, "m", KT_RANK_NODE);
    kt_cond_init(&cond);
    kt_mutex_lock(&mutex);
    int64_t start_ms = kt_now_mono_ms();
    while (kt_cond_wait(&cond, &mutex, start_ms + 30)) {
    }
    CHECK(kt_now_mono_ms() >= start_ms + 30);
    CHECK(!kt_cond_wait(&cond, &mutex, start_ms));
    CHECK(!kt_cond_wait(&cond, &mutex, INT64_MIN));
    kt_mutex_unlock(&mutex);
    kt_cond_done(&cond);
    kt_mutex_done(&mutex);
}

struct late_signal {
    struct kt_mutex mutex;
    struct kt_cond cond;
    bool waits, told;
    int64_t begun_ms, told_ms;
};

static void wait_to_be_told(void *arg)
{
    struct late_signal *late = arg;
    kt_mutex_lock(&late->mutex);
    late->begun_ms = kt_now_mono_ms();
    late->waits = true;
    while (!late->told && kt_cond_wait(&late->cond, &late->mutex, late->begun_ms + 20000)) {
    }
    late->told_ms = kt_now_mono_ms();
    kt_mutex_unlock(&late->mutex);
}

/* Long waits go in spans. One that ends while the mutex is held by who then signals hears nothing
 * of the signal, and has to look for itself: a gateway's worker missed its end that way. */
static void a_signal_at_the_end_of_a_span_is_not_missed(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct late_signal late = {.waits = false};
    struct kt_thread thread = {0};
    bool waits = false;
    kt_mutex_init(&late.mutex, "late", KT_RANK_NODE);
    kt_cond_init(&late.cond);
    CHECK_OK(kt_thread_start(&thread, "late", wait_to_be_told, &late, &err));
    while (!waits) {
        kt_mutex_lock(&late.mutex);
        waits = late.waits;
        kt_mutex_unlock(&late.mutex);
        kt_test_pause();
    }
    while (kt_now_mono_ms() < late.begun_ms + 900) {
        kt_test_pause();
    }
    kt_mutex_lock(&late.mutex);
    while (kt_now_mono_ms() < late.begun_ms + 1200) {
        kt_test_pause();
    }
    late.told = true;
    kt_cond_broadcast(&late.cond);
    kt_mutex_unlock(&late.mutex);
    kt_thread_join(&thread);
    CHECK(late.told_ms - late.begun_ms < 15000);
    kt_cond_done(&late.cond);
    kt_mutex_done(&late.mutex);
}

struct relay {
    struct kt_mutex mutex;
    struct kt_cond cond;
    int turn, rounds;
    char name[16];
    bool timed_out;
};

static void answer_turns(void *arg)
{
    struct relay *relay = arg;
    kt_mutex_lock(&relay->mutex);
    kt_str_copy(relay->name, sizeof relay->name, kt_str(kt_thread_name()));
    for (int i = 0; i < relay->rounds; i++) {
        while (relay->turn != 1 && !relay->timed_out) {
            relay->timed_out = !kt_cond_wait(&relay->cond, &relay->mutex, kt_now_mono_ms() + 20000);
        }
        relay->turn = 0;
        kt_cond_broadcast(&relay->cond);
    }
    kt_mutex_unlock(&relay->mutex);
}

static void two_threads_take_turns(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct relay relay = {.rounds = 500};
    struct kt_thread thread = {0};
    kt_mutex_init(&relay.mutex, "relay", KT_RANK_NODE);
    kt_cond_init(&relay.cond);
    CHECK_OK(kt_thread_start(&thread, "a-name-that-is-too-long", answer_turns, &relay, &err));
    CHECK(thread.running);
    kt_mutex_lock(&relay.mutex);
    for (int i = 0; i < relay.rounds; i++) {
        relay.turn = 1;
        kt_cond_signal(&relay.cond);
        while (relay.turn != 0 && !relay.timed_out) {
            /* A deadline of for ever must not overflow. */
            kt_cond_wait(&relay.cond, &relay.mutex, INT64_MAX);
        }
    }
    kt_mutex_unlock(&relay.mutex);
    kt_thread_join(&thread);
    kt_thread_join(&thread);
    CHECK(!thread.running && !relay.timed_out);
    CHECK_STR(relay.name, "a-name-that-is-");
    CHECK_STR(kt_thread_name(), "main");
    kt_cond_done(&relay.cond);
    kt_mutex_done(&relay.mutex);
}

struct table {
    struct kt_rwlock lock;
    long a, b;
    atomic_int wrong, readers;
};

static void read_table(void *arg)
{
    struct table *table = arg;
    for (int i = 0; i < 5000; i++) {
        kt_rwlock_read(&table->lock);
        if (table->a != table->b) {
            atomic_fetch_add(&table->wrong, 1);
        }
        kt_rwlock_unlock(&table->lock);
    }
}

static void write_table(void *arg)
{
    struct table *table = arg;
    for (int i = 0; i < 2000; i++) {
        kt_rwlock_write(&table->lock);
        table->a++;
        table->b++;
        kt_rwlock_unlock(&table->lock);
    }
}

static void readers_never_see_half_a_write(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct table table = {.a = 0};
    struct kt_thread threads[4] = {{0}};
    kt_rwlock_init(&table.lock, "table", KT_RANK_NODE);
    for (int i = 0; i < 4; i++) {
        CHECK_OK(kt_thread_start(&threads[i], "t", i < 2 ? read_table : write_table, &table, &err));
    }
    for (int i = 0; i < 4; i++) {
        kt_thread_join(&threads[i]);
    }
    CHECK_INT(atomic_load(&table.wrong), 0);
    CHECK_INT(table.a, 4000);
    kt_rwlock_done(&table.lock);
}

static void hold_and_let_go(void *arg)
{
    struct table *table = arg;
    kt_rwlock_read(&table->lock);
    atomic_store(&table->readers, 1);
    while (atomic_load(&table->readers) != 2) {
    }
    kt_rwlock_unlock(&table->lock);
}

static void read_later(void *arg)
{
    struct table *table = arg;
    kt_rwlock_read(&table->lock);
    /* Let in behind the writer that was waiting first. */
    atomic_fetch_add(&table->wrong, table->a != 1);
    kt_rwlock_unlock(&table->lock);
}

static void write_once(void *arg)
{
    struct table *table = arg;
    kt_rwlock_write(&table->lock);
    table->a = 1;
    kt_rwlock_unlock(&table->lock);
}

/* A second reader cannot enter while a writer waits: try it through the raw lock, which says at
 * once whether it would. */
static void a_waiting_writer_goes_before_new_readers(void)
{
#ifdef __GLIBC__
    struct kt_error err = KT_ERROR_INIT;
    struct table table = {.a = 0};
    struct kt_thread reader = {0}, writer = {0}, late = {0};
    kt_rwlock_init(&table.lock, "table", KT_RANK_NODE);
    CHECK_OK(kt_thread_start(&reader, "reader", hold_and_let_go, &table, &err));
    while (atomic_load(&table.readers) != 1) {
    }
    CHECK_OK(kt_thread_start(&writer, "writer", write_once, &table, &err));
    int64_t deadline_ms = kt_now_mono_ms() + 20000;
    bool shut = false;
    while (!shut && kt_now_mono_ms() < deadline_ms) {
        shut = pthread_rwlock_tryrdlock(&table.lock.impl) != 0;
        if (!shut) {
            pthread_rwlock_unlock(&table.lock.impl);
        }
    }
    CHECK_OK(kt_thread_start(&late, "late", read_later, &table, &err));
    atomic_store(&table.readers, 2);
    kt_thread_join(&reader);
    kt_thread_join(&writer);
    kt_thread_join(&late);
    CHECK(shut);
    CHECK_INT(atomic_load(&table.wrong), 0);
    kt_rwlock_done(&table.lock);
#endif
}

static void no_memory_starts_no_thread(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_thread thread = {0};
    kt_fault_set(KT_FAULT_ALLOC, 1, 0);
    enum kt_status status = kt_thread_start(&thread, "x", write_once, NULL, &err);
    kt_fault_set(KT_FAULT_ALLOC, 0, 0);
    CHECK_INT(status, KT_NO_MEMORY);
    CHECK(!thread.running);
    kt_thread_join(&thread);
}

static void there_is_a_core(void)
{
    CHECK(kt_cpu_count() >= 1);
}

static const struct kt_test tests[] = {
    TEST(ranks_that_do_not_rise_abort),
    TEST(rising_ranks_in_any_order_of_leaving_are_fine),
    TEST(a_wait_ends_at_its_deadline_and_holds_the_mutex),
    TEST(a_signal_at_the_end_of_a_span_is_not_missed),
    TEST(two_threads_take_turns),
    TEST(readers_never_see_half_a_write),
    TEST(a_waiting_writer_goes_before_new_readers),
    TEST(no_memory_starts_no_thread),
    TEST(there_is_a_core),
};
KT_TEST_MAIN(tests)

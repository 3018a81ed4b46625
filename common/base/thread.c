/* SPDX-License-Identifier: MIT */
/* thread.c - pthreads, with a record per thread of the ranks it holds. */
#include "base/thread.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#ifdef __linux__
#include <sched.h>
#endif
#ifdef _WIN32
#include <windows.h>
#else
#include <unistd.h>
#endif

#ifdef KT_DEBUG_LOCKS
enum { HELD_MAX = 16 };
static _Thread_local struct {
    const void *lock;
    const char *name;
    int rank;
} held[HELD_MAX];
static _Thread_local int held_count;

/* Before the lock is taken, so that what would deadlock is reported instead. */
static void note_taking(const void *lock, const char *name, int rank)
{
    if (held_count > 0 && held[held_count - 1].rank >= rank) {
        fprintf(stderr, "lock order: %s (rank %d) taken while holding %s (rank %d)\n", name, rank,
                held[held_count - 1].name, held[held_count - 1].rank);
        kt_assert_failed("ranks rise strictly", __FILE__, __LINE__);
    }
    KT_ASSERT(held_count < HELD_MAX);
    held[held_count].lock = lock;
    held[held_count].name = name;
    held[held_count].rank = rank;
    held_count++;
}

/* Locks may be left in any order; what remains still rises. */
static void note_left(const void *lock)
{
    int at = held_count - 1;
    while (at >= 0 && held[at].lock != lock) {
        at--;
    }
    KT_ASSERT(at >= 0);
    memmove(&held[at], &held[at + 1], (size_t)(held_count - at - 1) * sizeof held[0]);
    held_count--;
}

/* A wait gives its mutex up and takes it again: with a higher one in hand that would be against
 * the order. */
static void note_waiting(const void *lock)
{
    KT_ASSERT(held_count > 0 && held[held_count - 1].lock == lock);
}
#else
static void note_taking(const void *lock, const char *name, int rank)
{
    (void)lock;
    (void)name;
    (void)rank;
}

static void note_left(const void *lock)
{
    (void)lock;
}

static void note_waiting(const void *lock)
{
    (void)lock;
}
#endif

void kt_mutex_init(struct kt_mutex *mutex, const char *name, enum kt_rank rank)
{
    pthread_mutexattr_t attr;
    KT_ASSERT(pthread_mutexattr_init(&attr) == 0);
#ifdef KT_DEBUG_LOCKS
    KT_ASSERT(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK) == 0);
#endif
    KT_ASSERT(pthread_mutex_init(&mutex->impl, &attr) == 0);
    pthread_mutexattr_destroy(&attr);
    mutex->name = name;
    mutex->rank = (int)rank;
}

void kt_mutex_done(struct kt_mutex *mutex)
{
    KT_ASSERT(pthread_mutex_destroy(&mutex->impl) == 0);
}

void kt_mutex_lock(struct kt_mutex *mutex)
{
    note_taking(mutex, mutex->name, mutex->rank);
    KT_ASSERT(pthread_mutex_lock(&mutex->impl) == 0);
}

void kt_mutex_unlock(struct kt_mutex *mutex)
{
    note_left(mutex);
    KT_ASSERT(pthread_mutex_unlock(&mutex->impl) == 0);
}

void kt_rwlock_init(struct kt_rwlock *lock, const char *name, enum kt_rank rank)
{
#ifdef __GLIBC__
    pthread_rwlockattr_t attr;
    KT_ASSERT(pthread_rwlockattr_init(&attr) == 0);
    /* The other "writer" preference of glibc still lets readers pass. This one forbids nested
     * reading, which the ranks forbid anyway. */
    KT_ASSERT(pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) ==
              0);
    KT_ASSERT(pthread_rwlock_init(&lock->impl, &attr) == 0);
    pthread_rwlockattr_destroy(&attr);
#else
    KT_ASSERT(pthread_rwlock_init(&lock->impl, NULL) == 0);
#endif
    lock->name = name;
    lock->rank = (int)rank;
}

void kt_rwlock_done(struct kt_rwlock *lock)
{
    KT_ASSERT(pthread_rwlock_destroy(&lock->impl) == 0);
}

void kt_rwlock_read(struct kt_rwlock *lock)
{
    note_taking(lock, lock->name, lock->rank);
    KT_ASSERT(pthread_rwlock_rdlock(&lock->impl) == 0);
}

void kt_rwlock_write(struct kt_rwlock *lock)
{
    note_taking(lock, lock->name, lock->rank);
    KT_ASSERT(pthread_rwlock_wrlock(&lock->impl) == 0);
}

void kt_rwlock_unlock(struct kt_rwlock *lock)
{
    note_left(lock);
    KT_ASSERT(pthread_rwlock_unlock(&lock->impl) == 0);
}

#if defined(_WIN32) || defined(__APPLE__)
#define RELATIVE_WAITS 1 /* no condition variables on a monotonic clock, but waits for a span */
#else
#define RELATIVE_WAITS 0
#endif

void kt_cond_init(struct kt_cond *cond)
{
    pthread_condattr_t attr;
    KT_ASSERT(pthread_condattr_init(&attr) == 0);
#if !RELATIVE_WAITS
    KT_ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
#endif
    KT_ASSERT(pthread_cond_init(&cond->impl, &attr) == 0);
    pthread_condattr_destroy(&attr);
}

void kt_cond_done(struct kt_cond *cond)
{
    KT_ASSERT(pthread_cond_destroy(&cond->impl) == 0);
}

void kt_cond_signal(struct kt_cond *cond)
{
    KT_ASSERT(pthread_cond_signal(&cond->impl) == 0);
}

void kt_cond_broadcast(struct kt_cond *cond)
{
    KT_ASSERT(pthread_cond_broadcast(&cond->impl) == 0);
}

static int wait_for_span(struct kt_cond *cond, struct kt_mutex *mutex, int64_t span_us)
{
#if RELATIVE_WAITS
    struct timespec span = {.tv_sec = span_us / 1000000, .tv_nsec = span_us % 1000000 * 1000};
    return pthread_cond_timedwait_relative_np(&cond->impl, &mutex->impl, &span);
#else
    struct timespec until;
    KT_ASSERT(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    int64_t nsec = until.tv_nsec + span_us % 1000000 * 1000;
    until.tv_sec += (time_t)(span_us / 1000000 + nsec / 1000000000);
    until.tv_nsec = nsec % 1000000000;
    return pthread_cond_timedwait(&cond->impl, &mutex->impl, &until);
#endif
}

/* No condition variable waits on the clock that counts suspend. So the wait goes in spans of at
 * most a second, which bounds how late a deadline that passed in suspend is noticed. The end of a
 * span is a waking for nothing: who signals between it and the moment in which the mutex is ours
 * again finds nobody waiting, so the caller has to look at what it waits for. */
bool kt_cond_wait(struct kt_cond *cond, struct kt_mutex *mutex, int64_t deadline_mono_ms)
{
    note_waiting(mutex);
    int64_t now_us = kt_now_mono_us();
    if (deadline_mono_ms <= now_us / 1000) {
        return false;
    }
    int64_t left_ms = deadline_mono_ms - now_us / 1000;
    int64_t span_us = left_ms > 1000 ? 1000000 : deadline_mono_ms * 1000 - now_us;
    int result = wait_for_span(cond, mutex, span_us);
    KT_ASSERT(result == 0 || result == ETIMEDOUT);
    return result == 0 || deadline_mono_ms > kt_now_mono_us() / 1000;
}

struct start {
    kt_thread_fn fn;
    void *arg;
    char name[16];
};

static _Thread_local char own_name[16] = "main";

static void *run_thread(void *arg)
{
    struct start start = *(struct start *)arg;
    kt_free(arg);
    memcpy(own_name, start.name, sizeof own_name);
#if defined(__linux__)
    pthread_setname_np(pthread_self(), own_name);
#elif defined(__APPLE__)
    pthread_setname_np(own_name);
#endif
    start.fn(start.arg);
    return NULL;
}

enum kt_status kt_thread_start(struct kt_thread *thread, const char *name, kt_thread_fn fn,
                               void *arg, struct kt_error *err)
{
    struct start *start = kt_malloc(sizeof *start);
    if (!start) {
        return kt_fail(err, KT_NO_MEMORY, "start thread %s: out of memory", name);
    }
    start->fn = fn;
    start->arg = arg;
    kt_str_copy(start->name, sizeof start->name, kt_str(name));
    int code = pthread_create(&thread->impl, NULL, run_thread, start);
    if (code != 0) {
        char why[KT_ERRNO_TEXT_MAX];
        kt_free(start);
        return kt_fail(err, KT_NO_MEMORY, "start thread %s: %s", name, kt_errno_text(code, why));
    }
    thread->running = true;
    return KT_OK;
}

void kt_thread_join(struct kt_thread *thread)
{
    if (thread->running) {
        KT_ASSERT(pthread_join(thread->impl, NULL) == 0);
        thread->running = false;
    }
}

const char *kt_thread_name(void)
{
    return own_name;
}

unsigned kt_cpu_count(void)
{
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) {
        return (unsigned)CPU_COUNT(&set);
    }
#endif
#ifdef _WIN32
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwNumberOfProcessors > 0 ? (unsigned)info.dwNumberOfProcessors : 1;
#else
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (unsigned)count : 1;
#endif
}

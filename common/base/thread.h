/* thread.h - threads, locks with a name and a rank, and waits with a deadline.
 *
 * A thread may only take a mutex of a higher rank than any it holds; builds with KT_DEBUG_LOCKS
 * (every debug build) assert it, so that a deadlock is found by any test that walks the path and
 * not by luck. Condition variables wait on the monotonic clock.
 *
 * Threads: any.
 * Owns:    what init or start made, until done or join.
 * Fails:   kt_thread_start with KT_NO_MEMORY; the rest asserts.
 */
#ifndef KT_BASE_THREAD_H
#define KT_BASE_THREAD_H

#include "base/status.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Lock ranks, lowest first; docs/THREADS.md says what each protects. */
enum kt_rank {
    KT_RANK_NODE = 10,
    KT_RANK_REPLICA = 15,
    KT_RANK_PROPOSAL = 17,
    KT_RANK_COORD = 20,
    KT_RANK_ETCD = 30,
    KT_RANK_GATEWAY = 45,
    KT_RANK_STORE_WRITE = 50,
    KT_RANK_CATALOGUE = 60,
    KT_RANK_SERIES_CACHE = 70,
    KT_RANK_STORE_POOL = 80,
    KT_RANK_HTTP = 85,
    KT_RANK_STATS = 90,
    KT_RANK_LOG = 100
};

struct kt_mutex {
    pthread_mutex_t impl;
    const char *name;
    int rank;
};
void kt_mutex_init(struct kt_mutex *mutex, const char *name, enum kt_rank rank);
void kt_mutex_done(struct kt_mutex *mutex);
void kt_mutex_lock(struct kt_mutex *mutex);
void kt_mutex_unlock(struct kt_mutex *mutex);

struct kt_rwlock {
    pthread_rwlock_t impl; /* writers preferred */
    const char *name;
    int rank;
};
void kt_rwlock_init(struct kt_rwlock *lock, const char *name, enum kt_rank rank);
void kt_rwlock_done(struct kt_rwlock *lock);
void kt_rwlock_read(struct kt_rwlock *lock);
void kt_rwlock_write(struct kt_rwlock *lock);
void kt_rwlock_unlock(struct kt_rwlock *lock);

struct kt_cond {
    pthread_cond_t impl;
};
void kt_cond_init(struct kt_cond *cond);
void kt_cond_done(struct kt_cond *cond);
void kt_cond_signal(struct kt_cond *cond);
void kt_cond_broadcast(struct kt_cond *cond);
/* Waits until signalled or until deadline_mono_ms (of kt_now_mono_ms); false when the deadline has
 * passed. May wake for nothing. The caller holds the mutex, and it is the last lock it took: the
 * wait gives it up and takes it again, which under a higher one would be against the order. */
bool kt_cond_wait(struct kt_cond *cond, struct kt_mutex *mutex, int64_t deadline_mono_ms);

typedef void (*kt_thread_fn)(void *arg);
struct kt_thread {
    pthread_t impl;
    bool running; /* started and not yet joined */
};
/* `name` (≤ 15 bytes) shows in top -H and in log lines. */
enum kt_status kt_thread_start(struct kt_thread *thread, const char *name, kt_thread_fn fn,
                               void *arg, struct kt_error *err) KT_MUST_CHECK;
void kt_thread_join(struct kt_thread *thread); /* nothing when not running */
const char *kt_thread_name(void);

/* Cores that this process may use, ≥ 1. */
unsigned kt_cpu_count(void);

#endif

/* sync_latency.h - what the parts of sync_latency share.
 *
 *   sync_latency.c  flags, and the order of things
 *   sync_watch.c    the writer's and the watchers' threads, what is looked at afterwards
 *   sync_report.c   numbers, table and JSON
 *
 * Threads: a slave belongs to its watcher until that was joined, everything else to main.
 * Owns:    main the run, for as long as the program.
 * Fails:   sync_give_up ends the program.
 */
#ifndef KT_BENCH_SYNC_LATENCY_H
#define KT_BENCH_SYNC_LATENCY_H

#include "bench/latency.h"

#include "base/hash.h"
#include "base/thread.h"

#include <stdatomic.h>

#define SYNC_SLAVES_MAX 16
#define SYNC_INDICATOR "sync_latency"

struct sync_options {
    const char *leader, *slaves, *json, *probe_dir;
    int64_t writes, rate, poll_us, wait_s;
    bool by_revision, keep;
};

struct sync_write {
    int64_t sent_us, acked_us; /* acked_us 0: not acknowledged */
    uint64_t revision;
};

struct sync_sight { /* at this time the slave first showed `number` (of a write, or a revision) */
    int64_t at_us;
    uint64_t number;
};

struct sync_run;
struct sync_slave {
    struct sync_run *run;
    char addr[300];
    struct kt_thread thread;
    struct sync_sight *sights;
    size_t sight_count, sight_cap;
    struct kt_times after_ack, from_send, gaps;
    uint64_t polls, failed_polls, lost;
    atomic_bool done; /* it has seen the last write */
    char why[200];    /* of the last failed poll */
};

struct sync_run {
    struct sync_options options;
    char id[KT_ID_LEN + 1];
    struct sync_write *writes; /* number n is writes[n - 1] */
    size_t acked, failed;
    char why[200]; /* of the last failed write */
    struct sync_slave slaves[SYNC_SLAVES_MAX];
    size_t slave_count;
    struct kt_times acks, all_after_ack, all_from_send, durable;
    /* The last number (or revision) that slaves are to show; 0 while writes go on. Release and
     * acquire: what was written before it is set is seen by who reads it. */
    _Atomic uint64_t last;
    atomic_bool stop; /* relaxed is enough: only that it ends */
};

_Noreturn void sync_give_up(const char *what, const char *why);

/* Writes at the planned times, a late one at once; the microseconds that it took. */
int64_t sync_write_all(struct sync_run *run);
/* A watcher's thread; `arg` is its struct sync_slave. */
void sync_watch(void *arg);
/* When the slave first showed the write; 0 = never. */
int64_t sync_first_sight(const struct sync_slave *slave, uint64_t number);
/* Asks a slave for every record: acknowledged writes that are not there are lost. */
void sync_count_lost(struct sync_slave *slave);
void sync_remove_subjects(const struct sync_run *run);

/* What the disk takes, before anything is written. */
void sync_probe_disk(struct sync_run *run);
uint64_t sync_lost_of(const struct sync_run *run);
/* Times of all writes, once the watchers have ended. */
void sync_sum_up(struct sync_run *run);
void sync_report(struct sync_run *run, int64_t took_us);

#endif

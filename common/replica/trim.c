/* SPDX-License-Identifier: MIT */
/* The log's beginning is cut now and then, in slices, and the WAL of the data brought into its
 * file. A thread of its own: both wait for the disk, for which no write should wait.
 */
#include "base/clock.h"
#include "base/log.h"
#include "replica/replica_impl.h"

#define EVERY_MS 1000
#define FAILED_MS 60000
#define NEXT_MS 10 /* between slices, so that appends come first */
#define CHECKPOINT_AGAIN_MS 200

/* Mutex held, given up meanwhile. Returns after how many ms to come again. */
static int64_t trim(struct kt_replica *replica)
{
    struct kt_error err = KT_ERROR_INIT;
    bool more = false;
    kt_mutex_unlock(&replica->mutex);
    enum kt_status status =
        kt_store_log_trim(replica->store, replica->options.log_keep_bytes, &more, &err);
    uint64_t first = kt_store_log_first(replica->store);
    kt_mutex_lock(&replica->mutex);
    kt_replica_await_step(replica);
    replica->log.first_seq = first;
    if (status != KT_OK) {
        kt_log(WARN, "replica", "log_not_cut", "why=\"%s\"", err.message);
        return FAILED_MS;
    }
    return more ? NEXT_MS : EVERY_MS;
}

/* Mutex held, given up meanwhile. Returns after how many ms to come again, if it is still due: a
 * reader of an older state may have kept it from being whole. */
static int64_t checkpoint(struct kt_replica *replica)
{
    struct kt_error err = KT_ERROR_INIT;
    kt_mutex_unlock(&replica->mutex);
    enum kt_status status = kt_store_checkpoint(replica->store, &err);
    kt_mutex_lock(&replica->mutex);
    if (status != KT_OK) {
        kt_log(WARN, "replica", "no_checkpoint", "why=\"%s\"", err.message);
    }
    return status == KT_OK ? CHECKPOINT_AGAIN_MS : FAILED_MS;
}

void kt_replica_trim_main(void *arg)
{
    struct kt_replica *replica = arg;
    int64_t trim_ms = 0, checkpoint_ms = 0; /* not before */
    kt_mutex_lock(&replica->mutex);
    while (!replica->trim_stop) {
        int64_t now_ms = kt_now_mono_ms(), wake_ms = now_ms + EVERY_MS;
        bool is_due = kt_store_checkpoint_due(replica->store);
        if (replica->options.log_keep_bytes > 0 && now_ms >= trim_ms) {
            int64_t pause_ms = trim(replica);
            trim_ms = kt_now_mono_ms() + pause_ms;
        } else if (is_due && now_ms >= checkpoint_ms) {
            int64_t pause_ms = checkpoint(replica);
            checkpoint_ms = kt_now_mono_ms() + pause_ms;
        } else {
            wake_ms = trim_ms > now_ms && trim_ms < wake_ms ? trim_ms : wake_ms;
            wake_ms = is_due && checkpoint_ms < wake_ms ? checkpoint_ms : wake_ms;
            replica->trim_waits = !is_due;
            (void)kt_cond_wait(&replica->trim_cond, &replica->mutex, wake_ms);
            replica->trim_waits = false;
        }
    }
    kt_mutex_unlock(&replica->mutex);
}

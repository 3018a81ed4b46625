/* SPDX-License-Identifier: MIT */
/* The log's beginning is cut now and then, in slices. A thread of its own: it may have to wait
 * until the data is checkpointed and synced, for which no write should wait.
 */
#include "base/clock.h"
#include "base/log.h"
#include "replica/replica_impl.h"

#define TRIM_EVERY_MS 1000
#define TRIM_FAILED_MS 60000
#define TRIM_NEXT_MS 10 /* between slices, so that appends come first */

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
        return TRIM_FAILED_MS;
    }
    return more ? TRIM_NEXT_MS : TRIM_EVERY_MS;
}

void kt_replica_trim_main(void *arg)
{
    struct kt_replica *replica = arg;
    kt_mutex_lock(&replica->mutex);
    while (!replica->trim_stop) {
        int64_t again_ms = TRIM_EVERY_MS;
        if (replica->options.log_keep_bytes > 0) {
            again_ms = trim(replica);
        }
        int64_t deadline_ms = kt_now_mono_ms() + again_ms;
        while (!replica->trim_stop &&
               kt_cond_wait(&replica->trim_cond, &replica->mutex, deadline_ms)) {
        }
    }
    kt_mutex_unlock(&replica->mutex);
}

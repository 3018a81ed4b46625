/* SPDX-License-Identifier: MIT */
/* A leader's batch: everything that waits becomes one log transaction with one fsync, then one data
 * transaction; then each waiting handler is told. Numbers are given here and nowhere else.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "replica/replica_impl.h"

#include <string.h>

#define BATCH_ENTRIES_MAX 512

struct batch {
    struct proposal *proposals[BATCH_ENTRIES_MAX];
    struct kt_entry entries[BATCH_ENTRIES_MAX];
    struct kt_apply_result results[BATCH_ENTRIES_MAX];
    size_t count;
};

/* Time of the leader's clock for new entries: never below an earlier stamp, nor below a moment that
 * was already answered as past. Mutex held. */
static int64_t next_stamp(struct kt_replica *replica)
{
    int64_t now_ms = kt_now_wall_ms();
    kt_clock_check_stamp(&replica->own_clock, replica->stamp_floor_ms, now_ms);
    if (now_ms > replica->stamp_floor_ms) {
        replica->stamp_floor_ms = now_ms;
    }
    replica->in_flight_wall_ms = replica->stamp_floor_ms;
    return replica->stamp_floor_ms;
}

static enum kt_status encode_epoch_start(struct kt_replica *replica, const char *epoch_id,
                                         bool first, struct kt_buf *ret_body)
{
    struct kt_change_epoch_start start;
    memset(&start, 0, sizeof(start));
    start.epoch_id = kt_str(epoch_id);
    start.first = first;
    start.max_indicators = replica->options.max_indicators;
    start.max_keys = replica->options.max_keys;
    if (first) {
        kt_random_bytes(start.cursor_key, sizeof(start.cursor_key));
    }
    kt_change_encode_epoch_start(&start, ret_body);
    return kt_buf_status(ret_body);
}

/* The first entry of an epoch. What the log held beyond the known commit position is committed with
 * it: a leader leads with its whole log. */
static void start_epoch(struct kt_replica *replica)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf body;
    struct kt_entry entry;
    uint64_t number = replica->orders.number;
    char epoch_id[KT_ID_LEN + 1];
    memcpy(epoch_id, replica->orders.epoch_id, sizeof(epoch_id));
    memset(&entry, 0, sizeof(entry));
    kt_buf_init(&body, 0);
    entry.seq = replica->core.end_seq + 1;
    entry.epoch = replica->orders.epoch;
    entry.wall_ms = next_stamp(replica);
    uint64_t commit = replica->core.commit_seq;
    replica->core.epoch_start_seq = entry.seq;
    replica->orders.start_needed = false;
    kt_mutex_unlock(&replica->mutex);

    enum kt_status status = encode_epoch_start(replica, epoch_id, entry.seq == 1, &body);
    if (status == KT_OK) {
        entry.body = kt_buf_str(&body);
        status = kt_store_log_append(replica->store, &entry, 1, commit, &err);
    }
    if (status == KT_OK) {
        kt_mutex_lock(&replica->mutex);
        commit = kt_core_persisted(&replica->core, entry.seq, entry.epoch);
        kt_mutex_unlock(&replica->mutex);
        status = kt_replica_apply_to(replica, commit, &entry, 1, NULL, &err);
    }
    kt_buf_done(&body);

    kt_mutex_lock(&replica->mutex);
    replica->in_flight_wall_ms = 0;
    kt_cond_broadcast(&replica->wall_cond);
    if (status != KT_OK) {
        if (replica->orders.number == number) {
            kt_replica_report_fault(replica, "the epoch-start could not be written", &err);
        }
    } else if (replica->orders.number == number) {
        replica->start_done = true;
        kt_replica_wake(replica);
    }
    kt_cond_broadcast(&replica->fetch_cond);
}

/* Takes what waits, in order, up to the bounds of one transaction. Mutex held. */
static void take_batch(struct kt_replica *replica, struct batch *batch)
{
    int64_t bytes = 0, wall_ms = next_stamp(replica);
    uint64_t seq = replica->core.end_seq;
    batch->count = 0;
    while (replica->queue_head && batch->count < BATCH_ENTRIES_MAX) {
        struct proposal *proposal = replica->queue_head;
        int64_t size = (int64_t)proposal->body.len_bytes;
        if (batch->count > 0 && bytes + size > replica->options.batch_max_bytes) {
            break;
        }
        bytes += size;
        replica->queue_head = proposal->next;
        replica->queue_entries--;
        replica->queue_bytes -= size;
        proposal->next = NULL;
        proposal->state = PROPOSAL_NUMBERED;
        struct kt_entry *entry = &batch->entries[batch->count];
        entry->seq = ++seq;
        entry->epoch = replica->orders.epoch;
        entry->wall_ms = wall_ms;
        entry->key = kt_buf_str(&proposal->key);
        entry->body = kt_buf_str(&proposal->body);
        batch->proposals[batch->count++] = proposal;
    }
    if (!replica->queue_head) {
        replica->queue_tail = NULL;
    }
}

static void finish_batch(struct kt_replica *replica, struct batch *batch, enum kt_status status,
                         struct kt_error *err)
{
    if (status != KT_OK) {
        /* A failed fsync may have reached the disk or not: nobody can say. */
        kt_wrap(err, "the write may be done or not");
        status = KT_OUTCOME_UNKNOWN;
    }
    replica->counters.batches++;
    replica->counters.batched_entries += batch->count;
    for (size_t i = 0; i < batch->count; i++) {
        struct proposal *proposal = batch->proposals[i];
        if (status == KT_OK) {
            proposal->result.revision = batch->results[i].revision;
            proposal->result.apply = batch->results[i];
        }
        kt_replica_finish(proposal, status, err);
    }
}

static void write_batch(struct kt_replica *replica, struct batch *batch)
{
    struct kt_error err = KT_ERROR_INIT;
    take_batch(replica, batch);
    uint64_t commit = replica->core.commit_seq;
    uint64_t last = batch->entries[batch->count - 1].seq;
    uint64_t epoch = replica->orders.epoch, number = replica->orders.number;
    kt_mutex_unlock(&replica->mutex);

    enum kt_status status =
        kt_store_log_append(replica->store, batch->entries, batch->count, commit, &err);
    if (status == KT_OK) {
        kt_mutex_lock(&replica->mutex);
        commit = kt_core_persisted(&replica->core, last, epoch);
        kt_cond_broadcast(&replica->fetch_cond);
        kt_mutex_unlock(&replica->mutex);
        if (commit < last) {
            status = kt_fail(&err, KT_OUTCOME_UNKNOWN, "this node stepped down meanwhile");
        } else {
            status = kt_replica_apply_to(replica, commit, batch->entries, batch->count,
                                         batch->results, &err);
        }
    }
    kt_mutex_lock(&replica->mutex);
    replica->in_flight_wall_ms = 0;
    kt_cond_broadcast(&replica->wall_cond);
    /* After a step-down the fault is of an epoch that is over: the next one meets its own. */
    if (status != KT_OK && replica->orders.number == number) {
        kt_replica_report_fault(replica, "a batch could not be written", &err);
    }
    finish_batch(replica, batch, status, &err);
}

void kt_replica_write_round(struct kt_replica *replica)
{
    if (replica->orders.start_needed) {
        start_epoch(replica);
        return;
    }
    struct batch *batch = kt_malloc(sizeof(*batch));
    if (!batch) {
        kt_replica_refuse_queue(replica, KT_UNAVAILABLE, "out of memory");
        return;
    }
    write_batch(replica, batch);
    kt_free(batch);
}

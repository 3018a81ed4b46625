/* SPDX-License-Identifier: MIT */
/* A leader's batch: everything that waits becomes one log transaction with one fsync, and is sent
 * to the followers beside it; once the union has it, it is applied and each waiting handler is told
 * (apply.c). Numbers are given here and nowhere else.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "replica/replica_impl.h"

#include <string.h>

#define BATCH_ENTRIES_MAX 512
/* Larger batches are sent from the log: a second copy in memory would cost more than it saves. */
#define FRAMES_BYTES_MAX (1 << 20)

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

static void raise_to(int64_t *floor_ms, int64_t wall_ms)
{
    *floor_ms = wall_ms > *floor_ms ? wall_ms : *floor_ms;
}

/* Beyond what earlier leaders stamped, and beyond what they told this node to be past. Mutex held.
 */
static void raise_floor(struct kt_replica *replica)
{
    int64_t *floor_ms = &replica->stamp_floor_ms;
    raise_to(floor_ms, kt_store_log_last_wall_ms(replica->store));
    raise_to(floor_ms, replica->held_wall_ms + 1);
    if (replica->level.set) {
        raise_to(floor_ms, replica->level.wall_ms + 1);
    }
    if (replica->next_level.set) {
        raise_to(floor_ms, replica->next_level.wall_ms + 1);
    }
}

/* Entries move into memory of the batch's own, as they are sent. No mutex. */
static enum kt_status make_frames(struct batch *batch, struct kt_error *err)
{
    size_t at = 0;
    for (size_t i = 0; i < batch->count; i++) {
        kt_fetch_frame_append(&batch->entries[i], &batch->memory);
    }
    if (kt_buf_status(&batch->memory) != KT_OK) {
        return kt_fail(err, KT_NO_MEMORY, "a batch of %zu bytes", batch->bytes);
    }
    for (size_t i = 0; i < batch->count; i++) {
        struct kt_entry *entry = &batch->entries[i];
        at += KT_FETCH_FRAME_BYTES;
        entry->key.data = batch->memory.data + at;
        at += entry->key.len;
        entry->body.data = batch->memory.data + at;
        at += entry->body.len;
        if (batch->proposals) { /* nobody looks at its own copy any more */
            kt_buf_done(&batch->proposals[i]->key);
            kt_buf_done(&batch->proposals[i]->body);
        }
    }
    batch->frames = kt_buf_str(&batch->memory);
    return KT_OK;
}

/* What comes while the batch before goes to the members' disks goes together as the next: fewer and
 * larger ones, for a wait that each would have had anyway. What fills a batch need not wait. (The
 * same idea for small packets: J. Nagle, RFC 896.) */
bool kt_replica_batch_is_due(const struct kt_replica *replica)
{
    const struct kt_replica_options *options = &replica->options;
    /* A queue that takes no more than this is full before a batch is. */
    int64_t full_bytes = options->batch_max_bytes < options->queue_max_bytes / 2
                             ? options->batch_max_bytes
                             : options->queue_max_bytes / 2;
    return replica->queue_head &&
           (replica->log.end_seq <= replica->commit_seq ||
            replica->queue_entries >= BATCH_ENTRIES_MAX || replica->queue_bytes >= full_bytes);
}

/* Takes what waits, in order, up to the bounds of one transaction; NULL = no memory. Mutex held. */
static struct batch *take_batch(struct kt_replica *replica)
{
    int64_t bytes = 0;
    size_t count = 0;
    for (struct proposal *at = replica->queue_head; at && count < BATCH_ENTRIES_MAX;
         at = at->next) {
        bytes += (int64_t)at->body.len_bytes;
        if (count > 0 && bytes > replica->options.batch_max_bytes) {
            bytes -= (int64_t)at->body.len_bytes;
            break;
        }
        count++;
    }
    struct batch *batch = kt_batch_new(count, true);
    if (!batch) {
        return NULL;
    }
    batch->bytes = (size_t)bytes;
    batch->first_seq = replica->log.end_seq + 1;
    batch->wall_ms = next_stamp(replica);
    for (size_t i = 0; i < count; i++) {
        struct proposal *proposal = replica->queue_head;
        replica->queue_head = proposal->next;
        replica->queue_entries--;
        replica->queue_bytes -= (int64_t)proposal->body.len_bytes;
        proposal->next = NULL;
        proposal->numbered = true;
        batch->proposals[i] = proposal;
        batch->entries[i] =
            (struct kt_entry){batch->first_seq + i, replica->machine.disk.epoch, batch->wall_ms,
                              kt_buf_str(&proposal->key), kt_buf_str(&proposal->body)};
    }
    if (!replica->queue_head) {
        replica->queue_tail = NULL;
    }
    return batch;
}

/* The number is of an entry that nobody was sent and no disk has: certainly not done. */
static void drop_batch(struct kt_replica *replica, struct batch *batch, const char *why)
{
    struct kt_error err = KT_ERROR_INIT;
    (void)kt_fail(&err, KT_UNAVAILABLE, "%s", why);
    for (size_t i = 0; batch->proposals && i < batch->count; i++) {
        kt_replica_finish(batch->proposals[i], KT_UNAVAILABLE, NULL, &err);
        batch->proposals[i] = NULL;
    }
    replica->in_flight_wall_ms = 0;
    kt_cond_broadcast(&replica->wall_cond);
    kt_batch_unref(batch);
}

/* Shown to the followers, made durable, counted. Mutex held, given up meanwhile. The epoch vector
 * is the log's when it ends with the batch; NULL = as before. */
static void put_batch(struct kt_replica *replica, struct batch *batch, struct kt_epoch *vector,
                      size_t vector_count)
{
    struct kt_error err = KT_ERROR_INIT;
    uint64_t last = batch->first_seq + batch->count - 1;
    kt_tail_push(replica, batch);
    batch->refs++;
    if (vector) {
        kt_replica_put_vector(replica, vector, vector_count);
    }
    replica->log.end_seq = last;
    replica->in_flight_wall_ms = 0;
    uint64_t commit = replica->commit_seq;
    if (replica->held && batch->frames.len > 0) {
        kt_replica_step_facts(replica); /* they get it while it goes to the own disk */
    }
    kt_mutex_unlock(&replica->mutex);
    enum kt_status status =
        kt_store_log_append(replica->store, batch->entries, batch->count, commit, &err);
    kt_mutex_lock(&replica->mutex);
    kt_replica_await_step(replica);
    if (status == KT_OK) {
        replica->log.synced_seq = last;
        if (batch->proposals) {
            replica->counters.batches++;
            replica->counters.batched_entries += batch->count;
        }
        kt_cond_broadcast(&replica->synced_cond);
        kt_replica_step_facts(replica);
    } else {
        /* Who was sent it may have it; here it is not, and this node does not lead on. */
        replica->log.end_seq = replica->log.synced_seq;
        kt_replica_cut_vector(replica, replica->log.end_seq);
        kt_replica_fault(replica, "a batch could not be written", &err);
        kt_cond_broadcast(&replica->synced_cond);
        kt_replica_step_facts(replica);
        kt_tail_cut(replica, replica->log.synced_seq);
    }
    kt_batch_unref(batch);
}

void kt_replica_write_batch(struct kt_replica *replica)
{
    struct kt_error err = KT_ERROR_INIT;
    enum kt_status status = KT_OK;
    uint64_t epoch = replica->machine.disk.epoch;
    struct batch *batch = take_batch(replica);
    if (!batch) {
        kt_replica_refuse_queue(replica, KT_UNAVAILABLE, "out of memory");
        return;
    }
    if (batch->bytes <= FRAMES_BYTES_MAX) {
        kt_mutex_unlock(&replica->mutex);
        status = make_frames(batch, &err);
        kt_mutex_lock(&replica->mutex);
    }
    kt_replica_await_step(replica);
    if (status != KT_OK) {
        drop_batch(replica, batch, err.message);
    } else if (replica->machine.role != KT_M_LEADS || replica->machine.disk.epoch != epoch ||
               replica->log.end_seq + 1 != batch->first_seq) {
        drop_batch(replica, batch, "this node stepped down: nothing was done");
    } else {
        put_batch(replica, batch, NULL, 0);
    }
}

/* --- the epoch-start --- */

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

static struct batch *make_epoch_start(struct kt_replica *replica, uint64_t seq, int64_t wall_ms,
                                      uint64_t epoch, const char *epoch_id, struct kt_error *err)
{
    struct kt_buf body;
    struct batch *batch = kt_batch_new(1, false);
    kt_buf_init(&body, 0);
    enum kt_status status =
        batch ? encode_epoch_start(replica, epoch_id, seq == 1, &body) : KT_NO_MEMORY;
    if (status == KT_OK) {
        batch->first_seq = seq;
        batch->wall_ms = wall_ms;
        batch->bytes = body.len_bytes;
        batch->entries[0] = (struct kt_entry){seq, epoch, wall_ms, KT_STR(""), kt_buf_str(&body)};
        status = make_frames(batch, err);
    }
    kt_buf_done(&body);
    if (status != KT_OK) {
        (void)kt_fail(err, status, "no memory for an epoch-start");
        if (batch) {
            kt_batch_unref(batch);
        }
        return NULL;
    }
    return batch;
}

/* The vector with the new epoch; it is the log's as soon as the entry has its number. */
static struct kt_epoch *extend_vector(const struct kt_replica *replica, uint64_t epoch,
                                      const char *epoch_id, uint64_t first_seq, size_t *ret_count)
{
    size_t count = replica->log.vector_count;
    struct kt_epoch *vector = kt_calloc(count + 1, sizeof(*vector));
    if (vector) {
        if (count > 0) {
            memcpy(vector, replica->log.vector, count * sizeof(*vector));
        }
        vector[count].epoch = epoch;
        kt_str_copy(vector[count].epoch_id, sizeof(vector[count].epoch_id), kt_str(epoch_id));
        vector[count].first_seq = first_seq;
        *ret_count = count + 1;
    }
    return vector;
}

void kt_replica_lead_epoch(struct kt_replica *replica)
{
    struct kt_error err = KT_ERROR_INIT;
    char epoch_id[KT_ID_LEN + 1];
    uint64_t epoch = replica->orders.lead_epoch, seq = replica->log.end_seq + 1;
    size_t count = 0;
    memcpy(epoch_id, replica->orders.epoch_id, sizeof(epoch_id));
    replica->orders.lead = false;
    raise_floor(replica);
    int64_t wall_ms = next_stamp(replica);
    kt_mutex_unlock(&replica->mutex);
    struct batch *batch = make_epoch_start(replica, seq, wall_ms, epoch, epoch_id, &err);
    kt_mutex_lock(&replica->mutex);
    kt_replica_await_step(replica);
    struct kt_epoch *vector = batch ? extend_vector(replica, epoch, epoch_id, seq, &count) : NULL;
    if (!vector) {
        replica->in_flight_wall_ms = 0;
        kt_replica_fault(replica, "the epoch-start could not be made", &err);
        kt_replica_step_facts(replica);
        if (batch) {
            kt_batch_unref(batch);
        }
    } else if (replica->machine.role != KT_M_LEADS || replica->machine.disk.epoch != epoch) {
        kt_free(vector);
        drop_batch(replica, batch, "this node stepped down");
    } else {
        put_batch(replica, batch, vector, count);
    }
}

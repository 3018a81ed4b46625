/* SPDX-License-Identifier: MIT */
/* The newest entries, in memory since they got their numbers: followers are sent them, and they are
 * applied, without a look into the log. What is applied stays for followers that are a little
 * behind, up to a bound.
 */
#include "base/mem.h"
#include "replica/replica_impl.h"

#include <string.h>

#define TAIL_BYTES_MAX (8U << 20)
#define COPY_BATCHES_MAX 64

struct batch *kt_batch_new(size_t count, bool with_proposals)
{
    struct batch *batch = kt_calloc(1, sizeof(*batch));
    if (!batch) {
        return NULL;
    }
    batch->refs = 1;
    batch->count = count;
    kt_buf_init(&batch->memory, 0);
    batch->entries = kt_calloc(count, sizeof(*batch->entries));
    if (with_proposals) {
        batch->proposals = kt_calloc(count, sizeof(struct proposal *));
    }
    if (!batch->entries || (with_proposals && !batch->proposals)) {
        kt_batch_unref(batch);
        return NULL;
    }
    return batch;
}

void kt_batch_unref(struct batch *batch)
{
    if (--batch->refs > 0) {
        return;
    }
    for (size_t i = 0; batch->proposals && i < batch->count; i++) {
        if (batch->proposals[i]) {
            kt_proposal_unref(batch->proposals[i]);
        }
    }
    kt_buf_done(&batch->memory);
    kt_free(batch->proposals);
    kt_free(batch->entries);
    kt_free(batch);
}

static uint64_t last_seq(const struct batch *batch)
{
    return batch->first_seq + batch->count - 1;
}

void kt_tail_push(struct kt_replica *replica, struct batch *batch)
{
    KT_ASSERT(!replica->tail_tail || last_seq(replica->tail_tail) + 1 == batch->first_seq);
    batch->previous = replica->tail_tail;
    if (replica->tail_tail) {
        replica->tail_tail->next = batch;
    } else {
        replica->tail_head = batch;
    }
    replica->tail_tail = batch;
    replica->tail_bytes += batch->bytes;
    replica->numbered_bytes += (int64_t)batch->bytes;
    batch->counted = true;
}

void kt_tail_uncount(struct kt_replica *replica, struct batch *batch)
{
    if (batch->counted) {
        batch->counted = false;
        replica->numbered_bytes -= (int64_t)batch->bytes;
        if (!replica->log_waits || replica->queue_head) {
            kt_cond_signal(&replica->log_cond);
        }
    }
}

static void answer_unknown(struct batch *batch, uint64_t commit_seq, const char *why)
{
    struct kt_error err = KT_ERROR_INIT;
    (void)kt_fail(&err, KT_OUTCOME_UNKNOWN, "%s", why);
    for (size_t i = 0; batch->proposals && i < batch->count; i++) {
        struct proposal *proposal = batch->proposals[i];
        if (proposal && !proposal->answered && batch->first_seq + i > commit_seq) {
            /* The entry may borrow its bytes: the batch's reference stays. */
            proposal->answered = true;
            atomic_fetch_add_explicit(&proposal->refs, 1, memory_order_relaxed);
            kt_replica_finish(proposal, KT_OUTCOME_UNKNOWN, NULL, &err);
        }
    }
}

void kt_tail_unknown(struct kt_replica *replica, const char *why)
{
    for (struct batch *batch = replica->tail_head; batch; batch = batch->next) {
        answer_unknown(batch, replica->machine.commit_seq, why);
    }
}

/* A tail ends with the log: if only a part of a batch stays, all before it is forgotten as well,
 * and applied from the log. */
void kt_tail_cut(struct kt_replica *replica, uint64_t seq)
{
    struct batch **at = &replica->tail_head, *before = NULL;
    while (*at && last_seq(*at) <= seq) {
        before = *at;
        at = &(*at)->next;
    }
    if (*at && (*at)->first_seq <= seq) {
        at = &replica->tail_head;
        before = NULL;
    }
    struct batch *gone = *at;
    *at = NULL;
    replica->tail_tail = before;
    while (gone) {
        struct batch *next = gone->next;
        answer_unknown(gone, 0,
                       "the entry was cut from the log, or cannot be followed any "
                       "more: another leader went on");
        replica->tail_bytes -= gone->bytes;
        kt_tail_uncount(replica, gone);
        kt_batch_unref(gone);
        gone = next;
    }
}

void kt_tail_trim(struct kt_replica *replica)
{
    uint64_t applied = kt_store_applied(replica->store);
    while (replica->tail_head && last_seq(replica->tail_head) <= applied) {
        struct batch *batch = replica->tail_head;
        if (replica->tail_bytes <= TAIL_BYTES_MAX && batch->frames.len > 0) {
            break;
        }
        replica->tail_head = batch->next;
        if (batch->next) {
            batch->next->previous = NULL;
        } else {
            replica->tail_tail = NULL;
        }
        replica->tail_bytes -= batch->bytes;
        kt_tail_uncount(replica, batch);
        kt_batch_unref(batch);
    }
}

/* From the newest on: what is looked for is nearly always there. */
struct batch *kt_tail_find(struct kt_replica *replica, uint64_t seq)
{
    struct batch *batch = replica->tail_tail;
    while (batch && batch->first_seq > seq) {
        batch = batch->previous;
    }
    return batch && seq <= last_seq(batch) ? batch : NULL;
}

int64_t kt_tail_wall_ms(struct kt_replica *replica, uint64_t seq)
{
    struct batch *batch = kt_tail_find(replica, seq + 1);
    return batch ? batch->wall_ms : 0;
}

/* What of these frames lies behind `after`. */
static struct kt_str skip_frames(struct kt_str frames, uint64_t first_seq, uint64_t after)
{
    for (uint64_t seq = first_seq; seq <= after && kt_fetch_frame_skip(&frames); seq++) {
    }
    return frames;
}

bool kt_tail_frames(struct kt_replica *replica, uint64_t after, size_t max_bytes,
                    struct kt_buf *dest)
{
    struct batch *taken[COPY_BATCHES_MAX];
    size_t count = 0, bytes = 0;
    for (struct batch *batch = kt_tail_find(replica, after + 1);
         batch && batch->frames.len > 0 && count < COPY_BATCHES_MAX; batch = batch->next) {
        if (count > 0 && bytes + batch->frames.len > max_bytes) {
            break;
        }
        bytes += batch->frames.len;
        batch->refs++;
        taken[count++] = batch;
    }
    if (count == 0) {
        return false;
    }
    kt_mutex_unlock(&replica->mutex);
    for (size_t i = 0; i < count; i++) {
        kt_buf_append_str(dest, i == 0 ? skip_frames(taken[i]->frames, taken[i]->first_seq, after)
                                       : taken[i]->frames);
    }
    kt_mutex_lock(&replica->mutex);
    for (size_t i = 0; i < count; i++) {
        kt_batch_unref(taken[i]);
    }
    return true;
}

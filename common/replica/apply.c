/* SPDX-License-Identifier: MIT */
/* The apply thread: what is committed goes into the data, in order, and who waits for it is told.
 * Beside it the log is written and sent: the next batch does not wait for this one's rows.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "replica/replica_impl.h"

#include <string.h>

/* Read from the log in such pieces when applying what is not in memory. */
#define REDO_READ_BYTES (4U << 20)
#define APPLY_AGAIN_MS 100
#define ROUND_ENTRIES_MAX 2048
#define ROUND_BATCHES_MAX 256
#define ROUND_BYTES_MAX (4U << 20)
#define IDLE_MS 1000
#define FLUSH_IDLE_MS 100

/* The moments whose commit position is now applied. */
static void note_levels(struct kt_replica *replica, uint64_t applied)
{
    while (replica->level.set && replica->level.commit <= applied) {
        atomic_store_explicit(&replica->whole_mono_ms, replica->level.mono_ms,
                              memory_order_relaxed);
        if (replica->level.wall_ms > replica->held_wall_ms) {
            replica->held_wall_ms = replica->level.wall_ms;
        }
        replica->was_ready = true;
        if (!replica->was_up && replica->machine.leader_id[0]) {
            replica->was_up = true;
            kt_log(INFO, "replica", "caught_up", "revision=%llu leader=%s",
                   (unsigned long long)replica->level.commit, replica->machine.leader_addr);
        }
        replica->level = replica->next_level;
        replica->next_level.set = false;
    }
}

void kt_replica_applied(struct kt_replica *replica)
{
    note_levels(replica, kt_store_applied(replica->store));
    kt_cond_broadcast(&replica->wall_cond);
    kt_tail_trim(replica);
    if (replica->trim_waits && kt_store_checkpoint_due(replica->store)) {
        replica->trim_waits = false;
        kt_cond_signal(&replica->trim_cond);
    }
}

/* --- a round: what is committed and in memory, of as many batches as there are, in one
 * transaction: the slower the data, the larger its transactions --- */

struct round {
    struct kt_entry entries[ROUND_ENTRIES_MAX];
    struct kt_apply_result results[ROUND_ENTRIES_MAX];
    struct proposal **slots[ROUND_ENTRIES_MAX]; /* where the proposal of an entry stands; NULL */
    struct proposal *answers[ROUND_ENTRIES_MAX];
    struct batch *batches[ROUND_BATCHES_MAX]; /* counted */
    size_t count, batch_count, answer_count;
    bool has_proposals;
};

/* Mutex held. */
static void gather(struct round *round, struct batch *batch, uint64_t applied, uint64_t commit)
{
    size_t bytes = 0;
    uint64_t seq = applied + 1;
    round->count = round->batch_count = round->answer_count = 0;
    round->has_proposals = false;
    for (; batch && seq <= commit && round->batch_count < ROUND_BATCHES_MAX; batch = batch->next) {
        if (round->count > 0 && bytes + batch->bytes > ROUND_BYTES_MAX) {
            break;
        }
        bytes += batch->bytes;
        batch->refs++;
        round->batches[round->batch_count++] = batch;
        round->has_proposals = round->has_proposals || batch->proposals;
        for (size_t i = (size_t)(seq - batch->first_seq);
             i < batch->count && seq <= commit && round->count < ROUND_ENTRIES_MAX; i++, seq++) {
            round->slots[round->count] = batch->proposals ? &batch->proposals[i] : NULL;
            round->entries[round->count++] = batch->entries[i];
        }
        if (round->count == ROUND_ENTRIES_MAX) {
            break;
        }
    }
}

/* Whom to answer. Mutex held. */
static void take_answers(struct round *round)
{
    for (size_t i = 0; i < round->count; i++) {
        struct proposal *proposal = round->slots[i] ? *round->slots[i] : NULL;
        round->answers[i] = NULL;
        if (!proposal) {
            continue;
        }
        *round->slots[i] = NULL;
        if (proposal->answered) { /* as unknown, before */
            kt_proposal_unref(proposal);
        } else {
            proposal->answered = true;
            round->answers[i] = proposal;
            round->answer_count++;
        }
    }
}

/* Without the mutex, so that who is woken does not run into it. */
static void give_answers(const struct round *round)
{
    for (size_t i = 0; i < round->count; i++) {
        if (round->answers[i]) {
            kt_replica_finish(round->answers[i], KT_OK, &round->results[i], NULL);
        }
    }
}

/* Mutex held. */
static void end_round(struct kt_replica *replica, struct round *round)
{
    for (size_t i = 0; i < round->batch_count; i++) {
        struct batch *batch = round->batches[i];
        if (batch->first_seq + batch->count - 1 <= kt_store_applied(replica->store)) {
            kt_tail_uncount(replica, batch);
        }
        kt_batch_unref(batch);
    }
}

/* Mutex held, given up meanwhile. */
static enum kt_status apply_round(struct kt_replica *replica, struct round *round,
                                  struct kt_error *err)
{
    kt_mutex_unlock(&replica->mutex);
    enum kt_status status = kt_store_apply(replica->store, round->entries, round->count,
                                           round->has_proposals ? round->results : NULL, err);
    kt_mutex_lock(&replica->mutex);
    if (status == KT_OK) {
        take_answers(round);
    }
    if (round->answer_count > 0) {
        kt_mutex_unlock(&replica->mutex);
        give_answers(round);
        kt_mutex_lock(&replica->mutex);
    }
    end_round(replica, round);
    return status;
}

/* What is not in memory any more, or not yet: read from the log. Mutex held, given up meanwhile. */
static enum kt_status redo(struct kt_replica *replica, uint64_t applied, uint64_t until,
                           struct kt_error *err)
{
    struct kt_entries read;
    memset(&read, 0, sizeof(read));
    kt_mutex_unlock(&replica->mutex);
    enum kt_status status =
        kt_store_log_read(replica->store, applied, until, REDO_READ_BYTES, &read, err);
    if (status == KT_OK && read.count == 0) {
        status =
            kt_fail(err, KT_CORRUPT, "the log ends before entry %llu", (unsigned long long)until);
    }
    if (status == KT_OK) {
        status = kt_store_apply(replica->store, read.items, read.count, NULL, err);
    }
    kt_entries_done(&read);
    kt_mutex_lock(&replica->mutex);
    return status;
}

static enum kt_status apply_some(struct kt_replica *replica, struct round *round,
                                 struct kt_error *err)
{
    uint64_t applied = kt_store_applied(replica->store);
    uint64_t commit = replica->commit_seq;
    struct batch *batch = kt_tail_find(replica, applied + 1);
    if (batch) {
        gather(round, batch, applied, commit);
        return apply_round(replica, round, err);
    }
    uint64_t until = commit;
    if (replica->tail_head && replica->tail_head->first_seq <= until) {
        until = replica->tail_head->first_seq - 1;
    }
    return redo(replica, applied, until, err);
}

/* The log has it: nothing is lost, and a fault that passes costs some delay. One that lasts ends
 * the lead of this node. */
static void note_apply_failed(struct kt_replica *replica, int64_t *failing_since_ms,
                              const struct kt_error *err)
{
    int64_t now_ms = kt_now_mono_ms();
    if (*failing_since_ms == 0) {
        *failing_since_ms = now_ms;
        kt_log(ERROR, "replica", "apply_failed", "applied=%llu why=\"%s\"",
               (unsigned long long)kt_store_applied(replica->store), err->message);
    }
    if (now_ms - *failing_since_ms >= replica->options.lag_timeout_ms) {
        kt_replica_fault(replica, "what is committed could not be written to the data", err);
    }
}

static void pause_apply(struct kt_replica *replica)
{
    int64_t deadline_ms = kt_now_mono_ms() + APPLY_AGAIN_MS;
    while (!replica->apply_stop &&
           kt_cond_wait(&replica->apply_cond, &replica->mutex, deadline_ms)) {
    }
}

/* Nothing came for a while: what is shown goes into the file. Mutex held, given up meanwhile. */
static void flush(struct kt_replica *replica)
{
    struct kt_error err = KT_ERROR_INIT;
    kt_mutex_unlock(&replica->mutex);
    enum kt_status status = kt_store_flush(replica->store, &err);
    kt_mutex_lock(&replica->mutex);
    if (status != KT_OK) {
        pause_apply(replica); /* the store has said it, and tries again */
    }
}

void kt_replica_apply_main(void *arg)
{
    struct kt_replica *replica = arg;
    struct kt_error err = KT_ERROR_INIT;
    int64_t failing_since_ms = 0;
    struct round *round = kt_malloc(sizeof(*round));
    kt_mutex_lock(&replica->mutex);
    while (!round && !replica->apply_stop) {
        pause_apply(replica);
        round = kt_malloc(sizeof(*round));
    }
    while (!replica->apply_stop) {
        if (kt_store_applied(replica->store) < replica->commit_seq) {
            if (apply_some(replica, round, &err) == KT_OK) {
                failing_since_ms = 0;
                kt_replica_applied(replica);
                if (!replica->started_said && replica->machine.role == KT_M_LEADS) {
                    kt_replica_step_facts(replica); /* its epoch has begun */
                }
            } else {
                note_apply_failed(replica, &failing_since_ms, &err);
                pause_apply(replica);
            }
        } else if (!kt_store_is_behind(replica->store)) {
            (void)kt_cond_wait(&replica->apply_cond, &replica->mutex, kt_now_mono_ms() + IDLE_MS);
        } else if (!kt_cond_wait(&replica->apply_cond, &replica->mutex,
                                 kt_now_mono_ms() + FLUSH_IDLE_MS)) {
            flush(replica);
        }
    }
    kt_mutex_unlock(&replica->mutex);
    kt_free(round);
}

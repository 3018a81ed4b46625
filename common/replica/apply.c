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
#define IDLE_MS 1000

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
}

/* What is applied has an answer; it is given without the mutex, so that who is woken does not run
 * into it. */
struct answers {
    struct proposal **items;
    size_t from, count;
};

/* Mutex held. */
static void take_answers(struct batch *batch, size_t from, size_t count, struct answers *answers)
{
    answers->from = from;
    answers->count = count;
    for (size_t i = 0; i < count; i++) {
        struct proposal *proposal = batch->proposals[from + i];
        batch->proposals[from + i] = NULL;
        answers->items[i] = proposal;
        if (proposal && proposal->answered) { /* as unknown, before */
            kt_proposal_unref(proposal);
            answers->items[i] = NULL;
        } else if (proposal) {
            proposal->answered = true;
        }
    }
}

static void give_answers(const struct batch *batch, const struct answers *answers)
{
    for (size_t i = 0; i < answers->count; i++) {
        if (answers->items[i]) {
            kt_replica_finish(answers->items[i], KT_OK, &batch->results[answers->from + i], NULL);
        }
    }
}

/* Of one batch what is committed. Mutex held, given up meanwhile. */
static enum kt_status apply_batch(struct kt_replica *replica, struct batch *batch, uint64_t applied,
                                  uint64_t commit, struct kt_error *err)
{
    struct answers answers;
    size_t from = (size_t)(applied + 1 - batch->first_seq);
    size_t count = batch->count - from;
    if (count > commit - applied) {
        count = (size_t)(commit - applied);
    }
    memset(&answers, 0, sizeof(answers));
    batch->refs++;
    kt_mutex_unlock(&replica->mutex);
    enum kt_status status = KT_OK;
    if (batch->proposals) {
        answers.items = kt_calloc(count, sizeof(struct proposal *));
        status = answers.items ? KT_OK : kt_fail(err, KT_NO_MEMORY, "the answers of a batch");
    }
    if (status == KT_OK) {
        status = kt_store_apply(replica->store, batch->entries + from, count,
                                batch->results ? batch->results + from : NULL, err);
    }
    kt_mutex_lock(&replica->mutex);
    if (status == KT_OK && batch->proposals) {
        take_answers(batch, from, count, &answers);
    }
    if (status == KT_OK && from + count == batch->count) {
        kt_tail_uncount(replica, batch);
    }
    if (answers.count > 0) {
        kt_mutex_unlock(&replica->mutex);
        give_answers(batch, &answers);
        kt_mutex_lock(&replica->mutex);
    }
    kt_free(answers.items);
    kt_batch_unref(batch);
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

static enum kt_status apply_some(struct kt_replica *replica, struct kt_error *err)
{
    uint64_t applied = kt_store_applied(replica->store);
    uint64_t commit = replica->commit_seq;
    struct batch *batch = kt_tail_find(replica, applied + 1);
    if (batch) {
        return apply_batch(replica, batch, applied, commit, err);
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

void kt_replica_apply_main(void *arg)
{
    struct kt_replica *replica = arg;
    struct kt_error err = KT_ERROR_INIT;
    int64_t failing_since_ms = 0;
    kt_mutex_lock(&replica->mutex);
    while (!replica->apply_stop) {
        if (kt_store_applied(replica->store) < replica->commit_seq) {
            if (apply_some(replica, &err) == KT_OK) {
                failing_since_ms = 0;
                kt_replica_applied(replica);
                if (!replica->started_said && replica->machine.role == KT_M_LEADS) {
                    kt_replica_step_facts(replica); /* its epoch has begun */
                }
            } else {
                note_apply_failed(replica, &failing_since_ms, &err);
                pause_apply(replica);
            }
        } else {
            (void)kt_cond_wait(&replica->apply_cond, &replica->mutex, kt_now_mono_ms() + IDLE_MS);
        }
    }
    kt_mutex_unlock(&replica->mutex);
}

/* SPDX-License-Identifier: MIT */
/* The log thread: the one writer of log and data. It follows its orders, which the replica thread
 * changes, one round at a time: a batch as leader, a fetch as follower.
 */
#include "base/log.h"
#include "base/mem.h"
#include "replica/replica_impl.h"

#include <string.h>

/* Read from the log in such pieces when applying what was not applied yet. */
#define REDO_READ_BYTES (4U << 20)

void kt_proposal_unref(struct proposal *proposal)
{
    KT_ASSERT(proposal->refs > 0);
    if (--proposal->refs == 0) {
        kt_cond_done(&proposal->done);
        kt_buf_done(&proposal->key);
        kt_buf_done(&proposal->body);
        kt_free(proposal);
    }
}

void kt_replica_finish(struct proposal *proposal, enum kt_status status, const struct kt_error *err)
{
    proposal->status = status;
    if (err && status != KT_OK) {
        proposal->error = *err;
        proposal->error.status = status;
    }
    proposal->state = PROPOSAL_DONE;
    /* Each waits on a condition of its own: a broadcast would wake all for the news of one. */
    kt_cond_signal(&proposal->done);
    kt_proposal_unref(proposal);
}

void kt_replica_refuse_queue(struct kt_replica *replica, enum kt_status status, const char *why)
{
    struct kt_error err = KT_ERROR_INIT;
    (void)kt_fail(&err, status, "%s", why);
    while (replica->queue_head) {
        struct proposal *proposal = replica->queue_head;
        replica->queue_head = proposal->next;
        kt_replica_finish(proposal, status, &err);
    }
    replica->queue_tail = NULL;
    replica->queue_entries = 0;
    replica->queue_bytes = 0;
}

void kt_replica_report_fault(struct kt_replica *replica, const char *what,
                             const struct kt_error *err)
{
    struct kt_error full = *err;
    kt_wrap(&full, "%s", what);
    kt_str_copy(replica->fault_why, sizeof(replica->fault_why), kt_str(full.message));
    replica->fault = true;
    /* The core steps down as soon as its thread runs; until then nothing more is written. */
    replica->orders.lead = replica->orders.start_needed = false;
    kt_replica_wake(replica);
}

/* What is in the log and not in `entries`: read and apply up to `until`. */
static enum kt_status redo(struct kt_replica *replica, uint64_t until, struct kt_error *err)
{
    enum kt_status status = KT_OK;
    while (status == KT_OK && kt_store_applied(replica->store) < until) {
        struct kt_entries read;
        memset(&read, 0, sizeof(read));
        status = kt_store_log_read(replica->store, kt_store_applied(replica->store), until,
                                   REDO_READ_BYTES, &read, err);
        if (status == KT_OK && read.count == 0) {
            status = kt_fail(err, KT_CORRUPT, "the log ends before entry %llu",
                             (unsigned long long)until);
        }
        if (status == KT_OK) {
            status = kt_store_apply(replica->store, read.items, read.count, NULL, err);
        }
        kt_entries_done(&read);
    }
    return status;
}

enum kt_status kt_replica_apply_to(struct kt_replica *replica, uint64_t commit_seq,
                                   const struct kt_entry *entries, size_t count,
                                   struct kt_apply_result *results, struct kt_error *err)
{
    uint64_t applied = kt_store_applied(replica->store);
    if (count > 0 && entries[0].seq > applied + 1) {
        uint64_t until = entries[0].seq - 1 < commit_seq ? entries[0].seq - 1 : commit_seq;
        enum kt_status status = redo(replica, until, err);
        if (status != KT_OK) {
            return status;
        }
        applied = kt_store_applied(replica->store);
    }
    size_t take = 0;
    while (take < count && entries[take].seq <= commit_seq) {
        take++;
    }
    if (take > 0 && entries[0].seq == applied + 1) {
        return kt_store_apply(replica->store, entries, take, results, err);
    }
    return redo(replica, commit_seq, err);
}

void kt_replica_log_main(void *arg)
{
    struct kt_replica *replica = arg;
    kt_mutex_lock(&replica->mutex);
    while (!replica->log_stop) {
        if (replica->orders.lead && (replica->orders.start_needed || replica->queue_head)) {
            kt_replica_write_round(replica);
        } else if (!replica->orders.lead && replica->orders.follow) {
            kt_replica_follow_round(replica);
        } else {
            (void)kt_cond_wait(&replica->log_cond, &replica->mutex, kt_now_mono_ms() + 1000);
        }
    }
    kt_replica_refuse_queue(replica, KT_UNAVAILABLE, "this node is stopping");
    kt_mutex_unlock(&replica->mutex);
}

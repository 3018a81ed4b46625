/* SPDX-License-Identifier: MIT */
/* The log thread: the one writer of the log. One round at a time: an epoch-start or a batch as
 * leader (write.c), what the machine asks for as follower (follow.c).
 */
#include "base/log.h"
#include "base/clock.h"
#include "base/mem.h"
#include "replica/replica_impl.h"

#include <string.h>

void kt_proposal_unref(struct proposal *proposal)
{
    /* Acquire and release: who frees it sees what the others did with it. */
    if (atomic_fetch_sub_explicit(&proposal->refs, 1, memory_order_acq_rel) == 1) {
        kt_cond_done(&proposal->cond);
        kt_mutex_done(&proposal->mutex);
        kt_buf_done(&proposal->key);
        kt_buf_done(&proposal->body);
        kt_free(proposal);
    }
}

void kt_replica_finish(struct proposal *proposal, enum kt_status status,
                       const struct kt_apply_result *result, const struct kt_error *err)
{
    kt_mutex_lock(&proposal->mutex);
    proposal->status = status;
    if (result) {
        proposal->result.revision = result->revision;
        proposal->result.apply = *result;
    }
    if (err && status != KT_OK) {
        proposal->error = *err;
        proposal->error.status = status;
    }
    proposal->done = true;
    kt_mutex_unlock(&proposal->mutex);
    kt_cond_signal(&proposal->cond); /* who wakes with the mutex free need not sleep again */
    kt_proposal_unref(proposal);
}

void kt_replica_refuse_queue(struct kt_replica *replica, enum kt_status status, const char *why)
{
    struct kt_error err = KT_ERROR_INIT;
    (void)kt_fail(&err, status, "%s", why);
    while (replica->queue_head) {
        struct proposal *proposal = replica->queue_head;
        replica->queue_head = proposal->next;
        kt_replica_finish(proposal, status, NULL, &err);
    }
    replica->queue_tail = NULL;
    replica->queue_entries = 0;
    replica->queue_bytes = 0;
}

/* May what waits in the queue be given numbers? If not and it never will be here, it is refused. */
static bool may_number(struct kt_replica *replica)
{
    struct kt_machine_facts facts = kt_replica_facts(replica);
    if (kt_machine_may_write(&replica->machine, &facts) == KT_OK) {
        return replica->numbered_bytes <= replica->options.queue_max_bytes;
    }
    kt_replica_refuse_queue(
        replica, KT_UNAVAILABLE,
        replica->machine.short_of_members
            ? "fewer members are in sync than [replication] min_in_sync asks for"
            : "this node takes no writes now");
    return false;
}

void kt_replica_log_main(void *arg)
{
    struct kt_replica *replica = arg;
    kt_mutex_lock(&replica->mutex);
    while (!replica->log_stop) {
        bool leads = replica->machine.role == KT_M_LEADS;
        if (replica->orders.lead) {
            kt_replica_lead_epoch(replica);
        } else if (leads && replica->queue_head && may_number(replica) &&
                   kt_replica_batch_is_due(replica)) {
            kt_replica_write_batch(replica);
        } else if (!leads && replica->orders.follow != FOLLOW_NOTHING) {
            kt_replica_follow(replica);
        } else {
            replica->log_waits = true;
            (void)kt_cond_wait(&replica->log_cond, &replica->mutex, kt_now_mono_ms() + 1000);
            replica->log_waits = false;
        }
    }
    kt_replica_refuse_queue(replica, KT_UNAVAILABLE, "this node is stopping");
    kt_tail_unknown(replica, "this node stopped before the write was committed");
    kt_mutex_unlock(&replica->mutex);
}

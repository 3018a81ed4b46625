/* SPDX-License-Identifier: MIT */
/* What handlers call: submit a change, wait for a moment of the past, ask how things stand. */
#include "base/clock.h"
#include "base/mem.h"
#include "replica/replica_impl.h"

#include <stdio.h>
#include <string.h>

/* --- submit --- */

static struct proposal *make_proposal(struct kt_str key, struct kt_str body)
{
    struct proposal *proposal = kt_calloc(1, sizeof(*proposal));
    if (!proposal) {
        return NULL;
    }
    atomic_init(&proposal->refs, 1);
    kt_mutex_init(&proposal->mutex, "proposal", KT_RANK_PROPOSAL);
    kt_cond_init(&proposal->cond);
    kt_buf_init(&proposal->key, 0);
    kt_buf_init(&proposal->body, 0);
    kt_buf_append_str(&proposal->key, key);
    kt_buf_append_str(&proposal->body, body);
    if (kt_buf_status(&proposal->key) != KT_OK || kt_buf_status(&proposal->body) != KT_OK) {
        kt_proposal_unref(proposal);
        return NULL;
    }
    return proposal;
}

/* Whom clients are sent to: nobody while etcd shows no leader key, or another's (this node's own,
 * say, before it knows that it has won), although the log is still fetched from the one known last.
 * Mutex held. */
static bool knows_leader(const struct kt_replica *replica)
{
    const struct kt_coord_view *view = replica->view;
    bool gone = view->complete && view->reachable &&
                (!view->leader.present || strcmp(view->leader.id, replica->machine.leader_id) != 0);
    return replica->machine.leader_id[0] != '\0' && !gone;
}

/* Mutex held. */
static enum kt_status refuse_by_role(struct kt_replica *replica, struct kt_error *err)
{
    const struct kt_machine *machine = &replica->machine;
    if (machine->role == KT_M_LEADS) {
        return kt_fail(err, KT_UNAVAILABLE, "%s",
                       machine->short_of_members
                           ? "fewer members are in sync than [replication] min_in_sync asks for"
                       : machine->draining ? "this node is handing over its lead"
                                           : "this node's epoch has not begun yet");
    }
    if (machine->role == KT_M_ENDED) {
        return kt_fail(err, KT_UNAVAILABLE, "this node has stopped: %s", machine->ended_why);
    }
    if (knows_leader(replica)) {
        return kt_fail(err, KT_NOT_LEADER, "this node follows; the leader is %s",
                       machine->leader_addr);
    }
    return kt_fail(err, KT_UNAVAILABLE, "there is no leader: waiting for %s",
                   machine->waiting_for[0] ? machine->waiting_for : "one to be elected");
}

/* Mutex held. */
static enum kt_status may_submit(struct kt_replica *replica, size_t body_bytes,
                                 struct kt_error *err)
{
    struct kt_machine_facts facts = kt_replica_facts(replica);
    if (replica->closing) {
        return kt_fail(err, KT_UNAVAILABLE, "this node is stopping");
    }
    if (kt_machine_may_write(&replica->machine, &facts) != KT_OK) {
        return refuse_by_role(replica, err);
    }
    if (replica->queue_bytes + (int64_t)body_bytes > replica->options.queue_max_bytes &&
        replica->queue_head) {
        return kt_fail(err, KT_BUSY, "%zu writes wait already", replica->queue_entries);
    }
    return KT_OK;
}

static void enqueue(struct kt_replica *replica, struct proposal *proposal)
{
    atomic_fetch_add_explicit(&proposal->refs, 1, memory_order_relaxed);
    if (replica->queue_tail) {
        replica->queue_tail->next = proposal;
    } else {
        replica->queue_head = proposal;
    }
    replica->queue_tail = proposal;
    replica->queue_entries++;
    replica->queue_bytes += (int64_t)proposal->body.len_bytes;
    if (replica->log_waits && kt_replica_batch_is_due(replica)) {
        kt_cond_signal(&replica->log_cond);
    }
}

static void withdraw(struct kt_replica *replica, struct proposal *proposal)
{
    struct proposal **at = &replica->queue_head, *before = NULL;
    while (*at != proposal) {
        before = *at;
        at = &(*at)->next;
    }
    *at = proposal->next;
    if (replica->queue_tail == proposal) {
        replica->queue_tail = before;
    }
    replica->queue_entries--;
    replica->queue_bytes -= (int64_t)proposal->body.len_bytes;
    kt_proposal_unref(proposal);
}

/* Nobody has answered in time: how far did it come? */
static enum kt_status give_up(struct kt_replica *replica, struct proposal *proposal,
                              struct kt_error *err)
{
    enum kt_status status = KT_OK;
    kt_mutex_lock(&replica->mutex);
    kt_mutex_lock(&proposal->mutex);
    bool done = proposal->done;
    kt_mutex_unlock(&proposal->mutex);
    if (!done && proposal->numbered) {
        status = kt_fail(err, KT_OUTCOME_UNKNOWN,
                         "the write has a number but was not committed in time");
    } else if (!done) {
        withdraw(replica, proposal);
        status = kt_fail(err, KT_UNAVAILABLE, "the write waited too long for its turn");
    }
    kt_mutex_unlock(&replica->mutex);
    return status;
}

static enum kt_status await(struct kt_replica *replica, struct proposal *proposal,
                            int64_t deadline_mono_ms, struct kt_submit_result *ret_result,
                            struct kt_error *err)
{
    kt_mutex_lock(&proposal->mutex);
    while (!proposal->done && kt_cond_wait(&proposal->cond, &proposal->mutex, deadline_mono_ms)) {
    }
    bool done = proposal->done;
    kt_mutex_unlock(&proposal->mutex);
    enum kt_status status = done ? KT_OK : give_up(replica, proposal, err);
    if (status != KT_OK) {
        return status;
    }
    if (proposal->status != KT_OK) {
        if (err) {
            *err = proposal->error;
        }
        return proposal->status;
    }
    *ret_result = proposal->result;
    return KT_OK;
}

/* A repetition needs no entry of its own. Only on the leader: elsewhere the client is sent on. */
static enum kt_status find_done(struct kt_replica *replica, struct kt_str key, struct kt_str body,
                                struct kt_submit_result *ret_result, struct kt_error *err)
{
    struct kt_apply_result *apply = &ret_result->apply;
    enum kt_status status =
        kt_store_find_request(replica->store, key, body, kt_now_wall_ms(), apply, err);
    if (status == KT_IDEMPOTENCY_MISMATCH) {
        memset(apply, 0, sizeof(*apply));
        apply->status = status;
        kt_str_copy(apply->field, sizeof(apply->field), kt_str(err->field));
        kt_str_copy(apply->message, sizeof(apply->message), kt_str(err->message));
        status = KT_OK;
    }
    ret_result->revision = apply->revision;
    return status;
}

enum kt_status kt_replica_submit(struct kt_replica *replica, struct kt_str key, struct kt_str body,
                                 int64_t deadline_mono_ms, struct kt_submit_result *ret_result,
                                 struct kt_error *err)
{
    if ((int64_t)body.len > KT_REPLICA_ENTRY_BYTES_MAX) {
        return kt_fail(err, KT_TOO_LARGE,
                       "the write is a change of %zu bytes, at most %lld can be replicated as one",
                       body.len, (long long)KT_REPLICA_ENTRY_BYTES_MAX);
    }
    /* A look-up that fails is no fault of the write: apply decides all the same. */
    struct kt_replica_brief brief;
    struct kt_error unwanted = KT_ERROR_INIT;
    kt_replica_brief(replica, &brief);
    if (key.len > 0 && brief.is_leader &&
        find_done(replica, key, body, ret_result, &unwanted) == KT_OK) {
        return KT_OK;
    }
    struct proposal *proposal = make_proposal(key, body);
    if (!proposal) {
        return kt_fail(err, KT_UNAVAILABLE, "out of memory for a write of %zu bytes", body.len);
    }
    kt_mutex_lock(&replica->mutex);
    enum kt_status status = may_submit(replica, body.len, err);
    if (status == KT_OK) {
        enqueue(replica, proposal);
    }
    kt_mutex_unlock(&replica->mutex);
    if (status == KT_OK) {
        status = await(replica, proposal, deadline_mono_ms, ret_result, err);
    }
    kt_proposal_unref(proposal);
    return status;
}

/* --- hold --- */

/* Where the leader's clock stands now, as far as this node can tell, and never less: a moment that
 * has come must not pass for one that has not. The three readings are cut to whole milliseconds.
 * Mutex held. */
static int64_t leader_now_ms(const struct kt_replica *replica)
{
    return replica->leader_wall_ms + (kt_now_mono_ms() - replica->leader_wall_mono_ms) + 2;
}

/* By the clock of the lease as it is now: a process that stood still may not have stepped yet. */
static bool leads(struct kt_replica *replica)
{
    struct kt_machine_facts facts = kt_replica_facts(replica);
    return kt_machine_serves_leader(&replica->machine, &facts);
}

/* The stamp of the oldest entry that has one and is not applied; 0 = all are. Mutex held. */
static int64_t open_wall_ms(struct kt_replica *replica)
{
    int64_t wall_ms = kt_tail_wall_ms(replica, kt_store_applied(replica->store));
    return wall_ms ? wall_ms : replica->in_flight_wall_ms;
}

static enum kt_status not_held(struct kt_error *err)
{
    return kt_fail_field(err, KT_UNAVAILABLE, "recorded_by",
                         "this node does not hold everything up to recorded_by yet");
}

static enum kt_status hold_as_leader(struct kt_replica *replica, uint64_t seq, int64_t wall_ms,
                                     int64_t deadline_mono_ms, struct kt_error *err)
{
    int64_t now_ms = kt_now_wall_ms();
    int64_t bound_ms = wall_ms < now_ms ? wall_ms : now_ms;
    if (seq == 0 && bound_ms >= replica->stamp_floor_ms) {
        /* What was answered as past stays past: no later stamp may equal the bound either. */
        replica->stamp_floor_ms = bound_ms + 1;
    }
    /* A follower hears of a commit while it is applied here, and may have shown it already. */
    while (seq > kt_store_applied(replica->store) && seq <= replica->log.end_seq &&
           leads(replica) && !replica->fault) {
        if (!kt_cond_wait(&replica->wall_cond, &replica->mutex, deadline_mono_ms)) {
            return not_held(err);
        }
    }
    if (seq > kt_store_applied(replica->store) && leads(replica) && !replica->fault) {
        return kt_fail_field(err, KT_BAD_VALUE, "recorded_by",
                             "recorded_by: revision %llu is beyond the newest, %llu",
                             (unsigned long long)seq,
                             (unsigned long long)kt_store_applied(replica->store));
    }
    /* A batch that was stamped within the bound and is not applied yet belongs to the answer. */
    while (seq == 0 && leads(replica) && open_wall_ms(replica) != 0 &&
           open_wall_ms(replica) <= bound_ms) {
        if (!kt_cond_wait(&replica->wall_cond, &replica->mutex, deadline_mono_ms)) {
            return not_held(err);
        }
    }
    /* A batch that failed on the way may be in the log all the same, and be applied later. */
    return leads(replica) && !replica->fault ? KT_OK : not_held(err);
}

/* Waits for what the answers of the leader show. */
static enum kt_status hold_as_follower(struct kt_replica *replica, uint64_t seq, int64_t wall_ms,
                                       int64_t deadline_mono_ms, struct kt_error *err)
{
    uint64_t answers = replica->answers_taken;
    bool told = replica->leader_wall_mono_ms != 0;
    /* A moment that has not come yet is held as soon as the present is. */
    int64_t now_ms = told ? leader_now_ms(replica) : 0;
    int64_t want_ms = told && wall_ms > now_ms ? now_ms : wall_ms;
    for (;;) {
        if (seq ? kt_store_applied(replica->store) >= seq
                : told && replica->held_wall_ms >= want_ms) {
            return KT_OK;
        }
        /* Two answers on, the newer of them was asked for after this question came. A new leader
         * does not know at first what is committed: what the own log has may well be. */
        if (seq && replica->answers_taken >= answers + 2 && replica->leader_commit < seq &&
            replica->log.end_seq < seq) {
            return kt_fail_field(err, KT_BAD_VALUE, "recorded_by",
                                 "recorded_by: revision %llu is beyond the newest, %llu",
                                 (unsigned long long)seq,
                                 (unsigned long long)replica->leader_commit);
        }
        if (replica->log_stop ||
            !kt_cond_wait(&replica->wall_cond, &replica->mutex, deadline_mono_ms)) {
            return not_held(err);
        }
        if (leads(replica)) {
            return hold_as_leader(replica, seq, wall_ms, deadline_mono_ms, err);
        }
        if (!told && replica->leader_wall_mono_ms != 0) {
            told = true;
            now_ms = leader_now_ms(replica);
            want_ms = wall_ms > now_ms ? now_ms : wall_ms;
        }
    }
}

enum kt_status kt_replica_hold(struct kt_replica *replica, uint64_t seq, int64_t wall_ms,
                               int64_t deadline_mono_ms, struct kt_error *err)
{
    kt_mutex_lock(&replica->mutex);
    enum kt_status status = leads(replica)
                                ? hold_as_leader(replica, seq, wall_ms, deadline_mono_ms, err)
                                : hold_as_follower(replica, seq, wall_ms, deadline_mono_ms, err);
    kt_mutex_unlock(&replica->mutex);
    return status;
}

/* --- status --- */

void kt_replica_brief(struct kt_replica *replica, struct kt_replica_brief *ret_brief)
{
    /* Relaxed: see replica_impl.h. */
    int64_t whole = atomic_load_explicit(&replica->whole_mono_ms, memory_order_relaxed);
    ret_brief->revision = kt_store_applied(replica->store);
    ret_brief->epoch = atomic_load_explicit(&replica->epoch, memory_order_relaxed);
    ret_brief->is_leader = atomic_load_explicit(&replica->is_leader, memory_order_relaxed);
    int64_t since = whole ? whole : replica->started_mono_ms;
    ret_brief->lag_ms = ret_brief->is_leader ? 0 : kt_now_mono_ms() - since;
}

/* Mutex held. */
static void copy_peers(const struct kt_replica *replica, struct kt_replica_status *ret_status)
{
    const struct kt_machine *machine = &replica->machine;
    int64_t now_ms = kt_now_mono_ms();
    for (size_t i = 0; i < machine->peer_count; i++) {
        const struct kt_machine_peer *peer = &machine->peers[i];
        memcpy(ret_status->peers[i].id, peer->id, sizeof(ret_status->peers[i].id));
        ret_status->peers[i].after = peer->acked;
        ret_status->peers[i].seen_ago_ms = now_ms - peer->heard_ms;
        ret_status->peers[i].lag_ms =
            peer->has_acked && peer->acked >= replica->log.end_seq ? 0 : now_ms - peer->level_ms;
        ret_status->peers[i].in_sync = kt_cluster_config_in_sync(&machine->disk.kept, peer->id);
        ret_status->peers[i].candidate = peer->candidate;
        for (size_t j = 0; j < replica->clock_count; j++) {
            if (strcmp(replica->clocks[j].id, peer->id) == 0) {
                ret_status->peers[i].has_clock = true;
                ret_status->peers[i].clock_skew_ms = replica->clocks[j].clock_skew_ms;
            }
        }
    }
    ret_status->peer_count = machine->role == KT_M_LEADS ? machine->peer_count : 0;
}

/* Mutex held. */
static void copy_machine(const struct kt_replica *replica, struct kt_replica_status *ret_status)
{
    const struct kt_machine *machine = &replica->machine;
    const struct kt_cluster_config *kept = &machine->disk.kept;
    bool is_leader = machine->role == KT_M_LEADS;
    memcpy(ret_status->node_id, machine->options.id, sizeof(ret_status->node_id));
    memcpy(ret_status->cluster_id, machine->disk.cluster, sizeof(ret_status->cluster_id));
    ret_status->role = machine->role;
    /* A step-down or another leader does not end it: reads go on, however the cluster is. */
    ret_status->ready = replica->was_ready && machine->role != KT_M_ENDED;
    if (is_leader || knows_leader(replica)) {
        kt_str_copy(ret_status->leader_id, sizeof(ret_status->leader_id),
                    kt_str(is_leader ? machine->options.id : machine->leader_id));
        kt_str_copy(ret_status->leader_addr, sizeof(ret_status->leader_addr),
                    kt_str(is_leader ? machine->options.addr : machine->leader_addr));
    }
    memcpy(ret_status->waiting_for, machine->waiting_for, sizeof(ret_status->waiting_for));
    memcpy(ret_status->stopped_why, machine->ended_why, sizeof(ret_status->stopped_why));
    ret_status->commit_seq = machine->commit_seq;
    ret_status->in_sync = kt_cluster_config_in_sync(kept, machine->options.id);
    ret_status->min_in_sync = kept->min_in_sync;
    ret_status->in_sync_count = kept->in_sync_count;
    ret_status->short_of_members = machine->short_of_members;
}

void kt_replica_status(struct kt_replica *replica, struct kt_replica_status *ret_status)
{
    kt_mutex_lock(&replica->mutex);
    *ret_status = replica->counters;
    copy_machine(replica, ret_status);
    ret_status->end_seq = replica->log.end_seq;
    ret_status->log_first_seq = replica->log.first_seq;
    ret_status->queue_entries = replica->queue_entries;
    ret_status->queue_bytes = (uint64_t)replica->queue_bytes;
    copy_peers(replica, ret_status);
    kt_mutex_unlock(&replica->mutex);
    kt_replica_brief(replica, &ret_status->brief);
}

struct kt_coord_view *kt_replica_view(struct kt_replica *replica)
{
    return kt_coord_view(replica->coord);
}

enum kt_status kt_replica_serves(struct kt_replica *replica, bool linearizable,
                                 struct kt_error *err)
{
    kt_mutex_lock(&replica->mutex);
    struct kt_machine_facts facts = kt_replica_facts(replica);
    bool serves = linearizable ? kt_machine_serves_linearizable(&replica->machine, &facts)
                               : kt_machine_serves_leader(&replica->machine, &facts);
    enum kt_status status = KT_OK;
    if (!serves && replica->machine.role == KT_M_LEADS &&
        kt_machine_serves_leader(&replica->machine, &facts)) {
        status = kt_fail(err, KT_UNAVAILABLE,
                         "not every member in sync has promised this leader to wait for it");
    } else if (!serves) {
        status = refuse_by_role(replica, err);
    }
    kt_mutex_unlock(&replica->mutex);
    return status;
}

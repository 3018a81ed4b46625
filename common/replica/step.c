/* SPDX-License-Identifier: MIT */
/* Stepping the machine: facts are gathered, its actions carried out in their order. What takes long
 * is handed to the thread that does such things; only KEEP is done at once, with the mutex given up
 * and other steps held off, because nothing that follows may happen before it is on disk.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "replica/replica_impl.h"

#include <stdio.h>
#include <string.h>

/* A configuration that the disk did not take is tried again so often. */
#define KEEP_AGAIN_MS 500

/* --- facts --- */

struct kt_machine_facts kt_replica_facts(struct kt_replica *replica)
{
    struct kt_machine_facts facts;
    memset(&facts, 0, sizeof(facts));
    replica->log.applied_seq = kt_store_applied(replica->store);
    facts.now_ms = kt_now_mono_ms();
    facts.view = replica->view;
    /* Of the lease under which the view's keys are mine, and no later one. */
    facts.lease_end_ms = kt_coord_lease_end_mono_ms(replica->coord, replica->view->own_lease);
    facts.log = &replica->log;
    facts.receiving = atomic_load_explicit(&replica->receiving, memory_order_relaxed) ||
                      facts.now_ms < replica->patient_until_mono_ms;
    facts.batch_comes = replica->queue_head &&
                        replica->numbered_bytes <= replica->options.queue_max_bytes &&
                        kt_machine_may_write(&replica->machine, &facts) == KT_OK;
    return facts;
}

void kt_replica_put_vector(struct kt_replica *replica, struct kt_epoch *vector, size_t count)
{
    kt_free(replica->vector);
    replica->vector = vector;
    replica->log.vector = vector;
    replica->log.vector_count = count;
}

void kt_replica_cut_vector(struct kt_replica *replica, uint64_t end_seq)
{
    struct kt_machine_log *log = &replica->log;
    while (log->vector_count > 0 && log->vector[log->vector_count - 1].first_seq > end_seq) {
        log->vector_count--;
    }
}

/* Whom it follows, when that has changed. */
static void note_leader(struct kt_replica *replica)
{
    const struct kt_machine *machine = &replica->machine;
    if (replica->followed_epoch == machine->leader_epoch &&
        strcmp(replica->followed, machine->leader_addr) == 0 && machine->leader_id[0]) {
        return;
    }
    if (!machine->leader_id[0]) {
        replica->followed[0] = '\0';
        return;
    }
    replica->followed_epoch = machine->leader_epoch;
    kt_str_copy(replica->followed, sizeof(replica->followed), kt_str(machine->leader_addr));
    replica->was_up = false;
    replica->failing_since_mono_ms = 0;
    replica->failing_said = false;
    replica->fetch_timeouts = 0;
    replica->patient_until_mono_ms = 0;
    replica->level.set = replica->next_level.set = false;
    kt_cond_broadcast(&replica->changed_cond);
    kt_log(INFO, "replica", "following", "leader=%s id=%s epoch=%llu after=%llu",
           machine->leader_addr, machine->leader_id, (unsigned long long)machine->leader_epoch,
           (unsigned long long)replica->log.end_seq);
}

void kt_replica_publish(struct kt_replica *replica)
{
    note_leader(replica);
    const struct kt_machine *machine = &replica->machine;
    struct kt_machine_facts facts = kt_replica_facts(replica);
    bool leads = machine->role == KT_M_LEADS;
    bool serves = leads && kt_machine_serves_leader(machine, &facts);
    uint64_t epoch = !leads && machine->leader_id[0] ? machine->leader_epoch : machine->disk.epoch;
    if (serves && !replica->started_said) {
        replica->started_said = true;
        replica->was_ready = true;
        kt_cond_broadcast(&replica->wall_cond);
        kt_cond_broadcast(&replica->changed_cond);
        kt_log(INFO, "replica", "leading", "epoch=%llu revision=%llu in_sync=%zu",
               (unsigned long long)machine->disk.epoch, (unsigned long long)machine->commit_seq,
               machine->disk.kept.in_sync_count);
        kt_replica_note(replica, replica->addr, "leading", "epoch %llu from revision %llu on",
                        (unsigned long long)machine->disk.epoch,
                        (unsigned long long)machine->commit_seq);
    }
    /* Relaxed: each of these is a value of its own; readers combine them for headers only. */
    atomic_store_explicit(&replica->epoch, epoch, memory_order_relaxed);
    atomic_store_explicit(&replica->is_leader, serves, memory_order_relaxed);
}

void kt_replica_note(struct kt_replica *replica, const char *node, const char *what,
                     const char *fmt, ...)
{
    va_list args;
    struct kt_replica_event *event =
        &replica->events[replica->event_count++ % KT_REPLICA_EVENTS_MAX];
    event->wall_ms = kt_now_wall_ms();
    kt_str_copy(event->node, sizeof(event->node), kt_str(node));
    kt_str_copy(event->what, sizeof(event->what), kt_str(what));
    va_start(args, fmt);
    vsnprintf(event->why, sizeof(event->why), fmt, args);
    va_end(args);
}

/* --- keeping --- */

static enum kt_status keep_durably(struct kt_replica *replica, const struct kt_machine_disk *disk,
                                   struct kt_error *err)
{
    struct kt_store_kept kept;
    struct kt_buf config, growth;
    memset(&kept, 0, sizeof(kept));
    kt_buf_init(&config, 0);
    kt_buf_init(&growth, 0);
    if (disk->kept.version > 0) {
        kt_cluster_config_format(&disk->kept, &config);
    }
    for (size_t i = 0; i < disk->growth.count; i++) {
        kt_buf_printf(&growth, "%s%s", i ? "," : "", disk->growth.ids[i]);
    }
    memcpy(kept.cluster_id, disk->cluster, sizeof(kept.cluster_id));
    kept.standalone = disk->standalone;
    kept.config_json = kt_buf_str(&config);
    kept.growth = kt_buf_str(&growth);
    kept.epoch = disk->epoch;
    kept.half_copy = disk->half_copy;
    kept.bound_by_nothing = disk->bound_by_nothing;
    enum kt_status status = kt_buf_status(&config);
    status = status == KT_OK ? kt_buf_status(&growth) : status;
    if (status == KT_OK) {
        status = kt_store_keep(replica->store, &kept, err);
    } else {
        status = kt_fail(err, status, "no memory for the configuration");
    }
    kt_buf_done(&growth);
    kt_buf_done(&config);
    return status;
}

static void keep(struct kt_replica *replica)
{
    struct kt_error err = KT_ERROR_INIT;
    uint32_t ttl_s = replica->machine.disk.kept.ttl_s;
    kt_mutex_unlock(&replica->mutex); /* `stepping` keeps the machine as it is */
    enum kt_status status = keep_durably(replica, &replica->machine.disk, &err);
    if (status == KT_OK && ttl_s != 0 && !replica->options.standalone) {
        kt_coord_set_ttl(replica->coord, ttl_s);
    }
    kt_mutex_lock(&replica->mutex);
    if (status == KT_OK) {
        if (ttl_s != 0 && !replica->options.standalone && replica->options.ttl_s != ttl_s) {
            kt_log(WARN, "replica", "ttl_of_cluster", "own=%lld cluster=%u used=%u",
                   (long long)replica->options.ttl_s, ttl_s, ttl_s);
            replica->options.ttl_s = ttl_s;
        }
        if (replica->keep_failed) {
            kt_log(INFO, "replica", "kept_again", "epoch=%llu version=%llu",
                   (unsigned long long)replica->machine.disk.epoch,
                   (unsigned long long)replica->machine.disk.kept.version);
        }
    } else {
        if (!replica->keep_failed) {
            kt_replica_fault(replica, "the cluster configuration could not be kept on disk", &err);
        }
        replica->keep_again_mono_ms = kt_now_mono_ms() + KEEP_AGAIN_MS;
        snprintf(replica->machine.waiting_for, sizeof(replica->machine.waiting_for),
                 "its disk: %.180s", replica->fault_why);
    }
    replica->keep_failed = status != KT_OK;
}

void kt_replica_fault(struct kt_replica *replica, const char *what, const struct kt_error *err)
{
    struct kt_error full = *err;
    kt_wrap(&full, "%s", what);
    kt_str_copy(replica->fault_why, sizeof(replica->fault_why), kt_str(full.message));
    replica->fault = true;
    if (strcmp(replica->fault_last, replica->fault_why) != 0) {
        memcpy(replica->fault_last, replica->fault_why, sizeof(replica->fault_last));
        kt_log(ERROR, "replica", "fault", "why=\"%s\"", replica->fault_why);
        kt_replica_note(replica, replica->addr, "fault", "%s", replica->fault_why);
    }
    kt_cond_signal(&replica->replica_cond);
}

/* --- actions for the etcd thread --- */

static bool is_same_config(const struct kt_coord_view *a, const struct kt_coord_view *b)
{
    return a->config.present == b->config.present &&
           (!a->config.present || (a->config.mod_revision == b->config.mod_revision &&
                                   strcmp(a->config.text, b->config.text) == 0));
}

/* What the log thread has not sent yet is not sent any more, and a call under way ends. */
static void drop_follow(struct kt_replica *replica)
{
    replica->orders.follow = FOLLOW_NOTHING;
    replica->orders.number++;
    kt_http_client_cancel(replica->client);
}

static void call_txn(struct kt_replica *replica)
{
    const struct kt_machine_txn *txn = &replica->machine.txn;
    struct kt_coord_view *before = replica->calls.txn_view;
    bool is_new = strcmp(replica->calls.txn_nonce, txn->config.nonce) != 0;
    /* Sent again it compares with the configuration with which it compared first. The leader key is
     * taken as it is now: etcd cannot be asked for "absent or mine", and one that was mine at first
     * and is gone would be compared with for ever. */
    if (is_new || is_same_config(before, replica->view)) {
        kt_str_copy(replica->calls.txn_nonce, sizeof(replica->calls.txn_nonce),
                    kt_str(txn->config.nonce));
        kt_coord_view_unref(&replica->calls.txn_view);
        replica->calls.txn_view = kt_coord_view_ref(replica->view);
    }
    if (txn->is_campaign) {
        drop_follow(replica); /* rule E3 */
        /* It would delete the key that is won. */
        replica->calls.remove_leader = false;
    }
    replica->calls.config = txn->config;
    replica->calls.is_campaign = txn->is_campaign;
    replica->calls.txn = true;
    kt_cond_signal(&replica->etcd_cond);
}

static void call_remove_leader(struct kt_replica *replica)
{
    kt_coord_view_unref(&replica->calls.remove_view);
    replica->calls.remove_view = kt_coord_view_ref(replica->view);
    replica->calls.remove_leader = true;
    kt_cond_signal(&replica->etcd_cond);
}

static void call_campaign_now(struct kt_replica *replica, const struct kt_m_action *action)
{
    const struct kt_member *member =
        kt_cluster_config_member(&replica->machine.disk.kept, action->to);
    if (!member) {
        return;
    }
    kt_str_copy(replica->calls.to, sizeof(replica->calls.to), kt_str(action->to));
    kt_str_copy(replica->calls.to_addr, sizeof(replica->calls.to_addr), kt_str(member->addr));
    replica->calls.to_epoch = action->epoch;
    replica->calls.campaign_now = true;
    kt_cond_signal(&replica->etcd_cond);
}

/* --- actions for the log thread --- */

static void order_lead(struct kt_replica *replica)
{
    const struct kt_machine *machine = &replica->machine;
    replica->orders.lead = true;
    replica->orders.lead_epoch = machine->disk.epoch;
    memcpy(replica->orders.epoch_id, machine->disk.kept.epoch_id, sizeof(replica->orders.epoch_id));
    drop_follow(replica);
    replica->started_said = false;
    replica->counters.elections_won++;
    replica->clock_count = replica->released.count = 0;
    kt_cond_signal(&replica->log_cond);
    kt_log(INFO, "replica", "won", "epoch=%llu epoch_id=%s cluster=%s log_end=%llu",
           (unsigned long long)machine->disk.epoch, machine->disk.kept.epoch_id,
           machine->disk.cluster, (unsigned long long)replica->log.end_seq);
    kt_replica_note(replica, replica->addr, "won", "epoch %llu",
                    (unsigned long long)machine->disk.epoch);
}

static void order_follow(struct kt_replica *replica, const struct kt_m_action *action)
{
    struct kt_epoch *vector = NULL;
    size_t count = action->fetch.vector_count;
    if (count > 0) {
        vector = kt_calloc(count, sizeof(*vector));
        if (!vector) {
            return; /* the machine asks again when the fetch's time is over */
        }
        memcpy(vector, action->fetch.vector, count * sizeof(*vector));
    }
    kt_free(replica->orders.vector);
    replica->orders.vector = vector;
    replica->orders.fetch = *action;
    replica->orders.fetch.fetch.vector = vector;
    replica->orders.follow = action->kind == KT_M_FETCH ? FOLLOW_FETCH : FOLLOW_ASK_COPY;
    replica->orders.number++;
    kt_http_client_cancel(replica->client);
    kt_cond_signal(&replica->log_cond);
}

static void order_step_down(struct kt_replica *replica, const char *why)
{
    replica->orders.lead = false;
    replica->counters.step_downs++;
    kt_replica_publish(replica); /* at once: something may have to be kept first */
    kt_replica_refuse_queue(replica, KT_UNAVAILABLE, "this node stepped down: nothing was done");
    kt_tail_unknown(replica, "this node stepped down: a later leader may still commit the write");
    kt_cond_broadcast(&replica->wall_cond);
    kt_cond_broadcast(&replica->changed_cond);
    /* On purpose is news; anything else has to be looked at. */
    if (replica->stopping || replica->machine.stopping || replica->closing) {
        kt_log(INFO, "replica", "stepped_down", "epoch=%llu why=\"%s\"",
               (unsigned long long)replica->machine.disk.epoch, why);
    } else {
        kt_log(WARN, "replica", "stepped_down", "epoch=%llu why=\"%s\"",
               (unsigned long long)replica->machine.disk.epoch, why);
    }
    kt_replica_note(replica, replica->addr, "stepped_down", "epoch %llu: %s",
                    (unsigned long long)replica->machine.disk.epoch, why);
}

/* --- answers to fetches --- */

/* Every stamp up to this one is at or below the commit position told with it, which the same step
 * may have moved on since; 0 = nothing can be said yet. */
static int64_t told_wall_ms(struct kt_replica *replica, uint64_t commit_seq)
{
    int64_t now_ms = kt_now_wall_ms();
    if (commit_seq < replica->machine.epoch_start_seq) {
        return 0;
    }
    int64_t open_ms = kt_tail_wall_ms(replica, commit_seq);
    if (!open_ms) {
        open_ms = replica->in_flight_wall_ms;
    }
    if (open_ms) {
        return open_ms - 1;
    }
    /* Later stamps must be greater than what is told as past here. */
    if (now_ms > replica->stamp_floor_ms) {
        replica->stamp_floor_ms = now_ms;
    }
    return replica->stamp_floor_ms - 1;
}

static struct held_fetch *take_held(struct kt_replica *replica, const char *node,
                                    const char *session, uint64_t request)
{
    for (struct held_fetch **at = &replica->held; *at; at = &(*at)->next) {
        struct held_fetch *held = *at;
        if (held->request->request == request && strcmp(held->request->node, node) == 0 &&
            strcmp(held->request->session, session) == 0) {
            *at = held->next;
            return held;
        }
    }
    return NULL;
}

void kt_replica_note_released(struct kt_replica *replica, const char *node)
{
    struct kt_id_set *set = &replica->released;
    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(set->ids[i], node) == 0) {
            return;
        }
    }
    if (set->count < KT_MEMBERS_MAX) {
        kt_str_copy(set->ids[set->count++], KT_ID_LEN + 1, kt_str(node));
        kt_cond_broadcast(&replica->changed_cond);
    }
}

static void answer(struct kt_replica *replica, const struct kt_m_action *action)
{
    const struct kt_m_answer *answer = &action->answer;
    struct held_fetch *held = take_held(replica, action->to, answer->session, answer->request);
    if (!held) {
        return; /* it has gone */
    }
    held->answer = *answer;
    held->answer.vector = NULL;
    held->answer.vector_count = 0;
    if (answer->vector_count > 0) {
        held->vector = kt_calloc(answer->vector_count, sizeof(*held->vector));
        if (held->vector) {
            memcpy(held->vector, answer->vector, answer->vector_count * sizeof(*held->vector));
            held->answer.vector_count = answer->vector_count;
        } else {
            /* Without the vector it would say that the two have nothing in common. */
            held->answer.kind = KT_M_ANSWER_REFUSED;
        }
    }
    held->now_wall_ms = told_wall_ms(replica, answer->commit);
    held->clock_wall_ms = kt_now_wall_ms(); /* not before what was told */
    held->done = true;
    if (answer->kind == KT_M_ANSWER_RELEASED) {
        kt_replica_note_released(replica, action->to);
    }
    kt_cond_signal(&held->answered);
}

static void give_copy(struct kt_replica *replica, const struct kt_m_action *action)
{
    struct held_fetch *held =
        take_held(replica, action->to, action->fetch.session, action->request);
    if (held) {
        held->gives_copy = true;
        held->done = true;
        kt_cond_signal(&held->answered);
    }
}

/* --- carrying out --- */

static void commit(struct kt_replica *replica, uint64_t seq)
{
    replica->commit_seq = seq > replica->commit_seq ? seq : replica->commit_seq;
    kt_store_log_note_commit(replica->store, seq);
    kt_cond_signal(&replica->apply_cond);
    kt_cond_broadcast(&replica->changed_cond);
    if (replica->log_waits && kt_replica_batch_is_due(replica)) {
        kt_cond_signal(&replica->log_cond);
    }
}

static void stopped(struct kt_replica *replica, const char *why)
{
    replica->orders.lead = false;
    drop_follow(replica);
    kt_cond_broadcast(&replica->wall_cond);
    kt_log(ERROR, "replica", "stopped", "why=\"%s\"", why);
    kt_replica_note(replica, replica->addr, "stopped", "%s", why);
}

static void carry_out(struct kt_replica *replica, const struct kt_m_action *action)
{
    switch (action->kind) {
    case KT_M_KEEP:
        keep(replica);
        break;
    case KT_M_TXN:
        call_txn(replica);
        break;
    case KT_M_DELETE_LEADER:
        call_remove_leader(replica);
        break;
    case KT_M_RENEW_LEASE:
        replica->calls.renew = true;
        kt_cond_signal(&replica->etcd_cond);
        break;
    case KT_M_LEAD:
        order_lead(replica);
        break;
    case KT_M_COMMIT:
        commit(replica, action->seq);
        break;
    case KT_M_STEP_DOWN:
        order_step_down(replica, action->why);
        break;
    case KT_M_FETCH:
    case KT_M_ASK_COPY:
        order_follow(replica, action);
        break;
    case KT_M_ANSWER:
        answer(replica, action);
        break;
    case KT_M_APPEND:
        replica->orders.append = replica->orders.changing = true;
        replica->orders.append_commit = action->seq;
        break;
    case KT_M_CUT:
        replica->orders.cut = replica->orders.changing = true;
        replica->orders.cut_seq = action->seq;
        break;
    case KT_M_SWAP_COPY:
        replica->orders.swap = replica->orders.changing = true;
        break;
    case KT_M_GIVE_COPY:
        give_copy(replica, action);
        break;
    case KT_M_RELEASE:
        break; /* told by the answers to the fetches that are held, and to those that come */
    case KT_M_CAMPAIGN_NOW:
        call_campaign_now(replica, action);
        break;
    case KT_M_WITHDRAW:
        replica->calls.withdraw = true;
        kt_cond_signal(&replica->etcd_cond);
        break;
    case KT_M_DEREGISTER:
        drop_follow(replica);
        replica->calls.deregister = true;
        kt_cond_signal(&replica->etcd_cond);
        break;
    case KT_M_STOPPED:
        stopped(replica, action->why);
        break;
    }
}

/* One step and its actions; `stepping` is set. Once a KEEP has failed nothing is done that may rest
 * on what is not on disk. */
static void run(struct kt_replica *replica, const struct kt_m_event *event)
{
    struct kt_machine_facts facts = kt_replica_facts(replica);
    kt_machine_step(&replica->machine, event, &facts);
    for (size_t i = 0; i < replica->machine.action_count; i++) {
        const struct kt_m_action *action = &replica->machine.actions[i];
        bool ends = action->kind == KT_M_STEP_DOWN || action->kind == KT_M_DELETE_LEADER ||
                    action->kind == KT_M_STOPPED ||
                    (action->kind == KT_M_ANSWER && action->answer.kind == KT_M_ANSWER_RELEASED);
        if (!replica->keep_failed || ends) {
            carry_out(replica, action);
        }
    }
}

static void run_fault(struct kt_replica *replica)
{
    struct kt_m_event event;
    char why[200];
    memcpy(why, replica->fault_why, sizeof(why));
    memset(&event, 0, sizeof(event));
    event.kind = KT_M_LOG_FAULT;
    event.why = why;
    replica->fault = false;
    run(replica, &event);
}

static bool may_step(struct kt_replica *replica)
{
    if (replica->keep_failed && kt_now_mono_ms() >= replica->keep_again_mono_ms) {
        keep(replica);
        if (!replica->keep_failed) {
            commit(replica, replica->machine.commit_seq); /* of a step that ended half */
        }
    }
    return !replica->keep_failed;
}

bool kt_replica_await_step_until(struct kt_replica *replica, int64_t deadline_mono_ms)
{
    bool in_time = true;
    while (replica->stepping && in_time) {
        replica->step_waiters++;
        in_time = kt_cond_wait(&replica->step_cond, &replica->mutex, deadline_mono_ms);
        replica->step_waiters--;
    }
    /* Not everyone who waits steps afterwards, and would wake the next. */
    if (replica->step_waiters > 0) {
        kt_cond_signal(&replica->step_cond);
    }
    return !replica->stepping;
}

void kt_replica_await_step(struct kt_replica *replica)
{
    while (!kt_replica_await_step_until(replica, kt_now_mono_ms() + 1000)) {
    }
}

/* What waits to be numbered, and will not be here, is told so at once. */
static void wake_log_to_refuse(struct kt_replica *replica)
{
    if (replica->queue_head && replica->log_waits) {
        struct kt_machine_facts facts = kt_replica_facts(replica);
        if (kt_machine_may_write(&replica->machine, &facts) != KT_OK) {
            kt_cond_signal(&replica->log_cond);
        }
    }
}

void kt_replica_step(struct kt_replica *replica, const struct kt_m_event *event)
{
    kt_replica_await_step(replica);
    replica->stepping = true;
    if (may_step(replica)) {
        run(replica, event);
    }
    /* The machine forgets what it asked the log for: not while that is being done. */
    if (replica->fault && !replica->orders.changing) {
        run_fault(replica);
    }
    kt_replica_publish(replica);
    wake_log_to_refuse(replica);
    replica->stepping = false;
    if (replica->step_waiters > 0) {
        kt_cond_signal(&replica->step_cond);
    }
}

void kt_replica_step_facts(struct kt_replica *replica)
{
    struct kt_m_event event;
    memset(&event, 0, sizeof(event));
    event.kind = KT_M_FACTS;
    kt_replica_step(replica, &event);
}

/* SPDX-License-Identifier: MIT */
/* Every step looks at the newest facts and asks for what they call for; what was asked for and not
 * yet answered stands in `txn` and in the follower's fields, so that a step can be repeated at any
 * time.
 */
#include "replica/machine.h"

#include "replica/machine_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DELETE_AGAIN_MS 200
/* After a fault of the disk, so that a broken one does not end an epoch at every tick. */
#define FAULT_PAUSE_MS 500

struct kt_m_action *kt_m_act(struct kt_machine *machine, enum kt_m_action_kind kind)
{
    KT_ASSERT(machine->action_count < KT_M_ACTIONS_MAX);
    struct kt_m_action *action = &machine->actions[machine->action_count++];
    memset(action, 0, sizeof(*action));
    action->kind = kind;
    action->epoch = machine->disk.epoch;
    return action;
}

void kt_m_set(char *dest, size_t size, const char *text)
{
    kt_str_copy(dest, size, kt_str(text));
}

void kt_m_wait_for(struct kt_machine *machine, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(machine->waiting_for, sizeof(machine->waiting_for), fmt, args);
    va_end(args);
}

int64_t kt_m_ttl_ms(const struct kt_machine *machine)
{
    uint32_t ttl_s = machine->disk.kept.ttl_s ? machine->disk.kept.ttl_s : machine->options.ttl_s;
    return (int64_t)ttl_s * 1000;
}

bool kt_m_set_has(const struct kt_id_set *set, const char *id)
{
    for (size_t i = 0; i < set->count; i++) {
        if (kt_m_same(set->ids[i], id)) {
            return true;
        }
    }
    return false;
}

const struct kt_service *kt_m_service_of(const struct kt_machine *machine, const char *id)
{
    return kt_coord_view_node(machine->facts.view, id);
}

const struct kt_service *kt_m_own_entry(const struct kt_machine *machine)
{
    const struct kt_coord_view *view = machine->facts.view;
    for (size_t i = 0; i < view->service_count && view->own_key_present; i++) {
        if (view->services[i].role != KT_ROLE_GATEWAY &&
            strcmp(view->services[i].addr, machine->options.addr) == 0) {
            return &view->services[i];
        }
    }
    return NULL;
}

bool kt_m_is_newer(uint64_t epoch_a, uint64_t version_a, uint64_t epoch_b, uint64_t version_b)
{
    return epoch_a > epoch_b || (epoch_a == epoch_b && version_a > version_b);
}

uint64_t kt_m_end_epoch(const struct kt_machine_log *log)
{
    const struct kt_epoch *at = kt_epochs_at(log->vector, log->vector_count, log->end_seq);
    return at ? at->epoch : 0;
}

bool kt_m_config_is_kept(const struct kt_machine *machine)
{
    const struct kt_coord_view *view = machine->facts.view;
    return view->config.present && view->config.valid &&
           kt_m_same(view->config.value.nonce, machine->disk.kept.nonce);
}

void kt_machine_init(struct kt_machine *machine, const struct kt_machine_options *options,
                     const struct kt_machine_disk *disk, uint64_t commit_seq, int64_t now_ms)
{
    memset(machine, 0, sizeof(*machine));
    machine->options = *options;
    machine->disk = *disk;
    if (KT_PLANTED(own_epoch_forgotten)) {
        machine->disk.epoch = machine->disk.kept.epoch = machine->disk.kept.version = 0;
    }
    machine->commit_seq = commit_seq;
    machine->over_epoch = disk->epoch;
    machine->quiet_since_ms = now_ms;
    machine->stepped_ms = now_ms;
    /* Rules P1 and P4: what an earlier process promised, it promised to an epoch up to ours. Who
     * keeps no configuration has followed nobody. */
    machine->promise_epoch = disk->epoch;
    if (!disk->bound_by_nothing && disk->kept.version > 0 && !options->standalone &&
        !KT_PLANTED(promise_forgotten_at_restart)) {
        machine->promise_until_ms = now_ms + kt_m_ttl_ms(machine);
    }
    machine->reset_bound = disk->bound_by_nothing;
    machine->disk.bound_by_nothing = false;
    kt_m_wait_for(machine, "the first list from etcd");
}

/* --- ending and stepping down --- */

void kt_m_delete_leader(struct kt_machine *machine)
{
    if (machine->facts.now_ms >= machine->delete_after_ms) {
        machine->delete_after_ms = machine->facts.now_ms + DELETE_AGAIN_MS;
        kt_m_act(machine, KT_M_DELETE_LEADER);
    }
}

/* Rule H2: with `to` only that node learns at once that the epoch is over. */
void kt_m_hand_over(struct kt_machine *machine, const char *to, const char *why)
{
    machine->over_epoch = machine->disk.epoch;
    machine->role = KT_M_FOLLOWS;
    machine->draining = false;
    machine->short_of_members = false;
    machine->forget[0] = '\0';
    machine->epoch_start_seq = 0;
    machine->quiet_since_ms = machine->facts.now_ms;
    /* The campaign compares the whole configuration: a forgotten update of it can't do harm. */
    machine->txn.active = false;
    kt_m_act(machine, KT_M_STEP_DOWN)->why = why;
    machine->handed_until_ms = to ? machine->facts.now_ms + machine->options.lag_timeout_ms : 0;
    kt_m_release_held(machine, to);
    if (!to) {
        kt_m_act(machine, KT_M_RELEASE);
    }
    kt_m_wait_for(machine, "a new epoch: %s", why);
}

void kt_m_step_down(struct kt_machine *machine, const char *why)
{
    kt_m_hand_over(machine, NULL, why);
}

void kt_m_end(struct kt_machine *machine, const char *why)
{
    if (machine->role == KT_M_ENDED) {
        return;
    }
    kt_m_set(machine->ended_why, sizeof(machine->ended_why), why);
    if (machine->role == KT_M_LEADS) {
        kt_m_step_down(machine, machine->ended_why);
    }
    machine->role = KT_M_ENDED;
    machine->txn.active = false;
    machine->leader_id[0] = '\0';
    kt_m_act(machine, KT_M_STOPPED)->why = machine->ended_why;
}

void kt_m_finish_stop(struct kt_machine *machine)
{
    /* Rule P4: only if no promise runs that its leader may count on. */
    if (machine->facts.now_ms >= machine->promise_until_ms) {
        machine->disk.bound_by_nothing = true;
        kt_m_act(machine, KT_M_KEEP);
    }
    machine->role = KT_M_ENDED;
    machine->txn.active = false;
    machine->leader_id[0] = '\0';
    kt_m_act(machine, KT_M_DEREGISTER);
}

/* --- the kept configuration --- */

static void adopt(struct kt_machine *machine, const struct kt_cluster_config *config)
{
    machine->disk.kept = *config;
    machine->disk.growth.count = 0;
    if (config->epoch > machine->disk.epoch) {
        machine->disk.epoch = config->epoch;
    }
    kt_m_set(machine->disk.cluster, sizeof(machine->disk.cluster), config->cluster);
    machine->disk.standalone = machine->options.standalone;
    kt_m_act(machine, KT_M_KEEP);
}

static void end_in_foreign_cluster(struct kt_machine *machine, const char *cluster)
{
    char why[300];
    if (machine->disk.standalone) {
        snprintf(why, sizeof(why),
                 "this database was written without etcd: it may found a cluster, but the prefix "
                 "in etcd holds cluster %s already: give this node an empty database and import "
                 "what was exported from this one, or set another [etcd] prefix",
                 cluster);
    } else {
        snprintf(why, sizeof(why),
                 "this database belongs to cluster %s, but the prefix in etcd holds cluster %s: "
                 "give this node an empty database, or another [etcd] prefix",
                 machine->disk.cluster, cluster);
    }
    kt_m_end(machine, why);
}

/* Rule C1. */
static void learn_config(struct kt_machine *machine)
{
    const struct kt_coord_view *view = machine->facts.view;
    const struct kt_cluster_config *config = &view->config.value;
    if (!view->config.present || !view->config.valid) {
        return;
    }
    if (machine->disk.cluster[0] && !kt_m_same(machine->disk.cluster, config->cluster)) {
        end_in_foreign_cluster(machine, config->cluster);
        return;
    }
    if (machine->role == KT_M_LEADS && config->epoch > machine->disk.epoch) {
        kt_m_step_down(machine, "another node has won a later epoch");
    }
    /* Two of one epoch number: etcd has lost one of them, the other leads. */
    bool replaced = config->epoch == machine->disk.kept.epoch && view->leader.present &&
                    view->leader.epoch == config->epoch && machine->role == KT_M_FOLLOWS &&
                    !kt_m_same(config->epoch_id, machine->disk.kept.epoch_id);
    if (replaced || kt_m_is_newer(config->epoch, config->version, machine->disk.kept.epoch,
                                  machine->disk.kept.version)) {
        adopt(machine, config);
    }
}

/* --- transactions --- */

void kt_m_send_txn(struct kt_machine *machine, bool is_campaign)
{
    struct kt_machine_txn *txn = &machine->txn;
    const struct kt_coord_view *view = machine->facts.view;
    txn->active = true;
    txn->is_campaign = is_campaign;
    txn->compared.present = view->config.present;
    txn->compared.mod_revision = view->config.mod_revision;
    kt_m_set(txn->compared.nonce, sizeof(txn->compared.nonce),
             view->config.present ? view->config.value.nonce : "");
    txn->resend_ms = machine->facts.now_ms + KT_M_RESEND_MS;
    if (is_campaign) {
        machine->role = KT_M_CAMPAIGNS;
        machine->fetching = false;
    }
    kt_m_act(machine, KT_M_TXN);
}

static void lead(struct kt_machine *machine)
{
    machine->role = KT_M_LEADS;
    machine->win_seen = false;
    machine->won_ms = machine->stepped_ms = machine->facts.now_ms;
    machine->lead_lease = machine->facts.view->own_lease;
    machine->peer_count = 0;
    machine->leader_id[0] = '\0';
    machine->fetching = machine->hurry = false;
    machine->recover_until_ms = 0;
    machine->waiting_for[0] = '\0';
    machine->epoch_start_seq = machine->facts.log->end_seq + 1;
    kt_m_act(machine, KT_M_LEAD);
}

static void settle(struct kt_machine *machine, bool mine)
{
    struct kt_machine_txn *txn = &machine->txn;
    bool was_campaign = txn->is_campaign;
    txn->active = false;
    if (was_campaign) {
        machine->role = KT_M_FOLLOWS;
        machine->fetch_after_ms = machine->facts.now_ms;
    }
    if (!mine) {
        return;
    }
    if (kt_m_is_newer(txn->config.epoch, txn->config.version, machine->disk.kept.epoch,
                      machine->disk.kept.version)) {
        adopt(machine, &txn->config);
    }
    if (!was_campaign) {
        return;
    }
    /* Who was told to stop meanwhile, or whose lease clock has ended, does not lead by what it won:
     * the next view finds the key its own (rule E4). */
    if (!machine->stopping && machine->facts.now_ms < machine->facts.lease_end_ms &&
        kt_m_same(machine->disk.kept.nonce, txn->config.nonce) &&
        machine->disk.epoch == txn->config.epoch) {
        lead(machine);
    } else if (txn->config.epoch > machine->over_epoch) {
        machine->over_epoch = txn->config.epoch;
    }
}

/* Does the config key still have the compared value? */
static bool compared_stands(const struct kt_machine *machine)
{
    const struct kt_machine_txn *txn = &machine->txn;
    const struct kt_coord_view *view = machine->facts.view;
    if (KT_PLANTED(settled_by_revision)) {
        return view->config.present == txn->compared.present &&
               view->config.mod_revision <= txn->compared.mod_revision;
    }
    if (view->config.present != txn->compared.present) {
        return false;
    }
    return !view->config.present || kt_m_same(view->config.value.nonce, txn->compared.nonce);
}

/* Rule C3. */
void kt_m_look_at_txn(struct kt_machine *machine)
{
    struct kt_machine_txn *txn = &machine->txn;
    const struct kt_coord_view *view = machine->facts.view;
    if (!txn->active || !view->complete) {
        return;
    }
    if (!compared_stands(machine)) {
        bool mine = view->config.present && view->config.valid &&
                    kt_m_same(view->config.value.nonce, txn->config.nonce);
        if (KT_PLANTED(nonce_ignored) && view->config.present) {
            mine = txn->config.version == view->config.value.version;
        }
        /* Election and leader key are one txn: without the key the win is over already. */
        if (mine && txn->is_campaign && !view->leader.mine) {
            if (txn->config.epoch > machine->over_epoch) {
                machine->over_epoch = txn->config.epoch;
            }
            mine = false;
        }
        settle(machine, mine);
        return;
    }
    if (machine->facts.now_ms >= txn->resend_ms && !machine->stopping) {
        txn->resend_ms = machine->facts.now_ms + KT_M_RESEND_MS;
        kt_m_act(machine, KT_M_TXN);
    }
}

static void take_outcome(struct kt_machine *machine, enum kt_txn_outcome outcome)
{
    if (!machine->txn.active) {
        return;
    }
    if (outcome == KT_TXN_DONE) {
        settle(machine, true);
    } else if (outcome == KT_TXN_UNKNOWN && KT_PLANTED(timeout_taken_as_won)) {
        settle(machine, true);
    } else if (outcome == KT_TXN_UNKNOWN && KT_PLANTED(timeout_taken_as_lost)) {
        settle(machine, false);
    } else if (KT_PLANTED(settled_by_old_value) && compared_stands(machine)) {
        settle(machine, false);
    }
    /* "Refused" settles nothing: it may be the echo of a second, silent sending. */
}

/* --- the step --- */

static void decide(struct kt_machine *machine)
{
    if (machine->role != KT_M_ENDED) {
        learn_config(machine);
    }
    kt_m_note_quiet(machine);
    if (machine->role == KT_M_ENDED) {
        if (machine->facts.view->leader.mine && !KT_PLANTED(idle_leader_key_kept)) {
            kt_m_delete_leader(machine);
        }
        return;
    }
    if (machine->role != KT_M_LEADS && machine->stopping) {
        kt_m_finish_stop(machine); /* it lost its epoch while it was handing over */
        return;
    }
    if (machine->role != KT_M_LEADS) {
        kt_m_decide_following(machine);
    }
    if (machine->role == KT_M_LEADS) {
        kt_m_decide_leading(machine);
    }
}

static void ask_stop(struct kt_machine *machine, const char *to, bool stop)
{
    if (stop && !machine->stopping) {
        machine->stopping = true;
        kt_m_act(machine, KT_M_WITHDRAW); /* the next leader's in_sync is without it */
    }
    kt_m_set(machine->target, sizeof(machine->target), to ? to : "");
    if (machine->role == KT_M_LEADS) {
        machine->draining = true;
        machine->drain_until_ms = machine->facts.now_ms + machine->options.lag_timeout_ms;
    } else if (stop && machine->role != KT_M_ENDED) {
        kt_m_finish_stop(machine);
    }
}

static void take_event(struct kt_machine *machine, const struct kt_m_event *event)
{
    switch (event->kind) {
    case KT_M_FACTS:
        break;
    case KT_M_TXN_OUTCOME:
        take_outcome(machine, event->outcome);
        break;
    case KT_M_FETCH_CAME:
        kt_m_serve_fetch(machine, event->fetch);
        break;
    case KT_M_COPY_ASKED:
        kt_m_serve_copy(machine, event->fetch);
        break;
    case KT_M_ANSWER_CAME:
        kt_m_take_answer(machine, event->answer);
        break;
    case KT_M_COPY_CAME:
        kt_m_take_copy(machine, event->request, event->epoch);
        break;
    case KT_M_COPIED:
        kt_m_copied(machine);
        break;
    case KT_M_RELEASE_CAME:
        kt_m_take_release(machine, event->epoch);
        break;
    case KT_M_CAMPAIGN_CAME:
        if (event->epoch == machine->leader_epoch) {
            kt_m_take_release(machine, event->epoch);
            machine->hurry = true;
            /* Who handed the lead over a moment ago, or had a fault, is asked for none the less. */
            machine->campaign_after_ms = machine->facts.now_ms;
        }
        break;
    case KT_M_LOG_FAULT:
        machine->campaign_after_ms = machine->facts.now_ms + FAULT_PAUSE_MS;
        machine->appending_to = machine->copy_request = 0;
        machine->fetching = machine->cutting = machine->swapping = false;
        machine->fetch_after_ms = machine->facts.now_ms + FAULT_PAUSE_MS;
        if (machine->role == KT_M_LEADS) {
            kt_m_step_down(machine, event->why);
        }
        break;
    case KT_M_STOP_ASKED:
        ask_stop(machine, event->to, true);
        break;
    case KT_M_HANDOVER_ASKED:
        ask_stop(machine, event->to, false);
        break;
    case KT_M_RECOVER_ASKED:
        machine->recover_until_ms = machine->facts.now_ms + 3 * kt_m_ttl_ms(machine);
        break;
    case KT_M_FORGET_ASKED:
        kt_m_set(machine->forget, sizeof(machine->forget), event->to);
        break;
    }
}

/* The first step, before anything else. After a full copy the log may end in a later epoch than
 * was kept. (With the mark of one, it is a history that was put aside: rule R1.) */
static void begin(struct kt_machine *machine)
{
    uint64_t epoch = kt_m_end_epoch(machine->facts.log);
    bool behind =
        epoch > machine->disk.epoch && !machine->disk.half_copy && !KT_PLANTED(own_epoch_forgotten);
    machine->stepped = true;
    if (behind) {
        machine->disk.epoch = machine->over_epoch = machine->promise_epoch = epoch;
    }
    if (behind || machine->reset_bound) {
        kt_m_act(machine, KT_M_KEEP); /* before the first fetch */
    }
}

void kt_machine_step(struct kt_machine *machine, const struct kt_m_event *event,
                     const struct kt_machine_facts *facts)
{
    machine->facts = *facts;
    machine->action_count = 0;
    if (!machine->stepped) {
        begin(machine);
    }
    if (machine->role != KT_M_ENDED) {
        take_event(machine, event);
    }
    decide(machine);
    if (event->kind == KT_M_FACTS) {
        machine->stepped_ms = facts->now_ms;
    }
}

void kt_machine_service(const struct kt_machine *machine, const struct kt_machine_log *log,
                        struct kt_service *service)
{
    const struct kt_machine_disk *disk = &machine->disk;
    kt_m_set(service->id, sizeof(service->id), machine->options.id);
    kt_m_set(service->cluster, sizeof(service->cluster), disk->cluster);
    kt_m_set(service->addr, sizeof(service->addr), machine->options.addr);
    service->role = machine->role == KT_M_LEADS ? KT_ROLE_LEADER : KT_ROLE_FOLLOWER;
    service->electable = machine->options.electable;
    service->priority = machine->options.priority;
    service->state = machine->ended_why[0]                          ? KT_STATE_DIVERGED
                     : disk->half_copy || machine->swapping         ? KT_STATE_COPYING
                     : log->end_seq == 0 && disk->kept.version == 0 ? KT_STATE_EMPTY
                                                                    : KT_STATE_WHOLE;
    service->kept.version = disk->kept.version;
    service->kept.epoch = disk->kept.epoch;
    memcpy(service->kept.epoch_id, disk->kept.epoch_id, sizeof(service->kept.epoch_id));
    service->kept.in_sync_count = disk->kept.in_sync_count;
    memcpy(service->kept.in_sync, disk->kept.in_sync, sizeof(service->kept.in_sync));
    service->kept.growth_count = disk->growth.count;
    memcpy(service->kept.growth, disk->growth.ids, sizeof(service->kept.growth));
    service->end_epoch = kt_m_end_epoch(log);
    service->end_seq = log->synced_seq;
    service->revision = log->applied_seq;
}

/* SPDX-License-Identifier: MIT */
/* Following: one fetch at a time, each an acknowledgement of what is on disk; what the leader does
 * not have is put aside and cut; a log that is too old is replaced by a copy.
 */
#include "replica/machine_impl.h"

#include <stdio.h>
#include <string.h>

#define RETRY_MS 100
#define TWIN_TTLS 2 /* the entry of an own dead predecessor stays until its lease ends */

static int64_t wait_ms(const struct kt_machine *machine)
{
    int64_t quarter_ttl = kt_m_ttl_ms(machine) / 4;
    int64_t half_lag = machine->options.lag_timeout_ms / 2;
    return quarter_ttl < half_lag ? quarter_ttl : half_lag;
}

/* --- fetching --- */

static void fill_fetch(struct kt_machine *machine, struct kt_m_action *action)
{
    const struct kt_machine_log *log = machine->facts.log;
    struct kt_m_fetch *fetch = &action->fetch;
    kt_m_set(action->addr, sizeof(action->addr), machine->leader_addr);
    kt_m_set(action->to, sizeof(action->to), machine->leader_id);
    kt_m_set(fetch->cluster, sizeof(fetch->cluster), machine->disk.cluster);
    kt_m_set(fetch->node, sizeof(fetch->node), machine->options.id);
    kt_m_set(fetch->session, sizeof(fetch->session), machine->options.session);
    fetch->request = machine->request;
    fetch->took = machine->took;
    fetch->epoch = machine->leader_epoch;
    fetch->after = log->synced_seq;
    const struct kt_epoch *at = kt_epochs_at(log->vector, log->vector_count, log->synced_seq);
    if (at) {
        fetch->after_id = *at;
    }
    fetch->commit = machine->commit_seq;
    fetch->wait_ms = wait_ms(machine);
    fetch->vector = log->vector;
    fetch->vector_count = log->vector_count;
    action->request = machine->request;
    action->epoch = machine->leader_epoch;
}

/* Rule R2: the mark first, then no fetch until the swap. */
static void ask_copy(struct kt_machine *machine)
{
    if (!machine->disk.half_copy) {
        machine->disk.half_copy = true;
        kt_m_act(machine, KT_M_KEEP);
    }
    machine->copy_request = ++machine->request;
    machine->fetching = true;
    machine->fetch_until_ms = machine->facts.now_ms + 4 * machine->options.lag_timeout_ms;
    fill_fetch(machine, kt_m_act(machine, KT_M_ASK_COPY));
}

static void fetch_on(struct kt_machine *machine)
{
    const struct kt_machine_log *log = machine->facts.log;
    int64_t now_ms = machine->facts.now_ms;
    /* Of an older epoch than the kept one nothing is taken any more. */
    bool fetches = machine->role == KT_M_FOLLOWS ||
                   (machine->role == KT_M_CAMPAIGNS && KT_PLANTED(candidate_takes_answers));
    if (!fetches || !machine->leader_id[0] || machine->leader_epoch != machine->disk.epoch ||
        machine->appending_to || machine->cutting || machine->swapping ||
        log->synced_seq != log->end_seq) {
        return;
    }
    /* A large entry, or a copy, on a slow wire: as long as it comes in it is awaited. */
    int64_t lag_ms = machine->options.lag_timeout_ms;
    if (machine->facts.receiving && machine->fetch_until_ms < now_ms + lag_ms) {
        machine->fetch_until_ms = now_ms + lag_ms;
    }
    if ((machine->fetching && now_ms < machine->fetch_until_ms) ||
        now_ms < machine->fetch_after_ms) {
        return;
    }
    if (machine->disk.half_copy) {
        ask_copy(machine);
        if (!KT_PLANTED(fetch_during_copy)) {
            return;
        }
    }
    machine->request++;
    machine->fetching = true;
    machine->fetch_until_ms = now_ms + wait_ms(machine) + lag_ms * 3 / 10;
    fill_fetch(machine, kt_m_act(machine, KT_M_FETCH));
}

/* An append, a cut or a swap that the log now shows. */
static void note_log(struct kt_machine *machine)
{
    const struct kt_machine_log *log = machine->facts.log;
    if (machine->cutting && log->end_seq == machine->appending_to) {
        machine->cutting = false;
        machine->appending_to = 0;
    }
    if (!machine->appending_to || machine->cutting || log->synced_seq < machine->appending_to) {
        return;
    }
    machine->appending_to = 0;
    if (machine->appending_commit > machine->commit_seq) {
        machine->commit_seq = machine->appending_commit;
        kt_m_act(machine, KT_M_COMMIT)->seq = machine->commit_seq;
    }
}

/* --- answers --- */

static void diverge(struct kt_machine *machine, const char *what)
{
    if (machine->options.rejoin) {
        ask_copy(machine);
        return;
    }
    char why[300];
    snprintf(why, sizeof(why),
             "this node's data has diverged from the leader's (%s): start it with -rejoin to take "
             "a full copy, its own file is kept beside it",
             what);
    kt_m_end(machine, why);
}

/* Rule R1. */
static void cut(struct kt_machine *machine, const struct kt_m_answer *answer)
{
    const struct kt_machine_log *log = machine->facts.log;
    uint64_t common = kt_epochs_common(log->vector, log->vector_count, log->end_seq, answer->vector,
                                       answer->vector_count, answer->end_seq);
    if (KT_PLANTED(cut_by_seq_only)) {
        common = log->end_seq < answer->end_seq ? log->end_seq : answer->end_seq;
        common = common > machine->commit_seq ? common : machine->commit_seq;
        common = common < log->end_seq ? common : log->end_seq;
    }
    if (common < machine->commit_seq && !KT_PLANTED(cut_below_commit)) {
        diverge(machine, "it has committed what the leader does not have");
        return;
    }
    if (common >= log->end_seq) {
        machine->fetch_after_ms = machine->facts.now_ms + RETRY_MS;
        return;
    }
    machine->cutting = true;
    machine->appending_to = common;
    if (KT_PLANTED(cut_below_commit) && machine->commit_seq > common) {
        machine->commit_seq = common;
    }
    kt_m_act(machine, KT_M_CUT)->seq = common;
}

static void take_entries(struct kt_machine *machine, const struct kt_m_answer *answer)
{
    const struct kt_machine_log *log = machine->facts.log;
    uint64_t verified = log->synced_seq;
    machine->took = answer->request;
    if (answer->epoch > machine->released_epoch) {
        machine->promise_until_ms = machine->facts.now_ms + kt_m_ttl_ms(machine);
        machine->promise_epoch = answer->epoch;
    }
    machine->eligible_since_ms = 0;
    if (answer->last_seq >= answer->first_seq) {
        if (answer->first_seq != log->synced_seq + 1 ||
            answer->last_epoch > machine->leader_epoch) {
            return;
        }
        verified = answer->last_seq;
    }
    uint64_t commit = answer->commit < verified ? answer->commit : verified;
    if (KT_PLANTED(commit_past_verified)) {
        commit = answer->commit;
    }
    if (verified > log->synced_seq) {
        machine->appending_to = verified;
        machine->appending_commit = commit;
        kt_m_act(machine, KT_M_APPEND)->seq = commit;
    } else if (commit > machine->commit_seq) {
        machine->commit_seq = commit;
        kt_m_act(machine, KT_M_COMMIT)->seq = commit;
    }
}

/* Rules W3 and E3: is it the answer to the newest fetch, and does this node fetch? */
static bool is_awaited(const struct kt_machine *machine, const struct kt_m_answer *answer)
{
    if (KT_PLANTED(candidate_takes_answers) && machine->role == KT_M_CAMPAIGNS) {
        return answer->request == machine->request && answer->epoch == machine->disk.epoch &&
               !machine->appending_to;
    }
    bool newest = answer->request == machine->request || KT_PLANTED(answer_not_tied);
    return machine->role == KT_M_FOLLOWS && (machine->fetching || KT_PLANTED(answer_not_tied)) &&
           !machine->appending_to && !machine->cutting && !machine->swapping && newest &&
           kt_m_same(answer->session, machine->options.session) &&
           machine->leader_epoch == machine->disk.epoch &&
           (answer->epoch == machine->leader_epoch || KT_PLANTED(other_epochs_accepted) ||
            answer->kind == KT_M_ANSWER_REFUSED);
}

void kt_m_take_answer(struct kt_machine *machine, const struct kt_m_answer *answer)
{
    if (!is_awaited(machine, answer)) {
        return;
    }
    machine->fetching = machine->copy_request != 0 && KT_PLANTED(fetch_during_copy);
    switch (answer->kind) {
    case KT_M_ANSWER_ENTRIES:
        if (!machine->copy_request || KT_PLANTED(fetch_during_copy)) {
            take_entries(machine, answer);
        }
        break;
    case KT_M_ANSWER_DIFFERS:
        cut(machine, answer);
        break;
    case KT_M_ANSWER_COPY:
        ask_copy(machine);
        break;
    case KT_M_ANSWER_RELEASED:
        kt_m_take_release(machine, answer->epoch);
        machine->fetch_after_ms = machine->facts.now_ms + RETRY_MS;
        break;
    case KT_M_ANSWER_REFUSED:
        machine->copy_request = 0;
        machine->fetch_after_ms = machine->facts.now_ms + RETRY_MS;
        break;
    }
}

void kt_m_take_copy(struct kt_machine *machine, uint64_t request, uint64_t epoch)
{
    bool awaited = machine->copy_request && request == machine->copy_request &&
                   epoch == machine->leader_epoch && epoch == machine->disk.epoch;
    if (KT_PLANTED(late_copy_accepted)) {
        awaited = true;
    }
    if (machine->role != KT_M_FOLLOWS || machine->swapping || machine->appending_to || !awaited) {
        return;
    }
    machine->copy_request = 0;
    machine->fetching = false;
    machine->swapping = true;
    kt_m_act(machine, KT_M_SWAP_COPY);
}

void kt_m_copied(struct kt_machine *machine)
{
    const struct kt_machine_log *log = machine->facts.log;
    machine->swapping = false;
    machine->disk.half_copy = false;
    machine->commit_seq = log->applied_seq;
    uint64_t epoch = kt_m_end_epoch(log);
    machine->disk.epoch = epoch > machine->disk.epoch ? epoch : machine->disk.epoch;
    kt_m_act(machine, KT_M_KEEP);
}

/* Rule P4. What this node promised to earlier epochs ended with them: who won a later one was in
 * the union of each before it, and bound by nothing. */
void kt_m_take_release(struct kt_machine *machine, uint64_t epoch)
{
    /* An answer that it overtook binds no more. */
    if (epoch > machine->released_epoch) {
        machine->released_epoch = epoch;
    }
    if (epoch >= machine->promise_epoch) {
        machine->promise_until_ms = machine->facts.now_ms;
    }
}

/* --- whom to follow --- */

/* Who has this node's id and comes before it: an entry that etcd has had for longer, or any as long
 * as this node has none. NULL: nobody. */
static const struct kt_service *twin_of(const struct kt_machine *machine)
{
    const struct kt_coord_view *view = machine->facts.view;
    const struct kt_service *own = kt_m_own_entry(machine);
    for (size_t i = 0; i < view->service_count; i++) {
        const struct kt_service *service = &view->services[i];
        if (service->role != KT_ROLE_GATEWAY && service->state != KT_STATE_DIVERGED &&
            kt_m_same(service->id, machine->options.id) &&
            strcmp(service->addr, machine->options.addr) != 0 &&
            (!own || service->create_revision < own->create_revision)) {
            return service;
        }
    }
    return NULL;
}

/* Rule I1. Nothing is decided while a second node with this id is seen that was there first; if it
 * stays, this node ends. */
static bool has_twin(struct kt_machine *machine)
{
    const struct kt_service *twin = twin_of(machine);
    if (!twin || KT_PLANTED(twin_ignored)) {
        machine->twin_since_ms = 0;
        return false;
    }
    /* While etcd is away no entry vanishes, and afterwards each has a ttl again. */
    int64_t now_ms = machine->facts.now_ms;
    bool counts = machine->facts.view->reachable && machine->facts.view->own_key_present;
    machine->twin_since_ms = machine->twin_since_ms && counts ? machine->twin_since_ms : now_ms;
    kt_m_wait_for(machine, "the entry of %s, which has the same node id, to vanish", twin->addr);
    if (now_ms - machine->twin_since_ms > TWIN_TTLS * kt_m_ttl_ms(machine)) {
        char why[300];
        snprintf(
            why, sizeof(why),
            "%.100s has the same node id: its database was copied; give this node an empty one",
            twin->addr);
        kt_m_end(machine, why);
    }
    return true;
}

/* Rule R1: what this node keeps is of a history that the cluster has left. With the mark of a copy
 * it is as good as empty: it acknowledges nothing and can't be elected. */
static void put_aside(struct kt_machine *machine)
{
    machine->disk.kept = machine->facts.view->config.value;
    machine->disk.growth.count = 0;
    machine->disk.epoch = machine->over_epoch = machine->disk.kept.epoch;
    machine->disk.half_copy = true;
    machine->newer_since_ms = 0;
    machine->released_epoch = 0;
    machine->promise_epoch = machine->disk.epoch;
    machine->leader_id[0] = '\0';
    machine->fetching = false;
    kt_m_act(machine, KT_M_KEEP);
}

/* Rule R1: the cluster went on from an older configuration than the one that this node keeps. */
static bool keeps_later_epoch(struct kt_machine *machine)
{
    const struct kt_coord_view *view = machine->facts.view;
    int64_t now_ms = machine->facts.now_ms;
    bool later = view->leader.present && view->config.present && view->config.valid &&
                 view->config.value.epoch == view->leader.epoch &&
                 view->leader.epoch < machine->disk.kept.epoch;
    if (!later) {
        machine->newer_since_ms = 0;
        return false;
    }
    machine->newer_since_ms = machine->newer_since_ms ? machine->newer_since_ms : now_ms;
    kt_m_wait_for(machine, "a leader of a later epoch than %llu",
                  (unsigned long long)view->leader.epoch);
    if (now_ms - machine->newer_since_ms <= 2 * kt_m_ttl_ms(machine)) {
        return true;
    }
    if (machine->options.rejoin) {
        put_aside(machine);
        return false;
    }
    kt_m_end(machine, "this node keeps a later epoch than the cluster's leader has: etcd was set "
                      "back while it was away; start it with -rejoin to take a full copy, its own "
                      "file is kept beside it");
    return true;
}

static void follow(struct kt_machine *machine)
{
    const struct kt_coord_view *view = machine->facts.view;
    if (view->leader.epoch != machine->disk.epoch || !view->config.present || !view->config.valid ||
        view->config.value.epoch != view->leader.epoch) {
        kt_m_wait_for(machine, "a configuration that agrees with the leader key");
        return;
    }
    machine->waiting_for[0] = '\0';
    machine->eligible_since_ms = 0;
    if (view->leader.epoch > machine->released_epoch) {
        machine->hurry = false; /* not the one who handed over: its key is still seen for a while */
    }
    if (kt_m_same(machine->leader_id, view->leader.id) &&
        machine->leader_epoch == view->leader.epoch &&
        strcmp(machine->leader_addr, view->leader.addr) == 0) {
        return;
    }
    kt_m_set(machine->leader_id, sizeof(machine->leader_id), view->leader.id);
    kt_m_set(machine->leader_addr, sizeof(machine->leader_addr), view->leader.addr);
    machine->leader_epoch = view->leader.epoch;
    machine->fetching = false;
    machine->copy_request = 0;
    machine->fetch_after_ms = machine->facts.now_ms;
}

void kt_m_decide_following(struct kt_machine *machine)
{
    const struct kt_coord_view *view = machine->facts.view;
    if (machine->role == KT_M_CAMPAIGNS && !KT_PLANTED(candidate_takes_answers)) {
        kt_m_look_at_txn(machine);
        return;
    }
    note_log(machine);
    if (machine->role == KT_M_CAMPAIGNS) {
        kt_m_look_at_txn(machine);
        fetch_on(machine);
        return;
    }
    if (has_twin(machine) || keeps_later_epoch(machine)) {
        return;
    }
    if (view->config.present && !view->config.valid) {
        kt_m_wait_for(machine, "a readable configuration: the key in etcd is damaged");
    } else if (!view->leader.present || view->leader.mine) {
        if (!view->leader.mine || !KT_PLANTED(idle_leader_key_kept)) {
            kt_m_consider_campaign(machine);
        }
        /* Rule E4. */
        if (machine->role == KT_M_FOLLOWS && view->leader.mine && view->reachable &&
            !KT_PLANTED(idle_leader_key_kept)) {
            kt_m_delete_leader(machine);
        }
    } else if (kt_m_same(view->leader.id, machine->options.id)) {
        kt_m_wait_for(machine, "the leader key of its own earlier process to be removed");
        if (view->own_key_present) {
            kt_m_delete_leader(machine);
        }
    } else {
        follow(machine);
    }
    fetch_on(machine);
}

/* SPDX-License-Identifier: MIT */
/* Leading: a fetch acknowledges, the slowest of the union decides what is committed, and who is
 * waited for changes by txn only.
 */
#include "replica/machine_impl.h"

#include <stdio.h>
#include <string.h>

static int64_t lag_ms(const struct kt_machine *machine)
{
    return machine->options.lag_timeout_ms;
}

static struct kt_machine_peer *find_peer(struct kt_machine *machine, const char *id)
{
    for (size_t i = 0; i < machine->peer_count; i++) {
        if (kt_m_same(machine->peers[i].id, id)) {
            return &machine->peers[i];
        }
    }
    return NULL;
}

const struct kt_machine_peer *kt_machine_peer(const struct kt_machine *machine, const char *id)
{
    return find_peer((struct kt_machine *)machine, id);
}

static struct kt_machine_peer *get_peer(struct kt_machine *machine, const char *id)
{
    struct kt_machine_peer *peer = find_peer(machine, id);
    if (!peer && machine->peer_count < KT_MEMBERS_MAX) {
        peer = &machine->peers[machine->peer_count++];
        memset(peer, 0, sizeof(*peer));
        kt_m_set(peer->id, sizeof(peer->id), id);
        peer->heard_ms = peer->level_ms = machine->won_ms;
    }
    return peer;
}

/* --- the union and the intersection (rule C2) --- */

static bool txn_has(const struct kt_machine *machine, const char *id)
{
    return machine->txn.active && kt_cluster_config_in_sync(&machine->txn.config, id);
}

/* Is this node's acknowledgement needed? */
static bool is_needed(const struct kt_machine *machine, const char *id)
{
    if (kt_cluster_config_in_sync(&machine->disk.kept, id)) {
        return true;
    }
    if (txn_has(machine, id) && !KT_PLANTED(union_after_answer)) {
        return true;
    }
    const struct kt_machine_peer *peer = kt_machine_peer(machine, id);
    return peer && peer->candidate;
}

/* In the intersection: whatever becomes of a txn under way, it is in sync. */
static bool is_sure(const struct kt_machine *machine, const char *id)
{
    return kt_cluster_config_in_sync(&machine->disk.kept, id) &&
           (!machine->txn.active || txn_has(machine, id));
}

static size_t intersection(const struct kt_machine *machine)
{
    const struct kt_cluster_config *kept = &machine->disk.kept;
    size_t count = 0;
    for (size_t i = 0; i < kept->in_sync_count; i++) {
        count += is_sure(machine, kept->in_sync[i]);
    }
    return count;
}

static uint64_t acked_by(const struct kt_machine *machine, const char *id)
{
    if (kt_m_same(id, machine->options.id)) {
        return KT_PLANTED(ack_before_persist) ? machine->facts.log->end_seq
                                              : machine->facts.log->synced_seq;
    }
    const struct kt_machine_peer *peer = kt_machine_peer(machine, id);
    return peer && peer->has_acked ? peer->acked : 0;
}

static bool is_started(const struct kt_machine *machine, const struct kt_machine_facts *facts)
{
    return machine->role == KT_M_LEADS && machine->epoch_start_seq > 0 &&
           machine->commit_seq >= machine->epoch_start_seq &&
           facts->log->applied_seq >= machine->epoch_start_seq;
}

/* Rule W1. */
static void try_commit(struct kt_machine *machine)
{
    const struct kt_cluster_config *kept = &machine->disk.kept;
    uint64_t seq = acked_by(machine, machine->options.id);
    bool skipped = !KT_PLANTED(commit_without_one);
    for (size_t i = 0; i < kept->in_sync_count; i++) {
        uint64_t acked = acked_by(machine, kept->in_sync[i]);
        if (acked < seq && !skipped) {
            skipped = true;
            continue;
        }
        seq = acked < seq ? acked : seq;
    }
    for (size_t i = 0; i < machine->peer_count; i++) {
        const struct kt_machine_peer *peer = &machine->peers[i];
        uint64_t acked = acked_by(machine, peer->id);
        if (acked < seq && is_needed(machine, peer->id) &&
            !kt_cluster_config_in_sync(kept, peer->id)) {
            seq = acked;
        }
    }
    bool enough = intersection(machine) >= kept->min_in_sync || KT_PLANTED(min_in_sync_on_arrival);
    if ((seq < machine->epoch_start_seq && !KT_PLANTED(commit_below_epoch_start)) || !enough ||
        seq <= machine->commit_seq) {
        return;
    }
    machine->commit_seq = seq;
    kt_m_act(machine, KT_M_COMMIT)->seq = seq;
}

/* --- changes of the configuration --- */

static bool is_silent(const struct kt_machine *machine, const char *id)
{
    const struct kt_machine_peer *peer = kt_machine_peer(machine, id);
    int64_t heard_ms = peer ? peer->heard_ms : machine->won_ms;
    int64_t level_ms = peer ? peer->level_ms : machine->won_ms;
    int64_t now_ms = machine->facts.now_ms;
    return now_ms - heard_ms > lag_ms(machine) || now_ms - level_ms > lag_ms(machine) ||
           (peer && peer->forgot);
}

static bool should_go(const struct kt_machine *machine, const char *id)
{
    const struct kt_member *member = kt_cluster_config_member(&machine->disk.kept, id);
    if (kt_m_same(id, machine->options.id)) {
        return false;
    }
    return !member || !member->electable || is_silent(machine, id);
}

/* A change of the configuration in the making: a copy is made when there is the first. */
struct change {
    struct kt_machine *machine;
    const struct kt_cluster_config *now; /* the kept one, then the copy */
    bool any, grown;
};

static struct kt_cluster_config *edit(struct change *change)
{
    struct kt_cluster_config *config = &change->machine->txn.config;
    if (!change->any) {
        *config = change->machine->disk.kept;
        change->now = config;
        change->any = true;
    }
    return config;
}

/* Rule S1. */
static void shrink(struct change *change)
{
    struct kt_machine *machine = change->machine;
    const struct kt_cluster_config *now = change->now;
    size_t stay = 0;
    for (size_t i = 0; i < now->in_sync_count; i++) {
        stay += !should_go(machine, now->in_sync[i]);
    }
    bool any = stay < now->in_sync_count;
    bool may = stay >= now->min_in_sync || KT_PLANTED(shrinks_below_min);
    machine->short_of_members = any && !may;
    if (!any || !may) {
        return;
    }
    struct kt_cluster_config *config = edit(change);
    size_t count = config->in_sync_count;
    config->in_sync_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (!should_go(machine, config->in_sync[i])) {
            memmove(config->in_sync[config->in_sync_count++], config->in_sync[i], KT_ID_LEN + 1);
        }
    }
}

/* May this peer be waited for, and added once it has everything? */
static bool is_eligible(const struct kt_machine *machine, const struct kt_machine_peer *peer)
{
    const struct kt_member *member = kt_cluster_config_member(&machine->disk.kept, peer->id);
    const struct kt_service *service = kt_m_service_of(machine, peer->id);
    return member && member->electable && service && service->state == KT_STATE_WHOLE &&
           !peer->forgot && !kt_m_same(peer->id, machine->forget);
}

/* Rule S3: has it, by fetches of this epoch, what a member must have? */
static bool is_caught_up(const struct kt_machine *machine, const struct kt_machine_peer *peer)
{
    if (KT_PLANTED(growth_before_caught_up)) {
        return peer->has_acked;
    }
    uint64_t start = KT_PLANTED(growth_before_epoch_start) ? 0 : machine->epoch_start_seq;
    if (KT_PLANTED(growth_waits_for_commit) && machine->commit_seq < start) {
        return false;
    }
    return peer->has_acked && peer->acked >= machine->commit_seq && peer->acked >= start;
}

static void grow(struct change *change)
{
    struct kt_machine *machine = change->machine;
    for (size_t i = 0; i < machine->peer_count; i++) {
        const struct kt_machine_peer *peer = &machine->peers[i];
        if (kt_cluster_config_in_sync(change->now, peer->id) ||
            change->now->in_sync_count >= machine->options.max_in_sync ||
            !is_eligible(machine, peer) || !is_caught_up(machine, peer) ||
            (!peer->candidate && !KT_PLANTED(no_candidates) &&
             !KT_PLANTED(growth_before_caught_up)) ||
            is_silent(machine, peer->id)) {
            continue;
        }
        struct kt_cluster_config *config = edit(change);
        struct kt_id_set *growth = &machine->disk.growth;
        growth->count = change->grown ? growth->count : 0;
        kt_m_set(config->in_sync[config->in_sync_count++], KT_ID_LEN + 1, peer->id);
        kt_m_set(growth->ids[growth->count++], KT_ID_LEN + 1, peer->id);
        change->grown = true;
    }
}

static bool member_stands(const struct kt_member *member, const struct kt_service *service)
{
    return kt_m_same(member->addr, service->addr) && member->electable == service->electable &&
           member->priority == service->priority;
}

static bool is_double(const struct kt_machine *machine, const struct kt_service *service)
{
    const struct kt_coord_view *view = machine->facts.view;
    for (size_t i = 0; i < view->service_count; i++) {
        const struct kt_service *other = &view->services[i];
        if (other != service && other->role != KT_ROLE_GATEWAY &&
            other->state != KT_STATE_DIVERGED && kt_m_same(other->id, service->id)) {
            return true;
        }
    }
    return false;
}

/* Rule C5. An id that is there twice waits until one of the two is gone. */
static void change_members(struct change *change)
{
    const struct kt_machine *machine = change->machine;
    const struct kt_coord_view *view = machine->facts.view;
    for (size_t i = 0; i < view->service_count; i++) {
        const struct kt_service *service = &view->services[i];
        const struct kt_member *member = kt_cluster_config_member(change->now, service->id);
        if (service->role == KT_ROLE_GATEWAY || service->state == KT_STATE_DIVERGED ||
            (service->cluster[0] && !kt_m_same(service->cluster, machine->disk.cluster)) ||
            kt_m_same(service->id, machine->forget) ||
            (!member && change->now->member_count >= KT_MEMBERS_MAX) ||
            (member && member_stands(member, service)) || is_double(machine, service)) {
            continue;
        }
        kt_m_put_member(edit(change), service);
    }
}

static void forget(struct change *change)
{
    struct kt_machine *machine = change->machine;
    const char *id = machine->forget;
    if (!id[0] || kt_m_same(id, machine->options.id) ||
        kt_cluster_config_in_sync(change->now, id)) {
        return;
    }
    for (size_t i = 0; i < change->now->member_count; i++) {
        if (kt_m_same(change->now->members[i].id, id)) {
            struct kt_cluster_config *config = edit(change);
            config->members[i] = config->members[--config->member_count];
            return;
        }
    }
    machine->forget[0] = '\0'; /* done */
}

static void change_config(struct kt_machine *machine)
{
    struct change change = {.machine = machine, .now = &machine->disk.kept};
    if (machine->txn.active || !kt_m_config_is_kept(machine)) {
        return;
    }
    shrink(&change);
    grow(&change);
    change_members(&change);
    forget(&change);
    if (!change.any) {
        return;
    }
    struct kt_cluster_config *config = edit(&change);
    config->version++;
    machine->options.random_id(machine->options.random_ctx, config->nonce);
    if (change.grown && KT_PLANTED(union_not_kept)) {
        machine->disk.growth.count = 0;
    } else if (change.grown) {
        kt_m_act(machine, KT_M_KEEP); /* rule C4 */
    }
    kt_m_send_txn(machine, false);
}

/* --- fetches --- */

static void note_sent(struct kt_machine *machine, struct kt_machine_peer *peer, uint64_t request)
{
    peer->sent_end = machine->facts.log->end_seq;
    peer->sent_commit = machine->commit_seq;
    peer->sent_ms = machine->facts.now_ms;
    peer->sent[peer->sent_next].request = request;
    peer->sent[peer->sent_next].ms = machine->facts.now_ms;
    peer->sent_next = (peer->sent_next + 1) % KT_M_SENT_MAX;
}

static struct kt_m_answer *answer(struct kt_machine *machine, const struct kt_m_fetch *fetch,
                                  enum kt_m_answer_kind kind)
{
    struct kt_m_action *action = kt_m_act(machine, KT_M_ANSWER);
    kt_m_set(action->to, sizeof(action->to), fetch->node);
    action->answer.kind = kind;
    kt_m_set(action->answer.session, sizeof(action->answer.session), fetch->session);
    action->answer.epoch = kind == KT_M_ANSWER_RELEASED ? fetch->epoch : machine->disk.epoch;
    action->answer.request = fetch->request;
    action->answer.commit = machine->commit_seq;
    return &action->answer;
}

void kt_m_release_held(struct kt_machine *machine, const char *to)
{
    for (size_t i = 0; i < machine->peer_count; i++) {
        if (machine->peers[i].waits && (!to || kt_m_same(machine->peers[i].id, to))) {
            machine->peers[i].waits = false;
            (void)answer(machine, &machine->peers[i].fetch, KT_M_ANSWER_RELEASED);
        }
    }
}

/* Is there something to tell who waits? */
static bool has_news(const struct kt_machine *machine, const struct kt_machine_peer *peer)
{
    const struct kt_machine_facts *facts = &machine->facts;
    bool entries_come = facts->batch_comes && machine->commit_seq >= facts->log->end_seq;
    return facts->log->end_seq > peer->fetch.after || facts->now_ms >= peer->waits_until_ms ||
           (machine->commit_seq > peer->fetch.commit && !entries_come);
}

static void serve_held(struct kt_machine *machine)
{
    const struct kt_machine_log *log = machine->facts.log;
    for (size_t i = 0; i < machine->peer_count; i++) {
        struct kt_machine_peer *peer = &machine->peers[i];
        if (!peer->waits || !has_news(machine, peer)) {
            continue;
        }
        peer->waits = false;
        struct kt_m_answer *entries = answer(machine, &peer->fetch, KT_M_ANSWER_ENTRIES);
        entries->first_seq = peer->fetch.after + 1;
        entries->last_seq = log->end_seq;
        note_sent(machine, peer, peer->fetch.request);
    }
}

/* Whom it is for, and whether it is new. NULL: answered or dropped. */
static struct kt_machine_peer *admit(struct kt_machine *machine, const struct kt_m_fetch *fetch)
{
    if (!kt_m_same(fetch->cluster, machine->disk.cluster)) {
        (void)answer(machine, fetch, KT_M_ANSWER_REFUSED);
        return NULL;
    }
    if (machine->role == KT_M_LEADS && fetch->epoch > machine->disk.epoch) {
        kt_m_step_down(machine, "a follower knows a later epoch");
    }
    bool agrees = machine->role == KT_M_LEADS &&
                  (fetch->epoch == machine->disk.epoch || KT_PLANTED(other_epochs_accepted));
    if (!agrees) {
        /* Rule H2: the others come again, and find the next leader or are free then. */
        bool is_for_another = machine->facts.now_ms < machine->handed_until_ms &&
                              !kt_m_same(fetch->node, machine->target);
        bool is_over = fetch->epoch <= machine->over_epoch && !is_for_another;
        (void)answer(machine, fetch, is_over ? KT_M_ANSWER_RELEASED : KT_M_ANSWER_REFUSED);
        return NULL;
    }
    struct kt_machine_peer *peer = NULL;
    if (kt_cluster_config_member(&machine->disk.kept, fetch->node)) {
        peer = get_peer(machine, fetch->node);
    }
    if (!peer) {
        (void)answer(machine, fetch, KT_M_ANSWER_REFUSED); /* not a member yet */
        return NULL;
    }
    if (kt_m_same(fetch->session, peer->session)) {
        if (fetch->request <= peer->request) {
            return NULL; /* late, or doubled */
        }
    } else if (kt_m_same(fetch->session, peer->older_session) &&
               machine->facts.now_ms - peer->heard_ms <= lag_ms(machine)) {
        return NULL; /* late; or the other one was, which then says no more */
    } else {
        kt_m_set(peer->older_session, sizeof(peer->older_session), peer->session);
        kt_m_set(peer->session, sizeof(peer->session), fetch->session);
        memset(peer->sent, 0, sizeof(peer->sent));
    }
    if (kt_m_same(fetch->node, machine->forget)) {
        machine->forget[0] = '\0'; /* it is back */
    }
    peer->request = fetch->request;
    peer->heard_ms = machine->facts.now_ms;
    peer->waits = false;
    return peer;
}

/* Rule P2. */
static void note_took(struct kt_machine_peer *peer, uint64_t took)
{
    for (size_t i = 0; i < KT_M_SENT_MAX; i++) {
        if (took > 0 && peer->sent[i].request == took && peer->sent[i].ms > peer->promised_ms) {
            peer->promised_ms = peer->sent[i].ms;
        }
    }
}

/* Rule W2. */
static bool is_ours(const struct kt_machine *machine, const struct kt_m_fetch *fetch)
{
    const struct kt_machine_log *log = machine->facts.log;
    if (fetch->after == 0) {
        return true;
    }
    const struct kt_epoch *at = kt_epochs_at(log->vector, log->vector_count, fetch->after);
    if (KT_PLANTED(ack_by_seq_only)) {
        return fetch->after <= log->end_seq;
    }
    if (KT_PLANTED(no_epoch_id)) {
        return fetch->after <= log->end_seq && at && at->epoch == fetch->after_id.epoch;
    }
    return fetch->after <= log->end_seq && at && at->epoch == fetch->after_id.epoch &&
           kt_m_same(at->epoch_id, fetch->after_id.epoch_id);
}

/* Rule S3: waited for before it is a member, so that it gets in under steady writes. */
static void consider_candidate(struct kt_machine *machine, struct kt_machine_peer *peer)
{
    const struct kt_cluster_config *kept = &machine->disk.kept;
    int64_t now_ms = machine->facts.now_ms;
    size_t others = 0;
    if (kt_cluster_config_in_sync(kept, peer->id) || txn_has(machine, peer->id) ||
        !is_eligible(machine, peer) || KT_PLANTED(no_candidates)) {
        peer->candidate = false;
        return;
    }
    for (size_t i = 0; i < machine->peer_count; i++) {
        others += machine->peers[i].candidate && &machine->peers[i] != peer;
    }
    bool near = peer->near_ms && now_ms - peer->near_ms <= lag_ms(machine) / 2;
    if (!peer->candidate && near && now_ms >= peer->candidate_after_ms &&
        kept->in_sync_count + others < machine->options.max_in_sync) {
        peer->candidate = true;
        peer->candidate_since_ms = now_ms;
    }
}

static void take_ack(struct kt_machine *machine, struct kt_machine_peer *peer,
                     const struct kt_m_fetch *fetch)
{
    int64_t now_ms = machine->facts.now_ms;
    if (peer->has_acked && fetch->after < peer->acked) {
        peer->forgot = true; /* rule S4 */
    }
    peer->has_acked = true;
    peer->acked = fetch->after;
    if (fetch->after >= machine->facts.log->end_seq) {
        peer->level_ms = now_ms;
    } else if (peer->sent_ms > peer->level_ms && fetch->after >= peer->sent_end) {
        peer->level_ms = peer->sent_ms;
    }
    /* Under steady writes what it has is always a little behind by the time it says so. */
    if (fetch->after >= machine->commit_seq) {
        peer->near_ms = now_ms;
    } else if (peer->sent_ms > peer->near_ms && fetch->after >= peer->sent_commit) {
        peer->near_ms = peer->sent_ms;
    }
    consider_candidate(machine, peer);
}

void kt_m_serve_fetch(struct kt_machine *machine, const struct kt_m_fetch *fetch)
{
    const struct kt_machine_log *log = machine->facts.log;
    struct kt_machine_peer *peer = admit(machine, fetch);
    if (!peer) {
        return;
    }
    note_took(peer, fetch->took);
    if (!is_ours(machine, fetch)) {
        struct kt_m_answer *differs = answer(machine, fetch, KT_M_ANSWER_DIFFERS);
        differs->end_seq = log->end_seq;
        differs->vector = log->vector;
        differs->vector_count = log->vector_count;
        return;
    }
    take_ack(machine, peer, fetch);
    if (fetch->after + 1 < log->first_seq) {
        (void)answer(machine, fetch,
                     is_needed(machine, peer->id) ? KT_M_ANSWER_REFUSED : KT_M_ANSWER_COPY);
        return;
    }
    peer->fetch = *fetch;
    peer->waits = true;
    peer->waits_until_ms = machine->facts.now_ms + fetch->wait_ms;
}

/* Rule R2. */
void kt_m_serve_copy(struct kt_machine *machine, const struct kt_m_fetch *fetch)
{
    struct kt_machine_peer *peer = admit(machine, fetch);
    if (!peer) {
        return;
    }
    if (is_needed(machine, peer->id)) {
        (void)answer(machine, fetch, KT_M_ANSWER_REFUSED);
        return;
    }
    peer->has_acked = peer->forgot = false;
    peer->acked = 0;
    peer->near_ms = 0;
    struct kt_m_action *give = kt_m_act(machine, KT_M_GIVE_COPY);
    kt_m_set(give->to, sizeof(give->to), fetch->node);
    give->request = fetch->request;
    kt_m_set(give->fetch.session, sizeof(give->fetch.session), fetch->session);
}

/* --- time passing --- */

/* Rule S2. */
static void note_own_pause(struct kt_machine *machine)
{
    int64_t now_ms = machine->facts.now_ms;
    if (now_ms - machine->stepped_ms <= machine->options.tick_ms + lag_ms(machine) / 4 ||
        KT_PLANTED(pause_counts_as_silence)) {
        return;
    }
    for (size_t i = 0; i < machine->peer_count; i++) {
        struct kt_machine_peer *peer = &machine->peers[i];
        peer->heard_ms = peer->level_ms = now_ms;
        peer->candidate_since_ms = now_ms;
    }
    for (size_t i = 0; i < machine->disk.kept.in_sync_count; i++) {
        struct kt_machine_peer *peer = get_peer(machine, machine->disk.kept.in_sync[i]);
        if (peer) {
            peer->heard_ms = peer->level_ms = now_ms;
        }
    }
    machine->stepped_ms = now_ms;
}

static void give_up_candidates(struct kt_machine *machine)
{
    int64_t now_ms = machine->facts.now_ms;
    for (size_t i = 0; i < machine->peer_count; i++) {
        struct kt_machine_peer *peer = &machine->peers[i];
        if (kt_cluster_config_in_sync(&machine->disk.kept, peer->id) ||
            txn_has(machine, peer->id)) {
            peer->candidate = false;
        } else if (peer->candidate && now_ms - peer->candidate_since_ms > lag_ms(machine) / 2) {
            peer->candidate = false;
            peer->candidate_after_ms = now_ms + 2 * lag_ms(machine);
        }
    }
}

/* Rule E5. Views from before the win may still arrive; once one has shown it, the key must stay. */
static bool still_leads(struct kt_machine *machine)
{
    const struct kt_coord_view *view = machine->facts.view;
    int64_t now_ms = machine->facts.now_ms;
    if (KT_PLANTED(leader_key_put_again) && !view->leader.mine) {
        return true;
    }
    if (now_ms >= machine->facts.lease_end_ms && !KT_PLANTED(no_demotion_on_timeout)) {
        kt_m_step_down(machine, "the own lease was not renewed in time");
        return false;
    }
    if (view->own_lease != machine->lead_lease && !KT_PLANTED(no_demotion_on_timeout)) {
        kt_m_step_down(machine, "the lease of the leader key is gone");
        return false;
    }
    if (view->leader.mine && view->leader.epoch == machine->disk.epoch) {
        machine->win_seen = true;
        return true;
    }
    if (KT_PLANTED(no_demotion_on_timeout) && view->leader.present && !view->leader.mine) {
        kt_m_step_down(machine, "another leads");
        return false;
    }
    bool too_long = now_ms - machine->won_ms > kt_m_ttl_ms(machine);
    if ((machine->win_seen || too_long) && !KT_PLANTED(no_demotion_on_timeout)) {
        kt_m_step_down(machine, "the leader key in etcd is no longer this node's");
        return false;
    }
    return true;
}

/* Has the target, or else each of in_sync that is heard, a fetch held? It is released by its
 * answer: one that comes later may find nobody. */
static bool all_wait(const struct kt_machine *machine, const char *to)
{
    const struct kt_cluster_config *kept = &machine->disk.kept;
    for (size_t i = 0; i < kept->in_sync_count; i++) {
        const char *id = kept->in_sync[i];
        const struct kt_machine_peer *peer = kt_machine_peer(machine, id);
        bool counts = to[0] ? kt_m_same(id, to) : !kt_m_same(id, machine->options.id);
        if (counts && peer && !is_silent(machine, id) && !peer->waits) {
            return false;
        }
    }
    return true;
}

/* Rules H1 and H2. */
static void drain(struct kt_machine *machine)
{
    const struct kt_machine_log *log = machine->facts.log;
    const char *to = machine->target;
    const struct kt_machine_peer *target = to[0] ? kt_machine_peer(machine, to) : NULL;
    bool is_level =
        !target || (target->has_acked && target->acked >= log->end_seq && is_sure(machine, to));
    /* Who campaigns must not see the entry any more, or it would wait for who has gone. */
    bool is_out = !machine->stopping || !machine->facts.view->own_key_present;
    bool is_done =
        machine->commit_seq >= log->end_seq && is_level && is_out && all_wait(machine, to);
    if (!is_done && machine->facts.now_ms < machine->drain_until_ms) {
        return;
    }
    if (!is_level && !machine->stopping) {
        machine->draining = false; /* it can't have it: this node goes on leading */
        return;
    }
    if (KT_PLANTED(serving_while_resigning)) {
        kt_m_delete_leader(machine);
        kt_m_release_held(machine, NULL);
        kt_m_act(machine, KT_M_RELEASE);
        return;
    }
    uint64_t epoch = machine->disk.epoch;
    bool has_target = target && is_level;
    kt_m_hand_over(machine, has_target ? to : NULL, "it was asked to hand over");
    machine->delete_after_ms = 0;
    kt_m_delete_leader(machine);
    if (has_target) {
        struct kt_m_action *now = kt_m_act(machine, KT_M_CAMPAIGN_NOW);
        kt_m_set(now->to, sizeof(now->to), machine->target);
        now->epoch = epoch;
    }
    machine->campaign_after_ms = machine->facts.now_ms + lag_ms(machine);
    if (machine->stopping) {
        kt_m_finish_stop(machine);
    }
}

void kt_m_decide_leading(struct kt_machine *machine)
{
    if (!still_leads(machine)) {
        return;
    }
    note_own_pause(machine);
    kt_m_look_at_txn(machine);
    give_up_candidates(machine);
    change_config(machine);
    give_up_candidates(machine);
    try_commit(machine);
    serve_held(machine);
    if (machine->draining) {
        drain(machine);
    }
}

/* --- questions --- */

enum kt_status kt_machine_may_write(const struct kt_machine *machine,
                                    const struct kt_machine_facts *facts)
{
    if (machine->role != KT_M_LEADS) {
        return KT_NOT_LEADER;
    }
    bool may = kt_machine_serves_leader(machine, facts) && !machine->draining &&
               !machine->short_of_members &&
               intersection(machine) >= machine->disk.kept.min_in_sync;
    return may ? KT_OK : KT_UNAVAILABLE;
}

bool kt_machine_serves_leader(const struct kt_machine *machine,
                              const struct kt_machine_facts *facts)
{
    bool started = is_started(machine, facts) ||
                   (KT_PLANTED(linearizable_before_start) && machine->role == KT_M_LEADS);
    return started && (facts->now_ms < facts->lease_end_ms || KT_PLANTED(no_demotion_on_timeout));
}

bool kt_machine_serves_linearizable(const struct kt_machine *machine,
                                    const struct kt_machine_facts *facts)
{
    const struct kt_cluster_config *kept = &machine->disk.kept;
    int64_t promised_for_ms = kt_m_ttl_ms(machine) * 9 / 10;
    if (!kt_machine_serves_leader(machine, facts)) {
        return false;
    }
    for (size_t i = 0; i < kept->in_sync_count; i++) {
        if (!kt_m_same(kept->in_sync[i], machine->options.id) &&
            !kt_machine_peer(machine, kept->in_sync[i]) && !KT_PLANTED(no_promise)) {
            return false;
        }
    }
    for (size_t i = 0; i < machine->peer_count; i++) {
        const struct kt_machine_peer *peer = &machine->peers[i];
        if (is_needed(machine, peer->id) && !kt_m_same(peer->id, machine->options.id) &&
            !KT_PLANTED(no_promise) &&
            (!peer->promised_ms || facts->now_ms >= peer->promised_ms + promised_for_ms)) {
            return false;
        }
    }
    return true;
}

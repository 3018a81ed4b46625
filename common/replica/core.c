/* SPDX-License-Identifier: MIT */
/* The decisions. Every step looks at the newest facts and asks for at most a few actions; what has
 * been asked for and not yet answered stands in `txn`, so that a step can be repeated at any time.
 */
#include "replica/core.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* An election needs so much of the lease left that its winner can act on it (a fifth of the ttl).
 */
#define LEASE_LEFT_DIVISOR 5
/* Between two sendings of one transaction; etcd's own calls time out after a second. */
#define RESEND_MS 200
/* A second node with our id must be seen for so many ttl before we believe that it lives: the entry
 * of our own dead predecessor stays until its lease ends. */
#define TWIN_TTLS 2
/* After a fault of the disk, so that a broken one does not end an epoch at every tick. */
#define FAULT_PAUSE_MS 500

struct step {
    struct kt_core *core;
    const struct kt_coord_view *view;
    int64_t now_ms, lease_end_ms;
    void (*random_id)(char dest[KT_ID_LEN + 1]);
    struct kt_actions *actions;
};

static bool same_id(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static struct kt_action *act(struct step *step, enum kt_action_kind kind)
{
    KT_ASSERT(step->actions->count < KT_ACTIONS_MAX);
    struct kt_action *action = &step->actions->items[step->actions->count++];
    memset(action, 0, sizeof(*action));
    action->kind = kind;
    return action;
}

static void set_text(char *dest, size_t size, const char *text)
{
    kt_str_copy(dest, size, kt_str(text));
}

static void wait_for(struct kt_core *core, const char *fmt, ...) KT_PRINTF(2, 3);
static void wait_for(struct kt_core *core, const char *fmt, ...)
{
    char what[600];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    set_text(core->waiting_for, sizeof(core->waiting_for), what);
}

void kt_core_init(struct kt_core *core, const struct kt_core_options *options)
{
    memset(core, 0, sizeof(*core));
    core->options = *options;
    core->role = KT_CORE_FOLLOWER;
    wait_for(core, "the first list from etcd");
}

/* --- stopping and stepping down --- */

static void stop_for_good(struct step *step, const char *why)
{
    struct kt_core *core = step->core;
    if (core->role == KT_CORE_STOPPED) {
        return;
    }
    if (core->role == KT_CORE_LEADING) {
        struct kt_action *action = act(step, KT_ACT_STEP_DOWN);
        set_text(action->why, sizeof(action->why), why);
    }
    core->role = KT_CORE_STOPPED;
    core->started = false;
    core->txn.active = false;
    core->leader_id[0] = core->leader_addr[0] = '\0';
    set_text(core->stopped_why, sizeof(core->stopped_why), why);
    act(step, KT_ACT_STOP);
}

static void step_down(struct step *step, const char *why)
{
    struct kt_core *core = step->core;
    core->fenced_epoch = core->epoch;
    core->role = KT_CORE_FOLLOWER;
    core->started = false;
    core->epoch_start_seq = 0;
    /* Campaigns compare the whole config: a forgotten update of it cannot do harm. */
    core->txn.active = false;
    struct kt_action *action = act(step, KT_ACT_STEP_DOWN);
    set_text(action->why, sizeof(action->why), why);
    wait_for(core, "a new epoch: %s", why);
}

/* --- the kept configuration --- */

static bool is_newer(const struct kt_cluster_config *a, const struct kt_cluster_config *b)
{
    return a->epoch > b->epoch || (a->epoch == b->epoch && a->version > b->version);
}

static void keep(struct step *step, const struct kt_cluster_config *config)
{
    struct kt_core *core = step->core;
    core->kept = *config;
    if (config->epoch > core->epoch) {
        core->epoch = config->epoch;
    }
    set_text(core->cluster, sizeof(core->cluster), kt_str(config->cluster).data);
    struct kt_action *action = act(step, KT_ACT_KEEP);
    action->config = *config;
    action->epoch = core->epoch;
}

/* Takes over what the view's configuration says; stops a node that can't be of that cluster. */
static void learn_config(struct step *step)
{
    struct kt_core *core = step->core;
    if (!step->view->config.present || !step->view->config.valid) {
        return;
    }
    const struct kt_cluster_config *config = &step->view->config.value;
    if (core->cluster[0] && !same_id(core->cluster, config->cluster)) {
        char why[400];
        snprintf(
            why, sizeof(why),
            "this database belongs to cluster %s, but the prefix in etcd holds cluster %s: give "
            "this node an empty database, or another [etcd] prefix",
            core->cluster, config->cluster);
        stop_for_good(step, why);
        return;
    }
    if (core->role == KT_CORE_LEADING && config->epoch > core->epoch) {
        step_down(step, "another node has won a later epoch");
    }
    if (is_newer(config, &core->kept)) {
        keep(step, config);
    }
}

/* --- a second node with our id --- */

static const struct kt_service *find_twin(const struct step *step)
{
    for (size_t i = 0; i < step->view->service_count; i++) {
        const struct kt_service *service = &step->view->services[i];
        if (service->role != KT_ROLE_GATEWAY && same_id(service->id, step->core->options.id) &&
            strcmp(service->addr, step->core->options.addr) != 0) {
            return service;
        }
    }
    return NULL;
}

/* True while one is seen: nothing may be decided then. */
static bool has_twin(struct step *step)
{
    struct kt_core *core = step->core;
    const struct kt_service *twin = find_twin(step);
    if (!twin) {
        core->twin_since_mono_ms = 0;
        return false;
    }
    char why[400];
    if (core->twin_since_mono_ms == 0) {
        core->twin_since_mono_ms = step->now_ms;
    }
    snprintf(why, sizeof(why),
             "node id %s is registered at %s too: was its database copied? Give one of the two an "
             "empty database",
             core->options.id, twin->addr);
    if (step->now_ms - core->twin_since_mono_ms > TWIN_TTLS * (int64_t)core->options.ttl_s * 1000) {
        stop_for_good(step, why);
    } else {
        wait_for(core, "%s", why);
    }
    return true;
}

/* --- transactions --- */

static void send_txn(struct step *step, bool is_campaign, const struct kt_cluster_config *config)
{
    struct kt_core *core = step->core;
    struct kt_core_txn *txn = &core->txn;
    bool resend = txn->active;
    if (!resend) {
        memset(txn, 0, sizeof(*txn));
        txn->active = true;
        txn->is_campaign = is_campaign;
        txn->config = *config;
        txn->compared_present = step->view->config.present;
        if (txn->compared_present) {
            set_text(txn->compared_nonce, sizeof(txn->compared_nonce),
                     step->view->config.value.nonce);
            txn->compared_version = step->view->config.value.version;
        }
    }
    txn->resend_mono_ms = step->now_ms + RESEND_MS;
    if (is_campaign) {
        core->role = KT_CORE_CAMPAIGNING;
    }
    struct kt_action *action = act(step, is_campaign ? KT_ACT_CAMPAIGN : KT_ACT_UPDATE_CONFIG);
    action->config = txn->config;
}

/* Does the view show the config key as it was when the txn compared it? */
static bool compared_stands(const struct step *step)
{
    const struct kt_core_txn *txn = &step->core->txn;
    if (step->view->config.present != txn->compared_present) {
        return false;
    }
    return !txn->compared_present ||
           (step->view->config.valid && step->view->config.value.version == txn->compared_version &&
            same_id(step->view->config.value.nonce, txn->compared_nonce));
}

static void lead(struct step *step)
{
    struct kt_core *core = step->core;
    core->role = KT_CORE_LEADING;
    core->started = false;
    core->epoch_start_seq = 0;
    core->win_seen = false;
    core->won_mono_ms = step->now_ms;
    core->txn.active = false;
    core->waiting_for[0] = '\0';
    if (core->leader_id[0]) {
        core->leader_id[0] = core->leader_addr[0] = '\0';
        act(step, KT_ACT_UNFOLLOW);
    }
    struct kt_cluster_config config = core->kept;
    struct kt_action *action = act(step, KT_ACT_LEAD);
    action->config = config;
    action->epoch = config.epoch;
}

static void settle(struct step *step, bool mine)
{
    struct kt_core *core = step->core;
    bool was_campaign = core->txn.is_campaign;
    struct kt_cluster_config config = core->txn.config;
    core->txn.active = false;
    if (was_campaign) {
        core->role = KT_CORE_FOLLOWER;
    }
    if (!mine) {
        return;
    }
    if (is_newer(&config, &core->kept)) {
        keep(step, &config);
    }
    /* Who was told to stop meanwhile, or whose lease clock has ended, does not lead by what it won:
     * the next view finds the key its own and campaigns over it or deletes it. */
    if (was_campaign && !core->resigned && step->now_ms < step->lease_end_ms &&
        same_id(core->kept.nonce, config.nonce)) {
        lead(step);
    }
}

/* A txn without an answer is settled by a view only: by the nonce, once the key has changed. */
static void settle_by_view(struct step *step)
{
    struct kt_core *core = step->core;
    struct kt_core_txn *txn = &core->txn;
    if (!step->view->complete || compared_stands(step)) {
        return;
    }
    bool mine = step->view->config.present && step->view->config.valid &&
                same_id(step->view->config.value.nonce, txn->config.nonce);
    /* The election and its leader key are one txn; without the key the win is over already. */
    if (mine && txn->is_campaign && !step->view->leader.mine) {
        mine = false;
    }
    settle(step, mine);
}

static void on_txn(struct step *step, enum kt_txn_outcome outcome)
{
    struct kt_core_txn *txn = &step->core->txn;
    if (!txn->active) {
        return;
    }
    switch (outcome) {
    case KT_TXN_DONE:
        settle(step, true);
        break;
    case KT_TXN_REFUSED:
        /* Each sending goes out once on a connection of its own, so a refusal is final unless an
         * earlier sending is still unanswered. */
        if (txn->unknown_sends == 0) {
            settle(step, false);
        }
        break;
    case KT_TXN_UNKNOWN:
        txn->unknown_sends++;
        break;
    }
}

/* --- leading --- */

static bool member_stands(const struct kt_member *member, const struct kt_service *service)
{
    return strcmp(member->addr, service->addr) == 0 && member->electable == service->electable &&
           member->priority == service->priority;
}

/* Is this one of two entries with one id? Then which of them lives shows when the lease of the
 * other ends; to take them in turn would change the configuration for ever. */
static bool is_doubled(const struct step *step, const struct kt_service *service)
{
    if (same_id(service->id, step->core->options.id) &&
        strcmp(service->addr, step->core->options.addr) != 0) {
        return true;
    }
    for (size_t i = 0; i < step->view->service_count; i++) {
        const struct kt_service *other = &step->view->services[i];
        if (other != service && other->role != KT_ROLE_GATEWAY && same_id(other->id, service->id)) {
            return true;
        }
    }
    return false;
}

/* May this registered process enter the configuration, or change what stands there? */
static bool is_eligible(const struct step *step, const struct kt_service *service)
{
    bool foreign = service->cluster[0] && !same_id(service->cluster, step->core->cluster);
    return service->role != KT_ROLE_GATEWAY && service->state != KT_STATE_DIVERGED && !foreign &&
           !is_doubled(step, service);
}

/* Does the configuration lack a registered data node, or show it otherwise than it is? */
static bool has_change(const struct step *step)
{
    const struct kt_cluster_config *config = &step->core->kept;
    for (size_t i = 0; i < step->view->service_count; i++) {
        const struct kt_service *service = &step->view->services[i];
        const struct kt_member *member = kt_cluster_config_member(config, service->id);
        if (is_eligible(step, service) &&
            (member ? !member_stands(member, service) : config->member_count < KT_MEMBERS_MAX)) {
            return true;
        }
    }
    return false;
}

static void put_member(struct kt_cluster_config *config, const struct kt_service *service)
{
    struct kt_member *member = NULL;
    for (size_t i = 0; i < config->member_count; i++) {
        if (same_id(config->members[i].id, service->id)) {
            member = &config->members[i];
        }
    }
    if (!member) {
        KT_ASSERT(config->member_count < KT_MEMBERS_MAX);
        member = &config->members[config->member_count++];
    }
    set_text(member->id, sizeof(member->id), service->id);
    set_text(member->addr, sizeof(member->addr), service->addr);
    member->electable = service->electable;
    member->priority = service->priority;
}

/* All registered nodes enter in one txn. */
static void update_members(struct step *step)
{
    struct kt_core *core = step->core;
    if (!has_change(step)) {
        return;
    }
    struct kt_cluster_config config = core->kept;
    for (size_t i = 0; i < step->view->service_count; i++) {
        const struct kt_service *service = &step->view->services[i];
        if (is_eligible(step, service) && (kt_cluster_config_member(&config, service->id) ||
                                           config.member_count < KT_MEMBERS_MAX)) {
            put_member(&config, service);
        }
    }
    config.version++;
    step->random_id(config.nonce);
    send_txn(step, false, &config);
}

/* Views from before the win may still arrive; once one has shown it, the key must stay. */
static bool holds_leader_key(struct step *step)
{
    struct kt_core *core = step->core;
    if (step->view->leader.mine && step->view->leader.epoch == core->epoch) {
        core->win_seen = true;
        return true;
    }
    bool too_long = step->now_ms - core->won_mono_ms > (int64_t)core->options.ttl_s * 1000;
    if (core->win_seen || too_long) {
        step_down(step, "the leader key in etcd is no longer this node's");
    }
    return false;
}

static void decide_leading(struct step *step)
{
    struct kt_core *core = step->core;
    if (core->options.standalone) {
        return;
    }
    if (step->now_ms >= step->lease_end_ms) {
        step_down(step, "the own lease was not renewed in time");
        return;
    }
    if (!holds_leader_key(step)) {
        return;
    }
    if (core->txn.active) {
        settle_by_view(step);
        if (core->txn.active && step->now_ms >= core->txn.resend_mono_ms) {
            send_txn(step, false, NULL);
        }
        return;
    }
    /* Only on the configuration that we know to stand in etcd. */
    if (step->view->config.present && step->view->config.valid &&
        same_id(step->view->config.value.nonce, core->kept.nonce)) {
        update_members(step);
    }
}

/* --- campaigning --- */

static void unfollow(struct step *step)
{
    struct kt_core *core = step->core;
    if (core->leader_id[0]) {
        core->leader_id[0] = core->leader_addr[0] = '\0';
        core->leader_epoch = 0;
        act(step, KT_ACT_UNFOLLOW);
    }
}

static bool has_lease_left(const struct step *step)
{
    int64_t needed_ms = (int64_t)step->core->options.ttl_s * 1000 / LEASE_LEFT_DIVISOR;
    return step->lease_end_ms - step->now_ms >= needed_ms;
}

static bool may_campaign(struct step *step)
{
    struct kt_core *core = step->core;
    if (!core->options.may_lead || core->resigned) {
        return false;
    }
    if (!step->view->complete || !step->view->own_key_present) {
        wait_for(core, "this node's own registration in etcd");
        return false;
    }
    if (!has_lease_left(step)) {
        wait_for(core, "a renewed lease in etcd");
        return false;
    }
    if (step->now_ms < core->campaign_after_mono_ms) {
        wait_for(core, "a moment to pass after a fault of the disk");
        return false;
    }
    return true;
}

static void campaign(struct step *step, const struct kt_cluster_config *base)
{
    struct kt_core *core = step->core;
    struct kt_cluster_config config = *base;
    uint64_t epoch = base->epoch > core->epoch ? base->epoch : core->epoch;
    config.epoch = epoch + 1;
    config.version = base->version + 1;
    step->random_id(config.epoch_id);
    step->random_id(config.nonce);
    set_text(config.leader, sizeof(config.leader), core->options.id);
    config.in_sync_count = 1;
    set_text(config.in_sync[0], sizeof(config.in_sync[0]), core->options.id);
    struct kt_service self;
    memset(&self, 0, sizeof(self));
    set_text(self.id, sizeof(self.id), core->options.id);
    set_text(self.addr, sizeof(self.addr), core->options.addr);
    self.electable = core->options.may_lead;
    self.priority = core->options.priority;
    put_member(&config, &self);
    unfollow(step); /* no fetch from before the send until it is settled */
    send_txn(step, true, &config);
}

/* Of equals the highest priority, then the smallest id. */
static bool precedes(const struct kt_service *a, const struct kt_service *b)
{
    return a->priority != b->priority ? a->priority > b->priority : strcmp(a->id, b->id) < 0;
}

static void found(struct step *step)
{
    struct kt_core *core = step->core;
    const struct kt_service *best = NULL;
    uint32_t registered = 0;
    for (size_t i = 0; i < step->view->service_count; i++) {
        const struct kt_service *service = &step->view->services[i];
        if (service->role == KT_ROLE_GATEWAY) {
            continue;
        }
        registered++;
        if (service->state != KT_STATE_EMPTY || service->cluster[0]) {
            wait_for(core,
                     "the leader of the cluster %s, to which %s belongs: an empty node does not "
                     "found one beside it",
                     service->cluster, service->addr);
            return;
        }
        if (service->electable && (!best || precedes(service, best))) {
            best = service;
        }
    }
    if (registered < core->options.expect) {
        wait_for(core, "%u data nodes to register ([cluster] expect), %u are there",
                 core->options.expect, registered);
        return;
    }
    if (!best || !same_id(best->id, core->options.id)) {
        wait_for(core, "%s to found the cluster", best ? best->addr : "a master");
        return;
    }
    struct kt_cluster_config config;
    memset(&config, 0, sizeof(config));
    step->random_id(config.cluster);
    config.min_in_sync = core->options.min_in_sync;
    config.ttl_s = core->options.ttl_s;
    campaign(step, &config);
}

/* Without a configuration in etcd the newest kept one of those registered counts. */
static bool is_newest_kept(const struct step *step, const struct kt_service **ret_newer)
{
    const struct kt_core *core = step->core;
    for (size_t i = 0; i < step->view->service_count; i++) {
        const struct kt_service *service = &step->view->services[i];
        if (service->role == KT_ROLE_GATEWAY || same_id(service->id, core->options.id)) {
            continue;
        }
        if (service->kept.epoch > core->kept.epoch ||
            (service->kept.epoch == core->kept.epoch &&
             service->kept.version > core->kept.version)) {
            *ret_newer = service;
            return false;
        }
    }
    return true;
}

static bool was_leader_in_sync(const struct kt_core *core)
{
    return same_id(core->kept.leader, core->options.id) &&
           kt_cluster_config_in_sync(&core->kept, core->options.id);
}

static void decide_campaign(struct step *step)
{
    struct kt_core *core = step->core;
    const struct kt_cluster_config *config = &step->view->config.value;
    if (!may_campaign(step)) {
        return;
    }
    /* An etcd that is older than a kept configuration is as good as one without. */
    if (step->view->config.present && !is_newer(&core->kept, config)) {
        if (was_leader_in_sync(core) && same_id(core->kept.nonce, config->nonce)) {
            campaign(step, &core->kept);
        } else {
            wait_for(core, "the leader %s of epoch %llu to return", config->leader,
                     (unsigned long long)config->epoch);
        }
        return;
    }
    if (core->kept.version == 0) {
        if (core->end_seq == 0) {
            found(step);
        } else {
            wait_for(core, "a cluster configuration: this database has entries but keeps none");
        }
        return;
    }
    const struct kt_service *newer = NULL;
    if (!was_leader_in_sync(core)) {
        wait_for(core, "node %s, which led when the configuration was last seen",
                 core->kept.leader);
    } else if (!is_newest_kept(step, &newer)) {
        wait_for(core, "the leader to be found: %s keeps a newer configuration (epoch %llu)",
                 newer->addr, (unsigned long long)newer->kept.epoch);
    } else {
        campaign(step, &core->kept);
    }
}

/* --- following --- */

static void follow(struct step *step)
{
    struct kt_core *core = step->core;
    const struct kt_coord_view *view = step->view;
    if (!view->config.present || !view->config.valid ||
        view->config.value.epoch != view->leader.epoch || view->leader.epoch < core->epoch) {
        wait_for(core, "a cluster configuration that agrees with the leader key");
        return; /* goes on with the leader it has */
    }
    core->waiting_for[0] = '\0';
    if (same_id(core->leader_id, view->leader.id) && core->leader_epoch == view->leader.epoch &&
        strcmp(core->leader_addr, view->leader.addr) == 0) {
        return;
    }
    set_text(core->leader_id, sizeof(core->leader_id), view->leader.id);
    set_text(core->leader_addr, sizeof(core->leader_addr), view->leader.addr);
    core->leader_epoch = view->leader.epoch;
    act(step, KT_ACT_FOLLOW);
}

/* Nobody leads, or the key is this node's own although it does not lead: it campaigns, over its
 * own key too, or takes the key away so that another can. */
static void decide_without_leader(struct step *step)
{
    struct kt_core *core = step->core;
    if (!step->view->leader.present) {
        wait_for(core, core->leader_id[0] ? "the leader to return" : "a leader");
    }
    decide_campaign(step);
    if (core->role == KT_CORE_FOLLOWER && step->view->leader.mine && step->view->reachable &&
        has_lease_left(step)) {
        act(step, KT_ACT_DELETE_LEADER);
    }
}

static void decide_following(struct step *step)
{
    struct kt_core *core = step->core;
    const struct kt_coord_view *view = step->view;
    if (has_twin(step)) {
        return;
    }
    if (core->role == KT_CORE_CAMPAIGNING) {
        settle_by_view(step);
        if (core->role == KT_CORE_CAMPAIGNING && step->now_ms >= core->txn.resend_mono_ms &&
            !core->resigned && has_lease_left(step)) {
            send_txn(step, true, NULL);
        }
        return;
    }
    if (view->config.present && !view->config.valid) {
        wait_for(core, "a readable cluster configuration: the key in etcd is damaged");
        return; /* goes on with the leader it has */
    }
    if (!view->leader.present || view->leader.mine) {
        decide_without_leader(step);
        return;
    }
    if (same_id(view->leader.id, core->options.id)) {
        /* Left by our own earlier process: its epoch ended with it. */
        wait_for(core, "the own earlier leader key to be removed");
        if (view->own_key_present && !core->resigned) {
            act(step, KT_ACT_DELETE_LEADER);
        }
        return;
    }
    follow(step);
}

static void on_view(struct step *step)
{
    struct kt_core *core = step->core;
    if (core->role != KT_CORE_STOPPED) {
        learn_config(step);
    }
    if (core->role == KT_CORE_STOPPED) {
        if (step->view->leader.mine && step->view->reachable) {
            act(step, KT_ACT_DELETE_LEADER);
        }
    } else if (core->role == KT_CORE_LEADING) {
        decide_leading(step);
    } else {
        decide_following(step);
    }
}

void kt_core_step(struct kt_core *core, const struct kt_event *event, int64_t now_mono_ms,
                  void (*random_id)(char dest[KT_ID_LEN + 1]), struct kt_actions *ret_actions)
{
    struct step step = {core,      event->view, now_mono_ms, event->lease_end_mono_ms,
                        random_id, ret_actions};
    ret_actions->count = 0;
    switch (event->kind) {
    case KT_EV_VIEW:
        on_view(&step);
        break;
    case KT_EV_TXN:
        if (core->role != KT_CORE_STOPPED) {
            on_txn(&step, event->outcome);
        }
        break;
    case KT_EV_STARTED:
        if (core->role == KT_CORE_LEADING && event->epoch_start_seq == core->epoch_start_seq) {
            core->started = true;
        }
        break;
    case KT_EV_FAULT:
        core->campaign_after_mono_ms = now_mono_ms + FAULT_PAUSE_MS;
        if (core->role == KT_CORE_LEADING) {
            step_down(&step, event->why);
        }
        break;
    case KT_EV_RESIGN:
        core->resigned = true;
        if (core->role == KT_CORE_LEADING) {
            step_down(&step, "the process is stopping");
        }
        unfollow(&step);
        break;
    case KT_EV_DIVERGED:
        unfollow(&step);
        stop_for_good(&step, event->why);
        break;
    }
}

uint64_t kt_core_persisted(struct kt_core *core, uint64_t seq, uint64_t epoch)
{
    core->end_seq = seq;
    core->end_epoch = epoch;
    if (epoch > core->epoch) {
        core->epoch = epoch;
    }
    if (core->role == KT_CORE_LEADING && core->epoch_start_seq && seq >= core->epoch_start_seq &&
        seq > core->commit_seq) {
        core->commit_seq = seq;
    }
    return core->commit_seq;
}

void kt_core_service(const struct kt_core *core, uint64_t applied, struct kt_service *service)
{
    set_text(service->id, sizeof(service->id), core->options.id);
    set_text(service->cluster, sizeof(service->cluster), core->cluster);
    set_text(service->addr, sizeof(service->addr), core->options.addr);
    service->role = core->role == KT_CORE_LEADING ? KT_ROLE_LEADER : KT_ROLE_FOLLOWER;
    service->electable = core->options.may_lead;
    service->priority = core->options.priority;
    service->state = core->role == KT_CORE_STOPPED                    ? KT_STATE_DIVERGED
                     : core->end_seq == 0 && core->cluster[0] == '\0' ? KT_STATE_EMPTY
                                                                      : KT_STATE_WHOLE;
    service->kept.version = core->kept.version;
    service->kept.epoch = core->kept.epoch;
    memcpy(service->kept.epoch_id, core->kept.epoch_id, sizeof(service->kept.epoch_id));
    service->kept.in_sync_count = core->kept.in_sync_count;
    memcpy(service->kept.in_sync, core->kept.in_sync, sizeof(service->kept.in_sync));
    service->end_epoch = core->end_epoch;
    service->end_seq = core->end_seq;
    service->revision = applied;
}

/* SPDX-License-Identifier: MIT */
/* Who campaigns for the next epoch, and who begins where no usable configuration stands in etcd. */
#include "replica/machine_impl.h"

#include <stdio.h>
#include <string.h>

#define LEASE_LEFT_DIVISOR 5 /* campaign with a fifth of the ttl left */
#define RENEW_AGAIN_MS 300
#define PRIORITY_DELAY_MS 150
/* "Longer than a ttl", also by a clock that runs 1 % fast against the others'. */
#define SETTLE_PERCENT 110

static bool is_data_of_cluster(const struct kt_machine *machine, const struct kt_service *service)
{
    return service->role != KT_ROLE_GATEWAY && service->id[0] &&
           (!service->cluster[0] || !machine->disk.cluster[0] ||
            kt_m_same(service->cluster, machine->disk.cluster));
}

/* The newest configuration kept by anyone registered; NULL = nobody keeps one. */
static const struct kt_service *newest_kept(const struct kt_machine *machine,
                                            const struct kt_coord_view *view)
{
    const struct kt_service *newest = NULL;
    for (size_t i = 0; i < view->service_count; i++) {
        const struct kt_service *service = &view->services[i];
        if (is_data_of_cluster(machine, service) && service->kept.version > 0 &&
            service->state != KT_STATE_DIVERGED &&
            (!newest || kt_m_is_newer(service->kept.epoch, service->kept.version,
                                      newest->kept.epoch, newest->kept.version))) {
            newest = service;
        }
    }
    return newest;
}

/* Is the configuration in etcd one to go by: ours, and no older than one that somebody keeps? */
static bool is_usable(const struct kt_machine *machine)
{
    const struct kt_cluster_config *kept = &machine->disk.kept;
    const struct kt_service *newest = newest_kept(machine, machine->facts.view);
    return kt_m_config_is_kept(machine) &&
           !(newest &&
             kt_m_is_newer(newest->kept.epoch, newest->kept.version, kept->epoch, kept->version));
}

/* Does etcd show this node's entry as it is? Others go by it when nobody leads. */
static bool is_entry_exact(const struct kt_machine *machine)
{
    const struct kt_service *own = kt_m_own_entry(machine);
    const struct kt_machine_disk *disk = &machine->disk;
    return own && own->kept.version == disk->kept.version && own->kept.epoch == disk->kept.epoch &&
           own->kept.growth_count == disk->growth.count &&
           own->end_seq == machine->facts.log->synced_seq &&
           (own->state == KT_STATE_COPYING) == disk->half_copy;
}

/* An empty node founds nothing while others, with data, come and go. */
static bool sees_data(const struct kt_machine *machine)
{
    const struct kt_coord_view *view = machine->facts.view;
    for (size_t i = 0; i < view->service_count; i++) {
        if (view->services[i].role != KT_ROLE_GATEWAY &&
            view->services[i].state != KT_STATE_EMPTY) {
            return true;
        }
    }
    return false;
}

void kt_m_note_quiet(struct kt_machine *machine)
{
    const struct kt_coord_view *view = machine->facts.view;
    bool someone_leads = view->leader.present && !view->leader.mine &&
                         !kt_m_same(view->leader.id, machine->options.id);
    /* A loss is accepted for this one time in which nobody leads. */
    machine->recover_until_ms = someone_leads ? 0 : machine->recover_until_ms;
    bool recovering = machine->facts.now_ms < machine->recover_until_ms;
    if (!view->complete || !view->reachable || someone_leads || machine->role == KT_M_LEADS ||
        !is_entry_exact(machine) || (machine->disk.kept.version == 0 && sees_data(machine)) ||
        (view->config.present && is_usable(machine) && !recovering)) {
        machine->quiet_since_ms = machine->facts.now_ms;
    }
}

static bool has_settled(const struct kt_machine *machine)
{
    return machine->facts.now_ms - machine->quiet_since_ms >
           kt_m_ttl_ms(machine) * SETTLE_PERCENT / 100;
}

/* Rule E1, as far as it does not hang on the configuration. */
static bool may_campaign(struct kt_machine *machine)
{
    const struct kt_coord_view *view = machine->facts.view;
    const struct kt_machine_log *log = machine->facts.log;
    int64_t now_ms = machine->facts.now_ms;
    if (!machine->options.electable && !machine->options.standalone) {
        kt_m_wait_for(machine, "a leader: this node is not electable");
        return false;
    }
    if ((machine->disk.half_copy && !KT_PLANTED(half_copy_leads)) || machine->swapping) {
        kt_m_wait_for(machine, "a leader, for the rest of its copy of the data");
        return false;
    }
    if (!view->complete || !view->reachable || !view->own_key_present) {
        kt_m_wait_for(machine, "this node's own registration in etcd");
        return false;
    }
    if (machine->facts.lease_end_ms - now_ms < kt_m_ttl_ms(machine) / LEASE_LEFT_DIVISOR) {
        if (now_ms >= machine->renew_after_ms) {
            machine->renew_after_ms = now_ms + RENEW_AGAIN_MS;
            kt_m_act(machine, KT_M_RENEW_LEASE);
        }
        kt_m_wait_for(machine, "a renewed lease in etcd");
        return false;
    }
    if (now_ms < machine->campaign_after_ms || machine->appending_to ||
        log->synced_seq != log->end_seq) {
        kt_m_wait_for(machine, "its disk");
        return false;
    }
    return true;
}

/* Rule E2. The configuration has its leader, epoch and in_sync from here. */
static void campaign(struct kt_machine *machine, const struct kt_cluster_config *base,
                     uint64_t epoch, uint64_t version, const struct kt_id_set *in_sync)
{
    struct kt_cluster_config *config = &machine->txn.config;
    *config = *base;
    config->epoch = epoch;
    config->version = version;
    machine->options.random_id(machine->options.random_ctx, config->epoch_id);
    machine->options.random_id(machine->options.random_ctx, config->nonce);
    if (KT_PLANTED(no_epoch_id)) {
        memset(config->epoch_id, '0', KT_ID_LEN);
    }
    kt_m_set(config->leader, sizeof(config->leader), machine->options.id);
    memcpy(config->in_sync, in_sync->ids, sizeof(config->in_sync));
    config->in_sync_count = in_sync->count;
    if (KT_PLANTED(epoch_resumed) && kt_m_same(base->leader, machine->options.id)) {
        config->epoch = base->epoch;
        kt_m_set(config->epoch_id, sizeof(config->epoch_id), base->epoch_id);
    }
    kt_m_send_txn(machine, true);
}

static void add_id(struct kt_id_set *set, const char *id)
{
    if (set->count < KT_MEMBERS_MAX && !kt_m_set_has(set, id)) {
        kt_m_set(set->ids[set->count++], KT_ID_LEN + 1, id);
    }
}

/* Without those that are not in etcd, but never fewer than min_in_sync. */
static void choose_in_sync(const struct kt_machine *machine, struct kt_id_set *set)
{
    const struct kt_cluster_config *kept = &machine->disk.kept;
    memset(set, 0, sizeof(*set));
    add_id(set, machine->options.id);
    for (size_t i = 0; i < kept->in_sync_count; i++) {
        if (kt_m_service_of(machine, kept->in_sync[i])) {
            add_id(set, kept->in_sync[i]);
        }
    }
    for (size_t i = 0; i < kept->in_sync_count && set->count < kept->min_in_sync; i++) {
        add_id(set, kept->in_sync[i]);
    }
}

static int64_t priority_delay_ms(const struct kt_machine *machine)
{
    const struct kt_cluster_config *kept = &machine->disk.kept;
    int64_t delay_ms = 0;
    for (size_t i = 0; i < kept->in_sync_count && !machine->hurry; i++) {
        const struct kt_service *service = kt_m_service_of(machine, kept->in_sync[i]);
        if (service && service->electable && service->priority > machine->options.priority) {
            delay_ms += PRIORITY_DELAY_MS;
        }
    }
    return delay_ms;
}

static void campaign_by_config(struct kt_machine *machine)
{
    const struct kt_cluster_config *kept = &machine->disk.kept;
    int64_t now_ms = machine->facts.now_ms;
    if (!kt_cluster_config_in_sync(kept, machine->options.id)) {
        machine->eligible_since_ms = 0;
        kt_m_wait_for(machine, "one of those in sync, of which it is none, to lead (%s … )",
                      kept->in_sync[0]);
        return;
    }
    if (now_ms < machine->promise_until_ms && !KT_PLANTED(no_promise)) {
        machine->eligible_since_ms = 0;
        kt_m_wait_for(machine, "its promise to the last leader to run out");
        return;
    }
    if (!machine->eligible_since_ms) {
        machine->eligible_since_ms = now_ms;
    }
    if (now_ms - machine->eligible_since_ms < priority_delay_ms(machine)) {
        return;
    }
    struct kt_id_set in_sync;
    choose_in_sync(machine, &in_sync);
    campaign(machine, kept, machine->disk.epoch + 1, kept->version + 1, &in_sync);
}

/* --- without a usable configuration --- */

static bool precedes(const struct kt_service *a, const struct kt_service *b, bool by_log)
{
    if (by_log && (a->end_epoch != b->end_epoch || a->end_seq != b->end_seq)) {
        return kt_m_is_newer(a->end_epoch, a->end_seq, b->end_epoch, b->end_seq);
    }
    return a->priority != b->priority ? a->priority > b->priority : strcmp(a->id, b->id) < 0;
}

void kt_m_put_member(struct kt_cluster_config *config, const struct kt_service *service)
{
    struct kt_member *member = NULL;
    for (size_t i = 0; i < config->member_count; i++) {
        if (kt_m_same(config->members[i].id, service->id)) {
            member = &config->members[i];
        }
    }
    if (!member) {
        KT_ASSERT(config->member_count < KT_MEMBERS_MAX);
        member = &config->members[config->member_count++];
    }
    kt_m_set(member->id, sizeof(member->id), service->id);
    kt_m_set(member->addr, sizeof(member->addr), service->addr);
    member->electable = service->electable;
    member->priority = service->priority;
}

/* Rule E7. */
static void found(struct kt_machine *machine)
{
    const struct kt_coord_view *view = machine->facts.view;
    const struct kt_service *best = NULL;
    uint32_t registered = 0, expect = machine->options.expect;
    for (size_t i = 0; i < view->service_count; i++) {
        const struct kt_service *service = &view->services[i];
        if (service->role == KT_ROLE_GATEWAY) {
            continue;
        }
        registered++;
        if ((service->state != KT_STATE_EMPTY || service->cluster[0]) &&
            !KT_PLANTED(empty_node_leads)) {
            kt_m_wait_for(machine, "the leader of the cluster to which %s belongs", service->addr);
            return;
        }
        if (service->electable && (!best || precedes(service, best, false))) {
            best = service;
        }
    }
    bool at_once = expect > 1 && registered == expect;
    if (registered < expect) {
        kt_m_wait_for(machine, "%u data nodes to register ([cluster] expect), %u are there", expect,
                      registered);
        return;
    }
    if (!at_once && !has_settled(machine)) {
        kt_m_wait_for(machine, "a time in which nobody leads");
        return;
    }
    if (!best || !kt_m_same(best->id, machine->options.id)) {
        kt_m_wait_for(machine, "%s to found the cluster", best ? best->addr : "an electable node");
        return;
    }
    struct kt_cluster_config config;
    struct kt_id_set in_sync = {.count = 0};
    memset(&config, 0, sizeof(config));
    machine->options.random_id(machine->options.random_ctx, config.cluster);
    config.min_in_sync = machine->options.min_in_sync;
    config.ttl_s = machine->options.ttl_s;
    kt_m_put_member(&config, best);
    add_id(&in_sync, best->id);
    campaign(machine, &config, 1, 1, &in_sync);
}

/* Rule E9. Also what founds a cluster on a database that was written without etcd. */
static void lead_alone(struct kt_machine *machine)
{
    const struct kt_coord_view *view = machine->facts.view;
    const struct kt_service *own = kt_m_own_entry(machine);
    struct kt_cluster_config config;
    struct kt_id_set in_sync = {.count = 0};
    uint64_t epoch = machine->disk.epoch, version = machine->disk.kept.version;
    if (!own) {
        kt_m_wait_for(machine, "this node's own registration");
        return;
    }
    memset(&config, 0, sizeof(config));
    kt_m_set(config.cluster, sizeof(config.cluster), machine->disk.cluster);
    if (!config.cluster[0]) {
        machine->options.random_id(machine->options.random_ctx, config.cluster);
    }
    if (view->config.present && view->config.valid && view->config.value.version > version) {
        version = view->config.value.version;
    }
    config.min_in_sync = machine->options.standalone ? 1 : machine->options.min_in_sync;
    config.ttl_s = machine->options.ttl_s;
    kt_m_put_member(&config, own);
    add_id(&in_sync, own->id);
    campaign(machine, &config, epoch + 1, version + 1, &in_sync);
}

/* Rule E9: not while nodes of a cluster are there whose configuration etcd may have lost. */
static void found_on_standalone(struct kt_machine *machine)
{
    const struct kt_coord_view *view = machine->facts.view;
    for (size_t i = 0; i < view->service_count; i++) {
        const struct kt_service *service = &view->services[i];
        if (service->role != KT_ROLE_GATEWAY && service->cluster[0] &&
            !kt_m_same(service->cluster, machine->disk.cluster)) {
            kt_m_wait_for(machine, "the leader of the cluster to which %s belongs", service->addr);
            return;
        }
    }
    lead_alone(machine);
}

/* Its leader alone keeps the growth that it has sent: others keep the same configuration without.
 */
static void union_of(const struct kt_machine *machine, const struct kt_coord_view *view,
                     const struct kt_service *newest, struct kt_id_set *ret_set)
{
    ret_set->count = 0;
    for (size_t i = 0; i < newest->kept.in_sync_count; i++) {
        add_id(ret_set, newest->kept.in_sync[i]);
    }
    for (size_t i = 0; i < view->service_count; i++) {
        const struct kt_service *service = &view->services[i];
        bool same = is_data_of_cluster(machine, service) && service->state != KT_STATE_DIVERGED &&
                    service->kept.epoch == newest->kept.epoch &&
                    service->kept.version == newest->kept.version &&
                    (service == newest || !KT_PLANTED(growth_of_one));
        for (size_t j = 0; same && j < service->kept.growth_count; j++) {
            add_id(ret_set, service->kept.growth[j]);
        }
    }
}

/* The whole node with the greatest log: of `set`, or of all that are registered. */
static const struct kt_service *best_of(const struct kt_machine *machine,
                                        const struct kt_coord_view *view,
                                        const struct kt_id_set *set)
{
    const struct kt_service *best = NULL;
    for (size_t i = 0; i < view->service_count; i++) {
        const struct kt_service *service = &view->services[i];
        if (is_data_of_cluster(machine, service) && (!set || kt_m_set_has(set, service->id)) &&
            service->electable &&
            (service->state == KT_STATE_WHOLE ||
             (KT_PLANTED(half_copy_leads) && service->state == KT_STATE_COPYING)) &&
            (!best || precedes(service, best, true))) {
            best = service;
        }
    }
    return best;
}

/* Are all of the newest kept union registered? Says who is missing. */
static bool is_union_there(struct kt_machine *machine, const struct kt_id_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        if (!kt_m_service_of(machine, set->ids[i])) {
            kt_m_wait_for(machine,
                          "node %s, which was in sync when the configuration was last kept; if it "
                          "is gone for good: POST /cluster/recover",
                          set->ids[i]);
            return false;
        }
    }
    return true;
}

/* Rules E6 and E8. */
static void begin_again(struct kt_machine *machine, const struct kt_service *newest, bool recover)
{
    const struct kt_coord_view *view = machine->facts.view;
    struct kt_id_set set, own = {.count = 0};
    uint64_t epoch = machine->disk.epoch, version = 0;
    union_of(machine, view, newest, &set);
    if (machine->facts.now_ms < machine->promise_until_ms) {
        kt_m_wait_for(machine, "its promise to the last leader to run out");
        return;
    }
    if (!recover && !KT_PLANTED(leader_among_present) && !is_union_there(machine, &set)) {
        return;
    }
    for (size_t i = 0; i < view->service_count; i++) {
        const struct kt_service *service = &view->services[i];
        if (!is_data_of_cluster(machine, service)) {
            continue;
        }
        epoch = service->kept.epoch > epoch ? service->kept.epoch : epoch;
        epoch = service->end_epoch > epoch ? service->end_epoch : epoch;
        version = service->kept.version > version ? service->kept.version : version;
        if (KT_PLANTED(in_sync_all_registered)) {
            add_id(&own, service->id);
        }
    }
    const struct kt_service *best = best_of(machine, view, recover ? NULL : &set);
    if (!best || !kt_m_same(best->id, machine->options.id)) {
        kt_m_wait_for(machine, "%s to lead", best ? best->addr : "a whole node of those in sync");
        return;
    }
    if (view->config.present && view->config.valid && view->config.value.version > version) {
        version = view->config.value.version;
    }
    add_id(&own, best->id);
    campaign(machine, &machine->disk.kept, epoch + 1, version + 1, &own);
}

void kt_m_consider_campaign(struct kt_machine *machine)
{
    bool recover = machine->facts.now_ms < machine->recover_until_ms;
    if (!may_campaign(machine)) {
        machine->eligible_since_ms = 0;
        return;
    }
    if (machine->options.standalone) {
        lead_alone(machine);
        return;
    }
    /* Who is in sync needs nobody's leave to lead. */
    bool leave = recover && !kt_cluster_config_in_sync(&machine->disk.kept, machine->options.id);
    if (is_usable(machine) && !leave) {
        campaign_by_config(machine);
        return;
    }
    const struct kt_service *newest = newest_kept(machine, machine->facts.view);
    if (!newest || (KT_PLANTED(empty_node_leads) && machine->disk.kept.version == 0)) {
        if (machine->facts.log->end_seq == 0) {
            found(machine);
        } else {
            kt_m_wait_for(machine, "a configuration: this database has entries but keeps none");
        }
        return;
    }
    if (!has_settled(machine)) {
        kt_m_wait_for(machine, "a time in which nobody leads");
    } else if (machine->disk.kept.version == 0) {
        kt_m_wait_for(machine, "a leader: this node is empty, others are not");
    } else if (machine->disk.standalone) {
        found_on_standalone(machine);
    } else {
        begin_again(machine, newest, recover);
    }
}

/* --- for whoever asks to recover --- */

void kt_machine_recovery(const struct kt_machine *machine, const struct kt_coord_view *view,
                         char *ret_missing, size_t size, char ret_best[KT_ADDR_MAX])
{
    const struct kt_service *newest = newest_kept(machine, view);
    const struct kt_service *best = best_of(machine, view, NULL);
    size_t len = 0;
    struct kt_id_set set = {.count = 0};
    ret_missing[0] = ret_best[0] = '\0';
    if (best) {
        kt_m_set(ret_best, KT_ADDR_MAX, best->addr);
    }
    if (newest) {
        union_of(machine, view, newest, &set);
    }
    for (size_t i = 0; i < set.count; i++) {
        const struct kt_member *member = kt_cluster_config_member(&machine->disk.kept, set.ids[i]);
        if (!kt_coord_view_node(view, set.ids[i]) && len < size) {
            int wrote =
                snprintf(ret_missing + len, size - len, "%s%s%s%s%s", len ? ", " : "", set.ids[i],
                         member ? " (" : "", member ? member->addr : "", member ? ")" : "");
            len += wrote > 0 ? (size_t)wrote : 0;
        }
    }
}

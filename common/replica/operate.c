/* SPDX-License-Identifier: MIT */
/* What operators ask: hand over, recover, forget, what happened. Each is a request to the machine;
 * what comes of it is seen in etcd.
 */
#include "base/clock.h"
#include "base/log.h"
#include "replica/replica_impl.h"

#include <string.h>

#define RECOVER_MS 5000 /* for a step that is under way */

/* Mutex held. */
static void tell(struct kt_replica *replica, enum kt_m_event_kind kind, const char *to)
{
    struct kt_m_event event;
    memset(&event, 0, sizeof(event));
    event.kind = kind;
    event.to = to;
    kt_replica_step(replica, &event);
    kt_cond_signal(&replica->replica_cond);
}

/* --- handover --- */

/* May this member take over? Mutex held. */
static bool can_lead(const struct kt_replica *replica, const struct kt_member *member)
{
    const struct kt_machine *machine = &replica->machine;
    return member->electable && strcmp(member->id, machine->options.id) != 0 &&
           kt_cluster_config_in_sync(&machine->disk.kept, member->id) &&
           kt_machine_peer(machine, member->id);
}

/* The one named, or the most advanced. Mutex held. */
static enum kt_status choose(const struct kt_replica *replica, const char *to,
                             const struct kt_member **ret_member, struct kt_error *err)
{
    const struct kt_machine *machine = &replica->machine;
    const struct kt_cluster_config *kept = &machine->disk.kept;
    const struct kt_member *best = NULL;
    uint64_t best_acked = 0;
    for (size_t i = 0; i < kept->member_count; i++) {
        const struct kt_member *member = &kept->members[i];
        if (to[0] && strcmp(member->id, to) != 0 && strcmp(member->addr, to) != 0) {
            continue;
        }
        if (!can_lead(replica, member)) {
            continue;
        }
        uint64_t acked = kt_machine_peer(machine, member->id)->acked;
        if (!best || acked > best_acked ||
            (acked == best_acked && member->priority > best->priority)) {
            best = member;
            best_acked = acked;
        }
    }
    *ret_member = best;
    if (!best && to[0]) {
        return kt_fail_field(err, KT_BAD_VALUE, "to",
                             "to: %s is not another, electable member that is in sync", to);
    }
    return best ? KT_OK
                : kt_fail(err, KT_CONFLICT,
                          "no other electable member is in sync: see "
                          "/cluster/info");
}

enum kt_status kt_replica_handover(struct kt_replica *replica, const char *to,
                                   int64_t deadline_mono_ms, char ret_to[KT_ADDR_MAX],
                                   struct kt_error *err)
{
    const struct kt_member *member = NULL;
    char id[KT_ID_LEN + 1];
    kt_mutex_lock(&replica->mutex);
    uint64_t epoch = replica->machine.disk.epoch;
    enum kt_status status = KT_OK;
    if (replica->machine.role != KT_M_LEADS) {
        status = kt_fail(err, KT_NOT_LEADER, "this node does not lead");
    }
    if (status == KT_OK && !kt_replica_await_step_until(replica, deadline_mono_ms)) {
        status = kt_fail(err, KT_TIMEOUT, "this node waits for its disk");
    }
    if (status == KT_OK) {
        status = choose(replica, to, &member, err);
    }
    if (status == KT_OK) {
        memcpy(id, member->id, sizeof(id));
        kt_str_copy(ret_to, KT_ADDR_MAX, kt_str(member->addr));
        kt_log(INFO, "replica", "handover", "to=%s epoch=%llu", ret_to, (unsigned long long)epoch);
        kt_replica_note(replica, ret_to, "handover", "asked for by an operator");
        tell(replica, KT_M_HANDOVER_ASKED, id);
        while (status == KT_OK &&
               !(replica->view->leader.present && replica->view->leader.epoch > epoch)) {
            if (replica->log_stop ||
                !kt_cond_wait(&replica->changed_cond, &replica->mutex, deadline_mono_ms)) {
                status = kt_fail(err, KT_TIMEOUT, "%s has not taken over yet", ret_to);
            }
        }
        if (status == KT_OK && strcmp(replica->view->leader.id, id) != 0) {
            status = kt_fail(err, KT_CONFLICT, "%s was asked to lead, but %s leads now", ret_to,
                             replica->view->leader.addr);
        }
    }
    kt_mutex_unlock(&replica->mutex);
    return status;
}

/* --- recover --- */

enum kt_status kt_replica_recover(struct kt_replica *replica, char *ret_missing, size_t size,
                                  char ret_best[KT_ADDR_MAX], struct kt_error *err)
{
    enum kt_status status = KT_OK;
    kt_mutex_lock(&replica->mutex);
    bool free = kt_replica_await_step_until(replica, kt_now_mono_ms() + RECOVER_MS);
    kt_machine_recovery(&replica->machine, replica->view, ret_missing, size, ret_best);
    if (replica->view->leader.present || replica->machine.role == KT_M_LEADS) {
        status = kt_fail(err, KT_CONFLICT, "%s leads: there is nothing to recover",
                         replica->machine.role == KT_M_LEADS ? replica->addr
                                                             : replica->view->leader.addr);
    } else if (!ret_best[0]) {
        status =
            kt_fail(err, KT_CONFLICT, "no whole, electable node of this cluster is registered");
    } else if (strcmp(ret_best, replica->addr) != 0) {
        status =
            kt_fail(err, KT_UNAVAILABLE, "%s is the most advanced node: ask that one", ret_best);
    } else if (!free) {
        status = kt_fail(err, KT_UNAVAILABLE, "this node waits for its disk");
    } else {
        kt_log(WARN, "replica", "recover", "missing=\"%s\" do=\"what only these had is lost\"",
               ret_missing);
        kt_replica_note(replica, replica->addr, "recover", "without %.150s",
                        ret_missing[0] ? ret_missing : "anybody missing");
        tell(replica, KT_M_RECOVER_ASKED, NULL);
    }
    kt_mutex_unlock(&replica->mutex);
    return status;
}

/* --- forget --- */

enum kt_status kt_replica_forget(struct kt_replica *replica, const char *id,
                                 int64_t deadline_mono_ms, struct kt_error *err)
{
    enum kt_status status = KT_OK;
    const struct kt_machine *machine = &replica->machine;
    kt_mutex_lock(&replica->mutex);
    if (machine->role != KT_M_LEADS) {
        status = kt_fail(err, KT_NOT_LEADER, "this node does not lead");
    } else if (!kt_cluster_config_member(&machine->disk.kept, id)) {
        status = kt_fail_field(err, KT_NOT_FOUND, "id", "id: no member has the id %s", id);
    } else if (kt_coord_view_node(replica->view, id)) {
        status = kt_fail_field(err, KT_CONFLICT, "id",
                               "id: %s is registered and would enter again: stop it first", id);
    } else if (!kt_replica_await_step_until(replica, deadline_mono_ms)) {
        status = kt_fail(err, KT_TIMEOUT, "this node waits for its disk");
    } else {
        tell(replica, KT_M_FORGET_ASKED, id);
    }
    while (status == KT_OK && kt_cluster_config_member(&machine->disk.kept, id)) {
        if (replica->log_stop || machine->role != KT_M_LEADS) {
            status = kt_fail(err, KT_UNAVAILABLE, "this node stepped down meanwhile");
        } else if (!kt_cond_wait(&replica->changed_cond, &replica->mutex, deadline_mono_ms)) {
            status = kt_fail(err, KT_TIMEOUT, "etcd has not taken the change yet");
        }
    }
    kt_mutex_unlock(&replica->mutex);
    return status;
}

/* --- what happened --- */

size_t kt_replica_events(struct kt_replica *replica, struct kt_replica_event *dest, size_t max)
{
    kt_mutex_lock(&replica->mutex);
    uint64_t have =
        replica->event_count < KT_REPLICA_EVENTS_MAX ? replica->event_count : KT_REPLICA_EVENTS_MAX;
    uint64_t count = have < max ? have : max;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = replica->event_count - count + i;
        dest[i] = replica->events[at % KT_REPLICA_EVENTS_MAX];
    }
    kt_mutex_unlock(&replica->mutex);
    return (size_t)count;
}

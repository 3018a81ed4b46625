/* SPDX-License-Identifier: MIT */
/* view.c - immutable, counted copies of the facts, and what a change between two of them says. */
#include "coord/coord_internal.h"

#include "base/log.h"

#include <string.h>

static bool copy_config(const struct coord_facts *facts, struct kt_coord_view *view)
{
    if (!facts->config) {
        return true;
    }
    view->config.present = true;
    view->config.valid = facts->config->valid;
    view->config.value = facts->config->value;
    view->config.mod_revision = facts->config->mod_revision;
    memcpy(view->config.why_invalid, facts->config->why_invalid, sizeof(view->config.why_invalid));
    view->config.text = kt_strndup(facts->config->text, facts->config->text_len);
    return view->config.text != NULL;
}

static void copy_leader(const struct coord_leader *leader, int64_t own_lease,
                        struct kt_coord_view *view)
{
    view->leader.present = leader->present;
    view->leader.mine = leader->present && own_lease != 0 && leader->lease == own_lease;
    memcpy(view->leader.id, leader->id, sizeof(view->leader.id));
    memcpy(view->leader.addr, leader->addr, sizeof(view->leader.addr));
    view->leader.epoch = leader->epoch;
    view->leader.create_revision = leader->create_revision;
    view->leader.lease = leader->lease;
}

struct kt_coord_view *kt_coord_view_build(const struct coord_facts *facts,
                                          const struct coord_own *own)
{
    struct kt_coord_view *view = kt_calloc(1, sizeof(*view));
    const struct kt_service *mine;

    if (!view) {
        return NULL;
    }
    view->refs = 1;
    view->complete = own->complete;
    view->reachable = own->reachable;
    view->revision = facts->revision;
    view->own_lease = own->lease;
    if (facts->count > 0) {
        view->services = kt_calloc(facts->count, sizeof(*view->services));
        if (!view->services) {
            kt_coord_view_unref(&view);
            return NULL;
        }
        memcpy(view->services, facts->services, facts->count * sizeof(*view->services));
        view->service_count = facts->count;
    }
    copy_leader(&facts->leader, own->lease, view);
    if (!copy_config(facts, view)) {
        kt_coord_view_unref(&view);
        return NULL;
    }
    mine = kt_facts_service(facts, own->service_name, own->addr);
    view->own_key_present = mine && own->lease != 0 && mine->lease == own->lease;
    return view;
}

void kt_coord_view_unref(struct kt_coord_view **view)
{
    struct kt_coord_view *last = *view;

    *view = NULL;
    /* Release, so that this holder's reads are over before another one frees; acquire, so that
     * who frees sees them over. */
    if (!last || __atomic_sub_fetch(&last->refs, 1, __ATOMIC_ACQ_REL) > 0) {
        return;
    }
    kt_free(last->services);
    kt_free(last->config.text);
    kt_free(last);
}

const struct kt_service *kt_coord_view_node(const struct kt_coord_view *view, const char *id)
{
    const struct kt_service *found = NULL;

    for (size_t i = 0; i < view->service_count; i++) {
        const struct kt_service *service = &view->services[i];

        /* Of two random ids the first characters differ mostly. */
        if (service->role != KT_ROLE_GATEWAY && service->id[0] == id[0] &&
            strcmp(service->id, id) == 0 &&
            (!found || (found->state == KT_STATE_DIVERGED && service->state != KT_STATE_DIVERGED) ||
             (service->state != KT_STATE_DIVERGED &&
              service->create_revision < found->create_revision))) {
            found = service;
        }
    }
    return found;
}

static bool same_services(const struct kt_coord_view *a, const struct kt_coord_view *b)
{
    if (a->service_count != b->service_count) {
        return false;
    }
    for (size_t i = 0; i < a->service_count; i++) {
        const struct kt_service *x = &a->services[i], *y = &b->services[i];

        /* A key that was written again has another mod_revision, in one store; two stores (etcd
         * lost its disk) differ in the lease. */
        if (x->mod_revision != y->mod_revision || x->lease != y->lease ||
            strcmp(x->addr, y->addr) != 0 || strcmp(x->service_name, y->service_name) != 0) {
            return false;
        }
    }
    return true;
}

bool kt_coord_view_same(const struct kt_coord_view *a, const struct kt_coord_view *b)
{
    if (a->complete != b->complete || a->reachable != b->reachable ||
        a->own_lease != b->own_lease || a->own_key_present != b->own_key_present ||
        a->leader.present != b->leader.present || a->leader.mine != b->leader.mine ||
        a->leader.create_revision != b->leader.create_revision ||
        a->leader.lease != b->leader.lease || a->leader.epoch != b->leader.epoch ||
        strcmp(a->leader.id, b->leader.id) != 0 || a->config.present != b->config.present ||
        a->config.mod_revision != b->config.mod_revision) {
        return false;
    }
    if (a->config.present && strcmp(a->config.text, b->config.text) != 0) {
        return false;
    }
    return same_services(a, b);
}

static const struct kt_service *find(const struct kt_coord_view *view, const struct kt_service *one)
{
    for (size_t i = 0; i < view->service_count; i++) {
        if (strcmp(view->services[i].addr, one->addr) == 0 &&
            strcmp(view->services[i].service_name, one->service_name) == 0) {
            return &view->services[i];
        }
    }
    return NULL;
}

static void log_services(const struct kt_coord_view *before, const struct kt_coord_view *after)
{
    for (size_t i = 0; i < after->service_count; i++) {
        const struct kt_service *now = &after->services[i], *then = find(before, now);

        if (!then || strcmp(then->id, now->id) != 0) {
            kt_log(INFO, "coord", "node_joined", "addr=%s id=%s role=%s service=%s revision=%llu",
                   now->addr, now->id, kt_node_role_name(now->role), now->service_name,
                   (unsigned long long)now->revision);
        }
    }
    for (size_t i = 0; i < before->service_count; i++) {
        const struct kt_service *then = &before->services[i];

        if (!find(after, then)) {
            kt_log(INFO, "coord", "node_left", "addr=%s id=%s role=%s service=%s", then->addr,
                   then->id, kt_node_role_name(then->role), then->service_name);
        }
    }
}

static void log_config(const struct kt_coord_view *before, const struct kt_coord_view *after)
{
    const struct kt_cluster_config *config = &after->config.value;

    if (!after->config.present) {
        if (before->config.present) {
            kt_log(WARN, "coord", "config_gone", "version=%llu",
                   (unsigned long long)before->config.value.version);
        }
        return;
    }
    if (before->config.present && strcmp(before->config.text, after->config.text) == 0) {
        return;
    }
    if (!after->config.valid) {
        kt_log(ERROR, "coord", "config_invalid", "why=\"%s\"", after->config.why_invalid);
        return;
    }
    kt_log(INFO, "coord", "config_changed",
           "version=%llu epoch=%llu leader=%s in_sync=%zu members=%zu",
           (unsigned long long)config->version, (unsigned long long)config->epoch, config->leader,
           config->in_sync_count, config->member_count);
}

void kt_coord_view_log(const struct kt_coord_view *before, const struct kt_coord_view *after)
{
    if (after->complete) {
        log_services(before, after);
    }
    if (after->leader.present && (!before->leader.present ||
                                  before->leader.create_revision != after->leader.create_revision ||
                                  before->leader.epoch != after->leader.epoch ||
                                  strcmp(before->leader.id, after->leader.id) != 0)) {
        kt_log(INFO, "coord", "leader_changed", "id=%s addr=%s epoch=%llu mine=%s",
               after->leader.id, after->leader.addr, (unsigned long long)after->leader.epoch,
               after->leader.mine ? "true" : "false");
    } else if (!after->leader.present && before->leader.present) {
        kt_log(INFO, "coord", "leader_gone", "id=%s addr=%s epoch=%llu", before->leader.id,
               before->leader.addr, (unsigned long long)before->leader.epoch);
    }
    log_config(before, after);
}

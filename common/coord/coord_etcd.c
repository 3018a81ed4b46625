/* SPDX-License-Identifier: MIT */
/* coord_etcd.c - the etcd maker: start, stop, publishing. */
#include "coord/coord_etcd.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

static struct kt_coord_view *build_view(const struct coord_etcd *coord)
{
    struct coord_own own = {coord->service_name, coord->addr, coord->lease, coord->complete,
                            coord->reach == COORD_REACH_YES};

    return kt_coord_view_build(&coord->facts, &own);
}

void kt_coord_etcd_publish(struct coord_etcd *coord)
{
    kt_mutex_lock(&coord->mutex);
    kt_coord_publish_and_unlock(&coord->base, build_view(coord), &coord->mutex);
}

/* Is the reason another than the one told last? etcd came, say, but refuses our password: the log
 * must not go on saying that the connection was refused. With the mutex held. */
static bool is_news(struct coord_etcd *coord, const struct kt_error *why)
{
    int64_t now_ms = kt_now_mono_ms();

    if (why->status == coord->unreached_why ||
        (coord->unreached_said_mono_ms != 0 &&
         now_ms - coord->unreached_said_mono_ms < COORD_SAY_MS)) {
        return false;
    }
    coord->unreached_why = why->status;
    coord->unreached_said_mono_ms = now_ms;
    return true;
}

void kt_coord_etcd_reached(struct coord_etcd *coord, bool reached, const struct kt_error *why)
{
    enum coord_reach now = reached ? COORD_REACH_YES : COORD_REACH_NO, before;
    bool stopping, another;

    kt_mutex_lock(&coord->mutex);
    stopping = coord->stopping;
    before = coord->reach;
    another = !reached && is_news(coord, why);
    if (!stopping) {
        coord->reach = now;
    }
    kt_mutex_unlock(&coord->mutex);
    if (stopping || (before == now && !another)) {
        return;
    }
    if (reached) {
        kt_log(INFO, "coord", "etcd_reachable", "endpoints=\"%s\"", coord->endpoints);
    } else {
        kt_log(WARN, "coord", "etcd_unreachable", "endpoints=\"%s\" why=\"%s\"", coord->endpoints,
               why->message);
    }
    kt_coord_etcd_publish(coord);
}

void kt_coord_etcd_answered(struct coord_etcd *coord)
{
    bool was_silent;

    /* etcd lets anybody use leases: whether we may read, the first list tells. */
    kt_mutex_lock(&coord->mutex);
    was_silent = coord->reach == COORD_REACH_NO && coord->unreached_why != KT_UNAUTHORIZED &&
                 coord->unreached_why != KT_FORBIDDEN;
    kt_mutex_unlock(&coord->mutex);
    if (was_silent) {
        kt_coord_etcd_reached(coord, true, NULL);
    }
}

static int64_t etcd_lease_end(struct kt_coord *base, int64_t lease)
{
    struct coord_etcd *coord = (struct coord_etcd *)base;
    bool is_current;
    int64_t end_ms;

    kt_mutex_lock(&coord->mutex);
    is_current = lease == KT_COORD_CURRENT_LEASE || lease == coord->lease;
    end_ms = is_current ? coord->lease_end_mono_ms : 0;
    kt_mutex_unlock(&coord->mutex);
    return end_ms;
}

static void etcd_set_service(struct kt_coord *base, const struct kt_service *self)
{
    struct coord_etcd *coord = (struct coord_etcd *)base;
    struct kt_service next = *self;

    KT_ASSERT(coord->addr[0]);
    memcpy(next.service_name, coord->service_name, sizeof(next.service_name));
    memcpy(next.addr, coord->addr, sizeof(next.addr));
    kt_mutex_lock(&coord->mutex);
    if (!coord->has_self || kt_coord_is_urgent(&coord->self, &next, !coord->facts.leader.present)) {
        coord->urgent = true;
    }
    coord->changed = true;
    coord->has_self = true;
    coord->self = next;
    kt_cond_broadcast(&coord->cond);
    kt_mutex_unlock(&coord->mutex);
}

static void etcd_set_ttl(struct kt_coord *base, int64_t ttl_s)
{
    struct coord_etcd *coord = (struct coord_etcd *)base;

    kt_mutex_lock(&coord->mutex);
    coord->ttl_s = ttl_s;
    kt_mutex_unlock(&coord->mutex);
}

static void etcd_renew(struct kt_coord *base)
{
    struct coord_etcd *coord = (struct coord_etcd *)base;

    kt_mutex_lock(&coord->mutex);
    coord->renew_mono_ms = kt_now_mono_ms();
    kt_cond_broadcast(&coord->cond);
    kt_mutex_unlock(&coord->mutex);
}

/* The lease thread deletes the key: it alone writes it, so no put of ours can overtake that. */
static void etcd_withdraw(struct kt_coord *base)
{
    struct coord_etcd *coord = (struct coord_etcd *)base;

    kt_mutex_lock(&coord->mutex);
    coord->withdrawn = true;
    kt_cond_broadcast(&coord->cond);
    kt_mutex_unlock(&coord->mutex);
}

/* Ends the threads' calls; returns the lease that was held. From here on nobody takes it for
 * alive, so that it can be revoked. */
static int64_t begin_stop(struct coord_etcd *coord)
{
    int64_t lease;

    kt_mutex_lock(&coord->mutex);
    lease = coord->lease;
    coord->stopping = true;
    coord->lease = 0;
    coord->lease_end_mono_ms = 0;
    kt_cond_broadcast(&coord->cond);
    kt_mutex_unlock(&coord->mutex);
    kt_etcd_cancel(coord->etcd);
    return lease;
}

/* Over a client of its own, since the threads' one was cancelled. */
static void revoke(struct coord_etcd *coord, int64_t lease, int64_t deadline_ms)
{
    struct kt_etcd *etcd = NULL;
    struct kt_error err = KT_ERROR_INIT;
    enum kt_status status;
    int64_t left_ms;

    while ((left_ms = deadline_ms - kt_now_mono_ms()) > 0) {
        struct kt_etcd_options options = {
            .endpoints = coord->endpoints,
            .call_timeout_ms = left_ms < COORD_CALL_MS ? left_ms : COORD_CALL_MS,
            .security = &coord->security,
        };

        status = kt_etcd_new(&options, &etcd, &err);
        if (status == KT_OK) {
            status = kt_etcd_lease_revoke(etcd, lease, &err);
            kt_etcd_free(&etcd);
        }
        if (status == KT_OK || status == KT_NOT_FOUND) {
            kt_log(INFO, "coord", "deregistered", "addr=%s lease=%llx", coord->addr,
                   (unsigned long long)lease);
            return;
        }
        kt_mutex_lock(&coord->mutex);
        (void)kt_cond_wait(&coord->cond, &coord->mutex, kt_now_mono_ms() + 50);
        kt_mutex_unlock(&coord->mutex);
    }
    kt_log(WARN, "coord", "deregister_failed", "addr=%s lease=%llx why=\"%s\"", coord->addr,
           (unsigned long long)lease, err.message);
}

static void join_threads(struct coord_etcd *coord)
{
    kt_thread_join(&coord->lease_thread);
    kt_thread_join(&coord->watch_thread);
}

static void etcd_deregister(struct kt_coord *base, int64_t timeout_ms)
{
    struct coord_etcd *coord = (struct coord_etcd *)base;
    int64_t deadline_ms = kt_now_mono_ms() + timeout_ms;
    struct kt_coord_view *last, *before = NULL;
    int64_t lease = begin_stop(coord);

    if (lease != 0) {
        revoke(coord, lease, deadline_ms);
    }
    join_threads(coord);
    kt_mutex_lock(&coord->mutex);
    last = build_view(coord); /* without a lease; nobody is told any more */
    if (last) {
        before = kt_coord_swap_view(base, last);
    }
    kt_mutex_unlock(&coord->mutex);
    kt_coord_view_unref(&before);
}

static void destroy(struct coord_etcd *coord)
{
    kt_etcd_free(&coord->etcd);
    kt_facts_done(&coord->facts);
    kt_cond_done(&coord->cond);
    kt_mutex_done(&coord->mutex);
    if (coord->base.view) {
        kt_coord_base_done(&coord->base);
    }
    kt_free(coord->endpoints);
    kt_free(coord);
}

static void etcd_free(struct kt_coord *base)
{
    struct coord_etcd *coord = (struct coord_etcd *)base;

    (void)begin_stop(coord);
    join_threads(coord);
    destroy(coord);
}

static const struct coord_ops etcd_ops = {
    .lease_end_mono_ms = etcd_lease_end,
    .set_service = etcd_set_service,
    .set_ttl = etcd_set_ttl,
    .campaign = kt_coord_etcd_campaign,
    .update_config = kt_coord_etcd_update_config,
    .delete_leader = kt_coord_etcd_delete_leader,
    .renew = etcd_renew,
    .withdraw = etcd_withdraw,
    .deregister = etcd_deregister,
    .free = etcd_free,
};

static enum kt_status prepare(struct coord_etcd *coord, const struct kt_coord_options *options,
                              struct kt_error *err)
{
    struct kt_etcd_options etcd_options = {.endpoints = options->endpoints,
                                           .call_timeout_ms = COORD_CALL_MS,
                                           .security = options->security};
    struct kt_coord_view *first;
    enum kt_status status;

    kt_str_copy(coord->prefix, sizeof(coord->prefix), kt_str(options->prefix));
    kt_str_copy(coord->service_name, sizeof(coord->service_name), kt_str(options->service_name));
    kt_str_copy(coord->addr, sizeof(coord->addr), kt_str(options->addr));
    coord->ttl_s = options->ttl_s;
    if (options->security) {
        coord->security = *options->security;
    }
    if (options->self) {
        coord->self = *options->self;
        memcpy(coord->self.service_name, coord->service_name, sizeof(coord->service_name));
        memcpy(coord->self.addr, coord->addr, sizeof(coord->addr));
        coord->has_self = coord->urgent = options->register_now;
    }
    coord->endpoints = kt_strdup(options->endpoints ? options->endpoints : "");
    first = build_view(coord);
    if (first) {
        kt_coord_base_init(&coord->base, &etcd_ops, options, first);
    }
    if (!first || !coord->endpoints) {
        return kt_fail(err, KT_NO_MEMORY, "no memory to watch etcd");
    }
    status = kt_etcd_new(&etcd_options, &coord->etcd, err);
    return status;
}

enum kt_status kt_coord_start_etcd(const struct kt_coord_options *options,
                                   struct kt_coord **ret_coord, struct kt_error *err)
{
    struct coord_etcd *coord = NULL;
    enum kt_status status = kt_coord_check_options(options, err);

    if (status != KT_OK) {
        return status;
    }
    coord = kt_calloc(1, sizeof(*coord));
    if (!coord) {
        return kt_fail(err, KT_NO_MEMORY, "no memory to watch etcd");
    }
    kt_mutex_init(&coord->mutex, "coord", KT_RANK_COORD);
    kt_cond_init(&coord->cond);
    kt_facts_init(&coord->facts);
    status = prepare(coord, options, err);
    if (status == KT_OK) {
        status = kt_thread_start(&coord->watch_thread, "coord-watch", kt_coord_etcd_watch_run,
                                 coord, err);
    }
    if (status == KT_OK) {
        status = kt_thread_start(&coord->lease_thread, "coord-lease", kt_coord_etcd_lease_run,
                                 coord, err);
    }
    if (status != KT_OK) {
        if (coord->etcd) {
            (void)begin_stop(coord);
            join_threads(coord);
        }
        destroy(coord);
        return status;
    }
    *ret_coord = &coord->base;
    return KT_OK;
}

/* SPDX-License-Identifier: MIT */
/* coord_watch.c - the thread that knows what stands below the prefix.
 *
 * List, then watch from the list's revision + 1. However the watch ends (its time is over, it was
 * silent, cancelled, compacted, broken off), the next thing is a list, which replaces the facts as
 * a whole: keys that are gone are gone. So a start revision only ever comes from a list.
 */
#include "coord/coord_etcd.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

static struct coord_kv as_kv(const struct kt_etcd_kv *kv)
{
    return (struct coord_kv){kv->key, kv->value, kv->create_revision, kv->mod_revision, kv->lease};
}

static enum kt_status facts_of_list(const struct coord_etcd *coord, const struct kt_etcd_list *list,
                                    struct coord_facts *ret_facts, struct kt_error *err)
{
    struct coord_facts facts;
    enum kt_status status = KT_OK;

    kt_facts_init(&facts);
    for (size_t i = 0; i < list->count && status == KT_OK; i++) {
        struct coord_kv kv = as_kv(&list->kvs[i]);

        status = kt_facts_put(&facts, coord->prefix, &kv, err);
    }
    if (status != KT_OK) {
        kt_facts_done(&facts);
        return status;
    }
    facts.revision = list->revision;
    *ret_facts = facts;
    return KT_OK;
}

static void take_facts(struct coord_etcd *coord, const struct coord_facts *facts)
{
    kt_mutex_lock(&coord->mutex);
    if (facts->revision < coord->facts.revision && coord->put_revision > facts->revision) {
        /* The store has forgotten (a restored backup): my put lies in what it lost, and waiting
         * until it has counted up to there would hide that my key is missing. */
        coord->put_revision = facts->revision;
    }
    kt_facts_done(&coord->facts);
    coord->facts = *facts;
    coord->complete = true;
    kt_cond_broadcast(&coord->cond); /* the lease thread looks for its key */
    kt_mutex_unlock(&coord->mutex);
}

static void watched_prefix(const struct coord_etcd *coord, char dest[KT_COORD_PREFIX_MAX + 1])
{
    /* With the slash: "/kamaitachi2" is another's. */
    snprintf(dest, KT_COORD_PREFIX_MAX + 1, "%s/", coord->prefix);
}

static enum kt_status list_all(struct coord_etcd *coord, struct kt_error *err)
{
    char prefix[KT_COORD_PREFIX_MAX + 1];
    struct kt_etcd_list list;
    struct coord_facts facts;
    enum kt_status status;

    watched_prefix(coord, prefix);
    kt_etcd_list_init(&list);
    status = kt_etcd_range(coord->etcd, kt_str(prefix), true, &list, err);
    if (status == KT_OK) {
        status = facts_of_list(coord, &list, &facts, err);
    }
    kt_etcd_list_done(&list);
    if (status != KT_OK) {
        if (status != KT_BUSY && status != KT_NO_MEMORY) {
            kt_coord_etcd_reached(coord, false, err);
        }
        return status;
    }
    take_facts(coord, &facts);
    kt_coord_etcd_reached(coord, true, NULL);
    kt_coord_etcd_publish(coord);
    return KT_OK;
}

static bool on_events(void *ctx, const struct kt_etcd_event *events, size_t count, int64_t revision)
{
    struct coord_etcd *coord = ctx;
    enum kt_status status = KT_OK;
    bool go_on;

    kt_mutex_lock(&coord->mutex);
    for (size_t i = 0; i < count && status == KT_OK; i++) {
        if (events[i].is_delete) {
            kt_facts_delete(&coord->facts, coord->prefix, events[i].kv.key);
        } else {
            struct coord_kv kv = as_kv(&events[i].kv);

            status = kt_facts_put(&coord->facts, coord->prefix, &kv, NULL);
        }
    }
    if (status == KT_OK) {
        coord->facts.revision = revision;
    }
    go_on = status == KT_OK && !coord->stopping;
    kt_cond_broadcast(&coord->cond);
    kt_mutex_unlock(&coord->mutex);
    if (status == KT_OK) { /* half a revision is shown to nobody; the list makes it whole */
        kt_coord_etcd_publish(coord);
    }
    return go_on;
}

static void on_created(void *ctx, int64_t revision)
{
    (void)revision;
    kt_coord_etcd_reached(ctx, true, NULL);
}

/* Blocks until the watch ends, however. */
static enum kt_status watch_all(struct coord_etcd *coord, struct kt_error *err)
{
    char prefix[KT_COORD_PREFIX_MAX + 1];
    struct kt_etcd_watch watch = {
        .total_ms = COORD_LIST_EVERY_MS,
        .on_events = on_events,
        .on_created = on_created,
        .ctx = coord,
    };

    watched_prefix(coord, prefix);
    watch.prefix = kt_str(prefix);
    kt_mutex_lock(&coord->mutex);
    watch.start_revision = coord->facts.revision + 1;
    watch.silence_ms = coord->ttl_s * 1000;
    kt_mutex_unlock(&coord->mutex);
    return kt_etcd_watch(coord->etcd, &watch, err);
}

/* False when stopping. */
static bool pause_for(struct coord_etcd *coord, int64_t delay_ms)
{
    int64_t deadline_ms = kt_now_mono_ms() + delay_ms;
    bool stopping;

    kt_mutex_lock(&coord->mutex);
    while (!coord->stopping && kt_now_mono_ms() < deadline_ms) {
        (void)kt_cond_wait(&coord->cond, &coord->mutex, deadline_ms);
    }
    stopping = coord->stopping;
    kt_mutex_unlock(&coord->mutex);
    return !stopping;
}

void kt_coord_etcd_watch_run(void *arg)
{
    struct coord_etcd *coord = arg;
    unsigned failures = 0;
    bool go_on = true;

    while (go_on) {
        struct kt_error err = KT_ERROR_INIT;
        int64_t began_ms = kt_now_mono_ms();
        enum kt_status status = list_all(coord, &err);

        if (status == KT_OK) {
            status = watch_all(coord, &err);
        }
        /* A watch that ended in time, or was silent for long, is no failure; one that lived for a
         * while is followed by a list at once. */
        if (status == KT_OK || status == KT_TIMEOUT || kt_now_mono_ms() - began_ms > 2000) {
            failures = 0;
        } else {
            failures++;
        }
        go_on = pause_for(coord, failures == 0 ? 0 : kt_coord_backoff_ms(failures));
    }
}

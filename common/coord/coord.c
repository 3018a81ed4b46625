/* SPDX-License-Identifier: MIT */
/* coord.c - the interface, and what every maker needs. */
#include "coord/coord_internal.h"

#include <stdio.h>
#include <string.h>

void kt_coord_base_init(struct kt_coord *coord, const struct coord_ops *ops,
                        const struct kt_coord_options *options, struct kt_coord_view *first)
{
    coord->ops = ops;
    /* One above the makers' own: the pointer is swapped while theirs is held. */
    kt_mutex_init(&coord->view_mutex, "coord_view", (enum kt_rank)(KT_RANK_COORD + 1));
    coord->view = first;
    coord->number = first->number;
    coord->on_change = options->on_change;
    coord->on_change_ctx = options->on_change_ctx;
}

void kt_coord_base_done(struct kt_coord *coord)
{
    kt_coord_view_unref(&coord->view);
    kt_mutex_done(&coord->view_mutex);
}

static struct kt_coord_view *ref_view(struct kt_coord_view *view)
{
    /* Relaxed: who takes a reference holds one or the mutex, so the count cannot reach 0. */
    __atomic_add_fetch(&view->refs, 1, __ATOMIC_RELAXED);
    return view;
}

struct kt_coord_view *kt_coord_view_ref(struct kt_coord_view *view)
{
    return ref_view(view);
}

struct kt_coord_view *kt_coord_view(struct kt_coord *coord)
{
    struct kt_coord_view *view;

    kt_mutex_lock(&coord->view_mutex);
    view = ref_view(coord->view);
    kt_mutex_unlock(&coord->view_mutex);
    return view;
}

struct kt_coord_view *kt_coord_swap_view(struct kt_coord *coord, struct kt_coord_view *view)
{
    struct kt_coord_view *before = NULL;

    kt_mutex_lock(&coord->view_mutex);
    if (!kt_coord_view_same(coord->view, view)) {
        before = coord->view;
        view->number = ++coord->number;
        coord->view = view;
        view = NULL;
    }
    kt_mutex_unlock(&coord->view_mutex);
    kt_coord_view_unref(&view);
    return before;
}

void kt_coord_publish_and_unlock(struct kt_coord *coord, struct kt_coord_view *view,
                                 struct kt_mutex *mutex)
{
    struct kt_coord_view *before = NULL;

    if (view) {
        view->refs++; /* not shared yet */
        before = kt_coord_swap_view(coord, view);
    }
    kt_mutex_unlock(mutex);
    if (before) {
        kt_coord_view_log(before, view);
        if (coord->on_change) {
            coord->on_change(coord->on_change_ctx);
        }
    }
    kt_coord_view_unref(&before);
    kt_coord_view_unref(&view);
}

int64_t kt_coord_backoff_ms(unsigned failures)
{
    int64_t delay_ms = COORD_RETRY_MIN_MS;

    for (unsigned i = 1; i < failures && delay_ms < COORD_RETRY_MAX_MS; i++) {
        delay_ms *= 2;
    }
    return delay_ms < COORD_RETRY_MAX_MS ? delay_ms : COORD_RETRY_MAX_MS;
}

static bool is_key_part(const char *text, size_t size)
{
    struct kt_str part = kt_str(text);

    return kt_utf8_is_name(part, 1, size - 1) && kt_str_find(part, KT_STR("/")) < 0;
}

enum kt_status kt_coord_check_options(const struct kt_coord_options *options, struct kt_error *err)
{
    struct kt_str prefix = kt_str(options->prefix);

    if (!kt_utf8_is_name(prefix, 2, KT_COORD_PREFIX_MAX - 1) || prefix.data[0] != '/' ||
        kt_str_ends(prefix, KT_STR("/"))) {
        return kt_fail(err, KT_BAD_VALUE,
                       "prefix \"" KT_STR_FMT "\" must begin with / and not end with it",
                       KT_STR_ARG(prefix));
    }
    if (options->ttl_s < 3 || options->ttl_s > 60) {
        return kt_fail(err, KT_BAD_VALUE, "ttl is %lld s, must be 3 to 60",
                       (long long)options->ttl_s);
    }
    if (!options->self && !options->service_name) {
        return KT_OK;
    }
    if (!is_key_part(options->service_name, sizeof(options->self->service_name))) {
        return kt_fail(err, KT_BAD_VALUE,
                       "service_name must be 1 to %zu bytes without / and control characters",
                       sizeof(options->self->service_name) - 1);
    }
    if (!is_key_part(options->addr, KT_ADDR_MAX)) {
        return kt_fail(err, KT_BAD_VALUE, "service_addr \"%s\" is no address",
                       options->addr ? options->addr : "");
    }
    return KT_OK;
}

static bool same_kept(const struct kt_service *a, const struct kt_service *b)
{
    if (a->kept.version != b->kept.version || a->kept.epoch != b->kept.epoch ||
        strcmp(a->kept.epoch_id, b->kept.epoch_id) != 0 ||
        a->kept.in_sync_count != b->kept.in_sync_count ||
        a->kept.growth_count != b->kept.growth_count) {
        return false;
    }
    for (size_t i = 0; i < a->kept.growth_count; i++) {
        if (strcmp(a->kept.growth[i], b->kept.growth[i]) != 0) {
            return false;
        }
    }
    for (size_t i = 0; i < a->kept.in_sync_count; i++) {
        if (strcmp(a->kept.in_sync[i], b->kept.in_sync[i]) != 0) {
            return false;
        }
    }
    return true;
}

bool kt_coord_is_urgent(const struct kt_service *before, const struct kt_service *after,
                        bool no_leader)
{
    return before->role != after->role || before->state != after->state ||
           strcmp(before->id, after->id) != 0 || strcmp(before->cluster, after->cluster) != 0 ||
           before->electable != after->electable || before->priority != after->priority ||
           !same_kept(before, after) ||
           (no_leader &&
            (before->end_epoch != after->end_epoch || before->end_seq != after->end_seq));
}

int64_t kt_coord_lease_end_mono_ms(struct kt_coord *coord, int64_t lease)
{
    return lease == 0 ? 0 : coord->ops->lease_end_mono_ms(coord, lease);
}

void kt_coord_set_service(struct kt_coord *coord, const struct kt_service *self)
{
    KT_ASSERT(self);
    coord->ops->set_service(coord, self);
}

void kt_coord_set_ttl(struct kt_coord *coord, int64_t ttl_s)
{
    KT_ASSERT(ttl_s >= 3 && ttl_s <= 60);
    coord->ops->set_ttl(coord, ttl_s);
}

enum kt_txn_outcome kt_coord_campaign(struct kt_coord *coord, const struct kt_coord_view *view,
                                      const struct kt_cluster_config *config, struct kt_error *err)
{
    return coord->ops->campaign(coord, view, config, err);
}

enum kt_txn_outcome kt_coord_update_config(struct kt_coord *coord, const struct kt_coord_view *view,
                                           const struct kt_cluster_config *config,
                                           struct kt_error *err)
{
    return coord->ops->update_config(coord, view, config, err);
}

enum kt_txn_outcome kt_coord_delete_leader(struct kt_coord *coord, const struct kt_coord_view *view,
                                           struct kt_error *err)
{
    return coord->ops->delete_leader(coord, view, err);
}

void kt_coord_renew(struct kt_coord *coord)
{
    if (coord->ops->renew) {
        coord->ops->renew(coord);
    }
}

void kt_coord_withdraw(struct kt_coord *coord)
{
    coord->ops->withdraw(coord);
}

void kt_coord_deregister(struct kt_coord *coord, int64_t timeout_ms)
{
    coord->ops->deregister(coord, timeout_ms);
}

void kt_coord_free(struct kt_coord **coord)
{
    if (*coord) {
        (*coord)->ops->free(*coord);
        *coord = NULL;
    }
}

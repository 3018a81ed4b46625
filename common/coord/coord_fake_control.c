/* SPDX-License-Identifier: MIT */
/* coord_fake_control.c - starting a fake or standalone coord, and what a test does to a fake. */
#include "coord/coord_fake.h"

#include "base/clock.h"

#include <string.h>

struct kt_coord_fake *kt_coord_fake_new(void)
{
    struct kt_coord_fake *fake = kt_calloc(1, sizeof(*fake));

    if (fake) {
        kt_mutex_init(&fake->mutex, "coord_fake", KT_RANK_COORD);
        kt_cond_init(&fake->cond);
        kt_facts_init(&fake->facts);
        fake->reachable = true;
        fake->next_outcome = KT_TXN_DONE;
    }
    return fake;
}

void kt_coord_fake_free(struct kt_coord_fake **fake)
{
    if (!*fake) {
        return;
    }
    KT_ASSERT((*fake)->coords == NULL);
    kt_facts_done(&(*fake)->facts);
    kt_cond_done(&(*fake)->cond);
    kt_mutex_done(&(*fake)->mutex);
    kt_free(*fake);
    *fake = NULL;
}

static enum kt_status start(struct kt_coord_fake *fake, const struct kt_coord_options *options,
                            bool standalone, struct kt_coord **ret_coord, struct kt_error *err)
{
    struct kt_coord_options checked = *options;
    struct coord_fake *coord, **link = &fake->coords;
    struct kt_coord_view *first;
    enum kt_status status;

    checked.prefix = FAKE_PREFIX;
    checked.ttl_s = options->ttl_s != 0 ? options->ttl_s : 5;
    status = kt_coord_check_options(&checked, err);
    if (status == KT_OK && options->self && options->self->role != KT_ROLE_GATEWAY &&
        !kt_coord_is_id(kt_str(options->self->id))) {
        status = kt_fail(err, KT_BAD_VALUE, "id \"%s\" is not of 16 hex digits", options->self->id);
    }
    if (status != KT_OK) {
        return status;
    }
    coord = kt_calloc(1, sizeof(*coord));
    if (!coord) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for a coord");
    }
    coord->fake = fake;
    coord->standalone = standalone;
    coord->ttl_s = checked.ttl_s;
    kt_str_copy(coord->service_name, sizeof(coord->service_name), kt_str(options->service_name));
    kt_str_copy(coord->addr, sizeof(coord->addr), kt_str(options->addr));
    kt_mutex_lock(&fake->mutex);
    if (options->self && options->register_now) {
        kt_fake_take_self(coord, options->self);
        if (fake->reachable) {
            kt_fake_put_service(coord);
        }
    }
    first = kt_fake_view(coord);
    if (!first) {
        if (coord->lease != 0) {
            kt_fake_end_lease(fake, coord->lease);
        }
        kt_mutex_unlock(&fake->mutex);
        kt_free(coord);
        return kt_fail(err, KT_NO_MEMORY, "no memory for a view");
    }
    first->number = 1;
    kt_coord_base_init(&coord->base, &kt_fake_ops, options, first);
    while (*link) {
        link = &(*link)->next;
    }
    *link = coord;
    *ret_coord = &coord->base;
    kt_fake_publish_and_unlock(fake);
    return KT_OK;
}

enum kt_status kt_coord_start_fake(struct kt_coord_fake *fake,
                                   const struct kt_coord_options *options,
                                   struct kt_coord **ret_coord, struct kt_error *err)
{
    return start(fake, options, false, ret_coord, err);
}

enum kt_status kt_coord_start_standalone(const struct kt_coord_options *options,
                                         struct kt_coord **ret_coord, struct kt_error *err)
{
    struct kt_coord_fake *fake = kt_coord_fake_new();
    enum kt_status status;

    if (!fake) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for a coord");
    }
    status = start(fake, options, true, ret_coord, err);
    if (status != KT_OK) {
        kt_coord_fake_free(&fake);
    }
    return status;
}

void kt_coord_fake_drop_lease(struct kt_coord_fake *fake, const char *addr)
{
    int64_t lease = 0;

    kt_mutex_lock(&fake->mutex);
    for (size_t i = 0; i < fake->facts.count; i++) {
        if (strcmp(fake->facts.services[i].addr, addr) == 0) {
            lease = fake->facts.services[i].lease;
        }
    }
    if (lease != 0) {
        kt_fake_end_lease(fake, lease);
    }
    kt_fake_publish_and_unlock(fake);
}

void kt_coord_fake_renew(struct kt_coord_fake *fake, const char *addr)
{
    kt_mutex_lock(&fake->mutex);
    for (struct coord_fake *coord = fake->coords; coord; coord = coord->next) {
        if (strcmp(coord->addr, addr) == 0 && coord->has_self && !coord->stopped) {
            kt_fake_put_service(coord);
        }
    }
    kt_fake_publish_and_unlock(fake);
}

void kt_coord_fake_next_outcome(struct kt_coord_fake *fake, enum kt_txn_outcome outcome)
{
    kt_mutex_lock(&fake->mutex);
    fake->next_outcome = outcome;
    kt_mutex_unlock(&fake->mutex);
}

void kt_coord_fake_lose_next(struct kt_coord_fake *fake)
{
    kt_mutex_lock(&fake->mutex);
    fake->lose_next = true;
    kt_mutex_unlock(&fake->mutex);
}

void kt_coord_fake_set_config(struct kt_coord_fake *fake, const char *text)
{
    kt_mutex_lock(&fake->mutex);
    fake->facts.revision++;
    if (text) {
        kt_fake_put_key(fake, FAKE_CONFIG_KEY, kt_str(text), 0, 0);
    } else {
        kt_facts_delete(&fake->facts, FAKE_PREFIX, KT_STR(FAKE_CONFIG_KEY));
    }
    kt_fake_publish_and_unlock(fake);
}

void kt_coord_fake_set_leader(struct kt_coord_fake *fake, const char *id, const char *addr,
                              uint64_t epoch)
{
    int64_t lease = 0;

    kt_mutex_lock(&fake->mutex);
    fake->facts.revision++;
    kt_facts_delete(&fake->facts, FAKE_PREFIX, KT_STR(FAKE_LEADER_KEY));
    if (id) {
        for (struct coord_fake *coord = fake->coords; coord; coord = coord->next) {
            if (strcmp(coord->addr, addr) == 0 && strcmp(coord->self.id, id) == 0) {
                lease = coord->lease;
            }
        }
        kt_fake_put_leader(fake, id, addr, epoch, lease != 0 ? lease : ++fake->last_lease);
    }
    kt_fake_publish_and_unlock(fake);
}

void kt_coord_fake_set_reachable(struct kt_coord_fake *fake, bool reachable)
{
    kt_mutex_lock(&fake->mutex);
    if (fake->reachable && !reachable) {
        fake->unreachable_since_ms = kt_now_mono_ms();
    }
    for (struct coord_fake *coord = reachable && !fake->reachable ? fake->coords : NULL; coord;
         coord = coord->next) {
        if (coord->has_self && !coord->stopped) {
            kt_fake_put_service(coord); /* what changed in the meantime */
        }
    }
    fake->reachable = reachable;
    kt_fake_update_views(fake, true);
    kt_fake_tell_and_unlock(fake);
}

/* SPDX-License-Identifier: MIT */
/* coord_fake.c - the fake maker: a store of facts with a revision, and the coords registered in it.
 *
 * There are no threads: whoever changes something builds the new views and calls on_change, after
 * the lock is dropped, for each coord whose view differs, in the order in which the coords were
 * started. By the time a call returns its effect can be seen in every view, so tests need not wait.
 */
#include "coord/coord_fake.h"

#include "base/clock.h"

#include <string.h>

struct kt_coord_view *kt_fake_view(const struct coord_fake *coord)
{
    struct coord_own own = {coord->service_name, coord->addr, coord->lease, true,
                            coord->fake->reachable};

    return kt_coord_view_build(&coord->fake->facts, &own);
}

/* Who is cut off sees nothing new but that. `all`: the cut itself, or its end. */
void kt_fake_update_views(struct kt_coord_fake *fake, bool all)
{
    for (struct coord_fake *coord = fake->coords; coord; coord = coord->next) {
        struct kt_coord_view *view, *before;

        if ((!fake->reachable && !all) || coord->stopped) {
            continue;
        }
        view = kt_fake_view(coord);
        before = view ? kt_coord_swap_view(&coord->base, view) : NULL;
        if (before && coord->base.on_change) {
            coord->told_later = true;
        }
        kt_coord_view_unref(&before);
    }
}

static struct coord_fake *next_to_tell(struct kt_coord_fake *fake)
{
    for (struct coord_fake *coord = fake->coords; coord; coord = coord->next) {
        if (coord->told_later) {
            coord->told_later = false;
            if (!coord->stopped) {
                return coord;
            }
        }
    }
    return NULL;
}

/* Called with the mutex held; drops it. */
void kt_fake_tell_and_unlock(struct kt_coord_fake *fake)
{
    struct coord_fake *coord;

    while ((coord = next_to_tell(fake)) != NULL) {
        coord->notifying++;
        kt_mutex_unlock(&fake->mutex);
        coord->base.on_change(coord->base.on_change_ctx);
        kt_mutex_lock(&fake->mutex);
        coord->notifying--;
        kt_cond_broadcast(&fake->cond);
    }
    kt_mutex_unlock(&fake->mutex);
}

void kt_fake_publish_and_unlock(struct kt_coord_fake *fake)
{
    kt_fake_update_views(fake, false);
    kt_fake_tell_and_unlock(fake);
}

/* Puts one key at the present revision. A test that runs out of memory here keeps the old value,
 * as if the write had been lost. */
void kt_fake_put_key(struct kt_coord_fake *fake, const char *key, struct kt_str value,
                     int64_t create_revision, int64_t lease)
{
    struct coord_kv kv = {kt_str(key), value, create_revision, fake->facts.revision, lease};
    enum kt_status status = kt_facts_put(&fake->facts, FAKE_PREFIX, &kv, NULL);

    (void)status;
}

void kt_fake_put_service(struct coord_fake *coord)
{
    struct kt_coord_fake *fake = coord->fake;
    const struct kt_service *old = kt_facts_service(&fake->facts, coord->service_name, coord->addr);
    char key[KT_COORD_KEY_MAX];
    struct kt_buf value;

    if (coord->withdrawn) {
        return;
    }
    if (coord->lease == 0) {
        coord->lease = ++fake->last_lease;
    }
    fake->facts.revision++;
    kt_coord_service_key(FAKE_PREFIX, coord->service_name, coord->addr, key);
    kt_buf_init(&value, 0);
    kt_service_format(&coord->self, &value);
    if (kt_buf_status(&value) == KT_OK) {
        kt_fake_put_key(fake, key, kt_buf_str(&value),
                        old ? old->create_revision : fake->facts.revision, coord->lease);
    }
    kt_buf_done(&value);
}

void kt_fake_put_leader(struct kt_coord_fake *fake, const char *id, const char *addr,
                        uint64_t epoch, int64_t lease)
{
    struct coord_leader *old = &fake->facts.leader;
    struct kt_buf value;

    kt_buf_init(&value, 0);
    kt_coord_format_leader(id, addr, epoch, &value);
    if (kt_buf_status(&value) == KT_OK) {
        kt_fake_put_key(fake, FAKE_LEADER_KEY, kt_buf_str(&value),
                        old->present ? old->create_revision : fake->facts.revision, lease);
    }
    kt_buf_done(&value);
}

static void put_config(struct kt_coord_fake *fake, const struct kt_cluster_config *config)
{
    struct kt_buf value;

    kt_buf_init(&value, 0);
    kt_cluster_config_format(config, &value);
    if (kt_buf_status(&value) == KT_OK) {
        kt_fake_put_key(fake, FAKE_CONFIG_KEY, kt_buf_str(&value), 0, 0);
    }
    kt_buf_done(&value);
}

/* All keys under one lease vanish at one revision. */
void kt_fake_end_lease(struct kt_coord_fake *fake, int64_t lease)
{
    size_t i = 0;

    fake->facts.revision++;
    while (i < fake->facts.count) {
        struct kt_service *service = &fake->facts.services[i];
        char key[KT_COORD_KEY_MAX];

        if (service->lease != lease) {
            i++;
            continue;
        }
        kt_coord_service_key(FAKE_PREFIX, service->service_name, service->addr, key);
        kt_facts_delete(&fake->facts, FAKE_PREFIX, kt_str(key));
    }
    if (fake->facts.leader.present && fake->facts.leader.lease == lease) {
        kt_facts_delete(&fake->facts, FAKE_PREFIX, KT_STR(FAKE_LEADER_KEY));
    }
    for (struct coord_fake *coord = fake->coords; coord; coord = coord->next) {
        if (coord->lease == lease) {
            coord->lease = 0;
        }
    }
}

static int64_t fake_lease_end(struct kt_coord *base, int64_t lease)
{
    struct coord_fake *coord = (struct coord_fake *)base;
    struct kt_coord_fake *fake = coord->fake;
    int64_t end_ms = 0;

    kt_mutex_lock(&fake->mutex);
    if (lease != KT_COORD_CURRENT_LEASE && lease != coord->lease) {
        end_ms = 0;
    } else if (coord->lease != 0 && coord->standalone) {
        end_ms = INT64_MAX;
    } else if (coord->lease != 0) {
        end_ms =
            (fake->reachable ? kt_now_mono_ms() : fake->unreachable_since_ms) + coord->ttl_s * 900;
    }
    kt_mutex_unlock(&fake->mutex);
    return end_ms;
}

void kt_fake_take_self(struct coord_fake *coord, const struct kt_service *self)
{
    coord->self = *self;
    memcpy(coord->self.service_name, coord->service_name, sizeof(coord->service_name));
    memcpy(coord->self.addr, coord->addr, sizeof(coord->addr));
    coord->has_self = true;
}

static void fake_set_service(struct kt_coord *base, const struct kt_service *self)
{
    struct coord_fake *coord = (struct coord_fake *)base;

    KT_ASSERT(coord->addr[0]);
    kt_mutex_lock(&coord->fake->mutex);
    kt_fake_take_self(coord, self);
    if (coord->fake->reachable && !coord->stopped) {
        kt_fake_put_service(coord);
    } /* else it is put when etcd is back */
    kt_fake_publish_and_unlock(coord->fake);
}

static void fake_set_ttl(struct kt_coord *base, int64_t ttl_s)
{
    struct coord_fake *coord = (struct coord_fake *)base;

    kt_mutex_lock(&coord->fake->mutex);
    coord->ttl_s = ttl_s;
    kt_mutex_unlock(&coord->fake->mutex);
}

static bool is_config_as_in(const struct coord_facts *facts, const struct kt_coord_view *view)
{
    if (!facts->config || !view->config.present) {
        return !facts->config && !view->config.present;
    }
    return facts->config->mod_revision == view->config.mod_revision &&
           strcmp(facts->config->text, view->config.text) == 0;
}

static bool is_leader_as_in(const struct coord_facts *facts, const struct kt_coord_view *view)
{
    return view->leader.present && facts->leader.present &&
           facts->leader.create_revision == view->leader.create_revision;
}

/* Is the txn answered without being run? What a test ordered counts for one txn. */
static bool is_intercepted(struct coord_fake *coord, bool needs_lease,
                           enum kt_txn_outcome *ret_outcome, struct kt_error *err)
{
    struct kt_coord_fake *fake = coord->fake;
    bool lost = fake->lose_next;

    *ret_outcome = KT_TXN_UNKNOWN;
    if (!fake->reachable || coord->stopped || (needs_lease && coord->lease == 0)) {
        (void)kt_fail(err, KT_UNAVAILABLE, "etcd does not answer, or there is no lease");
        return true;
    }
    *ret_outcome = fake->next_outcome;
    fake->next_outcome = KT_TXN_DONE;
    fake->lose_next = false;
    if (lost) {
        *ret_outcome = KT_TXN_UNKNOWN;
        (void)kt_fail(err, KT_OUTCOME_UNKNOWN, "the request was lost");
        return true;
    }
    if (*ret_outcome == KT_TXN_REFUSED) {
        (void)kt_fail(err, KT_CONFLICT, "refused on order");
        return true;
    }
    if (*ret_outcome == KT_TXN_UNKNOWN) {
        (void)kt_fail(err, KT_OUTCOME_UNKNOWN, "the answer was lost");
    }
    return false;
}

/* `done` unless a compare did not hold; an answer that is lost hides which. */
static enum kt_txn_outcome settle(enum kt_txn_outcome ordered, bool held, struct kt_error *err)
{
    if (ordered == KT_TXN_UNKNOWN || held) {
        return ordered;
    }
    (void)kt_fail(err, KT_CONFLICT, "the leader or the configuration is another by now");
    return KT_TXN_REFUSED;
}

/* Campaign and update: they differ in whether the leader key must be mine already. */
static enum kt_txn_outcome put_txn(struct coord_fake *coord, const struct kt_coord_view *view,
                                   const struct kt_cluster_config *config, bool campaign,
                                   struct kt_error *err)
{
    struct kt_coord_fake *fake = coord->fake;
    enum kt_txn_outcome outcome;
    bool mine, held;

    kt_mutex_lock(&fake->mutex);
    if (is_intercepted(coord, true, &outcome, err)) {
        kt_mutex_unlock(&fake->mutex);
        return outcome;
    }
    mine = fake->facts.leader.present && fake->facts.leader.lease == coord->lease;
    held =
        (mine || (campaign && !fake->facts.leader.present)) && is_config_as_in(&fake->facts, view);
    if (held) {
        fake->facts.revision++;
        if (campaign) {
            kt_fake_put_leader(fake, config->leader, coord->addr, config->epoch, coord->lease);
        }
        put_config(fake, config);
    }
    kt_fake_publish_and_unlock(fake);
    return settle(outcome, held, err);
}

static enum kt_txn_outcome fake_campaign(struct kt_coord *base, const struct kt_coord_view *view,
                                         const struct kt_cluster_config *config,
                                         struct kt_error *err)
{
    return put_txn((struct coord_fake *)base, view, config, true, err);
}

static enum kt_txn_outcome fake_update_config(struct kt_coord *base,
                                              const struct kt_coord_view *view,
                                              const struct kt_cluster_config *config,
                                              struct kt_error *err)
{
    return put_txn((struct coord_fake *)base, view, config, false, err);
}

static enum kt_txn_outcome
fake_delete_leader(struct kt_coord *base, const struct kt_coord_view *view, struct kt_error *err)
{
    struct coord_fake *coord = (struct coord_fake *)base;
    struct kt_coord_fake *fake = coord->fake;
    enum kt_txn_outcome outcome;
    bool held;

    kt_mutex_lock(&fake->mutex);
    if (is_intercepted(coord, false, &outcome, err)) {
        kt_mutex_unlock(&fake->mutex);
        return outcome;
    }
    held = is_leader_as_in(&fake->facts, view);
    if (held) {
        fake->facts.revision++;
        kt_facts_delete(&fake->facts, FAKE_PREFIX, KT_STR(FAKE_LEADER_KEY));
    }
    kt_fake_publish_and_unlock(fake);
    return settle(outcome, held, err);
}

static void fake_withdraw(struct kt_coord *base)
{
    struct coord_fake *coord = (struct coord_fake *)base;
    struct kt_coord_fake *fake = coord->fake;
    char key[KT_COORD_KEY_MAX];

    kt_mutex_lock(&fake->mutex);
    coord->withdrawn = true;
    if (fake->reachable && kt_facts_service(&fake->facts, coord->service_name, coord->addr)) {
        kt_coord_service_key(FAKE_PREFIX, coord->service_name, coord->addr, key);
        fake->facts.revision++;
        kt_facts_delete(&fake->facts, FAKE_PREFIX, kt_str(key));
    }
    kt_fake_publish_and_unlock(fake);
}

static void fake_deregister(struct kt_coord *base, int64_t timeout_ms)
{
    struct coord_fake *coord = (struct coord_fake *)base;
    struct kt_coord_fake *fake = coord->fake;

    (void)timeout_ms;
    kt_mutex_lock(&fake->mutex);
    if (fake->reachable && coord->lease != 0) {
        kt_fake_end_lease(fake, coord->lease);
    }
    coord->lease = 0;
    kt_fake_update_views(fake, false); /* its own too: the last one */
    coord->stopped = true;
    kt_fake_tell_and_unlock(fake);
}

static void fake_free_coord(struct kt_coord *base)
{
    struct coord_fake *coord = (struct coord_fake *)base;
    struct kt_coord_fake *fake = coord->fake;
    struct coord_fake **link = &fake->coords;
    bool standalone = coord->standalone;

    kt_mutex_lock(&fake->mutex);
    coord->stopped = true;
    while (coord->notifying > 0) {
        (void)kt_cond_wait(&fake->cond, &fake->mutex, kt_now_mono_ms() + 1000);
    }
    while (*link != coord) {
        link = &(*link)->next;
    }
    *link = coord->next;
    kt_mutex_unlock(&fake->mutex);
    kt_coord_base_done(&coord->base);
    kt_free(coord);
    if (standalone) {
        kt_coord_fake_free(&fake);
    }
}

const struct coord_ops kt_fake_ops = {
    .lease_end_mono_ms = fake_lease_end,
    .set_service = fake_set_service,
    .set_ttl = fake_set_ttl,
    .campaign = fake_campaign,
    .update_config = fake_update_config,
    .delete_leader = fake_delete_leader,
    .withdraw = fake_withdraw,
    .deregister = fake_deregister,
    .free = fake_free_coord,
};

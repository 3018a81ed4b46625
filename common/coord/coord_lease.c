/* SPDX-License-Identifier: MIT */
/* coord_lease.c - the thread that keeps this process registered.
 *
 * Grant, put the service key, keepalive every third of the ttl; a lease that is gone is replaced
 * and the key put again, and so is a key that vanished while the lease lives.
 *
 * The lease clock starts before a call is sent and moves only by its answer for the current lease,
 * so it can only end too early. A lease that cannot be renewed in time is not given up: etcd may
 * have kept it (its own clock stands still while it has no leader), and what hangs on it is ours
 * as long as etcd says so. Only "gone" ends it.
 */
#include "coord/coord_etcd.h"

#include "base/clock.h"
#include "base/log.h"

#include <string.h>

enum step { STEP_WAIT, STEP_GRANT, STEP_KEEPALIVE, STEP_PUT, STEP_WITHDRAW };

static int64_t third_of_ttl_ms(const struct coord_etcd *coord)
{
    int64_t ttl_s = coord->asked_s < coord->granted_s ? coord->asked_s : coord->granted_s;

    return ttl_s * 1000 / 3;
}

/* Is my key gone, or not as I put it last? Written by another, or by an earlier put of mine that
 * was taken for lost and came late. Known only once the watch has come to where I put it. */
static bool is_key_missing(const struct coord_etcd *coord)
{
    const struct kt_service *mine;

    if (!coord->complete || coord->facts.revision < coord->put_revision) {
        return false;
    }
    mine = kt_facts_service(&coord->facts, coord->service_name, coord->addr);
    return !mine || mine->lease != coord->lease || mine->mod_revision != coord->put_revision;
}

/* Withdrawn: is my key still there? Also again, by an earlier put of mine that was taken for lost
 * and came late. */
static bool is_key_left(const struct coord_etcd *coord)
{
    const struct kt_service *mine;

    if (coord->gone_revision == 0) {
        return true;
    }
    if (coord->facts.revision < coord->gone_revision) {
        return false;
    }
    mine = kt_facts_service(&coord->facts, coord->service_name, coord->addr);
    return mine && mine->lease == coord->lease;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* When the put of my key is due; INT64_MAX = nothing to put. */
static int64_t put_due_mono_ms(const struct coord_etcd *coord, int64_t now_ms)
{
    if (coord->put_revision == 0 || coord->urgent) {
        return now_ms;
    }
    if (is_key_missing(coord)) {
        /* At once, but two processes with one address must not write as fast as they can. */
        bool again = now_ms - coord->restored_mono_ms < 5000 && coord->restored_mono_ms != 0;

        return again ? coord->restored_mono_ms + COORD_RETRY_MAX_MS : now_ms;
    }
    if (coord->changed) {
        return coord->put_mono_ms + third_of_ttl_ms(coord);
    }
    return INT64_MAX;
}

static enum step next_step(const struct coord_etcd *coord, int64_t now_ms, int64_t *ret_wake_ms)
{
    int64_t put_ms;

    *ret_wake_ms = now_ms + 60 * 1000;
    if (!coord->has_self) {
        return STEP_WAIT;
    }
    if (now_ms < coord->retry_mono_ms) {
        *ret_wake_ms = coord->retry_mono_ms;
        return STEP_WAIT;
    }
    if (coord->lease == 0) {
        return coord->withdrawn ? STEP_WAIT : STEP_GRANT;
    }
    if (coord->withdrawn && is_key_left(coord)) {
        return STEP_WITHDRAW;
    }
    if (now_ms >= coord->renew_mono_ms) {
        return STEP_KEEPALIVE;
    }
    if (coord->withdrawn) {
        *ret_wake_ms = coord->renew_mono_ms;
        return STEP_WAIT;
    }
    put_ms = put_due_mono_ms(coord, now_ms);
    if (now_ms >= put_ms) {
        return STEP_PUT;
    }
    *ret_wake_ms = earlier(coord->renew_mono_ms, put_ms);
    return STEP_WAIT;
}

/* The three below are called with the mutex held and return with it held. */

static void note_failure(struct coord_etcd *coord, enum kt_status status,
                         const struct kt_error *why)
{
    coord->failures++;
    coord->retry_mono_ms = kt_now_mono_ms() + kt_coord_backoff_ms(coord->failures);
    if (status == KT_BUSY || status == KT_NO_MEMORY) {
        return; /* ours, not etcd's */
    }
    if (status == KT_UNAUTHORIZED || status == KT_FORBIDDEN) {
        /* Who may read is not unreached: of that the watch thread tells. */
        if (!coord->refused) {
            kt_log(WARN, "coord", "registration_refused", "addr=%s why=\"%s\"", coord->addr,
                   why->message);
        }
        coord->refused = true;
        return;
    }
    kt_mutex_unlock(&coord->mutex);
    kt_coord_etcd_reached(coord, false, why);
    kt_mutex_lock(&coord->mutex);
}

/* `wrote`: our key, which not everybody may. */
static void note_success(struct coord_etcd *coord, bool wrote)
{
    coord->refused = coord->refused && !wrote;
    coord->failures = coord->refused ? coord->failures : 0;
    coord->retry_mono_ms = 0;
    kt_mutex_unlock(&coord->mutex);
    if (wrote) {
        kt_coord_etcd_reached(coord, true, NULL);
    } else {
        kt_coord_etcd_answered(coord);
    }
    kt_coord_etcd_publish(coord);
    kt_mutex_lock(&coord->mutex);
}

static void lose_lease(struct coord_etcd *coord, int64_t lease)
{
    int64_t now_ms = kt_now_mono_ms();

    if (coord->lease != lease) {
        return;
    }
    coord->lease = 0;
    coord->lease_end_mono_ms = 0;
    coord->put_revision = 0;
    /* One that lived is replaced at once; who loses each as soon as it is granted slows down. */
    coord->failures = now_ms - coord->granted_mono_ms < 2000 ? coord->failures + 1 : 0;
    coord->retry_mono_ms = coord->failures > 0 ? now_ms + kt_coord_backoff_ms(coord->failures) : 0;
    kt_mutex_unlock(&coord->mutex);
    kt_log(WARN, "coord", "lease_lost", "addr=%s lease=%llx", coord->addr,
           (unsigned long long)lease);
    kt_coord_etcd_answered(coord);
    kt_coord_etcd_publish(coord);
    kt_mutex_lock(&coord->mutex);
}

static void start_lease_clock(struct coord_etcd *coord, int64_t sent_ms, int64_t granted_s)
{
    coord->granted_s = granted_s;
    coord->lease_end_mono_ms = sent_ms + earlier(coord->asked_s, granted_s) * 900;
    coord->renew_mono_ms = sent_ms + third_of_ttl_ms(coord);
}

static void do_grant(struct coord_etcd *coord)
{
    int64_t asked_s = coord->ttl_s, sent_ms = kt_now_mono_ms(), lease = 0, granted_s = 0;
    struct kt_error err = KT_ERROR_INIT;
    enum kt_status status;

    kt_mutex_unlock(&coord->mutex);
    status = kt_etcd_lease_grant(coord->etcd, asked_s, &lease, &granted_s, &err);
    kt_mutex_lock(&coord->mutex);
    if (coord->stopping) {
        return; /* nothing hangs on it; it runs out */
    }
    if (status != KT_OK) {
        note_failure(coord, status, &err);
        return;
    }
    coord->lease = lease;
    coord->asked_s = asked_s;
    coord->granted_mono_ms = sent_ms;
    coord->put_revision = 0;
    start_lease_clock(coord, sent_ms, granted_s);
    note_success(coord, false);
}

static void do_keepalive(struct coord_etcd *coord)
{
    int64_t lease = coord->lease, sent_ms = kt_now_mono_ms(), granted_s = 0;
    struct kt_error err = KT_ERROR_INIT;
    enum kt_status status;

    kt_mutex_unlock(&coord->mutex);
    status = kt_etcd_lease_keepalive(coord->etcd, lease, &granted_s, &err);
    kt_mutex_lock(&coord->mutex);
    if (coord->stopping || coord->lease != lease) {
        return;
    }
    if (status == KT_NOT_FOUND) {
        lose_lease(coord, lease);
    } else if (status != KT_OK) {
        note_failure(coord, status, &err);
    } else {
        start_lease_clock(coord, sent_ms, granted_s);
        note_success(coord, false);
    }
}

static enum kt_status put_self(struct coord_etcd *coord, const struct kt_service *self,
                               int64_t lease, int64_t *ret_revision, struct kt_error *err)
{
    char key[KT_COORD_KEY_MAX];
    struct kt_buf value;
    enum kt_status status;

    kt_coord_service_key(coord->prefix, coord->service_name, coord->addr, key);
    kt_buf_init(&value, 0);
    kt_service_format(self, &value);
    status = kt_buf_status(&value);
    if (status == KT_OK) {
        status =
            kt_etcd_put(coord->etcd, kt_str(key), kt_buf_str(&value), lease, ret_revision, err);
    } else {
        status = kt_fail(err, status, "no memory for the service's entry");
    }
    kt_buf_done(&value);
    return status;
}

static void do_put(struct coord_etcd *coord)
{
    struct kt_service self = coord->self;
    int64_t lease = coord->lease, revision = 0;
    bool was_urgent = coord->urgent, first = coord->put_revision == 0;
    bool missing = !first && is_key_missing(coord);
    struct kt_error err = KT_ERROR_INIT;
    enum kt_status status;

    coord->urgent = coord->changed = false; /* set again by who changes it meanwhile */
    kt_mutex_unlock(&coord->mutex);
    status = put_self(coord, &self, lease, &revision, &err);
    kt_mutex_lock(&coord->mutex);
    if (coord->stopping || coord->lease != lease) {
        return;
    }
    if (status != KT_OK) {
        coord->changed = true;
        coord->urgent = coord->urgent || was_urgent;
        if (status == KT_NOT_FOUND) {
            lose_lease(coord, lease);
        } else {
            note_failure(coord, status, &err);
        }
        return;
    }
    coord->put_revision = revision;
    coord->put_mono_ms = kt_now_mono_ms();
    if (missing) {
        coord->restored_mono_ms = coord->put_mono_ms;
    }
    if (first || missing) {
        kt_log(INFO, "coord", missing ? "registered_again" : "registered",
               "addr=%s service=%s lease=%llx ttl_s=%lld", coord->addr, coord->service_name,
               (unsigned long long)lease, (long long)coord->granted_s);
    }
    note_success(coord, true);
}

/* Only under the lease of mine: the key may be a successor's by now. */
static void do_withdraw(struct coord_etcd *coord)
{
    int64_t lease = coord->lease, revision = 0;
    struct kt_error err = KT_ERROR_INIT;
    char key[KT_COORD_KEY_MAX];
    bool deleted = false;
    enum kt_status status;

    kt_coord_service_key(coord->prefix, coord->service_name, coord->addr, key);
    kt_mutex_unlock(&coord->mutex);
    struct kt_etcd_compare compare = {kt_str(key), KT_ETCD_LEASE, lease, {NULL, 0}};
    struct kt_etcd_op op = {KT_ETCD_OP_DELETE, kt_str(key), {NULL, 0}, 0};
    status = kt_etcd_txn(coord->etcd, &compare, 1, &op, 1, &deleted, &revision, &err);
    kt_mutex_lock(&coord->mutex);
    if (coord->stopping || coord->lease != lease) {
        return;
    }
    if (status != KT_OK) { /* deleting it twice is as good as once */
        note_failure(coord, status, &err);
        return;
    }
    coord->gone_revision = revision;
    if (deleted) {
        kt_log(INFO, "coord", "withdrawn", "addr=%s lease=%llx", coord->addr,
               (unsigned long long)lease);
    }
    note_success(coord, true);
}

void kt_coord_etcd_lease_run(void *arg)
{
    struct coord_etcd *coord = arg;
    int64_t wake_ms = 0;

    kt_mutex_lock(&coord->mutex);
    while (!coord->stopping) {
        switch (next_step(coord, kt_now_mono_ms(), &wake_ms)) {
        case STEP_WAIT:
            (void)kt_cond_wait(&coord->cond, &coord->mutex, wake_ms);
            break;
        case STEP_GRANT:
            do_grant(coord);
            break;
        case STEP_KEEPALIVE:
            do_keepalive(coord);
            break;
        case STEP_PUT:
            do_put(coord);
            break;
        case STEP_WITHDRAW:
            do_withdraw(coord);
            break;
        }
    }
    kt_mutex_unlock(&coord->mutex);
}

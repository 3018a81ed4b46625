/* SPDX-License-Identifier: MIT */
#include "coord/guests.h"

#include "base/clock.h"
#include "base/log.h"
#include "coord/coord_internal.h"

#include <string.h>

#define CALL_MS 1000

struct held {
    bool used, busy; /* busy: a request works on it, alone */
    char id[KT_ID_LEN + 1], addr[KT_ADDR_MAX];
    int64_t lease, end_mono_ms; /* 0 = no lease; when it may have run out */
    int64_t put_revision;       /* 0 = not put under this lease */
    uint64_t digest;            /* of the value that was put */
};

struct kt_guests {
    struct kt_etcd *etcd;
    char prefix[KT_COORD_PREFIX_MAX], service_name[64], via[KT_ID_LEN + 1];
    struct kt_mutex mutex;
    struct held held[KT_GUESTS_MAX]; /* used, busy, id and end_mono_ms: under the mutex */
};

enum kt_status kt_guests_new(const struct kt_guests_options *options, struct kt_guests **ret_guests,
                             struct kt_error *err)
{
    struct kt_etcd_options etcd = {
        .endpoints = options->endpoints, .call_timeout_ms = CALL_MS, .security = options->security};
    struct kt_guests *guests = kt_calloc(1, sizeof(*guests));
    if (!guests) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for nodes without etcd");
    }
    kt_str_copy(guests->prefix, sizeof(guests->prefix), kt_str(options->prefix));
    kt_str_copy(guests->service_name, sizeof(guests->service_name), kt_str(options->service_name));
    kt_str_copy(guests->via, sizeof(guests->via), kt_str(options->via));
    enum kt_status status = kt_etcd_new(&etcd, &guests->etcd, err);
    if (status != KT_OK) {
        kt_free(guests);
        return status;
    }
    kt_mutex_init(&guests->mutex, "guests", KT_RANK_COORD);
    *ret_guests = guests;
    return KT_OK;
}

void kt_guests_cancel(struct kt_guests *guests)
{
    kt_etcd_cancel(guests->etcd);
}

void kt_guests_free(struct kt_guests **guests)
{
    if (*guests) {
        kt_etcd_free(&(*guests)->etcd);
        kt_mutex_done(&(*guests)->mutex);
        kt_free(*guests);
        *guests = NULL;
    }
}

/* --- the table --- */

/* Mutex held. NULL = there is none. */
static struct held *find(struct kt_guests *guests, const char *id)
{
    for (size_t i = 0; i < KT_GUESTS_MAX; i++) {
        if (guests->held[i].used && strcmp(guests->held[i].id, id) == 0) {
            return &guests->held[i];
        }
    }
    return NULL;
}

/* A free place, or that of one whose lease has run out. Mutex held. */
static struct held *make(struct kt_guests *guests, const char *id)
{
    int64_t now_ms = kt_now_mono_ms();
    for (size_t i = 0; i < KT_GUESTS_MAX; i++) {
        struct held *held = &guests->held[i];
        if (!held->used || (!held->busy && held->end_mono_ms < now_ms)) {
            memset(held, 0, sizeof(*held));
            held->used = true;
            kt_str_copy(held->id, sizeof(held->id), kt_str(id));
            return held;
        }
    }
    return NULL;
}

static enum kt_status take(struct kt_guests *guests, const char *id, bool may_make,
                           struct held **ret_held, struct kt_error *err)
{
    enum kt_status status = KT_OK;
    kt_mutex_lock(&guests->mutex);
    struct held *held = find(guests, id);
    if (!held && !may_make) {
        status = kt_fail_field(err, KT_NOT_FOUND, "node_id",
                               "node_id: %s is not registered through this node", id);
    } else if (held && held->busy) {
        status = kt_fail_field(err, KT_BUSY, "node_id",
                               "node_id: another request about %s is under way", id);
    } else if (!held && !(held = make(guests, id))) {
        status = kt_fail(err, KT_BUSY, "this node holds the entries of %d others already",
                         KT_GUESTS_MAX);
    }
    if (status == KT_OK) {
        held->busy = true;
        *ret_held = held;
    }
    kt_mutex_unlock(&guests->mutex);
    return status;
}

static void give(struct kt_guests *guests, struct held *held)
{
    kt_mutex_lock(&guests->mutex);
    held->busy = false;
    held->used = held->lease != 0;
    kt_mutex_unlock(&guests->mutex);
}

/* --- etcd --- */

/* etcd's own words, under a status that is about this node and not about who asked. */
static enum kt_status unavailable(const struct kt_error *why, struct kt_error *err)
{
    return kt_fail(err, KT_UNAVAILABLE, "etcd: %s", why->message);
}

static void set_end(struct kt_guests *guests, struct held *held, int64_t sent_ms, int64_t ttl_s)
{
    kt_mutex_lock(&guests->mutex);
    held->end_mono_ms = sent_ms + ttl_s * 1000;
    kt_mutex_unlock(&guests->mutex);
}

/* Afterwards there is a lease or not (0): KT_OK either way. */
static enum kt_status renew(struct kt_guests *guests, struct held *held, struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    int64_t sent_ms = kt_now_mono_ms(), ttl_s = 0;
    enum kt_status status = kt_etcd_lease_keepalive(guests->etcd, held->lease, &ttl_s, &why);
    if (status == KT_NOT_FOUND) {
        held->lease = held->put_revision = 0;
        return KT_OK;
    }
    if (status != KT_OK) {
        return unavailable(&why, err);
    }
    set_end(guests, held, sent_ms, ttl_s);
    return KT_OK;
}

static enum kt_status grant(struct kt_guests *guests, struct held *held, int64_t ttl_s,
                            struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    int64_t sent_ms = kt_now_mono_ms(), granted_s = 0;
    if (kt_etcd_lease_grant(guests->etcd, ttl_s, &held->lease, &granted_s, &why) != KT_OK) {
        held->lease = 0;
        return unavailable(&why, err);
    }
    held->put_revision = 0;
    set_end(guests, held, sent_ms, granted_s);
    return KT_OK;
}

/* What is not known to be held is not held: the lease goes, and what may hang on it. */
static void drop(struct kt_guests *guests, struct held *held)
{
    if (held->lease != 0 && kt_etcd_lease_revoke(guests->etcd, held->lease, NULL) != KT_OK) {
        kt_log(DEBUG, "coord", "guest_lease_left", "id=%s lease=%llx why=\"it runs out by itself\"",
               held->id, (unsigned long long)held->lease);
    }
    held->lease = 0;
}

/* What stands at the guest's key; mod_revision 0 = nothing. */
static enum kt_status read_key(struct kt_guests *guests, const char *key,
                               struct kt_service *ret_there, struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    struct kt_etcd_list list;
    kt_etcd_list_init(&list);
    enum kt_status status = kt_etcd_range(guests->etcd, kt_str(key), false, &list, &why);
    if (status != KT_OK) {
        status = unavailable(&why, err);
    } else if (list.count > 0) {
        /* What cannot be parsed belongs to nobody, and is replaced. */
        (void)(kt_service_parse(list.kvs[0].value, ret_there, NULL) == KT_OK);
        ret_there->mod_revision = list.kvs[0].mod_revision;
        ret_there->lease = list.kvs[0].lease;
    }
    kt_etcd_list_done(&list);
    return status;
}

static enum kt_status check_there(const struct kt_service *there, const struct held *held,
                                  struct kt_error *err)
{
    if (there->mod_revision == 0 || there->lease == held->lease || !there->id[0]) {
        return KT_OK;
    }
    if (strcmp(there->id, held->id) != 0) {
        return kt_fail_field(err, KT_CONFLICT, "address", "address: node %s is registered at %s",
                             there->id, held->addr);
    }
    if (!there->via[0]) {
        return kt_fail_field(err, KT_CONFLICT, "node_id",
                             "node_id: %s is registered with etcd by itself", held->id);
    }
    if (held->put_revision != 0) {
        return kt_fail_field(err, KT_CONFLICT, "node_id",
                             "node_id: %s has moved to node %s, which holds its entry", held->id,
                             there->via);
    }
    return KT_OK;
}

static enum kt_status put(struct kt_guests *guests, struct held *held, struct kt_str value,
                          struct kt_error *err)
{
    char key[KT_COORD_KEY_MAX];
    struct kt_service there = {0};
    struct kt_error why = KT_ERROR_INIT;
    bool succeeded = false;
    kt_coord_service_key(guests->prefix, guests->service_name, held->addr, key);
    enum kt_status status = read_key(guests, key, &there, err);
    if (status == KT_OK) {
        status = check_there(&there, held, err);
    }
    if (status != KT_OK) {
        return status;
    }
    struct kt_etcd_compare compare = {
        kt_str(key), KT_ETCD_MOD_REVISION, there.mod_revision, {NULL, 0}};
    struct kt_etcd_op op = {KT_ETCD_OP_PUT, kt_str(key), value, held->lease};
    if (kt_etcd_txn(guests->etcd, &compare, 1, &op, 1, &succeeded, &held->put_revision, &why) !=
        KT_OK) {
        return unavailable(&why, err);
    }
    if (!succeeded) {
        return kt_fail(err, KT_BUSY, "the entry of %s changes at this moment", held->addr);
    }
    held->digest = kt_hash64(value.data, value.len);
    return KT_OK;
}

/* --- what is asked --- */

static enum kt_status format_entry(const struct kt_guests *guests, const struct kt_guest *guest,
                                   struct kt_buf *ret_value, struct kt_error *err)
{
    struct kt_service *entry = kt_calloc(1, sizeof(*entry));
    if (!entry) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for an entry");
    }
    if (guest->entry) {
        *entry = *guest->entry;
    } else {
        entry->started_at_ms = kt_now_wall_ms();
    }
    entry->role = KT_ROLE_FOLLOWER;
    entry->electable = false;
    kt_str_copy(entry->id, sizeof(entry->id), kt_str(guest->id));
    kt_str_copy(entry->addr, sizeof(entry->addr), kt_str(guest->addr));
    kt_str_copy(entry->via, sizeof(entry->via), kt_str(guests->via));
    kt_service_format(entry, ret_value);
    kt_free(entry);
    enum kt_status status = kt_buf_status(ret_value);
    return status == KT_OK ? KT_OK : kt_fail(err, KT_NO_MEMORY, "no memory for an entry");
}

static enum kt_status check_view(const struct kt_guest *guest, const struct kt_coord_view *view,
                                 struct kt_error *err)
{
    for (size_t i = 0; i < view->service_count; i++) {
        const struct kt_service *service = &view->services[i];
        if (strcmp(service->id, guest->id) == 0 && strcmp(service->addr, guest->addr) != 0) {
            return kt_fail_field(err, KT_CONFLICT, "node_id", "node_id: %s is registered at %s",
                                 guest->id, service->addr);
        }
    }
    return KT_OK;
}

static bool is_missing(const struct held *held, const struct kt_guest *guest,
                       const struct kt_coord_view *view)
{
    if (view->revision < held->put_revision) {
        return false;
    }
    for (size_t i = 0; i < view->service_count; i++) {
        if (strcmp(view->services[i].addr, guest->addr) == 0 &&
            view->services[i].lease == held->lease) {
            return false;
        }
    }
    return true;
}

/* The lease is there; puts what is new. */
static enum kt_status bring(struct kt_guests *guests, struct held *held,
                            const struct kt_guest *guest, const struct kt_coord_view *view,
                            struct kt_error *err)
{
    struct kt_buf value;
    kt_buf_init(&value, 0);
    enum kt_status status = format_entry(guests, guest, &value, err);
    uint64_t digest = status == KT_OK ? kt_hash64(value.data, value.len_bytes) : 0;
    /* A heartbeat that says no more than that it lives changes nothing. */
    bool says_more = guest->entry && digest != held->digest;
    if (status == KT_OK &&
        (held->put_revision == 0 || says_more || is_missing(held, guest, view))) {
        status = put(guests, held, kt_buf_str(&value), err);
    }
    kt_buf_done(&value);
    return status;
}

enum kt_status kt_guests_register(struct kt_guests *guests, const struct kt_guest *guest,
                                  const struct kt_coord_view *view, int64_t *ret_lease,
                                  struct kt_error *err)
{
    struct held *held = NULL;
    enum kt_status status = check_view(guest, view, err);
    if (status == KT_OK) {
        status = take(guests, guest->id, true, &held, err);
    }
    if (status != KT_OK) {
        return status;
    }
    if (held->lease != 0 && strcmp(held->addr, guest->addr) != 0) {
        drop(guests, held); /* it has moved, and the view shows that the old entry is gone */
    }
    kt_str_copy(held->addr, sizeof(held->addr), kt_str(guest->addr));
    if (held->lease != 0) {
        status = renew(guests, held, err);
    }
    bool is_new = held->lease == 0;
    held->put_revision = 0; /* whoever holds the entry by now, from here on it is this node */
    if (status == KT_OK && is_new) {
        status = grant(guests, held, guest->ttl_s, err);
    }
    if (status == KT_OK) {
        status = bring(guests, held, guest, view, err);
    }
    if (status == KT_OK) {
        *ret_lease = held->lease;
        if (is_new) {
            kt_log(INFO, "coord", "guest_registered", "addr=%s id=%s lease=%llx ttl_s=%lld",
                   guest->addr, guest->id, (unsigned long long)held->lease,
                   (long long)guest->ttl_s);
        }
    } else if (is_new || status == KT_CONFLICT) {
        drop(guests, held);
    }
    give(guests, held);
    return status;
}

enum kt_status kt_guests_heartbeat(struct kt_guests *guests, const struct kt_guest *guest,
                                   const struct kt_coord_view *view, int64_t *ret_lease,
                                   struct kt_error *err)
{
    struct held *held = NULL;
    enum kt_status status = take(guests, guest->id, false, &held, err);
    if (status != KT_OK) {
        return status;
    }
    if (strcmp(held->addr, guest->addr) != 0) {
        status = kt_fail_field(err, KT_CONFLICT, "address", "address: %s is registered at %s",
                               guest->id, held->addr);
        give(guests, held);
        return status;
    }
    status = renew(guests, held, err);
    if (status == KT_OK && held->lease == 0) {
        status = kt_fail_field(err, KT_NOT_FOUND, "node_id",
                               "node_id: the registration of %s has run out", guest->id);
    }
    if (status == KT_OK) {
        status = bring(guests, held, guest, view, err);
        if (status == KT_CONFLICT) {
            drop(guests, held);
        }
    }
    if (status == KT_OK) {
        *ret_lease = held->lease;
    }
    give(guests, held);
    return status;
}

enum kt_status kt_guests_deregister(struct kt_guests *guests, const char *id, struct kt_error *err)
{
    struct held *held = NULL;
    struct kt_error why = KT_ERROR_INIT;
    enum kt_status status = take(guests, id, false, &held, err);
    if (status != KT_OK) {
        return status;
    }
    status = kt_etcd_lease_revoke(guests->etcd, held->lease, &why);
    if (status == KT_OK || status == KT_NOT_FOUND) {
        kt_log(INFO, "coord", "guest_deregistered", "addr=%s id=%s lease=%llx", held->addr, id,
               (unsigned long long)held->lease);
        held->lease = 0;
        status = KT_OK;
    } else {
        status = unavailable(&why, err);
    }
    give(guests, held);
    return status;
}

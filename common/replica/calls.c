/* SPDX-License-Identifier: MIT */
/* The etcd thread: transactions and messages, which may take a second each, while the replica
 * thread goes on watching silence and leases. What was asked for last counts; a transaction comes
 * before what was asked for after it.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/access.h"
#include "replica/replica_impl.h"
#include "json/write.h"

#include <stdio.h>
#include <string.h>

#define MESSAGE_MS 1000
#define CAMPAIGN_PATH "/replication/v1/campaign"

static const char *outcome_name(enum kt_txn_outcome outcome)
{
    static const char *const names[] = {"done", "refused", "unknown"};
    return names[outcome];
}

static void send_txn(struct kt_replica *replica)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_cluster_config *config = kt_malloc(sizeof(*config));
    if (!config) {
        return; /* it is asked for again */
    }
    *config = replica->calls.config;
    bool is_campaign = replica->calls.is_campaign;
    struct kt_coord_view *view = kt_coord_view_ref(replica->calls.txn_view);
    replica->calls.txn = false;
    kt_mutex_unlock(&replica->mutex);
    enum kt_txn_outcome outcome = is_campaign
                                      ? kt_coord_campaign(replica->coord, view, config, &err)
                                      : kt_coord_update_config(replica->coord, view, config, &err);
    kt_log(INFO, "replica", is_campaign ? "campaign" : "update_config",
           "outcome=%s epoch=%llu version=%llu members=%zu in_sync=%zu why=\"%s\"",
           outcome_name(outcome), (unsigned long long)config->epoch,
           (unsigned long long)config->version, config->member_count, config->in_sync_count,
           err.message);
    kt_mutex_lock(&replica->mutex);
    kt_coord_view_unref(&view);
    const struct kt_machine_txn *txn = &replica->machine.txn;
    if (txn->active && strcmp(txn->config.nonce, config->nonce) == 0) {
        struct kt_m_event event;
        memset(&event, 0, sizeof(event));
        event.kind = KT_M_TXN_OUTCOME;
        event.outcome = outcome;
        kt_replica_step(replica, &event);
    }
    kt_free(config);
}

static void remove_leader(struct kt_replica *replica)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_coord_view *view = kt_coord_view_ref(replica->calls.remove_view);
    replica->calls.remove_leader = false;
    kt_mutex_unlock(&replica->mutex);
    if (view->leader.present) {
        enum kt_txn_outcome outcome = kt_coord_delete_leader(replica->coord, view, &err);
        kt_log(INFO, "replica", "delete_leader", "outcome=%s epoch=%llu why=\"%s\"",
               outcome_name(outcome), (unsigned long long)view->leader.epoch, err.message);
    }
    kt_mutex_lock(&replica->mutex);
    kt_coord_view_unref(&view);
}

void kt_replica_sign(struct kt_replica *replica, const char *path, struct kt_str body, char *dest,
                     size_t size)
{
    dest[0] = '\0';
    struct kt_arena *arena = replica->options.access ? kt_arena_new(1024, 16384) : NULL;
    if (arena) {
        struct kt_str mac =
            kt_access_sign(replica->options.access, "POST", kt_str(path), KT_STR(""), body, arena);
        if (mac.len > 0) {
            snprintf(dest, size, "X-Kamaitachi-Auth: " KT_STR_FMT, KT_STR_ARG(mac));
        }
    }
    kt_arena_free(&arena);
}

static void tell_to_campaign(struct kt_replica *replica)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_http_answer answer;
    struct kt_http_call call;
    struct kt_buf body;
    struct kt_jw jw;
    char url[KT_ADDR_MAX + 64], auth[256];
    memset(&call, 0, sizeof(call));
    kt_http_answer_init(&answer);
    kt_buf_init(&body, 0);
    kt_jw_init(&jw, &body);
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "cluster", replica->machine.disk.cluster);
    kt_jw_kv_text(&jw, "node", replica->machine.options.id);
    kt_jw_kv_u64(&jw, "epoch", replica->calls.to_epoch);
    kt_jw_object_end(&jw);
    snprintf(url, sizeof(url), "http://%s" CAMPAIGN_PATH, replica->calls.to_addr);
    replica->calls.campaign_now = false;
    kt_mutex_unlock(&replica->mutex);
    call.method = "POST";
    call.url = url;
    call.body = kt_buf_str(&body);
    call.content_type = "application/json";
    call.timeout_ms = MESSAGE_MS;
    call.max_answer_bytes = 65536;
    kt_replica_sign(replica, CAMPAIGN_PATH, call.body, auth, sizeof(auth));
    call.headers[0] = auth[0] ? auth : NULL;
    enum kt_status status = kt_buf_status(&body);
    if (status == KT_OK) {
        status = kt_http_client_call(replica->message_client, &call, &answer, &err);
    }
    if (status != KT_OK || answer.status != 200) {
        kt_log(WARN, "replica", "handover_untold", "to=%s status=%d why=\"%s\"", url, answer.status,
               err.message);
    }
    kt_http_answer_done(&answer);
    kt_buf_done(&body);
    kt_mutex_lock(&replica->mutex);
}

/* What the coord does on a thread of its own. */
static void wake_coord(struct kt_replica *replica)
{
    bool withdraw = replica->calls.withdraw, renew = replica->calls.renew;
    replica->calls.withdraw = replica->calls.renew = false;
    kt_mutex_unlock(&replica->mutex);
    if (withdraw) {
        kt_coord_withdraw(replica->coord);
    }
    if (renew) {
        kt_coord_renew(replica->coord);
    }
    kt_mutex_lock(&replica->mutex);
}

void kt_replica_calls_main(void *arg)
{
    struct kt_replica *replica = arg;
    kt_mutex_lock(&replica->mutex);
    while (!replica->etcd_stop) {
        if (replica->calls.withdraw || replica->calls.renew) {
            wake_coord(replica);
        } else if (replica->calls.txn) {
            send_txn(replica);
        } else if (replica->calls.remove_leader) {
            remove_leader(replica);
        } else if (replica->calls.campaign_now) {
            tell_to_campaign(replica);
        } else if (replica->calls.deregister) {
            replica->calls.deregister = false;
            replica->deregistered = true;
            kt_cond_broadcast(&replica->changed_cond);
        } else {
            (void)kt_cond_wait(&replica->etcd_cond, &replica->mutex, kt_now_mono_ms() + 1000);
        }
    }
    kt_mutex_unlock(&replica->mutex);
}

/* SPDX-License-Identifier: MIT */
/* What has to happen now and then and may block: asking oneself over the address that one told the
 * others (a wrong service_addr is the commonest mistake, and silent otherwise), resolving the hosts
 * of registered processes for judging cluster requests, learning etcd's version, and giving back
 * the memory that large requests and deleted subjects have left.
 */
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "etcd/etcd.h"
#include "http/client.h"
#include "node/node_impl.h"

#include <stdio.h>
#include <string.h>

#define PROBE_TIMEOUT_MS 2000
#define PROBE_AGAIN_MS 30000
#define HOSTS_MAX 256
#define TRIM_EVERY_MS 10000
#define TRIM_GROWTH_BYTES (UINT64_C(64) << 20)

void kt_keeper_on_view(void *ctx, const struct kt_coord_view *view)
{
    struct kt_node *node = ctx;
    kt_mutex_lock(&node->keeper_mutex);
    node->hosts_changed = true;
    if (view->own_key_present && view->own_lease != node->probed_lease) {
        node->probed_lease = view->own_lease;
        node->probe_wanted = true;
    }
    kt_cond_signal(&node->keeper_cond);
    kt_cond_broadcast(&node->view_cond);
    kt_mutex_unlock(&node->keeper_mutex);
}

/* --- probing the own address --- */

static bool probe(struct kt_node *node, char why[160])
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_http_client *client = kt_http_client_new();
    struct kt_http_answer answer;
    struct kt_http_call call;
    char url[KT_ADDR_MAX + 32];
    if (!client) {
        snprintf(why, 160, "out of memory");
        return false;
    }
    snprintf(url, sizeof(url), "http://%s/health/live", node->addr);
    memset(&call, 0, sizeof(call));
    call.method = "GET";
    call.url = url;
    call.timeout_ms = PROBE_TIMEOUT_MS;
    call.max_answer_bytes = 65536;
    call.fresh = true;
    kt_http_answer_init(&answer);
    bool good = false;
    enum kt_status status = kt_http_client_call(client, &call, &answer, &err);
    if (status != KT_OK) {
        kt_str_copy(why, 160, kt_str(err.message));
    } else {
        struct kt_str id = kt_http_answer_header(&answer, "x-kamaitachi-node");
        good = kt_str_eq_text(id, node->id);
        if (!good) {
            snprintf(why, 160, "somebody else answers there (status %d)", answer.status);
        }
    }
    kt_http_answer_done(&answer);
    kt_http_client_free(&client);
    return good;
}

/* True when it has to be tried again later. */
static bool probe_and_say(struct kt_node *node)
{
    char why[160] = "";
    if (probe(node, why)) {
        kt_log(INFO, "node", "service_addr_reached", "addr=%s", node->addr);
        return false;
    }
    kt_log(WARN, "node", "service_addr_unreachable",
           "addr=%s why=\"%s\" do=\"set [server] service_addr to an address at which the other "
           "processes reach this node\"",
           node->addr, why);
    return true;
}

/* --- hosts of registered processes --- */

static void add_host(char (*literals)[64], const char **list, size_t *count, const char *addr)
{
    char host[256];
    uint16_t port;
    if (*count >= HOSTS_MAX || kt_addr_parse(kt_str(addr), 80, host, &port, NULL) != KT_OK ||
        kt_net_resolve(host, literals[*count], NULL) != KT_OK) {
        return;
    }
    list[*count] = literals[*count];
    (*count)++;
}

static void set_hosts(struct kt_node *node)
{
    char(*literals)[64] = kt_calloc(HOSTS_MAX, 64);
    const char **list = kt_calloc(HOSTS_MAX, sizeof(*list));
    size_t count = 0;
    if (literals && list) {
        struct kt_coord_view *view = kt_replica_view(node->replica);
        for (size_t i = 0; i < view->service_count; i++) {
            add_host(literals, list, &count, view->services[i].addr);
        }
        kt_coord_view_unref(&view);
        if (kt_access_set_hosts(node->access, list, count) != KT_OK) {
            kt_log(WARN, "node", "hosts_not_set", "count=%zu", count);
        }
    }
    kt_free(literals);
    kt_free(list);
}

static void learn_etcd_version(struct kt_node *node)
{
    struct kt_etcd_security security = kt_node_etcd_security(node->config);
    struct kt_etcd_options options = {
        .endpoints = node->config->etcd.endpoints, .call_timeout_ms = 1000, .security = &security};
    struct kt_etcd *etcd = NULL;
    char version[32];
    if (kt_etcd_new(&options, &etcd, NULL) != KT_OK) {
        return;
    }
    if (kt_etcd_version(etcd, version, NULL) == KT_OK) {
        kt_mutex_lock(&node->keeper_mutex);
        memcpy(node->etcd_version, version, sizeof(node->etcd_version));
        kt_mutex_unlock(&node->keeper_mutex);
    }
    kt_etcd_free(&etcd);
}

/* --- memory --- */

/* When there are fewer subjects than numbers were given, some have been deleted. */
static void forget_deleted(struct kt_node *node)
{
    struct kt_catalogue *view = kt_store_view(node->store);
    if (kt_catalogue_subject_count(view) < kt_catalogue_subject_limit(view)) {
        kt_series_cache_drop_deleted(node->cache, view);
    }
    kt_catalogue_unref(&view);
}

/* A steady process is left alone: a trim costs the page faults of what it gave back. */
static void trim_if_grown(uint64_t *floor_bytes)
{
    uint64_t resident = kt_process_resident_bytes();
    if (resident > *floor_bytes + TRIM_GROWTH_BYTES) {
        kt_mem_trim();
        *floor_bytes = kt_process_resident_bytes();
    } else if (resident < *floor_bytes) {
        *floor_bytes = resident;
    }
}

/* --- the thread --- */

static void keeper_main(void *arg)
{
    struct kt_node *node = arg;
    int64_t probe_at_ms = INT64_MAX, trim_at_ms = 0;
    uint64_t floor_bytes = kt_process_resident_bytes();
    kt_mutex_lock(&node->keeper_mutex);
    while (!node->keeper_stop) {
        bool hosts = node->hosts_changed;
        if (node->probe_wanted) {
            node->probe_wanted = false;
            probe_at_ms = 0;
        }
        node->hosts_changed = false;
        kt_mutex_unlock(&node->keeper_mutex);
        if (hosts) {
            set_hosts(node);
        }
        if (kt_now_mono_ms() >= probe_at_ms) {
            probe_at_ms = probe_and_say(node) ? kt_now_mono_ms() + PROBE_AGAIN_MS : INT64_MAX;
            learn_etcd_version(node);
        }
        if (kt_now_mono_ms() >= trim_at_ms) {
            forget_deleted(node);
            trim_if_grown(&floor_bytes);
            trim_at_ms = kt_now_mono_ms() + TRIM_EVERY_MS;
        }
        kt_mutex_lock(&node->keeper_mutex);
        if (!node->keeper_stop && !node->hosts_changed && !node->probe_wanted) {
            (void)kt_cond_wait(&node->keeper_cond, &node->keeper_mutex,
                               probe_at_ms < trim_at_ms ? probe_at_ms : trim_at_ms);
        }
    }
    kt_mutex_unlock(&node->keeper_mutex);
}

enum kt_status kt_keeper_start(struct kt_node *node, struct kt_error *err)
{
    return kt_thread_start(&node->keeper, "keeper", keeper_main, node, err);
}

void kt_keeper_stop(struct kt_node *node)
{
    kt_mutex_lock(&node->keeper_mutex);
    node->keeper_stop = true;
    kt_cond_signal(&node->keeper_cond);
    kt_mutex_unlock(&node->keeper_mutex);
    kt_thread_join(&node->keeper);
}

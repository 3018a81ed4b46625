/* SPDX-License-Identifier: MIT */
/* coord_remote.c - the maker for a node that cannot reach etcd: registers with one that can.
 *
 * One thread asks: POST /cluster/register until that succeeds, then heartbeats to the same node.
 * Each answer brings what stands in etcd, as keys with revisions, of which facts and views are made
 * as if they had been listed here. A node that fails is left for the next of the list; the entry
 * that it held runs out, or is taken over by the next.
 */
#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "coord/coord_internal.h"
#include "http/access.h"
#include "http/client.h"

#include <stdio.h>
#include <string.h>

#define CALL_MS 5000 /* the node asked calls etcd a few times */
#define CONNECT_MS 1000
#define ANSWER_BYTES_MAX (16u << 20)

struct coord_remote {
    struct kt_coord base; /* first: the interface's pointer is this one */
    struct kt_access *access;
    struct kt_http_client *client; /* the thread's */
    struct kt_thread thread;
    char *nodes;
    size_t node_count;
    char prefix[KT_COORD_PREFIX_MAX], service_name[64], addr[KT_ADDR_MAX], host[256];
    uint16_t port;

    struct kt_mutex mutex; /* all that follows */
    struct kt_cond cond;
    bool stopping, withdrawn, has_self, urgent;
    bool withdrawing; /* the thread is to take the entry out, or does so */
    struct kt_service self;
    struct coord_facts facts;
    bool complete, reachable;
    int64_t lease;
    size_t at; /* which node is asked */
    bool registered;
    unsigned failures; /* in a row */
    int64_t next_mono_ms;
    bool failing_said;
};

enum action { ASK_NOTHING, ASK_REGISTER, ASK_HEARTBEAT, ASK_DEREGISTER };
static const char *const paths[] = {
    [ASK_REGISTER] = "/cluster/register",
    [ASK_HEARTBEAT] = "/cluster/heartbeat",
    [ASK_DEREGISTER] = "/cluster/deregister",
};

/* The at-th of the list, trimmed. */
static struct kt_str nth_node(const char *list, size_t at)
{
    struct kt_str rest = kt_str(list), one = {NULL, 0};
    for (size_t i = 0; i <= at && rest.data; i++) {
        one = kt_str_trim(kt_str_cut(&rest, ','));
    }
    return one;
}

static size_t count_nodes(const char *list)
{
    size_t count = 1;
    for (; *list; list++) {
        count += *list == ',';
    }
    return count;
}

enum kt_status kt_coord_nodes_check(const char *list, struct kt_error *err)
{
    for (size_t i = 0; i < count_nodes(list); i++) {
        struct kt_str node = nth_node(list, i);
        char host[256];
        uint16_t port = 0;
        if (kt_addr_parse(node, 0, host, &port, NULL) != KT_OK || port == 0) {
            return kt_fail(err, KT_BAD_VALUE, "\"" KT_STR_FMT "\" is no host:port of a node",
                           KT_STR_ARG(kt_str_n(node.data, node.len > 64 ? 64 : node.len)));
        }
    }
    return KT_OK;
}

/* --- views --- */

static struct kt_coord_view *build_view(const struct coord_remote *coord)
{
    struct coord_own own = {coord->service_name, coord->addr, coord->lease, coord->complete,
                            coord->reachable};
    return kt_coord_view_build(&coord->facts, &own);
}

static void publish(struct coord_remote *coord)
{
    kt_mutex_lock(&coord->mutex);
    kt_coord_publish_and_unlock(&coord->base, build_view(coord), &coord->mutex);
}

/* --- asking --- */

static enum kt_status format_body(const struct coord_remote *coord, const struct kt_service *self,
                                  enum action action, struct kt_buf *ret_body, struct kt_error *err)
{
    struct kt_jw jw;
    kt_jw_init(&jw, ret_body);
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "node_id", self->id);
    if (action != ASK_DEREGISTER) {
        kt_jw_kv_text(&jw, "address", coord->host);
        kt_jw_kv_u64(&jw, "port", coord->port);
        kt_jw_key_text(&jw, "service");
        kt_service_write(&jw, self);
    }
    kt_jw_object_end(&jw);
    enum kt_status status = kt_buf_status(ret_body);
    return status == KT_OK ? KT_OK : kt_fail(err, status, "no memory to register");
}

/* The answer's message, so that the log says what the other node said. */
static enum kt_status refusal(const struct kt_http_answer *answer, struct kt_error *err)
{
    struct kt_json *doc = NULL;
    struct kt_str why = {NULL, 0};
    enum kt_status status = answer->status == 404   ? KT_NOT_FOUND
                            : answer->status == 409 ? KT_CONFLICT
                                                    : KT_UNAVAILABLE;
    if (kt_json_parse(kt_buf_str(&answer->body), KT_JSON_DEPTH_DEFAULT, &doc, NULL) == KT_OK) {
        const struct kt_json_value *text =
            kt_json_member_as(kt_json_root(doc), "status_msg", KT_JSON_STRING);
        why = text ? kt_json_string(text) : why;
    }
    status = kt_fail(err, status, "status %d: " KT_STR_FMT, answer->status, KT_STR_ARG(why));
    kt_json_free(&doc);
    return status;
}

static enum kt_status post(struct coord_remote *coord, const char *path, struct kt_str body,
                           int64_t timeout_ms, struct kt_http_answer *ret_answer,
                           struct kt_error *err)
{
    char url[KT_ADDR_MAX + 40], auth[200];
    struct kt_http_call call;
    struct kt_arena *arena = kt_arena_new(1024, 65536);
    if (!arena) {
        return kt_fail(err, KT_NO_MEMORY, "no memory to register");
    }
    struct kt_str node = nth_node(coord->nodes, coord->at);
    snprintf(url, sizeof(url), "http://" KT_STR_FMT "%s", KT_STR_ARG(node), path);
    memset(&call, 0, sizeof(call));
    call.method = "POST";
    call.url = url;
    call.body = body;
    call.content_type = "application/json";
    call.timeout_ms = timeout_ms;
    call.connect_timeout_ms = timeout_ms < CONNECT_MS ? timeout_ms : CONNECT_MS;
    call.max_answer_bytes = ANSWER_BYTES_MAX;
    if (coord->access) {
        struct kt_str mac =
            kt_access_sign(coord->access, "POST", kt_str(path), KT_STR(""), body, arena);
        if (mac.len > 0) {
            snprintf(auth, sizeof(auth), "X-Kamaitachi-Auth: " KT_STR_FMT, KT_STR_ARG(mac));
            call.headers[0] = auth;
        }
    }
    enum kt_status status = kt_http_client_call(coord->client, &call, ret_answer, err);
    if (status == KT_OK && ret_answer->status != 200) {
        status = refusal(ret_answer, err);
    }
    kt_arena_free(&arena);
    return status;
}

/* Of the node whose turn it is. */
static enum kt_status call_node(struct coord_remote *coord, const struct kt_service *self,
                                enum action action, int64_t timeout_ms,
                                struct kt_http_answer *ret_answer, struct kt_error *err)
{
    struct kt_buf body;
    kt_buf_init(&body, 0);
    enum kt_status status = format_body(coord, self, action, &body, err);
    if (status == KT_OK) {
        status = post(coord, paths[action], kt_buf_str(&body), timeout_ms, ret_answer, err);
    }
    kt_buf_done(&body);
    return status;
}

struct told { /* by an answer */
    int64_t ttl_s, lease;
    struct coord_facts facts;
    bool complete, reachable;
};

static enum kt_status read_data(const struct kt_json_value *data, const char *prefix,
                                struct told *ret, struct kt_error *err)
{
    struct kt_json_fields fields, etcd;
    const struct kt_json_value *keys = NULL;
    enum kt_status status = kt_json_fields_init(&fields, data, "data", err);
    if (status == KT_OK) {
        status = kt_coord_get_number(&fields, "ttl", 3, 60, &ret->ttl_s, err);
    }
    if (status == KT_OK) {
        status = kt_coord_get_lease(&fields, 1, &ret->lease, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_object(&fields, "etcd", &keys, NULL, err);
    }
    if (status == KT_OK && !keys) {
        status = kt_fail_field(err, KT_CORRUPT, "data.etcd", "data.etcd is missing");
    }
    if (status == KT_OK) {
        status = kt_json_fields_init(&etcd, keys, "data.etcd", err);
    }
    return status == KT_OK
               ? kt_facts_read(&etcd, prefix, &ret->facts, &ret->complete, &ret->reachable, err)
               : status;
}

static enum kt_status read_answer(const struct kt_http_answer *answer, const char *prefix,
                                  struct told *ret, struct kt_error *err)
{
    struct kt_json *doc = NULL;
    struct kt_json_fields fields;
    const struct kt_json_value *data = NULL;
    struct kt_error why = KT_ERROR_INIT;
    enum kt_status status =
        kt_json_parse(kt_buf_str(&answer->body), KT_JSON_DEPTH_DEFAULT, &doc, &why);
    if (status == KT_OK) {
        status = kt_json_fields_init(&fields, kt_json_root(doc), "", &why);
    }
    if (status == KT_OK) {
        status = kt_json_get_object(&fields, "data", &data, NULL, &why);
    }
    if (status == KT_OK) {
        status = data ? read_data(data, prefix, ret, &why)
                      : kt_fail_field(&why, KT_CORRUPT, "data", "data is missing");
    }
    kt_json_free(&doc);
    return status == KT_OK ? KT_OK : kt_coord_refuse(&why, "the answer to a registration", err);
}

/* --- the thread --- */

static void note_told(struct coord_remote *coord, enum action action, struct told *told)
{
    struct kt_str node = nth_node(coord->nodes, coord->at);
    kt_mutex_lock(&coord->mutex);
    kt_facts_done(&coord->facts);
    coord->facts = told->facts;
    coord->complete = told->complete;
    coord->reachable = told->reachable;
    coord->lease = told->lease;
    coord->registered = true;
    coord->failures = 0;
    coord->failing_said = false;
    coord->next_mono_ms = kt_now_mono_ms() + told->ttl_s * 1000 / 3;
    kt_mutex_unlock(&coord->mutex);
    if (action == ASK_REGISTER) {
        kt_log(INFO, "coord", "registered_with", "addr=%s with=" KT_STR_FMT " ttl_s=%lld",
               coord->addr, KT_STR_ARG(node), (long long)told->ttl_s);
    }
    publish(coord);
}

/* Registered no longer, or never; the next node's turn, unless this one only forgot us. */
static void note_failure(struct coord_remote *coord, enum action action, enum kt_status status,
                         const struct kt_error *why)
{
    struct kt_str node = nth_node(coord->nodes, coord->at);
    kt_mutex_lock(&coord->mutex);
    bool forgot = action == ASK_HEARTBEAT && status == KT_NOT_FOUND;
    bool say = !coord->stopping && !coord->failing_said && !forgot;
    coord->registered = false;
    coord->urgent = false;
    coord->failing_said |= say;
    coord->reachable = coord->reachable && forgot;
    if (forgot) {
        coord->next_mono_ms = 0;
    } else {
        coord->failures++;
        coord->at = (coord->at + 1) % coord->node_count;
        coord->next_mono_ms = kt_now_mono_ms() + kt_coord_backoff_ms(coord->failures);
    }
    kt_mutex_unlock(&coord->mutex);
    if (say) {
        kt_log(WARN, "coord", "not_registered", "addr=%s with=" KT_STR_FMT " why=\"%s\"",
               coord->addr, KT_STR_ARG(node), why->message);
    }
    publish(coord);
}

static void ask(struct coord_remote *coord, const struct kt_service *self, enum action action)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_http_answer answer;
    struct told told;
    memset(&told, 0, sizeof(told));
    kt_http_answer_init(&answer);
    enum kt_status status = call_node(coord, self, action, CALL_MS, &answer, &err);
    if (status == KT_OK && action != ASK_DEREGISTER) {
        status = read_answer(&answer, coord->prefix, &told, &err);
    }
    kt_http_answer_done(&answer);
    if (action == ASK_DEREGISTER) {
        kt_mutex_lock(&coord->mutex);
        /* Not heard: remote_deregister asks once more, then it runs out. */
        coord->registered = status != KT_OK && status != KT_NOT_FOUND;
        coord->withdrawing = false;
        kt_cond_broadcast(&coord->cond);
        kt_mutex_unlock(&coord->mutex);
    } else if (status == KT_OK) {
        note_told(coord, action, &told);
    } else {
        note_failure(coord, action, status, &err);
    }
}

/* Mutex held. */
static enum action next_action(const struct coord_remote *coord, int64_t now_ms)
{
    if (coord->withdrawn) {
        return coord->registered && coord->withdrawing ? ASK_DEREGISTER : ASK_NOTHING;
    }
    if (!coord->has_self || (now_ms < coord->next_mono_ms && !coord->urgent)) {
        return ASK_NOTHING;
    }
    return coord->registered ? ASK_HEARTBEAT : ASK_REGISTER;
}

static void remote_run(void *arg)
{
    struct coord_remote *coord = arg;
    kt_mutex_lock(&coord->mutex);
    while (!coord->stopping) {
        int64_t now_ms = kt_now_mono_ms();
        enum action action = next_action(coord, now_ms);
        if (action == ASK_NOTHING) {
            int64_t wake_ms = coord->next_mono_ms > now_ms ? coord->next_mono_ms : now_ms + 60000;
            (void)kt_cond_wait(&coord->cond, &coord->mutex, wake_ms);
            continue;
        }
        struct kt_service self = coord->self;
        coord->urgent = false; /* set again by who changes it meanwhile */
        kt_mutex_unlock(&coord->mutex);
        ask(coord, &self, action);
        kt_mutex_lock(&coord->mutex);
    }
    kt_mutex_unlock(&coord->mutex);
}

/* --- the interface --- */

static int64_t remote_lease_end(struct kt_coord *base, int64_t lease)
{
    (void)base;
    (void)lease;
    return 0; /* another's clock measures it */
}

static void remote_set_service(struct kt_coord *base, const struct kt_service *self)
{
    struct coord_remote *coord = (struct coord_remote *)base;
    struct kt_service next = *self;
    memcpy(next.service_name, coord->service_name, sizeof(next.service_name));
    memcpy(next.addr, coord->addr, sizeof(next.addr));
    kt_mutex_lock(&coord->mutex);
    if (!coord->has_self || kt_coord_is_urgent(&coord->self, &next, !coord->facts.leader.present)) {
        /* What fails is not tried faster for it. */
        coord->urgent = coord->registered;
        kt_cond_broadcast(&coord->cond);
    }
    coord->has_self = true;
    coord->self = next;
    kt_mutex_unlock(&coord->mutex);
}

static void remote_set_ttl(struct kt_coord *base, int64_t ttl_s)
{
    (void)base; /* who holds the entry knows it */
    (void)ttl_s;
}

static enum kt_txn_outcome remote_config_txn(struct kt_coord *base,
                                             const struct kt_coord_view *view,
                                             const struct kt_cluster_config *config,
                                             struct kt_error *err)
{
    (void)base;
    (void)view;
    (void)config;
    (void)kt_fail(err, KT_CONFLICT, "a node without etcd does not lead");
    return KT_TXN_REFUSED;
}

static enum kt_txn_outcome
remote_delete_leader(struct kt_coord *base, const struct kt_coord_view *view, struct kt_error *err)
{
    return remote_config_txn(base, view, NULL, err);
}

static void remote_withdraw(struct kt_coord *base)
{
    struct coord_remote *coord = (struct coord_remote *)base;
    kt_mutex_lock(&coord->mutex);
    coord->withdrawing |= !coord->withdrawn;
    coord->withdrawn = true;
    kt_cond_broadcast(&coord->cond);
    kt_mutex_unlock(&coord->mutex);
}

/* A call to take the entry out that is under way gets its time, rather than being cut off. */
static void finish_withdrawing(struct coord_remote *coord, int64_t deadline_ms)
{
    kt_mutex_lock(&coord->mutex);
    while (coord->registered && coord->withdrawing && kt_now_mono_ms() < deadline_ms) {
        (void)kt_cond_wait(&coord->cond, &coord->mutex, deadline_ms);
    }
    kt_mutex_unlock(&coord->mutex);
}

static void end_thread(struct coord_remote *coord)
{
    kt_mutex_lock(&coord->mutex);
    coord->stopping = true;
    kt_cond_broadcast(&coord->cond);
    kt_mutex_unlock(&coord->mutex);
    if (coord->client) {
        kt_http_client_cancel(coord->client);
    }
    kt_thread_join(&coord->thread);
}

static void remote_deregister(struct kt_coord *base, int64_t timeout_ms)
{
    struct coord_remote *coord = (struct coord_remote *)base;
    struct kt_error err = KT_ERROR_INIT;
    int64_t deadline_ms = kt_now_mono_ms() + timeout_ms;
    finish_withdrawing(coord, deadline_ms);
    end_thread(coord);
    timeout_ms = deadline_ms - kt_now_mono_ms();
    if (coord->registered && timeout_ms > 0) {
        struct kt_http_answer answer;
        kt_http_answer_init(&answer);
        kt_http_client_reset(coord->client);
        enum kt_status status =
            call_node(coord, &coord->self, ASK_DEREGISTER, timeout_ms, &answer, &err);
        kt_http_answer_done(&answer);
        if (status == KT_OK) {
            kt_log(INFO, "coord", "deregistered", "addr=%s", coord->addr);
        } else {
            kt_log(WARN, "coord", "deregister_failed", "addr=%s why=\"%s\"", coord->addr,
                   err.message);
        }
    }
    coord->registered = false;
    coord->lease = 0;
    struct kt_coord_view *last = build_view(coord); /* nobody is told any more */
    struct kt_coord_view *before = last ? kt_coord_swap_view(base, last) : NULL;
    kt_coord_view_unref(&before);
}

static void destroy(struct coord_remote *coord)
{
    kt_http_client_free(&coord->client);
    kt_facts_done(&coord->facts);
    kt_cond_done(&coord->cond);
    kt_mutex_done(&coord->mutex);
    if (coord->base.view) {
        kt_coord_base_done(&coord->base);
    }
    kt_free(coord->nodes);
    kt_free(coord);
}

static void remote_free(struct kt_coord *base)
{
    struct coord_remote *coord = (struct coord_remote *)base;
    end_thread(coord);
    destroy(coord);
}

static const struct coord_ops remote_ops = {
    .lease_end_mono_ms = remote_lease_end,
    .set_service = remote_set_service,
    .set_ttl = remote_set_ttl,
    .campaign = remote_config_txn,
    .update_config = remote_config_txn,
    .delete_leader = remote_delete_leader,
    .withdraw = remote_withdraw,
    .deregister = remote_deregister,
    .free = remote_free,
};

static enum kt_status prepare(struct coord_remote *coord, const struct kt_coord_options *options,
                              struct kt_error *err)
{
    kt_str_copy(coord->prefix, sizeof(coord->prefix), kt_str(options->prefix));
    kt_str_copy(coord->service_name, sizeof(coord->service_name), kt_str(options->service_name));
    kt_str_copy(coord->addr, sizeof(coord->addr), kt_str(options->addr));
    coord->access = options->access;
    coord->node_count = count_nodes(options->register_with);
    coord->nodes = kt_strdup(options->register_with);
    coord->client = kt_http_client_new();
    if (options->self) {
        coord->self = *options->self;
        memcpy(coord->self.service_name, coord->service_name, sizeof(coord->service_name));
        memcpy(coord->self.addr, coord->addr, sizeof(coord->addr));
        coord->has_self = options->register_now;
    }
    struct kt_coord_view *first = build_view(coord);
    if (first) {
        kt_coord_base_init(&coord->base, &remote_ops, options, first);
    }
    if (!first || !coord->nodes || !coord->client) {
        return kt_fail(err, KT_NO_MEMORY, "no memory to register");
    }
    return kt_addr_parse(kt_str(options->addr), 0, coord->host, &coord->port, err);
}

enum kt_status kt_coord_start_remote(const struct kt_coord_options *options,
                                     struct kt_coord **ret_coord, struct kt_error *err)
{
    enum kt_status status = kt_coord_check_options(options, err);
    if (status == KT_OK) {
        status = kt_coord_nodes_check(options->register_with, err);
    }
    if (status != KT_OK) {
        return status;
    }
    struct coord_remote *coord = kt_calloc(1, sizeof(*coord));
    if (!coord) {
        return kt_fail(err, KT_NO_MEMORY, "no memory to register");
    }
    kt_mutex_init(&coord->mutex, "coord_remote", KT_RANK_COORD);
    kt_cond_init(&coord->cond);
    kt_facts_init(&coord->facts);
    status = prepare(coord, options, err);
    if (status == KT_OK) {
        status = kt_thread_start(&coord->thread, "coord-remote", remote_run, coord, err);
    }
    if (status != KT_OK) {
        destroy(coord);
        return status;
    }
    *ret_coord = &coord->base;
    return KT_OK;
}

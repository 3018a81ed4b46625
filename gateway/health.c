/* SPDX-License-Identifier: MIT */
/* health.c - a timer and a question per node. */
#include <uv.h>

#include "gateway/health.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway/fetch.h"

#include <string.h>

#define HEALTH_BYTES_MAX 65536

struct probe {
    struct kt_health *health;
    struct kt_gw_node *node;
    uv_timer_t timer;
    uv_getaddrinfo_t resolving;
    bool is_name; /* its host is no literal */
    bool is_resolving;
    bool resolve_again; /* the name may lead elsewhere by now */
    unsigned turn;      /* which of a name's addresses is tried, IPv4 first */
    bool closing;
    struct kt_fetch *fetch;
    int64_t started_ms;
    int64_t good, bad; /* in a row */
};

struct kt_health {
    uv_loop_t *loop;
    struct kt_health_options options;
    struct probe *probes[KT_MEMBERS_MAX];
    size_t count;
};

static void on_timer(uv_timer_t *timer);

static void schedule(struct probe *probe)
{
    const struct kt_health_options *options = &probe->health->options;
    int64_t wait_ms = options->interval_ms;

    if (!kt_gw_node_is_up(probe->node) || kt_gw_node_is_refused(probe->node)) {
        wait_ms = wait_ms / 4 > 10 ? wait_ms / 4 : 10;
    }
    uv_timer_start(&probe->timer, on_timer, (uint64_t)wait_ms, 0);
}

static void set_why_down(struct kt_gw_node *node, const char *why)
{
    kt_mutex_lock(&node->facts_lock);
    kt_str_copy(node->facts.why_down, sizeof(node->facts.why_down), kt_str(why));
    kt_mutex_unlock(&node->facts_lock);
}

static void judge_bad(struct probe *probe, const char *why, bool own_word)
{
    struct kt_gw_node *node = probe->node;

    probe->good = 0;
    probe->bad++;
    set_why_down(node, why);
    if ((own_word || probe->bad >= probe->health->options.down) && kt_gw_node_is_up(node)) {
        atomic_store_explicit(&node->up, false, memory_order_release);
        kt_log(WARN, "health", "node_down", "node=%s id=%s why=\"%s\"", node->addr, node->id, why);
    }
}

static uint64_t header_u64(const struct kt_h1_response *response, const char *name)
{
    uint64_t value = 0;

    for (uint32_t i = 0; i < response->head.header_count; i++) {
        if (kt_str_eq_nocase(response->head.headers[i].name, kt_str(name))) {
            (void)kt_parse_u64(response->head.headers[i].value, &value);
        }
    }
    return value;
}

static bool header_is(const struct kt_h1_response *response, const char *name, const char *text)
{
    for (uint32_t i = 0; i < response->head.header_count; i++) {
        if (kt_str_eq_nocase(response->head.headers[i].name, kt_str(name))) {
            return kt_str_eq_text(response->head.headers[i].value, text);
        }
    }
    return false;
}

static void judge_good(struct probe *probe, const struct kt_fetch_result *result)
{
    struct kt_gw_node *node = probe->node;
    struct kt_node_facts facts = {
        .revision = header_u64(result->response, "X-Kamaitachi-Revision"),
        .epoch = header_u64(result->response, "X-Kamaitachi-Epoch"),
        .lag_ms = (int64_t)header_u64(result->response, "X-Kamaitachi-Lag-Ms"),
        .leads = header_is(result->response, "X-Kamaitachi-Role", "leader"),
        .latency_ms = result->took_ms,
    };

    probe->bad = 0;
    probe->good++;
    atomic_store_explicit(&node->revision, facts.revision, memory_order_relaxed);
    kt_mutex_lock(&node->facts_lock);
    node->facts = facts;
    kt_mutex_unlock(&node->facts_lock);
    /* A refusal that came after this probe began stands until the next one. */
    if (atomic_load(&node->refused_ms) <= probe->started_ms) {
        atomic_store(&node->refused_ms, 0);
    }
    if (probe->good >= probe->health->options.up && !kt_gw_node_is_up(node)) {
        atomic_store_explicit(&node->up, true, memory_order_release);
        kt_log(INFO, "health", "node_up", "node=%s id=%s latency_ms=%lld", node->addr, node->id,
               (long long)result->took_ms);
    }
}

static void on_fetched(void *ctx, const struct kt_fetch_result *result)
{
    struct probe *probe = ctx;
    char why[96];

    probe->fetch = NULL;
    if (probe->closing) {
        return;
    }
    if (result->status != KT_OK) {
        probe->resolve_again =
            probe->is_name && (result->status == KT_UNAVAILABLE || result->status == KT_TIMEOUT);
        judge_bad(probe, result->why, false);
    } else if (result->response->status != 200) {
        snprintf(why, sizeof(why), "its /health answers %d", result->response->status);
        judge_bad(probe, why, true);
    } else {
        judge_good(probe, result);
    }
    schedule(probe);
}

static void ask(struct probe *probe)
{
    struct kt_fetch_call call = {
        .sockaddr = kt_gw_node_sockaddr(probe->node),
        .host = probe->node->addr,
        .path = "/health",
        .timeout_ms = probe->health->options.timeout_ms,
        .max_bytes = HEALTH_BYTES_MAX,
        .done = on_fetched,
        .ctx = probe,
    };

    probe->started_ms = kt_now_mono_ms();
    probe->fetch = kt_fetch_start(probe->health->loop, &call);
    if (!probe->fetch) {
        judge_bad(probe, "no memory to ask it", false);
        schedule(probe);
    }
}

static void set_address(struct kt_gw_node *node, const struct sockaddr *address, size_t len)
{
    int index = atomic_load(&node->sockaddr_index);

    if (memcmp(&node->sockaddrs[index], address, len) != 0) {
        memset(&node->sockaddrs[1 - index], 0, sizeof(node->sockaddrs[0]));
        memcpy(&node->sockaddrs[1 - index], address, len);
        atomic_store_explicit(&node->sockaddr_index, 1 - index, memory_order_release);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    kt_free(handle->data);
}

/* IPv4 first (a name such as localhost often has an IPv6 address that nobody listens on), but a
 * failed probe tries the next one. */
static const struct addrinfo *pick_address(const struct addrinfo *found, unsigned turn)
{
    unsigned count = 0;

    for (const struct addrinfo *one = found; one; one = one->ai_next) {
        count++;
    }
    turn %= count;
    for (int family = 0; family < 2; family++) {
        for (const struct addrinfo *one = found; one; one = one->ai_next) {
            if ((one->ai_family == AF_INET) == (family == 0) && turn-- == 0) {
                return one;
            }
        }
    }
    return found;
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct probe *probe = request->data;
    char why[96];

    probe->is_resolving = false;
    if (probe->closing) {
        uv_freeaddrinfo(found);
        uv_close((uv_handle_t *)&probe->timer, on_timer_closed);
        return;
    }
    if (status < 0 || !found) {
        snprintf(why, sizeof(why), "its name can't be resolved: %s", uv_strerror(status));
        judge_bad(probe, why, false);
        schedule(probe);
    } else {
        const struct addrinfo *address = pick_address(found, probe->turn++);

        probe->resolve_again = false;
        set_address(probe->node, address->ai_addr, address->ai_addrlen);
        ask(probe);
    }
    uv_freeaddrinfo(found);
}

/* True when a lookup is under way. */
static bool resolve(struct probe *probe)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    char port[8];

    snprintf(port, sizeof(port), "%u", probe->node->port);
    probe->resolving.data = probe;
    probe->is_resolving = uv_getaddrinfo(probe->health->loop, &probe->resolving, on_resolved,
                                         probe->node->host, port, &hints) == 0;
    return probe->is_resolving;
}

static void on_timer(uv_timer_t *timer)
{
    struct probe *probe = timer->data;

    if (probe->fetch || probe->is_resolving) {
        return;
    }
    if (probe->resolve_again && resolve(probe)) {
        return;
    }
    ask(probe);
}

static void set_literal(struct probe *probe)
{
    struct kt_gw_node *node = probe->node;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (uv_ip4_addr(node->host, node->port, &v4) == 0) {
        set_address(node, (const struct sockaddr *)&v4, sizeof(v4));
    } else if (uv_ip6_addr(node->host, node->port, &v6) == 0) {
        set_address(node, (const struct sockaddr *)&v6, sizeof(v6));
    } else {
        probe->is_name = probe->resolve_again = true;
    }
}

static void follow_one(struct kt_health *health, struct kt_gw_node *node)
{
    struct probe *probe;

    if (health->count == KT_MEMBERS_MAX || !(probe = kt_calloc(1, sizeof(*probe)))) {
        return;
    }
    probe->health = health;
    probe->node = node;
    kt_gw_node_ref(node);
    uv_timer_init(health->loop, &probe->timer);
    probe->timer.data = probe;
    set_literal(probe);
    health->probes[health->count++] = probe;
    uv_timer_start(&probe->timer, on_timer, 0, 0);
}

static void leave(struct probe *probe)
{
    probe->closing = true;
    kt_gw_node_unref(&probe->node);
    if (probe->fetch) {
        kt_fetch_cancel(probe->fetch);
    }
    if (probe->is_resolving) {
        /* The lookup's end closes the timer: the probe must live until then. */
        uv_timer_stop(&probe->timer);
        uv_cancel((uv_req_t *)&probe->resolving);
        return;
    }
    uv_close((uv_handle_t *)&probe->timer, on_timer_closed);
}

static bool table_holds(const struct kt_gw_table *table, const struct kt_gw_node *node)
{
    for (size_t i = 0; table && i < table->count; i++) {
        if (table->nodes[i] == node) {
            return true;
        }
    }
    return false;
}

static bool is_followed(const struct kt_health *health, const struct kt_gw_node *node)
{
    for (size_t i = 0; i < health->count; i++) {
        if (health->probes[i]->node == node) {
            return true;
        }
    }
    return false;
}

void kt_health_follow(struct kt_health *health, const struct kt_gw_table *table)
{
    size_t kept = 0;

    for (size_t i = 0; i < health->count; i++) {
        struct probe *probe = health->probes[i];

        if (table_holds(table, probe->node)) {
            health->probes[kept++] = probe;
        } else {
            kt_log(INFO, "health", "node_gone", "node=%s id=%s", probe->node->addr,
                   probe->node->id);
            leave(probe);
        }
    }
    health->count = kept;
    for (size_t i = 0; table && i < table->count; i++) {
        if (!is_followed(health, table->nodes[i])) {
            kt_log(INFO, "health", "node_listed", "node=%s id=%s", table->nodes[i]->addr,
                   table->nodes[i]->id);
            follow_one(health, table->nodes[i]);
        }
    }
}

void kt_health_hurry(struct kt_health *health)
{
    for (size_t i = 0; i < health->count; i++) {
        struct probe *probe = health->probes[i];

        if (atomic_exchange(&probe->node->probe_now, false) && !probe->fetch &&
            !probe->is_resolving) {
            uv_timer_start(&probe->timer, on_timer, 0, 0);
        }
    }
}

void kt_health_stop(struct kt_health *health)
{
    for (size_t i = 0; i < health->count; i++) {
        leave(health->probes[i]);
    }
    health->count = 0;
}

struct kt_health *kt_health_new(uv_loop_t *loop, const struct kt_health_options *options)
{
    struct kt_health *health = kt_calloc(1, sizeof(*health));

    if (health) {
        health->loop = loop;
        health->options = *options;
    }
    return health;
}

void kt_health_free(struct kt_health **health)
{
    kt_free(*health);
    *health = NULL;
}

/* SPDX-License-Identifier: MIT */
/* dispatch.c - which node a request goes to, and when to another.
 *
 * Reads may be repeated, within the budget, for as long as the client has seen nothing of an
 * answer. Writes go to the leader and are repeated only when they were certainly not done: nothing
 * was sent, or the node said so (421, or X-Kamaitachi-Outcome: none). A write of which a byte was
 * sent and whose answer did not come is unknown, and the client is told so.
 */
#include <uv.h>

#include "gateway/exchange.h"

#include "gateway/upstream.h"

#include <string.h>

#define ANOTHER_MS 200

static bool reads(const struct kt_exchange *exchange)
{
    return exchange->route.kind == KT_CLASS_READ;
}

static bool wants_leader(const struct kt_exchange *exchange)
{
    return !reads(exchange) || exchange->by_leader;
}

static bool was_tried(const struct kt_exchange *exchange, const struct kt_gw_node *node)
{
    for (unsigned i = 0; i < exchange->attempts; i++) {
        if (exchange->tried[i] == node) {
            return true;
        }
    }
    return false;
}

bool kt_dispatch_knows(const struct kt_peer *peer, uint64_t revision)
{
    /* Relaxed: a hint; the node itself sees to it that no older answer leaves it. */
    return peer->revision >= revision ||
           atomic_load_explicit(&peer->node->revision, memory_order_relaxed) >= revision;
}

/* Nodes that are up, were not tried and are known to have the revision; those that refused a
 * connection or stayed silent only when no other is left, so that the last one is never given up.
 */
static struct kt_peer *choose(struct kt_exchange *exchange, uint64_t min_revision)
{
    struct kt_loop *loop = exchange->loop;
    struct kt_peer *found[KT_MEMBERS_MAX], *refused = NULL;
    uint32_t in_flight[KT_MEMBERS_MAX];
    size_t count = 0;

    for (size_t i = 0; loop->table && i < loop->table->count; i++) {
        struct kt_peer *peer = loop->peers[i];

        if (!peer || !kt_gw_node_is_up(peer->node) || was_tried(exchange, peer->node) ||
            !kt_dispatch_knows(peer, min_revision)) {
            continue;
        }
        if (kt_gw_node_is_refused(peer->node)) {
            refused = peer;
            continue;
        }
        in_flight[count] = peer->in_flight;
        found[count++] = peer;
    }
    return count > 0 ? found[kt_balance_choose(&loop->balancer, in_flight, count)] : refused;
}

static void explain_down(const struct kt_gw_table *table, struct kt_error *err)
{
    struct kt_node_facts facts;
    char text[320];
    size_t len = 0;

    text[0] = '\0';
    for (size_t i = 0; i < table->count && len < sizeof(text) - 120; i++) {
        kt_gw_node_facts(table->nodes[i], &facts);
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%.64s: %.48s", i ? "; " : "",
                                table->nodes[i]->addr,
                                facts.why_down[0] ? facts.why_down : "not up yet");
    }
    (void)kt_fail(err, KT_UNAVAILABLE, "no data node is healthy (%s)", text);
}

/* What is missing: etcd, registered nodes, or healthy ones. */
static void explain_no_nodes(const struct kt_loop *loop, struct kt_error *err)
{
    const struct kt_gw_table *table = loop->table;

    if (!table || !table->view->complete) {
        (void)kt_fail(err, KT_UNAVAILABLE, "no data node is known yet: etcd at %s has not answered",
                      loop->config->etcd_endpoints);
    } else if (table->count == 0) {
        (void)kt_fail(err, KT_UNAVAILABLE, "no data node is registered in etcd under %s%s",
                      loop->config->etcd_prefix,
                      table->view->reachable ? "" : ", and etcd does not answer now");
    } else {
        explain_down(table, err);
    }
}

static struct kt_peer *find_by_addr(struct kt_loop *loop, const char *addr)
{
    for (size_t i = 0; loop->table && i < loop->table->count; i++) {
        if (loop->peers[i] && strcmp(loop->peers[i]->node->addr, addr) == 0) {
            return loop->peers[i];
        }
    }
    return NULL;
}

static struct kt_peer *leader_peer(const struct kt_exchange *exchange)
{
    struct kt_loop *loop = exchange->loop;

    if (exchange->leader_hint[0]) {
        return find_by_addr(loop, exchange->leader_hint);
    }
    return loop->table && loop->table->leader >= 0 ? loop->peers[loop->table->leader] : NULL;
}

/* Where a read may go that need not go to the leader. When nobody is known to have its revision the
 * leader has it if anyone does; without a leader a node may have it by now, and waits. */
static struct kt_peer *choose_for_read(struct kt_exchange *exchange)
{
    struct kt_peer *peer = choose(exchange, exchange->min_revision);

    if (!peer && exchange->min_revision > 0) {
        peer = leader_peer(exchange);
        if (!peer || !kt_gw_node_is_up(peer->node) || was_tried(exchange, peer->node)) {
            peer = choose(exchange, 0);
        }
    }
    return peer;
}

static void explain_no_leader(struct kt_exchange *exchange, const struct kt_peer *leader,
                              struct kt_error *err)
{
    const struct kt_loop *loop = exchange->loop;
    const struct kt_gw_table *table = loop->table;
    struct kt_node_facts facts;

    if (!table || !table->view->complete || table->count == 0) {
        explain_no_nodes(loop, err);
    } else if (!table->view->leader.present) {
        (void)kt_fail(err, KT_UNAVAILABLE,
                      "no node leads at the moment: try again after an election");
    } else if (!leader) {
        (void)kt_fail(err, KT_UNAVAILABLE, "the leader %s is not registered (any more)",
                      table->view->leader.addr);
    } else {
        kt_gw_node_facts(leader->node, &facts);
        (void)kt_fail(err, KT_UNAVAILABLE, "the leader %s is not healthy: %s", leader->node->addr,
                      facts.why_down[0] ? facts.why_down : "connections are refused");
    }
}

/* A used connection was closed under us: the same node, on a connection of its own. */
static struct kt_peer *same_again(const struct kt_exchange *exchange)
{
    struct kt_loop *loop = exchange->loop;
    const struct kt_gw_node *node = exchange->tried[exchange->attempts - 1];

    for (size_t i = 0; loop->table && i < loop->table->count; i++) {
        if (loop->peers[i] && loop->peers[i]->node == node) {
            return loop->peers[i];
        }
    }
    return NULL;
}

static void go(struct kt_exchange *exchange, struct kt_peer *peer, bool fresh)
{
    if (exchange->attempts == 0 || exchange->tried[exchange->attempts - 1] != peer->node) {
        kt_gw_node_ref(peer->node);
        exchange->tried[exchange->attempts++] = peer->node;
    }
    exchange->needs_fresh = fresh;
    exchange->sent = exchange->got_byte = exchange->send_broken = false;
    exchange->answer_parsed = exchange->answer_held = false;
    exchange->answer_scan = (struct kt_h1_scan){0};
    kt_upstream_acquire(exchange, peer, fresh);
}

static void give_up(struct kt_exchange *exchange, const struct kt_error *err)
{
    kt_exchange_fail(exchange, exchange->last_error.message[0] ? &exchange->last_error : err);
}

static void dispatch_to_leader(struct kt_exchange *exchange)
{
    struct kt_peer *leader = leader_peer(exchange);
    struct kt_error err = KT_ERROR_INIT;

    /* An operator's request is for a node even when none leads. */
    if (!leader && exchange->route.kind == KT_CLASS_ADMIN) {
        leader = choose(exchange, 0);
    }
    if (leader && kt_gw_node_is_up(leader->node) && !was_tried(exchange, leader->node)) {
        go(exchange, leader, false);
        return;
    }
    explain_no_leader(exchange, leader, &err);
    give_up(exchange, &err);
}

bool kt_dispatch_has_other(struct kt_exchange *exchange)
{
    return reads(exchange) && !wants_leader(exchange) && kt_exchange_may_repeat(exchange) &&
           exchange->attempts < KT_ATTEMPTS_MAX &&
           (!exchange->sent || kt_budget_has(&exchange->loop->budget)) && choose_for_read(exchange);
}

void kt_dispatch(struct kt_exchange *exchange)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_peer *peer = NULL;

    if (exchange->attempts >= KT_ATTEMPTS_MAX) {
        give_up(exchange, &err);
    } else if (wants_leader(exchange)) {
        dispatch_to_leader(exchange);
    } else if ((peer = choose_for_read(exchange))) {
        go(exchange, peer, false);
    } else {
        explain_no_nodes(exchange->loop, &err);
        give_up(exchange, &err);
    }
}

static bool spend(struct kt_exchange *exchange)
{
    if (kt_budget_spend(&exchange->loop->budget)) {
        KT_COUNT(exchange->loop, retries);
        return true;
    }
    KT_COUNT(exchange->loop, budget_empty);
    return false;
}

static void record(struct kt_exchange *exchange, enum kt_failure failure, const char *why,
                   bool nothing_sent)
{
    static const enum kt_status statuses[] = {
        [KT_FAIL_REFUSED] = KT_UNAVAILABLE,
        [KT_FAIL_CLOSED] = KT_BAD_GATEWAY,
        [KT_FAIL_BROKEN] = KT_BAD_GATEWAY,
        [KT_FAIL_SILENT] = KT_TIMEOUT,
    };
    const char *addr = exchange->peer ? exchange->peer->node->addr : "?";

    if (reads(exchange)) {
        (void)kt_fail(&exchange->last_error, statuses[failure], "node %s: %s", addr, why);
    } else if (nothing_sent) {
        (void)kt_fail(&exchange->last_error, KT_UNAVAILABLE,
                      "the leader %s cannot be reached: %s; nothing is done", addr, why);
    } else {
        (void)kt_fail(&exchange->last_error, KT_OUTCOME_UNKNOWN,
                      "the connection to the leader %s ended before its answer (%s): the write may "
                      "be done or not",
                      addr, why);
    }
}

/* A write of which something was sent is repeated under its key alone: whoever leads now, or the
 * same node once more on a connection of its own, finds by the key what the first attempt did. Only
 * after a connection that broke: a node that hangs does so for the second attempt too. */
static bool repeat_keyed(struct kt_exchange *exchange, enum kt_failure failure, bool nothing_sent)
{
    struct kt_peer *leader;

    if (reads(exchange) || nothing_sent) {
        return false;
    }
    exchange->maybe_done = true;
    leader = leader_peer(exchange);
    if (exchange->route.kind != KT_CLASS_WRITE || failure != KT_FAIL_CLOSED ||
        !exchange->request.head.known[KT_H1_IDEMPOTENCY_KEY].data || exchange->keyed_again ||
        !kt_exchange_may_repeat(exchange) || exchange->attempts >= KT_ATTEMPTS_MAX || !leader ||
        !kt_gw_node_is_up(leader->node) || !spend(exchange)) {
        return false;
    }
    exchange->keyed_again = true;
    go(exchange, leader, true);
    return true;
}

void kt_exchange_on_failed(struct kt_exchange *exchange, enum kt_failure failure, const char *why)
{
    struct kt_upstream *upstream = exchange->upstream;
    bool reused = upstream && upstream->reused;
    bool nothing_sent =
        !exchange->sent || (upstream && upstream->io.taken_bytes == exchange->taken_before);
    bool stale = reused && !exchange->got_byte && failure == KT_FAIL_CLOSED;
    struct kt_peer *peer;

    if (exchange->answer_started) {
        kt_exchange_abort(exchange);
        return;
    }
    if (exchange->peer && failure != KT_FAIL_REFUSED) {
        atomic_fetch_add_explicit(&exchange->peer->node->failures, 1, memory_order_relaxed);
    }
    record(exchange, failure, why, nothing_sent);
    kt_upstream_release(exchange, false);
    if (repeat_keyed(exchange, failure, nothing_sent)) {
        return;
    }
    if (!kt_exchange_may_repeat(exchange) || (!reads(exchange) && !nothing_sent)) {
        kt_exchange_fail(exchange, &exchange->last_error);
        return;
    }
    if (stale && !exchange->needs_fresh && (peer = same_again(exchange))) {
        KT_COUNT(exchange->loop, stale);
        go(exchange, peer, true);
        return;
    }
    if (nothing_sent || spend(exchange)) {
        kt_dispatch(exchange);
        return;
    }
    give_up(exchange, &exchange->last_error);
}

/* The node does not lead, and perhaps says who does. True when the request is on its way again or
 * answered. */
static bool reroute(struct kt_exchange *exchange)
{
    struct kt_str hint = exchange->answer.head.known[KT_H1_LEADER];
    struct kt_error err = KT_ERROR_INIT;
    struct kt_peer *leader;

    if (hint.len > 0 && hint.len < sizeof(exchange->leader_hint)) {
        kt_str_copy(exchange->leader_hint, sizeof(exchange->leader_hint), hint);
    } else {
        exchange->leader_hint[0] = '\0';
    }
    leader = leader_peer(exchange);
    exchange->leader_hint[0] = '\0';
    kt_upstream_release(exchange, false);
    if (!exchange->rerouted && leader && !was_tried(exchange, leader->node) &&
        exchange->attempts < KT_ATTEMPTS_MAX && kt_exchange_may_repeat(exchange)) {
        exchange->rerouted = true;
        KT_COUNT(exchange->loop, rerouted);
        go(exchange, leader, false);
        return true;
    }
    (void)kt_fail(&err, KT_UNAVAILABLE, "the leader is changing: try again after an election");
    kt_exchange_fail(exchange, &err);
    return true;
}

/* A refusal that came at the end of the time, such as a node's that waited for a revision, is a
 * better answer than a time-out of the next node's. */
static bool has_time_for_another(const struct kt_exchange *exchange)
{
    return exchange->deadline_ms == 0 ||
           exchange->deadline_ms - kt_loop_now(exchange->loop) >= ANOTHER_MS;
}

bool kt_dispatch_instead(struct kt_exchange *exchange)
{
    int status = exchange->answer.status;
    struct kt_peer *peer;

    if (exchange->maybe_done && (status == 421 || status == 503)) {
        struct kt_error err = KT_ERROR_INIT;

        (void)kt_fail(&err, KT_UNAVAILABLE, "node %s refused it: %d", exchange->peer->node->addr,
                      status);
        kt_exchange_fail(exchange, &err);
        return true;
    }
    if (status == 421 && wants_leader(exchange)) {
        return reroute(exchange);
    }
    if (status != 503 || !kt_exchange_may_repeat(exchange) ||
        exchange->attempts >= KT_ATTEMPTS_MAX || !has_time_for_another(exchange)) {
        return false;
    }
    if (!wants_leader(exchange)) {
        peer = choose_for_read(exchange);
        if (!peer || !spend(exchange)) {
            return false;
        }
    } else {
        /* Certainly not done there: worth another try where another leads by now. */
        peer = leader_peer(exchange);
        if (!peer || was_tried(exchange, peer->node) || !kt_gw_node_is_up(peer->node) ||
            (!reads(exchange) &&
             !kt_str_eq_nocase(exchange->answer.head.known[KT_H1_OUTCOME], KT_STR("none")))) {
            return false;
        }
    }
    kt_upstream_release(exchange, false);
    go(exchange, peer, false);
    return true;
}

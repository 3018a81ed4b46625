/* SPDX-License-Identifier: MIT */
/* dispatch.c - which node a request goes to, and when to another.
 *
 * Reads may be repeated, within the budget, for as long as the client has seen nothing of an
 * answer. What only the leader can do is in to_leader.c.
 */
#include <uv.h>

#include "gateway/exchange.h"

#include "gateway/upstream.h"

#include <string.h>

static bool reads(const struct kt_exchange *exchange)
{
    return exchange->route.kind == KT_CLASS_READ;
}

static bool wants_leader(const struct kt_exchange *exchange)
{
    return exchange->route.place == KT_PLACE_LEADER || (reads(exchange) && exchange->by_leader);
}

bool kt_dispatch_was_tried(const struct kt_exchange *exchange, const struct kt_gw_node *node)
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
struct kt_peer *kt_dispatch_choose(struct kt_exchange *exchange, uint64_t min_revision)
{
    struct kt_loop *loop = exchange->loop;
    struct kt_peer *found[KT_MEMBERS_MAX], *refused = NULL;
    uint32_t in_flight[KT_MEMBERS_MAX];
    size_t count = 0;

    for (size_t i = 0; loop->table && i < loop->table->count; i++) {
        struct kt_peer *peer = loop->peers[i];

        if (!peer || !kt_gw_node_is_up(peer->node) || kt_dispatch_was_tried(exchange, peer->node) ||
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
void kt_dispatch_explain(const struct kt_loop *loop, struct kt_error *err)
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

/* Where a read may go that need not go to the leader. When nobody is known to have its revision the
 * leader has it if anyone does; without a leader a node may have it by now, and waits. */
static struct kt_peer *choose_for_read(struct kt_exchange *exchange)
{
    struct kt_peer *peer = kt_dispatch_choose(exchange, exchange->min_revision);

    if (!peer && exchange->min_revision > 0) {
        peer = kt_leader_up(exchange->loop);
        if (!peer || kt_dispatch_was_tried(exchange, peer->node)) {
            peer = kt_dispatch_choose(exchange, 0);
        }
    }
    return peer;
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

static void note_tried(struct kt_exchange *exchange, struct kt_gw_node *node)
{
    if (exchange->attempts > 0 && exchange->tried[exchange->attempts - 1] == node) {
        return;
    }
    if (exchange->attempts == KT_ATTEMPTS_MAX) {
        /* Only who waits for a leader comes so far, and is bounded by time. */
        kt_gw_node_unref(&exchange->tried[--exchange->attempts]);
    }
    kt_gw_node_ref(node);
    exchange->tried[exchange->attempts++] = node;
}

void kt_dispatch_to(struct kt_exchange *exchange, struct kt_peer *peer, bool fresh)
{
    note_tried(exchange, peer->node);
    exchange->needs_fresh = fresh;
    exchange->sent = exchange->got_byte = exchange->send_broken = false;
    kt_answer_reset(exchange);
    kt_upstream_acquire(exchange, peer, fresh);
}

static void give_up(struct kt_exchange *exchange, const struct kt_error *err)
{
    kt_exchange_fail(exchange, exchange->last_error.message[0] ? &exchange->last_error : err);
}

bool kt_dispatch_has_other(struct kt_exchange *exchange)
{
    return reads(exchange) && !wants_leader(exchange) && kt_exchange_may_repeat(exchange) &&
           exchange->attempts < KT_ATTEMPTS_MAX &&
           (!exchange->sent || kt_budget_has(&exchange->loop->budget)) && choose_for_read(exchange);
}

/* The first by its key that lives and reaches etcd: the same for every gateway, for as long as it
 * lives. */
static struct kt_peer *choose_first(const struct kt_exchange *exchange)
{
    const struct kt_loop *loop = exchange->loop;

    for (size_t i = 0; loop->table && i < loop->table->count; i++) {
        struct kt_peer *peer = loop->peers[i];

        if (peer && !peer->node->is_guest && kt_gw_node_is_up(peer->node) &&
            !kt_gw_node_is_refused(peer->node) && !kt_dispatch_was_tried(exchange, peer->node)) {
            return peer;
        }
    }
    return NULL;
}

static struct kt_peer *choose_by_place(struct kt_exchange *exchange)
{
    struct kt_peer *peer = NULL;

    if (exchange->route.place == KT_PLACE_FIRST) {
        peer = choose_first(exchange);
    } else if (exchange->route.place == KT_PLACE_LEADER_OR_ANY) {
        peer = kt_leader_up(exchange->loop);
        if (peer &&
            (kt_gw_node_is_refused(peer->node) || kt_dispatch_was_tried(exchange, peer->node))) {
            peer = NULL;
        }
    }
    return peer ? peer : choose_for_read(exchange);
}

void kt_dispatch(struct kt_exchange *exchange)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_peer *peer = NULL;

    if (wants_leader(exchange)) {
        kt_leader_dispatch(exchange);
    } else if (exchange->attempts >= KT_ATTEMPTS_MAX) {
        give_up(exchange, &err);
    } else if ((peer = choose_by_place(exchange))) {
        kt_dispatch_to(exchange, peer, false);
    } else {
        kt_dispatch_explain(exchange->loop, &err);
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
    const char *whom = wants_leader(exchange) ? "the leader" : "node";

    if (reads(exchange)) {
        (void)kt_fail(&exchange->last_error, statuses[failure], "node %s: %s", addr, why);
    } else if (nothing_sent) {
        (void)kt_fail(&exchange->last_error, KT_UNAVAILABLE,
                      "%s %s cannot be reached: %s; nothing is done", whom, addr, why);
    } else {
        (void)kt_fail(&exchange->last_error, KT_OUTCOME_UNKNOWN,
                      "the connection to %s %s ended before its answer (%s): the write may be done "
                      "or not",
                      whom, addr, why);
    }
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
    if (kt_leader_waited_for(exchange)) {
        kt_leader_on_failed(exchange, failure, nothing_sent,
                            exchange->tried[exchange->attempts - 1]->addr);
        return;
    }
    if (!kt_exchange_may_repeat(exchange) || (!reads(exchange) && !nothing_sent)) {
        exchange->maybe_done = !reads(exchange) && !nothing_sent;
        kt_exchange_fail(exchange, &exchange->last_error);
        return;
    }
    if (stale && !exchange->needs_fresh && (peer = same_again(exchange))) {
        KT_COUNT(exchange->loop, stale);
        kt_dispatch_to(exchange, peer, true);
        return;
    }
    if (nothing_sent || spend(exchange)) {
        kt_dispatch(exchange);
        return;
    }
    give_up(exchange, &exchange->last_error);
}

/* A refusal that came at the end of the time, such as a node's that waited for a revision, is a
 * better answer than a time-out of the next node's. */
static bool has_time_for_another(const struct kt_exchange *exchange)
{
    return exchange->deadline_ms == 0 ||
           exchange->deadline_ms - kt_loop_now(exchange->loop) >= KT_ANOTHER_MS;
}

bool kt_dispatch_instead(struct kt_exchange *exchange)
{
    struct kt_peer *peer;

    if (wants_leader(exchange)) {
        return kt_leader_instead(exchange);
    }
    if (exchange->answer.status != 503 || !reads(exchange) || !kt_exchange_may_repeat(exchange) ||
        exchange->attempts >= KT_ATTEMPTS_MAX || !has_time_for_another(exchange)) {
        return false;
    }
    peer = choose_for_read(exchange);
    if (!peer || !spend(exchange)) {
        return false;
    }
    kt_upstream_release(exchange, false);
    kt_dispatch_to(exchange, peer, false);
    return true;
}

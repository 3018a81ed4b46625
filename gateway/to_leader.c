/* SPDX-License-Identifier: MIT */
/* to_leader.c - what only the leader can do: writes, and reads at the levels leader and
 * linearizable.
 *
 * Who leads is told by the watch and by nodes that answer 421; whichever spoke last is believed. A
 * 421 is good for the requests until the next change that the watch reports, which decides. When
 * who is told of is down, a node is believed whose own /health says that it leads a later epoch.
 *
 * A write is sent again when it was certainly not done (nothing was sent, 421, or
 * X-Kamaitachi-Outcome: none), or under its Idempotency-Key, which the gateway adds to every write
 * without one: whoever leads then finds by the key what an earlier attempt did. What had its effect
 * or not, and could not be asked again in time, is unknown, and the client is told so.
 */
#include <uv.h>

#include "gateway/exchange.h"

#include "base/log.h"
#include "gateway/upstream.h"
#include "json/read.h"

#include <string.h>

/* In a row, before it waits like all others: two nodes may name each other. */
#define REROUTES_MAX 2
/* Leaders that went while they had the write: perhaps it is the write that does it. */
#define LEADERS_LOST_MAX 4
#define HANG_MS 500
/* Of an answer that says no Retry-After. */
#define LATER_MS 1000
#define ANSWER_DEPTH 16
/* No key is added for so long after one was refused. */
#define KEYLESS_MS 1000

bool kt_leader_waited_for(const struct kt_exchange *exchange)
{
    return exchange->route.kind == KT_CLASS_WRITE ||
           (exchange->route.kind == KT_CLASS_READ && exchange->by_leader);
}

static bool writes(const struct kt_exchange *exchange)
{
    return exchange->route.kind == KT_CLASS_WRITE;
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

/* A node whose probe says that it leads, in a later epoch than etcd has told of: the watch may be
 * silent while an election is won. NULL = none. */
static struct kt_peer *find_by_probes(struct kt_loop *loop)
{
    const struct kt_gw_table *table = loop->table;
    struct kt_peer *found = NULL;
    uint64_t epoch = 0;

    if (table && table->view->leader.present) {
        epoch = table->view->leader.epoch;
    }
    if (table && table->view->config.present && table->view->config.valid &&
        table->view->config.value.epoch > epoch) {
        epoch = table->view->config.value.epoch;
    }
    for (size_t i = 0; table && i < table->count; i++) {
        struct kt_node_facts facts;

        if (!loop->peers[i] || !kt_gw_node_is_up(table->nodes[i])) {
            continue;
        }
        kt_gw_node_facts(table->nodes[i], &facts);
        if (facts.leads && facts.epoch > epoch) {
            found = loop->peers[i];
            epoch = facts.epoch;
        }
    }
    return found;
}

struct kt_peer *kt_leader_peer(struct kt_loop *loop)
{
    struct kt_peer *told = loop->leader_hint[0] ? find_by_addr(loop, loop->leader_hint) : NULL;

    if (!told && loop->table && loop->table->leader >= 0) {
        told = loop->peers[loop->table->leader];
    }
    if (told && kt_gw_node_is_up(told->node)) {
        return told;
    }
    struct kt_peer *probed = find_by_probes(loop);
    return probed ? probed : told;
}

struct kt_peer *kt_leader_up(struct kt_loop *loop)
{
    struct kt_peer *leader = kt_leader_peer(loop);

    return leader && kt_gw_node_is_up(leader->node) ? leader : NULL;
}

void kt_leader_explain(struct kt_loop *loop, struct kt_error *err)
{
    const struct kt_gw_table *table = loop->table;
    const struct kt_peer *leader = kt_leader_peer(loop);
    struct kt_node_facts facts;

    if (!table || !table->view->complete || table->count == 0) {
        kt_dispatch_explain(loop, err);
    } else if (leader) {
        kt_gw_node_facts(leader->node, &facts);
        (void)kt_fail(err, KT_UNAVAILABLE, "the leader %s is not healthy: %s", leader->node->addr,
                      facts.why_down[0] ? facts.why_down : "connections are refused");
    } else if (!table->view->leader.present) {
        (void)kt_fail(err, KT_UNAVAILABLE,
                      "no node leads at the moment: try again after an election");
    } else {
        (void)kt_fail(err, KT_UNAVAILABLE, "the leader %s is not registered (any more)",
                      table->view->leader.addr);
    }
}

void kt_leader_give_up(struct kt_exchange *exchange)
{
    struct kt_error err = exchange->last_error;
    int64_t waited_ms = kt_loop_now(exchange->loop) - exchange->waits_since_ms;

    if (!err.message[0]) {
        kt_leader_explain(exchange->loop, &err);
    }
    if (exchange->waits_since_ms && waited_ms >= 1000) {
        (void)kt_wrap(&err, "waited %lld ms for a leader", (long long)waited_ms);
    }
    kt_exchange_fail(exchange, &err);
}

/* An operator's request does not wait, and is for a node even when none leads. */
static void dispatch_operators(struct kt_exchange *exchange)
{
    struct kt_peer *leader = kt_leader_peer(exchange->loop);
    struct kt_error err = KT_ERROR_INIT;

    if (!leader) {
        leader = kt_dispatch_choose(exchange, 0);
    }
    if (leader && kt_gw_node_is_up(leader->node) &&
        !kt_dispatch_was_tried(exchange, leader->node)) {
        kt_dispatch_to(exchange, leader, false);
        return;
    }
    kt_leader_explain(exchange->loop, &err);
    kt_exchange_fail(exchange, exchange->last_error.message[0] ? &exchange->last_error : &err);
}

static void go(struct kt_exchange *exchange, struct kt_peer *leader, bool fresh)
{
    exchange->term = exchange->loop->waiting.terms;
    kt_dispatch_to(exchange, leader, fresh);
}

void kt_leader_dispatch(struct kt_exchange *exchange)
{
    struct kt_peer *leader;

    if (!kt_leader_waited_for(exchange)) {
        dispatch_operators(exchange);
    } else if ((leader = kt_leader_up(exchange->loop)) && kt_waiting_may_go(exchange)) {
        go(exchange, leader, false);
    } else {
        kt_waiting_enter(exchange, 0);
    }
}

static bool has_key(const struct kt_exchange *exchange)
{
    return exchange->key_len > 0 || exchange->request.head.known[KT_H1_IDEMPOTENCY_KEY].data;
}

/* May what perhaps was done be sent once more? For as long as its time lasts, but not to one leader
 * after the other. */
static bool may_ask_again(struct kt_exchange *exchange)
{
    if (!has_key(exchange) || !kt_exchange_may_repeat(exchange)) {
        return false;
    }
    if (exchange->leaders_lost == 0 || exchange->lost_term != exchange->term) {
        exchange->lost_term = exchange->term;
        exchange->leaders_lost++;
    }
    return exchange->leaders_lost <= LEADERS_LOST_MAX;
}

/* Whose hint led there is not believed any longer. */
static void forget_hint(struct kt_loop *loop, const char *addr)
{
    if (strcmp(loop->leader_hint, addr) == 0) {
        loop->leader_hint[0] = '\0';
    }
}

/* On a connection of its own: a used one may have been closed while it lay idle. */
static bool go_again(struct kt_exchange *exchange, enum kt_failure failure)
{
    struct kt_peer *leader = kt_leader_up(exchange->loop);

    if (failure != KT_FAIL_CLOSED || exchange->again || !leader ||
        kt_gw_node_is_refused(leader->node) || !kt_waiting_may_go(exchange)) {
        return false;
    }
    exchange->again = true;
    go(exchange, leader, true);
    return true;
}

void kt_leader_on_failed(struct kt_exchange *exchange, enum kt_failure failure, bool nothing_sent,
                         const char *addr)
{
    bool again = failure != KT_FAIL_BROKEN && kt_exchange_may_repeat(exchange);

    forget_hint(exchange->loop, addr);
    if (writes(exchange) && !nothing_sent) {
        exchange->maybe_done = true;
        again = again && may_ask_again(exchange);
    }
    if (!again) {
        kt_exchange_fail(exchange, &exchange->last_error);
    } else if (!go_again(exchange, failure)) {
        kt_waiting_enter(exchange, 0);
    }
}

/* --- the node answered --- */

enum answer {
    ANSWER_TAKEN,       /* it is the answer */
    ANSWER_NOT_LEADING, /* not done there: the node does not lead (any more, or yet) */
    ANSWER_LATER,       /* not done: the leader can't at present */
    ANSWER_UNKNOWN,     /* a leader that stepped down leaves it to the next */
};

static enum answer read_answer(const struct kt_exchange *exchange)
{
    const struct kt_str *known = exchange->answer.head.known;
    bool none = kt_str_eq_nocase(known[KT_H1_OUTCOME], KT_STR("none"));
    bool unknown = kt_str_eq_nocase(known[KT_H1_OUTCOME], KT_STR("unknown"));

    switch (exchange->answer.status) {
    case 421:
        return ANSWER_NOT_LEADING;
    case 503:
        if (writes(exchange) && !none && (unknown || !has_key(exchange))) {
            return ANSWER_TAKEN;
        }
        /* A node may have begun to lead between its refusal and its header. */
        return kt_str_eq_nocase(known[KT_H1_ROLE], KT_STR("leader")) &&
                       !kt_waiting_is_young(exchange->loop)
                   ? ANSWER_LATER
                   : ANSWER_NOT_LEADING;
    case 504:
        return writes(exchange) && unknown && has_key(exchange) ? ANSWER_UNKNOWN : ANSWER_TAKEN;
    default:
        return ANSWER_TAKEN;
    }
}

/* The node's own words, for whoever is told at last that nobody took it. `ret_of_key`: it is the
 * key that the node refuses. */
static void note_refusal(struct kt_exchange *exchange, bool *ret_of_key)
{
    struct kt_io *io = &exchange->upstream->io;
    struct kt_str body = kt_str_n(io->in + io->start + exchange->answer_head_len, 0);
    const struct kt_json_value *root = NULL, *text, *field;
    struct kt_json *json = NULL;
    enum kt_status status = exchange->maybe_done ? KT_OUTCOME_UNKNOWN : KT_UNAVAILABLE;

    if (exchange->answer_held && exchange->answer.has_body) {
        body.len = (size_t)exchange->answer_left;
    }
    if (body.len > 0 && kt_json_parse(body, ANSWER_DEPTH, &json, NULL) == KT_OK) {
        root = kt_json_root(json);
    }
    text = kt_json_member_as(root, "status_msg", KT_JSON_STRING);
    field = kt_json_member_as(kt_json_member_as(root, "error", KT_JSON_OBJECT), "field",
                              KT_JSON_STRING);
    *ret_of_key = field && kt_str_eq(kt_json_string(field), KT_STR("Idempotency-Key"));
    if (text) {
        (void)kt_fail(&exchange->last_error, status, "node %s: %.*s", exchange->peer->node->addr,
                      (int)kt_json_string(text).len, kt_json_string(text).data);
    } else {
        (void)kt_fail(&exchange->last_error, status, "node %s refused it: %d",
                      exchange->peer->node->addr, exchange->answer.status);
    }
    kt_json_free(&json);
}

/* The node's connection is good for the next one when all of its refusal is here. */
static void put_aside(struct kt_exchange *exchange)
{
    struct kt_io *io = &exchange->upstream->io;
    bool whole = exchange->answer_held && !exchange->answer.until_close;

    if (whole) {
        io->start += exchange->answer_head_len +
                     (exchange->answer.has_body ? (size_t)exchange->answer_left : 0);
    }
    kt_upstream_release(exchange, whole && kt_exchange_link_is_good(exchange));
}

/* Too many keys are remembered, or the clocks differ by minutes: better done without a key, and
 * then never repeated, than not done. */
static bool go_without_key(struct kt_exchange *exchange)
{
    struct kt_loop *loop = exchange->loop;

    if (exchange->key_len == 0 || exchange->maybe_done || exchange->answer.status != 503) {
        return false;
    }
    kt_log(WARN, "proxy", "key_refused", "why=\"%s\"", exchange->last_error.message);
    KT_COUNT(loop, keys_refused);
    loop->keyless_until_ms = kt_loop_now(loop) + KEYLESS_MS;
    exchange->key_len = 0;
    exchange->keyless = true;
    put_aside(exchange);
    kt_leader_dispatch(exchange);
    return true;
}

static void take_hint(struct kt_exchange *exchange)
{
    struct kt_loop *loop = exchange->loop;
    struct kt_str hint = exchange->answer.head.known[KT_H1_LEADER];

    forget_hint(loop, exchange->peer->node->addr);
    if (exchange->answer.status == 421 && hint.len > 0 && hint.len < sizeof(loop->leader_hint) &&
        !kt_str_eq_text(hint, exchange->peer->node->addr)) {
        kt_str_copy(loop->leader_hint, sizeof(loop->leader_hint), hint);
        if (!find_by_addr(loop, loop->leader_hint)) {
            loop->leader_hint[0] = '\0';
        }
    }
}

static int64_t later_ms(const struct kt_exchange *exchange)
{
    uint64_t seconds;

    if (!kt_parse_u64(exchange->answer.head.known[KT_H1_RETRY_AFTER], &seconds)) {
        return LATER_MS;
    }
    return seconds < 3600 ? (int64_t)seconds * 1000 : 3600000;
}

/* To whom a node has named, without a place among those that wait, if that one is up. */
static void reroute(struct kt_exchange *exchange)
{
    struct kt_peer *leader = kt_leader_up(exchange->loop);

    if (!leader) {
        kt_waiting_enter(exchange, 0);
        return;
    }
    exchange->reroutes++;
    KT_COUNT(exchange->loop, rerouted);
    go(exchange, leader, false);
}

/* To an operator's request a 421 names where to go, once; all else is the answer. */
static bool instead_operators(struct kt_exchange *exchange)
{
    struct kt_str hint = exchange->answer.head.known[KT_H1_LEADER];
    struct kt_error err = KT_ERROR_INIT;
    struct kt_peer *peer = NULL;
    char addr[KT_ADDR_MAX];

    if (exchange->answer.status != 421) {
        return false;
    }
    if (exchange->reroutes == 0 && hint.len > 0 && hint.len < sizeof(addr)) {
        kt_str_copy(addr, sizeof(addr), hint);
        peer = find_by_addr(exchange->loop, addr);
    }
    put_aside(exchange);
    if (peer && !kt_dispatch_was_tried(exchange, peer->node)) {
        exchange->reroutes++;
        KT_COUNT(exchange->loop, rerouted);
        kt_dispatch_to(exchange, peer, false);
        return true;
    }
    (void)kt_fail(&err, KT_UNAVAILABLE, "the leader is changing: try again after an election");
    kt_exchange_fail(exchange, &err);
    return true;
}

/* Nobody else can be asked in time: its answer is passed on, unless it speaks of one attempt only,
 * or would send the client elsewhere. */
static bool end_with(struct kt_exchange *exchange, enum answer answer)
{
    if (answer == ANSWER_NOT_LEADING && exchange->answer.status == 421) {
        (void)kt_fail(&exchange->last_error, KT_UNAVAILABLE,
                      "the leader is changing: try again after an election");
    } else if (answer == ANSWER_UNKNOWN || !exchange->maybe_done) {
        return false;
    }
    put_aside(exchange);
    kt_leader_give_up(exchange);
    return true;
}

bool kt_leader_instead(struct kt_exchange *exchange)
{
    enum answer answer = read_answer(exchange);
    int64_t delay_ms = answer == ANSWER_LATER ? later_ms(exchange) : 0;
    bool again = kt_exchange_may_repeat(exchange), soon, of_key;

    if (!kt_leader_waited_for(exchange)) {
        return instead_operators(exchange);
    }
    if (answer == ANSWER_TAKEN || answer == ANSWER_LATER) {
        kt_waiting_taken(exchange->loop);
    }
    if (answer == ANSWER_TAKEN) {
        return false;
    }
    if (answer == ANSWER_NOT_LEADING) {
        take_hint(exchange);
    }
    if (answer == ANSWER_UNKNOWN) {
        exchange->maybe_done = true;
        again = may_ask_again(exchange);
    }
    note_refusal(exchange, &of_key);
    if (of_key && again && go_without_key(exchange)) {
        return true;
    }
    soon = kt_waiting_left_ms(exchange) >= delay_ms + KT_ANOTHER_MS;
    if (again && answer != ANSWER_LATER && exchange->loop->leader_hint[0] &&
        exchange->reroutes < REROUTES_MAX) {
        put_aside(exchange);
        reroute(exchange);
        return true;
    }
    if (!again || !soon) {
        return end_with(exchange, answer);
    }
    put_aside(exchange);
    kt_waiting_enter(exchange, delay_ms);
    return true;
}

/* --- time goes by --- */

/* The watch says that another leads: what waits at the old one, which may hang, goes there. */
void kt_leader_tick(struct kt_exchange *exchange, int64_t now_ms)
{
    struct kt_peer *leader;
    int64_t since_ms = exchange->got_byte ? exchange->progress_ms : exchange->attempt_ms;

    if (exchange->term == exchange->loop->waiting.terms || exchange->answer_started ||
        (exchange->got_byte && writes(exchange)) || !kt_exchange_may_repeat(exchange)) {
        return;
    }
    leader = kt_leader_peer(exchange->loop);
    if (!leader || leader == exchange->peer) {
        return;
    }
    if (!exchange->sent) {
        kt_upstream_release(exchange, false);
        kt_dispatch(exchange);
    } else if (now_ms - since_ms >= HANG_MS && (!writes(exchange) || has_key(exchange))) {
        kt_exchange_on_failed(exchange, KT_FAIL_SILENT, "it does not answer, and another leads");
    }
}

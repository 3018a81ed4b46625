/* SPDX-License-Identifier: MIT */
/* upstream.c - a loop's connections to the nodes. */
#include <uv.h>

#include "gateway/upstream.h"

#include "base/mem.h"
#include "gateway/exchange.h"

static void open_one(struct kt_exchange *exchange);

static void link_up(struct kt_loop *loop, struct kt_upstream *upstream)
{
    upstream->next = loop->upstreams;
    upstream->link = &loop->upstreams;
    if (upstream->next) {
        upstream->next->link = &upstream->next;
    }
    loop->upstreams = upstream;
}

static void unlink_up(struct kt_upstream *upstream)
{
    *upstream->link = upstream->next;
    if (upstream->next) {
        upstream->next->link = upstream->link;
    }
}

static void remove_idle(struct kt_upstream *upstream)
{
    struct kt_upstream **link = &upstream->peer->idle;

    while (*link != upstream) {
        KT_ASSERT(*link);
        link = &(*link)->next_idle;
    }
    *link = upstream->next_idle;
}

/* A peer that left the table goes when nothing holds on to it. */
static void drop_peer_if_done(struct kt_loop *loop, struct kt_peer *peer)
{
    struct kt_peer **link = &loop->left_peers;

    if (peer->listed || peer->open_count > 0 || peer->in_flight > 0) {
        return;
    }
    while (*link != peer) {
        KT_ASSERT(*link);
        link = &(*link)->next;
    }
    *link = peer->next;
    kt_gw_node_unref(&peer->node);
    kt_free(peer);
}

static void on_closed(struct kt_io *io)
{
    struct kt_upstream *upstream = (struct kt_upstream *)io;

    unlink_up(upstream);
    kt_free(upstream);
}

static struct kt_exchange *pop_waiting(struct kt_peer *peer)
{
    struct kt_exchange *exchange = peer->waiting;

    if (exchange) {
        *exchange->waiting_link = exchange->next_waiting;
        if (exchange->next_waiting) {
            exchange->next_waiting->waiting_link = exchange->waiting_link;
        } else {
            peer->waiting_end = exchange->waiting_link;
        }
        exchange->waiting_link = NULL;
    }
    return exchange;
}

/* The connection no longer counts; the first in line may open another. */
static void close_one(struct kt_upstream *upstream)
{
    struct kt_peer *peer = upstream->peer;
    struct kt_exchange *waiting;

    if (upstream->io.closing) {
        return;
    }
    upstream->exchange = NULL;
    kt_io_close(&upstream->io, false);
    peer->open_count--;
    waiting = pop_waiting(peer);
    if (waiting) {
        open_one(waiting);
    }
    drop_peer_if_done(upstream->loop, peer);
}

static void on_data(struct kt_io *io)
{
    struct kt_upstream *upstream = (struct kt_upstream *)io;

    if (upstream->exchange) {
        kt_answer_on_data(upstream->exchange);
    } else {
        /* Nothing was asked: an answer to nobody must not become the next one's. */
        remove_idle(upstream);
        close_one(upstream);
    }
}

static void on_end(struct kt_io *io, int why)
{
    struct kt_upstream *upstream = (struct kt_upstream *)io;

    (void)why;
    if (upstream->exchange) {
        kt_answer_on_end(upstream->exchange);
    } else {
        remove_idle(upstream);
        close_one(upstream);
    }
}

static void on_drained(struct kt_io *io)
{
    struct kt_upstream *upstream = (struct kt_upstream *)io;

    if (upstream->exchange) {
        kt_request_pump(upstream->exchange);
    }
}

static const struct kt_io_events events = {
    .on_data = on_data,
    .on_end = on_end,
    .on_drained = on_drained,
    .on_closed = on_closed,
};

static void attach(struct kt_upstream *upstream, struct kt_exchange *exchange)
{
    upstream->exchange = exchange;
    exchange->upstream = upstream;
    exchange->taken_before = upstream->io.taken_bytes;
    exchange->attempt_ms = kt_loop_now(upstream->loop);
}

void kt_upstream_doubt(struct kt_loop *loop, struct kt_peer *peer)
{
    atomic_store(&peer->node->refused_ms, kt_loop_now(loop));
    atomic_store(&peer->node->probe_now, true);
    kt_control_hurry(loop->shared->control);
}

static void on_unreachable(struct kt_upstream *upstream, enum kt_failure failure, const char *why)
{
    struct kt_exchange *exchange = upstream->exchange;
    struct kt_loop *loop = upstream->loop;
    struct kt_gw_node *node = upstream->peer->node;

    KT_COUNT(loop, upstream_failed);
    atomic_fetch_add_explicit(&node->failures, 1, memory_order_relaxed);
    kt_upstream_doubt(loop, upstream->peer);
    if (exchange) {
        kt_exchange_on_failed(exchange, failure, why);
    } else {
        close_one(upstream);
    }
}

static void on_connected(uv_connect_t *request, int status)
{
    struct kt_upstream *upstream = request->data;

    if (upstream->io.closing) {
        return;
    }
    if (status < 0) {
        on_unreachable(upstream, KT_FAIL_REFUSED, uv_strerror(status));
        return;
    }
    upstream->connected = true;
    uv_tcp_nodelay(&upstream->io.tcp, 1);
    kt_io_read(&upstream->io, true);
    KT_ASSERT(upstream->exchange);
    kt_exchange_on_ready(upstream->exchange);
}

static struct kt_upstream *upstream_new(struct kt_loop *loop, struct kt_peer *peer)
{
    struct kt_upstream *upstream = kt_calloc(1, sizeof(*upstream));

    if (!upstream) {
        return NULL;
    }
    if (kt_io_init(&upstream->io, &loop->uv, &loop->pool, &events) != 0) {
        kt_free(upstream);
        return NULL;
    }
    upstream->loop = loop;
    upstream->peer = peer;
    upstream->connecting.data = upstream;
    upstream->since_ms = kt_loop_now(loop);
    link_up(loop, upstream);
    peer->open_count++;
    KT_COUNT(loop, upstream_opened);
    return upstream;
}

static void open_one(struct kt_exchange *exchange)
{
    struct kt_loop *loop = exchange->loop;
    struct kt_peer *peer = exchange->peer;
    struct kt_upstream *upstream = upstream_new(loop, peer);
    int status;

    if (!upstream) {
        kt_exchange_on_failed(exchange, KT_FAIL_REFUSED, "no memory for a connection");
        return;
    }
    attach(upstream, exchange);
    status = uv_tcp_connect(&upstream->connecting, &upstream->io.tcp,
                            kt_gw_node_sockaddr(peer->node), on_connected);
    if (status < 0) {
        on_unreachable(upstream, KT_FAIL_REFUSED, uv_strerror(status));
    }
}

static struct kt_upstream *pop_idle(struct kt_peer *peer)
{
    struct kt_upstream *upstream = peer->idle;

    if (upstream) {
        peer->idle = upstream->next_idle;
        upstream->next_idle = NULL;
    }
    return upstream;
}

static void wait_in_line(struct kt_exchange *exchange)
{
    struct kt_peer *peer = exchange->peer;

    exchange->next_waiting = NULL;
    exchange->waiting_link = peer->waiting_end;
    *peer->waiting_end = exchange;
    peer->waiting_end = &exchange->next_waiting;
    exchange->attempt_ms = kt_loop_now(exchange->loop);
}

void kt_upstream_acquire(struct kt_exchange *exchange, struct kt_peer *peer, bool fresh)
{
    struct kt_upstream *upstream = NULL;

    KT_ASSERT(!exchange->peer);
    exchange->peer = peer;
    peer->in_flight++;
    atomic_fetch_add_explicit(&peer->node->requests, 1, memory_order_relaxed);
    if (fresh && peer->open_count >= exchange->loop->upstream_cap && peer->idle) {
        close_one(pop_idle(peer)); /* to make room; nobody waits while there are idle ones */
    }
    if (!fresh) {
        upstream = pop_idle(peer);
    }
    if (upstream) {
        upstream->reused = true;
        attach(upstream, exchange);
        kt_exchange_on_ready(exchange);
    } else if (peer->open_count < exchange->loop->upstream_cap) {
        open_one(exchange);
    } else {
        wait_in_line(exchange);
    }
}

static void leave_line(struct kt_exchange *exchange)
{
    *exchange->waiting_link = exchange->next_waiting;
    if (exchange->next_waiting) {
        exchange->next_waiting->waiting_link = exchange->waiting_link;
    } else {
        exchange->peer->waiting_end = exchange->waiting_link;
    }
    exchange->waiting_link = NULL;
}

static void give_back(struct kt_upstream *upstream)
{
    struct kt_peer *peer = upstream->peer;
    struct kt_exchange *waiting;

    upstream->exchange = NULL;
    if (!peer->listed || upstream->loop->draining) {
        close_one(upstream);
        return;
    }
    kt_io_rest(&upstream->io);
    kt_io_read(&upstream->io, true);
    waiting = pop_waiting(peer);
    if (waiting) {
        upstream->reused = true;
        attach(upstream, waiting);
        kt_exchange_on_ready(waiting);
        return;
    }
    upstream->since_ms = kt_loop_now(upstream->loop);
    upstream->next_idle = peer->idle;
    peer->idle = upstream;
}

void kt_upstream_release(struct kt_exchange *exchange, bool reusable)
{
    struct kt_peer *peer = exchange->peer;
    struct kt_upstream *upstream = exchange->upstream;

    if (!peer) {
        return;
    }
    if (exchange->waiting_link) {
        leave_line(exchange);
    }
    exchange->peer = NULL;
    exchange->upstream = NULL;
    /* Held while the connection is put away, which may serve the next in line or drop the peer. */
    if (upstream && reusable && upstream->connected && !upstream->io.ended &&
        !upstream->io.broken && upstream->io.queued_bytes == 0 && kt_io_len(&upstream->io) == 0) {
        give_back(upstream);
    } else if (upstream) {
        close_one(upstream);
    }
    peer->in_flight--;
    drop_peer_if_done(exchange->loop, peer);
}

static struct kt_peer *peer_new(struct kt_gw_node *node)
{
    struct kt_peer *peer = kt_calloc(1, sizeof(*peer));

    if (peer) {
        peer->node = node;
        kt_gw_node_ref(node);
        peer->waiting_end = &peer->waiting;
    }
    return peer;
}

static struct kt_peer *find_peer(struct kt_peer *const *peers, size_t count,
                                 const struct kt_gw_node *node)
{
    for (size_t i = 0; i < count; i++) {
        if (peers[i] && peers[i]->node == node) {
            return peers[i];
        }
    }
    return NULL;
}

static void retire(struct kt_loop *loop, struct kt_peer *peer)
{
    struct kt_upstream *upstream;

    peer->listed = false;
    peer->next = loop->left_peers;
    loop->left_peers = peer;
    peer->in_flight++; /* so that it outlives the loop below */
    while ((upstream = pop_idle(peer))) {
        close_one(upstream);
    }
    peer->in_flight--;
    drop_peer_if_done(loop, peer);
}

void kt_upstream_set_table(struct kt_loop *loop, struct kt_gw_table *table)
{
    struct kt_peer *former[KT_MEMBERS_MAX];
    size_t former_count = loop->table ? loop->table->count : 0;
    struct kt_gw_table *old = loop->table;

    for (size_t i = 0; i < former_count; i++) {
        former[i] = loop->peers[i];
        if (former[i]) {
            former[i]->listed = false;
        }
    }
    loop->table = table;
    for (size_t i = 0; table && i < table->count; i++) {
        struct kt_peer *peer = find_peer(former, former_count, table->nodes[i]);

        /* Out of memory: the node can't be used until the next table. */
        loop->peers[i] = peer ? peer : peer_new(table->nodes[i]);
        if (loop->peers[i]) {
            loop->peers[i]->listed = true;
        }
    }
    for (size_t i = 0; i < former_count; i++) {
        if (former[i] && !former[i]->listed) {
            retire(loop, former[i]);
        }
    }
    kt_gw_table_unref(&old);
}

static void trim_peer(struct kt_loop *loop, struct kt_peer *peer, int64_t now_ms)
{
    struct kt_upstream **link = &peer->idle;

    while (*link) {
        struct kt_upstream *upstream = *link;

        if (now_ms - upstream->since_ms < loop->config->pool_idle_ms) {
            link = &upstream->next_idle;
            continue;
        }
        *link = upstream->next_idle;
        close_one(upstream);
    }
}

void kt_upstream_tick(struct kt_loop *loop, int64_t now_ms)
{
    struct kt_upstream *upstream = loop->upstreams;

    for (size_t i = 0; loop->table && i < loop->table->count; i++) {
        if (loop->peers[i]) {
            trim_peer(loop, loop->peers[i], now_ms);
        }
    }
    while (upstream) {
        struct kt_upstream *next = upstream->next;

        if (!upstream->connected && !upstream->io.closing &&
            now_ms - upstream->since_ms >= loop->config->connect_timeout_ms) {
            on_unreachable(upstream, KT_FAIL_REFUSED, "connecting takes too long");
        }
        upstream = next;
    }
}

void kt_upstream_close_idle(struct kt_loop *loop, bool all)
{
    struct kt_upstream *upstream;

    for (size_t i = 0; loop->table && i < loop->table->count; i++) {
        while (loop->peers[i] && (upstream = pop_idle(loop->peers[i]))) {
            close_one(upstream);
        }
    }
    for (upstream = loop->upstreams; all && upstream; upstream = upstream->next) {
        KT_ASSERT(!upstream->exchange);
        close_one(upstream);
    }
}

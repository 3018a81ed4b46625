/* SPDX-License-Identifier: MIT */
/* Clients that write and read through failovers, and what they may see. A write keeps its key until
 * it is acknowledged, or until every attempt was refused for certain.
 */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TIMEOUT_MS 1000 /* a gateway's patience with one attempt */

static int guess_target(enum op_kind kind)
{
    int leader = leader_slot(); /* as a gateway knows it that watches etcd */
    if (leader >= 0 && !one_in(kind == OP_LINEARIZABLE ? 2 : 8)) {
        return leader;
    }
    for (int tries = 0; tries < 20; tries++) {
        int slot = (int)between(0, SLOTS - 1);
        if (w->nodes[slot].there && w->nodes[slot].alive) {
            return slot;
        }
    }
    return 0;
}

static void attempt(int number)
{
    struct client *client = &w->clients[number];
    client->attempt++;
    client->target = guess_target(client->kind);
    struct message *message = new_message(MSG_OP, 0, client->target);
    message->op_kind = client->kind;
    message->client = number;
    message->attempt = client->attempt;
    message->op = client->op;
    message->revision = client->session;
    message->key = client->op % KEYS;
    send_message(message);
    post(TIMEOUT_MS, EV_CLIENT_TIMEOUT, number, NULL)->number = client->attempt;
}

static void begin(int number)
{
    struct client *client = &w->clients[number];
    client->busy = true;
    client->maybe = false;
    client->invoked_ms = w->now_ms;
    client->began = ++w->orders;
    bool steady = w->now_ms < w->steady_until_ms;
    client->kind = !steady && one_in(3) ? (one_in(2) ? OP_LINEARIZABLE : OP_SESSION) : OP_WRITE;
    client->need = client->kind == OP_SESSION ? client->session : w->acked_max;
    if (client->kind == OP_LINEARIZABLE && w->read_max > client->need) {
        client->need = w->read_max;
    }
    client->op = (uint32_t)between(0, KEYS - 1); /* of a read: its register */
    if (client->kind == OP_WRITE) {
        /* What a read has seen is older than a write that begins behind it. */
        client->need = w->read_max > client->need ? w->read_max : client->need;
        if (w->ops + 1 >= OPS_MAX) {
            client->busy = false;
            return;
        }
        client->op = ++w->ops;
        w->op_need[client->op] = client->need;
    }
    attempt(number);
}

static void next_turn(int number, int64_t delay_ms)
{
    post(delay_ms, EV_CLIENT, number, NULL)->number = ++w->clients[number].turn;
}

void clients_start(void)
{
    for (int number = 0; number < CLIENTS; number++) {
        next_turn(number, between(0, 200));
    }
}

void client_next(int number, uint64_t turn)
{
    if (turn != w->clients[number].turn) {
        return;
    }
    if (w->clients[number].busy) {
        attempt(number);
    } else {
        begin(number);
    }
}

static void finish(int number)
{
    w->clients[number].busy = false;
    w->clients[number].attempt++;
    bool steady = w->now_ms < w->steady_until_ms;
    next_turn(number, steady ? between(0, 4) : between(5, one_in(4) ? 400 : 60));
}

static void retry(int number)
{
    w->clients[number].attempt++; /* of the last one nothing is heard any more */
    next_turn(number, between(30, 100));
}

/* A loss was accepted: what was seen before counts no more, nor what is on its way. */
void clients_forget(void)
{
    for (int number = 0; number < CLIENTS; number++) {
        struct client *client = &w->clients[number];
        client->need = client->session = 0;
        if (client->kind == OP_WRITE) {
            w->op_need[client->op] = 0;
        }
        client->maybe = true;
        if (client->busy) {
            retry(number);
        }
    }
}

static void take_ok(int number, const struct message *message)
{
    struct client *client = &w->clients[number];
    uint64_t revision = message->revision;
    if (client->kind == OP_WRITE) {
        check_ack(client->op, revision, client->need);
        w->acks++;
        if (w->last_ack_ms) {
            int64_t gap_ms = w->now_ms - w->last_ack_ms;
            w->longest_gap_ms = gap_ms > w->longest_gap_ms ? gap_ms : w->longest_gap_ms;
            w->last_ack_ms = w->now_ms;
        }
        w->acked_max = revision > w->acked_max ? revision : w->acked_max;
        if (w->healed_ms && !w->first_ack_ms && client->invoked_ms >= w->healed_ms) {
            w->first_ack_ms = w->now_ms;
            trace("writes are taken again");
        }
    } else if (revision > w->committed_end) {
        fail("a read at revision %" PRIu64 " sees what is not committed", revision);
    } else if (revision < client->need) {
        fail("a %s read at revision %" PRIu64 " does not see %" PRIu64
             ", which was there before it began (node %d)",
             client->kind == OP_SESSION ? "session" : "linearizable", revision, client->need,
             client->target);
    } else if (client->kind == OP_LINEARIZABLE) {
        w->reads++;
        w->read_max = revision > w->read_max ? revision : w->read_max;
    }
    if (client->kind != OP_SESSION) {
        note_done(client, revision, message->key, message->value);
    }
    client->session = revision > client->session ? revision : client->session;
    finish(number);
}

void client_reply(const struct message *message)
{
    int number = message->client;
    struct client *client = &w->clients[number];
    if (!client->busy || message->attempt != client->attempt) {
        return; /* after its timeout */
    }
    switch (message->reply) {
    case REPLY_OK:
        take_ok(number, message);
        break;
    case REPLY_UNKNOWN:
        client->maybe = true;
        retry(number);
        break;
    case REPLY_NONE:
        if (client->kind != OP_WRITE) {
            finish(number);
        } else if (!client->maybe && one_in(3)) {
            w->op_refused[client->op] = true;
            if (w->op_seq[client->op]) {
                fail("write %u was refused, and is committed as %" PRIu64, client->op,
                     w->op_seq[client->op]);
            }
            finish(number);
        } else {
            retry(number);
        }
        break;
    }
}

void client_timeout(int number, uint64_t attempt_number)
{
    struct client *client = &w->clients[number];
    if (client->busy && client->attempt == attempt_number) {
        client->maybe = true;
        retry(number);
    }
}

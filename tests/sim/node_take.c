/* SPDX-License-Identifier: MIT */
/* What comes to a node: messages, operations of clients, ticks; or what it is when none is there.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

static uint64_t seq_of_op(const struct node *node, uint32_t op)
{
    if (KT_PLANTED(key_forgotten)) {
        for (uint64_t seq = node->end_seq; seq > 0; seq--) {
            if (node->log[seq].op == op && node->log[seq].epoch == node->machine.disk.epoch) {
                return seq;
            }
        }
        return 0;
    }
    uint64_t from = KT_PLANTED(key_in_applied_only) ? node->applied : node->end_seq;
    for (uint64_t seq = from; seq > 0; seq--) {
        if (node->log[seq].op == op) {
            return seq;
        }
    }
    return 0;
}

static void take_write(struct node *node, const struct waiting_op *asked,
                       const struct kt_machine_facts *facts)
{
    struct waiting_op op = *asked;
    bool serves = kt_machine_serves_leader(&node->machine, facts);
    op.seq = serves ? seq_of_op(node, op.op) : 0;
    if (op.seq && op.seq <= node->applied) {
        node_reply(&op, node->slot, REPLY_OK, op.seq);
        return;
    }
    if (!op.seq) {
        struct entry entry = {.epoch = node->machine.disk.epoch, .op = op.op};
        if (kt_machine_may_write(&node->machine, facts) != KT_OK || node->end_seq + 200 > LOG_MAX ||
            node->op_count == KT_ARRAY_LEN(node->ops)) {
            node_reply(&op, node->slot, REPLY_NONE, 0);
            return;
        }
        node->append_commit = node->applied;
        node_add_entry(node, &entry);
        op.seq = node->end_seq;
        if (!node->syncing) {
            node_start_sync(node);
        } else {
            node->sync_number++; /* the batch grows */
            node_start_sync(node);
        }
    }
    if (node->op_count < KT_ARRAY_LEN(node->ops)) {
        node->ops[node->op_count++] = op;
    }
    node_step_facts(node);
}

/* The newest write in the register, as this node has it. */
static uint32_t value_of(const struct node *node, uint32_t key)
{
    for (uint64_t seq = node->applied; seq > 0; seq--) {
        uint32_t op = node->log[seq].op;
        if (op && op % KEYS == key) {
            return op;
        }
    }
    return 0;
}

static void take_op(struct node *node, const struct message *message)
{
    struct kt_machine_facts facts;
    struct kt_machine_log log;
    struct waiting_op op = {.client = message->client,
                            .attempt = message->attempt,
                            .op = message->op,
                            .key = message->key};
    bool ended = node->machine.role == KT_M_ENDED;
    node_look(node, &facts, &log);
    if (message->op_kind == OP_WRITE) {
        take_write(node, &op, &facts);
    } else if (message->op_kind == OP_LINEARIZABLE) {
        bool serves = kt_machine_serves_linearizable(&node->machine, &facts);
        op.value = serves ? value_of(node, message->key) : 0;
        node_reply(&op, node->slot, serves ? REPLY_OK : REPLY_NONE, node->applied);
    } else {
        bool serves = !ended && !node->machine.disk.half_copy && !node->of_lost_past &&
                      node->copy_of < 0 && node->applied >= message->revision;
        node_reply(&op, node->slot, serves ? REPLY_OK : REPLY_NONE, node->applied);
    }
}

static void take_message(struct node *node, struct message *message)
{
    struct kt_m_event event = {.kind = KT_M_FACTS};
    node->in_hand = message;
    switch (message->kind) {
    case MSG_FETCH:
    case MSG_COPY_ASK:
        event.kind = message->kind == MSG_FETCH ? KT_M_FETCH_CAME : KT_M_COPY_ASKED;
        event.fetch = &message->fetch;
        break;
    case MSG_ANSWER:
        event.kind = KT_M_ANSWER_CAME;
        event.answer = &message->answer;
        break;
    case MSG_COPY:
        /* It came on a connection of an earlier process, or broke off with its giver. */
        if (strcmp(message->fetch.session, node->machine.options.session) != 0 ||
            message->giver_incarnation != w->nodes[message->from].incarnation) {
            free_message(message);
            node->in_hand = NULL;
            return;
        }
        event.kind = KT_M_COPY_CAME;
        event.request = message->request;
        event.epoch = message->epoch;
        break;
    case MSG_RELEASE:
    case MSG_CAMPAIGN:
        event.kind = message->kind == MSG_RELEASE ? KT_M_RELEASE_CAME : KT_M_CAMPAIGN_CAME;
        event.epoch = message->epoch;
        break;
    case MSG_OP:
    case MSG_REPLY:
        take_op(node, message);
        free_message(message);
        node->in_hand = NULL;
        return;
    }
    node_step(node, &event);
    free_message(node->in_hand);
    node->in_hand = NULL;
}

/* There is no process: a client learns it at once. */
static void refuse_connection(struct node *node, struct message *message)
{
    if (message->kind == MSG_OP) {
        struct waiting_op op = {
            .client = message->client, .attempt = message->attempt, .op = message->op};
        node_reply(&op, node->slot, REPLY_NONE, 0);
    } else if ((message->kind == MSG_FETCH || message->kind == MSG_COPY_ASK) && !one_in(8)) {
        /* The caller's own driver says so. */
        struct message *refused = new_message(MSG_ANSWER, message->from, message->from);
        refused->answer.kind = KT_M_ANSWER_REFUSED;
        refused->answer.epoch = message->fetch.epoch;
        refused->answer.request = message->fetch.request;
        memcpy(refused->answer.session, message->fetch.session, sizeof(refused->answer.session));
        post(1, EV_MESSAGE, message->from, refused);
    }
    free_message(message);
}

static void tick(struct node *node)
{
    post(TICK_MS + between(0, 5), EV_TICK, node->slot, NULL);
    uint64_t incarnation = node->incarnation;
    if (node->txn.call && w->now_ms >= node->txn.call_until_ms) {
        node_take_txn_answer(node, KT_TXN_UNKNOWN);
    }
    if (node->incarnation == incarnation) {
        node_step_facts(node);
    }
    if (node->incarnation == incarnation) {
        node_keep_lease(node);
        node_keep_entry(node);
    }
}

void node_take(const struct event *event)
{
    struct node *node = &w->nodes[event->slot];
    /* A message reaches whatever process is there; everything else is a process's own. */
    bool ours =
        node->alive && (event->kind == EV_MESSAGE || event->incarnation == node->incarnation);
    if (ours && w->now_ms < node->paused_until_ms) {
        uint64_t number = event->number, incarnation = event->incarnation;
        struct event *later =
            post(node->paused_until_ms - w->now_ms, event->kind, event->slot, event->data);
        later->number = number;
        later->incarnation = incarnation;
        return;
    }
    switch (event->kind) {
    case EV_TICK:
        if (ours) {
            tick(node);
        }
        break;
    case EV_MESSAGE:
        if (ours) {
            take_message(node, event->data);
        } else {
            refuse_connection(node, event->data);
        }
        break;
    case EV_CALL_ANSWER:
        if (ours) {
            node_take_call_answer(node, event->data);
        }
        free(event->data);
        break;
    case EV_KEYS:
        if (ours) {
            node_take_keys(node, event->data);
        }
        keys_unref(event->data);
        break;
    case EV_SYNC:
        if (ours) {
            node_take_sync(node, event->number);
        }
        break;
    case EV_COPIED:
        if (ours) {
            node_take_copied(node);
        }
        break;
    default:
        break;
    }
}

/* SPDX-License-Identifier: MIT */
/* The driver around the machine: it carries out actions in their order, over disk, lease clock and
 * calls to etcd as the real ones are. A crash may come between any two persist steps.
 */
#include "plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_TIMEOUT_MS 1000
#define ANSWER_ENTRIES_MAX 40

int slot_of_addr(const char *addr)
{
    return addr[0] == 'n' ? addr[1] - '0' : -1;
}

int slot_of_id(const char *id)
{
    for (int slot = 0; slot < SLOTS; slot++) {
        if (w->nodes[slot].there && strcmp(w->nodes[slot].id, id) == 0) {
            return slot;
        }
    }
    return -1;
}

/* Answers go back on the connection on which the fetch came. */
int slot_of_session(const char *session)
{
    for (int slot = 0; slot < SLOTS; slot++) {
        const struct node *node = &w->nodes[slot];
        if (node->there && strcmp(node->machine.options.session, session) == 0) {
            return slot;
        }
    }
    return -1;
}

int leader_slot(void)
{
    int leader = -1;
    for (int slot = 0; slot < SLOTS; slot++) {
        const struct kt_machine *machine = &w->nodes[slot].machine;
        if (w->nodes[slot].alive && machine->role == KT_M_LEADS &&
            (leader < 0 || machine->disk.epoch > w->nodes[leader].machine.disk.epoch)) {
            leader = slot;
        }
    }
    return leader;
}

int64_t local_ms(const struct node *node)
{
    return node->clock_offset_ms + w->now_ms * (1000 + node->clock_permille) / 1000;
}

void node_look(struct node *node, struct kt_machine_facts *facts, struct kt_machine_log *log)
{
    struct kt_coord_view *view = &node->view;
    log->first_seq = node->first_seq;
    log->end_seq = node->end_seq;
    log->synced_seq = node->synced_seq;
    log->applied_seq = node->applied;
    log->vector = node->vector;
    log->vector_count = node->vector_count;
    view->own_lease = node->lease.id;
    view->reachable = node->reachable;
    view->leader.mine =
        view->leader.present && node->lease.id && view->leader.lease == node->lease.id;
    view->own_key_present = false;
    for (size_t i = 0; i < view->service_count; i++) {
        if (view->services[i].lease == node->lease.id && node->lease.id) {
            view->own_key_present = true;
        }
    }
    *facts = (struct kt_machine_facts){0};
    facts->now_ms = local_ms(node);
    facts->view = view;
    facts->lease_end_ms = node->lease.id ? node->lease.end_ms : 0;
    facts->log = log;
    facts->receiving =
        node->machine.request == node->receiving_request && w->now_ms < node->receiving_until_ms;
}

struct call *new_call(struct node *node, enum call_kind kind)
{
    struct call *call = calloc(1, sizeof(*call));
    KT_ASSERT(call);
    call->kind = kind;
    call->slot = node->slot;
    call->incarnation = node->incarnation;
    call->number = ++w->calls;
    call->lease = node->lease.id;
    kt_str_copy(call->service.id, sizeof(call->service.id), kt_str(node->id));
    kt_str_copy(call->service.addr, sizeof(call->service.addr), kt_str(node->addr));
    return call;
}

static void send_txn(struct node *node)
{
    const struct kt_machine_txn *txn = &node->machine.txn;
    if (node->txn.call) {
        return; /* one at a time */
    }
    struct call *call = new_call(node, txn->is_campaign ? CALL_CAMPAIGN : CALL_UPDATE);
    call->config = txn->config;
    call->compared_present = txn->compared.present;
    call->compared_revision = txn->compared.mod_revision;
    memcpy(call->compared_nonce, txn->compared.nonce, sizeof(call->compared_nonce));
    node->txn.call = call->number;
    node->txn.call_until_ms = w->now_ms + CALL_TIMEOUT_MS;
    memcpy(node->txn.nonce, txn->config.nonce, sizeof(node->txn.nonce));
    trace("node %d %s epoch %" PRIu64 " v%" PRIu64 " in_sync %zu", node->slot,
          txn->is_campaign ? "campaigns" : "changes the config", txn->config.epoch,
          txn->config.version, txn->config.in_sync_count);
    etcd_call(call);
}

void node_reply(const struct waiting_op *op, int from, enum reply_kind kind, uint64_t revision)
{
    struct message *message = new_message(MSG_REPLY, from, 0);
    message->client = op->client;
    message->attempt = op->attempt;
    message->op = op->op;
    message->reply = kind;
    message->key = op->key;
    message->value = op->value;
    message->revision = revision;
    send_message(message);
}

static void append_start(struct node *node)
{
    struct entry entry = {.epoch = node->machine.disk.kept.epoch};
    memcpy(entry.epoch_id, node->machine.disk.kept.epoch_id, sizeof(entry.epoch_id));
    trace("node %d leads epoch %" PRIu64 ", log ends at %" PRIu64, node->slot, entry.epoch,
          node->end_seq);
    check_lead(node);
    w->epochs++;
    node->append_commit = 0;
    node_add_entry(node, &entry);
    node_start_sync(node);
}

static void commit(struct node *node, uint64_t seq)
{
    if (seq > node->end_seq) {
        fail("node %d applies up to %" PRIu64 ", but its log ends at %" PRIu64, node->slot, seq,
             node->end_seq);
        return;
    }
    check_commit(node, node->applied + 1, seq);
    node->applied = seq > node->applied ? seq : node->applied;
    node_cut_head(node);
    for (size_t i = 0; i < node->op_count;) {
        if (node->ops[i].seq <= seq) {
            node_reply(&node->ops[i], node->slot, REPLY_OK, node->ops[i].seq);
            node->ops[i] = node->ops[--node->op_count];
        } else {
            i++;
        }
    }
}

static void step_down(struct node *node, const char *why)
{
    trace("node %d steps down: %s", node->slot, why);
    for (size_t i = 0; i < node->op_count; i++) {
        node_reply(&node->ops[i], node->slot,
                   KT_PLANTED(refused_not_unknown) ? REPLY_NONE : REPLY_UNKNOWN, 0);
    }
    node->op_count = 0;
}

static void send_fetch(struct node *node, const struct kt_m_action *action, enum message_kind kind)
{
    struct message *message = new_message(kind, node->slot, slot_of_addr(action->addr));
    message->fetch = action->fetch;
    message->fetch.vector = NULL;
    message->fetch.vector_count = 0;
    if (kind == MSG_FETCH && (node->machine.disk.half_copy || node->machine.role != KT_M_FOLLOWS)) {
        fail("node %d fetches while it %s", node->slot,
             node->machine.disk.half_copy ? "copies" : "campaigns");
    }
    if (node->copy_of >= 0) {
        fail("node %d, a copied disk, fetches", node->slot);
    }
    if (kind == MSG_COPY_ASK) {
        node->copy_asked = action->request;
        free_message(node->copy);
        node->copy = NULL;
        trace("node %d asks for a copy", node->slot);
    }
    send_message(message);
}

/* It comes in for so long; the one who asked knows. */
static void send_large(struct message *message, uint64_t request, int64_t slow_ms)
{
    struct node *to = &w->nodes[message->to];
    if (slow_ms > 0) {
        to->receiving_request = request;
        to->receiving_until_ms = w->now_ms + slow_ms + 5;
    }
    send_slowly(message, slow_ms);
}

static void send_answer(struct node *node, const struct kt_m_action *action)
{
    int to = slot_of_session(action->answer.session);
    if (to < 0) {
        return;
    }
    struct message *message = new_message(MSG_ANSWER, node->slot, to);
    int64_t slow_ms = 0;
    struct kt_m_answer *answer = &message->answer;
    *answer = action->answer;
    if (answer->kind == KT_M_ANSWER_ENTRIES) {
        uint64_t last = answer->first_seq + (uint64_t)between(1, ANSWER_ENTRIES_MAX) - 1;
        answer->last_seq = node->end_seq < last ? node->end_seq : last;
        if (answer->last_seq >= answer->first_seq) {
            message->entry_count = answer->last_seq - answer->first_seq + 1;
            message->entries = malloc(message->entry_count * sizeof(struct entry));
            KT_ASSERT(message->entries);
            memcpy(message->entries, &node->log[answer->first_seq],
                   message->entry_count * sizeof(struct entry));
            answer->last_epoch = message->entries[message->entry_count - 1].epoch;
            bool slow = !w->healed_ms && !w->options.scenario && w->slow_slot < 0 && one_in(500);
            slow_ms = slow ? between(300, 4000) : 0;
        }
    } else if (answer->kind == KT_M_ANSWER_DIFFERS) {
        message->vector = malloc(answer->vector_count * sizeof(struct kt_epoch) + 1);
        KT_ASSERT(message->vector);
        memcpy(message->vector, answer->vector, answer->vector_count * sizeof(struct kt_epoch));
        answer->vector = message->vector;
    }
    send_large(message, answer->request, slow_ms);
}

static void append(struct node *node, uint64_t commit_seq)
{
    struct message *message = node->in_hand;
    for (size_t i = 0; i < message->entry_count; i++) {
        node_add_entry(node, &message->entries[i]);
    }
    node->append_commit = commit_seq;
    node_start_sync(node);
}

static void cut(struct node *node, uint64_t seq)
{
    trace("node %d cuts %" PRIu64 " … %" PRIu64, node->slot, seq + 1, node->end_seq);
    w->cuts++;
    check_cut(node, seq);
    node->end_seq = node->synced_seq = seq;
    node_drop_vector(node);
    if (node->applied > seq) {
        node->applied = seq;
    }
    if (node->first_seq > seq + 1) {
        node->first_seq = seq + 1;
    }
}

static void give_copy(struct node *node, const struct kt_m_action *action)
{
    int to = slot_of_session(action->fetch.session);
    if (to < 0) {
        return;
    }
    struct message *message = new_message(MSG_COPY, node->slot, to);
    message->request = action->request;
    message->epoch = action->epoch;
    message->entry_count = node->end_seq;
    message->entries = malloc(node->end_seq * sizeof(struct entry) + 1);
    KT_ASSERT(message->entries);
    memcpy(message->entries, &node->log[1], node->end_seq * sizeof(struct entry));
    message->first_seq = node->first_seq;
    message->applied = node->applied;
    memcpy(message->fetch.session, action->fetch.session, sizeof(message->fetch.session));
    memcpy(message->giver, node->id, sizeof(message->giver));
    message->giver_incarnation = node->incarnation;
    bool slow = !w->healed_ms && one_in(4);
    send_large(message, message->request,
               w->copy_delay_ms + (slow ? between(0, 7000) : between(0, 300)));
}

/* The worst that taking a copy may do to what was there: half of it is in place when it crashes. */
static void begin_swap(struct node *node)
{
    if (node->in_hand->request != node->copy_asked ||
        node->in_hand->epoch != node->machine.leader_epoch) {
        fail("node %d takes copy %" PRIu64 " of epoch %" PRIu64 ", and asked for %" PRIu64,
             node->slot, node->in_hand->request, node->in_hand->epoch, node->copy_asked);
    }
    node->copy = node->in_hand;
    node->in_hand = NULL;
    w->copies++;
    trace("node %d takes a copy up to %zu", node->slot, node->copy->entry_count);
    if (one_in(2)) {
        /* As the real node does it: it begins again, and finishes the swap as it opens its files.
         * Until then it has its old ones. */
        node->alive = false;
        node->incarnation++;
        node->op_count = 0;
        at(between(20, 800), DO_SWAP + (uint64_t)node->slot);
        return;
    }
    post(between(5, 800), EV_COPIED, node->slot, NULL);
    node->end_seq = node->synced_seq = node->applied = node->disk_commit = 0;
    node->vector_count = 0;
    node->first_seq = 1;
    node->sync_number++; /* no sync under way counts any more */
}

static void release(struct node *node, const struct kt_m_action *action)
{
    for (int slot = 0; slot < SLOTS; slot++) {
        if (slot != node->slot && w->nodes[slot].there) {
            struct message *message = new_message(MSG_RELEASE, node->slot, slot);
            message->epoch = action->epoch;
            send_message(message);
        }
    }
}

static void delete_leader(struct node *node)
{
    struct call *call = new_call(node, CALL_DELETE);
    call->create_revision = node->view.leader.create_revision;
    etcd_call(call);
}

static void deregister(struct node *node)
{
    trace("node %d has stopped cleanly", node->slot);
    etcd_call(new_call(node, CALL_REVOKE));
    node->alive = false;
    node->incarnation++;
    node->op_count = 0;
    node_lose_unsynced(node);
}

static void tell_to_campaign(struct node *node, const struct kt_m_action *action)
{
    int to = slot_of_id(action->to);
    if (to >= 0) {
        struct message *message = new_message(MSG_CAMPAIGN, node->slot, to);
        message->epoch = action->epoch;
        send_message(message);
    }
}

static void persist(struct node *node, const struct kt_m_action *action)
{
    if (node_crashes(node)) {
        return;
    }
    switch (action->kind) {
    case KT_M_KEEP:
        node->disk = node->machine.disk;
        break;
    case KT_M_LEAD:
        append_start(node);
        break;
    case KT_M_APPEND:
        append(node, action->seq);
        break;
    case KT_M_CUT:
        cut(node, action->seq);
        break;
    default:
        begin_swap(node);
        break;
    }
    (void)node_crashes(node);
}

static void carry_out(struct node *node, const struct kt_m_action *action)
{
    switch (action->kind) {
    case KT_M_KEEP:
    case KT_M_LEAD:
    case KT_M_APPEND:
    case KT_M_CUT:
    case KT_M_SWAP_COPY:
        persist(node, action);
        break;
    case KT_M_TXN:
        send_txn(node);
        break;
    case KT_M_DELETE_LEADER:
        delete_leader(node);
        break;
    case KT_M_RENEW_LEASE:
        node->lease.next_ms = 0;
        break;
    case KT_M_COMMIT:
        commit(node, action->seq);
        break;
    case KT_M_STEP_DOWN:
        step_down(node, action->why);
        break;
    case KT_M_FETCH:
        send_fetch(node, action, MSG_FETCH);
        break;
    case KT_M_ASK_COPY:
        send_fetch(node, action, MSG_COPY_ASK);
        break;
    case KT_M_ANSWER:
        send_answer(node, action);
        break;
    case KT_M_GIVE_COPY:
        give_copy(node, action);
        break;
    case KT_M_RELEASE:
        if (w->options.releases) {
            release(node, action);
        }
        break;
    case KT_M_CAMPAIGN_NOW:
        tell_to_campaign(node, action);
        break;
    case KT_M_WITHDRAW:
        node->withdrawn = true;
        etcd_call(new_call(node, CALL_WITHDRAW));
        break;
    case KT_M_DEREGISTER:
        deregister(node);
        break;
    case KT_M_STOPPED:
        trace("node %d ends: %s", node->slot, action->why);
        check_stopped(node, action->why);
        break;
    }
}

/* When it is made up, not when it is sent: another call may still be under way then. */
static void note_txn(struct node *node)
{
    const struct kt_machine_txn *txn = &node->machine.txn;
    if (txn->active && strcmp(node->txn.seen, txn->config.nonce) != 0) {
        memcpy(node->txn.seen, txn->config.nonce, sizeof(node->txn.seen));
        check_txn(node);
    }
}

void node_step(struct node *node, const struct kt_m_event *event)
{
    struct kt_machine_facts facts;
    struct kt_machine_log log;
    uint64_t incarnation = node->incarnation;
    node_look(node, &facts, &log);
    w->steps++;
    kt_machine_step(&node->machine, event, &facts);
    note_txn(node);
    for (size_t i = 0; i < node->machine.action_count && node->incarnation == incarnation; i++) {
        carry_out(node, &node->machine.actions[i]);
    }
}

void node_step_facts(struct node *node)
{
    struct kt_m_event event = {.kind = KT_M_FACTS};
    node_step(node, &event);
}

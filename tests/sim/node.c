/* SPDX-License-Identifier: MIT */
/* The driver around the machine: it carries out actions in their order, and has disk, lease clock
 * and calls to etcd as the real ones have them. A crash may come between any two persist steps.
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

/* --- disk --- */

static void note_vector(struct node *node)
{
    while (node->vector_count > 0 &&
           node->vector[node->vector_count - 1].first_seq > node->end_seq) {
        node->vector_count--;
    }
}

static void add_entry(struct node *node, const struct entry *entry)
{
    KT_ASSERT(node->end_seq < LOG_MAX);
    node->log[++node->end_seq] = *entry;
    if (entry->op == 0) {
        KT_ASSERT(node->vector_count < EPOCHS_MAX);
        struct kt_epoch *epoch = &node->vector[node->vector_count++];
        epoch->epoch = entry->epoch;
        epoch->first_seq = node->end_seq;
        memcpy(epoch->epoch_id, entry->epoch_id, sizeof(epoch->epoch_id));
    }
}

static void start_sync(struct node *node)
{
    int64_t delay = between(0, 3);
    if (w->now_ms < node->slow_disk_until_ms) {
        delay += between(50, 700);
    }
    node->syncing = true;
    post(delay, EV_SYNC, node->slot, NULL)->number = ++node->sync_number;
}

void node_lose_unsynced(struct node *node)
{
    /* What was on its way may have reached the disk or not. */
    node->end_seq = (uint64_t)between((int64_t)node->synced_seq, (int64_t)node->end_seq);
    node->synced_seq = node->end_seq;
    note_vector(node);
}

static void cut_head(struct node *node)
{
    uint64_t keep = w->options.log_keep;
    keep += keep && w->healed_ms ? 200 : 0;
    if (keep && node->applied > keep && node->first_seq < node->applied - keep) {
        node->first_seq = node->applied - keep;
    }
}

/* Before each persist step; true: the node has crashed. */
static bool crashes(struct node *node)
{
    if (node->crash_in > 0 && --node->crash_in == 0) {
        trace("node %d crashes at a persist step", node->slot);
        node_crash(node->slot);
        post(between(20, 3000), EV_FAULT, -1, NULL)->number = 1000 + (uint64_t)node->slot;
        return true;
    }
    return false;
}

/* --- the step --- */

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

static void reply(const struct waiting_op *op, int from, enum reply_kind kind, uint64_t revision)
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
    add_entry(node, &entry);
    start_sync(node);
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
    cut_head(node);
    for (size_t i = 0; i < node->op_count;) {
        if (node->ops[i].seq <= seq) {
            reply(&node->ops[i], node->slot, REPLY_OK, node->ops[i].seq);
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
        reply(&node->ops[i], node->slot,
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
        add_entry(node, &message->entries[i]);
    }
    node->append_commit = commit_seq;
    start_sync(node);
}

static void cut(struct node *node, uint64_t seq)
{
    trace("node %d cuts %" PRIu64 " … %" PRIu64, node->slot, seq + 1, node->end_seq);
    w->cuts++;
    check_cut(node, seq);
    node->end_seq = node->synced_seq = seq;
    note_vector(node);
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
        post(between(20, 800), EV_FAULT, -1, NULL)->number = DO_SWAP + (uint64_t)node->slot;
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
    if (crashes(node)) {
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
    (void)crashes(node);
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

/* --- events --- */

static void take_sync(struct node *node, uint64_t number)
{
    if (number != node->sync_number) {
        return; /* a newer one covers it */
    }
    node->syncing = false;
    if (node->fail_sync) {
        struct kt_m_event event = {.kind = KT_M_LOG_FAULT, .why = "the disk failed"};
        node->fail_sync = false;
        trace("node %d: the disk fails", node->slot);
        node->end_seq = node->synced_seq; /* the transaction is rolled back */
        note_vector(node);
        node_step(node, &event);
        return;
    }
    if (node->append_commit > node->disk_commit) {
        node->disk_commit = node->append_commit;
    }
    node->synced_seq = node->end_seq;
    node_step_facts(node);
}

static void put_copy(struct node *node)
{
    struct message *copy = node->copy;
    node->copy = NULL;
    node->end_seq = 0;
    node->vector_count = 0;
    node->of_lost_past = false;
    for (size_t i = 0; i < copy->entry_count; i++) {
        add_entry(node, &copy->entries[i]);
    }
    node->synced_seq = node->end_seq;
    node->first_seq = copy->first_seq;
    node->disk_commit = copy->applied;
    if (KT_PLANTED(copy_keeps_giver_id)) {
        memcpy(node->id, copy->giver, sizeof(node->id));
        memcpy(node->machine.options.id, copy->giver, sizeof(node->id));
    }
    free_message(copy);
    check_commit(node, 1, node->disk_commit);
    node->applied = node->disk_commit;
}

static void take_copied(struct node *node)
{
    struct kt_m_event event = {.kind = KT_M_COPIED};
    if (!node->copy || crashes(node)) {
        return;
    }
    put_copy(node);
    if (!crashes(node)) {
        node_step(node, &event);
    }
}

void node_finish_swap(int slot)
{
    struct node *node = &w->nodes[slot];
    if (!node->alive && node->copy) {
        put_copy(node);
        node->disk.half_copy = false;
        node_start(slot);
    }
}

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
        reply(&op, node->slot, REPLY_OK, op.seq);
        return;
    }
    if (!op.seq) {
        struct entry entry = {.epoch = node->machine.disk.epoch, .op = op.op};
        if (kt_machine_may_write(&node->machine, facts) != KT_OK || node->end_seq + 200 > LOG_MAX ||
            node->op_count == KT_ARRAY_LEN(node->ops)) {
            reply(&op, node->slot, REPLY_NONE, 0);
            return;
        }
        node->append_commit = node->applied;
        add_entry(node, &entry);
        op.seq = node->end_seq;
        if (!node->syncing) {
            start_sync(node);
        } else {
            node->sync_number++; /* the batch grows */
            start_sync(node);
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
        reply(&op, node->slot, serves ? REPLY_OK : REPLY_NONE, node->applied);
    } else {
        bool serves = !ended && !node->machine.disk.half_copy && !node->of_lost_past &&
                      node->copy_of < 0 && node->applied >= message->revision;
        reply(&op, node->slot, serves ? REPLY_OK : REPLY_NONE, node->applied);
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
        reply(&op, node->slot, REPLY_NONE, 0);
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
            take_sync(node, event->number);
        }
        break;
    case EV_COPIED:
        if (ours) {
            take_copied(node);
        }
        break;
    default:
        break;
    }
}

/* SPDX-License-Identifier: MIT */
/* What other nodes ask, on HTTP workers: a fetch (the machine judges it, and holds it until there
 * is news), a full copy, the message of a leader that hands over.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/envelope.h"
#include "replica/replica_impl.h"
#include "json/read.h"

#include <stdio.h>
#include <string.h>

/* The body of one answer; entries larger than that still go out one at a time. */
#define SERVE_BYTES_MAX (INT64_C(8) << 20)
/* A held fetch that nobody answers (a later one took its place) lets its worker go after. */
#define HELD_EXTRA_MS 1000
#define COPY_ANSWER_MS 5000
#define CAMPAIGN_ANSWER_MS 1000

static void refuse(struct kt_http_response *response, const struct kt_error *err)
{
    kt_envelope_error(response, err);
}

/* 409 with what the follower needs to know, beside the usual envelope. */
static void refuse_released(struct kt_http_response *response, uint64_t epoch)
{
    struct kt_jw jw;
    response->status = 409;
    kt_buf_clear(&response->body);
    kt_jw_init(&jw, &response->body);
    kt_jw_object(&jw);
    kt_jw_kv_i64(&jw, "status_code", 409);
    kt_jw_kv_text(&jw, "status_msg", "this node does not lead that epoch any more");
    kt_jw_key_text(&jw, "data");
    kt_jw_null(&jw);
    kt_jw_kv_u64(&jw, "released", epoch);
    kt_jw_key_text(&jw, "error");
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "code", "released");
    kt_jw_kv_text(&jw, "field", "epoch");
    kt_jw_kv_text(&jw, "retry", "later");
    kt_jw_object_end(&jw);
    kt_jw_object_end(&jw);
}

/* Why the machine refused it, as far as can be told. Mutex held. */
static void explain_refusal(struct kt_replica *replica, const struct kt_fetch_request *fetch,
                            struct kt_error *err)
{
    const struct kt_machine *machine = &replica->machine;
    if (strcmp(fetch->cluster, machine->disk.cluster) != 0) {
        (void)kt_fail_field(err, KT_CONFLICT, "cluster", "this node belongs to cluster %s, not %s",
                            machine->disk.cluster[0] ? machine->disk.cluster : "(none)",
                            fetch->cluster);
    } else if (machine->role != KT_M_LEADS || fetch->epoch != machine->disk.epoch) {
        (void)kt_fail_field(err, KT_UNAVAILABLE, "epoch",
                            "this node does not lead epoch %llu (yet)",
                            (unsigned long long)fetch->epoch);
    } else if (!kt_cluster_config_member(&machine->disk.kept, fetch->node)) {
        (void)kt_fail_field(err, KT_NOT_MEMBER, "node", "node %s is not a member (yet)",
                            fetch->node);
    } else {
        (void)kt_fail_field(err, KT_UNAVAILABLE, "node",
                            "node %s is waited for: its place in the log is gone", fetch->node);
    }
}

static void to_machine(const struct kt_fetch_request *fetch, struct kt_m_fetch *ret)
{
    memset(ret, 0, sizeof(*ret));
    memcpy(ret->cluster, fetch->cluster, sizeof(ret->cluster));
    memcpy(ret->node, fetch->node, sizeof(ret->node));
    memcpy(ret->session, fetch->session, sizeof(ret->session));
    ret->request = fetch->request;
    ret->took = fetch->took;
    ret->epoch = fetch->epoch;
    ret->after = fetch->after;
    ret->after_id = fetch->after_id;
    ret->commit = fetch->commit;
    ret->wait_ms = fetch->wait_ms;
    ret->vector = fetch->vector;
    ret->vector_count = fetch->vector_count;
}

static void note_clock(struct kt_replica *replica, const struct kt_fetch_request *fetch)
{
    size_t i = 0;
    if (fetch->now_wall_ms <= 0 ||
        !kt_cluster_config_member(&replica->machine.disk.kept, fetch->node)) {
        return;
    }
    while (i < replica->clock_count && strcmp(replica->clocks[i].id, fetch->node) != 0) {
        i++;
    }
    if (i == KT_MEMBERS_MAX) {
        return;
    }
    if (i == replica->clock_count) {
        replica->clock_count++;
        memcpy(replica->clocks[i].id, fetch->node, sizeof(replica->clocks[i].id));
    }
    replica->clocks[i].clock_skew_ms = fetch->now_wall_ms - kt_now_wall_ms();
}

static bool has_forgotten(const struct kt_replica *replica, const char *node)
{
    const struct kt_machine *machine = &replica->machine;
    const struct kt_machine_peer *peer = kt_machine_peer(machine, node);
    return machine->role == KT_M_LEADS && peer && peer->forgot;
}

/* Rule S4: once, when it is seen. Mutex held. */
static void note_forgot(struct kt_replica *replica, const struct kt_fetch_request *fetch)
{
    const struct kt_member *member =
        kt_cluster_config_member(&replica->machine.disk.kept, fetch->node);
    const char *addr = member ? member->addr : fetch->node;
    kt_log(ERROR, "replica", "follower_forgot",
           "addr=%s node=%s after=%llu do=\"it no longer has what it acknowledged: see whether its "
           "disk is sound or its files were set back, then start it with -rejoin\"",
           addr, fetch->node, (unsigned long long)fetch->after);
    kt_replica_note(replica, addr, "forgot", "it acknowledged more than revision %llu before",
                    (unsigned long long)fetch->after);
}

static void unlist(struct kt_replica *replica, const struct held_fetch *held)
{
    for (struct held_fetch **at = &replica->held; *at; at = &(*at)->next) {
        if (*at == held) {
            *at = held->next;
            return;
        }
    }
}

/* A node that has ended takes no events any more, but who fetches from it is to hear that its epoch
 * is over: the promise ends with it. Mutex held. */
static bool answer_ended(struct kt_replica *replica, struct held_fetch *held)
{
    const struct kt_machine *machine = &replica->machine;
    if (machine->role == KT_M_ENDED) {
        bool is_over = strcmp(held->request->cluster, machine->disk.cluster) == 0 &&
                       held->request->epoch <= machine->over_epoch;
        held->answer.kind = is_over ? KT_M_ANSWER_RELEASED : KT_M_ANSWER_REFUSED;
        held->done = true;
        if (is_over) {
            kt_replica_note_released(replica, held->request->node);
        }
    }
    return held->done;
}

static enum kt_status parse_for_us(const struct kt_replica *replica, struct kt_str body,
                                   struct kt_fetch_request *ret_fetch, struct kt_error *err)
{
    enum kt_status status = kt_fetch_request_parse(body, ret_fetch, err);
    if (status == KT_OK && strcmp(ret_fetch->leader, replica->machine.options.id) != 0) {
        status = kt_fail_field(err, KT_CONFLICT, "leader", "this is node %s, not %s",
                               replica->machine.options.id, ret_fetch->leader);
        kt_fetch_request_done(ret_fetch);
    }
    return status;
}

/* Gives the request to the machine and waits for what it says; false: nothing came. Mutex held. */
static bool ask_machine(struct kt_replica *replica, struct held_fetch *held,
                        enum kt_m_event_kind kind, int64_t deadline_ms)
{
    struct kt_m_fetch fetch;
    struct kt_m_event event;
    to_machine(held->request, &fetch);
    memset(&event, 0, sizeof(event));
    event.kind = kind;
    event.fetch = &fetch;
    if (!kt_replica_await_step_until(replica, deadline_ms)) {
        return false;
    }
    if (answer_ended(replica, held)) {
        return true;
    }
    held->next = replica->held;
    replica->held = held;
    bool had_forgotten = has_forgotten(replica, fetch.node);
    kt_replica_step(replica, &event);
    if (!had_forgotten && has_forgotten(replica, fetch.node)) {
        note_forgot(replica, held->request);
    }
    while (!held->done && !replica->log_stop &&
           kt_cond_wait(&held->answered, &replica->mutex, deadline_ms)) {
    }
    if (!held->done) {
        unlist(replica, held);
    }
    return held->done;
}

/* --- entries --- */

/* Has its node asked again since? Then nobody reads the answer. Mutex held. */
static bool is_abandoned(const struct kt_replica *replica, const struct kt_fetch_request *fetch)
{
    const struct kt_machine *machine = &replica->machine;
    const struct kt_machine_peer *peer = kt_machine_peer(machine, fetch->node);
    return machine->role == KT_M_LEADS && peer &&
           (strcmp(peer->session, fetch->session) != 0 || peer->request > fetch->request);
}

/* From the log, when they are not in memory. Those of a large batch are there after its fsync. */
static enum kt_status read_frames(struct kt_replica *replica, const struct kt_fetch_request *fetch,
                                  int64_t bytes, int64_t deadline_ms, struct kt_buf *dest,
                                  struct kt_error *err)
{
    uint64_t after = fetch->after;
    struct kt_entries entries;
    memset(&entries, 0, sizeof(entries));
    while (replica->log.synced_seq <= after && replica->log.end_seq > after && !replica->log_stop &&
           kt_cond_wait(&replica->synced_cond, &replica->mutex, deadline_ms)) {
    }
    uint64_t until = replica->log.synced_seq;
    if (until <= after) {
        return KT_OK;
    }
    if (is_abandoned(replica, fetch)) {
        return kt_fail(err, KT_UNAVAILABLE, "a later fetch of this node has come");
    }
    kt_mutex_unlock(&replica->mutex);
    enum kt_status status =
        kt_store_log_read(replica->store, after, until, (size_t)bytes, &entries, err);
    if (status == KT_OK && entries.count > 0 && entries.items[0].seq != after + 1) {
        status = kt_fail(err, KT_UNAVAILABLE, "the log was cut meanwhile: ask again");
    }
    for (size_t i = 0; status == KT_OK && i < entries.count; i++) {
        kt_fetch_frame_append(&entries.items[i], dest);
    }
    kt_entries_done(&entries);
    kt_mutex_lock(&replica->mutex);
    return status;
}

static enum kt_status write_entries(struct kt_replica *replica, const struct held_fetch *held,
                                    int64_t deadline_ms, struct kt_buf *dest, struct kt_error *err)
{
    int64_t bytes =
        held->request->max_bytes < SERVE_BYTES_MAX ? held->request->max_bytes : SERVE_BYTES_MAX;
    uint64_t after = held->request->after;
    if (held->answer.last_seq <= after || kt_tail_frames(replica, after, (size_t)bytes, dest)) {
        return KT_OK;
    }
    return read_frames(replica, held->request, bytes, deadline_ms, dest, err);
}

/* Mutex held, given up meanwhile. */
static enum kt_status write_answer(struct kt_replica *replica, const struct held_fetch *held,
                                   int64_t deadline_ms, struct kt_http_response *response,
                                   struct kt_error *err)
{
    struct kt_fetch_head head;
    memset(&head, 0, sizeof(head));
    head.epoch = held->answer.epoch;
    head.request = held->answer.request;
    head.commit = held->answer.commit;
    head.now_wall_ms = held->now_wall_ms;
    head.clock_wall_ms = held->clock_wall_ms;
    head.copy = held->answer.kind == KT_M_ANSWER_COPY;
    head.differs = held->answer.kind == KT_M_ANSWER_DIFFERS;
    head.end_seq = held->answer.end_seq;
    head.vector = held->vector;
    head.vector_count = held->answer.vector_count;
    response->content_type = "application/octet-stream";
    /* Bounded by what was asked for and by KT_REPLICA_ENTRY_BYTES_MAX: a bound on answers to
     * clients that is smaller than an entry would stop a follower for ever, and one on what
     * they have all together for as long as they like. */
    response->body.max_bytes = 0;
    response->body.share = NULL;
    kt_fetch_head_format(&head, &response->body);
    enum kt_status status = KT_OK;
    if (held->answer.kind == KT_M_ANSWER_ENTRIES) {
        status = write_entries(replica, held, deadline_ms, &response->body, err);
    }
    if (status == KT_OK && kt_buf_status(&response->body) != KT_OK) {
        status = kt_fail(err, KT_UNAVAILABLE, "no memory for the answer to a fetch");
    }
    return status;
}

/* Mutex held. */
static void respond(struct kt_replica *replica, const struct held_fetch *held, int64_t deadline_ms,
                    struct kt_http_response *response)
{
    struct kt_error err = KT_ERROR_INIT;
    switch (held->answer.kind) {
    case KT_M_ANSWER_RELEASED:
        refuse_released(response, held->request->epoch);
        return;
    case KT_M_ANSWER_REFUSED:
        explain_refusal(replica, held->request, &err);
        refuse(response, &err);
        return;
    case KT_M_ANSWER_ENTRIES:
    case KT_M_ANSWER_DIFFERS:
    case KT_M_ANSWER_COPY:
        break;
    }
    if (write_answer(replica, held, deadline_ms, response, &err) != KT_OK) {
        refuse(response, &err);
    }
    replica->counters.served_fetches++;
    replica->counters.served_bytes += response->body.len_bytes;
}

static void serve(struct kt_replica *replica, const struct kt_fetch_request *fetch,
                  struct kt_http_response *response)
{
    struct kt_error err = KT_ERROR_INIT;
    struct held_fetch held;
    int64_t deadline_ms = kt_now_mono_ms() + fetch->wait_ms + HELD_EXTRA_MS;
    memset(&held, 0, sizeof(held));
    held.request = fetch;
    kt_cond_init(&held.answered);
    kt_mutex_lock(&replica->mutex);
    note_clock(replica, fetch);
    if (ask_machine(replica, &held, KT_M_FETCH_CAME, deadline_ms)) {
        respond(replica, &held, deadline_ms, response);
    } else {
        (void)kt_fail_field(&err, KT_UNAVAILABLE, "request",
                            "a later fetch of this node has taken the place of this one, or this "
                            "node waits for its disk");
        refuse(response, &err);
    }
    kt_mutex_unlock(&replica->mutex);
    kt_free(held.vector);
    kt_cond_done(&held.answered);
}

void kt_replica_serve_fetch(struct kt_replica *replica, struct kt_http_request *request,
                            struct kt_http_response *response)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_fetch_request fetch;
    if (parse_for_us(replica, request->body, &fetch, &err) != KT_OK) {
        refuse(response, &err);
        return;
    }
    serve(replica, &fetch, response);
    kt_fetch_request_done(&fetch);
}

/* --- a full copy --- */

static void give_copy(struct kt_replica *replica, const struct kt_fetch_request *fetch,
                      struct kt_http_response *response)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_copy_head head;
    memset(&head, 0, sizeof(head));
    memcpy(head.cluster, fetch->cluster, sizeof(head.cluster));
    head.epoch = fetch->epoch;
    head.request = fetch->request;
    if (kt_copy_give(replica->store, &head, response, &err) != KT_OK) {
        refuse(response, &err);
    }
}

void kt_replica_serve_copy(struct kt_replica *replica, struct kt_http_request *request,
                           struct kt_http_response *response)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_fetch_request fetch;
    struct held_fetch held;
    if (parse_for_us(replica, request->body, &fetch, &err) != KT_OK) {
        refuse(response, &err);
        return;
    }
    memset(&held, 0, sizeof(held));
    held.request = &fetch;
    kt_cond_init(&held.answered);
    int64_t deadline_ms = kt_now_mono_ms() + COPY_ANSWER_MS;
    kt_mutex_lock(&replica->mutex);
    bool answered = ask_machine(replica, &held, KT_M_COPY_ASKED, deadline_ms);
    if (!answered) {
        (void)kt_fail_field(&err, KT_UNAVAILABLE, "request", "a later request took its place");
        refuse(response, &err);
    } else if (!held.gives_copy) {
        respond(replica, &held, deadline_ms, response);
    } else {
        replica->counters.served_copies++;
        kt_replica_note(replica, fetch.node, "copy_given", "epoch %llu",
                        (unsigned long long)fetch.epoch);
    }
    kt_mutex_unlock(&replica->mutex);
    if (held.gives_copy) {
        give_copy(replica, &fetch, response);
    }
    kt_free(held.vector);
    kt_cond_done(&held.answered);
    kt_fetch_request_done(&fetch);
}

/* --- a handover --- */

struct campaign {
    char cluster[KT_ID_LEN + 1], node[KT_ID_LEN + 1];
    uint64_t epoch;
};

static enum kt_status need_text(struct kt_json_fields *fields, const char *name,
                                char dest[KT_ID_LEN + 1], struct kt_error *err)
{
    struct kt_str text = {NULL, 0};
    bool present = false;
    enum kt_status status = kt_json_get_string(fields, name, &text, &present, err);
    if (status == KT_OK && (!present || text.len != KT_ID_LEN)) {
        status = kt_fail_field(err, KT_BAD_VALUE, name, "%s must be 16 hexadecimal digits", name);
    }
    if (status == KT_OK) {
        kt_str_copy(dest, KT_ID_LEN + 1, text);
    }
    return status;
}

static enum kt_status parse_campaign(struct kt_str body, struct campaign *ret, struct kt_error *err)
{
    struct kt_json *doc = NULL;
    struct kt_json_fields fields;
    int64_t epoch = 0;
    bool present = false;
    enum kt_status status = kt_json_parse(body, KT_JSON_DEPTH_DEFAULT, &doc, err);
    if (status != KT_OK) {
        return status;
    }
    status = kt_json_fields_init(&fields, kt_json_root(doc), "", err);
    if (status == KT_OK) {
        status = need_text(&fields, "cluster", ret->cluster, err);
    }
    if (status == KT_OK) {
        status = need_text(&fields, "node", ret->node, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_int(&fields, "epoch", 1, INT64_C(1) << 53, &epoch, &present, err);
    }
    if (status == KT_OK && !present) {
        status = kt_fail_field(err, KT_BAD_VALUE, "epoch", "epoch is missing");
    }
    if (status == KT_OK) {
        status = kt_json_fields_finish(&fields, err);
    }
    ret->epoch = (uint64_t)epoch;
    kt_json_free(&doc);
    return status;
}

void kt_replica_serve_campaign(struct kt_replica *replica, struct kt_http_request *request,
                               struct kt_http_response *response)
{
    struct kt_error err = KT_ERROR_INIT;
    struct campaign campaign;
    memset(&campaign, 0, sizeof(campaign));
    enum kt_status status = parse_campaign(request->body, &campaign, &err);
    kt_mutex_lock(&replica->mutex);
    if (status == KT_OK &&
        !kt_replica_await_step_until(replica, kt_now_mono_ms() + CAMPAIGN_ANSWER_MS)) {
        status = kt_fail(&err, KT_UNAVAILABLE, "this node waits for its disk");
    }
    if (status == KT_OK && strcmp(campaign.cluster, replica->machine.disk.cluster) != 0) {
        status = kt_fail_field(&err, KT_CONFLICT, "cluster",
                               "this node does not belong to cluster %s", campaign.cluster);
    }
    if (status == KT_OK) {
        struct kt_m_event event;
        memset(&event, 0, sizeof(event));
        event.kind = KT_M_CAMPAIGN_CAME;
        event.epoch = campaign.epoch;
        kt_replica_step(replica, &event);
        kt_cond_signal(&replica->replica_cond);
    }
    kt_mutex_unlock(&replica->mutex);
    if (status != KT_OK) {
        refuse(response, &err);
        return;
    }
    struct kt_jw jw;
    kt_envelope_begin(response, &jw);
    kt_jw_null(&jw);
    kt_envelope_end(&jw);
}

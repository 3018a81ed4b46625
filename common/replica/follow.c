/* SPDX-License-Identifier: MIT */
/* A follower's round: the fetch that the machine asks for, and what the machine makes of its
 * answer: entries appended (fsynced; the next fetch is the acknowledgement), what the leader does
 * not have put aside and cut, a full copy taken. A call that fails reaches the machine as refused.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "replica/replica_impl.h"
#include "json/read.h"

#include <stdio.h>
#include <string.h>

#define FETCH_PATH "/replication/v1/fetch"
#define COPY_PATH "/replication/v1/copy"
/* One entry may be larger than what was asked for; its frame and the answer's head come with it. */
#define ANSWER_SLACK_BYTES (KT_REPLICA_ENTRY_BYTES_MAX + (INT64_C(1) << 20))
#define ANSWER_MAX_MS 300000
#define COPY_IDLE_MS 30000
/* Not yet applied entries that a follower holds in memory before it waits for the apply thread. */
#define UNAPPLIED_BYTES_MAX (INT64_C(32) << 20)
/* Newest epochs in a request; the leader's whole vector comes if it is needed. */
#define VECTOR_SENT_MAX 16

struct fetch {
    struct kt_m_action action;
    struct kt_epoch *vector; /* what the action points to */
    struct kt_fetch_request request;
    uint64_t order; /* orders.number when it was taken */
    int64_t sent_mono_ms, patience_ms;
    char url[KT_ADDR_MAX + 64];
    char auth[256];
    struct kt_buf body;
    struct kt_http_answer answer;
    struct kt_fetch_head head;
    struct batch *batch; /* the entries of the answer, parsed */
    struct kt_replica *replica;
    struct kt_copy_taker *taker; /* of a copy under way */
    struct kt_error copy_err;
};

/* --- the request --- */

/* After timeouts in a row less is asked for and more time is given: a leader that needs longer than
 * that to make an answer, of one large entry perhaps, would be asked for it for ever. A change of
 * leader cancels the call anyway. */
static int64_t bytes_of(const struct kt_replica *replica)
{
    unsigned shift = replica->fetch_timeouts < 8 ? replica->fetch_timeouts : 8;
    int64_t bytes = replica->options.fetch_max_bytes >> shift;
    return bytes > 1 ? bytes : 1;
}

static int64_t patience_ms(const struct kt_replica *replica)
{
    unsigned shift = replica->fetch_timeouts < 3 ? replica->fetch_timeouts : 3;
    return (replica->options.lag_timeout_ms * 3 / 10) << shift;
}

static void fill_request(struct kt_replica *replica, struct fetch *fetch)
{
    const struct kt_m_fetch *from = &fetch->action.fetch;
    struct kt_fetch_request *request = &fetch->request;
    size_t skip = from->vector_count > VECTOR_SENT_MAX ? from->vector_count - VECTOR_SENT_MAX : 0;
    memcpy(request->cluster, from->cluster, sizeof(request->cluster));
    memcpy(request->node, from->node, sizeof(request->node));
    memcpy(request->leader, fetch->action.to, sizeof(request->leader));
    memcpy(request->session, from->session, sizeof(request->session));
    request->request = from->request;
    request->took = from->took;
    request->epoch = from->epoch;
    request->after = from->after;
    request->after_id = from->after_id;
    request->commit = from->commit;
    request->wait_ms = from->wait_ms;
    request->max_bytes = bytes_of(replica);
    request->now_wall_ms = kt_now_wall_ms();
    request->vector = fetch->vector ? fetch->vector + skip : NULL; /* borrowed */
    request->vector_count = from->vector_count - skip;
}

/* Takes the order; the mutex is held and given up meanwhile. */
static enum kt_status prepare(struct kt_replica *replica, struct fetch *fetch, const char *path,
                              struct kt_error *err)
{
    fetch->action = replica->orders.fetch;
    fetch->vector = replica->orders.vector;
    replica->orders.vector = NULL;
    replica->orders.follow = FOLLOW_NOTHING;
    fetch->order = replica->orders.number;
    fill_request(replica, fetch);
    fetch->patience_ms = patience_ms(replica);
    atomic_store_explicit(&replica->receiving, false, memory_order_relaxed);
    if (replica->log_stop) {
        return kt_fail(err, KT_BUSY, "this node is stopping");
    }
    kt_http_client_reset(replica->client);
    fetch->sent_mono_ms = kt_now_mono_ms();
    replica->patient_until_mono_ms =
        replica->fetch_timeouts > 0
            ? fetch->sent_mono_ms + fetch->request.wait_ms + fetch->patience_ms
            : 0;
    kt_mutex_unlock(&replica->mutex);
    snprintf(fetch->url, sizeof(fetch->url), "http://%s%s", fetch->action.addr, path);
    kt_fetch_request_format(&fetch->request, &fetch->body);
    enum kt_status status = kt_buf_status(&fetch->body);
    if (status == KT_OK) {
        kt_replica_sign(replica, path, kt_buf_str(&fetch->body), fetch->auth, sizeof(fetch->auth));
    } else {
        status = kt_fail(err, status, "no memory for a fetch");
    }
    kt_mutex_lock(&replica->mutex);
    return status;
}

static void fill_call(const struct fetch *fetch, struct kt_http_call *call)
{
    memset(call, 0, sizeof(*call));
    call->method = "POST";
    call->url = fetch->url;
    call->body = kt_buf_str(&fetch->body);
    call->content_type = "application/json";
    call->headers[0] = fetch->auth[0] ? fetch->auth : NULL;
}

/* --- failing and working; said once when it lasts, and once when it is over. Mutex held. --- */

static void note_failing(struct kt_replica *replica, const struct fetch *fetch, const char *why)
{
    int64_t now_ms = kt_now_mono_ms();
    if (replica->failing_since_mono_ms == 0) {
        replica->failing_since_mono_ms = now_ms;
    }
    if (!replica->failing_said &&
        now_ms - replica->failing_since_mono_ms >= replica->options.lag_timeout_ms) {
        replica->failing_said = true;
        kt_log(WARN, "replica", "leader_unreachable", "leader=%s after=%llu why=\"%s\"",
               fetch->action.addr, (unsigned long long)replica->log.end_seq, why);
    }
}

static void note_working(struct kt_replica *replica, const struct fetch *fetch)
{
    if (replica->failing_said) {
        kt_log(INFO, "replica", "leader_reachable", "leader=%s failing_ms=%lld", fetch->action.addr,
               (long long)(kt_now_mono_ms() - replica->failing_since_mono_ms));
    }
    replica->failing_since_mono_ms = 0;
    replica->failing_said = false;
}

/* --- what the machine is told --- */

static void tell(struct kt_replica *replica, const struct kt_m_answer *answer)
{
    struct kt_m_event event;
    memset(&event, 0, sizeof(event));
    event.kind = KT_M_ANSWER_CAME;
    event.answer = answer;
    kt_replica_step(replica, &event);
}

static void fill_answer(const struct fetch *fetch, enum kt_m_answer_kind kind,
                        struct kt_m_answer *answer)
{
    memset(answer, 0, sizeof(*answer));
    answer->kind = kind;
    memcpy(answer->session, fetch->request.session, sizeof(answer->session));
    answer->epoch = fetch->request.epoch;
    answer->request = fetch->request.request;
}

static void tell_refused(struct kt_replica *replica, const struct fetch *fetch)
{
    struct kt_m_answer answer;
    fill_answer(fetch, KT_M_ANSWER_REFUSED, &answer);
    tell(replica, &answer);
}

/* 409 {"released": epoch}: that epoch is over for the one that was asked. */
static bool is_released(const struct fetch *fetch)
{
    struct kt_json *doc = NULL;
    struct kt_json_fields fields;
    struct kt_error err = KT_ERROR_INIT;
    int64_t epoch = 0;
    bool present = false;
    if (fetch->answer.status != 409 || kt_json_parse(kt_buf_str(&fetch->answer.body),
                                                     KT_JSON_DEPTH_DEFAULT, &doc, &err) != KT_OK) {
        return false;
    }
    bool good = kt_json_fields_init(&fields, kt_json_root(doc), "", &err) == KT_OK &&
                kt_json_get_int(&fields, "released", 0, INT64_C(1) << 53, &epoch, &present, &err) ==
                    KT_OK &&
                present && (uint64_t)epoch == fetch->request.epoch;
    kt_json_free(&doc);
    return good;
}

/* What a leader answers other than 200 is a matter of time, and tried again. Mutex held. */
static void take_refusal(struct kt_replica *replica, const struct fetch *fetch)
{
    char why[64];
    if (is_released(fetch)) {
        struct kt_m_answer answer;
        fill_answer(fetch, KT_M_ANSWER_RELEASED, &answer);
        tell(replica, &answer);
        return;
    }
    snprintf(why, sizeof(why), "it answers %d", fetch->answer.status);
    note_failing(replica, fetch, why);
    tell_refused(replica, fetch);
}

/* --- an answer with entries --- */

static size_t count_frames(struct kt_str frames)
{
    size_t count = 0;
    while (kt_fetch_frame_skip(&frames)) {
        count++;
    }
    return count;
}

/* The entries of an answer, which must continue the log without a gap. No mutex. */
static enum kt_status parse_entries(struct fetch *fetch, struct kt_str frames, struct kt_error *err)
{
    uint64_t seq = fetch->request.after;
    size_t count = count_frames(frames);
    bool more = true;
    if (frames.len == 0) {
        return KT_OK;
    }
    struct batch *batch = kt_batch_new(count > 0 ? count : 1, false);
    if (!batch) {
        return kt_fail(err, KT_NO_MEMORY, "the entries of a fetch");
    }
    fetch->batch = batch;
    batch->frames = frames;
    batch->bytes = frames.len;
    for (size_t i = 0;; i++) {
        struct kt_entry entry;
        enum kt_status status = kt_fetch_frame_next(&frames, &entry, &more, err);
        if (status != KT_OK) {
            return status;
        }
        if (!more) {
            break;
        }
        if (entry.seq != ++seq || i >= count) {
            return kt_fail(err, KT_CORRUPT, "the leader sent entry %llu instead of %llu",
                           (unsigned long long)entry.seq, (unsigned long long)seq);
        }
        batch->entries[i] = entry;
    }
    batch->first_seq = batch->entries[0].seq;
    batch->wall_ms = batch->entries[0].wall_ms;
    /* The bytes that they borrow become the batch's. */
    batch->memory = fetch->answer.body;
    kt_buf_init(&fetch->answer.body, 0);
    return KT_OK;
}

/* The log has the entries, so its vector must be known; only memory can be missing. No mutex. */
static bool read_vector(struct kt_replica *replica, struct kt_epoch **ret_vector, size_t *ret_count)
{
    struct kt_error err = KT_ERROR_INIT;
    while (kt_store_epochs(replica->store, ret_vector, ret_count, &err) != KT_OK) {
        kt_mutex_lock(&replica->mutex);
        bool stop = replica->log_stop;
        if (!stop) {
            (void)kt_cond_wait(&replica->log_cond, &replica->mutex, kt_now_mono_ms() + 100);
        }
        kt_mutex_unlock(&replica->mutex);
        if (stop) {
            return false;
        }
    }
    return true;
}

/* Mutex held, given up meanwhile. */
static void append(struct kt_replica *replica, struct fetch *fetch)
{
    struct kt_error err = KT_ERROR_INIT;
    struct batch *batch = fetch->batch;
    uint64_t last = batch->first_seq + batch->count - 1;
    uint64_t commit = replica->orders.append_commit;
    const struct kt_machine_log *log = &replica->log;
    uint64_t newest = log->vector_count > 0 ? log->vector[log->vector_count - 1].epoch : 0;
    bool begins_epoch = batch->entries[batch->count - 1].epoch > newest;
    struct kt_epoch *vector = NULL;
    size_t vector_count = 0;
    kt_mutex_unlock(&replica->mutex);
    enum kt_status status =
        kt_store_log_append(replica->store, batch->entries, batch->count, commit, &err);
    if (status == KT_OK && begins_epoch && !read_vector(replica, &vector, &vector_count)) {
        status = kt_fail(&err, KT_NO_MEMORY, "the epoch vector");
    }
    kt_mutex_lock(&replica->mutex);
    kt_replica_await_step(replica);
    replica->orders.changing = false;
    if (status == KT_OK) {
        if (begins_epoch) {
            kt_replica_put_vector(replica, vector, vector_count);
        }
        replica->log.end_seq = replica->log.synced_seq = last;
        replica->counters.fetched_entries += batch->count;
        kt_tail_push(replica, batch);
        fetch->batch = NULL;
    } else {
        kt_replica_fault(replica, "what the leader sent could not be written", &err);
    }
    kt_replica_step_facts(replica);
}

static void cut(struct kt_replica *replica)
{
    struct kt_error err = KT_ERROR_INIT;
    uint64_t after = replica->orders.cut_seq, end = replica->log.end_seq;
    kt_mutex_unlock(&replica->mutex);
    enum kt_status status = kt_store_log_cut(replica->store, after, &err);
    kt_mutex_lock(&replica->mutex);
    kt_replica_await_step(replica);
    replica->orders.changing = false;
    if (status == KT_OK) {
        kt_log(WARN, "replica", "log_cut",
               "after=%llu entries=%llu do=\"this node never knew it to be committed; only after "
               "a recover it may have been. It stands in rollback/ beside the database\"",
               (unsigned long long)after, (unsigned long long)(end - after));
        kt_replica_note(replica, replica->addr, "log_cut", "%llu entries after revision %llu",
                        (unsigned long long)(end - after), (unsigned long long)after);
        replica->log.end_seq = replica->log.synced_seq = after;
        kt_replica_cut_vector(replica, after);
        kt_tail_cut(replica, after);
    } else {
        kt_replica_fault(replica, "what the leader does not have could not be put aside", &err);
    }
    kt_replica_step_facts(replica);
}

/* How far the leader is, for lag and recorded_by. Mutex held. */
static void note_answer(struct kt_replica *replica, const struct fetch *fetch, int64_t received_ms)
{
    const struct kt_fetch_head *head = &fetch->head;
    kt_clock_compare(&replica->leader_clock, fetch->action.addr, head->clock_wall_ms,
                     kt_now_wall_ms());
    replica->leader_wall_ms = head->clock_wall_ms;
    /* The leader read its clock after this fetch left. */
    replica->leader_wall_mono_ms = fetch->sent_mono_ms;
    replica->leader_commit = head->commit;
    struct level *level = replica->level.set ? &replica->next_level : &replica->level;
    *level = (struct level){true, head->commit, received_ms, head->now_wall_ms};
    replica->answers_taken++;
    kt_replica_applied(replica);
}

static enum kt_m_answer_kind kind_of(const struct kt_fetch_head *head)
{
    return head->copy      ? KT_M_ANSWER_COPY
           : head->differs ? KT_M_ANSWER_DIFFERS
                           : KT_M_ANSWER_ENTRIES;
}

/* Mutex held, given up meanwhile. */
static void take_answer(struct kt_replica *replica, struct fetch *fetch)
{
    struct kt_m_answer answer;
    fill_answer(fetch, kind_of(&fetch->head), &answer);
    answer.epoch = fetch->head.epoch;
    answer.request = fetch->head.request;
    answer.commit = fetch->head.commit;
    answer.first_seq = fetch->request.after + 1;
    answer.last_seq = fetch->request.after;
    if (fetch->batch) {
        answer.last_seq += fetch->batch->count;
        answer.last_epoch = fetch->batch->entries[fetch->batch->count - 1].epoch;
    }
    answer.end_seq = fetch->head.end_seq;
    answer.vector = fetch->head.vector;
    answer.vector_count = fetch->head.vector_count;
    int64_t received_ms = kt_now_mono_ms();
    uint64_t took = replica->machine.took;
    replica->orders.append = replica->orders.cut = false;
    tell(replica, &answer);
    bool taken = replica->machine.took != took; /* it was for the newest fetch, of this epoch */
    if (replica->orders.append && fetch->batch) {
        append(replica, fetch);
    } else if (replica->orders.cut) {
        cut(replica);
    }
    replica->orders.append = replica->orders.cut = replica->orders.changing = false;
    if (taken) {
        note_answer(replica, fetch, received_ms);
    }
}

/* An entry comes as a whole, however slow the wire: what bounds its answer is silence, and this. */
static bool take_data(void *ctx, struct kt_str data)
{
    struct fetch *fetch = ctx;
    atomic_store_explicit(&fetch->replica->receiving, true, memory_order_relaxed);
    kt_buf_append_str(&fetch->answer.body, data);
    return kt_buf_status(&fetch->answer.body) == KT_OK &&
           kt_now_mono_ms() < fetch->sent_mono_ms + ANSWER_MAX_MS;
}

/* Calls, and parses what came. No mutex. */
static enum kt_status call_fetch(struct kt_replica *replica, struct fetch *fetch,
                                 struct kt_error *err)
{
    struct kt_http_call call;
    struct kt_str frames;
    fill_call(fetch, &call);
    call.timeout_ms = fetch->request.wait_ms + fetch->patience_ms;
    call.idle_timeout_ms = call.timeout_ms;
    call.on_data = take_data;
    call.on_data_ctx = fetch;
    call.max_answer_bytes = (size_t)(replica->options.fetch_max_bytes + ANSWER_SLACK_BYTES);
    enum kt_status status = kt_http_client_call(replica->client, &call, &fetch->answer, err);
    if (status == KT_OK && fetch->answer.status == 200) {
        status = kt_fetch_head_parse(kt_buf_str(&fetch->answer.body), &fetch->head, &frames, err);
        if (status == KT_OK && !fetch->head.copy && !fetch->head.differs) {
            status = parse_entries(fetch, frames, err);
        }
        if (status != KT_OK) {
            kt_log(ERROR, "replica", "follow_failed", "after=%llu why=\"%s\"",
                   (unsigned long long)fetch->request.after, err->message);
        }
    }
    return status;
}

/* So that a follower that is far behind does not hold in memory what its data has no time for. It
 * never waits for a commit, which may wait for its own acknowledgement. Mutex held. */
static void wait_for_apply(struct kt_replica *replica)
{
    while (!replica->log_stop && replica->numbered_bytes > UNAPPLIED_BYTES_MAX &&
           kt_store_applied(replica->store) < replica->commit_seq && !replica->orders.lead) {
        (void)kt_cond_wait(&replica->log_cond, &replica->mutex, kt_now_mono_ms() + 100);
    }
}

/* Mutex held. */
static void note_time(struct kt_replica *replica, const struct fetch *fetch, enum kt_status status)
{
    int64_t usual_ms = fetch->request.wait_ms + replica->options.lag_timeout_ms * 3 / 10;
    /* The machine did not wait any longer, and asks the same one again. */
    bool again = status == KT_BUSY && replica->orders.follow == FOLLOW_FETCH &&
                 strcmp(replica->orders.fetch.addr, fetch->action.addr) == 0;
    if (status == KT_TIMEOUT || again) {
        replica->fetch_timeouts++;
    } else if (status == KT_OK && kt_now_mono_ms() - fetch->sent_mono_ms <= usual_ms) {
        replica->fetch_timeouts = 0;
    }
    replica->patient_until_mono_ms = 0;
}

static void run_fetch(struct kt_replica *replica, struct fetch *fetch)
{
    struct kt_error err = KT_ERROR_INIT;
    wait_for_apply(replica);
    if (replica->orders.follow != FOLLOW_FETCH) {
        return;
    }
    enum kt_status status = prepare(replica, fetch, FETCH_PATH, &err);
    if (status == KT_OK) {
        kt_mutex_unlock(&replica->mutex);
        status = call_fetch(replica, fetch, &err);
        kt_mutex_lock(&replica->mutex);
        atomic_store_explicit(&replica->receiving, false, memory_order_relaxed);
        replica->counters.fetches++;
        replica->counters.fetched_bytes += fetch->answer.body.len_bytes +
                                           fetch->answer.head.len_bytes +
                                           (fetch->batch ? fetch->batch->memory.len_bytes : 0);
        note_time(replica, fetch, status);
    }
    if (status != KT_OK) {
        /* A change of orders ends a call on purpose. */
        if (replica->orders.number == fetch->order) {
            note_failing(replica, fetch, err.message);
        }
        tell_refused(replica, fetch);
    } else if (fetch->answer.status != 200) {
        take_refusal(replica, fetch);
    } else {
        note_working(replica, fetch);
        take_answer(replica, fetch);
    }
}

/* --- a full copy --- */

static bool take_copy_data(void *ctx, struct kt_str data)
{
    struct fetch *fetch = ctx;
    atomic_store_explicit(&fetch->replica->receiving, true, memory_order_relaxed);
    return kt_copy_taker_put(fetch->taker, data, &fetch->copy_err) == KT_OK;
}

/* Calls, and lets the copy come onto the disk. No mutex. */
static enum kt_status call_copy(struct kt_replica *replica, struct fetch *fetch,
                                struct kt_error *err)
{
    struct kt_http_call call;
    fill_call(fetch, &call);
    call.timeout_ms = COPY_IDLE_MS;
    call.idle_timeout_ms = COPY_IDLE_MS;
    call.on_data = take_copy_data;
    call.on_data_ctx = fetch;
    call.max_answer_bytes = SIZE_MAX / 2;
    enum kt_status status = kt_copy_taker_new(replica->store, &fetch->taker, err);
    if (status == KT_OK) {
        status = kt_http_client_call(replica->client, &call, &fetch->answer, err);
    }
    if (fetch->copy_err.status != KT_OK) {
        *err = fetch->copy_err;
        return fetch->copy_err.status;
    }
    if (status == KT_OK && fetch->answer.status == 200) {
        status = kt_copy_taker_check(fetch->taker, err);
    }
    return status;
}

/* Mutex held, given up meanwhile. */
static void take_copy(struct kt_replica *replica, struct fetch *fetch)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_m_event event;
    const struct kt_copy_head *head = kt_copy_taker_head(fetch->taker);
    memset(&event, 0, sizeof(event));
    event.kind = KT_M_COPY_CAME;
    event.request = head->request;
    event.epoch = head->epoch;
    replica->orders.swap = false;
    kt_replica_step(replica, &event);
    if (!replica->orders.swap) {
        return; /* not the one that was asked for last */
    }
    replica->orders.swap = false;
    kt_mutex_unlock(&replica->mutex);
    enum kt_status status = kt_copy_taker_finish(fetch->taker, &err);
    kt_mutex_lock(&replica->mutex);
    replica->orders.changing = false;
    if (status != KT_OK) {
        kt_replica_fault(replica, "the copy of the leader's data could not be taken over", &err);
        kt_replica_step_facts(replica);
        return;
    }
    kt_log(INFO, "replica", "copied", "leader=%s revision=%llu bytes=%llu", fetch->action.addr,
           (unsigned long long)head->applied_seq, (unsigned long long)head->bytes);
    replica->log_stop = true; /* the files are the copy's now: this process opens them anew */
    if (replica->options.on_restart) {
        kt_mutex_unlock(&replica->mutex);
        replica->options.on_restart(replica->options.on_restart_ctx);
        kt_mutex_lock(&replica->mutex);
    }
}

static void run_copy(struct kt_replica *replica, struct fetch *fetch)
{
    struct kt_error err = KT_ERROR_INIT;
    enum kt_status status = prepare(replica, fetch, COPY_PATH, &err);
    if (status == KT_OK) {
        kt_log(INFO, "replica", "copying", "leader=%s", fetch->action.addr);
        kt_mutex_unlock(&replica->mutex);
        status = call_copy(replica, fetch, &err);
        kt_mutex_lock(&replica->mutex);
        atomic_store_explicit(&replica->receiving, false, memory_order_relaxed);
    }
    if (status != KT_OK) {
        /* Not told as refused, which would have it asked for at once, perhaps for a disk that is
         * full: the machine asks again when the time of this one is over. */
        kt_log(WARN, "replica", "copy_failed", "leader=%s why=\"%s\"", fetch->action.addr,
               err.message);
    } else if (fetch->answer.status != 200) {
        take_refusal(replica, fetch);
    } else {
        take_copy(replica, fetch);
    }
    kt_copy_taker_free(&fetch->taker);
}

void kt_replica_follow(struct kt_replica *replica)
{
    struct fetch *fetch = kt_calloc(1, sizeof(*fetch));
    if (!fetch) {
        kt_log(ERROR, "replica", "out_of_memory", "what=fetch");
        replica->orders.follow = FOLLOW_NOTHING; /* asked for again when its time is over */
        return;
    }
    fetch->replica = replica;
    kt_buf_init(&fetch->body, 0);
    kt_http_answer_init(&fetch->answer);
    if (replica->orders.follow == FOLLOW_FETCH) {
        run_fetch(replica, fetch);
    } else {
        run_copy(replica, fetch);
    }
    if (fetch->batch) {
        kt_batch_unref(fetch->batch);
    }
    kt_fetch_head_done(&fetch->head);
    kt_http_answer_done(&fetch->answer);
    kt_buf_done(&fetch->body);
    kt_free(fetch->vector);
    kt_free(fetch);
}

/* SPDX-License-Identifier: MIT */
/* A follower's round: ask the leader for what comes after the own log, append it (fsynced), apply
 * what is committed. The next fetch is the acknowledgement. An answer counts only for the newest
 * fetch and the epoch that is still followed.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/access.h"
#include "replica/replica_impl.h"

#include <stdio.h>
#include <string.h>

#define RETRY_MS 200
/* One entry may be larger than what was asked for; its frame and the answer's head come with it. */
#define ANSWER_SLACK_BYTES (KT_REPLICA_ENTRY_BYTES_MAX + (INT64_C(1) << 20))
#define ANSWER_MAX_MS 300000
#define ENTRIES_PER_APPEND 4096

struct fetch {
    struct kt_fetch_request request;
    uint64_t order; /* orders.number when it was made */
    int64_t sent_mono_ms;
    char url[KT_ADDR_MAX + 64];
    struct kt_buf body;
    struct kt_http_answer answer;
    struct kt_arena *arena;
};

/* Mutex held. */
static void pause_round(struct kt_replica *replica)
{
    uint64_t order = replica->orders.number;
    int64_t deadline = kt_now_mono_ms() + RETRY_MS;
    while (!replica->log_stop && replica->orders.number == order &&
           kt_cond_wait(&replica->log_cond, &replica->mutex, deadline)) {
    }
}

static int64_t wait_ms_of(const struct kt_replica *replica)
{
    int64_t quarter_ttl = (int64_t)replica->core.options.ttl_s * 1000 / 4;
    int64_t half_lag = replica->options.lag_timeout_ms / 2;
    return quarter_ttl < half_lag ? quarter_ttl : half_lag;
}

/* After timeouts in a row less is asked for and more time is given, so that a slow disk or wire
 * gets on; a change of leader cancels the call anyway. */
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

/* Fills the request from core and store; the mutex is held and given up meanwhile. */
static enum kt_status prepare(struct kt_replica *replica, struct fetch *fetch, struct kt_error *err)
{
    struct kt_fetch_request *request = &fetch->request;
    memcpy(request->cluster, replica->core.cluster, sizeof(request->cluster));
    memcpy(request->node, replica->core.options.id, sizeof(request->node));
    memcpy(request->session, replica->session, sizeof(request->session));
    request->request = ++replica->fetch_number;
    request->took = replica->fetch_taken;
    request->epoch = replica->orders.epoch;
    request->after = replica->core.end_seq;
    request->commit = replica->core.commit_seq;
    request->wait_ms = wait_ms_of(replica);
    request->max_bytes = bytes_of(replica);
    fetch->order = replica->orders.number;
    fetch->sent_mono_ms = kt_now_mono_ms();
    snprintf(fetch->url, sizeof(fetch->url), "http://%s/replication/v1/fetch",
             replica->orders.leader_addr);
    kt_http_client_reset(replica->client);
    kt_mutex_unlock(&replica->mutex);

    enum kt_status status =
        kt_store_epochs(replica->store, &request->vector, &request->vector_count, err);
    if (status == KT_OK && request->after > 0) {
        const struct kt_epoch *at =
            kt_epochs_at(request->vector, request->vector_count, request->after);
        if (at) {
            request->after_id = *at;
        } else {
            status = kt_fail(err, KT_CORRUPT, "no epoch is known for entry %llu",
                             (unsigned long long)request->after);
        }
    }
    if (status == KT_OK) {
        kt_fetch_request_format(request, &fetch->body);
        status = kt_buf_status(&fetch->body);
    }
    kt_mutex_lock(&replica->mutex);
    return status;
}

/* An entry comes as a whole, however slow the wire: what bounds its answer is silence, and this. */
static bool take_data(void *ctx, struct kt_str data)
{
    struct fetch *fetch = ctx;
    kt_buf_append_str(&fetch->answer.body, data);
    return kt_buf_status(&fetch->answer.body) == KT_OK &&
           kt_now_mono_ms() < fetch->sent_mono_ms + ANSWER_MAX_MS;
}

static enum kt_status call(struct kt_replica *replica, struct fetch *fetch, struct kt_error *err)
{
    struct kt_http_call http;
    char auth[256] = "";
    memset(&http, 0, sizeof(http));
    http.method = "POST";
    http.url = fetch->url;
    http.body = kt_buf_str(&fetch->body);
    http.content_type = "application/json";
    http.timeout_ms = fetch->request.wait_ms + patience_ms(replica);
    http.idle_timeout_ms = http.timeout_ms;
    http.on_data = take_data;
    http.on_data_ctx = fetch;
    http.max_answer_bytes = (size_t)(replica->options.fetch_max_bytes + ANSWER_SLACK_BYTES);
    if (replica->options.access) {
        struct kt_str mac =
            kt_access_sign(replica->options.access, "POST", KT_STR("/replication/v1/fetch"),
                           KT_STR(""), http.body, fetch->arena);
        if (mac.len > 0) {
            snprintf(auth, sizeof(auth), "X-Kamaitachi-Auth: " KT_STR_FMT, KT_STR_ARG(mac));
            http.headers[0] = auth;
        }
    }
    return kt_http_client_call(replica->client, &http, &fetch->answer, err);
}

/* Collects frames that continue the log without a gap. */
static enum kt_status collect(struct kt_str *frames, uint64_t *next_seq, struct kt_entry *entries,
                              size_t *ret_count, struct kt_error *err)
{
    size_t count = 0;
    bool more = true;
    enum kt_status status = KT_OK;
    while (count < ENTRIES_PER_APPEND) {
        status = kt_fetch_frame_next(frames, &entries[count], &more, err);
        if (status != KT_OK || !more) {
            break;
        }
        if (entries[count].seq != *next_seq) {
            return kt_fail(err, KT_CORRUPT, "the leader sent entry %llu instead of %llu",
                           (unsigned long long)entries[count].seq, (unsigned long long)*next_seq);
        }
        (*next_seq)++;
        count++;
    }
    *ret_count = count;
    return status;
}

/* Appends and applies all frames; the mutex is not held. */
static enum kt_status take_frames(struct kt_replica *replica, const struct fetch *fetch,
                                  const struct kt_fetch_head *head, struct kt_str frames,
                                  struct kt_error *err)
{
    struct kt_entry *entries = kt_malloc(ENTRIES_PER_APPEND * sizeof(*entries));
    uint64_t next_seq = fetch->request.after + 1, commit = fetch->request.commit;
    size_t count = 0;
    enum kt_status status = KT_OK;
    if (!entries) {
        return kt_fail(err, KT_NO_MEMORY, "the entries of a fetch");
    }
    do {
        status = collect(&frames, &next_seq, entries, &count, err);
        /* The commit position goes up to what this answer has shown to be the leader's, never back.
         */
        uint64_t verified = next_seq - 1;
        uint64_t told = head->commit < verified ? head->commit : verified;
        commit = told > commit ? told : commit;
        if (status == KT_OK && count > 0) {
            status = kt_store_log_append(replica->store, entries, count, commit, err);
        }
        if (status == KT_OK) {
            kt_mutex_lock(&replica->mutex);
            if (count > 0) {
                (void)kt_core_persisted(&replica->core, entries[count - 1].seq,
                                        entries[count - 1].epoch);
            }
            replica->core.commit_seq = commit;
            replica->counters.fetched_entries += count;
            kt_mutex_unlock(&replica->mutex);
            status = kt_replica_apply_to(replica, commit, entries, count, NULL, err);
        }
    } while (status == KT_OK && count == ENTRIES_PER_APPEND);
    if (status == KT_OK && commit > fetch->request.commit && next_seq == fetch->request.after + 1) {
        kt_store_log_note_commit(replica->store, commit);
    }
    kt_free(entries);
    return status;
}

/* The answer's head, taken or dropped; mutex held on entry and return. */
static enum kt_status take_answer(struct kt_replica *replica, const struct fetch *fetch,
                                  struct kt_error *err)
{
    struct kt_fetch_head head;
    struct kt_str frames;
    enum kt_status status =
        kt_fetch_head_parse(kt_buf_str(&fetch->answer.body), &head, &frames, err);
    if (status != KT_OK) {
        return status;
    }
    if (replica->orders.number != fetch->order || !replica->orders.follow ||
        head.epoch != fetch->request.epoch || head.request != fetch->request.request ||
        replica->fetch_number != fetch->request.request) {
        return KT_OK; /* of another epoch, or not for the newest fetch: changes nothing */
    }
    if (head.differs) {
        replica->diverged = true;
        snprintf(replica->diverged_why, sizeof(replica->diverged_why),
                 "this node's log ends at entry %llu and agrees with the leader's only up to %llu: "
                 "keep its files aside and start it with an empty database",
                 (unsigned long long)fetch->request.after, (unsigned long long)head.common);
        replica->orders.follow = false;
        kt_replica_wake(replica);
        return KT_OK;
    }
    int64_t received_ms = kt_now_mono_ms();
    kt_clock_compare(&replica->leader_clock, replica->orders.leader_addr, head.now_wall_ms,
                     kt_now_wall_ms());
    kt_mutex_unlock(&replica->mutex);
    status = take_frames(replica, fetch, &head, frames, err);
    kt_mutex_lock(&replica->mutex);
    if (status == KT_OK) {
        replica->fetch_taken = fetch->request.request;
        replica->leader_commit = head.commit;
        replica->leader_wall_ms = head.now_wall_ms;
        /* The leader read its clock after this fetch left. */
        replica->leader_wall_mono_ms = fetch->sent_mono_ms;
        if (replica->core.commit_seq >= head.commit) {
            replica->was_ready = true;
            replica->held_wall_ms = head.now_wall_ms;
            atomic_store_explicit(&replica->whole_mono_ms, received_ms, memory_order_relaxed);
            if (!replica->was_up) {
                replica->was_up = true;
                kt_log(INFO, "replica", "caught_up", "revision=%llu leader=%s",
                       (unsigned long long)head.commit, replica->orders.leader_addr);
            }
        }
    }
    replica->answers_taken++;
    kt_cond_broadcast(&replica->wall_cond);
    return status;
}

/* Said once when it lasts, and once when it is over. Mutex held. */
static void note_failing(struct kt_replica *replica, const char *why)
{
    int64_t now_ms = kt_now_mono_ms();
    if (replica->failing_since_mono_ms == 0) {
        replica->failing_since_mono_ms = now_ms;
    }
    if (!replica->failing_said &&
        now_ms - replica->failing_since_mono_ms >= replica->options.lag_timeout_ms) {
        replica->failing_said = true;
        kt_log(WARN, "replica", "leader_unreachable", "leader=%s after=%llu why=\"%s\"",
               replica->orders.leader_addr, (unsigned long long)replica->core.end_seq, why);
    }
    pause_round(replica);
}

static void note_working(struct kt_replica *replica)
{
    if (replica->failing_said) {
        kt_log(INFO, "replica", "leader_reachable", "leader=%s failing_ms=%lld",
               replica->orders.leader_addr,
               (long long)(kt_now_mono_ms() - replica->failing_since_mono_ms));
    }
    replica->failing_since_mono_ms = 0;
    replica->failing_said = false;
}

/* What a leader answers other than 200 is a matter of time, and tried again. Mutex held. */
static void note_refusal(struct kt_replica *replica, const struct fetch *fetch)
{
    char why[64];
    snprintf(why, sizeof(why), "it answers %d", fetch->answer.status);
    note_failing(replica, why);
}

static void run_fetch(struct kt_replica *replica, struct fetch *fetch)
{
    struct kt_error err = KT_ERROR_INIT;
    enum kt_status status = prepare(replica, fetch, &err);
    if (status == KT_OK) {
        kt_mutex_unlock(&replica->mutex);
        status = call(replica, fetch, &err);
        kt_mutex_lock(&replica->mutex);
        replica->counters.fetches++;
        replica->counters.fetched_bytes +=
            fetch->answer.body.len_bytes + fetch->answer.head.len_bytes;
        if (status == KT_TIMEOUT) {
            replica->fetch_timeouts++;
        } else if (status == KT_OK) {
            replica->fetch_timeouts = 0;
        }
        if (status != KT_OK) {
            /* A change of orders ends a call on purpose. */
            if (replica->orders.number == fetch->order) {
                note_failing(replica, err.message);
            }
            return;
        }
        if (fetch->answer.status != 200) {
            note_refusal(replica, fetch);
            return;
        }
        note_working(replica);
        status = take_answer(replica, fetch, &err);
    }
    if (status != KT_OK) {
        kt_log(ERROR, "replica", "follow_failed", "after=%llu why=\"%s\"",
               (unsigned long long)fetch->request.after, err.message);
        pause_round(replica);
    }
}

void kt_replica_follow_round(struct kt_replica *replica)
{
    struct fetch *fetch = kt_calloc(1, sizeof(*fetch));
    struct kt_arena *arena = kt_arena_new(4096, 65536);
    if (!fetch || !arena) {
        kt_log(ERROR, "replica", "out_of_memory", "what=fetch");
        pause_round(replica);
    } else {
        fetch->arena = arena;
        kt_buf_init(&fetch->body, 0);
        kt_http_answer_init(&fetch->answer);
        run_fetch(replica, fetch);
        kt_http_answer_done(&fetch->answer);
        kt_buf_done(&fetch->body);
        kt_fetch_request_done(&fetch->request);
    }
    kt_arena_free(&arena);
    kt_free(fetch);
}

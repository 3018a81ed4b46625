/* SPDX-License-Identifier: MIT */
/* The leader's side of a fetch, on an HTTP worker: judge, wait for news, read the log, answer. */
#include "base/clock.h"
#include "base/mem.h"
#include "http/envelope.h"
#include "replica/replica_impl.h"

#include <stdio.h>
#include <string.h>

/* The body of one answer; entries larger than that still go out one at a time. */
#define SERVE_BYTES_MAX (INT64_C(8) << 20)

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
    kt_jw_kv_text(&jw, "status_msg", "this node does not lead that epoch");
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

/* Mutex held. False: the response holds the refusal. */
static bool judge(struct kt_replica *replica, const struct kt_fetch_request *fetch,
                  struct kt_http_response *response)
{
    struct kt_error err = KT_ERROR_INIT;
    const struct kt_core *core = &replica->core;
    if (strcmp(fetch->cluster, core->cluster) != 0) {
        (void)kt_fail_field(&err, KT_CONFLICT, "cluster", "this node belongs to cluster %s, not %s",
                            core->cluster[0] ? core->cluster : "(none)", fetch->cluster);
        refuse(response, &err);
        return false;
    }
    if (core->role != KT_CORE_LEADING || fetch->epoch != core->epoch || !core->started) {
        if (fetch->epoch <= core->fenced_epoch ||
            (core->role == KT_CORE_LEADING && fetch->epoch < core->epoch)) {
            refuse_released(response, fetch->epoch);
        } else {
            (void)kt_fail_field(&err, KT_UNAVAILABLE, "epoch",
                                "this node does not lead epoch %llu (yet)",
                                (unsigned long long)fetch->epoch);
            refuse(response, &err);
        }
        return false;
    }
    if (!kt_cluster_config_member(&core->kept, fetch->node)) {
        (void)kt_fail_field(&err, KT_NOT_MEMBER, "node", "node %s is not a member (yet)",
                            fetch->node);
        refuse(response, &err);
        return false;
    }
    return true;
}

/* Mutex held. */
static void note_peer(struct kt_replica *replica, const struct kt_fetch_request *fetch)
{
    size_t i = 0;
    while (i < replica->peer_count && strcmp(replica->peers[i].id, fetch->node) != 0) {
        i++;
    }
    if (i == KT_PEERS_MAX) {
        return;
    }
    if (i == replica->peer_count) {
        replica->peer_count++;
        memcpy(replica->peers[i].id, fetch->node, sizeof(replica->peers[i].id));
    }
    replica->peers[i].after = fetch->after;
    replica->peers[i].seen_mono_ms = kt_now_mono_ms();
}

/* Every stamp up to this one is at or below the commit position told with it. Mutex held. */
static int64_t told_wall_ms(struct kt_replica *replica)
{
    int64_t now_ms = kt_now_wall_ms();
    if (replica->in_flight_wall_ms) {
        return replica->in_flight_wall_ms - 1;
    }
    /* Later stamps must be greater than what is told as past here. */
    if (now_ms > replica->stamp_floor_ms) {
        replica->stamp_floor_ms = now_ms;
    }
    return replica->stamp_floor_ms - 1;
}

/* Followers learn of a win from etcd as fast as the winner does: who asks before the epoch-start is
 * applied waits for it instead of coming again. Mutex held. */
static void wait_for_start(struct kt_replica *replica, const struct kt_fetch_request *fetch,
                           int64_t deadline_ms)
{
    const struct kt_core *core = &replica->core;
    while (!replica->log_stop && core->role == KT_CORE_LEADING && !core->started &&
           core->epoch == fetch->epoch &&
           kt_cond_wait(&replica->fetch_cond, &replica->mutex, deadline_ms)) {
    }
}

/* Waits for an entry or a commit position that the follower lacks. Mutex held. */
static void wait_for_news(struct kt_replica *replica, const struct kt_fetch_request *fetch,
                          int64_t deadline_ms)
{
    uint64_t order = replica->orders.number;
    while (!replica->log_stop && replica->orders.number == order &&
           replica->core.end_seq <= fetch->after && replica->core.commit_seq <= fetch->commit &&
           kt_cond_wait(&replica->fetch_cond, &replica->mutex, deadline_ms)) {
    }
}

static enum kt_status compare_logs(struct kt_replica *replica, const struct kt_fetch_request *fetch,
                                   uint64_t end_seq, struct kt_fetch_head *head,
                                   struct kt_epoch **ret_vector, size_t *ret_count,
                                   struct kt_error *err)
{
    struct kt_epoch *vector = NULL;
    size_t count = 0;
    enum kt_status status = kt_store_epochs(replica->store, &vector, &count, err);
    if (status != KT_OK) {
        return status;
    }
    const struct kt_epoch *at = kt_epochs_at(vector, count, fetch->after);
    bool same =
        fetch->after == 0 || (fetch->after <= end_seq && at && at->epoch == fetch->after_id.epoch &&
                              strcmp(at->epoch_id, fetch->after_id.epoch_id) == 0);
    if (!same) {
        head->differs = true;
        head->common = kt_epochs_common(vector, count, end_seq, fetch->vector, fetch->vector_count,
                                        fetch->after);
    }
    *ret_vector = vector;
    *ret_count = count;
    return KT_OK;
}

static enum kt_status answer(struct kt_replica *replica, const struct kt_fetch_request *fetch,
                             struct kt_fetch_head *head, uint64_t end_seq,
                             struct kt_http_response *response, struct kt_error *err)
{
    struct kt_epoch *vector = NULL;
    size_t vector_count = 0;
    struct kt_entries entries;
    memset(&entries, 0, sizeof(entries));
    enum kt_status status =
        compare_logs(replica, fetch, end_seq, head, &vector, &vector_count, err);
    if (status == KT_OK && !head->differs && fetch->after < end_seq) {
        int64_t bytes = fetch->max_bytes < SERVE_BYTES_MAX ? fetch->max_bytes : SERVE_BYTES_MAX;
        status =
            kt_store_log_read(replica->store, fetch->after, end_seq, (size_t)bytes, &entries, err);
    }
    if (status == KT_OK) {
        response->content_type = "application/octet-stream";
        /* Bounded by what was asked for and by KT_REPLICA_ENTRY_BYTES_MAX: a bound on answers to
         * clients that is smaller than an entry would stop a follower for ever, and one on what
         * they have all together for as long as they like. */
        response->body.max_bytes = 0;
        response->body.share = NULL;
        kt_fetch_head_format(head, vector, vector_count, &response->body);
        for (size_t i = 0; i < entries.count; i++) {
            kt_fetch_frame_append(&entries.items[i], &response->body);
        }
        status = kt_buf_status(&response->body);
        if (status != KT_OK) {
            status = kt_fail(err, status, "no memory for the answer to a fetch");
        }
    }
    kt_entries_done(&entries);
    kt_free(vector);
    return status;
}

void kt_replica_serve_fetch(struct kt_replica *replica, struct kt_http_request *request,
                            struct kt_http_response *response)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_fetch_request fetch;
    struct kt_fetch_head head;
    enum kt_status status = kt_fetch_request_parse(request->body, &fetch, &err);
    if (status != KT_OK) {
        refuse(response, &err);
        return;
    }
    memset(&head, 0, sizeof(head));
    int64_t deadline_ms = kt_now_mono_ms() + fetch.wait_ms;
    kt_mutex_lock(&replica->mutex);
    wait_for_start(replica, &fetch, deadline_ms);
    bool good = judge(replica, &fetch, response);
    if (good) {
        note_peer(replica, &fetch);
        wait_for_news(replica, &fetch, deadline_ms);
        good = judge(replica, &fetch, response); /* it may have stepped down meanwhile */
    }
    uint64_t end_seq = replica->core.end_seq;
    head.epoch = replica->core.epoch;
    head.request = fetch.request;
    head.commit = replica->core.commit_seq;
    head.now_wall_ms = told_wall_ms(replica);
    kt_mutex_unlock(&replica->mutex);
    if (good) {
        status = answer(replica, &fetch, &head, end_seq, response, &err);
        if (status != KT_OK) {
            refuse(response, &err);
        }
        kt_mutex_lock(&replica->mutex);
        replica->counters.served_fetches++;
        replica->counters.served_bytes += response->body.len_bytes;
        kt_mutex_unlock(&replica->mutex);
    }
    kt_fetch_request_done(&fetch);
}

/* SPDX-License-Identifier: MIT */
/* The handlers of questions, imports and figures; writes.c has save and delete. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/envelope.h"
#include "node/import.h"
#include "node/node_impl.h"
#include "query/query.h"

#include <string.h>

/* --- questions --- */

static enum kt_status hold(void *ctx, uint64_t seq, int64_t wall_ms, int64_t deadline_mono_ms,
                           struct kt_error *err)
{
    struct kt_node *node = ctx;
    return kt_replica_hold(node->replica, seq, wall_ms, deadline_mono_ms, err);
}

static void fill_env(struct kt_node *node, const struct kt_http_request *request,
                     struct kt_query_env *env)
{
    memset(env, 0, sizeof(*env));
    env->store = node->store;
    env->cache = node->cache;
    env->limits.max_subjects = node->config->limits.subjects;
    env->limits.max_values = node->config->limits.values;
    env->limits.max_rows = KT_QUERY_ROWS_MAX;
    env->limits.json_depth = KT_JSON_DEPTH_DEFAULT;
    env->now_wall_ms = kt_now_wall_ms();
    env->deadline_mono_ms = request->deadline_mono_ms;
    env->hold = hold;
    env->hold_ctx = node;
}

typedef enum kt_status (*query_fn)(const struct kt_query_env *env, struct kt_str body,
                                   struct kt_http_response *response, struct kt_error *err);

/* POST carries the fields in a JSON body, GET the same fields in the query string. */
static enum kt_status read_question(const struct kt_http_request *request, struct kt_buf *params,
                                    struct kt_str *ret_body, struct kt_error *err)
{
    if (request->method == KT_HTTP_POST) {
        *ret_body = request->body;
        return kt_http_query_none(request, err);
    }
    enum kt_status status = kt_query_body_of_params(request, params, err);
    *ret_body = kt_buf_str(params);
    return status;
}

/* As often as one who waits would try: each time sees the deletes that stood in its way. */
#define ASK_AGAIN_MAX 5

static enum kt_status ask_whole(struct kt_node *node, const struct kt_http_request *request,
                                struct kt_str body, query_fn query,
                                struct kt_http_response *response, struct kt_error *err)
{
    struct kt_query_env env;
    size_t headers = response->header_count, len_bytes = response->body.len_bytes;
    enum kt_status status = KT_OK;
    for (int i = 0; i < ASK_AGAIN_MAX; i++) {
        bool erased = false;
        fill_env(node, request, &env);
        env.erased = &erased;
        response->header_count = headers;
        response->body.len_bytes = len_bytes;
        status = query(&env, body, response, err);
        if (!erased) {
            break;
        }
    }
    return status;
}

static void ask(struct kt_node *node, struct kt_http_request *request,
                struct kt_http_response *response, query_fn query)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf params;
    struct kt_str body = {NULL, 0};
    kt_buf_init(&params, 0);
    enum kt_status status = kt_node_check_consistency(node, request, &err);
    if (status == KT_OK) {
        status = read_question(request, &params, &body, &err);
    }
    if (status == KT_OK) {
        status = ask_whole(node, request, body, query, response, &err);
    }
    if (status != KT_OK) {
        kt_node_fail(node, response, false, &err);
    } else if (request->method != KT_HTTP_POST) {
        kt_http_response_header(response, "Cache-Control", KT_STR("no-cache"));
    }
    kt_buf_done(&params);
}

void kt_node_snapshot(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    ask(ctx, request, response, kt_query_snapshot);
}

void kt_node_period(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    ask(ctx, request, response, kt_query_period);
}

void kt_node_selection_snapshot(void *ctx, struct kt_http_request *request,
                                struct kt_http_response *response)
{
    ask(ctx, request, response, kt_query_selection_snapshot);
}

void kt_node_selection_period(void *ctx, struct kt_http_request *request,
                              struct kt_http_response *response)
{
    ask(ctx, request, response, kt_query_selection_period);
}

void kt_node_batch(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    ask(ctx, request, response, kt_query_batch);
}

void kt_node_subjects(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    ask(ctx, request, response, kt_query_subjects);
}

void kt_node_topics(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    ask(ctx, request, response, kt_query_topics);
}

void kt_node_indicators(void *ctx, struct kt_http_request *request,
                        struct kt_http_response *response)
{
    ask(ctx, request, response, kt_query_indicators);
}

/* --- import --- */

struct import_run {
    struct kt_node *node;
    struct kt_str key;        /* of the request; "" = none */
    int64_t timeout_ms;       /* of one batch */
    int64_t deadline_mono_ms; /* of the whole, when the client gave one */
};

static enum kt_status submit_batch(void *ctx, uint64_t batch, struct kt_str body,
                                   uint64_t *ret_revision, struct kt_error *err)
{
    struct import_run *run = ctx;
    struct kt_submit_result result;
    char dest[KT_REQUEST_BATCH_KEY_MAX + 1];
    struct kt_str key = run->key.len > 0 ? kt_request_batch_key(run->key, batch, dest) : run->key;
    int64_t now_ms = kt_now_mono_ms(), deadline_ms = now_ms + run->timeout_ms;
    if (now_ms >= run->deadline_mono_ms) {
        return kt_fail(err, KT_TIMEOUT, "the import took longer than X-Kamaitachi-Timeout-Ms");
    }
    enum kt_status status = kt_node_submit(
        run->node, key, body,
        deadline_ms < run->deadline_mono_ms ? deadline_ms : run->deadline_mono_ms, &result, err);
    if (status == KT_OK) {
        *ret_revision = result.revision;
    }
    return status;
}

/* After its first batch an import that fails says what is committed: 504 when the cluster failed,
 * the request's own fault otherwise. */
static void write_import_failure(struct kt_node *node, struct kt_http_response *response,
                                 const struct kt_import_report *report, struct kt_error *err)
{
    if (report->batches == 0) {
        kt_node_fail(node, response, true, err);
        return;
    }
    if (kt_status_http(err->status) >= 500 || err->status == KT_NOT_LEADER) {
        err->status = KT_OUTCOME_UNKNOWN;
    }
    (void)kt_wrap(err, "%llu records up to revision %llu are committed, then",
                  (unsigned long long)report->records, (unsigned long long)report->revision);
    kt_http_response_header(response, "X-Kamaitachi-Outcome", KT_STR("unknown"));
    kt_envelope_error(response, err);
}

static void run_import(struct kt_node *node, struct kt_http_request *request,
                       const struct kt_import_options *options, struct kt_import_report *report,
                       struct kt_http_response *response)
{
    struct kt_error err = KT_ERROR_INIT;
    struct import_run run = {node, kt_node_request_key(request),
                             node->config->server.request_timeout_ms,
                             request->deadline_given ? request->deadline_mono_ms : INT64_MAX};
    int64_t begun_mono_ms = kt_now_mono_ms();
    const struct kt_node_config *config = node->config;
    struct kt_import_limits limits = {.line_max_bytes = config->limits.import_line_bytes,
                                      .batch_records = config->limits.import_batch_records,
                                      .batch_bytes = config->limits.import_batch_bytes,
                                      .atomic_bytes = config->limits.import_atomic_bytes,
                                      .json_depth = KT_JSON_DEPTH_DEFAULT,
                                      .spool_beside = config->store.db,
                                      .spool_bytes = config->limits.import_spool_bytes,
                                      .step_ms = config->server.request_timeout_ms,
                                      .gzip_ratio = config->limits.gzip_ratio,
                                      .deadline_mono_ms = run.deadline_mono_ms,
                                      .held = request->held,
                                      .parsed = request->parsed};
    kt_log(INFO, "import", "begun", "request=%s key=\"" KT_STR_FMT "\"", request->request_id,
           KT_STR_ARG(run.key));
    enum kt_status status =
        kt_import_run(options, &limits, request->pull, submit_batch, &run, report, &err);
    kt_log(INFO, "import", "ended",
           "request=%s status=%s revision=%llu batches=%llu records=%llu rejected=%llu ms=%lld",
           request->request_id, kt_status_code(status), (unsigned long long)report->revision,
           (unsigned long long)report->batches, (unsigned long long)report->records,
           (unsigned long long)report->rejected, (long long)(kt_now_mono_ms() - begun_mono_ms));
    if (status != KT_OK) {
        write_import_failure(node, response, report, &err);
        return;
    }
    struct kt_jw jw;
    kt_envelope_begin(response, &jw);
    kt_import_report_write(report, &jw);
    kt_envelope_end(&jw);
}

void kt_node_import(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_import_options *options = NULL;
    struct kt_import_report *report = NULL;
    /* Counted before the flag is read: a stop sees the import or the import sees the stop. */
    atomic_fetch_add(&node->imports_running, 1);
    enum kt_status status = kt_node_admit_write(node, request, &err);
    if (status == KT_OK) {
        status = kt_import_options_parse(request, &options, &err);
    }
    if (status == KT_OK) {
        report = kt_calloc(1, sizeof(*report));
        status = report ? KT_OK : kt_fail(&err, KT_UNAVAILABLE, "out of memory");
    }
    if (status == KT_OK) {
        run_import(node, request, options, report, response);
    } else {
        kt_node_fail(node, response, true, &err);
    }
    kt_free(report);
    kt_mutex_lock(&node->keeper_mutex);
    atomic_fetch_sub(&node->imports_running, 1);
    kt_cond_signal(&node->import_cond);
    kt_mutex_unlock(&node->keeper_mutex);
}

/* --- stats --- */

static double hit_rate(uint64_t hits, uint64_t misses)
{
    return hits + misses ? (double)hits * 100.0 / (double)(hits + misses) : 0.0;
}

static void write_cache_stats(struct kt_node *node, struct kt_jw *jw)
{
    struct kt_series_cache_stats cache;
    kt_series_cache_stats(node->cache, &cache);
    kt_jw_key_text(jw, "cache");
    kt_jw_object(jw);
    kt_jw_kv_u64(jw, "entries", cache.entries);
    kt_jw_kv_u64(jw, "bytes", cache.bytes);
    kt_jw_kv_u64(jw, "max", cache.max_bytes);
    kt_jw_kv_u64(jw, "hits", cache.hits);
    kt_jw_kv_u64(jw, "misses", cache.misses);
    kt_jw_kv_f64(jw, "hit_rate", hit_rate(cache.hits, cache.misses));
    kt_jw_kv_u64(jw, "evictions", cache.evictions);
    kt_jw_kv_u64(jw, "loads", cache.loads);
    kt_jw_object_end(jw);
}

static void write_replication_stats(const struct kt_replica_status *status, struct kt_jw *jw)
{
    struct {
        const char *name;
        uint64_t value;
    } numbers[] = {{"log_first", status->log_first_seq},
                   {"log_end", status->end_seq},
                   {"commit", status->commit_seq},
                   {"fetches", status->fetches},
                   {"fetched_bytes", status->fetched_bytes},
                   {"fetched_entries", status->fetched_entries},
                   {"served_fetches", status->served_fetches},
                   {"served_bytes", status->served_bytes},
                   {"served_copies", status->served_copies},
                   {"batches", status->batches},
                   {"batched_entries", status->batched_entries},
                   {"queue_entries", status->queue_entries},
                   {"queue_bytes", status->queue_bytes},
                   {"elections_won", status->elections_won},
                   {"step_downs", status->step_downs},
                   {"in_sync_count", status->in_sync_count},
                   {"min_in_sync", status->min_in_sync}};
    kt_jw_key_text(jw, "replication");
    kt_jw_object(jw);
    for (size_t i = 0; i < KT_ARRAY_LEN(numbers); i++) {
        kt_jw_kv_u64(jw, numbers[i].name, numbers[i].value);
    }
    kt_jw_kv_bool(jw, "in_sync", status->in_sync);
    kt_jw_key_text(jw, "peers");
    kt_jw_array(jw);
    for (size_t i = 0; i < status->peer_count; i++) {
        kt_jw_object(jw);
        kt_jw_kv_text(jw, "node", status->peers[i].id);
        kt_jw_kv_u64(jw, "acknowledged", status->peers[i].after);
        kt_jw_kv_i64(jw, "lag_ms", status->peers[i].lag_ms);
        kt_jw_kv_bool(jw, "in_sync", status->peers[i].in_sync);
        kt_jw_object_end(jw);
    }
    kt_jw_array_end(jw);
    kt_jw_object_end(jw);
}

static void write_http_stats(struct kt_node *node, struct kt_jw *jw)
{
    struct kt_http_server_stats http = {0};
    const struct kt_http_server *server = atomic_load(&node->server);
    if (server) {
        kt_http_server_stats(server, &http);
    }
    kt_jw_key_text(jw, "http");
    kt_jw_object(jw);
    kt_jw_kv_u64(jw, "requests", http.requests);
    kt_jw_kv_u64(jw, "errors", http.errors);
    kt_jw_kv_u64(jw, "connections", http.connections);
    kt_jw_kv_u64(jw, "active", http.active);
    int waits = atomic_load_explicit(&node->revision_waits, memory_order_relaxed);
    kt_jw_kv_u64(jw, "waiting_for_revision", (uint64_t)waits);
    kt_jw_object_end(jw);
}

void kt_node_stats(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_replica_status *status = kt_malloc(sizeof(*status));
    (void)request;
    if (!status) {
        (void)kt_fail(&err, KT_NO_MEMORY, "out of memory");
        kt_node_fail(node, response, false, &err);
        return;
    }
    kt_replica_status(node->replica, status);
    struct kt_catalogue *view = kt_store_view(node->store);
    struct kt_jw jw;
    kt_envelope_begin(response, &jw);
    kt_jw_object(&jw);
    kt_jw_kv_u64(&jw, "total_records", kt_catalogue_record_count(view));
    kt_jw_kv_u64(&jw, "stock_count", kt_catalogue_subject_count(view));
    kt_jw_kv_u64(&jw, "subjects", kt_catalogue_subject_count(view));
    kt_jw_kv_u64(&jw, "topics", kt_catalogue_topic_count(view));
    kt_jw_kv_u64(&jw, "indicators", kt_catalogue_indicator_count(view));
    kt_jw_kv_u64(&jw, "revision", kt_catalogue_revision(view));
    kt_jw_kv_u64(&jw, "resident_bytes", kt_process_resident_bytes());
    write_cache_stats(node, &jw);
    write_replication_stats(status, &jw);
    write_http_stats(node, &jw);
    kt_jw_object_end(&jw);
    kt_envelope_end(&jw);
    kt_catalogue_unref(&view);
    kt_free(status);
}

void kt_node_fetch(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    kt_replica_serve_fetch(node->replica, request, response);
}

void kt_node_copy(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    kt_replica_serve_copy(node->replica, request, response);
}

void kt_node_campaign(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    kt_replica_serve_campaign(node->replica, request, response);
}

/* SPDX-License-Identifier: MIT */
/* GET /metrics: what a node counts, for Prometheus (text format 0.0.4). */
#include "base/fs.h"
#include "base/mem.h"
#include "node/node_impl.h"

#include <inttypes.h>

enum kind { COUNTER, GAUGE };

struct metric {
    const char *name; /* a counter's ends with _total */
    enum kind kind;
    const char *help;
    int64_t value;
};

static void write_head(struct kt_buf *out, const char *name, enum kind kind, const char *help)
{
    kt_buf_printf(out, "# HELP kamaitachi_node_%s %s\n# TYPE kamaitachi_node_%s %s\n", name, help,
                  name, kind == COUNTER ? "counter" : "gauge");
}

static void write_metrics(struct kt_buf *out, const struct metric *metrics, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        write_head(out, metrics[i].name, metrics[i].kind, metrics[i].help);
        kt_buf_printf(out, "kamaitachi_node_%s %" PRId64 "\n", metrics[i].name, metrics[i].value);
    }
}

static void write_replication(struct kt_buf *out, const struct kt_replica_status *s)
{
    const struct metric metrics[] = {
        {"ready", GAUGE, "Fit for traffic, as /health says.", s->ready},
        {"is_leader", GAUGE, "Leads and takes writes.", s->brief.is_leader},
        {"epoch", GAUGE, "The newest epoch known.", (int64_t)s->brief.epoch},
        {"revision", GAUGE, "Applied.", (int64_t)s->brief.revision},
        {"lag_ms", GAUGE, "Since it last held all that its leader had.", s->brief.lag_ms},
        {"in_sync", GAUGE, "Writes wait for this node.", s->in_sync},
        {"in_sync_count", GAUGE, "Nodes in sync.", (int64_t)s->in_sync_count},
        {"min_in_sync", GAUGE, "Nodes that must be in sync for a write.", s->min_in_sync},
        {"short_of_members", GAUGE, "Leads, and may refuse writes for want of members.",
         s->short_of_members},
        {"log_first", GAUGE, "Oldest entry of the log.", (int64_t)s->log_first_seq},
        {"log_end", GAUGE, "Newest entry of the log.", (int64_t)s->end_seq},
        {"commit", GAUGE, "Newest entry known to be committed.", (int64_t)s->commit_seq},
        {"elections_won_total", COUNTER, "Epochs that this process led.",
         (int64_t)s->elections_won},
        {"step_downs_total", COUNTER, "Epochs that it ended.", (int64_t)s->step_downs},
        {"batches_total", COUNTER, "Group commits.", (int64_t)s->batches},
        {"batched_entries_total", COUNTER, "Entries in them.", (int64_t)s->batched_entries},
        {"queue_entries", GAUGE, "Writes that wait.", (int64_t)s->queue_entries},
        {"queue_bytes", GAUGE, "Their size.", (int64_t)s->queue_bytes},
        {"fetches_total", COUNTER, "Fetches as a follower.", (int64_t)s->fetches},
        {"fetched_bytes_total", COUNTER, "Bytes that they brought.", (int64_t)s->fetched_bytes},
        {"fetched_entries_total", COUNTER, "Entries that they brought.",
         (int64_t)s->fetched_entries},
        {"served_fetches_total", COUNTER, "Fetches answered.", (int64_t)s->served_fetches},
        {"served_bytes_total", COUNTER, "Bytes in the answers.", (int64_t)s->served_bytes},
        {"served_copies_total", COUNTER, "Full copies given.", (int64_t)s->served_copies}};
    write_metrics(out, metrics, KT_ARRAY_LEN(metrics));
}

enum peer_value { PEER_ACKNOWLEDGED, PEER_LAG_MS, PEER_IN_SYNC, PEER_CLOCK_SKEW_MS };

static int64_t peer_value(const struct kt_replica_status *s, size_t i, enum peer_value which)
{
    switch (which) {
    case PEER_ACKNOWLEDGED:
        return (int64_t)s->peers[i].after;
    case PEER_LAG_MS:
        return s->peers[i].lag_ms;
    case PEER_IN_SYNC:
        return s->peers[i].in_sync;
    case PEER_CLOCK_SKEW_MS:
        break;
    }
    return s->peers[i].clock_skew_ms;
}

/* Ids are hex digits: nothing in them needs escaping. */
static void write_peers(struct kt_buf *out, const struct kt_replica_status *s)
{
    static const struct {
        enum peer_value which;
        const char *name, *help;
    } metrics[] = {
        {PEER_ACKNOWLEDGED, "peer_acknowledged", "Newest entry that a follower has."},
        {PEER_LAG_MS, "peer_lag_ms", "Since a follower last had everything."},
        {PEER_IN_SYNC, "peer_in_sync", "Writes wait for this follower."},
        {PEER_CLOCK_SKEW_MS, "peer_clock_skew_ms", "A follower's clock less this node's."}};
    for (size_t m = 0; m < KT_ARRAY_LEN(metrics); m++) {
        write_head(out, metrics[m].name, GAUGE, metrics[m].help);
        for (size_t i = 0; i < s->peer_count; i++) {
            if (metrics[m].which != PEER_CLOCK_SKEW_MS || s->peers[i].has_clock) {
                kt_buf_printf(out, "kamaitachi_node_%s{node=\"%s\"} %" PRId64 "\n", metrics[m].name,
                              s->peers[i].id, peer_value(s, i, metrics[m].which));
            }
        }
    }
}

static void write_data(struct kt_node *node, struct kt_buf *out)
{
    struct kt_catalogue *view = kt_store_view(node->store);
    struct kt_series_cache_stats cache;
    struct kt_http_server_stats http = {0};
    const struct kt_http_server *server = atomic_load(&node->server);
    kt_series_cache_stats(node->cache, &cache);
    if (server) {
        kt_http_server_stats(server, &http);
    }
    const struct metric metrics[] = {
        {"requests_total", COUNTER, "HTTP requests.", (int64_t)http.requests},
        {"request_errors_total", COUNTER, "Answers of status 500 and above.", (int64_t)http.errors},
        {"connections", GAUGE, "Open connections.", (int64_t)http.connections},
        {"active_requests", GAUGE, "Requests under way.", (int64_t)http.active},
        {"records", GAUGE, "Records.", (int64_t)kt_catalogue_record_count(view)},
        {"subjects", GAUGE, "Subjects.", (int64_t)kt_catalogue_subject_count(view)},
        {"cache_entries", GAUGE, "Subjects in the series cache.", (int64_t)cache.entries},
        {"cache_bytes", GAUGE, "Memory of the series cache.", (int64_t)cache.bytes},
        {"cache_hits_total", COUNTER, "Subjects found in it.", (int64_t)cache.hits},
        {"cache_misses_total", COUNTER, "Subjects not found in it.", (int64_t)cache.misses},
        {"cache_evictions_total", COUNTER, "Subjects that it dropped.", (int64_t)cache.evictions},
        {"resident_bytes", GAUGE, "Memory of the process.", (int64_t)kt_process_resident_bytes()}};
    write_metrics(out, metrics, KT_ARRAY_LEN(metrics));
    kt_catalogue_unref(&view);
}

void kt_node_metrics(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    (void)request;
    struct kt_replica_status *status = kt_node_read_status(node, response);
    if (!status) {
        return;
    }
    response->untagged = true;
    response->content_type = "text/plain; version=0.0.4; charset=utf-8";
    write_replication(&response->body, status);
    write_peers(&response->body, status);
    write_data(node, &response->body);
    kt_free(status);
}

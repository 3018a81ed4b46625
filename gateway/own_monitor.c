/* SPDX-License-Identifier: MIT */
/* own_monitor.c - the loops' counters, for people and for Prometheus. */
#include <uv.h>

#include "gateway/own_monitor.h"

#include "base/clock.h"
#include "base/fs.h"
#include "gateway/own_counters.h"
#include "http/envelope.h"

#include <string.h>

void kt_own_sum(const struct kt_own *own, struct kt_own_sums *ret_sums)
{
    struct kt_own_sums sums = {0};

    for (size_t i = 0; i < own->options.loop_count; i++) {
        struct kt_loop_counters *counters = &own->options.loops[i]->counters;
        uint64_t longest_ms =
            atomic_load_explicit(&counters->wait_longest_ms, memory_order_relaxed);

#define ADD(name, sinks, help)                                                                     \
    sums.name += atomic_load_explicit(&counters->name, memory_order_relaxed);
        KT_OWN_COUNTERS(ADD)
#undef ADD
        if (longest_ms > sums.wait_longest_ms) {
            sums.wait_longest_ms = longest_ms;
        }
    }
    *ret_sums = sums;
}

static void write_waiting(struct kt_jw *jw, const struct kt_own_sums *sums)
{
    kt_jw_key_text(jw, "waiting_for_leader");
    kt_jw_object(jw);
    kt_jw_kv_u64(jw, "now", sums->waiting);
    kt_jw_kv_u64(jw, "longest_ms", sums->wait_longest_ms);
    kt_jw_kv_u64(jw, "served", sums->waits_served);
    kt_jw_kv_u64(jw, "failed", sums->waits_failed);
    kt_jw_kv_u64(jw, "refused", sums->waits_refused);
    kt_jw_kv_u64(jw, "left", sums->waits_left);
    kt_jw_object_end(jw);
}

static void write_repeats(struct kt_jw *jw, const struct kt_own_sums *sums)
{
    kt_jw_key_text(jw, "repeats");
    kt_jw_object(jw);
    kt_jw_kv_u64(jw, "reads", sums->retries);
    kt_jw_kv_u64(jw, "budget_empty", sums->budget_empty);
    kt_jw_kv_u64(jw, "stale", sums->stale);
    kt_jw_kv_u64(jw, "rerouted", sums->rerouted);
    kt_jw_kv_u64(jw, "keys_added", sums->keys_added);
    kt_jw_kv_u64(jw, "keys_refused", sums->keys_refused);
    kt_jw_kv_u64(jw, "writes", sums->repeats);
    kt_jw_object_end(jw);
}

static void write_node(struct kt_jw *jw, const struct kt_gw_table *table, size_t index)
{
    struct kt_gw_node *node = table->nodes[index];
    struct kt_node_facts facts;

    kt_gw_node_facts(node, &facts);
    kt_jw_object(jw);
    kt_jw_kv_text(jw, "node", node->id);
    kt_jw_kv_text(jw, "address", node->addr);
    kt_jw_kv_bool(jw, "leader", table->leader == (int)index);
    kt_jw_kv_bool(jw, "up", kt_gw_node_is_up(node));
    kt_jw_kv_bool(jw, "refused", kt_gw_node_is_refused(node));
    kt_jw_kv_text(jw, "why", facts.why_down);
    kt_jw_kv_u64(jw, "requests", atomic_load_explicit(&node->requests, memory_order_relaxed));
    kt_jw_kv_u64(jw, "failures", atomic_load_explicit(&node->failures, memory_order_relaxed));
    kt_jw_object_end(jw);
}

void kt_own_monitor(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    struct kt_own *own = ctx;
    struct kt_gw_table *table = kt_nodes_current(own->options.shared->nodes);
    struct kt_own_sums sums;
    struct kt_jw jw;

    (void)request;
    response->untagged = true;
    kt_own_sum(own, &sums);
    kt_envelope_begin(response, &jw);
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "node", own->options.node_id);
    kt_jw_kv_text(&jw, "address", own->options.addr);
    kt_jw_kv_text(&jw, "leader",
                  table && table->view->leader.present ? table->view->leader.addr : "");
    kt_jw_kv_u64(&jw, "connections", sums.open_now);
    write_waiting(&jw, &sums);
    write_repeats(&jw, &sums);
    kt_jw_key_text(&jw, "nodes");
    kt_jw_array(&jw);
    for (size_t i = 0; table && i < table->count; i++) {
        write_node(&jw, table, i);
    }
    kt_jw_array_end(&jw);
    kt_jw_object_end(&jw);
    kt_envelope_end(&jw);
    kt_gw_table_unref(&table);
}

/* --- Prometheus --- */

static void metric(struct kt_buf *out, const char *name, bool sinks, const char *help,
                   uint64_t value)
{
    const char *suffix = sinks ? "" : "_total";

    kt_buf_printf(out,
                  "# HELP kamaitachi_gateway_%s%s %s\n# TYPE kamaitachi_gateway_%s%s %s\n"
                  "kamaitachi_gateway_%s%s %llu\n",
                  name, suffix, help, name, suffix, sinks ? "gauge" : "counter", name, suffix,
                  (unsigned long long)value);
}

/* One that is kept although it is not registered any more may be so again, as another object. */
static bool is_there_twice(const struct kt_gw_table *table, size_t at)
{
    const struct kt_gw_node *node = table->nodes[at];

    for (size_t i = 0; i < at; i++) {
        if (strcmp(table->nodes[i]->id, node->id) == 0 &&
            strcmp(table->nodes[i]->addr, node->addr) == 0) {
            return true;
        }
    }
    return false;
}

static void node_metric(struct kt_buf *out, const struct kt_gw_table *table, const char *name,
                        bool sinks, const char *help, uint64_t (*value_of)(struct kt_gw_node *))
{
    const char *suffix = sinks ? "" : "_total";

    kt_buf_printf(out,
                  "# HELP kamaitachi_gateway_node_%s%s %s\n"
                  "# TYPE kamaitachi_gateway_node_%s%s %s\n",
                  name, suffix, help, name, suffix, sinks ? "gauge" : "counter");
    for (size_t i = 0; table && i < table->count; i++) {
        if (is_there_twice(table, i)) {
            continue;
        }
        /* Ids are hex digits and addresses were parsed: nothing in them needs escaping. */
        kt_buf_printf(out, "kamaitachi_gateway_node_%s%s{node=\"%s\",address=\"%s\"} %llu\n", name,
                      suffix, table->nodes[i]->id, table->nodes[i]->addr,
                      (unsigned long long)value_of(table->nodes[i]));
    }
}

static uint64_t is_up(struct kt_gw_node *node)
{
    return kt_gw_node_is_up(node) && !kt_gw_node_is_refused(node);
}

static uint64_t requests_of(struct kt_gw_node *node)
{
    return atomic_load_explicit(&node->requests, memory_order_relaxed);
}

static uint64_t failures_of(struct kt_gw_node *node)
{
    return atomic_load_explicit(&node->failures, memory_order_relaxed);
}

void kt_own_metrics(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    struct kt_own *own = ctx;
    struct kt_gw_table *table = kt_nodes_current(own->options.shared->nodes);
    struct kt_buf *out = &response->body;
    struct kt_own_sums sums;

    (void)request;
    response->untagged = true;
    response->content_type = "text/plain; version=0.0.4; charset=utf-8";
    kt_own_sum(own, &sums);
#define WRITE(name, sinks, help) metric(out, #name, sinks, help, sums.name);
    KT_OWN_COUNTERS(WRITE)
#undef WRITE
    metric(out, "wait_longest_ms", true, "The longest that a request has waited for a leader.",
           sums.wait_longest_ms);
    metric(out, "uptime_ms", true, "Since the start.",
           (uint64_t)(kt_now_mono_ms() - own->started_ms));
    metric(out, "resident_bytes", true, "Memory.", kt_process_resident_bytes());
    metric(out, "has_leader", true, "Is a leader known?", table && table->view->leader.present);
    node_metric(out, table, "up", true, "May it be given traffic?", is_up);
    node_metric(out, table, "requests", false, "Requests sent to it.", requests_of);
    node_metric(out, table, "failures", false, "Requests that failed there.", failures_of);
    kt_gw_table_unref(&table);
}

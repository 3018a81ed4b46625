/* SPDX-License-Identifier: MIT */
/* report_json.c - the report for programs: JSON with everything, CSV with a line a scenario. */
#include "bench/report.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/software.h"
#include "json/write.h"

#include <math.h>

static double rounded(double value, double steps)
{
    return floor(value * steps + 0.5) / steps;
}

static void write_settings(struct kt_jw *jw, const struct kt_pt_report *report)
{
    const struct kt_pt_options *options = report->options;
    kt_jw_key_text(jw, "command");
    kt_jw_array(jw);
    for (int i = 0; i < report->argc; i++) {
        /* A token is a secret. */
        bool secret = i > 0 && kt_str_ends(kt_str(report->argv[i - 1]), KT_STR("-token"));
        bool joined = kt_str_find(kt_str(report->argv[i]), KT_STR("-token=")) >= 0;
        kt_jw_text(jw, secret ? "***" : joined ? "-token=***" : report->argv[i]);
    }
    kt_jw_array_end(jw);
    kt_jw_key_text(jw, "machine");
    kt_jw_object(jw);
    kt_jw_kv_text(jw, "cpu", report->cpu);
    kt_jw_kv_u64(jw, "cores", report->cpus);
    kt_jw_kv_text(jw, "system", report->system);
    kt_jw_object_end(jw);
    kt_jw_key_text(jw, "settings");
    kt_jw_object(jw);
    kt_jw_key_text(jw, "targets");
    kt_jw_array(jw);
    for (size_t i = 0; i < options->target_count; i++) {
        kt_jw_text(jw, options->targets[i].text);
    }
    kt_jw_array_end(jw);
    kt_jw_kv_u64(jw, "concurrent", options->concurrent);
    kt_jw_kv_u64(jw, "threads", options->threads);
    kt_jw_kv_f64(jw, "rate", options->rate);
    kt_jw_kv_f64(jw, "warmup_s", options->warmup_s);
    kt_jw_kv_f64(jw, "timeout_s", options->timeout_s);
    kt_jw_kv_u64(jw, "seed", options->seed);
    kt_jw_kv_f64(jw, "zipf", options->zipf);
    kt_jw_object_end(jw);
}

static void write_latency(struct kt_jw *jw, const struct kt_hist *hist)
{
    kt_jw_key_text(jw, "latency_us");
    kt_jw_object(jw);
    kt_jw_kv_u64(jw, "count", hist->count);
    kt_jw_kv_u64(jw, "min", hist->min_us);
    kt_jw_kv_f64(jw, "mean", rounded(kt_hist_mean(hist), 10));
    for (size_t i = 0; i < KT_PERCENTILES; i++) {
        kt_jw_kv_u64(jw, kt_percentiles[i].name,
                     kt_hist_percentile(hist, kt_percentiles[i].percent));
    }
    kt_jw_object_end(jw);
}

/* Ever closer to 100 %, as far as there are values that tell. */
static void write_curve(struct kt_jw *jw, const struct kt_hist *hist)
{
    kt_jw_key_text(jw, "curve");
    kt_jw_array(jw);
    for (double rest = 100; hist->count && rest * (double)hist->count >= 99; rest /= 1.25) {
        kt_jw_array(jw);
        kt_jw_f64(jw, rounded(100 - rest, 1e6));
        kt_jw_u64(jw, kt_hist_percentile(hist, 100 - rest));
        kt_jw_array_end(jw);
    }
    kt_jw_array_end(jw);
}

static void write_wrong(struct kt_jw *jw, const struct kt_load_result *result)
{
    kt_jw_key_text(jw, "wrong");
    kt_jw_object(jw);
    for (int w = 1; w < KT_WRONG_COUNT; w++) {
        if (result->wrong[w]) {
            kt_jw_kv_u64(jw, kt_wrong_key((enum kt_wrong)w), result->wrong[w]);
        }
    }
    kt_jw_object_end(jw);
    kt_jw_key_text(jw, "examples");
    kt_jw_object(jw);
    for (int w = 1; w < KT_WRONG_COUNT; w++) {
        if (result->wrong[w] && result->examples[w].set) {
            kt_jw_kv_text(jw, kt_wrong_key((enum kt_wrong)w), result->examples[w].text);
        }
    }
    kt_jw_object_end(jw);
}

static void write_seconds(struct kt_jw *jw, const struct kt_load_result *result)
{
    kt_jw_key_text(jw, "seconds");
    kt_jw_array(jw);
    for (size_t i = 0; i < result->second_count; i++) {
        const struct kt_load_second *second = &result->seconds[i];
        kt_jw_array(jw);
        kt_jw_u64(jw, second->right);
        kt_jw_u64(jw, second->wrong);
        kt_jw_u64(jw, second->p50_us);
        kt_jw_u64(jw, second->p99_us);
        kt_jw_u64(jw, second->max_us);
        kt_jw_f64(jw, rounded(second->span_s, 1000));
        kt_jw_array_end(jw);
    }
    kt_jw_array_end(jw);
}

static void write_nodes(struct kt_jw *jw, const struct kt_pt_run *run)
{
    kt_jw_key_text(jw, "nodes");
    kt_jw_array(jw);
    for (size_t i = 0; i < run->result.node_count; i++) {
        const struct kt_load_node *node = &run->result.nodes[i];
        const struct kt_stats_node *stats = kt_stats_find(&run->after, node->node);
        kt_jw_object(jw);
        kt_jw_kv_text(jw, "node", node->node);
        kt_jw_kv_text(jw, "address", stats ? stats->address : "");
        kt_jw_kv_u64(jw, "right", node->right);
        kt_jw_kv_u64(jw, "wrong", node->wrong);
        write_latency(jw, node->latency);
        kt_jw_object_end(jw);
    }
    kt_jw_array_end(jw);
}

static void write_cache(struct kt_jw *jw, const struct kt_pt_run *run)
{
    kt_jw_key_text(jw, "cache");
    kt_jw_object(jw);
    for (int responses = 0; responses <= 1; responses++) {
        double percent;
        uint64_t lookups;
        if (kt_run_hit_rate(run, responses, &percent, &lookups)) {
            kt_jw_key_text(jw, responses ? "responses" : "series");
            kt_jw_object(jw);
            kt_jw_kv_f64(jw, "hit_rate", rounded(percent, 100));
            kt_jw_kv_u64(jw, "lookups", lookups);
            kt_jw_object_end(jw);
        }
    }
    kt_jw_object_end(jw);
}

static void write_verified(struct kt_jw *jw, const struct kt_pt_run *run)
{
    const struct kt_verified *verified = &run->verified;
    kt_jw_key_text(jw, "verified");
    kt_jw_object(jw);
    kt_jw_kv_u64(jw, "answers", verified->answers);
    kt_jw_kv_u64(jw, "bodies", verified->bodies);
    kt_jw_kv_u64(jw, "writes", verified->writes);
    kt_jw_kv_u64(jw, "skipped", verified->skipped);
    if (verified->why[0]) {
        kt_jw_kv_text(jw, "why", verified->why);
    }
    kt_jw_object_end(jw);
}

static void write_run(struct kt_jw *jw, const struct kt_pt_run *run)
{
    const struct kt_load_result *result = &run->result;
    const struct kt_scenario_about *about = kt_scenario_about(run->scenario);
    kt_jw_object(jw);
    kt_jw_kv_text(jw, "scenario", about->name);
    kt_jw_kv_i64(jw, "number", run->scenario);
    kt_jw_kv_u64(jw, "distinct", run->distinct);
    kt_jw_kv_u64(jw, "requests", result->requests);
    kt_jw_kv_u64(jw, "right", result->right);
    kt_jw_kv_f64(jw, "elapsed_s", rounded(result->elapsed_s, 1e6));
    kt_jw_kv_f64(jw, "rate", rounded(kt_run_rate(run), 100));
    if (run->target > 0) {
        kt_jw_kv_f64(jw, "target", run->target);
        kt_jw_kv_bool(jw, "passed", kt_run_passed(run));
    }
    write_latency(jw, result->latency);
    write_curve(jw, result->latency);
    write_wrong(jw, result);
    write_seconds(jw, result);
    write_nodes(jw, run);
    write_cache(jw, run);
    kt_jw_kv_u64(jw, "bytes", result->bytes_in);
    kt_jw_kv_u64(jw, "connections", result->connects);
    kt_jw_kv_f64(jw, "cpu_s", rounded(result->cpu_s, 1000));
    kt_jw_kv_u64(jw, "warmup_requests", result->warmup_requests);
    kt_jw_kv_u64(jw, "warmup_wrong", result->warmup_wrong);
    kt_jw_kv_u64(jw, "late", result->late);
    kt_jw_kv_u64(jw, "unsent", result->unsent);
    kt_jw_kv_u64(jw, "abandoned", result->abandoned);
    kt_jw_kv_u64(jw, "strays", result->strays);
    kt_jw_kv_bool(jw, "stopped", result->stopped);
    kt_jw_kv_bool(jw, "gave_up", result->gave_up);
    if (run->verify) {
        write_verified(jw, run);
    }
    if (run->note[0]) {
        kt_jw_kv_text(jw, "note", run->note);
    }
    kt_jw_object_end(jw);
}

void kt_report_json(const struct kt_pt_report *report, struct kt_buf *dest)
{
    struct kt_jw jw;
    char when[25];
    kt_format_wall_ms(report->started_wall_ms, when);
    kt_jw_init(&jw, dest);
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "tool", "pressure_test");
    kt_jw_kv_text(&jw, "version", KT_VERSION);
    kt_jw_kv_i64(&jw, "format", 1);
    kt_jw_kv_text(&jw, "started", when);
    write_settings(&jw, report);
    kt_jw_key_text(&jw, "runs");
    kt_jw_array(&jw);
    for (size_t i = 0; i < report->run_count; i++) {
        write_run(&jw, &report->runs[i]);
    }
    kt_jw_array_end(&jw);
    kt_jw_object_end(&jw);
    kt_buf_append_byte(dest, '\n');
}

void kt_report_csv(const struct kt_pt_report *report, struct kt_buf *dest)
{
    char when[25];
    kt_format_wall_ms(report->started_wall_ms, when);
    kt_buf_append_text(dest, "started,scenario,concurrent,planned_rate,requests,right,wrong,"
                             "elapsed_s,rate,min_us,mean_us");
    for (size_t i = 0; i < KT_PERCENTILES; i++) {
        kt_buf_printf(dest, ",%s_us", kt_percentiles[i].name);
    }
    for (int w = 1; w < KT_WRONG_COUNT; w++) {
        kt_buf_printf(dest, ",%s", kt_wrong_key((enum kt_wrong)w));
    }
    kt_buf_append_text(dest, "\n");
    for (size_t r = 0; r < report->run_count; r++) {
        const struct kt_pt_run *run = &report->runs[r];
        const struct kt_load_result *result = &run->result;
        kt_buf_printf(dest, "%s,%s,%llu,%.10g,%llu,%llu,%llu,%.6f,%.2f,%llu,%.1f", when,
                      kt_scenario_about(run->scenario)->name,
                      (unsigned long long)report->options->concurrent, report->options->rate,
                      (unsigned long long)result->requests, (unsigned long long)result->right,
                      (unsigned long long)kt_load_wrong(result), result->elapsed_s,
                      kt_run_rate(run), (unsigned long long)result->latency->min_us,
                      kt_hist_mean(result->latency));
        for (size_t i = 0; i < KT_PERCENTILES; i++) {
            kt_buf_printf(
                dest, ",%llu",
                (unsigned long long)kt_hist_percentile(result->latency, kt_percentiles[i].percent));
        }
        for (int w = 1; w < KT_WRONG_COUNT; w++) {
            kt_buf_printf(dest, ",%llu", (unsigned long long)result->wrong[w]);
        }
        kt_buf_append_text(dest, "\n");
    }
}

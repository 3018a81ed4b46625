/* SPDX-License-Identifier: MIT */
/* report_text.c - the report for a person, and the figures that all forms share. */
#include "bench/report.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/software.h"

#include <string.h>

const struct kt_percentile kt_percentiles[KT_PERCENTILES] = {
    {"p50", 50}, {"p90", 90}, {"p95", 95}, {"p99", 99}, {"p99.9", 99.9}, {"max", 100}};

double kt_run_rate(const struct kt_pt_run *run)
{
    double elapsed_s = run->result.elapsed_s;
    const struct kt_load_result *result = &run->result;
    uint64_t in_time = result->right > result->late ? result->right - result->late : 0;
    return elapsed_s > 0 ? (double)in_time / elapsed_s : 0;
}

bool kt_run_passed(const struct kt_pt_run *run)
{
    return kt_load_wrong(&run->result) == 0 && kt_run_rate(run) >= run->target;
}

bool kt_run_hit_rate(const struct kt_pt_run *run, bool responses, double *ret_percent,
                     uint64_t *ret_lookups)
{
    uint64_t hits = 0, misses = 0;
    for (size_t i = 0; i < run->after.count; i++) {
        const struct kt_stats_node *after = &run->after.nodes[i];
        const struct kt_stats_node *before = kt_stats_find(&run->before, after->node);
        uint64_t h = responses ? after->response_hits : after->hits;
        uint64_t m = responses ? after->response_misses : after->misses;
        uint64_t h0 = !before ? 0 : responses ? before->response_hits : before->hits;
        uint64_t m0 = !before ? 0 : responses ? before->response_misses : before->misses;
        /* Less than before: counted anew since, by a restart or a reset. */
        hits += h >= h0 ? h - h0 : h;
        misses += m >= m0 ? m - m0 : m;
    }
    *ret_lookups = hits + misses;
    *ret_percent = hits + misses ? 100.0 * (double)hits / (double)(hits + misses) : 0;
    return hits + misses > 0;
}

const char *kt_time_text(double us, char dest[32])
{
    if (us < 1000) {
        snprintf(dest, 32, "%.0f µs", us);
    } else if (us < 1e6) {
        snprintf(dest, 32, us < 99950 ? "%.1f ms" : "%.0f ms", us / 1e3);
    } else {
        snprintf(dest, 32, "%.2f s", us / 1e6);
    }
    return dest;
}

static void print_latency(const struct kt_pt_run *run, FILE *stream)
{
    const struct kt_hist *hist = run->result.latency;
    char text[32];
    if (hist->count == 0) {
        fprintf(stream, "  latency    no whole answer\n");
        return;
    }
    fprintf(stream, "  latency    min %s", kt_time_text((double)hist->min_us, text));
    fprintf(stream, ", mean %s", kt_time_text(kt_hist_mean(hist), text));
    for (size_t i = 0; i < KT_PERCENTILES; i++) {
        uint64_t us = kt_hist_percentile(hist, kt_percentiles[i].percent);
        fprintf(stream, ", %s %s", kt_percentiles[i].name, kt_time_text((double)us, text));
    }
    fprintf(stream, "\n");
}

static void print_nodes(const struct kt_pt_run *run, FILE *stream)
{
    const struct kt_load_result *result = &run->result;
    for (size_t i = 0; i < result->node_count; i++) {
        const struct kt_load_node *node = &result->nodes[i];
        const struct kt_stats_node *stats = kt_stats_find(&run->after, node->node);
        char p50[32], p99[32];
        fprintf(stream, "  %-10s %-16s %-21s %8llu (%4.1f %%)  p50 %s, p99 %s", i ? "" : "nodes",
                node->node, stats ? stats->address : "", (unsigned long long)node->latency->count,
                100.0 * (double)node->latency->count / (double)result->requests,
                kt_time_text((double)kt_hist_percentile(node->latency, 50), p50),
                kt_time_text((double)kt_hist_percentile(node->latency, 99), p99));
        if (node->wrong) {
            fprintf(stream, ", %llu wrong", (unsigned long long)node->wrong);
        }
        fprintf(stream, "\n");
    }
}

static double hit_rate_of(const struct kt_stats *stats, bool responses)
{
    uint64_t hits = 0, all = 0;
    for (size_t i = 0; i < stats->count; i++) {
        const struct kt_stats_node *node = &stats->nodes[i];
        hits += responses ? node->response_hits : node->hits;
        all += responses ? node->response_hits + node->response_misses : node->hits + node->misses;
    }
    return all ? 100.0 * (double)hits / (double)all : 0;
}

static void print_caches(const struct kt_pt_run *run, FILE *stream)
{
    for (int responses = 0; responses <= 1; responses++) {
        double percent;
        uint64_t lookups;
        if (kt_run_hit_rate(run, responses, &percent, &lookups)) {
            fprintf(stream,
                    "  %-10s hit rate before %.1f %%, after %.1f %%; in this run %.1f %% of %llu\n",
                    responses ? "responses" : "cache", hit_rate_of(&run->before, responses),
                    hit_rate_of(&run->after, responses), percent, (unsigned long long)lookups);
        }
    }
}

static void print_wrong(const struct kt_load_result *result, FILE *stream)
{
    for (int w = 1; w < KT_WRONG_COUNT; w++) {
        if (result->wrong[w]) {
            fprintf(stream, "  WRONG      %llu × %s\n             e.g. %s\n",
                    (unsigned long long)result->wrong[w], kt_wrong_text((enum kt_wrong)w),
                    result->examples[w].set ? result->examples[w].text : "(none kept)");
        }
    }
}

static void print_notes(const struct kt_pt_run *run, const struct kt_pt_report *report,
                        FILE *stream)
{
    const struct kt_load_result *result = &run->result;
    if (result->warmup_wrong) {
        fprintf(stream, "  note       %llu of %llu requests of the warm-up failed (not counted)\n",
                (unsigned long long)result->warmup_wrong,
                (unsigned long long)result->warmup_requests);
    }
    if (result->unsent) {
        fprintf(stream,
                "  note       the rate was not reached: %llu planned requests never went "
                "out\n",
                (unsigned long long)result->unsent);
    }
    if (result->strays) {
        fprintf(stream, "  note       %llu times a server spoke without being asked\n",
                (unsigned long long)result->strays);
    }
    if (result->abandoned) {
        fprintf(stream, "  note       %llu requests were under way when it was stopped\n",
                (unsigned long long)result->abandoned);
    }
    if (result->gave_up) {
        fprintf(stream, "  note       given up: nothing right for %.10g s\n",
                report->options->give_up_s);
    }
    if (run->verify) {
        const struct kt_verified *v = &run->verified;
        fprintf(stream, "  verified   ");
        if (v->answers || !v->writes) {
            fprintf(stream, "%llu answers (%llu bodies)%s", (unsigned long long)v->answers,
                    (unsigned long long)v->bodies, v->writes ? ", " : "");
        }
        if (v->writes) {
            fprintf(stream, "%llu acknowledged writes", (unsigned long long)v->writes);
        }
        fprintf(stream, " as %s has them\n", report->options->verify.text);
        if (v->skipped) {
            fprintf(stream, "  note       %llu answers could not be compared%s%s\n",
                    (unsigned long long)v->skipped, v->why[0] ? ": " : "", v->why);
        }
    }
    if (run->note[0]) {
        fprintf(stream, "  note       %s\n", run->note);
    }
}

static void print_verdict(const struct kt_pt_run *run, FILE *stream)
{
    double target = run->target, rate = kt_run_rate(run);
    if (target <= 0) {
        return;
    }
    fprintf(stream, "  target     %.0f a second: ", target);
    if (rate >= target && kt_load_wrong(&run->result)) {
        fprintf(stream, "NOT YET (%llu wrong answers)\n",
                (unsigned long long)kt_load_wrong(&run->result));
    } else if (rate >= target) {
        fprintf(stream, "PASSED (%.1fx)\n", rate / target);
    } else {
        /* 99.9 % must not read as 100 %. */
        fprintf(stream, "NOT YET (%.0f %%)\n", (double)(uint64_t)(100 * rate / target));
    }
}

static void print_run(const struct kt_pt_run *run, const struct kt_pt_report *report, FILE *stream)
{
    const struct kt_load_result *result = &run->result;
    const struct kt_scenario_about *about = kt_scenario_about(run->scenario);
    uint64_t answered = result->requests + result->warmup_requests;
    fprintf(stream, "\n%d %s: %s\n", run->scenario, about->name, about->about);
    fprintf(stream, "  answers    %llu right of %llu in %.2f s: %.0f a second",
            (unsigned long long)result->right, (unsigned long long)result->requests,
            result->elapsed_s, kt_run_rate(run));
    if (report->options->rate > 0) {
        fprintf(stream, " (planned: %.10g)", report->options->rate);
    }
    fprintf(stream, "\n");
    print_verdict(run, stream);
    print_latency(run, stream);
    print_nodes(run, stream);
    print_caches(run, stream);
    fprintf(stream,
            "  traffic    %.1f MB received, %llu connections made, %zu distinct requests, "
            "%.0f µs of processor time a request here\n",
            (double)result->bytes_in / 1e6, (unsigned long long)result->connects, run->distinct,
            answered ? result->cpu_s * 1e6 / (double)answered : 0);
    print_wrong(result, stream);
    print_notes(run, report, stream);
}

/* Pads by columns, not bytes: µ is two bytes wide and one column. */
static void print_cell(FILE *stream, const char *text, int width)
{
    int columns = 0;
    for (const char *c = text; *c; c++) {
        columns += ((unsigned char)*c & 0xC0) != 0x80;
    }
    fprintf(stream, "%*s%s", width > columns ? width - columns : 0, "", text);
}

static void print_table(const struct kt_pt_report *report, FILE *stream)
{
    fprintf(stream, "\n%-10s %10s %10s", "scenario", "requests", "right/s");
    for (size_t i = 0; i < KT_PERCENTILES; i++) {
        fprintf(stream, " %8s", kt_percentiles[i].name);
    }
    fprintf(stream, " %8s  %s\n", "wrong", "target");
    for (size_t r = 0; r < report->run_count; r++) {
        const struct kt_pt_run *run = &report->runs[r];
        const struct kt_scenario_about *about = kt_scenario_about(run->scenario);
        double rate = kt_run_rate(run);
        fprintf(stream, "%-10s %10llu %10.0f", about->name,
                (unsigned long long)run->result.requests, rate);
        for (size_t i = 0; i < KT_PERCENTILES; i++) {
            char text[32];
            uint64_t us = kt_hist_percentile(run->result.latency, kt_percentiles[i].percent);
            fprintf(stream, " ");
            print_cell(stream, run->result.latency->count ? kt_time_text((double)us, text) : "-",
                       8);
        }
        fprintf(stream, " %8llu  ", (unsigned long long)kt_load_wrong(&run->result));
        if (run->target > 0) {
            fprintf(stream, "%.0f/s %s", run->target, kt_run_passed(run) ? "PASSED" : "NOT YET");
        } else {
            fprintf(stream, "-");
        }
        fprintf(stream, "\n");
    }
}

void kt_report_text(const struct kt_pt_report *report, FILE *stream)
{
    const struct kt_pt_options *options = report->options;
    char when[25];
    kt_format_wall_ms(report->started_wall_ms, when);
    fprintf(stream, "pressure_test " KT_VERSION ", %s\n%s, %u cores, %s\n", when,
            report->cpu[0] ? report->cpu : "unknown processor", report->cpus, report->system);
    for (size_t i = 0; i < options->target_count; i++) {
        fprintf(stream, "%s%s", i ? ", " : "to ", options->targets[i].text);
    }
    fprintf(stream, "; %llu connections, %llu thread%s, %s\n",
            (unsigned long long)options->concurrent, (unsigned long long)options->threads,
            options->threads == 1 ? "" : "s", options->rate > 0 ? "open loop" : "closed loop");
    for (size_t i = 0; i < report->run_count; i++) {
        print_run(&report->runs[i], report, stream);
    }
    print_table(report, stream);
}

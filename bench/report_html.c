/* SPDX-License-Identifier: MIT */
/* report_html.c - the report as one page: nothing is fetched from elsewhere, no scripts. */
#include "bench/charts.h"
#include "bench/report.h"

#include "base/clock.h"
#include "base/software.h"

static const char style[] =
    ":root{color-scheme:light dark;--bg:#fff;--fg:#1c2430;--soft:#5b6675;--line:#d9dee6;"
    "--card:#f6f8fb;--curve:#1f6feb;--area:#1f6feb22;--good:#14713d;--goodbg:#d8f3e1;"
    "--bad:#b3261e;--badbg:#fbdedb}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#12161c;--fg:#e6eaf0;--soft:#9aa5b4;"
    "--line:#2b333f;--card:#1a2028;--curve:#6cb0ff;--area:#6cb0ff26;--good:#7be0a3;"
    "--goodbg:#12351f;--bad:#ff9a92;--badbg:#45191a}}\n"
    "*{box-sizing:border-box}body{margin:0 auto;padding:28px 20px 60px;max-width:1200px;"
    "background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}\n"
    "h1{margin:0 0 4px;font-size:26px}h2{margin:0 0 2px;font-size:19px}h3{margin:0 0 6px;"
    "font-size:14px;font-weight:600}p{margin:2px 0}.soft{color:var(--soft)}\n"
    "code{font:13px/1.5 ui-monospace,monospace;overflow-wrap:anywhere}\n"
    "table{border-collapse:collapse;width:100%;margin:14px 0;font-variant-numeric:tabular-nums}\n"
    "th,td{padding:6px 10px;text-align:right;border-bottom:1px solid var(--line);"
    "white-space:nowrap}th{color:var(--soft);font-weight:600}"
    "th:first-child,td:first-child,.l{text-align:left}\n"
    ".scroll{overflow-x:auto}.pill{padding:2px 9px;border-radius:10px;font-size:13px;"
    "font-weight:600}.ok{color:var(--good);background:var(--goodbg)}.no{color:var(--bad);"
    "background:var(--badbg)}\n"
    "section{margin-top:26px;padding:18px 20px;background:var(--card);border:1px solid var(--line);"
    "border-radius:10px}.charts{display:grid;grid-template-columns:repeat(auto-fit,"
    "minmax(min(100%,440px),1fr));gap:18px;margin-top:14px}svg{width:100%;height:auto}\n"
    ".big{font-size:22px;font-weight:650}.facts{display:flex;flex-wrap:wrap;gap:6px 34px;"
    "margin-top:10px}.facts span{display:block;color:var(--soft);font-size:13px}\n"
    ".axis{stroke:var(--soft)}.grid{stroke:var(--line)}.tick,.caption{fill:var(--soft);"
    "font-size:12px}.curve{fill:none;stroke:var(--curve);stroke-width:2.2;"
    "stroke-linejoin:round}.area{fill:var(--area)}.dot{fill:var(--curve)}.mark{fill:var(--fg);"
    "font-size:12px;font-weight:600}.bad{fill:none;stroke:var(--bad);stroke-width:2.2}"
    ".target{stroke:var(--good);stroke-dasharray:6 4}.none{color:var(--soft)}\n"
    ".wrong{border-left:4px solid var(--bad);padding-left:12px;margin-top:12px}\n";

static void put(struct kt_buf *dest, struct kt_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        switch (c) {
        case '<':
            kt_buf_append_text(dest, "&lt;");
            break;
        case '>':
            kt_buf_append_text(dest, "&gt;");
            break;
        case '&':
            kt_buf_append_text(dest, "&amp;");
            break;
        case '"':
            kt_buf_append_text(dest, "&quot;");
            break;
        default:
            kt_buf_append_byte(dest, c);
        }
    }
}

static void put_text(struct kt_buf *dest, const char *text)
{
    put(dest, kt_str(text));
}

static void put_command(const struct kt_pt_report *report, struct kt_buf *dest)
{
    for (int i = 0; i < report->argc; i++) {
        bool secret = i > 0 && kt_str_ends(kt_str(report->argv[i - 1]), KT_STR("-token"));
        bool joined = kt_str_find(kt_str(report->argv[i]), KT_STR("-token=")) >= 0;
        kt_buf_append_text(dest, i ? " " : "");
        put_text(dest, secret ? "***" : joined ? "-token=***" : report->argv[i]);
    }
}

static void put_head(const struct kt_pt_report *report, struct kt_buf *dest)
{
    const struct kt_pt_options *options = report->options;
    char when[25];
    kt_format_wall_ms(report->started_wall_ms, when);
    kt_buf_append_text(dest, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                             "<meta name=\"viewport\" content=\"width=device-width\">\n"
                             "<title>Pressure test</title>\n<style>\n");
    kt_buf_append_text(dest, style);
    kt_buf_printf(dest,
                  "</style></head><body>\n<h1>Pressure test</h1>\n"
                  "<p class=\"soft\">%.10s %.8s UTC · ",
                  when, when + 11);
    put_text(dest, report->cpu);
    kt_buf_printf(dest, ", %u cores, ", report->cpus);
    put_text(dest, report->system);
    kt_buf_printf(dest, "</p>\n<p class=\"soft\">%llu connections, %llu thread%s, %s, to ",
                  (unsigned long long)options->concurrent, (unsigned long long)options->threads,
                  options->threads == 1 ? "" : "s",
                  options->rate > 0 ? "requests by plan (open loop)"
                                    : "each asks again when it is answered (closed loop)");
    for (size_t i = 0; i < options->target_count; i++) {
        kt_buf_append_text(dest, i ? ", " : "");
        put_text(dest, options->targets[i].text);
    }
    kt_buf_append_text(dest, "</p>\n<p><code>");
    put_command(report, dest);
    kt_buf_append_text(dest, "</code></p>\n");
}

static void put_verdict(const struct kt_pt_run *run, struct kt_buf *dest)
{
    double target = run->target, rate = kt_run_rate(run);
    if (target <= 0) {
        kt_buf_append_text(dest, "–");
    } else if (kt_run_passed(run)) {
        kt_buf_printf(dest, "<span class=\"pill ok\">PASSED (%.1fx of %.0f)</span>", rate / target,
                      target);
    } else if (rate >= target) {
        kt_buf_append_text(dest, "<span class=\"pill no\">NOT YET (wrong answers)</span>");
    } else {
        kt_buf_printf(dest, "<span class=\"pill no\">NOT YET (%.0f %% of %.0f)</span>",
                      (double)(uint64_t)(100 * rate / target), target);
    }
}

static void put_table(const struct kt_pt_report *report, struct kt_buf *dest)
{
    kt_buf_append_text(dest, "<div class=\"scroll\"><table><tr><th>scenario</th><th>requests</th>"
                             "<th>right a second</th>");
    for (size_t i = 0; i < KT_PERCENTILES; i++) {
        kt_buf_printf(dest, "<th>%s</th>", kt_percentiles[i].name);
    }
    kt_buf_append_text(dest, "<th>wrong</th><th class=\"l\">target</th></tr>\n");
    for (size_t r = 0; r < report->run_count; r++) {
        const struct kt_pt_run *run = &report->runs[r];
        uint64_t wrong = kt_load_wrong(&run->result);
        kt_buf_printf(dest, "<tr><td>%s</td><td>%llu</td><td><b>%.0f</b></td>",
                      kt_scenario_about(run->scenario)->name,
                      (unsigned long long)run->result.requests, kt_run_rate(run));
        for (size_t i = 0; i < KT_PERCENTILES; i++) {
            char text[32];
            uint64_t us = kt_hist_percentile(run->result.latency, kt_percentiles[i].percent);
            kt_buf_printf(dest, "<td>%s</td>",
                          run->result.latency->count ? kt_time_text((double)us, text) : "–");
        }
        kt_buf_printf(dest,
                      wrong ? "<td><span class=\"pill no\">%llu</span></td>" : "<td>%llu</td>",
                      (unsigned long long)wrong);
        kt_buf_append_text(dest, "<td class=\"l\">");
        put_verdict(run, dest);
        kt_buf_append_text(dest, "</td></tr>\n");
    }
    kt_buf_append_text(dest, "</table></div>\n");
}

static void put_fact(struct kt_buf *dest, const char *name, const char *value)
{
    kt_buf_printf(dest, "<div><span>%s</span>%s</div>", name, value);
}

static const char *time_or_none(const struct kt_hist *hist, double percent, char dest[32])
{
    return hist->count ? kt_time_text((double)kt_hist_percentile(hist, percent), dest) : "–";
}

static void put_facts(const struct kt_pt_run *run, struct kt_buf *dest)
{
    const struct kt_load_result *result = &run->result;
    char text[64], time[32];
    kt_buf_append_text(dest, "<div class=\"facts\">");
    snprintf(text, sizeof(text), "<b class=\"big\">%.0f</b>", kt_run_rate(run));
    put_fact(dest, "right answers a second", text);
    snprintf(text, sizeof(text), "<b class=\"big\">%s</b>",
             time_or_none(result->latency, 50, time));
    put_fact(dest, "half are faster than", text);
    snprintf(text, sizeof(text), "<b class=\"big\">%s</b>",
             time_or_none(result->latency, 99, time));
    put_fact(dest, "99 % are faster than", text);
    snprintf(text, sizeof(text), "<b class=\"big\">%llu</b>",
             (unsigned long long)kt_load_wrong(result));
    put_fact(dest, "wrong answers", text);
    for (int responses = 0; responses <= 1; responses++) {
        double percent;
        uint64_t lookups;
        if (kt_run_hit_rate(run, responses, &percent, &lookups)) {
            snprintf(text, sizeof(text), "<b class=\"big\">%.1f %%</b>", percent);
            put_fact(dest, responses ? "hits in the response cache" : "hits in the series cache",
                     text);
        }
    }
    kt_buf_append_text(dest, "</div>\n");
}

static void put_nodes(const struct kt_pt_run *run, struct kt_buf *dest)
{
    const struct kt_load_result *result = &run->result;
    if (result->node_count == 0) {
        return;
    }
    kt_buf_append_text(dest, "<div class=\"scroll\"><table><tr><th>node</th><th class=\"l\">address"
                             "</th><th>answers</th><th>share</th><th>p50</th><th>p99</th>"
                             "<th>max</th><th>wrong</th></tr>\n");
    for (size_t i = 0; i < result->node_count; i++) {
        const struct kt_load_node *node = &result->nodes[i];
        const struct kt_stats_node *stats = kt_stats_find(&run->after, node->node);
        char p50[32], p99[32], max[32];
        kt_buf_append_text(dest, "<tr><td>");
        put_text(dest, node->node);
        kt_buf_append_text(dest, "</td><td class=\"l\">");
        put_text(dest, stats ? stats->address : "");
        kt_buf_printf(dest,
                      "</td><td>%llu</td><td>%.1f %%</td><td>%s</td><td>%s</td><td>%s</td>"
                      "<td>%llu</td></tr>\n",
                      (unsigned long long)node->latency->count,
                      100.0 * (double)node->latency->count / (double)result->requests,
                      kt_time_text((double)kt_hist_percentile(node->latency, 50), p50),
                      kt_time_text((double)kt_hist_percentile(node->latency, 99), p99),
                      kt_time_text((double)node->latency->max_us, max),
                      (unsigned long long)node->wrong);
    }
    kt_buf_append_text(dest, "</table></div>\n");
}

static void put_wrong(const struct kt_pt_run *run, struct kt_buf *dest)
{
    const struct kt_load_result *result = &run->result;
    for (int w = 1; w < KT_WRONG_COUNT; w++) {
        if (result->wrong[w]) {
            kt_buf_printf(dest, "<div class=\"wrong\"><b>%llu × %s</b><br><code>",
                          (unsigned long long)result->wrong[w], kt_wrong_text((enum kt_wrong)w));
            put_text(dest, result->examples[w].text);
            kt_buf_append_text(dest, "</code></div>\n");
        }
    }
    if (result->gave_up) {
        kt_buf_append_text(dest, "<p class=\"soft\">Given up: nothing right came any more.</p>\n");
    }
    if (result->unsent) {
        kt_buf_printf(dest,
                      "<p class=\"soft\">The rate was not reached: %llu planned requests "
                      "never went out.</p>\n",
                      (unsigned long long)result->unsent);
    }
    if (run->verify) {
        kt_buf_printf(dest,
                      "<p class=\"soft\">%llu answers and %llu writes compared with a second "
                      "source, %llu could not be.</p>\n",
                      (unsigned long long)run->verified.answers,
                      (unsigned long long)run->verified.writes,
                      (unsigned long long)run->verified.skipped);
    }
    if (run->note[0]) {
        kt_buf_append_text(dest, "<p class=\"soft\">");
        put_text(dest, run->note);
        kt_buf_append_text(dest, "</p>\n");
    }
}

static void put_run(const struct kt_pt_run *run, struct kt_buf *dest)
{
    const struct kt_scenario_about *about = kt_scenario_about(run->scenario);
    kt_buf_printf(dest, "<section><h2>%d · %s</h2><p class=\"soft\">%s</p>\n", run->scenario,
                  about->name, about->about);
    put_facts(run, dest);
    kt_buf_append_text(dest, "<div class=\"charts\"><div><h3>Latency by percentile</h3>\n");
    kt_chart_latency(dest, run->result.latency);
    kt_buf_append_text(dest, "</div><div><h3>Answers a second</h3>\n");
    kt_chart_rate(dest, &run->result, run->target);
    kt_buf_append_text(dest, "</div></div>\n");
    put_nodes(run, dest);
    put_wrong(run, dest);
    kt_buf_append_text(dest, "</section>\n");
}

void kt_report_html(const struct kt_pt_report *report, struct kt_buf *dest)
{
    put_head(report, dest);
    put_table(report, dest);
    for (size_t i = 0; i < report->run_count; i++) {
        put_run(&report->runs[i], dest);
    }
    kt_buf_append_text(dest, "<p class=\"soft\">pressure_test " KT_VERSION
                             ". Latencies are those of whole answers, and of requests that ran "
                             "into their timeout.</p>\n</body></html>\n");
}

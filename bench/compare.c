/* SPDX-License-Identifier: MIT */
/* compare.c - beside an earlier report: rates and percentiles, and whether they changed. */
#include "bench/report.h"

#include "base/fs.h"
#include "base/mem.h"
#include "json/read.h"

#define OLD_BYTES_MAX ((size_t)256 << 20)
/* Two runs on one quiet machine differ by some per cent; less than this is no news. */
#define SAME_WITHIN 0.05

static bool number(const struct kt_json_value *object, const char *name, double *ret_value)
{
    const struct kt_json_value *value = kt_json_member_as(object, name, KT_JSON_NUMBER);
    if (value) {
        *ret_value = kt_json_number(value);
    }
    return value != NULL;
}

static const struct kt_json_value *find_run(const struct kt_json_value *runs, const char *scenario)
{
    const struct kt_json_value *run = NULL;
    while ((run = kt_json_next(runs, run))) {
        const struct kt_json_value *name = kt_json_member_as(run, "scenario", KT_JSON_STRING);
        if (name && kt_str_eq_text(kt_json_string(name), scenario)) {
            return run;
        }
    }
    return NULL;
}

/* more_is_better: of rates; of latencies less is. */
static const char *judge(double was, double is, bool more_is_better)
{
    double change = was > 0 ? is / was - 1 : 0;
    if (change > -SAME_WITHIN && change < SAME_WITHIN) {
        return "same";
    }
    return (change > 0) == more_is_better ? "better" : "worse";
}

static void print_line(FILE *stream, const char *name, const char *was, const char *is,
                       double was_value, double is_value, bool more_is_better)
{
    double percent = was_value > 0 ? 100 * (is_value / was_value - 1) : 0;
    fprintf(stream, "  %-8s %10s -> %-10s %+6.1f %%  %s\n", name, was, is, percent,
            judge(was_value, is_value, more_is_better));
}

static void compare_run(const struct kt_pt_run *run, const struct kt_json_value *old, FILE *stream)
{
    const struct kt_json_value *latency = kt_json_member_as(old, "latency_us", KT_JSON_OBJECT);
    double was, requests = 0, right = 0;
    char a[32], b[32];
    fprintf(stream, "%s\n", kt_scenario_about(run->scenario)->name);
    if (number(old, "rate", &was)) {
        snprintf(a, sizeof(a), "%.0f/s", was);
        snprintf(b, sizeof(b), "%.0f/s", kt_run_rate(run));
        print_line(stream, "rate", a, b, was, kt_run_rate(run), true);
    }
    for (size_t i = 0; i < KT_PERCENTILES; i++) {
        if (number(latency, kt_percentiles[i].name, &was)) {
            double is = (double)kt_hist_percentile(run->result.latency, kt_percentiles[i].percent);
            print_line(stream, kt_percentiles[i].name, kt_time_text(was, a), kt_time_text(is, b),
                       was, is, false);
        }
    }
    if (number(old, "requests", &requests) && number(old, "right", &right)) {
        uint64_t wrong = kt_load_wrong(&run->result), was_wrong = (uint64_t)(requests - right);
        fprintf(stream, "  %-8s %10llu -> %-10llu %10s%s\n", "wrong", (unsigned long long)was_wrong,
                (unsigned long long)wrong, "",
                wrong == was_wrong  ? "same"
                : wrong > was_wrong ? "worse"
                                    : "better");
    }
    if (number(old, "rate", &was)) {
        const char *verdict = judge(was, kt_run_rate(run), true);
        bool wrong = kt_load_wrong(&run->result) > (uint64_t)(requests - right);
        fprintf(stream, "  verdict: %s\n", wrong ? "worse (more wrong answers)" : verdict);
    }
}

enum kt_status kt_report_compare(const struct kt_pt_report *report, const char *path, FILE *stream,
                                 struct kt_error *err)
{
    struct kt_buf text;
    struct kt_json *json = NULL;
    const struct kt_json_value *runs = NULL, *started = NULL;
    kt_buf_init(&text, 0);
    enum kt_status status = kt_fs_read(path, OLD_BYTES_MAX, &text, err);
    if (status == KT_OK) {
        status = kt_json_parse(kt_str_trim(kt_buf_str(&text)), KT_JSON_DEPTH_DEFAULT, &json, err);
    }
    if (status == KT_OK) {
        runs = kt_json_member_as(kt_json_root(json), "runs", KT_JSON_ARRAY);
        started = kt_json_member_as(kt_json_root(json), "started", KT_JSON_STRING);
        if (!runs || !started) {
            status = kt_fail(err, KT_BAD_VALUE, "no report of pressure_test");
        }
    }
    if (status != KT_OK) {
        status = kt_wrap(err, "-compare %s", path);
    } else {
        fprintf(stream, "\ncompared with %s of " KT_STR_FMT " (within %.0f %%: same)\n", path,
                KT_STR_ARG(kt_json_string(started)), 100 * SAME_WITHIN);
    }
    for (size_t i = 0; status == KT_OK && i < report->run_count; i++) {
        const struct kt_pt_run *run = &report->runs[i];
        const struct kt_json_value *old = find_run(runs, kt_scenario_about(run->scenario)->name);
        if (old) {
            compare_run(run, old, stream);
        } else {
            fprintf(stream, "%s\n  is not in it\n", kt_scenario_about(run->scenario)->name);
        }
    }
    kt_json_free(&json);
    kt_buf_done(&text);
    return status;
}

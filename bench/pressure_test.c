/* SPDX-License-Identifier: MIT */
/* pressure_test.c - learns, loads, checks, reports. */
#include <uv.h>

#include "bench/live.h"
#include "bench/options.h"
#include "bench/verify.h"
#include "kt_version.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/software.h"
#include "base/thread.h"

#include <stdlib.h>
#include <string.h>

enum { EXIT_WRONG = 1, EXIT_USAGE = 2, EXIT_STOPPED = 130 };

static atomic_bool stop;

/* The first asks for an end with a report; whoever presses again does not want to wait for it. */
static void on_signal(void *arg, enum kt_signal signal)
{
    (void)arg;
    if (signal == KT_SIGNAL_STOP && atomic_exchange(&stop, true)) {
        _Exit(EXIT_STOPPED);
    }
}

static void describe_machine(struct kt_pt_report *report)
{
    uv_cpu_info_t *cpus = NULL;
    int count = 0;
    uv_utsname_t system;
    if (uv_cpu_info(&cpus, &count) == 0 && count > 0) {
        kt_str_copy(report->cpu, sizeof(report->cpu), kt_str_trim(kt_str(cpus[0].model)));
        uv_free_cpu_info(cpus, count);
    }
    report->cpus = kt_cpu_count();
    if (uv_os_uname(&system) == 0) {
        snprintf(report->system, sizeof(report->system), "%.40s %.60s", system.sysname,
                 system.release);
    }
}

static enum kt_status run_scenario(struct kt_ask *ask, const struct kt_pt_options *options,
                                   enum kt_scenario scenario, const struct kt_learnt *learnt,
                                   struct kt_pt_run *run, struct kt_error *err)
{
    struct kt_plan plan;
    struct kt_live live;
    enum kt_status status = kt_plan_make(options, scenario, learnt, &plan, err);
    if (status != KT_OK) {
        return status;
    }
    run->scenario = scenario;
    run->distinct = plan.count;
    run->target = kt_scenario_about(scenario)->target_qps;
    if (options->rate > 0 && options->rate <= run->target) {
        run->target = 0; /* by plan it can't be passed */
    }
    kt_live_begin(&live, options, kt_scenario_about(scenario)->name);
    kt_stats_ask(ask, options, &run->before);
    status = kt_load_run(options, &plan, &stop, kt_live_progress, &live, &run->result, err);
    if (status == KT_OK) {
        kt_stats_ask(ask, options, &run->after);
        run->verify = options->verify.text[0] != '\0';
        if (run->verify) {
            kt_live_say(&live, "comparing with the second source");
            kt_verify(ask, options, &plan, &stop, &run->result, &run->verified);
        }
        kt_clean_up(ask, options, &plan, run);
    }
    kt_live_end(&live);
    kt_plan_done(&plan);
    return status;
}

static bool has_scenario(const struct kt_pt_options *options, bool (*is)(enum kt_scenario scenario))
{
    for (size_t i = 0; i < options->scenario_count; i++) {
        if (is(options->scenarios[i])) {
            return true;
        }
    }
    return false;
}

static bool is_drawn(enum kt_scenario scenario)
{
    return scenario != KT_SCENARIO_FILE;
}

static bool is_read(enum kt_scenario scenario)
{
    return scenario != KT_SCENARIO_FILE && scenario != KT_SCENARIO_WRITES;
}

/* Writes alone need nothing; they only would rather use an indicator that is there already. */
static enum kt_status learn(struct kt_ask *ask, const struct kt_pt_options *options,
                            struct kt_learnt *learnt, struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    if (!has_scenario(options, is_drawn)) {
        return KT_OK;
    }
    enum kt_status status = kt_learn(ask, options, learnt, &why);
    if (status == KT_OK || !has_scenario(options, is_read)) {
        return KT_OK;
    }
    *err = why;
    return status;
}

typedef void (*form_fn)(const struct kt_pt_report *report, struct kt_buf *dest);

static enum kt_status write_form(const struct kt_pt_report *report, const char *path, form_fn form,
                                 struct kt_error *err)
{
    if (!path) {
        return KT_OK;
    }
    struct kt_buf text;
    kt_buf_init(&text, 0);
    form(report, &text);
    enum kt_status status = kt_buf_status(&text);
    if (status == KT_OK) {
        status = kt_fs_write_durably(path, kt_buf_str(&text), err);
    } else {
        status = kt_fail(err, status, "no memory for %s", path);
    }
    kt_buf_done(&text);
    return status;
}

static enum kt_status write_reports(const struct kt_pt_report *report, struct kt_error *err)
{
    const struct kt_pt_options *options = report->options;
    kt_report_text(report, stdout);
    enum kt_status status = write_form(report, options->json, kt_report_json, err);
    if (status == KT_OK) {
        status = write_form(report, options->csv, kt_report_csv, err);
    }
    if (status == KT_OK) {
        status = write_form(report, options->html, kt_report_html, err);
    }
    if (status == KT_OK && options->compare) {
        status = kt_report_compare(report, options->compare, stdout, err);
    }
    if (fflush(stdout) != 0 && status == KT_OK) {
        status = kt_fail(err, KT_IO, "the report can't be written");
    }
    return status;
}

static enum kt_status resolve_all(struct kt_pt_options *options, struct kt_error *err)
{
    enum kt_status status = KT_OK;
    for (size_t i = 0; i < options->target_count && status == KT_OK; i++) {
        status = kt_target_resolve(&options->targets[i], err);
    }
    return status;
}

/* Until all scenarios are done, or somebody wants the report now. */
static enum kt_status run_all(struct kt_pt_report *report, struct kt_pt_options *options,
                              struct kt_error *err)
{
    struct kt_ask ask;
    struct kt_learnt learnt = {.arena = NULL};
    enum kt_status status = kt_ask_init(&ask, options->token, options->timeout_s, err);
    if (status == KT_OK) {
        status = resolve_all(options, err);
    }
    if (status == KT_OK) {
        status = learn(&ask, options, &learnt, err);
    }
    for (size_t i = 0; i < options->scenario_count && status == KT_OK && !atomic_load(&stop); i++) {
        struct kt_pt_run *run = &report->runs[report->run_count];
        status = run_scenario(&ask, options, options->scenarios[i], &learnt, run, err);
        report->run_count += status == KT_OK;
    }
    kt_learnt_done(&learnt);
    kt_ask_done(&ask);
    return status;
}

static int verdict(const struct kt_pt_report *report)
{
    for (size_t i = 0; i < report->run_count; i++) {
        const struct kt_load_result *result = &report->runs[i].result;
        if (kt_load_wrong(result) || result->requests == 0) {
            return EXIT_WRONG;
        }
    }
    return 0;
}

static int run(struct kt_pt_options *options, int argc, char **argv)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_pt_report *report = kt_calloc(1, sizeof(*report));
    if (!report) {
        fprintf(stderr, "pressure_test: no memory\n");
        return EXIT_WRONG;
    }
    report->options = options;
    report->argc = argc;
    report->argv = argv;
    report->started_wall_ms = kt_now_wall_ms();
    describe_machine(report);
    enum kt_status status = kt_signals_start(on_signal, NULL, &err);
    if (status == KT_OK) {
        status = run_all(report, options, &err);
    }
    int code = 0;
    if (status != KT_OK) {
        fprintf(stderr, "pressure_test: %s\n", err.message);
        code = EXIT_WRONG;
    }
    if (report->run_count) {
        if (write_reports(report, &err) != KT_OK) {
            fprintf(stderr, "pressure_test: %s\n", err.message);
            code = EXIT_WRONG;
        }
        code = code ? code : verdict(report);
    }
    if (atomic_load(&stop)) {
        code = EXIT_STOPPED;
    }
    for (size_t i = 0; i < report->run_count; i++) {
        kt_load_result_done(&report->runs[i].result);
    }
    kt_free(report);
    return code;
}

int main(int argc, char **argv)
{
    static struct kt_pt_options options; /* many URLs: not for a stack */
    struct kt_error err = KT_ERROR_INIT;
    if (kt_pt_options_parse(argc, argv, &options, &err) != KT_OK) {
        fprintf(stderr, "pressure_test: %s\nTry 'pressure_test -help'.\n", err.message);
        return EXIT_USAGE;
    }
    if (options.help) {
        kt_pt_options_usage(stdout);
        return 0;
    }
    if (options.version) {
        printf("pressure_test " KT_VERSION " (" KT_BUILD_COMMIT ")\n");
        return 0;
    }
    return run(&options, argc, argv);
}

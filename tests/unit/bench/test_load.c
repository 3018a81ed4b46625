/* SPDX-License-Identifier: MIT */
#include "bench/report.h"
#include "kt_test.h"

#include "base/mem.h"
#include "base/net.h"

#include <stdlib.h>

static struct kt_pt_options options;
static struct kt_learnt_subject subjects[] = {{.key = {"s:1", 3}}};
static struct kt_str ids[] = {{"a", 1}};
static struct kt_learnt learnt = {
    .subjects = subjects, .ids = ids, .subject_count = 1, .id_count = 1};
static struct kt_error err;
static atomic_bool stop;

/* Takes connections into its backlog and never answers. */
static kt_socket silent = KT_NO_SOCKET;

static void prepare(void)
{
    uint16_t port = 0;
    char url[64];
    err = (struct kt_error)KT_ERROR_INIT;
    atomic_store(&stop, false);
    if (silent == KT_NO_SOCKET) {
        KT_ASSERT(kt_net_listen("127.0.0.1", 0, 64, &silent, &port, &err) == KT_OK);
        options = (struct kt_pt_options){.repeat = 3,
                                         .requests = 6,
                                         .concurrent = 2,
                                         .threads = 2,
                                         .timeout_s = 0.04,
                                         .give_up_s = 60,
                                         .target_count = 1};
        snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
        KT_ASSERT(kt_target_parse(kt_str(url), &options.targets[0], &err) == KT_OK);
        KT_ASSERT(kt_target_resolve(&options.targets[0], &err) == KT_OK);
    }
    options.requests = 6;
    options.duration_s = options.rate = options.warmup_s = 0;
}

static enum kt_status run_watched(kt_load_progress_fn progress, struct kt_load_result *ret_result)
{
    struct kt_plan plan;
    enum kt_status status = kt_plan_make(&options, KT_SCENARIO_NEWEST, &learnt, &plan, &err);
    if (status == KT_OK) {
        status = kt_load_run(&options, &plan, &stop, progress, NULL, ret_result, &err);
        kt_plan_done(&plan);
    }
    return status;
}

static enum kt_status run(struct kt_load_result *ret_result)
{
    return run_watched(NULL, ret_result);
}

static void every_request_has_one_outcome(void)
{
    struct kt_load_result result;
    prepare();
    CHECK_OK(run(&result));
    CHECK_INT(result.requests, 6);
    CHECK_INT(result.wrong[KT_WRONG_TIMEOUT], 6);
    CHECK_INT(result.right, 0);
    CHECK_INT(result.latency->count, 6);
    CHECK(result.latency->min_us >= 40000);
    CHECK(result.examples[KT_WRONG_TIMEOUT].set);
    kt_load_result_done(&result);
}

static void memory_may_end_anywhere(void)
{
    for (uint64_t nth = 1;; nth++) {
        struct kt_load_result result;
        prepare();
        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        enum kt_status status = run(&result);
        uint64_t calls = kt_fault_calls(KT_FAULT_ALLOC);
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        if (status == KT_OK) {
            CHECK_INT(result.requests, 6);
            kt_load_result_done(&result);
        } else {
            CHECK(status == KT_NO_MEMORY || status == KT_TOO_LARGE);
            CHECK(err.message[0]);
        }
        if (calls < nth) {
            CHECK_INT(status, KT_OK);
            CHECK(nth > 10);
            return;
        }
    }
}

static void by_plan_what_was_not_sent_is_said(void)
{
    struct kt_load_result result;
    prepare();
    options.requests = 0;
    options.duration_s = 0.5;
    options.rate = 1000;
    CHECK_OK(run(&result));
    /* Two connections that wait 40 ms each, and back off: a few of five hundred. */
    CHECK_INT(result.requests + result.unsent, 500);
    CHECK(result.unsent > 300);
    CHECK(result.elapsed_s == 0.5);
    kt_load_result_done(&result);
}

/* As soon as a request has its outcome; a minute is the deadline. */
static void stop_once_it_runs(void *ctx, const struct kt_load_progress *progress)
{
    (void)ctx;
    if (progress->requests > 0 || progress->elapsed_s > 60) {
        atomic_store(&stop, true);
    }
}

static void stopped_it_says_what_there_is(void)
{
    struct kt_load_result result;
    prepare();
    options.requests = 0;
    options.duration_s = 600;
    CHECK_OK(run_watched(stop_once_it_runs, &result));
    CHECK(result.stopped);
    CHECK(result.requests > 0);
    CHECK(result.elapsed_s < 100);
    CHECK_INT(result.requests, result.wrong[KT_WRONG_TIMEOUT] + result.wrong[KT_WRONG_REFUSED]);
    kt_load_result_done(&result);
}

static void nothing_right_for_long_ends_it(void)
{
    struct kt_load_result result;
    prepare();
    options.requests = 1000000;
    options.give_up_s = 0.2;
    CHECK_OK(run(&result));
    options.give_up_s = 60;
    CHECK(result.gave_up);
    CHECK(result.requests > 0);
    kt_load_result_done(&result);
}

/* Reports of a run that went wrong are whole, and hold no markup from outside. */
static void every_form_of_a_report_can_be_made(void)
{
    static struct kt_pt_report report;
    static char *argv[] = {(char *)"pressure_test", (char *)"-token", (char *)"secret"};
    struct kt_buf json, csv, html;
    struct kt_json *parsed = NULL;
    prepare();
    report = (struct kt_pt_report){
        .options = &options, .argc = 3, .argv = argv, .cpus = 2, .run_count = 1};
    report.runs[0].scenario = KT_SCENARIO_NEWEST;
    report.runs[0].target = 500;
    CHECK_OK(run(&report.runs[0].result));
    struct kt_load_example *example = &report.runs[0].result.examples[KT_WRONG_TIMEOUT];
    snprintf(example->text, sizeof(example->text), "<script>\"&\x01");
    kt_buf_init(&json, 0);
    kt_buf_init(&csv, 0);
    kt_buf_init(&html, 0);
    kt_report_json(&report, &json);
    kt_report_csv(&report, &csv);
    kt_report_html(&report, &html);
    CHECK_OK(kt_json_parse(kt_str_trim(kt_buf_str(&json)), KT_JSON_DEPTH_DEFAULT, &parsed, &err));
    kt_json_free(&parsed);
    CHECK(kt_str_find(kt_buf_str(&html), KT_STR("<script")) < 0);
    CHECK(kt_str_find(kt_buf_str(&html), KT_STR("&lt;script&gt;&quot;&amp;")) > 0);
    CHECK(kt_str_find(kt_buf_str(&html), KT_STR("secret")) < 0);
    CHECK(kt_str_find(kt_buf_str(&json), KT_STR("secret")) < 0);
    CHECK(kt_str_find(kt_buf_str(&csv), KT_STR(",newest,2,0,6,0,6,")) > 0);
    kt_buf_done(&json);
    kt_buf_done(&csv);
    kt_buf_done(&html);
    kt_load_result_done(&report.runs[0].result);
}

static const struct kt_test tests[] = {
    TEST(every_request_has_one_outcome),     TEST(memory_may_end_anywhere),
    TEST(by_plan_what_was_not_sent_is_said), TEST(stopped_it_says_what_there_is),
    TEST(nothing_right_for_long_ends_it),    TEST(every_form_of_a_report_can_be_made),
};
KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
/* cleanup.c - takes away what the writes have left. */
#include "bench/verify.h"

#include "base/mem.h"

#include <string.h>

#define SUBJECTS_A_DELETE 500

static bool delete_some(struct kt_ask *ask, const char *url, const struct kt_str *subjects,
                        size_t count, struct kt_error *err)
{
    const struct kt_json_value *root;
    struct kt_buf body;
    kt_buf_init(&body, 0);
    kt_buf_append_text(&body, "{\"all\":true,\"subjects\":[");
    for (size_t i = 0; i < count; i++) {
        kt_buf_printf(&body, "%s\"" KT_STR_FMT "\"", i ? "," : "", KT_STR_ARG(subjects[i]));
    }
    kt_buf_append_text(&body, "]}");
    bool done =
        kt_buf_status(&body) == KT_OK && kt_ask(ask, url, kt_buf_str(&body), &root, err) == KT_OK;
    kt_buf_done(&body);
    return done;
}

void kt_clean_up(struct kt_ask *ask, const struct kt_pt_options *options,
                 const struct kt_plan *plan, struct kt_pt_run *run)
{
    char url[sizeof(options->targets[0].text) + 64];
    struct kt_str subjects[SUBJECTS_A_DELETE];
    struct kt_error err = KT_ERROR_INIT;
    size_t count = 0, writes = 0;
    bool done = true;
    if (plan->writes == 0 || run->result.connects == 0) {
        return; /* nothing can have been written */
    }
    if (options->keep) {
        snprintf(run->note, sizeof(run->note), "what was written is kept: subjects pt:%s:…",
                 plan->run);
        return;
    }
    snprintf(url, sizeof(url), "%s" KT_PT_API "/delete", options->targets[0].text);
    /* The first so many writes are about different subjects, the rest about the same again. */
    for (size_t i = 0; i < plan->count && done && writes < KT_PLAN_WRITE_SUBJECTS; i++) {
        if (plan->requests[i].kind == KT_EXPECT_SAVE) {
            subjects[count++] = plan->requests[i].written_subject;
            writes++;
        }
        if (count == SUBJECTS_A_DELETE) {
            done = delete_some(ask, url, subjects, count, &err);
            count = 0;
        }
    }
    if (done && count) {
        done = delete_some(ask, url, subjects, count, &err);
    }
    if (!done) {
        snprintf(run->note, sizeof(run->note), "subjects pt:%s:… are left: %.300s", plan->run,
                 err.message);
    }
}

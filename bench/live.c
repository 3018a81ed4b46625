/* SPDX-License-Identifier: MIT */
/* live.c - progress on standard error. */
#include <uv.h>

#include "bench/live.h"
#include "bench/report.h"

#include <string.h>

#define PLAIN_EVERY 5
#define BAR 20
#define STDERR 2

void kt_live_begin(struct kt_live *live, const struct kt_pt_options *options, const char *scenario)
{
    *live = (struct kt_live){
        .options = options, .scenario = scenario, .terminal = uv_guess_handle(STDERR) == UV_TTY};
}

/* 0..1 of the way; by number or by time. */
static double part_done(const struct kt_live *live, const struct kt_load_progress *progress)
{
    const struct kt_pt_options *options = live->options;
    double part = options->requests ? (double)progress->requests / (double)options->requests
                                    : progress->elapsed_s / options->duration_s;
    return part < 0 ? 0 : part > 1 ? 1 : part;
}

static double seconds_left(const struct kt_live *live, const struct kt_load_progress *progress,
                           double part)
{
    if (!live->options->requests) {
        return live->options->duration_s - progress->elapsed_s;
    }
    return part > 0 ? progress->elapsed_s / part * (1 - part) : 0;
}

static void print_bar(double part)
{
    for (int i = 0; i < BAR; i++) {
        fputs((double)i + 0.5 < part * BAR ? "█" : "░", stderr);
    }
}

void kt_live_progress(void *ctx, const struct kt_load_progress *progress)
{
    struct kt_live *live = ctx;
    char p50[32], p99[32];
    const struct kt_load_second *last = &progress->last;
    if (live->options->quiet || (!live->terminal && ++live->lines % PLAIN_EVERY != 0)) {
        return;
    }
    double part = part_done(live, progress), span = last->span_s > 0 ? last->span_s : 1;
    if (live->terminal) {
        fputs("\r\x1b[2K", stderr);
        print_bar(part);
        fputc(' ', stderr);
    }
    fprintf(stderr, "%s  %.0f/s  p50 %s  p99 %s  wrong %llu", live->scenario,
            (double)last->right / span, kt_time_text((double)last->p50_us, p50),
            kt_time_text((double)last->p99_us, p99), (unsigned long long)progress->wrong);
    if (progress->warming) {
        fprintf(stderr, "  warming up");
    } else {
        double left = seconds_left(live, progress, part);
        fprintf(stderr, "  %.0f %%, %.0f s left", part * 100, left > 0 ? left : 0);
    }
    fputs(live->terminal ? "" : "\n", stderr);
    fflush(stderr);
}

void kt_live_say(struct kt_live *live, const char *text)
{
    if (!live->options->quiet && live->terminal) {
        fprintf(stderr, "\r\x1b[2K%s  %s", live->scenario, text);
        fflush(stderr);
    }
}

void kt_live_end(struct kt_live *live)
{
    if (!live->options->quiet && live->terminal) {
        fputs("\r\x1b[2K", stderr);
        fflush(stderr);
    }
}

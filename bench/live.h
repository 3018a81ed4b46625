/* live.h - what a person sees while it runs: one line that is renewed on a terminal, a plain line
 * every few seconds otherwise.
 *
 * Threads: one at a time.
 * Owns:    nothing; writes to standard error, so that the report can be piped.
 * Fails:   never.
 */
#ifndef KT_BENCH_LIVE_H
#define KT_BENCH_LIVE_H

#include "bench/load.h"

struct kt_live {
    const struct kt_pt_options *options;
    const char *scenario;
    bool terminal;
    int lines; /* plain seconds since the last line */
};

void kt_live_begin(struct kt_live *live, const struct kt_pt_options *options, const char *scenario);
/* `ctx` is the kt_live. */
void kt_live_progress(void *ctx, const struct kt_load_progress *progress);
/* A word on what is done beside the load: "verifying". */
void kt_live_say(struct kt_live *live, const char *text);
void kt_live_end(struct kt_live *live);

#endif

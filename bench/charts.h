/* charts.h - the curves of the HTML report, as inline SVG.
 *
 * Colours come from the page's style, so that they follow light and dark.
 *
 * Threads: any. Owns: nothing. Fails: the buffer's sticky failure.
 */
#ifndef KT_BENCH_CHARTS_H
#define KT_BENCH_CHARTS_H

#include "base/buf.h"
#include "bench/load.h"

/* Latency over percentiles: each step to the right is ten times rarer. */
void kt_chart_latency(struct kt_buf *dest, const struct kt_hist *hist);
/* Right and wrong answers a second over the time of the run; target 0 = no line. */
void kt_chart_rate(struct kt_buf *dest, const struct kt_load_result *result, double target);

#endif

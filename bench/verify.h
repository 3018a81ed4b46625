/* verify.h - afterwards: are the values right, and is what was acknowledged there?
 *
 * Each body that was found right in shape is compared with what a second source answers to the same
 * request. Nodes may stand at different revisions; where the answers differ and the revisions do
 * too, the second source is asked for the values as recorded at the first one's revision
 * (`recorded_by`), which never change. What can't be compared so is counted as not compared.
 * Afterwards, so that the comparison is no load beside the load.
 *
 * Writes are read back from the second source by subject: an acknowledged record that is not there,
 * or has another value, is a wrong answer.
 *
 * Threads: one.
 * Owns:    nothing.
 * Fails:   never: what goes wrong is in kt_verified, or counted as a wrong answer.
 */
#ifndef KT_BENCH_VERIFY_H
#define KT_BENCH_VERIFY_H

#include "bench/report.h"

void kt_verify(struct kt_ask *ask, const struct kt_pt_options *options, const struct kt_plan *plan,
               atomic_bool *stop, struct kt_load_result *result, struct kt_verified *ret_verified);
/* Deletes the subjects that the run has written; run->note says so when it could not. */
void kt_clean_up(struct kt_ask *ask, const struct kt_pt_options *options,
                 const struct kt_plan *plan, struct kt_pt_run *run);
/* For verify.c and its test: the same values? *ret_where (≥ 64 bytes) is the path of the first
 * difference. next_cursor is not compared. */
bool kt_json_same(const struct kt_json_value *a, const struct kt_json_value *b, char *ret_where,
                  size_t size);

#endif

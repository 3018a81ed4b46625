/* touched.h - which subjects and topics each revision touched: what whoever keeps answers must
 * know.
 *
 * A log entry alone does not say it: a save that replaces topics drops some without naming them,
 * and a record touches the topics that its subject was in *then*. So apply writes a row for every
 * revision, with the change and as part of what all nodes have alike: the subjects that it named,
 * and the topics that held one of them before or after it. A revision that was refused, a generic
 * series or an epoch-start touches nothing; a row is there nevertheless, so that a gap shows.
 *
 * A list is bounded: beyond it is "*", which stands for every subject or topic there is.
 * The rows reach back as far as the log does, and are to be cut with it.
 *
 * Threads: any.
 * Owns:    nothing.
 * Fails:   KT_GONE when log or rows no longer reach back; KT_CORRUPT, KT_IO, KT_BUSY.
 */
#ifndef KT_STORE_TOUCHED_H
#define KT_STORE_TOUCHED_H

#include "base/status.h"
#include "base/str.h"

struct kt_store;

#define KT_TOUCHED_NAMES_MAX 1000 /* of one list */
#define KT_TOUCHED_BYTES_MAX 32768

/* Both lists are JSON: an array of strings, or "*". False: enough. */
typedef bool (*kt_touched_fn)(void *ctx, uint64_t revision, struct kt_str subjects,
                              struct kt_str topics);
/* Each applied revision after `after` up to `until`, ascending. */
enum kt_status kt_store_touched(struct kt_store *store, uint64_t after, uint64_t until,
                                kt_touched_fn take, void *ctx, struct kt_error *err) KT_MUST_CHECK;

#endif

/* export.h - every version that the data holds at one revision, row by row.
 *
 * One read transaction of an own connection sees the data of one moment, however many changes and
 * deletes are applied meanwhile; the catalogue view taken with it is of the very same revision. The
 * price is a WAL that cannot be emptied until it ends, so who opens one must bound how many there
 * are and how long they last.
 *
 * Threads: one at a time per export; many exports beside each other.
 * Owns:    its connection and a reference to the view; what next gives lives until the next call.
 * Fails:   KT_IO, KT_CORRUPT (names file and subject), KT_NO_MEMORY.
 */
#ifndef KT_STORE_EXPORT_H
#define KT_STORE_EXPORT_H

#include "store/store.h"

struct kt_export; /* opaque */

/* Waits for a change that is being applied, no longer. */
enum kt_status kt_export_open(struct kt_store *store, struct kt_export **ret_export,
                              struct kt_error *err) KT_MUST_CHECK;
void kt_export_close(struct kt_export **export);
/* Borrowed; its revision is the export's. */
const struct kt_catalogue *kt_export_view(const struct kt_export *export);
/* Begins the versions of one subject with from ≤ time ≤ to. */
void kt_export_seek(struct kt_export *export, uint32_t subject, int64_t from_s, int64_t to_s);
/* Ascending by (time, period, declare, revision, line); KT_NOT_FOUND at the end. */
enum kt_status kt_export_next(struct kt_export *export, struct kt_version *ret_version,
                              struct kt_error *err) KT_MUST_CHECK;
/* The stamp of a revision; 0 when it is not known. */
enum kt_status kt_export_wall_ms(struct kt_export *export, uint64_t revision, int64_t *ret_wall_ms,
                                 struct kt_error *err) KT_MUST_CHECK;

#endif

/* spool.h - bytes of a request that must lie in a file for a while: beside the database, bounded.
 *
 * SQLite reads a database from a file only, and what must be sorted may not fit into memory. The
 * names are few and fixed (X.db.spool-0 …), so that a start removes what a killed process left.
 *
 * Threads: one at a time per spool.
 * Owns:    the file, which free removes.
 * Fails:   KT_BUSY when KT_SPOOLS_MAX are in use, KT_TOO_LARGE beyond max_bytes, KT_IO,
 *          KT_NO_MEMORY.
 */
#ifndef KT_STORE_SPOOL_H
#define KT_STORE_SPOOL_H

#include "base/status.h"

#include <stddef.h>

#define KT_SPOOLS_MAX 8

struct kt_spool; /* opaque */

/* `beside` is the path of the database. */
enum kt_status kt_spool_new(const char *beside, uint64_t max_bytes, struct kt_spool **ret_spool,
                            struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_spool_write(struct kt_spool *spool, const void *data, size_t len_bytes,
                              struct kt_error *err) KT_MUST_CHECK;
/* Ends the writing; the path may be read until free. */
enum kt_status kt_spool_finish(struct kt_spool *spool, const char **ret_path,
                               struct kt_error *err) KT_MUST_CHECK;
void kt_spool_free(struct kt_spool **spool);
/* Removes what an earlier process left; for the one that holds the database's lock. */
void kt_spools_remove(const char *beside);

#endif

/* sorter.h - pieces of text put in order, when they may not fit into memory.
 *
 * A B-tree in a temporary file beside the database (spool.h), by a temporary SQLite database.
 *
 * Threads: one at a time.
 * Owns:    its file and connection; a piece that next gives lives until the next call.
 * Fails:   KT_BUSY when too many temporary files are in use, KT_TOO_LARGE beyond the bound, KT_IO,
 *          KT_NO_MEMORY.
 */
#ifndef KT_STORE_SORTER_H
#define KT_STORE_SORTER_H

#include "base/status.h"
#include "base/str.h"

struct kt_sorter; /* opaque */

struct kt_sorted {
    uint64_t major, minor; /* ≤ INT64_MAX; pieces that are alike in both stay in their order */
    int64_t number;        /* carried along */
    struct kt_str text;
};

enum kt_status kt_sorter_new(const char *beside, uint64_t max_bytes, struct kt_sorter **ret_sorter,
                             struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_sorter_add(struct kt_sorter *sorter, const struct kt_sorted *piece,
                             struct kt_error *err) KT_MUST_CHECK;
/* Next gives the first piece again; nothing may be added from now on. */
void kt_sorter_rewind(struct kt_sorter *sorter);
/* KT_NOT_FOUND at the end. */
enum kt_status kt_sorter_next(struct kt_sorter *sorter, struct kt_sorted *ret_piece,
                              struct kt_error *err) KT_MUST_CHECK;
void kt_sorter_free(struct kt_sorter **sorter);

#endif

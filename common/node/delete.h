/* delete.h - the body of POST …/data/v1/delete, turned into a change.
 *
 * It says which subjects, and either which of their records (from, to, periods: at least one of
 * them) or `all`, the subjects with everything. What it takes away is gone from history too, so it
 * must be said in full: no "*", nothing by default.
 *
 * Threads: any.
 * Owns:    strings and arrays stand in the document and the arena until done.
 * Fails:   KT_BAD_VALUE / KT_UNKNOWN_FIELD naming the field, KT_TOO_LARGE (more subjects or periods
 *          than the limits allow), KT_NO_MEMORY.
 */
#ifndef KT_NODE_DELETE_H
#define KT_NODE_DELETE_H

#include "base/arena.h"
#include "store/change.h"

#define KT_DELETE_PERIODS_MAX 10000

struct kt_json;

struct kt_delete {
    struct kt_change_delete erase;
    bool dry_run; /* only count */
    struct kt_json *json;
    struct kt_arena *arena;
};

/* *ret_delete is right for kt_delete_done whether it worked or not. */
enum kt_status kt_delete_parse(struct kt_str body, int64_t max_subjects, int json_depth,
                               struct kt_delete *ret_delete, struct kt_error *err) KT_MUST_CHECK;
void kt_delete_done(struct kt_delete *delete);

#endif

/* save.h - the body of POST …/data/v1/save, turned into a change.
 *
 * All or nothing: every subject and record is checked before anything gets a number.
 *
 * Threads: any.
 * Owns:    nothing; the builder is the caller's and is reset first.
 * Fails:   KT_BAD_VALUE / KT_UNKNOWN_FIELD naming "records[3].time",
 *          KT_TOO_LARGE (more subjects or records than the limits allow).
 */
#ifndef KT_NODE_SAVE_H
#define KT_NODE_SAVE_H

#include "store/change.h"

/* Beyond it a JSON number is no longer exact. */
#define KT_IF_REVISION_MAX (INT64_C(1) << 53)

struct kt_save_limits {
    int64_t max_subjects, max_records; /* of one request */
    int json_depth;
};

enum kt_status kt_save_parse(struct kt_str body, const struct kt_save_limits *limits,
                             struct kt_change_builder *builder, struct kt_error *err) KT_MUST_CHECK;

#endif

/* save.h - the body of POST …/data/v1/save, turned into a change.
 *
 * All or nothing: every subject and record is checked before anything gets a number. What the
 * contract names and this version does not build (topics_add, topics_remove, if_revision) is
 * refused as not_supported.
 *
 * Threads: any.
 * Owns:    nothing; the builder is the caller's and is reset first.
 * Fails:   KT_BAD_VALUE / KT_UNKNOWN_FIELD / KT_NOT_SUPPORTED naming "records[3].time",
 *          KT_TOO_LARGE (more subjects or records than the limits allow).
 */
#ifndef KT_NODE_SAVE_H
#define KT_NODE_SAVE_H

#include "store/change.h"

struct kt_save_limits {
    int64_t max_subjects, max_records; /* of one request */
    int json_depth;
};

enum kt_status kt_save_parse(struct kt_str body, const struct kt_save_limits *limits,
                             struct kt_change_builder *builder, struct kt_error *err) KT_MUST_CHECK;

#endif

/* generic.h - the bodies of the generic series' paths, turned into a change or a search.
 *
 * Threads: any.
 * Owns:    nothing; what is parsed is appended to the caller's buffer, or borrows from the caller's
 *          document and arena.
 * Fails:   KT_BAD_VALUE / KT_UNKNOWN_FIELD naming "data.1672502400", KT_TOO_LARGE (points, numbers,
 *          ids beyond their bounds), KT_NO_MEMORY.
 */
#ifndef KT_NODE_GENERIC_H
#define KT_NODE_GENERIC_H

#include "base/arena.h"
#include "store/generic.h"
#include "json/read.h"

#define KT_GENERIC_ID_RULE "a name of 1 to 128 bytes without '/', not \".\" nor \"..\""
#define KT_GENERIC_LIMIT_DEFAULT 10
#define KT_GENERIC_LIMIT_MAX 10000
#define KT_GENERIC_OFFSET_MAX 100000

/* {"id","data":{"<seconds>":[numbers] or null},"createTime","updateTime"} -> an encoded change. */
enum kt_status kt_generic_save_parse(struct kt_str body, int table, int json_depth,
                                     char ret_id[KT_GENERIC_ID_MAX + 1], struct kt_buf *ret_change,
                                     struct kt_error *err) KT_MUST_CHECK;

/* {"tableId","id","ids","prefix","from","to","offset","limit"}, all optional; an empty body is {}.
 * The query borrows from the document and the arena. */
enum kt_status kt_generic_search_parse(struct kt_str body, int json_depth, int64_t max_ids,
                                       struct kt_arena *arena, struct kt_json **ret_json,
                                       struct kt_generic_query *ret_query,
                                       struct kt_error *err) KT_MUST_CHECK;

#endif

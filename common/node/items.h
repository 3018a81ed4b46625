/* items.h - one subject and one record as JSON, in the shapes of save.
 *
 * POST …/save has arrays of them, an import of ndjson one a line; both are judged by the same
 * rules.
 *
 * Threads: any.
 * Owns:    nothing: strings borrow from the document, arrays stand in the arena.
 * Fails:   KT_BAD_VALUE / KT_UNKNOWN_FIELD naming the field behind `path` ("records[3].time"),
 *          KT_NO_MEMORY; the output is then untouched.
 */
#ifndef KT_NODE_ITEMS_H
#define KT_NODE_ITEMS_H

#include "base/arena.h"
#include "store/change.h"
#include "json/read.h"

enum kt_status kt_item_subject(const struct kt_json_value *value, const char *path,
                               struct kt_arena *arena, struct kt_change_subject *ret_subject,
                               struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_item_record(const struct kt_json_value *value, const char *path,
                              struct kt_arena *arena, struct kt_change_record *ret_record,
                              struct kt_error *err) KT_MUST_CHECK;

#endif

/* json_internal.h - the three steps behind kt_json_parse, shared by the files of this directory.
 *
 * Threads: as read.h.
 * Owns:    kt_json_check hands over the patched copy, if it had to make one.
 * Fails:   as read.h.
 */
#ifndef KT_JSON_JSON_INTERNAL_H
#define KT_JSON_JSON_INTERNAL_H

#include "base/status.h"
#include "base/str.h"

struct cJSON;
struct kt_json_value;

/* Checks the whole text and counts its values. *ret_copy stays untouched unless the text holds a
 * number too long for cJSON; then it gets a copy of the same length (heap) in which such numbers
 * stand in short. */
enum kt_status kt_json_check(struct kt_str text, int max_depth, char **ret_copy, size_t *ret_values,
                             struct kt_error *err) KT_MUST_CHECK;

/* As kt_json_member; *ret_index says which of the members it is. */
const struct kt_json_value *kt_json_member_at(const struct kt_json_value *object, const char *name,
                                              size_t *ret_index);

/* Refuses an object of the tree that has two members of one name. */
enum kt_status kt_json_check_unique(const struct cJSON *root, struct kt_error *err) KT_MUST_CHECK;

#endif

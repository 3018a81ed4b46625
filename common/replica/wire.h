/* wire.h - what the formats between the nodes of a cluster (fetch.h, copy.h) have in common:
 * members of JSON that must be there, and epoch vectors.
 *
 * Threads: any; plain functions.
 * Owns:    a parsed vector is the caller's (heap, kt_free).
 * Fails:   KT_BAD_VALUE naming the field, KT_NO_MEMORY.
 */
#ifndef KT_REPLICA_WIRE_H
#define KT_REPLICA_WIRE_H

#include "store/store.h"
#include "json/read.h"
#include "json/write.h"

#define KT_WIRE_WHOLE_MAX (INT64_C(1) << 53)

enum kt_status kt_wire_u64(struct kt_json_fields *fields, const char *name, uint64_t *ret_number,
                           struct kt_error *err) KT_MUST_CHECK;
/* 16 hexadecimal digits. */
enum kt_status kt_wire_id(struct kt_json_fields *fields, const char *name, char dest[KT_ID_LEN + 1],
                          struct kt_error *err) KT_MUST_CHECK;

/* The member "vector": [[epoch,"epoch_id",first_seq],…], ascending. */
void kt_wire_put_vector(struct kt_jw *jw, const struct kt_epoch *vector, size_t count);
/* *ret_present (may be NULL): the member was there. An empty one is NULL, as one that is absent. */
enum kt_status kt_wire_vector(struct kt_json_fields *fields, size_t count_max,
                              struct kt_epoch **ret_vector, size_t *ret_count, bool *ret_present,
                              struct kt_error *err) KT_MUST_CHECK;

#endif

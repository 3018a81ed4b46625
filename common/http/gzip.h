/* gzip.h - compresses answers, whole or as they are streamed (RFC 1952).
 *
 * The fastest level: a node answers many, and most of what JSON repeats is found by it.
 *
 * Threads: any; one mutex around the idle states.
 * Owns:    idle states, KEPT_MAX at most; a streamed answer holds one until its stream_done.
 * Fails:   whole() with false and stream() by doing nothing when out of memory.
 */
#ifndef KT_HTTP_GZIP_H
#define KT_HTTP_GZIP_H

#include "http/message.h"

struct kt_gzip_pool; /* opaque */

struct kt_gzip_pool *kt_gzip_pool_new(void); /* NULL when out of memory */
void kt_gzip_pool_free(struct kt_gzip_pool **pool);
/* Replaces the body and says so in Content-Encoding; false: it is untouched. */
bool kt_gzip_whole(struct kt_gzip_pool *pool, struct kt_http_response *response);
/* Puts itself between the stream and the carrier. Each piece of the stream leaves at once. */
void kt_gzip_stream(struct kt_gzip_pool *pool, struct kt_http_response *response);

#endif

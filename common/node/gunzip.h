/* gunzip.h - a gzip stream unpacked piece by piece (RFC 1952), several members one after the other.
 *
 * Threads: one at a time.
 * Owns:    zlib's state and one input buffer; memory does not grow with the stream.
 * Fails:   KT_BAD_REQUEST when the stream is damaged, cut short, or followed by something else;
 *          KT_TOO_LARGE beyond its ratio; the source's own status.
 */
#ifndef KT_NODE_GUNZIP_H
#define KT_NODE_GUNZIP_H

#include "http/message.h"

struct kt_gunzip; /* opaque */

enum kt_status kt_gunzip_new(struct kt_http_body *source, struct kt_gunzip **ret_gunzip,
                             struct kt_error *err) KT_MUST_CHECK;
/* A stream that unpacks to more than `ratio` times its length fails with KT_TOO_LARGE, once more
 * than KT_GUNZIP_FREE_BYTES came out. Without a bound (0) it may do what gzip can: a thousandfold.
 */
#define KT_GUNZIP_FREE_BYTES (16u << 20)
void kt_gunzip_bound(struct kt_gunzip *gunzip, int64_t ratio);
void kt_gunzip_free(struct kt_gunzip **gunzip);
/* As kt_http_body.read: 0 bytes at the end. */
enum kt_status kt_gunzip_read(struct kt_gunzip *gunzip, void *dest, size_t size, size_t *ret_len,
                              struct kt_error *err) KT_MUST_CHECK;

#endif

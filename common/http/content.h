/* content.h - what a finished answer becomes for who asked: gzip, ETag, 304.
 *
 * Handlers write plain bodies. Behind them, and before the carrier sends, this judges what the
 * request accepts (RFC 9110 section 12.5.3) and what the client has already (section 13.1.2).
 * The tag is a hash of the plain body, so that all nodes give the same answer the same tag; on
 * gzip it is marked weak, because the bytes that are sent differ: `If-None-Match`, which compares
 * weakly, knows both.
 *
 * A state of zlib's takes 260 KB. Few are kept when nobody uses them, each together with the buffer
 * of the last answer; while many answers are compressed at once there is one for each.
 *
 * Threads: any; one mutex around the idle states, never held while compressing.
 * Owns:    the states.
 * Fails:   an answer that can't be compressed for want of memory leaves as it is; one whose headers
 *          can't be written becomes a 500.
 */
#ifndef KT_HTTP_CONTENT_H
#define KT_HTTP_CONTENT_H

#include "http/message.h"

struct kt_content; /* opaque */

#define KT_CONTENT_PLAIN_MAX 1024 /* bodies up to this length are not worth compressing */

struct kt_content *kt_content_new(void); /* NULL when out of memory */
void kt_content_free(struct kt_content **content);
/* Does the request take gzip, and no less gladly than a plain answer? */
bool kt_content_accepts_gzip(const struct kt_http_request *request);
/* Completes a 200: on GET and HEAD adds ETag and Cache-Control and turns into a 304 what the client
 * has, unless response.untagged; compresses bodies above KT_CONTENT_PLAIN_MAX and streams; adds
 * Vary to what it compresses or could have. Other answers, and those with a Content-Encoding, stay
 * as they are. A handler's own ETag is kept; it must be a weak one. */
void kt_content_finish(struct kt_content *content, const struct kt_http_request *request,
                       struct kt_http_response *response);

#endif

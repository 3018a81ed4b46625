/* envelope.h - the one shape of every answer: {"status_code":…,"status_msg":…,"data":…}.
 *
 * Errors carry the HTTP status in the status line and in status_code, data null, a message that
 * names the field and what was expected, and "error":{"code","field","retry"}.
 *
 * The paths of the first Kamaitachi answer {"code":200,"message":"success","data":…}, for its
 * clients; their errors have "code" and "message" beside the members of all others.
 *
 * Threads: any; works on the caller's response.
 * Owns:    nothing.
 * Fails:   sticky in the response.
 */
#ifndef KT_HTTP_ENVELOPE_H
#define KT_HTTP_ENVELOPE_H

#include "http/message.h"
#include "json/write.h"

/* {"status_code":0,"status_msg":"success","data": … the caller writes one value … then end(). After
 * the value further members may be written (kt_jw_kv_u64(jw, "total", …)). */
void kt_envelope_begin(struct kt_http_response *response, struct kt_jw *jw);
void kt_envelope_end(struct kt_jw *jw);
/* The same in the first Kamaitachi's shape. */
void kt_envelope_begin_old(struct kt_http_response *response, struct kt_jw *jw);

/* Replaces whatever the response holds by the error. Sets Retry-After: 1 on 429 and 503 (unless
 * set), and close on statuses that leave the request unread (400 framing, 413, 431 are up to the
 * caller). */
void kt_envelope_error(struct kt_http_response *response, const struct kt_error *err);
/* The body alone, for who has no kt_http_response (the server's own errors). */
void kt_envelope_error_body(struct kt_buf *ret_body, const struct kt_error *err);
/* With the members of the first Kamaitachi too, for its paths (kt_path_is_old). */
void kt_envelope_error_body_old(struct kt_buf *ret_body, const struct kt_error *err);

#endif

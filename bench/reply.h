/* reply.h - reads one HTTP/1 answer at a time, strictly and in place.
 *
 * A load generator that takes half an answer for a whole one, or that finds the next answer in the
 * rest of the last, counts what is wrong as right. So the framing is read as RFC 9112 has it
 * (Content-Length, chunked, an end by closing, no body for HEAD, 1xx, 204 and 304) and everything
 * doubtful is refused: two lengths, both framings, folded lines, bare CR or LF, bytes behind the
 * answer of the only request under way.
 *
 * The caller reads into one buffer, appends, and calls again; nothing is copied or allocated. A
 * chunked body is moved together inside the buffer.
 *
 * Threads: one at a time.
 * Owns:    nothing; slices point into the caller's buffer as it was at the last call (a buffer that
 *          moved is told by passing its new address).
 * Fails:   KT_REPLY_BAD with `why`; the connection must be closed.
 */
#ifndef KT_BENCH_REPLY_H
#define KT_BENCH_REPLY_H

#include "base/str.h"
#include "http/chunks.h"

enum kt_reply_verdict { KT_REPLY_MORE, KT_REPLY_DONE, KT_REPLY_BAD };

struct kt_reply {
    bool to_head; /* the request was HEAD */
    /* of the head, once head_len > 0 */
    int status;
    bool keep_alive, chunked, is_json;
    int64_t content_length;   /* -1 = none given */
    uint64_t revision;        /* X-Kamaitachi-Revision, 0 = none */
    size_t node_at, node_len; /* X-Kamaitachi-Node, offsets in the buffer */
    size_t head_len;
    /* of the body */
    size_t body_len; /* so far, from head_len on */
    const char *why; /* of a BAD */
    /* inner */
    size_t seen;    /* bytes of the head that were looked at, or of the input that were decoded */
    size_t skipped; /* interim answers before head */
    bool no_body, until_close;
    struct kt_h1_chunks chunks;
};

#define KT_REPLY_HEAD_MAX 32768

void kt_reply_begin(struct kt_reply *reply, bool to_head);
/* buffer[0..*len) is what came since the request. *len shrinks when chunks are moved together. */
enum kt_reply_verdict kt_reply_read(struct kt_reply *reply, char *buffer, size_t *len);
/* The peer closed: DONE when that ends the answer, else BAD. */
enum kt_reply_verdict kt_reply_end(struct kt_reply *reply);
struct kt_str kt_reply_body(const struct kt_reply *reply, const char *buffer);
struct kt_str kt_reply_node(const struct kt_reply *reply, const char *buffer);

#endif

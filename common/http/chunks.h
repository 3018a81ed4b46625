/* chunks.h - the chunked framing (RFC 9112, 7.1), read strictly and taken apart in place.
 *
 * Two readers that disagree about where a body ends are how a request is smuggled: a size with a
 * sign, a prefix, spaces or a bare ';' is refused, and so is data without its CRLF. Both carriers
 * use this one: the gateway on what passes through it, a node instead of civetweb's reader.
 *
 * Threads: any; pure functions on the caller's struct.
 * Owns:    nothing.
 * Fails:   KT_H1_BAD; the connection cannot be used further.
 */
#ifndef KT_HTTP_CHUNKS_H
#define KT_HTTP_CHUNKS_H

#include <stddef.h>
#include <stdint.h>

enum kt_h1_verdict {
    KT_H1_OK,
    KT_H1_MORE,      /* not there yet */
    KT_H1_BAD,       /* 400 (a response: 502), then close */
    KT_H1_TOO_LARGE, /* 431: more than 64 headers or 32 KB; heads only */
};

/* Extensions and trailers are checked and dropped. */
struct kt_h1_chunks {
    int state;
    uint64_t left; /* of the present chunk */
    uint32_t digits, line_bytes, trailer_bytes;
};
void kt_h1_chunks_init(struct kt_h1_chunks *chunks);
/* Reads data[0..len), moves the payload to its front: *ret_payload bytes; *ret_used of the input
 * were taken. OK = the body is complete (what is behind *ret_used is the next message), MORE = all
 * was taken and the body goes on, BAD. */
enum kt_h1_verdict kt_h1_chunks_decode(struct kt_h1_chunks *chunks, char *data, size_t len,
                                       size_t *ret_used, size_t *ret_payload);

#endif

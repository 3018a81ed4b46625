/* drip.h - a body in memory that is handed over in pieces of a wanted size.
 *
 * Being asked again after the end is noted: a socket would wait there for the idle deadline.
 *
 * Threads: one.
 * Owns:    nothing; the text is borrowed.
 * Fails:   with fail_with once fail_at bytes are delivered (0 = never).
 */
#ifndef KT_TEST_NODE_DRIP_H
#define KT_TEST_NODE_DRIP_H

#include "http/message.h"

#include <string.h>

struct drip {
    struct kt_str text;
    size_t pos, piece; /* piece 0 = as much as is asked for */
    size_t fail_at;
    enum kt_status fail_with;
    bool at_end;      /* 0 bytes were given */
    int asked_beyond; /* calls after that */
};

/* Fits kt_csv_source_fn and kt_http_body.read. */
static inline enum kt_status drip_read(void *ctx, void *dest, size_t size, size_t *ret_len,
                                       struct kt_error *err)
{
    struct drip *drip = ctx;
    size_t left = drip->text.len - drip->pos;
    size_t len = drip->piece && drip->piece < size ? drip->piece : size;
    drip->asked_beyond += drip->at_end;
    len = len < left ? len : left;
    if (drip->fail_with != KT_OK && drip->pos + len > drip->fail_at) {
        len = drip->fail_at - drip->pos;
        if (len == 0) {
            return kt_fail(err, drip->fail_with, "the source failed");
        }
    }
    if (len > 0) {
        memcpy(dest, drip->text.data + drip->pos, len);
    }
    drip->at_end = len == 0;
    drip->pos += len;
    *ret_len = len;
    return KT_OK;
}

#endif

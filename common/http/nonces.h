/* nonces.h - the nonces of signed requests that were seen lately.
 *
 * A signature is accepted within 60 s of its time, so a nonce has to be known for as long: four
 * buckets by the minute of the signature's time, each cleared when its minute comes round again.
 * Forgetting one too early would allow a replay, so a full table refuses instead.
 *
 * Threads: the caller locks.
 * Owns:    its buckets.
 * Fails:   KT_FORBIDDEN when seen before, KT_BUSY when full, KT_NO_MEMORY.
 */
#ifndef KT_HTTP_NONCES_H
#define KT_HTTP_NONCES_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define KT_NONCE_WINDOW_S 60

struct kt_nonce_bucket {
    int64_t minute;  /* of the signatures in it */
    uint64_t *slots; /* 0 = free */
    size_t cap, count;
};

struct kt_nonces {
    struct kt_nonce_bucket buckets[4];
    size_t max;
};

void kt_nonces_init(struct kt_nonces *nonces, size_t max);
void kt_nonces_done(struct kt_nonces *nonces);
enum kt_status kt_nonces_add(struct kt_nonces *nonces, uint64_t nonce, int64_t time_s,
                             struct kt_error *err) KT_MUST_CHECK;

#endif

/* zipf.h - which of n things is asked for, when some are asked for much more often.
 *
 * The k-th most popular of n has weight 1 / k^theta: real clients ask for few subjects most of the
 * time, and a cache that is measured with uniform questions is measured wrongly. theta 0 is
 * uniform. Drawn by bisection in the cumulated weights: exact for every theta, and n is at most
 * some thousands here.
 *
 * Threads: drawing from any; the generator's state is the caller's.
 * Owns:    the table of weights.
 * Fails:   init with KT_NO_MEMORY.
 */
#ifndef KT_BENCH_ZIPF_H
#define KT_BENCH_ZIPF_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct kt_zipf {
    double *cumulated; /* NULL = uniform */
    size_t count;
};

enum kt_status kt_zipf_init(struct kt_zipf *zipf, size_t count, double theta,
                            struct kt_error *err) KT_MUST_CHECK;
void kt_zipf_done(struct kt_zipf *zipf);
size_t kt_zipf_draw(const struct kt_zipf *zipf, uint64_t *prng); /* 0..count-1; 0 most often */

#endif

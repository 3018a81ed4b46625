/* SPDX-License-Identifier: MIT */
/* zipf.c - draws by a Zipf distribution. */
#include "bench/zipf.h"

#include "base/hash.h"
#include "base/mem.h"

#include <math.h>

enum kt_status kt_zipf_init(struct kt_zipf *zipf, size_t count, double theta, struct kt_error *err)
{
    KT_ASSERT(count > 0);
    *zipf = (struct kt_zipf){.count = count};
    if (theta == 0) {
        return KT_OK;
    }
    zipf->cumulated = kt_reallocarray(NULL, count, sizeof(double));
    if (!zipf->cumulated) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for %zu weights", count);
    }
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += pow((double)(i + 1), -theta);
        zipf->cumulated[i] = sum;
    }
    return KT_OK;
}

void kt_zipf_done(struct kt_zipf *zipf)
{
    kt_free(zipf->cumulated);
    zipf->cumulated = NULL;
}

size_t kt_zipf_draw(const struct kt_zipf *zipf, uint64_t *prng)
{
    uint64_t random = kt_prng_next(prng);
    if (!zipf->cumulated) {
        return (size_t)(random % zipf->count);
    }
    double wanted = (double)(random >> 11) * 0x1p-53 * zipf->cumulated[zipf->count - 1];
    size_t low = 0, high = zipf->count - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (zipf->cumulated[middle] > wanted) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/* SPDX-License-Identifier: MIT */
/* Comparing epoch vectors: a number alone is never compared. */
#include "store/store.h"

#include <string.h>

static uint64_t epoch_end(const struct kt_epoch *epochs, size_t count, size_t index, uint64_t end)
{
    return index + 1 < count ? epochs[index + 1].first_seq - 1 : end;
}

uint64_t kt_epochs_common(const struct kt_epoch *a, size_t a_count, uint64_t a_end,
                          const struct kt_epoch *b, size_t b_count, uint64_t b_end)
{
    for (size_t i = a_count; i-- > 0;) {
        for (size_t j = b_count; j-- > 0;) {
            if (a[i].epoch == b[j].epoch && strcmp(a[i].epoch_id, b[j].epoch_id) == 0) {
                uint64_t end_a = epoch_end(a, a_count, i, a_end);
                uint64_t end_b = epoch_end(b, b_count, j, b_end);
                return end_a < end_b ? end_a : end_b;
            }
        }
    }
    return 0;
}

const struct kt_epoch *kt_epochs_at(const struct kt_epoch *epochs, size_t count, uint64_t seq)
{
    for (size_t i = count; i-- > 0;) {
        if (epochs[i].first_seq <= seq) {
            return &epochs[i];
        }
    }
    return NULL;
}

/* SPDX-License-Identifier: MIT */
/* nonces.c - open addressing over random numbers, which are their own hash. */
#include "http/nonces.h"

#include "base/mem.h"

#include <string.h>

void kt_nonces_init(struct kt_nonces *nonces, size_t max)
{
    memset(nonces, 0, sizeof(*nonces));
    for (size_t i = 0; i < KT_ARRAY_LEN(nonces->buckets); i++) {
        nonces->buckets[i].minute = INT64_MIN;
    }
    nonces->max = max;
}

void kt_nonces_done(struct kt_nonces *nonces)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(nonces->buckets); i++) {
        kt_free(nonces->buckets[i].slots);
        nonces->buckets[i].slots = NULL;
        nonces->buckets[i].cap = nonces->buckets[i].count = 0;
    }
}

/* The slot that holds the nonce, or the free one where it belongs. */
static uint64_t *slot_of(uint64_t *slots, size_t cap, uint64_t nonce)
{
    size_t i = (size_t)nonce & (cap - 1);

    while (slots[i] != 0 && slots[i] != nonce) {
        i = (i + 1) & (cap - 1);
    }
    return &slots[i];
}

static bool grow(struct kt_nonce_bucket *bucket)
{
    size_t cap = bucket->cap ? bucket->cap * 2 : 256;
    uint64_t *slots = kt_calloc(cap, sizeof(*slots));

    if (!slots) {
        return false;
    }
    for (size_t i = 0; i < bucket->cap; i++) {
        if (bucket->slots[i] != 0) {
            *slot_of(slots, cap, bucket->slots[i]) = bucket->slots[i];
        }
    }
    kt_free(bucket->slots);
    bucket->slots = slots;
    bucket->cap = cap;
    return true;
}

/* A minute that comes round again finds signatures at least three minutes old, all refused by
 * their time already. The memory goes too: a burst must not be paid for ever. */
static void restart(struct kt_nonce_bucket *bucket, int64_t minute)
{
    kt_free(bucket->slots);
    bucket->slots = NULL;
    bucket->cap = bucket->count = 0;
    bucket->minute = minute;
}

enum kt_status kt_nonces_add(struct kt_nonces *nonces, uint64_t nonce, int64_t time_s,
                             struct kt_error *err)
{
    int64_t minute = time_s / 60;
    struct kt_nonce_bucket *bucket = &nonces->buckets[(uint64_t)minute & 3];
    size_t count = 0;
    uint64_t *slot;

    if (nonce == 0) {
        nonce = 1; /* 0 marks free slots */
    }
    if (bucket->minute != minute) {
        restart(bucket, minute);
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(nonces->buckets); i++) {
        count += nonces->buckets[i].count;
    }
    if (count >= nonces->max) {
        return kt_fail(err, KT_BUSY, "too many signed requests within two minutes");
    }
    if ((bucket->count + 1) * 2 > bucket->cap && !grow(bucket)) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for the nonces of signed requests");
    }
    slot = slot_of(bucket->slots, bucket->cap, nonce);
    if (*slot != 0) {
        return kt_fail(err, KT_FORBIDDEN, "this signed request was already received");
    }
    *slot = nonce;
    bucket->count++;
    return KT_OK;
}

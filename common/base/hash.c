/* SPDX-License-Identifier: MIT */
/* hash.c - table hashes, cryptographic hashes, base64 and random numbers. */
#include "base/hash.h"

#include "base/status.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <xxhash.h>

#ifdef __linux__
#include <errno.h>
#include <sys/random.h>
#else
#include <openssl/rand.h>
#endif

uint64_t kt_hash64(const void *data, size_t len_bytes)
{
    return XXH3_64bits(data, len_bytes);
}

void kt_sha256(const void *data, size_t len_bytes, unsigned char ret_digest[32])
{
    KT_ASSERT(EVP_Digest(data, len_bytes, ret_digest, NULL, EVP_sha256(), NULL) == 1);
}

void kt_hmac_sha256(struct kt_str key, struct kt_str data, unsigned char ret_mac[32])
{
    /* HMAC takes a NULL key for "the key of last time", even with a length of 0. */
    const char *key_data = key.len ? key.data : "";
    KT_ASSERT(key.len <= INT32_MAX);
    KT_ASSERT(HMAC(EVP_sha256(), key_data, (int)key.len, (const unsigned char *)data.data, data.len,
                   ret_mac, NULL));
}

/* Its time depends on the lengths only, and those are no secret. The volatile keeps the compiler
 * from leaving the loop early. */
bool kt_equal_const_time(struct kt_str a, struct kt_str b)
{
    volatile unsigned char differs = a.len != b.len;
    size_t len = a.len < b.len ? a.len : b.len;
    for (size_t i = 0; i < len; i++) {
        differs = differs | (unsigned char)(a.data[i] ^ b.data[i]);
    }
    return differs == 0;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t kt_base64_encode(const void *data, size_t len_bytes, char *dest)
{
    const unsigned char *bytes = data;
    char *pos = dest;
    for (size_t i = 0; i < len_bytes; i += 3) {
        size_t have = len_bytes - i;
        unsigned group = (unsigned)bytes[i] << 16;
        group |= have > 1 ? (unsigned)bytes[i + 1] << 8 : 0;
        group |= have > 2 ? bytes[i + 2] : 0;
        *pos++ = base64_digits[group >> 18];
        *pos++ = base64_digits[group >> 12 & 63];
        *pos++ = have > 1 ? base64_digits[group >> 6 & 63] : '=';
        *pos++ = have > 2 ? base64_digits[group & 63] : '=';
    }
    *pos = '\0';
    return (size_t)(pos - dest);
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool kt_base64_decode(struct kt_str text, void *dest, size_t *ret_len_bytes)
{
    unsigned char *out = dest;
    size_t len = 0;
    if (text.len % 4 != 0) {
        return false;
    }
    for (size_t i = 0; i < text.len; i += 4) {
        const char *quad = text.data + i;
        size_t pad = 0;
        if (i + 4 == text.len) {
            pad = quad[3] != '=' ? 0 : quad[2] != '=' ? 1 : 2;
        }
        unsigned group = 0;
        for (size_t j = 0; j < 4; j++) {
            int value = j < 4 - pad ? base64_value(quad[j]) : 0;
            if (value < 0) {
                return false;
            }
            group = group << 6 | (unsigned)value;
        }
        /* Bits that the padding hides must be zero: one text for each content. */
        if ((pad == 1 && (group & 0xFF)) || (pad == 2 && (group & 0xFFFF))) {
            return false;
        }
        out[len++] = (unsigned char)(group >> 16);
        if (pad < 2) {
            out[len++] = (unsigned char)(group >> 8);
        }
        if (pad < 1) {
            out[len++] = (unsigned char)group;
        }
    }
    *ret_len_bytes = len;
    return true;
}

void kt_random_bytes(void *dest, size_t len_bytes)
{
#ifdef __linux__
    unsigned char *pos = dest;
    while (len_bytes > 0) {
        ssize_t got = getrandom(pos, len_bytes, 0);
        KT_ASSERT(got > 0 || errno == EINTR);
        if (got > 0) {
            pos += got;
            len_bytes -= (size_t)got;
        }
    }
#else
    KT_ASSERT(len_bytes <= INT32_MAX);
    KT_ASSERT(RAND_bytes(dest, (int)len_bytes) == 1);
#endif
}

uint64_t kt_random_u64(void)
{
    uint64_t value;
    kt_random_bytes(&value, sizeof value);
    return value;
}

void kt_random_id(char dest[KT_ID_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";
    uint64_t value = kt_random_u64();
    for (int i = 0; i < KT_ID_LEN; i++) {
        dest[i] = digits[value >> 60];
        value <<= 4;
    }
    dest[KT_ID_LEN] = '\0';
}

/* A state of 0 would stay 0 for ever. */
uint64_t kt_prng_next(uint64_t *state)
{
    uint64_t x = *state ? *state : UINT64_C(0x9E3779B97F4A7C15);
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(2685821657736338717);
}

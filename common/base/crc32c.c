/* SPDX-License-Identifier: MIT */
/* crc32c.c - CRC32C by the processor's own instruction where there is one, else eight table steps
 * at a time ("slicing by 8", M. Kounavis and F. Berry, 2005). */
#include "base/hash.h"

#include <pthread.h>
#include <string.h>

enum { POLYNOMIAL = (int)0x82F63B78 }; /* Castagnoli's, bits reversed */

static uint32_t tables[8][256];
static uint32_t (*update)(uint32_t crc, const unsigned char *pos, size_t len_bytes);

static uint64_t load_le64(const unsigned char *pos)
{
    uint64_t word;
    memcpy(&word, pos, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static uint32_t update_by_tables(uint32_t crc, const unsigned char *pos, size_t len_bytes)
{
    for (; len_bytes >= 8; pos += 8, len_bytes -= 8) {
        uint64_t word = load_le64(pos) ^ crc;
        crc = 0;
        for (int i = 0; i < 8; i++) {
            crc ^= tables[7 - i][word >> (8 * i) & 0xFF];
        }
    }
    for (; len_bytes > 0; pos++, len_bytes--) {
        crc = crc >> 8 ^ tables[0][(crc ^ *pos) & 0xFF];
    }
    return crc;
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t
update_by_sse42(uint32_t crc, const unsigned char *pos, size_t len_bytes)
{
    uint64_t wide = crc;
    for (; len_bytes >= 8; pos += 8, len_bytes -= 8) {
        wide = _mm_crc32_u64(wide, load_le64(pos));
    }
    crc = (uint32_t)wide;
    for (; len_bytes > 0; pos++, len_bytes--) {
        crc = _mm_crc32_u8(crc, *pos);
    }
    return crc;
}
#endif

static void choose(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? (uint32_t)POLYNOMIAL : 0);
        }
        tables[0][i] = crc;
    }
    for (int t = 1; t < 8; t++) {
        for (int i = 0; i < 256; i++) {
            uint32_t below = tables[t - 1][i];
            tables[t][i] = below >> 8 ^ tables[0][below & 0xFF];
        }
    }
    update = update_by_tables;
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("sse4.2")) {
        update = update_by_sse42;
    }
#endif
}

static pthread_once_t chosen = PTHREAD_ONCE_INIT;

uint32_t kt_crc32c(uint32_t crc, const void *data, size_t len_bytes)
{
    pthread_once(&chosen, choose);
    return ~update(~crc, data, len_bytes);
}

uint32_t kt_crc32c_by_tables(uint32_t crc, const void *data, size_t len_bytes)
{
    pthread_once(&chosen, choose);
    return ~update_by_tables(~crc, data, len_bytes);
}

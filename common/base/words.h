/* words.h - eight bytes of text at a time.
 *
 * Below 0x80, a byte minus n has its top bit exactly when it was smaller than n; a borrow into the
 * next byte comes from such a one only, so that "none" is exact, though which byte it was is not.
 *
 * Threads: any.
 * Owns:    nothing.
 * Fails:   never.
 */
#ifndef KT_BASE_WORDS_H
#define KT_BASE_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define KT_EACH_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

static inline uint64_t kt_word_load(const void *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

/* Of 1 to 7 bytes: each of them, some twice, and spaces. */
static inline uint64_t kt_word_load_short(const char *at, size_t len)
{
    if (len >= 4) {
        uint32_t first, last;
        memcpy(&first, at, sizeof(first));
        memcpy(&last, at + len - sizeof(last), sizeof(last));
        return (uint64_t)last << 32 | first;
    }
    uint64_t first = (unsigned char)at[0], middle = (unsigned char)at[len / 2],
             last = (unsigned char)at[len - 1];
    return KT_EACH_BYTE(' ') << 24 | last << 16 | middle << 8 | first;
}

/* Is each byte ASCII, at least 0x20, and neither of the two? */
static inline bool kt_word_is_free_of(uint64_t word, unsigned char one, unsigned char other)
{
    uint64_t found = word | (word - KT_EACH_BYTE(0x20)) |
                     ((word ^ KT_EACH_BYTE(one)) - KT_EACH_BYTE(1)) |
                     ((word ^ KT_EACH_BYTE(other)) - KT_EACH_BYTE(1));
    return (found & KT_EACH_BYTE(0x80)) == 0;
}

#endif

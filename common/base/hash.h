/* hash.h - the hashes in use, each for its purpose.
 *
 * XXH3 (xxHash by Y. Collet) for tables and request keys; CRC32C (Castagnoli, RFC 3720 B.4) for
 * bytes on disk and on the wire; SHA-256 and HMAC (FIPS 180-4, RFC 2104) where an adversary may
 * choose the input; constant-time comparison for secrets.
 *
 * Threads: any.
 * Owns:    nothing.
 * Fails:   the cryptographic ones only when OpenSSL does, which is an assertion.
 */
#ifndef KT_BASE_HASH_H
#define KT_BASE_HASH_H

#include "base/str.h"

#include <stddef.h>
#include <stdint.h>

uint64_t kt_hash64(const void *data, size_t len_bytes);
uint32_t kt_crc32c(uint32_t crc, const void *data, size_t len_bytes); /* start with 0 */
/* The same without the processor's instruction; for tests. */
uint32_t kt_crc32c_by_tables(uint32_t crc, const void *data, size_t len_bytes);
void kt_sha256(const void *data, size_t len_bytes, unsigned char ret_digest[32]);
void kt_hmac_sha256(struct kt_str key, struct kt_str data, unsigned char ret_mac[32]);
bool kt_equal_const_time(struct kt_str a, struct kt_str b);

size_t kt_base64_encode(const void *data, size_t len_bytes, char *dest); /* dest: 4*ceil(n/3)+1 */
/* Strict RFC 4648 with padding. dest needs 3*(len/4) bytes. */
bool kt_base64_decode(struct kt_str text, void *dest, size_t *ret_len_bytes);

/* Random bytes from the operating system; never fails (aborts if the system has none). */
void kt_random_bytes(void *dest, size_t len_bytes);
uint64_t kt_random_u64(void);
/* 16 lower-case hex digits and NUL of 64 random bits: node ids, epoch ids, nonces. */
#define KT_ID_LEN 16
void kt_random_id(char dest[KT_ID_LEN + 1]);
/* A fast non-cryptographic generator for load balancing and jitter (xorshift64*, S. Vigna). */
uint64_t kt_prng_next(uint64_t *state);

#endif

/* gzip.h - packing for the tests: one member a call, appended.
 *
 * Threads: any. Owns: nothing. Fails: aborts.
 */
#ifndef KT_TEST_NODE_GZIP_H
#define KT_TEST_NODE_GZIP_H

#include "base/buf.h"

enum gzip_wrap { GZIP_MEMBER, GZIP_ZLIB, GZIP_RAW };

void gzip_append(struct kt_str text, enum gzip_wrap wrap, struct kt_buf *ret_packed);
/* `count` bytes of `fill` without holding them in memory. */
void gzip_append_run(char fill, size_t count, struct kt_buf *ret_packed);
/* Two texts in one member, with everything of the first flushed before the second begins; returns
 * the length of the part that holds the first. */
size_t gzip_append_flushed(struct kt_str first, struct kt_str second, struct kt_buf *ret_packed);

#endif

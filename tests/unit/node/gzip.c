/* SPDX-License-Identifier: MIT */
#include "gzip.h"

#include <zlib.h>

#include <stdlib.h>
#include <string.h>

static void start(z_stream *zlib, enum gzip_wrap wrap)
{
    int window = wrap == GZIP_MEMBER ? MAX_WBITS + 16 : wrap == GZIP_ZLIB ? MAX_WBITS : -MAX_WBITS;
    memset(zlib, 0, sizeof(*zlib));
    if (deflateInit2(zlib, 6, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        abort();
    }
}

static void feed(z_stream *zlib, struct kt_str text, int flush, struct kt_buf *ret_packed)
{
    unsigned char piece[16384];
    zlib->next_in = (unsigned char *)(uintptr_t)text.data;
    zlib->avail_in = (uInt)text.len;
    do {
        zlib->next_out = piece;
        zlib->avail_out = sizeof(piece);
        if (deflate(zlib, flush) == Z_STREAM_ERROR) {
            abort();
        }
        kt_buf_append(ret_packed, piece, sizeof(piece) - zlib->avail_out);
    } while (zlib->avail_out == 0);
}

void gzip_append(struct kt_str text, enum gzip_wrap wrap, struct kt_buf *ret_packed)
{
    z_stream zlib;
    start(&zlib, wrap);
    feed(&zlib, text, Z_FINISH, ret_packed);
    deflateEnd(&zlib);
}

void gzip_append_run(char fill, size_t count, struct kt_buf *ret_packed)
{
    char piece[8192];
    z_stream zlib;
    memset(piece, fill, sizeof(piece));
    start(&zlib, GZIP_MEMBER);
    for (size_t left = count; left > 0;) {
        size_t len = left < sizeof(piece) ? left : sizeof(piece);
        feed(&zlib, kt_str_n(piece, len), Z_NO_FLUSH, ret_packed);
        left -= len;
    }
    feed(&zlib, KT_STR(""), Z_FINISH, ret_packed);
    deflateEnd(&zlib);
}

size_t gzip_append_flushed(struct kt_str first, struct kt_str second, struct kt_buf *ret_packed)
{
    size_t before = ret_packed->len_bytes;
    z_stream zlib;
    start(&zlib, GZIP_MEMBER);
    feed(&zlib, first, Z_SYNC_FLUSH, ret_packed);
    size_t flushed = ret_packed->len_bytes - before;
    feed(&zlib, second, Z_FINISH, ret_packed);
    deflateEnd(&zlib);
    return flushed;
}

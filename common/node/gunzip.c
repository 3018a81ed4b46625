/* SPDX-License-Identifier: MIT */
#include "node/gunzip.h"

#include "base/mem.h"

#include <zlib.h>

#include <string.h>

#define INPUT_BYTES 32768
#define GZIP_WINDOW (MAX_WBITS + 16) /* zlib: 16 more means a gzip header is expected */

struct kt_gunzip {
    struct kt_http_body *source;
    z_stream zlib;
    bool source_ended, member_open, any_member;
    int64_t ratio;         /* 0 = unbounded */
    uint64_t taken, given; /* of all members */
    unsigned char input[INPUT_BYTES];
};

static voidpf zlib_alloc(voidpf opaque, uInt items, uInt size)
{
    (void)opaque;
    return kt_calloc(items, size);
}

static void zlib_free(voidpf opaque, voidpf block)
{
    (void)opaque;
    kt_free(block);
}

enum kt_status kt_gunzip_new(struct kt_http_body *source, struct kt_gunzip **ret_gunzip,
                             struct kt_error *err)
{
    struct kt_gunzip *gunzip = kt_calloc(1, sizeof(*gunzip));
    if (!gunzip) {
        return kt_fail(err, KT_NO_MEMORY, "a gzip stream");
    }
    gunzip->source = source;
    gunzip->zlib.zalloc = zlib_alloc;
    gunzip->zlib.zfree = zlib_free;
    if (inflateInit2(&gunzip->zlib, GZIP_WINDOW) != Z_OK) {
        kt_free(gunzip);
        return kt_fail(err, KT_NO_MEMORY, "a gzip stream");
    }
    *ret_gunzip = gunzip;
    return KT_OK;
}

void kt_gunzip_bound(struct kt_gunzip *gunzip, int64_t ratio)
{
    gunzip->ratio = ratio;
}

void kt_gunzip_free(struct kt_gunzip **gunzip)
{
    if (*gunzip) {
        (void)inflateEnd(&(*gunzip)->zlib);
        kt_free(*gunzip);
        *gunzip = NULL;
    }
}

static enum kt_status fill(struct kt_gunzip *gunzip, struct kt_error *err)
{
    size_t len = 0;
    enum kt_status status =
        gunzip->source->read(gunzip->source->ctx, gunzip->input, sizeof(gunzip->input), &len, err);
    gunzip->zlib.next_in = gunzip->input;
    gunzip->zlib.avail_in = status == KT_OK ? (uInt)len : 0;
    if (status == KT_OK && len == 0) {
        gunzip->source_ended = true;
    }
    gunzip->taken += status == KT_OK ? len : 0;
    return status;
}

/* One call of inflate; true in *ret_stop when the caller's buffer is full or the stream has ended.
 */
static enum kt_status inflate_some(struct kt_gunzip *gunzip, bool *ret_stop, struct kt_error *err)
{
    if (!gunzip->member_open && gunzip->any_member) {
        (void)inflateReset(&gunzip->zlib);
    }
    gunzip->member_open = true;
    gunzip->any_member = true;
    int result = inflate(&gunzip->zlib, Z_NO_FLUSH);
    if (result == Z_STREAM_END) {
        gunzip->member_open = false;
    } else if (result == Z_MEM_ERROR) {
        return kt_fail(err, KT_NO_MEMORY, "a gzip stream");
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
        return kt_fail(err, KT_BAD_REQUEST, "the body is not valid gzip: %s",
                       gunzip->zlib.msg ? gunzip->zlib.msg : "damaged");
    }
    *ret_stop = gunzip->zlib.avail_out == 0;
    return KT_OK;
}

static bool is_bomb(const struct kt_gunzip *gunzip)
{
    return gunzip->ratio > 0 && gunzip->given > KT_GUNZIP_FREE_BYTES &&
           gunzip->given / (uint64_t)gunzip->ratio > gunzip->taken;
}

enum kt_status kt_gunzip_read(struct kt_gunzip *gunzip, void *dest, size_t size, size_t *ret_len,
                              struct kt_error *err)
{
    bool stop = size == 0;
    uInt want = size > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uInt)size;
    enum kt_status status = KT_OK;
    gunzip->zlib.next_out = dest;
    gunzip->zlib.avail_out = want;
    while (status == KT_OK && !stop) {
        if (gunzip->zlib.avail_in == 0 && !gunzip->source_ended) {
            if (gunzip->zlib.avail_out < want && gunzip->member_open) {
                /* Hand over what is there before waiting for more. */
                status = inflate_some(gunzip, &stop, err);
                stop = stop || gunzip->zlib.avail_out < want;
                continue;
            }
            status = fill(gunzip, err);
        } else if (gunzip->zlib.avail_in == 0) {
            if (gunzip->member_open || !gunzip->any_member) {
                uInt before = gunzip->zlib.avail_out;
                status = inflate_some(gunzip, &stop, err);
                if (status == KT_OK && gunzip->member_open && gunzip->zlib.avail_out == before) {
                    status = gunzip->zlib.avail_out < want
                                 ? KT_OK
                                 : kt_fail(err, KT_BAD_REQUEST, "the gzip body is cut short");
                    stop = true;
                }
            } else {
                stop = true;
            }
        } else {
            status = inflate_some(gunzip, &stop, err);
        }
    }
    gunzip->given += want - gunzip->zlib.avail_out;
    if (status == KT_OK && is_bomb(gunzip)) {
        status = kt_fail(err, KT_TOO_LARGE,
                         "the gzip body unpacks to more than %lld times its length ([limits] "
                         "gzip_ratio)",
                         (long long)gunzip->ratio);
    }
    if (status == KT_OK) {
        *ret_len = want - gunzip->zlib.avail_out;
    }
    return status;
}

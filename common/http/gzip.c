/* SPDX-License-Identifier: MIT */
#include "http/gzip.h"

#include <zlib.h>

#include "base/mem.h"
#include "base/thread.h"

#define GZIP_WINDOW (MAX_WBITS + 16) /* zlib: 16 more means a gzip header is written */
#define GZIP_MEMORY 8                /* zlib's default: 128 KB of tables */
#define KEPT_MAX 16
#define KEPT_BUF_BYTES 262144
#define INPUT_BYTES_MAX (1u << 30) /* zlib counts in unsigned int */
#define STEP_BYTES 16384
#define RATIO 8 /* a first guess at how much shorter JSON gets */

struct state {
    struct state *next;
    z_stream zlib;
    struct kt_buf spare; /* takes the compressed body and changes places with the plain one */
};

struct kt_gzip_pool {
    struct kt_mutex lock;
    struct state *idle;
    size_t idle_count;
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

static void state_free(struct state **state)
{
    (void)deflateEnd(&(*state)->zlib);
    kt_buf_done(&(*state)->spare);
    kt_free(*state);
    *state = NULL;
}

static struct state *state_new(void)
{
    struct state *state = kt_calloc(1, sizeof(*state));

    if (!state) {
        return NULL;
    }
    kt_buf_init(&state->spare, 0);
    state->zlib.zalloc = zlib_alloc;
    state->zlib.zfree = zlib_free;
    if (deflateInit2(&state->zlib, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        kt_free(state);
        return NULL;
    }
    return state;
}

/* ---- the pool ---- */

struct kt_gzip_pool *kt_gzip_pool_new(void)
{
    struct kt_gzip_pool *pool = kt_calloc(1, sizeof(*pool));

    if (pool) {
        kt_mutex_init(&pool->lock, "gzip", KT_RANK_HTTP);
    }
    return pool;
}

void kt_gzip_pool_free(struct kt_gzip_pool **pool)
{
    struct kt_gzip_pool *self = *pool;

    if (!self) {
        return;
    }
    while (self->idle) {
        struct state *state = self->idle;

        self->idle = state->next;
        state_free(&state);
    }
    kt_mutex_done(&self->lock);
    kt_free(self);
    *pool = NULL;
}

static struct state *pool_get(struct kt_gzip_pool *pool)
{
    struct state *state;

    kt_mutex_lock(&pool->lock);
    state = pool->idle;
    if (state) {
        pool->idle = state->next;
        pool->idle_count--;
    }
    kt_mutex_unlock(&pool->lock);
    return state ? state : state_new();
}

static void pool_put(struct kt_gzip_pool *pool, struct state *state)
{
    bool keep = deflateReset(&state->zlib) == Z_OK;

    if (state->spare.cap_bytes > KEPT_BUF_BYTES) {
        kt_buf_done(&state->spare);
        kt_buf_init(&state->spare, 0);
    }
    kt_mutex_lock(&pool->lock);
    keep = keep && pool->idle_count < KEPT_MAX;
    if (keep) {
        state->next = pool->idle;
        pool->idle = state;
        pool->idle_count++;
    }
    kt_mutex_unlock(&pool->lock);
    if (!keep) {
        state_free(&state);
    }
}

/* ---- compressing ---- */

/* Appends all that `data` gives with this flush; false when there is no memory. */
static bool compress_part(z_stream *zlib, const char *data, size_t len, int flush,
                          struct kt_buf *out)
{
    int result;

    zlib->next_in = (Bytef *)data;
    zlib->avail_in = (uInt)len;
    do {
        if (out->cap_bytes - out->len_bytes < STEP_BYTES / 4 && !kt_buf_reserve(out, STEP_BYTES)) {
            return false;
        }
        /* One byte stays free for the NUL that follows a buffer's content. */
        zlib->avail_out = (uInt)(out->cap_bytes - out->len_bytes - 1);
        zlib->next_out = (Bytef *)out->data + out->len_bytes;
        result = deflate(zlib, flush);
        out->len_bytes = (size_t)((char *)zlib->next_out - out->data);
        out->data[out->len_bytes] = '\0';
    } while (result == Z_OK && zlib->avail_out == 0);
    /* Z_BUF_ERROR: there was nothing left to do. */
    return result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR;
}

static bool compress_all(z_stream *zlib, struct kt_str body, struct kt_buf *out)
{
    bool good = kt_buf_reserve(out, body.len / RATIO + STEP_BYTES);

    while (good && body.len > INPUT_BYTES_MAX) {
        good = compress_part(zlib, body.data, INPUT_BYTES_MAX, Z_NO_FLUSH, out);
        body.data += INPUT_BYTES_MAX;
        body.len -= INPUT_BYTES_MAX;
    }
    return good && compress_part(zlib, body.data, body.len, Z_FINISH, out);
}

/* The buffers change places, unless that would give the body more room than it may have. */
static void take_spare(struct state *state, struct kt_http_response *response)
{
    struct kt_buf plain = response->body;

    if (plain.max_bytes && state->spare.cap_bytes > plain.max_bytes + 1) {
        kt_buf_clear(&response->body);
        kt_buf_append_str(&response->body, kt_buf_str(&state->spare));
        return;
    }
    response->body = state->spare;
    response->body.max_bytes = plain.max_bytes;
    response->body.share = plain.share;
    state->spare = plain;
    state->spare.max_bytes = 0;
    state->spare.share = NULL;
}

bool kt_gzip_whole(struct kt_gzip_pool *pool, struct kt_http_response *response)
{
    struct state *state = pool_get(pool);
    bool good;

    if (!state) {
        return false;
    }
    kt_buf_clear(&state->spare);
    good = compress_all(&state->zlib, kt_buf_str(&response->body), &state->spare);
    if (good) {
        take_spare(state, response);
        kt_http_response_header(response, "Content-Encoding", KT_STR("gzip"));
    }
    pool_put(pool, state);
    return good;
}

/* ---- streams ---- */

struct gzip_stream {
    struct kt_gzip_pool *pool;
    struct state *state; /* whose spare buffer takes the plain pieces */
    bool ended;
    enum kt_status (*next)(void *ctx, struct kt_buf *chunk, struct kt_error *err);
    void (*done)(void *ctx);
    void *ctx;
};

static enum kt_status stream_next(void *ctx, struct kt_buf *chunk, struct kt_error *err)
{
    struct gzip_stream *stream = ctx;
    struct kt_buf *plain = &stream->state->spare;
    enum kt_status status;

    if (stream->ended) {
        return KT_OK;
    }
    kt_buf_clear(plain);
    status = stream->next(stream->ctx, plain, err);
    if (status != KT_OK) {
        return status;
    }
    if (kt_buf_status(plain) != KT_OK || plain->len_bytes > INPUT_BYTES_MAX) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for a part of the answer");
    }
    stream->ended = plain->len_bytes == 0;
    if (!compress_part(&stream->state->zlib, plain->len_bytes ? plain->data : "", plain->len_bytes,
                       stream->ended ? Z_FINISH : Z_SYNC_FLUSH, chunk)) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for compressing a part of the answer");
    }
    return KT_OK;
}

static void stream_done(void *ctx)
{
    struct gzip_stream *stream = ctx;

    if (stream->done) {
        stream->done(stream->ctx);
    }
    pool_put(stream->pool, stream->state);
}

void kt_gzip_stream(struct kt_gzip_pool *pool, struct kt_http_response *response)
{
    struct gzip_stream *stream = kt_arena_zalloc(response->arena, 1, sizeof(*stream));
    struct state *state = stream ? pool_get(pool) : NULL;

    if (!state) {
        return;
    }
    stream->pool = pool;
    stream->state = state;
    stream->next = response->stream_next;
    stream->done = response->stream_done;
    stream->ctx = response->stream_ctx;
    response->stream_next = stream_next;
    response->stream_done = stream_done;
    response->stream_ctx = stream;
    kt_http_response_header(response, "Content-Encoding", KT_STR("gzip"));
}

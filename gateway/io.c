/* SPDX-License-Identifier: MIT */
/* io.c - a TCP stream of a loop. */
#include <uv.h>

#include "gateway/io.h"

#include "base/mem.h"
#include "base/net.h"
#include "base/status.h"

#include <string.h>

#define POOL_KEEPS 256

struct queued {
    uv_write_t request;
    struct kt_io *io;
    size_t len;
    char data[];
};

char *kt_io_pool_get(struct kt_io_pool *pool)
{
    void **buffer = pool->free_list;

    if (!buffer) {
        return kt_malloc(KT_IO_BUFFER_BYTES);
    }
    pool->free_list = *buffer;
    pool->free_count--;
    return (char *)buffer;
}

void kt_io_pool_put(struct kt_io_pool *pool, char *buffer)
{
    if (!buffer) {
        return;
    }
    if (pool->free_count >= POOL_KEEPS) {
        kt_free(buffer);
        return;
    }
    memcpy(buffer, &pool->free_list, sizeof(pool->free_list));
    pool->free_list = buffer;
    pool->free_count++;
}

void kt_io_pool_done(struct kt_io_pool *pool)
{
    while (pool->free_list) {
        void *buffer = pool->free_list;

        memcpy(&pool->free_list, buffer, sizeof(pool->free_list));
        kt_free(buffer);
    }
    pool->free_count = 0;
}

int kt_io_init(struct kt_io *io, uv_loop_t *loop, struct kt_io_pool *pool,
               const struct kt_io_events *events)
{
    io->pool = pool;
    io->events = events;
    io->in = NULL;
    io->start = io->end = io->queued_bytes = 0;
    io->taken_bytes = 0;
    io->reading = io->ended = io->closing = io->broken = false;
    return uv_tcp_init(loop, &io->tcp);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct kt_io *io = (struct kt_io *)handle;

    (void)suggested;
    if (!io->in) {
        io->in = kt_io_pool_get(io->pool);
        io->start = io->end = 0;
    }
    *ret_buf = io->in ? uv_buf_init(io->in + io->end, (unsigned)(KT_IO_BUFFER_BYTES - io->end))
                      : uv_buf_init(NULL, 0);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct kt_io *io = (struct kt_io *)stream;

    (void)buf;
    if (io->closing) {
        return;
    }
    if (count < 0) {
        io->ended = true;
        kt_io_pause(io);
        kt_io_rest(io);
        io->events->on_end(io, (int)count);
        return;
    }
    if (count == 0) {
        kt_io_rest(io);
        return;
    }
    io->end += (size_t)count;
    if (io->end == KT_IO_BUFFER_BYTES) {
        kt_io_pause(io);
    }
    io->events->on_data(io);
}

void kt_io_move(struct kt_io *io)
{
    if (io->in && io->start > 0) {
        memmove(io->in, io->in + io->start, kt_io_len(io));
        io->end -= io->start;
        io->start = 0;
    }
}

void kt_io_read(struct kt_io *io, bool may_move)
{
    if (io->reading || io->ended || io->closing) {
        return;
    }
    if (may_move) {
        kt_io_move(io);
    }
    if (io->in && io->end == KT_IO_BUFFER_BYTES) {
        return;
    }
    io->reading = uv_read_start((uv_stream_t *)&io->tcp, on_alloc, on_read) == 0;
}

void kt_io_pause(struct kt_io *io)
{
    if (io->reading) {
        io->reading = false;
        uv_read_stop((uv_stream_t *)&io->tcp);
    }
}

void kt_io_rest(struct kt_io *io)
{
    if (io->in && io->start == io->end) {
        kt_io_pool_put(io->pool, io->in);
        io->in = NULL;
        io->start = io->end = 0;
    }
}

static void on_written(uv_write_t *request, int status)
{
    struct queued *queued = (struct queued *)request;
    struct kt_io *io = queued->io;

    io->queued_bytes -= queued->len;
    kt_free(queued);
    if (io->closing) {
        return;
    }
    if (status < 0) {
        io->broken = true;
    }
    if (io->queued_bytes == 0) {
        io->events->on_drained(io);
    }
}

static bool enqueue(struct kt_io *io, const uv_buf_t *pieces, unsigned count, size_t skip,
                    size_t len)
{
    struct queued *queued = kt_malloc(sizeof(*queued) + len);
    size_t at = 0;
    uv_buf_t buf;

    if (!queued) {
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        size_t from = skip < pieces[i].len ? skip : pieces[i].len;

        memcpy(queued->data + at, pieces[i].base + from, pieces[i].len - from);
        at += pieces[i].len - from;
        skip -= from;
    }
    KT_ASSERT(at == len);
    queued->io = io;
    queued->len = len;
    buf = uv_buf_init(queued->data, (unsigned)len);
    if (uv_write(&queued->request, (uv_stream_t *)&io->tcp, &buf, 1, on_written) != 0) {
        kt_free(queued);
        return false;
    }
    io->queued_bytes += len;
    io->taken_bytes += len;
    return true;
}

bool kt_io_write(struct kt_io *io, uv_buf_t *pieces, unsigned count)
{
    size_t total = 0;
    int sent = 0;

    for (unsigned i = 0; i < count; i++) {
        total += pieces[i].len;
    }
    if (io->broken || io->closing) {
        return false;
    }
    if (total == 0) {
        return true;
    }
    if (io->queued_bytes == 0) {
        sent = uv_try_write((uv_stream_t *)&io->tcp, pieces, count);
        if (sent < 0 && sent != UV_EAGAIN) {
            io->broken = true;
            return false;
        }
        if (sent < 0) {
            sent = 0;
        }
        io->taken_bytes += (size_t)sent;
    }
    if ((size_t)sent < total && !enqueue(io, pieces, count, (size_t)sent, total - (size_t)sent)) {
        io->broken = true;
    }
    return !io->broken;
}

static void on_closed(uv_handle_t *handle)
{
    struct kt_io *io = (struct kt_io *)handle;

    kt_io_pool_put(io->pool, io->in);
    io->in = NULL;
    io->events->on_closed(io);
}

void kt_io_close(struct kt_io *io, bool abort)
{
    if (io->closing) {
        return;
    }
    io->closing = true;
    io->reading = false;
    if (!abort || uv_tcp_close_reset(&io->tcp, on_closed) != 0) {
        uv_close((uv_handle_t *)&io->tcp, on_closed);
    }
}

bool kt_io_has_input(const struct kt_io *io)
{
    uv_os_fd_t fd;

    return uv_fileno((const uv_handle_t *)&io->tcp, &fd) == 0 && kt_net_has_input((kt_socket)fd);
}

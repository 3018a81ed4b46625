/* io.h - a TCP stream of a loop: reads into one pooled buffer, writes at once. Include <uv.h>
 * first.
 *
 * Reading stays switched on for as long as there is room, so that an idle stream costs no system
 * call and its end is noticed. A write is tried at once (uv_try_write: one system call); only what
 * the kernel does not take is copied and queued, and the owner stops producing until it is drained.
 * An idle stream holds no buffer.
 *
 * Threads: the loop's.
 * Owns:    its input buffer and what is queued.
 * Fails:   through on_end: EOF or an error, once. A failed write counts as an end too.
 */
#ifndef KT_GATEWAY_IO_H
#define KT_GATEWAY_IO_H

#include "base/str.h"

struct kt_loop;

/* A head at its limit and as much body again. */
#define KT_IO_BUFFER_BYTES 65536

/* Buffers are recycled through a list in the loop. */
struct kt_io_pool {
    void *free_list;
    size_t free_count;
};
char *kt_io_pool_get(struct kt_io_pool *pool); /* NULL when out of memory */
void kt_io_pool_put(struct kt_io_pool *pool, char *buffer);
void kt_io_pool_done(struct kt_io_pool *pool);

struct kt_io;
struct kt_io_events {
    void (*on_data)(struct kt_io *io);         /* data was appended at end */
    void (*on_end)(struct kt_io *io, int why); /* UV_EOF or an error; reading is over */
    void (*on_drained)(struct kt_io *io);      /* nothing is queued any more */
    void (*on_closed)(struct kt_io *io);       /* the handle is gone: free it */
};

struct kt_io {
    uv_tcp_t tcp;
    struct kt_io_pool *pool;
    const struct kt_io_events *events;
    char *in; /* input is in[start..end) */
    size_t start, end;
    size_t queued_bytes;  /* handed to the loop, not yet to the kernel */
    uint64_t taken_bytes; /* of all writes so far: what the kernel or the queue took */
    bool reading, ended, closing, broken;
};

int kt_io_init(struct kt_io *io, uv_loop_t *loop, struct kt_io_pool *pool,
               const struct kt_io_events *events);
/* Begins or goes on reading if there is room; moves what is there to the front when `may_move`. */
void kt_io_read(struct kt_io *io, bool may_move);
/* Moves what is there to the front; not while it reads. */
void kt_io_move(struct kt_io *io);
/* Stops reading: back-pressure. */
void kt_io_pause(struct kt_io *io);
/* Gives the buffer back when it is empty. */
void kt_io_rest(struct kt_io *io);
/* Sends the pieces in order. False: the stream is broken (on_end is not called for it). */
bool kt_io_write(struct kt_io *io, uv_buf_t *pieces, unsigned count);
/* `abort`: the peer learns that it got a part only (RST). */
void kt_io_close(struct kt_io *io, bool abort);
/* Bytes that the loop has not come to yet. */
bool kt_io_has_input(const struct kt_io *io);

static inline size_t kt_io_len(const struct kt_io *io)
{
    return io->end - io->start;
}

#endif

/* buf.h - growing bytes with a bound and a sticky failure.
 *
 * Writers append without checking each call; the failure (no memory, or beyond max_bytes) sticks
 * and is asked once at the end. A failed buffer keeps what it had and ignores further appends. data
 * is always NUL-terminated once something was appended, so that text can be printed.
 *
 * Threads: one at a time.
 * Owns:    its memory; kt_buf_take hands it over.
 * Fails:   sticky; kt_buf_status says KT_NO_MEMORY, KT_TOO_LARGE or KT_BUSY.
 */
#ifndef KT_BASE_BUF_H
#define KT_BASE_BUF_H

#include "base/status.h"
#include "base/str.h"

#include <stdarg.h>
#include <stddef.h>
#include <string.h>

struct kt_budget_share;

#define KT_BUF_UNSHARED_BYTES 262144

struct kt_buf {
    char *data;
    size_t len_bytes;
    size_t cap_bytes;
    size_t max_bytes; /* 0 = unbounded */
    enum kt_status failed;
    /* Pays for growth beyond KT_BUF_UNSHARED_BYTES (gets it back by kt_buf_done_paid alone: its
     * owner gives all at once); may be NULL. Without enough the buffer fails with KT_BUSY. */
    struct kt_budget_share *share;
};

void kt_buf_init(struct kt_buf *buf, size_t max_bytes);
void kt_buf_done(struct kt_buf *buf);      /* also right on zeroed memory */
void kt_buf_done_paid(struct kt_buf *buf); /* … what its share has paid is given back */
void kt_buf_clear(struct kt_buf *buf);     /* forgets content and failure, keeps the memory */
enum kt_status kt_buf_status(const struct kt_buf *buf) KT_MUST_CHECK;
bool kt_buf_grow(struct kt_buf *buf, size_t more_bytes); /* what reserve does without room */

/* Answers are made of short appends, so the usual case, that there is room, stands here. */
static inline bool kt_buf_reserve(struct kt_buf *buf, size_t more_bytes)
{
    /* A buffer with a bound never has more than max_bytes + 1 of capacity. */
    return (buf->failed == KT_OK && more_bytes < buf->cap_bytes - buf->len_bytes) ||
           kt_buf_grow(buf, more_bytes);
}

/* Behind a reserve that worked, for what was written to data + len_bytes since. */
static inline void kt_buf_advance(struct kt_buf *buf, size_t len_bytes)
{
    buf->len_bytes += len_bytes;
    buf->data[buf->len_bytes] = '\0';
}

static inline void kt_buf_append(struct kt_buf *buf, const void *data, size_t len_bytes)
{
    if (kt_buf_reserve(buf, len_bytes)) {
        if (len_bytes) { /* data may be NULL */
            memcpy(buf->data + buf->len_bytes, data, len_bytes);
        }
        kt_buf_advance(buf, len_bytes);
    }
}

static inline void kt_buf_append_byte(struct kt_buf *buf, char byte)
{
    if (kt_buf_reserve(buf, 1)) {
        buf->data[buf->len_bytes] = byte;
        kt_buf_advance(buf, 1);
    }
}

static inline void kt_buf_append_str(struct kt_buf *buf, struct kt_str text)
{
    kt_buf_append(buf, text.data, text.len);
}

static inline void kt_buf_append_text(struct kt_buf *buf, const char *text)
{
    kt_buf_append(buf, text, strlen(text));
}

void kt_buf_printf(struct kt_buf *buf, const char *fmt, ...) KT_PRINTF(2, 3);
void kt_buf_vprintf(struct kt_buf *buf, const char *fmt, va_list args) KT_PRINTF(2, 0);
void kt_buf_append_i64(struct kt_buf *buf, int64_t value); /* decimal, without printf */
void kt_buf_append_u64(struct kt_buf *buf, uint64_t value);
void kt_buf_append_f64(struct kt_buf *buf, double value); /* as kt_format_f64 */
void kt_buf_append_hex(struct kt_buf *buf, const void *data, size_t len_bytes);
void kt_buf_consume(struct kt_buf *buf, size_t len_bytes); /* drops the first bytes */
struct kt_str kt_buf_str(const struct kt_buf *buf);        /* borrowed */
char *kt_buf_take(struct kt_buf *buf,
                  size_t *ret_len_bytes); /* heap block, NUL behind it; NULL if failed */

/* Little-endian numbers and LEB128 varints, for our own formats. */
void kt_buf_put_u16(struct kt_buf *buf, uint16_t value);
void kt_buf_put_u32(struct kt_buf *buf, uint32_t value);
void kt_buf_put_u64(struct kt_buf *buf, uint64_t value);
/* Over the four bytes that were put at `at`, for what was not known then. */
void kt_buf_set_u32(struct kt_buf *buf, size_t at, uint32_t value);
void kt_buf_put_f64(struct kt_buf *buf, double value);
void kt_buf_put_varint(struct kt_buf *buf, uint64_t value);
void kt_buf_put_svarint(struct kt_buf *buf, int64_t value);     /* zigzag */
void kt_buf_put_bytes(struct kt_buf *buf, struct kt_str bytes); /* varint length, then bytes */

/* Reading the same, from hostile bytes: `bad` sticks at the first shortage or overlong number and
 * every later get returns 0 or an empty slice. */
struct kt_rd {
    const unsigned char *pos, *end;
    bool bad;
};
void kt_rd_init(struct kt_rd *rd, const void *data, size_t len_bytes);
size_t kt_rd_left(const struct kt_rd *rd);
uint8_t kt_rd_u8(struct kt_rd *rd);
uint16_t kt_rd_u16(struct kt_rd *rd);
uint32_t kt_rd_u32(struct kt_rd *rd);
uint64_t kt_rd_u64(struct kt_rd *rd);
double kt_rd_f64(struct kt_rd *rd);
uint64_t kt_rd_varint(struct kt_rd *rd);
int64_t kt_rd_svarint(struct kt_rd *rd);
struct kt_str kt_rd_bytes(struct kt_rd *rd); /* varint length, then bytes; borrowed */
struct kt_str kt_rd_raw(struct kt_rd *rd, size_t len_bytes); /* borrowed */

#endif

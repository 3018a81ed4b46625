/* SPDX-License-Identifier: MIT */
/* chunks.c - the chunked framing (RFC 9112, 7.1), decoded in place.
 *
 * Payload is never longer than its framing, so it moves to the front of the buffer it came in.
 * Extensions and trailers carry nothing for us: they are checked for what could hide a line's end,
 * bounded, and dropped.
 */
#include "http/chunks.h"

#include "http/message.h"
#include <string.h>

#define SIZE_DIGITS_MAX 15
#define LINE_BYTES_MAX 1024
#define TRAILER_BYTES_MAX 8192

enum chunk_state {
    SIZE_FIRST, /* at least one digit */
    SIZE_MORE,
    EXTENSION_FIRST, /* its name is not empty */
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_FIRST,
    TRAILER_MORE,
    TRAILER_LF,
    END_LF,
    FINISHED,
};

void kt_h1_chunks_init(struct kt_h1_chunks *chunks)
{
    memset(chunks, 0, sizeof(*chunks));
    chunks->state = SIZE_FIRST;
}

static bool is_token(char byte)
{
    return kt_http_is_token(kt_str_n(&byte, 1));
}

/* What a value may hold: visible, space, tab, 0x80 and above. */
static bool is_value(char byte)
{
    return byte == '\t' || ((unsigned char)byte >= 0x20 && byte != 0x7f);
}

static int hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    if (byte >= 'a' && byte <= 'f') {
        return byte - 'a' + 10;
    }
    return byte >= 'A' && byte <= 'F' ? byte - 'A' + 10 : -1;
}

/* One byte of a chunk's first line. False = refuse. */
static bool step_size(struct kt_h1_chunks *chunks, char byte)
{
    int digit = hex_digit(byte);

    if (chunks->state < EXTENSION_FIRST && digit >= 0) {
        chunks->left = chunks->left * 16 + (uint64_t)digit;
        chunks->state = SIZE_MORE;
        return ++chunks->digits <= SIZE_DIGITS_MAX;
    }
    if (chunks->state == SIZE_FIRST) {
        return false;
    }
    if (chunks->state == EXTENSION_FIRST) {
        chunks->state = EXTENSION;
        return is_token(byte);
    }
    if (byte == '\r') {
        chunks->state = SIZE_LF;
        return true;
    }
    if (chunks->state == SIZE_MORE) {
        chunks->state = EXTENSION_FIRST;
        return byte == ';';
    }
    return is_value(byte) && ++chunks->line_bytes <= LINE_BYTES_MAX;
}

static bool step_trailer(struct kt_h1_chunks *chunks, char byte)
{
    if (++chunks->trailer_bytes > TRAILER_BYTES_MAX) {
        return false;
    }
    if (byte == '\r') {
        chunks->state = chunks->state == TRAILER_FIRST ? END_LF : TRAILER_LF;
        return true;
    }
    if (chunks->state == TRAILER_FIRST && !is_token(byte)) {
        return false;
    }
    chunks->state = TRAILER_MORE;
    return is_value(byte);
}

/* One byte outside the payload. False = refuse. */
static bool step(struct kt_h1_chunks *chunks, char byte)
{
    switch (chunks->state) {
    case SIZE_FIRST:
    case SIZE_MORE:
    case EXTENSION_FIRST:
    case EXTENSION:
        return step_size(chunks, byte);
    case SIZE_LF:
        chunks->state = chunks->left > 0 ? DATA : TRAILER_FIRST;
        return byte == '\n';
    case DATA_CR:
        chunks->state = DATA_LF;
        return byte == '\r';
    case DATA_LF:
        chunks->state = SIZE_FIRST;
        chunks->digits = chunks->line_bytes = 0;
        return byte == '\n';
    case TRAILER_FIRST:
    case TRAILER_MORE:
        return step_trailer(chunks, byte);
    case TRAILER_LF:
        chunks->state = TRAILER_FIRST;
        return byte == '\n';
    case END_LF:
        chunks->state = FINISHED;
        return byte == '\n';
    default:
        return false;
    }
}

enum kt_h1_verdict kt_h1_chunks_decode(struct kt_h1_chunks *chunks, char *data, size_t len,
                                       size_t *ret_used, size_t *ret_payload)
{
    size_t used = 0, payload = 0;

    while (used < len && chunks->state != FINISHED) {
        if (chunks->state == DATA) {
            size_t take = len - used;

            if (take > chunks->left) {
                take = (size_t)chunks->left;
            }
            memmove(data + payload, data + used, take);
            payload += take;
            used += take;
            chunks->left -= take;
            if (chunks->left == 0) {
                chunks->state = DATA_CR;
            }
        } else if (!step(chunks, data[used++])) {
            return KT_H1_BAD;
        }
    }
    *ret_used = used;
    *ret_payload = payload;
    return chunks->state == FINISHED ? KT_H1_OK : KT_H1_MORE;
}

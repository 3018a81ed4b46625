/* SPDX-License-Identifier: MIT */
/* buf_bytes.c - our own formats: little-endian numbers and LEB128 varints, written and read.
 *
 * A number has one encoding: the reader refuses varints with needless bytes, so that equal content
 * has equal checksums. */
#include "base/buf.h"

#include <string.h>

static void put_le(struct kt_buf *buf, uint64_t value, size_t len_bytes)
{
    unsigned char bytes[8];
    for (size_t i = 0; i < len_bytes; i++) {
        bytes[i] = (unsigned char)(value >> (8 * i));
    }
    kt_buf_append(buf, bytes, len_bytes);
}

void kt_buf_put_u16(struct kt_buf *buf, uint16_t value)
{
    put_le(buf, value, 2);
}

void kt_buf_put_u32(struct kt_buf *buf, uint32_t value)
{
    put_le(buf, value, 4);
}

void kt_buf_put_u64(struct kt_buf *buf, uint64_t value)
{
    put_le(buf, value, 8);
}

void kt_buf_set_u32(struct kt_buf *buf, size_t at, uint32_t value)
{
    if (kt_buf_status(buf) != KT_OK) {
        return; /* they may not be there */
    }
    KT_ASSERT(at + 4 <= buf->len_bytes);
    for (size_t i = 0; i < 4; i++) {
        buf->data[at + i] = (char)(unsigned char)(value >> (8 * i));
    }
}

void kt_buf_put_f64(struct kt_buf *buf, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_le(buf, bits, 8);
}

void kt_buf_put_varint(struct kt_buf *buf, uint64_t value)
{
    unsigned char bytes[10];
    size_t len = 0;
    while (value >= 0x80) {
        bytes[len++] = (unsigned char)(value | 0x80);
        value >>= 7;
    }
    bytes[len++] = (unsigned char)value;
    kt_buf_append(buf, bytes, len);
}

void kt_buf_put_svarint(struct kt_buf *buf, int64_t value)
{
    kt_buf_put_varint(buf, (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0));
}

void kt_buf_put_bytes(struct kt_buf *buf, struct kt_str bytes)
{
    kt_buf_put_varint(buf, bytes.len);
    kt_buf_append_str(buf, bytes);
}

void kt_rd_init(struct kt_rd *rd, const void *data, size_t len_bytes)
{
    rd->pos = data;
    rd->end = len_bytes ? rd->pos + len_bytes : rd->pos;
    rd->bad = false;
}

size_t kt_rd_left(const struct kt_rd *rd)
{
    return rd->bad ? 0 : (size_t)(rd->end - rd->pos);
}

static uint64_t get_le(struct kt_rd *rd, size_t len_bytes)
{
    if (kt_rd_left(rd) < len_bytes) {
        rd->bad = true;
        return 0;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < len_bytes; i++) {
        value |= (uint64_t)rd->pos[i] << (8 * i);
    }
    rd->pos += len_bytes;
    return value;
}

uint8_t kt_rd_u8(struct kt_rd *rd)
{
    return (uint8_t)get_le(rd, 1);
}

uint16_t kt_rd_u16(struct kt_rd *rd)
{
    return (uint16_t)get_le(rd, 2);
}

uint32_t kt_rd_u32(struct kt_rd *rd)
{
    return (uint32_t)get_le(rd, 4);
}

uint64_t kt_rd_u64(struct kt_rd *rd)
{
    return get_le(rd, 8);
}

double kt_rd_f64(struct kt_rd *rd)
{
    uint64_t bits = get_le(rd, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint64_t kt_rd_varint(struct kt_rd *rd)
{
    uint64_t value = 0;
    size_t left = kt_rd_left(rd);
    for (unsigned i = 0; i < left && i < 10; i++) {
        unsigned char byte = rd->pos[i];
        if (i == 9 && byte > 1) {
            break; /* beyond 64 bits */
        }
        value |= (uint64_t)(byte & 0x7F) << (7 * i);
        if (byte < 0x80) {
            if (byte == 0 && i > 0) {
                break; /* a needless last byte */
            }
            rd->pos += i + 1;
            return value;
        }
    }
    rd->bad = true;
    return 0;
}

int64_t kt_rd_svarint(struct kt_rd *rd)
{
    uint64_t value = kt_rd_varint(rd);
    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

struct kt_str kt_rd_bytes(struct kt_rd *rd)
{
    uint64_t len = kt_rd_varint(rd);
    if (len > kt_rd_left(rd)) {
        rd->bad = true;
        return (struct kt_str){NULL, 0};
    }
    return kt_rd_raw(rd, (size_t)len);
}

struct kt_str kt_rd_raw(struct kt_rd *rd, size_t len_bytes)
{
    if (rd->bad || kt_rd_left(rd) < len_bytes) {
        rd->bad = true;
        return (struct kt_str){NULL, 0};
    }
    struct kt_str bytes = {(const char *)rd->pos, len_bytes};
    if (len_bytes) {
        rd->pos += len_bytes;
    }
    return bytes;
}

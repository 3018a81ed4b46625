/* SPDX-License-Identifier: MIT */
/* cursor.c - see cursor.h. */
#include "query/cursor.h"

#include <string.h>

enum { VERSION = 1, KEY_ID_BYTES = 8, MAC_BYTES = 32, CRC_BYTES = 4 };
enum { HEAD_BYTES = 1 + KEY_ID_BYTES, TAIL_BYTES = MAC_BYTES + CRC_BYTES };
enum { BYTES_MAX = HEAD_BYTES + QUERY_CURSOR_PAYLOAD_MAX + TAIL_BYTES };
enum { TEXT_MAX = BYTES_MAX / 3 * 4, PURPOSE_MAX = 32 };
_Static_assert(BYTES_MAX % 3 == 0, "the longest text decodes into BYTES_MAX bytes");

enum kt_status query_cursor_fail(struct kt_error *err)
{
    return kt_fail_field(err, KT_BAD_VALUE, "cursor",
                         "cursor must be a next_cursor of this question, unchanged");
}

/* The texts that go into a MAC begin differently, so that a key id tells nothing about one. */
static void make_key_id(const unsigned char *key, unsigned char ret_id[KEY_ID_BYTES])
{
    unsigned char mac[MAC_BYTES];
    kt_hmac_sha256(kt_str_n((const char *)key, KT_CURSOR_KEY_BYTES), KT_STR("cursor key"), mac);
    memcpy(ret_id, mac, KEY_ID_BYTES);
}

static void make_mac(const unsigned char *key, const char *purpose, struct kt_str payload,
                     unsigned char ret_mac[MAC_BYTES])
{
    static const char prefix[] = {'c', 'u', 'r', 's', 'o', 'r', VERSION};
    char text[sizeof(prefix) + PURPOSE_MAX + QUERY_CURSOR_PAYLOAD_MAX];
    size_t name_len = strlen(purpose) + 1, head = sizeof(prefix) + name_len;
    KT_ASSERT(name_len <= PURPOSE_MAX && payload.len <= QUERY_CURSOR_PAYLOAD_MAX);
    memcpy(text, prefix, sizeof(prefix));
    memcpy(text + sizeof(prefix), purpose, name_len);
    memcpy(text + head, payload.data, payload.len);
    kt_hmac_sha256(kt_str_n((const char *)key, KT_CURSOR_KEY_BYTES),
                   kt_str_n(text, head + payload.len), ret_mac);
}

static void put_crc(const unsigned char *bytes, size_t len, unsigned char dest[CRC_BYTES])
{
    uint32_t crc = kt_crc32c(0, bytes, len);
    for (size_t i = 0; i < CRC_BYTES; i++) {
        dest[i] = (unsigned char)(crc >> 8 * i);
    }
}

/* In place: the alphabet of RFC 4648 section 5, without padding. */
static size_t make_url_safe(char *text, size_t len)
{
    while (len > 0 && text[len - 1] == '=') {
        len--;
    }
    for (size_t i = 0; i < len; i++) {
        text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
    }
    return len;
}

/* dest needs BYTES_MAX bytes. */
static bool decode_text(struct kt_str text, unsigned char *dest, size_t *ret_len)
{
    char plain[TEXT_MAX + 4];
    size_t len = text.len;
    if (len > TEXT_MAX || len % 4 == 1) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        char c = text.data[i];
        if (c == '+' || c == '/' || c == '=') { /* one text for each content */
            return false;
        }
        plain[i] = c == '-' ? '+' : c == '_' ? '/' : c;
    }
    while (len % 4) {
        plain[len++] = '=';
    }
    return kt_base64_decode(kt_str_n(plain, len), dest, ret_len);
}

enum kt_status query_cursor_seal(struct kt_store *store, const char *purpose, struct kt_str payload,
                                 struct kt_arena *arena, struct kt_str *ret_text,
                                 struct kt_error *err)
{
    unsigned char key[KT_CURSOR_KEY_BYTES], bytes[BYTES_MAX];
    KT_ASSERT(payload.len > 0 && payload.len <= QUERY_CURSOR_PAYLOAD_MAX);
    if (!kt_store_cursor_key(store, key)) {
        return kt_fail_field(err, KT_UNAVAILABLE, "cursor",
                             "this node has nothing of its cluster yet");
    }
    char *text = kt_arena_alloc(arena, TEXT_MAX + 1);
    if (!text) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for the cursor");
    }
    unsigned char *end = bytes + HEAD_BYTES;
    bytes[0] = VERSION;
    make_key_id(key, bytes + 1);
    memcpy(end, payload.data, payload.len);
    end += payload.len;
    make_mac(key, purpose, payload, end);
    end += MAC_BYTES;
    put_crc(bytes, (size_t)(end - bytes), end);
    end += CRC_BYTES;
    size_t len = kt_base64_encode(bytes, (size_t)(end - bytes), text);
    *ret_text = kt_str_n(text, make_url_safe(text, len));
    return KT_OK;
}

static bool is_whole(const unsigned char *bytes, size_t len)
{
    if (len < HEAD_BYTES + 1 + TAIL_BYTES || bytes[0] != VERSION) {
        return false;
    }
    unsigned char crc[CRC_BYTES];
    put_crc(bytes, len - CRC_BYTES, crc);
    return memcmp(crc, bytes + len - CRC_BYTES, CRC_BYTES) == 0;
}

enum kt_status query_cursor_open(struct kt_store *store, const char *purpose, struct kt_str text,
                                 struct kt_arena *arena, struct kt_str *ret_payload,
                                 struct kt_error *err)
{
    unsigned char key[KT_CURSOR_KEY_BYTES], bytes[BYTES_MAX];
    unsigned char key_id[KEY_ID_BYTES], mac[MAC_BYTES];
    size_t len = 0;
    if (!decode_text(text, bytes, &len) || !is_whole(bytes, len)) {
        return query_cursor_fail(err);
    }
    if (!kt_store_cursor_key(store, key)) {
        return kt_fail_field(err, KT_UNAVAILABLE, "cursor",
                             "cursor: this node has nothing of its cluster yet");
    }
    make_key_id(key, key_id);
    if (memcmp(key_id, bytes + 1, KEY_ID_BYTES) != 0) {
        return kt_fail_field(err, KT_GONE, "cursor",
                             "cursor is of another key than the cluster's: begin at page one");
    }
    struct kt_str payload =
        kt_str_n((const char *)bytes + HEAD_BYTES, len - HEAD_BYTES - TAIL_BYTES);
    make_mac(key, purpose, payload, mac);
    if (!kt_equal_const_time(kt_str_n((const char *)mac, MAC_BYTES),
                             kt_str_n(payload.data + payload.len, MAC_BYTES))) {
        return query_cursor_fail(err);
    }
    *ret_payload = kt_arena_dup(arena, payload);
    return ret_payload->data ? KT_OK : kt_fail(err, KT_NO_MEMORY, "no memory for the cursor");
}

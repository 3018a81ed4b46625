/* SPDX-License-Identifier: MIT */
/* The request headers that decide what an answer becomes: Accept-Encoding on the first line,
 * If-None-Match on the second. A compressed answer must come out as it went in.
 */
#include "fuzz.h"

#include "http/content.h"

#include <string.h>
#include <zlib.h>

#define BODY_BYTES 3000

static void unpacks_to_body(struct kt_str packed)
{
    static unsigned char plain[BODY_BYTES + 1];
    z_stream stream = {0};
    stream.next_in = (Bytef *)(uintptr_t)packed.data;
    stream.avail_in = (uInt)packed.len;
    stream.next_out = plain;
    stream.avail_out = sizeof(plain);
    FUZZ_CHECK(inflateInit2(&stream, 31) == Z_OK);
    FUZZ_CHECK(inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.total_out == BODY_BYTES);
    inflateEnd(&stream);
    for (size_t i = 0; i < BODY_BYTES; i++) {
        FUZZ_CHECK(plain[i] == 'a' + i % 7);
    }
}

static bool has(const struct kt_http_response *response, const char *name, const char *value)
{
    for (size_t i = 0; i < response->header_count; i++) {
        if (kt_str_eq_nocase(response->headers[i].name, kt_str(name)) &&
            kt_str_eq_text(response->headers[i].value, value)) {
            return true;
        }
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kt_content *content;
    static struct kt_arena *arena;
    struct kt_http_response response;
    struct kt_str rest = fuzz_str(data, size);
    struct kt_http_header headers[2] = {{KT_STR("Accept-Encoding"), fuzz_line(&rest)},
                                        {KT_STR("If-None-Match"), fuzz_line(&rest)}};
    if (!content) {
        content = kt_content_new();
        arena = kt_arena_new(4096, 1 << 20);
        FUZZ_CHECK(content && arena);
    }
    kt_arena_reset(arena);
    struct kt_http_request request = {
        .method = KT_HTTP_GET, .headers = headers, .header_count = 2, .arena = arena};
    kt_http_response_init(&response, arena, 0);
    for (size_t i = 0; i < BODY_BYTES; i++) {
        kt_buf_append_byte(&response.body, (char)('a' + i % 7));
    }
    bool accepts = kt_content_accepts_gzip(&request);
    kt_content_finish(content, &request, &response);
    FUZZ_CHECK(response.status == 200 || response.status == 304);
    if (response.status == 200) {
        FUZZ_CHECK(has(&response, "Content-Encoding", "gzip") == accepts);
        FUZZ_CHECK(has(&response, "Vary", "Accept-Encoding"));
        if (accepts) {
            unpacks_to_body(kt_buf_str(&response.body));
        } else {
            FUZZ_CHECK(response.body.len_bytes == BODY_BYTES);
        }
    }
    kt_http_response_done(&response);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* The gateway's reading of a connection: heads and chunked bodies, byte by byte and all at once:
 * both must come to the same.
 */
#include "fuzz.h"

#include "gateway/parser.h"

#include <string.h>

static void slices_inside(const struct kt_h1_head *head, struct kt_str text)
{
    FUZZ_CHECK(head->header_count <= KT_HTTP_HEADERS_MAX);
    for (uint32_t i = 0; i < head->header_count; i++) {
        const struct kt_http_header *header = &head->headers[i];
        FUZZ_CHECK(header->name.len > 0 && header->name.data >= text.data);
        FUZZ_CHECK(header->value.data + header->value.len <= text.data + text.len);
        FUZZ_CHECK(!memchr(header->value.data, '\n', header->value.len) &&
                   !memchr(header->value.data, '\r', header->value.len) &&
                   !memchr(header->value.data, '\0', header->value.len));
    }
    FUZZ_CHECK(!(head->chunked && head->content_length >= 0));
}

static void request_head(struct kt_str text)
{
    static struct kt_h1_request request;
    struct kt_h1_scan whole = {0}, steps = {0};
    size_t len = 0, step_len = 0;
    enum kt_h1_verdict verdict = kt_h1_scan_request(&whole, text.data, text.len, &len);
    enum kt_h1_verdict step = KT_H1_MORE;
    for (size_t n = 0; n <= text.len && step == KT_H1_MORE; n++) {
        step = kt_h1_scan_request(&steps, text.data, n, &step_len);
    }
    FUZZ_CHECK((step == KT_H1_MORE) == (verdict == KT_H1_MORE));
    if (verdict != KT_H1_OK) {
        FUZZ_CHECK(step == verdict);
        return;
    }
    /* What can't be a request is refused by the scan when it comes slowly, else by the parser. */
    struct kt_str head = kt_str_n(text.data + whole.skip, len - whole.skip);
    if (kt_h1_parse_request(head, &request) == KT_H1_OK) {
        FUZZ_CHECK(step == KT_H1_OK && step_len == len);
        slices_inside(&request.head, head);
        FUZZ_CHECK(request.target.len > 0);
    }
}

static void response_head(struct kt_str text)
{
    static struct kt_h1_response response;
    struct kt_h1_scan scan = {0};
    size_t len = 0;
    if (kt_h1_scan_response(&scan, text.data, text.len, &len) != KT_H1_OK) {
        return;
    }
    struct kt_str head = kt_str_n(text.data + scan.skip, len - scan.skip);
    if (kt_h1_parse_response(head, false, &response) == KT_H1_OK) {
        slices_inside(&response.head, head);
        FUZZ_CHECK(response.status >= 100 && response.status <= 999);
    }
}

/* Returns the verdict; the payload is put together at the front of `data`. */
static enum kt_h1_verdict decode(char *data, size_t len, size_t piece, size_t *ret_payload,
                                 size_t *ret_used)
{
    struct kt_h1_chunks chunks;
    enum kt_h1_verdict verdict = KT_H1_MORE;
    size_t pos = 0, out = 0;
    kt_h1_chunks_init(&chunks);
    while (pos < len && verdict == KT_H1_MORE) {
        size_t used = 0, payload = 0, part = len - pos < piece ? len - pos : piece;
        verdict = kt_h1_chunks_decode(&chunks, data + pos, part, &used, &payload);
        FUZZ_CHECK(used <= part && payload <= used);
        memmove(data + out, data + pos, payload);
        out += payload;
        pos += used;
        FUZZ_CHECK(verdict != KT_H1_MORE || used == part);
    }
    *ret_payload = out;
    *ret_used = pos;
    return verdict;
}

static void chunked_body(struct kt_str text)
{
    size_t payload_a, used_a, payload_b, used_b;
    char *a = malloc(text.len + 1), *b = malloc(text.len + 1);
    FUZZ_CHECK(a && b);
    memcpy(a, text.data, text.len);
    memcpy(b, text.data, text.len);
    enum kt_h1_verdict whole = decode(a, text.len, text.len, &payload_a, &used_a);
    enum kt_h1_verdict steps = decode(b, text.len, 1, &payload_b, &used_b);
    FUZZ_CHECK(whole == steps);
    if (whole == KT_H1_OK) {
        FUZZ_CHECK(used_a == used_b && payload_a == payload_b && memcmp(a, b, payload_a) == 0);
    }
    free(a);
    free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kt_str text = fuzz_str(data, size);
    if (size > 0 && size < 8192) {
        request_head(text);
        response_head(text);
        chunked_body(text);
    }
    return 0;
}

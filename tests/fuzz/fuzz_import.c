/* SPDX-License-Identifier: MIT */
/* An import: the query string on the first line, the size of its pieces in the next byte, then the
 * body. Every batch that is handed over must be a change that decodes, and numbered in order.
 */
#include "fuzz.h"

#include "base/mem.h"
#include "node/import.h"
#include "unit/node/drip.h"

static enum kt_status submit(void *ctx, uint64_t batch, struct kt_str body, uint64_t *ret_revision,
                             struct kt_error *err)
{
    uint64_t *last = ctx;
    struct kt_change change;
    FUZZ_CHECK(batch == *last + 1);
    FUZZ_CHECK(kt_change_decode(body, &change, err) == KT_OK);
    FUZZ_CHECK(change.kind == KT_CHANGE_SAVE);
    kt_change_done(&change);
    *last = batch;
    *ret_revision = batch;
    return KT_OK;
}

static void run(const struct kt_import_options *options, struct drip *drip)
{
    static const struct kt_import_limits limits = {.line_max_bytes = 4096,
                                                   .batch_records = 3,
                                                   .batch_bytes = 4096,
                                                   .atomic_bytes = 8192,
                                                   .json_depth = 16};
    struct kt_error err = KT_ERROR_INIT;
    struct kt_http_body body = {drip_read, drip};
    struct kt_import_report *report = kt_calloc(1, sizeof(*report));
    uint64_t batches = 0;
    FUZZ_CHECK(report);
    if (kt_import_run(options, &limits, &body, submit, &batches, report, &err) != KT_OK) {
        FUZZ_CHECK(err.message[0] != '\0');
    }
    FUZZ_CHECK(report->batches == batches && report->error_count <= KT_IMPORT_ERRORS_MAX);
    kt_free(report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_str rest = fuzz_str(data, size);
    struct kt_str query = fuzz_line(&rest);
    struct kt_import_options *options = NULL;
    struct kt_arena *arena = kt_arena_new(4096, 1 << 20);
    FUZZ_CHECK(arena);
    size_t piece = rest.len ? (unsigned char)rest.data[0] : 0;
    struct drip drip = {.text = kt_str_n(rest.data + (rest.len > 0), rest.len - (rest.len > 0)),
                        .piece = piece};
    struct kt_http_body body = {drip_read, &drip};
    struct kt_http_header gzip = {KT_STR("content-encoding"), KT_STR("gzip")};
    struct kt_http_request request = {.method = KT_HTTP_POST,
                                      .query = query,
                                      .headers = &gzip,
                                      .header_count = piece & 1u,
                                      .pull = &body,
                                      .content_length = -1,
                                      .arena = arena};
    if (kt_import_options_parse(&request, &options, &err) == KT_OK) {
        run(options, &drip);
    } else {
        FUZZ_CHECK(err.message[0] != '\0');
    }
    kt_arena_free(&arena);
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "importer.h"

#include "change_text.h"
#include "drip.h"

#include <stdlib.h>

void importer_init(struct importer *importer)
{
    memset(importer, 0, sizeof(*importer));
    importer->query = "";
    importer->limits = (struct kt_import_limits){1 << 20, 2000, 1 << 20};
    kt_buf_init(&importer->batches, 0);
}

void importer_done(struct importer *importer)
{
    kt_buf_done(&importer->batches);
}

static enum kt_status submit(void *ctx, uint64_t batch, struct kt_str body, uint64_t *ret_revision,
                             struct kt_error *err)
{
    struct importer *importer = ctx;
    importer->submits++;
    if (batch != importer->report.batches + 1) {
        abort(); /* numbered in order, and only what was committed counts */
    }
    if (batch == importer->refuse_batch) {
        return kt_fail(err, importer->refuse_with, "the batch was not taken");
    }
    if (body.len > importer->largest_batch_bytes) {
        importer->largest_batch_bytes = body.len;
    }
    if (!importer->quiet) {
        kt_buf_printf(&importer->batches, "batch %llu\n", (unsigned long long)batch);
        if (!change_text(body, &importer->batches)) {
            return kt_fail(err, KT_CORRUPT, "the batch can't be decoded");
        }
    }
    *ret_revision = 100 + batch;
    return KT_OK;
}

enum kt_status importer_run(struct importer *importer)
{
    struct kt_arena *arena = kt_arena_new(4096, 1 << 20);
    struct kt_http_header header = {KT_STR("content-encoding"), kt_str(importer->encoding)};
    struct drip drip = {.text = importer->body,
                        .piece = importer->piece,
                        .fail_at = importer->source_fails_at,
                        .fail_with = importer->source_fails_at ? KT_TIMEOUT : KT_OK};
    struct kt_http_body body = {drip_read, &drip};
    struct kt_http_request request = {.method = KT_HTTP_POST,
                                      .query = kt_str(importer->query),
                                      .headers = &header,
                                      .header_count = importer->encoding ? 1 : 0,
                                      .pull = &body,
                                      .arena = arena};
    struct kt_import_options *options = NULL;
    kt_buf_clear(&importer->batches);
    memset(&importer->report, 0, sizeof(importer->report));
    memset(&importer->err, 0, sizeof(importer->err));
    importer->submits = importer->largest_batch_bytes = 0;
    enum kt_status status =
        arena ? kt_import_options_parse(&request, &options, &importer->err)
              : kt_fail(&importer->err, KT_NO_MEMORY, "no memory for the request");
    if (status == KT_OK) {
        status = kt_import_run(options, &importer->limits, &body, submit, importer,
                               &importer->report, &importer->err);
    }
    if (drip.asked_beyond > 0) {
        abort();
    }
    kt_arena_free(&arena);
    return status;
}

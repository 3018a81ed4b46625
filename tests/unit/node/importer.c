/* SPDX-License-Identifier: MIT */
#include "importer.h"

#include "change_text.h"
#include "drip.h"
#include "gzip.h"
#include "kt_test.h"

#include "base/budget.h"

#include <stdlib.h>

void importer_init(struct importer *importer)
{
    memset(importer, 0, sizeof(*importer));
    importer->query = "";
    importer->limits = (struct kt_import_limits){.line_max_bytes = 1 << 20,
                                                 .batch_records = 2000,
                                                 .batch_bytes = 1 << 20,
                                                 .atomic_bytes = 1 << 20,
                                                 .json_depth = 16,
                                                 .step_ms = 10000};
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
    int64_t held = importer->limits.held ? kt_budget_used(importer->limits.held) : 0;
    if (held > importer->most_held_bytes) {
        importer->most_held_bytes = held;
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
    importer->most_held_bytes = 0;
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

const size_t importer_pieces[IMPORTER_PIECES] = {1, 7, 4096, 0};

/* The report as it stands in an answer, and the failure if there was one. */
static void outcome(const struct importer *importer, enum kt_status status, struct kt_buf *ret_text)
{
    struct kt_jw jw;
    kt_buf_append_str(ret_text, kt_buf_str(&importer->batches));
    if (status != KT_OK) {
        kt_buf_printf(ret_text, "%s %s: %s\n", kt_status_code(status), importer->err.field,
                      importer->err.message);
    }
    kt_jw_init(&jw, ret_text);
    kt_import_report_write(&importer->report, &jw);
    kt_buf_append_byte(ret_text, '\n');
}

bool importer_run_all_ways(struct importer *importer, struct kt_buf *ret_text)
{
    struct kt_str plain = importer->body;
    struct kt_buf packed, other;
    bool good = true;
    kt_buf_init(&packed, 0);
    kt_buf_init(&other, 0);
    gzip_append(plain, GZIP_MEMBER, &packed);
    kt_buf_clear(ret_text);
    for (size_t i = 0; i < 2 * IMPORTER_PIECES && good; i++) {
        bool gzip = i >= IMPORTER_PIECES;
        importer->piece = importer_pieces[i % IMPORTER_PIECES];
        importer->encoding = gzip ? "gzip" : NULL;
        importer->body = gzip ? kt_buf_str(&packed) : plain;
        kt_buf_clear(&other);
        enum kt_status status = importer_run(importer);
        outcome(importer, status, i == 0 ? ret_text : &other);
        good = i == 0 || kt_str_eq(kt_buf_str(ret_text), kt_buf_str(&other));
        if (!good) {
            kt_test_fail(__FILE__, __LINE__,
                         "%s, pieces of %zu: " KT_STR_FMT "\n    before: " KT_STR_FMT,
                         gzip ? "gzip" : "plain", importer->piece, KT_STR_ARG(kt_buf_str(&other)),
                         KT_STR_ARG(kt_buf_str(ret_text)));
        }
    }
    importer->body = plain;
    importer->encoding = NULL;
    importer->piece = 0;
    kt_buf_done(&packed);
    kt_buf_done(&other);
    return good;
}

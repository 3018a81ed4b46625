/* SPDX-License-Identifier: MIT */
/* The stream: unpacked, handed to the reader of its format, and what is left over submitted. */
#include "node/import.h"

#include "base/mem.h"
#include "node/gunzip.h"
#include "node/import_impl.h"

#include <string.h>

/* --- csv --- */

struct csv_import {
    struct import *import;
    struct kt_csv csv;
    struct import_columns columns;
    enum time_format time_format;
};

static enum kt_status read_header(struct csv_import *in, struct kt_error *err)
{
    struct import *import = in->import;
    bool more = false;
    enum kt_status status = kt_csv_next(&in->csv, &more, err);
    if (status == KT_OK && !more) {
        status = kt_fail_field(err, KT_BAD_VALUE, "header",
                               "the body is empty: a header line is needed");
    }
    if (status == KT_OK) {
        status = kt_import_columns_read(import->options, &in->csv, &in->columns, err);
    }
    if (status == KT_OK) {
        import->row.values = kt_calloc(in->columns.count, sizeof(*import->row.values));
        status =
            import->row.values ? KT_OK : kt_fail(err, KT_NO_MEMORY, "the columns of an import");
    }
    return status;
}

static enum kt_status read_lines(struct csv_import *in, struct kt_error *err)
{
    struct import *import = in->import;
    char reason[160];
    bool more = true;
    enum kt_status status = KT_OK;
    for (;;) {
        status = kt_csv_next(&in->csv, &more, err);
        if (status != KT_OK || !more) {
            return status;
        }
        bool good = kt_import_row_read(import->options, &in->columns, &in->csv, &in->time_format,
                                       &import->row, reason);
        status =
            good ? import_add_row(import, err) : import_reject(import, in->csv.line, reason, err);
        if (status != KT_OK) {
            return status;
        }
    }
}

static enum kt_status import_csv(struct import *import, kt_import_source_fn source,
                                 void *source_ctx, struct kt_error *err)
{
    struct csv_import in = {.import = import, .time_format = import->options->time_format};
    enum kt_status status =
        kt_csv_init(&in.csv, source, source_ctx, (size_t)import->limits->line_max_bytes, err);
    if (status == KT_OK) {
        status = read_header(&in, err);
    }
    if (status == KT_OK) {
        status = read_lines(&in, err);
    }
    kt_csv_done(&in.csv);
    kt_import_columns_done(&in.columns);
    return status;
}

/* --- the whole --- */

static enum kt_status read_plain(void *ctx, void *dest, size_t size, size_t *ret_len,
                                 struct kt_error *err)
{
    struct kt_http_body *body = ctx;
    return body->read(body->ctx, dest, size, ret_len, err);
}

static enum kt_status read_gzip(void *ctx, void *dest, size_t size, size_t *ret_len,
                                struct kt_error *err)
{
    return kt_gunzip_read(ctx, dest, size, ret_len, err);
}

static enum kt_status read_format(struct import *import, kt_import_source_fn source,
                                  void *source_ctx, struct kt_error *err)
{
    switch (import->options->format) {
    case IMPORT_NDJSON:
        return import_ndjson(import, source, source_ctx, err);
    case IMPORT_FINANCE:
        return import_finance(import, source, source_ctx, err);
    case IMPORT_CSV:
        break;
    }
    return import_csv(import, source, source_ctx, err);
}

enum kt_status kt_import_run(const struct kt_import_options *options,
                             const struct kt_import_limits *limits, struct kt_http_body *body,
                             kt_import_submit_fn submit, void *submit_ctx,
                             struct kt_import_report *ret_report, struct kt_error *err)
{
    struct import import;
    struct kt_gunzip *gunzip = NULL;
    memset(&import, 0, sizeof(import));
    memset(ret_report, 0, sizeof(*ret_report));
    import.options = options;
    import.limits = limits;
    import.submit = submit;
    import.submit_ctx = submit_ctx;
    import.report = ret_report;
    enum kt_status status = options->gzip ? kt_gunzip_new(body, &gunzip, err) : KT_OK;
    if (gunzip) {
        kt_gunzip_bound(gunzip, limits->gzip_ratio);
    }
    if (status == KT_OK) {
        status = import_init(&import, err);
    }
    if (status == KT_OK) {
        status = gunzip ? read_format(&import, read_gzip, gunzip, err)
                        : read_format(&import, read_plain, body, err);
    }
    if (status == KT_OK) {
        status = import_flush(&import, err);
    }
    import_done(&import);
    kt_gunzip_free(&gunzip);
    return status;
}

void kt_import_report_write(const struct kt_import_report *report, struct kt_jw *jw)
{
    kt_jw_object(jw);
    kt_jw_kv_u64(jw, "revision", report->revision);
    kt_jw_kv_u64(jw, "records", report->records);
    kt_jw_kv_u64(jw, "subjects", report->subjects);
    kt_jw_kv_u64(jw, "values", report->values);
    kt_jw_kv_u64(jw, "rejected", report->rejected);
    kt_jw_key_text(jw, "errors");
    kt_jw_array(jw);
    for (size_t i = 0; i < report->error_count; i++) {
        kt_jw_object(jw);
        kt_jw_kv_u64(jw, "line", report->errors[i].line);
        kt_jw_kv_text(jw, "reason", report->errors[i].reason);
        kt_jw_object_end(jw);
    }
    kt_jw_array_end(jw);
    kt_jw_object_end(jw);
}

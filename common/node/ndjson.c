/* SPDX-License-Identifier: MIT */
#include "node/ndjson.h"

#include "base/mem.h"

#include <string.h>

#define INPUT_BYTES 65536

enum kt_status kt_ndjson_init(struct kt_ndjson *lines, kt_csv_source_fn source, void *ctx,
                              size_t line_max_bytes, struct kt_error *err)
{
    memset(lines, 0, sizeof(*lines));
    lines->source = source;
    lines->source_ctx = ctx;
    lines->line_max_bytes = line_max_bytes;
    kt_buf_init(&lines->text, 0);
    lines->input = kt_malloc(INPUT_BYTES);
    return lines->input ? KT_OK : kt_fail(err, KT_NO_MEMORY, "a buffer for an import");
}

void kt_ndjson_done(struct kt_ndjson *lines)
{
    kt_free(lines->input);
    kt_buf_done(&lines->text);
    memset(lines, 0, sizeof(*lines));
}

/* Appends up to the line's end; *ret_ended when that was met. */
static enum kt_status take_piece(struct kt_ndjson *lines, bool *ret_ended, struct kt_error *err)
{
    const char *from = lines->input + lines->input_pos;
    size_t left = lines->input_len - lines->input_pos;
    const char *end = memchr(from, '\n', left);
    size_t len = end ? (size_t)(end - from) : left;
    *ret_ended = end != NULL;
    lines->input_pos += len + (end != NULL);
    if (lines->bad) {
        return KT_OK;
    }
    if (len > lines->line_max_bytes - lines->text.len_bytes) {
        lines->bad = "the line is longer than [limits] import_line_bytes";
        return KT_OK;
    }
    kt_buf_append(&lines->text, from, len);
    enum kt_status status = kt_buf_status(&lines->text);
    return status == KT_OK ? KT_OK : kt_fail(err, status, "no memory for a line of an import");
}

static enum kt_status read_line(struct kt_ndjson *lines, struct kt_error *err)
{
    bool ended = false;
    enum kt_status status = KT_OK;
    kt_buf_clear(&lines->text);
    lines->bad = NULL;
    lines->line++;
    while (status == KT_OK && !ended) {
        if (lines->input_pos < lines->input_len) {
            status = take_piece(lines, &ended, err);
            continue;
        }
        lines->input_pos = lines->input_len = 0;
        status =
            lines->source(lines->source_ctx, lines->input, INPUT_BYTES, &lines->input_len, err);
        if (status != KT_OK || lines->input_len == 0) {
            lines->input_len = 0;
            lines->at_end = true;
            break;
        }
    }
    return status;
}

enum kt_status kt_ndjson_next(struct kt_ndjson *lines, struct kt_str *ret_line, bool *ret_more,
                              struct kt_error *err)
{
    while (!lines->at_end) {
        enum kt_status status = read_line(lines, err);
        if (status != KT_OK) {
            return status;
        }
        struct kt_str text = kt_buf_str(&lines->text);
        if (lines->line == 1 && kt_str_starts(text, KT_STR("\xEF\xBB\xBF"))) {
            text = kt_str_n(text.data + 3, text.len - 3);
        }
        if (lines->bad || kt_str_trim(text).len > 0) {
            *ret_line = text;
            *ret_more = true;
            return KT_OK;
        }
    }
    *ret_more = false;
    return KT_OK;
}

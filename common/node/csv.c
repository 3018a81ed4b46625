/* SPDX-License-Identifier: MIT */
/* A state machine over characters. Cells go unquoted into one buffer, their ends into an array. */
#include "node/csv.h"

#include "base/mem.h"

#include <string.h>

#define INPUT_BYTES 65536
#define CELLS_MAX 8192

enum state {
    CELL_START,
    IN_PLAIN,
    IN_QUOTES,
    AFTER_QUOTE /* a quote inside quotes: doubled, or the end of the cell */
};

enum kt_status kt_csv_init(struct kt_csv *csv, kt_csv_source_fn source, void *ctx,
                           size_t line_max_bytes, struct kt_error *err)
{
    memset(csv, 0, sizeof(*csv));
    csv->source = source;
    csv->source_ctx = ctx;
    csv->line_max_bytes = line_max_bytes;
    csv->next_line = 1;
    kt_buf_init(&csv->text, 0);
    csv->input = kt_malloc(INPUT_BYTES);
    return csv->input ? KT_OK : kt_fail(err, KT_NO_MEMORY, "a buffer for an import");
}

void kt_csv_done(struct kt_csv *csv)
{
    kt_free(csv->input);
    kt_free(csv->ends);
    kt_buf_done(&csv->text);
    memset(csv, 0, sizeof(*csv));
}

static enum kt_status refill(struct kt_csv *csv, struct kt_error *err)
{
    size_t len = 0;
    enum kt_status status = csv->source(csv->source_ctx, csv->input, INPUT_BYTES, &len, err);
    csv->input_pos = 0;
    csv->input_len = status == KT_OK ? len : 0;
    if (status == KT_OK && len == 0) {
        csv->at_end = true;
    }
    return status;
}

/* The first fault is the one that explains the others. */
static void note_bad(struct kt_csv *csv, const char *why)
{
    if (!csv->bad) {
        csv->bad = why;
    }
}

static enum kt_status end_cell(struct kt_csv *csv, struct kt_error *err)
{
    if (csv->cell_count >= CELLS_MAX) {
        note_bad(csv, "more than 8192 columns");
        return KT_OK;
    }
    if (csv->cell_count == csv->cell_cap) {
        size_t cap = csv->cell_cap ? csv->cell_cap * 2 : 64;
        size_t *ends = kt_reallocarray(csv->ends, cap, sizeof(*ends));
        if (!ends) {
            return kt_fail(err, KT_NO_MEMORY, "the cells of a line");
        }
        csv->ends = ends;
        csv->cell_cap = cap;
    }
    csv->ends[csv->cell_count++] = csv->text.len_bytes;
    return KT_OK;
}

static void put(struct kt_csv *csv, const char *bytes, size_t len)
{
    if (csv->text.len_bytes + len > csv->line_max_bytes) {
        note_bad(csv, "the line is longer than [limits] import_line_bytes");
        return;
    }
    kt_buf_append(&csv->text, bytes, len);
}

/* Takes the run of ordinary characters from here at once. */
static void take_plain(struct kt_csv *csv, bool quoted)
{
    size_t begin = csv->input_pos, pos = begin;
    while (pos < csv->input_len) {
        char c = csv->input[pos];
        if (c == '"' || (c == '\n') || (!quoted && (c == ',' || c == '\r'))) {
            break;
        }
        pos++;
    }
    put(csv, csv->input + begin, pos - begin);
    csv->input_pos = pos;
}

struct line {
    enum state state;
    bool any; /* a character was seen */
    bool done;
};

static enum kt_status take_char(struct kt_csv *csv, struct line *line, struct kt_error *err)
{
    char c = csv->input[csv->input_pos];
    if (line->state == IN_QUOTES) {
        if (c == '"') {
            line->state = AFTER_QUOTE;
            csv->input_pos++;
        } else if (c == '\n') {
            csv->next_line++;
            put(csv, &c, 1);
            csv->input_pos++;
        } else {
            take_plain(csv, true);
        }
        return KT_OK;
    }
    switch (c) {
    case '\n':
        csv->input_pos++;
        csv->next_line++;
        line->done = true;
        return line->any ? end_cell(csv, err) : KT_OK;
    case '\r': /* right before a line's end only */
        csv->input_pos++;
        csv->after_cr = true;
        return KT_OK;
    case ',':
        csv->input_pos++;
        line->any = true;
        line->state = CELL_START;
        return end_cell(csv, err);
    case '"':
        csv->input_pos++;
        line->any = true;
        if (line->state == CELL_START) {
            line->state = IN_QUOTES;
        } else if (line->state == AFTER_QUOTE) {
            put(csv, "\"", 1);
            line->state = IN_QUOTES;
        } else {
            note_bad(csv, "a quote inside a cell that does not begin with one");
        }
        return KT_OK;
    default:
        line->any = true;
        if (line->state == AFTER_QUOTE) {
            note_bad(csv, "text behind the closing quote of a cell");
        }
        line->state = IN_PLAIN;
        take_plain(csv, false);
        return KT_OK;
    }
}

/* A carriage return that no line feed followed: it would be text that nobody sees. */
static void refuse_cr(struct kt_csv *csv, struct line *line)
{
    note_bad(csv, "a carriage return without a line feed");
    csv->after_cr = false;
    line->any = true;
}

static enum kt_status end_of_stream(struct kt_csv *csv, struct line *line, struct kt_error *err)
{
    line->done = true;
    if (line->state == IN_QUOTES) {
        note_bad(csv, "the quote of the last cell is not closed");
    }
    if (csv->after_cr) {
        refuse_cr(csv, line);
    }
    return line->any ? end_cell(csv, err) : KT_OK;
}

static enum kt_status skip_bom(struct kt_csv *csv, struct kt_error *err)
{
    csv->started = true;
    enum kt_status status = refill(csv, err);
    /* A first piece that ends inside the mark can only be a stream of one or two bytes at a time:
     * join a second piece to it. */
    while (status == KT_OK && !csv->at_end && csv->input_len < 3) {
        size_t len = 0;
        status = csv->source(csv->source_ctx, csv->input + csv->input_len,
                             INPUT_BYTES - csv->input_len, &len, err);
        if (status == KT_OK && len == 0) {
            csv->at_end = true;
        }
        csv->input_len += status == KT_OK ? len : 0;
    }
    if (status == KT_OK && csv->input_len >= 3 && memcmp(csv->input, "\xEF\xBB\xBF", 3) == 0) {
        csv->input_pos = 3;
    }
    return status;
}

static enum kt_status read_line(struct kt_csv *csv, struct line *line, struct kt_error *err)
{
    enum kt_status status = KT_OK;
    while (status == KT_OK && !line->done) {
        if (csv->input_pos == csv->input_len && !csv->at_end) {
            status = refill(csv, err);
        } else if (csv->input_pos == csv->input_len) {
            status = end_of_stream(csv, line, err);
        } else {
            if (csv->after_cr && csv->input[csv->input_pos] != '\n') {
                refuse_cr(csv, line);
            }
            csv->after_cr = false;
            status = take_char(csv, line, err);
        }
    }
    if (status == KT_OK && kt_buf_status(&csv->text) != KT_OK) {
        status = kt_fail(err, kt_buf_status(&csv->text), "no memory for a line of an import");
    }
    return status;
}

enum kt_status kt_csv_next(struct kt_csv *csv, bool *ret_more, struct kt_error *err)
{
    enum kt_status status = csv->started ? KT_OK : skip_bom(csv, err);
    while (status == KT_OK) {
        struct line line = {CELL_START, false, false};
        kt_buf_clear(&csv->text);
        csv->cell_count = 0;
        csv->bad = NULL;
        csv->line = csv->next_line;
        if (csv->input_pos == csv->input_len && csv->at_end) {
            *ret_more = false;
            return KT_OK;
        }
        status = read_line(csv, &line, err);
        if (status == KT_OK && line.any) {
            *ret_more = true;
            return KT_OK;
        }
    }
    return status;
}

struct kt_str kt_csv_cell(const struct kt_csv *csv, size_t index)
{
    size_t begin = index == 0 ? 0 : csv->ends[index - 1];
    return kt_str_n(csv->text.data ? csv->text.data + begin : "", csv->ends[index] - begin);
}

/* csv.h - RFC 4180 lines from a stream, with bounded memory.
 *
 * LF or CRLF (a CR alone makes its line bad); a BOM at the start is skipped; quoted cells may hold
 * commas, line ends and doubled quotes; lines without any character are passed over. A line longer
 * than the bound is read to its end and reported as bad, so that the next line is found again.
 *
 * Threads: one at a time.
 * Owns:    its buffers; cells borrow until the next call.
 * Fails:   with the source's status; a malformed line is no failure (`bad` says why).
 */
#ifndef KT_NODE_CSV_H
#define KT_NODE_CSV_H

#include "base/buf.h"

typedef enum kt_status (*kt_csv_source_fn)(void *ctx, void *dest, size_t size, size_t *ret_len,
                                           struct kt_error *err);

struct kt_csv {
    kt_csv_source_fn source;
    void *source_ctx;
    size_t line_max_bytes;
    char *input; /* a piece of the stream */
    size_t input_len, input_pos;
    bool at_end, started, after_cr;
    struct kt_buf text; /* the line's cells, unquoted, one after the other */
    size_t *ends;       /* end of each cell in text */
    size_t cell_count, cell_cap;
    uint64_t line; /* number of the line that the record began on; the header is 1 */
    uint64_t next_line;
    const char *bad; /* why the line is malformed (its first fault); NULL = it is right */
};

enum kt_status kt_csv_init(struct kt_csv *csv, kt_csv_source_fn source, void *ctx,
                           size_t line_max_bytes, struct kt_error *err) KT_MUST_CHECK;
void kt_csv_done(struct kt_csv *csv);
/* The next line; *ret_more false at the end of the stream. */
enum kt_status kt_csv_next(struct kt_csv *csv, bool *ret_more, struct kt_error *err) KT_MUST_CHECK;
struct kt_str kt_csv_cell(const struct kt_csv *csv, size_t index);

#endif

/* ndjson.h - lines of a stream, with bounded memory.
 *
 * A line ends with LF (a CR before it is white space to JSON) or with the stream; a BOM at the
 * start is skipped; lines of white space alone are passed over. A line longer than the bound is
 * read to its end and reported as bad, so that the next line is found again.
 *
 * Threads: one at a time.
 * Owns:    its buffers; a line borrows until the next call.
 * Fails:   with the source's status, KT_NO_MEMORY; an overlong line is no failure (`bad` says why).
 */
#ifndef KT_NODE_NDJSON_H
#define KT_NODE_NDJSON_H

#include "base/buf.h"
#include "node/csv.h"

struct kt_ndjson {
    kt_csv_source_fn source;
    void *source_ctx;
    size_t line_max_bytes;
    char *input; /* a piece of the stream */
    size_t input_len, input_pos;
    bool at_end;
    struct kt_buf text;
    uint64_t line;   /* number of the line at hand, from 1 */
    const char *bad; /* why the line cannot be taken; NULL = it is there */
};

enum kt_status kt_ndjson_init(struct kt_ndjson *lines, kt_csv_source_fn source, void *ctx,
                              size_t line_max_bytes, struct kt_error *err) KT_MUST_CHECK;
void kt_ndjson_done(struct kt_ndjson *lines);
/* The next line that is not empty; *ret_more false at the end of the stream. */
enum kt_status kt_ndjson_next(struct kt_ndjson *lines, struct kt_str *ret_line, bool *ret_more,
                              struct kt_error *err) KT_MUST_CHECK;

#endif

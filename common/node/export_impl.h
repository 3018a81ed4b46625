/* export_impl.h - what the export's files share.
 *
 *   export.c        the query string, the handler, the stream
 *   export_lines.c  subjects and records as lines
 *
 * Threads: one at a time per export.
 * Owns:    see struct export.
 * Fails:   see each function.
 */
#ifndef KT_NODE_EXPORT_IMPL_H
#define KT_NODE_EXPORT_IMPL_H

#include "http/message.h"
#include "node/node_impl.h"
#include "store/export.h"

#define EXPORT_TEXT_MAX 128 /* of a period, an end_date, a year */

struct export_text { /* of a record; copied, for its versions come and go */
    enum kt_named named;
    size_t len;
    char bytes[EXPORT_TEXT_MAX];
};

enum export_cell { CELL_NONE, CELL_NULL, CELL_NUMBER };

/* The record at hand: all of its versions so far by the value rule, or one of them. */
struct export_record {
    bool any;
    int64_t time_s;
    struct export_text period, end_date, year;
    bool declare_given;
    int64_t declare_s; /* the greatest given one */
    uint64_t revision;
};

enum export_phase { EXPORT_HEADER, EXPORT_SUBJECTS, EXPORT_RECORDS, EXPORT_END };

struct export
{
    struct kt_node *node;
    struct kt_export *source;
    bool csv, versions;
    int64_t from_s, to_s;
    struct kt_str topic; /* "" = none */

    const struct kt_subject **subjects; /* ascending by key, each once */
    size_t subject_count;
    /* Wanted indicators in byte order of their keys have ranks 0, 1, …: */
    uint32_t *rank_of; /* by the catalogue's number: rank + 1, 0 = not wanted */
    uint32_t *numbers; /* by rank */
    size_t rank_count;
    double *cells;         /* by rank: values of the record at hand */
    unsigned char *states; /* by rank: enum export_cell */
    uint32_t *touched;     /* ranks that are not CELL_NONE */
    size_t touched_count;
    struct export_record record;

    enum export_phase phase;
    size_t at;       /* the subject that is next */
    bool in_subject; /* the source stands in the versions of subject at - 1 */
    int64_t deadline_mono_ms, begun_mono_ms;
    uint64_t subject_lines, record_lines, bytes;
    char request_id[129];
};

/* --- export_lines.c: each appends one line --- */

void export_header_line(struct export *export, struct kt_buf *chunk);
enum kt_status export_subject_line(struct export *export, const struct kt_subject *subject,
                                   struct kt_buf *chunk, struct kt_error *err) KT_MUST_CHECK;
/* Of the record at hand, which is then empty again. */
enum kt_status export_record_line(struct export *export, const struct kt_subject *subject,
                                  struct kt_buf *chunk, struct kt_error *err) KT_MUST_CHECK;
/* Takes one more version into the record at hand. */
enum kt_status export_take_version(struct export *export, const struct kt_version *version,
                                   struct kt_error *err) KT_MUST_CHECK;
/* Is the version of the record at hand? */
bool export_same_record(const struct export *export, const struct kt_version *version);

#endif

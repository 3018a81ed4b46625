/* import.h - POST …/data/v1/import: a body of any size, read piece by piece, written in batches.
 *
 * Memory is bounded by one line and one batch. Batches are cut by the body alone (so many lines or
 * bytes), never by time, so that a repeated import cuts alike. Each batch is one change with one
 * revision; what was committed before a failure stays and is counted in the answer.
 *
 * With atomic=1 there is one batch, and memory is bounded by limits.atomic_bytes.
 *
 * CSV is RFC 4180 with a header line; LF or CRLF, a BOM is skipped; quoted cells may hold newlines.
 * A line that cannot be read (wrong number of columns, bad time, bad number, key too long …) is
 * rejected with its line number and reason; the rest goes on (on_error=skip) or not (abort).
 * NDJSON has one {"subject":{…}} or {"record":{…}} a line, in the shapes of save; empty lines are
 * passed over, a line that save would refuse is rejected.
 *
 * finance_sqlite is a SQLite file of the first program (store/finance.h); "lines" are its rows.
 *
 * Threads: any; one run per call.
 * Owns:    its buffers during the call.
 * Fails:   see kt_import_run.
 */
#ifndef KT_NODE_IMPORT_H
#define KT_NODE_IMPORT_H

#include "http/message.h"
#include "store/change.h"
#include "json/write.h"

#define KT_IMPORT_COLUMNS_MAX 4200
#define KT_IMPORT_ERRORS_MAX 100

struct kt_import_options; /* opaque: the query string, parsed */

/* Reads format, time_format, on_error, atomic, skip and the column mapping from the query string.
 * Unknown parameters: KT_UNKNOWN_FIELD; those of
 * another format: KT_BAD_VALUE. Content-Encoding: none or gzip, else KT_MEDIA_TYPE. In the
 * request's arena. */
enum kt_status kt_import_options_parse(const struct kt_http_request *request,
                                       struct kt_import_options **ret_options,
                                       struct kt_error *err) KT_MUST_CHECK;

struct kt_import_limits {
    int64_t line_max_bytes; /* one line, quoted newlines included */
    int64_t batch_records;  /* 2000 */
    int64_t batch_bytes;    /* of an encoded change: 1 MiB */
    int64_t atomic_bytes;   /* the same with atomic=1: all of the import */
    int json_depth;
    const char *spool_beside; /* temporary files get this name and more: the database's path */
    int64_t spool_bytes;      /* of one of them */
    int64_t step_ms;          /* to the next row of a SQLite file */
    int64_t gzip_ratio;       /* what gzip unpacks to, in its own lengths; 0 = unbounded */
    int64_t deadline_mono_ms; /* of the whole, looked at with each line rejected; 0 = none */
    struct kt_budget *held;   /* shared with others: for large batches; NULL = unbounded */
    struct kt_budget *parsed; /* the same for long lines */
};

struct kt_import_report {
    uint64_t revision; /* of the last batch; 0 = nothing was written */
    uint64_t records, subjects, values, rejected, batches;
    struct {
        uint64_t line;
        char reason[160];
    } errors[KT_IMPORT_ERRORS_MAX];
    size_t error_count;
    bool aborted; /* on_error=abort met a bad line: the batches before it stay */
};

/* Makes one batch durable and applied: `body` is an encoded change. KT_OK fills ret_revision. */
typedef enum kt_status (*kt_import_submit_fn)(void *ctx, uint64_t batch, struct kt_str body,
                                              uint64_t *ret_revision, struct kt_error *err);

/* `subjects` counts distinct subjects of the whole import, `values` the numbers written, `records`
 * the lines that became records. The header line is checked against the mapping before anything is
 * written: a missing column, a doubled or colliding indicator name, a reserved name = KT_BAD_VALUE
 * naming it. Fails besides with KT_BAD_REQUEST (broken gzip or framing), KT_TIMEOUT (silent body),
 * KT_BUSY (others have the shared memory), and whatever submit gave; *ret_report then holds what
 * was committed. */
enum kt_status kt_import_run(const struct kt_import_options *options,
                             const struct kt_import_limits *limits, struct kt_http_body *body,
                             kt_import_submit_fn submit, void *submit_ctx,
                             struct kt_import_report *ret_report,
                             struct kt_error *err) KT_MUST_CHECK;
/* {"revision":…,"records":…,"subjects":…,"values":…,"rejected":…,"errors":[{"line","reason"}]} */
void kt_import_report_write(const struct kt_import_report *report, struct kt_jw *jw);

#endif

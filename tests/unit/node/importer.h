/* importer.h - one import as a test sees it: a query string and a body in, committed batches and a
 * report out.
 *
 * Committed batches are written as "batch N" lines with the change's text (change_text.h) behind
 * each; revisions count up from 101.
 *
 * Threads: one.
 * Owns:    its buffers, freed by importer_done.
 * Fails:   importer_run returns what the options or the run gave; err says why.
 */
#ifndef KT_TEST_NODE_IMPORTER_H
#define KT_TEST_NODE_IMPORTER_H

#include "node/import.h"

struct importer {
    /* in */
    const char *query, *encoding; /* Content-Encoding, NULL = none */
    struct kt_str body;
    size_t piece; /* bytes the source gives at a time, 0 = all */
    struct kt_import_limits limits;
    uint64_t refuse_batch; /* this submit fails (1 = the first), 0 = none */
    enum kt_status refuse_with;
    size_t source_fails_at; /* after so many bytes, with KT_TIMEOUT; 0 = never */
    bool quiet;             /* do not write the batches down */
    /* out */
    struct kt_buf batches;
    struct kt_import_report report;
    uint64_t submits;
    size_t largest_batch_bytes;
    int64_t most_held_bytes; /* of limits.held, at a submit */
    struct kt_error err;
};

void importer_init(struct importer *importer);
void importer_done(struct importer *importer);
/* Clears the outputs first. */
enum kt_status importer_run(struct importer *importer) KT_MUST_CHECK;

#define IMPORTER_PIECES 4
extern const size_t importer_pieces[IMPORTER_PIECES]; /* of 1, 7 and 4096 bytes, and 0 = whole */
/* Runs it plain and packed, in each of these pieces: the test fails and false is returned when two
 * ways differ. *ret_text is the batches, the failure if there was one, and the report as JSON. */
bool importer_run_all_ways(struct importer *importer, struct kt_buf *ret_text);

#endif

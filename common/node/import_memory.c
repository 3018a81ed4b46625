/* SPDX-License-Identifier: MIT */
/* One import is bounded by its batch and its longest line, many at once are not. What is more than
 * a little is taken from the memory that all large bodies share, as estimated: the batch's share
 * grows with it and stays until the end, as its buffers do; a line's is for as long as it is
 * parsed.
 */
#include "base/clock.h"
#include "node/import_impl.h"

#define BATCH_FREE_BYTES 262144
#define BATCH_COPIES                                                                               \
    4 /* the builder's parts, the encoded change, and the one that waits to be done */
#define LINE_FREE_BYTES 16384
#define LINE_COPIES 3  /* of its text: the line, and the batch's table of texts as it grows */
#define VALUE_BYTES 64 /* of a value, between the document and the batch */
#define WAIT_MS 5000   /* others hold theirs for the time of a line or of an import */

static enum kt_status take(struct kt_budget_share *share, struct kt_budget *budget, size_t bytes,
                           struct kt_error *err)
{
    share->budget = budget;
    return !budget || kt_budget_share_take(share, (int64_t)bytes, kt_now_mono_ms() + WAIT_MS)
               ? KT_OK
               : kt_fail(err, KT_BUSY, "too many large imports are under way at once");
}

static void give(struct kt_budget_share *share)
{
    if (share->budget) {
        kt_budget_share_give(share);
    }
}

enum kt_status import_hold_batch(struct import *import, size_t bytes, struct kt_error *err)
{
    size_t held = (size_t)import->held.held_bytes, want = bytes * BATCH_COPIES;
    if (bytes <= BATCH_FREE_BYTES || want <= held) {
        return KT_OK;
    }
    /* Doubles, as the buffers do. */
    return take(&import->held, import->limits->held, want - held > held ? want - held : held, err);
}

enum kt_status import_hold_line(struct import *import, struct kt_str text, struct kt_error *err)
{
    if (text.len <= LINE_FREE_BYTES) {
        return KT_OK;
    }
    size_t bytes = kt_json_parse_bytes(text) + LINE_COPIES * text.len +
                   VALUE_BYTES * kt_json_values_at_most(text);
    return take(&import->parsed, import->limits->parsed, bytes, err);
}

void import_give_line(struct import *import)
{
    give(&import->parsed);
}

void import_give_all(struct import *import)
{
    give(&import->parsed);
    give(&import->held);
}

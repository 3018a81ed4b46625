/* SPDX-License-Identifier: MIT */
/* Lines that say when they were recorded come ordered by key; they are kept in a temporary file and
 * taken out by revision. Each recorded revision becomes one change, which carries its stamp: apply
 * judges alike everywhere whether it may still be (store/change.h).
 *
 * Within a revision a version without a declare time of its own comes before those with one: it
 * took the greatest that the record had before this revision, and must find that again. (One that
 * had taken a later line's stands folded into it.)
 */
#include "base/clock.h"
#include "base/mem.h"
#include "node/import_impl.h"
#include "store/sorter.h"

enum { ORDER_SUBJECT, ORDER_UNDECLARED, ORDER_DECLARED };

struct import_restore {
    struct import *import;
    struct kt_sorter *sorter;
};

enum kt_status import_restore_new(struct import *import, struct import_restore **ret_restore,
                                  struct kt_error *err)
{
    const struct kt_import_limits *limits = import->limits;
    if (import->options->atomic) {
        return kt_fail_field(err, KT_BAD_VALUE, "atomic",
                             "atomic: lines with recorded make a revision for each recorded one");
    }
    struct import_restore *restore = kt_calloc(1, sizeof(*restore));
    if (!restore) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for an import");
    }
    restore->import = import;
    enum kt_status status =
        kt_sorter_new(limits->spool_beside, (uint64_t)limits->spool_bytes, &restore->sorter, err);
    if (status != KT_OK) {
        import_restore_free(&restore);
        return status;
    }
    *ret_restore = restore;
    return KT_OK;
}

void import_restore_free(struct import_restore **restore)
{
    if (*restore) {
        kt_sorter_free(&(*restore)->sorter);
        kt_free(*restore);
        *restore = NULL;
    }
}

enum kt_status import_restore_add(struct import_restore *restore, const struct import_line *line,
                                  struct kt_str text, struct kt_error *err)
{
    struct kt_sorted piece = {.major = line->revision, .number = line->wall_ms, .text = text};
    piece.minor = !line->is_record             ? ORDER_SUBJECT
                  : line->record.declare_given ? ORDER_DECLARED
                                               : ORDER_UNDECLARED;
    return kt_sorter_add(restore->sorter, &piece, err);
}

/* Before anything is written: what apply would refuse in the middle. */
static enum kt_status check_stamps(struct import_restore *restore, struct kt_error *err)
{
    struct kt_sorted piece;
    uint64_t revision = 0;
    int64_t wall_ms = 0, now_ms = kt_now_wall_ms();
    enum kt_status status = KT_OK;
    kt_sorter_rewind(restore->sorter);
    while ((status = kt_sorter_next(restore->sorter, &piece, err)) == KT_OK) {
        if (piece.major == 0) {
            continue;
        }
        const char *why = piece.number > now_ms ? "lies in the future"
                          : piece.major == revision && piece.number != wall_ms ? "is given twice"
                          : piece.number < wall_ms                             ? "runs backwards"
                                                                               : NULL;
        if (why) {
            return kt_fail_field(err, KT_BAD_VALUE, "recorded",
                                 "recorded: wall_ms %lld of revision %llu %s",
                                 (long long)piece.number, (unsigned long long)piece.major, why);
        }
        revision = piece.major;
        wall_ms = piece.number;
    }
    return status == KT_NOT_FOUND ? KT_OK : status;
}

static enum kt_status add_piece(struct import_restore *restore, const struct kt_sorted *piece,
                                struct kt_arena *arena, struct kt_error *err)
{
    struct import *import = restore->import;
    struct kt_json *json = NULL;
    struct import_line line;
    enum kt_status status = import_hold_line(import, piece->text, err);
    if (status != KT_OK) {
        return status;
    }
    status = import_line_parse(piece->text, import->limits->json_depth, arena, &json, &line, err);
    if (status == KT_OK) {
        status = import_line_add(import, &line, err);
    }
    kt_json_free(&json);
    kt_arena_reset(arena);
    import_give_line(import);
    return status;
}

enum kt_status import_restore_run(struct import_restore *restore, struct kt_arena *arena,
                                  struct kt_error *err)
{
    struct import *import = restore->import;
    struct kt_sorted piece;
    enum kt_status status = check_stamps(restore, err);
    kt_sorter_rewind(restore->sorter);
    import->whole = true;
    while (status == KT_OK && (status = kt_sorter_next(restore->sorter, &piece, err)) == KT_OK) {
        /* Subjects that no change of records touched (0) come with the first revision. */
        if (import->recorded_revision != 0 && piece.major != import->recorded_revision) {
            status = import_flush(import, err);
        }
        import->recorded_revision = piece.major;
        import->recorded_wall_ms = piece.number;
        if (status == KT_OK) {
            status = add_piece(restore, &piece, arena, err);
        }
    }
    return status == KT_NOT_FOUND ? KT_OK : status;
}

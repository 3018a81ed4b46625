/* SPDX-License-Identifier: MIT */
/* Changes that were recorded elsewhere keep their stamps, so that recorded_by as a time answers as
 * it did there. That works only while stamps rise with revisions, which the log's own (of epochs'
 * starts, of refused entries) would disturb: what was stamped later and changed nothing takes the
 * stamp of the restored change behind it.
 */
#include "store/apply_internal.h"

#include <stdio.h>

static enum kt_status is_empty(struct applier *a, bool *ret_empty, struct kt_error *err)
{
    struct sqlite3_stmt *stmt = a->store->data_stmts[DATA_ANY_GENERIC];
    *ret_empty = false;
    if (a->edit->subject_count > 0) {
        return KT_OK;
    }
    enum kt_status status = db_step(stmt, err);
    if (status == KT_OK) {
        db_reset(stmt);
    }
    *ret_empty = status == KT_NOT_FOUND;
    return status == KT_NOT_FOUND ? KT_OK : status;
}

enum kt_status restore_judge(struct applier *a, const struct kt_change *change,
                             const struct kt_entry *entry, struct kt_apply_result *result,
                             struct kt_error *err)
{
    const struct store_settings *settings = &a->settings;
    char message[200] = "";
    bool goes_on = settings->restored_revision != 0, empty = false;
    if (change->recorded_wall_ms > entry->wall_ms) {
        snprintf(message, sizeof(message), "recorded: wall_ms %lld lies in the future",
                 (long long)change->recorded_wall_ms);
    } else if (goes_on && ((int64_t)change->recorded_revision <= settings->restored_revision ||
                           change->recorded_wall_ms < settings->restored_wall_ms)) {
        snprintf(message, sizeof(message),
                 "recorded: revision %llu of %lld ms does not follow revision %lld of %lld ms",
                 (unsigned long long)change->recorded_revision, (long long)change->recorded_wall_ms,
                 (long long)settings->restored_revision, (long long)settings->restored_wall_ms);
    } else if (!goes_on) {
        enum kt_status status = is_empty(a, &empty, err);
        if (status != KT_OK) {
            return status;
        }
        snprintf(message, sizeof(message), "%s",
                 empty ? "" : "recorded: the cluster is not empty, or was written to otherwise");
    }
    if (message[0]) {
        apply_refuse(result, KT_BAD_VALUE, "recorded", message);
    }
    return KT_OK;
}

static enum kt_status set_restored(struct applier *a, int64_t revision, int64_t wall_ms,
                                   struct kt_error *err)
{
    a->settings.restored_revision = revision;
    a->settings.restored_wall_ms = wall_ms;
    enum kt_status status = apply_set_meta(a->store, "restored_revision", revision, err);
    return status == KT_OK ? apply_set_meta(a->store, "restored_wall_ms", wall_ms, err) : status;
}

enum kt_status restore_note(struct applier *a, const struct kt_change *change, struct kt_error *err)
{
    if (change->recorded_revision == 0) {
        return a->settings.restored_revision != 0 ? set_restored(a, 0, 0, err) : KT_OK;
    }
    a->stamp_ms = change->recorded_wall_ms;
    struct sqlite3_stmt *stmt = a->store->data_stmts[DATA_LOWER_STAMPS];
    db_bind_i64(stmt, 1, a->stamp_ms);
    enum kt_status status = db_run(stmt, err);
    return status == KT_OK ? set_restored(a, (int64_t)change->recorded_revision, a->stamp_ms, err)
                           : status;
}

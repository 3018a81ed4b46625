/* SPDX-License-Identifier: MIT */
#include "store/detach.h"

#include "base/hash.h"
#include "store/store_internal.h"

/* The data file's commits are not fsynced otherwise (the log redoes them); this one must not be
 * overtaken by the log's. */
static enum kt_status forget_data_ids(struct sqlite3 *db, struct kt_error *err)
{
    enum kt_status status = db_exec(db, "PRAGMA synchronous=FULL", err);
    if (status == KT_OK) {
        status = db_exec(db, "DELETE FROM meta WHERE name IN ('node_id','cluster_id')", err);
    }
    return status;
}

/* Of what stands beside the log only the positions still hold: the greatest epoch stays, so that
 * the next one is new. */
static enum kt_status put_log_ids(struct sqlite3 *db, const struct kt_store_detached *as,
                                  struct kt_error *err)
{
    enum kt_status status =
        db_exec(db, "DELETE FROM meta WHERE name NOT IN ('commit_seq','kept_epoch')", err);
    if (status == KT_OK) {
        status = db_meta_set_text(db, "node_id", kt_str(as->node_id), err);
    }
    if (status == KT_OK) {
        status = db_meta_set_text(db, "cluster_id", kt_str(as->cluster_id), err);
    }
    if (status == KT_OK) {
        status = db_meta_set_i64(db, "was_standalone", 1, err);
    }
    if (status == KT_OK) {
        status = db_meta_set_text(db, "kept_config", as->config_json, err);
    }
    return status;
}

static enum kt_status change_log_ids(struct sqlite3 *db, const struct kt_store_detached *as,
                                     struct kt_error *err)
{
    enum kt_status status = db_exec(db, "BEGIN IMMEDIATE", err);
    if (status == KT_OK) {
        status = put_log_ids(db, as, err);
    }
    return db_end(db, status, err);
}

/* The ids it lacks are filled in at the next open. */
static enum kt_status replace_cursor_key(struct sqlite3 *db, struct kt_error *err)
{
    unsigned char key[KT_CURSOR_KEY_BYTES];
    struct sqlite3_stmt *stmt = NULL;
    kt_random_bytes(key, sizeof(key));
    enum kt_status status =
        db_prepare(db, "UPDATE meta SET value=? WHERE name='cursor_key'", &stmt, err);
    if (status == KT_OK) {
        db_bind_blob(stmt, 1, kt_str_n((const char *)key, sizeof(key)));
        status = db_run(stmt, err);
    }
    db_finalize(&stmt);
    return status;
}

static enum kt_status check_whole(struct sqlite3 *log, struct kt_error *err)
{
    int64_t half = 0;
    enum kt_status status = db_meta_get_i64(log, "half_copy", 0, &half, err);
    if (status == KT_OK && half != 0) {
        status =
            kt_fail(err, KT_CONFLICT,
                    "this database holds half of a copy: there is nothing whole to go on with");
    }
    return status;
}

enum kt_status kt_store_detach(struct kt_store **store, const struct kt_store_detached *as,
                               struct kt_error *err)
{
    struct sqlite3 *log = (*store)->log.db, *data = (*store)->data;
    enum kt_status status = check_whole(log, err);
    if (status == KT_OK) {
        status = kt_store_flush(*store, err);
    }
    if (status == KT_OK) {
        status = forget_data_ids(data, err);
    }
    if (status == KT_OK) {
        status = change_log_ids(log, as, err);
    }
    if (status == KT_OK) {
        status = replace_cursor_key(data, err);
    }
    kt_store_close(store);
    return status;
}

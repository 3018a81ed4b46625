/* SPDX-License-Identifier: MIT */
#include "store/sorter.h"

#include "base/mem.h"
#include "store/db.h"
#include "store/spool.h"

/* What a piece takes in the file besides its text; pages of a B-tree that grew out of order are
 * half full at worst. */
#define PIECE_BYTES 48
#define FILL 2

struct kt_sorter {
    struct kt_spool *spool; /* the name; SQLite writes the file */
    struct sqlite3 *db;
    struct sqlite3_stmt *add, *next;
    uint64_t bytes, max_bytes, count;
};

static enum kt_status open_file(struct kt_sorter *sorter, const char *beside, struct kt_error *err)
{
    const char *path = NULL;
    enum kt_status status = kt_spool_new(beside, sorter->max_bytes, &sorter->spool, err);
    if (status == KT_OK) {
        status = kt_spool_finish(sorter->spool, &path, err);
    }
    if (status == KT_OK) {
        status = db_open(path, DB_SCRATCH, &sorter->db, err);
    }
    if (status == KT_OK) {
        status = db_exec(sorter->db,
                         "CREATE TABLE piece(major INTEGER NOT NULL, minor INTEGER NOT NULL,"
                         " place INTEGER NOT NULL, number INTEGER NOT NULL, text BLOB NOT NULL,"
                         " PRIMARY KEY(major,minor,place)) WITHOUT ROWID; BEGIN",
                         err);
    }
    if (status == KT_OK) {
        status = db_prepare(sorter->db,
                            "INSERT INTO piece(major,minor,place,number,text) VALUES(?,?,?,?,?)",
                            &sorter->add, err);
    }
    if (status == KT_OK) {
        status = db_prepare(sorter->db,
                            "SELECT major,minor,number,text FROM piece"
                            " ORDER BY major,minor,place",
                            &sorter->next, err);
    }
    return status;
}

enum kt_status kt_sorter_new(const char *beside, uint64_t max_bytes, struct kt_sorter **ret_sorter,
                             struct kt_error *err)
{
    struct kt_sorter *sorter = kt_calloc(1, sizeof(*sorter));
    if (!sorter) {
        return kt_fail(err, KT_NO_MEMORY, "no memory to sort a body");
    }
    sorter->max_bytes = max_bytes;
    enum kt_status status = open_file(sorter, beside, err);
    if (status != KT_OK) {
        kt_sorter_free(&sorter);
        return status;
    }
    *ret_sorter = sorter;
    return KT_OK;
}

void kt_sorter_free(struct kt_sorter **sorter_ptr)
{
    struct kt_sorter *sorter = *sorter_ptr;
    if (!sorter) {
        return;
    }
    db_finalize(&sorter->add);
    db_finalize(&sorter->next);
    db_close(&sorter->db);
    kt_spool_free(&sorter->spool);
    kt_free(sorter);
    *sorter_ptr = NULL;
}

enum kt_status kt_sorter_add(struct kt_sorter *sorter, const struct kt_sorted *piece,
                             struct kt_error *err)
{
    uint64_t more = FILL * (piece->text.len + PIECE_BYTES);
    if (more > sorter->max_bytes - sorter->bytes) {
        return kt_fail_field(err, KT_TOO_LARGE, "body",
                             "the body needs more than the %llu bytes that a temporary file may "
                             "take ([limits] import_spool_bytes)",
                             (unsigned long long)sorter->max_bytes);
    }
    sorter->bytes += more;
    db_bind_u64(sorter->add, 1, piece->major);
    db_bind_u64(sorter->add, 2, piece->minor);
    db_bind_u64(sorter->add, 3, sorter->count++);
    db_bind_i64(sorter->add, 4, piece->number);
    db_bind_blob(sorter->add, 5, piece->text);
    return db_run(sorter->add, err);
}

void kt_sorter_rewind(struct kt_sorter *sorter)
{
    db_reset(sorter->next);
}

enum kt_status kt_sorter_next(struct kt_sorter *sorter, struct kt_sorted *ret_piece,
                              struct kt_error *err)
{
    enum kt_status status = db_step(sorter->next, err);
    if (status != KT_OK) {
        return status;
    }
    *ret_piece = (struct kt_sorted){db_u64(sorter->next, 0), db_u64(sorter->next, 1),
                                    db_i64(sorter->next, 2), db_blob(sorter->next, 3)};
    return db_check_columns(sorter->next, err);
}

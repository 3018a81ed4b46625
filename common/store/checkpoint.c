/* SPDX-License-Identifier: MIT */
/* checkpoint.c - what the WAL of the data file has is brought into the file on a thread that nobody
 * waits for: it syncs both and writes every page again, which takes a slow disk a good part of a
 * second. SQLite would have it done by whoever commits, here the thread that applies, and with it
 * everybody who waits for a write.
 *
 * A WAL begins anew only where a transaction begins while all of it is in the file. Under load the
 * next one begins before the checkpoint is over, and the WAL grows, with nearly all of it done;
 * when it is long the commit itself brings in the rest, which is little, and the next transaction
 * begins it anew.
 */
#include "store/store_internal.h"

#include <sqlite3.h>

#define DUE_PAGES 4000     /* that are not in the file: 16 MB */
#define LENGTH_PAGES 16000 /* then the commit does what is left */

/* After each commit, with how many pages the WAL has. */
static int on_commit(void *ctx, struct sqlite3 *db, const char *schema, int pages)
{
    struct kt_store *store = ctx;
    int done = pages;
    if (pages < atomic_load_explicit(&store->wal_pages, memory_order_relaxed)) {
        atomic_store_explicit(&store->wal_done, 0, memory_order_relaxed); /* it began anew */
    }
    atomic_store_explicit(&store->wal_pages, pages, memory_order_relaxed);
    if (pages >= LENGTH_PAGES && sqlite3_wal_checkpoint_v2(db, schema, SQLITE_CHECKPOINT_PASSIVE,
                                                           NULL, &done) == SQLITE_OK) {
        atomic_store_explicit(&store->wal_done, done, memory_order_relaxed);
    }
    return SQLITE_OK; /* what was committed is; a checkpoint that failed is tried again */
}

void checkpoint_watch(struct kt_store *store)
{
    (void)sqlite3_wal_hook(store->data, on_commit, store);
}

enum kt_status checkpoint_data(struct kt_store *store, bool *ret_complete, struct kt_error *err)
{
    struct sqlite3 *db = NULL;
    int pages = 0, done = 0;
    enum kt_status status = db_open(store->path, DB_READER, &db, err);
    if (status == KT_OK) {
        status = db_checkpoint_whole(db, &pages, &done, err);
    }
    if (status == KT_OK) {
        atomic_store_explicit(&store->wal_done, done, memory_order_relaxed);
    }
    *ret_complete = status == KT_OK && pages == done;
    db_close(&db);
    return status;
}

bool kt_store_checkpoint_due(struct kt_store *store)
{
    int pages = atomic_load_explicit(&store->wal_pages, memory_order_relaxed);
    int done = atomic_load_explicit(&store->wal_done, memory_order_relaxed);
    /* More done than there is: of the WAL before this one. */
    return pages - (done <= pages ? done : 0) >= DUE_PAGES;
}

enum kt_status kt_store_checkpoint(struct kt_store *store, struct kt_error *err)
{
    bool complete = false;
    return checkpoint_data(store, &complete, err);
}

/* SPDX-License-Identifier: MIT */
/* checkpoint.c - what the WAL of the data file has is brought into the file on a thread that nobody
 * waits for: it syncs both and writes every page again, which takes a slow disk a good part of a
 * second. SQLite would have it done by whoever commits, here the thread that applies, and with it
 * everybody who waits for a write. If nobody does it, the WAL is bounded all the same.
 */
#include "store/store_internal.h"

#include <sqlite3.h>

#define DUE_PAGES 4000  /* 16 MB */
#define MAX_PAGES 32000 /* then the next commit does it */

/* After each commit, with how many pages the WAL has. */
static int on_commit(void *ctx, struct sqlite3 *db, const char *schema, int pages)
{
    struct kt_store *store = ctx;
    atomic_store_explicit(&store->wal_pages, pages, memory_order_relaxed);
    if (pages >= MAX_PAGES) {
        (void)sqlite3_wal_checkpoint_v2(db, schema, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
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
    int pages = atomic_load_explicit(&store->wal_pages, memory_order_relaxed);
    enum kt_status status = db_open(store->path, DB_READER, &db, err);
    *ret_complete = false;
    if (status == KT_OK) {
        status = db_checkpoint_whole(db, ret_complete, err);
    }
    if (status == KT_OK && *ret_complete) {
        /* Unless there was a commit meanwhile, which has said what the WAL has now. */
        atomic_compare_exchange_strong(&store->wal_pages, &pages, 0);
    }
    db_close(&db);
    return status;
}

bool kt_store_checkpoint_due(struct kt_store *store)
{
    return atomic_load_explicit(&store->wal_pages, memory_order_relaxed) >= DUE_PAGES;
}

enum kt_status kt_store_checkpoint(struct kt_store *store, struct kt_error *err)
{
    bool complete = false;
    return checkpoint_data(store, &complete, err);
}

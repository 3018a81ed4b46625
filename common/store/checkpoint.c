/* SPDX-License-Identifier: MIT */
/* checkpoint.c - what the WAL of the data file has is brought into the file on a thread that nobody
 * waits for: it syncs both and writes every page again, which takes a slow disk a good part of a
 * second. SQLite would have it done by whoever commits, here the thread that applies, and with it
 * everybody who waits for a write.
 *
 * A WAL begins anew only where a transaction begins while all of it is in the file. Under load the
 * next one begins before the checkpoint is over, and so the WAL grows, with nearly all of it done.
 * When it is long, what is applied is committed as soon as all before it is done: a smaller piece
 * each time, until one is small enough for the commit itself to bring in.
 */
#include "store/store_internal.h"

#include <sqlite3.h>

#define DUE_PAGES 4000   /* that are not in the file: 16 MB */
#define LONG_PAGES 16000 /* it should begin anew … */
#define SMALL_PAGES 1000 /* … and a commit may bring in so many … */
#define MAX_PAGES 64000  /* … or else all there are */

static int get(const atomic_int *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static int left_of(struct kt_store *store)
{
    int pages = get(&store->wal_pages), done = get(&store->wal_done);
    return done <= pages ? pages - done : pages; /* more is of the WAL before this one */
}

/* After each commit, with how many pages the WAL has. */
static int on_commit(void *ctx, struct sqlite3 *db, const char *schema, int pages)
{
    struct kt_store *store = ctx;
    int done = 0;
    /* It began anew, as where the new one is shorter; one that is longer at once passes for the old
     * one, until the next checkpoint says how much of it is done. */
    if (pages < get(&store->wal_pages)) {
        atomic_store_explicit(&store->wal_done, 0, memory_order_relaxed);
    }
    atomic_store_explicit(&store->wal_pages, pages, memory_order_relaxed);
    bool may_end = pages >= LONG_PAGES && left_of(store) <= SMALL_PAGES;
    if ((may_end || pages >= MAX_PAGES) &&
        sqlite3_wal_checkpoint_v2(db, schema, SQLITE_CHECKPOINT_PASSIVE, NULL, &done) ==
            SQLITE_OK) {
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
    int left = left_of(store);
    return left >= DUE_PAGES || (left > 0 && get(&store->wal_pages) >= LONG_PAGES);
}

bool checkpoint_wants_commit(struct kt_store *store)
{
    return get(&store->wal_pages) >= LONG_PAGES && left_of(store) == 0;
}

enum kt_status kt_store_checkpoint(struct kt_store *store, struct kt_error *err)
{
    bool complete = false;
    return checkpoint_data(store, &complete, err);
}

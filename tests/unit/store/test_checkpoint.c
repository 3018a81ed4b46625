/* SPDX-License-Identifier: MIT */
/* Bringing the WAL of the data into its file: said when it is due, done beside readers and the
 * applier, and bounded when nobody does it.
 */
#include "store/store_internal.h"
#include "tests/unit/store/memory_disk.h"
#include "tests/unit/store/store_help.h"

static struct kt_error err;

/* So many pages: one commit, if no transaction is open. */
static void write_pages(struct kt_store *store, unsigned pages)
{
    static unsigned count;
    char sql[120];
    CHECK_OK(kt_store_flush(store, &err));
    snprintf(sql, sizeof(sql), "INSERT INTO meta(name,value) VALUES('x%u',zeroblob(%u))", count++,
             pages * 4096);
    CHECK_OK(db_exec(store->data, sql, &err));
}

static void it_is_due_when_the_wal_is_long_and_then_done(void)
{
    struct kt_store *store = help_new();
    CHECK(!kt_store_checkpoint_due(store));
    write_pages(store, 3000);
    CHECK(!kt_store_checkpoint_due(store));
    write_pages(store, 2000);
    CHECK(kt_store_checkpoint_due(store));
    CHECK(kt_fs_size(store->path) < 4096 * 1000);
    CHECK_OK(kt_store_checkpoint(store, &err));
    CHECK(!kt_store_checkpoint_due(store));
    CHECK(kt_fs_size(store->path) > 4096 * 5000);
    write_pages(store, 10); /* the WAL begins anew */
    CHECK(!kt_store_checkpoint_due(store));
    kt_store_close(&store);
}

/* Commits go on without a pause, and a checkpoint takes as long as it takes to write a third of a
 * commit: the next transaction has begun when it is done. */
static void under_load_the_wal_begins_anew_with_a_small_commit(void)
{
    struct kt_store *store = help_new();
    unsigned pages = 1500, made = 0, restarts = 0;
    int before = 0, longest = 0, most_left = 0;
    CHECK_OK(kt_store_flush(store, &err));
    for (int i = 0; i < 60; i++) {
        CHECK_OK(db_exec(store->data, "BEGIN IMMEDIATE", &err));
        bool is_due = kt_store_checkpoint_due(store);
        if (is_due) {
            CHECK_OK(kt_store_checkpoint(store, &err));
            CHECK(!kt_store_checkpoint_due(store));
            made++;
        }
        bool early = checkpoint_wants_commit(store);
        pages = !early ? 1500 : pages / 3;
        write_pages(store, pages);
        CHECK_OK(db_exec(store->data, "COMMIT", &err));
        int now = atomic_load(&store->wal_pages), left = now - atomic_load(&store->wal_done);
        restarts += now < before;
        before = now;
        longest = now > longest ? now : longest;
        most_left = left > most_left ? left : most_left;
    }
    CHECK(restarts >= 4);
    CHECK(longest > 16000 && longest < 18000);
    CHECK(most_left < 6000);
    CHECK(made >= 15 && made < 40);
    kt_store_close(&store);
}

static void a_reader_of_an_older_state_delays_it(void)
{
    struct kt_store *store = help_new();
    struct reader *reader = NULL;
    CHECK_OK(data_take(store, &reader, &err));
    CHECK_OK(db_exec(reader->db, "BEGIN; SELECT count(*) FROM meta", &err));
    write_pages(store, 5000);
    CHECK_OK(kt_store_checkpoint(store, &err));
    CHECK(kt_store_checkpoint_due(store));
    CHECK_OK(db_exec(reader->db, "COMMIT", &err));
    pool_give(&store->data_readers, reader);
    CHECK_OK(kt_store_checkpoint(store, &err));
    CHECK(!kt_store_checkpoint_due(store));
    kt_store_close(&store);
}

static void when_nobody_does_it_a_commit_does(void)
{
    struct kt_store *store = help_new();
    write_pages(store, 30000);
    write_pages(store, 30000);
    CHECK(kt_fs_size(store->path) < 4096 * 1000);
    write_pages(store, 5000);
    CHECK(kt_fs_size(store->path) > INT64_C(4096) * 64000);
    CHECK(!kt_store_checkpoint_due(store));
    write_pages(store, 10);
    CHECK(atomic_load(&store->wal_pages) < 1000);
    kt_store_close(&store);
}

static void one_that_fails_is_told_and_due_again(void)
{
    struct kt_store *store = help_new();
    write_pages(store, 5000);
    kt_fault_set(KT_FAULT_IO, 1, 0);
    CHECK_FAILS(kt_store_checkpoint(store, &err), KT_IO);
    kt_fault_set(KT_FAULT_IO, 0, 0);
    CHECK(kt_store_checkpoint_due(store));
    CHECK_OK(kt_store_checkpoint(store, &err));
    CHECK(!kt_store_checkpoint_due(store));
    kt_store_close(&store);
}

static const struct kt_test tests[] = {
    TEST(it_is_due_when_the_wal_is_long_and_then_done),
    TEST(under_load_the_wal_begins_anew_with_a_small_commit),
    TEST(a_reader_of_an_older_state_delays_it),
    TEST(when_nobody_does_it_a_commit_does),
    TEST(one_that_fails_is_told_and_due_again),
};

KT_TEST_MAIN(tests)

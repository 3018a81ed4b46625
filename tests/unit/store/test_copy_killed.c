/* SPDX-License-Identifier: MIT */
/* A full copy whose giver or taker fails or is killed: nothing half is left, and the next open goes
 * on wherever the swap had come to.
 */
#include "base/fs.h"
#include "store/db.h"
#include "tests/unit/store/copy_help.h"

static void a_half_copy_goes_and_its_mark_stays(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = new_taker(path);
    struct kt_buf memory;
    kt_buf_init(&memory, 0);
    fill(taker, 1);
    kt_store_close(&taker);
    CHECK_OK(kt_fs_write_durably(help_beside(path, ".copy"), KT_STR("loading\n"), &err));
    CHECK_OK(kt_fs_write_durably(help_beside(path, ".db.copy"), KT_STR("half"), &err));
    CHECK_OK(kt_fs_write_durably(help_beside(path, ".db.copy-journal"), KT_STR("half"), &err));
    CHECK_OK(kt_fs_write_durably(help_beside(path, ".log.db.copy"), KT_STR("half"), &err));
    taker = open_noticing(path);
    CHECK(strstr(last_notice, "was removed"));
    check_no_files(path);
    CHECK(read_kept(taker, &memory).half_copy);
    CHECK_STR(help_tell(taker, "s", ALL_D, ALL_W), "1/ a=1");
    kt_store_close(&taker);
    /* Given up at its very end: the side file says swap, and one of the files is gone. */
    CHECK_OK(kt_fs_write_durably(help_beside(path, ".copy"), KT_STR("swap\n"), &err));
    CHECK_OK(kt_fs_write_durably(help_beside(path, ".log.db.copy"), KT_STR("half"), &err));
    taker = open_noticing(path);
    check_no_files(path);
    CHECK(read_kept(taker, &memory).half_copy);
    kt_store_close(&taker);
    CHECK_OK(kt_fs_write_durably(help_beside(path, ".copy"), KT_STR("what\n"), &err));
    CHECK_FAILS(try_open(path, &taker, &err), KT_CORRUPT);
    CHECK(strstr(err.message, help_beside(path, ".copy")));
    kt_buf_done(&memory);
    kt_free((char *)path);
}

/* The nth call to a file fails, which leaves what a kill there leaves; the next open goes on. */
static void swap_with_fault(enum kt_fault kind, bool diverged)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *giver = new_giver();
    bool done = false;
    uint64_t step = kt_test_is_slow() ? 5 : 1;
    for (uint64_t nth = 1; !done; nth += step) {
        const char *path = kt_strdup(help_path());
        struct kt_store *taker = new_taker(path);
        char node_id[KT_ID_LEN + 1];
        node_id_of(taker, node_id);
        fill(taker, 1);
        if (diverged) {
            epoch_start(taker, 3, "00000000000000e3", true);
        }
        CHECK_OK(copy(giver, taker, &err));
        kt_store_close(&taker);
        kt_fault_set(kind, nth, true);
        enum kt_status status = try_open(path, &taker, &err);
        done = status == KT_OK && kt_fault_calls(kind) < nth;
        kt_fault_set(kind, 0, false);
        if (status == KT_OK) {
            kt_store_close(&taker);
        }
        if (try_open(path, &taker, &err) != KT_OK) {
            kt_test_fail(__FILE__, __LINE__, "after call %d failed: %s", (int)nth, err.message);
            return;
        }
        check_taken(taker, node_id, 5);
        check_no_files(path);
        kt_store_close(&taker);
        kt_free((char *)path);
    }
    kt_store_close(&giver);
}

static void a_swap_that_was_killed_anywhere_is_carried_out(void)
{
    swap_with_fault(KT_FAULT_IO, false);
    swap_with_fault(KT_FAULT_IO, true);
    swap_with_fault(KT_FAULT_ALLOC, true);
}

/* As if the power had gone between two renames. */
static void any_number_of_renames_may_have_been_done(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *giver = new_giver();
    for (int renames = 0; renames <= 2; renames++) {
        const char *path = kt_strdup(help_path());
        struct kt_store *taker = new_taker(path);
        char node_id[KT_ID_LEN + 1];
        node_id_of(taker, node_id);
        CHECK_OK(copy(giver, taker, &err));
        kt_store_close(&taker);
        struct sqlite3 *db = NULL; /* what was decided is in the new log already */
        char sql[600];
        CHECK_OK(db_open(help_beside(path, ".log.db.copy"), DB_WHOLE, &db, &err));
        snprintf(sql, sizeof(sql),
                 "ATTACH '%s' AS old; INSERT OR REPLACE INTO meta SELECT * FROM old.meta WHERE"
                 " name<>'commit_seq' AND name<>'half_copy'; INSERT OR REPLACE INTO meta"
                 " VALUES('half_copy',0)",
                 help_beside(path, ".log.db"));
        CHECK_OK(db_exec(db, sql, &err));
        db_close(&db);
        CHECK_OK(kt_fs_write_durably(help_beside(path, ".copy"), KT_STR("swap replace\n"), &err));
        if (renames >= 1) {
            CHECK_OK(kt_fs_rename(help_beside(path, ".log.db.copy"), help_beside(path, ".log.db"),
                                  &err));
        }
        if (renames >= 2) {
            CHECK_OK(kt_fs_rename(help_beside(path, ".db.copy"), path, &err));
        }
        CHECK_OK(try_open(path, &taker, &err));
        check_taken(taker, node_id, 5);
        check_no_files(path);
        kt_store_close(&taker);
        kt_free((char *)path);
    }
    kt_store_close(&giver);
}

/* Giving and taking fail at each call; nothing is left, nothing has changed, and it works then. */
static void copy_with_faults(enum kt_fault kind)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = new_taker(path), *giver = new_giver();
    char node_id[KT_ID_LEN + 1];
    bool done = false;
    uint64_t step = kt_test_is_slow() ? 5 : 1;
    node_id_of(taker, node_id);
    for (uint64_t nth = 1; !done; nth += step) {
        kt_fault_set(kind, nth, false);
        enum kt_status status = copy(giver, taker, &err);
        bool reached = kt_fault_calls(kind) >= nth;
        kt_fault_set(kind, 0, false);
        if (status == KT_OK) {
            done = true; /* a failure while removing is none */
        } else if (!reached || (status != KT_IO && status != KT_NO_MEMORY)) {
            kt_test_fail(__FILE__, __LINE__, "call %d: %s", (int)nth, err.message);
            return;
        }
    }
    kt_store_close(&taker);
    taker = open_noticing(path);
    check_taken(taker, node_id, 5);
    check_no_files(path);
    kt_store_close(&taker);
    kt_store_close(&giver);
    kt_free((char *)path);
}

static void a_copy_that_fails_anywhere_can_be_repeated(void)
{
    copy_with_faults(KT_FAULT_IO);
    copy_with_faults(KT_FAULT_ALLOC);
}

static const struct kt_test tests[] = {
    TEST(a_half_copy_goes_and_its_mark_stays),
    TEST(a_swap_that_was_killed_anywhere_is_carried_out),
    TEST(any_number_of_renames_may_have_been_done),
    TEST(a_copy_that_fails_anywhere_can_be_repeated),
};
KT_TEST_MAIN(tests)

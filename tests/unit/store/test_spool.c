/* SPDX-License-Identifier: MIT */
/* test_spool.c - temporary files beside a database: bounded, few, and gone at every end. */
#include "store/spool.h"
#include "store_help.h"

#include "base/fs.h"

static void what_is_written_is_there_until_it_is_freed(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_spool *spool = NULL;
    struct kt_buf content;
    const char *path = NULL;
    char beside[320];
    kt_test_path(beside, sizeof(beside), "a.db");
    kt_buf_init(&content, 0);
    CHECK_INT(kt_spool_new(beside, 10, &spool, &err), KT_OK);
    CHECK_INT(kt_spool_write(spool, "12345", 5, &err), KT_OK);
    CHECK_INT(kt_spool_write(spool, "67890", 5, &err), KT_OK);
    CHECK_INT(kt_spool_write(spool, "1", 1, &err), KT_TOO_LARGE);
    CHECK_STR(err.field, "body");
    CHECK_INT(kt_spool_finish(spool, &path, &err), KT_OK);
    CHECK_INT(kt_fs_read(path, 100, &content, &err), KT_OK);
    CHECK_SLICE(kt_buf_str(&content), "1234567890");
    char *copy = kt_strdup(path);
    kt_spool_free(&spool);
    CHECK(spool == NULL);
    CHECK(!kt_fs_exists(copy));
    kt_spool_free(&spool);
    kt_free(copy);
    kt_buf_done(&content);
}

static void there_are_only_so_many_and_a_start_removes_them(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_spool *spools[KT_SPOOLS_MAX] = {NULL}, *more = NULL;
    char beside[320];
    kt_test_path(beside, sizeof(beside), "b.db");
    for (int i = 0; i < KT_SPOOLS_MAX; i++) {
        CHECK_INT(kt_spool_new(beside, 10, &spools[i], &err), KT_OK);
    }
    CHECK_INT(kt_spool_new(beside, 10, &more, &err), KT_BUSY);
    kt_spool_free(&spools[3]);
    CHECK_INT(kt_spool_new(beside, 10, &spools[3], &err), KT_OK);
    kt_spools_remove(beside); /* as after a kill */
    CHECK_INT(kt_spool_new(beside, 10, &more, &err), KT_OK);
    kt_spool_free(&more);
    for (int i = 0; i < KT_SPOOLS_MAX; i++) {
        kt_spool_free(&spools[i]);
    }
}

static void a_disk_that_fails_is_said_and_leaves_nothing(void)
{
    char beside[320];
    kt_test_path(beside, sizeof(beside), "c.db");
    for (uint64_t nth = 1; nth <= 3; nth++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_spool *spool = NULL;
        kt_fault_set(KT_FAULT_IO, nth, 0);
        enum kt_status status = kt_spool_new(beside, 10, &spool, &err);
        if (status == KT_OK) {
            status = kt_spool_write(spool, "x", 1, &err);
        }
        kt_fault_set(KT_FAULT_IO, 0, 0);
        CHECK_INT(status, nth <= 2 ? KT_IO : KT_OK);
        kt_spool_free(&spool);
        CHECK_INT(kt_spool_new(beside, 10, &spool, &err), KT_OK);
        kt_spool_free(&spool);
    }
}

static const struct kt_test tests[] = {
    TEST(what_is_written_is_there_until_it_is_freed),
    TEST(there_are_only_so_many_and_a_start_removes_them),
    TEST(a_disk_that_fails_is_said_and_leaves_nothing),
};
KT_TEST_MAIN(tests)

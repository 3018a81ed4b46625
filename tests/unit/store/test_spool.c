/* SPDX-License-Identifier: MIT */
/* test_spool.c - temporary files beside a database: bounded, few, and gone at every end; and what
 * is sorted in one. */
#include "store/sorter.h"
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

/* --- sorting --- */

static void pieces_come_back_in_order_as_often_as_asked(void)
{
    static const struct kt_sorted pieces[] = {
        {7, 2, -1, {"e", 1}}, {3, 1, 5, {"b", 1}},  {7, 1, 0, {"c", 1}},
        {3, 0, 9, {"", 0}},   {7, 2, -2, {"f", 1}}, {7, 1, INT64_MIN, {"d", 1}},
    };
    struct kt_error err = KT_ERROR_INIT;
    struct kt_sorter *sorter = NULL;
    struct kt_sorted piece;
    char beside[320];
    kt_test_path(beside, sizeof(beside), "d.db");
    CHECK_INT(kt_sorter_new(beside, 1 << 20, &sorter, &err), KT_OK);
    for (size_t i = 0; i < KT_ARRAY_LEN(pieces); i++) {
        CHECK_INT(kt_sorter_add(sorter, &pieces[i], &err), KT_OK);
    }
    for (int pass = 0; pass < 2; pass++) {
        static const int order[] = {3, 1, 2, 5, 0, 4};
        kt_sorter_rewind(sorter);
        for (size_t i = 0; i < KT_ARRAY_LEN(order); i++) {
            const struct kt_sorted *wanted = &pieces[order[i]];
            CHECK_INT(kt_sorter_next(sorter, &piece, &err), KT_OK);
            CHECK_INT(piece.major, wanted->major);
            CHECK_INT(piece.minor, wanted->minor);
            CHECK_INT(piece.number, wanted->number);
            CHECK(kt_str_eq(piece.text, wanted->text));
        }
        CHECK_INT(kt_sorter_next(sorter, &piece, &err), KT_NOT_FOUND);
    }
    kt_sorter_free(&sorter);
    char path[400];
    snprintf(path, sizeof(path), "%s.spool-0", beside);
    CHECK(!kt_fs_exists(path));
}

static void a_sorter_is_bounded_and_takes_more_than_its_memory(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_sorter *sorter = NULL;
    struct kt_sorted piece = {.text = KT_STR("a line of some length, so that pages fill up well")};
    char beside[320], path[400];
    uint64_t state = 1, count = 0;
    kt_test_path(beside, sizeof(beside), "e.db");
    snprintf(path, sizeof(path), "%s.spool-0", beside);
    CHECK_INT(kt_sorter_new(beside, 8 << 20, &sorter, &err), KT_OK);
    enum kt_status status = KT_OK;
    while (status == KT_OK) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
        piece.major = state >> 44;
        status = kt_sorter_add(sorter, &piece, &err);
        count += status == KT_OK;
    }
    CHECK_INT(status, KT_TOO_LARGE);
    CHECK(kt_fs_size(path) <= 8 << 20);
    uint64_t before = 0, seen = 0;
    kt_sorter_rewind(sorter);
    while (kt_sorter_next(sorter, &piece, &err) == KT_OK) {
        CHECK(piece.major >= before);
        before = piece.major;
        seen++;
    }
    CHECK_INT(seen, count);
    kt_sorter_free(&sorter);
}

static const struct kt_test tests[] = {
    TEST(what_is_written_is_there_until_it_is_freed),
    TEST(there_are_only_so_many_and_a_start_removes_them),
    TEST(a_disk_that_fails_is_said_and_leaves_nothing),
    TEST(pieces_come_back_in_order_as_often_as_asked),
    TEST(a_sorter_is_bounded_and_takes_more_than_its_memory),
};
KT_TEST_MAIN(tests)

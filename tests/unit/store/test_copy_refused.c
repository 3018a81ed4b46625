/* SPDX-License-Identifier: MIT */
/* A full copy: who may give and take one, and what is refused of what comes. */
#include "base/fs.h"
#include "store/db.h"
#include "tests/unit/store/copy_help.h"

static void without_the_mark_no_copy_is_begun(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *taker = help_open(path);
    struct kt_copy_in *in = NULL, *second = NULL;
    CHECK_FAILS(begin(taker, &in, &err), KT_CONFLICT);
    check_no_files(path);
    keep(taker, 1, true);
    CHECK_OK(begin(taker, &in, &err));
    CHECK_FAILS(begin(taker, &second, &err), KT_BUSY);
    kt_store_copy_in_abort(&in);
    check_no_files(path);
    CHECK_OK(begin(taker, &in, &err));
    kt_store_copy_in_abort(&in);
    kt_store_close(&taker);
}

static void what_cannot_be_taken_is_refused_before_its_first_byte(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *taker = new_taker(path);
    struct kt_copy_in *in = NULL;
    int64_t ours = kt_store_copy_schema();
    CHECK_FAILS(kt_store_copy_in_begin(taker, 4096, ours + 1, &in, &err), KT_CORRUPT);
    CHECK(strstr(err.message, "use a newer program"));
    CHECK_FAILS(kt_store_copy_in_begin(taker, 4096, 2, &in, &err), KT_CORRUPT);
    CHECK(strstr(err.message, "update the node that gives it"));
    CHECK_FAILS(kt_store_copy_in_begin(taker, UINT64_C(1) << 52, ours, &in, &err), KT_IO);
    CHECK(strstr(err.message, "free space"));
    check_no_files(path);
    CHECK_OK(begin(taker, &in, &err));
    kt_store_copy_in_abort(&in);
    kt_store_close(&taker);
}

static void a_whole_copy_waits_for_the_next_open(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *taker = new_taker(help_path()), *giver = new_giver();
    struct kt_copy_in *in = NULL;
    CHECK_OK(copy(giver, taker, &err));
    CHECK_FAILS(begin(taker, &in, &err), KT_CONFLICT);
    kt_store_close(&taker);
    kt_store_close(&giver);
}

static void only_so_many_copies_are_given_at_once(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *giver = help_open(path);
    struct kt_copy_out *out[KT_COPIES_OUT_MAX + 1] = {NULL};
    help_found(giver, 10);
    for (int i = 0; i < KT_COPIES_OUT_MAX; i++) {
        CHECK_OK(kt_store_copy_out_open(giver, &out[i], &err));
    }
    CHECK_FAILS(kt_store_copy_out_open(giver, &out[KT_COPIES_OUT_MAX], &err), KT_BUSY);
    kt_store_copy_out_close(&out[1]);
    CHECK_OK(kt_store_copy_out_open(giver, &out[1], &err));
    for (int i = 0; i < KT_COPIES_OUT_MAX; i++) {
        kt_store_copy_out_close(&out[i]);
    }
    check_no_files(path);
    kt_store_close(&giver);
}

static void what_a_killed_giver_left_goes_at_the_next_open(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *giver = help_open(path);
    kt_store_close(&giver);
    CHECK_OK(kt_fs_write_durably(help_beside(path, ".db.give-0"), KT_STR("half"), &err));
    giver = help_open(path);
    check_no_files(path);
    kt_store_close(&giver);
}

/* The giver's data after `sql`, as if it had always been so. */
static void check_refused(const char *sql, const char *why)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = new_taker(path), *giver = new_giver();
    struct sqlite3 *db = NULL;
    struct kt_copy_out *out = NULL;
    struct kt_copy_in *in = NULL;
    size_t count;
    /* The store is open, and so this is what another process would do to it. */
    const struct kt_epoch *epochs;
    CHECK_OK(kt_store_copy_out_open(giver, &out, &err));
    CHECK_OK(begin(taker, &in, &err));
    CHECK_OK(transfer(out, in, (struct change_byte){false, 0}, &err));
    CHECK_OK(db_open(help_beside(path, ".db.copy"), DB_WHOLE, &db, &err));
    CHECK_OK(db_exec(db, sql, &err));
    db_close(&db);
    epochs = kt_store_copy_out_epochs(out, &count);
    CHECK_FAILS(kt_store_copy_in_check(in, epochs, count, 4, 4, &err), KT_CORRUPT);
    kt_store_copy_in_abort(&in);
    if (!strstr(err.message, why)) {
        kt_test_fail(__FILE__, __LINE__, "after %s: %s", sql, err.message);
    }
    CHECK(!in);
    kt_store_copy_out_close(&out);
    check_no_files(path);
    kt_store_close(&taker);
    taker = open_noticing(path); /* as if nothing had come */
    CHECK_STR(last_notice, "");
    CHECK_INT(help_end(taker), 0);
    kt_store_close(&taker);
    kt_store_close(&giver);
    kt_free((char *)path);
}

static void a_file_that_is_no_copy_of_this_cluster_is_refused(void)
{
    check_refused("UPDATE meta SET value='00000000000000dd' WHERE name='cluster_id'",
                  "of cluster 00000000000000dd");
    check_refused("UPDATE meta SET value=3 WHERE name='applied_seq'", "has applied 3, not 4");
    check_refused("CREATE TRIGGER t AFTER INSERT ON meta BEGIN DELETE FROM version; END",
                  "tables are not those");
    check_refused("DROP TABLE touched", "tables are not those");
    check_refused("PRAGMA user_version=2", "is older than this program can take");
    check_refused("PRAGMA user_version=99", "newer than this program's");
}

static void a_damaged_file_is_refused(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = new_taker(path), *giver = new_giver();
    struct kt_buf memory;
    kt_buf_init(&memory, 0);
    int refused = 0;
    for (int i = 0; i < 12; i++) {
        struct kt_copy_out *out = NULL;
        struct kt_copy_in *in = NULL;
        size_t count;
        CHECK_OK(kt_store_copy_out_open(giver, &out, &err));
        CHECK_OK(begin(taker, &in, &err));
        /* The beginnings of pages hold what quick_check looks at. */
        struct change_byte change = {true, (uint64_t)i * 4096 + (i == 0 ? 3 : i % 2)};
        CHECK_OK(transfer(out, in, change, &err));
        const struct kt_epoch *epochs = kt_store_copy_out_epochs(out, &count);
        refused += kt_store_copy_in_check(in, epochs, count, 4, 4, &err) == KT_CORRUPT;
        kt_store_copy_in_abort(&in);
        kt_store_copy_out_close(&out);
        check_no_files(path);
    }
    CHECK_INT(refused, 12);
    CHECK(read_kept(taker, &memory).half_copy);
    kt_buf_done(&memory);
    kt_store_close(&taker);
    kt_store_close(&giver);
    kt_free((char *)path);
}

static void a_vector_that_no_log_has_is_refused(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *taker = new_taker(help_path());
    static const struct {
        struct kt_epoch epochs[2];
        size_t count;
        uint64_t applied, commit;
    } cases[] = {
        {{{1, "00000000000000e1", 2}}, 1, 4, 4},
        {{{0, "00000000000000e1", 1}}, 1, 4, 4},
        {{{1, "00e1", 1}}, 1, 4, 4},
        {{{1, "00000000000000e1", 1}, {1, "00000000000000e2", 3}}, 2, 4, 4},
        {{{1, "00000000000000e1", 1}, {2, "00000000000000e2", 1}}, 2, 4, 4},
        {{{1, "00000000000000e1", 1}, {2, "00000000000000e2", 5}}, 2, 4, 4},
        {{{1, "00000000000000e1", 1}}, 1, 4, 3},
        {{{1, "00000000000000e1", 1}}, 0, 4, 4},
        {{{1, "00000000000000e1", 1}}, 1, 0, 4},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_copy_in *in = NULL;
        CHECK_OK(begin(taker, &in, &err));
        CHECK_FAILS(kt_store_copy_in_check(in, cases[i].epochs, cases[i].count, cases[i].applied,
                                           cases[i].commit, &err),
                    KT_CORRUPT);
        CHECK(strstr(err.message, "epochs of the copy"));
        kt_store_copy_in_abort(&in);
    }
    kt_store_close(&taker);
}

static const struct kt_test tests[] = {
    TEST(without_the_mark_no_copy_is_begun),
    TEST(what_cannot_be_taken_is_refused_before_its_first_byte),
    TEST(a_whole_copy_waits_for_the_next_open),
    TEST(only_so_many_copies_are_given_at_once),
    TEST(what_a_killed_giver_left_goes_at_the_next_open),
    TEST(a_file_that_is_no_copy_of_this_cluster_is_refused),
    TEST(a_damaged_file_is_refused),
    TEST(a_vector_that_no_log_has_is_refused),
};
KT_TEST_MAIN(tests)

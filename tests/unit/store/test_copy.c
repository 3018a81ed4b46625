/* SPDX-License-Identifier: MIT */
/* A full copy: what is given is one moment of the data; what is taken is put in place by the next
 * open, and what the taker had goes or is put aside.
 */
#include "base/fs.h"
#include "store/detach.h"
#include "tests/unit/store/copy_help.h"

/* --- the whole way --- */

static void a_copy_is_all_that_the_giver_had_under_the_takers_name(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = new_taker(path), *giver = new_giver();
    char node_id[KT_ID_LEN + 1], key[KT_CURSOR_KEY_BYTES], own[KT_CURSOR_KEY_BYTES];
    node_id_of(taker, node_id);
    CHECK_OK(copy(giver, taker, &err));
    CHECK_INT(kt_store_applied(taker), 0); /* the running store does not change */
    kt_store_close(&taker);
    taker = open_noticing(path);
    CHECK(strstr(last_notice, "a full copy took the place of"));
    CHECK(strstr(last_notice, "it has all that this node had"));
    check_taken(taker, node_id, 5);
    check_no_files(path);
    CHECK(kt_store_cursor_key(giver, (unsigned char *)key));
    CHECK(kt_store_cursor_key(taker, (unsigned char *)own));
    CHECK(memcmp(key, own, sizeof(key)) == 0);
    /* It goes on from there, and what requests came to is known. */
    struct kt_apply_result result;
    struct kt_entry repeated = {5, 4, 5000, KT_STR("key2"), KT_STR("")};
    struct kt_entries theirs;
    CHECK_OK(kt_store_log_read(giver, 2, 3, SIZE_MAX, &theirs, &err));
    repeated.body = theirs.items[0].body;
    CHECK_OK(kt_store_log_append(taker, &repeated, 1, 5, &err));
    CHECK_OK(kt_store_apply(taker, &repeated, 1, &result, &err));
    CHECK_INT(result.revision, 3);
    CHECK_INT(kt_store_log_first(taker), 5);
    kt_entries_done(&theirs);
    kt_store_close(&taker);
    taker = open_noticing(path);
    CHECK_STR(last_notice, "");
    CHECK_INT(kt_store_applied(taker), 5);
    CHECK_INT(kt_store_log_first(taker), 5);
    CHECK_OK(kt_store_log_read(taker, 4, 9, SIZE_MAX, &theirs, &err));
    CHECK_INT(theirs.count, 1);
    kt_entries_done(&theirs);
    kt_store_close(&taker);
    kt_store_close(&giver);
    kt_free((char *)path);
}

static void a_copy_of_an_empty_store_can_be_taken(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = new_taker(path), *giver = help_open(help_path());
    keep(giver, 1, false);
    CHECK_OK(copy(giver, taker, &err));
    kt_store_close(&taker);
    taker = open_noticing(path);
    CHECK_INT(help_end(taker), 0);
    CHECK_INT(kt_store_log_first(taker), 1);
    help_found(taker, 4096);
    CHECK_INT(help_end(taker), 1);
    kt_store_close(&taker);
    kt_store_close(&giver);
    kt_free((char *)path);
}

static void what_is_given_is_one_moment_though_writes_go_on(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = new_taker(path), *giver = new_giver();
    struct kt_copy_out *out = NULL;
    struct kt_copy_in *in = NULL;
    char node_id[KT_ID_LEN + 1];
    size_t count;
    bool ready = false;
    node_id_of(taker, node_id);
    CHECK_OK(kt_store_copy_out_open(giver, &out, &err));
    CHECK_INT(kt_store_copy_out_applied(out), 4);
    epoch_start(giver, 9, "00000000000000e9", true);
    uint64_t seq = help_end(giver) + 1;
    struct kt_entries saved;
    CHECK_OK(kt_store_log_read(giver, 1, 2, SIZE_MAX, &saved, &err));
    struct kt_entry more = {seq, 9, 1, KT_STR(""), saved.items[0].body};
    CHECK_OK(kt_store_log_append(giver, &more, 1, seq, &err));
    CHECK_OK(kt_store_apply(giver, &more, 1, NULL, &err));
    kt_entries_done(&saved);
    while (!ready) {
        CHECK_OK(kt_store_copy_out_make(out, &ready, &err));
    }
    CHECK_OK(kt_store_copy_out_make(out, &ready, &err));
    CHECK(ready);
    CHECK_OK(begin(taker, &in, &err));
    CHECK_OK(transfer(out, in, (struct change_byte){false, 0}, &err));
    const struct kt_epoch *epochs = kt_store_copy_out_epochs(out, &count);
    CHECK_INT(count, 2);
    CHECK_OK(kt_store_copy_in_check(in, epochs, count, 4, 6, &err));
    CHECK_OK(kt_store_copy_in_finish(&in, &err));
    kt_store_copy_out_close(&out);
    kt_store_close(&taker);
    taker = open_noticing(path);
    check_taken(taker, node_id, 5);
    kt_store_close(&taker);
    kt_store_close(&giver);
    kt_free((char *)path);
}

static void what_is_kept_at_the_swap_counts_not_at_the_copy(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = new_taker(path), *giver = new_giver();
    char node_id[KT_ID_LEN + 1];
    node_id_of(taker, node_id);
    CHECK_OK(copy(giver, taker, &err));
    keep(taker, 8, true); /* another epoch was seen meanwhile */
    kt_store_close(&taker);
    taker = open_noticing(path);
    check_taken(taker, node_id, 8);
    kt_store_close(&taker);
    kt_store_close(&giver);
    kt_free((char *)path);
}

/* --- what the taker had --- */

static bool has_diverged(const char *path)
{
    return strstr(last_notice, "is kept in") && strstr(last_notice, path);
}

/* The path behind "kept in " of the notice. */
static const char *diverged_path(void)
{
    static char path[400];
    const char *at = strstr(last_notice, "is kept in ") + strlen("is kept in ");
    snprintf(path, sizeof(path), "%.*s", (int)strcspn(at, " "), at);
    return path;
}

static void a_taker_that_was_only_behind_leaves_nothing(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = new_taker(path), *giver = new_giver();
    char node_id[KT_ID_LEN + 1];
    node_id_of(taker, node_id);
    fill(taker, 1);
    CHECK_OK(copy(giver, taker, &err));
    kt_store_close(&taker);
    taker = open_noticing(path);
    CHECK(!has_diverged(path));
    check_taken(taker, node_id, 5);
    kt_store_close(&taker);
    kt_store_close(&giver);
    kt_free((char *)path);
}

static void a_taker_with_another_history_keeps_it_beside(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = new_taker(path), *giver = new_giver(), *old = NULL;
    char node_id[KT_ID_LEN + 1];
    node_id_of(taker, node_id);
    fill(taker, 1);
    epoch_start(taker, 3, "00000000000000e3", true);
    CHECK_OK(copy(giver, taker, &err));
    kt_store_close(&taker);
    taker = open_noticing(path);
    CHECK(has_diverged(path));
    check_taken(taker, node_id, 5);
    check_no_files(path);
    /* The old pair opens under names of a pair. */
    CHECK(kt_fs_exists(diverged_path()));
    char data[400], log[400], at[20];
    snprintf(at, sizeof(at), "%s", strrchr(diverged_path(), '-'));
    snprintf(data, sizeof(data), "%s", help_beside(path, ".old.db"));
    snprintf(log, sizeof(log), "%s", help_beside(path, ".old.log.db"));
    CHECK_OK(kt_fs_rename(diverged_path(), data, &err));
    char name[400];
    snprintf(name, sizeof(name), "%s.diverged%s", help_beside(path, ".log.db"), at);
    CHECK_OK(kt_fs_rename(name, log, &err));
    CHECK_OK(try_open(data, &old, &err));
    CHECK_INT(kt_store_applied(old), 3);
    CHECK_STR(help_tell(old, "s", ALL_D, ALL_W), "1/ a=1");
    struct kt_store_detached as = {"00000000000000aa", "00000000000000bb", KT_STR("{}")};
    CHECK_OK(kt_store_detach(&old, &as, &err)); /* so that a person can look into it */
    kt_store_close(&taker);
    kt_store_close(&giver);
    kt_free((char *)path);
}

static void a_tail_that_the_copy_lacks_is_kept_too(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = new_taker(path), *giver = new_giver();
    char node_id[KT_ID_LEN + 1];
    node_id_of(taker, node_id);
    fill(taker, 2);
    epoch_start(taker, 4, "00000000000000e4", true);
    epoch_start(taker, 5, "00000000000000e5", false); /* not even committed */
    CHECK_OK(copy(giver, taker, &err));
    kt_store_close(&taker);
    taker = open_noticing(path);
    CHECK(has_diverged(path));
    check_taken(taker, node_id, 5);
    kt_store_close(&taker);
    kt_store_close(&giver);
    kt_free((char *)path);
}

static void read_file(const char *path, struct kt_buf *ret_content)
{
    struct kt_error err = KT_ERROR_INIT;
    if (kt_fs_read(path, 64 << 20, ret_content, &err) != KT_OK) {
        help_fatal("read", &err);
    }
}

/* As after a kill: the taker's own WALs are still there when the new files come. */
static void a_wal_of_the_old_files_never_meets_the_new_ones(void)
{
    struct kt_error err = KT_ERROR_INIT;
    for (int diverged = 0; diverged < 2; diverged++) {
        const char *path = kt_strdup(help_path());
        struct kt_store *taker = new_taker(path), *giver = new_giver();
        struct kt_buf wal, data;
        char node_id[KT_ID_LEN + 1];
        node_id_of(taker, node_id);
        kt_buf_init(&wal, 0);
        kt_buf_init(&data, 0);
        read_file(path, &data); /* before the WAL is played in */
        fill(taker, 1);
        if (diverged) {
            epoch_start(taker, 3, "00000000000000e3", true);
        }
        CHECK_OK(copy(giver, taker, &err));
        read_file(help_beside(path, ".db-wal"), &wal);
        CHECK(wal.len_bytes > 0);
        kt_store_close(&taker);
        CHECK_OK(kt_fs_write_durably(path, kt_buf_str(&data), &err));
        CHECK_OK(kt_fs_write_durably(help_beside(path, ".db-wal"), kt_buf_str(&wal), &err));
        taker = open_noticing(path);
        CHECK_INT(has_diverged(path), diverged);
        check_taken(taker, node_id, 5);
        if (diverged) {
            char moved[420];
            snprintf(moved, sizeof(moved), "%s-wal", diverged_path());
            CHECK(kt_fs_exists(moved)); /* with the file that it belongs to */
        }
        kt_buf_done(&wal);
        kt_buf_done(&data);
        kt_store_close(&taker);
        kt_store_close(&giver);
        kt_free((char *)path);
    }
}

/* --- starting anew --- */

static enum kt_status rejoin(const char *path, struct kt_store **ret_store, struct kt_error *err)
{
    struct kt_store_options options = {
        .path = path, .read_connections = 2, .on_notice = on_notice, .rejoin = true};
    last_notice[0] = '\0';
    return kt_store_open(&options, ret_store, err);
}

static void files_that_do_not_fit_are_put_aside_when_asked_for(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = help_open(path), *giver = new_giver();
    struct kt_buf memory, damaged;
    char node_id[KT_ID_LEN + 1];
    kt_buf_init(&memory, 0);
    kt_buf_init(&damaged, 0);
    node_id_of(taker, node_id);
    keep(taker, 5, false);
    fill(taker, 1);
    kt_store_close(&taker);
    CHECK_OK(rejoin(path, &taker, &err)); /* nothing is wrong: nothing happens */
    CHECK_STR(last_notice, "");
    CHECK_INT(kt_store_applied(taker), 2);
    kt_store_close(&taker);
    read_file(path, &damaged);
    memset(damaged.data, 'x', 4096);
    CHECK_OK(kt_fs_write_durably(path, kt_buf_str(&damaged), &err));
    CHECK_FAILS(try_open(path, &taker, &err), KT_CORRUPT);
    CHECK_OK(rejoin(path, &taker, &err));
    CHECK(strstr(last_notice, "as -rejoin asks for") && strstr(last_notice, ".diverged-"));
    check_no_files(path);
    CHECK(read_kept(taker, &memory).half_copy);
    CHECK_INT(read_kept(taker, &memory).epoch, 5);
    CHECK_INT(help_end(taker), 0);
    CHECK_INT(kt_store_applied(taker), 0);
    CHECK_OK(copy(giver, taker, &err));
    kt_store_close(&taker);
    taker = open_noticing(path);
    check_taken(taker, node_id, 5);
    kt_store_close(&taker);
    kt_store_close(&giver);
    kt_buf_done(&memory);
    kt_buf_done(&damaged);
    kt_free((char *)path);
}

static void without_a_cluster_or_a_log_nothing_is_put_aside(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *store = help_open(path);
    fill(store, 1);
    kt_store_close(&store);
    CHECK_OK(kt_fs_write_durably(path, KT_STR("no database, but long enough to be one"), &err));
    CHECK_FAILS(rejoin(path, &store, &err), KT_CORRUPT);
    CHECK(strstr(err.message, "this node was in none"));
    CHECK_OK(kt_fs_remove(help_beside(path, ".log.db"), &err));
    CHECK_FAILS(rejoin(path, &store, &err), KT_CORRUPT);
    CHECK(strstr(err.message, "does not know who it is"));
    check_no_files(path);
    kt_free((char *)path);
}

static const struct kt_test tests[] = {
    TEST(a_copy_is_all_that_the_giver_had_under_the_takers_name),
    TEST(a_copy_of_an_empty_store_can_be_taken),
    TEST(what_is_given_is_one_moment_though_writes_go_on),
    TEST(what_is_kept_at_the_swap_counts_not_at_the_copy),
    TEST(a_taker_that_was_only_behind_leaves_nothing),
    TEST(a_taker_with_another_history_keeps_it_beside),
    TEST(a_tail_that_the_copy_lacks_is_kept_too),
    TEST(a_wal_of_the_old_files_never_meets_the_new_ones),
    TEST(files_that_do_not_fit_are_put_aside_when_asked_for),
    TEST(without_a_cluster_or_a_log_nothing_is_put_aside),
};
KT_TEST_MAIN(tests)

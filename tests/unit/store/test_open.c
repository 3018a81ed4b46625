/* SPDX-License-Identifier: MIT */
/* Opening: which pairs of files are refused, what is made good, what is redone. */
#include "base/fs.h"
#include "base/thread.h"
#include "tests/unit/store/store_help.h"

static struct kt_error last_error;

static enum kt_status try_open(const char *path, struct kt_store **ret_store)
{
    struct kt_store_options options = {.path = path, .read_connections = 2};
    last_error = (struct kt_error)KT_ERROR_INIT;
    return kt_store_open(&options, ret_store, &last_error);
}

/* A store with entries 1..3, closed. */
static const char *filled(void)
{
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    help_found(store, 4096);
    SAVE(store, {"s", 1, "Q4", 7, "a", 1.5, "b", HELP_NULL});
    SAVE(store, {"s", 2, "", HELP_NO_D, "a", 2});
    kt_store_close(&store);
    return path;
}

#define FILLED_TEXT "1/Q4 D=7 a=1.5; 2/ a=2"

static void a_second_process_is_refused_and_told_who_holds_the_database(void)
{
    const char *path = help_path();
    struct kt_store *store = help_open(path), *second = NULL;
    CHECK_FAILS(try_open(path, &second), KT_BUSY);
    CHECK(!second);
    char pid[32];
    snprintf(pid, sizeof(pid), "%d", kt_process_id());
    CHECK(strstr(last_error.message, pid));
    CHECK(strstr(last_error.message, path));
    kt_store_close(&store);
    CHECK_FAILS(try_open(path, &second), KT_OK);
    kt_store_close(&second);
    kt_store_close(&second);
}

static void files_of_two_nodes_are_refused_naming_both(void)
{
    struct kt_store *store = NULL;
    const char *path = filled();
    help_sql(path, "UPDATE meta SET value='ffffffffffffffff' WHERE name='node_id'");
    CHECK_FAILS(try_open(path, &store), KT_CORRUPT);
    CHECK(strstr(last_error.message, path) && strstr(last_error.message, help_log_path(path)));
    CHECK(strstr(last_error.message, "ffffffffffffffff"));
    path = filled();
    help_sql(path, "INSERT INTO meta VALUES('cluster_id','1234567890123456')");
    CHECK_FAILS(try_open(path, &store), KT_CORRUPT);
    CHECK(strstr(last_error.message, path) && strstr(last_error.message, help_log_path(path)));
    CHECK(strstr(last_error.message, "1234567890123456"));
}

static void a_log_that_does_not_meet_the_data_is_refused(void)
{
    struct kt_store *store = NULL;
    const char *path = filled();
    help_sql(help_log_path(path), "DELETE FROM entry WHERE seq=3");
    CHECK_FAILS(try_open(path, &store), KT_CORRUPT);
    CHECK(strstr(last_error.message, "ends at 2"));
    path = filled();
    help_sql(help_log_path(path), "DELETE FROM entry WHERE seq<=2");
    help_sql(path, "UPDATE meta SET value=1 WHERE name='applied_seq'");
    CHECK_FAILS(try_open(path, &store), KT_CORRUPT);
    CHECK(strstr(last_error.message, "begins at 3"));
}

static void a_missing_log_is_refused_and_not_made_anew(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = NULL;
    const char *path = filled();
    CHECK_OK(kt_fs_remove(help_log_path(path), &err));
    CHECK_FAILS(try_open(path, &store), KT_CORRUPT);
    CHECK(strstr(last_error.message, help_log_path(path)));
    CHECK(!kt_fs_exists(help_log_path(path)));
}

static void a_missing_data_file_is_made_again_from_the_log(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = filled();
    CHECK_OK(kt_fs_remove(path, &err));
    struct kt_store *store = help_open(path);
    CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), FILLED_TEXT);
    kt_store_close(&store);
    store = help_open(path);
    CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), FILLED_TEXT);
    kt_store_close(&store);
}

static void ids_that_a_crash_left_out_are_taken_from_the_log(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    struct kt_store_kept kept = {.cluster_id = "00000000000000ab"};
    CHECK_OK(kt_store_keep(store, &kept, &err));
    kt_store_close(&store);
    help_sql(path, "DELETE FROM meta WHERE name IN ('node_id','cluster_id')");
    store = help_open(path);
    kt_store_close(&store);
    store = help_open(path);
    struct kt_store_identity id;
    kt_store_identity(store, &id);
    CHECK_STR(id.cluster_id, "00000000000000ab");
    kt_store_close(&store);
    help_sql(help_log_path(path),
             "UPDATE meta SET value='00000000000000ac' WHERE name='cluster_id'");
    CHECK_FAILS(try_open(path, &store), KT_CORRUPT); /* the data file had got it back */
}

static void a_schema_of_the_future_is_refused(void)
{
    struct kt_store *store = NULL;
    const char *path = filled();
    help_sql(path, "PRAGMA user_version=99");
    CHECK_FAILS(try_open(path, &store), KT_CORRUPT);
    CHECK(strstr(last_error.message, "99") && strstr(last_error.message, path));
    path = filled();
    help_sql(help_log_path(path), "PRAGMA user_version=99");
    CHECK_FAILS(try_open(path, &store), KT_CORRUPT);
    CHECK(strstr(last_error.message, help_log_path(path)));
}

static void a_file_that_is_no_database_is_corrupt(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = NULL;
    const char *path = help_path();
    CHECK_OK(kt_fs_mkdirs_for(path, &err));
    char text[2048];
    memset(text, 'x', sizeof(text));
    CHECK_OK(kt_fs_write_durably(path, kt_str_n(text, sizeof(text)), &err));
    CHECK_FAILS(try_open(path, &store), KT_CORRUPT);
    CHECK(strstr(last_error.message, path));
}

static void damaged_rows_name_their_subject_and_time(void)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "{\"a\":1",
                                        "{\"a\":1,}",
                                        "{\"a\":}",
                                        "{\"a\":1}x",
                                        "{\"a\":01}",
                                        "{\"a\":1e999}",
                                        "{\"a\" :1}",
                                        "{a:1}",
                                        "[1]",
                                        "{\"a\":\"1\"}",
                                        "{\"a\":nul}",
                                        "{\"end_date\":1}",
                                        "{\"end_date\":\"x}",
                                        "{\"unknown\":1}",
                                        "{\"\\x\":1}",
                                        "{\"\\u0041\":1}",
                                        "{\"a\":1 }",
                                        "{,\"a\":1}",
                                        "{\"a\":1\"b\":2}",
                                        "{\"a\":NaN}",
                                        "{\"a\\",
                                        "{\"year\":\"\\",
                                        "{\"a\":1}}"};
    struct kt_error err = KT_ERROR_INIT;
    const char *path = filled();
    for (size_t i = 0; i < KT_ARRAY_LEN(texts); i++) {
        char sql[256];
        snprintf(sql, sizeof(sql), "UPDATE version SET data='%s' WHERE time=2", texts[i]);
        help_sql(path, sql);
        struct kt_store *store = help_open(path);
        struct kt_series *series = NULL;
        if (kt_store_load_series(store, 0, &series, &err) != KT_CORRUPT ||
            !strstr(err.message, "subject s") || !strstr(err.message, "time 2")) {
            kt_test_fail(__FILE__, __LINE__, "%s: %s", texts[i], err.message);
        }
        CHECK(!series);
        kt_store_close(&store);
    }
    help_sql(path, "UPDATE version SET data='{}' WHERE time=2");
    struct kt_store *store = help_open(path);
    CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), "1/Q4 D=7 a=1.5; 2/");
    kt_store_close(&store);
}

static void keys_and_texts_of_any_kind_are_read_back(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    help_found(store, 4096);
    const char *keys[] = {"q\"uote", "back\\slash", "\xe6\x94\xb6\xe5\x85\xa5", "a,b:c}",
                          "nul\x01l"};
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    for (int i = 0; i < 8; i++) {
        struct kt_change_value values[5];
        for (int j = 0; j < 5; j++) { /* in turning order, so that positions do not help */
            values[j] = (struct kt_change_value){kt_str(keys[(i + j) % 5]), false, (i + j) % 5};
        }
        struct kt_change_record record = {.subject = KT_STR("s"),
                                          .time_s = i,
                                          .period = KT_STR("p\"\\"),
                                          .values = values,
                                          .value_count = 5,
                                          .end_date = {KT_NAMED, kt_str(keys[i % 5])},
                                          .year = {KT_NAMED, KT_STR("\\\"")}};
        CHECK_OK(kt_change_add_record(builder, &record, &err));
    }
    (void)help_commit_builder(store, builder);
    kt_change_builder_free(&builder);
    kt_store_close(&store);
    store = help_open(path);
    struct kt_series *series = help_series(store, "s");
    struct kt_catalogue *view = kt_store_view(store);
    struct kt_bounds bounds = {ALL_D, ALL_W};
    for (int i = 0; i < 8; i++) {
        struct kt_record record;
        kt_series_record(series, (size_t)i, &bounds, &record);
        CHECK_SLICE(record.end_date.text, keys[i % 5]);
        CHECK_SLICE(record.year.text, "\\\"");
        CHECK_SLICE(record.period, "p\"\\");
        for (int j = 0; j < 5; j++) {
            uint32_t number;
            double value = -1;
            CHECK(kt_catalogue_find_indicator(view, kt_str(keys[j]), &number));
            CHECK(kt_series_value(series, (size_t)i, number, &bounds, &value));
            CHECK_INT(value, j);
        }
    }
    kt_catalogue_unref(&view);
    kt_series_unref(&series);
    kt_store_close(&store);
}

struct progress {
    uint64_t calls, done, total;
};

static void note_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    struct progress *progress = ctx;
    if (strcmp(what, "redo") == 0) {
        progress->calls++;
        progress->done = done;
        progress->total = total;
    }
}

static void what_is_logged_and_not_applied_is_redone_at_open(void)
{
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    help_found(store, 4096);
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    for (int i = 0; i < 20; i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_buf bytes;
        kt_buf_init(&bytes, 0);
        kt_change_builder_reset(builder);
        help_add(builder, &(struct help_record){"s", i % 4, "", 100 - i, "a", i});
        CHECK_OK(kt_change_encode(builder, &bytes, &err));
        (void)help_commit(store, kt_buf_str(&bytes), false);
        kt_buf_done(&bytes);
    }
    kt_change_builder_free(&builder);
    CHECK_INT(kt_store_applied(store), 1);
    kt_store_close(&store);
    struct progress progress = {0};
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store_options options = {.path = path,
                                       .read_connections = 1,
                                       .on_progress = note_progress,
                                       .on_progress_ctx = &progress};
    CHECK_OK(kt_store_open(&options, &store, &err));
    CHECK(progress.calls > 0);
    CHECK_INT(progress.done, 20);
    CHECK_INT(progress.total, 20);
    CHECK_INT(kt_store_applied(store), 21);
    CHECK_STR(help_tell(store, "s", ALL_D, ALL_W),
              "0/ D=100 a=0; 1/ D=99 a=1; 2/ D=98 a=2; 3/ D=97 a=3");
    kt_store_close(&store);
}

static void entries_must_be_applied_in_their_order(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = help_new();
    struct kt_entry entry = {3, 1, 0, KT_STR(""), KT_STR("")};
    CHECK_FAILS(kt_store_apply(store, &entry, 1, NULL, &err), KT_CORRUPT);
    entry.seq = 1;
    CHECK_FAILS(kt_store_apply(store, &entry, 1, NULL, &err), KT_CORRUPT);
    entry.seq = 2; /* in order, but no change */
    CHECK_FAILS(kt_store_apply(store, &entry, 1, NULL, &err), KT_CORRUPT);
    CHECK_OK(kt_store_apply(store, &entry, 0, NULL, &err));
    CHECK_INT(kt_store_applied(store), 1);
    kt_store_close(&store);
}

struct waiting {
    struct kt_store *store;
    uint64_t seq;
    bool reached;
};

static void wait_for(void *arg)
{
    struct waiting *waiting = arg;
    waiting->reached =
        kt_store_wait_applied(waiting->store, waiting->seq, kt_now_mono_ms() + 30000);
}

static void who_waits_for_a_revision_is_woken_when_it_is_applied(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = help_new();
    CHECK(kt_store_wait_applied(store, 1, 0));
    CHECK(!kt_store_wait_applied(store, 2, kt_now_mono_ms() + 5));
    struct waiting waits[4];
    struct kt_thread threads[4] = {0};
    for (int i = 0; i < 4; i++) {
        waits[i] = (struct waiting){store, (uint64_t)(i / 2 + 2), false};
        CHECK_OK(kt_thread_start(&threads[i], "waiter", wait_for, &waits[i], &err));
    }
    CHECK(!kt_store_wait_applied(store, 3, kt_now_mono_ms() + 20));
    SAVE(store, {"s", 1, "", HELP_NO_D});
    SAVE(store, {"s", 2, "", HELP_NO_D});
    for (int i = 0; i < 4; i++) {
        kt_thread_join(&threads[i]);
        CHECK(waits[i].reached);
    }
    kt_store_close(&store);
}

static const struct kt_test tests[] = {
    TEST(a_second_process_is_refused_and_told_who_holds_the_database),
    TEST(files_of_two_nodes_are_refused_naming_both),
    TEST(a_log_that_does_not_meet_the_data_is_refused),
    TEST(a_missing_log_is_refused_and_not_made_anew),
    TEST(a_missing_data_file_is_made_again_from_the_log),
    TEST(ids_that_a_crash_left_out_are_taken_from_the_log),
    TEST(a_schema_of_the_future_is_refused),
    TEST(a_file_that_is_no_database_is_corrupt),
    TEST(damaged_rows_name_their_subject_and_time),
    TEST(keys_and_texts_of_any_kind_are_read_back),
    TEST(what_is_logged_and_not_applied_is_redone_at_open),
    TEST(entries_must_be_applied_in_their_order),
    TEST(who_waits_for_a_revision_is_woken_when_it_is_applied),
};
KT_TEST_MAIN(tests)

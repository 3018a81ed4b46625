/* SPDX-License-Identifier: MIT */
/* What is shown and not yet in the data file: who reads finds it, a crash and a failed commit lose
 * nothing of it.
 */
#include "store/store_internal.h"
#include "tests/unit/store/store_help.h"

/* One record with v = value goes into the log. */
static void append(struct kt_store *store, const char *subject, int64_t time_s, double value)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf body;
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    kt_buf_init(&body, 0);
    help_add(builder, &(struct help_record){subject, time_s, "", HELP_NO_D, "v", value});
    CHECK_OK(kt_change_encode(builder, &body, &err));
    (void)help_commit(store, kt_buf_str(&body), false);
    kt_buf_done(&body);
    kt_change_builder_free(&builder);
}

static enum kt_status apply_next(struct kt_store *store, struct kt_error *err)
{
    struct kt_entries entries;
    struct kt_error read_err = KT_ERROR_INIT;
    uint64_t applied = kt_store_applied(store);
    if (kt_store_log_read(store, applied, applied + 1, 1, &entries, &read_err) != KT_OK) {
        help_fatal("read", &read_err);
    }
    enum kt_status status = kt_store_apply(store, entries.items, entries.count, NULL, err);
    kt_entries_done(&entries);
    return status;
}

static void save(struct kt_store *store, const char *subject, int64_t time_s, double value)
{
    struct kt_error err = KT_ERROR_INIT;
    append(store, subject, time_s, value);
    CHECK_OK(apply_next(store, &err));
}

/* The newest value of a subject, from the file. */
static double newest(struct kt_store *store, const char *subject)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_series *series = NULL;
    struct kt_catalogue *view = kt_store_view(store);
    const struct kt_subject *found = kt_catalogue_find_subject(view, kt_str(subject));
    struct kt_bounds bounds = {KT_TIME_MAX, UINT64_MAX >> 1};
    double value = -1;
    uint32_t v = 0;
    if (found && kt_catalogue_find_indicator(view, KT_STR("v"), &v) &&
        kt_store_load_series(store, found->number, &series, &err) == KT_OK &&
        kt_series_record_count(series) > 0) {
        (void)kt_series_value(series, kt_series_record_count(series) - 1, v, &bounds, &value);
    }
    kt_series_unref(&series);
    kt_catalogue_unref(&view);
    return value;
}

/* A second connection, as a person's shell would be. */
static int64_t in_file(const char *path)
{
    struct kt_error err = KT_ERROR_INIT;
    struct sqlite3 *db = NULL;
    int64_t applied = -1;
    if (db_open(path, DB_READER, &db, &err) != KT_OK ||
        db_meta_get_i64(db, "applied_seq", 0, &applied, &err) != KT_OK) {
        help_fatal(path, &err);
    }
    db_close(&db);
    return applied;
}

static void small_changes_are_shown_before_the_file_has_them(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    help_found(store, 4096);
    CHECK_OK(kt_store_flush(store, &err));
    CHECK_INT(in_file(path), 1);
    save(store, "s", 0, 1);
    CHECK_INT(kt_store_applied(store), 2);
    CHECK(kt_store_is_behind(store));
    CHECK_INT(in_file(path), 1);
    CHECK(newest(store, "s") == 1); /* who reads brings it in */
    CHECK(!kt_store_is_behind(store));
    CHECK_INT(in_file(path), 2);
    kt_store_close(&store);
}

/* Nobody who reads a little waits for it. */
static void a_large_change_has_a_transaction_of_its_own(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    struct kt_change_builder *builder = kt_change_builder_new(8 << 20);
    struct kt_buf body;
    kt_buf_init(&body, 0);
    help_found(store, 4096);
    save(store, "s", 0, 1);
    CHECK(kt_store_is_behind(store));
    for (int i = 0; i < 20000; i++) {
        help_add(builder,
                 &(struct help_record){"large", i * KT_DAY_S, "", HELP_NO_D, "v", i + 0.5});
    }
    CHECK_OK(kt_change_encode(builder, &body, &err));
    CHECK(body.len_bytes > 256 << 10);
    (void)help_commit(store, kt_buf_str(&body), true);
    CHECK(!kt_store_is_behind(store));
    CHECK_INT(in_file(path), 3);
    CHECK(newest(store, "large") == 19999.5);
    kt_buf_done(&body);
    kt_change_builder_free(&builder);
    kt_store_close(&store);
}

static void a_refused_change_leaves_the_ones_before_it(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = help_open(help_path());
    help_found(store, 4096);
    save(store, "s", 0, 1);
    append(store, "s", 0, 2);
    struct kt_entries entries;
    CHECK_OK(kt_store_log_read(store, 2, 3, 1, &entries, &err));
    kt_fault_set(KT_FAULT_IO, 3, 0); /* within the call */
    CHECK_FAILS(kt_store_apply(store, entries.items, 1, NULL, &err), KT_IO);
    kt_fault_set(KT_FAULT_IO, 0, 0);
    kt_entries_done(&entries);
    CHECK_INT(kt_store_applied(store), 2);
    CHECK(kt_store_is_behind(store));
    CHECK(newest(store, "s") == 1);
    CHECK_OK(apply_next(store, &err));
    CHECK(newest(store, "s") == 2);
    kt_store_close(&store);
}

static void a_commit_that_fails_is_made_good_from_the_log(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    help_found(store, 4096);
    for (int i = 0; i < 20; i++) {
        save(store, i % 2 ? "odd" : "even", i * KT_DAY_S, i);
    }
    kt_fault_set(KT_FAULT_IO, 1, 0);
    CHECK_FAILS(kt_store_flush(store, &err), KT_IO);
    kt_fault_set(KT_FAULT_IO, 0, 0);
    CHECK_INT(kt_store_applied(store), 21); /* it stays shown … */
    CHECK(in_file(path) < 21);
    CHECK(newest(store, "odd") == 19); /* … and is there for who reads */
    CHECK_INT(in_file(path), 21);
    save(store, "odd", 100 * KT_DAY_S, 7);
    CHECK(newest(store, "odd") == 7);
    kt_store_close(&store);
    store = help_open(path);
    CHECK_INT(kt_store_applied(store), 22);
    CHECK(newest(store, "even") == 18);
    kt_store_close(&store);
}

/* Beside what is applied others write to the file, and SQLite gives everything up when the disk is
 * full for one of them. */
static void what_was_rolled_back_under_another_statement_is_made_good(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    help_found(store, 4096);
    save(store, "s", 0, 1);
    CHECK_FAILS(
        db_exec(store->data, "INSERT OR ROLLBACK INTO revision(seq,wall_ms) VALUES(1,0)", &err),
        KT_IO);
    CHECK(!db_in_transaction(store->data));
    save(store, "other", 0, 2); /* who applies next finds it out … */
    CHECK(newest(store, "s") == 1);
    CHECK(newest(store, "other") == 2);
    CHECK_INT(in_file(path), 3);
    save(store, "s", KT_DAY_S, 3);
    db_rollback(store->data);
    CHECK(newest(store, "s") == 3); /* … or who reads */
    CHECK_INT(in_file(path), 4);
    kt_store_close(&store);
}

static void while_it_cannot_be_made_good_nobody_reads_half(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = help_open(help_path());
    uint64_t revision = 0;
    help_found(store, 4096);
    save(store, "s", 0, 1);
    append(store, "s", 0, 2);
    kt_fault_set(KT_FAULT_IO, 1, 1); /* from now on */
    CHECK_FAILS(kt_store_flush(store, &err), KT_IO);
    CHECK_FAILS(kt_store_revision_at(store, INT64_MAX, &revision, &err), KT_UNAVAILABLE);
    kt_fault_set(KT_FAULT_IO, 0, 0);
    CHECK_OK(kt_store_revision_at(store, INT64_MAX, &revision, &err));
    CHECK_INT(revision, kt_store_applied(store));
    CHECK(newest(store, "s") == 1);
    CHECK_OK(apply_next(store, &err));
    CHECK(newest(store, "s") == 2);
    kt_store_close(&store);
}

static const struct kt_test tests[] = {
    TEST(small_changes_are_shown_before_the_file_has_them),
    TEST(a_large_change_has_a_transaction_of_its_own),
    TEST(a_refused_change_leaves_the_ones_before_it),
    TEST(a_commit_that_fails_is_made_good_from_the_log),
    TEST(what_was_rolled_back_under_another_statement_is_made_good),
    TEST(while_it_cannot_be_made_good_nobody_reads_half),
};
KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
/* test_restore.c - changes that were recorded elsewhere keep their stamps: when they are taken, and
 * what recorded_by as a time finds then. The help's own stamps are seq * 1000.
 */
#include "store_help.h"

static struct kt_error err;

static struct kt_apply_result restore(struct kt_store *store, uint64_t revision, int64_t wall_ms,
                                      const char *subject, double value)
{
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    help_add(builder, &(struct help_record){subject, 5, "", HELP_NO_D, "a", value});
    kt_change_set_recorded(builder, revision, wall_ms);
    struct kt_apply_result result = help_commit_builder(store, builder);
    kt_change_builder_free(&builder);
    return result;
}

static void start_epoch(struct kt_store *store, uint64_t epoch)
{
    struct kt_buf bytes;
    uint64_t seq = help_end(store) + 1;
    kt_buf_init(&bytes, 0);
    struct kt_change_epoch_start start = {.epoch_id = KT_STR("fedcba9876543210")};
    kt_change_encode_epoch_start(&start, &bytes);
    struct kt_entry entry = {seq, epoch, (int64_t)seq * 1000, KT_STR(""), kt_buf_str(&bytes)};
    if (kt_store_log_append(store, &entry, 1, seq, &err) != KT_OK ||
        kt_store_apply(store, &entry, 1, NULL, &err) != KT_OK) {
        help_fatal("epoch", &err);
    }
    kt_buf_done(&bytes);
}

static int at(struct kt_store *store, int64_t wall_ms)
{
    uint64_t revision = 0;
    if (kt_store_revision_at(store, wall_ms, &revision, &err) != KT_OK) {
        help_fatal("revision_at", &err);
    }
    return (int)revision;
}

static bool certain(struct kt_store *store)
{
    struct kt_catalogue *view = kt_store_view(store);
    bool is = kt_catalogue_stamps_certain(view);
    kt_catalogue_unref(&view);
    return is;
}

static void stamps_are_those_that_were_recorded(void)
{
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    help_found(store, 4096); /* revision 1, stamped 1000 */
    CHECK(!certain(store));
    CHECK_INT(restore(store, 10, 100, "s", 1).status, KT_OK); /* 2 */
    CHECK_INT(restore(store, 14, 100, "s", 2).status, KT_OK); /* 3 */
    CHECK_INT(restore(store, 15, 300, "s", 3).status, KT_OK); /* 4 */
    CHECK(!certain(store));
    for (int round = 0; round < 2; round++) {
        CHECK_INT(at(store, 99), 0);
        CHECK_INT(at(store, 100), 3);
        CHECK_INT(at(store, 299), 3);
        CHECK_INT(at(store, 300), 4);
        CHECK_INT(at(store, 999), 4);
        CHECK_INT(at(store, 1000), 4); /* not the founding entry's */
        CHECK_INT(at(store, 100000), 4);
        CHECK_STR(help_tell(store, "s", ALL_D, 3), "5/ a=2");
        CHECK(!certain(store));
        kt_store_close(&store);
        store = help_open(path);
    }
    kt_store_close(&store);
}

static void a_start_of_an_epoch_between_does_not_disturb(void)
{
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    help_found(store, 4096);
    CHECK_INT(restore(store, 10, 100, "s", 1).status, KT_OK); /* 2 */
    start_epoch(store, 2);                                    /* 3, stamped 3000 */
    CHECK_INT(at(store, 3000), 3);
    kt_store_close(&store);
    store = help_open(path);
    start_epoch(store, 3); /* 4, stamped 4000 */
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    help_add(builder, &(struct help_record){"s", 5, "", HELP_NO_D, "a", 2});
    kt_change_set_recorded(builder, 11, 200);
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    CHECK_INT(kt_change_encode(builder, &bytes, &err), KT_OK);
    struct kt_entry entry = {5, 3, 5000, KT_STR(""), kt_buf_str(&bytes)};
    struct kt_apply_result result;
    CHECK_INT(kt_store_log_append(store, &entry, 1, 5, &err), KT_OK);
    CHECK_INT(kt_store_apply(store, &entry, 1, &result, &err), KT_OK);
    CHECK_INT(result.status, KT_OK);
    CHECK_INT(at(store, 100), 2);
    CHECK_INT(at(store, 199), 2);
    CHECK_INT(at(store, 200), 5);
    CHECK_INT(at(store, 4500), 5);
    kt_buf_done(&bytes);
    kt_change_builder_free(&builder);
    kt_store_close(&store);
}

static void check_refused(struct kt_apply_result result, const char *word)
{
    CHECK_INT(result.status, KT_BAD_VALUE);
    CHECK_STR(result.field, "recorded");
    CHECK(kt_str_find(kt_str(result.message), kt_str(word)) >= 0);
}

static void only_an_empty_cluster_takes_them_and_only_in_order(void)
{
    struct kt_store *store = help_new();
    check_refused(restore(store, 10, 1000000, "s", 1), "future");
    CHECK_INT(restore(store, 10, 100, "s", 1).status, KT_OK);
    check_refused(restore(store, 10, 100, "s", 9), "does not follow");
    check_refused(restore(store, 9, 200, "s", 9), "does not follow");
    check_refused(restore(store, 11, 99, "s", 9), "does not follow");
    CHECK_INT(restore(store, 11, 100, "s", 2).status, KT_OK);
    CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), "5/ a=2");
    SAVE(store, {"t", 1, "", HELP_NO_D, "a", 7});
    CHECK(certain(store));
    check_refused(restore(store, 12, 300, "s", 9), "not empty");
    CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), "5/ a=2");
    CHECK_INT(at(store, 150), 7); /* the refused ones before 7 have no stamps of their own */
    kt_store_close(&store);
    store = help_new();
    SAVE(store, {"t", 1, "", HELP_NO_D, "a", 7});
    check_refused(restore(store, 1, 1, "s", 9), "not empty");
    kt_store_close(&store);
}

static void a_log_that_is_redone_comes_to_the_same(void)
{
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    help_found(store, 4096);
    CHECK_INT(restore(store, 10, 100, "s", 1).status, KT_OK);
    check_refused(restore(store, 10, 100, "s", 9), "does not follow");
    CHECK_INT(restore(store, 11, 200, "s", 2).status, KT_OK);
    kt_store_close(&store);
    char data[400];
    snprintf(data, sizeof(data), "%s", path);
    CHECK_INT(remove(data), 0);
    store = help_open(path);
    CHECK_INT(at(store, 100), 2);
    CHECK_INT(at(store, 5000), 4);
    CHECK_STR(help_tell(store, "s", ALL_D, 3), "5/ a=1");
    CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), "5/ a=2");
    check_refused(restore(store, 11, 300, "s", 9), "does not follow");
    kt_store_close(&store);
}

static const struct kt_test tests[] = {
    TEST(stamps_are_those_that_were_recorded),
    TEST(a_start_of_an_epoch_between_does_not_disturb),
    TEST(only_an_empty_cluster_takes_them_and_only_in_order),
    TEST(a_log_that_is_redone_comes_to_the_same),
};
KT_TEST_MAIN(tests)

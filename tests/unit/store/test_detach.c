/* SPDX-License-Identifier: MIT */
/* Detaching: new ids in both files, nothing else lost, and every fault on the way leaves a database
 * that opens, under its old ids or under the new ones. */
#include "store/detach.h"
#include "tests/unit/store/store_help.h"

static const struct kt_store_detached as = {
    .node_id = "00000000000000aa", .cluster_id = "00000000000000bb", .config_json = {"{}", 2}};

/* In a cluster, with entries 1..3; open. */
static struct kt_store *member(const char *path)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = help_open(path);
    help_found(store, 4096);
    SAVE(store, {"s", 1, "Q4", 7, "a", 1.5, "b", HELP_NULL});
    SAVE(store, {"s", 2, "", HELP_NO_D, "a", 2});
    struct kt_store_kept kept = {.cluster_id = "00000000000000cc",
                                 .config_json = KT_STR("{\"epoch\":9}"),
                                 .growth = KT_STR("00000000000000dd"),
                                 .epoch = 9,
                                 .bound_by_nothing = true};
    if (kt_store_keep(store, &kept, &err) != KT_OK) {
        help_fatal("keep", &err);
    }
    return store;
}

#define MEMBER_TEXT "1/Q4 D=7 a=1.5; 2/ a=2"

static void both_files_take_the_new_ids_and_keep_their_data(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *store = member(path);
    unsigned char before[KT_CURSOR_KEY_BYTES], after[KT_CURSOR_KEY_BYTES];
    CHECK(kt_store_cursor_key(store, before));
    CHECK_OK(kt_store_detach(&store, &as, &err));
    CHECK(!store);
    store = help_open(path);
    struct kt_store_identity identity;
    kt_store_identity(store, &identity);
    CHECK_STR(identity.node_id, as.node_id);
    CHECK_STR(identity.cluster_id, as.cluster_id);
    CHECK(identity.was_standalone && !identity.was_in_cluster);
    CHECK_INT(identity.epoch, 9);
    CHECK_INT(identity.end_seq, 3);
    CHECK_INT(identity.commit_seq, 3);
    struct kt_store_kept kept;
    struct kt_buf memory;
    kt_buf_init(&memory, 0);
    CHECK_OK(kt_store_read_kept(store, &kept, &memory, &err));
    CHECK_SLICE(kept.config_json, "{}");
    CHECK_SLICE(kept.growth, "");
    CHECK(kept.standalone && !kept.half_copy && !kept.bound_by_nothing);
    kt_buf_done(&memory);
    CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), MEMBER_TEXT);
    CHECK(kt_store_cursor_key(store, after));
    CHECK(memcmp(before, after, sizeof(before)) != 0);
    kt_store_close(&store);
}

static void half_of_a_copy_is_refused(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *store = member(path);
    kt_store_close(&store);
    help_sql(help_log_path(path), "UPDATE meta SET value=1 WHERE name='half_copy'");
    store = help_open(path);
    CHECK_FAILS(kt_store_detach(&store, &as, &err), KT_CONFLICT);
    CHECK(!store);
}

static void a_fault_at_any_step_leaves_a_database_that_opens(void)
{
    bool done = false;
    for (uint64_t nth = 1; !done; nth++) {
        struct kt_error err = KT_ERROR_INIT;
        const char *path = help_path();
        struct kt_store *store = member(path);
        kt_fault_set(KT_FAULT_IO, nth, false);
        enum kt_status status = kt_store_detach(&store, &as, &err);
        done = kt_fault_calls(KT_FAULT_IO) < nth;
        kt_fault_set(KT_FAULT_IO, 0, 0);
        store = help_open(path);
        struct kt_store_identity identity;
        kt_store_identity(store, &identity);
        bool is_new = strcmp(identity.cluster_id, as.cluster_id) == 0;
        CHECK(is_new || (status != KT_OK && identity.was_in_cluster));
        CHECK(is_new == (strcmp(identity.node_id, as.node_id) == 0));
        CHECK(is_new == !identity.was_in_cluster);
        CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), MEMBER_TEXT);
        kt_store_close(&store);
    }
}

static const struct kt_test tests[] = {
    TEST(both_files_take_the_new_ids_and_keep_their_data),
    TEST(half_of_a_copy_is_refused),
    TEST(a_fault_at_any_step_leaves_a_database_that_opens),
};
KT_TEST_MAIN(tests)

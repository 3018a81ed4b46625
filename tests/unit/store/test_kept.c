/* SPDX-License-Identifier: MIT */
/* What a node keeps of its cluster beside the log: all or nothing, and never an older epoch. */
#include "tests/unit/store/store_help.h"

#define CLUSTER "00000000000000aa"

static struct kt_store_kept read_back(struct kt_store *store, struct kt_buf *memory)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store_kept kept = {0};
    kt_buf_clear(memory);
    if (kt_store_read_kept(store, &kept, memory, &err) != KT_OK) {
        help_fatal("read kept", &err);
    }
    return kept;
}

static void an_empty_node_keeps_nothing(void)
{
    struct kt_store *store = help_open(help_path());
    struct kt_buf memory;
    kt_buf_init(&memory, 0);
    struct kt_store_kept kept = read_back(store, &memory);
    CHECK_STR(kept.cluster_id, "");
    CHECK(!kept.standalone && !kept.half_copy && !kept.bound_by_nothing);
    CHECK_INT(kept.config_json.len, 0);
    CHECK_INT(kept.growth.len, 0);
    CHECK_INT(kept.epoch, 0);
    CHECK(kept.config_json.data && kept.growth.data);
    kt_buf_done(&memory);
    kt_store_close(&store);
}

static void all_of_it_is_there_again_after_a_restart(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    struct kt_store_identity id;
    struct kt_buf memory;
    kt_buf_init(&memory, 0);
    struct kt_store_kept kept = {.cluster_id = CLUSTER,
                                 .config_json = KT_STR("{\"version\":3}"),
                                 .growth = KT_STR("00000000000000b1,00000000000000b2"),
                                 .epoch = 7,
                                 .half_copy = true,
                                 .bound_by_nothing = true};
    CHECK_OK(kt_store_keep(store, &kept, &err));
    for (int round = 0; round < 2; round++) {
        struct kt_store_kept got = read_back(store, &memory);
        CHECK_STR(got.cluster_id, CLUSTER);
        CHECK_SLICE(got.config_json, "{\"version\":3}");
        CHECK_SLICE(got.growth, "00000000000000b1,00000000000000b2");
        CHECK_INT(got.epoch, 7);
        CHECK(got.half_copy && got.bound_by_nothing && !got.standalone);
        kt_store_identity(store, &id);
        CHECK_STR(id.cluster_id, CLUSTER);
        CHECK(id.was_in_cluster && !id.was_standalone);
        CHECK_INT(id.epoch, 7);
        kt_store_close(&store);
        store = help_open(path);
    }
    kept.half_copy = kept.bound_by_nothing = false;
    kept.growth = kept.config_json = KT_STR("");
    CHECK_OK(kt_store_keep(store, &kept, &err));
    kt_store_close(&store);
    store = help_open(path);
    struct kt_store_kept got = read_back(store, &memory);
    CHECK(!got.half_copy && !got.bound_by_nothing);
    CHECK_INT(got.growth.len + got.config_json.len, 0);
    kt_buf_done(&memory);
    kt_store_close(&store);
}

static void an_older_epoch_or_no_cluster_is_refused_and_changes_nothing(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = help_open(help_path());
    struct kt_buf memory;
    kt_buf_init(&memory, 0);
    struct kt_store_kept kept = {
        .cluster_id = CLUSTER, .config_json = KT_STR("{}"), .epoch = 7, .half_copy = true};
    CHECK_OK(kt_store_keep(store, &kept, &err));
    struct kt_store_kept older = {.cluster_id = CLUSTER, .config_json = KT_STR("old"), .epoch = 6};
    CHECK_FAILS(kt_store_keep(store, &older, &err), KT_CONFLICT);
    CHECK(strstr(err.message, "epoch 7 is kept"));
    struct kt_store_kept nobody = {.epoch = 8};
    CHECK_FAILS(kt_store_keep(store, &nobody, &err), KT_CONFLICT);
    CHECK(strstr(err.message, CLUSTER));
    struct kt_store_kept shortened = {.cluster_id = "aa", .epoch = 8};
    CHECK_FAILS(kt_store_keep(store, &shortened, &err), KT_BAD_VALUE);
    struct kt_store_kept got = read_back(store, &memory);
    CHECK_SLICE(got.config_json, "{}");
    CHECK_INT(got.epoch, 7);
    CHECK(got.half_copy);
    kt_buf_done(&memory);
    kt_store_close(&store);
}

static void a_node_that_was_standalone_says_so_until_it_joins_a_cluster(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = help_open(help_path());
    struct kt_store_identity id;
    struct kt_buf memory;
    kt_buf_init(&memory, 0);
    struct kt_store_kept kept = {.cluster_id = CLUSTER, .standalone = true, .epoch = 1};
    CHECK_OK(kt_store_keep(store, &kept, &err));
    CHECK(read_back(store, &memory).standalone);
    kept.standalone = false;
    CHECK_OK(kt_store_keep(store, &kept, &err));
    CHECK(!read_back(store, &memory).standalone);
    kt_store_identity(store, &id);
    CHECK(id.was_in_cluster && id.was_standalone);
    kt_buf_done(&memory);
    kt_store_close(&store);
}

static void keep_with_faults(enum kt_fault kind)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    struct kt_buf memory;
    kt_buf_init(&memory, 0);
    struct kt_store_kept before = {
        .cluster_id = CLUSTER, .config_json = KT_STR("before"), .growth = KT_STR("b"), .epoch = 1};
    struct kt_store_kept after = {.cluster_id = CLUSTER,
                                  .config_json = KT_STR("after"),
                                  .growth = KT_STR("a"),
                                  .epoch = 2,
                                  .half_copy = true};
    CHECK_OK(kt_store_keep(store, &before, &err));
    bool done = false;
    for (uint64_t nth = 1; !done; nth++) {
        kt_fault_set(kind, nth, false);
        done = kt_store_keep(store, &after, &err) == KT_OK;
        kt_fault_set(kind, 0, false);
        for (int round = 0; round < 2 && !done; round++) {
            struct kt_store_kept got = read_back(store, &memory);
            CHECK_SLICE(got.config_json, "before");
            CHECK_SLICE(got.growth, "b");
            CHECK_INT(got.epoch, 1);
            CHECK(!got.half_copy);
            kt_store_close(&store);
            store = help_open(path);
        }
    }
    CHECK_SLICE(read_back(store, &memory).config_json, "after");
    kt_buf_done(&memory);
    kt_store_close(&store);
}

static void a_failing_call_leaves_what_was_kept_before(void)
{
    keep_with_faults(KT_FAULT_IO);
    keep_with_faults(KT_FAULT_ALLOC);
}

static void a_log_file_of_the_first_schema_keeps_its_configuration(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    struct kt_buf memory;
    kt_buf_init(&memory, 0);
    struct kt_store_kept kept = {.cluster_id = CLUSTER, .config_json = KT_STR("{}"), .epoch = 3};
    CHECK_OK(kt_store_keep(store, &kept, &err));
    kt_store_close(&store);
    help_sql(help_log_path(path), "DELETE FROM meta WHERE name IN ('kept_growth','half_copy',"
                                  "'bound_by_nothing'); DROP TABLE base; PRAGMA user_version=1");
    store = help_open(path);
    struct kt_store_kept got = read_back(store, &memory);
    CHECK_STR(got.cluster_id, CLUSTER);
    CHECK_SLICE(got.config_json, "{}");
    CHECK_INT(got.epoch, 3);
    CHECK(!got.half_copy && !got.bound_by_nothing);
    kt_buf_done(&memory);
    kt_store_close(&store);
}

static const struct kt_test tests[] = {
    TEST(an_empty_node_keeps_nothing),
    TEST(all_of_it_is_there_again_after_a_restart),
    TEST(an_older_epoch_or_no_cluster_is_refused_and_changes_nothing),
    TEST(a_node_that_was_standalone_says_so_until_it_joins_a_cluster),
    TEST(a_failing_call_leaves_what_was_kept_before),
    TEST(a_log_file_of_the_first_schema_keeps_its_configuration),
};
KT_TEST_MAIN(tests)

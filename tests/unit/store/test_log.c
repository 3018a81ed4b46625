/* SPDX-License-Identifier: MIT */
/* The log file: what may follow what, what is read back, and who it says it is. */
#include "tests/unit/store/store_help.h"

static struct kt_buf bodies[2]; /* an epoch-start, a save */

static struct kt_str epoch_start(void)
{
    kt_buf_done(&bodies[0]);
    kt_buf_init(&bodies[0], 0);
    help_epoch_body(&bodies[0], false, 0);
    return kt_buf_str(&bodies[0]);
}

static struct kt_str save(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    help_add(builder, &(struct help_record){"s", 1, "", HELP_NO_D, "a", 1});
    kt_buf_done(&bodies[1]);
    kt_buf_init(&bodies[1], 0);
    if (kt_change_encode(builder, &bodies[1], &err) != KT_OK) {
        help_fatal("encode", &err);
    }
    kt_change_builder_free(&builder);
    return kt_buf_str(&bodies[1]);
}

static void entries_must_continue_the_log_without_a_gap(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = help_open(help_path());
    struct kt_str start = epoch_start(), body = save();
    struct kt_entry e[3] = {{2, 1, 5, KT_STR(""), start}};
    CHECK_FAILS(kt_store_log_append(store, e, 1, 0, &err), KT_CORRUPT);
    e[0] = (struct kt_entry){1, 1, 5, KT_STR(""), body}; /* no epoch began */
    CHECK_FAILS(kt_store_log_append(store, e, 1, 0, &err), KT_CORRUPT);
    e[0].body = start;
    e[1] = (struct kt_entry){3, 1, 6, KT_STR(""), body};
    CHECK_FAILS(kt_store_log_append(store, e, 2, 0, &err), KT_CORRUPT);
    CHECK_INT(help_end(store), 0);
    e[1].seq = 2;
    CHECK_OK(kt_store_log_append(store, e, 2, 0, &err));
    e[0] = (struct kt_entry){3, 1, 7, KT_STR(""), start}; /* the epoch has begun already */
    CHECK_FAILS(kt_store_log_append(store, e, 1, 0, &err), KT_CORRUPT);
    e[0] = (struct kt_entry){3, 2, 7, KT_STR(""), body}; /* an epoch begins with its start */
    CHECK_FAILS(kt_store_log_append(store, e, 1, 0, &err), KT_CORRUPT);
    e[0] = (struct kt_entry){3, 4, 7, KT_STR(""), start};
    e[1] = (struct kt_entry){4, 3, 7, KT_STR(""), body}; /* epochs do not go back */
    CHECK_FAILS(kt_store_log_append(store, e, 2, 0, &err), KT_CORRUPT);
    e[1].epoch = 4;
    CHECK_OK(kt_store_log_append(store, e, 2, 0, &err));
    uint64_t seq, epoch;
    kt_store_log_end(store, &seq, &epoch);
    CHECK_INT(seq, 4);
    CHECK_INT(epoch, 4);
    CHECK_INT(kt_store_log_last_wall_ms(store), 7);
    CHECK_OK(kt_store_log_append(store, e, 0, 4, &err));
    kt_store_close(&store);
}

static void check_epochs(struct kt_store *store)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_epoch *epochs = NULL, at;
    size_t count = 0;
    CHECK_OK(kt_store_epochs(store, &epochs, &count, &err));
    CHECK_INT(count, 2);
    CHECK_INT(epochs[0].epoch, 1);
    CHECK_INT(epochs[0].first_seq, 1);
    CHECK_STR(epochs[0].epoch_id, "0123456789abcdef");
    CHECK_INT(epochs[1].epoch, 5);
    CHECK_INT(epochs[1].first_seq, 3);
    kt_free(epochs);
    CHECK_OK(kt_store_log_entry_id(store, 2, &at, &err));
    CHECK_INT(at.epoch, 1);
    CHECK_OK(kt_store_log_entry_id(store, 3, &at, &err));
    CHECK_INT(at.epoch, 5);
    CHECK_OK(kt_store_log_entry_id(store, 4, &at, &err));
    CHECK_INT(at.epoch, 5);
    CHECK_FAILS(kt_store_log_entry_id(store, 5, &at, &err), KT_NOT_FOUND);
    CHECK_FAILS(kt_store_log_entry_id(store, 0, &at, &err), KT_NOT_FOUND);
    struct kt_store_identity id;
    kt_store_identity(store, &id);
    CHECK_INT(id.end_seq, 4);
    CHECK_INT(id.end_epoch, 5);
    CHECK_INT(id.epoch, 5);
}

static void the_epoch_vector_says_which_epoch_an_entry_is_of(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    struct kt_str start = epoch_start(), body = save();
    struct kt_entry e[4] = {{1, 1, 5, KT_STR(""), start},
                            {2, 1, 5, KT_STR("key-1"), body},
                            {3, 5, 6, KT_STR(""), start},
                            {4, 5, 6, KT_STR(""), body}};
    CHECK_OK(kt_store_log_append(store, e, 4, 0, &err));
    check_epochs(store);
    kt_store_close(&store);
    store = help_open(path);
    check_epochs(store);
    kt_store_close(&store);
}

static void entries_are_read_back_as_they_were_in_bounded_pieces(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *store = help_new();
    struct kt_str body = save();
    struct kt_entry e[9];
    for (uint64_t i = 0; i < 9; i++) {
        e[i] =
            (struct kt_entry){i + 2, 1, (int64_t)i - 4, i == 3 ? KT_STR("key") : KT_STR(""), body};
    }
    CHECK_OK(kt_store_log_append(store, e, 9, 0, &err));
    struct kt_entries got;
    CHECK_OK(kt_store_log_read(store, 1, 100, SIZE_MAX, &got, &err));
    CHECK_INT(got.count, 9);
    for (size_t i = 0; i < 9; i++) {
        CHECK_INT(got.items[i].seq, e[i].seq);
        CHECK_INT(got.items[i].epoch, 1);
        CHECK_INT(got.items[i].wall_ms, e[i].wall_ms);
        CHECK(kt_str_eq(got.items[i].key, e[i].key));
        CHECK(kt_str_eq(got.items[i].body, body));
    }
    kt_entries_done(&got);
    CHECK_OK(kt_store_log_read(store, 1, 100, 0, &got, &err)); /* at least one */
    CHECK_INT(got.count, 1);
    kt_entries_done(&got);
    CHECK_OK(kt_store_log_read(store, 1, 100, (body.len + 70) * 3, &got, &err));
    CHECK_INT(got.count, 3);
    kt_entries_done(&got);
    /* Small entries are no more than their frames: a bound on bodies alone would bound nothing. */
    CHECK_OK(kt_store_log_read(store, 1, 100, body.len * 3, &got, &err));
    CHECK_INT(got.count, 1);
    kt_entries_done(&got);
    CHECK_OK(kt_store_log_read(store, 4, 6, SIZE_MAX, &got, &err));
    CHECK_INT(got.count, 2);
    CHECK_INT(got.items[1].seq, 6);
    CHECK_SLICE(got.items[0].key, "key");
    kt_entries_done(&got);
    kt_entries_done(&got);
    CHECK_OK(kt_store_log_read(store, 10, UINT64_MAX, 99, &got, &err));
    CHECK_INT(got.count, 0);
    kt_entries_done(&got);
    CHECK_OK(kt_store_log_read(store, 99, 100, 99, &got, &err));
    CHECK_INT(got.count, 0);
    kt_entries_done(&got);
    kt_store_close(&store);
    (void)path;
}

static void a_log_that_no_longer_reaches_back_says_gone(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    CHECK_INT(kt_store_log_first(store), 1);
    help_found(store, 4096);
    CHECK_INT(kt_store_log_first(store), 1);
    for (int i = 0; i < 4; i++) {
        SAVE(store, {"s", i, "", HELP_NO_D, "a", 1});
    }
    kt_store_close(&store);
    help_sql(help_log_path(path), "DELETE FROM entry WHERE seq<=2");
    store = help_open(path);
    struct kt_entries got;
    CHECK_INT(kt_store_log_first(store), 3);
    CHECK_FAILS(kt_store_log_read(store, 1, 9, 99, &got, &err), KT_GONE);
    CHECK_OK(kt_store_log_read(store, 2, 9, SIZE_MAX, &got, &err));
    CHECK_INT(got.count, 3);
    kt_entries_done(&got);
    kt_store_close(&store);
    help_sql(help_log_path(path), "DELETE FROM entry WHERE seq=4");
    store = help_open(path);
    CHECK_FAILS(kt_store_log_read(store, 3, 9, 99, &got, &err), KT_CORRUPT);
    kt_store_close(&store);
}

static void a_node_keeps_its_identity(void)
{
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    struct kt_store_identity id, again;
    kt_store_identity(store, &id);
    CHECK_INT(strlen(id.node_id), KT_ID_LEN);
    CHECK_STR(id.cluster_id, "");
    CHECK(!id.was_in_cluster && !id.was_standalone);
    CHECK_INT(id.epoch, 0);
    kt_store_close(&store);
    store = help_open(path);
    kt_store_identity(store, &again);
    CHECK_STR(again.node_id, id.node_id);
    kt_store_close(&store);
}

static void the_commit_position_rides_with_entries_and_never_goes_back(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    struct kt_store_identity id;
    struct kt_str start = epoch_start(), body = save();
    struct kt_entry e[4] = {{1, 1, 5, KT_STR(""), start},
                            {2, 1, 5, KT_STR(""), body},
                            {3, 1, 5, KT_STR(""), body},
                            {4, 1, 5, KT_STR(""), body}};
    CHECK_OK(kt_store_log_append(store, e, 2, 1, &err));
    kt_store_log_note_commit(store, 2);
    kt_store_log_note_commit(store, 1);
    CHECK_OK(kt_store_log_append(store, e + 2, 1, 0, &err));
    kt_store_close(&store);
    store = help_open(path); /* redone up to there */
    kt_store_identity(store, &id);
    CHECK_INT(id.commit_seq, 2);
    CHECK_INT(id.end_seq, 3);
    CHECK_INT(kt_store_applied(store), 2);
    kt_store_log_note_commit(store, 3);
    CHECK_OK(kt_store_log_append(store, e + 3, 1, 99, &err)); /* not beyond the end */
    kt_store_close(&store);
    store = help_open(path);
    kt_store_identity(store, &id);
    CHECK_INT(id.commit_seq, 4);
    CHECK_INT(kt_store_applied(store), 4);
    kt_store_close(&store);
    kt_buf_done(&bodies[0]);
    kt_buf_done(&bodies[1]);
}

static const struct kt_test tests[] = {
    TEST(entries_must_continue_the_log_without_a_gap),
    TEST(the_epoch_vector_says_which_epoch_an_entry_is_of),
    TEST(entries_are_read_back_as_they_were_in_bounded_pieces),
    TEST(a_log_that_no_longer_reaches_back_says_gone),
    TEST(a_node_keeps_its_identity),
    TEST(the_commit_position_rides_with_entries_and_never_goes_back),
};
KT_TEST_MAIN(tests)

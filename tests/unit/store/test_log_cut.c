/* SPDX-License-Identifier: MIT */
/* Cutting the end of the log: nothing goes that was not put aside, and nothing that was committed.
 */
#include "base/fs.h"
#include "base/hash.h"
#include "tests/unit/store/store_help.h"

static void start_of_epoch(struct kt_buf *body, const char *id)
{
    struct kt_change_epoch_start start = {.epoch_id = kt_str(id)};
    kt_buf_clear(body);
    kt_change_encode_epoch_start(&start, body);
}

static void append(struct kt_store *store, uint64_t epoch, const char *key, struct kt_str body)
{
    struct kt_error err = KT_ERROR_INIT;
    uint64_t seq = help_end(store) + 1;
    struct kt_entry entry = {seq, epoch, (int64_t)seq * 1000, kt_str(key), body};
    if (kt_store_log_append(store, &entry, 1, 0, &err) != KT_OK) {
        help_fatal("append", &err);
    }
}

static void put_save(struct kt_buf *body, size_t records)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change_builder *builder = kt_change_builder_new(16 << 20);
    struct kt_change_stay stay = {KT_STR("pool"), 7, KT_TIME_MAX};
    struct kt_str leaves[] = {KT_STR("other")}, values[] = {KT_STR("x")};
    struct kt_change_tag tag = {KT_STR("concept"), values, 1};
    struct kt_change_subject subject = {.key = KT_STR("s"),
                                        .name = {KT_NAMED, KT_STR("a \"name\"")},
                                        .status = {KT_NAMED_NULL, KT_STR("")},
                                        .topics_mode = KT_TOPICS_EDIT,
                                        .stays = &stay,
                                        .stay_count = 1,
                                        .leaves = leaves,
                                        .leave_count = 1,
                                        .tags = &tag,
                                        .tag_count = 1};
    if (kt_change_add_subject(builder, &subject, &err) != KT_OK) {
        help_fatal("subject", &err);
    }
    for (size_t i = 0; i < records; i++) {
        help_add(builder, &(struct help_record){"s", (int64_t)i, "Q4", 100, "a", 1.5, "b",
                                                HELP_NULL, "2024-12-31"});
    }
    kt_buf_clear(body);
    if (kt_change_encode(builder, body, &err) != KT_OK) {
        help_fatal("encode", &err);
    }
    kt_change_builder_free(&builder);
}

/* 1: epoch 1 and applied; 2: a save, applied; 3: a save; 4: epoch 4; 5: a save with a key. */
static struct kt_store *with_a_tail(const char *path)
{
    struct kt_store *store = help_open(path);
    struct kt_buf body;
    kt_buf_init(&body, 0);
    help_found(store, 4096);
    SAVE(store, {"s", 1, "", HELP_NO_D, "a", 1});
    put_save(&body, 1);
    append(store, 1, "", kt_buf_str(&body));
    start_of_epoch(&body, "00000000000000e4");
    append(store, 4, "", kt_buf_str(&body));
    put_save(&body, 2);
    append(store, 4, "my key", kt_buf_str(&body));
    kt_buf_done(&body);
    return store;
}

static void check_cut(struct kt_store *store)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_epoch *epochs = NULL, at;
    size_t count = 0;
    uint64_t seq, epoch;
    struct kt_store_identity id;
    kt_store_log_end(store, &seq, &epoch);
    CHECK_INT(seq, 2);
    CHECK_INT(epoch, 1);
    CHECK_INT(kt_store_log_last_wall_ms(store), 2000);
    CHECK_INT(kt_store_log_first(store), 1);
    CHECK_INT(kt_store_applied(store), 2);
    CHECK_OK(kt_store_epochs(store, &epochs, &count, &err));
    kt_free(epochs);
    CHECK_INT(count, 1);
    CHECK_FAILS(kt_store_log_entry_id(store, 3, &at, &err), KT_NOT_FOUND);
    kt_store_identity(store, &id);
    CHECK_INT(id.epoch, 4); /* seen is seen */
    CHECK_INT(id.end_seq, 2);
}

static void take_file(struct kt_store *store, struct kt_buf *ret_text)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf path;
    kt_buf_init(&path, 0);
    kt_store_rollback_path(store, &path);
    kt_buf_clear(ret_text);
    if (kt_fs_read(path.data, 64 << 20, ret_text, &err) != KT_OK) {
        help_fatal("read", &err);
    }
    kt_buf_done(&path);
}

static void what_lies_behind_is_put_aside_and_cut(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *store = with_a_tail(path);
    struct kt_buf body;
    kt_buf_init(&body, 0);
    CHECK_OK(kt_store_log_cut(store, 2, &err));
    kt_store_rollback_path(store, &body);
    CHECK(strstr(body.data, "/rollback/x-") && strstr(body.data, "-3-5.ndjson"));
    check_cut(store);
    kt_store_close(&store);
    store = help_open(path);
    check_cut(store);
    start_of_epoch(&body, "00000000000000e5");
    append(store, 5, "", kt_buf_str(&body)); /* another history goes on from there */
    struct kt_epoch at;
    CHECK_OK(kt_store_log_entry_id(store, 3, &at, &err));
    CHECK_STR(at.epoch_id, "00000000000000e5");
    kt_buf_done(&body);
    kt_store_close(&store);
}

static void the_file_can_be_read_and_sent_again(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = with_a_tail(help_path());
    struct kt_entries entries;
    struct kt_buf file;
    kt_buf_init(&file, 0);
    CHECK_OK(kt_store_log_read(store, 4, 5, SIZE_MAX, &entries, &err));
    CHECK_OK(kt_store_log_cut(store, 2, &err));
    take_file(store, &file);
    struct kt_str rest = kt_buf_str(&file), lines[3];
    for (int i = 0; i < 3; i++) {
        lines[i] = kt_str_cut(&rest, '\n');
    }
    CHECK_INT(rest.len, 0);
    CHECK(kt_str_starts(lines[0], KT_STR("{\"seq\":3,\"epoch\":1,\"wall_ms\":3000,"
                                         "\"time\":\"1970-01-01T00:00:03.000Z\",\"key\":\"\","
                                         "\"save\":{\"subjects\":[{\"subject\":\"s\",\"name\":"
                                         "\"a \\\"name\\\"\",\"status\":null,\"topics_remove\":["
                                         "\"other\"],\"topics_add\":[{\"topic\":\"pool\",\"from\":"
                                         "7}],\"tags\":{\"concept\":[\"x\"]}}],\"records\":[{"
                                         "\"subject\":\"s\",\"time\":0,\"period\":\"Q4\","
                                         "\"declare_date\":100,\"end_date\":\"2024-12-31\","
                                         "\"data\":{\"a\":1.5,\"b\":null}}]},\"body\":\"")));
    CHECK(kt_str_find(lines[1], KT_STR("\"epoch_start\":{\"epoch_id\":\"00000000000000e4\"}")) > 0);
    CHECK(kt_str_find(lines[2], KT_STR("\"key\":\"my key\"")) > 0);
    /* The bytes as they were. */
    ptrdiff_t at = kt_str_find(lines[2], KT_STR("\"body\":\""));
    CHECK(at > 0);
    struct kt_str text = {lines[2].data + at + 8, lines[2].len - (size_t)at - 10};
    size_t len = 0;
    KT_AUTOFREE char *bytes = kt_malloc(text.len);
    CHECK(kt_base64_decode(text, bytes, &len));
    CHECK(kt_str_eq(kt_str_n(bytes, len), entries.items[0].body));
    kt_entries_done(&entries);
    kt_buf_done(&file);
    kt_store_close(&store);
}

static void a_large_change_is_shown_in_part_and_kept_whole(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = help_new();
    struct kt_buf body, file;
    struct kt_entries entries;
    kt_buf_init(&body, 0);
    kt_buf_init(&file, 0);
    put_save(&body, 30000);
    append(store, 1, "", kt_buf_str(&body));
    CHECK_OK(kt_store_log_read(store, 1, 2, SIZE_MAX, &entries, &err));
    CHECK_OK(kt_store_log_cut(store, 1, &err));
    take_file(store, &file);
    CHECK(strstr(file.data, "\"left_out\":29001,\"body\":\""));
    const char *at = strstr(file.data, "\"body\":\"") + 8;
    size_t len = 0;
    KT_AUTOFREE char *bytes = kt_malloc(file.len_bytes);
    CHECK(kt_base64_decode(kt_str_n(at, strlen(at) - 3), bytes, &len));
    CHECK(kt_str_eq(kt_str_n(bytes, len), entries.items[0].body));
    kt_entries_done(&entries);
    kt_buf_done(&body);
    kt_buf_done(&file);
    kt_store_close(&store);
}

static void deletes_and_series_are_shown_too(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = help_new();
    struct kt_buf body, file;
    kt_buf_init(&body, 0);
    kt_buf_init(&file, 0);
    struct kt_str subject = KT_STR("s"), period = KT_STR("Q");
    struct kt_change_delete some = {.subjects = &subject,
                                    .subject_count = 1,
                                    .from_s = 1,
                                    .to_s = 9,
                                    .periods = &period,
                                    .period_count = 1,
                                    .has_if_revision = true,
                                    .if_revision = 1};
    CHECK_OK(kt_change_encode_delete(&some, &body, &err));
    append(store, 1, "", kt_buf_str(&body));
    struct kt_change_delete all = {.subjects = &subject, .subject_count = 1, .all = true};
    kt_buf_clear(&body);
    CHECK_OK(kt_change_encode_delete(&all, &body, &err));
    append(store, 1, "", kt_buf_str(&body));
    struct kt_generic_change series = {.is_delete = true, .table = 2, .id = KT_STR("id")};
    kt_buf_clear(&body);
    kt_generic_encode(&series, NULL, &body);
    append(store, 1, "", kt_buf_str(&body));
    append(store, 1, "", KT_STR("\x01\x02 no change at all"));
    CHECK_OK(kt_store_log_cut(store, 1, &err));
    take_file(store, &file);
    CHECK(strstr(file.data, "\"delete\":{\"subjects\":[\"s\"],\"from\":1,\"to\":9,"
                            "\"periods\":[\"Q\"],\"if_revision\":1}"));
    CHECK(strstr(file.data, "\"delete\":{\"subjects\":[\"s\"],\"all\":true}"));
    CHECK(strstr(file.data, "\"generic_delete\":{\"table\":\"financial_data\",\"id\":\"id\","
                            "\"points\":0}"));
    CHECK(strstr(file.data, "\"unreadable\":\""));
    kt_buf_done(&body);
    kt_buf_done(&file);
    kt_store_close(&store);
}

static void what_is_applied_or_committed_is_never_cut(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = with_a_tail(help_path());
    struct kt_buf path;
    kt_buf_init(&path, 0);
    CHECK_FAILS(kt_store_log_cut(store, 1, &err), KT_CONFLICT);
    kt_store_log_note_commit(store, 4); /* known, and not yet applied */
    CHECK_FAILS(kt_store_log_cut(store, 3, &err), KT_CONFLICT);
    CHECK_INT(help_end(store), 5);
    kt_store_rollback_path(store, &path);
    CHECK_INT(path.len_bytes, 0);
    CHECK_OK(kt_store_log_cut(store, 5, &err)); /* nothing lies there */
    CHECK_OK(kt_store_log_cut(store, 99, &err));
    kt_store_rollback_path(store, &path);
    CHECK_INT(path.len_bytes, 0);
    CHECK_INT(help_end(store), 5);
    CHECK_OK(kt_store_log_cut(store, 4, &err));
    CHECK_INT(help_end(store), 4);
    kt_buf_done(&path);
    kt_store_close(&store);
}

static void a_log_can_be_cut_to_nothing(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    struct kt_buf body;
    kt_buf_init(&body, 0);
    start_of_epoch(&body, "00000000000000e1");
    append(store, 1, "", kt_buf_str(&body));
    CHECK_OK(kt_store_log_cut(store, 0, &err));
    for (int i = 0; i < 2; i++) {
        CHECK_INT(help_end(store), 0);
        CHECK_INT(kt_store_log_first(store), 1);
        CHECK_INT(kt_store_log_last_wall_ms(store), 0);
        kt_store_close(&store);
        store = help_open(path);
    }
    append(store, 2, "", kt_buf_str(&body));
    CHECK_INT(help_end(store), 1);
    kt_buf_done(&body);
    kt_store_close(&store);
}

/* After each failure the log is as it was, in memory and on disk, or it is cut and the file there;
 * and the same cut works. */
static void cut_with_faults(enum kt_fault kind)
{
    struct kt_error err = KT_ERROR_INIT;
    bool done = false;
    int left_behind = 0;
    uint64_t step = kt_test_is_slow() ? 5 : 1;
    for (uint64_t nth = 1; !done; nth += step) {
        const char *path = help_path();
        struct kt_store *store = with_a_tail(path);
        struct kt_buf file;
        kt_buf_init(&file, 0);
        kt_fault_set(kind, nth, false);
        done = kt_store_log_cut(store, 2, &err) == KT_OK;
        kt_fault_set(kind, 0, false);
        if (!done) {
            CHECK_INT(help_end(store), 5);
            kt_store_rollback_path(store, &file);
            left_behind += file.len_bytes > 0; /* the delete failed behind it */
            if (nth % 2) {
                kt_store_close(&store);
                store = help_open(path);
            }
            CHECK_INT(help_end(store), 5);
            CHECK_OK(kt_store_log_cut(store, 2, &err));
        }
        check_cut(store);
        take_file(store, &file);
        CHECK(strstr(file.data, "{\"seq\":3,") && strstr(file.data, "{\"seq\":5,"));
        CHECK_INT(file.data[file.len_bytes - 1], '\n');
        kt_buf_done(&file);
        kt_store_close(&store);
    }
    CHECK(left_behind > 0 || kind != KT_FAULT_IO);
}

static void a_cut_that_fails_anywhere_can_be_repeated(void)
{
    cut_with_faults(KT_FAULT_IO);
    cut_with_faults(KT_FAULT_ALLOC);
}

static const struct kt_test tests[] = {
    TEST(what_lies_behind_is_put_aside_and_cut),          TEST(the_file_can_be_read_and_sent_again),
    TEST(a_large_change_is_shown_in_part_and_kept_whole), TEST(deletes_and_series_are_shown_too),
    TEST(what_is_applied_or_committed_is_never_cut),      TEST(a_log_can_be_cut_to_nothing),
    TEST(a_cut_that_fails_anywhere_can_be_repeated),
};
KT_TEST_MAIN(tests)

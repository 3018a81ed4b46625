/* SPDX-License-Identifier: MIT */
/* A story of a store in which the nth allocation or the nth call to SQLite fails, for every n.
 * After the failure the step is tried again, in the same process or after a restart; in the end all
 * must be as if nothing had happened.
 */
#include "tests/unit/store/memory_disk.h"
#include "tests/unit/store/store_help.h"

enum { STEPS = 8 };

struct story {
    const char *path;
    struct kt_store *store;
    struct kt_buf bodies[4]; /* entries 1..4 */
    int step;
};

static void write_bodies(struct story *story)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    for (int i = 0; i < 4; i++) {
        kt_buf_init(&story->bodies[i], 0);
    }
    help_epoch_body(&story->bodies[0], true, 4096);
    struct kt_str values[] = {KT_STR("x"), KT_STR("y")};
    struct kt_change_tag tag = {KT_STR("concept"), values, 2};
    struct kt_change_stay stay = {KT_STR("pool"), 0, 9};
    for (int i = 1; i < 4; i++) {
        kt_change_builder_reset(builder);
        char name[16], key[16];
        snprintf(name, sizeof(name), "name%d", i);
        snprintf(key, sizeof(key), "key%d", i);
        struct kt_change_subject subject = {.key = KT_STR("s"),
                                            .name = {KT_NAMED, kt_str(name)},
                                            .topics_mode = KT_TOPICS_REPLACE,
                                            .stays = &stay,
                                            .stay_count = i == 2 ? 0 : 1,
                                            .tags = &tag,
                                            .tag_count = i == 2 ? 0 : 1};
        tag.count = (size_t)i % 2 + 1;
        if (kt_change_add_subject(builder, &subject, &err) != KT_OK) {
            help_fatal("subject", &err);
        }
        help_add(builder, &(struct help_record){"s", 10, "", 100 + i, "a", i, key, i});
        help_add(builder, &(struct help_record){key, i, "Q", HELP_NO_D, "a", i});
        if (kt_change_encode(builder, &story->bodies[i], &err) != KT_OK) {
            help_fatal("encode", &err);
        }
    }
    kt_change_builder_free(&builder);
}

static enum kt_status append(struct story *story, uint64_t seq, size_t count, struct kt_error *err)
{
    struct kt_entry entries[2];
    for (size_t i = 0; i < count; i++) {
        entries[i] = (struct kt_entry){seq + i, 1, 1000, KT_STR(""),
                                       kt_buf_str(&story->bodies[seq + i - 1])};
    }
    if (help_end(story->store) >= seq + count - 1) {
        return KT_OK; /* it was durable before the failure was noticed */
    }
    return kt_store_log_append(story->store, entries, count, seq + count - 1, err);
}

/* Applies what the log has, read from it. */
static enum kt_status apply(struct story *story, struct kt_error *err)
{
    struct kt_entries entries = {0};
    enum kt_status status = kt_store_log_read(story->store, kt_store_applied(story->store),
                                              UINT64_MAX, SIZE_MAX, &entries, err);
    if (status == KT_OK) {
        status = kt_store_apply(story->store, entries.items, entries.count, NULL, err);
    }
    kt_entries_done(&entries);
    return status;
}

static enum kt_status open_store(struct story *story, struct kt_error *err)
{
    struct kt_store_options options = {.path = story->path, .read_connections = 2};
    return story->store ? KT_OK : kt_store_open(&options, &story->store, err);
}

static enum kt_status load(struct story *story, struct kt_error *err)
{
    struct kt_series *series = NULL;
    uint64_t revision;
    struct kt_epoch *epochs = NULL;
    size_t count;
    enum kt_status status = kt_store_load_series(story->store, 0, &series, err);
    kt_series_unref(&series);
    if (status == KT_OK) {
        status = kt_store_revision_at(story->store, 5000, &revision, err);
    }
    if (status == KT_OK) {
        status = kt_store_epochs(story->store, &epochs, &count, err);
        kt_free(epochs);
    }
    return status;
}

static enum kt_status run_step(struct story *story, struct kt_error *err)
{
    static const struct kt_store_kept joined = {
        .cluster_id = "00000000000000aa", .config_json = {"{}", 2}, .epoch = 1};
    struct kt_store_kept kept;
    struct kt_buf memory;
    enum kt_status status;
    switch (story->step) {
    case 0:
        return append(story, 1, 1, err);
    case 1:
        return kt_store_keep(story->store, &joined, err);
    case 2:
        kt_buf_init(&memory, 0);
        status = kt_store_read_kept(story->store, &kept, &memory, err);
        kt_buf_done(&memory);
        return status;
    case 3:
    case 5:
        return apply(story, err);
    case 4:
        return append(story, 2, 2, err);
    case 6:
        return load(story, err);
    default:
        status = append(story, 4, 1, err);
        return status == KT_OK ? apply(story, err) : status;
    }
}

/* Goes on from story->step as far as nothing fails. */
static enum kt_status run_steps(struct story *story, struct kt_error *err)
{
    enum kt_status status = open_store(story, err);
    while (status == KT_OK && story->step < STEPS) {
        status = run_step(story, err);
        story->step += status == KT_OK;
    }
    return status;
}

static void check_end(struct story *story)
{
    CHECK_INT(kt_store_applied(story->store), 4);
    CHECK_STR(help_tell(story->store, "s", ALL_D, ALL_W), "10/ D=103 a=3 key1=1 key2=2 key3=3");
    CHECK_STR(help_tell(story->store, "key3", ALL_D, ALL_W), "3/Q a=3");
    CHECK_STR(help_tell(story->store, "s", ALL_D, 2), "10/ D=101 a=1 key1=1");
    struct kt_catalogue *view = kt_store_view(story->store);
    const struct kt_subject *s = kt_catalogue_find_subject(view, KT_STR("s"));
    const struct kt_topic *pool = kt_catalogue_find_topic(view, KT_STR("pool"));
    CHECK_SLICE(s->name, "name3");
    CHECK_INT(s->stay_count, 1);
    CHECK_INT(s->tag_count, 2);
    CHECK_INT(s->changed_revision, 4);
    CHECK_INT(pool->member_count, 1);
    CHECK_INT(kt_catalogue_record_count(view), 4);
    CHECK_INT(kt_catalogue_indicator_count(view), 4);
    CHECK_INT(kt_catalogue_subject_count(view), 4);
    kt_catalogue_unref(&view);
}

/* One run with the nth call failing; false when the run made fewer calls. */
static bool run_with_fault(enum kt_fault kind, uint64_t nth, bool sticky, bool restart)
{
    struct kt_error err = KT_ERROR_INIT;
    struct story story = {.path = help_path()};
    write_bodies(&story);
    kt_fault_set(kind, nth, sticky);
    enum kt_status status = run_steps(&story, &err);
    bool reached = kt_fault_calls(kind) >= nth;
    kt_fault_set(kind, 0, 0);
    /* Unavailable: to be read once what is shown is in the file again. */
    if (status != KT_OK && status != KT_IO && status != KT_NO_MEMORY && status != KT_UNAVAILABLE) {
        kt_test_fail(__FILE__, __LINE__, "call %d: %s", (int)nth, err.message);
    }
    if (restart) {
        kt_store_close(&story.store);
    }
    status = run_steps(&story, &err);
    if (status != KT_OK) {
        kt_test_fail(__FILE__, __LINE__, "after call %d failed: %s", (int)nth, err.message);
    } else {
        check_end(&story);
        kt_store_close(&story.store);
        status = open_store(&story, &err);
        if (status == KT_OK) {
            check_end(&story);
        } else {
            kt_test_fail(__FILE__, __LINE__, "after call %d: %s", (int)nth, err.message);
        }
    }
    kt_store_close(&story.store);
    for (int i = 0; i < 4; i++) {
        kt_buf_done(&story.bodies[i]);
    }
    return reached;
}

static void walk(enum kt_fault kind, bool sticky, bool restart)
{
    uint64_t step = kt_test_is_slow() ? 7 : 1;
    for (uint64_t nth = 1; run_with_fault(kind, nth, sticky, restart); nth += step) {
    }
}

static void any_failing_call_to_sqlite_leaves_a_store_that_goes_on(void)
{
    walk(KT_FAULT_IO, false, false);
}

static void any_failing_call_to_sqlite_leaves_files_that_open_again(void)
{
    walk(KT_FAULT_IO, true, true);
}

static void any_failing_allocation_leaves_a_store_that_goes_on(void)
{
    walk(KT_FAULT_ALLOC, false, false);
}

static void any_failing_allocation_leaves_files_that_open_again(void)
{
    walk(KT_FAULT_ALLOC, true, true);
}

/* --- deletes and requests: one transaction with all of them, failing at each call --- */

enum { WRITES = 6 };

struct writes {
    struct kt_store *store;
    struct kt_buf bodies[WRITES];
    struct kt_entry entries[WRITES];
};

static void put_delete(struct kt_buf *body, const char *key, bool all, bool conditional)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_str subject = kt_str(key), period = KT_STR("Q");
    struct kt_change_delete what = {.subjects = &subject,
                                    .subject_count = 1,
                                    .all = all,
                                    .from_s = 0,
                                    .to_s = 9,
                                    .periods = &period,
                                    .period_count = all ? 0 : 1,
                                    .has_if_revision = conditional,
                                    .if_revision = 1};
    if (kt_change_encode_delete(&what, body, &err) != KT_OK) {
        help_fatal("encode", &err);
    }
}

/* 2: a save; 3: it takes one record; 4: the same request again; 5: refused by its condition;
 * 6: drops a subject; 7: which comes again. */
static void begin_writes(struct writes *w)
{
    struct kt_error err = KT_ERROR_INIT;
    static const char *const keys[WRITES] = {"", "k", "k", "c", "", ""};
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    struct kt_change_stay stay = {KT_STR("pool"), 0, 9};
    struct kt_change_subject gone = {
        .key = KT_STR("gone"), .topics_mode = KT_TOPICS_EDIT, .stays = &stay, .stay_count = 1};
    memset(w, 0, sizeof(*w));
    w->store = help_new();
    for (int i = 0; i < WRITES; i++) {
        kt_buf_init(&w->bodies[i], 0);
    }
    help_add(builder, &(struct help_record){"s", 1, "Q", HELP_NO_D, "a", 1});
    help_add(builder, &(struct help_record){"s", 2, "H", HELP_NO_D, "a", 2});
    help_add(builder, &(struct help_record){"gone", 2, "Q", HELP_NO_D, "a", 3});
    if (kt_change_add_subject(builder, &gone, &err) != KT_OK ||
        kt_change_encode(builder, &w->bodies[0], &err) != KT_OK) {
        help_fatal("encode", &err);
    }
    put_delete(&w->bodies[1], "s", false, false);
    put_delete(&w->bodies[2], "s", false, false);
    put_delete(&w->bodies[3], "s", true, true);
    put_delete(&w->bodies[4], "gone", true, false);
    kt_change_builder_reset(builder);
    help_add(builder, &(struct help_record){"gone", 7, "", HELP_NO_D, "a", 7});
    if (kt_change_encode(builder, &w->bodies[5], &err) != KT_OK) {
        help_fatal("encode", &err);
    }
    kt_change_builder_free(&builder);
    for (size_t i = 0; i < WRITES; i++) {
        w->entries[i] =
            (struct kt_entry){2 + i, 1, 5000, kt_str(keys[i]), kt_buf_str(&w->bodies[i])};
    }
    if (kt_store_log_append(w->store, w->entries, WRITES, 7, &err) != KT_OK) {
        help_fatal("append", &err);
    }
}

static void check_writes(struct kt_store *store)
{
    struct kt_catalogue *view = kt_store_view(store);
    const struct kt_topic *pool = kt_catalogue_find_topic(view, KT_STR("pool"));
    CHECK_INT(kt_catalogue_revision(view), 7);
    CHECK_INT(kt_catalogue_record_count(view), 2);
    CHECK_INT(kt_catalogue_subject_count(view), 2);
    CHECK(pool && pool->member_count == 0);
    kt_catalogue_unref(&view);
    CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), "2/H a=2");
    CHECK_STR(help_tell(store, "gone", ALL_D, ALL_W), "7/ a=7");
}

static bool writes_with_fault(enum kt_fault kind, uint64_t nth)
{
    struct kt_error err = KT_ERROR_INIT;
    struct writes w;
    struct kt_apply_result results[WRITES];
    begin_writes(&w);
    kt_fault_set(kind, nth, false);
    enum kt_status status = kt_store_apply(w.store, w.entries, WRITES, results, &err);
    bool reached = kt_fault_calls(kind) >= nth;
    kt_fault_set(kind, 0, 0);
    if (status != KT_OK) {
        if (kt_store_applied(w.store) != 1 || (status != KT_IO && status != KT_NO_MEMORY)) {
            kt_test_fail(__FILE__, __LINE__, "call %d: %s", (int)nth, err.message);
        }
        status = kt_store_apply(w.store, w.entries, WRITES, results, &err);
    }
    if (status != KT_OK) {
        kt_test_fail(__FILE__, __LINE__, "after call %d failed: %s", (int)nth, err.message);
    } else {
        static const struct {
            enum kt_status status;
            uint64_t revision;
            uint32_t records;
        } want[WRITES] = {{KT_OK, 2, 3},      {KT_OK, 3, 1}, {KT_OK, 3, 1},
                          {KT_CHANGED, 5, 0}, {KT_OK, 6, 1}, {KT_OK, 7, 1}};
        for (int i = 0; i < WRITES; i++) {
            if (results[i].status != want[i].status || results[i].revision != want[i].revision ||
                results[i].records != want[i].records) {
                kt_test_fail(__FILE__, __LINE__, "after call %d entry %d gives %s", (int)nth, i + 2,
                             kt_status_name(results[i].status));
            }
        }
        check_writes(w.store);
    }
    kt_store_close(&w.store);
    for (int i = 0; i < WRITES; i++) {
        kt_buf_done(&w.bodies[i]);
    }
    return reached;
}

static void a_failure_anywhere_in_deletes_and_requests_leaves_the_data_as_it_was(void)
{
    uint64_t step = kt_test_is_slow() ? 7 : 1;
    for (uint64_t nth = 1; writes_with_fault(KT_FAULT_IO, nth); nth += step) {
    }
    for (uint64_t nth = 1; writes_with_fault(KT_FAULT_ALLOC, nth); nth += step) {
    }
}

static const struct kt_test tests[] = {
    TEST(a_failure_anywhere_in_deletes_and_requests_leaves_the_data_as_it_was),
    TEST(any_failing_call_to_sqlite_leaves_a_store_that_goes_on),
    TEST(any_failing_call_to_sqlite_leaves_files_that_open_again),
    TEST(any_failing_allocation_leaves_a_store_that_goes_on),
    TEST(any_failing_allocation_leaves_files_that_open_again),
};
KT_TEST_MAIN(tests)

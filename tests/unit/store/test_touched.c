/* SPDX-License-Identifier: MIT */
/* test_touched.c - which subjects and topics each revision touched. */
#include "store/touched.h"
#include "tests/unit/store/memory_disk.h"
#include "tests/unit/store/store_help.h"

#include <sqlite3.h>

/* --- changes in one line: "a:p,q b: c" saves a in p and q, b in no topic, and a record of c --- */

static struct kt_str text_of(const char **at, const char *ends)
{
    size_t len = strcspn(*at, ends);
    struct kt_str text = kt_str_n(*at, len);
    *at += len;
    return text;
}

static void encode(const char *line, struct kt_buf *bytes)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change_builder *builder = kt_change_builder_new(16 << 20);
    while (*line) {
        struct kt_change_stay stays[8];
        struct kt_change_subject subject = {.key = text_of(&line, ": "), .stays = stays};
        if (*line == ':') {
            subject.topics_mode = KT_TOPICS_REPLACE;
            for (line++; *line && *line != ' '; line += *line == ',') {
                stays[subject.stay_count++] =
                    (struct kt_change_stay){text_of(&line, ", "), KT_TIME_MIN, KT_TIME_MAX};
            }
            if (kt_change_add_subject(builder, &subject, &err) != KT_OK) {
                help_fatal("subject", &err);
            }
        } else {
            char key[64];
            kt_str_copy(key, sizeof(key), subject.key);
            help_add(builder, &(struct help_record){key, 1, "", HELP_NO_D, "v", 1});
        }
        line += *line == ' ';
    }
    if (kt_change_encode(builder, bytes, &err) != KT_OK) {
        help_fatal("encode", &err);
    }
    kt_change_builder_free(&builder);
}

static void commit(struct kt_store *store, const char *line, bool apply)
{
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    encode(line, &bytes);
    help_commit(store, kt_buf_str(&bytes), apply);
    kt_buf_done(&bytes);
}

/* --- rows as text --- */

struct telling {
    char text[4096];
    size_t used, left;
};

static bool tell_row(void *ctx, uint64_t revision, struct kt_str subjects, struct kt_str topics)
{
    struct telling *t = ctx;
    t->used +=
        (size_t)snprintf(t->text + t->used, sizeof(t->text) - t->used,
                         "%s%llu " KT_STR_FMT " " KT_STR_FMT, t->used ? "; " : "",
                         (unsigned long long)revision, KT_STR_ARG(subjects), KT_STR_ARG(topics));
    return --t->left > 0;
}

static const char *tell(struct kt_store *store, uint64_t after, size_t limit)
{
    static struct telling t;
    struct kt_error err = KT_ERROR_INIT;
    t = (struct telling){.left = limit};
    enum kt_status status =
        kt_store_touched(store, after, kt_store_applied(store), tell_row, &t, &err);
    return status == KT_OK ? t.text : kt_status_name(status);
}

static const char *const story[] = {"a:p,q b", "a:q,r", "a b c:q", "a:", "c b:x c:q,x a"};
static const char *const story_rows =
    "2 [\"a\",\"b\"] [\"p\",\"q\"]; 3 [\"a\"] [\"p\",\"q\",\"r\"]; 4 [\"c\",\"a\",\"b\"] "
    "[\"q\",\"r\"]; 5 [\"a\"] [\"q\",\"r\"]; 6 [\"b\",\"c\",\"a\"] [\"x\",\"q\"]";

static void a_revision_touches_its_subjects_and_their_topics_before_and_after(void)
{
    struct kt_store *store = help_new();
    for (size_t i = 0; i < KT_ARRAY_LEN(story); i++) {
        commit(store, story[i], true);
    }
    CHECK_STR(tell(store, 1, 100), story_rows);
    CHECK_STR(tell(store, 0, 1), "1 [] []"); /* an epoch-start */
    CHECK_STR(tell(store, 2, 1), "3 [\"a\"] [\"p\",\"q\",\"r\"]");
    CHECK_STR(tell(store, 6, 1), "");
    CHECK_STR(tell(store, 9, 1), "");
    kt_store_close(&store);
}

/* Rows are part of the data: how the entries came together makes no difference. */
static void rows_are_the_same_by_batch_one_by_one_and_by_redo(void)
{
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    struct kt_error err = KT_ERROR_INIT;
    help_found(store, 4096);
    for (size_t i = 0; i < KT_ARRAY_LEN(story); i++) {
        commit(store, story[i], false);
    }
    struct kt_entries entries = {0};
    CHECK_OK(kt_store_log_read(store, 1, UINT64_MAX, SIZE_MAX, &entries, &err));
    CHECK_OK(kt_store_apply(store, entries.items, entries.count, NULL, &err));
    CHECK_STR(tell(store, 1, 100), story_rows);
    kt_entries_done(&entries);
    commit(store, "d:x", false);
    kt_store_close(&store);
    store = help_open(path);
    CHECK_STR(tell(store, 6, 100), "7 [\"d\"] [\"x\"]");
    kt_store_close(&store);
    store = help_open(path);
    CHECK_STR(tell(store, 1, 5), story_rows);
    kt_store_close(&store);
}

static void erase(struct kt_store *store, const char *key, bool all)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_str subjects[] = {kt_str(key), KT_STR("nobody")};
    struct kt_change_delete change = {.subjects = subjects,
                                      .subject_count = 2,
                                      .all = all,
                                      .from_s = KT_TIME_MIN,
                                      .to_s = KT_TIME_MAX};
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    if (kt_change_encode_delete(&change, &bytes, &err) != KT_OK) {
        help_fatal("encode", &err);
    }
    help_commit(store, kt_buf_str(&bytes), true);
    kt_buf_done(&bytes);
}

static void what_goes_was_touched_too(void)
{
    struct kt_store *store = help_new();
    commit(store, "a:p,q a b:q b", true);
    erase(store, "a", false);
    erase(store, "a", false); /* nothing is left to go */
    erase(store, "b", true);
    erase(store, "a", true);
    commit(store, "a:r", true);
    CHECK_STR(tell(store, 2, 100), "3 [\"a\"] [\"p\",\"q\"]; 4 [] []; 5 [\"b\"] [\"q\"]; "
                                   "6 [\"a\"] [\"p\",\"q\"]; 7 [\"a\"] [\"r\"]");
    kt_store_close(&store);
}

/* topics_remove and topics_add of one request. */
static void a_topic_that_is_left_or_joined_is_touched(void)
{
    struct kt_store *store = help_new();
    struct kt_error err = KT_ERROR_INIT;
    struct kt_str leaves[] = {KT_STR("q"), KT_STR("none")};
    struct kt_change_stay stay = {KT_STR("r"), 5, 9};
    struct kt_change_subject subject = {.key = KT_STR("a"),
                                        .topics_mode = KT_TOPICS_EDIT,
                                        .stays = &stay,
                                        .stay_count = 1,
                                        .leaves = leaves,
                                        .leave_count = 2};
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    commit(store, "a:p,q", true);
    CHECK_OK(kt_change_add_subject(builder, &subject, &err));
    help_commit_builder(store, builder);
    commit(store, "a", true);
    CHECK_STR(tell(store, 2, 2), "3 [\"a\"] [\"p\",\"q\",\"r\"]; 4 [\"a\"] [\"p\",\"r\"]");
    kt_change_builder_free(&builder);
    kt_store_close(&store);
}

/* The second of two requests with one key changes nothing. */
static void a_repeated_request_touches_nothing(void)
{
    struct kt_store *store = help_new();
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    encode("a:p", &bytes);
    for (uint64_t seq = 2; seq <= 3; seq++) {
        struct kt_entry entry = {seq, 1, (int64_t)seq * 1000, KT_STR("key"), kt_buf_str(&bytes)};
        struct kt_apply_result result;
        CHECK_OK(kt_store_log_append(store, &entry, 1, seq, &err));
        CHECK_OK(kt_store_apply(store, &entry, 1, &result, &err));
        CHECK_INT(result.revision, 2);
    }
    CHECK_STR(tell(store, 1, 9), "2 [\"a\"] [\"p\"]; 3 [] []");
    kt_buf_done(&bytes);
    kt_store_close(&store);
}

static void what_was_refused_and_what_is_no_subject_touches_nothing(void)
{
    struct kt_store *store = help_open(help_path());
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    help_found(store, 1);
    commit(store, "a:p", true);
    CHECK_INT(SAVE(store, {"a", 1, "", HELP_NO_D, "x", 1, "y", 1}).status, KT_BAD_VALUE);
    struct kt_generic_change change = {.table = 1, .id = KT_STR("a")};
    kt_generic_encode(&change, NULL, &bytes);
    help_commit(store, kt_buf_str(&bytes), true);
    kt_buf_clear(&bytes);
    help_epoch_body(&bytes, false, 0);
    struct kt_error err = KT_ERROR_INIT;
    struct kt_entry start = {5, 2, 9000, KT_STR(""), kt_buf_str(&bytes)};
    CHECK_OK(kt_store_log_append(store, &start, 1, 5, &err));
    CHECK_OK(kt_store_apply(store, &start, 1, NULL, &err));
    CHECK_STR(tell(store, 1, 100), "2 [\"a\"] [\"p\"]; 3 [] []; 4 [] []; 5 [] []");
    kt_buf_done(&bytes);
    kt_store_close(&store);
}

static void names_are_escaped(void)
{
    struct kt_store *store = help_new();
    commit(store, "a\"\\b:\xe6\xb1\xa0,q/\"", true);
    CHECK_STR(tell(store, 1, 1), "2 [\"a\\\"\\\\b\"] [\"\xe6\xb1\xa0\",\"q/\\\"\"]");
    kt_store_close(&store);
}

static void a_list_that_is_too_long_is_everything(void)
{
    struct kt_store *store = help_new();
    struct kt_buf line;
    kt_buf_init(&line, 0);
    for (int over = 0; over < 2; over++) {
        kt_buf_clear(&line);
        for (int i = 0; i < KT_TOUCHED_NAMES_MAX + over; i++) {
            kt_buf_printf(&line, "s%d:t%d ", i, over ? i : 0);
        }
        commit(store, line.data, true);
    }
    struct telling *t = calloc(1, sizeof(*t));
    struct kt_error err = KT_ERROR_INIT;
    t->left = 1;
    CHECK_OK(kt_store_touched(store, 2, 3, tell_row, t, &err));
    CHECK_STR(t->text, "3 \"*\" \"*\"");
    *t = (struct telling){.left = 1};
    CHECK_OK(kt_store_touched(store, 1, 2, tell_row, t, &err));
    CHECK(strncmp(t->text, "2 [\"s0\",\"s1\",", 12) == 0);
    commit(store, "s0", true);
    CHECK_STR(tell(store, 3, 1), "4 [\"s0\"] [\"t0\"]");
    /* Long names: bytes are bounded too. */
    kt_buf_clear(&line);
    for (int i = 0; i < 600; i++) {
        kt_buf_printf(&line, "%060d:one ", i);
    }
    commit(store, line.data, true);
    CHECK_STR(tell(store, 4, 1), "5 \"*\" [\"one\"]");
    free(t);
    kt_buf_done(&line);
    kt_store_close(&store);
}

static void on_file(const char *path, const char *sql)
{
    struct sqlite3 *db = NULL;
    struct kt_error err = KT_ERROR_INIT;
    if (sqlite3_open(path, &db) != SQLITE_OK ||
        sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        (void)kt_fail(&err, KT_IO, "%s", sqlite3_errmsg(db));
        help_fatal(sql, &err);
    }
    sqlite3_close(db);
}

static void beyond_the_log_it_is_gone(void)
{
    const char *path = help_path();
    char log[400];
    snprintf(log, sizeof(log), "%.*s.log.db", (int)strlen(path) - 3, path);
    struct kt_store *store = help_open(path);
    help_found(store, 4096);
    for (size_t i = 0; i < KT_ARRAY_LEN(story); i++) {
        commit(store, story[i], true);
    }
    kt_store_close(&store);
    on_file(log, "DELETE FROM entry WHERE seq<4");
    store = help_open(path);
    CHECK_STR(tell(store, 2, 1), "GONE");
    CHECK_STR(tell(store, 3, 1), "4 [\"c\",\"a\",\"b\"] [\"q\",\"r\"]");
    on_file(path, "DELETE FROM touched WHERE seq=4 OR seq=6");
    CHECK_STR(tell(store, 3, 9), "GONE");
    CHECK_STR(tell(store, 4, 1), "5 [\"a\"] [\"q\",\"r\"]");
    CHECK_STR(tell(store, 4, 9), "GONE");
    CHECK_STR(tell(store, 5, 9), "GONE");
    kt_store_close(&store);
}

static void damage_in_the_file_is_told(void)
{
    static const char *const damages[] = {
        "[\"a\"",       "\"a\"]",    "[a]",      "[\"a\",]",   "[,]",      "\"**\"", "",
        "[\"a\"\"b\"]", "[\"a\\\"]", "[\"a\"]x", "[\"\xff\"]", "[\"\n\"]", "["};
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    help_found(store, 4096);
    commit(store, "a:p", true);
    struct kt_error err = KT_ERROR_INIT;
    CHECK_OK(kt_store_flush(store, &err));
    for (size_t i = 0; i < 2 * KT_ARRAY_LEN(damages); i++) {
        char *sql = sqlite3_mprintf("UPDATE touched SET subjects='[]',topics='[]';"
                                    "UPDATE touched SET %s=%Q",
                                    i % 2 ? "subjects" : "topics", damages[i / 2]);
        on_file(path, sql);
        sqlite3_free(sql);
        if (strcmp(tell(store, 1, 1), "CORRUPT") != 0) {
            kt_test_fail(__FILE__, __LINE__, "accepted: %s", damages[i / 2]);
        }
    }
    kt_store_close(&store);
}

static void no_failure_loses_a_topic(void)
{
    static const enum kt_fault kinds[] = {KT_FAULT_ALLOC, KT_FAULT_IO};
    for (size_t k = 0; k < KT_ARRAY_LEN(kinds); k++) {
        for (uint64_t nth = 1, failed = 1; failed; nth++) {
            struct kt_error err = KT_ERROR_INIT;
            struct kt_store *store = help_new();
            for (size_t i = 0; i < KT_ARRAY_LEN(story); i++) {
                commit(store, story[i], false);
            }
            struct kt_entries entries = {0};
            CHECK_OK(kt_store_log_read(store, 1, UINT64_MAX, SIZE_MAX, &entries, &err));
            kt_fault_set(kinds[k], nth, 0);
            enum kt_status status = kt_store_apply(store, entries.items, entries.count, NULL, &err);
            kt_fault_set(kinds[k], 0, 0);
            failed = status != KT_OK;
            if (failed) {
                CHECK_OK(kt_store_apply(store, entries.items, entries.count, NULL, &err));
            }
            CHECK_STR(tell(store, 1, 100), story_rows);
            kt_entries_done(&entries);
            kt_store_close(&store);
        }
    }
}

static const struct kt_test tests[] = {
    TEST(a_revision_touches_its_subjects_and_their_topics_before_and_after),
    TEST(rows_are_the_same_by_batch_one_by_one_and_by_redo),
    TEST(what_goes_was_touched_too),
    TEST(a_topic_that_is_left_or_joined_is_touched),
    TEST(a_repeated_request_touches_nothing),
    TEST(what_was_refused_and_what_is_no_subject_touches_nothing),
    TEST(names_are_escaped),
    TEST(a_list_that_is_too_long_is_everything),
    TEST(beyond_the_log_it_is_gone),
    TEST(damage_in_the_file_is_told),
    TEST(no_failure_loses_a_topic),
};
KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
/* Three times: what a record says within bounds of declare time and revision. */
#include "tests/unit/store/store_help.h"

#define D HELP_NO_D

/* One line of the table: up to four saves (each one revision, the first is 2), then questions. */
struct question {
    int64_t as_of_s;
    uint64_t revision;
    const char *answer;
};
struct time_case {
    const char *what;
    struct help_record saves[6];
    int save_of[6]; /* which revision (2…) each record belongs to */
    struct question questions[8];
};

static const struct time_case cases[] = {
    {"a restatement",
     {{"s", 100, "", 300, "a", 1}, {"s", 100, "", 600, "a", 2}},
     {2, 3},
     {{ALL_D, ALL_W, "100/ D=600 a=2"},
      {599, ALL_W, "100/ D=300 a=1"},
      {600, ALL_W, "100/ D=600 a=2"},
      {ALL_D, 2, "100/ D=300 a=1"},
      {299, ALL_W, ""},
      {ALL_D, 1, ""}}},
    {"an old fact recorded late",
     {{"s", 100, "", 600, "a", 2}, {"s", 100, "", 300, "a", 1}},
     {2, 3},
     {{ALL_D, ALL_W, "100/ D=600 a=2"},
      {599, ALL_W, "100/ D=300 a=1"},
      {599, 2, ""},
      {ALL_D, 2, "100/ D=600 a=2"}}},
    {"a later version that names less",
     {{"s", 100, "", 300, "a", 1, "b", 5}, {"s", 100, "", 600, "a", 2}},
     {2, 3},
     {{ALL_D, ALL_W, "100/ D=600 a=2 b=5"}, {300, ALL_W, "100/ D=300 a=1 b=5"}}},
    {"null clears from its declare time on",
     {{"s", 100, "", 300, "a", 1, "b", 5}, {"s", 100, "", 600, "a", HELP_NULL}},
     {2, 3},
     {{ALL_D, ALL_W, "100/ D=600 b=5"},
      {599, ALL_W, "100/ D=300 a=1 b=5"},
      {ALL_D, 2, "100/ D=300 a=1 b=5"}}},
    {"a value after a null stands again",
     {{"s", 100, "", 300, "a", 1},
      {"s", 100, "", 400, "a", HELP_NULL},
      {"s", 100, "", 500, "a", 3}},
     {2, 3, 4},
     {{ALL_D, ALL_W, "100/ D=500 a=3"},
      {450, ALL_W, "100/ D=400"},
      {ALL_D, 3, "100/ D=400"},
      {ALL_D, 2, "100/ D=300 a=1"}}},
    {"a null recorded late clears only before the later value",
     {{"s", 100, "", 500, "a", 3}, {"s", 100, "", 400, "a", HELP_NULL}},
     {2, 3},
     {{ALL_D, ALL_W, "100/ D=500 a=3"}, {450, ALL_W, "100/ D=400"}}},
    {"absent D is the record's own time at first",
     {{"s", 100, "", D, "a", 1}},
     {2},
     {{ALL_D, ALL_W, "100/ a=1"}, {100, ALL_W, "100/ a=1"}, {99, ALL_W, ""}}},
    {"absent D is the greatest D so far",
     {{"s", 100, "", 300, "a", 1}, {"s", 100, "", D, "a", 2}},
     {2, 3},
     {{ALL_D, ALL_W, "100/ D=300 a=2"},
      {300, ALL_W, "100/ D=300 a=2"},
      {299, ALL_W, ""},
      {300, 2, "100/ D=300 a=1"}}},
    {"absent D does not fall below a greater one",
     {{"s", 100, "", 600, "a", 1}, {"s", 100, "", 300, "a", 2}, {"s", 100, "", D, "a", 3}},
     {2, 3, 4},
     {{ALL_D, ALL_W, "100/ D=600 a=3"}, {599, ALL_W, "100/ D=300 a=2"}}},
    {"absent D counts an earlier line of the same save",
     {{"s", 100, "", 300, "a", 1}, {"s", 100, "", D, "a", 2}},
     {2, 2},
     {{ALL_D, ALL_W, "100/ D=300 a=2"}, {299, ALL_W, ""}}},
    {"absent D does not count a later line",
     {{"s", 100, "", D, "a", 2}, {"s", 100, "", 300, "a", 1}},
     {2, 2},
     {{ALL_D, ALL_W, "100/ D=300 a=1"}, {299, ALL_W, "100/ a=2"}}},
    {"lines of one revision count in order",
     {{"s", 100, "", 300, "a", 1}, {"s", 100, "", 300, "a", 2}, {"s", 100, "", 300, "b", 3}},
     {2, 2, 2},
     {{ALL_D, ALL_W, "100/ D=300 a=2 b=3"}}},
    {"a null on a later line wins",
     {{"s", 100, "", 300, "a", 1}, {"s", 100, "", 300, "a", HELP_NULL}},
     {2, 2},
     {{ALL_D, ALL_W, "100/ D=300"}}},
    {"the same D twice: the later revision wins",
     {{"s", 100, "", 300, "a", 1}, {"s", 100, "", 300, "a", 2}},
     {2, 3},
     {{ALL_D, ALL_W, "100/ D=300 a=2"}, {ALL_D, 2, "100/ D=300 a=1"}}},
    {"periods of one time are records of their own, in byte order",
     {{"s", 100, "Q4", D, "a", 1}, {"s", 100, "FY", D, "a", 2}, {"s", 100, "", D, "a", 3}},
     {2, 2, 2},
     {{ALL_D, ALL_W, "100/ a=3; 100/FY a=2; 100/Q4 a=1"}}},
    {"bytes above 127 sort last",
     {{"s", 100, "\xe5\xb9\xb4", D, "a", 1}, {"s", 100, "z", D, "a", 2}},
     {2, 2},
     {{ALL_D, ALL_W, "100/z a=2; 100/\xe5\xb9\xb4 a=1"}}},
    {"negative times come first",
     {{"s", 0, "", D, "a", 1}, {"s", -6911136000, "", D, "a", 2}},
     {2, 3},
     {{ALL_D, ALL_W, "-6911136000/ a=2; 0/ a=1"},
      {-1, ALL_W, "-6911136000/ a=2"},
      {-6911136000, ALL_W, "-6911136000/ a=2"}}},
    {"the ends of time",
     {{"s", KT_TIME_MIN, "", D, "a", 1}, {"s", KT_TIME_MAX, "", D, "a", 2}},
     {2, 2},
     {{ALL_D, ALL_W, "-62135596800/ a=1; 253402300799/ a=2"},
      {KT_TIME_MIN, ALL_W, "-62135596800/ a=1"}}},
    {"declared before its time",
     {{"s", 100, "", 50, "a", 1}},
     {2},
     {{ALL_D, ALL_W, "100/ D=50 a=1"}, {50, ALL_W, "100/ D=50 a=1"}, {49, ALL_W, ""}}},
    {"a record that names nothing exists",
     {{"s", 100, "", D}},
     {2},
     {{ALL_D, ALL_W, "100/"}, {99, ALL_W, ""}}},
    {"a record exists when the first of its versions does",
     {{"s", 100, "", 300, "a", 1}, {"s", 100, "", 200}},
     {2, 3},
     {{250, ALL_W, "100/ D=200"}, {250, 2, ""}, {ALL_D, ALL_W, "100/ D=300 a=1"}}},
    {"D of 1970 is a given D",
     {{"s", -100, "", 0, "a", 1}},
     {2},
     {{ALL_D, ALL_W, "-100/ D=0 a=1"}, {-1, ALL_W, ""}}},
    {"the greatest given D is told, not a greater absent one",
     {{"s", 100, "", D, "a", 1}, {"s", 100, "", 50, "a", 2}},
     {2, 3},
     {{ALL_D, ALL_W, "100/ D=50 a=1"}, {99, ALL_W, "100/ D=50 a=2"}}},
    {"end_date follows the value rule",
     {{"s", 100, "", 300, "a", 1, .end_date = "1970-01-02"},
      {"s", 100, "", 400, "a", 2},
      {"s", 100, "", 500, .end_date = ""}},
     {2, 3, 4},
     {{ALL_D, ALL_W, "100/ D=500 a=2"},
      {450, ALL_W, "100/ D=400 end=1970-01-02 a=2"},
      {300, ALL_W, "100/ D=300 end=1970-01-02 a=1"},
      {ALL_D, 3, "100/ D=400 end=1970-01-02 a=2"}}},
    {"both bounds at once",
     {{"s", 100, "", 300, "a", 1},
      {"s", 100, "", 600, "a", 2},
      {"s", 100, "", 300, "a", 3},
      {"s", 100, "", 600, "a", 4}},
     {2, 3, 4, 5},
     {{ALL_D, ALL_W, "100/ D=600 a=4"},
      {300, ALL_W, "100/ D=300 a=3"},
      {300, 3, "100/ D=300 a=1"},
      {600, 3, "100/ D=600 a=2"},
      {600, 4, "100/ D=600 a=2"},
      {ALL_D, 2, "100/ D=300 a=1"}}},
};

static void run_case(const struct time_case *c, bool reopen)
{
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    help_found(store, 4096);
    for (int i = 0; i < 6 && c->save_of[i];) {
        int end = i + 1;
        while (end < 6 && c->save_of[end] == c->save_of[i]) {
            end++;
        }
        struct kt_apply_result result = help_save(store, &c->saves[i], (size_t)(end - i));
        CHECK_INT(result.status, KT_OK);
        CHECK_INT(result.seq, c->save_of[i]);
        i = end;
    }
    if (reopen) {
        kt_store_close(&store);
        store = help_open(path);
    }
    for (int i = 0; i < 8 && c->questions[i].answer; i++) {
        const struct question *q = &c->questions[i];
        const char *told = help_tell(store, "s", q->as_of_s, q->revision);
        if (strcmp(told, q->answer) != 0) {
            kt_test_fail(__FILE__, __LINE__, "%s: as_of %lld recorded_by %llu: \"%s\", not \"%s\"",
                         c->what, (long long)q->as_of_s, (unsigned long long)q->revision, told,
                         q->answer);
        }
    }
    kt_store_close(&store);
}

static void every_case_of_the_three_times_answers_as_written(void)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        run_case(&cases[i], false);
    }
}

static void every_case_answers_the_same_after_a_restart(void)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        run_case(&cases[i], true);
    }
}

static void absent_d_counts_earlier_entries_of_the_same_transaction(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = help_new();
    const struct help_record records[3] = {
        {"s", 100, "", 300, "a", 1}, {"s", 100, "", D, "a", 2}, {"s", 100, "", D, "a", 3}};
    struct kt_buf bytes[3];
    struct kt_entry entries[3];
    for (int i = 0; i < 3; i++) {
        struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
        help_add(builder, &records[i]);
        kt_buf_init(&bytes[i], 0);
        CHECK_OK(kt_change_encode(builder, &bytes[i], &err));
        kt_change_builder_free(&builder);
        entries[i] = (struct kt_entry){(uint64_t)i + 2, 1, 5000, KT_STR(""), kt_buf_str(&bytes[i])};
    }
    CHECK_OK(kt_store_log_append(store, entries, 3, 4, &err));
    struct kt_apply_result results[3];
    CHECK_OK(kt_store_apply(store, entries, 3, results, &err));
    CHECK_INT(results[2].seq, 4);
    CHECK_INT(results[2].records, 1);
    CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), "100/ D=300 a=3");
    CHECK_STR(help_tell(store, "s", 299, ALL_W), "");
    CHECK_STR(help_tell(store, "s", ALL_D, 3), "100/ D=300 a=2");
    struct kt_catalogue *view = kt_store_view(store);
    CHECK_INT(kt_catalogue_record_count(view), 1);
    kt_catalogue_unref(&view);
    for (int i = 0; i < 3; i++) {
        kt_buf_done(&bytes[i]);
    }
    kt_store_close(&store);
}

static void a_revision_is_found_by_its_wall_time(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = help_new();
    for (int i = 0; i < 3; i++) {
        SAVE(store, {"s", i, "", D, "a", 1});
    }
    uint64_t revision = 99;
    CHECK_OK(kt_store_revision_at(store, 999, &revision, &err));
    CHECK_INT(revision, 0);
    CHECK_OK(kt_store_revision_at(store, 1000, &revision, &err));
    CHECK_INT(revision, 1);
    CHECK_OK(kt_store_revision_at(store, 3999, &revision, &err));
    CHECK_INT(revision, 3);
    CHECK_OK(kt_store_revision_at(store, INT64_MAX, &revision, &err));
    CHECK_INT(revision, 4);
    kt_store_close(&store);
}

/* A request that repeats one record must not make every later question read all of its lines. */
static void lines_of_one_revision_fold_into_one_version(void)
{
    static struct help_record lines[3000];
    for (size_t i = 0; i < KT_ARRAY_LEN(lines); i++) {
        /* Two declare times by turns; the last word of each is known. */
        lines[i] =
            (struct help_record){"s", 100, "", i % 2 ? 300 : 600, "a", (double)i, NULL, 0, NULL};
    }
    lines[2990].b_key = "b";
    lines[2990].b = 5;
    lines[2992].b_key = "b";
    lines[2992].b = HELP_NULL;
    lines[2995].b_key = "b";
    lines[2995].b = 7;
    struct kt_store *store = help_new();
    (void)help_save(store, lines, KT_ARRAY_LEN(lines));
    CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), "100/ D=600 a=2998");
    CHECK_STR(help_tell(store, "s", 599, ALL_W), "100/ D=300 a=2999 b=7");
    struct kt_series *series = help_series(store, "s");
    CHECK(kt_series_bytes(series) < 2048);
    kt_series_unref(&series);
    kt_store_close(&store);
}

static const struct kt_test tests[] = {
    TEST(lines_of_one_revision_fold_into_one_version),
    TEST(every_case_of_the_three_times_answers_as_written),
    TEST(every_case_answers_the_same_after_a_restart),
    TEST(absent_d_counts_earlier_entries_of_the_same_transaction),
    TEST(a_revision_is_found_by_its_wall_time),
};
KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
/* test_generic.c - generic series: bytes of a change, what apply makes of it, and finding them. */
#include "tests/unit/store/memory_disk.h"
#include "tests/unit/store/store_help.h"

#include <sqlite3.h>

/* --- changes in one line: "5=1,2.5 7= 9=3" (a time without numbers is taken away) --- */

static void encode(struct kt_buf *bytes, struct kt_generic_change *change, const char *points)
{
    static double numbers[4096];
    static struct kt_generic_point items[1024];
    size_t used = 0;
    change->point_count = 0;
    for (const char *at = points; at && *at;) {
        char *end;
        struct kt_generic_point *point = &items[change->point_count++];
        *point = (struct kt_generic_point){strtoll(at, &end, 10), numbers + used, 0};
        for (at = end; *at == '=' || *at == ','; at = end) {
            if (at[1] == ' ' || at[1] == '\0') {
                at++;
                break;
            }
            numbers[used++] = strtod(at + 1, &end);
            point->count++;
        }
        at += *at == ' ';
    }
    kt_generic_encode(change, items, bytes);
}

static struct kt_apply_result save(struct kt_store *store, int table, const char *id,
                                   const char *points)
{
    struct kt_generic_change change = {.table = table, .id = kt_str(id)};
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    encode(&bytes, &change, points);
    struct kt_apply_result result = help_commit(store, kt_buf_str(&bytes), true);
    kt_buf_done(&bytes);
    return result;
}

static struct kt_apply_result drop(struct kt_store *store, int table, const char *id)
{
    struct kt_generic_change change = {.is_delete = true, .table = table, .id = kt_str(id)};
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    kt_generic_encode(&change, NULL, &bytes);
    struct kt_apply_result result = help_commit(store, kt_buf_str(&bytes), true);
    kt_buf_done(&bytes);
    return result;
}

/* --- answers as text: "2/a 5=[1] 7=[2,3] created-updated; …", "+" at the end when there is more
 * --- */

static enum kt_status tell_series(void *ctx, int table, struct kt_str id, struct kt_error *err)
{
    struct kt_buf *text = ctx;
    (void)err;
    kt_buf_printf(text, "%s%d/" KT_STR_FMT, text->len_bytes ? "; " : "", table, KT_STR_ARG(id));
    return KT_OK;
}

static enum kt_status tell_point(void *ctx, int64_t time_s, struct kt_str numbers, size_t count,
                                 struct kt_error *err)
{
    (void)count, (void)err;
    kt_buf_printf(ctx, " %lld=" KT_STR_FMT, (long long)time_s, KT_STR_ARG(numbers));
    return KT_OK;
}

static enum kt_status tell_end(void *ctx, int64_t create_s, int64_t update_s, struct kt_error *err)
{
    (void)err;
    kt_buf_printf(ctx, " %lld-%lld", (long long)create_s, (long long)update_s);
    return KT_OK;
}

static enum kt_status search(struct kt_store *store, struct kt_generic_query query,
                             struct kt_buf *text, struct kt_error *err)
{
    struct kt_generic_sink sink = {tell_series, tell_point, tell_end, text};
    bool more = false;
    query.limit = query.limit ? query.limit : 100;
    query.deadline_mono_ms = query.deadline_mono_ms ? query.deadline_mono_ms : INT64_MAX;
    kt_buf_clear(text);
    enum kt_status status = kt_store_generic_search(store, &query, &sink, &more, err);
    kt_buf_append_text(text, more ? " +" : "");
    return status;
}

static const char *tell(struct kt_store *store, struct kt_generic_query query)
{
    static char told[4096];
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf text;
    kt_buf_init(&text, 0);
    if (search(store, query, &text, &err) != KT_OK) {
        kt_buf_clear(&text);
        kt_buf_append_text(&text, err.message);
    }
    kt_str_copy(told, sizeof(told), kt_buf_str(&text));
    kt_buf_done(&text);
    return told;
}

#define ALL(store) tell(store, (struct kt_generic_query){.table = 0})

/* --- bytes --- */

static void a_change_is_read_back_as_it_was_written(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_generic_change change = {.table = 3,
                                       .id = KT_STR("指数"),
                                       .create_given = true,
                                       .create_s = -5,
                                       .update_given = true,
                                       .update_s = KT_TIME_MAX};
    struct kt_change read;
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    encode(&bytes, &change, "-9=1.5,-2 0= 7=3");
    CHECK_INT(kt_change_kind_of(kt_buf_str(&bytes)), KT_CHANGE_GENERIC);
    CHECK_OK(kt_change_decode(kt_buf_str(&bytes), &read, &err));
    CHECK(!read.generic.is_delete && read.generic.table == 3);
    CHECK_SLICE(read.generic.id, "指数");
    CHECK(read.generic.create_given && read.generic.create_s == -5);
    CHECK(read.generic.update_given && read.generic.update_s == KT_TIME_MAX);
    CHECK_INT(read.generic.point_count, 3);
    struct kt_rd rd;
    struct kt_generic_point point;
    double numbers[KT_GENERIC_NUMBERS_MAX];
    kt_rd_init(&rd, read.generic.points.data, read.generic.points.len);
    kt_generic_points_next(&rd, numbers, &point);
    CHECK(point.time_s == -9 && point.count == 2 && numbers[0] == 1.5 && numbers[1] == -2);
    kt_generic_points_next(&rd, numbers, &point);
    CHECK(point.time_s == 0 && point.count == 0);
    kt_generic_points_next(&rd, numbers, &point);
    CHECK(point.time_s == 7 && point.count == 1 && !rd.bad && kt_rd_left(&rd) == 0);
    kt_change_done(&read);
    kt_buf_done(&bytes);
}

/* In a block of its own size, for the address sanitizer. */
static enum kt_status decode(const char *data, size_t len)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change change;
    char *exact = malloc(len ? len : 1);
    memcpy(exact, data, len);
    enum kt_status status = kt_change_decode(kt_str_n(exact, len), &change, &err);
    if (status == KT_OK) {
        kt_change_done(&change);
    }
    free(exact);
    return status;
}

static void a_damaged_change_is_refused(void)
{
    struct kt_generic_change change = {.table = 1, .id = KT_STR("a"), .update_given = true};
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    encode(&bytes, &change, "1=1,2 5=3 6=");
    CHECK_INT(decode(bytes.data, bytes.len_bytes), KT_OK);
    for (size_t len = 0; len < bytes.len_bytes; len++) {
        CHECK_INT(decode(bytes.data, len), KT_CORRUPT);
    }
    /* Every byte with every value: refused, or another right change; never a crash. */
    for (size_t at = 2; at < bytes.len_bytes; at++) {
        char before = bytes.data[at];
        for (int value = 0; value < 256; value++) {
            bytes.data[at] = (char)value;
            enum kt_status status = decode(bytes.data, bytes.len_bytes);
            CHECK(status == KT_OK || status == KT_CORRUPT);
        }
        bytes.data[at] = before;
    }
    kt_buf_append_byte(&bytes, 0);
    CHECK_INT(decode(bytes.data, bytes.len_bytes), KT_CORRUPT);
    kt_buf_done(&bytes);
}

static void a_change_beyond_its_rules_is_refused(void)
{
    static const struct {
        int table;
        const char *id, *points;
    } cases[] = {
        {0, "a", "1=1"},
        {4, "a", "1=1"},
        {1, "", "1=1"},
        {1, "a/b", "1=1"},
        {1, ".", "1=1"},
        {1, "..", "1=1"},
        {1, "\xff", "1=1"},
        {1, "a\nb", "1=1"},
        {1, "a", "2=1 1=1"},
        {1, "a", "1=1 1=2"},
        {1, "a", "1=nan"},
        {1, "a", "1=inf"},
        {1, "a", "253402300800=1"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_generic_change change = {.table = cases[i].table, .id = kt_str(cases[i].id)};
        struct kt_buf bytes;
        kt_buf_init(&bytes, 0);
        encode(&bytes, &change, cases[i].points);
        if (decode(bytes.data, bytes.len_bytes) != KT_CORRUPT) {
            kt_test_fail(__FILE__, __LINE__, "accepted: %d %s %s", cases[i].table, cases[i].id,
                         cases[i].points);
        }
        kt_buf_done(&bytes);
    }
}

/* --- apply --- */

static void a_save_merges_into_what_is_there(void)
{
    struct kt_store *store = help_new(); /* entry n is stamped n seconds; this was the first */
    struct kt_apply_result result = save(store, 1, "a", "5=1,2 7=3");
    CHECK(result.status == KT_OK && result.records == 2 && result.values == 3);
    CHECK_STR(ALL(store), "1/a 5=[1,2] 7=[3] 2-2");
    save(store, 1, "a", "-1=0.5 7=8,9");
    CHECK_STR(ALL(store), "1/a -1=[0.5] 5=[1,2] 7=[8,9] 2-3");
    save(store, 1, "a", "5= 6=");
    CHECK_STR(ALL(store), "1/a -1=[0.5] 7=[8,9] 2-4");
    save(store, 2, "a", "");
    CHECK_STR(ALL(store), "1/a -1=[0.5] 7=[8,9] 2-4; 2/a 5-5");
    kt_store_close(&store);
}

static void given_times_win_over_the_logs(void)
{
    struct kt_store *store = help_new();
    struct kt_generic_change change = {
        .table = 1, .id = KT_STR("a"), .create_given = true, .create_s = 100};
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    encode(&bytes, &change, "1=1");
    help_commit(store, kt_buf_str(&bytes), true);
    CHECK_STR(ALL(store), "1/a 1=[1] 100-2");
    change.create_given = false;
    change.update_given = true;
    change.update_s = -7;
    kt_buf_clear(&bytes);
    encode(&bytes, &change, "");
    help_commit(store, kt_buf_str(&bytes), true);
    CHECK_STR(ALL(store), "1/a 1=[1] 100--7");
    save(store, 1, "a", "");
    CHECK_STR(ALL(store), "1/a 1=[1] 100-4");
    kt_buf_done(&bytes);
    kt_store_close(&store);
}

static void a_delete_takes_the_series_and_what_is_not_there_is_not_found(void)
{
    struct kt_store *store = help_new();
    save(store, 1, "a", "1=1 2=2");
    save(store, 2, "a", "1=1");
    struct kt_apply_result result = drop(store, 1, "a");
    CHECK(result.status == KT_OK && result.records == 2 && result.values == 2);
    CHECK_STR(ALL(store), "2/a 1=[1] 3-3");
    result = drop(store, 1, "a");
    CHECK_INT(result.status, KT_NOT_FOUND);
    CHECK_STR(result.field, "id");
    save(store, 1, "a", "9=9");
    CHECK_STR(ALL(store), "1/a 9=[9] 6-6; 2/a 1=[1] 3-3");
    kt_store_close(&store);
}

/* A whole series of points times*1, so that the next save has to be refused. */
static struct kt_apply_result save_many(struct kt_store *store, int64_t first, size_t count,
                                        size_t numbers)
{
    static const double ones[KT_GENERIC_NUMBERS_MAX];
    struct kt_generic_change change = {.table = 1, .id = KT_STR("a"), .point_count = count};
    struct kt_generic_point *points = calloc(count, sizeof(*points));
    for (size_t i = 0; i < count; i++) {
        points[i] = (struct kt_generic_point){first + (int64_t)i, ones, numbers};
    }
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    kt_generic_encode(&change, points, &bytes);
    struct kt_apply_result result = help_commit(store, kt_buf_str(&bytes), true);
    kt_buf_done(&bytes);
    free(points);
    return result;
}

static uint64_t points_of(struct kt_store *store)
{
    const char *text =
        tell(store, (struct kt_generic_query){.table = 1, .bounded = true, .from_s = 0, .to_s = 3});
    uint64_t count = 0;
    for (; *text; text++) {
        count += *text == '=';
    }
    return count;
}

static void a_series_that_would_grow_too_large_is_refused_whole(void)
{
    struct kt_store *store = help_new();
    CHECK_INT(save_many(store, 4, KT_GENERIC_POINTS_MAX, 1).status, KT_OK);
    struct kt_apply_result result = save_many(store, 3, 2, 1);
    CHECK_INT(result.status, KT_TOO_LARGE);
    CHECK_STR(result.field, "data");
    CHECK_INT(points_of(store), 0);
    CHECK_INT(save_many(store, 4, 10, 2).status, KT_OK); /* replacing is no growth */
    CHECK_INT(drop(store, 1, "a").records, KT_GENERIC_POINTS_MAX);
    size_t full = KT_GENERIC_VALUES_MAX / 250;
    CHECK_INT(save_many(store, 10, full, 250).status, KT_OK);
    CHECK_INT(save_many(store, 3, 1, 1).status, KT_TOO_LARGE);
    CHECK_INT(save_many(store, 10, 1, 249).status, KT_OK);
    CHECK_INT(save_many(store, 3, 1, 1).status, KT_OK);
    CHECK_INT(points_of(store), 1);
    kt_store_close(&store);
}

static void what_the_log_has_is_redone_at_open(void)
{
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    help_found(store, 4096);
    save(store, 1, "a", "1=1 2=2");
    struct kt_generic_change change = {.table = 1, .id = KT_STR("a")};
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    encode(&bytes, &change, "2= 3=4");
    help_commit(store, kt_buf_str(&bytes), false); /* in the log only */
    kt_buf_done(&bytes);
    kt_store_close(&store);
    store = help_open(path);
    CHECK_STR(ALL(store), "1/a 1=[1] 3=[4] 2-3");
    kt_store_close(&store);
}

/* --- finding --- */

static void a_search_takes_ids_prefix_table_times_and_pages(void)
{
    struct kt_store *store = help_new();
    static const char *const ids[] = {"b", "a1", "a", "a2", "\xc3\xa4", "a%"};
    for (size_t i = 0; i < KT_ARRAY_LEN(ids); i++) {
        char points[32];
        snprintf(points, sizeof(points), "%zu=1 100=2", i * 10);
        save(store, 1 + (int)(i % 2), ids[i], points);
    }
    struct kt_str wanted[] = {KT_STR("zz"), KT_STR("b"), KT_STR("a"), KT_STR("a1")};
    static const struct {
        struct kt_generic_query query;
        const char *answer;
    } cases[] = {
        {{.table = 1},
         "1/a 20=[1] 100=[2] 4-4; 1/b 0=[1] 100=[2] 2-2; 1/\xc3\xa4 40=[1] 100=[2] 6-6"},
        {{.prefix = {"a", 1}},
         "1/a 20=[1] 100=[2] 4-4; 2/a% 50=[1] 100=[2] 7-7; 2/a1 10=[1] 100=[2] 3-3; "
         "2/a2 30=[1] 100=[2] 5-5"},
        {{.prefix = {"a", 1}, .offset = 1, .limit = 2},
         "2/a% 50=[1] 100=[2] 7-7; 2/a1 10=[1] 100=[2] 3-3 +"},
        {{.prefix = {"a", 1}, .offset = 2, .limit = 2},
         "2/a1 10=[1] 100=[2] 3-3; 2/a2 30=[1] 100=[2] 5-5"},
        {{.prefix = {"a", 1}, .offset = 9}, ""},
        {{.prefix = {"x", 1}}, ""},
        {{.bounded = true, .from_s = 20, .to_s = 30}, "1/a 20=[1] 4-4; 2/a2 30=[1] 5-5"},
        {{.bounded = true, .from_s = 99, .to_s = 100, .limit = 1}, "1/a 100=[2] 4-4 +"},
        {{.bounded = true, .from_s = 101, .to_s = 200}, ""},
        {{.table = 3}, ""},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        CHECK_STR(tell(store, cases[i].query), cases[i].answer);
    }
    CHECK_STR(tell(store, (struct kt_generic_query){.ids = wanted, .id_count = 4}),
              "1/b 0=[1] 100=[2] 2-2; 1/a 20=[1] 100=[2] 4-4; 2/a1 10=[1] 100=[2] 3-3");
    CHECK_STR(tell(store, (struct kt_generic_query){.ids = wanted, .id_count = 4, .limit = 1}),
              "1/b 0=[1] 100=[2] 2-2 +");
    kt_store_close(&store);
}

static void a_search_ends_at_its_deadline_and_a_sink_can_end_it(void)
{
    struct kt_store *store = help_new();
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf text;
    kt_buf_init(&text, 0);
    for (int i = 0; i < 300; i++) {
        char id[16];
        snprintf(id, sizeof(id), "s%d", i);
        save(store, 1, id, "1=1");
    }
    struct kt_generic_query query = {.limit = 10000, .deadline_mono_ms = 1};
    CHECK_FAILS(search(store, query, &text, &err), KT_TIMEOUT);
    query.deadline_mono_ms = INT64_MAX;
    CHECK_OK(search(store, query, &text, &err));
    save(store, 1, "t", "1=1"); /* the read transaction is over: what came since is seen */
    query.prefix = KT_STR("t");
    CHECK_OK(search(store, query, &text, &err));
    CHECK_SLICE(kt_buf_str(&text), "1/t 1=[1] 302-302");
    kt_buf_done(&text);
    kt_store_close(&store);
}

static void damage_in_the_file_is_told(void)
{
    static const char *const damages[] = {
        "UPDATE generic_point SET numbers='[1'",      "UPDATE generic_point SET numbers='[1,2]'",
        "UPDATE generic_point SET numbers='[\"x\"]'", "UPDATE generic_point SET numbers=''",
        "UPDATE generic_point SET numbers='[]'",      "UPDATE generic_series SET id='a/b'",
        "UPDATE generic_point SET numbers='[1,]'",    "UPDATE generic_point SET count=-1",
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(damages); i++) {
        const char *path = help_path();
        struct kt_error err = KT_ERROR_INIT;
        struct kt_buf text;
        struct kt_store *store = help_open(path);
        help_found(store, 4096);
        save(store, 1, "a", "1=1");
        struct sqlite3 *db = NULL;
        CHECK_OK(kt_store_flush(store, &err));
        CHECK_INT(sqlite3_open(path, &db), SQLITE_OK);
        CHECK_INT(sqlite3_exec(db, damages[i], NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        kt_buf_init(&text, 0);
        CHECK_FAILS(search(store, (struct kt_generic_query){.table = 1}, &text, &err), KT_CORRUPT);
        kt_buf_done(&text);
        kt_store_close(&store);
    }
}

/* --- faults --- */

/* Step by step; each is tried again after a failure, and the end is as if there had been none. */
static void faults_leave_the_series_as_before_or_as_after(void)
{
    static const enum kt_fault kinds[] = {KT_FAULT_ALLOC, KT_FAULT_IO};
    for (size_t k = 0; k < KT_ARRAY_LEN(kinds); k++) {
        for (uint64_t nth = 1, failed = 1; failed; nth++) {
            struct kt_store *store = help_new();
            struct kt_error err = KT_ERROR_INIT;
            struct kt_generic_change change = {.table = 1, .id = KT_STR("a")};
            struct kt_buf bytes, text;
            kt_buf_init(&bytes, 0);
            kt_buf_init(&text, 0);
            save(store, 1, "a", "1=1 2=2");
            encode(&bytes, &change, "2= 3=3,4");
            struct kt_entry entry = {3, 1, 3000, KT_STR(""), kt_buf_str(&bytes)};
            CHECK_OK(kt_store_log_append(store, &entry, 1, 3, &err));
            failed = 0;
            kt_fault_set(kinds[k], nth, 0);
            if (kt_store_apply(store, &entry, 1, NULL, &err) != KT_OK) {
                failed = 1;
                kt_fault_set(kinds[k], 0, 0);
                CHECK_STR(ALL(store), "1/a 1=[1] 2=[2] 2-2");
                CHECK_OK(kt_store_apply(store, &entry, 1, NULL, &err));
            } else if (search(store, (struct kt_generic_query){.table = 1}, &text, &err) != KT_OK) {
                failed = 1;
            }
            kt_fault_set(kinds[k], 0, 0);
            CHECK_STR(ALL(store), "1/a 1=[1] 3=[3,4] 2-3");
            kt_buf_done(&bytes);
            kt_buf_done(&text);
            kt_store_close(&store);
        }
    }
}

static void tables_are_named_by_number_or_name(void)
{
    int table = 0;
    CHECK(kt_generic_table_parse(KT_STR("1"), &table) && table == 1);
    CHECK(kt_generic_table_parse(KT_STR("financial_data"), &table) && table == 2);
    CHECK(kt_generic_table_parse(KT_STR("3"), &table) && table == 3);
    static const char *const wrong[] = {"", "0", "4", "01", "1 ", "stock", "Stock_data", "11"};
    for (size_t i = 0; i < KT_ARRAY_LEN(wrong); i++) {
        CHECK(!kt_generic_table_parse(kt_str(wrong[i]), &table));
    }
}

static const struct kt_test tests[] = {
    TEST(a_change_is_read_back_as_it_was_written),
    TEST(a_damaged_change_is_refused),
    TEST(a_change_beyond_its_rules_is_refused),
    TEST(a_save_merges_into_what_is_there),
    TEST(given_times_win_over_the_logs),
    TEST(a_delete_takes_the_series_and_what_is_not_there_is_not_found),
    TEST(a_series_that_would_grow_too_large_is_refused_whole),
    TEST(what_the_log_has_is_redone_at_open),
    TEST(a_search_takes_ids_prefix_table_times_and_pages),
    TEST(a_search_ends_at_its_deadline_and_a_sink_can_end_it),
    TEST(damage_in_the_file_is_told),
    TEST(faults_leave_the_series_as_before_or_as_after),
    TEST(tables_are_named_by_number_or_name),
};
KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
#include "kt_test.h"

#include "world.h"

#include "base/mem.h"

static struct world world;

/*  key  name    eps   rev   newest record
 *  A    Zoe     1     -     2024-03-31 Q1
 *  B    -       3     30    2024-06-30 Q2 (and an older one)
 *  C    Amy     3     10    2024-03-31 ""
 *  D    Bob     -     20    2023-12-31 Q4
 *  E    \xe4\xb8\xad  -2.5  -  1960-05-05 Q1
 *  F    Nil     (no record)
 *  topic T: A always, B until 2024-01-31, C from 2024-06-01; topic U: D */
static void open_market(const char *name)
{
    world_open(&world, name, world_date("2024-01-01") * 1000);
    world_subject(&world, "A", "Zoe", "stock");
    world_subject(&world, "C", "Amy", NULL);
    world_subject(&world, "D", "Bob", NULL);
    world_subject(&world, "E", "\xe4\xb8\xad", NULL);
    world_subject(&world, "F", "Nil", NULL);
    world_record(&world, "E", "1960-05-05", "Q1", NULL, "eps=-2.5");
    world_record(&world, "D", "2023-12-31", "Q4", NULL, "rev=20");
    world_record(&world, "C", "2024-03-31", "", NULL, "eps=3 rev=10");
    world_record(&world, "B", "2024-06-30", "Q2", NULL, "eps=3 rev=30");
    world_record(&world, "B", "2023-06-30", "Q2", NULL, "eps=7");
    world_record(&world, "A", "2024-03-31", "Q1", NULL, "eps=1");
    world_stay(&world, "A", "T", KT_TIME_MIN, KT_TIME_MAX);
    world_stay(&world, "B", "T", KT_TIME_MIN, world_date("2024-01-31") + KT_DAY_S - 1);
    world_stay(&world, "C", "T", world_date("2024-06-01"), KT_TIME_MAX);
    world_stay(&world, "D", "U", KT_TIME_MIN, KT_TIME_MAX);
    world_commit_on(&world, "2024-07-01");
}

struct ask {
    const char *body, *rows;
};

static void check_rows(const struct ask *asks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *rows = world_rows(&world, asks[i].body);
        if (strcmp(rows, asks[i].rows) != 0) {
            kt_test_fail(__FILE__, __LINE__, "%s gave \"%s\", expected \"%s\"", asks[i].body, rows,
                         asks[i].rows);
        }
    }
}
#define CHECK_ROWS(asks) check_rows(asks, KT_ARRAY_LEN(asks))

static void rows_are_sorted_and_those_without_a_value_come_last(void)
{
    static const struct ask asks[] = {
        {"", "E D C B A/5"},
        {"{}", "E D C B A/5"},
        {"  \n", "E D C B A/5"},
        {"{\"order\":1}", "A B C D E/5"},
        {"{\"field\":\"eps\"}", "B C A E D/5"},
        {"{\"field\":\"eps\",\"order\":-1}", "B C A E D/5"},
        {"{\"field\":\"eps\",\"order\":\"-1\"}", "B C A E D/5"},
        {"{\"field\":\"eps\",\"order\":\"desc\"}", "B C A E D/5"},
        {"{\"field\":\"eps\",\"order\":1}", "E A B C D/5"},
        {"{\"field\":\"eps\",\"order\":\"1\"}", "E A B C D/5"},
        {"{\"field\":\"eps\",\"order\":\"asc\"}", "E A B C D/5"},
        {"{\"field\":\"eps\",\"order\":1.0}", "E A B C D/5"},
        {"{\"field\":\"rev\"}", "B D C A E/5"},
        {"{\"field\":\"rev\",\"order\":1}", "C D B A E/5"},
        {"{\"field\":\"report_date\"}", "B A C D E/5"},
        {"{\"field\":\"report_date\",\"order\":1}", "E D A C B/5"},
        {"{\"field\":\"subject\"}", "E D C B A/5"},
        {"{\"field\":\"subject\",\"order\":1}", "A B C D E/5"},
        {"{\"field\":\"name\"}", "E A D B C/5"},
        {"{\"field\":\"name\",\"order\":1}", "C B D A E/5"},
    };
    open_market("sort.db");
    CHECK_ROWS(asks);
    world_close(&world);
}

static void the_default_field_is_the_first_known_id(void)
{
    static const struct ask asks[] = {
        {"{\"ids\":[\"rev\",\"eps\"]}", "B D C A E/5"},
        {"{\"ids\":\"eps,rev\"}", "B C A E D/5"},
        {"{\"ids\":\"nothing,rev,eps\"}", "B D C A E/5"},
        {"{\"ids\":\"nothing\"}", "E D C B A/5"},
        {"{\"ids\":\"rev\",\"field\":\"eps\"}", "B C A E D/5"},
        {"{\"ids\":[],\"order\":1}", "A B C D E/5"},
    };
    open_market("field.db");
    CHECK_ROWS(asks);
    world_close(&world);
}

static void a_page_is_cut_out_and_total_counts_all(void)
{
    static const struct ask asks[] = {
        {"{\"field\":\"eps\",\"limit\":2}", "B C/5"},
        {"{\"field\":\"eps\",\"limit\":2,\"offset\":2}", "A E/5"},
        {"{\"field\":\"eps\",\"limit\":2,\"offset\":4}", "D/5"},
        {"{\"field\":\"eps\",\"limit\":2,\"offset\":5}", "/5"},
        {"{\"field\":\"eps\",\"limit\":1,\"offset\":9007199254740992}", "/5"},
        {"{\"field\":\"eps\",\"limit\":10000}", "B C A E D/5"},
        {"{\"field\":\"eps\",\"limit\":0}", "B C A E D/5"},
        {"{\"field\":\"eps\",\"offset\":0,\"limit\":1}", "B/5"},
    };
    open_market("page.db");
    CHECK_ROWS(asks);
    world_close(&world);
}

/* Whether a subject's texts stand as they are is known before they are written. */
static void a_subject_may_come_to_need_escapes_and_lose_them(void)
{
    static const char *const names[] = {"Zoe", "Z\"oe", "\xe4\xb8\xad", "\\", "Zoe"};
    static const char *const shown[] = {"Zoe", "Z\\\"oe", "\xe4\xb8\xad", "\\\\", "Zoe"};
    world_open(&world, "escapes.db", world_date("2024-01-01") * 1000);
    world_record(&world, "A", "2024-03-31", "Q1", NULL, "eps=1");
    world_record(&world, "\"B", "2024-03-31", "Q1", NULL, "eps=1");
    world_commit_on(&world, "2024-07-01");
    for (size_t i = 0; i < KT_ARRAY_LEN(names); i++) {
        char part[256];
        world_subject(&world, "A", names[i], i % 2 ? "st\nock" : "stock");
        world_subject(&world, "\"B", names[i], NULL);
        world_commit_on(&world, "2024-07-01");
        const char *answer = world_snapshot(&world, "{\"order\":1}");
        snprintf(part, sizeof(part),
                 "{\"subject\":{\"subject\":\"A\",\"name\":\"%s\",\"status\":\"\","
                 "\"listing_date\":\"\",\"category\":\"%s\"},\"data\":{",
                 shown[i], i % 2 ? "st\\nock" : "stock");
        CHECK(strstr(answer, part));
        snprintf(part, sizeof(part),
                 "{\"subject\":{\"subject\":\"\\\"B\",\"name\":\"%s\",\"status\"", shown[i]);
        CHECK(strstr(answer, part));
    }
    world_close(&world);
}

/* A small page holds the series of its rows, a large one finds them again. */
static void small_and_large_pages_have_the_same_rows(void)
{
    char all[4096], one[4096] = "", body[128];
    world_open(&world, "pages.db", world_date("2024-01-01") * 1000);
    for (int i = 0; i < 300; i++) {
        char key[16], data[32];
        snprintf(key, sizeof(key), "S%03d", i);
        snprintf(data, sizeof(data), i % 7 ? "eps=%d" : "rev=%d", i * 37 % 100 - 50);
        world_record(&world, key, "2024-03-31", "Q1", NULL, data);
    }
    world_commit_on(&world, "2024-07-01");
    for (int order = -1; order <= 1; order += 2) {
        snprintf(body, sizeof(body), "{\"field\":\"eps\",\"order\":%d,\"limit\":300}", order);
        kt_str_copy(all, sizeof(all), kt_str(world_rows(&world, body)));
        one[0] = '\0';
        for (int offset = 0; offset < 300; offset += 20) {
            snprintf(body, sizeof(body),
                     "{\"field\":\"eps\",\"order\":%d,\"offset\":%d,\"limit\":20}", order, offset);
            const char *rows = world_rows(&world, body);
            size_t len = strlen(one);
            snprintf(one + len, sizeof(one) - len, "%s%.*s", len ? " " : "",
                     (int)(strchr(rows, '/') - rows), rows);
        }
        strcat(one, "/300");
        CHECK_STR(one, all);
    }
    world_close(&world);
}

static void limit_zero_means_ten(void)
{
    char key[16];
    world_open(&world, "ten.db", 1000);
    for (int i = 0; i < 25; i++) {
        snprintf(key, sizeof key, "k%02d", i);
        world_record(&world, key, "2024-01-01", "", NULL, "v=1");
    }
    world_commit_on(&world, "2024-07-01");
    static const struct ask asks[] = {
        {"{\"order\":1}", "k00 k01 k02 k03 k04 k05 k06 k07 k08 k09/25"},
        {"{\"order\":1,\"limit\":0,\"offset\":20}", "k20 k21 k22 k23 k24/25"},
        {"{\"field\":\"v\",\"limit\":3,\"offset\":11}", "k11 k12 k13/25"},
    };
    CHECK_ROWS(asks);
    world_close(&world);
}

static void subjects_are_picked_by_name_or_by_topic(void)
{
    static const struct ask asks[] = {
        {"{\"subjects\":[\"C\",\"A\",\"C\"],\"order\":1}", "A C/2"},
        {"{\"subjects\":\"C, A ,nobody\",\"order\":1}", "A C/2"},
        {"{\"subjects\":[\"nobody\"]}", "/0"},
        {"{\"subjects\":[\"F\"]}", "/0"},
        {"{\"subjects\":[],\"order\":1}", "A B C D E/5"},
        {"{\"subjects\":\"\",\"order\":1}", "A B C D E/5"},
        {"{\"topic\":\"*\",\"order\":1}", "A B C D E/5"},
        {"{\"topic\":\"nowhere\"}", "/0"},
        {"{\"topic\":\"U\"}", "D/1"},
        {"{\"topic\":\"U\",\"subjects\":[]}", "D/1"},
        /* now is 2025-06-01 */
        {"{\"topic\":\"T\",\"order\":1}", "A C/2"},
        {"{\"topic\":\"T\",\"order\":1,\"timestamp\":0}", "A C/2"},
        {"{\"topic\":\"T\",\"order\":1,\"timestamp\":\"2024-07-01\"}", "A C/2"},
        {"{\"topic\":\"T\",\"order\":1,\"timestamp\":\"2024-05-31\"}", "A/1"},
        {"{\"topic\":\"T\",\"order\":1,\"timestamp\":\"2024-01-31\"}", "B/1"},
        {"{\"topic\":\"T\",\"order\":1,\"timestamp\":\"2024-02-01\"}", "/0"},
    };
    open_market("pick.db");
    CHECK_ROWS(asks);
    world.env.now_wall_ms = world_date("2024-06-01") * 1000 - 1;
    CHECK_STR(world_rows(&world, "{\"topic\":\"T\"}"), "A/1");
    world.env.now_wall_ms = world_date("2024-06-01") * 1000;
    CHECK_STR(world_rows(&world, "{\"topic\":\"T\"}"), "C A/2");
    world_close(&world);
}

static void the_newest_record_is_found_up_to_the_timestamp_and_among_periods(void)
{
    static const struct ask asks[] = {
        {"{\"order\":1,\"timestamp\":\"2024-03-31\"}", "A B C D E/5"},
        {"{\"order\":1,\"timestamp\":\"2024-03-30\"}", "B D E/3"},
        {"{\"order\":1,\"timestamp\":1711843200}", "A B C D E/5"},
        {"{\"order\":1,\"timestamp\":-1}", "E/1"},
        {"{\"order\":1,\"timestamp\":\"1960-05-04\"}", "/0"},
        {"{\"order\":1,\"periods\":[\"Q2\"]}", "B/1"},
        {"{\"order\":1,\"periods\":\"Q1,Q4\"}", "A D E/3"},
        {"{\"order\":1,\"periods\":[\"\"]}", "C/1"},
        {"{\"order\":1,\"periods\":[]}", "A B C D E/5"},
        {"{\"order\":1,\"periods\":\"\"}", "A B C D E/5"},
        {"{\"order\":1,\"periods\":\"a,b,c,d,e,f,g,h,Q1,Q4\"}", "A D E/3"},
        {"{\"order\":1,\"periods\":\"a,b,c,d,e,f,g,h,i,j\"}", "/0"},
        {"{\"field\":\"eps\",\"timestamp\":\"2023-12-31\"}", "B E D/3"},
    };
    open_market("newest.db");
    CHECK_ROWS(asks);
    world_close(&world);
}

#define BEGIN "{\"status_code\":0,\"status_msg\":\"success\",\"data\":["

static void a_row_has_all_its_members_in_order(void)
{
    open_market("row.db");
    CHECK_STR(world_snapshot(&world, "{\"subjects\":[\"A\"]}"),
              BEGIN "{\"subject\":{\"subject\":\"A\",\"name\":\"Zoe\",\"status\":\"\","
                    "\"listing_date\":\"\",\"category\":\"stock\"},\"data\":{\"eps\":1},"
                    "\"report_date\":1711843200,\"end_date\":\"2024-03-31\",\"period\":\"Q1\","
                    "\"declare_date\":\"\"}],\"total\":1}");
    CHECK_STR(world_snapshot(&world, "{\"subjects\":[\"E\"],\"ids\":[\"rev\"]}"),
              BEGIN "{\"subject\":{\"subject\":\"E\",\"name\":\"\xe4\xb8\xad\",\"status\":\"\","
                    "\"listing_date\":\"\",\"category\":\"\"},\"data\":{},"
                    "\"report_date\":-304819200,\"end_date\":\"1960-05-05\",\"period\":\"Q1\","
                    "\"declare_date\":\"\"}],\"total\":1}");
    CHECK_STR(world_snapshot(&world, "{\"subjects\":[\"nobody\"]}"), BEGIN "],\"total\":0}");
    world_close(&world);
}

static void values_come_in_the_order_of_ids_and_all_in_byte_order(void)
{
    world_open(&world, "ids.db", 1000);
    world_record(&world, "S", "2024-01-01", "", NULL,
                 "zz=1 b=2.5 B=-1e-7 a\"q=1e21 \xe4\xb8\xad=0");
    world_record(&world, "T", "2024-01-01", "", NULL, "other=1 a=5");
    world_commit_on(&world, "2024-07-01");
    static const struct ask asks[] = {
        {"{\"subjects\":\"S\"}",
         "{\"B\":-1e-7,\"a\\\"q\":1e+21,\"b\":2.5,\"zz\":1,\"\xe4\xb8\xad\":0}"},
        {"{\"subjects\":\"S\",\"ids\":\"zz,B,nothing,b,zz,other\"}",
         "{\"zz\":1,\"B\":-1e-7,\"b\":2.5}"},
        {"{\"subjects\":\"S\",\"ids\":[\"\xe4\xb8\xad\",\"a\\\"q\"]}",
         "{\"\xe4\xb8\xad\":0,\"a\\\"q\":1e+21}"},
        {"{\"subjects\":\"S\",\"ids\":\"nothing\"}", "{}"},
        {"{\"subjects\":\"T\"}", "{\"a\":5,\"other\":1}"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(asks); i++) {
        char want[256];
        snprintf(want, sizeof want, "\"data\":%s,\"report_date\"", asks[i].rows);
        const char *got = world_snapshot(&world, asks[i].body);
        if (!strstr(got, want)) {
            kt_test_fail(__FILE__, __LINE__, "%s has no %s", got, want);
        }
    }
    world_close(&world);
}

static void keys_names_and_texts_are_escaped(void)
{
    world_open(&world, "escape.db", 1000);
    world_subject(&world, "a\"\\b", "n\"", NULL);
    world_record_texts(&world, "a\"\\b", "2024-01-01", "p\"", "e\\", "y\"", "v=1");
    world_commit_on(&world, "2024-07-01");
    CHECK_STR(world_snapshot(&world, "{}"),
              BEGIN "{\"subject\":{\"subject\":\"a\\\"\\\\b\",\"name\":\"n\\\"\",\"status\":\"\","
                    "\"listing_date\":\"\",\"category\":\"\"},\"data\":{\"v\":1},"
                    "\"report_date\":1704067200,\"end_date\":\"e\\\\\",\"period\":\"p\\\"\","
                    "\"declare_date\":\"\"}],\"total\":1}");
    CHECK(strstr(world_period(&world, "{\"topic\":\"*\"}"),
                 "\"year\":\"y\\\"\",\"v\":1,\"combine\":\"a\\\"\\\\b:y\\\"_p\\\"\"") != NULL);
    world_close(&world);
}

/* The answer goes behind what the response already holds, and nothing is kept between calls. */
static void an_answer_is_the_same_each_time(void)
{
    static char first[4096];
    open_market("again.db");
    kt_str_copy(first, sizeof first, kt_str(world_snapshot(&world, "{\"ids\":\"rev,eps\"}")));
    for (int i = 0; i < 3; i++) {
        CHECK_STR(world_snapshot(&world, "{\"ids\":\"rev,eps\"}"), first);
    }
    kt_series_cache_clear(world.cache);
    CHECK_STR(world_snapshot(&world, "{\"ids\":\"rev,eps\"}"), first);
    world_close(&world);
}

/* A change after the first question must show in the second, though the series was kept. */
static void a_kept_series_does_not_hide_a_change(void)
{
    open_market("change.db");
    CHECK_STR(world_rows(&world, "{\"field\":\"eps\",\"limit\":1}"), "B/5");
    world_record(&world, "E", "1960-05-05", "Q1", NULL, "eps=99 fresh=1");
    world_record(&world, "F", "2024-03-31", "Q1", NULL, "eps=5");
    world_commit_on(&world, "2024-07-02");
    CHECK_STR(world_rows(&world, "{\"field\":\"eps\",\"limit\":2}"), "E F/6");
    CHECK_STR(world_rows(&world, "{\"field\":\"fresh\"}"), "E A B C D F/6");
    CHECK_STR(world_rows(&world, "{\"field\":\"eps\",\"limit\":2,\"recorded_by\":2}"), "B C/5");
    /* the indicator is known today, its values were not */
    CHECK_STR(world_rows(&world, "{\"field\":\"fresh\",\"recorded_by\":2}"), "A B C D E/5");
    world_close(&world);
}

static void an_empty_store_answers_empty(void)
{
    world_open(&world, "empty.db", 1000);
    CHECK_STR(world_snapshot(&world, ""), BEGIN "],\"total\":0}");
    CHECK_STR(world_snapshot(&world, "{\"subjects\":\"a\",\"ids\":\"b\"}"), BEGIN "],\"total\":0}");
    CHECK_STR(world_period(&world, "{\"topic\":\"*\"}"), BEGIN "]}");
    CHECK_STR(world_rows(&world, "{\"field\":\"eps\"}"), "bad_value field");
    world_close(&world);
}

static const struct kt_test tests[] = {
    TEST(rows_are_sorted_and_those_without_a_value_come_last),
    TEST(the_default_field_is_the_first_known_id),
    TEST(a_page_is_cut_out_and_total_counts_all),
    TEST(a_subject_may_come_to_need_escapes_and_lose_them),
    TEST(small_and_large_pages_have_the_same_rows),
    TEST(limit_zero_means_ten),
    TEST(subjects_are_picked_by_name_or_by_topic),
    TEST(the_newest_record_is_found_up_to_the_timestamp_and_among_periods),
    TEST(a_row_has_all_its_members_in_order),
    TEST(values_come_in_the_order_of_ids_and_all_in_byte_order),
    TEST(keys_names_and_texts_are_escaped),
    TEST(an_answer_is_the_same_each_time),
    TEST(a_kept_series_does_not_hide_a_change),
    TEST(an_empty_store_answers_empty),
};
KT_TEST_MAIN(tests)

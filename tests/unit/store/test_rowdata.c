/* SPDX-License-Identifier: MIT */
/* What a stored row says, read back; damaged rows. */
#include "kt_test.h"

#include "base/mem.h"
#include "store/rowdata.h"

static struct indicator_table *make_table(void)
{
    static struct indicator_table none;
    struct kt_str keys[] = {KT_STR("x"), KT_STR("y"), KT_STR("a \"b\"")};
    return indicators_with(&none, keys, 3);
}

static void a_row_names_values_and_texts(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct indicator_table *table = make_table();
    struct rowdata_reader *reader = rowdata_reader_new();
    struct kt_version version;
    CHECK(table && reader);
    rowdata_reader_start(reader, table);
    CHECK_OK(rowdata_read(reader, KT_STR("{\"y\":1.5,\"a \\\"b\\\"\":null,\"year\":\"1999\"}"),
                          &version, &err));
    CHECK_INT(version.value_count, 2);
    CHECK_INT(version.values[0].indicator, 1);
    CHECK(version.values[0].number == 1.5);
    CHECK_INT(version.values[1].indicator, 2);
    CHECK(version.values[1].is_null);
    CHECK_SLICE(version.year.text, "1999");
    CHECK_INT(version.end_date.named, KT_NOT_NAMED);
    rowdata_reader_free(&reader);
    indicators_unref(&table);
}

static void what_is_damaged_is_refused(void)
{
    static const char *const texts[] = {
        "",           "{",         "{}x",           "{\"x\":1",        "{\"x\":}",
        "{\"x\":1,}", "{\"z\":1}", "{\"x\" :1}",    "{\"x\":1 }",      "{\"x\":nul}",
        "{x:1}",      "[1]",       "{\"x\":\"1\"}", "{\"year\":1999}", "{\"a\\q\":1}"};
    struct kt_error err = KT_ERROR_INIT;
    struct indicator_table *table = make_table();
    struct rowdata_reader *reader = rowdata_reader_new();
    struct kt_version version;
    CHECK(table && reader);
    rowdata_reader_start(reader, table);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        CHECK_FAILS(rowdata_read(reader, kt_str(texts[i]), &version, &err), KT_CORRUPT);
    }
    rowdata_reader_free(&reader);
    indicators_unref(&table);
}

/* The reader remembers where the last row's keys stood. A row that was refused halfway had moved
 * these places, and the next row's key was then looked for at a place of another text. */
static void a_damaged_row_leaves_no_trace_in_the_next(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct indicator_table *table = make_table();
    struct rowdata_reader *reader = rowdata_reader_new();
    struct kt_version version;
    CHECK(table && reader);
    rowdata_reader_start(reader, table);
    CHECK_OK(rowdata_read(reader, KT_STR("{\"x\":1234567,\"y\":2}"), &version, &err));
    CHECK_FAILS(rowdata_read(reader, KT_STR("{\"year\":null,\"x\":bad}"), &version, &err),
                KT_CORRUPT);
    CHECK_OK(rowdata_read(reader, KT_STR("{\"y\":5}"), &version, &err));
    CHECK_INT(version.value_count, 1);
    CHECK_INT(version.values[0].indicator, 1);
    rowdata_reader_free(&reader);
    indicators_unref(&table);
}

static const struct kt_test tests[] = {
    TEST(a_row_names_values_and_texts),
    TEST(what_is_damaged_is_refused),
    TEST(a_damaged_row_leaves_no_trace_in_the_next),
};
KT_TEST_MAIN(tests)

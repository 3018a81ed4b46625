/* SPDX-License-Identifier: MIT */
#include "bench/check.h"
#include "bench/verify.h"
#include "kt_test.h"

#include "base/mem.h"

static struct kt_str subjects[] = {{"s:1", 3}, {"s:2", 3}, {"s:3", 3}};
static struct kt_str ids[] = {{"a", 1}, {"b", 1}};

static struct kt_planned snapshot(void)
{
    return (struct kt_planned){.kind = KT_EXPECT_SNAPSHOT,
                               .method = "POST",
                               .status = 200,
                               .subjects = subjects,
                               .subject_count = 3,
                               .ids = ids,
                               .id_count = 2,
                               .limit = 3,
                               .total_min = 2,
                               .at = KT_NO_TIME};
}

static struct kt_hole hole;
static struct kt_error err;

static enum kt_wrong check(const struct kt_planned *planned, int status, const char *body)
{
    struct kt_reply reply = {.status = status, .is_json = true, .head_len = 1};
    err = (struct kt_error)KT_ERROR_INIT;
    return kt_check(planned, &reply, kt_str(body), &hole, &err);
}

#define OK "{\"status_code\":0,\"status_msg\":\"success\",\"data\":"
#define ROW(key, values)                                                                           \
    "{\"subject\":{\"subject\":\"" key "\",\"name\":\"n\",\"status\":\"\",\"listing_date\":\"\","  \
    "\"category\":\"\"},\"data\":{" values "},\"report_date\":86400,\"end_date\":\"1970-01-02\","  \
    "\"period\":\"\",\"declare_date\":\"\"}"

static void a_right_snapshot_is_right(void)
{
    struct kt_planned planned = snapshot();
    CHECK_INT(
        check(&planned, 200, OK "[" ROW("s:2", "\"a\":1.5") "," ROW("s:1", "") "],\"total\":2}"),
        KT_WRONG_NONE);
    planned.sorted = true;
    planned.at = 86400;
    CHECK_INT(check(&planned, 200,
                    OK "[" ROW("s:3", "\"a\":2") "," ROW("s:1", "\"a\":1") "," ROW(
                        "s:2", "\"b\":9") "],\"total\":3,\"next_cursor\":\"abc\"}"),
              KT_WRONG_NONE);
}

static void each_wrong_shape_is_found(void)
{
    static const char *const wrong[] = {
        OK "[],\"total\":0}",                          /* two have a record */
        OK "[" ROW("s:1", "") "],\"total\":2}",        /* a row is missing */
        OK "[" ROW("s:1", "") "," ROW("s:2", "") "]}", /* no total */
        OK "[" ROW("s:1", "") "," ROW("s:9", "") "],\"total\":2}" /* not asked for */,
        OK "[" ROW("s:1", "") "," ROW("s:1", "") "],\"total\":2}" /* twice */,
        OK "[" ROW("s:1", "\"c\":1") "," ROW("s:2", "") "],\"total\":2}", /* not asked for */
        OK "[" ROW("s:1", "\"a\":null") "," ROW("s:2", "") "],\"total\":2}",
        OK "[" ROW("s:1", "\"a\":\"1\"") "," ROW("s:2", "") "],\"total\":2}",
        OK "[1,2],\"total\":2}",
        OK "[{},{}],\"total\":2}",
        OK "null,\"total\":2}",
        OK "{},\"total\":2}",
        OK "[" ROW("s:1", "") "," ROW("s:2", "") "],\"total\":\"2\"}",
        OK "[" ROW("s:1", "") "," ROW("s:2", "") "," ROW("s:3", "") "," ROW("s:1",
                                                                            "") "],\"total\":4}",
        "{\"status_msg\":\"success\",\"data\":[],\"total\":2}",
        "[]",
        "7",
    };
    struct kt_planned planned = snapshot();
    for (size_t i = 0; i < KT_ARRAY_LEN(wrong); i++) {
        enum kt_wrong got = check(&planned, 200, wrong[i]);
        if (got != KT_WRONG_SHAPE || !err.message[0]) {
            kt_test_fail(__FILE__, __LINE__, "%s: %s", wrong[i], kt_wrong_key(got));
        }
    }
}

static void the_order_that_was_asked_for_is_checked(void)
{
    static const char *const wrong[] = {
        OK "[" ROW("s:1", "\"a\":1") "," ROW("s:2", "\"a\":2") "],\"total\":2}",
        OK "[" ROW("s:1", "") "," ROW("s:2", "\"a\":2") "],\"total\":2}",
        OK "[" ROW("s:2", "\"a\":1") "," ROW("s:1", "\"a\":1") "],\"total\":2}",
        OK "[" ROW("s:2", "") "," ROW("s:1", "") "],\"total\":2}",
    };
    struct kt_planned planned = snapshot();
    planned.sorted = true;
    for (size_t i = 0; i < KT_ARRAY_LEN(wrong); i++) {
        CHECK_INT(check(&planned, 200, wrong[i]), KT_WRONG_SHAPE);
    }
}

static void nothing_may_be_later_than_the_date(void)
{
    struct kt_planned planned = snapshot();
    planned.at = 86399;
    CHECK_INT(check(&planned, 200, OK "[" ROW("s:1", "") "," ROW("s:2", "") "],\"total\":2}"),
              KT_WRONG_SHAPE);
}

static void pages_hold_as_many_rows_as_they_must(void)
{
    struct kt_planned planned = snapshot();
    planned.offset = 2;
    planned.limit = 10;
    CHECK_INT(check(&planned, 200, OK "[" ROW("s:1", "") "],\"total\":3}"), KT_WRONG_NONE);
    CHECK_INT(check(&planned, 200, OK "[],\"total\":2}"), KT_WRONG_NONE);
    CHECK_INT(check(&planned, 200, OK "[],\"total\":3}"), KT_WRONG_SHAPE);
}

static void statuses_json_and_status_code_are_told_apart(void)
{
    struct kt_planned planned = snapshot();
    struct kt_reply text = {.status = 200, .is_json = false, .head_len = 1};
    CHECK_INT(check(&planned, 404, "{}"), KT_WRONG_STATUS_4XX);
    CHECK_INT(check(&planned, 503, "{}"), KT_WRONG_STATUS_5XX);
    CHECK_INT(check(&planned, 302, ""), KT_WRONG_STATUS);
    CHECK_INT(check(&planned, 201, "{}"), KT_WRONG_STATUS);
    CHECK_INT(check(&planned, 200, ""), KT_WRONG_JSON);
    CHECK_INT(check(&planned, 200, OK "[]"), KT_WRONG_JSON);
    CHECK_INT(check(&planned, 200, OK "[],\"total\":2} "), KT_WRONG_SHAPE);
    CHECK_INT(check(&planned, 200, OK "[],\"total\":02}"), KT_WRONG_JSON);
    CHECK_INT(check(&planned, 200, OK "[],\"total\":2,\"total\":2}"), KT_WRONG_JSON);
    CHECK_INT(check(&planned, 200, "{\"status_code\":500,\"data\":null}"), KT_WRONG_ENVELOPE);
    CHECK_INT(kt_check(&planned, &text, kt_str(OK "[],\"total\":2}"), &hole, &err), KT_WRONG_JSON);
}

static void periods_name_the_subjects_in_order(void)
{
    struct kt_planned planned = snapshot();
    planned.kind = KT_EXPECT_PERIOD;
#define RECORD(key, more)                                                                          \
    "{\"end_date\":\"2020-12-31\",\"period\":\"Q4\",\"declare_date\":\"\",\"year\":\"2020\"" more  \
    ",\"combine\":\"" key ":2020_Q4\"}"
#define OF(key, records) "{\"subject\":{\"subject\":\"" key "\"},\"data\":[" records "]}"
    CHECK_INT(
        check(&planned, 200, OK "[" OF("s:1", RECORD("s:1", ",\"a\":1")) "," OF("s:3", "") "]}"),
        KT_WRONG_NONE);
    CHECK_INT(check(&planned, 200, OK "[" OF("s:3", "") "," OF("s:1", "") "]}"), KT_WRONG_SHAPE);
    CHECK_INT(check(&planned, 200, OK "[" OF("s:1", "") "," OF("s:1", "") "]}"), KT_WRONG_SHAPE);
    CHECK_INT(check(&planned, 200, OK "[" OF("s:1", "") "]}"), KT_WRONG_SHAPE);
    CHECK_INT(check(&planned, 200, OK "[" OF("s:1", "") "," OF("s:9", "") "]}"), KT_WRONG_SHAPE);
    CHECK_INT(check(&planned, 200, OK "[" OF("s:1", RECORD("s:2", "")) "," OF("s:3", "") "]}"),
              KT_WRONG_SHAPE);
    CHECK_INT(
        check(&planned, 200, OK "[" OF("s:1", RECORD("s:1", ",\"c\":1")) "," OF("s:3", "") "]}"),
        KT_WRONG_SHAPE);
    CHECK_INT(check(&planned, 200, OK "[" OF("s:1", "{\"end_date\":\"x\"}") "," OF("s:3", "") "]}"),
              KT_WRONG_SHAPE);
    CHECK_INT(check(&planned, 200, OK "[" OF("s:1", "1") "," OF("s:3", "") "]}"), KT_WRONG_SHAPE);
}

static void a_save_says_its_revision(void)
{
    struct kt_planned planned = {.kind = KT_EXPECT_SAVE, .status = 200};
    const char *right = OK "{\"revision\":812,\"records\":1}}";
    CHECK_INT(check(&planned, 200, right), KT_WRONG_NONE);
    CHECK_INT(check(&planned, 200, OK "{\"revision\":812,\"records\":0}}"), KT_WRONG_SHAPE);
    CHECK_INT(check(&planned, 200, OK "{\"revision\":0,\"records\":1}}"), KT_WRONG_SHAPE);
    CHECK_INT(check(&planned, 200, OK "null}"), KT_WRONG_SHAPE);
}

static void a_known_body_may_differ_in_its_hole_only(void)
{
    struct kt_planned planned = {.kind = KT_EXPECT_SAVE, .status = 200};
    struct kt_str known = KT_STR(OK "{\"revision\":812,\"records\":1}}");
    CHECK_INT(check(&planned, 200, known.data), KT_WRONG_NONE);
    CHECK(kt_check_same(known, &hole, known));
    CHECK(kt_check_same(known, &hole, KT_STR(OK "{\"revision\":9,\"records\":1}}")));
    CHECK(kt_check_same(known, &hole, KT_STR(OK "{\"revision\":123456789,\"records\":1}}")));
    CHECK(!kt_check_same(known, &hole, KT_STR(OK "{\"revision\":,\"records\":1}}")));
    CHECK(!kt_check_same(known, &hole, KT_STR(OK "{\"revision\":0812,\"records\":1}}")));
    CHECK(!kt_check_same(known, &hole, KT_STR(OK "{\"revision\":8a2,\"records\":1}}")));
    CHECK(!kt_check_same(known, &hole, KT_STR(OK "{\"revision\":812,\"records\":2}}")));
    CHECK(!kt_check_same(known, &hole, KT_STR(OK "{\"revision\":812")));
    CHECK(!kt_check_same(known, &hole, KT_STR("")));

    planned = snapshot();
    planned.limit = planned.total_min = 1;
    known = KT_STR(OK "[" ROW("s:1", "") "],\"total\":2,\"next_cursor\":\"aB3-_\"}");
    CHECK_INT(check(&planned, 200, known.data), KT_WRONG_NONE);
    CHECK(kt_check_same(known, &hole,
                        KT_STR(OK "[" ROW("s:1", "") "],\"total\":2,\"next_cursor\":\"xyz\"}")));
    CHECK(!kt_check_same(known, &hole,
                         KT_STR(OK "[" ROW("s:1", "") "],\"total\":3,\"next_cursor\":\"xyz\"}")));
    CHECK(!kt_check_same(known, &hole,
                         KT_STR(OK "[" ROW("s:1", "") "],\"total\":2,\"next_cursor\":\"x,z\"}")));
    CHECK(!kt_check_same(known, &hole, KT_STR(OK "[" ROW("s:1", "") "],\"total\":2}")));
}

static void values_are_compared_by_meaning(void)
{
    static const struct {
        const char *a, *b, *where; /* NULL = the same */
    } rows[] = {
        {"{\"a\":1,\"b\":[1,2]}", "{\"b\":[1.0,2],\"a\":1e0}", NULL},
        {"{\"next_cursor\":\"x\"}", "{\"next_cursor\":\"y\"}", NULL},
        {"{\"a\":1}", "{\"a\":2}", "a"},
        {"{\"d\":[{\"a\":1},{\"a\":1}]}", "{\"d\":[{\"a\":1},{\"a\":2}]}", "d[1].a"},
        {"{\"a\":1}", "{\"b\":1}", "a"},
        {"{\"a\":1}", "{\"a\":1,\"b\":1}", ""},
        {"{\"a\":null}", "{\"a\":false}", "a"},
        {"{\"a\":\"1\"}", "{\"a\":1}", "a"},
        {"[1]", "[1,2]", ""},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(rows); i++) {
        struct kt_json *a = NULL, *b = NULL;
        char where[64];
        CHECK_OK(kt_json_parse(kt_str(rows[i].a), 16, &a, &err));
        CHECK_OK(kt_json_parse(kt_str(rows[i].b), 16, &b, &err));
        CHECK_INT(kt_json_same(kt_json_root(a), kt_json_root(b), where, sizeof(where)),
                  rows[i].where == NULL);
        if (rows[i].where) {
            CHECK_STR(where, rows[i].where);
        }
        kt_json_free(&a);
        kt_json_free(&b);
    }
}

static const struct kt_test tests[] = {
    TEST(a_right_snapshot_is_right),
    TEST(each_wrong_shape_is_found),
    TEST(the_order_that_was_asked_for_is_checked),
    TEST(nothing_may_be_later_than_the_date),
    TEST(pages_hold_as_many_rows_as_they_must),
    TEST(statuses_json_and_status_code_are_told_apart),
    TEST(periods_name_the_subjects_in_order),
    TEST(a_save_says_its_revision),
    TEST(a_known_body_may_differ_in_its_hole_only),
    TEST(values_are_compared_by_meaning),
};
KT_TEST_MAIN(tests)

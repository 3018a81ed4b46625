/* SPDX-License-Identifier: MIT */
/* test_import_ndjson.c - lines of JSON into batches, and everything at once with atomic=1. */
#include "importer.h"
#include "kt_test.h"

#include "base/mem.h"

static void run(struct importer *importer, const char *body, const char *expected)
{
    struct kt_buf text;
    kt_buf_init(&text, 0);
    importer->body = kt_str(body);
    if (importer_run_all_ways(importer, &text) && !kt_str_eq_text(kt_buf_str(&text), expected)) {
        kt_test_fail(__FILE__, __LINE__, "?%s\n%s\n    got  " KT_STR_FMT "    want %s",
                     importer->query, body, KT_STR_ARG(kt_buf_str(&text)), expected);
    }
    kt_buf_done(&text);
}

static void lines_have_the_shapes_of_save(void)
{
    struct importer importer;
    importer_init(&importer);
    importer.query = "format=ndjson";
    run(&importer,
        "\xEF\xBB\xBF{\"subject\":{\"subject\":\"a\",\"name\":\"N\",\"topics\":[\"p\"],"
        "\"tags\":{\"t\":[\"u\"]}}}\r\n"
        "\n  \t\r\n"
        "{\"subject\":{\"subject\":\"a\",\"name\":\"M\"}}\n"
        " {\"record\" : "
        "{\"subject\":\"a\",\"time\":\"1970-01-02\",\"data\":{\"x\":1,\"y\":null}}}\n"
        "{\"record\":{\"subject\":\"b\",\"time\":0,\"period\":\"Q4\",\"declare_date\":5}}",
        "batch 1\n"
        "subject a name=\"N\" topics=replace[p@open..open] tags{t=[u]}\n"
        "subject a name=\"M\"\n"
        "record a 86400 x=1 y=null\n"
        "record b 0 period=\"Q4\" declared=5\n"
        "{\"revision\":101,\"records\":2,\"subjects\":2,\"values\":1,\"rejected\":0,"
        "\"errors\":[]}\n");
    run(&importer, "\n\n",
        "{\"revision\":0,\"records\":0,\"subjects\":0,\"values\":0,\"rejected\":0,"
        "\"errors\":[]}\n");
    run(&importer, "",
        "{\"revision\":0,\"records\":0,\"subjects\":0,\"values\":0,\"rejected\":0,"
        "\"errors\":[]}\n");
    importer_done(&importer);
}

static void subjects_alone_make_batches_too(void)
{
    struct importer importer;
    importer_init(&importer);
    importer.query = "format=ndjson";
    importer.limits.batch_records = 2;
    run(&importer,
        "{\"subject\":{\"subject\":\"a\"}}\n{\"subject\":{\"subject\":\"b\"}}\n"
        "{\"subject\":{\"subject\":\"c\"}}\n",
        "batch 1\nsubject a\nsubject b\nbatch 2\nsubject c\n"
        "{\"revision\":102,\"records\":0,\"subjects\":3,\"values\":0,\"rejected\":0,"
        "\"errors\":[]}\n");
    importer_done(&importer);
}

static void hostile_lines_are_rejected_by_number_with_a_reason(void)
{
    static const struct {
        const char *line, *reason; /* a part of it */
    } examples[] = {
        {"x", "JSON"},
        {"[]", "object"},
        {"{}", "a line is"},
        {"null", "object"},
        {"{\"subject\":{\"subject\":\"a\"},\"record\":{\"subject\":\"a\",\"time\":1}}",
         "a line is"},
        {"{\"subject\":{\"subject\":\"a\"},\"subject\":{\"subject\":\"b\"}}", "twice"},
        {"{\"record\":{\"subject\":\"a\",\"time\":1,\"data\":{\"x\":1,\"x\":2}}}", "twice"},
        {"{\"record\":{\"subject\":\"a\",\"time\":1}} {}", "behind"},
        {"{\"record\":{\"subject\":\"a\"}}", "record.time"},
        {"{\"record\":{\"subject\":\"\",\"time\":1}}", "record.subject"},
        {"{\"record\":{\"subject\":\"a\",\"time\":1,\"data\":{\"name\":1}}}", "record.data"},
        {"{\"record\":{\"subject\":\"a\",\"time\":1,\"data\":{\"x\":1e999}}}", "number"},
        {"{\"record\":{\"subject\":\"a\",\"time\":1,\"more\":1}}", "record.more"},
        {"{\"subject\":{\"subject\":\"a\",\"topics\":[\"*\"]}}", "subject.topics"},
        {"{\"other\":1,\"record\":{\"subject\":\"a\",\"time\":1}}", "other"},
        {"[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]", "deep"},
        {"{\"subject\":{\"subject\":\"\xff\"}}", "UTF-8"},
        {"{\"subject\":{\"subject\":\"\\u0000\"}}", "u0000"},
    };
    struct importer importer;
    struct kt_buf body;
    importer_init(&importer);
    kt_buf_init(&body, 0);
    importer.query = "format=ndjson";
    for (size_t i = 0; i < KT_ARRAY_LEN(examples); i++) {
        kt_buf_append_text(&body, examples[i].line);
        kt_buf_append_text(&body, "\n{\"record\":{\"subject\":\"good\",\"time\":1}}\n");
    }
    importer.body = kt_buf_str(&body);
    CHECK_INT(importer_run(&importer), KT_OK);
    CHECK_INT(importer.report.records, KT_ARRAY_LEN(examples));
    CHECK_INT(importer.report.subjects, 1);
    CHECK_INT(importer.report.rejected, KT_ARRAY_LEN(examples));
    for (size_t i = 0; i < importer.report.error_count; i++) {
        CHECK_INT(importer.report.errors[i].line, 2 * i + 1);
        if (kt_str_find(kt_str(importer.report.errors[i].reason), kt_str(examples[i].reason)) < 0) {
            kt_test_fail(__FILE__, __LINE__, "%s: %s", examples[i].line,
                         importer.report.errors[i].reason);
        }
    }
    kt_buf_done(&body);
    importer_done(&importer);
}

static void an_overlong_line_is_rejected_and_the_next_is_found(void)
{
    struct importer importer;
    struct kt_buf body;
    importer_init(&importer);
    kt_buf_init(&body, 0);
    importer.query = "format=ndjson";
    importer.limits.line_max_bytes = 100;
    for (size_t len = 60; len < 200000; len = len * 3 + 1) {
        kt_buf_clear(&body);
        kt_buf_append_text(&body, "{\"subject\":{\"subject\":\"a\"}}");
        for (size_t i = 0; i < len; i++) {
            kt_buf_append_byte(&body, ' ');
        }
        kt_buf_append_text(&body, "\n{\"record\":{\"subject\":\"b\",\"time\":1}}\n");
        importer.body = kt_buf_str(&body);
        CHECK_INT(importer_run(&importer), KT_OK);
        CHECK_INT(importer.report.rejected, len > 73);
        CHECK_INT(importer.report.records, 1);
        CHECK_INT(importer.report.subjects, len > 73 ? 1 : 2);
    }
    kt_buf_done(&body);
    importer_done(&importer);
}

static void atomic_is_one_batch_or_nothing(void)
{
    struct importer importer;
    importer_init(&importer);
    importer.limits.batch_records = 2;
    importer.query = "atomic=1";
    run(&importer, "subject,time,x\na,1970,1\nb,1970,2\nc,1970,3\nd,bad,4\ne,1970,5\n",
        "batch 1\nrecord a 0 x=1\nrecord b 0 x=2\nrecord c 0 x=3\nrecord e 0 x=5\n"
        "{\"revision\":101,\"records\":4,\"subjects\":4,\"values\":4,\"rejected\":1,"
        "\"errors\":[{\"line\":5,\"reason\":\"time must be a year from 1 to 9999\"}]}\n");
    importer.query = "atomic=1&on_error=abort";
    run(&importer, "subject,time,x\na,1970,1\nb,1970,2\nc,1970,3\nd,bad,4\ne,1970,5\n",
        "bad_value body: line 5: time must be a year from 1 to 9999\n"
        "{\"revision\":0,\"records\":0,\"subjects\":0,\"values\":0,\"rejected\":1,"
        "\"errors\":[{\"line\":5,\"reason\":\"time must be a year from 1 to 9999\"}]}\n");
    importer.query = "atomic=0";
    importer.body = KT_STR("subject,time,x\na,1970,1\nb,1970,2\nc,1970,3\n");
    CHECK_INT(importer_run(&importer), KT_OK);
    CHECK_INT(importer.report.batches, 2);
    importer_done(&importer);
}

static void atomic_is_bounded_and_stores_nothing_beyond(void)
{
    static const char *const queries[] = {"atomic=1", "atomic=1&format=ndjson"};
    struct importer importer;
    struct kt_buf body;
    importer_init(&importer);
    kt_buf_init(&body, 0);
    importer.limits.atomic_bytes = 65536;
    for (size_t q = 0; q < KT_ARRAY_LEN(queries); q++) {
        kt_buf_clear(&body);
        kt_buf_append_text(&body, q == 0 ? "subject,time,name\n" : "");
        for (int i = 0; i < 20000; i++) {
            kt_buf_printf(&body,
                          q == 0 ? "s%d,1970,name\n"
                                 : "{\"subject\":{\"subject\":\"s%d\",\"name\":\"name\"}}\n",
                          i);
        }
        importer.query = queries[q];
        importer.body = kt_buf_str(&body);
        CHECK_INT(importer_run(&importer), KT_TOO_LARGE);
        CHECK_STR(importer.err.field, "atomic");
        CHECK_INT(importer.submits, 0);
    }
    kt_buf_done(&body);
    importer_done(&importer);
}

static void parameters_of_csv_are_refused(void)
{
    static const char *const names[] = {"subject", "time",  "name", "status",      "category",
                                        "period",  "topic", "skip", "time_format", "declare_date"};
    struct importer importer;
    importer_init(&importer);
    for (size_t i = 0; i < KT_ARRAY_LEN(names); i++) {
        char query[80];
        snprintf(query, sizeof(query), "%s=%s&format=ndjson", names[i],
                 kt_str_eq_text(kt_str(names[i]), "time_format") ? "year" : "x");
        importer.query = query;
        importer.body = KT_STR("");
        CHECK_INT(importer_run(&importer), KT_BAD_VALUE);
        CHECK_STR(importer.err.field, names[i]);
    }
    importer_done(&importer);
}

static void lack_of_memory_is_said_and_nothing_leaks(void)
{
    struct importer importer;
    importer_init(&importer);
    importer.query = "format=ndjson";
    importer.body = KT_STR("{\"subject\":{\"subject\":\"a\",\"topics\":[\"p\"]}}\n"
                           "{\"record\":{\"subject\":\"a\",\"time\":1,\"data\":{\"x\":1}}}\n");
    enum kt_status status = KT_NO_MEMORY;
    for (uint64_t nth = 1; status != KT_OK && nth < 1000; nth++) {
        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        status = importer_run(&importer);
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        CHECK(status == KT_OK || status == KT_NO_MEMORY || status == KT_TOO_LARGE);
    }
    CHECK_INT(status, KT_OK);
    CHECK_INT(importer.report.records, 1);
    importer_done(&importer);
}

#define AT(revision, wall) ",\"recorded\":{\"revision\":" #revision ",\"wall_ms\":" #wall "}}\n"
#define SUBJECT(key) "{\"subject\":{\"subject\":\"" key "\"}"
#define RECORD(key, more) "{\"record\":{\"subject\":\"" key "\",\"time\":1" more "}"

static void recorded_lines_are_written_by_revision_with_their_stamps(void)
{
    struct importer importer;
    char beside[320];
    importer_init(&importer);
    kt_test_path(beside, sizeof(beside), "restore.db");
    importer.limits.spool_beside = beside;
    importer.limits.spool_bytes = 1 << 20;
    importer.limits.batch_records = 1; /* a revision is not cut */
    importer.query = "format=ndjson";
    run(&importer,
        SUBJECT("a") AT(7, 300) SUBJECT("none") AT(0, 0) RECORD("a", ",\"data\":{\"x\":1}")
            AT(5, 200) RECORD("a", ",\"declare_date\":9") AT(7, 300)
                RECORD("a", ",\"period\":\"p\"") AT(7, 300) RECORD("b", "") AT(6, 200),
        "batch 1\nrecorded 5 at 200\nsubject none\nrecord a 1 x=1\n"
        "batch 2\nrecorded 6 at 200\nrecord b 1\n"
        "batch 3\nrecorded 7 at 300\nsubject a\nrecord a 1 period=\"p\"\nrecord a 1 declared=9\n"
        "{\"revision\":103,\"records\":4,\"subjects\":3,\"values\":1,\"rejected\":0,"
        "\"errors\":[]}\n");
    run(&importer, SUBJECT("a") AT(0, 0) SUBJECT("b") AT(0, 0),
        "batch 1\nsubject a\nsubject b\n"
        "{\"revision\":101,\"records\":0,\"subjects\":2,\"values\":0,\"rejected\":0,"
        "\"errors\":[]}\n");
    importer_done(&importer);
}

static void recorded_lines_that_do_not_fit_are_refused_before_anything_is_written(void)
{
    static const struct {
        const char *query, *body;
        enum kt_status status;
        const char *field, *word;
    } examples[] = {
        {"", SUBJECT("a") AT(1, 5) RECORD("a", "") "}\n", KT_BAD_VALUE, "recorded", "line 2"},
        {"", SUBJECT("a") "}\n" RECORD("a", "") AT(1, 5), KT_BAD_VALUE, "recorded", "line 2"},
        {"&atomic=1", RECORD("a", "") AT(1, 5), KT_BAD_VALUE, "atomic", "recorded"},
        {"", RECORD("a", "") AT(2, 5) RECORD("b", "") AT(1, 6), KT_BAD_VALUE, "recorded",
         "backwards"},
        {"", RECORD("a", "") AT(2, 5) RECORD("b", "") AT(2, 6), KT_BAD_VALUE, "recorded", "twice"},
        {"", RECORD("a", "") AT(2, 9000000000000), KT_BAD_VALUE, "recorded", "future"},
    };
    struct importer importer;
    char beside[320];
    importer_init(&importer);
    kt_test_path(beside, sizeof(beside), "refused.db");
    for (size_t i = 0; i < KT_ARRAY_LEN(examples); i++) {
        char query[64];
        snprintf(query, sizeof(query), "format=ndjson%s", examples[i].query);
        importer.query = query;
        importer.limits.spool_beside = beside;
        importer.limits.spool_bytes = 1 << 20;
        importer.body = kt_str(examples[i].body);
        CHECK_INT(importer_run(&importer), examples[i].status);
        CHECK_STR(importer.err.field, examples[i].field);
        CHECK(kt_str_find(kt_str(importer.err.message), kt_str(examples[i].word)) >= 0);
        CHECK_INT(importer.report.batches, 0);
    }
    importer.query = "format=ndjson";
    importer.limits.spool_bytes = 100;
    importer.body = KT_STR(RECORD("a", "") AT(1, 5) RECORD("b", "") AT(1, 5));
    CHECK_INT(importer_run(&importer), KT_TOO_LARGE);
    CHECK_STR(importer.err.field, "body");
    importer.limits.spool_bytes = 1 << 20;
    importer.body =
        KT_STR(RECORD("a", "") AT(0, 5) RECORD("a", "") AT(1.5, 5)
                   RECORD("a", "") ",\"recorded\":{\"revision\":1}}\n" RECORD(
                       "a", "") ",\"recorded\":{\"revision\":1,\"wall_ms\":1,\"x\":1}}\n");
    CHECK_INT(importer_run(&importer), KT_OK);
    CHECK_INT(importer.report.rejected, 4);
    importer_done(&importer);
}

static const struct kt_test tests[] = {
    TEST(lines_have_the_shapes_of_save),
    TEST(subjects_alone_make_batches_too),
    TEST(hostile_lines_are_rejected_by_number_with_a_reason),
    TEST(an_overlong_line_is_rejected_and_the_next_is_found),
    TEST(atomic_is_one_batch_or_nothing),
    TEST(atomic_is_bounded_and_stores_nothing_beyond),
    TEST(parameters_of_csv_are_refused),
    TEST(recorded_lines_are_written_by_revision_with_their_stamps),
    TEST(recorded_lines_that_do_not_fit_are_refused_before_anything_is_written),
    TEST(lack_of_memory_is_said_and_nothing_leaks),
};
KT_TEST_MAIN(tests)

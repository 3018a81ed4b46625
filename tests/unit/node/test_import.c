/* SPDX-License-Identifier: MIT */
/* test_import.c - what the query string, the header and each line mean: the committed changes come
 * out as text, and the report. Each body is read plain and packed and in several pieces. */
#include "importer.h"
#include "kt_test.h"

#include "base/mem.h"

struct example {
    const char *query, *body, *expected; /* the batches, then the report without its errors */
};

static void check_examples(const struct example *examples, size_t count)
{
    struct importer importer;
    struct kt_buf text;
    importer_init(&importer);
    kt_buf_init(&text, 0);
    for (size_t i = 0; i < count; i++) {
        importer.query = examples[i].query;
        importer.body = kt_str(examples[i].body);
        if (importer_run_all_ways(&importer, &text) &&
            !kt_str_starts(kt_buf_str(&text), kt_str(examples[i].expected))) {
            kt_test_fail(__FILE__, __LINE__, "?%s\n%s\n    got  " KT_STR_FMT "    want %s",
                         examples[i].query, examples[i].body, KT_STR_ARG(kt_buf_str(&text)),
                         examples[i].expected);
        }
    }
    kt_buf_done(&text);
    importer_done(&importer);
}

#define REPORT(revision, records, subjects, values, rejected)                                      \
    "{\"revision\":" #revision ",\"records\":" #records ",\"subjects\":" #subjects                 \
    ",\"values\":" #values ",\"rejected\":" #rejected ",\"errors\":["
#define CLEAN(records, subjects, values) REPORT(101, records, subjects, values, 0) "]}"
#define NOTHING REPORT(0, 0, 0, 0, 0) "]}"

/* --- what lines become --- */

static void columns_have_roles_by_name_by_mapping_or_by_a_literal(void)
{
    static const struct example examples[] = {
        {"", "subject,time,x,y\na,2020-01-01,1,2.5\n",
         "batch 1\nrecord a 1577836800 x=1 y=2.5\n" CLEAN(1, 1, 2)},
        {"", "x,time,subject\n7,5,a\n", "batch 1\nrecord a -62009366400 x=7\n" CLEAN(1, 1, 1)},
        {"subject=Country&time=Year", "Country,Year,Total\nX,1970,3\n",
         "batch 1\nrecord X 0 total=3\n" CLEAN(1, 1, 1)},
        {"subject=a+b&time=t%C3%A9", "a b,t\xC3\xA9\nX,1970\n",
         "batch 1\nrecord X 0\n" CLEAN(1, 1, 0)},
        {"",
         "subject,time,name,status,category,period,declare_date,topic,x\n"
         "a,1970,N,S,C,Q4,1970-01-03,p,1\n",
         "batch 1\nsubject a name=\"N\" status=\"S\" category=\"C\" topics=add[p@open..open]\n"
         "record a 0 period=\"Q4\" declared=172800 x=1\n" CLEAN(1, 1, 1)},
        {"subject=s&time==literal:1970-01-02&name==literal:N,+n&topic==literal:sp500&"
         "category==literal:c&status==literal:&period==literal:FY&declare_date==literal:0",
         "s,x\na,1\n",
         "batch 1\nsubject a name=\"N, n\" category=\"c\" topics=add[sp500@open..open]\n"
         "record a 86400 period=\"FY\" declared=0 x=1\n" CLEAN(1, 1, 1)},
        {"subject==literal:only", "time,x\n1970,1\n1971,2\n",
         "batch 1\nrecord only 0 x=1\nrecord only 31536000 x=2\n" CLEAN(2, 1, 2)},
        /* One column may have two roles. */
        {"name=subject", "subject,time\na,1970\n",
         "batch 1\nsubject a name=\"a\"\nrecord a 0\n" CLEAN(1, 1, 0)},
        {"subject=s&time=t&format=csv&time_format=auto&on_error=skip&skip=", "s,t\na,1970\n",
         "batch 1\nrecord a 0\n" CLEAN(1, 1, 0)},
        {"", "subject,time\n", NOTHING},
        {"", "subject,time", NOTHING},
        {"", "\r\n\nsubject,time\r\n\r\n\n", NOTHING},
        {"",
         "\xEF\xBB\xBF\"subject\",\"time\",\"x\"\r\n\"b, c\",1970,1\r\n\"q\"\"q\",\"1970\",\"2\"",
         "batch 1\nrecord b, c 0 x=1\nrecord q\"q 0 x=2\n" CLEAN(2, 2, 2)},
    };
    check_examples(examples, KT_ARRAY_LEN(examples));
}

static void other_columns_are_indicators_with_normal_names(void)
{
    static const struct example examples[] = {
        {"", "subject,time,Bunker fuels (Not in Total),Per Capita\na,1970,1,2\n",
         "batch 1\nrecord a 0 bunker_fuels_not_in_total=1 per_capita=2\n" CLEAN(1, 1, 2)},
        {"", "subject,time,  --A__b!!9%  ,EPS(TTM)\na,1970,1,2\n",
         "batch 1\nrecord a 0 a_b_9=1 eps_ttm=2\n" CLEAN(1, 1, 2)},
        {"",
         "subject,time,\xE8\x90\xA5\xE4\xB8\x9A \xE6\x94\xB6\xE5\x85\xA5,\xC3\x84"
         "B\na,1970,1,2\n",
         "batch 1\nrecord a 0 \xE8\x90\xA5\xE4\xB8\x9A_\xE6\x94\xB6\xE5\x85\xA5=1 \xC3\x84"
         "b=2\n" CLEAN(1, 1, 2)},
        {"", "subject,time,\"a,\nb\"\na,1970,1\n", "batch 1\nrecord a 0 a_b=1\n" CLEAN(1, 1, 1)},
        {"skip=note,+x", "subject,time,note,x,y\na,1970,text,more,1\n",
         "batch 1\nrecord a 0 y=1\n" CLEAN(1, 1, 1)},
        {"skip=name", "subject,time,name,y\na,1970,N,1\n",
         "batch 1\nrecord a 0 y=1\n" CLEAN(1, 1, 1)},
        {"skip=,", ",subject,time,y\n0,a,1970,1\n", "batch 1\nrecord a 0 y=1\n" CLEAN(1, 1, 1)},
        {"skip=name&name=long", "subject,time,name,long\na,1970,N,L\n",
         "batch 1\nsubject a name=\"L\"\nrecord a 0\n" CLEAN(1, 1, 0)},
    };
    check_examples(examples, KT_ARRAY_LEN(examples));
}

static void an_empty_cell_names_nothing(void)
{
    static const struct example examples[] = {
        {"",
         "subject,time,name,category,period,declare_date,topic,x,y\n"
         "a,1970,,,,,,,\na,1971,N,,,,,, 2 \n",
         "batch 1\nsubject a name=\"N\"\nrecord a 0\nrecord a 31536000 y=2\n" CLEAN(2, 1, 1)},
        {"", "subject,time,x\na,1970,\"\"\na,1971,0\n",
         "batch 1\nrecord a 0\nrecord a 31536000 x=0\n" CLEAN(2, 1, 1)},
    };
    check_examples(examples, KT_ARRAY_LEN(examples));
}

static void numbers_are_read_as_json_reads_them(void)
{
    static const struct example examples[] = {
        {"", "subject,time,x\na,1970,1e3\na,1971,-0\na,1972,-2.50\na,1973,1.7976931348623157e308\n",
         "batch 1\nrecord a 0 x=1000\nrecord a 31536000 x=0\nrecord a 63072000 x=-2.5\n"
         "record a 94694400 x=1.7976931348623157e+308\n" CLEAN(4, 1, 4)},
        {"", "subject,time,x,y\na,1970,1,NaN\na,1971,1,\n",
         "batch 1\nrecord a 31536000 x=1\n" REPORT(
             101, 1, 1, 1, 1) "{\"line\":2,\"reason\":\"y: 'NaN' is not a finite number\"}]}"},
    };
    static const char *const wrong[] = {"nan", "Infinity", "-inf", "1e999", "0x1",
                                        "+1",  ".5",       "1.",   "1,5",   "1 000",
                                        "--1", "01",       "n/a",  "1e",    "\xFF"};
    struct importer importer;
    struct kt_buf body;
    importer_init(&importer);
    kt_buf_init(&body, 0);
    for (size_t i = 0; i < KT_ARRAY_LEN(wrong); i++) {
        kt_buf_clear(&body);
        kt_buf_printf(&body, "subject,time,x\na,1970,\"%s\"\n", wrong[i]);
        importer.body = kt_buf_str(&body);
        CHECK_INT(importer_run(&importer), KT_OK);
        CHECK_INT(importer.report.rejected, 1);
        CHECK_INT(importer.submits, 0);
        CHECK(strstr(importer.report.errors[0].reason, "is not a finite number"));
    }
    kt_buf_done(&body);
    importer_done(&importer);
    check_examples(examples, KT_ARRAY_LEN(examples));
}

static void the_last_line_wins_for_names_within_a_batch(void)
{
    static const struct example examples[] = {
        {"", "subject,time,name,category\na,1970,one,c1\nb,1970,B,\na,1971,two,\na,1972,,c2\n",
         "batch 1\nsubject a name=\"two\" category=\"c2\"\nsubject b name=\"B\"\n"
         "record a 0\nrecord b 0\nrecord a 31536000\nrecord a 63072000\n" CLEAN(4, 2, 0)},
        {"", "subject,time,status\na,1970,s1\na,1970,s2\n",
         "batch 1\nsubject a status=\"s2\"\nrecord a 0\nrecord a 0\n" CLEAN(2, 1, 0)},
    };
    check_examples(examples, KT_ARRAY_LEN(examples));
}

static void a_subject_may_enter_several_topics_in_one_batch(void)
{
    static const struct example examples[] = {
        {"", "subject,time,topic\na,1970,p\na,1971,q\na,1972,p\nb,1970,\na,1973,r\n",
         "batch 1\nsubject a topics=add[p@open..open,q@open..open,r@open..open]\n"
         "record a 0\nrecord a 31536000\nrecord a 63072000\nrecord b 0\nrecord a 94694400\n" CLEAN(
             5, 2, 0)},
    };
    check_examples(examples, KT_ARRAY_LEN(examples));
}

/* --- times --- */

static void the_first_time_settles_the_form_of_all(void)
{
    static const struct example examples[] = {
        {"", "subject,time\na,2020\na,1\na,12345\na,2020-01-01\na,0\na,-5\na,\na, 1970 \n",
         "batch 1\nrecord a 1577836800\nrecord a -62135596800\nrecord a 0\n" REPORT(
             101, 3, 1, 0,
             5) "{\"line\":4,\"reason\":\"time must be a year from 1 to 9999\"},{\"line\":5,"},
        {"",
         "subject,time\na,86400\na,5\na,-5\na,2020-01-01\na,1.5\na,253402300799\n"
         "a,253402300800\na,99999999999999999999\n",
         "batch 1\nrecord a 86400\nrecord a 5\nrecord a -5\nrecord a 253402300799\n" REPORT(
             101, 4, 1, 0, 4) "{\"line\":5,\"reason\":\"time must be seconds since 1970 in the "
                              "years 1 to 9999\"},"},
        {"", "subject,time\na,-5\na,2020\n",
         "batch 1\nrecord a -5\nrecord a 2020\n" CLEAN(2, 1, 0)},
        {"",
         "subject,time\na,1969-12-31\na,2020\na,20200101\na,2020-02-30\na,2020-1-1\na,0001-01-01\n",
         "batch 1\nrecord a -86400\nrecord a -62135596800\n" REPORT(
             101, 2, 1, 0, 4) "{\"line\":3,\"reason\":\"time must be YYYY-MM-DD\"},"},
        {"time_format=year", "subject,time\na,86400\na,2020\n",
         "batch 1\nrecord a 1577836800\n" REPORT(101, 1, 1, 0, 1)},
        {"time_format=seconds", "subject,time\na,2020\na,1970-01-01\n",
         "batch 1\nrecord a 2020\n" REPORT(101, 1, 1, 0, 1)},
        {"time_format=date", "subject,time\na,2020\na,1970-01-01\n",
         "batch 1\nrecord a 0\n" REPORT(101, 1, 1, 0, 1)},
    };
    check_examples(examples, KT_ARRAY_LEN(examples));
}

/* A line of units between header and data is rejected, and does not make all others so. */
static void a_line_without_a_readable_time_settles_nothing(void)
{
    static const struct example examples[] = {
        {"", "subject,time,x\n,,USD\nticker,calendar year,USD\na,2020,1\na,2021,2\n",
         "batch 1\nrecord a 1577836800 x=1\nrecord a 1609459200 x=2\n" REPORT(101, 2, 1, 2, 2)},
    };
    check_examples(examples, KT_ARRAY_LEN(examples));
}

static void a_declare_date_is_a_date_or_seconds(void)
{
    static const struct example examples[] = {
        {"",
         "subject,time,declare_date\na,1970,1970-01-02\na,1970,5\na,1970,-5\na,1970, 7 \n"
         "a,1970,soon\na,1970,1970-13-01\na,1970,253402300800\n",
         "batch 1\nrecord a 0 declared=86400\nrecord a 0 declared=5\nrecord a 0 declared=-5\n"
         "record a 0 declared=7\n" REPORT(101, 4, 1, 0,
                                          3) "{\"line\":6,\"reason\":\"declare_date must be "
                                             "YYYY-MM-DD or seconds since 1970\"},"},
    };
    check_examples(examples, KT_ARRAY_LEN(examples));
}

/* --- lines that are rejected --- */

static void a_line_that_cannot_be_read_is_rejected_and_the_rest_goes_on(void)
{
    static const struct example examples[] = {
        {"", "subject,time,x\na,1970,1,2\na,1971\nb,1972,3\n",
         "batch 1\nrecord b 63072000 x=3\n" REPORT(
             101, 1, 1, 1, 2) "{\"line\":2,\"reason\":\"4 columns, the header has 3\"},"
                              "{\"line\":3,\"reason\":\"2 columns, the header has 3\"}]}"},
        {"", "subject,time\n\"a\"x,1970\n\"b\nb\",1970\nc\r,1970\nd,1970\n,1970\n",
         "batch 1\nrecord d 0\n" REPORT(
             101, 1, 1, 0,
             4) "{\"line\":2,\"reason\":\"text behind the closing quote of a cell\"},"
                "{\"line\":3,\"reason\":\"subject must be UTF-8 of 1 to 128 bytes without control "
                "characters\"},"
                "{\"line\":5,\"reason\":\"a carriage return without a line feed\"},"
                "{\"line\":7,\"reason\":\"subject must be UTF-8 of 1 to 128 bytes without control "
                "characters\"}]}"},
        {"", "subject,time,name,topic\na\xFF,1970,,\nb,1970,\xC0\xAF,\nc,1970,,*\nd,1970,x\ty,\n",
         REPORT(0, 0, 0, 0, 4) "{\"line\":2,\"reason\":\"subject must be"},
        {"", "subject,time\na,1970\n\"b,1970\nc,1970\n",
         "batch 1\nrecord a 0\n" REPORT(
             101, 1, 1, 0,
             1) "{\"line\":3,\"reason\":\"the quote of the last cell is not closed\"}]}"},
    };
    check_examples(examples, KT_ARRAY_LEN(examples));
}

static void a_megabyte_in_a_cell_is_one_rejected_line(void)
{
    struct importer importer;
    struct kt_buf body;
    importer_init(&importer);
    kt_buf_init(&body, 0);
    for (int quoted = 0; quoted < 2; quoted++) {
        kt_buf_clear(&body);
        kt_buf_append_text(&body, "subject,time,x\na,1970,1\nb,1970,");
        kt_buf_append_text(&body, quoted ? "\"" : "");
        for (int i = 0; i < 1 << 20; i++) {
            kt_buf_append_byte(&body, '7');
        }
        kt_buf_append_text(&body, quoted ? "\"\nc,1970,3\n" : "\nc,1970,3\n");
        importer.body = kt_buf_str(&body);
        importer.piece = 5000;
        importer.limits.line_max_bytes = 65536;
        CHECK_INT(importer_run(&importer), KT_OK);
        CHECK_INT(importer.report.records, 2);
        CHECK_INT(importer.report.rejected, 1);
        CHECK_INT(importer.report.errors[0].line, 3);
        CHECK(strstr(importer.report.errors[0].reason, "longer than [limits] import_line_bytes"));
        /* Within the bound it is a number that overflows. */
        importer.limits.line_max_bytes = 2 << 20;
        CHECK_INT(importer_run(&importer), KT_OK);
        CHECK_INT(importer.report.records, 2);
        CHECK(strstr(importer.report.errors[0].reason, "is not a finite number"));
    }
    kt_buf_done(&body);
    importer_done(&importer);
}

static void a_reason_is_cut_at_a_character(void)
{
    struct importer importer;
    struct kt_buf body;
    importer_init(&importer);
    kt_buf_init(&body, 0);
    for (int shift = 0; shift < 3; shift++) {
        kt_buf_clear(&body);
        kt_buf_append_text(&body, "subject,time,");
        for (int i = 0; i < 40 + shift; i++) {
            kt_buf_append_text(&body, i < shift ? "x" : "\xE4\xB8\xAD");
        }
        kt_buf_append_text(&body, "\na,1970,");
        for (int i = 0; i < 100; i++) {
            kt_buf_append_text(&body, i < shift ? "x" : "\xE6\x96\x87");
        }
        kt_buf_append_text(&body, "\n");
        importer.body = kt_buf_str(&body);
        CHECK_INT(importer_run(&importer), KT_OK);
        CHECK_INT(importer.report.rejected, 1);
        CHECK(kt_utf8_valid(kt_str(importer.report.errors[0].reason)));
        CHECK(strstr(importer.report.errors[0].reason, "is not a finite number"));
    }
    kt_buf_done(&body);
    importer_done(&importer);
}

static void the_first_hundred_reasons_are_kept_and_all_are_counted(void)
{
    struct importer importer;
    struct kt_buf body;
    importer_init(&importer);
    kt_buf_init(&body, 0);
    kt_buf_append_text(&body, "subject,time\n");
    for (int i = 0; i < 250; i++) {
        kt_buf_append_text(&body, "a,x\n");
    }
    kt_buf_append_text(&body, "a,1970\n");
    importer.body = kt_buf_str(&body);
    CHECK_INT(importer_run(&importer), KT_OK);
    CHECK_INT(importer.report.rejected, 250);
    CHECK_INT(importer.report.error_count, KT_IMPORT_ERRORS_MAX);
    CHECK_INT(importer.report.errors[0].line, 2);
    CHECK_INT(importer.report.errors[99].line, 101);
    CHECK_INT(importer.report.records, 1);
    kt_buf_done(&body);
    importer_done(&importer);
}

/* --- what is refused as a whole --- */

struct refusal {
    const char *query, *body;
    enum kt_status status;
    const char *field, *message; /* the whole field; a part of the message */
};

static void check_refusals(const struct refusal *refusals, size_t count)
{
    struct importer importer;
    importer_init(&importer);
    for (size_t i = 0; i < count; i++) {
        importer.query = refusals[i].query;
        importer.body = kt_str(refusals[i].body);
        for (size_t j = 0; j < IMPORTER_PIECES; j++) {
            importer.piece = importer_pieces[j];
            enum kt_status status = importer_run(&importer);
            if (status != refusals[i].status || importer.err.status != status ||
                strcmp(importer.err.field, refusals[i].field) != 0 ||
                !strstr(importer.err.message, refusals[i].message) || importer.submits > 0 ||
                !kt_utf8_valid(kt_str(importer.err.message))) {
                kt_test_fail(__FILE__, __LINE__,
                             "?%s\n%s\n    got  %s field \"%s\": %s\n    want %s field \"%s\": %s",
                             refusals[i].query, refusals[i].body, kt_status_name(status),
                             importer.err.field, importer.err.message,
                             kt_status_name(refusals[i].status), refusals[i].field,
                             refusals[i].message);
                break;
            }
        }
    }
    importer_done(&importer);
}

#define ONE_LINE "subject,time,x\na,1970,1\n"

static void a_wrong_query_string_is_refused_naming_the_parameter(void)
{
    static const struct refusal refusals[] = {
        {"colour=red", ONE_LINE, KT_UNKNOWN_FIELD, "colour", "unknown query parameter 'colour'"},
        {"Subject=x", ONE_LINE, KT_UNKNOWN_FIELD, "Subject", "unknown"},
        {"=x", ONE_LINE, KT_UNKNOWN_FIELD, "", "unknown"},
        {"format=xml", ONE_LINE, KT_BAD_VALUE, "format", "'xml'"},
        {"format=", ONE_LINE, KT_BAD_VALUE, "format", "''"},
        {"atomic=2", ONE_LINE, KT_BAD_VALUE, "atomic", "'2'"},
        {"atomic=", ONE_LINE, KT_BAD_VALUE, "atomic", "''"},
        {"time_format=iso", ONE_LINE, KT_BAD_VALUE, "time_format", "'iso'"},
        {"on_error=ignore", ONE_LINE, KT_BAD_VALUE, "on_error", "'ignore'"},
        {"subject=", ONE_LINE, KT_BAD_VALUE, "subject", "must name a column"},
        {"topic=", ONE_LINE, KT_BAD_VALUE, "topic", "must name a column"},
        {"subject==literal:", ONE_LINE, KT_BAD_VALUE, "subject", "1 to 128 bytes"},
        {"time==literal:", ONE_LINE, KT_BAD_VALUE, "time", "1 to 128 bytes"},
        /* No line could ever be read with these: said before the first of them is. */
        {"time==literal:soon", ONE_LINE, KT_BAD_VALUE, "time", "YYYY-MM-DD"},
        {"time==literal:2024&time_format=date", ONE_LINE, KT_BAD_VALUE, "time", "YYYY-MM-DD"},
        {"time_format=year&time==literal:20240", ONE_LINE, KT_BAD_VALUE, "time", "year"},
        {"declare_date==literal:2024-02-30", ONE_LINE, KT_BAD_VALUE, "declare_date", "seconds"},
        {"name==literal:%01", ONE_LINE, KT_BAD_VALUE, "name", "control characters"},
        {"topic==literal:*", ONE_LINE, KT_BAD_VALUE, "topic", "can't be *"},
        {"subject=%zz", ONE_LINE, KT_BAD_VALUE, "subject", "escapes"},
        {"subject=%FF", ONE_LINE, KT_BAD_VALUE, "subject", "UTF-8"},
        /* Twice, also where the second would have outgrown the first one's array. */
        {"subject=subject&subject=time", ONE_LINE, KT_BAD_VALUE, "subject", "given twice"},
        {"skip=a,b,c,d,e&skip=f", ONE_LINE, KT_BAD_VALUE, "skip", "given twice"},
        {"format=csv&format=csv", ONE_LINE, KT_BAD_VALUE, "format", "given twice"},
        {"on_error=abort&on_error=skip", ONE_LINE, KT_BAD_VALUE, "on_error", "given twice"},
    };
    check_refusals(refusals, KT_ARRAY_LEN(refusals));
}

static void a_header_that_does_not_fit_is_refused_before_anything_is_stored(void)
{
    static const struct refusal refusals[] = {
        {"", "", KT_BAD_VALUE, "header", "the body is empty"},
        {"", "\n\r\n", KT_BAD_VALUE, "header", "the body is empty"},
        {"", "\xEF\xBB\xBF", KT_BAD_VALUE, "header", "the body is empty"},
        {"", "\"subject,time\na,1970\n", KT_BAD_VALUE, "header", "not closed"},
        {"", "sub\"ject,time\na,1970\n", KT_BAD_VALUE, "header", "a quote inside a cell"},
        {"", "time,x\n1970,1\n", KT_BAD_VALUE, "subject", "no column 'subject'"},
        {"", "subject,x\na,1\n", KT_BAD_VALUE, "time", "no column 'time'"},
        {"", "Subject,time\na,1970\n", KT_BAD_VALUE, "subject", "no column 'subject'"},
        {"subject=symbol", ONE_LINE, KT_BAD_VALUE, "subject", "no column 'symbol'"},
        {"name=long+name", ONE_LINE, KT_BAD_VALUE, "name", "no column 'long name'"},
        {"topic=pool", ONE_LINE, KT_BAD_VALUE, "topic", "no column 'pool'"},
        {"skip=y", ONE_LINE, KT_BAD_VALUE, "skip", "no column 'y'"},
        {"", "subject,time,subject\na,1970,b\n", KT_BAD_VALUE, "subject", "there twice"},
        {"", "subject,time,name,name\na,1970,b,c\n", KT_BAD_VALUE, "name", "there twice"},
        {"", "subject,time,x,x\na,1970,1,2\n", KT_BAD_VALUE, "skip",
         "columns 3 and 4 are both the indicator 'x'"},
        {"", "subject,time,Net Profit,net_profit\na,1970,1,2\n", KT_BAD_VALUE, "skip",
         "columns 3 and 4 are both the indicator 'net_profit'"},
        {"", "subject,time,year\na,1970,1\n", KT_BAD_VALUE, "skip", "column 3, 'year'"},
        {"", "subject,time,End Date\na,1970,1\n", KT_BAD_VALUE, "skip", "column 3, 'End Date'"},
        {"subject=s", "s,time,subject\na,1970,1\n", KT_BAD_VALUE, "skip", "column 3, 'subject'"},
        {"", "subject,time,\na,1970,1\n", KT_BAD_VALUE, "skip", "column 3, ''"},
        {"", "subject,time,(%)\na,1970,1\n", KT_BAD_VALUE, "skip", "column 3, '(%)'"},
        {"", "subject,time,\xFF\na,1970,1\n", KT_BAD_VALUE, "skip", "column 3"},
    };
    check_refusals(refusals, KT_ARRAY_LEN(refusals));
}

static void more_columns_than_indicators_can_be_are_refused(void)
{
    struct importer importer;
    struct kt_buf body;
    importer_init(&importer);
    kt_buf_init(&body, 0);
    for (int columns = KT_IMPORT_COLUMNS_MAX; columns <= KT_IMPORT_COLUMNS_MAX + 1; columns++) {
        kt_buf_clear(&body);
        kt_buf_append_text(&body, "subject,time");
        for (int i = 2; i < columns; i++) {
            kt_buf_printf(&body, ",c%d", i);
        }
        kt_buf_append_text(&body, "\na,1970");
        for (int i = 2; i < columns; i++) {
            kt_buf_printf(&body, ",%d", i);
        }
        importer.body = kt_buf_str(&body);
        enum kt_status status = importer_run(&importer);
        if (columns <= KT_IMPORT_COLUMNS_MAX) {
            CHECK_INT(status, KT_OK);
            CHECK_INT(importer.report.values, columns - 2);
        } else {
            CHECK_INT(status, KT_BAD_VALUE);
            CHECK_STR(importer.err.field, "header");
        }
    }
    kt_buf_done(&body);
    importer_done(&importer);
}

static void only_gzip_and_nothing_are_encodings(void)
{
    static const char *const wrong[] = {"br", "deflate", "gzip, gzip", "", "x"};
    static const char *const plain[] = {"identity", "IDENTITY"};
    struct importer importer;
    importer_init(&importer);
    importer.body = kt_str(ONE_LINE);
    for (size_t i = 0; i < KT_ARRAY_LEN(wrong); i++) {
        importer.encoding = wrong[i];
        CHECK_INT(importer_run(&importer), KT_MEDIA_TYPE);
        CHECK_STR(importer.err.field, "Content-Encoding");
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(plain); i++) {
        importer.encoding = plain[i];
        CHECK_INT(importer_run(&importer), KT_OK);
    }
    importer.encoding = "GZip";
    CHECK_INT(importer_run(&importer), KT_BAD_REQUEST);
    CHECK(strstr(importer.err.message, "not valid gzip"));
    CHECK_INT(importer.submits, 0);
    importer_done(&importer);
}

static const struct kt_test tests[] = {
    TEST(columns_have_roles_by_name_by_mapping_or_by_a_literal),
    TEST(other_columns_are_indicators_with_normal_names),
    TEST(an_empty_cell_names_nothing),
    TEST(numbers_are_read_as_json_reads_them),
    TEST(the_last_line_wins_for_names_within_a_batch),
    TEST(a_subject_may_enter_several_topics_in_one_batch),
    TEST(the_first_time_settles_the_form_of_all),
    TEST(a_line_without_a_readable_time_settles_nothing),
    TEST(a_declare_date_is_a_date_or_seconds),
    TEST(a_line_that_cannot_be_read_is_rejected_and_the_rest_goes_on),
    TEST(a_megabyte_in_a_cell_is_one_rejected_line),
    TEST(a_reason_is_cut_at_a_character),
    TEST(the_first_hundred_reasons_are_kept_and_all_are_counted),
    TEST(a_wrong_query_string_is_refused_naming_the_parameter),
    TEST(a_header_that_does_not_fit_is_refused_before_anything_is_stored),
    TEST(more_columns_than_indicators_can_be_are_refused),
    TEST(only_gzip_and_nothing_are_encodings),
};
KT_TEST_MAIN(tests)

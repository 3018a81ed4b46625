/* SPDX-License-Identifier: MIT */
/* test_save_refused.c - what is wrong in the body of a save, and the field that the error names. */
#include "save_help.h"

static void json_that_is_broken_is_refused(void)
{
    static const struct bad cases[] = {
        {"", KT_BAD_VALUE, "", "JSON text is empty"},
        {"   ", KT_BAD_VALUE, "", "JSON text is empty"},
        {"{", KT_BAD_VALUE, "", "JSON at byte 1"},
        {"{'records':[}", KT_BAD_VALUE, "", "JSON at byte 12"},
        {"{'records':[]} x", KT_BAD_VALUE, "", "JSON at byte 15"},
        {"{'records':[],}", KT_BAD_VALUE, "", "JSON at byte"},
        {"{records:[]}", KT_BAD_VALUE, "", "JSON at byte 1"},
        {"{'records':[],'records':[]}", KT_BAD_VALUE, "records", "given twice"},
        {DATA("{'x':1,'x':2}"), KT_BAD_VALUE, "x", "given twice"},
        {DATA("{'x':1,'\\u0078':2}"), KT_BAD_VALUE, "x", "given twice"},
        {DATA("{'x':NaN}"), KT_BAD_VALUE, "", "JSON at byte"},
        {DATA("{'x':Infinity}"), KT_BAD_VALUE, "", "JSON at byte"},
        {DATA("{'x':-Infinity}"), KT_BAD_VALUE, "", "JSON at byte"},
        {DATA("{'x':1e999}"), KT_BAD_VALUE, "", "JSON at byte"},
        {DATA("{'x':-1e999}"), KT_BAD_VALUE, "", "JSON at byte"},
        {DATA("{'x':01}"), KT_BAD_VALUE, "", "JSON at byte"},
        {DATA("{'x':+1}"), KT_BAD_VALUE, "", "JSON at byte"},
        {DATA("{'x':.5}"), KT_BAD_VALUE, "", "JSON at byte"},
        {DATA("{'x':0x10}"), KT_BAD_VALUE, "", "JSON at byte"},
        {"{'subjects':[{'subject':'a\xFF'}]}", KT_BAD_VALUE, "", "JSON at byte"},
        {"{'subjects':[{'subject':'\xC0\xAF'}]}", KT_BAD_VALUE, "", "JSON at byte"},
        {"{'subjects':[{'subject':'\xED\xA0\x80'}]}", KT_BAD_VALUE, "", "JSON at byte"},
        {"{'subjects':[{'subject':'\\ud800'}]}", KT_BAD_VALUE, "", "JSON at byte"},
        {"{'subjects':[{'subject':'a\\u0000b'}]}", KT_BAD_VALUE, "", "JSON at byte"},
        {"{'subjects':[{'subject':'a\nb'}]}", KT_BAD_VALUE, "", "JSON at byte"},
        {"\xEF\xBB\xBF{'subjects':[{'subject':'a'}]}", KT_BAD_VALUE, "", "JSON at byte 0"},
    };
    check_bad(cases, KT_ARRAY_LEN(cases));
}

static void the_body_is_an_object_that_names_something(void)
{
    static const struct bad cases[] = {
        {"[]", KT_BAD_VALUE, "", "must be an object"},
        {"'x'", KT_BAD_VALUE, "", "must be an object"},
        {"null", KT_BAD_VALUE, "", "must be an object"},
        {"{}", KT_BAD_VALUE, "records", "at least one"},
        {"{'subjects':[],'records':[]}", KT_BAD_VALUE, "records", "at least one"},
        {"{'subjects':null,'records':null}", KT_BAD_VALUE, "records", "at least one"},
        {"{'records':{}}", KT_BAD_VALUE, "records", "an array, not an object"},
        {"{'subjects':'a'}", KT_BAD_VALUE, "subjects", "an array, not a string"},
        {"{'record':[]}", KT_UNKNOWN_FIELD, "record", "unknown field record"},
        {"{'Records':[]}", KT_UNKNOWN_FIELD, "Records", "unknown"},
        {"{'if_revision':'x'}", KT_BAD_VALUE, "if_revision", "a number, not a string"},
        {"{'if_revision':-1}", KT_BAD_VALUE, "if_revision", "if_revision"},
        {"{'if_revision':1.5}", KT_BAD_VALUE, "if_revision", "if_revision"},
        {"{'if_revision':1e300}", KT_BAD_VALUE, "if_revision", "if_revision"},
        {"{'if_revision':5}", KT_BAD_VALUE, "records", "at least one"},
        {"{'records':[1]}", KT_BAD_VALUE, "records[0]", "must be an object, not a number"},
        {"{'records':[{'subject':'a','time':1},null]}", KT_BAD_VALUE, "records[1]",
         "must be an object, not null"},
        {"{'subjects':['a']}", KT_BAD_VALUE, "subjects[0]", "must be an object, not a string"},
    };
    check_bad(cases, KT_ARRAY_LEN(cases));
}

#define NAME_64 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz012345678901"
#define NAME_128 NAME_64 NAME_64
#define NAME_129 NAME_128 "x"

static void a_wrong_subject_is_named_with_its_path(void)
{
    static const struct bad cases[] = {
        {"{'subjects':[{}]}", KT_BAD_VALUE, "subjects[0].subject", "1 to 128 bytes"},
        {"{'subjects':[{'subject':null}]}", KT_BAD_VALUE, "subjects[0].subject", "1 to 128"},
        {"{'subjects':[{'subject':''}]}", KT_BAD_VALUE, "subjects[0].subject", "1 to 128"},
        {"{'subjects':[{'subject':7}]}", KT_BAD_VALUE, "subjects[0].subject", "a string"},
        {"{'subjects':[{'subject':['a']}]}", KT_BAD_VALUE, "subjects[0].subject", "not an array"},
        {"{'subjects':[{'subject':'a\\n'}]}", KT_BAD_VALUE, "subjects[0].subject", "control"},
        {"{'subjects':[{'subject':'\\u0085'}]}", KT_BAD_VALUE, "subjects[0].subject", "control"},
        {"{'subjects':[{'subject':'" NAME_129 "'}]}", KT_BAD_VALUE, "subjects[0].subject", "128"},
        {"{'subjects':[{'subject':'a'},{'subject':'b','name':1}]}", KT_BAD_VALUE,
         "subjects[1].name", "must be a text"},
        {SUBJECT(",'name':'" NAME_129 "'"), KT_BAD_VALUE, "subjects[0].name", "128"},
        {SUBJECT(",'name':'a\\tb'"), KT_BAD_VALUE, "subjects[0].name", "control"},
        {SUBJECT(",'status':true"), KT_BAD_VALUE, "subjects[0].status", "must be a text"},
        {SUBJECT(",'listing_date':20240101"), KT_BAD_VALUE, "subjects[0].listing_date", "a text"},
        {SUBJECT(",'category':{}"), KT_BAD_VALUE, "subjects[0].category", "must be a text"},
        {SUBJECT(",'nmae':'x'"), KT_UNKNOWN_FIELD, "subjects[0].nmae", "unknown field"},
    };
    check_bad(cases, KT_ARRAY_LEN(cases));
}

static void wrong_topics_are_named_with_their_path(void)
{
    static const struct bad cases[] = {
        {SUBJECT(",'topics_add':'p'"), KT_BAD_VALUE, "subjects[0].topics_add", "an array"},
        {SUBJECT(",'topics_add':['*']"), KT_BAD_VALUE, "subjects[0].topics_add[0]", "not *"},
        {SUBJECT(",'topics_add':['p',{'topic':'q','from':5,'to':4}]"), KT_BAD_VALUE,
         "subjects[0].topics_add[1].from", "at or before to"},
        {SUBJECT(",'topics_remove':['p',{'topic':'q'}]"), KT_BAD_VALUE, "subjects[0].topics_remove",
         "topics' names"},
        {SUBJECT(",'topics_remove':['*']"), KT_BAD_VALUE, "subjects[0].topics_remove", "not *"},
        {SUBJECT(",'topics_remove':'p'"), KT_BAD_VALUE, "subjects[0].topics_remove", "an array"},
        {SUBJECT(",'topics':[],'topics_add':['p']"), KT_BAD_VALUE, "subjects[0].topics_add",
         "absent beside topics"},
        {SUBJECT(",'topics':[],'topics_remove':['p']"), KT_BAD_VALUE, "subjects[0].topics_remove",
         "absent beside topics"},
        {SUBJECT(",'topics':'p'"), KT_BAD_VALUE, "subjects[0].topics", "an array"},
        {SUBJECT(",'topics':{'topic':'p'}"), KT_BAD_VALUE, "subjects[0].topics", "an array"},
        {SUBJECT(",'topics':['p',1]"), KT_BAD_VALUE, "subjects[0].topics[1]", "an object"},
        {SUBJECT(",'topics':['']"), KT_BAD_VALUE, "subjects[0].topics[0]", "1 to 128"},
        {SUBJECT(",'topics':['*']"), KT_BAD_VALUE, "subjects[0].topics[0]", "not *"},
        {SUBJECT(",'topics':['" NAME_129 "']"), KT_BAD_VALUE, "subjects[0].topics[0]", "128"},
        {SUBJECT(",'topics':[{}]"), KT_BAD_VALUE, "subjects[0].topics[0].topic", "1 to 128"},
        {SUBJECT(",'topics':[{'topic':'*'}]"), KT_BAD_VALUE, "subjects[0].topics[0].topic",
         "not *"},
        {SUBJECT(",'topics':[{'topic':1}]"), KT_BAD_VALUE, "subjects[0].topics[0].topic",
         "a string"},
        {SUBJECT(",'topics':['p',{'topic':'p','from':2,'to':1}]"), KT_BAD_VALUE,
         "subjects[0].topics[1].from", "before to"},
        {SUBJECT(",'topics':[{'topic':'p','from':'2024-01-02','to':'2024-01-01'}]"), KT_BAD_VALUE,
         "subjects[0].topics[0].from", "before to"},
        {SUBJECT(",'topics':[{'topic':'p','from':'x'}]"), KT_BAD_VALUE,
         "subjects[0].topics[0].from", "YYYY-MM-DD"},
        {SUBJECT(",'topics':[{'topic':'p','to':1.5}]"), KT_BAD_VALUE, "subjects[0].topics[0].to",
         "whole seconds"},
        {SUBJECT(",'topics':[{'topic':'p','until':1}]"), KT_UNKNOWN_FIELD,
         "subjects[0].topics[0].until", "unknown"},
    };
    check_bad(cases, KT_ARRAY_LEN(cases));
}

static void wrong_tags_are_named_with_their_path(void)
{
    static const struct bad cases[] = {
        {SUBJECT(",'tags':['x']"), KT_BAD_VALUE, "subjects[0].tags", "an object"},
        {SUBJECT(",'tags':{'concept':'x'}"), KT_BAD_VALUE, "subjects[0].tags.concept", "an array"},
        {SUBJECT(",'tags':{'concept':{}}"), KT_BAD_VALUE, "subjects[0].tags.concept", "an array"},
        {SUBJECT(",'tags':{'concept':['x',1]}"), KT_BAD_VALUE, "subjects[0].tags.concept",
         "of texts"},
        {SUBJECT(",'tags':{'concept':['']}"), KT_BAD_VALUE, "subjects[0].tags.concept", "1 to 128"},
        {SUBJECT(",'tags':{'ok':[],'concept':[null]}"), KT_BAD_VALUE, "subjects[0].tags.concept",
         "of texts"},
        {SUBJECT(",'tags':{'concept':['" NAME_129 "']}"), KT_BAD_VALUE, "subjects[0].tags.concept",
         "128"},
        {SUBJECT(",'tags':{'':['x']}"), KT_BAD_VALUE, "subjects[0].tags", "1 to 128"},
        {SUBJECT(",'tags':{'" NAME_129 "':['x']}"), KT_BAD_VALUE, "subjects[0].tags", "1 to 128"},
        {SUBJECT(",'tags':{'a':['x'],'a':['y']}"), KT_BAD_VALUE, "a", "given twice"},
    };
    check_bad(cases, KT_ARRAY_LEN(cases));
}

#define TIME_RULE "whole seconds since 1970 or \"YYYY-MM-DD\""

static void a_wrong_record_is_named_with_its_path(void)
{
    static const struct bad cases[] = {
        {"{'records':[{'time':1}]}", KT_BAD_VALUE, "records[0].subject", "1 to 128 bytes"},
        {"{'records':[{'subject':'','time':1}]}", KT_BAD_VALUE, "records[0].subject", "1 to 128"},
        {RECORD(""), KT_BAD_VALUE, "records[0].time", "must be given"},
        {RECORD(",'time':null"), KT_BAD_VALUE, "records[0].time", "must be given"},
        {RECORD(",'time':1.5"), KT_BAD_VALUE, "records[0].time", TIME_RULE},
        {RECORD(",'time':'x'"), KT_BAD_VALUE, "records[0].time", TIME_RULE},
        {RECORD(",'time':''"), KT_BAD_VALUE, "records[0].time", TIME_RULE},
        {RECORD(",'time':true"), KT_BAD_VALUE, "records[0].time", TIME_RULE},
        {RECORD(",'time':[1]"), KT_BAD_VALUE, "records[0].time", TIME_RULE},
        {RECORD(",'time':'2023-02-29'"), KT_BAD_VALUE, "records[0].time", TIME_RULE},
        {RECORD(",'time':'2023-1-1'"), KT_BAD_VALUE, "records[0].time", TIME_RULE},
        {RECORD(",'time':'0000-01-01'"), KT_BAD_VALUE, "records[0].time", TIME_RULE},
        {RECORD(",'time':253402300800"), KT_BAD_VALUE, "records[0].time", TIME_RULE},
        {RECORD(",'time':-62135596801"), KT_BAD_VALUE, "records[0].time", TIME_RULE},
        {RECORD(",'time':'99999999999999999999'"), KT_BAD_VALUE, "records[0].time", TIME_RULE},
        {RECORD(",'time':1e300"), KT_BAD_VALUE, "records[0].time", TIME_RULE},
        {RECORD(",'time':' 1'"), KT_BAD_VALUE, "records[0].time", TIME_RULE},
        {RECORD(",'time':1,'declare_date':'soon'"), KT_BAD_VALUE, "records[0].declare_date",
         TIME_RULE},
        {RECORD(",'time':1,'declare_date':false"), KT_BAD_VALUE, "records[0].declare_date",
         TIME_RULE},
        {RECORD(",'time':1,'period':4"), KT_BAD_VALUE, "records[0].period", "must be a text"},
        {RECORD(",'time':1,'period':'" NAME_129 "'"), KT_BAD_VALUE, "records[0].period", "128"},
        {RECORD(",'time':1,'end_date':20231231"), KT_BAD_VALUE, "records[0].end_date", "a text"},
        {RECORD(",'time':1,'year':2023"), KT_BAD_VALUE, "records[0].year", "must be a text"},
        {RECORD(",'time':1,'value':1"), KT_UNKNOWN_FIELD, "records[0].value", "unknown field"},
        {RECORD(",'time':1,'data':[1]"), KT_BAD_VALUE, "records[0].data", "an object"},
        {RECORD(",'time':1,'data':'x'"), KT_BAD_VALUE, "records[0].data", "an object"},
        {DATA("{'ok':1,'x':'1'}"), KT_BAD_VALUE, "records[0].data.x", "a number or null"},
        {DATA("{'x':true}"), KT_BAD_VALUE, "records[0].data.x", "a number or null, not"},
        {DATA("{'x':[1]}"), KT_BAD_VALUE, "records[0].data.x", "not an array"},
        {DATA("{'x':{'y':1}}"), KT_BAD_VALUE, "records[0].data.x", "not an object"},
        {"{'records':[{'subject':'a','time':1},{'subject':'b','time':2,'data':{'x':'y'}}]}",
         KT_BAD_VALUE, "records[1].data.x", "a number or null, not a string"},
    };
    check_bad(cases, KT_ARRAY_LEN(cases));
}

static void reserved_and_unfit_names_are_no_indicators(void)
{
    static const struct bad cases[] = {
        {DATA("{'subject':1}"), KT_BAD_VALUE, "records[0].data", "'subject'"},
        {DATA("{'name':1}"), KT_BAD_VALUE, "records[0].data", "'name'"},
        {DATA("{'time':1}"), KT_BAD_VALUE, "records[0].data", "'time'"},
        {DATA("{'report_date':1}"), KT_BAD_VALUE, "records[0].data", "'report_date'"},
        {DATA("{'end_date':1}"), KT_BAD_VALUE, "records[0].data", "'end_date'"},
        {DATA("{'year':null}"), KT_BAD_VALUE, "records[0].data", "'year'"},
        {DATA("{'period':1}"), KT_BAD_VALUE, "records[0].data", "'period'"},
        {DATA("{'declare_date':1}"), KT_BAD_VALUE, "records[0].data", "'declare_date'"},
        {DATA("{'combine':1}"), KT_BAD_VALUE, "records[0].data", "'combine'"},
        {DATA("{'':1}"), KT_BAD_VALUE, "records[0].data", "''"},
        {DATA("{'a\\u0007b':1}"), KT_BAD_VALUE, "records[0].data", "can't be an indicator"},
        {DATA("{'" NAME_129 "':1}"), KT_BAD_VALUE, "records[0].data", "can't be an indicator"},
    };
    static const struct good good[] = {{DATA("{'" NAME_128 "':1}"), "record a 0 " NAME_128 "=1\n"}};
    check_bad(cases, KT_ARRAY_LEN(cases));
    check_good(good, 1);
}

/* The error's field has 72 bytes: a longer path is cut, never within a character. */
static void a_long_path_is_cut_at_a_character(void)
{
    struct kt_buf body;
    struct kt_error err = KT_ERROR_INIT;
    kt_buf_init(&body, 0);
    quoted("{'records':[{'subject':'a','time':1,'data':{'", &body);
    for (int i = 0; i < 42; i++) {
        kt_buf_append_text(&body, "\xE4\xB8\xAD");
    }
    kt_buf_append_text(&body, "\":\"x\"}}]}");
    struct kt_buf text;
    kt_buf_init(&text, 0);
    CHECK_FAILS(change_of(kt_buf_str(&body), &text, &err), KT_BAD_VALUE);
    CHECK(strncmp(err.field, "records[0].data.\xE4\xB8\xAD", 19) == 0);
    CHECK(kt_utf8_valid(kt_str(err.field)));
    CHECK(kt_utf8_valid(kt_str(err.message)));
    kt_buf_done(&text);
    kt_buf_done(&body);
}

static const struct kt_test tests[] = {
    TEST(json_that_is_broken_is_refused),
    TEST(the_body_is_an_object_that_names_something),
    TEST(a_wrong_subject_is_named_with_its_path),
    TEST(wrong_topics_are_named_with_their_path),
    TEST(wrong_tags_are_named_with_their_path),
    TEST(a_wrong_record_is_named_with_its_path),
    TEST(reserved_and_unfit_names_are_no_indicators),
    TEST(a_long_path_is_cut_at_a_character),
};
KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
/* test_save.c - bodies of a save. They are written with ' for " here; what became of them is
 * decoded again and compared as text (change_text.h). */
#include "change_text.h"
#include "kt_test.h"
#include "node/save.h"

#include "base/mem.h"
#include "json/read.h"

#include <stdlib.h>

static const struct kt_save_limits limits = {10000, 100000, KT_JSON_DEPTH_DEFAULT};

/* In a block of its own size: a read behind the end shows under the address sanitizer. */
static enum kt_status parse(struct kt_str body, const struct kt_save_limits *bounds,
                            struct kt_change_builder *builder, struct kt_error *err)
{
    char *exact = malloc(body.len ? body.len : 1);
    if (body.len) {
        memcpy(exact, body.data, body.len);
    }
    enum kt_status status = kt_save_parse(kt_str_n(exact, body.len), bounds, builder, err);
    free(exact);
    return status;
}

static void quoted(const char *body, struct kt_buf *ret_json)
{
    kt_buf_clear(ret_json);
    for (const char *c = body; *c; c++) {
        kt_buf_append_byte(ret_json, *c == '\'' ? '"' : *c);
    }
}

/* The change that a body becomes, as text; on failure the error says why. */
static enum kt_status change_of(struct kt_str body, struct kt_buf *ret_text, struct kt_error *err)
{
    struct kt_change_builder *builder = kt_change_builder_new((size_t)64 << 20);
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    enum kt_status status = parse(body, &limits, builder, err);
    if (status == KT_OK) {
        status = kt_change_encode(builder, &bytes, err);
    }
    if (status == KT_OK && !change_text(kt_buf_str(&bytes), ret_text)) {
        status = kt_fail(err, KT_CORRUPT, "the change can't be decoded");
    }
    kt_buf_done(&bytes);
    kt_change_builder_free(&builder);
    return status;
}

struct good {
    const char *body, *expected;
};

static void check_good(const struct good *cases, size_t count)
{
    struct kt_buf json, text;
    kt_buf_init(&json, 0);
    kt_buf_init(&text, 0);
    for (size_t i = 0; i < count; i++) {
        struct kt_error err = KT_ERROR_INIT;
        quoted(cases[i].body, &json);
        kt_buf_clear(&text);
        enum kt_status status = change_of(kt_buf_str(&json), &text, &err);
        if (status != KT_OK || !kt_str_eq_text(kt_buf_str(&text), cases[i].expected)) {
            kt_test_fail(__FILE__, __LINE__, "%s (%s)\n    got  " KT_STR_FMT "\n    want %s",
                         cases[i].body, status == KT_OK ? "ok" : err.message,
                         KT_STR_ARG(kt_buf_str(&text)), cases[i].expected);
        }
    }
    kt_buf_done(&json);
    kt_buf_done(&text);
}

struct bad {
    const char *body;
    enum kt_status status;
    const char *field, *message; /* the whole field; a part of the message */
};

static bool refused(struct kt_str body, const struct bad *want)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf text;
    kt_buf_init(&text, 0);
    enum kt_status status = change_of(body, &text, &err);
    kt_buf_done(&text);
    bool good = status == want->status && err.status == status &&
                strcmp(err.field, want->field) == 0 && err.message[0] &&
                strstr(err.message, want->message) && kt_utf8_valid(kt_str(err.message));
    if (!good) {
        kt_test_fail(__FILE__, __LINE__,
                     "%.200s\n    got  %s field \"%s\": %s\n    want %s field \"%s\": %s",
                     want->body, kt_status_name(status), err.field, err.message,
                     kt_status_name(want->status), want->field, want->message);
    }
    return good;
}

static void check_bad(const struct bad *cases, size_t count)
{
    struct kt_buf json;
    kt_buf_init(&json, 0);
    for (size_t i = 0; i < count; i++) {
        quoted(cases[i].body, &json);
        refused(kt_buf_str(&json), &cases[i]);
    }
    kt_buf_done(&json);
}

#define SUBJECT(rest) "{'subjects':[{'subject':'a'" rest "}]}"
#define RECORD(rest) "{'records':[{'subject':'a'" rest "}]}"
#define DATA(rest) "{'records':[{'subject':'a','time':0,'data':" rest "}]}"

/* --- what is right --- */

static void a_subject_says_what_it_names_and_no_more(void)
{
    static const struct good cases[] = {
        {SUBJECT(""), "subject a\n"},
        {SUBJECT(",'name':'N','status':'S','listing_date':'L','category':'C'"),
         "subject a name=\"N\" status=\"S\" listing_date=\"L\" category=\"C\"\n"},
        {SUBJECT(",'category':'C'"), "subject a category=\"C\"\n"},
        {SUBJECT(",'name':''"), "subject a name=\"\"\n"},
        {SUBJECT(",'name':null,'status':null,'listing_date':null,'category':null"), "subject a\n"},
        {SUBJECT(",'name':'\\u4e2d\\u6587'"), "subject a name=\"\xE4\xB8\xAD\xE6\x96\x87\"\n"},
        {"{'subjects':[{'subject':'BONAIRE, SAINT EUSTATIUS, AND SABA'}]}",
         "subject BONAIRE, SAINT EUSTATIUS, AND SABA\n"},
        {"{'subjects':[{'subject':'b','name':'1'},{'subject':'a'},{'subject':'b','name':'2'}]}",
         "subject b name=\"1\"\nsubject a\nsubject b name=\"2\"\n"},
    };
    check_good(cases, KT_ARRAY_LEN(cases));
}

static void topics_are_names_or_stays_and_replace(void)
{
    static const struct good cases[] = {
        {SUBJECT(",'topics':['p']"), "subject a topics=replace[p@open..open]\n"},
        {SUBJECT(",'topics':['p','q','p']"),
         "subject a topics=replace[p@open..open,q@open..open,p@open..open]\n"},
        {SUBJECT(",'topics':[]"), "subject a topics=replace[]\n"},
        {SUBJECT(",'topics':null"), "subject a\n"},
        {SUBJECT(",'topics':[{'topic':'p'}]"), "subject a topics=replace[p@open..open]\n"},
        {SUBJECT(",'topics':[{'topic':'p','from':null,'to':null}]"),
         "subject a topics=replace[p@open..open]\n"},
        /* A bound's date is the whole day: 00:00:00 and 23:59:59. */
        {SUBJECT(",'topics':[{'topic':'p','from':'1970-01-02','to':'1970-01-02'}]"),
         "subject a topics=replace[p@86400..172799]\n"},
        {SUBJECT(",'topics':[{'topic':'p','from':'1970-01-01','to':'1970-01-01'}]"),
         "subject a topics=replace[p@0..86399]\n"},
        /* As a bound the number 0 is open, also in digits; as a date it is not. */
        {SUBJECT(",'topics':[{'topic':'p','from':0,'to':0},{'topic':'q','from':'0','to':'0'}]"),
         "subject a topics=replace[p@open..open,q@open..open]\n"},
        {SUBJECT(",'topics':[{'topic':'p','from':-5,'to':'7'},'q',{'topic':'p','from':8}]"),
         "subject a topics=replace[p@-5..7,q@open..open,p@8..open]\n"},
        {SUBJECT(",'topics':[{'topic':'p','from':7,'to':7}]"),
         "subject a topics=replace[p@7..7]\n"},
        {SUBJECT(",'topics':[{'topic':'p','to':'0001-01-01'}]"),
         "subject a topics=replace[p@open..-62135510401]\n"},
        {SUBJECT(",'topics_add':null,'topics_remove':null"), "subject a\n"},
    };
    check_good(cases, KT_ARRAY_LEN(cases));
}

static void topics_are_added_and_removed_beside_those_that_stay(void)
{
    static const struct good cases[] = {
        {SUBJECT(",'topics_add':['p']"), "subject a topics=edit[p@open..open]\n"},
        {SUBJECT(",'topics_add':[{'topic':'p','from':5,'to':'7'}]"),
         "subject a topics=edit[p@5..7]\n"},
        {SUBJECT(",'topics_remove':['p','q']"), "subject a topics=edit[] leaves=p,q\n"},
        {SUBJECT(",'topics_remove':['p'],'topics_add':['p','q'],'topics':null"),
         "subject a topics=edit[p@open..open,q@open..open] leaves=p\n"},
        {SUBJECT(",'topics_add':[],'topics_remove':[],'tags':{'t':['x']}"),
         "subject a topics=edit[] tags{t=[x]}\n"},
    };
    check_good(cases, KT_ARRAY_LEN(cases));
}

static void a_tag_is_replaced_and_null_or_nothing_removes_it(void)
{
    static const struct good cases[] = {
        {SUBJECT(",'tags':{'concept':['x','y']}"), "subject a tags{concept=[x,y]}\n"},
        {SUBJECT(",'tags':{'concept':[],'old':null,'new':['z']}"),
         "subject a tags{concept=[],old=[],new=[z]}\n"},
        {SUBJECT(",'tags':{'concept':['x','x']}"), "subject a tags{concept=[x,x]}\n"},
        {SUBJECT(",'tags':{}"), "subject a\n"},
        {SUBJECT(",'tags':null"), "subject a\n"},
    };
    check_good(cases, KT_ARRAY_LEN(cases));
}

static void a_record_carries_its_times_texts_and_values(void)
{
    static const struct good cases[] = {
        {RECORD(",'time':'2023-12-31','period':'Q4','declare_date':'2024-03-30','end_date':'E',"
                "'year':'Y','data':{'operating_income':1.5,'x':null}"),
         "record a 1703980800 period=\"Q4\" declared=1711756800 end=\"E\" year=\"Y\" "
         "operating_income=1.5 x=null\n"},
        {RECORD(",'time':5"), "record a 5\n"},
        {RECORD(",'time':'-86400'"), "record a -86400\n"},
        {RECORD(",'time':1e3"), "record a 1000\n"},
        {RECORD(",'time':'0001-01-01'"), "record a -62135596800\n"},
        {RECORD(",'time':253402300799"), "record a 253402300799\n"},
        {RECORD(",'time':'2096-02-29'"), "record a 3981312000\n"},
        /* Stored, 0 is a time like any other. */
        {RECORD(",'time':0,'declare_date':0"), "record a 0 declared=0\n"},
        {RECORD(",'time':'0','declare_date':'1970-01-01'"), "record a 0 declared=0\n"},
        {RECORD(",'time':0,'period':null,'declare_date':null,'data':null"), "record a 0\n"},
        {RECORD(",'time':0,'period':'','data':{}"), "record a 0\n"},
        {RECORD(",'time':0,'end_date':null,'year':null"), "record a 0 end=null year=null\n"},
        {RECORD(",'time':0,'end_date':'','year':''"), "record a 0 end=\"\" year=\"\"\n"},
        {"{'records':[{'time':1,'subject':'a'},{'time':1,'subject':'a','data':{'x':2}}]}",
         "record a 1\nrecord a 1 x=2\n"},
        {"{'subjects':[],'records':[{'time':1,'subject':'b'}]}", "record b 1\n"},
        {"{'records':[{'time':1,'subject':'b'}],'subjects':[{'subject':'c'}],'if_revision':null}",
         "subject c\nrecord b 1\n"},
        {"{'if_revision':0,'subjects':[{'subject':'c'}]}", "if_revision 0\nsubject c\n"},
        {"{'subjects':[{'subject':'c'}],'if_revision':9007199254740992}",
         "if_revision 9007199254740992\nsubject c\n"},
        {" \n{ 'records' :\t[ { 'subject' : 'a' , 'time' : 1 } ] } \r\n", "record a 1\n"},
    };
    check_good(cases, KT_ARRAY_LEN(cases));
}

static void numbers_are_the_doubles_they_say(void)
{
    static const struct good cases[] = {
        {DATA("{'x':-0,'y':0.1,'z':-1e-7,'w':1e21}"), "record a 0 x=0 y=0.1 z=-1e-7 w=1e+21\n"},
        {DATA("{'x':1.7976931348623157e308,'y':5e-324,'z':1e-400}"),
         "record a 0 x=1.7976931348623157e+308 y=5e-324 z=0\n"},
        {DATA("{'x':9007199254740993,'y':123456789012345678901234567890}"),
         "record a 0 x=9007199254740992 y=1.2345678901234568e+29\n"},
        {DATA("{'\xC3\xA9t\xC3\xA9':1,'A b':2,'topic':3,'Subject':4}"),
         "record a 0 \xC3\xA9t\xC3\xA9=1 A b=2 topic=3 Subject=4\n"},
    };
    check_good(cases, KT_ARRAY_LEN(cases));
}

/* --- what is refused --- */

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

/* --- much --- */

static void repeat(struct kt_buf *body, const char *head, const char *item, size_t count,
                   const char *tail)
{
    kt_buf_clear(body);
    kt_buf_append_text(body, head);
    for (size_t i = 0; i < count; i++) {
        kt_buf_printf(body, "%s%s", i ? "," : "", item);
    }
    kt_buf_append_text(body, tail);
}

static void more_subjects_or_records_than_allowed_are_too_large(void)
{
    static const struct kt_save_limits few = {3, 5, KT_JSON_DEPTH_DEFAULT};
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf body;
    kt_buf_init(&body, 0);
    repeat(&body, "{\"subjects\":[", "{\"subject\":\"a\"}", 3, "]}");
    CHECK_OK(parse(kt_buf_str(&body), &few, builder, &err));
    CHECK_INT(kt_change_subject_count(builder), 3);
    repeat(&body, "{\"subjects\":[", "{\"subject\":\"a\"}", 4, "]}");
    CHECK_FAILS(parse(kt_buf_str(&body), &few, builder, &err), KT_TOO_LARGE);
    CHECK_STR(err.field, "subjects");
    CHECK_STR(err.message, "subjects: 4 items, at most 3 are taken");
    repeat(&body, "{\"records\":[", "{\"subject\":\"a\",\"time\":1}", 5, "]}");
    CHECK_OK(parse(kt_buf_str(&body), &few, builder, &err));
    CHECK_INT(kt_change_record_count(builder), 5);
    CHECK_INT(kt_change_subject_count(builder), 0);
    repeat(&body, "{\"records\":[", "{\"subject\":\"a\",\"time\":1}", 6, "]}");
    CHECK_FAILS(parse(kt_buf_str(&body), &few, builder, &err), KT_TOO_LARGE);
    CHECK_STR(err.field, "records");
    kt_buf_done(&body);
    kt_change_builder_free(&builder);
}

static void stays_and_tags_of_one_subject_are_bounded(void)
{
    static const struct {
        const char *head, *item, *tail, *field;
    } cases[] = {
        {"{\"subjects\":[{\"subject\":\"a\",\"topics\":[", "\"p\"", "]}]}", "subjects[0].topics"},
        {"{\"subjects\":[{\"subject\":\"a\",\"tags\":{\"t\":[", "\"p\"", "]}}]}",
         "subjects[0].tags.t"},
    };
    struct kt_buf body, text;
    kt_buf_init(&body, 0);
    kt_buf_init(&text, 0);
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_error err = KT_ERROR_INIT;
        repeat(&body, cases[i].head, cases[i].item, 1000, cases[i].tail);
        CHECK_OK(change_of(kt_buf_str(&body), &text, &err));
        repeat(&body, cases[i].head, cases[i].item, 1001, cases[i].tail);
        CHECK_FAILS(change_of(kt_buf_str(&body), &text, &err), KT_BAD_VALUE);
        CHECK_STR(err.field, cases[i].field);
        CHECK(strstr(err.message, "1000"));
    }
    kt_buf_clear(&body);
    kt_buf_append_text(&body, "{\"subjects\":[{\"subject\":\"a\",\"tags\":{");
    for (int i = 0; i < 1001; i++) {
        kt_buf_printf(&body, "%s\"t%d\":[]", i ? "," : "", i);
    }
    kt_buf_append_text(&body, "}}]}");
    struct kt_error err = KT_ERROR_INIT;
    CHECK_FAILS(change_of(kt_buf_str(&body), &text, &err), KT_BAD_VALUE);
    CHECK_STR(err.field, "subjects[0].tags");
    kt_buf_done(&body);
    kt_buf_done(&text);
}

static void a_record_may_have_all_the_indicators_of_a_cluster(void)
{
    struct kt_buf body, text, expected;
    struct kt_error err = KT_ERROR_INIT;
    kt_buf_init(&body, 0);
    kt_buf_init(&text, 0);
    kt_buf_init(&expected, 0);
    kt_buf_append_text(&body, "{\"records\":[{\"subject\":\"a\",\"time\":1,\"data\":{");
    kt_buf_append_text(&expected, "record a 1");
    for (int i = 0; i < 4096; i++) {
        kt_buf_printf(&body, "%s\"i%d\":%d.5", i ? "," : "", i, i);
        kt_buf_printf(&expected, " i%d=%d.5", i, i);
    }
    kt_buf_append_text(&body, "}}]}");
    kt_buf_append_text(&expected, "\n");
    CHECK_OK(change_of(kt_buf_str(&body), &text, &err));
    CHECK(kt_str_eq(kt_buf_str(&text), kt_buf_str(&expected)));
    kt_buf_done(&body);
    kt_buf_done(&text);
    kt_buf_done(&expected);
}

static void deep_nesting_is_refused_at_the_depth_asked_for(void)
{
    struct kt_buf body;
    kt_buf_init(&body, 0);
    for (int depth = 15; depth <= 100000; depth = depth < 20 ? depth + 1 : depth * 50) {
        static const struct bad deep = {"deep", KT_BAD_VALUE, "", "JSON at byte"};
        static const struct bad unknown = {"unknown", KT_UNKNOWN_FIELD, "x", "unknown"};
        kt_buf_clear(&body);
        kt_buf_append_text(&body, "{\"x\":");
        for (int i = 0; i < depth; i++) {
            kt_buf_append_byte(&body, '[');
        }
        for (int i = 0; i < depth; i++) {
            kt_buf_append_byte(&body, ']');
        }
        kt_buf_append_byte(&body, '}');
        CHECK(refused(kt_buf_str(&body), depth + 1 > KT_JSON_DEPTH_DEFAULT ? &deep : &unknown));
    }
    kt_buf_done(&body);
}

static void huge_bodies_are_refused_without_harm(void)
{
    struct kt_buf body;
    size_t big = kt_test_is_slow() ? (size_t)1 << 20 : (size_t)8 << 20;
    kt_buf_init(&body, 0);
    static const struct {
        const char *head;
        char fill;
        const char *tail;
        struct bad bad;
    } cases[] = {
        {"{\"subjects\":[{\"subject\":\"",
         'k',
         "\"}]}",
         {"long key", KT_BAD_VALUE, "subjects[0].subject", "128"}},
        {"{\"records\":[{\"subject\":\"a\",\"time\":",
         '9',
         "}]}",
         {"long number", KT_BAD_VALUE, "", "JSON at byte"}},
        {"{\"records\":[{\"subject\":\"a\",\"time\":\"",
         '9',
         "\"}]}",
         {"long digits", KT_BAD_VALUE, "records[0].time", "YYYY"}},
        {"{\"records\":[{\"subject\":\"a\",\"time\":1,\"data\":{\"",
         'i',
         "\":1}}]}",
         {"long indicator", KT_BAD_VALUE, "records[0].data", "can't be"}},
        {"{\"", 'u', "\":1}", {"long unknown", KT_UNKNOWN_FIELD, NULL, "unknown"}},
        {"", '[', "", {"brackets", KT_BAD_VALUE, "", "JSON at byte"}},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_buf text;
        kt_buf_init(&text, 0);
        kt_buf_clear(&body);
        kt_buf_append_text(&body, cases[i].head);
        kt_buf_reserve(&body, big);
        memset(body.data + body.len_bytes, cases[i].fill, big);
        body.len_bytes += big;
        kt_buf_append_text(&body, cases[i].tail);
        if (cases[i].bad.field) {
            CHECK(refused(kt_buf_str(&body), &cases[i].bad));
        } else {
            CHECK_FAILS(change_of(kt_buf_str(&body), &text, &err), cases[i].bad.status);
        }
        kt_buf_done(&text);
    }
    kt_buf_done(&body);
}

static void a_change_beyond_the_builders_bound_is_too_large(void)
{
    struct kt_change_builder *builder = kt_change_builder_new(2000);
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf body;
    kt_buf_init(&body, 0);
    repeat(&body, "{\"records\":[", "{\"subject\":\"a\",\"time\":1,\"data\":{\"x\":1}}", 500, "]}");
    CHECK_FAILS(parse(kt_buf_str(&body), &limits, builder, &err), KT_TOO_LARGE);
    CHECK_INT(err.status, KT_TOO_LARGE);
    kt_buf_done(&body);
    kt_change_builder_free(&builder);
}

static void a_builder_used_before_is_reset_first(void)
{
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf json, bytes, text;
    kt_buf_init(&json, 0);
    kt_buf_init(&bytes, 0);
    kt_buf_init(&text, 0);
    quoted("{'subjects':[{'subject':'old'}],'records':[{'subject':'old','time':1}]}", &json);
    CHECK_OK(parse(kt_buf_str(&json), &limits, builder, &err));
    quoted("{'subjects':[{'subject':'half'}],'records':[{'subject':'half','time':'x'}]}", &json);
    CHECK_FAILS(parse(kt_buf_str(&json), &limits, builder, &err), KT_BAD_VALUE);
    quoted("{'records':[{'subject':'new','time':2}]}", &json);
    CHECK_OK(parse(kt_buf_str(&json), &limits, builder, &err));
    CHECK_OK(kt_change_encode(builder, &bytes, &err));
    CHECK(change_text(kt_buf_str(&bytes), &text));
    CHECK_SLICE(kt_buf_str(&text), "record new 2\n");
    kt_buf_done(&json);
    kt_buf_done(&bytes);
    kt_buf_done(&text);
    kt_change_builder_free(&builder);
}

/* --- faults and chance --- */

static const char whole[] =
    "{'subjects':[{'subject':'33:000001','name':'\xE5\xB9\xB3\xE5\xAE\x89','status':'L',"
    "'listing_date':'1991-04-03','category':'stock','topics':['pool',{'topic':'q','from':"
    "'2020-01-01','to':1700000000}],'tags':{'concept':['x','\\u4e2d'],'gone':null}},"
    "{'subject':'b','topics':[]}],'records':[{'subject':'33:000001','time':'2023-12-31',"
    "'period':'Q4','declare_date':'2024-03-30','end_date':'2023-12-31','year':null,'data':"
    "{'operating_income':1.5e9,'x':null,'y':-0.25}},{'subject':'b','time':-5,'data':{}}]}";

static void lack_of_memory_is_said_and_nothing_leaks(void)
{
    enum kt_status status = KT_NO_MEMORY;
    struct kt_buf json;
    uint64_t nth = 0;
    kt_buf_init(&json, 0);
    quoted(whole, &json);
    while (status != KT_OK) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
        kt_fault_set(KT_FAULT_ALLOC, ++nth, 0);
        status = kt_save_parse(kt_buf_str(&json), &limits, builder, &err);
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        if (status != KT_OK) {
            CHECK_INT(status, KT_NO_MEMORY);
            CHECK_INT(err.status, KT_NO_MEMORY);
            CHECK(err.message[0]);
        } else {
            CHECK_INT(kt_change_record_count(builder), 2);
            CHECK_INT(kt_change_subject_count(builder), 2);
        }
        kt_change_builder_free(&builder);
        CHECK(nth < 1000);
    }
    CHECK(nth > 5);
    kt_buf_done(&json);
}

static void every_beginning_of_a_body_is_refused(void)
{
    struct kt_buf json, text;
    kt_buf_init(&json, 0);
    kt_buf_init(&text, 0);
    quoted(whole, &json);
    for (size_t len = 0; len < json.len_bytes; len++) {
        struct kt_error err = KT_ERROR_INIT;
        CHECK_FAILS(change_of(kt_str_n(json.data, len), &text, &err), KT_BAD_VALUE);
        CHECK(strstr(err.message, len ? "JSON at byte" : "JSON text is empty"));
    }
    kt_buf_done(&json);
    kt_buf_done(&text);
}

static uint64_t random_state;

static uint32_t random_below(uint32_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 16) % bound);
}

static void mutate(struct kt_buf *body)
{
    static const char *const parts[] = {
        "\"",  "{",  "}",  "[",       "]",    ",",    ":",         "null",        "1e999",
        "-1",  "0",  "\\", "\\u0000", "\xFF", "*",    "\"time\"",  "\"subject\"", "\"data\":{}",
        "1.5", "[]", "{}", "\"\"",    " ",    "true", "9999-12-31"};
    for (uint32_t n = 1 + random_below(3); n > 0 && body->len_bytes > 0; n--) {
        size_t at = random_below((uint32_t)body->len_bytes);
        size_t end = at + random_below(12);
        struct kt_buf mutated;
        end = end < body->len_bytes ? end : body->len_bytes;
        kt_buf_init(&mutated, 0);
        kt_buf_append(&mutated, body->data, at);
        switch (random_below(4)) {
        case 0: /* cut a piece out */
            break;
        case 1: /* double it */
            kt_buf_append(&mutated, body->data + at, end - at);
            kt_buf_append(&mutated, body->data + at, end - at);
            break;
        case 2: /* replace it */
            kt_buf_append_text(&mutated, parts[random_below(KT_ARRAY_LEN(parts))]);
            break;
        default: /* put something before it */
            kt_buf_append_text(&mutated, parts[random_below(KT_ARRAY_LEN(parts))]);
            kt_buf_append(&mutated, body->data + at, end - at);
        }
        kt_buf_append(&mutated, body->data + end, body->len_bytes - end);
        kt_buf_done(body);
        *body = mutated;
    }
}

/* Whatever the body: it is refused with a reason, or becomes a change that can be decoded. */
static void damaged_bodies_are_refused_or_right(void)
{
    const char *given = getenv("KT_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : 1;
    int rounds = kt_test_is_slow() ? 2000 : 40000, accepted = 0;
    struct kt_buf body, text;
    kt_buf_init(&body, 0);
    kt_buf_init(&text, 0);
    random_state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    for (int round = 0; round < rounds; round++) {
        struct kt_error err = KT_ERROR_INIT;
        quoted(whole, &body);
        mutate(&body);
        kt_buf_clear(&text);
        enum kt_status status = change_of(kt_buf_str(&body), &text, &err);
        accepted += status == KT_OK;
        bool good = status == KT_OK ||
                    (kt_status_http(status) == 400 && err.status == status && err.message[0] &&
                     kt_utf8_valid(kt_str(err.message)) && kt_utf8_valid(kt_str(err.field)));
        if (!good) {
            kt_test_fail(__FILE__, __LINE__, "KT_TEST_SEED=%llu, round %d: %s %s\n    " KT_STR_FMT,
                         (unsigned long long)seed, round, kt_status_name(status), err.message,
                         KT_STR_ARG(kt_buf_str(&body)));
            break;
        }
    }
    CHECK(accepted > rounds / 100); /* else the mutations test the JSON parser only */
    kt_buf_done(&body);
    kt_buf_done(&text);
}

static const struct kt_test tests[] = {
    TEST(a_subject_says_what_it_names_and_no_more),
    TEST(topics_are_names_or_stays_and_replace),
    TEST(topics_are_added_and_removed_beside_those_that_stay),
    TEST(a_tag_is_replaced_and_null_or_nothing_removes_it),
    TEST(a_record_carries_its_times_texts_and_values),
    TEST(numbers_are_the_doubles_they_say),
    TEST(json_that_is_broken_is_refused),
    TEST(the_body_is_an_object_that_names_something),
    TEST(a_wrong_subject_is_named_with_its_path),
    TEST(wrong_topics_are_named_with_their_path),
    TEST(wrong_tags_are_named_with_their_path),
    TEST(a_wrong_record_is_named_with_its_path),
    TEST(reserved_and_unfit_names_are_no_indicators),
    TEST(a_long_path_is_cut_at_a_character),
    TEST(more_subjects_or_records_than_allowed_are_too_large),
    TEST(stays_and_tags_of_one_subject_are_bounded),
    TEST(a_record_may_have_all_the_indicators_of_a_cluster),
    TEST(deep_nesting_is_refused_at_the_depth_asked_for),
    TEST(huge_bodies_are_refused_without_harm),
    TEST(a_change_beyond_the_builders_bound_is_too_large),
    TEST(a_builder_used_before_is_reset_first),
    TEST(lack_of_memory_is_said_and_nothing_leaks),
    TEST(every_beginning_of_a_body_is_refused),
    TEST(damaged_bodies_are_refused_or_right),
};
KT_TEST_MAIN(tests)

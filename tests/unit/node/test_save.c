/* SPDX-License-Identifier: MIT */
/* test_save.c - what is right in the body of a save, and the change that it becomes. */
#include "save_help.h"

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

static const struct kt_test tests[] = {
    TEST(a_subject_says_what_it_names_and_no_more),
    TEST(topics_are_names_or_stays_and_replace),
    TEST(topics_are_added_and_removed_beside_those_that_stay),
    TEST(a_tag_is_replaced_and_null_or_nothing_removes_it),
    TEST(a_record_carries_its_times_texts_and_values),
    TEST(numbers_are_the_doubles_they_say),
};
KT_TEST_MAIN(tests)

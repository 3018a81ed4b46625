/* SPDX-License-Identifier: MIT */
/* test_delete.c - bodies of a delete. They are written with ' for " here; what became of them is
 * encoded, decoded again and compared as text. */
#include "kt_test.h"
#include "node/delete.h"

#include "base/mem.h"
#include "json/read.h"

static struct kt_delete parsed;

static enum kt_status parse(const char *body, int64_t max_subjects, struct kt_error *err)
{
    char json[2048];
    size_t len = 0;
    for (; body[len] && len + 1 < sizeof(json); len++) {
        json[len] = body[len] == '\'' ? '"' : body[len];
    }
    return kt_delete_parse(kt_str_n(json, len), max_subjects, KT_JSON_DEPTH_DEFAULT, &parsed, err);
}

static void put_texts(struct kt_buf *text, const char *what, const struct kt_str *texts,
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        kt_buf_printf(text, "%s" KT_STR_FMT, i ? "," : what, KT_STR_ARG(texts[i]));
    }
}

/* What the log would hold. */
static void text_of(const struct kt_change_delete *erase, struct kt_buf *text)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf bytes;
    struct kt_change change;
    kt_buf_init(&bytes, 0);
    if (kt_change_encode_delete(erase, &bytes, &err) != KT_OK ||
        kt_change_decode(kt_buf_str(&bytes), &change, &err) != KT_OK) {
        kt_buf_append_text(text, err.message);
        kt_buf_done(&bytes);
        return;
    }
    put_texts(text, "", change.erase.subjects, change.erase.subject_count);
    if (change.erase.all) {
        kt_buf_append_text(text, " all");
    }
    if (change.erase.from_s != KT_TIME_MIN) {
        kt_buf_printf(text, " from=%lld", (long long)change.erase.from_s);
    }
    if (change.erase.to_s != KT_TIME_MAX) {
        kt_buf_printf(text, " to=%lld", (long long)change.erase.to_s);
    }
    put_texts(text, " periods=", change.erase.periods, change.erase.period_count);
    if (change.has_if_revision) {
        kt_buf_printf(text, " if=%llu", (unsigned long long)change.if_revision);
    }
    kt_change_done(&change);
    kt_buf_done(&bytes);
}

static void what_a_body_says_is_what_the_log_holds(void)
{
    static const struct {
        const char *body, *expected;
        bool dry_run;
    } cases[] = {
        {"{'subjects':['a','b'],'all':true}", "a,b all", false},
        {"{'subjects':'a, b','all':true,'dry_run':true}", "a,b all", true},
        {"{'subjects':['a,b'],'from':-5}", "a,b from=-5", false},
        {"{'subjects':['a'],'from':'1970-01-02','to':'1970-01-02'}", "a from=86400 to=172799",
         false},
        {"{'subjects':['a'],'to':'1970-01-01','dry_run':false}", "a to=86399", false},
        {"{'subjects':['a'],'from':0,'to':7}", "a to=7", false},
        {"{'subjects':['a'],'periods':['Q4','','Q1','Q4']}", "a periods=,Q1,Q4", false},
        {"{'subjects':['a'],'periods':'Q4'}", "a periods=Q4", false},
        {"{'subjects':['a'],'periods':['Q4'],'from':5,'all':false,'if_revision':7}",
         "a from=5 periods=Q4 if=7", false},
        {"{'subjects':['a'],'all':true,'from':null,'to':0,'periods':[],'if_revision':0}",
         "a all if=0", false},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_buf text;
        kt_buf_init(&text, 0);
        CHECK_OK(parse(cases[i].body, 100, &err));
        text_of(&parsed.erase, &text);
        CHECK_SLICE(kt_buf_str(&text), cases[i].expected);
        CHECK_INT(parsed.dry_run, cases[i].dry_run);
        kt_delete_done(&parsed);
        kt_buf_done(&text);
    }
}

static void what_is_not_said_in_full_is_refused(void)
{
    static const struct {
        const char *body, *field, *message;
        enum kt_status status;
    } cases[] = {
        {"", "", "empty", KT_BAD_VALUE},
        {"[]", "", "an object", KT_BAD_VALUE},
        {"{}", "subjects", "must name", KT_BAD_VALUE},
        {"{'all':true}", "subjects", "must name", KT_BAD_VALUE},
        {"{'subjects':[],'all':true}", "subjects", "must name", KT_BAD_VALUE},
        {"{'subjects':'','all':true}", "subjects", "must name", KT_BAD_VALUE},
        {"{'subjects':'*','all':true}", "subjects", "*", KT_BAD_VALUE},
        {"{'subjects':['a','*'],'from':5}", "subjects", "*", KT_BAD_VALUE},
        {"{'subjects':{'a':1},'all':true}", "subjects", "an array", KT_BAD_VALUE},
        {"{'subjects':[5],'all':true}", "subjects", "subjects[0]", KT_BAD_VALUE},
        {"{'subjects':['a','b','c','d'],'all':true}", "subjects", "", KT_TOO_LARGE},
        {"{'subjects':['a']}", "all", "from, to or periods", KT_BAD_VALUE},
        {"{'subjects':['a'],'all':false}", "all", "from, to or periods", KT_BAD_VALUE},
        {"{'subjects':['a'],'periods':[]}", "all", "from, to or periods", KT_BAD_VALUE},
        {"{'subjects':['a'],'from':0,'to':0}", "all", "from, to or periods", KT_BAD_VALUE},
        {"{'subjects':['a'],'dry_run':true}", "all", "from, to or periods", KT_BAD_VALUE},
        {"{'subjects':['a'],'all':true,'from':5}", "all", "beside", KT_BAD_VALUE},
        {"{'subjects':['a'],'all':true,'periods':['Q4']}", "all", "beside", KT_BAD_VALUE},
        {"{'subjects':['a'],'from':5,'to':4}", "from", "at or before to", KT_BAD_VALUE},
        {"{'subjects':['a'],'from':'x'}", "from", "", KT_BAD_VALUE},
        {"{'subjects':['a'],'all':'yes'}", "all", "", KT_BAD_VALUE},
        {"{'subjects':['a'],'all':1}", "all", "", KT_BAD_VALUE},
        {"{'subjects':['a'],'all':true,'dry_run':'no'}", "dry_run", "", KT_BAD_VALUE},
        {"{'subjects':['a'],'all':true,'if_revision':-1}", "if_revision", "", KT_BAD_VALUE},
        {"{'subjects':['a'],'periods':[5]}", "periods", "periods[0]", KT_BAD_VALUE},
        {"{'subjects':['a'],'periods':5}", "periods", "", KT_BAD_VALUE},
        {"{'subjects':['a'],'all':true,'topic':'p'}", "topic", "unknown", KT_UNKNOWN_FIELD},
        {"{'subjects':['a'],'All':true,'from':5}", "All", "unknown", KT_UNKNOWN_FIELD},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_error err = KT_ERROR_INIT;
        enum kt_status status = parse(cases[i].body, 3, &err);
        if (status != cases[i].status || strcmp(err.field, cases[i].field) != 0 ||
            !strstr(err.message, cases[i].message)) {
            kt_test_fail(__FILE__, __LINE__, "%s gave %s, field \"%s\": %s", cases[i].body,
                         kt_status_name(status), err.field, err.message);
        }
        kt_delete_done(&parsed);
    }
}

static void memory_that_runs_out_anywhere_is_reported(void)
{
    for (uint64_t nth = 1;; nth++) {
        struct kt_error err = KT_ERROR_INIT;
        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        enum kt_status status =
            parse("{'subjects':'a,b','periods':['Q4','Q1'],'from':5,'dry_run':true}", 9, &err);
        bool reached = kt_fault_calls(KT_FAULT_ALLOC) >= nth;
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        kt_delete_done(&parsed);
        if (!reached) {
            CHECK_INT(status, KT_OK);
            return;
        }
        CHECK(status == KT_OK || status == KT_NO_MEMORY);
    }
}

static const struct kt_test tests[] = {
    TEST(what_a_body_says_is_what_the_log_holds),
    TEST(what_is_not_said_in_full_is_refused),
    TEST(memory_that_runs_out_anywhere_is_reported),
};

KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
/* test_generic.c - bodies of generic series, written with ' for " here. */
#include "kt_test.h"
#include "node/generic.h"

#include "base/mem.h"
#include "store/change.h"

#include <stdlib.h>

/* In a block of its own size, for the address sanitizer. */
static char *quoted(const char *body)
{
    size_t len = strlen(body);
    char *json = malloc(len ? len : 1);
    for (size_t i = 0; i < len; i++) {
        json[i] = (char)(body[i] == '\'' ? '"' : body[i]);
    }
    return json;
}

/* --- save --- */

/* "id create/update 5=1,2; 7=" */
static void tell_change(const struct kt_generic_change *change, struct kt_buf *text)
{
    struct kt_rd rd;
    double numbers[KT_GENERIC_NUMBERS_MAX];
    kt_buf_printf(text, "%d/" KT_STR_FMT, change->table, KT_STR_ARG(change->id));
    if (change->create_given) {
        kt_buf_printf(text, " c=%lld", (long long)change->create_s);
    }
    if (change->update_given) {
        kt_buf_printf(text, " u=%lld", (long long)change->update_s);
    }
    kt_rd_init(&rd, change->points.data, change->points.len);
    for (size_t i = 0; i < change->point_count; i++) {
        struct kt_generic_point point;
        kt_generic_points_next(&rd, numbers, &point);
        kt_buf_printf(text, " %lld=", (long long)point.time_s);
        for (size_t j = 0; j < point.count; j++) {
            kt_buf_printf(text, "%s%g", j ? "," : "", numbers[j]);
        }
    }
}

static enum kt_status save(const char *body, struct kt_buf *text, struct kt_error *err)
{
    char *json = quoted(body), id[KT_GENERIC_ID_MAX + 1];
    struct kt_buf bytes;
    struct kt_change change;
    kt_buf_init(&bytes, 0);
    enum kt_status status = kt_generic_save_parse(kt_str_n(json, strlen(body)), 2,
                                                  KT_JSON_DEPTH_DEFAULT, id, &bytes, err);
    free(json);
    if (status == KT_OK) {
        status = kt_change_decode(kt_buf_str(&bytes), &change, err);
    }
    if (status == KT_OK) {
        tell_change(&change.generic, text);
        if (!kt_str_eq_text(change.generic.id, id)) {
            status = kt_fail(err, KT_INTERNAL, "the id is told as %s", id);
        }
        kt_change_done(&change);
    }
    kt_buf_done(&bytes);
    return status;
}

static void a_save_becomes_a_change(void)
{
    static const char *const cases[][2] = {
        {"{'id':'000001','data':{'1672502400':[100.5,200.3]}}", "2/000001 1672502400=100.5,200.3"},
        {"{'data':{'9':[1],'-5':[2,3],'2023-01-01':[4],'7':null},'id':'股'}",
         "2/股 -5=2,3 7= 9=1 1672531200=4"},
        {"{'id':'a','data':{}}", "2/a"},
        {"{'id':'a','data':{'0':[0]},'createTime':0,'updateTime':'1970-01-02'}",
         "2/a c=0 u=86400 0=0"},
        {"{'id':'a','data':{},'createTime':null,'updateTime':'-3'}", "2/a u=-3"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_buf text;
        kt_buf_init(&text, 0);
        CHECK_OK(save(cases[i][0], &text, &err));
        CHECK_SLICE(kt_buf_str(&text), cases[i][1]);
        kt_buf_done(&text);
    }
}

#define DATA(rest) "{'id':'a','data':" rest "}"

static void a_wrong_save_names_its_field(void)
{
    static const struct {
        const char *body;
        enum kt_status status;
        const char *field;
    } cases[] = {
        {"", KT_BAD_VALUE, ""},
        {"[]", KT_BAD_VALUE, ""},
        {"{'data':{}}", KT_BAD_VALUE, "id"},
        {"{'id':5,'data':{}}", KT_BAD_VALUE, "id"},
        {"{'id':'','data':{}}", KT_BAD_VALUE, "id"},
        {"{'id':'a/b','data':{}}", KT_BAD_VALUE, "id"},
        {"{'id':'..','data':{}}", KT_BAD_VALUE, "id"},
        {"{'id':'a\\n','data':{}}", KT_BAD_VALUE, "id"},
        {"{'id':'a'}", KT_BAD_VALUE, "data"},
        {"{'id':'a','data':null}", KT_BAD_VALUE, "data"},
        {DATA("[]"), KT_BAD_VALUE, "data"},
        {DATA("{},'x':1"), KT_UNKNOWN_FIELD, "x"},
        {DATA("{},'createTime':'soon'"), KT_BAD_VALUE, "createTime"},
        {DATA("{},'updateTime':1.5"), KT_BAD_VALUE, "updateTime"},
        {DATA("{'x':[1]}"), KT_BAD_VALUE, "data.x"},
        {DATA("{'':[1]}"), KT_BAD_VALUE, "data."},
        {DATA("{'1.5':[1]}"), KT_BAD_VALUE, "data.1.5"},
        {DATA("{'253402300800':[1]}"), KT_BAD_VALUE, "data.253402300800"},
        {DATA("{'1':1}"), KT_BAD_VALUE, "data.1"},
        {DATA("{'1':[]}"), KT_BAD_VALUE, "data.1"},
        {DATA("{'1':{}}"), KT_BAD_VALUE, "data.1"},
        {DATA("{'1':['2']}"), KT_BAD_VALUE, "data.1"},
        {DATA("{'1':[null]}"), KT_BAD_VALUE, "data.1"},
        {DATA("{'1':[[1]]}"), KT_BAD_VALUE, "data.1"},
        {DATA("{'0':[1],'1970-01-01':[2]}"), KT_BAD_VALUE, "data"},
        {DATA("{'1':[1],'01':[2]}"), KT_BAD_VALUE, "data"},
        {DATA("{'1':[1],'1':[2]}"), KT_BAD_VALUE, ""},
        {DATA("{'1':[1e999]}"), KT_BAD_VALUE, ""},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_buf text;
        kt_buf_init(&text, 0);
        enum kt_status status = save(cases[i].body, &text, &err);
        if (status != cases[i].status || !err.message[0] ||
            (cases[i].field[0] && strcmp(err.field, cases[i].field) != 0)) {
            kt_test_fail(__FILE__, __LINE__, "%s: %s field \"%s\": %s", cases[i].body,
                         kt_status_name(status), err.field, err.message);
        }
        kt_buf_done(&text);
    }
}

static void a_save_is_bounded(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf body, text;
    kt_buf_init(&body, 0);
    kt_buf_init(&text, 0);
    for (int over = 0; over < 2; over++) {
        kt_buf_clear(&body);
        kt_buf_append_text(&body, "{'id':'a','data':{'1':[0");
        for (int i = 1; i < KT_GENERIC_NUMBERS_MAX + over; i++) {
            kt_buf_append_text(&body, ",0");
        }
        kt_buf_append_text(&body, "]}}");
        CHECK_FAILS(save(body.data, &text, &err), over ? KT_BAD_VALUE : KT_OK);
        kt_buf_clear(&body);
        kt_buf_append_text(&body, "{'id':'a','data':{'0':[0]");
        for (int i = 1; i < KT_GENERIC_POINTS_MAX + over; i++) {
            kt_buf_printf(&body, ",'%d':[0]", i);
        }
        kt_buf_append_text(&body, "}}");
        CHECK_FAILS(save(body.data, &text, &err), over ? KT_TOO_LARGE : KT_OK);
    }
    CHECK_STR(err.field, "data");
    kt_buf_clear(&body);
    kt_buf_append_text(&body, "{'id':'a','data':{'-1':[0]");
    for (int i = 0; i <= KT_GENERIC_VALUES_MAX / KT_GENERIC_NUMBERS_MAX; i++) {
        kt_buf_printf(&body, ",'%d':[0", i);
        for (int j = 1; j < KT_GENERIC_NUMBERS_MAX; j++) {
            kt_buf_append_text(&body, ",0");
        }
        kt_buf_append_text(&body, "]");
    }
    kt_buf_append_text(&body, "}}");
    CHECK_FAILS(save(body.data, &text, &err), KT_TOO_LARGE);
    kt_buf_done(&body);
    kt_buf_done(&text);
}

static void no_memory_is_told(void)
{
    for (uint64_t nth = 1;; nth++) {
        struct kt_error err = KT_ERROR_INIT;
        char *json = quoted("{'id':'a','data':{'2':[1,2],'1':[3]}}"), id[KT_GENERIC_ID_MAX + 1];
        struct kt_buf bytes;
        kt_buf_init(&bytes, 0);
        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        enum kt_status status =
            kt_generic_save_parse(kt_str_n(json, 37), 1, KT_JSON_DEPTH_DEFAULT, id, &bytes, &err);
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        free(json);
        kt_buf_done(&bytes);
        if (status == KT_OK) {
            CHECK(nth > 3);
            return;
        }
        CHECK_INT(status, KT_NO_MEMORY);
    }
}

/* --- search --- */

static enum kt_status search(const char *body, struct kt_buf *text, struct kt_error *err)
{
    char *json = quoted(body);
    struct kt_json *document = NULL;
    struct kt_generic_query q;
    struct kt_arena *arena = kt_arena_new(1024, 1 << 20);
    enum kt_status status = kt_generic_search_parse(
        kt_str_n(json, strlen(body)), KT_JSON_DEPTH_DEFAULT, 3, arena, &document, &q, err);
    free(json);
    if (status == KT_OK) {
        kt_buf_printf(text, "%d", q.table);
        for (size_t i = 0; q.ids && i < q.id_count; i++) {
            kt_buf_printf(text, " " KT_STR_FMT, KT_STR_ARG(q.ids[i]));
        }
        kt_buf_printf(text, " <" KT_STR_FMT "> %llu+%llu", KT_STR_ARG(q.prefix),
                      (unsigned long long)q.offset, (unsigned long long)q.limit);
        if (q.bounded) {
            kt_buf_printf(text, " %lld..%lld", (long long)q.from_s, (long long)q.to_s);
        }
    }
    kt_json_free(&document);
    kt_arena_free(&arena);
    return status;
}

static void a_search_is_read(void)
{
    static const char *const cases[][2] = {
        {"", "0 <> 0+10"},
        {" {} ", "0 <> 0+10"},
        {"{'tableId':2,'id':'a'}", "2 a <> 0+10"},
        {"{'tableId':'3','ids':'a, b,c'}", "3 a b c <> 0+10"},
        {"{'tableId':'stock_data','ids':['x,y']}", "1 x,y <> 0+10"},
        {"{'ids':[],'prefix':'0','offset':100000,'limit':10000}", "0 <0> 100000+10000"},
        {"{'prefix':'','limit':0}", "0 <> 0+10"},
        {"{'from':'1970-01-02','to':'1970-01-02'}", "0 <> 0+10 86400..172799"},
        {"{'from':-7}", "0 <> 0+10 -7..253402300799"},
        {"{'from':0,'to':0}", "0 <> 0+10"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_buf text;
        kt_buf_init(&text, 0);
        CHECK_OK(search(cases[i][0], &text, &err));
        CHECK_SLICE(kt_buf_str(&text), cases[i][1]);
        kt_buf_done(&text);
    }
}

static void a_wrong_search_names_its_field(void)
{
    static const struct {
        const char *body;
        enum kt_status status;
        const char *field;
    } cases[] = {
        {"{", KT_BAD_VALUE, ""},
        {"{'tableId':4}", KT_BAD_VALUE, "tableId"},
        {"{'tableId':1.5}", KT_BAD_VALUE, "tableId"},
        {"{'tableId':'x'}", KT_BAD_VALUE, "tableId"},
        {"{'tableId':[]}", KT_BAD_VALUE, "tableId"},
        {"{'id':5}", KT_BAD_VALUE, "id"},
        {"{'id':''}", KT_BAD_VALUE, "id"},
        {"{'ids':5}", KT_BAD_VALUE, "ids"},
        {"{'ids':'a,b,c,d'}", KT_TOO_LARGE, "ids"},
        {"{'id':'a','ids':'b'}", KT_BAD_VALUE, "ids"},
        {"{'id':'a','prefix':'b'}", KT_BAD_VALUE, "prefix"},
        {"{'prefix':5}", KT_BAD_VALUE, "prefix"},
        {"{'prefix':'a\\n'}", KT_BAD_VALUE, "prefix"},
        {"{'from':'x'}", KT_BAD_VALUE, "from"},
        {"{'from':5,'to':4}", KT_BAD_VALUE, "from"},
        {"{'offset':-1}", KT_BAD_VALUE, "offset"},
        {"{'offset':100001}", KT_BAD_VALUE, "offset"},
        {"{'limit':10001}", KT_BAD_VALUE, "limit"},
        {"{'limit':1.5}", KT_BAD_VALUE, "limit"},
        {"{'tableid':1}", KT_UNKNOWN_FIELD, "tableid"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_buf text;
        kt_buf_init(&text, 0);
        enum kt_status status = search(cases[i].body, &text, &err);
        if (status != cases[i].status || strcmp(err.field, cases[i].field) != 0) {
            kt_test_fail(__FILE__, __LINE__, "%s: %s field \"%s\": %s", cases[i].body,
                         kt_status_name(status), err.field, err.message);
        }
        kt_buf_done(&text);
    }
}

static const struct kt_test tests[] = {
    TEST(a_save_becomes_a_change), TEST(a_wrong_save_names_its_field),
    TEST(a_save_is_bounded),       TEST(no_memory_is_told),
    TEST(a_search_is_read),        TEST(a_wrong_search_names_its_field),
};
KT_TEST_MAIN(tests)

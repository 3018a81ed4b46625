/* SPDX-License-Identifier: MIT */
/* test_read.c - getters, fields, messages, and that a lack of memory leaves nothing behind. */
#include "kt_test.h"
#include "json/read.h"

#include "base/buf.h"
#include "base/mem.h"

static struct kt_error err;
static struct kt_json *json;

static const struct kt_json_value *load(const char *text)
{
    kt_json_free(&json);
    err = (struct kt_error)KT_ERROR_INIT;
    if (kt_json_parse(kt_str(text), KT_JSON_DEPTH_DEFAULT, &json, &err) != KT_OK) {
        fprintf(stderr, "%s: %s\n", text, err.message);
        return NULL;
    }
    return kt_json_root(json);
}

static void each_value_knows_its_type(void)
{
    static const char *const names[] = {"null",     "true or false", "a number",
                                        "a string", "an array",      "an object"};
    const struct kt_json_value *list = load("[null,true,1,\"s\",[],{}]");
    const struct kt_json_value *item = NULL;
    int at = 0;
    while ((item = kt_json_next(list, item)) != NULL) {
        CHECK_INT(kt_json_type(item), at);
        CHECK_STR(kt_json_type_name(kt_json_type(item)), names[at]);
        at++;
    }
    CHECK_INT(at, 6);
    CHECK_INT(kt_json_count(list), 6);
    CHECK_INT(kt_json_type(load("false")), KT_JSON_BOOL);
}

static void values_are_borrowed_from_the_tree(void)
{
    const struct kt_json_value *root = load(
        "{\"s\":\"\\u4e2d\\ud83d\\ude00\\n\\/\",\"t\":true,\"f\":false,\"n\":-1.5,\"e\":\"\"}");
    CHECK_SLICE(kt_json_string(kt_json_member(root, "s")), "\xE4\xB8\xAD\xF0\x9F\x98\x80\n/");
    CHECK(kt_json_bool(kt_json_member(root, "t")));
    CHECK(!kt_json_bool(kt_json_member(root, "f")));
    CHECK(kt_json_number(kt_json_member(root, "n")) == -1.5);
    CHECK_INT(kt_json_string(kt_json_member(root, "e")).len, 0);
    CHECK_INT(kt_json_count(root), 5);
    CHECK_INT(kt_json_count(load("{}")), 0);
}

static void members_are_found_by_their_exact_bytes(void)
{
    const struct kt_json_value *root = load("{\"Name\":1,\"name\":2,\"\\u00e9\":3,\"\":4}");
    CHECK(kt_json_number(kt_json_member(root, "Name")) == 1);
    CHECK(kt_json_number(kt_json_member(root, "name")) == 2);
    CHECK(kt_json_number(kt_json_member(root, "\xC3\xA9")) == 3);
    CHECK(kt_json_number(kt_json_member(root, "")) == 4);
    CHECK(kt_json_member(root, "NAME") == NULL);
    CHECK(kt_json_member(root, "nam") == NULL);
}

static void a_member_of_another_type_or_of_no_object_is_none(void)
{
    const struct kt_json_value *root = load("{\"s\":\"x\",\"o\":{\"n\":1},\"z\":null}");
    const struct kt_json_value *object = kt_json_member_as(root, "o", KT_JSON_OBJECT);
    CHECK(kt_json_number(kt_json_member_as(object, "n", KT_JSON_NUMBER)) == 1);
    CHECK_SLICE(kt_json_string(kt_json_member_as(root, "s", KT_JSON_STRING)), "x");
    CHECK(kt_json_member_as(root, "s", KT_JSON_NUMBER) == NULL);
    CHECK(kt_json_member_as(root, "z", KT_JSON_STRING) == NULL);
    CHECK(kt_json_member_as(root, "y", KT_JSON_STRING) == NULL);
    CHECK(kt_json_member_as(NULL, "s", KT_JSON_STRING) == NULL);
    CHECK(kt_json_member_as(load("[1]"), "s", KT_JSON_STRING) == NULL);
}

static void a_walk_gives_members_in_the_order_of_the_text(void)
{
    const struct kt_json_value *root = load("{\"b\":1,\"a\":2,\"c\":3}");
    const struct kt_json_value *member = kt_json_next(root, NULL);
    CHECK_SLICE(kt_json_name(member), "b");
    member = kt_json_next(root, member);
    CHECK_SLICE(kt_json_name(member), "a");
    member = kt_json_next(root, member);
    CHECK_SLICE(kt_json_name(member), "c");
    CHECK(kt_json_next(root, member) == NULL);
    CHECK(kt_json_next(load("[]"), NULL) == NULL);
}

/* ----------------------------------------------------------------- fields */

static void present_fields_are_read_and_absent_ones_leave_the_output(void)
{
    struct kt_json_fields f;
    CHECK_OK(kt_json_fields_init(
        &f, load("{\"s\":\"x\",\"b\":true,\"i\":-7,\"a\":[1],\"o\":{},\"n\":null}"), "", &err));
    struct kt_str text = kt_str("old");
    bool truth = false, present = false;
    int64_t number = 99;
    const struct kt_json_value *value = NULL;
    CHECK_OK(kt_json_get_string(&f, "s", &text, &present, &err));
    CHECK(present);
    CHECK_SLICE(text, "x");
    CHECK_OK(kt_json_get_bool(&f, "b", &truth, &present, &err));
    CHECK(present && truth);
    CHECK_OK(kt_json_get_int(&f, "i", -10, 10, &number, &present, &err));
    CHECK(present);
    CHECK_INT(number, -7);
    CHECK_OK(kt_json_get_array(&f, "a", &value, &present, &err));
    CHECK(present && kt_json_type(value) == KT_JSON_ARRAY);
    CHECK_OK(kt_json_get_object(&f, "o", &value, &present, &err));
    CHECK(present && kt_json_type(value) == KT_JSON_OBJECT);

    static const char *const absent[] = {"n", "zz"};
    for (size_t i = 0; i < KT_ARRAY_LEN(absent); i++) {
        const struct kt_json_value *before = value;
        present = true;
        CHECK_OK(kt_json_get_string(&f, absent[i], &text, &present, &err));
        CHECK(!present);
        CHECK_SLICE(text, "x");
        CHECK_OK(kt_json_get_bool(&f, absent[i], &truth, NULL, &err));
        CHECK(truth);
        present = true;
        CHECK_OK(kt_json_get_int(&f, absent[i], 0, 1, &number, &present, &err));
        CHECK(!present);
        CHECK_INT(number, -7);
        CHECK_OK(kt_json_get_array(&f, absent[i], &value, NULL, &err));
        CHECK_OK(kt_json_get_object(&f, absent[i], &value, &present, &err));
        CHECK(value == before && !present);
    }
    CHECK_OK(kt_json_fields_finish(&f, &err));
}

static void null_is_absent_only_when_asked_for(void)
{
    struct kt_json_fields f;
    CHECK_OK(kt_json_fields_init(&f, load("{\"n\":null}"), "", &err));
    CHECK(kt_json_get(&f, "n", true) == NULL);
    CHECK(kt_json_type(kt_json_get(&f, "n", false)) == KT_JSON_NULL);
    CHECK(kt_json_get(&f, "m", false) == NULL);
}

static void a_wrong_type_names_the_field_and_both_types(void)
{
    struct kt_json_fields f;
    struct kt_str text = {NULL, 0};
    bool truth = false, present = true;
    int64_t number = 5;
    const struct kt_json_value *value = NULL;
    CHECK_OK(kt_json_fields_init(&f, load("{\"s\":\"x\",\"i\":1}"), "records[3]", &err));
    CHECK_FAILS(kt_json_get_string(&f, "i", &text, &present, &err), KT_BAD_VALUE);
    CHECK_STR(err.message, "records[3].i must be a string, not a number");
    CHECK_STR(err.field, "records[3].i");
    CHECK(present && text.data == NULL);
    CHECK_FAILS(kt_json_get_int(&f, "s", 0, 9, &number, &present, &err), KT_BAD_VALUE);
    CHECK_STR(err.message, "records[3].s must be a number, not a string");
    CHECK_FAILS(kt_json_get_bool(&f, "s", &truth, NULL, &err), KT_BAD_VALUE);
    CHECK_STR(err.message, "records[3].s must be true or false, not a string");
    CHECK_FAILS(kt_json_get_array(&f, "s", &value, NULL, &err), KT_BAD_VALUE);
    CHECK_STR(err.message, "records[3].s must be an array, not a string");
    CHECK_FAILS(kt_json_get_object(&f, "s", &value, NULL, &err), KT_BAD_VALUE);
    CHECK_STR(err.message, "records[3].s must be an object, not a string");
    CHECK(number == 5 && value == NULL);
}

static void only_an_object_has_fields(void)
{
    struct kt_json_fields f;
    CHECK_FAILS(kt_json_fields_init(&f, load("[1]"), "", &err), KT_BAD_VALUE);
    CHECK_STR(err.message, "the JSON text must be an object, not an array");
    CHECK_FAILS(kt_json_fields_init(&f, load("null"), "records[0]", &err), KT_BAD_VALUE);
    CHECK_STR(err.message, "records[0] must be an object, not null");
    CHECK_STR(err.field, "records[0]");
}

static void whole_numbers_are_read_within_their_range(void)
{
    static const struct {
        const char *text;
        int64_t min, max;
        bool good;
        int64_t value;
    } cases[] = {
        {"{\"i\":0}", 0, 0, true, 0},
        {"{\"i\":-0}", 0, 0, true, 0},
        {"{\"i\":1.0}", 0, 5, true, 1},
        {"{\"i\":1e3}", 0, 1000, true, 1000},
        {"{\"i\":1e3}", 0, 999, false, 0},
        {"{\"i\":-1}", 0, 5, false, 0},
        {"{\"i\":1.5}", 0, 5, false, 0},
        {"{\"i\":1e-5}", 0, 5, false, 0},
        {"{\"i\":9007199254740992}", INT64_MIN, INT64_MAX, true, INT64_C(9007199254740992)},
        {"{\"i\":-9007199254740992}", INT64_MIN, INT64_MAX, true, INT64_C(-9007199254740992)},
        {"{\"i\":9007199254740994}", INT64_MIN, INT64_MAX, false, 0},
        {"{\"i\":1e300}", INT64_MIN, INT64_MAX, false, 0},
        {"{\"i\":-1e300}", INT64_MIN, INT64_MAX, false, 0},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_json_fields f;
        int64_t value = 77;
        CHECK_OK(kt_json_fields_init(&f, load(cases[i].text), "", &err));
        enum kt_status status =
            kt_json_get_int(&f, "i", cases[i].min, cases[i].max, &value, NULL, &err);
        CHECK_INT(status, cases[i].good ? KT_OK : KT_BAD_VALUE);
        CHECK_INT(value, cases[i].good ? cases[i].value : 77);
    }
    struct kt_json_fields f;
    int64_t value;
    CHECK_OK(kt_json_fields_init(&f, load("{\"limit\":1.5}"), "", &err));
    CHECK_FAILS(kt_json_get_int(&f, "limit", 0, 10000, &value, NULL, &err), KT_BAD_VALUE);
    CHECK_STR(err.message, "limit must be a whole number from 0 to 10000, not 1.5");
    CHECK_STR(err.field, "limit");
}

static void the_first_member_nobody_asked_for_is_refused(void)
{
    struct kt_json_fields f;
    CHECK_OK(kt_json_fields_init(&f, load("{\"a\":1,\"x\":2,\"b\":3,\"y\":4}"), "", &err));
    (void)kt_json_get(&f, "b", true);
    (void)kt_json_get(&f, "a", true);
    CHECK_FAILS(kt_json_fields_finish(&f, &err), KT_UNKNOWN_FIELD);
    CHECK_STR(err.message, "unknown field x");
    CHECK_STR(err.field, "x");
    (void)kt_json_get(&f, "x", true);
    CHECK_FAILS(kt_json_fields_finish(&f, &err), KT_UNKNOWN_FIELD);
    CHECK_STR(err.message, "unknown field y");
    (void)kt_json_get(&f, "y", true);
    CHECK_OK(kt_json_fields_finish(&f, &err));
}

static void members_beyond_256_are_unknown(void)
{
    struct kt_buf text;
    kt_buf_init(&text, 0);
    kt_buf_append_byte(&text, '{');
    for (int i = 0; i < 257; i++) {
        kt_buf_printf(&text, "%s\"k%d\":1", i ? "," : "", i);
    }
    kt_buf_append_byte(&text, '}');
    struct kt_json_fields f;
    CHECK_OK(kt_json_fields_init(&f, load(text.data), "", &err));
    kt_buf_done(&text);
    for (int i = 0; i < 257; i++) {
        char name[16];
        snprintf(name, sizeof(name), "k%d", i);
        CHECK(kt_json_get(&f, name, true) != NULL);
    }
    CHECK_FAILS(kt_json_fields_finish(&f, &err), KT_UNKNOWN_FIELD);
    CHECK_STR(err.message, "unknown field k256");
}

static void a_path_that_is_too_long_is_cut_at_a_character(void)
{
    struct kt_json_fields f;
    char path[160], name[400] = "";
    CHECK_OK(kt_json_fields_init(&f, load("{}"), "records[3]", &err));
    kt_json_field_path(&f, "time", path);
    CHECK_STR(path, "records[3].time");
    for (int i = 0; i < 100; i++) {
        memcpy(name + 3 * i, "\xE4\xB8\xAD", 4);
    }
    kt_json_field_path(&f, name, path);
    CHECK(strlen(path) < sizeof(path) && strlen(path) > sizeof(path) - 5);
    CHECK(kt_utf8_valid(kt_str(path)));
}

/* ----------------------------------------------------------------- faults */

static void parsing_survives_every_failing_allocation(void)
{
    static const char text[] =
        "{\"a\":[1,\"x\",{\"b\":null}],\"c1\":1,\"c2\":1,\"c3\":1,\"c4\":1,\"c5\":1,\"c6\":1,"
        "\"c7\":1,\"c8\":1,\"c9\":1,\"d1\":1,\"d2\":1,\"d3\":1,\"long\":"
        "1.00000000000000000000000000000000000000000000000000000000000000000000000000000000}";
    enum kt_status status = KT_NO_MEMORY;
    uint64_t nth = 1;
    for (; status != KT_OK && nth < 1000; nth++) {
        kt_json_free(&json);
        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        status = kt_json_parse(KT_STR(text), 4, &json, &err);
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        CHECK(status == KT_OK || status == KT_NO_MEMORY);
        CHECK((status == KT_OK) == (json != NULL));
    }
    CHECK(status == KT_OK && nth > 3); /* the copy, the tree, what sorts the names */
}

static void freeing_nothing_is_allowed(void)
{
    kt_json_free(&json);
    CHECK(json == NULL);
    kt_json_free(&json);
}

static const struct kt_test tests[] = {
    TEST(each_value_knows_its_type),
    TEST(values_are_borrowed_from_the_tree),
    TEST(members_are_found_by_their_exact_bytes),
    TEST(a_member_of_another_type_or_of_no_object_is_none),
    TEST(a_walk_gives_members_in_the_order_of_the_text),
    TEST(present_fields_are_read_and_absent_ones_leave_the_output),
    TEST(null_is_absent_only_when_asked_for),
    TEST(a_wrong_type_names_the_field_and_both_types),
    TEST(only_an_object_has_fields),
    TEST(whole_numbers_are_read_within_their_range),
    TEST(the_first_member_nobody_asked_for_is_refused),
    TEST(members_beyond_256_are_unknown),
    TEST(a_path_that_is_too_long_is_cut_at_a_character),
    TEST(parsing_survives_every_failing_allocation),
    TEST(freeing_nothing_is_allowed),
};
KT_TEST_MAIN(tests)

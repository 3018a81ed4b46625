/* SPDX-License-Identifier: MIT */
#include "bench/plan.h"
#include "kt_test.h"

#include "base/fs.h"
#include "base/mem.h"

static struct kt_pt_options options;
static struct kt_learnt learnt;
static struct kt_learnt_subject subjects[200];
static char keys[200][8];
static struct kt_str ids[] = {{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}, {"e", 1}};
static struct kt_error err;

static void prepare(void)
{
    err = (struct kt_error)KT_ERROR_INIT;
    options = (struct kt_pt_options){.repeat = 50, .seed = 1};
    KT_ASSERT(kt_target_parse(KT_STR("http://h:7/data"), &options.targets[0], &err) == KT_OK);
    KT_ASSERT(kt_target_parse(KT_STR("http://[::1]:8"), &options.targets[1], &err) == KT_OK);
    options.target_count = 2;
    for (size_t i = 0; i < KT_ARRAY_LEN(subjects); i++) {
        snprintf(keys[i], sizeof(keys[i]), "s:%03zu", i);
        /* From 1999-12-31 (the first) to 2020-01-01 each. */
        subjects[i] = (struct kt_learnt_subject){.key = kt_str(keys[i]),
                                                 .known = true,
                                                 .first = 946598400 + (int64_t)i * 86400,
                                                 .last = 1577836800};
    }
    learnt = (struct kt_learnt){.subjects = subjects,
                                .subject_count = KT_ARRAY_LEN(subjects),
                                .ids = ids,
                                .id_count = KT_ARRAY_LEN(ids),
                                .topic = KT_STR("pool"),
                                .topic_subjects = 200};
}

static void every_scenario_is_whole_requests_with_valid_bodies(void)
{
    for (int s = 1; s < KT_SCENARIO_FILE; s++) {
        struct kt_plan plan;
        prepare();
        CHECK_OK(kt_plan_make(&options, (enum kt_scenario)s, &learnt, &plan, &err));
        CHECK_INT(plan.count, 50);
        for (size_t i = 0; i < plan.count; i++) {
            const struct kt_planned *planned = &plan.requests[i];
            struct kt_json *json = NULL;
            char head[256], length[64];
            CHECK_OK(kt_json_parse(planned->body, 16, &json, &err));
            kt_json_free(&json);
            snprintf(head, sizeof(head), "POST /data" KT_STR_FMT " HTTP/1.1\r\nHost: h:7\r\n",
                     KT_STR_ARG(planned->path));
            CHECK(kt_str_starts(planned->bytes[0], kt_str(head)));
            CHECK(kt_str_find(planned->bytes[1], KT_STR("\r\nHost: [::1]:8\r\n")) > 0);
            snprintf(length, sizeof(length), "\r\nContent-Length: %zu\r\n", planned->body.len);
            CHECK(kt_str_find(planned->bytes[0], kt_str(length)) > 0);
            CHECK(kt_str_ends(planned->bytes[0], planned->body));
        }
        kt_plan_done(&plan);
    }
}

static void the_same_seed_draws_the_same_another_seed_another(void)
{
    struct kt_plan a, b, c;
    prepare();
    CHECK_OK(kt_plan_make(&options, KT_SCENARIO_PAGED, &learnt, &a, &err));
    CHECK_OK(kt_plan_make(&options, KT_SCENARIO_PAGED, &learnt, &b, &err));
    options.seed = 2;
    CHECK_OK(kt_plan_make(&options, KT_SCENARIO_PAGED, &learnt, &c, &err));
    for (size_t i = 0; i < a.count; i++) {
        CHECK(kt_str_eq(a.requests[i].body, b.requests[i].body));
    }
    CHECK(!kt_str_eq(a.requests[0].body, c.requests[0].body));
    kt_plan_done(&a);
    kt_plan_done(&b);
    kt_plan_done(&c);
}

static void subjects_of_a_request_are_different_also_by_a_steep_law(void)
{
    struct kt_plan plan;
    prepare();
    options.zipf = 5;
    CHECK_OK(kt_plan_make(&options, KT_SCENARIO_PAGED, &learnt, &plan, &err));
    for (size_t r = 0; r < plan.count; r++) {
        const struct kt_planned *planned = &plan.requests[r];
        CHECK_INT(planned->subject_count, 50);
        CHECK_INT(planned->total_min, 50);
        for (size_t i = 0; i < 50; i++) {
            for (size_t j = 0; j < i; j++) {
                CHECK(!kt_str_eq(planned->subjects[i], planned->subjects[j]));
            }
        }
    }
    kt_plan_done(&plan);
}

static void who_has_no_record_yet_at_a_date_is_not_expected(void)
{
    struct kt_plan plan;
    bool some_less = false;
    prepare();
    for (size_t i = 0; i < KT_ARRAY_LEN(subjects); i++) {
        subjects[i].first = 946598400 + (int64_t)i * 86400 * 36; /* over twenty years */
    }
    CHECK_OK(kt_plan_make(&options, KT_SCENARIO_AT_DATE, &learnt, &plan, &err));
    for (size_t i = 0; i < plan.count; i++) {
        const struct kt_planned *planned = &plan.requests[i];
        CHECK(planned->at >= 946598400 && planned->at <= 1577836800 + 86399);
        CHECK(planned->total_min <= 3);
        some_less = some_less || planned->total_min < 3;
    }
    CHECK(some_less);
    kt_plan_done(&plan);
}

static void an_empty_cluster_is_told_apart(void)
{
    struct kt_plan plan;
    prepare();
    learnt.subject_count = 0;
    CHECK_FAILS(kt_plan_make(&options, KT_SCENARIO_MULTI, &learnt, &plan, &err), KT_NOT_FOUND);
    CHECK(strstr(err.message, "subjects"));
    CHECK_OK(kt_plan_make(&options, KT_SCENARIO_WRITES, &learnt, &plan, &err));
    kt_plan_done(&plan);
}

static void every_twentieth_of_mixed_writes_to_its_own_subject(void)
{
    struct kt_plan plan;
    size_t writes = 0;
    prepare();
    options.repeat = 1000;
    options.idempotent = true;
    CHECK_OK(kt_plan_make(&options, KT_SCENARIO_MIXED, &learnt, &plan, &err));
    for (size_t i = 0; i < plan.count; i++) {
        const struct kt_planned *planned = &plan.requests[i];
        if (planned->kind == KT_EXPECT_SAVE) {
            writes++;
            CHECK(kt_str_starts(planned->written_subject, KT_STR("pt:")));
            struct kt_str digits =
                kt_str_n(planned->bytes[0].data + planned->bytes[0].len - planned->key_from_end,
                         KT_PLAN_KEY_DIGITS + 4);
            CHECK_SLICE(digits, "0000000000000000\r\n\r\n");
        }
    }
    CHECK_INT(writes, 50);
    CHECK_INT(plan.writes, 50);
    kt_plan_done(&plan);
}

static enum kt_status read_file(const char *text, struct kt_plan *ret_plan)
{
    static char path[512];
    prepare();
    kt_test_path(path, sizeof(path), "requests.ndjson");
    KT_ASSERT(kt_fs_write_durably(path, kt_str(text), &err) == KT_OK);
    options.requests_file = path;
    options.repeat = 0;
    return kt_plan_make(&options, KT_SCENARIO_FILE, &learnt, ret_plan, &err);
}

static void a_file_of_requests_is_read_as_it_stands(void)
{
    struct kt_plan plan;
    CHECK_OK(read_file(
        "{\"path\":\"/health\"}\n\n"
        "{\"method\":\"POST\",\"path\":\"/x\",\"body\":{\"body\":\"}\", \"a\":[1,{}]}}\r\n"
        "{\"body\":\"raw \\\"text\\\"\",\"path\":\"/y?z=%20\",\"status\":404}\n"
        "{\"path\":\"/h\",\"method\":\"HEAD\"}",
        &plan));
    CHECK_INT(plan.count, 4);
    CHECK_STR(plan.requests[0].method, "GET");
    CHECK_SLICE(plan.requests[1].body, "{\"body\":\"}\", \"a\":[1,{}]}");
    CHECK_STR(plan.requests[2].method, "POST");
    CHECK_SLICE(plan.requests[2].body, "raw \"text\"");
    CHECK_INT(plan.requests[2].status, 404);
    CHECK(plan.requests[3].to_head);
    kt_plan_done(&plan);
}

static void a_bad_line_is_named(void)
{
    static const char *const bad[] = {
        "{\"path\":\"/a\"}\n{\"path\":\"a\"}",
        "{\"path\":\"/a\"}\n{\"path\":\"/a b\"}",
        "{\"path\":\"/a\"}\n{\"path\":\"/a\",\"method\":\"get\"}",
        "{\"path\":\"/a\"}\n{\"path\":\"/a\",\"bdy\":{}}",
        "{\"path\":\"/a\"}\n{\"path\":\"/a\",\"body\":7}",
        "{\"path\":\"/a\"}\n{\"path\":\"/a\",\"status\":100}",
        "{\"path\":\"/a\"}\n{\"path\":\"/a\",\"bo\\u0064y\":{}}",
        "{\"path\":\"/a\"}\n{}",
        "{\"path\":\"/a\"}\nnonsense",
        "{\"path\":\"/a\"}\n[]",
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        struct kt_plan plan;
        enum kt_status status = read_file(bad[i], &plan);
        if (status == KT_OK || !strstr(err.message, "requests.ndjson:2")) {
            kt_test_fail(__FILE__, __LINE__, "%s: %s", bad[i], err.message);
        }
    }
    struct kt_plan plan;
    CHECK_FAILS(read_file("\n\n", &plan), KT_BAD_VALUE);
}

static const struct kt_test tests[] = {
    TEST(every_scenario_is_whole_requests_with_valid_bodies),
    TEST(the_same_seed_draws_the_same_another_seed_another),
    TEST(subjects_of_a_request_are_different_also_by_a_steep_law),
    TEST(who_has_no_record_yet_at_a_date_is_not_expected),
    TEST(an_empty_cluster_is_told_apart),
    TEST(every_twentieth_of_mixed_writes_to_its_own_subject),
    TEST(a_file_of_requests_is_read_as_it_stands),
    TEST(a_bad_line_is_named),
};
KT_TEST_MAIN(tests)

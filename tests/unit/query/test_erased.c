/* SPDX-License-Identifier: MIT */
/* test_erased.c - questions while records are deleted: whole, or asked again, never half. */
#include "base/mem.h"
#include "base/thread.h"
#include "kt_test.h"
#include "query/query_impl.h"
#include "world.h"

#include <stdatomic.h>
#include <stdlib.h>

static struct world world;

/* Deletes the records of these subjects, or with `all` the subjects too; one entry. */
static void erase(const char *first, const char *second, bool all)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_str subjects[] = {kt_str(first), kt_str(second)};
    struct kt_change_delete what = {.subjects = subjects,
                                    .subject_count = second ? 2 : 1,
                                    .all = all,
                                    .from_s = KT_TIME_MIN,
                                    .to_s = KT_TIME_MAX};
    struct kt_buf body;
    kt_buf_init(&body, 0);
    uint64_t seq, epoch;
    kt_store_log_end(world.store, &seq, &epoch);
    if (kt_change_encode_delete(&what, &body, &err) != KT_OK) {
        abort();
    }
    struct kt_entry entry = {seq + 1, epoch, world.wall_ms + 1, KT_STR(""), kt_buf_str(&body)};
    if (kt_store_log_append(world.store, &entry, 1, seq + 1, &err) != KT_OK ||
        kt_store_apply(world.store, &entry, 1, NULL, &err) != KT_OK) {
        fprintf(stderr, "erase: %s\n", err.message);
        abort();
    }
    world.seq = seq + 1;
    kt_buf_done(&body);
}

static void fill(void)
{
    world_record(&world, "A", "2024-03-31", "Q1", NULL, "eps=1");
    world_record(&world, "B", "2024-03-31", "Q1", NULL, "eps=2");
    world_commit(&world, world.wall_ms + 1);
}

static void a_series_that_lost_records_since_the_view_is_busy_and_said_so(void)
{
    world_open(&world, "busy.db", 1000);
    fill();
    bool erased = false;
    world.env.erased = &erased;
    struct plan plan = {.env = &world.env, .view = kt_store_view(world.store)};
    const struct kt_subject *a = kt_catalogue_find_subject(plan.view, KT_STR("A"));
    const struct kt_subject *b = kt_catalogue_find_subject(plan.view, KT_STR("B"));
    struct kt_series *series = NULL;
    struct kt_error err = KT_ERROR_INIT;
    erase("A", NULL, false);
    CHECK_FAILS(query_series(&plan, a, &series, &err), KT_BUSY);
    CHECK(!series && erased);
    erased = false;
    CHECK_OK(query_series(&plan, b, &series, &err));
    CHECK(series && !erased);
    kt_series_unref(&series);
    CHECK_INT(kt_status_http(KT_BUSY), 503);
    kt_catalogue_unref(&plan.view);
    world.env.erased = NULL;
    CHECK_STR(world_rows(&world, "{}"), "B/1");
    world_close(&world);
}

/* The key keeps its number, and the cache the series of the subject that it was. */
static void a_subject_that_comes_again_is_not_answered_from_the_old_ones_series(void)
{
    world_open(&world, "again.db", 1000);
    fill();
    CHECK_STR(world_rows(&world, "{}"), "B A/2");
    erase("A", "B", true);
    CHECK_STR(world_rows(&world, "{}"), "/0");
    world_subject(&world, "A", "again", "");
    world_commit(&world, world.wall_ms + 1);
    CHECK_STR(world_rows(&world, "{}"), "/0");
    CHECK(strstr(world_period(&world, "{\"subjects\":[\"A\",\"B\"]}"), "\"data\":[]}]}"));
    world_record(&world, "B", "2020-12-31", "Q4", NULL, "eps=7");
    world_commit(&world, world.wall_ms + 1);
    CHECK_STR(world_rows(&world, "{}"), "B/1");
    CHECK(!strstr(world_period(&world, "{\"subjects\":[\"B\"]}"), "2024"));
    erase("B", NULL, false);
    CHECK_STR(world_rows(&world, "{}"), "/0");
    world_close(&world);
}

struct asking {
    world_query_fn query;
    const char *body;
    atomic_bool stop;
    atomic_int answers, half, failed;
};

static int count_of(struct kt_str text, const char *part)
{
    int count = 0;
    ptrdiff_t at;
    while ((at = kt_str_find(text, kt_str(part))) >= 0) {
        count++;
        text = kt_str_n(text.data + at + 1, text.len - (size_t)at - 1);
    }
    return count;
}

/* A and B come and go in one revision each time, so an answer has both or neither. */
static void ask_on(void *arg)
{
    struct asking *asking = arg;
    struct kt_arena *arena = kt_arena_new(4096, 1 << 20);
    bool erased;
    struct kt_query_env env = world.env;
    env.erased = &erased;
    while (!atomic_load(&asking->stop)) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_http_response response;
        kt_http_response_init(&response, arena, 1 << 20);
        erased = false;
        enum kt_status status = asking->query(&env, kt_str(asking->body), &response, &err);
        if (status == KT_OK && !erased) {
            int values = count_of(kt_buf_str(&response.body), "\"eps\":");
            atomic_fetch_add(&asking->half, values % 2);
            atomic_fetch_add(&asking->answers, 1);
        } else if (!erased) {
            atomic_fetch_add(&asking->failed, 1);
        }
        kt_http_response_done(&response);
        kt_arena_reset(arena);
    }
    kt_arena_free(&arena);
}

static void no_question_answers_half_while_records_are_deleted(void)
{
    static const struct {
        world_query_fn query;
        const char *body;
    } questions[] = {
        {kt_query_snapshot, "{}"},
        {kt_query_period, "{\"subjects\":[\"A\",\"B\"]}"},
        {kt_query_batch,
         "{\"queries\":[{\"id\":\"a\",\"op\":\"snapshot\",\"body\":{\"subjects\":[\"A\"]}},"
         "{\"id\":\"b\",\"op\":\"snapshot\",\"body\":{\"subjects\":[\"B\"]}}]}"},
    };
    world_open(&world, "half.db", 1000);
    fill();
    for (size_t i = 0; i < KT_ARRAY_LEN(questions); i++) {
        struct asking asking = {.query = questions[i].query, .body = questions[i].body};
        struct kt_thread thread;
        struct kt_error err = KT_ERROR_INIT;
        memset(&thread, 0, sizeof thread);
        CHECK_OK(kt_thread_start(&thread, "asking", ask_on, &asking, &err));
        int64_t until = kt_now_mono_ms() + 60000;
        for (int n = 0; n < 60 || (atomic_load(&asking.answers) < 50 && kt_now_mono_ms() < until);
             n++) {
            erase("A", "B", n % 2);
            fill();
        }
        atomic_store(&asking.stop, true);
        kt_thread_join(&thread);
        CHECK_INT(atomic_load(&asking.half), 0);
        CHECK_INT(atomic_load(&asking.failed), 0);
        CHECK(atomic_load(&asking.answers) > 0);
    }
    world_close(&world);
}

static const struct kt_test tests[] = {
    TEST(a_series_that_lost_records_since_the_view_is_busy_and_said_so),
    TEST(a_subject_that_comes_again_is_not_answered_from_the_old_ones_series),
    TEST(no_question_answers_half_while_records_are_deleted),
};

KT_TEST_MAIN(tests)

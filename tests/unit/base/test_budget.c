/* SPDX-License-Identifier: MIT */
#include "../kt_test.h"

#include "base/budget.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/thread.h"

static struct kt_budget *budget;

static void what_fits_is_taken_at_once(void)
{
    budget = kt_budget_new(100);
    CHECK(kt_budget_take(budget, 0, 60, 0));
    CHECK(kt_budget_take(budget, 60, 40, 0));
    CHECK_INT(kt_budget_used(budget), 100);
    CHECK(!kt_budget_take(budget, 0, 1, 0));
    kt_budget_give(budget, 100);
    CHECK(kt_budget_take(budget, 0, 1, 0));
    kt_budget_give(budget, 1);
    kt_budget_free(&budget);
    CHECK(budget == NULL);
}

static void who_is_alone_gets_what_it_asks_for(void)
{
    budget = kt_budget_new(100);
    CHECK(kt_budget_take(budget, 0, 1000, 0));
    CHECK(kt_budget_take(budget, 1000, 1000, 0));
    CHECK(!kt_budget_take(budget, 0, 1, 0));
    kt_budget_give(budget, 2000);
    CHECK(kt_budget_take(budget, 0, 50, 0));
    CHECK(!kt_budget_take(budget, 0, 1000, 0));
    kt_budget_give(budget, 50);
    kt_budget_free(&budget);
}

static void a_deadline_ends_the_wait(void)
{
    int64_t began_ms = kt_now_mono_ms();

    budget = kt_budget_new(100);
    CHECK(kt_budget_take(budget, 0, 100, 0));
    CHECK(!kt_budget_take(budget, 0, 1, began_ms + 100));
    CHECK(kt_now_mono_ms() >= began_ms + 100);
    kt_budget_give(budget, 100);
    kt_budget_free(&budget);
}

static void give_soon(void *arg)
{
    (void)arg;
    for (int i = 0; i < 50; i++) {
        kt_test_pause();
    }
    kt_budget_give(budget, 100);
}

static void who_waits_gets_what_is_given_back(void)
{
    struct kt_thread thread = {0};
    struct kt_error err = KT_ERROR_INIT;

    budget = kt_budget_new(100);
    CHECK(kt_budget_take(budget, 0, 100, 0));
    CHECK_OK(kt_thread_start(&thread, "giver", give_soon, NULL, &err));
    CHECK(kt_budget_take(budget, 0, 80, kt_now_mono_ms() + 10000));
    kt_thread_join(&thread);
    CHECK_INT(kt_budget_used(budget), 80);
    kt_budget_give(budget, 80);
    kt_budget_free(&budget);
}

static void a_buffer_pays_for_its_growth_and_fails_without(void)
{
    struct kt_budget_share first = {0}, second = {0};
    struct kt_buf small, large;

    budget = kt_budget_new(4 * KT_BUF_UNSHARED_BYTES);
    first.budget = second.budget = budget;
    kt_buf_init(&small, 0);
    kt_buf_init(&large, 0);
    small.share = &first;
    large.share = &second;
    CHECK(kt_buf_reserve(&small, KT_BUF_UNSHARED_BYTES - 1));
    CHECK_INT(first.held_bytes, 0);
    CHECK(kt_buf_reserve(&large, 2 * KT_BUF_UNSHARED_BYTES - 1));
    CHECK_INT(second.held_bytes, 2 * KT_BUF_UNSHARED_BYTES);
    CHECK(kt_buf_reserve(&large, 3 * KT_BUF_UNSHARED_BYTES - 1));
    CHECK_INT(second.held_bytes, large.cap_bytes);
    /* Nothing is left for who is not alone. */
    CHECK(!kt_buf_reserve(&small, KT_BUF_UNSHARED_BYTES));
    CHECK_INT(kt_buf_status(&small), KT_BUSY);
    kt_budget_share_give(&second);
    kt_buf_clear(&small);
    CHECK(kt_buf_reserve(&small, KT_BUF_UNSHARED_BYTES));
    kt_budget_share_give(&first);
    kt_budget_share_give(&first);
    CHECK_INT(kt_budget_used(budget), 0);
    kt_buf_done(&small);
    kt_buf_done(&large);
    kt_budget_free(&budget);
}

static const struct kt_test tests[] = {
    TEST(what_fits_is_taken_at_once),        TEST(who_is_alone_gets_what_it_asks_for),
    TEST(a_deadline_ends_the_wait),          TEST(a_buffer_pays_for_its_growth_and_fails_without),
    TEST(who_waits_gets_what_is_given_back),
};

KT_TEST_MAIN(tests)

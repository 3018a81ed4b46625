/* SPDX-License-Identifier: MIT */
#include "gateway/balance.h"

#include "kt_test.h"

static void round_robin_takes_turns(void)
{
    struct kt_balancer balancer = {.policy = KT_POLICY_ROUND_ROBIN, .random = 1};
    uint32_t in_flight[3] = {9, 0, 0};

    for (size_t i = 0; i < 9; i++) {
        CHECK_INT(kt_balance_choose(&balancer, in_flight, 3), i % 3);
    }
}

static void p2c_never_takes_the_busiest_of_two(void)
{
    struct kt_balancer balancer = {.policy = KT_POLICY_P2C, .random = 7};
    uint32_t in_flight[2] = {5, 4};

    for (int i = 0; i < 1000; i++) {
        CHECK_INT(kt_balance_choose(&balancer, in_flight, 2), 1);
    }
}

static void p2c_spreads_over_equal_nodes(void)
{
    struct kt_balancer balancer = {.policy = KT_POLICY_P2C, .random = 7};
    uint32_t in_flight[3] = {0, 0, 0};
    int counts[3] = {0, 0, 0};

    for (int i = 0; i < 9000; i++) {
        counts[kt_balance_choose(&balancer, in_flight, 3)]++;
    }
    for (int i = 0; i < 3; i++) {
        CHECK(counts[i] > 2700 && counts[i] < 3300);
    }
}

static void p2c_keeps_the_load_even(void)
{
    struct kt_balancer balancer = {.policy = KT_POLICY_P2C, .random = 99};
    uint32_t in_flight[5] = {0};
    uint32_t least = UINT32_MAX, most = 0;

    for (int i = 0; i < 5000; i++) {
        in_flight[kt_balance_choose(&balancer, in_flight, 5)]++;
    }
    for (int i = 0; i < 5; i++) {
        least = in_flight[i] < least ? in_flight[i] : least;
        most = in_flight[i] > most ? in_flight[i] : most;
    }
    CHECK(most - least < 20);
}

static void a_single_node_is_always_taken(void)
{
    struct kt_balancer balancer = {.policy = KT_POLICY_P2C, .random = 3};
    uint32_t in_flight[1] = {100};

    CHECK_INT(kt_balance_choose(&balancer, in_flight, 1), 0);
    balancer.policy = KT_POLICY_ROUND_ROBIN;
    CHECK_INT(kt_balance_choose(&balancer, in_flight, 1), 0);
}

static void the_budget_begins_full_and_runs_dry(void)
{
    struct kt_budget budget;
    int spent = 0;

    kt_budget_init(&budget, 100, 20);
    while (kt_budget_spend(&budget)) {
        spent++;
    }
    CHECK_INT(spent, 100);
}

static void five_requests_earn_one_repetition(void)
{
    struct kt_budget budget;

    kt_budget_init(&budget, 100, 20);
    while (kt_budget_spend(&budget)) {
    }
    for (int i = 0; i < 4; i++) {
        kt_budget_earn(&budget);
        CHECK(!kt_budget_spend(&budget));
    }
    kt_budget_earn(&budget);
    CHECK(kt_budget_spend(&budget));
    CHECK(!kt_budget_spend(&budget));
}

static void the_budget_is_capped(void)
{
    struct kt_budget budget;
    int spent = 0;

    kt_budget_init(&budget, 3, 20);
    for (int i = 0; i < 1000; i++) {
        kt_budget_earn(&budget);
    }
    while (kt_budget_spend(&budget)) {
        spent++;
    }
    CHECK_INT(spent, 3);
    kt_budget_init(&budget, 0, 20);
    kt_budget_earn(&budget);
    CHECK(!kt_budget_spend(&budget));
}

static const struct kt_test tests[] = {
    TEST(round_robin_takes_turns),           TEST(p2c_never_takes_the_busiest_of_two),
    TEST(p2c_spreads_over_equal_nodes),      TEST(p2c_keeps_the_load_even),
    TEST(a_single_node_is_always_taken),     TEST(the_budget_begins_full_and_runs_dry),
    TEST(five_requests_earn_one_repetition), TEST(the_budget_is_capped),
};
KT_TEST_MAIN(tests)

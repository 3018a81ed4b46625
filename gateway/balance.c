/* SPDX-License-Identifier: MIT */
/* balance.c - two policies and a bucket. */
#include "gateway/balance.h"

#include "base/hash.h"
#include "base/status.h"

static size_t choose_p2c(struct kt_balancer *balancer, const uint32_t *in_flight, size_t count)
{
    uint64_t bits;
    size_t a, b;

    if (count == 1) {
        return 0;
    }
    bits = kt_prng_next(&balancer->random) >> 16;
    a = (size_t)(bits % count);
    b = (a + 1 + (size_t)((bits >> 24) % (count - 1))) % count;
    return in_flight[b] < in_flight[a] ? b : a;
}

size_t kt_balance_choose(struct kt_balancer *balancer, const uint32_t *in_flight, size_t count)
{
    KT_ASSERT(count > 0);
    if (balancer->policy == KT_POLICY_ROUND_ROBIN) {
        return (size_t)(balancer->turn++ % count);
    }
    return choose_p2c(balancer, in_flight, count);
}

void kt_budget_init(struct kt_budget *budget, int64_t cap, int64_t percent)
{
    budget->cap_percent = cap * 100;
    budget->percent = budget->cap_percent;
    budget->gain_percent = percent;
}

void kt_budget_earn(struct kt_budget *budget)
{
    budget->percent += budget->gain_percent;
    if (budget->percent > budget->cap_percent) {
        budget->percent = budget->cap_percent;
    }
}

bool kt_budget_has(const struct kt_budget *budget)
{
    return budget->percent >= 100;
}

bool kt_budget_spend(struct kt_budget *budget)
{
    if (!kt_budget_has(budget)) {
        return false;
    }
    budget->percent -= 100;
    return true;
}

/* SPDX-License-Identifier: MIT */
#include "base/budget.h"

#include "base/mem.h"
#include "base/thread.h"

struct kt_budget {
    struct kt_mutex lock;
    struct kt_cond given;
    int64_t limit, used;
};

struct kt_budget *kt_budget_new(int64_t limit_bytes)
{
    struct kt_budget *budget = kt_calloc(1, sizeof(*budget));

    if (budget) {
        budget->limit = limit_bytes;
        kt_mutex_init(&budget->lock, "budget", KT_RANK_HTTP);
        kt_cond_init(&budget->given);
    }
    return budget;
}

void kt_budget_free(struct kt_budget **budget)
{
    struct kt_budget *self = *budget;

    if (self) {
        KT_ASSERT(self->used == 0);
        kt_cond_done(&self->given);
        kt_mutex_done(&self->lock);
        kt_free(self);
    }
    *budget = NULL;
}

bool kt_budget_take(struct kt_budget *budget, int64_t held_bytes, int64_t more_bytes,
                    int64_t deadline_mono_ms)
{
    bool fits;

    kt_mutex_lock(&budget->lock);
    do {
        fits = budget->used == held_bytes || budget->used + more_bytes <= budget->limit;
    } while (!fits && kt_cond_wait(&budget->given, &budget->lock, deadline_mono_ms));
    if (fits) {
        budget->used += more_bytes;
    }
    kt_mutex_unlock(&budget->lock);
    return fits;
}

void kt_budget_give(struct kt_budget *budget, int64_t bytes)
{
    kt_mutex_lock(&budget->lock);
    KT_ASSERT(bytes <= budget->used);
    budget->used -= bytes;
    kt_cond_broadcast(&budget->given);
    kt_mutex_unlock(&budget->lock);
}

int64_t kt_budget_used(struct kt_budget *budget)
{
    int64_t used;

    kt_mutex_lock(&budget->lock);
    used = budget->used;
    kt_mutex_unlock(&budget->lock);
    return used;
}

bool kt_budget_share_take(struct kt_budget_share *share, int64_t more_bytes,
                          int64_t deadline_mono_ms)
{
    bool taken = kt_budget_take(share->budget, share->held_bytes, more_bytes, deadline_mono_ms);

    share->held_bytes += taken ? more_bytes : 0;
    return taken;
}

void kt_budget_share_give_part(struct kt_budget_share *share, int64_t bytes)
{
    KT_ASSERT(bytes <= share->held_bytes);
    kt_budget_give(share->budget, bytes);
    share->held_bytes -= bytes;
}

void kt_budget_share_give(struct kt_budget_share *share)
{
    if (share->held_bytes > 0) {
        kt_budget_give(share->budget, share->held_bytes);
        share->held_bytes = 0;
    }
}

/* budget.h - a bound on what many requests hold in memory together.
 *
 * Each request is bounded by itself, but many large ones at once are not. Who needs much takes it
 * from the budget first, in estimated bytes, and waits while others hold it. A single one gets what
 * it asks for, however much, so that no setting makes a permitted request impossible: the sum is at
 * most the budget and one request.
 *
 * Threads: any; one mutex.
 * Owns:    nothing but the count.
 * Fails:   take() with false at its deadline.
 */
#ifndef KT_BASE_BUDGET_H
#define KT_BASE_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

struct kt_budget; /* opaque */

struct kt_budget *kt_budget_new(int64_t limit_bytes); /* NULL when out of memory */
void kt_budget_free(struct kt_budget **budget);       /* nobody may hold any of it */
/* Takes more, beside what the caller holds already; waits for others until the deadline. */
bool kt_budget_take(struct kt_budget *budget, int64_t held_bytes, int64_t more_bytes,
                    int64_t deadline_mono_ms);
void kt_budget_give(struct kt_budget *budget, int64_t bytes);

/* What one request has taken in all, for who takes in several places and gives back once. */
struct kt_budget_share {
    struct kt_budget *budget;
    int64_t held_bytes;
};
bool kt_budget_share_take(struct kt_budget_share *share, int64_t more_bytes,
                          int64_t deadline_mono_ms);
void kt_budget_share_give(struct kt_budget_share *share); /* all of it */
void kt_budget_share_give_part(struct kt_budget_share *share, int64_t bytes);
int64_t kt_budget_used(struct kt_budget *budget);

#endif

/* balance.h - which node gets a read, and how often a read may be sent again.
 *
 * p2c takes the less busy of two random nodes: nearly as even as looking at all, and it never herds
 * all loops onto the one node that was idle a moment ago (Mitzenmacher, "The Power of Two
 * Choices").
 *
 * The retry budget keeps a failing cluster from being asked twice as much as a healthy one: a
 * bucket that each request fills by a fifth and each repetition empties by one.
 *
 * Threads: one loop each.
 * Owns:    nothing.
 * Fails:   never.
 */
#ifndef KT_GATEWAY_BALANCE_H
#define KT_GATEWAY_BALANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kt_policy { KT_POLICY_P2C, KT_POLICY_ROUND_ROBIN };

struct kt_balancer {
    enum kt_policy policy;
    uint64_t random; /* state of the generator, not 0 */
    uint64_t turn;
};

/* Index into in_flight[0..count), count > 0. */
size_t kt_balance_choose(struct kt_balancer *balancer, const uint32_t *in_flight, size_t count);

struct kt_budget {
    int64_t percent, cap_percent, gain_percent;
};

/* Begins full. `percent`: what a request adds, in hundredths of a repetition. */
void kt_budget_init(struct kt_budget *budget, int64_t cap, int64_t percent);
void kt_budget_earn(struct kt_budget *budget);
bool kt_budget_has(const struct kt_budget *budget); /* is there enough for one repetition? */
bool kt_budget_spend(struct kt_budget *budget);     /* false: not enough left */

#endif

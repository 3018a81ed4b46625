/* waiting.h - requests that wait for a leader, and the gate before it. Include <uv.h> first.
 *
 * During an election writes, and reads that must be the leader's, wait instead of failing: in the
 * order in which they came, for `[proxy] failover_wait` at most and never beyond their deadline.
 *
 * When a leader is due, not all of them go and ask: the gate is closed, and one request, the scout,
 * is sent ahead. While the node refuses it (it does not lead yet) the next try comes after a pause
 * of some ten milliseconds with a random part, whoever many wait. Once the scout is not refused the
 * gate opens and all follow. A refusal comes at once: a scout that hears nothing for a moment is
 * being worked on.
 *
 * Who waits may hold half of the connections, and counts into `[proxy] buffer_bytes` with the
 * buffer of its connection; beyond either the next one is refused, 503.
 *
 * Threads: the loop's.
 * Owns:    nothing: exchanges are linked into the list.
 * Fails:   by failing the exchange.
 */
#ifndef KT_GATEWAY_WAITING_H
#define KT_GATEWAY_WAITING_H

#include "base/str.h"

struct kt_loop;
struct kt_exchange;

struct kt_waiting {
    struct kt_exchange *first, *last; /* by the time they came */
    size_t count, max;
    uv_timer_t timer; /* runs while somebody waits */
    struct kt_exchange *scout;
    bool closed;
    bool told;                 /* that writes wait was logged */
    int64_t pause_ms, next_ms; /* between scouts */
    int64_t probe_ms;          /* not before then is a leader that is down probed once more */
    int64_t closed_ms;         /* since when */
    /* Who leads, by the newest table, and how often that has changed. */
    uint64_t terms, epoch;
    int64_t term_ms;               /* when it did */
    char leader_id[KT_ID_LEN + 1]; /* "" = nobody, or nobody that is registered */
};

void kt_waiting_init(struct kt_loop *loop);
/* May this one be sent to the leader now? It may become the scout by that. */
bool kt_waiting_may_go(struct kt_exchange *exchange);
/* The leader is not there, or refused this one: it waits, or is failed when its time is over or too
 * many wait. With delay_ms only this one waits, for so long: the node leads, and said later. */
void kt_waiting_enter(struct kt_exchange *exchange, int64_t delay_ms);
/* Did the leader change a moment ago? */
bool kt_waiting_is_young(struct kt_loop *loop);
/* For how long it may still wait; what is given up at that moment was never sent. */
int64_t kt_waiting_left_ms(const struct kt_exchange *exchange);
/* A node that leads took a request. */
void kt_waiting_taken(struct kt_loop *loop);
/* The exchange ends, wherever it stands. */
void kt_waiting_leave(struct kt_exchange *exchange);
/* The loop has a new table. */
void kt_waiting_on_table(struct kt_loop *loop);
/* The gateway stops: all that wait are told so. */
void kt_waiting_fail_all(struct kt_loop *loop);

#endif

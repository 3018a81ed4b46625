/* clocks.h - noticing wall clocks that disagree.
 *
 * Stamps of revisions, and with them `recorded_by` and the declare times that clients make of
 * "now", hang on the wall clocks of the machines. Order never does: a stamp is never below an
 * earlier one, whatever the clock says. So a wrong clock loses nothing, but people must hear of it.
 *
 * One late answer is no wrong clock: a difference counts when it was seen CLOCK_TIMES in a row.
 *
 * Threads: one at a time per watch.
 * Owns:    nothing.
 * Fails:   never.
 */
#ifndef KT_REPLICA_CLOCKS_H
#define KT_REPLICA_CLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#define KT_CLOCK_DIFFERENCE_MS 500
#define KT_CLOCK_TIMES 5

struct kt_clock_watch { /* zeroed = nothing seen yet */
    unsigned off;       /* differences in a row */
    bool said;
};
enum kt_clock_notice {
    KT_CLOCK_QUIET,
    KT_CLOCK_DIFFERS, /* say it once */
    KT_CLOCK_AGREES   /* said before, and over */
};
/* One more comparison, in ms; which of the two is ahead does not matter. */
enum kt_clock_notice kt_clock_watch_note(struct kt_clock_watch *watch, int64_t difference_ms);

/* A follower: the leader's clock as its newest answer told it, and its own. */
void kt_clock_compare(struct kt_clock_watch *watch, const char *leader_addr, int64_t leader_wall_ms,
                      int64_t own_wall_ms);
/* A leader: its clock, and the least stamp that it may give. */
void kt_clock_check_stamp(struct kt_clock_watch *watch, int64_t floor_wall_ms, int64_t own_wall_ms);

#endif

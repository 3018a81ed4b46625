/* plan.h - what the files that bring about faults share.
 *
 * faults.c   single faults, by chance
 * stories.c  what chance brings together too seldom
 * plan.c     scenarios, healing, operators, and what a seed chooses
 *
 * Threads, Owns, Fails: as sim.h.
 */
#ifndef KT_SIM_PLAN_H
#define KT_SIM_PLAN_H

#include "sim.h"

enum fault {
    FAULT_KILL,
    FAULT_PAUSE,
    FAULT_CUT_PAIR,
    FAULT_ISOLATE,
    FAULT_CUT_ETCD,
    FAULT_ETCD_DOWN,
    FAULT_ETCD_WIPE,
    FAULT_REVOKE,
    FAULT_LOSSY,
    FAULT_FLAKY,
    FAULT_STOP,
    FAULT_HAND_OVER,
    FAULT_WIPE_NODE,
    FAULT_CRASH_AT_PERSIST,
    FAULT_SLOW_DISK,
    FAULT_LATE_VIEWS,
    FAULT_FAIL_SYNC,
    FAULT_RESTORE,
    FAULT_JOIN,
    FAULT_KILL_ALL,
    FAULT_AROUND_GROWTH,
    FAULT_CUT_OFF_LEADER,
    FAULT_WIPED_AND_AWAY,
    FAULT_COPY_DISK,
    FAULT_RECOVER,
    FAULT_FORGET,
    FAULT_COUNT
};

enum story {
    /* A growth comes to pass as its leader dies; the member that it added leads; then etcd loses
     * its disk and that one is away: the first leader must know that it may not begin alone. */
    STORY_GROWN_AND_WIPED,
    /* A new leader dies as its first growth comes to pass. */
    STORY_GROWN_TOO_SOON,
    /* The lease of a living leader is dropped and it does not see it; a follower restarts. Or it
     * resigns unseen. */
    STORY_DROPPED_AND_RESTARTED,
    /* The same, and the followers' campaigns are late. */
    STORY_DROPPED_AND_LATE,
    /* A growth is under way for longer than its call, its member is cut off meanwhile, and the
     * leader dies as it comes to pass. */
    STORY_LATE_GROWTH,
    /* The leader is unheard for longer than a promise, then its lease is dropped. */
    STORY_UNHEARD,
    /* Who is out of sync comes back on a slow link, while writes never pause. */
    STORY_STEADY,
    /* A loss is accepted where nobody is left but one with half a copy. */
    STORY_HALF_COPY,
    /* Etcd loses its disk; who begins again dies at once; one who is behind is left. */
    STORY_WIPED_AND_BEHIND,
    /* A campaign is under way when etcd loses its disk, and for long after. */
    STORY_CAMPAIGN_OVER_WIPE,
    /* A win that nobody else hears of, then a loss is accepted: the number comes again. */
    STORY_REUSED_EPOCH,
    /* The only one in sync is away, a loss is accepted, then it comes back. */
    STORY_RECOVERED,
    STORY_COUNT
};

/* Numbers of EV_FAULT. */
#define DO_START 1000 /* + slot */
#define DO_ETCD_UP 2000
#define DO_HEAL 3000
#define DO_BACK_UP 3001
#define DO_RECOVER 3002
#define DO_FORGET 3003
#define DO_OPERATE 3004
#define DO_WIPE_ETCD 3005
#define DO_KILL_LEADER 3006
#define DO_WIPE 3100  /* + slot */
#define DO_FAULT 4000 /* + fault; chance picks the rest */
#define DO_SCENARIO 5000
#define DO_STORY 6000 /* + story + 100 * part */
#define DO_SWAP 7000  /* + slot */

/* faults.c */
void at(int64_t delay_ms, uint64_t what);
void cut_link(int from, int to, int64_t for_ms);
void isolate(int slot, int64_t for_ms); /* from the other nodes */
void kill_node(int slot, int64_t for_ms);
void kill_all_but(int slot_left, int64_t for_ms); /* -1 = all */
void pause_node(int slot, int64_t for_ms);
void stop_node(int slot, int64_t for_ms);
void lose_last(int leader, int64_t for_ms);
void do_fault(enum fault fault);
void plan_faults(int64_t from_ms);

/* stories.c */
void tell_story(enum story story, int part);

#endif

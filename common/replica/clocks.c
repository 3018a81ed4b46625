/* SPDX-License-Identifier: MIT */
#include "replica/clocks.h"

#include "base/log.h"

enum kt_clock_notice kt_clock_watch_note(struct kt_clock_watch *watch, int64_t difference_ms)
{
    if (difference_ms >= -KT_CLOCK_DIFFERENCE_MS && difference_ms <= KT_CLOCK_DIFFERENCE_MS) {
        bool was_said = watch->said;
        watch->off = 0;
        watch->said = false;
        return was_said ? KT_CLOCK_AGREES : KT_CLOCK_QUIET;
    }
    if (watch->said || ++watch->off < KT_CLOCK_TIMES) {
        return KT_CLOCK_QUIET;
    }
    watch->said = true;
    return KT_CLOCK_DIFFERS;
}

void kt_clock_compare(struct kt_clock_watch *watch, const char *leader_addr, int64_t leader_wall_ms,
                      int64_t own_wall_ms)
{
    int64_t ahead_ms = own_wall_ms - leader_wall_ms;
    switch (kt_clock_watch_note(watch, ahead_ms)) {
    case KT_CLOCK_DIFFERS:
        kt_log(WARN, "replica", "clock_differs",
               "leader=%s ahead_ms=%lld do=\"compare the clocks of both machines and let a time "
               "service set them; stamps of revisions come from the leader's\"",
               leader_addr, (long long)ahead_ms);
        break;
    case KT_CLOCK_AGREES:
        kt_log(INFO, "replica", "clock_agrees", "leader=%s ahead_ms=%lld", leader_addr,
               (long long)ahead_ms);
        break;
    case KT_CLOCK_QUIET:
        break;
    }
}

void kt_clock_check_stamp(struct kt_clock_watch *watch, int64_t floor_wall_ms, int64_t own_wall_ms)
{
    int64_t behind_ms = own_wall_ms < floor_wall_ms ? floor_wall_ms - own_wall_ms : 0;
    switch (kt_clock_watch_note(watch, behind_ms)) {
    case KT_CLOCK_DIFFERS:
        kt_log(WARN, "replica", "clock_behind",
               "behind_ms=%lld do=\"set this machine's clock: it is behind stamps that were given "
               "before; until it has passed them all new revisions carry the newest of these\"",
               (long long)behind_ms);
        break;
    case KT_CLOCK_AGREES:
        kt_log(INFO, "replica", "clock_caught_up", "behind_ms=%lld", (long long)behind_ms);
        break;
    case KT_CLOCK_QUIET:
        break;
    }
}

/* plan.h - the distinct requests of one scenario, as bytes ready to send, and what each must be
 * answered with.
 *
 * Everything is drawn and written before the load begins: while it runs nothing is formatted or
 * allocated, and the same -seed gives the same bytes.
 *
 * Threads: made by one; read by all loops.
 * Owns:    its arena; the learnt names must outlive it.
 * Fails:   KT_NOT_FOUND when the cluster holds too little for the scenario; KT_BAD_VALUE for a
 *          line of -requests-file (with its number); KT_TOO_LARGE beyond 2 GB.
 */
#ifndef KT_BENCH_PLAN_H
#define KT_BENCH_PLAN_H

#include "bench/learn.h"

enum kt_expect_kind { KT_EXPECT_SNAPSHOT, KT_EXPECT_PERIOD, KT_EXPECT_SAVE, KT_EXPECT_RAW };

#define KT_NO_TIME INT64_MIN
#define KT_PLAN_KEY_DIGITS 16
#define KT_PLAN_WRITE_SUBJECTS 1000 /* at most so many are written to */

struct kt_planned {
    enum kt_expect_kind kind;
    const char *method;
    struct kt_str path, body; /* without the target's prefix */
    struct kt_str *bytes;     /* whole, one for each target */
    size_t key_from_end;      /* where the digits of an Idempotency-Key are, 0 = none */
    int status;               /* that is right; 0 = any 2xx or 304 */
    bool to_head;

    struct kt_str *subjects, *ids; /* asked for; none: all */
    size_t subject_count, id_count;
    uint64_t offset, limit;
    uint64_t total_min; /* subjects that are known to have a row */
    int64_t at;         /* no row may be later; KT_NO_TIME = none */
    bool sorted;        /* by ids[0], greatest first */

    struct kt_str written_subject; /* of a save */
    int64_t written_time;
    double written_value;
};

struct kt_plan {
    enum kt_scenario scenario;
    struct kt_arena *arena;
    struct kt_planned *requests;
    size_t count;
    char run[17]; /* distinguishes what this run writes from any other's */
    size_t writes;
};

enum kt_status kt_plan_make(const struct kt_pt_options *options, enum kt_scenario scenario,
                            const struct kt_learnt *learnt, struct kt_plan *ret_plan,
                            struct kt_error *err) KT_MUST_CHECK;
void kt_plan_done(struct kt_plan *plan);

/* For plan.c and plan_file.c: the request's bytes for every target. Duplicates method, path and
 * body into the arena. */
enum kt_status kt_plan_bytes(struct kt_plan *plan, const struct kt_pt_options *options,
                             struct kt_planned *planned, struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_plan_file(const struct kt_pt_options *options, struct kt_plan *plan,
                            struct kt_error *err) KT_MUST_CHECK;

#endif

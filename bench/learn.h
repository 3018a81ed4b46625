/* learn.h - what there is to ask the cluster for, and what its nodes have counted.
 *
 * Threads: one.
 * Owns:    the learnt names, in one arena.
 * Fails:   as ask.h; KT_NOT_FOUND when the cluster holds no subjects or indicators.
 */
#ifndef KT_BENCH_LEARN_H
#define KT_BENCH_LEARN_H

#include "base/arena.h"
#include "bench/ask.h"
#include "bench/options.h"

#define KT_LEARN_SUBJECTS_MAX 10000
#define KT_LEARN_IDS_MAX 1000

struct kt_learnt_subject {
    struct kt_str key;
    bool known;          /* the listing has it, with at least one record */
    int64_t first, last; /* its least and greatest time, when known */
};

struct kt_learnt {
    struct kt_arena *arena;
    struct kt_learnt_subject *subjects;
    struct kt_str *ids;
    size_t subject_count, id_count;
    struct kt_str topic; /* the one of most subjects; "*" when there is none */
    size_t topic_subjects;
};

/* Asks the first target for whatever the flags do not name. */
enum kt_status kt_learn(struct kt_ask *ask, const struct kt_pt_options *options,
                        struct kt_learnt *ret_learnt, struct kt_error *err) KT_MUST_CHECK;
void kt_learnt_done(struct kt_learnt *learnt);

#define KT_STATS_NODES_MAX 32
struct kt_stats_node {
    char node[64], address[KT_ADDR_MAX];
    uint64_t requests, hits, misses, response_hits, response_misses;
};
/* Counters of the nodes behind all targets; those that can't be asked are left out. */
struct kt_stats {
    struct kt_stats_node nodes[KT_STATS_NODES_MAX];
    size_t count;
};
void kt_stats_ask(struct kt_ask *ask, const struct kt_pt_options *options,
                  struct kt_stats *ret_stats);
const struct kt_stats_node *kt_stats_find(const struct kt_stats *stats, const char *node);

#endif

/* catalogue.h - all subjects, topics and indicators in memory: immutable views of one revision.
 *
 * A view is what the node knew after one applied change; questions take one reference and then read
 * without any lock, so that all of an answer speaks of the same revision. Successive views share
 * what did not change: subjects stand in chunks that are copied only when one of theirs changes.
 * Numbers (of subjects, indicators, topics) are given once and never reused.
 *
 * Series hold versions of later revisions too; a question bounds them by the view's revision.
 *
 * Threads: views from any; new ones are made by the one thread that applies.
 * Owns:    a view everything reachable from it, by counted references.
 * Fails:   KT_NO_MEMORY while building (see store.h); reading never fails.
 */
#ifndef KT_STORE_CATALOGUE_H
#define KT_STORE_CATALOGUE_H

#include "base/status.h"
#include "base/str.h"

struct kt_catalogue; /* a view; opaque, counted */

struct kt_stay {
    uint32_t topic; /* number */
    int64_t from_s, to_s;
};
struct kt_tag {
    struct kt_str name, value; /* one row per value, sorted by name then value */
};
struct kt_subject {
    uint32_t number;
    bool plain; /* key and texts stand in JSON as they are: kt_json_is_plain */
    struct kt_str key, name, status, listing_date, category; /* "" when unset */
    const struct kt_stay *stays;
    size_t stay_count;
    const struct kt_tag *tags;
    size_t tag_count;
    uint64_t changed_revision; /* newest change of its records, or its own first */
    uint64_t touched_revision; /* newest change of anything about it: what if_revision compares */
    uint64_t erased_revision;  /* newest that took records away since this process started, or when
                                  it made the subject; 0 = none */
};
struct kt_topic {
    uint32_t number;
    struct kt_str key;
    const uint32_t *members; /* subject numbers, ascending, that have a stay in it */
    size_t member_count;
};

struct kt_catalogue *kt_catalogue_ref(struct kt_catalogue *view);
void kt_catalogue_unref(struct kt_catalogue **view);
uint64_t kt_catalogue_revision(const struct kt_catalogue *view); /* applied */
int64_t kt_catalogue_wall_ms(const struct kt_catalogue *view);   /* stamp of that revision */
/* While nothing is here, or only changes that were recorded elsewhere, a revision to come may have
 * a stamp of long ago. */
bool kt_catalogue_stamps_certain(const struct kt_catalogue *view);
size_t kt_catalogue_subject_count(const struct kt_catalogue *view);
uint64_t kt_catalogue_record_count(const struct kt_catalogue *view); /* records, not versions */
/* One past the greatest subject number; kt_catalogue_subject gives NULL for gaps. */
uint32_t kt_catalogue_subject_limit(const struct kt_catalogue *view);
const struct kt_subject *kt_catalogue_subject(const struct kt_catalogue *view, uint32_t number);
const struct kt_subject *kt_catalogue_find_subject(const struct kt_catalogue *view,
                                                   struct kt_str key);
size_t kt_catalogue_topic_count(const struct kt_catalogue *view);
/* One past the greatest topic number; kt_catalogue_topic gives NULL for gaps. */
uint32_t kt_catalogue_topic_limit(const struct kt_catalogue *view);
const struct kt_topic *kt_catalogue_topic(const struct kt_catalogue *view, uint32_t number);
/* The key of a stay's topic; empty when the view knows no such number. */
struct kt_str kt_catalogue_topic_key(const struct kt_catalogue *view, uint32_t number);
const struct kt_topic *kt_catalogue_find_topic(const struct kt_catalogue *view, struct kt_str key);
size_t kt_catalogue_indicator_count(const struct kt_catalogue *view);
struct kt_str kt_catalogue_indicator(const struct kt_catalogue *view, uint32_t number); /* key */
/* False when the view knows no such indicator. */
bool kt_catalogue_find_indicator(const struct kt_catalogue *view, struct kt_str key,
                                 uint32_t *ret_number);
/* All indicator numbers in byte order of their keys; borrowed from the view. */
const uint32_t *kt_catalogue_indicators_sorted(const struct kt_catalogue *view, size_t *ret_count);
bool kt_subject_in_topic(const struct kt_subject *subject, uint32_t topic, int64_t from_s,
                         int64_t to_s); /* has a stay that meets from..to */

#endif

/* catalogue_edit.h - how a view lies in memory, and making the next one; for common/store only.
 *
 * An edit starts as a copy of a view that shares everything and takes copies of what it changes.
 * It is seen by nobody until it is published as the new view; dropping it undoes everything.
 *
 *   kt_catalogue -> groups[] -> 64 chunks -> 16 subjects, each -> a body (texts, stays, tags)
 *                -> topics     -> each topic with its members
 *                -> indicators (keys by number, and their order)
 *
 * Threads: one; what is shared with views is only read.
 * Owns:    until published, the edit and its counted references.
 * Fails:   false or NULL when memory is exhausted; the edit may then only be dropped.
 */
#ifndef KT_CATALOGUE_EDIT_H
#define KT_CATALOGUE_EDIT_H

#include "store/catalogue.h"
#include "store/names.h"

#include <stdatomic.h>

/* A tree of copies on write: what one change of one subject copies is a chunk, its group and the
 * array of groups, 3 KB and 8 bytes for every 1024 subjects there are. */
#define CHUNK_SUBJECTS 16u
#define GROUP_CHUNKS 64u
#define GROUP_SUBJECTS (GROUP_CHUNKS * CHUNK_SUBJECTS)

struct body { /* immutable: everything of a subject but its key and revision */
    atomic_uint refs;
    struct kt_str name, status, listing_date, category;
    struct kt_stay *stays;
    size_t stay_count;
    struct kt_tag *tags;
    size_t tag_count;
};

struct chunk {
    atomic_uint refs;
    struct kt_subject subjects[CHUNK_SUBJECTS]; /* key.data NULL = no such number */
    struct body *bodies[CHUNK_SUBJECTS];        /* NULL = nothing set yet */
};

struct group {
    atomic_uint refs;
    struct chunk *chunks[GROUP_CHUNKS]; /* NULL = none of its subjects is there */
};

struct topic {
    atomic_uint refs;
    struct kt_topic pub;
    uint32_t *members; /* what pub.members shows */
    char key[];
};

struct topic_table {
    atomic_uint refs;
    size_t count; /* topics there are */
    size_t limit; /* one past the greatest number */
    size_t cap;
    struct topic *by_number[]; /* NULL = no such number */
};

struct indicator_table {
    atomic_uint refs;
    size_t count;
    struct kt_str *keys; /* by number */
    uint32_t *sorted;
};

struct kt_catalogue {
    atomic_uint refs;
    uint32_t subject_limit;
    uint64_t revision;
    int64_t wall_ms;
    uint64_t record_count;
    bool restored; /* see kt_catalogue_stamps_certain */
    size_t subject_count;
    struct names *names; /* of subjects */
    struct names *topic_names;
    struct indicator_table *indicators;
    struct topic_table *topics;
    struct group **groups; /* NULL as in a group */
    size_t group_count;
};

/* NULL is allowed. */
void chunk_unref(struct chunk *chunk);
void group_unref(struct group *group);
void topics_unref(struct topic_table *table);

/* A view of nothing, and the start of an edit (both with one reference). */
struct kt_catalogue *catalogue_new(struct names *names, struct names *topic_names);
struct kt_catalogue *catalogue_edit(const struct kt_catalogue *view);

/* The subject of a number for changing, in a chunk of the edit's own; an empty slot is filled with
 * the key (of the names table). */
struct kt_subject *catalogue_subject_edit(struct kt_catalogue *edit, uint32_t number,
                                          struct kt_str key);
/* Takes a subject out: its number then is a gap. Its memberships are the caller's to change. */
bool catalogue_subject_remove(struct kt_catalogue *edit, uint32_t number);
/* Sets everything but key, number and revisions to copies of what `from` says. Stays and
 * tags are in their order. */
bool catalogue_set_body(struct kt_catalogue *edit, uint32_t number, const struct kt_subject *from);

struct indicator_table *indicators_ref(struct indicator_table *table);
void indicators_unref(struct indicator_table **table);
bool indicators_find(const struct indicator_table *table, struct kt_str key, uint32_t *ret_number);
/* A table with these new keys behind the old ones (none is there yet, none twice). */
struct indicator_table *indicators_with(const struct indicator_table *table,
                                        const struct kt_str *keys, size_t count);

/* The number of a topic; put in without members when it is new. */
bool catalogue_topic_number(struct kt_catalogue *edit, struct kt_str key, uint32_t *ret_number,
                            bool *ret_new);
/* At load: the topic has this number. */
bool catalogue_topic_restore(struct kt_catalogue *edit, struct kt_str key, uint32_t number);
/* NULL = no such topic. */
const struct topic *catalogue_topic(const struct kt_catalogue *view, uint32_t number);
/* Members that came and went, in any order, the last word on each pair counts. */
struct member_change {
    uint32_t topic, subject;
    uint32_t order; /* rises */
    bool is_member;
};
bool catalogue_change_members(struct kt_catalogue *edit, struct member_change *changes,
                              size_t count);

#endif

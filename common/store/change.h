/* change.h - what a log entry says: the replicated commands and their bytes.
 *
 * Apply reads the log and nothing else, so a change carries everything it needs: keys as text,
 * values as doubles. Limits of one request are checked before a change gets its number; limits of
 * the cluster (how many indicators) are settings in the first epoch-start, and apply decides them
 * alike everywhere.
 *
 * Format (little-endian, varints are LEB128, zigzag when signed):
 *   u8 format = 1 | u8 kind | body
 *   EPOCH_START: epoch_id text, settings (count, then (name, i64)), cursor_key bytes
 *   SAVE: string table (count, texts) | subjects | records | options; keys, periods, indicators,
 * dates and names are indices into the table
 *   DELETE: u8 flags | subjects | from, to | periods | options; texts as they are
 *   options: u8 1, if_revision varint; u8 2, recorded revision varint, its stamp in ms; absent when
 *     nothing is asked for, as in older logs
 *
 * Threads: one at a time per object.
 * Owns:    the builder its bytes; a decoded change borrows strings from the bytes and owns its
 * arrays. Fails:   decode with KT_CORRUPT (every length and index is checked); build with
 * KT_TOO_LARGE, KT_NO_MEMORY.
 */
#ifndef KT_STORE_CHANGE_H
#define KT_STORE_CHANGE_H

#include "base/buf.h"
#include "series/series.h"
#include "store/generic.h"

enum kt_change_kind {
    KT_CHANGE_EPOCH_START = 1,
    KT_CHANGE_SAVE = 2,
    KT_CHANGE_DELETE = 3,
    KT_CHANGE_GENERIC = 4, /* see generic.h */
};

struct kt_change_stay { /* a subject's stay in a topic; bounds are inclusive */
    struct kt_str topic;
    int64_t from_s, to_s; /* KT_TIME_MIN / KT_TIME_MAX = open */
};
struct kt_change_tag {
    struct kt_str name;
    const struct kt_str *values;
    size_t count;
};
enum kt_topics_mode {
    KT_TOPICS_KEEP,
    KT_TOPICS_REPLACE,     /* save's `topics`: the stays become these */
    KT_TOPICS_ADD_IF_NONE, /* import's topic: an open stay, if the subject has none in that topic */
    KT_TOPICS_EDIT         /* topics_remove, then topics_add */
};
struct kt_change_subject {
    struct kt_str key;
    struct kt_opt_text name, status, listing_date, category; /* NULL clears to "" */
    enum kt_topics_mode topics_mode;
    const struct kt_change_stay *stays;
    size_t stay_count;
    const struct kt_str *leaves; /* EDIT: topics whose stays all end, before `stays` are added */
    size_t leave_count;
    const struct kt_change_tag *tags; /* each named tag is replaced; no values = removed */
    size_t tag_count;
};
struct kt_change_value {
    struct kt_str indicator;
    bool is_null;
    double number; /* finite */
};
struct kt_change_record {
    struct kt_str subject;
    int64_t time_s;
    struct kt_str period;
    bool declare_given;
    int64_t declare_s;
    struct kt_opt_text end_date, year;
    const struct kt_change_value *values;
    size_t value_count;
};

/* Building a SAVE: strings are copied into the builder's table as they come. */
struct kt_change_builder;
struct kt_change_builder *kt_change_builder_new(size_t max_bytes); /* NULL when out of memory */
void kt_change_builder_free(struct kt_change_builder **builder);
void kt_change_builder_reset(struct kt_change_builder *builder);
enum kt_status kt_change_add_subject(struct kt_change_builder *builder,
                                     const struct kt_change_subject *subject,
                                     struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_change_add_record(struct kt_change_builder *builder,
                                    const struct kt_change_record *record,
                                    struct kt_error *err) KT_MUST_CHECK;
/* if_revision: apply refuses the change with KT_CHANGED when a subject that it names changed later.
 */
void kt_change_set_if_revision(struct kt_change_builder *builder, uint64_t revision);
/* The change was recorded elsewhere before, as that revision at that time, and keeps its stamp.
 * Apply takes it while the data is empty or has been filled by such changes alone, in rising order
 * of revision and stamp, none of them in the future; else it refuses with KT_BAD_VALUE. */
void kt_change_set_recorded(struct kt_change_builder *builder, uint64_t revision, int64_t wall_ms);
size_t kt_change_record_count(const struct kt_change_builder *builder);
size_t kt_change_subject_count(const struct kt_change_builder *builder);
size_t kt_change_bytes(const struct kt_change_builder *builder); /* approximately, so far */
/* Appends the encoded change. */
enum kt_status kt_change_encode(const struct kt_change_builder *builder, struct kt_buf *ret_bytes,
                                struct kt_error *err) KT_MUST_CHECK;

struct kt_change_delete {
    const struct kt_str *subjects;
    size_t subject_count;
    bool all; /* the subjects themselves too; else the records that all of the rest names */
    int64_t from_s, to_s;
    const struct kt_str *periods; /* ascending by bytes, none twice; none = every period */
    size_t period_count;
    bool has_if_revision;
    uint64_t if_revision;
};
enum kt_status kt_change_encode_delete(const struct kt_change_delete *erase,
                                       struct kt_buf *ret_bytes,
                                       struct kt_error *err) KT_MUST_CHECK;

#define KT_CURSOR_KEY_BYTES 32
struct kt_change_epoch_start {
    struct kt_str epoch_id; /* 16 hex */
    bool first;             /* the cluster's first entry: settings and cursor_key are there */
    int64_t max_indicators;
    int64_t max_keys;      /* idempotency keys that are remembered; 0 = not said: a million */
    int64_t key_window_ms; /* for how long, by the log's time; 0 = not said: a day */
    unsigned char cursor_key[KT_CURSOR_KEY_BYTES];
};
void kt_change_encode_epoch_start(const struct kt_change_epoch_start *start,
                                  struct kt_buf *ret_bytes);

struct kt_change { /* decoded */
    enum kt_change_kind kind;
    struct kt_change_epoch_start epoch_start;
    struct kt_change_subject *subjects;
    size_t subject_count;
    struct kt_change_record *records;
    size_t record_count;
    struct kt_change_delete erase;
    bool has_if_revision; /* of a SAVE or DELETE */
    uint64_t if_revision;
    uint64_t recorded_revision; /* of a SAVE: 0 = recorded here and now */
    int64_t recorded_wall_ms;
    struct kt_generic_change generic;
    void *memory; /* the arrays */
};
/* Borrows from `bytes`. */
enum kt_status kt_change_decode(struct kt_str bytes, struct kt_change *ret_change,
                                struct kt_error *err) KT_MUST_CHECK;
void kt_change_done(struct kt_change *change);
/* Members of an object that is open: the change in the shape of the request that would make it,
 * with at most max_items subjects and records; `left_out` counts the others. Of a generic series
 * only which it is. */
struct kt_jw;
void kt_change_write_text(const struct kt_change *change, size_t max_items, struct kt_jw *jw);
/* The kind alone; 0 when the bytes are no change. */
int kt_change_kind_of(struct kt_str bytes);

#endif

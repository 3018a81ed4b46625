/* apply_internal.h - one transaction of changes on its way into the data; for apply*.c only.
 *
 * First every change in turn: is it refused, which numbers do its keys get, what becomes of
 * subjects and topics. Its records are only collected. Then all records of the transaction are
 * sorted into the order of the version table and written; so neighbours in the table are written
 * together however a request mixed them. Last the view that shows it all is published.
 * A change that must see what the ones before it did (a delete, an if_revision) has what was
 * collected written first.
 *
 * Threads: the one that holds apply_mutex.
 * Owns:    scratch that is kept from one transaction to the next.
 * Fails:   as kt_store_apply; the transaction is then rolled back and the edit dropped.
 */
#ifndef KT_APPLY_INTERNAL_H
#define KT_APPLY_INTERNAL_H

#include "store/store_internal.h"

struct apply_row { /* one record of one change */
    const struct kt_change_record *record;
    uint64_t revision;
    uint32_t subject; /* number */
    uint32_t line;
    int64_t declare_s; /* once it is resolved */
};

struct fold_item { /* a value named by one of several lines */
    const struct kt_change_value *value;
    size_t order;
};

/* What the applier knows of a subject, so as not to ask the table. */
struct subject_facts {
    int64_t last_time_s; /* greatest time of its records, INT64_MIN = none; when known */
    uint64_t counted_in; /* the entry in whose result it was counted */
    int64_t declare_s;   /* greatest declare time of the record (last_time_s, period) */
    uint8_t period_len;
    char period[12]; /* of a record with a longer one nothing is known */
    bool known;
    bool declare_known;
    bool stamp_due; /* its revisions are to be written before the commit */
};

struct ordered_stay { /* of a subject's stays, the order in which they were named */
    struct kt_stay stay;
    size_t order;
};

struct named_tag { /* which of a change's tags has this name */
    struct kt_str name;
    size_t index;
};

/* What the entry at hand touches; see touched.c. */
struct touched {
    struct kt_buf subjects, topics; /* JSON arrays that are not closed yet */
    size_t subject_count, topic_count;
    bool all_subjects, all_topics; /* more than a row may name */
    uint64_t *marks;               /* by topic number: the entry that counted it last */
    size_t mark_cap;
    uint64_t entry; /* rises with every entry that is tried */
};

struct applier {
    struct subject_facts *facts; /* by number */
    size_t fact_cap;
    uint32_t *stamps; /* subjects whose stamp is due */
    size_t stamp_count, stamp_cap;
    struct apply_row *rows;
    size_t row_count, row_cap;
    struct member_change *members;
    size_t member_count, member_cap;
    struct ordered_stay *ordered_stays;
    size_t ordered_stay_cap;
    uint32_t *leaves; /* topics, ascending, that the subject at hand leaves */
    size_t leave_count, leave_cap;
    struct kt_stay *stays;
    size_t stay_cap;
    struct named_tag *named_tags;
    size_t named_tag_cap;
    struct kt_tag *tags;
    size_t tag_cap;
    const char **seen; /* a set: the indicator texts of the change at hand, by address */
    size_t seen_count, seen_cap;
    struct fold_item *fold_items;
    size_t fold_cap;
    struct kt_change_value *fold_values;
    size_t fold_value_cap;
    struct kt_buf json;
    struct touched touched;
    /* Of the table of requests, when known: after a rollback they are asked for again. */
    bool requests_known;
    int64_t request_count, next_expiry_ms;
    /* Of the transaction at hand. */
    struct kt_store *store;
    struct kt_catalogue *edit;
    struct store_settings settings;
    uint64_t erased;  /* newest revision of the transaction that took records away; 0 = none */
    int64_t stamp_ms; /* of the entry at hand: the log's, or what it says */
    bool has_cursor_key;
    unsigned char cursor_key[KT_CURSOR_KEY_BYTES];
};

/* Room for one more element. */
bool apply_grow(void *array_ptr, size_t *cap, size_t count, size_t size);
enum kt_status apply_no_memory(struct kt_error *err);
/* Decides that the change at hand is not carried out, alike everywhere; it must not have begun. */
void apply_refuse(struct kt_apply_result *result, enum kt_status status, const char *field,
                  const char *message);
/* The facts about a subject; NULL = no memory. */
struct subject_facts *apply_facts(struct applier *a, uint32_t subject);
/* The number of a subject, which is made when it is new. */
enum kt_status apply_subject_number(struct applier *a, struct kt_str key, uint64_t seq,
                                    uint32_t *ret_number, struct kt_error *err) KT_MUST_CHECK;

/* Sets what changed in a subject, at this revision: its records, or else only what it says. In the
 * view at once; in the table by apply_write_stamps, once however many changes there were. */
enum kt_status apply_stamp(struct applier *a, uint32_t subject, uint64_t revision, bool records,
                           struct kt_error *err) KT_MUST_CHECK;
/* Before a commit; what they are is in the view. */
enum kt_status apply_write_stamps(struct kt_store *store, const struct kt_catalogue *view,
                                  struct kt_error *err) KT_MUST_CHECK;
/* Writes the records that were collected so far. */
enum kt_status apply_flush(struct applier *a, struct kt_error *err) KT_MUST_CHECK;

/* apply_save.c */
enum kt_status apply_save(struct applier *a, const struct kt_change *change, uint64_t seq,
                          struct kt_apply_result *result, struct kt_error *err) KT_MUST_CHECK;

/* requests.c. Forgets what the log's time says is over; once an entry. */
enum kt_status requests_expire(struct applier *a, int64_t wall_ms,
                               struct kt_error *err) KT_MUST_CHECK;
/* Is the entry's request to be carried out? If not, the result says what comes of it instead. */
enum kt_status requests_judge(struct applier *a, const struct kt_entry *entry,
                              struct kt_apply_result *result, bool *ret_go_on,
                              struct kt_error *err) KT_MUST_CHECK;
enum kt_status requests_remember(struct applier *a, const struct kt_entry *entry,
                                 const struct kt_apply_result *result,
                                 struct kt_error *err) KT_MUST_CHECK;

/* erase.c */
enum kt_status apply_delete(struct applier *a, const struct kt_change_delete *erase, uint64_t seq,
                            struct kt_apply_result *result, struct kt_error *err) KT_MUST_CHECK;

/* apply_subjects.c */
enum kt_status apply_subject(struct applier *a, const struct kt_change_subject *change,
                             uint64_t seq, struct kt_error *err) KT_MUST_CHECK;
/* Every stay of a subject that goes is over. */
enum kt_status apply_leave_all(struct applier *a, const struct kt_subject *subject,
                               struct kt_error *err) KT_MUST_CHECK;
/* apply_fold.c: one record that says what the rows say, which are of one revision, record and
 * declare time, in order. Its values live until the next call. False = no memory. */
bool apply_fold(struct applier *a, const struct apply_row *rows, size_t count,
                struct kt_change_record *ret_record);
/* touched.c: a subject that the change names, told before it changes (what topics it is in counts)
 * and once; a topic that gains or loses a member; the row of an entry when all of it is told. */
void touched_init(struct touched *touched);
void touched_done(struct touched *touched);
void touched_clear(struct touched *touched);
enum kt_status touched_subject(struct applier *a, uint32_t subject,
                               struct kt_error *err) KT_MUST_CHECK;
enum kt_status touched_topic(struct applier *a, uint32_t topic, struct kt_error *err) KT_MUST_CHECK;
enum kt_status touched_write(struct applier *a, uint64_t seq, struct kt_error *err) KT_MUST_CHECK;
/* apply_generic.c */
enum kt_status apply_generic(struct applier *a, const struct kt_generic_change *change,
                             int64_t wall_ms, struct kt_apply_result *result,
                             struct kt_error *err) KT_MUST_CHECK;
enum kt_status apply_set_meta(struct kt_store *store, const char *name, int64_t value,
                              struct kt_error *err) KT_MUST_CHECK;

/* apply_restore.c: may a change that was recorded elsewhere be taken? Else the result says why. */
enum kt_status restore_judge(struct applier *a, const struct kt_change *change,
                             const struct kt_entry *entry, struct kt_apply_result *result,
                             struct kt_error *err) KT_MUST_CHECK;
/* After any change that was carried out, an epoch's start apart. */
enum kt_status restore_note(struct applier *a, const struct kt_change *change,
                            struct kt_error *err) KT_MUST_CHECK;
/* apply_rows.c: sorts and writes what was collected. */
enum kt_status apply_rows(struct applier *a, struct kt_error *err) KT_MUST_CHECK;

/* Forgets what it knows of the tables: they were rolled back. */
void apply_forget_facts(struct applier *a);
/* Once more, in a transaction of the caller's, on *view, which becomes the one after; shows
 * nothing. */
enum kt_status apply_again(struct kt_store *store, const struct kt_entry *entries, size_t count,
                           struct kt_catalogue **view, struct kt_error *err) KT_MUST_CHECK;

#endif

/* store_internal.h - the parts of a store; for common/store only.
 *
 *   store.c        open, close, identity        store_log.c   the log file
 *   kept.c         what is kept of the cluster  log_cut.c     its end put aside
 *   log_trim.c     its beginning cut
 *   schema.c       tables of both files         store_load.c  catalogue and series from the data
 *   store_pool.c   read connections             apply*.c      changes into the data
 *   requests.c     what keys came to            erase.c       records that go
 *   generic.c      generic series from the data
 *   touched.c      what each revision touched
 *   behind.c       what is shown and not yet committed to the data file
 *   checkpoint.c   … and what is committed and not yet in its pages
 *   copy_out.c     a full copy given             copy_in.c     … and taken
 *   copy_swap.c    … and put in place at open  detach.c      new ids for both files
 *
 * Locks, none held while another of the same line is taken:
 *   log_mutex (STORE_WRITE)    the log's write connection
 *   apply_mutex (STORE_WRITE)  the data's write connection and the applier
 *   view_mutex (CATALOGUE)     which view is newest; held for a few instructions
 *   state_mutex (STORE_POOL)   identity, epoch vector, log end, waiters
 *
 * Threads: as store.h.
 * Owns:    as store.h.
 * Fails:   as store.h.
 */
#ifndef KT_STORE_INTERNAL_H
#define KT_STORE_INTERNAL_H

#include "base/fs.h"
#include "base/thread.h"
#include "store/catalogue_edit.h"
#include "store/copy.h"
#include "store/db.h"
#include "store/rowdata.h"
#include "store/store.h"

#include <stdatomic.h>

/* Of the whole cluster, from its first entry; until then, or where that does not say, these. */
#define STORE_MAX_INDICATORS 4096
#define STORE_MAX_KEYS 1000000
#define STORE_KEY_WINDOW_MS INT64_C(86400000)
struct store_settings {
    int64_t max_indicators, max_keys, key_window_ms;
    /* Of the newest change that was recorded elsewhere, while no other has been applied since; 0 =
     * there is none. */
    int64_t restored_revision, restored_wall_ms;
};

extern const char *const store_log_migrations[];
extern const int store_log_migration_count;
extern const char *const store_data_migrations[];
extern const int store_data_migration_count;

/* --- read connections --- */

enum reader_stmt {
    READER_FIRST,
    READER_SECOND,
    READER_TOUCHED,
    READER_GENERIC_FIND,
    READER_GENERIC_SCAN,
    READER_GENERIC_HAS,
    READER_GENERIC_POINTS,
    READER_REQUEST,
    READER_RECORDS,
    READER_STMTS
};
struct reader {
    struct reader *next;
    struct sqlite3 *db;
    struct sqlite3_stmt *stmts[READER_STMTS]; /* what pool->sql names */
    struct kt_series_builder *builder;        /* data readers only */
    struct rowdata_reader *rows;
};
struct reader_pool {
    struct kt_mutex mutex; /* STORE_POOL */
    struct kt_cond given;
    const char *path;
    const char *sql[READER_STMTS]; /* NULL = not used in this pool */
    bool loads_series;
    int limit, opened;
    struct reader *idle;
};
void pool_init(struct reader_pool *pool, const char *path, int limit);
void pool_done(struct reader_pool *pool);
/* Waits for a free one, KT_BUSY after half a minute. */
enum kt_status pool_take(struct reader_pool *pool, struct reader **ret_reader,
                         struct kt_error *err) KT_MUST_CHECK;
enum kt_status pool_take_within(struct reader_pool *pool, int64_t wait_ms,
                                struct reader **ret_reader, struct kt_error *err) KT_MUST_CHECK;
/* The same, but no longer than until a request's deadline. */
enum kt_status pool_take_until(struct reader_pool *pool, int64_t deadline_mono_ms,
                               struct reader **ret_reader, struct kt_error *err) KT_MUST_CHECK;
void pool_give(struct reader_pool *pool, struct reader *reader);

/* --- the write connections --- */

struct log_file {
    struct sqlite3 *db;
    struct sqlite3_stmt *begin, *commit, *insert_entry, *insert_epoch, *set_commit;
};

enum data_stmt {
    DATA_BEGIN,
    DATA_COMMIT,
    DATA_INSERT_VERSION,
    DATA_GREATEST_DECLARE,
    DATA_LAST_TIME,
    DATA_INSERT_REVISION,
    DATA_LOWER_STAMPS,
    DATA_ANY_GENERIC,
    DATA_INSERT_INDICATOR,
    DATA_INSERT_TOPIC,
    DATA_INSERT_SUBJECT,
    DATA_UPDATE_SUBJECT,
    DATA_SUBJECT_REVISION,
    DATA_DELETE_STAYS,
    DATA_INSERT_STAY,
    DATA_DELETE_TAGS,
    DATA_INSERT_TAG,
    DATA_SET_META,
    DATA_INSERT_TOUCHED,
    DATA_GENERIC_FIND,
    DATA_GENERIC_INSERT,
    DATA_GENERIC_UPDATE,
    DATA_GENERIC_DROP,
    DATA_GENERIC_COUNT,
    DATA_GENERIC_PUT_POINT,
    DATA_GENERIC_DROP_POINT,
    DATA_GENERIC_DROP_POINTS,
    DATA_FIND_REQUEST,
    DATA_PUT_REQUEST,
    DATA_FORGET_REQUEST,
    DATA_EXPIRE_REQUESTS,
    DATA_COUNT_REQUESTS,
    DATA_NEXT_EXPIRY,
    DATA_FIND_RECORDS,
    DATA_DELETE_RECORD,
    DATA_DELETE_SUBJECT,
    DATA_STMTS
};

struct applier; /* apply_internal.h */

/* Who waits for an applied revision; on the waiter's stack. */
struct apply_waiter {
    struct apply_waiter *next;
    uint64_t seq;
    struct kt_cond cond;
    bool woken;
};

/* A copy that is given, or was a while ago: what the log has behind it will be asked for. */
struct copy_hold {
    bool open;
    uint64_t seq; /* applied_seq of the copy */
    int64_t until_mono_ms;
};

enum copy_taking { COPY_NONE, COPY_LOADING, COPY_WAITS /* for the next open */ };

/* The open transaction of the data file; see behind.c. */
/* Of behind.c's FLUSH_ENTRIES the threefold, so that hardly one finds no place near its own. */
#define BEHIND_KEYS 65536
struct behind {
    bool open;
    bool lost; /* it was rolled back although it is shown: the file is to be brought up to that */
    bool is_large; /* the call under way */
    uint64_t entries;
    int64_t since_mono_ms;
    struct kt_catalogue *view; /* as it was at the last commit, counted; NULL = none since open */
    struct store_settings settings;
    atomic_bool unread; /* something is shown that who reads the file would not find */
    /* Hashes of the idempotency keys that it would not find; a hint: apply decides. */
    bool has_keys;
    atomic_bool too_many_keys;
    _Atomic uint64_t keys[BEHIND_KEYS];
};

struct kt_store {
    char *path, *log_path, *lock_path;
    struct kt_lock_file *lock;
    struct kt_mutex log_mutex, apply_mutex, view_mutex, state_mutex;

    struct log_file log;      /* log_mutex */
    char *rollback_path;      /* log_mutex: what the newest cut put aside */
    uint64_t durable_applied; /* of who trims: a checkpoint brought it into the data file */
    struct reader_pool log_readers, data_readers;

    atomic_int wal_pages; /* of the data file's, after its newest commit … */
    atomic_int wal_done;  /* … and the first of them that are in the file */
    struct sqlite3 *data; /* apply_mutex, with all below it up to the blank line */
    struct sqlite3_stmt *data_stmts[DATA_STMTS];
    struct applier *applier;
    struct behind behind;
    struct names *names, *topic_names;
    struct store_settings settings;

    struct kt_catalogue *view;    /* view_mutex */
    atomic_uint_fast64_t applied; /* set after the view was published */

    struct kt_store_identity identity; /* state_mutex, with all below it */
    struct kt_buf kept, kept_growth;
    uint64_t kept_epoch;
    bool half_copy, bound_by_nothing;
    enum copy_taking taking;
    struct copy_hold copies_out[KT_COPIES_OUT_MAX]; /* [n]: of X.db.give-n */
    struct kt_epoch *epochs;
    size_t epoch_count, epoch_cap;
    uint64_t log_first_seq; /* end_seq + 1 = there is no entry */
    int64_t log_last_wall_ms;
    struct apply_waiter *waiters;
    bool has_cursor_key;
    unsigned char cursor_key[KT_CURSOR_KEY_BYTES];

    atomic_uint_fast64_t noted_commit;
    /* Of the newest delete that took records away; set before its view was published. See
     * kt_store_erased_since. */
    atomic_uint_fast64_t erased;
};

/* requests.c */
extern const char *const store_find_request_sql;
/* erase.c */
extern const char *const store_find_records_sql;

/* kept.c */
enum kt_status kept_load(struct kt_store *store, struct kt_error *err) KT_MUST_CHECK;
/* Within a transaction of the log file. */
enum kt_status kept_write(struct sqlite3 *db, const struct kt_store_kept *kept,
                          struct kt_error *err) KT_MUST_CHECK;

/* copy_swap.c */
#define COPY_SAYS_LOADING "loading\n"
#define COPY_SAYS_SWAP "swap\n"
struct copy_paths {
    char *side, *data, *log;
};
enum kt_status copy_paths_make(const struct kt_store *store, struct copy_paths *paths,
                               struct kt_error *err) KT_MUST_CHECK;
void copy_paths_done(struct copy_paths *paths);
enum kt_status copy_remove_files(const struct copy_paths *paths,
                                 struct kt_error *err) KT_MUST_CHECK;
/* Brings to its end what an earlier process began; before the files are opened. */
enum kt_status copy_settle(struct kt_store *store, const struct kt_store_options *options,
                           struct kt_error *err) KT_MUST_CHECK;
/* The files are put aside, new ones without data take their place; the lock is held. */
enum kt_status copy_start_anew(struct kt_store *store, const struct kt_store_options *options,
                               const char *why, struct kt_error *err) KT_MUST_CHECK;
/* copy_out.c: what an earlier process left. */
void copies_out_remove(const struct kt_store *store);

/* store_log.c */
enum kt_status log_open(struct kt_store *store, struct kt_error *err) KT_MUST_CHECK;
void log_close(struct kt_store *store);
/* Epoch vector and ends alone. */
enum kt_status log_read_positions(struct kt_store *store, struct kt_error *err) KT_MUST_CHECK;
/* When the entry at seq was stamped; 0 = there is none. log_mutex is held. */
enum kt_status log_stamp_of(struct kt_store *store, uint64_t seq, int64_t *ret_wall_ms,
                            struct kt_error *err) KT_MUST_CHECK;

/* store_load.c: the newest view and the applier's facts from the data file. */
enum kt_status data_load(struct kt_store *store, struct kt_error *err) KT_MUST_CHECK;

/* touched.c: the statement that it reads with. */
extern const char *const store_touched_sql;
/* generic.c: names the statements that it reads with. */
void generic_prepare(struct reader_pool *data_readers);

/* checkpoint.c */
void checkpoint_watch(struct kt_store *store); /* the data file has been opened */
/* Is the WAL long and done, so that what is applied since should be committed? */
bool checkpoint_wants_commit(struct kt_store *store);
/* On a connection of its own, so that apply goes on meanwhile; complete: all that there was when it
 * began. */
enum kt_status checkpoint_data(struct kt_store *store, bool *ret_complete,
                               struct kt_error *err) KT_MUST_CHECK;

/* behind.c; with apply_mutex held, but for the last three. */
/* Begins what one call applies, in the open transaction. */
enum kt_status behind_begin(struct kt_store *store, const struct kt_entry *entries, size_t count,
                            struct kt_error *err) KT_MUST_CHECK;
/* As if the call had not been. */
void behind_undo(struct kt_store *store);
/* Keeps it; it may be shown now. */
void behind_show(struct kt_store *store, size_t count);
void behind_after(struct kt_store *store); /* commits if it is time for it */
enum kt_status behind_flush(struct kt_store *store, struct kt_error *err) KT_MUST_CHECK;
void behind_done(struct kt_store *store);
void behind_note_key(struct kt_store *store, struct kt_str key);
/* Any thread: may the file lack what is remembered under this key? */
bool behind_has_key(struct kt_store *store, struct kt_str key);
/* A read connection that sees all that is shown. */
enum kt_status data_take(struct kt_store *store, struct reader **ret_reader,
                         struct kt_error *err) KT_MUST_CHECK;
enum kt_status data_take_until(struct kt_store *store, int64_t deadline_mono_ms,
                               struct reader **ret_reader, struct kt_error *err) KT_MUST_CHECK;

/* apply.c */
struct applier *applier_new(void);
void applier_free(struct applier **applier);
enum kt_status data_prepare(struct kt_store *store, struct kt_error *err) KT_MUST_CHECK;
void data_close(struct kt_store *store);

/* store.c */
/* "X.db", ".copy" -> "X.copy"; heap, NULL without memory. */
char *store_beside(const struct kt_store *store, const char *suffix);
/* Publishes a view (takes the reference) and wakes who waited for it. */
void store_publish(struct kt_store *store, struct kt_catalogue *view);

#endif

/* store.h - the two SQLite files of a data node: the log that makes a write durable, and the data.
 *
 * X.log.db (synchronous=FULL): entries, epochs, identity, kept configuration, commit position.
 * X.db (synchronous=NORMAL): subjects, topics, indicators, versions, applied_seq. What is in the
 * log and not yet in the data is redone at open. Both are WAL, both can be read with the sqlite3
 * shell, PRAGMA user_version counts the schema. X.lock keeps a second process out.
 *
 * Refused at open, naming both files: ids that differ between the two; a log that ends before
 * applied_seq or begins after applied_seq + 1; a newer schema. A full copy that an earlier process
 * took is put in place by open (copy.h).
 *
 * Threads: log_* writes from one thread at a time (mutex KT_RANK_STORE_WRITE), apply from one
 * thread at a time; log_read, load_series, view and the rest from any (a pool of read connections).
 * Owns:    connections, the lock, the newest catalogue view.
 * Fails:   KT_IO, KT_CORRUPT, KT_BUSY (another process holds the database; it is named),
 * KT_NO_MEMORY. After KT_IO of a log append the transaction is rolled back; what is on disk is as
 * before.
 */
#ifndef KT_STORE_STORE_H
#define KT_STORE_STORE_H

#include "base/buf.h"
#include "base/hash.h"
#include "store/catalogue.h"
#include "store/change.h"

struct kt_store; /* opaque */

struct kt_store_options {
    const char *path;       /* "data/master.db"; directories are made */
    int read_connections;   /* 1..64 */
    int64_t max_indicators; /* put into the first epoch-start by the founder; 4096 */
    /* Files of a cluster's node that are damaged or do not belong together are put aside as
     * .diverged-…, and the node starts with its identity, without data, with the mark of a copy. */
    bool rejoin;
    void (*on_progress)(void *ctx, const char *what, uint64_t done,
                        uint64_t total);            /* may be NULL */
    void (*on_notice)(void *ctx, const char *text); /* a sentence for the log; may be NULL */
    void *on_progress_ctx;                          /* of both */
};

enum kt_status kt_store_open(const struct kt_store_options *options, struct kt_store **ret_store,
                             struct kt_error *err) KT_MUST_CHECK;
void kt_store_close(struct kt_store **store); /* checkpoints both files */

/* --- identity and kept configuration (in the log file) --- */
struct kt_store_identity {
    char node_id[KT_ID_LEN + 1];    /* made at first open */
    char cluster_id[KT_ID_LEN + 1]; /* "" = empty node */
    bool was_in_cluster; /* ever joined or founded one with etcd: never standalone again */
    bool was_standalone;
    uint64_t epoch;              /* greatest seen or ended; never below the last entry's */
    uint64_t commit_seq;         /* known at open: the greater of the log's and applied_seq */
    uint64_t end_seq, end_epoch; /* the log's last entry; 0 = empty */
};
void kt_store_identity(struct kt_store *store, struct kt_store_identity *ret_identity);
/* What a node keeps of its cluster beside the log. */
struct kt_store_kept {
    char cluster_id[KT_ID_LEN + 1]; /* "" = empty node */
    bool standalone;                /* of a node with a cluster: founded without etcd */
    struct kt_str config_json;      /* the newest cluster configuration; "" = none */
    struct kt_str growth;  /* ids in the union beyond its in_sync, joined by ','; "" = none */
    uint64_t epoch;        /* greatest seen or ended */
    bool half_copy;        /* a full copy was begun and is not complete: can't be elected */
    bool bound_by_nothing; /* stopped cleanly, and no promise ran */
};
/* All of it in one transaction, fsynced when it returns; a failure leaves what was kept before.
 * With a cluster id it sets was_standalone or was_in_cluster, which nothing takes back.
 * KT_CONFLICT: an epoch below the kept one without the mark of a copy, or no cluster id for a node
 * that has one. KT_BAD_VALUE: an id of another length. */
enum kt_status kt_store_keep(struct kt_store *store, const struct kt_store_kept *kept,
                             struct kt_error *err) KT_MUST_CHECK;
/* The texts borrow from `memory`, to which they are appended. `standalone` is true for a node that
 * was never in a cluster with etcd. */
enum kt_status kt_store_read_kept(struct kt_store *store, struct kt_store_kept *ret_kept,
                                  struct kt_buf *memory, struct kt_error *err) KT_MUST_CHECK;

/* --- the log --- */
struct kt_entry {
    uint64_t seq, epoch;
    int64_t wall_ms;
    struct kt_str key;  /* idempotency key, "" = none */
    struct kt_str body; /* an encoded change */
};
struct kt_epoch { /* one element of the epoch vector */
    uint64_t epoch;
    char epoch_id[KT_ID_LEN + 1];
    uint64_t first_seq;
};
/* One transaction, fsynced when it returns. Entries continue the log without a gap (KT_CORRUPT
 * otherwise); an epoch-start also extends the epoch vector. commit_seq rides along. */
enum kt_status kt_store_log_append(struct kt_store *store, const struct kt_entry *entries,
                                   size_t count, uint64_t commit_seq,
                                   struct kt_error *err) KT_MUST_CHECK;
/* Remembers a commit position without entries; not fsynced (it rides in the next append). */
void kt_store_log_note_commit(struct kt_store *store, uint64_t commit_seq);

struct kt_entries { /* in one block of memory */
    struct kt_entry *items;
    size_t count;
    struct kt_buf memory;
};
void kt_entries_done(struct kt_entries *entries);
/* Entries after `after_seq` up to `until_seq`, at least one if there is one, then as many as fit
 * into max_bytes, each with its key and some more for its other members. KT_GONE when the log no
 * longer reaches back. */
enum kt_status kt_store_log_read(struct kt_store *store, uint64_t after_seq, uint64_t until_seq,
                                 size_t max_bytes, struct kt_entries *ret_entries,
                                 struct kt_error *err) KT_MUST_CHECK;
/* Epoch and epoch_id of the entry at seq; KT_NOT_FOUND beyond the end or below the vector. */
enum kt_status kt_store_log_entry_id(struct kt_store *store, uint64_t seq,
                                     struct kt_epoch *ret_epoch,
                                     struct kt_error *err) KT_MUST_CHECK;
/* A copy of the epoch vector, ascending; heap, freed by the caller with kt_free. */
enum kt_status kt_store_epochs(struct kt_store *store, struct kt_epoch **ret_epochs,
                               size_t *ret_count, struct kt_error *err) KT_MUST_CHECK;
/* Takes away what lies after `after_seq`, and the epochs that began there. First it is written to
 * "<directory of the database>/rollback/<its name>-<wall ms>-<first>-<last>.ndjson", a line for
 * each entry: {"seq","epoch","wall_ms","time","key", the change as the request that would make it,
 * "body": its bytes in base64}; file and directory are fsynced before the transaction that deletes,
 * and this is when it returns. A crash in between leaves the file and the log: cutting again makes
 * another file. Nothing happens when the log ends there already. KT_CONFLICT when something after
 * it is applied or known to be committed. Appends wait meanwhile. */
enum kt_status kt_store_log_cut(struct kt_store *store, uint64_t after_seq,
                                struct kt_error *err) KT_MUST_CHECK;
/* Takes away the oldest entries while the log has more than keep_bytes, a slice of them (at most
 * 2,000 or 4 MB, one short transaction) a call; *ret_more: there is more to do now. Only what the
 * data file has for good, and never the epoch vector; what a copy that is being given, or was
 * within five minutes, will need next stays too. Rows of what older revisions touched go with them.
 * Who reads further back then gets KT_GONE. May make a checkpoint of the data file. One thread. */
enum kt_status kt_store_log_trim(struct kt_store *store, int64_t keep_bytes, bool *ret_more,
                                 struct kt_error *err) KT_MUST_CHECK;
/* Appends the path of the file that the newest cut of this process made; "" = none. */
void kt_store_rollback_path(struct kt_store *store, struct kt_buf *ret_path);
/* Of the oldest entry that is still there; the end + 1 when there is none. */
uint64_t kt_store_log_first(struct kt_store *store);
/* The last seq up to which two logs agree: the smaller end of their last common (epoch, epoch_id).
 * An epoch ends where the next begins, the last one at its log's end. */
uint64_t kt_epochs_common(const struct kt_epoch *a, size_t a_count, uint64_t a_end,
                          const struct kt_epoch *b, size_t b_count, uint64_t b_end);
/* The epoch to which seq belongs; NULL when seq is 0 or before the vector. */
const struct kt_epoch *kt_epochs_at(const struct kt_epoch *epochs, size_t count, uint64_t seq);

void kt_store_log_end(struct kt_store *store, uint64_t *ret_seq, uint64_t *ret_epoch);
int64_t kt_store_log_last_wall_ms(struct kt_store *store); /* stamp of the last entry; 0 = empty */

/* --- the data --- */
struct kt_apply_result { /* one per entry */
    uint64_t seq;
    /* Of the entry that this speaks of: seq, or that of the first entry with this key. */
    uint64_t revision;
    enum kt_status
        status; /* KT_OK or why apply refused it (same on every node); nothing was changed */
    char field[72];
    char message[200];
    uint32_t subjects, records, values; /* named by the change; of a delete: what it took away */
};
/* One transaction; then the new catalogue view is published. Entries follow applied_seq without a
 * gap. results may be NULL. */
enum kt_status kt_store_apply(struct kt_store *store, const struct kt_entry *entries, size_t count,
                              struct kt_apply_result *results, struct kt_error *err) KT_MUST_CHECK;

/* --- idempotency ---
 * An entry with a key is a request: what apply made of it, a refusal too, is kept with the key and
 * a digest of the body for a day of the log's own time (ten minutes when the key begins with "g-":
 * a gateway made it), in the data and so alike on every node. Apply is the judge: an entry whose
 * key is known with the same body changes nothing and comes to the first one's result; with
 * another body it is KT_IDEMPOTENCY_MISMATCH. So no table of requests under way is needed: who
 * comes second is second in the log. KT_UNAVAILABLE, which is not kept: more keys than the cluster
 * remembers, or a gateway's key whose time ("g-MILLISECONDS-…") is ten minutes off the log's, for
 * which nobody could know any more whether it was done. */
#define KT_REQUEST_KEY_MAX 128
#define KT_REQUEST_BATCH_KEY_MAX (KT_REQUEST_KEY_MAX + 21)
/* The key of one batch, counted from 1, of an import with a key: a space, which no client's key
 * holds, stands between. `dest` has room for KT_REQUEST_BATCH_KEY_MAX + 1. */
struct kt_str kt_request_batch_key(struct kt_str key, uint64_t batch, char *dest);
/* What an applied request with this key and body came to; KT_NOT_FOUND when there is none (apply
 * may still find one), KT_IDEMPOTENCY_MISMATCH when the body was another and the key is remembered
 * beyond now_wall_ms; KT_BUSY when all read connections are in use. Spares the log the repetition;
 * never needed. */
enum kt_status kt_store_find_request(struct kt_store *store, struct kt_str key, struct kt_str body,
                                     int64_t now_wall_ms, struct kt_apply_result *ret_result,
                                     struct kt_error *err) KT_MUST_CHECK;

/* --- erasing --- */
/* How many records (and subjects with such) a delete would take away; one subject's rows are read
 * at one moment, all of them not. KT_TIMEOUT at the deadline, KT_BUSY when no read connection was
 * free by then. */
enum kt_status kt_store_count_records(struct kt_store *store, const struct kt_change_delete *erase,
                                      int64_t deadline_mono_ms, uint64_t *ret_records,
                                      uint64_t *ret_subjects, struct kt_error *err) KT_MUST_CHECK;
/* A delete takes away what older views still show. Who answers from a view asks this once a series
 * is loaded: if records of the subject (of the view) went meanwhile, what was read may be half, and
 * the question is to be asked again of a newer view. Cheap while nothing is deleted. */
bool kt_store_erased_since(struct kt_store *store, const struct kt_catalogue *view,
                           const struct kt_subject *subject);

/* What was applied is shown at once, and in the data file at the latest a second later, or as
 * soon as somebody reads that; the log has it in any case. This writes it now: to be called when
 * nothing has been applied for a while. KT_IO: what is shown could not be written; it is tried
 * again by the next call, and by the next apply. */
enum kt_status kt_store_flush(struct kt_store *store, struct kt_error *err) KT_MUST_CHECK;
bool kt_store_is_behind(struct kt_store *store);
/* Is enough committed to the data file's WAL that it should be brought into the file? And doing so:
 * writes and syncs both files, beside apply and readers. One thread. */
bool kt_store_checkpoint_due(struct kt_store *store);
enum kt_status kt_store_checkpoint(struct kt_store *store, struct kt_error *err) KT_MUST_CHECK;

uint64_t kt_store_applied(struct kt_store *store);
/* Waits until applied ≥ seq; false at the deadline. */
bool kt_store_wait_applied(struct kt_store *store, uint64_t seq, int64_t deadline_mono_ms);
struct kt_catalogue *kt_store_view(struct kt_store *store); /* newest; counted */
/* One range scan. The series knows every change up to its loaded_revision ≥ the newest view's at
 * the time of the call. */
enum kt_status kt_store_load_series(struct kt_store *store, uint32_t subject,
                                    struct kt_series **ret_series,
                                    struct kt_error *err) KT_MUST_CHECK;
/* The greatest applied revision stamped at or before wall_ms; 0 when none. */
enum kt_status kt_store_revision_at(struct kt_store *store, int64_t wall_ms, uint64_t *ret_revision,
                                    struct kt_error *err) KT_MUST_CHECK;
/* The cluster's cursor key, from its first entry; false before that is applied. */
bool kt_store_cursor_key(struct kt_store *store, unsigned char ret_key[KT_CURSOR_KEY_BYTES]);

#endif

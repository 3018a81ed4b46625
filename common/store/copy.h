/* copy.h - a full copy of a node's data, given by one store and taken by another.
 *
 * For who is so far behind that the log no longer reaches it, or has another history. What goes
 * over is the data file as it was at one applied revision, with the epoch vector up to there:
 * everything that a node answers from and all that apply decides by lies in this one file. The
 * taker's log begins behind that revision.
 *
 * Given: the pages are copied in one read transaction (SQLite's backup, slice by slice) into a
 * temporary file "X.db.give-N" and sent from there, because a read transaction keeps the WAL from
 * being emptied: it may last as long as a local copy takes, and not as long as a slow wire. Why not
 * VACUUM INTO: it builds every table and index anew, cannot go on by slices, and the size is not
 * known before. A writer is not blocked (WAL). The file goes at close, and at the next open.
 *
 * Taken: into "X.db.copy" and "X.log.db.copy" beside the running store, which does not change. The
 * side file "X.copy" says how far it came: "loading", then "swap" once both files are checked and
 * durable. The next kt_store_open carries the swap out or takes the half copy away; see
 * copy_swap.c. The process has to close the store and open it again to see it.
 *
 * Threads: an object by one thread at a time; beside all that the store does otherwise.
 * Owns:    the objects, until close, finish or abort.
 * Fails:   KT_BUSY (KT_COPIES_OUT_MAX are being given; one is being taken already), KT_CONFLICT
 *          (the mark of a copy is not set; a whole one waits for the swap), KT_CORRUPT (not sound,
 *          or not a copy of this cluster), KT_IO (too little room, too), KT_NO_MEMORY.
 */
#ifndef KT_STORE_COPY_H
#define KT_STORE_COPY_H

#include "store/store.h"

#define KT_COPIES_OUT_MAX 4

/* --- giving --- */
struct kt_copy_out;
enum kt_status kt_store_copy_out_open(struct kt_store *store, struct kt_copy_out **ret_out,
                                      struct kt_error *err) KT_MUST_CHECK;
/* Known from the beginning. */
uint64_t kt_store_copy_out_size(const struct kt_copy_out *out);
uint64_t kt_store_copy_out_applied(const struct kt_copy_out *out);
int64_t kt_store_copy_schema(void); /* of the data file, as this program writes it */
const struct kt_epoch *kt_store_copy_out_epochs(const struct kt_copy_out *out, size_t *ret_count);
/* One slice of the temporary file (some milliseconds); ready when there is no more to do. */
enum kt_status kt_store_copy_out_make(struct kt_copy_out *out, bool *ret_ready,
                                      struct kt_error *err) KT_MUST_CHECK;
/* The next bytes; 0 at the end. What is still to be made is made first. */
enum kt_status kt_store_copy_out_read(struct kt_copy_out *out, void *dest, size_t len_bytes,
                                      size_t *ret_got, struct kt_error *err) KT_MUST_CHECK;
void kt_store_copy_out_close(struct kt_copy_out **out);

/* --- taking --- */
struct kt_copy_in;
/* The mark of a copy (kt_store_keep, half_copy) must have been set: from here on it is needed. What
 * can't come to a good end is refused here, before the giver has read all its data for nothing:
 * KT_IO without room for so many bytes, KT_CORRUPT for a schema that this program can't take. */
enum kt_status kt_store_copy_in_begin(struct kt_store *store, uint64_t size_bytes, int64_t schema,
                                      struct kt_copy_in **ret_in,
                                      struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_store_copy_in_write(struct kt_copy_in *in, const void *data, size_t len_bytes,
                                      struct kt_error *err) KT_MUST_CHECK;
/* Once all is written: makes it durable, checks the whole file (this reads all of it) and writes
 * the log that belongs to it. The vector ascends and begins at 1; commit_seq is at or above
 * applied_seq.
 */
enum kt_status kt_store_copy_in_check(struct kt_copy_in *in, const struct kt_epoch *epochs,
                                      size_t count, uint64_t applied_seq, uint64_t commit_seq,
                                      struct kt_error *err) KT_MUST_CHECK;
/* Once it is checked: leaves both files to the next open. Ends the object whatever comes of it;
 * after a failure the files are gone. */
enum kt_status kt_store_copy_in_finish(struct kt_copy_in **in, struct kt_error *err) KT_MUST_CHECK;
void kt_store_copy_in_abort(struct kt_copy_in **in);

#endif

/* copy.h - a full copy on the wire: what POST /replication/v1/copy answers.
 *
 * Answer 200, application/octet-stream, little-endian:
 *
 *     u32 head length | head: JSON {"cluster","epoch","request","applied_seq","commit","bytes",
 *                                   "schema","vector"}
 *     pieces: u32 length | so many bytes of the data file; length 0 is a sign of life: the giver is
 *             still making the file and has nothing to send
 *     after `bytes` of them: u32 CRC32C of the head's JSON and of all bytes
 *
 * epoch and request are those of the question: who asked takes no other answer. vector is the epoch
 * vector up to applied_seq, [[epoch,"epoch_id",first_seq],…]. What the log has beyond is fetched
 * afterwards like any other entry.
 *
 * Threads: a taker by one thread at a time.
 * Owns:    a taker its file, until free; the answer what it gives from.
 * Fails:   giving as store/copy.h. Taking with KT_CORRUPT (cut short, a length or the checksum
 *          wrong, another cluster, not sound), else as store/copy.h; the first failure sticks.
 */
#ifndef KT_REPLICA_COPY_H
#define KT_REPLICA_COPY_H

#include "http/message.h"
#include "store/store.h"

#define KT_COPY_PIECE_BYTES 262144
#define KT_COPY_HEAD_MAX (16u << 20)
#define KT_COPY_VECTOR_MAX 200000

struct kt_copy_head {
    char cluster[KT_ID_LEN + 1];
    uint64_t epoch, request;
    uint64_t applied_seq, commit;
    uint64_t bytes;  /* of the data file */
    uint64_t schema; /* its PRAGMA user_version */
    const struct kt_epoch *vector;
    size_t vector_count;
};
/* The length and the JSON. */
void kt_copy_head_format(const struct kt_copy_head *head, struct kt_buf *ret_bytes);
/* The JSON alone. The vector is put into *ret_vector (heap, freed by the caller with kt_free), and
 * the head borrows it. */
enum kt_status kt_copy_head_parse(struct kt_str json, struct kt_copy_head *ret_head,
                                  struct kt_epoch **ret_vector, struct kt_error *err) KT_MUST_CHECK;

/* Makes the response a stream of a copy of the store, as it is now. Of `head` cluster, epoch,
 * request and commit are taken; the rest the copy knows. The first bytes come at once. */
enum kt_status kt_copy_give(struct kt_store *store, const struct kt_copy_head *head,
                            struct kt_http_response *response, struct kt_error *err) KT_MUST_CHECK;

struct kt_copy_taker; /* opaque */
enum kt_status kt_copy_taker_new(struct kt_store *store, struct kt_copy_taker **ret_taker,
                                 struct kt_error *err) KT_MUST_CHECK;
/* Bytes of the answer, cut anywhere. Nothing is written before the head was found right. Says in
 * the log every five seconds how far it is. */
enum kt_status kt_copy_taker_put(struct kt_copy_taker *taker, struct kt_str data,
                                 struct kt_error *err) KT_MUST_CHECK;
/* The answer has ended: all is there, and is sound; durable, but not yet in place. Reads the whole
 * file: takes its time. */
enum kt_status kt_copy_taker_check(struct kt_copy_taker *taker, struct kt_error *err) KT_MUST_CHECK;
/* Valid from a successful check on, as long as the taker lives. */
const struct kt_copy_head *kt_copy_taker_head(const struct kt_copy_taker *taker);
/* After a successful check: leaves the copy to the next open of the store. */
enum kt_status kt_copy_taker_finish(struct kt_copy_taker *taker,
                                    struct kt_error *err) KT_MUST_CHECK;
/* What was not finished is removed. */
void kt_copy_taker_free(struct kt_copy_taker **taker);

#endif

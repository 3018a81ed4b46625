/* fetch.h - the bytes between a follower and its leader: POST /replication/v1/fetch.
 *
 * Request: JSON {"cluster","node","session","request","took","epoch","after","after_id","vector",
 * "commit","wait_ms","max_bytes","now_wall_ms"}. session is 16 hex digits of a process's own;
 * request rises by one in it; took is the request of the newest answer taken (0 = none). after_id
 * is
 * {"epoch","epoch_id"} of the entry at `after`, null at 0. vector is
 * [[epoch,"epoch_id",first_seq],…]. now_wall_ms (may be missing) is the follower's clock. The fetch
 * is sent after the follower's fsync: it is its acknowledgement up to `after`.
 *
 * Answer 200, application/octet-stream:
 *
 *     u32 head length | head: JSON
 * {"epoch","request","commit","now_wall_ms","clock_wall_ms","copy","differs","end","vector"} then
 * frames, little-endian: u32 length of what follows crc | u32 CRC32C of it | u64 seq | u64 epoch |
 * i64 wall_ms | u16 key length | key | body
 *
 * At least one entry if there is one, even beyond max_bytes. `differs` (then with the leader's
 * vector and the end of its log) says that the follower's last entry is not the leader's; `copy`,
 * that the leader's log no longer reaches back to it.
 *
 * Threads: any; plain functions.
 * Owns:    a parsed request owns nothing on the heap; a decoded answer borrows from the bytes.
 * Fails:   KT_BAD_VALUE naming the field (request), KT_CORRUPT (answer: lengths, CRC, order).
 */
#ifndef KT_REPLICA_FETCH_H
#define KT_REPLICA_FETCH_H

#include "base/buf.h"
#include "store/store.h"

#define KT_FETCH_VECTOR_MAX 4096 /* epochs in one request */
#define KT_FETCH_WAIT_MAX_MS 30000

struct kt_fetch_request {
    char cluster[KT_ID_LEN + 1];
    char node[KT_ID_LEN + 1];
    char leader[KT_ID_LEN + 1]; /* whom it is for: an address may be another node's by now */
    char session[KT_ID_LEN + 1];
    uint64_t request, took;
    uint64_t epoch;
    uint64_t after;
    struct kt_epoch after_id; /* epoch 0 at after = 0; first_seq unused */
    struct kt_epoch *vector;  /* heap, freed by kt_fetch_request_done */
    size_t vector_count;
    uint64_t commit;
    int64_t wait_ms;
    int64_t max_bytes;
    int64_t now_wall_ms; /* 0 = not said */
};
void kt_fetch_request_done(struct kt_fetch_request *request);
void kt_fetch_request_format(const struct kt_fetch_request *request, struct kt_buf *ret_json);
enum kt_status kt_fetch_request_parse(struct kt_str json, struct kt_fetch_request *ret_request,
                                      struct kt_error *err) KT_MUST_CHECK;

struct kt_fetch_head {
    uint64_t epoch, request, commit;
    int64_t now_wall_ms;   /* every stamp up to here is at or below commit; 0 = not known yet */
    int64_t clock_wall_ms; /* of the one who answers */
    bool copy, differs;
    uint64_t end_seq;        /* with differs: of the leader's log */
    struct kt_epoch *vector; /* with differs; parsed: heap, freed by kt_fetch_head_done */
    size_t vector_count;
};
void kt_fetch_head_done(struct kt_fetch_head *head);
#define KT_FETCH_FRAME_BYTES 34 /* of a frame beside key and body */
/* Starts an answer in ret_bytes: the head, with the vector when it differs. */
void kt_fetch_head_format(const struct kt_fetch_head *head, struct kt_buf *ret_bytes);
void kt_fetch_frame_append(const struct kt_entry *entry, struct kt_buf *ret_bytes);
/* Reads the head and moves *frames to what follows; kt_fetch_head_done is due. */
enum kt_status kt_fetch_head_parse(struct kt_str bytes, struct kt_fetch_head *ret_head,
                                   struct kt_str *ret_frames, struct kt_error *err) KT_MUST_CHECK;
/* The next frame; *ret_more false (and no entry) at the end. Strings borrow. */
enum kt_status kt_fetch_frame_next(struct kt_str *frames, struct kt_entry *ret_entry,
                                   bool *ret_more, struct kt_error *err) KT_MUST_CHECK;
/* Past the next frame by its length alone; false: none is whole any more. */
bool kt_fetch_frame_skip(struct kt_str *frames);

#endif

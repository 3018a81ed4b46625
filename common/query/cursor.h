/* cursor.h - the text that stands for a place in a list, made so that only this cluster can.
 *
 * A payload is sealed with the key that the cluster's first entry holds, so that every node takes
 * what any node gave, over restarts too, and nobody else can make one. `purpose` keeps the cursors
 * of one kind of question from being taken by another.
 *
 *   text    = base64 in the URL-safe alphabet, without padding, of
 *   bytes   = version u8 (1) | key id 8 | payload | HMAC-SHA256 32 | CRC32C u32 of all before
 *   HMAC    over "cursor" version purpose NUL payload
 *   key id  = the first bytes of the HMAC over "cursor key"
 *
 * The checksum is no protection: it tells a cursor that was damaged on the way from one that was
 * whole under another key.
 *
 * Threads: any.
 * Owns:    nothing.
 * Fails:   opening: KT_BAD_VALUE (damaged, forged, of another purpose), KT_GONE (the cluster's key
 *          was replaced since), KT_UNAVAILABLE (this node does not know the key yet), all naming
 *          `cursor`; KT_NO_MEMORY. Sealing: KT_UNAVAILABLE, KT_NO_MEMORY.
 */
#ifndef KT_QUERY_CURSOR_H
#define KT_QUERY_CURSOR_H

#include "base/arena.h"
#include "store/store.h"

#define QUERY_CURSOR_PAYLOAD_MAX 642

enum kt_status query_cursor_seal(struct kt_store *store, const char *purpose, struct kt_str payload,
                                 struct kt_arena *arena, struct kt_str *ret_text,
                                 struct kt_error *err) KT_MUST_CHECK;
/* The payload lives in the arena. */
enum kt_status query_cursor_open(struct kt_store *store, const char *purpose, struct kt_str text,
                                 struct kt_arena *arena, struct kt_str *ret_payload,
                                 struct kt_error *err) KT_MUST_CHECK;
/* 400 naming `cursor`: a payload that is not what the purpose's reader wants. */
enum kt_status query_cursor_fail(struct kt_error *err);

#endif

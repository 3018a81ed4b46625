/* conn.h - a client's connection: one request after the other. Include <uv.h> first.
 *
 * Pipelined requests wait in the buffer and are answered in order. A connection that must close
 * while its client may still be sending is drained for a moment first (lingering), or a reset would
 * take the answer with it.
 *
 * Threads: the loop's.
 * Owns:    itself: gone once its handle is closed.
 * Fails:   silently: the connection closes.
 */
#ifndef KT_GATEWAY_CONN_H
#define KT_GATEWAY_CONN_H

#include "gateway/loop.h"

/* Takes the socket whatever comes of it. */
void kt_conn_open(struct kt_loop *loop, const struct kt_loop_inbox *client);
/* The exchange is over: on to the next request, or close. */
void kt_conn_next(struct kt_conn *conn);
/* Closes after what is queued was sent, lingering when the client may still be sending. */
void kt_conn_finish(struct kt_conn *conn, bool linger);
void kt_conn_abort(struct kt_conn *conn);
/* Closes some of the loop's connections that have no request, those first whose time ends first;
 * how many. Never `but`, which may be NULL. */
size_t kt_conn_close_idlest(struct kt_loop *loop, const struct kt_conn *but);
void kt_conn_tick(struct kt_conn *conn, int64_t now_ms);
/* From now on answers close; idle connections do soon. */
void kt_conn_drain(struct kt_conn *conn, int64_t now_ms);

#endif

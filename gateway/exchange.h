/* exchange.h - one request and its answer. Include <uv.h> first.
 *
 * exchange.c is its life, begin.c its head, request.c the body that goes to the node and
 * request_head.c the head before it, dispatch.c which node and how often, to_leader.c what only the
 * leader can do, answer.c what comes back.
 *
 * A body up to [proxy] retry_body_bytes is taken whole before anything is sent: a slow client then
 * occupies no node, and the request can be sent again. An answer that fits into one buffer is taken
 * whole before the client sees any of it: one write, and a node that dies in the middle of it costs
 * a read a repetition and no error. Everything larger streams with one buffer each way.
 *
 * Threads: the loop's.
 * Owns:    itself; exchanges are recycled through a list in the loop.
 * Fails:   with an answer to the client, or by breaking its connection when an answer has begun.
 */
#ifndef KT_GATEWAY_EXCHANGE_H
#define KT_GATEWAY_EXCHANGE_H

#include "gateway/loop.h"

enum kt_failure {
    KT_FAIL_REFUSED, /* could not connect: nothing was sent */
    KT_FAIL_CLOSED,  /* the connection ended before the answer did */
    KT_FAIL_BROKEN,  /* what came is not HTTP */
    KT_FAIL_SILENT,  /* no byte in time */
};

/* A clean one, attached to the connection; NULL when out of memory. */
struct kt_exchange *kt_exchange_new(struct kt_conn *conn);

/* begin.c: a whole head of head_len bytes stands at the front of the client's input. */
void kt_exchange_begin(struct kt_conn *conn, size_t head_len);
/* The head cannot be read: 400 or 431, then close. */
void kt_exchange_begin_refused(struct kt_conn *conn, const struct kt_error *err);
/* The body is whole, or there is none. */
void kt_exchange_on_body(struct kt_exchange *exchange);
void kt_exchange_on_client_data(struct kt_exchange *exchange);
void kt_exchange_on_client_drained(struct kt_exchange *exchange);
/* The client sends no more; `broken`: and reads no more. */
void kt_exchange_on_client_end(struct kt_exchange *exchange, bool broken);
void kt_exchange_tick(struct kt_exchange *exchange, int64_t now_ms);
/* Ends it wherever it stands; the client's connection is the caller's business. */
void kt_exchange_drop(struct kt_exchange *exchange);
void kt_exchange_free_all(struct kt_loop *loop);

/* Answers with an error of the gateway's own. To a write X-Kamaitachi-Outcome is `unknown` with
 * KT_OUTCOME_UNKNOWN, else `none`. */
void kt_exchange_fail(struct kt_exchange *exchange, const struct kt_error *err);
/* The whole answer was handed to the client's stream. */
void kt_exchange_finish(struct kt_exchange *exchange);
/* Gives up a begun answer: the client must not take a part for the whole. */
void kt_exchange_abort(struct kt_exchange *exchange);
bool kt_exchange_may_repeat(const struct kt_exchange *exchange);
/* When its answer is whole: may the connection to the node serve another? */
bool kt_exchange_link_is_good(const struct kt_exchange *exchange);

/* request.c */
/* Counts bytes of body that are to be kept; false when the loop keeps too many already. */
bool kt_request_keep(struct kt_exchange *exchange, int64_t bytes);
void kt_request_collect(struct kt_exchange *exchange);
/* From the tick: an import whose client pauses is passed on without another piece. */
void kt_request_pass_on_if_slow(struct kt_exchange *exchange);
struct kt_str kt_request_body(const struct kt_exchange *exchange);
/* The connection stands: send what there is. */
void kt_exchange_on_ready(struct kt_exchange *exchange);
void kt_request_pump(struct kt_exchange *exchange);
/* request_head.c: the head for the node, into `out`. False: more headers than a node reads. */
bool kt_request_head(struct kt_exchange *exchange, struct kt_buf *out);
/* 400 unless the body's framing is right; puts the next piece of it into *ret_piece. */
bool kt_request_take(struct kt_exchange *exchange, struct kt_str *ret_piece);

/* What another attempt needs at least: less is not worth a refusal that is here already. */
#define KT_ANOTHER_MS 200

/* dispatch.c */
void kt_dispatch(struct kt_exchange *exchange);
/* An attempt at this node; `fresh`: on a new connection. */
void kt_dispatch_to(struct kt_exchange *exchange, struct kt_peer *peer, bool fresh);
/* A node that is up, was not tried and is known to have the revision; NULL = none. */
struct kt_peer *kt_dispatch_choose(struct kt_exchange *exchange, uint64_t min_revision);
bool kt_dispatch_was_tried(const struct kt_exchange *exchange, const struct kt_gw_node *node);
/* Is the node known to have applied the revision? By its probe, or an answer that passed by. */
bool kt_dispatch_knows(const struct kt_peer *peer, uint64_t revision);
/* Is there another node that a read could go to? */
bool kt_dispatch_has_other(struct kt_exchange *exchange);
/* Why no node can be asked: etcd, registration, or health. */
void kt_dispatch_explain(const struct kt_loop *loop, struct kt_error *err);
void kt_exchange_on_failed(struct kt_exchange *exchange, enum kt_failure failure, const char *why);
/* The node answered (all of the answer is here if it is held), and perhaps another should be asked:
 * true when the request goes on its way again, waits, or was answered. */
bool kt_dispatch_instead(struct kt_exchange *exchange);

/* to_leader.c */
/* Is it the leader's, and does it wait for one? An operator's request does not. */
bool kt_leader_waited_for(const struct kt_exchange *exchange);
/* Who leads, as far as this loop knows; NULL = nobody. */
struct kt_peer *kt_leader_peer(struct kt_loop *loop);
/* The same, but NULL as well while it is down. */
struct kt_peer *kt_leader_up(struct kt_loop *loop);
/* Why there is no leader to ask. */
void kt_leader_explain(struct kt_loop *loop, struct kt_error *err);
void kt_leader_dispatch(struct kt_exchange *exchange);
/* The attempt at the node `addr` is over and released. */
void kt_leader_on_failed(struct kt_exchange *exchange, enum kt_failure failure, bool nothing_sent,
                         const char *addr);
bool kt_leader_instead(struct kt_exchange *exchange);
/* Its time to wait is over. */
void kt_leader_give_up(struct kt_exchange *exchange);
void kt_leader_tick(struct kt_exchange *exchange, int64_t now_ms);

/* answer.c */
/* Before an attempt: nothing of an answer is there. */
void kt_answer_reset(struct kt_exchange *exchange);
void kt_answer_on_data(struct kt_exchange *exchange);
void kt_answer_on_end(struct kt_exchange *exchange);
/* The client has read what it was given. */
void kt_answer_on_drained(struct kt_exchange *exchange);
/* The answer of a worker. */
void kt_answer_own(struct kt_exchange *exchange, struct kt_own_job *job);
/* Status line, Date, X-Request-Id and Connection of the gateway's own answers, into loop->out. */
void kt_answer_begin_head(struct kt_exchange *exchange, int status);
/* Into the same head, of a write that is unknown: the key that was added to it, if one was, so that
 * its client can send it again as safely as the gateway could. */
void kt_answer_added_key(struct kt_exchange *exchange);

#endif

/* check.h - is this answer right?
 *
 * Right is: the status that the request deserves, JSON by its grammar, the envelope's status_code
 * 0, and the shape that the question calls for: only what was asked for, no more than the limit, in
 * the order asked for, nothing missing that is known to be there. A server that answers quickly
 * with an empty list is not fast.
 *
 * Parsing every answer would make the generator the bottleneck, so a body that is byte for byte one
 * that was found right before for the same request is right. One place may differ: the revision in
 * an answer to a save, and a cursor, which holds the time; it is called the hole.
 *
 * Threads: any.
 * Owns:    nothing.
 * Fails:   by the kind of wrong, with a sentence.
 */
#ifndef KT_BENCH_CHECK_H
#define KT_BENCH_CHECK_H

#include "bench/plan.h"
#include "bench/reply.h"

/* X(name, key in reports, for people) */
#define KT_WRONG_TABLE(X)                                                                          \
    X(NONE, "right", "right")                                                                      \
    X(REFUSED, "refused", "connection refused or not made")                                        \
    X(RESET, "reset", "connection ended before the answer")                                        \
    X(HALF, "half", "connection ended within the answer")                                          \
    X(TIMEOUT, "timeout", "no whole answer in time")                                               \
    X(HTTP, "bad_http", "not readable as HTTP")                                                    \
    X(STATUS_4XX, "status_4xx", "status 4xx")                                                      \
    X(STATUS_5XX, "status_5xx", "status 5xx")                                                      \
    X(STATUS, "status_other", "another status than the right one")                                 \
    X(JSON, "not_json", "not JSON")                                                                \
    X(ENVELOPE, "status_code", "status_code is not 0")                                             \
    X(SHAPE, "wrong_shape", "not what was asked for")                                              \
    X(VALUE, "wrong_value", "values differ from the second source")

enum kt_wrong {
#define KT_WRONG_ENUM(name, key, text) KT_WRONG_##name,
    KT_WRONG_TABLE(KT_WRONG_ENUM)
#undef KT_WRONG_ENUM
        KT_WRONG_COUNT
};
const char *kt_wrong_key(enum kt_wrong wrong);
const char *kt_wrong_text(enum kt_wrong wrong);

struct kt_hole {
    size_t start, end; /* equal: none */
    bool digits;       /* else a cursor's characters */
};

/* Judges a whole answer; err gets the sentence. *ret_hole is where a body that is as right may
 * differ. */
enum kt_wrong kt_check(const struct kt_planned *planned, const struct kt_reply *reply,
                       struct kt_str body, struct kt_hole *ret_hole, struct kt_error *err);
/* Is `body` the body `known`, but for the hole? */
bool kt_check_same(struct kt_str known, const struct kt_hole *hole, struct kt_str body);

#endif

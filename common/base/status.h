/* status.h - what can go wrong, in one table.
 *
 * Every function that can fail returns `enum kt_status` and, where a caller may want to know why,
 * fills a `struct kt_error` passed last. One table gives the enum, the stable code that clients
 * see, the HTTP status and the advice on repeating, so that these can never disagree.
 *
 * Outcomes (NOT_FOUND, NOT_LEADER, BUSY, TIMEOUT …) are handled by the caller; faults (IO, CORRUPT,
 * NO_MEMORY) are passed up. Library code returns and does not log.
 *
 * Threads: any; a kt_error belongs to its caller.
 * Owns:    nothing; the error is a plain value.
 * Fails:   never.
 */
#ifndef KT_BASE_STATUS_H
#define KT_BASE_STATUS_H

#include <stdbool.h>
#include <stdint.h>

/* X(name, code, http, retry): retry is what the client is told: no, same (repeat as it is), later.
 */
#define KT_STATUS_TABLE(X)                                                                         \
    X(OK, "ok", 200, "no")                                                                         \
    X(BAD_REQUEST, "bad_request", 400, "no")                                                       \
    X(BAD_VALUE, "bad_value", 400, "no")                                                           \
    X(UNKNOWN_FIELD, "unknown_field", 400, "no")                                                   \
    X(NOT_SUPPORTED, "not_supported", 400, "no")                                                   \
    X(UNAUTHORIZED, "unauthorized", 401, "no")                                                     \
    X(FORBIDDEN, "forbidden", 403, "no")                                                           \
    X(NOT_FOUND, "not_found", 404, "no")                                                           \
    X(METHOD, "method_not_allowed", 405, "no")                                                     \
    X(CONFLICT, "conflict", 409, "no")                                                             \
    X(CHANGED, "changed", 409, "no")                                                               \
    X(IDEMPOTENCY_MISMATCH, "idempotency_mismatch", 409, "no")                                     \
    X(NOT_MEMBER, "not_member", 409, "later")                                                      \
    X(DIVERGED, "diverged", 409, "no")                                                             \
    X(GONE, "gone", 410, "no")                                                                     \
    X(LENGTH_REQUIRED, "length_required", 411, "no")                                               \
    X(TOO_LARGE, "too_large", 413, "no")                                                           \
    X(MEDIA_TYPE, "media_type", 415, "no")                                                         \
    X(NOT_LEADER, "not_leader", 421, "same")                                                       \
    X(TOO_MANY, "too_many_requests", 429, "later")                                                 \
    X(HEAD_TOO_LARGE, "head_too_large", 431, "no")                                                 \
    X(INTERNAL, "internal", 500, "no")                                                             \
    X(IO, "io", 500, "no")                                                                         \
    X(CORRUPT, "corrupt", 500, "no")                                                               \
    X(NO_MEMORY, "no_memory", 500, "later")                                                        \
    X(BAD_GATEWAY, "bad_gateway", 502, "same")                                                     \
    X(UNAVAILABLE, "unavailable", 503, "later")                                                    \
    X(BUSY, "busy", 503, "later")                                                                  \
    X(TIMEOUT, "timeout", 504, "same")                                                             \
    X(OUTCOME_UNKNOWN, "outcome_unknown", 504, "same")

enum kt_status {
#define KT_STATUS_ENUM(name, code, http, retry) KT_##name,
    KT_STATUS_TABLE(KT_STATUS_ENUM)
#undef KT_STATUS_ENUM
        KT_STATUS_COUNT
};

#define KT_MUST_CHECK __attribute__((warn_unused_result))
#define KT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

struct kt_error {
    enum kt_status status;
    char field[72];    /* the request's field at fault; "" = none */
    char message[440]; /* one sentence, UTF-8, cut at a character's border when too long */
};

#define KT_ERROR_INIT                                                                              \
    {                                                                                              \
        KT_OK, "", ""                                                                              \
    }

const char *kt_status_name(enum kt_status status);  /* "NOT_LEADER" */
const char *kt_status_code(enum kt_status status);  /* "not_leader", stable for clients */
enum kt_status kt_status_of_code(const char *code); /* KT_INTERNAL when no status has it */
int kt_status_http(enum kt_status status);          /* 421 */
const char *kt_status_retry(enum kt_status status); /* "no" | "same" | "later" */

/* Fills *err (if not NULL) and returns `status`, so that it can stand in a return statement. */
enum kt_status kt_fail(struct kt_error *err, enum kt_status status, const char *fmt, ...)
    KT_PRINTF(3, 4);

/* The same, naming the field of the request (or the key of the configuration) at fault. */
enum kt_status kt_fail_field(struct kt_error *err, enum kt_status status, const char *field,
                             const char *fmt, ...) KT_PRINTF(4, 5);

/* Puts context before the message ("load snapshot x: ") on the way up; returns err's status.
 * With err == NULL returns KT_INTERNAL, so keep the status yourself when err may be NULL. */
enum kt_status kt_wrap(struct kt_error *err, const char *fmt, ...) KT_PRINTF(2, 3);

/* Always-on check of our own invariants, never of input: prints where and aborts. */
#define KT_ASSERT(cond)                                                                            \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            kt_assert_failed(#cond, __FILE__, __LINE__);                                           \
        }                                                                                          \
    } while (0)

_Noreturn void kt_assert_failed(const char *text, const char *file, int line);

#endif

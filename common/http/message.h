/* message.h - a request and an answer as handlers see them, whoever carried them.
 *
 * The data nodes' server (civetweb) and the gateway's front (libuv) both fill a kt_http_request and
 * send a kt_http_response, so that one handler serves on either. Handlers never see the carrier.
 *
 * Threads: a request and its response belong to one worker.
 * Owns:    the carrier owns the request; the response owns its body buffer and whatever its stream
 *          callbacks hold (released through `stream_done`).
 * Fails:   adding to a full header table marks the response failed, which is answered 500.
 */
#ifndef KT_HTTP_MESSAGE_H
#define KT_HTTP_MESSAGE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

#define KT_HTTP_HEADERS_MAX 64
#define KT_HTTP_HEAD_BYTES_MAX 32768
#define KT_HTTP_RESPONSE_HEADERS_MAX 32

enum kt_http_method {
    KT_HTTP_GET = 1,
    KT_HTTP_HEAD = 2,
    KT_HTTP_POST = 4,
    KT_HTTP_PUT = 8,
    KT_HTTP_DELETE = 16,
    KT_HTTP_OPTIONS = 32,
    KT_HTTP_OTHER = 64
};

struct kt_budget; /* base/budget.h */

struct kt_http_header {
    struct kt_str name, value;
};

/* A body that is pulled: fills dest with at least one byte, or 0 at the end. Waits at most until
 * the route's idle deadline. KT_BAD_REQUEST on broken framing, KT_TIMEOUT, KT_IO when the peer
 * left. */
struct kt_http_body {
    enum kt_status (*read)(void *ctx, void *dest, size_t size, size_t *ret_len,
                           struct kt_error *err);
    void *ctx;
};

struct kt_http_request {
    enum kt_http_method method;
    struct kt_str raw_target; /* as it came */
    struct kt_str path;       /* normalised: decoded once, one trailing '/' dropped; "/" stays */
    struct kt_str query;      /* raw, without '?' */
    struct kt_str path_param; /* what stands for the route's {name}, decoded; else empty */
    const struct kt_http_header *headers;
    size_t header_count;
    uint64_t name_lengths;     /* bit n: a header's name has n bytes (n & 63); 0 = not known */
    struct kt_str body;        /* whole, bounded; empty on routes that pull */
    struct kt_http_body *pull; /* routes that pull; else NULL */
    /* Routes that pull: what large bodies share, for as long as a request lasts and for as long as
     * a piece of it is parsed; NULL = no bound. */
    struct kt_budget *held, *parsed;
    int64_t content_length; /* -1 = chunked or none given */
    char remote_host[64];   /* literal address of the peer */
    uint16_t remote_port;
    bool remote_is_loopback;
    char request_id[129];     /* given or made */
    int64_t deadline_mono_ms; /* the whole request, unless the route is bounded by idle time only */
    bool deadline_given;      /* X-Kamaitachi-Timeout-Ms was there */
    struct kt_arena *arena;   /* scratch until the answer is sent */
    void *route_ctx;          /* of the matched route */
    bool may_admin;           /* the request was judged to be an administrator's */
};

bool kt_http_is_token(struct kt_str text); /* RFC 9110 section 5.6.2 */
/* First header of that name (ASCII case-insensitive), or a slice with data NULL. */
struct kt_str kt_http_header(const struct kt_http_request *request, const char *name);
size_t kt_http_header_count(const struct kt_http_request *request, const char *name);
/* Decodes `name` from the query into the arena. *ret_present false when absent. Twice the same
 * name, or a broken escape: KT_BAD_VALUE naming it. */
enum kt_status kt_http_query_get(const struct kt_http_request *request, const char *name,
                                 struct kt_str *ret_value, bool *ret_present,
                                 struct kt_error *err) KT_MUST_CHECK;
/* Walks all decoded parameters in order: start with *pos = 0; false at the end (check *ret_status).
 */
bool kt_http_query_next(const struct kt_http_request *request, size_t *pos, struct kt_str *ret_name,
                        struct kt_str *ret_value, enum kt_status *ret_status, struct kt_error *err);

/* KT_UNKNOWN_FIELD naming the first parameter: for paths that take none. */
enum kt_status kt_http_query_none(const struct kt_http_request *request,
                                  struct kt_error *err) KT_MUST_CHECK;

struct kt_http_response {
    int status; /* 200 by default */
    struct kt_http_header headers[KT_HTTP_RESPONSE_HEADERS_MAX];
    size_t header_count;
    struct kt_buf body;
    const char *content_type; /* "application/json" by default; NULL = none */
    bool close;               /* end the connection after this answer */
    bool failed;              /* headers did not fit or no memory */
    bool old_manner;          /* an error also has the members of the first Kamaitachi */
    bool untagged;            /* a GET's answer without ETag: the state of this moment */
    /* A streamed answer: next() appends to `chunk` (cleared before each call), 0 bytes = the end.
     * An error after the first byte breaks the connection, so that a client cannot mistake a part
     * for the whole. */
    enum kt_status (*stream_next)(void *ctx, struct kt_buf *chunk, struct kt_error *err);
    void (*stream_done)(void *ctx); /* always called once when stream_next is set */
    void *stream_ctx;
    struct kt_arena *arena; /* for copies of header values; the request's */
};

void kt_http_response_init(struct kt_http_response *response, struct kt_arena *arena,
                           size_t max_body_bytes);
void kt_http_response_done(struct kt_http_response *response);
/* Replaces a header of the same name; name is a literal, value is copied into the arena. A value
 * with CR, LF or NUL marks the response failed. */
void kt_http_response_header(struct kt_http_response *response, const char *name,
                             struct kt_str value);
void kt_http_response_header_fmt(struct kt_http_response *response, const char *name,
                                 const char *fmt, ...) KT_PRINTF(3, 4);
const char *kt_http_reason(int status);
const char *kt_http_method_name(enum kt_http_method method);
enum kt_http_method kt_http_method_parse(struct kt_str text);

typedef void (*kt_http_handler_fn)(void *ctx, struct kt_http_request *request,
                                   struct kt_http_response *response);

#endif

/* client.h - calls to other processes: libcurl behind a seam.
 *
 * One kt_http_client per thread: it keeps one connection per host alive. `fresh` uses a new
 * connection and closes it afterwards: libcurl silently sends a request a second time when a reused
 * connection dies, which a transaction or a write without a key must never risk.
 *
 * Threads: one at a time per client; kt_http_client_cancel from any thread ends the call under way.
 * Owns:    the connection pool.
 * Fails:   KT_TIMEOUT when something was sent; KT_UNAVAILABLE when nothing can have been processed
 *          (refused, no route, no name, no connection in time); KT_BAD_GATEWAY when the
 *          connection broke after something was sent; KT_TOO_LARGE; KT_BUSY when cancelled.
 *          An HTTP status, whatever it is, is KT_OK.
 */
#ifndef KT_HTTP_CLIENT_H
#define KT_HTTP_CLIENT_H

#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

struct kt_http_client; /* opaque */

struct kt_http_call {
    const char *method; /* "GET", "POST" */
    const char *url;    /* http:// or https:// */
    struct kt_str body; /* sent when method is POST or PUT */
    const char *content_type;
    const char *headers[12];    /* "Name: value", NULL-terminated unless full */
    int64_t timeout_ms;         /* the whole call, > 0 */
    int64_t connect_timeout_ms; /* 0 = timeout_ms */
    size_t max_answer_bytes;
    bool fresh; /* a new connection for this call alone */
    /* Streams a 2xx answer instead of collecting it (other answers are collected): false ends the
     * call (KT_BUSY). `idle_timeout_ms` > 0 ends a silent stream with KT_TIMEOUT; timeout_ms then
     * bounds only the wait for the answer's head (0 = unbounded stream). */
    bool (*on_data)(void *ctx, struct kt_str data);
    void *on_data_ctx;
    int64_t idle_timeout_ms;
    const char *ca_file, *cert_file, *key_file; /* https; NULL = system / none */
};

struct kt_http_answer {
    int status;
    struct kt_buf body;
    struct kt_buf head; /* "name: value\n" lines, names lower-cased */
};

struct kt_http_client *kt_http_client_new(void); /* NULL when out of memory */
void kt_http_client_free(struct kt_http_client **client);
/* The answer is initialised by the caller with kt_http_answer_init and may be reused. */
void kt_http_answer_init(struct kt_http_answer *answer);
void kt_http_answer_done(struct kt_http_answer *answer);
struct kt_str kt_http_answer_header(const struct kt_http_answer *answer, const char *lower_name);
enum kt_status kt_http_client_call(struct kt_http_client *client, const struct kt_http_call *call,
                                   struct kt_http_answer *ret_answer,
                                   struct kt_error *err) KT_MUST_CHECK;
/* Sticky: calls fail with KT_BUSY until kt_http_client_reset. */
void kt_http_client_cancel(struct kt_http_client *client);
void kt_http_client_reset(struct kt_http_client *client);

#endif

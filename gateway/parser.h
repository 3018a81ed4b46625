/* parser.h - heads of HTTP/1 messages, read strictly (RFC 9112); the chunked framing is in
 * http/chunks.h.
 *
 * Two readers that disagree about where a message ends are how a request is smuggled past a
 * gateway, so what could be read in two ways is refused with 400 and the connection is closed: bare
 * CR or LF, folded lines, space before a colon, no or two Host headers, Content-Length that is not
 * digits or is there twice, both framings, any Transfer-Encoding but chunked, a target of one host
 * and a Host of another.
 *
 * A head is first scanned for its end, incrementally and with next to no state (so that thousands
 * of half-sent heads cost nothing), and parsed in one go when it is whole. Names that matter here
 * are told apart once, by length and then by bytes.
 *
 * Threads: any; pure functions on the caller's structs.
 * Owns:    nothing: slices point into the caller's buffer, which must stay where it is.
 * Fails:   verdicts; `why` is a literal that says what was wrong.
 */
#ifndef KT_GATEWAY_PARSER_H
#define KT_GATEWAY_PARSER_H

#include "http/chunks.h"
#include "http/message.h"

enum kt_h1_name {
    KT_H1_OTHER,
    KT_H1_HOP, /* hop-by-hop by definition: Connection is apart */
    KT_H1_CONNECTION,
    KT_H1_HOST,
    KT_H1_CONTENT_LENGTH,
    KT_H1_TRANSFER_ENCODING,
    KT_H1_EXPECT,
    KT_H1_ORIGIN,
    KT_H1_DATE,
    KT_H1_VIA,
    KT_H1_FORWARDED,
    KT_H1_FORWARDED_FOR,
    KT_H1_FORWARDED_PROTO,
    KT_H1_FORWARDED_HOST,
    KT_H1_REQUEST_ID,
    KT_H1_CLUSTER_AUTH,
    KT_H1_LEADER,
    KT_H1_OUTCOME,
    KT_H1_ROLE,
    KT_H1_RETRY_AFTER,
    KT_H1_TIMEOUT_MS,
    KT_H1_CONSISTENCY,
    KT_H1_MIN_REVISION,
    KT_H1_REVISION,
    KT_H1_IDEMPOTENCY_KEY,
    KT_H1_NAME_COUNT
};

/* Where the scan for the end of a head stands; zeroed = at the start. */
struct kt_h1_scan {
    uint32_t pos;    /* bytes looked at */
    uint32_t line;   /* where the present line begins */
    uint32_t skip;   /* an empty line before a request: 0 or 2 bytes (RFC 9112, 2.2) */
    const char *why; /* of a BAD or TOO_LARGE */
};

struct kt_h1_head {
    struct kt_http_header headers[KT_HTTP_HEADERS_MAX];
    uint8_t names[KT_HTTP_HEADERS_MAX]; /* enum kt_h1_name of each */
    uint32_t header_count;
    int minor;              /* HTTP/1.minor */
    int64_t content_length; /* -1 = none */
    bool chunked;
    bool keep_alive;
    bool nominates; /* Connection names further headers: kt_h1_is_nominated */
    /* The first of each name, NULL data when absent. */
    struct kt_str known[KT_H1_NAME_COUNT];
    const char *why;
};

struct kt_h1_request {
    struct kt_h1_head head;
    struct kt_str method_text;
    enum kt_http_method method;
    struct kt_str target;    /* origin-form or "*": what absolute-form is reduced to */
    struct kt_str path;      /* raw, before '?'; "*" for asterisk-form */
    struct kt_str query;     /* raw, behind '?' */
    struct kt_str authority; /* of absolute-form; it is the Host's too. Else data NULL */
    bool expect_continue;
};

struct kt_h1_response {
    struct kt_h1_head head;
    int status;
    struct kt_str reason;
    bool has_body;    /* else it ends with its head */
    bool until_close; /* neither length nor chunks: the body ends with the connection */
};

/* Looks for the end of a head in data[0..len); data holds all of it from its first byte. On OK
 * *ret_head_len counts everything up to the empty line, and the head begins at scan->skip. */
enum kt_h1_verdict kt_h1_scan_request(struct kt_h1_scan *scan, const char *data, size_t len,
                                      size_t *ret_head_len);
enum kt_h1_verdict kt_h1_scan_response(struct kt_h1_scan *scan, const char *data, size_t len,
                                       size_t *ret_head_len);
/* `head` is a whole head as the scan found it, without what was skipped. */
enum kt_h1_verdict kt_h1_parse_request(struct kt_str head, struct kt_h1_request *ret_request);
/* `to_head`: the request was HEAD, so no body follows whatever the head says. */
enum kt_h1_verdict kt_h1_parse_response(struct kt_str head, bool to_head,
                                        struct kt_h1_response *ret_response);
/* Is the header named by a Connection header, hence not to be passed on? */
bool kt_h1_is_nominated(const struct kt_h1_head *head, struct kt_str name);

#endif

/* parser_internal.h - what the parser's own files share: character classes and the header lines.
 *
 * Threads: any; the table is read-only.
 * Owns:    nothing.
 * Fails:   verdicts.
 */
#ifndef KT_GATEWAY_PARSER_INTERNAL_H
#define KT_GATEWAY_PARSER_INTERNAL_H

#include "gateway/parser.h"

enum kt_h1_class {
    KT_H1_TOKEN = 1,     /* RFC 9110, 5.6.2 */
    KT_H1_VALUE = 2,     /* what a field's value may hold: visible, space, tab, 0x80 and above */
    KT_H1_TARGET = 4,    /* visible and not '#'; above 0x7F for those who do not escape UTF-8 */
    KT_H1_HOST_CHAR = 8, /* host[:port], brackets of an IPv6 literal too */
};
extern const uint8_t kt_h1_classes[256];

static inline bool kt_h1_is(enum kt_h1_class wanted, char byte)
{
    return (kt_h1_classes[(unsigned char)byte] & wanted) != 0;
}

/* host[:port], nothing else: no user, no list, no second port (RFC 9110, 7.2; RFC 3986, 3.2.2). */
bool kt_h1_is_host(struct kt_str text);
/* The lines from *rest up to the empty one, with framing and Connection understood. */
enum kt_h1_verdict kt_h1_parse_headers(struct kt_str *rest, struct kt_h1_head *head);
/* What only requests must heed: Host, and Transfer-Encoding on HTTP/1.0. */
enum kt_h1_verdict kt_h1_check_request(struct kt_h1_head *head);

#endif

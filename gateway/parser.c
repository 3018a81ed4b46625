/* SPDX-License-Identifier: MIT */
/* parser.c - the scan for the end of a head, and the two first lines.
 *
 * The scan goes from line feed to line feed; all it keeps between two reads are three numbers. The
 * head itself is parsed only when it is whole, so nothing is parsed twice however slowly it comes.
 */
#include "gateway/parser_internal.h"

#include <string.h>

static enum kt_h1_verdict scan_refuse(struct kt_h1_scan *scan, enum kt_h1_verdict verdict,
                                      const char *why)
{
    scan->why = why;
    return verdict;
}

/* A line ends at data[lf]. OK = that was the empty line. */
static enum kt_h1_verdict scan_line(struct kt_h1_scan *scan, const char *data, uint32_t lf,
                                    bool is_request)
{
    if (lf == 0 || data[lf - 1] != '\r') {
        return scan_refuse(scan, KT_H1_BAD, "a line that ends without CR");
    }
    if (lf - 1 == scan->line) {
        if (scan->line > scan->skip) {
            return KT_H1_OK;
        }
        if (scan->skip > 0 || !is_request) {
            return scan_refuse(scan, KT_H1_BAD, "an empty line instead of a message");
        }
        scan->skip = lf + 1;
    }
    scan->line = scan->pos = lf + 1;
    return KT_H1_MORE;
}

static enum kt_h1_verdict find_end(struct kt_h1_scan *scan, const char *data, size_t len,
                                   bool is_request, size_t *ret_head_len)
{
    static const char version[] = "HTTP/1.";
    size_t seen = len < KT_HTTP_HEAD_BYTES_MAX + 2 ? len : KT_HTTP_HEAD_BYTES_MAX + 2;

    while (scan->pos < seen) {
        const char *lf = memchr(data + scan->pos, '\n', seen - scan->pos);
        enum kt_h1_verdict verdict;

        if (!lf) {
            scan->pos = (uint32_t)seen;
            break;
        }
        verdict = scan_line(scan, data, (uint32_t)(lf - data), is_request);
        if (verdict == KT_H1_OK) {
            size_t head_len = (size_t)(lf - data) + 1;

            if (head_len - scan->skip > KT_HTTP_HEAD_BYTES_MAX) {
                return scan_refuse(scan, KT_H1_TOO_LARGE, "a head of more than 32 KB");
            }
            *ret_head_len = head_len;
            return KT_H1_OK;
        }
        if (verdict != KT_H1_MORE) {
            return verdict;
        }
    }
    /* What will never be one is not waited for. */
    if (is_request ? seen > scan->skip && data[scan->skip] != '\r' &&
                         !kt_h1_is(KT_H1_TOKEN, data[scan->skip])
                   : memcmp(data, version, seen < 7 ? seen : 7) != 0) {
        return scan_refuse(scan, KT_H1_BAD, "not HTTP/1");
    }
    if (seen - scan->skip >= KT_HTTP_HEAD_BYTES_MAX) {
        return scan_refuse(scan, KT_H1_TOO_LARGE, "a head of more than 32 KB");
    }
    return KT_H1_MORE;
}

enum kt_h1_verdict kt_h1_scan_request(struct kt_h1_scan *scan, const char *data, size_t len,
                                      size_t *ret_head_len)
{
    return find_end(scan, data, len, true, ret_head_len);
}

enum kt_h1_verdict kt_h1_scan_response(struct kt_h1_scan *scan, const char *data, size_t len,
                                       size_t *ret_head_len)
{
    return find_end(scan, data, len, false, ret_head_len);
}

static enum kt_h1_verdict refuse(struct kt_h1_head *head, const char *why)
{
    head->why = why;
    return KT_H1_BAD;
}

static bool all_are(enum kt_h1_class wanted, struct kt_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!kt_h1_is(wanted, text.data[i])) {
            return false;
        }
    }
    return true;
}

/* "HTTP/1.0" or "HTTP/1.1". */
static bool parse_version(struct kt_str text, int *ret_minor)
{
    if (text.len != 8 || memcmp(text.data, "HTTP/1.", 7) != 0 ||
        (text.data[7] != '0' && text.data[7] != '1')) {
        return false;
    }
    *ret_minor = text.data[7] - '0';
    return true;
}

/* "http://host[:port]" before the path is checked and dropped; an empty path is "/". */
static bool reduce_absolute(struct kt_str *target, struct kt_str *ret_authority)
{
    static const char scheme[] = "http://";
    struct kt_str rest;
    size_t authority = 0;

    if (target->len < 8 || !kt_str_eq_nocase(kt_str_n(target->data, 7), kt_str_n(scheme, 7))) {
        return false;
    }
    rest = kt_str_n(target->data + 7, target->len - 7);
    while (authority < rest.len && rest.data[authority] != '/' && rest.data[authority] != '?') {
        authority++;
    }
    if (!kt_h1_is_host(kt_str_n(rest.data, authority))) {
        return false;
    }
    *ret_authority = kt_str_n(rest.data, authority);
    *target = kt_str_n(rest.data + authority, rest.len - authority);
    return true;
}

static enum kt_h1_verdict parse_target(struct kt_h1_request *request)
{
    struct kt_h1_head *head = &request->head;
    struct kt_str rest = request->target;

    if (rest.len == 0 || !all_are(KT_H1_TARGET, rest)) {
        return refuse(head, "a target with characters that must be percent-encoded");
    }
    if (kt_str_eq(rest, KT_STR("*"))) {
        if (request->method != KT_HTTP_OPTIONS) {
            return refuse(head, "the target * with another method than OPTIONS");
        }
        request->path = rest;
        return KT_H1_OK;
    }
    if (rest.data[0] != '/') {
        if (!reduce_absolute(&rest, &request->authority)) {
            return refuse(head, "a target that is no path");
        }
        request->target = rest;
    }
    request->path = kt_str_cut(&rest, '?');
    request->query = rest;
    if (request->path.len == 0) {
        request->path = KT_STR("/");
        if (request->query.len == 0) {
            request->target = request->path;
        }
    }
    return KT_H1_OK;
}

static enum kt_h1_verdict parse_request_line(struct kt_str line, struct kt_h1_request *request)
{
    struct kt_h1_head *head = &request->head;
    struct kt_str rest = line;

    request->method_text = kt_str_cut(&rest, ' ');
    if (request->method_text.len == 0 || !all_are(KT_H1_TOKEN, request->method_text)) {
        return refuse(head, "a method that is no token");
    }
    if (!rest.data) {
        return refuse(head, "a request line without target and version");
    }
    request->method = kt_http_method_parse(request->method_text);
    request->target = kt_str_cut(&rest, ' ');
    if (!rest.data || !parse_version(rest, &head->minor)) {
        return refuse(head, "a request line that does not end with HTTP/1.1 or HTTP/1.0");
    }
    return parse_target(request);
}

/* Only 100-continue is known (RFC 9110, 10.1.1); with HTTP/1.0 it is ignored. */
static enum kt_h1_verdict check_expect(struct kt_h1_request *request)
{
    struct kt_str expect = request->head.known[KT_H1_EXPECT];

    if (!expect.data || request->head.minor == 0) {
        return KT_H1_OK;
    }
    if (!kt_str_eq_nocase(expect, KT_STR("100-continue"))) {
        return refuse(&request->head, "an Expect that is not 100-continue");
    }
    request->expect_continue = request->head.chunked || request->head.content_length > 0;
    return KT_H1_OK;
}

/* Cuts the first line; the scan has seen to it that every line ends with CRLF. */
static struct kt_str cut_line(struct kt_str *rest)
{
    struct kt_str line = kt_str_cut(rest, '\n');

    line.len--;
    return line;
}

static void head_reset(struct kt_h1_head *head)
{
    head->header_count = 0;
    head->minor = 1;
    head->content_length = -1;
    head->chunked = false;
    head->keep_alive = false;
    head->nominates = false;
    head->why = "";
    memset(head->known, 0, sizeof(head->known));
}

enum kt_h1_verdict kt_h1_parse_request(struct kt_str head, struct kt_h1_request *ret_request)
{
    struct kt_str rest = head, line = cut_line(&rest);
    enum kt_h1_verdict verdict;

    head_reset(&ret_request->head);
    ret_request->method = KT_HTTP_OTHER;
    ret_request->method_text = ret_request->target = kt_str(NULL);
    ret_request->path = ret_request->query = ret_request->authority = kt_str(NULL);
    ret_request->expect_continue = false;
    verdict = parse_request_line(line, ret_request);
    if (verdict == KT_H1_OK) {
        verdict = kt_h1_parse_headers(&rest, &ret_request->head);
    }
    if (verdict == KT_H1_OK) {
        verdict = kt_h1_check_request(&ret_request->head);
    }
    if (verdict == KT_H1_OK && ret_request->authority.data &&
        ret_request->head.known[KT_H1_HOST].data &&
        !kt_str_eq_nocase(ret_request->authority, ret_request->head.known[KT_H1_HOST])) {
        verdict = refuse(&ret_request->head, "a target of another host than Host names");
    }
    return verdict == KT_H1_OK ? check_expect(ret_request) : verdict;
}

static enum kt_h1_verdict parse_status_line(struct kt_str line, struct kt_h1_response *response)
{
    struct kt_h1_head *head = &response->head;
    const char *pos = line.data + 8;

    if (line.len < 12 || !parse_version(kt_str_n(line.data, 8), &head->minor) || pos[0] != ' ' ||
        (line.len > 12 && pos[4] != ' ')) {
        return refuse(head, "a status line that is not HTTP/1");
    }
    response->status = 0;
    for (int i = 1; i <= 3; i++) {
        if (pos[i] < '0' || pos[i] > '9') {
            return refuse(head, "a status that is no number");
        }
        response->status = response->status * 10 + (pos[i] - '0');
    }
    response->reason = line.len > 13 ? kt_str_n(pos + 5, line.len - 13) : kt_str(NULL);
    if (response->status < 100 || response->status > 599 ||
        !all_are(KT_H1_VALUE, response->reason)) {
        return refuse(head, "a status out of range");
    }
    return KT_H1_OK;
}

enum kt_h1_verdict kt_h1_parse_response(struct kt_str head, bool to_head,
                                        struct kt_h1_response *ret_response)
{
    struct kt_str rest = head, line = cut_line(&rest);
    struct kt_h1_head *parsed = &ret_response->head;
    enum kt_h1_verdict verdict;

    head_reset(parsed);
    verdict = parse_status_line(line, ret_response);
    if (verdict == KT_H1_OK) {
        verdict = kt_h1_parse_headers(&rest, parsed);
    }
    if (verdict != KT_H1_OK) {
        return verdict;
    }
    ret_response->has_body = !to_head && ret_response->status >= 200 &&
                             ret_response->status != 204 && ret_response->status != 304 &&
                             (parsed->chunked || parsed->content_length != 0);
    ret_response->until_close =
        ret_response->has_body && !parsed->chunked && parsed->content_length < 0;
    return KT_H1_OK;
}

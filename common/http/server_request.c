/* SPDX-License-Identifier: MIT */
/* server_request.c - is this head one request, and only one?
 *
 * civetweb's parser is generous: it ends the headers silently at a line that begins with a space
 * or at the 65th header, allows spaces before the colon and lines that end in LF alone, and reads
 * "5x" as a length of 5. Behind a proxy that reads the same bytes in another way each of these lets
 * a second request hide in a first. It parses in place, though, and leaves the distances between
 * the parts as they were, so that what it skipped shows up as a gap.
 */
#include "http/server_impl.h"

#include <civetweb.h>

#include "base/clock.h"

#include <string.h>

static enum kt_status refuse(struct kt_error *err, const char *why)
{
    return kt_fail(err, KT_BAD_REQUEST, "malformed request: %s", why);
}

/* One empty line before a request is allowed (RFC 9112 section 2.2). With more, civetweb takes the
 * empty lines for the head and goes on in what an older request has left in its buffer. */
static enum kt_status check_start(struct kt_http_worker *worker, const char *start,
                                  struct kt_error *err)
{
    ptrdiff_t skipped;

    if (!worker->head_base || start < worker->head_base) {
        /* The buffer is a heap block of its own, so its address is a multiple of 16. */
        worker->head_base = start - ((uintptr_t)start & 15);
    }
    skipped = start - worker->head_base;
    if (skipped == 0 || (skipped == 2 && memcmp(worker->head_base, "\r\n", 2) == 0)) {
        return KT_OK;
    }
    return refuse(err, "white space before the request line");
}

static enum kt_status check_request_line(const struct mg_request_info *info, const char **ret_end,
                                         struct kt_error *err)
{
    const char *last = info->query_string ? info->query_string : info->request_uri;
    const char *uri_end = last + strlen(last);
    const char *version_end = info->http_version + strlen(info->http_version);

    if (info->request_uri != info->request_method + strlen(info->request_method) + 1 ||
        info->http_version != uri_end + 1 + strlen("HTTP/")) {
        return refuse(err, "expected single spaces in the request line");
    }
    if (strchr(last, '#')) {
        return refuse(err, "a target has no fragment");
    }
    *ret_end = version_end;
    return KT_OK;
}

static enum kt_status check_header(const struct mg_header *raw, const char *expected,
                                   struct kt_http_header *ret_header, struct kt_error *err)
{
    struct kt_str name = kt_str(raw->name), value = kt_str(raw->value);

    if (raw->name != expected) {
        return refuse(err, "a header line is folded or does not end in CRLF");
    }
    for (const char *pos = name.data + name.len + 1; pos < value.data; pos++) {
        if (*pos != ' ' && *pos != '\t') {
            return refuse(err, "white space before the colon of a header");
        }
    }
    if (!kt_http_is_token(name)) {
        return refuse(err, "a header's name is not a token");
    }
    ret_header->name = name;
    ret_header->value = kt_str_trim(value);
    if (ret_header->value.len == 0) {
        ret_header->value = KT_STR("");
    }
    return KT_OK;
}

/* Behind the last header's value civetweb has put NUL NUL over CR LF; then follows the empty line,
 * whose LF it has overwritten too. Anything else is a header that it has dropped. */
static enum kt_status check_end(const struct kt_http_worker *worker, const char *value_end,
                                size_t count, struct kt_error *err)
{
    const char *limit = worker->head_base + KT_HTTP_HEAD_BYTES_MAX;

    if (value_end + 3 < limit && value_end[1] == '\0' && value_end[2] == '\r' &&
        value_end[3] == '\0') {
        return KT_OK;
    }
    if (count == KT_HTTP_HEADERS_MAX) {
        return kt_fail(err, KT_HEAD_TOO_LARGE, "more than %d headers", KT_HTTP_HEADERS_MAX);
    }
    return refuse(err, "a header line is folded, has no name, or does not end in CRLF");
}

static enum kt_status take_headers(struct kt_http_worker *worker,
                                   const struct mg_request_info *info, struct kt_error *err)
{
    struct kt_http_request *request = &worker->request;
    const char *end = NULL;
    enum kt_status status = check_start(worker, info->request_method, err);

    if (status == KT_OK) {
        status = check_request_line(info, &end, err);
    }
    for (int i = 0; status == KT_OK && i < info->num_headers; i++) {
        const struct mg_header *raw = &info->http_headers[i];

        status = check_header(raw, end + 2, &worker->headers[i], err);
        if (status == KT_OK) {
            request->name_lengths |= UINT64_C(1) << (worker->headers[i].name.len & 63);
        }
        end = raw->value + strlen(raw->value);
    }
    if (status == KT_OK && info->num_headers > 0) {
        status = check_end(worker, end, (size_t)info->num_headers, err);
    }
    if (status == KT_OK) {
        request->header_count = (size_t)info->num_headers;
        worker->head_end = end + 4;
        worker->bytes_here = worker->head_end - worker->head_base;
    }
    return status;
}

/* host[:port], a literal in brackets included (RFC 9110 section 7.2); "" is allowed. */
static bool host_is_valid(struct kt_str host)
{
    struct kt_str port = host;
    ptrdiff_t closing = kt_str_find(host, KT_STR("]"));

    for (size_t i = 0; i < host.len; i++) {
        unsigned char c = (unsigned char)host.data[i];

        if (c <= 0x20 || c >= 0x7f || strchr("\"#,/<>?@\\^`{|}", c)) {
            return false;
        }
    }
    if (host.len > 0 && host.data[0] == '[') {
        if (closing < 0 || (host.data[closing + 1] != ':' && (size_t)closing + 1 < host.len)) {
            return false;
        }
        port = kt_str_n(host.data + closing, host.len - (size_t)closing);
    } else if (closing >= 0) {
        return false;
    }
    (void)kt_str_cut(&port, ':');
    for (size_t i = 0; port.data && i < port.len; i++) {
        if (port.data[i] < '0' || port.data[i] > '9' || i >= 5) {
            return false;
        }
    }
    return true;
}

static enum kt_status check_host(const struct kt_http_worker *worker, size_t count,
                                 struct kt_str host, struct kt_error *err)
{
    if (count > 1 || (count == 0 && !worker->http_10)) {
        return kt_fail_field(err, KT_BAD_REQUEST, "Host", "Host: expected once, found %zu times",
                             count);
    }
    if (!host_is_valid(host)) {
        return kt_fail_field(err, KT_BAD_REQUEST, "Host", "Host: expected host or host:port");
    }
    return KT_OK;
}

static enum kt_status parse_length(struct kt_str text, int64_t *ret_length, struct kt_error *err)
{
    int64_t length = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            text.len = 0;
        } else if (i >= 18) {
            return kt_fail_field(err, KT_TOO_LARGE, "Content-Length",
                                 "Content-Length: a body of that size is not accepted");
        } else {
            length = length * 10 + (text.data[i] - '0');
        }
    }
    if (text.len == 0) {
        return kt_fail_field(err, KT_BAD_REQUEST, "Content-Length",
                             "Content-Length: expected digits only");
    }
    *ret_length = length;
    return KT_OK;
}

/* How long is the body? RFC 9112 section 6.3, without its leniences. */
static enum kt_status check_framing(struct kt_http_worker *worker, struct kt_error *err)
{
    struct kt_http_request *request = &worker->request;
    struct kt_str coding = {NULL, 0}, length = {NULL, 0}, host = {NULL, 0};
    size_t codings = 0, lengths = 0, hosts = 0;
    enum kt_status status;

    for (size_t i = 0; i < request->header_count; i++) {
        const struct kt_http_header *header = &request->headers[i];

        if (header->name.len == 4 && kt_str_eq_nocase(header->name, KT_STR("Host"))) {
            hosts++;
            host = header->value;
        } else if (header->name.len == 14 &&
                   kt_str_eq_nocase(header->name, KT_STR("Content-Length"))) {
            lengths++;
            length = header->value;
        } else if (header->name.len == 17 &&
                   kt_str_eq_nocase(header->name, KT_STR("Transfer-Encoding"))) {
            codings++;
            coding = header->value;
        }
    }
    status = check_host(worker, hosts, host, err);
    if (status != KT_OK) {
        return status;
    }
    if (codings > 0 && lengths > 0) {
        return refuse(err, "both Transfer-Encoding and Content-Length");
    }
    if (codings > 1 ||
        (codings == 1 && (worker->http_10 || !kt_str_eq_nocase(coding, KT_STR("chunked"))))) {
        return kt_fail_field(err, KT_BAD_REQUEST, "Transfer-Encoding",
                             "Transfer-Encoding: expected chunked, once, in HTTP/1.1");
    }
    if (lengths > 1) {
        return kt_fail_field(err, KT_BAD_REQUEST, "Content-Length",
                             "Content-Length: expected once");
    }
    worker->chunked = codings == 1;
    worker->body_left = 0;
    if (lengths == 1) {
        status = parse_length(length, &worker->body_left, err);
    }
    request->content_length = lengths == 1 ? worker->body_left : -1;
    worker->bytes_here += worker->body_left;
    worker->body_done = status == KT_OK && !worker->chunked && worker->body_left == 0;
    return status;
}

/* Does a comma-separated list hold this word? */
static bool list_has(struct kt_str list, const char *word)
{
    while (list.data) {
        if (kt_str_eq_nocase(kt_str_trim(kt_str_cut(&list, ',')), kt_str(word))) {
            return true;
        }
    }
    return false;
}

/* civetweb decides by the first Connection header whether it keeps the connection; what we announce
 * must be the same or less. */
static void judge_keep_alive(struct kt_http_worker *worker)
{
    struct kt_str connection = kt_http_header(&worker->request, "Connection");

    worker->keep_alive = !worker->http_10;
    if (connection.data) {
        worker->keep_alive = list_has(connection, "keep-alive") && !list_has(connection, "close") &&
                             kt_http_header_count(&worker->request, "Connection") == 1;
    }
    if (worker->chunked) {
        worker->keep_alive = false; /* where it ends is not for civetweb to say: server_body.c */
    }
    if (kt_http_header(&worker->request, "Upgrade").data) {
        worker->keep_alive = false; /* civetweb prepares to switch protocols and then closes */
    }
}

static enum kt_status take_target(struct kt_http_worker *worker, const struct mg_request_info *info,
                                  struct kt_error *err)
{
    struct kt_http_request *request = &worker->request;
    struct kt_str raw_path = kt_str(info->local_uri_raw);
    size_t target_len = strlen(info->request_uri);

    request->query = KT_STR("");
    if (info->query_string) {
        request->query = kt_str(info->query_string);
        /* civetweb has put a NUL over the '?'; it looks at the target no more. */
        ((char *)info->request_uri)[target_len] = '?';
        target_len += 1 + request->query.len;
    }
    request->raw_target = kt_str_n(info->request_uri, target_len);
    return kt_path_normalise(raw_path, worker->arena, &request->path, err);
}

static void reset_request(struct kt_http_worker *worker)
{
    struct kt_http_request *request = &worker->request;

    request->method = KT_HTTP_OTHER;
    request->raw_target = request->path = request->query = KT_STR("");
    request->headers = worker->headers;
    request->header_count = 0;
    request->name_lengths = 0;
    request->body = KT_STR("");
    request->pull = NULL;
    request->content_length = -1;
    request->request_id[0] = '\0';
    request->deadline_mono_ms = kt_now_mono_ms() + worker->server->options.request_timeout_ms;
    request->deadline_given = false;
    request->arena = worker->arena;
    request->route_ctx = NULL;
    request->may_admin = false;
    worker->chunked = worker->expects_continue = worker->http_10 = false;
    worker->keep_alive = false;
    worker->body_done = worker->body_broken = false;
    worker->body_left = 0;
    worker->bytes_before += worker->bytes_here;
    worker->raw = worker->raw_tried = worker->chunks_bad = false;
    atomic_store_explicit(&worker->cut, false, memory_order_relaxed);
    atomic_store_explicit(&worker->slow, false, memory_order_relaxed);
}

enum kt_status kt_http_read_head(struct kt_http_worker *worker, const struct mg_request_info *info,
                                 bool *ret_fatal, struct kt_error *err)
{
    struct kt_http_request *request = &worker->request;
    struct kt_str expect;
    enum kt_status status;

    reset_request(worker);
    worker->http_10 = strcmp(info->http_version, "1.0") == 0;
    request->method = kt_http_method_parse(kt_str(info->request_method));
    *ret_fatal = true;
    status = take_headers(worker, info, err);
    if (status == KT_OK) {
        status = check_framing(worker, err);
    }
    if (status != KT_OK) {
        kt_http_make_request_id(request->request_id);
        return status;
    }
    *ret_fatal = false;
    judge_keep_alive(worker);
    status = kt_http_common_headers(request, err);
    if (status != KT_OK) {
        return status;
    }
    expect = kt_http_header(request, "Expect");
    if (expect.data && !worker->http_10) {
        if (!kt_str_eq_nocase(expect, KT_STR("100-continue"))) {
            return kt_fail_field(err, KT_BAD_VALUE, "Expect", "Expect: expected 100-continue");
        }
        worker->expects_continue = !worker->body_done;
    }
    return take_target(worker, info, err);
}

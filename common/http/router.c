/* SPDX-License-Identifier: MIT */
/* router.c - find the route, judge the caller, run the handler.
 *
 * A table of some thirty paths: comparing lengths first makes the linear walk cheaper than a hash
 * of the path.
 */
#include "http/router.h"

#include "base/clock.h"
#include "base/hash.h"
#include "http/access.h"
#include "http/envelope.h"

#include <stdio.h>
#include <string.h>

#define PARAM_BYTES_MAX 128 /* of what stands for a {name} */

/* Does the path fit? A last segment "{name}" of the pattern stands for any one. */
static bool path_matches(const char *pattern, struct kt_str path)
{
    size_t len = strlen(pattern);

    if (pattern[len - 1] == '}') {
        size_t fixed = (size_t)(strrchr(pattern, '{') - pattern);

        return path.len > fixed && memcmp(path.data, pattern, fixed) == 0 &&
               memchr(path.data + fixed, '/', path.len - fixed) == NULL;
    }
    return path.len == len && memcmp(path.data, pattern, len) == 0;
}

static enum kt_status set_param(const struct kt_http_route *route, struct kt_http_request *request,
                                struct kt_error *err)
{
    const char *open = strrchr(route->path, '{');

    if (open) {
        size_t fixed = (size_t)(open - route->path);
        struct kt_str param = {request->path.data + fixed, request->path.len - fixed};

        if (!kt_utf8_is_name(param, 1, PARAM_BYTES_MAX)) {
            char field[32];

            kt_str_copy(field, sizeof(field), kt_str_n(open + 1, strlen(open) - 2));
            return kt_fail_field(err, KT_BAD_VALUE, field, "%s must be a name of 1 to 128 bytes",
                                 field);
        }
        request->path_param = param;
    }
    return KT_OK;
}

#define TIMEOUT_HEADER "X-Kamaitachi-Timeout-Ms"

const struct kt_http_route *kt_router_peek(const struct kt_http_router *router,
                                           enum kt_http_method method, struct kt_str path,
                                           const struct kt_http_route **ret_other,
                                           unsigned *ret_allowed)
{
    const struct kt_http_route *found = NULL;

    *ret_other = NULL;
    *ret_allowed = 0;
    for (size_t i = 0; i < router->count; i++) {
        const struct kt_http_route *route = &router->routes[i];
        unsigned methods = route->methods;

        if (!path_matches(route->path, path)) {
            continue;
        }
        if (methods & KT_HTTP_GET) {
            methods |= KT_HTTP_HEAD;
        }
        *ret_allowed |= methods;
        *ret_other = route;
        if (!found && (methods & method)) {
            found = route;
        }
    }
    return found;
}

/* A body that is read whole is taken as it came; only who pulls one may know an encoding. */
static enum kt_status check_encoding(const struct kt_http_request *request, struct kt_error *err)
{
    struct kt_str encoding = kt_http_header(request, "Content-Encoding");

    if (!encoding.data || request->method == KT_HTTP_GET || request->method == KT_HTTP_HEAD ||
        kt_str_eq_nocase(encoding, KT_STR("identity"))) {
        return KT_OK;
    }
    return kt_fail_field(err, KT_MEDIA_TYPE, "Content-Encoding",
                         "Content-Encoding: this path takes no encoded body");
}

/* A write without any body is a client that forgot it. A question may go without. */
static enum kt_status check_length(const struct kt_http_route *route,
                                   const struct kt_http_request *request, struct kt_error *err)
{
    if (request->method != KT_HTTP_POST || route->access != KT_ACCESS_WRITE ||
        request->content_length >= 0 || kt_http_header(request, "Transfer-Encoding").data) {
        return KT_OK;
    }
    return kt_fail_field(err, KT_LENGTH_REQUIRED, "Content-Length",
                         "Content-Length: a write needs a body, with its length or in chunks");
}

enum kt_status kt_router_find(const struct kt_http_router *router, struct kt_http_request *request,
                              const struct kt_http_route **ret_route, unsigned *ret_allowed,
                              struct kt_error *err)
{
    const struct kt_http_route *route, *other;
    enum kt_http_access level = KT_ACCESS_PUBLIC;
    unsigned allowed = 0;
    enum kt_status status;

    route = kt_router_peek(router, request->method, request->path, &other, &allowed);
    if (route || other) {
        level = route ? route->access : other->access;
    }
    if (router->access) {
        status = kt_access_judge(router->access, request, level, err);
        if (status != KT_OK) {
            return status;
        }
    }
    if (!other) {
        return kt_fail(err, KT_NOT_FOUND, "no such path: %.*s",
                       (int)(request->path.len < 200 ? request->path.len : 200),
                       request->path.data);
    }
    if (!route) {
        *ret_allowed = allowed;
        return kt_fail(err, KT_METHOD, "%s is not allowed here, see the Allow header",
                       request->method == KT_HTTP_OTHER ? "this method"
                                                        : kt_http_method_name(request->method));
    }
    status = set_param(route, request, err);
    if (status != KT_OK) {
        return status;
    }
    if (!route->takes_query) {
        status = kt_http_query_none(request, err);
        if (status != KT_OK) {
            return status;
        }
    }
    if (!route->pull_body) {
        status = check_encoding(request, err);
        if (status != KT_OK) {
            return status;
        }
    }
    status = check_length(route, request, err);
    if (status != KT_OK) {
        return status;
    }
    request->route_ctx = router->ctx;
    *ret_route = route;
    *ret_allowed = allowed;
    return KT_OK;
}

static void allow_header(struct kt_http_response *response, unsigned allowed)
{
    char text[64] = "";
    size_t len = 0;

    for (unsigned bit = KT_HTTP_GET; bit < KT_HTTP_OTHER; bit <<= 1) {
        if (allowed & bit) {
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len ? ", " : "",
                                    kt_http_method_name((enum kt_http_method)bit));
        }
    }
    kt_http_response_header(response, "Allow", kt_str_n(text, len));
}

/* What the handler left behind may not be an answer: too large, no memory, a bad header. */
static void repair(const struct kt_http_request *request, struct kt_http_response *response)
{
    struct kt_error err = KT_ERROR_INIT;
    enum kt_status status = kt_buf_status(&response->body);

    if (status == KT_TOO_LARGE) {
        (void)kt_fail(&err, KT_TOO_LARGE, "the answer is larger than %zu bytes: ask for less",
                      response->body.max_bytes);
    } else if (status == KT_BUSY) {
        (void)kt_fail(&err, KT_BUSY, "too many large answers are under way at once");
    } else if (status != KT_OK) {
        (void)kt_fail(&err, KT_NO_MEMORY, "no memory for the answer");
    } else if (response->failed) {
        response->header_count = 0;
        kt_http_response_header(response, "X-Request-Id", kt_str(request->request_id));
        (void)kt_fail(&err, KT_INTERNAL, "the answer's headers could not be written");
    } else {
        return;
    }
    kt_envelope_error(response, &err);
}

void kt_router_serve(const struct kt_http_router *router, struct kt_http_request *request,
                     const struct kt_http_route *route, enum kt_status found, unsigned allowed,
                     const struct kt_error *err, struct kt_http_response *response)
{
    (void)router;
    response->old_manner = kt_path_is_old(request->path.len ? request->path : request->raw_target);
    kt_http_response_header(response, "X-Request-Id", kt_str(request->request_id));
    if (found == KT_OK) {
        route->handler(request->route_ctx, request, response);
        repair(request, response);
    } else {
        kt_envelope_error(response, err);
        if (found == KT_METHOD) {
            allow_header(response, allowed);
        } else if (found == KT_UNAUTHORIZED) {
            kt_http_response_header(response, "WWW-Authenticate", KT_STR("Bearer"));
        }
    }
}

/* Ids tell requests apart in logs and guard nothing, so a fast generator per thread will do. */
void kt_http_make_request_id(char dest[129])
{
    static _Thread_local uint64_t state;
    static const char digits[] = "0123456789abcdef";
    uint64_t bits;

    if (state == 0) {
        state = kt_random_u64() | 1;
    }
    bits = kt_prng_next(&state);
    for (int i = 0; i < 16; i++) {
        dest[i] = digits[(bits >> (60 - 4 * i)) & 15];
    }
    dest[16] = '\0';
}

enum kt_status kt_http_timeout_parse(struct kt_str text, int64_t *ret_timeout_ms,
                                     struct kt_error *err)
{
    int64_t timeout_ms = 0;

    if (!kt_parse_i64(text, &timeout_ms) || timeout_ms < 1 || timeout_ms > KT_HTTP_TIMEOUT_MS_MAX) {
        return kt_fail_field(err, KT_BAD_VALUE, TIMEOUT_HEADER,
                             TIMEOUT_HEADER ": expected milliseconds from 1 to %d",
                             KT_HTTP_TIMEOUT_MS_MAX);
    }
    *ret_timeout_ms = timeout_ms;
    return KT_OK;
}

static enum kt_status take_timeout(struct kt_http_request *request, struct kt_str text,
                                   struct kt_error *err)
{
    int64_t timeout_ms = 0;
    enum kt_status status;

    if (kt_http_header_count(request, TIMEOUT_HEADER) > 1) {
        return kt_fail_field(err, KT_BAD_VALUE, TIMEOUT_HEADER, TIMEOUT_HEADER ": expected once");
    }
    status = kt_http_timeout_parse(text, &timeout_ms, err);
    if (status == KT_OK) {
        request->deadline_mono_ms = kt_now_mono_ms() + timeout_ms;
        request->deadline_given = true;
    }
    return status;
}

enum kt_status kt_http_common_headers(struct kt_http_request *request, struct kt_error *err)
{
    struct kt_str id = kt_http_header(request, "X-Request-Id"), timeout;

    if (!id.data) {
        kt_http_make_request_id(request->request_id);
    } else if (kt_is_visible_ascii(id, sizeof(request->request_id) - 1)) {
        kt_str_copy(request->request_id, sizeof(request->request_id), id);
    } else {
        kt_http_make_request_id(request->request_id);
        return kt_fail_field(err, KT_BAD_VALUE, "X-Request-Id",
                             "X-Request-Id: expected 1-128 visible ASCII characters");
    }
    timeout = kt_http_header(request, TIMEOUT_HEADER);
    return timeout.data ? take_timeout(request, timeout, err) : KT_OK;
}

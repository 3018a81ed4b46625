/* SPDX-License-Identifier: MIT */
/* path.c - one spelling per path.
 *
 * Whoever judges a request and whoever routes it must see the same bytes, or a path spelt in
 * another way slips past the judge. So a path is decoded exactly once, and what could be read in
 * two ways is refused.
 */
#include "http/router.h"

#include <string.h>

#define PATH_BYTES_MAX 1024

static enum kt_status refuse(struct kt_error *err, const char *why)
{
    return kt_fail_field(err, KT_BAD_REQUEST, "path", "path: %s", why);
}

/* %2f and %00 would change what a segment is after decoding. */
static bool has_forbidden_escape(struct kt_str raw)
{
    for (size_t i = 0; i + 2 < raw.len; i++) {
        if (raw.data[i] != '%') {
            continue;
        }
        if ((raw.data[i + 1] == '2' && (raw.data[i + 2] == 'f' || raw.data[i + 2] == 'F')) ||
            (raw.data[i + 1] == '0' && raw.data[i + 2] == '0')) {
            return true;
        }
    }
    return false;
}

static bool is_dot_segment(struct kt_str segment)
{
    return kt_str_eq(segment, KT_STR(".")) || kt_str_eq(segment, KT_STR(".."));
}

static enum kt_status check_segments(struct kt_str path, struct kt_error *err)
{
    struct kt_str rest = {path.data + 1, path.len - 1};

    while (rest.data) {
        struct kt_str segment = kt_str_cut(&rest, '/');

        if (is_dot_segment(segment)) {
            return refuse(err, "\".\" and \"..\" are not allowed");
        }
        if (segment.len == 0 && rest.data) {
            return refuse(err, "\"//\" is not allowed");
        }
    }
    return KT_OK;
}

enum kt_status kt_path_normalise(struct kt_str raw_path, struct kt_arena *arena,
                                 struct kt_str *ret_path, struct kt_error *err)
{
    struct kt_str path = raw_path;
    enum kt_status status;

    if (raw_path.len == 0 || raw_path.data[0] != '/') {
        return refuse(err, "expected to begin with \"/\"");
    }
    if (raw_path.len > PATH_BYTES_MAX) {
        return refuse(err, "longer than 1024 bytes");
    }
    if (memchr(raw_path.data, '%', raw_path.len)) {
        size_t len = 0;
        char *decoded = kt_arena_alloc(arena, raw_path.len);

        if (!decoded) {
            return kt_fail(err, KT_NO_MEMORY, "no memory for the path");
        }
        if (has_forbidden_escape(raw_path) || !kt_percent_decode(raw_path, false, decoded, &len)) {
            return refuse(err, "%2f, %00 and broken escapes are not allowed");
        }
        path = kt_str_n(decoded, len);
    }
    if (!kt_utf8_is_name(path, 1, PATH_BYTES_MAX)) {
        return refuse(err, "expected UTF-8 without control characters");
    }
    status = check_segments(path, err);
    if (status != KT_OK) {
        return status;
    }
    if (path.len > 1 && path.data[path.len - 1] == '/') {
        path.len--;
    }
    *ret_path = path;
    return KT_OK;
}

/* Is it the path itself or below it? `prefix` has no trailing '/'. */
static bool is_under(struct kt_str path, struct kt_str prefix)
{
    return kt_str_starts(path, prefix) && (path.len == prefix.len || path.data[prefix.len] == '/');
}

bool kt_path_is_admin(struct kt_str path)
{
    static const char *const prefixes[] = {
        "/api",
        "/kamaitachi/api/data/v1/cache",
        "/cluster/failover",
        "/cluster/recover",
        "/cluster/forget",
        "/cluster/register",
        "/cluster/deregister",
        "/cluster/heartbeat",
    };

    /* Nearly every request is a query: leave after two looks. */
    if (path.len < 4 || (path.data[1] != 'a' && path.data[1] != 'k' && path.data[1] != 'c')) {
        return false;
    }
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (is_under(path, kt_str(prefixes[i]))) {
            return true;
        }
    }
    return false;
}

bool kt_path_is_cluster(struct kt_str path)
{
    return is_under(path, KT_STR("/replication"));
}

bool kt_path_is_old(struct kt_str path)
{
    return is_under(path, KT_STR("/data/v1"));
}

/* SPDX-License-Identifier: MIT */
/* target.c - URLs of targets. */
#include "bench/target.h"

#include <stdio.h>

/* What a path may hold without escapes of our own making. */
static bool is_path(struct kt_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte <= 0x20 || byte >= 0x7f || byte == '?' || byte == '#') {
            return false;
        }
    }
    return true;
}

enum kt_status kt_target_parse(struct kt_str url, struct kt_target *ret_target,
                               struct kt_error *err)
{
    struct kt_target target = {.port = 0};
    struct kt_str rest = url;
    if (kt_str_starts(url, KT_STR("https://"))) {
        return kt_fail(err, KT_BAD_VALUE, "https is not supported: give the address behind it");
    }
    if (!kt_str_starts(url, KT_STR("http://"))) {
        return kt_fail(err, KT_BAD_VALUE, "'" KT_STR_FMT "' does not begin with http://",
                       KT_STR_ARG(url));
    }
    while (kt_str_ends(rest, KT_STR("/"))) {
        rest.len--;
    }
    if (rest.len < 8 || rest.len >= sizeof(target.text)) {
        return kt_fail(err, KT_BAD_VALUE, "'" KT_STR_FMT "' names no host, or is too long",
                       KT_STR_ARG(url));
    }
    kt_str_copy(target.text, sizeof(target.text), rest);
    rest = kt_str_n(rest.data + 7, rest.len - 7);
    ptrdiff_t slash = kt_str_find(rest, KT_STR("/"));
    struct kt_str addr = slash < 0 ? rest : kt_str_n(rest.data, (size_t)slash);
    struct kt_str prefix =
        slash < 0 ? kt_str("") : kt_str_n(rest.data + slash, rest.len - (size_t)slash);
    enum kt_status status = kt_addr_parse(addr, 80, target.host, &target.port, err);
    if (status != KT_OK) {
        return status;
    }
    if (target.port == 0) {
        return kt_fail(err, KT_BAD_VALUE, "'" KT_STR_FMT "': nobody listens on port 0",
                       KT_STR_ARG(url));
    }
    if (prefix.len >= sizeof(target.prefix) || !is_path(prefix)) {
        return kt_fail(err, KT_BAD_VALUE, "'" KT_STR_FMT "' has a path that can't be a prefix",
                       KT_STR_ARG(url));
    }
    kt_str_copy(target.prefix, sizeof(target.prefix), prefix);
    kt_addr_format(target.host, target.port, target.addr);
    *ret_target = target;
    return KT_OK;
}

enum kt_status kt_target_resolve(struct kt_target *target, struct kt_error *err)
{
    return kt_net_resolve(target->host, target->literal, err);
}

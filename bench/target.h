/* target.h - a URL that load goes to: http://host[:port][/prefix].
 *
 * Threads: any.
 * Owns:    nothing.
 * Fails:   KT_BAD_VALUE for what is no such URL; KT_IO when a name has no address.
 */
#ifndef KT_BENCH_TARGET_H
#define KT_BENCH_TARGET_H

#include "base/net.h"
#include "base/status.h"
#include "base/str.h"

#define KT_TARGETS_MAX 16

struct kt_target {
    char text[400];         /* as given, without a trailing '/' */
    char host[256];         /* without brackets */
    uint16_t port;          /* 80 when none is given */
    char addr[KT_ADDR_MAX]; /* host:port, for Host */
    char prefix[128];       /* "" or "/data" */
    char literal[64];       /* the host's address, once resolved */
};

enum kt_status kt_target_parse(struct kt_str url, struct kt_target *ret_target,
                               struct kt_error *err) KT_MUST_CHECK;
/* Looks the name up; blocks. */
enum kt_status kt_target_resolve(struct kt_target *target, struct kt_error *err) KT_MUST_CHECK;

#endif

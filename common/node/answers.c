/* SPDX-License-Identifier: MIT */
/* What all handlers have in common: the headers that say who answered and how fresh it is, and the
 * shape of a refusal.
 */
#include "base/mem.h"
#include "http/envelope.h"
#include "node/node_impl.h"

#include <string.h>

static bool has_header(const struct kt_http_response *response, const char *name)
{
    for (size_t i = 0; i < response->header_count; i++) {
        if (kt_str_eq_nocase(response->headers[i].name, kt_str(name))) {
            return true;
        }
    }
    return false;
}

void kt_node_decorate(void *ctx, struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    struct kt_replica_brief brief = {0};
    char text[24];
    if (node->replica) {
        kt_replica_brief(node->replica, &brief);
    }
    struct {
        const char *name;
        uint64_t value;
    } numbers[] = {{"X-Kamaitachi-Revision", brief.revision},
                   {"X-Kamaitachi-Epoch", brief.epoch},
                   {"X-Kamaitachi-Lag-Ms", (uint64_t)(brief.lag_ms > 0 ? brief.lag_ms : 0)}};
    for (size_t i = 0; i < KT_ARRAY_LEN(numbers); i++) {
        /* A handler that answered from an older view has said so itself. */
        if (!has_header(response, numbers[i].name)) {
            size_t len = kt_format_u64(numbers[i].value, text);
            kt_http_response_header(response, numbers[i].name, kt_str_n(text, len));
        }
    }
    kt_http_response_header(response, "X-Kamaitachi-Node", kt_str(node->id));
    kt_http_response_header(response, "X-Kamaitachi-Role",
                            brief.is_leader ? KT_STR("leader") : KT_STR("follower"));
}

/* Sends who asked to the leader; where there is none it is to come again. */
static void name_leader(struct kt_node *node, struct kt_http_response *response,
                        struct kt_error *err)
{
    struct kt_replica_status *status = kt_malloc(sizeof(*status));
    if (status) {
        kt_replica_status(node->replica, status);
        if (status->leader_addr[0]) {
            kt_http_response_header(response, "X-Kamaitachi-Leader", kt_str(status->leader_addr));
        } else {
            (void)kt_fail_field(err, KT_UNAVAILABLE, err->field,
                                "there is no leader: waiting for %s",
                                status->waiting_for[0] ? status->waiting_for : "one to be elected");
        }
        kt_free(status);
    }
}

void kt_node_fail(struct kt_node *node, struct kt_http_response *response, bool is_write,
                  struct kt_error *err)
{
    if (err->status == KT_NOT_LEADER) {
        name_leader(node, response, err);
    }
    if (is_write && err->status == KT_TIMEOUT) {
        err->status = KT_UNAVAILABLE; /* certainly not done: of a write a 504 says it may be */
    }
    if (is_write) {
        kt_http_response_header(response, "X-Kamaitachi-Outcome",
                                err->status == KT_OUTCOME_UNKNOWN ? KT_STR("unknown")
                                                                  : KT_STR("none"));
    }
    kt_envelope_error(response, err);
}

/* SPDX-License-Identifier: MIT */
/* level.c - X-Kamaitachi-Consistency and X-Kamaitachi-Min-Revision: may this node answer, and when?
 *
 * A revision in the header is what its sender has seen: the answer must not be older, at whatever
 * level it is asked for. Each one that waits holds a worker, so that only a part of the workers
 * may; who comes beyond is told at once to come again.
 */
#include "base/clock.h"
#include "node/node_impl.h"

#define LEVEL_HEADER "X-Kamaitachi-Consistency"
#define REVISION_HEADER "X-Kamaitachi-Min-Revision"
#define WAITERS_PART 4       /* of [server] num_threads */
#define LOOK_INTERVAL_MS 200 /* a stop of the node is seen within */
#define RESERVE_PART 10      /* of the time left, and at most RESERVE_MAX_MS: for the refusal to */
#define RESERVE_MAX_MS 100   /* arrive while its sender still listens */

/* *ret_value has data NULL when the header is not there. */
static enum kt_status get_once(const struct kt_http_request *request, const char *header,
                               struct kt_str *ret_value, struct kt_error *err)
{
    *ret_value = kt_http_header(request, header);
    if (ret_value->data && kt_http_header_count(request, header) > 1) {
        return kt_fail_field(err, KT_BAD_VALUE, header, "%s is given more than once", header);
    }
    return KT_OK;
}

enum level { LEVEL_ANY, LEVEL_LEADER, LEVEL_LINEARIZABLE };

/* `session` says no more than the revision beside it. */
static enum kt_status parse_level(const struct kt_http_request *request, enum level *ret_level,
                                  struct kt_error *err)
{
    struct kt_str text;
    enum kt_status status = get_once(request, LEVEL_HEADER, &text, err);
    if (status != KT_OK) {
        return status;
    }
    if (!text.data || kt_str_eq_text(text, "any") || kt_str_eq_text(text, "session")) {
        *ret_level = LEVEL_ANY;
    } else if (kt_str_eq_text(text, "leader")) {
        *ret_level = LEVEL_LEADER;
    } else if (kt_str_eq_text(text, "linearizable")) {
        *ret_level = LEVEL_LINEARIZABLE;
    } else {
        status = kt_fail_field(err, KT_BAD_VALUE, LEVEL_HEADER,
                               LEVEL_HEADER " must be any, session, leader or linearizable");
    }
    return status;
}

/* 0 when there is no bound; a session that has seen nothing needs none. */
static enum kt_status parse_revision(const struct kt_http_request *request, uint64_t *ret_revision,
                                     struct kt_error *err)
{
    struct kt_str text;
    enum kt_status status = get_once(request, REVISION_HEADER, &text, err);
    if (status == KT_OK && text.data &&
        (!kt_parse_u64(text, ret_revision) || *ret_revision > KT_REVISION_MAX)) {
        status = kt_fail_field(err, KT_BAD_VALUE, REVISION_HEADER,
                               REVISION_HEADER " must be a revision: digits, at most %lld",
                               (long long)KT_REVISION_MAX);
    }
    return status;
}

/* Looked at now, after the question came: what is answered comes from a view taken later still. */
static enum kt_status check_serves(struct kt_node *node, enum level level, struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    if (level == LEVEL_ANY) {
        return KT_OK;
    }
    enum kt_status status = kt_replica_serves(node->replica, level == LEVEL_LINEARIZABLE, &why);
    return status == KT_OK
               ? KT_OK
               : kt_fail_field(err, status, LEVEL_HEADER, LEVEL_HEADER ": %s", why.message);
}

static enum kt_status wait_applied(struct kt_node *node, uint64_t revision,
                                   int64_t deadline_mono_ms, struct kt_error *err)
{
    int64_t now_ms = kt_now_mono_ms();
    while (!atomic_load(&node->draining) && now_ms < deadline_mono_ms) {
        int64_t look_ms = now_ms + LOOK_INTERVAL_MS;
        if (kt_store_wait_applied(node->store, revision,
                                  look_ms < deadline_mono_ms ? look_ms : deadline_mono_ms)) {
            return KT_OK;
        }
        now_ms = kt_now_mono_ms();
    }
    return kt_fail_field(err, KT_UNAVAILABLE, REVISION_HEADER,
                         REVISION_HEADER ": this node has applied %llu, not yet %llu",
                         (unsigned long long)kt_store_applied(node->store),
                         (unsigned long long)revision);
}

static enum kt_status wait_in_turn(struct kt_node *node, uint64_t revision,
                                   int64_t deadline_mono_ms, struct kt_error *err)
{
    int64_t most = node->config->server.num_threads / WAITERS_PART;
    int64_t reserve_ms = (deadline_mono_ms - kt_now_mono_ms()) / RESERVE_PART;
    enum kt_status status = KT_OK;
    reserve_ms = reserve_ms < RESERVE_MAX_MS ? reserve_ms : RESERVE_MAX_MS;
    if (atomic_fetch_add(&node->revision_waits, 1) < most) {
        status = wait_applied(node, revision, deadline_mono_ms - reserve_ms, err);
    } else {
        status = kt_fail_field(err, KT_BUSY, REVISION_HEADER,
                               REVISION_HEADER ": %lld requests wait for a revision already",
                               (long long)most);
    }
    atomic_fetch_sub(&node->revision_waits, 1);
    return status;
}

enum kt_status kt_node_check_consistency(struct kt_node *node,
                                         const struct kt_http_request *request,
                                         struct kt_error *err)
{
    enum level level = LEVEL_ANY;
    uint64_t revision = 0;
    enum kt_status status = parse_level(request, &level, err);
    if (status == KT_OK) {
        status = parse_revision(request, &revision, err);
    }
    if (status == KT_OK) {
        status = check_serves(node, level, err);
    }
    if (status != KT_OK || revision <= kt_store_applied(node->store)) {
        return status;
    }
    status = wait_in_turn(node, revision, request->deadline_mono_ms, err);
    return status == KT_OK ? check_serves(node, level, err) : status;
}

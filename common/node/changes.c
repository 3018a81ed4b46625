/* SPDX-License-Identifier: MIT */
/* The feed of changes: one line for each revision, asked for by long poll. */
#include "base/clock.h"
#include "base/mem.h"
#include "http/envelope.h"
#include "node/node_impl.h"
#include "store/touched.h"

#define WAIT_DEFAULT_MS 5000
#define WAIT_MAX_MS 30000
#define WAIT_SLICE_MS 100 /* a node that stops is noticed so soon */
#define HOLD_MS 2000      /* for a follower to learn that a revision is beyond the newest */
#define LIMIT_DEFAULT 1000
#define LIMIT_MAX 10000
#define ANSWER_BYTES (1U << 20)
#define WAITERS_PART 4 /* of the workers, at most one in so many may wait here */

struct feed {
    uint64_t after, wait_ms, limit;
};

/* --- the question --- */

static enum kt_status bad_number(const char *name, uint64_t max, struct kt_error *err)
{
    return kt_fail_field(err, KT_BAD_VALUE, name, "%s must be a whole number of 0 to %llu", name,
                         (unsigned long long)max);
}

static enum kt_status read_param(const struct kt_http_request *request, const char *name,
                                 uint64_t max, uint64_t *ret_number, bool *ret_present,
                                 struct kt_error *err)
{
    struct kt_str text = {NULL, 0};
    uint64_t number = 0;
    enum kt_status status = kt_http_query_get(request, name, &text, ret_present, err);
    if (status != KT_OK || !*ret_present) {
        return status;
    }
    if (!kt_parse_u64(text, &number) || number > max) {
        return bad_number(name, max, err);
    }
    *ret_number = number;
    return KT_OK;
}

static enum kt_status read_feed(const struct kt_http_request *request, struct feed *feed,
                                struct kt_error *err)
{
    static const struct {
        const char *name;
        uint64_t max;
    } known[] = {{"after", KT_REVISION_MAX}, {"wait_ms", WAIT_MAX_MS}, {"limit", LIMIT_MAX}};
    uint64_t *numbers[] = {&feed->after, &feed->wait_ms, &feed->limit};
    bool present[KT_ARRAY_LEN(known)] = {false};
    struct kt_str name, value;
    size_t pos = 0;
    enum kt_status status = KT_OK;
    while (kt_http_query_next(request, &pos, &name, &value, &status, err)) {
        size_t i = 0;
        while (i < KT_ARRAY_LEN(known) && !kt_str_eq_text(name, known[i].name)) {
            i++;
        }
        if (i == KT_ARRAY_LEN(known)) {
            char field[72];
            kt_str_copy(field, sizeof(field), name);
            return kt_fail_field(err, KT_UNKNOWN_FIELD, field, "unknown query parameter '%s'",
                                 field);
        }
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(known) && status == KT_OK; i++) {
        status = read_param(request, known[i].name, known[i].max, numbers[i], &present[i], err);
    }
    if (status == KT_OK && !present[0]) {
        return bad_number("after", KT_REVISION_MAX, err);
    }
    feed->limit = feed->limit ? feed->limit : LIMIT_DEFAULT;
    return status;
}

/* --- waiting --- */

/* A follower may lag behind whoever told the client of that revision. */
static enum kt_status check_after(struct kt_node *node, const struct kt_http_request *request,
                                  const struct feed *feed, struct kt_error *err)
{
    if (feed->after <= kt_store_applied(node->store)) {
        return KT_OK;
    }
    int64_t deadline_ms = kt_now_mono_ms() + HOLD_MS;
    if (request->deadline_mono_ms < deadline_ms) {
        deadline_ms = request->deadline_mono_ms;
    }
    enum kt_status status = kt_replica_hold(node->replica, feed->after, 0, deadline_ms, err);
    if (status == KT_BAD_VALUE) {
        return kt_fail_field(
            err, KT_BAD_VALUE, "after", "after: revision %llu is beyond the newest, %llu",
            (unsigned long long)feed->after, (unsigned long long)kt_store_applied(node->store));
    }
    if (status == KT_UNAVAILABLE) {
        return kt_fail_field(err, KT_UNAVAILABLE, "after",
                             "this node does not hold revision %llu yet",
                             (unsigned long long)feed->after);
    }
    return status;
}

/* Until there is something to tell; whatever ends the wait else is no failure. */
static void wait_for_change(struct kt_node *node, const struct kt_http_request *request,
                            const struct feed *feed)
{
    int64_t silent_ms = node->config->server.keep_alive_ms * 5 / 6; /* before others give up */
    int64_t wait_ms = (int64_t)feed->wait_ms < silent_ms ? (int64_t)feed->wait_ms : silent_ms;
    int64_t now_ms = kt_now_mono_ms(), end_ms = now_ms + wait_ms;
    if (request->deadline_given && request->deadline_mono_ms < end_ms) {
        end_ms = request->deadline_mono_ms;
    }
    while (
        now_ms < end_ms && !atomic_load(&node->draining) &&
        !kt_store_wait_applied(node->store, feed->after + 1,
                               end_ms - now_ms > WAIT_SLICE_MS ? now_ms + WAIT_SLICE_MS : end_ms)) {
        now_ms = kt_now_mono_ms();
    }
}

static enum kt_status await_change(struct kt_node *node, const struct kt_http_request *request,
                                   const struct feed *feed, struct kt_error *err)
{
    enum kt_status status = KT_OK;
    if (feed->wait_ms == 0 || kt_store_applied(node->store) > feed->after) {
        return KT_OK;
    }
    /* Each holds a worker: those who ask for data must find one. */
    int waiting = atomic_fetch_add(&node->feeds_waiting, 1);
    if (waiting >= node->config->server.num_threads / WAITERS_PART) {
        status =
            kt_fail_field(err, KT_BUSY, "wait_ms", "%d requests wait for changes already", waiting);
    } else {
        wait_for_change(node, request, feed);
    }
    atomic_fetch_sub(&node->feeds_waiting, 1);
    return status;
}

/* --- the answer --- */

struct lines {
    struct kt_buf *body;
    uint64_t left;
};

static bool write_line(void *ctx, uint64_t revision, struct kt_str subjects, struct kt_str topics)
{
    struct lines *lines = ctx;
    struct kt_jw jw;
    kt_jw_init(&jw, lines->body);
    kt_jw_object(&jw);
    kt_jw_kv_u64(&jw, "revision", revision);
    kt_jw_key_text(&jw, "subjects");
    kt_jw_raw(&jw, subjects);
    kt_jw_key_text(&jw, "topics");
    kt_jw_raw(&jw, topics);
    kt_jw_object_end(&jw);
    kt_buf_append_byte(lines->body, '\n');
    lines->left--;
    return lines->left > 0 && lines->body->len_bytes < ANSWER_BYTES;
}

static enum kt_status answer(struct kt_node *node, const struct feed *feed,
                             struct kt_http_response *response, struct kt_error *err)
{
    struct lines lines = {&response->body, feed->limit};
    uint64_t until = kt_store_applied(node->store);
    char text[24];
    enum kt_status status =
        kt_store_touched(node->store, feed->after, until, write_line, &lines, err);
    if (status == KT_GONE) {
        return kt_fail_field(err, KT_GONE, "after", "after: %s", err->message);
    }
    if (status == KT_OK) {
        response->content_type = "application/x-ndjson";
        kt_http_response_header(response, "X-Kamaitachi-Revision",
                                kt_str_n(text, kt_format_u64(until, text)));
        kt_http_response_header(response, "Cache-Control", KT_STR("no-cache"));
    }
    return status;
}

void kt_node_changes(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    struct kt_error err = KT_ERROR_INIT;
    struct feed feed = {.wait_ms = WAIT_DEFAULT_MS};
    enum kt_status status = kt_node_check_consistency(node, request, &err);
    if (status == KT_OK) {
        status = read_feed(request, &feed, &err);
    }
    if (status == KT_OK) {
        status = check_after(node, request, &feed, &err);
    }
    if (status == KT_OK) {
        status = await_change(node, request, &feed, &err);
    }
    if (status == KT_OK) {
        status = answer(node, &feed, response, &err);
    }
    if (status != KT_OK) {
        kt_node_fail(node, response, false, &err);
    }
}

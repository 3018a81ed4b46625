/* SPDX-License-Identifier: MIT */
/* etcd_watch.c - the stream of a watch.
 *
 * The gateway writes one JSON object per message, with a newline behind it. Objects arrive split
 * over reads and several in one read, so a small scanner finds where each ends (braces outside of
 * strings) before it is parsed. A response may hold several revisions, never a part of one (watch
 * fragments are off), so grouping by mod_revision within a response is enough.
 */
#include "etcd/etcd_internal.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

struct stream {
    const struct kt_etcd_watch *watch;
    int64_t end_mono_ms; /* 0 = never */
    struct kt_buf text;  /* an unfinished object and what is behind it */
    size_t scanned;      /* bytes of text looked at */
    int depth;
    bool in_string, escaped;
    bool created;
    bool ended_by_caller, ended_by_time;
    enum kt_status status; /* why we ended it ourselves */
    struct kt_error why;
};

static bool fail_stream(struct stream *stream, enum kt_status status)
{
    stream->status = status;
    return false;
}

static bool report_events(struct stream *stream, const struct kt_etcd_watch_part *part)
{
    size_t from = 0;

    while (from < part->count) {
        int64_t revision = part->events[from].kv.mod_revision;
        size_t to = from + 1;

        while (to < part->count && part->events[to].kv.mod_revision == revision) {
            to++;
        }
        if (!stream->watch->on_events(stream->watch->ctx, part->events + from, to - from,
                                      revision)) {
            stream->ended_by_caller = true;
            return false;
        }
        from = to;
    }
    return true;
}

/* A watch is refused to a user by cancelling it, in a stream that is well otherwise. */
static enum kt_status why_cancelled(const struct kt_etcd_watch_part *part, struct kt_error *why)
{
    if (part->compact_revision > 0) {
        return kt_fail(why, KT_GONE, "etcd cancelled the watch: compacted up to revision %lld",
                       (long long)part->compact_revision);
    }
    return kt_fail(why, kt_etcd_status_of_text(part->cancel_reason, KT_GONE),
                   "etcd cancelled the watch: %s",
                   part->cancel_reason[0] ? part->cancel_reason : "it gives no reason");
}

static bool handle_part(struct stream *stream, const struct kt_etcd_watch_part *part)
{
    if (part->canceled) { /* also one that says "created" in the same breath */
        return fail_stream(stream, why_cancelled(part, &stream->why));
    }
    if (part->created && !stream->created) {
        stream->created = true;
        /* A store that is behind the start would keep silent until it has counted up to there:
         * etcd lost its disk, or this member is late. A list tells which. */
        if (part->revision > 0 && part->revision + 1 < stream->watch->start_revision) {
            return fail_stream(stream, kt_fail(&stream->why, KT_GONE,
                                               "etcd is at revision %lld, before the watch's start",
                                               (long long)part->revision));
        }
        if (stream->watch->on_created) {
            stream->watch->on_created(stream->watch->ctx, part->revision);
        }
    }
    return report_events(stream, part);
}

static bool handle_object(struct stream *stream, struct kt_str object)
{
    struct kt_etcd_watch_part part;
    enum kt_status status = kt_etcd_decode_watch(object, &part, &stream->why);
    bool go_on;

    if (status != KT_OK) {
        return fail_stream(stream, status);
    }
    go_on = handle_part(stream, &part);
    kt_etcd_watch_part_done(&part);
    return go_on;
}

/* Looks at one byte; true when an object ends with it. */
static bool scan_byte(struct stream *stream, char byte)
{
    if (stream->in_string) {
        if (stream->escaped) {
            stream->escaped = false;
        } else if (byte == '\\') {
            stream->escaped = true;
        } else if (byte == '"') {
            stream->in_string = false;
        }
        return false;
    }
    if (byte == '"') {
        stream->in_string = true;
    } else if (byte == '{') {
        stream->depth++;
    } else if (byte == '}') {
        stream->depth--;
        return stream->depth <= 0;
    }
    return false;
}

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

static bool scan_text(struct stream *stream)
{
    size_t begin = 0;
    bool go_on = true;

    while (go_on && stream->scanned < stream->text.len_bytes) {
        char byte = stream->text.data[stream->scanned];

        if (stream->depth == 0 && begin == stream->scanned && is_space(byte)) {
            begin = ++stream->scanned;
            continue;
        }
        if (stream->depth == 0 && byte != '{') {
            go_on = fail_stream(
                stream, kt_fail(&stream->why, KT_CORRUPT, "a watch stream that is not etcd's"));
            break;
        }
        stream->scanned++;
        if (scan_byte(stream, byte)) {
            go_on =
                handle_object(stream, kt_str_n(stream->text.data + begin, stream->scanned - begin));
            begin = stream->scanned;
            stream->depth = 0;
        }
    }
    kt_buf_consume(&stream->text, begin);
    stream->scanned -= begin;
    return go_on;
}

static bool on_data(void *ctx, struct kt_str data)
{
    struct stream *stream = ctx;

    kt_buf_append_str(&stream->text, data);
    if (kt_buf_status(&stream->text) != KT_OK) {
        return fail_stream(stream, kt_fail(&stream->why, kt_buf_status(&stream->text),
                                           "an answer of etcd's watch is too long"));
    }
    if (!scan_text(stream)) {
        return false;
    }
    if (stream->end_mono_ms != 0 && kt_now_mono_ms() >= stream->end_mono_ms) {
        stream->ended_by_time = true;
        return false;
    }
    return true;
}

static void build_request(const struct kt_etcd_watch *watch, struct kt_buf *body)
{
    struct kt_buf end;

    kt_buf_init(&end, 0);
    kt_etcd_range_end(watch->prefix, &end);
    kt_buf_append_text(body, "{\"create_request\":{");
    kt_etcd_put_bytes(body, "key", watch->prefix.len == 0 ? kt_str_n("", 1) : watch->prefix);
    kt_buf_append_byte(body, ',');
    kt_etcd_put_bytes(body, "range_end", kt_buf_str(&end));
    kt_buf_append_byte(body, ',');
    kt_etcd_put_number(body, "start_revision", watch->start_revision);
    kt_buf_append_text(body, "}}");
    if (kt_buf_status(&end) != KT_OK) {
        body->failed = kt_buf_status(&end);
    }
    kt_buf_done(&end);
}

/* What the end of the call means. */
static enum kt_status judge(struct stream *stream, enum kt_status status,
                            const struct kt_http_answer *answer, const struct kt_error *call_error,
                            struct kt_error *err)
{
    if (stream->ended_by_caller || stream->ended_by_time) {
        return KT_OK;
    }
    if (status == KT_OK && answer->status != 200) { /* an error instead of a stream */
        status = kt_etcd_decode_error(answer->status, kt_buf_str(&answer->body), &stream->why);
        return kt_fail(err, status, "%s", stream->why.message);
    }
    if (stream->status != KT_OK) {
        return kt_fail(err, stream->status, "%s", stream->why.message);
    }
    if (status == KT_OK) {
        return kt_fail(err, KT_BAD_GATEWAY, "the watch's stream ended");
    }
    if (status == KT_TIMEOUT && stream->created && stream->end_mono_ms != 0 &&
        kt_now_mono_ms() >= stream->end_mono_ms) {
        return KT_OK;
    }
    if (status == KT_TIMEOUT && !stream->created) {
        status = KT_UNAVAILABLE; /* not silent but never there */
    }
    return kt_fail(err, status, "%s", call_error->message);
}

static enum kt_status watch_at(struct kt_etcd *etcd, struct etcd_slot *slot, size_t index,
                               struct stream *stream, struct kt_str body, struct kt_error *err)
{
    const struct kt_etcd_watch *watch = stream->watch;
    char url[ETCD_URL_MAX + 32];
    struct kt_error call_error = KT_ERROR_INIT;
    struct kt_http_answer answer;
    int64_t idle_ms = watch->silence_ms > 0 ? watch->silence_ms : 60 * 1000;
    enum kt_status status;

    if (watch->total_ms > 0 && watch->total_ms < idle_ms) {
        idle_ms = watch->total_ms;
    }
    snprintf(url, sizeof(url), "%s/v3/watch", etcd->endpoints.urls[index]);
    struct kt_http_call call = {
        .method = "POST",
        .url = url,
        .body = body,
        .content_type = "application/json",
        .timeout_ms = etcd->call_timeout_ms,
        .connect_timeout_ms = kt_etcd_connect_ms(etcd, etcd->call_timeout_ms),
        .max_answer_bytes = ETCD_ANSWER_MAX,
        /* A cancelled watch's connection is no good for anything else, and no other call's
         * connection should be held up by a stream. */
        .fresh = true,
        .on_data = on_data,
        .on_data_ctx = stream,
        .idle_timeout_ms = idle_ms,
    };
    status = kt_etcd_login(etcd, slot, index, etcd->call_timeout_ms, err);
    if (status != KT_OK) {
        return status == KT_TIMEOUT ? KT_UNAVAILABLE : status; /* no watch came about */
    }
    kt_etcd_secure(etcd, slot, &call);
    kt_http_answer_init(&answer);
    status = kt_http_client_call(slot->client, &call, &answer, &call_error);
    status = judge(stream, status, &answer, &call_error, err);
    if (status == KT_UNAUTHORIZED) {
        kt_etcd_token_refused(etcd, slot); /* the caller's list asks for another */
    }
    if (status != KT_OK) {
        kt_etcd_explain(etcd, index, err);
    }
    kt_http_answer_done(&answer);
    return status;
}

/* An endpoint at which no watch came about is followed by the next one. */
static enum kt_status watch_in_turn(struct kt_etcd *etcd, struct etcd_slot *slot,
                                    struct stream *stream, struct kt_str body, struct kt_error *err)
{
    size_t start = kt_etcd_preferred(etcd);
    enum kt_status status = KT_UNAVAILABLE;

    for (size_t i = 0; i < etcd->endpoints.count; i++) {
        size_t index = (start + i) % etcd->endpoints.count;

        kt_buf_clear(&stream->text);
        stream->scanned = 0;
        stream->depth = 0;
        stream->in_string = stream->escaped = false;
        stream->status = KT_OK;
        status = watch_at(etcd, slot, index, stream, body, err);
        /* Silence alone says nothing about the endpoint: the caller's read will. */
        if (status == KT_UNAVAILABLE || status == KT_BAD_GATEWAY) {
            kt_etcd_endpoint_bad(etcd, index);
        }
        if (stream->created || (status != KT_UNAVAILABLE && status != KT_BAD_GATEWAY)) {
            break;
        }
    }
    return status;
}

enum kt_status kt_etcd_watch(struct kt_etcd *etcd, const struct kt_etcd_watch *watch,
                             struct kt_error *err)
{
    struct etcd_slot *slot = NULL;
    struct stream stream = {.watch = watch, .why = KT_ERROR_INIT};
    struct kt_buf body;
    enum kt_status status = kt_etcd_slot_borrow(etcd, &slot, err);

    if (status != KT_OK) {
        return status;
    }
    kt_buf_init(&body, 0);
    kt_buf_init(&stream.text, ETCD_ANSWER_MAX);
    stream.end_mono_ms = watch->total_ms > 0 ? kt_now_mono_ms() + watch->total_ms : 0;
    build_request(watch, &body);
    status = kt_buf_status(&body);
    if (status == KT_OK) {
        status = watch_in_turn(etcd, slot, &stream, kt_buf_str(&body), err);
    } else {
        status = kt_fail(err, status, "no memory for a request to etcd");
    }
    kt_buf_done(&stream.text);
    kt_buf_done(&body);
    kt_etcd_slot_return(etcd, slot);
    return status;
}

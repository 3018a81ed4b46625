/* SPDX-License-Identifier: MIT */
/* etcd_decode_stream.c - the parts of a watch's stream, and errors.
 *
 * An error is {"error":"text","code":5,"message":"text"} from etcd 3.4 and 3.5,
 * {"code":5,"message":"text"} from 3.6, {"error":{"grpc_code":…}} or {"error":{"code":…}} inside a
 * stream, and from whatever stands in front of etcd anything at all.
 */
#include "etcd/etcd_internal.h"

#include <string.h>

void kt_etcd_watch_part_done(struct kt_etcd_watch_part *part)
{
    kt_buf_done(&part->memory);
    memset(part, 0, sizeof(*part));
}

static enum kt_status read_event(const struct kt_json_value *item, struct kt_buf *memory,
                                 struct kt_etcd_event *event, struct kt_error *err)
{
    const struct kt_json_value *kv, *type;

    if (kt_json_type(item) != KT_JSON_OBJECT) {
        return kt_fail(err, KT_CORRUPT, "etcd's event is no object");
    }
    type = kt_json_member(item, "type"); /* PUT is the zero value and is not written */
    if (type && kt_json_type(type) == KT_JSON_STRING) {
        event->is_delete = kt_str_eq_text(kt_json_string(type), "DELETE");
    } else if (type && kt_json_type(type) == KT_JSON_NUMBER) {
        event->is_delete = (kt_json_number(type) > 0.5 && kt_json_number(type) < 1.5);
    }
    kv = kt_json_member(item, "kv");
    if (!kv) {
        return kt_fail(err, KT_CORRUPT, "etcd's event has no kv");
    }
    return kt_etcd_read_kv(kv, memory, &event->kv, err);
}

static enum kt_status read_events(const struct kt_json_value *result, size_t text_bytes,
                                  struct kt_etcd_watch_part *part, struct kt_error *err)
{
    const struct kt_json_value *events = kt_json_member(result, "events"), *item = NULL;
    enum kt_status status;
    void *items = NULL;

    if (!events || kt_json_type(events) == KT_JSON_NULL) {
        return KT_OK;
    }
    if (kt_json_type(events) != KT_JSON_ARRAY) {
        return kt_fail(err, KT_CORRUPT, "etcd's \"events\" is %s",
                       kt_json_type_name(kt_json_type(events)));
    }
    status = kt_etcd_reserve(&part->memory, kt_json_count(events), sizeof(*part->events),
                             text_bytes, &items, err);
    part->events = items;
    while (status == KT_OK && (item = kt_json_next(events, item)) != NULL) {
        status = read_event(item, &part->memory, &part->events[part->count], err);
        part->count++;
    }
    return status;
}

static enum kt_status read_reason(const struct kt_json_value *result,
                                  struct kt_etcd_watch_part *part, struct kt_error *err)
{
    const struct kt_json_value *reason = kt_json_member(result, "cancel_reason");

    if (!reason || kt_json_type(reason) == KT_JSON_NULL) {
        return KT_OK;
    }
    if (kt_json_type(reason) != KT_JSON_STRING) {
        return kt_fail(err, KT_CORRUPT, "etcd's \"cancel_reason\" is %s",
                       kt_json_type_name(kt_json_type(reason)));
    }
    kt_str_copy(part->cancel_reason, sizeof(part->cancel_reason), kt_json_string(reason));
    return KT_OK;
}

static enum kt_status read_part(const struct kt_json_value *result, size_t text_bytes,
                                struct kt_etcd_watch_part *part, struct kt_error *err)
{
    enum kt_status status;

    if (kt_json_type(result) != KT_JSON_OBJECT) {
        return kt_fail(err, KT_CORRUPT, "etcd's \"result\" is no object");
    }
    status = kt_etcd_revision(result, &part->revision, err);
    if (status == KT_OK) {
        status = kt_etcd_bool(result, "created", &part->created, err);
    }
    if (status == KT_OK) {
        status = kt_etcd_bool(result, "canceled", &part->canceled, err);
    }
    if (status == KT_OK) {
        status = kt_etcd_i64(result, "compact_revision", &part->compact_revision, err);
    }
    if (status == KT_OK) {
        status = read_reason(result, part, err);
    }
    if (status == KT_OK) {
        status = read_events(result, text_bytes, part, err);
    }
    return status;
}

enum kt_status kt_etcd_decode_watch(struct kt_str json, struct kt_etcd_watch_part *ret_part,
                                    struct kt_error *err)
{
    struct kt_json *doc = NULL;
    const struct kt_json_value *root = NULL, *result;
    struct kt_etcd_watch_part part;
    enum kt_status status = kt_etcd_open(json, &doc, &root, err);

    if (status != KT_OK) {
        return status;
    }
    memset(&part, 0, sizeof(part));
    result = kt_json_member(root, "result");
    if (result) {
        status = read_part(result, json.len, &part, err);
    } else {
        status = kt_etcd_decode_error(0, json, err);
    }
    kt_json_free(&doc);
    if (status != KT_OK) {
        kt_etcd_watch_part_done(&part);
        return status;
    }
    *ret_part = part;
    return KT_OK;
}

/* What etcd says of users and tokens comes under several codes, 3 among them, as for any bad
 * request; its own clients go by these texts too. */
static bool is_login_needed(const char *text)
{
    static const char *const texts[] = {
        "invalid auth token",            /* unknown here: expired, or etcd was restarted */
        "revision of auth store is old", /* its users or roles were changed since */
        "user name is empty",            /* no token was sent */
        "authentication failed, invalid user ID or password",
    };

    for (size_t i = 0; i < KT_ARRAY_LEN(texts); i++) {
        if (kt_str_find(kt_str(text), kt_str(texts[i])) >= 0) {
            return true;
        }
    }
    return false;
}

enum kt_status kt_etcd_status_of_text(const char *text, enum kt_status otherwise)
{
    if (is_login_needed(text)) {
        return KT_UNAUTHORIZED;
    }
    if (kt_str_find(kt_str(text), KT_STR("permission denied")) >= 0) {
        return KT_FORBIDDEN;
    }
    if (kt_str_find(kt_str(text), KT_STR("authentication is not enabled")) >= 0) {
        return KT_NOT_SUPPORTED;
    }
    return otherwise;
}

static enum kt_status status_of_code(int64_t code)
{
    switch (code) { /* of google.golang.org/grpc/codes */
    case 4:         /* DEADLINE_EXCEEDED */
    case 14:        /* UNAVAILABLE */
        return KT_UNAVAILABLE;
    case 5: /* NOT_FOUND */
        return KT_NOT_FOUND;
    case 11: /* OUT_OF_RANGE: compacted, or a revision of the future */
        return KT_GONE;
    case 7: /* PERMISSION_DENIED */
        return KT_FORBIDDEN;
    case 16: /* UNAUTHENTICATED */
        return KT_UNAUTHORIZED;
    default:
        return KT_BAD_GATEWAY;
    }
}

static enum kt_status status_of_http(int http_status)
{
    switch (http_status) {
    case 401:
        return KT_UNAUTHORIZED;
    case 403:
        return KT_FORBIDDEN;
    case 502:
    case 503:
    case 504:
        return KT_UNAVAILABLE;
    default:
        return KT_BAD_GATEWAY;
    }
}

/* Finds code and message; false when it is no error of etcd's. */
static bool read_error(const struct kt_json_value *root, int64_t *ret_code, char *text, size_t size)
{
    const struct kt_json_value *message, *code, *error = kt_json_member(root, "error");
    const struct kt_json_value *from = root;

    if (error && kt_json_type(error) == KT_JSON_OBJECT) {
        from = error;
    }
    const char *name = kt_json_member(from, "grpc_code") ? "grpc_code" : "code";

    code = kt_json_member(from, name);
    message = kt_json_member(from, "message");
    if (!message && error && kt_json_type(error) == KT_JSON_STRING) {
        message = error;
    }
    if (!code || kt_json_type(code) != KT_JSON_NUMBER ||
        kt_etcd_i64(from, name, ret_code, NULL) != KT_OK) {
        return false;
    }
    kt_str_copy(text, size,
                message && kt_json_type(message) == KT_JSON_STRING ? kt_json_string(message)
                                                                   : kt_str("no message"));
    return true;
}

enum kt_status kt_etcd_decode_error(int http_status, struct kt_str body, struct kt_error *err)
{
    struct kt_json *doc = NULL;
    const struct kt_json_value *root = NULL;
    char text[200] = "";
    int64_t code = 0;
    bool found = false;
    enum kt_status status = kt_etcd_open(body, &doc, &root, NULL);

    if (status == KT_NO_MEMORY) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for an answer of etcd");
    }
    if (status == KT_OK) {
        found = read_error(root, &code, text, sizeof(text));
        kt_json_free(&doc);
    }
    if (found) {
        return kt_fail(err, kt_etcd_status_of_text(text, status_of_code(code)), "%s (code %lld)",
                       text, (long long)code);
    }
    /* Without JSON there is only the status; of the text no more than fits a line. */
    for (size_t i = 0; i < body.len && i < 80 && i + 1 < sizeof(text); i++) {
        text[i] = body.data[i] >= 0x20 && body.data[i] < 0x7f ? body.data[i] : ' ';
        text[i + 1] = '\0';
    }
    return kt_fail(err, status_of_http(http_status), "HTTP status %d: %s", http_status,
                   text[0] ? text : "no text");
}

/* SPDX-License-Identifier: MIT */
/* Both directions of the wire. */
#include "replica/fetch.h"

#include "base/hash.h"
#include "base/mem.h"
#include "replica/wire.h"

#include <string.h>

#define FRAME_FIXED_BYTES (8 + 8 + 8 + 2) /* seq, epoch, wall_ms, key length */
#define HEAD_MAX_BYTES (1U << 20)

void kt_fetch_request_done(struct kt_fetch_request *request)
{
    kt_free(request->vector);
    request->vector = NULL;
    request->vector_count = 0;
}

/* The newest epochs only, when there are more than a request may have: two logs part near their
 * ends, and where they agree the vector is not looked at. */
static void write_vector(struct kt_jw *jw, const struct kt_epoch *vector, size_t count)
{
    if (count > KT_FETCH_VECTOR_MAX) {
        vector += count - KT_FETCH_VECTOR_MAX;
        count = KT_FETCH_VECTOR_MAX;
    }
    kt_wire_put_vector(jw, vector, count);
}

void kt_fetch_request_format(const struct kt_fetch_request *request, struct kt_buf *ret_json)
{
    struct kt_jw jw;
    kt_jw_init(&jw, ret_json);
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "cluster", request->cluster);
    kt_jw_kv_text(&jw, "node", request->node);
    kt_jw_kv_text(&jw, "leader", request->leader);
    kt_jw_kv_text(&jw, "session", request->session);
    kt_jw_kv_u64(&jw, "request", request->request);
    kt_jw_kv_u64(&jw, "took", request->took);
    kt_jw_kv_u64(&jw, "epoch", request->epoch);
    kt_jw_kv_u64(&jw, "after", request->after);
    kt_jw_key_text(&jw, "after_id");
    if (request->after == 0) {
        kt_jw_null(&jw);
    } else {
        kt_jw_object(&jw);
        kt_jw_kv_u64(&jw, "epoch", request->after_id.epoch);
        kt_jw_kv_text(&jw, "epoch_id", request->after_id.epoch_id);
        kt_jw_object_end(&jw);
    }
    write_vector(&jw, request->vector, request->vector_count);
    kt_jw_kv_u64(&jw, "commit", request->commit);
    kt_jw_kv_i64(&jw, "wait_ms", request->wait_ms);
    kt_jw_kv_i64(&jw, "max_bytes", request->max_bytes);
    if (request->now_wall_ms > 0) {
        kt_jw_kv_i64(&jw, "now_wall_ms", request->now_wall_ms);
    }
    kt_jw_object_end(&jw);
}

/* --- parsing a request --- */

static enum kt_status parse_after_id(struct kt_json_fields *fields,
                                     struct kt_fetch_request *request, struct kt_error *err)
{
    const struct kt_json_value *object = NULL;
    bool present = false;
    enum kt_status status = kt_json_get_object(fields, "after_id", &object, &present, err);
    if (status != KT_OK || request->after == 0) {
        return status;
    }
    if (!present) {
        return kt_fail_field(err, KT_BAD_VALUE, "after_id", "after_id is missing");
    }
    struct kt_json_fields inner;
    status = kt_json_fields_init(&inner, object, "after_id", err);
    if (status == KT_OK) {
        status = kt_wire_u64(&inner, "epoch", &request->after_id.epoch, err);
    }
    if (status == KT_OK) {
        status = kt_wire_id(&inner, "epoch_id", request->after_id.epoch_id, err);
    }
    return status;
}

static enum kt_status parse_fields(struct kt_json_fields *fields, struct kt_fetch_request *request,
                                   struct kt_error *err)
{
    enum kt_status status = kt_wire_id(fields, "cluster", request->cluster, err);
    if (status == KT_OK) {
        status = kt_wire_id(fields, "node", request->node, err);
    }
    if (status == KT_OK) {
        status = kt_wire_id(fields, "leader", request->leader, err);
    }
    if (status == KT_OK) {
        status = kt_wire_id(fields, "session", request->session, err);
    }
    struct {
        const char *name;
        uint64_t *value;
    } numbers[] = {{"request", &request->request},
                   {"took", &request->took},
                   {"epoch", &request->epoch},
                   {"after", &request->after},
                   {"commit", &request->commit}};
    for (size_t i = 0; i < KT_ARRAY_LEN(numbers) && status == KT_OK; i++) {
        status = kt_wire_u64(fields, numbers[i].name, numbers[i].value, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_int(fields, "wait_ms", 0, KT_FETCH_WAIT_MAX_MS, &request->wait_ms,
                                 NULL, err);
    }
    request->max_bytes = 1 << 20;
    if (status == KT_OK) {
        status = kt_json_get_int(fields, "max_bytes", 1, INT64_C(1) << 30, &request->max_bytes,
                                 NULL, err);
    }
    if (status == KT_OK) {
        status = parse_after_id(fields, request, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_int(fields, "now_wall_ms", 0, KT_WIRE_WHOLE_MAX, &request->now_wall_ms,
                                 NULL, err);
    }
    if (status == KT_OK) {
        status = kt_wire_vector(fields, KT_FETCH_VECTOR_MAX, &request->vector,
                                &request->vector_count, NULL, err);
    }
    return status == KT_OK ? kt_json_fields_finish(fields, err) : status;
}

enum kt_status kt_fetch_request_parse(struct kt_str json, struct kt_fetch_request *ret_request,
                                      struct kt_error *err)
{
    struct kt_json *doc = NULL;
    struct kt_fetch_request request;
    memset(&request, 0, sizeof(request));
    enum kt_status status = kt_json_parse(json, KT_JSON_DEPTH_DEFAULT, &doc, err);
    if (status != KT_OK) {
        return status;
    }
    struct kt_json_fields fields;
    status = kt_json_fields_init(&fields, kt_json_root(doc), "", err);
    if (status == KT_OK) {
        status = parse_fields(&fields, &request, err);
    }
    kt_json_free(&doc);
    if (status != KT_OK) {
        kt_fetch_request_done(&request);
        return status;
    }
    *ret_request = request;
    return KT_OK;
}

/* --- the answer --- */

void kt_fetch_head_done(struct kt_fetch_head *head)
{
    kt_free(head->vector);
    head->vector = NULL;
    head->vector_count = 0;
}

void kt_fetch_head_format(const struct kt_fetch_head *head, struct kt_buf *ret_bytes)
{
    size_t length_at = ret_bytes->len_bytes;
    kt_buf_put_u32(ret_bytes, 0);
    size_t start = ret_bytes->len_bytes;
    struct kt_jw jw;
    kt_jw_init(&jw, ret_bytes);
    kt_jw_object(&jw);
    kt_jw_kv_u64(&jw, "epoch", head->epoch);
    kt_jw_kv_u64(&jw, "request", head->request);
    kt_jw_kv_u64(&jw, "commit", head->commit);
    kt_jw_kv_i64(&jw, "now_wall_ms", head->now_wall_ms);
    kt_jw_kv_i64(&jw, "clock_wall_ms", head->clock_wall_ms);
    if (head->copy) {
        kt_jw_kv_bool(&jw, "copy", true);
    }
    if (head->differs) {
        kt_jw_kv_bool(&jw, "differs", true);
        kt_jw_kv_u64(&jw, "end", head->end_seq);
        write_vector(&jw, head->vector, head->vector_count);
    }
    kt_jw_object_end(&jw);
    kt_buf_set_u32(ret_bytes, length_at, (uint32_t)(ret_bytes->len_bytes - start));
}

void kt_fetch_frame_append(const struct kt_entry *entry, struct kt_buf *ret_bytes)
{
    size_t body_len = FRAME_FIXED_BYTES + entry->key.len + entry->body.len;
    KT_ASSERT(body_len <= UINT32_MAX && entry->key.len <= UINT16_MAX);
    kt_buf_put_u32(ret_bytes, (uint32_t)body_len);
    size_t crc_at = ret_bytes->len_bytes;
    kt_buf_put_u32(ret_bytes, 0);
    size_t start = ret_bytes->len_bytes;
    kt_buf_put_u64(ret_bytes, entry->seq);
    kt_buf_put_u64(ret_bytes, entry->epoch);
    kt_buf_put_u64(ret_bytes, (uint64_t)entry->wall_ms);
    kt_buf_put_u16(ret_bytes, (uint16_t)entry->key.len);
    kt_buf_append_str(ret_bytes, entry->key);
    kt_buf_append_str(ret_bytes, entry->body);
    if (kt_buf_status(ret_bytes) == KT_OK) {
        uint32_t crc = kt_crc32c(0, ret_bytes->data + start, ret_bytes->len_bytes - start);
        kt_buf_set_u32(ret_bytes, crc_at, crc);
    }
}

static enum kt_status parse_head_fields(const struct kt_json_value *root,
                                        struct kt_fetch_head *head, struct kt_error *err)
{
    struct kt_json_fields fields;
    enum kt_status status = kt_json_fields_init(&fields, root, "", err);
    if (status == KT_OK) {
        status = kt_wire_u64(&fields, "epoch", &head->epoch, err);
    }
    if (status == KT_OK) {
        status = kt_wire_u64(&fields, "request", &head->request, err);
    }
    if (status == KT_OK) {
        status = kt_wire_u64(&fields, "commit", &head->commit, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_int(&fields, "now_wall_ms", -KT_WIRE_WHOLE_MAX, KT_WIRE_WHOLE_MAX,
                                 &head->now_wall_ms, NULL, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_int(&fields, "clock_wall_ms", -KT_WIRE_WHOLE_MAX, KT_WIRE_WHOLE_MAX,
                                 &head->clock_wall_ms, NULL, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_bool(&fields, "differs", &head->differs, NULL, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_bool(&fields, "copy", &head->copy, NULL, err);
    }
    if (status == KT_OK && head->differs) {
        status = kt_wire_u64(&fields, "end", &head->end_seq, err);
    }
    if (status == KT_OK && head->differs) {
        status = kt_wire_vector(&fields, KT_FETCH_VECTOR_MAX, &head->vector, &head->vector_count,
                                NULL, err);
    }
    return status;
}

enum kt_status kt_fetch_head_parse(struct kt_str bytes, struct kt_fetch_head *ret_head,
                                   struct kt_str *ret_frames, struct kt_error *err)
{
    struct kt_rd rd;
    kt_rd_init(&rd, bytes.data, bytes.len);
    uint32_t len = kt_rd_u32(&rd);
    struct kt_str json = kt_rd_raw(&rd, len);
    if (rd.bad || len > HEAD_MAX_BYTES) {
        return kt_fail(err, KT_CORRUPT, "a fetch answer of %zu bytes is cut short", bytes.len);
    }
    struct kt_json *doc = NULL;
    struct kt_fetch_head head;
    memset(&head, 0, sizeof(head));
    enum kt_status status = kt_json_parse(json, KT_JSON_DEPTH_DEFAULT, &doc, err);
    if (status == KT_OK) {
        status = parse_head_fields(kt_json_root(doc), &head, err);
        kt_json_free(&doc);
    }
    if (status != KT_OK) {
        kt_fetch_head_done(&head);
        if (err && status != KT_NO_MEMORY) {
            err->status = KT_CORRUPT;
        }
        kt_wrap(err, "the head of a fetch answer");
        return status == KT_NO_MEMORY ? status : KT_CORRUPT;
    }
    *ret_head = head;
    *ret_frames = kt_str_n((const char *)rd.pos, kt_rd_left(&rd));
    return KT_OK;
}

bool kt_fetch_frame_skip(struct kt_str *frames)
{
    struct kt_rd rd;
    kt_rd_init(&rd, frames->data, frames->len);
    uint32_t len = kt_rd_u32(&rd);
    (void)kt_rd_u32(&rd); /* the checksum */
    (void)kt_rd_raw(&rd, len);
    if (rd.bad) {
        return false;
    }
    *frames = kt_str_n((const char *)rd.pos, kt_rd_left(&rd));
    return true;
}

enum kt_status kt_fetch_frame_next(struct kt_str *frames, struct kt_entry *ret_entry,
                                   bool *ret_more, struct kt_error *err)
{
    if (frames->len == 0) {
        *ret_more = false;
        return KT_OK;
    }
    struct kt_rd rd;
    kt_rd_init(&rd, frames->data, frames->len);
    uint32_t len = kt_rd_u32(&rd);
    uint32_t crc = kt_rd_u32(&rd);
    struct kt_str frame = kt_rd_raw(&rd, len);
    if (rd.bad || len < FRAME_FIXED_BYTES) {
        return kt_fail(err, KT_CORRUPT, "a frame of the log is cut short");
    }
    if (kt_crc32c(0, frame.data, frame.len) != crc) {
        return kt_fail(err, KT_CORRUPT, "a frame of the log has a wrong checksum");
    }
    struct kt_rd in;
    struct kt_entry entry;
    kt_rd_init(&in, frame.data, frame.len);
    entry.seq = kt_rd_u64(&in);
    entry.epoch = kt_rd_u64(&in);
    entry.wall_ms = (int64_t)kt_rd_u64(&in);
    uint16_t key_len = kt_rd_u16(&in);
    entry.key = kt_rd_raw(&in, key_len);
    entry.body = kt_rd_raw(&in, kt_rd_left(&in));
    if (in.bad) {
        return kt_fail(err, KT_CORRUPT, "a frame of the log has a wrong key length");
    }
    *ret_entry = entry;
    *ret_more = true;
    *frames = kt_str_n((const char *)rd.pos, kt_rd_left(&rd));
    return KT_OK;
}

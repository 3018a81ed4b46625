/* SPDX-License-Identifier: MIT */
#include "replica/copy.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "replica/wire.h"
#include "store/copy.h"

#include <string.h>

#define TELL_EVERY_MS 5000

/* --- the head --- */

void kt_copy_head_format(const struct kt_copy_head *head, struct kt_buf *ret_bytes)
{
    size_t length_at = ret_bytes->len_bytes;
    struct kt_jw jw;
    kt_buf_put_u32(ret_bytes, 0);
    size_t start = ret_bytes->len_bytes;
    kt_jw_init(&jw, ret_bytes);
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "cluster", head->cluster);
    kt_jw_kv_u64(&jw, "epoch", head->epoch);
    kt_jw_kv_u64(&jw, "request", head->request);
    kt_jw_kv_u64(&jw, "applied_seq", head->applied_seq);
    kt_jw_kv_u64(&jw, "commit", head->commit);
    kt_jw_kv_u64(&jw, "bytes", head->bytes);
    kt_jw_kv_u64(&jw, "schema", head->schema);
    kt_wire_put_vector(&jw, head->vector, head->vector_count);
    kt_jw_object_end(&jw);
    kt_buf_set_u32(ret_bytes, length_at, (uint32_t)(ret_bytes->len_bytes - start));
}

static enum kt_status parse_vector(struct kt_json_fields *fields, struct kt_copy_head *head,
                                   struct kt_epoch **ret_vector, struct kt_error *err)
{
    bool present = false;
    enum kt_status status =
        kt_wire_vector(fields, KT_COPY_VECTOR_MAX, ret_vector, &head->vector_count, &present, err);
    if (status == KT_OK && !present) {
        status = kt_fail_field(err, KT_BAD_VALUE, "vector", "vector must have at most %d epochs",
                               KT_COPY_VECTOR_MAX);
    }
    head->vector = *ret_vector;
    return status;
}

static enum kt_status parse_fields(struct kt_json_fields *fields, struct kt_copy_head *head,
                                   struct kt_epoch **ret_vector, struct kt_error *err)
{
    struct {
        const char *name;
        uint64_t *value;
    } numbers[] = {
        {"epoch", &head->epoch},   {"request", &head->request}, {"applied_seq", &head->applied_seq},
        {"commit", &head->commit}, {"bytes", &head->bytes},     {"schema", &head->schema}};
    enum kt_status status = kt_wire_id(fields, "cluster", head->cluster, err);
    for (size_t i = 0; i < KT_ARRAY_LEN(numbers) && status == KT_OK; i++) {
        status = kt_wire_u64(fields, numbers[i].name, numbers[i].value, err);
    }
    /* Fields that a later giver adds are passed over. */
    return status == KT_OK ? parse_vector(fields, head, ret_vector, err) : status;
}

enum kt_status kt_copy_head_parse(struct kt_str json, struct kt_copy_head *ret_head,
                                  struct kt_epoch **ret_vector, struct kt_error *err)
{
    struct kt_json *doc = NULL;
    struct kt_json_fields fields;
    struct kt_copy_head head = {.epoch = 0};
    struct kt_epoch *vector = NULL;
    enum kt_status status = kt_json_parse(json, KT_JSON_DEPTH_DEFAULT, &doc, err);
    if (status == KT_OK) {
        status = kt_json_fields_init(&fields, kt_json_root(doc), "", err);
    }
    if (status == KT_OK) {
        status = parse_fields(&fields, &head, &vector, err);
    }
    kt_json_free(&doc);
    if (status == KT_OK) {
        *ret_head = head;
        *ret_vector = vector;
        return KT_OK;
    }
    status = status == KT_NO_MEMORY ? status : KT_CORRUPT;
    if (err) {
        err->status = status;
    }
    kt_wrap(err, "the head of a full copy");
    return status;
}

/* --- giving --- */

struct giver {
    struct kt_copy_out *out;
    struct kt_buf head; /* until it is sent */
    uint64_t left;
    uint32_t crc;
    bool ready, ended;
    uint64_t request; /* names it in the log, of both nodes */
    int64_t begin_ms;
};

static void giver_done(void *ctx)
{
    struct giver *giver = ctx;
    long long took_ms = (long long)(kt_now_mono_ms() - giver->begin_ms);
    if (giver->out && giver->ended) {
        kt_log(INFO, "replica", "copy_given", "request=%llu ms=%lld",
               (unsigned long long)giver->request, took_ms);
    } else if (giver->out) {
        kt_log(INFO, "replica", "copy_broken_off", "request=%llu left=%llu ms=%lld",
               (unsigned long long)giver->request, (unsigned long long)giver->left, took_ms);
    }
    kt_store_copy_out_close(&giver->out);
    kt_buf_done(&giver->head);
    kt_free(giver);
}

static enum kt_status give_piece(struct giver *giver, struct kt_buf *chunk, struct kt_error *err)
{
    size_t want = giver->left < KT_COPY_PIECE_BYTES ? (size_t)giver->left : KT_COPY_PIECE_BYTES;
    size_t got = 0;
    kt_buf_put_u32(chunk, (uint32_t)want);
    if (!kt_buf_reserve(chunk, want)) {
        return KT_OK; /* the buffer says so */
    }
    char *dest = chunk->data + chunk->len_bytes;
    enum kt_status status = kt_store_copy_out_read(giver->out, dest, want, &got, err);
    if (status == KT_OK && got != want) {
        status = kt_fail(err, KT_IO, "the copy ended before its size");
    }
    if (status == KT_OK) {
        giver->crc = kt_crc32c(giver->crc, dest, want);
        giver->left -= want;
        kt_buf_advance(chunk, want);
    }
    return status;
}

static enum kt_status giver_next(void *ctx, struct kt_buf *chunk, struct kt_error *err)
{
    struct giver *giver = ctx;
    if (giver->head.len_bytes > 0) {
        kt_buf_append_str(chunk, kt_buf_str(&giver->head));
        kt_buf_done(&giver->head);
        return KT_OK;
    }
    if (!giver->ready) {
        kt_buf_put_u32(chunk, 0);
        return kt_store_copy_out_make(giver->out, &giver->ready, err);
    }
    if (giver->left > 0) {
        return give_piece(giver, chunk, err);
    }
    if (!giver->ended) {
        giver->ended = true;
        kt_buf_put_u32(chunk, giver->crc);
    }
    return KT_OK;
}

enum kt_status kt_copy_give(struct kt_store *store, const struct kt_copy_head *head,
                            struct kt_http_response *response, struct kt_error *err)
{
    struct giver *giver = kt_calloc(1, sizeof(*giver));
    if (!giver) {
        return kt_fail(err, KT_NO_MEMORY, "no memory to give a copy");
    }
    kt_buf_init(&giver->head, KT_COPY_HEAD_MAX);
    enum kt_status status = kt_store_copy_out_open(store, &giver->out, err);
    if (status == KT_OK) {
        struct kt_copy_head full = *head;
        full.applied_seq = kt_store_copy_out_applied(giver->out);
        full.commit = head->commit > full.applied_seq ? head->commit : full.applied_seq;
        full.bytes = giver->left = kt_store_copy_out_size(giver->out);
        full.schema = (uint64_t)kt_store_copy_schema();
        full.vector = kt_store_copy_out_epochs(giver->out, &full.vector_count);
        kt_copy_head_format(&full, &giver->head);
        if (kt_buf_status(&giver->head) != KT_OK) {
            status = kt_fail(err, kt_buf_status(&giver->head), "no room for the head of a copy");
        }
    }
    if (status != KT_OK) {
        kt_store_copy_out_close(&giver->out); /* nothing was given */
        giver_done(giver);
        return status;
    }
    giver->crc = kt_crc32c(0, giver->head.data + 4, giver->head.len_bytes - 4);
    giver->request = head->request;
    giver->begin_ms = kt_now_mono_ms();
    kt_log(INFO, "replica", "giving_copy", "request=%llu revision=%llu bytes=%llu",
           (unsigned long long)head->request,
           (unsigned long long)kt_store_copy_out_applied(giver->out),
           (unsigned long long)giver->left);
    response->content_type = "application/octet-stream";
    response->stream_next = giver_next;
    response->stream_done = giver_done;
    response->stream_ctx = giver;
    return KT_OK;
}

/* --- taking --- */

enum awaited { HEAD_LENGTH, HEAD, PIECE_LENGTH, PIECE, CHECKSUM, END };

struct kt_copy_taker {
    struct kt_store *store;
    struct kt_copy_in *in; /* from the head on */
    enum awaited awaited;
    struct kt_buf part; /* of a length, the head or the checksum */
    size_t part_len;    /* that it must have */
    size_t piece_left;
    uint64_t got; /* bytes of the file */
    uint32_t crc;
    struct kt_copy_head head;
    struct kt_epoch *vector;
    bool checked;
    int64_t tell_ms;
    struct kt_error failed; /* KT_OK = nothing */
};

static void await(struct kt_copy_taker *taker, enum awaited what, size_t part_len)
{
    taker->awaited = what;
    taker->part_len = part_len;
    kt_buf_clear(&taker->part);
}

enum kt_status kt_copy_taker_new(struct kt_store *store, struct kt_copy_taker **ret_taker,
                                 struct kt_error *err)
{
    struct kt_copy_taker *taker = kt_calloc(1, sizeof(*taker));
    if (!taker) {
        return kt_fail(err, KT_NO_MEMORY, "no memory to take a copy");
    }
    taker->store = store;
    taker->failed = (struct kt_error)KT_ERROR_INIT;
    kt_buf_init(&taker->part, KT_COPY_HEAD_MAX);
    await(taker, HEAD_LENGTH, 4);
    *ret_taker = taker;
    return KT_OK;
}

static uint32_t part_u32(const struct kt_copy_taker *taker)
{
    struct kt_rd rd;
    kt_rd_init(&rd, taker->part.data, taker->part.len_bytes);
    return kt_rd_u32(&rd);
}

static void await_more(struct kt_copy_taker *taker)
{
    await(taker, taker->got < taker->head.bytes ? PIECE_LENGTH : CHECKSUM, 4);
}

static enum kt_status take_head(struct kt_copy_taker *taker, struct kt_error *err)
{
    struct kt_store_identity id;
    enum kt_status status =
        kt_copy_head_parse(kt_buf_str(&taker->part), &taker->head, &taker->vector, err);
    if (status != KT_OK) {
        return status;
    }
    taker->crc = kt_crc32c(0, taker->part.data, taker->part.len_bytes);
    kt_store_identity(taker->store, &id);
    if (strcmp(id.cluster_id, taker->head.cluster) != 0) {
        return kt_fail(err, KT_CORRUPT, "the copy is of cluster %s, this node of %s",
                       taker->head.cluster, id.cluster_id[0] ? id.cluster_id : "(none)");
    }
    taker->tell_ms = kt_now_mono_ms() + TELL_EVERY_MS;
    status = kt_store_copy_in_begin(taker->store, taker->head.bytes, (int64_t)taker->head.schema,
                                    &taker->in, err);
    await_more(taker);
    return status;
}

static enum kt_status take_part(struct kt_copy_taker *taker, struct kt_error *err)
{
    uint32_t number = taker->awaited == HEAD ? 0 : part_u32(taker);
    switch (taker->awaited) {
    case HEAD_LENGTH:
        if (number == 0 || number > KT_COPY_HEAD_MAX) {
            return kt_fail(err, KT_CORRUPT, "a copy whose head has %u bytes", number);
        }
        await(taker, HEAD, number);
        return KT_OK;
    case HEAD:
        return take_head(taker, err);
    case PIECE_LENGTH:
        if (number > KT_COPY_PIECE_BYTES || number > taker->head.bytes - taker->got) {
            return kt_fail(err, KT_CORRUPT, "a piece of a copy has %u bytes", number);
        }
        taker->piece_left = number;
        await(taker, number > 0 ? PIECE : PIECE_LENGTH, 4);
        return KT_OK;
    default:
        if (number != taker->crc) {
            return kt_fail(err, KT_CORRUPT, "the copy has a wrong checksum");
        }
        await(taker, END, 0);
        return KT_OK;
    }
}

static void tell_progress(struct kt_copy_taker *taker)
{
    int64_t now_ms = kt_now_mono_ms();
    if (now_ms >= taker->tell_ms) {
        taker->tell_ms = now_ms + TELL_EVERY_MS;
        kt_log(INFO, "replica", "copying", "bytes=%llu total=%llu percent=%d",
               (unsigned long long)taker->got, (unsigned long long)taker->head.bytes,
               (int)(100.0 * (double)taker->got / (double)taker->head.bytes));
    }
}

static enum kt_status take_bytes(struct kt_copy_taker *taker, struct kt_str *data,
                                 struct kt_error *err)
{
    size_t len = data->len < taker->piece_left ? data->len : taker->piece_left;
    enum kt_status status = kt_store_copy_in_write(taker->in, data->data, len, err);
    taker->crc = kt_crc32c(taker->crc, data->data, len);
    taker->got += len;
    taker->piece_left -= len;
    data->data += len;
    data->len -= len;
    if (taker->piece_left == 0) {
        await_more(taker);
    }
    tell_progress(taker);
    return status;
}

static enum kt_status take(struct kt_copy_taker *taker, struct kt_str data, struct kt_error *err)
{
    enum kt_status status = KT_OK;
    while (data.len > 0 && status == KT_OK) {
        if (taker->awaited == END) {
            return kt_fail(err, KT_CORRUPT, "there is something behind the end of a copy");
        }
        if (taker->awaited == PIECE) {
            status = take_bytes(taker, &data, err);
            continue;
        }
        size_t missing = taker->part_len - taker->part.len_bytes;
        size_t len = data.len < missing ? data.len : missing;
        kt_buf_append(&taker->part, data.data, len);
        data.data += len;
        data.len -= len;
        if (kt_buf_status(&taker->part) != KT_OK) {
            return kt_fail(err, kt_buf_status(&taker->part), "no memory for the head of a copy");
        }
        if (len == missing) {
            status = take_part(taker, err);
        }
    }
    return status;
}

/* The first failure is the reason, whatever comes after it. */
static enum kt_status stick(struct kt_copy_taker *taker, enum kt_status status,
                            struct kt_error *err)
{
    if (status != KT_OK) {
        kt_store_copy_in_abort(&taker->in);
    }
    taker->failed.status = status;
    if (err) {
        *err = taker->failed;
    }
    return status;
}

enum kt_status kt_copy_taker_put(struct kt_copy_taker *taker, struct kt_str data,
                                 struct kt_error *err)
{
    enum kt_status status = taker->failed.status;
    if (status == KT_OK) {
        status = take(taker, data, &taker->failed);
    }
    return status == KT_OK ? KT_OK : stick(taker, status, err);
}

enum kt_status kt_copy_taker_check(struct kt_copy_taker *taker, struct kt_error *err)
{
    const struct kt_copy_head *head = &taker->head;
    enum kt_status status = taker->failed.status;
    if (status == KT_OK && taker->awaited != END) {
        status =
            kt_fail(&taker->failed, KT_CORRUPT, "the copy was cut short after %llu of %llu bytes",
                    (unsigned long long)taker->got, (unsigned long long)head->bytes);
    }
    if (status == KT_OK) {
        status = kt_store_copy_in_check(taker->in, head->vector, head->vector_count,
                                        head->applied_seq, head->commit, &taker->failed);
    }
    taker->checked = status == KT_OK;
    return status == KT_OK ? KT_OK : stick(taker, status, err);
}

const struct kt_copy_head *kt_copy_taker_head(const struct kt_copy_taker *taker)
{
    KT_ASSERT(taker->checked);
    return &taker->head;
}

enum kt_status kt_copy_taker_finish(struct kt_copy_taker *taker, struct kt_error *err)
{
    KT_ASSERT(taker->checked);
    return kt_store_copy_in_finish(&taker->in, err);
}

void kt_copy_taker_free(struct kt_copy_taker **taker)
{
    struct kt_copy_taker *t = *taker;
    if (!t) {
        return;
    }
    kt_store_copy_in_abort(&t->in);
    kt_buf_done(&t->part);
    kt_free(t->vector);
    kt_free(t);
    *taker = NULL;
}

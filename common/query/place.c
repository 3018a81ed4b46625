/* SPDX-License-Identifier: MIT */
/* place.c - where a page of a snapshot ends and the next one begins: the cursor's payload.
 *
 * A place is a key, not a count: (sort value, subject) of the last row shown. The next page takes
 * what stands behind it, so that rows which did not change come exactly once, however many came and
 * went before them. For that to hold on another node too, it must know at least what page one knew:
 * the place also says page one's revision, and a node that is behind waits. It says page one's
 * resolved field and moment as well, since the default field and who is in a topic may change.
 *
 *   payload = digest of the question 16 | revision varint | now u8 (0 none, 1), svarint |
 *             field | value u8 (0 none, 1 f64, 2 text) | subject        (texts: length varint)
 *
 * Equal questions at one revision get equal cursors, whenever they are asked: a moment is only in
 * it when the question depends on now, and a topic's is moved back to the last change of who is in.
 */
#include "query/cursor.h"
#include "query/query_impl.h"

#include <string.h>

#define PURPOSE "snapshot"
enum { DIGEST_BYTES = 16 };

enum kt_status query_parse_cursor(struct kt_json_fields *fields, struct question *q,
                                  struct kt_error *err)
{
    bool present = false;
    enum kt_status status = kt_json_get_string(fields, "cursor", &q->cursor, &present, err);
    if (status != KT_OK || !present) {
        return status;
    }
    if (q->offset_given) {
        return kt_fail_field(err, KT_BAD_VALUE, "cursor", "cursor can't be given with offset");
    }
    return q->cursor.len ? KT_OK : query_cursor_fail(err);
}

static void put_list(struct kt_buf *buf, const struct kt_str *items, size_t count)
{
    kt_buf_put_varint(buf, count);
    for (size_t i = 0; i < count; i++) {
        kt_buf_put_bytes(buf, items[i]);
    }
}

/* Over all that says which rows there are and in which order; not over limit, which may change. */
static enum kt_status digest_question(const struct question *q, unsigned char ret_digest[32],
                                      struct kt_error *err)
{
    struct kt_buf buf;
    kt_buf_init(&buf, 0);
    put_list(&buf, q->ids, q->id_count);
    put_list(&buf, q->subjects, q->subject_count);
    put_list(&buf, q->periods, q->period_count);
    kt_buf_put_bytes(&buf, q->topic);
    kt_buf_put_bytes(&buf, q->field);
    kt_buf_put_bytes(&buf, q->tag);
    kt_buf_put_bytes(&buf, q->keyword);
    kt_buf_append_byte(&buf, (char)(q->ascending | q->timestamp_given << 1 | q->fill << 2));
    kt_buf_put_svarint(&buf, q->to_s);
    kt_buf_put_svarint(&buf, q->max_age_s);
    kt_buf_put_svarint(&buf, q->as_of_s);
    kt_buf_put_varint(&buf, q->recorded);
    kt_buf_put_varint(&buf, q->recorded_revision);
    kt_buf_put_svarint(&buf, q->recorded_wall_ms);
    enum kt_status status = kt_buf_status(&buf);
    if (status == KT_OK) {
        kt_sha256(buf.data, buf.len_bytes, ret_digest);
    } else {
        status = kt_fail(err, status, "no memory for the cursor");
    }
    kt_buf_done(&buf);
    return status;
}

static bool decode(struct kt_rd *rd, struct place *place)
{
    place->revision = kt_rd_varint(rd);
    place->depends_on_now = kt_rd_u8(rd) != 0;
    place->now_s = kt_rd_svarint(rd);
    place->field = kt_rd_bytes(rd);
    place->kind = (enum place_value)kt_rd_u8(rd);
    if (place->kind == PLACE_NUMBER) {
        place->number = kt_rd_f64(rd);
    } else if (place->kind == PLACE_TEXT) {
        place->text = kt_rd_bytes(rd);
    }
    place->subject = kt_rd_bytes(rd);
    return !rd->bad && kt_rd_left(rd) == 0;
}

enum kt_status query_bind_place(struct plan *plan, struct kt_error *err)
{
    struct kt_rd rd;
    struct kt_str payload;
    unsigned char digest[32];
    if (!plan->q.cursor.len) {
        return KT_OK;
    }
    enum kt_status status =
        query_cursor_open(plan->env->store, PURPOSE, plan->q.cursor, plan->arena, &payload, err);
    if (status == KT_OK) {
        status = digest_question(&plan->q, digest, err);
    }
    if (status != KT_OK) {
        return status;
    }
    struct place *place = kt_arena_zalloc(plan->arena, 1, sizeof(*place));
    if (!place) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for the cursor");
    }
    kt_rd_init(&rd, payload.data, payload.len);
    struct kt_str given = kt_rd_raw(&rd, DIGEST_BYTES);
    if (!decode(&rd, place)) {
        return query_cursor_fail(err);
    }
    if (memcmp(given.data, digest, DIGEST_BYTES) != 0) {
        return kt_fail_field(err, KT_BAD_VALUE, "cursor",
                             "cursor is of another question: only limit may change between pages");
    }
    plan->after = place;
    plan->now_s = place->depends_on_now ? place->now_s : plan->now_s;
    return KT_OK;
}

enum kt_status query_hold_place(struct plan *plan, struct kt_error *err)
{
    const struct kt_query_env *env = plan->env;
    uint64_t revision = plan->after ? plan->after->revision : 0;
    if (kt_catalogue_revision(plan->view) >= revision) {
        return KT_OK;
    }
    enum kt_status status = env->hold
                                ? env->hold(env->hold_ctx, revision, 0, env->deadline_mono_ms, err)
                                : KT_BAD_VALUE;
    if (status == KT_OK) {
        kt_catalogue_unref(&plan->view);
        plan->view = kt_store_view(env->store);
        status = kt_catalogue_revision(plan->view) >= revision ? KT_OK : KT_UNAVAILABLE;
    }
    if (status == KT_BAD_VALUE) { /* signed, so it was there: accepted losses took it away */
        return kt_fail_field(err, KT_GONE, "cursor",
                             "cursor is of revision %llu, which the cluster has lost: begin at "
                             "page one",
                             (unsigned long long)revision);
    }
    if (status == KT_UNAVAILABLE) {
        return kt_fail_field(err, status, "cursor",
                             "cursor is of revision %llu, which this node does not hold yet",
                             (unsigned long long)revision);
    }
    return status;
}

/* The last moment up to now_s at which somebody came into the topic or had left it. */
static int64_t last_change_of_topic(const struct plan *plan)
{
    const struct kt_topic *topic = kt_catalogue_find_topic(plan->view, plan->q.topic);
    int64_t last_s = KT_TIME_MIN;
    for (size_t i = 0; topic && i < topic->member_count; i++) {
        const struct kt_subject *subject = kt_catalogue_subject(plan->view, topic->members[i]);
        for (size_t j = 0; subject && j < subject->stay_count; j++) {
            const struct kt_stay *stay = &subject->stays[j];
            int64_t left_s = stay->to_s < plan->now_s ? stay->to_s + 1 : KT_TIME_MIN;
            int64_t came_s = stay->from_s <= plan->now_s ? stay->from_s : KT_TIME_MIN;
            int64_t change_s = left_s > came_s ? left_s : came_s;
            if (stay->topic == topic->number && change_s > last_s) {
                last_s = change_s;
            }
        }
    }
    return last_s;
}

/* What the cursors of a question say of page one. */
static void begin_place(const struct plan *plan, struct place *place)
{
    const struct question *q = &plan->q;
    bool by_topic = q->topic.len && !kt_str_eq_text(q->topic, "*");
    if (plan->after) {
        place->revision = plan->after->revision;
        place->depends_on_now = plan->after->depends_on_now;
        place->now_s = plan->after->now_s;
        return;
    }
    place->revision = kt_catalogue_revision(plan->view);
    place->depends_on_now = !q->timestamp_given && (by_topic || q->max_age_s >= 0);
    if (place->depends_on_now) {
        place->now_s = q->max_age_s >= 0 ? plan->now_s : last_change_of_topic(plan);
    }
}

static struct kt_str resolved_field(const struct plan *plan)
{
    switch (plan->sort) {
    case SORT_REPORT_DATE:
        return KT_STR("report_date");
    case SORT_NAME:
        return KT_STR("name");
    case SORT_INDICATOR:
        return kt_catalogue_indicator(plan->view, plan->sort_indicator);
    case SORT_SUBJECT:
        break;
    }
    return KT_STR("subject");
}

enum kt_status query_write_next(struct plan *plan, struct place *last, struct kt_jw *jw,
                                struct kt_error *err)
{
    struct kt_str text;
    unsigned char digest[32];
    struct kt_buf *payload = &plan->scratch;
    begin_place(plan, last);
    last->field = resolved_field(plan);
    enum kt_status status = digest_question(&plan->q, digest, err);
    if (status != KT_OK) {
        return status;
    }
    kt_buf_clear(payload);
    kt_buf_append(payload, digest, DIGEST_BYTES);
    kt_buf_put_varint(payload, last->revision);
    kt_buf_append_byte(payload, last->depends_on_now);
    kt_buf_put_svarint(payload, last->now_s);
    kt_buf_put_bytes(payload, last->field);
    kt_buf_append_byte(payload, (char)last->kind);
    if (last->kind == PLACE_NUMBER) {
        kt_buf_put_f64(payload, last->number);
    } else if (last->kind == PLACE_TEXT) {
        kt_buf_put_bytes(payload, last->text);
    }
    kt_buf_put_bytes(payload, last->subject);
    if (kt_buf_status(payload) != KT_OK) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for the cursor");
    }
    status =
        query_cursor_seal(plan->env->store, PURPOSE, kt_buf_str(payload), plan->arena, &text, err);
    if (status == KT_OK) {
        kt_jw_kv_str(jw, "next_cursor", text);
    }
    return status;
}

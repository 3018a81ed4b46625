/* SPDX-License-Identifier: MIT */
/* What an entry touches is collected while it is applied, as the JSON that is stored and sent. */
#include "store/touched.h"

#include "base/mem.h"
#include "store/apply_internal.h"
#include "json/write.h"

#include <string.h>

const char *const store_touched_sql =
    "SELECT seq,subjects,topics FROM touched WHERE seq>? AND seq<=? ORDER BY seq";

/* --- in apply --- */

void touched_init(struct touched *touched)
{
    kt_buf_init(&touched->subjects, 0);
    kt_buf_init(&touched->topics, 0);
    touched->entry = 1;
}

void touched_done(struct touched *touched)
{
    kt_buf_done(&touched->subjects);
    kt_buf_done(&touched->topics);
    kt_free(touched->marks);
}

void touched_clear(struct touched *touched)
{
    kt_buf_clear(&touched->subjects);
    kt_buf_clear(&touched->topics);
    touched->subject_count = touched->topic_count = 0;
    touched->all_subjects = touched->all_topics = false;
    touched->entry++;
}

static void add_name(struct kt_buf *list, size_t *count, bool *all, struct kt_str name)
{
    struct kt_jw jw;
    if (*all) {
        return;
    }
    kt_buf_append_byte(list, *count == 0 ? '[' : ',');
    kt_jw_init(&jw, list);
    kt_jw_str(&jw, name);
    (*count)++;
    *all = *count > KT_TOUCHED_NAMES_MAX || list->len_bytes >= KT_TOUCHED_BYTES_MAX;
}

enum kt_status touched_topic(struct applier *a, uint32_t topic, struct kt_error *err)
{
    struct touched *t = &a->touched;
    size_t before = t->mark_cap;
    if (!apply_grow(&t->marks, &t->mark_cap, topic, sizeof(*t->marks))) {
        return apply_no_memory(err);
    }
    memset(t->marks + before, 0, (t->mark_cap - before) * sizeof(*t->marks));
    if (t->marks[topic] != t->entry) {
        t->marks[topic] = t->entry;
        add_name(&t->topics, &t->topic_count, &t->all_topics,
                 catalogue_topic(a->edit, topic)->pub.key);
    }
    return KT_OK;
}

enum kt_status touched_subject(struct applier *a, uint32_t subject, struct kt_error *err)
{
    struct touched *t = &a->touched;
    const struct kt_subject *named = kt_catalogue_subject(a->edit, subject);
    enum kt_status status = KT_OK;
    add_name(&t->subjects, &t->subject_count, &t->all_subjects, named->key);
    for (size_t i = 0; i < named->stay_count && status == KT_OK; i++) {
        /* Stays are sorted by topic. */
        if (i == 0 || named->stays[i].topic != named->stays[i - 1].topic) {
            status = touched_topic(a, named->stays[i].topic, err);
        }
    }
    return status;
}

static void finish(struct kt_buf *list, size_t count, bool all)
{
    if (all) {
        kt_buf_clear(list);
        kt_buf_append_text(list, "\"*\"");
    } else {
        kt_buf_append_text(list, count == 0 ? "[]" : "]");
    }
}

enum kt_status touched_write(struct applier *a, uint64_t seq, struct kt_error *err)
{
    struct touched *t = &a->touched;
    finish(&t->subjects, t->subject_count, t->all_subjects);
    finish(&t->topics, t->topic_count, t->all_topics);
    enum kt_status status = KT_OK;
    if (kt_buf_status(&t->subjects) != KT_OK || kt_buf_status(&t->topics) != KT_OK) {
        status = apply_no_memory(err);
    } else {
        struct sqlite3_stmt *stmt = a->store->data_stmts[DATA_INSERT_TOUCHED];
        db_bind_u64(stmt, 1, seq);
        db_bind_text(stmt, 2, kt_buf_str(&t->subjects));
        db_bind_text(stmt, 3, kt_buf_str(&t->topics));
        status = db_run(stmt, err);
    }
    touched_clear(t);
    return status;
}

/* --- reading --- */

/* The end of a JSON string that begins at `at`, or NULL. */
static const char *skip_string(const char *at, const char *end)
{
    if (at == end || *at != '"') {
        return NULL;
    }
    for (at++; at < end && *at != '"'; at++) {
        if ((unsigned char)*at < 0x20) {
            return NULL;
        }
        at += *at == '\\' && at + 1 < end;
    }
    return at < end ? at + 1 : NULL;
}

/* An array of strings, or "*"; without any white space, as it was written. */
static bool is_list(struct kt_str text)
{
    const char *at = text.data, *end = text.data + text.len;
    if (!kt_utf8_valid(text) || text.len < 2) {
        return false;
    }
    if (kt_str_eq_text(text, "\"*\"") || kt_str_eq_text(text, "[]")) {
        return true;
    }
    do {
        if (*at != (at == text.data ? '[' : ',')) {
            return false;
        }
        at = skip_string(at + 1, end);
    } while (at && at < end && *at != ']');
    return at && at + 1 == end;
}

static enum kt_status read_rows(struct kt_store *store, struct sqlite3_stmt *stmt, uint64_t after,
                                uint64_t until, kt_touched_fn take, void *ctx, struct kt_error *err)
{
    uint64_t next = after + 1;
    bool go_on = true;
    enum kt_status status = KT_OK;
    db_bind_u64(stmt, 1, after);
    db_bind_u64(stmt, 2, until);
    while (go_on && (status = db_step(stmt, err)) == KT_OK) {
        struct kt_str subjects = db_text(stmt, 1), topics = db_text(stmt, 2);
        status = db_check_columns(stmt, err);
        if (status == KT_OK && db_u64(stmt, 0) != next) {
            status = kt_fail(err, KT_GONE, "what revision %llu touched is no longer known",
                             (unsigned long long)next);
        }
        if (status == KT_OK && (!is_list(subjects) || !is_list(topics))) {
            status = kt_fail(err, KT_CORRUPT, "%s: what revision %llu touched is damaged",
                             store->path, (unsigned long long)next);
        }
        if (status != KT_OK) {
            break;
        }
        go_on = take(ctx, next++, subjects, topics);
    }
    db_reset(stmt);
    if (status == KT_NOT_FOUND) {
        status = next > until
                     ? KT_OK
                     : kt_fail(err, KT_GONE, "what revision %llu touched is no longer known",
                               (unsigned long long)next);
    }
    return status;
}

enum kt_status kt_store_touched(struct kt_store *store, uint64_t after, uint64_t until,
                                kt_touched_fn take, void *ctx, struct kt_error *err)
{
    if (after >= until) {
        return KT_OK;
    }
    kt_mutex_lock(&store->state_mutex);
    uint64_t first = store->log_first_seq;
    kt_mutex_unlock(&store->state_mutex);
    if (after + 1 < first) {
        return kt_fail(err, KT_GONE, "the log begins at revision %llu", (unsigned long long)first);
    }
    struct reader *reader = NULL;
    enum kt_status status = data_take(store, &reader, err);
    if (status == KT_OK) {
        status = read_rows(store, reader->stmts[READER_TOUCHED], after, until, take, ctx, err);
        pool_give(&store->data_readers, reader);
    }
    return status;
}

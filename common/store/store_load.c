/* SPDX-License-Identifier: MIT */
/* From the data file into memory: the catalogue at open, a subject's series at each miss. */
#include "store/store_internal.h"

#include "base/mem.h"

#include <string.h>

static enum kt_status no_memory(struct kt_error *err)
{
    return kt_fail(err, KT_NO_MEMORY, "no memory for the catalogue");
}

/* Calls take() for each row of a query. */
typedef enum kt_status (*row_fn)(void *ctx, struct sqlite3_stmt *stmt, struct kt_error *err);
static enum kt_status each_row(struct sqlite3 *db, const char *sql, row_fn take, void *ctx,
                               struct kt_error *err)
{
    struct sqlite3_stmt *stmt = NULL;
    enum kt_status status = db_prepare(db, sql, &stmt, err);
    while (status == KT_OK && (status = db_step(stmt, err)) == KT_OK) {
        status = take(ctx, stmt, err);
        if (status == KT_OK) {
            status = db_check_columns(stmt, err);
        }
    }
    db_finalize(&stmt);
    return status == KT_NOT_FOUND ? KT_OK : status;
}

struct loading {
    struct kt_store *store;
    struct kt_catalogue *view;
    struct kt_str *keys; /* indicators */
    size_t key_count, key_cap;
    struct kt_buf key_bytes;
    struct member_change *members;
    size_t member_count, member_cap;
    /* Stays and tags of the subject at hand. */
    struct kt_stay *stays;
    size_t stay_count, stay_cap;
    struct kt_tag *tags;
    size_t tag_count, tag_cap;
    struct sqlite3_stmt *stay_stmt, *tag_stmt;
    bool stay_row, tag_row; /* a row is waiting */
};

static bool grow(void *array_ptr, size_t *cap, size_t count, size_t size)
{
    if (count < *cap) {
        return true;
    }
    void *old;
    memcpy(&old, array_ptr, sizeof(old));
    void *grown = kt_reallocarray(old, *cap * 2 + 16, size);
    if (!grown) {
        return false;
    }
    memcpy(array_ptr, &grown, sizeof(grown));
    *cap = *cap * 2 + 16;
    return true;
}

static enum kt_status take_indicator(void *ctx, struct sqlite3_stmt *stmt, struct kt_error *err)
{
    struct loading *l = ctx;
    struct kt_str key = db_text(stmt, 1);
    if (db_u64(stmt, 0) != l->key_count) {
        return kt_fail(err, KT_CORRUPT, "%s: indicator number %zu is missing", l->store->path,
                       l->key_count);
    }
    if (!grow(&l->keys, &l->key_cap, l->key_count, sizeof(*l->keys))) {
        return no_memory(err);
    }
    l->keys[l->key_count++] = kt_str_n(NULL, key.len); /* placed when all are read */
    kt_buf_append_str(&l->key_bytes, key);
    return KT_OK;
}

static enum kt_status load_indicators(struct loading *l, struct kt_error *err)
{
    enum kt_status status = each_row(
        l->store->data, "SELECT number,key FROM indicator ORDER BY number", take_indicator, l, err);
    if (status != KT_OK) {
        return status;
    }
    if (kt_buf_status(&l->key_bytes) != KT_OK) {
        return no_memory(err);
    }
    const char *at = l->key_bytes.data;
    for (size_t i = 0; i < l->key_count; i++) {
        l->keys[i].data = at;
        at += l->keys[i].len;
    }
    struct indicator_table *table = indicators_with(l->view->indicators, l->keys, l->key_count);
    if (!table) {
        return no_memory(err);
    }
    indicators_unref(&l->view->indicators);
    l->view->indicators = table;
    return KT_OK;
}

/* Numbers are given one after the other (a failed transaction may leave gaps), so a number far
 * beyond the rows is damage, and would take memory for nothing. */
static bool number_ok(uint64_t number)
{
    return number < UINT32_C(1) << 31;
}

static enum kt_status take_topic(void *ctx, struct sqlite3_stmt *stmt, struct kt_error *err)
{
    struct loading *l = ctx;
    if (!number_ok(db_u64(stmt, 0))) {
        return kt_fail(err, KT_CORRUPT, "%s: topic number out of range", l->store->path);
    }
    return catalogue_topic_restore(l->view, db_text(stmt, 1), (uint32_t)db_u64(stmt, 0))
               ? KT_OK
               : no_memory(err);
}

/* The stays of one subject: both tables are read in the order of subjects, side by side. */
static enum kt_status take_stays(struct loading *l, uint32_t subject, struct kt_error *err)
{
    enum kt_status status = KT_OK;
    l->stay_count = 0;
    while (l->stay_row && db_u64(l->stay_stmt, 0) == subject && status == KT_OK) {
        if (!grow(&l->stays, &l->stay_cap, l->stay_count, sizeof(*l->stays)) ||
            !grow(&l->members, &l->member_cap, l->member_count, sizeof(*l->members))) {
            return no_memory(err);
        }
        struct kt_stay *stay = &l->stays[l->stay_count++];
        *stay = (struct kt_stay){(uint32_t)db_u64(l->stay_stmt, 1), db_i64(l->stay_stmt, 2),
                                 db_i64(l->stay_stmt, 3)};
        if (!catalogue_topic(l->view, stay->topic)) {
            return kt_fail(err, KT_CORRUPT, "%s: a stay in the unknown topic number %u",
                           l->store->path, stay->topic);
        }
        l->members[l->member_count++] = (struct member_change){stay->topic, subject, 0, true};
        status = db_step(l->stay_stmt, err);
        l->stay_row = status == KT_OK;
    }
    return status == KT_NOT_FOUND ? KT_OK : status;
}

/* The texts are copied one after the other and freed by free_tags. */
static enum kt_status take_tags(struct loading *l, uint32_t subject, struct kt_error *err)
{
    enum kt_status status = KT_OK;
    while (l->tag_row && db_u64(l->tag_stmt, 0) == subject && status == KT_OK) {
        if (!grow(&l->tags, &l->tag_cap, l->tag_count, sizeof(*l->tags))) {
            return no_memory(err);
        }
        struct kt_str name = db_text(l->tag_stmt, 1), value = db_text(l->tag_stmt, 2);
        char *text = kt_malloc(name.len + value.len + 1);
        if (!text) {
            return no_memory(err);
        }
        memcpy(text, name.data ? name.data : "", name.len);
        memcpy(text + name.len, value.data ? value.data : "", value.len);
        l->tags[l->tag_count++] =
            (struct kt_tag){kt_str_n(text, name.len), kt_str_n(text + name.len, value.len)};
        status = db_step(l->tag_stmt, err);
        l->tag_row = status == KT_OK;
    }
    return status == KT_NOT_FOUND ? KT_OK : status;
}

static void free_tags(struct loading *l)
{
    while (l->tag_count > 0) {
        kt_free((void *)(uintptr_t)l->tags[--l->tag_count].name.data);
    }
}

static enum kt_status take_subject(void *ctx, struct sqlite3_stmt *stmt, struct kt_error *err)
{
    struct loading *l = ctx;
    if (!number_ok(db_u64(stmt, 0))) {
        return kt_fail(err, KT_CORRUPT, "%s: subject number out of range", l->store->path);
    }
    struct kt_subject from = {.number = (uint32_t)db_u64(stmt, 0)};
    if (!names_restore(l->store->names, db_text(stmt, 1), from.number, &from.key)) {
        return no_memory(err);
    }
    struct kt_subject *subject = catalogue_subject_edit(l->view, from.number, from.key);
    if (!subject) {
        return no_memory(err);
    }
    subject->changed_revision = db_u64(stmt, 6);
    subject->touched_revision = db_u64(stmt, 7);
    enum kt_status status = take_stays(l, from.number, err);
    if (status == KT_OK) {
        status = take_tags(l, from.number, err);
    }
    if (status == KT_OK) {
        from.name = db_text(stmt, 2);
        from.status = db_text(stmt, 3);
        from.listing_date = db_text(stmt, 4);
        from.category = db_text(stmt, 5);
        from.stays = l->stays;
        from.stay_count = l->stay_count;
        from.tags = l->tags;
        from.tag_count = l->tag_count;
        status = catalogue_set_body(l->view, from.number, &from) ? KT_OK : no_memory(err);
    }
    free_tags(l);
    return status;
}

static enum kt_status open_cursor(struct sqlite3 *db, const char *sql, struct sqlite3_stmt **stmt,
                                  bool *ret_row, struct kt_error *err)
{
    enum kt_status status = db_prepare(db, sql, stmt, err);
    if (status == KT_OK) {
        status = db_step(*stmt, err);
        *ret_row = status == KT_OK;
    }
    return status == KT_NOT_FOUND ? KT_OK : status;
}

static enum kt_status load_subjects(struct loading *l, struct kt_error *err)
{
    struct sqlite3 *db = l->store->data;
    enum kt_status status =
        open_cursor(db,
                    "SELECT subject,topic,from_time,to_time FROM stay ORDER BY subject,topic,"
                    "from_time",
                    &l->stay_stmt, &l->stay_row, err);
    if (status == KT_OK) {
        status = open_cursor(db, "SELECT subject,name,value FROM tag ORDER BY subject,name,value",
                             &l->tag_stmt, &l->tag_row, err);
    }
    if (status == KT_OK) {
        status = each_row(db,
                          "SELECT number,key,name,status,listing_date,category,changed_revision,"
                          "touched_revision FROM subject ORDER BY number",
                          take_subject, l, err);
    }
    if (status == KT_OK && (l->stay_row || l->tag_row)) {
        status =
            kt_fail(err, KT_CORRUPT, "%s: a stay or tag of an unknown subject", l->store->path);
    }
    if (status == KT_OK && !catalogue_change_members(l->view, l->members, l->member_count)) {
        status = no_memory(err);
    }
    db_finalize(&l->stay_stmt);
    db_finalize(&l->tag_stmt);
    return status;
}

static enum kt_status take_wall_ms(void *ctx, struct sqlite3_stmt *stmt, struct kt_error *err)
{
    (void)err;
    *(int64_t *)ctx = db_i64(stmt, 0);
    return KT_OK;
}

static enum kt_status load_settings(struct kt_store *store, struct kt_error *err)
{
    struct store_settings *settings = &store->settings;
    enum kt_status status = db_meta_get_i64(store->data, "max_indicators", STORE_MAX_INDICATORS,
                                            &settings->max_indicators, err);
    if (status == KT_OK) {
        status = db_meta_get_i64(store->data, "max_keys", STORE_MAX_KEYS, &settings->max_keys, err);
    }
    if (status == KT_OK) {
        status = db_meta_get_i64(store->data, "key_window_ms", STORE_KEY_WINDOW_MS,
                                 &settings->key_window_ms, err);
    }
    if (status == KT_OK) {
        status =
            db_meta_get_i64(store->data, "restored_revision", 0, &settings->restored_revision, err);
    }
    return status == KT_OK ? db_meta_get_i64(store->data, "restored_wall_ms", 0,
                                             &settings->restored_wall_ms, err)
                           : status;
}

static enum kt_status load_facts(struct loading *l, struct kt_error *err)
{
    struct kt_store *store = l->store;
    struct kt_buf key;
    kt_buf_init(&key, 0);
    int64_t applied = 0, records = 0;
    enum kt_status status = db_meta_get_i64(store->data, "applied_seq", 0, &applied, err);
    if (status == KT_OK) {
        status = db_meta_get_i64(store->data, "record_count", 0, &records, err);
    }
    if (status == KT_OK) {
        status = load_settings(store, err);
    }
    if (status == KT_OK) {
        status = db_meta_get_text(store->data, "cursor_key", &key, err);
    }
    if (status == KT_OK) {
        status = each_row(store->data, "SELECT wall_ms FROM revision ORDER BY seq DESC LIMIT 1",
                          take_wall_ms, &l->view->wall_ms, err);
    }
    l->view->revision = (uint64_t)applied;
    l->view->record_count = (uint64_t)records;
    l->view->restored = store->settings.restored_revision != 0;
    store->has_cursor_key = key.len_bytes == KT_CURSOR_KEY_BYTES;
    if (store->has_cursor_key) {
        memcpy(store->cursor_key, key.data, KT_CURSOR_KEY_BYTES);
    }
    kt_buf_done(&key);
    return status;
}

enum kt_status data_load(struct kt_store *store, struct kt_error *err)
{
    struct loading l = {.store = store};
    kt_buf_init(&l.key_bytes, 0);
    store->names = names_new();
    store->topic_names = names_new();
    bool named = store->names && store->topic_names;
    l.view = named ? catalogue_new(store->names, store->topic_names) : NULL;
    enum kt_status status = l.view ? KT_OK : no_memory(err);
    if (status == KT_OK) {
        KT_ASSERT(l.view);
        status = load_facts(&l, err);
    }
    if (status == KT_OK) {
        status = load_indicators(&l, err);
    }
    if (status == KT_OK) {
        status = each_row(store->data, "SELECT number,key FROM topic ORDER BY number", take_topic,
                          &l, err);
    }
    if (status == KT_OK) {
        status = load_subjects(&l, err);
    }
    if (status == KT_OK) {
        store_publish(store, l.view);
        l.view = NULL;
    }
    kt_catalogue_unref(&l.view);
    kt_free(l.keys);
    kt_buf_done(&l.key_bytes);
    kt_free(l.members);
    kt_free(l.stays);
    free_tags(&l);
    kt_free(l.tags);
    return status;
}

/* --- series --- */

static enum kt_status take_version(struct kt_store *store, struct reader *reader,
                                   struct sqlite3_stmt *stmt, uint32_t subject,
                                   struct kt_error *err)
{
    struct kt_version version = {.time_s = db_i64(stmt, 0),
                                 .period = db_text(stmt, 1),
                                 .declare_s = db_i64(stmt, 2),
                                 .revision = db_u64(stmt, 3),
                                 .line = (uint32_t)db_u64(stmt, 4),
                                 .declare_given = db_i64(stmt, 5) != 0};
    struct kt_str data = db_text(stmt, 6);
    enum kt_status status = db_check_columns(stmt, err);
    if (status == KT_OK) {
        status = rowdata_read(reader->rows, data, &version, err);
    }
    if (status == KT_OK) {
        status = kt_series_builder_add(reader->builder, &version, err);
    }
    if (status == KT_CORRUPT && err) {
        struct kt_catalogue *view = kt_store_view(store);
        const struct kt_subject *named = kt_catalogue_subject(view, subject);
        kt_wrap(err, "%s: subject " KT_STR_FMT " (%u), time %lld", store->path,
                KT_STR_ARG(named ? named->key : kt_str("?")), subject, (long long)version.time_s);
        kt_catalogue_unref(&view);
    }
    return status;
}

static enum kt_status read_series(struct kt_store *store, struct reader *reader, uint32_t subject,
                                  struct kt_error *err)
{
    struct sqlite3_stmt *stmt = reader->stmts[READER_FIRST];
    db_bind_i64(stmt, 1, subject);
    enum kt_status status = db_step(stmt, err);
    if (status != KT_OK) {
        return status;
    }
    /* Taken after the read began it knows all indicators that the rows can name. */
    struct kt_catalogue *view = kt_store_view(store);
    rowdata_reader_start(reader->rows, view->indicators);
    while (status == KT_OK) {
        status = take_version(store, reader, stmt, subject, err);
        if (status == KT_OK) {
            status = db_step(stmt, err);
        }
    }
    db_reset(stmt);
    kt_catalogue_unref(&view);
    return status;
}

enum kt_status kt_store_load_series(struct kt_store *store, uint32_t subject,
                                    struct kt_series **ret_series, struct kt_error *err)
{
    struct kt_catalogue *view = kt_store_view(store);
    uint64_t loaded_revision = kt_catalogue_revision(view);
    kt_catalogue_unref(&view);
    struct reader *reader = NULL;
    enum kt_status status = data_take(store, &reader, err);
    if (status != KT_OK) {
        return status;
    }
    status = read_series(store, reader, subject, err);
    if (status == KT_NOT_FOUND) { /* all rows are read */
        status = kt_series_builder_finish(reader->builder, loaded_revision, ret_series, err);
    } else {
        kt_series_builder_clear(reader->builder);
    }
    pool_give(&store->data_readers, reader);
    return status;
}

enum kt_status kt_store_revision_at(struct kt_store *store, int64_t wall_ms, uint64_t *ret_revision,
                                    struct kt_error *err)
{
    struct reader *reader = NULL;
    enum kt_status status = data_take(store, &reader, err);
    if (status != KT_OK) {
        return status;
    }
    struct sqlite3_stmt *stmt = reader->stmts[READER_SECOND];
    db_bind_i64(stmt, 1, wall_ms);
    status = db_step(stmt, err);
    if (status == KT_OK) {
        *ret_revision = db_u64(stmt, 0);
        db_reset(stmt);
    } else if (status == KT_NOT_FOUND) {
        *ret_revision = 0;
        status = KT_OK;
    }
    pool_give(&store->data_readers, reader);
    return status;
}

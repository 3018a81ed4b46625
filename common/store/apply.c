/* SPDX-License-Identifier: MIT */
/* The transaction as a whole; see apply_internal.h for its course. */
#include "store/apply_internal.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const data_sql[DATA_STMTS] = {
    [DATA_BEGIN] = "BEGIN IMMEDIATE",
    [DATA_COMMIT] = "COMMIT",
    [DATA_INSERT_VERSION] =
        ("INSERT INTO version(subject,time,period,declare_time,revision,line,declare_given,data)"
         " VALUES(?,?,?,?,?,?,?,?)"),
    [DATA_GREATEST_DECLARE] = ("SELECT declare_time FROM version WHERE subject=? AND time=? AND"
                               " period=? ORDER BY declare_time DESC LIMIT 1"),
    [DATA_LAST_TIME] = "SELECT time FROM version WHERE subject=? ORDER BY time DESC LIMIT 1",
    [DATA_INSERT_REVISION] = "INSERT INTO revision(seq,wall_ms) VALUES(?,?)",
    [DATA_LOWER_STAMPS] = "UPDATE revision SET wall_ms=?1 WHERE wall_ms>?1",
    [DATA_ANY_GENERIC] = "SELECT 1 FROM generic_series LIMIT 1",
    [DATA_INSERT_INDICATOR] = "INSERT INTO indicator(number,key) VALUES(?,?)",
    [DATA_INSERT_TOPIC] = "INSERT INTO topic(number,key) VALUES(?,?)",
    [DATA_INSERT_SUBJECT] =
        ("INSERT INTO subject(number,key,name,status,listing_date,category,changed_revision,"
         "touched_revision) VALUES(?1,?2,'','','','',?3,?3)"),
    [DATA_UPDATE_SUBJECT] =
        "UPDATE subject SET name=?2,status=?3,listing_date=?4,category=?5 WHERE number=?1",
    [DATA_SUBJECT_REVISION] =
        "UPDATE subject SET changed_revision=?2,touched_revision=?3 WHERE number=?1",
    [DATA_DELETE_STAYS] = "DELETE FROM stay WHERE subject=?",
    [DATA_INSERT_STAY] = "INSERT INTO stay(subject,topic,from_time,to_time) VALUES(?,?,?,?)",
    [DATA_DELETE_TAGS] = "DELETE FROM tag WHERE subject=?",
    [DATA_INSERT_TAG] = "INSERT INTO tag(subject,name,value) VALUES(?,?,?)",
    [DATA_SET_META] = "INSERT OR REPLACE INTO meta(name,value) VALUES(?,?)",
    [DATA_INSERT_TOUCHED] = "INSERT INTO touched(seq,subjects,topics) VALUES(?,?,?)",
    [DATA_GENERIC_FIND] = ("SELECT number,create_time,update_time,points,numbers"
                           " FROM generic_series WHERE tbl=? AND id=?"),
    [DATA_GENERIC_INSERT] = ("INSERT INTO generic_series(create_time,update_time,points,numbers,"
                             "tbl,id) VALUES(?,?,?,?,?,?)"),
    [DATA_GENERIC_UPDATE] = ("UPDATE generic_series SET create_time=?,update_time=?,points=?,"
                             "numbers=? WHERE number=?"),
    [DATA_GENERIC_DROP] = "DELETE FROM generic_series WHERE number=?",
    [DATA_GENERIC_COUNT] = "SELECT count FROM generic_point WHERE series=? AND time=?",
    [DATA_GENERIC_PUT_POINT] =
        "INSERT OR REPLACE INTO generic_point(series,time,count,numbers) VALUES(?,?,?,?)",
    [DATA_GENERIC_DROP_POINT] = "DELETE FROM generic_point WHERE series=? AND time=?",
    [DATA_GENERIC_DROP_POINTS] = "DELETE FROM generic_point WHERE series=?",
    [DATA_PUT_REQUEST] = ("INSERT INTO request(key,digest,expires_ms,revision,status,field,message,"
                          "subjects,records,value_count) VALUES(?,?,?,?,?,?,?,?,?,?)"),
    [DATA_FORGET_REQUEST] = "DELETE FROM request WHERE key=?",
    [DATA_EXPIRE_REQUESTS] = ("DELETE FROM request WHERE key IN (SELECT key FROM request"
                              " WHERE expires_ms<=? ORDER BY expires_ms,key LIMIT ?)"),
    [DATA_COUNT_REQUESTS] = "SELECT count(*) FROM request",
    [DATA_NEXT_EXPIRY] = "SELECT min(expires_ms) FROM request",
    [DATA_DELETE_RECORD] = "DELETE FROM version WHERE subject=? AND time=? AND period=?",
    [DATA_DELETE_SUBJECT] = "DELETE FROM subject WHERE number=?",
};

enum kt_status data_prepare(struct kt_store *store, struct kt_error *err)
{
    enum kt_status status = KT_OK;
    for (int i = 0; i < DATA_STMTS && status == KT_OK; i++) {
        /* Two that readers use too. */
        const char *sql = i == DATA_FIND_REQUEST   ? store_find_request_sql
                          : i == DATA_FIND_RECORDS ? store_find_records_sql
                                                   : data_sql[i];
        status = db_prepare(store->data, sql, &store->data_stmts[i], err);
    }
    return status;
}

void data_close(struct kt_store *store)
{
    for (int i = 0; i < DATA_STMTS; i++) {
        db_finalize(&store->data_stmts[i]);
    }
    db_close(&store->data);
}

struct applier *applier_new(void)
{
    struct applier *a = kt_calloc(1, sizeof(*a));
    if (a) {
        kt_buf_init(&a->json, 0);
        touched_init(&a->touched);
    }
    return a;
}

void applier_free(struct applier **applier)
{
    if (!applier || !*applier) {
        return;
    }
    struct applier *a = *applier;
    kt_free(a->facts);
    kt_free(a->stamps);
    kt_free(a->rows);
    kt_free(a->members);
    kt_free(a->stays);
    kt_free(a->tags);
    kt_free(a->leaves);
    kt_free(a->ordered_stays);
    kt_free(a->named_tags);
    kt_free(a->seen);
    kt_free(a->fold_items);
    kt_free(a->fold_values);
    kt_buf_done(&a->json);
    touched_done(&a->touched);
    kt_free(a);
    *applier = NULL;
}

enum kt_status apply_no_memory(struct kt_error *err)
{
    return kt_fail(err, KT_NO_MEMORY, "no memory to apply a change");
}

bool apply_grow(void *array_ptr, size_t *cap, size_t count, size_t size)
{
    if (count < *cap) {
        return true;
    }
    void *old;
    memcpy(&old, array_ptr, sizeof(old));
    size_t wanted = *cap * 2 > count ? *cap * 2 : count + 16;
    void *grown = kt_reallocarray(old, wanted, size);
    if (!grown) {
        return false;
    }
    memcpy(array_ptr, &grown, sizeof(grown));
    *cap = wanted;
    return true;
}

struct subject_facts *apply_facts(struct applier *a, uint32_t subject)
{
    size_t before = a->fact_cap;
    if (!apply_grow(&a->facts, &a->fact_cap, subject, sizeof(*a->facts))) {
        return NULL;
    }
    memset(a->facts + before, 0, (a->fact_cap - before) * sizeof(*a->facts));
    return &a->facts[subject];
}

enum kt_status apply_subject_number(struct applier *a, struct kt_str key, uint64_t seq,
                                    uint32_t *ret_number, struct kt_error *err)
{
    uint32_t number;
    struct kt_str own_key;
    if (!names_number(a->store->names, key, &number, &own_key)) {
        return apply_no_memory(err);
    }
    *ret_number = number;
    if (kt_catalogue_subject(a->edit, number)) {
        return KT_OK;
    }
    struct subject_facts *facts = apply_facts(a, number);
    struct kt_subject *subject = catalogue_subject_edit(a->edit, number, own_key);
    if (!facts || !subject) {
        return apply_no_memory(err);
    }
    /* The key may have been deleted before, and kept its number: what caches and questions have of
     * that subject is not this one's. */
    subject->changed_revision = subject->touched_revision = subject->erased_revision = seq;
    *facts = (struct subject_facts){
        .last_time_s = INT64_MIN, .known = true, .stamp_due = facts->stamp_due};
    struct sqlite3_stmt *stmt = a->store->data_stmts[DATA_INSERT_SUBJECT];
    db_bind_i64(stmt, 1, number);
    db_bind_text(stmt, 2, own_key);
    db_bind_u64(stmt, 3, seq);
    return db_run(stmt, err);
}

/* Its row is to be brought up to the view. */
static bool note_stamp(struct applier *a, uint32_t subject)
{
    struct subject_facts *facts = apply_facts(a, subject);
    if (!facts || !apply_grow(&a->stamps, &a->stamp_cap, a->stamp_count, sizeof(*a->stamps))) {
        return false;
    }
    if (!facts->stamp_due) {
        facts->stamp_due = true;
        a->stamps[a->stamp_count++] = subject;
    }
    return true;
}

enum kt_status apply_stamp(struct applier *a, uint32_t subject, uint64_t revision, bool records,
                           struct kt_error *err)
{
    struct kt_str key = kt_catalogue_subject(a->edit, subject)->key;
    struct kt_subject *stamped = catalogue_subject_edit(a->edit, subject, key);
    if (!stamped || !note_stamp(a, subject)) {
        return apply_no_memory(err);
    }
    if (records && stamped->changed_revision < revision) {
        stamped->changed_revision = revision;
    }
    /* Records are written last, and may be of an earlier entry than what was said of the subject.
     */
    if (stamped->touched_revision < revision) {
        stamped->touched_revision = revision;
    }
    return KT_OK;
}

static int cmp_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

enum kt_status apply_write_stamps(struct kt_store *store, const struct kt_catalogue *view,
                                  struct kt_error *err)
{
    struct applier *a = store->applier;
    struct sqlite3_stmt *stmt = store->data_stmts[DATA_SUBJECT_REVISION];
    enum kt_status status = KT_OK;
    if (a->stamp_count > 1) {
        qsort(a->stamps, a->stamp_count, sizeof(*a->stamps), cmp_number); /* the table's order */
    }
    for (size_t i = 0; i < a->stamp_count && status == KT_OK; i++) {
        const struct kt_subject *subject = kt_catalogue_subject(view, a->stamps[i]);
        a->facts[a->stamps[i]].stamp_due = false;
        if (subject) { /* else it was deleted since */
            db_bind_i64(stmt, 1, subject->number);
            db_bind_u64(stmt, 2, subject->changed_revision);
            db_bind_u64(stmt, 3, subject->touched_revision);
            status = db_run(stmt, err);
        }
    }
    a->stamp_count = 0; /* after a failure all is rolled back */
    return status;
}

/* --- one entry --- */

void apply_refuse(struct kt_apply_result *result, enum kt_status status, const char *field,
                  const char *message)
{
    result->status = status;
    kt_str_copy(result->field, sizeof(result->field), kt_str(field));
    kt_str_copy(result->message, sizeof(result->message), kt_str(message));
}

enum kt_status apply_flush(struct applier *a, struct kt_error *err)
{
    enum kt_status status = apply_rows(a, err);
    a->row_count = 0;
    return status;
}

/* --- if_revision --- */

static bool is_newer(struct applier *a, const struct kt_change *change, struct kt_str key,
                     struct kt_apply_result *result)
{
    const struct kt_subject *subject = kt_catalogue_find_subject(a->edit, key);
    if (!subject || subject->touched_revision <= change->if_revision) {
        return false;
    }
    char message[320];
    snprintf(message, sizeof(message),
             "if_revision: a subject changed at revision %llu, after %llu: " KT_STR_FMT,
             (unsigned long long)subject->touched_revision, (unsigned long long)change->if_revision,
             KT_STR_ARG(key));
    apply_refuse(result, KT_CHANGED, "if_revision", message);
    return true;
}

/* False: a subject that the change names is newer, and the result says so. */
static bool condition_holds(struct applier *a, const struct kt_change *change,
                            struct kt_apply_result *result)
{
    const char *before = NULL;
    for (size_t i = 0; i < change->subject_count; i++) {
        if (is_newer(a, change, change->subjects[i].key, result)) {
            return false;
        }
    }
    for (size_t i = 0; i < change->record_count; i++) {
        struct kt_str key = change->records[i].subject;
        if (key.data != before && is_newer(a, change, key, result)) {
            return false;
        }
        before = key.data;
    }
    for (size_t i = 0; i < change->erase.subject_count; i++) {
        if (is_newer(a, change, change->erase.subjects[i], result)) {
            return false;
        }
    }
    return true;
}

enum kt_status apply_set_meta(struct kt_store *store, const char *name, int64_t value,
                              struct kt_error *err)
{
    struct sqlite3_stmt *stmt = store->data_stmts[DATA_SET_META];
    db_bind_text(stmt, 1, kt_str(name));
    db_bind_i64(stmt, 2, value);
    return db_run(stmt, err);
}

static enum kt_status apply_epoch_start(struct applier *a,
                                        const struct kt_change_epoch_start *start,
                                        struct kt_error *err)
{
    if (!start->first) {
        return KT_OK;
    }
    struct store_settings settings = a->settings;
    settings.max_indicators = start->max_indicators;
    settings.max_keys = start->max_keys ? start->max_keys : STORE_MAX_KEYS;
    settings.key_window_ms = start->key_window_ms ? start->key_window_ms : STORE_KEY_WINDOW_MS;
    a->settings = settings;
    a->has_cursor_key = true;
    memcpy(a->cursor_key, start->cursor_key, sizeof(a->cursor_key));
    struct sqlite3_stmt *stmt = a->store->data_stmts[DATA_SET_META];
    db_bind_text(stmt, 1, KT_STR("cursor_key"));
    db_bind_blob(stmt, 2, kt_str_n((const char *)start->cursor_key, sizeof(start->cursor_key)));
    enum kt_status status = db_run(stmt, err);
    struct {
        const char *name;
        int64_t value;
    } rows[] = {{"max_indicators", settings.max_indicators},
                {"max_keys", settings.max_keys},
                {"key_window_ms", settings.key_window_ms}};
    for (size_t i = 0; i < KT_ARRAY_LEN(rows) && status == KT_OK; i++) {
        status = apply_set_meta(a->store, rows[i].name, rows[i].value, err);
    }
    return status;
}

static enum kt_status apply_change(struct applier *a, const struct kt_change *change,
                                   const struct kt_entry *entry, struct kt_apply_result *result,
                                   struct kt_error *err)
{
    enum kt_status status = KT_OK;
    if (change->has_if_revision) {
        status = apply_flush(a, err);
        if (status != KT_OK || !condition_holds(a, change, result)) {
            return status;
        }
    }
    if (change->recorded_revision != 0) {
        status = restore_judge(a, change, entry, result, err);
        if (status != KT_OK || result->status != KT_OK) {
            return status;
        }
    }
    switch (change->kind) {
    case KT_CHANGE_SAVE:
        status = apply_save(a, change, entry->seq, result, err);
        break;
    case KT_CHANGE_DELETE:
        status = apply_delete(a, &change->erase, entry->seq, result, err);
        break;
    case KT_CHANGE_GENERIC:
        status = apply_generic(a, &change->generic, entry->wall_ms, result, err);
        break;
    case KT_CHANGE_EPOCH_START:
        return apply_epoch_start(a, &change->epoch_start, err);
    }
    return status == KT_OK && result->status == KT_OK ? restore_note(a, change, err) : status;
}

static enum kt_status apply_entry(struct applier *a, const struct kt_entry *entry,
                                  struct kt_change *change, struct kt_apply_result *result,
                                  struct kt_error *err)
{
    bool keyed = entry->key.len > 0, go_on = true;
    *result = (struct kt_apply_result){.seq = entry->seq, .revision = entry->seq};
    a->stamp_ms = entry->wall_ms;
    enum kt_status status = requests_expire(a, entry->wall_ms, err);
    if (status == KT_OK && keyed) {
        status = requests_judge(a, entry, result, &go_on, err);
    }
    if (status == KT_OK && go_on) {
        status = kt_change_decode(entry->body, change, err);
        if (status == KT_OK) {
            status = apply_change(a, change, entry, result, err);
        }
        if (status == KT_OK && keyed) {
            status = requests_remember(a, entry, result, err);
        }
    }
    if (status != KT_OK) {
        return status;
    }
    struct sqlite3_stmt *stmt = a->store->data_stmts[DATA_INSERT_REVISION];
    db_bind_u64(stmt, 1, entry->seq);
    db_bind_i64(stmt, 2, a->stamp_ms);
    status = db_run(stmt, err);
    return status == KT_OK ? touched_write(a, entry->seq, err) : status;
}

/* --- the transaction --- */

static enum kt_status check_order(const struct kt_entry *entries, size_t count, uint64_t applied,
                                  struct kt_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (entries[i].seq != applied + 1 + i) {
            return kt_fail(err, KT_CORRUPT, "entry %llu cannot be applied after %llu",
                           (unsigned long long)entries[i].seq, (unsigned long long)applied + i);
        }
    }
    return KT_OK;
}

static enum kt_status write_all(struct applier *a, const struct kt_entry *entries, size_t count,
                                struct kt_change *changes, struct kt_apply_result *results,
                                struct kt_error *err)
{
    struct kt_apply_result unwanted;
    enum kt_status status = KT_OK;
    for (size_t i = 0; i < count && status == KT_OK; i++) {
        status = apply_entry(a, &entries[i], &changes[i], results ? &results[i] : &unwanted, err);
    }
    if (status == KT_OK) {
        status = apply_flush(a, err);
    }
    if (status == KT_OK && !catalogue_change_members(a->edit, a->members, a->member_count)) {
        status = apply_no_memory(err);
    }
    a->edit->revision = entries[count - 1].seq;
    a->edit->wall_ms = a->stamp_ms;
    a->edit->restored = a->settings.restored_revision != 0;
    return status;
}

static void take_settings(struct applier *a)
{
    struct kt_store *store = a->store;
    store->settings = a->settings;
    if (a->has_cursor_key) {
        kt_mutex_lock(&store->state_mutex);
        store->has_cursor_key = true;
        memcpy(store->cursor_key, a->cursor_key, sizeof(store->cursor_key));
        kt_mutex_unlock(&store->state_mutex);
    }
}

void apply_forget_facts(struct applier *a)
{
    if (a->fact_cap > 0) {
        memset(a->facts, 0, a->fact_cap * sizeof(*a->facts));
    }
    a->stamp_count = 0;
    a->requests_known = false;
}

/* Into the open transaction; a->edit becomes the view after. */
static enum kt_status apply_on(struct kt_store *store, struct kt_catalogue *view,
                               const struct kt_entry *entries, size_t count,
                               struct kt_apply_result *results, struct kt_error *err)
{
    struct applier *a = store->applier;
    struct kt_change *changes = kt_calloc(count, sizeof(*changes));
    a->store = store;
    a->edit = catalogue_edit(view);
    a->row_count = a->member_count = 0;
    touched_clear(&a->touched);
    a->settings = store->settings;
    a->erased = 0;
    a->has_cursor_key = false;
    enum kt_status status = changes && a->edit ? write_all(a, entries, count, changes, results, err)
                                               : apply_no_memory(err);
    for (size_t i = 0; changes && i < count; i++) {
        kt_change_done(&changes[i]);
    }
    kt_free(changes);
    if (status != KT_OK) {
        kt_catalogue_unref(&a->edit);
    }
    return status;
}

enum kt_status apply_again(struct kt_store *store, const struct kt_entry *entries, size_t count,
                           struct kt_catalogue **view, struct kt_error *err)
{
    struct applier *a = store->applier;
    enum kt_status status = apply_on(store, *view, entries, count, NULL, err);
    if (status == KT_OK) {
        take_settings(a);
        kt_catalogue_unref(view);
        *view = a->edit;
        a->edit = NULL;
    }
    return status;
}

static enum kt_status apply_locked(struct kt_store *store, const struct kt_entry *entries,
                                   size_t count, struct kt_apply_result *results,
                                   struct kt_error *err)
{
    struct applier *a = store->applier;
    enum kt_status status = check_order(entries, count, kt_store_applied(store), err);
    if (status == KT_OK) {
        status = behind_begin(store, entries, count, err);
    }
    if (status != KT_OK) {
        return status;
    }
    struct kt_catalogue *view = kt_store_view(store);
    status = apply_on(store, view, entries, count, results, err);
    kt_catalogue_unref(&view);
    if (status == KT_OK) {
        take_settings(a);
        behind_show(store, count);
        if (a->erased > 0) {
            atomic_store(&store->erased, a->erased);
        }
        store_publish(store, a->edit);
        a->edit = NULL;
    } else {
        behind_undo(store);
        kt_catalogue_unref(&a->edit);
    }
    if (status == KT_OK) {
        behind_after(store);
    }
    return status;
}

enum kt_status kt_store_apply(struct kt_store *store, const struct kt_entry *entries, size_t count,
                              struct kt_apply_result *results, struct kt_error *err)
{
    if (count == 0) {
        return KT_OK;
    }
    kt_mutex_lock(&store->apply_mutex);
    enum kt_status status = apply_locked(store, entries, count, results, err);
    kt_mutex_unlock(&store->apply_mutex);
    return status;
}

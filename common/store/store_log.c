/* SPDX-License-Identifier: MIT */
/* The log file: what makes a write durable. What memory knows of it (end, epoch vector, commit)
 * moves only after the transaction that says the same was committed.
 */
#include "store/store_internal.h"

#include "base/mem.h"

#include <string.h>

/* --- opening --- */

static enum kt_status read_epochs(struct kt_store *store, struct kt_error *err)
{
    struct sqlite3_stmt *stmt = NULL;
    enum kt_status status = db_prepare(
        store->log.db, "SELECT epoch,epoch_id,first_seq FROM epoch ORDER BY epoch", &stmt, err);
    while (status == KT_OK && (status = db_step(stmt, err)) == KT_OK) {
        if (store->epoch_count == store->epoch_cap) {
            size_t cap = store->epoch_cap ? store->epoch_cap * 2 : 16;
            struct kt_epoch *epochs = kt_reallocarray(store->epochs, cap, sizeof(*epochs));
            if (!epochs) {
                status = kt_fail(err, KT_NO_MEMORY, "no memory for the epoch vector");
                break;
            }
            store->epochs = epochs;
            store->epoch_cap = cap;
        }
        struct kt_epoch *epoch = &store->epochs[store->epoch_count++];
        epoch->epoch = db_u64(stmt, 0);
        kt_str_copy(epoch->epoch_id, sizeof(epoch->epoch_id), db_text(stmt, 1));
        epoch->first_seq = db_u64(stmt, 2);
    }
    db_finalize(&stmt);
    return status == KT_NOT_FOUND ? KT_OK : status;
}

/* A log without entries ends where it would begin. */
static enum kt_status read_base(struct kt_store *store, struct kt_error *err)
{
    struct sqlite3_stmt *stmt = NULL;
    enum kt_status status =
        db_prepare(store->log.db, "SELECT seq,epoch,wall_ms FROM base", &stmt, err);
    if (status == KT_OK) {
        status = db_step(stmt, err);
    }
    if (status == KT_OK) {
        store->identity.end_seq = db_u64(stmt, 0);
        store->identity.end_epoch = db_u64(stmt, 1);
        store->log_last_wall_ms = db_i64(stmt, 2);
    }
    db_finalize(&stmt);
    store->log_first_seq = store->identity.end_seq + 1;
    return status == KT_NOT_FOUND ? KT_OK : status;
}

static enum kt_status read_ends(struct kt_store *store, struct kt_error *err)
{
    struct sqlite3_stmt *stmt = NULL;
    enum kt_status status =
        db_prepare(store->log.db,
                   "SELECT seq,epoch,wall_ms,(SELECT min(seq) FROM entry) FROM entry"
                   " ORDER BY seq DESC LIMIT 1",
                   &stmt, err);
    if (status == KT_OK) {
        status = db_step(stmt, err);
    }
    if (status == KT_OK) {
        store->identity.end_seq = db_u64(stmt, 0);
        store->identity.end_epoch = db_u64(stmt, 1);
        store->log_last_wall_ms = db_i64(stmt, 2);
        store->log_first_seq = db_u64(stmt, 3);
    }
    db_finalize(&stmt);
    return status == KT_NOT_FOUND ? read_base(store, err) : status;
}

enum kt_status log_read_positions(struct kt_store *store, struct kt_error *err)
{
    enum kt_status status = read_epochs(store, err);
    return status == KT_OK ? read_ends(store, err) : status;
}

static enum kt_status read_id(struct sqlite3 *db, const char *name, char dest[KT_ID_LEN + 1],
                              struct kt_error *err)
{
    struct kt_buf text;
    kt_buf_init(&text, 0);
    enum kt_status status = db_meta_get_text(db, name, &text, err);
    if (status == KT_OK) {
        kt_str_copy(dest, KT_ID_LEN + 1, kt_buf_str(&text));
    }
    kt_buf_done(&text);
    return status;
}

static enum kt_status read_meta(struct kt_store *store, struct kt_error *err)
{
    struct sqlite3 *db = store->log.db;
    struct kt_store_identity *id = &store->identity;
    int64_t joined = 0, alone = 0, epoch = 0, commit = 0;
    enum kt_status status = read_id(db, "node_id", id->node_id, err);
    if (status == KT_OK) {
        status = read_id(db, "cluster_id", id->cluster_id, err);
    }
    if (status == KT_OK) {
        status = db_meta_get_i64(db, "was_in_cluster", 0, &joined, err);
    }
    if (status == KT_OK) {
        status = db_meta_get_i64(db, "was_standalone", 0, &alone, err);
    }
    if (status == KT_OK) {
        status = db_meta_get_i64(db, "kept_epoch", 0, &epoch, err);
    }
    if (status == KT_OK) {
        status = db_meta_get_i64(db, "commit_seq", 0, &commit, err);
    }
    if (status == KT_OK) {
        status = kept_load(store, err);
    }
    id->was_in_cluster = joined != 0;
    id->was_standalone = alone != 0;
    store->kept_epoch = (uint64_t)epoch;
    id->commit_seq = (uint64_t)commit;
    return status;
}

static enum kt_status give_node_id(struct kt_store *store, struct kt_error *err)
{
    char id[KT_ID_LEN + 1];
    kt_random_id(id);
    enum kt_status status = db_meta_set_text(store->log.db, "node_id", kt_str(id), err);
    if (status == KT_OK) {
        memcpy(store->identity.node_id, id, sizeof(id));
    }
    return status;
}

static enum kt_status prepare(struct log_file *log, struct kt_error *err)
{
    struct {
        struct sqlite3_stmt **stmt;
        const char *sql;
    } all[] = {
        {&log->begin, "BEGIN IMMEDIATE"},
        {&log->commit, "COMMIT"},
        {&log->insert_entry, "INSERT INTO entry(seq,epoch,wall_ms,key,body) VALUES(?,?,?,?,?)"},
        {&log->insert_epoch, "INSERT INTO epoch(epoch,epoch_id,first_seq) VALUES(?,?,?)"},
        {&log->set_commit, "INSERT OR REPLACE INTO meta(name,value) VALUES('commit_seq',?)"},
    };
    enum kt_status status = KT_OK;
    for (size_t i = 0; i < KT_ARRAY_LEN(all) && status == KT_OK; i++) {
        status = db_prepare(log->db, all[i].sql, all[i].stmt, err);
    }
    return status;
}

enum kt_status log_open(struct kt_store *store, struct kt_error *err)
{
    struct kt_store_identity *id = &store->identity;
    enum kt_status status = db_open(store->log_path, DB_LOG, &store->log.db, err);
    if (status == KT_OK) {
        status = db_migrate(store->log.db, store->log_path, store_log_migrations,
                            store_log_migration_count, err);
    }
    if (status == KT_OK) {
        status = read_meta(store, err);
    }
    if (status == KT_OK && !id->node_id[0]) {
        status = give_node_id(store, err);
    }
    if (status == KT_OK) {
        status = log_read_positions(store, err);
    }
    if (status == KT_OK) {
        status = prepare(&store->log, err);
    }
    id->epoch = store->kept_epoch > id->end_epoch ? store->kept_epoch : id->end_epoch;
    if (id->commit_seq > id->end_seq) {
        id->commit_seq = id->end_seq;
    }
    atomic_store(&store->noted_commit, id->commit_seq);
    return status;
}

enum kt_status log_stamp_of(struct kt_store *store, uint64_t seq, int64_t *ret_wall_ms,
                            struct kt_error *err)
{
    struct sqlite3_stmt *stmt = NULL;
    enum kt_status status = db_prepare(store->log.db,
                                       "SELECT wall_ms FROM entry WHERE seq=?1"
                                       " UNION ALL SELECT wall_ms FROM base WHERE seq=?1",
                                       &stmt, err);
    if (status == KT_OK) {
        db_bind_u64(stmt, 1, seq);
        status = db_step(stmt, err);
    }
    if (status == KT_OK) {
        *ret_wall_ms = db_i64(stmt, 0);
    } else if (status == KT_NOT_FOUND) {
        *ret_wall_ms = 0;
        status = KT_OK;
    }
    db_finalize(&stmt);
    return status;
}

void log_close(struct kt_store *store)
{
    db_finalize(&store->log.begin);
    db_finalize(&store->log.commit);
    db_finalize(&store->log.insert_entry);
    db_finalize(&store->log.insert_epoch);
    db_finalize(&store->log.set_commit);
    db_close(&store->log.db);
    kt_free(store->epochs);
    store->epochs = NULL;
}

/* --- appending --- */

struct append_plan {
    uint64_t end_seq, end_epoch;
    struct kt_epoch *epochs; /* new elements of the vector */
    size_t epoch_count;
};

/* Checks that the entries continue the log, and collects the epochs that they begin. */
static enum kt_status plan_append(struct append_plan *plan, const struct kt_entry *entries,
                                  size_t count, struct kt_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct kt_entry *entry = &entries[i];
        int kind = kt_change_kind_of(entry->body);
        bool rises = entry->epoch > plan->end_epoch;
        if (entry->seq != plan->end_seq + 1 || entry->seq > KT_REVISION_MAX) {
            return kt_fail(err, KT_CORRUPT,
                           "entry %llu does not continue the log, which ends at %llu",
                           (unsigned long long)entry->seq, (unsigned long long)plan->end_seq);
        }
        if (entry->epoch < plan->end_epoch || rises != (kind == KT_CHANGE_EPOCH_START) ||
            entry->epoch > KT_REVISION_MAX) {
            return kt_fail(err, KT_CORRUPT,
                           "entry %llu of epoch %llu (kind %d) cannot follow epoch %llu",
                           (unsigned long long)entry->seq, (unsigned long long)entry->epoch, kind,
                           (unsigned long long)plan->end_epoch);
        }
        if (rises) {
            struct kt_change change;
            struct kt_epoch *grown =
                kt_reallocarray(plan->epochs, plan->epoch_count + 1, sizeof(*grown));
            if (!grown) {
                return kt_fail(err, KT_NO_MEMORY, "no memory for the epoch vector");
            }
            plan->epochs = grown;
            enum kt_status status = kt_change_decode(entry->body, &change, err);
            if (status != KT_OK) {
                return status;
            }
            struct kt_epoch *epoch = &plan->epochs[plan->epoch_count++];
            epoch->epoch = entry->epoch;
            epoch->first_seq = entry->seq;
            kt_str_copy(epoch->epoch_id, sizeof(epoch->epoch_id), change.epoch_start.epoch_id);
            kt_change_done(&change);
        }
        plan->end_seq = entry->seq;
        plan->end_epoch = entry->epoch;
    }
    return KT_OK;
}

static enum kt_status write_entries(struct log_file *log, const struct kt_entry *entries,
                                    size_t count, const struct append_plan *plan,
                                    uint64_t commit_seq, struct kt_error *err)
{
    enum kt_status status = db_run(log->begin, err);
    for (size_t i = 0; i < count && status == KT_OK; i++) {
        db_bind_u64(log->insert_entry, 1, entries[i].seq);
        db_bind_u64(log->insert_entry, 2, entries[i].epoch);
        db_bind_i64(log->insert_entry, 3, entries[i].wall_ms);
        db_bind_text(log->insert_entry, 4, entries[i].key);
        db_bind_blob(log->insert_entry, 5, entries[i].body);
        status = db_run(log->insert_entry, err);
    }
    for (size_t i = 0; i < plan->epoch_count && status == KT_OK; i++) {
        db_bind_u64(log->insert_epoch, 1, plan->epochs[i].epoch);
        db_bind_text(log->insert_epoch, 2, kt_str(plan->epochs[i].epoch_id));
        db_bind_u64(log->insert_epoch, 3, plan->epochs[i].first_seq);
        status = db_run(log->insert_epoch, err);
    }
    if (status == KT_OK) {
        db_bind_u64(log->set_commit, 1, commit_seq);
        status = db_run(log->set_commit, err);
    }
    if (status == KT_OK) {
        status = db_run(log->commit, err);
    }
    if (status != KT_OK) {
        db_rollback(log->db);
    }
    return status;
}

/* Room in the vector before anything is written: after the commit nothing may fail. */
static enum kt_status reserve_epochs(struct kt_store *store, size_t more, struct kt_error *err)
{
    enum kt_status status = KT_OK;
    kt_mutex_lock(&store->state_mutex);
    if (store->epoch_count + more > store->epoch_cap) {
        size_t cap = store->epoch_cap * 2 + more;
        struct kt_epoch *epochs = kt_reallocarray(store->epochs, cap, sizeof(*epochs));
        if (epochs) {
            store->epochs = epochs;
            store->epoch_cap = cap;
        } else {
            status = kt_fail(err, KT_NO_MEMORY, "no memory for the epoch vector");
        }
    }
    kt_mutex_unlock(&store->state_mutex);
    return status;
}

static void note_append(struct kt_store *store, const struct kt_entry *entries, size_t count,
                        const struct append_plan *plan)
{
    struct kt_store_identity *id = &store->identity;
    kt_mutex_lock(&store->state_mutex);
    for (size_t i = 0; i < plan->epoch_count; i++) {
        store->epochs[store->epoch_count++] = plan->epochs[i];
    }
    id->end_seq = plan->end_seq;
    id->end_epoch = plan->end_epoch;
    id->epoch = id->epoch > plan->end_epoch ? id->epoch : plan->end_epoch;
    store->log_last_wall_ms = entries[count - 1].wall_ms;
    kt_mutex_unlock(&store->state_mutex);
}

enum kt_status kt_store_log_append(struct kt_store *store, const struct kt_entry *entries,
                                   size_t count, uint64_t commit_seq, struct kt_error *err)
{
    if (count == 0) {
        kt_store_log_note_commit(store, commit_seq);
        return KT_OK;
    }
    struct append_plan plan = {0};
    kt_mutex_lock(&store->log_mutex);
    kt_store_log_end(store, &plan.end_seq, &plan.end_epoch);
    enum kt_status status = plan_append(&plan, entries, count, err);
    if (status == KT_OK) {
        status = reserve_epochs(store, plan.epoch_count, err);
    }
    if (status == KT_OK) {
        /* Never beyond the end: what is not there cannot be known to be committed. */
        uint64_t noted = atomic_load(&store->noted_commit);
        commit_seq = commit_seq > noted ? commit_seq : noted;
        commit_seq = commit_seq < plan.end_seq ? commit_seq : plan.end_seq;
        status = write_entries(&store->log, entries, count, &plan, commit_seq, err);
    }
    if (status == KT_OK) {
        kt_store_log_note_commit(store, commit_seq);
    }
    if (status == KT_OK) {
        note_append(store, entries, count, &plan);
    }
    kt_mutex_unlock(&store->log_mutex);
    kt_free(plan.epochs);
    return status;
}

void kt_store_log_note_commit(struct kt_store *store, uint64_t commit_seq)
{
    uint64_t before = atomic_load(&store->noted_commit);
    while (before < commit_seq &&
           !atomic_compare_exchange_weak(&store->noted_commit, &before, commit_seq)) {
    }
}

/* --- reading --- */

void kt_entries_done(struct kt_entries *entries)
{
    kt_free(entries->items);
    kt_buf_done(&entries->memory);
    *entries = (struct kt_entries){0};
}

/* Copies a row; text positions stay offsets until all is read, for the memory may move. */
static enum kt_status take_entry(struct kt_entries *entries, size_t *cap, struct sqlite3_stmt *stmt,
                                 struct kt_error *err)
{
    if (entries->count == *cap) {
        size_t grown_cap = *cap ? *cap * 2 : 64;
        struct kt_entry *grown = kt_reallocarray(entries->items, grown_cap, sizeof(*grown));
        if (!grown) {
            return kt_fail(err, KT_NO_MEMORY, "no memory for log entries");
        }
        entries->items = grown;
        *cap = grown_cap;
    }
    struct kt_entry *entry = &entries->items[entries->count];
    struct kt_str key = db_text(stmt, 3), body = db_blob(stmt, 4);
    *entry = (struct kt_entry){.seq = db_u64(stmt, 0),
                               .epoch = db_u64(stmt, 1),
                               .wall_ms = db_i64(stmt, 2),
                               .key = {NULL, key.len},
                               .body = {NULL, body.len}};
    enum kt_status status = db_check_columns(stmt, err);
    if (status != KT_OK) {
        return status;
    }
    kt_buf_append_str(&entries->memory, key);
    kt_buf_append_str(&entries->memory, body);
    if (kt_buf_status(&entries->memory) != KT_OK) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for log entries");
    }
    entries->count++;
    return KT_OK;
}

#define ENTRY_BYTES 64 /* what an entry takes besides key and body, in memory and on the wire */

static enum kt_status read_rows(struct sqlite3_stmt *stmt, uint64_t after_seq, size_t max_bytes,
                                struct kt_entries *entries, struct kt_error *err)
{
    size_t cap = 0, bytes = 0;
    enum kt_status status;
    while ((status = db_step(stmt, err)) == KT_OK) {
        size_t size = ENTRY_BYTES + db_text(stmt, 3).len + db_blob(stmt, 4).len;
        if (entries->count > 0 && (size > max_bytes || bytes > max_bytes - size)) {
            break;
        }
        if (db_u64(stmt, 0) != after_seq + entries->count + 1) {
            status = kt_fail(err, KT_CORRUPT, "the log has no entry %llu",
                             (unsigned long long)after_seq + entries->count + 1);
            break;
        }
        status = take_entry(entries, &cap, stmt, err);
        if (status != KT_OK) {
            break;
        }
        bytes += size;
    }
    db_reset(stmt);
    return status == KT_NOT_FOUND ? KT_OK : status;
}

enum kt_status kt_store_log_read(struct kt_store *store, uint64_t after_seq, uint64_t until_seq,
                                 size_t max_bytes, struct kt_entries *ret_entries,
                                 struct kt_error *err)
{
    kt_mutex_lock(&store->state_mutex);
    uint64_t first = store->log_first_seq, end = store->identity.end_seq;
    kt_mutex_unlock(&store->state_mutex);
    struct kt_entries entries = {0};
    kt_buf_init(&entries.memory, 0);
    uint64_t until = until_seq < end ? until_seq : end;
    if (after_seq >= until) {
        *ret_entries = entries;
        return KT_OK;
    }
    if (after_seq + 1 < first) {
        return kt_fail(err, KT_GONE, "the log begins at %llu", (unsigned long long)first);
    }
    struct reader *reader = NULL;
    enum kt_status status = pool_take(&store->log_readers, &reader, err);
    if (status != KT_OK) {
        return status;
    }
    db_bind_u64(reader->stmts[READER_FIRST], 1, after_seq);
    db_bind_u64(reader->stmts[READER_FIRST], 2, until);
    status = read_rows(reader->stmts[READER_FIRST], after_seq, max_bytes, &entries, err);
    pool_give(&store->log_readers, reader);
    first = kt_store_log_first(store);
    if (after_seq + 1 < first) { /* it was cut meanwhile: no gap */
        kt_entries_done(&entries);
        return kt_fail(err, KT_GONE, "the log begins at %llu", (unsigned long long)first);
    }
    if (status != KT_OK) {
        kt_entries_done(&entries);
        return status;
    }
    const char *at = entries.memory.data;
    for (size_t i = 0; i < entries.count; i++) {
        entries.items[i].key.data = at;
        entries.items[i].body.data = at + entries.items[i].key.len;
        at += entries.items[i].key.len + entries.items[i].body.len;
    }
    *ret_entries = entries;
    return KT_OK;
}

enum kt_status kt_store_log_entry_id(struct kt_store *store, uint64_t seq,
                                     struct kt_epoch *ret_epoch, struct kt_error *err)
{
    kt_mutex_lock(&store->state_mutex);
    const struct kt_epoch *at = kt_epochs_at(store->epochs, store->epoch_count, seq);
    bool known = at && seq <= store->identity.end_seq;
    if (known) {
        *ret_epoch = *at;
    }
    kt_mutex_unlock(&store->state_mutex);
    return known ? KT_OK
                 : kt_fail(err, KT_NOT_FOUND, "the log has no entry %llu", (unsigned long long)seq);
}

enum kt_status kt_store_epochs(struct kt_store *store, struct kt_epoch **ret_epochs,
                               size_t *ret_count, struct kt_error *err)
{
    kt_mutex_lock(&store->state_mutex);
    size_t count = store->epoch_count;
    struct kt_epoch *copy = kt_reallocarray(NULL, count + 1, sizeof(*copy));
    if (copy && count > 0) {
        memcpy(copy, store->epochs, count * sizeof(*copy));
    }
    kt_mutex_unlock(&store->state_mutex);
    if (!copy) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for the epoch vector");
    }
    *ret_epochs = copy;
    *ret_count = count;
    return KT_OK;
}

void kt_store_log_end(struct kt_store *store, uint64_t *ret_seq, uint64_t *ret_epoch)
{
    kt_mutex_lock(&store->state_mutex);
    *ret_seq = store->identity.end_seq;
    *ret_epoch = store->identity.end_epoch;
    kt_mutex_unlock(&store->state_mutex);
}

uint64_t kt_store_log_first(struct kt_store *store)
{
    kt_mutex_lock(&store->state_mutex);
    uint64_t seq = store->log_first_seq;
    kt_mutex_unlock(&store->state_mutex);
    return seq;
}

int64_t kt_store_log_last_wall_ms(struct kt_store *store)
{
    kt_mutex_lock(&store->state_mutex);
    int64_t wall_ms = store->log_last_wall_ms;
    kt_mutex_unlock(&store->state_mutex);
    return wall_ms;
}

/* SPDX-License-Identifier: MIT */
/* Opening both files so that they belong together, closing them, and who waits for what is applied.
 *
 * A crash between two steps of the first open leaves files without ids; they take the other file's.
 * A data file that is gone is made again from the log. A log file that is gone cannot be: then the
 * data file names its node and the start is refused before anything new is created.
 */
#include "store/store_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "store/spool.h"

#include <stdio.h>
#include <string.h>

#define REDO_BYTES (4u << 20)
#define LOG_READERS 4

/* --- the newest view, and waiting for it --- */

struct kt_catalogue *kt_store_view(struct kt_store *store)
{
    kt_mutex_lock(&store->view_mutex);
    struct kt_catalogue *view = kt_catalogue_ref(store->view);
    kt_mutex_unlock(&store->view_mutex);
    return view;
}

uint64_t kt_store_applied(struct kt_store *store)
{
    /* Acquire pairs with the release in store_publish: who sees the number sees the view. */
    return atomic_load_explicit(&store->applied, memory_order_acquire);
}

/* One by one, each on its own condition: a broadcast would wake thousands for nothing. */
static void wake_waiters(struct kt_store *store, uint64_t applied)
{
    kt_mutex_lock(&store->state_mutex);
    struct apply_waiter **place = &store->waiters;
    while (*place) {
        struct apply_waiter *waiter = *place;
        if (waiter->seq <= applied) {
            *place = waiter->next;
            waiter->woken = true;
            kt_cond_signal(&waiter->cond);
        } else {
            place = &waiter->next;
        }
    }
    kt_mutex_unlock(&store->state_mutex);
}

void store_publish(struct kt_store *store, struct kt_catalogue *view)
{
    uint64_t revision = kt_catalogue_revision(view);
    kt_mutex_lock(&store->view_mutex);
    struct kt_catalogue *old = store->view;
    store->view = view;
    kt_mutex_unlock(&store->view_mutex);
    kt_catalogue_unref(&old);
    atomic_store_explicit(&store->applied, revision, memory_order_release);
    wake_waiters(store, revision);
}

bool kt_store_wait_applied(struct kt_store *store, uint64_t seq, int64_t deadline_mono_ms)
{
    if (kt_store_applied(store) >= seq) {
        return true;
    }
    struct apply_waiter waiter = {.seq = seq};
    kt_cond_init(&waiter.cond);
    kt_mutex_lock(&store->state_mutex);
    /* Looked at again under the mutex: wake_waiters comes after the number was set. */
    bool done = kt_store_applied(store) >= seq;
    if (!done) {
        waiter.next = store->waiters;
        store->waiters = &waiter;
        bool in_time = true;
        while (!waiter.woken && in_time) {
            in_time = kt_cond_wait(&waiter.cond, &store->state_mutex, deadline_mono_ms);
        }
        done = waiter.woken;
        for (struct apply_waiter **place = &store->waiters; !done && *place;
             place = &(*place)->next) {
            if (*place == &waiter) {
                *place = waiter.next;
                break;
            }
        }
    }
    kt_mutex_unlock(&store->state_mutex);
    kt_cond_done(&waiter.cond);
    return done;
}

bool kt_store_cursor_key(struct kt_store *store, unsigned char ret_key[KT_CURSOR_KEY_BYTES])
{
    kt_mutex_lock(&store->state_mutex);
    bool known = store->has_cursor_key;
    if (known) {
        memcpy(ret_key, store->cursor_key, KT_CURSOR_KEY_BYTES);
    }
    kt_mutex_unlock(&store->state_mutex);
    return known;
}

/* --- identity --- */

void kt_store_identity(struct kt_store *store, struct kt_store_identity *ret_identity)
{
    kt_mutex_lock(&store->state_mutex);
    *ret_identity = store->identity;
    kt_mutex_unlock(&store->state_mutex);
}

/* --- opening --- */

char *store_beside(const struct kt_store *store, const char *suffix)
{
    struct kt_str stem = kt_str(store->path);
    if (kt_str_ends(stem, KT_STR(".db"))) {
        stem.len -= 3;
    }
    size_t size = stem.len + strlen(suffix) + 1;
    char *path = kt_malloc(size);
    if (path) {
        snprintf(path, size, KT_STR_FMT "%s", KT_STR_ARG(stem), suffix);
    }
    return path;
}

static bool make_paths(struct kt_store *store, const char *path)
{
    store->path = kt_strdup(path);
    if (!store->path) {
        return false;
    }
    store->log_path = store_beside(store, ".log.db");
    store->lock_path = store_beside(store, ".lock");
    return store->log_path && store->lock_path;
}

struct data_ids {
    char node_id[KT_ID_LEN + 1], cluster_id[KT_ID_LEN + 1];
    uint64_t applied;
    uint64_t known; /* what was ever applied: more than `applied` while the data is made again */
};

static enum kt_status read_data_ids(struct kt_store *store, struct data_ids *ids,
                                    struct kt_error *err)
{
    struct kt_buf node, cluster;
    kt_buf_init(&node, 0);
    kt_buf_init(&cluster, 0);
    int64_t applied = 0, known = 0;
    enum kt_status status = db_meta_get_text(store->data, "node_id", &node, err);
    if (status == KT_OK) {
        status = db_meta_get_text(store->data, "cluster_id", &cluster, err);
    }
    if (status == KT_OK) {
        status = db_meta_get_i64(store->data, "applied_seq", 0, &applied, err);
    }
    if (status == KT_OK) {
        status = db_meta_get_i64(store->data, "known_commit", 0, &known, err);
    }
    kt_str_copy(ids->node_id, sizeof(ids->node_id), kt_buf_str(&node));
    kt_str_copy(ids->cluster_id, sizeof(ids->cluster_id), kt_buf_str(&cluster));
    ids->applied = (uint64_t)applied;
    ids->known = (uint64_t)(known > applied ? known : applied);
    kt_buf_done(&node);
    kt_buf_done(&cluster);
    return status;
}

static enum kt_status open_data(struct kt_store *store, struct data_ids *ids, struct kt_error *err)
{
    enum kt_status status = db_open(store->path, DB_DATA, &store->data, err);
    if (status == KT_OK) {
        status = db_migrate(store->data, store->path, store_data_migrations,
                            store_data_migration_count, err);
    }
    if (status == KT_OK) {
        checkpoint_watch(store);
    }
    return status == KT_OK ? read_data_ids(store, ids, err) : status;
}

/* The rules of store.h; the message names both files and both sides. */
static enum kt_status check_pair(struct kt_store *store, const struct data_ids *ids,
                                 struct kt_error *err)
{
    const struct kt_store_identity *id = &store->identity;
    const char *data = store->path, *log = store->log_path;
    if (ids->node_id[0] && strcmp(ids->node_id, id->node_id) != 0) {
        return kt_fail(err, KT_CORRUPT, "%s belongs to node %s, but %s to node %s", data,
                       ids->node_id, log, id->node_id);
    }
    if (ids->cluster_id[0] && strcmp(ids->cluster_id, id->cluster_id) != 0) {
        return kt_fail(err, KT_CORRUPT, "%s belongs to cluster %s, but %s to cluster %s", data,
                       ids->cluster_id, log, id->cluster_id[0] ? id->cluster_id : "(none)");
    }
    if (id->end_seq < ids->known) {
        return kt_fail(err, KT_CORRUPT, "%s has applied entry %llu, but %s ends at %llu", data,
                       (unsigned long long)ids->known, log, (unsigned long long)id->end_seq);
    }
    if (store->log_first_seq > ids->applied + 1) {
        return kt_fail(err, KT_CORRUPT, "%s has applied entry %llu, but %s begins at %llu", data,
                       (unsigned long long)ids->applied, log,
                       (unsigned long long)store->log_first_seq);
    }
    return KT_OK;
}

/* What a crash, or a data file made anew, left out. */
static enum kt_status complete_data_ids(struct kt_store *store, const struct data_ids *ids,
                                        struct kt_error *err)
{
    const struct kt_store_identity *id = &store->identity;
    enum kt_status status = KT_OK;
    if (!ids->node_id[0]) {
        status = db_meta_set_text(store->data, "node_id", kt_str(id->node_id), err);
    }
    if (status == KT_OK && !ids->cluster_id[0] && id->cluster_id[0]) {
        status = db_meta_set_text(store->data, "cluster_id", kt_str(id->cluster_id), err);
    }
    return status;
}

static enum kt_status redo(struct kt_store *store, const struct kt_store_options *options,
                           struct kt_error *err)
{
    uint64_t start = kt_store_applied(store), until = store->identity.commit_seq;
    enum kt_status status = KT_OK;
    while (status == KT_OK && kt_store_applied(store) < until) {
        struct kt_entries entries = {0};
        status =
            kt_store_log_read(store, kt_store_applied(store), until, REDO_BYTES, &entries, err);
        if (status == KT_OK && entries.count == 0) {
            status = kt_fail(err, KT_CORRUPT, "%s: entry %llu is missing", store->log_path,
                             (unsigned long long)kt_store_applied(store) + 1);
        }
        if (status == KT_OK) {
            status = kt_store_apply(store, entries.items, entries.count, NULL, err);
        }
        kt_entries_done(&entries);
        if (status == KT_OK && options->on_progress) {
            options->on_progress(options->on_progress_ctx, "redo", kt_store_applied(store) - start,
                                 until - start);
        }
    }
    return status;
}

static enum kt_status lock_files(struct kt_store *store, const struct kt_store_options *options,
                                 struct kt_error *err)
{
    enum kt_status status = kt_fs_mkdirs_for(store->path, err);
    if (status != KT_OK) {
        return status;
    }
    char what[256];
    snprintf(what, sizeof(what), "kamaitachi %s", store->path);
    status = kt_lock_acquire(store->lock_path, what, &store->lock, err);
    if (status == KT_OK) {
        kt_spools_remove(store->path); /* nobody else can be using them now */
        copies_out_remove(store);
        status = copy_settle(store, options, err);
    }
    return status;
}

static enum kt_status open_files(struct kt_store *store, struct kt_error *err)
{
    struct data_ids ids = {0};
    bool had_log = kt_fs_exists(store->log_path), had_data = kt_fs_exists(store->path);
    enum kt_status status = open_data(store, &ids, err);
    if (status == KT_OK && ids.node_id[0] && !had_log) {
        status = kt_fail(err, KT_CORRUPT, "%s belongs to node %s, but its log %s is missing",
                         store->path, ids.node_id, store->log_path);
    }
    if (status == KT_OK) {
        status = log_open(store, err);
    }
    if (status == KT_OK) {
        status = check_pair(store, &ids, err);
    }
    if (status == KT_OK) {
        status = complete_data_ids(store, &ids, err);
    }
    if (status == KT_OK && (!had_log || !had_data)) {
        /* A new file's name in its directory must survive a power cut as its content does. */
        status = kt_fs_sync_parent(store->path, err);
    }
    if (store->identity.commit_seq < ids.known) {
        store->identity.commit_seq = ids.known;
        atomic_store(&store->noted_commit, ids.known);
    }
    return status;
}

static void init_parts(struct kt_store *store, const struct kt_store_options *options)
{
    kt_mutex_init(&store->log_mutex, "store log", KT_RANK_STORE_WRITE);
    kt_mutex_init(&store->apply_mutex, "store apply", KT_RANK_STORE_WRITE);
    kt_mutex_init(&store->view_mutex, "store view", KT_RANK_CATALOGUE);
    kt_mutex_init(&store->state_mutex, "store state", KT_RANK_STORE_POOL);
    kt_buf_init(&store->kept, 0);
    kt_buf_init(&store->kept_growth, 0);
    pool_init(&store->log_readers, store->log_path,
              options->read_connections < LOG_READERS ? options->read_connections : LOG_READERS);
    store->log_readers.sql[READER_FIRST] =
        "SELECT seq,epoch,wall_ms,key,body FROM entry WHERE seq>? AND seq<=? ORDER BY seq";
    pool_init(&store->data_readers, store->path, options->read_connections);
    store->data_readers.loads_series = true;
    store->data_readers.sql[READER_FIRST] =
        "SELECT time,period,declare_time,revision,line,declare_given,data FROM version"
        " WHERE subject=? ORDER BY time,period,declare_time,revision,line";
    store->data_readers.sql[READER_SECOND] =
        "SELECT seq FROM revision WHERE wall_ms<=? ORDER BY wall_ms DESC, seq DESC LIMIT 1";
    store->data_readers.sql[READER_REQUEST] = store_find_request_sql;
    store->data_readers.sql[READER_RECORDS] = store_find_records_sql;
    store->data_readers.sql[READER_TOUCHED] = store_touched_sql;
    generic_prepare(&store->data_readers);
}

static void free_parts(struct kt_store *store)
{
    pool_done(&store->data_readers);
    pool_done(&store->log_readers);
    log_close(store);
    data_close(store);
    applier_free(&store->applier);
    behind_done(store);
    kt_catalogue_unref(&store->view);
    names_unref(&store->names);
    names_unref(&store->topic_names);
    kt_lock_release(&store->lock);
    kt_buf_done(&store->kept);
    kt_buf_done(&store->kept_growth);
    kt_mutex_done(&store->log_mutex);
    kt_mutex_done(&store->apply_mutex);
    kt_mutex_done(&store->view_mutex);
    kt_mutex_done(&store->state_mutex);
}

static void free_store(struct kt_store **store)
{
    free_parts(*store);
    kt_free((*store)->path);
    kt_free((*store)->log_path);
    kt_free((*store)->lock_path);
    kt_free((*store)->rollback_path);
    kt_free(*store);
    *store = NULL;
}

/* Nothing is opened yet. */
static enum kt_status new_store(const struct kt_store_options *options, struct kt_store **ret_store,
                                struct kt_error *err)
{
    struct kt_store *store = kt_calloc(1, sizeof(*store));
    if (!store || !make_paths(store, options->path)) {
        if (store) {
            kt_free(store->path);
            kt_free(store->log_path);
            kt_free(store->lock_path);
        }
        kt_free(store);
        return kt_fail(err, KT_NO_MEMORY, "no memory to open a store");
    }
    init_parts(store, options);
    *ret_store = store;
    return KT_OK;
}

static enum kt_status open_all(struct kt_store *store, const struct kt_store_options *options,
                               struct kt_error *err)
{
    enum kt_status status = lock_files(store, options, err);
    if (status == KT_OK) {
        store->applier = applier_new();
        status = store->applier ? KT_OK : kt_fail(err, KT_NO_MEMORY, "no memory to open a store");
    }
    if (status == KT_OK) {
        status = open_files(store, err);
    }
    if (status == KT_OK) {
        status = data_prepare(store, err);
    }
    if (status == KT_OK) {
        status = data_load(store, err);
    }
    return status == KT_OK ? redo(store, options, err) : status;
}

static enum kt_status open_once(const struct kt_store_options *options, struct kt_store **ret_store,
                                struct kt_error *err)
{
    struct kt_store *store = NULL;
    enum kt_status status = new_store(options, &store, err);
    if (status == KT_OK) {
        status = open_all(store, options, err);
    }
    if (status != KT_OK) {
        if (store) {
            free_store(&store);
        }
        return status;
    }
    *ret_store = store;
    return KT_OK;
}

/* `why` is what is wrong with the files. */
static enum kt_status start_anew(const struct kt_store_options *options, const char *why,
                                 struct kt_error *err)
{
    struct kt_store *store = NULL;
    enum kt_status status = new_store(options, &store, err);
    if (status == KT_OK) {
        status = lock_files(store, options, err);
        status = status == KT_OK ? copy_start_anew(store, options, why, err) : status;
        free_store(&store);
    }
    return status;
}

enum kt_status kt_store_open(const struct kt_store_options *options, struct kt_store **ret_store,
                             struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    KT_ASSERT(options->read_connections >= 1 && options->read_connections <= 64);
    enum kt_status status = open_once(options, ret_store, &why);
    if (status == KT_CORRUPT && options->rejoin) {
        status = start_anew(options, why.message, err);
        return status == KT_OK ? open_once(options, ret_store, err) : status;
    }
    if (status != KT_OK && err) {
        *err = why;
    }
    return status;
}

void kt_store_close(struct kt_store **store)
{
    if (!store || !*store) {
        return;
    }
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *s = *store;
    KT_ASSERT(!s->waiters && s->taking != COPY_LOADING);
    for (int i = 0; i < KT_COPIES_OUT_MAX; i++) {
        KT_ASSERT(!s->copies_out[i].open); /* nobody reads a store that is being closed */
    }
    /* Both only spare work at the next start, so a failure here loses nothing. */
    uint64_t noted = atomic_load(&s->noted_commit);
    uint64_t commit = noted < s->identity.end_seq ? noted : s->identity.end_seq;
    if (db_meta_set_i64(s->log.db, "commit_seq", (int64_t)commit, &err) == KT_OK) {
        db_checkpoint(s->log.db);
    }
    if (kt_store_flush(s, &err) != KT_OK) {
        kt_log(WARN, "store", "not_written", "why=\"%s\"", err.message);
    }
    db_checkpoint(s->data);
    free_store(store);
}

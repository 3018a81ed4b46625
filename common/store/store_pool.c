/* SPDX-License-Identifier: MIT */
/* Read connections: opened when first needed, up to the limit, then handed round. */
#include "store/store_internal.h"

#include "base/mem.h"

#define TAKE_WAIT_MS 30000

void pool_init(struct reader_pool *pool, const char *path, int limit)
{
    *pool = (struct reader_pool){.path = path, .limit = limit};
    kt_mutex_init(&pool->mutex, "store readers", KT_RANK_STORE_POOL);
    kt_cond_init(&pool->given);
}

static void reader_free(struct reader *reader)
{
    for (int i = 0; i < READER_STMTS; i++) {
        db_finalize(&reader->stmts[i]);
    }
    db_close(&reader->db);
    kt_series_builder_free(&reader->builder);
    rowdata_reader_free(&reader->rows);
    kt_free(reader);
}

void pool_done(struct reader_pool *pool)
{
    if (!pool->path) {
        return;
    }
    while (pool->idle) {
        struct reader *reader = pool->idle;
        pool->idle = reader->next;
        pool->opened--;
        reader_free(reader);
    }
    KT_ASSERT(pool->opened == 0); /* nobody reads a store that is being closed */
    kt_cond_done(&pool->given);
    kt_mutex_done(&pool->mutex);
    pool->path = NULL;
}

static enum kt_status reader_open(const struct reader_pool *pool, struct reader **ret_reader,
                                  struct kt_error *err)
{
    struct reader *reader = kt_calloc(1, sizeof(*reader));
    if (!reader) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for a read connection");
    }
    enum kt_status status = db_open(pool->path, DB_READER, &reader->db, err);
    for (int i = 0; i < READER_STMTS && status == KT_OK; i++) {
        if (pool->sql[i]) {
            status = db_prepare(reader->db, pool->sql[i], &reader->stmts[i], err);
        }
    }
    if (status == KT_OK && pool->loads_series) {
        reader->builder = kt_series_builder_new();
        reader->rows = rowdata_reader_new();
        if (!reader->builder || !reader->rows) {
            status = kt_fail(err, KT_NO_MEMORY, "no memory for a read connection");
        }
    }
    if (status != KT_OK) {
        reader_free(reader);
        return status;
    }
    *ret_reader = reader;
    return KT_OK;
}

enum kt_status pool_take(struct reader_pool *pool, struct reader **ret_reader, struct kt_error *err)
{
    return pool_take_within(pool, TAKE_WAIT_MS, ret_reader, err);
}

enum kt_status pool_take_until(struct reader_pool *pool, int64_t deadline_mono_ms,
                               struct reader **ret_reader, struct kt_error *err)
{
    int64_t now_ms = kt_now_mono_ms();
    int64_t wait_ms = deadline_mono_ms > now_ms ? deadline_mono_ms - now_ms : 0;
    return pool_take_within(pool, wait_ms < TAKE_WAIT_MS ? wait_ms : TAKE_WAIT_MS, ret_reader, err);
}

enum kt_status pool_take_within(struct reader_pool *pool, int64_t wait_ms,
                                struct reader **ret_reader, struct kt_error *err)
{
    int64_t deadline = kt_now_mono_ms() + wait_ms;
    kt_mutex_lock(&pool->mutex);
    bool in_time = true;
    while (!pool->idle && pool->opened == pool->limit && in_time) {
        in_time = kt_cond_wait(&pool->given, &pool->mutex, deadline);
    }
    struct reader *reader = pool->idle;
    bool may_open = !reader && pool->opened < pool->limit;
    if (reader) {
        pool->idle = reader->next;
    } else if (may_open) {
        pool->opened++;
    }
    kt_mutex_unlock(&pool->mutex);
    if (reader) {
        *ret_reader = reader;
        return KT_OK;
    }
    if (!may_open) {
        return kt_fail(err, KT_BUSY, "all %d read connections of %s are busy", pool->limit,
                       pool->path);
    }
    enum kt_status status = reader_open(pool, ret_reader, err);
    if (status != KT_OK) {
        kt_mutex_lock(&pool->mutex);
        pool->opened--;
        kt_cond_signal(&pool->given);
        kt_mutex_unlock(&pool->mutex);
    }
    return status;
}

void pool_give(struct reader_pool *pool, struct reader *reader)
{
    kt_mutex_lock(&pool->mutex);
    reader->next = pool->idle;
    pool->idle = reader;
    kt_cond_signal(&pool->given);
    kt_mutex_unlock(&pool->mutex);
}

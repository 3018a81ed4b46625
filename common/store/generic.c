/* SPDX-License-Identifier: MIT */
/* Finding generic series. One read transaction, so that a search sees one revision; it looks at a
 * bounded number of series, so that no search keeps a read connection from others for long.
 */
#include "store/store_internal.h"

#define LOOK_AT_CLOCK 256 /* series between two looks at the clock */

void generic_prepare(struct reader_pool *data_readers)
{
    const char **sql = data_readers->sql;
    sql[READER_GENERIC_FIND] =
        "SELECT number,tbl,id,create_time,update_time FROM generic_series WHERE tbl=? AND id=?";
    sql[READER_GENERIC_SCAN] = "SELECT number,tbl,id,create_time,update_time FROM generic_series"
                               " WHERE tbl=? AND id>=? ORDER BY id";
    sql[READER_GENERIC_HAS] =
        "SELECT 1 FROM generic_point WHERE series=? AND time>=? AND time<=? LIMIT 1";
    sql[READER_GENERIC_POINTS] = "SELECT time,count,numbers FROM generic_point"
                                 " WHERE series=? AND time>=? AND time<=? ORDER BY time";
}

struct search {
    const struct kt_store *store;
    const struct kt_generic_query *query;
    const struct kt_generic_sink *sink;
    struct reader *reader;
    uint64_t looks, skipped, found;
    bool more; /* one beyond the limit was found: the search is over */
};

static enum kt_status corrupt(const struct search *s, struct kt_error *err)
{
    return kt_fail(err, KT_CORRUPT, "%s: a generic series is damaged", s->store->path);
}

/* Is it an array of `count` numbers, as apply writes it? */
static bool is_numbers(struct kt_str text, int64_t count)
{
    if (text.len < 2 || text.data[0] != '[' || text.data[text.len - 1] != ']') {
        return false;
    }
    struct kt_str rest = kt_str_n(text.data + 1, text.len - 2);
    while (rest.data && count > 0) {
        double number;
        if (!kt_parse_f64(kt_str_cut(&rest, ','), &number)) {
            return false;
        }
        count--;
    }
    return !rest.data && count == 0;
}

static void bind_bounds(struct sqlite3_stmt *stmt, int64_t number, const struct kt_generic_query *q)
{
    db_bind_i64(stmt, 1, number);
    db_bind_i64(stmt, 2, q->bounded ? q->from_s : KT_TIME_MIN);
    db_bind_i64(stmt, 3, q->bounded ? q->to_s : KT_TIME_MAX);
}

/* KT_OK, or KT_NOT_FOUND when none of its points is within the bounds. */
static enum kt_status has_point(const struct search *s, int64_t number, struct kt_error *err)
{
    struct sqlite3_stmt *stmt = s->reader->stmts[READER_GENERIC_HAS];
    if (!s->query->bounded) {
        return KT_OK;
    }
    bind_bounds(stmt, number, s->query);
    enum kt_status status = db_step(stmt, err);
    if (status == KT_OK) {
        db_reset(stmt);
    }
    return status;
}

static enum kt_status give_points(const struct search *s, int64_t number, struct kt_error *err)
{
    struct sqlite3_stmt *stmt = s->reader->stmts[READER_GENERIC_POINTS];
    bind_bounds(stmt, number, s->query);
    enum kt_status status;
    while ((status = db_step(stmt, err)) == KT_OK) {
        struct kt_str numbers = db_text(stmt, 2);
        status = db_check_columns(stmt, err);
        if (status == KT_OK && !is_numbers(numbers, db_i64(stmt, 1))) {
            status = corrupt(s, err);
        }
        if (status == KT_OK) {
            status = s->sink->point(s->sink->ctx, db_i64(stmt, 0), numbers, (size_t)db_i64(stmt, 1),
                                    err);
        }
        if (status != KT_OK) {
            break;
        }
    }
    db_reset(stmt);
    return status == KT_NOT_FOUND ? KT_OK : status;
}

/* The series that `row` stands on. */
static enum kt_status give_series(const struct search *s, struct sqlite3_stmt *row,
                                  struct kt_error *err)
{
    struct kt_str id = db_text(row, 2);
    enum kt_status status = db_check_columns(row, err);
    if (status == KT_OK &&
        (!kt_generic_id_ok(id) || !kt_generic_table_name((int)db_i64(row, 1))[0])) {
        status = corrupt(s, err);
    }
    if (status == KT_OK) {
        status = s->sink->series(s->sink->ctx, (int)db_i64(row, 1), id, err);
    }
    if (status == KT_OK) {
        status = give_points(s, db_i64(row, 0), err);
    }
    return status == KT_OK ? s->sink->end(s->sink->ctx, db_i64(row, 3), db_i64(row, 4), err)
                           : status;
}

static enum kt_status look(struct search *s, struct kt_error *err)
{
    if (++s->looks > KT_GENERIC_LOOKS_MAX) {
        return kt_fail_field(err, KT_TOO_LARGE, "prefix",
                             "prefix: more than %d series would be looked at, ask for fewer",
                             KT_GENERIC_LOOKS_MAX);
    }
    if (s->looks % LOOK_AT_CLOCK == 0 && kt_now_mono_ms() >= s->query->deadline_mono_ms) {
        return kt_fail(err, KT_TIMEOUT, "the search took too long, ask for less");
    }
    return KT_OK;
}

/* A row that the ids or the prefix name. */
static enum kt_status take_row(struct search *s, struct sqlite3_stmt *row, struct kt_error *err)
{
    enum kt_status status = has_point(s, db_i64(row, 0), err);
    if (status == KT_NOT_FOUND) {
        return KT_OK;
    }
    if (status != KT_OK) {
        return status;
    }
    if (s->skipped < s->query->offset) {
        s->skipped++;
        return KT_OK;
    }
    s->more = s->found == s->query->limit;
    s->found += !s->more;
    return s->more ? KT_OK : give_series(s, row, err);
}

static enum kt_status search_id(struct search *s, int table, struct kt_str id, struct kt_error *err)
{
    struct sqlite3_stmt *stmt = s->reader->stmts[READER_GENERIC_FIND];
    enum kt_status status = look(s, err);
    if (status != KT_OK) {
        return status;
    }
    db_bind_i64(stmt, 1, table);
    db_bind_text(stmt, 2, id);
    status = db_step(stmt, err);
    if (status == KT_OK) {
        status = take_row(s, stmt, err);
        db_reset(stmt);
    }
    return status == KT_NOT_FOUND ? KT_OK : status;
}

static enum kt_status scan_table(struct search *s, int table, struct kt_error *err)
{
    struct sqlite3_stmt *stmt = s->reader->stmts[READER_GENERIC_SCAN];
    db_bind_i64(stmt, 1, table);
    db_bind_text(stmt, 2, s->query->prefix);
    enum kt_status status;
    while ((status = db_step(stmt, err)) == KT_OK) {
        if (!kt_str_starts(db_text(stmt, 2), s->query->prefix)) {
            break;
        }
        status = look(s, err);
        if (status == KT_OK) {
            status = take_row(s, stmt, err);
        }
        if (status != KT_OK || s->more) {
            break;
        }
    }
    db_reset(stmt);
    return status == KT_NOT_FOUND ? KT_OK : status;
}

static enum kt_status search_table(struct search *s, int table, struct kt_error *err)
{
    enum kt_status status = KT_OK;
    if (!s->query->ids) {
        return scan_table(s, table, err);
    }
    for (size_t i = 0; i < s->query->id_count && status == KT_OK && !s->more; i++) {
        if (kt_str_starts(s->query->ids[i], s->query->prefix)) {
            status = search_id(s, table, s->query->ids[i], err);
        }
    }
    return status;
}

enum kt_status kt_store_generic_search(struct kt_store *store, const struct kt_generic_query *query,
                                       const struct kt_generic_sink *sink, bool *ret_more,
                                       struct kt_error *err)
{
    struct search s = {.store = store, .query = query, .sink = sink};
    enum kt_status status = data_take_until(store, query->deadline_mono_ms, &s.reader, err);
    if (status != KT_OK) {
        return status;
    }
    status = db_exec(s.reader->db, "BEGIN", err);
    int first = query->table ? query->table : 1;
    int last = query->table ? query->table : KT_GENERIC_TABLES;
    for (int table = first; table <= last && status == KT_OK && !s.more; table++) {
        status = search_table(&s, table, err);
    }
    db_rollback(s.reader->db); /* nothing was written: it only ends the transaction */
    pool_give(&store->data_readers, s.reader);
    if (status == KT_OK) {
        *ret_more = s.more;
    }
    return status;
}

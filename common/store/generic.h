/* generic.h - the first Kamaitachi's generic series: rows of numbers by time under a table and id.
 *
 * They stand beside subjects and records and share only the log with them: a save or a delete is a
 * change like any other, one revision, applied alike everywhere. A save merges: the times that it
 * names are replaced (or taken away, when they come without numbers), the others stay. A series
 * without a time of its own gets the log's, so that all nodes agree.
 *
 * The bounds below are part of what apply decides, so they are constants and no settings: two nodes
 * with different ones would come to different data.
 *
 * Format of a change (numbers as in change.h):
 *   u8 op | u8 table | id bytes | save only:
 *   u8 flags | [create svarint] [update svarint] | count | point*
 *   point: time svarint | count of numbers (0 = taken away) | f64 each; times ascend
 *
 * Threads: reading from any; the rest as store.h and change.h.
 * Owns:    nothing; a decoded change borrows from its bytes.
 * Fails:   reading with KT_TOO_LARGE (more series looked at than one request may), KT_TIMEOUT,
 *          KT_CORRUPT, KT_IO, KT_BUSY, or whatever the sink says.
 */
#ifndef KT_STORE_GENERIC_H
#define KT_STORE_GENERIC_H

#include "base/buf.h"
#include "base/clock.h"

struct kt_store;

/* 1 stock_data, 2 financial_data, 3 indicator_data. */
#define KT_GENERIC_TABLES 3
#define KT_GENERIC_ID_MAX 128         /* bytes */
#define KT_GENERIC_NUMBERS_MAX 256    /* of one point */
#define KT_GENERIC_POINTS_MAX 100000  /* of one series */
#define KT_GENERIC_VALUES_MAX 1000000 /* numbers of one series */
#define KT_GENERIC_LOOKS_MAX 200000   /* series that one search may look at */

const char *kt_generic_table_name(int table);
/* The number or the name; false when it is neither. */
bool kt_generic_table_parse(struct kt_str text, int *ret_table);
/* A name of 1..128 bytes that can stand in a path: without '/', not "." nor "..". */
bool kt_generic_id_ok(struct kt_str id);

struct kt_generic_change {
    bool is_delete;
    int table;
    struct kt_str id;
    bool create_given, update_given;
    int64_t create_s, update_s;
    size_t point_count;
    struct kt_str points; /* encoded; for kt_generic_points_next */
};
struct kt_generic_point {
    int64_t time_s;
    const double *numbers; /* finite */
    size_t count;          /* 0 = taken away */
};
/* Appends the change; `points` ascend strictly by time and are within the bounds above. */
void kt_generic_encode(const struct kt_generic_change *change,
                       const struct kt_generic_point *points, struct kt_buf *ret_bytes);
/* Walks the points of a decoded change: init *rd with change->points, then point_count calls. */
void kt_generic_points_next(struct kt_rd *rd, double numbers[KT_GENERIC_NUMBERS_MAX],
                            struct kt_generic_point *ret_point);

/* --- reading --- */

struct kt_generic_query {
    int table;                /* 0 = all of them */
    const struct kt_str *ids; /* these, in this order; NULL = all with the prefix, in byte order */
    size_t id_count;
    struct kt_str prefix;
    bool bounded; /* only points within from..to, and only series that have one */
    int64_t from_s, to_s;
    uint64_t offset, limit;
    int64_t deadline_mono_ms;
};
/* What is found comes piece by piece; texts live until the call returns. */
struct kt_generic_sink {
    enum kt_status (*series)(void *ctx, int table, struct kt_str id, struct kt_error *err);
    /* numbers: a JSON array */
    enum kt_status (*point)(void *ctx, int64_t time_s, struct kt_str numbers, size_t count,
                            struct kt_error *err);
    enum kt_status (*end)(void *ctx, int64_t create_s, int64_t update_s, struct kt_error *err);
    void *ctx;
};
/* All of it as of one applied revision; *ret_more: there are others behind the last. */
enum kt_status kt_store_generic_search(struct kt_store *store, const struct kt_generic_query *query,
                                       const struct kt_generic_sink *sink, bool *ret_more,
                                       struct kt_error *err) KT_MUST_CHECK;

#endif

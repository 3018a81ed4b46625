/* store_help.h - what the store's tests share: a store in a directory of its own, changes in one
 * line, and answers as text.
 *
 * Threads: the test's.
 * Owns:    what open made, until close.
 * Fails:   by aborting; a test of failures calls the store itself.
 */
#ifndef KT_TEST_STORE_HELP_H
#define KT_TEST_STORE_HELP_H

#include "base/mem.h"
#include "store/db.h"
#include "store/store.h"
#include "tests/unit/kt_test.h"

#include <math.h>
#include <stdlib.h>

/* Records of the tables below leave out what they do not name. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

static inline void help_fatal(const char *what, const struct kt_error *err)
{
    fprintf(stderr, "test help: %s: %s\n", what, err->message);
    abort();
}

/* A path that no other test of this process uses. */
static inline const char *help_path(void)
{
    static char path[320];
    static int count;
    char name[64];
    snprintf(name, sizeof(name), "store%d/x.db", count++);
    kt_test_path(path, sizeof(path), name);
    return path;
}

static inline struct kt_store *help_open(const char *path)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = NULL;
    struct kt_store_options options = {.path = path, .read_connections = 4, .max_indicators = 4096};
    if (kt_store_open(&options, &store, &err) != KT_OK) {
        help_fatal("open", &err);
    }
    return store;
}

/* "…/x.db" and ".copy" -> "…/x.copy"; good for four calls. */
static inline const char *help_beside(const char *path, const char *suffix)
{
    static char names[4][400];
    static int next;
    char *name = names[next++ % 4];
    size_t len = strlen(path) - 3;
    kt_str_copy(name, sizeof(names[0]), kt_str_n(path, len));
    kt_str_copy(name + len, sizeof(names[0]) - len, kt_str(suffix));
    return name;
}

/* X.db -> X.log.db */
static inline const char *help_log_path(const char *path)
{
    return help_beside(path, ".log.db");
}

/* Runs SQL on either file as a stranger would. */
static inline void help_sql(const char *path, const char *sql)
{
    struct kt_error err = KT_ERROR_INIT;
    struct sqlite3 *db = NULL;
    if (db_open(path, DB_LOG, &db, &err) != KT_OK || db_exec(db, sql, &err) != KT_OK) {
        help_fatal("sql", &err);
    }
    db_close(&db);
}

#define HELP_NULL NAN /* a value given as null */
#define HELP_NO_D INT64_MIN

/* A record with up to two values. */
struct help_record {
    const char *subject;
    int64_t time_s;
    const char *period;
    int64_t declare_s; /* HELP_NO_D = absent */
    const char *a_key;
    double a;
    const char *b_key;
    double b;
    const char *end_date; /* NULL = not named, "" = cleared */
};

static inline void help_add(struct kt_change_builder *builder, const struct help_record *r)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change_value values[2];
    struct kt_change_record record = {.subject = kt_str(r->subject),
                                      .time_s = r->time_s,
                                      .period = kt_str(r->period ? r->period : ""),
                                      .declare_given = r->declare_s != HELP_NO_D,
                                      .declare_s = r->declare_s != HELP_NO_D ? r->declare_s : 0,
                                      .values = values};
    if (r->end_date) {
        record.end_date.named = r->end_date[0] ? KT_NAMED : KT_NAMED_NULL;
        record.end_date.text = kt_str(r->end_date);
    }
    const char *keys[2] = {r->a_key, r->b_key};
    double numbers[2] = {r->a, r->b};
    for (int i = 0; i < 2; i++) {
        if (keys[i]) {
            bool is_null = isnan(numbers[i]);
            values[record.value_count++] =
                (struct kt_change_value){kt_str(keys[i]), is_null, is_null ? 0 : numbers[i]};
        }
    }
    if (kt_change_add_record(builder, &record, &err) != KT_OK) {
        help_fatal("add", &err);
    }
}

static inline uint64_t help_end(struct kt_store *store)
{
    uint64_t seq, epoch;
    kt_store_log_end(store, &seq, &epoch);
    return seq;
}

/* Appends one change to the log (epoch 1, stamped seq * 1000) and, if wanted, applies it. */
static inline struct kt_apply_result help_commit(struct kt_store *store, struct kt_str body,
                                                 bool apply)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_apply_result result = {0};
    uint64_t seq = help_end(store) + 1;
    struct kt_entry entry = {seq, 1, (int64_t)seq * 1000, KT_STR(""), body};
    if (kt_store_log_append(store, &entry, 1, seq, &err) != KT_OK) {
        help_fatal("append", &err);
    }
    if (apply && kt_store_apply(store, &entry, 1, &result, &err) != KT_OK) {
        help_fatal("apply", &err);
    }
    return result;
}

static inline struct kt_apply_result help_commit_builder(struct kt_store *store,
                                                         struct kt_change_builder *builder)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    if (kt_change_encode(builder, &bytes, &err) != KT_OK) {
        help_fatal("encode", &err);
    }
    struct kt_apply_result result = help_commit(store, kt_buf_str(&bytes), true);
    kt_buf_done(&bytes);
    return result;
}

static inline void help_epoch_body(struct kt_buf *bytes, bool first, int64_t max_indicators)
{
    struct kt_change_epoch_start start = {
        .epoch_id = KT_STR("0123456789abcdef"), .first = first, .max_indicators = max_indicators};
    memset(start.cursor_key, 7, sizeof(start.cursor_key));
    kt_change_encode_epoch_start(&start, bytes);
}

/* The first entry of every log. */
static inline void help_found(struct kt_store *store, int64_t max_indicators)
{
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    help_epoch_body(&bytes, true, max_indicators);
    (void)help_commit(store, kt_buf_str(&bytes), true);
    kt_buf_done(&bytes);
}

/* One revision of these records. */
static inline struct kt_apply_result help_save(struct kt_store *store,
                                               const struct help_record *records, size_t count)
{
    struct kt_change_builder *builder = kt_change_builder_new(16 << 20);
    for (size_t i = 0; i < count; i++) {
        help_add(builder, &records[i]);
    }
    struct kt_apply_result result = help_commit_builder(store, builder);
    kt_change_builder_free(&builder);
    return result;
}

static inline struct kt_store *help_new(void)
{
    struct kt_store *store = help_open(help_path());
    help_found(store, 4096);
    return store;
}

static inline struct kt_series *help_series(struct kt_store *store, const char *subject)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_series *series = NULL;
    struct kt_catalogue *view = kt_store_view(store);
    const struct kt_subject *found = kt_catalogue_find_subject(view, kt_str(subject));
    if (found && kt_store_load_series(store, found->number, &series, &err) != KT_OK) {
        help_fatal("load", &err);
    }
    kt_catalogue_unref(&view);
    return series;
}

/* "time/period D=given-or--: a=1 b=2; …" of all records within the bounds, oldest first. */
static inline const char *help_tell(struct kt_store *store, const char *subject, int64_t as_of_s,
                                    uint64_t revision)
{
    static char text[4096];
    struct kt_series *series = help_series(store, subject);
    struct kt_catalogue *view = kt_store_view(store);
    struct kt_bounds bounds = {as_of_s, revision};
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; series && i < kt_series_record_count(series); i++) {
        struct kt_record record;
        if (!kt_series_exists(series, i, &bounds)) {
            continue;
        }
        kt_series_record(series, i, &bounds, &record);
        used +=
            (size_t)snprintf(text + used, sizeof(text) - used, "%s%lld/" KT_STR_FMT,
                             used ? "; " : "", (long long)record.time_s, KT_STR_ARG(record.period));
        if (record.declare_given) {
            used += (size_t)snprintf(text + used, sizeof(text) - used, " D=%lld",
                                     (long long)record.declare_s);
        }
        if (record.end_date.named == KT_NAMED) {
            used += (size_t)snprintf(text + used, sizeof(text) - used, " end=" KT_STR_FMT,
                                     KT_STR_ARG(record.end_date.text));
        }
        size_t count;
        const uint32_t *sorted = kt_catalogue_indicators_sorted(view, &count);
        for (size_t j = 0; j < count; j++) {
            double value;
            if (kt_series_value(series, i, sorted[j], &bounds, &value)) {
                struct kt_str key = kt_catalogue_indicator(view, sorted[j]);
                used += (size_t)snprintf(text + used, sizeof(text) - used, " " KT_STR_FMT "=%g",
                                         KT_STR_ARG(key), value);
            }
        }
    }
    kt_catalogue_unref(&view);
    kt_series_unref(&series);
    return text;
}

#define ALL_D KT_TIME_MAX
#define ALL_W KT_REVISION_MAX
#define SAVE(store, ...)                                                                           \
    help_save(store, (const struct help_record[]){__VA_ARGS__},                                    \
              sizeof((const struct help_record[]){__VA_ARGS__}) / sizeof(struct help_record))

#endif

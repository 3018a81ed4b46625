/* SPDX-License-Identifier: MIT */
/* Cutting the beginning of the log: only what nobody can need again goes. */
#include "base/fs.h"
#include "base/hash.h"
#include "base/thread.h"
#include "store/copy.h"
#include "store/touched.h"
#include "tests/unit/store/memory_disk.h"
#include "tests/unit/store/store_help.h"

#include <stdatomic.h>

static struct kt_buf body; /* a save of about a kilobyte */

static struct kt_str a_save(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    char period[65], key[32];
    memset(period, 'p', 64);
    period[64] = '\0';
    for (int i = 0; i < 12; i++) {
        snprintf(key, sizeof(key), "indicator%d", i);
        period[0] = (char)('a' + i);
        help_add(builder, &(struct help_record){"s", i, period, HELP_NO_D, key, 1.5});
    }
    kt_buf_clear(&body);
    if (kt_change_encode(builder, &body, &err) != KT_OK) {
        help_fatal("encode", &err);
    }
    kt_change_builder_free(&builder);
    return kt_buf_str(&body);
}

/* `count` saves, logged in one transaction; the first `applied` of them are applied. */
static void add(struct kt_store *store, size_t count, size_t applied)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_entry *entries = kt_calloc(count, sizeof(*entries));
    uint64_t seq = help_end(store);
    for (size_t i = 0; i < count; i++) {
        entries[i] = (struct kt_entry){seq + i + 1, 1, 1000, KT_STR(""), kt_buf_str(&body)};
    }
    if (kt_store_log_append(store, entries, count, seq + applied, &err) != KT_OK ||
        kt_store_apply(store, entries, applied, NULL, &err) != KT_OK) {
        help_fatal("add", &err);
    }
    kt_free(entries);
}

static struct kt_store *with_log(const char *path, size_t saves)
{
    struct kt_store *store = help_open(path);
    (void)a_save();
    help_found(store, 4096);
    add(store, saves, saves);
    return store;
}

/* Until there is no more to do; the number of calls. */
static int trim(struct kt_store *store, int64_t keep_bytes)
{
    struct kt_error err = KT_ERROR_INIT;
    bool more = true;
    int calls = 0;
    while (more) {
        if (kt_store_log_trim(store, keep_bytes, &more, &err) != KT_OK) {
            help_fatal("trim", &err);
        }
        calls++;
    }
    return calls;
}

static int64_t count_rows(const char *path, const char *table)
{
    struct kt_error err = KT_ERROR_INIT;
    struct sqlite3 *db = NULL;
    int64_t rows = 0;
    char sql[64];
    snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", table);
    if (db_open(path, DB_READER, &db, &err) != KT_OK || db_number(db, sql, &rows, &err) != KT_OK) {
        help_fatal("count", &err);
    }
    db_close(&db);
    return rows;
}

static void the_oldest_entries_go_in_slices_and_the_vector_stays(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *store = with_log(path, 5000);
    struct kt_entries entries;
    struct kt_epoch at, *epochs = NULL;
    size_t count;
    bool more = false;
    CHECK_OK(kt_store_log_trim(store, 0, &more, &err));
    CHECK(more);
    CHECK_INT(kt_store_log_first(store), 2001);
    CHECK(trim(store, 0) >= 2);
    CHECK_INT(kt_store_log_first(store), 5001); /* the newest stays */
    for (int round = 0; round < 2; round++) {
        CHECK_INT(help_end(store), 5001);
        CHECK_INT(kt_store_log_first(store), 5001);
        CHECK_INT(kt_store_applied(store), 5001);
        CHECK_FAILS(kt_store_log_read(store, 4999, 5001, 99, &entries, &err), KT_GONE);
        CHECK_OK(kt_store_log_read(store, 5000, 5001, 99, &entries, &err));
        CHECK_INT(entries.count, 1);
        kt_entries_done(&entries);
        CHECK_OK(kt_store_log_entry_id(store, 17, &at, &err));
        CHECK_OK(kt_store_epochs(store, &epochs, &count, &err));
        kt_free(epochs);
        CHECK_INT(count, 1);
        CHECK_FAILS(kt_store_touched(store, 17, 5001, NULL, NULL, &err), KT_GONE);
        kt_store_close(&store);
        store = help_open(path);
    }
    CHECK_INT(count_rows(path, "touched"), 1);
    CHECK_INT(count_rows(path, "revision"), 5001); /* when each was made is data */
    add(store, 3, 3);
    CHECK_INT(help_end(store), 5004);
    kt_store_close(&store);
    kt_free((char *)path);
}

static void as_many_bytes_as_were_asked_for_stay(void)
{
    const char *path = kt_strdup(help_path());
    struct kt_store *store = with_log(path, 4000);
    int64_t entry = (int64_t)body.len_bytes;
    (void)trim(store, 1000 * entry);
    uint64_t first = kt_store_log_first(store);
    uint64_t left = help_end(store) - first + 1;
    CHECK(left >= 400 && left <= 1000); /* pages are never quite full */
    CHECK_INT(trim(store, 1000 * entry), 1);
    CHECK_INT(kt_store_log_first(store), first);
    CHECK_INT(trim(store, INT64_MAX), 1);
    CHECK_INT(kt_store_log_first(store), first);
    kt_store_close(&store);
    kt_free((char *)path);
}

static void what_is_not_applied_stays(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = with_log(help_path(), 10);
    struct kt_entries entries;
    add(store, 3000, 500);
    (void)trim(store, 0);
    CHECK_INT(kt_store_log_first(store), 511);
    CHECK_OK(kt_store_log_read(store, 511, 9999, SIZE_MAX, &entries, &err));
    CHECK_INT(entries.count, 2500);
    CHECK_OK(kt_store_apply(store, entries.items, entries.count, NULL, &err));
    kt_entries_done(&entries);
    (void)trim(store, 0);
    CHECK_INT(kt_store_log_first(store), 3011);
    kt_store_close(&store);
}

/* While a reader holds back the checkpoint, the data file on disk is older than what is applied. */
static void what_no_checkpoint_has_brought_into_the_file_stays(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *store = with_log(path, 100);
    struct sqlite3 *db = NULL;
    struct sqlite3_stmt *stmt = NULL;
    CHECK_OK(db_open(path, DB_READER, &db, &err));
    CHECK_OK(db_prepare(db, "SELECT * FROM meta", &stmt, &err));
    CHECK_OK(db_step(stmt, &err)); /* a read transaction, until it is reset */
    add(store, 100, 100);
    CHECK_INT(trim(store, 0), 1);
    CHECK_INT(kt_store_log_first(store), 1);
    db_finalize(&stmt);
    db_close(&db);
    CHECK(trim(store, 0) > 1);
    CHECK_INT(kt_store_log_first(store), 201);
    kt_store_close(&store);
    kt_free((char *)path);
}

static void copy_file(const char *from, const char *to)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf content;
    kt_buf_init(&content, 0);
    if (kt_fs_exists(from) && (kt_fs_read(from, 64 << 20, &content, &err) != KT_OK ||
                               kt_fs_write_durably(to, kt_buf_str(&content), &err) != KT_OK)) {
        help_fatal("copy", &err);
    }
    kt_buf_done(&content);
}

/* The data's WAL is not fsynced by its commits: without it, the log must still have the rest. */
static void a_power_cut_that_takes_the_datas_wal_loses_nothing(void)
{
    const char *path = kt_strdup(help_path());
    struct kt_store *store = with_log(path, 10);
    uint64_t seed = 5;
    int rounds = kt_test_is_slow() ? 10 : 60;
    for (int i = 0; i < rounds; i++) {
        struct kt_error err = KT_ERROR_INIT;
        size_t count = kt_prng_next(&seed) % 60 + 1;
        bool more;
        add(store, count, count);
        CHECK_OK(kt_store_log_trim(store, (int64_t)(kt_prng_next(&seed) % 100000), &more, &err));
        const char *cut = kt_strdup(help_path());
        CHECK_OK(kt_fs_mkdirs_for(cut, &err));
        char from[420], to[420];
        copy_file(path, cut);
        snprintf(from, sizeof(from), "%s", help_log_path(path));
        copy_file(from, help_log_path(cut));
        snprintf(from, sizeof(from), "%s-wal", help_log_path(path));
        snprintf(to, sizeof(to), "%s-wal", help_log_path(cut));
        copy_file(from, to);
        struct kt_store *after = help_open(cut);
        CHECK_INT(kt_store_applied(after), kt_store_applied(store));
        CHECK_INT(help_end(after), help_end(store));
        kt_store_close(&after);
        kt_free((char *)cut);
    }
    CHECK(kt_store_log_first(store) > 1);
    kt_store_close(&store);
    kt_free((char *)path);
}

static void what_a_copy_will_need_next_stays(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = with_log(help_path(), 100);
    struct kt_copy_out *out = NULL;
    static char piece[65536];
    size_t got = 1;
    CHECK_OK(kt_store_copy_out_open(store, &out, &err));
    bool ready = false;
    while (!ready) {
        CHECK_OK(kt_store_copy_out_make(out, &ready, &err));
    }
    add(store, 100, 100);
    (void)trim(store, 0);
    CHECK_INT(kt_store_log_first(store), 101); /* being given */
    while (got > 0) {
        CHECK_OK(kt_store_copy_out_read(out, piece, sizeof(piece), &got, &err));
    }
    kt_store_copy_out_close(&out);
    (void)trim(store, 0);
    CHECK_INT(kt_store_log_first(store), 101); /* and given a moment ago */
    add(store, 100, 100);
    CHECK_OK(kt_store_copy_out_open(store, &out, &err));
    kt_store_copy_out_close(&out); /* given up: nobody comes back */
    (void)trim(store, 0);
    CHECK_INT(kt_store_log_first(store), 101);
    kt_store_close(&store);
}

struct reading {
    struct kt_store *store;
    atomic_int wrong;
    atomic_bool stop;
    atomic_long reads;
};

static void read_on(void *arg)
{
    struct reading *r = arg;
    while (!atomic_load(&r->stop)) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_entries entries;
        uint64_t first = kt_store_log_first(r->store);
        enum kt_status status =
            kt_store_log_read(r->store, first - 1, UINT64_MAX, 50000, &entries, &err);
        if (status == KT_OK) {
            bool ok = entries.count > 0 && entries.items[0].seq == first;
            kt_entries_done(&entries);
            atomic_fetch_add(&r->wrong, !ok);
        } else if (status != KT_GONE) {
            atomic_fetch_add(&r->wrong, 1);
        }
        atomic_fetch_add(&r->reads, 1);
    }
}

static void who_reads_while_it_is_cut_sees_all_or_gone(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = with_log(help_path(), 10);
    struct reading reading = {.store = store};
    struct kt_thread threads[2];
    for (int i = 0; i < 2; i++) {
        CHECK_OK(kt_thread_start(&threads[i], "reader", read_on, &reading, &err));
    }
    int rounds = kt_test_is_slow() ? 20 : 300;
    for (int i = 0; i < rounds || atomic_load(&reading.reads) < 50; i++) {
        add(store, 20, 20);
        (void)trim(store, 0);
    }
    atomic_store(&reading.stop, true);
    for (int i = 0; i < 2; i++) {
        kt_thread_join(&threads[i]);
    }
    CHECK_INT(atomic_load(&reading.wrong), 0);
    kt_store_close(&store);
}

static void trim_with_faults(enum kt_fault kind)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *store = with_log(path, 100);
    bool reached = true;
    for (uint64_t nth = 1; reached; nth++) {
        struct kt_entries entries;
        bool more;
        add(store, 20, 20);
        kt_fault_set(kind, nth, false);
        enum kt_status status = kt_store_log_trim(store, 0, &more, &err);
        reached = kt_fault_calls(kind) >= nth;
        kt_fault_set(kind, 0, false);
        if (reached && status != KT_OK && status != KT_IO && status != KT_NO_MEMORY) {
            kt_test_fail(__FILE__, __LINE__, "call %d: %s", (int)nth, err.message);
            return;
        }
        uint64_t first = kt_store_log_first(store);
        CHECK_OK(kt_store_log_read(store, first - 1, UINT64_MAX, SIZE_MAX, &entries, &err));
        CHECK_INT(entries.count, help_end(store) - first + 1);
        kt_entries_done(&entries);
        kt_store_close(&store);
        store = help_open(path);
        CHECK_INT(kt_store_log_first(store), first);
        (void)trim(store, 0);
        CHECK_INT(kt_store_log_first(store), help_end(store));
    }
    kt_store_close(&store);
    kt_free((char *)path);
}

static void a_trim_that_fails_anywhere_can_be_repeated(void)
{
    trim_with_faults(KT_FAULT_IO);
    trim_with_faults(KT_FAULT_ALLOC);
    kt_buf_done(&body);
}

static const struct kt_test tests[] = {
    TEST(the_oldest_entries_go_in_slices_and_the_vector_stays),
    TEST(as_many_bytes_as_were_asked_for_stay),
    TEST(what_is_not_applied_stays),
    TEST(what_no_checkpoint_has_brought_into_the_file_stays),
    TEST(a_power_cut_that_takes_the_datas_wal_loses_nothing),
    TEST(what_a_copy_will_need_next_stays),
    TEST(who_reads_while_it_is_cut_sees_all_or_gone),
    TEST(a_trim_that_fails_anywhere_can_be_repeated),
};
KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
/* test_export.c - all versions at one revision, whatever is applied meanwhile; and faults on the
 * way. */
#include "store_help.h"

#include "store/db.h"
#include "store/export.h"

static struct kt_error err;

/* "time/period D=declare[?] W=revision a=1 b=null; …"; '?' = not given. */
static const char *tell(struct kt_export *export, const char *key, int64_t from_s, int64_t to_s)
{
    static char text[4096];
    const struct kt_catalogue *view = kt_export_view(export);
    const struct kt_subject *subject = kt_catalogue_find_subject(view, kt_str(key));
    struct kt_version version;
    size_t used = 0;
    text[0] = '\0';
    if (!subject) {
        return "no such subject";
    }
    kt_export_seek(export, subject->number, from_s, to_s);
    enum kt_status status = KT_OK;
    while ((status = kt_export_next(export, &version, &err)) == KT_OK) {
        used += (size_t)snprintf(text + used, sizeof(text) - used,
                                 "%s%lld/" KT_STR_FMT " D=%lld%s W=%llu", used ? "; " : "",
                                 (long long)version.time_s, KT_STR_ARG(version.period),
                                 (long long)version.declare_s, version.declare_given ? "" : "?",
                                 (unsigned long long)version.revision);
        for (size_t i = 0; i < version.value_count; i++) {
            struct kt_str name = kt_catalogue_indicator(view, version.values[i].indicator);
            used += (size_t)snprintf(text + used, sizeof(text) - used, " " KT_STR_FMT "=",
                                     KT_STR_ARG(name));
            used += (size_t)(version.values[i].is_null
                                 ? snprintf(text + used, sizeof(text) - used, "null")
                                 : snprintf(text + used, sizeof(text) - used, "%g",
                                            version.values[i].number));
        }
    }
    return status == KT_NOT_FOUND ? text : err.message;
}

static struct kt_export *begin(struct kt_store *store)
{
    struct kt_export *export = NULL;
    if (kt_export_open(store, &export, &err) != KT_OK) {
        help_fatal("export", &err);
    }
    return export;
}

static void versions_come_in_order_with_their_stamps(void)
{
    struct kt_store *store = help_new();
    SAVE(store, {"s", 20, "", HELP_NO_D, "a", 1}, {"s", 10, "Q4", 7, "a", 2, "b", HELP_NULL});
    SAVE(store, {"s", 10, "Q4", 3, "a", 3}, {"s", 10, "Q1", HELP_NO_D, NULL});
    struct kt_export *export = begin(store);
    CHECK_INT(kt_catalogue_revision(kt_export_view(export)), 3);
    CHECK_STR(tell(export, "s", KT_TIME_MIN, KT_TIME_MAX),
              "10/Q1 D=10? W=3; 10/Q4 D=3 W=3 a=3; 10/Q4 D=7 W=2 a=2 b=null; 20/ D=20? W=2 a=1");
    CHECK_STR(tell(export, "s", 11, 20), "20/ D=20? W=2 a=1");
    CHECK_STR(tell(export, "s", 21, 30), "");
    int64_t wall_ms = -1;
    for (uint64_t revision = 1; revision <= 3; revision++) {
        CHECK_INT(kt_export_wall_ms(export, revision, &wall_ms, &err), KT_OK);
        CHECK_INT(wall_ms, (int64_t)revision * 1000);
    }
    CHECK_INT(kt_export_wall_ms(export, 99, &wall_ms, &err), KT_OK);
    CHECK_INT(wall_ms, 0);
    kt_export_close(&export);
    CHECK(export == NULL);
    kt_store_close(&store);
}

static void what_is_applied_meanwhile_is_not_seen(void)
{
    struct kt_store *store = help_new();
    SAVE(store, {"s", 1, "", HELP_NO_D, "a", 1}, {"t", 1, "", HELP_NO_D, "a", 1});
    struct kt_export *old = begin(store);
    SAVE(store, {"s", 1, "", HELP_NO_D, "new", 2}, {"u", 1, "", HELP_NO_D, "a", 1});
    struct kt_str dropped[] = {KT_STR("t")};
    struct kt_change_delete erase = {.subjects = dropped,
                                     .subject_count = 1,
                                     .all = true,
                                     .from_s = KT_TIME_MIN,
                                     .to_s = KT_TIME_MAX};
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    CHECK_INT(kt_change_encode_delete(&erase, &bytes, &err), KT_OK);
    (void)help_commit(store, kt_buf_str(&bytes), true);
    kt_buf_done(&bytes);
    struct kt_export *fresh = begin(store);
    CHECK_STR(tell(old, "s", KT_TIME_MIN, KT_TIME_MAX), "1/ D=1? W=2 a=1");
    CHECK_STR(tell(old, "t", KT_TIME_MIN, KT_TIME_MAX), "1/ D=1? W=2 a=1");
    CHECK_STR(tell(old, "u", KT_TIME_MIN, KT_TIME_MAX), "no such subject");
    CHECK_STR(tell(fresh, "s", KT_TIME_MIN, KT_TIME_MAX), "1/ D=1? W=2 a=1; 1/ D=1? W=3 new=2");
    CHECK_STR(tell(fresh, "t", KT_TIME_MIN, KT_TIME_MAX), "no such subject");
    kt_export_close(&old);
    kt_export_close(&fresh);
    kt_store_close(&store);
}

static void faults_are_said_and_nothing_leaks(void)
{
    static const enum kt_fault kinds[] = {KT_FAULT_ALLOC, KT_FAULT_IO};
    struct kt_store *store = help_new();
    SAVE(store, {"s", 1, "", HELP_NO_D, "a", 1}, {"s", 2, "", HELP_NO_D, "b", 1});
    for (size_t i = 0; i < KT_ARRAY_LEN(kinds); i++) {
        enum kt_status status = KT_IO;
        for (uint64_t nth = 1; status != KT_NOT_FOUND && nth < 200; nth++) {
            struct kt_export *export = NULL;
            struct kt_version version;
            kt_fault_set(kinds[i], nth, 0);
            status = kt_export_open(store, &export, &err);
            if (status == KT_OK) {
                kt_export_seek(export, 0, KT_TIME_MIN, KT_TIME_MAX);
                while (status == KT_OK) {
                    status = kt_export_next(export, &version, &err);
                }
            }
            kt_fault_set(kinds[i], 0, 0);
            CHECK(status == KT_NOT_FOUND || status == KT_NO_MEMORY || status == KT_IO);
            kt_export_close(&export);
        }
        CHECK_INT(status, KT_NOT_FOUND);
    }
    kt_store_close(&store);
}

static void a_damaged_row_is_named(void)
{
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    struct sqlite3 *db = NULL;
    help_found(store, 4096);
    SAVE(store, {"some subject", 5, "", HELP_NO_D, "a", 1});
    kt_store_close(&store);
    CHECK_INT(db_open(path, DB_DATA, &db, &err), KT_OK);
    CHECK_INT(db_exec(db, "UPDATE version SET data='{\"a\":'", &err), KT_OK);
    db_close(&db);
    store = help_open(path);
    struct kt_export *export = begin(store);
    const char *said = tell(export, "some subject", KT_TIME_MIN, KT_TIME_MAX);
    CHECK(kt_str_find(kt_str(said), KT_STR("some subject")) >= 0);
    CHECK_INT(err.status, KT_CORRUPT);
    kt_export_close(&export);
    kt_store_close(&store);
}

static const struct kt_test tests[] = {
    TEST(versions_come_in_order_with_their_stamps),
    TEST(what_is_applied_meanwhile_is_not_seen),
    TEST(faults_are_said_and_nothing_leaks),
    TEST(a_damaged_row_is_named),
};
KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
/* Deleting, adding and removing topics, if_revision: against the tables, against a restart, and
 * against a slow model that keeps every version in an array.
 */
#include "base/clock.h"
#include "base/hash.h"
#include "base/thread.h"
#include "store/apply_internal.h"
#include "tests/unit/store/store_help.h"

#include <stdatomic.h>

static struct kt_error err;

static struct kt_apply_result erase(struct kt_store *store, const struct kt_change_delete *what)
{
    struct kt_buf body;
    kt_buf_init(&body, 0);
    if (kt_change_encode_delete(what, &body, &err) != KT_OK) {
        help_fatal("encode", &err);
    }
    struct kt_apply_result result = help_commit(store, kt_buf_str(&body), true);
    kt_buf_done(&body);
    return result;
}

/* Of one subject; periods NULL = every one. */
static struct kt_change_delete range_of(struct kt_str *subject, int64_t from_s, int64_t to_s)
{
    return (struct kt_change_delete){
        .subjects = subject, .subject_count = 1, .from_s = from_s, .to_s = to_s};
}

static struct kt_apply_result erase_range(struct kt_store *store, const char *key, int64_t from_s,
                                          int64_t to_s)
{
    struct kt_str subject = kt_str(key);
    struct kt_change_delete what = range_of(&subject, from_s, to_s);
    return erase(store, &what);
}

static struct kt_apply_result erase_all(struct kt_store *store, const char *key)
{
    struct kt_str subject = kt_str(key);
    struct kt_change_delete what = range_of(&subject, KT_TIME_MIN, KT_TIME_MAX);
    what.all = true;
    return erase(store, &what);
}

static struct kt_apply_result
save_subject(struct kt_store *store, const struct kt_change_subject *subject, int64_t if_revision)
{
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    if (kt_change_add_subject(builder, subject, &err) != KT_OK) {
        help_fatal("subject", &err);
    }
    if (if_revision >= 0) {
        kt_change_set_if_revision(builder, (uint64_t)if_revision);
    }
    struct kt_apply_result result = help_commit_builder(store, builder);
    kt_change_builder_free(&builder);
    return result;
}

static void reopen(struct kt_store **store)
{
    char path[400];
    kt_str_copy(path, sizeof(path), kt_str((*store)->path));
    kt_store_close(store);
    *store = help_open(path);
}

static uint64_t record_count(struct kt_store *store)
{
    struct kt_catalogue *view = kt_store_view(store);
    uint64_t count = kt_catalogue_record_count(view);
    kt_catalogue_unref(&view);
    return count;
}

/* "pool: a b; …" of all topics with their members, and the subjects' stays. */
static const char *topics_of(struct kt_store *store, const char *key)
{
    static char text[512];
    struct kt_catalogue *view = kt_store_view(store);
    const struct kt_subject *subject = kt_catalogue_find_subject(view, kt_str(key));
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; subject && i < subject->stay_count; i++) {
        const struct kt_stay *stay = &subject->stays[i];
        const struct kt_topic *topic = &catalogue_topic(view, stay->topic)->pub;
        bool member = false;
        for (size_t j = 0; j < topic->member_count; j++) {
            member |= topic->members[j] == subject->number;
        }
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s" KT_STR_FMT "@%lld..%lld%s",
                                 i ? " " : "", KT_STR_ARG(topic->key), (long long)stay->from_s,
                                 (long long)stay->to_s, member ? "" : " (no member)");
    }
    kt_catalogue_unref(&view);
    return text;
}

static size_t members_of(struct kt_store *store, const char *topic)
{
    struct kt_catalogue *view = kt_store_view(store);
    const struct kt_topic *found = kt_catalogue_find_topic(view, kt_str(topic));
    size_t count = found ? found->member_count : 99;
    kt_catalogue_unref(&view);
    return count;
}

static void a_delete_takes_all_versions_of_the_records_it_names(void)
{
    struct kt_store *store = help_new();
    SAVE(store, {"s", 1, "Q4", 7, "a", 1}, {"s", 2, "Q4", HELP_NO_D, "a", 2},
         {"s", 2, "H1", HELP_NO_D, "a", 3}, {"s", 3, "", HELP_NO_D, "a", 4},
         {"t", 2, "", HELP_NO_D, "a", 5});
    SAVE(store, {"s", 2, "Q4", 9, "a", 6});
    struct kt_apply_result result = erase_range(store, "s", 2, 2);
    CHECK_INT(result.status, KT_OK);
    CHECK_INT(result.revision, 4);
    CHECK_INT(result.records, 2);
    CHECK_INT(result.subjects, 1);
    CHECK_INT(record_count(store), 3);
    CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), "1/Q4 D=7 a=1; 3/ a=4");
    CHECK_STR(help_tell(store, "s", ALL_D, 2), "1/Q4 D=7 a=1; 3/ a=4"); /* from history too */
    CHECK_STR(help_tell(store, "t", ALL_D, ALL_W), "2/ a=5");
    /* A record that comes again starts anew: D from its own time. */
    SAVE(store, {"s", 2, "Q4", HELP_NO_D, "b", 7});
    CHECK_STR(help_tell(store, "s", 2, ALL_W), "2/Q4 b=7"); /* as of D = 2 */
    CHECK_INT(record_count(store), 4);
    reopen(&store);
    CHECK_INT(record_count(store), 4);
    CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), "1/Q4 D=7 a=1; 2/Q4 b=7; 3/ a=4");
    kt_store_close(&store);
}

static void periods_and_bounds_are_both_asked_of_a_record(void)
{
    struct kt_store *store = help_new();
    SAVE(store, {"s", 1, "", HELP_NO_D, "a", 1}, {"s", 1, "Q1", HELP_NO_D, "a", 2},
         {"s", 2, "", HELP_NO_D, "a", 3}, {"s", 2, "Q1", HELP_NO_D, "a", 4},
         {"s", 2, "Q2", HELP_NO_D, "a", 5}, {"s", 3, "Q1", HELP_NO_D, "a", 6});
    struct kt_str subject = KT_STR("s"), periods[] = {KT_STR(""), KT_STR("Q1")};
    struct kt_change_delete what = range_of(&subject, 2, KT_TIME_MAX);
    what.periods = periods;
    what.period_count = 2;
    uint64_t records = 0, subjects = 0;
    CHECK_OK(kt_store_count_records(store, &what, INT64_MAX, &records, &subjects, &err));
    CHECK_INT(records, 3);
    CHECK_INT(subjects, 1);
    CHECK_INT(record_count(store), 6);
    CHECK_INT(erase(store, &what).records, 3);
    CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), "1/ a=1; 1/Q1 a=2; 2/Q2 a=5");
    CHECK_INT(erase(store, &what).records, 0);
    what.periods = periods + 1;
    what.period_count = 1;
    what.from_s = KT_TIME_MIN;
    CHECK_INT(erase(store, &what).records, 1);
    CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), "1/ a=1; 2/Q2 a=5");
    kt_store_close(&store);
}

/* More than the pieces in which they are found, of which some stay. */
static void a_large_subject_is_deleted_in_pieces(void)
{
    enum { RECORDS = 3000 };
    struct kt_store *store = help_new();
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    for (int i = 0; i < RECORDS; i++) {
        help_add(builder, &(struct help_record){"s", i / 3,
                                                i % 3 == 0   ? "A"
                                                : i % 3 == 1 ? "B"
                                                             : "C",
                                                HELP_NO_D, "a", i});
    }
    (void)help_commit_builder(store, builder);
    kt_change_builder_free(&builder);
    struct kt_str subject = KT_STR("s"), period = KT_STR("B");
    struct kt_change_delete what = range_of(&subject, KT_TIME_MIN, KT_TIME_MAX);
    what.periods = &period;
    what.period_count = 1;
    CHECK_INT(erase(store, &what).records, RECORDS / 3);
    CHECK_INT(record_count(store), RECORDS - RECORDS / 3);
    CHECK_INT(erase_range(store, "s", 0, 499).records, 1000);
    struct kt_series *series = help_series(store, "s");
    CHECK_INT(kt_series_record_count(series), 1000);
    kt_series_unref(&series);
    uint64_t records = 0, subjects = 0;
    what.period_count = 0;
    CHECK_OK(kt_store_count_records(store, &what, INT64_MAX, &records, &subjects, &err));
    CHECK_INT(records, 1000);
    CHECK_FAILS(kt_store_count_records(store, &what, 0, &records, &subjects, &err), KT_TIMEOUT);
    kt_store_close(&store);
}

enum { COUNTED = 1500 }; /* several pieces */

static void save_counted(struct kt_store *store)
{
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    for (int i = 0; i < COUNTED; i++) {
        help_add(builder, &(struct help_record){"s", i, "", HELP_NO_D, "a", i});
    }
    (void)help_commit_builder(store, builder);
    kt_change_builder_free(&builder);
}

struct counting {
    struct kt_store *store;
    atomic_bool stop;
    atomic_int answers, half;
};

static void count_on(void *arg)
{
    struct counting *c = arg;
    struct kt_str subject = KT_STR("s");
    struct kt_change_delete what = range_of(&subject, KT_TIME_MIN, KT_TIME_MAX);
    while (!atomic_load(&c->stop)) {
        struct kt_error why = KT_ERROR_INIT;
        uint64_t records = 0, subjects = 0;
        if (kt_store_count_records(c->store, &what, INT64_MAX, &records, &subjects, &why) ==
            KT_OK) {
            atomic_fetch_add(&c->half, records != 0 && records != COUNTED);
            atomic_fetch_add(&c->answers, 1);
        }
    }
}

static void a_subject_is_counted_at_one_moment(void)
{
    struct counting counting = {.store = help_new()};
    struct kt_thread thread;
    memset(&thread, 0, sizeof(thread));
    save_counted(counting.store);
    CHECK_OK(kt_thread_start(&thread, "counter", count_on, &counting, &err));
    int64_t until = kt_now_mono_ms() + 60000;
    for (int i = 0; i < 60 || (atomic_load(&counting.answers) < 60 && kt_now_mono_ms() < until);
         i++) {
        (void)erase_range(counting.store, "s", KT_TIME_MIN, KT_TIME_MAX);
        save_counted(counting.store);
    }
    atomic_store(&counting.stop, true);
    kt_thread_join(&thread);
    CHECK_INT(atomic_load(&counting.half), 0);
    CHECK(atomic_load(&counting.answers) > 0);
    kt_store_close(&counting.store);
}

static void counting_waits_for_a_connection_up_to_its_deadline(void)
{
    struct kt_store *store = help_new();
    struct reader *readers[4] = {NULL};
    struct kt_str subject = KT_STR("s");
    struct kt_change_delete what = range_of(&subject, KT_TIME_MIN, KT_TIME_MAX);
    uint64_t records, subjects;
    SAVE(store, {"s", 1, "", HELP_NO_D, "a", 1});
    for (size_t i = 0; i < 4; i++) {
        CHECK_OK(pool_take(&store->data_readers, &readers[i], &err));
    }
    int64_t begin_ms = kt_now_mono_ms();
    CHECK_FAILS(kt_store_count_records(store, &what, begin_ms + 20, &records, &subjects, &err),
                KT_BUSY);
    CHECK(kt_now_mono_ms() < begin_ms + 20000); /* others wait for half a minute */
    for (size_t i = 0; i < 4; i++) {
        pool_give(&store->data_readers, readers[i]);
    }
    CHECK_OK(kt_store_count_records(store, &what, INT64_MAX, &records, &subjects, &err));
    CHECK_INT(records, 1);
    kt_store_close(&store);
}

static struct kt_change_subject full_subject(const char *key, struct kt_change_stay *stay,
                                             struct kt_change_tag *tag)
{
    static const struct kt_str values[] = {{"x", 1}};
    *stay = (struct kt_change_stay){KT_STR("pool"), KT_TIME_MIN, KT_TIME_MAX};
    *tag = (struct kt_change_tag){KT_STR("concept"), values, 1};
    return (struct kt_change_subject){.key = kt_str(key),
                                      .name = {KT_NAMED, KT_STR("name")},
                                      .topics_mode = KT_TOPICS_REPLACE,
                                      .stays = stay,
                                      .stay_count = 1,
                                      .tags = tag,
                                      .tag_count = 1};
}

static void all_drops_the_subject_and_a_later_save_starts_from_nothing(void)
{
    struct kt_store *store = help_new();
    struct kt_change_stay stay;
    struct kt_change_tag tag;
    struct kt_change_subject full = full_subject("s", &stay, &tag);
    (void)save_subject(store, &full, -1);
    full.key = KT_STR("t");
    (void)save_subject(store, &full, -1);
    SAVE(store, {"s", 1, "", HELP_NO_D, "a", 1}, {"s", 5, "", HELP_NO_D, "a", 2});
    CHECK_INT(members_of(store, "pool"), 2);
    struct kt_catalogue *before = kt_store_view(store);
    struct kt_apply_result result = erase_all(store, "s");
    CHECK_INT(result.records, 2);
    CHECK_INT(result.subjects, 1);
    struct kt_catalogue *view = kt_store_view(store);
    CHECK(!kt_catalogue_find_subject(view, KT_STR("s")));
    CHECK_INT(kt_catalogue_subject_count(view), 1);
    CHECK_INT(kt_catalogue_record_count(view), 0);
    kt_catalogue_unref(&view);
    CHECK_INT(members_of(store, "pool"), 1);
    /* An older view still has it whole. */
    const struct kt_subject *old = kt_catalogue_find_subject(before, KT_STR("s"));
    CHECK_SLICE(old->name, "name");
    CHECK_INT(old->stay_count, 1);
    kt_catalogue_unref(&before);
    for (int restarted = 0; restarted < 2; restarted++) {
        uint64_t seq = help_end(store);
        SAVE(store, {"s", 3, "", HELP_NO_D, "b", 7});
        CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), "3/ b=7");
        CHECK_STR(topics_of(store, "s"), "");
        view = kt_store_view(store);
        const struct kt_subject *s = kt_catalogue_find_subject(view, KT_STR("s"));
        CHECK_SLICE(s->name, "");
        CHECK_INT(s->tag_count, 0);
        CHECK_INT(s->changed_revision, seq + 1);
        CHECK_INT(kt_catalogue_subject_count(view), 2);
        kt_catalogue_unref(&view);
        CHECK_INT(erase_all(store, "s").records, 1);
        reopen(&store);
        CHECK_INT(members_of(store, "pool"), 1);
    }
    CHECK_INT(erase_all(store, "s").subjects, 0);
    CHECK_INT(erase_all(store, "nobody").records, 0);
    kt_store_close(&store);
}

/* Entries of one transaction: what was collected before a delete is written before it. */
static void a_delete_between_saves_of_one_transaction_takes_what_came_before(void)
{
    struct kt_store *store = help_new();
    struct kt_str subject = KT_STR("s");
    struct kt_change_delete what = range_of(&subject, KT_TIME_MIN, KT_TIME_MAX);
    struct kt_buf bodies[5];
    struct kt_entry entries[5];
    struct kt_apply_result results[5];
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    for (int i = 0; i < 5; i++) {
        kt_buf_init(&bodies[i], 0);
        kt_change_builder_reset(builder);
        help_add(builder, &(struct help_record){"s", i + 1, "", HELP_NO_D, "a", i});
        what.all = i == 3;
        CHECK_OK(i % 2 ? kt_change_encode_delete(&what, &bodies[i], &err)
                       : kt_change_encode(builder, &bodies[i], &err));
        entries[i] =
            (struct kt_entry){2 + (uint64_t)i, 1, 5000, KT_STR(""), kt_buf_str(&bodies[i])};
    }
    CHECK_OK(kt_store_log_append(store, entries, 5, 6, &err));
    CHECK_OK(kt_store_apply(store, entries, 5, results, &err));
    CHECK_INT(results[1].records, 1);
    CHECK_INT(results[3].records, 1);
    CHECK_INT(record_count(store), 1);
    CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), "5/ a=4");
    for (int i = 0; i < 5; i++) {
        kt_buf_done(&bodies[i]);
    }
    kt_change_builder_free(&builder);
    kt_store_close(&store);
}

static void topics_are_added_and_removed_beside_those_that_stay(void)
{
    struct kt_store *store = help_new();
    struct kt_change_stay stays[3] = {
        {KT_STR("p"), 1, 10}, {KT_STR("p"), 20, 30}, {KT_STR("q"), 1, 5}};
    struct kt_change_subject change = {
        .key = KT_STR("s"), .topics_mode = KT_TOPICS_EDIT, .stays = stays, .stay_count = 3};
    (void)save_subject(store, &change, -1);
    CHECK_STR(topics_of(store, "s"), "p@1..10 p@20..30 q@1..5");
    /* A stay is (topic, from): its `to` is set, the others are left. */
    stays[0] = (struct kt_change_stay){KT_STR("p"), 20, 25};
    stays[1] = (struct kt_change_stay){KT_STR("r"), KT_TIME_MIN, 3};
    change.stay_count = 2;
    (void)save_subject(store, &change, -1);
    char want[128];
    snprintf(want, sizeof(want), "p@1..10 p@20..25 q@1..5 r@%lld..3", (long long)KT_TIME_MIN);
    CHECK_STR(topics_of(store, "s"), want);
    /* Removing takes all stays of a topic, and comes before adding. */
    struct kt_str leaves[] = {KT_STR("p"), KT_STR("unknown"), KT_STR("r"), KT_STR("r")};
    change.leaves = leaves;
    change.leave_count = 4;
    stays[0] = (struct kt_change_stay){KT_STR("p"), 7, 8};
    change.stay_count = 1;
    (void)save_subject(store, &change, -1);
    CHECK_STR(topics_of(store, "s"), "p@7..8 q@1..5");
    CHECK_INT(members_of(store, "r"), 0);
    reopen(&store);
    CHECK_STR(topics_of(store, "s"), "p@7..8 q@1..5");
    struct kt_catalogue *view = kt_store_view(store);
    CHECK(!kt_catalogue_find_topic(view, KT_STR("unknown"))); /* nothing is made by removing */
    kt_catalogue_unref(&view);
    kt_store_close(&store);
}

/* --- if_revision --- */

static void if_revision_refuses_what_changed_later_in_any_way(void)
{
    struct kt_store *store = help_new();
    struct kt_change_subject named = {.key = KT_STR("s"), .name = {KT_NAMED, KT_STR("one")}};
    CHECK_INT(save_subject(store, &named, 0).status, KT_OK); /* 2: it is new */
    struct kt_apply_result refused = save_subject(store, &named, 1);
    CHECK_INT(refused.status, KT_CHANGED);
    CHECK_STR(refused.field, "if_revision");
    CHECK(strstr(refused.message, "revision 2, after 1: s"));
    CHECK_INT(kt_status_http(refused.status), 409);
    named.name.text = KT_STR("two");
    CHECK_INT(save_subject(store, &named, 2).status, KT_OK); /* 4 */
    CHECK_INT(save_subject(store, &named, 3).status, KT_CHANGED);
    CHECK_INT(save_subject(store, &named, 4).status, KT_OK); /* says nothing new: no change */
    CHECK_INT(save_subject(store, &named, 4).status, KT_OK);
    SAVE(store, {"s", 1, "", HELP_NO_D, "a", 1}); /* 8 */
    CHECK_INT(save_subject(store, &named, 7).status, KT_CHANGED);
    reopen(&store);
    CHECK_INT(save_subject(store, &named, 7).status, KT_CHANGED);
    CHECK_INT(save_subject(store, &named, 8).status, KT_OK);
    CHECK_INT(erase_range(store, "s", 1, 1).records, 1); /* 12 */
    CHECK_INT(save_subject(store, &named, 11).status, KT_CHANGED);
    CHECK_INT(save_subject(store, &named, 12).status, KT_OK);
    kt_store_close(&store);
}

static void if_revision_holds_for_every_subject_that_a_change_names(void)
{
    struct kt_store *store = help_new();
    SAVE(store, {"s", 1, "", HELP_NO_D, "a", 1}); /* 2 */
    SAVE(store, {"t", 1, "", HELP_NO_D, "a", 1}); /* 3 */
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    help_add(builder, &(struct help_record){"s", 2, "", HELP_NO_D, "new", 2});
    help_add(builder, &(struct help_record){"fresh", 2, "", HELP_NO_D, "a", 2});
    help_add(builder, &(struct help_record){"t", 2, "", HELP_NO_D, "a", 2});
    kt_change_set_if_revision(builder, 2);
    CHECK_INT(help_commit_builder(store, builder).status, KT_CHANGED); /* 4 */
    CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), "1/ a=1");
    struct kt_catalogue *view = kt_store_view(store);
    CHECK(!kt_catalogue_find_subject(view, KT_STR("fresh")));
    CHECK_INT(kt_catalogue_indicator_count(view), 1);
    kt_catalogue_unref(&view);
    kt_change_set_if_revision(builder, 3);
    CHECK_INT(help_commit_builder(store, builder).status, KT_OK); /* 5 */
    kt_change_builder_free(&builder);
    struct kt_str subjects[] = {KT_STR("nobody"), KT_STR("t")};
    struct kt_change_delete what = range_of(subjects, 0, 9);
    what.subject_count = 2;
    what.has_if_revision = true;
    what.if_revision = 4;
    CHECK_INT(erase(store, &what).status, KT_CHANGED); /* 6 */
    what.if_revision = 5;
    struct kt_apply_result done = erase(store, &what);
    CHECK_INT(done.status, KT_OK);
    CHECK_INT(done.records, 2);
    kt_store_close(&store);
}

/* Of one transaction too: what the entry before collected counts. */
static void if_revision_sees_the_entry_before_it(void)
{
    struct kt_store *store = help_new();
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    struct kt_buf bodies[2];
    struct kt_entry entries[2];
    struct kt_apply_result results[2];
    for (int i = 0; i < 2; i++) {
        kt_buf_init(&bodies[i], 0);
        kt_change_builder_reset(builder);
        help_add(builder, &(struct help_record){"s", 1, "", HELP_NO_D, "a", i});
        kt_change_set_if_revision(builder, 1);
        CHECK_OK(kt_change_encode(builder, &bodies[i], &err));
        entries[i] =
            (struct kt_entry){2 + (uint64_t)i, 1, 5000, KT_STR(""), kt_buf_str(&bodies[i])};
    }
    CHECK_OK(kt_store_log_append(store, entries, 2, 3, &err));
    CHECK_OK(kt_store_apply(store, entries, 2, results, &err));
    CHECK_INT(results[0].status, KT_OK);
    CHECK_INT(results[1].status, KT_CHANGED);
    CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), "1/ a=0");
    for (int i = 0; i < 2; i++) {
        kt_buf_done(&bodies[i]);
    }
    kt_change_builder_free(&builder);
    kt_store_close(&store);
}

/* --- what older views still show --- */

static bool erased_since(struct kt_store *store, const struct kt_catalogue *view, const char *key)
{
    return kt_store_erased_since(store, view, kt_catalogue_find_subject(view, kt_str(key)));
}

static void whoever_holds_an_older_view_is_told_what_went(void)
{
    struct kt_store *store = help_new();
    SAVE(store, {"s", 1, "", HELP_NO_D, "a", 1}, {"t", 1, "", HELP_NO_D, "a", 1},
         {"u", 1, "", HELP_NO_D, "a", 1});
    struct kt_catalogue *view = kt_store_view(store);
    CHECK(!erased_since(store, view, "s"));
    (void)erase_range(store, "s", 5, 9); /* nothing there */
    CHECK(!erased_since(store, view, "s"));
    (void)erase_range(store, "s", 1, 1);
    CHECK(erased_since(store, view, "s"));
    CHECK(!erased_since(store, view, "t"));
    (void)erase_all(store, "t");
    CHECK(erased_since(store, view, "t"));
    SAVE(store, {"t", 1, "", HELP_NO_D, "a", 1}); /* the same number, but not the same subject */
    CHECK(erased_since(store, view, "t"));
    CHECK(!erased_since(store, view, "u"));
    struct kt_catalogue *newest = kt_store_view(store);
    CHECK(!erased_since(store, newest, "s"));
    CHECK(!erased_since(store, newest, "t"));
    kt_catalogue_unref(&newest);
    kt_catalogue_unref(&view);
    kt_store_close(&store);
}

/* Readers that count the records of the only subject, which is deleted and saved meanwhile: who
 * finds another number than the view has must be told. */
struct reading {
    struct kt_store *store;
    atomic_bool stop;
    atomic_int answers, half;
};

static void read_on(void *arg)
{
    struct reading *r = arg;
    while (!atomic_load(&r->stop)) {
        struct kt_error why = KT_ERROR_INIT;
        struct kt_catalogue *view = kt_store_view(r->store);
        const struct kt_subject *s = kt_catalogue_find_subject(view, KT_STR("s"));
        struct kt_series *series = NULL;
        if (s && kt_store_load_series(r->store, s->number, &series, &why) == KT_OK &&
            !kt_store_erased_since(r->store, view, s)) {
            struct kt_bounds bounds = {ALL_D, kt_catalogue_revision(view)};
            int there = 0;
            for (size_t i = 0; i < kt_series_record_count(series); i++) {
                there += kt_series_exists(series, i, &bounds);
            }
            atomic_fetch_add(&r->half, there != (int)kt_catalogue_record_count(view));
            atomic_fetch_add(&r->answers, 1);
        }
        kt_series_unref(&series);
        kt_catalogue_unref(&view);
    }
}

static void no_reader_takes_half_an_answer_for_a_whole_one(void)
{
    struct reading reading = {.store = help_new()};
    struct kt_thread threads[3];
    SAVE(reading.store, {"s", 1, "", HELP_NO_D, "a", 1}, {"s", 2, "", HELP_NO_D, "a", 1});
    for (size_t i = 0; i < 3; i++) {
        memset(&threads[i], 0, sizeof(threads[i]));
        CHECK_OK(kt_thread_start(&threads[i], "reader", read_on, &reading, &err));
    }
    int64_t until = kt_now_mono_ms() + 60000;
    for (int i = 0; i < 200 || (atomic_load(&reading.answers) < 200 && kt_now_mono_ms() < until);
         i++) {
        (void)(i % 2 ? erase_all(reading.store, "s") : erase_range(reading.store, "s", 1, 2));
        SAVE(reading.store, {"s", 1, "", HELP_NO_D, "a", 1}, {"s", 2, "", HELP_NO_D, "a", 1});
    }
    atomic_store(&reading.stop, true);
    for (size_t i = 0; i < 3; i++) {
        kt_thread_join(&threads[i]);
    }
    CHECK_INT(atomic_load(&reading.half), 0);
    CHECK(atomic_load(&reading.answers) > 0);
    kt_store_close(&reading.store);
}

/* --- a slow model --- */

enum { M_SUBJECTS = 4, M_TIMES = 6, M_PERIODS = 3 };

struct model { /* the value of indicator a; NAN = no such record */
    bool known[M_SUBJECTS];
    double value[M_SUBJECTS][M_TIMES][M_PERIODS];
    uint64_t touched[M_SUBJECTS];
};

static const char *const m_keys[M_SUBJECTS] = {"a", "b", "c", "d"};
static const char *const m_periods[M_PERIODS] = {"", "H1", "Q4"};

static unsigned pick(uint64_t *seed, unsigned count)
{
    return (unsigned)(kt_prng_next(seed) % count);
}

static void model_save(struct model *m, struct kt_store *store, uint64_t *seed)
{
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    uint64_t seq = help_end(store) + 1;
    unsigned count = 1 + pick(seed, 6);
    bool conditional = pick(seed, 3) == 0;
    uint64_t limit = conditional ? seq - 1 - pick(seed, 6) : UINT64_MAX;
    struct model after = *m;
    bool refused = false;
    for (unsigned i = 0; i < count; i++) {
        unsigned s = pick(seed, M_SUBJECTS), t = pick(seed, M_TIMES), p = pick(seed, M_PERIODS);
        double value = pick(seed, 1000);
        help_add(builder, &(struct help_record){m_keys[s], t, m_periods[p], HELP_NO_D, "x", value});
        refused |= m->known[s] && m->touched[s] > limit;
        after.known[s] = true;
        after.value[s][t][p] = value;
        after.touched[s] = seq;
    }
    if (conditional) {
        kt_change_set_if_revision(builder, limit);
    }
    struct kt_apply_result result = help_commit_builder(store, builder);
    kt_change_builder_free(&builder);
    CHECK_INT(result.status, refused ? KT_CHANGED : KT_OK);
    if (!refused) {
        *m = after;
    }
}

static void model_delete(struct model *m, struct kt_store *store, uint64_t *seed)
{
    unsigned s = pick(seed, M_SUBJECTS), first = pick(seed, M_PERIODS);
    uint64_t seq = help_end(store) + 1;
    struct kt_str subject = kt_str(m_keys[s]), periods[M_PERIODS];
    int64_t a = pick(seed, M_TIMES), b = pick(seed, M_TIMES);
    struct kt_change_delete what = range_of(&subject, a < b ? a : b, a < b ? b : a);
    what.all = pick(seed, 6) == 0;
    for (unsigned p = first; p < M_PERIODS && pick(seed, 2); p++) {
        periods[what.period_count++] = kt_str(m_periods[p]);
    }
    what.periods = periods;
    unsigned hit = 0;
    for (unsigned t = 0; t < M_TIMES; t++) {
        for (unsigned p = 0; p < M_PERIODS; p++) {
            bool named = what.period_count == 0 || (p >= first && p < first + what.period_count);
            bool within = (int64_t)t >= what.from_s && (int64_t)t <= what.to_s && named;
            if ((what.all || within) && !isnan(m->value[s][t][p])) {
                hit++;
                m->value[s][t][p] = NAN;
            }
        }
    }
    m->touched[s] = hit > 0 ? seq : m->touched[s];
    m->known[s] = m->known[s] && !what.all;
    struct kt_apply_result result = erase(store, &what);
    CHECK_INT(result.status, KT_OK);
    CHECK_INT(result.records, hit);
}

static void check_model(const struct model *m, struct kt_store *store)
{
    uint64_t records = 0;
    for (unsigned s = 0; s < M_SUBJECTS; s++) {
        char want[2048] = "";
        size_t used = 0;
        for (unsigned t = 0; t < M_TIMES; t++) {
            for (unsigned p = 0; p < M_PERIODS; p++) {
                if (!isnan(m->value[s][t][p])) {
                    records++;
                    used += (size_t)snprintf(want + used, sizeof(want) - used, "%s%u/%s x=%g",
                                             used ? "; " : "", t, m_periods[p], m->value[s][t][p]);
                }
            }
        }
        CHECK_STR(help_tell(store, m_keys[s], ALL_D, ALL_W), want);
        struct kt_catalogue *view = kt_store_view(store);
        const struct kt_subject *subject = kt_catalogue_find_subject(view, kt_str(m_keys[s]));
        bool right = m->known[s] ? subject && subject->touched_revision == m->touched[s] : !subject;
        kt_catalogue_unref(&view);
        CHECK(right);
    }
    CHECK_INT(record_count(store), records);
}

static void any_order_of_saves_and_deletes_agrees_with_a_slow_model(void)
{
    int rounds = kt_test_is_slow() ? 2 : 20;
    for (int round = 0; round < rounds; round++) {
        uint64_t seed = (uint64_t)round + 1;
        struct kt_store *store = help_new();
        struct model model = {.known = {false}};
        for (unsigned i = 0; i < M_SUBJECTS * M_TIMES * M_PERIODS; i++) {
            (&model.value[0][0][0])[i] = NAN;
        }
        for (int step = 0; step < 60; step++) {
            if (pick(&seed, 3)) {
                model_save(&model, store, &seed);
            } else {
                model_delete(&model, store, &seed);
            }
            if (pick(&seed, 15) == 0) {
                reopen(&store);
            }
            if (step % 5 == 0) {
                check_model(&model, store);
            }
        }
        check_model(&model, store);
        kt_store_close(&store);
    }
}

static const struct kt_test tests[] = {
    TEST(a_delete_takes_all_versions_of_the_records_it_names),
    TEST(periods_and_bounds_are_both_asked_of_a_record),
    TEST(a_large_subject_is_deleted_in_pieces),
    TEST(a_subject_is_counted_at_one_moment),
    TEST(counting_waits_for_a_connection_up_to_its_deadline),
    TEST(all_drops_the_subject_and_a_later_save_starts_from_nothing),
    TEST(a_delete_between_saves_of_one_transaction_takes_what_came_before),
    TEST(topics_are_added_and_removed_beside_those_that_stay),
    TEST(if_revision_refuses_what_changed_later_in_any_way),
    TEST(if_revision_holds_for_every_subject_that_a_change_names),
    TEST(if_revision_sees_the_entry_before_it),
    TEST(whoever_holds_an_older_view_is_told_what_went),
    TEST(no_reader_takes_half_an_answer_for_a_whole_one),
    TEST(any_order_of_saves_and_deletes_agrees_with_a_slow_model),
};

KT_TEST_MAIN(tests)

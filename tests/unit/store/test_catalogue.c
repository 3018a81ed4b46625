/* SPDX-License-Identifier: MIT */
/* What apply makes of subjects, topics and indicators, and that a view never changes. */
#include "base/thread.h"
#include "tests/unit/store/store_help.h"

#include <stdatomic.h>

struct stays {
    enum kt_topics_mode mode;
    struct kt_change_stay items[4];
    size_t count;
};

static struct kt_apply_result put_subject(struct kt_store *store,
                                          const struct kt_change_subject *subject)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    if (kt_change_add_subject(builder, subject, &err) != KT_OK) {
        help_fatal("add subject", &err);
    }
    struct kt_apply_result result = help_commit_builder(store, builder);
    kt_change_builder_free(&builder);
    return result;
}

static void put_stays(struct kt_store *store, const char *key, const struct stays *stays)
{
    struct kt_change_subject subject = {.key = kt_str(key),
                                        .topics_mode = stays->mode,
                                        .stays = stays->items,
                                        .stay_count = stays->count};
    (void)put_subject(store, &subject);
}

/* "key(name|status|date|category) topic:from..to … tag=value …" */
static const char *tell(struct kt_store *store, const char *key)
{
    static char text[2048];
    struct kt_catalogue *view = kt_store_view(store);
    const struct kt_subject *s = kt_catalogue_find_subject(view, kt_str(key));
    size_t used = 0;
    text[0] = '\0';
    if (s) {
        used += (size_t)snprintf(text, sizeof(text),
                                 KT_STR_FMT "(" KT_STR_FMT "|" KT_STR_FMT "|" KT_STR_FMT
                                            "|" KT_STR_FMT ")",
                                 KT_STR_ARG(s->key), KT_STR_ARG(s->name), KT_STR_ARG(s->status),
                                 KT_STR_ARG(s->listing_date), KT_STR_ARG(s->category));
        for (size_t i = 0; i < s->stay_count; i++) {
            used += (size_t)snprintf(text + used, sizeof(text) - used, " %u:%lld..%lld",
                                     s->stays[i].topic, (long long)s->stays[i].from_s,
                                     (long long)s->stays[i].to_s);
        }
        for (size_t i = 0; i < s->tag_count; i++) {
            used +=
                (size_t)snprintf(text + used, sizeof(text) - used, " " KT_STR_FMT "=" KT_STR_FMT,
                                 KT_STR_ARG(s->tags[i].name), KT_STR_ARG(s->tags[i].value));
        }
    }
    kt_catalogue_unref(&view);
    return text;
}

/* The keys of a topic's members in the order of their numbers. */
static const char *members(struct kt_store *store, const char *topic)
{
    static char text[2048];
    struct kt_catalogue *view = kt_store_view(store);
    const struct kt_topic *t = kt_catalogue_find_topic(view, kt_str(topic));
    size_t used = 0;
    snprintf(text, sizeof(text), "%s", t ? "" : "unknown");
    for (size_t i = 0; t && i < t->member_count; i++) {
        const struct kt_subject *s = kt_catalogue_subject(view, t->members[i]);
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s" KT_STR_FMT, i ? " " : "",
                                 KT_STR_ARG(s->key));
    }
    kt_catalogue_unref(&view);
    return text;
}

static void names_merge_and_null_clears(void)
{
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    help_found(store, 4096);
    struct kt_change_subject subject = {.key = KT_STR("s"),
                                        .name = {KT_NAMED, KT_STR("\xe5\xb9\xb3 \"x\"")},
                                        .category = {KT_NAMED, KT_STR("stock")}};
    struct kt_apply_result result = put_subject(store, &subject);
    CHECK_INT(result.subjects, 1);
    CHECK_INT(result.records, 0);
    CHECK_STR(tell(store, "s"), "s(\xe5\xb9\xb3 \"x\"|||stock)");
    struct kt_change_subject more = {.key = KT_STR("s"),
                                     .status = {KT_NAMED, KT_STR("listed")},
                                     .listing_date = {KT_NAMED, KT_STR("1999-01-01")},
                                     .category = {KT_NAMED_NULL, {NULL, 0}}};
    (void)put_subject(store, &more);
    const char *expected = "s(\xe5\xb9\xb3 \"x\"|listed|1999-01-01|)";
    CHECK_STR(tell(store, "s"), expected);
    kt_store_close(&store);
    store = help_open(path);
    CHECK_STR(tell(store, "s"), expected);
    CHECK_STR(tell(store, "unknown"), "");
    kt_store_close(&store);
}

static void topics_are_replaced_kept_or_added_if_none(void)
{
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    help_found(store, 4096);
    put_stays(store, "s",
              &(struct stays){KT_TOPICS_REPLACE,
                              {{KT_STR("b"), 100, 200}, {KT_STR("b"), 1, 50}, {KT_STR("a"), 5, 6}},
                              3});
    CHECK_STR(tell(store, "s"), "s(|||) 0:1..50 0:100..200 1:5..6");
    put_stays(store, "s",
              &(struct stays){KT_TOPICS_ADD_IF_NONE,
                              {{KT_STR("a"), KT_TIME_MIN, KT_TIME_MAX}, {KT_STR("c"), 7, 8}},
                              2});
    CHECK_STR(tell(store, "s"), "s(|||) 0:1..50 0:100..200 1:5..6 2:7..8");
    put_stays(store, "s", &(struct stays){KT_TOPICS_KEEP, {{KT_STR("z"), 0, 1}}, 1});
    CHECK_STR(members(store, "z"), "unknown");
    put_stays(store, "t", &(struct stays){KT_TOPICS_REPLACE, {{KT_STR("a"), 1, 2}}, 1});
    CHECK_STR(members(store, "a"), "s t");
    put_stays(store, "s",
              &(struct stays){KT_TOPICS_REPLACE, {{KT_STR("c"), 7, 9}, {KT_STR("c"), 7, 10}}, 2});
    CHECK_STR(tell(store, "s"), "s(|||) 2:7..10");
    CHECK_STR(members(store, "a"), "t");
    CHECK_STR(members(store, "b"), "");
    CHECK_STR(members(store, "c"), "s");
    kt_store_close(&store);
    store = help_open(path);
    CHECK_STR(tell(store, "s"), "s(|||) 2:7..10");
    CHECK_STR(members(store, "a"), "t");
    CHECK_STR(members(store, "b"), "");
    CHECK_STR(members(store, "c"), "s");
    struct kt_catalogue *view = kt_store_view(store);
    CHECK_INT(kt_catalogue_topic_count(view), 3);
    kt_catalogue_unref(&view);
    kt_store_close(&store);
}

static void one_change_may_join_and_leave_a_topic_many_times(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = help_new();
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    struct kt_change_stay in = {KT_STR("p"), 0, 9};
    for (int i = 0; i < 7; i++) {
        struct kt_change_subject subject = {.key = i % 2 ? KT_STR("odd") : KT_STR("even"),
                                            .topics_mode = KT_TOPICS_REPLACE,
                                            .stays = &in,
                                            .stay_count = i % 4 < 2 ? 1 : 0};
        CHECK_OK(kt_change_add_subject(builder, &subject, &err));
    }
    struct kt_apply_result result = help_commit_builder(store, builder);
    CHECK_INT(result.subjects, 2);
    CHECK_STR(members(store, "p"), "odd"); /* even left with i = 6, odd came back with i = 5 */
    kt_change_builder_free(&builder);
    kt_store_close(&store);
}

static void a_stay_counts_when_it_meets_the_bounds(void)
{
    struct kt_stay stays[] = {{3, 100, 200}, {3, 400, KT_TIME_MAX}, {4, KT_TIME_MIN, 50}};
    struct kt_subject subject = {.stays = stays, .stay_count = 3};
    CHECK(!kt_subject_in_topic(&subject, 3, 99, 99));
    CHECK(kt_subject_in_topic(&subject, 3, 100, 100));
    CHECK(kt_subject_in_topic(&subject, 3, 200, 200));
    CHECK(!kt_subject_in_topic(&subject, 3, 201, 399));
    CHECK(kt_subject_in_topic(&subject, 3, 201, 400));
    CHECK(kt_subject_in_topic(&subject, 3, KT_TIME_MIN, KT_TIME_MAX));
    CHECK(kt_subject_in_topic(&subject, 4, KT_TIME_MIN, KT_TIME_MIN));
    CHECK(!kt_subject_in_topic(&subject, 5, KT_TIME_MIN, KT_TIME_MAX));
}

static void a_named_tag_is_replaced_and_others_stay(void)
{
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    help_found(store, 4096);
    struct kt_str values[] = {KT_STR("y"), KT_STR("x"), KT_STR("y")};
    struct kt_change_tag tags[] = {{KT_STR("concept"), values, 3}, {KT_STR("area"), values, 1}};
    struct kt_change_subject subject = {.key = KT_STR("s"), .tags = tags, .tag_count = 2};
    (void)put_subject(store, &subject);
    CHECK_STR(tell(store, "s"), "s(|||) area=y concept=x concept=y");
    struct kt_str fresh[] = {KT_STR("z")};
    struct kt_change_tag next[] = {{KT_STR("concept"), fresh, 1}};
    subject.tags = next;
    subject.tag_count = 1;
    (void)put_subject(store, &subject);
    CHECK_STR(tell(store, "s"), "s(|||) area=y concept=z");
    struct kt_change_tag gone[] = {{KT_STR("area"), NULL, 0}};
    subject.tags = gone;
    (void)put_subject(store, &subject);
    CHECK_STR(tell(store, "s"), "s(|||) concept=z");
    kt_store_close(&store);
    store = help_open(path);
    CHECK_STR(tell(store, "s"), "s(|||) concept=z");
    kt_store_close(&store);
}

static void records_are_counted_and_not_versions(void)
{
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    help_found(store, 4096);
    struct kt_apply_result result =
        SAVE(store, {"s", 1, "", 5, "a", 1, "b", HELP_NULL}, {"s", 1, "", 6, "a", 2},
             {"s", 1, "Q", HELP_NO_D, "a", 2}, {"t", 1, "", HELP_NO_D});
    CHECK_INT(result.subjects, 2);
    CHECK_INT(result.records, 4);
    CHECK_INT(result.values, 4);
    SAVE(store, {"s", 1, "", 7, "a", 1}, {"s", 0, "", 7, "a", 1}, {"s", 2, "", 7, "a", 1});
    SAVE(store, {"s", 2, "", 7, "a", 1}, {"s", 0, "", 7, "a", 1}, {"s", -1, "", 7, "a", 1});
    for (int i = 0; i < 2; i++) {
        struct kt_catalogue *view = kt_store_view(store);
        CHECK_INT(kt_catalogue_record_count(view), 6);
        CHECK_INT(kt_catalogue_subject_count(view), 2);
        CHECK_INT(kt_catalogue_revision(view), 4);
        CHECK_INT(kt_catalogue_wall_ms(view), 4000);
        CHECK_INT(kt_catalogue_find_subject(view, KT_STR("s"))->changed_revision, 4);
        CHECK_INT(kt_catalogue_find_subject(view, KT_STR("t"))->changed_revision, 2);
        kt_catalogue_unref(&view);
        kt_store_close(&store);
        store = help_open(path);
    }
    SAVE(store, {"s", 2, "", 9, "a", 1}, {"s", 3, "", 9, "a", 1});
    struct kt_catalogue *view = kt_store_view(store);
    CHECK_INT(kt_catalogue_record_count(view), 7);
    kt_catalogue_unref(&view);
    kt_store_close(&store);
}

static void indicators_keep_their_numbers_and_stand_in_byte_order(void)
{
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    help_found(store, 4096);
    SAVE(store, {"s", 1, "", 5, "zeta", 1, "\xe5", 2});
    SAVE(store, {"s", 2, "", 5, "alpha", 1, "Zeta", 2});
    for (int i = 0; i < 2; i++) {
        struct kt_catalogue *view = kt_store_view(store);
        size_t count = 0;
        const uint32_t *sorted = kt_catalogue_indicators_sorted(view, &count);
        const char *order[] = {"Zeta", "alpha", "zeta", "\xe5"};
        CHECK_INT(count, 4);
        CHECK_INT(kt_catalogue_indicator_count(view), 4);
        for (size_t j = 0; j < count; j++) {
            CHECK_SLICE(kt_catalogue_indicator(view, sorted[j]), order[j]);
        }
        uint32_t number = 99;
        CHECK(kt_catalogue_find_indicator(view, KT_STR("zeta"), &number));
        CHECK_INT(number, 0);
        CHECK(!kt_catalogue_find_indicator(view, KT_STR("zet"), &number));
        CHECK_INT(number, 0);
        kt_catalogue_unref(&view);
        kt_store_close(&store);
        store = help_open(path);
    }
    kt_store_close(&store);
}

static void a_save_beyond_the_cluster_s_indicators_is_refused_whole(void)
{
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    help_found(store, 2);
    SAVE(store, {"s", 1, "", 5, "a", 1, "b", 2});
    struct kt_apply_result result = SAVE(store, {"t", 1, "", 5, "a", 1}, {"u", 1, "", 5, "c", 1});
    CHECK_INT(result.status, KT_BAD_VALUE);
    CHECK_STR(result.field, "indicators");
    CHECK(strstr(result.message, "limit is 2"));
    kt_store_close(&store);
    store = help_open(path);
    CHECK_INT(kt_store_applied(store), 3);
    CHECK_STR(tell(store, "t"), "");
    struct kt_catalogue *view = kt_store_view(store);
    CHECK_INT(kt_catalogue_indicator_count(view), 2);
    CHECK_INT(kt_catalogue_record_count(view), 1);
    CHECK_INT(kt_catalogue_revision(view), 3);
    kt_catalogue_unref(&view);
    result = SAVE(store, {"t", 1, "", 5, "c", 1});
    CHECK_INT(result.status, KT_BAD_VALUE);
    result = SAVE(store, {"t", 1, "", 5, "b", 1});
    CHECK_INT(result.status, KT_OK);
    CHECK_INT(result.seq, 5);
    kt_store_close(&store);
}

static void the_cursor_key_is_known_once_the_first_entry_is_applied(void)
{
    const char *path = help_path();
    unsigned char key[KT_CURSOR_KEY_BYTES] = {0};
    struct kt_store *store = help_open(path);
    CHECK(!kt_store_cursor_key(store, key));
    help_found(store, 4096);
    CHECK(kt_store_cursor_key(store, key));
    CHECK_INT(key[31], 7);
    kt_store_close(&store);
    store = help_open(path);
    CHECK(kt_store_cursor_key(store, key));
    kt_store_close(&store);
}

static void an_old_view_stays_as_it_was(void)
{
    struct kt_store *store = help_new();
    struct kt_change_stay in = {KT_STR("p"), 0, 9};
    struct kt_change_subject subject = {.key = KT_STR("s"),
                                        .name = {KT_NAMED, KT_STR("before")},
                                        .topics_mode = KT_TOPICS_REPLACE,
                                        .stays = &in,
                                        .stay_count = 1};
    (void)put_subject(store, &subject);
    SAVE(store, {"s", 1, "", 5, "a", 1});
    struct kt_catalogue *old = kt_store_view(store);
    const struct kt_subject *s = kt_catalogue_find_subject(old, KT_STR("s"));
    const struct kt_topic *p = kt_catalogue_find_topic(old, KT_STR("p"));
    subject.name.text = KT_STR("after");
    subject.stay_count = 0;
    (void)put_subject(store, &subject);
    SAVE(store, {"s", 2, "", 5, "b", 1}, {"t", 2, "", 5, "b", 1});
    kt_store_close(&store); /* a view outlives even the store */
    CHECK_SLICE(s->name, "before");
    CHECK_INT(s->changed_revision, 3);
    CHECK_INT(p->member_count, 1);
    CHECK_INT(kt_catalogue_revision(old), 3);
    CHECK_INT(kt_catalogue_indicator_count(old), 1);
    CHECK_INT(kt_catalogue_record_count(old), 1);
    CHECK(!kt_catalogue_find_subject(old, KT_STR("t")));
    CHECK(!kt_catalogue_subject(old, 1));
    CHECK(!kt_catalogue_subject(old, 100000));
    kt_catalogue_unref(&old);
    kt_catalogue_unref(&old);
}

/* --- views while another thread applies --- */

struct reading {
    struct kt_store *store;
    atomic_bool stop;
    atomic_int wrong;
    atomic_uint_fast64_t views;
};

/* Save n names all of its records' values n, and gives each of its subjects one record more; so in
 * a view of revision r every subject's newest value and the record count are known. */
static void read_views(void *arg)
{
    struct reading *reading = arg;
    struct kt_error err = KT_ERROR_INIT;
    uint64_t last = 0;
    while (!atomic_load(&reading->stop)) {
        struct kt_catalogue *view = kt_store_view(reading->store);
        uint64_t revision = kt_catalogue_revision(view);
        uint64_t saves = revision - 1;
        const struct kt_topic *topic = kt_catalogue_find_topic(view, KT_STR("p"));
        bool right = revision >= last && kt_catalogue_record_count(view) == saves * 3 &&
                     kt_catalogue_subject_count(view) == (saves ? saves + 2 : 0) &&
                     (!topic || topic->member_count == saves + 2);
        char key[32];
        snprintf(key, sizeof(key), "s%llu", (unsigned long long)(saves / 2));
        const struct kt_subject *subject = kt_catalogue_find_subject(view, kt_str(key));
        if (saves > 0) {
            struct kt_series *series = NULL;
            struct kt_bounds bounds = {KT_TIME_MAX, revision};
            double value = 0;
            uint32_t number;
            right &= subject && kt_str_eq(subject->name, kt_str(key)) &&
                     kt_catalogue_find_indicator(view, KT_STR("v"), &number) &&
                     kt_store_load_series(reading->store, subject->number, &series, &err) == KT_OK;
            if (right) {
                ptrdiff_t at = kt_series_newest(series, KT_TIME_MAX, NULL, &bounds);
                right = at >= 0 && kt_series_value(series, (size_t)at, number, &bounds, &value) &&
                        (uint64_t)value + 1 == subject->changed_revision &&
                        kt_series_loaded_revision(series) >= revision;
            }
            kt_series_unref(&series);
        }
        if (!right) {
            atomic_fetch_add(&reading->wrong, 1);
        }
        last = revision;
        atomic_fetch_add(&reading->views, 1);
        kt_catalogue_unref(&view);
    }
}

/* Subjects s(n-1) … s(n+1), so that each save changes old ones and makes a new one. */
static void save_nth(struct kt_store *store, int n)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    for (int i = n - 1; i <= n + 1; i++) {
        char key[16], other[16];
        snprintf(key, sizeof(key), "s%d", i);
        snprintf(other, sizeof(other), "i%d", n % 50);
        struct kt_change_stay in = {KT_STR("p"), 0, 9};
        struct kt_change_subject subject = {.key = kt_str(key),
                                            .name = {KT_NAMED, kt_str(key)},
                                            .topics_mode = KT_TOPICS_ADD_IF_NONE,
                                            .stays = &in,
                                            .stay_count = 1};
        if (kt_change_add_subject(builder, &subject, &err) != KT_OK) {
            help_fatal("subject", &err);
        }
        help_add(builder, &(struct help_record){key, n, "", HELP_NO_D, "v", n, other, 1});
    }
    (void)help_commit_builder(store, builder);
    kt_change_builder_free(&builder);
}

static void views_are_whole_while_another_thread_applies(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct reading reading = {.store = help_new()};
    struct kt_thread readers[3] = {0};
    for (int i = 0; i < 3; i++) {
        CHECK_OK(kt_thread_start(&readers[i], "reader", read_views, &reading, &err));
    }
    int saves = kt_test_is_slow() ? 150 : 400;
    for (int n = 1; n <= saves || atomic_load(&reading.views) < 50; n++) {
        save_nth(reading.store, n);
    }
    atomic_store(&reading.stop, true);
    for (int i = 0; i < 3; i++) {
        kt_thread_join(&readers[i]);
    }
    CHECK_INT(atomic_load(&reading.wrong), 0);
    kt_store_close(&reading.store);
}

static void thousands_of_subjects_are_found_by_key_and_number(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *store = help_open(path);
    help_found(store, 4096);
    struct kt_change_builder *builder = kt_change_builder_new(16 << 20);
    for (int i = 0; i < 3000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i * 7919 % 3000);
        struct kt_change_subject subject = {.key = kt_str(key), .name = {KT_NAMED, kt_str(key)}};
        CHECK_OK(kt_change_add_subject(builder, &subject, &err));
    }
    (void)help_commit_builder(store, builder);
    kt_change_builder_free(&builder);
    for (int round = 0; round < 2; round++) {
        struct kt_catalogue *view = kt_store_view(store);
        CHECK_INT(kt_catalogue_subject_count(view), 3000);
        CHECK_INT(kt_catalogue_subject_limit(view), 3000);
        for (int i = 0; i < 3000; i++) {
            char key[16];
            snprintf(key, sizeof(key), "k%d", i);
            const struct kt_subject *s = kt_catalogue_find_subject(view, kt_str(key));
            CHECK(s && kt_str_eq_text(s->name, key));
            CHECK(kt_catalogue_subject(view, s->number) == s);
        }
        kt_catalogue_unref(&view);
        kt_store_close(&store);
        store = help_open(path);
    }
    kt_store_close(&store);
}

static const struct kt_test tests[] = {
    TEST(names_merge_and_null_clears),
    TEST(topics_are_replaced_kept_or_added_if_none),
    TEST(one_change_may_join_and_leave_a_topic_many_times),
    TEST(a_stay_counts_when_it_meets_the_bounds),
    TEST(a_named_tag_is_replaced_and_others_stay),
    TEST(records_are_counted_and_not_versions),
    TEST(indicators_keep_their_numbers_and_stand_in_byte_order),
    TEST(a_save_beyond_the_cluster_s_indicators_is_refused_whole),
    TEST(the_cursor_key_is_known_once_the_first_entry_is_applied),
    TEST(an_old_view_stays_as_it_was),
    TEST(views_are_whole_while_another_thread_applies),
    TEST(thousands_of_subjects_are_found_by_key_and_number),
};
KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
/* Pages by cursor: what comes once, what a cursor holds on to, and who may not make one. */
#include "kt_test.h"

#include "world.h"

#include "base/mem.h"

#include <stdlib.h>

static struct world world;

/* The page behind `cursor`: `fields` is the inside of the body. */
static const char *page(const char *fields, const char *cursor)
{
    char body[2048];
    snprintf(body, sizeof body, "{%s%s\"cursor\":\"%s\"}", fields, fields[0] ? "," : "", cursor);
    return world_rows(&world, body);
}

static char *copy_next(char dest[1024])
{
    snprintf(dest, 1024, "%s", world_next(&world));
    return dest;
}

/*  A..F in topic T; eps 1 to 6 but for C, which has none. */
static void open_six(const char *name)
{
    static const char *const data[] = {"eps=1", "eps=2", "rev=3", "eps=4", "eps=5", "eps=6"};
    world_open(&world, name, world_date("2024-01-01") * 1000);
    for (int i = 0; i < 6; i++) {
        char key[2] = {(char)('A' + i), 0};
        world_record(&world, key, "2024-03-31", "Q1", NULL, data[i]);
        world_stay(&world, key, "T", KT_TIME_MIN, KT_TIME_MAX);
    }
    world_commit_on(&world, "2024-07-01");
}

static void a_cursor_leads_to_the_next_page_until_the_end(void)
{
    static const char fields[] = "\"field\":\"eps\"";
    open_six("pages.db");
    CHECK_STR(world_rows(&world, "{\"field\":\"eps\",\"limit\":2}"), "F E/6");
    CHECK_STR(page("\"field\":\"eps\",\"limit\":1", world_next(&world)), "D/6");
    CHECK_STR(page("\"field\":\"eps\",\"limit\":3", world_next(&world)), "B A C/6");
    CHECK_STR(world_next(&world), "");
    CHECK_STR(world_rows(&world, "{\"field\":\"eps\",\"limit\":6}"), "F E D B A C/6");
    CHECK_STR(world_next(&world), "");
    /* A first page may begin further on, and the last row of a page may have no value. */
    CHECK_STR(world_rows(&world, "{\"field\":\"rev\",\"limit\":2,\"offset\":1}"), "A B/6");
    CHECK_STR(page("\"field\":\"rev\",\"limit\":2", world_next(&world)), "D E/6");
    CHECK_STR(page("\"field\":\"rev\",\"limit\":2", world_next(&world)), "F/6");
    CHECK_STR(world_next(&world), "");
    /* Without a limit ten. */
    CHECK_STR(world_rows(&world, "{\"field\":\"eps\",\"limit\":1}"), "F/6");
    CHECK_STR(page(fields, world_next(&world)), "E D B A C/6");
    world_close(&world);
}

static void pages_of_a_selection_and_of_named_subjects(void)
{
    open_six("which.db");
    CHECK_STR(world_rows(&world, "{\"subjects\":[\"E\",\"A\",\"C\"],\"limit\":1,\"order\":1}"),
              "A/3");
    CHECK_STR(page("\"subjects\":\"E,A,C\",\"order\":\"asc\"", world_next(&world)), "C E/3");
    char text[1200], next[1024];
    CHECK_INT(world_ask_of(&world, kt_query_selection_snapshot,
                           "{\"selection\":{\"topic\":\"T\"},\"limit\":5}"),
              KT_OK);
    snprintf(text, sizeof text, "{\"selection\":{\"topic\":\"T\"},\"cursor\":\"%s\"}",
             copy_next(next));
    CHECK_INT(world_ask_of(&world, kt_query_selection_snapshot, text), KT_OK);
    CHECK(strstr(world.response.body.data, "[{\"subject\":{\"subject\":\"A\"") != NULL);
    CHECK_STR(world_next(&world), "");
    world_close(&world);
}

static void pages_of_a_batch(void)
{
    char next[1024], text[2048];
    open_six("batch.db");
    CHECK_INT(world_ask_of(&world, kt_query_batch,
                           "{\"queries\":[{\"id\":\"p\",\"op\":\"snapshot\","
                           "\"body\":{\"limit\":5}}]}"),
              KT_OK);
    snprintf(text, sizeof text,
             "{\"queries\":[{\"id\":\"bad\",\"op\":\"snapshot\",\"body\":{\"cursor\":\"AAAA\"}},"
             "{\"id\":\"p\",\"op\":\"snapshot\",\"body\":{\"cursor\":\"%s\"}}]}",
             copy_next(next));
    CHECK(next[0]);
    CHECK_INT(world_ask_of(&world, kt_query_batch, text), KT_OK);
    CHECK(strstr(world.response.body.data, "\"code\":\"bad_value\",\"field\":\"cursor\"") != NULL);
    CHECK(strstr(world.response.body.data, "\"data\":[{\"subject\":{\"subject\":\"A\"") != NULL);
    CHECK_STR(world_next(&world), "");
    world_close(&world);
}

enum { STILL = 40, MOVING = 20 };

/* Changes of those that move: values, dates, names, all between the others', and newcomers. */
static void move_some(uint64_t *seed, int *newcomers)
{
    for (int i = 0; i < 4; i++) {
        char key[16], name[32], data[32], date[16];
        uint64_t r = kt_prng_next(seed);
        int who = r % 4 ? (int)(r >> 8) % MOVING : MOVING + (*newcomers)++;
        snprintf(key, sizeof key, "%02dm", who);
        snprintf(name, sizeof name, "n%02u", (unsigned)(r >> 16) % 60);
        snprintf(data, sizeof data, r % 5 ? "eps=%u" : "eps=null", (unsigned)(r >> 24) % 12);
        snprintf(date, sizeof date, "2024-%02u-01", 1 + (unsigned)(r >> 32) % 12);
        world_record(&world, key, date, "Q1", NULL, data);
        world_subject(&world, key, name, NULL);
        world_stay(&world, key, "T", KT_TIME_MIN, KT_TIME_MAX);
    }
    world_commit(&world, world.wall_ms + 10);
}

static void open_moving(size_t number, uint64_t *seed)
{
    char file[32];
    int newcomers = 0;
    snprintf(file, sizeof file, "moving%zu.db", number);
    world_open(&world, file, world_date("2024-01-01") * 1000);
    for (int i = 0; i < STILL; i++) {
        char key[16], name[16], data[16], date[16];
        snprintf(key, sizeof key, "%02d", i);
        snprintf(name, sizeof name, "n%02d", i * 7 % 30); /* each name twice or so */
        snprintf(data, sizeof data, "eps=%d", i * 11 % 12);
        snprintf(date, sizeof date, "2024-%02d-01", 1 + i % 12);
        world_record(&world, key, date, "Q1", NULL, i % 9 ? data : "rev=1");
        world_subject(&world, key, i % 5 ? name : NULL, NULL);
        world_stay(&world, key, "T", KT_TIME_MIN, KT_TIME_MAX);
    }
    for (int i = 0; i < MOVING; i++) {
        move_some(seed, &newcomers);
    }
}

/* Walks all pages, with changes between them; every subject that did not move comes once. */
static void walk_pages(const char *field, int order, uint64_t *seed)
{
    int seen[STILL] = {0}, pages = 0, newcomers = 0;
    char fields[160], cursor[1024] = "";
    do {
        snprintf(fields, sizeof fields,
                 "\"topic\":\"T\",\"field\":\"%s\",\"order\":%d,\"limit\":%d", field, order,
                 1 + (int)(kt_prng_next(seed) % 9));
        char first[200];
        snprintf(first, sizeof first, "{%s}", fields);
        const char *rows = cursor[0] ? page(fields, cursor) : world_rows(&world, first);
        for (const char *at = rows; *at && *at != '/'; at += strcspn(at, " /"), at += *at == ' ') {
            size_t len = strcspn(at, " /");
            if (len == 2) {
                seen[atoi(at)]++;
            }
        }
        CHECK_INT(world.err.status, KT_OK);
        copy_next(cursor);
        move_some(seed, &newcomers);
    } while (cursor[0] && ++pages < 200);
    for (int i = 0; i < STILL; i++) {
        if (seen[i] != 1) {
            kt_test_fail(__FILE__, __LINE__, "by %s %d: %02d came %d times", field, order, i,
                         seen[i]);
        }
    }
    CHECK(pages >= 4);
}

static void rows_that_did_not_change_come_exactly_once(void)
{
    static const char *const fields[] = {"eps", "report_date", "subject", "name"};
    uint64_t seed = 7;
    for (size_t i = 0; i < 2 * KT_ARRAY_LEN(fields); i++) {
        open_moving(i, &seed);
        walk_pages(fields[i / 2], i % 2 ? 1 : -1, &seed);
        world_close(&world);
    }
}

static void a_damaged_or_forged_cursor_is_refused(void)
{
    char next[1024], bad[1100];
    open_six("forged.db");
    (void)world_rows(&world, "{\"limit\":2}");
    size_t len = strlen(copy_next(next));
    CHECK_STR(page("", next), "D C B A/6");
    for (size_t i = 0; i < len; i++) {
        snprintf(bad, sizeof bad, "%s", next);
        bad[i] = next[i] == 'A' ? 'B' : 'A';
        CHECK_STR(page("", bad), "bad_value cursor");
        snprintf(bad, sizeof bad, "%.*s", (int)i, next);
        CHECK_STR(page("", bad), "bad_value cursor");
        CHECK_STR(page("", next + i + 1), "bad_value cursor");
    }
    static const char *const tails[] = {"A", "=", "==", "AAAA", " ", "%"};
    for (size_t i = 0; i < KT_ARRAY_LEN(tails); i++) {
        snprintf(bad, sizeof bad, "%s%s", next, tails[i]);
        CHECK_STR(page("", bad), "bad_value cursor");
    }
    memset(bad, 'A', sizeof bad - 1);
    bad[sizeof bad - 1] = '\0';
    CHECK_STR(page("", bad), "bad_value cursor");
    world_close(&world);
}

/* Everything but the MAC is right: the checksum and the key's id are no secrets. */
static void a_cursor_with_another_payload_needs_the_key(void)
{
    char next[1024], plain[1024];
    unsigned char bytes[1024];
    size_t len = 0;
    open_six("mac.db");
    (void)world_rows(&world, "{\"limit\":2}");
    for (size_t at = 9; at < 60; at++) {
        snprintf(plain, sizeof plain, "%s", copy_next(next));
        for (char *c = plain; *c; c++) {
            *c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
        }
        while (strlen(plain) % 4) {
            strcat(plain, "=");
        }
        CHECK(kt_base64_decode(kt_str(plain), bytes, &len));
        bytes[at] ^= 1;
        uint32_t crc = kt_crc32c(0, bytes, len - 4);
        for (int i = 0; i < 4; i++) {
            bytes[len - 4 + (size_t)i] = (unsigned char)(crc >> 8 * i);
        }
        kt_base64_encode(bytes, len, plain);
        for (char *c = plain; *c; c++) {
            *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
        }
        plain[strcspn(plain, "=")] = '\0';
        CHECK_STR(page("", plain), "bad_value cursor");
        (void)world_rows(&world, "{\"limit\":2}");
    }
    world_close(&world);
}

static void a_cursor_belongs_to_its_question(void)
{
    static const char *const others[] = {
        "\"order\":1",
        "\"field\":\"rev\"",
        "\"ids\":\"eps\"",
        "\"subjects\":\"A\"",
        "\"topic\":\"T\"",
        "\"periods\":\"Q1\"",
        "\"timestamp\":\"2024-12-31\"",
        "\"as_of\":\"2024-12-31\"",
        "\"recorded_by\":2",
        "\"recorded_by\":\"@1719835200\"",
        "\"fill\":\"previous\"",
        "\"max_age\":1000000000",
    };
    char next[1024];
    open_six("other.db");
    (void)world_rows(&world, "{\"limit\":2}");
    copy_next(next);
    for (size_t i = 0; i < KT_ARRAY_LEN(others); i++) {
        CHECK_STR(page(others[i], next), "bad_value cursor");
    }
    CHECK_STR(page("\"offset\":0", next), "bad_value cursor");
    CHECK_STR(page("\"offset\":2", next), "bad_value cursor");
    /* The same question in other words. */
    CHECK_STR(page("\"order\":\"desc\",\"ids\":[],\"fill\":\"none\",\"timestamp\":0,\"limit\":1,"
                   "\"offset\":null,\"method\":\"m\"",
                   next),
              "D/6");
    world_close(&world);
}

static void a_cursor_of_a_selection_keeps_its_tag_and_keyword(void)
{
    static const char *const others[] = {"\"topic\":\"T\",\"id\":\"x\"",
                                         "\"topic\":\"T\",\"keyword\":\"x\"", "\"topic\":\"*\"",
                                         "\"subject\":\"A\""};
    char next[1024], text[1200];
    open_six("tags.db");
    CHECK_INT(world_ask_of(&world, kt_query_selection_snapshot,
                           "{\"selection\":{\"topic\":\"T\"},\"limit\":1}"),
              KT_OK);
    copy_next(next);
    for (size_t i = 0; i < KT_ARRAY_LEN(others); i++) {
        snprintf(text, sizeof text, "{\"selection\":{%s},\"cursor\":\"%s\"}", others[i], next);
        CHECK_INT(world_ask_of(&world, kt_query_selection_snapshot, text), KT_BAD_VALUE);
        CHECK_STR(world.err.field, "cursor");
    }
    world_close(&world);
}

static void a_replaced_key_ends_old_cursors_as_gone(void)
{
    char next[1024];
    open_six("key.db");
    (void)world_rows(&world, "{\"limit\":2}");
    copy_next(next);
    world_close(&world);
    world_open_keyed(&world, "key2.db", world_date("2024-01-01") * 1000, 1);
    CHECK_STR(page("", next), "gone cursor");
    CHECK_INT(kt_status_http(world.err.status), 410);
    world_close(&world);
}

static void pages_keep_the_moment_of_page_one(void)
{
    open_six("moment.db");
    world_stay(&world, "A", "T", KT_TIME_MIN, world_date("2024-08-01"));
    world_stay(&world, "F", "T", world_date("2024-08-02"), KT_TIME_MAX);
    world_commit_on(&world, "2024-07-02");
    world.env.now_wall_ms = world_date("2024-08-01") * 1000;
    CHECK_STR(world_rows(&world, "{\"topic\":\"T\",\"limit\":2}"), "E D/5");
    world.env.now_wall_ms = world_date("2024-09-01") * 1000;
    CHECK_STR(page("\"topic\":\"T\",\"limit\":2", world_next(&world)), "C B/5");
    CHECK_STR(page("\"topic\":\"T\",\"limit\":2", world_next(&world)), "A/5");
    CHECK_STR(world_rows(&world, "{\"topic\":\"T\",\"limit\":2}"), "F E/5");
    /* Age counts from page one too. */
    world.env.now_wall_ms = world_date("2024-04-01") * 1000;
    CHECK_STR(world_rows(&world, "{\"max_age\":86400,\"limit\":5}"), "F E D C B/6");
    world.env.now_wall_ms = world_date("2024-04-02") * 1000;
    CHECK_STR(page("\"max_age\":86400", world_next(&world)), "A/6");
    CHECK_STR(world_rows(&world, "{\"max_age\":86400,\"limit\":5}"), "/0");
    world_close(&world);
}

static void equal_questions_get_equal_cursors_at_any_time(void)
{
    static const char *const bodies[] = {"{\"limit\":1}", "{\"topic\":\"T\",\"limit\":1}",
                                         "{\"topic\":\"T\",\"limit\":1,\"timestamp\":1714435200}",
                                         "{\"limit\":1,\"max_age\":9,\"timestamp\":1711843200}"};
    char next[1024];
    open_six("equal.db");
    world_stay(&world, "A", "T", world_date("2024-01-05"), world_date("2024-08-01"));
    world_commit_on(&world, "2024-07-02");
    for (size_t i = 0; i < KT_ARRAY_LEN(bodies); i++) {
        world.env.now_wall_ms = world_date("2024-07-03") * 1000;
        (void)world_rows(&world, bodies[i]);
        copy_next(next);
        CHECK(next[0]);
        world.env.now_wall_ms = world_date("2024-07-31") * 1000;
        (void)world_rows(&world, bodies[i]);
        CHECK_STR(world_next(&world), next);
    }
    world_close(&world);
}

static void pages_keep_the_field_that_page_one_was_sorted_by(void)
{
    open_six("field.db");
    CHECK_STR(world_rows(&world, "{\"ids\":\"new,eps\",\"limit\":2}"), "F E/6");
    world_record(&world, "A", "2024-05-31", "Q1", NULL, "new=100");
    world_commit_on(&world, "2024-07-02");
    CHECK_STR(page("\"ids\":\"new,eps\",\"limit\":2", world_next(&world)), "D B/6");
    CHECK_STR(page("\"ids\":\"new,eps\",\"limit\":2", world_next(&world)), "A C/6");
    CHECK_STR(world_rows(&world, "{\"ids\":\"new,eps\",\"limit\":2}"), "A B/6");
    world_close(&world);
}

/* What the hold callback was asked, and what it answers. */
static struct {
    int calls;
    uint64_t seq;
    enum kt_status answer;
    bool as_agreed;
    bool commits; /* the node catches up while it waits */
} held;

static enum kt_status on_hold(void *ctx, uint64_t seq, int64_t wall_ms, int64_t deadline_mono_ms,
                              struct kt_error *err)
{
    struct world *w = ctx;
    held.calls++;
    held.seq = seq;
    held.as_agreed = wall_ms == 0 && deadline_mono_ms == w->env.deadline_mono_ms;
    if (held.commits) {
        world_record(w, "D", "2024-03-31", "Q1", NULL, "eps=0");
        world_commit_on(w, "2024-07-02");
    }
    return held.answer == KT_OK ? KT_OK : kt_fail(err, held.answer, "said the node");
}

/* D changed before page one was asked on a node that knew: one that does not would show it twice.
 */
static void a_node_behind_page_one_waits_before_it_goes_on(void)
{
    static const char fields[] = "\"field\":\"eps\",\"order\":1,\"limit\":2";
    char next[1024];
    open_six("ahead.db");
    world_record(&world, "D", "2024-03-31", "Q1", NULL, "eps=0");
    world_commit_on(&world, "2024-07-02");
    CHECK_STR(world_rows(&world, "{\"field\":\"eps\",\"order\":1,\"limit\":1}"), "D/6");
    CHECK_STR(page("\"field\":\"eps\",\"order\":1,\"limit\":1", world_next(&world)), "A/6");
    copy_next(next); /* of page two, which says page one's revision too */
    world_close(&world);

    open_six("behind.db");
    CHECK_STR(page(fields, next), "gone cursor"); /* it holds all there is: losses were accepted */
    world.env.hold = on_hold;
    world.env.hold_ctx = &world;
    memset(&held, 0, sizeof held);
    held.answer = KT_UNAVAILABLE;
    CHECK_STR(page(fields, next), "unavailable cursor");
    held.answer = KT_BAD_VALUE;
    CHECK_STR(page(fields, next), "gone cursor");
    held.answer = KT_OK;
    CHECK_STR(page(fields, next), "unavailable cursor");
    CHECK_INT(held.calls, 3);
    CHECK_INT(held.seq, 3);
    CHECK(held.as_agreed);
    held.commits = true;
    CHECK_STR(page(fields, next), "B E/6");
    CHECK_INT(held.calls, 4);
    CHECK_STR(page(fields, next), "B E/6");
    CHECK_INT(held.calls, 4);
    world_close(&world);
}

static void the_longest_names_fit_into_a_cursor(void)
{
    char key[129], name[129], indicator[129], fields[400], body[500], data[200];
    world_open(&world, "long.db", 1000);
    memset(name, 'n', 128);
    memset(indicator, 'i', 128);
    name[128] = indicator[128] = '\0';
    for (int i = 0; i < 3; i++) {
        memset(key, 'a' + i, 128);
        key[128] = '\0';
        snprintf(data, sizeof data, "%s=%d.25", indicator, i);
        world_record(&world, key, "2024-03-31", "Q1", NULL, data);
        world_subject(&world, key, name, NULL);
    }
    world_commit(&world, 2000);
    for (int i = 0; i < 2; i++) {
        snprintf(fields, sizeof fields, "\"ids\":\"%s\",\"field\":\"%s\",\"limit\":1", indicator,
                 i ? indicator : "name");
        snprintf(body, sizeof body, "{%s}", fields);
        (void)world_rows(&world, body);
        for (int left = 2; left > 0; left--) {
            CHECK(world_next(&world)[0]);
            CHECK(page(fields, world_next(&world))[0] == (i ? 'a' + left - 1 : 'c' - left + 1));
        }
        CHECK_STR(world_next(&world), "");
    }
    world_close(&world);
}

static const struct kt_test tests[] = {
    TEST(a_cursor_leads_to_the_next_page_until_the_end),
    TEST(pages_of_a_selection_and_of_named_subjects),
    TEST(pages_of_a_batch),
    TEST(rows_that_did_not_change_come_exactly_once),
    TEST(a_damaged_or_forged_cursor_is_refused),
    TEST(a_cursor_with_another_payload_needs_the_key),
    TEST(a_cursor_belongs_to_its_question),
    TEST(a_cursor_of_a_selection_keeps_its_tag_and_keyword),
    TEST(a_replaced_key_ends_old_cursors_as_gone),
    TEST(pages_keep_the_moment_of_page_one),
    TEST(equal_questions_get_equal_cursors_at_any_time),
    TEST(pages_keep_the_field_that_page_one_was_sorted_by),
    TEST(a_node_behind_page_one_waits_before_it_goes_on),
    TEST(the_longest_names_fit_into_a_cursor),
};
KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
/* One record declared, restated, corrected late, cleared and named again, and a second one that at
 * first says nothing: every row of the table asks for a point in the three times.
 *
 *   W   stamped              record     D           says
 *   2   2024-05-02 12:00:00  Q1         2024-04-30  eps=1 rev=100
 *   3   2024-08-31 12:00:00  Q1         2024-08-30  eps=2
 *   4   2024-09-10 12:00:00  Q1         2024-05-15  rev=150        (.999: the second's end)
 *   5   2024-09-20 12:00:00  Q1         2024-09-15  eps=null
 *   6   2024-10-01 12:00:00  Q1         -           eps=3          (D = 2024-09-15)
 *   7   2024-10-05 12:00:00  Q2         -           nothing        (D = 2024-06-30, its own time)
 *   8   2024-10-11 12:00:00  Q2         2024-10-10  eps=5
 *   9   2024-11-01 12:00:00  Q2         2024-10-10  eps=7, then eps=8, and
 *                                       2024-10-09  eps=6 rev=60
 *  10   2024-11-01 12:00:00  Q2         -           rev=61         (D = 2024-10-10)
 */
#include "kt_test.h"

#include "world.h"

#include "base/mem.h"

static struct world world;

struct version {
    uint64_t revision;
    const char *stamped; /* at noon */
    const char *time, *period, *declare, *data;
};

static const struct version story[] = {
    {2, "2024-05-02", "2024-03-31", "Q1", "2024-04-30", "eps=1 rev=100"},
    {3, "2024-08-31", "2024-03-31", "Q1", "2024-08-30", "eps=2"},
    {4, "2024-09-10", "2024-03-31", "Q1", "2024-05-15", "rev=150"},
    {5, "2024-09-20", "2024-03-31", "Q1", "2024-09-15", "eps=null"},
    {6, "2024-10-01", "2024-03-31", "Q1", NULL, "eps=3"},
    {7, "2024-10-05", "2024-06-30", "Q2", NULL, ""},
    {8, "2024-10-11", "2024-06-30", "Q2", "2024-10-10", "eps=5"},
    {9, "2024-11-01", "2024-06-30", "Q2", "2024-10-10", "eps=7"},
    {9, "2024-11-01", "2024-06-30", "Q2", "2024-10-10", "eps=8"},
    {9, "2024-11-01", "2024-06-30", "Q2", "2024-10-09", "eps=6 rev=60"},
    {10, "2024-11-01", "2024-06-30", "Q2", NULL, "rev=61"},
};

/* Commits one revision of the story. */
static void tell(uint64_t revision)
{
    const char *stamped = NULL;
    for (size_t i = 0; i < KT_ARRAY_LEN(story); i++) {
        const struct version *v = &story[i];
        if (v->revision == revision) {
            stamped = v->stamped;
            world_record(&world, "S", v->time, v->period, v->declare, v->data);
        }
    }
    world_commit(&world, (world_date(stamped) + KT_DAY_S / 2) * 1000 + (revision == 4 ? 999 : 0));
}

static void tell_story(const char *name, uint64_t until)
{
    world_open(&world, name, world_date("2024-01-01") * 1000);
    for (uint64_t revision = 2; revision <= until; revision++) {
        tell(revision);
    }
}

struct point {
    const char *until, *as_of, *recorded_by; /* JSON values; NULL = absent */
    const char *period, *eps, *rev;          /* period NULL = no record; eps, rev NULL = no value */
    const char *declared;
};

#define Q1_ALL "\"2024-03-31\""

static const struct point points[] = {
    /* what is known now */
    {NULL, NULL, NULL, "Q2", "8", "61", "2024-10-10"},
    {Q1_ALL, NULL, NULL, "Q1", "3", "150", "2024-09-15"},
    {"\"2024-06-29\"", NULL, NULL, "Q1", "3", "150", "2024-09-15"},
    {"1711843200", NULL, NULL, "Q1", "3", "150", "2024-09-15"},
    {"\"1711843200\"", NULL, NULL, "Q1", "3", "150", "2024-09-15"},
    {"1711843199", NULL, NULL, NULL, NULL, NULL, NULL},
    {"\"2024-03-30\"", NULL, NULL, NULL, NULL, NULL, NULL},
    {"0", NULL, NULL, "Q2", "8", "61", "2024-10-10"},
    {"\"0\"", NULL, NULL, "Q2", "8", "61", "2024-10-10"},
    {"\"1970-01-01\"", NULL, NULL, NULL, NULL, NULL, NULL},
    {NULL, "0", "0", "Q2", "8", "61", "2024-10-10"},
    {NULL, "\"0\"", "\"0\"", "Q2", "8", "61", "2024-10-10"},
    /* what the world knew */
    {NULL, "\"2024-05-01\"", NULL, "Q1", "1", "100", "2024-04-30"},
    {NULL, "\"2024-04-30\"", NULL, "Q1", "1", "100", "2024-04-30"},
    {NULL, "1714435200", NULL, "Q1", "1", "100", "2024-04-30"},
    {NULL, "1714435199", NULL, NULL, NULL, NULL, NULL},
    {NULL, "\"2024-04-29\"", NULL, NULL, NULL, NULL, NULL},
    {NULL, "\"1970-01-01\"", NULL, NULL, NULL, NULL, NULL},
    {NULL, "\"2024-05-14\"", NULL, "Q1", "1", "100", "2024-04-30"},
    {NULL, "\"2024-05-15\"", NULL, "Q1", "1", "150", "2024-05-15"},
    {NULL, "\"2024-06-29\"", NULL, "Q1", "1", "150", "2024-05-15"},
    {NULL, "\"2024-06-30\"", NULL, "Q2", NULL, NULL, ""},
    {NULL, "\"2024-10-08\"", NULL, "Q2", NULL, NULL, ""},
    {NULL, "\"2024-10-09\"", NULL, "Q2", "6", "60", "2024-10-09"},
    {NULL, "\"2024-10-10\"", NULL, "Q2", "8", "61", "2024-10-10"},
    {Q1_ALL, "\"2024-08-29\"", NULL, "Q1", "1", "150", "2024-05-15"},
    {Q1_ALL, "\"2024-08-30\"", NULL, "Q1", "2", "150", "2024-08-30"},
    {Q1_ALL, "\"2024-09-14\"", NULL, "Q1", "2", "150", "2024-08-30"},
    {Q1_ALL, "\"2024-09-15\"", NULL, "Q1", "3", "150", "2024-09-15"},
    /* what this cluster knew, by revision */
    {NULL, NULL, "1", NULL, NULL, NULL, NULL},
    {NULL, NULL, "2", "Q1", "1", "100", "2024-04-30"},
    {NULL, NULL, "\"2\"", "Q1", "1", "100", "2024-04-30"},
    {NULL, NULL, "3", "Q1", "2", "100", "2024-08-30"},
    {NULL, NULL, "4", "Q1", "2", "150", "2024-08-30"},
    {NULL, NULL, "5", "Q1", NULL, "150", "2024-09-15"},
    {NULL, NULL, "6", "Q1", "3", "150", "2024-09-15"},
    {NULL, NULL, "7", "Q2", NULL, NULL, ""},
    {NULL, NULL, "8", "Q2", "5", NULL, "2024-10-10"},
    {NULL, NULL, "9", "Q2", "8", "60", "2024-10-10"},
    {NULL, NULL, "10", "Q2", "8", "61", "2024-10-10"},
    /* … and by its clock */
    {NULL, NULL, "\"2024-05-01\"", NULL, NULL, NULL, NULL},
    {NULL, NULL, "\"@0\"", NULL, NULL, NULL, NULL},
    {NULL, NULL, "\"@-5\"", NULL, NULL, NULL, NULL},
    {NULL, NULL, "\"2024-05-02\"", "Q1", "1", "100", "2024-04-30"},
    {NULL, NULL, "\"@1714651199\"", NULL, NULL, NULL, NULL},
    {NULL, NULL, "\"@1714651200\"", "Q1", "1", "100", "2024-04-30"},
    {NULL, NULL, "\"2024-08-30\"", "Q1", "1", "100", "2024-04-30"},
    {NULL, NULL, "\"2024-08-31\"", "Q1", "2", "100", "2024-08-30"},
    {NULL, NULL, "\"@1725969599\"", "Q1", "2", "100", "2024-08-30"},
    {NULL, NULL, "\"@1725969600\"", "Q1", "2", "150", "2024-08-30"},
    {NULL, NULL, "\"@1730462399\"", "Q2", "5", NULL, "2024-10-10"},
    {NULL, NULL, "\"@1730462400\"", "Q2", "8", "61", "2024-10-10"},
    {NULL, NULL, "\"9999-12-31\"", "Q2", "8", "61", "2024-10-10"},
    /* both */
    {NULL, "\"2024-05-20\"", "3", "Q1", "1", "100", "2024-04-30"},
    {NULL, "\"2024-05-20\"", "4", "Q1", "1", "150", "2024-05-15"},
    {NULL, "\"2024-12-31\"", "2", "Q1", "1", "100", "2024-04-30"},
    {NULL, "\"2024-09-14\"", "5", "Q1", "2", "150", "2024-08-30"},
    {NULL, "\"2024-09-15\"", "5", "Q1", NULL, "150", "2024-09-15"},
    {NULL, "\"2024-10-09\"", "8", "Q2", NULL, NULL, ""},
    {NULL, "\"2024-06-29\"", "8", "Q1", "1", "150", "2024-05-15"},
    {NULL, "\"2024-10-09\"", "9", "Q2", "6", "60", "2024-10-09"},
    {NULL, "\"2024-05-01\"", "\"2024-08-30\"", "Q1", "1", "100", "2024-04-30"},
    {Q1_ALL, "\"2024-08-30\"", "2", "Q1", "1", "100", "2024-04-30"},
    {Q1_ALL, "\"2024-04-29\"", "10", NULL, NULL, NULL, NULL},
};

static void add_member(struct kt_buf *body, const char *name, const char *value)
{
    if (value) {
        kt_buf_printf(body, ",\"%s\":%s", name, value);
    }
}

static void make_body(struct kt_buf *body, const struct point *p, const char *until)
{
    kt_buf_clear(body);
    kt_buf_printf(body, "{\"subjects\":[\"S\"],\"limit\":1");
    add_member(body, until, p->until);
    add_member(body, "as_of", p->as_of);
    add_member(body, "recorded_by", p->recorded_by);
    kt_buf_append_text(body, "}");
}

static void add_values(struct kt_buf *want, const struct point *p, const char *after)
{
    if (p->eps) {
        kt_buf_printf(want, "\"eps\":%s%s", p->eps, p->rev ? "," : after);
    }
    if (p->rev) {
        kt_buf_printf(want, "\"rev\":%s%s", p->rev, after);
    }
}

#define SUBJECT                                                                                    \
    "{\"subject\":\"S\",\"name\":\"S\",\"status\":\"\",\"listing_date\":\"\",\"category\":\"\"}"
#define BEGIN "{\"status_code\":0,\"status_msg\":\"success\",\"data\":["

static void want_snapshot(struct kt_buf *want, const struct point *p)
{
    kt_buf_clear(want);
    kt_buf_append_text(want, BEGIN);
    if (p->period) {
        bool first = strcmp(p->period, "Q1") == 0;
        kt_buf_append_text(want, "{\"subject\":" SUBJECT ",\"data\":{");
        add_values(want, p, "");
        kt_buf_printf(want,
                      "},\"report_date\":%s,\"end_date\":\"%s\",\"period\":\"%s\","
                      "\"declare_date\":\"%s\"}",
                      first ? "1711843200" : "1719705600", first ? "2024-03-31" : "2024-06-30",
                      p->period, p->declared);
    }
    kt_buf_printf(want, "],\"total\":%d}", p->period != NULL);
}

static void want_period(struct kt_buf *want, const struct point *p)
{
    kt_buf_clear(want);
    kt_buf_append_text(want, BEGIN "{\"subject\":" SUBJECT ",\"data\":[");
    if (p->period) {
        bool first = strcmp(p->period, "Q1") == 0;
        kt_buf_printf(want,
                      "{\"end_date\":\"%s\",\"period\":\"%s\",\"declare_date\":\"%s\","
                      "\"year\":\"2024\",",
                      first ? "2024-03-31" : "2024-06-30", p->period, p->declared);
        add_values(want, p, ",");
        kt_buf_printf(want, "\"combine\":\"S:2024_%s\"}", p->period);
    }
    kt_buf_append_text(want, "]}]}");
}

static void check_points(bool period)
{
    struct kt_buf body, want;
    kt_buf_init(&body, 0);
    kt_buf_init(&want, 0);
    for (size_t i = 0; i < KT_ARRAY_LEN(points); i++) {
        make_body(&body, &points[i], period ? "to" : "timestamp");
        if (period) {
            want_period(&want, &points[i]);
        } else {
            want_snapshot(&want, &points[i]);
        }
        const char *got =
            period ? world_period(&world, body.data) : world_snapshot(&world, body.data);
        if (strcmp(got, want.data) != 0) {
            kt_test_fail(__FILE__, __LINE__, "%s\n    got  %s\n    want %s", body.data, got,
                         want.data);
        }
    }
    kt_buf_done(&body);
    kt_buf_done(&want);
}

static void every_point_in_three_times_has_its_snapshot(void)
{
    CHECK(KT_ARRAY_LEN(points) >= 40);
    tell_story("snapshot.db", 10);
    check_points(false);
    world_close(&world);
}

static void every_point_in_three_times_has_its_period(void)
{
    tell_story("period.db", 10);
    check_points(true);
    world_close(&world);
}

static void a_series_that_is_never_kept_answers_the_same(void)
{
    tell_story("unkept.db", 10);
    world_set_cache(&world, 0);
    check_points(false);
    check_points(true);
    world_close(&world);
}

/* What was answered of the past stays, whatever is recorded afterwards. */
static void a_passed_bound_of_recorded_by_never_changes_its_answer(void)
{
    static char before[11][1024];
    char body[128];
    memset(before, 0, sizeof before);
    tell_story("grows.db", 1);
    for (uint64_t newest = 2; newest <= 10; newest++) {
        tell(newest);
        for (uint64_t by = 1; by <= newest; by++) {
            snprintf(body, sizeof body, "{\"recorded_by\":%d}", (int)by);
            const char *answer = world_snapshot(&world, body);
            CHECK(answer[0]);
            if (before[by][0]) {
                CHECK_STR(answer, before[by]);
            }
            kt_str_copy(before[by], sizeof before[by], kt_str(answer));
        }
    }
    world_close(&world);
}

static const struct kt_test tests[] = {
    TEST(every_point_in_three_times_has_its_snapshot),
    TEST(every_point_in_three_times_has_its_period),
    TEST(a_series_that_is_never_kept_answers_the_same),
    TEST(a_passed_bound_of_recorded_by_never_changes_its_answer),
};
KT_TEST_MAIN(tests)

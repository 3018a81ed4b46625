/* SPDX-License-Identifier: MIT */
/* Random histories and random questions: the answer must be, byte for byte, what the slow model
 * derives from the definitions. A failing seed is printed and can be given as KT_TEST_SEED.
 */
#include "kt_test.h"

#include "model.h"
#include "world.h"

#include "base/mem.h"

#include <stdlib.h>

static const char *const keys[MODEL_SUBJECTS] = {
    "01",    "33:000001", "33:000002", "33:000010", "A",        "AA",           "B",
    "BRK.B", "a",         "aa",        "zz z",      "\xc3\xa9", "\xe4\xb8\xad", "\xf0\x9f\x90\xbe"};
static const char *const indicators[MODEL_INDICATORS] = {"Net", "eps",   "eps2",
                                                         "rev", "roe x", "\xe5\x87\x80"};
static const char *const periods[] = {"", "596001", "Q1", "Q2", "Q4"};
static const char *const topics[] = {"T", "U"};
static const char *const tag_names[] = {"concept", "area"};
static const char *const tag_values[] = {"ab", "b", "abc", "\xe9\x87\x91\xe8\x9e\x8d",
                                         "\xe4\xba\x92\xe9\x87\x91\xe8\x9e\x8d"};
static const char *const texts[] = {"2020-12-31", "FY20", "2021"};
static const char *const names[] = {"Alpha", "alpha", "Beta", "33:000001", "\xe7\x94\xb2"};

static struct world world;
static struct model model;
static uint64_t random_state;

static uint32_t next_random(void) /* xorshift64*: G. Marsaglia, "Xorshift RNGs", 2003 */
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * UINT64_C(2685821657736338717)) >> 32);
}

static int pick(int count)
{
    return (int)(next_random() % (uint32_t)count);
}

static bool chance(int percent)
{
    return pick(100) < percent;
}

/* Few days, so that records, declare times and bounds meet. */
static int64_t pick_day(void)
{
    static const int64_t bases[] = {18262, 18352, 18443, 18627, -36525, -1, 0};
    return (bases[pick(7)] + (chance(40) ? pick(3) : 0)) * KT_DAY_S;
}

static int64_t pick_time(void)
{
    return pick_day() + (chance(15) ? pick(KT_DAY_S) : 0);
}

static struct kt_opt_text opt_of(const struct model_text *text)
{
    return text->said == MODEL_SAID
               ? (struct kt_opt_text){KT_NAMED, kt_str(text->text)}
               : (struct kt_opt_text){text->said == MODEL_CLEARED ? KT_NAMED_NULL : KT_NOT_NAMED,
                                      KT_STR("")};
}

static struct model_text pick_text(void)
{
    return (struct model_text){chance(75)   ? MODEL_SILENT
                               : chance(30) ? MODEL_CLEARED
                                            : MODEL_SAID,
                               texts[pick(KT_ARRAY_LEN(texts))]};
}

static void add_version(int line)
{
    struct model_version v = {.subject = pick(chance(50) ? 4 : MODEL_SUBJECTS),
                              .time_s = pick_time(),
                              .period = periods[pick(KT_ARRAY_LEN(periods))],
                              .declare_given = chance(60),
                              .revision = world.seq + 1,
                              .line = line,
                              .end_date = pick_text(),
                              .year = pick_text()};
    struct kt_change_value values[MODEL_INDICATORS];
    size_t count = 0;
    if (model.version_count && chance(55)) { /* another version of a record that is there */
        const struct model_version *old = &model.versions[pick((int)model.version_count)];
        v.subject = old->subject;
        v.time_s = old->time_s;
        v.period = old->period;
    }
    v.declare_s = v.declare_given ? pick_day() : 0;
    for (int i = 0; i < MODEL_INDICATORS; i++) {
        if (chance(60)) {
            continue;
        }
        struct model_value *value = &v.values[i];
        value->said = chance(15) ? MODEL_CLEARED : MODEL_SAID;
        value->number = (pick(9) - 4) * (chance(20) ? 0.5 : 1.0);
        value->number += 0.0; /* no minus zero: it is written as 0 */
        values[count++] = (struct kt_change_value){kt_str(indicators[i]),
                                                   value->said == MODEL_CLEARED, value->number};
    }
    struct kt_change_record record = {.subject = kt_str(keys[v.subject]),
                                      .time_s = v.time_s,
                                      .period = kt_str(v.period),
                                      .declare_given = v.declare_given,
                                      .declare_s = v.declare_s,
                                      .end_date = opt_of(&v.end_date),
                                      .year = opt_of(&v.year),
                                      .values = values,
                                      .value_count = count};
    KT_ASSERT(kt_change_add_record(world.builder, &record, &world.err) == KT_OK);
    model_add(&model, v);
}

static void add_name(void)
{
    int subject = pick(MODEL_SUBJECTS);
    model.subject_known[subject] = true;
    model.names[subject] = names[pick(KT_ARRAY_LEN(names))];
    world_subject(&world, keys[subject], model.names[subject], NULL);
}

/* Replaces the stays of a subject by one. */
static void add_stay(void)
{
    int subject = pick(MODEL_SUBJECTS);
    size_t kept = 0;
    struct model_stay stay = {subject, topics[pick(2)], chance(40) ? KT_TIME_MIN : pick_day(),
                              chance(40) ? KT_TIME_MAX : pick_day() + KT_DAY_S - 1};
    if (stay.from_s > stay.to_s) {
        return;
    }
    for (size_t i = 0; i < model.stay_count; i++) {
        if (model.stays[i].subject != subject) {
            model.stays[kept++] = model.stays[i];
        }
    }
    model.stays[kept] = stay;
    model.stay_count = kept + 1;
    model.subject_known[subject] = true;
    world_stay(&world, keys[subject], stay.topic, stay.from_s, stay.to_s);
}

/* Replaces one tag of a subject by some values. */
static void add_tag(void)
{
    char csv[64] = "";
    int subject = pick(MODEL_SUBJECTS), name = pick(2), count = pick(4);
    size_t kept = 0, first = (size_t)pick(KT_ARRAY_LEN(tag_values));
    for (size_t i = 0; i < model.tag_count; i++) {
        struct model_tag *t = &model.tags[i];
        if (t->subject != subject || strcmp(t->name, tag_names[name]) != 0) {
            model.tags[kept++] = *t;
        }
    }
    for (int i = 0; i < count; i++) {
        const char *value = tag_values[(first + (size_t)i) % KT_ARRAY_LEN(tag_values)];
        model.tags[kept++] = (struct model_tag){subject, tag_names[name], value};
        KT_ASSERT(kept < MODEL_TAGS);
        snprintf(csv + strlen(csv), sizeof csv - strlen(csv), "%s%s", i ? "," : "", value);
    }
    model.tag_count = kept;
    model.subject_known[subject] = true;
    world_tag(&world, keys[subject], tag_names[name], csv);
}

static void change_something(void)
{
    int lines = 1 + pick(6);
    for (int i = 0; i < lines; i++) {
        add_version(i);
    }
    if (chance(40)) {
        add_name();
    }
    if (chance(50)) {
        add_stay();
    }
    if (chance(50)) {
        add_tag();
    }
    model.newest = world_commit(&world, world.wall_ms + (chance(30) ? 0 : pick(2 * 86400000)));
    model.stamps[model.newest] = world.wall_ms;
}

static void put_list(struct kt_buf *body, const char *name, const char *const *items, int count)
{
    bool csv = count > 0 && chance(50);
    for (int i = 0; i < count; i++) {
        csv = csv && items[i][0];
    }
    kt_buf_printf(body, ",\"%s\":%s", name, csv ? "\"" : "[");
    for (int i = 0; i < count; i++) {
        kt_buf_printf(body, csv ? "%s%s%s" : "%s\"%s\"%s", i ? "," : "", items[i],
                      csv && chance(20) ? " " : "");
    }
    kt_buf_append_text(body, csv ? "\"" : "]");
}

/* Writes the bound in one of its forms; the resolved seconds. */
static int64_t put_time(struct kt_buf *body, const char *name, bool upper)
{
    char date[11];
    int64_t time_s = pick_time();
    if (chance(50)) {
        kt_format_date(time_s, date);
        kt_buf_printf(body, ",\"%s\":\"%s\"", name, date);
        return world_date(date) + (upper ? KT_DAY_S - 1 : 0);
    }
    const char *quote = chance(30) ? "\"" : "";
    time_s = time_s ? time_s : 1; /* the number 0 is no bound */
    kt_buf_printf(body, ",\"%s\":%s%lld%s", name, quote, (long long)time_s, quote);
    return time_s;
}

static uint64_t stamped_by(int64_t wall_ms)
{
    uint64_t found = 0;
    for (uint64_t i = 1; i <= model.newest; i++) {
        found = model.stamps[i] <= wall_ms ? i : found;
    }
    return found;
}

static void put_recorded_by(struct kt_buf *body, struct model_question *q)
{
    char date[11];
    int64_t wall_ms =
        model.stamps[1 + pick((int)model.newest)] + (int64_t)(pick(3) - 1) * pick(90000000);
    int64_t time_s = wall_ms / 1000;
    switch (pick(4)) {
    case 0:
        q->revision = 1 + (uint64_t)pick((int)model.newest);
        kt_buf_printf(body, ",\"recorded_by\":%d", (int)q->revision);
        break;
    case 1:
        q->revision = 1 + (uint64_t)pick((int)model.newest);
        kt_buf_printf(body, ",\"recorded_by\":\"%d\"", (int)q->revision);
        break;
    case 2:
        kt_format_date(time_s, date);
        kt_buf_printf(body, ",\"recorded_by\":\"%s\"", date);
        q->revision = stamped_by((world_date(date) + KT_DAY_S) * 1000 - 1);
        break;
    default:
        kt_buf_printf(body, ",\"recorded_by\":\"@%lld\"", (long long)time_s);
        q->revision = stamped_by(time_s * 1000 + 999);
    }
}

static void put_selection(struct kt_buf *body, struct model_question *q)
{
    static const char *const words[] = {"b", "\xe9\x87\x91\xe8\x9e\x8d", "abc", "x"};
    kt_buf_append_text(body, ",\"selection\":{\"subject\":");
    if (chance(15)) {
        q->subject_count = 1;
        q->subjects[0] = pick(MODEL_SUBJECTS + 1);
        kt_buf_printf(body, "\"%s\"}",
                      q->subjects[0] < MODEL_SUBJECTS ? keys[q->subjects[0]] : "nobody");
        return;
    }
    kt_buf_append_text(body, "null");
    q->tag = chance(40) ? tag_names[pick(2)] : NULL;
    q->keyword = chance(40) ? words[pick(KT_ARRAY_LEN(words))] : NULL;
    if (chance(50) || (!q->tag && !q->keyword)) {
        q->topic = chance(60) ? "*" : topics[pick(2)];
        kt_buf_printf(body, ",\"topic\":\"%s\"", q->topic);
    }
    if (q->tag) {
        kt_buf_printf(body, ",\"id\":\"%s\"", q->tag);
    }
    if (q->keyword) {
        kt_buf_printf(body, ",\"keyword\":\"%s\"", q->keyword);
    }
    kt_buf_append_text(body, "}");
}

static void put_who(struct kt_buf *body, struct model_question *q)
{
    const char *items[16];
    if (q->selects) {
        put_selection(body, q);
        return;
    }
    if (chance(35)) {
        q->subject_count = 1 + pick(8);
        for (int i = 0; i < q->subject_count; i++) {
            q->subjects[i] = pick(MODEL_SUBJECTS + 1);
            items[i] = q->subjects[i] < MODEL_SUBJECTS ? keys[q->subjects[i]] : "nobody";
        }
        put_list(body, "subjects", items, q->subject_count);
    } else if (q->period || chance(60)) {
        q->topic = chance(30) ? "*" : chance(10) ? "nowhere" : topics[pick(2)];
        kt_buf_printf(body, ",\"topic\":\"%s\"", q->topic);
    }
}

static void put_what(struct kt_buf *body, struct model_question *q)
{
    const char *items[16];
    if (chance(60)) {
        q->id_count = pick(6);
        for (int i = 0; i < q->id_count; i++) {
            q->ids[i] = pick(MODEL_INDICATORS + 1);
            items[i] = q->ids[i] < MODEL_INDICATORS ? indicators[q->ids[i]] : "nothing";
        }
        put_list(body, "ids", items, q->id_count);
    }
    if (chance(25)) {
        q->period_count = pick(12);
        for (int i = 0; i < q->period_count; i++) {
            q->periods[i] = items[i] = chance(20) ? "H1" : periods[pick(KT_ARRAY_LEN(periods))];
        }
        put_list(body, "periods", items, q->period_count);
    }
}

static void put_order(struct kt_buf *body, struct model_question *q)
{
    static const char *const fields[] = {"subject", "name", "report_date", "nothing"};
    static const char *const orders[2][3] = {{"-1", "\"-1\"", "\"desc\""},
                                             {"1", "\"1\"", "\"asc\""}};
    if ((!q->period || q->selects) && chance(60)) {
        q->field =
            chance(50) ? fields[pick(chance(10) ? 4 : 3)] : indicators[pick(MODEL_INDICATORS)];
        kt_buf_printf(body, ",\"field\":\"%s\"", q->field);
    }
    if (chance(70)) {
        q->ascending = chance(60);
        kt_buf_printf(body, ",\"order\":%s", orders[q->ascending][pick(3)]);
    }
}

static void put_limit(struct kt_buf *body, struct model_question *q)
{
    q->limit = 0;
    if (chance(50)) {
        q->limit = pick(6);
        kt_buf_printf(body, ",\"limit\":%d", (int)q->limit);
    }
}

static void put_page(struct kt_buf *body, struct model_question *q)
{
    put_limit(body, q);
    if (chance(40)) {
        q->offset = pick(6);
        kt_buf_printf(body, ",\"offset\":%d", (int)q->offset);
    }
}

static void put_times(struct kt_buf *body, struct model_question *q)
{
    q->from_s = KT_TIME_MIN;
    q->until_s = q->as_of_s = KT_TIME_MAX;
    q->revision = model.newest;
    q->member_from_s = q->member_to_s = world.env.now_wall_ms / 1000;
    if (q->period && chance(50)) {
        q->from_s = put_time(body, "from", false);
    }
    q->moment_s = q->member_to_s;
    if (chance(50)) {
        q->until_s = put_time(body, q->period ? "to" : "timestamp", true);
        q->member_from_s = q->member_to_s = q->moment_s = q->until_s;
    }
    if (q->period) {
        q->member_from_s = q->from_s;
        q->member_to_s = q->until_s;
    }
    if (chance(50)) {
        q->as_of_s = put_time(body, "as_of", true);
    }
    if (chance(50)) {
        put_recorded_by(body, q);
    }
}

static void put_fill(struct kt_buf *body, struct model_question *q)
{
    q->max_age_s = -1;
    if (q->period) {
        return;
    }
    if (chance(50)) {
        q->fill = chance(75);
        kt_buf_printf(body, ",\"fill\":\"%s\"", q->fill ? "previous" : "none");
    }
    if (chance(30)) { /* days on both sides of the records' distances */
        q->max_age_s = pick(chance(50) ? 3 : 400) * KT_DAY_S - (chance(30) ? 1 : 0);
        q->max_age_s = q->max_age_s < 0 ? 0 : q->max_age_s;
        kt_buf_printf(body, ",\"max_age\":%lld", (long long)q->max_age_s);
    }
}

static void put_interval(struct kt_buf *body, struct model_question *q)
{
    static const char *const aggs[] = {"first", "last", "min", "max", "avg", "sum", "count"};
    q->agg = "last";
    if (!q->period || chance(50)) {
        return;
    }
    q->interval = "dwMQY"[pick(5)];
    kt_buf_printf(body, ",\"interval\":\"1%c\"", q->interval);
    if (chance(85)) {
        q->agg = aggs[pick(KT_ARRAY_LEN(aggs))];
        kt_buf_printf(body, ",\"agg\":\"%s\"", q->agg);
    }
}

static void make_question(struct kt_buf *body, struct model_question *q)
{
    memset(q, 0, sizeof *q);
    q->period = chance(50);
    q->selects = chance(40);
    kt_buf_clear(body);
    kt_buf_append_text(body, "{\"method\":\"m\"");
    put_who(body, q);
    put_what(body, q);
    put_order(body, q);
    put_times(body, q);
    put_fill(body, q);
    put_interval(body, q);
}

/* Moves the answer's cursor out of it, so that an empty text stays in its place. */
static void take_cursor(struct kt_buf *answer, char *cursor, size_t size)
{
    static const char name[] = ",\"next_cursor\":\"";
    char *text = answer->data ? strstr(answer->data, name) : NULL;
    cursor[0] = '\0';
    if (text) {
        text += sizeof name - 1;
        size_t len = strcspn(text, "\"");
        KT_ASSERT(len > 0 && len < size);
        snprintf(cursor, size, "%.*s", (int)len, text);
        memmove(text, text + len, strlen(text + len) + 1);
        answer->len_bytes -= len;
    }
}

/* True when the answer is the model's. */
static bool ask_once(const struct model_question *question, const struct kt_buf *body,
                     struct kt_buf *want, char *cursor, size_t size, uint64_t seed)
{
    static const world_query_fn queries[2][2] = {
        {kt_query_snapshot, kt_query_period},
        {kt_query_selection_snapshot, kt_query_selection_period}};
    const struct model_question q = *question;
    bool refused = (q.period && q.from_s > q.until_s) || !model_answer(&model, &q, want);
    enum kt_status status = world_ask_of(&world, queries[q.selects][q.period], body->data);
    take_cursor(&world.response.body, cursor, size);
    if (refused) {
        if (status != KT_BAD_VALUE) {
            kt_test_fail(__FILE__, __LINE__, "seed %llu %s: %s", (unsigned long long)seed,
                         body->data, kt_status_name(status));
            return false;
        }
        return true;
    }
    if (status != KT_OK || !kt_str_eq(kt_buf_str(&world.response.body), kt_buf_str(want))) {
        kt_test_fail(__FILE__, __LINE__, "seed %llu %s%s %s: %s %s\n    got  %s\n    want %s",
                     (unsigned long long)seed, q.selects ? "selection " : "",
                     q.period ? "period" : "snapshot", body->data, kt_status_name(status),
                     world.err.message, world.response.body.data ? world.response.body.data : "",
                     want->data);
        return false;
    }
    return true;
}

/* A question and, as long as there is a next page, that one too: of another length, perhaps, and
 * asked later. */
static bool ask_all_pages(struct kt_buf *body, struct kt_buf *want, uint64_t seed)
{
    char cursor[1024];
    struct model_question q;
    int64_t now_ms = world.env.now_wall_ms;
    make_question(body, &q);
    size_t len = body->len_bytes;
    put_page(body, &q);
    kt_buf_append_text(body, "}");
    bool good = ask_once(&q, body, want, cursor, sizeof cursor, seed);
    while (good && cursor[0]) {
        body->len_bytes = len;
        q.offset += q.limit ? q.limit : 10;
        put_limit(body, &q);
        kt_buf_printf(body, ",\"cursor\":\"%s\"}", cursor);
        world.env.now_wall_ms += pick(86400) * INT64_C(1000000);
        good = ask_once(&q, body, want, cursor, sizeof cursor, seed);
    }
    world.env.now_wall_ms = now_ms;
    return good;
}

/* One history with questions after each of its changes. */
static bool run_history(uint64_t seed, int changes, int questions)
{
    char name[32];
    struct kt_buf body, want;
    bool good = true;
    random_state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    memset(&model, 0, sizeof model);
    model.keys = keys;
    model.indicators = indicators;
    snprintf(name, sizeof name, "random%llu.db", (unsigned long long)seed);
    world_open(&world, name, world_date("2024-01-01") * 1000);
    world.env.now_wall_ms = world_date("2020-04-01") * 1000;
    model.newest = 1;
    model.stamps[1] = world.wall_ms;
    if (seed % 3 == 0) { /* nothing is kept: each question loads */
        world_set_cache(&world, 0);
    }
    kt_buf_init(&body, 0);
    kt_buf_init(&want, 0);
    for (int i = 0; good && i < changes; i++) {
        change_something();
        for (int j = 0; good && j < questions; j++) {
            good = ask_all_pages(&body, &want, seed);
        }
    }
    kt_buf_done(&body);
    kt_buf_done(&want);
    world_close(&world);
    return good;
}

static void random_questions_get_the_answers_of_the_definition(void)
{
    const char *given = getenv("KT_TEST_SEED");
    uint64_t first = given ? strtoull(given, NULL, 10) : 1;
    uint64_t count = given ? 1 : kt_test_is_slow() ? 2 : 12;
    for (uint64_t seed = first; seed < first + count; seed++) {
        if (!run_history(seed, kt_test_is_slow() ? 15 : 40, kt_test_is_slow() ? 15 : 40)) {
            return;
        }
    }
}

static const struct kt_test tests[] = {
    TEST(random_questions_get_the_answers_of_the_definition),
};
KT_TEST_MAIN(tests)

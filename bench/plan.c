/* SPDX-License-Identifier: MIT */
/* plan.c - draws the requests of the scenarios. */
#include "bench/plan.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "bench/zipf.h"
#include "json/write.h"

#include <stdio.h>
#include <string.h>

#define PLAN_BYTES_MAX ((size_t)2 << 30)
#define REPEAT_USUAL 1000
/* When nothing tells how far the data reach: three years back from today. */
#define REACH_UNKNOWN (1096 * KT_DAY_S)

struct draw {
    const struct kt_pt_options *options;
    const struct kt_learnt *learnt;
    struct kt_plan *plan;
    struct kt_zipf subjects, ids;
    uint64_t prng;
    int64_t first, last; /* of all data, whole days */
    struct kt_buf body;
};

static enum kt_status no_memory(struct kt_error *err)
{
    return kt_fail(err, KT_TOO_LARGE,
                   "the requests take more than %zu MB: choose a smaller -repeat",
                   PLAN_BYTES_MAX >> 20);
}

enum kt_status kt_plan_bytes(struct kt_plan *plan, const struct kt_pt_options *options,
                             struct kt_planned *planned, struct kt_error *err)
{
    struct kt_buf buf;
    kt_buf_init(&buf, 0);
    planned->path = kt_arena_dup(plan->arena, planned->path);
    planned->body = kt_arena_dup(plan->arena, planned->body);
    planned->bytes = kt_arena_zalloc(plan->arena, options->target_count, sizeof(struct kt_str));
    bool whole = planned->path.data && planned->body.data && planned->bytes;
    for (size_t i = 0; whole && i < options->target_count; i++) {
        kt_buf_clear(&buf);
        kt_buf_printf(&buf,
                      "%s %s" KT_STR_FMT " HTTP/1.1\r\nHost: %s\r\nUser-Agent: pressure_test\r\n",
                      planned->method, options->targets[i].prefix, KT_STR_ARG(planned->path),
                      options->targets[i].addr);
        if (options->token) {
            kt_buf_printf(&buf, "Authorization: Bearer %s\r\n", options->token);
        }
        if (planned->body.len || strcmp(planned->method, "POST") == 0 ||
            strcmp(planned->method, "PUT") == 0) {
            kt_buf_printf(&buf, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                          planned->body.len);
        }
        if (planned->kind == KT_EXPECT_SAVE && options->idempotent) {
            kt_buf_printf(&buf, "Idempotency-Key: pt-%s-%0*d\r\n", plan->run, KT_PLAN_KEY_DIGITS,
                          0);
            planned->key_from_end = KT_PLAN_KEY_DIGITS + 4 + planned->body.len;
        }
        kt_buf_append_text(&buf, "\r\n");
        kt_buf_append_str(&buf, planned->body);
        planned->bytes[i] = kt_arena_dup(plan->arena, kt_buf_str(&buf));
        whole = kt_buf_status(&buf) == KT_OK && planned->bytes[i].data;
    }
    kt_buf_done(&buf);
    return whole ? KT_OK : no_memory(err);
}

/* `count` different names, or all there are. */
static bool draw_distinct(struct draw *draw, const struct kt_zipf *zipf, size_t count,
                          size_t *ret_picks, size_t *ret_count)
{
    size_t got = 0;
    if (count > zipf->count) {
        count = zipf->count;
    }
    while (got < count) {
        size_t pick = kt_zipf_draw(zipf, &draw->prng);
        /* A steep law names the same again and again: then the neighbour of it. */
        for (size_t tries = 0; tries <= zipf->count; tries++) {
            bool taken = false;
            for (size_t i = 0; i < got; i++) {
                taken = taken || ret_picks[i] == pick;
            }
            if (!taken) {
                break;
            }
            pick = (pick + 1) % zipf->count;
        }
        ret_picks[got++] = pick;
    }
    *ret_count = got;
    return got > 0;
}

#define PICKS_MAX 64

static enum kt_status pick_subjects(struct draw *draw, struct kt_planned *planned, size_t count,
                                    int64_t at, struct kt_error *err)
{
    size_t picks[PICKS_MAX], got = 0;
    draw_distinct(draw, &draw->subjects, count, picks, &got);
    planned->subjects = kt_arena_zalloc(draw->plan->arena, got, sizeof(struct kt_str));
    if (!planned->subjects) {
        return no_memory(err);
    }
    for (size_t i = 0; i < got; i++) {
        const struct kt_learnt_subject *subject = &draw->learnt->subjects[picks[i]];
        planned->subjects[i] = subject->key;
        planned->total_min += subject->known && (at == KT_NO_TIME || subject->first <= at);
    }
    planned->subject_count = got;
    return KT_OK;
}

static enum kt_status pick_ids(struct draw *draw, struct kt_planned *planned, size_t count,
                               struct kt_error *err)
{
    size_t picks[PICKS_MAX], got = 0;
    draw_distinct(draw, &draw->ids, count, picks, &got);
    planned->ids = kt_arena_zalloc(draw->plan->arena, got, sizeof(struct kt_str));
    if (!planned->ids) {
        return no_memory(err);
    }
    for (size_t i = 0; i < got; i++) {
        planned->ids[i] = draw->learnt->ids[picks[i]];
    }
    planned->id_count = got;
    return KT_OK;
}

static void write_list(struct kt_jw *jw, const char *name, const struct kt_str *list, size_t count)
{
    kt_jw_key_text(jw, name);
    kt_jw_array(jw);
    for (size_t i = 0; i < count; i++) {
        kt_jw_str(jw, list[i]);
    }
    kt_jw_array_end(jw);
}

static int64_t draw_day(struct draw *draw, int64_t from, int64_t to)
{
    uint64_t days = (uint64_t)((to - from) / KT_DAY_S) + 1;
    return from + (int64_t)(kt_prng_next(&draw->prng) % days) * KT_DAY_S;
}

static enum kt_status draw_snapshot(struct draw *draw, struct kt_planned *planned, size_t subjects,
                                    size_t ids, bool at_date, bool paged, struct kt_error *err)
{
    struct kt_jw jw;
    char date[11];
    int64_t at = KT_NO_TIME, day = 0;
    if (at_date) {
        day = draw_day(draw, draw->first, draw->last);
        at = day + KT_DAY_S - 1;
    }
    enum kt_status status = subjects ? pick_subjects(draw, planned, subjects, at, err) : KT_OK;
    if (status == KT_OK) {
        status = pick_ids(draw, planned, ids, err);
    }
    if (status != KT_OK) {
        return status;
    }
    planned->kind = KT_EXPECT_SNAPSHOT;
    planned->at = at;
    planned->path = KT_STR(KT_PT_API "/snapshot");
    planned->limit = paged ? 10 : subjects ? subjects : 20;
    planned->offset = paged ? kt_prng_next(&draw->prng) % 5 * 10 : 0;
    planned->sorted = paged || !subjects;
    if (!subjects) {
        planned->total_min = draw->learnt->topic_subjects ? 1 : 0;
    }
    kt_jw_init(&jw, &draw->body);
    kt_jw_object(&jw);
    write_list(&jw, "ids", planned->ids, planned->id_count);
    if (subjects) {
        write_list(&jw, "subjects", planned->subjects, planned->subject_count);
    } else {
        kt_jw_kv_str(&jw, "topic", draw->learnt->topic);
    }
    if (planned->sorted) {
        kt_jw_kv_str(&jw, "field", planned->ids[0]);
        kt_jw_kv_text(&jw, "order", "desc");
    }
    kt_jw_kv_u64(&jw, "offset", planned->offset);
    kt_jw_kv_u64(&jw, "limit", planned->limit);
    if (at_date) {
        kt_format_date(day, date);
        kt_jw_kv_text(&jw, "timestamp", date);
    }
    kt_jw_object_end(&jw);
    return KT_OK;
}

static enum kt_status draw_period(struct draw *draw, struct kt_planned *planned,
                                  struct kt_error *err)
{
    struct kt_jw jw;
    char date[11];
    int64_t span = 730 * KT_DAY_S;
    int64_t last_from = draw->last - span > draw->first ? draw->last - span : draw->first;
    int64_t from = draw_day(draw, draw->first, last_from);
    enum kt_status status = pick_subjects(draw, planned, 3, KT_NO_TIME, err);
    if (status == KT_OK) {
        status = pick_ids(draw, planned, 2, err);
    }
    if (status != KT_OK) {
        return status;
    }
    planned->kind = KT_EXPECT_PERIOD;
    planned->path = KT_STR(KT_PT_API "/period");
    kt_jw_init(&jw, &draw->body);
    kt_jw_object(&jw);
    write_list(&jw, "ids", planned->ids, planned->id_count);
    write_list(&jw, "subjects", planned->subjects, planned->subject_count);
    kt_format_date(from, date);
    kt_jw_kv_text(&jw, "from", date);
    kt_format_date(from + span < KT_TIME_MAX ? from + span : KT_TIME_MAX, date);
    kt_jw_kv_text(&jw, "to", date);
    kt_jw_object_end(&jw);
    return KT_OK;
}

/* A record of its own for each distinct request, spread over at most a thousand subjects. */
static enum kt_status draw_write(struct draw *draw, struct kt_planned *planned,
                                 struct kt_error *err)
{
    struct kt_jw jw;
    size_t number = draw->plan->writes++;
    char subject[64], date[11];
    struct kt_str id = draw->learnt->id_count ? draw->learnt->ids[0] : KT_STR("pressure_test");
    snprintf(subject, sizeof(subject), "pt:%s:%04zu", draw->plan->run,
             number % KT_PLAN_WRITE_SUBJECTS);
    planned->kind = KT_EXPECT_SAVE;
    planned->path = KT_STR(KT_PT_API "/save");
    planned->written_subject = kt_arena_dup(draw->plan->arena, kt_str(subject));
    planned->written_time = kt_days_from_civil(2000, 1, 1) * KT_DAY_S +
                            (int64_t)(number / KT_PLAN_WRITE_SUBJECTS) * KT_DAY_S;
    planned->written_value = (double)number + 0.25;
    planned->ids = kt_arena_zalloc(draw->plan->arena, 1, sizeof(struct kt_str));
    if (!planned->written_subject.data || !planned->ids) {
        return no_memory(err);
    }
    planned->ids[0] = id;
    planned->id_count = 1;
    kt_format_date(planned->written_time, date);
    kt_jw_init(&jw, &draw->body);
    kt_jw_object(&jw);
    kt_jw_key_text(&jw, "records");
    kt_jw_array(&jw);
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "subject", subject);
    kt_jw_kv_text(&jw, "time", date);
    kt_jw_key_text(&jw, "data");
    kt_jw_object(&jw);
    kt_jw_key(&jw, id);
    kt_jw_f64(&jw, planned->written_value);
    kt_jw_object_end(&jw);
    kt_jw_object_end(&jw);
    kt_jw_array_end(&jw);
    kt_jw_object_end(&jw);
    return KT_OK;
}

static enum kt_status draw_one(struct draw *draw, size_t number, struct kt_planned *planned,
                               struct kt_error *err)
{
    switch (draw->plan->scenario) {
    case KT_SCENARIO_MULTI:
        return draw_snapshot(draw, planned, 5, 3, false, false, err);
    case KT_SCENARIO_NEWEST:
        return draw_snapshot(draw, planned, 1, 2, false, false, err);
    case KT_SCENARIO_PAGED:
        return draw_snapshot(draw, planned, 50, 4, false, true, err);
    case KT_SCENARIO_AT_DATE:
        return draw_snapshot(draw, planned, 3, 2, true, false, err);
    case KT_SCENARIO_PERIOD:
        return draw_period(draw, planned, err);
    case KT_SCENARIO_TOPIC:
        return draw_snapshot(draw, planned, 0, 2, false, false, err);
    case KT_SCENARIO_WRITES:
        return draw_write(draw, planned, err);
    default: /* mixed: every twentieth writes */
        return number % 20 == 10 ? draw_write(draw, planned, err)
                                 : draw_snapshot(draw, planned, 5, 3, false, false, err);
    }
}

/* Whole days from the first to the last record of all subjects. */
static void find_days(struct draw *draw)
{
    const struct kt_learnt *learnt = draw->learnt;
    bool known = false;
    for (size_t i = 0; i < learnt->subject_count; i++) {
        const struct kt_learnt_subject *subject = &learnt->subjects[i];
        if (subject->known) {
            draw->first = known && draw->first < subject->first ? draw->first : subject->first;
            draw->last = known && draw->last > subject->last ? draw->last : subject->last;
            known = true;
        }
    }
    if (!known) {
        draw->last = kt_now_wall_ms() / 1000;
        draw->first = draw->last - REACH_UNKNOWN;
    }
    /* Towards the past, also before 1970. */
    draw->first -= (draw->first % KT_DAY_S + KT_DAY_S) % KT_DAY_S;
    draw->last -= (draw->last % KT_DAY_S + KT_DAY_S) % KT_DAY_S;
}

static enum kt_status draw_all(struct draw *draw, struct kt_error *err)
{
    struct kt_plan *plan = draw->plan;
    const struct kt_learnt *learnt = draw->learnt;
    bool reads = plan->scenario != KT_SCENARIO_WRITES;
    if (reads && (learnt->subject_count == 0 || learnt->id_count == 0)) {
        return kt_fail(err, KT_NOT_FOUND,
                       "the cluster holds no %s: fill it first (scripts/start_cluster.sh does)",
                       learnt->subject_count ? "indicators" : "subjects");
    }
    enum kt_status status = KT_OK;
    if (reads) {
        find_days(draw);
        status = kt_zipf_init(&draw->subjects, learnt->subject_count, draw->options->zipf, err);
        if (status == KT_OK) {
            status = kt_zipf_init(&draw->ids, learnt->id_count, draw->options->zipf, err);
        }
    }
    for (size_t i = 0; i < plan->count && status == KT_OK; i++) {
        struct kt_planned *planned = &plan->requests[i];
        planned->method = "POST";
        planned->status = 200;
        planned->at = KT_NO_TIME;
        kt_buf_clear(&draw->body);
        status = draw_one(draw, i, planned, err);
        if (status == KT_OK) {
            planned->body = kt_buf_str(&draw->body);
            status = kt_buf_status(&draw->body) == KT_OK
                         ? kt_plan_bytes(plan, draw->options, planned, err)
                         : no_memory(err);
        }
    }
    return status;
}

enum kt_status kt_plan_make(const struct kt_pt_options *options, enum kt_scenario scenario,
                            const struct kt_learnt *learnt, struct kt_plan *ret_plan,
                            struct kt_error *err)
{
    struct kt_plan plan = {.scenario = scenario,
                           .count = options->repeat ? options->repeat : REPEAT_USUAL};
    enum kt_status status;
    plan.arena = kt_arena_new(65536, PLAN_BYTES_MAX);
    kt_random_id(plan.run);
    if (!plan.arena) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for the requests");
    }
    if (scenario == KT_SCENARIO_FILE) {
        status = kt_plan_file(options, &plan, err);
    } else {
        struct draw draw = {.options = options,
                            .learnt = learnt,
                            .plan = &plan,
                            .prng = (options->seed + 1) * UINT64_C(0x9E3779B97F4A7C15) | 1};
        kt_buf_init(&draw.body, (size_t)1 << 20);
        plan.requests = kt_arena_zalloc(plan.arena, plan.count, sizeof(*plan.requests));
        status = plan.requests ? draw_all(&draw, err) : no_memory(err);
        kt_zipf_done(&draw.subjects);
        kt_zipf_done(&draw.ids);
        kt_buf_done(&draw.body);
    }
    if (status != KT_OK) {
        kt_plan_done(&plan);
        return status;
    }
    *ret_plan = plan;
    return KT_OK;
}

void kt_plan_done(struct kt_plan *plan)
{
    kt_arena_free(&plan->arena);
    plan->requests = NULL;
    plan->count = 0;
}

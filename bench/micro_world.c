/* SPDX-License-Identifier: MIT */
/* micro_world.c - an invented market in a store, and the texts that operations read. */
#include "bench/micro.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS_PER_CHANGE 2000
#define CACHE_BYTES ((uint64_t)1 << 30)
#define WALL_MS INT64_C(1700000000000)

static const char *const names[MICRO_INDICATORS] = {
    "operating_income", "parent_holder_net_profit", "total_operating_cost",
    "net_profit",       "operating_profit",         "total_profit"};

void micro_must(enum kt_status status, const struct kt_error *err, const char *what)
{
    if (status != KT_OK) {
        fprintf(stderr, "microbench: %s: %s\n", what, err->message);
        exit(1);
    }
}

static void must_have(const void *made, const char *what)
{
    if (!made) {
        fprintf(stderr, "microbench: %s: no memory\n", what);
        exit(1);
    }
}

struct kt_change_record micro_record(struct micro_world *world, size_t subject, size_t quarter)
{
    static const char *const periods[4] = {"Q1", "Q2", "Q3", "Q4"};
    static struct kt_change_value values[MICRO_INDICATORS];
    static char key[32];
    int64_t day = kt_days_from_civil(2022 + (int)(quarter / 4), 3 * (int)(quarter % 4) + 3, 28);
    int len = snprintf(key, sizeof(key), "33:%08zu", subject + 1);

    for (size_t i = 0; i < MICRO_INDICATORS; i++) {
        values[i] = (struct kt_change_value){
            .indicator = kt_str(names[i]),
            .number = (double)(kt_prng_next(&world->random) % 100000000) / 100};
    }
    return (struct kt_change_record){.subject = kt_str_n(key, (size_t)len),
                                     .time_s = day * KT_DAY_S,
                                     .period = kt_str(periods[quarter % 4]),
                                     .declare_given = true,
                                     .declare_s = (day + 30) * KT_DAY_S,
                                     .values = values,
                                     .value_count = MICRO_INDICATORS};
}

static void add_subject(struct micro_world *world, size_t number)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change_stay stay = {kt_str(MICRO_TOPIC), KT_TIME_MIN, KT_TIME_MAX};
    char key[32], name[48];

    (void)snprintf(key, sizeof(key), "33:%08zu", number + 1);
    (void)snprintf(name, sizeof(name), "泰山科技股份 %zu", number + 1);
    struct kt_change_subject subject = {
        .key = kt_str(key),
        .name = {KT_NAMED, kt_str(name)},
        .status = {KT_NAMED, KT_STR("listed")},
        .listing_date = {KT_NAMED, KT_STR("2020-01-02")},
        .category = {KT_NAMED, KT_STR("stock")},
        .topics_mode = KT_TOPICS_REPLACE,
        .stays = &stay,
        .stay_count = 1,
    };
    micro_must(kt_change_add_subject(world->builder, &subject, &err), &err, "subject");
}

static void append(struct kt_store *store, uint64_t seq, struct kt_str body)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_apply_result result;
    struct kt_entry entry = {
        .seq = seq, .epoch = 1, .wall_ms = WALL_MS, .key = KT_STR(""), .body = body};

    micro_must(kt_store_log_append(store, &entry, 1, seq, &err), &err, "append");
    micro_must(kt_store_apply(store, &entry, 1, &result, &err), &err, "apply");
    if (result.status != KT_OK) {
        kt_str_copy(err.message, sizeof(err.message), kt_str(result.message));
        micro_must(result.status, &err, "apply");
    }
}

static void commit(struct micro_world *world)
{
    struct kt_error err = KT_ERROR_INIT;

    kt_buf_clear(&world->encoded);
    micro_must(kt_change_encode(world->builder, &world->encoded, &err), &err, "encode");
    append(world->store, ++world->seq, kt_buf_str(&world->encoded));
    kt_change_builder_reset(world->builder);
}

static struct kt_store *open_store(const char *folder, const char *name)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = NULL;
    struct kt_change_epoch_start start = {
        .epoch_id = KT_STR("0123456789abcdef"), .first = true, .max_indicators = 4096};
    struct kt_buf bytes;
    char path[1024];

    (void)snprintf(path, sizeof(path), "%s/microbench.%s.db", folder, name);
    struct kt_store_options options = {.path = path, .read_connections = 2, .max_indicators = 4096};
    if (kt_fs_exists(path)) {
        fprintf(stderr, "microbench: %s exists; choose an empty -dir\n", path);
        exit(1);
    }
    micro_must(kt_store_open(&options, &store, &err), &err, path);
    kt_buf_init(&bytes, 0);
    kt_change_encode_epoch_start(&start, &bytes);
    append(store, 1, kt_buf_str(&bytes));
    kt_buf_done(&bytes);
    return store;
}

static void fill_market(struct micro_world *world)
{
    struct kt_error err = KT_ERROR_INIT;
    size_t pending = 0;

    for (size_t s = 0; s < world->subjects; s++) {
        add_subject(world, s);
        for (size_t q = 0; q < MICRO_QUARTERS; q++) {
            struct kt_change_record record = micro_record(world, s, q);
            micro_must(kt_change_add_record(world->builder, &record, &err), &err, "record");
        }
        pending += MICRO_QUARTERS;
        if (pending >= RECORDS_PER_CHANGE || s + 1 == world->subjects) {
            commit(world);
            pending = 0;
        }
    }
}

/* Changes of a hundred records and of one, encoded. */
static void make_changes(struct micro_world *world)
{
    struct kt_error err = KT_ERROR_INIT;

    for (size_t i = 0; i < 101; i++) {
        struct kt_change_record record = micro_record(world, i % world->subjects, i % 4);
        micro_must(kt_change_add_record(world->builder, &record, &err), &err, "record");
        if (i == 0) {
            micro_must(kt_change_encode(world->builder, &world->one_change, &err), &err, "encode");
            kt_change_builder_reset(world->builder);
        }
    }
    micro_must(kt_change_encode(world->builder, &world->change, &err), &err, "encode");
    kt_change_builder_reset(world->builder);
}

/* One of a record for each subject. */
static void make_spread(struct micro_world *world)
{
    struct kt_error err = KT_ERROR_INIT;

    world->spread_ends = kt_calloc(world->subjects, sizeof(*world->spread_ends));
    must_have(world->spread_ends, "changes");
    for (size_t s = 0; s < world->subjects; s++) {
        struct kt_change_record record = micro_record(world, s, MICRO_QUARTERS);
        micro_must(kt_change_add_record(world->builder, &record, &err), &err, "record");
        kt_buf_clear(&world->encoded);
        micro_must(kt_change_encode(world->builder, &world->encoded, &err), &err, "encode");
        kt_buf_append_str(&world->spread, kt_buf_str(&world->encoded));
        world->spread_ends[s] = world->spread.len_bytes;
        kt_change_builder_reset(world->builder);
    }
}

static void ask_for(const struct micro_world *world, struct kt_buf *body, size_t subjects,
                    size_t ids, const char *more)
{
    kt_buf_append_text(body, "{\"subjects\":[");
    for (size_t i = 0; i < subjects; i++) {
        kt_buf_printf(body, "%s\"33:%08zu\"", i ? "," : "", i * 7 % world->subjects + 1);
    }
    kt_buf_append_text(body, "],\"ids\":[");
    for (size_t i = 0; i < ids; i++) {
        kt_buf_printf(body, "%s\"%s\"", i ? "," : "", names[i]);
    }
    kt_buf_printf(body, "]%s}", more);
}

static void make_texts(struct micro_world *world)
{
    ask_for(world, &world->few, 3, 2, "");
    ask_for(world, &world->wide, 50, 4, ",\"limit\":50");
    ask_for(world, &world->period, 1, 6, "");
    kt_buf_append_text(&world->topic,
                       "{\"topic\":\"" MICRO_TOPIC "\",\"ids\":[\"operating_income\","
                       "\"net_profit\"],\"field\":\"net_profit\",\"limit\":20}");
    kt_buf_append_text(&world->save, "{\"records\":[{\"subject\":\"33:00000001\",\"time\":"
                                     "\"2026-03-31\",\"period\":\"Q1\",\"data\":{"
                                     "\"operating_income\":123456.78,\"net_profit\":-1.5}}]}");
    kt_buf_append_text(&world->csv, "subject,date,period");
    for (size_t i = 0; i < MICRO_INDICATORS; i++) {
        kt_buf_printf(&world->csv, ",%s", names[i]);
    }
    kt_buf_append_byte(&world->csv, '\n');
    for (size_t line = 0; line < MICRO_CSV_LINES; line++) {
        struct kt_change_record record =
            micro_record(world, line / MICRO_QUARTERS, line % MICRO_QUARTERS);
        char date[11];
        kt_format_date(record.time_s, date);
        kt_buf_printf(&world->csv, KT_STR_FMT ",%s," KT_STR_FMT, KT_STR_ARG(record.subject), date,
                      KT_STR_ARG(record.period));
        for (size_t i = 0; i < record.value_count; i++) {
            kt_buf_printf(&world->csv, ",%.2f", record.values[i].number);
        }
        kt_buf_append_byte(&world->csv, '\n');
    }
    for (size_t i = 0; i < MICRO_DOUBLES; i++) {
        world->doubles[i] = (double)(kt_prng_next(&world->random) % 100000000000) / 100;
    }
}

static void make_import(struct micro_world *world)
{
    static struct kt_http_request request = {
        .query = {"subject=subject&time=date&period=period", 39}};
    struct kt_error err = KT_ERROR_INIT;

    request.arena = kt_arena_new(65536, 1 << 20); /* for as long as the program */
    must_have(request.arena, "options");
    micro_must(kt_import_options_parse(&request, &world->import_options, &err), &err, "options");
    world->report = kt_calloc(1, sizeof(*world->report));
    must_have(world->report, "report");
}

static uint64_t warm_cache(struct micro_world *world)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_series_cache_stats stats;

    for (uint32_t number = 0; number < kt_catalogue_subject_limit(world->view); number++) {
        const struct kt_subject *subject = kt_catalogue_subject(world->view, number);
        struct kt_series *series = NULL;
        if (subject) {
            micro_must(kt_series_cache_get(world->cache, subject, &series, &err), &err, "load");
            kt_series_unref(&series);
        }
    }
    kt_series_cache_stats(world->cache, &stats);
    return stats.bytes;
}

void micro_world_open(struct micro_world *world, const char *folder, size_t subjects)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf *const bufs[] = {&world->change, &world->one_change, &world->encoded,
                                   &world->out,    &world->csv,        &world->save,
                                   &world->few,    &world->wide,       &world->topic,
                                   &world->period, &world->spread};

    *world = (struct micro_world){.subjects = subjects, .random = 1, .seq = 1, .writes_seq = 1};
    for (size_t i = 0; i < KT_ARRAY_LEN(bufs); i++) {
        kt_buf_init(bufs[i], 0);
    }
    world->builder = kt_change_builder_new((size_t)64 << 20);
    world->arena = kt_arena_new(65536, (size_t)16 << 20);
    must_have(world->builder, "builder");
    must_have(world->arena, "arena");
    micro_must(kt_fs_mkdirs(folder, &err), &err, "-dir");
    world->store = open_store(folder, "market");
    world->writes = open_store(folder, "writes");
    fill_market(world);
    make_changes(world);
    make_spread(world);
    make_texts(world);
    make_import(world);
    world->view = kt_store_view(world->store);
    world->cache = kt_series_cache_new(world->store, CACHE_BYTES);
    must_have(world->cache, "cache");
    world->small_cache = kt_series_cache_new(world->store, warm_cache(world) / 10);
    must_have(world->small_cache, "cache");
    kt_http_response_init(&world->response, world->arena, (size_t)256 << 20);
    world->env = (struct kt_query_env){
        .store = world->store,
        .cache = world->cache,
        .limits = {.max_subjects = 10000,
                   .max_values = 5000000,
                   .max_rows = KT_QUERY_ROWS_MAX,
                   .json_depth = 16},
        .now_wall_ms = WALL_MS + INT64_C(100000000000),
        .deadline_mono_ms = kt_now_mono_ms() + INT64_C(86400000),
    };
}

static void remove_store(const char *folder, const char *name)
{
    static const char *const endings[] = {"db",     "db-wal",     "db-shm",    "lock",
                                          "log.db", "log.db-wal", "log.db-shm"};
    struct kt_error err = KT_ERROR_INIT;
    char path[1024];

    for (size_t i = 0; i < KT_ARRAY_LEN(endings); i++) {
        (void)snprintf(path, sizeof(path), "%s/microbench.%s.%s", folder, name, endings[i]);
        if (kt_fs_remove(path, &err) != KT_OK) {
            fprintf(stderr, "microbench: %s\n", err.message);
        }
    }
}

void micro_world_close(struct micro_world *world, const char *folder)
{
    struct kt_buf *const bufs[] = {&world->change, &world->one_change, &world->encoded,
                                   &world->out,    &world->csv,        &world->save,
                                   &world->few,    &world->wide,       &world->topic,
                                   &world->period, &world->spread};

    kt_http_response_done(&world->response);
    kt_catalogue_unref(&world->view);
    kt_series_cache_free(&world->cache);
    kt_series_cache_free(&world->small_cache);
    kt_store_close(&world->store);
    kt_store_close(&world->writes);
    kt_change_builder_free(&world->builder);
    kt_arena_free(&world->arena);
    kt_free(world->report);
    kt_free(world->spread_ends);
    for (size_t i = 0; i < KT_ARRAY_LEN(bufs); i++) {
        kt_buf_done(bufs[i]);
    }
    remove_store(folder, "market");
    remove_store(folder, "writes");
}

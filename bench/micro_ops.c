/* SPDX-License-Identifier: MIT */
/* micro_ops.c - the operations; each runs as often as it is told. */
#include "bench/micro.h"

#include "base/hash.h"
#include "base/mem.h"
#include "node/csv.h"
#include "node/save.h"
#include "json/write.h"

#include <stdio.h>
#include <string.h>

/* Questions about so many subjects make a hot set. */
#define HOT 64

/* --- hashes and texts --- */

static void request_hash(struct micro_world *world, uint64_t times)
{
    for (uint64_t i = 0; i < times; i++) {
        world->sink += kt_hash64(world->few.data, world->few.len_bytes);
    }
}

static size_t few_bytes(const struct micro_world *world)
{
    return world->few.len_bytes;
}

static void crc32c(struct micro_world *world, uint64_t times)
{
    for (uint64_t i = 0; i < times; i++) {
        world->sink += kt_crc32c(0, world->csv.data, 4096);
    }
}

static size_t page_bytes(const struct micro_world *world)
{
    (void)world;
    return 4096;
}

static void double_text(struct micro_world *world, uint64_t times)
{
    char text[KT_F64_TEXT_MAX];

    for (uint64_t i = 0; i < times; i++) {
        world->sink += kt_format_f64(world->doubles[i % MICRO_DOUBLES], text);
    }
}

/* Twenty rows as a snapshot writes them, without looking for them. */
static void answer_json(struct micro_world *world, uint64_t times)
{
    for (uint64_t i = 0; i < times; i++) {
        struct kt_jw jw;
        kt_buf_clear(&world->out);
        kt_jw_init(&jw, &world->out);
        kt_jw_array(&jw);
        for (size_t row = 0; row < 20; row++) {
            kt_jw_object(&jw);
            kt_jw_key_text(&jw, "subject");
            kt_jw_object(&jw);
            kt_jw_kv_text(&jw, "subject", "33:00000001");
            kt_jw_kv_text(&jw, "name", "泰山科技股份");
            kt_jw_kv_text(&jw, "status", "listed");
            kt_jw_object_end(&jw);
            kt_jw_key_text(&jw, "data");
            kt_jw_object(&jw);
            kt_jw_kv_f64(&jw, "operating_income", world->doubles[row * 4]);
            kt_jw_kv_f64(&jw, "net_profit", world->doubles[row * 4 + 1]);
            kt_jw_kv_f64(&jw, "operating_profit", world->doubles[row * 4 + 2]);
            kt_jw_kv_f64(&jw, "total_profit", world->doubles[row * 4 + 3]);
            kt_jw_object_end(&jw);
            kt_jw_kv_i64(&jw, "report_date", 1703980800);
            kt_jw_object_end(&jw);
        }
        kt_jw_array_end(&jw);
        world->sink += world->out.len_bytes;
    }
}

static size_t out_bytes(const struct micro_world *world)
{
    return world->out.len_bytes;
}

/* --- caches --- */

static const struct kt_subject *subject_at(const struct micro_world *world, uint64_t i)
{
    uint32_t limit = kt_catalogue_subject_limit(world->view);
    const struct kt_subject *subject = NULL;

    for (uint32_t number = (uint32_t)(i % limit); !subject; number = (number + 1) % limit) {
        subject = kt_catalogue_subject(world->view, number);
    }
    return subject;
}

static void get_from(struct micro_world *world, struct kt_series_cache *cache, uint64_t at)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_series *series = NULL;

    micro_must(kt_series_cache_get(cache, subject_at(world, at), &series, &err), &err, "get");
    kt_series_unref(&series);
}

static void cache_get(struct micro_world *world, uint64_t times)
{
    for (uint64_t i = 0; i < times; i++) {
        get_from(world, world->cache, i % HOT);
    }
}

/* Each subject in turn, ten times as many as there is room for: none is there any more. */
static void cache_put(struct micro_world *world, uint64_t times)
{
    static uint64_t next;

    for (uint64_t i = 0; i < times; i++) {
        get_from(world, world->small_cache, next++);
    }
}

static void series_load(struct micro_world *world, uint64_t times)
{
    struct kt_error err = KT_ERROR_INIT;

    for (uint64_t i = 0; i < times; i++) {
        struct kt_series *series = NULL;
        uint32_t number = subject_at(world, i * 7)->number;
        micro_must(kt_store_load_series(world->store, number, &series, &err), &err, "load");
        kt_series_unref(&series);
    }
}

/* --- questions --- */

typedef enum kt_status (*query_fn)(const struct kt_query_env *env, struct kt_str body,
                                   struct kt_http_response *response, struct kt_error *err);

static void ask(struct micro_world *world, query_fn query, const struct kt_buf *body,
                uint64_t times)
{
    struct kt_error err = KT_ERROR_INIT;

    for (uint64_t i = 0; i < times; i++) {
        kt_buf_clear(&world->response.body);
        world->response.header_count = 0;
        kt_arena_reset(world->arena);
        micro_must(query(&world->env, kt_buf_str(body), &world->response, &err), &err, "ask");
    }
}

static size_t answer_bytes(const struct micro_world *world)
{
    return world->response.body.len_bytes;
}

static void snapshot_few(struct micro_world *world, uint64_t times)
{
    ask(world, kt_query_snapshot, &world->few, times);
}

static void snapshot_wide(struct micro_world *world, uint64_t times)
{
    ask(world, kt_query_snapshot, &world->wide, times);
}

static void snapshot_topic(struct micro_world *world, uint64_t times)
{
    ask(world, kt_query_snapshot, &world->topic, times);
}

static void period_one(struct micro_world *world, uint64_t times)
{
    ask(world, kt_query_period, &world->period, times);
}

/* --- changes and the log --- */

static void save_parse(struct micro_world *world, uint64_t times)
{
    static const struct kt_save_limits limits = {10000, 100000, 16};
    struct kt_error err = KT_ERROR_INIT;

    for (uint64_t i = 0; i < times; i++) {
        micro_must(kt_save_parse(kt_buf_str(&world->save), &limits, world->builder, &err), &err,
                   "save");
    }
    kt_change_builder_reset(world->builder);
}

static size_t save_bytes(const struct micro_world *world)
{
    return world->save.len_bytes;
}

static void change_encode(struct micro_world *world, uint64_t times)
{
    struct kt_error err = KT_ERROR_INIT;

    for (uint64_t i = 0; i < times; i++) {
        kt_change_builder_reset(world->builder);
        for (size_t k = 0; k < 100; k++) {
            struct kt_change_record record = micro_record(world, k, k % MICRO_QUARTERS);
            micro_must(kt_change_add_record(world->builder, &record, &err), &err, "record");
        }
        kt_buf_clear(&world->encoded);
        micro_must(kt_change_encode(world->builder, &world->encoded, &err), &err, "encode");
    }
    kt_change_builder_reset(world->builder);
}

static size_t change_bytes(const struct micro_world *world)
{
    return world->change.len_bytes;
}

static void change_decode(struct micro_world *world, uint64_t times)
{
    struct kt_error err = KT_ERROR_INIT;

    for (uint64_t i = 0; i < times; i++) {
        struct kt_change change;
        micro_must(kt_change_decode(kt_buf_str(&world->change), &change, &err), &err, "decode");
        world->sink += change.record_count;
        kt_change_done(&change);
    }
}

/* `count` changes of one record in one transaction. */
static void write_log(struct micro_world *world, size_t count)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_entry entries[100];

    for (size_t k = 0; k < count; k++) {
        entries[k] = (struct kt_entry){.seq = ++world->writes_seq,
                                       .epoch = 1,
                                       .wall_ms = INT64_C(1700000000000),
                                       .key = KT_STR(""),
                                       .body = kt_buf_str(&world->one_change)};
    }
    micro_must(kt_store_log_append(world->writes, entries, count, 1, &err), &err, "append");
}

static void log_append(struct micro_world *world, uint64_t times)
{
    for (uint64_t i = 0; i < times; i++) {
        write_log(world, 1);
    }
}

static void log_append_100(struct micro_world *world, uint64_t times)
{
    for (uint64_t i = 0; i < times; i++) {
        write_log(world, 100);
    }
}

static void log_append_10(struct micro_world *world, uint64_t times)
{
    for (uint64_t i = 0; i < times; i++) {
        write_log(world, 10);
    }
}

/* What the log would hand over; the store of writes has no readers who would miss it there. */
static void apply_all(struct micro_world *world, struct kt_entry *entries, size_t count)
{
    struct kt_error err = KT_ERROR_INIT;
    uint64_t seq = kt_store_applied(world->writes);

    for (size_t k = 0; k < count; k++) {
        entries[k].seq = ++seq;
        entries[k].epoch = 1;
        entries[k].wall_ms = INT64_C(1700000000000);
        entries[k].key = KT_STR("");
    }
    micro_must(kt_store_apply(world->writes, entries, count, NULL, &err), &err, "apply");
}

static void write_data(struct micro_world *world, size_t count)
{
    struct kt_entry entries[100];

    for (size_t k = 0; k < count; k++) {
        entries[k].body = kt_buf_str(&world->one_change);
    }
    apply_all(world, entries, count);
}

static void apply_1(struct micro_world *world, uint64_t times)
{
    for (uint64_t i = 0; i < times; i++) {
        write_data(world, 1);
    }
}

static void apply_10(struct micro_world *world, uint64_t times)
{
    for (uint64_t i = 0; i < times; i++) {
        write_data(world, 10);
    }
}

static void apply_100(struct micro_world *world, uint64_t times)
{
    for (uint64_t i = 0; i < times; i++) {
        write_data(world, 100);
    }
}

static void apply_spread(struct micro_world *world, uint64_t times)
{
    struct kt_entry entries[MICRO_SPREAD];

    for (uint64_t i = 0; i < times; i++) {
        for (size_t k = 0; k < MICRO_SPREAD; k++) {
            size_t s = (size_t)(kt_prng_next(&world->random) % world->subjects);
            size_t begin = s > 0 ? world->spread_ends[s - 1] : 0;
            entries[k].body = kt_str_n(world->spread.data + begin, world->spread_ends[s] - begin);
        }
        apply_all(world, entries, MICRO_SPREAD);
    }
}

static size_t spread_bytes(const struct micro_world *world)
{
    return MICRO_SPREAD * world->spread.len_bytes / world->subjects;
}

static size_t one_change_bytes(const struct micro_world *world)
{
    return world->one_change.len_bytes;
}

static size_t ten_changes_bytes(const struct micro_world *world)
{
    return 10 * world->one_change.len_bytes;
}

static size_t hundred_changes_bytes(const struct micro_world *world)
{
    return 100 * world->one_change.len_bytes;
}

/* --- import --- */

struct text_source {
    const char *data;
    size_t left;
};

static enum kt_status read_text(void *ctx, void *dest, size_t size, size_t *ret_len,
                                struct kt_error *err)
{
    struct text_source *source = ctx;

    (void)err;
    *ret_len = size < source->left ? size : source->left;
    memcpy(dest, source->data, *ret_len);
    source->data += *ret_len;
    source->left -= *ret_len;
    return KT_OK;
}

static void csv_parse(struct micro_world *world, uint64_t times)
{
    struct kt_error err = KT_ERROR_INIT;

    for (uint64_t i = 0; i < times; i++) {
        struct text_source source = {world->csv.data, world->csv.len_bytes};
        struct kt_csv csv;
        bool more = true;
        micro_must(kt_csv_init(&csv, read_text, &source, 1 << 20, &err), &err, "csv");
        while (more) {
            micro_must(kt_csv_next(&csv, &more, &err), &err, "csv");
            world->sink += more ? csv.cell_count : 0;
        }
        kt_csv_done(&csv);
    }
}

static size_t csv_bytes(const struct micro_world *world)
{
    return world->csv.len_bytes;
}

static enum kt_status drop_batch(void *ctx, uint64_t batch, struct kt_str body,
                                 uint64_t *ret_revision, struct kt_error *err)
{
    struct micro_world *world = ctx;

    (void)err;
    world->sink += body.len;
    *ret_revision = batch;
    return KT_OK;
}

/* All of an import but the log and the data. */
static void import_parse(struct micro_world *world, uint64_t times)
{
    static const struct kt_import_limits limits = {.line_max_bytes = 4 << 20,
                                                   .batch_records = 2000,
                                                   .batch_bytes = 1 << 20,
                                                   .atomic_bytes = 1 << 20,
                                                   .json_depth = 16};
    struct kt_error err = KT_ERROR_INIT;

    for (uint64_t i = 0; i < times; i++) {
        struct text_source source = {world->csv.data, world->csv.len_bytes};
        struct kt_http_body body = {.read = read_text, .ctx = &source};
        memset(world->report, 0, sizeof(*world->report));
        micro_must(kt_import_run(world->import_options, &limits, &body, drop_batch, world,
                                 world->report, &err),
                   &err, "import");
        if (world->report->records != MICRO_CSV_LINES) {
            micro_must(kt_fail(&err, KT_INTERNAL, "%s", world->report->errors[0].reason), &err,
                       "import");
        }
    }
}

const struct micro_op micro_ops[] = {
    {"request_hash", "XXH3 of a request's body", request_hash, few_bytes, 2000},
    {"crc32c", "CRC32C of 4 KB", crc32c, page_bytes, 500},
    {"double_text", "a double as its shortest text", double_text, NULL, 4096},
    {"answer_json", "20 rows of 4 numbers written as JSON", answer_json, out_bytes, 50},
    {"cache_get", "series cache, the subject is there", cache_get, NULL, 2000},
    {"cache_put", "series cache, the subject is not there: loaded, put, another one evicted",
     cache_put, NULL, 100},
    {"series_load", "a subject of 16 records from SQLite", series_load, NULL, 100},
    {"snapshot_few", "snapshot, 3 subjects, 2 indicators, series in memory", snapshot_few,
     answer_bytes, 200},
    {"snapshot_wide", "snapshot, 50 subjects, 4 indicators, series in memory", snapshot_wide,
     answer_bytes, 50},
    {"snapshot_topic", "snapshot over every subject, sorted, the first 20", snapshot_topic,
     answer_bytes, 3},
    {"period_one", "period, 1 subject, 16 records of 6 indicators", period_one, answer_bytes, 100},
    {"save_parse", "a save of one record, read into a change", save_parse, save_bytes, 200},
    {"change_encode", "a change of 100 records built and encoded", change_encode, change_bytes, 10},
    {"change_decode", "the same decoded", change_decode, change_bytes, 50},
    {"log_append", "one entry into the log, synced", log_append, one_change_bytes, 0},
    {"log_append_10", "10 entries into the log, synced once", log_append_10, ten_changes_bytes, 0},
    {"log_append_100", "100 entries into the log, synced once", log_append_100,
     hundred_changes_bytes, 0},
    {"apply_1", "one entry applied, written behind", apply_1, one_change_bytes, 0},
    {"apply_10", "10 entries applied in one call, written behind", apply_10, ten_changes_bytes, 0},
    {"apply_100", "100 entries applied in one call, written behind", apply_100,
     hundred_changes_bytes, 0},
    {"apply_spread", "20 entries of 20 subjects applied in one call, written behind", apply_spread,
     spread_bytes, 0},
    {"csv_parse", "1000 lines of CSV into cells", csv_parse, csv_bytes, 3},
    {"import_parse", "the same into an encoded change", import_parse, csv_bytes, 3},
};
const size_t micro_op_count = KT_ARRAY_LEN(micro_ops);

/* SPDX-License-Identifier: MIT */
#include "world.h"

#include "kt_test.h"

#include "base/mem.h"

#include <stdlib.h>

static void must(enum kt_status status, const struct kt_error *err, const char *what)
{
    if (status != KT_OK) {
        fprintf(stderr, "%s: %s: %s\n", what, kt_status_name(status), err->message);
        abort();
    }
}

static void append(struct world *world, struct kt_str bytes, int64_t wall_ms)
{
    struct kt_apply_result result;
    struct kt_entry entry = {
        .seq = ++world->seq, .epoch = 1, .wall_ms = wall_ms, .key = KT_STR(""), .body = bytes};
    must(kt_store_log_append(world->store, &entry, 1, entry.seq, &world->err), &world->err,
         "append");
    must(kt_store_apply(world->store, &entry, 1, &result, &world->err), &world->err, "apply");
    if (result.status != KT_OK) {
        fprintf(stderr, "apply refused: %s\n", result.message);
        abort();
    }
    world->wall_ms = wall_ms;
}

void world_open(struct world *world, const char *name, int64_t start_ms)
{
    world_open_keyed(world, name, start_ms, 0);
}

void world_open_keyed(struct world *world, const char *name, int64_t start_ms, unsigned char key)
{
    static char path[512];
    memset(world, 0, sizeof *world);
    kt_test_path(path, sizeof path, name);
    struct kt_store_options options = {.path = path, .read_connections = 2, .max_indicators = 4096};
    must(kt_store_open(&options, &world->store, &world->err), &world->err, "open");
    world->builder = kt_change_builder_new((size_t)64 << 20);
    world->arena = kt_arena_new(4096, 1 << 20);
    KT_ASSERT(world->builder && world->arena);
    kt_http_response_init(&world->response, world->arena, (size_t)256 << 20);
    world->env = (struct kt_query_env){
        .store = world->store,
        .limits = {.max_subjects = 10000,
                   .max_values = 5000000,
                   .max_rows = KT_QUERY_ROWS_MAX,
                   .json_depth = 16},
        .now_wall_ms = world_date("2025-06-01") * 1000,
        .deadline_mono_ms = kt_now_mono_ms() + 600000,
    };
    world_set_cache(world, (uint64_t)64 << 20);
    struct kt_change_epoch_start start = {
        .epoch_id = KT_STR("0123456789abcdef"), .first = true, .max_indicators = 4096};
    struct kt_buf bytes;
    memset(start.cursor_key, key, sizeof start.cursor_key);
    kt_buf_init(&bytes, 0);
    kt_change_encode_epoch_start(&start, &bytes);
    append(world, kt_buf_str(&bytes), start_ms);
    kt_buf_done(&bytes);
}

void world_set_cache(struct world *world, uint64_t max_bytes)
{
    if (world->cache) {
        kt_series_cache_free(&world->cache);
    }
    world->cache = kt_series_cache_new(world->store, max_bytes);
    KT_ASSERT(world->cache);
    world->env.cache = world->cache;
}

void world_close(struct world *world)
{
    kt_http_response_done(&world->response);
    kt_change_builder_free(&world->builder);
    kt_series_cache_free(&world->cache);
    kt_store_close(&world->store);
    kt_arena_free(&world->arena);
}

static struct kt_opt_text opt(const char *text)
{
    return text ? (struct kt_opt_text){KT_NAMED, kt_str(text)}
                : (struct kt_opt_text){KT_NOT_NAMED, KT_STR("")};
}

void world_subject(struct world *world, const char *key, const char *name, const char *category)
{
    struct kt_change_subject subject = {
        .key = kt_str(key), .name = opt(name), .category = opt(category)};
    must(kt_change_add_subject(world->builder, &subject, &world->err), &world->err, "subject");
}

void world_stay(struct world *world, const char *key, const char *topic, int64_t from_s,
                int64_t to_s)
{
    struct kt_change_stay stay = {kt_str(topic), from_s, to_s};
    struct kt_change_subject subject = {
        .key = kt_str(key), .topics_mode = KT_TOPICS_REPLACE, .stays = &stay, .stay_count = 1};
    must(kt_change_add_subject(world->builder, &subject, &world->err), &world->err, "stay");
}

void world_tag(struct world *world, const char *key, const char *name, const char *values)
{
    struct kt_str items[16], rest = kt_str(values);
    struct kt_change_tag tag = {.name = kt_str(name), .values = items};
    while (rest.data && rest.len && tag.count < KT_ARRAY_LEN(items)) {
        items[tag.count++] = kt_str_cut(&rest, ',');
    }
    struct kt_change_subject subject = {.key = kt_str(key), .tags = &tag, .tag_count = 1};
    must(kt_change_add_subject(world->builder, &subject, &world->err), &world->err, "tag");
}

int64_t world_date(const char *date)
{
    int64_t time_s = 0;
    KT_ASSERT(kt_parse_date(kt_str(date), &time_s));
    return time_s;
}

/* "eps=1.5 rev=null" */
static size_t parse_data(const char *data, struct kt_change_value *values, size_t max)
{
    size_t count = 0;
    struct kt_str rest = kt_str(data ? data : "");
    while (rest.data && rest.len) {
        struct kt_str value = kt_str_cut(&rest, ' ');
        struct kt_str key = kt_str_cut(&value, '=');
        KT_ASSERT(count < max);
        values[count].indicator = key;
        values[count].number = 0;
        values[count].is_null = kt_str_eq_text(value, "null");
        KT_ASSERT(values[count].is_null || kt_parse_f64(value, &values[count].number));
        count++;
    }
    return count;
}

static void add_record(struct world *world, const char *time, const char *declare, const char *data,
                       struct kt_change_record record)
{
    struct kt_change_value values[32];
    record.time_s = world_date(time);
    record.declare_given = declare != NULL;
    record.declare_s = declare ? world_date(declare) : 0;
    record.values = values;
    record.value_count = parse_data(data, values, KT_ARRAY_LEN(values));
    must(kt_change_add_record(world->builder, &record, &world->err), &world->err, "record");
}

void world_record(struct world *world, const char *subject, const char *time, const char *period,
                  const char *declare, const char *data)
{
    struct kt_change_record record = {.subject = kt_str(subject), .period = kt_str(period)};
    add_record(world, time, declare, data, record);
}

void world_record_texts(struct world *world, const char *subject, const char *time,
                        const char *period, const char *end_date, const char *year,
                        const char *data)
{
    struct kt_change_record record = {.subject = kt_str(subject),
                                      .period = kt_str(period),
                                      .end_date = opt(end_date),
                                      .year = opt(year)};
    add_record(world, time, NULL, data, record);
}

uint64_t world_commit(struct world *world, int64_t wall_ms)
{
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    must(kt_change_encode(world->builder, &bytes, &world->err), &world->err, "encode");
    append(world, kt_buf_str(&bytes), wall_ms);
    kt_buf_done(&bytes);
    kt_change_builder_reset(world->builder);
    return world->seq;
}

uint64_t world_commit_on(struct world *world, const char *date)
{
    return world_commit(world, (world_date(date) + KT_DAY_S / 2) * 1000);
}

enum kt_status world_ask_of(struct world *world, world_query_fn query, const char *body)
{
    world->err = (struct kt_error)KT_ERROR_INIT;
    kt_buf_clear(&world->response.body);
    return query(&world->env, kt_str(body), &world->response, &world->err);
}

enum kt_status world_ask(struct world *world, bool period, const char *body)
{
    return world_ask_of(world, period ? kt_query_period : kt_query_snapshot, body);
}

const char *world_answer_of(struct world *world, world_query_fn query, const char *body)
{
    enum kt_status status = world_ask_of(world, query, body);
    if (status != KT_OK) {
        printf("  %s gave %s: %s\n", body, kt_status_name(status), world->err.message);
        return "";
    }
    return world->response.body.data;
}

const char *world_snapshot(struct world *world, const char *body)
{
    return world_answer_of(world, kt_query_snapshot, body);
}

const char *world_period(struct world *world, const char *body)
{
    return world_answer_of(world, kt_query_period, body);
}

void world_check_refused(struct world *world, world_query_fn query, const char *body,
                         const char *code, const char *field)
{
    enum kt_status status = world_ask_of(world, query, body);
    int http = strcmp(code, "too_large") == 0 ? 413 : 400;
    const struct kt_error *err = &world->err;
    if (kt_status_http(status) != http || status != err->status ||
        strcmp(kt_status_code(status), code) != 0 || strcmp(err->field, field) != 0 ||
        !strstr(err->message, field) || !err->message[0] || world->response.body.len_bytes != 0) {
        kt_test_fail(__FILE__, __LINE__, "%s: %d %s \"%s\": %s", body, kt_status_http(status),
                     kt_status_code(status), err->field, err->message);
    }
}

void world_check_memory(struct world *world, world_query_fn query, const char *body)
{
    enum kt_status status = KT_NO_MEMORY;
    for (uint64_t nth = 1; nth < 1000 && status != KT_OK; nth++) {
        kt_series_cache_clear(world->cache);
        kt_http_response_done(&world->response);
        kt_http_response_init(&world->response, world->arena, 1 << 20);
        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        status = world_ask_of(world, query, body);
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        if (status != KT_OK && (status != KT_NO_MEMORY || world->response.body.len_bytes != 0)) {
            kt_test_fail(__FILE__, __LINE__, "%s without memory for allocation %d: %s", body,
                         (int)nth, kt_status_name(status));
            return;
        }
    }
    CHECK_INT(status, KT_OK);
}

void world_check_deadline(struct world *world, world_query_fn query, const char *body)
{
    int64_t deadline_mono_ms = world->env.deadline_mono_ms;
    world->env.deadline_mono_ms = kt_now_mono_ms() - 1;
    CHECK_INT(world_ask_of(world, query, body), KT_TIMEOUT);
    CHECK_INT(world->response.body.len_bytes, 0);
    world->env.deadline_mono_ms = deadline_mono_ms;
}

const char *world_rows(struct world *world, const char *body)
{
    return world_rows_of(world, kt_query_snapshot, body);
}

const char *world_rows_of(struct world *world, world_query_fn query, const char *body)
{
    static char text[8192];
    struct kt_json *json = NULL;
    if (world_ask_of(world, query, body) != KT_OK) {
        snprintf(text, sizeof text, "%s %s", kt_status_code(world->err.status), world->err.field);
        return text;
    }
    must(kt_json_parse(kt_buf_str(&world->response.body), 16, &json, &world->err), &world->err,
         "answer");
    const struct kt_json_value *root = kt_json_root(json), *row = NULL;
    const struct kt_json_value *data = kt_json_member(root, "data");
    size_t len = 0;
    text[0] = '\0';
    while ((row = kt_json_next(data, row)) != NULL && len < sizeof text) {
        const struct kt_json_value *key = kt_json_member(kt_json_member(row, "subject"), "subject");
        len += (size_t)snprintf(text + len, sizeof text - len, "%s" KT_STR_FMT, len ? " " : "",
                                KT_STR_ARG(kt_json_string(key)));
    }
    KT_ASSERT(len + 32 < sizeof text);
    snprintf(text + len, sizeof text - len, "/%.0f", kt_json_number(kt_json_member(root, "total")));
    kt_json_free(&json);
    return text;
}

const char *world_next(struct world *world)
{
    static char cursor[1024];
    static const char name[] = ",\"next_cursor\":\"";
    const char *text = world->response.body.data ? strstr(world->response.body.data, name) : NULL;
    size_t len = text ? strcspn(text + sizeof name - 1, "\"") : 0;
    KT_ASSERT(len < sizeof cursor && (!text || len > 0));
    snprintf(cursor, sizeof cursor, "%.*s", (int)len, text ? text + sizeof name - 1 : "");
    return cursor;
}

/* SPDX-License-Identifier: MIT */
/* own_stats.c - the cluster's counters in one answer. */
#include <uv.h>

#include "gateway/own_stats.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "gateway/own_counters.h"
#include "http/envelope.h"
#include "json/read.h"

#include <string.h>

#define STATS_PATH "/kamaitachi/api/data/v1/stats"
#define STATS_TIMEOUT_MS 2000
#define STATS_DEPTH 16

struct sums {
    double entries, hits, misses;
};

/* A node's answer was read strictly; it is written again as it was. */
static void copy_json(struct kt_jw *jw, const struct kt_json_value *value)
{
    const struct kt_json_value *item = NULL;

    switch (kt_json_type(value)) {
    case KT_JSON_NULL:
        kt_jw_null(jw);
        break;
    case KT_JSON_BOOL:
        kt_jw_bool(jw, kt_json_bool(value));
        break;
    case KT_JSON_NUMBER:
        kt_jw_f64(jw, kt_json_number(value));
        break;
    case KT_JSON_STRING:
        kt_jw_str(jw, kt_json_string(value));
        break;
    case KT_JSON_ARRAY:
        kt_jw_array(jw);
        while ((item = kt_json_next(value, item))) {
            copy_json(jw, item);
        }
        kt_jw_array_end(jw);
        break;
    case KT_JSON_OBJECT:
        kt_jw_object(jw);
        while ((item = kt_json_next(value, item))) {
            kt_jw_key(jw, kt_json_name(item));
            copy_json(jw, item);
        }
        kt_jw_object_end(jw);
        break;
    }
}

static double number_of(const struct kt_json_value *object, const char *name)
{
    const struct kt_json_value *value = kt_json_member_as(object, name, KT_JSON_NUMBER);

    return value ? kt_json_number(value) : 0;
}

/* The members of a node's data, beside the gateway's own; its cache counts into the sums. */
static void write_answer(struct kt_jw *jw, const struct kt_json_value *data, struct sums *sums)
{
    const struct kt_json_value *cache = kt_json_member_as(data, "cache", KT_JSON_OBJECT),
                               *item = NULL;

    while ((item = kt_json_next(data, item))) {
        struct kt_str name = kt_json_name(item);

        if (!kt_str_eq(name, KT_STR("node")) && !kt_str_eq(name, KT_STR("address")) &&
            !kt_str_eq(name, KT_STR("ok")) && !kt_str_eq(name, KT_STR("latency_ms"))) {
            kt_jw_key(jw, name);
            copy_json(jw, item);
        }
    }
    sums->entries += number_of(cache, "entries");
    sums->hits += number_of(cache, "hits");
    sums->misses += number_of(cache, "misses");
}

static void write_node(struct kt_jw *jw, const struct kt_ask *ask, struct sums *sums)
{
    struct kt_json *json = NULL;
    const struct kt_json_value *data = NULL;
    struct kt_error err = KT_ERROR_INIT;
    enum kt_status status = ask->status;
    const char *why = ask->why;

    if (status == KT_OK) {
        status = kt_json_parse(kt_buf_str(&ask->body), STATS_DEPTH, &json, &err);
        data =
            status == KT_OK ? kt_json_member_as(kt_json_root(json), "data", KT_JSON_OBJECT) : NULL;
        why = "its answer is not an envelope with data";
    }
    kt_jw_object(jw);
    kt_jw_kv_text(jw, "node", ask->node->id);
    kt_jw_kv_text(jw, "address", ask->node->addr);
    kt_jw_kv_bool(jw, "ok", data);
    kt_jw_kv_i64(jw, "latency_ms", ask->latency_ms);
    if (data) {
        write_answer(jw, data, sums);
    } else {
        kt_jw_kv_text(jw, "error", why);
    }
    kt_jw_object_end(jw);
    kt_json_free(&json);
}

static void write_aggregate(struct kt_jw *jw, const struct sums *sums)
{
    double asked = sums->hits + sums->misses;
    char rate[16];

    snprintf(rate, sizeof(rate), "%.2f%%", asked > 0 ? 100 * sums->hits / asked : 0);
    kt_jw_key_text(jw, "aggregate");
    kt_jw_object(jw);
    kt_jw_kv_f64(jw, "entries", sums->entries);
    kt_jw_kv_f64(jw, "hits", sums->hits);
    kt_jw_kv_f64(jw, "misses", sums->misses);
    kt_jw_kv_text(jw, "hit_rate", rate);
    kt_jw_object_end(jw);
}

static void write_own(struct kt_jw *jw, struct kt_own *own)
{
    struct kt_own_sums sums;

    kt_own_sum(own, &sums);
    kt_jw_key_text(jw, "gateway");
    kt_jw_object(jw);
    kt_jw_kv_text(jw, "node", own->options.node_id);
    kt_jw_kv_text(jw, "address", own->options.addr);
    kt_jw_kv_i64(jw, "uptime_ms", kt_now_mono_ms() - own->started_ms);
    kt_jw_kv_u64(jw, "loops", own->options.loop_count);
    kt_jw_kv_u64(jw, "resident_bytes", kt_process_resident_bytes());
#define WRITE(name, sinks, help) kt_jw_kv_u64(jw, #name, sums.name);
    KT_OWN_COUNTERS(WRITE)
#undef WRITE
    kt_jw_kv_u64(jw, "wait_longest_ms", sums.wait_longest_ms);
    kt_jw_object_end(jw);
}

static void write_stats(struct kt_own *own, struct kt_ask *asks, size_t count, struct kt_jw *jw)
{
    struct sums sums = {0, 0, 0};

    kt_jw_object(jw);
    kt_jw_kv_u64(jw, "nodes", count);
    kt_jw_key_text(jw, "per_node");
    kt_jw_array(jw);
    for (size_t i = 0; i < count; i++) {
        write_node(jw, &asks[i], &sums);
    }
    kt_jw_array_end(jw);
    write_aggregate(jw, &sums);
    write_own(jw, own);
    kt_jw_object_end(jw);
}

void kt_own_stats(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    struct kt_own *own = ctx;
    struct kt_gw_table *table = kt_nodes_current(own->options.shared->nodes);
    size_t count = table ? table->count : 0;
    struct kt_ask *asks = kt_arena_zalloc(request->arena, count + 1, sizeof(*asks));
    struct kt_error err = KT_ERROR_INIT;
    struct kt_jw jw;

    if (!asks) {
        (void)kt_fail(&err, KT_NO_MEMORY, "no memory to ask the nodes");
        kt_envelope_error(response, &err);
        kt_gw_table_unref(&table);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        asks[i].node = table->nodes[i];
        kt_buf_init(&asks[i].body, 0);
    }
    kt_control_ask_all(own->options.shared->control, asks, count, STATS_PATH, STATS_TIMEOUT_MS);
    kt_envelope_begin(response, &jw);
    write_stats(own, asks, count, &jw);
    kt_envelope_end(&jw);
    for (size_t i = 0; i < count; i++) {
        kt_buf_done(&asks[i].body);
    }
    kt_gw_table_unref(&table);
}

/* SPDX-License-Identifier: MIT */
/* The first Kamaitachi's paths for generic series. Their answers have its shape, the HTTP status is
 * right nevertheless.
 */
#include "node/generic.h"

#include "http/envelope.h"
#include "node/node_impl.h"

#define ARENA_FIRST_BYTES 4096
#define ARENA_MAX_BYTES (64u << 20) /* the ids of one search */

/* The only parameter that a path takes: which table. */
static enum kt_status read_table(const struct kt_http_request *request, const char *name,
                                 int *ret_table, struct kt_error *err)
{
    struct kt_str param, value = {NULL, 0};
    bool present = false;
    size_t pos = 0;
    enum kt_status status = KT_OK;
    while (kt_http_query_next(request, &pos, &param, &value, &status, err)) {
        if (!kt_str_eq_text(param, name)) {
            char field[72];
            kt_str_copy(field, sizeof(field), param);
            return kt_fail_field(err, KT_UNKNOWN_FIELD, field, "unknown parameter %s", field);
        }
    }
    if (status == KT_OK) {
        status = kt_http_query_get(request, name, &value, &present, err);
    }
    if (status == KT_OK && !(present && kt_generic_table_parse(value, ret_table))) {
        status = kt_fail_field(err, KT_BAD_VALUE, name,
                               "%s must be a table: 1 (stock_data), 2 (financial_data) or 3 "
                               "(indicator_data)",
                               name);
    }
    return status;
}

/* --- writes --- */

static enum kt_status submit(struct kt_node *node, const struct kt_http_request *request,
                             const struct kt_buf *change, struct kt_submit_result *ret_result,
                             struct kt_error *err)
{
    return kt_node_submit(node, kt_node_request_key(request), kt_buf_str(change),
                          request->deadline_mono_ms, ret_result, err);
}

static void write_written(struct kt_http_response *response, struct kt_str id, int table,
                          const struct kt_submit_result *result)
{
    struct kt_jw jw;
    kt_envelope_begin_old(response, &jw);
    kt_jw_object(&jw);
    kt_jw_kv_str(&jw, "id", id);
    kt_jw_kv_i64(&jw, "tableId", table);
    kt_jw_kv_u64(&jw, "revision", result->revision);
    kt_jw_kv_u64(&jw, "points", result->apply.records);
    kt_jw_object_end(&jw);
    kt_envelope_end(&jw);
}

void kt_node_generic_save(void *ctx, struct kt_http_request *request,
                          struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_submit_result result;
    struct kt_buf body;
    int table = 0;
    char id[KT_GENERIC_ID_MAX + 1];
    kt_buf_init(&body, (size_t)node->config->limits.body_bytes * 8);
    enum kt_status status = kt_node_admit_write(node, request, &err);
    if (status == KT_OK) {
        status = read_table(request, "id", &table, &err);
    }
    if (status == KT_OK) {
        status =
            kt_generic_save_parse(request->body, table, KT_JSON_DEPTH_DEFAULT, id, &body, &err);
    }
    if (status == KT_OK) {
        status = submit(node, request, &body, &result, &err);
    }
    if (status == KT_OK) {
        write_written(response, kt_str(id), table, &result);
    } else {
        kt_node_fail(node, response, true, &err);
    }
    kt_buf_done(&body);
}

void kt_node_generic_delete(void *ctx, struct kt_http_request *request,
                            struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_submit_result result;
    struct kt_buf body;
    struct kt_generic_change change = {.is_delete = true, .id = request->path_param};
    kt_buf_init(&body, 0);
    enum kt_status status = kt_node_admit_write(node, request, &err);
    if (status == KT_OK) {
        status = read_table(request, "tableId", &change.table, &err);
    }
    if (status == KT_OK && !kt_generic_id_ok(change.id)) {
        status = kt_fail_field(&err, KT_BAD_VALUE, "id", "id must be " KT_GENERIC_ID_RULE);
    }
    if (status == KT_OK) {
        kt_generic_encode(&change, NULL, &body);
        status = kt_buf_status(&body);
        status = status == KT_OK ? submit(node, request, &body, &result, &err)
                                 : kt_fail(&err, KT_UNAVAILABLE, "out of memory");
    }
    if (status == KT_OK) {
        write_written(response, change.id, change.table, &result);
    } else {
        kt_node_fail(node, response, true, &err);
    }
    kt_buf_done(&body);
}

/* --- reading --- */

struct writer {
    struct kt_jw jw;
    bool shows_table;
    int table; /* of the series at hand */
    uint64_t series;
    int64_t values, max_values;
};

static enum kt_status write_begin(void *ctx, int table, struct kt_str id, struct kt_error *err)
{
    struct writer *w = ctx;
    (void)err;
    w->series++;
    w->table = table;
    kt_jw_object(&w->jw);
    kt_jw_kv_str(&w->jw, "id", id);
    kt_jw_key_text(&w->jw, "data");
    kt_jw_object(&w->jw);
    return KT_OK;
}

static enum kt_status write_point(void *ctx, int64_t time_s, struct kt_str numbers, size_t count,
                                  struct kt_error *err)
{
    struct writer *w = ctx;
    char text[24];
    w->values += (int64_t)count;
    if (w->values > w->max_values) {
        return kt_fail(err, KT_TOO_LARGE,
                       "the answer has more than %lld values: ask for fewer series or times",
                       (long long)w->max_values);
    }
    kt_jw_key(&w->jw, kt_str_n(text, kt_format_i64(time_s, text)));
    kt_jw_raw(&w->jw, numbers);
    enum kt_status status = kt_buf_status(w->jw.buf);
    return status == KT_OK ? KT_OK : kt_fail(err, status, "no room for the answer: ask for less");
}

static enum kt_status write_end(void *ctx, int64_t create_s, int64_t update_s, struct kt_error *err)
{
    struct writer *w = ctx;
    (void)err;
    kt_jw_object_end(&w->jw);
    kt_jw_kv_i64(&w->jw, "createTime", create_s);
    kt_jw_kv_i64(&w->jw, "updateTime", update_s);
    if (w->shows_table) {
        kt_jw_kv_i64(&w->jw, "tableId", w->table);
    }
    kt_jw_object_end(&w->jw);
    return KT_OK;
}

/* The answer shows at least this revision: the search begins when it is applied. */
static void say_revision(struct kt_node *node, struct kt_http_response *response)
{
    char text[24];
    size_t len = kt_format_u64(kt_store_applied(node->store), text);
    kt_http_response_header(response, "X-Kamaitachi-Revision", kt_str_n(text, len));
}

static enum kt_status search(struct kt_node *node, const struct kt_http_request *request,
                             struct kt_generic_query *query, struct writer *w, bool *ret_more,
                             struct kt_http_response *response, struct kt_error *err)
{
    struct kt_generic_sink sink = {write_begin, write_point, write_end, w};
    w->max_values = node->config->limits.values;
    query->deadline_mono_ms = request->deadline_mono_ms;
    say_revision(node, response);
    return kt_store_generic_search(node->store, query, &sink, ret_more, err);
}

void kt_node_generic_get(void *ctx, struct kt_http_request *request,
                         struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_generic_query query = {.ids = &request->path_param, .id_count = 1, .limit = 1};
    struct writer w = {.series = 0};
    bool more = false;
    enum kt_status status = kt_node_check_consistency(node, request, &err);
    if (status == KT_OK) {
        status = read_table(request, "tableId", &query.table, &err);
    }
    if (status == KT_OK) {
        kt_envelope_begin_old(response, &w.jw);
        status = search(node, request, &query, &w, &more, response, &err);
    }
    if (status == KT_OK && w.series == 0) {
        status = kt_fail_field(
            &err, KT_NOT_FOUND, "id", "id: " KT_STR_FMT " is not in table %d (%s)",
            KT_STR_ARG(request->path_param), query.table, kt_generic_table_name(query.table));
    }
    if (status == KT_OK) {
        kt_envelope_end(&w.jw);
        kt_http_response_header(response, "Cache-Control", KT_STR("no-cache"));
    } else {
        kt_node_fail(node, response, false, &err);
    }
}

static enum kt_status answer_search(struct kt_node *node, const struct kt_http_request *request,
                                    struct kt_generic_query *query,
                                    struct kt_http_response *response, struct kt_error *err)
{
    struct writer w = {.shows_table = query->table == 0};
    bool more = false;
    kt_envelope_begin_old(response, &w.jw);
    kt_jw_array(&w.jw);
    enum kt_status status = search(node, request, query, &w, &more, response, err);
    if (status == KT_OK) {
        kt_jw_array_end(&w.jw);
        kt_jw_kv_bool(&w.jw, "has_more", more);
        kt_envelope_end(&w.jw);
    }
    return status;
}

void kt_node_generic_search(void *ctx, struct kt_http_request *request,
                            struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_generic_query query;
    struct kt_json *json = NULL;
    struct kt_arena *arena = kt_arena_new(ARENA_FIRST_BYTES, ARENA_MAX_BYTES);
    enum kt_status status = arena ? kt_node_check_consistency(node, request, &err)
                                  : kt_fail(&err, KT_NO_MEMORY, "out of memory for a search");
    if (status == KT_OK) {
        status = kt_generic_search_parse(request->body, KT_JSON_DEPTH_DEFAULT,
                                         node->config->limits.subjects, arena, &json, &query, &err);
    }
    if (status == KT_OK) {
        status = answer_search(node, request, &query, response, &err);
    }
    if (status != KT_OK) {
        kt_node_fail(node, response, false, &err);
    }
    kt_json_free(&json);
    kt_arena_free(&arena);
}

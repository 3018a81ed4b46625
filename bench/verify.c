/* SPDX-License-Identifier: MIT */
/* verify.c - bodies against a second source. */
#include "bench/verify.h"

#include "base/clock.h"
#include "base/mem.h"

#include <string.h>

#define SILENT_MAX 3 /* then the second source counts as gone */

struct verify {
    struct kt_ask *ask;
    const struct kt_pt_options *options;
    const struct kt_plan *plan;
    struct kt_load_result *result;
    struct kt_verified *out;
    struct kt_buf url, body;
    int silent;
};

static bool same_scalars(const struct kt_json_value *a, const struct kt_json_value *b)
{
    switch (kt_json_type(a)) {
    case KT_JSON_NUMBER:
        return kt_json_number(a) == kt_json_number(b);
    case KT_JSON_STRING:
        return kt_str_eq(kt_json_string(a), kt_json_string(b));
    case KT_JSON_BOOL:
        return kt_json_bool(a) == kt_json_bool(b);
    default:
        return true;
    }
}

/* Nesting is bounded by the parser. */
static bool same_at(const struct kt_json_value *a, const struct kt_json_value *b, char *where,
                    size_t size)
{
    size_t len = strlen(where), i = 0;
    const struct kt_json_value *x = NULL, *y = NULL;
    enum kt_json_type type = kt_json_type(a);
    if (type != kt_json_type(b)) {
        return false;
    }
    if (type != KT_JSON_ARRAY && type != KT_JSON_OBJECT) {
        return same_scalars(a, b);
    }
    if (kt_json_count(a) != kt_json_count(b)) {
        return false;
    }
    for (; (x = kt_json_next(a, x)); i++) {
        if (type == KT_JSON_ARRAY) {
            y = kt_json_next(b, y);
            snprintf(where + len, size - len, "[%zu]", i);
        } else {
            struct kt_str name = kt_json_name(x);
            y = kt_json_member(b, name.data);
            snprintf(where + len, size - len, "%s" KT_STR_FMT, len ? "." : "", KT_STR_ARG(name));
            if (kt_str_eq_text(name, "next_cursor") && y) {
                continue;
            }
        }
        if (!y || !same_at(x, y, where, size)) {
            return false;
        }
        where[len] = '\0';
    }
    where[len] = '\0';
    return true;
}

bool kt_json_same(const struct kt_json_value *a, const struct kt_json_value *b, char *ret_where,
                  size_t size)
{
    ret_where[0] = '\0';
    return same_at(a, b, ret_where, size);
}

static void skip(struct verify *v, uint64_t answers, const char *why)
{
    v->out->skipped += answers;
    if (!v->out->why[0]) {
        kt_str_copy(v->out->why, sizeof(v->out->why), kt_str(why));
    }
}

/* Answers that had been taken for right are not. */
static void wrong_value(struct verify *v, const struct kt_planned *planned, uint64_t answers,
                        const char *detail)
{
    struct kt_load_example *example = &v->result->examples[KT_WRONG_VALUE];
    v->result->wrong[KT_WRONG_VALUE] += answers;
    v->result->right -= answers;
    if (!example->set) {
        example->set = true;
        example->wall_ms = kt_now_wall_ms();
        snprintf(example->text, sizeof(example->text), "%s %.200s %.400s: %s", planned->method,
                 planned->path.data, planned->body.data, detail);
    }
}

static bool is_fixed_in_time(const struct kt_planned *planned)
{
    return kt_str_find(planned->body, KT_STR("\"recorded_by\"")) >= 0;
}

/* The request's body with "recorded_by" in it; false when it can't have one. */
static bool add_revision(struct verify *v, const struct kt_planned *planned, uint64_t revision)
{
    struct kt_str body = kt_str_trim(planned->body);
    bool asks = kt_str_ends(planned->path, KT_STR("/snapshot")) ||
                kt_str_ends(planned->path, KT_STR("/period"));
    if (!asks || body.len < 2 || body.data[body.len - 1] != '}' ||
        kt_str_find(body, KT_STR("\"cursor\"")) >= 0) {
        return false;
    }
    kt_buf_clear(&v->body);
    kt_buf_append(&v->body, body.data, body.len - 1);
    bool empty = kt_str_trim(kt_str_n(body.data + 1, body.len - 2)).len == 0;
    kt_buf_printf(&v->body, "%s\"recorded_by\":\"%llu\"}", empty ? "" : ",",
                  (unsigned long long)revision);
    return kt_buf_status(&v->body) == KT_OK;
}

/* Compares with the asker's last answer. */
static bool same_values(struct verify *v, const struct kt_load_body *body, char *where, size_t size)
{
    struct kt_json *mine = NULL, *theirs = NULL;
    struct kt_error err = KT_ERROR_INIT;
    int depth = KT_JSON_DEPTH_DEFAULT;
    bool same = false;
    snprintf(where, size, "not JSON on both sides");
    if (kt_json_parse(kt_str_n(body->data, body->len), depth, &mine, &err) == KT_OK &&
        kt_json_parse(kt_buf_str(&v->ask->answer.body), depth, &theirs, &err) == KT_OK) {
        same = kt_json_same(kt_json_root(mine), kt_json_root(theirs), where, size);
    }
    kt_json_free(&mine);
    kt_json_free(&theirs);
    return same;
}

static bool ask_second(struct verify *v, const struct kt_planned *planned, struct kt_str body,
                       uint64_t answers)
{
    struct kt_error err = KT_ERROR_INIT;
    if (kt_ask_raw(v->ask, planned->method, v->url.data, body, &err) != KT_OK) {
        v->silent++;
        skip(v, answers, err.message);
        return false;
    }
    v->silent = 0;
    int wanted = planned->status ? planned->status : 200;
    if (v->ask->answer.status != wanted) {
        char why[200];
        snprintf(why, sizeof(why), "the second source answers %d to %.100s", v->ask->answer.status,
                 planned->path.data);
        skip(v, answers, why);
        return false;
    }
    return true;
}

static void verify_body(struct verify *v, const struct kt_load_body *body)
{
    const struct kt_planned *planned = &v->plan->requests[body->request];
    char where[400], detail[700];
    uint64_t revision = 0;
    kt_buf_clear(&v->url);
    kt_buf_printf(&v->url, "%s%s", v->options->verify.text, planned->path.data);
    if (!ask_second(v, planned, planned->body, body->answers)) {
        return;
    }
    kt_parse_u64(kt_http_answer_header(&v->ask->answer, "x-kamaitachi-revision"), &revision);
    bool same = kt_check_same(kt_str_n(body->data, body->len), &body->hole,
                              kt_buf_str(&v->ask->answer.body)) ||
                same_values(v, body, where, sizeof(where));
    if (!same && revision != body->revision && !is_fixed_in_time(planned)) {
        if (!body->revision || !add_revision(v, planned, body->revision)) {
            skip(v, body->answers,
                 "the nodes stand at different revisions, and this request can't "
                 "be asked for the first one's");
            return;
        }
        if (!ask_second(v, planned, kt_buf_str(&v->body), body->answers)) {
            return;
        }
        same = same_values(v, body, where, sizeof(where));
    }
    if (!same) {
        snprintf(detail, sizeof(detail), "at revision %llu they differ in %.300s",
                 (unsigned long long)body->revision, where[0] ? where : "what they are");
        wrong_value(v, planned, body->answers, detail);
        return;
    }
    v->out->bodies++;
    v->out->answers += body->answers;
}

/* The value that the period answer holds at a date; false when there is none. */
static bool find_value(const struct kt_json_value *root, const struct kt_planned *planned,
                       double *ret_value)
{
    char date[11];
    const struct kt_json_value *data = kt_json_member(root, "data"), *row = NULL;
    if (!data || kt_json_type(data) != KT_JSON_ARRAY || kt_json_count(data) != 1) {
        return false;
    }
    data = kt_json_member(kt_json_next(data, NULL), "data");
    kt_format_date(planned->written_time, date);
    while (data && kt_json_type(data) == KT_JSON_ARRAY && (row = kt_json_next(data, row))) {
        const struct kt_json_value *end = kt_json_member(row, "end_date");
        const struct kt_json_value *value = kt_json_member(row, planned->ids[0].data);
        if (end && kt_json_type(end) == KT_JSON_STRING &&
            kt_str_eq_text(kt_json_string(end), date) && value &&
            kt_json_type(value) == KT_JSON_NUMBER) {
            *ret_value = kt_json_number(value);
            return true;
        }
    }
    return false;
}

/* One record, waited for until the second source has it or the timeout is over. */
static void read_back(struct verify *v, const struct kt_load_body *body)
{
    const struct kt_planned *planned = &v->plan->requests[body->request];
    struct kt_error err = KT_ERROR_INIT;
    char date[11], detail[200];
    double value = 0;
    bool found = false;
    int64_t deadline = kt_now_mono_us() + (int64_t)(v->options->timeout_s * 1e6);
    kt_format_date(planned->written_time, date);
    kt_buf_clear(&v->url);
    kt_buf_clear(&v->body);
    kt_buf_printf(&v->url, "%s" KT_PT_API "/period", v->options->verify.text);
    kt_buf_printf(&v->body,
                  "{\"subjects\":[\"" KT_STR_FMT
                  "\"],\"from\":\"%s\",\"to\":\"%s\",\"ids\":[\"" KT_STR_FMT "\"]}",
                  KT_STR_ARG(planned->written_subject), date, date, KT_STR_ARG(planned->ids[0]));
    for (;;) {
        const struct kt_json_value *root;
        enum kt_status status = kt_ask(v->ask, v->url.data, kt_buf_str(&v->body), &root, &err);
        if (status != KT_OK && status != KT_BAD_GATEWAY) {
            v->silent++;
            skip(v, body->answers, err.message);
            return;
        }
        v->silent = 0;
        found = status == KT_OK && find_value(root, planned, &value);
        int64_t now_us = kt_now_mono_us();
        if ((found && value == planned->written_value) || now_us >= deadline) {
            break;
        }
        kt_sleep_until_us(now_us + 50000);
    }
    if (found && value == planned->written_value) {
        v->out->writes += body->answers;
        return;
    }
    snprintf(detail, sizeof(detail),
             found ? "acknowledged, but the second source has %.17g"
                   : "acknowledged, but the second source does not have it",
             value);
    wrong_value(v, planned, body->answers, detail);
}

void kt_verify(struct kt_ask *ask, const struct kt_pt_options *options, const struct kt_plan *plan,
               atomic_bool *stop, struct kt_load_result *result, struct kt_verified *ret_verified)
{
    struct verify v = {
        .ask = ask, .options = options, .plan = plan, .result = result, .out = ret_verified};
    *ret_verified = (struct kt_verified){0};
    kt_buf_init(&v.url, 32768);
    kt_buf_init(&v.body, (size_t)64 << 20);
    if (result->unverified) {
        skip(&v, result->unverified, "bodies that were too many or too large to be kept");
    }
    for (struct kt_load_body *body = result->bodies; body; body = body->next) {
        if (body->answers == 0) {
            continue;
        }
        if (v.silent >= SILENT_MAX || atomic_load(stop)) {
            skip(&v, body->answers, "stopped before it was compared");
        } else if (plan->requests[body->request].kind == KT_EXPECT_SAVE) {
            read_back(&v, body);
        } else {
            verify_body(&v, body);
        }
    }
    kt_buf_done(&v.url);
    kt_buf_done(&v.body);
}

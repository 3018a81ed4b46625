/* SPDX-License-Identifier: MIT */
/* plan_file.c - requests from a file: a JSON object a line. */
#include "bench/plan.h"

#include "base/fs.h"
#include "base/mem.h"

#include <string.h>

#define FILE_BYTES_MAX ((size_t)1 << 30)
#define FILE_REQUESTS_MAX 1000000

static const char *method_of(struct kt_str text)
{
    static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "DELETE"};
    for (size_t i = 0; i < KT_ARRAY_LEN(known); i++) {
        if (kt_str_eq_text(text, known[i])) {
            return known[i];
        }
    }
    return NULL;
}

static bool is_target(struct kt_str path)
{
    for (size_t i = 0; i < path.len; i++) {
        unsigned char byte = (unsigned char)path.data[i];
        if (byte <= 0x20 || byte >= 0x7f || byte == '#') {
            return false;
        }
    }
    return path.len > 0 && path.len <= 16384 && path.data[0] == '/';
}

/* Where the string that begins at `at` ends: its closing quote. */
static size_t string_end(struct kt_str text, size_t at)
{
    for (at++; text.data[at] != '"'; at++) {
        at += text.data[at] == '\\';
    }
    return at;
}

/* Behind the object, array or string that begins at `at`. */
static size_t value_end(struct kt_str text, size_t at)
{
    size_t depth = 0;
    do {
        char c = text.data[at];
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        at = c == '"' ? string_end(text, at) + 1 : at + 1;
    } while (depth > 0);
    return at;
}

static size_t skip_space(struct kt_str text, size_t at)
{
    return at + strspn(text.data + at, " \t\r");
}

/* The text of a member's value, which is an object, an array or a string: such a body is sent as it
 * stands in the file. The grammar was checked, so that quotes and brackets match. */
static struct kt_str raw_member(struct kt_str line, const char *name)
{
    for (size_t at = skip_space(line, 0) + 1; at < line.len;) {
        if (line.data[at] == '{' || line.data[at] == '[') {
            at = value_end(line, at);
            continue;
        }
        if (line.data[at] != '"') {
            at++;
            continue;
        }
        size_t end = string_end(line, at);
        struct kt_str found = kt_str_n(line.data + at + 1, end - at - 1);
        at = skip_space(line, end + 1);
        if (line.data[at] == ':' && kt_str_eq_text(found, name)) {
            at = skip_space(line, at + 1);
            return kt_str_n(line.data + at, value_end(line, at) - at);
        }
    }
    return kt_str(NULL);
}

static enum kt_status read_fields(struct kt_str line, const struct kt_json_value *root,
                                  struct kt_planned *planned, struct kt_error *err)
{
    struct kt_json_fields fields;
    struct kt_str method = KT_STR("POST");
    int64_t wanted = 0;
    bool given = false;
    enum kt_status status = kt_json_fields_init(&fields, root, "", err);
    if (status == KT_OK) {
        status = kt_json_get_string(&fields, "path", &planned->path, NULL, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_string(&fields, "method", &method, &given, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_int(&fields, "status", 200, 599, &wanted, NULL, err);
    }
    if (status != KT_OK) {
        return status;
    }
    const struct kt_json_value *body = kt_json_get(&fields, "body", true);
    status = kt_json_fields_finish(&fields, err);
    if (status != KT_OK) {
        return status;
    }
    if (body) {
        enum kt_json_type type = kt_json_type(body);
        planned->body = type == KT_JSON_STRING                            ? kt_json_string(body)
                        : type == KT_JSON_OBJECT || type == KT_JSON_ARRAY ? raw_member(line, "body")
                                                                          : kt_str(NULL);
        if (!planned->body.data) {
            return kt_fail(err, KT_BAD_VALUE, "body must be an object, an array or a string");
        }
    } else if (!given) {
        method = KT_STR("GET");
    }
    planned->method = method_of(method);
    planned->status = (int)wanted;
    if (!planned->method) {
        return kt_fail(err, KT_BAD_VALUE, "method must be GET, HEAD, POST, PUT or DELETE");
    }
    if (!is_target(planned->path)) {
        return kt_fail(err, KT_BAD_VALUE, "path must begin with / and be visible ASCII without #");
    }
    return KT_OK;
}

/* `line` is followed by a NUL or a line's end. */
static enum kt_status read_line(struct kt_plan *plan, const struct kt_pt_options *options,
                                struct kt_str line, struct kt_planned *planned,
                                struct kt_error *err)
{
    struct kt_json *json = NULL;
    enum kt_status status = kt_json_parse(line, KT_JSON_DEPTH_DEFAULT * 2, &json, err);
    planned->kind = KT_EXPECT_RAW;
    planned->at = KT_NO_TIME;
    if (status == KT_OK) {
        status = read_fields(line, kt_json_root(json), planned, err);
    }
    if (status == KT_OK) {
        planned->to_head = strcmp(planned->method, "HEAD") == 0;
        status = kt_plan_bytes(plan, options, planned, err);
    }
    kt_json_free(&json);
    return status;
}

static enum kt_status read_lines(struct kt_plan *plan, const struct kt_pt_options *options,
                                 struct kt_str rest, size_t most, struct kt_error *err)
{
    enum kt_status status = KT_OK;
    for (size_t number = 1; status == KT_OK && rest.data && plan->count < most; number++) {
        struct kt_str line = kt_str_trim(kt_str_cut(&rest, '\n'));
        if (line.len == 0) {
            continue;
        }
        status = read_line(plan, options, line, &plan->requests[plan->count++], err);
        if (status != KT_OK) {
            status = kt_wrap(err, "%s:%zu", options->requests_file, number);
        }
    }
    if (status == KT_OK && !options->repeat && kt_str_trim(rest).len > 0) {
        status = kt_fail(err, KT_TOO_LARGE, "%s holds more than %zu requests: choose a -repeat",
                         options->requests_file, most);
    }
    if (status == KT_OK && plan->count == 0) {
        status = kt_fail(err, KT_BAD_VALUE, "%s holds no requests", options->requests_file);
    }
    return status;
}

enum kt_status kt_plan_file(const struct kt_pt_options *options, struct kt_plan *plan,
                            struct kt_error *err)
{
    struct kt_buf content;
    kt_buf_init(&content, 0);
    enum kt_status status = kt_fs_read(options->requests_file, FILE_BYTES_MAX, &content, err);
    struct kt_str text = kt_buf_str(&content);
    size_t lines = 1;
    for (size_t i = 0; i < text.len; i++) {
        lines += text.data[i] == '\n';
    }
    size_t most = options->repeat ? options->repeat : FILE_REQUESTS_MAX;
    most = lines < most ? lines : most;
    if (status == KT_OK) {
        plan->requests = kt_arena_zalloc(plan->arena, most, sizeof(*plan->requests));
        plan->count = 0;
        status = plan->requests ? read_lines(plan, options, text, most, err)
                                : kt_fail(err, KT_NO_MEMORY, "no memory for %zu requests", most);
    }
    kt_buf_done(&content);
    return status;
}

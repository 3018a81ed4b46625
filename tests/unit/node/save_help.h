/* save_help.h - bodies of a save, and what becomes of them.
 *
 * Bodies are written with ' for " here; the change that one becomes is decoded again and compared
 * as text (change_text.h).
 *
 * Threads: any.
 * Owns:    nothing.
 * Fails:   the checks fail the test, each case with its body.
 */
#ifndef KT_TEST_NODE_SAVE_HELP_H
#define KT_TEST_NODE_SAVE_HELP_H

#include "change_text.h"
#include "kt_test.h"
#include "node/save.h"

#include "base/mem.h"
#include "json/read.h"

#include <stdlib.h>

static const struct kt_save_limits limits = {10000, 100000, KT_JSON_DEPTH_DEFAULT};

/* In a block of its own size: a read behind the end shows under the address sanitizer. */
static inline enum kt_status parse(struct kt_str body, const struct kt_save_limits *bounds,
                                   struct kt_change_builder *builder, struct kt_error *err)
{
    char *exact = malloc(body.len ? body.len : 1);
    if (body.len) {
        memcpy(exact, body.data, body.len);
    }
    enum kt_status status = kt_save_parse(kt_str_n(exact, body.len), bounds, builder, err);
    free(exact);
    return status;
}

static inline void quoted(const char *body, struct kt_buf *ret_json)
{
    kt_buf_clear(ret_json);
    for (const char *c = body; *c; c++) {
        kt_buf_append_byte(ret_json, *c == '\'' ? '"' : *c);
    }
}

/* The change that a body becomes, as text; on failure the error says why. */
static inline enum kt_status change_of(struct kt_str body, struct kt_buf *ret_text,
                                       struct kt_error *err)
{
    struct kt_change_builder *builder = kt_change_builder_new((size_t)64 << 20);
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    enum kt_status status = parse(body, &limits, builder, err);
    if (status == KT_OK) {
        status = kt_change_encode(builder, &bytes, err);
    }
    if (status == KT_OK && !change_text(kt_buf_str(&bytes), ret_text)) {
        status = kt_fail(err, KT_CORRUPT, "the change can't be decoded");
    }
    kt_buf_done(&bytes);
    kt_change_builder_free(&builder);
    return status;
}

struct good {
    const char *body, *expected;
};

static inline void check_good(const struct good *cases, size_t count)
{
    struct kt_buf json, text;
    kt_buf_init(&json, 0);
    kt_buf_init(&text, 0);
    for (size_t i = 0; i < count; i++) {
        struct kt_error err = KT_ERROR_INIT;
        quoted(cases[i].body, &json);
        kt_buf_clear(&text);
        enum kt_status status = change_of(kt_buf_str(&json), &text, &err);
        if (status != KT_OK || !kt_str_eq_text(kt_buf_str(&text), cases[i].expected)) {
            kt_test_fail(__FILE__, __LINE__, "%s (%s)\n    got  " KT_STR_FMT "\n    want %s",
                         cases[i].body, status == KT_OK ? "ok" : err.message,
                         KT_STR_ARG(kt_buf_str(&text)), cases[i].expected);
        }
    }
    kt_buf_done(&json);
    kt_buf_done(&text);
}

struct bad {
    const char *body;
    enum kt_status status;
    const char *field, *message; /* the whole field; a part of the message */
};

static inline bool refused(struct kt_str body, const struct bad *want)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf text;
    kt_buf_init(&text, 0);
    enum kt_status status = change_of(body, &text, &err);
    kt_buf_done(&text);
    bool good = status == want->status && err.status == status &&
                strcmp(err.field, want->field) == 0 && err.message[0] &&
                strstr(err.message, want->message) && kt_utf8_valid(kt_str(err.message));
    if (!good) {
        kt_test_fail(__FILE__, __LINE__,
                     "%.200s\n    got  %s field \"%s\": %s\n    want %s field \"%s\": %s",
                     want->body, kt_status_name(status), err.field, err.message,
                     kt_status_name(want->status), want->field, want->message);
    }
    return good;
}

static inline void check_bad(const struct bad *cases, size_t count)
{
    struct kt_buf json;
    kt_buf_init(&json, 0);
    for (size_t i = 0; i < count; i++) {
        quoted(cases[i].body, &json);
        refused(kt_buf_str(&json), &cases[i]);
    }
    kt_buf_done(&json);
}

#define SUBJECT(rest) "{'subjects':[{'subject':'a'" rest "}]}"
#define RECORD(rest) "{'records':[{'subject':'a'" rest "}]}"
#define DATA(rest) "{'records':[{'subject':'a','time':0,'data':" rest "}]}"

#endif

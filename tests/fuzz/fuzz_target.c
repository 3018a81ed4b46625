/* SPDX-License-Identifier: MIT */
/* A request's target: its path, normalised, and the parameters behind it. */
#include "fuzz.h"

#include "http/router.h"
#include "query/query.h"

#include <string.h>

static void path(struct kt_str raw, struct kt_arena *arena)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_str normal;
    if (kt_path_normalise(raw, arena, &normal, &err) != KT_OK) {
        return;
    }
    FUZZ_CHECK(normal.len > 0 && normal.data[0] == '/' && kt_utf8_valid(normal));
    FUZZ_CHECK(kt_str_find(normal, KT_STR("//")) < 0 && kt_str_find(normal, KT_STR("/../")) < 0);
    FUZZ_CHECK(!memchr(normal.data, '\0', normal.len));
    (void)kt_path_is_admin(normal);
    (void)kt_path_is_cluster(normal);
}

static void query(struct kt_str raw, struct kt_arena *arena)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_http_request request = {.method = KT_HTTP_GET, .query = raw, .arena = arena};
    struct kt_buf body;
    kt_buf_init(&body, 0);
    if (kt_query_body_of_params(&request, &body, &err) == KT_OK) {
        struct kt_json *json = NULL;
        if (kt_json_parse(kt_buf_str(&body), KT_JSON_DEPTH_DEFAULT, &json, &err) == KT_OK) {
            FUZZ_CHECK(kt_json_type(kt_json_root(json)) == KT_JSON_OBJECT);
        } else { /* a parameter that comes twice, or holds a NUL */
            FUZZ_CHECK(err.message[0] != '\0');
        }
        kt_json_free(&json);
    } else {
        FUZZ_CHECK(err.message[0] != '\0' && kt_utf8_valid(kt_str(err.message)));
    }
    kt_buf_done(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kt_str rest = fuzz_str(data, size);
    struct kt_str raw = kt_str_cut(&rest, '?');
    struct kt_arena *arena = kt_arena_new(4096, 1 << 20);
    FUZZ_CHECK(arena);
    path(raw, arena);
    if (rest.data) {
        query(rest, arena);
    }
    kt_arena_free(&arena);
    return 0;
}

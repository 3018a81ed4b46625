/* SPDX-License-Identifier: MIT */
/* Bodies of generic series: a save through to the bytes of its log entry and back; a search. */
#include "fuzz.h"

#include "node/generic.h"
#include "store/change.h"

static void save(struct kt_str body)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change change;
    struct kt_buf bytes;
    char id[KT_GENERIC_ID_MAX + 1];
    kt_buf_init(&bytes, 0);
    if (kt_generic_save_parse(body, 1, KT_JSON_DEPTH_DEFAULT, id, &bytes, &err) == KT_OK) {
        FUZZ_CHECK(kt_change_decode(kt_buf_str(&bytes), &change, &err) == KT_OK);
        FUZZ_CHECK(change.kind == KT_CHANGE_GENERIC && !change.generic.is_delete);
        FUZZ_CHECK(kt_str_eq_text(change.generic.id, id));
        kt_change_done(&change);
    } else {
        FUZZ_CHECK(err.message[0] != '\0' && kt_utf8_valid(kt_str(err.message)) &&
                   kt_utf8_valid(kt_str(err.field)));
    }
    kt_buf_done(&bytes);
}

static void search(struct kt_str body)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_generic_query query;
    struct kt_json *json = NULL;
    struct kt_arena *arena = kt_arena_new(1024, 1 << 20);
    FUZZ_CHECK(arena);
    if (kt_generic_search_parse(body, KT_JSON_DEPTH_DEFAULT, 100, arena, &json, &query, &err) ==
        KT_OK) {
        FUZZ_CHECK(query.table >= 0 && query.table <= KT_GENERIC_TABLES);
        FUZZ_CHECK(query.limit >= 1 && query.limit <= KT_GENERIC_LIMIT_MAX);
        FUZZ_CHECK(query.from_s <= query.to_s && (!query.ids || query.id_count > 0));
    } else {
        FUZZ_CHECK(err.message[0] != '\0' && kt_utf8_valid(kt_str(err.message)));
    }
    kt_json_free(&json);
    kt_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == 's') {
        search(fuzz_str(data + 1, size - 1));
    } else {
        save(fuzz_str(data, size));
    }
    return 0;
}

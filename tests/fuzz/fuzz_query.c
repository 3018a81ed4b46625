/* SPDX-License-Identifier: MIT */
/* Questions as bodies, run over a small store that is made once: the first byte says which
 * question. An answer must be JSON; a refusal must say why and leave no answer behind.
 */
#include "fuzz.h"

#include "unit/kt_test.h"
#include "unit/query/world.h"
#include "json/read.h"

#include <string.h>

static struct world *small_world(void)
{
    static struct world world;
    FUZZ_CHECK(atexit(kt_test_dir_remove) == 0);
    world_open(&world, "fuzz.db", world_date("2024-01-01") * 1000);
    world_subject(&world, "A", "Alpha", "stock");
    world_subject(&world, "B", "", "");
    world_stay(&world, "A", "pool", KT_TIME_MIN, KT_TIME_MAX);
    world_stay(&world, "B", "pool", world_date("2020-01-01"), world_date("2022-12-31"));
    world_record(&world, "A", "2020-12-31", "Q4", "2021-03-30", "eps=1.5 rev=10");
    world_record(&world, "A", "2021-12-31", "Q4", NULL, "eps=null rev=12");
    world_record(&world, "B", "2021-12-30", "", NULL, "huge=1.7e308");
    world_record(&world, "B", "2021-12-31", "", NULL, "huge=1.7e308");
    world_tag(&world, "A", "concept", "internet finance,5G");
    world_tag(&world, "B", "concept", "bank");
    world_record(&world, "B", "2021-06-30", "Q2", "2021-08-01", "eps=-2");
    (void)world_commit_on(&world, "2024-01-02");
    world_record(&world, "A", "2020-12-31", "Q4", "2022-01-01", "eps=1.25");
    world_record_texts(&world, "C", "1751-01-01", "", "end", "1751", "co2=0.001");
    (void)world_commit_on(&world, "2024-01-03");
    return &world;
}

static world_query_fn query_of(uint8_t letter)
{
    switch (letter) {
    case 'p':
        return kt_query_period;
    case 'S':
        return kt_query_selection_snapshot;
    case 'P':
        return kt_query_selection_period;
    case 'b':
        return kt_query_batch;
    case 'u':
        return kt_query_subjects;
    case 't':
        return kt_query_topics;
    case 'i':
        return kt_query_indicators;
    default:
        return kt_query_snapshot;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world *world;
    if (!world) {
        world = small_world();
    }
    if (size == 0) {
        return 0;
    }
    char *body = malloc(size);
    FUZZ_CHECK(body);
    memcpy(body, data + 1, size - 1);
    body[size - 1] = '\0';
    world->env.deadline_mono_ms = INT64_MAX;
    world->response.header_count = 0; /* their values lie in the arena */
    kt_arena_reset(world->arena);
    enum kt_status status = world_ask_of(world, query_of(data[0]), body);
    free(body);
    if (status == KT_OK) {
        struct kt_json *json = NULL;
        struct kt_error err = KT_ERROR_INIT;
        FUZZ_CHECK(kt_json_parse(kt_buf_str(&world->response.body), 32, &json, &err) == KT_OK);
        kt_json_free(&json);
    } else {
        FUZZ_CHECK(world->err.message[0] != '\0' && kt_utf8_valid(kt_str(world->err.message)));
    }
    return 0;
}

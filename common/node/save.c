/* SPDX-License-Identifier: MIT */
/* One object after the other, each field judged where it is read; the builder gets only what is
 * right, and is thrown away with the first fault.
 */
#include "node/save.h"

#include "base/arena.h"
#include "base/mem.h"
#include "node/items.h"
#include "json/read.h"

#include <stdio.h>
#include <string.h>

#define SCRATCH_FIRST_BYTES 16384 /* of one subject or record */
#define SCRATCH_MAX_BYTES (256U << 20)

struct save {
    const struct kt_save_limits *limits;
    struct kt_arena *arena;
    struct kt_change_builder *builder;
    struct kt_error *err;
};

static enum kt_status no_memory(struct save *save)
{
    return kt_fail(save->err, KT_NO_MEMORY, "out of memory for a save");
}

static enum kt_status parse_subject(struct save *save, const struct kt_json_value *value,
                                    size_t index)
{
    struct kt_change_subject subject;
    char path[40];
    snprintf(path, sizeof(path), "subjects[%zu]", index);
    enum kt_status status = kt_item_subject(value, path, save->arena, &subject, save->err);
    return status == KT_OK ? kt_change_add_subject(save->builder, &subject, save->err) : status;
}

static enum kt_status parse_record(struct save *save, const struct kt_json_value *value,
                                   size_t index)
{
    struct kt_change_record record;
    char path[40];
    snprintf(path, sizeof(path), "records[%zu]", index);
    enum kt_status status = kt_item_record(value, path, save->arena, &record, save->err);
    return status == KT_OK ? kt_change_add_record(save->builder, &record, save->err) : status;
}

/* --- the body --- */

typedef enum kt_status (*item_fn)(struct save *save, const struct kt_json_value *value,
                                  size_t index);

static enum kt_status parse_items(struct save *save, struct kt_json_fields *fields,
                                  const char *name, int64_t max, item_fn parse, size_t *ret_count)
{
    const struct kt_json_value *array = NULL;
    bool present = false;
    enum kt_status status = kt_json_get_array(fields, name, &array, &present, save->err);
    if (status != KT_OK || !present) {
        return status;
    }
    if ((int64_t)kt_json_count(array) > max) {
        return kt_fail_field(save->err, KT_TOO_LARGE, name, "%s: %zu items, at most %lld are taken",
                             name, kt_json_count(array), (long long)max);
    }
    size_t index = 0;
    for (const struct kt_json_value *item = kt_json_next(array, NULL); item && status == KT_OK;
         item = kt_json_next(array, item)) {
        status = parse(save, item, index++);
        kt_arena_reset(save->arena); /* the builder has copies */
    }
    *ret_count = index;
    return status;
}

static enum kt_status parse_body(struct save *save, const struct kt_json_value *root)
{
    struct kt_json_fields fields;
    size_t subjects = 0, records = 0;
    int64_t if_revision = 0;
    bool conditional = false;
    enum kt_status status = kt_json_fields_init(&fields, root, "", save->err);
    if (status == KT_OK) {
        status = kt_json_get_int(&fields, "if_revision", 0, KT_IF_REVISION_MAX, &if_revision,
                                 &conditional, save->err);
    }
    if (status == KT_OK && conditional) {
        kt_change_set_if_revision(save->builder, (uint64_t)if_revision);
    }
    if (status == KT_OK) {
        status = parse_items(save, &fields, "subjects", save->limits->max_subjects, parse_subject,
                             &subjects);
    }
    if (status == KT_OK) {
        status = parse_items(save, &fields, "records", save->limits->max_records, parse_record,
                             &records);
    }
    if (status == KT_OK) {
        status = kt_json_fields_finish(&fields, save->err);
    }
    if (status == KT_OK && subjects + records == 0) {
        status = kt_fail_field(save->err, KT_BAD_VALUE, "records",
                               "a save must name at least one of subjects or records");
    }
    return status;
}

enum kt_status kt_save_parse(struct kt_str body, const struct kt_save_limits *limits,
                             struct kt_change_builder *builder, struct kt_error *err)
{
    struct kt_json *doc = NULL;
    struct kt_arena *arena = kt_arena_new(SCRATCH_FIRST_BYTES, SCRATCH_MAX_BYTES);
    struct save save = {limits, arena, builder, err};
    kt_change_builder_reset(builder);
    if (!arena) {
        return no_memory(&save);
    }
    enum kt_status status = kt_json_parse(body, limits->json_depth, &doc, err);
    if (status == KT_OK) {
        status = parse_body(&save, kt_json_root(doc));
    }
    kt_json_free(&doc);
    kt_arena_free(&arena);
    return status;
}

/* SPDX-License-Identifier: MIT */
/* {"subject":{…}} or {"record":{…}} a line, judged by the rules of save. */
#include "base/mem.h"
#include "node/import_impl.h"
#include "node/items.h"
#include "node/ndjson.h"
#include "json/read.h"

#include <string.h>

#define SCRATCH_FIRST_BYTES 16384 /* of one line */
#define SCRATCH_PER_BYTE 64       /* a value of three bytes takes some fifty in the arena */

struct ndjson_import {
    struct import *import;
    struct kt_ndjson lines;
    struct kt_arena *arena;
};

/* Exactly one of the two is there. */
static enum kt_status read_object(struct kt_json_fields *fields,
                                  const struct kt_json_value **ret_subject,
                                  const struct kt_json_value **ret_record, struct kt_error *err)
{
    bool has_subject = false, has_record = false;
    enum kt_status status = kt_json_get_object(fields, "subject", ret_subject, &has_subject, err);
    if (status == KT_OK) {
        status = kt_json_get_object(fields, "record", ret_record, &has_record, err);
    }
    if (status == KT_OK && kt_json_get(fields, "recorded", true)) {
        status = kt_fail_field(err, KT_NOT_SUPPORTED, "recorded", "recorded is not supported yet");
    }
    if (status == KT_OK) {
        status = kt_json_fields_finish(fields, err);
    }
    if (status == KT_OK && has_subject == has_record) {
        status = kt_fail_field(err, KT_BAD_VALUE, "record",
                               "a line is {\"subject\":{…}} or {\"record\":{…}}");
    }
    return status;
}

/* *ret_taken: what failed is no fault of the line. */
static enum kt_status take_line(struct ndjson_import *in, const struct kt_json_value *root,
                                bool *ret_taken, struct kt_error *err)
{
    const struct kt_json_value *subject_value = NULL, *record_value = NULL;
    struct kt_change_subject subject;
    struct kt_change_record record;
    struct kt_json_fields fields;
    enum kt_status status = kt_json_fields_init(&fields, root, "", err);
    if (status == KT_OK) {
        status = read_object(&fields, &subject_value, &record_value, err);
    }
    if (status != KT_OK) {
        return status;
    }
    if (subject_value) {
        status = kt_item_subject(subject_value, "subject", in->arena, &subject, err);
        *ret_taken = status == KT_OK;
        return status == KT_OK ? import_add_subject(in->import, &subject, err) : status;
    }
    status = kt_item_record(record_value, "record", in->arena, &record, err);
    *ret_taken = status == KT_OK;
    return status == KT_OK ? import_add_record(in->import, &record, err) : status;
}

static enum kt_status read_line(struct ndjson_import *in, struct kt_str text, struct kt_error *err)
{
    struct kt_error fault = KT_ERROR_INIT;
    struct kt_json *json = NULL;
    bool taken = false;
    enum kt_status status = kt_json_parse(text, in->import->limits->json_depth, &json, &fault);
    if (status == KT_OK) {
        status = take_line(in, kt_json_root(json), &taken, &fault);
    }
    kt_json_free(&json);
    kt_arena_reset(in->arena);
    if (status == KT_OK) {
        return KT_OK;
    }
    if (taken || kt_status_http(status) >= 500) {
        return kt_fail_field(err, status, fault.field, "%s", fault.message);
    }
    return import_reject(in->import, in->lines.line, fault.message, err);
}

static enum kt_status read_lines(struct ndjson_import *in, struct kt_error *err)
{
    struct kt_str text = {NULL, 0};
    bool more = true;
    enum kt_status status = KT_OK;
    for (;;) {
        status = kt_ndjson_next(&in->lines, &text, &more, err);
        if (status != KT_OK || !more) {
            return status;
        }
        status = in->lines.bad ? import_reject(in->import, in->lines.line, in->lines.bad, err)
                               : read_line(in, text, err);
        if (status != KT_OK) {
            return status;
        }
    }
}

enum kt_status import_ndjson(struct import *import, kt_import_source_fn source, void *source_ctx,
                             struct kt_error *err)
{
    size_t max_bytes = (size_t)import->limits->line_max_bytes;
    struct ndjson_import in = {
        .import = import, .arena = kt_arena_new(SCRATCH_FIRST_BYTES, max_bytes * SCRATCH_PER_BYTE)};
    enum kt_status status = in.arena ? kt_ndjson_init(&in.lines, source, source_ctx, max_bytes, err)
                                     : kt_fail(err, KT_NO_MEMORY, "no memory for an import");
    if (status == KT_OK) {
        status = read_lines(&in, err);
    }
    kt_ndjson_done(&in.lines);
    kt_arena_free(&in.arena);
    return status;
}

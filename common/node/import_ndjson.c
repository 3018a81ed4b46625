/* SPDX-License-Identifier: MIT */
/* {"subject":{…}} or {"record":{…}} a line, judged by the rules of save. The first line that can be
 * read settles whether all of them have "recorded" beside, and so are kept to be put in order.
 */
#include "base/mem.h"
#include "node/import_impl.h"
#include "node/items.h"
#include "node/ndjson.h"

#include <string.h>

#define SCRATCH_FIRST_BYTES 16384 /* of one line */
#define SCRATCH_PER_BYTE 64       /* a value of three bytes takes some fifty in the arena */
#define WHOLE_MAX (INT64_C(1) << 53)

struct ndjson_import {
    struct import *import;
    struct kt_ndjson lines;
    struct kt_arena *arena;
    bool settled;
    struct import_restore *restore; /* NULL: what is read goes into batches at once */
};

/* --- a line --- */

static enum kt_status read_recorded(struct kt_json_fields *fields, struct import_line *line,
                                    struct kt_error *err)
{
    const struct kt_json_value *object = NULL;
    struct kt_json_fields members;
    int64_t revision = 0;
    bool has_revision = false, has_wall = false;
    enum kt_status status = kt_json_get_object(fields, "recorded", &object, &line->recorded, err);
    if (status != KT_OK || !line->recorded) {
        return status;
    }
    /* A subject may never have had a record; a record has a version. */
    int64_t least = line->is_record ? 1 : 0;
    status = kt_json_fields_init(&members, object, "recorded", err);
    if (status == KT_OK) {
        status =
            kt_json_get_int(&members, "revision", least, WHOLE_MAX, &revision, &has_revision, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_int(&members, "wall_ms", 0, WHOLE_MAX, &line->wall_ms, &has_wall, err);
    }
    if (status == KT_OK) {
        status = kt_json_fields_finish(&members, err);
    }
    if (status == KT_OK && (!has_revision || !has_wall)) {
        status =
            kt_fail_field(err, KT_BAD_VALUE, "recorded", "recorded must have revision and wall_ms");
    }
    line->revision = (uint64_t)revision;
    return status;
}

/* Exactly one of the two is there. */
static enum kt_status read_object(const struct kt_json_value *root,
                                  const struct kt_json_value **ret_subject,
                                  const struct kt_json_value **ret_record, struct import_line *line,
                                  struct kt_error *err)
{
    struct kt_json_fields fields;
    bool has_subject = false;
    enum kt_status status = kt_json_fields_init(&fields, root, "", err);
    if (status == KT_OK) {
        status = kt_json_get_object(&fields, "subject", ret_subject, &has_subject, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_object(&fields, "record", ret_record, &line->is_record, err);
    }
    if (status == KT_OK) {
        status = read_recorded(&fields, line, err);
    }
    if (status == KT_OK) {
        status = kt_json_fields_finish(&fields, err);
    }
    if (status == KT_OK && has_subject == line->is_record) {
        status = kt_fail_field(err, KT_BAD_VALUE, "record",
                               "a line is {\"subject\":{…}} or {\"record\":{…}}");
    }
    return status;
}

enum kt_status import_line_parse(struct kt_str text, int json_depth, struct kt_arena *arena,
                                 struct kt_json **ret_json, struct import_line *ret_line,
                                 struct kt_error *err)
{
    const struct kt_json_value *subject = NULL, *record = NULL;
    struct kt_json *json = NULL;
    memset(ret_line, 0, sizeof(*ret_line));
    enum kt_status status = kt_json_parse(text, json_depth, &json, err);
    if (status == KT_OK) {
        status = read_object(kt_json_root(json), &subject, &record, ret_line, err);
    }
    if (status == KT_OK) {
        status = ret_line->is_record
                     ? kt_item_record(record, "record", arena, &ret_line->record, err)
                     : kt_item_subject(subject, "subject", arena, &ret_line->subject, err);
    }
    if (status != KT_OK) {
        kt_json_free(&json);
        return status;
    }
    *ret_json = json;
    return KT_OK;
}

enum kt_status import_line_add(struct import *import, const struct import_line *line,
                               struct kt_error *err)
{
    return line->is_record ? import_add_record(import, &line->record, err)
                           : import_add_subject(import, &line->subject, err);
}

/* --- all lines --- */

static enum kt_status settle(struct ndjson_import *in, const struct import_line *line,
                             struct kt_error *err)
{
    if (in->settled) {
        return line->recorded == (in->restore != NULL)
                   ? KT_OK
                   : kt_fail_field(err, KT_BAD_VALUE, "recorded",
                                   "line %llu: recorded must stand on every line or on none",
                                   (unsigned long long)in->lines.line);
    }
    in->settled = true;
    return line->recorded ? import_restore_new(in->import, &in->restore, err) : KT_OK;
}

static enum kt_status take_line(struct ndjson_import *in, struct kt_str text,
                                const struct import_line *line, struct kt_error *err)
{
    enum kt_status status = settle(in, line, err);
    if (status != KT_OK) {
        return status;
    }
    return in->restore ? import_restore_add(in->restore, line, text, err)
                       : import_line_add(in->import, line, err);
}

static enum kt_status read_line(struct ndjson_import *in, struct kt_str text, struct kt_error *err)
{
    struct kt_error fault = KT_ERROR_INIT;
    struct kt_json *json = NULL;
    struct import_line line;
    enum kt_status status = import_hold_line(in->import, text, err);
    if (status != KT_OK) {
        return status;
    }
    status =
        import_line_parse(text, in->import->limits->json_depth, in->arena, &json, &line, &fault);
    if (status == KT_OK) {
        status = take_line(in, text, &line, err);
    } else if (kt_status_http(status) >= 500) {
        status = kt_fail_field(err, status, fault.field, "%s", fault.message);
    } else {
        status = import_reject(in->import, in->lines.line, fault.message, err);
    }
    kt_json_free(&json);
    kt_arena_reset(in->arena);
    import_give_line(in->import);
    return status;
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
    if (status == KT_OK && in.restore) {
        status = import_restore_run(in.restore, in.arena, err);
    }
    import_restore_free(&in.restore);
    kt_ndjson_done(&in.lines);
    kt_arena_free(&in.arena);
    return status;
}

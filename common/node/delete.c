/* SPDX-License-Identifier: MIT */
#include "node/delete.h"

#include "base/mem.h"
#include "node/save.h"
#include "query/query.h"
#include "json/read.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_FIRST_BYTES 4096
#define ARENA_MAX_BYTES ((size_t)64 << 20)

static int by_bytes(const void *a, const void *b)
{
    return kt_str_cmp(*(const struct kt_str *)a, *(const struct kt_str *)b);
}

static enum kt_status get_subjects(struct kt_delete *delete, struct kt_json_fields *fields,
                                   size_t max, struct kt_error *err)
{
    struct kt_str *subjects = NULL;
    bool present = false;
    enum kt_status status = kt_field_list(fields, "subjects", max, delete->arena, &subjects,
                                          &delete->erase.subject_count, &present, err);
    if (status != KT_OK) {
        return status;
    }
    if (delete->erase.subject_count == 0) {
        return kt_fail_field(err, KT_BAD_VALUE, "subjects",
                             "subjects must name what to delete: a list of keys");
    }
    for (size_t i = 0; i < delete->erase.subject_count; i++) {
        if (kt_str_eq_text(subjects[i], "*")) {
            return kt_fail_field(err, KT_BAD_VALUE, "subjects",
                                 "subjects must be keys; * is not taken by a delete");
        }
    }
    delete->erase.subjects = subjects;
    return KT_OK;
}

/* Ascending, each once: the form that a change has. */
static enum kt_status get_periods(struct kt_delete *delete, struct kt_json_fields *fields,
                                  struct kt_error *err)
{
    struct kt_str *periods = NULL;
    size_t count = 0, used = 0;
    enum kt_status status = kt_field_texts(fields, "periods", KT_DELETE_PERIODS_MAX, delete->arena,
                                           &periods, &count, NULL, err);
    if (status != KT_OK || count == 0) {
        return status;
    }
    qsort(periods, count, sizeof(*periods), by_bytes);
    for (size_t i = 0; i < count; i++) {
        if (used == 0 || !kt_str_eq(periods[used - 1], periods[i])) {
            periods[used++] = periods[i];
        }
    }
    delete->erase.periods = periods;
    delete->erase.period_count = used;
    return KT_OK;
}

static enum kt_status get_bounds(struct kt_change_delete *erase, struct kt_json_fields *fields,
                                 bool *ret_present, struct kt_error *err)
{
    bool from = false, to = false;
    erase->from_s = KT_TIME_MIN;
    erase->to_s = KT_TIME_MAX;
    enum kt_status status =
        kt_field_time(fields, "from", KT_TIME_LOWER, &erase->from_s, &from, err);
    if (status == KT_OK) {
        status = kt_field_time(fields, "to", KT_TIME_UPPER, &erase->to_s, &to, err);
    }
    if (status == KT_OK && erase->from_s > erase->to_s) {
        status = kt_fail_field(err, KT_BAD_VALUE, "from", "from must be at or before to");
    }
    *ret_present = from || to;
    return status;
}

static enum kt_status get_condition(struct kt_change_delete *erase, struct kt_json_fields *fields,
                                    struct kt_error *err)
{
    int64_t revision = 0;
    enum kt_status status = kt_json_get_int(fields, "if_revision", 0, KT_IF_REVISION_MAX, &revision,
                                            &erase->has_if_revision, err);
    erase->if_revision = (uint64_t)revision;
    return status;
}

static enum kt_status parse(struct kt_delete *delete, size_t max_subjects, struct kt_error *err)
{
    struct kt_change_delete *erase = &delete->erase;
    struct kt_json_fields fields;
    bool bounded = false;
    enum kt_status status = kt_json_fields_init(&fields, kt_json_root(delete->json), "", err);
    if (status == KT_OK) {
        status = get_subjects(delete, &fields, max_subjects, err);
    }
    if (status == KT_OK) {
        status = get_bounds(erase, &fields, &bounded, err);
    }
    if (status == KT_OK) {
        status = get_periods(delete, &fields, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_bool(&fields, "all", &erase->all, NULL, err);
    }
    if (status == KT_OK) {
        status = kt_json_get_bool(&fields, "dry_run", &delete->dry_run, NULL, err);
    }
    if (status == KT_OK) {
        status = get_condition(erase, &fields, err);
    }
    if (status == KT_OK) {
        status = kt_json_fields_finish(&fields, err);
    }
    bool some = bounded || erase->period_count > 0;
    if (status == KT_OK && some == erase->all) {
        status = kt_fail_field(err, KT_BAD_VALUE, "all",
                               some ? "all must not stand beside from, to or periods"
                                    : "all must be true, or from, to or periods given");
    }
    return status;
}

enum kt_status kt_delete_parse(struct kt_str body, int64_t max_subjects, int json_depth,
                               struct kt_delete *ret_delete, struct kt_error *err)
{
    memset(ret_delete, 0, sizeof(*ret_delete));
    ret_delete->arena = kt_arena_new(ARENA_FIRST_BYTES, ARENA_MAX_BYTES);
    if (!ret_delete->arena) {
        return kt_fail(err, KT_NO_MEMORY, "out of memory for a delete");
    }
    enum kt_status status = kt_json_parse(body, json_depth, &ret_delete->json, err);
    return status == KT_OK ? parse(ret_delete, (size_t)max_subjects, err) : status;
}

void kt_delete_done(struct kt_delete *delete)
{
    kt_json_free(&delete->json);
    kt_arena_free(&delete->arena);
}

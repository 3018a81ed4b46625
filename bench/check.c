/* SPDX-License-Identifier: MIT */
/* check.c - the envelope and the shapes of answers. */
#include "bench/check.h"

#include "json/read.h"

#include <string.h>

#define CURSOR_MAX 1024

const char *kt_wrong_key(enum kt_wrong wrong)
{
    static const char *const keys[] = {
#define KT_WRONG_KEY(name, key, text) key,
        KT_WRONG_TABLE(KT_WRONG_KEY)};
    return keys[wrong];
}

const char *kt_wrong_text(enum kt_wrong wrong)
{
    static const char *const texts[] = {
#define KT_WRONG_TEXT(name, key, text) text,
        KT_WRONG_TABLE(KT_WRONG_TEXT)};
    return texts[wrong];
}

static bool is_hole_byte(const struct kt_hole *hole, char c)
{
    if (c >= '0' && c <= '9') {
        return true;
    }
    return !hole->digits &&
           ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_');
}

bool kt_check_same(struct kt_str known, const struct kt_hole *hole, struct kt_str body)
{
    size_t tail = known.len - hole->end, fixed = hole->start + tail;
    if (body.len < fixed || body.len - fixed > CURSOR_MAX ||
        memcmp(known.data, body.data, hole->start) != 0 ||
        memcmp(known.data + hole->end, body.data + body.len - tail, tail) != 0) {
        return false;
    }
    size_t len = body.len - fixed;
    if (hole->start == hole->end) {
        return len == 0;
    }
    for (size_t i = 0; i < len; i++) {
        if (!is_hole_byte(hole, body.data[hole->start + i])) {
            return false;
        }
    }
    /* A number of at most 15 digits without a leading zero. */
    return len > 0 && (!hole->digits || (len <= 15 && body.data[hole->start] != '0'));
}

/* The last place where `name` stands as a member: what is ours comes last in the answer. */
static void find_hole(struct kt_str body, const char *name, bool digits, struct kt_hole *ret_hole)
{
    size_t len = strlen(name);
    struct kt_hole hole = {.digits = digits};
    for (size_t i = body.len; i-- > 0;) {
        if (body.data[i] == name[0] && body.len - i > len &&
            memcmp(body.data + i, name, len) == 0) {
            hole.start = hole.end = i + len;
            while (hole.end < body.len && is_hole_byte(&hole, body.data[hole.end])) {
                hole.end++;
            }
            break;
        }
    }
    *ret_hole = hole;
}

static enum kt_wrong shape(struct kt_error *err, const char *what)
{
    (void)kt_fail(err, KT_BAD_VALUE, "%s", what);
    return KT_WRONG_SHAPE;
}

/* Where a name stands in a list; -1 = nowhere. */
static ptrdiff_t place_of(const struct kt_str *list, size_t count, struct kt_str name)
{
    for (size_t i = 0; i < count; i++) {
        if (kt_str_eq(list[i], name)) {
            return (ptrdiff_t)i;
        }
    }
    return -1;
}

static const char *check_values(const struct kt_planned *planned, const struct kt_json_value *data)
{
    const struct kt_json_value *value = NULL;
    while ((value = kt_json_next(data, value))) {
        if (planned->id_count &&
            place_of(planned->ids, planned->id_count, kt_json_name(value)) < 0) {
            return "a row holds an indicator that was not asked for";
        }
        if (kt_json_type(value) != KT_JSON_NUMBER) {
            return "a value is no number";
        }
    }
    return NULL;
}

struct row_order {
    bool any, missing; /* a row before; it had no sort value */
    double value;
    struct kt_str subject;
};

/* Greatest first, without a value last, ties ascending by key. */
static bool in_order(struct row_order *order, const struct kt_json_value *value,
                     struct kt_str subject)
{
    bool missing = value == NULL, good = true;
    double number = missing ? 0 : kt_json_number(value);
    if (order->any) {
        bool tie = missing == order->missing && (missing || number == order->value);
        good = tie       ? kt_str_cmp(order->subject, subject) < 0
               : missing ? true
                         : !order->missing && number < order->value;
    }
    *order = (struct row_order){true, missing, number, subject};
    return good;
}

/* One subject named twice among rows, by the places in the list of the request. */
static bool seen_before(uint64_t *seen, ptrdiff_t place)
{
    uint64_t bit = UINT64_C(1) << (place & 63);
    bool before = seen[(place >> 6) & 15] & bit;
    seen[(place >> 6) & 15] |= bit;
    return before;
}

static const char *check_row(const struct kt_planned *planned, const struct kt_json_value *row,
                             struct row_order *order, uint64_t *seen)
{
    const struct kt_json_value *subject = kt_json_member_as(row, "subject", KT_JSON_OBJECT);
    const struct kt_json_value *key = kt_json_member_as(subject, "subject", KT_JSON_STRING);
    const struct kt_json_value *data = kt_json_member_as(row, "data", KT_JSON_OBJECT);
    const struct kt_json_value *date = kt_json_member_as(row, "report_date", KT_JSON_NUMBER);
    if (!key || !data || !date || !kt_json_member_as(subject, "name", KT_JSON_STRING) ||
        !kt_json_member_as(row, "end_date", KT_JSON_STRING) ||
        !kt_json_member_as(row, "period", KT_JSON_STRING) ||
        !kt_json_member_as(row, "declare_date", KT_JSON_STRING)) {
        return "a row lacks subject, data, report_date, end_date, period or declare_date";
    }
    if (planned->subject_count) {
        ptrdiff_t place = place_of(planned->subjects, planned->subject_count, kt_json_string(key));
        if (place < 0) {
            return "a row is about a subject that was not asked for";
        }
        if (seen_before(seen, place)) {
            return "two rows are about one subject";
        }
    }
    if (planned->at != KT_NO_TIME && kt_json_number(date) > (double)planned->at) {
        return "a record is later than the date that was asked for";
    }
    if (planned->sorted &&
        !in_order(order, kt_json_member_as(data, planned->ids[0].data, KT_JSON_NUMBER),
                  kt_json_string(key))) {
        return "the rows are not in the order that was asked for";
    }
    return check_values(planned, data);
}

static enum kt_wrong check_snapshot(const struct kt_planned *planned,
                                    const struct kt_json_value *root, struct kt_error *err)
{
    const struct kt_json_value *data = kt_json_member_as(root, "data", KT_JSON_ARRAY), *row = NULL;
    const struct kt_json_value *total = kt_json_member_as(root, "total", KT_JSON_NUMBER);
    struct row_order order = {.any = false};
    uint64_t seen[16] = {0}, rows, count, left;
    if (!data || !total || kt_json_number(total) < 0) {
        return shape(err, "no data array, or no total");
    }
    rows = kt_json_count(data);
    count = (uint64_t)kt_json_number(total);
    left = count > planned->offset ? count - planned->offset : 0;
    if (rows != (left < planned->limit ? left : planned->limit)) {
        (void)kt_fail(err, KT_BAD_VALUE, "%llu rows where total %llu, offset %llu, limit %llu",
                      (unsigned long long)rows, (unsigned long long)count,
                      (unsigned long long)planned->offset, (unsigned long long)planned->limit);
        return KT_WRONG_SHAPE;
    }
    if (count < planned->total_min || (planned->subject_count && count > planned->subject_count)) {
        (void)kt_fail(err, KT_BAD_VALUE, "total %llu where %llu subjects have a record",
                      (unsigned long long)count, (unsigned long long)planned->total_min);
        return KT_WRONG_SHAPE;
    }
    while ((row = kt_json_next(data, row))) {
        const char *why = check_row(planned, row, &order, seen);
        if (why) {
            return shape(err, why);
        }
    }
    return KT_WRONG_NONE;
}

static const char *check_record(const struct kt_planned *planned, struct kt_str key,
                                const struct kt_json_value *record)
{
    static const char *const texts[] = {"end_date", "period", "declare_date", "year", "combine"};
    const struct kt_json_value *value = NULL;
    size_t found = 0;
    while ((value = kt_json_next(record, value))) {
        struct kt_str name = kt_json_name(value);
        bool text = false;
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
            text = text || kt_str_eq_text(name, texts[i]);
        }
        if (text) {
            found += kt_json_type(value) == KT_JSON_STRING;
            continue;
        }
        if (planned->id_count && place_of(planned->ids, planned->id_count, name) < 0) {
            return "a record holds an indicator that was not asked for";
        }
        if (kt_json_type(value) != KT_JSON_NUMBER) {
            return "a value is no number";
        }
    }
    if (found != sizeof(texts) / sizeof(texts[0])) {
        return "a record lacks end_date, period, declare_date, year or combine";
    }
    struct kt_str combine = kt_json_string(kt_json_member(record, "combine"));
    return kt_str_starts(combine, key) ? NULL : "a record's combine names another subject";
}

static enum kt_wrong check_period(const struct kt_planned *planned,
                                  const struct kt_json_value *root, struct kt_error *err)
{
    const struct kt_json_value *data = kt_json_member_as(root, "data", KT_JSON_ARRAY), *row = NULL;
    size_t next = 0, known = 0;
    if (!data) {
        return shape(err, "no data array");
    }
    while ((row = kt_json_next(data, row))) {
        const struct kt_json_value *subject = kt_json_member_as(row, "subject", KT_JSON_OBJECT);
        const struct kt_json_value *key = kt_json_member_as(subject, "subject", KT_JSON_STRING);
        const struct kt_json_value *records = kt_json_member_as(row, "data", KT_JSON_ARRAY),
                                   *record = NULL;
        if (!key || !records) {
            return shape(err, "a row lacks its subject or its data");
        }
        ptrdiff_t place = place_of(planned->subjects, planned->subject_count, kt_json_string(key));
        if (place < (ptrdiff_t)next) {
            return shape(err, "a subject that was not asked for, or not in the order asked for");
        }
        next = (size_t)place + 1;
        known++;
        while ((record = kt_json_next(records, record))) {
            const char *why = kt_json_type(record) == KT_JSON_OBJECT
                                  ? check_record(planned, kt_json_string(key), record)
                                  : "a record is no object";
            if (why) {
                return shape(err, why);
            }
        }
    }
    return known >= planned->total_min ? KT_WRONG_NONE : shape(err, "a known subject is missing");
}

static enum kt_wrong check_save(const struct kt_json_value *root, struct kt_error *err)
{
    const struct kt_json_value *data = kt_json_member_as(root, "data", KT_JSON_OBJECT);
    const struct kt_json_value *revision = kt_json_member_as(data, "revision", KT_JSON_NUMBER);
    const struct kt_json_value *records = kt_json_member_as(data, "records", KT_JSON_NUMBER);
    if (!revision || kt_json_number(revision) < 1 || !records || kt_json_number(records) != 1) {
        return shape(err, "no revision, or not one record");
    }
    return KT_WRONG_NONE;
}

static enum kt_wrong check_json(const struct kt_planned *planned, const struct kt_json_value *root,
                                struct kt_error *err)
{
    const struct kt_json_value *code = kt_json_member_as(root, "status_code", KT_JSON_NUMBER);
    bool raw = planned->kind == KT_EXPECT_RAW;
    /* What a file asks for need not be an answer of this kind. */
    if (!code && !raw) {
        return shape(err, "no status_code");
    }
    if (code && !(raw && planned->status >= 300) && kt_json_number(code) != 0) {
        (void)kt_fail(err, KT_BAD_VALUE, "status_code is %.17g", kt_json_number(code));
        return KT_WRONG_ENVELOPE;
    }
    switch (planned->kind) {
    case KT_EXPECT_SNAPSHOT:
        return check_snapshot(planned, root, err);
    case KT_EXPECT_PERIOD:
        return check_period(planned, root, err);
    case KT_EXPECT_SAVE:
        return check_save(root, err);
    case KT_EXPECT_RAW:
        break;
    }
    return KT_WRONG_NONE;
}

/* What the server says of itself, for the example. */
static enum kt_wrong wrong_status(const struct kt_reply *reply, struct kt_error *err)
{
    (void)kt_fail(err, KT_BAD_VALUE, "status %d", reply->status);
    return reply->status >= 500   ? KT_WRONG_STATUS_5XX
           : reply->status >= 400 ? KT_WRONG_STATUS_4XX
                                  : KT_WRONG_STATUS;
}

enum kt_wrong kt_check(const struct kt_planned *planned, const struct kt_reply *reply,
                       struct kt_str body, struct kt_hole *ret_hole, struct kt_error *err)
{
    struct kt_json *json = NULL;
    bool right = planned->status ? reply->status == planned->status
                                 : reply->status / 100 == 2 || reply->status == 304;
    *ret_hole = (struct kt_hole){.start = body.len, .end = body.len};
    if (!right) {
        return wrong_status(reply, err);
    }
    bool raw = planned->kind == KT_EXPECT_RAW;
    if (raw && (!reply->is_json || body.len == 0)) {
        return KT_WRONG_NONE;
    }
    if (!reply->is_json) {
        (void)kt_fail(err, KT_BAD_VALUE, "the Content-Type is not application/json");
        return KT_WRONG_JSON;
    }
    if (kt_json_parse(body, KT_JSON_DEPTH_DEFAULT, &json, err) != KT_OK) {
        return KT_WRONG_JSON;
    }
    enum kt_wrong wrong = check_json(planned, kt_json_root(json), err);
    kt_json_free(&json);
    if (wrong == KT_WRONG_NONE && planned->kind == KT_EXPECT_SAVE) {
        find_hole(body, "\"revision\":", true, ret_hole);
    } else if (wrong == KT_WRONG_NONE && !raw) {
        find_hole(body, "\"next_cursor\":\"", false, ret_hole);
    }
    return wrong;
}

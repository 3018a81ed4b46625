/* SPDX-License-Identifier: MIT */
/* Bytes of a generic change. Nothing is allocated for decoding: the points are judged in one pass
 * and read again, where they lie, when they are applied.
 */
#include "store/change_format.h"

#include <math.h>

enum { OP_SAVE = 1, OP_DELETE = 2 };
enum { CREATE_GIVEN = 1, UPDATE_GIVEN = 2, FLAGS_MAX = 3 };

static const char *const table_names[] = {"stock_data", "financial_data", "indicator_data"};

const char *kt_generic_table_name(int table)
{
    return table >= 1 && table <= KT_GENERIC_TABLES ? table_names[table - 1] : "";
}

bool kt_generic_table_parse(struct kt_str text, int *ret_table)
{
    for (int table = 1; table <= KT_GENERIC_TABLES; table++) {
        bool is_digit = text.len == 1 && text.data[0] == '0' + table;
        if (is_digit || kt_str_eq_text(text, kt_generic_table_name(table))) {
            *ret_table = table;
            return true;
        }
    }
    return false;
}

bool kt_generic_id_ok(struct kt_str id)
{
    return kt_utf8_is_name(id, 1, KT_GENERIC_ID_MAX) && kt_str_find(id, KT_STR("/")) < 0 &&
           !kt_str_eq_text(id, ".") && !kt_str_eq_text(id, "..");
}

void kt_generic_encode(const struct kt_generic_change *change,
                       const struct kt_generic_point *points, struct kt_buf *ret_bytes)
{
    kt_buf_append_byte(ret_bytes, CHANGE_FORMAT);
    kt_buf_append_byte(ret_bytes, KT_CHANGE_GENERIC);
    kt_buf_append_byte(ret_bytes, change->is_delete ? OP_DELETE : OP_SAVE);
    kt_buf_append_byte(ret_bytes, (char)change->table);
    kt_buf_put_bytes(ret_bytes, change->id);
    if (change->is_delete) {
        return;
    }
    kt_buf_append_byte(ret_bytes, (char)((change->create_given ? CREATE_GIVEN : 0) |
                                         (change->update_given ? UPDATE_GIVEN : 0)));
    if (change->create_given) {
        kt_buf_put_svarint(ret_bytes, change->create_s);
    }
    if (change->update_given) {
        kt_buf_put_svarint(ret_bytes, change->update_s);
    }
    kt_buf_put_varint(ret_bytes, change->point_count);
    for (size_t i = 0; i < change->point_count; i++) {
        kt_buf_put_svarint(ret_bytes, points[i].time_s);
        kt_buf_put_varint(ret_bytes, points[i].count);
        for (size_t j = 0; j < points[i].count; j++) {
            kt_buf_put_f64(ret_bytes, points[i].numbers[j]);
        }
    }
}

void kt_generic_points_next(struct kt_rd *rd, double numbers[KT_GENERIC_NUMBERS_MAX],
                            struct kt_generic_point *ret_point)
{
    ret_point->time_s = kt_rd_svarint(rd);
    uint64_t count = kt_rd_varint(rd);
    if (count > KT_GENERIC_NUMBERS_MAX) {
        rd->bad = true;
        count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        numbers[i] = kt_rd_f64(rd);
    }
    ret_point->numbers = numbers;
    ret_point->count = (size_t)count;
}

/* False when a time or a number is none, or the times do not ascend. */
static bool check_points(struct kt_rd *rd, size_t count)
{
    double numbers[KT_GENERIC_NUMBERS_MAX];
    int64_t last_s = INT64_MIN;
    for (size_t i = 0; i < count && !rd->bad; i++) {
        struct kt_generic_point point;
        kt_generic_points_next(rd, numbers, &point);
        if (!change_time_ok(point.time_s) || point.time_s <= last_s) {
            return false;
        }
        last_s = point.time_s;
        for (size_t j = 0; j < point.count; j++) {
            if (!isfinite(numbers[j])) {
                return false;
            }
        }
    }
    return true;
}

static int64_t get_time(struct kt_rd *rd, bool *bad)
{
    int64_t time_s = kt_rd_svarint(rd);
    *bad |= !change_time_ok(time_s);
    return time_s;
}

bool change_decode_generic(struct kt_rd *rd, struct kt_generic_change *ret_change)
{
    struct kt_generic_change change = {.is_delete = false};
    unsigned op = kt_rd_u8(rd);
    change.table = kt_rd_u8(rd);
    change.id = kt_rd_bytes(rd);
    bool bad = (op != OP_SAVE && op != OP_DELETE) || change.table < 1 ||
               change.table > KT_GENERIC_TABLES || !kt_generic_id_ok(change.id);
    change.is_delete = op == OP_DELETE;
    if (!bad && !change.is_delete) {
        unsigned flags = kt_rd_u8(rd);
        bad = flags > FLAGS_MAX;
        change.create_given = (flags & CREATE_GIVEN) != 0;
        change.update_given = (flags & UPDATE_GIVEN) != 0;
        change.create_s = change.create_given ? get_time(rd, &bad) : 0;
        change.update_s = change.update_given ? get_time(rd, &bad) : 0;
        uint64_t count = kt_rd_varint(rd);
        bad |= count > KT_GENERIC_POINTS_MAX || count > kt_rd_left(rd);
        change.point_count = bad ? 0 : (size_t)count;
        const char *start = (const char *)rd->pos;
        bad |= !check_points(rd, change.point_count);
        change.points = kt_str_n(start, (size_t)((const char *)rd->pos - start));
    }
    if (!bad && !rd->bad) {
        *ret_change = change;
    }
    return !bad && !rd->bad;
}

/* SPDX-License-Identifier: MIT */
/* The first program's rows as subjects and records. Its key of a subject is subject_key, else
 * market_code:stock_code; its report_date is the time that a record is about. SQLite can read it
 * from a file only.
 */
#include "base/mem.h"
#include "node/import_impl.h"
#include "query/query.h"
#include "store/finance.h"
#include "store/spool.h"

#include <stdio.h>
#include <string.h>

#define PIECE_BYTES 65536
#define NAME_MAX_BYTES 128
#define INDICATORS 2

struct finance_import {
    struct import *import;
    const struct kt_finance_row *row;
    char key[2 * NAME_MAX_BYTES + 2];
    char *reason; /* 160 bytes */
};

static enum kt_status spool_body(kt_import_source_fn source, void *source_ctx,
                                 struct kt_spool *spool, struct kt_error *err)
{
    char *piece = kt_malloc(PIECE_BYTES);
    size_t len = 1;
    enum kt_status status = piece ? KT_OK : kt_fail(err, KT_NO_MEMORY, "no memory for an import");
    while (status == KT_OK && len > 0) {
        status = source(source_ctx, piece, PIECE_BYTES, &len, err);
        if (status == KT_OK && len > 0) {
            status = kt_spool_write(spool, piece, len, err);
        }
    }
    kt_free(piece);
    return status;
}

/* --- a row --- */

static bool reject(struct finance_import *in, int column, const char *why)
{
    snprintf(in->reason, 160, "%s %s", kt_finance_column_names[column], why);
    return false;
}

static struct kt_str trimmed(const struct finance_import *in, int column)
{
    return kt_str_trim(in->row->cells[column]);
}

static bool read_text(struct finance_import *in, int column, struct kt_opt_text *ret_text)
{
    struct kt_str text = trimmed(in, column);
    if (!kt_utf8_is_name(text, 0, NAME_MAX_BYTES)) {
        return reject(in, column, "must be UTF-8 of at most 128 bytes without control characters");
    }
    ret_text->named = text.len > 0 ? KT_NAMED : KT_NOT_NAMED;
    ret_text->text = text;
    return true;
}

static bool read_key(struct finance_import *in, struct kt_str *ret_key)
{
    struct kt_str key = trimmed(in, KT_FINANCE_SUBJECT_KEY);
    if (key.len == 0) {
        struct kt_str market = trimmed(in, KT_FINANCE_MARKET_CODE);
        struct kt_str stock = trimmed(in, KT_FINANCE_STOCK_CODE);
        if (market.len == 0 || stock.len == 0 || market.len + stock.len >= NAME_MAX_BYTES) {
            return reject(in, KT_FINANCE_SUBJECT_KEY,
                          "is empty, and market_code:stock_code is no key of at most 128 bytes");
        }
        int len = snprintf(in->key, sizeof(in->key), KT_STR_FMT ":" KT_STR_FMT, KT_STR_ARG(market),
                           KT_STR_ARG(stock));
        key = kt_str_n(in->key, (size_t)len);
    }
    if (!kt_utf8_is_name(key, 1, NAME_MAX_BYTES)) {
        return reject(in, KT_FINANCE_SUBJECT_KEY,
                      "must be UTF-8 of 1 to 128 bytes without control characters");
    }
    *ret_key = key;
    return true;
}

static bool read_time(struct finance_import *in, int64_t *ret_time_s)
{
    int column = KT_FINANCE_REPORT_DATE;
    if (trimmed(in, column).len == 0) {
        column = KT_FINANCE_END_DATE;
    }
    return kt_time_parse_text(trimmed(in, column), KT_TIME_STORED, "time", ret_time_s, NULL,
                              NULL) == KT_OK ||
           reject(in, column, "must be YYYY-MM-DD or whole seconds since 1970");
}

static bool read_values(struct finance_import *in, struct import_row *row)
{
    static const int columns[INDICATORS] = {KT_FINANCE_OPERATING_INCOME,
                                            KT_FINANCE_PARENT_HOLDER_NET_PROFIT};
    for (size_t i = 0; i < INDICATORS; i++) {
        struct kt_str text = trimmed(in, columns[i]);
        struct kt_change_value *value = &row->values[row->record.value_count];
        if (text.len == 0) {
            continue;
        }
        if (!kt_parse_f64(text, &value->number)) {
            return reject(in, columns[i], "is not a finite number");
        }
        value->indicator = kt_str(kt_finance_column_names[columns[i]]);
        value->is_null = false;
        row->record.value_count++;
    }
    row->record.values = row->values;
    return true;
}

static bool read_subject(struct finance_import *in, struct import_row *row)
{
    struct kt_change_subject *subject = &row->subject;
    struct kt_opt_text topic;
    if (!read_key(in, &subject->key) || !read_text(in, KT_FINANCE_STOCK_NAME, &subject->name) ||
        !read_text(in, KT_FINANCE_CATEGORY, &subject->category) ||
        !read_text(in, KT_FINANCE_TOPIC, &topic)) {
        return false;
    }
    if (topic.named == KT_NAMED && kt_str_eq_text(topic.text, "*")) {
        return reject(in, KT_FINANCE_TOPIC, "can't be *");
    }
    if (topic.named == KT_NAMED) {
        row->stay = (struct kt_change_stay){topic.text, KT_TIME_MIN, KT_TIME_MAX};
        subject->topics_mode = KT_TOPICS_ADD_IF_NONE;
        subject->stays = &row->stay;
        subject->stay_count = 1;
    }
    return true;
}

static bool read_row(struct finance_import *in)
{
    struct import_row *row = &in->import->row;
    struct kt_change_record *record = &row->record;
    struct kt_opt_text period;
    memset(&row->subject, 0, sizeof(row->subject));
    memset(record, 0, sizeof(*record));
    if (!read_subject(in, row) || !read_time(in, &record->time_s) ||
        !read_text(in, KT_FINANCE_PERIOD, &period) ||
        !read_text(in, KT_FINANCE_END_DATE, &record->end_date) ||
        !read_text(in, KT_FINANCE_YEAR, &record->year) || !read_values(in, row)) {
        return false;
    }
    record->subject = row->subject.key;
    record->period = period.text;
    return true;
}

/* --- the whole --- */

static enum kt_status read_rows(struct import *import, struct kt_finance *finance,
                                struct kt_error *err)
{
    char reason[160];
    struct kt_finance_row row;
    struct finance_import in = {.import = import, .row = &row, .reason = reason};
    import->row.values = kt_calloc(INDICATORS, sizeof(*import->row.values));
    enum kt_status status =
        import->row.values ? KT_OK : kt_fail(err, KT_NO_MEMORY, "no memory for an import");
    while (status == KT_OK) {
        status = kt_finance_next(finance, &row, err);
        if (status == KT_OK) {
            status = read_row(&in) ? import_add_row(import, err)
                                   : import_reject(import, row.number, reason, err);
        }
    }
    return status == KT_NOT_FOUND ? KT_OK : status;
}

enum kt_status import_finance(struct import *import, kt_import_source_fn source, void *source_ctx,
                              struct kt_error *err)
{
    const struct kt_import_limits *limits = import->limits;
    struct kt_spool *spool = NULL;
    struct kt_finance *finance = NULL;
    const char *path = NULL;
    enum kt_status status =
        kt_spool_new(limits->spool_beside, (uint64_t)limits->spool_bytes, &spool, err);
    if (status == KT_OK) {
        status = spool_body(source, source_ctx, spool, err);
    }
    if (status == KT_OK) {
        status = kt_spool_finish(spool, &path, err);
    }
    if (status == KT_OK) {
        status = kt_finance_open(path, limits->step_ms, &finance, err);
    }
    if (status == KT_OK) {
        status = read_rows(import, finance, err);
    }
    kt_finance_close(&finance);
    kt_spool_free(&spool);
    return status;
}

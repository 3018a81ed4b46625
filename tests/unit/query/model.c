/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef const struct model_version *version_ptr;

static bool same_record(version_ptr a, version_ptr b)
{
    return a->subject == b->subject && a->time_s == b->time_s && strcmp(a->period, b->period) == 0;
}

void model_add(struct model *model, struct model_version version)
{
    if (model->version_count == MODEL_VERSIONS) {
        abort();
    }
    if (!version.declare_given) {
        bool any = false;
        for (size_t i = 0; i < model->version_count; i++) {
            version_ptr v = &model->versions[i];
            if (same_record(v, &version) && (!any || v->declare_s > version.declare_s)) {
                version.declare_s = v->declare_s;
                any = true;
            }
        }
        if (!any) {
            version.declare_s = version.time_s;
        }
    }
    model->subject_known[version.subject] = true;
    for (int i = 0; i < MODEL_INDICATORS; i++) {
        if (version.values[i].said != MODEL_SILENT) {
            model->indicator_known[i] = true;
        }
    }
    model->versions[model->version_count++] = version;
}

static bool seen(version_ptr v, const struct model_question *q)
{
    return v->declare_s <= q->as_of_s && v->revision <= q->revision;
}

/* Does a outrank b? */
static bool later(version_ptr a, version_ptr b)
{
    if (a->declare_s != b->declare_s) {
        return a->declare_s > b->declare_s;
    }
    if (a->revision != b->revision) {
        return a->revision > b->revision;
    }
    return a->line > b->line;
}

static bool too_old(version_ptr v, const struct model_question *q)
{
    return q->max_age_s >= 0 && q->moment_s - v->time_s > q->max_age_s;
}

static bool wanted_period(const struct model_question *q, const char *period)
{
    for (int i = 0; i < q->period_count; i++) {
        if (strcmp(q->periods[i], period) == 0) {
            return true;
        }
    }
    return q->period_count == 0;
}

static int by_time_then_period(const void *a, const void *b)
{
    version_ptr left = *(const version_ptr *)a, right = *(const version_ptr *)b;
    if (left->time_s != right->time_s) {
        return left->time_s < right->time_s ? -1 : 1;
    }
    return strcmp(left->period, right->period);
}

/* One version of each record that the question sees, ascending. */
static size_t records_of(const struct model *m, const struct model_question *q, int subject,
                         version_ptr *records)
{
    size_t count = 0;
    for (size_t i = 0; i < m->version_count; i++) {
        version_ptr v = &m->versions[i];
        bool wanted = v->subject == subject && seen(v, q) && v->time_s >= q->from_s &&
                      v->time_s <= q->until_s && wanted_period(q, v->period) && !too_old(v, q);
        for (size_t j = 0; wanted && j < count; j++) {
            wanted = !same_record(v, records[j]);
        }
        if (wanted) {
            records[count++] = v;
        }
    }
    qsort(records, count, sizeof(version_ptr), by_time_then_period);
    return count;
}

static bool value_of(const struct model *m, const struct model_question *q, version_ptr record,
                     int indicator, double *ret_value)
{
    version_ptr best = NULL;
    for (size_t i = 0; i < m->version_count; i++) {
        version_ptr v = &m->versions[i];
        if (same_record(v, record) && seen(v, q) && v->values[indicator].said != MODEL_SILENT &&
            (!best || later(v, best))) {
            best = v;
        }
    }
    if (!best || best->values[indicator].said == MODEL_CLEARED) {
        return false;
    }
    *ret_value = best->values[indicator].number;
    return true;
}

/* Under fill: of the newest record that has one. */
static bool shown_value(const struct model *m, const struct model_question *q, version_ptr record,
                        int indicator, double *ret_value)
{
    static version_ptr records[MODEL_VERSIONS];
    if (!q->fill) {
        return value_of(m, q, record, indicator, ret_value);
    }
    for (size_t i = records_of(m, q, record->subject, records); i > 0; i--) {
        if (value_of(m, q, records[i - 1], indicator, ret_value)) {
            return true;
        }
    }
    return false;
}

static const char *text_of(const struct model *m, const struct model_question *q,
                           version_ptr record, bool year)
{
    version_ptr best = NULL;
    for (size_t i = 0; i < m->version_count; i++) {
        version_ptr v = &m->versions[i];
        enum model_said said = year ? v->year.said : v->end_date.said;
        if (same_record(v, record) && seen(v, q) && said != MODEL_SILENT &&
            (!best || later(v, best))) {
            best = v;
        }
    }
    const struct model_text *text = best ? (year ? &best->year : &best->end_date) : NULL;
    return text && text->said == MODEL_SAID ? text->text : NULL;
}

static bool declared(const struct model *m, const struct model_question *q, version_ptr record,
                     int64_t *ret_time_s)
{
    bool given = false;
    for (size_t i = 0; i < m->version_count; i++) {
        version_ptr v = &m->versions[i];
        if (same_record(v, record) && seen(v, q) && v->declare_given &&
            (!given || v->declare_s > *ret_time_s)) {
            *ret_time_s = v->declare_s;
            given = true;
        }
    }
    return given;
}

static const char *name_of(const struct model *m, int subject)
{
    return m->names[subject] ? m->names[subject] : m->keys[subject];
}

static bool in_topic(const struct model *m, const struct model_question *q, int subject)
{
    for (size_t i = 0; i < m->stay_count; i++) {
        const struct model_stay *s = &m->stays[i];
        if (s->subject == subject && strcmp(s->topic, q->topic) == 0 &&
            s->from_s <= q->member_to_s && s->to_s >= q->member_from_s) {
            return true;
        }
    }
    return false;
}

static bool has_tag(const struct model *m, const struct model_question *q, int subject)
{
    bool has = !q->tag && !q->keyword;
    for (size_t i = 0; i < m->tag_count; i++) {
        const struct model_tag *t = &m->tags[i];
        has |= t->subject == subject && (!q->tag || strcmp(t->name, q->tag) == 0) &&
               (!q->keyword || strstr(t->value, q->keyword));
    }
    return has;
}

/* The subjects asked for, in order. */
static int subjects_of(const struct model *m, const struct model_question *q, int *subjects)
{
    int count = 0;
    for (int i = 0; q->subject_count && i < q->subject_count; i++) {
        int subject = q->subjects[i];
        bool fresh = subject < MODEL_SUBJECTS && m->subject_known[subject];
        for (int j = 0; fresh && j < count; j++) {
            fresh = subjects[j] != subject;
        }
        if (fresh) {
            subjects[count++] = subject;
        }
    }
    for (int i = 0; !q->subject_count && i < MODEL_SUBJECTS; i++) {
        if (m->subject_known[i] && has_tag(m, q, i) &&
            (!q->topic || strcmp(q->topic, "*") == 0 || in_topic(m, q, i))) {
            subjects[count++] = i;
        }
    }
    return count;
}

/* The indicators to show, in order: those asked for, or all by bytes. */
static int columns_of(const struct model *m, const struct model_question *q, int *columns)
{
    int count = 0;
    for (int i = 0; i < (q->id_count ? q->id_count : MODEL_INDICATORS); i++) {
        int indicator = q->id_count ? q->ids[i] : i; /* the table ascends by bytes */
        bool fresh = indicator < MODEL_INDICATORS && m->indicator_known[indicator];
        for (int j = 0; fresh && j < count; j++) {
            fresh = columns[j] != indicator;
        }
        if (fresh) {
            columns[count++] = indicator;
        }
    }
    return count;
}

static void put_subject(const struct model *m, int subject, struct kt_buf *text)
{
    kt_buf_printf(text,
                  "{\"subject\":{\"subject\":\"%s\",\"name\":\"%s\",\"status\":\"\","
                  "\"listing_date\":\"\",\"category\":\"\"},\"data\":",
                  m->keys[subject], name_of(m, subject));
}

static void put_date(int64_t time_s, struct kt_buf *text)
{
    int year, month, day;
    int64_t days = time_s / KT_DAY_S - (time_s % KT_DAY_S < 0);
    kt_civil_from_days(days, &year, &month, &day);
    kt_buf_printf(text, "%04d-%02d-%02d", year, month, day);
}

static void put_dates(const struct model *m, const struct model_question *q, version_ptr record,
                      struct kt_buf *text)
{
    int64_t declare_s = 0;
    const char *end_date = text_of(m, q, record, false);
    kt_buf_append_text(text, "\"end_date\":\"");
    if (end_date) {
        kt_buf_append_text(text, end_date);
    } else {
        put_date(record->time_s, text);
    }
    kt_buf_printf(text, "\",\"period\":\"%s\",\"declare_date\":\"", record->period);
    if (declared(m, q, record, &declare_s)) {
        put_date(declare_s, text);
    }
    kt_buf_append_text(text, "\"");
}

/* What agg makes of the records' values, in their order. */
static bool value_of_all(const struct model *m, const struct model_question *q,
                         const version_ptr *records, size_t count, int indicator, double *ret_value)
{
    double values[MODEL_VERSIONS], result;
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        n += value_of(m, q, records[i], indicator, &values[n]);
    }
    if (n == 0) {
        return false;
    }
    result = values[strcmp(q->agg, "last") == 0 ? n - 1 : 0];
    for (size_t i = 1; i < n; i++) {
        if (strcmp(q->agg, "min") == 0) {
            result = values[i] < result ? values[i] : result;
        } else if (strcmp(q->agg, "max") == 0) {
            result = values[i] > result ? values[i] : result;
        } else if (strcmp(q->agg, "sum") == 0 || strcmp(q->agg, "avg") == 0) {
            result += values[i];
        }
    }
    if (strcmp(q->agg, "avg") == 0) {
        result /= (double)n;
    }
    *ret_value = strcmp(q->agg, "count") == 0 ? (double)n : result;
    return true;
}

/* `"key":value` joined by commas; true when there was one. */
static bool put_values(const struct model *m, const struct model_question *q,
                       const version_ptr *records, size_t record_count, struct kt_buf *text)
{
    int columns[MODEL_INDICATORS], count = columns_of(m, q, columns);
    bool any = false;
    for (int i = 0; i < count; i++) {
        double value;
        if (q->interval ? value_of_all(m, q, records, record_count, columns[i], &value)
                        : shown_value(m, q, records[0], columns[i], &value)) {
            char number[KT_F64_TEXT_MAX];
            kt_format_f64(value, number);
            kt_buf_printf(text, "%s\"%s\":%s", any ? "," : "", m->indicators[columns[i]], number);
            any = true;
        }
    }
    return any;
}

struct row {
    const struct model *m;
    const struct model_question *q;
    version_ptr record;
    double number;
    const char *text;
    int subject;
    bool has_value;
};

static int by_sort_value(const void *a, const void *b)
{
    const struct row *left = a, *right = b;
    if (left->has_value != right->has_value) {
        return left->has_value ? -1 : 1;
    }
    int order = 0;
    if (left->has_value && left->text) {
        order = strcmp(left->text, right->text);
    } else if (left->has_value && left->number != right->number) {
        order = left->number < right->number ? -1 : 1;
    }
    if (order) {
        return left->q->ascending == (order < 0) ? -1 : 1;
    }
    return left->subject - right->subject; /* the table ascends by bytes */
}

/* Fills the row's sort value; false when there is no such field. */
static bool sort_value(struct row *row, const char *field)
{
    row->has_value = true;
    row->text = NULL;
    if (strcmp(field, "subject") == 0) {
        row->text = row->m->keys[row->subject];
        return true;
    }
    if (strcmp(field, "name") == 0) {
        row->text = name_of(row->m, row->subject);
        return true;
    }
    if (strcmp(field, "report_date") == 0) {
        row->number = (double)row->record->time_s;
        return true;
    }
    for (int i = 0; i < MODEL_INDICATORS; i++) {
        if (strcmp(field, row->m->indicators[i]) == 0 && row->m->indicator_known[i]) {
            row->has_value = shown_value(row->m, row->q, row->record, i, &row->number);
            return true;
        }
    }
    return false;
}

static bool known_field(const struct model *m, const char *field)
{
    for (int i = 0; i < MODEL_INDICATORS; i++) {
        if (strcmp(field, m->indicators[i]) == 0) {
            return m->indicator_known[i];
        }
    }
    return strcmp(field, "subject") == 0 || strcmp(field, "name") == 0 ||
           strcmp(field, "report_date") == 0;
}

static bool answer_snapshot(const struct model *m, const struct model_question *q,
                            struct kt_buf *text)
{
    static version_ptr records[MODEL_VERSIONS];
    struct row rows[MODEL_SUBJECTS];
    int columns[MODEL_INDICATORS], subjects[MODEL_SUBJECTS], total = 0;
    int count = subjects_of(m, q, subjects);
    const char *field = q->field;
    if (field && !known_field(m, field)) {
        return false;
    }
    if (!field) {
        field = q->id_count && columns_of(m, q, columns) ? m->indicators[columns[0]] : "subject";
    }
    for (int i = 0; i < count; i++) {
        size_t found = records_of(m, q, subjects[i], records);
        if (found) {
            rows[total] =
                (struct row){.m = m, .q = q, .subject = subjects[i], .record = records[found - 1]};
            sort_value(&rows[total++], field);
        }
    }
    qsort(rows, (size_t)total, sizeof(struct row), by_sort_value);
    kt_buf_append_text(text, "[");
    for (int64_t i = q->offset; i < total && i < q->offset + (q->limit ? q->limit : 10); i++) {
        kt_buf_append_text(text, i > q->offset ? "," : "");
        put_subject(m, rows[i].subject, text);
        kt_buf_append_text(text, "{");
        put_values(m, q, &rows[i].record, 1, text);
        kt_buf_printf(text, "},\"report_date\":%lld,", (long long)rows[i].record->time_s);
        put_dates(m, q, rows[i].record, text);
        kt_buf_append_text(text, "}");
    }
    bool more = q->offset + (q->limit ? q->limit : 10) < total;
    kt_buf_printf(text, "],\"total\":%d%s}", total, more ? ",\"next_cursor\":\"\"" : "");
    return true;
}

static void put_period_row(const struct model *m, const struct model_question *q,
                           version_ptr record, struct kt_buf *text)
{
    char derived[16];
    int year, month, day;
    const char *own = text_of(m, q, record, true);
    int64_t days = record->time_s / KT_DAY_S - (record->time_s % KT_DAY_S < 0);
    kt_civil_from_days(days, &year, &month, &day);
    snprintf(derived, sizeof derived, "%04d", year);
    kt_buf_append_text(text, "{");
    put_dates(m, q, record, text);
    kt_buf_printf(text, ",\"year\":\"%s\",", own ? own : derived);
    if (put_values(m, q, &record, 1, text)) {
        kt_buf_append_text(text, ",");
    }
    kt_buf_printf(text, "\"combine\":\"%s:%s_%s\"}", m->keys[record->subject], own ? own : derived,
                  record->period);
}

/* The last day of the bucket: the next one is in another. */
static int64_t last_day(char interval, int64_t time_s)
{
    int64_t day = time_s / KT_DAY_S - (time_s % KT_DAY_S < 0);
    for (;; day++) {
        int year, month, date, next_year, next_month;
        kt_civil_from_days(day, &year, &month, &date);
        kt_civil_from_days(day + 1, &next_year, &next_month, &date);
        bool is_sunday = ((day - 3) % 7 + 7) % 7 == 0; /* 1970-01-04 was one */
        bool is_last = interval == 'd'   ? true
                       : interval == 'w' ? is_sunday
                       : interval == 'M' ? month != next_month
                       : interval == 'Q' ? month != next_month && month % 3 == 0
                                         : year != next_year;
        if (is_last) {
            return day;
        }
    }
}

static void put_bucket(const struct model *m, const struct model_question *q,
                       const version_ptr *records, size_t count, struct kt_buf *text)
{
    struct kt_buf date;
    int64_t declare_s = 0, greatest = INT64_MIN;
    kt_buf_init(&date, 0);
    put_date(last_day(q->interval, records[0]->time_s) * KT_DAY_S, &date);
    for (size_t i = 0; i < count; i++) {
        if (declared(m, q, records[i], &declare_s) && declare_s > greatest) {
            greatest = declare_s;
        }
    }
    kt_buf_printf(text, "{\"end_date\":\"%s\",\"period\":\"1%c\",\"declare_date\":\"", date.data,
                  q->interval);
    if (greatest != INT64_MIN) {
        put_date(greatest, text);
    }
    kt_buf_printf(text, "\",\"year\":\"%.4s\",", date.data);
    if (put_values(m, q, records, count, text)) {
        kt_buf_append_text(text, ",");
    }
    kt_buf_printf(text, "\"combine\":\"%s:%s_1%c\"}", m->keys[records[0]->subject], date.data,
                  q->interval);
    kt_buf_done(&date);
}

/* Where each bucket begins; the number of buckets. */
static size_t buckets_of(const struct model_question *q, const version_ptr *records, size_t found,
                         size_t *begins)
{
    size_t count = 0;
    for (size_t i = 0; i < found; i++) {
        if (i == 0 || last_day(q->interval, records[i]->time_s) !=
                          last_day(q->interval, records[i - 1]->time_s)) {
            begins[count++] = i;
        }
    }
    begins[count] = found;
    return count;
}

static void answer_period(const struct model *m, const struct model_question *q,
                          struct kt_buf *text)
{
    static version_ptr records[MODEL_VERSIONS];
    static size_t begins[MODEL_VERSIONS + 1];
    int subjects[MODEL_SUBJECTS], count = subjects_of(m, q, subjects);
    kt_buf_append_text(text, "[");
    for (int i = 0; i < count; i++) {
        int64_t found = (int64_t)records_of(m, q, subjects[i], records);
        if (q->interval) {
            found = (int64_t)buckets_of(q, records, (size_t)found, begins);
        }
        int64_t end = q->limit ? q->offset + q->limit : found;
        kt_buf_append_text(text, i ? "," : "");
        put_subject(m, subjects[i], text);
        kt_buf_append_text(text, "[");
        for (int64_t n = q->offset; n < found && n < end; n++) {
            kt_buf_append_text(text, n > q->offset ? "," : "");
            int64_t at = q->ascending ? n : found - 1 - n;
            if (q->interval) {
                put_bucket(m, q, &records[begins[at]], begins[at + 1] - begins[at], text);
            } else {
                put_period_row(m, q, records[at], text);
            }
        }
        kt_buf_append_text(text, "]}");
    }
    kt_buf_append_text(text, "]}");
}

/* A row of the answer by date; `records` are those of its bucket, or one. */
struct dated_row {
    const struct model *m;
    const struct model_question *q;
    int subject;
    size_t nth, count;
    version_ptr records[64];
    char date[64];
    struct row sort;
};

static int by_date_then_sort_value(const void *a, const void *b)
{
    const struct dated_row *left = a, *right = b;
    int order = strcmp(left->date, right->date);
    if (order == 0) {
        order = by_sort_value(&left->sort, &right->sort);
    }
    if (order == 0) {
        order = left->nth < right->nth ? -1 : left->nth > right->nth;
        order = left->q->ascending ? order : -order;
    }
    return order;
}

static void fill_date(struct dated_row *row, const char *field)
{
    struct kt_buf date;
    kt_buf_init(&date, 0);
    int64_t last = last_day(row->q->interval ? row->q->interval : 'd', row->records[0]->time_s);
    const char *own = row->q->interval ? NULL : text_of(row->m, row->q, row->records[0], false);
    put_date(last * KT_DAY_S, &date);
    snprintf(row->date, sizeof row->date, "%s", own ? own : date.data);
    kt_buf_done(&date);
    row->sort =
        (struct row){.m = row->m, .q = row->q, .record = row->records[0], .subject = row->subject};
    sort_value(&row->sort, field);
    for (int i = 0; row->q->interval && i < MODEL_INDICATORS; i++) {
        if (strcmp(field, row->m->indicators[i]) == 0) {
            row->sort.has_value =
                value_of_all(row->m, row->q, row->records, row->count, i, &row->sort.number);
        }
    }
    if (row->q->interval && strcmp(field, "report_date") == 0) {
        row->sort.number = (double)last;
    }
}

/* The rows of a subject behind those that are there. */
static size_t add_dated(const struct model *m, const struct model_question *q, int subject,
                        const char *field, struct dated_row *rows, size_t count)
{
    static version_ptr records[MODEL_VERSIONS];
    static size_t begins[MODEL_VERSIONS + 1];
    size_t found = records_of(m, q, subject, records), nth = 0;
    for (size_t i = 0; !q->interval && i <= found; i++) {
        begins[i] = i;
    }
    size_t row_count = q->interval ? buckets_of(q, records, found, begins) : found;
    for (; nth < row_count; nth++) {
        struct dated_row *row = &rows[count++];
        *row = (struct dated_row){
            .m = m, .q = q, .subject = subject, .nth = nth, .count = begins[nth + 1] - begins[nth]};
        if (count == MODEL_VERSIONS || row->count > 64) {
            abort();
        }
        memcpy(row->records, &records[begins[nth]], row->count * sizeof(version_ptr));
        fill_date(row, field);
    }
    return count;
}

static bool answer_by_date(const struct model *m, const struct model_question *q,
                           struct kt_buf *text)
{
    static struct dated_row rows[MODEL_VERSIONS];
    int subjects[MODEL_SUBJECTS], columns[MODEL_INDICATORS], count = subjects_of(m, q, subjects);
    size_t row_count = 0;
    int64_t on_date = 0, written = 0;
    const char *field = q->field, *open = NULL;
    if (field && !known_field(m, field)) {
        return false;
    }
    if (!field) {
        field = q->id_count && columns_of(m, q, columns) ? m->indicators[columns[0]] : "subject";
    }
    for (int i = 0; i < count; i++) {
        row_count = add_dated(m, q, subjects[i], field, rows, row_count);
    }
    qsort(rows, row_count, sizeof *rows, by_date_then_sort_value);
    kt_buf_append_text(text, "{");
    for (size_t i = 0; i < row_count; i++) {
        struct dated_row *row = &rows[i];
        on_date = i > 0 && strcmp(row->date, rows[i - 1].date) == 0 ? on_date + 1 : 0;
        if (on_date < q->offset || (q->limit && on_date >= q->offset + q->limit)) {
            continue;
        }
        bool same = open && strcmp(open, row->date) == 0;
        if (!same) {
            kt_buf_printf(text, "%s\"%s\":[", written ? "]," : "", row->date);
        }
        open = row->date;
        kt_buf_append_text(text, same ? "," : "");
        put_subject(m, row->subject, text);
        if (q->interval) {
            put_bucket(m, q, row->records, row->count, text);
        } else {
            put_period_row(m, q, row->records[0], text);
        }
        kt_buf_append_text(text, "}");
        written++;
    }
    kt_buf_append_text(text, written ? "]}}" : "}}");
    return true;
}

bool model_answer(const struct model *model, const struct model_question *question,
                  struct kt_buf *ret_text)
{
    kt_buf_clear(ret_text);
    kt_buf_append_text(ret_text, "{\"status_code\":0,\"status_msg\":\"success\",\"data\":");
    if (question->selects && question->period) {
        return answer_by_date(model, question, ret_text);
    }
    if (question->period) {
        answer_period(model, question, ret_text);
        return true;
    }
    return answer_snapshot(model, question, ret_text);
}

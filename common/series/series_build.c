/* SPDX-License-Identifier: MIT */
/* Building a series: versions are collected flat as they come, then laid out at once.
 *
 * finish() resolves each record to its newest values (cells), counts cells per indicator, decides
 * per column whether a dense array or (row, number) pairs take less room, and fills one block.
 */
#include "series/series_internal.h"

#include "base/hash.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

/* Indicators are numbered from 0 by the catalogue; far above any configured limit. */
#define INDICATOR_LIMIT (UINT32_C(1) << 20)

struct build_version {
    int64_t time_s, declare_s;
    uint64_t revision;
    uint32_t period, end_date, year; /* text ids */
    uint32_t line;
    uint32_t value_begin, value_count;
    bool declare_given;
};

struct build_column {
    uint32_t indicator;
    uint32_t first, last, count; /* rows of its cells */
    uint32_t newest;             /* index + 1 of the value that stands, in the record at hand */
    uint32_t place;              /* column of the finished series */
    uint32_t filled;             /* sparse: cells written so far */
};

struct build_cell {
    double number;
    uint32_t slot, row;
};

struct kt_series_builder {
    struct build_version *versions;
    size_t version_count, version_cap;
    struct kt_value *values;
    size_t value_count, value_cap;
    struct series_text *texts;
    size_t text_count, text_cap;
    char *text_bytes;
    size_t text_len, text_bytes_cap;
    uint32_t *text_table; /* open addressing: text id or 0 */
    size_t text_table_cap;
    /* Scratch of finish. */
    uint32_t *slot_of; /* indicator -> slot + 1, 0 = none */
    size_t slot_of_cap;
    struct build_column *columns;
    size_t column_count, column_cap;
    struct build_cell *cells;
    size_t cell_count, cell_cap;
    size_t record_count, multi_count, multi_versions, multi_values;
};

struct kt_series_builder *kt_series_builder_new(void)
{
    return kt_calloc(1, sizeof(struct kt_series_builder));
}

void kt_series_builder_free(struct kt_series_builder **builder)
{
    if (!builder || !*builder) {
        return;
    }
    kt_free((*builder)->versions);
    kt_free((*builder)->values);
    kt_free((*builder)->texts);
    kt_free((*builder)->text_bytes);
    kt_free((*builder)->text_table);
    kt_free((*builder)->slot_of);
    kt_free((*builder)->columns);
    kt_free((*builder)->cells);
    kt_free(*builder);
    *builder = NULL;
}

/* Keeps the memory. */
void kt_series_builder_clear(struct kt_series_builder *b)
{
    for (size_t i = 0; i < b->column_count; i++) {
        b->slot_of[b->columns[i].indicator] = 0;
    }
    if (b->text_count > 0) {
        memset(b->text_table, 0, b->text_table_cap * sizeof(*b->text_table));
    }
    b->version_count = b->value_count = b->text_count = b->text_len = 0;
    b->column_count = b->cell_count = 0;
}

/* Room for `more` further elements behind *count; grows by half. */
static bool grow(void *array_ptr, size_t *cap, size_t count, size_t more, size_t size)
{
    if (count + more <= *cap) {
        return true;
    }
    size_t wanted = *cap + *cap / 2 + 16;
    if (wanted < count + more) {
        wanted = count + more;
    }
    void *old;
    memcpy(&old, array_ptr, sizeof(old));
    void *grown = kt_reallocarray(old, wanted, size);
    if (!grown) {
        return false;
    }
    memcpy(array_ptr, &grown, sizeof(grown));
    *cap = wanted;
    return true;
}

static struct kt_str builder_text(const struct kt_series_builder *b, uint32_t id)
{
    struct series_text text = b->texts[id - SERIES_TEXT_FIRST];
    return kt_str_n(b->text_bytes + text.offset, text.len);
}

static size_t text_slot(const struct kt_series_builder *b, struct kt_str text)
{
    size_t mask = b->text_table_cap - 1;
    size_t at = (size_t)kt_hash64(text.data, text.len) & mask;
    while (b->text_table[at] != 0 && !kt_str_eq(builder_text(b, b->text_table[at]), text)) {
        at = (at + 1) & mask;
    }
    return at;
}

static bool text_table_grow(struct kt_series_builder *b)
{
    if (b->text_count * 2 < b->text_table_cap) {
        return true;
    }
    size_t cap = b->text_table_cap ? b->text_table_cap * 2 : 32;
    uint32_t *table = kt_calloc(cap, sizeof(*table));
    if (!table) {
        return false;
    }
    kt_free(b->text_table);
    b->text_table = table;
    b->text_table_cap = cap;
    for (uint32_t i = 0; i < b->text_count; i++) {
        uint32_t id = i + SERIES_TEXT_FIRST;
        table[text_slot(b, builder_text(b, id))] = id;
    }
    return true;
}

/* The id of a text, interned; `hint` is the id that it most likely has, or 0. */
static bool intern(struct kt_series_builder *b, struct kt_str text, uint32_t hint, uint32_t *ret_id)
{
    if (hint >= SERIES_TEXT_FIRST && kt_str_eq(builder_text(b, hint), text)) {
        *ret_id = hint;
        return true;
    }
    if (!text_table_grow(b)) {
        return false;
    }
    size_t at = text_slot(b, text);
    if (b->text_table[at] == 0) {
        if (!grow(&b->texts, &b->text_cap, b->text_count, 1, sizeof(*b->texts)) ||
            !grow(&b->text_bytes, &b->text_bytes_cap, b->text_len, text.len + 1, 1)) {
            return false;
        }
        if (text.len > 0) {
            memcpy(b->text_bytes + b->text_len, text.data, text.len);
        }
        b->texts[b->text_count] = (struct series_text){(uint32_t)b->text_len, (uint32_t)text.len};
        b->text_len += text.len;
        b->text_count++;
        b->text_table[at] = (uint32_t)(b->text_count - 1) + SERIES_TEXT_FIRST;
    }
    *ret_id = b->text_table[at];
    return true;
}

static bool intern_opt(struct kt_series_builder *b, struct kt_opt_text text, uint32_t *ret_id)
{
    if (text.named == KT_NAMED) {
        return intern(b, text.text, 0, ret_id);
    }
    *ret_id = text.named == KT_NAMED_NULL ? SERIES_TEXT_NULL : SERIES_TEXT_NONE;
    return true;
}

static int cmp_i64(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

/* Order of a new version against the last one. */
static int order_after_last(const struct kt_series_builder *b, const struct kt_version *version)
{
    const struct build_version *last = &b->versions[b->version_count - 1];
    int order = cmp_i64(version->time_s, last->time_s);
    if (order == 0) {
        order = kt_str_cmp(version->period, builder_text(b, last->period));
    }
    if (order == 0) {
        order = cmp_i64(version->declare_s, last->declare_s);
    }
    if (order == 0) {
        order = (version->revision > last->revision) - (version->revision < last->revision);
    }
    if (order == 0) {
        order = (version->line > last->line) - (version->line < last->line);
    }
    return order;
}

enum kt_status kt_series_builder_add(struct kt_series_builder *b, const struct kt_version *version,
                                     struct kt_error *err)
{
    if (b->version_count > 0 && order_after_last(b, version) <= 0) {
        return kt_fail(err, KT_CORRUPT, "versions out of order at time %lld",
                       (long long)version->time_s);
    }
    if (b->version_count >= UINT32_MAX / 2 ||
        b->value_count + version->value_count > UINT32_MAX / 2 ||
        b->text_len + version->period.len + version->end_date.text.len + version->year.text.len >
            UINT32_MAX / 2) {
        return kt_fail(err, KT_TOO_LARGE, "a subject holds too many values");
    }
    for (size_t i = 0; i < version->value_count; i++) {
        if (version->values[i].indicator >= INDICATOR_LIMIT) {
            return kt_fail(err, KT_CORRUPT, "indicator number %u out of range",
                           (unsigned)version->values[i].indicator);
        }
    }
    struct build_version added = {.time_s = version->time_s,
                                  .declare_s = version->declare_s,
                                  .revision = version->revision,
                                  .line = version->line,
                                  .declare_given = version->declare_given,
                                  .value_begin = (uint32_t)b->value_count,
                                  .value_count = (uint32_t)version->value_count};
    uint32_t hint = b->version_count > 0 ? b->versions[b->version_count - 1].period : 0;
    if (!grow(&b->versions, &b->version_cap, b->version_count, 1, sizeof(*b->versions)) ||
        !grow(&b->values, &b->value_cap, b->value_count, version->value_count,
              sizeof(*b->values)) ||
        !intern(b, version->period, hint, &added.period) ||
        !intern_opt(b, version->end_date, &added.end_date) ||
        !intern_opt(b, version->year, &added.year)) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for a series");
    }
    if (version->value_count > 0) {
        memcpy(b->values + b->value_count, version->values,
               version->value_count * sizeof(*b->values));
    }
    b->value_count += version->value_count;
    b->versions[b->version_count++] = added;
    return KT_OK;
}

/* The column of an indicator, made at first sight; NULL = no memory. */
static struct build_column *column_of(struct kt_series_builder *b, uint32_t indicator)
{
    if (indicator >= b->slot_of_cap) {
        size_t old = b->slot_of_cap;
        if (!grow(&b->slot_of, &b->slot_of_cap, 0, (size_t)indicator + 1, sizeof(*b->slot_of))) {
            return NULL;
        }
        memset(b->slot_of + old, 0, (b->slot_of_cap - old) * sizeof(*b->slot_of));
    }
    if (b->slot_of[indicator] == 0) {
        if (!grow(&b->columns, &b->column_cap, b->column_count, 1, sizeof(*b->columns))) {
            return NULL;
        }
        b->columns[b->column_count++] = (struct build_column){.indicator = indicator};
        b->slot_of[indicator] = (uint32_t)b->column_count;
    }
    return &b->columns[b->slot_of[indicator] - 1];
}

/* Writes the cells of the record whose versions are [begin, end): what stands at the end. */
static bool resolve_record(struct kt_series_builder *b, size_t begin, size_t end, uint32_t row)
{
    uint32_t from = b->versions[begin].value_begin;
    uint32_t to = b->versions[end - 1].value_begin + b->versions[end - 1].value_count;
    for (uint32_t i = from; i < to; i++) {
        struct build_column *column = column_of(b, b->values[i].indicator);
        if (!column) {
            return false;
        }
        column->newest = i + 1;
    }
    if (!grow(&b->cells, &b->cell_cap, b->cell_count, to - from, sizeof(*b->cells))) {
        return false;
    }
    for (uint32_t i = from; i < to; i++) {
        uint32_t slot = b->slot_of[b->values[i].indicator] - 1;
        struct build_column *column = &b->columns[slot];
        if (column->newest != i + 1 || b->values[i].is_null) {
            continue;
        }
        b->cells[b->cell_count++] = (struct build_cell){b->values[i].number, slot, row};
        column->first = column->count == 0 ? row : column->first;
        column->last = row;
        column->count++;
    }
    return true;
}

static bool same_record(const struct build_version *a, const struct build_version *b)
{
    return a->time_s == b->time_s && a->period == b->period;
}

/* The end of the record that begins at version `begin`. */
static size_t record_end(const struct kt_series_builder *b, size_t begin)
{
    size_t end = begin + 1;
    while (end < b->version_count && same_record(&b->versions[begin], &b->versions[end])) {
        end++;
    }
    return end;
}

static bool resolve(struct kt_series_builder *b)
{
    b->record_count = b->multi_count = b->multi_versions = b->multi_values = 0;
    for (size_t begin = 0, end; begin < b->version_count; begin = end) {
        end = record_end(b, begin);
        if (!resolve_record(b, begin, end, (uint32_t)b->record_count)) {
            return false;
        }
        b->record_count++;
        if (end - begin > 1) {
            b->multi_count++;
            b->multi_versions += end - begin;
            for (size_t i = begin; i < end; i++) {
                b->multi_values += b->versions[i].value_count;
            }
        }
    }
    return true;
}

/* Which of the optional arrays this content needs. */
struct needs {
    bool declares, wide_declares, given, not_given, revisions, periods, end_dates, years;
    uint64_t max_revision;
    int64_t max_declare_s;
};

static struct needs find_needs(const struct kt_series_builder *b)
{
    struct needs n = {.max_revision = 0, .max_declare_s = INT64_MIN};
    for (size_t i = 0; i < b->version_count; i++) {
        const struct build_version *v = &b->versions[i];
        n.declares |= v->declare_s != v->time_s;
        n.wide_declares |= v->declare_s - v->time_s != (int32_t)(v->declare_s - v->time_s);
        n.given |= v->declare_given;
        n.not_given |= !v->declare_given;
        n.revisions |= v->revision != b->versions[0].revision;
        n.periods |= v->period != b->versions[0].period;
        n.end_dates |= v->end_date != SERIES_TEXT_NONE;
        n.years |= v->year != SERIES_TEXT_NONE;
        n.max_revision = v->revision > n.max_revision ? v->revision : n.max_revision;
        n.max_declare_s = v->declare_s > n.max_declare_s ? v->declare_s : n.max_declare_s;
    }
    return n;
}

/* Sparse when (row, number) pairs are smaller than numbers over first..last. */
static bool column_is_sparse(const struct build_column *column)
{
    uint64_t span = column->count ? (uint64_t)column->last - column->first + 1 : 0;
    return span * sizeof(double) > (uint64_t)column->count * (sizeof(double) + sizeof(uint32_t));
}

/* Hands out parts of the block, the more strictly aligned ones first; with base NULL only counts.
 */
struct layout {
    char *base;
    size_t used;
};

static void *carve(struct layout *layout, size_t count, size_t size)
{
    void *part = layout->base ? layout->base + layout->used : NULL;
    layout->used += count * size;
    return part;
}

struct totals {
    size_t numbers, rows;
};

/* Ids that fit into a byte. */
static bool ids_are_wide(const struct kt_series_builder *b)
{
    return b->text_count + SERIES_TEXT_FIRST > UINT8_MAX + 1;
}

static void lay_out(struct layout *l, const struct kt_series_builder *b, const struct needs *needs,
                    const struct totals *totals, struct kt_series *s)
{
    size_t records = b->record_count;
    size_t declare_bytes = needs->wide_declares ? sizeof(int64_t) : sizeof(int32_t);
    size_t id_bytes = ids_are_wide(b) ? sizeof(uint32_t) : sizeof(uint8_t);
    s->times = carve(l, records, sizeof(int64_t));
    s->revisions = needs->revisions ? carve(l, records, sizeof(uint64_t)) : NULL;
    s->numbers = carve(l, totals->numbers, sizeof(double));
    s->versions = carve(l, b->multi_versions, sizeof(struct series_version));
    s->version_values = carve(l, b->multi_values, sizeof(struct kt_value));
    s->declares = needs->declares ? carve(l, records, declare_bytes) : NULL;
    s->columns = carve(l, b->column_count, sizeof(struct series_column));
    s->multis = carve(l, b->multi_count, sizeof(struct series_multi));
    s->texts = carve(l, b->text_count, sizeof(struct series_text));
    s->indicators = carve(l, b->column_count, sizeof(uint32_t));
    s->rows = carve(l, totals->rows, sizeof(uint32_t));
    s->periods = needs->periods ? carve(l, records, id_bytes) : NULL;
    s->end_dates = needs->end_dates ? carve(l, records, id_bytes) : NULL;
    s->years = needs->years ? carve(l, records, id_bytes) : NULL;
    s->declare_given = needs->given && needs->not_given ? carve(l, records, 1) : NULL;
    s->text_bytes = carve(l, b->text_len, 1);
}

/* The series is const to all but us while it is made. */
#define MUT(type, pointer) ((type *)(uintptr_t)(pointer))

static void fill_columns(struct kt_series_builder *b, struct kt_series *s)
{
    uint32_t numbers = 0, rows = 0, place = 0;
    for (size_t indicator = 0; indicator < b->slot_of_cap && place < b->column_count; indicator++) {
        if (b->slot_of[indicator] == 0) {
            continue;
        }
        struct build_column *from = &b->columns[b->slot_of[indicator] - 1];
        struct series_column *to = &MUT(struct series_column, s->columns)[place];
        bool sparse = column_is_sparse(from);
        uint32_t span = from->count ? from->last - from->first + 1 : 0;
        *to = (struct series_column){.first = from->first,
                                     .count = sparse ? from->count : span,
                                     .numbers = numbers,
                                     .rows = sparse ? rows : SERIES_DENSE};
        MUT(uint32_t, s->indicators)[place] = (uint32_t)indicator;
        from->place = place++;
        rows += sparse ? from->count : 0;
        for (uint32_t i = 0; i < to->count; i++) {
            MUT(double, s->numbers)[numbers++] = NAN;
        }
    }
    for (size_t i = 0; i < b->cell_count; i++) {
        const struct build_cell *cell = &b->cells[i];
        struct build_column *from = &b->columns[cell->slot];
        const struct series_column *to = &s->columns[from->place];
        bool sparse = to->rows != SERIES_DENSE;
        uint32_t at = sparse ? from->filled++ : cell->row - to->first;
        MUT(double, s->numbers)[to->numbers + at] = cell->number;
        if (sparse) {
            MUT(uint32_t, s->rows)[to->rows + at] = cell->row;
        }
    }
}

/* Copies the versions [begin, end) of one record behind what is there. */
static void fill_multi(const struct kt_series_builder *b, struct kt_series *s, size_t begin,
                       size_t end, uint32_t row, uint32_t *versions, uint32_t *values)
{
    MUT(struct series_multi, s->multis)
    [s->multi_count++] = (struct series_multi){row, *versions, (uint32_t)(end - begin)};
    for (size_t i = begin; i < end; i++) {
        const struct build_version *v = &b->versions[i];
        MUT(struct series_version, s->versions)
        [(*versions)++] = (struct series_version){.declare_s = v->declare_s,
                                                  .revision = v->revision,
                                                  .end_date = v->end_date,
                                                  .year = v->year,
                                                  .value_begin = *values,
                                                  .value_count = v->value_count,
                                                  .declare_given = v->declare_given};
        if (v->value_count > 0) {
            memcpy(MUT(struct kt_value, s->version_values) + *values, b->values + v->value_begin,
                   v->value_count * sizeof(struct kt_value));
        }
        *values += v->value_count;
    }
}

static void put_id(struct kt_series *s, const void *ids, size_t row, uint32_t id)
{
    if (ids && s->wide_ids) {
        MUT(uint32_t, ids)[row] = id;
    } else if (ids) {
        MUT(uint8_t, ids)[row] = (uint8_t)id;
    }
}

static void put_declare(struct kt_series *s, size_t row, const struct build_version *v)
{
    if (s->declares && s->wide_declares) {
        MUT(int64_t, s->declares)[row] = v->declare_s;
    } else if (s->declares) {
        MUT(int32_t, s->declares)[row] = (int32_t)(v->declare_s - v->time_s);
    }
}

static void fill_records(const struct kt_series_builder *b, struct kt_series *s)
{
    uint32_t row = 0, versions = 0, values = 0;
    for (size_t begin = 0, end; begin < b->version_count; begin = end, row++) {
        end = record_end(b, begin);
        const struct build_version *v = &b->versions[begin];
        MUT(int64_t, s->times)[row] = v->time_s;
        put_declare(s, row, v);
        if (s->revisions) {
            MUT(uint64_t, s->revisions)[row] = v->revision;
        }
        put_id(s, s->periods, row, v->period);
        put_id(s, s->end_dates, row, v->end_date);
        put_id(s, s->years, row, v->year);
        if (s->declare_given) {
            MUT(unsigned char, s->declare_given)[row] = v->declare_given;
        }
        if (end - begin > 1) {
            fill_multi(b, s, begin, end, row, &versions, &values);
        }
    }
}

static struct kt_series *build(struct kt_series_builder *b, uint64_t loaded_revision)
{
    if (!resolve(b)) {
        return NULL;
    }
    struct totals totals = {0, 0};
    for (size_t i = 0; i < b->column_count; i++) {
        const struct build_column *column = &b->columns[i];
        bool sparse = column_is_sparse(column);
        totals.numbers += sparse          ? column->count
                          : column->count ? column->last - column->first + 1
                                          : 0;
        totals.rows += sparse ? column->count : 0;
    }
    struct needs needs = find_needs(b);
    struct kt_series shape = {0};
    struct layout layout = {NULL, 0};
    size_t head = (sizeof(struct kt_series) + 7) & ~(size_t)7;
    lay_out(&layout, b, &needs, &totals, &shape);
    struct kt_series *s = kt_calloc(1, head + layout.used);
    if (!s) {
        return NULL;
    }
    atomic_init(&s->refs, 1);
    layout.base = (char *)s;
    s->bytes = head + layout.used;
    layout.used = head;
    lay_out(&layout, b, &needs, &totals, s);
    s->loaded_revision = loaded_revision;
    s->max_revision = needs.max_revision;
    s->max_declare_s = needs.max_declare_s;
    s->record_count = (uint32_t)b->record_count;
    s->value_count = (uint32_t)b->cell_count;
    s->column_count = (uint32_t)b->column_count;
    s->wide_ids = ids_are_wide(b);
    s->wide_declares = needs.wide_declares;
    s->all_given = !needs.not_given && needs.given;
    s->common_period = b->version_count > 0 ? b->versions[0].period : SERIES_TEXT_NONE;
    if (b->text_count > 0) {
        memcpy(MUT(struct series_text, s->texts), b->texts, b->text_count * sizeof(*b->texts));
    }
    if (b->text_len > 0) {
        memcpy(MUT(char, s->text_bytes), b->text_bytes, b->text_len);
    }
    fill_columns(b, s);
    fill_records(b, s);
    KT_ASSERT(s->multi_count == b->multi_count);
    return s;
}

enum kt_status kt_series_builder_finish(struct kt_series_builder *builder, uint64_t loaded_revision,
                                        struct kt_series **ret_series, struct kt_error *err)
{
    struct kt_series *series = build(builder, loaded_revision);
    kt_series_builder_clear(builder);
    if (!series) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for a series");
    }
    *ret_series = series;
    return KT_OK;
}

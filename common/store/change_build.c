/* SPDX-License-Identifier: MIT */
/* Encoding a change. Each text is put into the table once; subjects and records are encoded as they
 * come, into a buffer each, so that encode() only joins three buffers. An add that fails leaves the
 * builder as it was (but for texts that nobody refers to).
 */
#include "store/change_format.h"

#include "base/hash.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

struct text_entry {
    uint32_t offset, len; /* in texts, behind its length prefix */
};

struct kt_change_builder {
    size_t max_bytes;
    struct kt_buf texts; /* encoded string table without its count */
    struct text_entry *entries;
    uint32_t entry_count, entry_cap;
    uint32_t *table; /* open addressing: entry + 1, 0 = free */
    uint32_t table_cap;
    struct kt_buf subjects, records;
    size_t subject_count, stay_count, tag_count, tag_value_count, record_count, value_count;
    bool has_if_revision;
    uint64_t if_revision;
    uint64_t recorded_revision;
    int64_t recorded_wall_ms;
};

struct kt_change_builder *kt_change_builder_new(size_t max_bytes)
{
    struct kt_change_builder *builder = kt_calloc(1, sizeof(*builder));
    if (builder) {
        builder->max_bytes = max_bytes;
        kt_buf_init(&builder->texts, 0);
        kt_buf_init(&builder->subjects, 0);
        kt_buf_init(&builder->records, 0);
    }
    return builder;
}

void kt_change_builder_free(struct kt_change_builder **builder)
{
    if (!builder || !*builder) {
        return;
    }
    kt_buf_done(&(*builder)->texts);
    kt_buf_done(&(*builder)->subjects);
    kt_buf_done(&(*builder)->records);
    kt_free((*builder)->entries);
    kt_free((*builder)->table);
    kt_free(*builder);
    *builder = NULL;
}

void kt_change_builder_reset(struct kt_change_builder *b)
{
    kt_buf_clear(&b->texts);
    kt_buf_clear(&b->subjects);
    kt_buf_clear(&b->records);
    if (b->table) {
        memset(b->table, 0, b->table_cap * sizeof(*b->table));
    }
    b->entry_count = 0;
    b->subject_count = b->stay_count = b->tag_count = b->tag_value_count = 0;
    b->record_count = b->value_count = 0;
    b->has_if_revision = false;
    b->recorded_revision = 0;
}

void kt_change_set_recorded(struct kt_change_builder *builder, uint64_t revision, int64_t wall_ms)
{
    builder->recorded_revision = revision;
    builder->recorded_wall_ms = wall_ms;
}

void kt_change_set_if_revision(struct kt_change_builder *builder, uint64_t revision)
{
    builder->has_if_revision = true;
    builder->if_revision = revision;
}

size_t kt_change_record_count(const struct kt_change_builder *builder)
{
    return builder->record_count;
}

size_t kt_change_subject_count(const struct kt_change_builder *builder)
{
    return builder->subject_count;
}

#define HEAD_BYTES 96 /* format, kind, the totals and options, at most */

size_t kt_change_bytes(const struct kt_change_builder *builder)
{
    return HEAD_BYTES + builder->texts.len_bytes + builder->subjects.len_bytes +
           builder->records.len_bytes;
}

/* --- the string table --- */

static struct kt_str entry_text(const struct kt_change_builder *b, uint32_t entry)
{
    return kt_str_n(b->texts.data + b->entries[entry].offset, b->entries[entry].len);
}

static uint32_t table_slot(const struct kt_change_builder *b, struct kt_str text)
{
    uint32_t mask = b->table_cap - 1;
    uint32_t at = (uint32_t)kt_hash64(text.data, text.len) & mask;
    while (b->table[at] != 0 && !kt_str_eq(entry_text(b, b->table[at] - 1), text)) {
        at = (at + 1) & mask;
    }
    return at;
}

static bool table_grow(struct kt_change_builder *b)
{
    if (b->entry_count == b->entry_cap) {
        uint32_t cap = b->entry_cap ? b->entry_cap * 2 : 64;
        struct text_entry *entries = kt_reallocarray(b->entries, cap, sizeof(*entries));
        if (!entries) {
            return false;
        }
        b->entries = entries;
        b->entry_cap = cap;
    }
    if (b->entry_count * 2 < b->table_cap) {
        return true;
    }
    uint32_t cap = b->table_cap ? b->table_cap * 2 : 128;
    uint32_t *table = kt_calloc(cap, sizeof(*table));
    if (!table) {
        return false;
    }
    kt_free(b->table);
    b->table = table;
    b->table_cap = cap;
    for (uint32_t i = 0; i < b->entry_count; i++) {
        table[table_slot(b, entry_text(b, i))] = i + 1;
    }
    return true;
}

/* The table's index of a text; put in when it is new. False = no memory. */
static bool intern(struct kt_change_builder *b, struct kt_str text, uint32_t *ret_index)
{
    if (!table_grow(b)) {
        return false;
    }
    uint32_t at = table_slot(b, text);
    if (b->table[at] == 0) {
        size_t before = b->texts.len_bytes;
        kt_buf_put_bytes(&b->texts, text);
        if (kt_buf_status(&b->texts) != KT_OK) {
            b->texts.failed = KT_OK;
            b->texts.len_bytes = before;
            return false;
        }
        b->entries[b->entry_count] =
            (struct text_entry){(uint32_t)(b->texts.len_bytes - text.len), (uint32_t)text.len};
        b->table[at] = ++b->entry_count;
    }
    *ret_index = b->table[at] - 1;
    return true;
}

static void put_text(struct kt_change_builder *b, struct kt_buf *dest, struct kt_str text,
                     uint32_t low_bit, unsigned shift)
{
    uint32_t index;
    if (!intern(b, text, &index)) {
        dest->failed = KT_NO_MEMORY; /* sticks until the add looks at it */
        return;
    }
    kt_buf_put_varint(dest, ((uint64_t)index << shift) | low_bit);
}

static void put_opt(struct kt_change_builder *b, struct kt_buf *dest, struct kt_opt_text text)
{
    if (text.named == KT_NAMED) {
        put_text(b, dest, text.text, 0, 0);
    }
}

/* --- subjects --- */

#define VARINT_MAX ((size_t)10)

static size_t opt_bytes(struct kt_opt_text text)
{
    return text.named == KT_NAMED ? text.text.len + 2 * VARINT_MAX : 0;
}

/* What an item may take at most, its new texts included. */
static size_t subject_bytes(const struct kt_change_subject *subject)
{
    size_t bytes = 5 * VARINT_MAX + subject->key.len + opt_bytes(subject->name) +
                   opt_bytes(subject->status) + opt_bytes(subject->listing_date) +
                   opt_bytes(subject->category);
    for (size_t i = 0; i < subject->stay_count; i++) {
        bytes += subject->stays[i].topic.len + 4 * VARINT_MAX;
    }
    for (size_t i = 0; i < subject->leave_count; i++) {
        bytes += subject->leaves[i].len + 2 * VARINT_MAX;
    }
    for (size_t i = 0; i < subject->tag_count; i++) {
        bytes += subject->tags[i].name.len + 3 * VARINT_MAX;
        for (size_t j = 0; j < subject->tags[i].count; j++) {
            bytes += subject->tags[i].values[j].len + 2 * VARINT_MAX;
        }
    }
    return bytes;
}

static enum kt_status check_subject(const struct kt_change_subject *subject, struct kt_error *err)
{
    if (subject->key.len == 0) {
        return kt_fail_field(err, KT_BAD_VALUE, "subject", "subject: a key is 1 to 128 bytes");
    }
    for (size_t i = 0; i < subject->stay_count; i++) {
        const struct kt_change_stay *stay = &subject->stays[i];
        if (stay->topic.len == 0 || !change_time_ok(stay->from_s) || !change_time_ok(stay->to_s)) {
            return kt_fail_field(err, KT_BAD_VALUE, "topics",
                                 "topics: a stay has a topic and times within 0001..9999");
        }
    }
    KT_ASSERT(subject->leave_count == 0 || subject->topics_mode == KT_TOPICS_EDIT);
    for (size_t i = 0; i < subject->leave_count; i++) {
        if (subject->leaves[i].len == 0) {
            return kt_fail_field(err, KT_BAD_VALUE, "topics_remove",
                                 "topics_remove: a topic's name is 1 to 128 bytes");
        }
    }
    for (size_t i = 0; i < subject->tag_count; i++) {
        if (subject->tags[i].name.len == 0) {
            return kt_fail_field(err, KT_BAD_VALUE, "tags", "tags: a name is 1 to 128 bytes");
        }
    }
    return KT_OK;
}

static void put_subject(struct kt_change_builder *b, const struct kt_change_subject *subject)
{
    struct kt_buf *dest = &b->subjects;
    put_text(b, dest, subject->key, 0, 0);
    unsigned flags = (unsigned)subject->name.named | (unsigned)subject->status.named << NAMED_BITS |
                     (unsigned)subject->listing_date.named << 2 * NAMED_BITS |
                     (unsigned)subject->category.named << 3 * NAMED_BITS;
    kt_buf_append_byte(dest, (char)flags);
    kt_buf_append_byte(dest, (char)subject->topics_mode);
    put_opt(b, dest, subject->name);
    put_opt(b, dest, subject->status);
    put_opt(b, dest, subject->listing_date);
    put_opt(b, dest, subject->category);
    kt_buf_put_varint(dest, subject->stay_count);
    for (size_t i = 0; i < subject->stay_count; i++) {
        put_text(b, dest, subject->stays[i].topic, 0, 0);
        kt_buf_put_svarint(dest, subject->stays[i].from_s);
        kt_buf_put_svarint(dest, subject->stays[i].to_s);
    }
    if (subject->topics_mode == KT_TOPICS_EDIT) {
        kt_buf_put_varint(dest, subject->leave_count);
        for (size_t i = 0; i < subject->leave_count; i++) {
            put_text(b, dest, subject->leaves[i], 0, 0);
        }
    }
    kt_buf_put_varint(dest, subject->tag_count);
    for (size_t i = 0; i < subject->tag_count; i++) {
        put_text(b, dest, subject->tags[i].name, 0, 0);
        kt_buf_put_varint(dest, subject->tags[i].count);
        for (size_t j = 0; j < subject->tags[i].count; j++) {
            put_text(b, dest, subject->tags[i].values[j], 0, 0);
        }
    }
}

/* After an add: takes back what a failed one wrote. */
static enum kt_status settle(struct kt_buf *dest, size_t before, struct kt_error *err)
{
    if (kt_buf_status(dest) == KT_OK) {
        return KT_OK;
    }
    dest->failed = KT_OK;
    dest->len_bytes = before;
    return kt_fail(err, KT_NO_MEMORY, "no memory for a change");
}

static enum kt_status check_room(const struct kt_change_builder *b, size_t more,
                                 struct kt_error *err)
{
    size_t bytes = kt_change_bytes(b);
    if (more > b->max_bytes || bytes > b->max_bytes - more || bytes + more > UINT32_MAX / 2) {
        return kt_fail(err, KT_TOO_LARGE, "the change is larger than %zu bytes", b->max_bytes);
    }
    return KT_OK;
}

enum kt_status kt_change_add_subject(struct kt_change_builder *builder,
                                     const struct kt_change_subject *subject, struct kt_error *err)
{
    enum kt_status status = check_subject(subject, err);
    if (status == KT_OK) {
        status = check_room(builder, subject_bytes(subject), err);
    }
    if (status != KT_OK) {
        return status;
    }
    size_t before = builder->subjects.len_bytes;
    put_subject(builder, subject);
    status = settle(&builder->subjects, before, err);
    if (status != KT_OK) {
        return status;
    }
    builder->subject_count++;
    builder->stay_count += subject->stay_count;
    builder->tag_value_count += subject->leave_count;
    builder->tag_count += subject->tag_count;
    for (size_t i = 0; i < subject->tag_count; i++) {
        builder->tag_value_count += subject->tags[i].count;
    }
    return KT_OK;
}

/* --- records --- */

static size_t record_bytes(const struct kt_change_record *record)
{
    size_t bytes = 8 * VARINT_MAX + record->subject.len + record->period.len +
                   opt_bytes(record->end_date) + opt_bytes(record->year);
    /* A value's indicator is a text that is nearly always known already: asking the table would
     * cost a second lookup, so a new one may pass the bound by its own length. */
    return bytes + record->value_count * (sizeof(double) + 3);
}

static enum kt_status check_record(const struct kt_change_record *record, struct kt_error *err)
{
    if (record->subject.len == 0) {
        return kt_fail_field(err, KT_BAD_VALUE, "subject", "subject: a key is 1 to 128 bytes");
    }
    if (!change_time_ok(record->time_s)) {
        return kt_fail_field(err, KT_BAD_VALUE, "time", "time: not within 0001..9999");
    }
    if (record->declare_given && !change_time_ok(record->declare_s)) {
        return kt_fail_field(err, KT_BAD_VALUE, "declare_date",
                             "declare_date: not within 0001..9999");
    }
    for (size_t i = 0; i < record->value_count; i++) {
        const struct kt_change_value *value = &record->values[i];
        if (!change_indicator_ok(value->indicator)) {
            return kt_fail_field(err, KT_BAD_VALUE, "data",
                                 "data: no indicator can be named \"" KT_STR_FMT "\"",
                                 KT_STR_ARG(value->indicator));
        }
        if (!value->is_null && !isfinite(value->number)) {
            return kt_fail_field(err, KT_BAD_VALUE, "data",
                                 "data." KT_STR_FMT ": not a finite number",
                                 KT_STR_ARG(value->indicator));
        }
    }
    return KT_OK;
}

static void put_record(struct kt_change_builder *b, const struct kt_change_record *record)
{
    struct kt_buf *dest = &b->records;
    put_text(b, dest, record->subject, 0, 0);
    kt_buf_put_svarint(dest, record->time_s);
    put_text(b, dest, record->period, 0, 0);
    unsigned flags = (record->declare_given ? RECORD_DECLARE_GIVEN : 0) |
                     (unsigned)record->end_date.named << RECORD_END_DATE_SHIFT |
                     (unsigned)record->year.named << RECORD_YEAR_SHIFT;
    kt_buf_append_byte(dest, (char)flags);
    if (record->declare_given) {
        kt_buf_put_svarint(dest, record->declare_s);
    }
    put_opt(b, dest, record->end_date);
    put_opt(b, dest, record->year);
    kt_buf_put_varint(dest, record->value_count);
    for (size_t i = 0; i < record->value_count; i++) {
        const struct kt_change_value *value = &record->values[i];
        put_text(b, dest, value->indicator, value->is_null, 1);
        if (!value->is_null) {
            kt_buf_put_f64(dest, value->number);
        }
    }
}

enum kt_status kt_change_add_record(struct kt_change_builder *builder,
                                    const struct kt_change_record *record, struct kt_error *err)
{
    enum kt_status status = check_record(record, err);
    if (status == KT_OK) {
        status = check_room(builder, record_bytes(record), err);
    }
    if (status != KT_OK) {
        return status;
    }
    size_t before = builder->records.len_bytes;
    put_record(builder, record);
    status = settle(&builder->records, before, err);
    if (status != KT_OK) {
        return status;
    }
    builder->record_count++;
    builder->value_count += record->value_count;
    return KT_OK;
}

/* --- the whole --- */

static void put_options(struct kt_buf *dest, bool has_if_revision, uint64_t if_revision)
{
    if (has_if_revision) {
        kt_buf_append_byte(dest, OPTION_IF_REVISION);
        kt_buf_put_varint(dest, if_revision);
    }
}

/* At the end: takes back what had no room. */
static enum kt_status encoded(struct kt_buf *dest, size_t before, struct kt_error *err)
{
    enum kt_status status = kt_buf_status(dest);
    if (status != KT_OK) {
        dest->len_bytes = before;
        return kt_fail(err, status, "no room for an encoded change");
    }
    return KT_OK;
}

enum kt_status kt_change_encode(const struct kt_change_builder *b, struct kt_buf *ret_bytes,
                                struct kt_error *err)
{
    size_t before = ret_bytes->len_bytes;
    kt_buf_append_byte(ret_bytes, CHANGE_FORMAT);
    kt_buf_append_byte(ret_bytes, KT_CHANGE_SAVE);
    kt_buf_put_varint(ret_bytes, b->entry_count);
    kt_buf_append(ret_bytes, b->texts.data, b->texts.len_bytes);
    kt_buf_put_varint(ret_bytes, b->subject_count);
    kt_buf_put_varint(ret_bytes, b->stay_count);
    kt_buf_put_varint(ret_bytes, b->tag_count);
    kt_buf_put_varint(ret_bytes, b->tag_value_count);
    kt_buf_append(ret_bytes, b->subjects.data, b->subjects.len_bytes);
    kt_buf_put_varint(ret_bytes, b->record_count);
    kt_buf_put_varint(ret_bytes, b->value_count);
    kt_buf_append(ret_bytes, b->records.data, b->records.len_bytes);
    put_options(ret_bytes, b->has_if_revision, b->if_revision);
    if (b->recorded_revision != 0) {
        kt_buf_append_byte(ret_bytes, OPTION_RECORDED);
        kt_buf_put_varint(ret_bytes, b->recorded_revision);
        kt_buf_put_svarint(ret_bytes, b->recorded_wall_ms);
    }
    return encoded(ret_bytes, before, err);
}

static void put_plain(struct kt_buf *dest, const struct kt_str *texts, size_t count)
{
    kt_buf_put_varint(dest, count);
    for (size_t i = 0; i < count; i++) {
        kt_buf_put_bytes(dest, texts[i]);
    }
}

enum kt_status kt_change_encode_delete(const struct kt_change_delete *erase,
                                       struct kt_buf *ret_bytes, struct kt_error *err)
{
    size_t before = ret_bytes->len_bytes;
    kt_buf_append_byte(ret_bytes, CHANGE_FORMAT);
    kt_buf_append_byte(ret_bytes, KT_CHANGE_DELETE);
    kt_buf_append_byte(ret_bytes, (char)(erase->all ? DELETE_ALL : 0));
    put_plain(ret_bytes, erase->subjects, erase->subject_count);
    kt_buf_put_svarint(ret_bytes, erase->from_s);
    kt_buf_put_svarint(ret_bytes, erase->to_s);
    put_plain(ret_bytes, erase->periods, erase->period_count);
    put_options(ret_bytes, erase->has_if_revision, erase->if_revision);
    return encoded(ret_bytes, before, err);
}

void kt_change_encode_epoch_start(const struct kt_change_epoch_start *start,
                                  struct kt_buf *ret_bytes)
{
    kt_buf_append_byte(ret_bytes, CHANGE_FORMAT);
    kt_buf_append_byte(ret_bytes, KT_CHANGE_EPOCH_START);
    kt_buf_put_bytes(ret_bytes, start->epoch_id);
    struct {
        struct kt_str name;
        int64_t value;
        bool said;
    } settings[] = {{KT_STR(SETTING_MAX_INDICATORS), start->max_indicators, start->first},
                    {KT_STR(SETTING_MAX_KEYS), start->max_keys, start->first && start->max_keys},
                    {KT_STR(SETTING_KEY_WINDOW_MS), start->key_window_ms,
                     start->first && start->key_window_ms}};
    size_t said = 0;
    for (size_t i = 0; i < KT_ARRAY_LEN(settings); i++) {
        said += settings[i].said;
    }
    kt_buf_put_varint(ret_bytes, said);
    for (size_t i = 0; i < KT_ARRAY_LEN(settings); i++) {
        if (settings[i].said) {
            kt_buf_put_bytes(ret_bytes, settings[i].name);
            kt_buf_put_svarint(ret_bytes, settings[i].value);
        }
    }
    if (start->first) {
        kt_buf_put_bytes(ret_bytes, kt_str_n((const char *)start->cursor_key, KT_CURSOR_KEY_BYTES));
    } else {
        kt_buf_put_bytes(ret_bytes, KT_STR(""));
    }
}

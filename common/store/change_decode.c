/* SPDX-License-Identifier: MIT */
/* Decoding a change, from bytes that may have been damaged on the way or on disk. The totals at the
 * head of each part let everything be allocated at once; they are checked against the bytes that
 * are left (each element takes at least one) and, at the end, against what was really there.
 */
#include "store/change_format.h"

#include "base/hash.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

struct decoder {
    struct kt_rd rd;
    struct kt_str *texts;
    size_t text_count;
    struct kt_change_stay *stays, *stays_end;
    struct kt_change_tag *tags, *tags_end;
    struct kt_str *tag_values, *tag_values_end;
    struct kt_change_value *values, *values_end;
    bool bad; /* an index, a total or a value out of range */
};

static bool is_bad(const struct decoder *d)
{
    return d->bad || d->rd.bad;
}

/* A count of elements that take at least one byte each. */
static size_t get_count(struct decoder *d)
{
    uint64_t count = kt_rd_varint(&d->rd);
    if (count > kt_rd_left(&d->rd)) {
        d->bad = true;
        return 0;
    }
    return (size_t)count;
}

static struct kt_str text_at(struct decoder *d, uint64_t index)
{
    if (d->rd.bad || index >= d->text_count) {
        d->bad = true;
        return kt_str_n(NULL, 0);
    }
    return d->texts[index];
}

static struct kt_str get_text(struct decoder *d)
{
    return text_at(d, kt_rd_varint(&d->rd));
}

static struct kt_str get_key(struct decoder *d)
{
    struct kt_str key = get_text(d);
    d->bad |= key.len == 0;
    return key;
}

static int64_t get_time(struct decoder *d)
{
    int64_t time_s = kt_rd_svarint(&d->rd);
    d->bad |= !change_time_ok(time_s);
    return time_s;
}

static struct kt_opt_text get_opt(struct decoder *d, unsigned flags)
{
    struct kt_opt_text text = {(enum kt_named)(flags & NAMED_MASK), {NULL, 0}};
    if ((flags & NAMED_MASK) > KT_NAMED) {
        d->bad = true;
        text.named = KT_NOT_NAMED;
    } else if (text.named == KT_NAMED) {
        text.text = get_text(d);
    }
    return text;
}

static void get_stays(struct decoder *d, struct kt_change_subject *subject)
{
    size_t count = get_count(d);
    if (count > (size_t)(d->stays_end - d->stays)) {
        d->bad = true;
        return;
    }
    subject->stays = d->stays;
    subject->stay_count = count;
    for (size_t i = 0; i < count && !is_bad(d); i++) {
        struct kt_change_stay *stay = d->stays++;
        stay->topic = get_key(d);
        stay->from_s = get_time(d);
        stay->to_s = get_time(d);
    }
}

/* They stand among the tag values: one array of texts for both. */
static void get_leaves(struct decoder *d, struct kt_change_subject *subject)
{
    size_t count = get_count(d);
    if (count > (size_t)(d->tag_values_end - d->tag_values)) {
        d->bad = true;
        return;
    }
    subject->leaves = d->tag_values;
    subject->leave_count = count;
    for (size_t i = 0; i < count && !is_bad(d); i++) {
        *d->tag_values++ = get_key(d);
    }
}

static void get_tags(struct decoder *d, struct kt_change_subject *subject)
{
    size_t count = get_count(d);
    if (count > (size_t)(d->tags_end - d->tags)) {
        d->bad = true;
        return;
    }
    subject->tags = d->tags;
    subject->tag_count = count;
    for (size_t i = 0; i < count && !is_bad(d); i++) {
        struct kt_change_tag *tag = d->tags++;
        tag->name = get_key(d);
        tag->count = get_count(d);
        tag->values = d->tag_values;
        if (tag->count > (size_t)(d->tag_values_end - d->tag_values)) {
            d->bad = true;
            return;
        }
        for (size_t j = 0; j < tag->count; j++) {
            *d->tag_values++ = get_text(d);
        }
    }
}

static void get_subject(struct decoder *d, struct kt_change_subject *subject)
{
    subject->key = get_key(d);
    unsigned flags = kt_rd_u8(&d->rd);
    unsigned mode = kt_rd_u8(&d->rd);
    if (mode > KT_TOPICS_EDIT) {
        d->bad = true;
        return;
    }
    subject->topics_mode = (enum kt_topics_mode)mode;
    subject->name = get_opt(d, flags);
    subject->status = get_opt(d, flags >> NAMED_BITS);
    subject->listing_date = get_opt(d, flags >> 2 * NAMED_BITS);
    subject->category = get_opt(d, flags >> 3 * NAMED_BITS);
    get_stays(d, subject);
    if (mode == KT_TOPICS_EDIT) {
        get_leaves(d, subject);
    }
    get_tags(d, subject);
}

static void get_record(struct decoder *d, struct kt_change_record *record)
{
    record->subject = get_key(d);
    record->time_s = get_time(d);
    record->period = get_text(d);
    unsigned flags = kt_rd_u8(&d->rd);
    d->bad |= flags > RECORD_FLAGS_MAX;
    record->declare_given = (flags & RECORD_DECLARE_GIVEN) != 0;
    if (record->declare_given) {
        record->declare_s = get_time(d);
    }
    record->end_date = get_opt(d, flags >> RECORD_END_DATE_SHIFT);
    record->year = get_opt(d, flags >> RECORD_YEAR_SHIFT);
    size_t count = get_count(d);
    if (count > (size_t)(d->values_end - d->values)) {
        d->bad = true;
        return;
    }
    record->values = d->values;
    record->value_count = count;
    for (size_t i = 0; i < count && !is_bad(d); i++) {
        struct kt_change_value *value = d->values++;
        uint64_t packed = kt_rd_varint(&d->rd);
        value->indicator = text_at(d, packed >> 1);
        value->is_null = packed & 1;
        value->number = value->is_null ? 0 : kt_rd_f64(&d->rd);
        d->bad |= !isfinite(value->number) || !change_indicator_ok(value->indicator);
    }
}

/* The arrays of one part in one block each; the parts hang together as a list for done(). */
struct block {
    struct block *next;
    max_align_t data[];
};

static void *block_new(struct kt_change *change, size_t bytes)
{
    struct block *block = kt_calloc(1, sizeof(*block) + bytes);
    if (!block) {
        return NULL;
    }
    block->next = change->memory;
    change->memory = block;
    return block->data;
}

/* Each returns false only when memory is exhausted. */
static bool decode_texts(struct decoder *d, struct kt_change *change)
{
    size_t count = get_count(d);
    d->texts = block_new(change, count * sizeof(*d->texts));
    if (!d->texts) {
        return false;
    }
    for (size_t i = 0; i < count && !is_bad(d); i++) {
        d->texts[i] = kt_rd_bytes(&d->rd);
    }
    d->text_count = count;
    return true;
}

static bool decode_subjects(struct decoder *d, struct kt_change *change)
{
    size_t count = get_count(d), stays = get_count(d), tags = get_count(d);
    size_t tag_values = get_count(d);
    if (is_bad(d)) {
        return true;
    }
    char *memory =
        block_new(change, count * sizeof(*change->subjects) + stays * sizeof(*d->stays) +
                              tags * sizeof(*d->tags) + tag_values * sizeof(*d->tag_values));
    if (!memory) {
        return false;
    }
    change->subjects = (void *)memory;
    d->stays = (void *)(change->subjects + count);
    d->stays_end = d->stays + stays;
    d->tags = (void *)d->stays_end;
    d->tags_end = d->tags + tags;
    d->tag_values = (void *)d->tags_end;
    d->tag_values_end = d->tag_values + tag_values;
    for (size_t i = 0; i < count && !is_bad(d); i++) {
        get_subject(d, &change->subjects[i]);
    }
    d->bad |=
        d->stays != d->stays_end || d->tags != d->tags_end || d->tag_values != d->tag_values_end;
    change->subject_count = count;
    return true;
}

static bool decode_records(struct decoder *d, struct kt_change *change)
{
    size_t count = get_count(d), values = get_count(d);
    if (is_bad(d)) {
        return true;
    }
    char *memory =
        block_new(change, count * sizeof(*change->records) + values * sizeof(*d->values));
    if (!memory) {
        return false;
    }
    change->records = (void *)memory;
    d->values = (void *)(change->records + count);
    d->values_end = d->values + values;
    for (size_t i = 0; i < count && !is_bad(d); i++) {
        get_record(d, &change->records[i]);
    }
    d->bad |= d->values != d->values_end;
    change->record_count = count;
    return true;
}

/* --- a delete --- */

static bool get_plain(struct decoder *d, struct kt_change *change, const struct kt_str **ret_texts,
                      size_t *ret_count)
{
    size_t count = get_count(d);
    struct kt_str *texts = block_new(change, count * sizeof(*texts));
    if (!texts) {
        return false;
    }
    for (size_t i = 0; i < count && !is_bad(d); i++) {
        texts[i] = kt_rd_bytes(&d->rd);
    }
    *ret_texts = texts;
    *ret_count = count;
    return true;
}

static bool decode_delete(struct decoder *d, struct kt_change *change)
{
    struct kt_change_delete *erase = &change->erase;
    unsigned flags = kt_rd_u8(&d->rd);
    d->bad |= flags > DELETE_ALL;
    erase->all = flags == DELETE_ALL;
    if (!get_plain(d, change, &erase->subjects, &erase->subject_count)) {
        return false;
    }
    for (size_t i = 0; i < erase->subject_count && !is_bad(d); i++) {
        d->bad |= erase->subjects[i].len == 0;
    }
    erase->from_s = get_time(d);
    erase->to_s = get_time(d);
    if (!get_plain(d, change, &erase->periods, &erase->period_count)) {
        return false;
    }
    for (size_t i = 1; i < erase->period_count && !is_bad(d); i++) {
        d->bad |= kt_str_cmp(erase->periods[i - 1], erase->periods[i]) >= 0;
    }
    return true;
}

/* What may follow a save or a delete, in this order. */
static void decode_options(struct decoder *d, struct kt_change *change)
{
    unsigned last = 0;
    while (!is_bad(d) && kt_rd_left(&d->rd) > 0) {
        unsigned option = kt_rd_u8(&d->rd);
        if (option <= last) {
            d->bad = true;
        } else if (option == OPTION_IF_REVISION) {
            change->has_if_revision = true;
            change->if_revision = kt_rd_varint(&d->rd);
            change->erase.has_if_revision = change->kind == KT_CHANGE_DELETE;
            change->erase.if_revision = change->if_revision;
        } else if (option == OPTION_RECORDED && change->kind == KT_CHANGE_SAVE) {
            change->recorded_revision = kt_rd_varint(&d->rd);
            change->recorded_wall_ms = kt_rd_svarint(&d->rd);
            d->bad |= change->recorded_revision == 0 || change->recorded_revision > KT_REVISION_MAX;
        } else {
            d->bad = true; /* a condition that we would not obey must not be passed over */
        }
        last = option;
    }
}

/* --- an epoch-start --- */

static void decode_epoch_start(struct decoder *d, struct kt_change_epoch_start *start)
{
    start->epoch_id = kt_rd_bytes(&d->rd);
    d->bad |= start->epoch_id.len != KT_ID_LEN;
    size_t settings = get_count(d);
    bool has_max_indicators = false;
    for (size_t i = 0; i < settings && !is_bad(d); i++) {
        struct kt_str name = kt_rd_bytes(&d->rd);
        int64_t value = kt_rd_svarint(&d->rd);
        if (kt_str_eq_text(name, SETTING_MAX_INDICATORS)) {
            has_max_indicators = true;
            start->max_indicators = value;
        } else if (kt_str_eq_text(name, SETTING_MAX_KEYS)) {
            start->max_keys = value;
            d->bad |= value < 1;
        } else if (kt_str_eq_text(name, SETTING_KEY_WINDOW_MS)) {
            start->key_window_ms = value;
            d->bad |= value < 1;
        } else {
            d->bad = true; /* a setting that we would not obey must not be passed over */
        }
    }
    struct kt_str key = kt_rd_bytes(&d->rd);
    start->first = key.len > 0;
    d->bad |= start->first ? key.len != KT_CURSOR_KEY_BYTES || !has_max_indicators : settings > 0;
    if (start->first && !is_bad(d)) {
        memcpy(start->cursor_key, key.data, KT_CURSOR_KEY_BYTES);
    }
}

static bool decode_body(struct decoder *d, struct kt_change *change)
{
    if (change->kind == KT_CHANGE_EPOCH_START) {
        decode_epoch_start(d, &change->epoch_start);
        return true;
    }
    if (change->kind == KT_CHANGE_GENERIC) {
        d->bad |= !change_decode_generic(&d->rd, &change->generic);
        return true;
    }
    bool memory =
        change->kind == KT_CHANGE_DELETE
            ? decode_delete(d, change)
            : decode_texts(d, change) && decode_subjects(d, change) && decode_records(d, change);
    decode_options(d, change);
    return memory;
}

enum kt_status kt_change_decode(struct kt_str bytes, struct kt_change *ret_change,
                                struct kt_error *err)
{
    int kind = kt_change_kind_of(bytes);
    if (kind == 0) {
        return kt_fail(err, KT_CORRUPT, "not an encoded change (%zu bytes)", bytes.len);
    }
    struct kt_change change = {.kind = (enum kt_change_kind)kind};
    struct decoder d = {.bad = false};
    kt_rd_init(&d.rd, bytes.data + 2, bytes.len - 2);
    if (!decode_body(&d, &change)) {
        kt_change_done(&change);
        return kt_fail(err, KT_NO_MEMORY, "no memory for a change of %zu bytes", bytes.len);
    }
    if (is_bad(&d) || kt_rd_left(&d.rd) > 0) {
        kt_change_done(&change);
        return kt_fail(err, KT_CORRUPT, "a change of %zu bytes is damaged %zu bytes before its end",
                       bytes.len, kt_rd_left(&d.rd));
    }
    *ret_change = change;
    return KT_OK;
}

void kt_change_done(struct kt_change *change)
{
    struct block *block = change->memory;
    while (block) {
        struct block *next = block->next;
        kt_free(block);
        block = next;
    }
    *change = (struct kt_change){.kind = change->kind};
}

int kt_change_kind_of(struct kt_str bytes)
{
    if (bytes.len < 2 || bytes.data[0] != CHANGE_FORMAT || bytes.data[1] < KT_CHANGE_EPOCH_START ||
        bytes.data[1] > KT_CHANGE_GENERIC) {
        return 0;
    }
    return bytes.data[1];
}

/* SPDX-License-Identifier: MIT */
/* The rows of one subject name nearly the same indicators in the same order, so the reader keeps
 * the text of the last row and, per position, which number its key had: the next row's key is then
 * compared once instead of searched.
 */
#include "store/rowdata.h"

#include "base/mem.h"

#include <string.h>

/* --- writing --- */

static bool needs_escape(struct kt_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < 0x20 || c == '"' || c == '\\') {
            return true;
        }
    }
    return false;
}

static void write_text(struct kt_buf *buf, struct kt_str text)
{
    kt_buf_append_byte(buf, '"');
    if (!needs_escape(text)) {
        kt_buf_append_str(buf, text);
    } else {
        for (size_t i = 0; i < text.len; i++) {
            unsigned char c = (unsigned char)text.data[i];
            if (c < 0x20) {
                kt_buf_append_text(buf, "\\u00");
                kt_buf_append_hex(buf, &c, 1);
            } else {
                if (c == '"' || c == '\\') {
                    kt_buf_append_byte(buf, '\\');
                }
                kt_buf_append_byte(buf, (char)c);
            }
        }
    }
    kt_buf_append_byte(buf, '"');
}

static void write_key(struct kt_buf *buf, struct kt_str key, bool *first)
{
    kt_buf_append_byte(buf, *first ? '{' : ',');
    *first = false;
    write_text(buf, key);
    kt_buf_append_byte(buf, ':');
}

static void write_opt(struct kt_buf *buf, struct kt_str key, struct kt_opt_text text, bool *first)
{
    if (text.named == KT_NOT_NAMED) {
        return;
    }
    write_key(buf, key, first);
    if (text.named == KT_NAMED) {
        write_text(buf, text.text);
    } else {
        kt_buf_append(buf, "null", 4);
    }
}

void rowdata_write(struct kt_buf *buf, const struct kt_change_record *record)
{
    bool first = true;
    for (size_t i = 0; i < record->value_count; i++) {
        const struct kt_change_value *value = &record->values[i];
        write_key(buf, value->indicator, &first);
        if (value->is_null) {
            kt_buf_append(buf, "null", 4);
        } else {
            char number[KT_F64_TEXT_MAX];
            kt_buf_append(buf, number, kt_format_f64(value->number, number));
        }
    }
    write_opt(buf, KT_STR("end_date"), record->end_date, &first);
    write_opt(buf, KT_STR("year"), record->year, &first);
    if (first) {
        kt_buf_append_byte(buf, '{');
    }
    kt_buf_append_byte(buf, '}');
}

/* --- reading --- */

struct known_key { /* of the last row, by position */
    uint32_t offset, len;
    uint32_t number;
};

struct rowdata_reader {
    const struct indicator_table *indicators;
    struct kt_value *values;
    struct known_key *known; /* parallel to values */
    size_t cap, known_count;
    struct kt_buf last;                           /* the last row's text */
    struct kt_buf key_text, date_text, year_text; /* unescaped */
};

struct rowdata_reader *rowdata_reader_new(void)
{
    struct rowdata_reader *reader = kt_calloc(1, sizeof(*reader));
    if (reader) {
        kt_buf_init(&reader->last, 0);
        kt_buf_init(&reader->key_text, 0);
        kt_buf_init(&reader->date_text, 0);
        kt_buf_init(&reader->year_text, 0);
    }
    return reader;
}

void rowdata_reader_free(struct rowdata_reader **reader)
{
    if (!reader || !*reader) {
        return;
    }
    kt_free((*reader)->values);
    kt_free((*reader)->known);
    kt_buf_done(&(*reader)->last);
    kt_buf_done(&(*reader)->key_text);
    kt_buf_done(&(*reader)->date_text);
    kt_buf_done(&(*reader)->year_text);
    kt_free(*reader);
    *reader = NULL;
}

void rowdata_reader_start(struct rowdata_reader *reader, const struct indicator_table *indicators)
{
    reader->indicators = indicators;
    reader->known_count = 0;
    kt_buf_clear(&reader->last);
}

struct scan {
    const char *begin, *pos, *end;
};

static bool eat(struct scan *scan, char c)
{
    if (scan->pos < scan->end && *scan->pos == c) {
        scan->pos++;
        return true;
    }
    return false;
}

static bool eat_null(struct scan *scan)
{
    if (scan->end - scan->pos >= 4 && memcmp(scan->pos, "null", 4) == 0) {
        scan->pos += 4;
        return true;
    }
    return false;
}

/* The inside of a quoted text, still escaped. */
static bool eat_quoted(struct scan *scan, struct kt_str *ret_raw, bool *ret_escaped)
{
    if (!eat(scan, '"')) {
        return false;
    }
    const char *from = scan->pos;
    *ret_escaped = false;
    for (const char *p = from; p < scan->end; p++) {
        if (*p == '"') {
            *ret_raw = kt_str_n(from, (size_t)(p - from));
            scan->pos = p + 1;
            return true;
        }
        if (*p == '\\') {
            *ret_escaped = true;
            p++;
        }
    }
    return false;
}

static bool unescape(struct kt_str raw, struct kt_buf *dest)
{
    kt_buf_clear(dest);
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.data[i] != '\\') {
            kt_buf_append_byte(dest, raw.data[i]);
            continue;
        }
        i++;
        if (i < raw.len && (raw.data[i] == '"' || raw.data[i] == '\\')) {
            kt_buf_append_byte(dest, raw.data[i]);
            continue;
        }
        uint64_t code;
        if (raw.len - i < 5 || raw.data[i] != 'u' ||
            !kt_parse_hex_u64(kt_str_n(raw.data + i + 1, 4), &code) || code >= 0x20) {
            return false;
        }
        kt_buf_append_byte(dest, (char)code);
        i += 4;
    }
    return true;
}

static enum kt_status damaged(const struct scan *scan, struct kt_error *err)
{
    return kt_fail(err, KT_CORRUPT, "its text is damaged at byte %zd of %zd",
                   (ptrdiff_t)(scan->pos - scan->begin), (ptrdiff_t)(scan->end - scan->begin));
}

static enum kt_status no_memory(struct kt_error *err)
{
    return kt_fail(err, KT_NO_MEMORY, "no memory to read a version");
}

static enum kt_status read_opt(struct scan *scan, struct kt_buf *scratch,
                               struct kt_opt_text *ret_text, struct kt_error *err)
{
    struct kt_opt_text text = {KT_NAMED_NULL, {NULL, 0}};
    bool escaped;
    if (!eat_null(scan)) {
        text.named = KT_NAMED;
        if (!eat_quoted(scan, &text.text, &escaped) || (escaped && !unescape(text.text, scratch))) {
            return damaged(scan, err);
        }
        if (escaped) {
            if (kt_buf_status(scratch) != KT_OK) {
                return no_memory(err);
            }
            text.text = kt_buf_str(scratch);
        }
    }
    *ret_text = text;
    return KT_OK;
}

static bool read_number(struct scan *scan, struct kt_value *value)
{
    if (eat_null(scan)) {
        value->is_null = true;
        return true;
    }
    const char *from = scan->pos;
    while (scan->pos < scan->end && *scan->pos != ',' && *scan->pos != '}') {
        scan->pos++;
    }
    return kt_parse_f64(kt_str_n(from, (size_t)(scan->pos - from)), &value->number);
}

/* Room for one more value. */
static bool reader_grow(struct rowdata_reader *reader, size_t count)
{
    if (count < reader->cap) {
        return true;
    }
    size_t cap = reader->cap ? reader->cap * 2 : 32;
    struct kt_value *values = kt_reallocarray(reader->values, cap, sizeof(*values));
    if (!values) {
        return false;
    }
    reader->values = values;
    struct known_key *known = kt_reallocarray(reader->known, cap, sizeof(*known));
    if (!known) {
        return false;
    }
    reader->known = known;
    reader->cap = cap;
    return true;
}

/* The number of the indicator named at `raw` as the value at position `at`. */
static enum kt_status find_number(struct rowdata_reader *reader, struct kt_str raw, bool escaped,
                                  size_t at, uint32_t *ret_number, struct kt_error *err)
{
    if (at < reader->known_count && reader->known[at].len == raw.len &&
        memcmp(reader->last.data + reader->known[at].offset, raw.data, raw.len) == 0) {
        *ret_number = reader->known[at].number;
        return KT_OK;
    }
    struct kt_str key = raw;
    if (escaped) {
        if (!unescape(raw, &reader->key_text)) {
            return kt_fail(err, KT_CORRUPT, "an indicator's key is damaged");
        }
        if (kt_buf_status(&reader->key_text) != KT_OK) {
            return no_memory(err);
        }
        key = kt_buf_str(&reader->key_text);
    }
    if (!indicators_find(reader->indicators, key, ret_number)) {
        return kt_fail(err, KT_CORRUPT, "it names the unknown indicator \"" KT_STR_FMT "\"",
                       KT_STR_ARG(key));
    }
    return KT_OK;
}

static enum kt_status read_member(struct rowdata_reader *reader, struct scan *scan,
                                  struct kt_version *version, struct kt_error *err)
{
    struct kt_str raw;
    bool escaped;
    if (!eat_quoted(scan, &raw, &escaped) || !eat(scan, ':')) {
        return damaged(scan, err);
    }
    if (kt_str_eq_text(raw, "end_date")) {
        return read_opt(scan, &reader->date_text, &version->end_date, err);
    }
    if (kt_str_eq_text(raw, "year")) {
        return read_opt(scan, &reader->year_text, &version->year, err);
    }
    size_t at = version->value_count;
    if (!reader_grow(reader, at)) {
        return no_memory(err);
    }
    struct kt_value *value = &reader->values[at];
    *value = (struct kt_value){0};
    enum kt_status status = find_number(reader, raw, escaped, at, &value->indicator, err);
    if (status != KT_OK) {
        return status;
    }
    /* Takes effect for the next row, when `last` holds this text. */
    reader->known[at] =
        (struct known_key){(uint32_t)(raw.data - scan->begin), (uint32_t)raw.len, value->indicator};
    version->value_count++;
    return read_number(scan, value) ? KT_OK : damaged(scan, err);
}

static enum kt_status read_members(struct rowdata_reader *reader, struct kt_str text,
                                   struct kt_version *ret_version, struct kt_error *err)
{
    struct scan scan = {text.data, text.data, text.data + text.len};
    ret_version->end_date.named = ret_version->year.named = KT_NOT_NAMED;
    ret_version->value_count = 0;
    if (text.len > UINT32_MAX || !eat(&scan, '{')) {
        return damaged(&scan, err);
    }
    while (!eat(&scan, '}')) {
        if (scan.pos > text.data + 1 && !eat(&scan, ',')) {
            return damaged(&scan, err);
        }
        enum kt_status status = read_member(reader, &scan, ret_version, err);
        if (status != KT_OK) {
            return status;
        }
    }
    return scan.pos == scan.end ? KT_OK : damaged(&scan, err);
}

enum kt_status rowdata_read(struct rowdata_reader *reader, struct kt_str text,
                            struct kt_version *ret_version, struct kt_error *err)
{
    enum kt_status status = read_members(reader, text, ret_version, err);
    if (status != KT_OK) {
        reader->known_count = 0; /* they speak of a text that `last` does not hold */
        return status;
    }
    kt_buf_clear(&reader->last);
    kt_buf_append_str(&reader->last, text);
    reader->known_count = kt_buf_status(&reader->last) == KT_OK ? ret_version->value_count : 0;
    ret_version->values = reader->values;
    return KT_OK;
}

/* SPDX-License-Identifier: MIT */
/* print.c - the table as the running values, as Markdown and as a commented .ini. */
#include "conf/conf_internal.h"

#include <string.h>

enum { COMMENT_WIDTH = 96 };

void kt_conf_print(const struct kt_conf *conf, struct kt_buf *ret_text)
{
    struct kt_buf value;
    kt_buf_init(&value, 0);
    for (size_t i = 0; i < conf->table->count; i++) {
        const struct kt_conf_key *key = &conf->table->keys[i];
        kt_buf_clear(&value);
        kt_conf_format_value(key, conf->target, &value);
        kt_buf_printf(ret_text, "[%s] %s =%s", key->section, key->key, value.len_bytes ? " " : "");
        kt_buf_append_str(ret_text, kt_buf_str(&value));
        switch (conf->sources[i]) {
        case KT_CONF_DEFAULT:
            kt_buf_append_text(ret_text, "   # default\n");
            break;
        case KT_CONF_FILE:
            kt_buf_printf(ret_text, "   # %s:%d\n", conf->file, conf->lines[i]);
            break;
        case KT_CONF_ENV:
            kt_buf_append_text(ret_text, "   # environment\n");
            break;
        case KT_CONF_FLAG:
            kt_buf_append_text(ret_text, "   # flag\n");
            break;
        }
    }
    if (kt_buf_status(&value) != KT_OK) {
        ret_text->failed = kt_buf_status(&value);
    }
    kt_buf_done(&value);
}

/* The table's sections in the order in which they first appear; a section's keys need not stand
 * together in the table. */
static bool is_first_of_section(const struct kt_conf_table *table, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (strcmp(table->keys[i].section, table->keys[at].section) == 0) {
            return false;
        }
    }
    return true;
}

static bool has_unit(const struct kt_conf_key *key)
{
    return key->unit && key->unit[0];
}

/* A table's cell: '|' would end it, a line break the row. */
static void append_cell(const char *text, struct kt_buf *ret_text)
{
    for (; *text; text++) {
        if (*text == '|') {
            kt_buf_append_byte(ret_text, '\\');
        }
        kt_buf_append_byte(ret_text, *text == '\n' ? ' ' : *text);
    }
}

static void print_row(const struct kt_conf_key *key, const char *preset, struct kt_buf *ret_text)
{
    kt_buf_printf(ret_text, "| `%s` | ", key->key);
    if (preset[0]) {
        kt_buf_append_byte(ret_text, '`');
        append_cell(preset, ret_text);
        kt_buf_append_byte(ret_text, '`');
    } else {
        kt_buf_append_text(ret_text, "(empty)");
    }
    kt_buf_append_text(ret_text, " | ");
    if (key->type == KT_CONF_BOOL) {
        kt_buf_append_text(ret_text, "true, false");
    }
    kt_conf_format_range(key, ret_text);
    kt_buf_printf(ret_text, " | %s | ", key->unit ? key->unit : "");
    append_cell(key->text ? key->text : "", ret_text);
    if (key->type == KT_CONF_SECRET) {
        kt_buf_append_text(ret_text, " Secret: shown as `***`.");
    }
    kt_buf_append_text(ret_text, " |\n");
}

void kt_conf_print_markdown(const struct kt_conf_table *table, const struct kt_conf_preset *presets,
                            size_t preset_count, struct kt_buf *ret_text)
{
    kt_buf_printf(ret_text, "## %s\n", table->program);
    for (size_t i = 0; i < table->count; i++) {
        const char *section = table->keys[i].section;
        if (!is_first_of_section(table, i)) {
            continue;
        }
        kt_buf_printf(ret_text,
                      "\n### %s `[%s]`\n\n| Key | Default | Allowed | Unit | Meaning |\n"
                      "|---|---|---|---|---|\n",
                      table->program, section);
        for (size_t j = i; j < table->count; j++) {
            const struct kt_conf_key *key = &table->keys[j];
            if (strcmp(key->section, section) == 0) {
                print_row(key, kt_conf_preset_of(key, presets, preset_count), ret_text);
            }
        }
    }
}

/* The text as comment lines, broken between words. */
static void print_comment(const char *text, struct kt_buf *ret_text)
{
    size_t column = 0;
    while (*text) {
        size_t len = strcspn(text, " \n");
        if (len > 0) {
            if (column > 0 && column + 1 + len > COMMENT_WIDTH) {
                kt_buf_append_byte(ret_text, '\n');
                column = 0;
            }
            kt_buf_append_text(ret_text, column == 0 ? "# " : " ");
            kt_buf_append(ret_text, text, len);
            column += len + (column == 0 ? 2 : 1);
        }
        text += len + (text[len] ? 1 : 0);
    }
    if (column > 0) {
        kt_buf_append_byte(ret_text, '\n');
    }
}

static void print_assignment(const struct kt_conf_key *key, const char *preset,
                             struct kt_buf *ret_text)
{
    kt_buf_append_byte(ret_text, '\n');
    print_comment(key->text ? key->text : "", ret_text);
    kt_buf_printf(ret_text, "# Default: %s. Allowed: ", preset[0] ? preset : "empty");
    if (key->type == KT_CONF_BOOL) {
        kt_buf_append_text(ret_text, "true, false");
    }
    kt_conf_format_range(key, ret_text);
    if (has_unit(key)) {
        kt_buf_printf(ret_text, ". Unit: %s", key->unit);
    }
    kt_buf_printf(ret_text, ".\n%s =%s%s\n", key->key, preset[0] ? " " : "", preset);
}

void kt_conf_print_ini(const struct kt_conf_table *table, const struct kt_conf_preset *presets,
                       size_t preset_count, struct kt_buf *ret_text)
{
    kt_buf_printf(ret_text,
                  "# Configuration of %s: every key at its default. Made by %s -print-config-ini.\n"
                  "# The environment (KAMAITACHI_<SECTION>_<KEY>) and flags override it.\n",
                  table->program, table->program);
    for (size_t i = 0; i < table->count; i++) {
        const char *section = table->keys[i].section;
        if (!is_first_of_section(table, i)) {
            continue;
        }
        kt_buf_printf(ret_text, "\n[%s]\n", section);
        for (size_t j = i; j < table->count; j++) {
            const struct kt_conf_key *key = &table->keys[j];
            if (strcmp(key->section, section) == 0) {
                print_assignment(key, kt_conf_preset_of(key, presets, preset_count), ret_text);
            }
        }
    }
}

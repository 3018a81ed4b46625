/* SPDX-License-Identifier: MIT */
/* file.c - the .ini file, read by inih from lines that we feed it.
 *
 * Left to itself inih would cut lines at 200 bytes, join indented lines to the value before, pass
 * over what stands behind a ']', not know '#' behind a value, and cut long section names: how, its
 * build decides. So each line is checked and stripped here first, and of an assignment inih gets
 * only "key ="; the value waits in the feeder until inih calls back, which it does before it asks
 * for the next line. */
#include "conf/conf_internal.h"

#include "base/fs.h"
#include "base/mem.h"

#include <ini.h>
#include <stdio.h>
#include <string.h>

enum { FILE_MAX = 1 << 20 };

struct feeder {
    struct kt_conf *conf;
    const char *name;
    struct kt_str rest; /* what was not fed yet; data NULL at the end */
    struct kt_str value;
    int line;
    enum kt_status status; /* the first failure; ends the feeding */
    struct kt_error *err;
};

static void fail_line(struct feeder *f, const char *what)
{
    f->status = kt_fail(f->err, KT_BAD_VALUE, "%s:%d: %s", f->name, f->line, what);
}

/* "a, b, c" for the message about an unknown section (section NULL) or key. */
static void list_known(const struct kt_conf_table *table, const char *section, char *dest,
                       size_t size)
{
    struct kt_buf list;
    kt_buf_init(&list, size - 1);
    for (size_t i = 0; i < table->count; i++) {
        const struct kt_conf_key *key = &table->keys[i];
        bool wanted = section != NULL && strcmp(key->section, section) == 0;
        if (!section) {
            wanted = true;
            for (size_t j = 0; j < i && wanted; j++) {
                wanted = strcmp(table->keys[j].section, key->section) != 0;
            }
        }
        if (wanted) {
            kt_buf_printf(&list, "%s%s", list.len_bytes ? ", " : "",
                          section ? key->key : key->section);
        }
    }
    kt_str_copy(dest, size, kt_buf_str(&list));
    kt_buf_done(&list);
}

static void fail_section(struct feeder *f, struct kt_str section)
{
    char shown[64], known[200];
    kt_str_copy(shown, sizeof(shown), section);
    list_known(f->conf->table, NULL, known, sizeof(known));
    f->status = kt_fail(f->err, KT_BAD_VALUE, "%s:%d: [%s]: no such section (known: %s)", f->name,
                        f->line, shown, known);
}

static void fail_key(struct feeder *f, const char *section, const char *key)
{
    char shown[64], known[200];
    if (!section[0]) {
        fail_line(f, "a key must stand below a [section]");
        return;
    }
    kt_str_copy(shown, sizeof(shown), kt_str(key));
    list_known(f->conf->table, section, known, sizeof(known));
    f->status = kt_fail(f->err, KT_BAD_VALUE, "%s:%d: [%s] %s: no such key (known: %s)", f->name,
                        f->line, section, shown, known);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* The line without its comment and without white space around. */
static struct kt_str strip(struct kt_str line)
{
    for (size_t i = 0; i < line.len; i++) {
        if ((line.data[i] == '#' || line.data[i] == ';') &&
            (i == 0 || is_space(line.data[i - 1]))) {
            line.len = i;
        }
    }
    return kt_str_trim(line);
}

/* No control characters but tabs; a lone CR or a NUL would make the line mean something else to
 * whoever looks at it. */
static bool is_clean(struct kt_str line)
{
    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7F) {
            return false;
        }
    }
    return kt_utf8_valid(line);
}

/* What inih gets of a stripped line; its length 0 for an empty line. */
static struct kt_str accept(struct feeder *f, struct kt_str line)
{
    const struct kt_str nothing = {"", 0};
    if (line.len == 0) {
        return nothing;
    }
    if (line.data[0] == '[') {
        struct kt_str section = kt_str_n(line.data + 1, line.len - 1);
        if (line.len < 2 || kt_str_find(section, KT_STR("]")) != (ptrdiff_t)section.len - 1) {
            fail_line(f, "a section must be the whole line: [section]");
            return nothing;
        }
        section.len--;
        if (!kt_conf_has_section(f->conf->table, section)) {
            fail_section(f, section);
            return nothing;
        }
        return line;
    }
    size_t at = 0;
    while (at < line.len && line.data[at] != '=' && line.data[at] != ':') {
        at++;
    }
    if (at == line.len || at == 0) {
        fail_line(f, "expected [section] or key = value");
        return nothing;
    }
    f->value = kt_str_trim(kt_str_n(line.data + at + 1, line.len - at - 1));
    return kt_str_n(line.data, at + 1);
}

/* fgets for inih. */
static char *feed(char *dest, int size, void *stream)
{
    struct feeder *f = stream;
    if (f->status != KT_OK || !f->rest.data || f->rest.len == 0) {
        return NULL;
    }
    f->line++;
    struct kt_str line = kt_str_cut(&f->rest, '\n');
    if (kt_str_ends(line, KT_STR("\r"))) {
        line.len--;
    }
    if (!is_clean(line)) {
        fail_line(f, "not valid UTF-8, or a control character");
        return NULL;
    }
    struct kt_str part = accept(f, strip(line));
    if (f->status == KT_OK && part.len + 2 > (size_t)size) {
        fail_line(f, "the name is too long");
    }
    if (f->status != KT_OK) {
        return NULL;
    }
    memcpy(dest, part.data, part.len);
    memcpy(dest + part.len, "\n", 2);
    return dest;
}

static enum kt_status assign(struct feeder *f, const char *section, const char *key)
{
    struct kt_conf *conf = f->conf;
    size_t at = kt_conf_find(conf->table, section, key);
    if (at == conf->table->count) {
        fail_key(f, section, key);
        return f->status;
    }
    if (conf->lines[at] != 0) {
        return kt_fail(f->err, KT_BAD_VALUE, "%s:%d: [%s] %s: given twice, first in line %d",
                       f->name, f->line, section, key, conf->lines[at]);
    }
    KT_AUTOFREE char *value = kt_strndup(f->value.data, f->value.len);
    if (!value) {
        return kt_fail(f->err, KT_NO_MEMORY, "%s:%d: no memory", f->name, f->line);
    }
    char where[200];
    snprintf(where, sizeof(where), "%.180s:%d", f->name, f->line);
    enum kt_status status =
        kt_conf_assign(&conf->table->keys[at], conf->target, value, where, f->err);
    if (status == KT_OK) {
        conf->sources[at] = KT_CONF_FILE;
        conf->lines[at] = f->line;
    }
    return status;
}

static int on_value(void *user, const char *section, const char *key, const char *value)
{
    struct feeder *f = user;
    (void)value;
    if (f->status == KT_OK) {
        f->status = assign(f, section, key);
    }
    return f->status == KT_OK;
}

enum kt_status kt_conf_load_text(struct kt_conf *conf, const char *name, struct kt_str text,
                                 struct kt_error *err)
{
    struct feeder f = {.conf = conf, .name = name, .rest = text, .err = err};
    char *file = kt_strdup(name);
    if (!file) {
        return kt_fail(err, KT_NO_MEMORY, "%s: no memory", name);
    }
    kt_free(conf->file);
    conf->file = file;
    memset(conf->lines, 0, conf->table->count * sizeof(*conf->lines));
    if (kt_str_starts(f.rest, KT_STR("\xEF\xBB\xBF"))) {
        f.rest = kt_str_n(f.rest.data + 3, f.rest.len - 3);
    }
    int rc = ini_parse_stream(feed, &f, on_value, &f);
    if (f.status == KT_OK && rc != 0) {
        f.status = kt_fail(err, rc > 0 ? KT_BAD_VALUE : KT_NO_MEMORY,
                           "%s:%d: expected [section] or key = value", name, f.line);
    }
    return f.status;
}

enum kt_status kt_conf_load_file(struct kt_conf *conf, const char *path, struct kt_error *err)
{
    KT_CLEANUP(kt_buf_done) struct kt_buf content;
    kt_buf_init(&content, FILE_MAX);
    enum kt_status status = kt_fs_read(path, FILE_MAX, &content, err);
    return status == KT_OK ? kt_conf_load_text(conf, path, kt_buf_str(&content), err) : status;
}

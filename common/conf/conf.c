/* SPDX-License-Identifier: MIT */
/* conf.c - the table, the defaults, and the order in which the sources are read. */
#include "conf/conf_internal.h"

#include "base/fs.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

bool kt_conf_has_section(const struct kt_conf_table *table, struct kt_str section)
{
    for (size_t i = 0; i < table->count; i++) {
        if (kt_str_eq_text(section, table->keys[i].section)) {
            return true;
        }
    }
    return false;
}

size_t kt_conf_find(const struct kt_conf_table *table, const char *section, const char *key)
{
    size_t at = 0;
    while (at < table->count && (strcmp(table->keys[at].section, section) != 0 ||
                                 strcmp(table->keys[at].key, key) != 0)) {
        at++;
    }
    return at;
}

const char *kt_conf_preset_of(const struct kt_conf_key *key, const struct kt_conf_preset *presets,
                              size_t preset_count)
{
    for (size_t i = 0; i < preset_count; i++) {
        if (strcmp(presets[i].section, key->section) == 0 &&
            strcmp(presets[i].key, key->key) == 0 && presets[i].value) {
            return presets[i].value;
        }
    }
    return key->preset ? key->preset : "";
}

/* A preset for a key that is not in the table is a mistake in the executable. */
static void assert_presets(const struct kt_conf_table *table, const struct kt_conf_preset *presets,
                           size_t preset_count)
{
    for (size_t i = 0; i < preset_count; i++) {
        KT_ASSERT(kt_conf_find(table, presets[i].section, presets[i].key) < table->count);
    }
}

static enum kt_status set_defaults(struct kt_conf *conf, struct kt_error *err)
{
    const struct kt_conf_table *table = conf->table;
    for (size_t i = 0; i < table->count; i++) {
        const char *preset = kt_conf_preset_of(&table->keys[i], conf->presets, conf->preset_count);
        enum kt_status status =
            kt_conf_assign(&table->keys[i], conf->target, preset, "default", err);
        if (status != KT_OK) {
            return status;
        }
    }
    return KT_OK;
}

enum kt_status kt_conf_init(struct kt_conf *conf, const struct kt_conf_table *table, void *target,
                            const struct kt_conf_preset *presets, size_t preset_count,
                            struct kt_error *err)
{
    assert_presets(table, presets, preset_count);
    *conf = (struct kt_conf){
        .table = table, .target = target, .presets = presets, .preset_count = preset_count};
    memset(target, 0, table->struct_size);
    conf->sources = kt_calloc(table->count, sizeof(*conf->sources));
    conf->lines = kt_calloc(table->count, sizeof(*conf->lines));
    enum kt_status status =
        conf->sources && conf->lines
            ? set_defaults(conf, err)
            : kt_fail(err, KT_NO_MEMORY, "no memory for the configuration of %s", table->program);
    if (status != KT_OK) {
        kt_conf_done(conf);
    }
    return status;
}

void kt_conf_done(struct kt_conf *conf)
{
    for (size_t i = 0; conf->table && i < conf->table->count; i++) {
        const struct kt_conf_key *key = &conf->table->keys[i];
        if (key->type == KT_CONF_STR || key->type == KT_CONF_SECRET) {
            char **slot = (char **)(void *)((char *)conf->target + key->offset);
            kt_free(*slot);
            *slot = NULL;
        }
    }
    kt_free(conf->sources);
    kt_free(conf->lines);
    kt_free(conf->file);
    *conf = (struct kt_conf){0};
}

enum kt_status kt_conf_set(struct kt_conf *conf, const char *section, const char *key,
                           const char *value, enum kt_conf_source source, const char *where,
                           struct kt_error *err)
{
    size_t at = kt_conf_find(conf->table, section, key);
    if (at == conf->table->count) {
        return kt_fail(err, KT_BAD_VALUE, "%s: [%s] %s: no such key", where, section, key);
    }
    enum kt_status status = kt_conf_assign(&conf->table->keys[at], conf->target, value, where, err);
    if (status == KT_OK) {
        conf->sources[at] = source;
    }
    return status;
}

/* An absent file is an error only when somebody named it. */
static enum kt_status load_some_file(struct kt_conf *conf, const struct kt_flags *flags,
                                     struct kt_error *err)
{
    char path[128];
    if (flags && flags->config) {
        return kt_conf_load_file(conf, flags->config, err);
    }
    snprintf(path, sizeof(path), "conf/%s.ini", conf->table->program);
    return kt_fs_exists(path) ? kt_conf_load_file(conf, path, err) : KT_OK;
}

static enum kt_status load_flags(struct kt_conf *conf, const struct kt_flags *flags,
                                 struct kt_error *err)
{
    const struct {
        const char *value, *section, *key, *where;
    } map[] = {{flags->port, "server", "port", "-port"},
               {flags->db, "store", "db", "-db"},
               {flags->log_level, "log", "level", "-log-level"}};
    for (size_t i = 0; i < KT_ARRAY_LEN(map); i++) {
        if (map[i].value) {
            enum kt_status status = kt_conf_set(conf, map[i].section, map[i].key, map[i].value,
                                                KT_CONF_FLAG, map[i].where, err);
            if (status != KT_OK) {
                return status;
            }
        }
    }
    return KT_OK;
}

enum kt_status kt_conf_load(struct kt_conf *conf, const struct kt_conf_table *table, void *target,
                            const struct kt_conf_preset *presets, size_t preset_count,
                            const struct kt_flags *flags, struct kt_error *err)
{
    enum kt_status status = kt_conf_init(conf, table, target, presets, preset_count, err);
    if (status != KT_OK) {
        return status;
    }
    status = load_some_file(conf, flags, err);
    if (status == KT_OK) {
        status = kt_conf_load_env(conf, NULL, err);
    }
    if (status == KT_OK && flags) {
        status = load_flags(conf, flags, err);
    }
    if (status != KT_OK) {
        kt_conf_done(conf);
    }
    return status;
}

/* SPDX-License-Identifier: MIT */
/* env.c - the environment: each key is asked for by its name, so that foreign names do no harm. */
#include "conf/conf_internal.h"

#include <stdio.h>
#include <stdlib.h>

static const char *process_env(const char *name)
{
    return getenv(name);
}

/* KAMAITACHI_ETCD_ENDPOINTS; what is no letter or digit becomes '_'. */
static void env_name(const struct kt_conf_key *key, char *dest, size_t size)
{
    int len = snprintf(dest, size, "KAMAITACHI_%s_%s", key->section, key->key);
    KT_ASSERT(len > 0 && (size_t)len < size);
    for (char *c = dest; *c; c++) {
        if (*c >= 'a' && *c <= 'z') {
            *c = (char)(*c - 'a' + 'A');
        } else if (!(*c >= 'A' && *c <= 'Z') && !(*c >= '0' && *c <= '9')) {
            *c = '_';
        }
    }
}

/* Empty unsets: the empty text where that is a value, else the default. */
static enum kt_status unset(struct kt_conf *conf, size_t at, const char *where,
                            struct kt_error *err)
{
    const struct kt_conf_key *key = &conf->table->keys[at];
    bool empty = kt_conf_takes_empty(key);
    const char *value = empty ? "" : kt_conf_preset_of(key, conf->presets, conf->preset_count);
    enum kt_status status = kt_conf_assign(key, conf->target, value, where, err);
    if (status == KT_OK) {
        conf->sources[at] = empty ? KT_CONF_ENV : KT_CONF_DEFAULT;
    }
    return status;
}

enum kt_status kt_conf_load_env(struct kt_conf *conf, const char *(*getenv_fn)(const char *),
                                struct kt_error *err)
{
    const struct kt_conf_table *table = conf->table;
    for (size_t i = 0; i < table->count; i++) {
        char name[128];
        env_name(&table->keys[i], name, sizeof(name));
        const char *value = (getenv_fn ? getenv_fn : process_env)(name);
        if (!value) {
            continue;
        }
        enum kt_status status = value[0]
                                    ? kt_conf_set(conf, table->keys[i].section, table->keys[i].key,
                                                  value, KT_CONF_ENV, name, err)
                                    : unset(conf, i, name, err);
        if (status != KT_OK) {
            return status;
        }
    }
    return KT_OK;
}

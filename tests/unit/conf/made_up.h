/* made_up.h - a made-up table with every type, shared by the tests of this directory.
 *
 * Threads: one.
 * Owns:    made_up, the target struct, and conf over it; reset() and finish() free.
 * Fails:   by CHECK of the caller.
 */
#ifndef KT_TEST_CONF_MADE_UP_H
#define KT_TEST_CONF_MADE_UP_H

#include "conf/conf.h"
#include "kt_test.h"

#include "base/mem.h"

#include <stddef.h>

struct made_up {
    int64_t port, cache, interval_ms, depth;
    bool verbose;
    char *name, *id, *db, *level_file, *token;
    int level, mode;
};

static struct made_up made_up;
static struct kt_conf conf;
static struct kt_error err;

static inline enum kt_status check_slash(const char *value, struct kt_error *why)
{
    return value[0] == '/' ? KT_OK : kt_fail(why, KT_BAD_VALUE, "it must begin with /");
}

#define AT(field) offsetof(struct made_up, field)
static const struct kt_conf_key made_up_keys[] = {
    {"server", "port", KT_CONF_INT, AT(port), 1, 65535, "8080", "", NULL, "Port to listen on.",
     NULL},
    {"server", "mode", KT_CONF_ENUM, AT(mode), 0, 0, "slave", "", "master|slave|auto",
     "What this node may become: a | b.", NULL},
    {"cache", "max_bytes", KT_CONF_BYTES, AT(cache), 1 << 20, INT64_C(1) << 40, "256m", "bytes",
     NULL, "Bound of the cache.", NULL},
    {"cache", "interval_ms", KT_CONF_MS, AT(interval_ms), 0, 3600000, "5000", "ms", NULL,
     "How often a snapshot is written. This text is long enough that it must be broken into more "
     "than one line of comment when it is printed into a file.",
     NULL},
    {"log", "level", KT_CONF_ENUM, AT(level), 0, 0, "info", "", "debug|info|warn|error|off",
     "Least level that is logged.", NULL},
    {"log", "verbose", KT_CONF_BOOL, AT(verbose), 0, 0, "off", "", NULL, "Say more.", NULL},
    {"store", "db", KT_CONF_STR, AT(db), 0, 0, "", "", NULL, "Database; empty = in memory.",
     check_slash},
    {"server", "name", KT_CONF_STR, AT(name), 0, 20, "", "", NULL, "Shown in the log.", NULL},
    {"server", "id", KT_CONF_STR, AT(id), 1, 8, "x", "", NULL, "Never empty.", NULL},
    {"auth", "admin_token", KT_CONF_SECRET, AT(token), 0, 64, "", "", NULL, "Who may administer.",
     NULL},
    {"log", "file", KT_CONF_STR, AT(level_file), 0, 5000, "", "", NULL, "Long ones are fine.",
     NULL},
    {"limits", "depth", KT_CONF_INT, AT(depth), -5, 5, "-1", "", NULL, NULL, NULL},
};
static const struct kt_conf_table made_up_table = {"made_up", made_up_keys,
                                                   KT_ARRAY_LEN(made_up_keys), sizeof(made_up)};

/* Fresh defaults. */
static inline enum kt_status reset(void)
{
    kt_conf_done(&conf);
    err = (struct kt_error)KT_ERROR_INIT;
    return kt_conf_init(&conf, &made_up_table, &made_up, NULL, 0, &err);
}

static inline enum kt_status load(const char *text)
{
    return kt_conf_load_text(&conf, "t.ini", kt_str(text), &err);
}

#define LOAD_FAILS(text, expected)                                                                 \
    do {                                                                                           \
        CHECK_OK(reset());                                                                         \
        CHECK_FAILS(load(text), KT_BAD_VALUE);                                                     \
        CHECK_STR(err.message, expected);                                                          \
    } while (0)

#endif

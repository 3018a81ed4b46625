/* SPDX-License-Identifier: MIT */
/* flags.c - the command line that all servers share. */
#include "conf/conf.h"

#include "base/mem.h"
#include "base/str.h"

#include <stddef.h>
#include <string.h>

struct flag {
    const char *name;
    bool takes_value;
    size_t offset;
    bool needs_db;
};

static const struct flag flags_known[] = {
    {"config", true, offsetof(struct kt_flags, config), false},
    {"port", true, offsetof(struct kt_flags, port), false},
    {"db", true, offsetof(struct kt_flags, db), true},
    {"log-level", true, offsetof(struct kt_flags, log_level), false},
    {"rejoin", false, offsetof(struct kt_flags, rejoin), true},
    {"detach", false, offsetof(struct kt_flags, detach), true},
    {"check-config", false, offsetof(struct kt_flags, check_config), false},
    {"version", false, offsetof(struct kt_flags, version), false},
    {"help", false, offsetof(struct kt_flags, help), false},
    {"print-config-md", false, offsetof(struct kt_flags, print_md), false},
    {"print-config-ini", false, offsetof(struct kt_flags, print_ini), false},
};

static const struct flag *find_flag(struct kt_str name)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(flags_known); i++) {
        if (kt_str_eq_text(name, flags_known[i].name)) {
            return &flags_known[i];
        }
    }
    return NULL;
}

/* One or two dashes and a name; an empty name otherwise. */
static struct kt_str flag_name(const char *arg)
{
    if (arg[0] != '-') {
        return kt_str("");
    }
    arg += arg[1] == '-' ? 2 : 1;
    return kt_str_n(arg, strcspn(arg, "="));
}

static enum kt_status put_value(const struct flag *flag, const char *value, struct kt_flags *flags,
                                struct kt_error *err)
{
    const char **slot = (const char **)(void *)((char *)flags + flag->offset);
    if (!value) {
        return kt_fail(err, KT_BAD_VALUE, "-%s needs a value", flag->name);
    }
    if (*slot) {
        return kt_fail(err, KT_BAD_VALUE, "-%s is given twice", flag->name);
    }
    *slot = value;
    return KT_OK;
}

/* The flag at argv[*at]; moves *at over its value. */
static enum kt_status parse_one(int argc, char **argv, bool has_db, int *at, struct kt_flags *flags,
                                struct kt_error *err)
{
    const char *arg = argv[*at];
    const struct flag *flag = find_flag(flag_name(arg));
    const char *equals = strchr(arg, '=');
    if (!flag) {
        return kt_fail(err, KT_BAD_VALUE, arg[0] == '-' ? "%s: no such flag" : "%s: not a flag",
                       arg);
    }
    if (!has_db && flag->needs_db) {
        return kt_fail(err, KT_BAD_VALUE, "-%s: this server has no database", flag->name);
    }
    if (flag->takes_value) {
        const char *value = equals ? equals + 1 : *at + 1 < argc ? argv[++*at] : NULL;
        return put_value(flag, value, flags, err);
    }
    if (equals) {
        return kt_fail(err, KT_BAD_VALUE, "-%s takes no value", flag->name);
    }
    *(bool *)(void *)((char *)flags + flag->offset) = true;
    return KT_OK;
}

enum kt_status kt_flags_parse(int argc, char **argv, bool has_db, struct kt_flags *ret_flags,
                              struct kt_error *err)
{
    struct kt_flags flags = {0};
    for (int at = 1; at < argc; at++) {
        enum kt_status status = parse_one(argc, argv, has_db, &at, &flags, err);
        if (status != KT_OK) {
            return status;
        }
    }
    *ret_flags = flags;
    return KT_OK;
}

#define HELP_HEAD                                                                                  \
    "  -config FILE     read FILE (default: conf/<program>.ini if it is there)\n"                  \
    "  -port N          port to listen on: [server] port\n"
#define HELP_DB                                                                                    \
    "  -db FILE         database file: [store] db\n"                                               \
    "  -rejoin          take a full copy from the leader if this node has diverged\n"              \
    "  -detach          start standalone with a database that was in a cluster: it gets new ids\n"
#define HELP_TAIL                                                                                  \
    "  -log-level L     debug, info, warn, error or off: [log] level\n"                            \
    "  -check-config    check the configuration, print it and exit\n"                              \
    "  -version         print the version and exit\n"                                              \
    "  -help            print this and exit\n"                                                     \
    "Later ones win: defaults, file, environment (KAMAITACHI_<SECTION>_<KEY>), flags.\n"

const char *kt_flags_help(bool has_db)
{
    return has_db ? HELP_HEAD HELP_DB HELP_TAIL : HELP_HEAD HELP_TAIL;
}

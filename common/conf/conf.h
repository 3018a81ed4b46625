/* conf.h - one table per executable gives the parser, the checks, -check-config and the docs.
 *
 * Precedence: defaults < file < environment (KAMAITACHI_<SECTION>_<KEY>, upper case) < flags. An
 * empty environment value unsets: the key is then the empty string, or its default where "" is no
 * value of its type. A BOM, CRLF and trailing # or ; comments (behind white space) are read. An
 * unknown section or key, a key given twice, a bad number or one out of range is refused with file,
 * line and the allowed range.
 *
 * The tables write straight into a struct of the executable's own: `offset` says where. Types in
 * the struct: INT int64_t; BYTES int64_t (accepts 64k, 512m, 2g: powers of 1024); MS int64_t
 * (number as it stands, the unit is part of the key's name); BOOL bool
 * (true/false/yes/no/on/off/1/0); STR and SECRET char * (heap, "" not NULL); ENUM int (index into
 * `choices`).
 *
 * Threads: loading on one thread; the result is read-only afterwards.
 * Owns:    strings in the target struct; kt_conf_done frees them.
 * Fails:   KT_BAD_VALUE, KT_NOT_FOUND (file), KT_IO with the message to print.
 */
#ifndef KT_CONF_CONF_H
#define KT_CONF_CONF_H

#include "base/buf.h"
#include "base/status.h"

#include <stddef.h>

enum kt_conf_type {
    KT_CONF_INT,
    KT_CONF_BYTES,
    KT_CONF_MS,
    KT_CONF_BOOL,
    KT_CONF_STR,
    KT_CONF_SECRET,
    KT_CONF_ENUM
};

struct kt_conf_key {
    const char *section, *key;
    enum kt_conf_type type;
    size_t offset;      /* offsetof in the target struct */
    int64_t min, max;   /* INT, BYTES, MS: inclusive; STR, SECRET: length in bytes (max 0 = 1024) */
    const char *preset; /* the default, as text */
    const char *unit;   /* "ms", "bytes", "" … for the docs */
    const char *choices; /* ENUM: "a|b|c" */
    const char *text;    /* one or two sentences for docs/CONFIG.md and the .ini files */
    /* Further check of the parsed text; NULL = none. Says why in err->message. An empty STR or
     * SECRET that min allows means "not set": the check is not asked about it. */
    enum kt_status (*check)(const char *value, struct kt_error *err);
};

struct kt_conf_table {
    const char *program; /* "master" */
    const struct kt_conf_key *keys;
    size_t count;
    size_t struct_size;
};

/* Where a value came from, for -check-config. */
enum kt_conf_source { KT_CONF_DEFAULT, KT_CONF_FILE, KT_CONF_ENV, KT_CONF_FLAG };

/* Defaults of one executable: the master's port is 8080, the slave's 8081. */
struct kt_conf_preset {
    const char *section, *key, *value;
};

struct kt_conf {
    const struct kt_conf_table *table;
    void *target;                         /* the caller's struct */
    enum kt_conf_source *sources;         /* one per key */
    int *lines;                           /* line in the file, 0 = not from the file */
    char *file;                           /* path, or NULL */
    const struct kt_conf_preset *presets; /* borrowed like the table */
    size_t preset_count;
};

/* Zeroes the target and sets every default; `presets` override the table's (value NULL = keep) and
 * live as long as `conf`. When init or kt_conf_load fails, there is nothing to free; when one of
 * the others fails, kt_conf_done is still due. */
enum kt_status kt_conf_init(struct kt_conf *conf, const struct kt_conf_table *table, void *target,
                            const struct kt_conf_preset *presets, size_t preset_count,
                            struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_conf_load_file(struct kt_conf *conf, const char *path,
                                 struct kt_error *err) KT_MUST_CHECK;
/* The same from memory (`name` stands for the path in messages); for tests and fuzzing. */
enum kt_status kt_conf_load_text(struct kt_conf *conf, const char *name, struct kt_str text,
                                 struct kt_error *err) KT_MUST_CHECK;
/* getenv_fn NULL = the process's environment. KAMAITACHI_REQUIRE and other names that begin with
 * KAMAITACHI_ but are no key are ignored. */
enum kt_status kt_conf_load_env(struct kt_conf *conf, const char *(*getenv_fn)(const char *),
                                struct kt_error *err) KT_MUST_CHECK;
/* One value, from a flag (or a test). `where` names it in messages ("-port"). */
enum kt_status kt_conf_set(struct kt_conf *conf, const char *section, const char *key,
                           const char *value, enum kt_conf_source source, const char *where,
                           struct kt_error *err) KT_MUST_CHECK;
void kt_conf_done(struct kt_conf *conf); /* frees strings inside target, not target */

/* "[server] port = 8080   # default" … for -check-config; secrets as ***. */
void kt_conf_print(const struct kt_conf *conf, struct kt_buf *ret_text);
/* A Markdown section with one table row per key, for docs/CONFIG.md. */
void kt_conf_print_markdown(const struct kt_conf_table *table, const struct kt_conf_preset *presets,
                            size_t preset_count, struct kt_buf *ret_text);
/* A commented .ini with every key at its default (the files in conf/ are made from it). */
void kt_conf_print_ini(const struct kt_conf_table *table, const struct kt_conf_preset *presets,
                       size_t preset_count, struct kt_buf *ret_text);

/* The flags of every server: -config FILE -port N -log-level L -check-config -version
 * -help (one or two dashes, "-port 1" or "-port=1"), plus hidden ones for the build:
 * -print-config-md, -print-config-ini. Who has a database also knows -db, -rejoin and -detach. */
struct kt_flags {
    const char *config, *port, *db, *log_level; /* borrowed from argv; NULL = not given */
    bool check_config, version, help, print_md, print_ini;
    bool rejoin, detach;
};
/* KT_BAD_VALUE naming the flag. `has_db` = false refuses -db, -rejoin and -detach (the gateway has
 * no database). */
enum kt_status kt_flags_parse(int argc, char **argv, bool has_db, struct kt_flags *ret_flags,
                              struct kt_error *err) KT_MUST_CHECK;
const char *kt_flags_help(bool has_db); /* static text */

/* All of it in order: defaults, -config FILE or conf/<program>.ini when that exists, environment,
 * flags (-port to [server] port, -db to [store] db, -log-level to [log] level). */
enum kt_status kt_conf_load(struct kt_conf *conf, const struct kt_conf_table *table, void *target,
                            const struct kt_conf_preset *presets, size_t preset_count,
                            const struct kt_flags *flags, struct kt_error *err) KT_MUST_CHECK;

#endif

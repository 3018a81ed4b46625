/* program.h - the life of a server's process: flags, configuration, start, wait for a signal, stop.
 *
 * What the executables share lies here; each brings its table, its check and its two functions.
 * Exit status: 0 done, 1 could not start, 2 flags or configuration.
 *
 * Threads: called by main() before any other thread starts; start and stop run on it, more than
 *          once when a restart was asked for.
 * Owns:    the configuration's strings until stop has returned.
 * Fails:   by exit status, with a message on standard error.
 */
#ifndef KT_CONF_PROGRAM_H
#define KT_CONF_PROGRAM_H

#include "conf/conf.h"

struct kt_program_life; /* opaque: the run under way */

struct kt_program {
    const char *name;  /* "master": in messages, log lines, conf/<name>.ini */
    const char *about; /* "a data node of Kamaitachi": for -help */
    bool has_db;       /* knows -db */
    struct kt_conf_table table;
    const struct kt_conf_preset *presets;
    size_t preset_count;
    void *config;                      /* the table's target struct */
    const int *log_level, *log_format; /* inside it; format 1 = json */
    /* What no single key can tell (exit 2); NULL = nothing. */
    enum kt_status (*check)(void *ctx, struct kt_error *err);
    enum kt_status (*start)(void *ctx, const struct kt_flags *flags, struct kt_error *err);
    void (*stop)(void *ctx);
    /* Called once before the first start, with what kt_program_restart takes; NULL = not wanted. */
    void (*attach)(void *ctx, struct kt_program_life *life);
    void *ctx;
};

/* Stops and starts again within the process, with the same configuration. From any thread between
 * start and the return of stop; does not block. */
void kt_program_restart(struct kt_program_life *life);

/* Once a process: signals are taken over. */
int kt_program_main(int argc, char **argv, const struct kt_program *program);

#endif

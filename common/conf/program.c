/* SPDX-License-Identifier: MIT */
#include "conf/program.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/software.h"
#include "base/thread.h"
#include "kt_version.h"

#include <stdio.h>
#include <string.h>

enum exit_status { EXIT_OK = 0, EXIT_START = 1, EXIT_CONFIG = 2 };

struct kt_program_life {
    const struct kt_program *program;
    struct kt_flags flags;
    struct kt_mutex mutex;
    struct kt_cond cond;
    bool stop, restart;
};

static void on_signal(void *arg, enum kt_signal signal)
{
    struct kt_program_life *life = arg;
    if (signal == KT_SIGNAL_RELOAD) {
        kt_log(WARN, "program", "reload_ignored",
               "why=\"the configuration is read at start only: restart to change it\"");
        return;
    }
    kt_mutex_lock(&life->mutex);
    life->stop = true;
    kt_cond_signal(&life->cond);
    kt_mutex_unlock(&life->mutex);
}

void kt_program_restart(struct kt_program_life *life)
{
    kt_mutex_lock(&life->mutex);
    life->restart = true;
    kt_cond_signal(&life->cond);
    kt_mutex_unlock(&life->mutex);
}

/* True when the program is to start again afterwards. */
static bool wait_for_stop(struct kt_program_life *life)
{
    kt_mutex_lock(&life->mutex);
    while (!life->stop && !life->restart) {
        (void)kt_cond_wait(&life->cond, &life->mutex, kt_now_mono_ms() + 60000);
    }
    bool again = !life->stop;
    kt_mutex_unlock(&life->mutex);
    return again;
}

/* A signal that came while the program stopped to start again is no less a signal. */
static bool may_start_again(struct kt_program_life *life)
{
    kt_mutex_lock(&life->mutex);
    life->restart = false;
    bool may = !life->stop;
    kt_mutex_unlock(&life->mutex);
    return may;
}

static int print(struct kt_buf *text)
{
    fwrite(text->data ? text->data : "", 1, text->len_bytes, stdout);
    kt_buf_done(text);
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_START;
}

/* The flags that print something and end. -1 when the program goes on. */
static int print_and_end(const struct kt_program *program, const struct kt_flags *flags)
{
    struct kt_buf text;
    kt_buf_init(&text, 0);
    if (flags->help) {
        kt_buf_printf(&text, "%s %s: %s\n\n%s", program->name, KT_VERSION, program->about,
                      kt_flags_help(program->has_db));
    } else if (flags->version) {
        kt_buf_printf(&text, "%s %s (%s)\n", program->name, KT_VERSION, KT_BUILD_COMMIT);
    } else if (flags->print_md) {
        kt_conf_print_markdown(&program->table, program->presets, program->preset_count, &text);
    } else if (flags->print_ini) {
        kt_conf_print_ini(&program->table, program->presets, program->preset_count, &text);
    } else {
        return -1;
    }
    return print(&text);
}

static int not_started(const struct kt_program *program, const struct kt_error *err)
{
    kt_log(ERROR, "program", "start_failed", "why=\"%s\"", err->message);
    kt_log_flush();
    fprintf(stderr, "%s: %s\n", program->name, err->message);
    return EXIT_START;
}

/* One start and stop; *ret_again: a restart was asked for. */
static int run_once(struct kt_program_life *life, bool *ret_again)
{
    const struct kt_program *program = life->program;
    struct kt_error err = KT_ERROR_INIT;
    *ret_again = false;
    if (program->start(program->ctx, &life->flags, &err) != KT_OK) {
        return not_started(program, &err);
    }
    bool again = wait_for_stop(life);
    kt_log(INFO, "program", "stopping", "reason=%s", again ? "restart" : "signal");
    int64_t began_ms = kt_now_mono_ms();
    program->stop(program->ctx);
    kt_log(INFO, "program", "stopped", "took_ms=%lld", (long long)(kt_now_mono_ms() - began_ms));
    *ret_again = again && may_start_again(life);
    return EXIT_OK;
}

static int run(struct kt_program_life *life)
{
    struct kt_error err = KT_ERROR_INIT;
    if (kt_signals_start(on_signal, life, &err) != KT_OK) {
        return not_started(life->program, &err);
    }
    if (life->program->attach) {
        life->program->attach(life->program->ctx, life);
    }
    int result = EXIT_OK;
    for (bool again = true; again;) {
        result = run_once(life, &again);
    }
    kt_log_flush();
    return result;
}

static int run_configured(struct kt_program_life *life, struct kt_conf *conf)
{
    const struct kt_program *program = life->program;
    struct kt_error err = KT_ERROR_INIT;
    if (program->check && program->check(program->ctx, &err) != KT_OK) {
        fprintf(stderr, "%s: %s\n", program->name, err.message);
        return EXIT_CONFIG;
    }
    if (life->flags.check_config) {
        struct kt_buf text;
        kt_buf_init(&text, 0);
        kt_conf_print(conf, &text);
        return print(&text);
    }
    kt_log_setup(stderr, (enum kt_log_level) * program->log_level, *program->log_format == 1);
    kt_log_set_node(program->name);
    return run(life);
}

int kt_program_main(int argc, char **argv, const struct kt_program *program)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_conf conf;
    struct kt_program_life life;
    memset(&life, 0, sizeof(life));
    life.program = program;
    kt_mutex_init(&life.mutex, "main", KT_RANK_NODE);
    kt_cond_init(&life.cond);
    if (kt_flags_parse(argc, argv, program->has_db, &life.flags, &err) != KT_OK) {
        fprintf(stderr, "%s: %s\n%s", program->name, err.message, kt_flags_help(program->has_db));
        return EXIT_CONFIG;
    }
    int result = print_and_end(program, &life.flags);
    if (result >= 0) {
        return result;
    }
    if (kt_conf_load(&conf, &program->table, program->config, program->presets,
                     program->preset_count, &life.flags, &err) != KT_OK) {
        fprintf(stderr, "%s: %s\n", program->name, err.message);
        return EXIT_CONFIG;
    }
    result = run_configured(&life, &conf);
    kt_conf_done(&conf);
    return result;
}

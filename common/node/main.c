/* SPDX-License-Identifier: MIT */
/* The program around a data node: flags, configuration, start, wait for a signal, stop. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/software.h"
#include "base/thread.h"
#include "kt_version.h"
#include "node/node.h"

#include <stdio.h>
#include <string.h>

enum exit_status { EXIT_OK = 0, EXIT_START = 1, EXIT_CONFIG = 2 };

struct program {
    const struct kt_node_program *about;
    struct kt_conf_table table;
    struct kt_flags flags;
    struct kt_conf conf;
    struct kt_node_config config;
    struct kt_mutex mutex;
    struct kt_cond cond;
    bool stop;
};

static void on_signal(void *arg, enum kt_signal signal)
{
    struct program *program = arg;
    if (signal == KT_SIGNAL_RELOAD) {
        kt_log(WARN, "node", "reload_ignored",
               "why=\"the configuration is read at start only: restart to change it\"");
        return;
    }
    kt_mutex_lock(&program->mutex);
    program->stop = true;
    kt_cond_signal(&program->cond);
    kt_mutex_unlock(&program->mutex);
}

static int print(struct kt_buf *text)
{
    fwrite(text->data ? text->data : "", 1, text->len_bytes, stdout);
    kt_buf_done(text);
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_START;
}

/* The flags that print something and end. Returns -1 when the program goes on. */
static int print_and_end(struct program *program)
{
    struct kt_buf text;
    const struct kt_node_program *about = program->about;
    kt_buf_init(&text, 0);
    if (program->flags.help) {
        kt_buf_printf(&text, "%s %s: a data node of Kamaitachi\n\n%s", about->name, KT_VERSION,
                      kt_flags_help(true));
    } else if (program->flags.version) {
        kt_buf_printf(&text, "%s %s (%s)\n", about->name, KT_VERSION, KT_BUILD_COMMIT);
    } else if (program->flags.print_md) {
        kt_conf_print_markdown(&program->table, about->presets, about->preset_count, &text);
    } else if (program->flags.print_ini) {
        kt_conf_print_ini(&program->table, about->presets, about->preset_count, &text);
    } else {
        return -1;
    }
    return print(&text);
}

static int run(struct program *program)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_node *node = NULL;
    enum kt_status status = kt_signals_start(on_signal, program, &err);
    if (status == KT_OK) {
        status = kt_node_start(&program->config, &node, &err);
    }
    if (status != KT_OK) {
        kt_log(ERROR, "node", "start_failed", "why=\"%s\"", err.message);
        fprintf(stderr, "%s: %s\n", program->about->name, err.message);
        return EXIT_START;
    }
    kt_mutex_lock(&program->mutex);
    while (!program->stop) {
        (void)kt_cond_wait(&program->cond, &program->mutex, kt_now_mono_ms() + 60000);
    }
    kt_mutex_unlock(&program->mutex);
    kt_log(INFO, "node", "stopping", "reason=signal");
    int64_t began = kt_now_mono_ms();
    kt_node_stop(&node);
    kt_log(INFO, "node", "stopped", "took_ms=%lld", (long long)(kt_now_mono_ms() - began));
    return EXIT_OK;
}

static int configured(struct program *program)
{
    struct kt_error err = KT_ERROR_INIT;
    const struct kt_node_program *about = program->about;
    if (kt_conf_load(&program->conf, &program->table, &program->config, about->presets,
                     about->preset_count, &program->flags, &err) != KT_OK) {
        fprintf(stderr, "%s: %s\n", about->name, err.message);
        return EXIT_CONFIG;
    }
    int result;
    if (program->flags.check_config) {
        struct kt_buf text;
        kt_buf_init(&text, 0);
        kt_conf_print(&program->conf, &text);
        result = print(&text);
    } else {
        kt_log_setup(stderr, (enum kt_log_level)program->config.log.level,
                     program->config.log.format == 1);
        kt_log_set_node(about->name);
        result = run(program);
    }
    kt_conf_done(&program->conf);
    return result;
}

int kt_node_main(int argc, char **argv, const struct kt_node_program *about)
{
    struct kt_error err = KT_ERROR_INIT;
    struct program program;
    memset(&program, 0, sizeof(program));
    program.about = about;
    program.table = kt_node_config_table(about->name);
    kt_mutex_init(&program.mutex, "main", KT_RANK_NODE);
    kt_cond_init(&program.cond);
    if (kt_flags_parse(argc, argv, true, &program.flags, &err) != KT_OK) {
        fprintf(stderr, "%s: %s\n%s", about->name, err.message, kt_flags_help(true));
        return EXIT_CONFIG;
    }
    int result = print_and_end(&program);
    return result >= 0 ? result : configured(&program);
}

/* SPDX-License-Identifier: MIT */
/* main.c - the gateway's program: flags, configuration, start, wait for a signal, stop. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/software.h"
#include "base/thread.h"
#include "gateway/gateway.h"
#include "kt_version.h"

#include <stdio.h>
#include <string.h>

enum exit_status { EXIT_OK = 0, EXIT_START = 1, EXIT_CONFIG = 2 };

struct program {
    struct kt_flags flags;
    struct kt_conf conf;
    struct kt_gateway_config config;
    struct kt_mutex mutex;
    struct kt_cond cond;
    bool stop;
};

static void on_signal(void *arg, enum kt_signal signal)
{
    struct program *program = arg;

    if (signal == KT_SIGNAL_RELOAD) {
        kt_log(WARN, "gateway", "reload_ignored",
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

/* The flags that print something and end. -1 when the program goes on. */
static int print_and_end(const struct kt_flags *flags)
{
    struct kt_buf text;

    kt_buf_init(&text, 0);
    if (flags->help) {
        kt_buf_printf(&text,
                      "gateway %s: one address for the clients of a Kamaitachi cluster\n\n%s",
                      KT_VERSION, kt_flags_help(false));
    } else if (flags->version) {
        kt_buf_printf(&text, "gateway %s (%s)\n", KT_VERSION, KT_BUILD_COMMIT);
    } else if (flags->print_md) {
        kt_conf_print_markdown(&kt_gateway_table, NULL, 0, &text);
    } else if (flags->print_ini) {
        kt_conf_print_ini(&kt_gateway_table, NULL, 0, &text);
    } else {
        return -1;
    }
    return print(&text);
}

static enum kt_status start_coord(void *ctx, const struct kt_coord_options *options,
                                  struct kt_coord **ret_coord, struct kt_error *err)
{
    (void)ctx;
    return kt_coord_start_etcd(options, ret_coord, err);
}

static void wait_for_stop(struct program *program)
{
    kt_mutex_lock(&program->mutex);
    while (!program->stop) {
        (void)kt_cond_wait(&program->cond, &program->mutex, kt_now_mono_ms() + 60000);
    }
    kt_mutex_unlock(&program->mutex);
}

static int run(struct program *program)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_gateway *gateway = NULL;
    struct kt_gateway_options options = {.config = &program->config,
                                         .port_wins = program->flags.port != NULL,
                                         .start_coord = start_coord};
    enum kt_status status = kt_signals_start(on_signal, program, &err);
    int64_t began_ms;

    if (status == KT_OK) {
        status = kt_gateway_start(&options, &gateway, &err);
    }
    if (status != KT_OK) {
        kt_log(ERROR, "gateway", "start_failed", "why=\"%s\"", err.message);
        fprintf(stderr, "gateway: %s\n", err.message);
        return EXIT_START;
    }
    wait_for_stop(program);
    kt_log(INFO, "gateway", "stopping", "reason=signal");
    began_ms = kt_now_mono_ms();
    kt_gateway_stop(&gateway);
    kt_log(INFO, "gateway", "stopped", "took_ms=%lld", (long long)(kt_now_mono_ms() - began_ms));
    return EXIT_OK;
}

static int configured(struct program *program)
{
    struct kt_error err = KT_ERROR_INIT;
    int result;

    if (kt_conf_load(&program->conf, &kt_gateway_table, &program->config, NULL, 0, &program->flags,
                     &err) != KT_OK) {
        fprintf(stderr, "gateway: %s\n", err.message);
        return EXIT_CONFIG;
    }
    if (program->flags.check_config) {
        struct kt_buf text;

        kt_buf_init(&text, 0);
        kt_conf_print(&program->conf, &text);
        result = print(&text);
    } else if (!program->config.etcd_endpoints[0]) {
        /* A data node can stand alone; a gateway without nodes is none. */
        fprintf(stderr, "gateway: [etcd] endpoints is empty: a gateway finds its nodes in etcd\n");
        result = EXIT_CONFIG;
    } else {
        kt_log_setup(stderr, (enum kt_log_level)program->config.log_level,
                     program->config.log_format == 1);
        kt_log_set_node("gateway");
        result = run(program);
    }
    kt_conf_done(&program->conf);
    return result;
}

int main(int argc, char **argv)
{
    struct kt_error err = KT_ERROR_INIT;
    struct program program;
    int result;

    memset(&program, 0, sizeof(program));
    kt_mutex_init(&program.mutex, "main", KT_RANK_NODE);
    kt_cond_init(&program.cond);
    if (kt_flags_parse(argc, argv, false, &program.flags, &err) != KT_OK) {
        fprintf(stderr, "gateway: %s\n%s", err.message, kt_flags_help(false));
        return EXIT_CONFIG;
    }
    result = print_and_end(&program.flags);
    return result >= 0 ? result : configured(&program);
}

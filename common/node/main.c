/* SPDX-License-Identifier: MIT */
/* The program around a data node. */
#include "conf/program.h"
#include "node/detach.h"
#include "node/node.h"

#include <string.h>

struct data_node {
    struct kt_node_config config;
    struct kt_node *node;
    struct kt_program_life *life;
};

static enum kt_status check(void *ctx, struct kt_error *err)
{
    struct data_node *self = ctx;
    return kt_node_config_check(&self->config, err);
}

static void attach(void *ctx, struct kt_program_life *life)
{
    struct data_node *self = ctx;
    self->life = life;
}

static void restart(void *ctx)
{
    struct data_node *self = ctx;
    kt_program_restart(self->life);
}

static enum kt_status start(void *ctx, const struct kt_flags *flags, struct kt_error *err)
{
    struct data_node *self = ctx;
    enum kt_status status = flags->detach ? kt_node_detach(&self->config, err) : KT_OK;
    struct kt_node_options options = {.config = &self->config,
                                      .port_wins = flags->port != NULL,
                                      .rejoin = flags->rejoin,
                                      .on_restart = restart,
                                      .on_restart_ctx = self};
    return status == KT_OK ? kt_node_start(&options, &self->node, err) : status;
}

static void stop(void *ctx)
{
    struct data_node *self = ctx;
    kt_node_stop(&self->node);
}

int kt_node_main(int argc, char **argv, const struct kt_node_program *about)
{
    struct data_node self;
    memset(&self, 0, sizeof(self));
    struct kt_program program = {
        .name = about->name,
        .about = "a data node of Kamaitachi",
        .has_db = true,
        .table = kt_node_config_table(about->name),
        .presets = about->presets,
        .preset_count = about->preset_count,
        .config = &self.config,
        .log_level = &self.config.log.level,
        .log_format = &self.config.log.format,
        .check = check,
        .start = start,
        .stop = stop,
        .attach = attach,
        .ctx = &self,
    };
    return kt_program_main(argc, argv, &program);
}

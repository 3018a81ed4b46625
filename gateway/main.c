/* SPDX-License-Identifier: MIT */
/* main.c - the gateway's program. */
#include "conf/program.h"
#include "gateway/gateway.h"

#include <string.h>

struct gateway_program {
    struct kt_gateway_config config;
    struct kt_gateway *gateway;
};

/* A data node can stand alone; a gateway without nodes is none. */
static enum kt_status check(void *ctx, struct kt_error *err)
{
    struct gateway_program *self = ctx;

    if (!self->config.etcd_endpoints[0]) {
        return kt_fail(err, KT_BAD_VALUE,
                       "[etcd] endpoints is empty: a gateway finds its nodes in etcd");
    }
    struct kt_etcd_security security = kt_gateway_etcd_security(&self->config);

    return kt_etcd_security_check(self->config.etcd_endpoints, &security, err);
}

static enum kt_status start_coord(void *ctx, const struct kt_coord_options *options,
                                  struct kt_coord **ret_coord, struct kt_error *err)
{
    (void)ctx;
    return kt_coord_start_etcd(options, ret_coord, err);
}

static enum kt_status start(void *ctx, const struct kt_flags *flags, struct kt_error *err)
{
    struct gateway_program *self = ctx;
    struct kt_gateway_options options = {
        .config = &self->config, .port_wins = flags->port != NULL, .start_coord = start_coord};

    return kt_gateway_start(&options, &self->gateway, err);
}

static void stop(void *ctx)
{
    struct gateway_program *self = ctx;

    kt_gateway_stop(&self->gateway);
}

int main(int argc, char **argv)
{
    struct gateway_program self;

    memset(&self, 0, sizeof(self));
    struct kt_program program = {
        .name = "gateway",
        .about = "one address for the clients of a Kamaitachi cluster",
        .table = kt_gateway_table,
        .config = &self.config,
        .log_level = &self.config.log_level,
        .log_format = &self.config.log_format,
        .check = check,
        .start = start,
        .stop = stop,
        .ctx = &self,
    };
    return kt_program_main(argc, argv, &program);
}

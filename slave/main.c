/* SPDX-License-Identifier: MIT */
/* slave: a data node that leads when no master can. */
#include "base/mem.h"
#include "node/node.h"

static const struct kt_conf_preset presets[] = {
    {"server", "port", "8081"},
    {"server", "mode", "slave"},
    {"store", "db", "data/slave.db"},
    {"cluster", "priority", "0"},
};

int main(int argc, char **argv)
{
    static const struct kt_node_program program = {"slave", presets, KT_ARRAY_LEN(presets)};
    return kt_node_main(argc, argv, &program);
}

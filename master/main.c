/* SPDX-License-Identifier: MIT */
/* master: a data node that leads when it can; another may meanwhile. */
#include "base/mem.h"
#include "node/node.h"

static const struct kt_conf_preset presets[] = {
    {"server", "port", "8080"},
    {"server", "mode", "master"},
    {"store", "db", "data/master.db"},
    {"cluster", "priority", "100"},
};

int main(int argc, char **argv)
{
    static const struct kt_node_program program = {"master", presets, KT_ARRAY_LEN(presets)};
    return kt_node_main(argc, argv, &program);
}

/* SPDX-License-Identifier: MIT */
/* A configuration file, read by the tables of a data node and of the gateway. */
#include "fuzz.h"

#include "base/mem.h"
#include "gateway/config.h"
#include "node/config.h"

static void load(const struct kt_conf_table *table, struct kt_str text)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_conf conf;
    void *target = kt_calloc(1, table->struct_size);
    FUZZ_CHECK(target && kt_conf_init(&conf, table, target, NULL, 0, &err) == KT_OK);
    if (kt_conf_load_text(&conf, "x.ini", text, &err) == KT_OK) {
        struct kt_buf shown;
        kt_buf_init(&shown, 0);
        kt_conf_print(&conf, &shown);
        FUZZ_CHECK(shown.len_bytes > 0);
        kt_buf_done(&shown);
    } else {
        FUZZ_CHECK(err.message[0] != '\0');
    }
    kt_conf_done(&conf);
    kt_free(target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kt_conf_table node = kt_node_config_table("master");
    load(&node, fuzz_str(data, size));
    load(&kt_gateway_table, fuzz_str(data, size));
    return 0;
}

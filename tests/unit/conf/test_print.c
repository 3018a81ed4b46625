/* SPDX-License-Identifier: MIT */
/* test_print.c - the table as values, as Markdown and as .ini. */
#include "made_up.h"

static struct kt_buf text;

static void begin(void)
{
    kt_buf_done(&text);
    kt_buf_init(&text, 0);
}

static void values_are_printed_with_their_source_and_secrets_hidden(void)
{
    begin();
    CHECK_OK(reset());
    CHECK_OK(load("[server]\nport = 81\n[auth]\nadmin_token = hush\n[cache]\nmax_bytes = 1536k\n"));
    CHECK_OK(kt_conf_set(&conf, "log", "level", "off", KT_CONF_FLAG, "-log-level", &err));
    kt_conf_print(&conf, &text);
    CHECK_STR(text.data, "[server] port = 81   # t.ini:2\n"
                         "[server] mode = slave   # default\n"
                         "[cache] max_bytes = 1536k   # t.ini:6\n"
                         "[cache] interval_ms = 5000   # default\n"
                         "[log] level = off   # flag\n"
                         "[log] verbose = false   # default\n"
                         "[store] db =   # default\n"
                         "[server] name =   # default\n"
                         "[server] id = x   # default\n"
                         "[auth] admin_token = ***   # t.ini:4\n"
                         "[log] file =   # default\n"
                         "[limits] depth = -1   # default\n");
}

static void markdown_has_a_row_for_every_key(void)
{
    static const struct kt_conf_preset presets[] = {{"server", "port", "8081"}};
    begin();
    kt_conf_print_markdown(&made_up_table, presets, 1, &text);
    CHECK_INT(kt_buf_status(&text), KT_OK);
    CHECK(strstr(text.data, "## made_up\n\n### made_up `[server]`\n\n"
                            "| Key | Default | Allowed | Unit | Meaning |\n"
                            "|---|---|---|---|---|\n"
                            "| `port` | `8081` | 1..65535 |  | Port to listen on. |\n"
                            "| `mode` | `slave` | master, slave, auto |  | What this node may "
                            "become: a \\| b. |\n"
                            "| `name` | (empty) | 0..20 bytes |  | Shown in the log. |\n"
                            "| `id` | `x` | 1..8 bytes |  | Never empty. |\n"
                            "\n### made_up `[cache]`\n") == text.data);
    CHECK(strstr(text.data, "| `max_bytes` | `256m` | 1m..1t | bytes | Bound of the cache. |\n"));
    CHECK(strstr(text.data, "| `verbose` | `off` | true, false |  | Say more. |\n"));
    CHECK(strstr(text.data, "| `admin_token` | (empty) | 0..64 bytes |  | Who may administer. "
                            "Secret: shown as `***`. |\n"));
    size_t rows = 0;
    for (const char *at = text.data; (at = strstr(at, "\n| `")) != NULL; at++) {
        rows++;
    }
    CHECK_INT(rows, made_up_table.count);
}

static void the_ini_says_what_each_key_means(void)
{
    begin();
    kt_conf_print_ini(&made_up_table, NULL, 0, &text);
    CHECK_INT(kt_buf_status(&text), KT_OK);
    CHECK(strstr(text.data, "\n[server]\n\n# Port to listen on.\n"
                            "# Default: 8080. Allowed: 1..65535.\nport = 8080\n\n# What"));
    CHECK(strstr(text.data, "\n# Bound of the cache.\n# Default: 256m. Allowed: 1m..1t. Unit: "
                            "bytes.\nmax_bytes = 256m\n"));
    CHECK(strstr(text.data, "\n# Who may administer.\n# Default: empty. Allowed: 0..64 bytes.\n"
                            "admin_token =\n"));
    CHECK(strstr(text.data, "\n\n# Default: -1. Allowed: -5..5.\ndepth = -1\n"));
    struct kt_str rest = kt_buf_str(&text);
    while (rest.data) {
        CHECK(kt_str_cut(&rest, '\n').len <= 100);
    }
}

/* The files in conf/ are made from it, so it must be read back as what it says. */
static void the_ini_reads_back_as_the_defaults(void)
{
    static const struct kt_conf_preset presets[] = {{"server", "port", "8081"},
                                                    {"server", "mode", "master"}};
    begin();
    CHECK_OK(reset());
    kt_conf_print_ini(&made_up_table, presets, 2, &text);
    CHECK_OK(kt_conf_load_text(&conf, "made_up.ini", kt_buf_str(&text), &err));
    CHECK_INT(made_up.port, 8081);
    CHECK_INT(made_up.mode, 0);
    CHECK_INT(made_up.interval_ms, 5000);
    CHECK_STR(made_up.id, "x");
    CHECK_STR(made_up.token, "");
    CHECK_INT(made_up.depth, -1);
    for (size_t i = 0; i < made_up_table.count; i++) {
        CHECK_INT(conf.sources[i], KT_CONF_FILE);
        CHECK(conf.lines[i] > 0);
    }
}

static void the_last_test_frees(void)
{
    kt_buf_done(&text);
    kt_conf_done(&conf);
    CHECK(made_up.name == NULL);
}

static const struct kt_test tests[] = {
    TEST(values_are_printed_with_their_source_and_secrets_hidden),
    TEST(markdown_has_a_row_for_every_key),
    TEST(the_ini_says_what_each_key_means),
    TEST(the_ini_reads_back_as_the_defaults),
    TEST(the_last_test_frees),
};
KT_TEST_MAIN(tests)

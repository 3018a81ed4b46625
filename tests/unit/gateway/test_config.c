/* SPDX-License-Identifier: MIT */
#include "gateway/config.h"

#include "kt_test.h"

#include "base/fs.h"
#include "base/mem.h"

#include <stdlib.h>

static struct kt_conf conf;
static struct kt_gateway_config config;

static void defaults_are_right_for_a_first_start(void)
{
    struct kt_error err = KT_ERROR_INIT;

    CHECK_OK(kt_conf_init(&conf, &kt_gateway_table, &config, NULL, 0, &err));
    CHECK_INT(config.port, 9000);
    CHECK_STR(config.etcd_prefix, "/kamaitachi");
    CHECK_INT(config.policy, 0);
    CHECK_INT(config.health_interval_ms, 2000);
    CHECK_INT(config.health_down, 2);
    CHECK_INT(config.health_up, 1);
    CHECK_INT(config.retry_budget, 100);
    CHECK_INT(config.retry_percent, 20);
    kt_conf_done(&conf);
}

static void every_key_says_what_it_is_and_has_a_default_in_range(void)
{
    for (size_t i = 0; i < kt_gateway_table.count; i++) {
        const struct kt_conf_key *key = &kt_gateway_table.keys[i];
        struct kt_error err = KT_ERROR_INIT;

        CHECK(key->text && strlen(key->text) > 10);
        CHECK_OK(kt_conf_init(&conf, &kt_gateway_table, &config, NULL, 0, &err));
        CHECK_OK(
            kt_conf_set(&conf, key->section, key->key, key->preset, KT_CONF_FLAG, "test", &err));
        kt_conf_done(&conf);
    }
}

static void the_file_in_conf_is_made_from_the_table(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *root = getenv("KT_SOURCE_ROOT");
    struct kt_buf made;
    char path[1024];

    kt_buf_init(&made, 0);
    kt_conf_print_ini(&kt_gateway_table, NULL, 0, &made);
    CHECK_OK(kt_conf_init(&conf, &kt_gateway_table, &config, NULL, 0, &err));
    CHECK_OK(kt_conf_load_text(&conf, "made.ini", kt_buf_str(&made), &err));
    kt_conf_done(&conf);
    if (root) {
        struct kt_buf kept;

        snprintf(path, sizeof(path), "%s/conf/gateway.ini", root);
        kt_buf_init(&kept, 0);
        CHECK_OK(kt_fs_read(path, 1 << 20, &kept, &err));
        CHECK(kt_str_eq(kt_buf_str(&kept), kt_buf_str(&made)));
        kt_buf_done(&kept);
    }
    kt_buf_done(&made);
}

static void values_that_make_no_sense_are_refused(void)
{
    static const char *const bad[][3] = {
        {"server", "port", "65536"},       {"server", "service_addr", "a b"},
        {"server", "service_name", "a/b"}, {"etcd", "prefix", "kamaitachi"},
        {"etcd", "prefix", "/x/"},         {"etcd", "ttl", "2"},
        {"etcd", "endpoints", "http://"},  {"balance", "policy", "random"},
        {"proxy", "timeout_ms", "60001"},  {"limits", "body_bytes", "10"},
    };

    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        struct kt_error err = KT_ERROR_INIT;

        CHECK_OK(kt_conf_init(&conf, &kt_gateway_table, &config, NULL, 0, &err));
        if (kt_conf_set(&conf, bad[i][0], bad[i][1], bad[i][2], KT_CONF_FLAG, "test", &err) ==
            KT_OK) {
            kt_test_fail(__FILE__, __LINE__, "%s.%s=%s passes", bad[i][0], bad[i][1], bad[i][2]);
            return;
        }
        kt_conf_done(&conf);
    }
}

static void the_port_joins_the_address_unless_it_names_one(void)
{
    struct kt_error err = KT_ERROR_INIT;
    char addr[KT_ADDR_MAX], host[256];

    CHECK_OK(kt_conf_init(&conf, &kt_gateway_table, &config, NULL, 0, &err));
    CHECK_OK(kt_gateway_addr(&config, 9000, false, addr, host, &err));
    CHECK_STR(addr, "127.0.0.1:9000");
    CHECK_STR(host, "127.0.0.1");
    CHECK_OK(
        kt_conf_set(&conf, "server", "service_addr", "gw.example:81", KT_CONF_FILE, "test", &err));
    CHECK_OK(kt_gateway_addr(&config, 9000, false, addr, host, &err));
    CHECK_STR(addr, "gw.example:81");
    CHECK_OK(kt_gateway_addr(&config, 9001, true, addr, host, &err));
    CHECK_STR(addr, "gw.example:9001");
    kt_conf_done(&conf);
}

static const struct kt_test tests[] = {
    TEST(defaults_are_right_for_a_first_start),
    TEST(every_key_says_what_it_is_and_has_a_default_in_range),
    TEST(the_file_in_conf_is_made_from_the_table),
    TEST(values_that_make_no_sense_are_refused),
    TEST(the_port_joins_the_address_unless_it_names_one),
};
KT_TEST_MAIN(tests)

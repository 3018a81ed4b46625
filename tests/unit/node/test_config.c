/* SPDX-License-Identifier: MIT */
/* test_config.c - the data nodes' table of configuration keys, one loop over all of them per rule.
 * What conf/ itself does with any table is tested there. */
#include "kt_test.h"
#include "node/config.h"

#include "base/log.h"
#include "base/mem.h"

#include <stdlib.h>

/* Values that the keys with rules of their own take; every other text takes "x1", "x2", "x3". */
static const struct {
    const char *section, *key, *good[3], *bad;
} special[] = {
    {"server", "service_addr", {"10.0.0.1", "host:8080", "[::1]:9"}, "host:0"},
    {"etcd", "endpoints", {"10.0.0.1:2379", "a:1,b:2", "http://a:1"}, "a:b"},
    {"etcd", "prefix", {"/a", "/b/c", "/kamaitachi-test"}, "kamaitachi"},
    {"cluster", "allow", {"10.0.0.0/8", "::1", "10.1.2.3, fd00::/8"}, "10.0.0.0/33"},
    {"cluster", "register_with", {"10.0.0.1:8080", "a:1, b:2", "[::1]:9"}, "a:1,b"},
};

static const struct kt_conf_preset slave_presets[] = {
    {"server", "port", "8081"}, {"server", "mode", "slave"}, {"store", "db", "data/slave.db"}};

static struct kt_node_config config;
static struct kt_conf conf;
static struct kt_error err;

static enum kt_status init(const struct kt_conf_table *table)
{
    memset(&err, 0, sizeof(err));
    return kt_conf_init(&conf, table, &config, NULL, 0, &err);
}

static bool is_number(const struct kt_conf_key *key)
{
    return key->type == KT_CONF_INT || key->type == KT_CONF_BYTES || key->type == KT_CONF_MS;
}

static bool is_text(const struct kt_conf_key *key)
{
    return key->type == KT_CONF_STR || key->type == KT_CONF_SECRET;
}

/* The which-th (0..2) of three values that the key takes, at least two of them different. */
static void good_value(const struct kt_conf_key *key, int which, char dest[300])
{
    static const char *const truths[] = {"true", "no", "on"};
    snprintf(dest, 300, "x%d", which + 1);
    if (key->type == KT_CONF_BOOL) {
        snprintf(dest, 300, "%s", truths[which]);
    } else if (is_number(key)) {
        int64_t middle = key->min + (key->max - key->min) / 2;
        int64_t value = which == 0 ? key->min : which == 1 ? key->max : middle;
        snprintf(dest, 300, "%lld", (long long)value);
    } else if (key->type == KT_CONF_ENUM) {
        struct kt_str rest = kt_str(key->choices), first = kt_str_cut(&rest, '|');
        kt_str_copy(dest, 300, which == 1 ? kt_str_cut(&rest, '|') : first);
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(special); i++) {
        if (strcmp(special[i].section, key->section) == 0 &&
            strcmp(special[i].key, key->key) == 0) {
            snprintf(dest, 300, "%s", special[i].good[which]);
        }
    }
}

static enum kt_status load(const struct kt_conf_key *key, const char *value)
{
    struct kt_buf text;
    kt_buf_init(&text, 0);
    kt_buf_printf(&text, "\n[%s]\n%s = %s\n", key->section, key->key, value);
    enum kt_status status = kt_conf_load_text(&conf, "node.ini", kt_buf_str(&text), &err);
    kt_buf_done(&text);
    return status;
}

/* Refused with file and line, naming the key, its range if it has one, and leaving the value. */
static bool refuses(const struct kt_conf_table *table, const struct kt_conf_key *key,
                    const char *value, const char *range)
{
    bool good = init(table) == KT_OK && load(key, value) == KT_BAD_VALUE;
    struct kt_error why = err;
    good = good && strncmp(why.message, "node.ini:3: ", 12) == 0 && strstr(why.message, key->key) &&
           (!range || strstr(why.message, range));
    kt_conf_done(&conf);
    if (!good) {
        kt_test_fail(__FILE__, __LINE__, "[%s] %s = %s: %s", key->section, key->key, value,
                     why.message);
    }
    return good;
}

static void every_default_is_one_of_its_keys_own_values(void)
{
    struct kt_conf_table table = kt_node_config_table("master");
    CHECK_STR(table.program, "master");
    CHECK_INT(table.struct_size, sizeof(config));
    CHECK_OK(init(&table));
    for (size_t i = 0; i < table.count; i++) {
        const struct kt_conf_key *key = &table.keys[i];
        CHECK_INT(conf.sources[i], KT_CONF_DEFAULT);
        if (key->preset[0] || !is_text(key)) {
            CHECK_OK(load(key, key->preset));
        }
    }
    kt_conf_done(&conf);
}

static void the_defaults_are_those_of_the_documentation(void)
{
    struct kt_conf_table table = kt_node_config_table("master");
    CHECK_OK(init(&table));
    CHECK_INT(config.server.port, 8080);
    CHECK_INT(config.server.mode, KT_MODE_MASTER);
    CHECK_STR(config.server.service_addr, "127.0.0.1");
    CHECK_INT(config.server.request_timeout_ms, 30000);
    CHECK_INT(config.log.level, KT_LOG_INFO);
    CHECK(!config.log.access);
    CHECK_STR(config.store.db, "data/master.db");
    CHECK_INT(config.cache.max_bytes, 256 << 20);
    CHECK_STR(config.etcd.endpoints, "127.0.0.1:2379");
    CHECK_STR(config.etcd.prefix, "/kamaitachi");
    CHECK_INT(config.etcd.ttl, 5);
    CHECK_STR(config.auth.admin_token, "");
    CHECK_INT(config.limits.subjects, 10000);
    CHECK_INT(config.limits.indicators, 4096);
    CHECK_INT(config.limits.import_batch_records, 2000);
    CHECK_INT(config.limits.import_batch_bytes, 1 << 20);
    kt_conf_done(&conf);
    CHECK_OK(
        kt_conf_init(&conf, &table, &config, slave_presets, KT_ARRAY_LEN(slave_presets), &err));
    CHECK_INT(config.server.port, 8081);
    CHECK_INT(config.server.mode, KT_MODE_SLAVE);
    CHECK_STR(config.store.db, "data/slave.db");
    kt_conf_done(&conf);
}

static void the_keys_that_users_know_are_there(void)
{
    static const char *const known[][2] = {
        {"server", "port"},         {"server", "mode"},
        {"server", "service_name"}, {"server", "service_addr"},
        {"cache", "max_bytes"},     {"cache", "snapshot_path"},
        {"etcd", "endpoints"},      {"cache", "snapshot_interval"},
        {"etcd", "prefix"},         {"etcd", "ttl"}};
    struct kt_conf_table table = kt_node_config_table("slave");
    for (size_t i = 0; i < KT_ARRAY_LEN(known); i++) {
        bool found = false;
        for (size_t j = 0; j < table.count; j++) {
            found |= strcmp(table.keys[j].section, known[i][0]) == 0 &&
                     strcmp(table.keys[j].key, known[i][1]) == 0;
        }
        if (!found) {
            kt_test_fail(__FILE__, __LINE__, "no [%s] %s", known[i][0], known[i][1]);
        }
    }
}

static void every_key_is_named_once_explained_and_has_a_place_of_its_own(void)
{
    struct kt_conf_table table = kt_node_config_table("master");
    for (size_t i = 0; i < table.count; i++) {
        const struct kt_conf_key *key = &table.keys[i];
        CHECK(key->text && strlen(key->text) > 10);
        CHECK(key->unit && key->offset < table.struct_size);
        CHECK((key->type == KT_CONF_ENUM) == (key->choices != NULL));
        CHECK(!is_number(key) || key->min < key->max);
        for (size_t j = 0; j < i; j++) {
            CHECK(strcmp(key->section, table.keys[j].section) != 0 ||
                  strcmp(key->key, table.keys[j].key) != 0);
            CHECK(key->offset != table.keys[j].offset);
        }
    }
}

static void numbers_out_of_range_are_refused_with_line_and_range(void)
{
    struct kt_conf_table table = kt_node_config_table("master");
    for (size_t i = 0; i < table.count; i++) {
        const struct kt_conf_key *key = &table.keys[i];
        static const char *const wrong[] = {"",    "x",    "1.5", "0x10", "1e3",
                                            "1 2", "true", "+1",  "--1",  "99999999999999999999"};
        char value[32], range[64] = "..";
        if (!is_number(key)) {
            continue;
        }
        if (key->type != KT_CONF_BYTES) {
            snprintf(range, sizeof(range), "%lld..%lld", (long long)key->min, (long long)key->max);
        }
        snprintf(value, sizeof(value), "%lld", (long long)(key->min - 1));
        CHECK(refuses(&table, key, value, range));
        snprintf(value, sizeof(value), "%lld", (long long)(key->max + 1));
        CHECK(refuses(&table, key, value, range));
        for (size_t j = 0; j < KT_ARRAY_LEN(wrong); j++) {
            CHECK(refuses(&table, key, wrong[j], range));
        }
        CHECK(key->type == KT_CONF_BYTES || refuses(&table, key, "1k", range));
        CHECK_OK(init(&table));
        snprintf(value, sizeof(value), "%lld", (long long)key->min);
        CHECK_OK(load(key, value));
        snprintf(value, sizeof(value), "%lld", (long long)key->max);
        CHECK_OK(load(key, value));
        kt_conf_done(&conf);
    }
}

static void texts_of_wrong_length_or_form_are_refused(void)
{
    struct kt_conf_table table = kt_node_config_table("master");
    for (size_t i = 0; i < table.count; i++) {
        const struct kt_conf_key *key = &table.keys[i];
        char value[1200];
        if (!is_text(key)) {
            continue;
        }
        CHECK(key->max > 0 && key->max < (int64_t)sizeof(value) - 2);
        memset(value, 'x', sizeof(value));
        value[0] = '/'; /* what a prefix must begin with */
        value[key->max + 1] = '\0';
        CHECK(refuses(&table, key, value, NULL));
        CHECK(key->min == 0 || refuses(&table, key, "", NULL));
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(special); i++) {
        for (size_t j = 0; j < table.count; j++) {
            if (strcmp(table.keys[j].section, special[i].section) == 0 &&
                strcmp(table.keys[j].key, special[i].key) == 0) {
                CHECK(refuses(&table, &table.keys[j], special[i].bad, NULL));
            }
        }
    }
}

static void what_registers_a_node_must_fit_into_a_key_of_etcd(void)
{
    static const char *const wrong[][3] = {{"etcd", "prefix", "/"},
                                           {"etcd", "prefix", "/a/"},
                                           {"etcd", "prefix", "/a b"},
                                           {"etcd", "prefix", "/\xC3\xA9"},
                                           {"etcd", "prefix", "a"},
                                           {"server", "service_name", "a/b"},
                                           {"server", "service_name", "a b"},
                                           {"server", "service_addr", "host:99999"},
                                           {"server", "service_addr", "host:x"},
                                           {"server", "service_addr", "host:0"},
                                           {"etcd", "endpoints", ","},
                                           {"etcd", "endpoints", "host:x"}};
    struct kt_conf_table table = kt_node_config_table("master");
    for (size_t i = 0; i < KT_ARRAY_LEN(wrong); i++) {
        struct kt_conf_key key = {.section = wrong[i][0], .key = wrong[i][1]};
        CHECK(refuses(&table, &key, wrong[i][2], "is not usable"));
    }
}

static void only_the_choices_are_taken_and_truths(void)
{
    struct kt_conf_table table = kt_node_config_table("master");
    for (size_t i = 0; i < table.count; i++) {
        const struct kt_conf_key *key = &table.keys[i];
        char choice[64];
        if (key->type == KT_CONF_BOOL) {
            CHECK(refuses(&table, key, "maybe", "true or false"));
            CHECK(refuses(&table, key, "", "true or false"));
        }
        if (key->type != KT_CONF_ENUM) {
            continue;
        }
        CHECK(refuses(&table, key, "maybe", "allowed"));
        CHECK(refuses(&table, key, "", "allowed"));
        CHECK(refuses(&table, key, key->choices, "allowed"));
        CHECK_OK(init(&table));
        for (struct kt_str rest = kt_str(key->choices); rest.data;) {
            kt_str_copy(choice, sizeof(choice), kt_str_cut(&rest, '|'));
            CHECK_OK(load(key, choice));
        }
        kt_conf_done(&conf);
    }
}

static void levels_and_formats_are_the_numbers_that_the_log_takes(void)
{
    struct kt_conf_table table = kt_node_config_table("master");
    CHECK_OK(init(&table));
    struct kt_str text = KT_STR("[log]\nlevel = error\nformat = json\n[server]\nmode = slave\n");
    CHECK_OK(kt_conf_load_text(&conf, "node.ini", text, &err));
    CHECK_INT(config.log.level, KT_LOG_ERROR);
    CHECK_INT(config.log.format, 1);
    CHECK_INT(config.server.mode, KT_MODE_SLAVE);
    kt_conf_done(&conf);
}

/* --- file < environment < flag, for every key --- */

static char env_name[80], env_value[300];

static const char *getenv_one(const char *name)
{
    return strcmp(name, env_name) == 0 ? env_value : NULL;
}

static void value_of(size_t at, char dest[300])
{
    struct kt_conf one = conf;
    struct kt_conf_table table = *conf.table;
    struct kt_buf text;
    kt_buf_init(&text, 0);
    table.keys += at;
    table.count = 1;
    one.table = &table;
    one.sources += at;
    one.lines += at;
    kt_conf_print(&one, &text);
    struct kt_str rest = kt_buf_str(&text);
    kt_str_cut(&rest, '=');
    kt_str_copy(dest, 300,
                kt_str_trim(kt_str_n(rest.data, (size_t)kt_str_find(rest, KT_STR("#")))));
    kt_buf_done(&text);
}

static bool goes_by_rank(const struct kt_conf_table *table, size_t at)
{
    const struct kt_conf_key *key = &table->keys[at];
    char wanted[300], got[4][300];
    bool good = init(table) == KT_OK;
    enum kt_conf_source sources[3] = {0};
    good_value(key, 0, wanted);
    good = good && load(key, wanted) == KT_OK;
    sources[0] = conf.sources[at];
    value_of(at, got[0]);
    snprintf(env_name, sizeof(env_name), "KAMAITACHI_%s_%s", key->section, key->key);
    for (char *c = env_name; *c; c++) {
        *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
    }
    good_value(key, 1, env_value);
    good = good && kt_conf_load_env(&conf, getenv_one, &err) == KT_OK;
    sources[1] = conf.sources[at];
    value_of(at, got[1]);
    good_value(key, 2, wanted);
    good = good &&
           kt_conf_set(&conf, key->section, key->key, wanted, KT_CONF_FLAG, "-x", &err) == KT_OK;
    sources[2] = conf.sources[at];
    value_of(at, got[2]);
    kt_conf_done(&conf);
    bool secret = key->type == KT_CONF_SECRET;
    good = good && sources[0] == KT_CONF_FILE && sources[1] == KT_CONF_ENV &&
           sources[2] == KT_CONF_FLAG;
    good = good && (secret ? strcmp(got[0], "***") == 0
                           : strcmp(got[0], got[1]) != 0 && strcmp(got[1], got[2]) != 0);
    if (!good) {
        kt_test_fail(__FILE__, __LINE__, "[%s] %s: \"%s\" \"%s\" \"%s\" %s", key->section, key->key,
                     got[0], got[1], got[2], err.message);
    }
    return good;
}

static void the_environment_beats_the_file_and_a_flag_beats_both(void)
{
    struct kt_conf_table table = kt_node_config_table("master");
    for (size_t i = 0; i < table.count; i++) {
        CHECK(goes_by_rank(&table, i));
    }
}

/* --- what is printed --- */

static void the_printed_ini_loads_again_as_the_defaults(void)
{
    struct kt_conf_table table = kt_node_config_table("slave");
    for (size_t presets = 0; presets <= KT_ARRAY_LEN(slave_presets);
         presets += KT_ARRAY_LEN(slave_presets)) {
        struct kt_buf ini, text;
        kt_buf_init(&ini, 0);
        kt_buf_init(&text, 0);
        kt_conf_print_ini(&table, slave_presets, presets, &ini);
        CHECK_OK(kt_conf_init(&conf, &table, &config, slave_presets, presets, &err));
        struct {
            char value[300];
        } *before = malloc(table.count * sizeof(*before));
        for (size_t i = 0; i < table.count; i++) {
            value_of(i, before[i].value);
        }
        CHECK_OK(kt_conf_load_text(&conf, "node.ini", kt_buf_str(&ini), &err));
        for (size_t i = 0; i < table.count; i++) {
            char after[300];
            value_of(i, after);
            CHECK_STR(after, before[i].value);
            CHECK_INT(conf.sources[i], KT_CONF_FILE);
            CHECK(conf.lines[i] > 0);
        }
        free(before);
        kt_conf_done(&conf);
        kt_buf_done(&ini);
        kt_buf_done(&text);
    }
}

static void the_markdown_has_a_row_for_each_key(void)
{
    struct kt_conf_table table = kt_node_config_table("master");
    struct kt_buf text;
    kt_buf_init(&text, 0);
    kt_conf_print_markdown(&table, NULL, 0, &text);
    for (size_t i = 0; i < table.count; i++) {
        char row[80];
        snprintf(row, sizeof(row), "| `%s` |", table.keys[i].key);
        CHECK(kt_str_find(kt_buf_str(&text), kt_str(row)) >= 0);
    }
    kt_buf_done(&text);
}

static void unknown_sections_and_keys_are_refused_with_their_line(void)
{
    static const char *const texts[] = {"[server]\nprot = 1\n", "[srever]\nport = 1\n",
                                        "[server]\nport = 1\nport = 2\n", "port = 1\n"};
    struct kt_conf_table table = kt_node_config_table("master");
    for (size_t i = 0; i < KT_ARRAY_LEN(texts); i++) {
        CHECK_OK(init(&table));
        CHECK_FAILS(kt_conf_load_text(&conf, "node.ini", kt_str(texts[i]), &err), KT_BAD_VALUE);
        CHECK(strncmp(err.message, "node.ini:", 9) == 0);
        kt_conf_done(&conf);
    }
}

static void what_two_keys_say_together_is_checked_and_both_are_named(void)
{
    struct kt_conf_table table = kt_node_config_table("master");
    CHECK_OK(init(&table));
    CHECK_OK(kt_node_config_check(&config, &err));
    config.replication.min_in_sync = 3;
    CHECK_OK(kt_node_config_check(&config, &err));
    config.replication.max_in_sync = 2;
    CHECK_FAILS(kt_node_config_check(&config, &err), KT_BAD_VALUE);
    CHECK(strstr(err.message, "min_in_sync is 3") && strstr(err.message, "max_in_sync, 2"));
    config.replication.max_in_sync = 3;
    config.etcd.endpoints[0] = '\0';
    CHECK_FAILS(kt_node_config_check(&config, &err), KT_BAD_VALUE);
    CHECK(strstr(err.message, "min_in_sync is 3") && strstr(err.message, "[etcd] endpoints"));
    config.replication.min_in_sync = 1;
    CHECK_OK(kt_node_config_check(&config, &err));
    CHECK(kt_node_is_standalone(&config));
    CHECK_OK(kt_conf_set(&conf, "cluster", "register_with", "a:1", KT_CONF_FLAG, "a test", &err));
    CHECK_OK(kt_node_config_check(&config, &err));
    CHECK(!kt_node_is_standalone(&config));
    CHECK_OK(kt_conf_set(&conf, "etcd", "endpoints", "a:2", KT_CONF_FLAG, "a test", &err));
    CHECK_FAILS(kt_node_config_check(&config, &err), KT_BAD_VALUE);
    CHECK(strstr(err.message, "register_with") && strstr(err.message, "[etcd] endpoints"));
    kt_conf_done(&conf);
}

static const struct kt_test tests[] = {
    TEST(every_default_is_one_of_its_keys_own_values),
    TEST(the_defaults_are_those_of_the_documentation),
    TEST(the_keys_that_users_know_are_there),
    TEST(every_key_is_named_once_explained_and_has_a_place_of_its_own),
    TEST(numbers_out_of_range_are_refused_with_line_and_range),
    TEST(texts_of_wrong_length_or_form_are_refused),
    TEST(what_registers_a_node_must_fit_into_a_key_of_etcd),
    TEST(only_the_choices_are_taken_and_truths),
    TEST(levels_and_formats_are_the_numbers_that_the_log_takes),
    TEST(the_environment_beats_the_file_and_a_flag_beats_both),
    TEST(the_printed_ini_loads_again_as_the_defaults),
    TEST(the_markdown_has_a_row_for_each_key),
    TEST(unknown_sections_and_keys_are_refused_with_their_line),
    TEST(what_two_keys_say_together_is_checked_and_both_are_named),
};
KT_TEST_MAIN(tests)

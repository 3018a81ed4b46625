/* SPDX-License-Identifier: MIT */
/* test_load.c - types, ranges, and which source wins. */
#include "made_up.h"

#include "base/buf.h"
#include "base/fs.h"

#include <stdlib.h>
#include <unistd.h>

static const char *env_pairs[8][2];

static const char *fake_env(const char *name)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(env_pairs) && env_pairs[i][0]; i++) {
        if (strcmp(env_pairs[i][0], name) == 0) {
            return env_pairs[i][1];
        }
    }
    return NULL;
}

static enum kt_status load_env(const char *name, const char *value)
{
    memset(env_pairs, 0, sizeof(env_pairs));
    env_pairs[0][0] = name;
    env_pairs[0][1] = value;
    return kt_conf_load_env(&conf, fake_env, &err);
}

static enum kt_status set(const char *section, const char *key, const char *value)
{
    return kt_conf_set(&conf, section, key, value, KT_CONF_FLAG, "-flag", &err);
}

static void every_key_has_its_default_at_first(void)
{
    CHECK_OK(reset());
    CHECK_INT(made_up.port, 8080);
    CHECK_INT(made_up.mode, 1);
    CHECK_INT(made_up.cache, 256 << 20);
    CHECK_INT(made_up.interval_ms, 5000);
    CHECK_INT(made_up.level, 1);
    CHECK(!made_up.verbose);
    CHECK_STR(made_up.db, "");
    CHECK_STR(made_up.name, "");
    CHECK_STR(made_up.id, "x");
    CHECK_STR(made_up.token, "");
    CHECK_INT(made_up.depth, -1);
    for (size_t i = 0; i < made_up_table.count; i++) {
        CHECK_INT(conf.sources[i], KT_CONF_DEFAULT);
    }
    kt_conf_done(&conf);
    CHECK(made_up.db == NULL && made_up.token == NULL);
    kt_conf_done(&conf);
}

static void an_executable_may_have_defaults_of_its_own(void)
{
    static const struct kt_conf_preset presets[] = {
        {"server", "port", "8081"}, {"log", "level", NULL}, {"server", "id", "slave"}};
    CHECK_OK(reset());
    kt_conf_done(&conf);
    CHECK_OK(kt_conf_init(&conf, &made_up_table, &made_up, presets, 3, &err));
    CHECK_INT(made_up.port, 8081);
    CHECK_INT(made_up.level, 1);
    CHECK_STR(made_up.id, "slave");
    CHECK_OK(set("server", "port", "9"));
    CHECK_OK(load_env("KAMAITACHI_SERVER_PORT", ""));
    CHECK_INT(made_up.port, 8081);
    CHECK_OK(load_env("KAMAITACHI_SERVER_ID", ""));
    CHECK_STR(made_up.id, "slave");
}

static void a_default_out_of_range_is_refused_at_init(void)
{
    static const struct kt_conf_preset presets[] = {{"server", "port", "0"}};
    kt_conf_done(&conf);
    CHECK_FAILS(kt_conf_init(&conf, &made_up_table, &made_up, presets, 1, &err), KT_BAD_VALUE);
    CHECK_STR(err.message,
              "default: [server] port: '0' is not within the range (allowed 1..65535)");
    CHECK(conf.sources == NULL);
}

static void numbers_are_whole_and_within_their_range(void)
{
    static const char *const bad[] = {"",    " 1",   "1 ",  "+1", "1.0",
                                      "1e3", "0x10", "abc", "8k", "99999999999999999999"};
    CHECK_OK(reset());
    CHECK_OK(set("server", "port", "1"));
    CHECK_INT(made_up.port, 1);
    CHECK_OK(set("server", "port", "65535"));
    CHECK_OK(set("limits", "depth", "-5"));
    CHECK_INT(made_up.depth, -5);
    CHECK_FAILS(set("limits", "depth", "-6"), KT_BAD_VALUE);
    CHECK_STR(err.message, "-flag: [limits] depth: '-6' is not within the range (allowed -5..5)");
    CHECK_FAILS(set("server", "port", "65536"), KT_BAD_VALUE);
    CHECK_STR(err.message,
              "-flag: [server] port: '65536' is not within the range (allowed 1..65535)");
    CHECK_STR(err.field, "server.port");
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        CHECK_FAILS(set("server", "port", bad[i]), KT_BAD_VALUE);
        CHECK(strstr(err.message, "is not a whole number (allowed 1..65535)") != NULL);
        CHECK_INT(made_up.port, 65535);
    }
    CHECK_OK(set("cache", "interval_ms", "3600000"));
    CHECK_INT(made_up.interval_ms, 3600000);
    CHECK_FAILS(set("cache", "interval_ms", "3600001"), KT_BAD_VALUE);
}

static void bytes_take_suffixes_of_1024(void)
{
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"1048576", 1 << 20},    {"1024k", 1 << 20}, {"1024K", 1 << 20},
                {"1m", 1 << 20},         {"3M", 3 << 20},    {"2g", INT64_C(2) << 30},
                {"1t", INT64_C(1) << 40}};
    static const char *const bad[] = {
        "", "k", "1kb", "1 m", "1mm", "m1", "1.5m", "1x", "9223372036854775807k"};
    CHECK_OK(reset());
    for (size_t i = 0; i < KT_ARRAY_LEN(good); i++) {
        CHECK_OK(set("cache", "max_bytes", good[i].text));
        CHECK_INT(made_up.cache, good[i].value);
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        CHECK_FAILS(set("cache", "max_bytes", bad[i]), KT_BAD_VALUE);
        CHECK(strstr(err.message, "is not a number of bytes such as") != NULL);
    }
    CHECK_FAILS(set("cache", "max_bytes", "1023k"), KT_BAD_VALUE);
    CHECK_STR(err.message,
              "-flag: [cache] max_bytes: '1023k' is not within the range (allowed 1m..1t)");
    CHECK_FAILS(set("cache", "max_bytes", "-1m"), KT_BAD_VALUE);
}

static void bools_have_eight_words(void)
{
    static const char *const words[] = {"true", "Yes", "ON", "1", "FALSE", "no", "off", "0"};
    static const char *const bad[] = {"", "2", "tru", "y", "enabled"};
    CHECK_OK(reset());
    for (size_t i = 0; i < KT_ARRAY_LEN(words); i++) {
        CHECK_OK(set("log", "verbose", words[i]));
        CHECK_INT(made_up.verbose, i < 4);
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        CHECK_FAILS(set("log", "verbose", bad[i]), KT_BAD_VALUE);
    }
    CHECK_STR(err.message, "-flag: [log] verbose: 'enabled' is not true or false");
}

static void an_enum_is_the_index_of_its_choice(void)
{
    static const char *const bad[] = {"", "Master", "mast", "masters", "master|slave", "1"};
    CHECK_OK(reset());
    CHECK_OK(set("server", "mode", "master"));
    CHECK_INT(made_up.mode, 0);
    CHECK_OK(set("server", "mode", "auto"));
    CHECK_INT(made_up.mode, 2);
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        CHECK_FAILS(set("server", "mode", bad[i]), KT_BAD_VALUE);
        CHECK_INT(made_up.mode, 2);
    }
    CHECK_STR(err.message,
              "-flag: [server] mode: '1' is not one of the choices (allowed master, slave, auto)");
}

static void texts_are_bounded_and_clean(void)
{
    char longest[1100];
    memset(longest, 'a', sizeof(longest));
    longest[0] = '/';
    longest[1024] = '\0';
    CHECK_OK(reset());
    CHECK_OK(set("store", "db", longest)); /* max 0 = 1024 */
    longest[1024] = 'a';
    longest[1025] = '\0';
    CHECK_FAILS(set("store", "db", longest), KT_BAD_VALUE);
    CHECK(strstr(err.message, "is not a text of allowed length (allowed 0..1024 bytes)") != NULL);
    CHECK_OK(set("server", "name", "\xE4\xB8\xAD\xE6\x96\x87"));
    CHECK_STR(made_up.name, "\xE4\xB8\xAD\xE6\x96\x87");
    CHECK_FAILS(set("server", "name", "a\nb"), KT_BAD_VALUE);
    CHECK_FAILS(set("server", "name", "\xFF"), KT_BAD_VALUE);
    CHECK_STR(made_up.name, "\xE4\xB8\xAD\xE6\x96\x87");
    CHECK_FAILS(set("server", "id", ""), KT_BAD_VALUE);
    CHECK_FAILS(set("server", "id", "123456789"), KT_BAD_VALUE);
    CHECK_OK(set("server", "name", ""));
    CHECK_STR(made_up.name, "");
}

static void a_keys_own_check_says_why(void)
{
    CHECK_OK(reset());
    CHECK_OK(set("store", "db", "/x"));
    CHECK_FAILS(set("store", "db", "x"), KT_BAD_VALUE);
    CHECK_STR(err.message, "-flag: [store] db: 'x' is not usable: it must begin with /");
    CHECK_STR(made_up.db, "/x");
    CHECK_OK(set("store", "db", "")); /* not set: nothing to check */
    CHECK_STR(made_up.db, "");
}

static void a_secret_never_shows_in_a_message(void)
{
    char secret[80];
    memset(secret, 's', sizeof(secret));
    secret[70] = '\0';
    CHECK_OK(reset());
    CHECK_FAILS(set("auth", "admin_token", secret), KT_BAD_VALUE);
    CHECK_STR(err.message, "-flag: [auth] admin_token: '***' is not a text of allowed length "
                           "(allowed 0..64 bytes)");
    CHECK_FAILS(set("auth", "admin_token", "ssss\x01"), KT_BAD_VALUE);
    CHECK(strstr(err.message, "ssss") == NULL);
}

static void an_unknown_key_cannot_be_set(void)
{
    CHECK_OK(reset());
    CHECK_FAILS(set("server", "prot", "1"), KT_BAD_VALUE);
    CHECK_STR(err.message, "-flag: [server] prot: no such key");
    CHECK_FAILS(set("Server", "port", "1"), KT_BAD_VALUE);
}

/* ----------------------------------------------------------------- environment */

static void the_environment_is_read_by_key(void)
{
    CHECK_OK(reset());
    memset(env_pairs, 0, sizeof(env_pairs));
    env_pairs[0][0] = "KAMAITACHI_SERVER_PORT";
    env_pairs[0][1] = "81";
    env_pairs[1][0] = "KAMAITACHI_CACHE_MAX_BYTES";
    env_pairs[1][1] = "2m";
    env_pairs[2][0] = "KAMAITACHI_REQUIRE";
    env_pairs[2][1] = "etcd";
    env_pairs[3][0] = "KAMAITACHI_AUTH_ADMIN_TOKEN";
    env_pairs[3][1] = "# not a comment here ; nor this";
    CHECK_OK(kt_conf_load_env(&conf, fake_env, &err));
    CHECK_INT(made_up.port, 81);
    CHECK_INT(made_up.cache, 2 << 20);
    CHECK_STR(made_up.token, "# not a comment here ; nor this");
    CHECK_INT(conf.sources[0], KT_CONF_ENV);
    CHECK_INT(conf.sources[1], KT_CONF_DEFAULT);
}

static void a_bad_environment_value_names_its_variable(void)
{
    CHECK_OK(reset());
    CHECK_FAILS(load_env("KAMAITACHI_SERVER_PORT", "http"), KT_BAD_VALUE);
    CHECK_STR(err.message, "KAMAITACHI_SERVER_PORT: [server] port: 'http' is not a whole number "
                           "(allowed 1..65535)");
}

static void an_empty_environment_value_unsets(void)
{
    CHECK_OK(reset());
    CHECK_OK(load("[server]\nport = 99\nname = n\nid = i\n[log]\nlevel = off\n[store]\ndb = /d\n"));
    CHECK_OK(load_env("KAMAITACHI_SERVER_PORT", ""));
    CHECK_INT(made_up.port, 8080);
    CHECK_INT(conf.sources[0], KT_CONF_DEFAULT);
    CHECK_OK(load_env("KAMAITACHI_SERVER_NAME", ""));
    CHECK_STR(made_up.name, "");
    CHECK_OK(load_env("KAMAITACHI_STORE_DB", ""));
    CHECK_STR(made_up.db, "");
    CHECK_INT(conf.sources[6], KT_CONF_ENV);
    CHECK_OK(load_env("KAMAITACHI_SERVER_ID", ""));
    CHECK_STR(made_up.id, "x");
    CHECK_OK(load_env("KAMAITACHI_LOG_LEVEL", ""));
    CHECK_INT(made_up.level, 1);
}

/* ----------------------------------------------------------------- all of it in order */

static void set_process_env(const char *name, const char *value)
{
#ifdef _WIN32
    _putenv_s(name, value ? value : "");
#else
    if (value) {
        setenv(name, value, 1);
    } else {
        unsetenv(name);
    }
#endif
}

static void later_sources_win(void)
{
    char path[300];
    kt_test_path(path, sizeof(path), "order.ini");
    CHECK_OK(kt_fs_write_durably(path,
                                 KT_STR("[server]\nport = 1001\nname = file\n[store]\n"
                                        "db = /file\n[log]\nlevel = warn\n"),
                                 &err));
    set_process_env("KAMAITACHI_SERVER_NAME", "environment");
    set_process_env("KAMAITACHI_STORE_DB", "/environment");
    set_process_env("KAMAITACHI_REQUIRE", "nothing");
    struct kt_flags flags = {.config = path, .db = "/flag", .log_level = "error"};
    kt_conf_done(&conf);
    enum kt_status status = kt_conf_load(&conf, &made_up_table, &made_up, NULL, 0, &flags, &err);
    set_process_env("KAMAITACHI_SERVER_NAME", NULL);
    set_process_env("KAMAITACHI_STORE_DB", NULL);
    set_process_env("KAMAITACHI_REQUIRE", NULL);
    CHECK_OK(status);
    CHECK_INT(made_up.cache, 256 << 20);
    CHECK_INT(made_up.port, 1001);
    CHECK_STR(made_up.name, "environment");
    CHECK_STR(made_up.db, "/flag");
    CHECK_INT(made_up.level, 3);
    CHECK_STR(conf.file, path);
}

static void a_bad_flag_value_names_the_flag(void)
{
    static const struct {
        struct kt_flags flags;
        const char *begins;
    } cases[] = {{{.port = "0"}, "-port: [server] port: '0'"},
                 {{.db = "x"}, "-db: [store] db: 'x'"},
                 {{.log_level = "loud"}, "-log-level: [log] level: 'loud'"}};
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        kt_conf_done(&conf);
        CHECK_FAILS(kt_conf_load(&conf, &made_up_table, &made_up, NULL, 0, &cases[i].flags, &err),
                    KT_BAD_VALUE);
        CHECK(kt_str_starts(kt_str(err.message), kt_str(cases[i].begins)));
        CHECK(conf.table == NULL && made_up.db == NULL); /* nothing to free */
    }
}

static void a_file_that_was_named_must_exist(void)
{
    struct kt_flags flags = {.config = "/nowhere/at/all.ini"};
    kt_conf_done(&conf);
    CHECK_FAILS(kt_conf_load(&conf, &made_up_table, &made_up, NULL, 0, &flags, &err), KT_NOT_FOUND);
    CHECK(strstr(err.message, "/nowhere/at/all.ini") != NULL);
    CHECK_OK(kt_conf_load(&conf, &made_up_table, &made_up, NULL, 0, NULL, &err));
    CHECK(conf.file == NULL);
}

/* conf/<program>.ini under the working directory. */
static void the_executables_own_file_is_read_if_it_is_there(void)
{
    char path[300], before[300];
    struct kt_flags flags = {0};
    kt_test_path(path, sizeof(path), "conf/made_up.ini");
    CHECK_OK(kt_fs_mkdirs_for(path, &err));
    CHECK_OK(kt_fs_write_durably(path, KT_STR("[server]\nport = 1234\n"), &err));
    CHECK(getcwd(before, sizeof(before)) != NULL);
    CHECK_INT(chdir(kt_test_dir()), 0);
    kt_conf_done(&conf);
    enum kt_status status = kt_conf_load(&conf, &made_up_table, &made_up, NULL, 0, &flags, &err);
    CHECK_INT(chdir(before), 0);
    CHECK_OK(status);
    CHECK_INT(made_up.port, 1234);
    CHECK_STR(conf.file, "conf/made_up.ini");
}

/* ----------------------------------------------------------------- a loop over every key */

static void file_environment_and_flag_override_in_this_order_for_every_key(void)
{
    static const char *const values[][3] = {
        {"11", "22", "33"},
        {"master", "auto", "slave"},
        {"1m", "2m", "3m"},
        {"1", "2", "3"},
        {"warn", "error", "debug"},
        {"true", "false", "true"},
        {"/a", "/b", "/c"},
        {"a", "b", "c"},
        {"a", "b", "c"},
        {"a", "b", "c"},
        {"a", "b", "c"},
        {"1", "2", "3"},
    };
    _Static_assert(KT_ARRAY_LEN(values) == KT_ARRAY_LEN(made_up_keys), "values for each key");
    for (size_t i = 0; i < made_up_table.count; i++) {
        const struct kt_conf_key *key = &made_up_keys[i];
        char line[200], name[100], expected[200];
        CHECK_OK(reset());
        snprintf(line, sizeof(line), "[%s]\n%s = %s\n", key->section, key->key, values[i][0]);
        CHECK_OK(load(line));
        snprintf(name, sizeof(name), "KAMAITACHI_%s_%s", key->section, key->key);
        for (char *c = name; *c; c++) {
            *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
        }
        static const char *const said[] = {"t.ini:2", "environment", "flag"};
        for (int source = 0; source < 3; source++) {
            if (source == 1) {
                CHECK_OK(load_env(name, values[i][1]));
            } else if (source == 2) {
                CHECK_OK(set(key->section, key->key, values[i][2]));
            }
            struct kt_buf text;
            kt_buf_init(&text, 0);
            kt_conf_print(&conf, &text);
            snprintf(expected, sizeof(expected), "[%s] %s = %s   # %s\n", key->section, key->key,
                     key->type == KT_CONF_SECRET ? "***" : values[i][source], said[source]);
            bool found = kt_str_find(kt_buf_str(&text), kt_str(expected)) >= 0;
            kt_buf_done(&text);
            CHECK(found);
        }
    }
}

static void loading_survives_every_failing_allocation(void)
{
    static const char text[] = "[server]\nport = 9\nname = n\n[auth]\nadmin_token = t\n";
    enum kt_status status = KT_NO_MEMORY;
    uint64_t nth = 1;
    kt_conf_done(&conf);
    for (; status != KT_OK && nth < 200; nth++) {
        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        status = kt_conf_init(&conf, &made_up_table, &made_up, NULL, 0, &err);
        if (status == KT_OK) {
            status = kt_conf_load_text(&conf, "t.ini", KT_STR(text), &err);
        }
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        CHECK(status == KT_OK || status == KT_NO_MEMORY);
        if (status == KT_OK) {
            CHECK_INT(made_up.port, 9);
            CHECK_STR(made_up.token, "t");
        }
        kt_conf_done(&conf);
    }
    CHECK(status == KT_OK && nth > 8);
}

static void a_refusal_without_memory_is_still_a_refusal(void)
{
    for (uint64_t nth = 1; nth < 6; nth++) {
        CHECK_OK(reset());
        kt_fault_set(KT_FAULT_ALLOC, nth, 1);
        enum kt_status status = set("server", "port", "0");
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        CHECK_INT(status, KT_BAD_VALUE);
    }
    kt_conf_done(&conf);
}

static const struct kt_test tests[] = {
    TEST(every_key_has_its_default_at_first),
    TEST(an_executable_may_have_defaults_of_its_own),
    TEST(a_default_out_of_range_is_refused_at_init),
    TEST(numbers_are_whole_and_within_their_range),
    TEST(bytes_take_suffixes_of_1024),
    TEST(bools_have_eight_words),
    TEST(an_enum_is_the_index_of_its_choice),
    TEST(texts_are_bounded_and_clean),
    TEST(a_keys_own_check_says_why),
    TEST(a_secret_never_shows_in_a_message),
    TEST(an_unknown_key_cannot_be_set),
    TEST(the_environment_is_read_by_key),
    TEST(a_bad_environment_value_names_its_variable),
    TEST(an_empty_environment_value_unsets),
    TEST(later_sources_win),
    TEST(a_bad_flag_value_names_the_flag),
    TEST(a_file_that_was_named_must_exist),
    TEST(the_executables_own_file_is_read_if_it_is_there),
    TEST(file_environment_and_flag_override_in_this_order_for_every_key),
    TEST(loading_survives_every_failing_allocation),
    TEST(a_refusal_without_memory_is_still_a_refusal),
};
KT_TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT */
/* test_file.c - what an .ini file may look like, and how refusals are worded. */
#include "made_up.h"

#include "base/fs.h"
#include "base/hash.h"

#include <stdlib.h>

static void sections_and_values_are_read(void)
{
    CHECK_OK(reset());
    CHECK_OK(load("; comment\n# another\n\n[server]\nport=81\nname = two words \n\n[cache]\n"
                  "\tmax_bytes\t=\t2m\t\n[server]\nmode = master\n"));
    CHECK_INT(made_up.port, 81);
    CHECK_STR(made_up.name, "two words");
    CHECK_INT(made_up.cache, 2 << 20);
    CHECK_INT(made_up.mode, 0);
    CHECK_INT(conf.lines[0], 5);
    CHECK_INT(conf.sources[0], KT_CONF_FILE);
    CHECK_INT(conf.lines[2], 9);
    CHECK_INT(conf.sources[3], KT_CONF_DEFAULT);
    CHECK_STR(conf.file, "t.ini");
}

static void an_empty_file_changes_nothing(void)
{
    static const char *const texts[] = {"", "\n", "\xEF\xBB\xBF", "# only a comment", " \t\r\n"};
    for (size_t i = 0; i < KT_ARRAY_LEN(texts); i++) {
        CHECK_OK(reset());
        CHECK_OK(load(texts[i]));
        CHECK_INT(made_up.port, 8080);
    }
    CHECK_OK(kt_conf_load_text(&conf, "t.ini", (struct kt_str){NULL, 0}, &err));
}

static void a_bom_crlf_and_a_missing_last_newline_are_read(void)
{
    CHECK_OK(reset());
    CHECK_OK(load("\xEF\xBB\xBF[server]\r\nport = 81\r\nname = x\r\n\r\n[log]\r\nlevel = off"));
    CHECK_INT(made_up.port, 81);
    CHECK_STR(made_up.name, "x");
    CHECK_INT(made_up.level, 4);
    CHECK_INT(conf.lines[4], 6);
}

static void a_comment_needs_white_space_before_it(void)
{
    LOAD_FAILS("[server]#x\n", "t.ini:1: a section must be the whole line: [section]");
    CHECK_OK(reset());
    CHECK_OK(load("[server] ; here\nport = 81 # here\nname = a#b;c  ; and here # twice\n"
                  "[auth]\nadmin_token = p;w#d\t# tab\n[store]\ndb = ; nothing\n"));
    CHECK_INT(made_up.port, 81);
    CHECK_STR(made_up.name, "a#b;c");
    CHECK_STR(made_up.token, "p;w#d");
    CHECK_STR(made_up.db, "");
    CHECK_INT(conf.sources[6], KT_CONF_FILE);
}

static void values_may_hold_separators_and_brackets(void)
{
    CHECK_OK(reset());
    CHECK_OK(load("[log]\nfile = http://[::1]:2379,a=b\n[server]\nport: 82\nname = [x]\n"));
    CHECK_STR(made_up.level_file, "http://[::1]:2379,a=b");
    CHECK_INT(made_up.port, 82);
    CHECK_STR(made_up.name, "[x]");
}

/* inih's own buffer is 200 bytes in Debian; a longer value must come through whole. */
static void long_lines_are_read_whole(void)
{
    for (size_t len = 150; len <= 5000; len += len < 260 ? 1 : 379) {
        char text[5300] = "[log]\nfile = ", value[5200];
        memset(value, 'v', len);
        value[len] = '\0';
        snprintf(text + 13, sizeof(text) - 13, "%s   # comment\n[server]\nport = 83\n", value);
        CHECK_OK(reset());
        CHECK_OK(load(text));
        CHECK_STR(made_up.level_file, value);
        CHECK_INT(made_up.port, 83);
        CHECK_INT(conf.lines[0], 4);
    }
}

static void an_indented_line_is_an_assignment_of_its_own(void)
{
    CHECK_OK(reset());
    CHECK_OK(load("  [server]\n    name = a\n    port = 84\n"));
    CHECK_STR(made_up.name, "a");
    CHECK_INT(made_up.port, 84);
    LOAD_FAILS("[server]\nname = a\n   continued\n", "t.ini:3: expected [section] or key = value");
    CHECK_STR(made_up.name, "a");
}

static void out_of_range_names_file_line_and_range(void)
{
    LOAD_FAILS("[server]\n\n# x\nport = 70000\n",
               "t.ini:4: [server] port: '70000' is not within the range (allowed 1..65535)");
    CHECK_INT(made_up.port, 8080);
    LOAD_FAILS("[server]\nport = x # y\n",
               "t.ini:2: [server] port: 'x' is not a whole number (allowed 1..65535)");
    LOAD_FAILS("[server]\r\nport =\r\n",
               "t.ini:2: [server] port: '' is not a whole number (allowed 1..65535)");
    LOAD_FAILS("[log]\nlevel = loud",
               "t.ini:2: [log] level: 'loud' is not one of the choices (allowed debug, info, "
               "warn, error, off)");
    LOAD_FAILS("[cache]\nmax_bytes = 1\n",
               "t.ini:2: [cache] max_bytes: '1' is not within the range (allowed 1m..1t)");
}

static void unknown_names_are_refused(void)
{
    LOAD_FAILS("[server]\nprot = 1\n",
               "t.ini:2: [server] prot: no such key (known: port, mode, name, id)");
    LOAD_FAILS("[server]\nPort = 1\n",
               "t.ini:2: [server] Port: no such key (known: port, mode, name, id)");
    LOAD_FAILS("\n[srever]\nport = 1\n",
               "t.ini:2: [srever]: no such section (known: server, cache, log, store, auth, "
               "limits)");
    LOAD_FAILS("[empty_one]\n", "t.ini:1: [empty_one]: no such section (known: server, cache, log, "
                                "store, auth, limits)");
    LOAD_FAILS("[ server ]\n", "t.ini:1: [ server ]: no such section (known: server, cache, log, "
                               "store, auth, limits)");
    LOAD_FAILS("[]\n",
               "t.ini:1: []: no such section (known: server, cache, log, store, auth, limits)");
    LOAD_FAILS("port = 1\n", "t.ini:1: a key must stand below a [section]");
    LOAD_FAILS("[store]\nport = 1\n", "t.ini:2: [store] port: no such key (known: db)");
}

static void a_key_given_twice_is_refused(void)
{
    LOAD_FAILS("[server]\nport = 1\nname = x\nport = 1\n",
               "t.ini:4: [server] port: given twice, first in line 2");
    LOAD_FAILS("[server]\nport = 1\n[log]\n[server]\nport = 2\n",
               "t.ini:5: [server] port: given twice, first in line 2");
    CHECK_INT(made_up.port, 1);
}

static void lines_that_are_neither_are_refused(void)
{
    LOAD_FAILS("[server]\nport\n", "t.ini:2: expected [section] or key = value");
    LOAD_FAILS("[server]\n= 5\n", "t.ini:2: expected [section] or key = value");
    LOAD_FAILS("[server\nport = 1\n", "t.ini:1: a section must be the whole line: [section]");
    LOAD_FAILS("[\n", "t.ini:1: a section must be the whole line: [section]");
    LOAD_FAILS("[server] port = 1\n", "t.ini:1: a section must be the whole line: [section]");
    LOAD_FAILS("[server]]\n", "t.ini:1: a section must be the whole line: [section]");
    LOAD_FAILS("[server]\nport = 1\rname = x\n",
               "t.ini:2: not valid UTF-8, or a control character");
    LOAD_FAILS("[server]\nname = \xFF\n", "t.ini:2: not valid UTF-8, or a control character");
    LOAD_FAILS("[server]\nname = \x1B[0m\n", "t.ini:2: not valid UTF-8, or a control character");
}

static void a_nul_byte_is_refused(void)
{
    static const char text[] = "[server]\nport = 1\0\nname = x\n";
    CHECK_OK(reset());
    CHECK_FAILS(kt_conf_load_text(&conf, "t.ini", KT_STR(text), &err), KT_BAD_VALUE);
    CHECK_STR(err.message, "t.ini:2: not valid UTF-8, or a control character");
}

/* A long section name would be cut by inih, and might then match. */
static void long_names_are_refused(void)
{
    char text[1000] = "[server", key[1000] = "[server]\n";
    memset(text + 7, 'r', 900);
    memcpy(text + 907, "]\n", 3);
    CHECK_OK(reset());
    CHECK_FAILS(load(text), KT_BAD_VALUE);
    CHECK(strstr(err.message, "no such section") != NULL);
    memset(key + 9, 'k', 900);
    memcpy(key + 909, "=1\n", 4);
    CHECK_OK(reset());
    CHECK_FAILS(load(key), KT_BAD_VALUE);
    CHECK(strstr(err.message, "t.ini:2: ") == err.message);
}

static void the_first_of_several_mistakes_is_named(void)
{
    LOAD_FAILS("[server]\nport = 0\nnonsense\nname = x\n",
               "t.ini:2: [server] port: '0' is not within the range (allowed 1..65535)");
    CHECK_STR(made_up.name, "");
    LOAD_FAILS("[server]\nnonsense\nport = 0\n", "t.ini:2: expected [section] or key = value");
}

static void a_file_is_read_from_its_path(void)
{
    char path[300], expected[500];
    kt_test_path(path, sizeof(path), "a.ini");
    CHECK_OK(kt_fs_write_durably(path, KT_STR("[server]\nport = 85\nmode = x\n"), &err));
    CHECK_OK(reset());
    CHECK_FAILS(kt_conf_load_file(&conf, path, &err), KT_BAD_VALUE);
    snprintf(expected, sizeof(expected),
             "%s:3: [server] mode: 'x' is not one of the choices (allowed master, slave, auto)",
             path);
    CHECK_STR(err.message, expected);
    CHECK_OK(reset());
    CHECK_FAILS(kt_conf_load_file(&conf, "/nowhere/at/all.ini", &err), KT_NOT_FOUND);
}

static void a_huge_file_is_refused(void)
{
    char path[300];
    size_t len = (1 << 20) + 1;
    char *text = malloc(len);
    memset(text, '\n', len);
    kt_test_path(path, sizeof(path), "huge.ini");
    CHECK_OK(kt_fs_write_durably(path, kt_str_n(text, len), &err));
    free(text);
    CHECK_OK(reset());
    CHECK_FAILS(kt_conf_load_file(&conf, path, &err), KT_TOO_LARGE);
}

/* Random pieces of .ini text: any answer is fine, but it must come, with a line in its message. */
static void random_files_do_no_harm(void)
{
    static const char *const parts[] = {
        "[server]", "\n",   "port",    " = ", "1",         "#",        " ;",  "[",     "]",
        "\r\n",     "name", ":",       "\t",  " ",         "[log]",    "=",   "level", "info",
        "\x80",     "\r",   "[cache]", "64m", "max_bytes", "\xC3\xA9", "\n\n"};
    uint64_t seed = 3;
    int count = kt_test_is_slow() ? 2000 : 40000;
    for (int i = 0; i < count; i++) {
        char text[300];
        size_t len = 0, pieces = kt_prng_next(&seed) % 20;
        for (size_t j = 0; j < pieces; j++) {
            const char *part = parts[kt_prng_next(&seed) % KT_ARRAY_LEN(parts)];
            memcpy(text + len, part, strlen(part));
            len += strlen(part);
        }
        CHECK_OK(reset());
        enum kt_status status = kt_conf_load_text(&conf, "t.ini", kt_str_n(text, len), &err);
        CHECK(status == KT_OK || status == KT_BAD_VALUE);
        CHECK(status == KT_OK || strncmp(err.message, "t.ini:", 6) == 0);
    }
    kt_conf_done(&conf);
}

static void the_last_test_frees(void)
{
    kt_conf_done(&conf);
    CHECK(made_up.name == NULL);
}

static const struct kt_test tests[] = {
    TEST(sections_and_values_are_read),
    TEST(an_empty_file_changes_nothing),
    TEST(a_bom_crlf_and_a_missing_last_newline_are_read),
    TEST(a_comment_needs_white_space_before_it),
    TEST(values_may_hold_separators_and_brackets),
    TEST(long_lines_are_read_whole),
    TEST(an_indented_line_is_an_assignment_of_its_own),
    TEST(out_of_range_names_file_line_and_range),
    TEST(unknown_names_are_refused),
    TEST(a_key_given_twice_is_refused),
    TEST(lines_that_are_neither_are_refused),
    TEST(a_nul_byte_is_refused),
    TEST(long_names_are_refused),
    TEST(the_first_of_several_mistakes_is_named),
    TEST(a_file_is_read_from_its_path),
    TEST(a_huge_file_is_refused),
    TEST(random_files_do_no_harm),
    TEST(the_last_test_frees),
};
KT_TEST_MAIN(tests)

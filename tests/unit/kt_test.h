/* kt_test.h - the unit tests' small frame.
 *
 * A test is a function `static void sentence_that_holds(void)`, listed in a table that KT_TEST_MAIN
 * turns into main(). A failed CHECK prints where and both values, marks the test failed and returns
 * from the test function. `./test_x NAME` runs only tests whose name contains NAME.
 * The run ends with `N passed, N failed`.
 *
 * Threads: checks may only be made on the main thread; other threads report through atomics.
 * Owns:    a temporary directory per process (kt_test_dir), removed at the end.
 * Fails:   exit status 1 when a test failed.
 */
#ifndef KT_TEST_H
#define KT_TEST_H

#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct kt_test {
    const char *name;
    void (*run)(void);
};

int kt_test_main(const struct kt_test *tests, size_t count, int argc, char **argv);
void kt_test_fail(const char *file, int line, const char *fmt, ...) KT_PRINTF(3, 4);
/* A directory of this process's own, made at first use. */
const char *kt_test_dir(void);
void kt_test_dir_remove(void); /* for who has no kt_test_main; fits atexit */
/* dest = kt_test_dir()/name */
void kt_test_path(char *dest, size_t size, const char *name);
/* True in sanitizer builds and under valgrind, where counts shrink to a twentieth. */
bool kt_test_is_slow(void);

/* A millisecond between two looks of a loop that waits for a condition with a deadline; any thread.
 */
void kt_test_pause(void);

/* The skip of a test whose tool or data is missing; fails where KAMAITACHI_REQUIRE names `what`. */
void kt_test_skip(const char *what, const char *why);

#define TEST(fn)                                                                                   \
    {                                                                                              \
#fn, fn                                                                                    \
    }
#define KT_TEST_MAIN(table)                                                                        \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return kt_test_main(table, sizeof(table) / sizeof((table)[0]), argc, argv);                \
    }

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            kt_test_fail(__FILE__, __LINE__, "%s", #cond);                                         \
            return;                                                                                \
        }                                                                                          \
    } while (0)

#define CHECK_INT(actual, expected)                                                                \
    do {                                                                                           \
        long long a_ = (long long)(actual), e_ = (long long)(expected);                            \
        if (a_ != e_) {                                                                            \
            kt_test_fail(__FILE__, __LINE__, "%s is %lld, expected %lld", #actual, a_, e_);        \
            return;                                                                                \
        }                                                                                          \
    } while (0)

#define CHECK_STR(actual, expected)                                                                \
    do {                                                                                           \
        const char *a_ = (actual), *e_ = (expected);                                               \
        if (!a_ || strcmp(a_, e_) != 0) {                                                          \
            kt_test_fail(__FILE__, __LINE__, "%s is \"%s\", expected \"%s\"", #actual,             \
                         a_ ? a_ : "(null)", e_);                                                  \
            return;                                                                                \
        }                                                                                          \
    } while (0)

#define CHECK_SLICE(actual, expected)                                                              \
    do {                                                                                           \
        struct kt_str a_ = (actual), e_ = kt_str(expected);                                        \
        if (!kt_str_eq(a_, e_)) {                                                                  \
            kt_test_fail(__FILE__, __LINE__, "%s is \"" KT_STR_FMT "\", expected \"%s\"", #actual, \
                         KT_STR_ARG(a_), e_.data);                                                 \
            return;                                                                                \
        }                                                                                          \
    } while (0)

/* The call succeeds; otherwise its error's message is printed. Needs `struct kt_error err`. */
#define CHECK_OK(call)                                                                             \
    do {                                                                                           \
        enum kt_status s_ = (call);                                                                \
        if (s_ != KT_OK) {                                                                         \
            kt_test_fail(__FILE__, __LINE__, "%s gave %s: %s", #call, kt_status_name(s_),          \
                         err.message);                                                             \
            return;                                                                                \
        }                                                                                          \
    } while (0)

#define CHECK_FAILS(call, expected)                                                                \
    do {                                                                                           \
        enum kt_status s_ = (call);                                                                \
        if (s_ != (expected)) {                                                                    \
            kt_test_fail(__FILE__, __LINE__, "%s gave %s, expected %s", #call, kt_status_name(s_), \
                         kt_status_name(expected));                                                \
            return;                                                                                \
        }                                                                                          \
    } while (0)

#endif

/* SPDX-License-Identifier: MIT */
#include "kt_test.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int test_failed;
static int test_skipped;
static char test_dir[256];

void kt_test_fail(const char *file, int line, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    printf("  %s:%d: ", file, line);
    vprintf(fmt, args);
    printf("\n");
    va_end(args);
    test_failed = 1;
}

void kt_test_skip(const char *what, const char *why)
{
    const char *required = getenv("KAMAITACHI_REQUIRE");
    if (required && strstr(required, what)) {
        kt_test_fail("(required)", 0, "%s: %s", what, why);
        return;
    }
    printf("  skipped: %s: %s\n", what, why);
    test_skipped = 1;
}

const char *kt_test_dir(void)
{
    if (!test_dir[0]) {
        const char *base = getenv("TMPDIR");
        for (int i = 0; i < 1000; i++) {
            snprintf(test_dir, sizeof(test_dir), "%s/kt_test.%ld.%d", base ? base : "/tmp",
                     (long)getpid(), i);
#ifdef _WIN32
            if (mkdir(test_dir) == 0) {
#else
            if (mkdir(test_dir, 0700) == 0) {
#endif
                return test_dir;
            }
        }
        fprintf(stderr, "no temporary directory: %s\n", test_dir);
        abort();
    }
    return test_dir;
}

void kt_test_path(char *dest, size_t size, const char *name)
{
    int n = snprintf(dest, size, "%s/%s", kt_test_dir(), name);
    if (n < 0 || (size_t)n >= size) {
        abort();
    }
}

void kt_test_pause(void)
{
    struct timespec moment = {0, 1000000};
    nanosleep(&moment, NULL);
}

bool kt_test_is_slow(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#else
    return getenv("KT_TEST_SLOW") != NULL;
#endif
}

static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) {
        remove(path);
        return;
    }
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        char child[1024];
        snprintf(child, sizeof(child), "%s/%s", path, e->d_name);
        struct stat st;
        if (stat(child, &st) == 0 && S_ISDIR(st.st_mode)) {
            remove_tree(child);
        } else {
            remove(child);
        }
    }
    closedir(dir);
    rmdir(path);
}

void kt_test_dir_remove(void)
{
    if (test_dir[0]) {
        remove_tree(test_dir);
        test_dir[0] = '\0';
    }
}

int kt_test_main(const struct kt_test *tests, size_t count, int argc, char **argv)
{
    int passed = 0, failed = 0, skipped = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < count; i++) {
        if (argc > 1 && !strstr(tests[i].name, argv[1])) {
            continue;
        }
        test_failed = test_skipped = 0;
        tests[i].run();
        printf("%s - %s\n", test_failed ? "FAIL" : test_skipped ? "skip" : "ok", tests[i].name);
        if (test_failed) {
            failed++;
        } else if (test_skipped) {
            skipped++;
        } else {
            passed++;
        }
    }
    kt_test_dir_remove();
    printf("%d passed, %d failed", passed, failed);
    if (skipped) {
        printf(", %d skipped", skipped);
    }
    printf("\n");
    return failed ? 1 : 0;
}

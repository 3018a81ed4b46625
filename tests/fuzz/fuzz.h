/* fuzz.h - what every fuzz target has: libFuzzer's entry point, a check, and slices.
 *
 * A target is one file fuzz_<name>.c. Linked with libFuzzer (meson option `fuzz`, clang) it hunts;
 * linked with replay.c (every other build) it reads its seeds, its corpus and its regressions once,
 * as a plain test. Besides not crashing, a target asserts what must hold for every input: what was
 * decoded encodes again, two ways to read the same agree.
 *
 * Threads: one.
 * Owns:    nothing.
 * Fails:   FUZZ_CHECK aborts.
 */
#ifndef KT_FUZZ_H
#define KT_FUZZ_H

#include "base/str.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static inline struct kt_str fuzz_str(const uint8_t *data, size_t size)
{
    return kt_str_n((const char *)data, size);
}

/* The first line without its end; *rest is what follows it. */
static inline struct kt_str fuzz_line(struct kt_str *rest)
{
    struct kt_str line = kt_str_cut(rest, '\n');
    if (!rest->data) {
        *rest = kt_str_n(line.data + line.len, 0);
    }
    return line;
}

#endif

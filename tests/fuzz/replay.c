/* SPDX-License-Identifier: MIT */
/* replay.c - a target's main without libFuzzer: every file named on the command line, or below a
 * directory named there, is one input; a file that ends in .corpus holds many, each behind its
 * length (u32, little-endian).
 */
#include "fuzz.h"

#include "base/buf.h"
#include "base/fs.h"

#include <string.h>

static size_t run_count;

static void run_one(struct kt_str input)
{
    /* A block of its own, so that a sanitizer sees a read beyond its end. */
    uint8_t *copy = malloc(input.len ? input.len : 1);
    FUZZ_CHECK(copy);
    if (input.len > 0) {
        memcpy(copy, input.data, input.len);
    }
    (void)LLVMFuzzerTestOneInput(copy, input.len);
    free(copy);
    run_count++;
}

static void run_packed(struct kt_str bytes)
{
    size_t pos = 0;
    while (bytes.len - pos >= 4) {
        const unsigned char *head = (const unsigned char *)bytes.data + pos;
        size_t len = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
        pos += 4;
        FUZZ_CHECK(len <= bytes.len - pos);
        run_one(kt_str_n(bytes.data + pos, len));
        pos += len;
    }
    FUZZ_CHECK(pos == bytes.len);
}

static void run_file(const char *path)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    if (kt_fs_read(path, (size_t)256 << 20, &bytes, &err) != KT_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    if (kt_str_ends(kt_str(path), KT_STR(".corpus"))) {
        run_packed(kt_buf_str(&bytes));
    } else {
        run_one(kt_buf_str(&bytes));
    }
    kt_buf_done(&bytes);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        run_file(argv[i]);
    }
    printf("%zu inputs\n", run_count);
    if (run_count == 0) {
        fprintf(stderr, "no input was named\n");
        return 1;
    }
    return 0;
}

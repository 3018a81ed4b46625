/* answer.h - the fixed answer of the bare servers, and their flags.
 *
 * -answer FILE sends the file's bytes as they are: a whole HTTP answer, head and body, as one of
 * our nodes gave it, so that the bare server sends exactly what the node sends. -bytes N makes one
 * with a body of N bytes instead.
 *
 * Threads: one at a time; the finished answer is read-only.
 * Owns:    the answer's bytes, for as long as the program.
 * Fails:   parse says why on standard error and gives the exit status, or -1 to go on.
 */
#ifndef KT_BENCH_PEERS_ANSWER_H
#define KT_BENCH_PEERS_ANSWER_H

#include "base/buf.h"
#include "base/fs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BARE_ANSWER_MAX ((size_t)64 << 20)

struct bare_options {
    int64_t port; /* 0 = any; it is printed */
    int64_t threads;
    int64_t bytes;
    struct kt_buf answer;
};

static inline int bare_usage(FILE *stream, const char *name)
{
    fprintf(stream,
            "usage: %s [-port N] [-threads N] [-answer FILE | -bytes N]\n"
            "Answers every request with the same bytes: those of FILE (a whole HTTP answer), or a\n"
            "JSON text of N bytes (default 300). Listens on 127.0.0.1, prints the port.\n",
            name);
    return stream == stderr ? 2 : 0;
}

static inline void bare_make_answer(struct kt_buf *answer, int64_t bytes)
{
    kt_buf_printf(answer,
                  "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                  "Content-Length: %" PRId64 "\r\n\r\n",
                  bytes);
    kt_buf_append_byte(answer, '"');
    for (int64_t i = 2; i < bytes; i++) {
        kt_buf_append_byte(answer, 'x');
    }
    kt_buf_append_byte(answer, '"');
}

/* -1: go on; else the exit status. */
static inline int bare_options_parse(struct bare_options *options, int argc, char **argv)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *file = NULL;

    kt_buf_init(&options->answer, BARE_ANSWER_MAX);
    for (int i = 1; i < argc; i++) {
        const char *flag = argv[i][0] == '-' && argv[i][1] == '-' ? argv[i] + 1 : argv[i];
        if (strcmp(flag, "-help") == 0 || strcmp(flag, "-h") == 0) {
            return bare_usage(stdout, argv[0]);
        }
        const char *value = i + 1 < argc ? argv[++i] : "";
        struct kt_str text = kt_str(value);
        bool right = false;
        if (strcmp(flag, "-answer") == 0) {
            file = value;
            right = value[0] != '\0';
        } else if (strcmp(flag, "-port") == 0) {
            right =
                kt_parse_i64(text, &options->port) && options->port >= 0 && options->port <= 65535;
        } else if (strcmp(flag, "-threads") == 0) {
            right = kt_parse_i64(text, &options->threads) && options->threads >= 1 &&
                    options->threads <= 4096;
        } else if (strcmp(flag, "-bytes") == 0) {
            right = kt_parse_i64(text, &options->bytes) && options->bytes >= 2 &&
                    options->bytes <= (32 << 20);
        }
        if (!right) {
            fprintf(stderr, "%s: bad flag or value: %s %s\n", argv[0], flag, value);
            return bare_usage(stderr, argv[0]);
        }
    }
    if (file) {
        if (kt_fs_read(file, BARE_ANSWER_MAX, &options->answer, &err) != KT_OK) {
            fprintf(stderr, "%s: %s\n", argv[0], err.message);
            return 1;
        }
    } else {
        bare_make_answer(&options->answer, options->bytes);
    }
    if (kt_buf_status(&options->answer) != KT_OK || options->answer.len_bytes == 0) {
        fprintf(stderr, "%s: no answer to send\n", argv[0]);
        return 1;
    }
    return -1;
}

#endif

/* log.h - one line per change of state.
 *
 * A line is: UTC time in ms, level, node, area, event, key=value … (or one JSON object). Values
 * with spaces or quotes are quoted. Info is for changes of state only; what repeats is counted, not
 * repeated: the same (area, event, level) more than 10 times in 10 s is suppressed and summed up in
 * one line `repeated=N`.
 *
 * Threads: any; one mutex (KT_RANK_LOG) around the write to the stream.
 * Owns:    nothing; the stream belongs to the caller (stderr by default).
 * Fails:   never; a line that cannot be written is dropped.
 */
#ifndef KT_BASE_LOG_H
#define KT_BASE_LOG_H

#include "base/status.h"

#include <stdbool.h>
#include <stdio.h>

enum kt_log_level { KT_LOG_DEBUG, KT_LOG_INFO, KT_LOG_WARN, KT_LOG_ERROR, KT_LOG_OFF };

void kt_log_setup(FILE *stream, enum kt_log_level level, bool json);
void kt_log_set_node(const char *name); /* shown on each line; ≤ 63 bytes are kept */
void kt_log_set_level(enum kt_log_level level);
bool kt_log_level_parse(const char *text,
                        enum kt_log_level *ret_level); /* debug info warn error off */
bool kt_log_enabled(enum kt_log_level level);

/* `fields` is a printf format of key=value pairs separated by single spaces; a value with spaces
 * must be put in double quotes by the format: "path=%s why=\"%s\"" (inner quotes, backslashes and
 * control characters in arguments are escaped when the line is written as JSON; in text they are
 * replaced). */
void kt_log_write(enum kt_log_level level, const char *area, const char *event, const char *fields,
                  ...) KT_PRINTF(4, 5);

/* Writes the `repeated=N` lines still owed; before the process ends. */
void kt_log_flush(void);

#define kt_log(level, area, event, ...)                                                            \
    do {                                                                                           \
        if (kt_log_enabled(KT_LOG_##level)) {                                                      \
            kt_log_write(KT_LOG_##level, area, event, __VA_ARGS__);                                \
        }                                                                                          \
    } while (0)

#endif

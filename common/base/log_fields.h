/* log_fields.h - one log line in the making, as text or JSON; private to log.c.
 *
 * Text:  VALUE VALUE … key=value key="two words"
 * JSON:  {"head":"VALUE",…,"key":"value","number":1}
 *
 * Threads: one at a time.
 * Owns:    its memory, which is part of it.
 * Fails:   never; a pair that does not fit is left out and the line says `cut=1`.
 */
#ifndef KT_BASE_LOG_FIELDS_H
#define KT_BASE_LOG_FIELDS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KT_LOG_LINE_MAX = 8192, KT_LOG_VALUE_MAX = 2048 };

struct kt_log_line {
    bool json, cut;
    size_t len;
    char data[KT_LOG_LINE_MAX];
    /* The value being put together from literals and arguments. */
    char value[KT_LOG_VALUE_MAX];
    size_t value_len;
    bool is_number; /* nothing but one numeric argument so far */
};

void kt_log_line_begin(struct kt_log_line *line, bool json);
/* One of the fixed columns: padded to `width` in text, under its name in JSON. */
void kt_log_line_head(struct kt_log_line *line, const char *name, const char *value, size_t width);
/* Walks the format and its arguments. `args` is left used up to the first conversion that is not
 * understood (%n, %Lf …), behind which nothing is written. */
void kt_log_line_fields(struct kt_log_line *line, const char *fmt, va_list *args);
void kt_log_line_number(struct kt_log_line *line, const char *key, uint64_t value);
void kt_log_line_end(struct kt_log_line *line); /* with a newline */

#endif

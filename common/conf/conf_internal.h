/* conf_internal.h - what the files of this directory share.
 *
 * Threads: as conf.h.
 * Owns:    nothing.
 * Fails:   as conf.h.
 */
#ifndef KT_CONF_CONF_INTERNAL_H
#define KT_CONF_CONF_INTERNAL_H

#include "conf/conf.h"

#include "base/str.h"

/* A section of the table; NULL = there is none. */
bool kt_conf_has_section(const struct kt_conf_table *table, struct kt_str section);
/* The index in the table; table->count = no such key. */
size_t kt_conf_find(const struct kt_conf_table *table, const char *section, const char *key);
/* The default that holds for this executable. */
const char *kt_conf_preset_of(const struct kt_conf_key *key, const struct kt_conf_preset *presets,
                              size_t preset_count);

/* Checks `text` and puts it into the target; `where` begins the message. The target is untouched on
 * failure. */
enum kt_status kt_conf_assign(const struct kt_conf_key *key, void *target, const char *text,
                              const char *where, struct kt_error *err) KT_MUST_CHECK;
/* True when "" is a value of this key and not an error. */
bool kt_conf_takes_empty(const struct kt_conf_key *key);

/* The value in the target as the file would say it, *** for a secret that is set. */
void kt_conf_format_value(const struct kt_conf_key *key, const void *target,
                          struct kt_buf *ret_text);
/* "1..65535", "1m..64g", "a, b or c", "0..1024 bytes of text"; nothing for a bool's. */
void kt_conf_format_range(const struct kt_conf_key *key, struct kt_buf *ret_text);

#endif

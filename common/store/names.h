/* names.h - keys of subjects or topics to numbers, for ever: a table that only grows.
 *
 * Readers look up without a lock while the one writer adds: an entry never changes once it can be
 * seen, and a grown table is published beside the old one, which stays until the end (all old
 * tables together are no larger than the present one). A number that is not in a reader's view is
 * unknown there: numbers of a transaction that failed stay reserved for their keys.
 *
 * Threads: find from any; number from one thread at a time.
 * Owns:    copies of the keys, as long as the table lives (counted; views hold a reference).
 * Fails:   number with false when memory is exhausted.
 */
#ifndef KT_STORE_NAMES_H
#define KT_STORE_NAMES_H

#include "base/str.h"

struct names; /* opaque, counted */

struct names *names_new(void);
struct names *names_ref(struct names *names);
void names_unref(struct names **names);
bool names_find(const struct names *names, struct kt_str key, uint32_t *ret_number);
/* The number of a key: what it has, else the next free one. ret_key = the table's own copy. */
bool names_number(struct names *names, struct kt_str key, uint32_t *ret_number,
                  struct kt_str *ret_key);
/* At load: the key has this number. Keys and numbers come once each. */
bool names_restore(struct names *names, struct kt_str key, uint32_t number, struct kt_str *ret_key);

#endif

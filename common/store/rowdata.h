/* rowdata.h - what a stored version says, as the JSON text of its row.
 *
 * Format: {"price":92.29,"x":null,"end_date":"2023-12-31","year":null}
 * Indicator keys with a number or null (cleared); the reserved names end_date and year with a text
 * or null (cleared), absent = not named. Doubles in the shortest form that reads back the same. No
 * white space. Written and read by us only, so the reader takes exactly that and calls the rest
 * damaged.
 *
 * Threads: one at a time per reader.
 * Owns:    the reader its scratch; what read gives lives until the next read.
 * Fails:   read with KT_CORRUPT, KT_NO_MEMORY; write by the buffer's sticky failure.
 */
#ifndef KT_STORE_ROWDATA_H
#define KT_STORE_ROWDATA_H

#include "base/buf.h"
#include "store/catalogue_edit.h"
#include "store/change.h"

void rowdata_write(struct kt_buf *buf, const struct kt_change_record *record);

struct rowdata_reader;                           /* opaque */
struct rowdata_reader *rowdata_reader_new(void); /* NULL when out of memory */
void rowdata_reader_free(struct rowdata_reader **reader);
/* Before the rows of another table of indicators. */
void rowdata_reader_start(struct rowdata_reader *reader, const struct indicator_table *indicators);
/* Fills end_date, year, values and value_count. */
enum kt_status rowdata_read(struct rowdata_reader *reader, struct kt_str text,
                            struct kt_version *ret_version, struct kt_error *err) KT_MUST_CHECK;

#endif

/* finance.h - rows of a SQLite file that the first Kamaitachi wrote: table finance_data.
 *
 * The file comes from a client and may be made to do harm, so nothing of it is executed: opened
 * read-only and as immutable (no journal of its is replayed), defensive, with views, triggers,
 * extensions and an untrusted schema's functions off; finance_data must be a table that has all
 * columns as plain ones and a rowid, and is read without any index. The work before the first row
 * is bounded in steps (a schema of a million tables), a cell in bytes, the time to the next row by
 * a deadline; rowids must rise (pages that lead back to each other would never end).
 *
 * Threads: one at a time.
 * Owns:    its connection; cells live until the next call.
 * Fails:   KT_BAD_VALUE field "body" when the file is damaged or no such database, KT_TIMEOUT,
 *          KT_IO, KT_NO_MEMORY.
 */
#ifndef KT_STORE_FINANCE_H
#define KT_STORE_FINANCE_H

#include "base/status.h"
#include "base/str.h"

enum kt_finance_column {
    KT_FINANCE_STOCK_CODE,
    KT_FINANCE_MARKET_CODE,
    KT_FINANCE_SUBJECT_KEY,
    KT_FINANCE_STOCK_NAME,
    KT_FINANCE_REPORT_DATE,
    KT_FINANCE_END_DATE,
    KT_FINANCE_YEAR,
    KT_FINANCE_PERIOD,
    KT_FINANCE_OPERATING_INCOME,
    KT_FINANCE_PARENT_HOLDER_NET_PROFIT,
    KT_FINANCE_CATEGORY,
    KT_FINANCE_TOPIC,
    KT_FINANCE_COLUMNS
};
extern const char *const kt_finance_column_names[KT_FINANCE_COLUMNS];

struct kt_finance; /* opaque */
struct kt_finance_row {
    uint64_t number;                         /* from 1 */
    struct kt_str cells[KT_FINANCE_COLUMNS]; /* as text; "" for NULL */
};

/* `step_ms` bounds each call of next. */
enum kt_status kt_finance_open(const char *path, int64_t step_ms, struct kt_finance **ret_finance,
                               struct kt_error *err) KT_MUST_CHECK;
void kt_finance_close(struct kt_finance **finance);
/* In order of rowid; KT_NOT_FOUND at the end. */
enum kt_status kt_finance_next(struct kt_finance *finance, struct kt_finance_row *ret_row,
                               struct kt_error *err) KT_MUST_CHECK;

#endif

/* SPDX-License-Identifier: MIT */
/* A SQLite file that a client sends as the first program's: whatever its bytes are, reading it
 * ends, with rows in rising order or with a reason.
 */
#include "fuzz.h"

#include "base/fs.h"
#include "store/finance.h"
#include "unit/kt_test.h"

#define ROWS_MAX 10000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[512];
    struct kt_error err = KT_ERROR_INIT;
    struct kt_finance *finance = NULL;
    if (!path[0]) {
        FUZZ_CHECK(atexit(kt_test_dir_remove) == 0);
        kt_test_path(path, sizeof(path), "sent.db");
    }
    FILE *file = fopen(path, "wb");
    FUZZ_CHECK(file && fwrite(data, 1, size, file) == size && fclose(file) == 0);
    enum kt_status status = kt_finance_open(path, 5000, &finance, &err);
    uint64_t count = 0;
    struct kt_finance_row row;
    while (status == KT_OK && count < ROWS_MAX) {
        status = kt_finance_next(finance, &row, &err);
        if (status == KT_OK) {
            count++;
            FUZZ_CHECK(row.number == count);
            for (int i = 0; i < KT_FINANCE_COLUMNS; i++) {
                FUZZ_CHECK(row.cells[i].len == 0 || row.cells[i].data);
            }
        }
    }
    FUZZ_CHECK(status == KT_OK || status == KT_NOT_FOUND || err.message[0] != '\0');
    kt_finance_close(&finance);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* A version's row in the data file: text that only we write, and that a disk may damage. */
#include "fuzz.h"

#include "base/mem.h"
#include "store/rowdata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct indicator_table *table;
    static struct rowdata_reader *reader;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_version version;
    if (!table) {
        static struct indicator_table none;
        struct kt_str keys[] = {KT_STR("price"), KT_STR("net \"profit\""), KT_STR("x"),
                                KT_STR("\xe6\x94\xb6\xe5\x85\xa5")};
        table = indicators_with(&none, keys, 4);
        reader = rowdata_reader_new();
        FUZZ_CHECK(table && reader);
        rowdata_reader_start(reader, table);
    }
    if (rowdata_read(reader, fuzz_str(data, size), &version, &err) == KT_OK) {
        for (size_t i = 0; i < version.value_count; i++) {
            FUZZ_CHECK(version.values[i].indicator < 4);
        }
    } else {
        FUZZ_CHECK(err.message[0] != '\0');
    }
    return 0;
}

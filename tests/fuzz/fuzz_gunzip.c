/* SPDX-License-Identifier: MIT */
/* A gzip stream in pieces. Its first byte says how large they are; what comes out is bounded here
 * as the callers bound it, by reading no further.
 */
#include "fuzz.h"

#include "node/gunzip.h"
#include "unit/node/drip.h"

#define OUTPUT_MAX ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_gunzip *gunzip = NULL;
    char dest[8192];
    size_t total = 0, len = 1;
    if (size == 0) {
        return 0;
    }
    struct drip drip = {.text = fuzz_str(data + 1, size - 1), .piece = data[0]};
    struct kt_http_body source = {drip_read, &drip};
    FUZZ_CHECK(kt_gunzip_new(&source, &gunzip, &err) == KT_OK);
    while (len > 0 && total < OUTPUT_MAX) {
        if (kt_gunzip_read(gunzip, dest, sizeof(dest), &len, &err) != KT_OK) {
            FUZZ_CHECK(err.message[0] != '\0');
            break;
        }
        FUZZ_CHECK(len <= sizeof(dest));
        total += len;
    }
    kt_gunzip_free(&gunzip);
    return 0;
}

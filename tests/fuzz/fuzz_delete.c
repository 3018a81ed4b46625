/* SPDX-License-Identifier: MIT */
/* The body of a delete, through to the bytes of its log entry and back. */
#include "fuzz.h"

#include "node/delete.h"
#include "json/read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_delete parsed;
    struct kt_change change;
    struct kt_buf bytes;
    if (kt_delete_parse(fuzz_str(data, size), 100, KT_JSON_DEPTH_DEFAULT, &parsed, &err) != KT_OK) {
        FUZZ_CHECK(err.message[0] != '\0' && kt_utf8_valid(kt_str(err.message)));
        kt_delete_done(&parsed);
        return 0;
    }
    const struct kt_change_delete *erase = &parsed.erase;
    FUZZ_CHECK(erase->subject_count > 0 && erase->from_s <= erase->to_s);
    FUZZ_CHECK(erase->all || erase->period_count > 0 || erase->from_s != KT_TIME_MIN ||
               erase->to_s != KT_TIME_MAX);
    kt_buf_init(&bytes, 0);
    FUZZ_CHECK(kt_change_encode_delete(erase, &bytes, &err) == KT_OK);
    FUZZ_CHECK(kt_change_decode(kt_buf_str(&bytes), &change, &err) == KT_OK);
    FUZZ_CHECK(change.erase.subject_count == erase->subject_count &&
               change.erase.period_count == erase->period_count && change.erase.all == erase->all);
    kt_change_done(&change);
    kt_buf_done(&bytes);
    kt_delete_done(&parsed);
    return 0;
}

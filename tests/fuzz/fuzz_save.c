/* SPDX-License-Identifier: MIT */
/* The body of a save, through to the bytes of its log entry and back. */
#include "fuzz.h"

#include "node/save.h"
#include "json/read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct kt_save_limits limits = {100, 1000, KT_JSON_DEPTH_DEFAULT};
    static struct kt_change_builder *builder;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change change;
    struct kt_buf bytes;
    if (!builder) {
        builder = kt_change_builder_new((size_t)16 << 20);
        FUZZ_CHECK(builder);
    }
    if (kt_save_parse(fuzz_str(data, size), &limits, builder, &err) != KT_OK) {
        FUZZ_CHECK(err.message[0] != '\0' && kt_utf8_valid(kt_str(err.message)));
        return 0;
    }
    kt_buf_init(&bytes, 0);
    FUZZ_CHECK(kt_change_encode(builder, &bytes, &err) == KT_OK);
    FUZZ_CHECK(kt_change_decode(kt_buf_str(&bytes), &change, &err) == KT_OK);
    FUZZ_CHECK(change.record_count == kt_change_record_count(builder) &&
               change.subject_count == kt_change_subject_count(builder));
    kt_change_done(&change);
    kt_buf_done(&bytes);
    return 0;
}

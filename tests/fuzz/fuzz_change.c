/* SPDX-License-Identifier: MIT */
/* An entry's body, as it lies in the log or came in a fetch. */
#include "fuzz.h"

#include "store/change.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change change;
    struct kt_str bytes = fuzz_str(data, size);
    if (kt_change_decode(bytes, &change, &err) != KT_OK) {
        FUZZ_CHECK(err.message[0] != '\0');
        return 0;
    }
    FUZZ_CHECK(kt_change_kind_of(bytes) == (int)change.kind);
    /* Every string that was promised lies inside. */
    for (size_t i = 0; i < change.record_count; i++) {
        const struct kt_change_record *record = &change.records[i];
        FUZZ_CHECK(record->subject.data >= bytes.data &&
                   record->subject.data + record->subject.len <= bytes.data + bytes.len);
        FUZZ_CHECK(record->time_s >= KT_TIME_MIN && record->time_s <= KT_TIME_MAX);
    }
    struct kt_rd rd;
    kt_rd_init(&rd, change.generic.points.data, change.generic.points.len);
    for (size_t i = 0; i < change.generic.point_count; i++) {
        double numbers[KT_GENERIC_NUMBERS_MAX];
        struct kt_generic_point point;
        kt_generic_points_next(&rd, numbers, &point);
        FUZZ_CHECK(!rd.bad && point.count <= KT_GENERIC_NUMBERS_MAX);
    }
    FUZZ_CHECK(kt_rd_left(&rd) == 0);
    kt_change_done(&change);
    return 0;
}

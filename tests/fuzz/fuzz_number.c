/* SPDX-License-Identifier: MIT */
/* Numbers against the C library's own reading, and their shortest texts. */
#include "fuzz.h"

#include "base/clock.h"

#include <math.h>
#include <string.h>

static void text_to_number(struct kt_str text)
{
    double value, again;
    char copy[512], shown[KT_F64_TEXT_MAX];
    if (text.len >= sizeof(copy) || !kt_parse_f64(text, &value)) {
        return;
    }
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    double expected = strtod(copy, NULL);
    FUZZ_CHECK(isfinite(value) && value == expected);
    size_t len = kt_format_f64(value, shown);
    FUZZ_CHECK(kt_parse_f64(kt_str_n(shown, len), &again) && again == value);
}

static void bits_to_text(const uint8_t *data)
{
    double value, again;
    char shown[KT_F64_TEXT_MAX];
    memcpy(&value, data, sizeof(value));
    if (!isfinite(value)) {
        return;
    }
    size_t len = kt_format_f64(value, shown);
    FUZZ_CHECK(len < sizeof(shown) && shown[len] == '\0');
    FUZZ_CHECK(kt_parse_f64(kt_str_n(shown, len), &again) && again == value);
}

static void dates(struct kt_str text)
{
    int64_t time_s, again;
    char shown[11];
    if (!kt_parse_date(text, &time_s)) {
        return;
    }
    kt_format_date(time_s, shown);
    FUZZ_CHECK(kt_parse_date(kt_str_n(shown, 10), &again) && again == time_s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kt_str text = fuzz_str(data, size);
    int64_t i;
    uint64_t u;
    text_to_number(text);
    dates(text);
    (void)kt_parse_i64(text, &i);
    (void)kt_parse_u64(text, &u);
    (void)kt_parse_hex_u64(text, &u);
    if (size >= 8) {
        bits_to_text(data);
    }
    return 0;
}
